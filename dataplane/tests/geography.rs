//! Do policies on countries hold of frames, and of flows that cross already when the countries change?
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test may panic")]

mod support;

use std::sync::Arc;

use dataplane::account::{Change, Standing};
use dataplane::geography::{Countries, Geography};
use dataplane::policy::{Environment, Names, PolicyFile, PolicySet, Shadow};
use support::{Bench, mmdb, tcp, udp};

const CLIENT: [u8; 4] = [10, 0, 0, 1];
/// A host behind the box with an address that the world knows.
const PUBLIC: [u8; 4] = [203, 0, 113, 1];
const DUTCH: [u8; 4] = [192, 0, 2, 1];
const GERMAN: [u8; 4] = [198, 51, 100, 1];
const NOWHERE: [u8; 4] = [198, 51, 200, 1];
const NO_DUTCH: &str = r#"{"default_action": "allow", "policies": [
    {"policy_id": "p", "conditions": {"country": ["nl"]}, "action": "drop"}]}"#;
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;
const RST: u8 = 0x04;

fn geography(german: &str) -> Option<Arc<Geography>> {
    let database =
        mmdb::countries(&[("192.0.2.0/24", "NL"), ("198.51.100.0/24", german), ("203.0.113.0/24", "NL")]);
    let own = ["203.0.113.0/24".parse().unwrap()];
    Some(Arc::new(Geography::new(Arc::new(Countries::of(database).unwrap()), own)))
}

/// Whether a datagram crosses.
fn crosses(bench: &mut Bench, port: usize, src: [u8; 4], dst: [u8; 4]) -> bool {
    bench.send(0, port, &udp((src, 4000), (dst, 53), b"question"));
    let out = bench.settle();
    assert!(out.len() <= 1, "{out:?}");
    !out.is_empty()
}

fn evaluations(bench: &Bench) -> u64 {
    bench.door.boards()[0].read().flow.evaluations
}

#[test]
fn a_country_is_that_of_the_outside_end_and_is_asked_for_once_a_flow() {
    let mut bench = Bench::new(1, NO_DUTCH);
    assert!(crosses(&mut bench, 0, CLIENT, DUTCH), "nobody tells where it is");
    bench.door.publisher.publish_geography(geography("DE"));
    assert!(!crosses(&mut bench, 0, CLIENT, DUTCH), "its flow is judged anew");
    for (port, src, dst, passes) in [
        (0, CLIENT, GERMAN, true),
        (0, CLIENT, NOWHERE, true),
        (1, DUTCH, [10, 0, 0, 9], false),
        (1, GERMAN, [10, 0, 0, 9], true),
        (0, PUBLIC, GERMAN, true),
        (1, DUTCH, PUBLIC, false),
        (1, GERMAN, PUBLIC, true),
        // Between two that are outside the responder's counts.
        (1, DUTCH, GERMAN, true),
        (1, NOWHERE, DUTCH, false),
    ] {
        assert_eq!(crosses(&mut bench, port, src, dst), passes, "{src:?} -> {dst:?}");
    }
    let before = evaluations(&bench);
    for _ in 0..5 {
        assert!(crosses(&mut bench, 0, CLIENT, GERMAN) && !crosses(&mut bench, 0, CLIENT, DUTCH));
    }
    assert_eq!(evaluations(&bench), before);
    bench.stop();
}

#[test]
fn a_flow_that_nobody_knows_the_country_of_is_in_none() {
    let other =
        NO_DUTCH.replace(r#"{"country": ["nl"]}"#, r#"{"protocol": "udp", "not": {"country": "NL"}}"#);
    let mut bench = Bench::new(1, &other);
    bench.door.publisher.publish_geography(geography("DE"));
    for (dst, passes) in [(DUTCH, true), (GERMAN, false), (NOWHERE, false), ([10, 0, 0, 2], false)] {
        assert_eq!(crosses(&mut bench, 0, CLIENT, dst), passes, "{dst:?}");
    }
    bench.stop();
}

#[test]
fn countries_that_change_reach_flows_that_have_fallen_silent() {
    let reject = NO_DUTCH.replace("drop", "reject");
    let mut bench = Bench::new(1, &reject);
    bench.door.publisher.publish_geography(geography("DE"));
    let (client, server) = ((CLIENT, 4000), (GERMAN, 8080));
    bench.send(0, 0, &tcp(client, server, 100, 0, SYN, b""));
    bench.settle();
    bench.send(0, 1, &tcp(server, client, 500, 101, SYN | ACK, b""));
    bench.settle();
    bench.send(0, 0, &tcp(client, server, 101, 501, ACK, b""));
    assert_eq!(bench.settle().len(), 1);
    bench.door.publisher.publish_geography(geography("NL"));
    let mut resets = Vec::new();
    for _ in 0..50 {
        resets.extend(bench.settle());
    }
    assert!(resets.iter().all(|(_, frame)| frame[14 + 20 + 13] & RST == RST), "{resets:?}");
    assert_eq!(resets.len(), 2, "a reset each way");
    assert_eq!(bench.door.boards()[0].read().flow.active, 0);
    bench.stop();
}

#[test]
fn where_no_policy_asks_for_countries_nobody_is_judged_anew() {
    let mut bench = Bench::new(1, r#"{"default_action": "allow", "policies": []}"#);
    assert!(crosses(&mut bench, 0, CLIENT, DUTCH));
    let before = evaluations(&bench);
    bench.door.publisher.publish_geography(geography("DE"));
    for _ in 0..50 {
        bench.settle();
    }
    assert!(crosses(&mut bench, 0, CLIENT, DUTCH));
    assert_eq!(evaluations(&bench), before);
    bench.stop();
}

#[test]
fn a_shadow_that_asks_for_countries_is_told_them_though_the_policies_do_not_ask() {
    let mut bench = Bench::new(1, r#"{"default_action": "allow", "policies": []}"#);
    bench.door.publisher.publish_geography(geography("DE"));
    let file = PolicyFile::parse("proposal", NO_DUTCH.as_bytes()).unwrap();
    let set = PolicySet::compile(&file, 1, &Environment::default(), &mut Names::new()).unwrap();
    let shadow = Arc::new(Shadow::new(1, set, 1));
    bench.door.publisher.publish_shadow(Some(Arc::clone(&shadow)));
    bench.settle();
    assert!(crosses(&mut bench, 0, CLIENT, DUTCH) && crosses(&mut bench, 0, CLIENT, GERMAN), "it only looks");
    let standings = shadow.standings();
    let differing = standings.read(standings.differing(0, Change::AllowedToRefused));
    assert_eq!((differing.hits, standings.read(Standing::SAME).hits), (1, 1));
    bench.stop();
}
