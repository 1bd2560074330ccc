//! `/ws`, `/events`, `/socket.io`: what happens, as it happens.
//!
//! Three ways to speak, one engine: a [`Listener`] of the hub, whose bell one task rings ([`watch()`]).

pub(super) mod history;
pub(super) mod socket_io;
pub(super) mod sse;
pub(super) mod ticket;
mod watch;
pub(super) mod ws;

pub(super) use watch::watch;

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderValue, header};
use serde_json::{Value, json};

use super::jobs::Jobs;
use super::problem::{Code, Problem};
use crate::services::Services;
use crate::services::auth::Identity;
use crate::services::auth::role::Permission;
use crate::services::live::{Crowded, Gap, Listener, Replay, Topic, Topics};

/// How long before its end a token is spoken of, seconds.
const EXPIRY_NOTICE_S: u64 = 60;

/// Pages of which origins may connect.
#[derive(Debug, Clone)]
pub(super) struct Origins(pub(super) Arc<[HeaderValue]>);

impl Origins {
    /// Whether the page that asks may: browsers say where it is from, and ask nobody before they connect (RFC 6455 10.2).
    /// Programs have no origin.
    fn admit(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
        if self.0.contains(origin) || is_own(origin, headers.get(header::HOST)) {
            return Ok(());
        }
        let shown = String::from_utf8_lossy(origin.as_bytes()).into_owned();
        let detail = format!("Pages of {shown} may not connect; [api] allowed_origins has those that may.");
        Err(Problem::new(Code::Forbidden, detail))
    }
}

/// Whether a page comes from this server itself.
fn is_own(origin: &HeaderValue, host: Option<&HeaderValue>) -> bool {
    let authority = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, host)| host);
    authority.is_some() && authority == host.and_then(|host| host.to_str().ok())
}

/// What may not be listened to, and why.
fn refused(identity: &Identity, topics: Topics) -> Result<(), Problem> {
    for topic in topics.iter() {
        for needs in [Permission::EventsRead, topic.needs()] {
            if identity.may(needs).is_err() {
                let role = identity.account.role;
                let detail = format!("`{topic}` takes {needs}, which {role} does not have.");
                return Err(Problem::new(Code::Forbidden, detail));
            }
        }
    }
    Ok(())
}

/// The topics that somebody may listen to.
fn permitted(identity: &Identity) -> Topics {
    Topic::ALL.into_iter().filter(|topic| refused(identity, Topics::of(*topic)).is_ok()).collect()
}

fn crowded(error: Crowded) -> Problem {
    Problem::new(Code::Busy, format!("{error}.")).retry_after(30)
}

/// What a listener missed while it was away: what the disk has of it, and a notice where that is not all.
pub(super) async fn replay(
    services: &Arc<Services>,
    jobs: &Arc<Jobs>,
    listener: &Listener,
    after: u64,
    gap: Gap,
) -> (Replay, Option<Value>) {
    let recorded: Topics = gap.topics.iter().filter(|topic| topic.is_recorded()).collect();
    let unrecorded = gap.topics.without(recorded);
    let mut replay = Replay { is_whole: recorded.is_empty(), reached: after, ..Replay::default() };
    if !recorded.is_empty() {
        let (wanted, hub) = (listener.wanted(recorded), Arc::clone(services.live()));
        let read = jobs.read(move || hub.replay(&wanted, after, gap.whole_since)).await;
        match read {
            Ok(Ok(found)) => replay = found,
            Ok(Err(error)) => tracing::warn!(%error, "what a listener missed cannot be read"),
            Err(_busy) => {}
        }
    }
    let missing = if replay.is_whole { unrecorded } else { gap.topics };
    let told = (!missing.is_empty()).then(|| {
        json!({"topics": missing.names(), "after": after, "until": gap.whole_since,
            "detail": "some events between these ids are not told again"})
    });
    (replay, told)
}
