//! The newest word on each key, and since when it stands.
//!
//! Each change has a generation. A flow remembers under which one it was judged; whether it must be judged anew is answered by
//! looking its ends up, not by walking over flows: a login costs nothing for flows that it does not concern.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use foldhash::quality::RandomState;

use super::key::{Key, mask};
use super::recent::{Recent, is_after};
use crate::flow::UserNumber;
use crate::parse::{Addr, Mac};
use crate::policy::User;

/// Who somebody is, as it was asserted. What nobody changes any more: workers share it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Its number, which records carry.
    pub number: UserNumber,
    /// The same for all that is asserted of one user.
    pub person: u32,
    /// What policy can ask.
    pub user: User,
}

impl Identity {
    /// What policy can ask of somebody who may be known.
    #[must_use]
    pub fn user_of(who: &Option<Arc<Self>>) -> Option<&User> {
        who.as_deref().map(|who| &who.user)
    }
}

/// Who is where.
#[derive(Debug, Clone, Default)]
pub struct Table {
    networks: HashMap<(u128, u8), Entry, RandomState>,
    macs: HashMap<Mac, Entry, RandomState>,
    /// Networks by length.
    lens: Lens,
    /// Keys to which nobody is bound any more, oldest first.
    gone: VecDeque<(u32, Key)>,
    /// When all of it may have changed.
    all_changed: u32,
    /// What changed when, asked before anything else.
    recent: Recent,
}

#[derive(Debug, Clone)]
struct Entry {
    identity: Option<Arc<Identity>>,
    changed: u32,
}

/// How many networks have each length but that of an address.
#[derive(Debug, Clone)]
struct Lens {
    counts: [u32; 128],
    /// Lengths of which there are some.
    used: u128,
}

impl Default for Lens {
    fn default() -> Self {
        Self { counts: [0; 128], used: 0 }
    }
}

impl Lens {
    fn add(&mut self, len: u8) {
        if let Some(count) = self.counts.get_mut(usize::from(len)) {
            *count += 1;
            self.used |= 1 << len;
        }
    }

    fn remove(&mut self, len: u8) {
        if let Some(count) = self.counts.get_mut(usize::from(len)) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.used &= !(1 << len);
            }
        }
    }

    /// Longest first.
    fn iter(&self) -> impl Iterator<Item = u8> + use<> {
        let mut used = self.used;
        std::iter::from_fn(move || {
            let len = 127_u8.checked_sub(used.leading_zeros() as u8).filter(|_| used != 0)?;
            used &= !(1 << len);
            Some(len)
        })
    }
}

impl Table {
    /// Binds a key to somebody, or to nobody.
    pub fn set(&mut self, key: Key, identity: Option<Arc<Identity>>, generation: u32) {
        if identity.is_none() {
            self.gone.push_back((generation, key));
        }
        let entry = Entry { identity, changed: generation };
        match key {
            Key::Network { bits, len } => {
                if key.is_addr() {
                    self.recent.note(bits, generation);
                } else {
                    self.recent.note_wide(generation);
                }
                if self.networks.insert((bits, len), entry).is_none() {
                    self.lens.add(len);
                }
            }
            Key::Mac(mac) => {
                self.recent.note_wide(generation);
                self.macs.insert(mac, entry);
            }
        }
    }

    /// Takes over what another one knows: all of it may be another.
    pub fn replace(&mut self, other: &Self, generation: u32) {
        self.clone_from(other);
        self.gone.clear();
        self.change_all(generation);
    }

    /// Whatever was decided before is to be decided anew.
    pub const fn change_all(&mut self, generation: u32) {
        self.all_changed = generation;
        self.recent.note_wide(generation);
    }

    /// Who uses an address: whoever is bound to it, or else to the Ethernet address, or else to the smallest network.
    #[must_use]
    pub fn find(&self, addr: Addr, mac: Mac) -> Option<&Arc<Identity>> {
        if self.networks.is_empty() && self.macs.is_empty() {
            return None;
        }
        let bits = addr.bits();
        let of_addr = self.networks.get(&(bits, 128)).and_then(|entry| entry.identity.as_ref());
        let of_mac = || self.macs.get(&mac)?.identity.as_ref();
        let of_network = || {
            self.lens.iter().find_map(|len| self.networks.get(&(bits & mask(len), len))?.identity.as_ref())
        };
        of_addr.or_else(of_mac).or_else(of_network)
    }

    /// Whether something may have changed since about one of two addresses, whatever Ethernet addresses are before them. Dearer to
    /// know for certain: [`Self::has_changed`].
    #[inline(never)]
    #[must_use]
    pub fn may_have_changed(&self, (lo, hi): (Addr, Addr), since: u32) -> bool {
        self.recent.may_concern(lo, since) || self.recent.may_concern(hi, since)
    }

    /// Whether another answer may be found for this end of a flow than in generation `since`.
    #[must_use]
    pub fn has_changed(&self, (addr, mac): (Addr, Mac), since: u32) -> bool {
        if !self.recent.may_concern(addr, since) {
            return false;
        }
        let bits = addr.bits();
        let is_new = |entry: Option<&Entry>| entry.is_some_and(|entry| is_after(entry.changed, since));
        is_after(self.all_changed, since)
            || is_new(self.networks.get(&(bits, 128)))
            || is_new(self.macs.get(&mac))
            || self.lens.iter().any(|len| is_new(self.networks.get(&(bits & mask(len), len))))
    }

    /// Forgets that somebody was bound where every flow has been asked about that since; a few at a time.
    pub fn tidy(&mut self, asked: u32, most: usize) {
        for _ in 0..most {
            let Some((changed, key)) =
                self.gone.front().copied().filter(|(changed, _)| !is_after(*changed, asked))
            else {
                return;
            };
            self.gone.pop_front();
            let is_it = |entry: &Entry| entry.identity.is_none() && entry.changed == changed;
            match key {
                Key::Network { bits, len } => {
                    if self.networks.get(&(bits, len)).is_some_and(is_it) {
                        self.networks.remove(&(bits, len));
                        self.lens.remove(len);
                    }
                }
                Key::Mac(mac) => {
                    if self.macs.get(&mac).is_some_and(is_it) {
                        self.macs.remove(&mac);
                    }
                }
            }
        }
    }

    /// Keys that it has anything of.
    #[must_use]
    pub fn len(&self) -> usize {
        self.networks.len() + self.macs.len()
    }

    /// Whether it knows nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;
    use crate::policy::NameId;
    use proptest::prelude::*;

    const MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);
    const NO_MAC: Mac = Mac([0; 6]);

    fn who(number: u32) -> Option<Arc<Identity>> {
        let user = User { id: NameId(number), role: None, groups: Vec::new(), attributes: Vec::new() };
        Some(Arc::new(Identity { number: UserNumber::new(number).unwrap(), person: number, user }))
    }

    fn found(table: &Table, addr: [u8; 4], mac: Mac) -> Option<u32> {
        table.find(Addr::v4(addr), mac).map(|identity| identity.number.get())
    }

    fn key(text: &str) -> Key {
        text.parse().unwrap()
    }

    #[test]
    fn the_address_goes_before_the_mac_and_that_before_the_smallest_network() {
        let mut table = Table::default();
        for (number, bound) in
            [(1, "10.0.0.0/8"), (2, "10.1.0.0/16"), (3, "02:00:00:00:00:01"), (4, "10.1.2.3")]
        {
            table.set(key(bound), who(number), number);
        }
        assert_eq!(found(&table, [10, 1, 2, 3], MAC), Some(4));
        assert_eq!(found(&table, [10, 1, 2, 4], MAC), Some(3));
        assert_eq!(found(&table, [10, 1, 2, 4], NO_MAC), Some(2));
        assert_eq!(found(&table, [10, 9, 2, 4], NO_MAC), Some(1));
        assert_eq!(found(&table, [11, 9, 2, 4], NO_MAC), None);
        table.set(key("10.1.0.0/16"), None, 5);
        assert_eq!(found(&table, [10, 1, 2, 4], NO_MAC), Some(1));
        table.set(key("0.0.0.0/0"), who(7), 6);
        assert_eq!(found(&table, [11, 9, 2, 4], NO_MAC), Some(7));
    }

    #[test]
    fn only_ends_that_a_change_concerns_have_changed() {
        let mut table = Table::default();
        let end = |last| (Addr::v4([10, 0, 0, last]), NO_MAC);
        let begin = u32::MAX - 1;
        table.change_all(begin);
        table.set(key("10.0.0.1"), who(1), begin.wrapping_add(1));
        assert!(table.has_changed(end(1), begin) && !table.has_changed(end(2), begin));
        // Generations go round.
        table.set(key("10.0.0.0/24"), None, begin.wrapping_add(3));
        assert!(table.has_changed(end(2), begin.wrapping_add(2)));
        assert!(!table.has_changed(end(2), begin.wrapping_add(3)));
        table.tidy(begin.wrapping_add(2), 9);
        assert_eq!(table.len(), 2, "some flows do not know yet");
        table.tidy(begin.wrapping_add(3), 9);
        assert_eq!((table.len(), table.lens.used), (1, 0));
        table.change_all(begin.wrapping_add(4));
        assert!(table.has_changed(end(2), begin.wrapping_add(3)));
    }

    proptest! {
        /// Against going through all that was bound.
        #[test]
        fn the_smallest_network_is_found(
            steps in proptest::collection::vec((any::<u8>(), 96_u8..=128, any::<bool>()), 1..40),
            asked: u8,
        ) {
            let mut table = Table::default();
            let mut bound = std::collections::BTreeMap::new();
            for (number, (last, len, is_there)) in (1..).zip(steps) {
                let key = Key::network(Addr::v4([10, 0, 0, last]), len);
                let Key::Network { bits, len } = key else { continue };
                table.set(key, who(number).filter(|_| is_there), number);
                if is_there { bound.insert((len, bits), number); } else { bound.remove(&(len, bits)); }
                table.tidy(number, 1);
            }
            let addr = Addr::v4([10, 0, 0, asked]);
            let expected = bound.iter().rev().find(|((len, bits), _)| addr.bits() & mask(*len) == *bits);
            prop_assert_eq!(found(&table, [10, 0, 0, asked], NO_MAC), expected.map(|(_, number)| *number));
        }
    }
}
