//! Does the built program keep its word on real interfaces? A veth lab, real ping and curl, kills and restarts.
//!
//! Needs root and AF_XDP; without root the tests say so and pass. They run one at a time: each needs both cores.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails says so by panicking")]
#![allow(clippy::print_stderr, reason = "a skipped test says why")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn sh(program: &str, words: &[&str]) -> Output {
    Command::new(program).args(words).output().unwrap_or_else(|error| panic!("{program}: {error}"))
}

/// A client host and a server host, the appliance's two ports between them, and a directory for its files.
struct Lab {
    name: String,
    directory: tempfile::TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl Lab {
    /// `None` where there is no root.
    fn up(tag: &str) -> Option<Self> {
        Self::with(tag, &[])
    }

    fn with(tag: &str, words: &[&str]) -> Option<Self> {
        let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        if sh("id", &["-u"]).stdout != b"0\n" {
            eprintln!("skipped: needs root (network namespaces, AF_XDP)");
            return None;
        }
        // Interface names hold 15 bytes: this one, "-out", and room.
        let name = format!("p{}{tag}", std::process::id() % 10_000);
        let lab = Self { name, directory: tempfile::tempdir().unwrap(), _turn: turn };
        let output = sh(
            concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/lab"),
            &[&["up", "--name", &lab.name], words].concat(),
        );
        assert!(output.status.success(), "{output:?}");
        Some(lab)
    }

    fn inside(&self) -> String {
        format!("{}-in", self.name)
    }

    fn outside(&self) -> String {
        format!("{}-out", self.name)
    }

    fn path(&self, file: &str) -> PathBuf {
        self.directory.path().join(file)
    }

    /// Writes a configuration with `more` at its end; its path.
    fn config(&self, more: &str) -> PathBuf {
        let path = self.path("jarvis.toml");
        let text = format!(
            "name = \"{}\"\n[[port]]\ninterface = \"{}\"\n[[port]]\ninterface = \"{}\"\n\
             [api]\nlisten = \"127.0.0.1:0\"\nsocket = \"ctl.sock\"\n[eve]\nfile = \"eve.json\"\n\
             [state]\ndirectory = \"state\"\n{more}",
            self.name,
            self.inside(),
            self.outside()
        );
        std::fs::write(&path, text).unwrap();
        path
    }

    fn client(&self, words: &[&str]) -> Output {
        let namespace = format!("{}-c", self.name);
        sh("ip", &[&["netns", "exec", &namespace], words].concat())
    }

    /// How many of three pings come back.
    fn pings(&self) -> usize {
        let output = self.client(&["ping", "-c", "3", "-i", "0.05", "-W", "1", "10.77.0.2"]);
        String::from_utf8_lossy(&output.stdout).lines().filter(|line| line.contains("bytes from")).count()
    }

    fn carrier_changes(&self) -> u64 {
        let read = |port: String| {
            let path = format!("/sys/class/net/{port}/carrier_changes");
            std::fs::read_to_string(path).unwrap().trim().parse::<u64>().unwrap()
        };
        read(self.inside()) + read(self.outside())
    }

    fn is_attached(&self) -> bool {
        let output = sh("ip", &["-details", "link", "show", &self.inside()]);
        String::from_utf8_lossy(&output.stdout).contains("xdp")
    }

    /// Runs `jarvis` to its end.
    fn jarvis(&self, words: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_jarvis"))
            .args(words)
            .current_dir(self.directory.path())
            .output()
            .unwrap()
    }

    fn ctl(&self, words: &[&str]) -> serde_json::Value {
        let output = self.jarvis(&[&["ctl", "--json", "--socket", "ctl.sock"], words].concat());
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Starts the daemon and waits until it serves.
    fn start(&self, config: &Path) -> Daemon {
        self.start_under(config, &[])
    }

    /// The same with more in its environment.
    fn start_under(&self, config: &Path, environment: &[(&str, &str)]) -> Daemon {
        let log = std::fs::File::create(self.path("log")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_jarvis"))
            .args(["run", "--config"])
            .arg(config)
            .current_dir(self.directory.path())
            .envs(environment.iter().copied())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let daemon = Daemon { child };
        self.wait_for("the wire is served");
        daemon
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    fn wait_for(&self, words: &str) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !self.log().contains(words) {
            assert!(Instant::now() < deadline, "no \"{words}\" in:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.jarvis(&["detach", "--name", &self.name]);
        sh(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/lab"), &["down", "--name", &self.name]);
    }
}

struct Daemon {
    child: Child,
}

impl Daemon {
    fn signal(&self, signal: &str) {
        assert!(sh("kill", &[signal, &self.child.id().to_string()]).status.success());
    }

    fn wait(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    fn kill(self) {
        self.signal("-KILL");
        self.wait();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const DENY_8080: &str = r#"{"default_action": "allow", "policies": [
    {"policy_id": "p", "conditions": {"protocol": "tcp", "dst_port": "8080"}, "action": "reject"}]}"#;

/// How curl ends on a port where nobody listens, or where the appliance refuses: 7, at once; 28 when dropped.
fn curl(lab: &Lab, port: u16) -> Option<i32> {
    let url = format!("http://10.77.0.2:{port}/");
    lab.client(&["curl", "--silent", "--max-time", "1", "--output", "/dev/null", &url]).status.code()
}

#[test]
fn ping_crosses_policy_reloads_and_the_stop_is_orderly() {
    let Some(lab) = Lab::up("a") else { return };
    std::fs::write(lab.path("p.json"), DENY_8080).unwrap();
    let config = lab.config("[policy]\nfile = \"p.json\"\n");
    let daemon = lab.start(&config);
    assert_eq!(lab.pings(), 3, "{}", lab.log());
    assert_eq!(curl(&lab, 8080), Some(7));
    let reasons = lab.ctl(&["telemetry", "reasons"]);
    let counted = reasons["reasons"].as_array().unwrap().iter().find(|row| row["reason"] == "policy_reject");
    assert_eq!(counted.unwrap()["count"], 1, "{reasons}");

    // A changed policy comes in force, a broken one does not.
    std::fs::write(lab.path("p.json"), DENY_8080.replace("reject", "drop")).unwrap();
    daemon.signal("-HUP");
    lab.wait_for("put in force");
    assert_eq!(curl(&lab, 8080), Some(28), "dropped now, so the client hears nothing");
    std::fs::write(lab.path("p.json"), "{\"default_action\": \"perhaps\"}").unwrap();
    daemon.signal("-HUP");
    lab.wait_for("the ones before stay in force");
    assert_eq!(curl(&lab, 8080), Some(28));
    assert_eq!(lab.pings(), 3);

    daemon.signal("-TERM");
    assert_eq!(daemon.wait(), Some(0), "{}", lab.log());
    assert!(!lab.log().contains("lost track"), "{}", lab.log());
    assert!(lab.is_attached(), "an orderly stop leaves the wire");
    assert_eq!(lab.pings(), 0, "and its fail mode, closed");
    let events = std::fs::read_to_string(lab.path("eve.json")).unwrap();
    assert!(events.contains("\"policy_id\":\"p\""), "{events}");
    assert!(events.lines().last().unwrap().contains("\"event_type\":\"stats\""));

    assert!(lab.jarvis(&["detach", "--name", &lab.name]).status.success());
    assert!(!lab.is_attached());
}

fn after_kill_and_hang(fail_mode: &str, tag: &str, passes: usize) {
    let Some(lab) = Lab::up(tag) else { return };
    let config = lab.config(&format!("[wire]\nfail_mode = \"{fail_mode}\"\nwatchdog_ms = 50\n"));
    let daemon = lab.start(&config);
    assert_eq!(lab.pings(), 3, "{}", lab.log());

    daemon.signal("-STOP");
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(lab.pings(), passes, "hung longer than the watchdog");
    daemon.signal("-CONT");
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(lab.pings(), 3, "back after the hang");

    let changes = lab.carrier_changes();
    daemon.kill();
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(lab.pings(), passes, "killed");
    let daemon = lab.start(&config);
    assert!(lab.log().contains("taken over"), "{}", lab.log());
    assert_eq!(lab.pings(), 3, "a restart takes over");
    assert_eq!(lab.carrier_changes(), changes, "and the link never went down");
    drop(daemon);
}

#[test]
fn fail_open_kill_and_hang_keep_ping_flowing() {
    after_kill_and_hang("open", "o", 3);
}

#[test]
fn fail_closed_kill_and_hang_stop_ping() {
    after_kill_and_hang("closed", "c", 0);
}

#[test]
fn threads_stay_off_the_workers_core_and_hold_no_capabilities() {
    let Some(lab) = Lab::up("t") else { return };
    let config = lab.config("[wire]\nlink_propagation = false\n");
    let daemon = lab.start(&config);
    let status = |task: &Path, key: &str| {
        let text = std::fs::read_to_string(task.join("status")).unwrap();
        let line = text.lines().find(|line| line.starts_with(key)).unwrap().to_owned();
        line.split_whitespace().nth(1).unwrap().to_owned()
    };
    let tasks: Vec<PathBuf> = std::fs::read_dir(format!("/proc/{}/task", daemon.child.id()))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    let mut workers = Vec::new();
    let mut others = Vec::new();
    for task in &tasks {
        let name = std::fs::read_to_string(task.join("comm")).unwrap();
        assert_eq!(status(task, "CapEff:"), "0000000000000000", "{name}");
        let cores = status(task, "Cpus_allowed_list:");
        if name.starts_with("jarvis-w") { workers.push(cores) } else { others.push(cores) }
    }
    assert_eq!(workers.len(), 1);
    assert!(others.len() >= 3, "{others:?}");
    if std::thread::available_parallelism().unwrap().get() > 1 {
        assert!(others.iter().all(|cores| *cores != workers[0]), "{workers:?} {others:?}");
    }
}

#[test]
fn link_loss_is_passed_on_and_given_back() {
    let Some(lab) = Lab::up("l") else { return };
    let config = lab.config("");
    let daemon = lab.start(&config);
    let server = format!("{}-s", lab.name);
    let has_carrier = |name: &str| {
        let output = lab.client(&["cat", &format!("/sys/class/net/{name}/carrier")]);
        output.stdout == b"1\n"
    };
    assert!(has_carrier("eth0"));
    sh("ip", &["-n", &server, "link", "set", "eth0", "down"]);
    lab.wait_for("link lost");
    std::thread::sleep(Duration::from_millis(100));
    assert!(!has_carrier("eth0"), "the client's link went with the server's");
    sh("ip", &["-n", &server, "link", "set", "eth0", "up"]);
    lab.wait_for("link is back");
    std::thread::sleep(Duration::from_millis(200));
    assert!(has_carrier("eth0"));
    assert_eq!(lab.pings(), 3, "{}", lab.log());
    daemon.signal("-TERM");
    assert_eq!(daemon.wait(), Some(0));
    let events = std::fs::read_to_string(lab.path("eve.json")).unwrap();
    for (port, up) in [(lab.outside(), "false"), (lab.outside(), "true"), (lab.inside(), "true")] {
        let told = events.lines().any(|line| {
            line.contains(&format!("\"in_iface\":\"{port}\",\"event_type\":\"engine\""))
                && line.contains(&format!("\"change\":\"link\",\"up\":{up}"))
        });
        assert!(told, "{port} {up}: {events}");
    }
}

#[test]
fn every_refusal_is_one_sentence_and_leaves_nothing_behind() {
    let Some(lab) = Lab::up("r") else { return };
    let (inside, outside) = (lab.inside(), lab.outside());
    let config = lab.config("");
    let named = |inside: &str, outside: &str| {
        lab.jarvis(&["run", "--config", "jarvis.toml", "--inside", inside, "--outside", outside])
    };
    let refused = |output: &Output, words: &str| {
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let said: Vec<String> = String::from_utf8_lossy(&output.stderr)
            .lines()
            .filter(|line| !line.contains("WARN") && !line.contains("INFO"))
            .map(str::to_owned)
            .collect();
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].contains(words), "{said:?} lacks \"{words}\"");
        assert!(!lab.is_attached(), "something was left behind after: {words}");
    };
    refused(&named("nosuch0", &outside), "there is no interface nosuch0");
    refused(&named(&inside, &inside), &format!("both ports are {inside}"));

    sh("ip", &["link", "set", &inside, "down"]);
    refused(&named(&inside, &outside), &format!("{inside} is down"));
    sh("ip", &["link", "set", &inside, "up"]);

    sh("ip", &["link", "set", &inside, "mtu", "1400"]);
    refused(&named(&inside, &outside), "MTU 1400");
    sh("ip", &["link", "set", &inside, "mtu", "1500"]);

    lab.config("[worker]\ncores = [4000]\n");
    refused(&named(&inside, &outside), "worker.cores names core 4000");
    lab.config("");

    let route = String::from_utf8_lossy(&sh("ip", &["route", "show", "default"]).stdout).into_owned();
    if let Some(management) = route.split(" dev ").nth(1).and_then(|rest| rest.split(' ').next()) {
        let output = named(management, &outside);
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&output.stderr).contains("holds the default route"), "{output:?}");
    }

    let run = |wrapper: &[&str]| {
        let words = [wrapper, &[env!("CARGO_BIN_EXE_jarvis"), "run", "--config", "jarvis.toml"]].concat();
        Command::new(words[0]).args(&words[1..]).current_dir(lab.directory.path()).output().unwrap()
    };
    refused(&run(&["setpriv", "--bounding-set=-bpf,-sys_admin", "--inh-caps=-all"]), "CAP_BPF missing");
    refused(
        &run(&["prlimit", "--memlock=65536", "setpriv", "--bounding-set=-ipc_lock", "--inh-caps=-all"]),
        "locked memory, the limit is 64 KiB",
    );

    // A taken API address is found after the wire was attached: it goes again.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let text = std::fs::read_to_string(&config).unwrap().replace("127.0.0.1:0", &address);
    std::fs::write(&config, text).unwrap();
    refused(&named(&inside, &outside), &format!("cannot listen on {address}"));
    lab.config("");

    // A second daemon is refused and the first goes on.
    let daemon = lab.start(&config);
    let second = named(&inside, &outside);
    assert_eq!(second.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&second.stderr).contains("another daemon serves already"), "{second:?}");
    // Also under another name and socket: the queue, or the port, is taken.
    let text = std::fs::read_to_string(&config).unwrap();
    let other = text.replace("ctl.sock", "other.sock").replace("name = \"", "name = \"x");
    std::fs::write(lab.path("other.toml"), other).unwrap();
    let third = lab.jarvis(&["run", "--config", "other.toml"]);
    assert_eq!(third.status.code(), Some(1), "{third:?}");
    assert_eq!(lab.pings(), 3, "the first daemon is not concerned:\n{third:?}\n{}", lab.log());
    drop(daemon);
}

#[test]
fn two_workers_share_the_load_and_a_wrong_queue_count_is_refused() {
    let Some(lab) = Lab::with("q", &["--queues", "2"]) else { return };
    let config = lab.config("");
    let output = lab.jarvis(&["run", "--config", "jarvis.toml"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("has 2 receive queue(s) for 1 worker(s): set worker.count = 2"), "{said}");
    lab.config("[worker]\ncount = 2\nring_entries = 1024\n");
    let daemon = lab.start(&config);
    assert_eq!(lab.pings(), 3, "{}", lab.log());
    drop(daemon);
}

#[test]
fn the_box_answers_at_its_service_address_on_both_sides() {
    let Some(lab) = Lab::up("s") else { return };
    let tap = format!("{}-j", lab.name);
    let config = lab.config(&format!("[inline.service]\ninterface = \"{tap}\"\nipv4 = \"10.77.0.3/24\"\n"));
    let daemon = lab.start(&config);
    let server = format!("{}-s", lab.name);
    for namespace in [format!("{}-c", lab.name), server] {
        let output =
            sh("ip", &["netns", "exec", &namespace, "ping", "-c", "2", "-i", "0.1", "-W", "1", "10.77.0.3"]);
        assert!(output.status.success(), "{namespace}: {output:?}\n{}", lab.log());
    }
    assert_eq!(lab.pings(), 3, "what is not for the box still crosses");
    drop(daemon);
}

#[test]
fn a_tap_sees_flows_and_forwards_nothing() {
    let Some(lab) = Lab::up("m") else { return };
    lab.config("");
    let path = lab.path("tap.toml");
    let text = format!(
        "mode = \"tap\"\nname = \"{}\"\n[[port]]\ninterface = \"{}\"\n[api]\nlisten = \"127.0.0.1:0\"\n\
         socket = \"ctl.sock\"\n[state]\ndirectory = \"state\"\n",
        lab.name,
        lab.inside()
    );
    std::fs::write(&path, text).unwrap();
    let daemon = lab.start(&path);
    assert_eq!(lab.pings(), 0);
    let status = lab.ctl(&["status"]);
    assert!(status["frames"]["received"].as_u64().unwrap() > 0, "{status}");
    assert_eq!(status["frames"]["dropped"], 0, "{status}");
    drop(daemon);
}

#[test]
fn the_supervisor_hears_ready_is_fed_and_hears_of_the_stop() {
    let Some(lab) = Lab::up("n") else { return };
    let config = lab.config("");
    let socket = std::os::unix::net::UnixDatagram::bind(lab.path("notify")).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let path = lab.path("notify");
    let environment = [("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "400000")];
    let daemon = lab.start_under(&config, &environment);
    let hear = |words: &str| {
        let mut buffer = [0; 512];
        loop {
            let len = socket.recv(&mut buffer).unwrap_or_else(|error| panic!("no {words}: {error}"));
            if String::from_utf8_lossy(&buffer[..len]).contains(words) {
                return;
            }
        }
    };
    hear("READY=1");
    hear("WATCHDOG=1");
    hear("WATCHDOG=1");
    daemon.signal("-HUP");
    hear("RELOADING=1");
    hear("READY=1");
    daemon.signal("-TERM");
    hear("STOPPING=1");
    assert_eq!(daemon.wait(), Some(0));
}

#[test]
fn every_way_to_wait_forwards() {
    let Some(lab) = Lab::up("b") else { return };
    for wait in ["busy_poll", "interrupt"] {
        let config = lab.config(&format!("[worker]\nwait = \"{wait}\"\n"));
        let daemon = lab.start(&config);
        assert_eq!(lab.pings(), 3, "{wait}: {}", lab.log());
        daemon.signal("-TERM");
        assert_eq!(daemon.wait(), Some(0));
    }
}

#[test]
fn attach_alone_holds_the_fail_mode() {
    let Some(lab) = Lab::up("w") else { return };
    let config = lab.config("[wire]\nfail_mode = \"open\"\n");
    assert_eq!(lab.pings(), 0, "no wire yet");
    let output = lab.jarvis(&["attach", "--config", "jarvis.toml"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(lab.pings(), 3, "forwarded in the kernel");
    let daemon = lab.start(&config);
    assert_eq!(lab.pings(), 3);
    drop(daemon);
}
