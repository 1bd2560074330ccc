//! What is a rule told of files? One file of a transaction after the other, each tried for itself.

use super::Detector;
use super::transaction::{FILE_NAME, Telling};
use crate::flow::Direction;
use crate::rules::hashes::{Hash, HashKinds};
use crate::rules::language::buffers::Source;
use crate::rules::rule::FileHash;
use crate::rules::signature::{Ask, Signature};

impl Telling<'_> {
    /// A file of a transaction begins; it may have several names, or none. Its bytes are a body, and
    /// [`Self::file_size`] belongs to its end.
    pub fn begin_file<'n>(
        &mut self,
        application: &'static str,
        transaction: u32,
        way: Direction,
        names: impl Iterator<Item = &'n [u8]>,
    ) {
        if !self.is_on {
            return;
        }
        self.detector.forget_file(self.place, transaction);
        if !self.wants(FILE_NAME) {
            return;
        }
        for name in names {
            self.show(FILE_NAME, name);
        }
        self.stage(application, transaction, way, false);
    }
}

impl Telling<'_> {
    /// Which hashes of files rules ask for.
    #[must_use]
    pub fn wants_hashes(&self) -> HashKinds {
        match &self.detector.set {
            Some(set) if self.is_on => set.wants_hashes(),
            _ => HashKinds::default(),
        }
    }

    /// Tells the hashes of a file of which all was seen.
    pub fn file_hashes(&mut self, hashes: &[(FileHash, Hash)]) {
        if self.is_on {
            self.detector.shown.set_file_hashes(hashes);
        }
    }
}

impl Detector {
    /// What held of another file of the transaction does not count for the next one.
    fn forget_file(&mut self, place: &super::FlowPlace, transaction: u32) {
        let (Some(set), Some(state)) = (&self.set, self.flows.get_mut(place.0 as usize)) else { return };
        let one = state.transaction(transaction);
        for (rule, pieces) in &mut one.held {
            if let Some(signature) = set.signatures().get(*rule as usize) {
                *pieces &= !pieces_of_file(signature);
            }
        }
        one.kept.forget_file(FILE_NAME);
    }
}

/// The pieces of a rule that are of files.
fn pieces_of_file(signature: &Signature) -> u64 {
    let parts = signature.parts.iter().map(|part| matches!(part.buffer.buffer().of, Source::File));
    let asks = signature
        .asks
        .iter()
        .map(|ask| matches!(ask, Ask::FileSize(_) | Ask::FileName { .. } | Ask::FileHash { .. }));
    parts.chain(asks).enumerate().filter(|(_, is)| *is).fold(0, |pieces, (place, _)| pieces | 1 << place)
}
