//! What does a mail reader ask for, and what does the server say? Commands of POP3 (RFC 1939) and IMAP (RFC 9051) with
//! their answers.
//!
//! Told as `pop3` with the fields of Suricata 8, and as `imap`, a record a command. Secrets are never told.

use crate::dpi::text::starts_with_word;
use crate::dpi::{Context, Fields, Kept};
use crate::flow::Direction;

/// Commands of a flow that are told.
const COMMANDS_MAX: u8 = 32;

/// Commands of IMAP without an answer that are remembered; POP3 has one at a time.
const PENDING_MAX: usize = 4;

/// Bytes of a line that are told.
const TEXT_BYTES_MAX: usize = 256;

/// Which of both is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Pop3,
    Imap,
}

/// The commands of one flow.
#[derive(Debug, Default)]
pub(super) struct Commands {
    pending: [Kept; PENDING_MAX],
    told: u8,
}

impl Commands {
    /// A line of either side.
    pub(super) fn line(&mut self, dialect: Dialect, way: Direction, line: &[u8], cx: &mut Context<'_>) {
        if self.told >= COMMANDS_MAX || line.is_empty() {
            return;
        }
        match (way, dialect) {
            (Direction::Forward, Dialect::Pop3) => self.ask(0, shown(line, false)),
            (Direction::Reverse, Dialect::Pop3) => {
                let is_ok = starts_with_word(line, b"+OK");
                if (is_ok || starts_with_word(line, b"-ERR")) && !self.pending[0].is_empty() {
                    let header = line.get(if is_ok { 3 } else { 4 }..).unwrap_or_default().trim_ascii();
                    let asked = std::mem::take(&mut self.pending[0]);
                    self.tell("pop3", way, cx, |fields| pop3(fields, &asked, Some((is_ok, header))));
                }
            }
            (Direction::Forward, Dialect::Imap) => {
                let free = self.pending.iter().position(|asked| asked.is_empty()).unwrap_or(PENDING_MAX - 1);
                // A tag, then a command of letters: else it is the rest of one, or a literal.
                if command(line).is_some() {
                    self.ask(free, shown(line, true));
                }
            }
            (Direction::Reverse, Dialect::Imap) => {
                let tag = line.split(|byte| *byte == b' ').next().unwrap_or_default();
                let asked = self
                    .pending
                    .iter_mut()
                    .find(|asked| !asked.is_empty() && asked.split(|byte| *byte == b' ').next() == Some(tag));
                let Some(asked) = asked.map(std::mem::take) else { return };
                let answer = line.get(tag.len()..).unwrap_or_default().trim_ascii();
                self.tell("imap", way, cx, |fields| imap(fields, &asked, Some(answer)));
            }
        }
    }

    /// The flow is over: what nobody answered.
    pub(super) fn end(&mut self, dialect: Dialect, cx: &mut Context<'_>) {
        for asked in std::mem::take(&mut self.pending) {
            if !asked.is_empty() && self.told < COMMANDS_MAX {
                match dialect {
                    Dialect::Pop3 => {
                        self.tell("pop3", Direction::Forward, cx, |fields| pop3(fields, &asked, None))
                    }
                    Dialect::Imap => {
                        self.tell("imap", Direction::Forward, cx, |fields| imap(fields, &asked, None))
                    }
                }
            }
        }
    }

    fn ask(&mut self, place: usize, line: &[u8]) {
        self.pending[place] = Kept::of(line.get(..TEXT_BYTES_MAX).unwrap_or(line));
    }

    fn tell(
        &mut self,
        event_type: &'static str,
        way: Direction,
        cx: &mut Context<'_>,
        write: impl FnOnce(&mut Fields),
    ) {
        self.told += 1;
        cx.tell_with(event_type, way, write);
    }
}

/// The command behind a tag.
fn command(line: &[u8]) -> Option<&[u8]> {
    let mut words = line.split(|byte| *byte == b' ');
    let (tag, command) = (words.next()?, words.next()?);
    let is_tag = (1..=32).contains(&tag.len()) && tag.iter().all(u8::is_ascii_alphanumeric);
    (is_tag && !command.is_empty() && command.iter().all(u8::is_ascii_alphabetic)).then_some(command)
}

/// A command without what is secret in it: all behind the user's name, and all of an exchange of credentials.
fn shown(line: &[u8], has_tag: bool) -> &[u8] {
    let blanks = |nth: usize| {
        let mut blanks = line.iter().enumerate().filter(|(_, byte)| **byte == b' ').map(|(at, _)| at);
        blanks.nth(nth).unwrap_or(line.len())
    };
    let skip = usize::from(has_tag);
    let start = if has_tag { (blanks(0) + 1).min(line.len()) } else { 0 };
    let is = |word: &[u8]| starts_with_word(line.get(start..).unwrap_or_default(), word);
    let end = if is(b"PASS") {
        blanks(skip)
    } else if is(b"APOP ") || is(b"LOGIN ") || is(b"AUTH ") || is(b"AUTHENTICATE ") {
        blanks(skip + 1)
    } else {
        line.len()
    };
    // What has no command in front may be a password in answer to a challenge.
    let word =
        line.get(start..end).unwrap_or_default().split(|byte| *byte == b' ').next().unwrap_or_default();
    let is_command = (3..=16).contains(&word.len()) && word.iter().all(u8::is_ascii_alphabetic);
    if is_command { line.get(..end).unwrap_or_default() } else { &[] }
}

fn pop3(fields: &mut Fields, asked: &[u8], answer: Option<(bool, &[u8])>) {
    let mut words = asked.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    fields.object("request", |request| {
        request.text("command", words.next().unwrap_or_default().to_ascii_uppercase());
        request.list("args", |list| words.for_each(|word| list.text("", word)));
    });
    if let Some((is_ok, header)) = answer {
        fields.object("response", |response| {
            response.bool("success", is_ok);
            response.text("status", if is_ok { "OK" } else { "ERR" });
            response.text("header", header.get(..TEXT_BYTES_MAX).unwrap_or(header));
        });
    }
}

fn imap(fields: &mut Fields, asked: &[u8], answer: Option<&[u8]>) {
    let mut words = asked.splitn(3, |byte| *byte == b' ');
    fields.text_if("tag", words.next());
    fields.text("command", words.next().unwrap_or_default().to_ascii_uppercase());
    fields.text_if("arguments", words.next());
    if let Some(answer) = answer {
        let status = answer.split(|byte| *byte == b' ').next().unwrap_or_default();
        fields.text("status", status);
        let text = answer.get(status.len()..).unwrap_or_default().trim_ascii();
        fields.text("text", text.get(..TEXT_BYTES_MAX).unwrap_or(text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpi::fields::Value;

    fn told(dialect: Dialect, lines: &[(Direction, &str)]) -> Vec<String> {
        let view = crate::dpi::FlowView {
            initiator: (crate::parse::Addr::v4([192, 0, 2, 1]), 40_000),
            responder: (crate::parse::Addr::v4([192, 0, 2, 2]), 110),
            protocol: crate::parse::Protocol::TCP,
            is_midstream: false,
            is_established: true,
            counts: crate::rules::detect::FlowCounts::default(),
        };
        let bytes: Vec<_> = lines.iter().map(|(way, line)| (*way, format!("{line}\r\n"))).collect();
        let payloads = bytes.iter().map(|(way, line)| (*way, line.as_bytes()));
        let protocol = if dialect == Dialect::Pop3 {
            &super::super::mailbox::POP3
        } else {
            &super::super::mailbox::IMAP
        };
        let (apps, notes) = (crate::dpi::AppTable::default(), &mut crate::dpi::Notes::default());
        notes.set_protocol(protocol, 90);
        let mut told = Vec::new();
        let Some(make) = protocol.parser else { return told };
        crate::dpi::feed::feed_parser(&mut *make(), &view, &apps, payloads, notes, &mut |record| {
            let texts = record.fields.iter().filter_map(|(_, value)| match value {
                Value::Text(text) => Some(String::from_utf8_lossy(text).into_owned()),
                _ => None,
            });
            told.push(texts.collect::<Vec<_>>().join("|"));
        });
        told
    }

    const C: Direction = Direction::Forward;
    const S: Direction = Direction::Reverse;

    #[test]
    fn pop3_is_told_without_its_passwords() {
        let lines = [
            (S, "+OK ready"),
            (C, "user a@b.example"),
            (S, "+OK"),
            (C, "PASS secret"),
            (S, "+OK logged in"),
            (C, "RETR 1"),
            (S, "+OK 120 octets"),
            (S, "+OK this is mail"),
            (C, "TOP 1 0"),
            (S, "-ERR no such message"),
            (C, "QUIT"),
        ];
        let expected = [
            "USER|a@b.example|OK|",
            "PASS|OK|logged in",
            "RETR|1|OK|120 octets",
            "TOP|1|0|ERR|no such message",
            "QUIT",
        ];
        assert_eq!(told(Dialect::Pop3, &lines), expected);
    }

    #[test]
    fn imap_is_told_by_its_tags_without_its_passwords() {
        let lines = [
            (S, "* OK ready"),
            (C, "a1 login joe secret"),
            (C, "a2 SELECT \"INBOX\""),
            (S, "* 3 EXISTS"),
            (S, "a2 OK [READ-WRITE] done"),
            (S, "a1 NO failed"),
            (C, "a3 AUTHENTICATE PLAIN c2VjcmV0"),
            (S, "+ "),
            (C, "c2VjcmV0"),
            (S, "a3 OK in"),
        ];
        let expected = [
            "a2|SELECT|\"INBOX\"|OK|[READ-WRITE] done",
            "a1|LOGIN|joe|NO|failed",
            "a3|AUTHENTICATE|PLAIN|OK|in",
        ];
        assert_eq!(told(Dialect::Imap, &lines), expected);
    }

    #[test]
    fn a_password_in_answer_to_a_challenge_is_not_told() {
        let lines = [
            (C, "AUTH LOGIN"),
            (S, "+ VXNlcm5hbWU6"),
            (C, "dXNlcg=="),
            (S, "+ x"),
            (C, "c2VjcmV0"),
            (S, "+OK in"),
        ];
        assert!(!told(Dialect::Pop3, &lines).join(" ").contains("c2VjcmV0"));
    }
}
