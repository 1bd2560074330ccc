//! Whose time is up? A hierarchical timer wheel with its lists inside the flows.
//!
//! Seven levels of 64 places over ticks of 67 ms cover every [`Tick`], so nothing overflows. A bitmap per level
//! finds the next occupied place at once: a leap of hours costs what is due, not what was skipped. A
//! packet never touches the wheel; when a flow's place comes up its owner looks at the last packet and
//! puts it back where that says (lazy re-arming). Insert and remove are O(1), a flow moves down at most
//! seven times.

use super::entry::{Flow, Links, NO_SLOT};
use crate::time::Tick;

/// A wheel tick is 2^26 ns, 67 ms.
const TICK_SHIFT: u32 = 26;
const PLACE_BITS: u32 = 6;
const PLACES: usize = 1 << PLACE_BITS;
/// 26 + 7 * 6 = 68 >= 64 bits: every instant has a place.
const LEVELS: usize = 7;

/// Marks `prev` of a list's first flow; the rest is the place. Slots are below 2^31.
const IS_HEAD: u32 = 1 << 31;

#[derive(Debug)]
pub(super) struct Wheel {
    /// The tick up to which every place was emptied.
    elapsed: u64,
    occupied: [u64; LEVELS],
    heads: [[u32; PLACES]; LEVELS],
}

/// The first tick at or after `deadline`.
const fn tick_of(deadline: Tick) -> u64 {
    let whole = deadline.0 >> TICK_SHIFT;
    if deadline.0 & ((1 << TICK_SHIFT) - 1) == 0 { whole } else { whole + 1 }
}

impl Wheel {
    pub(super) const fn new() -> Self {
        Self { elapsed: 0, occupied: [0; LEVELS], heads: [[NO_SLOT; PLACES]; LEVELS] }
    }

    /// Puts a flow where it comes up at `deadline` or up to one tick later.
    pub(super) fn insert(&mut self, flows: &mut [Flow], slot: u32, deadline: Tick) {
        let when = tick_of(deadline).max(self.elapsed);
        // The highest group of six bits in which `when` differs from now is its level.
        let differs = (when ^ self.elapsed) | 1;
        let level = ((63 - differs.leading_zeros()) / PLACE_BITS) as usize;
        let place = (when >> (level as u32 * PLACE_BITS)) as usize % PLACES;
        let head = self.heads[level][place];
        let mark = IS_HEAD | (level * PLACES + place) as u32;
        flows[slot as usize].timer_links = Links { prev: mark, next: head };
        if let Some(after) = flows.get_mut(head as usize) {
            after.timer_links.prev = slot;
        }
        self.heads[level][place] = slot;
        self.occupied[level] |= 1 << place;
    }

    pub(super) fn remove(&mut self, flows: &mut [Flow], slot: u32) {
        let Links { prev, next } = flows[slot as usize].timer_links;
        if let Some(after) = flows.get_mut(next as usize) {
            after.timer_links.prev = prev;
        }
        match flows.get_mut(prev as usize) {
            Some(before) => before.timer_links.next = next,
            None => {
                debug_assert!(prev != NO_SLOT, "a flow without a timer");
                let place = (prev & !IS_HEAD) as usize;
                let (level, place) = (place / PLACES, place % PLACES);
                self.heads[level][place] = next;
                if next == NO_SLOT {
                    self.occupied[level] &= !(1 << place);
                }
            }
        }
        flows[slot as usize].timer_links = Links::NONE;
    }

    /// Takes out one flow whose place has come up by `now`; it may have to be put back with a later
    /// deadline. `None`: nothing is left up to `now`.
    pub(super) fn pop(&mut self, flows: &mut [Flow], now: Tick) -> Option<u32> {
        let now = now.0 >> TICK_SHIFT;
        for level in 0..LEVELS {
            if self.occupied[level] == 0 {
                continue;
            }
            // Lower levels hold what comes up before any later place of a higher one. The current place of a
            // higher one may be half emptied, though: ask every level before giving up.
            let shift = level as u32 * PLACE_BITS;
            let position = (self.elapsed >> shift) as u32 % PLACES as u32;
            let ahead = self.occupied[level].rotate_right(position).trailing_zeros();
            let start = ((self.elapsed >> shift) + u64::from(ahead)) << shift;
            if start > now {
                continue;
            }
            self.elapsed = self.elapsed.max(start);
            let slot = self.heads[level][((position + ahead) as usize) % PLACES];
            self.remove(flows, slot);
            return Some(slot);
        }
        self.elapsed = self.elapsed.max(now);
        None
    }
}
