//! In which order do policies stand in the index, so that few words hold what can match one flow?
//!
//! Not in evaluation order: there policies that ask for different things alternate, and hardly a word rules itself
//! out. Policies stand by the field that tells most about each of them (a host rather than its zone), and there by
//! the value that they ask for, as Baboescu and Varghese (2001) rearrange rules; so a value of a field is in one
//! word of the policies that go by this field, and the others' words are ruled out by theirs. But policies are
//! gathered only from bands of evaluation order, each three times as wide as all before it, so that one in front is found without
//! a look at those far behind it. Words are cut after 64; inside a chunk policies are in evaluation order, and
//! chunks follow one another by the best policy that each holds: a walk ends at the first chunk whose best policy
//! comes behind what it has found. Costs one sort and a count of all values.

use super::condition::{Condition, Test};
use super::index::{DIMENSIONS, Dimension, dimension, mac_number, number};
use super::model::AddrSet;
use std::collections::HashMap;

/// Policies of one chunk: the bits of a word.
pub(super) const CHUNK: usize = 64;
/// Slots for each policy at most: a chunk is at least half full.
pub(super) const SLOTS_A_POLICY: usize = 2;
/// In the slots of a chunk that is not full: behind every policy.
pub(super) const VACANT: u32 = u32::MAX;

/// Policies of the first band.
const FIRST_BAND: u32 = 256;
/// Fields that order policies, the most telling first.
const FIELDS: usize = 3;
/// Behind every dimension.
const NO_FIELD: u8 = DIMENSIONS as u8;

/// What decides where a policy stands.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    band: u32,
    fields: [(u8, u64); FIELDS],
    rank: u32,
}

/// How many policies ask for a value of a dimension.
type Popularity = HashMap<(u8, u64), u32, foldhash::fast::FixedState>;

/// The rank of the policy in each slot, and [`VACANT`] behind the policies of a chunk that is not full.
/// `conditions` are those that the index answers, by rank.
pub(super) fn arrange<'c>(conditions: impl Iterator<Item = &'c [Condition]> + Clone) -> Vec<u32> {
    let mut popularity = Popularity::default();
    let mut asked = [0_u32; DIMENSIONS];
    for (dimension, test) in conditions.clone().flatten().filter_map(indexed) {
        *popularity.entry((dimension as u8, value_of(test))).or_default() += 1;
        asked[dimension as usize] += 1;
    }
    let mut keys: Vec<Key> =
        (0..).zip(conditions).map(|(rank, conditions)| key(rank, conditions, &popularity, &asked)).collect();
    keys.sort_unstable();
    let mut slots = Vec::with_capacity(keys.len() + CHUNK);
    let group = |key: &Key| (key.band, key.fields[0].0);
    for group in keys.chunk_by(|a, b| group(a) == group(b)) {
        // Where two groups share a chunk, what rules out the one does not rule out the other.
        if slots.len() % CHUNK > CHUNK / 2 {
            fill_chunk(&mut slots);
        }
        slots.extend(group.iter().map(|key| key.rank));
    }
    chunked(slots)
}

fn fill_chunk(slots: &mut Vec<u32>) {
    slots.resize(slots.len().next_multiple_of(CHUNK), VACANT);
}

/// Cuts ranks that are near one another into chunks.
pub(super) fn chunked(mut slots: Vec<u32>) -> Vec<u32> {
    fill_chunk(&mut slots);
    let (chunks, _) = slots.as_chunks_mut::<CHUNK>();
    chunks.iter_mut().for_each(|chunk| chunk.sort_unstable());
    chunks.sort_unstable_by_key(|chunk| chunk[0]);
    slots
}

fn indexed(condition: &Condition) -> Option<(Dimension, &Test)> {
    dimension(&condition.test).map(|dimension| (dimension, &condition.test))
}

fn key(rank: u32, conditions: &[Condition], popularity: &Popularity, asked: &[u32; DIMENSIONS]) -> Key {
    let mut fields = [(u32::MAX, NO_FIELD, 0); FIELDS];
    for (dimension, test) in conditions.iter().filter_map(indexed) {
        let value = value_of(test);
        let dimension = dimension as u8;
        let popular = popularity.get(&(dimension, value)).copied().unwrap_or(1);
        // The share of flows that it holds for, at a guess: the larger one of what its width and what the policies
        // tell, in 2^32.
        let share = (u64::from(popular) << 32) / u64::from(asked[usize::from(dimension)].max(1));
        let share = share.max(width(test)).min(u64::from(u32::MAX)) as u32;
        let field = (share, dimension, value);
        let place = fields.partition_point(|other| *other < field);
        if place < FIELDS {
            fields[place..].rotate_right(1);
            fields[place] = field;
        }
    }
    // The first band is 0, and the one that starts with four times as many policies is one more.
    let band = (rank / FIRST_BAND).checked_ilog2().map_or(0, |doublings| doublings / 2 + 1);
    Key { band, fields: fields.map(|(_, dimension, value)| (dimension, value)), rank }
}

/// A number that is near for tests that hold for nearly the same flows.
fn value_of(test: &Test) -> u64 {
    match test {
        Test::SrcIp(set) | Test::DstIp(set) => match (set.v4.first(), set.v6.first()) {
            (Some((low, high)), _) => u64::from(*low) << 32 | u64::from(*high),
            (None, Some((low, _))) => (low >> 64) as u64,
            (None, None) => 0,
        },
        Test::SrcPort(spans) | Test::DstPort(spans) | Test::Vlan(spans) => {
            spans.first().map_or(0, |(low, high)| u64::from(*low) << 16 | u64::from(*high))
        }
        Test::Protocol { l4, l7 } => {
            let l7 = l7.first().map(|id| 1 << 8 | number(*id) << 16);
            l4.iter().next().map(u64::from).or(l7).unwrap_or_default()
        }
        Test::Zone(set) | Test::InPort(set) => set.iter().next().map_or(0, u64::from),
        Test::SrcMac(macs) => macs.first().map_or(0, |mac| mac_number(*mac)),
        Test::Application(set)
        | Test::Category(set)
        | Test::UserId(set)
        | Test::UserRole(set)
        | Test::Groups(set)
        | Test::DstUserId(set)
        | Test::DstUserRole(set)
        | Test::Country(set) => set.first().map_or(0, |id| number(*id)),
        Test::MinConfidence(_) | Test::Attribute { .. } | Test::Schedule(_) => 0,
    }
}

/// The share of flows, in 2^32, that a test holds for by the width of its ranges; 0 for names.
fn width(test: &Test) -> u64 {
    match test {
        Test::SrcIp(set) | Test::DstIp(set) => addresses(set),
        Test::SrcPort(spans) | Test::DstPort(spans) | Test::Vlan(spans) => {
            spans.iter().map(|(low, high)| (u64::from(high - low) + 1) << 16).sum()
        }
        Test::Zone(_)
        | Test::InPort(_)
        | Test::SrcMac(_)
        | Test::Protocol { .. }
        | Test::Application(_)
        | Test::Category(_)
        | Test::UserId(_)
        | Test::UserRole(_)
        | Test::Groups(_)
        | Test::DstUserId(_)
        | Test::DstUserRole(_)
        | Test::Country(_)
        | Test::MinConfidence(_)
        | Test::Attribute { .. }
        | Test::Schedule(_) => 0,
    }
}

/// A site has an 8th of the bits to itself (10.0.0.0/8, 2001:db8::/32), and hosts of IPv6 the lower half.
fn addresses(set: &AddrSet) -> u64 {
    let v4 = set.v4.iter().map(|(low, high)| (u64::from(high - low) + 1) << 8);
    let v6 = set.v6.iter().map(|(low, high)| ((high - low) >> 64).min(1 << 32) as u64);
    v4.chain(v6).fold(0, u64::saturating_add)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::super::{Environment, Names, PolicyFile, PolicySet};
    use super::*;
    use serde_json::json;

    /// Shapes and values of `total` policies that alternate, arranged.
    fn arranged(total: u32) -> (PolicySet, Vec<u32>) {
        let policies: Vec<_> = (0..total)
            .map(|rank| {
                let conditions = match rank % 3 {
                    0 => json!({"src_ip": format!("10.0.{}.0/24", rank / 3 % 7), "dst_port": rank}),
                    1 => json!({"protocol": "udp", "not": {"dst_port": rank}}),
                    _ => json!({"application": format!("app-{}", rank % 5), "vlan": format!("{}-4000", rank % 100)}),
                };
                json!({"policy_id": format!("{rank:06}"), "priority": rank, "conditions": conditions, "action": "drop"})
            })
            .collect();
        let file = PolicyFile::parse("p", json!(policies).to_string().as_bytes()).unwrap();
        let set = PolicySet::compile(&file, 1, &Environment::default(), &mut Names::new()).unwrap();
        let conditions =
            set.heads.iter().map(|head| &set.conditions[head.first as usize..head.residual as usize]);
        let slots = arrange(conditions);
        (set, slots)
    }

    #[test]
    fn every_policy_has_one_slot_and_chunks_ascend() {
        for total in [0, 1, 63, 64, 65, 255, 256, 257, 1_000, 5_000] {
            let (_, slots) = arranged(total);
            assert_eq!(slots.len() % CHUNK, 0);
            assert!(slots.len() <= (total as usize * SLOTS_A_POLICY).next_multiple_of(CHUNK), "{total}");
            let mut ranks: Vec<u32> = slots.iter().copied().filter(|rank| *rank != VACANT).collect();
            ranks.sort_unstable();
            assert!(ranks.iter().copied().eq(0..total), "{total}");
            let (chunks, _) = slots.as_chunks::<CHUNK>();
            assert!(chunks.iter().all(|chunk| chunk.is_sorted()), "{total}");
            assert!(chunks.is_sorted_by_key(|chunk| chunk[0]), "{total}");
        }
    }

    #[test]
    fn policies_that_ask_alike_share_chunks_in_the_bands() {
        let (set, slots) = arranged(5_000);
        let shape = |rank: u32| {
            let head = &set.heads[rank as usize];
            set.conditions[head.first as usize].test.field()
        };
        let mut mixed = 0;
        for chunk in slots.as_chunks::<CHUNK>().0 {
            let ranks = || chunk.iter().copied().filter(|rank| *rank != VACANT);
            mixed += usize::from(ranks().any(|rank| shape(rank) != shape(chunk[0])));
        }
        // Three groups in each of four bands: at most one chunk is shared where two of them meet.
        assert!(mixed <= 12, "{mixed}");
    }
}
