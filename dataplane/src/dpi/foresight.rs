//! What do flows that come tell of flows to come? Resolved names and announced connections.
//!
//! Fixed tables that forget the oldest of a set: an attacker who fills them loses others their hints, nothing else.

use super::app::AppId;
use super::protocol::Protocol;
use crate::parse::Addr;

/// Remembered addresses and endpoints.
const APPS: usize = 8_192;
/// Announced connections.
const EXPECTED: usize = 1_024;
/// Places that one key may stand in.
const WAYS: usize = 4;

/// An address with a port; port 0 stands for all of them.
type Endpoint = (Addr, u16);

/// Names that were resolved and connections that were announced.
#[derive(Debug)]
pub struct Foresight {
    apps: Table<AppId>,
    expected: Table<&'static Protocol>,
}

impl Default for Foresight {
    fn default() -> Self {
        Self { apps: Table::new(APPS), expected: Table::new(EXPECTED) }
    }
}

impl Foresight {
    /// A name of `app` has `addr`.
    pub fn remember(&mut self, addr: Addr, app: AppId) {
        self.apps.put((addr, 0), app);
    }

    /// The application of a name that resolved to `addr`, the latest one.
    #[must_use]
    pub fn app_at(&self, addr: Addr) -> Option<AppId> {
        self.apps.get((addr, 0))
    }

    /// What goes on between `endpoint` and anybody is of `app`.
    pub fn remember_endpoint(&mut self, endpoint: Endpoint, app: AppId) {
        self.apps.put(endpoint, app);
    }

    /// The application that was seen at `endpoint` last.
    #[must_use]
    pub fn app_at_endpoint(&self, endpoint: Endpoint) -> Option<AppId> {
        self.apps.get(endpoint)
    }

    /// A connection to `addr` and `port` will speak `protocol`.
    pub fn expect(&mut self, addr: Addr, port: u16, protocol: &'static Protocol) {
        self.expected.put((addr, port), protocol);
    }

    /// What was announced for `addr` and `port`.
    #[must_use]
    pub fn expected_at(&self, addr: Addr, port: u16) -> Option<&'static Protocol> {
        self.expected.get((addr, port))
    }
}

/// A fixed number of places; a key may stand in [`WAYS`] of them.
#[derive(Debug)]
struct Table<T> {
    places: Vec<Option<(Endpoint, T)>>,
    /// Whose turn it is to go where all are taken.
    turn: usize,
}

impl<T: Copy> Table<T> {
    fn new(places: usize) -> Self {
        Self { places: vec![None; places], turn: 0 }
    }

    fn put(&mut self, key: Endpoint, value: T) {
        let set = set_of(key, self.places.len());
        self.turn = self.turn.wrapping_add(1);
        let places = &mut self.places[set..set + WAYS];
        let at = places.iter().position(|place| place.is_none_or(|(known, _)| known == key));
        places[at.unwrap_or(self.turn % WAYS)] = Some((key, value));
    }

    fn get(&self, key: Endpoint) -> Option<T> {
        let set = set_of(key, self.places.len());
        self.places[set..set + WAYS]
            .iter()
            .flatten()
            .find(|(known, _)| *known == key)
            .map(|(_, value)| *value)
    }
}

/// First place of the set of a key.
fn set_of((addr, port): Endpoint, places: usize) -> usize {
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
        assert_eq!(foresight.apps.places.len(), APPS);
        foresight.remember_endpoint((addr, 443), two);
        assert_eq!(
            (foresight.app_at_endpoint((addr, 443)), foresight.app_at_endpoint((addr, 80))),
            (Some(two), None)
        );
    }
}
