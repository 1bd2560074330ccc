//! Where does a key belong? A keyed hash that a sender of packets cannot aim at.
//!
//! Three folded 64x64 -> 128 bit multiplications over secret-masked words and one to finish (the
//! construction of wyhash and foldhash), about 4 ns and pipelined over a batch. Not cryptographic: the
//! secret seed hides where keys land, and the index bounds every probe should somebody find out.

use super::FlowKey;

/// The secret words of one table.
#[derive(Debug, Clone)]
pub(super) struct KeyHasher {
    secret: [u64; 7],
}

impl KeyHasher {
    pub(super) fn new(seed: u64) -> Self {
        let mut state = seed;
        Self { secret: std::array::from_fn(|_| split_mix(&mut state)) }
    }

    #[inline]
    pub(super) fn hash(&self, key: &FlowKey) -> u64 {
        let [s0, s1, s2, s3, s4, s5, s6] = self.secret;
        let [lo_high, lo_low, hi_high, hi_low, ports, rest] = key.words();
        let lo = fold(lo_high ^ s0, lo_low ^ s1);
        let hi = fold(hi_high ^ s2, hi_low ^ s3);
        let tail = fold(ports ^ s4, rest ^ s5);
        // Lower and higher endpoint enter by different operands, so that swapping them matters.
        fold(lo.wrapping_add(tail), hi ^ tail.rotate_left(32) ^ s6)
    }
}

#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product >> 64) as u64 ^ product as u64
}

/// Vigna's SplitMix64: spreads one seed over independent words.
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::key::Labels;
    use crate::parse::Addr;

    const LABELS: Labels = Labels { vni: 0, vlan_outer: 0, vlan_inner: 0, protocol: 6 };
    const SERVER: (Addr, u16) = (Addr::v4([192, 0, 2, 1]), 80);

    fn key(n: u32, port: u16) -> FlowKey {
        FlowKey::between((Addr::v4(n.to_be_bytes()), port), SERVER, LABELS).0
    }

    #[test]
    fn sequential_addresses_and_ports_spread_like_random_ones() {
        let hasher = KeyHasher::new(7);
        let mut by_high = [0_u32; 256];
        let mut by_low = [0_u32; 256];
        for n in 0..65_536 {
            let hash = hasher.hash(&key(0x0a00_0000 + n / 16, 1024 + (n % 16) as u16));
            by_high[(hash >> 56) as usize] += 1;
            by_low[(hash & 0xff) as usize] += 1;
        }
        // Mean 256, standard deviation 16: six of them.
        for count in by_high.into_iter().chain(by_low) {
            assert!((160..=352).contains(&count), "{count}");
        }
    }

    #[test]
    fn every_field_and_the_seed_matter() {
        let hasher = KeyHasher::new(1);
        let client = (Addr::v4([10, 0, 0, 1]), 1000);
        let keys = [
            FlowKey::between(client, SERVER, LABELS),
            FlowKey::between((client.0, 80), (SERVER.0, 1000), LABELS),
            FlowKey::between((Addr::v4([10, 0, 0, 2]), 1000), SERVER, LABELS),
            FlowKey::between(client, (Addr::v4([192, 0, 2, 2]), 80), LABELS),
            FlowKey::between((Addr::v6([1; 16]), 1000), SERVER, LABELS),
            FlowKey::between(client, SERVER, Labels { vni: 1, ..LABELS }),
            FlowKey::between(client, SERVER, Labels { vlan_outer: 1, ..LABELS }),
            FlowKey::between(client, SERVER, Labels { vlan_inner: 1, ..LABELS }),
            FlowKey::between(client, SERVER, Labels { protocol: 17, ..LABELS }),
        ];
        let mut seen = vec![KeyHasher::new(2).hash(&keys[0].0)];
        seen.extend(keys.iter().map(|(key, _)| hasher.hash(key)));
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), keys.len() + 1);
    }
}
