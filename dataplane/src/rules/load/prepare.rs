//! The rules of a file are read and made ready, on as many threads as are given, as an operator wants them.
//!
//! Each rule by itself, whatever the others say: threads take some at a time, and what comes of them is put in the order of the file
//! again. A rule that names a set of data or a list of hashes is read here and made ready by who asked, one after the other.

use crate::rules::changes::{Candidate, Changes, any};
use crate::rules::language::{Fault, Gist, Kind, RuleText, Variables, read};
use crate::rules::matcher::{Sources, Unmatchable};
use crate::rules::rule::{Action, Condition, FileTest, Rule, Test};
use crate::rules::signature::Signature;
use crate::rules::threads;

/// Rules that a thread takes at a time: some milliseconds of work, and few enough that all threads end together.
const TAKEN: usize = 64;

/// A rule's text, and whether it is commented out.
pub(super) type Text<'t> = (RuleText<'t>, bool);

/// A rule as an operator wants it.
pub(super) enum Prepared {
    /// In the set.
    On(Box<Signature>),
    /// In the set, when what it names was read.
    Unready(Box<Rule>, Written),
    /// Not in the set; `None`: it cannot be read either.
    Off(Option<Box<Rule>>),
}

/// Whose words a rule is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    AsItStands,
    /// A `modify` list changed them.
    ByTheOperator,
}

/// What rules of one file have in common.
#[derive(Clone, Copy)]
pub(super) struct Common<'a> {
    pub changes: &'a Changes,
    /// The file.
    pub name: &'a str,
    pub sources: Sources<'a>,
}

/// Reads all `texts`, on a thread for each of `variables`, which are alike.
pub(super) fn all(
    texts: &[Text<'_>],
    common: Common<'_>,
    variables: &mut [Variables],
) -> Vec<Result<Prepared, Fault>> {
    threads::each(texts, TAKEN, variables, |(text, is_comment), variables| {
        one(text, *is_comment, common, variables)
    })
}

/// One rule. Lists mean also what cannot be read: what is disabled may be wrong, and what is modified may be right then.
fn one(
    text: &RuleText<'_>,
    is_comment: bool,
    common: Common<'_>,
    variables: &mut Variables,
) -> Result<Prepared, Fault> {
    let Common { changes, name, sources } = common;
    let as_it_stands = read(text, variables);
    let gist;
    let candidate = match &as_it_stands {
        Ok(rule) => Candidate::of(rule, text.bytes(), name),
        Err(_) => {
            gist = Gist::of(text.bytes());
            Candidate::of_gist(&gist, text.bytes(), name)
        }
    };
    if !changes.is_on(&candidate, is_comment) {
        return Ok(Prepared::Off(as_it_stands.ok().map(Box::new)));
    }
    let drops = any(&changes.drop, &candidate);
    let mut written = None;
    for modification in &changes.modify {
        let text = written.as_deref().unwrap_or(candidate.text);
        if let Some(changed) = modification.apply(&Candidate { text, ..candidate }) {
            written = Some(changed);
        }
    }
    let (rule, by) = match written {
        None => (as_it_stands, Written::AsItStands),
        Some(written) => {
            let by = Written::ByTheOperator;
            (read(&RuleText::of(&written), variables).map_err(|fault| by.of(text, fault)), by)
        }
    };
    let mut rule = rule?;
    if drops && rule.action == Action::Alert {
        rule.action = Action::Drop;
    }
    if names_something(&rule) {
        return Ok(Prepared::Unready(Box::new(rule), by));
    }
    signature(rule, sources, text, by).map(|signature| Prepared::On(Box::new(signature)))
}

/// Makes a rule ready.
pub(super) fn signature(
    rule: Rule,
    sources: Sources<'_>,
    text: &RuleText<'_>,
    by: Written,
) -> Result<Signature, Fault> {
    let sid = rule.sid;
    Signature::new(rule, &sources).map_err(|why| {
        let kind = match why {
            Unmatchable::Expression(_) | Unmatchable::NoData(_) => Kind::Syntax,
            Unmatchable::Unsupported(_) | Unmatchable::NoMagic(_) => Kind::Unsupported,
        };
        let detail = why.to_string();
        by.of(text, Fault { line: text.line, column: 1, sid: Some(sid), keyword: None, kind, detail })
    })
}

impl Written {
    /// A fault of a rule, where it stands in the file.
    pub(super) fn of(self, text: &RuleText<'_>, fault: Fault) -> Fault {
        match self {
            Self::AsItStands => fault,
            Self::ByTheOperator => {
                let detail = format!("after it was modified: {}", fault.detail);
                Fault { line: text.line, column: 1, detail, ..fault }
            }
        }
    }
}

/// Whether a rule names what is read for all rules together.
fn names_something(rule: &Rule) -> bool {
    let is_set = |test: &Test| matches!(test, Test::Dataset(_) | Test::Reputation(_));
    rule.parts.iter().flat_map(|part| &part.tests).any(is_set)
        || rule.conditions.iter().any(|one| matches!(one, Condition::File(FileTest::Hash { .. })))
}
