//! Suricata's rule language: text in, [`Rule`] or faults with their places out.
//!
//! ```text
//! alert http $HOME_NET any -> $EXTERNAL_NET any (msg:"..."; http.uri; content:"/x"; sid:1;)
//! └─────────────── header ────────────────────┘  └ keywords, each with its value ┘
//! ```
//!
//! Nothing is half applied: a rule with one keyword that this engine does not have is no rule, and [`Fault`] says which. The
//! source is Suricata's documentation, "Suricata Rules" (docs.suricata.io), and where that is silent how Suricata behaves.
//!
//! | file | question |
//! |---|---|
//! | `lines` | where do rules begin and end in a file? |
//! | `variables` | which addresses and ports are meant? |
//! | `protocols`, `buffers`, `fields`, `names`, `events` | which names are there? tables |
//! | `keywords` | who reads which keyword? |
//! | `content`, `bytes`, `transforms`, `packet`, `state`, `volume`, `application`, `industrial`, `secure`, `versions`, `naming` | how is its value read? |
//! | `draft` | do they go together? |
//! | `thresholds` | what does `threshold.config` say beside the rules? |

mod application;
pub mod buffers;
mod bytes;
mod content;
mod draft;
pub(in crate::rules) mod events;
mod fault;
mod hooks;
pub mod fields;
pub mod frames;
pub mod industrial;
mod keywords;
mod lines;
mod names;
mod naming;
mod numbers;
mod packet;
pub mod protocols;
mod secure;
mod state;
pub mod thresholds;
#[cfg(test)]
mod tests;
mod transforms;
mod value;
mod variables;
mod versions;
mod volume;

pub use fault::{Fault, Kind};
pub(super) use lines::lines_that_say;
pub use lines::{RULE_BYTES_MAX, RuleText, rules, rules_and_comments};
pub use variables::{Addresses, Variables};

use draft::Draft;
pub use value::{Value, Wrong};

use super::rule::{Action, Endpoints, Header, Rejected, Rule};

/// Keywords of one rule.
const KEYWORDS_MAX: usize = 1_024;

/// Reads a rule.
///
/// # Errors
///
/// The first [`Fault`] of it: what stands behind one cannot be read for sure.
pub fn read(text: &RuleText<'_>, variables: &mut Variables) -> Result<Rule, Fault> {
    let bytes = text.bytes();
    let whole = Value::new(bytes, 0).trim();
    rule(whole, variables).map_err(|(wrong, keyword)| {
        let (line, column) = text.place(wrong.at);
        Fault { line, column, sid: sid_of(bytes), keyword, kind: wrong.kind, detail: wrong.detail }
    })
}

/// A fault, and the keyword that it is about.
type Misread = (Wrong, Option<String>);

fn rule<'a>(whole: Value<'a>, variables: &mut Variables) -> Result<Rule, Misread> {
    let bytes = whole.bytes();
    let of_rule = |wrong: Wrong| (wrong, None);
    if bytes.len() > RULE_BYTES_MAX {
        return Err(of_rule(whole.part(0, 0).wrong(format!("a rule has at most {RULE_BYTES_MAX} bytes"))));
    }
    let open = bytes.iter().position(|byte| *byte == b'(');
    let open = open.ok_or_else(|| of_rule(whole.expected("a `(` behind the addresses and ports")))?;
    let Some(body) = bytes.strip_suffix(b")").filter(|body| body.len() > open) else {
        let end = whole.part(bytes.len(), bytes.len());
        return Err(of_rule(end.expected("a `)` at the end of the rule")));
    };
    let (action, header) = header(whole.part(0, open), variables).map_err(of_rule)?;
    let mut draft = Draft::new(action, header, whole);
    for (index, (word, value)) in keywords_of(whole.part(open + 1, body.len())).enumerate() {
        let name = || Some(String::from_utf8_lossy(word.bytes()).chars().take(40).collect());
        let word_is_whole = || match (index >= KEYWORDS_MAX, word.is_empty()) {
            (true, _) => Err(word.wrong(format!("a rule has at most {KEYWORDS_MAX} keywords"))),
            (false, true) => Err(word.expected("a keyword")),
            (false, false) => Ok(()),
        };
        word_is_whole()
            .and_then(|()| keywords::read(&mut draft, word, value))
            .map_err(|wrong| (wrong, name()))?;
    }
    draft.finish().map_err(of_rule)
}

/// Action, protocol, addresses and ports.
fn header(text: Value<'_>, variables: &mut Variables) -> Result<(Action, Header), Wrong> {
    let words = words_of_header(text)?;
    let [action, protocol, source, source_ports, arrow, destination, destination_ports] = words[..] else {
        return Err(text.trim().expected(
            "an action, a protocol, addresses, ports, `->`, addresses and ports before the `(`, seven words,",
        ));
    };
    let action = match action.bytes() {
        b"alert" => Action::Alert,
        b"pass" => Action::Pass,
        b"drop" => Action::Drop,
        b"reject" | b"rejectsrc" => Action::Reject(Rejected::Source),
        b"rejectdst" => Action::Reject(Rejected::Destination),
        b"rejectboth" => Action::Reject(Rejected::Both),
        b"config" => Action::Config,
        _ => {
            return Err(
                action.expected("one of alert, pass, drop, reject, rejectsrc, rejectdst, rejectboth, config")
            );
        }
    };
    let (protocol, hook) = match protocol.split_once(b':') {
        Some((protocol, hook)) => (protocol, Some(hook)),
        None => (protocol, None),
    };
    let known = protocol.text().ok().and_then(protocols::header_protocol);
    let known = known.ok_or_else(|| protocol.expected("a protocol"))?;
    let hook = hook.map(|hook| hooks::hook(protocol, known, hook)).transpose()?;
    let is_of_transactions = arrow.is("=>");
    let is_both_ways = match arrow.bytes() {
        b"->" => false,
        b"<>" => true,
        b"=>" => false,
        _ => return Err(arrow.expected("`->`, `<>` or `=>`")),
    };
    let mut side = |addresses: Value<'_>, ports: Value<'_>| {
        let Addresses { v4, v6, is_negated } = variables.addresses(addresses)?;
        let ports = variables.ports(ports)?;
        Ok::<_, Wrong>(Endpoints { v4, v6, ports, is_negated })
    };
    let source = side(source, source_ports)?;
    let destination = side(destination, destination_ports)?;
    Ok((action, Header { protocol: known, hook, source, destination, is_both_ways, is_of_transactions }))
}

/// Words, where white space within `[...]` does not end one.
fn words_of_header(text: Value<'_>) -> Result<Vec<Value<'_>>, Wrong> {
    let (mut words, mut from, mut depth) = (Vec::new(), None, 0_u32);
    for (index, byte) in text.bytes().iter().enumerate() {
        match byte {
            b'[' => depth += 1,
            b']' => {
                let here = text.part(index, index + 1);
                depth = depth.checked_sub(1).ok_or_else(|| here.wrong("a `]` without its `[`"))?;
            }
            _ => {}
        }
        match (byte.is_ascii_whitespace() && depth == 0, from) {
            (true, Some(begun)) => {
                words.push(text.part(begun, index));
                from = None;
            }
            (false, None) => from = Some(index),
            _ => {}
        }
    }
    if depth > 0 {
        return Err(text.wrong("a `[` without its `]`"));
    }
    words.extend(from.map(|begun| text.part(begun, text.bytes().len())));
    Ok(words)
}

/// What stands between `;`s that have no `\` before them: a word, and what stands behind its `:`.
fn keywords_of(body: Value<'_>) -> impl Iterator<Item = (Value<'_>, Option<Value<'_>>)> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let rest = body.part(from, body.bytes().len());
        if rest.trim().is_empty() {
            return None;
        }
        let mut is_escaped = false;
        let end = rest.bytes().iter().position(|byte| {
            let ends = *byte == b';' && !is_escaped;
            is_escaped = *byte == b'\\' && !is_escaped;
            ends
        });
        // The last one may go without its `;`.
        let end = end.unwrap_or(rest.bytes().len());
        let option = rest.part(0, end).trim();
        from += end + 1;
        Some(match option.split_once(b':') {
            Some((word, value)) => (word, Some(value)),
            None => (option, None),
        })
    })
}

/// What is known of a rule that cannot be read, for lists that may mean it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gist {
    /// Who makes alerts of it, 1 for rules.
    pub generator: u32,
    /// Its number, where it says one.
    pub sid: Option<u32>,
    /// Names and values.
    pub metadata: Vec<(Box<str>, Box<str>)>,
}

impl Gist {
    /// Of the text of a rule, as far as it has keywords.
    #[must_use]
    pub fn of(text: &[u8]) -> Self {
        let mut gist = Self { generator: 1, sid: sid_of(text), metadata: Vec::new() };
        let whole = Value::new(text, 0).trim();
        let open = whole.bytes().iter().position(|byte| *byte == b'(');
        let body = open.map_or(whole, |open| whole.part(open + 1, whole.bytes().len())).strip_end(b')');
        for (word, value) in keywords_of(body).take(KEYWORDS_MAX) {
            let Some(value) = value else { continue };
            if word.is("gid") {
                let number = value.maybe_unquoted().number(0, u32::MAX.into());
                gist.generator = number.map_or(gist.generator, |number| number as u32);
            } else if word.is("metadata") {
                gist.metadata.extend(value.split(b',').filter_map(|pair| {
                    let (name, said) = pair.split_once(b' ')?;
                    Some((name.text().ok()?.into(), said.text().ok()?.into()))
                }));
            }
        }
        gist
    }
}

/// The number of a rule that cannot be read, for whoever looks for it.
fn sid_of(text: &[u8]) -> Option<u32> {
    let at = text.windows(4).rposition(|window| window.eq_ignore_ascii_case(b"sid:"))?;
    let digits = text[at + 4..].trim_ascii_start();
    let len = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&digits[..len]).ok()?.parse().ok()
}
