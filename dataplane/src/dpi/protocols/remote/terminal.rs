//! Telnet, rsh, rlogin and rexec: who logs in over a terminal in clear? (RFC 854, 855, 1282)

use crate::dpi::cursor::Cursor;
use crate::dpi::parser::{Context, Parser, Step};
use crate::dpi::text::has_word;
use crate::dpi::{Category, First, Match, Over, Peek, Probe, Protocol, Risk};
use crate::flow::Direction;

/// Telnet.
pub static TELNET: Protocol = Protocol {
    name: "telnet",
    eve: None,
    category: Category::RemoteAccess,
    probes: &[
        Probe { over: Over::Tcp, first: First::Of(&[IAC]), look: look_at_options },
        Probe { over: Over::Tcp, first: First::In(0x07, 0x7e), look: look_at_text },
    ],
    parser: Some(|| Box::<Session>::default()),
};

/// The remote shell of BSD, with rlogin and rexec.
pub static RSH: Protocol = Protocol {
    name: "rsh",
    eve: None,
    category: Category::RemoteAccess,
    probes: &[Probe { over: Over::Tcp, first: First::Any, look: look_at_shell }],
    parser: None,
};

const IAC: u8 = 255;
const SUBNEGOTIATION: u8 = 250;
const WILL: u8 = 251;
const DONT: u8 = 254;

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
                let end = after.windows(2).position(|pair| pair == [IAC, 240]);
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

/// `port NUL user NUL user NUL command NUL` of rsh, `NUL user NUL user NUL terminal/speed NUL` of rlogin.
fn look_at_shell(peek: &Peek<'_>) -> Match {
    if peek.way != Direction::Forward || !matches!(peek.ports.1, 512..=514) {
        return Match::No;
    }
    let mut at = Cursor::new(peek.bytes);
    let is_text = |text: &[u8]| text.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ');
    let Some(port) = at.until_zero() else {
        return if peek.bytes.len() < 6 && peek.bytes.iter().all(u8::is_ascii_digit) {
            Match::More
        } else {
            Match::No
        };
    };
    if port.len() > 5 || !port.iter().all(u8::is_ascii_digit) {
        return Match::No;
    }
    let (Some(one), Some(two)) = (at.until_zero(), at.until_zero()) else {
        return if peek.bytes.len() < 128 { Match::More } else { Match::No };
    };
    let has_users = !one.is_empty() && !two.is_empty() && is_text(one) && is_text(two);
    Match::of(has_users, 90)
}

/// Bytes of each direction after which a session tells nothing new.
const READ_BYTES_MAX: usize = 8_192;

#[derive(Default)]
struct Session {
    read: usize,
    is_asked: bool,
    is_answered: bool,
}

impl Parser for Session {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        self.read += bytes.len();
        match way {
            Direction::Reverse => {
                self.is_asked |= has_word(bytes, b"assword:");
                if self.is_answered
                    && (has_word(bytes, b"incorrect")
                        || has_word(bytes, b"failed")
                        || has_word(bytes, b"denied"))
                {
                    cx.risk(Risk::FailedLogin, format_args!("telnet login refused"));
                    return Step::Done;
                }
            }
            Direction::Forward if self.is_asked && bytes.iter().any(u8::is_ascii_graphic) => {
                self.is_answered = true;
                cx.risk(Risk::ClearTextCredentials, format_args!("telnet password prompt answered"));
            }
            Direction::Forward => {}
        }
        if self.read > READ_BYTES_MAX { Step::Done } else { Step::Consumed(bytes.len()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpi::protocols::files::peek_of;

    #[test]
    fn options_are_recognised_and_noise_is_not() {
        let peek = |bytes| peek_of(bytes, Direction::Reverse, 2323, true);
        assert_eq!(look_at_options(&peek(&[IAC, 253, 24, IAC, 253, 32])), Match::Yes(92));
        assert_eq!(look_at_options(&peek(&[IAC, 253])), Match::More);
        assert_eq!(look_at_options(&peek(&[IAC, 216, 255, 224])), Match::No);
        assert_eq!(look_at_options(&peek(&[IAC, 250, 24, 1])), Match::Yes(70));
    }

    #[test]
    fn shells_name_two_users() {
        let peek = |bytes| peek_of(bytes, Direction::Forward, 514, true);
        assert_eq!(look_at_shell(&peek(b"1022\0root\0root\0id\0")), Match::Yes(90));
        assert_eq!(look_at_shell(&peek(b"<13>syslog")), Match::No);
    }
}
