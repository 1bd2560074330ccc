//! Is the CRC32c of an SCTP packet right, and what would make it right? RFC 9260 6.8 and appendix A.
//!
//! Eight bytes a step over tables of 8 KiB that the compiler fills (Kounavis and Berry 2005, "slicing by 8"):
//! about one nanosecond per byte and a half. Only SCTP comes here.

use super::checksum::ChecksumState;
use super::{Headers, Transport};

/// Where the checksum stands in the common header (RFC 9260 3.1).
const FIELD: std::ops::Range<usize> = 8..12;

/// The Castagnoli polynomial, reflected.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// `TABLES[n][byte]`: what `byte` adds to the sum when `n` more bytes follow it in a step.
static TABLES: [[u32; 256]; 8] = tables();

const fn tables() -> [[u32; 256]; 8] {
    let mut out = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut sum = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            sum = if sum & 1 == 1 { sum >> 1 ^ POLYNOMIAL } else { sum >> 1 };
            bit += 1;
        }
        out[0][byte] = sum;
        byte += 1;
    }
    let mut n = 1;
    while n < 8 {
        let mut byte = 0;
        while byte < 256 {
            let before = out[n - 1][byte];
            out[n][byte] = before >> 8 ^ out[0][(before & 0xff) as usize];
            byte += 1;
        }
        n += 1;
    }
    out
}

/// A CRC under way.
#[derive(Debug, Clone, Copy)]
struct Crc(u32);

impl Crc {
    const NONE: Self = Self(!0);

    fn add(self, bytes: &[u8]) -> Self {
        let Self(mut sum) = self;
        let (steps, rest) = bytes.as_chunks::<8>();
        for [b0, b1, b2, b3, b4, b5, b6, b7] in steps {
            let [s0, s1, s2, s3] = sum.to_le_bytes();
            sum = TABLES[7][usize::from(b0 ^ s0)]
                ^ TABLES[6][usize::from(b1 ^ s1)]
                ^ TABLES[5][usize::from(b2 ^ s2)]
                ^ TABLES[4][usize::from(b3 ^ s3)]
                ^ TABLES[3][usize::from(*b4)]
                ^ TABLES[2][usize::from(*b5)]
                ^ TABLES[1][usize::from(*b6)]
                ^ TABLES[0][usize::from(*b7)];
        }
        for byte in rest {
            sum = sum >> 8 ^ TABLES[0][usize::from(byte ^ sum as u8)];
        }
        Self(sum)
    }

    const fn value(self) -> u32 {
        !self.0
    }
}

/// What belongs into the checksum field of `packet`, least significant byte first.
fn checksum(packet: &[u8]) -> Option<[u8; 4]> {
    let crc = Crc::NONE.add(packet.get(..FIELD.start)?).add(&[0; 4]).add(packet.get(FIELD.end..)?);
    Some(crc.value().to_le_bytes())
}

/// The SCTP packet among `bytes`, where there is one.
fn packet_at(headers: &Headers) -> Option<std::ops::Range<usize>> {
    match headers.transport {
        Transport::Sctp { .. } => Some(usize::from(headers.l4_offset)..usize::from(headers.end)),
        Transport::Tcp(_) | Transport::Udp { .. } | Transport::Icmp(_) | Transport::None => None,
    }
}

/// The state of an SCTP packet's checksum; [`ChecksumState::Absent`] for anything else.
///
/// A zero field is a local stack's work that a NIC was to finish (`CHECKSUM_PARTIAL` with `csum_not_inet`).
pub(super) fn state(bytes: &[u8], headers: &Headers) -> ChecksumState {
    let Some(packet) = packet_at(headers).and_then(|range| bytes.get(range)) else {
        return ChecksumState::Absent;
    };
    match (packet.get(FIELD), checksum(packet)) {
        (Some(stored), Some(right)) if stored == right => ChecksumState::Good,
        (Some([0, 0, 0, 0]), Some(_)) => ChecksumState::Partial,
        (Some(_), Some(_)) => ChecksumState::Bad,
        (None, _) | (_, None) => ChecksumState::Absent,
    }
}

/// Writes the right checksum into an SCTP packet; whether there was one.
pub(super) fn heal(bytes: &mut [u8], headers: &Headers) -> bool {
    let Some(packet) = packet_at(headers).and_then(|range| bytes.get_mut(range)) else { return false };
    match (checksum(packet), packet.get_mut(FIELD)) {
        (Some(right), Some(field)) => {
            field.copy_from_slice(&right);
            true
        }
        (None, _) | (_, None) => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Crc, FIELD};
    use crate::parse::checksum::{ChecksumState, heal, transport_checksum};
    use crate::parse::craft::{eth, ipv4, ipv6};
    use crate::parse::{Protocol, ethernet, parse_ethernet};

    /// Bit by bit, as RFC 9260 appendix A defines it.
    fn plain(bytes: &[u8]) -> u32 {
        let mut sum = !0;
        for byte in bytes {
            sum ^= u32::from(*byte);
            for _ in 0..8 {
                sum = (sum >> 1) ^ ((sum & 1) * super::POLYNOMIAL);
            }
        }
        !sum
    }

    #[test]
    fn the_vectors_of_rfc_3720_hold() {
        let rising: Vec<u8> = (0..32).collect();
        let falling: Vec<u8> = (0..32).rev().collect();
        for (bytes, wanted) in [
            (&[0; 32][..], 0x8a91_36aa_u32),
            (&[0xff; 32], 0x62a8_ab43),
            (&rising, 0x46dd_794e),
            (&falling, 0x113f_db5c),
            (b"123456789", 0xe306_9283),
        ] {
            assert_eq!(Crc::NONE.add(bytes).value(), wanted, "{bytes:?}");
        }
    }

    #[test]
    fn a_right_crc_is_good_a_wrong_one_bad_and_none_yet_is_healed() {
        let mut packet = vec![0x15, 0xb3, 1, 0xbb, 9, 8, 7, 6, 0, 0, 0, 0, 1, 0, 0, 7, 1, 2, 3];
        for (ethertype, frame) in
            [(ethernet::IPV4, ipv4(Protocol::SCTP, &packet)), (ethernet::IPV6, ipv6(Protocol::SCTP, &packet))]
        {
            let mut frame = eth(ethertype, &frame);
            // Padding of the link is not part of the packet.
            frame.extend([0xee; 5]);
            let headers = parse_ethernet(&frame).unwrap();
            assert_eq!(transport_checksum(&frame, &headers), ChecksumState::Partial);
            assert!(heal(&mut frame, &headers));
            assert_eq!(transport_checksum(&frame, &headers), ChecksumState::Good);
            let right = plain(&packet).to_le_bytes();
            packet[FIELD].copy_from_slice(&right);
            let at = usize::from(headers.l4_offset);
            assert_eq!(frame[at..at + packet.len()], packet);
            packet[FIELD].fill(0);
            frame[at] ^= 1;
            assert_eq!(transport_checksum(&frame, &headers), ChecksumState::Bad);
        }
    }

    proptest! {
        #[test]
        fn eight_bytes_a_step_is_bit_by_bit(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            cut in 0usize..200,
        ) {
            let (head, tail) = bytes.split_at(cut.min(bytes.len()));
            prop_assert_eq!(Crc::NONE.add(head).add(tail).value(), plain(&bytes));
        }
    }
}
