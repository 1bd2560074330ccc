//! What was told before? Read from the segments; not for the thread that serves.

use std::net::IpAddr;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::Value;

use super::record::side_of;
use super::{Draft, Facts, Filter, Hub, Listener, Topic, Topics, lock, told};
use crate::store::StoreError;
use crate::store::segments::{Query, read};

/// How long a page, or a replay, is worked on.
const TIME_MAX: Duration = Duration::from_secs(2);

/// What a listener who comes back is given from the disk at most.
const REPLAY_MAX: usize = 10_000;
const REPLAY_BYTES_MAX: usize = 8 << 20;

/// A question; all that is given must fit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Question {
    /// Flows that ended, instead of alerts and what protocols tell.
    pub flows: bool,
    /// Told from this time on, seconds since 1970.
    pub from_s: Option<u64>,
    /// Told before this time, seconds since 1970.
    pub to_s: Option<u64>,
    /// What must fit besides.
    pub filter: Filter,
    /// From this entry of the log on.
    pub cursor: u64,
    /// Events wanted.
    pub limit: usize,
}

/// A page of the past.
#[derive(Debug, Default)]
pub struct Past {
    /// Ids and events, in the order in which they were told.
    pub events: Vec<(u64, Value)>,
    /// Where to go on; `None` at the end.
    pub next: Option<u64>,
    /// Places on the disk that are damaged.
    pub damaged: u64,
}

/// What a listener missed, as far as the disk has it.
#[derive(Debug, Default)]
pub struct Replay {
    /// Messages by their ids.
    pub messages: Vec<(u64, Topic, Bytes)>,
    /// Whether that is all of it; else something is missing after [`Self::reached`].
    pub is_whole: bool,
    /// Up to here all was looked at.
    pub reached: u64,
}

/// What of a replay is asked for.
#[derive(Debug, Clone)]
pub struct Wanted {
    filters: Vec<(Topic, Option<Filter>)>,
}

impl Listener {
    /// What it would want of the past of `topics`.
    #[must_use]
    pub fn wanted(&self, topics: Topics) -> Wanted {
        Wanted { filters: topics.iter().map(|topic| (topic, self.filter(topic).cloned())).collect() }
    }
}

/// Which topic an event of the log is of.
fn topic_of(event_type: &str) -> Topic {
    match event_type {
        "flow" => Topic::Flows,
        "drop" | "anomaly" | "alert" => Topic::Alerts,
        _ => Topic::Protocols,
    }
}

impl Hub {
    /// Where flows that have ended are kept; `None` where they are not.
    #[must_use]
    pub fn flow_log(&self) -> Option<PathBuf> {
        lock(&self.log_directories)[1].clone()
    }

    /// A page of the past; `None` where the log is not kept. Reads the disk.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn past(&self, question: &Question) -> Result<Option<Past>, StoreError> {
        let side = usize::from(question.flows);
        let Some(directory) = lock(&self.log_directories)[side].clone() else { return Ok(None) };
        let ns = |seconds: u64| seconds.saturating_mul(1_000_000_000);
        let filter = &question.filter;
        let one_ip = filter.ip.filter(|net| net.prefix_len() == net.max_prefix_len()).map(|net| net.addr());
        let one_type = filter.event_type.as_ref().filter(|types| !types.contains(',') && !question.flows);
        let terms = [
            one_ip.map(|ip: IpAddr| format!("ip:{ip}")),
            filter.flow_id.map(|flow| format!("flow:{flow}")),
            filter.user.as_ref().map(|user| format!("user:{}", user.to_lowercase())),
            one_type.map(|one| format!("type:{one}")),
        ];
        let query = Query {
            from_ns: question.from_s.map_or(0, ns),
            to_ns: question.to_s.map_or(u64::MAX, ns),
            terms: terms.into_iter().flatten().collect(),
            first_entry: question.cursor,
            ..Query::default()
        };
        let deadline = Instant::now() + TIME_MAX;
        let mut past = Past::default();
        let page = read(&directory, &query, &mut |found| {
            if let Ok(event) = serde_json::from_slice::<Value>(found.body)
                && filter.fits(&Facts::of_eve(&event))
            {
                past.events.push((found.time_ns / 1_000, event));
            }
            let is_done = past.events.len() >= question.limit || Instant::now() >= deadline;
            if is_done { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        (past.next, past.damaged) = (page.next_entry, page.damaged);
        Ok(Some(past))
    }

    /// What was told after the event `after`, up to `until`. Reads the disk.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn replay(&self, wanted: &Wanted, after: u64, until: u64) -> Result<Replay, StoreError> {
        let deadline = Instant::now() + TIME_MAX;
        let directories = lock(&self.log_directories).clone();
        let mut replay =
            Replay { is_whole: self.record_counts.totals().lost == 0, reached: until, ..Replay::default() };
        for (side, directory) in directories.iter().enumerate() {
            let of_side = |topic: Topic| topic.is_recorded() && side_of(topic) == side;
            if !wanted.filters.iter().any(|(topic, _)| of_side(*topic)) {
                continue;
            }
            let Some(directory) = directory else {
                replay.is_whole = false;
                continue;
            };
            let mut first = None;
            read(directory, &Query::default(), &mut |found| {
                first = Some(found.time_ns / 1_000);
                ControlFlow::Break(())
            })?;
            // What retention has removed was told before the first that is left.
            replay.is_whole &= first.is_some_and(|first| first <= after);
            let query = Query {
                from_ns: after.saturating_add(1).saturating_mul(1_000),
                to_ns: until.saturating_add(1).saturating_mul(1_000),
                ..Query::default()
            };
            let (mut count, mut bytes) = (0, 0);
            let page = read(directory, &query, &mut |found| {
                let id = found.time_ns / 1_000;
                if count >= REPLAY_MAX || bytes >= REPLAY_BYTES_MAX || Instant::now() >= deadline {
                    replay.is_whole = false;
                    replay.reached = replay.reached.min(id.saturating_sub(1));
                    return ControlFlow::Break(());
                }
                let Ok(event) = serde_json::from_slice::<Value>(found.body) else {
                    return ControlFlow::Continue(());
                };
                let facts = Facts::of_eve(&event);
                let topic = topic_of(&facts.event_type);
                let is_wanted = wanted.filters.iter().any(|(one, filter)| {
                    *one == topic && filter.as_ref().is_none_or(|filter| filter.fits(&facts))
                });
                if is_wanted {
                    let draft = Draft { topic, is_private: false, facts, event: found.body };
                    let message = told(id, draft).message;
                    bytes += message.len();
                    count += 1;
                    replay.messages.push((id, topic, message));
                }
                ControlFlow::Continue(())
            })?;
            replay.is_whole &= page.damaged == 0;
        }
        // Of both logs, up to where both were read.
        replay.messages.sort_by_key(|(id, ..)| *id);
        let reached = replay.reached;
        replay.messages.retain(|(id, ..)| *id <= reached);
        Ok(replay)
    }
}
