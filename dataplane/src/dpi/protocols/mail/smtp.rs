//! Who sends mail to whom? SMTP (RFC 5321) and LMTP (RFC 2033), and the headers of the messages (RFC 5322).
//!
//! A record a message, as Suricata's EVE `smtp`; what the headers say stands in the object `email`. Bodies are not kept.

use crate::dpi::protocols::secure::tls;
use crate::dpi::text::{has_word, starts_with_word};
use crate::dpi::{
    Category, Context, Fields, First, HostKind, Match, Over, Parser, Peek, Probe, Protocol, Risk, Shown, Step,
};
use crate::flow::Direction;

/// SMTP.
pub static SMTP: Protocol = Protocol {
    name: "smtp",
    eve: None,
    category: Category::Email,
    probes: &[Probe { over: Over::Tcp, first: First::Of(b"245EeHhLlMm"), look }],
    parser: Some(|| Box::new(Reader::default())),
};

/// SMTP inside TLS from the first byte, which its port tells.
pub static SMTPS: Protocol =
    Protocol { name: "smtps", eve: Some("tls"), category: Category::Email, probes: &[], parser: None };

const PORTS: [u16; 4] = [25, 587, 2525, 465];

/// A line that has no end after this many bytes is none.
const LINE_BYTES_MAX: usize = 4_096;

/// Bytes of a header that are kept.
const HEADER_BYTES_MAX: usize = 998;

/// Recipients of one message that are kept.
const RECIPIENTS_MAX: u32 = 32;

fn look(peek: &Peek<'_>) -> Match {
    let bytes = peek.bytes;
    let line_end = bytes.iter().position(|byte| *byte == b'\n');
    let line = &bytes[..line_end.unwrap_or(bytes.len())];
    let is_port = PORTS.iter().any(|port| peek.has_port(*port));
    for verb in [&b"EHLO "[..], b"HELO ", b"LHLO ", b"MAIL FROM:"] {
        if starts_with_word(bytes, verb) {
            return Match::Yes(92);
        }
        if bytes.len() < verb.len() && starts_with_word(verb, bytes) {
            return Match::More;
        }
    }
    if line.len() < 4 {
        return if line_end.is_none() && bytes.iter().all(u8::is_ascii_digit) {
            Match::More
        } else {
            Match::No
        };
    }
    if !line.starts_with(b"220") && !(is_port && (line.starts_with(b"554") || line.starts_with(b"421"))) {
        // An answer seen without its greeting.
        return Match::of(is_port && line.starts_with(b"250") && line_end.is_some(), 80);
    }
    if !matches!(line.get(3), Some(b' ' | b'-' | b'\r')) || has_word(line, b"ftp") {
        return Match::No;
    }
    match (is_port, has_word(line, b"SMTP") || has_word(line, b"sendmail") || has_word(line, b"postfix")) {
        (true, _) => Match::Yes(90),
        (false, true) => Match::Yes(88),
        // FTP greets alike: the client's EHLO tells.
        (false, false) => Match::No,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Commands,
    Headers,
    Body,
}

#[derive(Default)]
struct Reader {
    state: State,
    /// Reads what follows STARTTLS.
    inner: Option<Box<dyn Parser>>,
    /// DATA was sent and not answered yet.
    awaits_go: bool,
    awaits_tls: bool,
    awaits_login: bool,
    has_sender: bool,
    recipients: u32,
    helo: Fields,
    sender: Fields,
    to: Fields,
    email: Fields,
    header: Vec<u8>,
    has_host: bool,
}

impl Reader {
    fn tell(&mut self, way: Direction, cx: &mut Context<'_>) {
        if self.has_sender || !self.helo.is_empty() {
            cx.tell_with("smtp", way, |fields| {
                fields.append(&self.helo);
                fields.append(&self.sender);
                if self.recipients > 0 {
                    fields.list("rcpt_to", |list| list.append(&self.to));
                }
                if !self.email.is_empty() {
                    // Beside the object, as the event's own.
                    fields.object("/email", |email| {
                        email.text("status", "PARSE_DONE");
                        email.append(&self.email);
                    });
                }
            });
        }
        self.forget();
    }

    fn forget(&mut self) {
        self.has_sender = false;
        self.recipients = 0;
        self.sender.clear();
        self.to.clear();
        self.email.clear();
        self.header.clear();
    }

    fn command(&mut self, way: Direction, line: &[u8], cx: &mut Context<'_>) {
        if self.awaits_login && !starts_with_word(line, b"MAIL FROM:") {
            // RFC 4954 4: what follows AUTH are credentials, until the server has enough.
            return;
        }
        let argument = |verb: &[u8]| line.get(verb.len()..).unwrap_or_default().trim_ascii();
        if starts_with_word(line, b"EHLO ")
            || starts_with_word(line, b"HELO ")
            || starts_with_word(line, b"LHLO ")
        {
            self.helo.clear();
            self.helo.text("helo", argument(b"EHLO "));
        } else if starts_with_word(line, b"MAIL FROM:") {
            self.forget();
            self.has_sender = true;
            self.sender.text("mail_from", path(argument(b"MAIL FROM:")));
        } else if starts_with_word(line, b"RCPT TO:") {
            if self.recipients < RECIPIENTS_MAX {
                self.to.text("", path(argument(b"RCPT TO:")));
                self.recipients += 1;
            }
        } else if starts_with_word(line, b"DATA") {
            self.state = State::Headers;
            self.awaits_go = true;
        } else if starts_with_word(line, b"AUTH ") {
            if starts_with_word(argument(b"AUTH "), b"PLAIN")
                || starts_with_word(argument(b"AUTH "), b"LOGIN")
            {
                cx.risk(
                    Risk::ClearTextCredentials,
                    format_args!("smtp {}", Shown(line.get(..10).unwrap_or(line))),
                );
            }
            self.awaits_login = true;
        } else if starts_with_word(line, b"STARTTLS") {
            self.awaits_tls = true;
        } else if starts_with_word(line, b"RSET") && self.has_sender {
            self.tell(way, cx);
        }
    }

    /// A header begins, or goes on where its line begins with a blank (RFC 5322 2.2.3).
    fn header(&mut self, line: &[u8]) {
        if let [b' ' | b'\t', rest @ ..] = line {
            if !self.header.is_empty() && self.header.len() + rest.len() < HEADER_BYTES_MAX {
                self.header.push(b' ');
                self.header.extend_from_slice(rest.trim_ascii());
            }
            return;
        }
        self.keep_header();
        if KEPT.iter().any(|(name, _)| starts_with_word(line, name)) {
            self.header.extend_from_slice(line.get(..HEADER_BYTES_MAX).unwrap_or(line));
        }
    }

    fn keep_header(&mut self) {
        if let Some((name, key)) = KEPT.iter().find(|(name, _)| starts_with_word(&self.header, name)) {
            let value = self.header.get(name.len()..).unwrap_or_default().trim_ascii();
            if matches!(*key, "to" | "cc") {
                self.email.list(key, |list| {
                    for one in value.split(|byte| *byte == b',').take(RECIPIENTS_MAX as usize) {
                        list.text("", one.trim_ascii());
                    }
                });
            } else {
                self.email.text(key, value);
            }
        }
        self.header.clear();
    }

    fn client(&mut self, way: Direction, line: &[u8], cx: &mut Context<'_>) {
        match self.state {
            State::Commands => self.command(way, line, cx),
            _ if line == b"." => {
                self.keep_header();
                self.state = State::Commands;
                self.tell(way, cx);
            }
            State::Headers if line.is_empty() => {
                self.keep_header();
                self.state = State::Body;
            }
            State::Headers => self.header(line),
            State::Body => {}
        }
    }

    /// An answer; whether nothing that follows can be read.
    fn server(&mut self, line: &[u8], cx: &mut Context<'_>) -> bool {
        let code = line.get(..3).unwrap_or_default();
        let is_last = line.get(3) != Some(&b'-');
        let is_refused = matches!(code.first(), Some(b'4' | b'5'));
        if !self.has_host && code == b"220" {
            self.has_host = true;
            let host =
                line.get(4..).unwrap_or_default().split(|byte| *byte == b' ').next().unwrap_or_default();
            if host.contains(&b'.') {
                cx.host(HostKind::Other, host);
            }
        }
        if !is_last {
            return false;
        }
        if self.awaits_tls {
            self.awaits_tls = false;
            return code == b"220";
        }
        if self.awaits_login && code != b"334" {
            self.awaits_login = false;
            if code == b"535" {
                cx.risk(Risk::FailedLogin, format_args!("smtp {}", Shown(line)));
            }
        }
        if self.awaits_go && (code == b"354" || is_refused) {
            self.awaits_go = false;
            if is_refused && self.state == State::Headers {
                self.state = State::Commands;
            }
        }
        false
    }
}

/// Headers that are told, and how they are called in EVE.
const KEPT: &[(&[u8], &str)] = &[
    (b"From:", "from"),
    (b"To:", "to"),
    (b"Cc:", "cc"),
    (b"Subject:", "subject"),
    (b"Date:", "date"),
    (b"Message-ID:", "message_id"),
    (b"User-Agent:", "x_mailer"),
    (b"X-Mailer:", "x_mailer"),
];

/// A path without the parameters behind it (RFC 5321 4.1.2).
fn path(argument: &[u8]) -> &[u8] {
    match argument.iter().position(|byte| *byte == b'>') {
        Some(end) => &argument[..=end],
        None => argument.split(|byte| *byte == b' ').next().unwrap_or_default(),
    }
}

impl Parser for Reader {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        if let Some(inner) = &mut self.inner {
            return match inner.data(way, bytes, cx) {
                // The flow began as SMTP whatever came then.
                Step::NotMine => Step::Done,
                step => step,
            };
        }
        // A flow seen from its middle may have been taken the wrong way round.
        let is_turned = PORTS.contains(&cx.flow.initiator.1) && !PORTS.contains(&cx.server_port());
        let is_client = (way == Direction::Forward) != is_turned;
        let mut used = 0;
        // BDAT hands over bytes without lines of their own (RFC 3030 2).
        while let Some(rest) = bytes.get(used..).filter(|rest| !rest.is_empty()) {
            let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
                if rest.len() > LINE_BYTES_MAX {
                    if self.state == State::Commands {
                        cx.anomaly("max_command_line_len_exceeded");
                    }
                    used += rest.len();
                }
                break;
            };
            used += end + 1;
            let line = &rest[..end];
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if !is_client {
                if self.server(line, cx) {
                    self.tell(way, cx);
                    cx.notes.set_protocol(&SMTPS, 95);
                    self.inner = Some(tls::parser());
                    return Step::Consumed(used);
                }
                continue;
            }
            if self.state == State::Commands && starts_with_word(line, b"BDAT ") {
                let mut words = line.split(|byte| *byte == b' ').skip(1);
                let size = words.next().and_then(|size| std::str::from_utf8(size).ok()?.parse::<u32>().ok());
                let Some(size) = size else {
                    cx.anomaly("invalid_bdat");
                    continue;
                };
                let chunk = bytes.get(used..).unwrap_or_default();
                let chunk = chunk.get(..size as usize).unwrap_or(chunk);
                for line in chunk.split(|byte| *byte == b'\n').take(256) {
                    let line = line.strip_suffix(b"\r").unwrap_or(line);
                    if line.is_empty() {
                        break;
                    }
                    self.header(line);
                }
                self.keep_header();
                if words.next().is_some_and(|word| word.eq_ignore_ascii_case(b"LAST")) {
                    self.tell(way, cx);
                }
                return Step::Consumed(used + size as usize);
            }
            self.client(way, line, cx);
        }
        Step::Consumed(used)
    }

    fn gap(&mut self, way: Direction, len: u64, cx: &mut Context<'_>) -> Step {
        if let Some(inner) = &mut self.inner {
            return inner.gap(way, len, cx);
        }
        // Lines find themselves again; what a body lost does not matter.
        Step::Consumed(0)
    }

    fn end(&mut self, cx: &mut Context<'_>) {
        if self.has_sender {
            self.tell(Direction::Forward, cx);
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

    fn peek(bytes: &[u8], port: u16) -> Peek<'_> {
        Peek { way: Direction::Reverse, ..crate::dpi::protocol::samples::peek(bytes, port, true) }
    }

    #[test]
    fn greetings_are_recognised_and_those_of_ftp_are_not() {
        for (line, port, expected) in [
            (&b"220 mx.example.org ESMTP ready\r\n"[..], 2_000, Match::Yes(88)),
            (b"220 mx.example.org\r\n", 25, Match::Yes(90)),
            (b"220 FTP server ready\r\n", 25, Match::No),
            (b"220 ready\r\n", 21, Match::No),
            (b"ehlo pc.example.org\r\n", 2_000, Match::Yes(92)),
            (b"EHL", 2_000, Match::More),
            (b"HTTP/1.1 200 OK\r\n", 80, Match::No),
        ] {
            assert_eq!(look(&peek(line, port)), expected, "{line:?}");
        }
    }

    #[test]
    fn headers_are_unfolded() {
        let mut reader = Reader::default();
        for line in
            [&b"Subject: one"[..], b"\ttwo", b"To: a@example.org, b@example.org", b"X-Other: x", b" y"]
        {
            reader.header(line);
        }
        reader.keep_header();
        let texts: Vec<_> = reader
            .email
            .iter()
            .filter_map(|(_, value)| match value {
                crate::dpi::fields::Value::Text(text) => Some(text),
                _ => None,
            })
            .collect();
        assert_eq!(texts, [&b"one two"[..], b"a@example.org", b"b@example.org"]);
        assert_eq!(path(b"<a@example.org> SIZE=3"), b"<a@example.org>");
    }
}
