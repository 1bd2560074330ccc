//! May this refusal be sent, and what does it say? At most `reject_per_s` a second, so that nobody can use the box
//! to send more than he sends.

use super::{Engine, HOST_PORT, Outcome, Packet};
use crate::flow::{Direction, FlowId, TcpState};
use crate::nat::{self, Tracked};
use crate::parse::{Headers, Transport};
use crate::time::Tick;
use crate::verdict::Reason;

/// A token bucket of refusals, one second deep.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    /// Refusals that may be sent now, in billionths.
    credit: u64,
    filled: Option<Tick>,
}

impl Refusals {
    fn take(&mut self, per_s: u32, now: Tick) -> bool {
        let full = u64::from(per_s) * Tick::SECOND;
        let gained = self.filled.map_or(full, |filled| now.ns_since(filled).saturating_mul(u64::from(per_s)));
        self.filled = Some(now);
        self.credit = self.credit.saturating_add(gained).min(full);
        if self.credit < Tick::SECOND {
            return false;
        }
        self.credit -= Tick::SECOND;
        true
    }
}

impl Engine {
    /// Tells both ends that `packet` was refused, as far as it may be told. Whether anything was sent.
    pub(super) fn refuse(
        &mut self,
        packet: &Packet<'_>,
        headers: &Headers,
        flow: Option<(FlowId, Direction)>,
        per_s: u32,
        out: &mut Outcome,
    ) -> bool {
        if !self.is_inline() || packet.in_port == HOST_PORT || !nat::may_refuse(headers, packet.bytes) {
            return false;
        }
        if !self.refusals.take(per_s, packet.at.tick) {
            self.counters.notice(Reason::RejectSuppressed);
            return false;
        }
        let bytes = &*packet.bytes;
        let here = packet.in_port & 1;
        match headers.transport {
            Transport::Tcp(_) => {
                let tracked = flow.map_or(Tracked::default(), |(id, direction)| self.tracked(id, direction));
                let told = out.injected.push(here, |to| nat::reset_sender(to, bytes, headers, tracked));
                let both = out.injected.push(1 - here, |to| nat::reset_receiver(to, bytes, headers, tracked));
                told || both
            }
            Transport::None | Transport::Udp { .. } | Transport::Icmp(_) | Transport::Sctp { .. } => {
                out.injected.push(here, |to| nat::unreachable(to, bytes, headers))
            }
        }
    }

    /// The next sequence number of each end, as far as it was seen.
    fn tracked(&self, id: FlowId, direction: Direction) -> Tracked {
        let flow = self.flows.flow(id);
        // Only what was sent on counts: the other end knows nothing of a refused segment.
        let seen = |direction: Direction| match flow.tcp_state() {
            TcpState::Unopened => false,
            TcpState::SynSent => direction == Direction::Forward,
            _ => true,
        };
        let back = direction.opposite();
        Tracked {
            sender_next: seen(direction).then(|| flow.tcp_sequence(direction).0),
            receiver_next: seen(back).then(|| flow.tcp_sequence(back).0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_of_refusals_is_spent_at_once_and_comes_back_in_a_second() {
        let mut refusals = Refusals::default();
        let start = Tick(5 * Tick::SECOND);
        assert_eq!((0..20).filter(|_| refusals.take(10, start)).count(), 10);
        let later = start.plus_ns(Tick::SECOND / 2);
        assert_eq!((0..20).filter(|_| refusals.take(10, later)).count(), 5);
    }
}
