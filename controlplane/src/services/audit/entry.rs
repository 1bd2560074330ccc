//! What is told of a change?

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::services::auth::Identity;

/// Longest JSON of what was before or is after, bytes; more is told as its length.
const VALUE_BYTES_MAX: usize = 64 << 10;

/// Longest name or path, characters.
const TEXT_CHARS_MAX: usize = 256;

/// Who did it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// The account's name; `local` is the operator at the Unix socket, `system` the daemon itself.
    pub username: String,
    /// The account's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// Its role at that time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// The session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
}

impl Actor {
    /// The daemon itself.
    #[must_use]
    pub fn system() -> Self {
        Self { username: "system".to_owned(), user_id: None, role: None, session_id: None }
    }

    /// Who asks.
    #[must_use]
    pub fn of(identity: &Identity) -> Self {
        let account = &identity.account;
        Self {
            username: account.username.clone(),
            user_id: Some(account.id.clone()),
            role: Some(account.role.name().to_owned()),
            session_id: identity.session.clone(),
        }
    }
}

/// A change, or an attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Nanoseconds since 1970.
    pub time_ns: u64,
    /// Who; `None`: nobody that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<Actor>,
    /// From where: an address, or `unix`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// As in the answer's `x-request-id` and in the access log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// What: a name that never changes its meaning.
    pub action: String,
    /// To what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// What it was, without secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// What it is now, without secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
    /// `done`, or the code of the refusal.
    pub outcome: String,
    /// Of refusals: how many alike this stands for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeated: Option<u64>,
}

impl Entry {
    /// Something that the daemon did by itself.
    #[must_use]
    pub fn by_system(time_ns: u64, action: &str, target: Option<String>, after: Option<Value>) -> Self {
        Self {
            time_ns,
            actor: Some(Actor::system()),
            address: None,
            request_id: None,
            action: action.to_owned(),
            target,
            before: None,
            after,
            outcome: DONE.to_owned(),
            repeated: None,
        }
    }

    /// Cuts what is longer than an entry may be.
    pub(super) fn bounded(mut self) -> Self {
        for text in [&mut self.target, &mut self.address, &mut self.request_id].into_iter().flatten() {
            *text = short(text);
        }
        for value in [&mut self.before, &mut self.after].into_iter().flatten() {
            let len = serde_json::to_string(value).map_or(0, |text| text.len());
            if len > VALUE_BYTES_MAX {
                *value = serde_json::json!({ "left_out_bytes": len });
            }
        }
        self
    }
}

/// The outcome of what was done.
pub(super) const DONE: &str = "done";

/// Printable, and not longer than an entry's texts may be.
fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(TEXT_CHARS_MAX).collect()
}
