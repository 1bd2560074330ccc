//! What is told of what people and the daemon change? What the audit is told, without what was before and is after.
//!
//! Policies are the topic `policy`, all else is `system`. What concerns accounts, logins and keys is for who may read the audit.

use serde_json::{Map, Value};

use super::Topic;
use crate::services::Services;
use crate::services::audit::Entry;

impl Services {
    /// Tells whoever listens of a change, or of a refusal, that the audit is told.
    pub fn tell_listeners(&self, entry: &Entry) {
        let topic = if entry.action.starts_with("policy.") { Topic::Policy } else { Topic::System };
        if !self.live.wants(topic) {
            return;
        }
        let is_private =
            !["policy.", "wire.", "flow.", "box."].iter().any(|open| entry.action.starts_with(open));
        let mut more = Map::new();
        let mut put = |key: &str, value: Option<&str>| {
            if let Some(value) = value {
                more.insert(key.to_owned(), Value::from(value));
            }
        };
        put("outcome", Some(&entry.outcome));
        put("target", entry.target.as_deref());
        put("address", entry.address.as_deref());
        put("request_id", entry.request_id.as_deref());
        if topic == Topic::Policy {
            more.insert("policy_version".to_owned(), self.door.publisher.current().version.into());
        }
        let user = entry.actor.as_ref().map(|actor| actor.username.as_str());
        self.live.tell(topic, is_private, &entry.action, user, more);
    }
}
