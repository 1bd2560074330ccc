//! Is the audit what was written? The chain first, then every signature over it.

use std::collections::{HashSet, VecDeque};
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::checkpoint::Checkpoint;
use super::keeper::RETENTION;
use crate::services::auth::key::VerifyingKey;
use crate::store::StoreError;
use crate::store::segments::{self, BlockSeen, Kind, Link, Removed, Report};

/// Ends of blocks that checkpoints may speak of: one is in the log seconds after what it vouches for.
const ENDS_MAX: usize = 65_536;

/// Faults that are told one by one.
const FAULTS_MAX: usize = 1_000;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verdict {
    /// Of the chain.
    pub chain: Report,
    /// Checkpoints with a good signature.
    pub checkpoints: u64,
    /// Entries before this number are vouched for by a good signature.
    pub signed_entries: u64,
    /// Checkpoints of keys that are not known (any more).
    pub unknown_keys: u64,
    /// What does not fit, in the order of the log; the chain's faults first.
    pub faults: Vec<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Checkpoint { checkpoint: Checkpoint },
    Entry(EntryLine),
}

/// What an entry must have; the other fields may be sealed.
#[derive(Deserialize)]
struct EntryLine {
    #[serde(rename = "time_ns")]
    _time_ns: u64,
    action: String,
    #[serde(rename = "outcome")]
    _outcome: String,
    after: Option<Value>,
}

/// Reads the audit in `directory` and believes `keys`. Needs no daemon, and does not disturb one.
///
/// # Errors
///
/// [`StoreError`]: what keeps it from being read at all.
pub fn verify(directory: &Path, keys: &[VerifyingKey]) -> Result<Verdict, StoreError> {
    let mut seen = Seen {
        keys,
        verdict: Verdict::default(),
        ends: VecDeque::new(),
        first: None,
        removals: HashSet::new(),
    };
    let report = segments::verify(directory, Kind::Audit, &mut |block| seen.block(block))?;
    let Seen { mut verdict, removals, .. } = seen;
    // Older rows may have outlived the entries that told of them.
    if let Some((first, last, link)) = report.stubs.last()
        && !removals.contains(&(*last, *link))
    {
        verdict.faults.push(format!(
            "segments {first} to {last} were removed, and no entry tells of it: not by this box's retention"
        ));
    }
    if verdict.unknown_keys > 0 && verdict.checkpoints == 0 {
        verdict.faults.push(format!(
            "none of {} checkpoints is signed with a key that is known here: give --keys",
            verdict.unknown_keys
        ));
    }
    let mut faults: Vec<String> = report.faults.iter().map(ToString::to_string).collect();
    if report.more_faults > 0 {
        faults.push(format!("and {} more", report.more_faults));
    }
    faults.append(&mut verdict.faults);
    Ok(Verdict { chain: report, faults, ..verdict })
}

struct Seen<'a> {
    keys: &'a [VerifyingKey],
    verdict: Verdict,
    /// Entry numbers and links between blocks.
    ends: VecDeque<(u64, Link)>,
    /// The first entry that is there.
    first: Option<u64>,
    removals: HashSet<(u64, Link)>,
}

impl Seen<'_> {
    fn tell(&mut self, fault: String) {
        if self.verdict.faults.len() < FAULTS_MAX {
            self.verdict.faults.push(fault);
        }
    }

    fn block(&mut self, block: &BlockSeen<'_>) {
        self.first.get_or_insert(block.first_entry);
        for found in &block.records {
            match serde_json::from_slice(found.body) {
                Ok(Line::Checkpoint { checkpoint }) => self.checkpoint(&checkpoint, found.entry),
                Ok(Line::Entry(entry)) if entry.action == RETENTION => {
                    let removed = entry.after.and_then(|after| serde_json::from_value::<Removed>(after).ok());
                    self.removals.extend(removed.map(|removed| (removed.segment, removed.link)));
                }
                Ok(Line::Entry(_)) => {}
                Err(error) => {
                    self.tell(format!(
                        "{}, entry {}: no entry of an audit: {error}",
                        block.file.display(),
                        found.entry
                    ));
                }
            }
        }
        if self.ends.len() >= ENDS_MAX {
            self.ends.pop_front();
        }
        self.ends.push_back((block.first_entry + block.records.len() as u64, block.link));
    }

    fn checkpoint(&mut self, checkpoint: &Checkpoint, at: u64) {
        let Some(key) = self.keys.iter().find(|key| key.kid() == checkpoint.kid) else {
            self.verdict.unknown_keys += 1;
            return;
        };
        if !checkpoint.is_of(key) {
            return self.tell(format!("entry {at}: the checkpoint's signature is wrong"));
        }
        let end = self.ends.iter().rev().find(|(entries, _)| *entries == checkpoint.entries);
        let is_removed = self.first.is_some_and(|first| checkpoint.entries <= first);
        match end {
            Some((_, link)) if *link == checkpoint.link => {}
            None if is_removed => {}
            _ => {
                let (from, to) = (self.verdict.signed_entries, checkpoint.entries.saturating_sub(1));
                return self.tell(format!(
                    "entries {from} to {to}: changed, and the chain written anew: the signed checkpoint at entry {at} is of another one"
                ));
            }
        }
        self.verdict.checkpoints += 1;
        self.verdict.signed_entries = self.verdict.signed_entries.max(checkpoint.entries);
    }
}
