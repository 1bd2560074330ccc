//! Which policies do all of these sets have in common?
//!
//! Aggregated bit vectors (Baboescu and Varghese 2001) in three levels of 64: a row is a set of policies by their
//! slots (see `order`); a bit of its `top` stands for a block of 4,096 slots, a bit of a block's `summary` for a
//! chunk of 64, a bit of a chunk's word for one. Levels are ANDed from the top, so what the dimensions do not share
//! is skipped 4,096 policies at a time. Only words that hold a bit are stored: a row costs 8 to 24 bytes a policy
//! and 16 in all. Policies that do not ask for a dimension are in no row: their bits stand once, side by side for
//! all dimensions, 136 bytes a chunk.
//!
//! A walk reads one summary a block and dimension, and one word a chunk and dimension where the summaries meet.

use super::index::{DIMENSIONS, Dimension, Shape};
use super::order::{CHUNK, SLOTS_A_POLICY, VACANT};

/// No row.
pub(super) const NONE: u32 = u32::MAX;
/// Slots that three levels of 64 can tell apart.
const SLOTS_MAX: usize = 64 * 64 * 64;
/// A block with more words than this stores all 64, so that none is searched.
const PACKED_MAX: u32 = 12;

const _: () = assert!(super::read::POLICIES_MAX * SLOTS_A_POLICY <= SLOTS_MAX);

#[derive(Debug, Default)]
pub(super) struct Rows {
    /// The rank of the policy in each slot.
    ranks: Vec<u32>,
    /// By chunk and dimension: policies that do not ask for it.
    wild: Vec<[u64; DIMENSIONS]>,
    /// By block and dimension: chunks with such policies.
    wild_summaries: Vec<[u64; DIMENSIONS]>,
    /// By dimension: blocks with such policies.
    wild_top: [u64; DIMENSIONS],
    /// Rows one behind the other, each in one piece, as every other piece would be another cache miss: its top, the
    /// row that continues it (or [`NONE`]), for each block that holds a bit its summary and where its words start,
    /// and the words.
    store: Vec<u64>,
}

/// What one row has in one block.
#[derive(Debug, Clone, Copy)]
struct Block {
    /// Words that hold a bit.
    summary: u64,
    /// Words that are stored: those, or all.
    stored: u64,
    /// Where they start.
    base: u32,
}

/// Beside the start of a block's words: all 64 are stored.
const ALL_STORED: u64 = 1 << 63;
/// What the store begins with: the block, and the word, that are not there. A walk looks them up rather than
/// branches, as no branch is harder to predict.
const NOTHING: [u64; 2] = [0; 2];

/// The rows of each dimension for one set of facts; reused, so that a walk does not allocate.
#[derive(Debug)]
pub(super) struct Picks {
    /// Dimensions without a row: only policies that do not ask for them are left. Told apart because they cost one
    /// word each and often leave nothing.
    bare: Vec<u32>,
    rows: Vec<u32>,
    dimensions: Vec<Picked>,
    blocks: Vec<Block>,
}

#[derive(Debug, Clone, Copy)]
struct Picked {
    dimension: u32,
    /// One past its last row.
    end: u32,
}

impl Picks {
    pub(super) fn new() -> Self {
        // Two address dimensions of at most 129 nested prefixes, two of ports of 17, the others few.
        const ROWS: usize = 512;
        Self {
            bare: Vec::with_capacity(DIMENSIONS),
            rows: Vec::with_capacity(ROWS),
            dimensions: Vec::with_capacity(DIMENSIONS),
            blocks: Vec::with_capacity(ROWS),
        }
    }

    pub(super) fn clear(&mut self) {
        self.bare.clear();
        self.rows.clear();
        self.dimensions.clear();
    }

    /// Ends the dimension whose rows were added since the last call.
    pub(super) fn close(&mut self, dimension: Dimension) {
        let (dimension, end) = (dimension as u32, self.rows.len() as u32);
        if self.dimensions.last().map_or(0, |picked| picked.end) == end {
            self.bare.push(dimension);
        } else {
            self.dimensions.push(Picked { dimension, end });
        }
    }
}

impl Rows {
    /// No row yet. `ranks` are those of the slots, `asked` the dimensions that each rank asks for.
    pub(super) fn new(ranks: Vec<u32>, asked: &[Shape]) -> Self {
        let mut wild = vec![[0; DIMENSIONS]; ranks.len() / CHUNK];
        let mut wild_summaries = vec![[0; DIMENSIONS]; wild.len().div_ceil(64)];
        for (chunk, (words, ranks)) in wild.iter_mut().zip(ranks.as_chunks::<CHUNK>().0).enumerate() {
            for (bit, rank) in ranks.iter().enumerate().filter(|(_, rank)| **rank != VACANT) {
                let asked = asked[*rank as usize];
                for (dimension, word) in words.iter_mut().enumerate() {
                    *word |= u64::from(asked >> dimension & 1 == 0) << bit;
                }
            }
            for (summary, word) in wild_summaries[chunk / 64].iter_mut().zip(words) {
                *summary |= u64::from(*word != 0) << (chunk % 64);
            }
        }
        let wild_top =
            wild_summaries.iter().enumerate().fold([0; DIMENSIONS], |mut top, (block, summaries)| {
                for (top, summary) in top.iter_mut().zip(summaries) {
                    *top |= u64::from(*summary != 0) << block;
                }
                top
            });
        Self { ranks, wild, wild_summaries, wild_top, store: NOTHING.to_vec() }
    }

    /// Adds a row of `slots` (ascending, distinct), continued by `next`.
    pub(super) fn push(&mut self, slots: &[u32], next: u32) -> u32 {
        let blocks = || slots.chunk_by(|a, b| a >> 12 == b >> 12);
        let word_of = |slot: &u32| slot >> 6 & 63;
        let row = self.store.len();
        let top = blocks().fold(0_u64, |top, slots| top | 1 << (slots[0] >> 12));
        self.store.extend([top, u64::from(next)]);
        self.store.resize(row + 2 + 2 * top.count_ones() as usize, 0);
        for (index, block_slots) in blocks().enumerate() {
            let summary = block_slots.iter().fold(0_u64, |summary, slot| summary | 1 << word_of(slot));
            let all = summary.count_ones() > PACKED_MAX;
            let stored = if all { u64::MAX } else { summary };
            let base = self.store.len();
            self.store[row + 2 + 2 * index] = summary;
            self.store[row + 3 + 2 * index] = base as u64 | if all { ALL_STORED } else { 0 };
            self.store.resize(base + stored.count_ones() as usize, 0);
            for word_slots in block_slots.chunk_by(|a, b| a >> 6 == b >> 6) {
                let at = base + set_below(stored, word_of(&word_slots[0])) as usize;
                self.store[at] = word_slots.iter().fold(0, |word, slot| word | 1 << (slot & 63));
            }
        }
        row as u32
    }

    /// Adds `row` and what continues it to the dimension being picked.
    #[inline]
    pub(super) fn pick(&self, picks: &mut Picks, mut row: u32) {
        while row != NONE {
            picks.rows.push(row);
            row = self.store[row as usize + 1] as u32;
        }
    }

    /// The same, leaving out what the dimension already has.
    pub(super) fn pick_once(&self, picks: &mut Picks, mut row: u32) {
        let start = picks.dimensions.last().map_or(0, |picked| picked.end as usize);
        while row != NONE && !picks.rows[start..].contains(&row) {
            picks.rows.push(row);
            row = self.store[row as usize + 1] as u32;
        }
    }

    /// Calls `visit` with policies that, in every picked dimension, are in one of its rows or do not ask for it.
    ///
    /// They come in no order, but none whose rank is not below what `visit` returned last, which may only sink.
    #[inline]
    pub(super) fn walk(&self, picks: &mut Picks, mut visit: impl FnMut(u32) -> u32) {
        let mut limit = VACANT;
        let Picks { bare, rows, dimensions, blocks } = picks;
        let mut top = ones(self.wild_summaries.len() as u32) & wild_in_all(&self.wild_top, bare);
        let mut start = 0;
        for picked in dimensions.iter() {
            let end = picked.end as usize;
            let wild = self.wild_top[picked.dimension as usize];
            top &= rows[start..end].iter().fold(wild, |any, row| any | self.store[*row as usize]);
            start = end;
        }
        'blocks: while top != 0 {
            let block = top.trailing_zeros();
            top &= top - 1;
            let wild = &self.wild_summaries[block as usize];
            let chunks = (self.wild.len() - block as usize * 64).min(64) as u32;
            let mut alive = ones(chunks) & wild_in_all(wild, bare);
            if alive == 0 {
                continue;
            }
            let mut start = 0;
            blocks.clear();
            for picked in dimensions.iter() {
                let mut any = wild[picked.dimension as usize];
                for row in &rows[start..picked.end as usize] {
                    let found = self.block(*row, block);
                    any |= found.summary;
                    blocks.push(found);
                }
                alive &= any;
                if alive == 0 {
                    continue 'blocks;
                }
                start = picked.end as usize;
            }
            while alive != 0 {
                let place = alive.trailing_zeros();
                alive &= alive - 1;
                let chunk = block as usize * 64 + place as usize;
                let ranks = &self.ranks.as_chunks::<CHUNK>().0[chunk];
                if ranks[0] >= limit {
                    // Chunks are in the order of their first ranks.
                    return;
                }
                let mut common = self.common(bare, dimensions, blocks, chunk, place);
                while common != 0 {
                    let rank = ranks[common.trailing_zeros() as usize];
                    if rank >= limit {
                        break;
                    }
                    limit = visit(rank);
                    common &= common - 1;
                }
            }
        }
    }

    /// What one chunk has in common.
    #[inline]
    fn common(&self, bare: &[u32], dimensions: &[Picked], blocks: &[Block], chunk: usize, place: u32) -> u64 {
        let wild = &self.wild[chunk];
        let mut common = wild_in_all(wild, bare);
        if common == 0 {
            return 0;
        }
        let mut start = 0;
        for picked in dimensions {
            let mut any = wild[picked.dimension as usize];
            let end = picked.end as usize;
            // Rows do not matter where no policy asks.
            if common & !any != 0 {
                any = blocks[start..end].iter().fold(any, |any, block| any | self.word(block, place));
                common &= any;
                if common == 0 {
                    return 0;
                }
            }
            start = end;
        }
        common
    }

    #[inline]
    fn block(&self, row: u32, block: u32) -> Block {
        let top = self.store[row as usize];
        let present = (top >> block & 1) as u32;
        let at = (present * (row + 2 + 2 * set_below(top, block))) as usize;
        let (summary, start) = (self.store[at], self.store[at + 1]);
        let stored = if start & ALL_STORED == 0 { summary } else { u64::MAX };
        Block { summary, stored, base: start as u32 }
    }

    #[inline]
    fn word(&self, block: &Block, word: u32) -> u64 {
        let present = (block.summary >> word & 1) as u32;
        self.store[(present * (block.base + set_below(block.stored, word))) as usize]
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.ranks.capacity() * size_of::<u32>()
            + (self.wild.capacity() + self.wild_summaries.capacity()) * size_of::<[u64; DIMENSIONS]>()
            + self.store.capacity() * size_of::<u64>()
    }
}

/// What asks for none of `dimensions`.
#[inline]
fn wild_in_all(wild: &[u64; DIMENSIONS], dimensions: &[u32]) -> u64 {
    dimensions.iter().fold(u64::MAX, |all, dimension| all & wild[*dimension as usize])
}

/// How many bits below `bit` are set.
#[inline]
const fn set_below(bits: u64, bit: u32) -> u32 {
    (bits & ((1 << bit) - 1)).count_ones()
}

/// The lowest `count` bits.
const fn ones(count: u32) -> u64 {
    if count >= 64 { u64::MAX } else { (1 << count) - 1 }
}

#[cfg(test)]
mod tests {
    use super::super::order::chunked;
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// The dimensions that the rows of a test are of.
    const PICKED: [Dimension; 3] = [Dimension::SrcIp, Dimension::Protocol, Dimension::InPort];

    /// Ranks in any order that the rows allow.
    fn shuffled(total: u32, factor: u32) -> Vec<u32> {
        let mut ranks: Vec<u32> = (0..total).collect();
        ranks.sort_by_key(|rank| (rank.wrapping_mul(factor) >> 7, *rank));
        chunked(ranks)
    }

    proptest! {
        #[test]
        fn a_walk_is_the_intersection_of_unions(
            total in prop_oneof![1_u32..20_000, Just(64), Just(65), Just(4_096), Just(4_097)],
            factor in any::<u32>(),
            // For each dimension the policies that do not ask (one in so many), and rows of those that do.
            dimensions in prop::collection::vec(
                (1_u32..200, prop::collection::vec(prop::collection::btree_set(0_u32..20_000, 0..300), 0..3)),
                0..=PICKED.len()),
            dense in 0_u32..20_000,
        ) {
            let ranks = shuffled(total, factor);
            let mut shapes: Vec<Shape> = vec![Shape::MAX; total as usize];
            for ((one_in, _), dimension) in dimensions.iter().zip(PICKED) {
                for rank in (0..total).step_by(*one_in as usize) {
                    shapes[rank as usize] &= !(1 << dimension as u32);
                }
            }
            let mut slot_of: Vec<u32> = vec![0; total as usize];
            for (slot, rank) in (0..).zip(&ranks).filter(|(_, rank)| **rank != VACANT) {
                slot_of[*rank as usize] = slot;
            }
            let mut rows = Rows::new(ranks, &shapes);
            let mut picks = Picks::new();
            picks.clear();
            let mut expected: BTreeSet<u32> = (0..total).collect();
            for (index, ((one_in, sets), dimension)) in dimensions.iter().zip(PICKED).enumerate() {
                let mut union: BTreeSet<u32> = (0..total).step_by(*one_in as usize).collect();
                let mut next = NONE;
                for set in sets {
                    let mut set: BTreeSet<u32> = set.iter().copied().filter(|rank| *rank < total).collect();
                    if index == 0 {
                        set.extend(dense.min(total)..total);
                    }
                    let mut slots: Vec<u32> = set.iter().map(|rank| slot_of[*rank as usize]).collect();
                    slots.sort_unstable();
                    next = rows.push(&slots, next);
                    union.extend(set);
                }
                rows.pick(&mut picks, next);
                picks.close(dimension);
                expected.retain(|rank| union.contains(rank));
            }
            let mut found = Vec::new();
            rows.walk(&mut picks, |rank| {
                found.push(rank);
                u32::MAX
            });
            found.sort_unstable();
            prop_assert_eq!(&found, &expected.iter().copied().collect::<Vec<_>>());

            let mut before = u32::MAX;
            rows.walk(&mut picks, |rank| {
                assert!(rank < before, "{rank} is not before {before}");
                before = rank;
                rank
            });
            prop_assert_eq!(before, expected.first().copied().unwrap_or(u32::MAX));
        }
    }
}
