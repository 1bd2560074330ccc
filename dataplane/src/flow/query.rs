//! Which flows are there, and which of them must go? Walks over the slab in bounded steps.
//!
//! The cursor is a slot number. A flow never changes its slot, so one that lives through a whole walk is seen
//! exactly once; one that starts or ends meanwhile may or may not be.

use super::table::{FlowId, FlowTable};
use super::{Flow, FlowRecord, FlowState};
use crate::parse::Addr;
use crate::time::Now;

/// Which flows a query asks for: every condition that is set must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FlowFilter {
    /// Either endpoint is in this prefix: address and length, 0 to 128 (an IPv4 /24 is 96 + 24).
    pub prefix: Option<(Addr, u8)>,
    /// Either endpoint has this port.
    pub port: Option<u16>,
    /// IANA protocol number.
    pub protocol: Option<u8>,
    /// Folded state.
    pub state: Option<FlowState>,
    /// The flow's own number.
    pub flow_id: Option<u64>,
    /// Index of the policy that decided; `u32::MAX` for the default.
    pub policy_index: Option<u32>,
}

impl FlowFilter {
    fn admits(&self, flow: &Flow, flow_id: u64) -> bool {
        let key = flow.key();
        let in_prefix = |(prefix, len): (Addr, u8)| {
            let host_bits = 128 - u32::from(len.min(128));
            let network = |addr: Addr| addr.bits().checked_shr(host_bits).unwrap_or(0);
            [key.lo().0, key.hi().0].into_iter().any(|addr| network(addr) == network(prefix))
        };
        self.prefix.is_none_or(in_prefix)
            && self.port.is_none_or(|port| key.lo().1 == port || key.hi().1 == port)
            && self.protocol.is_none_or(|protocol| key.protocol() == protocol)
            && self.state.is_none_or(|state| flow.state() == state)
            && self.flow_id.is_none_or(|wanted| wanted == flow_id)
            && self.policy_index.is_none_or(|index| flow.decision().policy_index == index)
    }
}

impl FlowTable {
    /// Appends the flows that `filter` admits to `out`, from `cursor` (0 first), looking at `slots_max` slots at
    /// most and stopping when `out` has reached its capacity, so it never allocates.
    ///
    /// Returns the cursor to go on with, `None` at the end.
    pub fn page(
        &self,
        cursor: u64,
        slots_max: usize,
        filter: &FlowFilter,
        now: Now,
        out: &mut Vec<FlowRecord>,
    ) -> Option<u64> {
        let start = usize::try_from(cursor).ok().filter(|start| *start < self.flows.len())?;
        let end = start.saturating_add(slots_max.max(1)).min(self.flows.len());
        for (slot, flow) in self.flows.iter().enumerate().take(end).skip(start) {
            let id = FlowId(slot as u32);
            if flow.is_flow() && filter.admits(flow, self.flow_id(id)) {
                if out.len() == out.capacity() {
                    return Some(slot as u64);
                }
                out.push(self.record(id, None, now));
            }
        }
        (end < self.flows.len()).then_some(end as u64)
    }
}
