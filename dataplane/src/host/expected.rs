//! Which worker owns a flow whose packets hash to another one? Replies of a redirect's target come with other
//! addresses than the flow began with; whoever receives them asks here.
//!
//! A [`Table`] whose state word holds the time until which the flow is expected, with the worker in its low
//! byte. Free while nothing is redirected: one relaxed read.

use super::Table;
use super::remembered::{mix, of_endpoint};
use crate::parse::Addr;
use crate::sync::{AtomicU64, Ordering};
use crate::time::Tick;

/// Flows expected at the same time (16 bytes each).
const EXPECTED_MAX: usize = 16_384;

/// How long after its last packet a flow is expected: the longest idle time of an established TCP flow.
const EXPECTED_NS: u64 = 3_600 * Tick::SECOND;

/// Bits of the worker in a state word.
const WORKER_BITS: u64 = 0xff;

/// Hash of addresses, ports and protocol, the same both ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpectedKey(u64);

/// Flows that belong to another worker than their hash says.
#[derive(Debug)]
pub struct ExpectedFlows {
    table: Table,
    /// Not 0 once anything was ever expected.
    any: AtomicU64,
}

impl Default for ExpectedFlows {
    fn default() -> Self {
        Self { table: Table::new(EXPECTED_MAX), any: AtomicU64::new(0) }
    }
}

impl ExpectedKey {
    /// The key of a packet or of its reply.
    #[must_use]
    pub fn of(a: (Addr, u16), b: (Addr, u16), protocol: u8) -> Self {
        let (lo, hi) = if a <= b { (a, b) } else { (b, a) };
        Self(mix(of_endpoint(lo) ^ of_endpoint(hi).rotate_left(17) ^ u64::from(protocol)))
    }
}

impl ExpectedFlows {
    /// Whether anything was ever expected.
    #[inline]
    #[must_use]
    pub fn any(&self) -> bool {
        self.any.load(Ordering::Relaxed) != 0
    }

    /// Says that packets of `key` belong to `worker`; again with every packet that it judges.
    pub fn expect(&self, key: ExpectedKey, worker: u8, now: Tick) {
        let slot = self.table.find_or_take(key.0, now);
        let before = self.table.until(slot);
        let wanted = now.plus_ns(EXPECTED_NS).0 & !WORKER_BITS | u64::from(worker);
        // Within a second of what stands there it stays: a busy flow does not keep writing.
        if before.0 & WORKER_BITS == u64::from(worker) && wanted.saturating_sub(before.0) < Tick::SECOND {
            return;
        }
        // Who loses the exchange loses it to another packet of the same flow, or to a newcomer's first.
        let _exchanged = self.table.exchange(slot, before, Tick(wanted));
        self.any.store(1, Ordering::Relaxed);
    }

    /// The worker that packets of `key` belong to.
    #[must_use]
    pub fn owner(&self, key: ExpectedKey) -> Option<u8> {
        let slot = self.table.find(key.0)?;
        let until = self.table.until(slot).0;
        (until != 0).then_some((until & WORKER_BITS) as u8)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn both_ways_of_an_expected_flow_name_its_worker() {
        let expected = ExpectedFlows::default();
        let (client, target) = ((Addr::v4([10, 0, 0, 1]), 4000), (Addr::v4([10, 0, 0, 9]), 8080));
        assert!(!expected.any());
        expected.expect(ExpectedKey::of(client, target, 6), 3, Tick(1_000));
        assert!(expected.any());
        assert_eq!(expected.owner(ExpectedKey::of(target, client, 6)), Some(3));
        assert_eq!(expected.owner(ExpectedKey::of(target, client, 17)), None);
    }
}
