//! Does a client of Redis say its password? (Redis documentation, protocol specification and AUTH.)
//!
//! Nothing else is read: clients log in before they ask for anything.

use crate::dpi::text::starts_with_word;
use crate::dpi::{Context, Parser, Risk, Step};
use crate::flow::Direction;

/// Commands and answers of a connection that are looked at.
const PAYLOADS_MAX: u8 = 8;

/// Looks for a login.
#[derive(Default)]
struct Login {
    seen: u8,
    is_asked: bool,
}

/// A parser for a new connection.
pub(super) fn parser() -> Box<dyn Parser> {
    Box::new(Login::default())
}

impl Parser for Login {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        self.seen += 1;
        match way {
            Direction::Forward if logs_in(bytes) => {
                self.is_asked = true;
                cx.risk(Risk::ClearTextCredentials, format_args!("redis AUTH"));
            }
            Direction::Reverse if self.is_asked => {
                if bytes.starts_with(b"-WRONGPASS") || bytes.starts_with(b"-ERR invalid password") {
                    cx.risk(Risk::FailedLogin, format_args!("redis AUTH refused"));
                }
                return Step::Done;
            }
            _ => {}
        }
        if self.seen >= PAYLOADS_MAX { Step::Done } else { Step::Consumed(bytes.len()) }
    }

    fn start_over(&mut self) -> bool {
        *self = Self::default();
        true
    }
}

/// An array of texts whose first is AUTH, or HELLO with AUTH behind the version, or the same as a line.
fn logs_in(bytes: &[u8]) -> bool {
    let is_auth = |lines: &mut dyn Iterator<Item = &[u8]>, nth: usize| {
        lines.nth(nth).is_some_and(|word| word.eq_ignore_ascii_case(b"AUTH"))
    };
    let mut lines = bytes.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    if bytes.starts_with(b"*") {
        return match lines.nth(2) {
            Some(word) if word.eq_ignore_ascii_case(b"AUTH") => true,
            // A length, the version, a length, AUTH.
            Some(word) if word.eq_ignore_ascii_case(b"HELLO") => is_auth(&mut lines, 3),
            _ => false,
        };
    }
    starts_with_word(bytes, b"AUTH ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpi::risk::clues::told_of;

    #[test]
    fn logins_are_found_and_their_refusal() {
        for (asked, is_login) in [
            (&b"*2\r\n$4\r\nAUTH\r\n$6\r\nsecret\r\n"[..], true),
            (b"*5\r\n$5\r\nhello\r\n$1\r\n3\r\n$4\r\nauth\r\n$1\r\nu\r\n$1\r\np\r\n", true),
            (b"auth secret\r\n", true),
            (b"*2\r\n$3\r\nGET\r\n$4\r\nAUTH\r\n", false),
            (b"*1\r\n", false),
            (b"", false),
        ] {
            let told = told_of(|cx| {
                let mut login = Login::default();
                login.data(Direction::Forward, asked, cx);
                login.data(Direction::Reverse, b"-WRONGPASS invalid\r\n", cx);
            });
            let expected: &[&str] = if is_login {
                &["clear_text_credentials: redis AUTH", "failed_login: redis AUTH refused"]
            } else {
                &[]
            };
            assert_eq!(told, expected);
        }
    }
}
