//! Which rules are there, in force or not, how often did each match, and what came of reading them?
//!
//! Behind a trait: only the program knows where the rules are, and how they are read.

mod profile;

pub use profile::{CostOrder, RuleCostView, RuleProfile};

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use dataplane::rules::classes::References;
use dataplane::rules::listed::Listed;
use dataplane::rules::load::{FileKind, FileReport};
use dataplane::rules::profile::Clock;
use dataplane::rules::rule::Action;
use dataplane::rules::tally::Hits;
use dataplane::rules::{Fault, Kind, RuleSet};
use serde::Serialize;
use utoipa::ToSchema;

use super::Services;
use crate::store::StoreError;

/// Generator and number of a rule.
pub type RuleKey = (u32, u32);

/// Rules that cannot be loaded, and that cannot match, that a summary names.
const FAILURES_MAX: usize = 1_000;

/// The rules as they were read last, all of which is in force.
#[derive(Debug, Default)]
pub struct InForce {
    /// By generator and number, each once.
    pub listed: Vec<Listed>,
    /// What came of each file.
    pub files: Vec<FileReport>,
    /// Where their references are found.
    pub references: References,
    /// Those that are tried.
    pub set: Option<Arc<RuleSet>>,
    /// Which were enabled (`true`) or disabled over the API.
    pub switched: HashMap<RuleKey, bool>,
    /// Matches under the sets before, since the start.
    pub before: HashMap<RuleKey, Hits>,
    /// When they were read, seconds since 1970.
    pub read_s: u64,
    /// How long that took.
    pub took_ms: u64,
    /// Threads that read them.
    pub threads: usize,
    /// Memory of the process behind it.
    pub resident_bytes: u64,
}

/// Where rules are read and put in force. Every function but [`Self::in_force`] may block for seconds.
pub trait RuleBook: Send + Sync {
    /// As they were read last.
    fn in_force(&self) -> Arc<InForce>;

    /// Reads all of them again: all are put in force, or none where one is wrong.
    ///
    /// # Errors
    ///
    /// [`RuleError`]; the ones before stay in force.
    fn reload(&self) -> Result<Arc<InForce>, RuleError>;

    /// Enables or disables a rule, whatever files say, until it is said otherwise; all files are read again for it.
    ///
    /// # Errors
    ///
    /// [`RuleError`]; nothing is changed then.
    fn switch(&self, key: RuleKey, on: bool) -> Result<Arc<InForce>, RuleError>;

    /// The clock that tries of rules are measured with.
    fn clock(&self) -> Clock;
}

/// Why rules stay as they are.
#[derive(Debug, thiserror::Error)]
pub enum RuleError {
    /// There is none of this number.
    #[error("there is no rule {0}")]
    Unknown(String),
    /// Something is wrong with the files: a line for each fault.
    #[error("the rules have errors, and the ones before stay in force")]
    Wrong(Vec<String>),
    /// It was not kept.
    #[error("what is enabled and disabled is not kept: {0}")]
    Store(#[from] StoreError),
}

/// A rule, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RuleView {
    /// Its number.
    pub sid: u32,
    /// Who makes alerts of it, 1 for rules.
    pub gid: u32,
    /// Its revision.
    pub rev: u32,
    /// `alert`, `drop`, `reject`, `pass` or `config`, after an operator's lists.
    pub action: &'static str,
    /// The second word of its header.
    pub protocol: String,
    /// What it says.
    pub msg: String,
    /// Name in the classification.
    pub class: Option<String>,
    /// Whether it is in force.
    pub enabled: bool,
    /// Whether that was said over the API, not by files.
    pub switched: bool,
    /// Its file.
    pub file: String,
    /// Its line there.
    pub line: u32,
    /// Matches that made alerts or verdicts, since the start.
    pub hits: u64,
    /// The last one, seconds since 1970.
    pub last_hit_s: Option<u64>,
}

/// A rule and its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RuleDetail {
    /// What is shown of every rule.
    #[serde(flatten)]
    pub rule: RuleView,
    /// As it stands in the file.
    pub text: String,
    /// What it asks for and nothing tells, so that it can never match.
    pub cannot_match: Option<String>,
    /// Where it is told what it is about; `scheme,what` where nobody knows the scheme.
    pub references: Vec<String>,
}

/// A rule that cannot be loaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FailureView {
    /// Its number, where it says one that can be read.
    pub sid: Option<u32>,
    /// Its file.
    pub file: String,
    /// Line of the fault.
    pub line: u32,
    /// Column of the fault.
    pub column: u32,
    /// Whether it asks for what there is not, instead of being wrong.
    pub unsupported: bool,
    /// What is wrong.
    pub reason: String,
}

/// A rule that is in force and can never match.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct VainView {
    /// Its number.
    pub sid: u32,
    /// Its file.
    pub file: String,
    /// Its line there.
    pub line: u32,
    /// What it asks for and nothing tells.
    pub keyword: String,
}

/// What is read and does nothing, or less than it says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct WarningView {
    /// The rule that it is about, where it is about one.
    pub sid: Option<u32>,
    /// Its file.
    pub file: String,
    /// Its line there.
    pub line: u32,
    /// Why.
    pub reason: String,
}

/// What came of reading the rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RulesSummary {
    /// Files of rules that were read.
    pub files: usize,
    /// Rules in force.
    pub loaded: usize,
    /// Rules that are commented out or disabled.
    pub disabled: usize,
    /// Rules that one of a later revision took the place of.
    pub replaced: usize,
    /// Rules, and lines beside them, that cannot be loaded.
    pub failed: usize,
    /// Rules in force that can never match.
    pub cannot_match: usize,
    /// Rules in force by action.
    pub actions: BTreeMap<&'static str, usize>,
    /// When they were read, seconds since 1970.
    pub read_s: u64,
    /// How long that took.
    pub took_ms: u64,
    /// Threads that read them.
    pub threads: usize,
    /// Memory of the process behind it.
    pub resident_bytes: u64,
    /// Rules and lines beside them that cannot be loaded, the first 1000.
    pub failures: Vec<FailureView>,
    /// Rules that can never match, the first 1000.
    pub in_vain: Vec<VainView>,
    /// Lines of thresholds that mean no rule or change none, classes that nobody knows; the first 1000.
    pub warnings: Vec<WarningView>,
}

/// Which rules are wanted; what is left out does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RulesWanted {
    /// Of this number.
    pub sid: Option<u32>,
    /// Whose message has this in it, in any case.
    pub msg: Option<String>,
    /// With this action.
    pub action: Option<String>,
    /// Of this class.
    pub class: Option<String>,
    /// Whose header has this word.
    pub protocol: Option<String>,
    /// In force, or not.
    pub enabled: Option<bool>,
    /// Of a file whose name has this in it.
    pub source: Option<String>,
}

impl RulesWanted {
    fn wants(&self, one: &Listed, action: Action, file: &str) -> bool {
        let is = |wanted: &Option<String>, said: &str| {
            wanted.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(said))
        };
        self.sid.is_none_or(|sid| sid == one.sid)
            && self.enabled.is_none_or(|enabled| enabled == one.enabled)
            && is(&self.action, action_name(action))
            && is(&self.class, one.class.as_deref().unwrap_or_default())
            && is(&self.protocol, &one.protocol)
            && self.source.as_ref().is_none_or(|part| file.contains(part.as_str()))
            && self.msg.as_ref().is_none_or(|part| one.message.to_lowercase().contains(&part.to_lowercase()))
    }
}

/// The first word of a rule.
const fn action_name(action: Action) -> &'static str {
    match action {
        Action::Alert => "alert",
        Action::Pass => "pass",
        Action::Drop => "drop",
        Action::Reject(_) => "reject",
        Action::Config => "config",
    }
}

/// What is wrong, and the keyword that it is about.
fn reason(fault: &Fault) -> String {
    match &fault.keyword {
        Some(keyword) => format!("{keyword}: {}", fault.detail),
        None => fault.detail.clone(),
    }
}

impl InForce {
    /// Rules that are wanted behind `after`, so many at most, and whether there are more.
    #[must_use]
    pub fn page(&self, wanted: &RulesWanted, after: Option<RuleKey>, limit: usize) -> (Vec<RuleView>, bool) {
        let begins = after.map_or(0, |after| self.listed.partition_point(|one| one.key() <= after));
        let numbers = self.numbers();
        let action = |one: &Listed| self.action(one, &numbers);
        let mut found =
            self.listed[begins..].iter().filter(|one| wanted.wants(one, action(one), self.file(one)));
        let page = found.by_ref().take(limit).map(|one| self.view(one, &numbers)).collect();
        (page, found.next().is_some())
    }

    /// A rule.
    #[must_use]
    pub fn rule(&self, key: RuleKey) -> Option<RuleDetail> {
        let one = &self.listed[self.listed.binary_search_by_key(&key, Listed::key).ok()?];
        let of_rule = |file: &FileReport| {
            let found = file.in_vain.iter().find(|(line, sid, _)| (*line, *sid) == (one.line, one.sid));
            found.map(|(_, _, keyword)| keyword.clone())
        };
        let address = |(scheme, what): &(Box<str>, Box<str>)| {
            self.references.address(scheme, what).unwrap_or_else(|| format!("{scheme},{what}"))
        };
        Some(RuleDetail {
            rule: self.view(one, &self.numbers()),
            text: one.text.to_string(),
            cannot_match: self.files.get(one.file).and_then(of_rule),
            references: one.references.iter().map(address).collect(),
        })
    }

    /// What came of reading them.
    #[must_use]
    pub fn summary(&self) -> RulesSummary {
        let sum = |count: fn(&FileReport) -> usize| self.files.iter().map(count).sum();
        let mut actions = BTreeMap::new();
        for signature in self.set.iter().flat_map(|set| set.signatures()) {
            *actions.entry(action_name(signature.rule.action)).or_default() += 1;
        }
        let failures = self.files.iter().flat_map(|file| file.faults.iter().map(move |fault| (file, fault)));
        let failure = |(file, fault): (&FileReport, &Fault)| FailureView {
            sid: fault.sid,
            file: file.name.clone(),
            line: fault.line,
            column: fault.column,
            unsupported: fault.kind == Kind::Unsupported,
            reason: reason(fault),
        };
        let in_vain = self.files.iter().flat_map(|file| file.in_vain.iter().map(move |one| (file, one)));
        let vain = |(file, (line, sid, keyword)): (&FileReport, &(u32, u32, String))| VainView {
            sid: *sid,
            file: file.name.clone(),
            line: *line,
            keyword: keyword.clone(),
        };
        let warnings = self.files.iter().flat_map(|file| file.idle.iter().map(move |fault| (file, fault)));
        let warning = |(file, fault): (&FileReport, &Fault)| WarningView {
            sid: fault.sid,
            file: file.name.clone(),
            line: fault.line,
            reason: reason(fault),
        };
        RulesSummary {
            files: self.files.iter().filter(|file| file.kind == FileKind::Rules).count(),
            loaded: sum(|file| file.loaded),
            disabled: sum(|file| file.disabled),
            replaced: sum(|file| file.replaced),
            failed: sum(|file| file.faults.len()),
            cannot_match: sum(|file| file.in_vain.len()),
            actions,
            read_s: self.read_s,
            took_ms: self.took_ms,
            threads: self.threads,
            resident_bytes: self.resident_bytes,
            failures: failures.take(FAILURES_MAX).map(failure).collect(),
            in_vain: in_vain.take(FAILURES_MAX).map(vain).collect(),
            warnings: warnings.take(FAILURES_MAX).map(warning).collect(),
        }
    }

    /// Matches of every rule since the start, for who reads the rules again.
    #[must_use]
    pub fn hits(&self) -> HashMap<RuleKey, Hits> {
        let mut hits = self.before.clone();
        for (key, number) in self.numbers() {
            let counted = self.set.as_ref().map_or_else(Hits::default, |set| set.tally().of(number));
            if counted.count > 0 {
                let before = hits.entry(key).or_default();
                *before = before.and(counted);
            }
        }
        hits
    }

    /// Places of the rules in the set.
    fn numbers(&self) -> HashMap<RuleKey, usize> {
        let signatures = self.set.iter().flat_map(|set| set.signatures()).enumerate();
        signatures.map(|(number, one)| ((one.rule.generator, one.rule.sid), number)).collect()
    }

    fn file(&self, one: &Listed) -> &str {
        self.files.get(one.file).map_or("", |file| &file.name)
    }

    /// What it does now: an operator's lists may have changed it.
    fn action(&self, one: &Listed, numbers: &HashMap<RuleKey, usize>) -> Action {
        let number = numbers.get(&one.key()).filter(|_| one.enabled);
        let signature = self.set.as_ref().zip(number).and_then(|(set, at)| set.signatures().get(*at));
        signature.map_or(one.action, |signature| signature.rule.action)
    }

    fn view(&self, one: &Listed, numbers: &HashMap<RuleKey, usize>) -> RuleView {
        let counted = self.set.as_ref().zip(numbers.get(&one.key())).map(|(set, at)| set.tally().of(*at));
        let hits = self.before.get(&one.key()).copied().unwrap_or_default().and(counted.unwrap_or_default());
        RuleView {
            sid: one.sid,
            gid: one.generator,
            rev: one.revision,
            action: action_name(self.action(one, numbers)),
            protocol: one.protocol.to_string(),
            msg: one.message.to_string(),
            class: one.class.as_deref().map(str::to_owned),
            enabled: one.enabled,
            switched: self.switched.contains_key(&one.key()),
            file: self.file(one).to_owned(),
            line: one.line,
            hits: hits.count,
            last_hit_s: (hits.last_ns > 0).then_some(hits.last_ns / 1_000_000_000),
        }
    }
}

impl Services {
    /// Where rules are read; `None` where nowhere.
    #[must_use]
    pub const fn rules(&self) -> Option<&Arc<dyn RuleBook>> {
        self.rules.as_ref()
    }
}
