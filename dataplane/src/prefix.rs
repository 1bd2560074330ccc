//! Ranges of numbers as prefixes, which tables of addresses and ports are looked up by.

/// Cuts `first..=last` into prefixes (at most two for each bit): the first and the last number of each, ascending.
pub(crate) fn cut(first: u128, last: u128, mut emit: impl FnMut(u128, u128)) {
    let mut at = first;
    loop {
        // The largest aligned power of two that starts here and does not pass the end.
        let span = last - at;
        let fits = if span == u128::MAX { 128 } else { (span + 1).ilog2() };
        let bits = at.trailing_zeros().min(fits);
        let end = if bits >= 128 { u128::MAX } else { at + ((1 << bits) - 1) };
        emit(at, end);
        if end >= last {
            return;
        }
        at = end + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn ranges_are_cut_into_the_fewest_prefixes() {
        let cut_all = |first, last| {
            let mut out = Vec::new();
            cut(first, last, |a, b| out.push((a, b)));
            out
        };
        assert_eq!(cut_all(0, u128::MAX), [(0, u128::MAX)]);
        assert_eq!(cut_all(0, 65535), [(0, 65535)]);
        assert_eq!(cut_all(7, 7), [(7, 7)]);
        assert_eq!(cut_all(1, 6), [(1, 1), (2, 3), (4, 5), (6, 6)]);
        assert_eq!(cut_all(u128::MAX - 1, u128::MAX), [(u128::MAX - 1, u128::MAX)]);
        assert_eq!(cut_all(1, u128::MAX).len(), 128);
    }

    proptest::proptest! {
        /// Prefixes follow each other, begin where their size lets them, and end where the range ends.
        #[test]
        fn ranges_are_cut_without_gaps(first: u128, len in 0_u128..1 << 40, shift in 0_u32..90) {
            let first = first >> shift << shift;
            let last = first.saturating_add(len);
            let mut next = Some(first);
            cut(first, last, |from, end| {
                assert_eq!(Some(from), next);
                let size = (end - from).checked_add(1);
                assert!(size.is_none_or(|size| size.is_power_of_two() && from % size == 0));
                assert!(end <= last);
                next = end.checked_add(1);
            });
            proptest::prop_assert_eq!(next, last.checked_add(1));
        }
    }
}
