//! Which rules are there, in force or not? What is told of each to who asks for it.

use super::rule::{Action, Rule};

/// A rule of a file, as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Who makes alerts of it, 1 for rules.
    pub generator: u32,
    /// Its number.
    pub sid: u32,
    /// Its revision.
    pub revision: u32,
    /// What it says.
    pub message: Box<str>,
    /// What a match does.
    pub action: Action,
    /// The second word of its header.
    pub protocol: Box<str>,
    /// Name in the classification.
    pub class: Option<Box<str>>,
    /// Where it is told what it is about: schemes and what they name, as the rule says them.
    pub references: Box<[(Box<str>, Box<str>)]>,
    /// As it stands in the file, in one line.
    pub text: Box<str>,
    /// Which of the files.
    pub file: usize,
    /// Line, from 1.
    pub line: u32,
    /// Whether it is in force.
    pub enabled: bool,
}

impl Listed {
    /// Of a rule that was read.
    pub(super) fn new(rule: &Rule, text: &[u8], (file, line): (usize, u32), enabled: bool) -> Self {
        let text = String::from_utf8_lossy(text.trim_ascii());
        Self {
            generator: rule.generator,
            sid: rule.sid,
            revision: rule.revision,
            message: rule.message.clone(),
            action: rule.action,
            protocol: text.split_ascii_whitespace().nth(1).unwrap_or_default().into(),
            class: rule.class.clone(),
            references: rule.references.clone().into(),
            text: text.into(),
            file,
            line,
            enabled,
        }
    }

    /// Generator and number: by which it is known.
    #[must_use]
    pub const fn key(&self) -> (u32, u32) {
        (self.generator, self.sid)
    }
}

/// Rules in force and those that are not, by generator and number, each once: what is in force goes before what is not.
pub(super) fn joined(loaded: Vec<Listed>, off: Vec<Listed>) -> Vec<Listed> {
    let mut all = loaded;
    all.extend(off);
    // Stable: of several that are off the first is listed.
    all.sort_by_key(|one| (one.key(), !one.enabled));
    all.dedup_by_key(|one| one.key());
    all
}
