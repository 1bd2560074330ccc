//! Which values of which device are asked for? SNMP 1 (RFC 1157), 2c (RFC 3416), 3 (RFC 3412, RFC 3414).
//!
//! A record a message, as Suricata's EVE `snmp`.

use super::super::ber::{self, oid};
use super::super::names::line::address;
use crate::dpi::{Category, Context, Fields, First, Match, Over, Parser, Peek, Probe, Protocol, Risk, Step};
use crate::flow::Direction;

/// SNMP.
pub static SNMP: Protocol = Protocol {
    name: "snmp",
    eve: None,
    category: Category::Network,
    probes: &[
        Probe { over: Over::Udp, first: First::Of(&[SEQUENCE]), look },
        Probe { over: Over::Tcp, first: First::Of(&[SEQUENCE]), look },
    ],
    parser: Some(|| Box::new(Reader)),
};

/// Tags of BER.
const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 2;
const OCTETS: u8 = 4;
const OID: u8 = 6;
const IP_ADDRESS: u8 = 0x40;

/// Bindings of one message that are told.
const BINDINGS_MAX: usize = 64;

/// One value: its tag, its content, and what follows.
fn value(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (head, len) = ber::head(bytes)?;
    let (content, rest) = bytes.get(head..)?.split_at_checked(len)?;
    Some((*bytes.first()?, content, rest))
}

/// The same, of that tag.
fn tagged(bytes: &[u8], expected: u8) -> Option<(&[u8], &[u8])> {
    value(bytes).filter(|(tag, ..)| *tag == expected).map(|(_, content, rest)| (content, rest))
}

fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (content, rest) = tagged(bytes, INTEGER).filter(|(content, _)| (1..=8).contains(&content.len()))?;
    Some((content.iter().fold(0, |sum, digit| sum << 8 | u64::from(*digit)), rest))
}

#[derive(Debug)]
struct Message<'a> {
    version: u8,
    community: Option<&'a [u8]>,
    user: Option<&'a [u8]>,
    pdu: Option<(u8, &'a [u8])>,
}

impl<'a> Message<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let (inner, _) = tagged(bytes, SEQUENCE)?;
        let (version, rest) = number(inner)?;
        if version < 2 {
            let (community, rest) = tagged(rest, OCTETS)?;
            let (kind, pdu, _) = value(rest).filter(|(tag, ..)| (0xa0..=0xa8).contains(tag))?;
            let version = version as u8 + 1;
            return Some(Self { version, community: Some(community), user: None, pdu: Some((kind, pdu)) });
        }
        if version != 3 {
            return None;
        }
        // RFC 3412 6: identifiers and flags, parameters of the security model, then the scoped PDU.
        let (global, rest) = tagged(rest, SEQUENCE)?;
        let (_, flags) = number(global).and_then(|(_, rest)| number(rest))?;
        tagged(flags, OCTETS).filter(|(flags, _)| flags.len() == 1)?;
        let (security, rest) = tagged(rest, OCTETS)?;
        // RFC 3414 2.4: engine, boots, time, user.
        let user = tagged(security, SEQUENCE)
            .and_then(|(inner, _)| tagged(inner, OCTETS))
            .and_then(|(_, rest)| number(rest))
            .and_then(|(_, rest)| number(rest))
            .and_then(|(_, rest)| tagged(rest, OCTETS))
            .map(|(user, _)| user);
        let pdu = tagged(rest, SEQUENCE)
            .and_then(|(scoped, _)| tagged(scoped, OCTETS))
            .and_then(|(_, rest)| tagged(rest, OCTETS))
            .and_then(|(_, rest)| value(rest))
            .map(|(kind, pdu, _)| (kind, pdu));
        Some(Self { version: 3, community: None, user, pdu })
    }

    fn write(&self, fields: &mut Fields) {
        fields.number("version", self.version);
        match self.pdu {
            None => fields.text("pdu_type", "encrypted"),
            Some((kind, pdu)) => {
                fields.text_if("pdu_type", pdu_name(kind));
                write_pdu(fields, kind, pdu);
            }
        }
        fields.text_if("community", self.community);
        fields.text_if("usm", self.user);
    }
}

fn write_pdu(fields: &mut Fields, kind: u8, pdu: &[u8]) {
    let bindings = if kind == 0xa4 {
        // RFC 1157 4.1.6: enterprise, agent, kinds of trap, time.
        let Some((enterprise, rest)) = tagged(pdu, OID) else { return };
        let Some((agent, rest)) = tagged(rest, IP_ADDRESS) else { return };
        let Some((generic, rest)) = number(rest) else { return };
        fields.text_if("trap_type", trap_name(generic));
        fields.text("trap_oid", oid(enterprise));
        fields.text_if("trap_address", address(agent));
        number(rest).and_then(|(_, rest)| value(rest)).map(|(_, _, rest)| rest)
    } else {
        number(pdu).and_then(|(_, rest)| number(rest)).and_then(|(status, rest)| {
            if status != 0 && kind != 0xa5 {
                fields.text_if("error", error_name(status));
            }
            number(rest).map(|(_, rest)| rest)
        })
    };
    let Some((mut bindings, _)) = bindings.and_then(|rest| tagged(rest, SEQUENCE)) else { return };
    if bindings.is_empty() {
        return;
    }
    fields.list("vars", |list| {
        for _ in 0..BINDINGS_MAX {
            let Some((binding, rest)) = tagged(bindings, SEQUENCE) else { return };
            bindings = rest;
            if let Some((name, _)) = tagged(binding, OID) {
                list.text("", oid(name));
            }
        }
    });
}

const fn pdu_name(kind: u8) -> Option<&'static str> {
    Some(match kind {
        0xa0 => "get_request",
        0xa1 => "get_next_request",
        0xa2 => "response",
        0xa3 => "set_request",
        0xa4 => "trap_v1",
        0xa5 => "get_bulk_request",
        0xa6 => "inform_request",
        0xa7 => "trap_v2",
        0xa8 => "report",
        _ => return None,
    })
}

const fn trap_name(kind: u64) -> Option<&'static str> {
    Some(match kind {
        0 => "coldStart",
        1 => "warmStart",
        2 => "linkDown",
        3 => "linkUp",
        4 => "authenticationFailure",
        5 => "egpNeighborLoss",
        6 => "enterpriseSpecific",
        _ => return None,
    })
}

/// RFC 3416 3.
const fn error_name(status: u64) -> Option<&'static str> {
    Some(match status {
        1 => "TooBig",
        2 => "NoSuchName",
        3 => "BadValue",
        4 => "ReadOnly",
        5 => "GenErr",
        6 => "NoAccess",
        7 => "WrongType",
        8 => "WrongLength",
        9 => "WrongEncoding",
        10 => "WrongValue",
        11 => "NoCreation",
        12 => "InconsistentValue",
        13 => "ResourceUnavailable",
        14 => "CommitFailed",
        15 => "UndoFailed",
        16 => "AuthorizationError",
        17 => "NotWritable",
        18 => "InconsistentName",
        _ => return None,
    })
}

fn look(peek: &Peek<'_>) -> Match {
    let is_port = [161, 162, 10_161, 10_162].iter().any(|port| peek.has_port(*port));
    if Message::read(peek.bytes).is_some() {
        return Match::Yes(95);
    }
    // Cut short, or broken behind the version and community.
    let Some([_, len, ..]) = peek.bytes.get(..2) else { return Match::No };
    let at = 2 + if len & 0x80 != 0 { usize::from(len & 0x7f) } else { 0 };
    let is_version = peek.bytes.get(at..).is_some_and(|rest| matches!(rest, [2, 1, 0 | 1 | 3, 4 | 0x30, ..]));
    Match::of(is_port && is_version, 82)
}

#[derive(Debug)]
struct Reader;

impl Parser for Reader {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        if cx.flow.protocol == crate::parse::Protocol::TCP {
            return Step::Done;
        }
        match Message::read(bytes) {
            Some(message) => {
                if let version @ (1 | 2) = message.version {
                    let name = if version == 1 { "snmp 1" } else { "snmp 2c" };
                    cx.risk(Risk::ObsoleteVersion, format_args!("{name}"));
                    cx.risk(Risk::ClearTextCredentials, format_args!("{name} community"));
                }
                cx.tell_with("snmp", way, |fields| message.write(fields));
            }
            None => cx.anomaly("malformed_data"),
        }
        Step::Consumed(bytes.len())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;

    const GET: &[u8] =
        b"\x30\x26\x02\x01\x01\x04\x06public\xa0\x19\x02\x01\x07\x02\x01\x00\x02\x01\x00\x30\x0e\
        \x30\x0c\x06\x08\x2b\x06\x01\x02\x01\x01\x03\x00\x05\x00";

    #[test]
    fn versions_with_a_community_in_clear_are_told() {
        use crate::dpi::risk::clues::told_of_flow;
        let told = |version: u8| {
            let mut bytes = GET.to_vec();
            bytes[4] = version;
            told_of_flow(crate::parse::Protocol::UDP, 161, |cx| {
                Reader.data(Direction::Forward, &bytes, cx);
            })
        };
        assert_eq!(told(0), ["clear_text_credentials: snmp 1 community", "obsolete_version: snmp 1"]);
        assert_eq!(told(1), ["clear_text_credentials: snmp 2c community", "obsolete_version: snmp 2c"]);
    }

    #[test]
    fn a_get_is_read() {
        let message = Message::read(GET).unwrap();
        assert_eq!((message.version, message.community), (2, Some(&b"public"[..])));
        let mut fields = Fields::new();
        message.write(&mut fields);
        assert!(
            fields.iter().any(|(_, value)| value == crate::dpi::fields::Value::Text(b"1.3.6.1.2.1.1.3.0"))
        );
        for len in 0..GET.len() {
            assert!(Message::read(&GET[..len]).is_none());
        }
    }
}
