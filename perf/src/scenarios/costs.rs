//! What did a paced trial cost, and how do peers compare? Values of a measurement, and their ratios to
//! `bare`.

use crate::measure::cost::{self, Total, nominal_ghz};
use crate::measure::trial::Trial;
use crate::report::result::Measurement;

/// Cycles, instructions, time, latency and loss of one paced trial, as values whose names begin with
/// `prefix`. A packet that was lost is nobody's work: costs are shared by those that arrived.
pub(super) fn add(measurement: &mut Measurement, prefix: &str, trial: &Trial) {
    let packets = trial.arrived.max(1) as f64;
    let ghz = nominal_ghz();
    // The worker is the busiest thread that is not NAPI's.
    let worker = trial.spent.iter().filter(|one| !one.napi).max_by_key(|one| one.cpu_ns);
    let parts = [
        ("worker", worker.map(|worker| cost::total(std::slice::from_ref(worker), |_| true))),
        ("device", Some(cost::total(&trial.spent, |_| true))),
    ];
    for (part, total) in parts {
        let Some(Total { cpu_ns, cycles, instructions }) = total else { continue };
        let cycles = cycles.map_or(cpu_ns as f64 * ghz, |cycles| cycles as f64);
        measurement.sample(&format!("{prefix}{part}_cycles_per_packet"), "cycles", cycles / packets);
        measurement.sample(&format!("{prefix}{part}_cpu_ns_per_packet"), "ns", cpu_ns as f64 / packets);
        if let Some(instructions) = instructions {
            let each = instructions as f64 / packets;
            measurement.sample(&format!("{prefix}{part}_instructions_per_packet"), "instructions", each);
        }
    }
    measurement.sample(&format!("{prefix}loss"), "share", trial.probe().loss());
    if let Some(latency) = trial.latency {
        for (name, value) in [
            ("latency_p50", latency.p50_ns),
            ("latency_p99", latency.p99_ns),
            ("latency_p999", latency.p999_ns),
            ("latency_max", latency.max_ns),
        ] {
            measurement.sample(&format!("{prefix}{name}"), "ns", value as f64);
        }
    }
}

/// Values of which ratios are taken.
const COMPARED: [&str; 8] = [
    "rate",
    "saturated_rate",
    "half_worker_cycles_per_packet",
    "half_device_cycles_per_packet",
    "half_latency_p999",
    "paced_worker_cycles_per_packet",
    "paced_device_cycles_per_packet",
    "paced_latency_p999",
];

/// Each driver against `bare`: rates, cycles and latency, turn by turn.
pub(super) fn ratios(measurements: &[Measurement]) -> Vec<Measurement> {
    let Some(bare) = measurements.iter().find(|measurement| measurement.driver == "bare") else {
        return Vec::new();
    };
    measurements
        .iter()
        .filter(|measurement| measurement.driver != "bare")
        .map(|measurement| {
            let mut ratio = Measurement::new(
                format!("{} / bare", measurement.driver),
                measurement.workload.clone(),
                measurement.flows,
                measurement.policies,
            );
            for name in COMPARED {
                let (Some(ours), Some(yardstick)) = (measurement.values.get(name), bare.values.get(name))
                else {
                    continue;
                };
                for (one, other) in ours.samples.iter().zip(&yardstick.samples) {
                    if *other > 0.0 {
                        ratio.sample_bound(name, "x", one / other, false);
                    }
                }
            }
            let suricata = measurements.iter().find(|other| other.driver == "suricata");
            for prefix in ["half_", "paced_"] {
                let device = format!("{prefix}device_cycles_per_packet");
                if let (Some(ours), Some(theirs), Some(least)) = (
                    measurement.median(&device),
                    suricata.and_then(|one| one.median(&device)),
                    bare.median(&device),
                ) && theirs > least
                    && measurement.driver == "jarvis"
                {
                    // (ours - bare) / (Suricata - bare)
                    let share = (ours - least) / (theirs - least);
                    ratio.sample(&format!("{prefix}overhead_against_suricata"), "x", share);
                }
            }
            ratio
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_taken_run_by_run_against_the_bare_forwarder() {
        let mut bare = Measurement::new("bare", "64b", 1, 1);
        let mut ours = Measurement::new("jarvis", "64b", 1, 1);
        for (yardstick, rate) in [(2e6, 1e6), (1e6, 9e5)] {
            bare.sample("rate", "pps", yardstick);
            ours.sample("rate", "pps", rate);
        }
        let ratios = ratios(&[bare, ours]);
        assert_eq!(ratios.len(), 1);
        assert_eq!(ratios[0].values["rate"].samples, [0.5, 0.9]);
    }
}
