//! Which frames wait for one port's transmit ring?

use xsk::{Frame, FrameBatch, FramePool, PacketPort};

/// Frames on their way to one port, in order. Whole packets only.
#[derive(Debug, Default)]
pub struct Outbox {
    frames: FrameBatch,
}

impl Outbox {
    /// Appends the packet in `pieces`, sending first where it would not fit. Returns how many frames were given
    /// back to the pool because the ring stayed full.
    pub fn push(
        &mut self,
        pieces: impl ExactSizeIterator<Item = Frame>,
        port: &mut impl PacketPort,
        pool: &mut FramePool,
    ) -> usize {
        let mut lost = 0;
        if self.frames.room() < pieces.len() {
            lost = self.flush(port, pool);
        }
        for piece in pieces {
            if let Err(piece) = self.frames.push(piece) {
                pool.give(piece);
                lost += 1;
            }
        }
        lost
    }

    /// Sends what waits; what the ring has no room for goes back to the pool. Returns how many packets that were.
    pub fn flush(&mut self, port: &mut impl PacketPort, pool: &mut FramePool) -> usize {
        if self.frames.is_empty() {
            return 0;
        }
        port.send(&mut self.frames);
        if self.frames.is_empty() {
            return 0;
        }
        // The ring is full: make room from what the kernel has sent, once.
        port.kick();
        port.complete(pool);
        port.send(&mut self.frames);
        let lost = self.frames.iter().filter(|frame| !frame.more()).count();
        pool.give_all(&mut self.frames);
        lost
    }

    /// Frames that fit before it must be flushed.
    #[must_use]
    pub fn room(&self) -> usize {
        self.frames.room()
    }

    /// Frames waiting.
    #[must_use]
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }
}
