//! MySQL and MariaDB: which server, who logs in? (MySQL internals: client/server protocol, connection phase)

use crate::dpi::cursor::Cursor;
use crate::dpi::parser::{Context, Parser, Step};
use crate::dpi::protocols::secure::tls;
use crate::dpi::protocols::web::inside::Inside;
use crate::dpi::{Category, First, HintKind, Match, Over, Peek, Probe, Protocol, Risk};
use crate::flow::Direction;

/// MySQL and MariaDB.
pub static MYSQL: Protocol = Protocol {
    name: "mysql",
    eve: None,
    category: Category::Database,
    probes: &[Probe { over: Over::Tcp, first: First::Any, look }],
    parser: Some(|| Box::<Login>::default()),
};

const LOGIN_BYTES_MAX: usize = 8_192;

/// Three bytes of length, the number of the packet, and the greeting or the login.
fn look(peek: &Peek<'_>) -> Match {
    let bytes = peek.bytes;
    let Some(&[l0, l1, 0, number, kind]) = bytes.first_chunk::<5>() else { return Match::No };
    let len = usize::from(u16::from_le_bytes([l0, l1]));
    match (number, kind) {
        // Protocol 10, or 9 of long ago: version, thread, eight bytes of salt and a zero.
        (0, 9 | 10) => {
            let Some(greeting) = bytes.get(5..) else { return Match::No };
            Match::sure(len <= 512 && bytes.len() <= len + 4 && version_of(greeting).is_some())
        }
        // An error in place of the greeting: 1040 too many connections, 1129 and 1130 host not allowed.
        (0, 0xff) => {
            let code = peek.le16(5);
            let text = bytes.get(7..).unwrap_or_default();
            let is = bytes.len() == len + 4 && matches!(code, 1040..=1045 | 1129 | 1130 | 1203);
            Match::sure(is && text.iter().all(|byte| (b' '..=b'~').contains(byte)))
        }
        (1, _) => match login(bytes.get(4..).unwrap_or_default()) {
            Some(login) if len + 4 >= bytes.len() && len < 4_096 => {
                Match::Yes(if login.user.is_none() || login.user.is_some_and(|user| user.is_ascii()) {
                    92
                } else {
                    60
                })
            }
            _ => Match::No,
        },
        _ => Match::No,
    }
}

fn version_of(greeting: &[u8]) -> Option<&[u8]> {
    let mut at = Cursor::new(greeting);
    let version = at.until_zero()?;
    at.skip(4 + 8)?;
    let is_text =
        version.len() >= 3 && version.iter().all(u8::is_ascii_graphic) && version[0].is_ascii_digit();
    (is_text && at.u8()? == 0).then_some(version)
}

#[derive(Clone, Copy)]
struct Handshake<'a> {
    capabilities: u32,
    user: Option<&'a [u8]>,
    database: Option<&'a [u8]>,
}

const CONNECT_WITH_DB: u32 = 8;
const PROTOCOL_41: u32 = 0x200;
const SSL: u32 = 0x800;
const SECURE: u32 = 0x8000;
const LENENC: u32 = 0x20_0000;

/// HandshakeResponse41 or SSLRequest: the same up to the user's name.
fn login(body: &[u8]) -> Option<Handshake<'_>> {
    let mut at = Cursor::new(body);
    let (capabilities, largest, _charset) = (at.le32()?, at.le32()?, at.u8()?);
    // The last four of the 23 are MariaDB's.
    let zeros = at.array::<23>()?;
    if capabilities & PROTOCOL_41 == 0 || zeros[..19].iter().any(|byte| *byte != 0) || largest > 0x4000_0000 {
        return None;
    }
    let Some(user) = at.until_zero() else {
        return (capabilities & SSL != 0 && at.rest().is_empty()).then_some(Handshake {
            capabilities,
            user: None,
            database: None,
        });
    };
    let mut after = || {
        if capabilities & (SECURE | LENENC) != 0 {
            let len = at.u8()?;
            at.skip(usize::from(len))?;
        } else {
            at.until_zero()?;
        }
        if capabilities & CONNECT_WITH_DB != 0 { at.until_zero() } else { None }
    };
    Some(Handshake { capabilities, user: Some(user), database: after() })
}

#[derive(Default)]
struct Login {
    version: Box<[u8]>,
    user: Box<[u8]>,
    database: Box<[u8]>,
    is_logged_in: bool,
    is_tls: bool,
    is_told: bool,
    /// Reads what follows a request for TLS.
    inside: Option<Inside>,
}

impl Parser for Login {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        if let Some(inside) = &mut self.inside {
            return inside.data(way, bytes, cx);
        }
        let Some(&[l0, l1, l2, number]) = bytes.first_chunk::<4>() else { return Step::Consumed(0) };
        let len = u32::from_le_bytes([l0, l1, l2, 0]) as usize;
        if len > LOGIN_BYTES_MAX {
            // Before a login nobody has that much to say.
            if !self.is_logged_in && !cx.flow.is_midstream {
                cx.anomaly("packet_too_long");
            }
            self.tell(None, cx);
            return Step::Done;
        }
        let Some(body) = bytes.get(4..4 + len) else { return Step::Consumed(0) };
        match (way, number, body.first()) {
            (Direction::Reverse, 0, Some(9 | 10)) => {
                let version = version_of(body.get(1..).unwrap_or_default()).unwrap_or_default();
                self.version = version.get(..128).unwrap_or(version).into();
                cx.hint(HintKind::Server, version);
            }
            (Direction::Forward, 1 | 2, _) if !self.is_logged_in => {
                let Some(login) = login(body) else {
                    cx.anomaly("malformed_login");
                    self.tell(None, cx);
                    return Step::Done;
                };
                self.is_tls = login.capabilities & SSL != 0;
                if let Some(user) = login.user {
                    self.is_logged_in = true;
                    self.user = user.get(..255).unwrap_or(user).into();
                    let database = login.database.unwrap_or_default();
                    self.database = database.get(..255).unwrap_or(database).into();
                } else {
                    // TLS follows at once.
                    self.tell(None, cx);
                    self.inside = Some(Inside::with(tls::parser()));
                }
            }
            (Direction::Reverse, _, Some(0xff)) => {
                let code = body.get(1..3).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
                if matches!(code, Some(1044 | 1045 | 1698)) {
                    cx.notes.risk(Risk::FailedLogin);
                }
                self.tell(code, cx);
                return Step::Done;
            }
            (Direction::Reverse, _, Some(0)) if self.is_logged_in => {
                self.tell(None, cx);
                return Step::Done;
            }
            _ => {}
        }
        Step::Consumed(4 + len)
    }

    fn end(&mut self, cx: &mut Context<'_>) {
        self.tell(None, cx);
        if let Some(inside) = &mut self.inside {
            inside.end(cx);
        }
    }
}

impl Login {
    fn tell(&mut self, error: Option<u16>, cx: &mut Context<'_>) {
        let knows = !self.version.is_empty() || self.is_logged_in || error.is_some();
        if std::mem::replace(&mut self.is_told, true) || !knows {
            return;
        }
        cx.tell_with("mysql", Direction::Forward, |mysql| {
            mysql.text("version", &self.version);
            mysql.bool("tls", self.is_tls);
            if self.is_logged_in {
                mysql.text("user", &self.user);
                mysql.text("database", &self.database);
            }
            if let Some(error) = error {
                mysql.number("error_code", error);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpi::protocols::files::peek_of;

    #[test]
    fn greetings_have_a_version_and_salt() {
        let mut bytes = vec![0, 0, 0, 0, 10];
        bytes.extend_from_slice(b"8.0.36\0\x01\0\0\0saltsalt\0\xff\xff");
        bytes[0] = (bytes.len() - 4) as u8;
        let peek = |bytes| peek_of(bytes, Direction::Reverse, 3307, true);
        assert_eq!(look(&peek(&bytes)), Match::Yes(95));
        for len in 0..bytes.len() {
            assert_ne!(look(&peek(&bytes[..len])), Match::More);
        }
        assert_eq!(look(&peek(b"\x05\0\0\0\x0aabcd")), Match::No);
    }

    #[test]
    fn logins_name_user_and_database() {
        let mut body = (PROTOCOL_41 | SECURE | CONNECT_WITH_DB).to_le_bytes().to_vec();
        body.extend_from_slice(&[0, 0, 0, 1, 33]);
        body.extend_from_slice(&[0; 23]);
        body.extend_from_slice(b"root\0\x02abshop\0");
        let read = login(&body).map(|login| (login.user, login.database));
        assert_eq!(read, Some((Some(&b"root"[..]), Some(&b"shop"[..]))));
        for len in 0..body.len() {
            let _ = login(&body[..len]);
        }
    }
}
