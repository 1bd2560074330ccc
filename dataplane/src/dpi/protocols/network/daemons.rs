//! Small servers with a first word of their own: compilers lent to others (distcc), places (gpsd), words (DICT), switches
//! (OVSDB), sound (PulseAudio), scanners (SANE), machines that sleep (Wake-on-LAN).

use crate::dpi::text::{find, starts_with_word};
use crate::dpi::{Category, First, Match, Over, Peek, Probe, Protocol};

/// Compilation on other machines (distcc, `doc/protocol-1.txt`).
pub(super) static DISTCC: Protocol = Protocol::named(
    "distcc",
    Category::System,
    &[Probe { over: Over::Tcp, first: First::Of(b"D"), look: distcc }],
);

/// Where a receiver of GPS is (`gpsd_json(5)`).
pub(super) static GPSD: Protocol =
    Protocol::named("gpsd", Category::Iot, &[Probe { over: Over::Tcp, first: First::Of(b"{?"), look: gpsd }]);

/// Dictionaries (RFC 2229).
pub(super) static DICT: Protocol = Protocol::named(
    "dict",
    Category::Education,
    &[Probe { over: Over::Tcp, first: First::Of(b"2cCdDmMsS"), look: dict }],
);

/// The database of Open vSwitch (RFC 7047).
pub(super) static OVSDB: Protocol = Protocol::named(
    "ovsdb",
    Category::Network,
    &[Probe { over: Over::Tcp, first: First::Of(b"{"), look: ovsdb }],
);

/// Sound for PulseAudio's server (its `pstream` and `native-common`).
pub(super) static PULSEAUDIO: Protocol = Protocol::named(
    "pulseaudio",
    Category::Media,
    &[Probe { over: Over::Tcp, first: First::Of(&[0]), look: pulseaudio }],
);

/// Scanners of other machines (SANE standard, chapter 5).
pub(super) static SANE: Protocol =
    Protocol::named("sane", Category::Iot, &[Probe { over: Over::Tcp, first: First::Of(&[0]), look: sane }]);

/// A machine is woken up (AMD, "Magic Packet Technology").
pub(super) static WAKE_ON_LAN: Protocol = Protocol::named(
    "wake-on-lan",
    Category::Network,
    &[Probe { over: Over::Udp, first: First::Of(&[0xff]), look: wake_on_lan }],
);

fn distcc(peek: &Peek<'_>) -> Match {
    // A token is four letters and a number of eight digits; the version is asked for with one, answered with the other.
    let Some(token) = peek.bytes.get(..12) else {
        let may_be =
            [&b"DIST"[..], b"DONE"].iter().any(|name| peek.bytes.iter().zip(*name).all(|(a, b)| a == b));
        return if may_be { Match::More } else { Match::No };
    };
    let (name, number) = token.split_at(4);
    Match::of(matches!(name, b"DIST" | b"DONE") && number.iter().all(u8::is_ascii_hexdigit), 95)
}

fn gpsd(peek: &Peek<'_>) -> Match {
    let greetings: [&[u8]; 2] = [b"{\"class\":\"VERSION\",\"release\":", b"?WATCH="];
    if greetings.iter().any(|greeting| peek.bytes.starts_with(greeting)) {
        return Match::Yes(95);
    }
    let begins = greetings.iter().any(|greeting| greeting.starts_with(peek.bytes));
    if begins { Match::More } else { Match::No }
}

fn dict(peek: &Peek<'_>) -> Match {
    let is_port = peek.has_port(2_628);
    let Some(end) = peek.bytes.iter().take(512).position(|byte| *byte == b'\n') else {
        return if peek.bytes.len() < 512 && peek.bytes.is_ascii() { Match::More } else { Match::No };
    };
    let line = peek.bytes.get(..end).unwrap_or_default().trim_ascii_end();
    // RFC 2229 3.1: a text, capabilities in angle brackets, and an identifier in others.
    if let Some(greeting) = line.strip_prefix(b"220 ") {
        let has_id = greeting.ends_with(b">") && greeting.contains(&b'@');
        let lists = greeting.iter().filter(|byte| **byte == b'<').count();
        return Match::of(has_id && (is_port || lists == 2), 88);
    }
    // 3.9: a client's first words name it.
    if starts_with_word(line, b"CLIENT \"") && line.ends_with(b"\"") {
        return Match::Yes(if is_port { 95 } else { 85 });
    }
    let asks = [&b"DEFINE "[..], b"MATCH ", b"SHOW DB", b"SHOW STRAT"];
    let is_greeted = peek.other.starts_with(b"220 ") && peek.other.contains(&b'<');
    Match::of((is_port || is_greeted) && asks.iter().any(|verb| starts_with_word(line, verb)), 88)
}

fn ovsdb(peek: &Peek<'_>) -> Match {
    // RFC 7047 4.1: requests of JSON-RPC 1.0, which has no word for its version.
    let head = peek.bytes.get(..256).unwrap_or(peek.bytes);
    let method = find(head, b"\"method\":").and_then(|at| head.get(at + 9..)).map(<[u8]>::trim_ascii_start);
    let Some(method) = method else {
        let may_be = head.len() < 64 && head.is_ascii() && !head.contains(&b'\n');
        return if may_be { Match::More } else { Match::No };
    };
    let methods = [
        &b"\"list_dbs\""[..],
        b"\"get_schema\"",
        b"\"get_server_id\"",
        b"\"monitor_cond\"",
        b"\"monitor_cond_since\"",
        b"\"set_db_change_aware\"",
    ];
    let is_named = methods.iter().any(|name| method.starts_with(name));
    Match::of(is_named && find(head, b"\"jsonrpc\"").is_none(), 92)
}

fn pulseaudio(peek: &Peek<'_>) -> Match {
    // A length, channel -1 for commands, an offset of eight bytes and flags.
    let Some((head, command)) = peek.bytes.split_first_chunk::<20>() else {
        let begins =
            peek.bytes.get(4..).is_none_or(|channel| channel.iter().take(4).all(|byte| *byte == 0xff));
        return if begins && peek.bytes.get(..2).is_none_or(|high| high == [0; 2]) {
            Match::More
        } else {
            Match::No
        };
    };
    if head[..2] != [0; 2] || head[4..8] != [0xff; 4] || head[8..] != [0; 12] {
        return Match::No;
    }
    // AUTH (8) asks, REPLY (2) answers: numbers after an `L`, then the number of the request, 0 for the first.
    match command.get(..10) {
        Some(command) => Match::sure(matches!(command, [b'L', 0, 0, 0, 2 | 8, b'L', 0, 0, 0, 0])),
        None => Match::More,
    }
}

fn sane(peek: &Peek<'_>) -> Match {
    // SANE_NET_INIT: procedure 0, version 1.0 of the protocol, the user's name with its length and a zero.
    let Some(head) = peek.bytes.first_chunk::<12>() else {
        let may_be = [0, 0, 0, 0, 1, 0, 0].iter().zip(peek.bytes).all(|(known, byte)| known == byte);
        return if may_be { Match::More } else { Match::No };
    };
    if head[..7] != [0, 0, 0, 0, 1, 0, 0] || !(2..=4).contains(&head[7]) {
        return Match::No;
    }
    let len = peek.be32(8) as usize;
    match peek.bytes.get(12..12 + len.min(256)) {
        Some([name @ .., 0]) => {
            let is_name = name.iter().all(u8::is_ascii_graphic) && peek.bytes.len() == 12 + len;
            Match::of(is_name, if peek.has_port(6_566) { 95 } else { 85 })
        }
        Some([]) => Match::of(peek.has_port(6_566), 80),
        Some(_) => Match::No,
        None if len < 256 => Match::More,
        None => Match::No,
    }
}

fn wake_on_lan(peek: &Peek<'_>) -> Match {
    // Six bytes of ones, the machine's address sixteen times, and a password of none, four or six bytes.
    let Some((ones, rest)) = peek.bytes.split_first_chunk::<6>() else { return Match::No };
    let Some((addresses, password)) = rest.split_at_checked(96) else { return Match::No };
    let is_repeated =
        addresses.chunks_exact(6).all(|address| address.iter().zip(addresses).all(|(a, b)| a == b));
    // The address is that of one machine.
    let is_single = addresses.first().is_some_and(|first| first & 1 == 0);
    Match::of(*ones == [0xff; 6] && is_single && is_repeated && matches!(password.len(), 0 | 4 | 6), 96)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpi::protocol::samples::{confidence, datagram, peek, stream};

    #[test]
    fn first_words_are_known_and_cut_ones_waited_for() {
        // A client of distcc sends each token in a segment of its own.
        assert_eq!(confidence(&DISTCC, &stream(b"DIST00000001")), 95);
        assert_eq!(confidence(&DISTCC, &stream(b"DONE00000001STAT00000000")), 95);
        assert_eq!(distcc(&stream(b"DIST")), Match::More);
        assert_eq!(distcc(&stream(b"DISTANCE 100")), Match::No);
        let greeting = b"{\"class\":\"VERSION\",\"release\":\"3.22\",\"rev\":\"3.22\",\"proto_major\":3}\r\n";
        assert_eq!(confidence(&GPSD, &stream(greeting)), 95);
        assert_eq!(confidence(&GPSD, &stream(b"?WATCH={\"enable\":true,\"json\":true}")), 95);
        assert_eq!(gpsd(&stream(b"{\"cl")), Match::More);
        assert_eq!(gpsd(&stream(b"{\"id\":1}")), Match::No);
        assert_eq!(confidence(&OVSDB, &stream(br#"{"id":0,"method":"list_dbs","params":[]}"#)), 92);
        assert_eq!(ovsdb(&stream(br#"{"id":0,"method":"login","params":[]}"#)), Match::No);
        let auth = b"\0\0\x01\x14\xff\xff\xff\xff\0\0\0\0\0\0\0\0\0\0\0\0L\0\0\0\x08L\0\0\0\0L\0\0\x23\x78";
        assert_eq!(confidence(&PULSEAUDIO, &stream(auth)), 95);
        // The descriptor has a segment of its own.
        assert_eq!(pulseaudio(&stream(&auth[..20])), Match::More);
        assert_eq!(pulseaudio(&stream(&[0; 64])), Match::No);
        assert_eq!(confidence(&SANE, &stream(b"\0\0\0\0\x01\0\0\x03\0\0\0\x05root\0")), 85);
        assert_eq!(sane(&stream(&[0; 64])), Match::No);
    }

    #[test]
    fn a_sleeper_is_woken_by_its_address() {
        let mut packet = vec![0xff; 6];
        packet.extend(b"\x02\0\0\0\0\x01".repeat(16));
        assert_eq!(confidence(&WAKE_ON_LAN, &datagram(&packet)), 96);
        packet.extend([1, 2, 3, 4, 5, 6]);
        assert_eq!(confidence(&WAKE_ON_LAN, &datagram(&packet)), 96);
        assert_eq!(wake_on_lan(&datagram(&[0xff; 102])), Match::No);
        packet[20] ^= 1;
        assert_eq!(wake_on_lan(&datagram(&packet)), Match::No);
    }

    #[test]
    fn dictionaries_are_told_from_other_servers_that_are_ready() {
        let greeting = b"220 vm dictd 1.13.0/rf on Linux <auth.mime> <1.16084.1795743251@vm>\r\n";
        assert_eq!(confidence(&DICT, &stream(greeting)), 88);
        assert_eq!(
            confidence(&DICT, &stream(b"client \"dict 1.13.0/rf on Linux\"\r\ndefine * \"hello\"\r\n")),
            85
        );
        assert_eq!(confidence(&DICT, &peek(b"DEFINE ! penguin\r\n", 2_628, true)), 88);
        assert_eq!(dict(&stream(b"220 ProFTPD Server (Debian) [127.0.0.1]\r\n")), Match::No);
        assert_eq!(dict(&stream(b"220 mail.example.org ESMTP <1@mail.example.org>\r\n")), Match::No);
        assert_eq!(dict(&stream(b"DEFINE x y\r\n")), Match::No);
    }
}
