//! What does the wire do without its daemon: killed, hung, restarted, stopped, taken off?
//!
//! Needs root and AF_XDP; without root the tests say so and pass.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails says so by panicking")]

mod lab;

use lab::{Background, Host, Lab, eventually, said};

fn wire(fail_mode: &str, watchdog_ms: u32) -> String {
    format!("[wire]\nfail_mode = \"{fail_mode}\"\nwatchdog_ms = {watchdog_ms}\n")
}

/// A ping every 10 ms from now on.
fn stream(lab: &Lab) -> Background {
    lab.background(Host::Client, &["ping", "-n", "-i", "0.01", "-W", "1", "10.77.0.2"])
}

/// How many pings of a stream were sent, and how many were not answered.
fn loss(stream: Background) -> (u64, u64) {
    let text = stream.interrupt();
    let line =
        text.lines().find(|line| line.contains("packets transmitted")).unwrap_or_else(|| panic!("{text}"));
    let numbers: Vec<u64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    (numbers[0], numbers[0] - numbers[1])
}

#[test]
fn fail_open_keeps_ping_flowing_after_kill_9() {
    let Some(lab) = Lab::up(&[]) else { return };
    lab.config(&wire("open", 50));
    let daemon = lab.start();
    assert_eq!(lab.pings(), 3, "{}", lab.log());
    let stream = stream(&lab);
    assert_eq!(lab.pings(), 3);
    daemon.kill();
    for _ in 0..5 {
        assert_eq!(lab.pings(), 3, "without a daemon");
    }
    let (sent, lost) = loss(stream);
    assert!(sent > 20 && lost <= sent / 4, "{lost} of {sent} pings lost");
    let _daemon = lab.start();
    assert!(lab.outcome("passed_fail_open") > 0);
}

#[test]
fn fail_closed_stops_ping_after_kill_9() {
    let Some(lab) = Lab::up(&[]) else { return };
    lab.config(&wire("closed", 50));
    let daemon = lab.start();
    assert_eq!(lab.pings(), 3, "{}", lab.log());
    daemon.kill();
    assert_eq!(lab.pings(), 0);
    assert_eq!(lab.pings_of(Host::Server, "10.77.0.1"), 0);
    let _daemon = lab.start();
    assert_eq!(lab.pings(), 3, "{}", lab.log());
    assert!(lab.outcome("dropped_fail_closed") > 0);
}

#[test]
fn fail_open_keeps_ping_flowing_through_a_sigstop_longer_than_the_watchdog() {
    let Some(lab) = Lab::up(&[]) else { return };
    lab.config(&wire("open", 50));
    let daemon = lab.start();
    assert_eq!(lab.pings(), 3, "{}", lab.log());
    daemon.signal("-STOP");
    eventually("the kernel forwards", || lab.pings() == 3);
    assert_eq!(lab.pings(), 3);
    daemon.signal("-CONT");
    eventually("the daemon forwards again", || {
        let redirected = lab.outcome("redirected");
        lab.pings() == 3 && lab.outcome("redirected") >= redirected + 6
    });
    assert!(lab.outcome("heartbeat_stale") > 0);
}

#[test]
fn fail_closed_stops_ping_during_a_sigstop_longer_than_the_watchdog() {
    let Some(lab) = Lab::up(&[]) else { return };
    // Long enough that the pings below wait in the ring when the worker comes back.
    lab.config(&wire("closed", 700));
    let daemon = lab.start();
    assert_eq!(lab.pings(), 3, "{}", lab.log());
    let answered = server_echoes(&lab);
    daemon.signal("-STOP");
    // Within the watchdog they are redirected and wait, after it they are dropped.
    for _ in 0..2 {
        assert_eq!(lab.pings(), 0);
    }
    daemon.signal("-CONT");
    eventually("pings cross again", || lab.pings() == 3);
    let stale = lab.counted("stale_after_hang");
    assert!(stale > 0, "{}", lab.ctl(&["telemetry", "wire"]));
    let crossed = server_echoes(&lab) - answered;
    eventually("all that crossed was answered", || lab.pings() == 3);
    assert!(
        crossed >= 3 && crossed.is_multiple_of(3),
        "{crossed} echo requests reached the server: stale ones too"
    );
}

/// Echo requests that the server has answered.
fn server_echoes(lab: &Lab) -> u64 {
    let text = said(&lab.on(Host::Server, &["nstat", "-asz", "IcmpInEchos"]));
    let line = text.lines().find(|line| line.starts_with("IcmpInEchos")).unwrap_or_else(|| panic!("{text}"));
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn a_restart_takes_over(fail_mode: &str) {
    let Some(lab) = Lab::up(&[]) else { return };
    lab.config(&wire(fail_mode, 50));
    let daemon = lab.start();
    assert_eq!(lab.pings(), 3, "{}", lab.log());
    let changes = lab.carrier_changes();
    daemon.kill();
    let daemon = lab.start();
    assert!(lab.log().contains("taken over"), "{}", lab.log());
    assert_eq!(lab.pings(), 3, "{}", lab.log());
    daemon.stop();
    let _daemon = lab.start();
    assert_eq!(lab.pings(), 3, "{}", lab.log());
    assert_eq!(lab.carrier_changes(), changes, "the link went down");
}

#[test]
fn fail_open_restart_takes_over_without_the_link_going_down() {
    a_restart_takes_over("open");
}

#[test]
fn fail_closed_restart_takes_over_without_the_link_going_down() {
    a_restart_takes_over("closed");
}

#[test]
fn a_restart_swaps_the_program_under_traffic_and_fail_open_loses_nothing() {
    let Some(lab) = Lab::up(&[]) else { return };
    lab.config(&wire("open", 50));
    let daemon = lab.start();
    assert_eq!(lab.pings(), 3, "{}", lab.log());
    let before = lab.programs();
    assert_eq!(before.len(), 2);
    let stream = stream(&lab);
    assert_eq!(lab.pings(), 3);
    daemon.stop();
    let _daemon = lab.start();
    assert_eq!(lab.pings(), 3, "{}", lab.log());
    let (sent, lost) = loss(stream);
    assert!(sent > 20);
    assert_eq!(lost, 0, "of {sent} pings over an orderly restart");
    let after = lab.programs();
    assert_eq!(after.len(), 2);
    assert!(before.iter().all(|id| !after.contains(id)), "the programs are still {before:?}");
}

#[test]
fn an_orderly_stop_leaves_the_fail_mode() {
    for (fail_mode, pings) in [("open", 3), ("closed", 0)] {
        let Some(lab) = Lab::up(&[]) else { return };
        lab.config(&wire(fail_mode, 50));
        let daemon = lab.start();
        assert_eq!(lab.pings(), 3, "{}", lab.log());
        daemon.stop();
        assert_eq!(lab.programs().len(), 2, "an orderly stop leaves the wire");
        assert_eq!(lab.pings(), pings, "{fail_mode}");
        assert!(!lab.log().contains("lost track"), "{}", lab.log());
    }
}

#[test]
fn a_restart_with_the_other_fail_mode_changes_it() {
    let Some(lab) = Lab::up(&[]) else { return };
    lab.config(&wire("open", 50));
    lab.start().kill();
    assert_eq!(lab.pings(), 3);
    lab.config(&wire("closed", 50));
    lab.start().kill();
    assert_eq!(lab.pings(), 0);
}

#[test]
fn detach_leaves_nothing() {
    let Some(lab) = Lab::up(&[]) else { return };
    lab.config(&wire("open", 50));
    lab.start().stop();
    assert_eq!(lab.pings(), 3);
    let pins = |name: &str| {
        let found = lab::sh("find", &["/sys/fs/bpf", "-name", &format!("*{name}*")]);
        said(&found)
    };
    assert!(!pins(&lab.name).is_empty());
    let output = lab.jarvis(&["detach", "--config", "jarvis.toml"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(pins(&lab.name), "");
    assert!(lab.programs().is_empty());
    assert_eq!(lab.pings(), 0, "nothing forwards any more");
    for port in [lab.inside(), lab.outside()] {
        let link = said(&lab::sh("ip", &["-details", "link", "show", &port]));
        assert!(link.contains("promiscuity 0"), "{link}");
    }
    let again = lab.jarvis(&["detach", "--config", "jarvis.toml"]);
    assert!(again.status.success() && said(&again).contains("no wire"), "{again:?}");
}
