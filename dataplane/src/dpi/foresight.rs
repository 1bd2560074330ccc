//! What do flows that come tell of flows to come? Resolved names and announced connections.
//!
//! Fixed tables that forget the oldest of a set: an attacker who fills them loses others their hints, nothing else.

use super::app::AppId;
use super::protocol::Protocol;
use crate::parse::Addr;

/// Remembered addresses.
const ADDRESSES: usize = 8_192;
/// Announced connections.
const EXPECTED: usize = 1_024;
/// Places that one key may stand in.
const WAYS: usize = 4;

/// Names that were resolved and connections that were announced.
#[derive(Debug)]
pub struct Foresight {
    addresses: Vec<Option<(Addr, AppId)>>,
    expected: Vec<Option<(Addr, u16, &'static Protocol)>>,
    turn: usize,
}

impl Default for Foresight {
    fn default() -> Self {
        Self { addresses: vec![None; ADDRESSES], expected: vec![None; EXPECTED], turn: 0 }
    }
}

impl Foresight {
    /// A name of `app` has `addr`.
    pub fn remember(&mut self, addr: Addr, app: AppId) {
        let set = set_of(addr, 0, ADDRESSES);
        self.turn = self.turn.wrapping_add(1);
        let places = &mut self.addresses[set..set + WAYS];
        let at = places.iter().position(|place| place.is_none_or(|(known, _)| known == addr));
        places[at.unwrap_or(self.turn % WAYS)] = Some((addr, app));
    }

    /// The application of a name that resolved to `addr`, the latest one.
    #[must_use]
    pub fn app_at(&self, addr: Addr) -> Option<AppId> {
        let set = set_of(addr, 0, ADDRESSES);
        self.addresses[set..set + WAYS]
            .iter()
            .flatten()
            .find(|(known, _)| *known == addr)
            .map(|(_, app)| *app)
    }

    /// A connection to `addr` and `port` will speak `protocol`.
    pub fn expect(&mut self, addr: Addr, port: u16, protocol: &'static Protocol) {
        let set = set_of(addr, port, EXPECTED);
        self.turn = self.turn.wrapping_add(1);
        let places = &mut self.expected[set..set + WAYS];
        let at = places.iter().position(|place| place.is_none_or(|(a, p, _)| (a, p) == (addr, port)));
        places[at.unwrap_or(self.turn % WAYS)] = Some((addr, port, protocol));
    }

    /// What was announced for `addr` and `port`.
    #[must_use]
    pub fn expected_at(&self, addr: Addr, port: u16) -> Option<&'static Protocol> {
        let set = set_of(addr, port, EXPECTED);
        let found =
            self.expected[set..set + WAYS].iter().flatten().find(|(a, p, _)| (*a, *p) == (addr, port));
        found.map(|(.., protocol)| *protocol)
    }
}

/// First place of the set of a key.
fn set_of(addr: Addr, port: u16, places: usize) -> usize {
    let bits = addr.bits();
    let folded = (bits as u64) ^ (bits >> 64) as u64 ^ u64::from(port) << 32;
    // Fibonacci hashing: the high bits are mixed best.
    let mixed = folded.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    mixed as usize % (places / WAYS) * WAYS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpi::{AppTable, Category};

    #[test]
    fn the_latest_name_of_an_address_is_remembered_and_memory_is_bounded() {
        let mut table = AppTable::default();
        let (one, two) = (table.intern("one", Category::Web), table.intern("two", Category::Web));
        let mut foresight = Foresight::default();
        let addr = Addr::v4([192, 0, 2, 1]);
        assert_eq!(foresight.app_at(addr), None);
        foresight.remember(addr, one);
        foresight.remember(addr, two);
        assert_eq!(foresight.app_at(addr), Some(two));
        for index in 0..100_000_u32 {
            foresight.remember(Addr::v4(index.to_be_bytes()), one);
        }
        assert_eq!(foresight.addresses.len(), ADDRESSES);
    }
}
