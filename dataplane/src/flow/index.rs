//! Which slot holds this key? Cache-line buckets of tags, bounded probes, no resize.
//!
//! A bucket is one cache line: ten 16-bit tags, ten slot numbers, and how many keys found it full and went
//! on (the idea of Facebook's F14). A lookup compares ten tags, asks about the key only where a tag
//! agrees (a wrong one: 1 in 6,500 lookups), and goes on to the next bucket only where somebody went on
//! before. At the design load (5.5 keys a bucket with every slot of the table in use) 97 of 100 lookups end
//! in their first line. Removal leaves no tombstones.
//!
//! 11.6 bytes a slot, committed at construction: a hash would touch every page of it at once anyway.

use super::entry::NO_SLOT;

/// Tags in a bucket: (2 + 4) * 10 bytes and the count of those that passed fill 64.
const BUCKET_SLOTS: usize = 10;

/// Buckets a lookup may visit. At 5.5 keys a bucket the chance that sixteen neighbours are all full is
/// below 1e-13; an attacker who knew the seed gains sixteen cache lines a packet and no more.
const PROBES_MAX: usize = 16;

/// Keys a bucket holds when the table is full, times 2 (5.5).
const LOAD_TIMES_2: u64 = 11;

#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Bucket {
    /// Four tags a word, lowest bits first; 0: empty. The last two lanes are no places: above the tenth tag stands
    /// how many keys found this bucket full and went on to the next.
    lanes: [u64; 3],
    slots: [u32; BUCKET_SLOTS],
}

const _: () = assert!(size_of::<Bucket>() == 64);

impl Bucket {
    const EMPTY: Self = Self { lanes: [0; 3], slots: [NO_SLOT; BUCKET_SLOTS] };

    /// Keys that went on.
    #[inline]
    const fn passed(&self) -> u32 {
        (self.lanes[2] >> 32) as u32
    }

    const fn add_passed(&mut self) {
        self.lanes[2] += 1 << 32;
    }

    const fn take_passed(&mut self) {
        self.lanes[2] -= 1 << 32;
    }

    fn set(&mut self, place: usize, tag: u16, slot: u32) {
        let shift = place % 4 * 16;
        let lane = &mut self.lanes[place / 4];
        *lane = *lane & !(0xffff << shift) | u64::from(tag) << shift;
        self.slots[place] = slot;
    }

    /// One bit for each tag that equals `tag`. The lowest is right for certain; above it a tag that differs by one
    /// may be among them, so that whoever takes a higher one compares what it stands for.
    ///
    /// Four tags to a word and no branch: Mycroft's test for a zero lane.
    #[inline]
    fn matches(&self, tag: u16) -> u32 {
        const LOW: u64 = 0x0001_0001_0001_0001;
        const HIGH: u64 = LOW << 15;
        let wanted = u64::from(tag) * LOW;
        let equal = |lanes: u64| {
            let differs = lanes ^ wanted;
            let marks = (differs.wrapping_sub(LOW) & !differs & HIGH) >> 15;
            // One multiplication gathers bits 0, 16, 32 and 48 in the top four.
            (marks.wrapping_mul(0x1000_2000_4000_8000) >> 60) as u32
        };
        let [first, second, third] = self.lanes;
        (equal(first) | equal(second) << 4 | equal(third) << 8) & ((1 << BUCKET_SLOTS) - 1)
    }
}

/// The index is full where this key belongs (see [`PROBES_MAX`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoRoom;

#[derive(Debug)]
pub(super) struct Index {
    buckets: Vec<Bucket>,
}

impl Index {
    pub(super) fn new(capacity: u32) -> Self {
        let buckets = (u64::from(capacity) * 2).div_ceil(LOAD_TIMES_2).max(1) as usize;
        let mut memory = Vec::with_capacity(buckets);
        xsk::prefetch::huge_pages(&memory);
        memory.resize(buckets, Bucket::EMPTY);
        Self { buckets: memory }
    }

    /// Bytes of the index for `capacity` slots.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.buckets.len() * size_of::<Bucket>()
    }

    /// The high half of the hash scaled to the buckets (Lemire's multiply-shift).
    #[inline]
    fn home(&self, hash: u64) -> usize {
        (((hash >> 32) * self.buckets.len() as u64) >> 32) as usize
    }

    /// From the low half; never 0.
    #[inline]
    fn tag(hash: u64) -> u16 {
        (hash as u16).max(1)
    }

    #[inline]
    pub(super) fn prefetch(&self, hash: u64) {
        xsk::prefetch::read(&self.buckets[self.home(hash)]);
    }

    /// A slot that the key may be in, judged by tags of the home bucket alone; [`NO_SLOT`] for none.
    #[inline]
    pub(super) fn candidate(&self, hash: u64) -> u32 {
        let bucket = &self.buckets[self.home(hash)];
        let mask = bucket.matches(Self::tag(hash));
        if mask == 0 { NO_SLOT } else { bucket.slots[mask.trailing_zeros() as usize] }
    }

    /// The slot of the key, `is_key` being asked about slots whose tag agrees.
    #[inline]
    pub(super) fn find(&self, hash: u64, is_key: impl Fn(u32) -> bool) -> Option<u32> {
        let tag = Self::tag(hash);
        let mut at = self.home(hash);
        for _ in 0..PROBES_MAX {
            let bucket = &self.buckets[at];
            let mut mask = bucket.matches(tag);
            while mask != 0 {
                let slot = bucket.slots[mask.trailing_zeros() as usize];
                if is_key(slot) {
                    return Some(slot);
                }
                mask &= mask - 1;
            }
            if bucket.passed() == 0 {
                return None;
            }
            at = self.after(at);
        }
        None
    }

    /// Adds a key that is not in the index.
    pub(super) fn insert(&mut self, hash: u64, slot: u32) -> Result<(), NoRoom> {
        let home = self.home(hash);
        let mut at = home;
        for _ in 0..PROBES_MAX {
            let empty = self.buckets[at].matches(0);
            if empty != 0 {
                let position = empty.trailing_zeros() as usize;
                self.buckets[at].set(position, Self::tag(hash), slot);
                // Only now that it has a place do the full buckets on the way learn of it.
                let mut full = home;
                while full != at {
                    self.buckets[full].add_passed();
                    full = self.after(full);
                }
                return Ok(());
            }
            at = self.after(at);
            if at == home {
                break;
            }
        }
        Err(NoRoom)
    }

    /// Removes the key that `insert` put under this hash and slot.
    pub(super) fn remove(&mut self, hash: u64, slot: u32) {
        let tag = Self::tag(hash);
        let home = self.home(hash);
        let mut at = home;
        for _ in 0..PROBES_MAX {
            let mut mask = self.buckets[at].matches(tag);
            while mask != 0 {
                let position = mask.trailing_zeros() as usize;
                if self.buckets[at].slots[position] == slot {
                    self.buckets[at].set(position, 0, NO_SLOT);
                    let mut full = home;
                    while full != at {
                        self.buckets[full].take_passed();
                        full = self.after(full);
                    }
                    return;
                }
                mask &= mask - 1;
            }
            at = self.after(at);
        }
        debug_assert!(false, "a slot is removed from the index once");
    }

    #[inline]
    fn after(&self, at: usize) -> usize {
        if at + 1 == self.buckets.len() { 0 } else { at + 1 }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed case is a failed test")]
mod tests {
    use super::*;

    /// Spreads `n` as the key hash does.
    fn hash(n: u32) -> u64 {
        u64::from(n).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
    }

    #[test]
    fn holds_its_capacity_and_empties_without_tombstones() {
        let capacity = 100_000;
        let mut index = Index::new(capacity);
        for slot in 0..capacity {
            index.insert(hash(slot), slot).unwrap();
        }
        for slot in 0..capacity {
            assert_eq!(index.find(hash(slot), |found| found == slot), Some(slot));
        }
        for slot in 0..capacity {
            index.remove(hash(slot), slot);
        }
        assert!(index.buckets.iter().all(|bucket| bucket.lanes == [0; 3]));
    }

    #[test]
    fn nearly_every_key_of_a_full_table_is_in_its_home_bucket() {
        let capacity = 100_000;
        let mut index = Index::new(capacity);
        for slot in 0..capacity {
            index.insert(hash(slot), slot).unwrap();
        }
        let at_home = (0..capacity).filter(|slot| index.candidate(hash(*slot)) == *slot).count();
        assert!(at_home > 96_000, "{at_home}");
    }

    #[test]
    fn one_bucket_flooded_overflows_to_neighbours_then_refuses() {
        let mut index = Index::new(1_000);
        let room = (PROBES_MAX * BUCKET_SLOTS) as u32;
        for slot in 0..room {
            index.insert(u64::from(slot % 7), slot).unwrap();
        }
        assert_eq!(index.insert(3, room), Err(NoRoom));
        index.remove(0, 0);
        index.insert(3, room).unwrap();
        for slot in 1..=room {
            let hash = if slot == room { 3 } else { u64::from(slot % 7) };
            assert_eq!(index.find(hash, |found| found == slot), Some(slot));
        }
    }

    #[test]
    fn a_slot_costs_at_most_12_bytes() {
        assert!(Index::new(1_000_000).bytes() <= 12_000_000);
    }
}
