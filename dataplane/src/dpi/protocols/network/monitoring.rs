//! Who watches machines? Syslog (RFC 5424, RFC 3164), collectd, statsd, Graphite, Zabbix, Munin, Checkmk, NRPE, RMCP and
//! IPMI, Kismet.

use super::routing::named;
use crate::dpi::{Category, Context, First, HostKind, Match, Over, Parser, Peek, Probe, Protocol, Step};
use crate::flow::Direction;

named! {
    /// Values of a host.
    COLLECTD = "collectd", System, &[Probe { over: Over::Udp, first: First::In(0, 2), look: collectd }];
    /// Counters and timers.
    STATSD = "statsd", System, &[Probe { over: Over::Udp, first: First::In(b'A', b'z'), look: statsd }];
    /// Values by path and time.
    GRAPHITE = "graphite", System, &[Probe { over: Over::TcpOrUdp, first: First::In(b'A', b'z'), look: graphite }];
    /// Agents and servers of Zabbix.
    ZABBIX = "zabbix", System, &[Probe { over: Over::Tcp, first: First::Of(b"Z"), look: zabbix }];
    /// Agents of Checkmk.
    CHECKMK = "checkmk", DataTransfer, &[Probe { over: Over::Tcp, first: First::Of(b"<"), look: checkmk }];
    /// Remote plugins of Nagios.
    NRPE = "nrpe", System, &[Probe { over: Over::Tcp, first: First::Of(&[0]), look: nrpe }];
    /// Remote control of boards.
    RMCP = "rmcp", System, &[Probe { over: Over::Udp, first: First::Of(&[6]), look: rmcp }];
    /// A watcher of wireless networks.
    KISMET = "kismet", Network, &[Probe { over: Over::Tcp, first: First::Of(b"*"), look: kismet }];
}

/// Log messages.
pub static SYSLOG: Protocol = Protocol::named(
    "syslog",
    Category::System,
    &[
        Probe { over: Over::Udp, first: First::Of(b"<"), look: syslog },
        Probe { over: Over::Tcp, first: First::Of(b"<123456789"), look: syslog },
    ],
);

/// Nodes of Munin, which say their name.
pub static MUNIN: Protocol = Protocol {
    name: "munin",
    eve: None,
    category: Category::System,
    probes: &[Probe { over: Over::Tcp, first: First::Of(b"#"), look: munin }],
    parser: Some(|| Box::new(Munin)),
};

/// The priority in angle brackets (RFC 5424 6.2.1: 0 to 191); returns what follows.
fn priority(bytes: &[u8]) -> Option<&[u8]> {
    let rest = bytes.strip_prefix(b"<")?;
    let digits = rest.iter().take(4).take_while(|byte| byte.is_ascii_digit()).count();
    let number = rest.get(..digits)?.iter().fold(0_u16, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    let rest = rest.get(digits..)?.strip_prefix(b">")?;
    ((1..=3).contains(&digits) && number <= 191).then_some(rest)
}

fn syslog(peek: &Peek<'_>) -> Match {
    let mut bytes = peek.bytes;
    if bytes.first() != Some(&b'<') {
        // RFC 6587 3.4.1: the length in front of each message.
        let digits = bytes.iter().take(6).take_while(|byte| byte.is_ascii_digit()).count();
        match bytes.get(digits..) {
            Some([b' ', rest @ ..]) => bytes = rest,
            _ => return Match::No,
        }
        if bytes.first().is_some_and(|byte| *byte != b'<') {
            return Match::No;
        }
    }
    if peek.is_tcp && bytes.len() < 8 {
        return Match::More;
    }
    let Some(rest) = priority(bytes) else { return Match::No };
    let is_port = [514, 601, 6_514, 1_514, 5_140].iter().any(|port| peek.has_port(*port));
    let is_text = rest.iter().take(32).all(|byte| *byte >= 0x20 || matches!(byte, b'\t' | b'\n' | b'\r'));
    // A version or a month, as most senders have it.
    let is_usual = rest.starts_with(b"1 ")
        || [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"]
            .iter()
            .any(|month| rest.get(..4) == Some(&[month[0], month[1], month[2], b' ']));
    match (is_text, is_usual, is_port) {
        (false, ..) => Match::No,
        (true, true, _) => Match::Yes(93),
        (true, false, true) => Match::Yes(88),
        (true, false, false) => Match::of(!rest.is_empty(), if peek.is_tcp { 55 } else { 75 }),
    }
}

fn collectd(peek: &Peek<'_>) -> Match {
    let mut rest = peek.bytes;
    let mut parts = 0;
    // Parts of the binary protocol: type, length with this header, content.
    while let [t0, t1, l0, l1, ..] = rest {
        let kind = u16::from_be_bytes([*t0, *t1]);
        let len = usize::from(u16::from_be_bytes([*l0, *l1]));
        let is_text = matches!(kind, 0 | 2..=5 | 0x100);
        let fits = match kind {
            1 | 7..=9 | 0x101 => len == 12,
            6 => len >= 6,
            0 | 2..=5 | 0x100 => len >= 5,
            0x200 | 0x210 => len >= 36 || kind == 0x210 && len >= 26,
            _ => false,
        };
        let Some((part, behind)) = rest.split_at_checked(len) else { return Match::No };
        if !fits || (is_text && part.last() != Some(&0)) {
            return Match::No;
        }
        parts += 1;
        rest = behind;
        if kind == 0x210 {
            break;
        }
    }
    Match::of(rest.is_empty() && (parts >= 2 || peek.has_port(25_826) && parts == 1), 92)
}

fn statsd(peek: &Peek<'_>) -> Match {
    let line = peek.bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let mut halves = line.splitn(2, |byte| *byte == b':');
    let (Some(name), Some(rest)) = (halves.next(), halves.next()) else { return Match::No };
    let mut parts = rest.split(|byte| *byte == b'|');
    let (Some(value), Some(kind)) = (parts.next(), parts.next()) else { return Match::No };
    let is_name = name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"._-/".contains(byte));
    let is_value = !value.is_empty()
        && value.iter().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'+' | b'e'));
    let is_kind = matches!(kind.trim_ascii(), b"c" | b"g" | b"h" | b"s" | b"m" | b"d" | b"ms");
    Match::of(is_name && is_value && is_kind, if peek.has_port(8_125) { 93 } else { 82 })
}

fn graphite(peek: &Peek<'_>) -> Match {
    if !(peek.has_port(2_003) || peek.has_port(2_013)) {
        return Match::No;
    }
    let Some(end) = peek.bytes.iter().take(512).position(|byte| *byte == b'\n') else {
        return if peek.is_tcp && peek.bytes.len() < 512 { Match::More } else { Match::No };
    };
    // Path, value and seconds since 1970.
    let mut words = peek.bytes.get(..end).unwrap_or_default().split(|byte| *byte == b' ');
    let is_path =
        words.next().is_some_and(|path| path.contains(&b'.') && path.iter().all(u8::is_ascii_graphic));
    let is_number = |word: Option<&[u8]>| {
        word.is_some_and(|word| {
            let word = word.trim_ascii();
            !word.is_empty()
                && word.iter().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'e'))
        })
    };
    Match::of(is_path && is_number(words.next()) && is_number(words.next()), 90)
}

fn zabbix(peek: &Peek<'_>) -> Match {
    // "ZBXD", then flags: protocol, compression, large packets.
    if peek.bytes.len() < 5 {
        return if b"ZBXD".starts_with(peek.bytes) || peek.bytes == b"ZBXD" {
            Match::More
        } else {
            Match::No
        };
    }
    let flags = peek.bytes.get(4).copied().unwrap_or(0);
    Match::of(peek.bytes.starts_with(b"ZBXD") && flags & 1 == 1 && flags <= 7, 97)
}

fn munin(peek: &Peek<'_>) -> Match {
    let greeting = b"# munin node at ";
    if peek.bytes.len() < greeting.len() {
        return if greeting.starts_with(peek.bytes) { Match::More } else { Match::No };
    }
    Match::of(peek.bytes.starts_with(greeting), 97)
}

#[derive(Debug)]
struct Munin;

impl Parser for Munin {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        let Some(end) = bytes.iter().take(512).position(|byte| *byte == b'\n') else {
            if bytes.len() < 512 {
                return Step::Consumed(0);
            }
            cx.anomaly("line_too_long");
            return Step::Done;
        };
        if way == Direction::Reverse || bytes.starts_with(b"# munin node at ") {
            if let Some(name) = bytes.get(..end).and_then(|line| line.strip_prefix(b"# munin node at ")) {
                cx.host(HostKind::Other, name);
            }
            return Step::Done;
        }
        Step::Consumed(end + 1)
    }
}

fn checkmk(peek: &Peek<'_>) -> Match {
    let header = b"<<<check_mk>>>";
    if peek.bytes.len() < header.len() {
        return if header.starts_with(peek.bytes) { Match::More } else { Match::No };
    }
    Match::of(peek.bytes.starts_with(header), 97)
}

fn nrpe(peek: &Peek<'_>) -> Match {
    if !peek.has_port(5_666) {
        // Version 2 has one size for all: 10 bytes, 1,024 of text, 2 of padding.
        let is_second = peek.bytes.len() == 1_036 && peek.be16(0) == 2 && matches!(peek.be16(2), 1 | 2);
        return Match::of(is_second, 85);
    }
    if peek.bytes.len() < 10 {
        return Match::More;
    }
    // Version, kind (question or answer), checksum, result.
    Match::of(matches!(peek.be16(0), 1..=4) && matches!(peek.be16(2), 1..=3), 92)
}

fn rmcp(peek: &Peek<'_>) -> Match {
    // DSP0136 3.2.2: version 6, reserved, sequence number, class: ASF 6, IPMI 7, OEM 8; the highest bit acknowledges.
    let [_, 0, _, class, ..] = peek.bytes else { return Match::No };
    let is_class = matches!(class & 0x7f, 6..=8);
    // ASF says who made it: 4542.
    let is_asf = class & 0x7f == 6 && peek.be32(4) == 4_542;
    // IPMI 1.5's session header in front of a message (IPMI 2.0 13.6): type of authentication, sequence number, session,
    // a code of 16 bytes if there is one, and how much follows.
    let authentication = peek.bytes.get(4).copied().unwrap_or(0xff);
    let len_at = if authentication == 0 { 13 } else { 29 };
    let is_ipmi = matches!(authentication, 0..=2 | 4 | 5)
        && peek
            .bytes
            .get(len_at)
            .is_some_and(|len| *len >= 7 && usize::from(*len) + len_at + 1 == peek.bytes.len());
    let is_sure = peek.has_port(623) || peek.has_port(664) || is_asf || (*class == 7 && is_ipmi);
    Match::of(is_class && is_sure, 93)
}

fn kismet(peek: &Peek<'_>) -> Match {
    if peek.bytes.len() < 9 {
        return if b"*KISMET: ".starts_with(peek.bytes) { Match::More } else { Match::No };
    }
    Match::of(peek.bytes.starts_with(b"*KISMET: "), 96)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpi::protocol::samples::peek;

    #[test]
    fn watchers_are_recognised() {
        assert_eq!(syslog(&peek(b"<34>Oct 11 22:14:15 mymachine su: x", 9_000, false)), Match::Yes(93));
        assert_eq!(syslog(&peek(b"<34>1 2003-10-11T22:14:15Z a su - - - x", 9_000, true)), Match::Yes(93));
        assert_eq!(syslog(&peek(b"35 <34>1 2003-10-11T22:14:15Z a su - -", 9_000, true)), Match::Yes(93));
        assert_eq!(syslog(&peek(b"<999>x", 514, false)), Match::No);
        assert_eq!(syslog(&peek(b"<html>12345", 80, true)), Match::No);
        assert_eq!(collectd(&peek(b"\0\0\0\x08abc\0\0\x02\0\x08cpu\0", 9_000, false)), Match::Yes(92));
        assert_eq!(collectd(&peek(&[0; 32], 25_826, false)), Match::No);
        assert_eq!(statsd(&peek(b"web.hits:1|c|@0.1", 9_000, false)), Match::Yes(82));
        assert_eq!(graphite(&peek(b"web.hits 1 1700000000\n", 2_003, true)), Match::Yes(90));
        assert_eq!(zabbix(&peek(b"ZBXD\x01\0\0\0", 9_000, true)), Match::Yes(97));
        assert_eq!(zabbix(&peek(b"ZB", 9_000, true)), Match::More);
        assert_eq!(munin(&peek(b"# munin node at a\n", 9_000, true)), Match::Yes(97));
        assert_eq!(checkmk(&peek(b"<<<check_mk>>>\nVersion", 6_556, true)), Match::Yes(97));
        assert_eq!(rmcp(&peek(b"\x06\0\xff\x07\0\0\0\0", 623, false)), Match::Yes(93));
        assert_eq!(kismet(&peek(b"*KISMET: 0.0.0 1", 2_501, true)), Match::Yes(96));
        assert_eq!(nrpe(&peek(b"\0\x02\0\x01\0\0\0\0\0\0", 5_666, true)), Match::Yes(92));
    }
}
