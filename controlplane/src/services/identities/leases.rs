//! Which address was given to which Ethernet address? Leases tie the two, so that who is known by one is found by the other.
//!
//! A lease says nothing of a user. Who is bound to the Ethernet address holds the address as long as the lease lives, and where an address
//! goes to another host, what was asserted of it before is over.

use std::collections::{BTreeSet, HashMap};

use dataplane::identity::Key;
use dataplane::parse::Mac;

/// Leases that are kept: more than assertions live.
pub(super) const LEASES_MAX: usize = 200_000;

/// A lease that lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Held {
    mac: Mac,
    expires_ns: u64,
}

/// All leases.
#[derive(Debug, Default)]
pub(super) struct Leases {
    by_addr: HashMap<Key, Held>,
    by_mac: HashMap<Mac, Vec<Key>>,
    by_expiry: BTreeSet<(u64, Key)>,
}

/// What a lease changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Given {
    /// Nothing but its time.
    Again,
    /// Nobody had the address.
    New,
    /// Another host had it.
    Moved,
    /// There are [`LEASES_MAX`].
    Full,
}

impl Leases {
    /// An address was given to whoever has this Ethernet address.
    pub(super) fn give(&mut self, addr: Key, mac: Mac, expires_ns: u64) -> Given {
        let before = self.by_addr.get(&addr).copied();
        if before.is_none() && self.by_addr.len() >= LEASES_MAX {
            return Given::Full;
        }
        if before.is_some() {
            self.take_back(addr);
        }
        self.by_addr.insert(addr, Held { mac, expires_ns });
        self.by_mac.entry(mac).or_default().push(addr);
        self.by_expiry.insert((expires_ns, addr));
        match before {
            None => Given::New,
            Some(held) if held.mac == mac => Given::Again,
            Some(_) => Given::Moved,
        }
    }

    /// Who has an address.
    pub(super) fn holder(&self, addr: Key) -> Option<Mac> {
        self.by_addr.get(&addr).map(|held| held.mac)
    }

    /// What an Ethernet address has.
    pub(super) fn addrs_of(&self, mac: Mac) -> &[Key] {
        self.by_mac.get(&mac).map_or(&[], Vec::as_slice)
    }

    /// Whether the time of one is over.
    pub(super) fn is_due(&self, now_ns: u64) -> bool {
        self.by_expiry.first().is_some_and(|(expires_ns, _)| *expires_ns <= now_ns)
    }

    /// Ends those whose time is over, so many at most; gives their addresses.
    pub(super) fn expire(&mut self, now_ns: u64, most: usize) -> Vec<Key> {
        let due = self.by_expiry.iter().take_while(|(expires_ns, _)| *expires_ns <= now_ns);
        let due: Vec<Key> = due.take(most).map(|(_, addr)| *addr).collect();
        due.iter().for_each(|addr| self.take_back(*addr));
        due
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.by_addr.len()
    }

    fn take_back(&mut self, addr: Key) {
        let Some(Held { mac, expires_ns }) = self.by_addr.remove(&addr) else { return };
        self.by_expiry.remove(&(expires_ns, addr));
        if let Some(addrs) = self.by_mac.get_mut(&mac) {
            addrs.retain(|other| *other != addr);
            if addrs.is_empty() {
                self.by_mac.remove(&mac);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dataplane::parse::Addr;

    #[test]
    fn a_lease_is_renewed_moves_and_ends() {
        let mut leases = Leases::default();
        let (ann, bob) = (Mac([2, 0, 0, 0, 0, 1]), Mac([2, 0, 0, 0, 0, 2]));
        let addr = |last| Key::addr(Addr::v4([10, 0, 0, last]));
        assert_eq!(leases.give(addr(1), ann, 100), Given::New);
        assert_eq!(leases.give(addr(1), ann, 200), Given::Again);
        assert_eq!(leases.give(addr(2), ann, 150), Given::New);
        assert_eq!((leases.addrs_of(ann), leases.holder(addr(1))), (&[addr(1), addr(2)][..], Some(ann)));
        assert!(leases.is_due(150) && !leases.is_due(149), "the one of 100 was renewed");
        assert_eq!(leases.give(addr(1), bob, 300), Given::Moved);
        assert_eq!((leases.addrs_of(ann), leases.addrs_of(bob)), (&[addr(2)][..], &[addr(1)][..]));
        assert_eq!(leases.expire(250, 9), [addr(2)]);
        assert_eq!(leases.expire(300, 9), [addr(1)]);
        assert!(leases.len() == 0 && leases.by_mac.is_empty() && leases.by_expiry.is_empty());
    }
}
