//! What did the client send? Bodies and query parameters, with every fault listed at once.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;

use super::problem::{Code, Fault, Problem};

/// The bytes of a body, within the bound of its path.
#[derive(Debug)]
pub(super) struct RawBody(pub(super) Bytes);

impl<S: Send + Sync> FromRequest<S> for RawBody {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        Bytes::from_request(request, state).await.map(Self).map_err(|rejection| body_problem(&rejection))
    }
}

fn body_problem(rejection: &BytesRejection) -> Problem {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        return Problem::new(Code::BodyTooLarge, "The body is larger than this call takes.");
    }
    Problem::new(Code::InvalidBody, "The body ended before its announced length.")
}

/// A JSON body. The content type is not looked at: `curl --data` does not set it, and a browser cannot
/// reach a call that changes something.
#[derive(Debug)]
pub(super) struct JsonBody<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let RawBody(bytes) = RawBody::from_request(request, state).await?;
        serde_json::from_slice(&bytes).map(Self).map_err(|error| json_problem(&error))
    }
}

fn json_problem(error: &serde_json::Error) -> Problem {
    let fault = Fault { line: Some(error.line()), detail: error.to_string(), ..Fault::default() };
    Problem::new(Code::InvalidBody, "The body is not the JSON that this call takes.").with_faults(vec![fault])
}

/// The tags of `If-Match` (RFC 9110 13.1.1); `None` where it is `*` or not there, for any. Weak tags match nothing.
pub(super) fn if_match(headers: &HeaderMap) -> Result<Option<Vec<String>>, Problem> {
    let mut tags = Vec::new();
    for value in headers.get_all(header::IF_MATCH) {
        let text = value.to_str().unwrap_or_default();
        if text.trim() == "*" {
            return Ok(None);
        }
        for tag in text.split(',').map(str::trim) {
            let opaque = tag.strip_prefix("W/").unwrap_or(tag);
            let inner =
                opaque.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).ok_or_else(|| {
                    let detail =
                        format!("If-Match has `{tag}`, expected the ETag of this path in its quotes, or *.");
                    Problem::new(Code::InvalidParameter, detail)
                })?;
            tags.extend((opaque == tag).then(|| inner.to_owned()));
        }
    }
    Ok(headers.contains_key(header::IF_MATCH).then_some(tags))
}

/// Query parameters by name, taken one by one; what is left over is a fault, so that a misspelt filter
/// never shows everything.
#[derive(Debug, Default)]
pub(super) struct Parameters {
    values: BTreeMap<String, String>,
    faults: Vec<Fault>,
}

impl<S: Send + Sync> FromRequestParts<S> for Parameters {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Query(pairs) = Query::<Vec<(String, String)>>::from_request_parts(parts, state)
            .await
            .map_err(|error| Problem::new(Code::InvalidParameter, error.to_string()))?;
        let mut parameters = Self::default();
        let mut twice = Vec::new();
        for (name, value) in pairs {
            match parameters.values.entry(name) {
                Entry::Vacant(place) => {
                    place.insert(value);
                }
                Entry::Occupied(taken) => twice.push(taken.key().clone()),
            }
        }
        for name in twice {
            parameters.fault(&name, "is given twice");
        }
        Ok(parameters)
    }
}

impl Parameters {
    /// The parameter `name` as `read` understands it; where `read` refuses, the fault says `expected`.
    pub(super) fn take<T>(
        &mut self,
        name: &str,
        expected: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let value = self.values.remove(name)?;
        let taken = read(&value);
        if taken.is_none() {
            self.fault(name, &format!("`{value}` is not {expected}"));
        }
        taken
    }

    fn fault(&mut self, name: &str, what: &str) {
        self.faults.push(Fault {
            parameter: Some(name.to_owned()),
            detail: what.to_owned(),
            ..Fault::default()
        });
    }

    /// Ends the reading: all faults at once, parameters that nobody took included.
    pub(super) fn finish(mut self) -> Result<(), Problem> {
        for name in std::mem::take(&mut self.values).into_keys() {
            self.fault(&name, "is not a parameter of this call");
        }
        if self.faults.is_empty() {
            return Ok(());
        }
        Err(Problem::new(Code::InvalidParameter, "The query has faults.").with_faults(self.faults))
    }
}
