//! Is the checksum right, and if not, what would make it right? Internet checksums (RFC 1071, RFC 1624).
//!
//! A packet that a local stack left half-done (`CHECKSUM_PARTIAL`, met on veth) carries only the folded,
//! uninverted pseudo-header sum in its checksum field; [`transport_checksum`] tells it from a wrong one and
//! [`heal`] completes it. Sums run over 4-byte words into 64 bits, which the compiler vectorises; the cost is
//! about one nanosecond per 32 bytes. SCTP's CRC32c is not verified.

use super::walk::{Walk, be16};
use super::{Addr, Headers, Network, Protocol, Transport, Tunnel, ip};

/// What a layer 4 checksum field says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChecksumState {
    /// It is right.
    Good,
    /// It is wrong.
    Bad,
    /// It holds the pseudo-header's sum only: a local sender's work that a NIC was to finish.
    Partial,
    /// There is none, or none that can be verified: UDP over IPv4 with a zero field, a fragment, SCTP, an
    /// IPv6 packet whose routing header has segments left.
    Absent,
}

/// A one's complement sum under way, in the machine's byte order (RFC 1071 2B).
#[derive(Debug, Clone, Copy, Default)]
pub struct Sum(u64);

impl Sum {
    /// Adds bytes that start at an even offset of what is summed; an odd last byte is padded with zero.
    #[inline]
    #[must_use]
    pub fn add(self, bytes: &[u8]) -> Self {
        let (words, tail) = bytes.as_chunks::<4>();
        let mut sum = self.0;
        for word in words {
            sum += u64::from(u32::from_ne_bytes(*word));
        }
        let mut last = [0; 4];
        last[..tail.len()].copy_from_slice(tail);
        Self(sum + u64::from(u32::from_ne_bytes(last)))
    }

    /// Adds a number as it would stand in a header, big-endian.
    #[inline]
    #[must_use]
    pub const fn add_u32(self, number: u32) -> Self {
        Self(self.0 + number.to_be() as u64)
    }

    /// The 16-bit one's complement sum, uninverted.
    #[inline]
    #[must_use]
    pub const fn folded(self) -> u16 {
        let mut sum = self.0;
        sum = (sum & 0xffff_ffff) + (sum >> 32);
        sum = (sum & 0xffff_ffff) + (sum >> 32);
        sum = (sum & 0xffff) + (sum >> 16);
        sum = (sum & 0xffff) + (sum >> 16);
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
        (Some(src), Some(dst)) => Sum::default().add(&src).add(&dst),
        _ => Sum::default().add(&src.0).add(&dst.0),
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
    let old = Sum::default().add(old).folded();
    Sum::default().add_u32(u32::from(!checksum)).add_u32(u32::from(!old)).add(new).checksum()
}

/// The state of the innermost packet's transport checksum. Reads the whole segment.
#[must_use]
pub fn transport_checksum(bytes: &[u8], headers: &Headers) -> ChecksumState {
    let Some(field) = Field::of(bytes, headers) else { return ChecksumState::Absent };
    let stored = be16(field.segment, field.at);
    if stored == 0 && field.is_udp {
        // RFC 768: none was computed. RFC 8200 8.1: over IPv6 it must be.
        return if field.is_v4 { ChecksumState::Absent } else { ChecksumState::Bad };
    }
    if field.pseudo.add(field.segment).folded() == 0xffff {
        ChecksumState::Good
    } else if field.has_pseudo && stored == field.pseudo.folded() {
        ChecksumState::Partial
    } else {
        ChecksumState::Bad
    }
}

/// Writes the full checksum of the innermost packet's transport; whether there was a field to write.
pub fn heal(bytes: &mut [u8], headers: &Headers) -> bool {
    let Some(field) = Field::of(bytes, headers) else { return false };
    let stored = be16(field.segment, field.at);
    let mut full = field.pseudo.add(field.segment).add_u32(u32::from(!stored)).checksum();
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
    let mut sum = Sum::default().add(fixed);
    if !options.is_empty() {
        sum = sum.add(options);
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
        let Network::Ip { src, dst, .. } = headers.network else { return None };
        let segment = bytes.get(usize::from(headers.l4_offset)..usize::from(headers.end))?;
        let is_v4 = src.is_v4();
        let (at, protocol) = match headers.transport {
            Transport::Tcp(_) => (16, Some(Protocol::TCP)),
            Transport::Udp { .. } => (6, Some(Protocol::UDP)),
            Transport::Icmp(_) if is_v4 => (2, None),
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
