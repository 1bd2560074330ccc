//! How do frames reach the box itself? Through a device that the daemon owns (`jarvis0`), in worker 0 only.
//!
//! Frames for a service address go to it and are never bridged; the kernel's own stack behind it answers ARP,
//! ND and everything else. What it sends leaves by the wire behind which its receiver was last seen.

use xsk::{FrameBatch, FramePool};

use crate::engine::BATCH_MAX;

/// A device that takes and gives whole Ethernet frames without waiting: a TAP, or memory in tests.
pub trait HostDevice: Send {
    /// Writes one frame; `false` where there is no room.
    fn send(&mut self, frame: &[u8]) -> bool;

    /// Reads one frame into `buffer`; `None` where none waits.
    fn receive(&mut self, buffer: &mut [u8]) -> Option<usize>;

    /// For waiting.
    fn fd(&self) -> Option<std::os::fd::RawFd>;
}

/// The `host` port of worker 0.
pub struct HostPort {
    device: Box<dyn HostDevice>,
}

impl HostPort {
    /// A port over `device`.
    #[must_use]
    pub fn new(device: Box<dyn HostDevice>) -> Self {
        Self { device }
    }

    /// Gives a frame to the box; `false` where it has no room.
    pub fn send(&mut self, frame: &[u8]) -> bool {
        self.device.send(frame)
    }

    /// Appends what the box sends to `frames`, half a batch at most so that the wires are not starved.
    pub fn receive(&mut self, frames: &mut FrameBatch, pool: &mut FramePool) -> usize {
        for count in 0..BATCH_MAX / 2 {
            let Some(mut frame) = pool.take() else { return count };
            frame.set_len(frame.capacity());
            frame.set_more(false);
            match self.device.receive(frame.bytes_mut()) {
                Some(len) => {
                    frame.set_len(len);
                    // A batch holds 128 frames and comes empty.
                    if let Err(frame) = frames.push(frame) {
                        pool.give(frame);
                        return count;
                    }
                }
                None => {
                    pool.give(frame);
                    return count;
                }
            }
        }
        BATCH_MAX / 2
    }

    /// For waiting.
    #[must_use]
    pub fn fd(&self) -> Option<std::os::fd::RawFd> {
        self.device.fd()
    }
}

impl std::fmt::Debug for HostPort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HostPort").finish_non_exhaustive()
    }
}
