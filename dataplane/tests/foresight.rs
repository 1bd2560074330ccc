//! Does it matter which worker saw the answer of DNS, or the announcement of a call?
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test may panic")]

mod support;

use std::collections::BTreeMap;

use dataplane::control::Event;
use dataplane::dpi::AppTable;
use dataplane::engine::Inspection;
use support::{Bench, udp};

const RESOLVER: [u8; 4] = [10, 0, 0, 2];
const ALLOW: &str = r#"{"default_action": "allow", "policies": []}"#;
const NAMES: [&str; 4] = ["www.wikipedia.org", "www.netflix.com", "open.spotify.com", "www.youtube.com"];

/// How many names are asked for, each by a client of its own.
const ASKED: u8 = 24;

fn client(nth: u8) -> [u8; 4] {
    [10, 0, 1, nth]
}

fn server(nth: u8) -> [u8; 4] {
    [198, 51, 100, nth]
}

/// A message for the name of `nth`: its question, and with `answer` its address for `ttl_s`.
fn dns(nth: u8, answer: Option<u32>) -> Vec<u8> {
    let mut message = vec![0, nth];
    message.extend_from_slice(if answer.is_some() { &[0x81, 0x80, 0, 1, 0, 1] } else { &[1, 0, 0, 1, 0, 0] });
    message.extend_from_slice(&[0; 4]);
    for label in NAMES[usize::from(nth) % NAMES.len()].split('.') {
        message.push(label.len() as u8);
        message.extend_from_slice(label.as_bytes());
    }
    message.extend_from_slice(&[0, 0, 1, 0, 1]);
    if let Some(ttl_s) = answer {
        message.extend_from_slice(&[0xc0, 0x0c, 0, 1, 0, 1]);
        message.extend_from_slice(&ttl_s.to_be_bytes());
        message.extend_from_slice(&[0, 4]);
        message.extend_from_slice(&server(nth));
    }
    message
}

/// An invitation of `nth` to a call, the voice of which comes to port 20,000.
fn invitation(nth: u8) -> Vec<u8> {
    let body = format!(
        "v=0\r\no=- 1 1 IN IP4 10.0.1.{nth}\r\ns=-\r\nc=IN IP4 10.0.1.{nth}\r\nt=0 0\r\nm=audio 20000 RTP/AVP 0\r\n"
    );
    format!(
        "INVITE sip:b@example.net SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.1.{nth}:5060;branch=z9hG4bK{nth}\r\n\
         From: <sip:a@example.net>;tag=1\r\nTo: <sip:b@example.net>\r\nCall-ID: {nth}@example.net\r\nCSeq: 1 INVITE\r\n\
         Max-Forwards: 70\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// What each flow was, by its responder, and how many pairs of flows were on two workers.
fn judged(workers: usize, is_asked: bool, ttl_s: u32, pause_s: u64) -> (BTreeMap<String, String>, usize) {
    let mut bench = Bench::with(workers, ALLOW, |config| config.inspection = Some(Inspection::builtin()));
    let queue = |nth: u8| usize::from(nth) % workers;
    // What nobody recognises: its address is all that there is to know it by.
    let secret: Vec<u8> = (0..64_u8).map(|at| at.wrapping_mul(89) ^ 0xf3).collect();
    for nth in 0..ASKED {
        let (asks, answers) = ((client(nth), 40_000 + u16::from(nth)), (RESOLVER, 53));
        if is_asked {
            bench.send(queue(nth), 0, &udp(asks, answers, &dns(nth, None)));
            bench.settle();
        }
        bench.send(queue(nth), 1, &udp(answers, asks, &dns(nth, Some(ttl_s))));
        bench.send(queue(nth), 0, &udp((client(nth), 5060), (RESOLVER, 5060), &invitation(nth)));
        bench.settle();
    }
    bench.clock.ns += pause_s * 1_000_000_000;
    for nth in 0..ASKED {
        bench.send(queue(nth), 0, &udp((client(nth), 50_000), (server(nth), 40_443), &secret));
        bench.send(queue(nth), 1, &udp(([203, 0, 113, 9], 30_000), (client(nth), 20_000), &secret));
        bench.settle();
    }
    let mut events = std::mem::take(&mut bench.events);
    bench.stop();
    let mut known = BTreeMap::new();
    let mut owners = BTreeMap::new();
    for (worker, receiver) in events.iter_mut().enumerate() {
        while let Ok(event) = receiver.records.pop() {
            let Event::Flow(end) = event else { continue };
            let ((src, _), (dst, port)) = end.record.endpoints();
            match port {
                53 => drop(owners.insert(src.to_ip(), worker)),
                40_443 => drop(owners.insert(dst.to_ip(), worker)),
                _ => {}
            }
            if [40_443, 20_000].contains(&port) {
                let protocol = end.summary.protocol.map(|protocol| protocol.name);
                let told = format!("{:?} {protocol:?} {}", end.summary.app, end.summary.confidence);
                known.insert(format!("{} {port}", dst.to_ip()), told);
            }
        }
    }
    let owner = |addr: [u8; 4]| owners.get(&addr.into());
    let apart = (0..ASKED).filter(|nth| owner(client(*nth)) != owner(server(*nth))).count();
    (known, apart)
}

#[test]
fn what_one_worker_has_learned_every_worker_knows() {
    let (alone, _) = judged(1, true, 300, 10);
    assert_eq!(alone.len(), 2 * usize::from(ASKED), "{alone:?}");
    assert_eq!(alone["198.51.100.0 40443"], "Some(wikipedia) None 60");
    assert_eq!(alone["198.51.100.1 40443"], "Some(netflix) None 60");
    assert!(alone["10.0.1.0 20000"].contains("Some(\"rtp\") 90"), "{alone:?}");
    let (together, apart) = judged(2, true, 300, 10);
    assert!(apart >= 4, "{apart} flows are not where their name was resolved");
    assert_eq!(together, alone);
}

#[test]
fn an_answer_that_nobody_asked_for_teaches_nothing() {
    for workers in [1, 2] {
        let (known, _) = judged(workers, false, 300, 10);
        assert_eq!(known["198.51.100.0 40443"], "None None 0", "{known:?}");
    }
}

#[test]
fn an_answer_holds_as_long_as_it_says() {
    for workers in [1, 2] {
        assert_eq!(judged(workers, true, 300, 290).0["198.51.100.0 40443"], "Some(wikipedia) None 60");
        assert_eq!(judged(workers, true, 300, 310).0["198.51.100.0 40443"], "None None 0");
    }
}

#[test]
fn a_flow_keeps_its_application_when_others_are_put_in_force() {
    let mut bench = Bench::with(1, ALLOW, |config| config.inspection = Some(Inspection::builtin()));
    let builtin = AppTable::builtin();
    let mut next = builtin.successor();
    next.add("[[app]]\nname = \"intranet\"\ncategory = \"web\"\naddresses = [\"198.51.100.0/24\"]\n")
        .unwrap();
    let secret: Vec<u8> = (0..64_u8).map(|at| at.wrapping_mul(89) ^ 0xf3).collect();
    let (asks, answers) = ((client(0), 40_000), (RESOLVER, 53));
    bench.send(0, 0, &udp(asks, answers, &dns(0, None)));
    bench.settle();
    bench.send(0, 1, &udp(answers, asks, &dns(0, Some(300))));
    bench.settle();
    bench.send(0, 0, &udp((client(0), 50_000), (server(0), 40_443), &secret));
    bench.settle();
    let current = bench.door.publisher.current();
    bench.door.publisher.publish_with_apps(
        std::sync::Arc::clone(&current.policy),
        current.settings,
        std::sync::Arc::new(next),
    );
    drop(current);
    bench.send(0, 0, &udp((client(0), 50_000), (server(0), 40_443), &secret));
    bench.send(0, 0, &udp((client(0), 50_001), (server(0), 40_444), &secret));
    bench.settle();
    assert_eq!(bench.door.publisher.reap(), 0, "nobody holds what was in force");
    let mut events = std::mem::take(&mut bench.events);
    bench.stop();
    let mut known = BTreeMap::new();
    while let Ok(event) = events[0].records.pop() {
        let Event::Flow(end) = event else { continue };
        known.insert(end.record.endpoints().1.1, end.summary.app_name());
    }
    assert_eq!((known[&40_443], known[&40_444]), (Some("wikipedia"), Some("intranet")));
}
