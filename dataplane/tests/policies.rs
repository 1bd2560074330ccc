//! What policies did, and what those of a shadow would have done: packets through workers, counts out.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test may panic")]

mod support;

use std::sync::Arc;

use dataplane::account::{Change, Counts, DEFAULT_ACCOUNT, Difference, Fate, Standing};
use dataplane::control::{Event, Settings};
use dataplane::identity::{Identity, Key, UserNumber};
use dataplane::parse::Addr;
use dataplane::policy::{Environment, NameId, Names, PolicyFile, PolicySet, Shadow, User};
use support::{Bench, policy, tcp, udp};

const CLIENT: [u8; 4] = [10, 0, 0, 1];
const SERVER: [u8; 4] = [10, 0, 0, 2];
const ALLOW: &str = r#"{"default_action": "allow", "policies": []}"#;
const WEB_AND_DNS: &str = r#"{"default_action": "drop", "policies": [
    {"policy_id": "web", "priority": 1, "conditions": {"protocol": "tcp", "dst_port": "80"}, "action": "allow"},
    {"policy_id": "dns", "priority": 2, "conditions": {"protocol": "udp", "dst_port": "53"}, "action": "allow"}]}"#;
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;
/// Accounts of `web` and `dns`, wherever they stand in a set.
const WEB: u32 = 5;
const DNS: u32 = 2;

fn compiled(json: &str) -> PolicySet {
    let file = PolicyFile::parse("test.json", json.as_bytes()).unwrap();
    PolicySet::compile(&file, 1, &Environment::default(), &mut Names::new()).unwrap()
}

fn publish(bench: &Bench, json: &str, accounts: &[u32]) {
    let set = compiled(json).with_accounts(accounts.into());
    bench.door.reserve_accounts(set.accounts());
    bench.door.publisher.publish(Arc::new(set), Settings::default());
}

/// Hits, packets, bytes.
fn counts(bench: &Bench, account: u32) -> (u64, u64, u64) {
    let Counts { hits, packets, bytes, .. } = bench.door.counts(account);
    (hits, packets, bytes)
}

fn differing(shadow: &Shadow, policy: u32, change: Change) -> Counts {
    shadow.standings().read(shadow.standings().differing(policy, change))
}

/// Lets the sweep go round the table.
fn sweep(bench: &mut Bench) {
    for _ in 0..50 {
        bench.settle();
    }
}

/// Lets a second pass, in which live flows are walked by.
fn walk(bench: &mut Bench) {
    bench.settle();
    bench.clock.ns += 2_000_000_000;
    bench.settle();
}

#[test]
fn a_flow_is_one_hit_and_its_packets_count_for_the_policy_that_has_it() {
    let mut bench = Bench::new(1, ALLOW);
    publish(&bench, WEB_AND_DNS, &[WEB, DNS]);
    let (client, server) = ((CLIENT, 4000), (SERVER, 80));
    let syn = tcp(client, server, 100, 0, SYN, b"");
    bench.send(0, 0, &syn);
    bench.settle();
    let hit = bench.door.counts(WEB);
    assert_eq!(hit.hits, 1, "a decision is counted at once");
    assert!(hit.last_hit_ns.abs_diff(1_700_000_001_000_000_000) < 1_000_000, "the wall clock's: {hit:?}");
    bench.send(0, 1, &tcp(server, client, 500, 101, SYN | ACK, b""));
    bench.settle();
    for _ in 0..7 {
        bench.send(0, 0, &tcp(client, server, 101, 501, ACK, b"GET /"));
    }
    for port in [4001, 4002] {
        bench.send(0, 0, &udp((CLIENT, port), (SERVER, 53), b"question"));
    }
    // Nobody allows it: the default, which counts what it dropped.
    for _ in 0..3 {
        bench.send(0, 0, &udp((CLIENT, 4003), (SERVER, 123), b"time?"));
    }
    walk(&mut bench);
    let (web, dns) = (9 * 60, 2 * 60);
    assert_eq!(counts(&bench, WEB), (1, 9, web), "a handshake and seven segments of one flow");
    assert_eq!(counts(&bench, DNS), (2, 2, dns));
    assert_eq!(counts(&bench, DEFAULT_ACCOUNT), (1, 3, 180));
    walk(&mut bench);
    assert_eq!(counts(&bench, WEB), (1, 9, web), "what is counted is not counted again");
    bench.stop();
}

#[test]
fn counts_stay_with_a_policy_through_changes_of_its_set() {
    let mut bench = Bench::new(1, ALLOW);
    publish(&bench, WEB_AND_DNS, &[WEB, DNS]);
    let question = udp((CLIENT, 4000), (SERVER, 53), b"question");
    bench.send(0, 0, &question);
    bench.settle();
    // Another place, another name beside it, the same account: judged anew, and no hit.
    let turned = WEB_AND_DNS.replace(r#""priority": 2"#, r#""priority": 0"#);
    publish(&bench, &turned, &[DNS, WEB]);
    bench.send(0, 0, &question);
    walk(&mut bench);
    assert_eq!(counts(&bench, DNS), (1, 2, 120));
    // It goes: the packets so far stay its own, the flow is the default's from now on.
    publish(&bench, r#"{"default_action": "drop", "policies": []}"#, &[]);
    bench.send(0, 0, &question);
    walk(&mut bench);
    assert_eq!(counts(&bench, DNS), (1, 2, 120));
    assert_eq!(counts(&bench, DEFAULT_ACCOUNT), (1, 1, 60));
    publish(&bench, WEB_AND_DNS, &[WEB, DNS]);
    bench.send(0, 0, &question);
    walk(&mut bench);
    assert_eq!(counts(&bench, DNS).0, 2, "the flow came under it once more");
    let all = [DNS, DEFAULT_ACCOUNT].map(|account| bench.door.counts(account).packets);
    assert_eq!(all.iter().sum::<u64>(), 4, "no packet is lost, none is counted twice: {all:?}");
    bench.stop();
}

#[test]
fn flows_that_end_are_counted_to_their_last_packet_at_every_worker() {
    let mut bench = Bench::new(2, ALLOW);
    publish(&bench, WEB_AND_DNS, &[WEB, DNS]);
    for port in 0..40 {
        bench.send(usize::from(port % 2), 0, &udp((CLIENT, 5000 + port), (SERVER, 53), b"question"));
        bench.settle();
    }
    let door = std::mem::replace(&mut bench.door, Bench::new(1, ALLOW).door);
    bench.stop();
    let Counts { hits, packets, bytes, .. } = door.counts(DNS);
    assert_eq!((hits, packets, bytes), (40, 40, 40 * 60));
}

const PROPOSAL: &str = r#"{"default_action": "drop", "policies": [
    {"policy_id": "ntp", "priority": 1, "conditions": {"protocol": "udp", "dst_port": "123"}, "action": "allow"},
    {"policy_id": "dns", "priority": 2, "conditions": {"protocol": "udp", "dst_port": "53"}, "action": "reject"},
    {"policy_id": "web", "priority": 3, "conditions": {"protocol": "tcp", "dst_port": "80"}, "action": "allow"}]}"#;

#[test]
fn a_shadow_counts_what_it_would_do_and_changes_nothing() {
    let mut bench = Bench::new(1, ALLOW);
    publish(&bench, WEB_AND_DNS, &[WEB, DNS]);
    let old = udp((CLIENT, 3999), (SERVER, 53), b"question");
    bench.send(0, 0, &old);
    assert_eq!(bench.settle().len(), 1);
    let shadow = Arc::new(Shadow::new(7, compiled(PROPOSAL), 1));
    bench.door.publisher.publish_shadow(Some(Arc::clone(&shadow)));
    assert_eq!(bench.door.publisher.current().version, 2, "flows are not judged anew for a shadow");

    let passes = |bench: &mut Bench, frame: &[u8]| {
        bench.send(0, 0, frame);
        bench.settle().len()
    };
    assert_eq!(
        passes(&mut bench, &udp((CLIENT, 4000), (SERVER, 53), b"question")),
        1,
        "the live set allows it"
    );
    assert_eq!(passes(&mut bench, &udp((CLIENT, 4000), (SERVER, 53), b"again")), 1);
    assert_eq!(passes(&mut bench, &udp((CLIENT, 4001), (SERVER, 123), b"time?")), 0, "the live set drops it");
    assert_eq!(passes(&mut bench, &tcp((CLIENT, 4002), (SERVER, 80), 100, 0, SYN, b"")), 1);
    assert_eq!(passes(&mut bench, &udp((CLIENT, 4003), (SERVER, 99), b"what?")), 0);
    sweep(&mut bench);
    assert_eq!(passes(&mut bench, &old), 1, "it was there before, and is compared all the same");
    walk(&mut bench);

    let standings = shadow.standings();
    let of = |policy: u32| {
        Change::ALL
            .map(|change| differing(&shadow, policy, change))
            .map(|counts| (counts.hits, counts.packets, counts.bytes))
    };
    assert_eq!(of(1), [(2, 3, 180), (0, 0, 0), (0, 0, 0)], "DNS passes, and would be refused");
    assert_eq!(of(0), [(0, 0, 0), (1, 1, 60), (0, 0, 0)], "NTP is dropped, and would pass");
    assert_eq!(of(2), [(0, 0, 0); 3]);
    assert_eq!(
        (standings.read(Standing::SAME).hits, standings.read(Standing::OPEN).hits),
        (2, 0),
        "the web, and what both drop by default"
    );

    // The record of a flow that would fare otherwise says so.
    while bench.events[0].records.pop().is_ok() {}
    bench.clock.ns += 3_600_000_000_000;
    for _ in 0..20 {
        bench.settle();
    }
    let mut told = Vec::new();
    while let Ok(event) = bench.events[0].records.pop() {
        if let Event::Flow(end) = event {
            told.push((end.record.endpoints().0.1, end.record.shadow));
        }
    }
    told.sort_by_key(|(port, _)| *port);
    let differs = |change, policy_index| Some(Fate::Differs(Difference { shadow: 7, change, policy_index }));
    let same = Some(Fate::Same);
    let (refused, allowed) = (differs(Change::AllowedToRefused, 1), differs(Change::RefusedToAllowed, 0));
    assert_eq!(told, [(3999, refused), (4000, refused), (4001, allowed), (4002, same), (4003, same)]);

    // Without it nothing is compared any more, and what was counted stays.
    bench.door.publisher.publish_shadow(None);
    assert_eq!(passes(&mut bench, &udp((CLIENT, 4010), (SERVER, 53), b"question")), 1);
    assert_eq!(differing(&shadow, 1, Change::AllowedToRefused).hits, 2);
    bench.door.publisher.reap();
    assert_eq!(Arc::strong_count(&shadow), 2, "workers let go of it; the door does once it is the last");
    bench.stop();
}

#[test]
fn flows_that_are_judged_anew_meet_the_shadow_too() {
    let mut bench = Bench::new(1, ALLOW);
    bench.send(0, 0, &udp((CLIENT, 4000), (SERVER, 53), b"question"));
    bench.settle();
    let shadow = Arc::new(Shadow::new(1, compiled(PROPOSAL), 1));
    bench.door.publisher.publish_shadow(Some(Arc::clone(&shadow)));
    bench.door.publisher.publish(policy(ALLOW), Settings::default());
    // Silent as it is, the sweep asks for it.
    sweep(&mut bench);
    let refused = differing(&shadow, 1, Change::AllowedToRefused);
    assert_eq!(refused.hits, 1);
    // Another number: what was counted with the one before does not count here.
    let next = Arc::new(Shadow::new(2, compiled(PROPOSAL), 1));
    bench.door.publisher.publish_shadow(Some(Arc::clone(&next)));
    sweep(&mut bench);
    bench.send(0, 0, &udp((CLIENT, 4000), (SERVER, 53), b"again"));
    walk(&mut bench);
    let Counts { hits, packets, .. } = differing(&next, 1, Change::AllowedToRefused);
    assert_eq!((hits, packets), (1, 1));
    assert_eq!(
        differing(&shadow, 1, Change::AllowedToRefused).packets,
        0,
        "what comes now is the next one's"
    );
    bench.stop();
}

#[test]
fn flows_that_stand_meet_a_shadow_once_and_nothing_else_becomes_of_them() {
    let mut bench = Bench::new(1, ALLOW);
    publish(&bench, WEB_AND_DNS, &[WEB, DNS]);
    let (client, server) = ((CLIENT, 4002), (SERVER, 80));
    bench.send(0, 0, &udp((CLIENT, 4000), (SERVER, 53), b"question"));
    bench.send(0, 0, &udp((CLIENT, 4001), (SERVER, 123), b"time?"));
    bench.send(0, 0, &tcp(client, server, 100, 0, SYN, b""));
    bench.send(0, 1, &tcp(server, client, 500, 101, SYN | ACK, b""));
    bench.send(0, 0, &tcp(client, server, 101, 501, ACK, b""));
    sweep(&mut bench);
    let judged = |bench: &Bench| {
        let flow = bench.door.boards()[0].read().flow;
        (flow.evaluations, flow.rejudged, flow.active)
    };
    let before = judged(&bench);
    assert_eq!(before.2, 3);
    let of = |shadow: &Shadow| {
        [
            differing(shadow, 1, Change::AllowedToRefused).hits,
            differing(shadow, 0, Change::RefusedToAllowed).hits,
            shadow.standings().read(Standing::SAME).hits,
            shadow.standings().read(Standing::OPEN).hits,
        ]
    };
    let first = Arc::new(Shadow::new(3, compiled(PROPOSAL), 1));
    bench.door.publisher.publish_shadow(Some(Arc::clone(&first)));
    sweep(&mut bench);
    assert_eq!(of(&first), [1, 1, 1, 0], "DNS would be refused, the time allowed, the web passes as it does");
    assert_eq!(judged(&bench), before, "the set in force is not asked anew");
    sweep(&mut bench);
    bench.door.publisher.publish_shadow(None);
    sweep(&mut bench);
    assert_eq!(of(&first), [1, 1, 1, 0], "once, and its end is no reason");
    // Another one meets all of them, and one that comes meanwhile, too.
    let [second, third] = [4, 5].map(|number| Arc::new(Shadow::new(number, compiled(PROPOSAL), 1)));
    bench.door.publisher.publish_shadow(Some(Arc::clone(&second)));
    bench.settle();
    bench.door.publisher.publish_shadow(Some(Arc::clone(&third)));
    sweep(&mut bench);
    sweep(&mut bench);
    assert_eq!((of(&first), of(&third)), ([1, 1, 1, 0], [1, 1, 1, 0]));
    assert_eq!(judged(&bench), before);
    bench.stop();
}

#[test]
fn a_shadow_knows_whose_the_flows_are_that_stand() {
    let proposal = r#"{"default_action": "allow", "policies": [
        {"policy_id": "p", "conditions": {"user_role": "staff"}, "action": "drop"}]}"#;
    let mut bench = Bench::new(1, ALLOW);
    // The first role that a policy names has the first number.
    let user = User { id: NameId(7), role: Some(NameId(0)), groups: Vec::new(), attributes: Vec::new() };
    let who = Arc::new(Identity { number: UserNumber::MIN, person: 7, user });
    bench.door.identify(Key::addr(Addr::v4(CLIENT)), Some(&who));
    for from in [CLIENT, [10, 0, 0, 9]] {
        bench.send(0, 0, &udp((from, 4000), (SERVER, 53), b"question"));
    }
    sweep(&mut bench);
    let shadow = Arc::new(Shadow::new(1, compiled(proposal), 1));
    bench.door.publisher.publish_shadow(Some(Arc::clone(&shadow)));
    sweep(&mut bench);
    let hits =
        (differing(&shadow, 0, Change::AllowedToRefused).hits, shadow.standings().read(Standing::SAME).hits);
    assert_eq!(hits, (1, 1));
    // The user goes, and the flow is another one's to the shadow, too.
    bench.door.identify(Key::addr(Addr::v4(CLIENT)), None);
    sweep(&mut bench);
    assert_eq!(
        (differing(&shadow, 0, Change::AllowedToRefused).hits, shadow.standings().read(Standing::SAME).hits),
        (0, 2)
    );
    bench.stop();
}
