//! Does the wire hold, or fall, as configured, with and without a living worker?
#![expect(clippy::unwrap_used, reason = "a failed test may panic")]

mod rig;

use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use rig::{Forwarder, PATIENCE, Rig, SILENCE, exchange, ipv4, ipv6, make_pair, plain, run};
use xsk::wire::{self, AttachMode, Origin, WireConfig};
use xsk::{FailMode, FrameSize, PacketPort, Wire, XskError, clock, netdev};

#[test]
fn fail_closed_without_a_worker_drops_everything() {
    let Some(rig) = Rig::new(1, 1500) else { return };
    let wire = Wire::attach(&rig.inline(FailMode::Closed)).unwrap();
    rig.left.send(&plain(1));
    rig.right.send(&plain(2));
    assert_eq!(rig.right.receive_within(SILENCE), None);
    assert_eq!(rig.left.receive(), None);
    for port in 0..2 {
        let counted = wire.counters(port).unwrap();
        assert_eq!(
            (counted.dropped_fail_closed, counted.heartbeat_stale, counted.passed_fail_open),
            (1, 1, 0)
        );
    }
}

#[test]
fn fail_open_without_a_worker_forwards_in_the_kernel() {
    let Some(rig) = Rig::new(1, 1500) else { return };
    let wire = Wire::attach(&rig.inline(FailMode::Open)).unwrap();
    let frames: Vec<_> = (0..200).map(plain).collect();
    assert_eq!(exchange(&rig.left, &rig.right, &frames, || {}), frames);
    assert_eq!(exchange(&rig.right, &rig.left, &frames, || {}), frames);
    let counted = wire.counters(0).unwrap();
    assert_eq!((counted.passed_fail_open, counted.heartbeat_stale, counted.redirected), (200, 200, 0));
}

#[test]
fn fail_open_carries_jumbo_frames() {
    let Some(rig) = Rig::new(1, 9000) else { return };
    let _wire = Wire::attach(&rig.inline(FailMode::Open)).unwrap();
    let frames: Vec<_> = (0..50).map(|id| ipv4(&[], [10, 0, 0, 1], [10, 0, 0, 2], id, 9014)).collect();
    assert_eq!(exchange(&rig.left, &rig.right, &frames, || {}), frames);
}

#[test]
fn fail_open_begins_when_the_heartbeat_is_older_than_the_watchdog() {
    let Some(rig) = Rig::new(1, 1500) else { return };
    let mut wire = Wire::attach(&rig.inline(FailMode::Open)).unwrap();
    let worker = Forwarder::open(&mut wire, 0, FrameSize::Bytes2048);
    wire.set_watchdog_ms(20).unwrap();
    // 20 ms, and a tick of at most 10 ms, ago.
    worker.heartbeat.beat(clock::monotonic_ns() - 31_000_000);
    rig.left.send(&plain(1));
    assert_eq!(rig.right.receive_within(PATIENCE), Some(plain(1)));
    // A stamp ahead of the reader's clock, as another core may write it, is fresh.
    worker.heartbeat.beat(clock::monotonic_ns() + 60_000_000_000);
    rig.left.send(&plain(2));
    assert_eq!(rig.right.receive_within(SILENCE), None);
    let counted = wire.counters(0).unwrap();
    assert_eq!((counted.heartbeat_stale, counted.redirected), (1, 1));
    worker.heartbeat.beat(clock::monotonic_ns());
    worker.stop(&mut wire);
}

#[test]
fn an_orderly_stop_hands_over_to_the_fail_mode_without_a_loss() {
    let Some(rig) = Rig::new(1, 1500) else { return };
    let mut wire = Wire::attach(&rig.inline(FailMode::Open)).unwrap();
    let mut worker = Some(Forwarder::open(&mut wire, 0, FrameSize::Bytes2048));
    let frames: Vec<_> = (0..1000).map(plain).collect();
    let mut turns = 0;
    let mut received = exchange(&rig.left, &rig.right, &frames, || {
        turns += 1;
        if let Some(running) = worker.as_mut() {
            running.turn();
        }
        if turns == 10 {
            wire.unregister_socket(0, 0).unwrap();
            wire.unregister_socket(1, 0).unwrap();
        }
        if turns == 20 {
            worker.take().unwrap().stop(&mut wire);
        }
    });
    received.sort_by_key(|frame| frame[42..46].to_vec());
    assert_eq!(received, frames);
    let counted = wire.counters(0).unwrap();
    assert_eq!(counted.redirected + counted.passed_fail_open, 1000);
    assert!(counted.redirected >= 300 && counted.no_socket > 0, "{counted:?}");
}

#[test]
fn fail_mode_and_bypass_change_while_attached() {
    let Some(rig) = Rig::new(1, 1500) else { return };
    let mut wire = Wire::attach(&rig.inline(FailMode::Closed)).unwrap();
    let mut worker = Forwarder::open(&mut wire, 0, FrameSize::Bytes2048);
    wire.set_bypass(true).unwrap();
    rig.left.send(&plain(1));
    assert_eq!(rig.right.receive_within(PATIENCE), Some(plain(1)), "past a living worker that does not turn");
    assert_eq!(wire.counters(0).unwrap().bypassed, 1);
    wire.set_bypass(false).unwrap();
    assert_eq!(exchange(&rig.left, &rig.right, &[plain(2)], || worker.turn()), [plain(2)]);
    worker.stop(&mut wire);
    rig.left.send(&plain(3));
    assert_eq!(rig.right.receive_within(SILENCE), None);
    wire.set_fail_mode(FailMode::Open).unwrap();
    rig.left.send(&plain(4));
    assert_eq!(rig.right.receive_within(PATIENCE), Some(plain(4)));
}

#[test]
fn a_tap_gets_frames_and_never_lets_one_into_the_host() {
    let Some(rig) = Rig::new(1, 1500) else { return };
    let mut config = WireConfig { fail_mode: FailMode::Open, ..rig.inline(FailMode::Open) };
    config.ports.truncate(1);
    let mut wire = Wire::attach(&config).unwrap();
    wire.set_bypass(true).unwrap();
    rig.left.send(&plain(1));
    wire.set_bypass(false).unwrap();
    rig.left.send(&plain(2));
    assert_eq!(rig.right.receive_within(SILENCE), None);
    let counted = wire.counters(0).unwrap();
    assert_eq!((counted.bypassed, counted.dropped_fail_closed, counted.passed_fail_open), (1, 1, 0));
    let mut worker = Forwarder::open(&mut wire, 0, FrameSize::Bytes2048);
    rig.left.send(&plain(3));
    let give_up = Instant::now() + PATIENCE;
    while worker.forwarded == 0 && Instant::now() < give_up {
        worker.turn();
    }
    assert_eq!(worker.forwarded, 1);
    worker.stop(&mut wire);
}

#[test]
fn blocked_sources_and_destinations_are_dropped_through_vlan_tags_too() {
    let Some(rig) = Rig::new(1, 1500) else { return };
    let mut wire = Wire::attach(&rig.inline(FailMode::Open)).unwrap();
    let bad_v6 = [0x20, 0x01, 0x0d, 0xb8, 0, 0xbad_u16 as u8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    let good_v6 = [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    let net_v6: Ipv6Addr = bad_v6.into();
    wire.replace_block_list(&[(Ipv4Addr::new(192, 0, 2, 99), 24)], &[(net_v6, 64)]).unwrap();
    let (bad, good) = ([192, 0, 2, 7], [10, 0, 0, 1]);
    let cases: [(&str, Vec<u8>, bool); 11] = [
        ("source", ipv4(&[], bad, good, 1, 64), false),
        ("destination", ipv4(&[], good, bad, 2, 64), false),
        ("neither", ipv4(&[], good, good, 3, 64), true),
        ("source, one tag", ipv4(&[100], bad, good, 4, 68), false),
        ("destination, two tags", ipv4(&[100, 200], good, bad, 5, 72), false),
        ("neither, two tags", ipv4(&[100, 200], good, good, 6, 72), true),
        ("source, v6", ipv6(&[], bad_v6, good_v6), false),
        ("destination, v6", ipv6(&[], good_v6, bad_v6), false),
        ("destination, v6, one tag", ipv6(&[100], good_v6, bad_v6), false),
        ("neither, v6", ipv6(&[], good_v6, good_v6), true),
        ("truncated header", ipv4(&[], bad, good, 7, 64)[..30].to_vec(), true),
    ];
    for (name, frame, passes) in cases {
        rig.left.send(&frame);
        let wait = if passes { PATIENCE } else { SILENCE };
        assert_eq!(rig.right.receive_within(wait).is_some(), passes, "{name}");
    }
    let counted = wire.counters(0).unwrap();
    assert_eq!((counted.blocked_v4, counted.blocked_v6, counted.passed_fail_open), (4, 3, 4));
}

#[test]
fn a_replaced_block_list_is_never_empty_and_an_emptied_one_lets_through() {
    let Some(rig) = Rig::new(1, 1500) else { return };
    let mut wire = Wire::attach(&rig.inline(FailMode::Open)).unwrap();
    let kept = (Ipv4Addr::new(192, 0, 2, 7), 32);
    let filler = |from: u32| (from..from + 2000).map(|bits| (Ipv4Addr::from_bits(0x0b00_0000 + bits), 32));
    let first: Vec<_> = filler(0).chain([kept]).collect();
    let second: Vec<_> = filler(5000).chain([kept]).collect();
    wire.replace_block_list(&first, &[]).unwrap();
    // The far end sends blocked frames while the list is replaced to and fro: not one passes.
    std::thread::scope(|scope| {
        let replacing = scope.spawn(|| {
            for list in [&second, &first, &second, &first] {
                wire.replace_block_list(list, &[]).unwrap();
            }
            wire
        });
        let mut sent = 0_u64;
        while !replacing.is_finished() {
            rig.left.send(&ipv4(&[], [192, 0, 2, 7], [10, 0, 0, 1], 1, 64));
            sent += 1;
        }
        let mut wire = replacing.join().unwrap();
        assert_eq!(rig.right.receive_within(SILENCE), None);
        assert_eq!(wire.counters(0).unwrap().blocked_v4, sent);
        assert_eq!(wire.block_list_len(), (2001, 0));

        wire.remove_from_block_list(&[kept], &[]).unwrap();
        rig.left.send(&ipv4(&[], [192, 0, 2, 7], [10, 0, 0, 1], 1, 64));
        assert!(rig.right.receive_within(PATIENCE).is_some());
        wire.replace_block_list(&[], &[]).unwrap();
        assert_eq!(wire.block_list_len(), (0, 0));
        wire.add_to_block_list(&[kept], &[]).unwrap();
        rig.left.send(&ipv4(&[], [192, 0, 2, 7], [10, 0, 0, 1], 1, 64));
        assert_eq!(rig.right.receive_within(SILENCE), None);
    });
}

#[test]
fn a_hundred_thousand_prefixes_fit_and_one_more_is_refused() {
    let Some(rig) = Rig::new(1, 1500) else { return };
    let mut wire = Wire::attach(&rig.inline(FailMode::Open)).unwrap();
    let list: Vec<_> = (0..100_000_u32).map(|n| (Ipv4Addr::from_bits(0x0b00_0000 + n * 16), 28)).collect();
    wire.replace_block_list(&list, &[]).unwrap();
    rig.left.send(&ipv4(&[], [11, 0, 0, 31], [10, 0, 0, 1], 1, 64));
    rig.left.send(&ipv4(&[], [10, 0, 0, 3], [10, 0, 0, 1], 2, 64));
    assert_eq!(rig.right.receive_within(PATIENCE), Some(ipv4(&[], [10, 0, 0, 3], [10, 0, 0, 1], 2, 64)));
    let longer: Vec<_> = list.iter().copied().chain([(Ipv4Addr::new(9, 9, 9, 9), 32)]).collect();
    let err = wire.replace_block_list(&longer, &[]).unwrap_err();
    assert!(matches!(err, XskError::BlockListTooLong { prefixes: 100_001, prefixes_max: 100_000 }), "{err}");
    let err = wire.replace_block_list(&[(Ipv4Addr::LOCALHOST, 33)], &[]).unwrap_err();
    assert_eq!(err.to_string(), "a prefix of 33 bits was given where 32 is the longest");
    assert_eq!(wire.block_list_len(), (100_000, 0));
}

#[test]
fn a_second_start_takes_over_with_counters_block_list_and_bypass() {
    let Some(rig) = Rig::new(1, 1500) else { return };
    let config = rig.inline(FailMode::Open);
    {
        let mut wire = Wire::attach(&config).unwrap();
        assert!(
            wire.ports().iter().all(|port| (port.mode, port.origin) == (AttachMode::Native, Origin::Fresh))
        );
        wire.add_to_block_list(&[(Ipv4Addr::new(192, 0, 2, 0), 24)], &[(Ipv6Addr::LOCALHOST, 128)]).unwrap();
        wire.set_bypass(true).unwrap();
        rig.left.send(&plain(1));
        assert!(rig.right.receive_within(PATIENCE).is_some());
    }
    // Nobody holds it now, and it still works.
    rig.left.send(&plain(2));
    assert!(rig.right.receive_within(PATIENCE).is_some());
    let wire = Wire::attach(&config).unwrap();
    assert!(
        wire.ports().iter().all(|port| (port.mode, port.origin) == (AttachMode::Native, Origin::TakenOver))
    );
    assert_eq!(wire.block_list_len(), (1, 1));
    assert!(wire.bypass().unwrap());
    assert_eq!(wire.counters(0).unwrap().bypassed, 2);
    rig.left.send(&plain(3));
    assert_eq!(rig.right.receive_within(PATIENCE), Some(plain(3)));
    // One frame came out once: the classifier was replaced, not added.
    assert_eq!(rig.right.receive_within(SILENCE), None);
}

#[test]
fn replacing_the_program_under_traffic_loses_nothing() {
    let Some(rig) = Rig::new(1, 1500) else { return };
    let config = rig.inline(FailMode::Open);
    let _wire = Wire::attach(&config).unwrap();
    let frames: Vec<_> = (0..4000).map(plain).collect();
    let mut turns = 0;
    let received = exchange(&rig.left, &rig.right, &frames, || {
        turns += 1;
        if turns % 40 == 0 && turns <= 120 {
            let wire = Wire::attach(&config).unwrap();
            assert!(wire.ports().iter().all(|port| port.origin == Origin::TakenOver));
        }
    });
    assert_eq!(received.len(), frames.len());
    assert_eq!(received, frames);
}

#[test]
fn a_pin_whose_port_was_made_anew_is_replaced() {
    let Some(mut rig) = Rig::new(1, 1500) else { return };
    let config = rig.inline(FailMode::Open);
    drop(Wire::attach(&config).unwrap());
    run(&["ip", "link", "del", "p0"]).unwrap();
    make_pair("g0", "p0", 1, 1500).unwrap();
    rig.reopen_left();
    assert_eq!(wire::status(&rig.pin_root).unwrap()[0].ports[0], 0, "the pin's port is gone");
    let wire = Wire::attach(&config).unwrap();
    let origins: Vec<_> = wire.ports().iter().map(|port| port.origin).collect();
    assert_eq!(origins, [Origin::ReplacedStale, Origin::TakenOver]);
    rig.left.send(&plain(1));
    assert_eq!(rig.right.receive_within(PATIENCE), Some(plain(1)));
    rig.right.send(&plain(2));
    assert_eq!(rig.left.receive_within(PATIENCE), Some(plain(2)), "the other port learned the new index");
}

#[test]
fn a_port_that_another_wire_holds_is_refused() {
    let Some(rig) = Rig::new(1, 1500) else { return };
    let config = rig.inline(FailMode::Open);
    let _wire = Wire::attach(&config).unwrap();
    let other = WireConfig { name: "other".to_owned(), ..config };
    let err = Wire::attach(&other).unwrap_err();
    assert_eq!(
        err.to_string(),
        "p0: another XDP program is attached; remove it with `ip link set dev p0 xdp off`"
    );
}

#[test]
fn a_first_start_that_fails_leaves_nothing_behind() {
    let Some(rig) = Rig::new(1, 1500) else { return };
    let other =
        WireConfig { ports: vec!["p1".to_owned()], name: "other".to_owned(), ..rig.inline(FailMode::Closed) };
    let _other = Wire::attach(&other).unwrap();
    assert!(matches!(Wire::attach(&rig.inline(FailMode::Open)), Err(XskError::Taken { .. })));
    let names: Vec<_> = wire::status(&rig.pin_root).unwrap().into_iter().map(|wire| wire.name).collect();
    assert_eq!(names, ["other"]);
    // p0 was attached before p1 was refused; it is free again.
    let alone = WireConfig { ports: vec!["p0".to_owned()], ..rig.inline(FailMode::Closed) };
    assert_eq!(Wire::attach(&alone).unwrap().ports()[0].origin, Origin::Fresh);
}

#[test]
fn ports_named_in_the_other_order_are_taken_over() {
    let Some(rig) = Rig::new(1, 1500) else { return };
    let mut config = rig.inline(FailMode::Open);
    drop(Wire::attach(&config).unwrap());
    config.ports.reverse();
    let wire = Wire::attach(&config).unwrap();
    assert!(wire.ports().iter().all(|port| port.origin == Origin::TakenOver));
    assert_eq!((wire.ports()[0].interface.as_str(), wire.ports()[1].interface.as_str()), ("p1", "p0"));
    rig.left.send(&plain(1));
    assert_eq!(rig.right.receive_within(PATIENCE), Some(plain(1)));
    assert_eq!(rig.right.receive_within(SILENCE), None);
    assert_eq!(wire.counters(1).unwrap().passed_fail_open, 1);
}

#[test]
fn generic_mode_works_and_is_taken_over_as_generic() {
    let Some(rig) = Rig::new(1, 1500) else { return };
    let config = WireConfig { generic_only: true, ..rig.inline(FailMode::Closed) };
    drop(Wire::attach(&config).unwrap());
    let mut wire = Wire::attach(&WireConfig { generic_only: false, ..config }).unwrap();
    assert!(
        wire.ports().iter().all(|port| (port.mode, port.origin) == (AttachMode::Generic, Origin::TakenOver))
    );
    let mut worker = Forwarder::open(&mut wire, 0, FrameSize::Bytes4096);
    let frames: Vec<_> = (0..500).map(plain).collect();
    assert_eq!(exchange(&rig.left, &rig.right, &frames, || worker.turn()), frames);
    worker.stop(&mut wire);
}

#[test]
fn detach_leaves_nothing_behind() {
    let Some(rig) = Rig::new(1, 1500) else { return };
    let wire = Wire::attach(&rig.inline(FailMode::Open)).unwrap();
    let listed = wire::status(&rig.pin_root).unwrap();
    let expected = [netdev::ifindex("p0").unwrap(), netdev::ifindex("p1").unwrap()];
    assert_eq!((listed.len(), &listed[0].name[..], &listed[0].ports[..]), (1, "test", &expected[..]));
    drop(wire);
    assert_eq!(wire::detach(&rig.pin_root, "test").unwrap(), 4, "two XDP and two tcx links");
    assert_eq!(wire::status(&rig.pin_root).unwrap(), []);
    assert_eq!(wire::detach(&rig.pin_root, "test").unwrap(), 0);
    rig.left.send(&plain(1));
    assert_eq!(rig.right.receive_within(SILENCE), None);
    assert!(!rig.pin_root.exists());
}

#[test]
fn pins_of_another_layout_are_taken_over_and_removed() {
    let Some(rig) = Rig::new(1, 1500) else { return };
    let config = rig.inline(FailMode::Open);
    drop(Wire::attach(&config).unwrap());
    // What an older daemon would have left: the same links under another version.
    let old = rig.pin_root.join("v0/test");
    let new = rig.pin_root.join("v1/test");
    std::fs::create_dir_all(old.parent().unwrap()).unwrap();
    std::fs::create_dir(&old).unwrap();
    for link in ["link0", "link1", "tcx0", "tcx1"] {
        std::fs::rename(new.join(link), old.join(link)).unwrap();
    }
    let wire = Wire::attach(&config).unwrap();
    assert!(wire.ports().iter().all(|port| port.origin == Origin::TakenOver));
    assert!(!old.exists() && new.join("link0").exists() && new.join("tcx1").exists());
    rig.left.send(&plain(1));
    assert_eq!(rig.right.receive_within(PATIENCE), Some(plain(1)));
    assert_eq!(rig.right.receive_within(SILENCE), None);
}

#[test]
fn a_pin_root_outside_bpffs_is_mounted_or_refused() {
    let Some(rig) = Rig::new(1, 1500) else { return };
    let config = WireConfig { pin_root: Path::new("/proc/jarvis").to_owned(), ..rig.inline(FailMode::Open) };
    let err = Wire::attach(&config).unwrap_err().to_string();
    assert!(err.starts_with("/proc/jarvis is not a BPF file system and it could not be mounted"), "{err}");
}

/// Not a test by itself: what [`killed`] starts, a daemon's stand-in that holds the wire until it is killed.
#[test]
fn holder() {
    let Some(pin_root) = std::env::var_os("XSK_TEST_HOLDER") else { return };
    let mut config = WireConfig::new("test", &["p0", "p1"]);
    config.pin_root = pin_root.into();
    config.fail_mode =
        if std::env::var_os("XSK_TEST_OPEN").is_some() { FailMode::Open } else { FailMode::Closed };
    config.watchdog_ms = 5000;
    let mut wire = Wire::attach(&config).unwrap();
    let mut worker = Forwarder::open(&mut wire, 0, FrameSize::Bytes2048);
    loop {
        worker.turn();
    }
}

/// Starts a process that forwards, sees it forward, and kills it.
fn killed(rig: &Rig, fail_mode: FailMode) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "holder", "--nocapture"])
        .env("XSK_TEST_HOLDER", &rig.pin_root)
        .stdout(Stdio::null());
    if fail_mode == FailMode::Open {
        command.env("XSK_TEST_OPEN", "1");
    }
    let mut holder = command.spawn().unwrap();
    let give_up = Instant::now() + PATIENCE;
    loop {
        rig.left.send(&plain(1));
        let arrived = rig.right.receive_within(SILENCE).is_some();
        let through_it = arrived && wire_counters(rig).is_some_and(|redirected| redirected > 0);
        if through_it {
            break;
        }
        assert!(Instant::now() < give_up, "the holder never forwarded");
    }
    holder.kill().unwrap();
    holder.wait().unwrap();
    while rig.right.receive_within(SILENCE).is_some() {}
}

/// What a pinned wire's port 0 redirected, without touching it.
fn wire_counters(rig: &Rig) -> Option<u64> {
    wire::pinned_counters(&rig.pin_root, "test", 0).ok().map(|counted| counted.redirected)
}

#[test]
fn fail_closed_holds_after_a_kill_and_a_restart_takes_over() {
    let Some(rig) = Rig::new(1, 1500) else { return };
    killed(&rig, FailMode::Closed);
    rig.left.send(&plain(2));
    assert_eq!(rig.right.receive_within(SILENCE), None);
    let mut wire = Wire::attach(&rig.inline(FailMode::Closed)).unwrap();
    assert!(wire.ports().iter().all(|port| port.origin == Origin::TakenOver));
    let mut worker = Forwarder::open(&mut wire, 0, FrameSize::Bytes2048);
    let frames: Vec<_> = (10..200).map(plain).collect();
    assert_eq!(exchange(&rig.left, &rig.right, &frames, || worker.turn()), frames);
    worker.stop(&mut wire);
}

#[test]
fn fail_open_holds_after_a_kill_and_a_restart_takes_over() {
    let Some(rig) = Rig::new(1, 1500) else { return };
    killed(&rig, FailMode::Open);
    // The sockets are gone, so frames pass although the last heartbeat may still be fresh.
    let frames: Vec<_> = (10..100).map(plain).collect();
    assert_eq!(exchange(&rig.left, &rig.right, &frames, || {}), frames);
    let mut wire = Wire::attach(&rig.inline(FailMode::Open)).unwrap();
    let before = wire.counters(0).unwrap().redirected;
    let mut worker = Forwarder::open(&mut wire, 0, FrameSize::Bytes2048);
    let frames: Vec<_> = (200..400).map(plain).collect();
    assert_eq!(exchange(&rig.left, &rig.right, &frames, || worker.turn()), frames);
    assert_eq!(wire.counters(0).unwrap().redirected - before, 200);
    assert_eq!(worker.ports[0].statistics().unwrap().rx_dropped, 0);
    worker.stop(&mut wire);
}
