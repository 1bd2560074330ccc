//! PostgreSQL: who logs in to which database, and what is asked? (PostgreSQL documentation, chapter 55)
//!
//! Records are those of Suricata's `pgsql`; passwords are never told.

use crate::dpi::cursor::Cursor;
use crate::dpi::parser::{Context, Parser, Step};
use crate::dpi::protocols;
use crate::dpi::{Category, Fields, First, Match, Over, Peek, Probe, Protocol, Risk, Shown};
use crate::flow::Direction;

/// PostgreSQL.
pub static POSTGRESQL: Protocol = Protocol {
    name: "postgresql",
    eve: Some("pgsql"),
    category: Category::Database,
    probes: &[
        Probe { over: Over::Tcp, first: First::Of(&[0]), look: look_at_client },
        Probe { over: Over::Tcp, first: First::Of(b"RENS"), look: look_at_server },
    ],
    parser: Some(|| Box::<Session>::default()),
};

const CANCEL: u32 = 80_877_102;
const SSL: u32 = 80_877_103;
const GSS: u32 = 80_877_104;
const VERSION_3: u32 = 0x0003_0000;
const VERSION_2: u32 = 0x0002_0000;

fn look_at_client(peek: &Peek<'_>) -> Match {
    let Some(head) = peek.bytes.first_chunk::<8>() else {
        return if peek.bytes.starts_with(&[0, 0, 0]) && peek.bytes.len() > 3 {
            Match::More
        } else {
            Match::No
        };
    };
    let len = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
    match (u32::from_be_bytes([head[4], head[5], head[6], head[7]]), len) {
        (SSL | GSS, 8) | (CANCEL, 16) => Match::Yes(98),
        (VERSION_3..=0x0003_0002, 9..=10_000) => {
            let name = peek.bytes.get(8..).unwrap_or_default();
            Match::sure(name.first().is_none_or(u8::is_ascii_lowercase) && name.contains(&0))
        }
        (VERSION_2, 296) => Match::Yes(92),
        _ => Match::No,
    }
}

fn look_at_server(peek: &Peek<'_>) -> Match {
    match peek.bytes {
        // Authentication: length and a small kind.
        [b'R', 0, 0, 0, len @ 8..=64, 0, 0, 0, kind, ..] => {
            Match::sure(*kind <= 12 && (*kind != 0 || *len == 8) && (*kind != 5 || *len == 12))
        }
        [b'E', 0, 0, _, _, b'S', rest @ ..] => {
            Match::sure([&b"ERROR"[..], b"FATAL", b"PANIC"].iter().any(|level| rest.starts_with(level)))
        }
        // The answer to SSLRequest.
        [b'N' | b'S'] => Match::of(peek.other.get(4..8) == Some(&SSL.to_be_bytes()), 90),
        _ => Match::No,
    }
}

/// Records of one connection.
const RECORDS_MAX: u32 = 2_000;
/// Of a message longer than this only its beginning is read.
const MESSAGE_BYTES_MAX: usize = 8_192;

#[derive(Default)]
struct Session {
    is_started: bool,
    wants_ssl: bool,
    inner: Option<Box<dyn Parser>>,
    /// Kind of authentication that was asked for.
    authentication: Option<u32>,
    response: Fields,
    request: Fields,
    parameters: Fields,
    is_open: bool,
    rows: u32,
    rows_bytes: u64,
    columns: Option<u16>,
    told: u32,
}

impl Parser for Session {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        if let Some(inner) = &mut self.inner {
            return match inner.data(way, bytes, cx) {
                Step::NotMine => Step::Done,
                step => step,
            };
        }
        if self.wants_ssl && way == Direction::Reverse {
            self.wants_ssl = false;
            let accepted = bytes.first() == Some(&b'S');
            self.response.bool("ssl_accepted", accepted);
            self.tell(way, cx);
            if accepted {
                self.inner = protocols::by_name("tls").and_then(|tls| tls.parser).map(|make| make());
                if self.inner.is_none() {
                    return Step::Done;
                }
            }
            return Step::Consumed(1);
        }
        if way == Direction::Forward && !self.is_started && bytes.first() == Some(&0) {
            return self.start(way, bytes, cx);
        }
        let mut at = Cursor::new(bytes);
        let (Some(kind), Some(len)) = (at.u8(), at.be32()) else { return Step::Consumed(0) };
        let len = len as usize;
        if !(4..0x4000_0000).contains(&len) || !kind.is_ascii_graphic() {
            cx.anomaly("invalid_length");
            return Step::Done;
        }
        let body = at.rest();
        if body.len() < (len - 4).min(MESSAGE_BYTES_MAX) {
            return Step::Consumed(0);
        }
        let body = body.get(..(len - 4).min(body.len())).unwrap_or_default();
        match way {
            Direction::Forward => self.client(kind, body, cx),
            Direction::Reverse => self.server(kind, len, body, cx),
        }
        if self.told >= RECORDS_MAX { Step::Done } else { Step::Consumed(1 + len) }
    }

    fn end(&mut self, cx: &mut Context<'_>) {
        if let Some(inner) = &mut self.inner {
            inner.end(cx);
        }
        self.tell(Direction::Forward, cx);
    }

    fn start_over(&mut self) -> bool {
        *self = Self::default();
        true
    }
}

impl Session {
    fn start(&mut self, _way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        let mut at = Cursor::new(bytes);
        let (Some(len), Some(code)) = (at.be32(), at.be32()) else { return Step::Consumed(0) };
        let len = len as usize;
        if !(8..=10_000).contains(&len) {
            cx.anomaly("invalid_length");
            return Step::Done;
        }
        let Some(body) = bytes.get(8..len) else { return Step::Consumed(0) };
        self.is_open = true;
        match code {
            SSL | GSS => {
                self.request.text("message", if code == SSL { "SSL Request" } else { "GSSENC Request" });
                self.wants_ssl = true;
            }
            CANCEL => {
                self.request.text("message", "cancel_request");
                self.tell(Direction::Forward, cx);
                return Step::Done;
            }
            _ => {
                self.is_started = true;
                self.request.text("protocol_version", if code >> 16 == 3 { "3.0" } else { "2.0" });
                self.request.object("startup_parameters", |parameters| {
                    let mut pairs = Cursor::new(body);
                    let mut optional = Fields::new();
                    while let (Some(name), Some(value)) = (pairs.until_zero(), pairs.until_zero()) {
                        let Ok(name) = std::str::from_utf8(name) else { break };
                        match name {
                            "" => break,
                            "user" => parameters.text("user", value),
                            _ => optional.object("", |pair| pair.text(snake(name, &mut [0; 64]), value)),
                        }
                    }
                    if !optional.is_empty() {
                        parameters.list("optional_parameters", |list| list.append(&optional));
                    }
                });
            }
        }
        Step::Consumed(len)
    }

    fn client(&mut self, kind: u8, body: &[u8], cx: &mut Context<'_>) {
        self.is_started = true;
        match kind {
            b'p' => {
                self.tell(Direction::Forward, cx);
                self.is_open = true;
                match self.authentication {
                    Some(3) => {
                        cx.risk(Risk::ClearTextCredentials, format_args!("postgresql cleartext password"));
                        self.request.bool("password_redacted", true);
                    }
                    Some(5) => self.request.bool("password_redacted", true),
                    Some(10) => {
                        // SASLInitialResponse: mechanism, length, and what it begins with.
                        let mut at = Cursor::new(body);
                        let mechanism = match at.until_zero().unwrap_or_default() {
                            b"SCRAM-SHA-256" => &b"scram_SHA256"[..],
                            b"SCRAM-SHA-256-PLUS" => b"scram_SHA256_plus",
                            other => other,
                        };
                        self.request.text("sasl_authentication_mechanism", mechanism);
                        self.request.text_if("sasl_param", at.vec32());
                    }
                    _ => self.request.text("sasl_response", body),
                }
            }
            b'Q' => {
                self.tell(Direction::Forward, cx);
                self.is_open = true;
                let query = body.strip_suffix(&[0]).unwrap_or(body);
                self.request.text("simple_query", query.get(..2_048).unwrap_or(query));
            }
            b'P' => {
                self.tell(Direction::Forward, cx);
                self.is_open = true;
                let mut at = Cursor::new(body);
                let _name = at.until_zero();
                self.request.text("prepared_statement", at.until_zero().unwrap_or_default());
            }
            b'X' => {
                self.tell(Direction::Forward, cx);
                self.is_open = true;
                self.request.text("message", "termination_message");
                self.tell(Direction::Forward, cx);
            }
            _ => {}
        }
    }

    fn server(&mut self, kind: u8, len: usize, body: &[u8], cx: &mut Context<'_>) {
        let mut at = Cursor::new(body);
        match kind {
            b'R' => {
                let kind = at.be32();
                self.authentication = kind;
                match kind {
                    Some(0) => self.response.text("message", "authentication_ok"),
                    Some(3) => self.response.text("message", "authentication_cleartext_password"),
                    Some(5) => self.response.text("authentication_md5_password", at.rest()),
                    Some(10) => self.response.text("message", "authentication_sasl"),
                    Some(11) => self.response.text("message", "authentication_sasl_continue"),
                    Some(12) => self.response.text("authentication_sasl_final", at.rest()),
                    _ => self.response.text("message", "authentication_other"),
                }
                if kind != Some(0) && kind != Some(12) {
                    self.tell(Direction::Reverse, cx);
                }
            }
            b'S' => {
                if let (Some(name), Some(value)) = (at.until_zero(), at.until_zero())
                    && let Ok(name) = std::str::from_utf8(name)
                    && self.parameters.as_bytes().len() < 2_048
                {
                    self.parameters.object("", |pair| pair.text(snake(name, &mut [0; 64]), value));
                }
            }
            b'K' => {
                if let Some(process) = at.be32() {
                    self.response.number("process_id", process);
                    if let Some(secret) = at.be32() {
                        self.response.number("secret_key", secret);
                    }
                }
            }
            b'T' => self.columns = at.be16(),
            b'D' => {
                self.rows += 1;
                self.rows_bytes += len as u64 - 4;
            }
            b'C' => {
                let tag = at.until_zero().unwrap_or_default();
                if let Some(columns) = self.columns.take() {
                    self.response.number("field_count", columns);
                }
                if self.rows > 0 {
                    self.response.number("data_rows", self.rows);
                    self.response.number("data_size", self.rows_bytes);
                }
                (self.rows, self.rows_bytes) = (0, 0);
                self.response.text("command_completed", tag.get(..64).unwrap_or(tag));
            }
            b'E' => {
                while let Some(field) = at.u8().filter(|field| *field != 0) {
                    let Some(value) = at.until_zero() else { break };
                    match field {
                        b'V' => self.response.text("severity_non_localizable", value),
                        b'S' => self.response.text("severity_localizable", value),
                        b'C' => {
                            // 28: invalid authorization specification (PostgreSQL documentation, appendix A).
                            if value.starts_with(b"28") {
                                cx.risk(Risk::FailedLogin, format_args!("postgresql error {}", Shown(value)));
                            }
                            self.response.text("code", value);
                        }
                        b'M' => self.response.text("message", value),
                        b'F' => self.response.text("file", value),
                        b'L' => self.response.text("line", value),
                        b'R' => self.response.text("routine", value),
                        _ => {}
                    }
                }
                if !self.is_open || self.authentication.is_some_and(|kind| kind != 0) {
                    self.tell(Direction::Reverse, cx);
                }
            }
            b'Z' => self.tell(Direction::Reverse, cx),
            _ => {}
        }
    }

    fn tell(&mut self, way: Direction, cx: &mut Context<'_>) {
        if self.request.is_empty() && self.response.is_empty() {
            return;
        }
        self.is_open = false;
        self.told += 1;
        let id = self.told;
        cx.tell_with("pgsql", way, |pgsql| {
            pgsql.number("tx_id", id);
            if !self.request.is_empty() {
                pgsql.object("request", |request| request.append(&self.request));
            }
            if !self.response.is_empty() || !self.parameters.is_empty() {
                pgsql.object("response", |response| {
                    response.append(&self.response);
                    if !self.parameters.is_empty() {
                        response.list("parameter_status", |list| list.append(&self.parameters));
                    }
                });
            }
        });
        self.request.clear();
        self.response.clear();
        self.parameters.clear();
    }
}

/// `DateStyle` as `date_style`, which is how EVE names parameters; a longer name stays as it is.
fn snake<'a>(name: &'a str, buffer: &'a mut [u8; 64]) -> &'a str {
    let mut len = 0;
    for (index, byte) in name.bytes().enumerate() {
        let is_new = index > 0 && byte.is_ascii_uppercase();
        let pieces: &[u8] =
            if is_new { &[b'_', byte.to_ascii_lowercase()] } else { &[byte.to_ascii_lowercase()] };
        let Some(room) = buffer.get_mut(len..len + pieces.len()) else { return name };
        room.copy_from_slice(pieces);
        len += pieces.len();
    }
    std::str::from_utf8(&buffer[..len]).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpi::protocols::files::peek_of;

    #[test]
    fn startup_and_ssl_are_recognised() {
        let peek = |bytes| peek_of(bytes, Direction::Forward, 5433, true);
        assert_eq!(look_at_client(&peek(&[0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f])), Match::Yes(98));
        let startup = b"\0\0\0\x14\0\x03\0\0user\0alice\0\0";
        assert_eq!(look_at_client(&peek(startup)), Match::Yes(95));
        for len in 0..startup.len() {
            let _ = look_at_client(&peek(&startup[..len]));
        }
        assert_eq!(look_at_server(&peek(&[b'R', 0, 0, 0, 12, 0, 0, 0, 5, 1, 2, 3, 4])), Match::Yes(95));
        assert_eq!(look_at_server(&peek(b"RFB 003.008\n")), Match::No);
        assert_eq!(look_at_server(&peek(b"N")), Match::No);
    }

    #[test]
    fn parameters_are_named_in_lower_case() {
        assert_eq!(snake("DateStyle", &mut [0; 64]), "date_style");
        assert_eq!(snake("client_encoding", &mut [0; 64]), "client_encoding");
        let long = "A".repeat(65);
        assert_eq!(snake(&long, &mut [0; 64]), long);
    }
}
