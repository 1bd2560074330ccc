//! How do file, environment and flags become one [`Config`]?
//!
//! Section by section; a wrong value becomes a [`Problem`] and reading goes on. The environment wins over
//! the file and the flags over both; a [`Config`] comes out only if none of them holds a mistake. What the
//! machine has to say (interfaces, cores, memory) is asked later, in [`crate::preflight`].

use super::environment::Environment;
use super::file::{At, Document, Section};
use super::identity::read_identity;
use super::meaning::{
    Api, Auth, Checksum, Config, Defrag, Eve, EveTypes, Eviction, Exception, Exceptions, FailMode,
    FileHashName, Flow, Inspect, KeptLog, KeySecrets, Level, Log, Mode, NAME_LEN_MAX, Overlap, Port,
    PortFlags, Ports, Rules, Service, Store, Stream, TimeoutS, Wait, Wire, Worker, ZeroCopy, is_name,
    name_form,
};
use super::problem::Problem;
use controlplane::services::auth::algorithm::Algorithm;
use controlplane::services::auth::session::TokenForm;
use dataplane::control::ParserErrorAction;
use dataplane::dpi::{Protocol, protocols};
use dataplane::stream::{MEMORY_BYTES_MAX, Policy, UrgentPolicy};
use ipnet::{Ipv4Net, Ipv6Net};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Cores and queues are counted in a byte on the packet path.
const WORKERS_MAX: u8 = 64;
/// Highest core number that we accept to write; whether it exists is asked of the machine.
const CORE_MAX: usize = 4095;
pub(super) const SECONDS_MAX: u32 = 7 * 24 * 3600;

/// Understands a configuration text.
///
/// `name` is the file as the operator wrote it; relative paths inside start at its directory.
///
/// # Errors
///
/// Everything that is wrong with the text, the environment and the flags, in this order.
pub(crate) fn understand(
    name: &str,
    text: &str,
    environment: &Environment,
    flags: &PortFlags,
    need: Ports,
) -> Result<Config, Vec<Problem>> {
    let document = Document::parse(name, text);
    let base = Path::new(name).parent().map(Path::to_path_buf).unwrap_or_default();
    let config = document.read(|root| read(root, &base, environment, flags, need));
    let mut problems = document.into_problems();
    problems.extend(environment.problems.iter().cloned());
    if flags.tap.is_some() && (flags.inside.is_some() || flags.outside.is_some()) {
        problems.push(Problem::new("command line", "--tap excludes --inside and --outside"));
    }
    if problems.is_empty() { Ok(environment.apply(config)) } else { Err(problems) }
}

fn read(
    root: &mut Section<'_, '_>,
    base: &Path,
    environment: &Environment,
    flags: &PortFlags,
    need: Ports,
) -> Config {
    let mut notices = Vec::new();
    let mode = match flags {
        PortFlags { tap: Some(_), .. } => {
            root.choice("mode", MODES);
            Mode::Tap
        }
        PortFlags { tap: None, .. } => value_or(root.choice("mode", MODES), Mode::Inline),
    };
    let name = match root.text("name") {
        Some(at) => {
            check_name(root, &at, "name", NAME_LEN_MAX);
            at.value
        }
        None => "jarvis".to_owned(),
    };
    let ports = read_ports(root, mode, flags, need);
    let wire = root.section("wire", |wire| Wire {
        fail_mode: value_or(
            wire.choice("fail_mode", &[("open", FailMode::Open), ("closed", FailMode::Closed)]),
            FailMode::Closed,
        ),
        watchdog_ms: value_or(wire.integer("watchdog_ms", 2..=60_000), 50),
        link_propagation: wire.flag("link_propagation").unwrap_or(true),
        pin_root: wire
            .text("pin_root")
            .map_or_else(|| PathBuf::from("/sys/fs/bpf/jarvis"), |at| PathBuf::from(at.value)),
    });
    let worker = root.section("worker", read_worker);
    let control_cores = root.section("control", |control| {
        let cores = control.integers("cores", 0..=CORE_MAX);
        if let Some(shared) =
            cores.as_ref().and_then(|at| at.value.iter().find(|core| worker.cores.contains(core)))
        {
            control.note(
                cores.as_ref().map(|at| at.line),
                format!("control.cores holds core {shared}, which polls packets (worker.cores)"),
            );
        }
        cores.map(|at| at.value).unwrap_or_default()
    });
    let service = root.section("inline", |inline| inline.section("service", read_service));
    let flow = root.section("flow", read_flow);
    let defrag = root.section("defrag", read_defrag);
    let stream = root.section("stream", |stream| Stream {
        memory_bytes: value_or(stream.integer("memory_bytes", 65_536..=1 << 31), MEMORY_BYTES_MAX as u32),
        overlap: value_or(
            stream.choice(
                "overlap",
                &std::array::from_fn::<_, { Policy::ALL.len() }, _>(|index| {
                    (Policy::ALL[index].label(), Policy::ALL[index])
                }),
            ),
            Policy::default(),
        ),
        urgent: value_or(stream.choice("urgent", UrgentPolicy::NAMES), UrgentPolicy::default()),
    });
    let exceptions = root.section("exceptions", |exceptions| Exceptions {
        flow_table_full: value_or(exceptions.choice("flow_table_full", EXCEPTIONS), Exception::FailMode),
        fragment_memory: value_or(exceptions.choice("fragment_memory", EXCEPTIONS), Exception::FailMode),
        reassembly_memory: value_or(exceptions.choice("reassembly_memory", EXCEPTIONS), Exception::FailMode),
        overlap_unverified: value_or(exceptions.choice("overlap_unverified", EXCEPTIONS), Exception::Ignore),
        rule_budget: value_or(exceptions.choice("rule_budget", EXCEPTIONS), Exception::Ignore),
        parser_error: value_or(
            exceptions.choice("parser_error", PARSER_ERROR_ACTIONS),
            ParserErrorAction::Ignore,
        ),
        midstream: value_or(exceptions.choice("midstream", EXCEPTIONS), Exception::Ignore),
        oneway: value_or(exceptions.choice("oneway", EXCEPTIONS), Exception::Ignore),
    });
    let (policy_file, reject_per_s) = root.section("policy", |policy| {
        (
            policy.text("file").map(|at| base.join(at.value)),
            value_or(policy.integer("reject_per_s", 0..=1_000_000), 1_000),
        )
    });
    let mirror = root.section("mirror", |mirror| {
        let interface = mirror.text("interface");
        if let Some(at) = &interface {
            check_interface(mirror, at, "mirror.interface");
            if ports.iter().any(|port| port.interface == at.value) {
                mirror.note(Some(at.line), format!("mirror.interface {} is also a port", at.value));
            }
        }
        interface.map(|at| at.value)
    });
    let log = root.section("log", |log| Log {
        level: value_or(log.choice("level", LEVELS), Level::Info),
        json: value_or(log.choice("format", &[("json", true), ("text", false)]), false),
    });
    let api = root.section("api", |api| Api {
        listen: value_or(
            api.parsed("listen", "an address and port such as 127.0.0.1:8000"),
            SocketAddr::from(([127, 0, 0, 1], 8000)),
        ),
        socket: api
            .text("socket")
            .map_or_else(|| PathBuf::from("/run/jarvis/control.sock"), |at| base.join(at.value)),
        origins: api
            .parsed_list::<Origin>("allowed_origins", "an origin such as https://console.example")
            .map(|at| at.value.into_iter().map(|origin| origin.0).collect())
            .unwrap_or_default(),
        rate_per_s: api.section("rate_limit", |limit| {
            let is_on = limit.flag("enabled").unwrap_or(true);
            is_on.then_some(value_or(limit.integer("per_second", 1..=1_000_000), RATE_PER_S))
        }),
        tls: super::tls::read(api, base, &environment.mtls, &mut notices),
    });
    let auth = root.section("auth", |auth| Auth {
        algorithm: value_or(
            auth.choice("algorithm", &Algorithm::ALL.map(|one| (one.name(), one))),
            Algorithm::ALL[0],
        ),
        key_file: auth.text("key_file").map(|at| base.join(at.value)),
        access_ttl_s: value_or(auth.integer("access_ttl_s", 30..=86_400), 900),
        refresh_ttl_s: value_or(auth.integer("refresh_ttl_s", 60..=SECONDS_MAX * 52), 604_800),
        token_form: value_or(
            auth.choice("token_form", &[("jwt", TokenForm::Jwt), ("reference", TokenForm::Reference)]),
            TokenForm::Jwt,
        ),
        secrets: KeySecrets::default(),
    });
    let eve = root.section("eve", |eve| read_eve(eve, base));
    let store = root.section("store", |store| Store {
        events: store.section("events", read_kept_log),
        flows: store.section("flows", read_kept_log),
        audit: store.section("audit", |log| read_kept(log, 2 * 366 * 24 * 3_600, 4 << 30)),
        box_key_file: store.text("box_key_file").map(|at| base.join(at.value)),
    });
    let inspect = root.section("inspect", |inspect| Inspect {
        enabled: inspect.flag("enabled").unwrap_or(true),
        applications: inspect.text("applications").map(|at| base.join(at.value)),
        ftp_transactions_max: value_or(inspect.integer("ftp_transactions_max", 1..=65_536), 1_024),
    });
    let identity = root.section("identity", |identity| read_identity(identity, base));
    let rules = root.section("rules", |rules| Rules {
        files: rules
            .parsed_list::<PathBuf>("files", "a file, a directory or a pattern such as \"rules/*.rules\"")
            .map(|at| at.value.into_iter().map(|place| base.join(place)).collect())
            .unwrap_or_default(),
        midstream: rules.flag("midstream").unwrap_or(false),
        alerts_per_packet: value_or(rules.integer("alerts_per_packet", 1..=256), 15),
        payload_bytes: value_or(rules.integer("payload_bytes", 0..=65_535), 0),
        packet: rules.flag("packet").unwrap_or(false),
        tagged_packets: rules.flag("tagged_packets").unwrap_or(true),
        disable: list_files(rules, "disable", base),
        enable: list_files(rules, "enable", base),
        drop: list_files(rules, "drop", base),
        modify: list_files(rules, "modify", base),
        thresholds: list_files(rules, "thresholds", base),
        classifications: list_files(rules, "classifications", base),
        references: list_files(rules, "references", base),
        geoip_database: rules.text("geoip_database").map(|at| base.join(at.value)),
        reputation_categories: list_files(rules, "reputation_categories", base),
        reputation_files: list_files(rules, "reputation_files", base),
        addresses: rules.names("addresses"),
        ports: rules.names("ports"),
    });
    let state_directory = root.section("state", |state| {
        state.text("directory").map_or_else(|| PathBuf::from("/var/lib/jarvis"), |at| base.join(at.value))
    });
    Config {
        mode,
        name,
        ports,
        wire,
        worker,
        control_cores,
        service,
        flow,
        defrag,
        stream,
        exceptions,
        policy_file,
        reject_per_s,
        mirror,
        log,
        api,
        auth,
        eve,
        inspect,
        identity,
        rules,
        store,
        state_directory,
        notices,
    }
}

/// Files that a key names.
fn list_files(section: &mut Section<'_, '_>, key: &'static str, base: &Path) -> Vec<PathBuf> {
    let files = section.parsed_list::<PathBuf>(key, "a file");
    files.map(|at| at.value.into_iter().map(|file| base.join(file)).collect()).unwrap_or_default()
}

/// Reading calls a second and client where nobody says.
pub(super) const RATE_PER_S: u32 = 100;

/// A scheme and an authority, without a path (RFC 6454 4).
struct Origin(String);

impl FromStr for Origin {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let authority =
            ["http://", "https://"].iter().find_map(|scheme| text.strip_prefix(scheme)).ok_or(())?;
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._~[]:%".contains(c);
        let is_authority = !authority.is_empty() && authority.chars().all(is_plain);
        is_authority.then(|| Self(text.to_ascii_lowercase())).ok_or(())
    }
}

const MODES: &[(&str, Mode)] = &[("inline", Mode::Inline), ("tap", Mode::Tap)];

const EXCEPTIONS: &[(&str, Exception)] = &[
    ("fail_mode", Exception::FailMode),
    ("ignore", Exception::Ignore),
    ("pass", Exception::Pass),
    ("drop", Exception::Drop),
    ("reject", Exception::Reject),
];

const PARSER_ERROR_ACTIONS: &[(&str, ParserErrorAction)] = &[
    ("ignore", ParserErrorAction::Ignore),
    ("pass_packet", ParserErrorAction::PassPacket),
    ("pass", ParserErrorAction::PassFlow),
    ("drop_packet", ParserErrorAction::DropPacket),
    ("drop", ParserErrorAction::DropFlow),
    ("reject", ParserErrorAction::Reject),
];

const LEVELS: &[(&str, Level)] = &[
    ("error", Level::Error),
    ("warn", Level::Warn),
    ("info", Level::Info),
    ("debug", Level::Debug),
    ("trace", Level::Trace),
];

fn read_ports(root: &mut Section<'_, '_>, mode: Mode, flags: &PortFlags, need: Ports) -> Vec<Port> {
    let found = root.sections("port", |port| {
        let interface = port.text("interface");
        match &interface {
            Some(at) => check_interface(port, at, "port.interface"),
            None => port.note(None, "a [[port]] needs an interface"),
        }
        let zone = port.text("zone");
        if let Some(at) = &zone {
            check_name(port, at, "port.zone", 32);
        }
        let checksum = value_or(
            port.choice(
                "checksum",
                &[
                    ("verify", Checksum::Verify),
                    ("assume-good", Checksum::AssumeGood),
                    ("drop-bad", Checksum::DropBad),
                ],
            ),
            Checksum::Verify,
        );
        let networks = port.parsed_list("networks", "a network such as 10.0.0.0/8");
        (
            port.line(),
            interface.map(|at| at.value).unwrap_or_default(),
            zone.map(|at| at.value),
            checksum,
            networks.map(|at| at.value).unwrap_or_default(),
        )
    });
    let second = found.get(1).or(found.last()).and_then(|(line, ..)| *line);
    let mut ports: Vec<Port> = found
        .into_iter()
        .enumerate()
        .map(|(index, (_, interface, zone, checksum, networks))| Port {
            interface,
            zone: zone.unwrap_or_else(|| default_zone(index)),
            checksum,
            networks,
        })
        .collect();
    name_ports_from_flags(&mut ports, flags);
    let wanted = match mode {
        Mode::Inline => 2,
        Mode::Tap => 1,
    };
    let none_is_fine = need == Ports::Optional && !flags.given();
    if ports.len() != wanted && !(ports.is_empty() && none_is_fine) {
        let by_flag = match mode {
            Mode::Inline => "--inside and --outside",
            Mode::Tap => "--tap",
        };
        root.note(
            second,
            format!(
                "mode \"{}\" needs exactly {wanted} [[port]] (or {by_flag}), there are {}",
                match mode {
                    Mode::Inline => "inline",
                    Mode::Tap => "tap",
                },
                ports.len()
            ),
        );
    }
    if let [first, other] = ports.as_slice() {
        if first.interface == other.interface && !first.interface.is_empty() {
            root.note(second, format!("both ports are {}, they must differ", first.interface));
        }
        if first.zone == other.zone {
            root.note(second, format!("both ports are in zone \"{}\", zones must differ", first.zone));
        }
    }
    ports
}

fn name_ports_from_flags(ports: &mut Vec<Port>, flags: &PortFlags) {
    if flags.tap.is_some() {
        ports.truncate(1);
    }
    let named = [(0, flags.tap.as_ref().or(flags.inside.as_ref())), (1, flags.outside.as_ref())];
    for (index, interface) in named {
        let Some(interface) = interface else { continue };
        match ports.get_mut(index) {
            Some(port) => port.interface.clone_from(interface),
            None => ports.push(Port {
                interface: interface.clone(),
                zone: default_zone(index),
                checksum: Checksum::Verify,
                networks: Vec::new(),
            }),
        }
    }
}

fn default_zone(index: usize) -> String {
    if index == 0 { "inside" } else { "outside" }.to_owned()
}

fn read_worker(worker: &mut Section<'_, '_>) -> Worker {
    let count = value_or(worker.integer("count", 1..=WORKERS_MAX), 1);
    let cores = worker.integers("cores", 0..=CORE_MAX);
    if let Some(at) = &cores {
        if at.value.len() != usize::from(count) {
            worker.note(
                Some(at.line),
                format!("worker.cores names {} cores for {count} workers (worker.count)", at.value.len()),
            );
        }
        let twice = at.value.iter().enumerate().find(|(index, core)| at.value[..*index].contains(core));
        if let Some((_, core)) = twice {
            worker.note(Some(at.line), format!("worker.cores holds core {core} twice"));
        }
    }
    let ring_entries = match worker.integer("ring_entries", 64..=65_536_u32) {
        Some(at) => {
            if !at.value.is_power_of_two() {
                worker.note(
                    Some(at.line),
                    format!("worker.ring_entries is {}, must be a power of two", at.value),
                );
            }
            at.value
        }
        None => 2048,
    };
    let frames = worker.integer("frames", 256..=1 << 24_u32);
    if let Some(at) = &frames
        && at.value < ring_entries.saturating_mul(2)
    {
        worker.note(
            Some(at.line),
            format!(
                "worker.frames is {}, must be at least 2 x worker.ring_entries = {}",
                at.value,
                ring_entries * 2
            ),
        );
    }
    let frame_bytes = match worker.integer("frame_bytes", 0..=u32::MAX) {
        Some(at) => {
            if at.value != 2048 && at.value != 4096 {
                worker
                    .note(Some(at.line), format!("worker.frame_bytes is {}, must be 2048 or 4096", at.value));
            }
            at.value
        }
        None => 4096,
    };
    Worker {
        count,
        cores: cores.map(|at| at.value).unwrap_or_default(),
        wait: value_or(
            worker.choice(
                "wait",
                &[
                    ("adaptive", Wait::Adaptive),
                    ("busy_poll", Wait::BusyPoll),
                    ("interrupt", Wait::Interrupt),
                ],
            ),
            Wait::Adaptive,
        ),
        ring_entries,
        frames: frames.map(|at| at.value),
        frame_bytes,
        huge_pages: worker.flag("huge_pages").unwrap_or(false),
        zero_copy: value_or(
            worker.choice(
                "zero_copy",
                &[("auto", ZeroCopy::Auto), ("on", ZeroCopy::On), ("off", ZeroCopy::Off)],
            ),
            ZeroCopy::Auto,
        ),
        busy_poll_us: value_or(worker.integer("busy_poll_us", 1..=10_000), 20),
    }
}

fn read_service(service: &mut Section<'_, '_>) -> Option<Service> {
    let interface = service.text("interface");
    if let Some(at) = &interface {
        check_interface(service, at, "inline.service.interface");
    }
    let ipv4 = service
        .parsed::<Ipv4Net>("ipv4", "an address with its network, such as 10.0.0.2/24")
        .map(|at| at.value);
    let ipv6 = service
        .parsed::<Ipv6Net>("ipv6", "an address with its network, such as 2001:db8::2/64")
        .map(|at| at.value);
    let vlan = value_or(service.integer("vlan", 0..=4094_u16), 0);
    let line = service.line()?;
    if ipv4.is_none() && ipv6.is_none() {
        service.note(Some(line), "[inline.service] needs ipv4, ipv6 or both");
    }
    for address in
        [ipv4.map(|net| IpAddr::V4(net.addr())), ipv6.map(|net| IpAddr::V6(net.addr()))].into_iter().flatten()
    {
        if address.is_unspecified() || address.is_multicast() || address.is_loopback() {
            service
                .note(Some(line), format!("[inline.service] {address} is no address that a host can have"));
        }
    }
    Some(Service {
        interface: interface.map_or_else(|| "jarvis0".to_owned(), |at| at.value),
        ipv4,
        ipv6,
        vlan,
    })
}

fn read_defrag(defrag: &mut Section<'_, '_>) -> Defrag {
    Defrag {
        memory_bytes: value_or(defrag.integer("memory_bytes", 65_536..=1 << 30), 4 << 20),
        datagrams_max: value_or(defrag.integer("datagrams_max", 16..=1 << 20), 1_024),
        fragments_max: value_or(defrag.integer("fragments_max", 2..=255), 64),
        timeout_ms: value_or(defrag.integer("timeout_ms", 10..=60_000), 1_000),
        overlap: value_or(
            defrag.choice(
                "overlap",
                &[
                    ("drop", Overlap::Drop),
                    ("first", Overlap::First),
                    ("last", Overlap::Last),
                    ("bsd", Overlap::Bsd),
                    ("bsd-right", Overlap::BsdRight),
                    ("linux", Overlap::Linux),
                    ("windows", Overlap::Windows),
                    ("solaris", Overlap::Solaris),
                ],
            ),
            Overlap::Drop,
        ),
    }
}

fn read_flow(flow: &mut Section<'_, '_>) -> Flow {
    Flow {
        capacity: value_or(flow.integer("capacity", 1_024..=100_000_000), 1 << 20),
        vlan_in_key: flow.flag("vlan_in_key").unwrap_or(true),
        adopt_s: value_or(flow.integer("adopt_s", 0..=SECONDS_MAX), 60),
        eviction: value_or(
            flow.choice(
                "eviction",
                &[
                    ("protect", Eviction::Protect),
                    ("protected-last", Eviction::ProtectedLast),
                    ("closed-first", Eviction::ClosedFirst),
                    ("never", Eviction::Never),
                ],
            ),
            Eviction::Protect,
        ),
        timeout_s: flow.section("timeout_s", |timeout| TimeoutS {
            tcp_syn: value_or(timeout.integer("tcp_syn", 1..=SECONDS_MAX), 60),
            tcp_syn_received: value_or(timeout.integer("tcp_syn_received", 1..=SECONDS_MAX), 60),
            tcp_established: value_or(timeout.integer("tcp_established", 1..=SECONDS_MAX), 3600),
            tcp_unacknowledged: value_or(timeout.integer("tcp_unacknowledged", 1..=SECONDS_MAX), 300),
            tcp_fin: value_or(timeout.integer("tcp_fin", 1..=SECONDS_MAX), 120),
            tcp_last_ack: value_or(timeout.integer("tcp_last_ack", 1..=SECONDS_MAX), 30),
            tcp_time_wait: value_or(timeout.integer("tcp_time_wait", 1..=SECONDS_MAX), 60),
            tcp_closed: value_or(timeout.integer("tcp_closed", 1..=SECONDS_MAX), 10),
            udp_new: value_or(timeout.integer("udp_new", 1..=SECONDS_MAX), 30),
            udp_established: value_or(timeout.integer("udp_established", 1..=SECONDS_MAX), 300),
            icmp: value_or(timeout.integer("icmp", 1..=SECONDS_MAX), 30),
            sctp_new: value_or(timeout.integer("sctp_new", 1..=SECONDS_MAX), 30),
            sctp_established: value_or(timeout.integer("sctp_established", 1..=SECONDS_MAX), 600),
            sctp_closed: value_or(timeout.integer("sctp_closed", 1..=SECONDS_MAX), 10),
            other_new: value_or(timeout.integer("other_new", 1..=SECONDS_MAX), 30),
            other_established: value_or(timeout.integer("other_established", 1..=SECONDS_MAX), 300),
        }),
    }
}

fn read_eve(eve: &mut Section<'_, '_>, base: &Path) -> Eve {
    let file = eve.text("file");
    let types = eve.parsed_list::<EveType>(
        "types",
        "one of flow, alert, drop, stats, anomaly, transactions, or a protocol's event type such as tls or dns",
    );
    let types = match types {
        Some(at) => EveTypes {
            flow: at.value.contains(&EveType::Flow),
            alert: at.value.contains(&EveType::Alert),
            drop: at.value.contains(&EveType::Drop),
            stats: at.value.contains(&EveType::Stats),
            anomaly: at.value.contains(&EveType::Anomaly),
            transactions: at.value.contains(&EveType::Transactions),
            only: at
                .value
                .into_iter()
                .filter_map(|word| match word {
                    EveType::Only(name) => Some(name),
                    _ => None,
                })
                .collect(),
        },
        None => EveTypes {
            flow: true,
            alert: true,
            drop: true,
            stats: true,
            anomaly: true,
            transactions: true,
            only: Vec::new(),
        },
    };
    let file_hashes = eve.parsed_list::<FileHashName>("file_hashes", "md5, sha1 or sha256");
    let has_community_id = eve.flag("community_id").unwrap_or(false);
    let seed = value_or(eve.integer("community_id_seed", 0..=u16::MAX), 0);
    let rotate_bytes = eve.integer("rotate_bytes", 4_096..=u64::MAX / 2);
    let rotate_interval = eve.parsed::<Interval>(
        "rotate_interval",
        "minute, hour, day, or a number with s, m, h or d behind it, at most 366d",
    );
    Eve {
        drops_per_s: value_or(eve.integer("drops_per_s", 0..=1_000_000), 1_000),
        pcap_file: eve.flag("pcap_file").unwrap_or(false),
        file: file.map(|at| base.join(at.value)),
        types,
        file_hashes: file_hashes.map(|at| at.value).unwrap_or_default(),
        community_seed: has_community_id.then_some(seed),
        rotate_bytes: rotate_bytes.map(|at| at.value),
        rotate_interval_s: rotate_interval.map(|at| at.value.0),
        rotate_keep: value_or(eve.integer("rotate_keep", 0..=10_000), 7),
    }
}

/// A span of time as Suricata's `rotate-interval` has it, seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Interval(u64);

impl FromStr for Interval {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        const UNITS: &[(&str, u64)] = &[("s", 1), ("m", 60), ("h", 3_600), ("d", 86_400)];
        let seconds = match word {
            "minute" => 60,
            "hour" => 3_600,
            "day" => 86_400,
            _ => UNITS
                .iter()
                .find_map(|(unit, seconds)| {
                    let count: u64 = word.strip_suffix(unit)?.parse().ok()?;
                    count.checked_mul(*seconds)
                })
                .ok_or(())?,
        };
        if (1..=366 * 86_400).contains(&seconds) { Ok(Self(seconds)) } else { Err(()) }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum EveType {
    Flow,
    Alert,
    Drop,
    Stats,
    Anomaly,
    Transactions,
    /// Those of one protocol.
    Only(String),
}

impl FromStr for FileHashName {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        match word {
            "md5" => Ok(Self::Md5),
            "sha1" => Ok(Self::Sha1),
            "sha256" => Ok(Self::Sha256),
            _ => Err(()),
        }
    }
}

impl FromStr for EveType {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        match word {
            "flow" => Ok(Self::Flow),
            "alert" => Ok(Self::Alert),
            "drop" => Ok(Self::Drop),
            "stats" => Ok(Self::Stats),
            "anomaly" => Ok(Self::Anomaly),
            "transactions" => Ok(Self::Transactions),
            // Of several protocols.
            "fileinfo" => Ok(Self::Only(word.to_owned())),
            _ => {
                let known = |protocol: &Protocol| protocol.name == word || protocol.eve == Some(word);
                protocols::all().any(known).then(|| Self::Only(word.to_owned())).ok_or(())
            }
        }
    }
}

/// The least is some segments of some blocks.
const KEPT_BYTES_MIN: u64 = 16 << 20;

fn read_kept_log(log: &mut Section<'_, '_>) -> KeptLog {
    KeptLog { keep: log.flag("keep").unwrap_or(true), ..read_kept(log, 7 * 24 * 3_600, 2 << 30) }
}

/// How long a log is kept that is always kept.
fn read_kept(log: &mut Section<'_, '_>, age_s: u64, bytes: u64) -> KeptLog {
    KeptLog {
        keep: true,
        age_s_max: value_or(log.integer("age_max_s", 60..=100 * 366 * 24 * 3_600), age_s),
        bytes_max: value_or(log.integer("bytes_max", KEPT_BYTES_MIN..=1 << 60), bytes),
    }
}

pub(super) fn value_or<T>(at: Option<At<T>>, default: T) -> T {
    at.map_or(default, |at| at.value)
}

/// `IFNAMSIZ` leaves 15 bytes, and the kernel refuses `/`, `:` and spaces (`dev_valid_name`, net/core/dev.c).
fn check_interface(section: &Section<'_, '_>, at: &At<String>, key: &str) {
    let name = &at.value;
    let bad = name.is_empty()
        || name.len() > 15
        || name == "."
        || name == ".."
        || name.chars().any(|c| c == '/' || c == ':' || c.is_whitespace());
    if bad {
        section.note(Some(at.line), format!("{key} is \"{name}\", which no interface can be called"));
    }
}

fn check_name(section: &Section<'_, '_>, at: &At<String>, key: &str, len_max: usize) {
    if !is_name(&at.value, len_max) {
        section.note(Some(at.line), format!("{key} is \"{}\", must be {}", at.value, name_form(len_max)));
    }
}
