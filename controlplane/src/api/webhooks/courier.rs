//! Posts events to webhooks: one task for each, at its own pace.
//!
//! A task listens like any client, gathers what comes, posts it, and goes on behind it. What is refused or not answered is posted again,
//! with growing distance for a day; meanwhile nothing is held for it but its place: what it missed is read again, from memory or from
//! disk, and where that is not there any more it is told of the gap.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::HeaderName;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::api::jobs::Jobs;
use crate::api::live;
use crate::outbound::Place;
use crate::services::Services;
use crate::services::live::{Taken, Topic};
use crate::services::webhooks::Webhook;

/// What comes within this time is posted together.
const GATHER: Duration = Duration::from_millis(200);

/// A message has at most so many events, and so many bytes of them.
const EVENTS_MAX: usize = 100;
const BYTES_MAX: usize = 256 * 1024;

/// Waits between attempts: doubled from the first to the longest.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_LONGEST: Duration = Duration::from_secs(900);

/// After so long without an answer a webhook is switched off.
const PATIENCE: Duration = Duration::from_secs(24 * 3_600);

/// Posts until the server stops.
pub(in crate::api) async fn deliver(
    services: Arc<Services>,
    jobs: Arc<Jobs>,
    mut stopped: watch::Receiver<bool>,
) {
    let mut changes = services.webhooks().changes();
    let mut tasks: HashMap<String, (u64, JoinHandle<()>)> = HashMap::new();
    loop {
        let hooks = services.webhooks().enabled();
        tasks.retain(|id, (version, task)| {
            let stays = hooks.iter().any(|hook| hook.id == *id && hook.version == *version);
            if !stays {
                task.abort();
            }
            stays
        });
        for hook in hooks {
            if !tasks.contains_key(&hook.id) {
                let task = tokio::spawn(tell(Arc::clone(&services), Arc::clone(&jobs), Arc::clone(&hook)));
                tasks.insert(hook.id.clone(), (hook.version, task));
            }
        }
        tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => break,
            changed = changes.changed() => if changed.is_err() { break },
        }
    }
    for (_version, task) in tasks.into_values() {
        task.abort();
    }
}

/// What is posted next.
#[derive(Debug, Default)]
struct Message {
    /// Events as they are in `/ws`: topic, id, event.
    events: Vec<Value>,
    bytes: usize,
    gap: Option<Value>,
    /// The last event that was looked at, whether or not it was wanted.
    reached: u64,
}

/// Tells one webhook, for as long as it is as it is.
async fn tell(services: Arc<Services>, jobs: Arc<Jobs>, hook: Arc<Webhook>) {
    let Ok(place) = Place::of(&hook.url) else { return };
    let mut failing_since: Option<Instant> = None;
    let mut wait = RETRY_FIRST;
    loop {
        let Err(why) = listen(&services, &jobs, &hook, &place, &mut failing_since, &mut wait).await else {
            return;
        };
        let since = *failing_since.get_or_insert_with(Instant::now);
        let next_s = services.now_s() + wait.as_secs();
        services.webhooks().failed(&hook.id, why.clone(), next_s);
        if since.elapsed() >= PATIENCE {
            let (services, id) = (Arc::clone(&services), hook.id.clone());
            let reason =
                format!("nothing was taken for {} h; the last time: {why}", PATIENCE.as_secs() / 3_600);
            let _ = jobs.change(move || services.webhooks().switch_off(&id, &reason)).await;
            return;
        }
        sleep(wait).await;
        wait = (wait * 2).min(RETRY_LONGEST);
    }
}

/// Listens and posts until something goes wrong; `Ok`: it is switched off.
async fn listen(
    services: &Arc<Services>,
    jobs: &Arc<Jobs>,
    hook: &Webhook,
    place: &Place,
    failing_since: &mut Option<Instant>,
    wait: &mut Duration,
) -> Result<(), String> {
    let after = services.webhooks().get(&hook.id).map(|(_, view)| view.deliveries.last_event_id);
    let Ok(after) = after else { return Ok(()) };
    let mut listener = services.live().listen(hook.identity()).map_err(|error| error.to_string())?;
    let gap = listener.add(hook.topics(), &hook.filter(), Some(after));
    let mut message = Message { reached: after, ..Message::default() };
    if let Some(gap) = gap {
        let (replay, missing) = live::replay(services, jobs, &listener, after, gap).await;
        message.gap = missing;
        for (id, _topic, text) in &replay.messages {
            message.add(*id, text);
            if message.is_full() {
                post(services, jobs, hook, place, &mut message).await?;
                (*failing_since, *wait) = (None, RETRY_FIRST);
            }
        }
        message.reached = message.reached.max(replay.reached);
    }
    let subscriber = Arc::clone(listener.subscriber());
    loop {
        let Taken { told, missed, has_more } = listener.take();
        for one in &told {
            message.add(one.id, &one.message);
            if message.is_full() {
                post(services, jobs, hook, place, &mut message).await?;
                (*failing_since, *wait) = (None, RETRY_FIRST);
            }
        }
        if missed > 0 {
            // The ring has gone on: what is left of it is on the disk, if anywhere.
            post_if_any(services, jobs, hook, place, &mut message).await?;
            return Err(format!("{missed} events came faster than they were taken"));
        }
        if has_more {
            tokio::task::yield_now().await;
            continue;
        }
        if subscriber.end().is_some() {
            return Err("the daemon stops".to_owned());
        }
        post_if_any(services, jobs, hook, place, &mut message).await?;
        (*failing_since, *wait) = (None, RETRY_FIRST);
        subscriber.rung().await;
        sleep(GATHER).await;
    }
}

async fn post_if_any(
    services: &Arc<Services>,
    jobs: &Arc<Jobs>,
    hook: &Webhook,
    place: &Place,
    message: &mut Message,
) -> Result<(), String> {
    if message.events.is_empty() && message.gap.is_none() {
        return Ok(());
    }
    post(services, jobs, hook, place, message).await
}

/// Posts what was gathered; on success it is empty again, and how far it came is kept.
async fn post(
    services: &Arc<Services>,
    jobs: &Arc<Jobs>,
    hook: &Webhook,
    place: &Place,
    message: &mut Message,
) -> Result<(), String> {
    let (count, reached) = (message.events.len() as u64, message.reached);
    let body = message.body("jarvis.events", services.now_s());
    // The same events under the same id, others under another: a receiver that took them and could not say so knows them again.
    let first = message.events.first().and_then(|event| event["id"].as_u64()).unwrap_or(reached);
    send(services, hook, place, &format!("evt_{}_{first}_{reached}", hook.id), body).await?;
    *message = Message { reached, ..Message::default() };
    let (services, id) = (Arc::clone(services), hook.id.clone());
    let kept =
        jobs.change(move || services.webhooks().delivered(&id, count, reached, services.now_s())).await;
    match kept {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(format!("what was taken cannot be kept: {error}")),
        Err(_busy) => Err("what was taken cannot be kept now".to_owned()),
    }
}

/// Posts something that is not of an event, to see whether it arrives.
pub(super) async fn try_out(services: &Services, hook: &Webhook) -> Result<(), String> {
    let place = Place::of(&hook.url)?;
    let message = Message::default();
    let now_s = services.now_s();
    let body = message.body("jarvis.test", now_s);
    send(services, hook, &place, &format!("test_{}_{}", hook.id, services.now_ns()), body).await
}

async fn send(
    services: &Services,
    hook: &Webhook,
    place: &Place,
    id: &str,
    body: Bytes,
) -> Result<(), String> {
    let now_s = services.now_s();
    let headers = [
        (HeaderName::from_static("webhook-id"), id.to_owned()),
        (HeaderName::from_static("webhook-timestamp"), now_s.to_string()),
        (HeaderName::from_static("webhook-signature"), hook.sign(id, now_s, &body)),
    ];
    match place.post(headers, body).await? {
        status if status.is_success() => Ok(()),
        StatusCode::GONE => Err("410 Gone: the receiver wants no more".to_owned()),
        status => Err(format!("the receiver answered {status}")),
    }
}

impl Message {
    fn add(&mut self, id: u64, text: &[u8]) {
        // It is the hub's own text.
        if let Ok(Value::Object(mut event)) = serde_json::from_slice(text) {
            event.remove("type");
            self.events.push(event.into());
            self.bytes += text.len();
        }
        self.reached = self.reached.max(id);
    }

    fn is_full(&self) -> bool {
        self.events.len() >= EVENTS_MAX || self.bytes >= BYTES_MAX
    }

    fn body(&self, kind: &str, now_s: u64) -> Bytes {
        let mut body = json!({ "type": kind, "timestamp_s": now_s, "events": self.events });
        if let Some(gap) = &self.gap {
            body["gap"] = gap.clone();
        }
        body.to_string().into()
    }
}

/// Topics that there are, for refusals.
pub(super) fn topics() -> String {
    Topic::ALL.iter().map(|topic| topic.name()).collect::<Vec<_>>().join(", ")
}
