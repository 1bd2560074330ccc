//! `threshold.config`: what an operator says of alerts beside the rules.
//!
//! ```text
//! suppress gen_id 1, sig_id 2002087, track by_src, ip 203.0.113.0/24
//! threshold gen_id 1, sig_id 2002087, type limit, track by_src, count 5, seconds 60
//! rate_filter gen_id 1, sig_id 2002087, track by_src, count 10, seconds 60, new_action drop, timeout 30
//! ```

use super::lines::{RuleText, rules};
use super::state::Counting;
use super::value::{Value, Wrong};
use super::variables::{Addresses, Variables, pieces};
use super::{Fault, Kind};
use crate::rules::rule::{Action, Ends, Rejected, Threshold, Track};

/// Of which rules a line speaks. 0 is every one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Of {
    /// Generator.
    pub generator: u32,
    /// Number.
    pub sid: u32,
}

impl Of {
    /// Whether a rule is meant.
    #[must_use]
    pub const fn means(self, generator: u32, sid: u32) -> bool {
        (self.generator == 0 || self.generator == generator) && (self.sid == 0 || self.sid == sid)
    }
}

/// A line.
#[derive(Debug, Clone, PartialEq)]
pub enum Line {
    /// Alerts are not told: all of them, or those of addresses.
    Suppress(Of, Option<(Ends, Addresses)>),
    /// How many matches make an alert, in the place of what the rule says.
    Threshold(Of, Threshold),
    /// After many matches others are treated otherwise.
    Rate(Of, RateFilter),
}

/// `rate_filter`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateFilter {
    /// Counted by what.
    pub track: Track,
    /// So many matches.
    pub count: u32,
    /// In so many seconds.
    pub seconds: u32,
    /// What those after them do.
    pub action: Action,
    /// For so many seconds.
    pub timeout_s: u32,
}

/// Reads the file.
///
/// # Errors
///
/// Every [`Fault`], each with line and column.
pub fn read(file: &[u8], variables: &mut Variables) -> Result<Vec<Line>, Vec<Fault>> {
    let (mut lines, mut faults) = (Vec::new(), Vec::new());
    for text in rules(file) {
        match line(Value::new(text.bytes(), 0).trim(), variables) {
            Ok(line) => lines.push(line),
            Err(wrong) => faults.push(fault(&text, wrong)),
        }
    }
    if faults.is_empty() { Ok(lines) } else { Err(faults) }
}

fn fault(text: &RuleText<'_>, wrong: Wrong) -> Fault {
    let (line, column) = text.place(wrong.at);
    Fault { line, column, sid: None, keyword: None, kind: Kind::Syntax, detail: wrong.detail }
}

/// Words that several kinds of lines have, and the pieces that are left.
struct Words<'a> {
    of: Of,
    ip: Option<Value<'a>>,
    action: Option<Value<'a>>,
    timeout: Option<Value<'a>>,
    rest: Vec<Value<'a>>,
}

fn line(text: Value<'_>, variables: &mut Variables) -> Result<Line, Wrong> {
    let expected = || text.expected("suppress, threshold, event_filter or rate_filter");
    let (kind, said) = text.split_once(b' ').ok_or_else(expected)?;
    let words = words(said)?;
    match kind.bytes() {
        b"suppress" => suppress(said, &words, variables),
        b"threshold" | b"event_filter" => {
            let counting = Counting::of(words.rest.into_iter())?;
            counting.threshold(said).map(|threshold| Line::Threshold(words.of, threshold))
        }
        b"rate_filter" => rate(said, words),
        _ => Err(expected()),
    }
}

fn words(said: Value<'_>) -> Result<Words<'_>, Wrong> {
    let mut words =
        Words { of: Of { generator: 0, sid: 0 }, ip: None, action: None, timeout: None, rest: Vec::new() };
    let (mut generator, mut sid) = (None, None);
    for piece in pieces(said)? {
        let (word, value) = piece.split_once(b' ').ok_or_else(|| piece.expected("a word and its value"))?;
        let number = || value.number(0, u32::MAX.into()).map(|number| number as u32);
        match word.bytes() {
            b"gen_id" => generator = Some(number()?),
            b"sig_id" => sid = Some(number()?),
            b"ip" => words.ip = Some(value),
            b"new_action" => words.action = Some(value),
            b"timeout" => words.timeout = Some(value),
            _ => words.rest.push(piece),
        }
    }
    let missing = |what: &str| said.wrong(format!("`{what}` is missing"));
    let generator = generator.ok_or_else(|| missing("gen_id"))?;
    words.of = Of { generator, sid: sid.ok_or_else(|| missing("sig_id"))? };
    Ok(words)
}

fn suppress(said: Value<'_>, words: &Words<'_>, variables: &mut Variables) -> Result<Line, Wrong> {
    let side = match &words.rest[..] {
        [] if words.ip.is_none() => return Ok(Line::Suppress(words.of, None)),
        [track] => match track.words().last().map(Value::bytes) {
            Some(b"by_src") => Ends::Source,
            Some(b"by_dst") => Ends::Destination,
            Some(b"by_either") => Ends::Any,
            _ => return Err(track.expected("track by_src, by_dst or by_either")),
        },
        _ => return Err(said.expected("gen_id and sig_id, and maybe `track` and `ip`")),
    };
    let ip = words.ip.ok_or_else(|| said.wrong("`ip` is missing: whose alerts are not told"))?;
    Ok(Line::Suppress(words.of, Some((side, variables.addresses(ip)?))))
}

fn rate(said: Value<'_>, words: Words<'_>) -> Result<Line, Wrong> {
    let missing = |what: &str| said.wrong(format!("`{what}` is missing"));
    let counting = Counting::of(words.rest.into_iter())?;
    let action = words.action.ok_or_else(|| missing("new_action"))?;
    let action = match action.bytes() {
        b"alert" => Action::Alert,
        b"drop" => Action::Drop,
        b"pass" => Action::Pass,
        b"reject" => Action::Reject(Rejected::Source),
        _ => return Err(action.expected("alert, drop, pass or reject")),
    };
    let timeout = words.timeout.ok_or_else(|| missing("timeout"))?;
    Ok(Line::Rate(
        words.of,
        RateFilter {
            track: counting.track.ok_or_else(|| missing("track"))?,
            count: counting.count.ok_or_else(|| missing("count"))?,
            seconds: counting.seconds.ok_or_else(|| missing("seconds"))?,
            action,
            timeout_s: timeout.number(0, u32::MAX.into())? as u32,
        },
    ))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;
    use crate::rules::rule::ThresholdKind;

    #[test]
    fn every_kind_of_line_is_read() {
        let file = b"# none\n\
            suppress gen_id 1, sig_id 5\n\
            suppress gen_id 0, sig_id 0, track by_either, ip [10.0.0.0/8,!10.1.0.0/16]\n\
            suppress gen_id 1, sig_id 6, track by_src, ip $HOME_NET\n\
            threshold gen_id 1, sig_id 7, type both, track by_dst, count 5, seconds 60\n\
            event_filter gen_id 1, sig_id 8, type limit, \\\n  track by_rule, count 1, seconds 9\n\
            rate_filter gen_id 1, sig_id 9, track by_both, count 10, seconds 60, new_action drop, timeout 30\n";
        let lines = read(file, &mut Variables::usual()).unwrap();
        let of = |sid| Of { generator: 1, sid };
        assert_eq!(lines[0], Line::Suppress(of(5), None));
        let Line::Suppress(all, Some((Ends::Any, addresses))) = &lines[1] else { unreachable!() };
        assert!(
            all.means(1, 77) && addresses.v4.contains(0x0a02_0000) && !addresses.v4.contains(0x0a01_0000)
        );
        assert!(of(6).means(1, 6) && !of(6).means(1, 7) && !of(6).means(3, 6));
        let Line::Threshold(_, threshold) = &lines[3] else { unreachable!() };
        let read = (threshold.kind, threshold.track, threshold.count, threshold.seconds);
        assert_eq!(read, (ThresholdKind::Both, Track::ByDestination, 5, 60));
        assert!(matches!(
            lines[4],
            Line::Threshold(Of { sid: 8, .. }, Threshold { track: Track::ByRule, .. })
        ));
        let rate =
            RateFilter { track: Track::ByBoth, count: 10, seconds: 60, action: Action::Drop, timeout_s: 30 };
        assert_eq!(lines[5], Line::Rate(of(9), rate));
    }

    #[test]
    fn every_line_that_cannot_be_read_is_told() {
        let file = b"nope gen_id 1, sig_id 1\n\
            suppress sig_id 1\n\
            suppress gen_id 1, sig_id 1, track by_src\n\
            suppress gen_id 1, sig_id 1, track by_rule, ip 10.0.0.1\n\
            threshold gen_id 1, sig_id x, type limit, track by_src, count 1, seconds 1\n\
            threshold gen_id 1, sig_id 1, type limit, track by_src, count 1\n\
            rate_filter gen_id 1, sig_id 1, track by_src, count 1, seconds 1, new_action nope, timeout 1\n\
            suppress\n";
        let faults = read(file, &mut Variables::usual()).unwrap_err();
        let told: Vec<_> = faults.iter().map(|fault| (fault.line, fault.column)).collect();
        assert_eq!(told, [(1, 1), (2, 10), (3, 10), (4, 30), (5, 28), (6, 11), (7, 78), (8, 1)]);
    }
}
