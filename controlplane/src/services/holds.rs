//! What must not go, whatever retention says (legal hold)? A hold has one name over all logs that it is about.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use utoipa::ToSchema;

use super::auth::account::Account;
use super::{Audit, Services};
use crate::store::StoreError;
use crate::store::segments::{HOLDS_MAX, Held, Hold, Holds, Kind};

/// Longest name, and longest reason, characters.
pub const NAME_CHARS_MAX: usize = 64;
/// See [`NAME_CHARS_MAX`].
pub const REASON_CHARS_MAX: usize = 1_000;

/// A hold, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct HoldView {
    /// By which it is released.
    pub name: String,
    /// Logs of which it keeps something: `audit`, `events`, `flows`.
    pub kinds: Vec<&'static str>,
    /// Records of this time on, seconds since 1970.
    pub from_s: u64,
    /// Records before this time; left out: all that come.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_s: Option<u64>,
    /// Why.
    pub reason: String,
    /// Who made or changed it last.
    pub by: String,
    /// When, seconds since 1970.
    pub since_s: u64,
    /// Counts the changes.
    pub version: u64,
    /// Segments that are there now and that it keeps; those that are still written are not counted.
    pub held_segments: u64,
    /// Their bytes.
    pub held_bytes: u64,
}

/// What a hold is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoldWish {
    /// Of which logs.
    pub kinds: Vec<Kind>,
    /// Seconds since 1970.
    pub from_s: u64,
    /// Seconds since 1970; `None`: all that come.
    pub to_s: Option<u64>,
    /// Why.
    pub reason: String,
}

/// Why a hold is not made, changed or released.
#[derive(Debug, thiserror::Error)]
pub enum HoldError {
    /// There is none.
    #[error("there is no hold of the name {0}")]
    Unknown(String),
    /// It was changed meanwhile.
    #[error("the hold has version {found}, not {expected}")]
    Stale {
        /// As it is; 0: there is none.
        found: u64,
        /// As it was to be.
        expected: u64,
    },
    /// There are enough.
    #[error("there are {HOLDS_MAX} holds, and no more are kept")]
    Full,
    /// It was not kept.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The holds of one name.
type Found = Vec<(Kind, Arc<Holds>, Hold)>;

impl Services {
    /// All holds, by name. Reads the indexes of segments.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn holds(&self) -> Result<Vec<HoldView>, StoreError> {
        let mut by_name: BTreeMap<String, Found> = BTreeMap::new();
        for (kind, holds) in self.audit.holds() {
            for hold in holds.all()? {
                by_name.entry(hold.name.clone()).or_default().push((*kind, Arc::clone(holds), hold));
            }
        }
        by_name.into_values().map(|found| view(&self.audit, &found)).collect()
    }

    /// One hold; `None`: there is none of this name.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn hold(&self, name: &str) -> Result<Option<HoldView>, StoreError> {
        let found = self.found(name)?;
        if found.is_empty() { Ok(None) } else { view(&self.audit, &found).map(Some) }
    }

    /// Makes a hold, or changes it: what it was before, and is. Waits for the disk.
    ///
    /// # Errors
    ///
    /// [`HoldError`]; where a disk fails on the way a log that was held stays so.
    pub fn put_hold(
        &self,
        name: &str,
        wish: &HoldWish,
        expected: Option<u64>,
        by: &Account,
    ) -> Result<(Option<HoldView>, HoldView), HoldError> {
        let _alone = self.audit.change_holds();
        let (before, version) = self.as_expected(name, expected)?;
        let now_s = self.now_s();
        let hold = Hold {
            name: name.to_owned(),
            from_ns: wish.from_s.saturating_mul(1_000_000_000),
            to_ns: wish.to_s.map_or(u64::MAX, |to| to.saturating_mul(1_000_000_000)),
            reason: wish.reason.clone(),
            by: self.audit.subjects().seal_text(&by.id, &by.username, now_s)?,
            since_s: now_s,
            version: version + 1,
        };
        // What is to be held first: nothing may go in between.
        for (kind, holds) in self.audit.holds() {
            if wish.kinds.contains(kind) {
                holds.put(hold.clone()).map_err(|error| match error {
                    StoreError::TooLarge { .. } => HoldError::Full,
                    error => HoldError::Store(error),
                })?;
            }
        }
        for (kind, holds) in self.audit.holds() {
            if !wish.kinds.contains(kind) {
                holds.release(name)?;
            }
        }
        let after = view(&self.audit, &self.found(name)?)?;
        Ok((before, after))
    }

    /// Ends a hold: what it was. Waits for the disk.
    ///
    /// # Errors
    ///
    /// [`HoldError`].
    pub fn release_hold(&self, name: &str, expected: Option<u64>) -> Result<HoldView, HoldError> {
        let _alone = self.audit.change_holds();
        let (before, _version) = self.as_expected(name, expected)?;
        let before = before.ok_or_else(|| HoldError::Unknown(name.to_owned()))?;
        for (_kind, holds) in self.audit.holds() {
            holds.release(name)?;
        }
        Ok(before)
    }

    /// Names of the holds of the audit, which speak against erasing what it tells.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn holds_of_audit(&self) -> Result<Vec<String>, StoreError> {
        let of_audit = self.audit.holds().iter().find(|(kind, _holds)| *kind == Kind::Audit);
        let holds = of_audit.map_or_else(|| Ok(Vec::new()), |(_kind, holds)| holds.all())?;
        Ok(holds.into_iter().map(|hold| hold.name).collect())
    }

    fn as_expected(&self, name: &str, expected: Option<u64>) -> Result<(Option<HoldView>, u64), HoldError> {
        let found = self.found(name)?;
        let version = found.iter().map(|(_kind, _holds, hold)| hold.version).max().unwrap_or(0);
        if let Some(expected) = expected.filter(|expected| *expected != version) {
            return Err(HoldError::Stale { found: version, expected });
        }
        let before = if found.is_empty() { None } else { Some(view(&self.audit, &found)?) };
        Ok((before, version))
    }

    fn found(&self, name: &str) -> Result<Found, StoreError> {
        let mut found = Vec::new();
        for (kind, holds) in self.audit.holds() {
            let hold = holds.all()?.into_iter().find(|hold| hold.name == name);
            found.extend(hold.map(|hold| (*kind, Arc::clone(holds), hold)));
        }
        Ok(found)
    }
}

/// The holds of one name as one; the newest says what it is where a crash left them different.
fn view(audit: &Audit, found: &Found) -> Result<HoldView, StoreError> {
    let newest = found.iter().max_by_key(|(_kind, _holds, hold)| hold.version);
    let mut view = HoldView {
        name: String::new(),
        kinds: found.iter().map(|(kind, ..)| kind.name()).collect(),
        from_s: 0,
        to_s: None,
        reason: String::new(),
        by: String::new(),
        since_s: 0,
        version: 0,
        held_segments: 0,
        held_bytes: 0,
    };
    if let Some((_kind, _holds, hold)) = newest {
        view.name.clone_from(&hold.name);
        view.from_s = hold.from_ns / 1_000_000_000;
        view.to_s = (hold.to_ns < u64::MAX).then_some(hold.to_ns / 1_000_000_000);
        view.reason.clone_from(&hold.reason);
        view.by = audit.subjects().open_text(&hold.by);
        (view.since_s, view.version) = (hold.since_s, hold.version);
    }
    for (_kind, holds, hold) in found {
        let Held { segments, bytes } = holds.held(hold)?;
        view.held_segments += segments;
        view.held_bytes += bytes;
    }
    Ok(view)
}
