//! Which file will an announced connection carry? Told by who saw the command, asked by who has the connection.
//!
//! Names do not fit the tables of atomics: they stand in a short queue behind a lock, which is taken once a command and once
//! a connection. Nobody waits while nothing was announced: one relaxed read.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use crate::parse::Addr;
use crate::sync::{AtomicBool, Ordering};
use crate::time::Tick;

/// Transfers that are waited for; the oldest one gives way.
const WAITING_MAX: usize = 512;

/// How long one is waited for.
const WAITING_NS: u64 = 300 * Tick::SECOND;

/// A file that will come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// The command that asked for it.
    pub command: &'static str,
    /// What it is called.
    pub name: Arc<[u8]>,
}

/// Transfers that were announced.
#[derive(Debug, Default)]
pub struct Transfers {
    waiting: Mutex<VecDeque<Waiting>>,
    any: AtomicBool,
}

#[derive(Debug)]
struct Waiting {
    endpoint: (Addr, u16),
    until: Tick,
    transfer: Transfer,
}

impl Transfers {
    /// The next connection to `endpoint` carries this file.
    pub fn announce(&self, endpoint: (Addr, u16), transfer: Transfer, now: Tick) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|one| one.endpoint != endpoint);
        if waiting.len() >= WAITING_MAX {
            waiting.pop_front();
        }
        waiting.push_back(Waiting { endpoint, until: now.plus_ns(WAITING_NS), transfer });
        self.any.store(true, Ordering::Relaxed);
    }

    /// What was announced for a connection to `endpoint`, for once.
    #[must_use]
    pub fn take(&self, endpoint: (Addr, u16), now: Tick) -> Option<Transfer> {
        if !self.any.load(Ordering::Relaxed) {
            return None;
        }
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let place = waiting.iter().position(|one| one.endpoint == endpoint)?;
        waiting.remove(place).filter(|one| one.until > now).map(|one| one.transfer)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn transfer(name: &str) -> Transfer {
        Transfer { command: "RETR", name: name.as_bytes().into() }
    }

    #[test]
    fn a_transfer_is_taken_once_and_in_time() {
        let transfers = Transfers::default();
        let at = |port| (Addr::v4([192, 0, 2, 1]), port);
        assert_eq!(transfers.take(at(1), Tick(0)), None);
        transfers.announce(at(1), transfer("old"), Tick(0));
        transfers.announce(at(1), transfer("one"), Tick(0));
        transfers.announce(at(2), transfer("two"), Tick(0));
        assert_eq!(transfers.take(at(1), Tick(1)), Some(transfer("one")), "the latest command counts");
        assert_eq!(transfers.take(at(1), Tick(1)), None);
        assert_eq!(transfers.take(at(2), Tick(301 * Tick::SECOND)), None);
    }

    #[test]
    fn transfers_that_nobody_makes_give_way() {
        let transfers = Transfers::default();
        for port in 0..2_000 {
            transfers.announce((Addr::default(), port), transfer("x"), Tick(0));
        }
        assert_eq!(transfers.take((Addr::default(), 0), Tick(0)), None);
        assert_eq!(transfers.take((Addr::default(), 1_999), Tick(0)), Some(transfer("x")));
    }
}
