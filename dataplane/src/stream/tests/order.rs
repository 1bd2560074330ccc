//! What well-meaning networks do: loss, repetition, another order, probes.

use super::{Acked, Anomaly, Bench, Mode, WAY, What, bytes};
use crate::flow::Direction;
use crate::stream::Policy;

const TAP: Mode = Mode::Target(Policy::Bsd);

#[test]
fn in_order_nothing_is_copied_and_nothing_held() {
    let mut bench = Bench::new(TAP);
    for at in 0..100 {
        assert_eq!(bench.send(at * 1_000, &bytes(at as usize * 1_000, 1_000)).0, What::Ready);
        assert_eq!((bench.memory.in_use(), bench.memory.idle()), (0, 0));
    }
    assert_eq!(bench.streams.depth(WAY), 100_000);
    assert_eq!(bench.end(), bytes(0, 100_000));
}

#[test]
fn ready_is_the_packet_itself() {
    let mut bench = Bench::new(Mode::Inline);
    let payload = bytes(0, 500);
    let seq = bench.seq(0);
    assert_eq!(bench.streams.take(WAY, seq, &payload, bench.mode, &mut bench.memory).what, What::Ready);
    assert_eq!(bench.streams.ready(WAY, &payload).as_ptr(), payload.as_ptr());
    // A flow that is done with at its first payload never holds anything.
    bench.streams.release(&mut bench.memory);
    assert_eq!(bench.memory.idle(), 0);
}

#[test]
fn what_the_reader_leaves_is_contiguous_with_what_comes() {
    let mut bench = Bench::new(TAP);
    bench.send_and_read(0, b"GET / HT", 0);
    bench.send_and_read(8, b"TP/1", 0);
    assert_eq!(bench.streams.ready(WAY, &[]), b"GET / HTTP/1");
    bench.send(12, b".1\r\n");
    assert_eq!(bench.memory.in_use(), 0, "all is read: the buffer is back");
    assert_eq!(bench.end(), b"GET / HTTP/1.1\r\n");
}

#[test]
fn out_of_order_and_repeated() {
    let mut bench = Bench::new(TAP);
    assert_eq!(bench.send(3, b"def").0, What::Nothing);
    assert_eq!(bench.send(6, b"ghi").0, What::Nothing);
    assert_eq!(bench.send(3, b"def").0, What::Nothing);
    assert_eq!(bench.send(0, b"abc").0, What::Ready);
    assert_eq!(bench.send(0, b"abcdefghi").0, What::Nothing);
    assert_eq!(bench.send(4, b"efghijk").0, What::Ready);
    assert!(bench.anomalies.is_empty());
    assert_eq!(bench.end(), b"abcdefghijk");
}

#[test]
fn sequence_numbers_wrap_around_in_any_order() {
    for mode in [TAP, Mode::Inline] {
        let mut bench = Bench::at(mode, u32::MAX - 4);
        bench.send(6, b"ghi");
        bench.send(3, b"def");
        bench.send(9, b"jkl");
        bench.send(0, b"abc");
        assert_eq!(bench.end(), b"abcdefghijkl");
    }
}

#[test]
fn a_hole_that_does_not_fill_is_given_up() {
    let mut bench = Bench::new(TAP);
    bench.send(0, b"abc");
    bench.send(10, b"klm");
    bench.send(20, b"uvw");
    let lost = bench.give_up(None);
    assert_eq!((lost.hole, lost.unread), (7, 0));
    assert_eq!(bench.read, b"abcklm");
    assert_eq!(bench.give_up(None).hole, 7);
    bench.send(23, b"xyz");
    assert_eq!(bench.end(), b"abcklmuvwxyz");
}

#[test]
fn what_the_receiver_acknowledged_will_not_come_again() {
    let mut bench = Bench::new(TAP);
    bench.send(0, b"abc");
    bench.send(10, b"klm");
    assert_eq!(bench.acknowledge(3), Acked::Nothing);
    assert_eq!(bench.acknowledge(13), Acked::HoleIsHopeless);
    assert_eq!(bench.give_up(None).hole, 7);
    assert_eq!(bench.end(), b"abcklm");
}

#[test]
fn an_acknowledgement_that_overtakes_its_data_gives_nothing_up() {
    let mut bench = Bench::new(TAP);
    bench.send(0, b"abc");
    assert_eq!(bench.acknowledge(6), Acked::Nothing);
    assert_eq!(bench.send(3, b"def").0, What::Ready);
    assert_eq!(bench.end(), b"abcdef");
}

#[test]
fn midstream_begins_with_the_first_segment() {
    let mut bench = Bench::midstream(TAP, 77);
    bench.send(100, b"hello");
    bench.send(90, b"0123456789");
    assert_eq!(bench.anomalies, [Anomaly::SegmentBeforeBase]);
    bench.send(105, b" world");
    assert_eq!(bench.end(), b"hello world");
}

#[test]
fn a_keep_alive_is_no_data() {
    for mode in [TAP, Mode::Inline] {
        let mut bench = Bench::new(mode);
        bench.send(0, b"abc");
        bench.acknowledge(3);
        let (what, _) = bench.send(2, b"\0");
        assert_eq!(what, What::Nothing);
        assert!(!bench.mended.is_rewritten);
        bench.send(3, b"def");
        assert_eq!(bench.end(), b"abcdef");
    }
}

#[test]
fn a_keep_alive_before_any_data_is_no_data() {
    let mut bench = Bench::new(TAP);
    let seq = bench.seq(0).wrapping_sub(1);
    assert_eq!(bench.streams.take(WAY, seq, b"\0", TAP, &mut bench.memory).what, What::Nothing);
    bench.send(0, b"abc");
    assert!(bench.anomalies.is_empty());
    assert_eq!(bench.end(), b"abc");
}

#[test]
fn a_zero_window_probe_carries_the_next_byte() {
    for mode in [TAP, Mode::Inline] {
        let mut bench = Bench::new(mode);
        bench.send(0, b"abc");
        bench.acknowledge(3);
        for _ in 0..5 {
            bench.send(3, b"d");
        }
        bench.send(3, b"defg");
        assert!(bench.anomalies.is_empty());
        assert_eq!(bench.end(), b"abcdefg");
    }
}

#[test]
fn skipped_bytes_are_neither_read_nor_kept() {
    let mut bench = Bench::new(TAP);
    bench.send_and_read(0, b"abc", 0);
    bench.streams.consume(WAY, 1_000);
    assert_eq!(bench.send(3, &bytes(0, 500)).0, What::Nothing);
    assert_eq!(bench.memory.in_use(), 0);
    assert_eq!(bench.send(503, &[b"x".repeat(497), b"end".to_vec()].concat()).0, What::Ready);
    assert_eq!(bench.streams.depth(WAY), 1_003);
    assert_eq!(bench.end(), b"end");
}

#[test]
fn a_hole_in_what_nobody_reads_is_nothing_lost() {
    let mut bench = Bench::new(TAP);
    bench.send_and_read(0, b"abc", 0);
    bench.streams.consume(WAY, 1_000);
    bench.send(600, &[b"x".repeat(400), b"end".to_vec()].concat());
    assert!(bench.give_up(None).is_nothing());
    assert_eq!(bench.end(), b"end");
}

#[test]
fn directions_do_not_mix() {
    let mut bench = Bench::new(TAP);
    bench.streams.syn(Direction::Reverse, 5_000);
    bench.send_and_read(0, b"request", 0);
    let taken = bench.streams.take(Direction::Reverse, 5_001, b"reply", TAP, &mut bench.memory);
    assert_eq!(taken.what, What::Ready);
    assert_eq!(bench.streams.ready(Direction::Reverse, b"reply"), b"reply");
    assert_eq!(bench.streams.ready(WAY, &[]), b"request");
    assert!(bench.streams.keep(Direction::Reverse, b"reply", TAP, &mut bench.memory));
    assert_eq!(bench.streams.ready(Direction::Reverse, &[]), b"reply");
    bench.end();
}
