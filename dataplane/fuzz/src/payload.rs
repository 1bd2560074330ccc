//! Any payloads in any order: recognition and every parser neither panic nor go on for ever.
//!
//! ```text
//! input:   transport and protocol (2) | chunk ...
//! chunk:   way (top bit) and length (2) | bytes
//! ```
//! The chunks go through the inspector as one flow, and then to the parser that the head chooses, recognised or not.

use std::sync::{Arc, LazyLock};

use dataplane::dpi::inspector::{Inspector, Payload};
use dataplane::dpi::recogniser::Recogniser;
use dataplane::dpi::{AppTable, FlowView, parser, protocols};
use dataplane::flow::Direction;
use dataplane::parse::{Addr, TcpFlags};
use dataplane::time::Wall;

static TABLES: LazyLock<(Arc<Recogniser>, Arc<AppTable>)> =
    LazyLock::new(|| (Arc::new(Recogniser::new()), Arc::new(AppTable::builtin())));

/// Unread bytes that a parser may leave before they count as lost.
const KEPT_MAX: usize = 16_384;

/// Shows the chunks of `bytes` to inspection and to one parser.
pub fn run(bytes: &[u8]) {
    let [transport, choice, rest @ ..] = bytes else { return };
    let chunks = chunks(rest);
    let ports = [443, 80, 53, 25, 5060, 1883, 502, 40_000];
    let view = FlowView {
        initiator: (Addr::v4([192, 0, 2, 1]), 50_000),
        responder: (Addr::v4([198, 51, 100, 7]), ports[usize::from(transport >> 2) % ports.len()]),
        protocol: [6, 17, 132, 6][usize::from(transport & 3)],
        is_midstream: false,
    };
    let (recogniser, apps) = &*TABLES;
    let mut inspector = Inspector::new(Arc::clone(recogniser), Arc::clone(apps), 4);
    let (slot, _) = inspector.start(&view, Wall(0));
    let mut next = [1_000_u32, 9_000];
    for (way, bytes) in &chunks {
        let seq = &mut next[*way as usize];
        let tcp = (view.protocol == 6).then_some((*seq, TcpFlags(TcpFlags::ACK)));
        *seq = seq.wrapping_add(bytes.len() as u32);
        inspector.look(slot, &view, &Payload { way: *way, bytes, tcp, at: Wall(1) }, &mut |_| {});
    }
    inspector.end(slot, &view, Wall(2), &mut |_| {});

    let with_parser: Vec<_> = protocols::all().filter_map(|protocol| protocol.parser).collect();
    let mut chosen = with_parser[usize::from(*choice) % with_parser.len()]();
    parser::feed(&mut *chosen, &view, apps, chunks.into_iter(), KEPT_MAX);
}

fn chunks(mut rest: &[u8]) -> Vec<(Direction, &[u8])> {
    let mut found = Vec::new();
    while let Some((head, after)) = rest.split_first_chunk::<2>() {
        let word = u16::from_be_bytes(*head);
        let len = usize::from(word & 0x7fff).min(after.len());
        let way = if word & 0x8000 == 0 { Direction::Forward } else { Direction::Reverse };
        let (chunk, left) = after.split_at(len);
        found.push((way, chunk));
        rest = left;
    }
    found
}
