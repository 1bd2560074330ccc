//! `threshold.config`: what an operator says of alerts beside the rules.
//!
//! ```text
//! suppress gen_id 1, sig_id 2002087, track by_src, ip 203.0.113.0/24
//! threshold gen_id 1, sig_id 2002087, type limit, track by_src, count 5, seconds 60
//! rate_filter gen_id 1, sig_id 2002087, track by_src, count 10, seconds 60, new_action drop, timeout 30
//! ```
//!
//! `gen_id 1, sig_id 0` is every rule of a generator, `gen_id 0, sig_id 0` every rule at all.

use super::Fault;
use super::lines::{RuleText, rules};
use super::state::Counting;
use super::value::{Value, Wrong};
use super::variables::{Addresses, Variables, pieces};
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
    /// Whether those after them are told; not with `sdrop` and `pass`.
    pub is_told: bool,
    /// For so many seconds.
    pub timeout_s: u32,
}

/// What a file says: a line that is wrong does not take the others with it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Lines {
    /// Those that can be read, each with its number from 1.
    pub lines: Vec<(u32, Line)>,
    /// What is wrong with the others, with line and column.
    pub faults: Vec<Fault>,
}

/// Reads the file.
#[must_use]
pub fn read(file: &[u8], variables: &mut Variables) -> Lines {
    let mut read = Lines::default();
    for text in rules(file) {
        match line(Value::new(text.bytes(), 0).trim(), variables) {
            Ok(line) => read.lines.push((text.line, line)),
            Err((sid, wrong)) => read.faults.push(fault(&text, sid, wrong)),
        }
    }
    read
}

fn fault(text: &RuleText<'_>, sid: Option<u32>, wrong: Wrong) -> Fault {
    let (line, column) = text.place(wrong.at);
    Fault { line, column, sid, keyword: None, kind: wrong.kind, detail: wrong.detail }
}

/// Words that several kinds of lines have, and the pieces that are left.
struct Words<'a> {
    of: Of,
    ip: Option<Value<'a>>,
    /// Where the last address ends that stands behind a comma.
    ip_ends: Option<usize>,
    action: Option<Value<'a>>,
    timeout: Option<Value<'a>>,
    rest: Vec<Value<'a>>,
}

/// A line; or what is wrong with it, and the rule that it means where it says so.
fn line(text: Value<'_>, variables: &mut Variables) -> Result<Line, (Option<u32>, Wrong)> {
    let expected = || text.expected("suppress, threshold, event_filter or rate_filter");
    let (kind, said) = text.split_once(b' ').ok_or_else(|| (None, expected()))?;
    let words = words(said).map_err(|wrong| (None, wrong))?;
    let sid = Some(words.of.sid).filter(|sid| *sid > 0);
    let line = match kind.bytes() {
        b"suppress" => suppress(said, &words, variables),
        b"threshold" | b"event_filter" => {
            let counting = Counting::of(words.rest.into_iter());
            let threshold = counting.and_then(|counting| counting.threshold(said));
            threshold.map(|threshold| Line::Threshold(words.of, threshold))
        }
        b"rate_filter" => rate(said, words),
        _ => Err(expected()),
    };
    line.map_err(|wrong| (sid, wrong))
}

fn words(said: Value<'_>) -> Result<Words<'_>, Wrong> {
    let mut words = Words {
        of: Of { generator: 0, sid: 0 },
        ip: None,
        ip_ends: None,
        action: None,
        timeout: None,
        rest: Vec::new(),
    };
    let (mut generator, mut sid) = (None, None);
    for piece in pieces(said)? {
        // Addresses may have commas between them without brackets around all.
        if words.ip.is_some() && is_address(piece) {
            words.ip_ends = Some(piece.at() + piece.bytes().len());
            continue;
        }
        let (word, value) = piece.split_once(b' ').ok_or_else(|| piece.expected("a word and its value"))?;
        let number = || value.number(0, u32::MAX.into()).map(|number| number as u32);
        match word.bytes() {
            b"gen_id" => generator = Some(number()?),
            b"sig_id" => sid = Some(number()?),
            b"ip" => (words.ip, words.ip_ends) = (Some(value), None),
            b"new_action" => words.action = Some(value),
            b"timeout" => words.timeout = Some(value),
            _ => words.rest.push(piece),
        }
    }
    let missing = |what: &str| said.wrong(format!("`{what}` is missing"));
    let generator = generator.ok_or_else(|| missing("gen_id"))?;
    let sid = sid.ok_or_else(|| missing("sig_id"))?;
    if generator == 0 && sid > 0 {
        return Err(
            said.wrong("gen_id 0 means every rule: with a sig_id it must say whose, gen_id 1 for rules")
        );
    }
    words.of = Of { generator, sid };
    Ok(words)
}

/// Whether a piece is one more address, not a word and its value.
fn is_address(piece: Value<'_>) -> bool {
    let words = piece.words().count();
    words == 1 || piece.bytes().starts_with(b"!") || piece.bytes().starts_with(b"[")
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
    let addresses = match words.ip_ends {
        None => variables.addresses(ip)?,
        Some(end) => {
            let all = said.part(ip.at() - said.at(), end - said.at());
            let list = [b"[", all.bytes(), b"]"].concat();
            // Its places are those of the line.
            variables.addresses(Value::new(&list, ip.at() - 1))?
        }
    };
    Ok(Line::Suppress(words.of, Some((side, addresses))))
}

fn rate(said: Value<'_>, words: Words<'_>) -> Result<Line, Wrong> {
    let missing = |what: &str| said.wrong(format!("`{what}` is missing"));
    let counting = Counting::of(words.rest.into_iter())?;
    let action = words.action.ok_or_else(|| missing("new_action"))?;
    let (action, is_told) = match action.bytes() {
        b"alert" => (Action::Alert, true),
        b"drop" => (Action::Drop, true),
        b"sdrop" => (Action::Drop, false),
        b"pass" => (Action::Pass, false),
        b"reject" => (Action::Reject(Rejected::Source), true),
        // Nor does Suricata do it.
        b"log" => return Err(action.unsupported("new_action log")),
        _ => return Err(action.expected("alert, drop, sdrop, pass or reject")),
    };
    let timeout = words.timeout.ok_or_else(|| missing("timeout"))?;
    let track = counting.track.ok_or_else(|| missing("track"))?;
    if track == Track::ByFlow {
        return Err(said.wrong("a rate_filter counts by_src, by_dst, by_both or by_rule"));
    }
    Ok(Line::Rate(
        words.of,
        RateFilter {
            track,
            count: counting.count.ok_or_else(|| missing("count"))?,
            seconds: counting.seconds.ok_or_else(|| missing("seconds"))?,
            action,
            is_told,
            timeout_s: timeout.number(0, u32::MAX.into())? as u32,
        },
    ))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;
    use crate::rules::language::Kind;
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
        let Lines { lines, faults } = read(file, &mut Variables::usual());
        assert_eq!(faults, []);
        let numbers: Vec<_> = lines.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, [2, 3, 4, 5, 6, 8]);
        let lines: Vec<_> = lines.into_iter().map(|(_, line)| line).collect();
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
        let rate = RateFilter {
            track: Track::ByBoth,
            count: 10,
            seconds: 60,
            action: Action::Drop,
            is_told: true,
            timeout_s: 30,
        };
        assert_eq!(lines[5], Line::Rate(of(9), rate));
    }

    #[test]
    fn addresses_may_stand_without_brackets_and_name_groups() {
        let suppressed = |ip: &str| {
            let line = format!("suppress gen_id 1, sig_id 5, track by_dst, ip {ip}");
            let read = read(line.as_bytes(), &mut Variables::usual());
            match read.lines.into_iter().next() {
                Some((1, Line::Suppress(_, Some((Ends::Destination, addresses))))) => Ok(addresses.v4),
                _ => Err(read.faults[0].clone()),
            }
        };
        let both = suppressed("192.0.2.1, $HOME_NET").unwrap();
        assert!(both.contains(0xc000_0201) && both.contains(0x0a00_0001) && !both.contains(0x0101_0101));
        let without = suppressed("10.0.0.0/8,!10.1.0.0/16,2001:db8::/32").unwrap();
        assert!(without.contains(0x0a02_0001) && !without.contains(0x0a01_0001));
        let fault = suppressed("10.0.0.1,10.0.0.400").unwrap_err();
        assert_eq!((fault.line, fault.column, fault.sid), (1, 56, Some(5)), "{fault}");
        assert!(suppressed("10.0.0.1,$NOBODY").unwrap_err().detail.contains("NOBODY"));
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
            suppress\n\
            rate_filter gen_id 1, sig_id 1, track by_flow, count 1, seconds 1, new_action drop, timeout 1\n\
            suppress gen_id 0, sig_id 5\n\
            rate_filter gen_id 1, sig_id 1, track by_src, count 1, seconds 1, new_action log, timeout 1\n\
            suppress gen_id 1, sig_id 9\n";
        let Lines { lines, faults } = read(file, &mut Variables::usual());
        assert_eq!(lines.len(), 1, "the others are wrong");
        assert_eq!(faults.iter().filter(|fault| fault.kind == Kind::Unsupported).count(), 1);
        let told: Vec<_> = faults.iter().map(|fault| (fault.line, fault.column)).collect();
        assert_eq!(
            told,
            [
                (1, 1),
                (2, 10),
                (3, 10),
                (4, 30),
                (5, 28),
                (6, 11),
                (7, 78),
                (8, 1),
                (9, 13),
                (10, 10),
                (11, 78)
            ]
        );
    }
}
