//! Which commands are sent to Redis, and how does it answer? RESP 2 and 3 (Redis documentation, protocol specification).
//!
//! Told as `redis`, a record a command; values, and the words of a login, are never told.

use std::collections::VecDeque;

use crate::dpi::text::decimal;
use crate::dpi::{Context, Fields, Kept, Parser, Risk, Shown, Step};
use crate::flow::Direction;

/// Commands of a flow that are told.
const COMMANDS_MAX: u8 = 64;

/// Commands without an answer that are remembered.
const PENDING_MAX: usize = 16;

/// Bytes of a word that are told; longer ones, and those behind the fifth, are skipped.
const WORD_BYTES_MAX: u64 = 128;
const WORDS_MAX: u64 = 5;

/// Redis refuses longer lines (`PROTO_INLINE_MAX_SIZE`), texts (`proto-max-bulk-len`) and lists.
const LINE_BYTES_MAX: usize = 64 * 1024;
const TEXT_BYTES_MAX: u64 = 512 << 20;
const LIST_MAX: u64 = 1 << 20;

/// A parser for a new connection.
pub(super) fn parser() -> Box<dyn Parser> {
    Box::new(Redis::default())
}

/// Reads one connection.
#[derive(Default)]
struct Redis {
    /// The command that is read, and how many of its words are missing.
    asked: Command,
    words_left: u64,
    words: u64,
    pending: VecDeque<Command>,
    /// Parts of an answer that are missing; 0 between answers.
    parts_left: u64,
    answer: Answer,
    told: u8,
}

#[derive(Default)]
struct Command {
    name: Kept,
    key: Kept,
    is_login: bool,
}

/// The first element of an answer.
#[derive(Default)]
struct Answer {
    kind: &'static str,
    error: Kept,
}

/// What stands at the front.
enum Line<'a> {
    /// The line without its end, and its bytes with it.
    Whole(&'a [u8], usize),
    Part,
    TooLong,
}

fn line(bytes: &[u8]) -> Line<'_> {
    match bytes.iter().position(|byte| *byte == b'\n') {
        Some(end) if end <= LINE_BYTES_MAX => {
            let line = &bytes[..end];
            Line::Whole(line.strip_suffix(b"\r").unwrap_or(line), end + 1)
        }
        None if bytes.len() <= LINE_BYTES_MAX => Line::Part,
        _ => Line::TooLong,
    }
}

impl Parser for Redis {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        let (line, len) = match line(bytes) {
            Line::Whole(line, len) => (line, len),
            Line::Part => return Step::Consumed(0),
            Line::TooLong => {
                cx.anomaly("line_too_long");
                return Step::Done;
            }
        };
        let read = match way {
            Direction::Forward => self.request(line, len, bytes, cx),
            Direction::Reverse => self.answer(line, len, cx),
        };
        match read {
            None => {
                cx.anomaly("malformed_data");
                Step::Done
            }
            Some(_) if self.told >= COMMANDS_MAX => Step::Done,
            Some(len) => Step::Consumed(len),
        }
    }

    fn end(&mut self, cx: &mut Context<'_>) {
        for command in self.pending.drain(..) {
            cx.tell_with("redis", Direction::Forward, |fields| command.write(fields));
        }
    }

    fn start_over(&mut self) -> bool {
        let mut pending = std::mem::take(&mut self.pending);
        pending.clear();
        *self = Self { pending, ..Self::default() };
        true
    }
}

impl Redis {
    /// A line of a request, and the word that follows it. Returns the bytes that were read; `None` where it is none.
    fn request(&mut self, line: &[u8], len: usize, bytes: &[u8], cx: &mut Context<'_>) -> Option<usize> {
        if self.words_left == 0 {
            if let Some(digits) = line.strip_prefix(b"*") {
                self.words_left = decimal(digits).filter(|count| *count <= LIST_MAX)?;
                self.words = 0;
            } else {
                // Words in a line, as people type them.
                let words = line.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
                for (nth, word) in words.take(WORDS_MAX as usize).enumerate() {
                    self.word(nth as u64, word, cx);
                }
                self.asked(cx);
            }
            return Some(len);
        }
        let size = decimal(line.strip_prefix(b"$")?).filter(|size| *size <= TEXT_BYTES_MAX)?;
        let whole = len + size as usize + 2;
        let nth = self.words;
        if nth < WORDS_MAX && size <= WORD_BYTES_MAX {
            match bytes.get(len..whole) {
                Some(word) => self.word(nth, word.strip_suffix(b"\r\n")?, cx),
                None => return Some(0),
            }
        }
        self.words += 1;
        self.words_left -= 1;
        if self.words_left == 0 {
            self.asked(cx);
        }
        Some(whole)
    }

    fn word(&mut self, nth: u64, word: &[u8], cx: &mut Context<'_>) {
        let word = word.get(..WORD_BYTES_MAX as usize).unwrap_or(word);
        let is_auth = word.eq_ignore_ascii_case(b"AUTH");
        match nth {
            0 => self.asked = Command { name: Kept::of(word), key: Kept::new(), is_login: is_auth },
            1 if !self.asked.is_login => self.asked.key = Kept::of(word),
            // HELLO 3 AUTH user password.
            2 if is_auth && self.asked.name.eq_ignore_ascii_case(b"HELLO") => self.asked.is_login = true,
            _ => {}
        }
        if is_auth && self.asked.is_login {
            let name = &self.asked.name;
            cx.risk(Risk::ClearTextCredentials, format_args!("redis {}", Shown(name)));
        }
    }

    /// A command is whole.
    fn asked(&mut self, cx: &mut Context<'_>) {
        let command = std::mem::take(&mut self.asked);
        if command.name.is_empty() {
            return;
        }
        if self.pending.len() >= PENDING_MAX
            && let Some(oldest) = self.pending.pop_front()
        {
            self.tell(&oldest, Direction::Forward, cx);
        }
        self.pending.push_back(command);
    }

    /// A line of an answer. Returns the bytes that were read, with those of a text that follows.
    fn answer(&mut self, line: &[u8], len: usize, cx: &mut Context<'_>) -> Option<usize> {
        let (kind, rest) = line.split_first()?;
        let is_null = rest == b"-1";
        let (name, parts, skipped) = match kind {
            b'+' => ("status", 0, 0),
            b'-' => ("error", 0, 0),
            b':' | b',' | b'(' => ("number", 0, 0),
            b'#' => ("boolean", 0, 0),
            b'_' => ("null", 0, 0),
            b'$' | b'*' if is_null => ("null", 0, 0),
            b'$' | b'=' => ("text", 0, decimal(rest).filter(|size| *size <= TEXT_BYTES_MAX)? + 2),
            b'!' => ("error", 0, decimal(rest).filter(|size| *size <= TEXT_BYTES_MAX)? + 2),
            b'*' | b'~' => ("list", decimal(rest).filter(|count| *count <= LIST_MAX)?, 0),
            b'>' => ("push", decimal(rest).filter(|count| *count <= LIST_MAX)?, 0),
            // Pairs; of `|` those that stand before the answer.
            b'%' => ("map", 2 * decimal(rest).filter(|count| *count <= LIST_MAX)?, 0),
            b'|' => ("attribute", 2 * decimal(rest).filter(|count| *count <= LIST_MAX)? + 1, 0),
            _ => return None,
        };
        if self.parts_left == 0 {
            let text = rest.get(..WORD_BYTES_MAX as usize).unwrap_or(rest);
            let error = if *kind == b'-' { Kept::of(text) } else { Kept::new() };
            self.answer = Answer { kind: name, error };
        } else {
            self.parts_left -= 1;
        }
        self.parts_left = self.parts_left.saturating_add(parts);
        if self.parts_left == 0 && self.answer.kind != "push" {
            self.answered(cx);
        }
        Some(len.saturating_add(skipped as usize))
    }

    fn answered(&mut self, cx: &mut Context<'_>) {
        let Some(command) = self.pending.pop_front() else { return };
        if command.is_login && !self.answer.error.is_empty() {
            cx.risk(Risk::FailedLogin, format_args!("redis: {}", Shown(&self.answer.error)));
        }
        self.tell(&command, Direction::Reverse, cx);
    }

    fn tell(&mut self, command: &Command, way: Direction, cx: &mut Context<'_>) {
        self.told = self.told.saturating_add(1);
        let answer = (way == Direction::Reverse).then_some(&self.answer);
        cx.tell_with("redis", way, |fields| {
            command.write(fields);
            if let Some(Answer { kind, error }) = answer {
                fields.text("reply", kind);
                if !error.is_empty() {
                    fields.text("error", error);
                }
            }
        });
    }
}

impl Command {
    fn write(&self, fields: &mut Fields) {
        fields.text("command", self.name.to_ascii_uppercase());
        if !self.key.is_empty() && !self.is_login {
            fields.text("key", &self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpi::fields::Value;
    use crate::dpi::risk::clues::told_of;

    /// What a conversation tells, every record as its texts.
    fn told(client: &[&[u8]], server: &[&[u8]]) -> Vec<String> {
        let view = crate::dpi::FlowView {
            initiator: (crate::parse::Addr::v4([192, 0, 2, 1]), 40_000),
            responder: (crate::parse::Addr::v4([192, 0, 2, 2]), 6_379),
            protocol: crate::parse::Protocol::TCP,
            is_midstream: false,
            is_established: true,
            counts: crate::rules::detect::FlowCounts::default(),
        };
        let mut told = Vec::new();
        let payloads = client.iter().map(|bytes| (Direction::Forward, *bytes));
        let payloads = payloads.chain(server.iter().map(|bytes| (Direction::Reverse, *bytes)));
        let (apps, notes) = (crate::dpi::AppTable::default(), &mut crate::dpi::Notes::default());
        crate::dpi::feed::feed_parser(&mut Redis::default(), &view, &apps, payloads, notes, &mut |record| {
            let texts: Vec<_> = record
                .fields
                .iter()
                .filter_map(|(_, value)| match value {
                    Value::Text(text) => Some(String::from_utf8_lossy(text).into_owned()),
                    _ => None,
                })
                .collect();
            told.push(texts.join(" "));
        });
        told
    }

    const SET: &[u8] = b"*3\r\n$3\r\nset\r\n$5\r\ncolor\r\n$4\r\nblue\r\n";
    const GET: &[u8] = b"*2\r\n$3\r\nGET\r\n$5\r\ncolor\r\n";

    #[test]
    fn commands_meet_their_answers_in_pieces_of_any_size() {
        let client = [SET, GET, b"PING\r\n", b"*1\r\n$6\r\nKEYSXX\r\n"].concat();
        let server =
            b"+OK\r\n>2\r\n$1\r\na\r\n$1\r\nb\r\n$4\r\nblue\r\n%1\r\n+a\r\n*2\r\n:1\r\n$-1\r\n-ERR unknown\r\n";
        let expected = ["SET color status", "GET color text", "PING map", "KEYSXX error ERR unknown"];
        assert_eq!(told(&[&client], &[server]), expected);
        for size in [1, 2, 7, 19] {
            let (client, server): (Vec<_>, Vec<_>) =
                (client.chunks(size).collect(), server.chunks(size).collect());
            assert_eq!(told(&client, &server), expected, "{size}");
        }
    }

    #[test]
    fn long_values_are_skipped_and_lies_are_named() {
        let long = [&b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5000\r\n"[..], &[b'v'; 5_000], b"\r\n", GET].concat();
        assert_eq!(told(&[&long], &[b"+OK\r\n$4\r\nblue\r\n"]), ["SET k status", "GET color text"]);
        for bad in [&b"*2\r\n:3\r\n"[..], b"*x\r\n", b"*1\r\n$99999999999\r\n", b"*1\r\n$2\r\nabc\r\n"] {
            assert_eq!(told(&[bad], &[])[0], "failed applayer malformed_data proto_parser");
        }
        assert_eq!(told(&[&vec![b'x'; 70_000]], &[]).len(), 1);
    }

    #[test]
    fn logins_are_found_and_their_refusal_and_never_told() {
        for (asked, is_login) in [
            (&b"*2\r\n$4\r\nAUTH\r\n$6\r\nsecret\r\n"[..], true),
            (b"*5\r\n$5\r\nhello\r\n$1\r\n3\r\n$4\r\nauth\r\n$1\r\nu\r\n$6\r\nsecret\r\n", true),
            (b"auth secret\r\n", true),
            (b"*2\r\n$3\r\nGET\r\n$4\r\nAUTH\r\n", false),
        ] {
            let risks = told_of(|cx| {
                let mut redis = Redis::default();
                let mut at = 0;
                while let Step::Consumed(len @ 1..) = redis.data(Direction::Forward, &asked[at..], cx) {
                    at += len;
                }
                redis.data(Direction::Reverse, b"-WRONGPASS invalid\r\n", cx);
            });
            assert_eq!(risks.len(), if is_login { 2 } else { 0 }, "{risks:?}");
            assert!(!format!("{risks:?} {:?}", told(&[asked], &[b"+OK\r\n"])).contains("secret"));
        }
    }
}
