//! Which addresses are dropped before user space sees them? Those in two longest-prefix maps, v4 and v6.
//!
//! A replacement inserts what is new before it removes what is gone, so no listed prefix is let through in
//! between; meanwhile the map holds the union, which is why it has twice the list's room. A copy of the keys is
//! kept here (5 to 40 bytes a prefix), so that only differences become system calls.

use std::collections::HashSet;
use std::hash::Hash;
use std::net::{Ipv4Addr, Ipv6Addr};

use aya::Pod;
use aya::maps::{LpmTrie, MapData, MapError, lpm_trie};

use crate::error::XskError;
use crate::program::{BLOCK_LIST_MAX, error_chain};

/// An address family's form of a prefix.
pub(crate) trait Family {
    /// The address as the map holds it, in network order.
    type Raw: Pod + Copy + Eq + Hash;
    const BITS: u8;
    const MAP: &'static str;
    fn raw(self, len: u8) -> Self::Raw;
    fn of_raw(raw: Self::Raw) -> Self;
}

impl Family for Ipv4Addr {
    type Raw = u32;
    const BITS: u8 = 32;
    const MAP: &'static str = crate::program::maps::BLOCK_V4;

    fn raw(self, len: u8) -> u32 {
        let mask = u32::MAX.checked_shl(32 - u32::from(len)).unwrap_or(0);
        (self.to_bits() & mask).to_be()
    }

    fn of_raw(raw: u32) -> Self {
        Self::from_bits(u32::from_be(raw))
    }
}

impl Family for Ipv6Addr {
    type Raw = [u8; 16];
    const BITS: u8 = 128;
    const MAP: &'static str = crate::program::maps::BLOCK_V6;

    fn raw(self, len: u8) -> [u8; 16] {
        let mask = u128::MAX.checked_shl(128 - u32::from(len)).unwrap_or(0);
        (self.to_bits() & mask).to_be_bytes()
    }

    fn of_raw(raw: [u8; 16]) -> Self {
        Self::from(raw)
    }
}

/// One family's map and what is in it.
pub(crate) struct BlockList<F: Family> {
    map: LpmTrie<MapData, F::Raw, u32>,
    held: HashSet<(F::Raw, u8)>,
}

impl<F: Family + Copy> BlockList<F> {
    /// Takes the map, with what an earlier daemon left in it.
    pub(crate) fn take(map: LpmTrie<MapData, F::Raw, u32>) -> Result<Self, XskError> {
        let held = map
            .keys()
            .map(|key| key.map(|key| (key.data(), key.prefix_len() as u8)))
            .collect::<Result<_, _>>()
            .map_err(|err| Self::error("read", &err))?;
        Ok(Self { map, held })
    }

    pub(crate) fn len(&self) -> usize {
        self.held.len()
    }

    /// What is in it, in no order.
    pub(crate) fn prefixes(&self) -> Vec<(F, u8)> {
        self.held.iter().map(|(raw, len)| (F::of_raw(*raw), *len)).collect()
    }

    /// Adds prefixes; those already there stay.
    pub(crate) fn add(&mut self, prefixes: &[(F, u8)]) -> Result<(), XskError> {
        let wanted = Self::keys(prefixes)?;
        let total = self.held.union(&wanted).count();
        Self::check_length(total)?;
        self.insert(&wanted)
    }

    /// Removes prefixes; those not there are ignored.
    pub(crate) fn remove(&mut self, prefixes: &[(F, u8)]) -> Result<(), XskError> {
        let unwanted = Self::keys(prefixes)?;
        self.delete(&unwanted)
    }

    /// First half of a replacement: everything new is in, nothing old is out.
    pub(crate) fn begin_replace(&mut self, prefixes: &[(F, u8)]) -> Result<HashSet<(F::Raw, u8)>, XskError> {
        let wanted = Self::keys(prefixes)?;
        Self::check_length(wanted.len())?;
        self.insert(&wanted)?;
        Ok(wanted)
    }

    /// Second half: what is not wanted goes.
    pub(crate) fn finish_replace(&mut self, wanted: &HashSet<(F::Raw, u8)>) -> Result<(), XskError> {
        let unwanted: HashSet<_> = self.held.difference(wanted).copied().collect();
        self.delete(&unwanted)
    }

    fn keys(prefixes: &[(F, u8)]) -> Result<HashSet<(F::Raw, u8)>, XskError> {
        prefixes
            .iter()
            .map(|(addr, len)| {
                if *len > F::BITS {
                    return Err(XskError::PrefixLength { len: *len, len_max: F::BITS });
                }
                Ok((addr.raw(*len), *len))
            })
            .collect()
    }

    fn check_length(prefixes: usize) -> Result<(), XskError> {
        if prefixes > BLOCK_LIST_MAX {
            return Err(XskError::BlockListTooLong { prefixes, prefixes_max: BLOCK_LIST_MAX });
        }
        Ok(())
    }

    fn insert(&mut self, wanted: &HashSet<(F::Raw, u8)>) -> Result<(), XskError> {
        for (raw, len) in wanted {
            if !self.held.contains(&(*raw, *len)) {
                let key = lpm_trie::Key::new(u32::from(*len), *raw);
                self.map.insert(&key, 1, 0).map_err(|err| Self::error("written", &err))?;
                self.held.insert((*raw, *len));
            }
        }
        Ok(())
    }

    fn delete(&mut self, unwanted: &HashSet<(F::Raw, u8)>) -> Result<(), XskError> {
        for (raw, len) in unwanted {
            if self.held.contains(&(*raw, *len)) {
                let key = lpm_trie::Key::new(u32::from(*len), *raw);
                self.map.remove(&key).map_err(|err| Self::error("written", &err))?;
                self.held.remove(&(*raw, *len));
            }
        }
        Ok(())
    }

    fn error(operation: &'static str, err: &MapError) -> XskError {
        XskError::Map { map: F::MAP, operation, reason: error_chain(err) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_bits_are_masked() {
        assert_eq!(Ipv4Addr::new(10, 1, 2, 3).raw(8), u32::from_be_bytes([10, 0, 0, 0]).to_be());
        assert_eq!(Ipv4Addr::new(10, 1, 2, 3).raw(0), 0);
        assert_eq!(Ipv4Addr::new(10, 1, 2, 3).raw(32), u32::from_ne_bytes([10, 1, 2, 3]));
        let addr: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 1);
        assert_eq!(addr.raw(32)[..6], [0x20, 0x01, 0x0d, 0xb8, 0, 0]);
        assert_eq!(addr.raw(0), [0; 16]);
        assert_eq!(addr.raw(128), addr.octets());
    }
}
