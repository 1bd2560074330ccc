//! Who moves the most bytes? Addresses and users, of flows that have ended, and of those that live where that is asked for.
//!
//! Fed by the event pump. Memory is bounded (`services/heavy.rs`): the answer says how much may be missing. A flow counts when it ends,
//! with all that it moved: in the window of a minute stands what ended in it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use dataplane::control::{FlowEnd, PAGE_FLOWS_MAX, QueryError};
use dataplane::flow::{FlowFilter, FlowRecord};
use dataplane::parse::Addr;
use serde::Serialize;
use utoipa::ToSchema;

use super::Services;
use super::flows::{FlowCursor, FlowQuestion};
use super::heavy::{Heavy, Tracked, Weighed};

/// Addresses kept since the start.
const KEPT: usize = 2_048;

/// Addresses kept of each minute.
const KEPT_OF_MINUTE: usize = 256;

/// Users kept since the start.
const USERS_KEPT: usize = 1_024;

/// Minutes that are kept apart.
const MINUTES: usize = 60;

const MINUTE: Duration = Duration::from_secs(60);

/// How long live flows are looked through.
const LIVE_TIMEOUT: Duration = Duration::from_secs(2);

/// Whom a flow belongs to that nobody has named.
const UNKNOWN: &str = "unknown";

/// Sums of an address or a user.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct TalkerSums {
    /// Flows.
    pub flows: u64,
    /// Bytes that it sent.
    pub sent_bytes: u64,
    /// Bytes that were sent to it.
    pub received_bytes: u64,
    /// Bytes, both ways, of the flows that it began.
    pub initiated_bytes: u64,
}

impl TalkerSums {
    const fn bytes(&self, side: Side) -> u64 {
        let all = self.sent_bytes + self.received_bytes;
        match side {
            Side::Src => self.initiated_bytes,
            Side::Dst => all - self.initiated_bytes,
            Side::Either => all,
        }
    }

    const fn of(record: &FlowRecord, is_initiator: bool) -> Self {
        let [to_server, to_client] = record.bytes;
        let flows = 1 + record.aggregated as u64;
        if is_initiator {
            let initiated_bytes = to_server + to_client;
            Self { flows, sent_bytes: to_server, received_bytes: to_client, initiated_bytes }
        } else {
            Self { flows, sent_bytes: to_client, received_bytes: to_server, initiated_bytes: 0 }
        }
    }
}

impl Weighed for TalkerSums {
    fn weight(&self) -> u64 {
        self.bytes(Side::Either)
    }

    fn add(&mut self, more: &Self) {
        self.flows += more.flows;
        self.sent_bytes += more.sent_bytes;
        self.received_bytes += more.received_bytes;
        self.initiated_bytes += more.initiated_bytes;
    }
}

/// Which end of a flow an address was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The one that began it.
    Src,
    /// The other one.
    Dst,
    /// Any.
    Either,
}

/// Which flows count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub enum Window {
    /// Those that ended in this minute, or in the one before.
    #[serde(rename = "1m")]
    Minute,
    /// Those that ended in this minute, or in the 60 before.
    #[serde(rename = "1h")]
    Hour,
    /// All since the start of the process.
    #[serde(rename = "start")]
    Start,
}

type Addresses = Heavy<Addr, TalkerSums>;

/// Sums by address and by user. The event pump writes, anyone reads.
#[derive(Debug)]
pub(super) struct Talkers(Mutex<Sums>);

#[derive(Debug)]
struct Sums {
    all: Addresses,
    /// The current minute last.
    minutes: VecDeque<Addresses>,
    /// When the current minute began.
    begun: Instant,
    users: Heavy<Arc<str>, TalkerSums>,
    unknown: Arc<str>,
}

impl Default for Talkers {
    fn default() -> Self {
        Self(Mutex::new(Sums {
            all: Heavy::new(KEPT),
            minutes: VecDeque::from([Heavy::new(KEPT_OF_MINUTE)]),
            begun: Instant::now(),
            users: Heavy::new(USERS_KEPT),
            unknown: UNKNOWN.into(),
        }))
    }
}

impl Talkers {
    fn lock(&self) -> MutexGuard<'_, Sums> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn count(&self, end: &FlowEnd) {
        let Sums { all, minutes, users, unknown, .. } = &mut *self.lock();
        for (address, sums) in ends(&end.record) {
            all.add(&address, &sums);
            if let Some(minute) = minutes.back_mut() {
                minute.add(&address, &sums);
            }
        }
        // Records name no user: the packet path knows none.
        users.add(unknown, &TalkerSums::of(&end.record, true));
    }

    /// Begins the next minute when it is time; called each second or so.
    pub(super) fn turn(&self, now: Instant) {
        let mut sums = self.lock();
        // A thread that stood still has missed minutes in which nothing was counted.
        for _minute in 0..=MINUTES {
            if now.saturating_duration_since(sums.begun) < MINUTE {
                return;
            }
            sums.begun += MINUTE;
            sums.minutes.push_back(Heavy::new(KEPT_OF_MINUTE));
            if sums.minutes.len() > MINUTES + 1 {
                sums.minutes.pop_front();
            }
        }
        sums.begun = now;
    }

    /// The sums of a window, and how long it is, seconds; `None` for all since the start.
    fn window(&self, window: Window, now: Instant) -> (Addresses, Option<f64>) {
        let sums = self.lock();
        let back = match window {
            Window::Start => return (sums.all.clone(), None),
            Window::Minute => 2,
            Window::Hour => MINUTES + 1,
        };
        let minutes: Vec<Addresses> = sums.minutes.iter().rev().take(back).cloned().collect();
        let current = now.saturating_duration_since(sums.begun);
        drop(sums);
        let whole = MINUTE * (minutes.len().saturating_sub(1) as u32);
        let mut minutes = minutes.into_iter();
        let mut merged = minutes.next().unwrap_or_else(|| Heavy::new(KEPT_OF_MINUTE));
        minutes.for_each(|minute| merged.merge(&minute));
        (merged, Some((whole + current).as_secs_f64()))
    }
}

fn ends(record: &FlowRecord) -> [(Addr, TalkerSums); 2] {
    let ((initiator, _), (responder, _)) = record.endpoints();
    [(initiator, TalkerSums::of(record, true)), (responder, TalkerSums::of(record, false))]
}

/// One address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct TalkerView {
    /// The address.
    pub address: String,
    /// Bytes by which it is ordered: exact since it is counted.
    pub bytes: u64,
    /// Bytes at most: it may have been counted before, and forgotten among the lesser ones.
    pub bytes_max: u64,
    /// All of it.
    #[serde(flatten)]
    pub sums: TalkerSums,
}

/// The addresses with the most bytes.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct TalkersView {
    /// Those with the most bytes first.
    pub talkers: Vec<TalkerView>,
    /// Which end counts.
    pub by: Side,
    /// Which flows count.
    pub window: Window,
    /// How long that is so far, seconds.
    pub window_s: f64,
    /// No address that is not counted has more bytes than this: 0 where all are counted.
    pub error_bytes_max: u64,
    /// Addresses that are counted.
    pub counted: usize,
    /// Live flows that are in it, with all that they have moved; `null` where only flows count that have ended.
    pub live_flows: Option<u64>,
    /// Whether there are live flows beyond those: looking them through took too long.
    pub live_cut: bool,
}

/// One user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct UserView {
    /// `unknown` for flows of which nobody knows.
    pub user: String,
    /// Bytes at most, both ways.
    pub bytes_max: u64,
    /// All of it.
    #[serde(flatten)]
    pub sums: TalkerSums,
}

/// The users with the most bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct UsersView {
    /// Those with the most bytes first.
    pub users: Vec<UserView>,
    /// No user that is not counted has more bytes than this.
    pub error_bytes_max: u64,
    /// Whether flows are told whose they are; where not, all are `unknown`.
    pub identity: bool,
}

impl Services {
    /// Who moved the most bytes. With `live` it blocks for some seconds at most.
    ///
    /// # Errors
    ///
    /// [`QueryError::TimedOut`] when a worker is hung, with `live`.
    pub fn talkers(
        &self,
        by: Side,
        window: Window,
        limit: usize,
        live: bool,
    ) -> Result<TalkersView, QueryError> {
        let (mut sums, window_s) = self.events.talkers.window(window, Instant::now());
        let (mut live_flows, mut live_cut) = (None, false);
        if live {
            let (count, is_cut) = self.add_live(&mut sums)?;
            (live_flows, live_cut) = (Some(count), is_cut);
        }
        let mut found: Vec<(&Addr, &Tracked<TalkerSums>)> =
            sums.iter().filter(|(_, tracked)| tracked.sums.bytes(by) > 0).collect();
        found.sort_unstable_by(|(a, one), (b, other)| {
            other.sums.bytes(by).cmp(&one.sums.bytes(by)).then_with(|| a.cmp(b))
        });
        let talkers = found.iter().take(limit).map(|(address, tracked)| TalkerView {
            address: address.to_string(),
            bytes: tracked.sums.bytes(by),
            bytes_max: tracked.sums.bytes(by).saturating_add(tracked.missed_max),
            sums: tracked.sums.clone(),
        });
        Ok(TalkersView {
            talkers: talkers.collect(),
            by,
            window,
            window_s: window_s.unwrap_or_else(|| self.uptime_s()),
            error_bytes_max: sums.absent_max(),
            counted: sums.iter().count(),
            live_flows,
            live_cut,
        })
    }

    /// Adds the flows that live, page by page; how many, and whether there are more.
    fn add_live(&self, sums: &mut Addresses) -> Result<(u64, bool), QueryError> {
        let deadline = Instant::now() + LIVE_TIMEOUT;
        let mut cursor = FlowCursor::default();
        let mut count = 0;
        loop {
            let question = FlowQuestion { filter: FlowFilter::default(), limit: PAGE_FLOWS_MAX, cursor };
            let answer = self.flows(&question)?;
            count += answer.flows.len() as u64;
            for (_worker, record, _summary) in &answer.flows {
                ends(record).iter().for_each(|(address, more)| sums.add(address, more));
            }
            match answer.next {
                None => return Ok((count, false)),
                Some(_) if Instant::now() >= deadline => return Ok((count, true)),
                Some(next) => cursor = next,
            }
        }
    }

    /// Whose flows moved the most bytes, as far as they have ended.
    #[must_use]
    pub fn users(&self, limit: usize) -> UsersView {
        let users = self.events.talkers.lock().users.clone();
        let view = |(user, tracked): (&Arc<str>, &Tracked<TalkerSums>)| UserView {
            user: user.to_string(),
            bytes_max: tracked.sums.weight().saturating_add(tracked.missed_max),
            sums: tracked.sums.clone(),
        };
        let mut found: Vec<UserView> = users.iter().map(view).collect();
        found
            .sort_unstable_by(|a, b| b.sums.weight().cmp(&a.sums.weight()).then_with(|| a.user.cmp(&b.user)));
        found.truncate(limit);
        UsersView { users: found, error_bytes_max: users.absent_max(), identity: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minutes_go_by_and_an_hour_is_kept() {
        let talkers = Talkers::default();
        let one = TalkerSums { flows: 1, sent_bytes: 10, ..TalkerSums::default() };
        let begun = talkers.lock().begun;
        let address = Addr::v4([10, 0, 0, 1]);
        let bytes = |window, now| {
            let (sums, _) = talkers.window(window, now);
            sums.iter().map(|(_, tracked)| tracked.sums.weight()).sum::<u64>()
        };
        talkers.lock().minutes.back_mut().unwrap().add(&address, &one);
        talkers.turn(begun + MINUTE);
        talkers.lock().minutes.back_mut().unwrap().add(&address, &one);
        assert_eq!(bytes(Window::Minute, begun + MINUTE), 20);
        talkers.turn(begun + MINUTE * 2);
        assert_eq!(bytes(Window::Minute, begun + MINUTE * 2), 10);
        assert_eq!(bytes(Window::Hour, begun + MINUTE * 2), 20);
        assert_eq!(talkers.window(Window::Hour, begun + MINUTE * 2).1, Some(120.0));
        talkers.turn(begun + MINUTE * 61);
        assert_eq!(bytes(Window::Hour, begun + MINUTE * 61), 10, "the first minute went");
        // A day in which the thread did not run.
        talkers.turn(begun + MINUTE * 1_440);
        assert_eq!(bytes(Window::Hour, begun + MINUTE * 1_440), 0);
        assert!(talkers.lock().minutes.len() <= MINUTES + 1);
    }
}
