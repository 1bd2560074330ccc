//! How do frames reach the box itself? Through a device that the daemon owns (`jarvis0`), in worker 0 only.
//!
//! Frames for a service address go to it and are never bridged; the kernel's own stack behind it answers ARP,
//! ND and everything else. What it sends leaves by the wire behind which its receiver was last seen. The device
//! takes and gives whole frames, the wires pieces of a chunk's size: each way is one copy.

use xsk::{Frame, FrameBatch, FramePool};

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

/// Bytes of the longest frame of the device: 9,000 of payload, Ethernet, two VLAN tags, rounded up.
pub const HOST_FRAME_BYTES_MAX: usize = 9_216;

/// Frames that the longest one fills: the smallest chunk has 1,792 bytes for a packet.
const PIECES_MAX: usize = HOST_FRAME_BYTES_MAX.div_ceil(1_792);

/// The `host` port of worker 0.
pub struct HostPort {
    device: Box<dyn HostDevice>,
    linear: Vec<u8>,
}

impl HostPort {
    /// A port over `device`.
    #[must_use]
    pub fn new(device: Box<dyn HostDevice>) -> Self {
        Self { device, linear: vec![0; HOST_FRAME_BYTES_MAX] }
    }

    /// Gives the packet in `pieces` to the box, and the pieces to `pool`; `false` where the box has no room, or the
    /// packet is longer than [`HOST_FRAME_BYTES_MAX`].
    pub fn send(&mut self, pieces: impl Iterator<Item = Frame>, pool: &mut FramePool) -> bool {
        let (mut len, mut fits) = (0, true);
        for piece in pieces {
            match self.linear.get_mut(len..len + piece.len()) {
                Some(room) => room.copy_from_slice(piece.bytes()),
                None => fits = false,
            }
            len += piece.len();
            pool.give(piece);
        }
        fits && self.device.send(&self.linear[..len])
    }

    /// Appends what the box sends to `frames`, half a batch at most so that the wires are not starved.
    pub fn receive(&mut self, frames: &mut FrameBatch, pool: &mut FramePool) -> usize {
        for count in 0..BATCH_MAX / 2 {
            // What was read cannot be put back: there must be room for the longest.
            if frames.room() < PIECES_MAX || pool.free() < PIECES_MAX {
                return count;
            }
            let Some(len) = self.device.receive(&mut self.linear) else { return count };
            let mut rest = self.linear.get(..len).unwrap_or_default();
            while !rest.is_empty() {
                let Some(mut frame) = pool.take() else { return count };
                let taken = frame.copy_from(rest);
                rest = &rest[taken..];
                frame.set_more(!rest.is_empty());
                if let Err(frame) = frames.push(frame) {
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
