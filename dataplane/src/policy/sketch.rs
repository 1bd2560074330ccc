//! Could one flow meet both of these policies? A few words a policy, looked at before what is written is compared.

use std::hash::BuildHasher;

use foldhash::quality::FixedState;

use super::model::{AddrSet, Conditions};

/// What no value is left out of.
const ANY: (u32, u32) = (0, u32::MAX);

/// The outline of a policy's conditions: two whose outlines do not meet have no flow in common.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sketch {
    /// From the lowest to the highest IPv4 address or port.
    spans: [(u32, u32); 4],
    /// A bit for each word.
    words: [u64; 4],
}

impl Sketch {
    pub(super) fn of(conditions: &Conditions) -> Self {
        let all = &conditions.all;
        let words = [&all.user_id, &all.application, &all.user_role, &all.category];
        Self {
            spans: [addrs(&all.dst_ip), addrs(&all.src_ip), ports(&all.dst_port), ports(&all.src_port)],
            words: words.map(|words| bits(words)),
        }
    }

    /// `false`: no flow meets both.
    #[inline]
    pub(super) fn may_meet(&self, other: &Self) -> bool {
        let spans = self.spans.iter().zip(&other.spans).all(|(a, b)| a.0 <= b.1 && b.0 <= a.1);
        spans && self.words.iter().zip(&other.words).all(|(a, b)| a & b != 0)
    }
}

fn addrs(set: &AddrSet) -> (u32, u32) {
    match (set.v4.first(), set.v4.last(), set.v6.is_empty()) {
        (Some(first), Some(last), true) => (first.0, last.1),
        _ => ANY,
    }
}

fn ports(spans: &[(u16, u16)]) -> (u32, u32) {
    spans.first().zip(spans.last()).map_or(ANY, |(first, last)| (first.0.into(), last.1.into()))
}

/// Words of one value each: a flow has one of them.
fn bits(words: &[String]) -> u64 {
    if words.is_empty() || words.iter().any(|word| word.contains('*')) {
        return u64::MAX;
    }
    let bit = |word: &String| 1 << (FixedState::default().hash_one(word.to_lowercase()) >> 58);
    words.iter().map(bit).fold(0, |bits, bit: u64| bits | bit)
}
