//! memcached's lines: text commands, meta commands, and what answers either.

use super::{Asked, ERROR_BYTES_MAX, KEY_BYTES_MAX, Memcached, Read, VALUE_BYTES_MAX};
use crate::dpi::text::decimal;
use crate::dpi::{Context, Kept};
use crate::flow::Direction;

/// Bytes of a line that are waited for: a `get` of a hundred keys.
const LINE_BYTES_MAX: usize = 32 * 1024;

/// Commands of text and of meta; doc/protocol.txt.
const COMMANDS: &[&str] = &[
    "get",
    "gets",
    "gat",
    "gats",
    "set",
    "add",
    "replace",
    "append",
    "prepend",
    "cas",
    "delete",
    "incr",
    "decr",
    "touch",
    "stats",
    "flush_all",
    "version",
    "verbosity",
    "quit",
    "cache_memlimit",
    "slabs",
    "lru",
    "lru_crawler",
    "watch",
    "shutdown",
    "misbehave",
    "refresh_certs",
    "debug",
];
const META: &[&str] = &["mg", "ms", "md", "ma", "mn", "me"];

/// The first words of lines that end an answer.
const REPLIES: &[&str] = &[
    "STORED",
    "NOT_STORED",
    "EXISTS",
    "NOT_FOUND",
    "END",
    "DELETED",
    "TOUCHED",
    "OK",
    "ERROR",
    "CLIENT_ERROR",
    "SERVER_ERROR",
    "VERSION",
    "RESET",
    "BUSY",
    "BADCLASS",
    "NOSPARE",
    "NOTFULL",
    "UNSAFE",
    "SAME",
    "HD",
    "EN",
    "NF",
    "NS",
    "EX",
    "MN",
    "ME",
];

impl Memcached {
    /// A line, and the value that follows it.
    pub(super) fn text_request(&mut self, bytes: &[u8], id: u32, cx: &mut Context<'_>) -> Read {
        let (line, len) = match line_of(bytes) {
            Ok(Some(line)) => line,
            Ok(None) => return Read::Wait,
            Err(event) => return Read::Bad(event),
        };
        let mut words = line.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
        let Some(name) = words.next() else { return Read::Bad("malformed_data") };
        let named = |list: &[&'static str]| list.iter().find(|known| known.as_bytes() == name).copied();
        let (form, command) = match (named(COMMANDS), named(META)) {
            (Some(command), _) => ("text", command),
            (None, Some(command)) => ("meta", command),
            (None, None) => {
                cx.anomaly("unknown_command");
                ("text", "unknown")
            }
        };
        let mut asked = Asked { form, command, id, ..Asked::default() };
        // Where the length of a value stands behind the key, if there is one.
        let size_at = match command {
            "set" | "add" | "replace" | "append" | "prepend" | "cas" => Some(2),
            "ms" => Some(0),
            _ => None,
        };
        let key = match command {
            "gat" | "gats" => words.nth(1),
            "get" | "gets" | "delete" | "incr" | "decr" | "touch" | "mg" | "md" | "ma" | "me" => words.next(),
            _ if size_at.is_some() => words.next(),
            _ => None,
        };
        let has_key = size_at.is_some()
            || matches!(
                command,
                "gat"
                    | "gats"
                    | "get"
                    | "gets"
                    | "delete"
                    | "incr"
                    | "decr"
                    | "touch"
                    | "mg"
                    | "md"
                    | "ma"
                    | "me"
            );
        match key {
            Some(key) if key.len() > KEY_BYTES_MAX => return Read::Bad("key_too_long"),
            Some(key) => asked.key = Kept::of(key),
            None if has_key => return Read::Bad("malformed_data"),
            None => {}
        }
        asked.keys = match command {
            "get" | "gets" | "gat" | "gats" => 1 + words.clone().count() as u32,
            _ => 0,
        };
        let mut taken = len as u64;
        if let Some(size_at) = size_at {
            let size = words.clone().nth(size_at).and_then(decimal).filter(|size| *size <= VALUE_BYTES_MAX);
            let Some(size) = size else { return Read::Bad("invalid_length") };
            let end = len.saturating_add(size as usize);
            if bytes.get(end).is_some_and(|byte| !matches!(byte, b'\r' | b'\n')) {
                return Read::Bad("invalid_length");
            }
            asked.bytes = Some(size);
            taken += size + 2;
        }
        let last = words.clone().next_back();
        asked.is_quiet = form == "meta" && words.any(|word| word == b"q");
        if form == "text" && last == Some(b"noreply") {
            self.tell(&asked, Direction::Forward, cx);
        } else {
            self.ask(asked, cx);
        }
        Read::Took(taken)
    }

    /// A line of an answer, and the value that follows it.
    pub(super) fn text_answer(&mut self, bytes: &[u8], id: Option<u32>, cx: &mut Context<'_>) -> Read {
        let (line, len) = match line_of(bytes) {
            Ok(Some(line)) => line,
            Ok(None) => return Read::Wait,
            Err(event) => return Read::Bad(event),
        };
        // Datagrams say what they answer: that comes to the front.
        if let Some(id) = id
            && let Some(place) = self.pending.iter().position(|asked| asked.id == id)
            && let Some(asked) = self.pending.remove(place)
        {
            self.pending.push_front(asked);
        }
        let mut words = line.split(|byte| *byte == b' ');
        let first = words.next().unwrap_or_default();
        let size = match first {
            b"VALUE" => Some(words.nth(2)),
            b"VA" => Some(words.next()),
            _ => None,
        };
        let mut taken = len as u64;
        if let Some(size) = size {
            let size = size.and_then(decimal).filter(|size| *size <= VALUE_BYTES_MAX);
            let Some(size) = size else { return Read::Bad("invalid_length") };
            self.answer.hits = self.answer.hits.saturating_add(1);
            self.answer.bytes = self.answer.bytes.saturating_add(size);
            taken += size + 2;
        }
        let reply = REPLIES.iter().find(|reply| reply.as_bytes() == first).copied();
        let reply = match (first, reply) {
            // More lines come, up to END; in datagrams that may be elsewhere.
            (b"VALUE", _) => {
                self.answer.reply = "VALUE";
                return Read::Took(taken);
            }
            (b"STAT" | b"ITEM" | b"PREFIX", _) => {
                self.answer.reply = "STAT";
                return Read::Took(taken);
            }
            (b"VA", _) => "VA",
            (_, Some(reply)) => reply,
            (digits, None) if decimal(digits).is_some() => "number",
            // Dumps of the crawler, and lines of `watch`.
            (other, None) if other.iter().all(u8::is_ascii_graphic) => return Read::Took(taken),
            _ => return Read::Bad("malformed_data"),
        };
        let text = line.get(first.len()..).unwrap_or_default().trim_ascii();
        let text = Kept::of(text.get(..ERROR_BYTES_MAX).unwrap_or(text));
        match reply {
            "VERSION" => self.answer.version = text,
            "CLIENT_ERROR" | "SERVER_ERROR" => self.answer.error = text,
            _ => {}
        }
        self.answer.reply = reply;
        self.pass_quiet(reply, cx);
        self.answered(cx);
        Read::Took(taken)
    }

    /// Tells quiet commands that `reply` does not answer: the server kept silent.
    fn pass_quiet(&mut self, reply: &str, cx: &mut Context<'_>) {
        while let Some(asked) = self.pending.front().filter(|asked| asked.is_quiet) {
            let is_silent = match asked.command {
                "mg" => !matches!(reply, "VA" | "HD"),
                "ms" => !matches!(reply, "NS" | "EX" | "NF"),
                "md" => !matches!(reply, "EX"),
                _ => !matches!(reply, "VA" | "NS" | "EX"),
            };
            let is_error = matches!(reply, "CLIENT_ERROR" | "SERVER_ERROR" | "ERROR");
            if !is_silent || is_error {
                return;
            }
            let Some(asked) = self.pending.pop_front() else { return };
            let answer = std::mem::take(&mut self.answer);
            self.tell(&asked, Direction::Forward, cx);
            self.answer = answer;
        }
    }
}

/// The first line without its end, and its bytes with it; `None`: it is not whole.
fn line_of(bytes: &[u8]) -> Result<Option<(&[u8], usize)>, &'static str> {
    match bytes.iter().position(|byte| *byte == b'\n') {
        Some(end) if end <= LINE_BYTES_MAX => {
            let line = bytes.get(..end).unwrap_or_default();
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.iter().any(u8::is_ascii_control) {
                Err("malformed_data")
            } else {
                Ok(Some((line, end + 1)))
            }
        }
        None if bytes.len() <= LINE_BYTES_MAX => Ok(None),
        _ => Err("line_too_long"),
    }
}
