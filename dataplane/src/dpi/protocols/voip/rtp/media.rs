//! What is played, and how much of it gets lost? The streams of one flow, told as `rtp` when it ends, a record a stream.
//!
//! RTCP may go the same way (RFC 5761): `reports`. What is encrypted (RFC 3711) has the same header, of which all of this is.

use super::reports::Reports;
use crate::dpi::cursor::Cursor;
use crate::dpi::{Context, Fields, Parser, Step};
use crate::flow::Direction;

/// Streams of a flow that are followed; a call has one each way, bundled media a few.
const STREAMS_MAX: usize = 4;

/// Packets of a flow after which nobody looks any more: 40 s of a call both ways.
const PACKETS_MAX: u32 = 4_096;

/// Packets that make a stream: one may be anything.
const STREAM_PACKETS_MIN: u32 = 2;

/// RFC 3550 A.1: a step further than this is no loss but a new beginning.
const DROPOUT_MAX: u16 = 3_000;
/// And one back as far as this is a packet that came late.
const MISORDER_MAX: u16 = 100;

/// Reads one flow of media.
#[derive(Default)]
pub(super) struct Media {
    streams: [Option<Stream>; STREAMS_MAX],
    reports: [Reports; 2],
    packets: u32,
}

impl Parser for Media {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        match bytes {
            // RFC 7983 7: STUN, DTLS and channels share the socket.
            [0..=0x7f | 0xc0..=0xff, ..] | [] => return Step::Consumed(bytes.len()),
            // RFC 5761 4.
            [_, 192..=223, ..] => self.reports[way as usize].packet(bytes, cx),
            _ => match Packet::read(bytes) {
                Some(packet) => self.packet(way, &packet, cx.at.0),
                None => cx.anomaly("malformed_message"),
            },
        }
        self.packets += 1;
        if self.packets >= PACKETS_MAX { Step::Done } else { Step::Consumed(bytes.len()) }
    }

    fn end(&mut self, cx: &mut Context<'_>) {
        for stream in std::mem::take(&mut self.streams).into_iter().flatten() {
            if stream.packets >= STREAM_PACKETS_MIN {
                cx.tell_with("rtp", stream.way, |fields| stream.write(fields));
            }
        }
        for (reports, way) in self.reports.iter().zip([Direction::Forward, Direction::Reverse]) {
            reports.tell(way, cx);
        }
        self.reports = Default::default();
    }

    fn start_over(&mut self) -> bool {
        *self = Self::default();
        true
    }
}

impl Media {
    fn packet(&mut self, way: Direction, packet: &Packet, now_ns: u64) {
        let known = self
            .streams
            .iter_mut()
            .flatten()
            .find(|stream| stream.way == way && stream.source == packet.source);
        if let Some(stream) = known {
            stream.packet(packet, now_ns);
        } else if let Some(free) = self.streams.iter_mut().find(|stream| stream.is_none()) {
            *free = Some(Stream::of(way, packet, now_ns));
        }
    }
}

/// What is read of a header (RFC 3550 5.1).
struct Packet {
    kind: u8,
    sequence: u16,
    time: u32,
    source: u32,
}

impl Packet {
    fn read(bytes: &[u8]) -> Option<Self> {
        let mut at = Cursor::new(bytes);
        let (flags, kind) = (at.u8()?, at.u8()? & 0x7f);
        let packet = Self { kind, sequence: at.be16()?, time: at.be32()?, source: at.be32()? };
        at.skip(4 * usize::from(flags & 0x0f))?;
        // An extension: a profile, then its length in words.
        if flags & 0x10 != 0 {
            at.skip(2)?;
            let words = at.be16()?;
            at.skip(4 * usize::from(words))?;
        }
        Some(packet)
    }
}

/// One source, one way.
struct Stream {
    way: Direction,
    source: u32,
    kind: u8,
    packets: u32,
    first: u16,
    /// The highest so far.
    last: u16,
    /// Packets that there should be.
    expected: u32,
    /// What would follow a step that was too far.
    restart: Option<u16>,
    /// Arrival less time, in units of the clock, modulo 2^32.
    transit: u32,
    /// Sixteen times the jitter.
    jitter: u32,
}

impl Stream {
    fn of(way: Direction, packet: &Packet, now_ns: u64) -> Self {
        Self {
            way,
            source: packet.source,
            kind: packet.kind,
            packets: 1,
            first: packet.sequence,
            last: packet.sequence,
            expected: 1,
            restart: None,
            transit: transit(packet, now_ns),
            jitter: 0,
        }
    }

    fn packet(&mut self, packet: &Packet, now_ns: u64) {
        self.packets += 1;
        self.count(packet.sequence);
        // RFC 3550 A.8, of what is played by the same clock.
        if packet.kind == self.kind {
            let transit = transit(packet, now_ns);
            let moved = (transit.wrapping_sub(self.transit) as i32).unsigned_abs();
            self.transit = transit;
            self.jitter =
                self.jitter.saturating_add(moved).saturating_sub(self.jitter.saturating_add(8) >> 4);
        }
    }

    fn count(&mut self, sequence: u16) {
        let step = sequence.wrapping_sub(self.last);
        match step {
            // Once more, or late: it was expected already.
            0 => {}
            _ if step > u16::MAX - MISORDER_MAX => {}
            _ if step < DROPOUT_MAX => {
                self.expected += u32::from(step);
                self.last = sequence;
                self.restart = None;
            }
            // The source began anew, if the next packet says so too.
            _ => {
                self.expected += 1;
                if self.restart == Some(sequence) {
                    self.last = sequence;
                    self.restart = None;
                } else {
                    self.restart = Some(sequence.wrapping_add(1));
                }
            }
        }
    }

    fn write(&self, fields: &mut Fields) {
        fields.number("ssrc", self.source);
        fields.number("payload_type", self.kind);
        let codec = codec(self.kind);
        fields.text_if("codec", codec.map(|(name, _)| name));
        fields.number("packets", self.packets);
        fields.number("first_sequence", self.first);
        fields.number("last_sequence", self.last);
        fields.number("lost", self.expected.saturating_sub(self.packets));
        if let Some((_, clock)) = codec {
            fields.number("jitter_us", u64::from(self.jitter) * 1_000_000 / (16 * u64::from(clock)));
        }
    }
}

/// When it came less when it is to be played; nobody's business where the clock is not known.
fn transit(packet: &Packet, now_ns: u64) -> u32 {
    let Some((_, clock)) = codec(packet.kind) else { return 0 };
    let arrival = u128::from(now_ns) * u128::from(clock) / 1_000_000_000;
    (arrival as u32).wrapping_sub(packet.time)
}

/// Name and clock of a payload type (RFC 3551 6); those from 96 on are agreed on elsewhere.
const fn codec(kind: u8) -> Option<(&'static str, u32)> {
    Some(match kind {
        0 => ("PCMU", 8_000),
        3 => ("GSM", 8_000),
        4 => ("G723", 8_000),
        5 => ("DVI4", 8_000),
        6 => ("DVI4", 16_000),
        7 => ("LPC", 8_000),
        8 => ("PCMA", 8_000),
        9 => ("G722", 8_000),
        10 | 11 => ("L16", 44_100),
        12 => ("QCELP", 8_000),
        13 => ("CN", 8_000),
        14 => ("MPA", 90_000),
        15 => ("G728", 8_000),
        16 => ("DVI4", 11_025),
        17 => ("DVI4", 22_050),
        18 => ("G729", 8_000),
        25 => ("CelB", 90_000),
        26 => ("JPEG", 90_000),
        28 => ("nv", 90_000),
        31 => ("H261", 90_000),
        32 => ("MPV", 90_000),
        33 => ("MP2T", 90_000),
        34 => ("H263", 90_000),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpi::feed::samples::{text_of, told};
    use crate::dpi::protocols::voip::rtp::RTP;
    use Direction::{Forward, Reverse};

    fn packet(kind: u8, sequence: u16, source: u8) -> Vec<u8> {
        let time = u32::from(sequence) * 160;
        [&[0x80, kind][..], &sequence.to_be_bytes(), &time.to_be_bytes(), &[0, 0, 0, source], &[0; 160]]
            .concat()
    }

    #[test]
    fn streams_are_told_with_what_is_lost() {
        let sequences = [65_533, 65_534, 65_534, 1, 0, 5, 4];
        let mut payloads: Vec<_> = sequences.map(|sequence| (Forward, packet(8, sequence, 1))).to_vec();
        payloads.extend([10, 11].map(|sequence| (Reverse, packet(111, sequence, 2))));
        // One packet makes no stream; STUN and DTLS are none of ours.
        payloads.extend([(Reverse, packet(0, 1, 3)), (Forward, vec![0, 1, 0, 0]), (Forward, vec![22, 254])]);
        let records = told(&RTP, &payloads);
        let (first, _jitter) = records[0].rsplit_once(' ').unwrap_or_default();
        // 65535, 2 and 3 never came, one came twice.
        let expected =
            "rtp ssrc=1 payload_type=8 codec=PCMA packets=7 first_sequence=65533 last_sequence=5 lost=2";
        assert_eq!(first, expected);
        let expected = "rtp ssrc=2 payload_type=111 packets=2 first_sequence=10 last_sequence=11 lost=0";
        assert_eq!(records[1..], [expected]);
    }

    #[test]
    fn a_source_that_begins_anew_lost_nothing() {
        let sequences = [1, 2, 40_000, 40_001, 40_002];
        let payloads = sequences.map(|sequence| (Forward, packet(0, sequence, 1)));
        assert!(told(&RTP, &payloads)[0].contains(" packets=5 first_sequence=1 last_sequence=40002 lost=0 "));
    }

    #[test]
    fn jitter_is_that_of_rfc_3550() {
        const MS: u64 = 1_000_000;
        let read = |sequence| Packet::read(&packet(0, sequence, 1));
        let (Some(first), Some(second), Some(third)) = (read(1), read(2), read(3)) else {
            return assert!(read(1).is_some());
        };
        let mut stream = Stream::of(Forward, &first, 1_000 * MS);
        // 20 ms of sound, 20 ms later.
        stream.packet(&second, 1_020 * MS);
        assert_eq!(stream.jitter, 0);
        // 16 ms late: 128 units, of which a sixteenth counts.
        stream.packet(&third, 1_056 * MS);
        assert_eq!(stream.jitter >> 4, 8);
        let mut fields = Fields::new();
        stream.write(&mut fields);
        assert!(text_of(&fields).ends_with(" jitter_us=1000"));
    }

    #[test]
    fn what_is_cut_has_a_name_and_all_of_it_a_limit() {
        let extended = [&[0x91, 0][..], &[0; 10], &[0; 4], &[0xbe, 0xde, 0, 1], &[0; 4]].concat();
        assert_eq!(told(&RTP, &[(Forward, extended.clone())]), [""; 0]);
        for len in 2..extended.len() {
            let records = told(&RTP, &[(Forward, extended[..len].to_vec())]);
            assert!(records.len() == 1 && records[0].contains("event=malformed_message"), "{records:?}");
        }
        let payloads: Vec<_> =
            (0..20_000_u32).map(|nth| (Forward, packet(0, (nth / 50) as u16, (nth % 50) as u8))).collect();
        let records = told(&RTP, &payloads);
        assert!(records.len() == STREAMS_MAX && records[0].contains(" packets=82 "), "{records:?}");
    }
}
