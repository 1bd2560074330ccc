//! Which frames go over a WebSocket? Headers of the first ones are told (RFC 6455 5.2); payloads are read where rules ask for them.

mod payload;

use crate::dpi::{Category, Context, First, Match, Over, Parser, Peek, Probe, Protocol, Step};
use crate::flow::Direction;
use crate::rules::detect::{FieldId, Message as Pieces, field};
use payload::Payloads;

/// WebSocket, after its upgrade or seen from its middle.
pub static WEBSOCKET: Protocol = Protocol {
    name: "websocket",
    eve: None,
    category: Category::Web,
    probes: &[Probe { over: Over::Tcp, first: First::Of(&[0x81, 0x82]), look }],
    parser: Some(parser),
};

/// What frames are to rules.
const PIECES: Pieces = Pieces::of("websocket", "pdu", "header", "data");
const OPCODE: FieldId = field("websocket.opcode");
const FLAGS: FieldId = field("websocket.flags");
const MASK: FieldId = field("websocket.mask");

/// Frames that are told of one flow.
const FRAMES_MAX: u32 = 16;

/// A parser, for an upgrade.
#[must_use]
pub fn parser() -> Box<dyn Parser> {
    Box::<WebSocket>::default()
}

/// A flow without its upgrade: one whole text frame that begins as JSON, or frames end to end.
fn look(peek: &Peek<'_>) -> Match {
    let Some(frame) = Frame::read(peek.bytes) else { return Match::No };
    let whole = frame.header + frame.len;
    let Some(mut payload) = peek.bytes.get(frame.header..whole.min(peek.bytes.len())) else {
        return Match::No;
    };
    let mut clear = [0_u8; 32];
    if let Some(mask) = frame.mask {
        for (at, (place, byte)) in clear.iter_mut().zip(payload).enumerate() {
            *place = byte ^ mask[at % 4];
        }
        payload = &clear[..payload.len().min(32)];
    }
    let payload = payload.get(..32).unwrap_or(payload);
    let is_text = frame.opcode == 1
        && payload.len() >= 4
        && payload.iter().all(|byte| matches!(byte, 9 | 10 | 13 | 32..=126));
    Match::of(is_text && peek.bytes.len() == whole, if frame.mask.is_some() { 90 } else { 70 })
}

#[derive(Debug, Clone, Copy)]
struct Frame {
    fin: bool,
    /// Its first byte's upper half: FIN and what extensions have.
    flags: u8,
    opcode: u8,
    mask: Option<[u8; 4]>,
    header: usize,
    len: usize,
}

impl Frame {
    fn read(bytes: &[u8]) -> Option<Self> {
        let (head, rest) = bytes.split_first_chunk::<2>()?;
        let (len, rest) = match head[1] & 0x7f {
            126 => rest
                .split_first_chunk::<2>()
                .map(|(len, rest)| (u64::from(u16::from_be_bytes(*len)), rest))?,
            127 => rest.split_first_chunk::<8>().map(|(len, rest)| (u64::from_be_bytes(*len), rest))?,
            len => (u64::from(len), rest),
        };
        let (mask, rest) = match head[1] & 0x80 {
            0 => (None, rest),
            _ => rest.split_first_chunk::<4>().map(|(mask, rest)| (Some(*mask), rest))?,
        };
        let len = usize::try_from(len).ok().filter(|len| *len < 1 << 40)?;
        Some(Self {
            fin: head[0] & 0x80 != 0,
            flags: head[0] & 0xf0,
            opcode: head[0] & 0x0f,
            mask,
            header: bytes.len() - rest.len(),
            len,
        })
    }
}

#[derive(Default)]
struct WebSocket {
    told: u32,
    /// Frames so far: each is a transaction to rules.
    frames: u32,
    /// A frame whose payload is read, by direction, and bytes of it that are to come.
    reads: [Option<(Frame, usize)>; 2],
    payloads: [Option<Box<Payloads>>; 2],
}

impl Parser for WebSocket {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        if let Some((frame, left)) = self.reads[way as usize] {
            return self.payload(way, frame, left, bytes, cx);
        }
        let Some(frame) = Frame::read(bytes) else {
            return if bytes.len() < 14 { Step::Consumed(0) } else { Step::Done };
        };
        if !matches!(frame.opcode, 0..=2 | 8..=10) {
            cx.anomaly("invalid_opcode");
            return Step::Done;
        }
        cx.rules.message(way, &PIECES, bytes, frame.header, frame.len as u64);
        self.tell(way, &frame, cx);
        if cx.rules.is_on() {
            let payloads = self.payloads[way as usize].get_or_insert_default();
            if payloads.begin(&frame, cx) && frame.len > 0 {
                self.reads[way as usize] = Some((frame, frame.len));
                return Step::Consumed(frame.header);
            }
            self.end_frame(way, &frame, cx);
        } else if self.told >= FRAMES_MAX {
            return Step::Done;
        }
        if frame.opcode == 8 && frame.len == 0 {
            Step::Done
        } else {
            Step::Consumed(frame.header + frame.len)
        }
    }

    fn gap(&mut self, way: Direction, len: u64, _cx: &mut Context<'_>) -> Step {
        // Where the next frame begins is known within a payload alone; what follows it cannot be unpacked.
        match &mut self.reads[way as usize] {
            Some((_, left)) if (*left as u64) > len => {
                *left -= len as usize;
                if let Some(payloads) = &mut self.payloads[way as usize] {
                    payloads.lose();
                }
                Step::Consumed(0)
            }
            _ => Step::Done,
        }
    }

    fn start_over(&mut self) -> bool {
        *self = Self::default();
        true
    }
}

impl WebSocket {
    fn tell(&mut self, way: Direction, frame: &Frame, cx: &mut Context<'_>) {
        if self.told >= FRAMES_MAX {
            return;
        }
        self.told += 1;
        cx.tell_with("websocket", way, |fields| {
            fields.bool("fin", frame.fin);
            if let Some(mask) = frame.mask {
                fields.number("mask", u32::from_be_bytes(mask));
            }
            let opcode = match frame.opcode {
                0 => "continuation",
                1 => "text",
                2 => "binary",
                8 => "connection_close",
                9 => "ping",
                _ => "pong",
            };
            fields.text("opcode", opcode);
            fields.number("length", frame.len as u64);
        });
    }

    fn payload(
        &mut self,
        way: Direction,
        frame: Frame,
        left: usize,
        bytes: &[u8],
        cx: &mut Context<'_>,
    ) -> Step {
        let read = bytes.get(..left).unwrap_or(bytes);
        if let Some(payloads) = &mut self.payloads[way as usize] {
            payloads.take(&frame, frame.len - left, read);
        }
        let left = left - read.len();
        self.reads[way as usize] = Some((frame, left)).filter(|_| left > 0);
        if left == 0 {
            self.end_frame(way, &frame, cx);
            if frame.opcode == 8 {
                return Step::Done;
            }
        }
        Step::Consumed(read.len())
    }

    /// A frame is whole: rules are asked.
    fn end_frame(&mut self, way: Direction, frame: &Frame, cx: &mut Context<'_>) {
        cx.rules.number(OPCODE, frame.opcode.into());
        cx.rules.number(FLAGS, frame.flags.into());
        if let Some(mask) = frame.mask {
            cx.rules.number(MASK, u32::from_be_bytes(mask).into());
        }
        if let Some(payloads) = &mut self.payloads[way as usize] {
            payloads.end(frame, cx);
        }
        let transaction = self.frames;
        self.frames = self.frames.wrapping_add(1);
        cx.rules.stage(WEBSOCKET.name, transaction, way, true);
        cx.rules.end(transaction);
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;

    /// RFC 6455 5.7.
    #[test]
    fn frames_of_the_rfc_are_read() {
        let hello = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        let frame = Frame::read(&hello).unwrap();
        assert_eq!((frame.header, frame.len, frame.opcode, frame.fin), (6, 5, 1, true));
        assert!(frame.mask.is_some());
        for len in 0..6 {
            assert!(Frame::read(&hello[..len]).is_none());
        }
        assert!(Frame::read(&[0x82, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]).is_none());
    }

    fn frame(first: u8, mask: Option<[u8; 4]>, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![first];
        let bit = if mask.is_some() { 0x80 } else { 0 };
        match payload.len() {
            len @ 0..126 => frame.push(bit | len as u8),
            len => frame.extend([bit | 126, (len >> 8) as u8, len as u8]),
        }
        frame.extend(mask.unwrap_or_default().iter().take(if mask.is_some() { 4 } else { 0 }));
        let mask = mask.unwrap_or_default();
        frame.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ mask[at % 4]));
        frame
    }

    fn alerts(rules: &[&str], client: &[Vec<u8>], server: &[Vec<u8>]) -> Vec<u32> {
        const ASKED: &[u8] =
            b"GET /ws HTTP/1.1\r\nHost: a.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
        const AGREED: &[u8] =
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
        let begin = [(Direction::Forward, ASKED), (Direction::Reverse, AGREED)];
        let client = client.iter().map(|bytes| (Direction::Forward, &bytes[..]));
        let server = server.iter().map(|bytes| (Direction::Reverse, &bytes[..]));
        let all: Vec<_> = begin.into_iter().chain(client).chain(server).collect();
        let whole = crate::dpi::feed::samples::alerts_of(8_080, rules, &all);
        let cut: Vec<_> =
            all.iter().flat_map(|(way, bytes)| bytes.chunks(3).map(|piece| (*way, piece))).collect();
        assert_eq!(crate::dpi::feed::samples::alerts_of(8_080, rules, &cut), whole, "in pieces");
        whole
    }

    /// What a sender with permessage-deflate makes of messages (RFC 7692 7.2.1).
    fn packed(messages: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut state = flate2::Compress::new(flate2::Compression::default(), false);
        let each = |message: &&[u8]| {
            let mut out = Vec::with_capacity(1_024);
            state.compress_vec(message, &mut out, flate2::FlushCompress::Sync).unwrap();
            out.truncate(out.len() - 4);
            out
        };
        messages.iter().map(each).collect()
    }

    #[test]
    fn rules_see_payloads_without_masks_and_packing() {
        let rules = [
            r#"alert websocket any any -> any any (websocket.payload; content:"swordfish"; startswith; bsize:9; sid:1;)"#,
            "alert websocket any any -> any any (websocket.mask:305419896; sid:2;)",
            "alert websocket any any -> any any (websocket.opcode:ping; sid:3;)",
            "alert websocket any any -> any any (websocket.flags:fin,!comp; flow:to_client; sid:4;)",
            "alert websocket any any -> any any (websocket.flags:&0x40=0x40; sid:5;)",
        ];
        let mask = Some([0x12, 0x34, 0x56, 0x78]);
        let client = [frame(0x81, mask, b"swordfish")];
        assert_eq!(alerts(&rules, &client, &[frame(0x89, None, b"")]), [1, 2, 3, 4]);
        // In frames, each of which is one to rules, with a ping between.
        let client =
            [frame(0x01, mask, b"sword"), frame(0x89, mask, b"swordfish"), frame(0x80, mask, b"fish")];
        assert_eq!(alerts(&rules[..1], &client, &[]), [1, 1]);
        // The second message refers to what was said in the first.
        let packed = packed(&[b"sword and swordfish", b"swordfish"]);
        let server = [
            frame(0xc1, None, &packed[0]),
            frame(0x41, None, &packed[1][..2]),
            frame(0x80, None, &packed[1][2..]),
        ];
        assert_eq!(alerts(&rules, &[], &server), [5, 5, 1, 4]);
    }

    #[test]
    fn payloads_without_end_are_not_followed() {
        let rules = [r#"alert websocket any any -> any any (websocket.payload; content:"end"; sid:1;)"#];
        let bomb = packed(&[&vec![0; 4 << 20]]);
        let server = [frame(0xc1, None, &bomb[0]), frame(0x81, None, b"the end")];
        assert_eq!(alerts(&rules, &[], &server), [1]);
        // What is packed wrong is told as it is.
        assert_eq!(alerts(&rules, &[], &[frame(0xc1, None, b"\xff\xff the end")]), [1]);
        let long: Vec<_> = std::iter::repeat_n(frame(0x02, None, &[b'.'; 1_000]), 1)
            .chain(std::iter::repeat_n(frame(0x00, None, &[b'.'; 1_000]), 80))
            .collect();
        assert_eq!(alerts(&rules, &[], &long), [0; 0]);
    }
}
