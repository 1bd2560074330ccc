//! Who asks whether somebody may come in? RADIUS (RFC 2865, RFC 2866), Diameter (RFC 6733), TACACS+ (RFC 8907).

use super::super::names::line::address;
use crate::dpi::{Category, Context, First, Match, Over, Parser, Peek, Probe, Protocol, Risk, Step};
use crate::flow::Direction;

/// RADIUS.
pub static RADIUS: Protocol = Protocol {
    name: "radius",
    eve: None,
    category: Category::Network,
    probes: &[Probe { over: Over::Udp, first: First::In(1, 52), look: radius }],
    parser: Some(|| Box::new(Radius)),
};

/// Diameter.
pub static DIAMETER: Protocol = Protocol {
    name: "diameter",
    eve: None,
    category: Category::Network,
    probes: &[
        Probe { over: Over::Tcp, first: First::Of(&[1]), look: diameter },
        Probe { over: Over::Udp, first: First::Of(&[1]), look: diameter },
        Probe { over: Over::Sctp, first: First::Any, look: diameter_sctp },
    ],
    parser: None,
};

/// TACACS+.
pub static TACACS: Protocol = Protocol::named(
    "tacacs",
    Category::Network,
    &[Probe { over: Over::Tcp, first: First::Of(&[0xc0, 0xc1]), look: tacacs }],
);

const RADIUS_PORTS: [u16; 5] = [1812, 1813, 1645, 1646, 3799];

/// Attributes of one message that are looked at.
const ATTRIBUTES_MAX: usize = 128;

fn radius(peek: &Peek<'_>) -> Match {
    let len = usize::from(peek.be16(2));
    let code = peek.bytes.first().copied().unwrap_or(0);
    let is_code = matches!(code, 1..=5 | 11..=13 | 40..=45);
    let is_port = RADIUS_PORTS.iter().any(|port| peek.has_port(*port));
    // RFC 2865 3: 20 to 4096 bytes; what is behind the length is padding.
    if !is_code || !(20..=4_096).contains(&len) || peek.bytes.len() < 20 {
        return Match::No;
    }
    if is_port {
        return Match::Yes(if len <= peek.bytes.len() { 93 } else { 80 });
    }
    let mut rest = peek.bytes.get(20..len).unwrap_or_default();
    let mut count = 0;
    while let [kind, size, ..] = rest {
        if *kind == 0 || *size < 2 || count > ATTRIBUTES_MAX {
            return Match::No;
        }
        let Some(behind) = rest.get(usize::from(*size)..) else { return Match::No };
        rest = behind;
        count += 1;
    }
    Match::of(len == peek.bytes.len() && rest.is_empty() && count >= 2, 82)
}

#[derive(Debug)]
struct Radius;

impl Parser for Radius {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        let [code, id, high, low, ..] = bytes else { return Step::Consumed(bytes.len()) };
        let len = usize::from(u16::from_be_bytes([*high, *low]));
        let Some(attributes) = bytes.get(20..len) else {
            cx.anomaly("invalid_length");
            return Step::Consumed(bytes.len());
        };
        if *code == 3 {
            cx.risk(Risk::FailedLogin, format_args!("radius access-reject"));
        }
        cx.tell_with("radius", way, |fields| {
            fields.text_if("type", code_name(*code));
            fields.number("id", *id);
            for (kind, value) in attributes_of(attributes) {
                match kind {
                    1 => fields.text("user_name", value),
                    4 => fields.text_if("nas_ip", address(value)),
                    8 => fields.text_if("framed_ip", address(value)),
                    18 => fields.text("reply_message", value),
                    30 => fields.text("called_station", value),
                    31 => fields.text("calling_station", value),
                    32 => fields.text("nas_identifier", value),
                    44 => fields.text("session_id", value),
                    _ => {}
                }
            }
        });
        Step::Consumed(bytes.len())
    }
}

fn attributes_of(mut rest: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let [kind, size, ..] = rest else { return None };
        let value = rest.get(2..usize::from(*size))?;
        rest = rest.get(usize::from(*size)..)?;
        Some((*kind, value))
    })
    .take(ATTRIBUTES_MAX)
}

const fn code_name(code: u8) -> Option<&'static str> {
    Some(match code {
        1 => "access_request",
        2 => "access_accept",
        3 => "access_reject",
        4 => "accounting_request",
        5 => "accounting_response",
        11 => "access_challenge",
        12 => "status_server",
        13 => "status_client",
        40 => "disconnect_request",
        41 => "disconnect_ack",
        42 => "disconnect_nak",
        43 => "coa_request",
        44 => "coa_ack",
        45 => "coa_nak",
        _ => return None,
    })
}

/// A header of RFC 6733 3.
fn diameter_header(bytes: &[u8], is_port: bool) -> Match {
    let Some([version, l0, l1, l2, flags, c0, c1, c2, ..]) = bytes.get(..20) else { return Match::No };
    let len = u32::from_be_bytes([0, *l0, *l1, *l2]);
    let command = u32::from_be_bytes([0, *c0, *c1, *c2]);
    if *version != 1 || len < 20 || !len.is_multiple_of(4) || flags & 0xf != 0 {
        return Match::No;
    }
    // Base commands, and those of credit control, SIP, EAP, NAS and 3GPP's interfaces.
    let is_command = matches!(command, 257..=300 | 303 | 316..=328 | 8_388_600..=8_388_750);
    match (is_command, is_port) {
        (true, _) => Match::Yes(93),
        (false, true) => Match::Yes(85),
        (false, false) => Match::No,
    }
}

fn diameter(peek: &Peek<'_>) -> Match {
    if peek.bytes.len() < 20 {
        return if peek.is_tcp { Match::More } else { Match::No };
    }
    diameter_header(peek.bytes, peek.has_port(3_868))
}

fn diameter_sctp(peek: &Peek<'_>) -> Match {
    match super::mobile::payload(peek.bytes) {
        Some((46 | 47, _)) => Match::Yes(95),
        Some((0, data)) => diameter_header(data, peek.has_port(3_868)),
        None => Match::of(peek.has_port(3_868), 45),
        Some(_) => Match::No,
    }
}

fn tacacs(peek: &Peek<'_>) -> Match {
    let Some([_, kind, sequence, flags, ..]) = peek.bytes.get(..12) else { return Match::More };
    let len = peek.be32(8) as usize;
    // RFC 8907 4.1: authentication, authorization, accounting; the first message has number 1.
    if !(1..=3).contains(kind)
        || !(1..=4).contains(sequence)
        || flags & !5 != 0
        || !(4..=0xffff).contains(&len)
    {
        return Match::No;
    }
    if peek.has_port(49) { Match::Yes(92) } else { Match::of(peek.bytes.len() == len + 12, 75) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpi::protocol::samples::peek;

    #[test]
    fn access_protocols_are_recognised() {
        let mut request = vec![1, 9, 0, 31];
        request.extend_from_slice(&[7; 16]);
        request.extend_from_slice(&[1, 5, b'b', b'o', b'b', 4, 6, 192, 0, 2, 1]);
        assert_eq!(radius(&peek(&request, 1812, false)), Match::Yes(93));
        assert_eq!(radius(&peek(&request, 9_000, false)), Match::Yes(82));
        assert_eq!(attributes_of(&request[20..]).count(), 2);
        for len in 0..request.len() {
            assert_eq!(radius(&peek(&request[..len], 9_000, false)), Match::No);
        }
        let hello = b"\x01\x00\x00\x14\x80\x00\x01\x01\0\0\0\0\0\0\0\x01\0\0\0\x02";
        assert_eq!(diameter(&peek(hello, 9_000, true)), Match::Yes(93));
        assert_eq!(diameter(&peek(&hello[..12], 9_000, true)), Match::More);
        let start = b"\xc0\x01\x01\x00\0\0\0\x09\0\0\0\x04abcd";
        assert_eq!(tacacs(&peek(start, 49, true)), Match::Yes(92));
        assert_eq!(tacacs(&peek(start, 9_000, true)), Match::Yes(75));
    }
}
