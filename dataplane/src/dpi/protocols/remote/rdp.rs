//! RDP: who asks for whose desktop, and how is it protected? (MS-RDPBCGR 2.2.1, MS-RDPEUDP 2.2.2)

use crate::dpi::cursor::Cursor;
use crate::dpi::parser::{Context, Parser, Step};
use crate::dpi::protocols;
use crate::dpi::text::{find, utf16};
use crate::dpi::{Category, First, HostKind, Match, Over, Peek, Probe, Protocol, Risk};
use crate::flow::Direction;

/// RDP.
pub static RDP: Protocol = Protocol {
    name: "rdp",
    eve: None,
    category: Category::RemoteAccess,
    probes: &[
        Probe { over: Over::Tcp, first: First::Of(&[3]), look },
        Probe { over: Over::Udp, first: First::Of(&[0xff]), look: look_at_datagram },
        Probe { over: Over::Udp, first: First::Any, look: look_at_later_datagram },
    ],
    parser: Some(|| Box::<Connection>::default()),
};

const CONNECTION_REQUEST: u8 = 0xe0;
const CONNECTION_CONFIRM: u8 = 0xd0;

/// TPKT (RFC 1006 6), then X.224's connection request or confirm, then RDP's cookie or negotiation.
fn look(peek: &Peek<'_>) -> Match {
    let bytes = peek.bytes;
    let Some(&[3, 0, high, low, li, kind, _, _, _, _, class]) = bytes.first_chunk::<11>() else {
        return if bytes.len() < 11 && [3, 0].starts_with(bytes.get(..2).unwrap_or(bytes)) {
            Match::More
        } else {
            Match::No
        };
    };
    let len = usize::from(u16::from_be_bytes([high, low]));
    // MS-RDPBCGR 2.2.1.1: the length indicator covers all of it; class 0.
    if usize::from(li) + 5 != len || class != 0 {
        return Match::No;
    }
    let rest = bytes.get(11..bytes.len().min(len)).unwrap_or_default();
    let negotiation = bytes.get(len.saturating_sub(8)..len);
    match kind {
        CONNECTION_REQUEST => {
            let is_sure = rest.starts_with(b"Cookie: mst") || is_negotiation(negotiation, &[1]);
            if is_sure {
                Match::Yes(96)
            } else {
                Match::of(len == 11, if peek.has_port(3389) { 85 } else { 45 })
            }
        }
        CONNECTION_CONFIRM => {
            if is_negotiation(negotiation, &[2, 3]) {
                Match::Yes(95)
            } else {
                Match::of(len == 11 && peek.has_port(3389), 82)
            }
        }
        _ => Match::No,
    }
}

/// MS-RDPBCGR 2.2.1.1.1, 2.2.1.2.1: type, flags, length 8, protocols.
fn is_negotiation(bytes: Option<&[u8]>, kinds: &[u8]) -> bool {
    matches!(bytes, Some([kind, flags, 8, 0, protocols, 0, 0, 0])
        if kinds.contains(kind) && *flags < 0x20 && *protocols < 0x20)
}

/// MS-RDPEUDP 2.2.2.1, 2.2.2.5: a SYN acknowledges nothing and gives both MTUs (1132 to 1232).
fn look_at_datagram(peek: &Peek<'_>) -> Match {
    let flags = peek.be16(6);
    let mtu = 1132..=1232;
    // SYN, and whether it is lossy, has a correlation or an extension.
    let is_syn = peek.be32(0) == u32::MAX && flags & 1 == 1 && flags & !0x1a01 == 0;
    Match::sure(is_syn && mtu.contains(&peek.be16(12)) && mtu.contains(&peek.be16(14)))
}

/// MS-RDPEUDP 2.2.2: data with acknowledgements, in which a record of TLS or DTLS begins.
fn look_at_later_datagram(peek: &Peek<'_>) -> Match {
    if !peek.has_port(3389) || peek.be16(6) & !0x0d3c != 0 || peek.be16(6) & 0x000c == 0 {
        return Match::No;
    }
    let records = peek.bytes.get(8..peek.bytes.len().min(64)).unwrap_or_default();
    let is_record = records.windows(2).any(|pair| matches!(pair, [0x14..=0x17, 3 | 0xfe]));
    if is_record { Match::Yes(82) } else { Match::More }
}

#[derive(Default)]
struct Connection {
    inner: Option<Box<dyn Parser>>,
    protocol: Option<u32>,
    is_confirmed: bool,
}

/// What is read of a connection at most before TLS or its refusal.
const MESSAGE_BYTES_MAX: usize = 16_384;

impl Parser for Connection {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        cx.notes.risk(Risk::RemoteControl);
        if cx.flow.protocol == crate::parse::Protocol::UDP {
            return Step::Done;
        }
        if self.inner.is_none() && bytes.first() == Some(&0x16) && self.is_confirmed {
            self.inner = protocols::by_name("tls").and_then(|tls| tls.parser).map(|make| make());
            if self.inner.is_none() {
                return Step::Done;
            }
        }
        if let Some(inner) = &mut self.inner {
            return match inner.data(way, bytes, cx) {
                Step::NotMine => Step::Done,
                step => step,
            };
        }
        let Some(&[version, _, high, low]) = bytes.first_chunk::<4>() else { return Step::Consumed(0) };
        let len = usize::from(u16::from_be_bytes([high, low]));
        if version != 3 || !(7..=MESSAGE_BYTES_MAX).contains(&len) {
            // A session with its own security goes on in messages of another kind (MS-RDPBCGR 2.2.9.1.2).
            if version == 3 || !self.is_confirmed {
                cx.anomaly("malformed_tpkt");
            }
            return Step::Done;
        }
        let Some(message) = bytes.get(..len) else { return Step::Consumed(0) };
        match message.get(5) {
            Some(&CONNECTION_REQUEST) => request(message.get(11..).unwrap_or_default(), way, cx),
            Some(&CONNECTION_CONFIRM) => self.confirm(message.get(11..).unwrap_or_default(), way, cx),
            // Data: MCS Connect-Initial is 7f 65, Connect-Response 7f 66.
            Some(0x80) => match message.get(7..9).or_else(|| message.get(7..)) {
                Some([0x7f, 0x65]) => connect(message, way, cx),
                Some([0x7f, 0x66]) => {
                    cx.tell_with("rdp", way, |rdp| rdp.text("event_type", "connect_response"));
                    return Step::Done;
                }
                _ => return Step::Done,
            },
            _ => return Step::Done,
        }
        if self.is_confirmed && self.protocol.is_none() && way == Direction::Reverse {
            // Refused.
            return Step::Done;
        }
        Step::Consumed(len)
    }

    fn end(&mut self, cx: &mut Context<'_>) {
        if let Some(inner) = &mut self.inner {
            inner.end(cx);
        }
    }
}

fn request(body: &[u8], way: Direction, cx: &mut Context<'_>) {
    let cookie = body.strip_prefix(b"Cookie: mstshash=").and_then(|rest| rest.get(..find(rest, b"\r\n")?));
    let negotiation = body.len().checked_sub(8).and_then(|from| body.get(from..));
    let flags = match negotiation {
        Some([1, flags, 8, 0, ..]) => *flags,
        _ => 0,
    };
    cx.tell_with("rdp", way, |rdp| {
        rdp.text("event_type", "initial_request");
        rdp.text_if("cookie", cookie);
        if flags & 3 != 0 {
            rdp.list("flags", |list| {
                if flags & 1 != 0 {
                    list.text("", "restricted_admin_mode_required");
                }
                if flags & 2 != 0 {
                    list.text("", "redirected_authentication_mode_required");
                }
            });
        }
    });
}

impl Connection {
    fn confirm(&mut self, body: &[u8], way: Direction, cx: &mut Context<'_>) {
        self.is_confirmed = true;
        let (flags, protocol, error) = match body.get(..8) {
            Some(&[2, flags, 8, 0, p, _, _, _]) => (flags, Some(u32::from(p)), None),
            Some(&[3, _, 8, 0, e, _, _, _]) => (0, None, Some(e)),
            _ => (0, Some(0), None),
        };
        self.protocol = protocol;
        cx.tell_with("rdp", way, |rdp| {
            rdp.text("event_type", "initial_response");
            if let Some(error) = error {
                rdp.number("error_code", error);
                rdp.text(
                    "reason",
                    match error {
                        1 => "ssl required by server",
                        2 => "ssl not allowed by server",
                        3 => "ssl certificate not on server",
                        4 => "inconsistent flags",
                        5 => "hybrid required by server",
                        6 => "ssl with user auth required by server",
                        _ => "unknown",
                    },
                );
                return;
            }
            rdp.list("server_supports", |list| {
                for (bit, name) in [
                    (1, "extended_client_data"),
                    (2, "dynvc_gfx"),
                    (8, "restricted_admin"),
                    (16, "redirected_authentication"),
                ] {
                    if flags & bit != 0 {
                        list.text("", name);
                    }
                }
            });
            rdp.text(
                "protocol",
                match protocol {
                    Some(1) => "ssl",
                    Some(2) => "hybrid",
                    Some(4) => "rds_tls",
                    Some(8) => "hybrid_ex",
                    _ => "rdp",
                },
            );
        });
        if protocol == Some(0) {
            // MS-RDPBCGR 5.3: RDP's own security is RC4 with keys anybody can change on the way.
            cx.notes.risk(Risk::WeakCipher);
        }
    }
}

/// MS-RDPBCGR 2.2.1.3.2: the core data of the client, found by its type and length behind the encodings of T.125.
fn connect(message: &[u8], way: Direction, cx: &mut Context<'_>) {
    // After "Duca", the key of the client's blocks.
    let Some(from) = find(message, b"Duca") else { return };
    let Some(core) = find(message.get(from..).unwrap_or_default(), &[0x01, 0xc0]) else { return };
    let mut at = Cursor::new(message.get(from + core..).unwrap_or_default());
    let mut read = || {
        at.skip(4)?;
        let version = at.le32()?;
        let (width, height) = (at.le16()?, at.le16()?);
        at.skip(4)?;
        let (layout, build, name) = (at.le32()?, at.le32()?, at.take(32)?);
        Some((version, width, height, layout, build, name))
    };
    let Some((version, width, height, layout, build, raw)) = read() else { return };
    let mut buffer = [0; 512];
    let name = utf16(raw, &mut buffer);
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    cx.host(HostKind::Other, name);
    cx.tell_with("rdp", way, |rdp| {
        rdp.text("event_type", "connect_request");
        rdp.object("client", |client| {
            client.text(
                "version",
                match version {
                    0x0008_0001 => "v4",
                    0x0008_0004 => "v5",
                    0x0008_0005 => "v10.0",
                    0x0008_0006 => "v10.1",
                    0x0008_0007 => "v10.2",
                    0x0008_0008 => "v10.3",
                    0x0008_0009 => "v10.4",
                    0x0008_000a => "v10.5",
                    0x0008_000b => "v10.6",
                    0x0008_000c => "v10.7",
                    _ => "unknown",
                },
            );
            client.number("desktop_width", width);
            client.number("desktop_height", height);
            client.number("keyboard_layout_id", layout);
            client.number("build_number", build);
            client.text("client_name", name);
        });
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpi::protocols::files::peek_of;

    #[test]
    fn a_negotiation_is_rdp_and_a_plc_is_not() {
        let peek = |bytes| peek_of(bytes, Direction::Forward, 3390, true);
        let request = [3, 0, 0, 19, 14, 0xe0, 0, 0, 0, 0, 0, 1, 0, 8, 0, 3, 0, 0, 0];
        assert_eq!(look(&peek(&request)), Match::Yes(96));
        for len in 0..request.len() {
            let _ = look(&peek(&request[..len]));
        }
        // S7: parameters c0, c1, c2 after the class.
        let plc = [3, 0, 0, 22, 17, 0xe0, 0, 0, 0, 1, 0, 0xc0, 1, 10, 0xc1, 2, 1, 0, 0xc2, 2, 1, 2];
        assert_eq!(look(&peek(&plc)), Match::No);
    }
}
