//! What may be typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::report::plot::Over;
use crate::rig;
use crate::scenarios::api::Crowd;
use crate::scenarios::forward::{Driver, Plans};
use crate::scenarios::memory::Sweep;
use crate::traffic::Kind;

/// Measures J.A.R.V.I.S. and its peers on this machine.
///
/// Peers forward the same frames between the same two veth pairs, in network namespaces that are deleted at the
/// end (and at the next start, should this program be killed). The sender and the counters run on one core, the
/// device under test and its share of the kernel on the other. Needs root, Linux 5.18 or later, and programs of
/// the Debian packages iproute2, ethtool, util-linux and procps; nft and suricata for these peers.
///
/// Zero loss is at most 1 packet in 1,000,000 over 10 s (1 s with --quick), three times in a row. A rate at the
/// sender's ceiling is printed as `>= X (sender-bound)`. Numbers from a debug build or a busy machine mean nothing.
#[derive(Debug, Parser)]
#[command(name = "jarvis-perf", version, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Shows workloads, drivers and scenarios.
    List,
    /// Runs one scenario by its name (see `list`), or `all` of them, one result file each.
    Run {
        /// inline, engine, xdp, policy, connections, memory, reload, identity, syn-flood or all.
        scenario: Scenario,
        #[command(flatten)]
        forward: Forward,
        /// Folder for the result files.
        #[arg(long, value_name = "FOLDER", default_value = "perf/results")]
        results: PathBuf,
    },
    /// Zero-loss rate of each driver, by binary search.
    ZeroLoss {
        #[command(flatten)]
        forward: Forward,
    },
    /// Rate over numbers of flows and policies, for the engine in memory.
    Sweep {
        #[command(flatten)]
        engine: Engine,
        /// What is sent: see `list`.
        #[arg(long, default_value = "64b")]
        workload: Kind,
    },
    /// Compares two result files, value by value.
    Compare { a: PathBuf, b: PathBuf },
    /// Compares two builds of the appliance, run by turns.
    Ab {
        /// The first build of `jarvis`.
        #[arg(long)]
        a: PathBuf,
        /// The second build.
        #[arg(long)]
        b: PathBuf,
        #[command(flatten)]
        forward: Forward,
    },
    /// Cost of the XDP program over a one-line redirect, with 0 and 100,000 prefixes in its block list.
    Xdp {
        #[command(flatten)]
        engine: Engine,
    },
    /// Policy evaluations a second on one core.
    Policy {
        #[command(flatten)]
        engine: Engine,
    },
    /// New connections a second on one core, from SYN to the last ACK, and first packets of flows.
    Connections {
        #[command(flatten)]
        engine: Engine,
    },
    /// Resident memory for each flow, by difference.
    Memory {
        #[command(flatten)]
        engine: Engine,
    },
    /// Policies are reloaded under load: lost packets and flows, time to force, sweep. With --binary also live.
    Reload {
        #[command(flatten)]
        engine: Engine,
        /// A release build of `jarvis`, to be reloaded between veth pairs too.
        #[arg(long)]
        binary: Option<PathBuf>,
    },
    /// 100,000 users are known by their addresses, and come and go: what packets cost then, and how soon a change is in force.
    Identity {
        #[command(flatten)]
        engine: Engine,
    },
    /// Two million SYNs beside established flows, which must not notice.
    SynFlood {
        #[command(flatten)]
        engine: Engine,
    },
    /// What looking at payload costs: bulk traffic that is classified; captures, against nDPI's reader where it is one
    /// file and `ndpiReader` is on PATH.
    Inspect {
        /// Capture files, or folders of them.
        captures: Vec<PathBuf>,
        /// Rule files, or folders of them: what they take to load, and what captures cost under them.
        #[arg(long, num_args = 1.., value_name = "FILE")]
        rules: Vec<PathBuf>,
        /// Rules at least: the files' are repeated with other letters in their contents.
        #[arg(long, value_parser = count, default_value = "0", requires = "rules")]
        rules_min: u32,
        #[command(flatten)]
        common: Common,
    },
    /// Captures are judged from a file, with records of flows and alerts, next to Suricata with the same rules where it
    /// is on PATH.
    Replay {
        /// Capture files, or folders of them.
        #[arg(required = true)]
        captures: Vec<PathBuf>,
        /// Rule files, or folders of them.
        #[arg(long, num_args = 1.., value_name = "FILE")]
        rules: Vec<PathBuf>,
        /// Rules at least: the files' are repeated with other letters in their contents.
        #[arg(long, value_parser = count, default_value = "0", requires = "rules")]
        rules_min: u32,
        /// Packets at least: captures are repeated.
        #[arg(long, value_parser = count, default_value = "1M")]
        packets: u32,
        /// A release build of `jarvis`.
        #[arg(long, default_value = "target/release/jarvis")]
        binary: PathBuf,
        #[command(flatten)]
        common: Common,
    },
    /// What clients of the API wait for: alone, while others log in, beside paced traffic and what that costs then.
    Api {
        #[command(flatten)]
        crowd: CrowdArgs,
        #[command(flatten)]
        forward: Forward,
    },
    /// Calls the API as a file says, and prints what came of it: the other half of `api`.
    #[command(hide = true)]
    Clients {
        /// Written by `api`.
        work: PathBuf,
    },
    /// Runs a device between two interfaces of this machine while another machine sends; shows rates and costs.
    Dut {
        /// Which device: bare, jarvis or suricata.
        #[arg(long)]
        device: Driver,
        /// Port A (inside).
        #[arg(long = "in", value_name = "INTERFACE")]
        port_a: String,
        /// Port B (outside).
        #[arg(long = "out", value_name = "INTERFACE")]
        port_b: String,
        /// How long to watch.
        #[arg(long, default_value_t = 30)]
        seconds: u64,
        #[command(flatten)]
        forward: Forward,
    },
    /// Rewrites the measured part of BENCHMARKS.md from the newest result file of each scenario in a folder.
    Report {
        /// Folder of result files.
        #[arg(long, default_value = "perf/results")]
        results: PathBuf,
        /// The document; what stands outside its markers is kept.
        #[arg(long, default_value = "BENCHMARKS.md")]
        document: PathBuf,
    },
    /// Draws a value of result files over flows or policies, as SVG.
    Plot {
        /// Result files.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Which value.
        #[arg(long, default_value = "rate")]
        value: String,
        /// The horizontal axis.
        #[arg(long, default_value = "flows")]
        over: Over,
        /// Where to.
        #[arg(long, value_name = "FILE", default_value = "plot.svg")]
        out: PathBuf,
    },
}

/// Scenarios of `run`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Scenario {
    /// All drivers: saturated rates and paced costs by turns, zero loss, costs at half of the bare forwarder's rate.
    Inline,
    /// The engine in memory at 10k, 1M and 10M flows and 0, 1,000 and 10,000 policies.
    Engine,
    /// Cost of the XDP program.
    Xdp,
    /// Policy evaluations a second.
    Policy,
    /// New connections a second.
    Connections,
    /// Memory for each flow.
    Memory,
    /// Reload under load.
    Reload,
    /// Users who come and go.
    Identity,
    /// A SYN flood beside established flows.
    SynFlood,
    /// All of the above, in this order.
    All,
}

impl Scenario {
    /// What `all` runs.
    pub(crate) const EACH: [Self; 9] = [
        Self::Inline,
        Self::Engine,
        Self::Xdp,
        Self::Policy,
        Self::Connections,
        Self::Memory,
        Self::Reload,
        Self::Identity,
        Self::SynFlood,
    ];
}

/// Options of what runs between veth pairs.
#[derive(Debug, Clone, Args)]
pub(crate) struct Forward {
    /// Peers, comma separated; costs are measured at half the rate of the first.
    #[arg(long, value_delimiter = ',', default_values = ["bare", "jarvis"])]
    pub(crate) driver: Vec<Driver>,
    /// A release build of `jarvis`.
    #[arg(long, default_value = "target/release/jarvis")]
    pub(crate) binary: PathBuf,
    /// How the appliance waits (adaptive, interrupt, busy_poll); with busy_poll the bare forwarder never waits either.
    #[arg(long, default_value = "interrupt")]
    pub(crate) wait: String,
    /// Rule file for Suricata.
    #[arg(long)]
    pub(crate) rules: Option<PathBuf>,
    /// What is sent: see `list`.
    #[arg(long, default_value = "64b")]
    pub(crate) workload: Kind,
    /// Live flows; 10k and 1M are understood. 10,000 with --quick.
    #[arg(long, value_parser = count)]
    pub(crate) flows: Option<u32>,
    /// Policies (rules, for nftables) that do not match.
    #[arg(long, value_parser = count, default_value = "1000")]
    pub(crate) policies: u32,
    /// Turns of all peers, each with a trial at the sender's ceiling (saturated_rate) and one paced (paced_*).
    /// With --runs 0 nothing else is measured: what a restless machine can tell.
    #[arg(long, default_value_t = 5)]
    pub(crate) turns: u32,
    /// Packets a second of paced trials; default is half of what the first peer delivered at the sender's ceiling.
    #[arg(long, value_parser = count, value_name = "PPS")]
    pub(crate) cost_rate: Option<u32>,
    /// Length of a connection of `churn`, at least 7.
    #[arg(long, default_value_t = 10)]
    pub(crate) packets_per_connection: u32,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Who calls the API.
#[derive(Debug, Clone, Args)]
pub(crate) struct CrowdArgs {
    /// Connections that read.
    #[arg(long, default_value_t = 1_000)]
    clients: usize,
    /// Requests a second, of all readers together.
    #[arg(long, default_value_t = 1_000.0)]
    rate: f64,
    /// Connections that log in as fast as they can.
    #[arg(long, default_value_t = 32)]
    logins: usize,
    /// WebSockets that nothing comes on; 0 leaves that case out.
    #[arg(long, default_value_t = 10_000)]
    subscribers: usize,
}

impl CrowdArgs {
    pub(crate) const fn crowd(&self) -> Crowd {
        Crowd { clients: self.clients, rate: self.rate, logins: self.logins, subscribers: self.subscribers }
    }
}

/// Options of what runs in memory.
#[derive(Debug, Clone, Args)]
pub(crate) struct Engine {
    /// Numbers of flows, comma separated; 10k and 1M are understood.
    #[arg(long, value_delimiter = ',', value_parser = count)]
    pub(crate) flows: Vec<u32>,
    /// Numbers of policies, comma separated.
    #[arg(long, value_delimiter = ',', value_parser = count)]
    pub(crate) policies: Vec<u32>,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Options of everything that measures.
#[derive(Debug, Clone, Args)]
pub(crate) struct Common {
    /// Repetitions; medians and spread are shown.
    #[arg(long, default_value_t = 3)]
    pub(crate) runs: u32,
    /// Short and rough: for trying out.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Write the result file here too.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Seed of every shuffle.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Core of the sender and of the counters.
    #[arg(long, default_value_t = 0)]
    pub(crate) sender_core: usize,
    /// Core of the device under test.
    #[arg(long, default_value_t = 1)]
    pub(crate) dut_core: usize,
    /// Names of namespaces and interfaces start so; what is left of an earlier run under it is removed.
    #[arg(long, default_value = "jperf", value_parser = prefix)]
    pub(crate) netns_prefix: String,
}

impl Forward {
    pub(crate) fn plans(&self) -> Plans {
        let common = &self.common;
        Plans {
            rig: rig::Config {
                prefix: common.netns_prefix.clone(),
                sender_core: common.sender_core,
                dut_core: common.dut_core,
                queues: 1,
                mtu: 1500,
            },
            drivers: self.driver.clone(),
            binary: self.binary.clone(),
            wait: self.wait.clone(),
            rules: self.rules.clone(),
            kind: self.workload.clone(),
            flows: self.flows.unwrap_or(if common.quick { 10_000 } else { 1_000_000 }),
            policies: self.policies as usize,
            packets_per_connection: self.packets_per_connection,
            seed: common.seed,
            runs: common.runs.max(u32::from(self.turns == 0)),
            turns: self.turns,
            cost_pps: self.cost_rate.map(|pps| f64::from(pps.max(1))),
            quick: common.quick,
        }
    }
}

impl Engine {
    /// With the scenario's own numbers where none were typed.
    pub(crate) fn sweep(&self, kind: Kind, flows: &[u32], policies: &[u32]) -> Sweep {
        let or = |typed: &[u32], default: &[u32]| {
            if typed.is_empty() { default.to_vec() } else { typed.to_vec() }
        };
        let flows = or(&self.flows, flows);
        Sweep {
            kind,
            flows: if self.common.quick && self.flows.is_empty() {
                flows.into_iter().filter(|flows| *flows <= 100_000).chain([100_000]).take(1).collect()
            } else {
                flows
            },
            policies: or(&self.policies, policies).into_iter().map(|count| count as usize).collect(),
            runs: self.common.runs.max(1),
            seed: self.common.seed,
            quick: self.common.quick,
            core: self.common.dut_core,
        }
    }

    /// The same common options for a scenario that is run by `run`.
    pub(crate) fn of(forward: &Forward) -> Self {
        Self { flows: Vec::new(), policies: Vec::new(), common: forward.common.clone() }
    }
}

/// `10k`, `1M`, `250000`.
fn count(text: &str) -> Result<u32, String> {
    let (digits, factor) = match text.strip_suffix(['k', 'K']) {
        Some(digits) => (digits, 1_000),
        None => text.strip_suffix(['m', 'M']).map_or((text, 1), |digits| (digits, 1_000_000)),
    };
    let number: u32 = digits.replace(['_', ','], "").parse().map_err(|_| format!("`{text}` is no number"))?;
    number.checked_mul(factor).ok_or_else(|| format!("{text} is too many"))
}

/// Interface names have 15 letters at most, and two are ours.
fn prefix(text: &str) -> Result<String, String> {
    let fits = (1..=8).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if fits { Ok(text.to_owned()) } else { Err("one to eight letters and digits".to_owned()) }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn counts_may_have_suffixes() {
        assert_eq!(count("10k"), Ok(10_000));
        assert_eq!(count("1M"), Ok(1_000_000));
        assert_eq!(count("250_000"), Ok(250_000));
        assert!(count("many").is_err() && count("9999999M").is_err());
        assert!(prefix("pf").is_ok() && prefix("far-too-long").is_err() && prefix("a/b").is_err());
    }

    #[test]
    fn defaults_are_the_promises() {
        let cli = Cli::parse_from(["jarvis-perf", "zero-loss"]);
        let Command::ZeroLoss { forward } = cli.command else { unreachable!("it was typed") };
        let plans = forward.plans();
        assert_eq!((plans.flows, plans.policies, plans.runs), (1_000_000, 1000, 3));
    }
}
