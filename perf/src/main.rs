//! `jarvis-perf`: is the appliance as fast, as cheap and as small as promised?
//!
//! [`traffic`] says what is sent, [`mod@clients`] who calls the API, [`rig`] where, [`drivers`] by whom it is forwarded, [`measure`] how a number
//! is made, [`scenarios`] which numbers answer which promise, [`mod@report`] how they are kept and shown. The
//! promises are in BENCHMARKS.md.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a failed test may panic"))]

mod clients;
mod traffic;
mod users;
mod rig;
mod drivers;
mod measure;
mod policies;
mod scenarios;
mod report;
mod cli;

use std::path::Path;
use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command, Engine, Forward, Scenario};
use report::result::ResultFile;
use report::{markdown, plot, table};
use scenarios::{Error, api, dut, forward, identity, inspect, memory, program, replay};
use traffic::Kind;

/// The engine must not call the allocator for a packet: so its calls are counted.
#[global_allocator]
static ALLOCATOR: xsk::alloc_count::Counting = xsk::alloc_count::Counting;

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            rig::cleanup::everything();
            say(&format!("jarvis-perf: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Tells the terminal how it goes; results go to the standard output.
#[expect(clippy::print_stderr, reason = "a command line program speaks to its terminal")]
pub(crate) fn say(line: &str) {
    eprintln!("{line}");
}

#[expect(clippy::print_stdout, reason = "tables are what this program is for")]
fn show(text: &str) {
    println!("{text}");
}

fn run(command: Command) -> Result<(), Error> {
    match command {
        Command::List => list(),
        Command::Run { scenario, forward, results } => {
            let scenarios = if scenario == Scenario::All { Scenario::EACH.to_vec() } else { vec![scenario] };
            for scenario in scenarios {
                let file = named(scenario, &forward)?;
                finish(&file, None)?;
                file.write(
                    &results.join(format!("{}-{}.json", file.scenario, file.environment.unix_time_s)),
                )?;
            }
        }
        Command::ZeroLoss { forward } => {
            let scenario = format!("zero-loss {}", forward.workload);
            let file = forward::compare_drivers(&forward.plans(), &scenario, false)?;
            finish(&file, forward.common.json.as_deref())?;
        }
        Command::Sweep { engine, workload } => {
            let sweep = engine.sweep(workload, &ENGINE_FLOWS, &ENGINE_POLICIES);
            finish(&memory::engine(&sweep, "sweep")?, engine.common.json.as_deref())?;
        }
        Command::Compare { a, b } => compare(&ResultFile::read(&a)?, &ResultFile::read(&b)?),
        Command::Ab { a, b, forward } => {
            let file = forward::ab(&forward.plans(), &[a, b])?;
            finish(&file, forward.common.json.as_deref())?;
            let (first, second) = halves(&file);
            compare(&first, &second);
        }
        Command::Xdp { engine } => in_memory(Scenario::Xdp, &engine, None)?,
        Command::Policy { engine } => in_memory(Scenario::Policy, &engine, None)?,
        Command::Connections { engine } => in_memory(Scenario::Connections, &engine, None)?,
        Command::Memory { engine } => in_memory(Scenario::Memory, &engine, None)?,
        Command::Reload { engine, binary } => in_memory(Scenario::Reload, &engine, binary.as_deref())?,
        Command::Identity { engine } => in_memory(Scenario::Identity, &engine, None)?,
        Command::SynFlood { engine } => in_memory(Scenario::SynFlood, &engine, None)?,
        Command::Inspect { captures, rules, rules_min, common } => {
            let (runs, seed, core) = (common.runs, common.seed, common.dut_core);
            let plan = inspect::Plan { captures, rules, rules_min, runs, seed, core };
            finish(&inspect::run(&plan)?, common.json.as_deref())?;
        }
        Command::Replay { captures, rules, rules_min, packets, binary, common } => {
            let (runs, seed, core, prefix) = (common.runs, common.seed, common.dut_core, common.netns_prefix);
            let plan = replay::Plan { captures, rules, rules_min, packets, binary, runs, seed, core, prefix };
            finish(&replay::measure(&plan)?, common.json.as_deref())?;
        }
        Command::Dut { device, port_a, port_b, seconds, forward } => {
            let file = dut::watch(&forward.plans(), device, &[port_a, port_b], seconds)?;
            finish(&file, forward.common.json.as_deref())?;
        }
        Command::Api { crowd, forward } => {
            finish(&api::measure(&forward.plans(), crowd.crowd())?, forward.common.json.as_deref())?;
        }
        Command::Clients { work } => show(&clients(&work)?),
        Command::Report { results, document } => report(&results, &document)?,
        Command::Plot { files, value, over, out } => {
            let files = files.iter().map(|path| ResultFile::read(path)).collect::<Result<Vec<_>, _>>()?;
            plot::draw(&files, &value, over, &out).map_err(|error| Error::Broken(error.to_string()))?;
            say(&format!("written: {}", out.display()));
        }
    }
    Ok(())
}

/// Flows and policies at which the engine is measured by default.
const ENGINE_FLOWS: [u32; 3] = [10_000, 1_000_000, 10_000_000];
const ENGINE_POLICIES: [u32; 3] = [0, 1_000, 10_000];

fn named(scenario: Scenario, options: &Forward) -> Result<ResultFile, Error> {
    match scenario {
        Scenario::Inline => {
            forward::compare_drivers(&options.plans(), &format!("inline {}", options.workload), true)
        }
        other => computed(other, &Engine::of(options), Some(&options.binary)),
    }
}

fn in_memory(scenario: Scenario, engine: &Engine, binary: Option<&Path>) -> Result<(), Error> {
    finish(&computed(scenario, engine, binary)?, engine.common.json.as_deref())
}

fn computed(scenario: Scenario, engine: &Engine, binary: Option<&Path>) -> Result<ResultFile, Error> {
    let sweep = |flows: &[u32], policies: &[u32]| engine.sweep(Kind::Udp64, flows, policies);
    match scenario {
        Scenario::Engine => memory::engine(&sweep(&ENGINE_FLOWS, &ENGINE_POLICIES), "engine"),
        Scenario::Xdp => program::xdp(engine.common.runs, engine.common.seed, engine.common.dut_core),
        Scenario::Policy => memory::policy(&sweep(&[1], &[100, 1_000, 10_000])),
        Scenario::Connections => memory::connections(&sweep(&[1], &[0, 1_000])),
        Scenario::Memory => memory::memory(&sweep(&[1_000_000], &[0])),
        Scenario::Identity => identity::measure(&sweep(&[10_000, 1_000_000], &[1_000])),
        Scenario::SynFlood => memory::syn_flood(&sweep(&[1], &[1_000])),
        Scenario::Reload => {
            let mut recorder = memory::reload(&sweep(&[1_000_000], &[1_000]))?;
            if let Some(binary) = binary.filter(|binary| binary.is_file()) {
                let mut plans = default_plans(engine);
                plans.binary = binary.into();
                forward::reload(&plans, |measurement| recorder.add(measurement))?;
            }
            Ok(recorder.finish())
        }
        Scenario::Inline | Scenario::All => {
            Err(Error::Broken("this scenario needs drivers: see `jarvis-perf run`".to_owned()))
        }
    }
}

fn default_plans(engine: &Engine) -> forward::Plans {
    let Command::ZeroLoss { mut forward } = Cli::parse_from(["jarvis-perf", "zero-loss"]).command else {
        unreachable!("that is what was typed")
    };
    forward.common = engine.common.clone();
    forward.plans()
}

/// Shows a result and writes it where it was asked for.
fn finish(file: &ResultFile, json: Option<&Path>) -> Result<(), Error> {
    let environment = &file.environment;
    show(&format!(
        "\n{}: {}, Linux {}, commit {}; cycles: {}; load at start {:.2}, steal {:.2} %{}\n",
        file.scenario,
        environment.cpu,
        environment.kernel,
        environment.commit,
        environment.cycles_from,
        environment.load_at_start,
        environment.steal_share * 100.0,
        if environment.debug_build { "; DEBUG BUILD" } else { "" },
    ));
    show(&table::aligned(&table::HEAD, &table::rows(file)));
    if let Some(path) = json {
        file.write(path)?;
    }
    Ok(())
}

fn compare(a: &ResultFile, b: &ResultFile) {
    let rows = table::compare(a, b);
    if rows.is_empty() {
        say("the two files have no measurement in common");
    }
    show(&table::aligned(&table::COMPARE_HEAD, &rows));
}

/// The builds A and B of one file as two files with the same driver name.
fn halves(file: &ResultFile) -> (ResultFile, ResultFile) {
    let half = |letter: &str| {
        let mut half = file.clone();
        half.measurements.retain(|measurement| measurement.driver == letter);
        for measurement in &mut half.measurements {
            "jarvis".clone_into(&mut measurement.driver);
        }
        half
    };
    (half("A"), half("B"))
}

fn report(results: &Path, document: &Path) -> Result<(), Error> {
    let broken =
        |path: &Path, error: &dyn std::fmt::Display| Error::Broken(format!("{}: {error}", path.display()));
    let entries = std::fs::read_dir(results).map_err(|error| broken(results, &error))?;
    let mut paths: Vec<_> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    paths.sort();
    let files = paths.iter().map(|path| ResultFile::read(path)).collect::<Result<Vec<_>, _>>()?;
    if files.is_empty() {
        return Err(broken(results, &"no result file"));
    }
    let text = std::fs::read_to_string(document).map_err(|error| broken(document, &error))?;
    let text =
        markdown::replace(&text, &markdown::measured(&files)).map_err(|error| broken(document, &error))?;
    std::fs::write(document, text).map_err(|error| broken(document, &error))?;
    say(&format!("{}: {} result files", document.display(), files.len()));
    Ok(())
}

/// Does what a file says, in this process; what was seen as JSON.
fn clients(work: &Path) -> Result<String, Error> {
    let broken = |error: &dyn std::fmt::Display| Error::Broken(format!("{}: {error}", work.display()));
    let text = std::fs::read_to_string(work).map_err(|error| broken(&error))?;
    let work = serde_json::from_str(&text).map_err(|error| broken(&error))?;
    let seen = clients::run(work).map_err(Error::Broken)?;
    Ok(serde_json::to_string(&seen).expect("results are plain data"))
}

fn list() {
    let mut rows = Vec::new();
    let mut row = |kind: &str, name: &str, what: &str| {
        rows.push([kind, name, what].map(str::to_owned).to_vec());
    };
    for (kind, what) in Kind::SYNTHETIC {
        row("workload", &kind.to_string(), what);
    }
    row("workload", "pcap:FILE", "the packets of a capture, in its order");
    for (name, what) in [
        ("bare", "moves AF_XDP descriptors and nothing else: the yardstick"),
        ("jarvis", "the appliance, a release build"),
        ("nft", "the kernel: routing, conntrack, nftables"),
        ("suricata", "Suricata inline over AF_PACKET"),
    ] {
        row("driver", name, what);
    }
    for scenario in Scenario::EACH {
        let value = clap::ValueEnum::to_possible_value(&scenario).expect("no scenario is hidden");
        let help = value.get_help().map(ToString::to_string).unwrap_or_default();
        row("scenario", value.get_name(), &help);
    }
    show(&table::aligned(&["", "name", "what it is"], &rows));
}

#[cfg(test)]
mod tests {
    use super::*;
    use report::result::{Measurement, Recorder};

    #[test]
    fn the_two_builds_of_one_file_become_comparable() {
        let mut recorder = Recorder::new("ab", 1);
        for (letter, rate) in [("A", 1e6), ("B", 2e6)] {
            let mut measurement = Measurement::new(letter, "64b", 1, 1);
            measurement.sample("rate", "pps", rate);
            recorder.add(measurement);
        }
        let (a, b) = halves(&recorder.finish());
        let rows = table::compare(&a, &b);
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0][7], "2.000");
    }
}
