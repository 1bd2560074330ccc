//! What happens, told as it happens: who listens, to what, and what was told of late.
//!
//! ```text
//! jarvis-events  --.                                       .--> a listener: its place in the rings, its filters
//! control thread --+--> publish: id, text, once --> rings -+--> a listener
//! signals, jobs  --'         | marks the topic             '--> ...
//!                            v
//!                     one bell --> the task that rings those who listen to it (api::live)
//! ```
//!
//! Whoever publishes waits for nobody but another publisher (some microseconds), and costs the same for one listener and for
//! ten thousand. A topic that nobody listens to, and that is not recorded, costs one load. A listener that does not keep up
//! finds that the ring has gone on, is told how many events it missed, and is let go.
//!
//! | file | question |
//! |---|---|
//! | `topic`, `filter` | what is there to listen to? |
//! | `rings` | what was told of late? |
//! | `subscriber` | who listens, and until when? |
//! | `sample` | what is the traffic now? |
//! | `changes` | what is told of what people and the daemon change? |
//! | `record` | how do events get to the disk? |
//! | `history` | what was told before? |

mod changes;
mod filter;
mod history;
mod record;
mod rings;
mod sample;
mod subscriber;
#[cfg(test)]
mod tests;
mod topic;

pub use filter::{Facts, Filter};
pub use history::{Past, Question, Replay, Wanted};
pub use record::{LogKeeping, RecordCounts, RecordTotals, Recorder, RecorderHandle, Tape};
pub use rings::Told;
pub use subscriber::{End, Subscriber};
pub use topic::{Topic, Topics};

pub(super) use sample::Sampler;

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dataplane::time::Wall;
use serde::Serialize;
use serde_json::{Map, Value};
use tokio::sync::Notify;
use utoipa::ToSchema;

use self::rings::{Place, Rings};
use super::auth::Identity;
use super::stamp::Stamp;

/// How long a topic is kept going after its last listener left, so that one who comes back misses nothing.
const LINGER_NS: u64 = 60 * 1_000_000_000;

/// Events that a listener takes at once.
pub const TAKEN_MAX: usize = 256;

/// How many may listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Listeners in all.
    pub listeners_max: usize,
    /// Listeners of one account.
    pub of_account_max: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { listeners_max: 16_384, of_account_max: 1_024 }
    }
}

/// Why somebody may not listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Crowded {
    /// All places are taken.
    #[error("{0} listen already, and no more may")]
    Box(usize),
    /// The account's places are taken.
    #[error("this account listens {0} times already, and may not more often")]
    Account(usize),
}

/// An event that is to be told.
#[derive(Debug)]
pub struct Draft<'a> {
    /// Its topic.
    pub topic: Topic,
    /// Only for who may read the audit.
    pub is_private: bool,
    /// What filters look at.
    pub facts: Facts,
    /// A JSON object.
    pub event: &'a [u8],
}

/// What was told to whom, for telemetry.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct LiveTotals {
    /// Who listen now.
    pub listeners: usize,
    /// Events that were told to whoever listened.
    pub published: u64,
    /// Listeners that were let go because they did not keep up.
    pub dropped_slow: u64,
    /// Events that they missed.
    pub missed: u64,
}

#[derive(Debug, Default)]
struct Registry {
    all: HashMap<u64, Arc<Subscriber>>,
    by_account: HashMap<String, usize>,
    next: u64,
    listening: [usize; Topic::COUNT],
    /// When a topic that nobody listens to is let go, nanoseconds since 1970.
    linger_until_ns: [u64; Topic::COUNT],
}

/// All topics of a box.
#[derive(Debug)]
pub struct Hub {
    clock: fn() -> u64,
    bounds: Bounds,
    /// The last id; held while something is published, so that ids appear in their order.
    last_id: Mutex<u64>,
    rings: Mutex<Rings>,
    /// Topics that are told at all.
    wanted: AtomicU8,
    /// Topics that are told whether or not somebody listens.
    recorded: AtomicU8,
    /// Topics with something new since the bell was heard.
    marked: AtomicU8,
    bell: Notify,
    registry: Mutex<Registry>,
    published: AtomicU64,
    dropped_slow: AtomicU64,
    missed: AtomicU64,
    log_directories: Mutex<[Option<PathBuf>; 2]>,
    record_counts: Arc<RecordCounts>,
}

impl Hub {
    /// Nobody listens yet. `clock` gives nanoseconds since 1970.
    #[must_use]
    pub fn new(clock: fn() -> u64, bounds: Bounds) -> Arc<Self> {
        let begin = clock() / 1_000;
        let mut rings = Rings::default();
        rings.begin_at(begin);
        Arc::new(Self {
            clock,
            bounds,
            last_id: Mutex::new(begin),
            rings: Mutex::new(rings),
            wanted: AtomicU8::new(0),
            recorded: AtomicU8::new(0),
            marked: AtomicU8::new(0),
            bell: Notify::new(),
            registry: Mutex::default(),
            published: AtomicU64::new(0),
            dropped_slow: AtomicU64::new(0),
            missed: AtomicU64::new(0),
            log_directories: Mutex::default(),
            record_counts: Arc::default(),
        })
    }

    /// Says where events and flows are kept; from then on what is recorded is told at all times.
    pub(super) fn recorded_in(&self, directories: [Option<PathBuf>; 2]) {
        let is_kept = |topic: &Topic| topic.is_recorded() && directories[record::side_of(*topic)].is_some();
        let recorded: Topics = Topic::ALL.into_iter().filter(is_kept).collect();
        *lock(&self.log_directories) = directories;
        self.recorded.store(recorded.0, Ordering::Relaxed);
        self.wanted.fetch_or(recorded.0, Ordering::Relaxed);
    }

    /// What became of events on their way to the disk.
    #[must_use]
    pub const fn record_counts(&self) -> &Arc<RecordCounts> {
        &self.record_counts
    }

    /// The youngest event's id; nothing that is told later has a smaller one.
    #[must_use]
    pub fn last_id(&self) -> u64 {
        *lock(&self.last_id)
    }

    /// Whether it is worth making an event of `topic`: one load.
    #[inline]
    #[must_use]
    pub fn wants(&self, topic: Topic) -> bool {
        // Relaxed: a listener that comes now hears of what happens from about now on.
        Topics(self.wanted.load(Ordering::Relaxed)).has(topic)
    }

    /// Tells events, in their order; `tape` gets what is recorded.
    pub fn publish<'a>(&self, drafts: impl IntoIterator<Item = Draft<'a>>, mut tape: Option<&mut Tape>) {
        let mut last_id = lock(&self.last_id);
        let now_us = (self.clock)() / 1_000;
        let (mut marked, mut made) = (Topics::NONE, Vec::new());
        for draft in drafts {
            *last_id = (*last_id + 1).max(now_us);
            if let Some(tape) = &mut tape
                && draft.topic.is_recorded()
            {
                tape.push(*last_id, draft.topic, &draft.facts, draft.event);
            }
            marked = marked.with(Topics::of(draft.topic));
            made.push(Arc::new(told(*last_id, draft)));
        }
        self.published.fetch_add(made.len() as u64, Ordering::Relaxed);
        lock(&self.rings).push(made);
        drop(last_id);
        // Release: pairs with the Acquire in `heard`.
        if !marked.is_empty() && self.marked.fetch_or(marked.0, Ordering::Release) & marked.0 != marked.0 {
            self.bell.notify_one();
        }
    }

    /// Tells of something that the daemon itself did: `event_type` is the topic's name, `what` and `more` are under
    /// `jarvis`.
    pub fn tell(
        &self,
        topic: Topic,
        is_private: bool,
        what: &str,
        user: Option<&str>,
        more: Map<String, Value>,
    ) {
        #[derive(Serialize)]
        struct Own<'a> {
            timestamp: Stamp,
            event_type: &'static str,
            jarvis: Notes<'a>,
        }
        #[derive(Serialize)]
        struct Notes<'a> {
            change: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            user_id: Option<&'a str>,
            #[serde(flatten)]
            more: Map<String, Value>,
        }
        if !self.wants(topic) {
            return;
        }
        let timestamp = Stamp(Wall((self.clock)()));
        let jarvis = Notes { change: what, user_id: user, more };
        let event =
            serde_json::to_vec(&Own { timestamp, event_type: topic.name(), jarvis }).unwrap_or_default();
        let facts = Facts {
            event_type: Cow::Borrowed(topic.name()),
            reason: Some(Cow::Owned(what.to_owned())),
            user: user.map(Box::from),
            ..Facts::default()
        };
        self.publish([Draft { topic, is_private, facts, event: &event }], None);
    }

    /// Waits until something was told.
    pub async fn heard(&self) -> Topics {
        loop {
            // Acquire: pairs with the Release in `publish`.
            let marked = self.marked.swap(0, Ordering::Acquire);
            if marked != 0 {
                return Topics(marked);
            }
            self.bell.notified().await;
        }
    }

    /// Rings those who listen to one of `topics`.
    pub fn ring(&self, topics: Topics) {
        let registry = lock(&self.registry);
        registry.all.values().filter(|one| one.topics().meets(topics)).for_each(|one| one.ring());
    }

    /// All who listen.
    #[must_use]
    pub fn subscribers(&self) -> Vec<Arc<Subscriber>> {
        lock(&self.registry).all.values().map(Arc::clone).collect()
    }

    /// Lets topics go that nobody has listened to for a while.
    pub fn tend(&self) {
        let now_ns = (self.clock)();
        let mut idle = Topics::NONE;
        {
            let registry = lock(&self.registry);
            let kept = Topics(self.recorded.load(Ordering::Relaxed));
            for topic in Topics(self.wanted.load(Ordering::Relaxed)).without(kept).iter() {
                let at = topic.index();
                if registry.listening[at] == 0 && registry.linger_until_ns[at] <= now_ns {
                    idle = idle.with(Topics::of(topic));
                    // Under the lock of the registry: nobody begins to listen meanwhile.
                    self.wanted.fetch_and(!Topics::of(topic).0, Ordering::Relaxed);
                }
            }
        }
        if !idle.is_empty() {
            let last_id = lock(&self.last_id);
            let mut rings = lock(&self.rings);
            let idle = idle.without(Topics(self.wanted.load(Ordering::Relaxed)));
            idle.iter().for_each(|topic| rings.forget(topic, *last_id));
        }
    }

    /// Somebody who listens, to nothing yet.
    ///
    /// # Errors
    ///
    /// [`Crowded`].
    pub fn listen(self: &Arc<Self>, identity: Identity) -> Result<Listener, Crowded> {
        let mut registry = lock(&self.registry);
        let Bounds { listeners_max, of_account_max } = self.bounds;
        if registry.all.len() >= listeners_max {
            return Err(Crowded::Box(listeners_max));
        }
        let of_account = registry.by_account.entry(identity.account.id.clone()).or_default();
        if *of_account >= of_account_max {
            return Err(Crowded::Account(of_account_max));
        }
        *of_account += 1;
        registry.next += 1;
        let subscriber = Arc::new(Subscriber::new(registry.next, identity));
        registry.all.insert(subscriber.number, Arc::clone(&subscriber));
        drop(registry);
        Ok(Listener {
            hub: Arc::clone(self),
            subscriber,
            place: Place::default(),
            filters: Default::default(),
            taken: Vec::new(),
        })
    }

    /// What was told to whom.
    #[must_use]
    pub fn totals(&self) -> LiveTotals {
        LiveTotals {
            listeners: lock(&self.registry).all.len(),
            published: self.published.load(Ordering::Relaxed),
            dropped_slow: self.dropped_slow.load(Ordering::Relaxed),
            missed: self.missed.load(Ordering::Relaxed),
        }
    }

    /// Counts a listener that is let go.
    pub fn dropped_slow(&self, missed: u64) {
        self.dropped_slow.fetch_add(1, Ordering::Relaxed);
        self.missed.fetch_add(missed, Ordering::Relaxed);
    }
}

/// The text of an event, made once.
fn told(id: u64, draft: Draft<'_>) -> Told {
    let Draft { topic, is_private, facts, event } = draft;
    let mut text = Vec::with_capacity(event.len() + 72);
    // Writing to a Vec does not fail.
    let _ = write!(text, r#"{{"type":"event","topic":"{topic}","id":{id},"event":"#);
    let event_at = text.len();
    text.extend_from_slice(event.trim_ascii_end());
    text.push(b'}');
    Told { id, topic, is_private, facts, message: text.into(), event_at }
}

/// What a listener found.
#[derive(Debug, Default)]
pub struct Taken {
    /// Events, in the order of their ids.
    pub told: Vec<Arc<Told>>,
    /// How many are gone that it had not taken.
    pub missed: u64,
    /// Whether there may be more right now.
    pub has_more: bool,
}

/// Where a listener that comes back goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// Topics of which something is not in memory any more.
    pub topics: Topics,
    /// From here on all is.
    pub whole_since: u64,
}

/// Somebody who listens. Dropping it ends that.
#[derive(Debug)]
pub struct Listener {
    hub: Arc<Hub>,
    subscriber: Arc<Subscriber>,
    place: Place,
    filters: [Option<Box<Filter>>; Topic::COUNT],
    taken: Vec<Arc<Told>>,
}

impl Listener {
    /// What others see of it.
    #[must_use]
    pub const fn subscriber(&self) -> &Arc<Subscriber> {
        &self.subscriber
    }

    /// Listens to `topics` too, from now on or from what came after the event `after`; a topic that it listens to already
    /// gets the filter, and goes back where `after` says so.
    pub fn add(&mut self, topics: Topics, filter: &Filter, after: Option<u64>) -> Option<Gap> {
        let before = self.subscriber.topics();
        let new = topics.without(before);
        self.count(new, true);
        for topic in topics.iter() {
            self.filters[topic.index()] = (*filter != Filter::default()).then(|| Box::new(filter.clone()));
        }
        let (place, moved, gap) = {
            let rings = lock(&self.hub.rings);
            match after {
                None => (rings.end(), new, None),
                Some(id) => {
                    let (place, gaps, whole_since) = rings.after(id, topics);
                    (place, topics, (!gaps.is_empty()).then_some(Gap { topics: gaps, whole_since }))
                }
            }
        };
        moved.iter().for_each(|topic| self.place.0[topic.index()] = place.0[topic.index()]);
        self.subscriber.listen(before.with(topics));
        // What came between is looked for once.
        self.subscriber.ring();
        gap
    }

    /// Listens to `topics` no more.
    pub fn remove(&mut self, topics: Topics) {
        let before = self.subscriber.topics();
        self.count(Topics(before.0 & topics.0), false);
        self.subscriber.listen(before.without(topics));
    }

    /// What is new, as far as it wants that.
    pub fn take(&mut self) -> Taken {
        let topics = self.subscriber.topics();
        let missed = lock(&self.hub.rings).take(&mut self.place, topics, TAKEN_MAX, &mut self.taken);
        let has_more = self.taken.len() >= TAKEN_MAX;
        let wants = |one: &Arc<Told>| self.wants(one.topic, one.is_private, &one.facts);
        let told = if self.taken.is_empty() {
            Vec::new()
        } else {
            self.taken.iter().filter(|one| wants(one)).map(Arc::clone).collect()
        };
        self.taken = Vec::new();
        Taken { told, missed, has_more }
    }

    /// Whether an event of `topic` fits its filter, and is for its eyes.
    #[must_use]
    pub fn wants(&self, topic: Topic, is_private: bool, facts: &Facts) -> bool {
        self.filters[topic.index()].as_ref().is_none_or(|filter| filter.fits(facts))
            && (!is_private
                || self.subscriber.identity().may(super::auth::role::Permission::AuditRead).is_ok())
    }

    /// The filter of `topic`.
    #[must_use]
    pub fn filter(&self, topic: Topic) -> Option<&Filter> {
        self.filters[topic.index()].as_deref()
    }

    fn count(&self, topics: Topics, comes: bool) {
        let mut registry = lock(&self.hub.registry);
        let mut begun = Topics::NONE;
        for topic in topics.iter() {
            let at = topic.index();
            if comes {
                registry.listening[at] += 1;
                if !self.hub.wants(topic) {
                    begun = begun.with(Topics::of(topic));
                }
            } else {
                registry.listening[at] -= 1;
                if registry.listening[at] == 0 {
                    registry.linger_until_ns[at] = (self.hub.clock)() + LINGER_NS;
                }
            }
        }
        if !begun.is_empty() {
            let last_id = lock(&self.hub.last_id);
            let mut rings = lock(&self.hub.rings);
            begun.iter().for_each(|topic| rings.forget(topic, *last_id));
            self.hub.wanted.fetch_or(begun.0, Ordering::Relaxed);
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.remove(self.subscriber.topics());
        let mut registry = lock(&self.hub.registry);
        registry.all.remove(&self.subscriber.number);
        let account = self.subscriber.identity().account.id.clone();
        if let Some(of_account) = registry.by_account.get_mut(&account) {
            *of_account -= 1;
            if *of_account == 0 {
                registry.by_account.remove(&account);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
