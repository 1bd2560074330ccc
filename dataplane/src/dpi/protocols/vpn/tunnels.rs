//! Which other tunnel is this? VPNs of one product.

use crate::dpi::parser::{Context, Parser, Step};
use crate::dpi::{Category, First, Match, Peek, Probe, Protocol};
use crate::flow::Direction;

/// Tinc: the meta connection begins with `0 name 17` in text; packets go by UDP between the same hosts.
pub(super) static TINC: Protocol = Protocol {
    name: "tinc",
    eve: None,
    category: Category::Vpn,
    probes: &[Probe::tcp(First::Of(b"0"), tinc)],
    parser: Some(|| Box::new(Tinc)),
};

/// ID: `0`, name, protocol 17 with perhaps a minor version, new line.
fn tinc(peek: &Peek<'_>) -> Match {
    const ID_MAX: usize = 80;
    let Some(end) = peek.bytes.iter().take(ID_MAX).position(|byte| *byte == b'\n') else {
        let is_text = peek.bytes.iter().take(ID_MAX).all(|byte| byte.is_ascii_graphic() || *byte == b' ');
        return if is_text && peek.bytes.len() < ID_MAX { Match::More } else { Match::No };
    };
    let mut words = peek.bytes[..end].split(|byte| *byte == b' ');
    let (id, name, version) = (words.next(), words.next(), words.next());
    let is_name = |name: &[u8]| {
        let name = name.strip_prefix(b"^").or(name.strip_prefix(b"?")).unwrap_or(name);
        !name.is_empty() && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
    };
    let is = id == Some(b"0") && name.is_some_and(is_name) && words.next().is_none();
    Match::of(is && version.is_some_and(|version| version == b"17" || version.starts_with(b"17.")), 95)
}

struct Tinc;

impl Parser for Tinc {
    fn data(&mut self, _way: Direction, _bytes: &[u8], cx: &mut Context<'_>) -> Step {
        // Both daemons take packets on the port of their meta connection.
        let (port, flow) = (cx.server_port(), cx.flow);
        cx.expect(flow.responder.0, port, &TINC);
        cx.expect(flow.initiator.0, port, &TINC);
        Step::Done
    }
}

/// AYIYA (draft-massar-v6ops-ayiya 3): sizes and methods in nibbles, the next header, a time.
pub(super) static AYIYA: Protocol =
    Protocol::named("ayiya", Category::Vpn, &[Probe::udp(First::Of(&[0x44]), ayiya)]);

fn ayiya(peek: &Peek<'_>) -> Match {
    // An identity of 2^4 bytes of kind 4 or less, a signature of 5 words by SHA-1 or MD5.
    let is = matches!(peek.bytes.get(1), Some(0x51 | 0x52))
        && peek.bytes.get(2).is_some_and(|byte| matches!(byte >> 4, 0..=2) && byte & 0x0f <= 5)
        && matches!(peek.bytes.get(3), Some(4 | 41 | 59))
        && peek.bytes.len() >= 44;
    Match::of(is, if peek.has_port(5_072) { 96 } else { 82 })
}

/// `ZeroTier`: packet (8), destination (5), source (5), flags (1), code (8), verb; only HELLO is in clear and repeats
/// who sends it.
pub(super) static ZEROTIER: Protocol =
    Protocol::named("zerotier", Category::Vpn, &[Probe::udp(First::Any, zerotier)]);

fn zerotier(peek: &Peek<'_>) -> Match {
    let source = peek.bytes.get(13..18);
    let is_hello = peek.bytes.get(27).is_some_and(|verb| verb & 0x1f == 1)
        && peek.bytes.get(28).is_some_and(|version| (4..=20).contains(version))
        && source == peek.bytes.get(41..46)
        && source.is_some_and(|source| *source != [0; 5])
        && source != peek.bytes.get(8..13);
    Match::of(is_hello, if peek.has_port(9_993) { 96 } else { 88 })
}

/// `SoftEther`: a keep-alive answered by the address it came from, and packs of named values.
pub(super) static SOFTETHER: Protocol =
    Protocol::named("softether", Category::Vpn, &[Probe::udp(First::Of(b"AI\0"), softether)]);

fn softether(peek: &Peek<'_>) -> Match {
    match peek.bytes {
        b"A" => return Match::Yes(40),
        [b'I', b'P', b'=', rest @ ..] => {
            let is = rest.windows(6).take(48).any(|window| window == b",PORT=");
            return Match::of(is && peek.bytes.len() < 64, 96);
        }
        _ => {}
    }
    // Number of values, then the first one's name with its length, which counts a zero that is not there.
    let len = peek.be32(4) as usize;
    let name = peek.bytes.get(8..7_usize.saturating_add(len)).unwrap_or_default();
    let is_name =
        (2..=32).contains(&len) && name.iter().all(|byte| byte.is_ascii_lowercase() || *byte == b'_');
    let is = (1..64).contains(&peek.be32(0)) && is_name && !name.is_empty();
    let is_known = [&b"opcode"[..], b"host_name", b"ddns_fqdn", b"tran_id", b"build"]
        .iter()
        .any(|text| peek.contains(text));
    Match::of(is && is_known, 93)
}

/// Cisco's clients: IPsec below UDP port 10000, and DTLS of before it was standard.
pub(super) static CISCO_VPN: Protocol = Protocol::named(
    "ciscovpn",
    Category::Vpn,
    &[Probe::udp(First::Of(&[0xfe]), cisco_ipsec), Probe::udp(First::Of(&[0x16]), any_connect)],
);

fn cisco_ipsec(peek: &Peek<'_>) -> Match {
    Match::of(peek.bytes.starts_with(&[0xfe, 0x57, 0x7e, 0x2b]), if peek.has_port(10_000) { 95 } else { 70 })
}

/// Handshake, version 1.0 (`01 00`), epoch 0, a number, a length that fits.
fn any_connect(peek: &Peek<'_>) -> Match {
    let is =
        peek.bytes.starts_with(&[0x16, 1, 0, 0, 0]) && usize::from(peek.be16(11)) + 13 <= peek.bytes.len();
    Match::of(is && peek.be16(11) >= 12, 93)
}

/// `FortiClient`: the hello of its SSL VPN over DTLS.
pub(super) static FORTICLIENT: Protocol =
    Protocol::named("forticlient", Category::Vpn, &[Probe::udp(First::Of(&[0]), forticlient)]);

fn forticlient(peek: &Peek<'_>) -> Match {
    Match::of(peek.bytes.get(2..9) == Some(b"GFtype\0"), 97)
}

/// Ultrasurf's own handshake.
pub(super) static ULTRASURF: Protocol =
    Protocol::named("ultrasurf", Category::Vpn, &[Probe::tcp(First::Of(&[0xcc]), ultrasurf)]);

fn ultrasurf(peek: &Peek<'_>) -> Match {
    let magic = [0xcc, 0x1c, 0x30, 0x41, 0x5b, 0xa4, 0x38, 0x66];
    let len = peek.bytes.len().min(magic.len());
    match (peek.bytes[..len] == magic[..len], len == magic.len()) {
        (true, true) => Match::Yes(97),
        (true, false) => Match::More,
        (false, _) => Match::No,
    }
}

/// Nebula: version and kind, subtype, two reserved bytes, remote index (4), counter (8).
pub(super) static NEBULA: Protocol =
    Protocol::named("nebula", Category::Vpn, &[Probe::udp(First::Of(&[0x10]), nebula)]);

fn nebula(peek: &Peek<'_>) -> Match {
    let is_handshake =
        peek.bytes.get(..4) == Some(&[0x10, 0, 0, 0]) && peek.be32(8) == 0 && peek.bytes.len() > 48;
    let is = match peek.be32(12) {
        1 => peek.be32(4) == 0,
        2 => peek.be32(4) != 0,
        _ => false,
    };
    Match::of(is_handshake && is, if peek.has_port(4_242) { 93 } else { 82 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpi::protocol::samples::{confidence, datagram, stream};

    #[test]
    fn control_connections_are_recognised() {
        assert_eq!(confidence(&TINC, &stream(b"0 site_a 17\n")), 95);
        assert_eq!(confidence(&TINC, &stream(b"0 site_a 17.7\n")), 95);
        assert_eq!(confidence(&TINC, &stream(b"0 0 200 OK\n")), 0);
        assert_eq!(tinc(&stream(b"0 sit")), Match::More);
        assert_eq!(confidence(&ULTRASURF, &stream(&[0xcc, 0x1c, 0x30, 0x41, 0x5b, 0xa4, 0x38, 0x66])), 97);
    }

    #[test]
    fn datagrams_are_recognised() {
        let ayiya = [&[0x44, 0x52, 0x11, 41][..], &[0x50; 60]].concat();
        assert_eq!(confidence(&AYIYA, &Peek { ports: (1, 5_072), ..datagram(&ayiya) }), 96);
        let mut hello = vec![3_u8; 120];
        hello[13..18].copy_from_slice(&[1, 2, 3, 4, 5]);
        (hello[27], hello[28]) = (1, 9);
        hello[41..46].copy_from_slice(&[1, 2, 3, 4, 5]);
        assert_eq!(confidence(&ZEROTIER, &datagram(&hello)), 88);
        assert_eq!(confidence(&ZEROTIER, &datagram(&[1; 120])), 0);
        assert_eq!(confidence(&SOFTETHER, &datagram(b"IP=192.0.2.1,PORT=5004")), 96);
        let pack = b"\0\0\0\x02\0\0\0\x07opcode\0\0\0\x02\0\0\0\x01";
        assert_eq!(confidence(&SOFTETHER, &datagram(pack)), 93);
        assert_eq!(confidence(&FORTICLIENT, &datagram(b"\0\x40GFtype\0clthello\0")), 97);
        let nebula = [&[0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1][..], &[7; 64]].concat();
        assert_eq!(confidence(&NEBULA, &datagram(&nebula)), 82);
    }
}
