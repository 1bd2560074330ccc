//! A test of a number, as many keywords have it: `>5`, `10-20`, `!3`, `&0x80`.

/// What must hold of a number. Both ends of a span are outside of it, as Suricata has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NumberTest {
    /// It is this.
    Equal(u64),
    /// It is another.
    NotEqual(u64),
    /// It is smaller.
    Less(u64),
    /// It is smaller or this.
    LessOrEqual(u64),
    /// It is larger.
    Greater(u64),
    /// It is larger or this.
    GreaterOrEqual(u64),
    /// It lies between, neither being one of the two.
    Between(u64, u64),
    /// It does not.
    NotBetween(u64, u64),
    /// Its bits under the mask are these.
    Masked(u64, u64),
    /// Its bits under the mask are others.
    NotMasked(u64, u64),
}

impl NumberTest {
    /// Whether it holds.
    #[must_use]
    pub const fn holds(self, number: u64) -> bool {
        match self {
            Self::Equal(other) => number == other,
            Self::NotEqual(other) => number != other,
            Self::Less(other) => number < other,
            Self::LessOrEqual(other) => number <= other,
            Self::Greater(other) => number > other,
            Self::GreaterOrEqual(other) => number >= other,
            Self::Between(low, high) => number > low && number < high,
            Self::NotBetween(low, high) => number <= low || number >= high,
            Self::Masked(mask, bits) => number & mask == bits,
            Self::NotMasked(mask, bits) => number & mask != bits,
        }
    }

    /// Whether it holds of a number from `low` to `high`, both included.
    #[must_use]
    pub const fn holds_within(self, low: u64, high: u64) -> bool {
        if low > high {
            return false;
        }
        match self {
            Self::Equal(other) => low <= other && other <= high,
            Self::NotEqual(other) => low != other || high != other,
            Self::Less(other) => low < other,
            Self::LessOrEqual(other) => low <= other,
            Self::Greater(other) => high > other,
            Self::GreaterOrEqual(other) => high >= other,
            Self::Between(from, to) => low < to && high > from && from.saturating_add(1) < to,
            Self::NotBetween(from, to) => low <= from || high >= to,
            // Bits are asked of one number.
            Self::Masked(..) | Self::NotMasked(..) => self.holds(low) || self.holds(high),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::NumberTest::*;

    #[test]
    fn ends_of_a_span_are_outside() {
        assert!(!Between(5, 10).holds(5) && Between(5, 10).holds(6) && !Between(5, 10).holds(10));
        assert!(NotBetween(5, 10).holds(5) && !NotBetween(5, 10).holds(6) && NotBetween(5, 10).holds(10));
        assert!(Masked(0x80, 0x80).holds(0xff) && NotMasked(0x80, 0x80).holds(0x7f));
        assert!(Equal(5).holds_within(1, 9) && !Equal(5).holds_within(6, 9) && !Equal(5).holds_within(9, 1));
        assert!(
            Greater(8).holds_within(1, 9) && !Greater(9).holds_within(1, 9) && Less(2).holds_within(1, 9)
        );
        assert!(Between(8, 20).holds_within(1, 9) && !Between(9, 20).holds_within(1, 9));
    }
}
