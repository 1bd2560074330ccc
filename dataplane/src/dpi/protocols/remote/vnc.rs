//! VNC: which version, which security, which desktop? (RFC 6143)

use crate::dpi::cursor::Cursor;
use crate::dpi::parser::{Context, Parser, Step};
use crate::dpi::protocols::secure::tls;
use crate::dpi::protocols::web::inside::Inside;
use crate::dpi::{Category, First, HostKind, Match, Over, Peek, Probe, Protocol, Risk};
use crate::flow::Direction;

/// VNC, whose protocol is RFB.
pub static VNC: Protocol = Protocol {
    name: "vnc",
    eve: Some("rfb"),
    category: Category::RemoteAccess,
    probes: &[Probe { over: Over::Tcp, first: First::Of(b"R"), look }],
    parser: Some(|| Box::<Handshake>::default()),
};

/// RFC 6143 7.1.1: `RFB 003.008\n`.
fn look(peek: &Peek<'_>) -> Match {
    match peek.bytes.get(..12) {
        Some(version) => Match::sure(version_of(version).is_some()),
        None if b"RFB 0".starts_with(peek.bytes.get(..5).unwrap_or(peek.bytes)) => Match::More,
        None => Match::No,
    }
}

/// Major and minor.
fn version_of(line: &[u8]) -> Option<([u8; 3], [u8; 3])> {
    let [b'R', b'F', b'B', b' ', a, b, c, b'.', d, e, f, b'\n'] = *line.first_chunk::<12>()? else {
        return None;
    };
    [a, b, c, d, e, f].iter().all(u8::is_ascii_digit).then_some(([a, b, c], [d, e, f]))
}

#[derive(Default)]
struct Handshake {
    versions: [Option<([u8; 3], [u8; 3])>; 2],
    security: Option<u32>,
    challenge: Option<[u8; 16]>,
    response: Option<[u8; 16]>,
    result: Option<u32>,
    is_shared: Option<bool>,
    screen: Option<(u16, u16, [u8; 16])>,
    name: Box<[u8]>,
    is_told: bool,
    vencrypt: VeNCrypt,
    inside: Option<Inside>,
}

/// How far the two have come to an agreement about TLS.
#[derive(Default)]
struct VeNCrypt {
    /// Messages of the server, and of the client.
    server: u8,
    client: u8,
    subtype: u32,
}

const NONE: u32 = 1;
const VNC_AUTHENTICATION: u32 = 2;
/// TLS at once, and TLS after a choice of versions and kinds (rfbproto 7.2.6 and 7.2.7).
const TLS_AT_ONCE: u32 = 18;
const VENCRYPT: u32 = 19;

impl Parser for Handshake {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        if let Some(inside) = &mut self.inside {
            return inside.data(way, bytes, cx);
        }
        if matches!(self.security, Some(TLS_AT_ONCE | VENCRYPT)) {
            return self.encrypt(way, bytes, cx);
        }
        let used = match (self.versions[way as usize], way) {
            (None, _) => match bytes.get(..12) {
                None => Some(0),
                Some(line) => {
                    self.versions[way as usize] = version_of(line);
                    cx.notes.risk(Risk::RemoteControl);
                    if version_of(line).is_none() {
                        cx.anomaly("invalid_version");
                    }
                    version_of(line).map(|_| 12)
                }
            },
            (Some(_), Direction::Reverse) => self.server(bytes, cx),
            (Some(_), Direction::Forward) => self.client(bytes),
        };
        match used {
            Some(used) if self.screen.is_none() => Step::Consumed(used),
            _ => {
                self.tell(cx);
                Step::Done
            }
        }
    }

    fn end(&mut self, cx: &mut Context<'_>) {
        self.tell(cx);
        if let Some(inside) = &mut self.inside {
            inside.end(cx);
        }
    }
}

impl Handshake {
    /// What comes before TLS (rfbproto 7.2.7): versions, an answer, kinds, the client's choice, an answer.
    fn encrypt(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        let mut at = Cursor::new(bytes);
        let agreed = &mut self.vencrypt;
        let is_at_once = self.security == Some(TLS_AT_ONCE);
        let read = match (way, agreed.server, agreed.client) {
            _ if is_at_once => Some(true),
            (Direction::Reverse, 0, _) => at.be16().map(|_| true),
            (Direction::Reverse, 1, _) => at.u8().map(|refused| refused == 0),
            (Direction::Reverse, 2, _) => {
                at.u8().and_then(|count| at.skip(4 * usize::from(count))).map(|()| true)
            }
            // Kinds 257 to 262 are those with TLS.
            (Direction::Reverse, ..) => {
                at.u8().map(|fits| fits == 1 && (257..=262).contains(&agreed.subtype))
            }
            (Direction::Forward, _, 0) => at.be16().map(|_| true),
            (Direction::Forward, _, 1) => at.be32().map(|subtype| {
                agreed.subtype = subtype;
                true
            }),
            (Direction::Forward, ..) => Some(false),
        };
        match read {
            None => return Step::Consumed(0),
            Some(false) => {
                self.tell(cx);
                return Step::Done;
            }
            Some(true) => {}
        }
        let said = if way == Direction::Reverse { &mut agreed.server } else { &mut agreed.client };
        *said += 1;
        if is_at_once || agreed.server == 4 {
            self.tell(cx);
            self.inside = Some(Inside::with(tls::parser()));
        }
        let used = bytes.len() - at.rest().len();
        if is_at_once { self.data(way, bytes, cx) } else { Step::Consumed(used) }
    }

    /// Bytes read; `None` where nothing more can be understood.
    fn server(&mut self, bytes: &[u8], cx: &mut Context<'_>) -> Option<usize> {
        // RFC 6143 7.1.2: before version 3.7 the server decides, from it on the client.
        let minor = self.versions[0].or(self.versions[1]).map_or([0; 3], |(_, minor)| minor);
        let is_old = minor < *b"007";
        let mut at = Cursor::new(bytes);
        match self.security {
            None if is_old => {
                let Some(kind) = at.be32() else { return Some(0) };
                self.security = Some(kind);
                match kind {
                    0 => None,
                    _ => Some(4),
                }
            }
            None => {
                let count = usize::from(at.u8()?);
                if count == 0 {
                    return None;
                }
                Some(if at.take(count).is_some() { 1 + count } else { 0 })
            }
            Some(VNC_AUTHENTICATION) if self.challenge.is_none() => match at.array::<16>() {
                Some(challenge) => {
                    self.challenge = Some(challenge);
                    Some(16)
                }
                None => Some(0),
            },
            // RFC 6143 7.2.1: without security no result is sent before version 3.8.
            Some(kind) if self.result.is_none() && !(kind == NONE && minor < *b"008") => {
                if !matches!(kind, NONE | VNC_AUTHENTICATION) {
                    return None;
                }
                let Some(result) = at.be32() else { return Some(0) };
                self.result = Some(result);
                if result == 0 { Some(4) } else { None }
            }
            Some(_) => {
                let (Some(width), Some(height), Some(format), Some(len)) =
                    (at.be16(), at.be16(), at.array::<16>(), at.be32())
                else {
                    return Some(0);
                };
                let Some(name) = at.rest().get(..len as usize) else {
                    if len < 1_024 {
                        return Some(0);
                    }
                    cx.anomaly("name_too_long");
                    return None;
                };
                self.screen = Some((width, height, format));
                self.name = name.get(..255).unwrap_or(name).into();
                Some(0)
            }
        }
    }

    fn client(&mut self, bytes: &[u8]) -> Option<usize> {
        let is_old = self.versions[0].is_some_and(|(_, minor)| minor < *b"007");
        match self.security {
            // Waits for the server's decision.
            None if is_old => Some(0),
            None => {
                self.security = bytes.first().map(|kind| u32::from(*kind));
                Some(1)
            }
            Some(VNC_AUTHENTICATION) if self.response.is_none() => {
                self.response = bytes.first_chunk::<16>().copied();
                Some(if self.response.is_some() { 16 } else { 0 })
            }
            Some(NONE | VNC_AUTHENTICATION) => {
                if self.is_shared.is_none() {
                    self.is_shared = bytes.first().map(|flag| *flag != 0);
                    return Some(1);
                }
                Some(bytes.len())
            }
            Some(_) => Some(bytes.len()),
        }
    }

    fn tell(&mut self, cx: &mut Context<'_>) {
        if std::mem::replace(&mut self.is_told, true) {
            return;
        }
        if self.result.is_some_and(|result| result != 0) {
            cx.notes.risk(Risk::FailedLogin);
        }
        if !self.name.is_empty() {
            cx.host(HostKind::Other, &self.name);
        }
        cx.tell_with("rfb", Direction::Reverse, |rfb| {
            for (key, version) in
                [("server_protocol_version", self.versions[1]), ("client_protocol_version", self.versions[0])]
            {
                if let Some((major, minor)) = version {
                    rfb.object(key, |object| {
                        object.text("major", major);
                        object.text("minor", minor);
                    });
                }
            }
            if let Some(kind) = self.security {
                rfb.object("authentication", |object| {
                    object.number("security_type", kind);
                    if let Some(challenge) = &self.challenge {
                        object.object("vnc", |vnc| {
                            vnc.hex("challenge", challenge);
                            if let Some(response) = &self.response {
                                vnc.hex("response", response);
                            }
                        });
                    }
                    match self.result {
                        Some(0) => object.text("security_result", "OK"),
                        Some(1) => object.text("security_result", "FAIL"),
                        Some(2) => object.text("security_result", "TOOMANY"),
                        _ => {}
                    }
                });
            }
            if let Some(shared) = self.is_shared {
                rfb.bool("screen_shared", shared);
            }
            if let Some((width, height, format)) = self.screen {
                rfb.object("framebuffer", |object| {
                    object.number("width", width);
                    object.number("height", height);
                    object.text("name", &self.name);
                    object.object("pixel_format", |pixel| {
                        let [bits, depth, big, colour, r0, r1, g0, g1, b0, b1, red, green, blue, ..] = format;
                        pixel.number("bits_per_pixel", bits);
                        pixel.number("depth", depth);
                        pixel.bool("big_endian", big != 0);
                        pixel.bool("true_color", colour != 0);
                        pixel.number("red_max", u16::from_be_bytes([r0, r1]));
                        pixel.number("green_max", u16::from_be_bytes([g0, g1]));
                        pixel.number("blue_max", u16::from_be_bytes([b0, b1]));
                        pixel.number("red_shift", red);
                        pixel.number("green_shift", green);
                        pixel.number("blue_shift", blue);
                    });
                });
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_three_digits_twice() {
        assert_eq!(version_of(b"RFB 003.008\n"), Some((*b"003", *b"008")));
        assert_eq!(version_of(b"RFB 003.00x\n"), None);
        assert_eq!(version_of(b"RFB 003.008"), None);
    }
}
