//! What is wrong with this body? All of it at once, found by the schema that `/openapi.json` shows.

use jsonschema::error::ValidationErrorKind;
use serde_json::{Value, json};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::problem::Fault;

/// Faults that are told at most: a body may have as many as it has values.
const FAULTS_MAX: usize = 64;

/// Everything in which `body` is not a `T`.
///
/// Is asked only about bodies that were refused, so it may take its time; what it says are the places and what was
/// expected there, never a value that was sent: that may be a password.
pub(super) fn faults<T: ToSchema>(body: &Value) -> Vec<Fault> {
    let mut parts: Vec<(String, RefOr<Schema>)> = Vec::new();
    T::schemas(&mut parts);
    let parts: serde_json::Map<String, Value> =
        parts.into_iter().filter_map(|(name, part)| Some((name, serde_json::to_value(part).ok()?))).collect();
    let Ok(Value::Object(mut schema)) = serde_json::to_value(<T as PartialSchema>::schema()) else {
        return Vec::new();
    };
    schema.insert("components".to_owned(), json!({ "schemas": parts }));
    let Ok(validator) = jsonschema::validator_for(&Value::Object(schema)) else { return Vec::new() };
    validator
        .iter_errors(body)
        .take(FAULTS_MAX)
        .flat_map(|error| {
            let at = error.instance_path().to_string();
            told(error.kind(), error.masked().to_string(), &at)
        })
        .collect()
}

fn told(kind: &ValidationErrorKind, sentence: String, at: &str) -> Vec<Fault> {
    let fault =
        |pointer: String, detail: String| Fault { pointer: Some(pointer), detail, ..Fault::default() };
    match kind {
        ValidationErrorKind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            vec![fault(format!("{at}/{name}"), "is missing".to_owned())]
        }
        ValidationErrorKind::AdditionalProperties { unexpected } => unexpected
            .iter()
            .map(|name| fault(format!("{at}/{name}"), "is not a member that this call takes".to_owned()))
            .collect(),
        _ => vec![fault(at.to_owned(), sentence)],
    }
}
