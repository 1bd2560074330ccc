//! Which frames go over a WebSocket? Headers of the first ones are told (RFC 6455 5.2), payloads skipped.

use crate::dpi::{Category, Context, First, Match, Over, Parser, Peek, Probe, Protocol, Step};
use crate::flow::Direction;

/// WebSocket, after its upgrade or seen from its middle.
pub static WEBSOCKET: Protocol = Protocol {
    name: "websocket",
    eve: None,
    category: Category::Web,
    probes: &[Probe { over: Over::Tcp, first: First::Of(&[0x81, 0x82]), look }],
    parser: Some(parser),
};

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

struct Frame {
    fin: bool,
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
}

impl Parser for WebSocket {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        let Some(frame) = Frame::read(bytes) else {
            return if bytes.len() < 14 { Step::Consumed(0) } else { Step::Done };
        };
        if !matches!(frame.opcode, 0..=2 | 8..=10) {
            cx.anomaly("invalid_opcode");
            return Step::Done;
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
        if self.told >= FRAMES_MAX || frame.opcode == 8 {
            return Step::Done;
        }
        Step::Consumed(frame.header + frame.len)
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
}
