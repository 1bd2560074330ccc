//! Sets of data that rules ask and change (`dataset`), and reputations of data (`datarep`), by name.
//!
//! What a file brings is immutable, so that asking it takes no lock; what rules add or take away lies beside it in shards, and
//! stays when rules are read again. Files have the formats of Suricata's: strings in Base64, hashes in hexadecimal, addresses as text;
//! of `datarep` with a comma and a number behind.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::hash::BuildHasher;
use std::io::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::hashes::{bounded, hash};
use super::rule::{Datarep, Dataset, DatasetCommand, DatasetKind, FileHash, NumberTest};

type Hashing = foldhash::quality::RandomState;

/// Whether a member is in the set now.
type Shard = HashMap<Box<[u8]>, bool, Hashing>;

/// What rules changed, by the set's name.
type ChangesByName = HashMap<Box<str>, (DatasetKind, Arc<Changes>)>;

/// Bytes that a set may take where nothing is said (`datasets.defaults.memcap`).
const MEMCAP: u64 = 100 << 20;

/// Bytes that a member takes beside its own.
const MEMBER_BYTES: u64 = 64;

/// Longest member, bytes.
const MEMBER_BYTES_MAX: usize = 64 << 10;

/// Largest file, bytes.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// Parts of what changes, each with a lock of its own.
const SHARDS: usize = 16;

/// Why a set is not there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoData {
    /// Its file.
    #[error("cannot read {0}: {1}")]
    Unreadable(String, String),
    /// A line of it.
    #[error("{file}:{line}: expected {expected}")]
    Line {
        /// The file.
        file: String,
        /// The line, from 1.
        line: usize,
        /// What should be there.
        expected: &'static str,
    },
    /// Two rules mean different things by one name.
    #[error("the set {0} has another type in another rule")]
    OtherKind(String),
    /// More than it may take.
    #[error("{0} takes more than its memcap of {1} bytes")]
    Memcap(String, u64),
}

/// What rules changed in a set.
#[derive(Debug)]
struct Changes {
    /// Members that were added, and such of the file that were taken away.
    shards: [RwLock<Shard>; SHARDS],
    hashing: Hashing,
    bytes: std::sync::atomic::AtomicU64,
}

impl Default for Changes {
    fn default() -> Self {
        Self { shards: Default::default(), hashing: Hashing::default(), bytes: 0.into() }
    }
}

/// A set, as the rules of one reading see it.
#[derive(Debug)]
pub struct Set {
    name: Box<str>,
    kind: DatasetKind,
    base: HashMap<Box<[u8]>, (), Hashing>,
    changes: Arc<Changes>,
    memcap: u64,
    save: Option<PathBuf>,
}

impl Set {
    /// Whether a member is in it.
    #[must_use]
    pub fn has(&self, member: &[u8]) -> bool {
        self.changed(member).unwrap_or_else(|| self.base.contains_key(member))
    }

    /// Adds a member; whether it is new.
    pub fn add(&self, member: &[u8]) -> bool {
        let cost = member.len() as u64 + MEMBER_BYTES;
        let taken = self.changes.bytes.load(std::sync::atomic::Ordering::Relaxed);
        if self.has(member) || member.len() > MEMBER_BYTES_MAX || taken + cost > self.memcap {
            return false;
        }
        self.change(member, true, cost)
    }

    /// Takes a member away; whether it was there.
    pub fn remove(&self, member: &[u8]) -> bool {
        self.has(member) && self.change(member, false, member.len() as u64 + MEMBER_BYTES)
    }

    /// Whether this is what a rule asks of bytes, which it may change.
    #[must_use]
    pub fn answers(&self, command: DatasetCommand, bytes: &[u8]) -> bool {
        let Some(member) = member_of(self.kind, bytes) else { return command == DatasetCommand::IsNotSet };
        match command {
            DatasetCommand::IsSet => self.has(&member),
            DatasetCommand::IsNotSet => !self.has(&member),
            DatasetCommand::Set => self.add(&member),
            DatasetCommand::Unset => self.remove(&member),
        }
    }

    fn shard(&self, member: &[u8]) -> &RwLock<Shard> {
        &self.changes.shards[self.changes.hashing.hash_one(member) as usize % SHARDS]
    }

    /// What rules made of a member.
    fn changed(&self, member: &[u8]) -> Option<bool> {
        if self.changes.bytes.load(std::sync::atomic::Ordering::Relaxed) == 0 {
            return None;
        }
        self.shard(member).read().unwrap_or_else(PoisonError::into_inner).get(member).copied()
    }

    fn change(&self, member: &[u8], is_in: bool, cost: u64) -> bool {
        let mut shard = self.shard(member).write().unwrap_or_else(PoisonError::into_inner);
        match shard.insert(member.into(), is_in) {
            // Somebody was faster.
            Some(before) => before != is_in,
            None => {
                self.changes.bytes.fetch_add(cost, std::sync::atomic::Ordering::Relaxed);
                true
            }
        }
    }

    /// Every member as the file has it, sorted.
    fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self
            .base
            .keys()
            .filter(|member| self.changed(member) != Some(false))
            .map(|one| self.text(one))
            .collect();
        for shard in &self.changes.shards {
            let shard = shard.read().unwrap_or_else(PoisonError::into_inner);
            let added = shard.iter().filter(|(member, is_in)| **is_in && !self.base.contains_key(&***member));
            lines.extend(added.map(|(member, _)| self.text(member)));
        }
        lines.sort_unstable();
        lines
    }

    fn text(&self, member: &[u8]) -> String {
        match self.kind {
            DatasetKind::String => BASE64.encode(member),
            DatasetKind::Md5 | DatasetKind::Sha256 => member.iter().fold(String::new(), |mut text, byte| {
                let _written = write!(text, "{byte:02x}");
                text
            }),
            DatasetKind::Ipv4 | DatasetKind::Ip => match <[u8; 16]>::try_from(member) {
                Ok(bytes) => IpAddr::from(bytes).to_canonical().to_string(),
                Err(_) => String::new(),
            },
        }
    }
}

/// Reputations, by what they are of.
#[derive(Debug)]
pub struct Reputations {
    kind: DatasetKind,
    values: HashMap<Box<[u8]>, u16, Hashing>,
}

impl Reputations {
    /// Whether bytes have a reputation that is as a rule asks.
    #[must_use]
    pub fn answers(&self, test: &NumberTest, bytes: &[u8]) -> bool {
        let member = member_of(self.kind, bytes);
        member.and_then(|member| self.values.get(&*member)).is_some_and(|value| test.holds(u64::from(*value)))
    }
}

/// All sets, of one reading of rules after the other.
#[derive(Debug, Default)]
pub struct Datasets {
    changes: Mutex<ChangesByName>,
    /// Of the reading that is in force or under way; those with a file are written to it.
    sets: Mutex<HashMap<Box<str>, Arc<Set>>>,
    directory: Option<PathBuf>,
}

impl Datasets {
    /// Files that a rule names without their place are written into `directory`.
    #[must_use]
    pub fn new(directory: Option<PathBuf>) -> Self {
        Self { directory, ..Self::default() }
    }

    /// Rules are read anew: files are read again, what rules changed stays.
    pub fn begin(&self) {
        self.sets.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The set that a rule asks for; `beside` is the directory of the rule's file.
    ///
    /// # Errors
    ///
    /// [`NoData`].
    pub fn set(&self, asked: &Dataset, beside: &Path) -> Result<Arc<Set>, NoData> {
        let mut sets = self.sets.lock().unwrap_or_else(PoisonError::into_inner);
        let is_bare = asked.load.is_none() && asked.save.is_none();
        if let Some(set) = sets.get(&asked.name) {
            // The rule that says more about it may come later.
            if is_bare || set.save.is_some() || !set.base.is_empty() {
                let is_same = is_bare || set.kind == asked.kind;
                return if is_same {
                    Ok(Arc::clone(set))
                } else {
                    Err(NoData::OtherKind(asked.name.to_string()))
                };
            }
        }
        let memcap = asked.memcap.filter(|bytes| *bytes > 0).unwrap_or(MEMCAP);
        let mut set = Set {
            name: asked.name.clone(),
            kind: asked.kind,
            base: HashMap::default(),
            changes: self.changes(asked)?,
            memcap,
            save: asked.save.as_ref().map(|file| self.place(file, beside)),
        };
        if let Some(file) = &asked.load {
            let is_state = asked.save.as_ref() == Some(file);
            let path = if is_state { self.place(file, beside) } else { beside.join(&**file) };
            // What is kept begins with nothing.
            let is_new = is_state && !path.exists();
            if !is_new {
                let mut bytes = 0;
                each_line(&path, |line| {
                    let member = read_member(asked.kind, line)?;
                    bytes += member.len() as u64 + MEMBER_BYTES;
                    set.base.insert(member, ());
                    Ok(bytes <= memcap)
                })?;
                if bytes > memcap {
                    return Err(NoData::Memcap(path.display().to_string(), memcap));
                }
            }
        }
        let set = Arc::new(set);
        sets.insert(asked.name.clone(), Arc::clone(&set));
        Ok(set)
    }

    /// The reputations that a rule asks for.
    ///
    /// # Errors
    ///
    /// [`NoData`].
    pub fn reputations(&self, asked: &Datarep, beside: &Path) -> Result<Arc<Reputations>, NoData> {
        let mut values = HashMap::default();
        if let Some(file) = &asked.load {
            each_line(&beside.join(&**file), |line| {
                let place = line.iter().rposition(|byte| *byte == b',').ok_or(WITH_NUMBER)?;
                let number =
                    std::str::from_utf8(&line[place + 1..]).ok().and_then(|text| text.trim().parse().ok());
                values
                    .insert(read_member(asked.kind, line[..place].trim_ascii())?, number.ok_or(WITH_NUMBER)?);
                Ok(true)
            })?;
        }
        Ok(Arc::new(Reputations { kind: asked.kind, values }))
    }

    /// Writes every set that has a file for it: whole beside it, then in its place. Returns what went wrong, a line each.
    pub fn save(&self) -> Vec<String> {
        let sets: Vec<_> =
            self.sets.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        let written = sets.iter().filter_map(|set| set.save.as_ref().map(|path| (set, path)));
        written
            .filter_map(|(set, path)| {
                let error = write(path, &set.lines()).err()?;
                Some(format!("cannot write the set {} to {}: {error}", set.name, path.display()))
            })
            .collect()
    }

    fn changes(&self, asked: &Dataset) -> Result<Arc<Changes>, NoData> {
        let mut all = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        let (kind, changes) =
            all.entry(asked.name.clone()).or_insert_with(|| (asked.kind, Arc::new(Changes::default())));
        if *kind != asked.kind {
            return Err(NoData::OtherKind(asked.name.to_string()));
        }
        Ok(Arc::clone(changes))
    }

    /// Where what is kept lies.
    fn place(&self, file: &str, beside: &Path) -> PathBuf {
        self.directory.as_deref().unwrap_or(beside).join(file)
    }
}

const WITH_NUMBER: &str = "a member, a comma and a number from 0 to 65535";

/// Reads a file line by line, until `take` has enough.
fn each_line(path: &Path, mut take: impl FnMut(&[u8]) -> Result<bool, &'static str>) -> Result<(), NoData> {
    let name = || path.display().to_string();
    let unreadable = |error: std::io::Error| NoData::Unreadable(name(), error.to_string());
    let text = bounded(path, FILE_BYTES_MAX).map_err(unreadable)?;
    for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        match take(line) {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(expected) => return Err(NoData::Line { file: name(), line: index + 1, expected }),
        }
    }
    Ok(())
}

/// A member as a file has it.
fn read_member(kind: DatasetKind, text: &[u8]) -> Result<Box<[u8]>, &'static str> {
    let words = || std::str::from_utf8(text).ok();
    match kind {
        DatasetKind::String => BASE64.decode(text).ok().map(Into::into).ok_or("a string in Base64"),
        DatasetKind::Md5 => hashed(text, FileHash::Md5, 16).ok_or("32 hexadecimal digits"),
        DatasetKind::Sha256 => hashed(text, FileHash::Sha256, 32).ok_or("64 hexadecimal digits"),
        DatasetKind::Ipv4 => {
            let addr = words().and_then(|text| text.parse::<std::net::Ipv4Addr>().ok());
            addr.map(|addr| addr.to_ipv6_mapped().octets().into()).ok_or("an IPv4 address")
        }
        DatasetKind::Ip => {
            let addr = words().and_then(|text| text.parse::<IpAddr>().ok());
            addr.map(|addr| match addr {
                IpAddr::V4(addr) => addr.to_ipv6_mapped().octets().into(),
                IpAddr::V6(addr) => addr.octets().into(),
            })
            .ok_or("an address")
        }
    }
}

fn hashed(text: &[u8], kind: FileHash, len: usize) -> Option<Box<[u8]>> {
    hash(text, kind)?.get(..len).map(Into::into)
}

/// A member as a buffer has it; `None`: it is none of this kind.
fn member_of(kind: DatasetKind, bytes: &[u8]) -> Option<std::borrow::Cow<'_, [u8]>> {
    match (kind, bytes.len()) {
        (DatasetKind::String, _)
        | (DatasetKind::Md5, 16)
        | (DatasetKind::Sha256, 32)
        | (DatasetKind::Ip, 16) => Some(bytes.into()),
        (DatasetKind::Ipv4 | DatasetKind::Ip, 4) => {
            let addr = <[u8; 4]>::try_from(bytes).map(std::net::Ipv4Addr::from).ok()?;
            Some(addr.to_ipv6_mapped().octets().to_vec().into())
        }
        _ => None,
    }
}

fn write(path: &Path, lines: &[String]) -> std::io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let aside = PathBuf::from(name);
    let mut file = std::io::BufWriter::new(std::fs::File::create(&aside)?);
    for line in lines {
        writeln!(file, "{line}")?;
    }
    let file = file.into_inner().map_err(std::io::IntoInnerError::into_error)?;
    file.sync_all()?;
    std::fs::rename(aside, path)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;

    fn asked(kind: DatasetKind, load: Option<&str>, save: Option<&str>) -> Dataset {
        Dataset {
            name: "seen".into(),
            command: DatasetCommand::IsSet,
            kind,
            load: load.map(Into::into),
            save: save.map(Into::into),
            memcap: Some(1_000),
            hash_size: None,
        }
    }

    fn directory(name: &str) -> PathBuf {
        let place = std::env::temp_dir().join(format!("jarvis-datasets-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&place).unwrap();
        place
    }

    #[test]
    fn what_rules_change_outlives_a_reading_and_a_run() {
        let place = directory("state");
        let datasets = Datasets::new(Some(place.clone()));
        let state = asked(DatasetKind::String, Some("seen.lst"), Some("seen.lst"));
        let set = datasets.set(&state, Path::new("/nowhere")).unwrap();
        assert!(
            set.answers(DatasetCommand::Set, b"a.example") && !set.answers(DatasetCommand::Set, b"a.example")
        );
        datasets.begin();
        let again = datasets.set(&state, Path::new("/nowhere")).unwrap();
        assert!(again.answers(DatasetCommand::IsSet, b"a.example") && again.add(b"b"));
        assert_eq!(datasets.save(), [""; 0]);
        assert_eq!(std::fs::read(place.join("seen.lst")).unwrap(), b"YS5leGFtcGxl\nYg==\n");
        let next = Datasets::new(Some(place.clone()));
        let set = next.set(&state, Path::new("/nowhere")).unwrap();
        assert!(set.has(b"b") && set.answers(DatasetCommand::Unset, b"b") && !set.has(b"b"));
        assert_eq!(next.save(), [""; 0]);
        assert_eq!(std::fs::read(place.join("seen.lst")).unwrap(), b"YS5leGFtcGxl\n");
        std::fs::remove_dir_all(place).unwrap();
    }

    #[test]
    fn files_are_as_suricata_has_them_and_wrong_lines_are_named() {
        let place = directory("files");
        std::fs::write(place.join("ip"), "10.0.0.1\n# a word\n2001:db8::1\n").unwrap();
        std::fs::write(place.join("md5"), "0cc175b9c0f1b6a831c399e269772661\nnope\n").unwrap();
        std::fs::write(place.join("rep"), "YQ==, 7\n").unwrap();
        let datasets = Datasets::default();
        let set = datasets.set(&asked(DatasetKind::Ip, Some("ip"), None), &place).unwrap();
        assert!(
            set.answers(DatasetCommand::IsSet, &[10, 0, 0, 1]) && !set.answers(DatasetCommand::IsSet, b"xyz")
        );
        assert_eq!(
            datasets.set(&asked(DatasetKind::String, Some("ip"), None), &place).unwrap_err(),
            NoData::OtherKind("seen".into())
        );
        let error = Datasets::default().set(&asked(DatasetKind::Md5, Some("md5"), None), &place).unwrap_err();
        assert!(error.to_string().ends_with("md5:2: expected 32 hexadecimal digits"), "{error}");
        let missing =
            Datasets::default().set(&asked(DatasetKind::Md5, Some("none"), None), &place).unwrap_err();
        assert!(matches!(missing, NoData::Unreadable(..)));
        let reputation = Datarep {
            name: "r".into(),
            test: NumberTest::Greater(5),
            kind: DatasetKind::String,
            load: Some("rep".into()),
        };
        let reputations = datasets.reputations(&reputation, &place).unwrap();
        assert!(reputations.answers(&reputation.test, b"a") && !reputations.answers(&reputation.test, b"b"));
        std::fs::remove_dir_all(place).unwrap();
    }

    #[test]
    fn a_flood_of_members_ends_at_the_memcap() {
        let set = Datasets::default().set(&asked(DatasetKind::String, None, None), Path::new("")).unwrap();
        let added = (0..1_000_u32).filter(|number| set.add(&number.to_be_bytes())).count();
        assert_eq!(added, 1_000 / (4 + MEMBER_BYTES as usize));
        assert!(!set.add(&vec![0; MEMBER_BYTES_MAX + 1]));
    }
}
