//! Files of rules become one set, and a report of what is not in it.
//!
//! Rules are read and made ready on several threads (`prepare`); what depends on order comes after, in the order of files and lines:
//! which of two rules of one number counts, sets of data, lists of hashes. The set and what is told of it are those of one thread.

mod prepare;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::address_facts::AddressFacts;
use super::adjust;
use super::changes::Changes;
use super::classes::{Classes, References};
use super::datasets::Datasets;
use super::hashes::HashList;
use super::language::thresholds::{self, Line, Lines};
use super::language::{Fault, Kind, RuleText, Variables, rules_and_comments};
use super::listed::{Listed, joined};
use super::matcher::Sources;
use super::rule::{Condition, FileHash, FileTest, Rule};
use super::signature::Signature;
use super::untold::asked_in_vain;
use prepare::{Common, Prepared, Written};

/// Threads that read rules; more would wait for one another's memory.
const THREADS_MAX: usize = 32;

/// What a file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FileKind {
    /// Rules.
    #[default]
    Rules,
    /// Something about rules, such as `threshold.config`.
    Beside,
}

/// What came of one file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FileReport {
    /// Its name, as it was given.
    pub name: String,
    /// What it says.
    pub kind: FileKind,
    /// Rules in it, those aside that are commented out and stay so.
    pub rules: usize,
    /// Rules of it that are in the set.
    pub loaded: usize,
    /// Rules that another one of the same number took the place of, having a later revision.
    pub replaced: usize,
    /// Rules that are commented out and not enabled, or disabled.
    pub disabled: usize,
    /// What is wrong with the others, in the order of the file.
    pub faults: Vec<Fault>,
    /// Rules that are in the set and can never match: line, sid, and the keyword that nobody answers.
    pub in_vain: Vec<(u32, u32, String)>,
    /// What is read and does nothing, or less than it says, in the order of the file.
    pub idle: Vec<Fault>,
}

/// A set of rules.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The rules, in the order of files and lines.
    pub signatures: Vec<Signature>,
    /// What came of each file.
    pub files: Vec<FileReport>,
    /// Rules in force and not, by generator and number, where they were to be listed.
    pub listed: Vec<Listed>,
    /// Where references of rules are found.
    pub references: References,
    /// Threads that read them.
    pub threads: usize,
}

/// Reads files one after the other: [`Self::add`], then [`Self::finish`].
#[derive(Debug)]
pub struct Loader {
    /// One for each thread, all alike: each knows the groups that its thread has read.
    variables: Vec<Variables>,
    datasets: Arc<Datasets>,
    addresses: AddressFacts,
    /// That of the file which is read.
    directory: PathBuf,
    changes: Changes,
    signatures: Vec<Signature>,
    /// Of a generator and number: place in `signatures`, file and line.
    known: HashMap<(u32, u32), Place>,
    files: Vec<FileReport>,
    /// Lists of hashes that were read.
    lists: HashMap<(PathBuf, FileHash), Arc<HashList>>,
    /// Whether rules are listed.
    is_listing: bool,
    /// As `signatures`, where they are listed.
    listed: Vec<Listed>,
    /// Rules that are not in force.
    off: Vec<Listed>,
    /// What is said of alerts beside the rules, file by file.
    beside: Vec<(FileReport, Vec<(u32, Line)>)>,
    /// `None`: those that come with Suricata.
    classes: Option<Classes>,
    references: Option<References>,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    rule: usize,
    file: usize,
    line: u32,
}

impl Loader {
    /// Rules are read with these address and port groups.
    #[must_use]
    pub fn new(variables: Variables) -> Self {
        Self {
            variables: vec![variables],
            datasets: Arc::default(),
            addresses: AddressFacts::default(),
            directory: PathBuf::new(),
            changes: Changes::default(),
            signatures: Vec::new(),
            known: HashMap::new(),
            files: Vec::new(),
            lists: HashMap::new(),
            is_listing: false,
            listed: Vec::new(),
            off: Vec::new(),
            beside: Vec::new(),
            classes: None,
            references: None,
        }
    }

    /// From here on, rules are listed, those that are not in force too.
    #[must_use]
    pub fn listing(self) -> Self {
        Self { is_listing: true, ..self }
    }

    /// From here on, what an operator changes is changed.
    #[must_use]
    pub fn with(self, changes: Changes) -> Self {
        Self { changes, ..self }
    }

    /// From here on, rules are read on so many threads.
    #[must_use]
    pub fn on_threads(mut self, threads: NonZero<usize>) -> Self {
        let threads = threads.get().min(THREADS_MAX);
        let first = self.variables.first().cloned().unwrap_or_default();
        self.variables.resize(threads, first);
        self
    }

    /// Sets of data are these, of one reading after the other.
    #[must_use]
    pub fn with_datasets(self, datasets: Arc<Datasets>) -> Self {
        datasets.begin();
        Self { datasets, ..self }
    }

    /// What is known of addresses is this.
    #[must_use]
    pub fn with_addresses(self, addresses: AddressFacts) -> Self {
        Self { addresses, ..self }
    }

    /// Reads the rules of a file.
    pub fn add(&mut self, name: &str, text: &[u8]) {
        let file = self.files.len();
        self.directory = Path::new(name).parent().map(Path::to_owned).unwrap_or_default();
        self.files.push(FileReport { name: name.to_owned(), ..FileReport::default() });
        let mut texts: Vec<_> = rules_and_comments(text).collect();
        if !self.is_listing && !self.changes.may_enable() {
            let all = texts.len();
            texts.retain(|(_, is_comment)| !is_comment);
            self.files[file].disabled += all - texts.len();
        }
        let sources =
            Sources { datasets: &self.datasets, addresses: &self.addresses, directory: &self.directory };
        let common = Common { changes: &self.changes, name, sources };
        let prepared = prepare::all(&texts, common, &mut self.variables);
        for ((text, is_comment), prepared) in texts.iter().zip(prepared) {
            self.files[file].rules += usize::from(!is_comment);
            let ready = match prepared {
                Ok(Prepared::On(signature)) => Ok(*signature),
                Ok(Prepared::Unready(rule, by)) => self.ready(*rule, text, by),
                Ok(Prepared::Off(rule)) => {
                    self.files[file].disabled += 1;
                    if let Some(rule) = rule.filter(|_| self.is_listing) {
                        self.off.push(Listed::new(&rule, text.bytes(), (file, text.line), false));
                    }
                    continue;
                }
                Err(fault) => Err(fault),
            };
            match ready {
                Ok(signature) => {
                    self.files[file].rules += usize::from(*is_comment);
                    self.take(signature, text, file);
                }
                // What is commented out may be anything.
                Err(_) if *is_comment => self.files[file].disabled += 1,
                Err(fault) => self.files[file].faults.push(fault),
            }
        }
    }

    /// Reads a file of Suricata's `threshold.config`, which is about the rules of all files.
    pub fn add_thresholds(&mut self, name: &str, text: &[u8]) {
        let Some(variables) = self.variables.first_mut() else { return };
        let Lines { lines, faults } = thresholds::read(text, variables);
        self.note_beside(name, faults, lines);
    }

    /// Reads a file of Suricata's `classification.config`: classes are those of such files alone.
    pub fn add_classes(&mut self, name: &str, text: &[u8]) {
        let faults = self.classes.get_or_insert_with(Classes::none).add(text);
        self.note_beside(name, faults, Vec::new());
    }

    /// Reads a file of Suricata's `reference.config`: references are found where such files say it.
    pub fn add_references(&mut self, name: &str, text: &[u8]) {
        let faults = self.references.get_or_insert_with(References::none).add(text);
        self.note_beside(name, faults, Vec::new());
    }

    fn note_beside(&mut self, name: &str, faults: Vec<Fault>, lines: Vec<(u32, Line)>) {
        let kind = FileKind::Beside;
        self.beside
            .push((FileReport { name: name.to_owned(), kind, faults, ..FileReport::default() }, lines));
    }

    /// A rule that names what is read for all rules together.
    fn ready(&mut self, mut rule: Rule, text: &RuleText<'_>, by: Written) -> Result<Signature, Fault> {
        let (sid, kind) = (Some(rule.sid), Kind::Syntax);
        self.read_lists(&mut rule).map_err(|detail| {
            by.of(text, Fault { line: text.line, column: 1, sid, keyword: None, kind, detail })
        })?;
        let sources =
            Sources { datasets: &self.datasets, addresses: &self.addresses, directory: &self.directory };
        prepare::signature(rule, sources, text, by)
    }

    /// Reads the lists of hashes that a rule names, beside the file that it is in; each once.
    fn read_lists(&mut self, rule: &mut Rule) -> Result<(), String> {
        for condition in &mut rule.conditions {
            let Condition::File(FileTest::Hash { kind, list, hashes, .. }) = condition else { continue };
            let path = self.directory.join(&**list);
            let known = self.lists.get(&(path.clone(), *kind)).map(Arc::clone);
            let read = match known {
                Some(known) => known,
                None => {
                    let read = HashList::read(&path, *kind);
                    let read = read.map_err(|why| format!("the list {}: {why}", path.display()))?;
                    let read = Arc::new(read);
                    self.lists.insert((path, *kind), Arc::clone(&read));
                    read
                }
            };
            *hashes = Some(read);
        }
        Ok(())
    }

    /// Of two rules of one number that with the later revision counts, as with Suricata.
    fn take(&mut self, signature: Signature, text: &RuleText<'_>, file: usize) {
        let rule = &signature.rule;
        let place = Place { rule: self.signatures.len(), file, line: text.line };
        let listed = self.is_listing.then(|| Listed::new(rule, text.bytes(), (file, text.line), true));
        let Some(other) = self.known.get(&(rule.generator, rule.sid)).copied() else {
            self.known.insert((rule.generator, rule.sid), place);
            self.signatures.push(signature);
            self.listed.extend(listed);
            self.files[file].loaded += 1;
            return;
        };
        let before = &mut self.signatures[other.rule];
        if rule.revision > before.rule.revision {
            self.files[other.file].loaded -= 1;
            self.files[other.file].replaced += 1;
            self.files[file].loaded += 1;
            self.known.insert((rule.generator, rule.sid), Place { rule: other.rule, ..place });
            *before = signature;
            if let Some((listed, before)) = listed.zip(self.listed.get_mut(other.rule)) {
                *before = listed;
            }
        } else if rule.revision < before.rule.revision {
            self.files[file].replaced += 1;
        } else {
            let name = &self.files[other.file].name;
            let detail = format!("a rule of this sid and rev is at {name}:{} already", other.line);
            let fault = Fault {
                line: text.line,
                column: 1,
                sid: Some(rule.sid),
                keyword: None,
                kind: Kind::Syntax,
                detail,
            };
            self.files[file].faults.push(fault);
        }
    }

    /// The set.
    #[must_use]
    pub fn finish(mut self) -> Loaded {
        for place in self.known.values() {
            let rule = &self.signatures[place.rule].rule;
            if let Some(keyword) = asked_in_vain(rule) {
                self.files[place.file].in_vain.push((place.line, rule.sid, keyword));
            }
        }
        self.classify();
        for file in &mut self.files {
            file.in_vain.sort_unstable();
            file.idle.sort_by_key(|fault| fault.line);
        }
        let places: HashMap<_, _> = self.known.iter().map(|(key, place)| (*key, place.rule)).collect();
        for (mut report, lines) in self.beside {
            report.idle = adjust::apply(&lines, &mut self.signatures, &places);
            self.files.push(report);
        }
        let listed = joined(self.listed, self.off);
        let references = self.references.unwrap_or_else(References::usual);
        let threads = self.variables.len();
        Loaded { signatures: self.signatures, files: self.files, listed, references, threads }
    }

    /// Gives rules what their classes say. A class that nobody knows is told once, with the first rule of it.
    fn classify(&mut self) {
        let classes = self.classes.take().unwrap_or_else(Classes::usual);
        let mut unknown: BTreeMap<Box<str>, (usize, u32, u32)> = BTreeMap::new();
        for place in self.known.values() {
            let signature = &mut self.signatures[place.rule];
            let is_known = adjust::classify(signature, &classes);
            let rule = &signature.rule;
            let Some(class) = rule.class.as_ref().filter(|_| !is_known) else { continue };
            let here = (place.file, place.line, rule.sid);
            let first = unknown.entry(class.to_lowercase().into()).or_insert(here);
            *first = here.min(*first);
        }
        for (class, (file, line, sid)) in unknown {
            let priority = classes.unknown().priority;
            let detail =
                format!("no classification has the class {class}: its rules have priority {priority}");
            let keyword = Some("classtype".to_owned());
            let fault = Fault { line, column: 1, sid: Some(sid), keyword, kind: Kind::Idle, detail };
            self.files[file].idle.push(fault);
        }
    }
}
