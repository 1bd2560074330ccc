//! What was typed?
//!
//! Words and flags only; what they mean together with the file is decided in [`crate::config`]. Wrong
//! usage ends here with exit code 2.

use crate::config::PortFlags;
use clap::{Args, Parser, Subcommand, ValueEnum};
use controlplane::services::auth::algorithm::Algorithm;
use controlplane::services::auth::role::Role;
use std::path::PathBuf;

/// Inline security appliance over AF_XDP.
///
/// Frames come in on one port, are parsed, tracked and judged on one core, and leave on the other port or
/// do not leave at all.
#[derive(Debug, Parser)]
#[command(name = "jarvis", version, max_term_width = 110, arg_required_else_help = true)]
#[command(after_help = "Exit codes: 0 done, 1 the input is wrong or the machine refuses, 2 wrong usage.")]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// One thing that the program does.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Put the appliance on the wire and serve until SIGTERM.
    ///
    /// SIGHUP reads the files of policies, applications and rules again and opens the event file anew. After an orderly stop, as after a
    /// crash, the XDP program stays and the wire's fail mode holds: only `detach` removes it.
    Run(Live),
    /// Attach the wire and leave: its fail mode holds until `run` serves it.
    Attach(Live),
    /// Judge capture files with the same engine; time comes from the files.
    Replay(Replay),
    /// Tell everything that is wrong with a configuration and its policies.
    Check(Check),
    /// Take the XDP program and its pins off the ports.
    ///
    /// The wire is dead from then on, unless something else forwards between its ports.
    Detach(Detach),
    /// Ask a running daemon, or tell it what to do.
    Ctl(Ctl),
    /// Look after the record of who changed what.
    Audit(Audit),
    /// Make a key that signs tokens.
    ///
    /// With --out into a file for `[auth] key_file`; without it as lines of an environment file, PQC_SK_B64 and PQC_PK_B64
    /// (API_HMAC_KEY with HS256). A box without either makes a key of its own at its first start.
    Keygen(Keygen),
    /// Put back what `ctl backup` has saved, while no daemon runs.
    ///
    /// All of it or nothing: it is unpacked and compared with its manifest beside what is there, then takes its place by renames
    /// that the next start ends where something interrupts them.
    Restore(Restore),
    /// Get a token for a program from a running daemon, to stand behind `Authorization: Bearer`.
    Token(Token),
    /// Watch a running daemon: rates, workers, applications, alerts, each second until `q`.
    Top(Top),
    /// Print a script that lets a shell complete what is typed: commands, flags and their values.
    #[command(after_help = "bash: jarvis completions bash > /usr/share/bash-completion/completions/jarvis\n\
                            zsh:  jarvis completions zsh > /usr/share/zsh/vendor-completions/_jarvis\n\
                            fish: jarvis completions fish > /usr/share/fish/vendor_completions.d/jarvis.fish")]
    Completions {
        /// For which shell.
        shell: ShellName,
    },
}

/// `top`.
#[derive(Debug, Args)]
pub(crate) struct Top {
    /// The daemon's socket, instead of the configuration's.
    #[arg(long, value_name = "FILE")]
    pub socket: Option<PathBuf>,
    #[command(flatten)]
    pub config: ConfigFlag,
}

/// Shells that are completed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ShellName {
    /// GNU bash.
    Bash,
    /// zsh.
    Zsh,
    /// fish.
    Fish,
}

/// `restore`.
#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// The backup.
    #[arg(value_name = "FILE")]
    pub backup: PathBuf,
    #[command(flatten)]
    pub config: ConfigFlag,
    /// The box's name, instead of the configuration's.
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Move what is there aside, to NAME.before-restore in the state directory.
    #[arg(long)]
    pub force: bool,
    /// File whose first line is the passphrase of the box key in the backup.
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
    /// File of the box key that the box key in the backup is sealed to.
    #[arg(long, value_name = "FILE", conflicts_with = "passphrase_file")]
    pub recipient_key: Option<PathBuf>,
    /// JWK set of the box (`GET /auth/keys`): only what these keys signed is believed.
    #[arg(long, value_name = "FILE")]
    pub keys: Option<PathBuf>,
}

/// `audit`.
#[derive(Debug, Args)]
pub(crate) struct Audit {
    /// What about it.
    #[command(subcommand)]
    pub command: AuditCommand,
}

/// What about the audit.
#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Read all of it and say whether it is what was written; needs no daemon and disturbs none.
    ///
    /// Names each entry that was removed, changed or moved. Exit code 1 where there is one.
    Verify {
        #[command(flatten)]
        config: ConfigFlag,
        /// Where it is, instead of the configuration's: NAME.segments, or audit in it.
        #[arg(long, value_name = "DIRECTORY")]
        directory: Option<PathBuf>,
        /// Keys to believe, instead of the configuration's: a JWK set as of GET /auth/keys, or a key file.
        #[arg(long, value_name = "FILE")]
        keys: Option<PathBuf>,
    },
}

/// `keygen`.
#[derive(Debug, Args)]
pub(crate) struct Keygen {
    /// File to write, mode 0600; one that is there is left alone but for --rotate.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// SLH-DSA-SHA2-128s, SLH-DSA-SHA2-128f, SLH-DSA-SHAKE-128s, ML-DSA-44, ML-DSA-65, ML-DSA-87 or HS256; the first
    /// where left out, or that of the key before.
    #[arg(long, value_name = "NAME")]
    pub algorithm: Option<Algorithm>,
    /// Put the new key before those in the file, whose tokens stay good.
    #[arg(long, requires = "out")]
    pub rotate: bool,
}

/// `token`.
#[derive(Debug, Args)]
pub(crate) struct Token {
    /// The daemon's socket, instead of the configuration's.
    #[arg(long, value_name = "FILE")]
    pub socket: Option<PathBuf>,
    #[command(flatten)]
    pub config: ConfigFlag,
    #[command(flatten)]
    pub token: TokenArgs,
}

/// A token for a program.
#[derive(Debug, Args)]
pub(crate) struct TokenArgs {
    /// The account that it speaks for.
    pub username: String,
    /// What it is for, shown in the list of sessions.
    #[arg(long, value_name = "TEXT")]
    pub purpose: String,
    /// How long it is good, seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 30 * 24 * 3_600)]
    pub ttl_s: u64,
    /// A handle of 47 characters instead of a JWT of 10 KB.
    #[arg(long)]
    pub reference: bool,
}

/// The file that everything else follows from.
#[derive(Debug, Args)]
pub(crate) struct ConfigFlag {
    /// Configuration file (TOML); the embedded defaults where left out.
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
}

/// Which interfaces are ports, over what the file says.
#[derive(Debug, Args)]
pub(crate) struct PortArgs {
    /// First port, instead of the file's.
    #[arg(long, value_name = "INTERFACE", conflicts_with = "tap")]
    pub inside: Option<String>,
    /// Second port, instead of the file's.
    #[arg(long, value_name = "INTERFACE", conflicts_with = "tap")]
    pub outside: Option<String>,
    /// The one port of tap mode, instead of the file's ports and mode.
    #[arg(long, value_name = "INTERFACE")]
    pub tap: Option<String>,
}

impl PortArgs {
    /// As the configuration wants them.
    pub(crate) fn flags(&self) -> PortFlags {
        PortFlags { inside: self.inside.clone(), outside: self.outside.clone(), tap: self.tap.clone() }
    }
}

/// `run` and `attach`.
#[derive(Debug, Args)]
pub(crate) struct Live {
    #[command(flatten)]
    pub config: ConfigFlag,
    #[command(flatten)]
    pub ports: PortArgs,
    /// Policy file, instead of the configuration's.
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// Event file (EVE JSON), instead of the configuration's.
    #[arg(long, value_name = "FILE")]
    pub eve: Option<PathBuf>,
    /// The wire's name, instead of the configuration's.
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Unix socket of the control plane, instead of the configuration's.
    #[arg(long, value_name = "FILE")]
    pub socket: Option<PathBuf>,
    /// TCP address of the API, instead of the configuration's.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<std::net::SocketAddr>,
}

/// `replay`.
#[derive(Debug, Args)]
pub(crate) struct Replay {
    /// Capture files (pcap or pcapng), in the order of their time.
    #[arg(required = true, value_name = "PCAP")]
    pub captures: Vec<PathBuf>,
    #[command(flatten)]
    pub config: ConfigFlag,
    /// Policy file, instead of the configuration's.
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// Policy file that is asked beside the other and not obeyed: `jarvis.shadow` of each flow says how it would fare under it.
    #[arg(long, value_name = "FILE")]
    pub shadow: Option<PathBuf>,
    /// Rules in Suricata's language, instead of the configuration's: files, directories (their *.rules) or quoted patterns.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub rules: Vec<PathBuf>,
    /// Where events go (EVE JSON, one a line); `-` is the standard output.
    #[arg(long, value_name = "FILE")]
    pub eve: PathBuf,
    /// Judge as inline does, instead of as an observer: verdicts are obeyed.
    #[arg(long)]
    pub inline: bool,
    /// Layer 4 checksums: check them, or take them as good (captures of offloaded senders).
    #[arg(short = 'k', long = "checksum", value_name = "WHAT", default_value = "all")]
    pub checksum: ChecksumFlag,
}

/// Suricata's `-k`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ChecksumFlag {
    /// Check; a bad one is kept from the state machine.
    All,
    /// Take all as good.
    None,
}

/// `check`.
#[derive(Debug, Args)]
pub(crate) struct Check {
    #[command(flatten)]
    pub config: ConfigFlag,
    #[command(flatten)]
    pub ports: PortArgs,
    /// Policy file, instead of the configuration's.
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// Rules in Suricata's language, under the groups, lists, thresholds and classes that the configuration names: files,
    /// directories (their *.rules) or quoted patterns.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub rules: Vec<PathBuf>,
}

/// `detach`.
#[derive(Debug, Args)]
pub(crate) struct Detach {
    #[command(flatten)]
    pub config: ConfigFlag,
    /// The wire's name, where there is no configuration; `jarvis` where left out.
    #[arg(long, value_name = "NAME", conflicts_with = "config")]
    pub name: Option<String>,
    /// Where it is pinned, where there is no configuration.
    #[arg(long, value_name = "DIRECTORY", conflicts_with = "config", default_value = xsk::PIN_ROOT)]
    pub pin_root: PathBuf,
}

/// `ctl`.
#[derive(Debug, Args)]
pub(crate) struct Ctl {
    /// The answer as the API gave it, as JSON, instead of tables for people.
    #[arg(long, global = true)]
    pub json: bool,
    /// The daemon's socket, instead of the configuration's.
    #[arg(long, value_name = "FILE", global = true)]
    pub socket: Option<PathBuf>,
    #[command(flatten)]
    pub config: ConfigFlag,
    /// What to ask.
    #[command(subcommand)]
    pub command: CtlCommand,
}

/// One question, or one order.
#[derive(Debug, Subcommand)]
pub(crate) enum CtlCommand {
    /// Totals of all workers.
    Status,
    /// One part of the telemetry.
    Telemetry {
        /// Which.
        part: TelemetryPart,
        /// Of history: step=1s|1m|1h, from=SECONDS, to=SECONDS, series=NAME,NAME, limit=N, cursor=C. Of talkers: by=src|dst|either,
        /// window=1m|1h|start, live=true, limit=N. Of users: limit=N.
        #[arg(value_name = "KEY=VALUE")]
        filter: Vec<String>,
    },
    /// The daemon itself: its configuration, its log, its files, its place on the wire.
    Admin {
        /// What about it.
        #[command(subcommand)]
        command: AdminCommand,
    },
    /// Save all that the box keeps to one file while it runs: accounts, policies, audit, events.
    Backup {
        /// The file; it is there once it is whole.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// File whose first line is a passphrase, 15 characters or more: the box key goes along under it.
        #[arg(long, value_name = "FILE")]
        passphrase_file: Option<PathBuf>,
        /// ML-KEM-768 public key in Base64: the box key goes along for who has the other half.
        #[arg(long, value_name = "KEY", conflicts_with = "passphrase_file")]
        recipient: Option<String>,
    },
    /// Live flows.
    Flows {
        /// Filters: ip=ADDRESS[/BITS], port=N, proto=NAME, state=new|established|closed, flow_id=N, cursor=C.
        #[arg(value_name = "KEY=VALUE")]
        filter: Vec<String>,
        /// Flows wanted.
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
    /// End one flow.
    EndFlow {
        /// Its `flow_id`.
        flow_id: u64,
    },
    /// The policies in force.
    Policy {
        /// What about them.
        #[command(subcommand)]
        command: PolicyCommand,
    },
    /// The block list of the XDP program; it holds while the daemon is down.
    Block {
        /// What about it.
        #[command(subcommand)]
        command: BlockCommand,
    },
    /// Let everything that is not blocked pass in the kernel, around inspection, or end that.
    Bypass {
        /// Whether.
        state: OnOff,
    },
    /// Accounts, their sessions and tokens.
    User {
        /// What about them.
        #[command(subcommand)]
        command: UserCommand,
    },
    /// Who changed what.
    Audit {
        /// Filters: actor=NAME, action=NAME, target=TEXT, address=ADDRESS, from=SECONDS, to=SECONDS, cursor=C.
        #[arg(value_name = "KEY=VALUE")]
        filter: Vec<String>,
        /// Entries wanted.
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
    /// What happens, a line of JSON each; as it happens with --follow, else what the disk has.
    Events {
        /// Topics: alerts, flows, protocols, traffic, policy, system. Left out: alerts.
        #[arg(value_name = "TOPIC")]
        topics: Vec<String>,
        /// Only what fits, such as ip=10.0.0.0/8, port=53, proto=udp, event_type=drop, flow_id=N, application=NAME,
        /// policy_id=NAME, reason=NAME, user=NAME, risk_score_min=N; may be given several times.
        #[arg(long, value_name = "KEY=VALUE")]
        filter: Vec<String>,
        /// Go on until interrupted; after a restart of the daemon from where it was.
        #[arg(long)]
        follow: bool,
        /// Without --follow: told in the last so many seconds.
        #[arg(long, value_name = "SECONDS", default_value_t = 3_600, conflicts_with = "follow")]
        since: u64,
    },
    /// Collect what whoever helps needs to know, in one archive without any secret.
    ///
    /// Telemetry, versions of policies, the audit's verdict, the configuration, kernel and network cards, the last lines of the
    /// log. What cannot be had, as from a daemon that is down, is named in the archive's `manifest.json` and left out.
    SupportBundle {
        /// Archive to write (tar, zstd), mode 0600; one that is there is left alone.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// With the policies themselves, not only the list of their versions.
        #[arg(long)]
        with_policies: bool,
        /// Log file whose last lines to take, instead of what journald has of the unit `jarvis`.
        #[arg(long, value_name = "FILE")]
        log: Option<PathBuf>,
    },
    /// Which applications are in a capture file; the daemon reads it beside the traffic.
    Classify {
        /// pcap or pcapng.
        #[arg(value_name = "PCAP")]
        capture: PathBuf,
    },
    /// What takes longer than a call: how far it is, and what came of it.
    Jobs {
        /// One of them, with its result.
        #[arg(value_name = "JOB")]
        job_id: Option<String>,
        /// End it, or forget it where it has ended.
        #[arg(long, requires = "job_id")]
        cancel: bool,
    },
    /// Why a live flow gets through, or does not: each policy that was tried, and what its conditions met.
    Explain {
        /// Its number, as events and `flows` have it.
        flow_id: u64,
        /// Policies that do not match are told up to this many.
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(0..=10_000))]
        tried: u32,
    },
    /// Who uses which address.
    Identity {
        /// What about it.
        #[command(subcommand)]
        command: IdentityCommand,
    },
    /// What must not go, whatever retention says.
    Hold {
        /// What about it.
        #[command(subcommand)]
        command: HoldCommand,
    },
    /// Addresses that events are posted to.
    Webhook {
        /// What about them.
        #[command(subcommand)]
        command: WebhookCommand,
    },
    /// What is looked for in traffic.
    Dpi {
        /// What of it.
        #[command(subcommand)]
        command: DpiCommand,
    },
    /// Any reading call of the API.
    Get {
        /// Path and query, such as /telemetry/wire.
        path: String,
    },
}

/// Parts of the telemetry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TelemetryPart {
    /// By worker.
    Workers,
    /// By port and queue.
    Ports,
    /// By reason of a drop or notice.
    Reasons,
    /// Batch time and ring-to-ring time.
    Latency,
    /// By application, those with the most bytes.
    Applications,
    /// What there was each second, minute or hour.
    History,
    /// Addresses, those with the most bytes.
    Talkers,
    /// Users, those with the most bytes.
    Users,
    /// The XDP program.
    Wire,
}

impl TelemetryPart {
    /// As the API calls it.
    pub(crate) const fn path(self) -> &'static str {
        match self {
            Self::Workers => "workers",
            Self::Ports => "ports",
            Self::Reasons => "reasons",
            Self::Latency => "latency",
            Self::Applications => "applications",
            Self::History => "history",
            Self::Talkers => "talkers",
            Self::Users => "users",
            Self::Wire => "wire",
        }
    }
}

/// `ctl admin`.
#[derive(Debug, Subcommand)]
pub(crate) enum AdminCommand {
    /// The configuration in force, without secrets.
    Config,
    /// Read policies, applications and certificates again, as SIGHUP does, and say what became of each.
    Reload,
    /// How much the log says; with a level, change it.
    LogLevel {
        /// error, warn, info, debug or trace.
        level: Option<String>,
        /// For so many seconds; then it returns by itself.
        #[arg(long, value_name = "SECONDS", requires = "level")]
        for_s: Option<u64>,
    },
    /// Take the box off the wire, so that its fail mode holds, or put it back.
    Drain {
        /// Whether.
        state: OnOff,
    },
}

/// `ctl policy shadow`.
#[derive(Debug, Subcommand)]
pub(crate) enum ShadowCommand {
    /// Begin, in the place of the one that runs; a restart of the daemon ends it.
    Start {
        /// JSON file with a whole policy set, `-` for the standard input.
        #[arg(value_name = "FILE")]
        policies: PathBuf,
        /// Why, for the audit.
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// What it would have done differently so far.
    Show,
    /// End it.
    Stop,
}

/// `ctl policy`.
#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// The set in force, in evaluation order, with what each policy did.
    Show {
        /// Filters: name=PART, enabled=true|false, action=NAME, unused=true|false, cursor=C.
        #[arg(value_name = "KEY=VALUE")]
        filter: Vec<String>,
        /// Policies wanted.
        #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
    },
    /// One policy; with --json as `set` takes it.
    Get {
        /// Its `policy_id`.
        policy_id: String,
    },
    /// Add a policy; one with its id must not be there.
    Add {
        /// JSON file with the policy, `-` for the standard input.
        #[arg(value_name = "FILE")]
        policy: PathBuf,
        #[command(flatten)]
        why: Why,
    },
    /// Put a policy in the place of the one with this id, or add it.
    Set {
        /// Its `policy_id`.
        policy_id: String,
        /// JSON file with the policy, `-` for the standard input.
        #[arg(value_name = "FILE")]
        policy: PathBuf,
        #[command(flatten)]
        why: Why,
    },
    /// Change what is given of a policy and nothing else (a JSON merge patch).
    Change {
        /// Its `policy_id`.
        policy_id: String,
        /// Such as '{"priority": 50}'.
        #[arg(value_name = "JSON")]
        patch: String,
        #[command(flatten)]
        why: Why,
    },
    /// Let a policy be evaluated.
    Enable {
        /// Its `policy_id`.
        policy_id: String,
        #[command(flatten)]
        why: Why,
    },
    /// Let a policy be evaluated no more, without removing it.
    Disable {
        /// Its `policy_id`.
        policy_id: String,
        #[command(flatten)]
        why: Why,
    },
    /// Remove a policy.
    Remove {
        /// Its `policy_id`.
        policy_id: String,
        #[command(flatten)]
        why: Why,
    },
    /// Give policies another order on the places that they have now; all priorities are given anew.
    Order {
        /// Each `policy_id`, the first to be evaluated first.
        #[arg(required = true, value_name = "POLICY_ID")]
        policy_ids: Vec<String>,
        #[command(flatten)]
        why: Why,
    },
    /// A proposal beside the policies in force: workers ask it, count what it would do, and never obey it.
    Shadow {
        /// What about it.
        #[command(subcommand)]
        command: ShadowCommand,
    },
    /// What another set would have done with the flows of the last minutes, or with those of a capture; nothing changes.
    WhatIf {
        /// JSON file with a whole policy set, `-` for the standard input.
        #[arg(value_name = "FILE")]
        policies: PathBuf,
        /// How far to look back.
        #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=43_200))]
        minutes: u32,
        /// Capture file (pcap or pcapng) to judge instead.
        #[arg(long, value_name = "PCAP", conflicts_with = "minutes")]
        capture: Option<PathBuf>,
    },
    /// Sets that were saved, newest first.
    Versions {
        /// Versions wanted.
        #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100))]
        limit: u32,
    },
    /// Which policies in force are never reached, would not be missed, contradict others or never match, and because of which.
    Analysis,
    /// How a version differs from the one before it, or from another.
    Diff {
        /// Its number.
        version: u32,
        /// The other one.
        #[arg(long, value_name = "VERSION")]
        against: Option<u32>,
    },
    /// Put the set of a version in force again, as a new version.
    Restore {
        /// Its number.
        version: u32,
        #[command(flatten)]
        why: Why,
    },
    /// Take in a file of policies: a set, a bare list, or either in the forms of the former system.
    Import {
        /// JSON file, `-` for the standard input.
        #[arg(value_name = "FILE")]
        policies: PathBuf,
        /// Let policies stay that the file does not have.
        #[arg(long)]
        merge: bool,
        /// Only tell what would change.
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        why: Why,
    },
    /// The set as a file, on the standard output.
    Export {
        /// That of an older version.
        #[arg(long, value_name = "N")]
        version: Option<u32>,
    },
    /// Let the change that waits to be confirmed stay in force.
    Confirm {
        /// Only if it is this version that waits.
        #[arg(long, value_name = "VERSION")]
        version: Option<u32>,
    },
    /// Put the set before the change that waits to be confirmed in force at once.
    Abort {
        /// Why it is done, shown in the list of versions.
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Take in the policy file again if it was changed; the old set stays if it has an error.
    Reload {
        #[command(flatten)]
        why: Why,
    },
    /// What would be made of a flow, and why.
    Evaluate {
        /// JSON file that describes the flow.
        #[arg(value_name = "FILE")]
        context: PathBuf,
    },
}

/// Why a change is made, and whether it is for good.
#[derive(Debug, Args)]
pub(crate) struct Why {
    /// Why it is done, shown in the list of versions.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Let the set before return unless `ctl policy confirm` comes within so many seconds.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(5..=86_400))]
    pub confirm: Option<u32>,
}

/// `ctl block`.
#[derive(Debug, Subcommand)]
pub(crate) enum BlockCommand {
    /// What is on the list.
    List,
    /// Put addresses or prefixes on the list.
    Add {
        /// Such as 192.0.2.0/24 or 2001:db8::1.
        #[arg(required = true, value_name = "PREFIX")]
        prefixes: Vec<String>,
    },
    /// Take them off, whole as they were put there.
    Remove {
        /// Such as 192.0.2.0/24 or 2001:db8::1.
        #[arg(required = true, value_name = "PREFIX")]
        prefixes: Vec<String>,
    },
}

/// `ctl user`.
#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// All accounts.
    List,
    /// Roles and what they may do.
    Roles,
    /// Make an account; its one-time password is shown once.
    Add {
        /// Letters, digits, `.`, `_`, `-`, `@`.
        username: String,
        /// admin, operator, analyst, employee, contractor or service.
        #[arg(long)]
        role: Role,
        /// Take the password from the first line of the standard input.
        #[arg(long)]
        password_stdin: bool,
    },
    /// Change an account, which ends its sessions.
    Change {
        /// Its name.
        username: String,
        /// Another role.
        #[arg(long)]
        role: Option<Role>,
        /// Let it log in again.
        #[arg(long, conflicts_with = "disable")]
        enable: bool,
        /// Let it log in no more.
        #[arg(long)]
        disable: bool,
    },
    /// Give an account a one-time password, which ends its sessions.
    ResetPassword {
        /// Its name.
        username: String,
        /// Take the password from the first line of the standard input.
        #[arg(long)]
        password_stdin: bool,
    },
    /// Remove an account.
    Remove {
        /// Its name.
        username: String,
    },
    /// Who is logged in.
    Sessions,
    /// End a session.
    EndSession {
        /// Its `session_id`.
        session_id: String,
    },
    /// Get a token for a program.
    Token(TokenArgs),
}

/// `ctl dpi`.
#[derive(Debug, Subcommand)]
pub(crate) enum DpiCommand {
    /// Rules in Suricata's language.
    Rules {
        /// What about them.
        #[command(subcommand)]
        command: RulesCommand,
    },
}

/// `ctl dpi rules`.
#[derive(Debug, Subcommand)]
pub(crate) enum RulesCommand {
    /// Rules and how often each matched.
    List {
        /// sid=N, msg=TEXT, action=A, class=NAME, protocol=P, enabled=true|false, source=FILE, cursor=C.
        #[arg(value_name = "KEY=VALUE")]
        filter: Vec<String>,
        /// Rules at most.
        #[arg(long, default_value_t = 100, value_name = "N")]
        limit: u32,
    },
    /// One rule, with its text.
    Show {
        /// Its number, or generator and number such as 1:2019401.
        sid: String,
    },
    /// Put a rule in force, whatever files say, over reloads and restarts.
    Enable {
        /// Its number, or generator and number.
        sid: String,
    },
    /// Take a rule out of force, likewise.
    Disable {
        /// Its number, or generator and number.
        sid: String,
    },
    /// Read all rules again: all are put in force, or none where one is wrong.
    Reload,
    /// How many are in force, which cannot be and why.
    Summary,
    /// What trying each rule costs, measured for some time.
    Profile {
        /// What about it.
        #[command(subcommand)]
        command: ProfileCommand,
    },
}

/// `ctl dpi rules profile`.
#[derive(Debug, Subcommand)]
pub(crate) enum ProfileCommand {
    /// Measure from now on, from zero; it ends by itself.
    Start {
        /// For so long, 1 to 3600.
        #[arg(long, default_value_t = 60, value_name = "N")]
        seconds: u32,
    },
    /// Measure no more, and show what was measured.
    Stop,
    /// What was measured so far, the dearest rules first.
    Show {
        /// total, avg, max (time), checks or matches.
        #[arg(long, default_value = "total", value_name = "BY")]
        sort: String,
        /// Rules at most.
        #[arg(long, default_value_t = 20, value_name = "N")]
        limit: u32,
    },
}

/// `ctl identity`.
#[derive(Debug, Subcommand)]
pub(crate) enum IdentityCommand {
    /// Who is where, in the order in which it was said.
    List {
        /// Filters: user_id=ID, address=ADDRESS, cursor=C.
        #[arg(value_name = "KEY=VALUE")]
        filter: Vec<String>,
        /// Assertions wanted.
        #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000))]
        limit: u32,
    },
    /// Say that a user is somewhere: flows of those addresses are judged anew.
    Assert {
        /// By which policies mean the user, then addresses, networks or Ethernet addresses; with --oidc-token-file addresses alone.
        #[arg(required = true, value_name = "USER_ID ADDRESS")]
        user_and_addresses: Vec<String>,
        /// A file whose first line is a token of the provider (`[identity.oidc]`), which tells who it is; "-": standard input.
        #[arg(long, value_name = "FILE", conflicts_with_all = ["username", "role", "group", "attribute", "expires_in"])]
        oidc_token_file: Option<PathBuf>,
        /// What people call the user.
        #[arg(long, value_name = "NAME")]
        username: Option<String>,
        /// What the user is for, as policies say `user_role`.
        #[arg(long, value_name = "ROLE")]
        role: Option<String>,
        /// A group that the user is in; may be given several times.
        #[arg(long, value_name = "GROUP")]
        group: Vec<String>,
        /// What else is known; may be given several times.
        #[arg(long, value_name = "KEY=VALUE")]
        attribute: Vec<String>,
        /// For how long, seconds; until it is ended where left out.
        #[arg(long, value_name = "SECONDS")]
        expires_in: Option<u64>,
    },
    /// End an assertion: flows of its addresses are judged anew.
    End {
        /// Its `identity_id`.
        identity_id: u64,
    },
}

/// `ctl hold`.
#[derive(Debug, Subcommand)]
pub(crate) enum HoldCommand {
    /// All of them, and how much each keeps.
    List,
    /// Keep records from going until it is released; in place of one of this name.
    Set {
        /// By which it is released.
        name: String,
        /// Why, for who reads it in a year.
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// audit, events or flows; all three where left out; may be given several times.
        #[arg(long, value_name = "KIND")]
        kind: Vec<String>,
        /// Records of this time on, seconds since 1970; the first where left out.
        #[arg(long, value_name = "SECONDS", default_value_t = 0)]
        from: u64,
        /// Records before this time, seconds since 1970; all that come where left out.
        #[arg(long, value_name = "SECONDS")]
        to: Option<u64>,
    },
    /// Let retention go on.
    Release {
        /// Its name.
        name: String,
    },
}

/// `ctl webhook`.
#[derive(Debug, Subcommand)]
pub(crate) enum WebhookCommand {
    /// All of them, and how posting goes.
    List,
    /// Post events to an address; what signatures are checked with is shown once.
    Add {
        /// https:// or http://.
        url: String,
        /// alerts, flows, protocols, traffic, policy or system; may be given several times.
        #[arg(long, required = true, value_name = "TOPIC")]
        topic: Vec<String>,
        /// Only what fits, such as port=53; may be given several times.
        #[arg(long, value_name = "KEY=VALUE")]
        filter: Vec<String>,
    },
    /// Post to it again.
    Enable {
        /// Its `webhook_id`.
        webhook_id: String,
    },
    /// Post to it no more.
    Disable {
        /// Its `webhook_id`.
        webhook_id: String,
    },
    /// Post a message without events now.
    Test {
        /// Its `webhook_id`.
        webhook_id: String,
    },
    /// Forget it.
    Remove {
        /// Its `webhook_id`.
        webhook_id: String,
    },
}

/// A switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnOff {
    /// On.
    On,
    /// Off.
    Off,
}

#[cfg(test)]
mod tests {
    use super::Cli;
    use clap::CommandFactory;

    #[test]
    fn the_tree_is_consistent() {
        Cli::command().debug_assert();
    }
}
