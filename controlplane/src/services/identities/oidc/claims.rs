//! Who is it that a token speaks of? Its claims, as the configuration reads them.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::services::identities::{LIST_MAX, NAME_CHARS_MAX, VALUE_CHARS_MAX, Who};

/// What of the claims is what of a user. A name may lead into objects: `realm_access.roles`; a claim whose own name has dots goes before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClaimNames {
    /// By which policies mean the user.
    pub user_id: String,
    /// What people call the user: the first that there is.
    pub username: Vec<String>,
    /// What the user is for; of a list, the first.
    pub role: Option<String>,
    /// Groups.
    pub groups: Option<String>,
    /// Claims that become attributes of the same name.
    pub attributes: Vec<String>,
}

/// Why nobody is known by the claims.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClaimsError {
    /// It is not there.
    #[error("the token has no claim `{0}`, by which policies mean the user (`identity.oidc.user_id`)")]
    Missing(String),
    /// It is nothing that policies can compare with.
    #[error(
        "the token's claim `{0}` is no line of text of {NAME_CHARS_MAX} characters at most ({VALUE_CHARS_MAX} for an attribute), nor a list of such lines"
    )]
    Form(String),
    /// There are too many.
    #[error(
        "the token's claim `{name}` has {count} values, {LIST_MAX} are taken: let the provider put fewer into it"
    )]
    Many {
        /// Which.
        name: String,
        /// How many it has.
        count: usize,
    },
}

impl ClaimNames {
    /// Reads who it is.
    pub(super) fn who(&self, claims: &Map<String, Value>) -> Result<Who, ClaimsError> {
        let first = |name: &str| Ok(texts(claims, name, NAME_CHARS_MAX)?.into_iter().next());
        let user_id = first(&self.user_id)?.ok_or_else(|| ClaimsError::Missing(self.user_id.clone()))?;
        let mut username = None;
        for name in &self.username {
            username = username.or(first(name)?);
        }
        let mut attributes = BTreeMap::new();
        for name in &self.attributes {
            let values = texts(claims, name, VALUE_CHARS_MAX)?;
            if !values.is_empty() {
                attributes.insert(name.clone(), values);
            }
        }
        Ok(Who {
            user_id,
            username,
            user_role: self.role.as_ref().map_or(Ok(None), |name| first(name))?,
            groups: self
                .groups
                .as_ref()
                .map_or(Ok(Vec::new()), |name| texts(claims, name, NAME_CHARS_MAX))?,
            attributes,
        })
    }
}

/// The texts of a claim; none where it is not there.
fn texts(claims: &Map<String, Value>, name: &str, most: usize) -> Result<Vec<String>, ClaimsError> {
    let Some(value) = find(claims, name) else { return Ok(Vec::new()) };
    let several = match value {
        Value::Null => return Ok(Vec::new()),
        // Providers write what somebody does not have as "", too.
        Value::String(text) if text.is_empty() => return Ok(Vec::new()),
        Value::Array(several) => several.as_slice(),
        one => std::slice::from_ref(one),
    };
    if several.len() > LIST_MAX {
        return Err(ClaimsError::Many { name: name.to_owned(), count: several.len() });
    }
    let text = |value: &Value| {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::Bool(flag) => flag.to_string(),
            Value::Null | Value::Array(_) | Value::Object(_) => return None,
        };
        let is_line = (1..=most).contains(&text.chars().count()) && !text.contains(char::is_control);
        is_line.then_some(text)
    };
    several.iter().map(text).collect::<Option<_>>().ok_or_else(|| ClaimsError::Form(name.to_owned()))
}

fn find<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    if let Some(value) = claims.get(name) {
        return Some(value);
    }
    let (outer, inner) = name.split_once('.')?;
    find(claims.get(outer)?.as_object()?, inner)
}
