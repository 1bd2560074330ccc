//! Is the checksum right, and if not, what would make it right? Internet checksums (RFC 1071, RFC 1624).
//!
//! A packet that a local stack left half-done (`CHECKSUM_PARTIAL`, met on veth) carries only the folded,
//! uninverted pseudo-header sum in its checksum field; [`transport_checksum`] tells it from a wrong one and
//! [`heal`] completes it. Sums run over words of up to 64 bits; the cost is about one nanosecond per 32 bytes.
//! SCTP's CRC32c is in `crc32c`, with the same answers.

use super::crc32c;
use super::walk::{Walk, be16};
use super::{Addr, Headers, Network, Protocol, Transport, Tunnel, ip};

/// What a layer 4 checksum field says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChecksumState {
    /// It is right.
    Good,
    /// It is wrong.
    Bad,
    /// It holds the pseudo-header's sum only, in SCTP zero: a local sender's work that a NIC was to finish.
    Partial,
    /// There is none, or none that can be verified: UDP over IPv4 with a zero field, a fragment, an IPv6 packet
    /// whose routing header has segments left.
    Absent,
}

/// A one's complement sum under way, in the machine's byte order (RFC 1071 2B).
#[derive(Debug, Clone, Copy, Default)]
pub struct Sum(u64);

/// From here on lanes of 32 bits are summed side by side; below, words with their carry are quicker.
const BULK: usize = 128;

impl Sum {
    /// Adds bytes that start at an even offset of what is summed; an odd last byte is padded with zero.
    #[inline]
    #[must_use]
    pub fn add_bytes(self, bytes: &[u8]) -> Self {
        if bytes.len() >= BULK {
            return self.add_many(bytes);
        }
        let (words, tail) = bytes.as_chunks::<8>();
        let mut sum = self;
        for word in words {
            sum = sum.add_word(u64::from_ne_bytes(*word));
        }
        sum.add_tail(tail)
    }

    #[inline(never)]
    fn add_many(self, bytes: &[u8]) -> Self {
        let (words, tail) = bytes.as_chunks::<4>();
        let mut sum = 0;
        for word in words {
            sum += u64::from(u32::from_ne_bytes(*word));
        }
        self.add_word(sum).add_tail(tail)
    }

    /// Adds less than eight bytes.
    #[inline]
    fn add_tail(self, tail: &[u8]) -> Self {
        let (mut sum, mut tail) = (self, tail);
        if let Some((word, rest)) = tail.split_first_chunk::<4>() {
            sum = sum.add_word(u64::from(u32::from_ne_bytes(*word)));
            tail = rest;
        }
        match *tail {
            [] => sum,
            [a] => sum.add_word(u64::from(u32::from_ne_bytes([a, 0, 0, 0]))),
            [a, b] => sum.add_word(u64::from(u32::from_ne_bytes([a, b, 0, 0]))),
            [a, b, c, ..] => sum.add_word(u64::from(u32::from_ne_bytes([a, b, c, 0]))),
        }
    }

    /// Adds four 16-bit words at once, the carry coming in again at the low end.
    #[inline]
    const fn add_word(self, word: u64) -> Self {
        let (sum, carry) = self.0.overflowing_add(word);
        Self(sum + carry as u64)
    }

    /// Adds a number as it would stand in a header, big-endian.
    #[inline]
    #[must_use]
    pub const fn add_u32(self, number: u32) -> Self {
        self.add_word(number.to_be() as u64)
    }

    /// The 16-bit one's complement sum, uninverted.
    #[inline]
    #[must_use]
    pub const fn folded(self) -> u16 {
        // Adding the other half to each half leaves the folded sum in the high one (RFC 1071 2C).
        let words = self.0.wrapping_add(self.0.rotate_left(32)) >> 32;
        let sum = (words as u32).wrapping_add((words as u32).rotate_left(16)) >> 16;
        u16::from_be(sum as u16)
    }

    /// What belongs into the checksum field.
    #[inline]
    #[must_use]
    pub const fn checksum(self) -> u16 {
        !self.folded()
    }
}

/// The sum of an upper-layer pseudo-header (RFC 9293 3.1, RFC 8200 8.1).
#[inline]
#[must_use]
pub fn pseudo_header(src: Addr, dst: Addr, protocol: u8, length: u32) -> Sum {
    let sum = match (src.as_v4(), dst.as_v4()) {
        (Some(src), Some(dst)) => Sum::default().add_bytes(&src).add_bytes(&dst),
        _ => Sum::default().add_bytes(&src.0).add_bytes(&dst.0),
    };
    sum.add_u32(length).add_u32(u32::from(protocol))
}

/// A checksum after `old` became `new` in what it covers (RFC 1624 3).
#[inline]
#[must_use]
pub const fn update_u16(checksum: u16, old: u16, new: u16) -> u16 {
    let sum = (!checksum) as u32 + (!old) as u32 + new as u32;
    let sum = (sum & 0xffff) + (sum >> 16);
    !(((sum & 0xffff) + (sum >> 16)) as u16)
}

/// As [`update_u16`], for a field of any even length at an even offset, such as an address.
///
/// For UDP, leave a zero checksum alone and write a zero result as 0xffff.
#[must_use]
pub fn update(checksum: u16, old: &[u8], new: &[u8]) -> u16 {
    // Subtracting is adding the complement.
    let old = Sum::default().add_bytes(old).folded();
    Sum::default().add_u32(u32::from(!checksum)).add_u32(u32::from(!old)).add_bytes(new).checksum()
}

/// What the one's complement sum of some bytes gains where those at offset `at` turn from `old` to `new`, which are as
/// long (RFC 1624 3). At an odd offset the sum's bytes change places (RFC 1071 2B). Gains add up in a [`Sum`].
#[must_use]
pub fn gain(at: usize, old: &[u8], new: &[u8]) -> u16 {
    let old = Sum::default().add_bytes(old).folded();
    let gain = Sum::default().add_u32(u32::from(!old)).add_bytes(new).folded();
    if at % 2 == 1 { gain.swap_bytes() } else { gain }
}

/// Mends the checksum of a TCP segment whose payload's sum gained `gain`, wherever the segment is in the frame: a wrong
/// checksum stays as wrong as it was. `false`: this is no TCP.
///
/// The segment's own sum is the same afterwards, so that no checksum around it changes: neither that of a tunnel's UDP
/// header nor that of GRE.
pub fn mend_tcp(bytes: &mut [u8], headers: &Headers, gain: u16) -> bool {
    let Transport::Tcp(_) = headers.transport else { return false };
    let at = usize::from(headers.l4_offset) + 16;
    match bytes.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
        Some(field) => {
            *field = update_u16(u16::from_be_bytes(*field), u16::MAX, gain).to_be_bytes();
            true
        }
        None => false,
    }
}

/// The state of the innermost packet's transport checksum. Reads the whole segment.
#[inline]
#[must_use]
pub fn transport_checksum(bytes: &[u8], headers: &Headers) -> ChecksumState {
    if is_plain_and_good(bytes, headers) { ChecksumState::Good } else { any_checksum(bytes, headers) }
}

#[inline(never)]
fn any_checksum(bytes: &[u8], headers: &Headers) -> ChecksumState {
    let Some(field) = Field::of(bytes, headers) else { return crc32c::state(bytes, headers) };
    let stored = be16(field.segment, field.at);
    if stored == 0 && field.is_udp {
        // RFC 768: none was computed. RFC 8200 8.1: over IPv6 it must be.
        return if field.is_v4 { ChecksumState::Absent } else { ChecksumState::Bad };
    }
    if field.pseudo.add_bytes(field.segment).folded() == 0xffff {
        ChecksumState::Good
    } else if field.has_pseudo && stored == field.pseudo.folded() {
        ChecksumState::Partial
    } else {
        ChecksumState::Bad
    }
}

/// Whether this is TCP or UDP over IPv4 without options and its checksum is right: then the addresses of the
/// pseudo-header stand in front of the segment, and one pass over both is enough.
#[inline]
fn is_plain_and_good(bytes: &[u8], headers: &Headers) -> bool {
    let (protocol, field) = match headers.transport {
        Transport::Tcp(_) => (Protocol::TCP, 16),
        Transport::Udp { .. } => (Protocol::UDP, 6),
        Transport::Icmp(_) | Transport::Sctp { .. } | Transport::None => return false,
    };
    let (l3, l4, end) =
        (usize::from(headers.l3_offset), usize::from(headers.l4_offset), usize::from(headers.end));
    if bytes.get(l3) != Some(&0x45) || l4 != l3 + 20 || end < l4 {
        return false;
    }
    // A UDP datagram without a checksum may sum up by chance: that is none all the same.
    if bytes.get(l4 + field..l4 + field + 2).is_none_or(|stored| stored == [0, 0]) {
        return false;
    }
    let Some(covered) = bytes.get(l3 + 12..end) else { return false };
    let length = (end - l4) as u32;
    Sum::default().add_bytes(covered).add_u32(u32::from(protocol) + length).folded() == 0xffff
}

/// Writes the full checksum of the innermost packet's transport; whether there was a field to write.
pub fn heal(bytes: &mut [u8], headers: &Headers) -> bool {
    let Some(field) = Field::of(bytes, headers) else { return crc32c::heal(bytes, headers) };
    let stored = be16(field.segment, field.at);
    let mut full = field.pseudo.add_bytes(field.segment).add_u32(u32::from(!stored)).checksum();
    if full == 0 && field.is_udp {
        full = 0xffff;
    }
    let at = usize::from(headers.l4_offset) + field.at;
    match bytes.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
        Some(field) => {
            *field = full.to_be_bytes();
            true
        }
        None => false,
    }
}

/// The headers of the outermost packet of a tunnelled frame, as if no tunnel were known; `None` where
/// nothing is tunnelled.
///
/// A local stack may leave the UDP checksum of a VXLAN packet half-done too: heal the inner one first, then
/// pass this to [`transport_checksum`] and [`heal`].
#[must_use]
pub fn outermost(bytes: &[u8], headers: &Headers) -> Option<Headers> {
    if headers.tunnel == Tunnel::None {
        return None;
    }
    let mut walk = Walk::new(bytes).ok()?;
    walk.stay_outside();
    ip::parse_by_version(&mut walk, usize::from(headers.outer_l3_offset)).ok()?;
    Some(walk.finish())
}

/// Whether the 20 fixed bytes and the options of an IPv4 header sum up to what they must.
#[inline]
pub(super) fn ipv4_header_is_good(fixed: &[u8; 20], options: &[u8]) -> bool {
    let mut sum = Sum::default().add_bytes(fixed);
    if !options.is_empty() {
        sum = sum.add_bytes(options);
    }
    sum.folded() == 0xffff
}

/// A transport checksum: what it covers and where it stands.
struct Field<'a> {
    segment: &'a [u8],
    /// Offset in the segment.
    at: usize,
    pseudo: Sum,
    has_pseudo: bool,
    is_udp: bool,
    is_v4: bool,
}

impl<'a> Field<'a> {
    fn of(bytes: &'a [u8], headers: &Headers) -> Option<Self> {
        let Network::Ip { src, dst, protocol: number, .. } = headers.network else { return None };
        let segment = bytes.get(usize::from(headers.l4_offset)..usize::from(headers.end))?;
        let is_v4 = src.is_v4();
        let (at, protocol) = match headers.transport {
            Transport::Tcp(_) => (16, Some(Protocol::TCP)),
            Transport::Udp { .. } => (6, Some(Protocol::UDP)),
            // The protocol's number decides, whatever carries it: ICMP's checksum has no pseudo-header.
            Transport::Icmp(_) if number == Protocol::ICMP => (2, None),
            Transport::Icmp(_) => (2, Some(Protocol::ICMPV6)),
            Transport::Sctp { .. } | Transport::None => return None,
        };
        if segment.len() < at + 2 || (!is_v4 && address_changes_on_the_way(bytes, headers)) {
            return None;
        }
        let length = u32::try_from(segment.len()).expect("offsets are 16 bits");
        let pseudo = match protocol {
            Some(protocol) => pseudo_header(src, dst, protocol, length),
            None => Sum::default(),
        };
        let is_udp = protocol == Some(Protocol::UDP);
        Some(Self { segment, at, pseudo, has_pseudo: protocol.is_some(), is_udp, is_v4 })
    }
}

/// RFC 8200 8.1: with segments left, the pseudo-header holds the final destination, not the one in the
/// header; with a home address option (RFC 6275 6.3) it holds that instead of the source.
fn address_changes_on_the_way(bytes: &[u8], headers: &Headers) -> bool {
    const HOME_ADDRESS: u8 = 0xc9;
    let l4 = usize::from(headers.l4_offset);
    let mut at = usize::from(headers.l3_offset) + 40;
    if at == l4 {
        return false;
    }
    let mut protocol = bytes.get(at - 34).copied().unwrap_or(Protocol::NO_NEXT);
    while at < l4 {
        let Some([next, units, third, segments_left]) = bytes.get(at..).and_then(<[u8]>::first_chunk) else {
            return false;
        };
        let length = match protocol {
            Protocol::FRAGMENT => 8,
            Protocol::AH => (usize::from(*units) + 2) * 4,
            _ => (usize::from(*units) + 1) * 8,
        };
        match protocol {
            Protocol::ROUTING if *segments_left > 0 => return true,
            Protocol::DESTINATION_OPTIONS if *third == HOME_ADDRESS => return true,
            _ => {}
        }
        protocol = *next;
        at += length;
    }
    false
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{ChecksumState, Sum, heal, outermost, pseudo_header, transport_checksum, update, update_u16};
    use crate::parse::craft::{
        DST_V4, DST_V6, SRC_V4, SRC_V6, eth, extension, ipv4, ipv6, join, mend_transport, tcp, udp,
    };
    use crate::parse::{Addr, Protocol, TcpFlags, ethernet, parse_ethernet};

    /// RFC 1071 1, word by word.
    fn plain_sum(bytes: &[u8]) -> u16 {
        let mut sum = 0u32;
        for pair in bytes.chunks(2) {
            sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
            sum = (sum & 0xffff) + (sum >> 16);
        }
        sum as u16
    }

    /// (name, frame without a transport checksum, offset of the field in the segment, protocol, is IPv4)
    fn frames() -> Vec<(&'static str, Vec<u8>, usize, u8, bool)> {
        let (tcp, udp) = (tcp(TcpFlags::ACK, &[], b"odd"), udp(1, 2, b"odd"));
        let echo = [&[128, 0, 0, 0, 0, 1, 0, 1][..], b"odd"].concat();
        vec![
            ("tcp4", eth(ethernet::IPV4, &ipv4(Protocol::TCP, &tcp)), 16, Protocol::TCP, true),
            ("udp4", eth(ethernet::IPV4, &ipv4(Protocol::UDP, &udp)), 6, Protocol::UDP, true),
            ("tcp6", eth(ethernet::IPV6, &ipv6(Protocol::TCP, &tcp)), 16, Protocol::TCP, false),
            ("udp6", eth(ethernet::IPV6, &ipv6(Protocol::UDP, &udp)), 6, Protocol::UDP, false),
            ("icmp6", eth(ethernet::IPV6, &ipv6(Protocol::ICMPV6, &echo)), 2, Protocol::ICMPV6, false),
        ]
    }

    fn pseudo_sum(protocol: u8, is_v4: bool, length: usize) -> u16 {
        let (src, dst) =
            if is_v4 { (Addr::v4(SRC_V4), Addr::v4(DST_V4)) } else { (Addr::v6(SRC_V6), Addr::v6(DST_V6)) };
        pseudo_header(src, dst, protocol, length as u32).folded()
    }

    #[test]
    fn a_right_checksum_is_good_and_a_wrong_one_bad() {
        for (name, mut frame, at, protocol, is_v4) in frames() {
            let headers = parse_ethernet(&frame).unwrap();
            let l4 = usize::from(headers.l4_offset);
            mend_transport(&mut frame[l4..], at, protocol, is_v4);
            assert_eq!(transport_checksum(&frame, &headers), ChecksumState::Good, "{name}");
            frame[l4] ^= 1;
            assert_eq!(transport_checksum(&frame, &headers), ChecksumState::Bad, "{name}");
        }
    }

    #[test]
    fn a_pseudo_header_sum_is_partial_and_heals_to_the_right_checksum() {
        for (name, mut frame, at, protocol, is_v4) in frames() {
            let headers = parse_ethernet(&frame).unwrap();
            let l4 = usize::from(headers.l4_offset);
            let mut expected = frame.clone();
            mend_transport(&mut expected[l4..], at, protocol, is_v4);
            let partial = pseudo_sum(protocol, is_v4, frame.len() - l4);
            frame[l4 + at..l4 + at + 2].copy_from_slice(&partial.to_be_bytes());
            assert_eq!(transport_checksum(&frame, &headers), ChecksumState::Partial, "{name}");
            assert!(heal(&mut frame, &headers));
            assert_eq!(frame, expected, "{name}");
        }
    }

    #[test]
    fn padding_is_not_summed() {
        let (_, mut frame, at, protocol, is_v4) = frames().remove(1);
        mend_transport(&mut frame[34..], at, protocol, is_v4);
        frame.extend([0xff; 7]);
        let headers = parse_ethernet(&frame).unwrap();
        assert_eq!(transport_checksum(&frame, &headers), ChecksumState::Good);
    }

    #[test]
    fn udp_without_a_checksum_is_absent_over_ipv4_and_bad_over_ipv6() {
        let v4 = eth(ethernet::IPV4, &ipv4(Protocol::UDP, &udp(1, 2, b"")));
        let headers = parse_ethernet(&v4).unwrap();
        assert_eq!(transport_checksum(&v4, &headers), ChecksumState::Absent);
        let v6 = eth(ethernet::IPV6, &ipv6(Protocol::UDP, &udp(1, 2, b"")));
        assert_eq!(transport_checksum(&v6, &parse_ethernet(&v6).unwrap()), ChecksumState::Bad);
    }

    #[test]
    fn a_udp_sum_of_zero_is_written_as_all_ones() {
        let mut frame = eth(ethernet::IPV4, &ipv4(Protocol::UDP, &udp(1, 2, &[0, 0])));
        let headers = parse_ethernet(&frame).unwrap();
        let rest =
            pseudo_header(Addr::v4(SRC_V4), Addr::v4(DST_V4), Protocol::UDP, 10).add_bytes(&frame[34..]);
        frame[42..44].copy_from_slice(&rest.checksum().to_be_bytes());
        assert!(heal(&mut frame, &headers));
        assert_eq!(frame[40..42], [0xff, 0xff]);
        assert_eq!(transport_checksum(&frame, &headers), ChecksumState::Good);
    }

    #[test]
    fn icmp_over_ipv4_has_no_pseudo_header() {
        let mut echo = [8, 0, 0, 0, 0, 7, 0, 9];
        let sum = Sum::default().add_bytes(&echo).checksum();
        echo[2..4].copy_from_slice(&sum.to_be_bytes());
        let frame = eth(ethernet::IPV4, &ipv4(Protocol::ICMP, &echo));
        assert_eq!(transport_checksum(&frame, &parse_ethernet(&frame).unwrap()), ChecksumState::Good);
    }

    #[test]
    fn a_final_destination_elsewhere_makes_the_checksum_absent() {
        let segments_left = join(&[&[Protocol::UDP, 0, 4, 1, 0, 0, 0, 0], &udp(1, 2, b"x")]);
        let frame = eth(ethernet::IPV6, &ipv6(Protocol::ROUTING, &segments_left));
        let headers = parse_ethernet(&frame).unwrap();
        assert_eq!(transport_checksum(&frame, &headers), ChecksumState::Absent);
        let mut no_change = udp(1, 2, b"x");
        mend_transport(&mut no_change, 6, Protocol::UDP, false);
        let packet = ipv6(Protocol::DESTINATION_OPTIONS, &extension(Protocol::UDP, &no_change));
        let frame = eth(ethernet::IPV6, &packet);
        assert_eq!(transport_checksum(&frame, &parse_ethernet(&frame).unwrap()), ChecksumState::Good);
    }

    #[test]
    fn the_outer_udp_of_a_tunnel_heals_after_the_inner() {
        let inner = eth(ethernet::IPV4, &ipv4(Protocol::TCP, &tcp(TcpFlags::ACK, &[], b"data")));
        let vxlan = join(&[&[8, 0, 0, 0, 0, 0, 1, 0], &inner]);
        let mut frame = eth(ethernet::IPV4, &ipv4(Protocol::UDP, &udp(9, 4789, &vxlan)));
        let headers = parse_ethernet(&frame).unwrap();
        let outer = outermost(&frame, &headers).unwrap();
        assert_eq!((outer.ports(), outer.l4_offset), ((9, 4789), 34));
        for (layer, at, protocol) in [(&outer, 6, Protocol::UDP), (&headers, 16, Protocol::TCP)] {
            let partial = pseudo_sum(protocol, true, usize::from(layer.end - layer.l4_offset));
            let at = usize::from(layer.l4_offset) + at;
            frame[at..at + 2].copy_from_slice(&partial.to_be_bytes());
        }
        for layer in [&headers, &outer] {
            assert_eq!(transport_checksum(&frame, layer), ChecksumState::Partial);
            assert!(heal(&mut frame, layer));
        }
        for layer in [&headers, &outer] {
            assert_eq!(transport_checksum(&frame, layer), ChecksumState::Good);
        }
        assert_eq!(outermost(&frame, &outer), None, "nothing is tunnelled in what is outermost");
    }

    proptest! {
        #[test]
        fn the_fast_sum_is_the_plain_one(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
            prop_assert_eq!(Sum::default().add_bytes(&bytes).folded(), plain_sum(&bytes));
        }

        #[test]
        fn an_update_is_what_summing_again_gives(
            mut bytes in proptest::collection::vec(any::<u8>(), 64),
            new in any::<[u8; 16]>(),
            word in 0usize..24,
        ) {
            // As in any real header, some byte is never zero: RFC 1624 cannot tell +0 from -0.
            bytes[63] |= 1;
            let before = Sum::default().add_bytes(&bytes).checksum();
            let at = word * 2;
            let old: [u8; 16] = *bytes[at..].first_chunk().unwrap();
            bytes[at..at + 16].copy_from_slice(&new);
            let after = Sum::default().add_bytes(&bytes).checksum();
            prop_assert_eq!(update(before, &old, &new), after);

            let (old, new) = (u16::from_be_bytes([new[0], new[1]]), 0x1234u16);
            bytes[at..at + 2].copy_from_slice(&new.to_be_bytes());
            let last = Sum::default().add_bytes(&bytes).checksum();
            prop_assert_eq!(update_u16(after, old, new), last);
        }
    }
}
