//! What do two peers say over uTP? (BEP 29)
//!
//! Only the beginning of each direction is put together: datagrams that come before their turn are left out, and what
//! they have is missed.

use super::peer::Peers;
use crate::dpi::Kept;
use crate::dpi::cursor::Cursor;
use crate::dpi::parser::{Context, Step};
use crate::flow::Direction;

/// Bytes of a direction that wait to be read.
const WAITING_BYTES_MAX: usize = 8_192;

/// Datagrams of a flow that are looked at.
const DATAGRAMS_MAX: u8 = 100;

/// Selective acknowledgement, bits of old, and libtorrent's reason to close.
pub(super) const EXTENSION_MAX: u8 = 3;

const DATA: u8 = 0;
const KIND_MAX: u8 = 4;
const VERSION: u8 = 1;

/// One flow; of several connections in it, as of two peers that call each other at once, the first one.
#[derive(Debug, Default)]
pub(super) struct Transport {
    ways: [Way; 2],
    /// The connection that is read; its other direction has a number more or less.
    connection: Option<u16>,
    seen: u8,
}

#[derive(Debug, Default)]
struct Way {
    /// The number of the datagram that comes next.
    next: Option<u16>,
    waiting: Kept,
    /// Bytes that come and matter to nobody.
    skip: usize,
}

impl Transport {
    pub(super) fn datagram(
        &mut self,
        way: Direction,
        bytes: &[u8],
        peers: &mut Peers,
        cx: &mut Context<'_>,
    ) -> Step {
        self.seen += 1;
        if self.seen >= DATAGRAMS_MAX {
            return Step::Done;
        }
        // The DHT and others share the port.
        if !bytes.first().is_some_and(|first| first & 0x0f == VERSION && first >> 4 <= KIND_MAX) {
            return Step::Consumed(bytes.len());
        }
        let Some((kind, connection, number, payload)) = header(bytes) else {
            cx.anomaly("malformed_packet");
            return Step::Consumed(bytes.len());
        };
        if kind != DATA {
            return Step::Consumed(bytes.len());
        }
        if self.connection.is_some_and(|read| read.abs_diff(connection) > 1) {
            return Step::Consumed(bytes.len());
        }
        let state = &mut self.ways[way as usize];
        // A flow that was met midway begins nowhere.
        let is_first = state.next.is_none() && payload.starts_with(super::HANDSHAKE);
        if !is_first && state.next != Some(number) {
            return Step::Consumed(bytes.len());
        }
        self.connection.get_or_insert(connection);
        state.next = Some(number.wrapping_add(1));
        let skipped = state.skip.min(payload.len());
        state.skip -= skipped;
        let payload = payload.get(skipped..).unwrap_or_default();
        if state.waiting.len() + payload.len() > WAITING_BYTES_MAX || !state.waiting.extend(payload) {
            return Step::Done;
        }
        peers.is_over_udp();
        let mut read = 0;
        while let Some(rest @ [_, ..]) = state.waiting.get(read..) {
            match peers.data(way, rest, cx) {
                Step::Consumed(0) => break,
                Step::Consumed(len) => {
                    state.skip += len.saturating_sub(rest.len());
                    read += len.min(rest.len());
                }
                end => return end,
            }
        }
        state.waiting.drop_front(read);
        Step::Consumed(bytes.len())
    }
}

/// Kind, connection, number and payload.
fn header(bytes: &[u8]) -> Option<(u8, u16, u16, &[u8])> {
    let mut at = Cursor::new(bytes);
    let (first, extension) = (at.u8()?, at.u8()?);
    let connection = at.be16()?;
    // Time, difference, window.
    at.skip(12)?;
    let number = at.be16()?;
    at.skip(2)?;
    let payload = if extension == 0 { at.rest() } else { behind_extensions(at.rest())? };
    Some((first >> 4, connection, number, payload))
}

/// What follows the extensions: each is the next one's kind, a length and its bytes.
pub(super) fn behind_extensions(mut rest: &[u8]) -> Option<&[u8]> {
    const EXTENSIONS_MAX: usize = 4;
    for _ in 0..EXTENSIONS_MAX {
        let ([next, len], after) = rest.split_first_chunk::<2>()?;
        if *next > EXTENSION_MAX || len % 4 != 0 || *len == 0 {
            return None;
        }
        rest = after.get(usize::from(*len)..)?;
        if *next == 0 {
            return Some(rest);
        }
    }
    None
}
