//! Which small number stands for this name? Numbers never change once given, so that facts gathered under one
//! policy set hold under the next.
//!
//! One owner (the control thread) adds names; workers see only numbers. Applications, categories, protocols and
//! countries are compared without case, what people and directories name (users, roles, groups, attributes) with.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use crate::words::wildcard;

/// What a name names; each kind counts for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names are the fields of the policy language")]
pub enum Kind {
    Application,
    Category,
    /// Layer 7 protocols.
    Protocol,
    UserId,
    Role,
    Group,
    AttributeKey,
    AttributeValue,
    Country,
}

impl Kind {
    /// How many kinds there are.
    pub const COUNT: usize = 9;

    const fn ignores_case(self) -> bool {
        match self {
            Self::Application | Self::Category | Self::Protocol | Self::Country => true,
            Self::UserId | Self::Role | Self::Group | Self::AttributeKey | Self::AttributeValue => false,
        }
    }
}

/// The number of a name within its [`Kind`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NameId(pub u32);

/// Every name that policies, the classifier or identity ever used. Grows only. Countries are all there from the beginning.
#[derive(Debug, Clone)]
pub struct Names {
    tables: [Arc<Table>; Kind::COUNT],
}

impl Default for Names {
    fn default() -> Self {
        let mut tables: [Arc<Table>; Kind::COUNT] = Default::default();
        tables[Kind::Country as usize] = Arc::clone(&COUNTRIES);
        Self { tables }
    }
}

/// All pairs of letters in order, so that workers need no table to number a country.
static COUNTRIES: LazyLock<Arc<Table>> = LazyLock::new(|| {
    let mut table = Table::default();
    let letters = || (b'A'..=b'Z').map(char::from);
    for name in letters().flat_map(|first| letters().map(move |second| String::from_iter([first, second]))) {
        table.ids.insert(name.to_ascii_lowercase().into(), NameId(table.names.len() as u32));
        table.names.push(name.into());
    }
    Arc::new(table)
});

/// The names that inspection gives, as they were when a set was compiled. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Vocabulary {
    tables: [Arc<Table>; 3],
}

impl Vocabulary {
    /// The number of an application, category or protocol. A name that policies cannot mean gets [`NameId::NOBODY`].
    #[must_use]
    pub fn number(&self, kind: Kind, name: &str) -> NameId {
        let table = match kind {
            Kind::Application => &self.tables[0],
            Kind::Category => &self.tables[1],
            _ => &self.tables[2],
        };
        table.ids.get(name).copied().unwrap_or(NameId::NOBODY)
    }
}

impl NameId {
    /// A name that no policy knows: it matches none, and is not absent.
    pub const NOBODY: Self = Self(u32::MAX);

    /// The number of a country in all [`Names`], of its two upper-case letters (ISO 3166-1); [`Self::NOBODY`] of anything else.
    #[must_use]
    pub const fn of_country(code: [u8; 2]) -> Self {
        match code {
            [first @ b'A'..=b'Z', second @ b'A'..=b'Z'] => {
                Self((first - b'A') as u32 * 26 + (second - b'A') as u32)
            }
            _ => Self::NOBODY,
        }
    }
}

#[derive(Debug, Clone, Default)]
struct Table {
    ids: HashMap<Box<str>, NameId, foldhash::quality::RandomState>,
    names: Vec<Box<str>>,
}

impl Names {
    /// A table without names.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What compiled sets need to know of names that inspection gives.
    #[must_use]
    pub fn vocabulary(&self) -> Vocabulary {
        let table = |kind: Kind| Arc::clone(&self.tables[kind as usize]);
        Vocabulary { tables: [table(Kind::Application), table(Kind::Category), table(Kind::Protocol)] }
    }

    /// The number of `name`, given now where it had none.
    pub fn intern(&mut self, kind: Kind, name: &str) -> NameId {
        let name = fold(kind, name);
        if let Some(id) = self.tables[kind as usize].ids.get(name.as_ref()) {
            return *id;
        }
        // Copied where a compiled set still holds it.
        let table = Arc::make_mut(&mut self.tables[kind as usize]);
        let id = NameId(table.names.len() as u32);
        table.names.push(name.as_ref().into());
        table.ids.insert(name.as_ref().into(), id);
        id
    }

    /// The number of `name`, where it has one.
    #[must_use]
    pub fn find(&self, kind: Kind, name: &str) -> Option<NameId> {
        self.tables[kind as usize].ids.get(fold(kind, name).as_ref()).copied()
    }

    /// The name of a number; empty for a number that was never given.
    #[must_use]
    pub fn name(&self, kind: Kind, id: NameId) -> &str {
        self.tables[kind as usize].names.get(id.0 as usize).map_or("", |name| name)
    }

    /// How many names of `kind` there are: a set compiled with fewer has not resolved its wildcards against
    /// the newer ones.
    #[must_use]
    pub fn count(&self, kind: Kind) -> u32 {
        self.tables[kind as usize].names.len() as u32
    }

    /// Numbers of the names that `pattern` (with `*`) matches, ascending. Linear in the names of that kind.
    #[must_use]
    pub fn matching(&self, kind: Kind, pattern: &str) -> Vec<NameId> {
        let pattern = fold(kind, pattern);
        let names = &self.tables[kind as usize].names;
        let matches = names.iter().enumerate().filter(|(_, name)| wildcard(&pattern, name));
        matches.map(|(index, _)| NameId(index as u32)).collect()
    }
}

fn fold(kind: Kind, name: &str) -> Cow<'_, str> {
    if kind.ignores_case() && name.chars().any(char::is_uppercase) {
        Cow::Owned(name.to_lowercase())
    } else {
        Cow::Borrowed(name)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;

    #[test]
    fn applications_ignore_case_and_users_do_not() {
        let mut names = Names::new();
        let app = names.intern(Kind::Application, "Spotify");
        assert_eq!(names.find(Kind::Application, "SPOTIFY"), Some(app));
        let user = names.intern(Kind::UserId, "Ann");
        assert_eq!(names.find(Kind::UserId, "ann"), None);
        assert_eq!(names.name(Kind::UserId, user), "Ann");
        assert_eq!(names.matching(Kind::Application, "SPOT*"), vec![app]);
    }

    #[test]
    fn a_country_has_the_same_number_in_all_tables() {
        let mut names = Names::new();
        for code in ["AA", "AZ", "NL", "ZZ"] {
            let number = NameId::of_country(code.as_bytes().try_into().unwrap());
            assert_eq!(names.find(Kind::Country, &code.to_ascii_lowercase()), Some(number), "{code}");
            assert_eq!(names.intern(Kind::Country, code), number);
            assert_eq!(names.name(Kind::Country, number), code);
        }
        assert_eq!(NameId::of_country(*b"nl"), NameId::NOBODY);
        assert_eq!(names.count(Kind::Country), 26 * 26);
    }
}
