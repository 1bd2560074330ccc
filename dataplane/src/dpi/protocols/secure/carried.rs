//! How is TLS read that another protocol carries in messages of its own? The pieces are put into a row, and shown to
//! TLS as a stream of its own.
//!
//! For OpenVPN's control channel and TDS. The flow keeps the name of what carries.

use super::tls;
use crate::dpi::parser::{Context, Parser, Step};
use crate::dpi::protocols::web::inside::Inside;
use crate::flow::Direction;

/// What TLS waits for at most, of a direction: a record with its header and expansion (RFC 8446 5.2).
const WAITING_BYTES_MAX: usize = 5 + 0x4000 + 256;

/// A session of TLS within other messages.
pub(crate) struct Carried {
    inside: Inside,
    ways: [Row; 2],
}

/// The bytes of one direction that were not read yet.
#[derive(Debug, Default)]
struct Row {
    waiting: Vec<u8>,
    skip: usize,
}

impl Carried {
    /// With TLS that starts from its first byte.
    pub(crate) fn new() -> Self {
        Self::with(tls::parser())
    }

    /// With another reader.
    pub(crate) fn with(parser: Box<dyn Parser>) -> Self {
        Self { inside: Inside::with(parser), ways: Default::default() }
    }

    /// The next piece of a direction; [`Step::Done`] once nothing that follows matters.
    pub(crate) fn add(&mut self, way: Direction, piece: &[u8], cx: &mut Context<'_>) -> Step {
        let Some(row) = self.ways.get_mut(way as usize) else { return Step::Done };
        let skipped = row.skip.min(piece.len());
        row.skip -= skipped;
        let piece = piece.get(skipped..).unwrap_or_default();
        if row.waiting.len() + piece.len() > WAITING_BYTES_MAX {
            return Step::Done;
        }
        row.waiting.extend_from_slice(piece);
        while !row.waiting.is_empty() {
            match self.inside.data(way, &row.waiting, cx) {
                Step::Consumed(0) => break,
                Step::Consumed(len) => {
                    row.skip = len.saturating_sub(row.waiting.len());
                    row.waiting.drain(..len.min(row.waiting.len()));
                }
                step => return step,
            }
        }
        Step::Consumed(piece.len())
    }

    /// The flow is over.
    pub(crate) fn end(&mut self, cx: &mut Context<'_>) {
        self.inside.end(cx);
    }
}
