//! What rules are told of TLS records by name (`frame:tls.pdu`): each record, its header, its content; alerts and heartbeats.

use crate::dpi::{Context, Step};
use crate::flow::Direction;
use crate::rules::detect::Message;
use crate::rules::language::frames::frame;
use crate::rules::rule::FrameId;

const RECORD: Message = Message::of("tls", "pdu", "hdr", "data");
const ALERT: FrameId = frame("tls", "alert");
const HEARTBEAT: FrameId = frame("tls", "heartbeat");
const OLD_RECORD: FrameId = frame("tls", "ssl2.pdu");
const OLD_HEADER: FrameId = frame("tls", "ssl2.hdr");

const HEADER_BYTES: usize = 5;

/// Whether a rule asks for one of them.
pub(super) fn are_wanted(cx: &Context<'_>) -> bool {
    let kinds = [RECORD.whole, RECORD.header, RECORD.data, ALERT, HEARTBEAT, OLD_RECORD, OLD_HEADER];
    cx.rules.wants_any_frame() && cx.rules.wants_frames(&kinds)
}

/// Tells a record of `len` bytes, which begins `bytes`.
pub(super) fn tell(way: Direction, bytes: &[u8], len: usize, cx: &mut Context<'_>) {
    if !cx.rules.wants_any_frame() {
        return;
    }
    match bytes.first() {
        // RFC 6101 E: the highest bit of the length, which begins it, says that there is no padding.
        Some(first) if first & 0x80 != 0 => {
            cx.rules.frame_of(way, OLD_RECORD, bytes, Some(len as u64));
            cx.rules.frame(way, OLD_HEADER, bytes.get(..2).unwrap_or_default());
        }
        Some(kind) => {
            let Some(content) = bytes.get(HEADER_BYTES..) else { return };
            let data = len.saturating_sub(HEADER_BYTES) as u64;
            cx.rules.message(way, &RECORD, bytes, HEADER_BYTES, data);
            match kind {
                21 => cx.rules.frame_of(way, ALERT, content, Some(data)),
                24 => cx.rules.frame_of(way, HEARTBEAT, content, Some(data)),
                _ => {}
            }
        }
        None => {}
    }
}

/// The record that begins `bytes` is passed over.
pub(super) fn skip(bytes: &[u8]) -> Step {
    match bytes {
        [20..=24, 3, _, high, low, ..] => {
            Step::Consumed(HEADER_BYTES + usize::from(u16::from_be_bytes([*high, *low])))
        }
        [first, second, ..] if first & 0x80 != 0 => {
            Step::Consumed(2 + usize::from(u16::from_be_bytes([first & 0x7f, *second])))
        }
        [20..=24, rest @ ..] if rest.len() < 4 && rest.first().is_none_or(|major| *major == 3) => {
            Step::Consumed(0)
        }
        _ => Step::Done,
    }
}
