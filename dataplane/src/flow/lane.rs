//! May this packet go on without a question, as nearly all do?
//!
//! The fast lane of the table: a flow found at the first look, whose stored decision is to forward and still stands,
//! and a packet that moves no state but counters and windows. One look at each of the flow's three cache lines,
//! no record, no timer, no list. It takes a packet whole or leaves everything as it was; what it leaves is
//! judged by [`FlowTable::find_or_start`], [`FlowTable::count`] and [`FlowTable::track`], which would do the same to a
//! packet that it takes (a property test holds them to that).

use super::config::EvictionClass;
use super::entry::Place;
use super::table::{FlowTable, Located};
use super::{Direction, FlowKey, FlowState};
use crate::parse::{Headers, Transport};
use crate::time::Tick;

impl FlowTable {
    /// Counts and tracks a packet of a flow that is forwarded under `versions` (policy set, identities) and has no
    /// more to it; `false`: nothing was done. Under identities of another generation the decision stands where they do not
    /// `concern` the flow since; that is noted in any case, so that it is asked once.
    #[inline]
    #[expect(clippy::too_many_arguments, reason = "what the engine holds per packet, in the order it got it")]
    pub fn pass(
        &mut self,
        located: Located,
        key: &FlowKey,
        src_is_lo: bool,
        headers: &Headers,
        (policy, identities): (u32, u32),
        concern: impl FnOnce(u32) -> bool,
        wire_len: u32,
        now: Tick,
    ) -> bool {
        let shortest = self.timeouts.shortest;
        let Some(flow) = self.flows.get_mut(located.candidate as usize) else { return false };
        if flow.key != *key || !flow.is_only_forwarded(policy) || now.ns_since(flow.last) >= shortest {
            return false;
        }
        let since = flow.identity_generation();
        if since != identities {
            if concern(since) {
                return false;
            }
            flow.set_identity_generation(identities);
        }
        let direction = flow.direction_of(src_is_lo);
        match &headers.transport {
            Transport::Tcp(tcp) => {
                let payload_len = u32::from(headers.end.saturating_sub(headers.payload_offset));
                if !flow.tcp.pass_established(direction as usize, tcp, payload_len) {
                    return false;
                }
                flow.note_flags(direction, tcp.flags);
                flow.count_packet(direction, wire_len, now);
                if flow.place == Place::Listed(EvictionClass::Established) {
                    self.protect(located.candidate);
                }
            }
            Transport::Udp { .. } => {
                // The first reply establishes.
                if flow.state == FlowState::New && direction == Direction::Reverse {
                    return false;
                }
                flow.count_packet(direction, wire_len, now);
            }
            Transport::None | Transport::Icmp(_) | Transport::Sctp { .. } => return false,
        }
        true
    }
}
