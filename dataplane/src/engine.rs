//! One batch, from bytes to verdicts: no rings, no clock, no system calls, no locks.
//!
//! [`Engine::process`] is a function of (batch, snapshot, its own state). Live ports, replay, fuzzing and
//! benches all run it. Three passes over a batch, so that cache misses overlap:
//!
//! 1. *admit*: parse, hold fragments, hand off what another worker owns, hash the flow key, ask for its bucket;
//! 2. *locate*: read the bucket, ask for the flow;
//! 3. *judge*: track the flow, ask policy where no decision is stored, and say where the frame goes.
//!
//! Cost: no allocation, whatever arrives.

mod admit;
mod announcing;
mod batch;
mod config;
mod deciding;
mod detect;
mod identity;
mod inspect;
mod judge;
mod limits;
mod neighbours;
mod notices;
mod refusals;
mod replace;
mod stock;
mod sweep;

pub use batch::{BATCH_MAX, Disposition, HOST_PORT, Hop, INJECTED_MAX, Injected, Outcome, Packet, Release};
pub use config::{ChecksumMode, EngineConfig, Inspection, Mode, PortConfig, Service, StreamConfig};

use std::sync::Arc;

use crate::control::{EventSender, FlowGauges, FlowQuery, Origin, Snapshot};
use crate::defrag::{Defrag, HoldId};
use crate::dpi::{Inspector, kept};
use crate::flow::{EndReason, FlowConfig, FlowKey, FlowTable, Located};
use crate::geography::Geography;
use crate::host::Shared;
use crate::identity::Table;
use crate::parse::{Addr, Headers, Protocol};
use crate::policy::{Scratch, Shadow};
use crate::rules::tags::Tags;
use crate::stream::Anomaly;
use crate::time::{Now, Tick};
use crate::verdict::{Counters, Reason};
use admit::Admission;
use inspect::{inspector, tell, when_full};
use limits::Limits;
use neighbours::Neighbours;
use notices::Notices;
use refusals::Refusals;
use stock::Stock;
use sweep::Sweep;

/// Flows looked at for expiry in one turn at most: some microseconds of work.
const EXPIRE_MAX: usize = 64;

/// Slots that one question looks at: 256 buckets of eight.
const QUERY_SLOTS_MAX: usize = 2_048;

/// Flows ended in one call when the daemon stops.
const DRAIN_MAX: usize = usize::MAX;

/// The state of one worker's packet path.
#[derive(Debug)]
pub struct Engine {
    config: EngineConfig,
    flows: FlowTable,
    /// `None` where inspection is off.
    inspector: Option<Inspector>,
    defrag: Defrag,
    datagram: Vec<u8>,
    batch: Batch,
    scratch: Scratch,
    shadow_scratch: Scratch,
    limits: Limits,
    shared: Arc<Shared>,
    /// Whether there is no other worker.
    alone: bool,
    /// Whether any port says which networks live behind it.
    knows_networks: bool,
    /// Who is where.
    identities: Table,
    /// Where flows were when they were judged last.
    geography: Option<Arc<Geography>>,
    /// Counts up when facts change that no packet brings: a user comes or goes, a schedule begins or ends, countries are told otherwise.
    generation: u32,
    refusals: Refusals,
    notices: Notices,
    neighbours: Neighbours,
    sweep: Sweep,
    stock: Stock,
    /// What rules matched of one packet; empty between packets.
    hits: Vec<crate::rules::Hit>,
    /// What rules ask to be recorded.
    tags: Tags,
    /// Whether the payload of the packet that is looked at became part of a stream.
    is_in_stream: bool,
    /// A parser could not go on with the packet's payload.
    is_broken: bool,
    /// Rules do not look at the packet.
    rules_pass_packet: bool,
    counters: Counters,
    started: Option<Tick>,
    evaluations: u64,
}

/// What is known of the packets of one batch. Headers and keys stand at their packet's index, are written once, in
/// place, and never moved: a copy of what was just written in smaller parts would stall the processor.
#[derive(Debug, Default)]
struct Batch {
    headers: Vec<Headers>,
    keys: Vec<FlowKey>,
    pending: Vec<Pending>,
}

/// An admitted packet on its way to its verdict.
#[derive(Debug, Clone, Copy)]
struct Pending {
    index: usize,
    src_is_lo: bool,
    located: Located,
    /// The datagram that this packet completed; it is judged in the packet's stead.
    datagram: Option<HoldId>,
}

/// A pending packet with what is known of it.
#[derive(Debug, Clone, Copy)]
struct Entry<'a> {
    index: usize,
    headers: &'a Headers,
    key: &'a FlowKey,
    src_is_lo: bool,
    located: Located,
    datagram: Option<HoldId>,
    /// Whether the transport checksum is right, absent or not looked at.
    is_believed: bool,
}

impl Batch {
    fn new() -> Self {
        Self {
            headers: vec![Headers::NONE; BATCH_MAX],
            keys: vec![FlowKey::NONE; BATCH_MAX],
            pending: Vec::with_capacity(BATCH_MAX),
        }
    }
}

impl Engine {
    /// An engine with empty tables; all memory it will ever need is reserved here.
    #[must_use]
    pub fn new(config: EngineConfig, shared: Arc<Shared>) -> Self {
        let knows_networks = config.ports.iter().any(|port| !port.networks.is_empty());
        let alone = config.owners.entries().iter().all(|worker| *worker == config.worker);
        Self {
            flows: FlowTable::new(
                FlowConfig { may_miss: matches!(config.mode, Mode::Tap), ..config.flow.clone() },
                config.seed,
                config.worker,
            ),
            inspector: inspector(&config, &shared),
            defrag: Defrag::new(config.defrag),
            datagram: Vec::with_capacity(DATAGRAM_BYTES_MAX),
            batch: Batch::new(),
            scratch: Scratch::default(),
            shadow_scratch: Scratch::default(),
            limits: Limits::new(Arc::clone(&shared)),
            shared,
            alone,
            knows_networks,
            identities: Table::default(),
            geography: None,
            generation: 0,
            refusals: Refusals::default(),
            notices: Notices::default(),
            neighbours: Neighbours::default(),
            sweep: Sweep::default(),
            stock: Stock::default(),
            hits: Vec::new(),
            tags: Tags::default(),
            is_in_stream: false,
            is_broken: false,
            rules_pass_packet: false,
            counters: Counters::default(),
            started: None,
            evaluations: 0,
            config,
        }
    }

    /// Judges `packets` (at most [`BATCH_MAX`]) and writes where each goes into `out`, which the caller cleared.
    pub fn process(
        &mut self,
        snapshot: &Snapshot,
        packets: &mut [Packet<'_>],
        out: &mut Outcome,
        events: &mut EventSender,
    ) {
        if let Some(first) = packets.first() {
            self.started.get_or_insert(first.at.tick);
        }
        self.notices.set_drops_per_s(snapshot.settings.drops_per_s);
        self.follow(snapshot);
        let mut batch = std::mem::take(&mut self.batch);
        let Batch { headers, keys, pending } = &mut batch;
        pending.clear();
        for (index, (packet, headers)) in packets.iter().zip(headers.iter_mut()).enumerate() {
            events.set_origin(Origin { number: packet.number, ..Origin::default() });
            let datagram = match self.admit(snapshot, index, packet, headers, out, events) {
                Admission::Stays { datagram } => datagram,
                Admission::Leaves(disposition) => {
                    out.dispositions[index] = disposition;
                    continue;
                }
            };
            // Only IP is admitted.
            let Some((key, src_is_lo)) = FlowKey::of(headers, self.config.vlan_in_key) else { continue };
            let hash = self.flows.hash(&key);
            self.flows.prefetch(hash);
            keys[index] = key;
            pending.push(Pending { index, src_is_lo, located: Located::unseen(hash), datagram });
        }
        for waiting in pending.iter_mut() {
            let is_tcp = keys[waiting.index].protocol() == Protocol::TCP;
            waiting.located = self.flows.locate(waiting.located.hash(), is_tcp);
        }
        let versions = (snapshot.version as u32, self.generation);
        for Pending { index, src_is_lo, located, datagram } in pending.iter().copied() {
            let (headers, key) = (&headers[index], &keys[index]);
            let packet = &mut packets[index];
            events.set_origin(Origin::of(packet.number, headers, datagram.is_some()));
            let is_believed = datagram.is_none() && self.believes(packet, headers);
            let entry = Entry { index, headers, key, src_is_lo, located, datagram, is_believed };
            out.dispositions[index] = match datagram {
                // First, so that the common answer is written where it stays.
                None if self.pass(versions, &entry, packet) => self.across(packet.in_port),
                None => self.judge(snapshot, &entry, packet, out, events),
                Some(hold) => self.judge_datagram(snapshot, &entry, hold, packet, out, events),
            };
            if !self.tags.is_empty() && datagram.is_none() {
                self.record_tagged(&entry, packet, events);
            }
            if self.config.announcement.is_some() {
                self.announce(&entry, packet, out);
            }
        }
        events.set_origin(Origin::default());
        self.batch = batch;
    }

    /// What is looked for is what the snapshot says from now on. Four comparisons where nothing has changed.
    fn follow(&mut self, snapshot: &Snapshot) {
        if self.geography.as_ref().map(Arc::as_ptr) != snapshot.geography.as_ref().map(Arc::as_ptr) {
            self.geography.clone_from(&snapshot.geography);
            if snapshot.asks_for_country() {
                self.change_generation();
            }
        }
        self.flows.follow_shadow(snapshot.shadow.as_deref().map(Shadow::standings));
        let Some(inspector) = &mut self.inspector else { return };
        inspector.set_when_full(when_full(self.config.mode, snapshot.settings.exceptions));
        inspector.follow_rules(snapshot.rules.as_ref());
        if let Some(apps) = &snapshot.apps {
            inspector.follow(apps);
        }
    }

    /// Timers and the sweep after a policy change, each bounded. Call it once a turn, with a cleared `out`.
    pub fn between_batches(
        &mut self,
        now: Now,
        idle: bool,
        snapshot: &Snapshot,
        out: &mut Outcome,
        events: &mut EventSender,
    ) {
        // A worker without packets lets go of rules that are in force no more.
        self.follow(snapshot);
        self.flows.expire(now, EXPIRE_MAX, &mut |record| {
            tell(&mut self.inspector, &self.identities, events, record)
        });
        let counters = &mut self.counters;
        self.defrag.expire(now.tick, |hold| {
            out.release(hold, Disposition::Drop(Reason::FragmentTimeout));
            counters.notice(Reason::FragmentTimeout);
        });
        self.limits.sweep(now.tick);
        self.tags.sweep(now.wall);
        self.sweep_some(now, idle, snapshot, out, events);
        self.take_stock(now.tick);
    }

    /// Answers a question about the flow table: one page.
    pub fn answer(&mut self, query: &mut FlowQuery, now: Now, events: &mut EventSender) {
        let page = &mut query.page;
        page.flows.clear();
        page.next_cursor =
            self.flows.page(query.cursor, QUERY_SLOTS_MAX, &query.filter, now, &mut page.flows);
        page.summaries.clear();
        page.summaries.extend(page.flows.iter().map(|record| self.summary(record)));
        if query.end_them {
            for record in &page.flows {
                if let Some(found) = self.flows.find(&record.key, record.initiator_is_lo) {
                    let (inspector, identities) = (&mut self.inspector, &self.identities);
                    let mut sink = |record| tell(inspector, identities, events, record);
                    self.flows.end(found.id, EndReason::Forced, now, &mut sink);
                }
            }
        }
    }

    /// Ends every flow and lets go of every held frame: the daemon stops, or the capture file is over.
    pub fn end_all(&mut self, now: Now, out: &mut Outcome, events: &mut EventSender) {
        self.end_flows(now, events, &mut |_events| {});
        self.limits.release_all(now.tick);
        let counters = &mut self.counters;
        self.defrag.drain(|hold| {
            out.release(hold, Disposition::Drop(Reason::Stopping));
            counters.notice(Reason::Stopping);
        });
    }

    /// Ends every flow; `each` is called after each, so that a replay can empty the rings.
    pub fn end_flows(&mut self, now: Now, events: &mut EventSender, each: &mut impl FnMut(&mut EventSender)) {
        let (inspector, identities) = (&mut self.inspector, &self.identities);
        self.flows.drain(EndReason::Shutdown, DRAIN_MAX, now, &mut |record| {
            tell(inspector, identities, events, record);
            each(events);
        });
    }

    /// What was done so far.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The same, for the rooms around the engine that drop frames too.
    pub const fn counters_mut(&mut self) -> &mut Counters {
        &mut self.counters
    }

    /// Datagrams that can be held at once: how many lists of held frames the worker needs.
    #[must_use]
    pub const fn datagrams_max(&self) -> usize {
        self.config.defrag.datagrams_max
    }

    /// Whether a sweep after a policy change is under way.
    #[must_use]
    pub const fn is_sweeping(&self) -> bool {
        self.sweep.is_under_way()
    }

    /// The table's numbers, for the board.
    #[must_use]
    pub fn gauges(&self, events: &EventSender) -> FlowGauges {
        use crate::flow::{FlowState, ProtocolClass};
        let stats = self.flows.stats();
        let told = |of: &dyn Fn(&Inspector) -> u64| self.inspector.as_ref().map_or(0, of);
        let met = |anomaly| told(&|inspector| inspector.met(anomaly));
        let by_protocol = |class: ProtocolClass| stats.active_by_protocol[class as usize];
        FlowGauges {
            active: stats.active,
            capacity: stats.capacity,
            started: stats.started,
            tcp: by_protocol(ProtocolClass::Tcp),
            udp: by_protocol(ProtocolClass::Udp),
            icmp: by_protocol(ProtocolClass::Icmp),
            other: by_protocol(ProtocolClass::Sctp) + by_protocol(ProtocolClass::Other),
            established: stats.active_in(FlowState::Established),
            ended_timeout: stats.ended_by(EndReason::Timeout),
            ended_closed: stats.ended_by(EndReason::Closed),
            ended_reset: stats.ended_by(EndReason::Reset),
            ended_evicted: stats.ended_by(EndReason::Evicted),
            ended_policy: stats.ended_by(EndReason::Policy),
            fragments_held: self.defrag.len() as u64,
            events_sent: events.sent,
            events_aggregated: events.aggregated,
            events_shed: events.shed,
            evaluations: self.evaluations,
            rejudged: self.sweep.rejudged(),
            stream_bytes: told(&|inspector| inspector.stream_bytes()),
            stream_gaps: met(Anomaly::SeqGap),
            stream_overlaps: met(Anomaly::OverlapDifferentData),
            stream_memory_refused: met(Anomaly::InsertMemcap),
            stream_pieces_refused: met(Anomaly::InsertLimit),
            parser_bytes: kept::in_use() as u64,
            parser_memory_refused: kept::refused(),
            stream_depth_reached: told(&|inspector| inspector.depth_reached),
            not_looked_at: told(&|inspector| inspector.not_looked_at),
        }
    }

    /// Whether verdicts bind.
    const fn is_inline(&self) -> bool {
        matches!(self.config.mode, Mode::Inline)
    }

    /// The wire on the other side of `in_port`.
    const fn across(&self, in_port: u8) -> Disposition {
        match self.config.mode {
            Mode::Inline => Disposition::Send { port: 1 - (in_port & 1) },
            Mode::Tap => Disposition::Consume,
        }
    }

    /// What becomes of a frame that is dropped: a tap only counts it.
    const fn dropped(&self, reason: Reason) -> Disposition {
        match self.config.mode {
            Mode::Inline => Disposition::Drop(reason),
            Mode::Tap => Disposition::Consume,
        }
    }

    fn checksum_mode(&self, in_port: u8) -> ChecksumMode {
        self.config.ports.get(usize::from(in_port)).map_or(ChecksumMode::Verify, |port| port.checksum)
    }

    fn zone(&self, in_port: u8) -> u8 {
        self.config.ports.get(usize::from(in_port)).map_or(HOST_PORT, |port| port.zone)
    }

    /// Whether `src` cannot live behind `in_port`: it is not in that port's networks, or it is in the other's.
    fn is_spoofed(&self, in_port: u8, src: Addr) -> bool {
        if !self.knows_networks || in_port == HOST_PORT {
            return false;
        }
        let ip = src.to_ip();
        // Addresses that say nothing about where their owner lives: DHCP before an address, and link-local ones.
        if ip.is_unspecified() || src.is_link_local() {
            return false;
        }
        self.config.ports.iter().enumerate().any(|(index, port)| {
            let held = port.networks.iter().any(|network| network.contains(&ip));
            if index == usize::from(in_port) { !port.networks.is_empty() && !held } else { held }
        })
    }
}

/// The longest IP datagram.
const DATAGRAM_BYTES_MAX: usize = 65_535;
