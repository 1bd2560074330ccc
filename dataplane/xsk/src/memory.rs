//! How is a worker tested without a kernel? With two [`MemoryPort`]s wired to each other.
//!
//! What one sends, the other receives, in order, copied between their regions as the kernel's copy mode does.
//! The receiver's frames come from its own `refill`, so a frame never changes its home. A packet with no frame
//! waiting at the other end stays with the sender: the wire is lossless, and a test that loses a frame has found
//! a mistake.
//!
//! The rings are `rtrb`'s; both ends may be on different threads. Nothing here is lock-free by our own hand.

use std::os::fd::RawFd;
use std::sync::Arc;

use rtrb::{Consumer, Producer, RingBuffer};

use crate::error::XskError;
use crate::frame::{Frame, FrameBatch, FramePool};
use crate::port::{PacketPort, SocketStatistics};
use crate::umem::Tally;

/// One end of an in-memory wire. See [`pair`].
#[derive(Debug)]
pub struct MemoryPort {
    region: u32,
    tally: Arc<Tally>,
    /// Empty frames of ours, for the other end to write into.
    fill: Producer<Frame>,
    /// Frames of ours that the other end has written.
    arrived: Consumer<Frame>,
    peer_fill: Consumer<Frame>,
    peer_arrived: Producer<Frame>,
    /// Frames of ours that were sent; they go home at the next `complete`.
    sent: Vec<Frame>,
    sent_max: usize,
    filled: usize,
    statistics: SocketStatistics,
}

/// Two ports wired to each other, their frames from `left` and `right`, `ring_frames` deep each way.
#[must_use]
pub fn pair(left: &FramePool, right: &FramePool, ring_frames: usize) -> (MemoryPort, MemoryPort) {
    let (left_fill, right_peer_fill) = RingBuffer::new(ring_frames);
    let (right_fill, left_peer_fill) = RingBuffer::new(ring_frames);
    let (left_peer_arrived, right_arrived) = RingBuffer::new(ring_frames);
    let (right_peer_arrived, left_arrived) = RingBuffer::new(ring_frames);
    let port = |pool: &FramePool, fill, arrived, peer_fill, peer_arrived| MemoryPort {
        region: pool.region(),
        tally: pool.home().new_tally(),
        fill,
        arrived,
        peer_fill,
        peer_arrived,
        sent: Vec::with_capacity(ring_frames),
        sent_max: ring_frames,
        filled: 0,
        statistics: SocketStatistics::default(),
    };
    (
        port(left, left_fill, left_arrived, left_peer_fill, left_peer_arrived),
        port(right, right_fill, right_arrived, right_peer_fill, right_peer_arrived),
    )
}

impl MemoryPort {
    /// Frames in the next packet of `frames`; `None` if its end is not there.
    fn packet_frames(frames: &[Frame]) -> Option<usize> {
        frames.iter().position(|frame| !frame.more()).map(|last| last + 1)
    }

    /// Copies one frame into one of the other end's.
    fn carry(&mut self, frame: &Frame) {
        let mut theirs = self.peer_fill.pop().expect("the caller counted the other end's frames");
        theirs.copy_from(frame.bytes());
        theirs.set_more(frame.more());
        self.peer_arrived.push(theirs).expect("a ring holds all frames that were ever in the fill ring");
    }
}

impl PacketPort for MemoryPort {
    fn receive(&mut self, batch: &mut FrameBatch, max: usize) -> usize {
        let start = batch.len();
        while batch.room() > 0 {
            // Packets arrive whole, so an open packet's next piece is there.
            let open = batch.last().is_some_and(|frame| batch.len() > start && frame.more());
            if batch.len() - start >= max && !open {
                break;
            }
            // A packet that would not fit into the rest of the batch waits, unless the batch is empty.
            if !open && start + (batch.len() - start) > 0 && !self.next_packet_fits(batch.room()) {
                break;
            }
            let Ok(frame) = self.arrived.pop() else { break };
            let pushed = batch.push(frame);
            debug_assert!(pushed.is_ok(), "the batch had room");
        }
        let received = batch.len() - start;
        self.filled -= received;
        self.tally.add(received);
        received
    }

    fn send(&mut self, frames: &mut FrameBatch) -> usize {
        let mut sent = 0;
        while let Some(count) = Self::packet_frames(frames) {
            let room = self.peer_fill.slots().min(self.sent_max - self.sent.len());
            if count > room || count > self.peer_arrived.slots() {
                break;
            }
            let longest = self.peer_capacity();
            debug_assert!(
                frames[..count].iter().all(|frame| frame.len() <= longest),
                "both ends have frames of one size"
            );
            for _ in 0..count {
                let Some(frame) = frames.drain().next() else { break };
                debug_assert_eq!(frame.region(), self.region, "a port sends frames of its own region");
                self.carry(&frame);
                self.sent.push(frame);
            }
            self.tally.sub(count);
            sent += count;
        }
        self.statistics.tx_ring_empty += u64::from(sent == 0);
        sent
    }

    fn complete(&mut self, pool: &mut FramePool) -> usize {
        let completed = self.sent.len();
        for frame in self.sent.drain(..) {
            pool.restore(frame);
        }
        completed
    }

    fn refill(&mut self, pool: &mut FramePool, target: usize) -> usize {
        let mut added = 0;
        while self.filled < target && self.fill.slots() > 0 {
            let Some(frame) = pool.lend() else { break };
            self.fill.push(frame).expect("a slot was free and this is its only producer");
            self.filled += 1;
            added += 1;
        }
        added
    }

    fn kick(&mut self) {}

    fn statistics(&self) -> Result<SocketStatistics, XskError> {
        Ok(self.statistics)
    }

    fn fd(&self) -> Option<RawFd> {
        None
    }

    fn in_flight(&self) -> usize {
        self.sent.len()
    }
}

impl MemoryPort {
    fn peer_capacity(&self) -> usize {
        self.peer_fill.peek().map_or(0, Frame::capacity)
    }

    /// Whether the packet that arrived next is short enough for `room` frames.
    fn next_packet_fits(&mut self, room: usize) -> bool {
        let waiting = self.arrived.slots().min(room);
        let Ok(chunk) = self.arrived.read_chunk(waiting) else { return false };
        let (first, second) = chunk.as_slices();
        waiting == 0 || first.iter().chain(second).any(|frame| !frame.more())
    }
}
