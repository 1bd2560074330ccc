//! Was this said before, or is it older than what was said since? Who records accounting on its way and sends it again must not bring
//! back a session that ended, or end one that goes on.
//!
//! A request that is the same to the bit as one that was heard is a duplicate: answered again (RFC 2866 2), and nothing changes. Where
//! access servers say when things happened (`Event-Timestamp`, RFC 2869 5.3) what is older than a session's last word is stale, also
//! after the request itself was forgotten. Memory is bounded, and kept for the next start where identities are.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::accounting::{Session, Told};
use crate::services::identities::{Kept, Ledger};
use crate::store::StoreError;

/// Requests that are remembered: four hours of ten thousand sessions that tell of themselves every five minutes; 13 MB.
const SEEN_MAX: usize = 1 << 19;

/// Sessions that are remembered after their end.
const ENDED_MAX: usize = 50_000;

/// Access servers whose last beginning is remembered.
const SERVERS_MAX: usize = 10_000;

/// What tells one request from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    /// Half of its authenticator, which its client's secret made of all of it: no stranger chooses one that collides.
    pub fingerprint: u64,
    /// When it happened, seconds since 1970, where the access server says so.
    pub event_s: Option<u32>,
}

/// What a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Novelty {
    /// It counts.
    New,
    /// It was heard before.
    Duplicate,
    /// Something newer was heard before.
    Stale,
}

/// What was heard.
#[derive(Debug, Default)]
pub(super) struct Memory {
    seen: HashSet<u64>,
    /// Each with its number.
    seen_order: VecDeque<(u64, u64)>,
    /// How many were ever seen: the number of the newest.
    seen_last: u64,
    ended: HashMap<Session, Ended>,
    ended_order: VecDeque<(Session, u64)>,
    ends: u64,
    begun: HashMap<Vec<u8>, u32>,
    /// Where it is kept; `None`: nowhere.
    ledger: Option<Arc<Ledger>>,
}

/// The end of a session as it is kept.
#[derive(Debug, Serialize, Deserialize)]
struct SavedEnd {
    session: Session,
    event_s: u32,
}

/// The key of a row by number: in its order.
fn row_of(number: u64) -> String {
    format!("{number:016x}")
}

/// Bytes as the key of a row.
pub(super) fn text_of(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

#[derive(Debug)]
struct Ended {
    event_s: u32,
    /// Which end it was, of all.
    number: u64,
}

impl Memory {
    /// What was heard before the process began; what is heard from now on is kept. Rows that cannot be read are left out.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where nothing can be read.
    pub(super) fn restore(&mut self, ledger: &Arc<Ledger>) -> Result<(), StoreError> {
        let number = |row: &str| u64::from_str_radix(row, 16).ok();
        let (seen, _damaged) = ledger.read::<u64>(Kept::RadiusSeen)?;
        let (ended, _damaged) = ledger.read::<SavedEnd>(Kept::RadiusEnded)?;
        let (begun, _damaged) = ledger.read::<(Vec<u8>, u32)>(Kept::RadiusBegun)?;
        for (number, fingerprint) in seen.into_iter().filter_map(|(row, seen)| Some((number(&row)?, seen))) {
            self.seen_last = self.seen_last.max(number);
            self.seen.insert(fingerprint);
            self.seen_order.push_back((number, fingerprint));
        }
        for (number, SavedEnd { session, event_s }) in
            ended.into_iter().filter_map(|(row, end)| Some((number(&row)?, end)))
        {
            self.ends = self.ends.max(number);
            self.ended.insert(session.clone(), Ended { event_s, number });
            self.ended_order.push_back((session, number));
        }
        self.begun.extend(begun.into_iter().take(SERVERS_MAX).map(|(_, server)| server));
        self.ledger = Some(Arc::clone(ledger));
        Ok(())
    }

    /// What a request is, given the last word of its session where that lives.
    pub(super) fn judge(&self, told: &Told, mark: Mark, running: Option<Mark>) -> Novelty {
        if self.seen.contains(&mark.fingerprint) {
            // An access server without a clock may say the very same once more, to say that nothing has changed.
            let goes_on = mark.event_s.is_none() && running == Some(mark);
            return if goes_on { Novelty::New } else { Novelty::Duplicate };
        }
        let Some(event_s) = mark.event_s else { return Novelty::New };
        let is_older = |than: Option<u32>| than.is_some_and(|than| event_s < than);
        let is_stale = match told {
            Told::Alive(session, _) => {
                let is_over = running.is_none()
                    && self.ended.get(session).is_some_and(|ended| event_s <= ended.event_s);
                is_over || is_older(self.begun.get(&session.server).copied())
            }
            Told::Over(_) | Told::Else => false,
            Told::AllOver(server) => is_older(self.begun.get(server).copied()),
        };
        if is_stale || is_older(running.and_then(|last| last.event_s)) {
            Novelty::Stale
        } else {
            Novelty::New
        }
    }

    /// Remembers a request that counted.
    pub(super) fn remember(&mut self, told: &Told, mark: Mark) {
        if self.seen.insert(mark.fingerprint) {
            self.seen_last += 1;
            self.seen_order.push_back((self.seen_last, mark.fingerprint));
            self.keep(|ledger| ledger.add(Kept::RadiusSeen, row_of(self.seen_last), &mark.fingerprint));
        }
        if self.seen_order.len() > SEEN_MAX
            && let Some((number, oldest)) = self.seen_order.pop_front()
        {
            self.seen.remove(&oldest);
            self.keep(|ledger| ledger.forget(Kept::RadiusSeen, row_of(number)));
        }
        let Some(event_s) = mark.event_s else { return };
        match told {
            Told::Over(session) => self.end(session.clone(), event_s),
            Told::AllOver(server) if self.begun.len() < SERVERS_MAX || self.begun.contains_key(server) => {
                self.begun.insert(server.clone(), event_s);
                self.keep(|ledger| ledger.put(Kept::RadiusBegun, text_of(server), &(server, event_s)));
            }
            Told::AllOver(_) | Told::Alive(..) | Told::Else => {}
        }
    }

    fn end(&mut self, session: Session, event_s: u32) {
        self.ends += 1;
        let number = self.ends;
        self.ended.insert(session.clone(), Ended { event_s, number });
        self.ended_order.push_back((session.clone(), number));
        self.keep(|ledger| {
            ledger.add(Kept::RadiusEnded, row_of(number), &SavedEnd { session, event_s });
        });
        if self.ended_order.len() > ENDED_MAX
            && let Some((oldest, number)) = self.ended_order.pop_front()
        {
            self.keep(|ledger| ledger.forget(Kept::RadiusEnded, row_of(number)));
            // It may have ended once more since.
            if self.ended.get(&oldest).is_some_and(|ended| ended.number == number) {
                self.ended.remove(&oldest);
            }
        }
    }

    fn keep(&self, change: impl FnOnce(&Ledger)) {
        if let Some(ledger) = &self.ledger {
            change(ledger);
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;
    use crate::store::sealed::BoxKey;

    fn session(id: u32) -> Session {
        Session { server: b"ap-1".to_vec(), id: id.to_be_bytes().to_vec() }
    }

    fn mark(fingerprint: u64, event_s: impl Into<Option<u32>>) -> Mark {
        Mark { fingerprint, event_s: event_s.into() }
    }

    fn alive() -> Told {
        Told::Alive(session(1), None)
    }

    #[test]
    fn what_was_heard_before_changes_nothing() {
        let mut memory = Memory::default();
        let (start, stop) = (mark(1, None), mark(2, None));
        assert_eq!(memory.judge(&alive(), start, None), Novelty::New);
        memory.remember(&alive(), start);
        assert_eq!(memory.judge(&alive(), start, Some(start)), Novelty::New, "it goes on, and has no clock");
        assert_eq!(
            memory.judge(&alive(), start, Some(mark(3, None))),
            Novelty::Duplicate,
            "it has moved since"
        );
        memory.remember(&Told::Over(session(1)), stop);
        assert_eq!(memory.judge(&alive(), start, None), Novelty::Duplicate, "it is over");
        assert_eq!(memory.judge(&Told::Over(session(1)), stop, Some(mark(4, None))), Novelty::Duplicate);
        assert_eq!(memory.judge(&alive(), mark(5, None), None), Novelty::New, "the id is used again");
        let told = mark(6, 100);
        memory.remember(&alive(), told);
        assert_eq!(
            memory.judge(&alive(), told, Some(told)),
            Novelty::Duplicate,
            "its clock would have gone on"
        );
    }

    #[test]
    fn what_is_older_than_the_last_word_is_stale_also_when_it_is_new() {
        let mut memory = Memory::default();
        assert_eq!(memory.judge(&alive(), mark(1, 100), Some(mark(2, 101))), Novelty::Stale);
        assert_eq!(memory.judge(&alive(), mark(1, 101), Some(mark(2, 101))), Novelty::New);
        assert_eq!(memory.judge(&Told::Over(session(1)), mark(1, 100), Some(mark(2, 101))), Novelty::Stale);
        memory.remember(&Told::Over(session(1)), mark(3, 200));
        assert_eq!(memory.judge(&alive(), mark(4, 200), None), Novelty::Stale);
        assert_eq!(memory.judge(&alive(), mark(4, 201), None), Novelty::New, "the id is used again");
        assert_eq!(memory.judge(&Told::Alive(session(2), None), mark(4, 100), None), Novelty::New);
        // The access server began anew: all from before is over.
        let began = Told::AllOver(b"ap-1".to_vec());
        memory.remember(&began, mark(5, 300));
        assert_eq!(memory.judge(&Told::Alive(session(2), None), mark(6, 299), None), Novelty::Stale);
        assert_eq!(memory.judge(&Told::Alive(session(2), None), mark(6, 300), None), Novelty::New);
        assert_eq!(memory.judge(&began, mark(7, 299), None), Novelty::Stale);
        assert_eq!(memory.judge(&Told::AllOver(b"ap-2".to_vec()), mark(7, 299), None), Novelty::New);
    }

    #[test]
    fn memory_is_bounded_and_forgets_the_oldest() {
        let mut memory = Memory::default();
        for number in 0..=SEEN_MAX as u32 {
            memory.remember(
                &Told::Over(session(number % (ENDED_MAX as u32 + 1))),
                mark(u64::from(number), number),
            );
        }
        assert_eq!((memory.seen.len(), memory.seen_order.len()), (SEEN_MAX, SEEN_MAX));
        assert!(!memory.seen.contains(&0) && memory.seen.contains(&1));
        assert_eq!(memory.ended_order.len(), ENDED_MAX);
        assert!(memory.ended.len() <= ENDED_MAX);
        for number in 0..=SERVERS_MAX as u32 {
            memory.remember(&Told::AllOver(number.to_be_bytes().to_vec()), mark(u64::MAX, number));
        }
        assert_eq!(memory.begun.len(), SERVERS_MAX);
    }

    #[test]
    fn what_was_heard_before_a_restart_changes_nothing_after_it() {
        let (dir, key) = (tempfile::tempdir().unwrap(), BoxKey::generate().unwrap());
        let path = dir.path().join("i.redb");
        let began = Told::AllOver(b"ap-9".to_vec());
        {
            let ledger = Arc::new(Ledger::open(&path, &key).unwrap().0);
            let mut memory = Memory::default();
            memory.restore(&ledger).unwrap();
            memory.remember(&alive(), mark(1, None));
            memory.remember(&Told::Over(session(1)), mark(2, 200));
            memory.remember(&began, mark(3, 300));
            ledger.save().unwrap();
            // This one comes too late to be kept.
            memory.remember(&alive(), mark(4, None));
        }
        let ledger = Arc::new(Ledger::open(&path, &key).unwrap().0);
        ledger.add(Kept::RadiusSeen, "zz".to_owned(), &"no fingerprint");
        ledger.save().unwrap();
        let mut memory = Memory::default();
        memory.restore(&ledger).unwrap();
        assert_eq!(memory.judge(&alive(), mark(1, None), None), Novelty::Duplicate);
        assert_eq!(memory.judge(&Told::Over(session(1)), mark(2, 200), None), Novelty::Duplicate);
        assert_eq!(memory.judge(&alive(), mark(5, 200), None), Novelty::Stale, "it is over");
        assert_eq!(memory.judge(&began, mark(6, 299), None), Novelty::Stale);
        assert_eq!(memory.judge(&alive(), mark(4, None), None), Novelty::New);
        // Numbers go on, so that nothing that is kept is written over.
        memory.remember(&alive(), mark(7, None));
        assert_eq!(memory.seen_order, [(1, 1), (2, 2), (3, 3), (4, 7)]);
    }
}
