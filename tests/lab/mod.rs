//! What does a test of the whole daemon need? Two hosts, the appliance's two ports between them, the built program.
//!
//! Every lab has its own name, so that labs of other processes on the machine are not concerned; within one test
//! binary they take turns, since each needs all cores. What a lab made goes when it is dropped, also after a panic.
//! Waiting is for a condition, never for a time.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

pub mod service;

use serde_json::Value;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
static COUNT: AtomicU32 = AtomicU32::new(0);
/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
const LAB: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/lab");

/// Runs a program to its end.
pub fn sh(program: &str, words: &[&str]) -> Output {
    Command::new(program)
        .args(words)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"))
}

/// Both outputs of a program, as text.
pub fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Waits until `condition` holds; a panic that names `what` if it does not for long.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A port of 127.0.0.1 that nobody uses.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A program for Python: a server at UDP port 5353 that answers each datagram with itself.
pub const UDP_ECHO: &str = "
import socket
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.bind(('::', 5353))
while True:
    data, peer = s.recvfrom(2000)
    s.sendto(data, peer)
";

/// What these tests need and this machine does not give.
fn missing() -> Option<&'static str> {
    if sh("id", &["-u"]).stdout != b"0\n" {
        return Some("there is no root");
    }
    let protocols = std::fs::read_to_string("/proc/net/protocols").unwrap_or_default();
    if !protocols.lines().any(|line| line.starts_with("XDP ")) {
        return Some("the kernel has no AF_XDP");
    }
    if !sh("unshare", &["--net", "true"]).status.success() {
        return Some("network namespaces cannot be made");
    }
    None
}

/// A client host, a server host, the appliance's ports between them, and a directory for its files.
pub struct Lab {
    pub name: String,
    directory: tempfile::TempDir,
    _turn: MutexGuard<'static, ()>,
}

/// Which host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Host {
    /// Inside, 10.77.0.1 and fd77::1.
    Client,
    /// Outside, 10.77.0.2 and fd77::2.
    Server,
}

impl Lab {
    /// Makes a lab with more words for `scripts/lab`. `None` where the machine cannot do it; then the test has
    /// nothing to say, unless `JARVIS_NETNS=require`.
    pub fn up(words: &[&str]) -> Option<Self> {
        let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(missing) = missing() {
            assert!(
                std::env::var_os("JARVIS_NETNS").is_none_or(|value| value != "require"),
                "JARVIS_NETNS=require, but {missing}"
            );
            eprintln!("skipped: {missing}");
            return None;
        }
        // Interface names hold 15 bytes: this one, "-out", and room.
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("nt{}x{count}", std::process::id() % 100_000);
        let lab = Self { name, directory: tempfile::tempdir().unwrap(), _turn: turn };
        let output = sh(LAB, &[&["up", "--name", &lab.name], words].concat());
        assert!(output.status.success(), "{output:?}");
        Some(lab)
    }

    pub fn inside(&self) -> String {
        format!("{}-in", self.name)
    }

    pub fn outside(&self) -> String {
        format!("{}-out", self.name)
    }

    pub fn path(&self, file: &str) -> PathBuf {
        self.directory.path().join(file)
    }

    pub fn write(&self, file: &str, text: impl AsRef<[u8]>) {
        std::fs::write(self.path(file), text).unwrap();
    }

    /// Writes `jarvis.toml`: both ports, files in the lab's directory, then `more`.
    pub fn config(&self, more: &str) {
        self.config_with("listen = \"127.0.0.1:0\"", more);
    }

    /// The same with the API on a port of its own, which it returns.
    pub fn config_with_api(&self, more: &str) -> u16 {
        let port = free_port();
        self.config_with(&format!("listen = \"127.0.0.1:{port}\""), more);
        port
    }

    /// The same with the API at this address.
    pub fn config_listening(&self, address: &str, more: &str) {
        self.config_with(&format!("listen = \"{address}\""), more);
    }

    fn config_with(&self, listen: &str, more: &str) {
        let text = format!(
            "name = \"{}\"\n[[port]]\ninterface = \"{}\"\nzone = \"inside\"\n[[port]]\ninterface = \"{}\"\n\
             zone = \"outside\"\n[api]\n{listen}\nsocket = \"ctl.sock\"\n[eve]\nfile = \"eve.json\"\n\
             [state]\ndirectory = \"state\"\n{more}",
            self.name,
            self.inside(),
            self.outside()
        );
        self.write("jarvis.toml", text);
    }

    /// Writes the configuration and a policy file that it names; `policies` is the list's inside.
    pub fn policy(&self, more: &str, policies: &str) {
        self.config(&format!("{more}\n[policy]\nfile = \"policy.json\"\n"));
        self.write_policy(policies);
    }

    pub fn write_policy(&self, policies: &str) {
        self.write(
            "policy.json",
            format!("{{\"default_action\": \"allow\", \"policies\": [\n{policies}\n]}}"),
        );
    }

    /// Runs a command on a host to its end.
    pub fn on(&self, host: Host, words: &[&str]) -> Output {
        sh("ip", &[&["netns", "exec", &self.namespace(host)], words].concat())
    }

    pub fn client(&self, words: &[&str]) -> Output {
        self.on(Host::Client, words)
    }

    pub fn namespace(&self, host: Host) -> String {
        format!("{}-{}", self.name, if host == Host::Client { "c" } else { "s" })
    }

    /// Starts a command on a host; it is killed when the result is dropped.
    pub fn background(&self, host: Host, words: &[&str]) -> Background {
        let child = Command::new("ip")
            .args(["netns", "exec", &self.namespace(host)])
            .args(words)
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Background { child }
    }

    /// Starts tcpdump on a host; it captures when this returns.
    pub fn tcpdump(&self, host: Host, words: &[&str]) -> Background {
        let said = self.path("tcpdump");
        let child = Command::new("ip")
            .args(["netns", "exec", &self.namespace(host), "timeout", "20", "tcpdump", "-n", "-Z", "root"])
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&said).unwrap())
            .spawn()
            .unwrap();
        eventually("tcpdump listens", || std::fs::read_to_string(&said).unwrap().contains("listening on"));
        Background { child }
    }

    /// Serves the lab's directory `www` over HTTP on the server, on IPv4 and IPv6.
    pub fn serve_http(&self, port: u16) -> Background {
        std::fs::create_dir_all(self.path("www")).unwrap();
        self.write("www/word", "served\n");
        let directory = self.path("www");
        let words = [
            "python3",
            "-m",
            "http.server",
            &port.to_string(),
            "--bind",
            "::",
            "--directory",
            directory.to_str().unwrap(),
        ];
        let server = self.background(Host::Server, &words);
        self.wait_for_socket(Host::Server, port);
        server
    }

    pub fn serve_iperf3(&self) -> Background {
        let server = self.background(Host::Server, &["iperf3", "-s"]);
        self.wait_for_socket(Host::Server, 5201);
        server
    }

    /// Runs a Python program on a host in the background; it listens on `port`.
    pub fn serve_python(&self, host: Host, program: &str, port: u16) -> Background {
        let server = self.background(host, &["python3", "-c", program]);
        self.wait_for_socket(host, port);
        server
    }

    fn wait_for_socket(&self, host: Host, port: u16) {
        let filter = format!("sport = :{port}");
        eventually(&format!("somebody listens on {port}"), || {
            !self.on(host, &["ss", "-Hlntu", &filter]).stdout.is_empty()
        });
    }

    /// How many of three pings to `address` come back.
    pub fn pings_of(&self, host: Host, address: &str) -> usize {
        let output = self.on(host, &["ping", "-c", "3", "-i", "0.05", "-W", "1", address]);
        said(&output).lines().filter(|line| line.contains("bytes from")).count()
    }

    /// The same from the client to the server.
    pub fn pings(&self) -> usize {
        self.pings_of(Host::Client, "10.77.0.2")
    }

    /// Fetches `path` on the client; the exit code and the body.
    pub fn curl(&self, url: &str) -> (Option<i32>, Vec<u8>) {
        let output = self.client(&["curl", "--silent", "--globoff", "--max-time", "10", url]);
        (output.status.code(), output.stdout)
    }

    /// Runs iperf3 on the client; its JSON report.
    pub fn iperf3(&self, words: &[&str]) -> Value {
        let output = self.client(&[&["iperf3", "-J", "-c"], words].concat());
        assert!(output.status.success(), "{}\n{}", said(&output), self.log());
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// How often either port lost or gained its link.
    pub fn carrier_changes(&self) -> u64 {
        let read = |port: String| {
            let path = format!("/sys/class/net/{port}/carrier_changes");
            std::fs::read_to_string(path).unwrap().trim().parse::<u64>().unwrap()
        };
        read(self.inside()) + read(self.outside())
    }

    /// The numbers of the XDP programs on both ports; empty where there is none.
    pub fn programs(&self) -> Vec<u64> {
        [self.inside(), self.outside()]
            .iter()
            .filter_map(|port| {
                let output = sh("ip", &["-details", "-json", "link", "show", port]);
                let links: Value = serde_json::from_slice(&output.stdout).unwrap();
                links[0]["xdp"]["prog"]["id"].as_u64()
            })
            .collect()
    }

    /// Runs `jarvis` to its end.
    pub fn jarvis(&self, words: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_jarvis"))
            .args(words)
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// Runs `jarvis ctl`, which must succeed; its answer.
    pub fn ctl(&self, words: &[&str]) -> Value {
        let output = self.jarvis(&[&["ctl", "--json", "--socket", "ctl.sock"], words].concat());
        assert!(output.status.success(), "{}\n{}", said(&output), self.log());
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// How often `reason` was counted.
    pub fn counted(&self, reason: &str) -> u64 {
        let telemetry = self.ctl(&["telemetry", "reasons"]);
        let rows = telemetry["reasons"].as_array().unwrap();
        rows.iter().find(|row| row["reason"] == reason).unwrap()["count"].as_u64().unwrap()
    }

    /// All reasons that were counted, for the message of a failed test.
    pub fn reasons(&self) -> String {
        let telemetry = self.ctl(&["telemetry", "reasons"]);
        let rows = telemetry["reasons"].as_array().unwrap().iter();
        let counted = rows.filter(|row| row["count"] != 0);
        counted.map(|row| format!("{} {}", row["reason"], row["count"])).collect::<Vec<_>>().join(", ")
    }

    /// A counter of the XDP program.
    pub fn outcome(&self, name: &str) -> u64 {
        self.ctl(&["telemetry", "wire"])["frames"][name].as_u64().unwrap()
    }

    /// Starts the daemon and waits until it serves.
    pub fn start(&self) -> Daemon {
        let [log, told] = ["log", "told"].map(|file| std::fs::File::create(self.path(file)).unwrap());
        let child = Command::new(env!("CARGO_BIN_EXE_jarvis"))
            .args(["run", "--config", "jarvis.toml"])
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .stdout(told)
            .stderr(log)
            .spawn()
            .unwrap();
        let mut daemon = Daemon { child };
        eventually("the daemon serves", || {
            assert!(daemon.child.try_wait().unwrap().is_none(), "the daemon ended: {}", self.log());
            self.log().contains("the wire is served")
        });
        // A worker's first heartbeat opens its queues.
        eventually("every worker turns its loop", || {
            let workers = self.ctl(&["telemetry", "workers"]);
            workers["workers"].as_array().unwrap().iter().all(|row| row["silent_ms"].as_u64().unwrap() < 40)
        });
        daemon
    }

    /// What the daemon printed to whoever started it.
    pub fn told(&self) -> String {
        std::fs::read_to_string(self.path("told")).unwrap_or_default()
    }

    /// The name of the wire.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Events in the order of the file.
    pub fn events(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.path("eve.json")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.jarvis(&["detach", "--name", &self.name]);
        sh(LAB, &["down", "--name", &self.name]);
    }
}

/// The running daemon; killed when it is dropped.
pub struct Daemon {
    child: Child,
}

impl Daemon {
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: &str) {
        assert!(sh("kill", &[signal, &self.child.id().to_string()]).status.success());
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Stops it in order.
    pub fn stop(mut self) {
        self.signal("-TERM");
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }

    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

/// A command in the background; killed when it is dropped.
pub struct Background {
    child: Child,
}

impl Background {
    /// Waits for its end; whether it succeeded, and what it wrote.
    pub fn finish(mut self) -> (bool, String) {
        let mut text = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        (self.child.wait().unwrap().success(), text)
    }

    /// Ends it with a signal and waits; what it wrote.
    pub fn interrupt(self) -> String {
        // Already gone is as good.
        sh("kill", &["-INT", &self.child.id().to_string()]);
        self.finish().1
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}
