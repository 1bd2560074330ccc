//! Which rules does a box have? Files, directories and patterns of names become one set, or everything that is wrong with them.

use crate::config::Rules;
use crate::failure::Failure;
use dataplane::control::Door;
use dataplane::rules::datasets::Datasets;
use dataplane::rules::load::{FileReport, Loaded, Loader};
use dataplane::rules::memory::Names;
use dataplane::rules::set::{Kept, Options};
use dataplane::rules::{Fault, Kind, RuleSet, Variables};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Largest file of rules, bytes.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// Reads the rules that `places` name: a file, a directory (its `*.rules`), or a pattern such as `rules/et-*.rules`.
///
/// # Errors
///
/// Every place where nothing is, or that cannot be read.
pub(crate) fn load(places: &[PathBuf], config: &Rules, datasets: &Arc<Datasets>) -> Result<Loaded, Failure> {
    let mut loader = Loader::new(variables(config)?).with_datasets(Arc::clone(datasets));
    let read = places.iter().map(|place| read(&mut loader, place));
    let wrong = read.filter_map(Result::err).reduce(Failure::and);
    wrong.map_or_else(|| Ok(loader.finish()), Err)
}

/// Address and port groups: Suricata's usual ones, and the operator's.
fn variables(config: &Rules) -> Result<Variables, Failure> {
    let mut variables = Variables::usual();
    for (name, group) in &config.addresses {
        variables.set_addresses(name, group);
    }
    for (name, group) in &config.ports {
        variables.set_ports(name, group);
    }
    let wrong = variables.faults().into_iter().map(|(name, why)| format!("rules.{name}: {why}"));
    let wrong: Vec<_> = wrong.collect();
    if wrong.is_empty() { Ok(variables) } else { Err(Failure::lines(wrong)) }
}

/// The configured rules that can be tried, as one set, and what is to be said of the others. `names` are those under which flows
/// remember, of all sets one after the other.
///
/// # Errors
///
/// What [`load`] cannot read; or there are more rules than a set can have.
pub(crate) fn set(config: &Rules, names: &mut Names) -> Result<Outcome, Failure> {
    if config.files.is_empty() {
        return Ok(Outcome::default());
    }
    let loaded = load(&config.files, config, &names.datasets)?;
    let (mut wrong, mut unsupported) = (Vec::new(), Vec::new());
    for file in &loaded.files {
        for fault in &file.faults {
            let list = if fault.kind == Kind::Unsupported { &mut unsupported } else { &mut wrong };
            list.push(told(file, fault));
        }
    }
    let options = Options {
        midstream: config.midstream,
        alerts_per_packet: config.alerts_per_packet.into(),
        keeps: Kept { payload_bytes: config.payload_bytes as usize, packet: config.packet },
    };
    let set = RuleSet::new(loaded.signatures, names, options);
    let set = set.map_err(|error| Failure::line(format!("the rules are no set: {error}")))?;
    Ok(Outcome { set: Some(Arc::new(set)), wrong, unsupported })
}

/// What came of the configured rules.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Those that can be tried; `None` where none are configured.
    pub set: Option<Arc<RuleSet>>,
    /// A line for each that is wrong.
    pub wrong: Vec<String>,
    /// A line for each that asks for what there is not.
    pub unsupported: Vec<String>,
}

/// The configured rules of a running box, to be read again.
#[derive(Debug, Default)]
pub(crate) struct Keeper {
    config: Rules,
    /// Names under which flows remember: a later set gives them the same numbers.
    names: Mutex<Names>,
}

/// Lines about rules that are logged at once; a file of another language would fill the log.
pub(crate) const LINES_MAX: usize = 50;

impl Keeper {
    /// Reads the configured rules for the first time; sets of data that rules change are kept in `directory`. Those that are wrong are left out, and told: a box that guards with all
    /// others is better than none.
    ///
    /// # Errors
    ///
    /// As [`set`].
    pub(crate) fn start(config: &Rules, directory: &Path) -> Result<(Self, Option<Arc<RuleSet>>), Failure> {
        let names = Names::with_datasets(Datasets::new(Some(directory.to_owned())));
        let keeper = Self { config: config.clone(), names: Mutex::new(names) };
        let outcome = keeper.read()?;
        for line in outcome.wrong.iter().take(LINES_MAX) {
            tracing::error!("a rule is left out: {line}");
        }
        keeper.tell(&outcome);
        Ok((keeper, outcome.set))
    }

    /// Writes the sets of data that rules have a file for.
    pub(crate) fn save(&self) {
        for line in self.names.lock().unwrap_or_else(PoisonError::into_inner).datasets.save() {
            tracing::error!("{line}");
        }
    }

    /// Whether rules are configured.
    pub(crate) fn is_used(&self) -> bool {
        !self.config.files.is_empty()
    }

    /// Reads them again: all of them are put in force, or none where one is wrong.
    ///
    /// # Errors
    ///
    /// Everything that is wrong, each with file, line and column.
    pub(crate) fn reload(&self, door: &Door) -> Result<Vec<String>, Failure> {
        let outcome = self.read()?;
        if !outcome.wrong.is_empty() {
            return Err(Failure::lines(outcome.wrong));
        }
        self.tell(&outcome);
        door.publisher.publish_rules(outcome.set);
        self.save();
        Ok(outcome.unsupported)
    }

    fn read(&self) -> Result<Outcome, Failure> {
        set(&self.config, &mut self.names.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn tell(&self, outcome: &Outcome) {
        for line in outcome.unsupported.iter().take(LINES_MAX) {
            tracing::warn!("a rule is left out: {line}");
        }
        if let Some(set) = &outcome.set {
            let (wrong, unsupported) = (outcome.wrong.len(), outcome.unsupported.len());
            tracing::info!(rules = set.signatures().len(), wrong, unsupported, "rules were read");
        }
    }
}

fn told(file: &FileReport, fault: &Fault) -> String {
    let kind = if fault.kind == Kind::Unsupported { "unsupported: " } else { "" };
    format!("{kind}{}:{fault}", file.name)
}

fn faults(file: &FileReport) -> Vec<String> {
    file.faults.iter().map(|fault| told(file, fault)).collect()
}

fn read(loader: &mut Loader, place: &Path) -> Result<(), Failure> {
    for file in files(place)? {
        let unreadable =
            |error: std::io::Error| Failure::line(format!("cannot read {}: {error}", file.display()));
        let len = std::fs::metadata(&file).map_err(unreadable)?.len();
        if len > FILE_BYTES_MAX {
            let said =
                format!("{} has {len} bytes, a file of rules at most {FILE_BYTES_MAX}", file.display());
            return Err(Failure::line(said));
        }
        loader.add(&file.display().to_string(), &std::fs::read(&file).map_err(unreadable)?);
    }
    Ok(())
}

/// The files of a place, by name.
fn files(place: &Path) -> Result<Vec<PathBuf>, Failure> {
    let failed =
        |error: &dyn std::fmt::Display| Failure::line(format!("cannot read {}: {error}", place.display()));
    let pattern = match place.to_str() {
        _ if place.is_file() => return Ok(vec![place.to_owned()]),
        Some(text) if place.is_dir() => format!("{}/*.rules", glob::Pattern::escape(text)),
        Some(text) => text.to_owned(),
        None => return Err(failed(&"its name is not UTF-8")),
    };
    let found = glob::glob(&pattern).map_err(|error| failed(&error))?;
    let mut found = found.collect::<Result<Vec<_>, _>>().map_err(|error| failed(&error))?;
    found.retain(|path| path.is_file());
    if found.is_empty() {
        return Err(failed(&"no file of rules is there"));
    }
    found.sort();
    Ok(found)
}

/// What `check --rules` says of a set.
///
/// # Errors
///
/// Everything that is wrong, each with file, line and column.
pub(crate) fn checked(loaded: &Loaded) -> Result<Vec<String>, Failure> {
    let wrong: Vec<String> = loaded.files.iter().flat_map(faults).collect();
    let total: usize = loaded.files.iter().map(|file| file.rules).sum();
    let summary =
        format!("{} of {total} rules in {} files can be loaded", loaded.signatures.len(), loaded.files.len());
    if wrong.is_empty() {
        return Ok(vec![summary]);
    }
    Err(Failure::lines(wrong.into_iter().chain([summary]).collect()))
}
