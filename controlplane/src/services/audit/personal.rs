//! What of an entry tells of a person, and how is it stored? `controlplane/README.md` has the table.

use std::net::IpAddr;

use serde_json::{Map, Value};

use super::Entry;
use crate::services::Auth;
use crate::services::subjects::Subjects;
use crate::store::StoreError;

/// Fields of what was before and is after that tell of the account whose `user_id` is beside them.
const BESIDE_USER_ID: [&str; 4] = ["username", "client", "user_agent", "address"];

/// Fields of them that name an account without its `user_id`.
const NAMES: [&str; 2] = ["by", "created_by"];

/// The entry as it is stored, and what it is found by.
///
/// # Errors
///
/// [`StoreError`]: a key that cannot be made or read; then it cannot be stored either.
pub(super) fn stored(
    entry: &Entry,
    auth: &Auth,
    subjects: &Subjects,
) -> Result<(Value, Vec<String>), StoreError> {
    let now_s = entry.time_ns / 1_000_000_000;
    let mut terms = vec![format!("action:{}", entry.action)];
    let mut value = serde_json::to_value(entry).unwrap_or_default();
    let Some(fields) = value.as_object_mut() else { return Ok((value, terms)) };
    let seal = |subject: &str, name: Option<&str>, text: &str| subjects.seal(subject, name, text, now_s);

    let actor = entry.actor.as_ref();
    let by = actor.and_then(|actor| actor.user_id.as_deref()).filter(|id| Subjects::is_subject(id));
    if let Some(actor) = actor {
        terms.push(format!("user:{}", by.map_or_else(|| actor.username.to_lowercase(), str::to_owned)));
        terms.extend(actor.session_id.as_ref().map(|session| format!("session:{session}")));
        if let (Some(subject), Some(Value::Object(told))) = (by, fields.get_mut("actor")) {
            let sealed = seal(subject, Some(&actor.username), &actor.username)?;
            told.insert("username".to_owned(), sealed);
        }
    }
    // A target that is a name: of logins, and of the first admin.
    let about = entry.target.as_deref().and_then(|target| auth.named(target)).map(|account| account.user_id);
    if let Some(target) = &entry.target {
        terms.push(format!("target:{}", about.as_ref().unwrap_or(target)));
        if let Some(subject) = &about {
            fields.insert("target".to_owned(), seal(subject, Some(target), target)?);
        }
    }
    if let Some(address) = &entry.address {
        match by.or(about.as_deref()) {
            Some(subject) if address.parse::<IpAddr>().is_ok() => {
                terms.push(format!("ip:{}", subjects.address_tag(address)));
                fields.insert("address".to_owned(), seal(subject, None, address)?);
            }
            _ => terms.push(format!("ip:{address}")),
        }
    }
    for side in ["before", "after"] {
        if let Some(told) = fields.get_mut(side) {
            let owner = |name: &str| {
                let account = auth.named(name).map(|account| account.user_id);
                account.or_else(|| subjects.named(name).pop())
            };
            seal_beside_user_id(told, &seal, &owner)?;
        }
    }
    Ok((value, terms))
}

type Seal<'a> = &'a dyn Fn(&str, Option<&str>, &str) -> Result<Value, StoreError>;

/// The subject that has, or had, a name.
type Owner<'a> = &'a dyn Fn(&str) -> Option<String>;

fn seal_beside_user_id(value: &mut Value, seal: Seal<'_>, owner: Owner<'_>) -> Result<(), StoreError> {
    match value {
        Value::Object(fields) => {
            let subject = fields.get("user_id").and_then(Value::as_str).map(str::to_owned);
            if let Some(subject) = subject.filter(|id| Subjects::is_subject(id)) {
                seal_fields(fields, &subject, seal)?;
            }
            for name in NAMES {
                if let Some(Value::String(text)) = fields.get(name)
                    && let Some(subject) = owner(text)
                {
                    let sealed = seal(&subject, Some(text), text)?;
                    fields.insert(name.to_owned(), sealed);
                }
            }
            fields.values_mut().try_for_each(|field| seal_beside_user_id(field, seal, owner))
        }
        Value::Array(items) => items.iter_mut().try_for_each(|item| seal_beside_user_id(item, seal, owner)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
    }
}

fn seal_fields(fields: &mut Map<String, Value>, subject: &str, seal: Seal<'_>) -> Result<(), StoreError> {
    for name in BESIDE_USER_ID {
        if let Some(Value::String(text)) = fields.get(name) {
            let sealed = seal(subject, (name == "username").then_some(text), text)?;
            fields.insert(name.to_owned(), sealed);
        }
    }
    Ok(())
}
