//! Addresses as the flow table and policies compare them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The first 96 bits of each IPv4 address, as [`Addr`] stores it: `ff00::ffff:a.b.c.d`.
const V4_PREFIX: u128 = 0xff00 << 80 | 0xffff;

/// An IPv4 or IPv6 address. IPv4 is stored under a prefix of multicast with the reserved scope 0, which no IPv6 packet
/// may have (RFC 4291 2.7), so that one key type and one prefix table serve both.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Addr(pub [u8; 16]);

impl Addr {
    /// An IPv4 address from its four bytes in network order.
    #[inline]
    #[must_use]
    pub const fn v4(b: [u8; 4]) -> Self {
        // In words: a key reads what this writes a moment later, and bytes written apart are not read as one.
        Self::of_bits(V4_PREFIX << 32 | u32::from_be_bytes(b) as u128)
    }

    /// An address from its big-endian number.
    #[inline]
    #[must_use]
    pub const fn of_bits(bits: u128) -> Self {
        Self(bits.to_be_bytes())
    }

    /// An IPv6 address from its sixteen bytes in network order.
    #[must_use]
    pub const fn v6(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Whether this is an IPv4 address.
    #[inline]
    #[must_use]
    pub const fn is_v4(self) -> bool {
        self.bits() >> 32 == V4_PREFIX
    }

    /// Whether this is an IPv6 address that stands for one of IPv4 within a host: `::ffff:a.b.c.d` (RFC 4291 2.5.5.2).
    #[inline]
    #[must_use]
    pub const fn is_mapped(self) -> bool {
        self.bits() >> 32 == 0xffff
    }

    /// The four IPv4 bytes, where it is IPv4.
    #[must_use]
    pub fn as_v4(self) -> Option<[u8; 4]> {
        self.is_v4().then(|| [self.0[12], self.0[13], self.0[14], self.0[15]])
    }

    /// The address as one big-endian number: prefix comparisons are shifts.
    #[inline]
    #[must_use]
    pub const fn bits(self) -> u128 {
        u128::from_be_bytes(self.0)
    }

    /// The standard library's form.
    #[must_use]
    pub fn to_ip(self) -> IpAddr {
        match self.as_v4() {
            Some(b) => IpAddr::V4(Ipv4Addr::from(b)),
            None => IpAddr::V6(Ipv6Addr::from(self.0)),
        }
    }

    /// Whether it is valid on one link only (RFC 3927, RFC 4291 2.5.6).
    #[must_use]
    pub fn is_link_local(self) -> bool {
        match self.as_v4() {
            Some([a, b, ..]) => a == 169 && b == 254,
            None => self.0[0] == 0xfe && self.0[1] & 0xc0 == 0x80,
        }
    }

    /// Whether it is a multicast address or the IPv4 limited broadcast.
    #[must_use]
    pub fn is_multicast_or_broadcast(self) -> bool {
        match self.as_v4() {
            Some(b) => b[0] >= 224 && (b[0] < 240 || b == [255; 4]),
            None => self.0[0] == 0xff,
        }
    }
}

impl From<IpAddr> for Addr {
    fn from(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(v4) => Self::v4(v4.octets()),
            IpAddr::V6(v6) => Self::v6(v6.octets()),
        }
    }
}

impl fmt::Display for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_ip().fmt(f)
    }
}

impl fmt::Debug for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_ip().fmt(f)
    }
}

/// An Ethernet address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// Whether the group bit is set (multicast or broadcast).
    #[must_use]
    pub const fn is_group(self) -> bool {
        self.0[0] & 1 == 1
    }

    /// Reads six hexadecimal bytes apart by `:` or `-`.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let mut bytes = [0; 6];
        let mut parts = text.trim().split([':', '-']);
        for byte in &mut bytes {
            let part =
                parts.next().filter(|part| part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit()))?;
            *byte = u8::from_str_radix(part, 16).ok()?;
        }
        parts.next().is_none().then_some(Self(bytes))
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
