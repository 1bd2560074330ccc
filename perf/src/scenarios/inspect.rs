//! What does inspection cost? Captures through the engine with and without it, against nDPI's reader, and bulk
//! traffic that is classified.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use dataplane::engine::{BATCH_MAX, Inspection};
use dataplane::parse::LinkType;
use dataplane::rules::RuleSet;
use dataplane::rx::savefile::SavefileReader;
use dataplane::time::Wall;

use super::memory::policy_set;
use super::{Error, Outcome, rules};
use crate::drivers::engine::{Bench, Captured};
use crate::report::result::{Measurement, Recorder};
use crate::traffic::conversation::{Conversations, Small, conversations};
use crate::traffic::{Kind, Spec, Workload};

/// Flows that the table holds: more than any capture has.
const CAPACITY: u32 = 262_144;
/// Flows of the bulk traffic.
const BULK_FLOWS: u32 = 1_000;
/// Packets of one measured pass of it.
const BULK_PACKETS: usize = 2_000_000;
/// Packets of each conversation behind its beginning.
const IMIX_PACKETS: usize = 200;
/// Packets of one measured pass over captures at least: short captures are repeated.
const CAPTURED_MIN: usize = 1_000_000;

/// What is measured.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// Capture files, or folders of them.
    pub(crate) captures: Vec<PathBuf>,
    /// Rule files, or folders of them.
    pub(crate) rules: Vec<PathBuf>,
    /// Rules at least.
    pub(crate) rules_min: u32,
    pub(crate) runs: u32,
    pub(crate) seed: u64,
    pub(crate) core: usize,
}

/// Rates, allocations and memory, inspection off and on.
///
/// # Errors
///
/// No capture that can be read.
pub(crate) fn run(plan: &Plan) -> Outcome {
    core_affinity::set_for_current(core_affinity::CoreId { id: plan.core });
    let mut recorder = Recorder::new("inspect", plan.seed);
    let rules = rules::load(&plan.rules, plan.rules_min, plan.runs, &mut recorder)?;
    bulk(plan, rules.as_ref(), &mut recorder)?;
    for small in [Small::Acknowledging, Small::Data] {
        imix(plan, small, rules.as_ref(), &mut recorder)?;
    }
    if !plan.captures.is_empty() {
        captures(plan, rules.as_ref(), &mut recorder)?;
    }
    Ok(recorder.finish())
}

fn bulk(plan: &Plan, rules: Option<&Arc<RuleSet>>, recorder: &mut Recorder) -> Result<(), Error> {
    let load = Workload::new(&Spec::new(Kind::Large, BULK_FLOWS, plan.seed))?;
    let mut times = Vec::new();
    for (name, inspection, rules) in kinds(rules) {
        let mut samples = Vec::new();
        let mut bench = Bench::inspecting(CAPACITY, policy_set(0, false)?, plan.seed, (inspection, rules));
        if !load.warm_up.is_empty() {
            bench.pass(&load.warm_up, 0, load.warm_up.len());
        }
        // Long enough for every flow to be given up or classified.
        bench.pass(&load.load, 0, 64 * load.load.len());
        let mut measurement = Measurement::new(name, "bulk, classified", u64::from(BULK_FLOWS), 0);
        for _ in 0..plan.runs {
            let pass = bench.pass(&load.load, 0, BULK_PACKETS);
            measurement.sample("time_per_packet", "ns", pass.ns_per_packet());
            measurement.sample("rate", "pps", 1e9 / pass.ns_per_packet());
            measurement.sample("allocations", "calls", pass.allocations as f64);
            samples.push(pass.ns_per_packet());
        }
        recorder.add(measurement);
        times.push((name, samples));
    }
    add_ratio(recorder, "bulk, classified", &times);
    Ok(())
}

/// What follows the beginnings of conversations, whose protocols are known by then.
fn imix(
    plan: &Plan,
    small: Small,
    rules: Option<&Arc<RuleSet>>,
    recorder: &mut Recorder,
) -> Result<(), Error> {
    let workload = match small {
        Small::Acknowledging => "IMIX, acknowledged",
        Small::Data => "IMIX, TLS and HTTP",
    };
    let Conversations { beginnings, rest } = conversations(BULK_FLOWS as u16, IMIX_PACKETS, small, plan.seed);
    let mut at = 1_700_000_000_000_000_000;
    let mut sent = |frames: Vec<Vec<u8>>| -> Vec<Captured> {
        let sent = frames.into_iter().map(|bytes| {
            at += 1_000;
            Captured { bytes: bytes.into(), link: LinkType::Ethernet, at: Wall(at) }
        });
        sent.collect()
    };
    let (beginnings, rest) = (sent(beginnings), sent(rest));
    let mut frames: Vec<_> = (0..BATCH_MAX).map(|_| Vec::with_capacity(2_048)).collect();
    let mut times = Vec::new();
    for (name, inspection, rules) in kinds(rules) {
        let mut samples = Vec::new();
        let mut measurement = Measurement::new(name, workload, u64::from(BULK_FLOWS), 0);
        for _ in 0..plan.runs {
            let looked_by = (inspection.clone(), rules.clone());
            let mut bench = Bench::inspecting(CAPACITY, policy_set(0, false)?, plan.seed, looked_by);
            bench.captured(&beginnings, &mut frames);
            let pass = bench.captured(&rest, &mut frames);
            measurement.sample("time_per_packet", "ns", pass.ns_per_packet());
            measurement.sample("rate", "pps", 1e9 / pass.ns_per_packet());
            measurement.sample(
                "allocations_per_packet",
                "calls",
                pass.allocations as f64 / rest.len() as f64,
            );
            samples.push(pass.ns_per_packet());
        }
        recorder.add(measurement);
        times.push((name, samples));
    }
    add_ratio(recorder, workload, &times);
    Ok(())
}

fn captures(plan: &Plan, rules: Option<&Arc<RuleSet>>, recorder: &mut Recorder) -> Result<(), Error> {
    let mut files = Vec::new();
    for path in &plan.captures {
        gather(path, &mut files);
    }
    files.sort();
    let mut packets = Vec::new();
    for file in &files {
        read(file, &mut packets);
    }
    if packets.is_empty() {
        return Err(Error::Broken("no capture file that can be read".to_owned()));
    }
    let repeats = CAPTURED_MIN.div_ceil(packets.len());
    crate::say(&format!("{} packets of {} captures, {repeats} times", packets.len(), files.len()));
    let mut frames: Vec<_> = (0..BATCH_MAX).map(|_| Vec::with_capacity(65_536)).collect();
    let mut times = Vec::new();
    for (name, inspection, rules) in kinds(rules) {
        let mut samples = Vec::new();
        let mut measurement = Measurement::new(name, "captures", 0, 0);
        measurement.note("captures", format!("{} files, {} packets", files.len(), packets.len()));
        for _ in 0..plan.runs {
            let (mut ns, mut allocations) = (0.0, 0);
            for _ in 0..repeats {
                // A table made anew, so that every repeat sees every flow begin.
                let looked_by = (inspection.clone(), rules.clone());
                let mut bench = Bench::inspecting(CAPACITY, policy_set(0, false)?, plan.seed, looked_by);
                let pass = bench.captured(&packets, &mut frames);
                ns += pass.ns_per_packet();
                allocations += pass.allocations;
            }
            let per_packet = ns / repeats as f64;
            measurement.sample("time_per_packet", "ns", per_packet);
            measurement.sample("rate", "pps", 1e9 / per_packet);
            let count = (packets.len() * repeats) as f64;
            measurement.sample("allocations_per_packet", "calls", allocations as f64 / count);
            samples.push(per_packet);
        }
        recorder.add(measurement);
        times.push((name, samples));
    }
    add_ratio(recorder, "captures", &times);
    if let ([file], Some((_, inspecting))) = (files.as_slice(), times.get(1)) {
        peer(file, plan.runs, inspecting, recorder);
    }
    Ok(())
}

/// How captures are looked at.
type Looked = (&'static str, Option<Inspection>, Option<Arc<RuleSet>>);

/// Inspection off, and on, and under rules where there are some.
fn kinds(rules: Option<&Arc<RuleSet>>) -> Vec<Looked> {
    let inspecting = Inspection::builtin();
    let mut kinds = vec![("engine", None, None), ("engine, inspecting", Some(inspecting.clone()), None)];
    kinds.extend(rules.map(|rules| ("engine, rules", Some(inspecting), Some(Arc::clone(rules)))));
    kinds
}

/// Each kind but the first over the one before it.
fn add_ratio(recorder: &mut Recorder, workload: &str, times: &[(&'static str, Vec<f64>)]) {
    for (pair, name) in times.windows(2).zip(["inspecting / not", "rules / inspecting"]) {
        let [(_, off), (_, on)] = pair else { continue };
        let mut ratio = Measurement::new(name, workload, 0, 0);
        for (off, on) in off.iter().zip(on) {
            ratio.sample("time_per_packet", "x", on / off);
        }
        recorder.add(ratio);
    }
}

/// nDPI's reader over the same file, by its own "Packet Processing Time".
fn peer(file: &Path, runs: u32, ours_ns: &[f64], recorder: &mut Recorder) {
    let mut measurement = Measurement::new("ndpiReader", "captures", 0, 0);
    let mut ratio = Measurement::new("engine, inspecting / ndpiReader", "captures", 0, 0);
    for ours in ours_ns.iter().take(runs as usize) {
        let Ok(ran) = Command::new("ndpiReader").arg("-i").arg(file).args(["-n", "1"]).output() else {
            crate::say("ndpiReader is not on PATH (Debian: libndpi-bin): no comparison");
            return;
        };
        let said = String::from_utf8_lossy(&ran.stdout).into_owned();
        let number = |before: &str, after: &str| -> Option<f64> {
            let rest = said.split(before).nth(1)?;
            rest.split(after).next()?.split_whitespace().last()?.parse().ok()
        };
        let (Some(ms), Some(packets)) =
            (number("Packet Processing Time:", "msec"), number(" of ", "packets total"))
        else {
            crate::say("ndpiReader's answer has no time: no comparison");
            return;
        };
        let per_packet = ms * 1e6 / packets;
        measurement.sample("time_per_packet", "ns", per_packet);
        measurement.sample("rate", "pps", 1e9 / per_packet);
        ratio.sample("rate", "x", per_packet / ours);
    }
    recorder.add(measurement);
    recorder.add(ratio);
}

pub(super) fn gather(path: &Path, files: &mut Vec<PathBuf>) {
    match std::fs::read_dir(path) {
        Ok(entries) => entries.flatten().for_each(|entry| gather(&entry.path(), files)),
        Err(_) => files.push(path.to_owned()),
    }
}

/// What can be read of a capture.
fn read(file: &Path, packets: &mut Vec<Captured>) {
    let Ok(source) = File::open(file) else { return };
    let Ok(mut reader) = SavefileReader::new(source) else { return };
    while let Ok(Some(record)) = reader.next() {
        packets.push(Captured { bytes: record.bytes.into(), link: record.link, at: record.wall });
    }
}
