//! Who logs in over a terminal in clear, from which terminal? Telnet (RFC 854, 855) and what its options tell.
//!
//! Told as `telnet`, one record a flow: after the first login, or when the flow ends. Passwords are never told.

mod options;

use self::options::Options;
use crate::dpi::parser::{Context, Parser, Step};
use crate::dpi::text::{has_word, starts_with_word};
use crate::dpi::{Category, First, Kept, Match, Peek, Probe, Protocol, Risk, Shown};
use crate::flow::Direction;

/// Telnet.
pub static TELNET: Protocol = Protocol {
    name: "telnet",
    eve: None,
    category: Category::RemoteAccess,
    probes: &[
        Probe::tcp(First::Of(&[IAC]), look_at_options),
        Probe::tcp(First::In(0x07, 0x7e), look_at_text),
    ],
    parser: Some(|| Box::<Session>::default()),
};

const IAC: u8 = 255;
const SE: u8 = 240;
const SUBNEGOTIATION: u8 = 250;
const WILL: u8 = 251;
const DONT: u8 = 254;

/// Bytes of both directions after which a session tells nothing new.
const READ_BYTES_MAX: usize = 8_192;

/// Bytes of a subnegotiation; the environment is the longest.
const SUBNEGOTIATION_BYTES_MAX: usize = 2_048;

/// Bytes of a line of the server that are compared.
const LINE_BYTES_MAX: usize = 80;

/// Bytes of a login name.
const USER_BYTES_MAX: usize = 64;

/// RFC 854: IAC, WILL / WONT / DO / DONT, option; RFC 855: IAC SB option ... IAC SE.
fn look_at_options(peek: &Peek<'_>) -> Match {
    let mut count = 0;
    let mut rest = peek.bytes;
    while let [IAC, command, option, after @ ..] = rest {
        // IANA's options go to 49, and 138 to 140 and 255 are in use.
        let is_option = *option < 50 || matches!(option, 138..=140 | 255);
        match *command {
            WILL..=DONT if is_option => rest = after,
            SUBNEGOTIATION if is_option => {
                let end = after.windows(2).position(|pair| pair == [IAC, SE]);
                rest = end.and_then(|end| after.get(end + 2..)).unwrap_or_default();
            }
            _ => return Match::No,
        }
        count += 1;
    }
    match count {
        0 if peek.bytes.len() < 3 => Match::More,
        0 => Match::No,
        1 => Match::Yes(if peek.has_port(23) { 90 } else { 70 }),
        _ => Match::Yes(92),
    }
}

fn look_at_text(peek: &Peek<'_>) -> Match {
    let is_own_port = peek.has_port(23);
    let is_prompt = peek.way == Direction::Reverse
        && [&b"login:"[..], b"username:", b"password:"].iter().any(|word| has_word(peek.bytes, word));
    let is_text = peek.bytes.iter().all(|byte| matches!(*byte, 7..=13 | 27 | 32..=126 | IAC));
    match (is_own_port && is_text, is_prompt) {
        (true, true) => Match::Yes(88),
        (true, false) => Match::Yes(60),
        (false, _) => Match::No,
    }
}

/// What the client types now.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Typing {
    /// Nothing that was asked for.
    #[default]
    Other,
    User,
    Password,
}

/// One session.
#[derive(Default)]
struct Session {
    options: Options,
    /// The line of the server that is not whole yet.
    line: Kept,
    typing: Typing,
    user: Kept,
    is_answered: bool,
    login: Option<bool>,
    read: usize,
    is_told: bool,
}

impl Parser for Session {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        let mut rest = bytes;
        while let Some((first, after)) = rest.split_first() {
            if *first != IAC {
                self.letter(way, *first, cx);
                rest = after;
            } else {
                match self.command(way, after, cx) {
                    Some(len) => rest = after.get(len..).unwrap_or_default(),
                    None => break,
                }
            }
            if self.login.is_some() || self.is_told {
                return self.tell(way, cx);
            }
        }
        if self.is_told {
            return Step::Done;
        }
        if way == Direction::Reverse {
            self.prompted();
            if self.login.is_some() {
                return self.tell(way, cx);
            }
        }
        let len = bytes.len() - rest.len();
        self.read += len;
        if self.read > READ_BYTES_MAX { self.tell(way, cx) } else { Step::Consumed(len) }
    }

    fn end(&mut self, cx: &mut Context<'_>) {
        self.tell(Direction::Forward, cx);
    }

    fn start_over(&mut self) -> bool {
        *self = Self::default();
        true
    }
}

impl Session {
    /// What stands behind an IAC. Returns its bytes; `None`: it is not whole.
    fn command(&mut self, way: Direction, after: &[u8], cx: &mut Context<'_>) -> Option<usize> {
        match after {
            [IAC, ..] => {
                self.letter(way, IAC, cx);
                Some(1)
            }
            [command @ WILL..=DONT, option, ..] => {
                self.options.negotiated(way, *command, *option);
                Some(2)
            }
            [SUBNEGOTIATION, inner @ ..] => {
                let end = end_of(inner);
                if end.unwrap_or(inner.len()) > SUBNEGOTIATION_BYTES_MAX {
                    cx.anomaly("subnegotiation_too_long");
                    self.tell(way, cx);
                    return None;
                }
                let end = end?;
                let is_read = inner.get(..end).is_some_and(|inner| self.options.subnegotiated(way, inner));
                if !is_read {
                    cx.anomaly("malformed_subnegotiation");
                }
                Some(1 + end + 2)
            }
            [SUBNEGOTIATION..=DONT] | [] => None,
            _ => Some(1),
        }
    }

    fn letter(&mut self, way: Direction, letter: u8, cx: &mut Context<'_>) {
        match (way, letter) {
            (Direction::Reverse, b'\n' | b'\r') => {
                self.said();
                self.line.clear();
            }
            (Direction::Reverse, _) => {
                if self.line.len() < LINE_BYTES_MAX && letter != 0 {
                    self.line.extend(&[letter]);
                }
            }
            (Direction::Forward, b'\r' | b'\n') => {
                self.is_answered |= self.typing == Typing::Password;
                self.typing = Typing::Other;
            }
            (Direction::Forward, 0) => {}
            (Direction::Forward, _) => {
                self.asked();
                match self.typing {
                    Typing::User if matches!(letter, 8 | 127) => {
                        self.user.truncate(self.user.len().saturating_sub(1));
                    }
                    Typing::User if self.user.len() < USER_BYTES_MAX && !letter.is_ascii_control() => {
                        self.user.extend(&[letter]);
                    }
                    Typing::Password => {
                        cx.risk(
                            Risk::ClearTextCredentials,
                            format_args!("telnet password prompt answered, user {}", Shown(&self.user)),
                        );
                    }
                    Typing::User | Typing::Other => {}
                }
            }
        }
    }

    /// The client types: what is asked for? What the server echoes does not look like a prompt any more.
    fn asked(&mut self) {
        let line = self.line.trim_ascii();
        if self.typing != Typing::Other || !line.ends_with(b":") {
            return;
        }
        if has_word(line, b"passw") || has_word(line, b"passcode") {
            self.typing = Typing::Password;
        } else if [&b"login:"[..], b"username:", b"user name:", b"user:"].iter().any(|prompt| {
            line.len() >= prompt.len() && starts_with_word(&line[line.len() - prompt.len()..], prompt)
        }) {
            self.typing = Typing::User;
            self.user.clear();
        }
    }

    /// A line of the server: does it say how the login went?
    fn said(&mut self) {
        if !self.is_answered {
            return;
        }
        let has = |words: &[&[u8]]| words.iter().any(|word| has_word(&self.line, word));
        // Who is in is told of refusals before.
        if has(&[b"last login", b"last failed login", b"failed login attempt", b"welcome"]) {
            self.login = Some(true);
        } else if has(&[b"incorrect", b"failed", b"denied", b"invalid"]) {
            self.login = Some(false);
        }
    }

    /// A line that the server does not end: a shell's prompt says that the login went well.
    fn prompted(&mut self) {
        let is_shell = matches!(self.line.trim_ascii().last(), Some(b'$' | b'#' | b'>' | b'%'));
        if self.is_answered && self.login.is_none() && is_shell {
            self.login = Some(true);
        }
    }

    fn tell(&mut self, way: Direction, cx: &mut Context<'_>) -> Step {
        let has_something = !self.options.is_empty() || !self.user.is_empty() || self.is_answered;
        if std::mem::replace(&mut self.is_told, true) || !has_something {
            return Step::Done;
        }
        // The last line may have no end.
        if self.login.is_none() {
            self.said();
        }
        if self.login == Some(false) {
            cx.risk(Risk::FailedLogin, format_args!("telnet login refused"));
        }
        cx.tell_with("telnet", way, |fields| {
            self.options.write(fields);
            if !self.user.is_empty() {
                fields.text("user", &self.user);
            }
            if let Some(is_in) = self.login {
                fields.bool("login_success", is_in);
            }
        });
        Step::Done
    }
}

/// Where IAC SE stands; IAC IAC is a byte of 255.
fn end_of(inner: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        match inner.get(at..at + 2)? {
            [IAC, SE] => return Some(at),
            [IAC, _] => at += 2,
            _ => at += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpi::feed::samples::records_of;
    use crate::dpi::protocols::files::peek_of;
    use crate::flow::Direction::{Forward as C, Reverse as S};

    #[test]
    fn options_are_recognised_and_noise_is_not() {
        let peek = |bytes| peek_of(bytes, Direction::Reverse, 2323, true);
        assert_eq!(look_at_options(&peek(&[IAC, 253, 24, IAC, 253, 32])), Match::Yes(92));
        assert_eq!(look_at_options(&peek(&[IAC, 253])), Match::More);
        assert_eq!(look_at_options(&peek(&[IAC, 216, 255, 224])), Match::No);
        assert_eq!(look_at_options(&peek(&[IAC, 250, 24, 1])), Match::Yes(70));
    }

    const ASKS: &[u8] =
        b"\xff\xfd\x18\xff\xfd\x1f\xff\xfd\x27\xff\xfb\x03\xff\xfa\x18\x01\xff\xf0\xff\xfa\x27\x01\xff\xf0";
    const SAYS: &[u8] = b"\xff\xfb\x18\xff\xfb\x1f\xff\xfb\x27\xff\xfd\x03\xff\xfa\x18\0XTERM\xff\xf0\
        \xff\xfa\x1f\0\xff\xff\0\x18\xff\xf0\xff\xfa\x27\0\0USER\x01joe\x03X\x01y\xff\xf0";
    const OPTIONS: &str = "telnet client_options=[terminal_type naws new_environ] \
        server_options=[suppress_go_ahead] terminal_type=XTERM window={columns=255 rows=24} environ_user=joe";

    #[test]
    fn a_login_is_told_once_in_pieces_of_any_size() {
        for (outcome, success) in [
            (&b"\r\nLast login: today\r\n$ "[..], "true"),
            (b"\r\nhost# ", "true"),
            (b"\r\nLast failed login: today\r\n", "true"),
            (b"\r\nLogin incorrect\r\nlogin: ", "false"),
        ] {
            for size in [1, 3, 200] {
                let in_pieces = |way, bytes: &'static [u8]| bytes.chunks(size).map(move |piece| (way, piece));
                let pieces: Vec<_> = in_pieces(S, ASKS)
                    .chain(in_pieces(C, SAYS))
                    .chain(in_pieces(S, b"Debian\r\nhost login: "))
                    .chain(in_pieces(C, b"roox\x7ft\r\0"))
                    .chain(in_pieces(S, b"root\r\nPassword: "))
                    .chain(in_pieces(C, b"secret\r\0"))
                    .chain(outcome.chunks(size).map(|piece| (S, piece)))
                    .collect();
                assert_eq!(
                    records_of(&TELNET, &pieces),
                    [format!("{OPTIONS} user=root login_success={success}")],
                    "{size}"
                );
            }
        }
    }

    #[test]
    fn what_the_server_echoes_is_no_prompt_and_no_password_is_told() {
        let pieces: &[(Direction, &[u8])] = &[
            (S, b"Username: "),
            (C, b"j"),
            (S, b"j"),
            (C, b"oe\r\n"),
            (S, b"oe\r\nEnter Password for joe: "),
            (C, b"sec"),
            (C, b"ret\r\n"),
            (S, b"\r\n"),
        ];
        assert_eq!(records_of(&TELNET, pieces), ["telnet user=joe"]);
        assert!(records_of(&TELNET, &[(S, b"hello"), (C, b"secret\r\n")]).is_empty());
    }

    #[test]
    fn lies_have_a_name() {
        let long = [&[IAC, SUBNEGOTIATION, 24, 0], &[b'a'; 3_000][..]].concat();
        for (bytes, name) in [
            (&long[..], "subnegotiation_too_long"),
            (b"\xff\xfa\x1f\0\x50\0\xff\xf0", "malformed_subnegotiation"),
            (b"\xff\xfa\xff\xf0", "malformed_subnegotiation"),
        ] {
            let told = records_of(&TELNET, &[(C, bytes)]);
            assert!(told[0].contains(name), "{name}: {told:?}");
        }
    }
}
