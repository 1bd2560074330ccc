//! Who asks a SOCKS proxy, and for what?
//!
//! Sources: RFC 1928 (SOCKS 5), RFC 1929 (user name and password), the SOCKS 4 and 4a memoranda. Records are our own:
//! Suricata has none. What is spoken through the proxy afterwards is read as itself.

use crate::dpi::parser::{Context, Parser, Step};
use crate::dpi::protocols::web::inside::Inside;
use crate::dpi::{Category, First, HostKind, Match, Peek, Probe, Protocol, Risk};
use crate::flow::Direction;

/// SOCKS 4, 4a and 5.
pub(super) static SOCKS: Protocol = Protocol {
    name: "socks",
    eve: None,
    category: Category::Web,
    probes: &[Probe::tcp(First::Of(&[0, 4, 5]), socks)],
    parser: Some(|| Box::new(Socks::default())),
};

fn socks(peek: &Peek<'_>) -> Match {
    match *peek.bytes {
        [5] | [4] | [0] => Match::More,
        [0, 0x5a..=0x5d, ..] => match peek.other {
            [4, 1 | 2, ..] if peek.bytes.len() >= 8 => Match::Yes(95),
            [4, 1 | 2, ..] => Match::More,
            _ => Match::No,
        },
        [4, 1 | 2, ref rest @ ..] => {
            // Port, address, user name and a zero; the name behind it in 4a.
            if rest.len() < 7 {
                return Match::More;
            }
            // The name is text; TDS begins alike, with the length of its packet where the port is.
            let names = rest.get(6..).unwrap_or_default();
            let is_text = names.iter().all(|byte| *byte == 0 || byte.is_ascii_graphic());
            let is_tds = usize::from(peek.be16(2)) == peek.bytes.len();
            let is = peek.be16(2) != 0 && names.last() == Some(&0) && is_text && !is_tds && names.len() < 512;
            Match::of(is, if peek.has_port(1_080) { 82 } else { 66 })
        }
        [5, method] if matches!(peek.other, [5, 1..=255, ..]) => {
            let offered = peek.other.get(2..).unwrap_or_default();
            Match::of(method == 0xff || offered.contains(&method), 95)
        }
        [5, count @ 1..=16, ref methods @ ..] if peek.other.is_empty() => {
            let offered = methods.len().min(usize::from(count));
            // Assigned methods, and the private ones.
            if !methods[..offered].iter().all(|method| matches!(method, 0..=9 | 0x80..=0xfe)) {
                return Match::No;
            }
            match methods.len().cmp(&usize::from(count)) {
                std::cmp::Ordering::Less => Match::More,
                std::cmp::Ordering::Equal => Match::Yes(if peek.has_port(1_080) { 78 } else { 65 }),
                // A client that does not wait for the answer goes on with its request.
                std::cmp::Ordering::Greater => Match::of(methods.get(offered) == Some(&5), 60),
            }
        }
        _ => Match::No,
    }
}

/// What was asked for, until it is answered.
#[derive(Default)]
struct Socks {
    version: u8,
    stage: Stage,
    method: u8,
    command: u8,
    port: u16,
    host: Vec<u8>,
    user: Vec<u8>,
    /// Reads what goes through the proxy.
    inside: Option<Box<Inside>>,
}

#[derive(Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Greeting,
    Login,
    Request,
    Requested,
    /// Answered: what follows is somebody else's.
    Through,
}

const CONNECT: u8 = 1;

const fn is_granted(version: u8, reply: u8) -> bool {
    matches!((version, reply), (4, 0x5a) | (5, 0))
}

/// Length of the answer to a request (RFC 1928 6; eight bytes in version 4); `None` where more must come.
fn answer_len(bytes: &[u8]) -> Option<usize> {
    let len = match bytes {
        [5, _, _, 1, ..] => 10,
        [5, _, _, 4, ..] => 22,
        [5, _, _, 3, len, ..] => 7 + usize::from(*len),
        [5, _, _, kind, ..] if *kind != 3 => bytes.len(),
        [0, ..] => 8,
        _ => return None,
    };
    (bytes.len() >= len).then_some(len)
}

impl Parser for Socks {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        if let Some(inside) = &mut self.inside {
            return inside.data(way, bytes, cx);
        }
        match way {
            Direction::Forward => self.client(bytes, cx),
            Direction::Reverse => self.server(bytes, cx),
        }
    }

    fn end(&mut self, cx: &mut Context<'_>) {
        if self.stage == Stage::Requested {
            self.tell(None, cx);
        }
        if let Some(inside) = &mut self.inside {
            inside.end(cx);
        }
    }
}

impl Socks {
    fn client(&mut self, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        match (&self.stage, bytes) {
            (Stage::Greeting, [4, command, rest @ ..]) => {
                let Some(([p, o, address @ ..], rest)) = rest.split_first_chunk::<6>() else {
                    return Step::Consumed(0);
                };
                let Some(user) = rest.iter().position(|byte| *byte == 0) else { return wait(bytes) };
                // 4a: an address of 0.0.0.x says that a name follows.
                let is_named = address.starts_with(&[0; 3]) && address[3] != 0;
                let after = rest.get(user + 1..).unwrap_or_default();
                let name_len = after.iter().position(|byte| *byte == 0);
                let consumed = match (is_named, name_len) {
                    (true, None) => return wait(bytes),
                    (true, Some(len)) => {
                        self.host = after[..len.min(255)].to_vec();
                        user + len + 2
                    }
                    (false, _) => {
                        self.host = dotted(address);
                        user + 1
                    }
                };
                (self.version, self.command, self.port) = (4, *command, u16::from_be_bytes([*p, *o]));
                self.user = rest[..user.min(255)].to_vec();
                self.requested(cx);
                Step::Consumed(8 + consumed)
            }
            (Stage::Greeting, [5, count, rest @ ..]) => {
                if rest.len() < usize::from(*count) {
                    return Step::Consumed(0);
                }
                (self.version, self.stage) = (5, Stage::Request);
                Step::Consumed(2 + usize::from(*count))
            }
            (Stage::Login, [1, len, rest @ ..]) => {
                let Some((user, rest)) = rest.split_at_checked(usize::from(*len)) else {
                    return Step::Consumed(0);
                };
                let Some((len, _)) =
                    rest.split_first().filter(|(len, rest)| rest.len() >= usize::from(**len))
                else {
                    return Step::Consumed(0);
                };
                self.user = user.to_vec();
                cx.notes.risk(Risk::ClearTextCredentials);
                self.stage = Stage::Request;
                Step::Consumed(3 + user.len() + usize::from(*len))
            }
            // Another method's exchange (GSSAPI) is not for us.
            (Stage::Request, [5, command, 0, kind, rest @ ..]) => {
                let (host, rest) = match (kind, rest) {
                    (1, _) => match rest.split_first_chunk::<4>() {
                        Some((address, rest)) => (dotted(address), rest),
                        None => return Step::Consumed(0),
                    },
                    (4, _) => match rest.split_first_chunk::<16>() {
                        Some((address, rest)) => {
                            (std::net::Ipv6Addr::from(*address).to_string().into_bytes(), rest)
                        }
                        None => return Step::Consumed(0),
                    },
                    (3, [len, rest @ ..]) => match rest.split_at_checked(usize::from(*len)) {
                        Some((name, rest)) => (name.to_vec(), rest),
                        None => return Step::Consumed(0),
                    },
                    (3, []) => return Step::Consumed(0),
                    _ => {
                        cx.anomaly("invalid_address_type");
                        return Step::Done;
                    }
                };
                let Some(port) = rest.first_chunk::<2>() else { return Step::Consumed(0) };
                (self.command, self.port, self.host) = (*command, u16::from_be_bytes(*port), host);
                self.requested(cx);
                Step::Consumed(bytes.len() - rest.len() + 2)
            }
            (Stage::Request | Stage::Login, [1 | 5, ..]) if bytes.len() < 5 => Step::Consumed(0),
            // The answer is still to come; what was sent too early waits for it.
            (Stage::Requested, _) => wait(bytes),
            (Stage::Greeting, [_]) => Step::Consumed(0),
            (Stage::Greeting, _) => {
                cx.anomaly("invalid_version");
                Step::Done
            }
            _ => Step::Done,
        }
    }

    fn server(&mut self, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        match (&self.stage, bytes) {
            (Stage::Requested, [0 | 5, reply, ..]) => {
                let Some(len) = answer_len(bytes) else { return Step::Consumed(0) };
                self.tell(Some(*reply), cx);
                self.stage = Stage::Through;
                if is_granted(self.version, *reply) && self.command == CONNECT {
                    self.inside = Some(Box::default());
                    return Step::Consumed(len);
                }
                Step::Done
            }
            (Stage::Request, [5, method]) => {
                self.method = *method;
                match method {
                    2 => self.stage = Stage::Login,
                    0xff => return Step::Done,
                    _ => {}
                }
                Step::Consumed(2)
            }
            (Stage::Request, [1, status]) => {
                if *status != 0 {
                    cx.notes.risk(Risk::FailedLogin);
                }
                Step::Consumed(2)
            }
            (_, [_]) => Step::Consumed(0),
            _ => Step::Consumed(bytes.len()),
        }
    }

    fn requested(&mut self, cx: &mut Context<'_>) {
        cx.host(HostKind::Http, &self.host);
        self.stage = Stage::Requested;
    }

    fn tell(&self, reply: Option<u8>, cx: &mut Context<'_>) {
        cx.tell_with("socks", Direction::Reverse, |fields| {
            fields.number("version", self.version);
            fields.text_if("command", command(self.command));
            fields.text("host", &self.host);
            fields.number("port", self.port);
            if !self.user.is_empty() {
                fields.text("user", &self.user);
            }
            if let Some(reply) = reply {
                fields.bool("granted", is_granted(self.version, reply));
                fields.number("reply", reply);
            }
        });
    }
}

/// Waits for the rest of a request, unless it is longer than any.
const fn wait(bytes: &[u8]) -> Step {
    if bytes.len() > 1_024 { Step::Done } else { Step::Consumed(0) }
}

fn dotted(address: &[u8; 4]) -> Vec<u8> {
    std::net::Ipv4Addr::from(*address).to_string().into_bytes()
}

const fn command(command: u8) -> Option<&'static str> {
    match command {
        1 => Some("connect"),
        2 => Some("bind"),
        3 => Some("udp_associate"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpi::protocol::samples::{confidence, stream};

    #[test]
    fn greetings_are_recognised() {
        assert_eq!(confidence(&SOCKS, &stream(&[5, 2, 0, 1])), 65);
        assert_eq!(
            confidence(&SOCKS, &Peek { other: &[5, 2, 0, 1], way: Direction::Reverse, ..stream(&[5, 0]) }),
            95
        );
        assert_eq!(
            confidence(&SOCKS, &Peek { other: &[5, 2, 0, 1], way: Direction::Reverse, ..stream(&[5, 7]) }),
            0
        );
        assert_eq!(confidence(&SOCKS, &stream(&[4, 1, 0, 80, 192, 0, 2, 1, b'a', 0])), 66);
        assert_eq!(confidence(&SOCKS, &stream(&[4, 1, 0, 80, 192, 0, 2, 1, b'a', 1])), 0);
        assert_eq!(socks(&stream(&[5])), Match::More);
    }
}
