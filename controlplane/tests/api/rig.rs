//! A daemon without ports: real services, real sockets, and threads that answer the door with real flow tables.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use controlplane::api::{Config, Limits, Server};
use controlplane::services::Stoppable;
use controlplane::services::audit::Settings as AuditSettings;
use controlplane::services::auth::algorithm::Algorithm;
use controlplane::services::auth::key::SigningKey;
use controlplane::services::auth::key_ring::KeyRing;
use controlplane::services::auth::{Auth, Client, KeyOrigin, Keys, Settings as AuthSettings};
use controlplane::services::backup::Backups;
use controlplane::services::classify::Reader;
use controlplane::services::identities::{Ledger, Precedence, Saved};
use controlplane::services::levers::{
    ConfigView, LeverError, Levers, LogLevel, LogLevelView, ReloadOutcome, Reloaded,
};
use controlplane::services::live::{Bounds, Hub, LogKeeping, Recorder, RecorderHandle};
use controlplane::services::policy_commit::CommitHandle;
use controlplane::services::{
    Applications, Audit, EveTypes, EventCounts, EventPump, Identities, Names, Parts, Policies, PolicySources,
    PumpHandle, Services, Several, Subjects,
};
use controlplane::store::sealed::BoxKeyFile;
use controlplane::store::segments::Segments;
use controlplane::store::{Entities, KeyFile, PolicyHistory, Uploads};
use dataplane::control::{
    BlockListError, Event, FlowGauges, PortGauges, Settings, Snapshot, WireControl, WireReading, WorkerDoor,
    door,
};
use dataplane::flow::{FlowConfig, FlowKey, FlowTable};
use dataplane::identity::Table as IdentityTable;
use dataplane::parse::{Addr, LinkType, parse_frame_unverified};
use dataplane::policy::Environment;
use dataplane::time::{Now, Tick, Wall};
use dataplane::verdict::{Counters, Reason};
use ipnet::IpNet;
use serde_json::Value;

/// What a test may choose.
#[derive(Clone, Copy)]
pub(crate) struct Options {
    pub(crate) workers: usize,
    pub(crate) flows_per_worker: u16,
    pub(crate) limits: Limits,
    pub(crate) wire: bool,
    pub(crate) policy: &'static str,
    /// Workers that answer nothing.
    pub(crate) hung: bool,
    pub(crate) audit: AuditSettings,
    /// Whether captures are taken; whoever reads them there finds nothing.
    pub(crate) captures: bool,
    /// Saved policies cannot be read.
    pub(crate) store_is_damaged: bool,
    pub(crate) auth: AuthSettings,
    pub(crate) bounds: Bounds,
    /// Whether events go to the disk.
    pub(crate) records: bool,
    /// A file of rules.
    pub(crate) rules: &'static str,
    /// Whether the first worker has the flow of [`OPERATOR`].
    pub(crate) operator: bool,
    /// Whether who is where is kept in the directory.
    pub(crate) keeps_identities: bool,
    pub(crate) several: Several,
    /// The box's own address on the wire.
    pub(crate) service_ipv4: Option<Addr>,
}

/// A client of the API whose connection crosses the box, and where it is accepted.
pub(crate) const OPERATOR: [&str; 2] = ["10.200.0.1:40000", "192.0.2.50:8000"];

impl Default for Options {
    fn default() -> Self {
        Self {
            workers: 2,
            flows_per_worker: 10,
            limits: Limits { rates: None, ..Limits::default() },
            wire: true,
            policy: POLICY,
            hung: false,
            audit: AuditSettings::default(),
            captures: true,
            store_is_damaged: false,
            auth: AuthSettings::default(),
            bounds: Bounds::default(),
            records: false,
            rules: crate::rules::RULES,
            operator: false,
            keeps_identities: false,
            several: Several::default(),
            service_ipv4: None,
        }
    }
}

pub(crate) const POLICY: &str = r#"{"default_action": "allow", "policies": [
  {"policy_id": "p-web", "name": "No web", "priority": 10, "conditions": {"protocol": "tcp", "dst_port": 80}, "action": "reject"}
]}"#;

pub(crate) struct Daemon {
    pub(crate) server: Option<Server>,
    pub(crate) services: Arc<Services>,
    pub(crate) socket: PathBuf,
    pub(crate) policy_file: PathBuf,
    pub(crate) dir: Home,
    options: Options,
    /// An admin's.
    pub(crate) token: String,
    pub(crate) live: Arc<Hub>,
    /// What the workers' rings would bring.
    pub(crate) pump: Option<PumpHandle>,
    recorder: Option<RecorderHandle>,
    history: Option<Stoppable>,
    commits: Option<CommitHandle>,
    /// Who writes down who is where.
    identity_keeper: Option<Stoppable>,
    events: mpsc::Sender<Event>,
    stop: Arc<AtomicBool>,
    hung: Arc<AtomicBool>,
    workers: Vec<JoinHandle<IdentityTable>>,
}

/// Where a daemon keeps its files.
pub(crate) struct Home {
    path: PathBuf,
    _until_dropped: Option<tempfile::TempDir>,
}

impl Home {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

pub(crate) fn clock() -> Now {
    static START: OnceLock<Instant> = OnceLock::new();
    let tick = START.get_or_init(Instant::now).elapsed().as_nanos() as u64 + 1;
    let wall = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
    Now { tick: Tick(tick), wall: Wall(wall) }
}

impl Daemon {
    pub(crate) fn start(options: Options) -> Self {
        Self::start_with(options, |_config, _dir| {})
    }

    /// The same with changes to the server's configuration; files may be put into the directory.
    pub(crate) fn start_with(options: Options, change: impl FnOnce(&mut Config, &Path)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("policy.json"), options.policy).unwrap();
        Self::run(Home { path: dir.path().to_owned(), _until_dropped: Some(dir) }, options, change)
    }

    /// One whose files are in `dir`, the policy file included.
    pub(crate) fn start_in(dir: &Path, options: Options) -> Self {
        Self::run(Home { path: dir.to_owned(), _until_dropped: None }, options, |_config, _dir| {})
    }

    /// Stops it and starts it with the same files.
    pub(crate) fn restarted(mut self) -> Self {
        let dir = std::mem::replace(&mut self.dir, Home { path: PathBuf::new(), _until_dropped: None });
        let options = self.options;
        drop(self);
        Self::run(dir, options, |_config, _dir| {})
    }

    fn run(dir: Home, options: Options, change: impl FnOnce(&mut Config, &Path)) -> Self {
        let policy_file = dir.path().join("policy.json");
        let store = Arc::new(Entities::open(dir.path().join("test.redb")).unwrap());
        let environment = Environment { service_ipv4: options.service_ipv4, ..Environment::default() };
        let box_key = BoxKeyFile::at(dir.path().join("box.key"), dir.path().join("sealed-under"));
        let box_key = Arc::new(box_key.open_or_make(None).unwrap());
        let mut policies = Policies::new(environment, true, Applications::default());
        let mut identities = Identities::new(options.several, Precedence::default())
            .with_oidc(Some(crate::tokens::provider()));
        if options.keeps_identities {
            let (ledger, error) = Ledger::open(dir.path().join("test.identities.redb"), &box_key).unwrap();
            assert!(error.is_none(), "{error:?}");
            let (saved, error) = Saved::read(Arc::new(ledger));
            assert!(error.is_none(), "{error:?}");
            policies.know(&saved);
            identities = identities.with_saved(saved);
        }
        let sources = PolicySources {
            file: Some(policy_file.clone()),
            embedded: b"{\"default_action\":\"allow\",\"policies\":[]}",
            history: if options.store_is_damaged {
                Err("it is damaged".to_owned())
            } else {
                Ok(PolicyHistory::new(Arc::clone(&store)))
            },
        };
        let set = policies.start(sources, clock().wall.0 / 1_000_000_000).unwrap();
        let first = Snapshot {
            version: u64::from(set.version()),
            policy: Arc::new(set),
            settings: Settings::default(),
            apps: None,
            rules: None,
            shadow: None,
            geography: None,
        };
        let wire: Option<Box<dyn WireControl>> =
            if options.wire { Some(Box::new(MemoryWire::default())) } else { None };
        let (door, inside, receivers) = door(first, options.workers, wire);
        let stop = Arc::new(AtomicBool::new(false));
        let hung = Arc::new(AtomicBool::new(options.hung));
        let door = Arc::new(door);
        let (events, sent) = mpsc::channel();
        let mut sent = Some(sent);
        let workers = inside
            .into_iter()
            .enumerate()
            .map(|(index, door)| {
                let stop = Arc::clone(&stop);
                let (hung, sent) = (Arc::clone(&hung), sent.take());
                let flows = (options.flows_per_worker, options.operator && index == 0);
                std::thread::spawn(move || work(index as u8, door, flows, &hung, sent, &stop))
            })
            .collect();
        let auth = auth(&store, options.auth, dir.path());
        let token = log_in(&auth);
        let segments = Segments::open(dir.path().join("test.segments")).unwrap();
        let live = Hub::new(|| clock().wall.0, options.bounds);
        let names = Arc::new(Names::new(vec!["in0".into(), "out0".into(), "jarvis0".into()]));
        let counts = Arc::new(EventCounts::default());
        let (mut tape, mut recorder) = (None, None);
        if options.records {
            let keeping = Some(LogKeeping { age_s_max: 3_600, bytes_max: 1 << 30 });
            let (opened, _) = Recorder::open(&segments, [keeping; 2], || clock().wall.0).unwrap();
            let (of_pump, handle) = opened.start(&live).unwrap();
            (tape, recorder) = (Some(of_pump), Some(handle));
        }
        let pump =
            EventPump::new(receivers, Arc::clone(&names), None, EveTypes::default(), Arc::clone(&counts))
                .with_live(Arc::clone(&live), tape)
                .start(Arc::clone(&door), clock)
                .unwrap();
        let subjects = Arc::new(Subjects::open(Arc::clone(&store), Arc::clone(&box_key)));
        let (audit, _) = Audit::open(segments, &auth, &subjects, options.audit, || clock().wall.0).unwrap();
        let services = Services::new(Parts {
            auth,
            audit: Arc::new(audit),
            door,
            names,
            policies,
            identities,
            events: counts,
            backups: Some(Backups::at(
                dir.path().join("test.backups"),
                store,
                box_key,
                vec![policy_file.clone()],
            )),
            captures: options.captures.then(|| {
                let reader = Reader { program: "/bin/false".into(), config: None };
                (Uploads::at(dir.path().join("uploads")), reader)
            }),
            live: Arc::clone(&live),
            levers: Some(Arc::new(MemoryLevers::default())),
            rules: Some(Arc::new(crate::rules::MemoryRules::new(options.rules))),
            clock,
            version: "test",
        });
        let history = Some(services.keep_history().unwrap());
        let commits = Some(services.keep_commits().unwrap());
        let identity_keeper = Some(services.save_identities().unwrap());
        let socket = dir.path().join("control.sock");
        let mut config = Config {
            tcp: Some("127.0.0.1:0".parse().unwrap()),
            unix: Some(socket.clone()),
            limits: options.limits,
            origins: vec!["https://console.example".parse().unwrap()],
            ..Config::default()
        };
        change(&mut config, dir.path());
        let server = Server::start(config, Arc::clone(&services)).unwrap();
        Self {
            server: Some(server),
            services,
            socket,
            policy_file,
            dir,
            options,
            token,
            live,
            pump: Some(pump),
            recorder,
            history,
            commits,
            identity_keeper,
            events,
            stop,
            hung,
            workers,
        }
    }

    /// Lets workers hang, or go on.
    pub(crate) fn hang(&self, on: bool) {
        self.hung.store(on, Ordering::Relaxed);
    }

    /// Stops the workers; who is where, as each of them knows it.
    pub(crate) fn stop_workers(&mut self) -> Vec<IdentityTable> {
        self.stop.store(true, Ordering::Relaxed);
        self.workers.drain(..).map(|worker| worker.join().unwrap()).collect()
    }

    pub(crate) fn tcp(&self) -> SocketAddr {
        self.server.as_ref().unwrap().tcp_addr().unwrap()
    }

    /// Tells of something as a worker does, through its ring.
    pub(crate) fn happens(&self, event: Event) {
        self.events.send(event).unwrap();
    }

    /// One call over TCP, as an admin.
    pub(crate) fn over_tcp(&self, method: &str, path: &str, body: &str) -> Answer {
        self.with_token(&self.token, method, path, body)
    }

    /// The header line that says so.
    pub(crate) fn authorization(&self) -> String {
        format!("authorization: Bearer {}\r\n", self.token)
    }

    /// One call over TCP with this token.
    pub(crate) fn with_token(&self, token: &str, method: &str, path: &str, body: &str) -> Answer {
        let header = format!("authorization: Bearer {token}\r\n");
        call_with(TcpStream::connect(self.tcp()).unwrap(), method, path, &header, body)
    }

    /// One call over TCP without a token.
    pub(crate) fn as_anyone(&self, method: &str, path: &str, body: &str) -> Answer {
        call(TcpStream::connect(self.tcp()).unwrap(), method, path, body)
    }

    /// One call over the Unix socket.
    pub(crate) fn over_unix(&self, method: &str, path: &str, body: &str) -> Answer {
        call(UnixStream::connect(&self.socket).unwrap(), method, path, body)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.server.take();
        self.stop_workers();
        self.pump.take();
        self.recorder.take();
        self.history.take();
        self.commits.take();
        self.identity_keeper.take();
    }
}

/// The password of every account that a test makes.
pub(crate) const PASSWORD: &str = "correct horse battery";

/// Accounts in a store of their own; tokens are signed with ML-DSA, which takes no time.
fn auth(store: &Arc<Entities>, settings: AuthSettings, dir: &Path) -> Arc<Auth> {
    let ring = KeyRing::of(SigningKey::generate(Algorithm::MlDsa44).unwrap());
    let origin = KeyOrigin::File(KeyFile::at(dir.join("keys.json")));
    let now_s = clock().wall.0 / 1_000_000_000;
    Arc::new(Auth::open(store, &Keys { ring, origin }, settings, now_s).unwrap())
}

/// The token of an admin `root`.
fn log_in(auth: &Arc<Auth>) -> String {
    let now_s = clock().wall.0 / 1_000_000_000;
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let account = serde_json::json!({"username": "root", "role": "admin", "password": PASSWORD});
    let login = serde_json::json!({"username": "root", "password": PASSWORD, "token_form": "reference"});
    let client = Client { address: [127, 0, 0, 1].into(), user_agent: "test".into() };
    runtime.block_on(async {
        if auth.named("root").is_none() {
            auth.make_account(serde_json::from_value(account).unwrap(), now_s).await.unwrap();
        }
        let tokens = auth.login(serde_json::from_value(login).unwrap(), client, now_s).await.unwrap();
        tokens.access_token
    })
}

/// What a worker's loop does with its door, without frames.
#[expect(clippy::needless_pass_by_value, reason = "the thread owns its end of the channel")]
fn work(
    index: u8,
    mut door: WorkerDoor,
    (flows, operator): (u16, bool),
    hung: &AtomicBool,
    sent: Option<mpsc::Receiver<Event>>,
    stop: &AtomicBool,
) -> IdentityTable {
    let config = FlowConfig { capacity: 2_048, ..FlowConfig::default() };
    let mut table = FlowTable::new(config, 7, index);
    for number in 0..flows {
        start_flow(&mut table, index, number);
    }
    if operator {
        start(&mut table, &operators_syn());
    }
    let mut counters = Counters { received: 10, forwarded: 7, ..Counters::default() };
    counters.by_reason[Reason::DefaultDrop as usize] = 3;
    door.board.write_counters(&counters);
    door.board.write_flow(&FlowGauges { active: u64::from(flows), capacity: 2_048, ..FlowGauges::default() });
    door.board.write_port(0, &PortGauges { rx_packets: 10, rx_ring_full: 2, ..PortGauges::default() });
    for value in [800, 1_500, 90_000] {
        door.board.batch_ns.record(value, 1);
    }
    // The first policy that was ever in force.
    if let Some(cell) = door.tally.cell(1) {
        cell.hit(Wall(1_700_000_000_000_000_000));
        cell.carry(3, 180);
    }
    let mut identities = IdentityTable::default();
    let mut batches = 0;
    while !stop.load(Ordering::Relaxed) {
        for event in sent.iter().flat_map(mpsc::Receiver::try_iter) {
            // A ring that is full sheds; a test that wants all of it waits.
            while !door.events.send(event.clone()) {
                std::thread::sleep(Duration::from_micros(200));
            }
        }
        if !hung.load(Ordering::Relaxed) {
            batches += 1;
            let now = clock();
            let version = door.snapshots.load().version;
            door.identities.take(&mut identities, batches as u32);
            door.board.write_identity(door.identities.taken());
            door.board.write_turn(now.tick.0, batches, version, 0);
            while let Ok(mut asked) = door.asked.pop() {
                let query = &mut asked.query;
                query.page.next_cursor =
                    table.page(query.cursor, 256, &query.filter, now, &mut query.page.flows);
                door.answered.push(asked).unwrap();
            }
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    identities
}

/// A UDP flow 10.W.0.1:(1000 + number) -> 192.0.2.7:53, W being the worker.
fn start_flow(table: &mut FlowTable, worker: u8, number: u16) {
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0];
    frame.extend([0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, worker, 0, 1, 192, 0, 2, 7]);
    frame.extend((1_000 + number).to_be_bytes());
    frame.extend([0, 53, 0, 8, 0, 0]);
    start(table, &frame);
}

/// The first frame of [`OPERATOR`]'s connection.
fn operators_syn() -> Vec<u8> {
    let [client, api] = OPERATOR.map(|end| end.parse::<std::net::SocketAddrV4>().unwrap());
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0];
    frame.extend([0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0]);
    frame.extend([client.ip().octets(), api.ip().octets()].concat());
    frame.extend([client.port().to_be_bytes(), api.port().to_be_bytes()].concat());
    frame.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0xff, 0xff, 0, 0, 0, 0]);
    frame
}

/// Starts the flow of a frame that came in by port 0.
fn start(table: &mut FlowTable, frame: &[u8]) {
    let headers = parse_frame_unverified(frame, LinkType::Ethernet).unwrap();
    let (key, src_is_lo) = FlowKey::of(&headers, true).unwrap();
    let now = clock();
    let located = table.locate(table.hash(&key), false);
    let found = table.find_or_start(located, &key, src_is_lo, &headers, 0, now, &mut |_| {}).unwrap();
    table.count(found.id, found.direction, frame.len() as u32, &headers, now.tick);
    let step = table.judge(found.id, found.direction, &headers);
    table.advance(found.id, found.direction, step, now.tick);
}

/// A process without files whose log and wire are switches.
struct MemoryLevers {
    level: Mutex<(LogLevel, Option<u64>)>,
    drained: AtomicBool,
}

impl Default for MemoryLevers {
    fn default() -> Self {
        Self { level: Mutex::new((LogLevel::Info, None)), drained: AtomicBool::new(false) }
    }
}

impl Levers for MemoryLevers {
    fn config(&self) -> ConfigView {
        let config = serde_json::json!({"mode": "inline", "auth": {"secrets": {"hmac": "(set)"}}});
        ConfigView { file: None, environment: vec!["LOG_LEVEL"], flags: Vec::new(), config }
    }

    fn log_level(&self) -> LogLevelView {
        let (level, remaining_s) = *self.level.lock().unwrap();
        LogLevelView { level, configured: LogLevel::Info, remaining_s }
    }

    fn set_log_level(&self, level: LogLevel, for_s: Option<u64>) -> Result<LogLevelView, LeverError> {
        *self.level.lock().unwrap() = (level, for_s);
        Ok(self.log_level())
    }

    fn reload(&self) -> Result<Vec<Reloaded>, LeverError> {
        let failed = ReloadOutcome::Failed;
        let part = |part, outcome, notes| Reloaded { part, outcome, notes };
        Ok(vec![
            part("event_file", ReloadOutcome::Absent, Vec::new()),
            part("policies", failed, vec!["policy.json:1: no".to_owned()]),
        ])
    }

    fn is_drained(&self) -> bool {
        self.drained.load(Ordering::Relaxed)
    }

    fn drain(&self, on: bool) -> Result<(), LeverError> {
        self.drained.store(on, Ordering::Relaxed);
        Ok(())
    }
}

/// An XDP side in memory, with room for four prefixes.
#[derive(Default)]
struct MemoryWire {
    blocked: Mutex<Vec<IpNet>>,
    bypass: AtomicBool,
}

const BLOCKED_MAX: usize = 4;

impl WireControl for MemoryWire {
    fn read(&self) -> Result<WireReading, String> {
        Ok(WireReading {
            fail_mode: "closed",
            watchdog_ms: 50,
            bypass: self.bypass.load(Ordering::Relaxed),
            attach_mode: vec!["native"; 2],
            socket_mode: vec!["copy"; 2],
            blocked_prefixes: self.blocked.lock().unwrap().len(),
            outcomes: vec![("socket", 12), ("blocked", 1)],
        })
    }

    fn set_bypass(&self, on: bool) -> Result<(), String> {
        self.bypass.store(on, Ordering::Relaxed);
        Ok(())
    }

    fn blocked(&self) -> Result<Vec<IpNet>, String> {
        Ok(self.blocked.lock().unwrap().clone())
    }

    fn block(&self, prefixes: &[IpNet]) -> Result<usize, BlockListError> {
        let mut blocked = self.blocked.lock().unwrap();
        let new: Vec<IpNet> = prefixes.iter().filter(|prefix| !blocked.contains(prefix)).copied().collect();
        if blocked.len() + new.len() > BLOCKED_MAX {
            let (held, wanted) = (blocked.len(), new.len());
            return Err(BlockListError::Full { entries_max: BLOCKED_MAX, held, wanted });
        }
        blocked.extend(&new);
        Ok(new.len())
    }

    fn unblock(&self, prefixes: &[IpNet]) -> Result<usize, BlockListError> {
        let mut blocked = self.blocked.lock().unwrap();
        let before = blocked.len();
        blocked.retain(|prefix| !prefixes.contains(prefix));
        Ok(before - blocked.len())
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The code of a problem document, if it is one.
    pub(crate) fn json_code(&self) -> Option<String> {
        let document: Value = serde_json::from_slice(&self.body).ok()?;
        document["code"].as_str().map(str::to_owned)
    }

    /// Asserts a problem document of this status and code; gives it back.
    pub(crate) fn problem(&self, status: u16, code: &str) -> Value {
        let document = self.json();
        assert_eq!((self.status, document["code"].as_str()), (status, Some(code)), "{document}");
        assert!(self.head.contains("application/problem+json"), "{}", self.head);
        assert!(self.head.contains("x-request-id: "), "{}", self.head);
        assert_eq!(document["status"], status);
        document
    }
}

/// One call and its whole answer; the connection is closed after it.
pub(crate) fn call(stream: impl Read + Write, method: &str, path: &str, body: &str) -> Answer {
    call_with(stream, method, path, "", body)
}

/// The same with header lines of the caller's.
pub(crate) fn call_with(
    mut stream: impl Read + Write,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> Answer {
    let len = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\ncontent-length: {len}\r\n{headers}\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    // A refused body is answered before it has been read: then the rest of it cannot be written.
    let _ = stream.write_all(body.as_bytes());
    read_answer(stream)
}

pub(crate) fn read_answer(mut stream: impl Read) -> Answer {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("an answer has a head");
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head, body: bytes[end + 4..].to_vec() }
}
