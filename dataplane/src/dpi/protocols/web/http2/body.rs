//! What goes in DATA frames? Bodies of messages, for rules and for DNS, piece by piece and without their codings.

use super::doh::{self, Doh};
use crate::dpi::Context;
use crate::dpi::protocols::web::body::Codings;
use crate::dpi::protocols::web::told::{FILE_DATA, REQUEST_BODY, RESPONSE_BODY};
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
}

/// Which buffers have what goes a way.
const fn buffers(way: Direction) -> [BufferId; 2] {
    match way {
        Direction::Forward => [REQUEST_BODY, FILE_DATA],
        Direction::Reverse => [RESPONSE_BODY, FILE_DATA],
    }
}

/// Whether a rule asks for what goes a way.
pub(super) fn is_wanted(way: Direction, cx: &Context<'_>) -> bool {
    cx.rules.is_on() && buffers(way).iter().any(|buffer| cx.rules.wants(*buffer))
}

impl Body {
    /// A body with the value of `Content-Encoding`.
    pub(super) fn of(coding: &[u8], is_dns: bool) -> Self {
        Self { codings: Codings::of(coding), message: is_dns.then(Box::default) }
    }

    /// Whether memory is kept for its codings.
    pub(super) const fn is_coded(&self) -> bool {
        self.codings.are_any()
    }

    /// Takes the next bytes.
    pub(super) fn take(
        &mut self,
        (name, id): (&'static str, u32),
        way: Direction,
        bytes: &[u8],
        cx: &mut Context<'_>,
    ) {
        let Self { codings, message } = self;
        let had_failed = codings.have_failed();
        codings.decode(bytes, &mut |piece| {
            for buffer in buffers(way) {
                cx.rules.body(name, (id, buffer), way, piece, false);
            }
            if let Some(message) = message {
                message.add(way, piece, cx);
            }
        });
        if codings.have_failed() && !had_failed {
            cx.anomaly("failed_decompression");
        }
    }

    /// It is over.
    pub(super) fn end(
        self,
        (name, id): (&'static str, u32),
        way: Direction,
        doh: &mut Doh,
        cx: &mut Context<'_>,
    ) {
        for buffer in buffers(way) {
            cx.rules.body(name, (id, buffer), way, &[], true);
        }
        if let Some(message) = self.message {
            doh.read(way, &message, cx);
        }
    }
}
