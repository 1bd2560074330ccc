//! Microsoft SQL Server and Sybase: who logs in from where? (MS-TDS; MS-SQLR for the browser)

use crate::dpi::parser::{Context, Parser, Step};
use crate::dpi::protocols::secure::carried::Carried;
use crate::dpi::text::utf16;
use crate::dpi::{Category, Fields, First, HostKind, Match, Over, Peek, Probe, Protocol, Risk};
use crate::flow::Direction;

/// TDS.
pub static MSSQL: Protocol = Protocol {
    name: "mssql",
    eve: Some("tds"),
    category: Category::Database,
    probes: &[
        Probe { over: Over::Tcp, first: First::In(1, 0x12), look },
        Probe { over: Over::Udp, first: First::In(2, 5), look: look_at_browser },
    ],
    parser: Some(|| Box::<Login>::default()),
};

const SQL: u8 = 1;
const RESPONSE: u8 = 4;
const LOGIN: u8 = 16;
const PRELOGIN: u8 = 18;

/// MS-TDS 2.2.3.1: type, status, length, process, number, window 0.
fn look(peek: &Peek<'_>) -> Match {
    let Some(&[kind, status, high, low, _, _, number, 0]) = peek.bytes.first_chunk::<8>() else {
        return if peek.bytes.len() < 8 && peek.bytes.len() > 3 && look_at_head(peek.bytes) {
            Match::More
        } else {
            Match::No
        };
    };
    let len = usize::from(u16::from_be_bytes([high, low]));
    let is_end = status & 1 == 1;
    let fits = peek.bytes.len() == len
        || (peek.bytes.len() < len && len <= 32_767)
        || (!is_end && peek.bytes.len() > len);
    if !look_at_head(peek.bytes) || len <= 8 || !fits {
        return Match::No;
    }
    let is_own_port = peek.has_port(1433);
    let body = peek.bytes.get(8..).unwrap_or_default();
    match kind {
        // MS-TDS 2.2.6.5: options of five bytes, the version first.
        PRELOGIN => Match::sure(matches!(body, [0, 0, offset, 0, 6, 1, ..] if *offset < 64 && number <= 1)),
        // MS-TDS 2.2.6.4: its own length and a version 7.x.
        LOGIN => Match::sure(
            peek.le32(8) as usize + 8 >= len && matches!(body.get(4..8), Some([_, _, _, 0x70..=0x76])),
        ),
        // SQL in UTF-16, after headers that tell their length since version 7.2.
        SQL => {
            let text = if peek.le32(8) == 22 { body.get(22..30) } else { body.get(..8) };
            let is_text =
                text.is_some_and(|text| text.chunks_exact(2).all(|pair| pair[1] == 0 && pair[0] >= 9));
            Match::of(is_text, if is_own_port { 92 } else { 82 })
        }
        RESPONSE => {
            // MS-TDS 2.2.4: a stream of tokens, all of which are above 0x78.
            let is_token =
                body.first().is_some_and(|token| *token >= 0x78) || peek.other.first() == Some(&PRELOGIN);
            Match::of(is_token, if is_own_port { 90 } else { 65 })
        }
        3 if peek.le32(8) == 22 => Match::Yes(if is_own_port { 92 } else { 80 }),
        _ => Match::of(is_own_port, 82),
    }
}

fn look_at_head(bytes: &[u8]) -> bool {
    let kind = bytes.first().copied().unwrap_or(0);
    let status = bytes.get(1).copied().unwrap_or(0);
    matches!(kind, 1..=4 | 6..=8 | 14..=18) && status & 0xe0 == 0
}

/// MS-SQLR 2.2: a question is a byte, or a byte and the instance's name.
fn look_at_browser(peek: &Peek<'_>) -> Match {
    match peek.bytes {
        [2 | 3] => Match::of(peek.to_port() == 1434, 92),
        [4, name @ .., 0] => Match::of(peek.to_port() == 1434 && name.len() <= 32 && name.is_ascii(), 92),
        [5, low, high, text @ ..] => {
            let len = usize::from(u16::from_le_bytes([*low, *high]));
            Match::sure(len == text.len() && text.starts_with(b"ServerName;"))
        }
        _ => Match::No,
    }
}

const READ_BYTES_MAX: usize = 4_096;
/// Packets after which the hellos of TLS were seen.
const TLS_PACKETS_MAX: u32 = 32;

#[derive(Default)]
struct Login {
    fields: Fields,
    packets: u32,
    /// TLS in packets of the kind of PRELOGIN.
    tls: Option<Carried>,
}

impl Parser for Login {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        if cx.flow.protocol == crate::parse::Protocol::UDP {
            return Step::Done;
        }
        let Some(&[kind, _, high, low, ..]) = bytes.first_chunk::<8>() else { return Step::Consumed(0) };
        let len = usize::from(u16::from_be_bytes([high, low]));
        if len < 8 {
            cx.anomaly("invalid_length");
            return self.over(way, cx);
        }
        if bytes.len() < len.min(READ_BYTES_MAX) {
            return Step::Consumed(0);
        }
        let body = bytes.get(8..len.min(bytes.len())).unwrap_or_default();
        self.packets += 1;
        match kind {
            // MS-TDS 3.2.5.2: the handshake of TLS goes in packets of this kind, both ways.
            PRELOGIN
                if body.first().is_some_and(|first| self.tls.is_some() || matches!(first, 0x14..=0x17)) =>
            {
                let _ = self.over(way, cx);
                let step = self.tls.get_or_insert_with(Carried::new).add(way, body, cx);
                let is_over = step == Step::Done || len > READ_BYTES_MAX || self.packets > TLS_PACKETS_MAX;
                return if is_over { Step::Done } else { Step::Consumed(len) };
            }
            PRELOGIN => self.prelogin("client", body, cx),
            RESPONSE if self.packets == 2 && body.first() == Some(&0) => {
                self.prelogin("server", body, cx);
            }
            LOGIN => self.login(body, cx),
            RESPONSE => {
                // 0xaa: ERROR with its number; 18456: login failed.
                if let [0xaa, _, _, n0, n1, n2, n3, ..] = *body
                    && u32::from_le_bytes([n0, n1, n2, n3]) == 18_456
                {
                    cx.notes.risk(Risk::FailedLogin);
                }
                return self.over(way, cx);
            }
            _ => return self.over(way, cx),
        }
        if self.packets > 8 { self.over(way, cx) } else { Step::Consumed(len) }
    }

    fn end(&mut self, cx: &mut Context<'_>) {
        let _ = self.over(Direction::Forward, cx);
        if let Some(tls) = &mut self.tls {
            tls.end(cx);
        }
    }
}

/// Whether every option lies within the message, and the list of them ends (MS-TDS 2.2.6.5).
fn has_whole_options(body: &[u8]) -> bool {
    for entry in body.chunks(5) {
        match *entry {
            [0xff, ..] => return true,
            [_, o0, o1, l0, l1] => {
                let (from, len) = (u16::from_be_bytes([o0, o1]), u16::from_be_bytes([l0, l1]));
                if usize::from(from) + usize::from(len) > body.len() {
                    return false;
                }
            }
            _ => return false,
        }
    }
    false
}

/// The value of an option of PRELOGIN.
fn option(body: &[u8], wanted: u8) -> Option<&[u8]> {
    for entry in body.chunks_exact(5) {
        let [token, o0, o1, l0, l1] = *entry.first_chunk::<5>()?;
        if token == wanted {
            let (from, len) = (u16::from_be_bytes([o0, o1]), u16::from_be_bytes([l0, l1]));
            return body.get(usize::from(from)..usize::from(from) + usize::from(len));
        }
        if token == 0xff {
            return None;
        }
    }
    None
}

impl Login {
    fn over(&mut self, way: Direction, cx: &mut Context<'_>) -> Step {
        if !self.fields.is_empty() {
            let fields = std::mem::take(&mut self.fields);
            cx.tell("tds", way, &fields);
        }
        Step::Done
    }

    fn prelogin(&mut self, side: &str, body: &[u8], cx: &mut Context<'_>) {
        if !has_whole_options(body) {
            cx.anomaly("invalid_prelogin_option");
        }
        let version = option(body, 0).and_then(|value| value.first_chunk::<4>()).copied();
        let encryption = option(body, 1).and_then(|value| value.first()).copied();
        self.fields.object(side, |object| {
            if let Some([major, minor, high, low]) = version {
                object.number("major", major);
                object.number("minor", minor);
                object.number("build", u16::from_be_bytes([high, low]));
            }
            object.text_if(
                "encryption",
                encryption.map(|kind| match kind {
                    0 => "off",
                    1 => "on",
                    2 => "not_supported",
                    3 => "required",
                    _ => "unknown",
                }),
            );
        });
    }

    /// MS-TDS 2.2.6.4: after 36 bytes pairs of offset and length in characters.
    fn login(&mut self, body: &[u8], cx: &mut Context<'_>) {
        let le16 = |at: usize| {
            body.get(at..at + 2).map_or(0, |pair| usize::from(u16::from_le_bytes([pair[0], pair[1]])))
        };
        let mut buffer = [0; 512];
        let names = [
            (36, "host"),
            (40, "user"),
            (48, "application"),
            (52, "server"),
            (60, "library"),
            (68, "database"),
        ];
        for (at, key) in names {
            let Some(raw) = body.get(le16(at)..le16(at) + 2 * le16(at + 2)) else {
                cx.anomaly("invalid_login_offset");
                continue;
            };
            let text = utf16(raw, &mut buffer);
            if text.is_empty() {
                continue;
            }
            self.fields.text(key, text);
            if key == "server" {
                cx.host(HostKind::Other, text);
            }
        }
        // The password is only scrambled.
        if le16(46) > 0 {
            cx.notes.risk(Risk::ClearTextCredentials);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpi::protocols::files::peek_of;

    #[test]
    fn prelogin_is_recognised() {
        let peek = |bytes| peek_of(bytes, Direction::Forward, 11_433, true);
        let bytes = [18, 1, 0, 26, 0, 0, 0, 0, 0, 0, 11, 0, 6, 1, 0, 17, 0, 1, 0xff, 16, 0, 0, 0, 0, 0, 2];
        assert_eq!(look(&peek(&bytes)), Match::Yes(95));
        for len in 0..bytes.len() {
            let _ = look(&peek(&bytes[..len]));
        }
        assert_eq!(option(&bytes[8..], 1), Some(&[2][..]));
        assert_eq!(option(&[1, 0xff, 0xff, 0xff, 0xff], 1), None);
    }
}
