//! How much do bytes differ from each other? Entropy of Shannon, as a mean over their values.

use crate::rules::rule::{Entropy, EntropyTest};

/// Bytes that are looked at.
const BYTES_MAX: usize = 64 << 10;

/// Two entropies that differ by less are the same.
const SAME: f64 = 1e-9;

/// Whether the bytes that are meant have the entropy that is asked for; where there are none, they have none.
pub(super) fn holds(entropy: &Entropy, bytes: &[u8]) -> bool {
    let from = usize::try_from(entropy.offset).unwrap_or(usize::MAX);
    let Some(rest) = bytes.get(from..).filter(|rest| !rest.is_empty()) else { return false };
    let wanted = entropy.bytes.map_or(usize::MAX, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
    // As many as are asked for, or nothing is said of them.
    if entropy.bytes.is_some() && rest.len() < wanted {
        return false;
    }
    let bits = bits_of(&rest[..rest.len().min(wanted).min(BYTES_MAX)]);
    match entropy.test {
        EntropyTest::Equal(other) => (bits - other).abs() < SAME,
        EntropyTest::NotEqual(other) => (bits - other).abs() >= SAME,
        EntropyTest::Less(other) => bits < other,
        EntropyTest::LessOrEqual(other) => bits <= other,
        EntropyTest::Greater(other) => bits > other,
        EntropyTest::GreaterOrEqual(other) => bits >= other,
        EntropyTest::Between(low, high) => bits > low && bits < high,
        EntropyTest::NotBetween(low, high) => bits <= low || bits >= high,
    }
}

fn bits_of(bytes: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    bytes.iter().for_each(|byte| counts[usize::from(*byte)] += 1);
    let all = bytes.len() as f64;
    counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| f64::from(*count) / all)
        .map(|p| -p * p.log2())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_bytes_have_none_and_all_bytes_have_eight_bits() {
        let all: Vec<u8> = (0..=255).collect();
        let of = |bytes, offset, test| Entropy { bytes, offset, test };
        assert!(holds(&of(None, 0, EntropyTest::Equal(8.0)), &all));
        assert!(holds(&of(None, 0, EntropyTest::Equal(0.0)), &[7; 100]));
        assert!(holds(&of(Some(4), 2, EntropyTest::Equal(2.0)), &all));
        assert!(holds(&of(Some(4), 0, EntropyTest::Between(1.9, 2.1)), &all));
        assert!(!holds(&of(None, 256, EntropyTest::Less(8.0)), &all));
        assert!(!holds(&of(Some(300), 0, EntropyTest::Less(9.0)), &all));
    }
}
