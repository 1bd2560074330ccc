//! Who measures lines, feeds caches, or announces a device? Speedtest (Ookla), RIPE Atlas, iperf, ICP (RFC 2186), HTCP
//! (RFC 2756), FLUTE (RFC 6726), the smart homes of TP-Link, discovery of Ubiquiti and MikroTik.

use super::routing::named;
use crate::dpi::{Category, First, Match, Over, Peek, Probe, Protocol};

named! {
    /// Speedtest's own protocol.
    OOKLA = "ookla", Network, &[Probe { over: Over::Tcp, first: First::Of(b"H"), look: ookla }];
    /// Probes of RIPE Atlas and its kin.
    RIPE_ATLAS = "ripeatlas", Network, &[Probe { over: Over::TcpOrUdp, first: First::Of(b"M"), look: ripe_atlas }];
    /// Throughput between two hosts.
    IPERF = "iperf", Network, &[
        Probe { over: Over::Tcp, first: First::In(b'2', b'z'), look: iperf },
        Probe { over: Over::Tcp, first: First::Of(&[0, 0x40, 0x48, 0x80]), look: iperf_2 },
        Probe { over: Over::Udp, first: First::Any, look: iperf_datagram },
    ];
    /// Caches that ask each other.
    ICP = "icp", Network, &[Probe { over: Over::Udp, first: First::In(1, 23), look: icp }];
    /// The same, with headers.
    HTCP = "htcp", Network, &[Probe { over: Over::Udp, first: First::In(0, 5), look: htcp }];
    /// Files by multicast.
    FLUTE = "flute", Download, &[Probe { over: Over::Udp, first: First::In(0x10, 0x1f), look: flute }];
    /// TP-Link's smart home protocol.
    TPLINK = "tplink_shp", Iot, &[
        Probe { over: Over::Udp, first: First::Of(&[0xd0]), look: tplink },
        Probe { over: Over::Tcp, first: First::Of(&[0]), look: tplink },
    ];
    /// Discovery of Ubiquiti's devices.
    UBIQUITI = "ubntac2", Network, &[Probe { over: Over::Udp, first: First::In(1, 2), look: ubiquiti }];
    /// Discovery of MikroTik's.
    MNDP = "mndp", Network, &[Probe { over: Over::Udp, first: First::Any, look: mndp }];
}

fn ookla(peek: &Peek<'_>) -> Match {
    let Some(end) = peek.bytes.iter().take(64).position(|byte| *byte == b'\n') else {
        let may_be = b"HELLO ".starts_with(peek.bytes)
            || peek.bytes.starts_with(b"HI")
            || peek.bytes.starts_with(b"HELLO ");
        return if may_be && peek.bytes.len() < 64 { Match::More } else { Match::No };
    };
    let line = peek.bytes.get(..end).unwrap_or_default().trim_ascii_end();
    // The client greets with an identifier, the server with its version.
    let is_client = line == b"HI"
        || line.strip_prefix(b"HI ").is_some_and(|id| {
            id.len() >= 16 && id.iter().all(|byte| byte.is_ascii_hexdigit() || *byte == b'-')
        });
    let is_server = line.strip_prefix(b"HELLO ").is_some_and(|rest| {
        rest.first().is_some_and(u8::is_ascii_digit) && rest.contains(&b'.') && rest.contains(&b' ')
    });
    let is_port = peek.has_port(8_080) || peek.has_port(5_060);
    match (is_client || is_server, is_port || line.len() > 10) {
        (true, true) => Match::Yes(93),
        (true, false) => Match::Yes(60),
        (false, _) => Match::No,
    }
}

fn ripe_atlas(peek: &Peek<'_>) -> Match {
    // Address and port of whom it is sent to, as text.
    let mark = b"MGLNDD_";
    if peek.is_tcp && peek.bytes.len() < mark.len() && mark.starts_with(peek.bytes) {
        return Match::More;
    }
    Match::of(peek.bytes.starts_with(mark), 97)
}

fn iperf(peek: &Peek<'_>) -> Match {
    // iperf 3 begins each stream with the test's cookie: 36 letters of base 32 and a zero.
    let is_cookie = peek.bytes.iter().take(36).all(|byte| matches!(byte, b'a'..=b'z' | b'2'..=b'7'));
    match (is_cookie, peek.bytes.get(36)) {
        (true, Some(end)) => Match::of(*end == 0, if peek.has_port(5_201) { 93 } else { 90 }),
        (true, None) => Match::More,
        (false, _) => Match::No,
    }
}

/// iperf 2's header of a client: flags, streams, the server's port (its `payloads.h`).
fn iperf_2(peek: &Peek<'_>) -> Match {
    if peek.bytes.len() < 24 {
        return Match::No;
    }
    let is_port = peek.be32(8) == u32::from(peek.to_port());
    // Length of buffers, window, and amount are of one machine word each; the low half of the first says little.
    let is = is_port && (1..=128).contains(&peek.be32(4)) && peek.be32(12) < 1 << 24;
    Match::of(is, if peek.has_port(5_001) { 93 } else { 85 })
}

/// iperf 3 opens its datagrams with four letters in either order of bytes; those of iperf 2 have a number, a time, and
/// digits up to the end.
fn iperf_datagram(peek: &Peek<'_>) -> Match {
    if peek.nth == 0 && matches!(peek.bytes, b"9876" | b"6789") {
        return Match::Yes(92);
    }
    let Some((_, digits)) = peek.bytes.split_at_checked(peek.bytes.len().saturating_sub(32)) else {
        return Match::No;
    };
    let counts = digits
        .windows(2)
        .all(|pair| matches!(pair, [low @ b'0'..=b'9', high] if (low - b'0' + 1) % 10 + b'0' == *high));
    Match::of(peek.bytes.len() >= 64 && peek.be32(8) < 1_000_000 && counts, 92)
}

fn icp(peek: &Peek<'_>) -> Match {
    let [_, version, ..] = peek.bytes else { return Match::No };
    let fits = peek.bytes.len() >= 20 && usize::from(peek.be16(2)) == peek.bytes.len();
    Match::of(peek.has_port(3_130) && (2..=3).contains(version) && fits, 93)
}

fn htcp(peek: &Peek<'_>) -> Match {
    let fits = peek.bytes.len() >= 14 && usize::from(peek.be16(0)) == peek.bytes.len();
    Match::of(peek.has_port(4_827) && fits && peek.bytes.get(2).is_some_and(|major| *major <= 1), 92)
}

fn flute(peek: &Peek<'_>) -> Match {
    // RFC 5651 5.1: version 1, flags, header length in words, code point.
    let [first, flags, words, _, ..] = peek.bytes else { return Match::No };
    let head = usize::from(*words) * 4;
    // Congestion control, session and object identifiers take what the flags say.
    let control = (usize::from(first >> 2 & 3) + 1) * 4;
    let half = usize::from(flags >> 4 & 1) * 2;
    let session = usize::from(flags >> 7) * 4 + half;
    let object = usize::from(flags >> 5 & 3) * 4 + half;
    let extensions = 4 + control + session + object;
    if !peek.is_multicast || first & 3 != 0 || head < extensions + 4 || head > peek.bytes.len() {
        return Match::No;
    }
    // RFC 6726 3.4: the file delivery table; RFC 5775 and its kin: transmission information, encoding.
    let extension = peek.bytes.get(extensions).copied().unwrap_or(0);
    Match::of(matches!(extension, 64 | 192 | 193), 85)
}

fn tplink(peek: &Peek<'_>) -> Match {
    // JSON, each byte added to the one before it (exclusive or), from 171 on; over TCP with its length in front.
    let at = if peek.is_tcp { 4 } else { 0 };
    let fits = !peek.is_tcp || (8..=65_536).contains(&peek.be32(0));
    match peek.bytes.get(at..at + 2) {
        Some([0xd0, second]) => Match::of(
            fits && matches!(second ^ 0xd0, b'"' | b'}' | b' '),
            if peek.has_port(9_999) { 95 } else { 85 },
        ),
        Some(_) => Match::No,
        None if peek.is_tcp && peek.has_port(9_999) => Match::More,
        None => Match::No,
    }
}

fn ubiquiti(peek: &Peek<'_>) -> Match {
    // Version, command, length of the fields that follow.
    let fits = peek.bytes.len() >= 4 && usize::from(peek.be16(2)) + 4 == peek.bytes.len();
    Match::of(peek.has_port(10_001) && fits, 92)
}

fn mndp(peek: &Peek<'_>) -> Match {
    if !peek.has_port(5_678) {
        return Match::No;
    }
    // A question is four zeros; an answer has a sequence number, then fields.
    if peek.bytes == [0; 4] {
        return Match::Yes(80);
    }
    let mut rest = peek.bytes.get(4..).unwrap_or_default();
    let mut fields = 0;
    while let [k0, k1, l0, l1, ..] = rest {
        let kind = u16::from_be_bytes([*k0, *k1]);
        let len = usize::from(u16::from_be_bytes([*l0, *l1]));
        let Some(behind) = rest.get(4 + len..) else { return Match::No };
        if !(1..=32).contains(&kind) {
            return Match::No;
        }
        rest = behind;
        fields += 1;
    }
    Match::of(fields >= 2 && rest.is_empty(), 92)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peek(bytes: &[u8], port: u16, is_tcp: bool) -> Peek<'_> {
        Peek { is_multicast: true, ..crate::dpi::protocol::samples::peek(bytes, port, is_tcp) }
    }

    #[test]
    fn iperf_is_known_on_any_port() {
        use crate::dpi::protocol::samples::{confidence, datagram, stream};
        let cookie = b"huayuozqpdgs3cj6czgmx3eot7e4no5p6uhf\0";
        assert_eq!(confidence(&IPERF, &stream(cookie)), 90);
        assert_eq!(confidence(&IPERF, &stream(b"huayuozqpdgs3cj6czgmx3eot7e4no5p6uhf\n")), 0);
        let mut header = vec![0x40, 1, 0, 0x78, 0, 0, 0, 1, 0, 0];
        header.extend_from_slice(&40_001_u16.to_be_bytes());
        header.resize(60, 0);
        assert_eq!(confidence(&IPERF, &stream(&header)), 85);
        header[11] ^= 1;
        assert_eq!(confidence(&IPERF, &stream(&header)), 0);
        assert_eq!(confidence(&IPERF, &datagram(b"9876")), 92);
        let mut numbered = vec![0; 12];
        numbered.extend(b"0123456789".iter().cycle().take(100));
        assert_eq!(confidence(&IPERF, &datagram(&numbered)), 92);
        numbered.push(b'x');
        assert_eq!(confidence(&IPERF, &datagram(&numbered)), 0);
    }

    #[test]
    fn measurements_and_devices_are_recognised() {
        assert_eq!(ookla(&peek(b"HI\n", 8_080, true)), Match::Yes(93));
        assert_eq!(ookla(&peek(b"HELLO 2.9 (2.9.2) 2021-11-30\n", 9_000, true)), Match::Yes(93));
        assert_eq!(ookla(&peek(b"HEAD / HTTP/1.1\r\n", 8_080, true)), Match::No);
        assert_eq!(ookla(&peek(b"HE", 8_080, true)), Match::More);
        assert_eq!(ripe_atlas(&peek(b"MGLNDD_192.0.2.1_1114", 9_000, false)), Match::Yes(97));
        assert_eq!(iperf(&peek(b"abcdefghijklmnopqrstuvwxyz234567abcd\0", 5_201, true)), Match::Yes(93));
        assert_eq!(icp(&peek(b"\x01\x02\0\x14aaaabbbbccccdddd", 3_130, false)), Match::Yes(93));
        assert_eq!(tplink(&peek(b"\xd0\xf2\x81\xf8", 9_999, false)), Match::Yes(95));
        assert_eq!(tplink(&peek(b"\0\0\0\x1d\xd0\xf2\x81", 9_999, true)), Match::Yes(95));
        assert_eq!(ubiquiti(&peek(b"\x01\0\0\0", 10_001, false)), Match::Yes(92));
        assert_eq!(mndp(&peek(b"\0\0\0\x01\0\x01\0\x01a\0\x05\0\x01b", 5_678, false)), Match::Yes(92));
        // Version 1, session and object identifiers of four bytes, a file delivery table behind them.
        let mut packet = vec![0x10, 0xa0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 192, 0x10, 0, 1];
        assert_eq!(flute(&peek(&packet, 4_001, false)), Match::Yes(85));
        packet.truncate(16);
        assert_eq!(flute(&peek(&packet, 4_001, false)), Match::No);
    }
}
