//! How much memory does payload cost, and who can make it cost more? Bytes of the allocator, counted flow by flow.
//!
//! The bounds are those of the design: median at most 2 KiB a flow, at most 64 KiB a flow, a cap for all; and they hold
//! for captures and for senders who want them not to.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what went wrong by failing")]

#[path = "support/captured.rs"]
mod captured;

use std::sync::{Arc, Mutex, MutexGuard};

use captured::Met;
use dataplane::dpi::feed::feed_parser;
use dataplane::dpi::inspector::{Inspector, PARSER_BYTES_MAX, Payload};
use dataplane::dpi::recogniser::Recogniser;
use dataplane::dpi::{AppTable, FlowView, Notes, kept, protocols};
use dataplane::flow::Direction;
use dataplane::parse::{Addr, TcpFlags};
use dataplane::rules::detect::FlowCounts;
use dataplane::stream::FLOW_BYTES_MAX;
use dataplane::time::Wall;
use xsk::alloc_count;

#[global_allocator]
static ALLOCATOR: alloc_count::Counting = alloc_count::Counting;

/// One test at a time: the allocator counts for all threads.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn inspector(flows_max: usize) -> Inspector {
    Inspector::new(Arc::new(Recogniser::new()), Arc::new(AppTable::builtin()), flows_max)
}

fn view(protocol: u8, client_port: u16, server_port: u16) -> FlowView {
    FlowView {
        initiator: (Addr::v4([192, 0, 2, 1]), client_port),
        responder: (Addr::v4([198, 51, 100, 2]), server_port),
        protocol,
        is_midstream: false,
        is_established: true,
        counts: FlowCounts::default(),
    }
}

const SEGMENT: TcpFlags = TcpFlags(TcpFlags::ACK);

/// Bytes that flows hold now: all that are allocated, but for those that wait for the next flow.
fn held(inspector: &Inspector) -> i64 {
    alloc_count::live_bytes() as i64 - (kept::idle() + inspector.idle_stream_bytes()) as i64
}

#[test]
fn flows_of_captures_stay_within_their_bounds() {
    let _alone = alone();
    let Some(corpus) = captured::corpus() else {
        eprintln!("no corpus: set JARVIS_CORPUS to its folder");
        return;
    };
    let mut paths: Vec<_> = walk_files(&corpus.join("pcaps"));
    paths.sort();
    let (recogniser, apps) = (Arc::new(Recogniser::new()), Arc::new(AppTable::builtin()));
    let mut peaks: Vec<(i64, String)> = Vec::new();
    for path in &paths {
        // A shelf of buffers and parsers that is warm is nobody's; each capture begins with a new inspector.
        let mut inspector = Inspector::new(Arc::clone(&recogniser), Arc::clone(&apps), 1 << 16);
        let mut now: Vec<(i64, i64)> = Vec::new();
        let mut before = 0;
        captured::walk(path, &mut inspector, |index, _, met| match met {
            Met::Begun => now.push((0, 0)),
            Met::Before(inspector) => before = held(inspector),
            Met::Record(_) => {}
            Met::After(inspector) => {
                let (own, peak) = &mut now[index];
                *own += held(inspector) - before;
                *peak = (*peak).max(*own);
            }
            Met::Ended(..) => {}
        });
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        peaks.extend(now.into_iter().map(|(_, peak)| (peak, name.clone())));
    }
    peaks.sort();
    let at = |share: usize| peaks[(peaks.len() - 1) * share / 100].0;
    eprintln!(
        "{} flows: median {}, 90 % {}, 99 % {}, largest {:?}",
        peaks.len(),
        at(50),
        at(90),
        at(99),
        &peaks[peaks.len() - 5..]
    );
    assert!(at(50) <= 2_048, "median {}", at(50));
    assert!(at(100) <= FLOW_BYTES_MAX as i64, "{:?}", peaks.last());
}

fn walk_files(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(walk_files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

/// What many protocols keep until an answer comes: names, records, messages in pieces.
fn openings() -> Vec<(u8, u16, Vec<u8>, Vec<u8>)> {
    let long = "x".repeat(7_000);
    let mut hello = vec![22, 3, 1, 0x40, 0, 1, 0, 0xff, 0xfc, 3, 3];
    hello.extend([7; 40]);
    let mut h2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    // A literal that is kept in the table, and then an index of it, over and over (a bomb of RFC 7541 7.3).
    let mut block = vec![0x40, 1, b'n', 0x7f, 0x80 | (3_900_u16 & 0x7f) as u8, 29];
    block.extend(vec![b'v'; 3_900 - 127 + 127]);
    block.extend([0xbe; 3_000]);
    h2.extend([0, (block.len() >> 8) as u8, block.len() as u8, 1, 4, 0, 0, 0, 1]);
    h2.extend(&block);
    let again: Vec<u8> = (1..60_u8)
        .flat_map(|id| {
            let mut frame = vec![0, 0x0b, 0xb8, 1, 4, 0, 0, 0, 2 * id + 1];
            frame.extend([0xbe; 3_000]);
            frame
        })
        .collect();
    let mut mqtt = b"\x10\x10\0\x04MQTT\x04\x02\0\x3c\0\x04name".to_vec();
    let mut publishes = Vec::new();
    for id in 0..40_u8 {
        publishes.extend([0x32, 0x84, 0x08, 0, 1, b't', 0, id + 1]);
        publishes.extend(vec![b'p'; 1_023]);
    }
    mqtt.extend(publishes.iter().take(2_000));
    vec![
        (6, 80, format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes(), b"".to_vec()),
        (
            6,
            80,
            format!("GET / HTTP/1.1\r\nReferer: {long}\r\nUser-Agent: {long}\r\n\r\n").into_bytes(),
            Vec::new(),
        ),
        (6, 443, hello, vec![9; 60_000]),
        (6, 8_080, h2, again),
        (6, 1_883, mqtt, publishes),
        (6, 21, format!("USER {long}\r\n").into_bytes(), format!("PASS {long}\r\n").repeat(20).into_bytes()),
        (
            6,
            25,
            format!("EHLO {long}\r\n").into_bytes(),
            "RCPT TO:<a@b.example>\r\n".repeat(5_000).into_bytes(),
        ),
        (6, 22, b"SSH-2.0-x\r\n".to_vec(), vec![0, 0, 0x7f, 0xff, 4, 20, 1, 1]),
        (6, 5_060, format!("INVITE sip:a@b SIP/2.0\r\nCall-ID: {long}\r\n\r\n").into_bytes(), Vec::new()),
    ]
}

/// 1 KiB of a payload, repeated where it is shorter.
fn first_of(payload: &[u8]) -> Vec<u8> {
    payload.iter().copied().cycle().take(1_024).collect()
}

#[test]
fn no_sender_makes_one_flow_cost_more_than_its_share() {
    let _alone = alone();
    let mut worst = Vec::new();
    for (protocol, port, first, more) in openings() {
        // How soon what fits beyond a hole is sent, both ways, beside what the parser holds by then.
        let peak = [1, 2, 3, 8, 200].map(|turns| {
            let mut inspector = inspector(8);
            let view = view(protocol, 40_000, port);
            let (slot, _) = inspector.start(&view, Wall(0));
            inspector.syn(slot, Direction::Forward, 999);
            inspector.syn(slot, Direction::Reverse, 999);
            let before = held(&inspector);
            let mut peak = 0;
            let mut send = |way, seq, bytes: &[u8]| {
                let payload = Payload { way, bytes, tcp: Some((seq, SEGMENT)), urgent: None, at: Wall(1) };
                inspector.look(slot, &view, &payload, &mut |_| {});
                peak = peak.max(held(&inspector) - before);
            };
            let mut seq = 1_000_u32;
            // The opening again and again, then what follows it, in segments of any size.
            for turn in 0..turns {
                let bytes = if turn % 2 == 0 || more.is_empty() { &first } else { &more };
                for chunk in bytes.chunks(1 + turn as usize * 37 % 1_400) {
                    send(Direction::Forward, seq, chunk);
                    seq = seq.wrapping_add(chunk.len() as u32);
                }
            }
            for (way, seq) in [(Direction::Forward, seq), (Direction::Reverse, 1_000)] {
                for at in 0..60 {
                    send(way, seq.wrapping_add(1_000 + at * 1_024), &first_of(&first));
                }
            }
            inspector.end(slot, &view, Wall(2), &mut |_| {});
            peak
        });
        worst.push((peak, port));
        assert!(peak.iter().all(|peak| *peak <= FLOW_BYTES_MAX as i64), "{peak:?} bytes for port {port}");
    }
    eprintln!("{worst:?}");
}

#[test]
fn a_million_half_open_streams_cost_what_the_cap_allows() {
    let _alone = alone();
    const FLOWS: u32 = 1_000_000;
    const CAP: usize = 16 << 20;
    let mut inspector = inspector(FLOWS as usize);
    inspector.memory().set_bytes_max(CAP);
    let before = held(&inspector);
    let mut refused = 0;
    for flow in 0..FLOWS {
        let view = view(6, flow as u16, 1_000 + (flow >> 16) as u16);
        let (slot, looks) = inspector.start(&view, Wall(0));
        if !looks {
            refused += 1;
            continue;
        }
        inspector.syn(slot, Direction::Forward, 99);
        // Beyond a hole, so that the bytes wait; and the beginning of a head that never ends.
        for (seq, bytes) in [(100_u32, &b"GET /"[..]), (2_000, b"waits for what never comes")] {
            let payload = Payload {
                way: Direction::Forward,
                bytes,
                tcp: Some((seq, SEGMENT)),
                urgent: None,
                at: Wall(0),
            };
            inspector.look(slot, &view, &payload, &mut |_| {});
        }
    }
    assert!(inspector.memory().in_use() <= CAP);
    assert!(inspector.memory().refused > 0, "the cap was met");
    let grown = held(&inspector) - before;
    eprintln!("{} MiB for streams and slots, {refused} flows not looked at", grown >> 20);
    // The slots of flows that are looked at are reserved beforehand; parsers and buffers have a cap.
    assert!(grown <= (CAP + kept::THREAD_BYTES_MAX) as i64 + (64 << 20), "{grown}");
}

#[test]
fn a_million_tiny_segments_of_one_flow_cost_nothing_more() {
    let _alone = alone();
    let mut inspector = inspector(8);
    let view = view(6, 40_000, 80);
    let (slot, _) = inspector.start(&view, Wall(0));
    inspector.syn(slot, Direction::Forward, 999);
    let before = held(&inspector);
    let text = b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 900000\r\n\r\n";
    let mut peak = 0;
    for at in 0..1_000_000_u32 {
        let byte = text.get(at as usize).copied().unwrap_or(b'x');
        // Every third one comes before its predecessors.
        let place = if at % 3 == 0 { at + 2 } else { at - 1 };
        let payload = Payload {
            way: Direction::Forward,
            bytes: &[text.get(place as usize).copied().unwrap_or(byte)],
            tcp: Some((1_000 + place, SEGMENT)),
            urgent: None,
            at: Wall(0),
        };
        inspector.look(slot, &view, &payload, &mut |_| {});
        peak = peak.max(held(&inspector) - before);
    }
    assert!(peak <= FLOW_BYTES_MAX as i64, "{peak}");
    inspector.end(slot, &view, Wall(1), &mut |_| {});
    assert_eq!(inspector.memory().in_use(), 0);
}

#[test]
fn buffers_come_back_whatever_a_parser_was_fed() {
    let _alone = alone();
    let before = kept::in_use();
    for protocol in protocols::all() {
        let Some(make) = protocol.parser else { continue };
        let mut parser = make();
        let apps = AppTable::builtin();
        let noise: Vec<u8> = (0..60_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        for protocol in [6, 17] {
            let payloads = noise.chunks(1_300).enumerate().map(|(turn, chunk)| {
                (if turn % 2 == 0 { Direction::Forward } else { Direction::Reverse }, chunk)
            });
            let notes = &mut Notes::default();
            feed_parser(&mut *parser, &view(protocol, 1, 2), &apps, payloads, notes, &mut |_| {});
        }
        assert!(kept::in_use() - before <= PARSER_BYTES_MAX, "{}", protocol.name);
        assert!(!parser.start_over() || kept::in_use() == before, "{} keeps bytes", protocol.name);
        drop(parser);
        assert_eq!(kept::in_use(), before, "{}", protocol.name);
    }
}
