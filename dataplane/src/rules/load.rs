//! Files of rules become one set, and a report of what is not in it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::changes::{Candidate, Changes, any};
use super::datasets::Datasets;
use super::hashes::HashList;
use super::language::{Fault, Kind, RuleText, Variables, read, rules_and_comments};
use super::listed::{Listed, joined};
use super::matcher::{Sources, Unmatchable};
use super::rule::{Action, Condition, FileHash, FileTest, Rule};
use super::signature::Signature;
use super::untold::asked_in_vain;

/// What came of one file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FileReport {
    /// Its name, as it was given.
    pub name: String,
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
}

/// Reads files one after the other: [`Self::add`], then [`Self::finish`].
#[derive(Debug)]
pub struct Loader {
    variables: Variables,
    datasets: Arc<Datasets>,
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
}

/// A rule as an operator wants it.
enum Wanted {
    On(Box<Signature>),
    Off(Box<Rule>),
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
            variables,
            datasets: Arc::default(),
            directory: PathBuf::new(),
            changes: Changes::default(),
            signatures: Vec::new(),
            known: HashMap::new(),
            files: Vec::new(),
            lists: HashMap::new(),
            is_listing: false,
            listed: Vec::new(),
            off: Vec::new(),
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

    /// Sets of data are these, of one reading after the other.
    #[must_use]
    pub fn with_datasets(self, datasets: Arc<Datasets>) -> Self {
        datasets.begin();
        Self { datasets, ..self }
    }

    /// Reads the rules of a file.
    pub fn add(&mut self, name: &str, text: &[u8]) {
        let file = self.files.len();
        self.directory = Path::new(name).parent().map(Path::to_owned).unwrap_or_default();
        self.files.push(FileReport { name: name.to_owned(), ..FileReport::default() });
        for (text, is_comment) in rules_and_comments(text) {
            if is_comment && !self.is_listing && !self.changes.may_enable() {
                self.files[file].disabled += 1;
                continue;
            }
            let wanted = self.changed(&text, name, is_comment);
            let report = &mut self.files[file];
            report.rules += usize::from(!is_comment || matches!(wanted, Ok(Wanted::On(_))));
            match wanted {
                Ok(Wanted::On(signature)) => self.take(*signature, &text, file),
                Ok(Wanted::Off(rule)) => {
                    report.disabled += 1;
                    if self.is_listing {
                        self.off.push(Listed::new(&rule, text.bytes(), (file, text.line), false));
                    }
                }
                // What is commented out may be anything, and what is disabled may be wrong.
                Err(fault) if is_comment || fault.sid.is_some_and(|sid| self.changes.is_off(sid)) => {
                    report.disabled += 1;
                }
                Err(fault) => report.faults.push(fault),
            }
        }
    }

    /// A rule as an operator wants it.
    fn changed(&mut self, text: &RuleText<'_>, file: &str, is_comment: bool) -> Result<Wanted, Fault> {
        let rule = read(text, &mut self.variables)?;
        let Changes { drop, modify, .. } = &self.changes;
        let candidate = Candidate { rule: &rule, text: text.bytes(), file };
        if !self.changes.is_on(&candidate, is_comment) {
            return Ok(Wanted::Off(Box::new(rule)));
        }
        let drops = any(drop, &candidate);
        let mut written = None;
        for modification in modify {
            let text = written.as_deref().unwrap_or(candidate.text);
            if let Some(changed) = modification.apply(&Candidate { text, ..candidate }) {
                written = Some(changed);
            }
        }
        let mut signature = match written {
            None => self.compiled(rule, text)?,
            Some(written) => self.readable(&RuleText::of(&written)).map_err(|fault| {
                let detail = format!("after it was modified: {}", fault.detail);
                Fault { line: text.line, column: 1, detail, ..fault }
            })?,
        };
        let action = &mut signature.rule.action;
        if drops && *action == Action::Alert {
            *action = Action::Drop;
        }
        Ok(Wanted::On(Box::new(signature)))
    }

    /// A rule whose tests can be tried.
    fn readable(&mut self, text: &RuleText<'_>) -> Result<Signature, Fault> {
        let rule = read(text, &mut self.variables)?;
        self.compiled(rule, text)
    }

    fn compiled(&mut self, mut rule: Rule, text: &RuleText<'_>) -> Result<Signature, Fault> {
        let sid = rule.sid;
        self.read_lists(&mut rule).map_err(|detail| Fault {
            line: text.line,
            column: 1,
            sid: Some(sid),
            keyword: None,
            kind: Kind::Syntax,
            detail,
        })?;
        let sources = Sources { datasets: &self.datasets, directory: &self.directory };
        Signature::new(rule, &sources).map_err(|why| of_rule(sid, text, &why))
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
        for file in &mut self.files {
            file.in_vain.sort_unstable();
        }
        let listed = joined(self.listed, self.off);
        Loaded { signatures: self.signatures, files: self.files, listed }
    }
}

fn of_rule(sid: u32, text: &RuleText<'_>, why: &Unmatchable) -> Fault {
    let kind = match why {
        Unmatchable::Expression(_) | Unmatchable::NoData(_) => Kind::Syntax,
        Unmatchable::Unsupported(_) | Unmatchable::NoMagic(_) => Kind::Unsupported,
    };
    Fault { line: text.line, column: 1, sid: Some(sid), keyword: None, kind, detail: why.to_string() }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;

    #[test]
    fn the_later_revision_counts_and_equal_ones_are_told() {
        let mut loader = Loader::new(Variables::usual());
        let rule = |sid: u32, rev: u32| {
            format!("alert tcp any any -> any any (msg:\"{rev}\"; sid:{sid}; rev:{rev};)\n")
        };
        loader.add("a.rules", (rule(1, 1) + &rule(2, 5) + &rule(3, 1)).as_bytes());
        loader.add("b.rules", (rule(1, 2) + &rule(2, 4) + &rule(3, 1) + "alert nope\n").as_bytes());
        let loaded = loader.finish();
        let counts = |file: &FileReport| (file.rules, file.loaded, file.replaced, file.faults.len());
        assert_eq!(loaded.files.iter().map(counts).collect::<Vec<_>>(), [(3, 2, 1, 0), (4, 1, 1, 2)]);
        let kept: Vec<_> = loaded.signatures.iter().map(|one| (one.rule.sid, one.rule.revision)).collect();
        assert_eq!(kept, [(1, 2), (2, 5), (3, 1)]);
        let told = loaded.files[1].faults[0].to_string();
        assert_eq!(told, "3:1: sid 3: a rule of this sid and rev is at a.rules:3 already");
    }

    #[test]
    fn rules_that_cannot_match_are_told_where_they_are_in_the_set() {
        let mut loader = Loader::new(Variables::usual());
        let vain = "alert ip any any -> any any (sctp.chunk_data; content:\"A\"; sid:2; rev:1;)\n";
        loader.add("a.rules", format!("alert ip any any -> any any (sid:1;)\n{vain}").as_bytes());
        loader.add("b.rules", vain.replace("rev:1", "rev:2").as_bytes());
        let loaded = loader.finish();
        assert_eq!(loaded.signatures.len(), 2);
        assert_eq!(loaded.files[0].in_vain, []);
        assert_eq!(loaded.files[1].in_vain, [(1, 2, "sctp.chunk_data".to_owned())]);
    }

    #[test]
    fn lists_of_an_operator_change_the_set() {
        use crate::rules::changes::{modifications, selectors};
        let changes = Changes {
            disable: selectors(b"re:noisy").unwrap(),
            enable: selectors(b"2,4").unwrap(),
            drop: selectors(b"group:a").unwrap(),
            modify: modifications(b"3 \"msg:\\\".*?\\\"\" \"msg:\\\"other\\\"\"\n5 \"sid\" \"nope\"")
                .unwrap(),
            ..Changes::default()
        };
        let mut loader = Loader::new(Variables::usual()).with(changes);
        let file = "alert tcp any any -> any any (msg:\"noisy\"; sid:1;)\n\
                    alert tcp any any -> any any (msg:\"noisy\"; sid:2;)\n\
                    pass tcp any any -> any any (msg:\"x\"; sid:3;)\n\
                    # alert tcp any any -> any any (msg:\"off\"; sid:4;)\n\
                    alert tcp any any -> any any (msg:\"y\"; sid:5;)\n\
                    # alert tcp any any -> any any (msg:\"off\"; sid:6;)\n";
        loader.add("rules/a.rules", file.as_bytes());
        let loaded = loader.finish();
        let rules: Vec<_> =
            loaded.signatures.iter().map(|one| (one.rule.sid, one.rule.action, &*one.rule.message)).collect();
        assert_eq!(rules, [(2, Action::Drop, "noisy"), (3, Action::Pass, "other"), (4, Action::Drop, "off")]);
        let report = &loaded.files[0];
        assert_eq!((report.rules, report.loaded, report.disabled, report.faults.len()), (5, 3, 2, 1));
        assert_eq!(report.faults[0].line, 5);
        assert!(report.faults[0].detail.starts_with("after it was modified: "), "{}", report.faults[0]);
    }

    #[test]
    fn rules_are_listed_in_force_and_not_and_numbers_go_before_lists() {
        let file = "alert tcp any any -> any any (msg:\"a\"; classtype:x; sid:1; rev:2;)\n\
                    # drop http any any -> any any (msg:\"b\"; sid:2;)\n\
                    # any words (in brackets)\n\
                    alert tcp any any -> any any (nonsense; sid:3;)\n\
                    alert tcp any any -> any any (msg:\"d\"; sid:4;)\n";
        let listed = |forced: &[(u32, bool)]| {
            let forced = forced.iter().map(|(sid, on)| ((1, *sid), *on)).collect();
            let changes = Changes {
                disable: crate::rules::changes::selectors(b"4").unwrap(),
                forced,
                ..Changes::default()
            };
            let mut loader = Loader::new(Variables::usual()).with(changes).listing();
            loader.add("a.rules", file.as_bytes());
            let loaded = loader.finish();
            let on = |one: &Listed| (one.sid, one.line, one.enabled);
            (loaded.listed.iter().map(on).collect::<Vec<_>>(), loaded.files[0].faults.len(), loaded)
        };
        let (all, faults, loaded) = listed(&[]);
        assert_eq!(all, [(1, 1, true), (2, 2, false), (4, 5, false)]);
        assert_eq!(faults, 1);
        let first = &loaded.listed[0];
        assert_eq!((&*first.protocol, first.class.as_deref(), first.revision), ("tcp", Some("x"), 2));
        assert!(first.text.starts_with("alert tcp any any -> any any (msg:"));
        assert_eq!(&*loaded.listed[1].protocol, "http");
        let (all, faults, loaded) = listed(&[(1, false), (2, true), (3, false), (4, true)]);
        assert_eq!(all, [(1, 1, false), (2, 2, true), (4, 5, true)]);
        assert_eq!((faults, loaded.signatures.len()), (0, 2));
    }
}
