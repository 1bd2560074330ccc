//! May a change concern this address? Asked of every packet that meets a generation newer than its flow's.
//!
//! When the last change of some address fell into each of its places; addresses share places, so that a change may be
//! taken for another's, and is never missed (a place untouched for 2^31 generations may look changed, too). One look,
//! in 64 KiB that stay in a core's cache, where the table's own answer costs several looks into memory.

use crate::parse::Addr;

/// How many bits of an address's hash choose its place.
const PLACE_BITS: u32 = 14;

/// Fibonacci hashing: 2^64 over the golden ratio (Knuth, The Art of Computer Programming 3, 6.4).
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

/// When something changed, by address.
#[derive(Debug, Clone)]
pub(super) struct Recent {
    /// Generation of the last change at each place.
    places: Box<[u32]>,
    /// That of the last change that concerns more than one address.
    wide: u32,
}

impl Default for Recent {
    fn default() -> Self {
        Self { places: vec![0; 1 << PLACE_BITS].into_boxed_slice(), wide: 0 }
    }
}

impl Recent {
    /// Something changed about an address.
    pub(super) fn note(&mut self, addr_bits: u128, generation: u32) {
        if let Some(place) = self.places.get_mut(place(addr_bits)) {
            *place = generation;
        }
    }

    /// Something changed about who knows how many addresses.
    pub(super) const fn note_wide(&mut self, generation: u32) {
        self.wide = generation;
    }

    /// Whether something may have changed about an address since a generation.
    #[inline]
    pub(super) fn may_concern(&self, addr: Addr, since: u32) -> bool {
        let at_place = self.places.get(place(addr.bits())).copied().unwrap_or(self.wide);
        is_after(self.wide, since) || is_after(at_place, since)
    }
}

#[inline]
const fn place(addr_bits: u128) -> usize {
    let folded = (addr_bits >> 64) as u64 ^ addr_bits as u64;
    (folded.wrapping_mul(MULTIPLIER) >> (u64::BITS - PLACE_BITS)) as usize
}

/// Whether one generation came after another; they may have gone round.
#[inline]
pub(super) const fn is_after(later: u32, earlier: u32) -> bool {
    later.wrapping_sub(earlier).cast_signed() > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_of_one_address_concern_few_others_and_wide_ones_all() {
        let mut recent = Recent::default();
        let addr = |number: u32| Addr::v4((0x0a00_0000 + number).to_be_bytes());
        for number in 0..100 {
            recent.note(addr(number).bits(), 50 + number);
        }
        assert!((0..100).all(|number| recent.may_concern(addr(number), 49)));
        assert!(!recent.may_concern(addr(7), 57) && recent.may_concern(addr(8), 57));
        let others = (100..100_000).filter(|number| recent.may_concern(addr(*number), 49)).count();
        assert!(others < 1_500, "{others} of 99,900: some 0.6 % share a place with one of 100");
        recent.note_wide(200);
        assert!(recent.may_concern(addr(5_000), 199) && !recent.may_concern(addr(5_000), 200));
        recent.note(addr(1).bits(), 1);
        assert!(recent.may_concern(addr(1), u32::MAX), "generations go round");
    }
}
