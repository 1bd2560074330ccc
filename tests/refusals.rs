//! Does a daemon that cannot start say why in one clear sentence, and leave nothing behind?
//!
//! Needs root and AF_XDP; without root the tests say so and pass.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails says so by panicking")]

mod lab;

use lab::{Lab, said, sh};
use std::process::{Command, Output};

/// One sentence with `words`, exit code 1, no program, no pin, no promiscuous port.
fn refused(lab: &Lab, output: &Output, words: &str) {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    let lines: Vec<&str> =
        text.lines().filter(|line| !line.contains(" WARN ") && !line.contains(" INFO ")).collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains(words), "{lines:?} lacks \"{words}\"");
    assert!(output.stdout.is_empty());
    assert!(lab.programs().is_empty(), "a program was left after: {words}");
    let pins = said(&sh("find", &["/sys/fs/bpf", "-name", &format!("*{}*", lab.name)]));
    assert_eq!(pins, "", "pins were left after: {words}");
    for port in [lab.inside(), lab.outside()] {
        let link = said(&sh("ip", &["-details", "link", "show", &port]));
        assert!(link.contains("promiscuity 0"), "after: {words}\n{link}");
    }
}

fn run(lab: &Lab) -> Output {
    lab.jarvis(&["run", "--config", "jarvis.toml"])
}

/// Runs under a program that takes rights away.
fn run_under(lab: &Lab, wrapper: &[&str]) -> Output {
    let words = [wrapper, &[env!("CARGO_BIN_EXE_jarvis"), "run", "--config", "jarvis.toml"]].concat();
    Command::new(words[0]).args(&words[1..]).current_dir(lab.path(".")).output().unwrap()
}

#[test]
fn a_missing_interface() {
    let Some(lab) = Lab::up(&[]) else { return };
    lab.config("");
    sh("ip", &["link", "del", &lab.outside()]);
    let output = run(&lab);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains(&format!("there is no interface {}", lab.outside())), "{}", said(&output));
    let link = said(&sh("ip", &["-details", "link", "show", &lab.inside()]));
    assert!(!link.contains("xdp") && link.contains("promiscuity 0"), "{link}");
}

#[test]
fn an_interface_that_is_down() {
    let Some(lab) = Lab::up(&[]) else { return };
    lab.config("");
    sh("ip", &["link", "set", &lab.inside(), "down"]);
    refused(&lab, &run(&lab), &format!("{} is down", lab.inside()));
}

#[test]
fn the_same_interface_twice() {
    let Some(lab) = Lab::up(&[]) else { return };
    lab.config("");
    let inside = lab.inside();
    let words = ["run", "--config", "jarvis.toml", "--inside", &inside, "--outside", &inside];
    refused(&lab, &lab.jarvis(&words), &format!("both ports are {inside}"));
}

#[test]
fn unequal_mtus() {
    let Some(lab) = Lab::up(&[]) else { return };
    lab.config("");
    sh("ip", &["link", "set", &lab.inside(), "mtu", "1400"]);
    refused(&lab, &run(&lab), "equal ones");
}

#[test]
fn a_wrong_number_of_queues() {
    let Some(lab) = Lab::up(&["--queues", "2"]) else { return };
    lab.config("");
    let output = run(&lab);
    assert_eq!(output.status.code(), Some(1));
    let text = said(&output);
    for port in [lab.inside(), lab.outside()] {
        assert!(text.contains(&format!("{port} has 2 receive queue(s) for 1 worker(s)")), "{text}");
    }
    assert!(lab.programs().is_empty());
}

#[test]
fn a_second_daemon_with_the_same_wire_and_with_another() {
    let Some(lab) = Lab::up(&[]) else { return };
    lab.config("");
    let daemon = lab.start();
    let second = run(&lab);
    assert_eq!(second.status.code(), Some(1));
    assert!(said(&second).contains("another daemon serves already"), "{}", said(&second));
    let other = format!("{}y", lab.name);
    let third = lab.jarvis(&["run", "--config", "jarvis.toml", "--name", &other, "--socket", "other.sock"]);
    assert_eq!(third.status.code(), Some(1), "{}", said(&third));
    assert!(said(&third).contains(&lab.inside()), "{}", said(&third));
    let pins = said(&sh("find", &["/sys/fs/bpf", "-name", &format!("*{other}*")]));
    assert_eq!(pins, "");
    assert_eq!(lab.pings(), 3, "the first goes on\n{}", lab.log());
    drop(daemon);
}

#[test]
fn an_ordinary_user_and_a_process_without_a_capability() {
    let Some(lab) = Lab::up(&[]) else { return };
    // The lab's directory and the program are the user's to read.
    let home = tempfile::Builder::new().prefix("jarvis-user").tempdir_in("/tmp").unwrap();
    sh("chmod", &["777", home.path().to_str().unwrap()]);
    let program = home.path().join("jarvis");
    std::fs::copy(env!("CARGO_BIN_EXE_jarvis"), &program).unwrap();
    // Packet memory that anyone may lock.
    lab.config("[worker]\nring_entries = 64\nframes = 512\n");
    std::fs::copy(lab.path("jarvis.toml"), home.path().join("jarvis.toml")).unwrap();
    let output = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(&program)
        .args(["run", "--config", "jarvis.toml"])
        .current_dir(home.path())
        .output()
        .unwrap();
    refused(&lab, &output, "missing: run as root");
    let output = run_under(&lab, &["setpriv", "--bounding-set=-bpf,-sys_admin", "--inh-caps=-all"]);
    refused(&lab, &output, "CAP_BPF missing");
}

#[test]
fn a_socket_where_nothing_can_be_written() {
    let Some(lab) = Lab::up(&[]) else { return };
    lab.config("");
    lab.write("file", "");
    let output = lab.jarvis(&["run", "--config", "jarvis.toml", "--socket", "file/ctl.sock"]);
    refused(&lab, &output, "file");
    // Read-only for everyone, root included.
    let output = lab.jarvis(&["run", "--config", "jarvis.toml", "--socket", "/proc/ctl.sock"]);
    refused(&lab, &output, "/proc/ctl.sock");
}

#[test]
fn an_event_file_that_cannot_be_opened() {
    let Some(lab) = Lab::up(&[]) else { return };
    lab.config("");
    let output = lab.jarvis(&["run", "--config", "jarvis.toml", "--eve", "/proc/nothing/eve.json"]);
    refused(&lab, &output, "/proc/nothing");
}

#[test]
fn an_address_that_is_taken() {
    let Some(lab) = Lab::up(&[]) else { return };
    lab.config("");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = lab.jarvis(&["run", "--config", "jarvis.toml", "--listen", &address]);
    refused(&lab, &output, &format!("cannot listen on {address}"));
}

#[test]
fn a_policy_with_errors_and_one_without_a_default() {
    let Some(lab) = Lab::up(&[]) else { return };
    lab.policy("", r#"{"policy_id": "p", "action": "alow"}"#);
    refused(&lab, &run(&lab), "policy.json:2:");
    lab.write("policy.json", r#"{"policies": []}"#);
    refused(&lab, &run(&lab), "default_action");
}
