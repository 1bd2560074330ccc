//! What is known of addresses beside the rules: in which country they are (`geoip`), and what is said of them (`iprep`).

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::by_address::{Prefix, Prefixes};
use super::number::NumberTest;
use super::rule::{CountryTest, Ends, IpReputation};
use crate::geography::Countries;
use crate::parse::Addr;

/// What an operator's files say of addresses; nothing where they name none.
#[derive(Debug, Clone, Default)]
pub struct AddressFacts {
    /// Countries.
    pub countries: Option<Arc<Countries>>,
    /// Reputations.
    pub reputation: Option<Arc<Reputation>>,
}

impl Ends {
    /// Whether something holds of the ends that are meant.
    fn hold(self, (src, dst): (Addr, Addr), holds: impl Fn(Addr) -> bool) -> bool {
        match self {
            Self::Source => holds(src),
            Self::Destination => holds(dst),
            Self::Any => holds(src) || holds(dst),
            Self::Both => holds(src) && holds(dst),
        }
    }
}

impl Countries {
    /// Whether the ends are where a rule asks for. An address of which nobody says where it is, is nowhere and not elsewhere.
    pub(super) fn holds(&self, test: &CountryTest, ends: (Addr, Addr)) -> bool {
        test.ends.hold(ends, |addr| {
            let country = self.of_address(addr);
            country.is_some_and(|country| test.countries.contains(&country) != test.is_negated)
        })
    }
}

/// The highest score, and the highest number of a category (Suricata's `reputation.h`).
const SCORE_MAX: u8 = 127;
const CATEGORY_MAX: u8 = 59;

/// Entries of all files together.
const ENTRIES_MAX: usize = 8 << 20;

/// What is said of addresses: in a category a score up to 127.
#[derive(Debug)]
pub struct Reputation {
    categories: HashMap<Box<str>, u8>,
    scores: Prefixes,
}

/// Files of reputations while they are read.
#[derive(Debug, Default)]
pub struct ReputationFiles {
    categories: HashMap<Box<str>, u8>,
    scores: Vec<(Prefix, u32)>,
}

impl ReputationFiles {
    /// Reads categories: `number,name,description` a line.
    ///
    /// # Errors
    ///
    /// Line and what is wrong there.
    pub fn categories(&mut self, text: &str) -> Result<(), String> {
        for (line, text) in lines(text) {
            let mut parts = text.splitn(3, ',').map(str::trim);
            let number =
                parts.next().and_then(|number| number.parse().ok()).filter(|number| *number <= CATEGORY_MAX);
            let name = parts.next().filter(|name| !name.is_empty());
            let (Some(number), Some(name)) = (number, name) else {
                return Err(format!(
                    "{line}: expected a category's number up to {CATEGORY_MAX}, its name and a description, with commas between"
                ));
            };
            self.categories.insert(name.into(), number);
        }
        Ok(())
    }

    /// Reads scores: `address or network,category,score` a line.
    ///
    /// # Errors
    ///
    /// Line and what is wrong there.
    pub fn scores(&mut self, text: &str) -> Result<(), String> {
        for (line, text) in lines(text) {
            let mut parts = text.split(',').map(str::trim);
            let network = parts.next().and_then(network);
            let number = |part: Option<&str>, max| part?.parse::<u8>().ok().filter(|number| *number <= max);
            let (category, score) = (number(parts.next(), CATEGORY_MAX), number(parts.next(), SCORE_MAX));
            let (Some(prefix), Some(category), Some(score), None) = (network, category, score, parts.next())
            else {
                return Err(format!(
                    "{line}: expected an address or a network, a category's number and a score up to {SCORE_MAX}, with commas between"
                ));
            };
            if self.scores.len() >= ENTRIES_MAX {
                return Err(format!("{line}: there are more than {ENTRIES_MAX} scores"));
            }
            self.scores.push((prefix, u32::from(category) << 8 | u32::from(score)));
        }
        Ok(())
    }

    /// All of them, ready to be asked.
    #[must_use]
    pub fn finish(self) -> Reputation {
        Reputation { categories: self.categories, scores: Prefixes::new(self.scores) }
    }
}

/// Lines that say something, with their numbers.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let numbered = (1..).zip(text.lines().map(str::trim));
    numbered.filter(|(_, text)| !text.is_empty() && !text.starts_with('#'))
}

/// A network, or an address alone.
fn network(text: &str) -> Option<Prefix> {
    let network = match text.contains('/') {
        true => text.parse::<ipnet::IpNet>().ok()?,
        false => text.parse::<IpAddr>().ok()?.into(),
    };
    Some(Prefix::of_network(network))
}

impl Reputation {
    /// The number of a category.
    pub(super) fn category(&self, name: &str) -> Option<u8> {
        self.categories.get(name).copied()
    }

    /// The score of an address in a category: that of the narrowest network.
    fn score(&self, addr: Addr, category: u8) -> Option<u8> {
        let mut found = None;
        self.scores.each(addr, |entries| {
            let of = entries.iter().rev().find(|entry| **entry >> 8 == u32::from(category));
            found = of.map(|entry| *entry as u8).or(found);
        });
        found
    }

    /// Whether what is said of the ends in a category is what a rule asks for; `test` is `None`: nothing is said.
    pub(super) fn holds(&self, asked: &IpReputation, category: u8, ends: (Addr, Addr)) -> bool {
        let holds =
            |test: &NumberTest, score: Option<u8>| score.is_some_and(|score| test.holds(score.into()));
        asked.ends.hold(ends, |addr| {
            let score = self.score(addr, category);
            asked.test.as_ref().map_or(score.is_none(), |test| holds(test, score))
        })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;

    fn reputation(scores: &str) -> Reputation {
        let mut files = ReputationFiles::default();
        files.categories("# all\n1,CnC,servers of bots\n2, Spam ,\n").unwrap();
        files.scores(scores).unwrap();
        files.finish()
    }

    #[test]
    fn the_narrowest_network_says_the_score() {
        let known = reputation("192.0.2.1,1,100\n192.0.2.0/24,1,30\n192.0.2.0/24,2,7\n2001:db8::/32,1,9\n");
        assert_eq!(
            (known.category("CnC"), known.category("Spam"), known.category("cnc")),
            (Some(1), Some(2), None)
        );
        let v4 = |last| Addr::v4([192, 0, 2, last]);
        assert_eq!(
            [known.score(v4(1), 1), known.score(v4(2), 1), known.score(v4(1), 2)],
            [Some(100), Some(30), Some(7)]
        );
        assert_eq!(known.score(Addr::v4([198, 51, 100, 1]), 1), None);
        let v6 = |text: &str| Addr::from(text.parse::<IpAddr>().unwrap());
        assert_eq!(known.score(v6("2001:db8:5::1"), 1), Some(9));
        let asked = |ends, test| IpReputation { ends, category: "CnC".into(), test };
        let (bad, other) = (v4(1), Addr::v4([198, 51, 100, 1]));
        let high = Some(NumberTest::Greater(50));
        assert!(known.holds(&asked(Ends::Source, high), 1, (bad, other)));
        assert!(!known.holds(&asked(Ends::Destination, high), 1, (bad, other)));
        assert!(known.holds(&asked(Ends::Any, high), 1, (other, bad)));
        assert!(!known.holds(&asked(Ends::Both, high), 1, (other, bad)));
        assert!(known.holds(&asked(Ends::Destination, None), 1, (bad, other)));
    }

    #[test]
    fn what_is_wrong_in_a_list_is_told_with_its_line() {
        let mut files = ReputationFiles::default();
        assert!(
            files.categories("1,A,a\nx,B,b\n").unwrap_err().starts_with("2: expected a category's number")
        );
        for wrong in [
            "192.0.2.1,1",
            "192.0.2.1,1,128",
            "192.0.2.1/33,1,1",
            "host,1,1",
            "192.0.2.1,60,1",
            "192.0.2.1,1,1,1",
        ] {
            let told = files.scores(&format!("# c\n\n{wrong}\n")).unwrap_err();
            assert!(told.starts_with("3: expected an address"), "{wrong}: {told}");
        }
    }

    #[test]
    fn a_rule_asks_for_one_end_or_both_and_nowhere_is_not_elsewhere() {
        let countries = Countries::of(crate::mmdb::countries(&[("192.0.2.0/24", "NL")])).unwrap();
        let (known, other) = (Addr::v4([192, 0, 2, 77]), Addr::v4([192, 0, 3, 1]));
        let test = |ends, is_negated| CountryTest { ends, is_negated, countries: vec![*b"DE", *b"NL"] };
        assert!(countries.holds(&test(Ends::Source, false), (known, other)));
        assert!(!countries.holds(&test(Ends::Source, true), (known, other)));
        assert!(!countries.holds(&test(Ends::Destination, true), (known, other)), "nobody says where it is");
        assert!(countries.holds(&test(Ends::Any, false), (other, known)));
        assert!(!countries.holds(&test(Ends::Both, false), (other, known)));
    }
}
