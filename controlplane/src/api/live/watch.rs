//! The task that rings listeners, and looks after them each second.
//!
//! The pump marks topics; this rings who listens to them, at most every few milliseconds, so that many events are one
//! wake-up. Each second it looks whose token or session has ended, and whether the box is still well.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::EXPIRY_NOTICE_S;
use crate::services::live::{End, Topic};
use crate::services::{Degradation, Health, Services};

/// Distance of wake-ups: what comes meanwhile is taken together.
const RING_EVERY: Duration = Duration::from_millis(5);

/// How often tokens and sessions are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Listeners looked at before others get their turn.
const LOOKED_AT_ONCE: usize = 512;

/// Runs until the server stops; then tells all who listen, and gives them `patience` to go.
pub(in crate::api) async fn watch(
    services: Arc<Services>,
    mut stopped: watch::Receiver<bool>,
    patience: Duration,
) {
    let hub = services.live();
    let mut look = interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut health = services.health();
    loop {
        tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => break,
            topics = hub.heard() => {
                hub.ring(topics);
                sleep(RING_EVERY).await;
            }
            _ = look.tick() => {
                look_after_listeners(&services).await;
                hub.tend();
                let now = services.health();
                if kinds(&now) != kinds(&health) {
                    tell(&services, &now);
                }
                health = now;
            }
        }
    }
    let gone = async {
        // Also those who come while others go.
        while hub.totals().listeners > 0 {
            hub.subscribers().iter().for_each(|one| one.stop(End::Stopping));
            sleep(RING_EVERY).await;
        }
    };
    let _ = timeout(patience, gone).await;
}

async fn look_after_listeners(services: &Services) {
    let now_s = services.now_s();
    for some in services.live().subscribers().chunks(LOOKED_AT_ONCE) {
        for one in some {
            if one.end().is_some() {
                continue;
            }
            if one.expires_s() <= now_s {
                one.stop(End::TokenExpired);
            } else if !services.auth().still_holds(&one.identity()) {
                one.stop(End::SessionEnded);
            } else if one.is_due_for_warning(now_s, EXPIRY_NOTICE_S) {
                one.ring();
            }
        }
        tokio::task::yield_now().await;
    }
}

/// What is not well, without how long.
fn kinds(health: &Health) -> Vec<(std::mem::Discriminant<Degradation>, Option<usize>)> {
    let Health::Degraded(found) = health else { return Vec::new() };
    let worker = |one: &Degradation| match one {
        Degradation::WorkerSilent { worker, .. } => Some(*worker),
        _ => None,
    };
    found.iter().map(|one| (std::mem::discriminant(one), worker(one))).collect()
}

fn tell(services: &Services, health: &Health) {
    let (status, degraded) = match health {
        Health::Ok => ("ok", Value::Array(Vec::new())),
        Health::Degraded(found) => ("degraded", serde_json::to_value(found).unwrap_or_default()),
    };
    let more = Map::from_iter([("status".to_owned(), status.into()), ("degraded".to_owned(), degraded)]);
    services.live().tell(Topic::System, false, "health", None, more);
}
