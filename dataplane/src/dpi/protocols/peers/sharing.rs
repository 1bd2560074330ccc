//! Which network shares files here? The older ones, and those that hide who shares.

use crate::dpi::{Category, First, Match, Peek, Probe, Protocol};

/// eDonkey, eMule and Kad: `e3` (or `c5`, `d4` packed; `e4`, `e5` Kad), over TCP a length (4, little-endian), an opcode.
pub(super) static EDONKEY: Protocol = Protocol::named(
    "edonkey",
    Category::Download,
    &[
        Probe::tcp(First::Of(&[0xe3, 0xc5, 0xd4]), edonkey_stream),
        Probe::udp(First::Of(&[0xe3, 0xc5, 0xe4, 0xe5]), edonkey_datagram),
    ],
);

fn edonkey_stream(peek: &Peek<'_>) -> Match {
    if peek.bytes.len() < 6 {
        return if peek.le32(1) < 0x20_0000 { Match::More } else { Match::No };
    }
    let len = peek.le32(1) as usize;
    let is_known = match (peek.bytes.first(), peek.bytes.get(5)) {
        // Hello and its answer, the server's and the peers' messages; eMule's additions.
        (Some(0xe3), Some(0x01 | 0x05 | 0x14..=0x1c | 0x32..=0x43 | 0x46..=0x60)) => true,
        (Some(0xc5), Some(0x01 | 0x02 | 0x40 | 0x60..=0x65 | 0x81..=0xa8)) => true,
        (Some(0xd4), Some(0x01..=0xa8)) => true,
        _ => false,
    };
    // A hello: length of the identity (16), or the answer without it, then identity and tags.
    let is_hello = peek.bytes.first() == Some(&0xe3)
        && (peek.bytes.get(5..7) == Some(&[0x01, 0x10]) || peek.bytes.get(5) == Some(&0x4c));
    let fits = len + 5 == peek.bytes.len();
    match (is_known, fits) {
        (true, true) => Match::Yes(if is_hello { 96 } else { 88 }),
        (true, false) if is_hello && (30..2_048).contains(&len) => Match::Yes(90),
        (true, false) if (1..4_096).contains(&len) && len + 5 < peek.bytes.len() => {
            // The next message begins where this one ends.
            Match::of(matches!(peek.bytes.get(len + 5), Some(0xe3 | 0xc5 | 0xd4)), 88)
        }
        _ => Match::No,
    }
}

fn edonkey_datagram(peek: &Peek<'_>) -> Match {
    let len = peek.bytes.len();
    let confidence = match (peek.bytes.first(), peek.bytes.get(1)) {
        // A server's state is asked for with `55aa` in the challenge.
        (Some(0xe3), Some(0x96)) if len == 6 && peek.be16(4) == 0xaa55 => 95,
        (Some(0xe3), Some(0x97)) if len >= 14 => 75,
        (Some(0xe3), Some(0x9a)) if len > 17 && (len - 2).is_multiple_of(16) => 85,
        (Some(0xe3), Some(0xa2)) if len == 2 || len == 6 => 70,
        (Some(0xe3), Some(0x92 | 0x98 | 0x99 | 0x9b | 0xa3)) if len > 6 => 65,
        (Some(0xc5), Some(0x90..=0x95)) if len <= 128 => 60,
        // Kad: bootstrap, hello, search of nodes (11, target, receiver), publishing, ping.
        (Some(0xe4), Some(0x21)) if len == 35 => 95,
        (Some(0xe4), Some(0x20)) if len == 35 => 90,
        (Some(0xe4), Some(0x29)) if len >= 19 && (len - 19).is_multiple_of(25) => 95,
        (Some(0xe4), Some(0x01 | 0x60)) if len == 2 => 65,
        (Some(0xe4), Some(0x61)) if len == 4 => 65,
        (Some(0xe4), Some(0x11 | 0x19)) if (22..200).contains(&len) => 85,
        // Contacts have 25 bytes each, behind what the answer begins with.
        (Some(0xe4), Some(0x00 | 0x10 | 0x18)) if len == 27 => 80,
        (Some(0xe4), Some(0x08)) if len > 4 && (len - 4).is_multiple_of(25) => 70,
        (Some(0xe4), Some(0x09)) if len >= 23 && (len - 23).is_multiple_of(25) => 70,
        (Some(0xe4), Some(0x28)) if len > 19 && (len - 19).is_multiple_of(25) => 80,
        (Some(0xe4), Some(0x33 | 0x3b | 0x40 | 0x42..=0x45)) if len > 18 => 75,
        (Some(0xe4), Some(0x34 | 0x35 | 0x48 | 0x4a | 0x4b | 0x50..=0x53)) if (19..64).contains(&len) => 75,
        // Packed: what zlib begins with.
        (Some(0xe5), Some(0x01..=0x61))
            if matches!(peek.bytes.get(2..4), Some([0x78, 0x9c | 0xda | 0x01])) =>
        {
            92
        }
        _ => return Match::No,
    };
    Match::Yes(confidence)
}

/// Gnutella and Gnutella 2.
pub(super) static GNUTELLA: Protocol = Protocol::named(
    "gnutella",
    Category::Download,
    &[Probe::tcp(First::Of(b"G"), gnutella_stream), Probe::udp(First::Any, gnutella_datagram)],
);

fn gnutella_stream(peek: &Peek<'_>) -> Match {
    let known: [&[u8]; 5] = [b"GNUTELLA CONNECT/", b"GNUTELLA/0.", b"GNUTELLA PONG", b"GNUTELLA OK", b"GIV "];
    let len = peek.bytes.len();
    if let Some(start) = known.iter().find(|start| peek.bytes.starts_with(start)) {
        return Match::Yes(if start.len() > 4 { 98 } else { 60 });
    }
    if peek.bytes.starts_with(b"GET /uri-res/N2R?urn:sha1:") {
        return Match::Yes(97);
    }
    let may_be = known.iter().any(|start| start.starts_with(peek.bytes));
    if may_be || (len < 26 && b"GET /uri-res/N2R?urn:sha1:".starts_with(peek.bytes)) {
        Match::More
    } else {
        Match::No
    }
}

/// Identity (16), kind, hops to go and gone, length (4, little-endian); or `GND` of the second version.
fn gnutella_datagram(peek: &Peek<'_>) -> Match {
    if peek.bytes.starts_with(b"GND") {
        // Flags, number (2), part and parts.
        let part = (peek.bytes.get(6), peek.bytes.get(7));
        return Match::of(
            matches!(part, (Some(part), Some(parts)) if *part >= 1 && (part <= parts || *parts == 0)),
            92,
        );
    }
    // The identities of modern clients are marked.
    let is_marked = peek.bytes.get(8) == Some(&0xff) && peek.bytes.get(15) == Some(&0);
    let is_kind = matches!(peek.bytes.get(16), Some(0x00 | 0x01 | 0x30 | 0x31 | 0x32 | 0x40 | 0x80 | 0x81));
    let fits = peek.bytes.len() >= 23 && peek.le32(19) as usize == peek.bytes.len() - 23;
    let is_near = peek.bytes.get(17).is_some_and(|hops| *hops <= 7)
        && peek.bytes.get(18).is_some_and(|hops| *hops <= 7);
    Match::of(is_marked && is_kind && fits && is_near, 92)
}

/// Direct Connect (`$Lock`) and ADC.
pub(super) static DIRECT_CONNECT: Protocol = Protocol::named(
    "directconnect",
    Category::Download,
    &[Probe::tcp(First::Of(b"$HCB"), direct_connect), Probe::udp(First::Of(b"$U"), direct_connect_results)],
);

fn direct_connect(peek: &Peek<'_>) -> Match {
    let known: [&[u8]; 8] = [
        b"$Lock ",
        b"$MyNick ",
        b"$Supports ",
        b"$HubName ",
        b"HSUP ADBAS",
        b"CSUP ADBAS",
        b"BINF ",
        b"HSUP ADTIGR",
    ];
    if known.iter().any(|start| peek.bytes.starts_with(start)) {
        return Match::Yes(if peek.bytes.starts_with(b"BINF") { 60 } else { 94 });
    }
    if known.iter().any(|start| start.starts_with(peek.bytes)) { Match::More } else { Match::No }
}

fn direct_connect_results(peek: &Peek<'_>) -> Match {
    let is_old =
        (peek.bytes.starts_with(b"$SR ") || peek.bytes.starts_with(b"$Ping ")) && peek.bytes.ends_with(b"|");
    let is_new = peek.bytes.starts_with(b"URES ") && peek.bytes.ends_with(b"\n");
    Match::of(is_old || is_new, 90)
}

/// Soulseek: length (4), code (4), both little-endian; a login names user, password and version.
pub(super) static SOULSEEK: Protocol =
    Protocol::named("soulseek", Category::Download, &[Probe::tcp(First::Any, soulseek)]);

fn soulseek(peek: &Peek<'_>) -> Match {
    const USER_MAX: u32 = 64;
    let len = peek.le32(0) as usize;
    if peek.nth > 0 || !(12..512).contains(&len) || len + 4 > peek.bytes.len() {
        return Match::No;
    }
    let user = peek.le32(8);
    let after = 12 + user as usize;
    let is_login = peek.le32(4) == 1
        && (1..=USER_MAX).contains(&user)
        && peek.le32(after) <= USER_MAX
        && (100..2_000).contains(&peek.le32(after + 4 + peek.le32(after) as usize));
    Match::of(is_login, 92)
}

/// `FastTrack` (Kazaa): a peer that is asked to give.
pub(super) static FAST_TRACK: Protocol =
    Protocol::named("fasttrack", Category::Download, &[Probe::tcp(First::Of(b"G"), fast_track)]);

fn fast_track(peek: &Peek<'_>) -> Match {
    if let Some(number) = peek.bytes.strip_prefix(b"GIVE ") {
        let digits = number.iter().take_while(|byte| byte.is_ascii_digit()).count();
        return Match::of(digits > 0 && matches!(number.get(digits), Some(b'\r')), 92);
    }
    let hash = peek.bytes.starts_with(b"GET /.hash=") || peek.bytes.starts_with(b"GET /.supernode");
    Match::of(hash, 97)
}

/// Apple Juice.
pub(super) static APPLE_JUICE: Protocol =
    Protocol::named("applejuice", Category::Download, &[Probe::tcp(First::Of(b"a"), apple_juice)]);

fn apple_juice(peek: &Peek<'_>) -> Match {
    greeting(peek, b"ajprot\r\n")
}

/// Aimini: kinds of datagrams that come in a row with the same length.
pub(super) static AIMINI: Protocol =
    Protocol::named("aimini", Category::Download, &[Probe::udp(First::Of(&[1]), aimini)]);

fn aimini(peek: &Peek<'_>) -> Match {
    let is_known = |kind: u16, len: usize| {
        matches!(
            (kind, len),
            (0x010b, 64)
                | (0x01c9 | 0x0165 | 0x0166, 136)
                | (0x0101, 88)
                | (0x0102, 104)
                | (0x01ca, 32)
                | (0x010c, 16)
                | (0x0115, 88 | 100..)
        )
    };
    let before = peek.previous.first_chunk::<2>().map(|kind| u16::from_be_bytes(*kind));
    // STUN has the same kinds, and says so by its cookie (RFC 8489 5).
    if !is_known(peek.be16(0), peek.bytes.len()) || peek.be32(4) == 0x2112_a442 {
        return Match::No;
    }
    // What is kept of the one before is cut to 64 bytes.
    let follows = before.is_some_and(|kind| {
        matches!(kind, 0x010b | 0x01c9 | 0x0165 | 0x0166 | 0x0101 | 0x0102 | 0x01ca | 0x010c | 0x0115)
    });
    match (follows, peek.nth) {
        (_, 0) => Match::More,
        (true, 3..) => Match::Yes(85),
        (true, _) => Match::Yes(50),
        (false, _) => Match::No,
    }
}

/// `StealthNet`.
pub(super) static STEALTHNET: Protocol =
    Protocol::named("stealthnet", Category::Download, &[Probe::tcp(First::Of(b"L"), stealthnet)]);

fn stealthnet(peek: &Peek<'_>) -> Match {
    greeting(peek, b"LARS REGENSBURGER'S FILE SHARING PROTOCOL")
}

/// libp2p, which IPFS and others build on: protocols are agreed on by name.
pub(super) static LIBP2P: Protocol =
    Protocol::named("libp2p", Category::Download, &[Probe::tcp(First::Of(&[0x13]), libp2p)]);

fn libp2p(peek: &Peek<'_>) -> Match {
    greeting(peek, b"\x13/multistream/1.0.0\n")
}

/// I2P, as programs ask its router for it (SAM).
pub(super) static I2P: Protocol = Protocol::named("i2p", Category::Vpn, &[Probe::tcp(First::Of(b"H"), i2p)]);

fn i2p(peek: &Peek<'_>) -> Match {
    match greeting(peek, b"HELLO VERSION") {
        Match::No => greeting(peek, b"HELLO REPLY RESULT="),
        told => told,
    }
}

/// Freenet, as programs ask its node for it (FCP).
pub(super) static FREENET: Protocol =
    Protocol::named("freenet", Category::Download, &[Probe::tcp(First::Of(b"CN"), freenet)]);

fn freenet(peek: &Peek<'_>) -> Match {
    match greeting(peek, b"ClientHello\n") {
        Match::No => greeting(peek, b"NodeHello\n"),
        told => told,
    }
}

/// Whether the stream begins with `text`.
fn greeting(peek: &Peek<'_>, text: &[u8]) -> Match {
    let len = peek.bytes.len().min(text.len());
    match (peek.bytes[..len] == text[..len], len == text.len()) {
        (true, true) => Match::Yes(97),
        (true, false) => Match::More,
        (false, _) => Match::No,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpi::protocol::samples::{confidence, datagram, stream};

    #[test]
    fn edonkey_and_kad_are_recognised() {
        let hello = [&[0xe3, 40, 0, 0, 0, 1, 16][..], &[7; 38]].concat();
        assert_eq!(confidence(&EDONKEY, &stream(&hello)), 96);
        assert_eq!(confidence(&EDONKEY, &stream(b"\xe3\xff\xff\xff\xff\x01\x10")), 0);
        let search = [&[0xe4, 0x21][..], &[3; 33]].concat();
        assert_eq!(confidence(&EDONKEY, &datagram(&search)), 95);
        assert_eq!(confidence(&EDONKEY, &datagram(&search[..34])), 0);
    }

    #[test]
    fn greetings_are_recognised() {
        assert_eq!(confidence(&GNUTELLA, &stream(b"GNUTELLA CONNECT/0.6\r\n")), 98);
        assert_eq!(confidence(&GNUTELLA, &stream(b"GET / HTTP/1.1\r\n")), 0);
        assert_eq!(gnutella_stream(&stream(b"GN")), Match::More);
        let mut ping = vec![5_u8; 23];
        (ping[8], ping[15], ping[16], ping[17], ping[18]) = (0xff, 0, 0, 1, 0);
        ping[19..23].copy_from_slice(&[0; 4]);
        assert_eq!(confidence(&GNUTELLA, &datagram(&ping)), 92);
        assert_eq!(confidence(&DIRECT_CONNECT, &stream(b"$Lock EXTENDEDPROTOCOL")), 94);
        assert_eq!(confidence(&DIRECT_CONNECT, &stream(b"HELO mail\r\n")), 0);
        let login = b"\x14\0\0\0\x01\0\0\0\x02\0\0\0me\x02\0\0\0pw\xa0\0\0\0";
        let login = [&[login.len() as u8 - 4], &login[1..]].concat();
        assert_eq!(confidence(&SOULSEEK, &stream(&login)), 92);
        assert_eq!(confidence(&FAST_TRACK, &stream(b"GIVE 12345\r\n\r\n")), 92);
        assert_eq!(confidence(&APPLE_JUICE, &stream(b"ajprot\r\n")), 97);
        assert_eq!(confidence(&STEALTHNET, &stream(b"LARS REGENSBURGER'S FILE SHARING PROTOCOL 0.2")), 97);
        assert_eq!(confidence(&LIBP2P, &stream(b"\x13/multistream/1.0.0\n")), 97);
        assert_eq!(confidence(&I2P, &stream(b"HELLO VERSION MIN=3.0\n")), 97);
        assert_eq!(confidence(&FREENET, &stream(b"ClientHello\nName=x\n")), 97);
    }
}
