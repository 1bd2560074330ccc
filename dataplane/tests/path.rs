//! Frames in, frames out: workers over rings in memory, no kernel.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test may panic")]

mod support;

use std::sync::Arc;

use dataplane::control::{Event, Settings};
use dataplane::identity::{Identity, Key, UserNumber};
use dataplane::parse::Addr;
use dataplane::policy::{NameId, Supplied, User};
use dataplane::verdict::Reason;
use support::{Bench, ipv4, policy, tcp, udp, udp_segment};

const CLIENT: [u8; 4] = [10, 0, 0, 1];
const SERVER: [u8; 4] = [10, 0, 0, 2];
const ALLOW: &str = r#"{"default_action": "allow", "policies": []}"#;
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;
const RST: u8 = 0x04;

#[test]
fn a_frame_crosses_unchanged_and_its_answer_comes_back() {
    let mut bench = Bench::new(1, ALLOW);
    let there = udp((CLIENT, 4000), (SERVER, 53), b"question");
    let back = udp((SERVER, 53), (CLIENT, 4000), b"answer");
    bench.send(0, 0, &there);
    assert_eq!(bench.settle(), [(1, there)]);
    bench.send(0, 1, &back);
    assert_eq!(bench.settle(), [(0, back)]);
    assert_eq!(bench.door.boards()[0].read().flow.active, 1);
    bench.stop();
}

#[test]
fn a_dropped_port_is_silent_and_a_rejected_one_answers_with_a_reset() {
    let json = r#"{"default_action": "allow", "policies": [
        {"policy_id": "d", "priority": 1, "conditions": {"protocol": "tcp", "dst_port": "23"}, "action": "drop"},
        {"policy_id": "r", "priority": 2, "conditions": {"protocol": "tcp", "dst_port": "25"}, "action": "reject"}]}"#;
    let mut bench = Bench::new(1, json);
    bench.send(0, 0, &tcp((CLIENT, 4000), (SERVER, 23), 100, 0, SYN, b""));
    assert_eq!(bench.settle(), []);
    bench.send(0, 0, &tcp((CLIENT, 4000), (SERVER, 25), 100, 0, SYN, b""));
    let out = bench.settle();
    let [(0, reset)] = out.as_slice() else {
        panic!("one reset to the client, got {out:?}; {:?}", bench.door.boards()[0].read().counters)
    };
    assert_eq!(reset[14 + 20 + 13], RST | ACK);
    assert_eq!(reset[14 + 20 + 8..14 + 20 + 12], 101u32.to_be_bytes(), "it acknowledges the SYN");
    assert_eq!(reset[26..30], SERVER, "it comes from whom the client asked");
    bench.stop();
}

#[test]
fn a_new_policy_on_a_port_reaches_flows_that_have_fallen_silent() {
    let mut bench = Bench::new(1, ALLOW);
    let (client, server) = ((CLIENT, 4000), (SERVER, 8080));
    bench.send(0, 0, &tcp(client, server, 100, 0, SYN, b""));
    bench.settle();
    bench.send(0, 1, &tcp(server, client, 500, 101, SYN | ACK, b""));
    bench.settle();
    bench.send(0, 0, &tcp(client, server, 101, 501, ACK, b""));
    bench.send(0, 0, &udp((CLIENT, 4000), (SERVER, 53), b"question"));
    assert_eq!(bench.settle().len(), 2);

    let json = r#"{"default_action": "allow", "policies": [
        {"policy_id": "r", "conditions": {"protocol": "tcp", "dst_port": "8080"}, "action": "reject"},
        {"policy_id": "d", "conditions": {"protocol": "udp", "dst_port": "53"}, "action": "drop"}]}"#;
    bench.door.publisher.publish(policy(json), Settings::default());
    // The sweep looks at the whole table, a slice a turn.
    let mut resets = Vec::new();
    for _ in 0..50 {
        resets.extend(bench.settle());
    }
    resets.sort();
    let [(0, to_client), (1, to_server)] = resets.as_slice() else {
        panic!("a reset each way, not {resets:?}")
    };
    for (reset, seq) in [(to_client, 501_u32), (to_server, 101)] {
        assert_eq!(reset[14 + 20 + 13] & RST, RST);
        assert_eq!(
            reset[14 + 20 + 4..14 + 20 + 8],
            seq.to_be_bytes(),
            "RFC 5961 3: exactly what is expected next"
        );
    }
    assert_eq!(bench.door.boards()[0].read().flow.active, 0);
    bench.send(0, 0, &udp((CLIENT, 4000), (SERVER, 53), b"question"));
    assert_eq!(bench.settle(), []);
    bench.stop();
}

#[test]
fn who_leaves_is_judged_anew_in_flows_that_are_over_too() {
    let staff = r#"{"default_action": "drop", "policies": [
        {"policy_id": "p", "conditions": {"user_role": "staff"}, "action": "allow"}]}"#;
    let mut bench = Bench::new(1, staff);
    let (client, server) = ((CLIENT, 4000), (SERVER, 8080));
    let question = udp((CLIENT, 4000), (SERVER, 53), b"question");
    bench.send(0, 0, &question);
    assert_eq!(bench.settle(), [], "nobody is known");
    // The first role that a policy names has the first number.
    let user = User { id: NameId(7), role: Some(NameId(0)), groups: Vec::new(), attributes: Vec::new() };
    let who = Arc::new(Identity { number: UserNumber::MIN, person: 7, user });
    let number = bench.door.identify(Key::addr(Addr::v4(CLIENT)), Some(&who));
    bench.send(0, 0, &question);
    bench.send(0, 0, &tcp(client, server, 100, 0, SYN, b""));
    bench.settle();
    assert!(bench.door.is_identified(number));
    let reset = tcp(client, server, 101, 501, RST | ACK, b"");
    bench.send(0, 1, &tcp(server, client, 500, 101, SYN | ACK, b""));
    bench.send(0, 0, &reset);
    assert_eq!(bench.settle().len(), 2, "all of it crosses");
    bench.send(0, 0, &reset);
    assert_eq!(bench.settle().len(), 1, "and what comes again");
    bench.door.identify(Key::addr(Addr::v4(CLIENT)), None);
    // Round the table, until nobody is asked any more who was there.
    for _ in 0..50 {
        bench.settle();
    }
    let before = bench.door.boards()[0].read().counters.forwarded;
    bench.send(0, 0, &question);
    bench.send(0, 0, &reset);
    bench.settle();
    assert_eq!(bench.door.boards()[0].read().counters.forwarded, before);
    bench.stop();
}

#[test]
fn a_source_on_the_wrong_wire_is_spoofed_in_a_flow_that_is_forwarded_too() {
    let mut bench = Bench::with(1, ALLOW, |config| {
        config.ports[0].networks = vec!["10.0.0.1/32".parse().unwrap()];
        config.ports[1].networks = vec!["10.0.0.2/32".parse().unwrap()];
    });
    let there = udp((CLIENT, 4000), (SERVER, 53), b"question");
    let back = udp((SERVER, 53), (CLIENT, 4000), b"answer");
    for _ in 0..3 {
        bench.send(0, 0, &there);
        bench.send(0, 1, &back);
        assert_eq!(bench.settle().len(), 2);
    }
    for (wire, frame) in [(1, &there), (0, &back), (0, &udp(([10, 9, 0, 1], 1), (SERVER, 53), b""))] {
        bench.send(0, wire, frame);
        assert_eq!(bench.settle(), []);
    }
    let reading = bench.door.boards()[0].read();
    assert_eq!((reading.counters.of(Reason::Spoofed), reading.counters.forwarded), (3, 6));
    assert_eq!(reading.flow.active, 1);
    bench.stop();
}

/// Opens a connection from port 4000 to port 80 of the server.
fn handshake(bench: &mut Bench) {
    let (client, server) = ((CLIENT, 4000), (SERVER, 80));
    for (wire, frame) in [
        (0, tcp(client, server, 100, 0, SYN, b"")),
        (1, tcp(server, client, 500, 101, SYN | ACK, b"")),
        (0, tcp(client, server, 101, 501, ACK, b"")),
    ] {
        bench.send(0, wire, &frame);
        assert_eq!(bench.settle().len(), 1);
    }
}

#[test]
fn a_state_violation_is_counted_and_told_by_its_own_reason_strict_or_not() {
    let (client, server) = ((CLIENT, 4000), (SERVER, 80));
    let violations = [
        (tcp(client, server, 101 + 200_000, 501, ACK, b"x"), Reason::TcpOutOfWindow),
        (tcp(client, server, 101 + 200_000, 501, RST, b""), Reason::TcpRstOutOfWindow),
        (tcp(client, server, 7_000_000, 0, SYN, b""), Reason::TcpSynInConnection),
        (tcp(client, server, 101, 501 + 200_000, ACK, b"x"), Reason::TcpAckInvalid),
    ];
    for strict in [false, true] {
        for (frame, reason) in &violations {
            let json = format!(r#"{{"default_action": "allow", "strict": {strict}, "policies": []}}"#);
            let mut bench = Bench::new(1, &json);
            handshake(&mut bench);
            bench.send(0, 0, frame);
            let passed = bench.settle();
            assert_eq!(passed.len(), usize::from(!strict), "{reason:?}, strict {strict}: {passed:?}");
            let counters = bench.door.boards()[0].read().counters;
            let notice = reason.forwarded().unwrap();
            assert_eq!((counters.of(*reason), counters.of(notice)), (u64::from(strict), u64::from(!strict)));
            assert_eq!(counters.dropped(), u64::from(strict), "{reason:?}");
            let told = bench.events[0].alerts.pop().unwrap();
            match told {
                Event::Drop(record) => assert!(strict && record.reason == *reason, "{record:?}"),
                Event::Anomaly(record) => assert!(!strict && record.reason == notice, "{record:?}"),
                Event::Flow(_)
                | Event::Transaction(_)
                | Event::Tagged(_)
                | Event::Lease(_)
                | Event::State(_)
                | Event::Alert(_) => {
                    panic!("{told:?}")
                }
            }
            bench.stop();
        }
    }
}

/// A worker under a set that passes one application only and does not know any yet.
fn undecided(mode: &str) -> Bench {
    let json = format!(
        r#"{{"default_action": "drop", "deciding": "{mode}", "policies": [
            {{"policy_id": "a", "conditions": {{"application": "spotify"}}, "action": "allow"}}]}}"#
    );
    let mut bench = Bench::new(1, ALLOW);
    let supplied = Supplied { application: true, ..Supplied::default() };
    bench.door.publisher.publish(policy(&json), Settings { supplied, ..Settings::default() });
    bench.settle();
    bench
}

/// How many of `count` datagrams pass, sent there and back by turns from port `port`, and what was counted.
fn passing(bench: &mut Bench, port: u16, data_len: usize, count: usize, reason: Reason) -> (usize, u64) {
    let before = bench.door.boards()[0].read().counters.of(reason);
    let mut passed = 0;
    for n in 0..count {
        let (there, back) = (((CLIENT, port), (SERVER, 53)), ((SERVER, 53), (CLIENT, port)));
        let (src, dst) = if n % 2 == 0 { there } else { back };
        bench.send(0, n % 2, &udp(src, dst, &vec![0; data_len]));
        passed += bench.settle().len();
    }
    (passed, bench.door.boards()[0].read().counters.of(reason) - before)
}

#[test]
fn a_flow_that_nobody_recognises_passes_its_allowance_and_is_decided_without() {
    let mut bench = undecided("allow");
    assert_eq!(passing(&mut bench, 4000, 18, 40, Reason::DefaultDrop), (32, 8), "32 packets");
    // 14 + 20 + 8 + 1400 bytes a frame: eleven are below 16 KiB.
    assert_eq!(passing(&mut bench, 4001, 1400, 40, Reason::DefaultDrop), (11, 29), "16 KiB");
    let evaluations = bench.door.boards()[0].read().flow.evaluations;
    assert_eq!(passing(&mut bench, 4001, 1400, 5, Reason::DefaultDrop), (0, 5));
    assert_eq!(bench.door.boards()[0].read().flow.evaluations, evaluations, "the answer is final");
    // The allowance is the flow's: an equal set under a new version gives none.
    let current = bench.door.publisher.current();
    bench.door.publisher.publish(Arc::clone(&current.policy), current.settings);
    assert_eq!(passing(&mut bench, 4001, 18, 3, Reason::DefaultDrop), (0, 3));
    bench.stop();
}

#[test]
fn deciding_block_drops_from_the_first_packet_on() {
    let mut bench = undecided("block");
    assert_eq!(passing(&mut bench, 4000, 18, 5, Reason::DecidingBlock), (0, 5));
    bench.stop();
}

#[test]
fn deciding_limit_lets_a_trickle_pass() {
    let mut bench = undecided("limit");
    let begun = bench.clock.ns;
    let (passed, dropped) = passing(&mut bench, 4000, 982, 40, Reason::DecidingLimit);
    assert!((15..=16).contains(&passed), "16 KiB at once, {passed} frames of 1 KiB passed");
    assert_eq!(passed as u64 + dropped, 40);
    assert!(bench.clock.ns - begun < 100_000_000);
    bench.clock.ns += 1_000_000_000;
    let (passed, _) = passing(&mut bench, 4000, 982, 20, Reason::DecidingLimit);
    assert!((7..=9).contains(&passed), "8 KiB a second later, {passed} frames of 1 KiB passed");
    let (other, _) = passing(&mut bench, 4001, 982, 10, Reason::DecidingLimit);
    assert_eq!(other, 10, "each flow has its own");
    bench.stop();
}

#[test]
fn fragments_are_held_until_their_datagram_is_judged_and_leave_as_they_came() {
    let json = r#"{"default_action": "allow", "policies": [
        {"policy_id": "d", "priority": 1, "conditions": {"protocol": "udp", "dst_port": "9"}, "action": "drop"}]}"#;
    let mut bench = Bench::new(1, json);
    for (port, passes) in [(53, true), (9, false)] {
        let whole = udp_segment((CLIENT, 4000), (SERVER, port), &[7; 1200]);
        let first = ipv4(CLIENT, SERVER, 17, (port, 0x2000), &whole[..800]);
        let last = ipv4(CLIENT, SERVER, 17, (port, 100), &whole[800..]);
        bench.send(0, 0, &first);
        assert_eq!(bench.settle(), [], "nothing leaves before the datagram is whole");
        bench.send(0, 0, &last);
        let wanted = if passes { vec![(1, first), (1, last)] } else { vec![] };
        assert_eq!(bench.settle(), wanted);
    }
    bench.stop();
}

#[test]
fn a_lone_fragment_times_out_and_its_frame_comes_home() {
    let mut bench = Bench::new(1, ALLOW);
    let whole = udp_segment((CLIENT, 4000), (SERVER, 53), &[7; 1200]);
    bench.send(0, 0, &ipv4(CLIENT, SERVER, 17, (5, 0x2000), &whole[..800]));
    assert_eq!(bench.settle(), []);
    bench.clock.ns += 2_000_000_000;
    bench.settle();
    assert_eq!(bench.door.boards()[0].read().counters.of(Reason::FragmentTimeout), 1);
    bench.stop();
}

/// xorshift64, so that a run can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// A mixed conversation of many flows, in order within each direction of each flow.
fn conversation(random: &mut Random) -> Vec<(usize, Vec<u8>)> {
    let mut frames = Vec::new();
    for step in 0..600u32 {
        let flow = random.below(40) as u16;
        let (client, port) = ([10, 0, 1, flow as u8], 5000 + flow);
        let server_port = [80, 23, 53, 443][usize::from(flow % 4)];
        let (wire, frame) = match random.below(4) {
            0 => (0, udp((client, port), (SERVER, server_port), &step.to_be_bytes())),
            1 => (1, udp((SERVER, server_port), (client, port), &step.to_be_bytes())),
            2 => (0, tcp((client, port), (SERVER, server_port), 1000, 0, SYN, b"")),
            _ => {
                let whole = udp_segment((client, port), (SERVER, server_port), &[step as u8; 1000]);
                let id = step as u16;
                frames.push((0, ipv4(client, SERVER, 17, (id, 0x2000), &whole[..800])));
                (0, ipv4(client, SERVER, 17, (id, 100), &whole[800..]))
            }
        };
        frames.push((wire, frame));
    }
    frames
}

#[test]
fn workers_with_random_queue_choice_give_one_workers_verdicts() {
    let json = r#"{"default_action": "allow", "policies": [
        {"policy_id": "d", "priority": 1, "conditions": {"dst_port": "23"}, "action": "drop"}]}"#;
    let conversation = conversation(&mut Random(0x9e37_79b9_7f4a_7c15));
    let mut outcomes = Vec::new();
    for workers in [1, 2, 4] {
        let mut random = Random(42 + workers as u64);
        let mut bench = Bench::new(workers, json);
        let mut out = Vec::new();
        for (wire, frame) in &conversation {
            bench.send(random.below(workers as u64) as usize, *wire, frame);
            out.extend(bench.settle());
        }
        let active: u64 = bench.door.boards().iter().map(|board| board.read().flow.active).sum();
        let handed: u64 = bench.door.boards().iter().map(|board| board.read().counters.handed_off).sum();
        assert!(workers == 1 || handed > 0, "queues were chosen at random, so hand-offs happened");
        bench.stop();
        out.sort();
        outcomes.push((out, active));
    }
    assert_eq!(outcomes[0], outcomes[1]);
    assert_eq!(outcomes[0], outcomes[2]);
}

#[test]
fn order_within_a_direction_survives_a_hand_off() {
    for queue in [0, 1] {
        let mut bench = Bench::new(2, ALLOW);
        let frames: Vec<_> =
            (0..100u32).map(|n| udp((CLIENT, 4000), (SERVER, 53), &n.to_be_bytes())).collect();
        for frame in &frames {
            bench.send(queue, 0, frame);
        }
        let out: Vec<_> = bench.settle().into_iter().map(|(_, bytes)| bytes).collect();
        assert_eq!(out, frames);
        bench.stop();
    }
}
