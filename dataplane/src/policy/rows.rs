//! Which policies do all of these sets have in common, lowest rank first?
//!
//! Aggregated bit vectors (Baboescu and Varghese 2001) in three levels of 64: a row is a set of policies; a bit of
//! its `top` stands for 4,096 of them, a bit of a block's `summary` for 64, a bit of a word for one. Levels are
//! ANDed from the top, so what no dimension shares is skipped 4,096 policies at a time, and the first common
//! policy ends the walk. Only words that hold a bit are stored: a row costs 12 bytes a policy and 32 in all, and a
//! walk grows with the logarithm (base 64) of the policies where few are common.

use std::ops::ControlFlow;

/// No row.
pub(super) const NONE: u32 = u32::MAX;
/// Policies that three levels of 64 can tell apart.
pub(super) const RANKS_MAX: usize = 64 * 64 * 64;
/// A block with more words than this stores all 64, so that none is searched.
const PACKED_MAX: u32 = 12;

/// Words of a block that are looked at one by one, because the first policy is mostly in one of them.
const FIRST_WORDS: u32 = 4;
/// Where not more than this many words are left, they are looked at one by one too.
const SINGLY_MAX: u32 = 8;

const _: () = assert!(super::read::POLICIES_MAX <= RANKS_MAX);

#[derive(Debug, Default)]
pub(super) struct Rows {
    rows: Vec<Row>,
    blocks: Vec<Block>,
    words: Vec<u64>,
}

#[derive(Debug, Clone, Copy)]
struct Row {
    /// Blocks that hold a bit.
    top: u64,
    /// Where those blocks start.
    first_block: u32,
    /// A row whose policies belong to this set as well, or [`NONE`].
    next: u32,
}

#[derive(Debug, Clone, Copy)]
struct Block {
    /// Words that hold a bit.
    summary: u64,
    /// Where those words start.
    base: u32,
    /// Whether all 64 words are stored.
    dense: bool,
}

const EMPTY: Block = Block { summary: 0, base: 0, dense: false };

/// The rows of each dimension for one set of facts; reused, so that a walk does not allocate.
#[derive(Debug)]
pub(super) struct Picks {
    rows: Vec<u32>,
    /// One past the last row of each dimension.
    ends: Vec<u32>,
    blocks: Vec<Block>,
}

impl Picks {
    pub(super) fn new() -> Self {
        // Two address dimensions of at most 129 nested prefixes, two of ports of 17, the others few.
        const ROWS: usize = 512;
        Self {
            rows: Vec::with_capacity(ROWS),
            ends: Vec::with_capacity(32),
            blocks: Vec::with_capacity(ROWS),
        }
    }

    pub(super) fn clear(&mut self) {
        self.rows.clear();
        self.ends.clear();
    }

    /// Ends the dimension whose rows were added since the last call.
    pub(super) fn close_dimension(&mut self) {
        self.ends.push(self.rows.len() as u32);
    }
}

impl Rows {
    /// Adds a row of `ranks` (ascending, distinct), continued by `next`.
    pub(super) fn push(&mut self, ranks: &[u32], next: u32) -> u32 {
        let mut row = Row { top: 0, first_block: self.blocks.len() as u32, next };
        for block_ranks in ranks.chunk_by(|a, b| a >> 12 == b >> 12) {
            row.top |= 1 << (block_ranks[0] >> 12);
            let word_of = |rank: &u32| rank >> 6 & 63;
            let summary = block_ranks.iter().fold(0_u64, |summary, rank| summary | 1 << word_of(rank));
            let dense = summary.count_ones() > PACKED_MAX;
            let base = self.words.len();
            self.blocks.push(Block { summary, base: base as u32, dense });
            let stored = if dense { 64 } else { summary.count_ones() as usize };
            self.words.resize(base + stored, 0);
            for (place, word_ranks) in block_ranks.chunk_by(|a, b| a >> 6 == b >> 6).enumerate() {
                let at = if dense { word_of(&word_ranks[0]) as usize } else { place };
                self.words[base + at] = word_ranks.iter().fold(0, |word, rank| word | 1 << (rank & 63));
            }
        }
        self.rows.push(row);
        (self.rows.len() - 1) as u32
    }

    /// Adds `row` and what continues it to the dimension being picked.
    #[inline]
    pub(super) fn pick(&self, picks: &mut Picks, mut row: u32) {
        while row != NONE {
            picks.rows.push(row);
            row = self.rows[row as usize].next;
        }
    }

    /// The same, leaving out what the dimension already has.
    pub(super) fn pick_once(&self, picks: &mut Picks, mut row: u32) {
        let start = picks.ends.last().map_or(0, |end| *end as usize);
        while row != NONE && !picks.rows[start..].contains(&row) {
            picks.rows.push(row);
            row = self.rows[row as usize].next;
        }
    }

    /// Calls `visit` with every rank below `total` that is in a row of every picked dimension, ascending.
    #[inline]
    pub(super) fn walk(
        &self,
        total: u32,
        picks: &mut Picks,
        mut visit: impl FnMut(u32) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let blocks_total = total.div_ceil(4096);
        let mut top = ones(blocks_total);
        let mut start = 0;
        for end in &picks.ends {
            let rows = &picks.rows[start..*end as usize];
            top &= rows.iter().fold(0, |any, row| any | self.rows[*row as usize].top);
            start = *end as usize;
        }
        while top != 0 {
            let block = top.trailing_zeros();
            top &= top - 1;
            self.walk_block(block, total, picks, &mut visit)?;
        }
        ControlFlow::Continue(())
    }

    #[inline]
    fn walk_block(
        &self,
        block: u32,
        total: u32,
        picks: &mut Picks,
        visit: &mut impl FnMut(u32) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let Picks { rows, ends, blocks } = picks;
        blocks.clear();
        let mut summary = ones((total - block * 4096).div_ceil(64).min(64));
        let mut start = 0;
        for end in ends.iter() {
            let mut any = 0;
            for row in &rows[start..*end as usize] {
                let found = self.block(*row, block);
                any |= found.summary;
                blocks.push(found);
            }
            summary &= any;
            if summary == 0 {
                return ControlFlow::Continue(());
            }
            start = *end as usize;
        }
        let mut looked_at = 0;
        while summary != 0 {
            let word_index = summary.trailing_zeros();
            if looked_at == FIRST_WORDS && summary.count_ones() > SINGLY_MAX {
                return self.walk_whole_block(block, word_index, total, picks, visit);
            }
            looked_at += 1;
            summary &= summary - 1;
            let mut word = ones((total - block * 4096 - word_index * 64).min(64));
            let mut start = 0;
            for end in ends.iter() {
                let any = blocks[start..*end as usize]
                    .iter()
                    .fold(0, |any, block| any | self.word(*block, word_index));
                word &= any;
                if word == 0 {
                    break;
                }
                start = *end as usize;
            }
            while word != 0 {
                visit(block * 4096 + word_index * 64 + word.trailing_zeros())?;
                word &= word - 1;
            }
        }
        ControlFlow::Continue(())
    }

    /// The same for a block with many words in common: all 64 at once, without a branch a word. Visits from
    /// `first_word` on.
    fn walk_whole_block(
        &self,
        block: u32,
        first_word: u32,
        total: u32,
        picks: &Picks,
        visit: &mut impl FnMut(u32) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let mut common = [u64::MAX; 64];
        let mut start = 0;
        for end in &picks.ends {
            match &picks.blocks[start..*end as usize] {
                [only] if only.dense => {
                    let base = only.base as usize;
                    for (common, word) in common.iter_mut().zip(&self.words[base..base + 64]) {
                        *common &= word;
                    }
                }
                several => {
                    let mut any = [0; 64];
                    several.iter().for_each(|block| self.add_words(*block, &mut any));
                    for (common, any) in common.iter_mut().zip(&any) {
                        *common &= any;
                    }
                }
            }
            start = *end as usize;
        }
        let first = block * 4096;
        for (index, mut word) in (0..).zip(common).skip(first_word as usize) {
            let rank = first + index * 64;
            if word == 0 || rank >= total {
                continue;
            }
            word &= ones(total - rank);
            while word != 0 {
                visit(rank + word.trailing_zeros())?;
                word &= word - 1;
            }
        }
        ControlFlow::Continue(())
    }

    /// Unites `any` with the words of a block.
    #[inline]
    fn add_words(&self, block: Block, any: &mut [u64; 64]) {
        let base = block.base as usize;
        if block.dense {
            for (any, word) in any.iter_mut().zip(&self.words[base..base + 64]) {
                *any |= word;
            }
            return;
        }
        let mut summary = block.summary;
        let mut at = base;
        while summary != 0 {
            any[summary.trailing_zeros() as usize] |= self.words[at];
            summary &= summary - 1;
            at += 1;
        }
    }

    #[inline]
    fn block(&self, row: u32, block: u32) -> Block {
        let row = &self.rows[row as usize];
        if row.top >> block & 1 == 0 {
            return EMPTY;
        }
        self.blocks[(row.first_block + set_below(row.top, block)) as usize]
    }

    #[inline]
    fn word(&self, block: Block, word: u32) -> u64 {
        if block.summary >> word & 1 == 0 {
            return 0;
        }
        let before = if block.dense { word } else { set_below(block.summary, word) };
        self.words[(block.base + before) as usize]
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.rows.capacity() * size_of::<Row>()
            + self.blocks.capacity() * size_of::<Block>()
            + self.words.capacity() * size_of::<u64>()
    }
}

/// How many bits below `bit` are set.
#[inline]
const fn set_below(bits: u64, bit: u32) -> u32 {
    let below = (1 << bit) - 1;
    // Mostly all of them or none, and counting is slow on processors that the baseline must run on.
    if bits & below == below { bit } else { (bits & below).count_ones() }
}

/// The lowest `count` bits.
const fn ones(count: u32) -> u64 {
    if count >= 64 { u64::MAX } else { (1 << count) - 1 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn a_walk_is_the_intersection_of_unions(
            total in 1_u32..20_000,
            sets in prop::collection::vec(
                prop::collection::vec(prop::collection::btree_set(0_u32..20_000, 0..300), 1..3), 0..5),
            dense in 0_u32..20_000,
        ) {
            let mut rows = Rows::default();
            let mut picks = Picks::new();
            picks.clear();
            let mut expected: BTreeSet<u32> = (0..total).collect();
            for (index, dimension) in sets.iter().enumerate() {
                let mut union = BTreeSet::new();
                let mut next = NONE;
                for set in dimension {
                    let mut set: BTreeSet<u32> = set.iter().copied().filter(|rank| *rank < total).collect();
                    if index == 0 {
                        set.extend(dense.min(total)..total);
                    }
                    let ranks: Vec<u32> = set.iter().copied().collect();
                    next = rows.push(&ranks, next);
                    union.extend(set);
                }
                rows.pick(&mut picks, next);
                picks.close_dimension();
                expected.retain(|rank| union.contains(rank));
            }
            let mut found = Vec::new();
            let _ = rows.walk(total, &mut picks, |rank| {
                found.push(rank);
                ControlFlow::Continue(())
            });
            prop_assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
        }
    }
}
