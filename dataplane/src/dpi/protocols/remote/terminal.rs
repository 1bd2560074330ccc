//! rsh, rlogin and rexec: who runs a shell elsewhere, in clear? (RFC 1282)

use crate::dpi::cursor::Cursor;
use crate::dpi::{Category, First, Match, Over, Peek, Probe, Protocol};
use crate::flow::Direction;

/// The remote shell of BSD, with rlogin and rexec.
pub static RSH: Protocol = Protocol {
    name: "rsh",
    eve: None,
    category: Category::RemoteAccess,
    probes: &[Probe { over: Over::Tcp, first: First::Any, look: look_at_shell }],
    parser: None,
};

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpi::protocols::files::peek_of;

    #[test]
    fn shells_name_two_users() {
        let peek = |bytes| peek_of(bytes, Direction::Forward, 514, true);
        assert_eq!(look_at_shell(&peek(b"1022\0root\0root\0id\0")), Match::Yes(90));
        assert_eq!(look_at_shell(&peek(b"<13>syslog")), Match::No);
    }
}
