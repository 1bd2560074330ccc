//! Which changes were there?

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::Audit;
use crate::store::StoreError;
use crate::store::segments::{Query, read};

/// How long a page is worked on; then what was found is the page.
const PAGE_TIMEOUT: Duration = Duration::from_secs(2);

/// A question; all that is given must fit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Question {
    /// From this time on, seconds since 1970.
    pub from_s: Option<u64>,
    /// Before this time, seconds since 1970.
    pub to_s: Option<u64>,
    /// The account's name.
    pub actor: Option<String>,
    /// What was done.
    pub action: Option<String>,
    /// To what.
    pub target: Option<String>,
    /// From where.
    pub address: Option<String>,
    /// From this entry on.
    pub cursor: u64,
    /// Entries wanted.
    pub limit: usize,
}

/// A page of the audit.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Trail {
    /// Entries with their numbers, oldest first.
    pub entries: Vec<(u64, Value)>,
    /// Where to go on; `None` at the end.
    pub next: Option<u64>,
    /// Places that are damaged: `jarvis audit verify` names them.
    pub damaged: u64,
}

impl Audit {
    /// A page of entries. Reads the disk: not on the thread that serves.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn search(&self, question: &Question) -> Result<Trail, StoreError> {
        let ns = |seconds: u64| seconds.saturating_mul(1_000_000_000);
        let Question { actor, action, target, address, .. } = question;
        let terms = [
            // Of accounts by their subject, under whichever name; a `user_id` itself is asked for too.
            actor.as_ref().map(|actor| {
                either("user", &actor.to_lowercase(), self.subjects.named(actor), Some(actor.clone()))
            }),
            action.as_ref().map(|action| vec![format!("action:{action}")]),
            target.as_ref().map(|target| either("target", target, self.subjects.named(target), None)),
            address
                .as_ref()
                .map(|address| either("ip", address, Vec::new(), Some(self.subjects.address_tag(address)))),
        ];
        let query = Query {
            from_ns: question.from_s.map_or(0, ns),
            to_ns: question.to_s.map_or(u64::MAX, ns),
            any_of: terms.into_iter().flatten().collect(),
            first_entry: question.cursor,
            ..Query::default()
        };
        let deadline = Instant::now() + PAGE_TIMEOUT;
        let mut trail = Trail::default();
        let page = read(self.directory(), &query, &mut |found| {
            if let Ok(mut entry @ Value::Object(_)) = serde_json::from_slice(found.body)
                && entry.get("checkpoint").is_none()
            {
                self.subjects.reveal(&mut entry);
                // Tags of addresses are shared.
                if address.as_ref().is_none_or(|address| entry["address"] == **address) {
                    trail.entries.push((found.entry, entry));
                }
            }
            let is_done = trail.entries.len() >= question.limit || Instant::now() >= deadline;
            if is_done { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        (trail.next, trail.damaged) = (page.next_entry, page.damaged);
        Ok(trail)
    }
}

/// Terms of which an entry has one: the plain one of an entry without a subject, and those of subjects.
fn either(kind: &str, plain: &str, subjects: Vec<String>, other: Option<String>) -> Vec<String> {
    let all = std::iter::once(plain.to_owned()).chain(subjects).chain(other);
    all.map(|text| format!("{kind}:{text}")).collect()
}
