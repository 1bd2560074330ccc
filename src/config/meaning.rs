//! What does the configuration mean, once it has been checked?
//!
//! [`Config`] is what the rest of the process works with: every number is in range, every word is an
//! enum, every path is whole. It is made in one place, [`super::reading`].

use super::identity::Identity;
use super::tls::ApiTls;
use controlplane::services::auth::algorithm::Algorithm;
use controlplane::services::auth::session::TokenForm;
use dataplane::control::ParserErrorAction;
use dataplane::stream::{Policy, UrgentPolicy};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use zeroize::Zeroizing;

/// A checked configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Config {
    /// Bump in the wire, or listening to a mirror.
    pub mode: Mode,
    /// Names the pinned wire, so that two appliances fit on one machine.
    pub name: String,
    /// Two for inline, one for tap; fewer only where [`Ports::Optional`] was asked for.
    pub ports: Vec<Port>,
    /// The XDP program.
    pub wire: Wire,
    /// The packet path's threads.
    pub worker: Worker,
    /// Cores that the control plane keeps; empty: all that no worker has.
    pub control_cores: Vec<usize>,
    /// The box's own in-band addresses.
    pub service: Option<Service>,
    /// Flow tracking.
    pub flow: Flow,
    /// Fragments.
    pub defrag: Defrag,
    /// How TCP is put together.
    pub stream: Stream,
    /// What to do when something runs out or does not fit.
    pub exceptions: Exceptions,
    /// The policy file; `None` is the embedded one.
    pub policy_file: Option<PathBuf>,
    /// At most so many RSTs and ICMP errors a second and worker.
    pub reject_per_s: u32,
    /// Where mirror copies leave.
    pub mirror: Option<String>,
    /// What the process says about itself.
    pub log: Log,
    /// The control plane's doors.
    pub api: Api,
    /// Who may use them.
    pub auth: Auth,
    /// The event file.
    pub eve: Eve,
    /// Recognition of protocols and applications.
    pub inspect: Inspect,
    /// Who uses which address.
    pub identity: Identity,
    /// Signatures.
    pub rules: Rules,
    /// Logs of events.
    pub store: Store,
    /// Where what must outlive the process is kept.
    pub state_directory: PathBuf,
    /// Facts to announce once the log is up.
    #[serde(skip)]
    pub notices: Vec<String>,
}

impl Config {
    /// Gives the wire another name, as the command line asks.
    ///
    /// # Errors
    ///
    /// What a name must be.
    pub(crate) fn rename(&mut self, name: &str) -> Result<(), String> {
        if !is_name(name, NAME_LEN_MAX) {
            return Err(format!("--name is \"{name}\", must be {}", name_form(NAME_LEN_MAX)));
        }
        name.clone_into(&mut self.name);
        Ok(())
    }
}

/// How the box sits in the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Mode {
    /// Two ports, verdicts are obeyed.
    Inline,
    /// One port on a mirror, verdicts are advice.
    Tap,
}

/// One network port of the appliance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Port {
    /// The interface's name.
    pub interface: String,
    /// What policies call this side.
    pub zone: String,
    /// What to make of wrong layer 4 checksums.
    pub checksum: Checksum,
    /// Source addresses that belong here; empty: any.
    pub networks: Vec<IpNet>,
}

/// What to make of layer 4 checksums that came in by a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Checksum {
    /// Check; forward a bad one but keep it from the state machine.
    Verify,
    /// Do not look.
    AssumeGood,
    /// Check and drop a bad one.
    DropBad,
}

/// The XDP program and its pins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Wire {
    /// What the wire does without us.
    pub fail_mode: FailMode,
    /// Silence of a worker after which the fail mode holds.
    pub watchdog_ms: u32,
    /// Whether a link that goes down takes the other one with it.
    pub link_propagation: bool,
    /// A directory on a bpffs.
    pub pin_root: PathBuf,
}

/// What the wire does while no worker serves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FailMode {
    /// The kernel forwards, uninspected.
    Open,
    /// Nothing passes.
    Closed,
}

/// The packet path's threads and their memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Worker {
    /// One a queue pair.
    pub count: u8,
    /// A core for each worker; empty: chosen at start.
    pub cores: Vec<usize>,
    /// How a worker waits for packets.
    pub wait: Wait,
    /// Descriptors in each ring, a power of two.
    pub ring_entries: u32,
    /// Frames of each worker's UMEM; `None`: four rings for each port.
    pub frames: Option<u32>,
    /// 2048 or 4096.
    pub frame_bytes: u32,
    /// Whether the UMEM lies in huge pages.
    pub huge_pages: bool,
    /// Whether the driver shares its buffers with us.
    pub zero_copy: ZeroCopy,
    /// `SO_BUSY_POLL` in microseconds, for [`Wait::BusyPoll`].
    pub busy_poll_us: u32,
}

/// How a worker waits for packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Wait {
    /// Spins while there is traffic, sleeps in `poll` when there is none.
    Adaptive,
    /// Never sleeps, drives the driver itself.
    BusyPoll,
    /// Sleeps in `poll` after every empty look.
    Interrupt,
}

/// Whether frames are shared with the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ZeroCopy {
    /// Where the driver has it.
    Auto,
    /// Refuse to start without.
    On,
    /// Never.
    Off,
}

/// The `host` port and its in-band addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Service {
    /// Name of the TAP device.
    pub interface: String,
    /// Address answered by ARP, with its network.
    pub ipv4: Option<Ipv4Net>,
    /// Address answered by neighbour discovery, with its network.
    pub ipv6: Option<Ipv6Net>,
    /// VLAN that the addresses live in; 0: untagged.
    pub vlan: u16,
}

/// Flow tracking.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Flow {
    /// Flows over all workers.
    pub capacity: u32,
    /// Whether VLANs tell flows apart.
    pub vlan_in_key: bool,
    /// Seconds after a start in which mid-stream flows are picked up.
    pub adopt_s: u32,
    /// Who goes first when the table is full.
    pub eviction: Eviction,
    /// Idle times.
    pub timeout_s: TimeoutS,
}

/// Who goes first when the flow table is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Eviction {
    /// Embryonic, closed, the longest idle; never a protected flow.
    Protect,
    /// The same, then protected flows that are idle.
    ProtectedLast,
    /// Closed, embryonic, the longest idle; never a protected flow.
    ClosedFirst,
    /// Nobody: new flows meet `exceptions.flow_table_full`.
    Never,
}

/// Seconds of silence after which a flow ends, by state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct TimeoutS {
    /// TCP: SYN seen, not answered yet.
    pub tcp_syn: u32,
    /// TCP: SYN/ACK seen, not acknowledged yet.
    pub tcp_syn_received: u32,
    /// TCP: open.
    pub tcp_established: u32,
    /// TCP: open, with data that the receiver has not acknowledged.
    pub tcp_unacknowledged: u32,
    /// TCP: after the first FIN.
    pub tcp_fin: u32,
    /// TCP: both FINs, one not acknowledged.
    pub tcp_last_ack: u32,
    /// TCP: both FINs acknowledged.
    pub tcp_time_wait: u32,
    /// TCP: reset.
    pub tcp_closed: u32,
    /// UDP: one way.
    pub udp_new: u32,
    /// UDP: both ways.
    pub udp_established: u32,
    /// ICMP and ICMPv6.
    pub icmp: u32,
    /// SCTP: one way.
    pub sctp_new: u32,
    /// SCTP: both ways.
    pub sctp_established: u32,
    /// SCTP: after ABORT or SHUTDOWN COMPLETE.
    pub sctp_closed: u32,
    /// Any other protocol: one way.
    pub other_new: u32,
    /// Any other protocol: both ways.
    pub other_established: u32,
}

/// Fragment memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Defrag {
    /// Bytes of held fragments, each worker.
    pub memory_bytes: u32,
    /// Datagrams that are put together at once, each worker.
    pub datagrams_max: u32,
    /// Fragments of one datagram.
    pub fragments_max: u32,
    /// How long a datagram may take to be complete.
    pub timeout_ms: u32,
    /// Whose bytes count where fragments overlap, in tap and replay; inline such a datagram is dropped.
    pub overlap: Overlap,
}

/// Whose bytes count where fragments overlap: the target's stack decides (Novak, 2005).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Overlap {
    Drop,
    First,
    Last,
    Bsd,
    BsdRight,
    Linux,
    Windows,
    Solaris,
}

/// How TCP is put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Stream {
    /// Bytes that all streams may hold, each worker.
    pub memory_bytes: u32,
    /// Whose bytes count where segments overlap, in tap and replay; inline those that came first.
    #[serde(serialize_with = "lower")]
    pub overlap: Policy,
    /// What becomes of urgent bytes.
    #[serde(serialize_with = "urgent_label")]
    pub urgent: UrgentPolicy,
}

/// What to do when something runs out or does not fit, in the manner of Suricata's exception policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Exceptions {
    /// No slot for a new flow and nothing to evict.
    pub flow_table_full: Exception,
    /// No room to hold another fragment.
    pub fragment_memory: Exception,
    /// No room for a TCP segment that must wait to be inspected.
    pub reassembly_memory: Exception,
    /// TCP bytes come again that could not be remembered.
    pub overlap_unverified: Exception,
    /// A signature's tests took more steps than they may.
    pub rule_budget: Exception,
    /// A parser cannot go on with a payload, or with its flow.
    #[serde(serialize_with = "parser_error_label")]
    pub parser_error: ParserErrorAction,
    /// A segment of a connection whose start was not seen.
    pub midstream: Exception,
    /// Only one direction crosses the box.
    pub oneway: Exception,
}

/// One answer to an exception.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Exception {
    /// As the wire would without us: open forwards unjudged, closed drops.
    FailMode,
    /// Judge it as any other, as far as it is known.
    Ignore,
    /// Forward it unjudged.
    Pass,
    /// Drop.
    Drop,
    /// Drop and tell the sender.
    Reject,
}

/// What the process says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Log {
    /// The least severe level written.
    pub level: Level,
    /// One JSON object a line, or text.
    pub json: bool,
}

/// Log levels, the most severe first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Level {
    /// Something failed.
    Error,
    /// Something needs a look.
    Warn,
    /// What happened.
    Info,
    /// How it happened.
    Debug,
    /// Everything.
    Trace,
}

/// The control plane's doors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Api {
    /// TCP, for whoever has a token.
    pub listen: SocketAddr,
    /// Unix socket, mode 0600, for the operator.
    pub socket: PathBuf,
    /// Pages of these origins may call.
    pub origins: Vec<String>,
    /// Reading calls a second and client; `None`: as many as it likes.
    pub rate_per_s: Option<u32>,
    /// TLS over TCP, and clients' certificates.
    pub tls: ApiTls,
}

/// Who may use the doors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Auth {
    /// Signs tokens.
    #[serde(serialize_with = "name")]
    pub algorithm: Algorithm,
    /// Written by `jarvis keygen`; `None` is the box's own in the state directory.
    pub key_file: Option<PathBuf>,
    /// Life of an access token, seconds.
    pub access_ttl_s: u32,
    /// Life of a session that nobody refreshes, seconds.
    pub refresh_ttl_s: u32,
    /// What access tokens look like where a login does not say.
    pub token_form: TokenForm,
    /// The environment's keys.
    pub secrets: KeySecrets,
}

/// Keys that the environment brings.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct KeySecrets {
    /// `PQC_SK_B64`.
    pub pqc_secret: Option<Secret>,
    /// `PQC_PK_B64`.
    pub pqc_public: Option<Secret>,
    /// `API_HMAC_KEY`.
    pub hmac: Option<Secret>,
}

/// Text that is shown to nobody, and wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(Zeroizing<String>);

impl Secret {
    pub(crate) fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text itself.
    pub(crate) fn text(&self) -> &str {
        &self.0
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("(set)")
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// The event file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Eve {
    /// Appended to, opened anew on SIGHUP; `None` writes none.
    pub file: Option<PathBuf>,
    /// Kinds of event that are written.
    pub types: EveTypes,
    /// At most so many records of packets that flows lose after their first one, a second and worker.
    pub drops_per_s: u32,
    /// Whether a replay's records name the capture file.
    pub pcap_file: bool,
    /// Hashes that records of files have, whatever rules ask for.
    pub file_hashes: Vec<FileHashName>,
    /// Seed of `community_id`; `None` leaves it out of events.
    pub community_seed: Option<u16>,
    /// Size of the file that starts a new one, bytes; `None` for none.
    pub rotate_bytes: Option<u64>,
    /// How often a new file is started, seconds: whenever the time since 1970 is a multiple of it.
    pub rotate_interval_s: Option<u64>,
    /// Old files kept.
    pub rotate_keep: u32,
}

/// A hash of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum FileHashName {
    Md5,
    Sha1,
    Sha256,
}

/// Kinds of event that are written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is one independent switch of the file")]
pub(crate) struct EveTypes {
    /// One a flow, at its end.
    pub flow: bool,
    /// Signatures that matched.
    pub alert: bool,
    /// One a flow that policy drops.
    pub drop: bool,
    /// Counters, every few seconds.
    pub stats: bool,
    /// Malformed traffic.
    pub anomaly: bool,
    /// Transactions of every protocol.
    pub transactions: bool,
    /// Transactions of these event types.
    pub only: Vec<String>,
}

/// What is kept in segments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Store {
    /// Alerts, drops, anomalies and what protocols tell.
    pub events: KeptLog,
    /// Flows that ended.
    pub flows: KeptLog,
    /// Who changed what, which is always kept.
    pub audit: KeptLog,
    /// Where the box key is; `None`: where systemd puts it, else in the state directory.
    pub box_key_file: Option<PathBuf>,
}

/// Whether a log is kept, and for how long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct KeptLog {
    /// Whether at all.
    pub keep: bool,
    /// What is older goes, seconds.
    pub age_s_max: u64,
    /// The oldest goes while there are more bytes than this.
    pub bytes_max: u64,
}

/// Whether and how payload is looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Inspect {
    /// Whether at all.
    pub enabled: bool,
    /// The operator's own applications, read after those that come with the program.
    pub applications: Option<PathBuf>,
    /// Commands of one FTP connection that are under way at once.
    pub ftp_transactions_max: u32,
}

/// Signatures in Suricata's language.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Rules {
    /// Files, directories or patterns.
    pub files: Vec<PathBuf>,
    /// Whether TCP that is seen from its middle is looked into.
    pub midstream: bool,
    /// Matches of one packet that are told.
    pub alerts_per_packet: u16,
    /// Bytes of the payload that an alert brings; 0 for none.
    pub payload_bytes: u32,
    /// Whether an alert brings its packet.
    pub packet: bool,
    /// Whether packets are recorded that `tag` asks for.
    pub tagged_packets: bool,
    /// Lists of rules that are not in force (`disable.conf` of suricata-update).
    pub disable: Vec<PathBuf>,
    /// Lists of rules that are, whatever those say.
    pub enable: Vec<PathBuf>,
    /// Lists of rules that drop instead of alerting.
    pub drop: Vec<PathBuf>,
    /// Lists of rules that are written otherwise.
    pub modify: Vec<PathBuf>,
    /// What is said of alerts beside the rules (`threshold.config` of Suricata).
    pub thresholds: Vec<PathBuf>,
    /// Classes of rules (`classification.config`); Suricata's own where there is none.
    pub classifications: Vec<PathBuf>,
    /// Where references of rules are found (`reference.config`); Suricata's own where there is none.
    pub references: Vec<PathBuf>,
    /// Countries of addresses for rules and policies, a database in MaxMind's format.
    pub geoip_database: Option<PathBuf>,
    /// Categories of what is said of addresses (`categories.txt` of Suricata).
    pub reputation_categories: Vec<PathBuf>,
    /// What is said of addresses (lists of Suricata's IP reputation).
    pub reputation_files: Vec<PathBuf>,
    /// Address groups by name, beside the usual ones.
    pub addresses: BTreeMap<String, String>,
    /// Port groups by name, beside the usual ones.
    pub ports: BTreeMap<String, String>,
}

fn name<S: Serializer>(algorithm: &Algorithm, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(algorithm)
}

fn lower<S: Serializer>(policy: &Policy, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format!("{policy:?}").to_ascii_lowercase())
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn parser_error_label<S: Serializer>(action: &ParserErrorAction, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(match action {
        ParserErrorAction::Ignore => "ignore",
        ParserErrorAction::PassPacket => "pass_packet",
        ParserErrorAction::PassFlow => "pass",
        ParserErrorAction::DropPacket => "drop_packet",
        ParserErrorAction::DropFlow => "drop",
        ParserErrorAction::Reject => "reject",
    })
}

fn urgent_label<S: Serializer>(policy: &UrgentPolicy, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(policy.label())
}

/// Ports named on the command line; they replace the file's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct PortFlags {
    /// `--inside`.
    pub inside: Option<String>,
    /// `--outside`.
    pub outside: Option<String>,
    /// `--tap`; switches to tap mode.
    pub tap: Option<String>,
}

impl PortFlags {
    /// Whether any port was named.
    pub(super) fn given(&self) -> bool {
        self.inside.is_some() || self.outside.is_some() || self.tap.is_some()
    }
}

/// Whether a configuration without ports will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ports {
    /// For a live wire.
    Required,
    /// For replay, and for a look at the embedded defaults.
    Optional,
}

/// A wire's name becomes a directory's.
pub(super) const NAME_LEN_MAX: usize = 64;

/// Whether `word` can name something.
pub(super) fn is_name(word: &str, len_max: usize) -> bool {
    let fine = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    !word.is_empty() && word.len() <= len_max && word.chars().all(fine)
}

/// What such a word looks like.
pub(super) fn name_form(len_max: usize) -> String {
    format!("1 to {len_max} letters, digits, hyphens and underscores")
}
