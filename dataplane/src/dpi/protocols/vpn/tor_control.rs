//! Who steers a Tor daemon? The control port's commands (spec.torproject.org/control-spec), told as `tor_control` with the
//! status of their replies.
//!
//! Passwords, cookies, keys and settings cross it: words behind a command are told only where they can hold none, and of
//! replies no more than the status, an error's text, and what `PROTOCOLINFO` says of the daemon.

use crate::dpi::text::{find, starts_with_word};
use crate::dpi::{Category, Context, Fields, First, Kept, Match, Parser, Peek, Probe, Protocol, Step};
use crate::flow::Direction;

/// The control port of Tor.
pub(super) static TOR_CONTROL: Protocol = Protocol {
    name: "tor_control",
    eve: None,
    category: Category::Vpn,
    probes: &[Probe::tcp(First::Of(b"PpAa2"), look)],
    parser: Some(|| Box::<Control>::default()),
};

/// Commands of a flow that are told.
const COMMANDS_MAX: u8 = 32;

/// Commands that wait for their replies, which come in order.
const PENDING_MAX: usize = 8;

/// Bytes of a text that are told.
const TEXT_BYTES_MAX: usize = 256;

/// A line that has no end after this many bytes is none.
const LINE_BYTES_MAX: usize = 8_192;

/// Commands whose words are told (control-spec 3).
const OPEN: [&[u8]; 14] = [
    b"PROTOCOLINFO",
    b"GETINFO",
    b"GETCONF",
    b"SETEVENTS",
    b"SIGNAL",
    b"MAPADDRESS",
    b"RESOLVE",
    b"EXTENDCIRCUIT",
    b"ATTACHSTREAM",
    b"REDIRECTSTREAM",
    b"CLOSESTREAM",
    b"CLOSECIRCUIT",
    b"USEFEATURE",
    b"HSFETCH",
];

/// Nobody may send another command before it is known to the daemon.
fn look(peek: &Peek<'_>) -> Match {
    const OPENINGS: [&[u8]; 4] =
        [b"PROTOCOLINFO", b"AUTHCHALLENGE SAFECOOKIE ", b"AUTHENTICATE", b"250-PROTOCOLINFO 1\r\n"];
    let Some(at) = OPENINGS.iter().position(|opening| starts_with_word(peek.bytes, opening)) else {
        let may_be = |opening: &&[u8]| starts_with_word(opening, peek.bytes);
        return if OPENINGS.iter().any(may_be) { Match::More } else { Match::No };
    };
    let rest = peek.bytes.get(OPENINGS[at].len()..).unwrap_or_default();
    match at {
        0 if rest.is_empty() => Match::More,
        0 => Match::of(matches!(rest[0], b'\r' | b'\n' | b' '), 95),
        1 | 3 => Match::Yes(97),
        _ => {
            // IRC and ManageSieve have the word too: behind it, or before it, they have others.
            let Some(end) = find(rest, b"\n") else {
                return if rest.len() < 128 { Match::More } else { Match::No };
            };
            let word = rest[..end].trim_ascii();
            let is_secret = word.iter().all(u8::is_ascii_hexdigit)
                || word.len() >= 2 && word.starts_with(b"\"") && word.ends_with(b"\"");
            let is_answer = peek.other.is_empty() || matches!(peek.other, [b'2' | b'5', b'0'..=b'9', ..]);
            Match::of(is_secret && is_answer, 92)
        }
    }
}

/// Reads one connection.
#[derive(Default)]
struct Control {
    /// Commands that wait, the oldest at `oldest`.
    pending: [Kept; PENDING_MAX],
    oldest: usize,
    waiting: usize,
    /// Whether a direction sends lines up to one with a dot.
    is_data: [bool; 2],
    methods: Kept,
    version: Kept,
    told: u8,
}

impl Parser for Control {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        let mut used = 0;
        while let Some(rest) = bytes.get(used..).filter(|rest| !rest.is_empty()) {
            let Some(end) = rest.iter().take(LINE_BYTES_MAX).position(|byte| *byte == b'\n') else {
                if rest.len() < LINE_BYTES_MAX {
                    break;
                }
                cx.anomaly("line_too_long");
                return Step::Done;
            };
            used += end + 1;
            let line = &rest[..end];
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let is_read = match way {
                _ if self.is_data[way as usize] => {
                    self.is_data[way as usize] = line != b".";
                    true
                }
                Direction::Forward => self.command(line, cx),
                Direction::Reverse => self.reply(line, cx),
            };
            if !is_read {
                cx.anomaly("malformed_message");
                return Step::Done;
            }
            if self.told >= COMMANDS_MAX {
                return Step::Done;
            }
        }
        Step::Consumed(used)
    }

    fn end(&mut self, cx: &mut Context<'_>) {
        while self.waiting > 0 {
            self.tell(Direction::Forward, None, cx);
        }
    }

    fn start_over(&mut self) -> bool {
        *self = Self::default();
        true
    }
}

impl Control {
    /// A line of the client; whether it is one.
    fn command(&mut self, line: &[u8], cx: &mut Context<'_>) -> bool {
        // A plus sign: lines of data follow.
        let (line, has_data) = line.strip_prefix(b"+").map_or((line, false), |line| (line, true));
        let word = word_of(line);
        if word.is_empty() || !word.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_') {
            return false;
        }
        self.is_data[Direction::Forward as usize] = has_data;
        if self.waiting == PENDING_MAX {
            self.tell(Direction::Forward, None, cx);
        }
        let shown = if is_open(word) { line } else { word };
        let place = (self.oldest + self.waiting) % PENDING_MAX;
        self.pending[place] = Kept::of(cut(shown));
        self.waiting += 1;
        true
    }

    /// A line of the daemon: a status, and whether more follows; whether it is one.
    fn reply(&mut self, line: &[u8], cx: &mut Context<'_>) -> bool {
        let [a @ b'1'..=b'6', b @ b'0'..=b'9', c @ b'0'..=b'9', rest @ ..] = line else { return false };
        let status = u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0');
        let (mark, text) = rest.split_first().map_or((b' ', rest), |(mark, text)| (*mark, text));
        match mark {
            b'+' => self.is_data[Direction::Reverse as usize] = true,
            b'-' => self.learn(text),
            // 650: an event, which answers nothing (control-spec 2.3).
            b' ' if status != 650 && self.waiting > 0 => {
                self.tell(Direction::Reverse, Some((status, text)), cx);
            }
            b' ' => {}
            _ => return false,
        }
        true
    }

    /// A line of the reply to `PROTOCOLINFO` (control-spec 3.21).
    fn learn(&mut self, text: &[u8]) {
        if self.waiting == 0 || !starts_with_word(&self.pending[self.oldest], b"PROTOCOLINFO") {
            return;
        }
        if let Some(methods) = text.strip_prefix(b"AUTH METHODS=") {
            self.methods = Kept::of(cut(word_of(methods)));
        } else if let Some(version) = text.strip_prefix(b"VERSION Tor=\"") {
            let len = version.iter().position(|byte| *byte == b'"').unwrap_or(version.len());
            self.version = Kept::of(cut(&version[..len]));
        }
    }

    /// Tells of the oldest command that waits.
    fn tell(&mut self, way: Direction, reply: Option<(u16, &[u8])>, cx: &mut Context<'_>) {
        let command = std::mem::take(&mut self.pending[self.oldest]);
        self.oldest = (self.oldest + 1) % PENDING_MAX;
        self.waiting -= 1;
        let (methods, version) = (std::mem::take(&mut self.methods), std::mem::take(&mut self.version));
        if self.told >= COMMANDS_MAX {
            return;
        }
        self.told += 1;
        cx.tell_with("tor_control", way, |fields| {
            write(fields, &command, reply);
            for (key, text) in [("auth_methods", methods), ("version", version)] {
                if !text.is_empty() {
                    fields.text(key, &*text);
                }
            }
        });
    }
}

fn write(fields: &mut Fields, command: &[u8], reply: Option<(u16, &[u8])>) {
    let word = word_of(command);
    fields.text("command", word);
    let arguments = command.get(word.len()..).unwrap_or_default().trim_ascii();
    if !arguments.is_empty() {
        fields.text("arguments", arguments);
    }
    let Some((status, text)) = reply else { return };
    fields.number("status", status);
    // What is refused may be repeated in the reply.
    if status >= 400 && is_open(word) {
        fields.text("error", cut(text));
    }
}

/// What stands before the first blank.
fn word_of(line: &[u8]) -> &[u8] {
    line.split(|byte| *byte == b' ').next().unwrap_or_default()
}

fn is_open(word: &[u8]) -> bool {
    OPEN.iter().any(|open| word.eq_ignore_ascii_case(open))
}

fn cut(text: &[u8]) -> &[u8] {
    text.get(..TEXT_BYTES_MAX).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpi::feed::samples::told;
    use crate::dpi::protocol::samples::{confidence, stream};
    use Direction::{Forward, Reverse};

    #[test]
    fn commands_are_told_and_secrets_are_not() {
        let secret = "cafe5ec2e7";
        let exchange = [
            (Forward, "PROTOCOLINFO 1\r\n".to_owned()),
            (
                Reverse,
                "250-PROTOCOLINFO 1\r\n250-AUTH METHODS=COOKIE,SAFECOOKIE COOKIEFILE=\"/run/tor/cookie\"\r\n\
                 250-VERSION Tor=\"0.4.8.9\"\r\n250 OK\r\n"
                    .to_owned(),
            ),
            (
                Forward,
                format!("AUTHENTICATE {secret}\r\ngetinfo version\r\n+LOADCONF\r\nGETINFO {secret}\r\n"),
            ),
            (Forward, format!(".\r\nADD_ONION ED25519-V3:{secret} Port=80\r\nGETCONF ControlPort\r\n")),
            (Reverse, "250 OK\r\n250+version=\r\n250 x\r\n.\r\n650 BW 1 2\r\n250 OK\r\n".to_owned()),
            (Reverse, format!("513 Unacceptable {secret}\r\n250-PrivateKey={secret}\r\n250 OK\r\n")),
            (Reverse, format!("250 ControlPort={secret}\r\n")),
            (Forward, "SIGNAL NONE\r\nQUIT\r\n".to_owned()),
            (Reverse, "552 Unrecognized signal code\r\n".to_owned()),
        ];
        let expected = [
            "tor_control command=PROTOCOLINFO arguments=1 status=250 auth_methods=COOKIE,SAFECOOKIE \
             version=0.4.8.9",
            "tor_control command=AUTHENTICATE status=250",
            "tor_control command=getinfo arguments=version status=250",
            "tor_control command=LOADCONF status=513",
            "tor_control command=ADD_ONION status=250",
            "tor_control command=GETCONF arguments=ControlPort status=250",
            "tor_control command=SIGNAL arguments=NONE status=552 error=Unrecognized signal code",
            "tor_control command=QUIT",
        ];
        let whole = exchange.clone().map(|(way, text)| (way, text.into_bytes()));
        assert_eq!(told(&TOR_CONTROL, &whole), expected);
        let bytes =
            |(way, text): (Direction, String)| text.into_bytes().into_iter().map(move |b| (way, vec![b]));
        assert_eq!(told(&TOR_CONTROL, &exchange.into_iter().flat_map(bytes).collect::<Vec<_>>()), expected);
    }

    #[test]
    fn what_is_no_line_has_a_name_and_all_of_it_a_limit() {
        let cases = [
            ("malformed_message", Forward, b"\x16\x03\x01\n".to_vec()),
            ("malformed_message", Reverse, b"OK\r\n".to_vec()),
            ("line_too_long", Forward, vec![b'a'; LINE_BYTES_MAX]),
        ];
        for (event, way, bytes) in cases {
            let records = told(&TOR_CONTROL, &[(way, bytes)]);
            assert!(records.len() == 1 && records[0].contains(event), "{event}: {records:?}");
        }
        let many = [(Forward, b"GETINFO version\r\n".repeat(100))];
        assert_eq!(told(&TOR_CONTROL, &many).len(), usize::from(COMMANDS_MAX));
    }

    #[test]
    fn others_that_authenticate_are_others() {
        let sure = |text: &[u8]| confidence(&TOR_CONTROL, &stream(text));
        assert_eq!(sure(b"PROTOCOLINFO\r\n"), 95);
        assert_eq!(sure(b"AUTHENTICATE cafe\r\n"), 92);
        assert_eq!(sure(b"authenticate\r\n"), 92);
        assert_eq!(sure(b"AUTHCHALLENGE SAFECOOKIE 00\r\n"), 97);
        assert_eq!(sure(b"250-PROTOCOLINFO 1\r\n250"), 97);
        // IRC, ManageSieve, IMAP.
        assert_eq!(sure(b"AUTHENTICATE PLAIN\r\n"), 0);
        let sieve = Peek { other: b"\"IMPLEMENTATION\" \"x\"", ..stream(b"AUTHENTICATE \"PLAIN\"\r\n") };
        assert_eq!(confidence(&TOR_CONTROL, &sieve), 0);
        assert_eq!(sure(b"a1 AUTHENTICATE PLAIN\r\n"), 0);
        assert_eq!(look(&stream(b"AUTHENT")), Match::More);
    }
}
