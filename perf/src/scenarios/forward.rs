//! How fast, at what cost and how late do peers forward? One after the other through the same rig.

use std::path::PathBuf;
use std::time::Duration;

use super::{Error, Outcome};
use crate::drivers::{self, Running, veth};
use crate::measure::cost::{self, Total, nominal_ghz};
use crate::measure::search::{Found, Phase, Plan, zero_loss};
use crate::measure::trial::{Bench, Trial};
use crate::report::result::{Measurement, Recorder};
use crate::rig::sender::Rate;
use crate::rig::{self, Rig};
use crate::traffic::{Kind, Spec, Workload};

/// A peer by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Driver {
    /// A forwarder that only moves AF_XDP descriptors.
    Bare,
    /// `jarvis run`, see --binary.
    Jarvis,
    /// The kernel: routing, conntrack, nftables.
    Nft,
    /// Suricata inline over AF_PACKET.
    Suricata,
}

/// What is forwarded, by whom, for how long.
#[derive(Debug, Clone)]
pub(crate) struct Plans {
    pub(crate) rig: rig::Config,
    pub(crate) drivers: Vec<Driver>,
    pub(crate) binary: PathBuf,
    pub(crate) wait: String,
    pub(crate) rules: Option<PathBuf>,
    pub(crate) kind: Kind,
    pub(crate) flows: u32,
    pub(crate) policies: usize,
    pub(crate) packets_per_connection: u32,
    pub(crate) seed: u64,
    pub(crate) runs: u32,
    pub(crate) quick: bool,
}

impl Plans {
    fn probe_time(&self, phase: Phase) -> Duration {
        match (self.quick, phase) {
            (true, Phase::Search) => Duration::from_millis(400),
            (true, Phase::Confirm) => Duration::from_secs(1),
            (false, Phase::Search) => Duration::from_secs(2),
            (false, Phase::Confirm) => Duration::from_secs(10),
        }
    }

    fn plan(&self) -> Plan {
        Plan { tolerance: if self.quick { 0.03 } else { 0.01 }, confirmations: 3 }
    }

    /// The workload as `driver` needs it: a router is addressed by its MAC.
    pub(crate) fn workload(&self, driver: Driver) -> Result<Workload, Error> {
        let mut spec = Spec::new(self.kind.clone(), self.flows, self.seed);
        spec.packets_per_connection = self.packets_per_connection;
        match driver {
            Driver::Nft => (spec.mac_from_a, spec.mac_from_b) = (rig::MAC_PORT_A, rig::MAC_PORT_B),
            Driver::Bare | Driver::Jarvis | Driver::Suricata => {}
        }
        Ok(Workload::new(&spec)?)
    }

    /// Starts `driver` between the ports.
    pub(crate) fn start(&self, rig: &Rig, driver: Driver) -> Result<Running, Error> {
        let flows = u64::from(self.flows);
        Ok(match driver {
            Driver::Bare => drivers::bare::start(rig, self.wait == "busy_poll")?,
            Driver::Jarvis => self.start_jarvis(rig, &self.binary)?,
            Driver::Nft => drivers::nft::start(rig, flows, self.policies)?,
            Driver::Suricata => drivers::suricata::start(rig, flows, self.rules.as_deref())?,
        })
    }

    fn start_jarvis(&self, rig: &Rig, binary: &std::path::Path) -> Result<Running, Error> {
        let options = veth::Options {
            binary: binary.into(),
            flows: u64::from(self.flows),
            policies: self.policies,
            wait: self.wait.clone(),
        };
        Ok(veth::start(rig, &options)?)
    }

    fn measurement(&self, name: &str, workload: &Workload, device: &Running) -> Measurement {
        let mut measurement =
            Measurement::new(name, self.kind.to_string(), workload.flows.max(1), self.policies as u64);
        measurement.notes.clone_from(&device.notes);
        measurement
            .note("sender", "XDP live frames from one core, NAPI of the ports threaded on the device's core");
        measurement
            .note("frame length", format!("{:.0} bytes without FCS on average", workload.load.mean_len()));
        measurement
    }
}

/// A rig for one device; the calling thread moves to the sender's core.
pub(crate) fn rig_for(plans: &Plans) -> Result<Rig, Error> {
    let rig = Rig::new(plans.rig.clone())?;
    core_affinity::set_for_current(core_affinity::CoreId { id: plans.rig.sender_core });
    Ok(rig)
}

/// Zero-loss rate of each driver; with `costs` also cycles and latency at half of the first driver's rate,
/// which is then `bare`.
///
/// # Errors
///
/// A device that does not start or ends; BPF.
pub(crate) fn compare_drivers(plans: &Plans, scenario: &str, costs: bool) -> Outcome {
    let mut recorder = Recorder::new(scenario, plans.seed);
    let mut measurements: Vec<Measurement> = Vec::new();
    for run in 0..plans.runs {
        let mut half = None;
        for (index, driver) in plans.drivers.iter().enumerate() {
            let rig = rig_for(plans)?;
            let workload = plans.workload(*driver)?;
            let device = plans.start(&rig, *driver)?;
            let name = device.name.clone();
            crate::say(&format!("run {} of {}: {name}", run + 1, plans.runs));
            if measurements.len() <= index {
                measurements.push(plans.measurement(&name, &workload, &device));
            }
            let measurement = &mut measurements[index];
            let mut bench = Bench::new(&rig, device, &workload)?;
            let found = search(plans, &mut bench)?;
            measurement.sample_bound("rate", "pps", found.rate_pps, found.sender_bound);
            measurement.keep(&found);
            let half = *half.get_or_insert(found.rate_pps / 2.0);
            if costs && half > 0.0 {
                let trial = bench.trial(Rate::PacketsPerSecond(half), plans.probe_time(Phase::Confirm))?;
                add_costs(measurement, &trial);
                measurement.keep(&trial);
            }
        }
    }
    let ratios = ratios(&measurements);
    for measurement in measurements.into_iter().chain(ratios) {
        recorder.add(measurement);
    }
    Ok(recorder.finish())
}

/// Two builds of the appliance, turn by turn, so that a drift of the machine meets both.
///
/// # Errors
///
/// A device that does not start or ends; BPF.
pub(crate) fn ab(plans: &Plans, builds: &[PathBuf; 2]) -> Outcome {
    let mut recorder = Recorder::new("ab", plans.seed);
    let mut measurements: Vec<Measurement> = Vec::new();
    let mut half = None;
    for run in 0..plans.runs {
        for (index, (letter, binary)) in ["A", "B"].iter().zip(builds).enumerate() {
            let rig = rig_for(plans)?;
            let workload = plans.workload(Driver::Jarvis)?;
            let device = plans.start_jarvis(&rig, binary)?;
            crate::say(&format!("run {} of {}: {letter}", run + 1, plans.runs));
            if measurements.len() <= index {
                measurements.push(plans.measurement(letter, &workload, &device));
            }
            let measurement = &mut measurements[index];
            let mut bench = Bench::new(&rig, device, &workload)?;
            let found = search(plans, &mut bench)?;
            measurement.sample_bound("rate", "pps", found.rate_pps, found.sender_bound);
            measurement.keep(&found);
            let half = *half.get_or_insert(found.rate_pps / 2.0);
            if half > 0.0 {
                let trial = bench.trial(Rate::PacketsPerSecond(half), plans.probe_time(Phase::Confirm))?;
                add_costs(measurement, &trial);
                measurement.keep(&trial);
            }
        }
    }
    measurements.into_iter().for_each(|measurement| recorder.add(measurement));
    Ok(recorder.finish())
}

fn search(plans: &Plans, bench: &mut Bench<'_>) -> Result<Found, Error> {
    let ceiling = bench.trial(Rate::Unlimited, Duration::from_millis(500))?;
    // A little below what the sender can do at all: at the very ceiling it cannot keep its pace even.
    let ceiling_pps = ceiling.sent.rate_pps() * 0.97;
    Ok(zero_loss(plans.plan(), ceiling_pps, |rate, phase| {
        let trial = bench.trial(Rate::PacketsPerSecond(rate), plans.probe_time(phase))?;
        let probe = trial.probe();
        crate::say(&format!(
            "  {:>9.0} pps asked, {:>9.0} reached, {:>8} lost ({})",
            probe.asked_pps,
            probe.reached_pps,
            probe.lost,
            match phase {
                Phase::Search => "search",
                Phase::Confirm => "confirm",
            }
        ));
        Ok::<_, drivers::Error>(probe)
    })?)
}

/// Cycles, instructions, time, latency and loss of one paced trial.
pub(crate) fn add_costs(measurement: &mut Measurement, trial: &Trial) {
    let packets = trial.sent.packets.max(1) as f64;
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
        measurement.sample(&format!("{part}_cycles_per_packet"), "cycles", cycles / packets);
        measurement.sample(&format!("{part}_cpu_ns_per_packet"), "ns", cpu_ns as f64 / packets);
        if let Some(instructions) = instructions {
            let each = instructions as f64 / packets;
            measurement.sample(&format!("{part}_instructions_per_packet"), "instructions", each);
        }
    }
    measurement.sample("half_rate_loss", "share", trial.probe().loss());
    if let Some(latency) = trial.latency {
        for (name, value) in [
            ("latency_p50", latency.p50_ns),
            ("latency_p99", latency.p99_ns),
            ("latency_p999", latency.p999_ns),
            ("latency_max", latency.max_ns),
        ] {
            measurement.sample(name, "ns", value as f64);
        }
    }
}

/// Each driver against `bare`: rates and cycles, run by run.
fn ratios(measurements: &[Measurement]) -> Vec<Measurement> {
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
            for name in ["rate", "worker_cycles_per_packet", "device_cycles_per_packet", "latency_p999"] {
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
            let device = "device_cycles_per_packet";
            let suricata = measurements.iter().find(|other| other.driver == "suricata");
            if let (Some(ours), Some(theirs), Some(least)) =
                (measurement.median(device), suricata.and_then(|one| one.median(device)), bare.median(device))
                && theirs > least
                && measurement.driver == "jarvis"
            {
                // (ours - bare) / (Suricata - bare)
                ratio.sample("overhead_against_suricata", "x", (ours - least) / (theirs - least));
            }
            ratio
        })
        .collect()
}

/// Policies are reloaded while packets flow at half of the device's zero-loss rate.
///
/// # Errors
///
/// A device that does not start or ends; BPF.
pub(crate) fn reload(plans: &Plans, measurement_of: impl FnOnce(Measurement)) -> Result<(), Error> {
    let rig = rig_for(plans)?;
    let workload = plans.workload(Driver::Jarvis)?;
    let device = plans.start(&rig, Driver::Jarvis)?;
    let mut measurement = plans.measurement("jarvis", &workload, &device);
    let mut bench = Bench::new(&rig, device, &workload)?;
    let found = search(plans, &mut bench)?;
    measurement.sample_bound("rate", "pps", found.rate_pps, found.sender_bound);
    let (Some(folder), Some(pid)) = (bench.device.folder(), bench.device.pid()) else {
        return Err(Error::Broken("the appliance runs without a process".to_owned()));
    };
    let file = veth::policy_file(folder);
    let duration = plans.probe_time(Phase::Confirm) * 2;
    let writer = std::thread::spawn(move || {
        std::thread::sleep(duration / 3);
        let written = std::fs::write(&file, crate::policies::json(10_000, false));
        written.is_ok() && rig::command::run(&format!("kill -HUP {pid}")).is_ok()
    });
    let trial = bench.trial(Rate::PacketsPerSecond(found.rate_pps / 2.0), duration)?;
    if !writer.join().unwrap_or(false) {
        return Err(Error::Broken("the policy file could not be replaced".to_owned()));
    }
    measurement.sample("lost_packets", "packets", trial.lost as f64);
    measurement.keep(&trial);
    measurement_of(measurement);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn plans(driver: Driver) -> Plans {
        Plans {
            rig: rig::Config {
                prefix: "pfunit".to_owned(),
                sender_core: 0,
                dut_core: 1,
                queues: 1,
                mtu: 1500,
            },
            drivers: vec![driver],
            binary: PathBuf::new(),
            wait: "interrupt".to_owned(),
            rules: None,
            kind: Kind::Udp64,
            flows: 200,
            policies: 10,
            packets_per_connection: 10,
            seed: 1,
            runs: 1,
            quick: true,
        }
    }

    /// One test, because rigs of one prefix exclude each other.
    #[test]
    fn slow_traffic_crosses_the_bare_forwarder_and_the_kernels_firewall_without_loss() {
        if std::fs::metadata("/proc/self").unwrap().uid() != 0 {
            crate::say("skipped: network namespaces need root");
            return;
        }
        for (driver, name) in [(Driver::Bare, "bare"), (Driver::Nft, "nft")] {
            let plans = plans(driver);
            let rig = rig_for(&plans).unwrap();
            let workload = plans.workload(driver).unwrap();
            let device = plans.start(&rig, driver).unwrap();
            let mut bench = Bench::new(&rig, device, &workload).unwrap();
            // Slow enough that a busy machine's pauses do not fill a veth's ring of 256.
            let trial = bench.trial(Rate::PacketsPerSecond(500.0), Duration::from_secs(2)).unwrap();
            assert!(trial.sent.packets > 10, "{name} {trial:?}");
            assert_eq!(trial.lost, 0, "{name} {trial:?}");
            assert!(trial.latency.is_some() && trial.spent.iter().any(|one| one.napi), "{name} {trial:?}");
        }
    }

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
