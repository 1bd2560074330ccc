//! Which application belongs to this host, text or address? Tables made from one readable file.
//!
//! The file is TOML, see `apps.toml` beside this module; an operator's own file is read after it and may add to it.
//! An application's name lives as long as the process, so that a flow and its record may name it after a reload.

mod read;

use std::collections::HashMap;

use foldhash::quality::RandomState;

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

    /// A new application. It is never freed: tables give names once and keep them over a reload.
    fn new(name: &str, category: Category) -> Self {
        Self(Box::leak(Box::new(App { name: name.into(), category })))
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
    by_name: HashMap<Box<str>, AppId, RandomState>,
    /// Whole names and, by their dot, all names below: both are looked up by what follows a dot.
    hosts: HashMap<Box<str>, AppId, RandomState>,
    /// Patterns with `*` elsewhere than at the front: few, looked at last.
    host_patterns: Vec<(Box<str>, AppId)>,
    /// Parts of texts, lower case, by kind.
    hints: Vec<(HintKind, Box<[u8]>, AppId)>,
    /// Ascending by first address; the most specific of nested ones stands last.
    addresses: Vec<(u128, u128, AppId)>,
}

impl AppTable {
    /// The applications that come with the program.
    ///
    /// # Panics
    ///
    /// Never: a test reads the file.
    #[must_use]
    pub fn builtin() -> Self {
        let mut table = Self::default();
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

    /// The application of a host name in its normal form: the longest entry that it is or lies below.
    #[must_use]
    pub fn by_host(&self, host: &str) -> Option<AppId> {
        let mut rest = host;
        loop {
            if let Some(app) = self.hosts.get(rest) {
                return Some(*app);
            }
            match rest.split_once('.') {
                Some((_, parent)) => rest = parent,
                None => break,
            }
        }
        self.host_patterns.iter().find(|(pattern, _)| matches(pattern, host)).map(|(_, app)| *app)
    }

    /// The application of an address, by the most specific network that holds it.
    #[must_use]
    pub fn by_address(&self, addr: Addr) -> Option<AppId> {
        let bits = addr.bits();
        let end = self.addresses.partition_point(|(first, _, _)| *first <= bits);
        // Networks nest or are apart, so the nearest one before that reaches far enough is the most specific.
        self.addresses[..end]
            .iter()
            .rev()
            .take(NESTED_MAX)
            .find(|(_, last, _)| *last >= bits)
            .map(|(.., app)| *app)
    }

    /// The application that a text gives away.
    #[must_use]
    pub fn by_hint(&self, kind: HintKind, text: &[u8]) -> Option<AppId> {
        let text = &text[..text.len().min(HINT_BYTES_MAX)];
        self.hints
            .iter()
            .find(|(of, part, _)| {
                *of == kind && text.windows(part.len()).any(|window| window.eq_ignore_ascii_case(part))
            })
            .map(|(.., app)| *app)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = AppId> + '_ {
        self.apps.iter().copied()
    }
}

/// Networks looked at before an address counts as nobody's.
const NESTED_MAX: usize = 32;

/// Of a longer text only the beginning is looked at.
const HINT_BYTES_MAX: usize = 512;

/// `*` stands for any characters.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(text) = text.strip_prefix(head) else { return false };
    if rest.is_empty() {
        return true;
    }
    (0..=text.len()).any(|at| text.is_char_boundary(at) && matches(rest, &text[at..]))
}
