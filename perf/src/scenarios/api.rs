//! Does the control plane answer a thousand clients in time, and does the packet path notice? Readers at a steady rate: alone, while
//! others log in as fast as they can, and beside paced traffic, whose cost is compared turn by turn with and without them.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::forward::{Driver, Plans, rig_for};
use super::{Error, Outcome, costs};
use crate::clients::{Latency, Seen, Work};
use crate::measure::trial::Bench;
use crate::report::result::{Measurement, Recorder};
use crate::rig::Rig;
use crate::rig::command::run_words;
use crate::rig::sender::Rate;

/// Who asks, how often.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Crowd {
    /// Connections that read.
    pub(crate) clients: usize,
    /// Requests a second, of all of them together.
    pub(crate) rate: f64,
    /// Connections that log in.
    pub(crate) logins: usize,
    /// Connections that wait for events.
    pub(crate) subscribers: usize,
}

/// What readers ask for, in turn: what a console shows.
const PATHS: [&str; 6] = [
    "/telemetry",
    "/dpi/flows?limit=20",
    "/telemetry/workers",
    "/policy/document",
    "/telemetry/ports",
    "/api/system/status",
];

const USERNAME: &str = "load";

/// Who logs in: another account, because each login begins a session and the oldest of an account go when there are many,
/// the readers' among them.
const LOGINS_USERNAME: &str = "load-logins";

const PASSWORD: &str = "a password of the harness";

/// The address of [`crate::drivers::veth`]'s device, in its namespace.
const ADDRESS: ([u8; 4], u16) = ([127, 0, 0, 1], 8_000);

/// Packets a second of the paced load where none are typed.
const PACED_PPS: f64 = 100_000.0;

/// Measures all of it.
///
/// # Errors
///
/// A device that does not start or ends, clients that cannot begin; BPF.
pub(crate) fn measure(plans: &Plans, crowd: Crowd) -> Outcome {
    let mut recorder = Recorder::new("api", plans.seed);
    let mut cases = Cases::new(plans, crowd);
    for run in 0..plans.runs.max(1) {
        crate::say(&format!("run {} of {}", run + 1, plans.runs.max(1)));
        cases.run(plans, crowd)?;
    }
    for measurement in cases.all() {
        recorder.add(measurement);
    }
    Ok(recorder.finish())
}

struct Cases {
    alone: Measurement,
    storm: Measurement,
    paced: Measurement,
    idle: Measurement,
}

impl Cases {
    fn new(plans: &Plans, crowd: Crowd) -> Self {
        let case = |workload: &str| {
            let mut measurement =
                Measurement::new("jarvis", workload, u64::from(plans.flows), plans.policies as u64);
            measurement
                .note("clients", format!("{} connections, {} requests a second", crowd.clients, crowd.rate));
            measurement.note("tokens", "JWT signed with SLH-DSA-SHA2-128s, 10.8 KB in each request");
            measurement
        };
        let mut storm = case("reads, logins beside them");
        storm.note("logins", format!("{} connections, as fast as they can", crowd.logins));
        let mut idle = case("reads, idle subscribers");
        idle.note("subscribers", format!("{} WebSockets that nothing comes on", crowd.subscribers));
        Self { alone: case("reads"), storm, paced: case("reads, paced traffic"), idle }
    }

    fn all(self) -> impl Iterator<Item = Measurement> {
        let Self { alone, storm, paced, idle } = self;
        [alone, storm, paced, idle].into_iter().filter(|measurement| !measurement.values.is_empty())
    }

    fn run(&mut self, plans: &Plans, crowd: Crowd) -> Result<(), Error> {
        let rig = rig_for(plans)?;
        let workload = plans.workload(Driver::Jarvis)?;
        let device = plans.start(&rig, Driver::Jarvis)?;
        let folder = device.folder().map(Path::to_owned).unwrap_or_default();
        let mut bench = Bench::new(&rig, device, &workload)?;
        let fresh = if plans.quick { 4 } else { FRESH_TOKENS };
        let socket = folder.join("control.sock");
        let mut fresh_tokens = tokens(&socket, USERNAME, fresh + 1)?;
        let token = fresh_tokens.pop().unwrap_or_default();
        tokens(&socket, LOGINS_USERNAME, 0)?;
        let seconds = if plans.quick { 3.0 } else { 10.0 };
        let reads = Work {
            address: ADDRESS.into(),
            token,
            fresh_tokens: Vec::new(),
            readers: crowd.clients,
            rate: crowd.rate,
            paths: PATHS.map(str::to_owned).to_vec(),
            logins: 0,
            username: LOGINS_USERNAME.to_owned(),
            password: PASSWORD.to_owned(),
            subscribers: 0,
            subscriber_tokens: Vec::new(),
            seconds,
        };
        let seen = Clients::start(&rig, &folder, &Work { fresh_tokens, ..reads.clone() })?.seen()?;
        add(&mut self.alone, "reads", &seen);
        for (first, second) in &seen.fresh_us {
            self.alone.sample("token_verification", "ms", first.saturating_sub(*second) as f64 / 1e3);
        }
        let seen = Clients::start(&rig, &folder, &Work { logins: crowd.logins, ..reads.clone() })?.seen()?;
        add(&mut self.storm, "storm", &seen);
        self.beside(plans, &mut bench, &folder, &reads)?;
        if crowd.subscribers > 0 {
            let accounts = 0..crowd.subscribers.div_ceil(SUBSCRIBERS_OF_ACCOUNT);
            let tokens: Result<Vec<_>, Error> = accounts
                .map(|number| Ok(tokens(&socket, &format!("{USERNAME}{number}"), 1)?.remove(0)))
                .collect();
            let work = Work { subscribers: crowd.subscribers, subscriber_tokens: tokens?, ..reads };
            self.idle(&mut bench, &folder, &work)?;
        }
        Ok(())
    }

    /// Paced traffic without and with readers, by turns.
    fn beside(
        &mut self,
        plans: &Plans,
        bench: &mut Bench<'_>,
        folder: &Path,
        reads: &Work,
    ) -> Result<(), Error> {
        let rate = Rate::PacketsPerSecond(plans.cost_pps.unwrap_or(PACED_PPS));
        let duration = Duration::from_secs_f64(reads.seconds);
        for _ in 0..plans.turns.max(1) {
            let quiet = bench.trial(rate, duration)?;
            // A little longer than the traffic, which begins when all of them are connected.
            let work = Work { seconds: reads.seconds + 4.0, ..reads.clone() };
            let clients = Clients::start(bench.rig, folder, &work)?;
            std::thread::sleep(Duration::from_secs(3));
            let asked = bench.trial(rate, duration)?;
            let seen = clients.seen()?;
            costs::add(&mut self.paced, "quiet_", &quiet);
            costs::add(&mut self.paced, "asked_", &asked);
            add(&mut self.paced, "paced", &seen);
            if let (Some(one), Some(other)) = (last(&self.paced, "asked_"), last(&self.paced, "quiet_")) {
                self.paced.sample("worker_cycles_ratio", "x", one / other);
            }
        }
        Ok(())
    }

    /// Readers while many others wait for events; what the daemon grew by.
    fn idle(&mut self, bench: &mut Bench<'_>, folder: &Path, work: &Work) -> Result<(), Error> {
        let before = resident(bench);
        let mut clients = Clients::start(bench.rig, folder, work)?;
        let mut most = before;
        let seen = loop {
            most = most.max(resident(bench));
            if clients.have_ended() {
                break clients.seen()?;
            }
            std::thread::sleep(Duration::from_millis(200));
        };
        add(&mut self.idle, "idle", &seen);
        self.idle.sample("subscribers", "streams", seen.subscribers as f64);
        let each = most.saturating_sub(before) as f64 / work.subscribers.max(1) as f64;
        self.idle.sample("memory_per_subscriber", "bytes", each);
        Ok(())
    }
}

fn last(measurement: &Measurement, prefix: &str) -> Option<f64> {
    measurement.values.get(&format!("{prefix}worker_cycles_per_packet"))?.samples.last().copied()
}

fn add(measurement: &mut Measurement, what: &str, seen: &Seen) {
    let mut latency = |name: &str, Latency { count, p50_us, p95_us, p99_us, max_us }: Latency| {
        for (percentile, us) in [("p50", p50_us), ("p95", p95_us), ("p99", p99_us), ("max", max_us)] {
            measurement.sample(&format!("{name}_{percentile}"), "ms", us as f64 / 1e3);
        }
        measurement.sample(&format!("{name}_count"), "answers", count as f64);
    };
    latency("read", seen.reads);
    if seen.logins.count > 0 {
        latency("login", seen.logins);
    }
    let refused: u64 = seen.refused.iter().map(|(_status, count)| count).sum();
    measurement.sample("read_refused", "answers", refused as f64);
    if !seen.logins_refused.is_empty() {
        measurement.note("logins refused", format!("{:?}", seen.logins_refused));
    }
    measurement.keep(seen);
    let Latency { count, p50_us, p95_us, p99_us, max_us } = seen.reads;
    crate::say(&format!(
        "  {what}: {count} answers, p50 {p50_us} us, p95 {p95_us} us, p99 {p99_us} us, max {max_us} us; refused {:?}; logins {} ({:?})",
        seen.refused, seen.logins.count, seen.logins_refused
    ));
}

/// Resident memory of the device, bytes.
fn resident(bench: &Bench<'_>) -> u64 {
    let Some(pid) = bench.device.pid() else { return 0 };
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// Tokens whose first answer is measured.
const FRESH_TOKENS: usize = 12;

/// So often one account listens; the daemon allows 1,024.
const SUBSCRIBERS_OF_ACCOUNT: usize = 1_000;

/// An account, and tokens of it.
fn tokens(socket: &Path, username: &str, count: usize) -> Result<Vec<String>, Error> {
    let post = |path: &str, body: serde_json::Value| -> Result<serde_json::Value, Error> {
        let (socket, url) = (socket.display().to_string(), format!("http://localhost{path}"));
        let body = body.to_string();
        let said = run_words(&["curl", "--silent", "--unix-socket", &socket, &url, "--data", &body])
            .map_err(crate::drivers::Error::from)?;
        serde_json::from_str(&said).map_err(|error| Error::Broken(format!("{path}: {error}: {said}")))
    };
    let text = |answer: &serde_json::Value, name: &str| {
        let found = answer[name].as_str().map(str::to_owned);
        found.ok_or_else(|| Error::Broken(format!("an answer without `{name}`: {answer}")))
    };
    let account = serde_json::json!({ "username": username, "role": "analyst", "password": PASSWORD });
    let user_id = text(&post("/admin/users", account)?, "user_id")?;
    let wanted = serde_json::json!({ "purpose": "jarvis-perf", "ttl_s": 86_400, "token_form": "jwt" });
    let path = format!("/admin/users/{user_id}/tokens");
    (0..count).map(|_| text(&post(&path, wanted.clone())?, "access_token")).collect()
}

/// The clients' process.
struct Clients {
    child: Child,
    output: PathBuf,
}

impl Clients {
    fn start(rig: &Rig, folder: &Path, work: &Work) -> Result<Self, Error> {
        let failed =
            |error: &dyn std::fmt::Display| Error::Broken(format!("the clients cannot start: {error}"));
        let (input, output) = (folder.join("clients.json"), folder.join("seen.json"));
        let text = serde_json::to_string(work).map_err(|error| failed(&error))?;
        std::fs::write(&input, text).map_err(|error| failed(&error))?;
        let harness = std::env::current_exe().map_err(|error| failed(&error))?;
        let mut line = rig.dut_prefix();
        // Where the sender is: the device's core is the worker's.
        line.extend(format!("taskset -c {}", rig.config.sender_core).split(' ').map(str::to_owned));
        // Each connection is a descriptor: as many as the system allows.
        line.extend(["sh", "-c", "ulimit -n $(ulimit -Hn); exec \"$@\"", "sh"].map(str::to_owned));
        line.extend([harness.display().to_string(), "clients".to_owned(), input.display().to_string()]);
        let file = std::fs::File::create(&output).map_err(|error| failed(&error))?;
        let mut command = Command::new(&line[0]);
        command.args(&line[1..]).stdin(Stdio::null()).stdout(file);
        let child = crate::rig::command::start(&mut command).map_err(|error| failed(&error))?;
        Ok(Self { child, output })
    }

    fn have_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)) | Err(_))
    }

    fn seen(mut self) -> Result<Seen, Error> {
        let failed = |error: &dyn std::fmt::Display| Error::Broken(format!("the clients: {error}"));
        let status = self.child.wait().map_err(|error| failed(&error))?;
        if !status.success() {
            return Err(failed(&format!("ended with {status}")));
        }
        let text = std::fs::read_to_string(&self.output).map_err(|error| failed(&error))?;
        let seen: Seen = serde_json::from_str(&text).map_err(|error| failed(&error))?;
        // A refusal is quick: times of what was not answered are no figure.
        match seen.refused.iter().find(|(status, _count)| *status != 429) {
            Some((status, count)) => Err(failed(&format!("{count} reads were answered with {status}"))),
            None => Ok(seen),
        }
    }
}
