//! Who asks for an address, and which one is given out? BOOTP (RFC 951), DHCP (RFC 2131, options of RFC 2132), DHCPv6
//! (RFC 8415).
//!
//! A record a message, in the form of Suricata's EVE `dhcp` with `extended` on.

use super::line::{Line, address, colons};
use super::message::{be16, be32};
use crate::dpi::{
    Category, Context, Fields, First, HostKind, Match, Over, Parser, Peek, Probe, Protocol, Step,
};
use crate::flow::Direction;

/// DHCP and its elder, BOOTP.
pub static DHCP: Protocol = Protocol {
    name: "dhcp",
    eve: None,
    category: Category::Network,
    probes: &[Probe { over: Over::Udp, first: First::In(1, 2), look: v4 }],
    parser: Some(|| Box::new(Reader)),
};

/// DHCP for IPv6.
pub static DHCPV6: Protocol = Protocol {
    name: "dhcpv6",
    eve: None,
    category: Category::Network,
    probes: &[Probe { over: Over::Udp, first: First::In(1, 23), look: v6 }],
    parser: Some(|| Box::new(Reader6)),
};

/// Fixed fields of BOOTP, before the vendor's area.
const FIXED_BYTES: usize = 236;

/// RFC 2132 2: what stands in front of options.
const COOKIE: u32 = 0x6382_5363;

/// Options of one message that are looked at.
const OPTIONS_MAX: usize = 128;

/// Relays within relays that are followed.
const RELAYS_MAX: usize = 8;

fn v4(peek: &Peek<'_>) -> Match {
    let [operation, hardware, hardware_len, hops, ..] = peek.bytes else { return Match::No };
    if peek.bytes.len() < FIXED_BYTES || *hardware_len > 16 || *hops > 16 || *hardware > 40 {
        return Match::No;
    }
    let is_port = [67, 68, 4011].iter().any(|port| peek.has_port(*port));
    match (be32(peek.bytes, FIXED_BYTES) == Some(COOKIE), is_port) {
        (true, _) => Match::Yes(97),
        // BOOTP has a vendor's area of 64 bytes of any form (RFC 951 3).
        (false, true) => Match::of(peek.bytes.len() >= 300 || *operation == 1, 85),
        (false, false) => Match::No,
    }
}

fn v6(peek: &Peek<'_>) -> Match {
    let is_port = [546, 547].iter().any(|port| peek.has_port(*port));
    let Some(kind) = peek.bytes.first() else { return Match::No };
    // RFC 8415 9: relays put their hop count and two addresses in front.
    let at = if matches!(kind, 12 | 13) { 34 } else { 4 };
    if !is_port || peek.bytes.len() < at {
        return Match::No;
    }
    let mut rest = peek.bytes.get(at..).unwrap_or_default();
    for _ in 0..OPTIONS_MAX {
        let Some((head, behind)) = rest.split_at_checked(4) else { break };
        let len = usize::from(be16(head, 2).unwrap_or(0));
        let Some((_, behind)) = behind.split_at_checked(len) else { return Match::No };
        rest = behind;
    }
    Match::of(rest.is_empty(), 93)
}

#[derive(Debug)]
struct Reader;

impl Parser for Reader {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        let Some(fixed) = bytes.get(..FIXED_BYTES) else {
            cx.anomaly("malformed_message");
            return Step::Consumed(bytes.len());
        };
        let options = match be32(bytes, FIXED_BYTES) {
            Some(COOKIE) => bytes.get(FIXED_BYTES + 4..).unwrap_or_default(),
            _ => &[],
        };
        let mut is_cut = false;
        for (kind, value) in Options::over(options, &mut is_cut) {
            if matches!(kind, HOST_NAME) {
                cx.host(HostKind::Other, value.trim_ascii());
            }
        }
        if is_cut {
            cx.anomaly("truncated_options");
        }
        cx.tell_with("dhcp", way, |fields| write(fields, fixed, options));
        Step::Consumed(bytes.len())
    }
}

const HOST_NAME: u8 = 12;

/// Options: kind, length, value; 0 fills, 255 ends.
struct Options<'a, 'b> {
    rest: &'a [u8],
    is_cut: &'b mut bool,
    left: usize,
}

impl<'a, 'b> Options<'a, 'b> {
    fn over(rest: &'a [u8], is_cut: &'b mut bool) -> Self {
        Self { rest, is_cut, left: OPTIONS_MAX }
    }
}

impl<'a> Iterator for Options<'a, '_> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        while let [0, rest @ ..] = self.rest {
            self.rest = rest;
        }
        match self.rest {
            [] | [255, ..] => None,
            [kind, len, rest @ ..] if rest.len() >= usize::from(*len) => {
                let (value, rest) = rest.split_at(usize::from(*len));
                self.rest = rest;
                Some((*kind, value))
            }
            _ => {
                *self.is_cut = true;
                None
            }
        }
    }
}

fn write(fields: &mut Fields, fixed: &[u8], options: &[u8]) {
    let part = |at: usize, len: usize| fixed.get(at..at + len).unwrap_or_default();
    let is_request = fixed.first() == Some(&1);
    fields.text("type", if is_request { "request" } else { "reply" });
    fields.number("id", be32(fixed, 4).unwrap_or(0));
    let hardware_len = fixed.get(2).map_or(6, |len| usize::from(*len).min(16));
    fields.text("client_mac", colons(part(28, hardware_len)));
    fields.text_if("assigned_ip", address(part(16, 4)));
    fields.text_if("client_ip", address(part(12, 4)));
    if !is_request {
        fields.text_if("relay_ip", address(part(24, 4)));
        fields.text_if("next_server_ip", address(part(20, 4)));
    }
    let mut is_cut = false;
    for (kind, value) in Options::over(options, &mut is_cut) {
        let seconds = be32(value, 0);
        let list = |fields: &mut Fields, key: &str| {
            fields.list(key, |list| value.chunks_exact(4).for_each(|ip| list.text_if("", address(ip))));
        };
        match kind {
            1 => fields.text_if("subnet_mask", address(value)),
            3 => list(fields, "routers"),
            6 => list(fields, "dns_servers"),
            HOST_NAME => fields.text("hostname", value),
            15 => fields.text("domain", value),
            42 => list(fields, "ntp_servers"),
            50 => fields.text_if("requested_ip", address(value)),
            51 | 58 | 59 => {
                if let Some(seconds) = seconds {
                    let key = match kind {
                        51 => "lease_time",
                        58 => "renewal_time",
                        _ => "rebinding_time",
                    };
                    fields.number(key, seconds);
                }
            }
            53 => fields.text_if("dhcp_type", value.first().and_then(|kind| message_type(*kind))),
            54 => fields.text_if("server_ip", address(value)),
            55 => fields.list("params", |list| {
                value.iter().filter_map(|kind| parameter(*kind)).for_each(|name| list.text("", name));
            }),
            56 => fields.text("message", value),
            60 => fields.text("vendor_class_identifier", value),
            // What follows the type of hardware (RFC 2132 9.14).
            61 => fields.text_if("client_id", value.get(1..).map(colons)),
            66 => fields.text("tftp_server", value),
            67 => fields.text("boot_file", value),
            81 => fields.text_if("fqdn", value.get(3..)),
            _ => {}
        }
    }
}

/// RFC 2132 9.6 and RFC 4388.
const fn message_type(kind: u8) -> Option<&'static str> {
    Some(match kind {
        1 => "discover",
        2 => "offer",
        3 => "request",
        4 => "decline",
        5 => "ack",
        6 => "nak",
        7 => "release",
        8 => "inform",
        9 => "force_renew",
        10 => "lease_query",
        11 => "lease_unassigned",
        12 => "lease_unknown",
        13 => "lease_active",
        _ => return None,
    })
}

/// Parameters that a client may ask for (RFC 2132, RFC 5859), those to which EVE gives a name; others are not listed.
const fn parameter(kind: u8) -> Option<&'static str> {
    Some(match kind {
        1 => "subnet_mask",
        3 => "router",
        6 => "dns_server",
        15 => "domain",
        35 => "arp_timeout",
        42 => "ntp_server",
        66 => "tftp_server_name",
        150 => "tftp_server_ip",
        _ => return None,
    })
}

#[derive(Debug)]
struct Reader6;

impl Parser for Reader6 {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        let Some(message) = inner(bytes) else {
            cx.anomaly("malformed_message");
            return Step::Consumed(bytes.len());
        };
        // RFC 4704 4: a byte of flags, then the name as DNS has it.
        let fqdn = options6(message).find(|(kind, _)| *kind == 39).and_then(|(_, value)| value.get(1..));
        let mut name = super::message::Name::new();
        if let Some(fqdn) = fqdn {
            // A name without its end is a part of one.
            name.read(fqdn, 0);
            cx.host(HostKind::Other, name.as_bytes());
        }
        let has_name = !name.as_bytes().is_empty();
        cx.tell_with("dhcpv6", way, |fields| {
            fields.text_if("type", message.first().and_then(|kind| message_type6(*kind)));
            fields.number("id", be32(message, 0).unwrap_or(0) & 0xff_ffff);
            if has_name {
                fields.text("hostname", name.as_bytes());
            }
            for (kind, value) in options6(message) {
                match kind {
                    1 => fields.text("client_id", colons(value)),
                    2 => fields.text("server_id", colons(value)),
                    3 => fields.list("addresses", |list| {
                        // RFC 8415 21.4 and 21.6: addresses are options of an association's.
                        for (kind, value) in options_of(value.get(12..).unwrap_or_default()) {
                            if kind == 5 {
                                list.text_if("", value.get(..16).and_then(address));
                            }
                        }
                    }),
                    16 => fields.text_if("vendor_class_identifier", value.get(6..)),
                    23 => fields.list("dns_servers", |list| {
                        value.chunks_exact(16).for_each(|ip| list.text_if("", address(ip)));
                    }),
                    13 => fields.text_if(
                        "status",
                        be16(value, 0).map(|status| Line::<5>::of(format_args!("{status}"))),
                    ),
                    _ => {}
                }
            }
        });
        Step::Consumed(bytes.len())
    }
}

/// The client's or server's message within those of relays.
fn inner(mut message: &[u8]) -> Option<&[u8]> {
    for _ in 0..RELAYS_MAX {
        if !matches!(message.first()?, 12 | 13) {
            return (message.len() >= 4).then_some(message);
        }
        message = options_of(message.get(34..)?).find(|(kind, _)| *kind == 9)?.1;
    }
    None
}

fn options6(message: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    options_of(message.get(4..).unwrap_or_default())
}

fn options_of(mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let (head, behind) = rest.split_at_checked(4)?;
        let (value, behind) = behind.split_at_checked(usize::from(be16(head, 2)?))?;
        rest = behind;
        Some((be16(head, 0)?, value))
    })
    .take(OPTIONS_MAX)
}

/// RFC 8415 7.3.
const fn message_type6(kind: u8) -> Option<&'static str> {
    Some(match kind {
        1 => "solicit",
        2 => "advertise",
        3 => "request",
        4 => "confirm",
        5 => "renew",
        6 => "rebind",
        7 => "reply",
        8 => "release",
        9 => "decline",
        10 => "reconfigure",
        11 => "information_request",
        12 => "relay_forward",
        13 => "relay_reply",
        14 => "leasequery",
        15 => "leasequery_reply",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peek(bytes: &[u8], ports: (u16, u16)) -> Peek<'_> {
        Peek {
            bytes,
            way: Direction::Forward,
            nth: 0,
            ports,
            other: &[],
            previous: &[],
            is_multicast: true,
            is_tcp: false,
        }
    }

    #[test]
    fn requests_are_recognised_and_read() {
        let mut message = vec![0; FIXED_BYTES];
        message[..8].copy_from_slice(&[1, 1, 6, 0, 0, 0, 0, 9]);
        message[28..34].copy_from_slice(&[2, 0, 0, 0, 0, 1]);
        message.extend_from_slice(&COOKIE.to_be_bytes());
        message.extend_from_slice(&[53, 1, 1, 0, 12, 3, b'p', b'c', b'1', 55, 2, 1, 3, 255]);
        assert_eq!(v4(&peek(&message, (68, 67))), Match::Yes(97));
        assert_eq!(v4(&peek(&message[..FIXED_BYTES - 1], (68, 67))), Match::No);
        let mut fields = Fields::new();
        for len in FIXED_BYTES..=message.len() {
            fields.clear();
            let options = message.get(FIXED_BYTES + 4..len).unwrap_or_default();
            write(&mut fields, &message[..FIXED_BYTES], options);
        }
        let text = |key: &str| {
            fields.iter().find(|(name, _)| *name == key).map(|(_, value)| match value {
                crate::dpi::fields::Value::Text(text) => text.to_vec(),
                _ => Vec::new(),
            })
        };
        assert_eq!(text("client_mac"), Some(b"02:00:00:00:00:01".to_vec()));
        assert_eq!(text("dhcp_type"), Some(b"discover".to_vec()));
        assert_eq!(text("hostname"), Some(b"pc1".to_vec()));
    }

    #[test]
    fn the_sixth_version_is_recognised_by_its_options() {
        let solicit = [1, 0, 0, 7, 0, 1, 0, 2, 0xa, 0xb, 0, 39, 0, 5, 0, 3, b'p', b'c', b'1'];
        assert_eq!(v6(&peek(&solicit, (546, 547))), Match::Yes(93));
        assert_eq!(v6(&peek(&solicit[..9], (546, 547))), Match::No);
        assert_eq!(v6(&peek(&solicit, (1_000, 2_000))), Match::No);
        // Relayed, and a relay that holds nothing.
        let mut relayed = vec![12; 34];
        relayed.extend_from_slice(&[0, 9, 0, solicit.len() as u8]);
        relayed.extend_from_slice(&solicit);
        assert_eq!(inner(&relayed), Some(&solicit[..]));
        assert_eq!(inner(&relayed[..36]), None);
    }
}
