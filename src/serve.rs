//! Who watches over the threads while packets flow, and how does it all stop?
//!
//! The main thread: it hears signals, feeds the supervisor's watchdog only while every worker turns its loop,
//! starts the control thread anew if that alone dies, and ends the process if a worker does. An orderly stop
//! takes the sockets out of the map first (the fail mode holds at once), serves what is already in the rings,
//! and leaves the wire attached.

use crate::config::{Config, Wait};
use crate::cores::{CorePlan, Precedence};
use crate::failure::Failure;
use crate::levers::Order;
use crate::links::Links;
use crate::log;
use crate::rules::{self, LINES_MAX};
use crate::signals::{Ask, Asks, Supervisor};
use crate::threads::{Kept, Workers};
use crate::trust;
use crate::wire::LiveWire;
use controlplane::api::{self, Portal, PortalConfig, Server, Tls};
use controlplane::services::classify::Reader;
use controlplane::services::levers::{ReloadOutcome, Reloaded};
use controlplane::services::live::{Recorder, RecorderHandle};
use controlplane::services::policy_commit::CommitHandle;
use controlplane::services::policy_edit::{EditError, Expected};
use controlplane::services::{
    Author, EveTypes, EventPump, PolicyLoadError, PumpHandle, Services, Stoppable, Transactions,
};
use controlplane::store::{EveFile, Rotation, Uploads};
use dataplane::control::{Door, StateChange};
use dataplane::time::Now;
use dataplane::worker::{Clock, Lifecycle, Phase, SystemClock, Worker};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};
use xsk::XskQueue;

/// How often the main thread looks around when nobody asks for anything.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// What was on its way into the rings when the sockets left the map has come by then.
const DRAIN: Duration = Duration::from_millis(3);
/// A worker turns within microseconds, on a core that is busy within milliseconds.
const FIRST_TURN_PATIENCE: Duration = Duration::from_secs(2);
/// A worker ends 10 million flows in less.
const JOIN_PATIENCE: Duration = Duration::from_secs(3);
/// A worker turns its loop every 5 ms at the latest; one silent for so long does not deserve its food.
const SILENCE_MAX_NS: u64 = 2_000_000_000;
/// Suricata's interval of `stats` events.
const STATS_EVERY: Duration = Duration::from_secs(8);

/// The running appliance.
pub(crate) struct Serving {
    door: Arc<Door>,
    services: Arc<Services>,
    wire: LiveWire,
    workers: Workers,
    lifecycle: Arc<Lifecycle>,
    pump: PumpHandle,
    recorder: RecorderHandle,
    server: Kept<Server>,
    server_config: api::Config,
    portal: Option<(PortalConfig, Kept<Portal>)>,
    links: Links,
    asks: Asks,
    orders: Receiver<Order>,
    rules: Arc<rules::Keeper>,
    history: Stoppable,
    identities: Stoppable,
    saving: Stoppable,
    commits: Kept<CommitHandle>,
    supervisor: Supervisor,
    count: u32,
}

impl Serving {
    /// Starts every thread; the workers last, so that nothing is forwarded that could not be accounted for.
    ///
    /// # Errors
    ///
    /// One sentence: an address that is taken, a thread that the system does not give.
    #[expect(clippy::too_many_arguments, reason = "each is one finished part of the boot story in main")]
    pub(crate) fn start(
        config: &Config,
        (tls, portal): (Option<Arc<Tls>>, Option<PortalConfig>),
        plan: &CorePlan,
        workers: Workers,
        built: Vec<Worker<XskQueue>>,
        (pump, recorder): (EventPump, Recorder),
        services: Arc<Services>,
        door: Arc<Door>,
        wire: LiveWire,
        (links, orders, rules): (Links, Receiver<Order>, Arc<rules::Keeper>),
    ) -> Result<Self, Failure> {
        let has_tls = tls.is_some();
        let server_config = api::Config {
            tcp: Some(config.api.listen),
            tls,
            client_certificates: config.api.tls.clients.clone(),
            trusted_proxies: config.api.tls.trusted_proxies.clone(),
            unix: Some(config.api.socket.clone()),
            origins: config.api.origins.iter().filter_map(|origin| origin.parse().ok()).collect(),
            limits: api::Limits {
                rates: config.api.rate_per_s.map(api::Rates::per_second),
                ..api::Limits::default()
            },
        };
        let asks = Asks::listen().map_err(|error| Failure::line(format!("cannot hear signals: {error}")))?;
        let server = Server::start(server_config.clone(), Arc::clone(&services))
            .map_err(|error| Failure::line(error.to_string()))?;
        let portal = portal.map(|config| {
            let portal = Portal::start(config.clone(), Arc::clone(&services));
            let portal = portal.map_err(|error| Failure::line(format!("the captive portal: {error}")))?;
            Ok::<_, Failure>((config, Kept::of(portal)))
        });
        let portal = portal.transpose()?;
        let history = services.keep_history().map_err(|error| thread_failed(&error))?;
        let identities = services.keep_identities().map_err(|error| thread_failed(&error))?;
        let saving = services.save_identities().map_err(|error| thread_failed(&error))?;
        let commits = services.keep_commits().map_err(|error| thread_failed(&error))?;
        let (tape, recorder) = recorder.start(services.live()).map_err(|error| thread_failed(&error))?;
        let pump = pump.with_live(Arc::clone(services.live()), Some(tape));
        let pump = pump.start(Arc::clone(&door), now).map_err(|error| thread_failed(&error))?;
        let lifecycle = Arc::new(Lifecycle::default());
        let count = built.len() as u32;
        for (index, worker) in built.into_iter().enumerate() {
            let lifecycle = Arc::clone(&lifecycle);
            workers.give(index, move || {
                let farewell = worker.run(SystemClock::default(), &lifecycle);
                if farewell.outstanding != 0 {
                    tracing::warn!(frames = farewell.outstanding, "frames were lost track of");
                }
            });
        }
        // Ready means that frames are judged, so each worker must have turned once.
        let deadline = Instant::now() + FIRST_TURN_PATIENCE;
        while door.boards().iter().any(|board| board.last_turn_ns() == 0) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
        let supervisor = Supervisor::of_process();
        supervisor.ready("the wire is served");
        tracing::info!(
            workers = count,
            cores = crate::cores::list(&plan.workers),
            control_cores = crate::cores::list(&plan.control),
            api = %server.tcp_addr().unwrap_or(config.api.listen),
            tls = has_tls,
            socket = %config.api.socket.display(),
            "the wire is served"
        );
        Ok(Self {
            door,
            services,
            wire,
            workers,
            lifecycle,
            pump,
            recorder,
            server: Kept::of(server),
            server_config,
            portal,
            links,
            asks,
            orders,
            rules,
            history,
            identities,
            saving,
            commits: Kept::of(commits),
            supervisor,
            count,
        })
    }

    /// Serves until SIGTERM or SIGINT, then stops in order.
    pub(crate) fn until_asked_to_stop(mut self) {
        let mut pump_missed = false;
        loop {
            match self.asks.wait(LOOK_EVERY) {
                Some(Ask::Stop) => break,
                Some(Ask::Reload) => drop(self.reload()),
                None => {}
            }
            if self.workers.any_ended() {
                tracing::error!("a worker ended by itself: the process ends, the wire's fail mode holds");
                std::process::abort();
            }
            while let Ok(Order::Reload(answer)) = self.orders.try_recv() {
                // Who asked may have gone.
                let _ = answer.send(self.reload());
            }
            if let Some(volume) = log::volume() {
                volume.look(Instant::now());
            }
            self.look_after_server();
            self.look_after_portal();
            self.look_after_commits();
            if !self.pump.is_alive() && !std::mem::replace(&mut pump_missed, true) {
                tracing::error!("the event thread died: events are shed until a restart, packets flow on");
            }
            if self.all_turn() {
                self.supervisor.feed();
            }
        }
        self.stop();
    }

    fn all_turn(&self) -> bool {
        let now_ns = xsk::clock::monotonic_ns();
        self.door.boards().iter().all(|board| now_ns.saturating_sub(board.last_turn_ns()) < SILENCE_MAX_NS)
    }

    /// The control thread alone is started anew; packets flow under the snapshot in force meanwhile.
    fn look_after_server(&mut self) {
        let start = || Server::start(self.server_config.clone(), Arc::clone(&self.services));
        match self.server.look(Instant::now(), Server::is_alive, start) {
            None => {}
            Some(Ok(())) => {
                tracing::error!("the control thread died and was started anew; packets were not concerned");
                self.door.tell(StateChange::ControlRestarted);
            }
            Some(Err(error)) => tracing::error!(%error, "the control thread died and cannot be started yet"),
        }
    }

    /// The same for the portal.
    fn look_after_portal(&mut self) {
        let Some((config, portal)) = &mut self.portal else { return };
        let start = || Portal::start(config.clone(), Arc::clone(&self.services));
        match portal.look(Instant::now(), Portal::is_alive, start) {
            None => {}
            Some(Ok(())) => tracing::error!("the captive portal's thread died and was started anew"),
            Some(Err(error)) => {
                tracing::error!(%error, "the captive portal's thread died and cannot be started yet");
            }
        }
    }

    /// Without its thread no set that nobody confirms would return.
    fn look_after_commits(&mut self) {
        match self.commits.look(Instant::now(), CommitHandle::is_alive, || self.services.keep_commits()) {
            None => {}
            Some(Ok(())) => {
                tracing::error!(
                    "the thread that waits for policies to be confirmed died and was started anew"
                );
            }
            Some(Err(error)) => {
                tracing::error!(%error, "the thread that waits for policies to be confirmed died and cannot be started yet");
            }
        }
    }

    /// Reads all files again; each part stays as it was where it has errors.
    fn reload(&self) -> Vec<Reloaded> {
        self.supervisor.reloading();
        let event_file = if self.pump.has_file() { ReloadOutcome::Reloaded } else { ReloadOutcome::Absent };
        self.pump.reopen();
        let parts = vec![
            Reloaded { part: "event_file", outcome: event_file, notes: Vec::new() },
            self.reload_certificates(),
            self.reload_policies(),
            self.reload_rules(),
        ];
        self.supervisor.ready("the wire is served");
        parts
    }

    fn reload_policies(&self) -> Reloaded {
        let (outcome, notes) = match self.services.reload(&Author::system(), &Expected::default()) {
            Ok(change) if !change.changed => {
                tracing::info!(
                    "the policy file is what it was when it was taken in: the policies stay as they are"
                );
                (ReloadOutcome::Unchanged, Vec::new())
            }
            Ok(_told_by_services) => {
                let after = serde_json::to_value(self.services.policy().summary()).ok();
                trust::tell(&self.services, "policy.reload", Some("policy".to_owned()), after);
                (ReloadOutcome::Reloaded, Vec::new())
            }
            Err(EditError::Load(PolicyLoadError::NoFile)) => {
                tracing::info!("no file of policies or applications is configured: they stay as they are");
                (ReloadOutcome::Absent, Vec::new())
            }
            Err(error) => {
                let told = match error {
                    EditError::Load(error) => Failure::from(error).to_string(),
                    other => other.to_string(),
                };
                for line in told.lines() {
                    tracing::error!("{line}");
                }
                tracing::error!("policies and applications were not reloaded, the ones before stay in force");
                (ReloadOutcome::Failed, told.lines().map(str::to_owned).collect())
            }
        };
        Reloaded { part: "policies", outcome, notes }
    }

    fn reload_rules(&self) -> Reloaded {
        let part = "rules";
        if !self.rules.is_used() {
            return Reloaded { part, outcome: ReloadOutcome::Absent, notes: Vec::new() };
        }
        match self.rules.reload(&self.door) {
            Ok(notes) => {
                let after = serde_json::json!({ "notes": notes.len() });
                trust::tell(&self.services, "rules.reload", Some("rules".to_owned()), Some(after));
                Reloaded { part, outcome: ReloadOutcome::Reloaded, notes }
            }
            Err(error) => {
                let told = error.to_string();
                for line in told.lines().take(LINES_MAX) {
                    tracing::error!("{line}");
                }
                tracing::error!("rules were not reloaded, the ones before stay in force");
                let notes = told.lines().take(LINES_MAX).map(str::to_owned).collect();
                Reloaded { part, outcome: ReloadOutcome::Failed, notes }
            }
        }
    }

    fn reload_certificates(&self) -> Reloaded {
        let part = "certificates";
        let of_api = self.server_config.tls.iter().map(|tls| ("API", tls));
        let of_portal = self.portal.iter().filter_map(|(config, _)| config.tls.as_ref());
        let mut outcome = ReloadOutcome::Absent;
        let mut notes = Vec::new();
        for (whose, tls) in of_api.chain(of_portal.map(|tls| ("portal", tls))) {
            match tls.reload(now().wall.0 / 1_000_000_000) {
                Ok(warnings) => {
                    tracing::info!(
                        "the {whose}'s certificates were read again; connections from now on use them"
                    );
                    for warning in &warnings {
                        tracing::warn!("{warning}");
                    }
                    notes.extend(warnings.iter().map(ToString::to_string));
                    if outcome == ReloadOutcome::Absent {
                        outcome = ReloadOutcome::Reloaded;
                    }
                }
                Err(faults) => {
                    for fault in &faults {
                        tracing::error!("{fault}");
                    }
                    tracing::error!(
                        "the {whose}'s certificates were not reloaded, the ones before stay in force"
                    );
                    notes.extend(faults.iter().map(ToString::to_string));
                    outcome = ReloadOutcome::Failed;
                }
            }
        }
        Reloaded { part, outcome, notes }
    }

    fn stop(self) {
        tracing::info!("stopping: the wire's fail mode holds from now on, the wire stays attached");
        self.supervisor.stopping();
        self.wire.let_go_of_sockets(self.count);
        self.lifecycle.enter(Phase::Draining);
        std::thread::sleep(DRAIN);
        self.lifecycle.enter(Phase::Stopped);
        for name in self.workers.join(JOIN_PATIENCE) {
            tracing::error!(thread = name, "a worker did not stop in time and is left behind");
        }
        // After the workers, so that their last records are written.
        self.rules.save();
        self.pump.stop();
        self.recorder.stop();
        self.history.stop();
        self.identities.stop();
        drop((self.commits, self.portal));
        if let Some(server) = self.server.into_running() {
            server.stop();
        }
        // After whoever may say who is where.
        self.saving.stop();
        trust::tell(&self.services, "box.stop", None, None);
        self.services.audit().stop();
        drop(self.links);
        tracing::info!("stopped");
    }
}

/// Both clocks, for everyone but the workers.
pub(crate) fn now() -> Now {
    SystemClock::default().now()
}

/// Where captures that clients send are kept, and what reads them: this program, whatever was installed in its place since.
pub(crate) fn captures(config: &Config, file: Option<&Path>) -> (Uploads, Reader) {
    let uploads = Uploads::at(config.state_directory.join(format!("{}.uploads", config.name)));
    // Not /proc/self: it is another program that starts it.
    let program = PathBuf::from(format!("/proc/{}/exe", std::process::id()));
    (uploads, Reader { program, config: file.map(Path::to_owned) })
}

/// What is written of events.
pub(crate) fn event_types(config: &Config) -> EveTypes {
    let wanted = &config.eve.types;
    EveTypes {
        flow: wanted.flow,
        alert: wanted.alert,
        drop: wanted.drop,
        anomaly: wanted.anomaly,
        transactions: if wanted.transactions {
            Transactions::All
        } else {
            Transactions::Only(wanted.only.clone())
        },
        engine: true,
        stats_every: wanted.stats.then_some(STATS_EVERY),
        community_seed: config.eve.community_seed,
    }
}

/// The event file and what goes into it.
///
/// # Errors
///
/// One sentence when the file cannot be opened.
pub(crate) fn event_file(config: &Config) -> Result<(Option<EveFile>, EveTypes), Failure> {
    let rotation = Rotation {
        size_max_bytes: config.eve.rotate_bytes,
        every_s: config.eve.rotate_interval_s,
        keep: config.eve.rotate_keep,
    };
    let open = |path: &PathBuf| {
        EveFile::open(path, Some(rotation))
            .map_err(|error| Failure::line(format!("cannot write events to {}: {error}", path.display())))
    };
    Ok((config.eve.file.as_ref().map(open).transpose()?, event_types(config)))
}

/// Makes the directories that the daemon writes to.
///
/// # Errors
///
/// One sentence for the first that cannot be made.
pub(crate) fn make_directories(config: &Config) -> Result<(), Failure> {
    let files = [Some(&config.api.socket), config.eve.file.as_ref()];
    let parents = files.into_iter().flatten().filter_map(|file| file.parent());
    let all = parents.chain([config.state_directory.as_path()]).filter(|path| *path != Path::new(""));
    for directory in all {
        std::fs::create_dir_all(directory).map_err(|error| {
            Failure::line(format!("cannot make the directory {}: {error}", directory.display()))
        })?;
    }
    Ok(())
}

/// Where it is noted which port was set down for the other's sake.
pub(crate) fn held_down_note(config: &Config) -> PathBuf {
    config.state_directory.join(format!("{}.held-down", config.name))
}

/// The threads of the workers, on their cores and with their precedence there, without work yet.
///
/// # Errors
///
/// One sentence when the system gives none.
pub(crate) fn worker_threads(config: &Config, plan: &CorePlan) -> Result<Workers, Failure> {
    let precedence = match config.worker.wait {
        Wait::Interrupt => Precedence::AtOnce,
        Wait::Adaptive | Wait::BusyPoll => Precedence::Most,
    };
    let mut workers = Workers::new();
    for core in &plan.workers {
        workers.start(*core, precedence).map_err(|error| thread_failed(&error))?;
    }
    Ok(workers)
}

pub(crate) fn thread_failed(error: &std::io::Error) -> Failure {
    Failure::line(format!("cannot start a thread: {error}"))
}

/// Starts to tell of link changes, and to pass them on where the configuration says so and there are two ports.
///
/// # Errors
///
/// One sentence when the kernel refuses.
pub(crate) fn listen_to_links(config: &Config, door: &Arc<Door>) -> Result<Links, Failure> {
    let passes_on = config.wire.link_propagation && config.ports.len() == 2;
    let interfaces = config.ports.iter().map(|port| port.interface.clone()).collect();
    let door = Arc::clone(door);
    Links::start(interfaces, passes_on.then(|| held_down_note(config)), move |change| door.tell(change))
        .map_err(|error| Failure::line(format!("cannot listen to link changes: {error}")))
}
