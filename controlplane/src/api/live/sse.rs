//! `/events`: topics as server-sent events, for whoever has an `EventSource` or `curl`.
//!
//! `event:` is the topic, `id:` the event's id, `data:` the event. A client that comes back with `Last-Event-ID` goes on after
//! it. Notices are events of their own: `gap`, `dropped`, `expiring`, `closing`.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use super::{EXPIRY_NOTICE_S, Origins, crowded, refused, replay};
use crate::api::connection::Held;
use crate::api::guard::Caller;
use crate::api::jobs::Jobs;
use crate::api::problem::{Code, Problem};
use crate::api::request::Parameters;
use crate::services::Services;
use crate::services::live::{Filter, Gap, Listener, Taken, Topic, Topics};

/// How long a client waits before it comes back, milliseconds.
const RETRY_MS: u64 = 2_000;

/// A comment so often, so that proxies and clients know that the stream lives.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(15);

/// What happens, by topic and filter, as server-sent events.
#[utoipa::path(
    get,
    path = "/events",
    tag = "events",
    params(
        ("topics" = String, Query, description = "Of alerts, flows, protocols, traffic, policy, system, with commas between."),
        ("last_event_id" = Option<u64>, Query, description = "Go on after this event; the header `Last-Event-ID` says the same."),
        ("ip" = Option<String>, Query, description = "An end is this address, or in this prefix."),
        ("port" = Option<u16>, Query, description = "An end has this port."),
        ("proto" = Option<String>, Query, description = "The protocol's name or number."),
        ("event_type" = Option<String>, Query, description = "Event types, with commas between."),
        ("flow_id" = Option<u64>, Query, description = "The flow."),
        ("application" = Option<String>, Query, description = "The application."),
        ("policy_id" = Option<String>, Query, description = "The policy that decided."),
        ("reason" = Option<String>, Query, description = "Why it was dropped, or what was done."),
        ("user" = Option<String>, Query, description = "The account that did it."),
        ("risk_score_min" = Option<u16>, Query, description = "Flows whose risks come to this or more."),
    ),
    responses((status = 200, description = "Events as they happen.", body = String, content_type = "text/event-stream")),
)]
pub(in crate::api) async fn open(
    State(services): State<Arc<Services>>,
    State(jobs): State<Arc<Jobs>>,
    State(origins): State<Origins>,
    caller: Caller,
    headers: HeaderMap,
    held: Option<Held>,
    mut parameters: Parameters,
) -> Result<Response, Problem> {
    let topics = parameters.take("topics", "topics with commas between", |text| {
        text.split(',').map(|name| name.trim().parse::<Topic>().ok()).collect::<Option<Topics>>()
    });
    let header = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let after = parameters.take("last_event_id", "an event's id", |text| text.parse().ok());
    let after = after.or_else(|| header.and_then(|text| text.trim().parse().ok()));
    parameters.take("ticket", "a ticket", |_ticket| Some(()));
    let filter = filter_of(&mut parameters);
    parameters.finish()?;
    let Some(topics) = topics.filter(|topics| !topics.is_empty()) else {
        let names: Vec<_> = Topic::ALL.iter().map(|topic| topic.name()).collect();
        let detail = format!("Say which `topics`, with commas between, of {}.", names.join(", "));
        return Err(Problem::new(Code::InvalidParameter, detail));
    };
    origins.admit(&headers)?;
    refused(&caller.0, topics)?;
    let mut listener = services.live().listen(caller.0).map_err(crowded)?;
    let gap = listener.add(topics, &filter, after);
    let streaming = Streaming {
        listener,
        services,
        jobs,
        missed: after.zip(gap),
        age_max: held.as_ref().map(Held::until),
        _held: held,
        has_begun: false,
        is_over: false,
    };
    let body = Body::from_stream(stream::unfold(streaming, |mut streaming| async move {
        let bytes = streaming.next().await?;
        Some((Ok::<_, std::convert::Infallible>(bytes), streaming))
    }));
    let mut response = Response::new(body);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    // nginx would collect it.
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

/// The filter of a query.
pub(super) fn filter_of(parameters: &mut Parameters) -> Filter {
    let mut filter = Filter::default();
    for key in Filter::KEYS {
        parameters.take(key, "a value that it can have", |value| filter.set(key, value));
    }
    filter
}

struct Streaming {
    listener: Listener,
    services: Arc<Services>,
    jobs: Arc<Jobs>,
    /// What is to be told first, of the past.
    missed: Option<(u64, Gap)>,
    /// When the connection that it is on gets too old.
    age_max: Option<Instant>,
    _held: Option<Held>,
    has_begun: bool,
    is_over: bool,
}

impl Streaming {
    /// The next piece; `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        if self.is_over {
            return None;
        }
        let mut out = Vec::new();
        if !std::mem::replace(&mut self.has_begun, true) {
            out.extend_from_slice(format!("retry: {RETRY_MS}\n\n").as_bytes());
        }
        if let Some((after, gap)) = self.missed.take() {
            let (replay, missing) = replay(&self.services, &self.jobs, &self.listener, after, gap).await;
            for (id, topic, message) in &replay.messages {
                // The event's own object within the message.
                let begin = format!(r#"{{"type":"event","topic":"{topic}","id":{id},"event":"#).len();
                event(&mut out, topic.name(), Some(*id), &message[begin..message.len() - 1]);
            }
            if let Some(missing) = missing {
                notice(&mut out, "gap", &missing);
            }
        }
        let subscriber = Arc::clone(self.listener.subscriber());
        let heartbeat = Instant::now() + HEARTBEAT_EVERY;
        let wake = self.age_max.map_or(heartbeat, |age_max| age_max.min(heartbeat));
        loop {
            let now_s = self.services.now_s();
            if let Some(end) = subscriber.end() {
                notice(&mut out, "closing", &json!({"code": end.name()}));
                self.is_over = true;
            } else if self.age_max.is_some_and(|age_max| Instant::now() >= age_max) {
                let detail = "the connection is as old as it may get; come back and go on";
                notice(&mut out, "closing", &json!({"code": "connection_age", "detail": detail}));
                self.is_over = true;
            } else if subscriber.is_to_be_warned(now_s, EXPIRY_NOTICE_S) {
                let in_s = subscriber.expires_s().saturating_sub(now_s);
                notice(&mut out, "expiring", &json!({"in_s": in_s}));
            }
            if !self.is_over {
                let Taken { told, missed, has_more } = self.listener.take();
                for one in &told {
                    event(&mut out, one.topic.name(), Some(one.id), one.event());
                }
                if missed > 0 {
                    self.services.live().dropped_slow(missed);
                    notice(&mut out, "dropped", &json!({"missed": missed}));
                    self.is_over = true;
                }
                if has_more && out.is_empty() {
                    // Nothing of it fits the filter.
                    tokio::task::yield_now().await;
                    continue;
                }
                if has_more {
                    subscriber.ring();
                }
            }
            if !out.is_empty() {
                return Some(out.into());
            }
            let left = wake.saturating_duration_since(Instant::now());
            if timeout(left, subscriber.rung()).await.is_err() && Instant::now() >= heartbeat {
                return Some(Bytes::from_static(b": alive\n\n"));
            }
        }
    }
}

fn notice(out: &mut Vec<u8>, name: &str, data: &Value) {
    event(out, name, None, data.to_string().as_bytes());
}

/// JSON has no line ends: one `data:` line holds it.
fn event(out: &mut Vec<u8>, name: &str, id: Option<u64>, data: &[u8]) {
    if let Some(id) = id {
        out.extend_from_slice(format!("id: {id}\n").as_bytes());
    }
    for part in [b"event: ", name.as_bytes(), b"\ndata: ", data, b"\n\n"] {
        out.extend_from_slice(part);
    }
}
