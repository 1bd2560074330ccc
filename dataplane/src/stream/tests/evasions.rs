//! What senders try who want the reader to see something else than the receiver.

use super::{Acked, Anomaly, Bench, Mode, WAY, What, bytes};
use crate::flow::Direction;
use crate::parse::TcpFlags;
use crate::parse::checksum::Sum;
use crate::stream::{Memory, Policy, Streams};

const TAP: Mode = Mode::Target(Policy::Bsd);

fn read_by(policy: Policy, segments: &[(u64, &[u8])]) -> Vec<u8> {
    let mut bench = Bench::new(Mode::Target(policy));
    for (offset, payload) in segments {
        bench.send(*offset, payload);
    }
    bench.end()
}

/// A name, the segments as they come, and what each receiver reads.
type Case = (&'static str, &'static [(u64, &'static [u8])], &'static [(Policy, &'static [u8])]);

#[test]
fn overlaps_are_seen_as_each_receiver_sees_them() {
    // Novak and Sturges, section 3: the hole at 0 is filled last.
    let table: &[Case] = &[
        (
            "the later one begins after and ends after",
            &[(1, b"AAAA"), (3, b"BBBB"), (0, b".")],
            &[
                (Policy::First, b".AAAABB"),
                (Policy::Last, b".AABBBB"),
                (Policy::Bsd, b".AAAABB"),
                (Policy::Linux, b".AAAABB"),
                (Policy::Windows, b".AAAABB"),
                (Policy::Solaris, b".AABBBB"),
            ],
        ),
        (
            "the later one begins before and ends before",
            &[(3, b"AAAA"), (1, b"BBBB"), (0, b".")],
            &[
                (Policy::First, b".BBAAAA"),
                (Policy::Vista, b".BBAAAA"),
                (Policy::Last, b".BBBBAA"),
                (Policy::Bsd, b".BBBBAA"),
                (Policy::MacOs, b".BBBBAA"),
                (Policy::Linux, b".BBBBAA"),
                (Policy::Solaris, b".BBAAAA"),
            ],
        ),
        (
            "the same place, bad first and good later",
            &[(1, b"evil"), (1, b"good"), (0, b".")],
            &[
                (Policy::First, b".evil"),
                (Policy::Bsd, b".evil"),
                (Policy::Linux, b".evil"),
                (Policy::OldLinux, b".good"),
                (Policy::Last, b".good"),
                (Policy::Solaris, b".good"),
                (Policy::Hpux11, b".good"),
            ],
        ),
        (
            "the later one begins together and is longer",
            &[(1, b"AAA"), (1, b"BBBBB"), (0, b".")],
            &[
                (Policy::First, b".AAABB"),
                (Policy::Bsd, b".AAABB"),
                (Policy::Windows, b".AAABB"),
                (Policy::Linux, b".BBBBB"),
                (Policy::Irix, b".BBBBB"),
                (Policy::Hpux10, b".BBBBB"),
                (Policy::Solaris, b".BBBBB"),
            ],
        ),
        (
            "the later one begins together and is shorter",
            &[(1, b"AAAAA"), (1, b"BBB"), (0, b".")],
            &[
                (Policy::First, b".AAAAA"),
                (Policy::Last, b".BBBAA"),
                (Policy::Bsd, b".AAAAA"),
                (Policy::Linux, b".AAAAA"),
                (Policy::OldLinux, b".AAAAA"),
                (Policy::Solaris, b".AAAAA"),
            ],
        ),
        (
            "the later one lies within",
            &[(1, b"AAAAA"), (3, b"B"), (0, b".")],
            &[
                (Policy::First, b".AAAAA"),
                (Policy::Last, b".AABAA"),
                (Policy::Bsd, b".AAAAA"),
                (Policy::Solaris, b".AAAAA"),
            ],
        ),
        (
            "the later one covers the earlier",
            &[(3, b"A"), (1, b"BBBBB"), (0, b".")],
            &[
                (Policy::First, b".BBABB"),
                (Policy::Last, b".BBBBB"),
                (Policy::Bsd, b".BBBBB"),
                (Policy::Windows, b".BBBBB"),
                (Policy::Vista, b".BBABB"),
                (Policy::Solaris, b".BBBBB"),
            ],
        ),
        (
            "the segment that fills the hole overlaps what waits",
            &[(2, b"AAAA"), (0, b"BBBB")],
            &[
                (Policy::First, b"BBAAAA"),
                (Policy::Bsd, b"BBBBAA"),
                (Policy::Linux, b"BBBBAA"),
                (Policy::Last, b"BBBBAA"),
                (Policy::Solaris, b"BBAAAA"),
            ],
        ),
    ];
    for (name, segments, expected) in table {
        for (policy, seen) in *expected {
            let read = read_by(*policy, segments);
            assert_eq!(read, *seen, "{name}: {} read {}", policy.label(), String::from_utf8_lossy(&read));
        }
    }
}

#[test]
fn bytes_that_differ_beyond_a_hole_are_told() {
    let mut bench = Bench::new(TAP);
    bench.send(5, b"evil");
    bench.send(5, b"evil");
    assert!(bench.anomalies.is_empty());
    bench.send(5, b"good");
    assert_eq!(bench.anomalies, [Anomaly::OverlapDifferentData]);
    bench.end();
}

#[test]
fn policies_have_suricatas_names() {
    for policy in Policy::ALL {
        assert_eq!(Policy::from_label(policy.label()), Some(*policy));
    }
    assert_eq!(Policy::from_label("old_linux"), Some(Policy::OldLinux));
    assert_eq!(Policy::from_label("windows2k3"), Some(Policy::Windows));
    assert_eq!(Policy::from_label("plan9"), None);
    assert_eq!(Policy::default(), Policy::Bsd);
}

#[test]
fn inline_a_retransmission_that_differs_is_rewritten_in_order() {
    let mut bench = Bench::new(Mode::Inline);
    bench.send(0, b"harmless");
    // As after a first segment whose TTL ended behind us: the receiver did not acknowledge it.
    let (what, sent_on) = bench.send(0, b"/bin/sh!");
    assert_eq!((what, sent_on.as_slice()), (What::Nothing, b"harmless".as_slice()));
    assert!(bench.mended.is_rewritten);
    assert_eq!(bench.end(), b"harmless");
}

#[test]
fn inline_a_retransmission_that_differs_is_rewritten_beyond_a_hole() {
    let mut bench = Bench::new(Mode::Inline);
    bench.send(4, b"good");
    let (_, sent_on) = bench.send(2, b"##evil##");
    assert_eq!(sent_on, b"##good##");
    bench.send(0, b"..");
    assert!(bench.anomalies.is_empty(), "what is taken is what was sent on");
    assert_eq!(bench.end(), b"..##good##");
}

#[test]
fn inline_longer_retransmissions_keep_their_tail() {
    let mut bench = Bench::new(Mode::Inline);
    bench.send(0, b"abc");
    let (what, sent_on) = bench.send(0, b"xyzdef");
    assert_eq!((what, sent_on.as_slice()), (What::Ready, b"abcdef".as_slice()));
    assert_eq!(bench.end(), b"abcdef");
}

#[test]
fn inline_acknowledged_bytes_need_no_memory() {
    let mut bench = Bench::new(Mode::Inline);
    bench.send(0, &bytes(0, 1_000));
    assert!(bench.memory.in_use() > 0);
    assert_eq!(bench.acknowledge(1_000), Acked::Nothing);
    assert_eq!(bench.memory.in_use(), 0);
    // The receiver discards it, whatever it is.
    bench.send(0, b"other");
    assert!(!bench.mended.is_rewritten);
    bench.end();
}

#[test]
fn inline_a_partial_acknowledgement_frees_only_its_part() {
    let mut bench = Bench::new(Mode::Inline);
    bench.send(0, b"abcdef");
    bench.acknowledge(3);
    let (_, sent_on) = bench.send(0, b"ABCDEF");
    assert_eq!(sent_on, b"ABCdef");
    bench.end();
}

#[test]
fn inline_bytes_of_a_hole_that_was_given_up_are_unverified() {
    let mut bench = Bench::new(Mode::Inline);
    bench.send(0, b"abc");
    bench.send(10, b"klm");
    bench.give_up(None);
    bench.send(3, b"defghij");
    assert!(bench.mended.is_unverified);
    bench.acknowledge(13);
    bench.send(3, b"defghij");
    assert!(!bench.mended.is_unverified);
    assert_eq!(bench.end(), b"abcklm");
}

#[test]
fn inline_what_is_forgotten_for_lack_of_memory_is_unverified() {
    let mut bench = Bench::new(Mode::Inline);
    bench.memory.set_flow_bytes_max(4_096);
    for at in 0..10 {
        bench.send(at * 1_000, &bytes(at as usize * 1_000, 1_000));
        assert!(bench.streams.bytes_held() <= 4_096);
    }
    bench.send(0, b"other bytes");
    assert!(bench.mended.is_unverified && !bench.mended.is_rewritten);
    // What came last is remembered.
    let (_, sent_on) = bench.send(9_000, &[0xff; 1_000]);
    assert_eq!(sent_on, bytes(9_000, 1_000));
    bench.acknowledge(10_000);
    bench.send(0, b"other bytes");
    assert!(!bench.mended.is_unverified);
    assert_eq!(bench.end(), bytes(0, 10_000));
}

#[test]
fn a_syn_with_another_number_before_data_begins_anew() {
    let mut bench = Bench::at(TAP, 1_000);
    bench.streams.syn(WAY, 70_000);
    bench.isn = 70_000;
    assert_eq!(bench.send(0, b"abc").0, What::Ready);
    // After data it does not.
    bench.streams.syn(WAY, 9_000_000);
    bench.send(3, b"def");
    assert_eq!(bench.end(), b"abcdef");
}

fn syn_with(bench: &mut Bench, payload: &[u8]) -> What {
    let what = bench.streams.take_of_syn(WAY, bench.isn, payload, bench.mode, &mut bench.memory).what;
    bench.take_in(payload, usize::MAX);
    assert!(bench.streams.keep(WAY, payload, bench.mode, &mut bench.memory));
    what
}

#[test]
fn data_in_the_syn_is_read_at_once_inline() {
    let mut bench = Bench::new(Mode::Inline);
    assert_eq!(syn_with(&mut bench, b"GET /a"), What::Ready);
    // A server without Fast Open ignored it; what the client sends instead becomes the same.
    let (_, sent_on) = bench.send(0, b"GET /b HTTP");
    assert_eq!(sent_on, b"GET /a HTTP");
    assert_eq!(bench.end(), b"GET /a HTTP");
}

#[test]
fn data_in_the_syn_counts_where_the_server_takes_it() {
    let mut bench = Bench::new(TAP);
    assert_eq!(syn_with(&mut bench, b"GET /a"), What::Nothing);
    assert_eq!(bench.acknowledge(6), Acked::Ready);
    bench.take_in(&[], usize::MAX);
    bench.send(0, b"GET /b HTTP");
    assert_eq!(bench.end(), b"GET /a HTTP");
}

#[test]
fn data_in_the_syn_does_not_count_where_the_server_ignores_it() {
    let mut bench = Bench::new(TAP);
    syn_with(&mut bench, b"GET /a");
    assert_eq!(bench.acknowledge(0), Acked::Nothing);
    assert_eq!(bench.memory.in_use(), 0);
    bench.send(0, b"GET /b HTTP");
    assert_eq!(bench.end(), b"GET /b HTTP");
}

#[test]
fn data_in_the_syn_of_which_no_answer_is_seen_goes_by_the_sender() {
    let mut bench = Bench::new(TAP);
    syn_with(&mut bench, b"GET /a");
    syn_with(&mut bench, b"GET /a");
    bench.send(6, b" HTTP");
    assert_eq!(bench.end(), b"GET /a HTTP");
    let mut bench = Bench::new(TAP);
    syn_with(&mut bench, b"GET /a");
    bench.send(0, b"GET /b");
    assert_eq!(bench.end(), b"GET /b");
}

#[test]
fn data_goes_on_after_a_fin_or_a_reset_meant_for_us_alone() {
    // Neither reaches the stream; the FIN's own number is the next byte's for a receiver that did not see it.
    for mode in [TAP, Mode::Inline] {
        let mut bench = Bench::new(mode);
        bench.send(0, b"last words");
        bench.send(10, b", or not");
        assert_eq!(bench.end(), b"last words, or not");
    }
}

#[test]
fn data_beyond_a_fin_waits_like_beyond_any_hole() {
    let mut bench = Bench::new(TAP);
    bench.send(0, b"last words");
    assert_eq!(bench.send(11, b"more").0, What::Nothing);
    assert_eq!(bench.end(), b"last words");
}

#[test]
fn tiny_segments_make_the_same_stream() {
    for mode in [TAP, Mode::Inline] {
        let mut bench = Bench::new(mode);
        let all = bytes(0, 3_000);
        for (at, byte) in all.iter().enumerate() {
            bench.send_and_read(at as u64, &[*byte], if at % 7 == 0 { usize::MAX } else { 0 });
        }
        bench.take_in(&[], usize::MAX);
        assert_eq!(bench.end(), all);
    }
}

#[test]
fn tiny_segments_backwards_make_the_same_stream() {
    for mode in [Mode::Target(Policy::First), Mode::Inline, TAP] {
        let mut bench = Bench::new(mode);
        let all = bytes(0, 3_000);
        for (at, byte) in all.iter().enumerate().rev() {
            assert_ne!(bench.send(at as u64, &[*byte]).0, What::Full);
        }
        assert_eq!(bench.end(), all);
    }
}

#[test]
fn every_second_byte_then_the_others() {
    let mut bench = Bench::new(Mode::Inline);
    let all = bytes(0, 500);
    for at in (1..500).step_by(2).chain((0..500).step_by(2)) {
        assert_ne!(bench.send(at as u64, &all[at..=at]).0, What::Full);
    }
    assert_eq!(bench.end(), all);
}

#[test]
fn urgent_bytes_are_no_part_of_the_stream() {
    let urg = TcpFlags(TcpFlags::URG | TcpFlags::ACK);
    let (mut streams, mut memory, mut room) = (Streams::default(), Memory::default(), Vec::new());
    let way = Direction::Forward;
    assert!(streams.syn(way, 99));
    let mut read = Vec::new();
    // The urgent byte alone, within a segment, announced before it comes, and again with what lies around it.
    assert!(streams.note_urgent(way, 102, urg, 1));
    assert!(streams.note_urgent(way, 105, urg, 2));
    for (seq, bytes) in
        [(100, &b"ro"[..]), (102, b"X"), (103, b"ot"), (105, b"@Y!"), (101, b"oXot@Y!"), (108, b".")]
    {
        let (first, bytes) = streams.without_urgent(way, seq, bytes, &mut room);
        if bytes.is_empty() {
            continue;
        }
        let _taken = streams.take(way, first, bytes, Mode::Inline, &mut memory);
        let ready = streams.ready(way, bytes);
        read.extend_from_slice(ready);
        let len = ready.len();
        streams.consume(way, len);
        assert!(streams.keep(way, bytes, Mode::Inline, &mut memory));
    }
    assert_eq!(read, b"root@!.");
    // What comes again is made what was read, but for the urgent bytes.
    let mut again = *b"--Z--@Z!.";
    let mended = streams.first_seen(way, 100, &mut again);
    assert_eq!((mended.is_rewritten, &again), (true, b"roZot@Z!."));
    let plain = |bytes: &[u8]| Sum::default().add_bytes(bytes).folded();
    let gained =
        Sum::default().add_u32(u32::from(plain(b"--Z--@Z!."))).add_u32(u32::from(mended.sum_gain)).folded();
    assert_eq!(gained, plain(&again));
    assert_eq!(streams.acknowledged(way, 109, Mode::Inline, &mut memory), Acked::Nothing);
    assert_eq!(streams.without_urgent(way, 109, b"next", &mut room), (107, &b"next"[..]));
    streams.release(&mut memory);
    assert_eq!(memory.in_use(), 0);
}

#[test]
fn a_chaff_duplicate_does_not_change_what_was_read() {
    let mut bench = Bench::new(TAP);
    bench.send(0, b"USER root\r\n");
    bench.send(0, b"USER nobod\n");
    bench.send(5, b"nobod\nPASS x\n");
    assert_eq!(bench.end(), b"USER root\r\nPASS x\n");
}
