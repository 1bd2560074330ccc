//! FTP: which commands does a client give, what is answered, and where does the data go? (RFC 959, 2428, 4217)
//!
//! Commands and replies are lines of text; one record a command, as Suricata's `ftp`. The connection of the data is
//! announced by PORT, PASV, EPRT and EPSV, and expected from then on.

use std::collections::VecDeque;

use super::ftp_data::{COMMANDS, Data};
use crate::dpi::parser::{Context, Parser, Step};
use crate::dpi::protocols;
use crate::dpi::text::{decimal, has_word, starts_with_word};
use crate::dpi::{Category, Fields, First, Kept, Match, Over, Peek, Probe, Protocol, Risk};
use crate::flow::Direction;
use crate::host::Transfer;
use crate::parse::Addr;

/// FTP's control connection.
pub static FTP: Protocol = Protocol {
    name: "ftp",
    eve: None,
    category: Category::Download,
    probes: &[
        Probe { over: Over::Tcp, first: First::In(b'1', b'5'), look: look_at_reply },
        Probe { over: Over::Tcp, first: First::In(b'A', b'z'), look: look_at_command },
    ],
    parser: Some(|| Box::<Control>::default()),
};

/// FTP whose control connection went over to TLS: known only from the command that did so.
pub static FTPS: Protocol =
    Protocol { name: "ftps", eve: Some("tls"), category: Category::Download, probes: &[], parser: None };

/// FTP's data connections, announced on the control connection or from port 20.
pub static FTP_DATA: Protocol = Protocol {
    name: "ftp-data",
    eve: None,
    category: Category::Download,
    probes: &[Probe { over: Over::Tcp, first: First::Any, look: look_at_data }],
    parser: None,
};

/// Reads a data connection that was announced; of others it is not known what they carry.
pub fn data_parser() -> Box<dyn Parser> {
    Box::<Data>::default()
}

/// RFC 959 3.2: in active mode the server connects from the port below its own, 20.
const fn look_at_data(peek: &Peek<'_>) -> Match {
    Match::of(peek.ports.0 == 20 || (peek.ports.1 == 20 && peek.ports.0 >= 1024), 50)
}

fn look_at_reply(peek: &Peek<'_>) -> Match {
    let Some((code, rest)) = peek.bytes.split_at_checked(3) else { return Match::More };
    if !code.iter().all(u8::is_ascii_digit) {
        return Match::No;
    }
    let Some(after) = rest.first() else { return Match::More };
    let is_own_port = peek.has_port(21);
    if !matches!(after, b' ' | b'-') {
        return Match::of(is_own_port && matches!(after, b'\r'), 55);
    }
    let line = rest.get(..rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len())).unwrap_or(rest);
    let says = |word: &[u8]| has_word(line, word);
    match code {
        b"220" | b"120" => {
            if says(b"smtp") || says(b"mail") {
                return Match::of(is_own_port, 60);
            }
            if says(b"ftp") {
                return Match::Yes(95);
            }
            if is_own_port {
                return Match::Yes(85);
            }
            if rest.contains(&b'\n') && has_word(rest, b"ftp") { Match::Yes(82) } else { Match::Yes(35) }
        }
        b"227" | b"229" => Match::of(says(b"passive mode"), 95),
        b"331" => Match::of(says(b"password") || says(b"specify") || is_own_port, 85),
        b"230" => Match::of(says(b"log") || is_own_port, if is_own_port { 88 } else { 55 }),
        b"150" | b"125" | b"226" | b"257" | b"215" | b"211" | b"200" | b"250" | b"213" | b"234" | b"350"
        | b"421" | b"425" | b"426" | b"500" | b"501" | b"502" | b"503" | b"530" | b"550" => {
            Match::of(is_own_port, 82)
        }
        _ => Match::No,
    }
}

/// Commands no other protocol of lines has, and those that others share.
const OWN_COMMANDS: &[&[u8]] = &[
    b"FEAT\r\n",
    b"SYST\r\n",
    b"PASV\r\n",
    b"EPSV",
    b"EPRT |",
    b"PORT ",
    b"OPTS ",
    b"AUTH TLS\r\n",
    b"AUTH SSL\r\n",
    b"TYPE ",
    b"RETR ",
    b"STOR ",
    b"CWD ",
    b"PBSZ ",
    b"PROT ",
    b"MLSD",
    b"XPWD\r\n",
    b"MKD ",
    b"CLNT ",
    b"HOST ",
];
const SHARED_COMMANDS: &[&[u8]] =
    &[b"USER ", b"PASS ", b"QUIT\r\n", b"NOOP\r\n", b"PWD\r\n", b"LIST", b"AUTH ", b"HELP"];

fn look_at_command(peek: &Peek<'_>) -> Match {
    let bytes = peek.bytes;
    let is_own_port = peek.to_port() == 21;
    let begins = |words: &[&[u8]]| words.iter().any(|word| starts_with_word(bytes, word));
    if begins(OWN_COMMANDS) {
        // RETR, LIST and the like are POP3's too, TYPE and HOST are words.
        return match (is_own_port, peek.other.starts_with(b"220")) {
            (true, _) => Match::Yes(92),
            (false, true) => Match::Yes(88),
            (false, false) => Match::of(bytes.ends_with(b"\r\n") && !peek.has_port(110), 55),
        };
    }
    if begins(SHARED_COMMANDS) {
        return match (is_own_port, peek.other.starts_with(b"220")) {
            (true, _) => Match::Yes(90),
            (false, true) => Match::Yes(82),
            (false, false) => Match::No,
        };
    }
    if bytes.len() < 5 && !bytes.contains(&b'\n') && is_own_port { Match::More } else { Match::No }
}

/// Commands that may wait for their answers.
const PENDING_MAX: usize = 8;
/// Bytes of a command, and of a line of a reply, that are kept.
const LINE_BYTES_MAX: usize = 512;
/// Lines of a reply that are kept.
const REPLY_LINES_MAX: usize = 24;
/// A line longer than this is skipped rather than waited for.
const WAIT_BYTES_MAX: usize = 4_096;
/// Records of one flow: a mirror of millions of files says the same after these.
const RECORDS_MAX: u32 = 20_000;

#[derive(Default)]
struct Control {
    pending: VecDeque<Command>,
    codes: Fields,
    replies: Fields,
    lines: usize,
    reply_is_cut: bool,
    /// The code of a reply of several lines that has not ended.
    open_code: Option<[u8; 3]>,
    port: Option<u16>,
    told: u32,
    /// Commands without their answer, those that are told already too.
    unanswered: u32,
    /// More commands than may be under way.
    is_flooded: bool,
    user_is_anonymous: bool,
    /// Where the next data connection goes.
    announced: Vec<(Addr, u16)>,
    /// Reads what follows AUTH TLS.
    inner: Option<Box<dyn Parser>>,
    /// Whether a line is skipped, by direction.
    skips: [bool; 2],
}

#[derive(Default)]
struct Command {
    name: Kept,
    data: Kept,
    mode: Option<Mode>,
    port: Option<u16>,
    is_cut: bool,
}

#[derive(Clone, Copy)]
enum Mode {
    Active,
    Passive,
}

impl Mode {
    const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Passive => "passive",
        }
    }
}

impl Parser for Control {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        if let Some(inner) = &mut self.inner {
            return match inner.data(way, bytes, cx) {
                Step::NotMine => Step::Done,
                step => step,
            };
        }
        let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
            if bytes.len() < WAIT_BYTES_MAX {
                return Step::Consumed(0);
            }
            if !self.skips[way as usize] {
                self.line(way, bytes, cx);
            }
            self.skips[way as usize] = true;
            return Step::Consumed(bytes.len());
        };
        let line = bytes.get(..end).unwrap_or_default();
        if !std::mem::take(&mut self.skips[way as usize]) {
            self.line(way, line.strip_suffix(b"\r").unwrap_or(line), cx);
        }
        if self.told >= RECORDS_MAX || self.is_flooded { Step::Done } else { Step::Consumed(end + 1) }
    }

    fn gap(&mut self, way: Direction, _len: u64, _cx: &mut Context<'_>) -> Step {
        if self.inner.is_some() {
            return Step::Done;
        }
        self.skips[way as usize] = true;
        Step::Consumed(0)
    }

    fn end(&mut self, cx: &mut Context<'_>) {
        if let Some(inner) = &mut self.inner {
            inner.end(cx);
        }
        while !self.pending.is_empty() || !self.codes.is_empty() {
            self.tell(cx);
        }
    }

    fn start_over(&mut self) -> bool {
        let mut pending = std::mem::take(&mut self.pending);
        pending.clear();
        *self = Self { pending, ..Self::default() };
        true
    }
}

impl Control {
    fn line(&mut self, way: Direction, line: &[u8], cx: &mut Context<'_>) {
        match way {
            Direction::Forward => self.command(line, cx),
            Direction::Reverse => self.reply(line, cx),
        }
    }

    fn command(&mut self, line: &[u8], cx: &mut Context<'_>) {
        // RFC 959 4.1.3: ABOR and STAT may come after Telnet's interrupt and synch.
        let from = line.iter().position(u8::is_ascii_graphic).unwrap_or(line.len());
        let line = line.get(from..).unwrap_or_default();
        if line.is_empty() {
            return;
        }
        // The one that was answered last counts too: it is looked at until the next packet that way.
        if self.unanswered >= cx.limits.ftp_transactions_max {
            cx.anomaly("too_many_transactions");
            self.is_flooded = true;
            return;
        }
        self.unanswered += 1;
        let is_cut = line.len() > LINE_BYTES_MAX;
        let line = line.get(..LINE_BYTES_MAX).unwrap_or(line);
        let space = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
        let (name, data) = line.split_at_checked(space).unwrap_or((line, &[]));
        let data = data.trim_ascii();
        let mut upper = Kept::of(name);
        upper.make_ascii_uppercase();
        let mut command = Command { name: upper, data: data.into(), is_cut, ..Command::default() };
        if is_cut {
            cx.anomaly("ftp_request_command_too_long");
        }
        match &*command.name {
            b"USER" => {
                self.user_is_anonymous =
                    data.eq_ignore_ascii_case(b"anonymous") || data.eq_ignore_ascii_case(b"ftp");
            }
            b"PASS" if !self.user_is_anonymous => {
                cx.risk(Risk::ClearTextCredentials, format_args!("ftp PASS"))
            }
            b"PORT" => {
                command.mode = Some(Mode::Active);
                if let Some((addr, port)) = six_numbers(data) {
                    command.port = Some(port);
                    self.expect(cx, addr, cx.flow.initiator.0, port);
                }
            }
            b"EPRT" => {
                command.mode = Some(Mode::Active);
                if let Some((addr, port)) = extended(data) {
                    command.port = Some(port);
                    self.expect(cx, addr, cx.flow.initiator.0, port);
                }
            }
            b"PASV" | b"EPSV" => command.mode = Some(Mode::Passive),
            name => {
                if let Some((name, _)) = COMMANDS.iter().find(|(known, _)| known.as_bytes() == name) {
                    for (addr, port) in self.announced.drain(..) {
                        cx.announce(addr, port, Transfer { command: name, name: data.into() });
                    }
                }
            }
        }
        if self.pending.len() >= PENDING_MAX {
            self.tell(cx);
        }
        self.pending.push_back(command);
    }

    fn reply(&mut self, line: &[u8], cx: &mut Context<'_>) {
        let code = line.first_chunk::<3>().copied().filter(|code| code.iter().all(u8::is_ascii_digit));
        let after = line.get(3).copied();
        let (code, text) = match (code, after) {
            (Some(code), None | Some(b' ' | b'-')) => (Some(code), line.get(4..).unwrap_or_default()),
            _ => (None, line),
        };
        if self.lines < REPLY_LINES_MAX {
            if let Some(code) = code {
                self.codes.text("", code);
            }
            self.replies.text("", text.get(..LINE_BYTES_MAX).unwrap_or(text));
        } else {
            self.reply_is_cut = true;
        }
        self.lines += 1;
        // RFC 959 4.2: a reply of several lines ends with its code and a blank.
        let Some(code) = code else {
            // A server without codes: each line answers.
            if self.open_code.is_none() && self.lines >= REPLY_LINES_MAX {
                self.tell(cx);
            }
            return;
        };
        match self.open_code {
            Some(open) if open != code || after == Some(b'-') => return,
            None if after == Some(b'-') => {
                self.open_code = Some(code);
                return;
            }
            _ => self.open_code = None,
        }
        self.answered(code, text, cx);
    }

    fn answered(&mut self, code: [u8; 3], text: &[u8], cx: &mut Context<'_>) {
        let inside = |open: u8, close: u8| {
            let from = text.iter().position(|byte| *byte == open)? + 1;
            let len = text.get(from..)?.iter().position(|byte| *byte == close)?;
            text.get(from..from + len)
        };
        match &code {
            b"227" => {
                // RFC 1123 4.1.2.6: the numbers need not stand in brackets.
                let numbers = inside(b'(', b')')
                    .or_else(|| text.iter().position(u8::is_ascii_digit).and_then(|from| text.get(from..)));
                if let Some((addr, port)) = numbers.and_then(six_numbers) {
                    self.port = Some(port);
                    self.expect(cx, addr, cx.flow.responder.0, port);
                }
            }
            b"229" => {
                let port = inside(b'(', b')').and_then(|inner| {
                    u16::try_from(decimal(inner.get(3..inner.len().checked_sub(1)?)?)?).ok()
                });
                if let Some(port) = port {
                    self.port = Some(port);
                    self.expect(cx, cx.flow.responder.0, cx.flow.responder.0, port);
                }
            }
            b"530" if self.pending.front().is_some_and(|command| &*command.name == b"PASS") => {
                cx.risk(Risk::FailedLogin, format_args!("ftp 530"));
            }
            // RFC 4217 4: the handshake follows at once.
            b"234" if self.pending.front().is_some_and(|command| &*command.name == b"AUTH") => {
                cx.notes.set_protocol(&FTPS, 95);
                self.inner = protocols::by_name("tls").and_then(|tls| tls.parser).map(|make| make());
            }
            _ => {}
        }
        // A preliminary answer: another one follows.
        if code.first() != Some(&b'1') {
            self.unanswered = self.unanswered.saturating_sub(1);
            self.tell(cx);
        }
    }

    /// Whoever announced may sit behind a translator: the connection goes to what was said or to the peer.
    fn expect(&mut self, cx: &mut Context<'_>, said: Addr, peer: Addr, port: u16) {
        self.announced.clear();
        for addr in [Some(said), Some(peer).filter(|peer| *peer != said)].into_iter().flatten() {
            cx.expect(addr, port, &FTP_DATA);
            self.announced.push((addr, port));
        }
    }

    /// Tells of the oldest command, or of a reply nobody asked for.
    fn tell(&mut self, cx: &mut Context<'_>) {
        let command = self.pending.pop_front();
        let port = command.as_ref().and_then(|command| command.port).or(self.port.take());
        let is_answered = !self.codes.is_empty() || !self.replies.is_empty();
        cx.tell_with("ftp", Direction::Forward, |ftp| {
            if let Some(command) = &command {
                ftp.text("command", &command.name);
                if !command.data.is_empty() {
                    ftp.text("command_data", &command.data);
                }
                ftp.bool("command_truncated", command.is_cut);
            }
            if !self.codes.is_empty() {
                ftp.list("completion_code", |list| list.append(&self.codes));
            }
            if !self.replies.is_empty() {
                ftp.list("reply", |list| list.append(&self.replies));
            }
            if let Some(port) = port {
                ftp.number("dynamic_port", port);
            }
            ftp.text_if("mode", command.as_ref().and_then(|command| command.mode).map(Mode::name));
            ftp.text("reply_received", if is_answered { "yes" } else { "no" });
            ftp.bool("reply_truncated", self.reply_is_cut);
        });
        self.codes.clear();
        self.replies.clear();
        self.lines = 0;
        self.reply_is_cut = false;
        self.told += 1;
    }
}

/// `h1,h2,h3,h4,p1,p2`.
fn six_numbers(text: &[u8]) -> Option<(Addr, u16)> {
    let mut numbers = [0_u8; 6];
    let mut pieces = text.split(|byte| *byte == b',');
    for number in &mut numbers {
        let piece = pieces.next()?.trim_ascii();
        let len = piece.iter().take_while(|byte| byte.is_ascii_digit()).count();
        *number = u8::try_from(decimal(piece.get(..len)?)?).ok()?;
    }
    let [a, b, c, d, high, low] = numbers;
    Some((Addr::v4([a, b, c, d]), u16::from_be_bytes([high, low])))
}

/// `|2|2001:db8::1|5282|` (RFC 2428 2).
fn extended(text: &[u8]) -> Option<(Addr, u16)> {
    let mut pieces = text.get(1..)?.split(|byte| Some(byte) == text.first());
    let _family = pieces.next()?;
    let addr: std::net::IpAddr = std::str::from_utf8(pieces.next()?).ok()?.parse().ok()?;
    let addr = match addr {
        std::net::IpAddr::V4(addr) => Addr::v4(addr.octets()),
        std::net::IpAddr::V6(addr) => Addr::v6(addr.octets()),
    };
    Some((addr, u16::try_from(decimal(pieces.next()?)?).ok()?))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;

    #[test]
    fn announced_addresses_are_read() {
        assert_eq!(six_numbers(b"192,0,2,1,4,1"), Some((Addr::v4([192, 0, 2, 1]), 1025)));
        assert_eq!(six_numbers(b"192,0,2,1,4"), None);
        assert_eq!(six_numbers(b"192,0,2,256,4,1"), None);
        let (addr, port) = extended(b"|2|2001:db8::1|5282|").unwrap();
        assert_eq!((addr.is_v4(), port), (false, 5282));
        assert_eq!(extended(b"|1|192.0.2.1|99999|"), None);
        assert_eq!(extended(b""), None);
    }

    #[test]
    fn more_commands_than_may_be_under_way_are_an_event() {
        use crate::dpi::feed::samples::alerts_of;
        let rules = [
            "alert ftp any any -> any any (flow:to_server; app-layer-event:ftp.too_many_transactions; sid:1;)",
        ];
        let greeting = (Direction::Reverse, &b"220 FTP\r\n"[..]);
        for (count, answers, told) in [(1_024, 0, vec![]), (1_025, 0, vec![1]), (1_025, 1, vec![])] {
            let (first, answer) = (b"NOOP\r\n".repeat(answers), b"200 ok\r\n".repeat(answers));
            let rest = b"NOOP\r\n".repeat(count - answers);
            let payloads = [
                greeting,
                (Direction::Forward, &first),
                (Direction::Reverse, &answer),
                (Direction::Forward, &rest),
            ];
            let payloads: Vec<_> = payloads.into_iter().filter(|(_, bytes)| !bytes.is_empty()).collect();
            assert_eq!(alerts_of(21, &rules, &payloads), told, "{count} commands, {answers} answered");
        }
    }

    #[test]
    fn greetings_of_mail_are_not_claimed() {
        let peek = |bytes, port| protocols::files::peek_of(bytes, Direction::Reverse, port, true);
        assert_eq!(look_at_reply(&peek(b"220 (vsFTPd 3.0.3)\r\n", 2121)), Match::Yes(95));
        assert!(matches!(look_at_reply(&peek(b"220 mail.example ESMTP Postfix\r\n", 25)), Match::No));
        assert!(matches!(look_at_reply(&peek(b"2.1 text", 21)), Match::No));
        for len in 0..20 {
            let _ = look_at_reply(&peek(&b"220 (vsFTPd 3.0.3)\r\n"[..len], 21));
        }
    }
}
