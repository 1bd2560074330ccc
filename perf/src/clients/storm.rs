//! A connection that logs in again and again, with the right password.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::header::{HOST, HeaderValue};
use hyper::{Method, Request};
use tokio::time::Instant;

use super::{Answers, Work, reader};

/// How long a login that was refused waits: a program that heard 503 comes back after its `Retry-After`, not at once.
const REFUSED_WAIT: Duration = Duration::from_millis(200);

/// Logs in until `end`.
pub(crate) async fn log_in(work: Arc<Work>, begin: Instant, end: Instant) -> Answers {
    let mut answers = Answers::new();
    let body: Bytes =
        serde_json::json!({ "username": work.username, "password": work.password }).to_string().into();
    tokio::time::sleep_until(begin).await;
    while Instant::now() < end {
        let asked = Instant::now();
        let status = once(&work, body.clone()).await.unwrap_or(0);
        answers.add(status, asked.elapsed(), 0);
        if !(200..300).contains(&status) {
            tokio::time::sleep(REFUSED_WAIT).await;
        }
    }
    answers
}

async fn once(work: &Work, body: Bytes) -> Result<u16, String> {
    let mut sender = reader::open::<Full<Bytes>>(work.address).await?;
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = hyper::Uri::from_static("/auth/login");
    request.headers_mut().insert(HOST, HeaderValue::from_static("localhost"));
    let answer = sender.send_request(request).await.map_err(|error| error.to_string())?;
    let status = answer.status().as_u16();
    answer.into_body().collect().await.map_err(|error| error.to_string())?;
    Ok(status)
}
