//! `/ws`: topics over a WebSocket, in JSON messages.
//!
//! ```text
//! client                                                     server
//!                                                            {"type":"welcome","topics":[...],"last_id":N,"expires_s":S}
//! {"type":"subscribe","topics":["alerts"],"filter":{...},
//!  "resume_from":N}                                          {"type":"subscribed","topics":["alerts"]}
//!                                                            {"type":"event","topic":"alerts","id":N,"event":{...}}
//! {"type":"auth","token":"..."}                              {"type":"authenticated","expires_s":S}
//! {"type":"unsubscribe","topics":[...]}, {"type":"ping"}     {"type":"unsubscribed",...}, {"type":"pong"}
//!                                                            {"type":"gap",...}, {"type":"expiring","in_s":60}
//!                                                            {"type":"dropped","missed":N}, {"type":"closing","code":...}
//! ```
//!
//! Close codes (RFC 6455 7.4, IANA): 1001 the daemon stops, 1008 token or session ended, 1013 the client does not keep up.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::http::HeaderMap;
use axum::response::Response;
use futures_util::SinkExt;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{EXPIRY_NOTICE_S, Origins, crowded, permitted, refused, replay};
use crate::api::guard::Caller;
use crate::api::jobs::Jobs;
use crate::api::problem::{Code, Problem};
use crate::api::request::Parameters;
use crate::services::Services;
use crate::services::auth::role::Permission;
use crate::services::live::{End, Filter, Listener, Taken, Topic, Topics};

/// Longest message that a client may send: a token of 10.6 KB fits.
const MESSAGE_BYTES_MAX: usize = 32 * 1_024;

/// What a connection reads at once; most send a few hundred bytes in their life.
const READ_BYTES: usize = 2 * 1_024;

/// What waits to be written is sent from here on.
const WRITE_BYTES: usize = 16 * 1_024;

/// More than this does not wait: a batch of the largest events.
const WRITE_BYTES_MAX: usize = 8 << 20;

/// How long a client may take to read what it is sent.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);

/// How often it is asked whether it is there, and how long it may be silent.
const PING_EVERY: Duration = Duration::from_secs(30);
const SILENCE_MAX: Duration = Duration::from_secs(90);

/// Messages that a client may send a second; more ends the connection.
const MESSAGES_PER_S_MAX: u32 = 50;

/// The upgrade, for who may listen to something.
pub(in crate::api) async fn open(
    State(services): State<Arc<Services>>,
    State(jobs): State<Arc<Jobs>>,
    State(origins): State<Origins>,
    caller: Caller,
    headers: HeaderMap,
    mut parameters: Parameters,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    parameters.take("ticket", "a ticket", |_ticket| Some(()));
    parameters.finish()?;
    let upgrade =
        upgrade.map_err(|rejection| Problem::new(Code::UpgradeRequired, format!("{rejection}.")))?;
    origins.admit(&headers)?;
    let listener = services.live().listen(caller.0).map_err(crowded)?;
    Ok(upgrade
        .max_message_size(MESSAGE_BYTES_MAX)
        .max_frame_size(MESSAGE_BYTES_MAX)
        .read_buffer_size(READ_BYTES)
        .write_buffer_size(WRITE_BYTES)
        .max_write_buffer_size(WRITE_BYTES_MAX)
        .on_upgrade(move |socket| async move {
            let mut connection = Connection::new(socket, listener, services, jobs);
            if let Some(farewell) = connection.serve().await {
                connection.close(farewell).await;
            }
        }))
}

/// What a client says.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
enum Said {
    Subscribe {
        topics: Vec<String>,
        #[serde(default)]
        filter: Filter,
        #[serde(default)]
        resume_from: Option<u64>,
    },
    Unsubscribe {
        topics: Vec<String>,
    },
    Auth {
        token: String,
    },
    Ping,
}

/// Why a connection is closed from this side.
struct Farewell {
    code: u16,
    reason: &'static str,
    notice: Value,
}

impl Farewell {
    fn of(end: End) -> Self {
        let code = if end == End::Stopping { 1001 } else { 1008 };
        let detail = match end {
            End::TokenExpired => "the token has expired; log in or refresh, and connect again",
            End::SessionEnded => "the session has ended; log in again",
            End::Stopping => "the daemon stops; connect again and resume from the last id",
        };
        Self {
            code,
            reason: end.name(),
            notice: json!({"type": "closing", "code": end.name(), "detail": detail}),
        }
    }

    fn slow(missed: u64) -> Self {
        Self { code: 1013, reason: "too_slow", notice: json!({"type": "dropped", "missed": missed}) }
    }

    fn chatty() -> Self {
        let detail = format!("more than {MESSAGES_PER_S_MAX} messages a second");
        let notice = json!({"type": "closing", "code": "rate_limited", "detail": detail});
        Self { code: 1008, reason: "rate_limited", notice }
    }
}

/// The client went away, or does not read: nothing can be said to it.
struct Gone;

type Sent = Result<(), Gone>;

struct Connection {
    socket: WebSocket,
    listener: Listener,
    services: Arc<Services>,
    jobs: Arc<Jobs>,
    heard: Instant,
    pinged: Instant,
    /// Messages of this second.
    messages: (Instant, u32),
}

impl Connection {
    fn new(socket: WebSocket, listener: Listener, services: Arc<Services>, jobs: Arc<Jobs>) -> Self {
        let now = Instant::now();
        Self { socket, listener, services, jobs, heard: now, pinged: now, messages: (now, 0) }
    }

    /// Until one side has enough; `None`: the client is gone.
    async fn serve(&mut self) -> Option<Farewell> {
        let identity = self.listener.subscriber().identity();
        let welcome = json!({
            "type": "welcome",
            "username": identity.account.username,
            "topics": permitted(&identity).names(),
            "expires_s": identity.session.is_some().then_some(identity.expires_s),
            "last_id": self.services.live().last_id(),
        });
        self.say(&welcome).await.ok()?;
        let subscriber = Arc::clone(self.listener.subscriber());
        loop {
            if let Some(end) = subscriber.end() {
                return Some(Farewell::of(end));
            }
            let now_s = self.services.now_s();
            if subscriber.is_to_be_warned(now_s, EXPIRY_NOTICE_S) {
                let in_s = subscriber.expires_s().saturating_sub(now_s);
                self.say(&json!({"type": "expiring", "in_s": in_s})).await.ok()?;
            }
            let Taken { told, missed, has_more } = self.listener.take();
            if !told.is_empty() {
                let messages = told.iter().map(|one| one.message.clone());
                self.send_all(messages.filter_map(|text| Utf8Bytes::try_from(text).ok())).await.ok()?;
            }
            if missed > 0 {
                self.services.live().dropped_slow(missed);
                return Some(Farewell::slow(missed));
            }
            if has_more {
                // Others have their turn, and what the client says is heard.
                tokio::task::yield_now().await;
                subscriber.ring();
            }
            let next_ping = self.pinged + PING_EVERY;
            tokio::select! {
                received = self.socket.recv() => match received {
                    Some(Ok(message)) => {
                        if let Some(farewell) = self.hear(message).await.ok()? {
                            return Some(farewell);
                        }
                    }
                    Some(Err(_)) | None => return None,
                },
                () = subscriber.rung() => {}
                () = tokio::time::sleep_until(next_ping.into()) => {
                    if self.heard.elapsed() > SILENCE_MAX {
                        return None;
                    }
                    self.pinged = Instant::now();
                    self.send(Message::Ping(Vec::new().into())).await.ok()?;
                }
            }
        }
    }

    async fn hear(&mut self, message: Message) -> Result<Option<Farewell>, Gone> {
        let now = Instant::now();
        self.heard = now;
        let (since, count) = &mut self.messages;
        if now.duration_since(*since) >= Duration::from_secs(1) {
            (*since, *count) = (now, 0);
        }
        *count += 1;
        if *count > MESSAGES_PER_S_MAX {
            return Ok(Some(Farewell::chatty()));
        }
        let text = match message {
            Message::Text(text) => text,
            Message::Binary(_) => {
                self.complain(&Problem::new(Code::InvalidBody, "Messages are text.")).await?;
                return Ok(None);
            }
            Message::Close(_) => return Err(Gone),
            // Pongs are sent by the library.
            Message::Ping(_) | Message::Pong(_) => return Ok(None),
        };
        let done = match serde_json::from_str::<Said>(&text) {
            Ok(Said::Subscribe { topics, filter, resume_from }) => {
                self.subscribe(&topics, &filter, resume_from).await?
            }
            Ok(Said::Unsubscribe { topics }) => match read_topics(&topics) {
                Ok(topics) => {
                    self.listener.remove(topics);
                    self.say(&json!({"type": "unsubscribed", "topics": self.now_listening()})).await?;
                    Ok(())
                }
                Err(problem) => Err(problem),
            },
            Ok(Said::Auth { token }) => self.authenticate(&token).await?,
            Ok(Said::Ping) => {
                self.say(&json!({"type": "pong"})).await?;
                Ok(())
            }
            Err(error) => {
                Err(Problem::new(Code::InvalidBody, format!("The message is not understood: {error}.")))
            }
        };
        if let Err(problem) = done {
            self.complain(&problem).await?;
        }
        Ok(None)
    }

    async fn subscribe(
        &mut self,
        topics: &[String],
        filter: &Filter,
        resume_from: Option<u64>,
    ) -> Result<Result<(), Problem>, Gone> {
        let topics = match read_topics(topics) {
            Ok(topics) => topics,
            Err(problem) => return Ok(Err(problem)),
        };
        if let Err(problem) = refused(&self.listener.subscriber().identity(), topics) {
            return Ok(Err(problem));
        }
        let gap = self.listener.add(topics, filter, resume_from);
        self.say(&json!({"type": "subscribed", "topics": self.now_listening()})).await?;
        if let (Some(gap), Some(after)) = (gap, resume_from) {
            let (replay, missing) = replay(&self.services, &self.jobs, &self.listener, after, gap).await;
            let texts = replay.messages.into_iter().filter_map(|(.., text)| Utf8Bytes::try_from(text).ok());
            self.send_all(texts).await?;
            if let Some(Value::Object(mut missing)) = missing {
                missing.insert("type".to_owned(), "gap".into());
                self.say(&Value::Object(missing)).await?;
            }
        }
        Ok(Ok(()))
    }

    async fn authenticate(&mut self, token: &str) -> Result<Result<(), Problem>, Gone> {
        let identity = match self.services.auth().identify(token, self.services.now_s()) {
            Ok(identity) => identity,
            Err(error) => return Ok(Err(error.into())),
        };
        if let Err(error) = identity.may(Permission::EventsRead) {
            return Ok(Err(error.into()));
        }
        let expires_s = identity.expires_s;
        if !self.listener.subscriber().renew(identity) {
            let detail = "The token is another account's; connect anew with it.";
            return Ok(Err(Problem::new(Code::Forbidden, detail)));
        }
        self.say(&json!({"type": "authenticated", "expires_s": expires_s})).await?;
        Ok(Ok(()))
    }

    fn now_listening(&self) -> Vec<&'static str> {
        self.listener.subscriber().topics().names()
    }

    async fn complain(&mut self, problem: &Problem) -> Sent {
        let notice = json!({"type": "error", "code": problem.code().as_str(), "detail": problem.detail()});
        self.say(&notice).await
    }

    async fn say(&mut self, notice: &Value) -> Sent {
        self.send(Message::Text(notice.to_string().into())).await
    }

    async fn send(&mut self, message: Message) -> Sent {
        let sent = tokio::time::timeout(SEND_TIMEOUT, self.socket.send(message)).await;
        if matches!(sent, Ok(Ok(()))) { Ok(()) } else { Err(Gone) }
    }

    /// Many messages, with one flush.
    async fn send_all(&mut self, texts: impl Iterator<Item = Utf8Bytes>) -> Sent {
        let sending = async {
            for text in texts {
                self.socket.feed(Message::Text(text)).await?;
            }
            self.socket.flush().await
        };
        let sent = tokio::time::timeout(SEND_TIMEOUT, sending).await;
        if matches!(sent, Ok(Ok(()))) { Ok(()) } else { Err(Gone) }
    }

    /// Says why, and closes.
    async fn close(&mut self, farewell: Farewell) {
        if self.say(&farewell.notice).await.is_err() {
            return;
        }
        let frame = CloseFrame { code: farewell.code, reason: Utf8Bytes::from_static(farewell.reason) };
        if self.send(Message::Close(Some(frame))).await.is_ok() {
            // The client's own close, so that it is not reset before it has read ours (RFC 6455 7.1.1).
            let closed = async { while let Some(Ok(_)) = self.socket.recv().await {} };
            let _ = tokio::time::timeout(Duration::from_secs(2), closed).await;
        }
    }
}

fn read_topics(names: &[String]) -> Result<Topics, Problem> {
    let read: Result<Topics, String> = names.iter().map(|name| name.parse::<Topic>()).collect();
    let topics = read.map_err(|error| Problem::new(Code::InvalidParameter, format!("{error}.")))?;
    if topics.is_empty() {
        return Err(Problem::new(Code::InvalidParameter, "Say which topics."));
    }
    Ok(topics)
}
