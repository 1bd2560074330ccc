//! Which worker owns this flow? The NIC's own function, so that hardware queues already agree.
//!
//! Toeplitz with the symmetric key 0x6D5A repeated (Woo and Park 2012): its period is 16 bits, so the
//! hash of a tuple is the hash of the XOR of its 16-bit words, and two 256-entry tables give it.

use crate::parse::Addr;

/// Entries of the indirection table, as most NICs have.
pub const TABLE_LEN: usize = 128;

/// Maps a hash to a worker; set alike on both ports and read back where the NIC has RSS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnerTable {
    entries: [u8; TABLE_LEN],
}

impl OwnerTable {
    /// Spreads the table evenly over `workers` (1 to 255), as `ethtool -X ... equal N` does.
    #[must_use]
    pub fn even(workers: u8) -> Self {
        let workers = usize::from(workers.max(1));
        let mut entries = [0; TABLE_LEN];
        for (index, entry) in entries.iter_mut().enumerate() {
            *entry = (index % workers) as u8;
        }
        Self { entries }
    }

    /// The worker of a hash: its low seven bits index the table, as in the NIC.
    #[inline]
    #[must_use]
    pub fn worker(&self, hash: u32) -> u8 {
        self.entries[hash as usize % TABLE_LEN]
    }

    /// The table, for a NIC.
    #[must_use]
    pub fn entries(&self) -> &[u8; TABLE_LEN] {
        &self.entries
    }
}

/// Toeplitz hash of addresses and ports; both directions give the same. Ports are zero for fragments and
/// protocols without ports, as in NICs.
#[inline]
#[must_use]
pub fn rss_hash(src: Addr, dst: Addr, src_port: u16, dst_port: u16) -> u32 {
    let mut folded = src_port ^ dst_port;
    // A mapped IPv4 address differs from its four bytes by the same prefix on both sides: it cancels out.
    for index in 0..8 {
        folded ^= u16::from_be_bytes([src.0[2 * index], src.0[2 * index + 1]]);
        folded ^= u16::from_be_bytes([dst.0[2 * index], dst.0[2 * index + 1]]);
    }
    HIGH[usize::from(folded >> 8)] ^ LOW[usize::from(folded & 0xff)]
}

const HIGH: [u32; 256] = table(8);
const LOW: [u32; 256] = table(0);

/// Hashes of every byte at bit position `shift` of a 16-bit word.
const fn table(shift: u32) -> [u32; 256] {
    // The 48 key bits that a 16-bit word meets: 0x6D5A three times.
    const KEY: u64 = 0x6d5a_6d5a_6d5a;
    let mut out = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let word = (byte as u32) << shift;
        let mut bit = 0;
        while bit < 16 {
            if word & (0x8000 >> bit) != 0 {
                out[byte] ^= (KEY >> (16 - bit)) as u32;
            }
            bit += 1;
        }
        byte += 1;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Microsoft's definition, bit by bit, over the bytes in the NIC's order.
    fn reference(input: &[u8]) -> u32 {
        let key: Vec<u8> = [0x6d, 0x5a].into_iter().cycle().take(input.len() + 4).collect();
        let mut hash = 0;
        for (index, byte) in input.iter().enumerate() {
            for bit in 0..8 {
                if byte & (0x80 >> bit) != 0 {
                    let window = u64::from_be_bytes([
                        key[index],
                        key[index + 1],
                        key[index + 2],
                        key[index + 3],
                        *key.get(index + 4).unwrap_or(&0),
                        0,
                        0,
                        0,
                    ]);
                    hash ^= (window << bit >> 32) as u32;
                }
            }
        }
        hash
    }

    #[test]
    fn agrees_with_the_bitwise_definition_for_v4_and_v6() {
        let (a, b) = ([192, 168, 1, 77], [10, 1, 2, 3]);
        let mut input = [a, b].concat();
        input.extend([0x12, 0x34, 0x01, 0xbb]);
        assert_eq!(rss_hash(Addr::v4(a), Addr::v4(b), 0x1234, 443), reference(&input));

        let (a, b) = ([7; 16], *b"abcdefghijklmnop");
        let mut input = [a, b].concat();
        input.extend([0xff, 0x01, 0x00, 0x35]);
        assert_eq!(rss_hash(Addr::v6(a), Addr::v6(b), 0xff01, 53), reference(&input));
    }

    #[test]
    fn both_directions_meet() {
        let (a, b) = (Addr::v4([1, 2, 3, 4]), Addr::v4([5, 6, 7, 8]));
        assert_eq!(rss_hash(a, b, 1000, 80), rss_hash(b, a, 80, 1000));
    }

    #[test]
    fn even_table_uses_every_worker() {
        let table = OwnerTable::even(3);
        for worker in 0..3 {
            assert!(table.entries().contains(&worker));
        }
    }
}
