//! Where is the state of this key? In one of the eight slots of its group, or in the one of them that is least missed.
//!
//! A slot is two words: the key's hash, and an instant until which its state means something. The instant is the
//! state of what lives until then (a token bucket's); nothing else has to be initialised, so that a slot changes
//! hands by one compare-and-swap. Never allocates after [`Table::new`], never waits, looks at two cache lines.
//!
//! Two keys with the same 64-bit hash share their state. Workers whose clocks differ by a batch may disagree on
//! whether a slot has ended and so take two slots for one new key: every later search finds the same one of them, and
//! what was noted in the other is forgotten.

use crate::sync::{AtomicU64, Ordering};
use crate::time::Tick;

/// Slots that a key may be in: 128 bytes, two cache lines.
const PROBES_MAX: usize = 8;
/// What no key hashes to.
const FREE: u64 = 0;

/// A slot of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotIndex(pub u32);

/// A fixed number of slots, shared by all workers.
#[derive(Debug)]
pub struct Table {
    slots: Box<[Slot]>,
    /// Groups less one; their number is a power of two.
    group_mask: u64,
}

#[derive(Debug)]
struct Slot {
    key: AtomicU64,
    until: AtomicU64,
}

impl Table {
    /// A table of at least `slots` (rounded up to a power of two, 16 bytes each).
    #[must_use]
    pub fn new(slots: usize) -> Self {
        let slots = slots.next_power_of_two().max(PROBES_MAX);
        let free = || Slot { key: AtomicU64::new(FREE), until: AtomicU64::new(0) };
        let groups = (slots / PROBES_MAX) as u64;
        Self { slots: (0..slots).map(|_| free()).collect(), group_mask: groups - 1 }
    }

    /// How many slots there are.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.slots.len()
    }

    /// How many slots are in use at `now`: linear, for telemetry.
    #[must_use]
    pub fn live(&self, now: Tick) -> usize {
        let live = |slot: &&Slot| slot.until.load(Ordering::Relaxed) > now.0;
        self.slots.iter().filter(live).count()
    }

    /// The slot of `key`, if it has one. `key` is a hash; 0 stands for 1.
    #[must_use]
    pub fn find(&self, key: u64) -> Option<SlotIndex> {
        let key = key.max(1);
        let start = self.group(key);
        // Relaxed, as wherever nothing is said: a slot's two words are each complete in themselves.
        (0..PROBES_MAX)
            .map(|step| start + ((key >> 56) as usize + step) % PROBES_MAX)
            .find(|index| self.slots[*index].key.load(Ordering::Relaxed) == key)
            .map(|index| SlotIndex(index as u32))
    }

    /// The slot of `key`; where it has none, the first of its group whose state has ended by `now` is given to it,
    /// or else the one whose state ends first. A state that has ended means nothing; one that has not (eight keys of
    /// one group are in use) is inherited by the newcomer.
    ///
    /// Every worker looks in the same order, so that those who bring one new key at once agree on its slot.
    #[must_use]
    pub fn find_or_take(&self, key: u64, now: Tick) -> SlotIndex {
        let key = key.max(1);
        let start = self.group(key);
        let mut chosen = start;
        // Each failed exchange means that another worker took a slot; after as many as there are slots any will do.
        for _ in 0..PROBES_MAX {
            let mut before = FREE;
            let mut earliest = None;
            // The order depends on the key, so that new keys of one group do not contend for one slot.
            for step in 0..PROBES_MAX {
                let index = start + ((key >> 56) as usize + step) % PROBES_MAX;
                let slot = &self.slots[index];
                // Acquire, before the key: pairs with the Release in `exchange`. Who sees a state that another worker
                // moved on sees the key that it was moved for.
                let until = slot.until.load(Ordering::Acquire);
                let holder = slot.key.load(Ordering::Relaxed);
                if holder == key {
                    return SlotIndex(index as u32);
                }
                // All that have ended are equally good: the first of them is taken.
                let ends = until.max(now.0);
                if earliest.is_none_or(|earliest| ends < earliest) {
                    (earliest, chosen, before) = (Some(ends), index, holder);
                }
            }
            let slot = &self.slots[chosen].key;
            match slot.compare_exchange(before, key, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => break,
                Err(other) if other == key => break,
                Err(_) => {}
            }
        }
        SlotIndex(chosen as u32)
    }

    /// Until when the slot's state means something.
    #[inline]
    #[must_use]
    pub fn until(&self, slot: SlotIndex) -> Tick {
        Tick(self.slots[slot.0 as usize].until.load(Ordering::Relaxed))
    }

    /// Replaces `before` by `after`.
    ///
    /// # Errors
    ///
    /// What is there instead of `before`.
    #[inline]
    pub fn exchange(&self, slot: SlotIndex, before: Tick, after: Tick) -> Result<(), Tick> {
        let until = &self.slots[slot.0 as usize].until;
        until
            .compare_exchange(before.0, after.0, Ordering::Release, Ordering::Relaxed)
            .map(|_| ())
            .map_err(Tick)
    }

    fn group(&self, key: u64) -> usize {
        (key & self.group_mask) as usize * PROBES_MAX
    }
}

#[cfg(all(test, not(loom)))]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_key_keeps_its_slot() {
        let table = Table::new(64);
        let slots: Vec<SlotIndex> = (1..=40)
            .map(|key| {
                let slot = table.find_or_take(key, Tick(0));
                table.exchange(slot, Tick(0), Tick(key)).unwrap();
                slot
            })
            .collect();
        for (key, slot) in (1..=40).zip(slots) {
            assert_eq!((table.find(key), table.find_or_take(key, Tick(0))), (Some(slot), slot));
        }
        assert_eq!(table.live(Tick(10)), 30);
    }

    #[test]
    fn a_full_group_gives_up_what_ends_first() {
        let table = Table::new(8);
        for key in 1..=8 {
            let slot = table.find_or_take(key, Tick(0));
            table.exchange(slot, Tick(0), Tick(100 - key)).unwrap();
        }
        let slot = table.find_or_take(9, Tick(0));
        assert_eq!((table.find(8), table.find(9), table.until(slot)), (None, Some(slot), Tick(92)));
    }
}
