//! How fast are captures judged from a file, next to Suricata over the same file, with the same rules and outputs?
//!
//! Both programs have one core for all their threads, write records of flows and alerts into the same file system,
//! and take wrong checksums. What starting takes (loading rules, most of all) is measured over one repetition of the
//! captures and subtracted from what many take. The rates mean something where both say the same of the traffic:
//! alerts are compared signature by signature, and flows are counted.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use super::{Error, Outcome, inspect, rules};
use crate::drivers;
use crate::report::result::{Measurement, Recorder};
use crate::rig::command::{on_path, run};
use crate::traffic::merged::Merged;

/// Signatures whose counts differ, named in the result at most.
const DIFFERENCES_MAX: usize = 20;

/// What is measured.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// Capture files, or folders of them.
    pub(crate) captures: Vec<PathBuf>,
    /// Rule files, or folders of them.
    pub(crate) rules: Vec<PathBuf>,
    /// Rules at least.
    pub(crate) rules_min: u32,
    /// Packets that are measured at least: captures are repeated.
    pub(crate) packets: u32,
    /// A release build of `jarvis`.
    pub(crate) binary: PathBuf,
    pub(crate) runs: u32,
    pub(crate) seed: u64,
    pub(crate) core: usize,
    /// What the folder of temporary files begins with.
    pub(crate) prefix: String,
}

/// Who reads the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reader {
    Jarvis,
    Suricata,
}

/// Packets a second of both, by turns, and what they told.
///
/// # Errors
///
/// No capture that can be read; a program fails.
pub(crate) fn measure(plan: &Plan) -> Outcome {
    let mut recorder = Recorder::new("replay", plan.seed);
    let mut files = Vec::new();
    plan.captures.iter().for_each(|place| inspect::gather(place, &mut files));
    files.sort();
    let merged = Merged::read(&files);
    let packets = merged.packets();
    if packets == 0 {
        return Err(Error::Broken("no capture file with Ethernet frames that can be read".to_owned()));
    }
    let work = Work::new(plan, &merged)?;
    let measured = (packets * work.repeats) as f64;
    crate::say(&format!(
        "{packets} packets of {} captures, {} times; {}",
        merged.captures(),
        work.repeats,
        work.folder.display()
    ));
    let mut readers = vec![Reader::Jarvis];
    if on_path("suricata") {
        readers.push(Reader::Suricata);
    } else {
        crate::say("suricata is not on PATH: no comparison");
    }
    let workload = if plan.rules.is_empty() { "captures" } else { "captures, rules" };
    let mut measurements: Vec<_> = readers.iter().map(|reader| reader.measurement(workload)).collect();
    let mut ratio = Measurement::new("jarvis / suricata", workload, 0, 0);
    for _ in 0..plan.runs.max(1) {
        let mut times = Vec::new();
        let mut told = Vec::new();
        for (reader, measurement) in readers.iter().zip(&mut measurements) {
            let (start, _) = work.time(*reader, "short.pcap")?;
            let (whole, events) = work.time(*reader, "long.pcap")?;
            let ns = (whole - start).max(1e-9) * 1e9 / measured;
            measurement.sample("start_and_one_repetition", "ms", start * 1e3);
            measurement.sample("time_per_packet", "ns", ns);
            measurement.sample("rate", "pps", 1e9 / ns);
            let said = Told::read(&events)?;
            measurement.sample("alerts", "alerts", said.alerts() as f64);
            measurement.sample("flows", "flows", said.flows as f64);
            times.push(ns);
            told.push(said);
        }
        if let ([ours, theirs], [we, they]) = (times.as_slice(), told.as_slice()) {
            ratio.sample("rate", "x", theirs / ours);
            ratio.sample("same_alerts", "share", we.same_alerts(they));
            ratio.sample("flows", "x", we.flows as f64 / they.flows.max(1) as f64);
            if ratio.notes.is_empty() {
                ratio.note("alerts that differ (sid: ours, theirs)", we.differences(they));
            }
        }
    }
    for mut measurement in measurements {
        measurement.note(
            "captures",
            format!("{} files, {packets} packets, {} times", merged.captures(), work.repeats),
        );
        recorder.add(measurement);
    }
    if !ratio.values.is_empty() {
        recorder.add(ratio);
    }
    Ok(recorder.finish())
}

impl Reader {
    fn measurement(self, workload: &str) -> Measurement {
        let (name, version) = match self {
            Self::Jarvis => ("jarvis", "this build".to_owned()),
            Self::Suricata => ("suricata", run("suricata -V").unwrap_or_default().trim().to_owned()),
        };
        let mut measurement = Measurement::new(name, workload, 0, 0);
        measurement.note("version", version);
        measurement
    }
}

/// The files of a measurement; removed with it.
struct Work {
    folder: PathBuf,
    binary: PathBuf,
    core: usize,
    repeats: usize,
    has_rules: bool,
}

impl Work {
    fn new(plan: &Plan, merged: &Merged) -> Result<Self, Error> {
        let folder = drivers::work_folder(&plan.prefix, "replay")?;
        let repeats = (plan.packets as usize).div_ceil(merged.packets()).max(1);
        let (binary, core) = (plan.binary.clone(), plan.core);
        let work = Self { folder, binary, core, repeats, has_rules: !plan.rules.is_empty() };
        let write = |name: &str, bytes: &[u8]| {
            std::fs::write(work.folder.join(name), bytes).map_err(|source| drivers::Error::io(name, source))
        };
        let written = |name: &str, times| {
            let path = work.folder.join(name);
            merged.write(&path, times).map_err(|source| drivers::Error::io(name, source))
        };
        written("short.pcap", 1)?;
        written("long.pcap", 1 + repeats)?;
        let rules =
            if work.has_rules { rules::texts(&plan.rules, plan.rules_min)?.concat() } else { Vec::new() };
        write("all.rules", &rules)?;
        write("suricata.yaml", drivers::suricata::REPLAY_CONFIGURATION.as_bytes())?;
        write("jarvis.toml", CONFIGURATION.as_bytes())?;
        Ok(work)
    }

    /// Seconds that a program takes for a capture, and the events it wrote.
    fn time(&self, reader: Reader, capture: &str) -> Result<(f64, PathBuf), Error> {
        let at = |name: &str| self.folder.join(name).display().to_string();
        let (name, events) = match reader {
            Reader::Jarvis => ("jarvis", self.folder.join("jarvis.json")),
            Reader::Suricata => ("suricata", self.folder.join("eve.json")),
        };
        let _ = std::fs::remove_file(&events);
        let mut command = Command::new("taskset");
        command.args(["-c", &self.core.to_string()]);
        match reader {
            Reader::Jarvis => {
                command.arg(&self.binary).args(["replay", &at(capture), "--config", &at("jarvis.toml")]);
                command.args(["--checksum", "none", "--eve"]).arg(&events);
                if self.has_rules {
                    command.args(["--rules", &at("all.rules")]);
                }
            }
            Reader::Suricata => {
                command.args([
                    "suricata",
                    "-c",
                    &at("suricata.yaml"),
                    "-r",
                    &at(capture),
                    "-S",
                    &at("all.rules"),
                ]);
                command.args(["-k", "none", "--runmode", "single", "-l", &self.folder.display().to_string()]);
            }
        }
        let log =
            File::create(self.folder.join("log")).map_err(|source| drivers::Error::io("log", source))?;
        let again = log.try_clone().map_err(|source| drivers::Error::io("log", source))?;
        command.stdin(Stdio::null()).stdout(log).stderr(again);
        let begun = Instant::now();
        let status = command.status().map_err(|source| drivers::Error::io("taskset", source))?;
        let seconds = begun.elapsed().as_secs_f64();
        if !status.success() {
            let said = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            let last: Vec<_> = said.lines().rev().take(5).collect();
            return Err(Error::Broken(format!("{name} ended with {status}: {}", last.join(" / "))));
        }
        Ok((seconds, events))
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// The appliance's configuration: as Suricata's, in what it writes and whom rules take for whom.
const CONFIGURATION: &str = "[eve]\ntypes = [\"flow\", \"alert\"]\n\
    [rules]\naddresses = { HOME_NET = \"any\", EXTERNAL_NET = \"any\" }\n";

/// What a program said of the traffic.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    /// Alerts by signature.
    by_sid: BTreeMap<u64, u64>,
    /// Of TCP and UDP: of what else there are flows is each program's own idea.
    flows: u64,
}

impl Told {
    fn read(events: &Path) -> Result<Self, Error> {
        let file =
            File::open(events).map_err(|source| drivers::Error::io(events.display().to_string(), source))?;
        let mut told = Self::default();
        for line in BufReader::new(file).lines().map_while(Result::ok) {
            told.take(&line);
        }
        Ok(told)
    }

    fn take(&mut self, line: &str) {
        let Ok(event) = serde_json::from_str::<serde_json::Value>(line) else { return };
        match event.get("event_type").and_then(serde_json::Value::as_str) {
            Some("flow") => {
                let protocol = event.get("proto").and_then(serde_json::Value::as_str);
                self.flows += u64::from(matches!(protocol, Some("TCP" | "UDP")));
            }
            Some("alert") => {
                let sid = event.pointer("/alert/signature_id").and_then(serde_json::Value::as_u64);
                *self.by_sid.entry(sid.unwrap_or(0)).or_default() += 1;
            }
            _ => {}
        }
    }

    fn alerts(&self) -> u64 {
        self.by_sid.values().sum()
    }

    /// Alerts that both raise, of those that either raises.
    fn same_alerts(&self, other: &Self) -> f64 {
        let (mut same, mut all) = (0, 0);
        for (_, ours, theirs) in self.pairs(other) {
            same += ours.min(theirs);
            all += ours.max(theirs);
        }
        if all == 0 { 1.0 } else { same as f64 / all as f64 }
    }

    /// Counts of each signature that either knows.
    fn pairs(&self, other: &Self) -> Vec<(u64, u64, u64)> {
        let mut sids: Vec<_> = self.by_sid.keys().chain(other.by_sid.keys()).copied().collect();
        sids.sort_unstable();
        sids.dedup();
        let of = |told: &Self, sid| told.by_sid.get(&sid).copied().unwrap_or(0);
        sids.into_iter().map(|sid| (sid, of(self, sid), of(other, sid))).collect()
    }

    fn differences(&self, other: &Self) -> String {
        let mut pairs = self.pairs(other);
        pairs.retain(|(_, ours, theirs)| ours != theirs);
        if pairs.is_empty() {
            return "none".to_owned();
        }
        pairs.sort_by_key(|(sid, ours, theirs)| (std::cmp::Reverse(ours.abs_diff(*theirs)), *sid));
        let more = pairs.len().saturating_sub(DIFFERENCES_MAX);
        let shown = pairs.iter().take(DIFFERENCES_MAX);
        let mut text: Vec<_> = shown.map(|(sid, ours, theirs)| format!("{sid}: {ours}, {theirs}")).collect();
        if more > 0 {
            text.push(format!("and {more} more"));
        }
        text.join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_are_compared_signature_by_signature() {
        let told = |lines: &[&str]| {
            let mut told = Told::default();
            lines.iter().for_each(|line| told.take(line));
            told
        };
        let alert = |sid: u64| format!(r#"{{"event_type":"alert","alert":{{"signature_id":{sid}}}}}"#);
        let flow = r#"{"event_type":"flow","proto":"TCP"}"#;
        let other = r#"{"event_type":"flow","proto":"PIM"}"#;
        let ours = told(&[&alert(1), &alert(1), &alert(2), flow, other, "no event"]);
        let theirs = told(&[&alert(1), &alert(3), flow]);
        assert_eq!((ours.alerts(), ours.flows), (3, 1));
        assert!((ours.same_alerts(&theirs) - 0.25).abs() < 1e-9);
        assert_eq!(ours.differences(&theirs), "1: 2, 1; 2: 1, 0; 3: 0, 1");
        assert_eq!(ours.differences(&ours), "none");
        assert!((Told::default().same_alerts(&Told::default()) - 1.0).abs() < f64::EPSILON);
    }
}
