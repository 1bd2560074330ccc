//! Which rules does a box have? Files, directories and patterns of names become one set, or everything that is wrong with them.

use crate::config::{Config, Rules};
use crate::failure::Failure;
use crate::{geography, rule_lists, serve};
use controlplane::services::rules::{InForce, RuleBook, RuleError, RuleKey};
use controlplane::store::{Entities, Table};
use dataplane::control::Door;
use dataplane::geography::{Countries, Geography};
use dataplane::rules::address_facts::{AddressFacts, ReputationFiles};
use dataplane::rules::classes::References;
use dataplane::rules::datasets::Datasets;
use dataplane::rules::listed::Listed;
use dataplane::rules::load::{FileKind, FileReport, Loaded, Loader};
use dataplane::rules::memory::Names;
use dataplane::rules::profile::Clock;
use dataplane::rules::set::{Kept, Options};
use dataplane::rules::{Fault, Kind, RuleSet, Variables};
use ipnet::IpNet;
use std::collections::HashMap;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Largest file of rules, bytes.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// Reads the rules that `places` name: a file, a directory (its `*.rules`), or a pattern such as `rules/et-*.rules`.
///
/// # Errors
///
/// Every place where nothing is, or that cannot be read.
pub(crate) fn load(places: &[PathBuf], config: &Rules, datasets: &Arc<Datasets>) -> Result<Loaded, Failure> {
    read_places(places, config, datasets, geography::countries(config)?, None)
}

fn read_places(
    places: &[PathBuf],
    config: &Rules,
    datasets: &Arc<Datasets>,
    countries: Option<Arc<Countries>>,
    switched: Option<&HashMap<RuleKey, bool>>,
) -> Result<Loaded, Failure> {
    let mut changes = rule_lists::changes(config)?;
    changes.forced = switched.cloned().unwrap_or_default();
    let mut loader = Loader::new(variables(config)?)
        .with(changes)
        .with_datasets(Arc::clone(datasets))
        .with_addresses(address_facts(config, countries)?)
        .on_threads(threads());
    if switched.is_some() {
        loader = loader.listing();
    }
    let beside = beside(&mut loader, config);
    let read = places.iter().map(|place| read(&mut loader, place));
    let wrong = beside.into_iter().chain(read.filter_map(Result::err)).reduce(Failure::and);
    wrong.map_or_else(|| Ok(loader.finish()), Err)
}

/// What the operator's files say of addresses.
fn address_facts(config: &Rules, countries: Option<Arc<Countries>>) -> Result<AddressFacts, Failure> {
    let of = |file: &Path, why: String| Failure::line(format!("{}: {why}", file.display()));
    if config.reputation_categories.is_empty() {
        return Ok(AddressFacts { countries, reputation: None });
    }
    let mut files = ReputationFiles::default();
    let text = |file: &PathBuf| bytes(file).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    for file in &config.reputation_categories {
        files.categories(&text(file)?).map_err(|why| of(file, why))?;
    }
    for file in &config.reputation_files {
        files.scores(&text(file)?).map_err(|why| of(file, why))?;
    }
    Ok(AddressFacts { countries, reputation: Some(Arc::new(files.finish())) })
}

/// Threads that read rules: one for each core that this thread may use. In a running box that are not the workers' cores.
fn threads() -> NonZero<usize> {
    std::thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN)
}

/// Adds what a file says beside the rules.
type AddBeside = fn(&mut Loader, &str, &[u8]);

/// Reads what is said beside the rules; gives the files that cannot be read.
fn beside(loader: &mut Loader, config: &Rules) -> Vec<Failure> {
    let kinds: [(&[PathBuf], AddBeside); 3] = [
        (&config.classifications, Loader::add_classes),
        (&config.references, Loader::add_references),
        (&config.thresholds, Loader::add_thresholds),
    ];
    let mut wrong = Vec::new();
    for (files, add) in kinds {
        for file in files {
            match bytes(file) {
                Ok(text) => add(loader, &file.display().to_string(), &text),
                Err(failure) => wrong.push(failure),
            }
        }
    }
    wrong
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
    read_all(config, names, 1, geography::countries(config)?, None, None)
        .map(|(outcome, _nothing_listed)| outcome)
}

/// The same, with a list of all rules where it is told which were `switched` over the API.
fn read_all(
    config: &Rules,
    names: &mut Names,
    workers: usize,
    countries: Option<Arc<Countries>>,
    switched: Option<&HashMap<RuleKey, bool>>,
    in_force: Option<&RuleSet>,
) -> Result<(Outcome, Listing), Failure> {
    if config.files.is_empty() {
        return Ok((Outcome { countries, ..Outcome::default() }, Listing::default()));
    }
    let began = Instant::now();
    let mut loaded = read_places(&config.files, config, &names.datasets, countries.clone(), switched)?;
    let (mut wrong, mut unsupported, mut idle) = (Vec::new(), Vec::new(), Vec::new());
    for file in &loaded.files {
        idle.extend(file.idle.iter().map(|fault| told(file, fault)));
        for fault in &file.faults {
            let list = if fault.kind == Kind::Unsupported { &mut unsupported } else { &mut wrong };
            list.push(told(file, fault));
        }
    }
    let options = Options {
        midstream: config.midstream,
        alerts_per_packet: config.alerts_per_packet.into(),
        keeps: Kept {
            payload_bytes: config.payload_bytes as usize,
            packet: config.packet,
            tagged: config.tagged_packets,
        },
        workers,
        threads: threads(),
    };
    let set = RuleSet::new(std::mem::take(&mut loaded.signatures), names, options);
    let set = set.map_err(|error| Failure::line(format!("the rules are no set: {error}")))?;
    let set = match in_force {
        Some(before) => set.after(before),
        None => set,
    };
    let Loaded { listed, files, references, threads, .. } = loaded;
    let took_ms = began.elapsed().as_millis() as u64;
    let outcome = Outcome { set: Some(Arc::new(set)), countries, wrong, unsupported, idle, threads, took_ms };
    Ok((outcome, Listing { listed, files, references }))
}

/// The rules as they were read, to be listed.
#[derive(Default)]
struct Listing {
    listed: Vec<Listed>,
    files: Vec<FileReport>,
    references: References,
}

/// What came of the configured rules.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Those that can be tried; `None` where none are configured.
    pub set: Option<Arc<RuleSet>>,
    /// Countries of addresses, which rules and policies share; `None` where no database is configured.
    pub countries: Option<Arc<Countries>>,
    /// A line for each that is wrong.
    pub wrong: Vec<String>,
    /// A line for each that asks for what there is not.
    pub unsupported: Vec<String>,
    /// A line for each that does nothing, or less than it says.
    pub idle: Vec<String>,
    /// Threads that read them.
    pub threads: usize,
    /// How long it took until they could be tried.
    pub took_ms: u64,
}

/// The configured rules of a running box with the countries that they and policies ask for, to be read again.
pub(crate) struct Keeper {
    config: Rules,
    /// Who is in one of these networks is not outside.
    own: Vec<IpNet>,
    workers: usize,
    /// Where it is kept which rules were enabled or disabled over the API.
    entities: Arc<Entities>,
    /// Names under which flows remember: a later set gives them the same numbers. Who has them reads rules, nobody else.
    names: Mutex<Names>,
    in_force: Mutex<Arc<InForce>>,
    geography: Mutex<Option<Arc<Geography>>>,
}

/// Lines about rules that are logged at once; a file of another language would fill the log.
pub(crate) const LINES_MAX: usize = 50;

/// Whether rules were enabled (`true`) or disabled over the API, by `gid:sid`.
const SWITCHED: Table<bool> = Table::new("rules_switched");

impl Keeper {
    /// Reads the configured rules for the first time. Those that are wrong are left out, and told: a box that guards with all
    /// others is better than none. Sets of data that rules change are kept in the state directory; so many `workers` count matches.
    ///
    /// # Errors
    ///
    /// As [`set`]; or it cannot be read which rules were enabled or disabled.
    pub(crate) fn start(config: &Config, workers: usize, entities: &Arc<Entities>) -> Result<Self, Failure> {
        let names = Names::with_datasets(Datasets::new(Some(config.state_directory.clone())));
        let keeper = Self {
            config: config.rules.clone(),
            own: geography::own(config),
            workers,
            entities: Arc::clone(entities),
            names: Mutex::new(names),
            in_force: Mutex::default(),
            geography: Mutex::default(),
        };
        let (outcome, in_force) = keeper.read(&mut keeper.names(), keeper.switched()?)?;
        for line in outcome.wrong.iter().take(LINES_MAX) {
            tracing::error!("a rule is left out: {line}");
        }
        tell(&outcome);
        *keeper.shown() = Arc::new(in_force);
        *keeper.located() = geography::of(outcome.countries, &keeper.own);
        Ok(keeper)
    }

    /// Writes the sets of data that rules have a file for.
    pub(crate) fn save(&self) {
        for line in self.names().datasets.save() {
            tracing::error!("{line}");
        }
    }

    /// Whether rules or countries are configured.
    pub(crate) fn is_used(&self) -> bool {
        !self.config.files.is_empty() || self.config.geoip_database.is_some()
    }

    /// Where flows are, by the countries in force.
    pub(crate) fn geography(&self) -> Option<Arc<Geography>> {
        self.located().clone()
    }

    /// Those in force.
    pub(crate) fn set(&self) -> Option<Arc<RuleSet>> {
        self.shown().set.clone()
    }

    /// Reads them again: all of them and the countries are put in force, or nothing where something is wrong. Gives what is left out or
    /// does nothing.
    ///
    /// # Errors
    ///
    /// Everything that is wrong, each with file, line and column.
    pub(crate) fn reload(&self, door: &Door) -> Result<Vec<String>, Failure> {
        let mut names = self.names();
        let switched = self.switched()?;
        let (outcome, in_force) = self.read(&mut names, switched)?;
        if !outcome.wrong.is_empty() {
            return Err(Failure::lines(outcome.wrong));
        }
        tell(&outcome);
        self.publish(door, in_force, outcome.countries);
        drop(names);
        self.save();
        Ok(outcome.unsupported.into_iter().chain(outcome.idle).collect())
    }

    /// Enables or disables a rule, and keeps that.
    fn switch(&self, door: &Door, key: RuleKey, on: bool) -> Result<(), RuleError> {
        let mut names = self.names();
        let mut switched = self.switched().map_err(wrong)?;
        switched.insert(key, on);
        let (outcome, in_force) = self.read(&mut names, switched).map_err(wrong)?;
        if !outcome.wrong.is_empty() {
            return Err(RuleError::Wrong(outcome.wrong));
        }
        let name = format!("{}:{}", key.0, key.1);
        if in_force.rule(key).is_none_or(|rule| rule.rule.enabled != on) {
            // It has gone from the files, or this engine cannot try it.
            return Err(
                match outcome.unsupported.iter().find(|line| line.contains(&format!("sid {}: ", key.1))) {
                    Some(line) => RuleError::Wrong(vec![line.clone()]),
                    None => RuleError::Unknown(name),
                },
            );
        }
        self.entities.write(|write| write.put(&SWITCHED, &name, &on))?;
        tell(&outcome);
        self.publish(door, in_force, outcome.countries);
        Ok(())
    }

    fn publish(&self, door: &Door, in_force: InForce, countries: Option<Arc<Countries>>) {
        door.publisher.publish_rules(in_force.set.clone());
        *self.shown() = Arc::new(in_force);
        let mut located = self.located();
        let before = located.as_deref().map(Geography::countries);
        if before.map(Arc::as_ptr) != countries.as_ref().map(Arc::as_ptr) {
            *located = geography::of(countries, &self.own);
            door.publisher.publish_geography(located.clone());
            tracing::info!(
                "the database of countries is another one: flows are judged anew where policies ask for them"
            );
        }
    }

    /// Countries as they stand in their file; those in force where they say the same.
    fn countries(&self) -> Result<Option<Arc<Countries>>, Failure> {
        let read = geography::countries(&self.config)?;
        let before = self.geography();
        let same = before
            .as_deref()
            .map(Geography::countries)
            .filter(|before| read.as_ref().is_some_and(|read| read.is_same(before)));
        Ok(same.cloned().or(read))
    }

    fn read(
        &self,
        names: &mut Names,
        switched: HashMap<RuleKey, bool>,
    ) -> Result<(Outcome, InForce), Failure> {
        let before = self.shown().hits();
        let shown = self.shown().clone();
        let (outcome, listing) = read_all(
            &self.config,
            names,
            self.workers,
            self.countries()?,
            Some(&switched),
            shown.set.as_deref(),
        )?;
        let in_force = InForce {
            listed: listing.listed,
            files: listing.files,
            references: listing.references,
            set: outcome.set.clone(),
            switched,
            before,
            read_s: serve::now().wall.0 / 1_000_000_000,
            took_ms: outcome.took_ms,
            threads: outcome.threads,
            resident_bytes: resident_bytes(),
        };
        Ok((outcome, in_force))
    }

    fn switched(&self) -> Result<HashMap<RuleKey, bool>, Failure> {
        let failed = |error| Failure::line(format!("cannot read which rules are enabled: {error}"));
        let all = self.entities.all(&SWITCHED).map_err(failed)?;
        let key = |name: &str| {
            let (generator, sid) = name.split_once(':')?;
            Some((generator.parse().ok()?, sid.parse().ok()?))
        };
        Ok(all.into_iter().filter_map(|(name, on)| Some((key(&name)?, on))).collect())
    }

    fn names(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn located(&self) -> MutexGuard<'_, Option<Arc<Geography>>> {
        self.geography.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shown(&self) -> MutexGuard<'_, Arc<InForce>> {
        self.in_force.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The rules of a running box for its API.
pub(crate) struct Book {
    /// Who reads them.
    pub keeper: Arc<Keeper>,
    /// Where they are put in force.
    pub door: Arc<Door>,
}

impl RuleBook for Book {
    fn in_force(&self) -> Arc<InForce> {
        Arc::clone(&self.keeper.shown())
    }

    fn reload(&self) -> Result<Arc<InForce>, RuleError> {
        self.keeper.reload(&self.door).map_err(wrong)?;
        Ok(self.in_force())
    }

    fn switch(&self, key: RuleKey, on: bool) -> Result<Arc<InForce>, RuleError> {
        self.keeper.switch(&self.door, key, on)?;
        Ok(self.in_force())
    }

    fn clock(&self) -> Clock {
        xsk::clock::monotonic_ns
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn wrong(failure: Failure) -> RuleError {
    RuleError::Wrong(failure.to_string().lines().map(str::to_owned).collect())
}

/// Memory of this process; 0 where the system does not tell.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kib.unwrap_or(0) * 1_024
}

fn tell(outcome: &Outcome) {
    for line in outcome.unsupported.iter().take(LINES_MAX) {
        tracing::warn!("a rule is left out: {line}");
    }
    for line in outcome.idle.iter().take(LINES_MAX) {
        tracing::warn!("rules: {line}");
    }
    if let Some(set) = &outcome.set {
        let (wrong, unsupported) = (outcome.wrong.len(), outcome.unsupported.len());
        let (threads, took_ms) = (outcome.threads, outcome.took_ms);
        let rules = set.signatures().len();
        tracing::info!(rules, wrong, unsupported, threads, took_ms, "rules were read");
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
        loader.add(&file.display().to_string(), &bytes(&file)?);
    }
    Ok(())
}

/// A file, within its bound.
///
/// # Errors
///
/// It is larger, or cannot be read.
pub(crate) fn bytes(file: &Path) -> Result<Vec<u8>, Failure> {
    let unreadable =
        |error: std::io::Error| Failure::line(format!("cannot read {}: {error}", file.display()));
    let len = std::fs::metadata(file).map_err(unreadable)?.len();
    if len > FILE_BYTES_MAX {
        let said = format!("{} has {len} bytes, a file of rules at most {FILE_BYTES_MAX}", file.display());
        return Err(Failure::line(said));
    }
    std::fs::read(file).map_err(unreadable)
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

/// What `check --rules` says of a set that it took so long to read.
///
/// # Errors
///
/// Everything that is wrong, each with file, line and column.
pub(crate) fn checked(loaded: &Loaded, took: Duration) -> Result<Vec<String>, Failure> {
    let wrong: Vec<String> = loaded.files.iter().flat_map(faults).collect();
    let total: usize = loaded.files.iter().map(|file| file.rules).sum();
    let vain = |file: &FileReport| -> Vec<String> {
        let line = |(line, sid, keyword): &(u32, u32, String)| {
            format!("warning: {}:{line}: sid {sid} cannot match: nothing tells {keyword} yet", file.name)
        };
        file.in_vain.iter().map(line).collect()
    };
    let vain: Vec<String> = loaded.files.iter().flat_map(vain).collect();
    let idle = loaded
        .files
        .iter()
        .flat_map(|file| file.idle.iter().map(|fault| format!("warning: {}", told(file, fault))));
    let of_rules = |file: &&FileReport| file.kind == FileKind::Rules;
    let files = loaded.files.iter().filter(of_rules).count();
    let mut summary = format!("{} of {total} rules in {files} files can be loaded", loaded.signatures.len());
    if !vain.is_empty() {
        summary.push_str(&format!(", {} of them cannot match", vain.len()));
    }
    let disabled: usize = loaded.files.iter().map(|file| file.disabled).sum();
    if disabled > 0 {
        summary.push_str(&format!(", {disabled} are disabled"));
    }
    summary.push_str(&format!("; read in {} ms on {} threads", took.as_millis(), loaded.threads));
    let lines = wrong.iter().cloned().chain(vain.iter().cloned()).chain(idle).chain([summary]).collect();
    if wrong.is_empty() { Ok(lines) } else { Err(Failure::lines(lines)) }
}
