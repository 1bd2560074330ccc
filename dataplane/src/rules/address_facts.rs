//! What is known of addresses beside the rules: in which country they are (`geoip`), and what is said of them (`iprep`).

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use maxminddb::{PathElement, Reader};

use super::by_address::{Prefix, Prefixes};
use super::number::NumberTest;
use super::rule::{CountryTest, Ends, IpReputation};
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

/// Countries of addresses: a database in MaxMind's format (GeoIP2 and GeoLite2 Country or City, and others that have
/// `country.iso_code`).
pub struct Countries(Reader<Vec<u8>>);

impl Countries {
    /// A database as it stands in its file.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn of(database: Vec<u8>) -> Result<Self, String> {
        Reader::from_source(database).map(Self).map_err(|error| error.to_string())
    }

    /// Two letters, upper case (ISO 3166-1); `None`: nobody says.
    fn of_address(&self, addr: Addr) -> Option<[u8; 2]> {
        const CODE: [PathElement<'_>; 2] = [PathElement::Key("country"), PathElement::Key("iso_code")];
        let found = self.0.lookup(addr.to_ip()).ok()?;
        let code: &str = found.decode_path(&CODE).ok()??;
        code.as_bytes().first_chunk().copied().filter(|_| code.len() == 2)
    }

    /// Whether the ends are where a rule asks for. An address of which nobody says where it is, is nowhere and not elsewhere.
    pub(super) fn holds(&self, test: &CountryTest, ends: (Addr, Addr)) -> bool {
        test.ends.hold(ends, |addr| {
            let country = self.of_address(addr);
            country.is_some_and(|country| test.countries.contains(&country) != test.is_negated)
        })
    }
}

impl std::fmt::Debug for Countries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Countries").field("type", &self.0.metadata().database_type).finish_non_exhaustive()
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

    /// A database of one record for 192.0.2.0/24 (MaxMind DB file format 2.0): 24 nodes of 24-bit records, then a map.
    fn database(code: &str) -> Vec<u8> {
        let text = |text: &str| [&[0x40 | text.len() as u8][..], text.as_bytes()].concat();
        let number = |kind: u8, bytes: &[u8]| [&[kind << 5 | bytes.len() as u8][..], bytes].concat();
        let map = |pairs: &[(&str, Vec<u8>)]| {
            let mut bytes = vec![0xe0 | pairs.len() as u8];
            pairs.iter().for_each(|(key, value)| bytes.extend([text(key), value.clone()].concat()));
            bytes
        };
        let nodes = 24_u32;
        let mut bytes = Vec::new();
        for node in 0..nodes {
            let bit = (0xc000_0200_u32 >> (31 - node)) & 1;
            // Of the last node a pointer to the first byte of data, else the next node; elsewhere nothing is.
            let there = if node == nodes - 1 { nodes + 16 } else { node + 1 };
            let pair = if bit == 0 { [there, nodes] } else { [nodes, there] };
            pair.iter().for_each(|record| bytes.extend(&record.to_be_bytes()[1..]));
        }
        bytes.extend([0; 16]);
        bytes.extend(map(&[("country", map(&[("iso_code", text(code))]))]));
        bytes.extend(b"\xab\xcd\xefMaxMind.com");
        // An extended type has its number in a byte of its own: lists are 11, numbers of 64 bits 9.
        let epoch = vec![0x01, 9 - 7, 1];
        bytes.extend(map(&[
            ("binary_format_major_version", number(5, &[2])),
            ("binary_format_minor_version", number(5, &[])),
            ("build_epoch", epoch),
            ("database_type", text("Test-Country")),
            ("description", map(&[("en", text("test"))])),
            ("ip_version", number(5, &[4])),
            ("languages", vec![0x00, 11 - 7]),
            ("node_count", number(6, &[nodes as u8])),
            ("record_size", number(5, &[24])),
        ]));
        bytes
    }

    #[test]
    fn an_address_is_where_the_database_says() {
        let countries = Countries::of(database("NL")).unwrap();
        let (known, other) = (Addr::v4([192, 0, 2, 77]), Addr::v4([192, 0, 3, 1]));
        assert_eq!((countries.of_address(known), countries.of_address(other)), (Some(*b"NL"), None));
        let test = |ends, is_negated| CountryTest { ends, is_negated, countries: vec![*b"DE", *b"NL"] };
        assert!(countries.holds(&test(Ends::Source, false), (known, other)));
        assert!(!countries.holds(&test(Ends::Source, true), (known, other)));
        assert!(!countries.holds(&test(Ends::Destination, true), (known, other)), "nobody says where it is");
        assert!(countries.holds(&test(Ends::Any, false), (other, known)));
        assert!(!countries.holds(&test(Ends::Both, false), (other, known)));
        assert!(Countries::of(b"no database".to_vec()).is_err());
    }
}
