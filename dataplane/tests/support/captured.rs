//! The flows of a capture, payload by payload, as inspection sees them. Streams are those of the inspector; fragments
//! and timeouts are left out, which the engine's own replay has.
#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "a test says what went wrong by failing; each uses its own part"
)]

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use dataplane::dpi::HostName;
use dataplane::dpi::inspector::{Inspector, Payload, Summary};
use dataplane::dpi::parser::{FlowView, Record};
use dataplane::flow::{Direction, FlowKey, NO_INSPECTION};
use dataplane::parse::{Headers, Network, Transport, parse_frame};
use dataplane::rules::detect::FlowCounts;
use dataplane::rx::savefile::SavefileReader;
use dataplane::time::Wall;

/// What is met of one flow.
pub(crate) enum Met<'a> {
    /// Its first packet; flows are numbered in this order.
    Begun,
    /// A payload is looked at next, by this one.
    Before(&'a Inspector),
    Record(&'a Record<'a>),
    /// A payload was looked at.
    After(&'a Inspector),
    /// The capture is over.
    Ended(Summary, Option<HostName>),
}

struct Seen {
    slot: u32,
    looks: bool,
    view: FlowView,
    src_is_lo: bool,
}

/// The labelled captures: `$JARVIS_CORPUS`, or `shared/corpus` beside the repository.
pub(crate) fn corpus() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus");
    let path = std::env::var_os("JARVIS_CORPUS").map_or(beside, PathBuf::from);
    path.join("cases.tsv").is_file().then_some(path)
}

/// Looks at every payload of a capture; `met` gets the number of the flow, its ends, and what is met. A file that is no
/// capture has no flows.
pub(crate) fn walk(path: &Path, inspector: &mut Inspector, mut met: impl FnMut(usize, &FlowView, Met<'_>)) {
    let mut seen: HashMap<FlowKey, usize> = HashMap::new();
    let mut all: Vec<Seen> = Vec::new();
    let Ok(mut reader) = SavefileReader::new(File::open(path).unwrap()) else { return };
    let mut last = Wall(0);
    while let Ok(Some(record)) = reader.next() {
        let at = record.wall;
        last = at;
        let Ok(headers) = parse_frame(record.bytes, record.link) else { continue };
        if headers.fragment.is_some() {
            continue;
        }
        let Some((key, src_is_lo)) = FlowKey::of(&headers, true) else { continue };
        let index = *seen.entry(key).or_insert_with(|| {
            let (view, flipped) = view_of(&headers);
            let (slot, looks) = match Inspector::looks_into(view.protocol) {
                true => inspector.start(&view, at),
                false => (NO_INSPECTION, false),
            };
            all.push(Seen { slot, looks, view, src_is_lo: src_is_lo != flipped });
            met(all.len() - 1, &view, Met::Begun);
            all.len() - 1
        });
        let flow = &all[index];
        if !flow.looks {
            continue;
        }
        let way = if src_is_lo == flow.src_is_lo { Direction::Forward } else { Direction::Reverse };
        let tcp = match headers.transport {
            Transport::Tcp(tcp) => {
                if tcp.flags.syn() {
                    inspector.syn(flow.slot, way, tcp.seq);
                }
                Some((tcp.seq, tcp.flags))
            }
            _ => None,
        };
        let payload = Payload { way, bytes: headers.payload(record.bytes), tcp, urgent: None, at };
        met(index, &flow.view, Met::Before(inspector));
        inspector.look(flow.slot, &flow.view, &payload, &mut |record| {
            met(index, &flow.view, Met::Record(&record));
        });
        met(index, &flow.view, Met::After(inspector));
    }
    for (index, flow) in all.iter().enumerate() {
        let (summary, host) = match flow.slot {
            NO_INSPECTION => (Summary::by_number(flow.view.protocol), None),
            slot => inspector.end(slot, &flow.view, last, &mut |record| {
                met(index, &flow.view, Met::Record(&record));
            }),
        };
        met(index, &flow.view, Met::Ended(summary, host));
    }
}

/// The flow's ends as its first packet shows them; a SYN/ACK comes from the responder.
fn view_of(headers: &Headers) -> (FlowView, bool) {
    let (src, dst) = headers.addrs().unwrap();
    let (src_port, dst_port) = headers.ports();
    let protocol = match headers.network {
        Network::Ip { protocol, .. } => protocol,
        _ => 0,
    };
    let (flipped, is_midstream) = match headers.transport {
        Transport::Tcp(tcp) if tcp.flags.syn() => (tcp.flags.ack(), false),
        Transport::Tcp(_) => (src_port < dst_port && src_port < 1024, true),
        _ => (false, false),
    };
    let (from, to) = ((src, src_port), (dst, dst_port));
    let (initiator, responder) = if flipped { (to, from) } else { (from, to) };
    let counts = FlowCounts::default();
    (FlowView { initiator, responder, protocol, is_midstream, is_established: true, counts }, flipped)
}
