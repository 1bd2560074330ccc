//! Every way out of a worker, in one place: wires, mirror, `host`, other workers, held lists, and the pool.

use xsk::{Frame, FramePool, PacketPort};

use super::handoff::HandOffs;
use super::held::HeldFrames;
use super::outbox::Outbox;
use crate::control::PortGauges;
use crate::engine::{Disposition, Release};
use crate::parse::{LinkType, parse_frame};
use crate::time::Tick;
use crate::verdict::{Counters, Reason};
use crate::worker::{HostPort, Sleeper};

/// One wire of a worker: its rings, what waits to be sent, and its numbers.
#[derive(Debug)]
pub struct Wire<P> {
    /// The rings.
    pub rings: P,
    /// What waits for the transmit ring.
    pub outbox: Outbox,
    /// Its numbers.
    pub gauges: PortGauges,
}

impl<P: PacketPort> Wire<P> {
    /// A wire over `rings`, with nothing sent yet.
    pub fn new(rings: P) -> Self {
        Self { rings, outbox: Outbox::default(), gauges: PortGauges::default() }
    }

    fn push(&mut self, pieces: impl ExactSizeIterator<Item = Frame>, pool: &mut FramePool) -> usize {
        let (mut packets, mut bytes) = (0, 0);
        let counted = pieces.inspect(|piece| {
            packets += u64::from(!piece.more());
            bytes += piece.len() as u64;
        });
        let lost = self.outbox.push(counted, &mut self.rings, pool);
        self.gauges.tx_packets += packets;
        self.gauges.tx_bytes += bytes;
        lost
    }

    /// Sends what waits; returns how many packets found no room.
    pub fn flush(&mut self, pool: &mut FramePool) -> usize {
        let lost = self.outbox.flush(&mut self.rings, pool);
        self.gauges.tx_packets = self.gauges.tx_packets.saturating_sub(lost as u64);
        lost
    }
}

/// Where frames go, and the pool that they come from.
#[derive(Debug)]
pub struct Exits<P> {
    /// By port index.
    pub wires: Vec<Wire<P>>,
    /// Where mirror copies go.
    pub mirror: Option<Wire<P>>,
    /// The box itself.
    pub host: Option<HostPort>,
    /// Other workers.
    pub hand_offs: HandOffs,
    /// How other workers are woken.
    pub sleeper: Sleeper,
    /// Frames that wait for their datagram.
    pub held: HeldFrames,
    /// Free frames.
    pub pool: FramePool,
}

/// Where a packet came from, for its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// Port index that it came in by.
    pub in_port: u8,
    /// When it left the receive ring.
    pub received: Tick,
}

impl<P: PacketPort> Exits<P> {
    /// Sends the packet in `pieces` where `disposition` says; consumes every piece.
    pub fn place(
        &mut self,
        mut pieces: impl ExactSizeIterator<Item = Frame>,
        disposition: Disposition,
        origin: Origin,
        counters: &mut Counters,
    ) {
        match disposition {
            Disposition::Send { port } => {
                if let Some(wire) = self.wires.get_mut(usize::from(port)) {
                    let lost = wire.push(pieces, &mut self.pool);
                    counters.by_reason[Reason::TxFull as usize] += lost as u64;
                } else {
                    self.give_back(pieces);
                }
            }
            Disposition::Flood => {
                let Some(piece) = pieces.next() else { return };
                let (first, others) = match self.wires.as_mut_slice() {
                    [] => return self.pool.give(piece),
                    [first, others @ ..] => (first, others),
                };
                for wire in others {
                    copy_out(std::slice::from_ref(&piece), wire, &mut self.pool, counters, Reason::NoFrame);
                }
                first.push(std::iter::once(piece), &mut self.pool);
                self.give_back(pieces);
            }
            Disposition::Host => match &mut self.host {
                Some(host) => {
                    if !host.send(pieces, &mut self.pool) {
                        counters.notice(Reason::HostPortFull);
                    }
                }
                None => self.give_back(pieces),
            },
            Disposition::Drop(_) | Disposition::Consume => self.give_back(pieces),
            Disposition::Hold(hold) => {
                for piece in pieces {
                    if let Err(piece) = self.held.keep(hold, piece, origin.in_port) {
                        self.pool.give(piece);
                    }
                }
            }
            Disposition::HandOff { worker, hop } => {
                let fits = self.hand_offs.room(worker) >= pieces.len();
                if fits {
                    counters.handed_off += 1;
                } else {
                    counters.notice(Reason::HandoffFull);
                }
                for piece in pieces {
                    if fits {
                        self.hand_offs.send(worker, &piece, origin.in_port, hop, origin.received);
                    }
                    self.pool.give(piece);
                }
                if fits {
                    self.sleeper.wake(worker);
                }
            }
        }
    }

    /// Sends the held frames of a datagram where the release says, rewritten where it says so.
    pub fn release(&mut self, release: &Release, received: Tick, counters: &mut Counters) {
        // One at a time: a held frame is a whole packet of one piece.
        while let Some(mut held) = self.held.take_first(release.hold) {
            if let Some((redirect, direction)) = release.redirect
                && let Ok(headers) = parse_frame(held.frame.bytes(), LinkType::Ethernet)
            {
                // What cannot be rewritten was refused when the datagram was judged.
                let _rewritten = redirect.apply(direction, held.frame.bytes_mut(), &headers);
            }
            let origin = Origin { in_port: held.in_port, received };
            self.place(std::iter::once(held.frame), release.disposition, origin, counters);
        }
    }

    /// Sends a copy of the packet in `pieces` to the mirror port.
    pub fn mirror(&mut self, pieces: &[Frame], counters: &mut Counters) {
        if let Some(mirror) = &mut self.mirror
            && copy_out(pieces, mirror, &mut self.pool, counters, Reason::MirrorSkipped)
        {
            counters.mirrored += 1;
        }
    }

    /// Sends `bytes`, made by the engine, out by `port`.
    pub fn inject(&mut self, bytes: &[u8], port: u8, counters: &mut Counters) {
        let Some(wire) = self.wires.get_mut(usize::from(port)) else { return };
        let Some(mut frame) = self.pool.take() else { return counters.notice(Reason::NoFrame) };
        if frame.copy_from(bytes) < bytes.len() {
            return self.pool.give(frame);
        }
        frame.set_more(false);
        wire.push(std::iter::once(frame), &mut self.pool);
    }

    /// Hands everything that waits to the kernel, and takes back what it has sent.
    pub fn flush(&mut self, fill_frames: usize, counters: &mut Counters) {
        for wire in self.wires.iter_mut().chain(&mut self.mirror) {
            let lost = wire.flush(&mut self.pool);
            counters.by_reason[Reason::TxFull as usize] += lost as u64;
            wire.rings.kick();
            wire.rings.complete(&mut self.pool);
        }
        for wire in &mut self.wires {
            wire.rings.refill(&mut self.pool, fill_frames);
        }
    }

    /// Frames that are neither free nor in a ring, nor held or lent on purpose: lost ones. Always 0.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        self.pool.outstanding() - self.hand_offs.lent() - self.held.len()
    }

    fn give_back(&mut self, pieces: impl Iterator<Item = Frame>) {
        for piece in pieces {
            self.pool.give(piece);
        }
    }
}

/// Copies `pieces` into frames of their own and out by `wire`; all or nothing. Whether it went.
fn copy_out<P: PacketPort>(
    pieces: &[Frame],
    wire: &mut Wire<P>,
    pool: &mut FramePool,
    counters: &mut Counters,
    otherwise: Reason,
) -> bool {
    if pool.free() < pieces.len() {
        counters.notice(otherwise);
        return false;
    }
    if wire.outbox.room() < pieces.len() {
        let lost = wire.flush(pool);
        counters.by_reason[otherwise as usize] += lost as u64;
    }
    for piece in pieces {
        let Some(mut copy) = pool.take() else { return false };
        copy.copy_from(piece.bytes());
        copy.set_more(piece.more());
        wire.push(std::iter::once(copy), pool);
    }
    true
}
