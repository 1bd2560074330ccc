//! TFTP: which file is read or written? (RFC 1350, 2347)
//!
//! The answer comes from another port than the one that was asked: it is expected.

use crate::dpi::cursor::Cursor;
use crate::dpi::parser::{Context, Parser, Step};
use crate::dpi::{Category, First, Match, Over, Peek, Probe, Protocol};
use crate::flow::Direction;

/// TFTP.
pub static TFTP: Protocol = Protocol {
    name: "tftp",
    eve: None,
    category: Category::DataTransfer,
    probes: &[Probe { over: Over::Udp, first: First::Of(&[0]), look }],
    parser: Some(|| Box::new(Requests)),
};

const READ: u16 = 1;
const WRITE: u16 = 2;
const DATA: u16 = 3;
const ACK: u16 = 4;
const ERROR: u16 = 5;
const OPTIONS: u16 = 6;

fn look(peek: &Peek<'_>) -> Match {
    let is_own_port = peek.has_port(69);
    let block = peek.be16(2);
    let other = peek
        .other
        .first_chunk::<4>()
        .map(|[a, b, c, d]| (u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d])));
    match peek.be16(0) {
        READ | WRITE => Match::sure(request(peek.bytes).is_some()),
        DATA if peek.bytes.len() >= 4 => match other {
            // RFC 1350 2: data and acknowledgement take turns.
            Some((ACK, acknowledged)) if block == acknowledged || block == acknowledged.wrapping_add(1) => {
                Match::Yes(90)
            }
            Some((READ | WRITE, _)) => Match::Yes(85),
            // 512 is the usual block, 1 the first number.
            _ if block == 1 && (peek.bytes.len() == 516 || is_own_port) => Match::Yes(82),
            _ => Match::of(block != 0 && (peek.bytes.len() == 516 || is_own_port), 55),
        },
        ACK if peek.bytes.len() == 4 => match other {
            Some((DATA, sent)) if block == sent => Match::Yes(92),
            _ => Match::of(block <= 1 || is_own_port, 50),
        },
        ERROR if block <= 8 => Match::of(error(peek.bytes).is_some(), if is_own_port { 85 } else { 60 }),
        OPTIONS => {
            let known: [&[u8]; 4] = [b"blksize\0", b"tsize\0", b"timeout\0", b"windowsize\0"];
            let options = peek.bytes.get(2..).unwrap_or_default();
            Match::sure(known.iter().any(|name| crate::dpi::text::starts_with_word(options, name)))
        }
        _ => Match::No,
    }
}

/// File and mode.
fn request(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut at = Cursor::new(bytes.get(2..)?);
    let (file, mode) = (at.until_zero()?, at.until_zero()?);
    let is_mode = [&b"octet"[..], b"netascii", b"mail"].iter().any(|known| mode.eq_ignore_ascii_case(known));
    let is_text = !file.is_empty() && file.iter().all(|byte| *byte >= b' ');
    (is_mode && is_text).then_some((file, mode))
}

fn error(bytes: &[u8]) -> Option<&[u8]> {
    let text = Cursor::new(bytes.get(4..)?).until_zero()?;
    (text.len() > 3 && text.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ')).then_some(text)
}

struct Requests;

impl Parser for Requests {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        let packet = match bytes.first_chunk::<2>() {
            Some([0, 1]) => "read",
            Some([0, 2]) => "write",
            _ => return Step::Done,
        };
        let Some((file, mode)) = request(bytes) else {
            cx.anomaly("malformed_request");
            return Step::Done;
        };
        cx.expect(cx.flow.initiator.0, cx.flow.initiator.1, &TFTP);
        cx.tell_with("tftp", way, |tftp| {
            tftp.text("packet", packet);
            tftp.text("file", file);
            tftp.text("mode", mode);
        });
        Step::Consumed(bytes.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_have_a_file_and_a_known_mode() {
        assert_eq!(request(b"\0\x01boot.img\0OCTET\0tsize\x000\0"), Some((&b"boot.img"[..], &b"OCTET"[..])));
        assert_eq!(request(b"\0\x01boot.img\0other\0"), None);
        assert_eq!(request(b"\0\x01\0octet\0"), None);
        let whole = b"\0\x02a\0octet\0";
        for len in 0..whole.len() {
            assert_eq!(request(&whole[..len]), None);
        }
    }
}
