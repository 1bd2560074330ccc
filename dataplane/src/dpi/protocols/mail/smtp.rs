//! Who sends mail to whom? SMTP (RFC 5321) and LMTP (RFC 2033), and the headers of the messages (RFC 5322).
//!
//! A record a message, as Suricata's EVE `smtp`; what is in the message stands in the object `email`, which
//! `message.rs` makes.

use super::message::Mail;
use crate::dpi::protocols::web::inside::Inside;
use crate::dpi::text::{decimal, has_word, starts_with_word};
use crate::dpi::{
    Category, Context, Fields, First, HostKind, Match, Over, Parser, Peek, Probe, Protocol, Risk, Shown, Step,
};
use crate::flow::Direction;
use crate::rules::language::frames::frame;
use crate::rules::rule::FrameId;

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

/// What lines are to rules.
const COMMAND_LINE: FrameId = frame("smtp", "command_line");
const RESPONSE_LINE: FrameId = frame("smtp", "response_line");
const DATA: FrameId = frame("smtp", "data");

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Commands,
    /// A message goes by, up to its dot.
    Message,
    /// Bytes of one that have no lines of their own; whether they are its last ones (RFC 3030 2).
    Chunk { left: usize, is_last: bool },
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
    mail: Option<Box<Mail>>,
    /// What is read next goes on with a line that was begun.
    is_in_line: bool,
    has_host: bool,
    /// A line that the end of a chunk cut.
    partial: Vec<u8>,
}

impl Reader {
    /// `is_whole` where the end of a message came.
    fn tell(&mut self, way: Direction, is_whole: bool, cx: &mut Context<'_>) {
        let mail = self.mail.take();
        if self.has_sender || !self.helo.is_empty() || mail.is_some() {
            let mut fields = self.envelope();
            let transaction = match mail {
                Some(mut mail) => {
                    let email = mail.end(is_whole, &|| self.envelope(), cx);
                    if !email.is_empty() {
                        // Beside the object, as the event's own.
                        fields.object("/email", |object| {
                            object.text("status", "PARSE_DONE");
                            object.append(&email);
                        });
                    }
                    mail.transaction()
                }
                None => cx.begin_transaction(),
            };
            cx.tell_of(transaction, "smtp", way, &fields);
        }
        self.forget();
    }

    /// What goes before a message.
    fn envelope(&self) -> Fields {
        let mut fields = Fields::new();
        fields.append(&self.helo);
        fields.append(&self.sender);
        if self.recipients > 0 {
            fields.list("rcpt_to", |list| list.append(&self.to));
        }
        fields
    }

    fn forget(&mut self) {
        self.has_sender = false;
        self.recipients = 0;
        self.sender.clear();
        self.to.clear();
        self.partial.clear();
        self.mail = None;
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
            self.state = State::Message;
            self.is_in_line = false;
            self.mail = Some(Box::new(Mail::begin(way, cx)));
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
            self.tell(way, false, cx);
        }
    }

    /// A line of a message, or a piece of one.
    fn message(&mut self, way: Direction, line: &[u8], ending: &'static [u8], cx: &mut Context<'_>) {
        let is_begun = std::mem::replace(&mut self.is_in_line, ending.is_empty());
        let line = match line {
            b"." if !is_begun && !ending.is_empty() && self.state == State::Message => {
                self.state = State::Commands;
                self.tell(way, true, cx);
                return;
            }
            // RFC 5321 4.5.2: a dot was put before a line that begins with one.
            [b'.', rest @ ..] if !is_begun && self.state == State::Message => rest,
            line => line,
        };
        if let Some(mut mail) = self.mail.take() {
            mail.line(line, ending, &|| self.envelope(), cx);
            self.mail = Some(mail);
        }
    }

    /// Bytes that come without lines of their own.
    fn chunk(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> usize {
        let State::Chunk { left, is_last } = self.state else { return 0 };
        let bytes = bytes.get(..left).unwrap_or(bytes);
        let mut used = 0;
        if !self.partial.is_empty()
            && let Some(end) = memchr::memchr(b'\n', bytes)
        {
            let mut line = std::mem::take(&mut self.partial);
            line.extend_from_slice(&bytes[..end]);
            let (line, ending) = line_of(&line);
            self.message(way, line, ending, cx);
            used = end + 1;
        }
        while let Some(rest) = bytes.get(used..).filter(|rest| !rest.is_empty()) {
            match memchr::memchr(b'\n', rest) {
                Some(end) => {
                    let (line, ending) = line_of(&rest[..end]);
                    self.message(way, line, ending, cx);
                    used += end + 1;
                }
                // What was announced is over: the line goes on with the next chunk.
                None if rest.len() > LINE_BYTES_MAX || used + rest.len() == left => {
                    self.partial.extend_from_slice(rest);
                    if self.partial.len() > LINE_BYTES_MAX {
                        let piece = std::mem::take(&mut self.partial);
                        self.message(way, &piece, b"", cx);
                    }
                    used += rest.len();
                }
                None => break,
            }
        }
        self.state = State::Chunk { left: left - used, is_last };
        if used == left {
            self.state = State::Commands;
            if is_last {
                self.end_line(way, cx);
                self.tell(way, true, cx);
            }
        }
        used
    }

    /// The last line of a message may have no end.
    fn end_line(&mut self, way: Direction, cx: &mut Context<'_>) {
        let line = std::mem::take(&mut self.partial);
        if !line.is_empty() {
            self.message(way, &line, b"", cx);
        }
    }

    /// `BDAT size [LAST]`.
    fn announced(&mut self, way: Direction, line: &[u8], cx: &mut Context<'_>) {
        let mut words = line.split(|byte| *byte == b' ').skip(1);
        let size = words.next().and_then(decimal).and_then(|size| usize::try_from(size).ok());
        let Some(left) = size else {
            cx.anomaly("invalid_bdat");
            return;
        };
        let is_last = words.next().is_some_and(|word| word.eq_ignore_ascii_case(b"LAST"));
        if self.mail.is_none() {
            self.is_in_line = false;
            self.mail = Some(Box::new(Mail::begin(way, cx)));
        }
        if left > 0 {
            self.state = State::Chunk { left, is_last };
        } else if is_last {
            self.end_line(way, cx);
            self.tell(way, true, cx);
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
            if code != b"220" {
                cx.anomaly("tls_rejected");
            }
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
            if is_refused && self.state == State::Message {
                cx.anomaly("data_command_rejected");
                self.state = State::Commands;
                self.mail = None;
            }
        }
        false
    }
}

/// A line without its end, and that.
fn line_of(line: &[u8]) -> (&[u8], &'static [u8]) {
    match line {
        [line @ .., b'\r'] => (line, b"\r\n"),
        line => (line, b"\n"),
    }
}

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
        while let Some(rest) = bytes.get(used..).filter(|rest| !rest.is_empty()) {
            if is_client && matches!(self.state, State::Chunk { .. }) {
                match self.chunk(way, rest, cx) {
                    0 => break,
                    read => used += read,
                }
                continue;
            }
            let is_message = is_client && self.state == State::Message;
            let Some(end) = memchr::memchr(b'\n', rest) else {
                if rest.len() > LINE_BYTES_MAX {
                    if is_message {
                        // Its end may have been cut.
                        let piece = rest.strip_suffix(b"\r").unwrap_or(rest);
                        self.message(way, piece, b"", cx);
                        used += piece.len();
                        break;
                    }
                    if self.state == State::Commands {
                        cx.anomaly("max_command_line_len_exceeded");
                    }
                    used += rest.len();
                }
                break;
            };
            used += end + 1;
            let (line, ending) = line_of(&rest[..end]);
            if !is_client {
                cx.rules.frame(way, RESPONSE_LINE, line);
                if self.server(line, cx) {
                    self.tell(way, false, cx);
                    cx.notes.set_protocol(&SMTPS, 95);
                    self.inner = Some(Box::new(Inside::after_starttls()));
                }
            } else if is_message {
                if line == b"." {
                    cx.rules.end_frame(way, DATA, rest.len());
                }
                self.message(way, line, ending, cx);
            } else {
                cx.rules.frame(way, COMMAND_LINE, line);
                if starts_with_word(line, b"BDAT ") {
                    self.announced(way, line, cx);
                } else {
                    self.command(way, line, cx);
                }
                let rest = bytes.get(used..).unwrap_or_default();
                match self.state {
                    State::Commands => {}
                    State::Message => cx.rules.frame_of(way, DATA, rest, None),
                    State::Chunk { left, .. } => cx.rules.frame_of(way, DATA, rest, Some(left as u64)),
                }
            }
        }
        // What a server sends in one breath with its consent is no TLS, which the client begins.
        Step::Consumed(if self.inner.is_some() { bytes.len() } else { used })
    }

    fn gap(&mut self, way: Direction, len: u64, cx: &mut Context<'_>) -> Step {
        if let Some(inner) = &mut self.inner {
            return inner.gap(way, len, cx);
        }
        // Lines find themselves again.
        self.partial.clear();
        if let Some(mail) = &mut self.mail {
            mail.lose();
            self.is_in_line = self.state != State::Commands;
        }
        if let State::Chunk { left, is_last } = self.state {
            self.state = match left.checked_sub(usize::try_from(len).unwrap_or(usize::MAX)) {
                None | Some(0) => State::Commands,
                Some(left) => State::Chunk { left, is_last },
            };
        }
        Step::Consumed(0)
    }

    fn end(&mut self, cx: &mut Context<'_>) {
        if self.has_sender || self.mail.is_some() {
            self.tell(Direction::Forward, false, cx);
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

    /// Records of a client's bytes in pieces of `step`, behind a server's greeting.
    fn told(client: &[u8], step: usize) -> Vec<String> {
        let mut payloads = vec![(Direction::Reverse, &b"220 mx.example.org ESMTP\r\n"[..])];
        payloads.extend(client.chunks(step).map(|piece| (Direction::Forward, piece)));
        crate::dpi::feed::samples::records_of(&SMTP, &payloads)
    }

    const ENVELOPE: &str = "EHLO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n";
    const MESSAGE: &str = "Subject: one\r\n two\r\nReceived: by x\r\nTo: c@d, e@f\r\n\
        Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nsee http://x.example/y now\r\n--b\r\n\
        Content-Disposition: attachment; filename=f.txt\r\n\r\n";

    #[test]
    fn a_message_is_told_with_its_attachments_however_it_is_cut() {
        let message = format!("{ENVELOPE}DATA\r\n{MESSAGE}..dot\r\n--b--\r\n.\r\nQUIT\r\n");
        let expected = "smtp helo=a mail_from=<a@b> rcpt_to=[<c@d>] /email={status=PARSE_DONE subject=one two \
            to=[c@d e@f] attachment=[f.txt] url=[x.example/y] received=[by x]}";
        for step in [1, 7, 100, 10_000] {
            let told = told(message.as_bytes(), step);
            assert!(
                told[0].starts_with("fileinfo filename=f.txt gaps=false state=CLOSED stored=false size=4 ")
            );
            assert_eq!(told[1], expected, "in pieces of {step}");
        }
    }

    #[test]
    fn chunks_are_one_message_wherever_they_are_cut() {
        let message = format!("{MESSAGE}.dot\r\n--b--\r\n");
        let whole = told(format!("{ENVELOPE}BDAT {} LAST\r\n{message}", message.len()).as_bytes(), 10_000);
        assert!(whole[0].contains("attachment=[f.txt]"), "{whole:?}");
        for cut in 1..message.len() {
            let (one, two) = message.split_at(cut);
            let chunks = format!("{ENVELOPE}BDAT {cut}\r\n{one}BDAT {}\r\n{two}BDAT 0 LAST\r\n", two.len());
            assert_eq!(told(chunks.as_bytes(), 50), whole, "cut at {cut}");
        }
        assert!(told(b"BDAT x\r\n", 100)[0].contains("invalid_bdat"));
    }

    #[test]
    fn lines_without_end_are_read_in_pieces() {
        let line = "x".repeat(100_000);
        let message = format!("{ENVELOPE}DATA\r\n{MESSAGE}{line}\r\n.\r\n");
        let told = told(message.as_bytes(), 1_460);
        assert_eq!(told.iter().filter(|record| record.contains("mime_long_line")).count(), 1, "{told:?}");
        assert!(told.iter().any(|record| record.contains("attachment=[f.txt]")), "{told:?}");
    }

    #[test]
    fn paths_stand_without_parameters() {
        assert_eq!(path(b"<a@example.org> SIZE=3"), b"<a@example.org>");
        assert_eq!(line_of(b"a\r"), (&b"a"[..], &b"\r\n"[..]));
    }
}
