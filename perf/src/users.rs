//! Whose flows are these, and what were they taken for? As identity and inspection would tell of the harness's traffic.

use dataplane::policy::{Fact, Facts, Kind, NameId, Names, User};

use crate::policies::{APPLICATIONS, GROUPS, ROLES, USERS};
use crate::traffic::random::Random;

/// Whose a flow is, and what it was taken for.
pub(crate) struct Known {
    application: NameId,
    category: NameId,
    confidence: u8,
    user: User,
}

impl Known {
    /// Puts it among other facts.
    pub(crate) fn among<'a>(&'a self, facts: Facts<'a>) -> Facts<'a> {
        Facts {
            application: Fact::Known(self.application),
            category: Fact::Known(self.category),
            confidence: Fact::Known(self.confidence),
            user: Fact::Known(&self.user),
            ..facts
        }
    }
}

/// Users and applications of so many flows, of those that [`users_json`](crate::policies::users_json) speaks of.
pub(crate) fn some(count: usize, seed: u64, names: &mut Names) -> Vec<Known> {
    let mut random = Random::new(seed + 1);
    let department = names.intern(Kind::AttributeKey, "department");
    let mut name = |kind, prefix: &str, number: u64| names.intern(kind, &format!("{prefix}-{number}"));
    (0..count)
        .map(|_| {
            let application = random.below(APPLICATIONS);
            Known {
                application: name(Kind::Application, "app", application),
                category: name(Kind::Category, "category", application % 12),
                confidence: 40 + random.below(60) as u8,
                user: User {
                    id: name(Kind::UserId, "user", random.below(USERS)),
                    role: Some(name(Kind::Role, "role", random.below(ROLES))),
                    groups: (0..3).map(|_| name(Kind::Group, "group", random.below(GROUPS))).collect(),
                    attributes: vec![(department, name(Kind::AttributeValue, "d", random.below(40)))],
                },
            }
        })
        .collect()
}
