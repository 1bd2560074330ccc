//! What do the frames of one direction carry? Masks are taken off, fragments put together (RFC 6455 5.4), packed messages unpacked
//! (permessage-deflate, RFC 7692).
//!
//! A message may refer to what earlier ones have said, unless the ends have agreed otherwise; nothing is lost where they have. So one
//! inflater reads them all, one after the other.

use flate2::{Decompress, FlushDecompress, Status};

use super::Frame;
use crate::dpi::{Context, Kept};
use crate::rules::language::buffers::buffer;
use crate::rules::rule::BufferId;

const PAYLOAD: BufferId = buffer("websocket.payload");

/// Bytes of a message that rules see, packed and unpacked (Suricata's `websocket.max-payload-size` is 64 KiB).
const MESSAGE_BYTES_MAX: usize = 32 << 10;

/// Bytes that one message may unpack to before its direction is given up.
const UNPACKED_BYTES_MAX: usize = 1 << 20;

/// RSV1 of a message's first frame: it is packed (RFC 7692 6).
const PACKED: u8 = 0x40;

/// The payloads of one direction.
#[derive(Default)]
pub(super) struct Payloads {
    /// The frame that is read.
    frame: Kept,
    /// Frames of the message so far.
    message: Kept,
    is_packed: bool,
    is_cut: bool,
    inflater: Option<Box<Decompress>>,
    /// What was packed and not read is missing to what follows.
    is_lost: bool,
}

impl Payloads {
    /// A frame begins; whether its payload is to be taken.
    pub(super) fn begin(&mut self, frame: &Frame, cx: &mut Context<'_>) -> bool {
        self.frame.clear();
        if matches!(frame.opcode, 1 | 2) {
            self.message.clear();
            (self.is_packed, self.is_cut) = (frame.flags & PACKED != 0, false);
        }
        let is_wanted = cx.rules.wants(PAYLOAD);
        if is_wanted && frame.len > MESSAGE_BYTES_MAX {
            cx.anomaly("skip_end_of_payload");
        }
        is_wanted
    }

    /// Takes bytes of a frame's payload, which stand `at` in it.
    pub(super) fn take(&mut self, frame: &Frame, at: usize, bytes: &[u8]) {
        let from = self.frame.len();
        let room = MESSAGE_BYTES_MAX.saturating_sub(from);
        let taken = bytes.get(..room).unwrap_or(bytes);
        if taken.len() < bytes.len() || !self.frame.extend(taken) {
            self.is_cut = true;
            return;
        }
        if let (Some(mask), Some(own)) = (frame.mask, self.frame.get_mut(from..)) {
            own.iter_mut().zip(at..).for_each(|(byte, at)| *byte ^= mask[at % 4]);
        }
    }

    /// Bytes are missing.
    pub(super) const fn lose(&mut self) {
        (self.is_cut, self.is_lost) = (true, true);
    }

    /// A frame is over: shows what it completes, or else what it has.
    pub(super) fn end(&mut self, frame: &Frame, cx: &mut Context<'_>) {
        if !cx.rules.wants(PAYLOAD) {
            return;
        }
        // Control frames may stand within a message.
        if frame.opcode >= 8 {
            cx.rules.show(PAYLOAD, &self.frame);
            return;
        }
        let is_whole_alone = frame.fin && frame.opcode != 0;
        if !is_whole_alone && !self.is_cut {
            let has_room = self.message.len() + self.frame.len() <= MESSAGE_BYTES_MAX;
            if !has_room || !self.message.extend(&self.frame) {
                self.is_cut = true;
                cx.anomaly("reassembly_limit_reached");
            }
        }
        if !frame.fin {
            cx.rules.show(PAYLOAD, &self.frame);
            return;
        }
        let message = std::mem::take(if is_whole_alone { &mut self.frame } else { &mut self.message });
        self.is_lost |= self.is_packed && self.is_cut;
        if !self.is_packed || self.is_lost {
            cx.rules.show(PAYLOAD, &message);
            return;
        }
        let inflater = self.inflater.get_or_insert_with(|| Box::new(Decompress::new(false)));
        match unpack(inflater, &message) {
            Some(unpacked) => cx.rules.show(PAYLOAD, &unpacked),
            None => {
                self.is_lost = true;
                cx.rules.show(PAYLOAD, &message);
            }
        }
    }
}

/// Unpacks a message; `None`: it cannot be, and what follows neither.
fn unpack(inflater: &mut Decompress, message: &[u8]) -> Option<Vec<u8>> {
    /// RFC 7692 7.2.2: it ends with an empty block, whose last bytes were not sent.
    const TAIL: &[u8] = &[0, 0, 0xff, 0xff];
    let (mut unpacked, mut made) = (Vec::new(), 0);
    let mut step = [0; 4_096];
    for part in [message, TAIL] {
        let mut rest = part;
        loop {
            let (before_in, before_out) = (inflater.total_in(), inflater.total_out());
            let status = inflater.decompress(rest, &mut step, FlushDecompress::Sync).ok()?;
            let (read, wrote) =
                ((inflater.total_in() - before_in) as usize, (inflater.total_out() - before_out) as usize);
            made += wrote;
            if made > UNPACKED_BYTES_MAX {
                return None;
            }
            let room = MESSAGE_BYTES_MAX.saturating_sub(unpacked.len());
            unpacked.extend_from_slice(step.get(..wrote.min(room)).unwrap_or_default());
            rest = rest.get(read..).unwrap_or_default();
            match status {
                // RFC 7692 7.2.3.5: a sender may end its stream with the message.
                Status::StreamEnd => {
                    inflater.reset(false);
                    return Some(unpacked);
                }
                _ if rest.is_empty() && wrote < step.len() => break,
                _ if read == 0 && wrote == 0 => break,
                _ => {}
            }
        }
    }
    Some(unpacked)
}
