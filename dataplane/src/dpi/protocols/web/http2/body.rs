//! What goes in DATA frames? Bodies of messages, for rules and for DNS, piece by piece and without their codings.

use super::doh::{self, Doh};
use crate::dpi::protocols::web::body::Codings;
use crate::dpi::protocols::web::carried::Carried;
use crate::dpi::protocols::web::told::{REQUEST_BODY, RESPONSE_BODY};
use crate::dpi::{Context, Fields};
use crate::flow::Direction;
use crate::rules::rule::BufferId;

/// A DATA frame while its bytes come.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    /// The stream.
    pub id: u32,
    /// Bytes of the body that are to come, and of the padding behind them.
    pub left: usize,
    pub padding: usize,
    /// Whether the body ends with it.
    pub is_last: bool,
}

/// A body of one stream that goes one way.
#[derive(Default)]
pub(super) struct Body {
    codings: Codings,
    /// Where it is a message of DNS.
    message: Option<Box<doh::Message>>,
    /// Where somebody asks for files.
    carried: Option<Carried>,
}

/// Which buffer has what goes a way.
const fn buffer(way: Direction) -> &'static [BufferId; 1] {
    match way {
        Direction::Forward => &[REQUEST_BODY],
        Direction::Reverse => &[RESPONSE_BODY],
    }
}

/// Whether somebody asks for what goes a way.
pub(super) fn is_wanted(way: Direction, cx: &Context<'_>) -> bool {
    cx.rules.wants(buffer(way)[0]) || cx.wants_files()
}

impl Body {
    /// A body with the value of `Content-Encoding`, and the file that it is.
    pub(super) fn of(coding: &[u8], is_dns: bool, carried: Option<Carried>) -> Self {
        Self { codings: Codings::of(coding), message: is_dns.then(Box::default), carried }
    }

    /// Bytes are missing.
    pub(super) fn lose(&mut self, cx: &mut Context<'_>) {
        if let Some(carried) = &mut self.carried {
            carried.lose(cx);
        }
    }

    /// Whether memory is kept for its codings.
    pub(super) const fn is_coded(&self) -> bool {
        self.codings.are_any()
    }

    /// Takes the next bytes; `around` is what EVE has of the message.
    pub(super) fn take(
        &mut self,
        (name, id): (&'static str, u32),
        way: Direction,
        (bytes, around): (&[u8], &Fields),
        cx: &mut Context<'_>,
    ) {
        let Self { codings, message, carried } = self;
        let had_failed = codings.have_failed();
        codings.decode(bytes, &mut |piece| {
            cx.rules.body(name, (id, buffer(way)), way, piece, false);
            if let Some(carried) = carried {
                carried.data(piece, around, cx);
            }
            if let Some(message) = message {
                message.add(way, piece, cx);
            }
        });
        if codings.have_failed() && !had_failed {
            cx.anomaly("failed_decompression");
        }
    }

    /// It is over; whether all of it came, and what EVE has of the message.
    pub(super) fn end(
        self,
        (name, id): (&'static str, u32),
        way: Direction,
        (is_whole, around): (bool, &Fields),
        doh: &mut Doh,
        cx: &mut Context<'_>,
    ) {
        cx.rules.body(name, (id, buffer(way)), way, &[], true);
        if let Some(carried) = self.carried {
            carried.end(is_whole && !self.codings.is_cut(), around, cx);
        }
        if let Some(message) = self.message {
            doh.read(way, &message, cx);
        }
    }
}
