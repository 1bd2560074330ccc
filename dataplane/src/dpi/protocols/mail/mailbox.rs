//! Who reads mail and news? IMAP (RFC 9051), POP3 (RFC 1939), NNTP (RFC 3977), ManageSieve (RFC 5804).
//!
//! The parsers watch logins: whether credentials crossed in clear, and whether they were refused; commands of IMAP and POP3
//! are told by `commands.rs`.

use super::commands::{Commands, Dialect};
use crate::dpi::protocols::web::inside::Inside;
use crate::dpi::text::{has_word, starts_with_word};
use crate::dpi::{Category, Context, First, Match, Over, Parser, Peek, Probe, Protocol, Risk, Shown, Step};
use crate::flow::Direction;

/// IMAP.
pub static IMAP: Protocol = Protocol {
    name: "imap",
    eve: None,
    category: Category::Email,
    probes: &[Probe { over: Over::Tcp, first: First::In(b'*', b'z'), look: imap }],
    parser: Some(|| Box::new(Logins::default())),
};

/// IMAP inside TLS, which its port tells.
pub static IMAPS: Protocol =
    Protocol { name: "imaps", eve: Some("tls"), category: Category::Email, probes: &[], parser: None };

/// POP3.
pub static POP3: Protocol = Protocol {
    name: "pop3",
    eve: None,
    category: Category::Email,
    probes: &[Probe { over: Over::Tcp, first: First::Of(b"+-ACSUacsu"), look: pop3 }],
    parser: Some(|| Box::new(Logins::default())),
};

/// POP3 inside TLS, which its port tells.
pub static POP3S: Protocol =
    Protocol { name: "pop3s", eve: Some("tls"), category: Category::Email, probes: &[], parser: None };

/// News.
pub static NNTP: Protocol = Protocol {
    name: "usenet",
    eve: Some("nntp"),
    category: Category::Web,
    probes: &[Probe { over: Over::Tcp, first: First::Of(b"2AMGamg"), look: nntp }],
    parser: Some(|| Box::new(Logins::default())),
};

/// Scripts that sort mail.
pub static SIEVE: Protocol = Protocol {
    name: "managesieve",
    eve: None,
    category: Category::Email,
    probes: &[Probe { over: Over::Tcp, first: First::Of(b"\""), look: sieve }],
    parser: None,
};

/// Lines after which nobody reads on.
const LINES_MAX: u32 = 256;

/// A line that has no end after this many bytes is none.
const LINE_BYTES_MAX: usize = 2_048;

fn first_line(bytes: &[u8]) -> Option<&[u8]> {
    let end = bytes.iter().take(512).position(|byte| *byte == b'\n')?;
    Some(bytes[..end].trim_ascii_end())
}

fn imap(peek: &Peek<'_>) -> Match {
    let is_port = peek.has_port(143) || peek.has_port(220);
    let Some(line) = first_line(peek.bytes) else {
        return if peek.bytes.len() < 512 { Match::More } else { Match::No };
    };
    if starts_with_word(line, b"* OK")
        || starts_with_word(line, b"* PREAUTH")
        || starts_with_word(line, b"* BYE")
    {
        return Match::Yes(if is_port || has_word(line, b"IMAP") { 92 } else { 75 });
    }
    if starts_with_word(line, b"* CAPABILITY IMAP4") {
        return Match::Yes(95);
    }
    // A tag, then a command (RFC 9051 2.2.1).
    let mut words = line.split(|byte| *byte == b' ');
    let tag = words.next().unwrap_or_default();
    let verb = words.next().unwrap_or_default();
    if tag.is_empty()
        || tag.len() > 16
        || !tag.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'.')
    {
        return Match::No;
    }
    const SURE: [&[u8]; 4] = [b"CAPABILITY", b"AUTHENTICATE", b"LOGIN", b"STARTTLS"];
    const USUAL: [&[u8]; 9] =
        [b"NOOP", b"SELECT", b"EXAMINE", b"LIST", b"LSUB", b"FETCH", b"UID", b"IDLE", b"ID"];
    if SURE.iter().any(|known| verb.eq_ignore_ascii_case(known)) {
        return Match::of(is_port || tag.iter().any(u8::is_ascii_digit), 85);
    }
    Match::of(is_port && USUAL.iter().any(|known| verb.eq_ignore_ascii_case(known)), 82)
}

fn pop3(peek: &Peek<'_>) -> Match {
    let is_port = peek.has_port(110);
    let Some(line) = first_line(peek.bytes) else {
        return if peek.bytes.len() < 512 { Match::More } else { Match::No };
    };
    let is_question = |line: &[u8]| {
        [&b"CAPA"[..], b"USER ", b"APOP ", b"AUTH", b"STLS"].iter().any(|verb| starts_with_word(line, verb))
    };
    if starts_with_word(line, b"+OK") || starts_with_word(line, b"-ERR") {
        if is_port {
            return Match::Yes(92);
        }
        // A client that does not wait for the greeting.
        if first_line(peek.other).is_some_and(is_question) {
            return Match::Yes(88);
        }
        // Others say +OK too, but do not speak first.
        let greets = peek.nth == 0 && peek.other.is_empty() && starts_with_word(line, b"+OK ");
        let names_itself = has_word(line, b"POP") || (line.ends_with(b">") && line.contains(&b'@'));
        return Match::of(greets, if names_itself { 88 } else { 60 });
    }
    if is_question(line) && (is_port || peek.other.starts_with(b"+OK ")) {
        return Match::Yes(88);
    }
    Match::No
}

fn nntp(peek: &Peek<'_>) -> Match {
    let is_port = peek.has_port(119) || peek.has_port(433);
    let Some(line) = first_line(peek.bytes) else {
        return if peek.bytes.len() < 512 { Match::More } else { Match::No };
    };
    if starts_with_word(line, b"200 ") || starts_with_word(line, b"201 ") {
        let names_itself =
            has_word(line, b"NNTP") || has_word(line, b" news") || has_word(line, b"InterNetNews");
        return if is_port { Match::Yes(90) } else { Match::of(names_itself && peek.other.is_empty(), 85) };
    }
    if starts_with_word(line, b"MODE READER") || starts_with_word(line, b"AUTHINFO ") {
        return Match::Yes(90);
    }
    let is_usual =
        [&b"ARTICLE "[..], b"GROUP ", b"MODE STREAM"].iter().any(|verb| starts_with_word(line, verb));
    Match::of(is_port && is_usual, 85)
}

fn sieve(peek: &Peek<'_>) -> Match {
    let begin = b"\"IMPLEMENTATION\" \"";
    if peek.bytes.len() < begin.len() {
        return if starts_with_word(begin, peek.bytes) { Match::More } else { Match::No };
    }
    Match::sure(starts_with_word(peek.bytes, begin))
}

/// Watches for a login.
#[derive(Default)]
struct Logins {
    /// Reads what follows STARTTLS.
    inner: Option<Box<dyn Parser>>,
    lines: u32,
    asked: bool,
    awaits_tls: bool,
    commands: Commands,
}

/// The words of a login without its secrets: a tag, the command, a mechanism.
fn command_of<'a>(line: &'a [u8], behind: &'a [u8]) -> &'a [u8] {
    let start = if starts_with_word(behind, b"LOGIN ") || starts_with_word(behind, b"AUTHENTICATE ") {
        behind
    } else {
        line
    };
    let words = if starts_with_word(start, b"AUTH") { 2 } else { 1 };
    let end = start.iter().enumerate().filter(|(_, byte)| **byte == b' ').nth(words - 1);
    start.get(..end.map_or(start.len(), |(at, _)| at)).unwrap_or(start).trim_ascii_end()
}

/// What is told of the flow's commands, if anything.
fn dialect_of(cx: &Context<'_>) -> Option<Dialect> {
    match cx.notes.protocol()?.name {
        "pop3" | "pop3s" => Some(Dialect::Pop3),
        "imap" | "imaps" => Some(Dialect::Imap),
        _ => None,
    }
}

impl Logins {
    /// Whether all that matters was seen.
    fn line(&mut self, way: Direction, line: &[u8], cx: &mut Context<'_>) -> bool {
        let dialect = dialect_of(cx);
        if let Some(dialect) = dialect {
            self.commands.line(dialect, way, line, cx);
        }
        // What stands behind a tag, for IMAP.
        let behind = line.iter().position(|byte| *byte == b' ').map_or(&[][..], |blank| &line[blank + 1..]);
        let asks = starts_with_word(line, b"PASS ")
            || starts_with_word(line, b"AUTH PLAIN")
            || starts_with_word(line, b"AUTH LOGIN")
            || starts_with_word(line, b"AUTHINFO PASS")
            || starts_with_word(behind, b"LOGIN ")
            || starts_with_word(behind, b"AUTHENTICATE PLAIN")
            || starts_with_word(behind, b"AUTHENTICATE LOGIN");
        if asks {
            cx.risk(Risk::ClearTextCredentials, format_args!("{}", Shown(command_of(line, behind))));
            self.asked = true;
        }
        // Servers list it among what they can do.
        let asks_for_tls = starts_with_word(line, b"STLS")
            || starts_with_word(behind, b"STARTTLS")
            || starts_with_word(line, b"STARTTLS");
        if asks_for_tls && (way == Direction::Forward || cx.flow.is_midstream) {
            self.awaits_tls = true;
        }
        if self.asked {
            let is_refused = starts_with_word(line, b"-ERR")
                || starts_with_word(behind, b"NO ")
                || starts_with_word(line, b"481")
                || starts_with_word(line, b"452");
            let is_let_in = starts_with_word(line, b"+OK")
                || starts_with_word(behind, b"OK ")
                || starts_with_word(line, b"281");
            if is_refused {
                cx.risk(Risk::FailedLogin, format_args!("{}", Shown(line)));
            }
            if is_let_in {
                self.asked = false;
                // What is read then is told; of news nothing is.
                return dialect.is_none();
            }
            return false;
        }
        // RFC 2595 3 and 4, RFC 4642 2.2.2, RFC 5804 2.2: the handshake follows at once.
        if self.awaits_tls
            && (starts_with_word(line, b"+OK")
                || starts_with_word(behind, b"OK ")
                || starts_with_word(line, b"382")
                || line.eq_ignore_ascii_case(b"OK")
                || starts_with_word(line, b"OK "))
        {
            match cx.notes.protocol() {
                Some(protocol) if *protocol == IMAP => cx.notes.set_protocol(&IMAPS, 95),
                Some(protocol) if *protocol == POP3 => cx.notes.set_protocol(&POP3S, 95),
                _ => {}
            }
            self.inner = Some(Box::new(Inside::after_starttls()));
        }
        false
    }
}

impl Parser for Logins {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        if let Some(inner) = &mut self.inner {
            return match inner.data(way, bytes, cx) {
                // The flow began in clear whatever came then.
                Step::NotMine => Step::Done,
                step => step,
            };
        }
        let mut used = 0;
        while let Some(rest) = bytes.get(used..).filter(|rest| !rest.is_empty()) {
            let Some(end) = rest.iter().take(LINE_BYTES_MAX + 1).position(|byte| *byte == b'\n') else {
                if rest.len() > LINE_BYTES_MAX {
                    cx.anomaly("line_too_long");
                    return Step::Done;
                }
                break;
            };
            used += end + 1;
            self.lines += 1;
            if self.line(way, rest[..end].trim_ascii_end(), cx) || self.lines > LINES_MAX {
                return Step::Done;
            }
            if self.inner.is_some() {
                break;
            }
        }
        Step::Consumed(used)
    }

    fn end(&mut self, cx: &mut Context<'_>) {
        if let Some(dialect) = dialect_of(cx) {
            self.commands.end(dialect, cx);
        }
        if let Some(inner) = &mut self.inner {
            inner.end(cx);
        }
    }

    fn start_over(&mut self) -> bool {
        *self = Self::default();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peek<'a>(bytes: &'a [u8], other: &'a [u8], port: u16) -> Peek<'a> {
        Peek { way: Direction::Reverse, other, ..crate::dpi::protocol::samples::peek(bytes, port, true) }
    }

    #[test]
    fn mailboxes_are_recognised() {
        assert_eq!(imap(&peek(b"* OK IMAP4rev1 ready\r\n", b"", 9_000)), Match::Yes(92));
        assert_eq!(imap(&peek(b"a1 LOGIN x y\r\n", b"", 9_000)), Match::Yes(85));
        assert_eq!(imap(&peek(b"GET / HTTP/1.1\r\n", b"", 80)), Match::No);
        assert_eq!(imap(&peek(b"* O", b"", 9_000)), Match::More);
        assert_eq!(pop3(&peek(b"+OK POP3 ready <1.2@example.org>\r\n", b"", 9_000)), Match::Yes(88));
        assert_eq!(pop3(&peek(b"+OK\r\n", b"*1\r\n$4\r\nPING\r\n", 6_379)), Match::No);
        assert_eq!(pop3(&peek(b"USER a\r\n", b"+OK ready\r\n", 9_000)), Match::Yes(88));
        assert_eq!(pop3(&peek(b"+OK Dovecot (Debian) ready.\r\n", b"", 9_000)), Match::Yes(60));
        assert_eq!(pop3(&peek(b"STLS\r\n", b"+OK Dovecot (Debian) ready.\r\n", 9_000)), Match::Yes(88));
        assert_eq!(pop3(&peek(b"+OK ready\r\n", b"USER joe\r\nPASS x\r\n", 9_000)), Match::Yes(88));
        assert_eq!(nntp(&peek(b"200 news.example.org NNTP ready\r\n", b"", 9_000)), Match::Yes(85));
        assert_eq!(nntp(&peek(b"MODE READER\r\n", b"", 9_000)), Match::Yes(90));
        assert_eq!(sieve(&peek(b"\"IMPLEMENTATION\" \"x\"\r\n", b"", 4_190)), Match::Yes(95));
        assert_eq!(sieve(&peek(b"\"IMP", b"", 4_190)), Match::More);
    }
}
