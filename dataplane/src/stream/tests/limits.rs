//! How much can a sender make us hold?

use super::{Acked, Anomaly, Bench, Mode, WAY, What, bytes};
use crate::flow::Direction;
use crate::stream::{FLOW_BYTES_MAX, Memory, PIECES_MAX, Policy, Streams};

const TAP: Mode = Mode::Target(Policy::Bsd);

#[test]
fn half_open_streams_cost_their_state_alone() {
    let mut memory = Memory::new(1 << 20);
    let mut streams: Vec<Streams> = (0..1_000).map(|_| Streams::default()).collect();
    for streams in &mut streams {
        streams.syn(WAY, 7);
        streams.syn(Direction::Reverse, 8);
        assert_eq!(streams.acknowledged(WAY, 8, TAP, &mut memory), Acked::Nothing);
    }
    assert_eq!((memory.in_use(), memory.idle()), (0, 0));
    assert!(size_of::<Streams>() <= 200, "{}", size_of::<Streams>());
}

#[test]
fn pieces_are_bounded() {
    for mode in [TAP, Mode::Inline] {
        let mut bench = Bench::new(mode);
        let mut full = 0;
        for at in 0..20_000u64 {
            full += usize::from(bench.send(1 + at * 2, b"x").0 == What::Full);
        }
        assert_eq!(full, 20_000 - PIECES_MAX);
        assert!(bench.anomalies.contains(&Anomaly::InsertLimit));
        assert!(bench.streams.bytes_held() <= FLOW_BYTES_MAX);
        bench.end();
    }
}

#[test]
fn a_flood_of_gaps_is_gone_through_hole_by_hole() {
    let mut bench = Bench::new(TAP);
    let mut holes = 0;
    for at in 0..5_000u64 {
        let offset = 10 + at * 20;
        while bench.send(offset, b"0123456789").0 == What::Full {
            assert_eq!(bench.give_up(Some(offset)).hole, 10);
            holes += 1;
        }
        assert!(bench.streams.bytes_held() <= FLOW_BYTES_MAX);
    }
    while bench.acknowledge(100_000) == Acked::HoleIsHopeless {
        assert_eq!(bench.give_up(None).hole, 10);
        holes += 1;
    }
    assert_eq!(holes, 5_000);
    assert_eq!(bench.end(), b"0123456789".repeat(5_000));
}

#[test]
fn a_reader_that_waits_is_told_when_it_is_too_much() {
    for mode in [TAP, Mode::Inline] {
        let mut bench = Bench::new(mode);
        let mut at = 0;
        while bench.send_and_read(at, &bytes(at as usize, 1_000), 0).0 != What::Full {
            at += 1_000;
            assert!(bench.streams.bytes_held() <= FLOW_BYTES_MAX);
        }
        assert!(at > 60_000, "{at}");
        assert_eq!(bench.anomalies, [Anomaly::InsertMemcap]);
        let lost = bench.give_up(Some(at));
        assert_eq!((lost.hole, u64::from(lost.unread)), (0, at));
        assert_eq!(bench.send(at, b"on").0, What::Ready);
        assert_eq!(bench.end(), b"on");
    }
}

#[test]
fn both_directions_share_what_a_flow_may_hold() {
    let mut bench = Bench::new(TAP);
    bench.streams.syn(Direction::Reverse, 0);
    bench.send(30_000, b"far");
    let far = bench.streams.take(Direction::Reverse, 40_000, b"far", TAP, &mut bench.memory);
    assert_eq!(far.what, What::Full);
    let near = bench.streams.take(Direction::Reverse, 20_000, b"near", TAP, &mut bench.memory);
    assert_eq!(near.what, What::Nothing);
    assert!(bench.streams.bytes_held() <= FLOW_BYTES_MAX);
    bench.end();
}

#[test]
fn a_segment_too_far_ahead_is_refused_and_then_read_after_the_gap() {
    let mut bench = Bench::new(TAP);
    bench.send(0, b"abc");
    assert_eq!(bench.send(1 << 20, b"far").0, What::Full);
    assert_eq!(bench.memory.in_use(), 0);
    assert_eq!(bench.give_up(Some(1 << 20)).hole, (1 << 20) - 3);
    bench.send(1 << 20, b"far");
    assert_eq!(bench.end(), b"abcfar");
}

#[test]
fn the_workers_cap_holds_and_buffers_go_round() {
    let mut memory = Memory::new(10_000);
    let mut flows: Vec<Streams> = (0..20).map(|_| Streams::default()).collect();
    let mut held = 0;
    for flow in &mut flows {
        flow.syn(WAY, 0);
        let taken = flow.take(WAY, 501, &bytes(0, 500), TAP, &mut memory);
        held += usize::from(taken.what == What::Nothing);
        assert!(memory.in_use() <= 10_000);
    }
    assert_eq!(held, 8, "1,024 bytes and a short list each");
    assert_eq!(memory.refused, 12);
    let in_use = memory.in_use();
    for flow in &mut flows {
        flow.release(&mut memory);
    }
    assert_eq!((memory.in_use(), memory.idle()), (0, in_use));
    // The next flow takes what lies there, and another size takes its place.
    let mut flow = Streams::default();
    flow.syn(WAY, 0);
    assert_eq!(flow.take(WAY, 501, &bytes(0, 500), TAP, &mut memory).what, What::Nothing);
    assert_eq!(memory.in_use() + memory.idle(), in_use);
    assert_eq!(flow.take(WAY, 5_001, &bytes(0, 500), TAP, &mut memory).what, What::Nothing);
    assert!(memory.in_use() + memory.idle() <= 10_000);
    flow.release(&mut memory);
    assert_eq!(memory.in_use(), 0);
}

#[test]
fn a_usual_flow_holds_little() {
    // One segment ahead of a hole: the buffer is for both and little more.
    let mut bench = Bench::new(Mode::Inline);
    bench.send(700, &bytes(700, 700));
    assert!(bench.streams.bytes_held() <= 2_048, "{}", bench.streams.bytes_held());
    bench.send(0, &bytes(0, 700));
    bench.acknowledge(1_400);
    assert_eq!(bench.streams.bytes_held(), 0);
    bench.end();
}

#[test]
fn a_long_inline_stream_that_nobody_acknowledges_is_remembered_in_bounds() {
    let mut bench = Bench::new(Mode::Inline);
    for at in 0..2_000u64 {
        assert_eq!(bench.send(at * 1_000, &bytes(at as usize * 1_000, 1_000)).0, What::Ready);
        assert!(bench.streams.bytes_held() <= FLOW_BYTES_MAX);
    }
    assert_eq!(bench.end(), bytes(0, 2_000_000));
}

#[test]
fn with_no_memory_at_all_what_is_in_order_is_read() {
    let mut bench = Bench::new(Mode::Inline);
    bench.memory.set_bytes_max(0);
    for at in 0..10u64 {
        assert_eq!(bench.send(at * 10, &bytes(at as usize * 10, 10)).0, What::Ready);
    }
    assert!(bench.memory.refused > 0);
    assert_eq!(bench.send(200, b"x").0, What::Full);
    assert_eq!(bench.end(), bytes(0, 100));
}
