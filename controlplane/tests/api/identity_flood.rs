//! A million logins: what is taken, what is refused and why, and what becomes of those who were known before.

use std::net::Ipv4Addr;
use std::sync::Arc;

use crate::rig::{Daemon, Options};
use controlplane::services::Services;
use controlplane::services::identities::{Assertion, LIVE_MAX, NAMES_MAX, Source, Who};
use dataplane::identity::Key;
use dataplane::parse::{Addr, Mac};
use serde_json::{Value, json};

const LOGINS: u32 = 1_000_000;

/// Users who are there before the flood, at 10.255.0.0 and behind.
const KNOWN: u32 = 100;

/// Calls of the API that are refused.
const REFUSED_CALLS: usize = 200;

fn known_at(number: u32) -> Ipv4Addr {
    Ipv4Addr::from(0x0aff_0000 + number)
}

fn flooded_at(number: u32) -> Ipv4Addr {
    Ipv4Addr::from(0x0a00_0000 + number)
}

fn says(user_id: String, at: Ipv4Addr) -> Assertion {
    Assertion {
        keys: vec![Key::addr(Addr::v4(at.octets()))],
        who: Who { user_id, ..Who::default() },
        source: Source::Radius,
        expires_ns: None,
    }
}

fn with_known_users() -> Daemon {
    let daemon = Daemon::start(Options { workers: 2, ..Options::default() });
    for number in 0..KNOWN {
        daemon.services.take_identity(says(format!("known-{number}"), known_at(number))).unwrap();
    }
    daemon
}

/// A call that is refused, again and again: what it says, and the entries of the audit, once there is one.
fn refused_over_the_api(daemon: &Daemon) -> (Value, Vec<Value>) {
    let mut problem = Value::Null;
    for number in 0..REFUSED_CALLS {
        let body = json!({"addresses": ["192.0.2.1"], "user_id": format!("late-{number}")}).to_string();
        problem = daemon.over_tcp("POST", "/policy/identities", &body).problem(409, "full");
    }
    let entries = loop {
        let audit = daemon.over_tcp("GET", "/audit?action=identity.assert&limit=1000", "").json();
        let entries = audit["entries"].as_array().unwrap().clone();
        if !entries.is_empty() {
            break entries;
        }
        std::thread::yield_now();
    };
    (problem, entries)
}

fn counted(daemon: &Daemon, line: &str) -> bool {
    daemon.over_tcp("GET", "/metrics", "").text().lines().any(|told| told == line)
}

fn name_at(services: &Services, at: Ipv4Addr) -> Option<String> {
    services.user_at(at.into()).map(|user| user.who.user_id)
}

/// Every worker knows of each of these addresses what is told here.
fn workers_know(daemon: &mut Daemon, services: &Services, users: &[(Ipv4Addr, Option<String>)]) {
    let tables = daemon.stop_workers();
    assert_eq!(tables.len(), 2);
    for table in &tables {
        for (at, user_id) in users {
            let number = table.find(Addr::v4(at.octets()), Mac([0; 6])).map(|identity| identity.number);
            assert_eq!(services.names().user(number).user_id(), user_id.as_deref(), "{at}");
        }
    }
}

#[test]
fn of_a_million_logins_so_many_are_taken_and_the_others_cost_nothing() {
    let mut daemon = with_known_users();
    let services = Arc::clone(&daemon.services);
    let keeper = services.keep_identities().unwrap();
    // Workers miss the beginning.
    daemon.hang(true);
    let (mut first, mut taken, mut why) = (0, 0, String::new());
    for number in 0..LOGINS {
        match services.take_identity(says(format!("flood-{number}"), flooded_at(number))) {
            Ok(id) if taken == 0 => (first, taken) = (id, 1),
            Ok(_) => taken += 1,
            Err(error) => why = error.to_string(),
        }
        if taken == 100_000 {
            daemon.hang(false);
        }
    }
    assert_eq!((taken + KNOWN as usize, services.identities_live()), (LIVE_MAX, LIVE_MAX));
    assert!(why.starts_with("200000 assertions live"), "{why}");
    assert_eq!(services.identity_names() as usize, LIVE_MAX, "who is refused costs no name");

    let (problem, entries) = refused_over_the_api(&daemon);
    assert_eq!(problem["detail"].as_str(), Some(why.as_str()));
    assert_eq!((entries.len(), &entries[0]["outcome"]), (1, &json!("full")), "{entries:?}");
    let refused = LOGINS as usize - taken + REFUSED_CALLS;
    assert!(counted(&daemon, &format!("jarvis_identities_refused_total{{outcome=\"full\"}} {refused}")));
    assert_eq!(services.identity_names() as usize, LIVE_MAX);

    // Where one goes there is room for another, and workers have missed nothing by then.
    services.drop_identity(first);
    let told = services.assert_identity(says("late".to_owned(), flooded_at(LOGINS))).unwrap();
    assert!(told.in_force_us.is_some());
    drop(keeper);
    let known = (0..KNOWN).map(|number| (known_at(number), Some(format!("known-{number}"))));
    let last_taken = taken as u32;
    let flooded = (1..last_taken).map(|number| (flooded_at(number), Some(format!("flood-{number}"))));
    let nobodys = [0, last_taken, LOGINS - 1].map(|number| (flooded_at(number), None));
    let late = [(flooded_at(LOGINS), Some("late".to_owned()))];
    let users: Vec<_> = known.chain(flooded).chain(nobodys).chain(late).collect();
    for (at, user_id) in &users {
        assert_eq!(name_at(&services, *at), *user_id);
    }
    workers_know(&mut daemon, &services, &users);
}

#[test]
fn when_all_names_are_used_up_new_ones_are_refused_and_known_ones_go_on() {
    let mut daemon = with_known_users();
    let services = Arc::clone(&daemon.services);
    let at = flooded_at(1);
    let mut why = String::new();
    // Each ends the one before.
    for number in 0..LOGINS {
        if let Err(error) = services.take_identity(says(format!("flood-{number}"), at)) {
            why = error.to_string();
        }
    }
    assert!(why.starts_with("there are 1000000 different names of this kind already"), "{why}");
    assert_eq!((services.identity_names(), services.identities_live()), (NAMES_MAX, KNOWN as usize + 1));
    let (problem, entries) = refused_over_the_api(&daemon);
    assert_eq!(problem["detail"].as_str(), Some(why.as_str()));
    assert_eq!((entries.len(), &entries[0]["outcome"]), (1, &json!("full")), "{entries:?}");
    let refused = KNOWN as usize + REFUSED_CALLS;
    assert!(counted(&daemon, &format!("jarvis_identities_refused_total{{outcome=\"names\"}} {refused}")));
    assert!(counted(&daemon, "jarvis_identity_names 1000000"));

    let told = services.assert_identity(says("known-7".to_owned(), flooded_at(2))).unwrap();
    assert!(told.in_force_us.is_some());
    let last = format!("flood-{}", NAMES_MAX - KNOWN - 1);
    let known = (0..KNOWN).map(|number| (known_at(number), Some(format!("known-{number}"))));
    let users: Vec<_> =
        known.chain([(at, Some(last)), (flooded_at(2), Some("known-7".to_owned()))]).collect();
    workers_know(&mut daemon, &services, &users);
}
