//! Which application belongs to this host, text or address? Tables made from one readable file.
//!
//! The file is TOML, see `apps.toml` beside this module and `docs/applications.md`; an operator's own file is read after
//! it, adds to it, and where both speak of the same host, text or network the later one is right. An application's name
//! lives as long as the process, so that a flow and its record may name it after a reload.
//!
//! No lookup allocates. A host costs one hash a label (`hosts`), a text one pass over its first bytes whatever
//! the number of parts (`hints`), an address one binary search (`networks`).

mod hints;
mod hosts;
mod networks;
mod read;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use foldhash::quality::RandomState;

use self::hints::Hints;
use self::hosts::Hosts;
use self::networks::Networks;
use super::notes::HintKind;
use super::protocol::Category;
use crate::parse::Addr;

pub use read::AppFileError;

/// An application.
#[derive(Clone, Copy)]
pub struct AppId(&'static App);

#[derive(Debug)]
struct App {
    name: Box<str>,
    category: Category,
    /// Its place in `AppTable::named`.
    number: Option<u16>,
}

impl AppId {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        &self.0.name
    }

    /// What it is for.
    #[must_use]
    pub const fn category(self) -> Category {
        self.0.category
    }

    /// What [`AppTable::by_number`] finds it by, in its table and the successors of that; `None` where 65,536 others
    /// were named before.
    #[must_use]
    pub const fn number(self) -> Option<u16> {
        self.0.number
    }

    /// A new application. It is never freed: tables give names once and keep them over a reload.
    fn new(name: &str, category: Category, number: Option<u16>) -> Self {
        Self(Box::leak(Box::new(App { name: name.into(), category, number })))
    }
}

impl PartialEq for AppId {
    fn eq(&self, other: &Self) -> bool {
        self.0.name == other.0.name
    }
}

impl Eq for AppId {}

impl std::fmt::Debug for AppId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Applications and how they are recognised.
#[derive(Debug, Default)]
pub struct AppTable {
    apps: Vec<AppId>,
    /// Every application that this table or one before it has named.
    named: Vec<AppId>,
    /// The same by name: one for each category that a name has had.
    named_as: HashMap<Box<str>, Vec<AppId>, RandomState>,
    by_name: HashMap<Box<str>, AppId, RandomState>,
    hosts: Hosts,
    hints: Hints,
    networks: Networks,
}

impl AppTable {
    /// The applications that come with the program.
    #[must_use]
    pub fn builtin() -> Self {
        Self::default().with_builtin()
    }

    /// A table without an entry that gives the names of this one the same numbers: the next one after a reload.
    #[must_use]
    pub fn successor(&self) -> Self {
        Self { named: self.named.clone(), named_as: self.named_as.clone(), ..Self::default() }
    }

    /// The applications that come with the program, after [`Self::successor`].
    ///
    /// # Panics
    ///
    /// Never: a test reads the file.
    #[must_use]
    pub fn with_builtin(self) -> Self {
        let mut table = self;
        let read = table.add(include_str!("apps.toml"));
        debug_assert!(read.is_ok(), "{read:?}");
        table
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.apps.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.apps.is_empty()
    }

    /// The application of that name.
    #[must_use]
    pub fn by_name(&self, name: &str) -> Option<AppId> {
        self.by_name.get(name).copied()
    }

    /// The application of that [`AppId::number`], as this table has it now.
    #[must_use]
    pub fn by_number(&self, number: u16) -> Option<AppId> {
        self.by_name(self.named.get(usize::from(number))?.name())
    }

    /// An application of that name and category: the same one as ever.
    fn name(&mut self, name: &str, category: Category) -> AppId {
        let same = self.named_as.entry(name.into()).or_default();
        if let Some(app) = same.iter().find(|app| app.category() == category) {
            return *app;
        }
        let app = AppId::new(name, category, u16::try_from(self.named.len()).ok());
        same.push(app);
        self.named.push(app);
        app
    }

    /// The application of a host name in its normal form: the longest entry that it is or lies below.
    #[must_use]
    pub fn by_host(&self, host: &str) -> Option<AppId> {
        self.hosts.find(host)
    }

    /// The application of an address, by the most specific network that holds it.
    #[must_use]
    pub fn by_address(&self, addr: Addr) -> Option<AppId> {
        self.networks.find(addr.bits())
    }

    /// The application that a text gives away: the longest part that it holds decides.
    #[must_use]
    pub fn by_hint(&self, kind: HintKind, text: &[u8]) -> Option<AppId> {
        self.hints.find(kind, text)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = AppId> + '_ {
        self.apps.iter().copied()
    }
}
