//! Which numbers have the names of a user, and are there numbers left?
//!
//! Numbers are never given back: flows and policies may remember them. So whatever speaks against an assertion is asked before any of its
//! names gets one, and an assertion has numbers for all of its names or takes none.

use std::collections::{HashMap, HashSet};

use dataplane::identity::Identity;
use dataplane::policy::{Kind, NameId, PolicySet, User};

use super::registry::{Live, Who};
use super::{IdentityError, NAMES_MAX};
use crate::services::policies::Policies;

/// The kinds of names that users have.
const KINDS: [Kind; 5] = [Kind::UserId, Kind::Role, Kind::Group, Kind::AttributeKey, Kind::AttributeValue];

/// Names that have no number yet.
pub(super) type Unnamed<'a> = HashSet<(Kind, &'a str)>;

/// Whether a wildcard of `set` means one of them.
pub(super) fn are_meant(names: &Unnamed<'_>, set: &PolicySet) -> bool {
    names.iter().any(|(kind, name)| set.has_wildcard_for(*kind, name))
}

impl Policies {
    /// Those names of a user that have no number yet.
    ///
    /// # Errors
    ///
    /// [`IdentityError::Names`] where there are not enough numbers for them.
    pub(super) fn unnamed<'a>(&self, who: &'a Who) -> Result<Unnamed<'a>, IdentityError> {
        let new: Unnamed<'_> =
            names_of(who).filter(|(kind, name)| self.names.find(*kind, name).is_none()).collect();
        let mut left: HashMap<Kind, u32> = HashMap::new();
        for (kind, _) in &new {
            let left = left.entry(*kind).or_insert_with(|| NAMES_MAX.saturating_sub(self.names.count(*kind)));
            *left = left.checked_sub(1).ok_or(IdentityError::Names)?;
        }
        Ok(new)
    }

    /// Gives them numbers.
    pub(super) fn number(&mut self, new: &Unnamed<'_>) {
        for (kind, name) in new {
            self.names.intern(*kind, name);
        }
    }

    /// Gives the names of a user numbers, for policies that are still to be compiled.
    ///
    /// # Errors
    ///
    /// [`IdentityError::Names`]; none has got one then.
    pub(super) fn name_user(&mut self, who: &Who) -> Result<(), IdentityError> {
        let new = self.unnamed(who)?;
        self.number(&new);
        Ok(())
    }

    /// How many numbers are used, of the kind of which the most are.
    pub(super) fn names_used(&self) -> u32 {
        KINDS.iter().map(|kind| self.names.count(*kind)).max().unwrap_or_default()
    }

    /// What workers know of a user whose names have numbers.
    pub(super) fn identity(&self, live: &Live) -> Identity {
        let who = &live.assertion.who;
        let id = |kind, name: &str| self.names.find(kind, name).unwrap_or(NameId::NOBODY);
        let attributes = who.attributes.iter().flat_map(|(key, values)| {
            let key = id(Kind::AttributeKey, key);
            values.iter().map(move |value| (key, id(Kind::AttributeValue, value)))
        });
        let user = User {
            id: id(Kind::UserId, &who.user_id),
            role: who.user_role.as_deref().map(|role| id(Kind::Role, role)),
            groups: who.groups.iter().map(|group| id(Kind::Group, group)).collect(),
            attributes: attributes.collect(),
        };
        Identity { number: live.number, person: user.id.0, user }
    }
}

fn names_of(who: &Who) -> impl Iterator<Item = (Kind, &str)> {
    let one = [(Kind::UserId, who.user_id.as_str())].into_iter();
    let role = who.user_role.as_deref().map(|role| (Kind::Role, role));
    let groups = who.groups.iter().map(|group| (Kind::Group, group.as_str()));
    let keys = who.attributes.keys().map(|key| (Kind::AttributeKey, key.as_str()));
    let values = who.attributes.values().flatten().map(|value| (Kind::AttributeValue, value.as_str()));
    one.chain(role).chain(groups).chain(keys).chain(values)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;
    use crate::services::Applications;
    use dataplane::policy::Environment;

    fn with_group(user_id: &str, group: &str) -> Who {
        Who { user_id: user_id.to_owned(), groups: vec![group.to_owned()], ..Who::default() }
    }

    #[test]
    fn where_numbers_do_not_suffice_for_all_names_none_is_given() {
        let mut policies = Policies::new(Environment::default(), true, Applications::default());
        for number in 0..NAMES_MAX {
            policies.names.intern(Kind::Group, &format!("g{number}"));
        }
        let mut who = with_group("ann", "g7");
        policies.name_user(&who).unwrap();
        who = with_group("bob", "new");
        assert!(matches!(policies.name_user(&who), Err(IdentityError::Names)));
        assert_eq!(policies.names.find(Kind::UserId, "bob"), None, "half an assertion is none");
        assert_eq!((policies.names.count(Kind::UserId), policies.names_used()), (1, NAMES_MAX));
        policies.name_user(&with_group("bob", "g8")).unwrap();
    }
}
