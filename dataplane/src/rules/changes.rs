//! What an operator changes of rules that others wrote: lists in the manner of suricata-update's `disable.conf`, `enable.conf`,
//! `drop.conf` and `modify.conf`.
//!
//! ```text
//! 2019401  1:2019402,2019403        by number, or generator and number
//! re:heartbleed                     by an expression in the rule's text, in any case
//! group:emerging-icmp*              by the name of its file, with or without .rules
//! metadata:deployment perimeter     by a pair of its metadata
//! re:classtype:trojan "alert" "drop"    of modify.conf: the rule, an expression, and what stands in its place
//! ```
//!
//! First some are disabled, then some enabled again, then some dropped, then some rewritten.

use std::collections::HashMap;

use pcre2::bytes::Regex;

use super::language::{Fault, Gist, Value, Wrong, lines_that_say};
use super::matcher::bounded;
use super::rule::Rule;
use crate::words::wildcard;

/// All four lists, and what is said of single rules.
#[derive(Debug, Default)]
pub struct Changes {
    /// These are not in the set.
    pub disable: Vec<Selector>,
    /// These are, also where they are commented out or disabled above.
    pub enable: Vec<Selector>,
    /// These drop.
    pub drop: Vec<Selector>,
    /// These are written otherwise.
    pub modify: Vec<Modification>,
    /// By generator and number: whether they are in the set, whatever the lists say.
    pub forced: HashMap<(u32, u32), bool>,
}

impl Changes {
    /// Whether a rule is in the set; `is_comment`: where nobody says so, it is not.
    pub(super) fn is_on(&self, candidate: &Candidate<'_>, is_comment: bool) -> bool {
        let forced = candidate.sid.and_then(|sid| self.forced.get(&(candidate.generator, sid)).copied());
        let listed = || !(is_comment || any(&self.disable, candidate)) || any(&self.enable, candidate);
        forced.unwrap_or_else(listed)
    }

    /// Whether what is commented out may be in the set.
    pub(super) fn may_enable(&self) -> bool {
        !self.enable.is_empty() || self.forced.values().any(|is_on| *is_on)
    }
}

/// Which rules are meant.
#[derive(Debug)]
pub enum Selector {
    /// Every rule.
    All,
    /// Generator and number.
    Id(u32, u32),
    /// The text matches.
    Text(Regex),
    /// The name of the file, which may have `*` in it.
    Group(String),
    /// A pair of metadata, lower case.
    Metadata(String, String),
}

/// How rules are written otherwise.
#[derive(Debug)]
pub struct Modification {
    /// Which.
    pub which: Vec<Selector>,
    /// What is replaced, each time it is found.
    pub from: Regex,
    /// What stands in its place: `\1` or `$1` is the first group.
    pub to: Vec<u8>,
}

/// A rule that a list may mean, also one that cannot be read.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// Who makes alerts of it.
    pub generator: u32,
    /// Its number, where it says one.
    pub sid: Option<u32>,
    /// Names and values.
    pub metadata: &'a [(Box<str>, Box<str>)],
    /// Its text.
    pub text: &'a [u8],
    /// The file that it is in.
    pub file: &'a str,
}

impl<'a> Candidate<'a> {
    /// Of a rule that was read.
    #[must_use]
    pub fn of(rule: &'a Rule, text: &'a [u8], file: &'a str) -> Self {
        let Rule { generator, sid, metadata, .. } = rule;
        Self { generator: *generator, sid: Some(*sid), metadata, text, file }
    }

    /// Of a rule that cannot be read.
    #[must_use]
    pub fn of_gist(gist: &'a Gist, text: &'a [u8], file: &'a str) -> Self {
        let Gist { generator, sid, metadata } = gist;
        Self { generator: *generator, sid: *sid, metadata, text, file }
    }
}

impl Selector {
    /// Whether this one is meant.
    #[must_use]
    pub fn means(&self, candidate: &Candidate<'_>) -> bool {
        match self {
            Self::All => true,
            Self::Id(generator, sid) => (*generator, Some(*sid)) == (candidate.generator, candidate.sid),
            // An expression that takes too many steps finds nothing.
            Self::Text(regex) => regex.is_match(candidate.text).unwrap_or(false),
            Self::Group(pattern) => is_group(pattern, candidate.file),
            Self::Metadata(name, value) => candidate.metadata.iter().any(|(known, said)| {
                known.eq_ignore_ascii_case(name) && said.trim().eq_ignore_ascii_case(value)
            }),
        }
    }
}

/// Whether one of them means it.
#[must_use]
pub fn any(selectors: &[Selector], candidate: &Candidate<'_>) -> bool {
    selectors.iter().any(|selector| selector.means(candidate))
}

impl Modification {
    /// The text as it is to be; `None`: it stays.
    #[must_use]
    pub fn apply(&self, candidate: &Candidate<'_>) -> Option<Vec<u8>> {
        if !any(&self.which, candidate) {
            return None;
        }
        let text = candidate.text;
        let mut written = Vec::with_capacity(text.len());
        let mut copied = 0;
        for found in self.from.captures_iter(text) {
            let found = found.ok()?;
            let whole = found.get(0)?;
            written.extend_from_slice(&text[copied..whole.start()]);
            let mut rest = &self.to[..];
            while let Some((byte, behind)) = rest.split_first() {
                rest = behind;
                match (byte, behind.split_first()) {
                    (b'\\' | b'$', Some((digit @ b'0'..=b'9', behind))) => {
                        let group = found.get(usize::from(digit - b'0'));
                        written.extend_from_slice(group.map_or(&[], |group| group.as_bytes()));
                        rest = behind;
                    }
                    _ => written.push(*byte),
                }
            }
            copied = whole.end();
        }
        written.extend_from_slice(&text[copied..]);
        (copied > 0 && written != text).then_some(written)
    }
}

/// The name of a file, without its directory and `.rules`, against a pattern that may have them.
fn is_group(pattern: &str, file: &str) -> bool {
    let name = file.rsplit('/').next().unwrap_or(file);
    let bare = name.strip_suffix(".rules").unwrap_or(name);
    wildcard(pattern, name) || wildcard(pattern, bare)
}

/// Reads `disable.conf`, `enable.conf` or `drop.conf`.
///
/// # Errors
///
/// Every [`Fault`].
pub fn selectors(text: &[u8]) -> Result<Vec<Selector>, Vec<Fault>> {
    let (mut read, mut faults) = (Vec::new(), Vec::new());
    for (line, value) in lines_that_say(text) {
        match which(value) {
            Ok(selectors) => read.extend(selectors),
            Err(wrong) => faults.push(Fault::of_line(line, wrong)),
        }
    }
    if faults.is_empty() { Ok(read) } else { Err(faults) }
}

/// Reads `modify.conf`.
///
/// # Errors
///
/// Every [`Fault`].
pub fn modifications(text: &[u8]) -> Result<Vec<Modification>, Vec<Fault>> {
    let (mut read, mut faults) = (Vec::new(), Vec::new());
    for (line, value) in lines_that_say(text) {
        match modification(value) {
            Ok(modification) => read.push(modification),
            Err(wrong) => faults.push(Fault::of_line(line, wrong)),
        }
    }
    if faults.is_empty() { Ok(read) } else { Err(faults) }
}

fn which(value: Value<'_>) -> Result<Vec<Selector>, Wrong> {
    let value = value.trim();
    if value.bytes() == b"*" {
        return Ok(vec![Selector::All]);
    }
    if let Some(pattern) = value.strip("re:") {
        return regex(pattern.trim().maybe_unquoted()).map(|regex| vec![Selector::Text(regex)]);
    }
    if let Some(pattern) = value.strip("group:").or(value.strip("filename:")) {
        return Ok(vec![Selector::Group(pattern.trim().text()?.to_owned())]);
    }
    if let Some(pair) = value.strip("metadata:") {
        let pair = pair.trim();
        let (name, said) = pair.split_once(b' ').ok_or_else(|| pair.expected("a name and a value"))?;
        return Ok(vec![Selector::Metadata(name.text()?.to_lowercase(), said.text()?.to_lowercase())]);
    }
    value.split(b',').map(id).collect()
}

/// `sid` or `gid:sid`.
fn id(value: Value<'_>) -> Result<Selector, Wrong> {
    let number = |value: Value<'_>| value.number(0, u32::MAX.into()).map(|number| number as u32);
    let what = "a sid, gid:sid, re:, group:, metadata: or *";
    if !value.looks_like_a_number() {
        return Err(value.expected(what));
    }
    Ok(match value.split_once(b':') {
        Some((generator, sid)) => Selector::Id(number(generator)?, number(sid)?),
        None => Selector::Id(1, number(value)?),
    })
}

/// As suricata-update has them: in any case, somewhere in the text.
fn regex(value: Value<'_>) -> Result<Regex, Wrong> {
    let pattern: String = value.bytes().iter().map(|byte| char::from(*byte)).collect();
    if pattern.is_empty() {
        return Err(value.expected("an expression"));
    }
    bounded(&pattern, |builder| builder.caseless(true)).map_err(|error| value.wrong(error.to_string()))
}

/// Which rules, then two texts in double quotes.
fn modification(value: Value<'_>) -> Result<Modification, Wrong> {
    let trimmed = value.trim();
    let rest = trimmed.strip("modifysid ").unwrap_or(trimmed);
    let misshapen = || rest.expected("which rules, then what is replaced and by what, both in double quotes");
    let (rest, to) = last_quoted(rest).ok_or_else(misshapen)?;
    let (rest, from) = last_quoted(rest.strip_end(b'|')).ok_or_else(misshapen)?;
    if rest.trim().is_empty() {
        return Err(misshapen());
    }
    Ok(Modification { which: which(rest)?, from: regex(from)?, to: unescaped(to) })
}

/// What stands before the text in double quotes at the end, and that text.
fn last_quoted(value: Value<'_>) -> Option<(Value<'_>, Value<'_>)> {
    let value = value.trim();
    let bytes = value.bytes();
    let end = bytes.len().checked_sub(1).filter(|end| bytes[*end] == b'"')?;
    // A quote with `\` before it is part of the text.
    let begin = (0..end).rev().find(|at| bytes[*at] == b'"' && (*at == 0 || bytes[at - 1] != b'\\'))?;
    Some((value.part(0, begin), value.part(begin + 1, end)))
}

/// `\"` is a quote.
fn unescaped(value: Value<'_>) -> Vec<u8> {
    let mut text = value.bytes().to_vec();
    let mut at = 0;
    while at + 1 < text.len() {
        if text[at] == b'\\' && text[at + 1] == b'"' {
            text.remove(at);
        }
        at += 1;
    }
    text
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;
    use crate::rules::language::{RuleText, Variables, read};

    const RULE: &str = r#"alert tcp any any -> any any (msg:"ET Heartbleed"; metadata:deployment Perimeter, tag X; sid:2019401;)"#;

    fn means(list: &str) -> bool {
        let rule = read(&RuleText::of(RULE.as_bytes()), &mut Variables::usual()).unwrap();
        let candidate = Candidate::of(&rule, RULE.as_bytes(), "/etc/rules/emerging-icmp.rules");
        let gist = Gist::of(RULE.as_bytes());
        let unread = Candidate::of_gist(&gist, RULE.as_bytes(), "/etc/rules/emerging-icmp.rules");
        let selectors = selectors(list.as_bytes()).unwrap();
        assert_eq!(any(&selectors, &candidate), any(&selectors, &unread), "{list}");
        any(&selectors, &candidate)
    }

    #[test]
    fn rules_are_meant_by_number_text_file_and_metadata() {
        for list in [
            "2019401",
            "1:2019401",
            "5,1:2019401",
            "# none\n\n  2019401 ",
            "re:heartbleed",
            "re:\"ET\\s+heart\"",
            "group:emerging-icmp",
            "group:emerging-*",
            "group:*icmp.rules",
            "metadata:deployment perimeter",
            "*",
        ] {
            assert!(means(list), "{list}");
        }
        for list in ["", "#2019401", "2:2019401", "2019402", "re:^heartbleed", "group:icmp", "metadata:tag y"]
        {
            assert!(!means(list), "{list}");
        }
    }

    #[test]
    fn rules_are_written_otherwise() {
        let rule = read(&RuleText::of(RULE.as_bytes()), &mut Variables::usual()).unwrap();
        let candidate = Candidate::of(&rule, RULE.as_bytes(), "a.rules");
        let written = |list: &str| {
            let list = modifications(list.as_bytes()).unwrap();
            list[0].apply(&candidate).map(|text| String::from_utf8(text).unwrap())
        };
        assert!(written(r#"2019401 "^alert" "drop""#).unwrap().starts_with("drop tcp any"));
        assert!(written(r#"re:heart "(any) any ->" "\1 80 ->""#).unwrap().contains("tcp any 80 -> any any"));
        assert!(
            written(r#"modifysid * "msg:\"ET" | "msg:\"LOCAL""#).unwrap().contains(r#"msg:"LOCAL Heart"#)
        );
        assert_eq!(written(r#"2 "alert" "drop""#), None);
        assert_eq!(written(r#"2019401 "nothing of it" "drop""#), None);
    }

    #[test]
    fn every_line_that_cannot_be_read_is_told() {
        let faults = selectors(b"2019401\nnope\nre:(a\nmetadata:x\n1:x\n").unwrap_err();
        let told: Vec<_> = faults.iter().map(|fault| (fault.line, fault.column)).collect();
        assert_eq!(told, [(2, 1), (3, 4), (4, 10), (5, 3)]);
        let faults = modifications(b"1 \"a\"\n\"a\" \"b\"\n1 a b\n").unwrap_err();
        assert_eq!(faults.len(), 3);
    }
}
