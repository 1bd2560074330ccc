//! What rules do beside telling: they rewrite packets, and have packets recorded. Frames in, frames out.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test may panic")]

mod support;

use std::path::Path;
use std::sync::{Arc, OnceLock};

use dataplane::control::{Event, Exceptions, ParserErrorAction, Settings};
use dataplane::engine::{Inspection, Mode};
use dataplane::parse::checksum::{ChecksumState, transport_checksum};
use dataplane::parse::{LinkType, parse_frame};
use dataplane::rules::Signature;
use dataplane::rules::language::{RuleText, Variables, read};
use dataplane::rules::matcher::Sources;
use dataplane::rules::memory::Names;
use dataplane::rules::set::{Kept, Options, RuleSet};
use dataplane::verdict::Reason;
use support::{Bench, tcp, udp};

const CLIENT: ([u8; 4], u16) = ([10, 0, 0, 1], 4000);
const SERVER: ([u8; 4], u16) = ([10, 0, 0, 2], 8080);
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;

/// A worker under rules.
fn under(mode: Mode, rules: &[&str]) -> Bench {
    static INSPECTION: OnceLock<Inspection> = OnceLock::new();
    let bench = Bench::with(1, r#"{"default_action": "allow", "policies": []}"#, |config| {
        config.mode = mode;
        config.inspection = Some(INSPECTION.get_or_init(Inspection::builtin).clone());
    });
    let (datasets, addresses) = Default::default();
    let sources = Sources { datasets: &datasets, addresses: &addresses, directory: Path::new("") };
    let signature = |text: &&str| {
        let rule = read(&RuleText::of(text.as_bytes()), &mut Variables::usual()).unwrap();
        Signature::new(rule, &sources).unwrap()
    };
    let keeps = Kept { tagged: true, ..Kept::default() };
    let options = Options { keeps, ..Options::default() };
    let set = RuleSet::new(rules.iter().map(signature).collect(), &mut Names::default(), options).unwrap();
    bench.door.publisher.publish_rules(Some(Arc::new(set)));
    bench
}

/// The payload of the one frame that leaves when `frame` comes in by `wire`, and whether its checksum is right.
fn passed(bench: &mut Bench, wire: usize, frame: &[u8]) -> Option<(Vec<u8>, ChecksumState)> {
    bench.send(0, wire, frame);
    let left = bench.settle();
    assert!(left.len() <= 1, "{left:?}");
    let (_, frame) = left.first()?;
    let headers = parse_frame(frame, LinkType::Ethernet).unwrap();
    Some((headers.payload(frame).to_vec(), transport_checksum(frame, &headers)))
}

fn handshake(bench: &mut Bench) {
    for (wire, frame) in [
        (0, tcp(CLIENT, SERVER, 100, 0, SYN, b"")),
        (1, tcp(SERVER, CLIENT, 500, 101, SYN | ACK, b"")),
        (0, tcp(CLIENT, SERVER, 101, 501, ACK, b"")),
    ] {
        assert!(passed(bench, wire, &frame).is_some());
    }
}

const REPLACING: &str =
    r#"alert ip any any -> any any (content:"secret"; nocase; replace:"public"; content:"x"; sid:1;)"#;

#[test]
fn inline_a_rule_writes_bytes_in_the_place_of_others() {
    let mut bench = under(Mode::Inline, &[REPLACING]);
    handshake(&mut bench);
    let good = ChecksumState::Good;
    for (at, data, expected) in [
        (101, &b"a Secret x"[..], &b"a public x"[..]),
        // At an odd place, and with nothing else that the rule asks for.
        (111, b"x secret", b"x public"),
        (119, b"secret y", b"secret y"),
    ] {
        let left = passed(&mut bench, 0, &tcp(CLIENT, SERVER, at, 501, ACK, data));
        assert_eq!(left, Some((expected.to_vec(), good)));
    }
    let left = passed(&mut bench, 0, &udp(CLIENT, SERVER, b"x secret"));
    assert_eq!(left, Some((b"x public".to_vec(), good)));
    // UDP without a checksum (RFC 768: zero means none) stays without.
    let mut frame = udp(CLIENT, SERVER, b"x secret");
    frame[14 + 20 + 6..14 + 20 + 8].fill(0);
    let left = passed(&mut bench, 0, &frame);
    assert_eq!(left, Some((b"x public".to_vec(), ChecksumState::Absent)));
    assert_eq!(bench.door.boards()[0].read().counters.of(Reason::RuleReplaced), 4);
    bench.stop();
}

#[test]
fn a_rule_that_drops_or_does_not_match_replaces_nothing_that_goes_on() {
    let drops = REPLACING.replace("alert", "drop");
    let mut bench = under(Mode::Inline, &[&drops]);
    assert_eq!(passed(&mut bench, 0, &udp(CLIENT, SERVER, b"x secret")), None);
    bench.stop();
    let mut bench = under(Mode::Tap, &[REPLACING]);
    assert_eq!(passed(&mut bench, 0, &udp(CLIENT, SERVER, b"x secret")), None, "a tap sends nothing");
    assert_eq!(bench.door.boards()[0].read().counters.of(Reason::RuleReplaced), 0);
    bench.stop();
}

#[test]
fn packets_behind_a_match_are_recorded_whole() {
    let rule = r#"alert udp any any -> any any (content:"first"; tag:session,3,packets; sid:1;)"#;
    let mut bench = under(Mode::Inline, &[rule]);
    let other = ([10, 0, 0, 1], 4001);
    let frames = [
        udp(CLIENT, SERVER, b"before"),
        udp(CLIENT, SERVER, b"the first"),
        udp(other, SERVER, b"another flow"),
        udp(CLIENT, SERVER, b"second"),
        udp(SERVER, CLIENT, b"third"),
        udp(CLIENT, SERVER, b"fourth"),
    ];
    for (index, frame) in frames.iter().enumerate() {
        assert!(passed(&mut bench, usize::from(index == 4), frame).is_some());
    }
    let receiver = &mut bench.events[0];
    let mut recorded = Vec::new();
    while let Ok(event) = receiver.records.pop() {
        if let Event::Tagged(told) = event {
            let bytes: Vec<u8> = (0..told.len_bytes).map(|_| receiver.fields.pop().unwrap()).collect();
            recorded.push((bytes, told.record.flow_id != 0));
        }
    }
    assert_eq!(recorded, [(frames[3].clone(), true), (frames[4].clone(), true)]);
    bench.stop();
}

#[test]
fn what_a_parser_cannot_read_meets_its_exception() {
    use ParserErrorAction::{DropFlow, DropPacket, Ignore, PassFlow, PassPacket, Reject};
    let rule = r#"alert udp any any -> any any (content:"SIP/2.0"; sid:1;)"#;
    let ask = b"REGISTER sip:a.example SIP/2.0\r\nContent-Length: 0\r\n\r\n";
    let answer = b"SIP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n";
    let (server, client) = (([10, 0, 0, 2], 5060), ([10, 0, 0, 1], 5060));
    // What leaves, and of how many packets an alert is told: the third asks the wrong way round.
    for (mode, action, left, alerts) in [
        (Mode::Inline, Ignore, [true; 4], 4),
        (Mode::Inline, PassPacket, [true; 4], 3),
        (Mode::Inline, PassFlow, [true; 4], 2),
        (Mode::Inline, DropPacket, [true, true, false, true], 3),
        (Mode::Inline, DropFlow, [true, true, false, false], 2),
        (Mode::Inline, Reject, [true, true, false, false], 2),
        (Mode::Tap, PassPacket, [false; 4], 3),
        (Mode::Tap, DropPacket, [false; 4], 4),
        (Mode::Tap, DropFlow, [false; 4], 4),
    ] {
        let mut bench = under(mode, &[rule]);
        let policy = support::snapshot(r#"{"default_action": "allow", "policies": []}"#).policy;
        let exceptions = Exceptions { parser_error: action, ..Exceptions::default() };
        bench.door.publisher.publish(policy, Settings { exceptions, ..Settings::default() });
        let mut went_on = Vec::new();
        for (wire, bytes) in [(0, &ask[..]), (1, answer), (1, ask), (0, ask)] {
            let (from, to) = if wire == 0 { (client, server) } else { (server, client) };
            let sent = udp(from, to, bytes);
            bench.send(0, wire, &sent);
            went_on.push(bench.settle().iter().any(|(_, frame)| *frame == sent));
        }
        let counters = bench.door.boards()[0].read().counters;
        assert_eq!(
            (&went_on[..], counters.of(Reason::RuleAlert)),
            (&left[..], alerts),
            "{mode:?} {action:?}"
        );
        bench.stop();
    }
}

#[test]
fn beside_the_wire_each_message_of_http_is_looked_at_for_itself() {
    let request = b"GET /a HTTP/1.1\r\nHost: a.example\r\nX-Padding: padding\r\n\r\n";
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody";
    for (rule, alerts) in [
        // Each is in one message; none is so far behind the beginning of one, or goes over the end of one.
        (r#"alert tcp any any -> any any (content:"GET /a"; sid:1;)"#, 3),
        (r#"alert tcp any any -> any any (content:"body"; flow:to_client; sid:1;)"#, 3),
        (r#"alert tcp any any -> any any (content:"Host"; offset:60; sid:1;)"#, 0),
        (r#"alert tcp any any -> any any (content:"padding|0d 0a 0d 0a|GET"; sid:1;)"#, 0),
    ] {
        let mut bench = under(Mode::Tap, &[rule]);
        let (mut seq, mut ack) = (101, 501);
        let mut frames = vec![
            (0, tcp(CLIENT, SERVER, 100, 0, SYN, b"")),
            (1, tcp(SERVER, CLIENT, 500, 101, SYN | ACK, b"")),
            (0, tcp(CLIENT, SERVER, seq, ack, ACK, b"")),
        ];
        for _ in 0..3 {
            frames.push((0, tcp(CLIENT, SERVER, seq, ack, ACK, request)));
            seq += request.len() as u32;
            frames.push((1, tcp(SERVER, CLIENT, ack, seq, ACK, answer)));
            ack += answer.len() as u32;
            frames.push((0, tcp(CLIENT, SERVER, seq, ack, ACK, b"")));
            frames.push((1, tcp(SERVER, CLIENT, ack, seq, ACK, b"")));
        }
        for (wire, frame) in frames {
            bench.send(0, wire, &frame);
            bench.settle();
        }
        assert_eq!(bench.door.boards()[0].read().counters.of(Reason::RuleAlert), alerts, "{rule}");
        bench.stop();
    }
}

#[test]
fn a_worker_without_packets_lets_go_of_rules_that_are_in_force_no_more() {
    let mut bench = under(Mode::Inline, &[REPLACING]);
    handshake(&mut bench);
    let before = bench.door.publisher.current();
    let set = Arc::downgrade(before.rules.as_ref().unwrap());
    drop(before);
    bench.door.publisher.publish_rules(None);
    bench.door.publisher.reap();
    assert!(set.upgrade().is_some(), "a worker has them");
    bench.settle();
    assert_eq!(bench.door.publisher.reap(), 0);
    assert!(set.upgrade().is_none());
    bench.stop();
}
