//! What was learned of an address and a port, and until when does it hold? One number of 16 bits a key, from any worker to all.
//!
//! A [`Table`] whose state word holds, from its highest bit, the time until which the number holds (in units of 2^28 ns,
//! a quarter of a second), twelve bits of the key's hash and the number. All are written at once: a reader never sees
//! the time of one and the number of another. The bits of the hash keep apart a key that has just taken a slot over
//! from what its predecessor left there.
//!
//! Free while nothing was remembered: one relaxed read. Else one lookup. A newcomer to a full group takes the place of what
//! ends first, so that who floods the table costs others their hints and nothing else.

use super::Table;
use crate::parse::Addr;
use crate::sync::{AtomicBool, Ordering};
use crate::time::Tick;

/// Bits of the number and of the key's hash in a state word.
const NUMBER_BITS: u32 = 16;
const MARK_BITS: u32 = 12;
const LOW: u64 = (1 << (NUMBER_BITS + MARK_BITS)) - 1;

/// Numbers by address and port.
#[derive(Debug)]
pub struct Remembered {
    table: Table,
    /// Whether anything was ever remembered.
    any: AtomicBool,
}

impl Remembered {
    /// Room for `keys` (16 bytes each).
    #[must_use]
    pub fn new(keys: usize) -> Self {
        Self { table: Table::new(keys), any: AtomicBool::new(false) }
    }

    /// Keeps `number` for `endpoint` for `for_ns` from `now`; the latest number is right. `what` keeps numbers of
    /// different meanings apart.
    pub fn keep(&self, what: u8, endpoint: (Addr, u16), number: u16, for_ns: u64, now: Tick) {
        let key = hash(what, endpoint);
        // Rounded up: a time is never cut short.
        let until = now.plus_ns(for_ns).0.saturating_add(LOW) & !LOW;
        let wanted = Tick(until | mark(key) << NUMBER_BITS | u64::from(number));
        let slot = self.table.find_or_take(key, now);
        let before = self.table.until(slot);
        if before != wanted {
            // Who loses the exchange loses it to somebody who has learned something just now.
            let _exchanged = self.table.exchange(slot, before, wanted);
            self.any.store(true, Ordering::Relaxed);
        }
    }

    /// What holds for `endpoint` at `now`.
    #[must_use]
    pub fn at(&self, what: u8, endpoint: (Addr, u16), now: Tick) -> Option<u16> {
        if !self.any.load(Ordering::Relaxed) {
            return None;
        }
        let key = hash(what, endpoint);
        let state = self.table.until(self.table.find(key)?).0;
        let holds = state & !LOW > now.0 && (state & LOW) >> NUMBER_BITS == mark(key);
        holds.then_some(state as u16)
    }

    /// How many keys there is room for.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.table.capacity()
    }

    /// How many hold at `now`: linear, for telemetry.
    #[must_use]
    pub fn live(&self, now: Tick) -> usize {
        self.table.live(now)
    }
}

/// Bits of the hash that neither choose the group nor the slot that is looked at first.
const fn mark(key: u64) -> u64 {
    key >> 40 & ((1 << MARK_BITS) - 1)
}

fn hash(what: u8, endpoint: (Addr, u16)) -> u64 {
    mix(of_endpoint(endpoint) ^ u64::from(what)).max(1)
}

/// Hash of an address and a port. The address is mixed before the port is added, for neighbours' neighbouring ports not
/// to meet.
pub(super) const fn of_endpoint((addr, port): (Addr, u16)) -> u64 {
    let bits = addr.bits();
    mix(mix(mix((bits >> 64) as u64) ^ bits as u64) ^ port as u64)
}

/// Finalizer of MurmurHash3.
pub(super) const fn mix(mut x: u64) -> u64 {
    x ^= x >> 33;
    x = x.wrapping_mul(0xff51_afd7_ed55_8ccd);
    x ^= x >> 33;
    x = x.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    x ^ (x >> 33)
}

#[cfg(all(test, not(loom)))]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use std::thread;

    const AT: (Addr, u16) = (Addr::v4([192, 0, 2, 1]), 80);

    #[test]
    fn the_latest_number_holds_until_its_time_is_up() {
        let remembered = Remembered::new(64);
        let now = Tick(1_700_000_000 * Tick::SECOND);
        assert_eq!(remembered.at(0, AT, now), None);
        remembered.keep(0, AT, 7, 10 * Tick::SECOND, now);
        remembered.keep(0, AT, 65_535, 20 * Tick::SECOND, now);
        assert_eq!((remembered.at(0, AT, now), remembered.at(1, AT, now)), (Some(65_535), None));
        assert_eq!(remembered.at(0, AT, now.plus_ns(19 * Tick::SECOND)), Some(65_535));
        assert_eq!(remembered.at(0, AT, now.plus_ns(21 * Tick::SECOND)), None);
        assert_eq!(remembered.at(0, (AT.0, 81), now), None);
        remembered.keep(0, AT, 3, Tick::SECOND, now);
        assert_eq!(
            remembered.at(0, AT, now.plus_ns(2 * Tick::SECOND)),
            None,
            "a shorter time replaces a longer one"
        );
    }

    #[test]
    fn who_floods_it_gets_no_more_memory_and_nobody_elses_number() {
        let remembered = Remembered::new(1_024);
        let now = Tick(Tick::SECOND);
        let at = |index: u32| (Addr::v4(index.to_be_bytes()), 0);
        for index in 0..100_000_u32 {
            remembered.keep(0, at(index), index as u16, u64::from(1 + index) * Tick::SECOND, now);
        }
        assert_eq!((remembered.capacity(), remembered.live(now)), (1_024, 1_024));
        let known = (0..100_000_u32).filter_map(|index| Some((index, remembered.at(0, at(index), now)?)));
        let known: Vec<_> = known.collect();
        assert_eq!(known.len(), 1_024);
        assert!(known.iter().all(|(index, number)| *index as u16 == *number));
        assert!(known.iter().all(|(index, _)| *index > 90_000), "what ends last stays");
    }

    #[test]
    fn neighbours_with_neighbouring_ports_are_told_apart() {
        let remembered = Remembered::new(1_024);
        for host in 0..16 {
            for port in 0..8 {
                let endpoint = (Addr::v4([10, 0, 0, host]), 20_000 + port);
                remembered.keep(0, endpoint, u16::from(host) << 8 | port, Tick::SECOND, Tick(0));
            }
        }
        let told =
            |host: u8, port: u16| remembered.at(0, (Addr::v4([10, 0, 0, host]), 20_000 + port), Tick(0));
        assert!((0..16).all(|host| (0..8).all(|port| told(host, port) == Some(u16::from(host) << 8 | port))));
    }

    #[test]
    fn workers_that_write_at_once_leave_numbers_that_were_written() {
        let remembered = Remembered::new(256);
        let now = Tick(Tick::SECOND);
        thread::scope(|scope| {
            for worker in 0..4_u16 {
                let remembered = &remembered;
                scope.spawn(move || {
                    for turn in 0..20_000_u32 {
                        let port = (turn % 400) as u16;
                        remembered.keep(0, (AT.0, port), port << 2 | worker, Tick::SECOND, now);
                        if let Some(number) = remembered.at(0, (AT.0, port), now) {
                            assert_eq!(number >> 2, port);
                        }
                    }
                });
            }
        });
    }
}
