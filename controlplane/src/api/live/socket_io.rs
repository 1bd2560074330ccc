//! `/socket.io/`: the same topics for clients of the former system, which speak Socket.IO 5 over Engine.IO 4.
//!
//! A client connects with `auth = {"token": "..."}`, and with `topics`, `filter` and `resume_from` where it likes; without
//! topics it listens to all that it may. An event has its topic's name and the message that `/ws` sends. `subscribe`,
//! `unsubscribe` and `auth` do what they do there; `subscribed`, `gap`, `expiring`, `dropped`, `closing` and `error` are notices.
//!
//! Whoever opens a session and does not show a token is closed after [`CONNECT_TIMEOUT`], and there are no more of them than
//! [`STRANGERS_MAX`].

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use socketioxide::SocketIo;
use socketioxide::extract::{SocketRef, TryData};
use socketioxide::handler::ConnectHandler;
use socketioxide::service::SocketIoService;
use tokio::sync::mpsc;

use super::{EXPIRY_NOTICE_S, Origins, permitted, refused, replay};
use crate::api::jobs::Jobs;
use crate::api::problem::{Code, Problem};
use crate::services::Services;
use crate::services::auth::Identity;
use crate::services::auth::role::Permission;
use crate::services::live::{Filter, Listener, Taken, Topic, Topics};

/// Time to show a token.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Sessions begun within that time.
const STRANGERS_MAX: usize = 1_024;

/// Longest body or message from a client, bytes: a token of 10.6 KB fits.
const PAYLOAD_BYTES_MAX: u64 = 32 * 1_024;

/// Packets that wait for a client.
const BUFFER_PACKETS: usize = 128;

/// How long a client may leave them there, and how often it is looked.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What a client has asked for and was not looked at.
const ASKED_MAX: usize = 16;

/// The service of the path.
pub(in crate::api) fn service(services: &Arc<Services>, jobs: &Arc<Jobs>) -> SocketIoService<Nobody> {
    let builder = SocketIo::builder()
        .req_path("/socket.io")
        .connect_timeout(CONNECT_TIMEOUT)
        .max_payload(PAYLOAD_BYTES_MAX)
        .max_buffer_size(BUFFER_PACKETS)
        .ws_read_buffer_size(2 * 1_024)
        .ws_max_message_size(PAYLOAD_BYTES_MAX as usize)
        .ws_max_frame_size(PAYLOAD_BYTES_MAX as usize);
    let (service, io) = builder.build_with_inner_svc(Nobody);
    let (of_door, jobs) = (Arc::clone(services), Arc::clone(jobs));
    let services = Arc::clone(services);
    let door = move |socket: SocketRef, TryData(auth): TryData<Auth>| {
        let admitted = auth.map_err(|_| Refused("auth must be {\"token\": \"...\"}".to_owned()));
        let admitted = admitted.and_then(|auth| admit(&of_door, auth));
        std::future::ready(admitted.map(|admitted| {
            let _ = socket.extensions.insert(admitted);
        }))
    };
    let inside = move |socket: SocketRef| {
        let (services, jobs) = (Arc::clone(&services), Arc::clone(&jobs));
        async move { serve(socket, services, jobs).await }
    };
    io.ns("/", inside.with(door));
    service
}

/// What answers paths below that are not Socket.IO's.
#[derive(Debug, Clone, Copy)]
pub(in crate::api) struct Nobody;

impl<B> tower::Service<axum::http::Request<B>> for Nobody {
    type Response = Response;
    type Error = std::convert::Infallible;
    type Future = std::future::Ready<Result<Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Self::Error>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: axum::http::Request<B>) -> Self::Future {
        std::future::ready(Ok(Problem::new(Code::NotFound, "There is nothing at this path.").into_response()))
    }
}

/// When sessions were begun of late.
#[derive(Debug, Clone, Default)]
pub(in crate::api) struct Strangers(Arc<Mutex<VecDeque<Instant>>>);

/// Looks at what comes before a session begins: the page that asks, and how many there are.
pub(in crate::api) async fn begin(
    State((origins, strangers)): State<(Origins, Strangers)>,
    request: Request,
    next: Next,
) -> Response {
    if let Err(problem) = origins.admit(request.headers()) {
        return problem.into_response();
    }
    let has_session =
        request.uri().query().is_some_and(|query| query.split('&').any(|one| one.starts_with("sid=")));
    if !has_session {
        let now = Instant::now();
        let mut begun = strangers.0.lock().unwrap_or_else(PoisonError::into_inner);
        while begun.front().is_some_and(|then| now.duration_since(*then) > CONNECT_TIMEOUT) {
            begun.pop_front();
        }
        if begun.len() >= STRANGERS_MAX {
            drop(begun);
            return Problem::new(Code::Busy, "Too many begin a session at once.").into_response();
        }
        begun.push_back(now);
    }
    next.run(request).await
}

/// What a client shows.
#[derive(Debug, Clone, Deserialize)]
struct Auth {
    token: String,
    #[serde(default)]
    topics: Option<Vec<String>>,
    #[serde(default)]
    filter: Filter,
    #[serde(default)]
    resume_from: Option<u64>,
}

/// Why a client is not let in; it gets the text as `connect_error`.
#[derive(Debug)]
struct Refused(String);

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// One who was let in, and what it begins with.
#[derive(Clone)]
struct Admitted {
    identity: Identity,
    topics: Topics,
    filter: Filter,
    resume_from: Option<u64>,
}

fn admit(services: &Services, auth: Auth) -> Result<Admitted, Refused> {
    let wrong = |error: &dyn std::fmt::Display| Refused(error.to_string());
    let identity = services.auth().identify(&auth.token, services.now_s()).map_err(|error| wrong(&error))?;
    identity.may(Permission::EventsRead).map_err(|error| wrong(&error))?;
    let topics = match auth.topics {
        None => permitted(&identity),
        Some(names) => read_topics(&names).map_err(Refused)?,
    };
    refused(&identity, topics).map_err(|problem| Refused(problem.detail().to_owned()))?;
    Ok(Admitted { identity, topics, filter: auth.filter, resume_from: auth.resume_from })
}

fn read_topics(names: &[String]) -> Result<Topics, String> {
    names.iter().map(|name| name.parse::<Topic>()).collect()
}

/// What a client asks for later.
#[derive(Debug, Deserialize)]
struct Subscription {
    topics: Vec<String>,
    #[serde(default)]
    filter: Filter,
    #[serde(default)]
    resume_from: Option<u64>,
}

enum Asked {
    Subscribe(Value),
    Unsubscribe(Value),
    Auth(Value),
    Left,
}

/// The client went away, or does not read.
struct Gone;

struct Session {
    socket: SocketRef,
    listener: Listener,
    services: Arc<Services>,
    jobs: Arc<Jobs>,
}

async fn serve(socket: SocketRef, services: Arc<Services>, jobs: Arc<Jobs>) {
    let Some(admitted) = socket.extensions.remove::<Admitted>() else { return };
    let (ask, mut asked) = mpsc::channel(ASKED_MAX);
    // What is asked too fast is not heard: the client has no answer and asks again.
    let on = |name: &'static str, asked: fn(Value) -> Asked| {
        let ask = ask.clone();
        socket.on(name, move |TryData(value): TryData<Value>| {
            let _ = ask.try_send(asked(value.unwrap_or_default()));
            std::future::ready(())
        });
    };
    on("subscribe", Asked::Subscribe);
    on("unsubscribe", Asked::Unsubscribe);
    on("auth", Asked::Auth);
    socket.on_disconnect(move |_: SocketRef| async move {
        let _ = ask.send(Asked::Left).await;
    });
    let listener = match services.live().listen(admitted.identity) {
        Ok(listener) => listener,
        Err(error) => {
            let _ = socket.emit("closing", &json!({"code": "busy", "detail": error.to_string()}));
            let _ = socket.disconnect();
            return;
        }
    };
    let mut session = Session { socket, listener, services, jobs };
    let begun = session.subscribe(admitted.topics, &admitted.filter, admitted.resume_from).await;
    if begun.is_ok() && session.run(&mut asked).await.is_ok() {
        // What was said last has to be taken before the end is.
        let _ = session.socket.disconnect();
    }
}

impl Session {
    async fn run(&mut self, asked: &mut mpsc::Receiver<Asked>) -> Result<(), Gone> {
        let subscriber = Arc::clone(self.listener.subscriber());
        loop {
            if let Some(end) = subscriber.end() {
                return self.say("closing", &json!({"code": end.name()})).await;
            }
            let now_s = self.services.now_s();
            if subscriber.is_to_be_warned(now_s, EXPIRY_NOTICE_S) {
                let in_s = subscriber.expires_s().saturating_sub(now_s);
                self.say("expiring", &json!({"in_s": in_s})).await?;
            }
            let Taken { told, missed, has_more } = self.listener.take();
            for one in &told {
                self.event(one.topic, &one.message).await?;
            }
            if missed > 0 {
                self.services.live().dropped_slow(missed);
                return self.say("dropped", &json!({"missed": missed})).await;
            }
            if has_more {
                tokio::task::yield_now().await;
                subscriber.ring();
            }
            tokio::select! {
                asked = asked.recv() => match asked {
                    None | Some(Asked::Left) => return Err(Gone),
                    Some(asked) => self.hear(asked).await?,
                },
                () = subscriber.rung() => {}
            }
        }
    }

    async fn hear(&mut self, asked: Asked) -> Result<(), Gone> {
        let done = match asked {
            Asked::Subscribe(value) => match read_subscription(value) {
                Ok((topics, wanted)) => match refused(&self.listener.subscriber().identity(), topics) {
                    Ok(()) => {
                        self.subscribe(topics, &wanted.filter, wanted.resume_from).await?;
                        Ok(())
                    }
                    Err(problem) => Err(problem.detail().to_owned()),
                },
                Err(error) => Err(error),
            },
            Asked::Unsubscribe(value) => match read_subscription(value) {
                Ok((topics, _)) => {
                    self.listener.remove(topics);
                    let left = self.listener.subscriber().topics().names();
                    self.say("unsubscribed", &json!({"topics": left})).await?;
                    Ok(())
                }
                Err(error) => Err(error),
            },
            Asked::Auth(value) => self.authenticate(&value).await?,
            Asked::Left => return Err(Gone),
        };
        match done {
            Ok(()) => Ok(()),
            Err(detail) => self.say("error", &json!({"detail": detail})).await,
        }
    }

    async fn authenticate(&mut self, value: &Value) -> Result<Result<(), String>, Gone> {
        let token = value["token"].as_str().unwrap_or_default();
        let identity = match self.services.auth().identify(token, self.services.now_s()) {
            Ok(identity) => identity,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let expires_s = identity.expires_s;
        if !self.listener.subscriber().renew(identity) {
            return Ok(Err("the token is another account's; connect anew with it".to_owned()));
        }
        self.say("authenticated", &json!({"expires_s": expires_s})).await?;
        Ok(Ok(()))
    }

    async fn subscribe(
        &mut self,
        topics: Topics,
        filter: &Filter,
        resume_from: Option<u64>,
    ) -> Result<(), Gone> {
        let gap = self.listener.add(topics, filter, resume_from);
        let all = self.listener.subscriber().topics().names();
        self.say("subscribed", &json!({"topics": all})).await?;
        if let (Some(gap), Some(after)) = (gap, resume_from) {
            let (replay, missing) = replay(&self.services, &self.jobs, &self.listener, after, gap).await;
            for (_, topic, message) in replay.messages {
                self.event(topic, &message).await?;
            }
            if let Some(missing) = missing {
                self.say("gap", &missing).await?;
            }
        }
        Ok(())
    }

    /// The library wants a value of its own for each client: this way costs more than `/ws` does.
    async fn event(&self, topic: Topic, message: &[u8]) -> Result<(), Gone> {
        match serde_json::from_slice::<Value>(message) {
            Ok(value) => self.say(topic.name(), &value).await,
            Err(_) => Ok(()),
        }
    }

    /// Puts a packet where the client takes it from; waits while there is no room.
    async fn say(&self, name: &str, value: &Value) -> Result<(), Gone> {
        let begun = Instant::now();
        while self.socket.emit(name, value).is_err() {
            if !self.socket.connected() || begun.elapsed() > SEND_TIMEOUT {
                return Err(Gone);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }
}

fn read_subscription(value: Value) -> Result<(Topics, Subscription), String> {
    let wanted: Subscription = serde_json::from_value(value).map_err(|error| error.to_string())?;
    Ok((read_topics(&wanted.topics)?, wanted))
}
