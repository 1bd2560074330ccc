//! What is a rule told of files? One file of a transaction after the other, each tried for itself.

use super::Detector;
use super::transaction::{FILE_NAME, Telling};
use crate::flow::Direction;
use crate::rules::hashes::{Hash, HashKinds};
use crate::rules::language::buffers::{FILE_MAGIC, Source};
use crate::rules::rule::FileHash;
use crate::rules::signature::{Ask, Signature};

/// What is known of a file when a rule matches its transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSoFar {
    /// What it is called.
    pub name: Box<[u8]>,
    /// What kind of file it is, where a rule asks for it.
    pub magic: Option<Box<str>>,
    /// Bytes of it so far.
    pub bytes: u64,
    /// Whether bytes of it are missing.
    pub has_gap: bool,
    /// Whether more may come, all of it came, or something is missing.
    pub state: FileState,
}

/// How far a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileState {
    /// More may come.
    Open,
    /// All of it came.
    Closed,
    /// It is over, and not all of it came.
    Truncated,
}

/// The file that a transaction carries now.
#[derive(Debug)]
pub(super) struct FileOfTransaction {
    pub so_far: FileSoFar,
    /// Rules of the transaction that were told before it.
    pub told_before: usize,
}

impl Telling<'_> {
    /// Whether rules ask anything of files.
    #[must_use]
    pub fn wants_files(&self) -> bool {
        self.is_on && self.detector.set.as_ref().is_some_and(|set| set.wants_files())
    }

    /// A file of a transaction begins, with its name and what else it may be called. Its bytes are a body, and
    /// [`Self::end_file`] belongs to its end.
    pub fn begin_file(
        &mut self,
        application: &'static str,
        transaction: u32,
        way: Direction,
        (name, other_name): (&[u8], Option<&[u8]>),
    ) {
        if !self.wants_files() {
            return;
        }
        self.detector.begin_file(self.place, transaction, name);
        if !self.wants(FILE_NAME) {
            return;
        }
        self.show(FILE_NAME, name);
        if let Some(name) = other_name {
            self.show(FILE_NAME, name);
        }
        self.stage(application, transaction, way, false);
    }

    /// Whether a rule asks what kind of file it is.
    #[must_use]
    pub fn wants_magic(&self) -> bool {
        self.wants(FILE_MAGIC)
    }

    /// Tells what kind of file a transaction of `application` carries, which goes `way`.
    pub fn file_magic(
        &mut self,
        (application, transaction): (&'static str, u32),
        way: Direction,
        magic: &str,
    ) {
        if let Some(file) = self.detector.file_of(self.place, transaction) {
            file.so_far.magic = Some(magic.into());
        }
        self.show(FILE_MAGIC, magic.as_bytes());
        self.stage(application, transaction, way, false);
    }

    /// So much of a transaction's file has come.
    pub fn file_grows(&mut self, transaction: u32, bytes: u64, has_gap: bool) {
        if self.wants_files()
            && let Some(file) = self.detector.file_of(self.place, transaction)
        {
            (file.so_far.bytes, file.so_far.has_gap) = (bytes, has_gap);
        }
    }

    /// A transaction's file is over: how long it is and which hashes it has is told where all of it came.
    pub fn end_file(
        &mut self,
        transaction: u32,
        is_whole: bool,
        (bytes, hashes): (u64, &[(FileHash, Hash)]),
    ) {
        if !self.wants_files() {
            return;
        }
        if let Some(file) = self.detector.file_of(self.place, transaction) {
            file.so_far.state = if is_whole { FileState::Closed } else { FileState::Truncated };
        }
        if is_whole {
            self.detector.shown.set_file_size(bytes);
            self.detector.shown.set_file_hashes(hashes);
        }
    }

    /// Which rules matched the file that a transaction carries, by their sid.
    #[must_use]
    pub fn rules_of_file(&self, transaction: u32) -> Vec<u32> {
        let (Some(set), Some(state)) = (&self.detector.set, self.detector.flows.get(self.place.0 as usize))
        else {
            return Vec::new();
        };
        let Some(one) = state.known_transaction(transaction) else { return Vec::new() };
        let Some(file) = one.file.as_deref() else { return Vec::new() };
        let told = one.told.get(file.told_before..).unwrap_or_default();
        let signatures = told.iter().filter_map(|(rule, _)| set.signatures().get(*rule as usize));
        signatures.filter(|one| pieces_of_file(one) != 0).map(|one| one.rule.sid).collect()
    }

    /// Which hashes of files rules ask for.
    #[must_use]
    pub fn wants_hashes(&self) -> HashKinds {
        match &self.detector.set {
            Some(set) if self.is_on => set.wants_hashes(),
            _ => HashKinds::default(),
        }
    }
}

impl Detector {
    /// What held of another file of the transaction does not count for the next one.
    fn begin_file(&mut self, place: &mut super::FlowPlace, transaction: u32, name: &[u8]) {
        let Self { set: Some(set), flows, free, generation, .. } = self else { return };
        let one = Self::state(flows, free, generation, place).transaction(transaction);
        for (rule, pieces) in one.held.iter_mut().flatten() {
            if let Some(signature) = set.signatures().get(*rule as usize) {
                *pieces &= !pieces_of_file(signature);
            }
        }
        one.kept.iter_mut().for_each(|kept| kept.forget_file(&[FILE_NAME, FILE_MAGIC]));
        one.file = Some(Box::new(FileOfTransaction {
            so_far: FileSoFar {
                name: name.into(),
                magic: None,
                bytes: 0,
                has_gap: false,
                state: FileState::Open,
            },
            told_before: one.told.len(),
        }));
    }

    fn file_of(&mut self, place: &super::FlowPlace, transaction: u32) -> Option<&mut FileOfTransaction> {
        self.flows.get_mut(place.0 as usize)?.known_transaction_mut(transaction)?.file.as_deref_mut()
    }
}

/// Whether a rule asks anything of files.
pub(in crate::rules) fn asks_of_files(signature: &Signature) -> bool {
    pieces_of_file(signature) != 0
}

/// The pieces of a rule that are of files.
fn pieces_of_file(signature: &Signature) -> u64 {
    let parts = signature.parts.iter().map(|part| matches!(part.buffer.buffer().of, Source::File));
    let asks = signature.asks.iter().map(Ask::is_of_file);
    parts.chain(asks).enumerate().filter(|(_, is)| *is).fold(0, |pieces, (place, _)| pieces | 1 << place)
}
