//! How long was it, to a two-thousandth? A duration in two bytes, for what a flow remembers beside its counters.

use std::time::Duration;

/// Bits of the leading digits.
const DIGIT_BITS: u32 = 11;

/// No duration.
const NONE: u16 = u16::MAX;

/// A duration of milliseconds, or none: its first eleven binary digits, and how many follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Coarse(u16);

impl Coarse {
    pub(super) const NONE: Self = Self(NONE);

    /// Rounded down; what is longer than 139,000 years is that.
    pub(super) fn of(duration: Duration) -> Self {
        let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let following = (u64::BITS - ms.leading_zeros()).saturating_sub(DIGIT_BITS).min(31);
        let digits = (ms >> following).min((1 << DIGIT_BITS) - 1);
        Self(((following << DIGIT_BITS) as u16 | digits as u16).min(NONE - 1))
    }

    pub(super) const fn get(self) -> Option<Duration> {
        if self.0 == NONE {
            return None;
        }
        let digits = (self.0 & ((1 << DIGIT_BITS) - 1)) as u64;
        Some(Duration::from_millis(digits << (self.0 >> DIGIT_BITS)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_come_back_to_a_two_thousandth() {
        for ms in [0, 1, 2_047, 2_048, 60_001, 3_600_123, 86_400_000, 31_536_000_000, 1 << 41] {
            let back = Coarse::of(Duration::from_millis(ms)).get().map(|back| back.as_millis() as u64);
            assert!(back.is_some_and(|back| back <= ms && ms - back <= ms / 1_024), "{ms}: {back:?}");
        }
        assert_eq!(Coarse::NONE.get(), None);
        assert!(Coarse::of(Duration::MAX).get().is_some());
    }
}
