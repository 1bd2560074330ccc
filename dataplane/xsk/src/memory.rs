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

    /// Copies one packet into frames of the other end's, and shows it there whole.
    fn carry(&mut self, packet: &[Frame]) {
        let empty =
            self.peer_fill.read_chunk(packet.len()).expect("the caller counted the other end's frames");
        let slots = self
            .peer_arrived
            .write_chunk_uninit(packet.len())
            .expect("the caller counted the other end's slots");
        slots.fill_from_iter(empty.into_iter().zip(packet).map(|(mut theirs, ours)| {
            theirs.copy_from(ours.bytes());
            theirs.set_more(ours.more());
            theirs
        }));
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
            if !open && !batch.is_empty() && !self.next_packet_fits(batch.room()) {
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
            self.carry(&frames[..count]);
            self.sent.extend(frames.drain().take(count));
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

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use std::collections::VecDeque;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const FRAMES: usize = 96;
    const RING: usize = 32;

    /// One thing that a port's owner may do.
    #[derive(Debug, Clone)]
    enum Step {
        /// Send a packet of so many pieces, if the pool has the frames.
        Send(usize),
        /// Receive at most so many frames.
        Receive(usize),
        Complete,
        Refill(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (1_usize..5).prop_map(Step::Send),
            (0_usize..40).prop_map(Step::Receive),
            Just(Step::Complete),
            (0_usize..40).prop_map(Step::Refill),
        ]
    }

    struct End {
        port: MemoryPort,
        pool: FramePool,
        waiting: FrameBatch,
    }

    proptest! {
        /// The oracle is a queue of the packets that `send` accepted.
        #[test]
        fn packets_arrive_whole_once_and_in_order(steps in vec((any::<bool>(), step()), 1..400)) {
            let pools = (FramePool::in_memory(FRAMES, 8), FramePool::in_memory(FRAMES, 8));
            let (left, right) = pair(&pools.0, &pools.1, RING);
            let mut ends = [
                End { port: left, pool: pools.0, waiting: FrameBatch::new() },
                End { port: right, pool: pools.1, waiting: FrameBatch::new() },
            ];
            let mut on_the_wire = [VecDeque::new(), VecDeque::new()];
            let mut serial = 0_u64;
            for (which, step) in steps {
                let which = usize::from(which);
                let end = &mut ends[which];
                match step {
                    Step::Send(pieces) => {
                        if end.pool.free() >= pieces && end.waiting.room() >= pieces {
                            for piece in 0..pieces {
                                let mut frame = end.pool.take().unwrap();
                                frame.copy_from(&serial.to_be_bytes());
                                frame.set_more(piece + 1 < pieces);
                                end.waiting.push(frame).unwrap();
                                serial += 1;
                            }
                        }
                        let offered: Vec<_> = end.waiting.iter().map(|frame| (frame.bytes().to_vec(), frame.more())).collect();
                        let sent = end.port.send(&mut end.waiting);
                        prop_assert!(sent == 0 || !offered[sent - 1].1, "half a packet was sent");
                        on_the_wire[which].extend(offered.into_iter().take(sent));
                    }
                    Step::Receive(max) => {
                        let mut batch = FrameBatch::new();
                        end.port.receive(&mut batch, max);
                        prop_assert!(batch.last().is_none_or(|last| !last.more()), "half a packet was received");
                        for frame in batch.iter() {
                            prop_assert_eq!(Some((frame.bytes().to_vec(), frame.more())), on_the_wire[1 - which].pop_front());
                        }
                        end.pool.give_all(&mut batch);
                    }
                    Step::Complete => {
                        end.port.complete(&mut end.pool);
                    }
                    Step::Refill(target) => {
                        end.port.refill(&mut end.pool, target);
                    }
                }
            }
            // Everything still under way arrives once both ends turn.
            for _ in 0..2 * FRAMES {
                for which in [0, 1] {
                    let end = &mut ends[which];
                    end.port.refill(&mut end.pool, RING);
                    let offered: Vec<_> = end.waiting.iter().map(|frame| (frame.bytes().to_vec(), frame.more())).collect();
                    let sent = end.port.send(&mut end.waiting);
                    on_the_wire[which].extend(offered.into_iter().take(sent));
                    end.port.complete(&mut end.pool);
                    let mut batch = FrameBatch::new();
                    end.port.receive(&mut batch, usize::MAX);
                    for frame in batch.iter() {
                        prop_assert_eq!(Some((frame.bytes().to_vec(), frame.more())), on_the_wire[1 - which].pop_front());
                    }
                    end.pool.give_all(&mut batch);
                }
            }
            for which in [0, 1] {
                prop_assert!(on_the_wire[which].is_empty() && ends[which].waiting.is_empty());
                prop_assert_eq!(ends[which].pool.outstanding(), 0);
                prop_assert_eq!(ends[which].pool.free() + ends[which].port.filled, FRAMES);
            }
        }
    }

    #[test]
    fn two_threads_exchange_every_packet_in_order() {
        const PACKETS: u64 = 20_000;
        let mut senders = FramePool::in_memory(64, 16);
        let mut receivers = FramePool::in_memory(64, 16);
        let (mut out, mut back) = pair(&senders, &receivers, 32);
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let mut batch = FrameBatch::new();
                let mut next = 0;
                while next < PACKETS || !batch.is_empty() || out.in_flight() > 0 {
                    while next < PACKETS && batch.len() < 8 {
                        let Some(mut frame) = senders.take() else { break };
                        frame.copy_from(&next.to_be_bytes());
                        batch.push(frame).unwrap();
                        next += 1;
                    }
                    if out.send(&mut batch) + out.complete(&mut senders) == 0 {
                        std::thread::yield_now();
                    }
                }
                assert_eq!((senders.free(), senders.outstanding()), (64, 0));
            });
            let mut expected = 0_u64;
            while expected < PACKETS {
                back.refill(&mut receivers, 32);
                let mut batch = FrameBatch::new();
                if back.receive(&mut batch, 64) == 0 {
                    std::thread::yield_now();
                }
                for frame in batch.iter() {
                    assert_eq!(frame.bytes(), expected.to_be_bytes());
                    expected += 1;
                }
                receivers.give_all(&mut batch);
            }
            assert_eq!(receivers.outstanding(), 0);
        });
    }
}
