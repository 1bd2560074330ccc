//! What did the client send? Bodies and query parameters, with every fault listed at once.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use serde::de::DeserializeOwned;
use serde_json::Value;
use utoipa::ToSchema;

use super::problem::{Code, Fault, Problem};
use super::schema;

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

impl<S: Send + Sync, T: DeserializeOwned + ToSchema> FromRequest<S> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let RawBody(bytes) = RawBody::from_request(request, state).await?;
        // serde takes a list for a struct whose members are all there in their order; nobody means that.
        if bytes.trim_ascii_start().first() == Some(&b'[') {
            let fault = Fault {
                line: Some(1),
                detail: "expected an object, found a list".to_owned(),
                ..Fault::default()
            };
            return Err(not_the_json(vec![fault]));
        }
        serde_json::from_slice(&bytes).map(Self).map_err(|error| json_problem::<T>(&bytes, &error))
    }
}

/// What is wrong with a body that serde refused: where it is JSON, everything that its schema finds.
fn json_problem<T: ToSchema>(bytes: &[u8], error: &serde_json::Error) -> Problem {
    let mut faults = Vec::new();
    if error.is_data()
        && let Ok(body) = serde_json::from_slice::<Value>(bytes)
    {
        faults = schema::faults::<T>(&body);
    }
    if faults.is_empty() {
        faults.push(Fault { line: Some(error.line()), detail: error.to_string(), ..Fault::default() });
    }
    not_the_json(faults)
}

fn not_the_json(faults: Vec<Fault>) -> Problem {
    Problem::new(Code::InvalidBody, "The body is not the JSON that this call takes.").with_faults(faults)
}

/// `ETag` of something that has a version.
pub(super) fn etag(version: u64) -> [(HeaderName, String); 1] {
    [(header::ETAG, format!("\"{version}\""))]
}

/// The version of `If-Match` (RFC 9110 13.1.1); `*` and none are any.
pub(super) fn version(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get(header::IF_MATCH) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(None);
    }
    let version = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).and_then(|v| v.parse().ok());
    version.map(Some).ok_or_else(|| {
        Problem::new(Code::Stale, format!("If-Match is `{text}`, expected the ETag of this path, or *."))
    })
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

/// Entries in a page that does not say how many it wants.
const PAGE_DEFAULT: usize = 100;

/// Entries in a page at most.
const PAGE_MAX: usize = 1_000;

/// Which part of a list is wanted: `limit` and `cursor`.
#[derive(Debug)]
pub(super) struct Page<C> {
    pub(super) limit: usize,
    /// Where the page before ended.
    pub(super) cursor: Option<C>,
}

impl<C> Page<C> {
    /// Takes both parameters.
    pub(super) fn take(parameters: &mut Parameters, read: impl FnOnce(&str) -> Option<C>) -> Self {
        let limit = |text: &str| text.parse().ok().filter(|limit| (1..=PAGE_MAX).contains(limit));
        Self {
            limit: parameters.take("limit", "a number from 1 to 1000", limit).unwrap_or(PAGE_DEFAULT),
            cursor: parameters.take("cursor", "a cursor that this call gave", read),
        }
    }
}

/// A page of a list whose entries are in the order of their keys, and the key of its last entry where more follow.
pub(super) fn page_of<T, K: PartialOrd>(
    list: Vec<T>,
    page: &Page<K>,
    key: impl Fn(&T) -> K,
) -> (Vec<T>, Option<K>) {
    let begins = page.cursor.as_ref().map_or(0, |cursor| list.partition_point(|entry| key(entry) <= *cursor));
    let more = list.len().saturating_sub(begins) > page.limit;
    let entries: Vec<T> = list.into_iter().skip(begins).take(page.limit).collect();
    let next = entries.last().filter(|_last| more).map(key);
    (entries, next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_cover_a_list_once() {
        let list: Vec<u32> = (0..7).collect();
        let mut seen = Vec::new();
        let mut page = Page { limit: 3, cursor: None };
        loop {
            let (entries, next) = page_of(list.clone(), &page, |number| *number);
            seen.extend(entries);
            page.cursor = next;
            if page.cursor.is_none() {
                break;
            }
        }
        assert_eq!(seen, list);
    }
}
