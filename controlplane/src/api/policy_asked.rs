//! Who asks for a change of the policies, what is it based on, and what must hold once it is made?

use std::net::SocketAddr;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};

use super::guard::{Caller, Client};
use super::problem::{Code, Problem};
use super::request::{Parameters, if_match};
use crate::services::policy_commit::{CONFIRM_S_MAX, CONFIRM_S_MIN};
use crate::services::policy_edit::Expected;
use crate::services::policy_way::Way;
use crate::services::{Author, Subjects};

const REASON_CHARS_MAX: usize = 500;

/// A call that changes policies, beside its body. Its own parameters are taken from `parameters` before [`Asked::finish`].
pub(super) struct Asked {
    author: Author,
    expected: Expected,
    pub(super) parameters: Parameters,
}

impl<S: Send + Sync> FromRequestParts<S> for Asked {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let caller = <Caller as FromRequestParts<S>>::from_request_parts(parts, state).await?;
        let mut parameters = Parameters::from_request_parts(parts, state).await?;
        let author = author(&caller, &mut parameters);
        let bounds = format!("a number from {CONFIRM_S_MIN} to {CONFIRM_S_MAX}");
        let confirm_s = parameters.take("confirm_s", &bounds, |text| {
            text.parse().ok().filter(|seconds| (CONFIRM_S_MIN..=CONFIRM_S_MAX).contains(seconds))
        });
        let force = parameters.take("force", "true or false", |text| text.parse().ok()).unwrap_or(false);
        let Reached(way) = Reached::of(parts);
        let expected = Expected { confirm_s, way: way.filter(|_| !force), ..expected(&parts.headers)? };
        Ok(Self { author, expected, parameters })
    }
}

impl Asked {
    /// Ends the reading of the query.
    pub(super) fn finish(self) -> Result<(Author, Expected), Problem> {
        self.parameters.finish()?;
        Ok((self.author, self.expected))
    }
}

/// Who changes something, and the `reason` that the query gives.
pub(super) fn author(caller: &Caller, parameters: &mut Parameters) -> Author {
    let reason =
        parameters.take("reason", &format!("a text of 1 to {REASON_CHARS_MAX} characters"), |text| {
            let is_text =
                (1..=REASON_CHARS_MAX).contains(&text.chars().count()) && !text.contains(char::is_control);
            is_text.then(|| text.to_owned())
        });
    let account = &caller.0.account;
    let subject = Subjects::is_subject(&account.id).then(|| account.id.clone());
    Author { by: account.username.clone(), subject, reason }
}

/// What a change is based on, as `If-Match` and `If-None-Match` say.
pub(super) fn expected(headers: &HeaderMap) -> Result<Expected, Problem> {
    let is_new = match headers.get(header::IF_NONE_MATCH).map(HeaderValue::as_bytes) {
        None => false,
        Some(b"*") => true,
        Some(_) => return Err(Problem::new(Code::InvalidParameter, "If-None-Match can only be `*` here.")),
    };
    Ok(Expected { tags: if_match(headers)?, is_new, ..Expected::default() })
}

/// The address at which a connection over TCP was accepted; a request extension.
#[derive(Debug, Clone, Copy)]
pub(super) struct AcceptedAt(pub(super) SocketAddr);

/// How the caller reached the API, where policies may be in the way.
struct Reached(Option<Way>);

impl Reached {
    fn of(parts: &Parts) -> Self {
        let client = match parts.extensions.get::<Client>() {
            Some(Client::Tcp(client)) => Some(*client),
            Some(Client::Unix) | None => None,
        };
        let api = parts.extensions.get::<AcceptedAt>().map(|AcceptedAt(api)| *api);
        Self(client.zip(api).and_then(|(client, api)| Way::between(client, api)))
    }
}
