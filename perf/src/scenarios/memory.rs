//! What can the engine do by itself? Rates, connections, memory, reload and floods without a kernel.

use std::sync::Arc;
use std::time::Instant;

use dataplane::control::Settings;
use dataplane::policy::{Evaluation, Fact, Facts, Names, PolicySet, Scratch};
use dataplane::time::Wall;

use super::{Error, Outcome};
use crate::drivers::engine::{Bench, Pass};
use crate::report::result::{Measurement, Recorder};
use crate::traffic::random::Random;
use crate::traffic::{Kind, Spec, Workload, workload};
use crate::users;

/// A flow table is measured at this load, as DESIGN's bounds say.
const LOAD: f64 = 0.85;
/// Packets of one measured pass at least.
const PASS_MIN: usize = 4_000_000;

/// What is varied.
#[derive(Debug, Clone)]
pub(crate) struct Sweep {
    pub(crate) kind: Kind,
    pub(crate) flows: Vec<u32>,
    pub(crate) policies: Vec<usize>,
    pub(crate) runs: u32,
    pub(crate) seed: u64,
    pub(crate) quick: bool,
    pub(crate) core: usize,
}

impl Sweep {
    fn pass_len(&self, trace_len: usize) -> usize {
        if self.quick { (PASS_MIN / 4).max(trace_len) } else { PASS_MIN.max(trace_len) }
    }
}

/// Rate and time per packet for every number of flows and policies.
///
/// # Errors
///
/// A packet of an established flow that is not forwarded, or an allocation: the number would mean nothing.
pub(crate) fn engine(sweep: &Sweep, scenario: &str) -> Outcome {
    core_affinity::set_for_current(core_affinity::CoreId { id: sweep.core });
    let mut recorder = Recorder::new(scenario, sweep.seed);
    for flows in &sweep.flows {
        let load = Workload::new(&Spec::new(sweep.kind.clone(), *flows, sweep.seed))?;
        for policies in &sweep.policies {
            crate::say(&format!("{flows} flows, {policies} policies"));
            let mut bench = Bench::new(capacity(*flows), policy_set(*policies, false)?, sweep.seed);
            let mut measurement =
                Measurement::new("engine", sweep.kind.to_string(), u64::from(*flows), *policies as u64);
            measurement.note("copy", "packets are copied into 64 frames first; that time is subtracted");
            if !load.warm_up.is_empty() {
                bench.pass(&load.warm_up, 0, load.warm_up.len());
            }
            // Caches and page tables: once through every flow.
            bench.pass(&load.load, 0, load.load.len());
            for _ in 0..sweep.runs {
                let pass = bench.pass(&load.load, 0, sweep.pass_len(load.load.len()));
                measurement.sample("rate", "pps", pass.rate_pps());
                measurement.sample("time_per_packet", "ns", pass.ns_per_packet());
                measurement.sample("copy_per_packet", "ns", pass.copy_ns as f64 / pass.packets as f64);
                measurement.sample("allocations", "calls", pass.allocations as f64);
                measurement.keep(&pass);
                check_steady(&sweep.kind, &pass)?;
            }
            measurement.sample("flows_in_table", "flows", bench.active() as f64);
            recorder.add(measurement);
        }
    }
    Ok(recorder.finish())
}

fn check_steady(kind: &Kind, pass: &Pass) -> Result<(), Error> {
    let steady = matches!(kind, Kind::Udp64 | Kind::Tcp64 | Kind::Imix | Kind::Large);
    if steady && pass.sent != pass.packets {
        return Err(Error::Broken(format!(
            "{} of {} packets of established flows were forwarded",
            pass.sent, pass.packets
        )));
    }
    if steady && pass.allocations > 0 {
        return Err(Error::Broken(format!(
            "{} calls of the allocator in {} packets; there may be none",
            pass.allocations, pass.packets
        )));
    }
    Ok(())
}

/// Connections from SYN to the last ACK, and flows from their first packet.
///
/// # Errors
///
/// No such workload.
pub(crate) fn connections(sweep: &Sweep) -> Outcome {
    const CONNECTION: u32 = 7;
    core_affinity::set_for_current(core_affinity::CoreId { id: sweep.core });
    let mut recorder = Recorder::new("connections", sweep.seed);
    for policies in &sweep.policies {
        let connections = if sweep.quick { 100_000 } else { 500_000 };
        let spec =
            Spec { packets_per_connection: CONNECTION, ..Spec::new(Kind::Churn, connections, sweep.seed) };
        let load = Workload::new(&spec)?.load;
        let mut measurement = Measurement::new("engine", "churn", u64::from(connections), *policies as u64);
        measurement.note(
            "connection",
            "7 packets: SYN, SYN-ACK, ACK, data, FIN, FIN, ACK, each judged and recorded",
        );
        for _ in 0..sweep.runs {
            let mut bench = Bench::new(capacity(connections), policy_set(*policies, false)?, sweep.seed);
            let pass = bench.pass(&load, 0, load.len());
            let per_connection_ns = pass.ns_per_packet() * f64::from(CONNECTION);
            measurement.sample("connections", "per_s", 1e9 / per_connection_ns);
            measurement.sample("time_per_packet", "ns", pass.ns_per_packet());
            measurement.sample("not_forwarded", "packets", (pass.packets - pass.sent) as f64);
            measurement.sample("allocations", "calls", pass.allocations as f64);
            measurement.keep(&pass);
        }
        recorder.add(measurement);

        let first = Workload::new(&Spec::new(Kind::Udp64, connections, sweep.seed))?.load;
        let mut measurement =
            Measurement::new("engine", "first packets", u64::from(connections), *policies as u64);
        for _ in 0..sweep.runs {
            let mut bench = Bench::new(capacity(connections), policy_set(*policies, false)?, sweep.seed);
            let pass = bench.pass(&first, 0, first.len());
            measurement.sample("new_flows", "per_s", pass.rate_pps());
            measurement.sample("not_forwarded", "packets", (pass.packets - pass.sent) as f64);
            measurement.keep(&pass);
        }
        recorder.add(measurement);
    }
    Ok(recorder.finish())
}

/// Resident memory of a full table, by difference.
///
/// # Errors
///
/// The generated policies do not compile.
pub(crate) fn memory(sweep: &Sweep) -> Outcome {
    let mut recorder = Recorder::new("memory", sweep.seed);
    for flows in &sweep.flows {
        for (kind, name) in [(Kind::Udp64, "UDP flows"), (Kind::Tcp64, "TCP flows")] {
            let load = Workload::new(&Spec::new(kind, *flows, sweep.seed))?;
            let mut measurement = Measurement::new("engine", name, u64::from(*flows), 0);
            measurement.note("table", format!("filled to {LOAD}"));
            let policy = policy_set(0, false)?;
            let before = rss_bytes();
            let mut bench = Bench::new(capacity(*flows), policy, sweep.seed);
            let empty = rss_bytes();
            bench.pass(&load.warm_up, 0, load.warm_up.len());
            let full = rss_bytes();
            let active = bench.active().max(1) as f64;
            measurement.sample("rss_engine_empty", "bytes", empty.saturating_sub(before) as f64);
            measurement.sample("rss_engine_full", "bytes", full.saturating_sub(before) as f64);
            measurement.sample("per_flow", "bytes", full.saturating_sub(before) as f64 / active);
            measurement.sample("flows_in_table", "flows", active);
            recorder.add(measurement);
        }
    }
    Ok(recorder.finish())
}

/// A reload to 10,000 policies while a million flows send.
///
/// # Errors
///
/// The generated policies do not compile.
pub(crate) fn reload(sweep: &Sweep) -> Result<Recorder, Error> {
    core_affinity::set_for_current(core_affinity::CoreId { id: sweep.core });
    let mut recorder = Recorder::new("reload", sweep.seed);
    for flows in &sweep.flows {
        let load = Workload::new(&Spec::new(Kind::Udp64, *flows, sweep.seed))?;
        let mut bench = Bench::new(capacity(*flows), policy_set(1_000, false)?, sweep.seed);
        bench.pass(&load.warm_up, 0, load.warm_up.len());
        bench.pass(&load.load, 0, load.load.len());
        let mut measurement = Measurement::new("engine", "64b", u64::from(*flows), 10_000);
        measurement.note("reload", "from 1,000 to 10,000 policies; the load goes on at full speed meanwhile");
        for version in 0..sweep.runs {
            let before = bench.pass(&load.load, 0, sweep.pass_len(load.load.len()));
            let flows_before = bench.active();
            // The file's bytes are there; what counts is from reading them to obeying them.
            let text = crate::policies::json(10_000, false);
            let start = Instant::now();
            let set = crate::policies::compile(&text, version + 2).map_err(Error::Broken)?;
            measurement.sample("compile", "ms", start.elapsed().as_secs_f64() * 1e3);
            measurement.sample("set_memory", "bytes", set.memory_bytes() as f64);
            let published = Instant::now();
            bench.door.publisher.publish(set, Settings::default());
            // The next batch obeys it: the worker loads the snapshot once a batch.
            let step = 100_000;
            let mut at = 0;
            let mut during =
                Pass { packets: 0, elapsed_ns: 0, copy_ns: 0, sent: 0, dropped: 0, allocations: 0 };
            let mut in_force_ns = 0;
            loop {
                let pass = bench.pass(&load.load, at, if during.packets == 0 { 64 } else { step });
                if during.packets == 0 {
                    in_force_ns = pass.elapsed_ns;
                }
                at = (at + pass.packets as usize) % load.load.len();
                during.packets += pass.packets;
                during.elapsed_ns += pass.elapsed_ns;
                during.copy_ns += pass.copy_ns;
                during.sent += pass.sent;
                during.dropped += pass.dropped;
                if !bench.engine.is_sweeping() || published.elapsed().as_secs() > 60 {
                    break;
                }
            }
            measurement.sample("in_force", "ms", in_force_ns as f64 / 1e6);
            measurement.sample("sweep", "ms", published.elapsed().as_secs_f64() * 1e3);
            measurement.sample("lost_packets", "packets", (during.packets - during.sent) as f64);
            measurement.sample("lost_flows", "flows", flows_before.saturating_sub(bench.active()) as f64);
            let slower = during.ns_per_packet() / before.ns_per_packet() - 1.0;
            measurement.sample("slower_during_sweep", "share", slower);
            measurement.sample("old_sets_held", "sets", bench.door.publisher.reap() as f64);
            measurement.keep(&before);
            measurement.keep(&during);
        }
        while bench.idle_turn() {}
        recorder.add(measurement);
    }
    Ok(recorder)
}

/// Two million SYNs from ever new sources into a table that holds established flows.
///
/// # Errors
///
/// An established flow was harmed.
pub(crate) fn syn_flood(sweep: &Sweep) -> Outcome {
    core_affinity::set_for_current(core_affinity::CoreId { id: sweep.core });
    let mut recorder = Recorder::new("syn-flood", sweep.seed);
    let established = 100_000;
    let flood_len = if sweep.quick { 500_000 } else { 2_000_000 };
    let steady = Workload::new(&Spec::new(Kind::Tcp64, established, sweep.seed))?;
    let flood = Workload::new(&Spec::new(Kind::SynFlood, flood_len, sweep.seed + 1))?.load;
    for policies in &sweep.policies {
        // Half a million slots: the flood fills the table several times.
        let mut bench = Bench::new(500_000, policy_set(*policies, false)?, sweep.seed);
        bench.pass(&steady.warm_up, 0, steady.warm_up.len());
        bench.pass(&steady.load, 0, steady.load.len());
        let before = bench.established();
        let mut measurement =
            Measurement::new("engine", "syn-flood", u64::from(established), *policies as u64);
        measurement.note("table", "500,000 slots");
        let mut flooded = Pass { packets: 0, elapsed_ns: 0, copy_ns: 0, sent: 0, dropped: 0, allocations: 0 };
        let mut harmed = 0;
        let parts = 20;
        for part in 0..parts {
            let len = flood.len() / parts;
            let pass = bench.pass(&flood, part * len, len);
            flooded.packets += pass.packets;
            flooded.elapsed_ns += pass.elapsed_ns;
            flooded.copy_ns += pass.copy_ns;
            flooded.sent += pass.sent;
            let among = bench.pass(&steady.load, part * 5_000, 5_000);
            harmed += among.packets - among.sent;
        }
        let after = bench.pass(&steady.load, 0, steady.load.len());
        harmed += after.packets - after.sent;
        measurement.sample("flood_rate", "pps", flooded.rate_pps());
        measurement.sample("flood_packets", "packets", flooded.packets as f64);
        measurement.sample("established_before", "flows", before as f64);
        measurement.sample("established_after", "flows", bench.established() as f64);
        measurement.sample("established_packets_lost", "packets", harmed as f64);
        recorder.add(measurement);
    }
    Ok(recorder.finish())
}

/// Policy evaluations a second on one core.
///
/// # Errors
///
/// The generated policies do not compile.
pub(crate) fn policy(sweep: &Sweep) -> Outcome {
    core_affinity::set_for_current(core_affinity::CoreId { id: sweep.core });
    let mut recorder = Recorder::new("policy", sweep.seed);
    for count in &sweep.policies {
        let mixed = crate::policies::mixed_json(*count, sweep.seed);
        let of_users = crate::policies::users_json(*count, sweep.seed);
        let mut names = Names::new();
        let users = users::some(4_096, sweep.seed, &mut names);
        let unknown = facts(sweep.seed);
        let known: Vec<Facts<'_>> =
            unknown.iter().zip(&users).map(|(facts, known)| known.among(*facts)).collect();
        for (name, set, facts) in [
            ("no policy matches", policy_set(*count, false)?, &unknown),
            ("some match", policy_set(*count, true)?, &unknown),
            ("mixed, nested", crate::policies::compile(&mixed, 1).map_err(Error::Broken)?, &unknown),
            (
                "users, applications",
                crate::policies::compile_with(&of_users, 1, &mut names).map_err(Error::Broken)?,
                &known,
            ),
        ] {
            let mut scratch = Scratch::new();
            let mut measurement = Measurement::new("policy", name, 0, *count as u64);
            let decided = facts
                .iter()
                .filter(|one| !matches!(set.evaluate(one, &mut scratch), Evaluation::NoDecision))
                .count();
            if decided != facts.len() {
                return Err(Error::Broken(format!("{decided} of {} evaluations had an answer", facts.len())));
            }
            let turns = if sweep.quick { 100 } else { 500 };
            for _ in 0..sweep.runs {
                let calls = xsk::alloc_count::calls();
                let start = Instant::now();
                for _ in 0..turns {
                    for one in facts {
                        std::hint::black_box(set.evaluate(std::hint::black_box(one), &mut scratch));
                    }
                }
                let each = start.elapsed().as_secs_f64() / (turns * facts.len()) as f64;
                let allocations = xsk::alloc_count::calls() - calls;
                measurement.sample("evaluations", "per_s", 1.0 / each);
                measurement.sample("time_per_evaluation", "ns", each * 1e9);
                measurement.sample("allocations", "calls", allocations as f64);
            }
            recorder.add(measurement);
        }
    }
    Ok(recorder.finish())
}

/// What is known of 4,096 flows of the traffic.
fn facts(seed: u64) -> Vec<Facts<'static>> {
    let mut random = Random::new(seed);
    let spec = Spec::new(Kind::Udp64, 1, seed);
    (0..4096)
        .map(|_| {
            let path = workload::path_of(&spec, random.below(1_000_000));
            let mut facts = Facts::none(Wall(1_700_000_000_000_000_000));
            facts.zone = Fact::Known(0);
            facts.in_port = Fact::Known(0);
            facts.src_ip = Fact::Known(path.src.into());
            facts.dst_ip = Fact::Known(path.dst.into());
            facts.src_port = Fact::Known(path.src_port);
            facts.dst_port = Fact::Known(path.dst_port);
            facts.l4_protocol = Fact::Known(17);
            facts
        })
        .collect()
}

pub(super) fn capacity(flows: u32) -> u32 {
    (f64::from(flows) / LOAD).ceil() as u32
}

pub(super) fn policy_set(count: usize, hits: bool) -> Result<Arc<PolicySet>, Error> {
    crate::policies::compiled(count, hits, 1).map_err(Error::Broken)
}

/// Resident memory of this process.
pub(super) fn rss_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = text
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sweep(flows: u32) -> Sweep {
        Sweep {
            kind: Kind::Udp64,
            flows: vec![flows],
            policies: vec![10],
            runs: 1,
            seed: 1,
            quick: true,
            core: 0,
        }
    }

    #[test]
    fn every_steady_workload_passes_the_engine_whole() {
        for kind in [Kind::Udp64, Kind::Tcp64, Kind::Imix, Kind::Large] {
            let load = Workload::new(&Spec::new(kind.clone(), 500, 1)).unwrap();
            let mut bench = Bench::new(1000, policy_set(20, false).unwrap(), 1);
            let warm = bench.pass(&load.warm_up, 0, load.warm_up.len());
            assert_eq!(warm.sent, warm.packets, "{kind}");
            let pass = bench.pass(&load.load, 0, load.load.len() * 2);
            assert_eq!(pass.sent, pass.packets, "{kind}");
            assert_eq!(bench.active(), 500, "{kind}");
        }
    }

    #[test]
    fn connections_open_and_close_and_fragments_leave_whole() {
        let churn = Workload::new(&Spec::new(Kind::Churn, 300, 1)).unwrap().load;
        let mut bench = Bench::new(1000, policy_set(0, false).unwrap(), 1);
        let pass = bench.pass(&churn, 0, churn.len());
        assert_eq!(pass.sent, pass.packets);
        assert_eq!(bench.established(), 0);
    }

    #[test]
    fn a_flood_harms_no_established_flow() {
        let file = syn_flood(&sweep(1)).unwrap();
        let values = &file.measurements[0];
        assert_eq!(values.median("established_packets_lost"), Some(0.0));
        assert_eq!(values.median("established_after"), values.median("established_before"));
    }
}
