//! Any payloads in any order: recognition, reassembly and the parser that is found neither panic nor go on for ever.
//!
//! ```text
//! input:   transport (2 bits) and port (1) | payloads, see `dataplane::dpi::feed`
//! ```
//! They go through the inspector as one flow.

use std::sync::{Arc, LazyLock};

use dataplane::dpi::inspector::{Inspector, Payload};
use dataplane::dpi::recogniser::Recogniser;
use dataplane::dpi::{AppTable, FlowView, feed};
use dataplane::parse::{Addr, TcpFlags};
use dataplane::rules::detect::FlowCounts;
use dataplane::time::Wall;

static TABLES: LazyLock<(Arc<Recogniser>, Arc<AppTable>)> =
    LazyLock::new(|| (Arc::new(Recogniser::new()), Arc::new(AppTable::builtin())));

/// Shows the payloads of `bytes` to inspection.
pub fn run(bytes: &[u8]) {
    let [transport, rest @ ..] = bytes else { return };
    let ports = [443, 80, 53, 25, 5060, 1883, 502, 40_000];
    let view = FlowView {
        initiator: (Addr::v4([192, 0, 2, 1]), 50_000),
        responder: (Addr::v4([198, 51, 100, 7]), ports[usize::from(transport >> 2) % ports.len()]),
        protocol: [6, 17, 132, 6][usize::from(transport & 3)],
        is_midstream: false,
        is_established: true,
        counts: FlowCounts::default(),
    };
    let (recogniser, apps) = &*TABLES;
    let mut inspector = Inspector::new(Arc::clone(recogniser), Arc::clone(apps), 4);
    let (slot, _) = inspector.start(&view, Wall(0));
    let mut next = [1_000_u32, 9_000];
    for (way, bytes) in feed::payloads(rest) {
        let seq = &mut next[way as usize];
        let tcp = (view.protocol == 6).then_some((*seq, TcpFlags(TcpFlags::ACK)));
        *seq = seq.wrapping_add(bytes.len() as u32);
        inspector.look(slot, &view, &Payload { way, bytes, tcp, urgent: None, at: Wall(1) }, &mut |_| {});
    }
    inspector.end(slot, &view, Wall(2), &mut |_| {});
}
