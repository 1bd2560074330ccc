//! How does a packet reach the worker that owns its flow?
//!
//! The owner lends empty frames of its own to every other worker. The receiver copies the packet into one of
//! them, passes it on, and keeps its original; the owner treats it as any frame of its own. So a frame never
//! leaves its UMEM, nobody reads a foreign one, and both ways are single-producer, single-consumer rings.
//!
//! Order within a direction is kept: one ring a pair of workers. No lent frame or no room means
//! `Drop(HandoffFull)`, never waiting.

use rtrb::{Consumer, Producer, RingBuffer};
use xsk::{Frame, FramePool};

use crate::engine::Hop;
use crate::time::Tick;

/// Frames that a worker lends to each other worker: two batches of both ports, with room for a burst.
pub const LENT_MAX: usize = 512;

/// A frame on its way to the owner of its flow.
#[derive(Debug)]
pub struct HandedOff {
    /// One of the owner's frames; `more()` says that the packet continues in the next message.
    pub frame: Frame,
    /// Port index that the packet came in by.
    pub in_port: u8,
    /// Why it was handed off.
    pub hop: Hop,
    /// When it left the receive ring.
    pub received: Tick,
}

/// This worker's ends towards and from one other worker.
#[derive(Debug)]
struct Link {
    /// Packets to it, in frames that it lent.
    to_it: Producer<HandedOff>,
    its_empty: Consumer<Frame>,
    /// Packets from it, in frames that we lent.
    from_it: Consumer<HandedOff>,
    our_empty: Producer<Frame>,
    /// Our frames that it has, empty or on their way back.
    lent: usize,
}

/// One worker's links to all others.
#[derive(Debug, Default)]
pub struct HandOffs {
    /// By worker index; `None` at our own.
    links: Vec<Option<Link>>,
}

/// Links every worker with every other one.
#[must_use]
pub fn connect(workers: usize) -> Vec<HandOffs> {
    let mut ends: Vec<HandOffs> =
        (0..workers).map(|_| HandOffs { links: (0..workers).map(|_| None).collect() }).collect();
    for a in 0..workers {
        for b in a + 1..workers {
            let (a_to_b, b_from_a) = RingBuffer::new(LENT_MAX);
            let (b_to_a, a_from_b) = RingBuffer::new(LENT_MAX);
            let (b_lends, a_borrows) = RingBuffer::new(LENT_MAX);
            let (a_lends, b_borrows) = RingBuffer::new(LENT_MAX);
            ends[a].links[b] = Some(Link {
                to_it: a_to_b,
                its_empty: a_borrows,
                from_it: a_from_b,
                our_empty: a_lends,
                lent: 0,
            });
            ends[b].links[a] = Some(Link {
                to_it: b_to_a,
                its_empty: b_borrows,
                from_it: b_from_a,
                our_empty: b_lends,
                lent: 0,
            });
        }
    }
    ends
}

impl HandOffs {
    /// Frames that `worker` can take from us now.
    #[must_use]
    pub fn room(&self, worker: u8) -> usize {
        match self.links.get(usize::from(worker)) {
            Some(Some(link)) => link.to_it.slots().min(link.its_empty.slots()),
            Some(None) | None => 0,
        }
    }

    /// Copies one frame to `worker`; `false` (and nothing done) where [`Self::room`] is 0.
    pub fn send(&mut self, worker: u8, frame: &Frame, in_port: u8, hop: Hop, received: Tick) -> bool {
        let Some(Some(link)) = self.links.get_mut(usize::from(worker)) else { return false };
        if link.to_it.slots() == 0 {
            return false;
        }
        let Ok(mut copy) = link.its_empty.pop() else { return false };
        copy.copy_from(frame.bytes());
        copy.set_more(frame.more());
        // A slot was free above, and only this end fills the ring.
        link.to_it.push(HandedOff { frame: copy, in_port, hop, received }).is_ok()
    }

    /// Passes what the others handed to us to `take`: `frames_max` frames from each other worker, and the rest of
    /// a packet begun. `take` says whether the packet continues in the next frame.
    pub fn receive(&mut self, frames_max: usize, mut take: impl FnMut(HandedOff) -> bool) {
        for link in self.links.iter_mut().flatten() {
            let mut taken = 0;
            let mut continues = false;
            while taken < frames_max || continues {
                let Ok(handed) = link.from_it.pop() else { break };
                link.lent -= 1;
                taken += 1;
                continues = take(handed);
            }
        }
    }

    /// Whether anything was handed to us.
    #[must_use]
    pub fn any_waiting(&self) -> bool {
        self.links.iter().flatten().any(|link| !link.from_it.is_empty())
    }

    /// Tops up what we lend from `pool`, which keeps `reserve` frames for itself.
    pub fn lend(&mut self, pool: &mut FramePool, reserve: usize) {
        for link in self.links.iter_mut().flatten() {
            while link.lent < LENT_MAX && pool.free() > reserve {
                let Some(frame) = pool.take() else { return };
                match link.our_empty.push(frame) {
                    Ok(()) => link.lent += 1,
                    Err(rtrb::PushError::Full(frame)) => {
                        pool.give(frame);
                        break;
                    }
                }
            }
        }
    }

    /// Our frames that others have: not lost, and not in our pool.
    #[must_use]
    pub fn lent(&self) -> usize {
        self.links.iter().flatten().map(|link| link.lent).sum()
    }

    /// Whether there is any other worker.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        self.links.iter().flatten().next().is_none()
    }
}
