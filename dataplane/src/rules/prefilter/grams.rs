//! Which of many patterns are in these bytes? Upper and lower case alike.
//!
//! Each pattern is known by four of its bytes in a row, a *gram*, which are looked up in a bitmap that stays in the first-level cache:
//! one place does not wait for the one before it, as an automaton's states do. Where all patterns are long, the grams at four
//! places of each are known, so that every fourth place of the text needs a look; else two, or one:
//!
//! ```text
//! pattern          G E T _ / e v i l          stride 4: grams at 2, 3, 4, 5
//!                      └──────────┘
//! text      . . . . G E T _ / e v i l . .
//! looked up ^       ^       ^       ^         one of the four lies at a place that is looked up
//! ```
//!
//! A gram that is found leads to the patterns that have it, which are compared whole. Grams are chosen so that few patterns share
//! one: no text makes a place cost much.

use std::collections::HashMap;

/// Bytes of a gram.
const GRAM_BYTES: usize = 4;

/// Bits of the bitmap: 16 KiB, a third of a first-level cache.
const BITS: u32 = 17;
const WORDS: usize = (1 << BITS) / 64;

/// Patterns by their grams.
#[derive(Debug, Default)]
pub(super) struct Grams {
    patterns: Vec<Box<[u8]>>,
    /// `None`: all patterns are shorter than a gram.
    table: Option<Table>,
    /// Patterns that are shorter than a gram.
    short: Short,
}

/// Places between two that are looked up, best first.
const STRIDES: [usize; 3] = [4, 2, 1];

/// Grams of patterns.
#[derive(Debug)]
struct Table {
    bitmap: Box<[u64; WORDS]>,
    stride: usize,
    /// Starts in `entries`, by the first bits of a hash.
    buckets: Vec<u32>,
    /// What a hash is shifted by for them.
    shift: u32,
    entries: Vec<Entry>,
}

/// A gram of a pattern.
#[derive(Debug, Clone, Copy)]
struct Entry {
    gram: u32,
    pattern: u32,
    /// Where in the pattern it begins.
    at: u8,
}

/// Patterns of one to three bytes. Few are looked for one after the other, by their rarest byte, many at once.
#[derive(Debug)]
enum Short {
    Few(Vec<Rare>),
    /// By their first two bytes; any second byte where there is one alone.
    Many {
        bitmap: Vec<u64>,
        /// Patterns by first byte.
        by_first: Vec<Vec<u32>>,
    },
}

/// A byte of a pattern, small and capital, and where in it.
#[derive(Debug, Clone, Copy)]
struct Rare {
    pattern: u32,
    at: usize,
    either: [u8; 2],
}

/// So many patterns are few.
const FEW: usize = 8;

impl Default for Short {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

/// What became of each pattern in one text; memory that is reused.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Comparisons so far, by pattern; [`TOLD`]: it needs none any more.
    tries: Vec<u8>,
}

/// Comparisons of one pattern with one text. One that is met more often than that, as runs of one byte are, is told unseen: what is
/// told is tried whole.
const TRIES_MAX: u8 = 16;

const TOLD: u8 = u8::MAX;

impl Found {
    fn clear(&mut self, patterns: usize) {
        self.tries.clear();
        self.tries.resize(patterns, 0);
    }

    /// Whether a pattern needs no comparison any more.
    fn is_done(&self, pattern: u32) -> bool {
        self.tries.get(pattern as usize).is_none_or(|tries| *tries == TOLD)
    }

    /// Whether a pattern is to be told now, which `compare` says where it was not compared too often.
    fn is_told(&mut self, pattern: u32, compare: impl FnOnce() -> bool) -> bool {
        let Some(tries) = self.tries.get_mut(pattern as usize).filter(|tries| **tries != TOLD) else {
            return false;
        };
        let is_found = *tries >= TRIES_MAX || compare();
        *tries = if is_found { TOLD } else { *tries + 1 };
        is_found
    }
}

/// Upper and lower case are the same, and some other bytes too.
const fn fold(gram: u32) -> u32 {
    gram | 0x2020_2020
}

const fn hash(gram: u32) -> usize {
    (gram.wrapping_mul(0x9e37_79b1) >> (u32::BITS - BITS)) as usize
}

fn gram_at(bytes: &[u8], at: usize) -> Option<u32> {
    let gram = bytes.get(at..)?.first_chunk::<GRAM_BYTES>()?;
    Some(fold(u32::from_le_bytes(*gram)))
}

impl Grams {
    /// Over patterns, none of them empty.
    pub(super) fn new(patterns: Vec<Vec<u8>>) -> Self {
        let mut load: HashMap<u32, u32> = HashMap::new();
        let (mut entries, mut short) = (Vec::new(), Vec::new());
        let shortest = patterns.iter().map(Vec::len).filter(|len| *len >= GRAM_BYTES).min();
        let fits = |stride: &&usize| shortest.is_some_and(|shortest| shortest >= GRAM_BYTES + **stride - 1);
        let stride = STRIDES.iter().find(fits).copied().unwrap_or(1);
        for (number, pattern) in patterns.iter().enumerate() {
            if pattern.len() < GRAM_BYTES {
                short.push(number as u32);
                continue;
            }
            let from = rarest(pattern, stride, &load);
            for at in from..from + stride {
                let Some(gram) = gram_at(pattern, at) else { continue };
                *load.entry(gram).or_default() += 1;
                entries.push(Entry { gram, pattern: number as u32, at: at as u8 });
            }
        }
        let short = Short::new(&patterns, &short);
        let patterns = patterns.into_iter().map(Vec::into_boxed_slice).collect();
        Self { patterns, table: (!entries.is_empty()).then(|| Table::new(entries, stride)), short }
    }

    /// Each pattern that is in `bytes` and does not end within the first `seen` of them, once; and now and then another.
    pub(super) fn find(&self, bytes: &[u8], seen: usize, found: &mut Found, mut each: impl FnMut(u32)) {
        found.clear(self.patterns.len());
        let mut compare = |pattern: u32, start: usize| {
            let is_there = || {
                let text = &*self.patterns[pattern as usize];
                let end = start + text.len();
                end > seen && bytes.get(start..end).is_some_and(|bytes| bytes.eq_ignore_ascii_case(text))
            };
            if found.is_told(pattern, is_there) {
                each(pattern);
            }
            found.is_done(pattern)
        };
        if let Some(table) = &self.table {
            table.search(bytes, &mut compare);
        }
        self.short.search(bytes, &mut compare);
    }

    /// Bytes that it takes.
    pub(super) fn memory_bytes(&self) -> usize {
        let table = self.table.as_ref().map_or(0, |table| {
            8 * WORDS + table.buckets.len() * 4 + table.entries.len() * size_of::<Entry>()
        });
        table + self.patterns.iter().map(|pattern| pattern.len() + size_of::<Box<[u8]>>()).sum::<usize>()
    }
}

/// Where the grams of a pattern begin that the fewest others have, and that are seldom met.
fn rarest(pattern: &[u8], stride: usize, load: &HashMap<u32, u32>) -> usize {
    let span = GRAM_BYTES + stride - 1;
    let cost = |from: usize| {
        let grams = (from..from + stride).filter_map(|at| gram_at(pattern, at));
        let shared = grams.map(|gram| load.get(&gram).copied().unwrap_or(0)).max().unwrap_or(0);
        let usual = pattern[from..from + span].iter().map(|byte| usualness(*byte)).sum::<u32>();
        (shared, usual)
    };
    (0..=pattern.len() - span).min_by_key(|from| cost(*from)).unwrap_or(0)
}

/// How often a byte is met in traffic, roughly.
pub(in crate::rules) const fn usualness(byte: u8) -> u32 {
    match byte {
        0 | 0xff | b' ' | b'e' | b't' | b'a' | b'o' | b'i' | b'n' => 4,
        b'\r' | b'\n' | b'/' | b'.' | b':' | b'-' | b'=' | b'0'..=b'9' => 3,
        byte if byte.is_ascii_alphabetic() => 2,
        _ => 1,
    }
}

impl Table {
    fn new(mut entries: Vec<Entry>, stride: usize) -> Self {
        entries.sort_by_key(|entry| (hash(entry.gram), entry.gram, entry.pattern));
        let mut bitmap = Box::new([0_u64; WORDS]);
        let bits = entries.len().next_power_of_two().trailing_zeros().min(BITS);
        let shift = BITS - bits;
        let mut buckets = vec![0_u32; (1 << bits) + 1];
        for entry in &entries {
            let hash = hash(entry.gram);
            bitmap[hash / 64 % WORDS] |= 1 << (hash % 64);
            buckets[(hash >> shift) + 1] += 1;
        }
        for place in 1..buckets.len() {
            buckets[place] += buckets[place - 1];
        }
        Self { bitmap, stride, buckets, shift, entries }
    }

    fn search(&self, bytes: &[u8], compare: &mut impl FnMut(u32, usize) -> bool) {
        // Each by itself, so that the step is a constant.
        match self.stride {
            4 => self.search_by::<4>(bytes, compare),
            2 => self.search_by::<2>(bytes, compare),
            _ => self.search_by::<1>(bytes, compare),
        }
    }

    #[inline]
    fn search_by<const STRIDE: usize>(&self, bytes: &[u8], compare: &mut impl FnMut(u32, usize) -> bool) {
        // Of a run of one byte, whose patterns are all told, the rest needs no look.
        let mut idle = None;
        for (at, window) in bytes.windows(GRAM_BYTES).enumerate().step_by(STRIDE) {
            let Ok(window) = <[u8; GRAM_BYTES]>::try_from(window) else { continue };
            let gram = fold(u32::from_le_bytes(window));
            let hash = hash(gram);
            // The remainder says nothing new, but to the compiler, that this is within the bitmap.
            if self.bitmap[hash / 64 % WORDS] >> (hash % 64) & 1 != 0
                && idle != Some(gram)
                && self.compare(gram, hash, at, compare)
            {
                idle = Some(gram);
            }
        }
    }

    /// Compares the patterns of a gram that may be known; whether none of them needs another comparison.
    #[inline(never)]
    fn compare(
        &self,
        gram: u32,
        hash: usize,
        at: usize,
        compare: &mut impl FnMut(u32, usize) -> bool,
    ) -> bool {
        let bucket = hash >> self.shift;
        let (from, to) = (self.buckets[bucket] as usize, self.buckets[bucket + 1] as usize);
        let mut are_done = true;
        for entry in self.entries[from..to].iter().filter(|entry| entry.gram == gram) {
            are_done &= match at.checked_sub(usize::from(entry.at)) {
                Some(start) => compare(entry.pattern, start),
                None => false,
            };
        }
        are_done
    }
}

impl Short {
    fn new(patterns: &[Vec<u8>], numbers: &[u32]) -> Self {
        if numbers.len() <= FEW {
            return Self::Few(
                numbers.iter().map(|number| Rare::of(*number, &patterns[*number as usize])).collect(),
            );
        }
        let (mut bitmap, mut by_first) = (vec![0; 65_536 / 64], vec![Vec::new(); 256]);
        for number in numbers {
            let pattern = &patterns[*number as usize];
            let first = fold_byte(pattern[0]);
            by_first[usize::from(first)].push(*number);
            for second in 0..=u8::MAX {
                let is_meant = pattern.get(1).is_none_or(|own| fold_byte(*own) == second);
                if is_meant {
                    let pair = usize::from(u16::from_le_bytes([first, second]));
                    bitmap[pair / 64] |= 1 << (pair % 64);
                }
            }
        }
        Self::Many { bitmap, by_first }
    }

    #[inline]
    fn search(&self, bytes: &[u8], compare: &mut impl FnMut(u32, usize) -> bool) {
        match self {
            Self::Few(few) => few.iter().for_each(|one| one.search(bytes, compare)),
            Self::Many { bitmap, by_first } => search_pairs(bitmap, by_first, bytes, compare),
        }
    }
}

impl Rare {
    fn of(number: u32, pattern: &[u8]) -> Self {
        let at = (0..pattern.len()).min_by_key(|at| usualness(pattern[*at])).unwrap_or(0);
        let byte = pattern[at];
        Self { pattern: number, at, either: [byte.to_ascii_lowercase(), byte.to_ascii_uppercase()] }
    }

    fn search(self, bytes: &[u8], compare: &mut impl FnMut(u32, usize) -> bool) {
        let [small, capital] = self.either;
        for found in memchr::memchr2_iter(small, capital, bytes) {
            if found.checked_sub(self.at).is_some_and(|start| compare(self.pattern, start)) {
                return;
            }
        }
    }
}

fn search_pairs(
    bitmap: &[u64],
    by_first: &[Vec<u32>],
    bytes: &[u8],
    compare: &mut impl FnMut(u32, usize) -> bool,
) {
    for (at, first) in bytes.iter().enumerate() {
        let first = fold_byte(*first);
        // The last byte is followed by none: whatever is short enough is compared.
        let is_met = match bytes.get(at + 1) {
            Some(second) => {
                let pair = usize::from(u16::from_le_bytes([first, fold_byte(*second)]));
                bitmap[pair / 64] >> (pair % 64) & 1 != 0
            }
            None => true,
        };
        if is_met {
            for pattern in &by_first[usize::from(first)] {
                compare(*pattern, at);
            }
        }
    }
}

const fn fold_byte(byte: u8) -> u8 {
    byte | 0x20
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn found(patterns: &[Vec<u8>], bytes: &[u8], seen: usize) -> Vec<u32> {
        let mut numbers = Vec::new();
        Grams::new(patterns.to_vec()).find(bytes, seen, &mut Found::default(), |number| numbers.push(number));
        numbers.sort_unstable();
        numbers
    }

    #[test]
    fn patterns_of_every_length_are_found_wherever_they_are() {
        let patterns: Vec<Vec<u8>> = (1..=12).map(|len| b"AbCdEfGhIjKl"[..len].to_vec()).collect();
        for before in 0..9 {
            let text = [&vec![b'.'; before][..], b"abcdefghijkl"].concat();
            assert_eq!(found(&patterns, &text, 0), (0..12).collect::<Vec<_>>(), "behind {before} bytes");
            assert_eq!(found(&patterns, &text, before + 10), [10, 11], "what ended before is not told");
        }
        assert_eq!(found(&patterns, b"", 0), [0; 0]);
        assert_eq!(found(&[], b"abc", 0), [0; 0]);
        assert_eq!(found(&[b"\0".to_vec(), b"@`".to_vec()], b" `@`", 0), [1], "other bytes are not the same");
    }

    proptest! {
        /// Against looking for each pattern by itself.
        #[test]
        fn what_is_there_is_found_and_hardly_anything_else(
            patterns in proptest::collection::vec(
                proptest::collection::vec(prop::sample::select(b"abAB\x00\x20@".to_vec()), 1..12), 0..40),
            bytes in proptest::collection::vec(prop::sample::select(b"abAB\x00\x20@`".to_vec()), 0..60),
            seen in 0_usize..20,
        ) {
            let expected: Vec<u32> = patterns.iter().enumerate().filter(|(_, pattern)| {
                bytes.windows(pattern.len()).enumerate().any(|(at, window)| {
                    at + pattern.len() > seen && window.eq_ignore_ascii_case(pattern)
                })
            }).map(|(number, _)| number as u32).collect();
            let told = found(&patterns, &bytes, seen);
            prop_assert!(expected.iter().all(|number| told.contains(number)), "{:?} of {:?}", told, expected);
            // Whoever is met seldom is told only where it is.
            if bytes.len() <= usize::from(TRIES_MAX) {
                prop_assert_eq!(told, expected);
            }
        }
    }
}
