//! What runs in a building or at home? BACnet, KNX, LonTalk, Crestron, Niagara, lamps, plugs, tank gauges.

use crate::dpi::protocol::{Category, First, Match, Over, Peek, Probe, Protocol};
use crate::dpi::{Context, Parser, Risk, Step};
use crate::flow::Direction;

macro_rules! plain {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $($over:ident $first:expr => $look:ident),+;)+) => {
        $($(#[$doc])*
        pub static $name: Protocol = Protocol {
            name: $text,
            eve: None,
            category: Category::Iot,
            probes: &[$(Probe { over: Over::$over, first: $first, look: $look }),+],
            parser: None,
        };)+
    };
}

plain! {
    /// KNXnet/IP (EN 13321-2).
    KNX = "knxnet_ip", TcpOrUdp First::Of(&[0x06]) => looks_like_knx;
    /// LonTalk over IP (EIA-852).
    CNP_IP = "cnp-ip", TcpOrUdp First::Of(&[0, 1, 2, 3, 4, 5]) => looks_like_cnp;
    /// Crestron's control processors.
    CRESTRON = "crestron", Tcp First::Of(&[0x0f, 0x01, 0x0d, 0x0e]) => looks_like_crestron, Udp First::Of(&[0x14, 0x15]) => looks_like_crestron_search;
    /// Tridium Niagara's Fox.
    FOX = "niagara_fox", Tcp First::Of(b"f") => looks_like_fox;
    /// LIFX lamps (lan.developer.lifx.com, "Packet Contents").
    LIFX = "lifx", Udp First::Any => looks_like_lifx;
    /// Zigbee frames in UDP, from a sniffer.
    ZEP = "zep", Udp First::Of(b"E") => looks_like_zep;
    /// Tuya's plugs and lamps in the local network.
    TUYA_LP = "tuyalp", TcpOrUdp First::Of(&[0]) => looks_like_tuya;
    /// Nest's log sink: Weave messages with their length before them (OpenWeave, "Weave Message Format").
    NEST_LOG_SINK = "nestlogsink", Tcp First::Any => looks_like_nest;
}

/// BACnet/IP (ASHRAE 135 annex J).
pub static BACNET: Protocol = Protocol {
    name: "bacnet",
    eve: None,
    category: Category::Iot,
    probes: &[Probe { over: Over::Udp, first: First::Of(&[0x81, 0x82]), look: looks_like_bacnet }],
    parser: Some(|| Box::new(Bacnet::default())),
};

/// Veeder-Root's automatic tank gauges (manual 576013-635).
pub static ATG: Protocol = Protocol {
    name: "atg",
    eve: None,
    category: Category::Iot,
    probes: &[Probe { over: Over::Tcp, first: First::Of(&[1]), look: looks_like_tank_gauge }],
    parser: Some(|| Box::new(TankGauge)),
};

/// Xiaomi's gadgets in the local network.
pub static MIIO: Protocol = Protocol {
    name: "miio",
    eve: None,
    category: Category::Iot,
    probes: &[Probe { over: Over::Udp, first: First::Of(&[0x21]), look: looks_like_miio }],
    parser: Some(|| Box::new(Miio)),
};

fn looks_like_bacnet(peek: &Peek<'_>) -> Match {
    let Some(head) = peek.bytes.first_chunk::<4>() else { return Match::No };
    let len = usize::from(u16::from_be_bytes([head[2], head[3]]));
    if head[1] > 0x0c || len < 4 || len > peek.bytes.len() {
        return Match::No;
    }
    // What carries a network unit says its version, 1; a forwarded one behind the address.
    let version = match head[1] {
        0x04 => Some(10),
        0x09..=0x0b => Some(4),
        _ => None,
    };
    let has_version = version.is_none_or(|at: usize| peek.bytes.get(at) == Some(&1));
    let on_port = peek.has_port(47_808);
    Match::of(
        has_version,
        if len == peek.bytes.len() && (on_port || version.is_some()) {
            95
        } else if on_port {
            85
        } else {
            60
        },
    )
}

/// Records of a flow.
const RECORDS_MAX: u8 = 32;

#[derive(Debug, Default)]
struct Bacnet {
    told: u8,
    last: Option<(u8, u8)>,
}

impl Parser for Bacnet {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        let consumed = Step::Consumed(bytes.len());
        // Annex J.2: the length is that of all of it.
        if bytes.get(2..4).is_none_or(|len| usize::from(u16::from_be_bytes([len[0], len[1]])) != bytes.len())
        {
            cx.anomaly("invalid_length");
        }
        let Some((kind, choice)) = service(bytes) else { return consumed };
        // WriteProperty, WritePropertyMultiple, DeviceCommunicationControl, ReinitializeDevice, AtomicWriteFile and others.
        if kind == 0 && matches!(choice, 7 | 8 | 9 | 10 | 11 | 15 | 16 | 17 | 20) {
            cx.notes.risk(Risk::PlantControl);
        }
        if kind >= 5 {
            cx.notes.risk(Risk::ErrorCode);
        }
        if self.last == Some((kind, choice)) {
            return consumed;
        }
        self.last = Some((kind, choice));
        self.told += 1;
        cx.tell_with("bacnet", way, |fields| {
            fields.text("pdu_type", PDU_TYPES.get(usize::from(kind)).copied().unwrap_or("unknown"));
            fields.number("service_choice", choice);
            fields.text_if("service", service_name(kind, choice));
        });
        if self.told >= RECORDS_MAX { Step::Done } else { consumed }
    }
}

const PDU_TYPES: [&str; 8] = [
    "confirmed_request",
    "unconfirmed_request",
    "simple_ack",
    "complex_ack",
    "segment_ack",
    "error",
    "reject",
    "abort",
];

/// Kind of the application unit and its service (clauses 6.2 and 20.1).
fn service(bytes: &[u8]) -> Option<(u8, u8)> {
    let mut at = match bytes.get(1)? {
        0x04 => 10,
        0x09..=0x0b => 4,
        _ => return None,
    };
    let control = *bytes.get(at + 1)?;
    // A message of the network layer has no application unit.
    if control & 0x80 != 0 {
        return None;
    }
    at += 2;
    if control & 0x20 != 0 {
        at += 3 + usize::from(*bytes.get(at + 2)?);
    }
    if control & 0x08 != 0 {
        at += 3 + usize::from(*bytes.get(at + 2)?);
    }
    if control & 0x20 != 0 {
        at += 1;
    }
    let head = *bytes.get(at)?;
    let kind = head >> 4;
    let choice = match kind {
        0 if head & 8 != 0 => at + 5,
        0 => at + 3,
        3 if head & 8 != 0 => at + 4,
        1 => at + 1,
        _ => at + 2,
    };
    Some((kind, *bytes.get(choice)?))
}

const fn service_name(kind: u8, choice: u8) -> Option<&'static str> {
    Some(match (kind, choice) {
        (1, 0) => "i_am",
        (1, 1) => "i_have",
        (1, 2) => "unconfirmed_cov_notification",
        (1, 6) => "time_synchronization",
        (1, 7) => "who_has",
        (1, 8) => "who_is",
        (0 | 2 | 3, 5) => "subscribe_cov",
        (0 | 2 | 3, 6) => "atomic_read_file",
        (0 | 2 | 3, 7) => "atomic_write_file",
        (0 | 2 | 3, 12) => "read_property",
        (0 | 2 | 3, 14) => "read_property_multiple",
        (0 | 2 | 3, 15) => "write_property",
        (0 | 2 | 3, 16) => "write_property_multiple",
        (0 | 2 | 3, 17) => "device_communication_control",
        (0 | 2 | 3, 20) => "reinitialize_device",
        (0 | 2 | 3, 26) => "read_range",
        _ => return None,
    })
}

fn looks_like_knx(peek: &Peek<'_>) -> Match {
    let Some(head) = peek.bytes.first_chunk::<6>() else {
        return if peek.is_tcp { Match::More } else { Match::No };
    };
    let len = usize::from(peek.be16(4));
    // Header length 6, version 1 (2 for security), a service family, and the length of it all.
    let fits =
        matches!(head[1], 0x10 | 0x13 | 0x20) && matches!(head[2], 0x02..=0x0a) && head[3] < 0x60 && len >= 6;
    let is_whole = if peek.is_tcp { peek.bytes.len() >= len } else { peek.bytes.len() == len };
    Match::of(fits && is_whole, 95)
}

fn looks_like_cnp(peek: &Peek<'_>) -> Match {
    let Some(head) = peek.bytes.first_chunk::<8>().filter(|_| peek.bytes.len() >= 20) else {
        return if peek.is_tcp { Match::More } else { Match::No };
    };
    // Length, version 1, kind, extended header, flags, vendor.
    let known = matches!(head[3], 1 | 3..=8 | 0x60 | 0x63..=0x68 | 0x70..=0x72 | 0x7f);
    let fits = usize::from(peek.be16(0)) == peek.bytes.len()
        && head[2] == 1
        && known
        && head[4] == 0
        && head[5] < 0x40;
    let on_port = peek.has_port(1_628) || peek.has_port(1_629);
    Match::of(fits, if on_port { 94 } else { 68 })
}

fn looks_like_crestron(peek: &Peek<'_>) -> Match {
    let on_port = peek.has_port(41_794);
    match peek.bytes.get(..4) {
        Some([0x0f, 0, 1, 2]) => Match::of(on_port, 92),
        Some([kind, high, low, _]) => {
            let len = usize::from(u16::from_be_bytes([*high, *low]));
            Match::of(on_port && *kind <= 0x0e && len + 3 == peek.bytes.len(), 85)
        }
        _ => {
            if on_port {
                Match::More
            } else {
                Match::No
            }
        }
    }
}

fn looks_like_crestron_search(peek: &Peek<'_>) -> Match {
    let opens = matches!(peek.bytes.get(..6), Some([0x14 | 0x15, 0, 0, 0, 1, 4]));
    Match::of(opens && peek.bytes.len() > 100, 93)
}

fn looks_like_fox(peek: &Peek<'_>) -> Match {
    match peek.bytes.get(..6) {
        Some(head) => Match::of(head == b"fox a " || head == b"fox s ", 96),
        None if b"fox a ".starts_with(peek.bytes) => Match::More,
        None => Match::No,
    }
}

fn looks_like_lifx(peek: &Peek<'_>) -> Match {
    // Length, protocol 1024 and "addressable"; zeros around the target and the kind.
    let fits = peek.bytes.len() >= 36
        && usize::from(peek.le16(0)) == peek.bytes.len()
        && peek.le16(2) & 0x1fff == 0x1400
        && peek.le16(34) == 0;
    Match::of(fits, if peek.has_port(56_700) { 95 } else { 84 })
}

fn looks_like_zep(peek: &Peek<'_>) -> Match {
    let fits = match peek.bytes.get(..4) {
        // Version 2: data have 32 bytes of header, acknowledgements 8.
        Some([b'E', b'X', 2, 1]) => peek.bytes.len() > 32,
        Some([b'E', b'X', 2, 2]) => peek.bytes.len() == 8,
        Some([b'E', b'X', 1, _]) => peek.bytes.len() > 16,
        _ => false,
    };
    Match::of(fits, if peek.has_port(17_754) { 95 } else { 84 })
}

fn looks_like_tuya(peek: &Peek<'_>) -> Match {
    if peek.bytes.len() < 16 {
        return if peek.is_tcp && [0, 0].iter().zip(peek.bytes).all(|(expected, byte)| expected == byte) {
            Match::More
        } else {
            Match::No
        };
    }
    // Prefix, sequence, command, length of what follows; 3.5 has another prefix and two reserved bytes.
    let fits = match peek.be32(0) {
        0x0000_55aa => peek.be32(8) <= 0x40 && (8..=8_192).contains(&peek.be32(12)),
        0x0000_6699 => peek.be32(10) <= 0x40,
        _ => false,
    };
    Match::of(fits, 97)
}

fn looks_like_nest(peek: &Peek<'_>) -> Match {
    if peek.bytes.len() < 24 {
        // Version 1 with both node identifiers, in the fourth byte.
        return if peek.bytes.get(3).is_none_or(|byte| *byte == 0x13) && peek.has_port(11_095) {
            Match::More
        } else {
            Match::No
        };
    }
    // Length, header (version 1, source and destination are there, AES or nothing), message, source, destination:
    // the nodes carry the maker's OUI, 18-B4-30.
    let oui = |at: usize| peek.bytes.get(at..at + 3) == Some(&[0x30, 0xb4, 0x18]);
    let fits = peek.le16(2) & 0xff0f == 0x1300 && (oui(13) && oui(21)) && peek.le16(0) > 22;
    Match::of(fits, 95)
}

fn looks_like_miio(peek: &Peek<'_>) -> Match {
    Match::of(
        peek.be16(0) == 0x2131 && peek.bytes.len() >= 32 && usize::from(peek.be16(2)) == peek.bytes.len(),
        96,
    )
}

/// Says whose the gadget is.
#[derive(Debug)]
struct Miio;

impl Parser for Miio {
    fn data(&mut self, _way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        if bytes.get(2..4).is_none_or(|len| usize::from(u16::from_be_bytes([len[0], len[1]])) != bytes.len())
        {
            cx.anomaly("invalid_length");
        }
        cx.app("xiaomi", 85);
        Step::Done
    }
}

fn looks_like_tank_gauge(peek: &Peek<'_>) -> Match {
    // Start of header, then a function: a letter and five digits; what a gauge answers repeats it.
    let after = peek.bytes.get(1..).unwrap_or_default();
    let after = after.strip_prefix(b"\r\n").unwrap_or(after);
    match after.get(..6) {
        Some(code) => {
            let is_code = matches!(code.first(), Some(b'I' | b'S' | b'i' | b's'))
                && code.iter().skip(1).all(u8::is_ascii_alphanumeric)
                && code.get(1..4).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit));
            Match::of(is_code, if peek.has_port(10_001) { 95 } else { 84 })
        }
        None if after.first().is_none_or(|byte| b"ISis\r".contains(byte)) => Match::More,
        None => Match::No,
    }
}

/// Tells which report or setting is asked for.
#[derive(Debug)]
struct TankGauge;

impl Parser for TankGauge {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        let Some(code) = bytes.get(1..7) else { return Step::Consumed(0) };
        if way == Direction::Forward {
            if !code.iter().all(u8::is_ascii_alphanumeric) {
                cx.anomaly("malformed_function");
            }
            // S sets what I inquires.
            if matches!(code.first(), Some(b'S' | b's')) {
                cx.notes.risk(Risk::PlantControl);
            }
            cx.tell_with("atg", way, |fields| fields.text("function", code));
        }
        Step::Done
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpi::protocol::samples::{looked, peek};

    #[test]
    fn each_is_known_by_its_header_and_no_prefix_panics() {
        type Case = (fn(&Peek<'_>) -> Match, &'static [u8], u16, bool, u8);
        let cases: &[Case] = &[
            (looks_like_bacnet, b"\x81\x0b\0\x0c\x01\x20\xff\xff\0\xff\x10\x08", 47_808, false, 95),
            (looks_like_knx, b"\x06\x10\x02\x01\0\x0e\x08\x01\xc0\xa8\0\x01\x0e\x57", 3_671, false, 95),
            (looks_like_cnp, b"\0\x14\x01\x01\0\0\0\0\x6b\x8b\x45\x67\0\0\0\0\0\0\0\0", 1_628, false, 94),
            (looks_like_fox, b"fox a 1 -1 fox hello\n{\n", 1_911, true, 96),
            (looks_like_tuya, b"\0\0\x55\xaa\0\0\0\0\0\0\0\x13\0\0\0\xac\0\0\0\0", 6_667, false, 97),
            (looks_like_tank_gauge, b"\x01I20100\n", 10_001, true, 95),
        ];
        for (look, bytes, port, is_tcp, confidence) in cases {
            assert_eq!(looked(*look, bytes, *port, *is_tcp), Match::Yes(*confidence), "{bytes:?}");
        }
        let mut hello = [0xff; 32];
        hello[..4].copy_from_slice(&[0x21, 0x31, 0, 32]);
        assert_eq!(looks_like_miio(&peek(&hello, 54_321, false)), Match::Yes(96));
        let mut lamp = [0; 36];
        lamp[0] = 36;
        lamp[3] = 0x34;
        assert_eq!(looks_like_lifx(&peek(&lamp, 56_700, false)), Match::Yes(95));
    }

    #[test]
    fn a_service_is_found_behind_addresses() {
        assert_eq!(service(b"\x81\x0b\0\x0c\x01\x20\xff\xff\0\xff\x10\x08"), Some((1, 8)));
        let write = b"\x81\x0a\0\x11\x01\x04\x00\x05\x01\x0f\x0c\0\0\0\0\x19\x55";
        assert_eq!(service(write), Some((0, 15)));
        for len in 0..write.len() {
            let _ = service(&write[..len]);
        }
    }
}
