//! Which protocol of power grids and meters is this? IEC 60870-5-104, DLMS/COSEM, synchrophasors, ANSI C12.22.
//!
//! Telecontrol over IEC 104 leaves records: which commands a control centre gave.

use crate::dpi::cursor::Cursor;
use crate::dpi::protocol::{Category, First, Match, Over, Peek, Probe, Protocol};
use crate::dpi::{Context, Parser, Risk, Step};
use crate::flow::Direction;

/// IEC 60870-5-104 (clause 5: APCI; 60870-5-101 clause 7.2: ASDU).
pub static IEC104: Protocol = Protocol {
    name: "iec104",
    eve: None,
    category: Category::Iot,
    probes: &[Probe { over: Over::Tcp, first: First::Of(&[0x68]), look: looks_like_iec104 }],
    parser: Some(|| Box::new(Iec104::default())),
};

/// DLMS/COSEM of IEC 62056: in HDLC frames (62056-46), or behind a wrapper (62056-47), or the opening of mode C (-21).
pub static IEC62056: Protocol = Protocol {
    name: "iec62056",
    eve: None,
    category: Category::Iot,
    probes: &[
        Probe { over: Over::TcpOrUdp, first: First::Of(&[0x7e]), look: looks_like_hdlc },
        Probe { over: Over::TcpOrUdp, first: First::Of(&[0]), look: looks_like_wrapper },
        Probe { over: Over::Tcp, first: First::Of(b"/"), look: looks_like_mode_c },
    ],
    parser: None,
};

/// Phasor measurements (IEEE C37.118.2-2011, 6.2).
pub static SYNCHROPHASOR: Protocol = Protocol::named(
    "ieee-c37118",
    Category::Iot,
    &[Probe { over: Over::TcpOrUdp, first: First::Of(&[0xaa]), look: looks_like_phasors }],
);

/// Meters over networks (ANSI C12.22-2012, 5.3.4: an ACSE unit in BER).
pub static C1222: Protocol = Protocol::named(
    "ansi_c1222",
    Category::Iot,
    &[Probe { over: Over::TcpOrUdp, first: First::Of(&[0x60]), look: looks_like_c1222 }],
);

/// Whether a control field of four octets is one (5.1): numbered, supervisory, or unnumbered.
fn is_control(control: [u8; 4], len: u8) -> bool {
    match control {
        [first, _, third, _] if first & 1 == 0 => third & 1 == 0 && len >= 10,
        [1, 0, third, _] => third & 1 == 0 && len == 4,
        [0x07 | 0x0b | 0x13 | 0x23 | 0x43 | 0x83, 0, 0, 0] => len == 4,
        _ => false,
    }
}

fn looks_like_iec104(peek: &Peek<'_>) -> Match {
    let mut rest = peek.bytes;
    let mut units = 0;
    let mut numbered = false;
    while let Some(head) = rest.first_chunk::<6>() {
        let known_type = head[2] & 1 == 1 || rest.get(6).is_none_or(|kind| matches!(kind, 1..=127));
        if head[0] != 0x68
            || head[1] < 4
            || head[1] > 253
            || !known_type
            || !is_control([head[2], head[3], head[4], head[5]], head[1])
        {
            return Match::No;
        }
        units += 1;
        numbered |= head[1] > 4;
        match rest.get(2 + usize::from(head[1])..) {
            Some(next) => rest = next,
            None => return Match::of(units > 1 || peek.has_port(2_404), 85),
        }
    }
    if units == 0 {
        return if peek.bytes.len() < 6 { Match::More } else { Match::No };
    }
    let on_port = peek.has_port(2_404) || peek.has_port(19_998);
    Match::Yes(if on_port {
        96
    } else if numbered || units > 1 {
        90
    } else {
        82
    })
}

/// Records of a flow.
const RECORDS_MAX: u8 = 64;

#[derive(Debug, Default)]
struct Iec104 {
    told: u8,
}

impl Parser for Iec104 {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        let Some(head) = bytes.first_chunk::<2>() else { return Step::Consumed(0) };
        if head[0] != 0x68 || head[1] < 4 {
            cx.anomaly("malformed_apdu");
            return Step::Done;
        }
        let total = 2 + usize::from(head[1]);
        let Some(unit) = bytes.get(2..total) else { return Step::Consumed(0) };
        let mut cursor = Cursor::new(unit);
        let Some(control) = cursor.u8() else { return Step::Consumed(total) };
        if control & 1 == 0 {
            let asdu = (|| {
                cursor.skip(3)?;
                let (kind, count, cause) = (cursor.u8()?, cursor.u8()?, cursor.le16()?);
                let station = cursor.le16()?;
                let (low, high) = (cursor.le16()?, cursor.u8()?);
                Some((kind, count, cause, station, u32::from(high) << 16 | u32::from(low)))
            })();
            let Some((kind, count, cause, station, object)) = asdu else {
                cx.anomaly("malformed_asdu");
                return Step::Done;
            };
            // Commands, set points, resets and parameters change the plant; measured values are not told.
            if matches!(kind, 45..=64 | 105 | 110..=113) {
                cx.risk(Risk::PlantControl, format_args!("iec 104 type {kind} to object {object:?}"));
            }
            if kind >= 45 {
                self.told += 1;
                cx.tell_with("iec104", way, |out| {
                    out.number("type_id", kind);
                    out.text_if("type", type_name(kind));
                    out.number("objects", count & 0x7f);
                    out.number("cause", cause & 0x3f);
                    out.bool("negative", cause & 0x40 != 0);
                    out.bool("test", cause & 0x80 != 0);
                    out.number("station", station);
                    out.number("object_address", object);
                });
            }
        }
        if self.told >= RECORDS_MAX { Step::Done } else { Step::Consumed(total) }
    }
}

const fn type_name(kind: u8) -> Option<&'static str> {
    Some(match kind {
        45 => "C_SC_NA_1",
        46 => "C_DC_NA_1",
        47 => "C_RC_NA_1",
        48 => "C_SE_NA_1",
        49 => "C_SE_NB_1",
        50 => "C_SE_NC_1",
        51 => "C_BO_NA_1",
        58 => "C_SC_TA_1",
        59 => "C_DC_TA_1",
        60 => "C_RC_TA_1",
        61 => "C_SE_TA_1",
        62 => "C_SE_TB_1",
        63 => "C_SE_TC_1",
        64 => "C_BO_TA_1",
        70 => "M_EI_NA_1",
        100 => "C_IC_NA_1",
        101 => "C_CI_NA_1",
        102 => "C_RD_NA_1",
        103 => "C_CS_NA_1",
        104 => "C_TS_NA_1",
        105 => "C_RP_NA_1",
        107 => "C_TS_TA_1",
        110 => "P_ME_NA_1",
        111 => "P_ME_NB_1",
        112 => "P_ME_NC_1",
        113 => "P_AC_NA_1",
        120 => "F_FR_NA_1",
        121 => "F_SR_NA_1",
        122 => "F_SC_NA_1",
        124 => "F_AF_NA_1",
        125 => "F_SG_NA_1",
        126 => "F_DR_TA_1",
        _ => return None,
    })
}

fn looks_like_hdlc(peek: &Peek<'_>) -> Match {
    let Some([_, format, low]) = peek.bytes.first_chunk::<3>() else {
        return if peek.is_tcp { Match::More } else { Match::No };
    };
    // Frame format type 3: 1010, segmentation, eleven bits of length; a flag closes the frame.
    let len = usize::from(format & 7) << 8 | usize::from(*low);
    if format & 0xf0 != 0xa0 || len < 7 {
        return Match::No;
    }
    match peek.bytes.get(1 + len) {
        Some(end) => Match::of(*end == 0x7e, 95),
        None if peek.is_tcp && peek.bytes.len() < 4_096 => Match::More,
        None => Match::No,
    }
}

fn looks_like_wrapper(peek: &Peek<'_>) -> Match {
    // Version 1, both ports, length; then the tag of an APDU.
    if peek.bytes.len() < 9 {
        return if peek.is_tcp && peek.bytes.get(1).is_none_or(|byte| *byte == 1) {
            Match::More
        } else {
            Match::No
        };
    }
    let tag = peek.bytes.get(8).copied().unwrap_or_default();
    let fits = peek.be16(0) == 1
        && peek.bytes.len() == 8 + usize::from(peek.be16(6))
        && matches!(tag, 0x01 | 0x08 | 0x0e | 0x0f | 0x60..=0x63 | 0xc0..=0xc7 | 0xc8..=0xdf | 0x05 | 0x06 | 0x0c | 0x0d);
    // A client has port 16 and above it up to 127, a meter's management 1.
    let ports = (peek.be16(2), peek.be16(4));
    let plausible = ports.0 < 0x4000 && ports.1 < 0x4000 && (ports.0 > 0 || ports.1 > 0);
    Match::of(fits && plausible, if peek.has_port(4_059) { 93 } else { 72 })
}

fn looks_like_mode_c(peek: &Peek<'_>) -> Match {
    // Sign-on "/?<address>!", answered with "/" and the maker's three letters.
    let line = peek.bytes.get(..64).unwrap_or(peek.bytes);
    match line.iter().position(|byte| *byte == b'\n') {
        Some(end) => {
            let line = line.get(..end).unwrap_or_default();
            Match::of(line.starts_with(b"/?") && line.ends_with(b"!\r"), 92)
        }
        None if line.len() < 40 && line.get(1).is_none_or(|byte| *byte == b'?') => Match::More,
        None => Match::No,
    }
}

/// CRC-CCITT: polynomial 0x1021, most significant bit first.
pub fn ccitt(start: u16, bytes: &[u8]) -> u16 {
    bytes.iter().fold(start, |mut sum, byte| {
        sum ^= u16::from(*byte) << 8;
        for _ in 0..8 {
            sum = if sum & 0x8000 != 0 { sum << 1 ^ 0x1021 } else { sum << 1 };
        }
        sum
    })
}

fn looks_like_phasors(peek: &Peek<'_>) -> Match {
    let bytes = peek.bytes;
    let (sync, len) = (bytes.get(1).copied().unwrap_or(1), usize::from(peek.be16(2)));
    // Kind of frame 0 to 5 and version 1 or 2.
    if sync & 0x80 != 0 || sync >> 4 > 5 || !(1..=3).contains(&(sync & 15)) {
        return Match::No;
    }
    if bytes.len() < 16 {
        return if peek.is_tcp { Match::More } else { Match::No };
    }
    let Some((body, sum)) = bytes.get(..len).and_then(|frame| frame.split_last_chunk::<2>()) else {
        return if len >= 16 && peek.is_tcp && bytes.len() < 4_096 { Match::More } else { Match::No };
    };
    Match::of(len >= 16 && ccitt(0xffff, body) == u16::from_be_bytes(*sum), 98)
}

fn looks_like_c1222(peek: &Peek<'_>) -> Match {
    let mut cursor = Cursor::new(peek.bytes);
    let _ = cursor.u8();
    let len = match cursor.u8() {
        Some(short @ 0..=0x7f) => usize::from(short),
        Some(0x81) => cursor.u8().map_or(0, usize::from),
        Some(0x82) => cursor.be16().map_or(0, usize::from),
        Some(_) => return Match::No,
        None => return Match::More,
    };
    let unit = cursor.rest();
    if len < 8 || (!peek.is_tcp && unit.len() != len) || unit.len() > len {
        return Match::No;
    }
    // Elements of an ACSE unit in ascending order, user information (be) last; the called title or its like first.
    let mut elements = Cursor::new(unit);
    let (mut last, mut seen) = (0_u8, 0);
    while let (Some(tag), Some(value)) = (elements.u8(), elements.vec8()) {
        let is_known = matches!(
            tag,
            0xa1 | 0xa2 | 0xa4 | 0xa6 | 0xa7 | 0xa8 | 0xaa | 0xab | 0xac | 0xad | 0xbe | 0x8b | 0x8c
        );
        if !is_known || (tag & 0x1f) <= last || value.is_empty() {
            return Match::No;
        }
        last = tag & 0x1f;
        seen += 1;
    }
    if unit.len() < len {
        return Match::More;
    }
    Match::of(seen >= 3 && last == 0x1e, 92)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpi::protocol::samples::{looked, peek};

    #[test]
    fn each_is_known_by_its_frame_and_no_prefix_panics() {
        type Case = (fn(&Peek<'_>) -> Match, &'static [u8], u8);
        let cases: &[Case] = &[
            (looks_like_iec104, b"\x68\x04\x07\0\0\0", 82),
            (looks_like_iec104, b"\x68\x0e\0\0\0\0\x64\x01\x06\0\x01\0\0\0\0\x14", 90),
            (looks_like_hdlc, b"\x7e\xa0\x07\x03\x21\x93\x0f\x01\x7e", 95),
            (looks_like_wrapper, b"\0\x01\0\x10\0\x01\0\x03\x60\x01\x00", 72),
            (looks_like_mode_c, b"/?!\r\n", 92),
            (looks_like_phasors, b"\xaa\x41\0\x12\0\xf1\0\0\0\0\0\0\0\0\0\x05\xd7\xd0", 98),
            (
                looks_like_c1222,
                b"\x60\x11\xa2\x03\x06\x01\x01\xa8\x03\x02\x01\x01\xbe\x05\x28\x03\x81\x01\0",
                92,
            ),
        ];
        for (look, bytes, confidence) in cases {
            assert_eq!(looked(*look, bytes, 9, true), Match::Yes(*confidence), "{bytes:?}");
        }
    }

    #[test]
    fn others_are_not_claimed() {
        // SOCKS-like and SSH-like bytes that begin with the same octet.
        assert_eq!(looks_like_iec104(&peek(b"hello world", 2_404, true)), Match::No);
        assert_eq!(looks_like_phasors(&peek(&[0xaa; 64], 9, false)), Match::No);
        assert_eq!(
            looks_like_c1222(&peek(b"\x60\x28\x06\x09\x2a\x86\x48\x86\xf7\x12\x01\x02\x02", 9, true)),
            Match::No
        );
    }
}
