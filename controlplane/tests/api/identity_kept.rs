//! Who is where after a restart: assertions, leases, and what cannot hold any more.

use crate::rig::{Daemon, Options, clock};
use controlplane::services::identities::{Assertion, Source, Who};
use controlplane::services::{Services, Several};
use dataplane::identity::Key;
use dataplane::parse::{Addr, Mac};
use std::net::IpAddr;
use std::path::Path;

const ANN: Mac = Mac([2, 0, 0, 0, 0, 1]);
const BOB: Mac = Mac([2, 0, 0, 0, 0, 2]);
const OWN: [u8; 4] = [10, 0, 0, 3];

fn start(dir: &Path, several: Several, own: Option<[u8; 4]>) -> Daemon {
    std::fs::write(dir.join("policy.json"), r#"{"default_action": "allow", "policies": []}"#).unwrap();
    let options = Options {
        workers: 2,
        keeps_identities: true,
        several,
        service_ipv4: own.map(Addr::v4),
        ..Options::default()
    };
    Daemon::start_in(dir, options)
}

fn key(text: &str) -> Key {
    text.parse().unwrap()
}

fn says(source: Source, user_id: &str, addresses: &[&str]) -> Assertion {
    let keys = addresses.iter().map(|address| key(address)).collect();
    Assertion { keys, who: Who { user_id: user_id.to_owned(), ..Who::default() }, source, expires_ns: None }
}

fn in_s(seconds: u64) -> u64 {
    clock().wall.0 + seconds * 1_000_000_000
}

fn user_at(services: &Services, address: &str) -> Option<String> {
    services.user_at(address.parse::<IpAddr>().unwrap()).map(|user| user.who.user_id)
}

/// What came of what was kept: restored, expired, refused, damaged.
fn restored(services: &Services) -> [u64; 4] {
    let totals: Vec<(&str, u64)> = services.restore_counts().totals().collect();
    ["restored", "expired", "refused", "damaged"]
        .map(|name| totals.iter().find(|(other, _)| *other == name).unwrap().1)
}

/// Whom every worker has at an address.
fn workers_have(daemon: &mut Daemon, wanted: &[([u8; 4], Option<&str>)]) {
    let services = std::sync::Arc::clone(&daemon.services);
    // The call answers when every worker goes by all that came before it.
    let told = services.assert_identity(says(Source::Api, "last", &["192.0.2.99"])).unwrap();
    assert!(told.in_force_us.is_some());
    for table in daemon.stop_workers() {
        for (address, user_id) in wanted {
            let number = table.find(Addr::v4(*address), Mac([0; 6])).map(|identity| identity.number);
            assert_eq!(services.names().user(number).user_id(), *user_id, "{address:?}");
        }
    }
}

#[test]
fn leases_outlive_a_restart_as_long_as_they_live_and_tie_users_to_addresses_again() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = start(dir.path(), Several::default(), None);
    let services = &daemon.services;
    services.take_identity(says(Source::Radius, "ann", &["02:00:00:00:00:01"])).unwrap();
    services.take_lease(key("10.0.0.7"), ANN, in_s(3_600)).unwrap();
    services.take_lease(key("10.0.0.8"), ANN, in_s(3_600)).unwrap();
    // It goes to another one, and one is over while nobody runs.
    services.take_lease(key("10.0.0.8"), BOB, in_s(3_600)).unwrap();
    services.take_lease(key("10.0.0.9"), ANN, in_s(0)).unwrap();
    assert_eq!(user_at(services, "10.0.0.9").as_deref(), Some("ann"));
    drop(daemon);

    let daemon = start(dir.path(), Several::default(), None);
    let services = &daemon.services;
    assert_eq!((restored(services), services.leases_live()), ([3, 1, 0, 0], 2));
    assert_eq!(user_at(services, "10.0.0.7").as_deref(), Some("ann"));
    assert_eq!((user_at(services, "10.0.0.8"), user_at(services, "10.0.0.9")), (None, None));
    // Whoever logs in at the Ethernet address later has the address, too: the lease is all there again.
    services.take_identity(says(Source::Radius, "bob", &["02:00:00:00:00:02"])).unwrap();
    assert_eq!(user_at(services, "10.0.0.8").as_deref(), Some("bob"));
    drop(daemon);

    let mut daemon = start(dir.path(), Several::default(), None);
    assert_eq!(restored(&daemon.services), [4, 0, 0, 0], "what was over is forgotten");
    let wanted = [([10, 0, 0, 7], Some("ann")), ([10, 0, 0, 8], Some("bob")), ([10, 0, 0, 9], None)];
    workers_have(&mut daemon, &wanted);
}

#[test]
fn what_is_about_the_boxs_own_address_by_now_is_refused_and_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = start(dir.path(), Several::default(), None);
    let services = &daemon.services;
    services.take_identity(says(Source::Api, "ann", &["10.0.0.1"])).unwrap();
    services.take_identity(says(Source::Api, "bob", &["10.0.0.2", "10.0.0.3"])).unwrap();
    services.take_identity(says(Source::Radius, "carl", &["02:00:00:00:00:02"])).unwrap();
    services.take_lease(key("10.0.0.3"), BOB, in_s(3_600)).unwrap();
    drop(daemon);

    let daemon = start(dir.path(), Several::default(), Some(OWN));
    let services = &daemon.services;
    assert_eq!(restored(services), [2, 0, 2, 0], "an assertion and a lease are refused");
    assert_eq!(user_at(services, "10.0.0.1").as_deref(), Some("ann"));
    assert_eq!((user_at(services, "10.0.0.2"), user_at(services, "10.0.0.3")), (None, None));
    drop(daemon);

    // Also when the address is nobody's again.
    let mut daemon = start(dir.path(), Several::default(), None);
    assert_eq!(restored(&daemon.services), [2, 0, 0, 0]);
    workers_have(&mut daemon, &[([10, 0, 0, 1], Some("ann")), ([10, 0, 0, 2], None), (OWN, None)]);
}

#[test]
fn several_users_of_an_address_are_as_several_after_a_restart() {
    for (several, kept, at_first) in
        [(Several::Nobody, 2, None), (Several::Latest, 1, Some("bob")), (Several::First, 1, Some("ann"))]
    {
        let dir = tempfile::tempdir().unwrap();
        let daemon = start(dir.path(), several, None);
        let ann = daemon.services.take_identity(says(Source::Api, "ann", &["10.0.0.5"])).unwrap();
        let bob = daemon.services.take_identity(says(Source::Api, "bob", &["10.0.0.5"]));
        assert_eq!(bob.is_err(), several == Several::First);
        drop(daemon);

        let mut daemon = start(dir.path(), several, None);
        let services = std::sync::Arc::clone(&daemon.services);
        assert_eq!(restored(&services), [kept, 0, 0, 0], "{several:?}");
        assert_eq!(user_at(&services, "10.0.0.5").as_deref(), at_first, "{several:?}");
        let carl = services.take_identity(says(Source::Api, "carl", &["10.0.0.5"]));
        let then = match several {
            Several::First => {
                let refused = carl.unwrap_err().to_string();
                assert!(refused.contains(&format!("`ann`'s by assertion {ann}")), "{refused}");
                Some("ann")
            }
            Several::Latest => Some("carl"),
            Several::Nobody => {
                // Those of before are ended by their numbers, and the last one is known.
                services.drop_identity(ann);
                services.drop_identity(bob.unwrap());
                Some("carl")
            }
        };
        assert_eq!(user_at(&services, "10.0.0.5").as_deref(), then, "{several:?}");
        workers_have(&mut daemon, &[([10, 0, 0, 5], then)]);
    }
}
