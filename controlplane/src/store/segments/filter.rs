//! May a block have a record with this term? A Bloom filter, so that a search reads few blocks.
//!
//! Ten bits a term and six probes: one block in a hundred is read in vain (Bloom 1970; Kirsch and Mitzenmacher 2006 for
//! two hashes in the place of six). The hash is part of the format: it never changes within a format.

/// Bits for each term.
const BITS_PER_TERM: usize = 10;

const PROBES: u64 = 6;

/// Largest filter, bytes: a block with more terms is read in vain more often.
pub(super) const FILTER_BYTES_MAX: usize = 64 << 10;

/// FNV-1a, then the finish of `SplitMix64`: FNV's upper bits alone are too regular.
pub(super) fn hash(term: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in term {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

/// The filter of these terms; empty where there are none. `hashes` are sorted and freed of doubles.
pub(super) fn build(hashes: &mut Vec<u64>, out: &mut Vec<u8>) {
    hashes.sort_unstable();
    hashes.dedup();
    if hashes.is_empty() {
        return;
    }
    let bytes = (hashes.len() * BITS_PER_TERM).div_ceil(64) * 8;
    let begin = out.len();
    out.resize(begin + bytes.min(FILTER_BYTES_MAX), 0);
    let filter = &mut out[begin..];
    for hash in hashes.iter() {
        for bit in bits(*hash, filter.len()) {
            filter[bit / 8] |= 1 << (bit % 8);
        }
    }
}

/// Whether a record with this term may be in the block; a filter without bits has no terms.
pub(super) fn may_have(filter: &[u8], hash: u64) -> bool {
    !filter.is_empty() && bits(hash, filter.len()).all(|bit| filter[bit / 8] & (1 << (bit % 8)) != 0)
}

fn bits(hash: u64, filter_bytes: usize) -> impl Iterator<Item = usize> {
    let bits = filter_bytes as u64 * 8;
    let step = (hash >> 32) | 1;
    (0..PROBES).map(move |probe| (hash.wrapping_add(probe.wrapping_mul(step)) % bits) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_found_and_little_else() {
        for terms in [1, 10, 1_000, 20_000] {
            let mut hashes: Vec<u64> =
                (0..terms).map(|at| hash(format!("ip:10.0.{at}.1").as_bytes())).collect();
            let mut filter = Vec::new();
            build(&mut hashes, &mut filter);
            assert!(hashes.iter().all(|hash| may_have(&filter, *hash)));
            let wrong =
                (0..10_000).filter(|at| may_have(&filter, hash(format!("user:{at}").as_bytes()))).count();
            assert!(wrong < 300, "{terms} terms: {wrong} of 10,000 found in vain");
        }
        assert!(!may_have(&[], hash(b"ip:10.0.0.1")));
    }

    #[test]
    fn a_filter_is_bounded() {
        let mut hashes: Vec<u64> = (0..200_000_u32).map(|at| hash(&at.to_le_bytes())).collect();
        let mut filter = Vec::new();
        build(&mut hashes, &mut filter);
        assert_eq!(filter.len(), FILTER_BYTES_MAX);
        assert!(hashes.iter().all(|hash| may_have(&filter, *hash)));
    }

    #[test]
    fn the_hash_is_the_formats() {
        // Files of format 1 hold filters of this hash.
        assert_eq!(hash(b""), 0xf52a_15e9_a9b5_e89b);
    }
}
