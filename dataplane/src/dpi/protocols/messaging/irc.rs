//! Who chats where over IRC? Nickname, user, channels, and whether the connection goes on in TLS.
//!
//! Sources: RFC 1459 4.1, RFC 2812 2.3 and 3.1, IRCv3 capability negotiation.

use crate::dpi::protocol::{Category, First, Match, Over, Peek, Probe, Protocol};
use crate::dpi::protocols::web::inside::Inside;
use crate::dpi::{Context, HostKind, Parser, Risk, Shown, Step};
use crate::flow::Direction;

/// Internet Relay Chat.
pub static IRC: Protocol = Protocol {
    name: "irc",
    eve: None,
    category: Category::Chat,
    probes: &[
        Probe { over: Over::Tcp, first: First::Of(b"NUPCJnupcjWAS"), look: looks_like_client },
        Probe { over: Over::Tcp, first: First::Of(b":NEP"), look: looks_like_server },
    ],
    parser: Some(|| Box::new(Irc::default())),
};

/// Longest line (RFC 1459 2.3), with room for the tags of IRCv3.
const LINE_BYTES_MAX: usize = 1_024;

/// Records of one flow at most.
const RECORDS_MAX: u8 = 32;

fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let bytes = bytes.get(..whole).unwrap_or_default();
    bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty())
}

/// The command of a line in upper case, and what follows it.
fn command(line: &[u8]) -> (&[u8], &[u8]) {
    let end = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
    let (word, rest) = line.split_at(end);
    (word, rest.trim_ascii_start())
}

fn is(word: &[u8], name: &str) -> bool {
    word.eq_ignore_ascii_case(name.as_bytes())
}

/// A nickname (RFC 2812 2.3.1), longer than the RFC allows as servers do.
fn is_nick(text: &[u8]) -> bool {
    (1..=32).contains(&text.len())
        && text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_[]\\`^{}|~".contains(byte))
}

fn is_channel(text: &[u8]) -> bool {
    text.len() > 1 && matches!(text.first(), Some(b'#' | b'&' | b'+' | b'!'))
}

fn looks_like_client(peek: &Peek<'_>) -> Match {
    let bytes = peek.bytes;
    if bytes.iter().take(64).any(|byte| matches!(byte, 0..=8 | 14..=31)) {
        return Match::No;
    }
    let (mut nick, mut user, mut other) = (false, false, false);
    for line in lines(bytes).take(8) {
        let (word, rest) = command(line);
        if is(word, "NICK") {
            nick |= is_nick(rest.strip_prefix(b":").unwrap_or(rest));
        } else if is(word, "USER") {
            // USER name mode unused :real name
            user |= rest.split(|byte| *byte == b' ').filter(|part| !part.is_empty()).count() >= 4;
        } else if is(word, "CAP") {
            other |= rest.starts_with(b"LS") || rest.starts_with(b"REQ") || rest.starts_with(b"END");
        } else if is(word, "JOIN") {
            other |= is_channel(rest);
        } else if is(word, "STARTTLS") {
            other |= peek.has_port(6667) || peek.other.starts_with(b":");
        } else if is(word, "PRIVMSG") || is(word, "NOTICE") || is(word, "WHO") || is(word, "MODE") {
            other |= rest.contains(&b' ') && (is_channel(rest) || peek.has_port(6667));
        } else if !is(word, "PASS") && !is(word, "PONG") && !is(word, "PING") && !is(word, "AUTHENTICATE") {
            return Match::of(nick && (user || other), 90);
        }
    }
    let on_port = (6_660..=6_670).any(|port| peek.has_port(port)) || peek.has_port(7_000);
    match (nick, user, other) {
        (true, true, _) => Match::Yes(96),
        (true, false, true) => Match::Yes(90),
        (false, true, _) => Match::Yes(if on_port { 88 } else { 60 }),
        // NICK is IRC's own; in DC++ and others nothing like it comes first.
        (true, false, false) => Match::Yes(if on_port { 88 } else { 70 }),
        (false, false, true) => Match::Yes(if on_port { 85 } else { 60 }),
        _ if bytes.len() < LINE_BYTES_MAX => Match::More,
        _ => Match::No,
    }
}

fn looks_like_server(peek: &Peek<'_>) -> Match {
    let bytes = peek.bytes;
    for line in lines(bytes).take(6) {
        if is(line, "PING") || line.starts_with(b"PING :") {
            continue;
        }
        if line.starts_with(b"NOTICE AUTH :") || line.starts_with(b"ERROR :Closing Link") {
            return Match::Yes(92);
        }
        let Some(rest) = line.strip_prefix(b":") else { return Match::No };
        let (prefix, rest) = command(rest);
        let (word, rest) = command(rest);
        let is_number = word.len() == 3 && word.iter().all(u8::is_ascii_digit);
        let is_word = ["NOTICE", "CAP", "JOIN", "MODE", "PRIVMSG", "NICK", "QUIT", "PART", "KICK", "TOPIC"]
            .iter()
            .any(|name| is(word, name));
        return Match::of(!prefix.is_empty() && !rest.is_empty() && (is_number || is_word), 92);
    }
    if bytes.len() < LINE_BYTES_MAX { Match::More } else { Match::No }
}

#[derive(Default)]
struct Irc {
    told: u8,
    /// Whether the client asked for TLS.
    wants_tls: bool,
    /// Reads what follows STARTTLS.
    inside: Option<Inside>,
}

impl Parser for Irc {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        if let Some(inside) = &mut self.inside {
            return inside.data(way, bytes, cx);
        }
        let Some(end) = bytes.iter().take(LINE_BYTES_MAX).position(|byte| *byte == b'\n') else {
            if bytes.len() < LINE_BYTES_MAX {
                return Step::Consumed(0);
            }
            cx.anomaly("line_too_long");
            return Step::Done;
        };
        let line = bytes.get(..end).unwrap_or_default().trim_ascii();
        let is_over = match way {
            Direction::Forward => self.client(line, cx),
            Direction::Reverse => self.server(line, cx),
        };
        if is_over || self.told >= RECORDS_MAX { Step::Done } else { Step::Consumed(end + 1) }
    }

    fn end(&mut self, cx: &mut Context<'_>) {
        if let Some(inside) = &mut self.inside {
            inside.end(cx);
        }
    }
}

impl Irc {
    /// Reads a client's line; whether nothing more matters.
    fn client(&mut self, line: &[u8], cx: &mut Context<'_>) -> bool {
        let (word, rest) = command(line);
        // The field that a command's first parameter is told as.
        let name = match () {
            () if is(word, "NICK") => "nick",
            () if is(word, "USER") => "user",
            () if is(word, "JOIN") => "channel",
            () if is(word, "PRIVMSG") => "message_to",
            () if is(word, "PASS") => {
                cx.risk(Risk::ClearTextCredentials, format_args!("irc PASS"));
                return false;
            }
            () if is(word, "STARTTLS") => {
                self.wants_tls = true;
                return false;
            }
            () => return false,
        };
        let first = rest.split(|byte| *byte == b' ').next().unwrap_or_default();
        let first = first.strip_prefix(b":").unwrap_or(first);
        self.told += 1;
        cx.tell_with("irc", Direction::Forward, |fields| {
            fields.text("command", word);
            fields.text(name, first);
            if name == "user"
                && let Some(at) = rest.iter().position(|byte| *byte == b':')
            {
                fields.text("real_name", rest.get(at + 1..).unwrap_or_default());
            }
            // DCC offers a file from the client's own address.
            if name == "message_to"
                && let Some(at) = crate::dpi::text::find(rest, b"\x01DCC ")
            {
                let offer = rest.get(at + 1..).unwrap_or_default();
                fields.text("dcc", offer.strip_suffix(b"\x01").unwrap_or(offer));
            }
        });
        false
    }

    fn server(&mut self, line: &[u8], cx: &mut Context<'_>) -> bool {
        let Some(rest) = line.strip_prefix(b":") else { return false };
        let (prefix, rest) = command(rest);
        let (number, _) = command(rest);
        match number {
            // RPL_WELCOME: the prefix is the server's name.
            b"001" => cx.host(HostKind::Other, prefix),
            // ERR_NEEDMOREPARAMS is none of the login's; ERR_PASSWDMISMATCH and ERR_SASLFAIL are.
            b"464" | b"904" => cx.risk(Risk::FailedLogin, format_args!("irc {}", Shown(number))),
            // RPL_STARTTLS
            b"670" if self.wants_tls => {
                cx.tell_with("irc", Direction::Reverse, |fields| fields.bool("starttls", true));
                self.inside = Some(Inside::after_starttls());
            }
            _ => {}
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peek(bytes: &[u8]) -> Peek<'_> {
        crate::dpi::protocol::samples::peek(bytes, 12_345, true)
    }

    #[test]
    fn a_login_is_known_on_any_port() {
        let login = b"NICK guest\r\nUSER guest 0 * :Guest\r\n";
        assert_eq!(looks_like_client(&peek(login)), Match::Yes(96));
        for len in 1..10 {
            assert_eq!(looks_like_client(&peek(&login[..len])), Match::More);
        }
        assert_eq!(looks_like_client(&peek(b"CAP LS 302\r\nNICK guest\r\n")), Match::Yes(90));
    }

    #[test]
    fn mail_and_news_are_not_irc() {
        assert_eq!(looks_like_client(&peek(b"USER guest\r\n")), Match::More);
        assert_eq!(looks_like_client(&peek(b"USER guest\r\nQUIT now\r\n")), Match::No);
        assert_eq!(looks_like_client(&peek(b"POST / HTTP/1.1\r\n")), Match::No);
        assert_eq!(looks_like_server(&peek(b"EHLO x\r\n")), Match::No);
    }

    #[test]
    fn a_server_is_known_by_its_replies() {
        assert_eq!(looks_like_server(&peek(b":irc.example 001 guest :Welcome\r\n")), Match::Yes(92));
        assert_eq!(looks_like_server(&peek(b"NOTICE AUTH :*** Looking up\r\n")), Match::Yes(92));
        assert_eq!(looks_like_server(&peek(b":1\r\n")), Match::No);
    }
}
