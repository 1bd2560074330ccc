//! How fast, at what cost and how late do peers forward? By turns, each in a rig made alike.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::{Error, Outcome, costs};
use crate::drivers::{self, Running, veth};
use crate::measure::search::{Found, Phase, Plan, zero_loss};
use crate::measure::trial::Bench;
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
    /// Turns of saturated and paced trials.
    pub(crate) turns: u32,
    /// At which rate costs are measured in each turn.
    pub(crate) cost_pps: Option<f64>,
    pub(crate) quick: bool,
}

impl Plans {
    fn turn_time(&self) -> Duration {
        Duration::from_secs(if self.quick { 1 } else { 2 })
    }

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
        self.start_build(rig, driver, &self.binary)
    }

    fn start_build(&self, rig: &Rig, driver: Driver, binary: &std::path::Path) -> Result<Running, Error> {
        let flows = u64::from(self.flows);
        Ok(match driver {
            Driver::Bare => drivers::bare::start(rig, self.wait == "busy_poll")?,
            Driver::Jarvis => self.start_jarvis(rig, binary)?,
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

/// Zero-loss rate of each driver; with `costs` also saturated rates, cycles and latency.
///
/// # Errors
///
/// A device that does not start or ends; BPF.
pub(crate) fn compare_drivers(plans: &Plans, scenario: &str, costs: bool) -> Outcome {
    let contenders = plans.drivers.iter().map(|driver| (None, *driver, plans.binary.clone())).collect();
    compare(plans, scenario, contenders, costs)
}

/// Two builds of the appliance.
///
/// # Errors
///
/// A device that does not start or ends; BPF.
pub(crate) fn ab(plans: &Plans, builds: &[PathBuf; 2]) -> Outcome {
    let [a, b] = builds.clone();
    compare(plans, "ab", vec![(Some("A"), Driver::Jarvis, a), (Some("B"), Driver::Jarvis, b)], true)
}

/// A name other than the driver's, the driver, the build of the appliance.
type Contender = (Option<&'static str>, Driver, PathBuf);

/// All contenders by turns, so that a drift of the machine meets each alike: first the short trials that a
/// restless machine cannot spoil, then the searches.
fn compare(plans: &Plans, scenario: &str, contenders: Vec<Contender>, costs: bool) -> Outcome {
    let mut recorder = Recorder::new(scenario, plans.seed);
    let mut comparison = Comparison { plans, contenders, measurements: Vec::new() };
    if costs {
        comparison.saturate()?;
    }
    comparison.search(costs)?;
    let ratios = costs::ratios(&comparison.measurements);
    for measurement in comparison.measurements.into_iter().chain(ratios) {
        recorder.add(measurement);
    }
    Ok(recorder.finish())
}

struct Comparison<'plans> {
    plans: &'plans Plans,
    contenders: Vec<Contender>,
    measurements: Vec<Measurement>,
}

impl Comparison<'_> {
    /// What each delivers of all that the sender can send, and what it costs at one paced rate for all: that
    /// of `--cost-rate`, else half of what the first delivered in its first turn.
    fn saturate(&mut self) -> Result<(), Error> {
        let (plans, duration) = (self.plans, self.plans.turn_time());
        let mut paced_pps = plans.cost_pps;
        for turn in 0..plans.turns {
            for index in 0..self.contenders.len() {
                self.at(index, &format!("turn {} of {}", turn + 1, plans.turns), |bench, measurement| {
                    let flood = bench.trial(Rate::Unlimited, duration)?;
                    let (offered_pps, delivered_pps) = (flood.sent.rate_pps(), flood.delivered_pps());
                    let sender_bound = delivered_pps >= offered_pps * SENDER_BOUND;
                    measurement.sample_bound("saturated_rate", "pps", delivered_pps, sender_bound);
                    measurement.sample("saturated_offered", "pps", offered_pps);
                    measurement.keep(&flood);
                    let pps = *paced_pps.get_or_insert((delivered_pps / 2.0 / 1e4).round().max(1.0) * 1e4);
                    let paced = bench.trial(Rate::PacketsPerSecond(pps), duration)?;
                    costs::add(measurement, "paced_", &paced);
                    measurement.keep(&paced);
                    crate::say(&format!(
                        "  {delivered_pps:>9.0} pps delivered of {offered_pps:>9.0}; at {pps:.0} pps {} of {} lost",
                        paced.lost, paced.sent.packets
                    ));
                    Ok(())
                })?;
            }
        }
        for measurement in &mut self.measurements {
            let pps = paced_pps.unwrap_or_default();
            measurement.note("paced", format!("costs and latency of paced_* at {pps:.0} packets a second"));
        }
        Ok(())
    }

    /// Zero-loss rates; with `costs` also cycles and latency at half of the first one's.
    fn search(&mut self, costs: bool) -> Result<(), Error> {
        let plans = self.plans;
        for run in 0..plans.runs {
            let mut half_pps = None;
            for index in 0..self.contenders.len() {
                self.at(index, &format!("run {} of {}", run + 1, plans.runs), |bench, measurement| {
                    let found = search(plans, bench)?;
                    add_found(measurement, &found);
                    let half_pps = *half_pps.get_or_insert(found.rate_pps / 2.0);
                    if costs && half_pps > 0.0 {
                        let trial = bench
                            .trial(Rate::PacketsPerSecond(half_pps), plans.probe_time(Phase::Confirm))?;
                        costs::add(measurement, "half_", &trial);
                        measurement.keep(&trial);
                    }
                    Ok(())
                })?;
            }
        }
        Ok(())
    }

    /// Sets contender `index` up in a rig of its own, and takes it down again.
    fn at(
        &mut self,
        index: usize,
        turn: &str,
        act: impl FnOnce(&mut Bench<'_>, &mut Measurement) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let (plans, (label, driver, binary)) = (self.plans, &self.contenders[index]);
        let rig = rig_for(plans)?;
        let workload = plans.workload(*driver)?;
        let device = plans.start_build(&rig, *driver, binary)?;
        let name = label.map_or_else(|| device.name.clone(), str::to_owned);
        crate::say(&format!("{turn}: {name}"));
        if self.measurements.len() <= index {
            self.measurements.push(plans.measurement(&name, &workload, &device));
        }
        let mut bench = Bench::new(&rig, device, &workload)?;
        act(&mut bench, &mut self.measurements[index])
    }
}

fn add_found(measurement: &mut Measurement, found: &Found) {
    measurement.sample_bound("rate", "pps", found.rate_pps, found.sender_bound);
    measurement.sample("void_trials", "trials", f64::from(found.void_trials));
    measurement.keep(found);
}

/// A device that delivers this share of what is offered is not what limits the rate.
const SENDER_BOUND: f64 = 0.99;
/// How often one trial is repeated because the machine stood still, and how often in one search: a machine
/// that never stands firm is told of by the number of void trials, and its trials count as they are.
const VOID_IN_A_ROW_MAX: u32 = 5;
const VOID_MAX: u32 = 30;

fn search(plans: &Plans, bench: &mut Bench<'_>) -> Result<Found, Error> {
    let ceiling = bench.trial(Rate::Unlimited, Duration::from_millis(500))?;
    // A little below what the sender can do at all: at the very ceiling it cannot keep its pace even.
    let ceiling_pps = ceiling.sent.rate_pps() * 0.97;
    let mut void_trials = 0;
    let found = zero_loss(plans.plan(), ceiling_pps, |rate, phase| {
        let mut in_a_row = 0;
        loop {
            let (trial, stalls) =
                bench.watched_trial(Rate::PacketsPerSecond(rate), plans.probe_time(phase))?;
            let probe = trial.probe();
            // Lost because a core was gone; or passed, but at a lower rate, because the sender was held up.
            let disturbed =
                if probe.passes() { !probe.kept_pace() } else { stalls.explain(probe.lost, rate) };
            let is_void = disturbed && in_a_row < VOID_IN_A_ROW_MAX && void_trials < VOID_MAX;
            crate::say(&format!(
                "  {:>9.0} pps asked, {:>9.0} reached, {:>8} lost ({}){}",
                probe.asked_pps,
                probe.reached_pps,
                probe.lost,
                match phase {
                    Phase::Search => "search",
                    Phase::Confirm => "confirm",
                },
                match (stalls.stalls, is_void) {
                    (0, false) => String::new(),
                    (0, true) => " void".to_owned(),
                    (times, is_void) => format!(
                        " stood still {times} times, {} us{}",
                        stalls.total_ns / 1000,
                        if is_void { ": void" } else { "" }
                    ),
                }
            ));
            if !is_void {
                return Ok::<_, drivers::Error>(probe);
            }
            in_a_row += 1;
            void_trials += 1;
        }
    })?;
    Ok(Found { void_trials, ..found })
}

/// How long a reload may take until it is given up.
const RELOAD_MAX: Duration = Duration::from_secs(120);

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
    add_found(&mut measurement, &found);
    let (Some(folder), Some(pid)) = (bench.device.folder(), bench.device.pid()) else {
        return Err(Error::Broken("the appliance runs without a process".to_owned()));
    };
    let (file, output) = (veth::policy_file(folder), folder.join("output"));
    let duration = plans.probe_time(Phase::Confirm) * 2;
    let announced = move || {
        let text = std::fs::read_to_string(&output).unwrap_or_default();
        text.lines().filter(|line| line.contains("put in force")).map(str::to_owned).collect::<Vec<_>>()
    };
    let reload = std::thread::spawn(move || {
        std::thread::sleep(duration / 3);
        let before = announced().len();
        let written = std::fs::write(&file, crate::policies::json(10_000, false)).is_ok();
        let start = Instant::now();
        let told = written && rig::command::run(&format!("kill -HUP {pid}")).is_ok();
        while told && start.elapsed() < RELOAD_MAX {
            if let Some(line) = announced().get(before) {
                return Some(line.clone());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        None
    });
    let mut lost = 0;
    loop {
        let is_over = reload.is_finished();
        let trial = bench.trial(Rate::PacketsPerSecond(found.rate_pps / 2.0), duration)?;
        lost += trial.lost;
        measurement.keep(&trial);
        // The last trial was sent wholly under the new policies.
        if is_over {
            break;
        }
    }
    let Ok(Some(line)) = reload.join() else {
        return Err(Error::Broken(format!(
            "the new policies were not put in force: {}",
            bench.device.said()
        )));
    };
    for (name, field) in [("compile", "compile_us="), ("in_force", "in_force_us=")] {
        if let Some(us) = number_after(&line, field) {
            measurement.sample(name, "ms", us / 1e3);
        }
    }
    measurement.sample("lost_packets", "packets", lost as f64);
    measurement_of(measurement);
    Ok(())
}

/// The number behind `field` in a line of the appliance's log.
fn number_after(line: &str, field: &str) -> Option<f64> {
    let rest = line.split_once(field)?.1;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
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
            turns: 1,
            cost_pps: None,
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
    fn times_of_a_reload_are_read_from_the_log() {
        let line = "INFO a policy set was put in force version=2 policies=10 compile_us=6151 in_force_us=87";
        assert_eq!(number_after(line, "compile_us="), Some(6151.0));
        assert_eq!(number_after(line, "in_force_us="), Some(87.0));
        assert_eq!(number_after(line, "sweep_us="), None);
    }
}
