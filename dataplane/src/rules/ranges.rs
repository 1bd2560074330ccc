//! Sets of numbers as sorted ranges: what a rule's addresses and ports come down to, negation and nesting resolved.

/// A number of which there are sets.
pub trait Bounded: Copy + Ord + std::fmt::Debug {
    /// The smallest.
    const MIN: Self;
    /// The largest.
    const MAX: Self;
    /// The number after it; `None` after the largest.
    fn after(self) -> Option<Self>;
    /// The number before it; `None` before the smallest.
    fn before(self) -> Option<Self>;
}

macro_rules! bounded {
    ($($number:ty),*) => {$(
        impl Bounded for $number {
            const MIN: Self = <$number>::MIN;
            const MAX: Self = <$number>::MAX;
            fn after(self) -> Option<Self> {
                self.checked_add(1)
            }
            fn before(self) -> Option<Self> {
                self.checked_sub(1)
            }
        }
    )*};
}
bounded!(u16, u32, u128);

/// Numbers in ranges that include both ends, sorted, with a gap between each two.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RangeSet<T>(Vec<(T, T)>);

impl<T> Default for RangeSet<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Bounded> RangeSet<T> {
    /// Every number.
    #[must_use]
    pub fn all() -> Self {
        Self(vec![(T::MIN, T::MAX)])
    }

    /// First and last number of each range, in order.
    #[must_use]
    pub fn spans(&self) -> &[(T, T)] {
        &self.0
    }

    /// The numbers of ranges that may overlap and come in any order.
    #[must_use]
    pub fn of(mut ranges: Vec<(T, T)>) -> Self {
        ranges.retain(|(from, to)| from <= to);
        ranges.sort_unstable();
        let mut joined: Vec<(T, T)> = Vec::with_capacity(ranges.len());
        for (from, to) in ranges {
            match joined.last_mut() {
                // Overlapping, or the one begins where the other ends.
                Some(last) if last.1.after().is_none_or(|next| from <= next) => last.1 = last.1.max(to),
                _ => joined.push((from, to)),
            }
        }
        Self(joined)
    }

    /// Those of this set or of the other.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        Self::of(self.0.iter().chain(&other.0).copied().collect())
    }

    /// Those that are not in this set.
    #[must_use]
    pub fn complement(&self) -> Self {
        let mut left = Vec::with_capacity(self.0.len() + 1);
        let mut from = Some(T::MIN);
        for (first, last) in &self.0 {
            if let (Some(from), Some(to)) = (from, first.before())
                && from <= to
            {
                left.push((from, to));
            }
            from = last.after();
        }
        left.extend(from.map(|from| (from, T::MAX)));
        Self(left)
    }

    /// Those of this set that are not in the other.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        self.complement().or(other).complement()
    }

    /// Whether the number is in it. Grows with the logarithm of the number of ranges.
    #[must_use]
    pub fn contains(&self, number: T) -> bool {
        let behind = self.0.partition_point(|(from, _to)| *from <= number);
        behind > 0 && number <= self.0[behind - 1].1
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether there are all.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.0 == [(T::MIN, T::MAX)]
    }

    /// The ranges, both ends included, the smallest first.
    #[must_use]
    pub fn ranges(&self) -> &[(T, T)] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn set() -> impl Strategy<Value = RangeSet<u16>> {
        let edge = prop_oneof![Just(0), Just(1), Just(u16::MAX - 1), Just(u16::MAX), any::<u16>()];
        proptest::collection::vec((edge.clone(), edge), 0..6).prop_map(RangeSet::of)
    }

    #[test]
    fn neighbours_are_joined_and_ends_are_kept() {
        assert_eq!(RangeSet::<u16>::of(vec![(5, 9), (1, 4), (20, 19)]).ranges(), [(1, 9)]);
        assert_eq!(RangeSet::<u16>::all().complement(), RangeSet::default());
        assert!(RangeSet::<u16>::default().complement().is_all());
        assert_eq!(RangeSet::<u16>::of(vec![(0, 0), (65_535, 65_535)]).complement().ranges(), [(1, 65_534)]);
    }

    proptest! {
        #[test]
        fn sets_are_what_their_members_say(one in set(), other in set(), number in any::<u16>()) {
            for number in [number, 0, 1, u16::MAX - 1, u16::MAX] {
                let (in_one, in_other) = (one.contains(number), other.contains(number));
                prop_assert_eq!(one.or(&other).contains(number), in_one || in_other);
                prop_assert_eq!(one.without(&other).contains(number), in_one && !in_other);
                prop_assert_eq!(one.complement().contains(number), !in_one);
            }
        }
    }
}
