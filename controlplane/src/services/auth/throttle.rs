//! How soon may somebody try again who had the wrong password?
//!
//! Failures are counted by address, by account, and by both together; each has a number that is free, then every
//! further one doubles the wait. An account that strangers guess at stays open for an address that does not guess. The
//! table has a fixed size, whoever guesses: the oldest count goes first. Time is an argument.

use std::collections::HashMap;
use std::net::IpAddr;

/// Counts that are kept.
const COUNTS_MAX: usize = 65_536;

/// Counts that are dropped at once where there is no room: a tenth, so that dropping is seldom.
const DROPPED_AT_ONCE: usize = COUNTS_MAX / 10;

/// Longest wait, seconds.
const WAIT_S_MAX: u64 = 900;

/// Failures are forgotten after so long without another.
const FORGOTTEN_AFTER_S: u64 = 3_600;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Who {
    Address(IpAddr),
    Account(String),
    Both(IpAddr, String),
}

impl Who {
    /// Failures without consequence.
    const fn free(&self) -> u32 {
        match self {
            Self::Both(..) => 5,
            Self::Address(_) => 20,
            // Strangers who know a name must not keep its owner out for long.
            Self::Account(_) => 100,
        }
    }

    const fn wait_s_max(&self) -> u64 {
        match self {
            Self::Both(..) | Self::Address(_) => WAIT_S_MAX,
            Self::Account(_) => 2,
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Count {
    failures: u32,
    last_s: u64,
}

/// Failures of late.
#[derive(Debug, Default)]
pub struct Throttle {
    counts: HashMap<Who, Count>,
}

/// The longest name that is remembered, bytes: longer ones are nobody's.
const NAME_BYTES_MAX: usize = 128;

impl Throttle {
    /// Seconds that `address` must wait before it may try for `account`; 0: none.
    #[must_use]
    pub fn wait_s(&self, address: IpAddr, account: &str, now_s: u64) -> u64 {
        whos(address, account)
            .into_iter()
            .map(|who| {
                let Some(count) = self.counts.get(&who) else { return 0 };
                let beyond = count.failures.saturating_sub(who.free());
                if beyond == 0 {
                    return 0;
                }
                let wait_s = (1_u64 << beyond.min(32)).min(who.wait_s_max());
                (count.last_s + wait_s).saturating_sub(now_s)
            })
            .max()
            .unwrap_or_default()
    }

    /// Counts a failure.
    pub fn failed(&mut self, address: IpAddr, account: &str, now_s: u64) {
        for who in whos(address, account) {
            if self.counts.len() >= COUNTS_MAX && !self.counts.contains_key(&who) {
                self.make_room(now_s);
            }
            let count = self.counts.entry(who).or_insert(Count { failures: 0, last_s: now_s });
            if now_s.saturating_sub(count.last_s) > FORGOTTEN_AFTER_S {
                count.failures = 0;
            }
            count.failures = count.failures.saturating_add(1);
            count.last_s = now_s;
        }
    }

    /// Forgets what this address failed for the account that it is now known to own.
    pub fn succeeded(&mut self, address: IpAddr, account: &str) {
        let [_, _, both] = whos(address, account);
        self.counts.remove(&both);
    }

    fn make_room(&mut self, now_s: u64) {
        self.counts.retain(|_, count| now_s.saturating_sub(count.last_s) <= FORGOTTEN_AFTER_S);
        if self.counts.len() < COUNTS_MAX {
            return;
        }
        let mut ages: Vec<u64> = self.counts.values().map(|count| count.last_s).collect();
        let (_, youngest_dropped, _) = ages.select_nth_unstable(DROPPED_AT_ONCE);
        let youngest_dropped = *youngest_dropped;
        let mut left = DROPPED_AT_ONCE;
        self.counts.retain(|_, count| {
            let goes = left > 0 && count.last_s <= youngest_dropped;
            left -= usize::from(goes);
            !goes
        });
    }
}

/// What stands for the host that has `address`: of IPv6 its /64 (RFC 6177), for one of its addresses is as good as another.
#[must_use]
pub fn of_host(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let mut octets = v6.octets();
            octets[8..].fill(0);
            IpAddr::from(octets)
        }
        v4 => v4,
    }
}

fn whos(address: IpAddr, account: &str) -> [Who; 3] {
    let address = of_host(address);
    let account: String = account.chars().take(NAME_BYTES_MAX / 4).flat_map(char::to_lowercase).collect();
    [Who::Address(address), Who::Account(account.clone()), Who::Both(address, account)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn waits_double_and_end() {
        let mut throttle = Throttle::default();
        for _ in 0..5 {
            assert_eq!(throttle.wait_s(address(1), "ada", 100), 0);
            throttle.failed(address(1), "ada", 100);
        }
        let mut waits = Vec::new();
        for _ in 0..12 {
            throttle.failed(address(1), "ada", 100);
            waits.push(throttle.wait_s(address(1), "ada", 100));
        }
        assert_eq!(waits, [2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900]);
        assert_eq!(throttle.wait_s(address(1), "ada", 999), 1);
        assert_eq!(throttle.wait_s(address(1), "ada", 1_000), 0);
        // Neither another account nor another address is concerned.
        assert_eq!(throttle.wait_s(address(1), "bob", 100), 0);
        assert_eq!(throttle.wait_s(address(2), "ada", 100), 0);
        throttle.succeeded(address(1), "ADA");
        assert_eq!(throttle.wait_s(address(1), "ada", 100), 0);
    }

    #[test]
    fn an_address_that_tries_many_accounts_waits() {
        let mut throttle = Throttle::default();
        for at in 0..25 {
            throttle.failed(address(1), &format!("user{at}"), 100);
        }
        assert!(throttle.wait_s(address(1), "another", 100) >= 16);
        assert_eq!(throttle.wait_s(address(2), "another", 100), 0);
    }

    #[test]
    fn a_guessed_account_is_slow_for_all_and_closed_for_none() {
        let mut throttle = Throttle::default();
        for at in 0..=200 {
            throttle.failed(address(at), "ada", 100);
        }
        assert_eq!(throttle.wait_s(address(250), "ada", 100), 2);
    }

    #[test]
    fn a_million_names_take_no_more_room() {
        let mut throttle = Throttle::default();
        for at in 0..1_000_000_u32 {
            throttle.failed(IpAddr::from(at.to_be_bytes()), &format!("user{at}"), u64::from(at) / 1_000);
        }
        assert!(throttle.counts.len() <= COUNTS_MAX);
        assert!(throttle.counts.capacity() <= 4 * COUNTS_MAX);
        // The last one is remembered.
        for _ in 0..10 {
            throttle.failed(address(1), "ada", 1_000);
        }
        assert!(throttle.wait_s(address(1), "ada", 1_000) > 0);
    }

    #[test]
    fn addresses_of_one_host_are_one() {
        let mut throttle = Throttle::default();
        for at in 0..10_u16 {
            throttle.failed(IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, at]), "ada", 100);
        }
        assert!(throttle.wait_s(IpAddr::from([0x2001, 0xdb8, 0, 0, 9, 9, 9, 9]), "ada", 100) > 0);
        assert_eq!(throttle.wait_s(IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, 1]), "ada", 100), 0);
    }
}
