//! Was this already done? `Idempotency-Key` on POST (draft-ietf-httpapi-idempotency-key-header): a client that had no answer asks again
//! under the same key, and hears what came of the first time.
//!
//! Keys belong to the account and the path, and are remembered for a day, in memory: after a restart a call is made anew. A body is
//! known by its SHA-256. What may go better the next time (5xx, 429, 401, 408) is not remembered.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};
use sha2::{Digest, Sha256};

use super::problem::{Code, Problem};
use super::router::HasSecrets;
use crate::services::auth::Identity;

/// The header of the request.
pub(super) const KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Marks an answer that is told again.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// How long a key is remembered.
const REMEMBERED: Duration = Duration::from_secs(24 * 3_600);

/// Keys that are remembered; the oldest goes first.
const KEYS_MAX: usize = 4_096;

/// Longest key, bytes.
const KEY_BYTES_MAX: usize = 255;

/// Longest answer that is remembered, bytes. No call that changes something answers with more.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// Marks an answer that is told again: nothing was done for it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Replayed;

/// Calls and their answers.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    calls: Mutex<HashMap<Call, Entry>>,
}

/// Which call: whose, where, under which key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Call {
    account: String,
    path: String,
    key: String,
}

#[derive(Debug)]
struct Entry {
    since: Instant,
    /// `None` while the first one is being done.
    done: Option<Done>,
}

#[derive(Debug, Clone)]
struct Done {
    /// SHA-256 of the body, where it was read to its end.
    body: Option<[u8; 32]>,
    status: StatusCode,
    headers: HeaderMap,
    answer: Bytes,
    has_secrets: bool,
}

/// The middleware; inside of the guard, which knows who asks.
pub(super) async fn once(
    State(remembered): State<Arc<Remembered>>,
    request: Request,
    next: Next,
) -> Response {
    let call = match Call::of(&request) {
        Ok(Some(call)) => call,
        Ok(None) => return next.run(request).await,
        Err(problem) => return problem.into_response(),
    };
    let found = {
        let mut calls = remembered.lock();
        make_room(&mut calls);
        match calls.get(&call) {
            Some(entry) => Some(entry.done.clone()),
            None => {
                calls.insert(call.clone(), Entry { since: Instant::now(), done: None });
                None
            }
        }
    };
    match found {
        Some(Some(done)) => again(done, request).await,
        Some(None) => {
            Problem::new(Code::IdempotencyInProgress, "The first call with this key is being made.")
                .into_response()
        }
        None => first(&remembered, call, request, next).await,
    }
}

impl Remembered {
    fn lock(&self) -> MutexGuard<'_, HashMap<Call, Entry>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A key that is being used; forgotten should the call end without an answer.
struct Using<'r> {
    remembered: &'r Remembered,
    call: Option<Call>,
}

impl Drop for Using<'_> {
    fn drop(&mut self) {
        if let Some(call) = self.call.take() {
            self.remembered.lock().remove(&call);
        }
    }
}

async fn first(remembered: &Remembered, call: Call, request: Request, next: Next) -> Response {
    let mut using = Using { remembered, call: Some(call) };
    let seen = Arc::new(Mutex::new(Seen::default()));
    let request = request.map(|body| Body::new(Hashed { body, seen: Arc::clone(&seen) }));
    let (mut head, body) = next.run(request).await.into_parts();
    let is_final = !head.status.is_server_error()
        && !matches!(
            head.status,
            StatusCode::UNAUTHORIZED | StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS
        );
    let small = hyper::body::Body::size_hint(&body).upper().is_some_and(|len| len <= ANSWER_BYTES_MAX as u64);
    if !is_final || !small {
        return Response::from_parts(head, body);
    }
    let Ok(answer) = body.collect().await.map(http_body_util::Collected::to_bytes) else {
        head.status = StatusCode::INTERNAL_SERVER_ERROR;
        return Response::from_parts(head, Body::empty());
    };
    let body = seen.lock().unwrap_or_else(PoisonError::into_inner).digest();
    let done = Done {
        body,
        status: head.status,
        headers: head.headers.clone(),
        answer: answer.clone(),
        has_secrets: head.extensions.get::<HasSecrets>().is_some(),
    };
    if let Some(call) = using.call.take()
        && let Some(entry) = remembered.lock().get_mut(&call)
    {
        entry.done = Some(done);
    }
    Response::from_parts(head, Body::from(answer))
}

/// The answer of the first time, to a request that is the same.
async fn again(done: Done, request: Request) -> Response {
    let mut hash = Sha256::new();
    let mut body = request.into_body();
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            return Problem::new(Code::InvalidBody, "The body ended before its announced length.")
                .into_response();
        };
        if let Some(data) = frame.data_ref() {
            hash.update(data);
        }
    }
    let same = done.body.is_none_or(|body| body == <[u8; 32]>::from(hash.finalize()));
    if !same {
        let detail = "This key was used for a call with another body: a new call takes a new key.";
        return Problem::new(Code::IdempotencyMismatch, detail).into_response();
    }
    let mut response = Response::new(Body::from(done.answer));
    *response.status_mut() = done.status;
    *response.headers_mut() = done.headers;
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    response.headers_mut().remove(header::CONTENT_LENGTH);
    response.extensions_mut().insert(Replayed);
    if done.has_secrets {
        response.extensions_mut().insert(HasSecrets);
    }
    response
}

impl Call {
    /// The call, where it has a key and somebody makes it.
    fn of(request: &Request) -> Result<Option<Self>, Problem> {
        let Some(key) = request.headers().get(&KEY).filter(|_key| *request.method() == Method::POST) else {
            return Ok(None);
        };
        let Some(identity) = request.extensions().get::<Identity>() else { return Ok(None) };
        // The draft's form is a quoted string; most clients send it bare.
        let text = key.to_str().ok().map(|text| text.trim().trim_matches('"'));
        let key = text.filter(|text| (1..=KEY_BYTES_MAX).contains(&text.len())).ok_or_else(|| {
            let detail = format!("Idempotency-Key must be 1 to {KEY_BYTES_MAX} printable characters.");
            Problem::new(Code::InvalidParameter, detail)
        })?;
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        Ok(Some(Self { account: identity.account.id.clone(), path: path.to_owned(), key: key.to_owned() }))
    }
}

/// Lets go of keys that are old, and of the oldest where there are too many.
fn make_room(calls: &mut HashMap<Call, Entry>) {
    if calls.len() < KEYS_MAX {
        return;
    }
    calls.retain(|_call, entry| entry.since.elapsed() < REMEMBERED);
    while calls.len() >= KEYS_MAX {
        let oldest = calls.iter().min_by_key(|(_call, entry)| entry.since).map(|(call, _entry)| call.clone());
        let Some(oldest) = oldest else { break };
        calls.remove(&oldest);
    }
}

/// What was read of a body.
#[derive(Debug, Default)]
struct Seen {
    hash: Sha256,
    is_whole: bool,
}

impl Seen {
    fn digest(&mut self) -> Option<[u8; 32]> {
        self.is_whole.then(|| std::mem::take(&mut self.hash).finalize().into())
    }
}

/// A body that is hashed while it is read.
struct Hashed {
    body: Body,
    seen: Arc<Mutex<Seen>>,
}

impl hyper::body::Body for Hashed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(context));
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match &frame {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    seen.hash.update(data);
                }
            }
            Some(Err(_error)) => {}
            None => seen.is_whole = true,
        }
        drop(seen);
        // A body of known length may never be asked for more than its last frame.
        if self.body.is_end_stream() {
            self.seen.lock().unwrap_or_else(PoisonError::into_inner).is_whole = true;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
