//! How is one policy of the set in force made, changed, moved or removed?
//!
//! Each edit makes a whole new document of the one in force, which is read and compiled like a file, saved as a version and
//! then published: an edit that would break any other policy is refused. Edits come one after the other under the policies'
//! lock, so what an edit was based on is compared in the same step (`Expected`).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use dataplane::policy::PolicyError;
use serde::Serialize;
use serde_json::value::RawValue;

use super::Services;
use super::policies::{
    Change, Current, Origin, Policies, PolicyChange, PolicyEntry, PolicyLoadError, RESERVED_IDS,
};
use super::policy_document::{Document, Members, Text, with_id};
use super::policy_start::Author;
use super::policy_way::{CutOff, Way};
use crate::store::StoreError;
use crate::store::policy_history::sha256;

/// Between the priorities of two policies after an order was given.
const PRIORITY_STEP: i32 = 10;

/// Policies told one by one of what an import changes.
pub const TOLD_MAX: usize = 1_000;

/// What an edit is based on, and what must hold once it is made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expected {
    /// Tags of which one must be that of the policy, or of the set; `None` is any.
    pub tags: Option<Vec<String>>,
    /// Whether there must be no such policy yet.
    pub is_new: bool,
    /// Somebody must confirm it within so many seconds, or the set before returns.
    pub confirm_s: Option<u32>,
    /// The caller's way to the API, which must stay open; `None` where no policy can close it, or it may.
    pub way: Option<Way>,
}

/// Why an edit was not made.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// Somebody was faster.
    #[error("{what} is \"{found}\" by now; read it again.")]
    Stale {
        /// What was asked about.
        what: String,
        /// Its tag.
        found: String,
    },
    /// There is no such policy, or version.
    #[error("There is no {what} `{id}`.")]
    Unknown {
        /// What kind.
        what: &'static str,
        /// Which.
        id: String,
    },
    /// There is one.
    #[error("There is a policy `{0}` already.")]
    Exists(String),
    /// The body is not what the call takes.
    #[error("The body has faults.")]
    Body(Vec<EditFault>),
    /// The set that would come of it has errors.
    #[error("The policies that would come of it have {} errors; what is in force stays.", .0.len())]
    Invalid(Vec<EditFault>),
    /// The set cannot be loaded.
    #[error(transparent)]
    Load(#[from] PolicyLoadError),
    /// Another change waits to be confirmed.
    #[error(
        "Nothing was changed: version {version} waits to be confirmed, else version {returns_to} returns. Confirm it (`POST \
         /policy/confirm`) or abort it (`DELETE /policy/commit`) first, or give this change `confirm_s` too: then it waits in \
         its place."
    )]
    Waits {
        /// The version that waits.
        version: u32,
        /// The one whose set returns.
        returns_to: u32,
    },
    /// There is nothing to confirm or to abort.
    #[error("No change of the policies waits to be confirmed.")]
    NothingWaits,
    /// The caller would not reach the API any more.
    #[error(transparent)]
    CutsOff(#[from] CutOff),
    /// Not saved, so not in force.
    #[error("Nothing was changed: {0}.")]
    Store(#[from] StoreError),
    /// The box has no store to save it in.
    #[error("Nothing was changed: the store cannot be used, so the policy file is what holds.")]
    NoStore,
}

/// One fault, with its place in the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EditFault {
    /// RFC 6901.
    pub pointer: String,
    /// What is wrong.
    pub detail: String,
}

impl EditFault {
    fn new(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), detail: detail.into() }
    }
}

/// What became of an edit.
#[derive(Debug, Clone)]
pub struct Edited {
    /// The set.
    pub change: PolicyChange,
    /// The policy as it was; `None` where there was none, or more than one was edited.
    pub before: Option<Text>,
    /// The policy as it is.
    pub after: Option<Text>,
    /// Its tag.
    pub tag: Option<String>,
}

/// One policy as it is written.
#[derive(Debug, Clone)]
pub struct PolicyText {
    /// The policy.
    pub text: Text,
    /// What an edit that is based on it names.
    pub tag: String,
}

/// What an import would do, or has done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ImportTold {
    /// Ids that there were not.
    pub added: Vec<String>,
    /// Ids of those that are another than before.
    pub changed: Vec<String>,
    /// Ids of those that go.
    pub removed: Vec<String>,
    /// How many stay as they are.
    pub unchanged: usize,
    /// How many of the lists above are left out.
    #[serde(skip_serializing_if = "is_zero")]
    pub left_out: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
const fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// What an import does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImportMode {
    /// Policies that the body does not have stay.
    pub merge: bool,
    /// Nothing changes.
    pub dry_run: bool,
}

/// An edit under way.
struct Draft<'a> {
    current: &'a Current,
    document: Document,
    /// For the list of versions.
    change: String,
    /// Where policies of the document stand in the body, for the faults.
    places: HashMap<usize, String>,
    before: Option<Text>,
    after: Option<Text>,
}

impl Draft<'_> {
    fn find(&self, policy_id: &str) -> Option<&PolicyEntry> {
        find(self.current, policy_id)
    }

    fn known(&self, policy_id: &str) -> Result<usize, EditError> {
        let unknown = || EditError::Unknown { what: "policy", id: policy_id.to_owned() };
        Ok(self.find(policy_id).ok_or_else(unknown)?.index)
    }

    /// The policy at `index` becomes `text`.
    fn put(&mut self, index: usize, text: Text) {
        self.places.insert(index, String::new());
        self.after = Some(text.clone());
        match self.document.policies.get_mut(index) {
            Some(place) => self.before = Some(std::mem::replace(place, text)),
            None => self.document.policies.push(text),
        }
    }
}

fn find<'a>(current: &'a Current, policy_id: &str) -> Option<&'a PolicyEntry> {
    current.entries.iter().find(|entry| entry.policy_id == policy_id)
}

/// The tag of one policy.
#[must_use]
pub fn tag_of(text: &RawValue) -> String {
    let mut tag = sha256(text.get().as_bytes());
    tag.truncate(16);
    tag
}

/// A policy as it was written, and its members.
fn read_policy(bytes: &[u8]) -> Result<(Members, Text), EditError> {
    let members = Members::read(bytes).map_err(|error| syntax(&error))?;
    Ok((members, serde_json::from_slice(bytes).map_err(|error| syntax(&error))?))
}

fn syntax(error: &serde_json::Error) -> EditError {
    EditError::Body(vec![EditFault::new("", error.to_string())])
}

impl Services {
    /// One policy as it is written.
    ///
    /// # Errors
    ///
    /// [`EditError::Unknown`].
    pub fn policy_text(&self, policy_id: &str) -> Result<PolicyText, EditError> {
        let (document, index) = {
            let policies = self.policies();
            let unknown = || EditError::Unknown { what: "policy", id: policy_id.to_owned() };
            let index = find(&policies.current, policy_id).ok_or_else(unknown)?.index;
            (Arc::clone(&policies.current.document), index)
        };
        let mut document = Document::read(&document).map_err(|error| syntax(&error))?;
        let text = document.policies.swap_remove(index);
        Ok(PolicyText { tag: tag_of(&text), text })
    }

    /// Puts another set in force; blocks until it is, for at most five seconds.
    ///
    /// # Errors
    ///
    /// [`EditError`]; the old set stays.
    pub fn replace_policy(
        &self,
        bytes: &[u8],
        author: &Author,
        expected: &Expected,
    ) -> Result<PolicyChange, EditError> {
        self.save_document(bytes, "replace the set".to_owned(), author, expected)
    }

    /// Makes a policy.
    ///
    /// # Errors
    ///
    /// [`EditError`].
    pub fn make_policy(
        &self,
        bytes: &[u8],
        author: &Author,
        expected: &Expected,
    ) -> Result<Edited, EditError> {
        let (policy, text) = read_policy(bytes)?;
        let policy_id = policy.string("policy_id").unwrap_or_default();
        self.edit(None, author, expected, |draft| {
            if draft.find(&policy_id).is_some() {
                return Err(EditError::Exists(policy_id.clone()));
            }
            draft.change = format!("add {policy_id}");
            draft.put(draft.document.policies.len(), text);
            Ok(())
        })
    }

    /// Puts a policy in the place of the one with its id, or makes it.
    ///
    /// # Errors
    ///
    /// [`EditError`].
    pub fn put_policy(
        &self,
        policy_id: &str,
        bytes: &[u8],
        author: &Author,
        expected: &Expected,
    ) -> Result<Edited, EditError> {
        let (mut policy, mut text) = read_policy(bytes)?;
        if policy.get("policy_id").is_none() {
            policy = with_id(policy, policy_id).map_err(|error| syntax(&error))?;
            text = policy.text().map_err(|error| syntax(&error))?;
        }
        keeps_id(&policy, policy_id)?;
        self.edit(Some(policy_id), author, expected, |draft| {
            let found = draft.find(policy_id).map(|entry| entry.index);
            draft.change = format!("{} {policy_id}", if found.is_some() { "replace" } else { "add" });
            let index = found.unwrap_or(draft.document.policies.len());
            draft.put(index, text);
            Ok(())
        })
    }

    /// Changes a policy by a JSON merge patch (RFC 7396).
    ///
    /// # Errors
    ///
    /// [`EditError`].
    pub fn patch_policy(
        &self,
        policy_id: &str,
        patch: &[u8],
        author: &Author,
        expected: &Expected,
    ) -> Result<Edited, EditError> {
        let patch = Members::read(patch).map_err(|error| syntax(&error))?;
        if patch.get("policy_id").is_some() {
            keeps_id(&patch, policy_id)?;
        }
        self.edit(Some(policy_id), author, expected, |draft| {
            let index = draft.known(policy_id)?;
            let text = draft.document.policies.get(index).map_or("{}", |text| text.get());
            let mut policy: Members = serde_json::from_str(text).map_err(|error| syntax(&error))?;
            policy.merge(&patch).map_err(|error| syntax(&error))?;
            draft.change = format!("change {policy_id}");
            draft.put(index, policy.text().map_err(|error| syntax(&error))?);
            Ok(())
        })
    }

    /// Removes a policy.
    ///
    /// # Errors
    ///
    /// [`EditError`].
    pub fn remove_policy(
        &self,
        policy_id: &str,
        author: &Author,
        expected: &Expected,
    ) -> Result<Edited, EditError> {
        self.edit(Some(policy_id), author, expected, |draft| {
            let index = draft.known(policy_id)?;
            draft.change = format!("remove {policy_id}");
            draft.before = Some(draft.document.policies.remove(index));
            Ok(())
        })
    }

    /// Gives the policies named the places among all others that they have now, in this order; all priorities are given
    /// anew, 10 apart. Told are the ids in evaluation order, before and after.
    ///
    /// # Errors
    ///
    /// [`EditError`].
    pub fn order_policies(
        &self,
        policy_ids: &[String],
        author: &Author,
        expected: &Expected,
    ) -> Result<(Edited, Vec<String>, Vec<String>), EditError> {
        let (mut before, mut after) = (Vec::new(), Vec::new());
        let edited = self.edit(None, author, expected, |draft| {
            let entries = Arc::clone(&draft.current.entries);
            let order = reordered(&entries, policy_ids)?;
            before = entries.iter().map(|entry| entry.policy_id.clone()).collect();
            after = order.iter().map(|entry| entry.policy_id.clone()).collect();
            let mut priority = 0;
            for entry in order {
                priority += PRIORITY_STEP;
                if entry.priority == priority {
                    continue;
                }
                let Some(place) = draft.document.policies.get_mut(entry.index) else { continue };
                let mut policy: Members =
                    serde_json::from_str(place.get()).map_err(|error| syntax(&error))?;
                policy.put("priority", &priority).map_err(|error| syntax(&error))?;
                *place = policy.text().map_err(|error| syntax(&error))?;
            }
            draft.change = "order the policies".to_owned();
            Ok(())
        })?;
        Ok((edited, before, after))
    }

    /// Takes in a set, a bare list, or either with the forms of the former system. What the body does not say of the set
    /// itself, such as the default action, stays as it is.
    ///
    /// # Errors
    ///
    /// [`EditError`].
    pub fn import_policies(
        &self,
        bytes: &[u8],
        mode: ImportMode,
        author: &Author,
        expected: &Expected,
    ) -> Result<(Option<Edited>, ImportTold), EditError> {
        let body = Document::read(bytes).map_err(|error| syntax(&error))?;
        let mut told = ImportTold::default();
        let run = |draft: &mut Draft<'_>| {
            told = import(draft, &body, mode.merge).map_err(|error| syntax(&error))?;
            draft.change = format!("import {} policies", body.policies.len());
            Ok(())
        };
        if mode.dry_run {
            self.try_edit(expected, run)?;
            return Ok((None, told));
        }
        let edited = self.edit(None, author, expected, run)?;
        Ok((Some(edited), told))
    }

    /// Makes an edit, saves it and puts it in force.
    fn edit(
        &self,
        policy_id: Option<&str>,
        author: &Author,
        expected: &Expected,
        work: impl FnOnce(&mut Draft<'_>) -> Result<(), EditError>,
    ) -> Result<Edited, EditError> {
        let begun = Instant::now();
        let mut policies = self.policies();
        savable(&policies)?;
        policies.takes(expected)?;
        let current = policies.current.clone();
        let mut draft = draft(&current)?;
        compare(&draft, self.door.publisher.current().version, policy_id, expected)?;
        let untouched = draft.document.policies.clone();
        let head = draft.document.head.text().map_err(|error| syntax(&error))?;
        work(&mut draft)?;
        let same =
            |a: &[Text], b: &[Text]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.get() == b.get());
        let is_same = same(&untouched, &draft.document.policies)
            && head.get() == draft.document.head.text().map_err(|error| syntax(&error))?.get();
        let Draft { document, change, places, before, after, .. } = draft;
        let tag = after.as_deref().map(tag_of);
        if is_same {
            return Ok(Edited { change: self.unchanged(policies, begun), before, after, tag });
        }
        let bytes: Arc<[u8]> = document.write().map_err(|error| syntax(&error))?.into();
        let version = self.next_policy_version();
        let compiled = policies.compile(REQUEST, &bytes, version).map_err(|error| placed(error, &places))?;
        self.keeps_way(&policies, &compiled.set, expected.way)?;
        let change = Change { what: change, author, confirm_s: expected.confirm_s };
        let set = policies.save_and_take_over(compiled, bytes, Origin::Api, change, self.now_s())?;
        self.count_armed(expected);
        Ok(Edited { change: self.put_in_force(policies, set, None, begun), before, after, tag })
    }

    /// The same up to where something would change.
    fn try_edit(
        &self,
        expected: &Expected,
        work: impl FnOnce(&mut Draft<'_>) -> Result<(), EditError>,
    ) -> Result<(), EditError> {
        let mut policies = self.policies();
        let current = policies.current.clone();
        let mut draft = draft(&current)?;
        compare(&draft, self.door.publisher.current().version, None, expected)?;
        work(&mut draft)?;
        let bytes = draft.document.write().map_err(|error| syntax(&error))?;
        let version = self.next_policy_version();
        policies.compile(REQUEST, &bytes, version).map_err(|error| placed(error, &draft.places))?;
        Ok(())
    }

    /// Saves a whole document and puts it in force.
    pub(super) fn save_document(
        &self,
        bytes: &[u8],
        change: String,
        author: &Author,
        expected: &Expected,
    ) -> Result<PolicyChange, EditError> {
        let begun = Instant::now();
        let mut policies = self.policies();
        savable(&policies)?;
        policies.takes(expected)?;
        let version = self.door.publisher.current().version;
        agrees(expected, "The set", &[version.to_string()])?;
        let compiled = policies.compile(REQUEST, bytes, self.next_policy_version())?;
        self.keeps_way(&policies, &compiled.set, expected.way)?;
        let change = Change { what: change, author, confirm_s: expected.confirm_s };
        let set = policies.save_and_take_over(compiled, bytes.into(), Origin::Api, change, self.now_s())?;
        self.count_armed(expected);
        Ok(self.put_in_force(policies, set, None, begun))
    }
}

/// What errors call a set that came with a request.
const REQUEST: &str = "(request)";

fn savable(policies: &Policies) -> Result<(), EditError> {
    policies.history.as_ref().map(|_| ()).ok_or(EditError::NoStore)
}

fn draft(current: &Current) -> Result<Draft<'_>, EditError> {
    Ok(Draft {
        current,
        document: Document::read(&current.document).map_err(|error| syntax(&error))?,
        change: String::new(),
        places: HashMap::new(),
        before: None,
        after: None,
    })
}

/// Whether the edit is based on what there is.
fn compare(
    draft: &Draft<'_>,
    version: u64,
    policy_id: Option<&str>,
    expected: &Expected,
) -> Result<(), EditError> {
    let set = version.to_string();
    let Some(policy_id) = policy_id else { return agrees(expected, "The set", &[set]) };
    let found = draft.find(policy_id).and_then(|entry| draft.document.policies.get(entry.index));
    match found {
        Some(text) if expected.is_new => {
            Err(EditError::Stale { what: format!("There is a policy {policy_id}: it"), found: tag_of(text) })
        }
        Some(text) => agrees(expected, &format!("The policy {policy_id}"), &[tag_of(text), set]),
        None if expected.tags.is_some() => {
            Err(EditError::Unknown { what: "policy", id: policy_id.to_owned() })
        }
        None => Ok(()),
    }
}

pub(super) fn agrees(expected: &Expected, what: &str, tags: &[String]) -> Result<(), EditError> {
    match &expected.tags {
        Some(wanted) if !wanted.iter().any(|tag| tags.contains(tag)) => {
            let found = tags.first().cloned().unwrap_or_default();
            Err(EditError::Stale { what: what.to_owned(), found })
        }
        _ => Ok(()),
    }
}

fn keeps_id(policy: &Members, policy_id: &str) -> Result<(), EditError> {
    if RESERVED_IDS.contains(&policy_id) || policy.string("policy_id").as_deref() == Some(policy_id) {
        return Ok(());
    }
    let detail = format!("is not `{policy_id}`, which the path says: a policy keeps its id");
    Err(EditError::Body(vec![EditFault::new("/policy_id", detail)]))
}

/// Evaluation order with the named policies in another order on the places that they have.
fn reordered<'a>(
    entries: &'a [PolicyEntry],
    policy_ids: &[String],
) -> Result<Vec<&'a PolicyEntry>, EditError> {
    let places: HashMap<&str, usize> =
        entries.iter().enumerate().map(|(place, entry)| (entry.policy_id.as_str(), place)).collect();
    let (mut seen, mut faults) = (HashSet::new(), Vec::new());
    for (index, policy_id) in policy_ids.iter().enumerate() {
        let pointer = format!("/policy_ids/{index}");
        if !places.contains_key(policy_id.as_str()) {
            faults.push(EditFault::new(pointer, format!("there is no policy `{policy_id}`")));
        } else if !seen.insert(policy_id.as_str()) {
            faults.push(EditFault::new(pointer, format!("`{policy_id}` is named twice")));
        }
    }
    if !faults.is_empty() {
        return Err(EditError::Body(faults));
    }
    let mut named = policy_ids.iter().filter_map(|id| entries.get(*places.get(id.as_str())?));
    let order = entries.iter().map(|entry| {
        if seen.contains(entry.policy_id.as_str()) { named.next().unwrap_or(entry) } else { entry }
    });
    Ok(order.collect())
}

fn import(draft: &mut Draft<'_>, body: &Document, merge: bool) -> serde_json::Result<ImportTold> {
    draft.document.head.merge(&body.head)?;
    let prefix = if body.is_list { "" } else { "/policies" };
    let ids: HashMap<&str, usize> =
        draft.current.entries.iter().map(|entry| (entry.policy_id.as_str(), entry.index)).collect();
    let mut told = ImportTold::default();
    let before = draft.document.policies.clone();
    let mut kept = vec![merge; before.len()];
    if !merge {
        draft.document.policies.clear();
    }
    for (index, text) in body.policies.iter().enumerate() {
        let policy_id = serde_json::from_str::<Members>(text.get())?.string("policy_id").unwrap_or_default();
        let known = ids.get(policy_id.as_str()).copied();
        if let Some(place) = known {
            if let Some(kept) = kept.get_mut(place) {
                *kept = true;
            }
            if before.get(place).is_some_and(|before| is_alike(before, text)) {
                told.unchanged += 1;
            } else {
                tell(&mut told.changed, &mut told.left_out, policy_id);
            }
        } else {
            tell(&mut told.added, &mut told.left_out, policy_id);
        }
        let place = known.filter(|_| merge).unwrap_or(draft.document.policies.len());
        draft.places.insert(place, format!("{prefix}/{index}"));
        match draft.document.policies.get_mut(place) {
            Some(present) => *present = text.clone(),
            None => draft.document.policies.push(text.clone()),
        }
    }
    for (policy_id, place) in ids {
        if !kept.get(place).copied().unwrap_or(true) {
            tell(&mut told.removed, &mut told.left_out, policy_id.to_owned());
        }
    }
    told.removed.sort_unstable();
    if merge {
        told.unchanged = before.len() - told.changed.len();
    }
    Ok(told)
}

fn tell(list: &mut Vec<String>, left_out: &mut usize, policy_id: String) {
    if list.len() < TOLD_MAX { list.push(policy_id) } else { *left_out += 1 }
}

/// Whether two texts say the same.
pub(super) fn is_alike(one: &RawValue, other: &RawValue) -> bool {
    one.get() == other.get() || {
        let value = |text: &RawValue| serde_json::from_str::<serde_json::Value>(text.get()).ok();
        value(one) == value(other)
    }
}

/// Faults with their places in the body instead of in the set.
fn placed(error: PolicyLoadError, places: &HashMap<usize, String>) -> EditError {
    let PolicyLoadError::Invalid { errors } = error else { return EditError::Load(error) };
    let fault = |error: PolicyError| {
        let pointer = pointer(&error.path);
        let mut parts = pointer.splitn(4, '/').skip(1);
        let place = match (parts.next(), parts.next().and_then(|index| index.parse::<usize>().ok())) {
            (Some("policies"), Some(index)) => places.get(&index),
            _ => None,
        };
        let pointer = match (place, parts.next()) {
            (Some(place), Some(rest)) => format!("{place}/{rest}"),
            (Some(place), None) => place.clone(),
            (None, _) => pointer,
        };
        EditFault { pointer, detail: error.reason }
    };
    EditError::Invalid(errors.into_iter().map(fault).collect())
}

/// The path of a policy error, such as `policies[3].conditions.dst_port[0]`, as a JSON pointer.
#[must_use]
pub fn pointer(path: &str) -> String {
    let mut out = String::with_capacity(path.len() + 1);
    if !path.is_empty() && !path.starts_with('[') {
        out.push('/');
    }
    for char in path.chars() {
        match char {
            '.' | '[' => out.push('/'),
            ']' => {}
            '~' => out.push_str("~0"),
            '/' => out.push_str("~1"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_pointers() {
        for (path, expected) in [
            ("", ""),
            ("default_action", "/default_action"),
            ("policies[3].conditions.dst_port[0]", "/policies/3/conditions/dst_port/0"),
            ("[2].action", "/2/action"),
            ("policies[0].conditions.attributes.a/b~", "/policies/0/conditions/attributes/a~1b~0"),
        ] {
            assert_eq!(pointer(path), expected);
        }
    }

    #[test]
    fn named_policies_change_places_and_others_stay() {
        let entry = |policy_id: &str| PolicyEntry {
            policy_id: policy_id.to_owned(),
            name: String::new(),
            priority: 1,
            enabled: true,
            action: "drop",
            line: 1,
            index: 0,
        };
        let entries: Vec<_> = ["a", "b", "c", "d"].map(entry).into();
        let order = |ids: &[&str]| {
            let ids: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
            let order = reordered(&entries, &ids)?;
            Ok::<_, EditError>(order.iter().map(|entry| entry.policy_id.clone()).collect::<String>())
        };
        assert_eq!(order(&["d", "a"]).unwrap(), "dbca");
        assert_eq!(order(&["c", "b", "a", "d"]).unwrap(), "cbad");
        assert_eq!(order(&[]).unwrap(), "abcd");
        let Err(EditError::Body(faults)) = order(&["x", "a", "a"]) else { panic!("taken") };
        assert_eq!(
            faults.iter().map(|fault| fault.pointer.as_str()).collect::<Vec<_>>(),
            ["/policy_ids/0", "/policy_ids/2"]
        );
    }
}
