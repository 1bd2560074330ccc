//! Both sides of the door: what the control plane holds, and what one worker holds.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rtrb::{Consumer, Producer, RingBuffer};

use super::event::{ALERTS_MAX, FIELD_BYTES_MAX, RECORDS_MAX, event_rings};
use super::identity::identities;
use super::{
    Board, EventReceiver, EventSender, FlowQuery, IdentityReader, IdentitySender, Publisher, Snapshot,
    SnapshotReader, StateChange, Wakers, WireControl,
};

use crate::account::{Counts, Tally};
use crate::identity::{Identity, Key};
use crate::parse::{Addr, Mac};

/// Questions that wait at one worker at most.
const QUERIES_MAX: usize = 4;

/// The control plane's side.
pub struct Door {
    /// Puts snapshots in force.
    pub publisher: Publisher,
    boards: Vec<Arc<Board>>,
    tallies: Vec<Arc<Tally>>,
    queries: Vec<Mutex<QueryPort>>,
    identities: IdentitySender,
    wire: Option<Box<dyn WireControl>>,
    /// Set once workers can sleep.
    wakers: OnceLock<Wakers>,
    /// What the daemon's own threads have told and nobody has taken yet.
    told: Mutex<VecDeque<StateChange>>,
}

/// Changes that wait to be taken at most; the oldest goes first.
const TOLD_MAX: usize = 1_024;

struct QueryPort {
    asked: Producer<Box<Numbered>>,
    answered: Consumer<Box<Numbered>>,
    last: u64,
}

/// A query with its number, so that an answer that came too late is not taken for the next one's.
#[derive(Debug)]
pub struct Numbered {
    number: u64,
    /// The question, and where the answer goes.
    pub query: FlowQuery,
}

/// One worker's side.
#[derive(Debug)]
pub struct WorkerDoor {
    /// The snapshot in force.
    pub snapshots: SnapshotReader,
    /// Who is where.
    pub identities: IdentityReader,
    /// Where numbers are published.
    pub board: Arc<Board>,
    /// Where policies are counted.
    pub tally: Arc<Tally>,
    /// Where events go.
    pub events: EventSender,
    /// Questions.
    pub asked: Consumer<Box<Numbered>>,
    /// Answers.
    pub answered: Producer<Box<Numbered>>,
}

/// Why a question has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// There is no such worker.
    #[error("worker {worker} was asked, there are {workers}")]
    NoSuchWorker {
        /// Asked for.
        worker: usize,
        /// Existing.
        workers: usize,
    },
    /// The worker did not answer in time.
    #[error("worker {worker} did not answer within {waited_ms} ms")]
    TimedOut {
        /// Asked.
        worker: usize,
        /// How long, milliseconds.
        waited_ms: u64,
    },
}

/// Builds the door for `workers` workers, which begin under `first`.
#[must_use]
pub fn door(
    first: Snapshot,
    workers: usize,
    wire: Option<Box<dyn WireControl>>,
) -> (Door, Vec<WorkerDoor>, Vec<EventReceiver>) {
    let accounts = first.policy.accounts();
    let publisher = Publisher::new(first);
    let mut inside = Vec::new();
    let mut receivers = Vec::new();
    let mut boards = Vec::new();
    let mut tallies = Vec::new();
    let mut queries = Vec::new();
    let (identities, readers) = identities(workers);
    for reader in readers {
        let board = Arc::new(Board::default());
        let (events, receiver) = event_rings(ALERTS_MAX, RECORDS_MAX, FIELD_BYTES_MAX);
        let (asked_in, asked) = RingBuffer::new(QUERIES_MAX);
        let (answered_in, answered) = RingBuffer::new(QUERIES_MAX);
        let tally = Arc::new(Tally::default());
        tally.reserve(accounts);
        boards.push(Arc::clone(&board));
        tallies.push(Arc::clone(&tally));
        queries.push(Mutex::new(QueryPort { asked: asked_in, answered, last: 0 }));
        receivers.push(receiver);
        inside.push(WorkerDoor {
            snapshots: publisher.reader(),
            identities: reader,
            board,
            tally,
            events,
            asked,
            answered: answered_in,
        });
    }
    (
        Door {
            publisher,
            boards,
            tallies,
            queries,
            identities,
            wire,
            wakers: OnceLock::new(),
            told: Mutex::default(),
        },
        inside,
        receivers,
    )
}

impl Door {
    /// How many workers there are.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.boards.len()
    }

    /// The boards, by worker.
    #[must_use]
    pub fn boards(&self) -> &[Arc<Board>] {
        &self.boards
    }

    /// Makes room at every worker for accounts below `accounts`; before a set that is counted in them is published.
    pub fn reserve_accounts(&self, accounts: u32) {
        self.tallies.iter().for_each(|tally| tally.reserve(accounts));
    }

    /// What all workers counted for an account, since they began.
    #[must_use]
    pub fn counts(&self, account: u32) -> Counts {
        self.tallies.iter().fold(Counts::default(), |sum, tally| sum.plus(tally.read(account)))
    }

    /// The XDP side, where there is one (not in replay).
    #[must_use]
    pub fn wire(&self) -> Option<&dyn WireControl> {
        self.wire.as_deref()
    }

    /// Tells of something that no worker knows of: a link, a thread of the control plane. May wait for the
    /// reader: not for workers, which have rings.
    pub fn tell(&self, change: StateChange) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() == TOLD_MAX {
            told.pop_front();
        }
        told.push_back(change);
    }

    /// Takes the oldest change that was told.
    pub fn told(&self) -> Option<StateChange> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// What wakes its workers, so that a question does not wait until an idle one turns by itself.
    pub fn set_wakers(&self, wakers: Wakers) {
        // The first ones are those of the workers that there are.
        let _known = self.wakers.set(wakers);
    }

    /// Tells every worker that a key is somebody's, or nobody's, from now on. Gives the number of that change.
    pub fn identify(&self, key: Key, identity: Option<&Arc<Identity>>) -> u64 {
        self.identities.send(key, identity, self.wakers.get())
    }

    /// Tells workers who is where before they run.
    pub fn identify_first(&self, all: Vec<(Key, Arc<Identity>)>) {
        self.identities.send_first(all);
    }

    /// Tells workers that hung what they missed; call it now and then.
    pub fn catch_up(&self) {
        self.identities.catch_up(self.wakers.get());
    }

    /// Who uses an address, as workers are told.
    #[must_use]
    pub fn user_of(&self, addr: Addr, mac: Mac) -> Option<Arc<Identity>> {
        self.identities.find(addr, mac)
    }

    /// The number of the newest change of who is where.
    #[must_use]
    pub fn newest_identity(&self) -> u64 {
        self.identities.newest()
    }

    /// Whether every worker goes by the change of a number, or a later one.
    #[must_use]
    pub fn is_identified(&self, number: u64) -> bool {
        let behind = |(_, board): &(usize, &Arc<Board>)| board.identity() < number;
        let mut all = true;
        for (worker, _) in self.boards.iter().enumerate().filter(behind) {
            self.wake(worker);
            all = false;
        }
        all
    }

    fn wake(&self, worker: usize) {
        if let Some(wakers) = self.wakers.get() {
            wakers.wake(worker);
        }
    }

    /// Whether every worker has run a batch under `version` or a later one. Those that sleep are woken to.
    #[must_use]
    pub fn in_force(&self, version: u64) -> bool {
        let mut all = true;
        for (worker, board) in self.boards.iter().enumerate() {
            if board.snapshot_version() < version {
                self.wake(worker);
                all = false;
            }
        }
        all
    }

    /// Asks one worker and waits for its page. Blocks the calling thread for at most `timeout`; one
    /// question a worker at a time.
    ///
    /// # Errors
    ///
    /// [`QueryError::TimedOut`] when the worker is hung or stopped.
    pub fn ask(&self, worker: usize, query: FlowQuery, timeout: Duration) -> Result<FlowQuery, QueryError> {
        let workers = self.workers();
        let port = self.queries.get(worker).ok_or(QueryError::NoSuchWorker { worker, workers })?;
        let mut port = port.lock().unwrap_or_else(PoisonError::into_inner);
        let timed_out = QueryError::TimedOut { worker, waited_ms: timeout.as_millis() as u64 };
        port.last += 1;
        let number = port.last;
        while port.answered.pop().is_ok() {}
        port.asked.push(Box::new(Numbered { number, query })).map_err(|_full| timed_out)?;
        self.wake(worker);
        let deadline = Instant::now() + timeout;
        loop {
            match port.answered.pop() {
                Ok(answer) if answer.number == number => return Ok(answer.query),
                Ok(_late) => {}
                Err(_empty) if Instant::now() >= deadline => return Err(timed_out),
                Err(_empty) => std::thread::sleep(ASK_POLL),
            }
        }
    }
}

/// How often an asker looks for its answer: a worker answers between two batches, some 10 us.
const ASK_POLL: Duration = Duration::from_micros(100);

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Door").field("workers", &self.workers()).field("wire", &self.wire.is_some()).finish()
    }
}
