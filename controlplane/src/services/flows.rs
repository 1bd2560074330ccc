//! Which flows are there now? Pages over all workers' tables, each answer within a bounded time.

use std::time::{Duration, Instant};

use dataplane::control::{FlowPage, FlowQuery, PAGE_FLOWS_MAX, QueryError};
use dataplane::dpi::Summary;
use dataplane::flow::{FlowFilter, FlowRecord};
use serde::Serialize;

use super::Services;
use super::eve::FlowView;
use super::names::PolicyNamer;

/// How long one worker may take for one answer: it answers between two batches.
const WORKER_TIMEOUT: Duration = Duration::from_millis(1_000);

/// How long a page is worked on; then what was found is the page.
const PAGE_TIMEOUT: Duration = Duration::from_millis(2_000);

/// A question.
#[derive(Debug, Clone, Copy)]
pub struct FlowQuestion {
    /// Which flows.
    pub filter: FlowFilter,
    /// Flows wanted, 1 to [`PAGE_FLOWS_MAX`].
    pub limit: usize,
    /// Where to go on.
    pub cursor: FlowCursor,
}

/// A place in the tables of all workers. A flow that lives through a whole walk is seen exactly once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FlowCursor {
    worker: u16,
    slot: u64,
}

impl FlowCursor {
    /// The text that clients hand back; they are not to look into it.
    #[must_use]
    pub fn text(self) -> String {
        format!("{:04x}{:016x}", self.worker, self.slot)
    }

    /// The place of a text.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        if text.len() != 20 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let (worker, slot) = text.split_at(4);
        Some(Self {
            worker: u16::from_str_radix(worker, 16).ok()?,
            slot: u64::from_str_radix(slot, 16).ok()?,
        })
    }
}

/// A page.
#[derive(Debug, Clone)]
pub struct FlowAnswer {
    /// The flows, with the worker that owns each.
    pub flows: Vec<(usize, FlowRecord, Summary)>,
    /// Where to go on; `None` at the end. A page may be short and yet not the last.
    pub next: Option<FlowCursor>,
}

impl Services {
    /// One page of live flows. Blocks for at most two seconds or so.
    ///
    /// # Errors
    ///
    /// [`QueryError::TimedOut`] when a worker is hung or stopped.
    pub fn flows(&self, question: &FlowQuestion) -> Result<FlowAnswer, QueryError> {
        let limit = question.limit.clamp(1, PAGE_FLOWS_MAX);
        let deadline = Instant::now() + PAGE_TIMEOUT;
        let workers = self.door.workers();
        let mut flows = Vec::with_capacity(limit);
        let mut at = question.cursor;
        // A flow's number names its worker.
        let only = question.filter.flow_id.map(|flow_id| (flow_id >> 56) as u16);
        if let Some(only) = only
            && at.worker < only
        {
            at = FlowCursor { worker: only, slot: 0 };
        }
        while usize::from(at.worker) < workers && only.is_none_or(|only| only == at.worker) {
            let worker = usize::from(at.worker);
            let page = self.ask_flows(worker, at.slot, question.filter, limit - flows.len(), false)?;
            // A worker without inspection knows nothing of payload.
            let summaries = page.summaries.into_iter().chain(std::iter::repeat(Summary::default()));
            let known = page.flows.into_iter().zip(summaries);
            flows.extend(known.map(|(record, summary)| (worker, record, summary)));
            at = match page.next_cursor {
                Some(slot) => FlowCursor { worker: at.worker, slot },
                None => FlowCursor { worker: at.worker + 1, slot: 0 },
            };
            if flows.len() >= limit || Instant::now() >= deadline {
                let more = usize::from(at.worker) < workers && only.is_none_or(|only| only == at.worker);
                return Ok(FlowAnswer { flows, next: more.then_some(at) });
            }
        }
        Ok(FlowAnswer { flows, next: None })
    }

    /// Ends one flow; `None` where there is none of that number. Blocks as [`Self::flows`] does.
    ///
    /// # Errors
    ///
    /// [`QueryError::TimedOut`] when the worker is hung or stopped, or the table takes too long to walk.
    pub fn end_flow(&self, flow_id: u64) -> Result<Option<FlowRecord>, QueryError> {
        let worker = (flow_id >> 56) as usize;
        if worker >= self.door.workers() {
            return Ok(None);
        }
        let filter = FlowFilter { flow_id: Some(flow_id), ..FlowFilter::default() };
        let begun = Instant::now();
        let mut slot = 0;
        loop {
            if begun.elapsed() >= PAGE_TIMEOUT {
                return Err(QueryError::TimedOut { worker, waited_ms: PAGE_TIMEOUT.as_millis() as u64 });
            }
            let page = self.ask_flows(worker, slot, filter, 1, true)?;
            if let Some(record) = page.flows.first() {
                return Ok(Some(*record));
            }
            match page.next_cursor {
                Some(next) => slot = next,
                None => return Ok(None),
            }
        }
    }

    fn ask_flows(
        &self,
        worker: usize,
        cursor: u64,
        filter: FlowFilter,
        limit: usize,
        end_them: bool,
    ) -> Result<FlowPage, QueryError> {
        let page = FlowPage {
            flows: Vec::with_capacity(limit),
            summaries: Vec::with_capacity(limit),
            next_cursor: None,
        };
        let query = FlowQuery { cursor, filter, limit, page, end_them };
        self.door.ask(worker, query, WORKER_TIMEOUT).map(|answer| answer.page)
    }

    /// Appends `flows` to `out` as JSON objects separated by commas, in EVE's form without its header.
    pub fn write_flows(&self, flows: &[(usize, FlowRecord, Summary)], out: &mut Vec<u8>) {
        let mut namer = PolicyNamer::default();
        for (index, (worker, record, summary)) in flows.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            let policy_id = namer.id(&self.names, &record.decision);
            let payload = (summary, None, &[][..]);
            write_json(out, &FlowView::new(None, &self.names, *worker, record, payload, policy_id));
        }
    }
}

fn write_json(out: &mut Vec<u8>, view: &impl Serialize) {
    let before = out.len();
    // Neither a Vec nor this view fails; an object is whole or not there.
    if serde_json::to_writer(&mut *out, view).is_err() {
        out.truncate(before);
        out.extend_from_slice(b"null");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_survive_the_way_out_and_back() {
        for cursor in [FlowCursor::default(), FlowCursor { worker: 7, slot: u64::MAX }] {
            assert_eq!(FlowCursor::read(&cursor.text()), Some(cursor));
        }
        for text in ["", "0", "zzzz0000000000000000", "000000000000000000000", "+0000000000000000000"] {
            assert_eq!(FlowCursor::read(text), None, "{text}");
        }
    }
}
