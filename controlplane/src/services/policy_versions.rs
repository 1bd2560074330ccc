//! What were the policies before, and how do they come back?

use std::collections::HashMap;

use serde::Serialize;
use serde_json::value::RawValue;

use super::Services;
use super::policies::{PolicyChange, Trouble};
use super::policy_document::{Document, Members, Text};
use super::policy_edit::{EditError, Expected, is_alike};
use super::policy_start::Author;
use crate::store::{PolicyHistory, PolicyVersion};

/// Differences told one by one.
pub const DIFFERENCES_MAX: usize = 1_000;

/// How one version differs from another.
#[derive(Debug, Default, Serialize, utoipa::ToSchema)]
pub struct Differences {
    /// What is said of the set itself.
    pub set: Vec<FieldDifference>,
    /// Policies that only the version has.
    #[schema(value_type = Vec<Object>)]
    pub added: Vec<Text>,
    /// Policies that only the other one has.
    #[schema(value_type = Vec<Object>)]
    pub removed: Vec<Text>,
    /// Policies that both have, and that say something else.
    pub changed: Vec<PolicyDifference>,
    /// Policies that say the same.
    pub unchanged: usize,
    /// Policies that differ and are left out.
    pub left_out: usize,
}

/// A member that differs.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct FieldDifference {
    /// Its name.
    pub field: String,
    /// In the other version; `null` where it does not have it.
    #[schema(value_type = Value)]
    pub before: Option<Text>,
    /// In this version; `null` where it does not have it.
    #[schema(value_type = Value)]
    pub after: Option<Text>,
}

/// A policy that differs.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct PolicyDifference {
    /// Its id.
    pub policy_id: String,
    /// Where.
    pub fields: Vec<FieldDifference>,
}

impl Services {
    /// All versions, newest first, and the number of the one in force.
    ///
    /// # Errors
    ///
    /// [`EditError::Store`], [`EditError::NoStore`].
    pub fn policy_versions(&self) -> Result<(Vec<PolicyVersion>, Option<u32>), EditError> {
        let (history, in_force) = self.history()?;
        let mut all = history.all()?;
        all.reverse();
        all.iter_mut().for_each(|version| version.by = self.audit.subjects().open_text(&version.by));
        Ok((all, in_force))
    }

    /// One version with its document.
    ///
    /// # Errors
    ///
    /// [`EditError::Unknown`], [`EditError::Store`], [`EditError::NoStore`].
    pub fn policy_version(&self, number: u32) -> Result<(PolicyVersion, Vec<u8>, bool), EditError> {
        let (history, in_force) = self.history()?;
        let mut version = known(&history, number)?;
        let document = history.document(&version)?;
        version.by = self.audit.subjects().open_text(&version.by);
        let is_in_force = in_force == Some(number);
        Ok((version, document, is_in_force))
    }

    /// How version `number` differs from `against`, or from the one before it; told with the number of the other.
    ///
    /// # Errors
    ///
    /// As [`Self::policy_version`].
    pub fn policy_differences(
        &self,
        number: u32,
        against: Option<u32>,
    ) -> Result<(Option<u32>, Differences), EditError> {
        let (history, _) = self.history()?;
        let after = read(&history.document(&known(&history, number)?)?)?;
        let other = match against {
            Some(against) => Some(known(&history, against)?),
            None => history.all()?.into_iter().rfind(|version| version.version < number),
        };
        let before = match &other {
            Some(other) => read(&history.document(other)?)?,
            None => Document::default(),
        };
        Ok((other.map(|other| other.version), differences(&before, &after)))
    }

    /// Puts the set of a version in force again, as a new version.
    ///
    /// # Errors
    ///
    /// [`EditError`]; what is in force stays.
    pub fn restore_policy(
        &self,
        number: u32,
        author: &Author,
        expected: &Expected,
    ) -> Result<PolicyChange, EditError> {
        let (history, _) = self.history()?;
        let document = history.document(&known(&history, number)?)?;
        self.save_document(&document, format!("restore version {number}"), author, expected)
    }

    /// Whether the policy file is another than when it was last taken in; `None` where there is no file that can be read.
    #[must_use]
    pub fn is_policy_file_changed(&self) -> Option<bool> {
        let policies = self.policies();
        policies.file.as_ref()?;
        policies.is_source_changed()
    }

    fn history(&self) -> Result<(PolicyHistory, Option<u32>), EditError> {
        let policies = self.policies();
        let history = policies.history.clone().ok_or(EditError::NoStore)?;
        Ok((history, policies.current.saved.as_ref().map(|saved| saved.version)))
    }

    /// Why the box does not run with the policies that it should.
    pub(super) fn policy_trouble(&self) -> Option<String> {
        Trouble::why(&self.policy_trouble)
    }
}

fn known(history: &PolicyHistory, number: u32) -> Result<PolicyVersion, EditError> {
    let unknown = || EditError::Unknown { what: "version", id: number.to_string() };
    history.version(number)?.ok_or_else(unknown)
}

fn read(document: &[u8]) -> Result<Document, EditError> {
    Document::read(document).map_err(|error| {
        EditError::Body(vec![super::policy_edit::EditFault {
            pointer: String::new(),
            detail: error.to_string(),
        }])
    })
}

fn differences(before: &Document, after: &Document) -> Differences {
    let mut found = Differences { set: fields(&before.head, &after.head), ..Differences::default() };
    let named = |policy: &Text| {
        let members: Members = serde_json::from_str(policy.get()).unwrap_or_default();
        (members.string("policy_id").unwrap_or_default(), members)
    };
    let mut others: HashMap<String, (Members, &Text)> = before
        .policies
        .iter()
        .map(|policy| {
            let (policy_id, members) = named(policy);
            (policy_id, (members, policy))
        })
        .collect();
    for policy in &after.policies {
        let (policy_id, members) = named(policy);
        let room = found.added.len() + found.changed.len() < DIFFERENCES_MAX;
        match others.remove(&policy_id) {
            Some((_, other)) if is_alike(other, policy) => found.unchanged += 1,
            _ if !room => found.left_out += 1,
            Some((other, _)) => {
                found.changed.push(PolicyDifference { policy_id, fields: fields(&other, &members) });
            }
            None => found.added.push(policy.clone()),
        }
    }
    let mut gone: Vec<(String, &Text)> = others.into_iter().map(|(id, (_, policy))| (id, policy)).collect();
    gone.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    found.left_out += gone.len().saturating_sub(DIFFERENCES_MAX);
    found.removed = gone.into_iter().take(DIFFERENCES_MAX).map(|(_, policy)| policy.clone()).collect();
    found
}

fn fields(before: &Members, after: &Members) -> Vec<FieldDifference> {
    let owned = |text: Option<&RawValue>| text.map(ToOwned::to_owned);
    let mut found = Vec::new();
    for name in after.names().chain(before.names().filter(|name| after.get(name).is_none())) {
        let (old, new) = (before.get(name), after.get(name));
        let is_same = match (old, new) {
            (Some(old), Some(new)) => is_alike(old, new),
            _ => false,
        };
        if !is_same {
            found.push(FieldDifference { field: name.to_owned(), before: owned(old), after: owned(new) });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_told_by_policy_and_field() {
        let before =
            br#"{"default_action": "allow", "policies": [{"policy_id": "a", "priority": 1, "name": "x"},
            {"policy_id": "b"}, {"policy_id": "same", "conditions": {"vlan": 1, "zone": "in"}}]}"#;
        let after = br#"{"default_action": "drop", "strict": true, "policies": [
            {"policy_id": "same", "conditions": {"zone": "in", "vlan": 1}}, {"priority": 2, "policy_id": "a"}, {"policy_id": "c"}]}"#;
        let found = differences(&Document::read(before).unwrap(), &Document::read(after).unwrap());
        let names =
            |fields: &[FieldDifference]| fields.iter().map(|field| field.field.clone()).collect::<Vec<_>>();
        assert_eq!(names(&found.set), ["default_action", "strict"]);
        assert_eq!(found.changed.len(), 1);
        assert_eq!(names(&found.changed[0].fields), ["priority", "name"]);
        assert_eq!(found.added[0].get(), r#"{"policy_id": "c"}"#);
        assert_eq!(found.removed[0].get(), r#"{"policy_id": "b"}"#);
        assert_eq!((found.unchanged, found.left_out), (1, 0));
    }
}
