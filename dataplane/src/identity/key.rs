//! To what is an identity bound?

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::parse::{Addr, Mac};

/// Bits of an address; one of IPv4 stands at its end.
pub const ADDR_BITS: u8 = 128;
/// Bits in front of one of IPv4.
const V4_BITS_BEFORE: u8 = 96;

/// An address, a network or an Ethernet address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// A network; one of 128 bits is an address. Bits behind `len` are 0.
    Network {
        /// Its first address.
        bits: u128,
        /// Bits that its addresses share, 0 to 128; for IPv4 96 more than are written.
        len: u8,
    },
    /// An Ethernet address.
    Mac(Mac),
}

/// What is no [`Key`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no address, network (`10.0.0.0/8`, host bits 0) or Ethernet address (`02:00:5e:00:00:01`)")]
pub struct KeyError(pub String);

impl Key {
    /// That of one address.
    #[must_use]
    pub const fn addr(addr: Addr) -> Self {
        Self::Network { bits: addr.bits(), len: ADDR_BITS }
    }

    /// That of the network of `len` bits that an address is in.
    #[must_use]
    pub const fn network(addr: Addr, len: u8) -> Self {
        Self::Network { bits: addr.bits() & mask(len), len }
    }

    /// The network, where it is one: its first address, and how many bits are written behind it.
    #[must_use]
    pub fn as_network(self) -> Option<(IpAddr, u8)> {
        let Self::Network { bits, len } = self else { return None };
        let addr = Addr::of_bits(bits);
        let is_v4 = addr.is_v4() && len >= V4_BITS_BEFORE;
        Some(if is_v4 { (addr.to_ip(), len - V4_BITS_BEFORE) } else { (IpAddr::V6(bits.into()), len) })
    }

    /// Whether it is one address.
    #[must_use]
    pub const fn is_addr(self) -> bool {
        matches!(self, Self::Network { len: ADDR_BITS, .. })
    }
}

/// Ones where addresses of a network of `len` bits are alike.
pub(super) const fn mask(len: u8) -> u128 {
    match len {
        0 => 0,
        1..=127 => u128::MAX << (ADDR_BITS - len),
        _ => u128::MAX,
    }
}

impl FromStr for Key {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let wrong = || KeyError(text.chars().take(64).collect());
        if let Some(mac) = Mac::read(text) {
            return Ok(Self::Mac(mac));
        }
        let (addr, len) = match text.split_once('/') {
            Some((addr, len)) => (addr, Some(len.parse::<u8>().map_err(|_no_number| wrong())?)),
            None => (text, None),
        };
        let addr: IpAddr = addr.parse().map_err(|_no_address| wrong())?;
        let (before, bits) = if addr.is_ipv4() { (V4_BITS_BEFORE, 32) } else { (0, ADDR_BITS) };
        let len =
            before + len.filter(|len| *len <= bits).or(len.is_none().then_some(bits)).ok_or_else(wrong)?;
        let key = Self::network(addr.into(), len);
        // An address that has bits behind its network was meant as another one.
        if key == (Self::Network { bits: Addr::from(addr).bits(), len }) { Ok(key) } else { Err(wrong()) }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (*self, self.as_network()) {
            (Self::Mac(mac), _) => write!(f, "{mac}"),
            (_, Some((addr, _))) if self.is_addr() => write!(f, "{addr}"),
            (_, Some((addr, len))) => write!(f, "{addr}/{len}"),
            (Self::Network { .. }, None) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_and_written_alike_and_others_are_refused() {
        for text in [
            "10.1.2.3",
            "10.0.0.0/8",
            "0.0.0.0/0",
            "2001:db8::1",
            "2001:db8::/32",
            "::/0",
            "02:00:5e:00:00:01",
        ] {
            assert_eq!(text.parse::<Key>().map(|key| key.to_string()), Ok(text.to_owned()));
        }
        assert_eq!("10.1.2.3/32".parse(), Ok(Key::addr(Addr::v4([10, 1, 2, 3]))));
        assert_eq!(
            "02-00-5E-00-00-01".parse::<Key>().map(|key| key.to_string()),
            Ok("02:00:5e:00:00:01".to_owned())
        );
        for text in [
            "",
            "ten",
            "10.0.0.1/8",
            "10.0.0.0/33",
            "10.0.0.0/-1",
            "10.0.0.0/",
            "2001:db8::/129",
            "02:00:5e:00:00",
        ] {
            assert_eq!(text.parse::<Key>(), Err(KeyError(text.to_owned())), "{text}");
        }
    }
}
