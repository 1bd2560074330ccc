//! What happens, over WebSockets and server-sent events: who hears it, from where on, and until when.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::rig::{Daemon, Options, PASSWORD, clock};
use controlplane::api::Limits;
use controlplane::services::auth::Settings as AuthSettings;
use controlplane::services::auth::role::Role;
use controlplane::services::live::{Bounds, Draft, Facts, Topic};
use dataplane::control::{DropRecord, Event, Origin, TransportFields};
use dataplane::flow::Decision;
use dataplane::parse::{Addr, Mac};
use dataplane::verdict::Reason;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};

/// Longer than anything here should take.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn drop_of(last: u8, port: u16) -> Event {
    Event::Drop(DropRecord {
        time: clock().wall,
        origin: Origin::default(),
        reason: Reason::PolicyDrop,
        rejected: false,
        count: 1,
        in_port: 0,
        len_bytes: 60,
        macs: (Mac([2; 6]), Mac([3; 6])),
        vlans: (0, 0),
        src: Some((Addr::v4([10, 0, 0, last]), 40_000)),
        dst: Some((Addr::v4([192, 0, 2, 7]), port)),
        protocol: 17,
        ip: None,
        transport: TransportFields::None,
        flow_id: u64::from(last),
        decision: Decision {
            policy_version: 1,
            policy_index: u32::MAX,
            user: None,
            reason: Some(Reason::PolicyDrop),
        },
    })
}

/// A client of `/ws`.
pub(crate) struct Ws {
    runtime: Runtime,
    stream: WebSocketStream<tokio::net::TcpStream>,
}

impl Ws {
    pub(crate) fn open(
        daemon: &Daemon,
        query: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut request = format!("ws://{}/ws{query}", daemon.tcp()).into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let opened = runtime.block_on(async {
            let stream = tokio::net::TcpStream::connect(daemon.tcp()).await.unwrap();
            tokio_tungstenite::client_async(request, stream).await
        });
        opened.map(|(stream, _)| Self { runtime, stream })
    }

    pub(crate) fn with_token(daemon: &Daemon, token: &str) -> Self {
        let mut ws = Self::open(daemon, "", &[("authorization", &format!("Bearer {token}"))]).unwrap();
        assert_eq!(ws.next()["type"], "welcome");
        ws
    }

    pub(crate) fn say(&mut self, value: &Value) {
        self.runtime.block_on(self.stream.send(Message::text(value.to_string()))).unwrap();
    }

    fn message(&mut self) -> Option<Message> {
        let next = async { tokio::time::timeout(PATIENCE, self.stream.next()).await };
        self.runtime.block_on(next).expect("something comes in time").and_then(Result::ok)
    }

    /// The next message that is text.
    pub(crate) fn next(&mut self) -> Value {
        loop {
            match self.message().expect("it is open") {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Close(frame) => panic!("closed: {frame:?}"),
                _ => {}
            }
        }
    }

    /// The next one of this type; others are passed over.
    pub(crate) fn next_of(&mut self, kind: &str) -> Value {
        loop {
            let value = self.next();
            if value["type"] == kind {
                return value;
            }
        }
    }

    /// The close code, after whatever comes before it.
    fn close_code(&mut self) -> u16 {
        loop {
            if let Message::Close(frame) = self.message().expect("a close frame comes before the end") {
                return frame.unwrap().code.into();
            }
        }
    }

    #[expect(clippy::needless_pass_by_value, reason = "tests write it in place")]
    pub(crate) fn subscribe(&mut self, more: Value) -> Value {
        let mut message = json!({"type": "subscribe"});
        message.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.say(&message);
        self.next()
    }
}

/// An account of `role`, logged in: its token, session and refresh token.
pub(crate) fn login_as(daemon: &Daemon, name: &str, role: Role) -> Value {
    let account = json!({"username": name, "role": role, "password": PASSWORD});
    assert_eq!(daemon.over_unix("POST", "/admin/users", &account.to_string()).status, 201);
    let body = json!({"username": name, "password": PASSWORD, "token_form": "reference"});
    daemon.as_anyone("POST", "/auth/login", &body.to_string()).json()
}

fn status_of(error: Error) -> u16 {
    match error {
        Error::Http(response) => response.status().as_u16(),
        other => panic!("{other}"),
    }
}

#[test]
fn what_a_worker_tells_is_heard_by_topic_and_filter() {
    let daemon = Daemon::start(Options::default());
    let mut ws = Ws::with_token(&daemon, &daemon.token);
    let done = ws.subscribe(json!({"topics": ["alerts"], "filter": {"ip": "10.0.0.0/30", "port": 53}}));
    assert_eq!(done, json!({"type": "subscribed", "topics": ["alerts"]}));
    daemon.happens(drop_of(9, 53));
    daemon.happens(drop_of(1, 80));
    daemon.happens(drop_of(2, 53));
    let told = ws.next();
    assert_eq!((&told["type"], &told["topic"]), (&json!("event"), &json!("alerts")), "{told}");
    let event = &told["event"];
    assert_eq!((&event["event_type"], &event["src_ip"]), (&json!("drop"), &json!("10.0.0.2")), "{event}");
    assert_eq!(event["jarvis"]["reason"], "policy_drop");
    // Traffic comes by itself.
    ws.say(&json!({"type": "unsubscribe", "topics": ["alerts"]}));
    assert_eq!(ws.next(), json!({"type": "unsubscribed", "topics": []}));
    ws.subscribe(json!({"topics": ["traffic"]}));
    let told = ws.next();
    assert_eq!((&told["topic"], &told["event"]["traffic"]["received_pps"]), (&json!("traffic"), &json!(0)));
    ws.say(&json!({"type": "ping"}));
    assert_eq!(ws.next_of("pong"), json!({"type": "pong"}));
}

#[test]
fn changes_are_told_and_what_concerns_accounts_only_to_who_reads_the_audit() {
    let daemon = Daemon::start(Options::default());
    let operator = login_as(&daemon, "otto", Role::Operator);
    let mut admin = Ws::with_token(&daemon, &daemon.token);
    let mut operator = Ws::with_token(&daemon, operator["access_token"].as_str().unwrap());
    for ws in [&mut admin, &mut operator] {
        ws.subscribe(json!({"topics": ["system", "policy"]}));
    }
    let wrong = json!({"username": "otto", "password": "none of the house"});
    daemon.as_anyone("POST", "/auth/login", &wrong.to_string()).problem(401, "invalid_credentials");
    daemon.over_tcp("POST", "/admin/block", r#"{"prefixes": ["198.51.100.0/24"]}"#);
    daemon.over_tcp("POST", "/policy", r#"{"policy_id": "p-new", "action": "drop"}"#);
    let login = admin.next();
    assert_eq!(login["event"]["jarvis"]["change"], "auth.login", "{login}");
    assert_eq!(login["event"]["jarvis"]["outcome"], "invalid_credentials");
    for ws in [&mut admin, &mut operator] {
        let block = ws.next();
        assert_eq!(block["topic"], "system", "{block}");
        assert_eq!(block["event"]["jarvis"]["change"], "wire.block");
        assert_eq!(block["event"]["jarvis"]["user_id"], "root");
        let policy = ws.next();
        assert_eq!(
            (&policy["topic"], &policy["event"]["jarvis"]["policy_version"]),
            (&json!("policy"), &json!(2))
        );
    }
}

#[test]
fn who_comes_back_goes_on_where_it_was() {
    let daemon = Daemon::start(Options::default());
    let mut ws = Ws::with_token(&daemon, &daemon.token);
    ws.subscribe(json!({"topics": ["alerts"]}));
    daemon.happens(drop_of(1, 53));
    let first = ws.next();
    drop(ws);
    for last in 2..=4 {
        daemon.happens(drop_of(last, 53));
    }
    let mut ws = Ws::with_token(&daemon, &daemon.token);
    ws.subscribe(json!({"topics": ["alerts"], "resume_from": first["id"]}));
    let mut id = first["id"].as_u64().unwrap();
    for last in 2..=4 {
        let told = ws.next();
        assert_eq!(told["event"]["src_ip"], format!("10.0.0.{last}"), "{told}");
        assert!(told["id"].as_u64().unwrap() > id);
        id = told["id"].as_u64().unwrap();
    }
    // What is not there any more is said to be missing.
    let mut ws = Ws::with_token(&daemon, &daemon.token);
    ws.subscribe(json!({"topics": ["alerts"], "resume_from": 17}));
    let gap = ws.next_of("gap");
    assert_eq!((&gap["topics"], &gap["after"]), (&json!(["alerts"]), &json!(17)), "{gap}");
}

#[test]
fn faults_are_told_and_the_connection_goes_on() {
    let daemon = Daemon::start(Options::default());
    let mut ws = Ws::with_token(&daemon, &daemon.token);
    for (said, code) in [
        (json!({"type": "subscribe", "topics": ["forensics"]}), "invalid_parameter"),
        (json!({"type": "subscribe", "topics": []}), "invalid_parameter"),
        (json!({"type": "subscribe", "topics": ["alerts"], "filter": {"prot": "tcp"}}), "invalid_body"),
        (json!({"type": "subscribe", "topics": ["alerts"], "filter": {"ip": "ten"}}), "invalid_body"),
        (json!({"type": "shout"}), "invalid_body"),
        (json!([1]), "invalid_body"),
        (json!({"type": "auth", "token": "none"}), "invalid_token"),
    ] {
        ws.say(&said);
        let error = ws.next();
        assert_eq!((&error["type"], &error["code"]), (&json!("error"), &json!(code)), "{said}: {error}");
    }
    ws.say(&json!({"type": "subscribe", "topics": ["forensics"]}));
    assert!(ws.next()["detail"].as_str().unwrap().contains("alerts, flows"));
    // One who says too much is closed.
    for _ in 0..60 {
        let _ = ws.runtime.block_on(ws.stream.send(Message::text("{}")));
    }
    assert_eq!(ws.close_code(), 1008);
}

#[test]
fn each_topic_takes_its_permission() {
    let daemon = Daemon::start(Options::default());
    for role in Role::ALL {
        let tokens = login_as(&daemon, role.name(), *role);
        let token = tokens["access_token"].as_str().unwrap();
        let listens = role.may(controlplane::services::auth::role::Permission::EventsRead);
        let opened = Ws::open(&daemon, "", &[("authorization", &format!("Bearer {token}"))]);
        if !listens {
            assert_eq!(status_of(opened.err().unwrap()), 403, "{role}");
            continue;
        }
        let mut ws = opened.unwrap();
        let welcome = ws.next();
        for topic in Topic::ALL {
            let may = role.may(topic.needs());
            assert_eq!(welcome["topics"].as_array().unwrap().contains(&json!(topic.name())), may);
            let answer = ws.subscribe(json!({"topics": [topic.name()]}));
            assert_eq!(answer["type"] == "subscribed", may, "{role} {topic}: {answer}");
            let path = format!("/events?topics={topic}");
            if !may {
                assert_eq!(answer["code"], "forbidden");
                daemon.with_token(token, "GET", &path, "").problem(403, "forbidden");
            }
        }
    }
}

#[test]
fn a_ticket_opens_one_path_once_from_one_place() {
    let daemon = Daemon::start(Options::default());
    let ticket = |topic: &str| {
        let answer = daemon.over_tcp("POST", "/auth/ticket", &json!({"topic": topic}).to_string());
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["ticket"].as_str().unwrap().to_owned()
    };
    let once = ticket("/ws");
    let mut ws = Ws::open(&daemon, &format!("?ticket={once}"), &[]).unwrap();
    assert_eq!(ws.next()["username"], "root");
    let refused = |query: &str| status_of(Ws::open(&daemon, query, &[]).err().unwrap());
    assert_eq!(refused(&format!("?ticket={once}")), 401, "it was used");
    assert_eq!(refused(&format!("?ticket={}", ticket("/events"))), 401, "it is for another path");
    let of_unix = daemon.over_unix("POST", "/auth/ticket", r#"{"topic": "/ws"}"#).json();
    let of_unix = of_unix["ticket"].as_str().unwrap();
    assert_eq!(refused(&format!("?ticket={of_unix}")), 401, "it was given to somebody else");
    assert_eq!(refused(&format!("?token={}", daemon.token)), 401, "a token does not belong into an address");
    assert_eq!(refused(""), 401);
    let other = daemon.as_anyone("GET", &format!("/telemetry?ticket={}", ticket("/ws")), "");
    other.problem(401, "unauthenticated");
    let answer = daemon.over_tcp("POST", "/auth/ticket", r#"{"topic": "/telemetry"}"#);
    let problem = answer.problem(400, "invalid_body");
    assert!(problem["errors"][0]["detail"].as_str().unwrap().contains("/ws, /events"), "{problem}");
    let analyst = login_as(&daemon, "emil", Role::Employee);
    let token = analyst["access_token"].as_str().unwrap();
    daemon.with_token(token, "POST", "/auth/ticket", r#"{"topic": "/ws"}"#).problem(403, "forbidden");
    daemon.over_tcp("GET", "/ws", "").problem(426, "upgrade_required");
}

#[test]
fn pages_of_other_origins_may_not_connect() {
    let daemon = Daemon::start(Options::default());
    let bearer = format!("Bearer {}", daemon.token);
    let from =
        |origin: &str| Ws::open(&daemon, "", &[("authorization", bearer.as_str()), ("origin", origin)]);
    assert_eq!(status_of(from("https://evil.example").err().unwrap()), 403);
    assert_eq!(status_of(from("null").err().unwrap()), 403);
    assert!(from("https://console.example").is_ok());
    assert!(from(&format!("http://{}", daemon.tcp())).is_ok());
}

#[test]
fn a_token_that_expires_is_announced_and_may_be_renewed() {
    let auth = AuthSettings { access_ttl_s: 4, ..AuthSettings::default() };
    let daemon = Daemon::start(Options { auth, ..Options::default() });
    let tokens = login_as(&daemon, "ada", Role::Analyst);
    let mut ws = Ws::with_token(&daemon, tokens["access_token"].as_str().unwrap());
    let expiring = ws.next_of("expiring");
    assert!(expiring["in_s"].as_u64().unwrap() <= 4);
    let other = login_as(&daemon, "bob", Role::Analyst);
    ws.say(&json!({"type": "auth", "token": other["access_token"]}));
    assert_eq!(ws.next()["code"], "forbidden", "another account's token changes nothing");
    std::thread::sleep(Duration::from_secs(2));
    let refresh = json!({"refresh_token": tokens["refresh_token"]});
    let next = daemon.as_anyone("POST", "/auth/refresh", &refresh.to_string()).json();
    ws.say(&json!({"type": "auth", "token": next["access_token"]}));
    assert_eq!(ws.next_of("authenticated")["type"], "authenticated");
    let renewed = Instant::now();
    let closing = ws.next_of("closing");
    assert_eq!(closing["code"], "token_expired");
    assert!(renewed.elapsed() > Duration::from_millis(2_500), "the first token's end did not end it");
    assert_eq!(ws.close_code(), 1008);
}

#[test]
fn a_session_that_ends_ends_what_listens() {
    let daemon = Daemon::start(Options::default());
    let tokens = login_as(&daemon, "ada", Role::Analyst);
    let token = tokens["access_token"].as_str().unwrap();
    let mut ws = Ws::with_token(&daemon, token);
    let mut sse = Sse::open(&daemon, token, "topics=alerts", "");
    assert_eq!(daemon.with_token(token, "POST", "/auth/logout", "").status, 204);
    let ended = Instant::now();
    assert_eq!(ws.next_of("closing")["code"], "session_ended");
    assert_eq!(ws.close_code(), 1008);
    assert_eq!(sse.next_of("closing").data["code"], "session_ended");
    assert!(ended.elapsed() < Duration::from_secs(5), "within seconds");
    assert!(sse.ends());
}

#[test]
fn a_server_that_stops_says_so() {
    let mut daemon = Daemon::start(Options::default());
    let mut ws = Ws::with_token(&daemon, &daemon.token);
    let mut sse = Sse::open(&daemon, &daemon.token, "topics=alerts", "");
    let server = daemon.server.take().unwrap();
    let stopping = std::thread::spawn(move || server.stop());
    assert_eq!(ws.next_of("closing")["code"], "stopping");
    assert_eq!(ws.close_code(), 1001);
    assert_eq!(sse.next_of("closing").data["code"], "stopping");
    drop((ws, sse));
    stopping.join().unwrap();
}

#[test]
fn who_does_not_keep_up_is_told_what_it_missed_and_let_go() {
    let daemon = Daemon::start(Options::default());
    let mut slow = Ws::with_token(&daemon, &daemon.token);
    let mut fast = Ws::with_token(&daemon, &daemon.token);
    for ws in [&mut slow, &mut fast] {
        ws.subscribe(json!({"topics": ["protocols"]}));
    }
    // More than the ring and both ends' socket buffers hold. The fast one reads meanwhile.
    let padding = "x".repeat(1_000);
    let (rounds, each) = (120_u64, 1_000_u64);
    let mut last = 0;
    let mut slowest = Duration::ZERO;
    for round in 0..rounds {
        let events: Vec<Vec<u8>> = (0..each)
            .map(|at| json!({"number": round * each + at + 1, "padding": padding}).to_string().into_bytes())
            .collect();
        let begun = Instant::now();
        let drafts = events.iter().map(|event| Draft {
            topic: Topic::Protocols,
            is_private: false,
            facts: Facts { event_type: "http".into(), ..Facts::default() },
            event,
        });
        daemon.live.publish(drafts, None);
        slowest = slowest.max(begun.elapsed());
        for _ in 0..each {
            let number = fast.next()["event"]["number"].as_u64().unwrap();
            assert_eq!(number, last + 1, "one who reads misses nothing");
            last = number;
        }
    }
    assert!(slowest < Duration::from_secs(1), "publishing waits for nobody: {slowest:?}");
    let mut seen = 0;
    let missed = loop {
        let value = slow.next();
        match value["type"].as_str().unwrap() {
            "event" => {
                seen += 1;
                assert_eq!(value["event"]["number"], seen, "in order and without holes up to the end");
            }
            "dropped" => break value["missed"].as_u64().unwrap(),
            other => panic!("{other}"),
        }
    };
    assert!(
        missed > 0 && seen + missed < rounds * each,
        "{seen} {missed}: what is still in the ring is neither"
    );
    assert_eq!(slow.close_code(), 1013);
    let live = daemon.over_tcp("GET", "/telemetry", "").json()["live"].clone();
    assert_eq!((&live["dropped_slow"], &live["missed"]), (&json!(1), &json!(missed)), "{live}");
}

#[test]
fn listeners_are_bounded_in_all_and_by_account() {
    let bounds = Bounds { listeners_max: 5, of_account_max: 3 };
    let daemon = Daemon::start(Options { bounds, ..Options::default() });
    let mut open: Vec<Ws> = (0..3).map(|_| Ws::with_token(&daemon, &daemon.token)).collect();
    let bearer = format!("Bearer {}", daemon.token);
    let refused = Ws::open(&daemon, "", &[("authorization", bearer.as_str())]);
    assert_eq!(status_of(refused.err().unwrap()), 503);
    let ada = login_as(&daemon, "ada", Role::Analyst);
    let token = ada["access_token"].as_str().unwrap();
    open.extend((0..2).map(|_| Ws::with_token(&daemon, token)));
    daemon.with_token(token, "GET", "/events?topics=alerts", "").problem(503, "busy");
    open.clear();
    let deadline = Instant::now() + PATIENCE;
    while daemon.live.totals().listeners > 0 {
        assert!(Instant::now() < deadline, "places are given back");
        std::thread::sleep(Duration::from_millis(10));
    }
    Ws::with_token(&daemon, token);
}

/// A server-sent event.
#[derive(Debug)]
pub(crate) struct SseEvent {
    pub(crate) name: String,
    pub(crate) id: Option<u64>,
    pub(crate) data: Value,
}

/// A client of `/events`.
pub(crate) struct Sse {
    lines: BufReader<Box<dyn Read>>,
}

impl Sse {
    pub(crate) fn open(daemon: &Daemon, token: &str, query: &str, headers: &str) -> Self {
        let mut stream = TcpStream::connect(daemon.tcp()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = format!(
            "GET /events?{query} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {token}\r\n{headers}\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        Self::over(stream)
    }

    pub(crate) fn over(stream: impl Read + 'static) -> Self {
        let mut lines = BufReader::new(Box::new(stream) as Box<dyn Read>);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(lines.read_line(&mut head).unwrap() > 0, "{head}");
        }
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert!(head.contains("text/event-stream"), "{head}");
        Self { lines }
    }

    pub(crate) fn next(&mut self) -> SseEvent {
        let (mut name, mut id, mut data) = (None, None, None);
        loop {
            let mut line = String::new();
            assert!(self.lines.read_line(&mut line).unwrap() > 0, "it is open");
            // Sizes of chunks are no fields and are passed over.
            let line = line.trim_end();
            if let Some(text) = line.strip_prefix("event: ") {
                name = Some(text.to_owned());
            } else if let Some(text) = line.strip_prefix("id: ") {
                id = text.parse().ok();
            } else if let Some(text) = line.strip_prefix("data: ") {
                data = serde_json::from_str(text).ok();
            } else if let (true, Some(name), Some(data)) = (line.is_empty(), &name, data.take()) {
                return SseEvent { name: name.clone(), id, data };
            }
        }
    }

    fn next_of(&mut self, name: &str) -> SseEvent {
        loop {
            let event = self.next();
            if event.name == name {
                return event;
            }
        }
    }

    fn ends(&mut self) -> bool {
        let mut rest = Vec::new();
        self.lines.read_to_end(&mut rest).is_ok()
    }
}

#[test]
fn server_sent_events_have_topics_filters_and_go_on() {
    let daemon = Daemon::start(Options::default());
    let mut sse = Sse::open(&daemon, &daemon.token, "topics=alerts,system&ip=10.0.0.2", "");
    for last in 1..=2 {
        daemon.happens(drop_of(last, 53));
    }
    let first = sse.next();
    assert_eq!((first.name.as_str(), &first.data["src_ip"]), ("alerts", &json!("10.0.0.2")));
    drop(sse);
    daemon.happens(drop_of(2, 80));
    let resume = format!("last-event-id: {}\r\n", first.id.unwrap());
    let mut sse = Sse::open(&daemon, &daemon.token, "topics=alerts&ip=10.0.0.2", &resume);
    let next = sse.next();
    assert_eq!((next.name.as_str(), &next.data["dest_port"]), ("alerts", &json!(80)));
    assert!(next.id > first.id);
    let mut sse = Sse::open(&daemon, &daemon.token, "topics=alerts&last_event_id=1", "");
    assert_eq!(sse.next().name, "gap");
    // A ticket, for browsers.
    let ticket = daemon.over_tcp("POST", "/auth/ticket", r#"{"topic": "/events"}"#).json();
    let path = format!("/events?topics=traffic&ticket={}", ticket["ticket"].as_str().unwrap());
    let mut stream = TcpStream::connect(daemon.tcp()).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n").unwrap();
    assert_eq!(Sse::over(stream).next().name, "traffic");
    for (query, parameter) in [("topics=forensics", "topics"), ("topics=alerts&prot=tcp", "prot")] {
        let problem =
            daemon.over_tcp("GET", &format!("/events?{query}"), "").problem(400, "invalid_parameter");
        assert_eq!(problem["errors"][0]["parameter"], parameter, "{problem}");
    }
}

#[test]
fn a_connection_that_gets_too_old_says_so() {
    let limits = Limits { connection_age_max: Duration::from_secs(1), rates: None, ..Limits::default() };
    let daemon = Daemon::start(Options { limits, ..Options::default() });
    let mut ws = Ws::with_token(&daemon, &daemon.token);
    let mut sse = Sse::open(&daemon, &daemon.token, "topics=alerts", "");
    assert_eq!(sse.next_of("closing").data["code"], "connection_age");
    assert!(sse.ends());
    // A WebSocket lives as long as its token.
    ws.subscribe(json!({"topics": ["alerts"]}));
    daemon.happens(drop_of(1, 53));
    assert_eq!(ws.next()["topic"], "alerts");
}

/// Resident memory of this process, KiB.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn many_who_listen_to_little_cost_little() {
    // In a process of its own: the memory of other tests is not theirs.
    const ALONE: &str = "JARVIS_TEST_ALONE";
    if std::env::var_os(ALONE).is_none() {
        let this = std::env::current_exe().unwrap();
        let name = "live::many_who_listen_to_little_cost_little";
        let ran = std::process::Command::new(this)
            .args(["--exact", name, "--nocapture"])
            .env(ALONE, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&ran.stderr);
        said.lines().filter(|line| line.contains("KiB each")).for_each(|line| eprintln!("{line}"));
        assert!(ran.status.success(), "{said}{}", String::from_utf8_lossy(&ran.stdout));
        return;
    }
    let count = std::env::var("JARVIS_LISTENERS").ok().and_then(|text| text.parse().ok()).unwrap_or(2_000);
    let bounds = Bounds { listeners_max: count, of_account_max: count };
    let daemon = Daemon::start(Options { bounds, ..Options::default() });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let open = || async {
        // Raw sockets, so that what is measured is the server's side.
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = tokio::net::TcpStream::connect(daemon.tcp()).await.unwrap();
        let head = format!(
            "GET /ws HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n{}\r\n",
            daemon.authorization()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let text = br#"{"type":"subscribe","topics":["alerts"]}"#;
        let mut frame = vec![0x81, 0x80 | text.len() as u8, 0, 0, 0, 0];
        frame.extend_from_slice(text);
        stream.write_all(&frame).await.unwrap();
        let mut got = Vec::new();
        while !got.windows(12).any(|window| window == b"\"subscribed\"") {
            assert!(stream.read_buf(&mut got).await.unwrap() > 0, "{}", String::from_utf8_lossy(&got));
        }
        stream
    };
    let (before, mut all) = runtime.block_on(async {
        let mut all = vec![open().await];
        let before = resident_kib();
        for _ in 1..count {
            all.push(open().await);
        }
        (before, all)
    });
    let each_kib = (resident_kib() - before) as f64 / count as f64;
    eprintln!("{count} listeners: {each_kib:.1} KiB each");
    assert!(each_kib < 24.0, "{each_kib} KiB a listener");
    // An event of another topic wakes nobody; one of theirs comes to all of them.
    daemon.happens(drop_of(1, 53));
    runtime.block_on(async {
        use tokio::io::AsyncReadExt;
        for stream in &mut all {
            let mut got = Vec::new();
            while !got.windows(8).any(|window| window == b"10.0.0.1") {
                assert!(
                    tokio::time::timeout(PATIENCE, stream.read_buf(&mut got)).await.unwrap().unwrap() > 0
                );
            }
        }
    });
}
