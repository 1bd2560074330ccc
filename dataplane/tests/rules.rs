//! What rules do beside telling: they rewrite packets, and have packets recorded. Frames in, frames out.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test may panic")]

mod support;

use std::path::Path;
use std::sync::{Arc, OnceLock};

use dataplane::control::Event;
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
