//! How does a parser read one flow? It is handed contiguous bytes and says how many it is done with.
//!
//! Contract: a parser never panics and never reads beyond its input; what it keeps of a flow is bounded (a few
//! KiB); input that is malformed is an anomaly with a name, and the parser either goes on or ends. It knows no clock.

use super::app::AppTable;
use super::fields::Fields;
use super::file::Files;
use super::foresight::Foresight;
use super::idle::IdleParsers;
use super::notes::{Evidence, HOST_BYTES_MAX, HintKind, HostKind, Notes, normal_host};
use super::protocol::Protocol;
use super::risk::clues;
use super::told;
use crate::flow::Direction;
use crate::host::Transfer;
use crate::parse::{Addr, Protocol as Ip};
use crate::rules::detect::{FlowCounts, Telling};
use crate::rules::hashes::HashKinds;
use crate::time::Wall;

/// Reads the transactions of one flow.
pub trait Parser: Send {
    /// TCP: `bytes` is everything of this direction that was not consumed yet, contiguous. UDP: one datagram, and
    /// what is not consumed is gone.
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step;

    /// TCP: what was not consumed of this direction before bytes that are missing; [`Self::gap`] follows, and then it is gone.
    fn before_gap(&mut self, _way: Direction, _unread: &[u8], _cx: &mut Context<'_>) {}

    /// TCP: `len` bytes of this direction are missing and will not come (lost, or over a memory cap). What was not
    /// consumed before the gap is gone too. The default ends the parser.
    fn gap(&mut self, _way: Direction, _len: u64, _cx: &mut Context<'_>) -> Step {
        Step::Done
    }

    /// The flow is over, or nobody will look at it any more: tell what is still held.
    fn end(&mut self, _cx: &mut Context<'_>) {}

    /// Forgets the flow, after [`Self::end`]; `true`: it may read another one. For protocols of which there are many
    /// flows, whose parsers then cost no allocation.
    fn start_over(&mut self) -> bool {
        false
    }

    /// Writes what is known of a transaction that goes on, under the number that rules were told, as its record will say it.
    /// Returns the record's type; `None`: nothing is known. For alerts.
    fn describe(&self, _transaction: u32, _to: &mut Fields) -> Option<&'static str> {
        None
    }
}

/// What a parser wants next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// That many bytes are done with; more than were handed over skips what comes (a body nobody reads).
    /// 0: wait for more.
    Consumed(usize),
    /// Nothing that follows in this flow matters.
    Done,
    /// This is not that protocol after all: recognition goes on without it, if the flow is young.
    NotMine,
}

/// The flow that is read.
#[derive(Debug, Clone, Copy)]
pub struct FlowView {
    /// Initiator's address and port.
    pub initiator: (Addr, u16),
    /// Responder's address and port.
    pub responder: (Addr, u16),
    /// IANA protocol number.
    pub protocol: u8,
    /// Whether it was seen from its middle.
    pub is_midstream: bool,
    /// Whether both ends have spoken; of TCP, whether the connection stands.
    pub is_established: bool,
    /// How much it has had, for rules.
    pub counts: FlowCounts,
}

/// What a parser may use besides bytes.
pub struct Context<'a> {
    /// The flow.
    pub flow: &'a FlowView,
    /// When the packet came.
    pub at: Wall,
    /// Which way what is read goes; `None`: the flow ends.
    pub(super) way: Option<Direction>,
    /// What is learned of the flow.
    pub notes: &'a mut Notes,
    /// Where records go.
    pub(super) records: &'a mut dyn FnMut(Record<'_>),
    /// Reused for records that are told at once.
    pub(super) scratch: &'a mut Fields,
    /// What speaks for the flow's risks.
    pub(super) clues: clues::Clues<'a>,
    /// Numbers the transactions of the flow.
    pub(super) transactions: &'a mut u32,
    /// Known applications.
    pub(super) apps: &'a AppTable,
    /// Flows and names to come.
    pub(super) foresight: &'a Foresight,
    /// What rules are told of the flow.
    pub rules: Telling<'a>,
    /// What is told of files.
    pub files: Files,
    /// Parsers for flows and for what flows carry.
    pub(super) parsers: &'a mut IdleParsers,
    /// Bounds of what parsers follow.
    pub limits: Limits,
    /// Anomalies that this payload brought.
    pub(super) objections: u32,
    /// A parser cannot go on with this payload, or with its flow.
    pub(super) is_broken: bool,
    /// One end speaks another protocol than before, and the other has not followed yet.
    pub(super) is_changing: bool,
    /// How many parsers hand this payload on to one inside their own, see [`Context::within`].
    pub(super) nesting: u8,
}

/// Bounds of what parsers follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Commands of one FTP connection that are under way at once (Suricata's `ftp.max-tx`).
    pub ftp_transactions_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { ftp_transactions_max: 1_024 }
    }
}

/// Protocols each of whose messages is a transaction of its own.
const OF_ONE_MESSAGE: &[&str] = &["dhcp", "dns", "ike", "krb5", "llmnr", "mdns", "ntp", "sip", "snmp"];

/// Tunnels within tunnels that are followed. Each is a parser in a parser, on the worker's stack.
const NESTING_MAX: u8 = 4;

/// A transaction as it leaves the engine.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// EVE's `event_type`, and the key of the object that holds `fields`.
    pub event_type: &'static str,
    /// The direction of the packet that completed it.
    pub way: Direction,
    /// EVE's `tx_id`.
    pub transaction: u32,
    /// The object.
    pub fields: &'a Fields,
}

impl Context<'_> {
    /// Tells of a transaction whose fields were gathered over several packets.
    pub fn tell(&mut self, event_type: &'static str, way: Direction, fields: &Fields) {
        let transaction = self.begin_transaction();
        self.tell_of(transaction, event_type, way, fields);
    }

    /// The number of a transaction of which something is told before it is over; [`Self::tell_of`] ends it.
    pub const fn begin_transaction(&mut self) -> u32 {
        let transaction = *self.transactions;
        *self.transactions += 1;
        transaction
    }

    /// Tells of a transaction that was begun.
    pub fn tell_of(&mut self, transaction: u32, event_type: &'static str, way: Direction, fields: &Fields) {
        if self.rules.is_on() {
            let is_hidden = told::record(&mut self.rules, event_type, way, transaction, fields);
            // Messages of HTTP are told to rules under numbers of their own.
            if !matches!(event_type, "http" | "fileinfo" | "anomaly") {
                self.rules.attach(transaction, event_type, fields.as_bytes());
            }
            if is_hidden {
                return;
            }
        }
        (self.records)(Record { event_type, way, transaction, fields });
    }

    /// Tells of a transaction that was begun and that `write` fills now.
    pub fn tell_of_with(
        &mut self,
        transaction: u32,
        event_type: &'static str,
        way: Direction,
        write: impl FnOnce(&mut Fields),
    ) {
        let mut fields = std::mem::take(self.scratch);
        fields.clear();
        write(&mut fields);
        self.tell_of(transaction, event_type, way, &fields);
        *self.scratch = fields;
    }

    /// Tells of a transaction that `write` fills now: nothing is allocated.
    pub fn tell_with(&mut self, event_type: &'static str, way: Direction, write: impl FnOnce(&mut Fields)) {
        let mut fields = std::mem::take(self.scratch);
        fields.clear();
        write(&mut fields);
        self.tell(event_type, way, &fields);
        *self.scratch = fields;
    }

    /// Whether anybody asks for files that go by: rules, or who reads records.
    #[must_use]
    pub fn wants_files(&self) -> bool {
        self.files.are_recorded || self.rules.wants_files()
    }

    /// Which hashes of files somebody asks for.
    #[must_use]
    pub fn wants_hashes(&self) -> HashKinds {
        let recorded = if self.files.are_recorded { self.files.hashes } else { HashKinds::default() };
        self.rules.wants_hashes().or(recorded)
    }

    /// Tells rules what is known of a transaction that was begun and goes on.
    pub fn tell_rules_early(
        &mut self,
        event_type: &'static str,
        way: Direction,
        transaction: u32,
        write: impl FnOnce(&mut Fields),
    ) {
        if !self.rules.is_on() {
            return;
        }
        let mut fields = std::mem::take(self.scratch);
        fields.clear();
        write(&mut fields);
        told::early(&mut self.rules, event_type, way, transaction, &fields);
        *self.scratch = fields;
    }

    /// Keeps the host that the flow is about, and the application that has it.
    pub fn host(&mut self, kind: HostKind, host: &[u8]) {
        let Some(host) = self.notes.set_host(kind, host) else { return };
        // What a machine calls itself says nothing of what it talks to.
        if kind == HostKind::Other {
            return;
        }
        if let Some(app) = self.apps.by_host(host) {
            let (evidence, confidence) = kind.weight();
            self.notes.set_app(app, confidence, evidence);
        }
        if kind == HostKind::Sni {
            self.compare_with_dns();
        }
    }

    /// Looks whether a text gives the application away.
    pub fn hint(&mut self, kind: HintKind, text: &[u8]) {
        if let Some(app) = self.apps.by_hint(kind, text) {
            let (evidence, confidence) = kind.weight();
            self.notes.set_app(app, confidence, evidence);
        }
    }

    /// The payload itself says which application it is. A name that the table does not have is nobody's.
    pub fn app(&mut self, name: &str, confidence: u8) {
        if let Some(app) = self.apps.by_name(name) {
            self.notes.set_app(app, confidence, Evidence::Content);
        }
    }

    /// Something is wrong with the payload; `event` is a lower-case name such as `invalid_record_length`.
    pub fn anomaly(&mut self, event: &'static str) {
        let transaction = *self.transactions;
        if self.told_anomaly(transaction, event) {
            *self.transactions += 1;
        }
    }

    /// The same of a transaction that was begun and goes on.
    pub fn anomaly_of(&mut self, transaction: u32, event: &'static str) {
        self.told_anomaly(transaction, event);
    }

    /// Whether EVE was told, too.
    fn told_anomaly(&mut self, transaction: u32, event: &'static str) -> bool {
        self.objections += 1;
        let protocol = self.notes.protocol().map_or("failed", Protocol::eve_name);
        if self.rules.wants_events() {
            let ways = [Direction::Forward, Direction::Reverse];
            // What belongs to a question and its answer is seen both ways.
            let own = self.way.filter(|_| OF_ONE_MESSAGE.contains(&protocol));
            for way in ways.into_iter().filter(|way| own.is_none_or(|own| own == *way)) {
                self.rules.event(event);
                self.rules.stage(protocol, transaction, way, false);
            }
        }
        self.record_anomaly(protocol, transaction, event)
    }

    /// Whether EVE is told.
    fn record_anomaly(&mut self, protocol: &'static str, transaction: u32, event: &'static str) -> bool {
        if !self.notes.may_tell_anomaly() {
            return false;
        }
        let mut fields = std::mem::take(self.scratch);
        fields.clear();
        fields.text("app_proto", protocol);
        fields.text("type", "applayer");
        fields.text("event", event);
        fields.text("layer", "proto_parser");
        let way = Direction::Forward;
        (self.records)(Record { event_type: "anomaly", way, transaction, fields: &fields });
        *self.scratch = fields;
        true
    }

    /// This payload cannot be read, though what follows may be: `exceptions.parser_error` decides what becomes of it. A parser that
    /// ends with an anomaly needs not say so.
    pub const fn give_up_payload(&mut self) {
        self.is_broken = true;
    }

    /// The same of `application`, which is not what the flow is known as: rules are told each way.
    pub fn anomaly_inside(&mut self, application: &'static str, event: &'static str) {
        let transaction = *self.transactions;
        self.rules.event_each_way(application, transaction, event);
        if self.record_anomaly(application, transaction, event) {
            *self.transactions += 1;
        }
    }

    /// The server spoke first, and it is this protocol: of some that is wrong.
    pub(super) fn began_with_answer(&mut self, protocol: &Protocol) {
        /// What clients begin, whatever the version.
        const BEGUN_BY_CLIENTS: [&str; 7] = ["http", "tls", "dns", "dcerpc", "modbus", "enip", "dnp3"];
        let is_seen_whole = self.flow.protocol == Ip::TCP && !self.flow.is_midstream;
        if is_seen_whole && BEGUN_BY_CLIENTS.contains(&protocol.eve_name()) {
            self.rules.meet("applayer_wrong_direction_first_data");
        }
    }

    /// A name was resolved for `ttl_s`: later flows to `addr` are of its application.
    pub fn resolved(&mut self, name: &[u8], addr: Addr, ttl_s: u32) {
        let mut buffer = [0; HOST_BYTES_MAX];
        let host = normal_host(name, &mut buffer);
        if let Some(app) = host.and_then(|host| self.apps.by_host(host)) {
            self.foresight.remember(addr, app, ttl_s, self.at);
        }
    }

    /// A flow to `addr` and `port` will come that speaks `protocol` (the data connection of FTP, the media of SIP).
    pub fn expect(&mut self, addr: Addr, port: u16, protocol: &'static Protocol) {
        self.foresight.expect(addr, port, protocol, self.at);
    }

    /// The next flow to `addr` and `port` will carry a file.
    pub fn announce(&mut self, addr: Addr, port: u16, transfer: Transfer) {
        self.foresight.announce((addr, port), transfer, self.at);
    }

    /// The file that was announced for this flow.
    pub fn take_transfer(&mut self) -> Option<Transfer> {
        self.foresight.take_transfer(self.flow.responder, self.at)
    }

    /// Reads on inside a tunnel; `None` where too many tunnels are in each other already.
    pub fn within<T>(&mut self, read: impl FnOnce(&mut Self) -> T) -> Option<T> {
        if self.nesting >= NESTING_MAX {
            return None;
        }
        self.nesting += 1;
        let told = read(self);
        self.nesting -= 1;
        Some(told)
    }

    /// Port of the responder.
    #[must_use]
    pub const fn server_port(&self) -> u16 {
        self.flow.responder.1
    }
}

impl std::fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("flow", self.flow).field("at", &self.at).finish_non_exhaustive()
    }
}
