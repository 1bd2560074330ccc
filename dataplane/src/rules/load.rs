//! Files of rules become one set, and a report of what is not in it.

use std::collections::HashMap;

use super::language::{Fault, Kind, RuleText, Variables, read, rules};
use super::matcher::{Matcher, Unmatchable};
use super::rule::Rule;
use super::transform::Chain;

/// What came of one file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FileReport {
    /// Its name, as it was given.
    pub name: String,
    /// Rules in it.
    pub rules: usize,
    /// Rules of it that are in the set.
    pub loaded: usize,
    /// Rules that another one of the same number took the place of, having a later revision.
    pub replaced: usize,
    /// What is wrong with the others, in the order of the file.
    pub faults: Vec<Fault>,
}

/// A set of rules.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The rules, in the order of files and lines.
    pub rules: Vec<Rule>,
    /// What came of each file.
    pub files: Vec<FileReport>,
}

/// Reads files one after the other: [`Self::add`], then [`Self::finish`].
#[derive(Debug)]
pub struct Loader {
    variables: Variables,
    rules: Vec<Rule>,
    /// Of a generator and number: place in `rules`, file and line.
    known: HashMap<(u32, u32), Place>,
    files: Vec<FileReport>,
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
        Self { variables, rules: Vec::new(), known: HashMap::new(), files: Vec::new() }
    }

    /// Reads the rules of a file.
    pub fn add(&mut self, name: &str, text: &[u8]) {
        let file = self.files.len();
        self.files.push(FileReport { name: name.to_owned(), ..FileReport::default() });
        for rule in rules(text) {
            self.files[file].rules += 1;
            match read(&rule, &mut self.variables) {
                Ok(read) => match unmatchable(&read) {
                    None => self.take(read, &rule, file),
                    Some(why) => self.files[file].faults.push(of_rule(&read, &rule, &why)),
                },
                Err(fault) => self.files[file].faults.push(fault),
            }
        }
    }

    /// Of two rules of one number that with the later revision counts, as with Suricata.
    fn take(&mut self, rule: Rule, text: &RuleText<'_>, file: usize) {
        let place = Place { rule: self.rules.len(), file, line: text.line };
        let Some(other) = self.known.get(&(rule.generator, rule.sid)).copied() else {
            self.known.insert((rule.generator, rule.sid), place);
            self.rules.push(rule);
            self.files[file].loaded += 1;
            return;
        };
        let before = &mut self.rules[other.rule];
        if rule.revision > before.revision {
            self.files[other.file].loaded -= 1;
            self.files[other.file].replaced += 1;
            self.files[file].loaded += 1;
            self.known.insert((rule.generator, rule.sid), Place { rule: other.rule, ..place });
            *before = rule;
        } else if rule.revision < before.revision {
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
    pub fn finish(self) -> Loaded {
        Loaded { rules: self.rules, files: self.files }
    }
}

/// Why the tests of a rule cannot be tried.
fn unmatchable(rule: &Rule) -> Option<Unmatchable> {
    rule.parts.iter().find_map(|part| Matcher::new(part).err().or_else(|| Chain::new(&part.transforms).err()))
}

fn of_rule(rule: &Rule, text: &RuleText<'_>, why: &Unmatchable) -> Fault {
    let kind = match why {
        Unmatchable::Expression(_) => Kind::Syntax,
        Unmatchable::Unsupported(_) => Kind::Unsupported,
    };
    Fault { line: text.line, column: 1, sid: Some(rule.sid), keyword: None, kind, detail: why.to_string() }
}

#[cfg(test)]
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
        let kept: Vec<_> = loaded.rules.iter().map(|rule| (rule.sid, rule.revision)).collect();
        assert_eq!(kept, [(1, 2), (2, 5), (3, 1)]);
        let told = loaded.files[1].faults[0].to_string();
        assert_eq!(told, "3:1: sid 3: a rule of this sid and rev is at a.rules:3 already");
    }
}
