//! What happens to the payload of one flow? Recognised, then parsed, then left alone.
//!
//! ```text
//! first payload ─► Search ─► protocol ─► Parser ─► done: the flow is not looked at again
//!                    │                      └─► NotMine: back to the search
//!                    └─► nobody: by address, by remembered name, or nothing
//! ```
//!
//! What a flow is known as (`Known`) stays until its end; what is needed to look at it (`Active`) goes back to a
//! pool as soon as nobody looks any more.

mod head;
mod ruled;

use std::sync::Arc;

use ruled::{eve_name, moment_of, original};

use super::app::{AppId, AppTable};
use super::fields::Fields;
use super::file::Files;
use super::foresight::Foresight;
use super::host_name::HostName;
use super::idle::IdleParsers;
use super::kept::{self, Kept};
use super::notes::{Evidence, Notes};
use super::parser::{Context, FlowView, Limits, Parser, Record, Step};
use super::protocol::{Category, Over, Peek, Protocol};
use super::protocols;
use super::protocols::files::ftp;
use super::recogniser::{Recognised, Recogniser, Search};
use super::risk::Risks;
use super::risk::clues::{Clues, Page, PageId, Store};
use super::risk::flow;
use crate::flow::{Direction, NO_INSPECTION};
use crate::parse::{self, TcpFlags};
use crate::rules::Detector;
use crate::rules::detect::{FlowPlace, RuledFlow, Telling};
use crate::stream::{Acked, Anomaly, FLOW_BYTES_MAX, Memory, Mended, Mode, Streams, UrgentPolicy, What};
use crate::time::Wall;
use head::Head;

/// Bytes of a direction after which nobody looks any more (Suricata's `stream.reassembly.depth`).
pub const DEPTH_BYTES: u64 = 1024 * 1024;

/// Bytes of a TCP direction that recognition sees.
const PEEK_BYTES_MAX: usize = 4_096;

/// Bytes that a parser may keep of one flow, where the flow's streams leave that much of [`FLOW_BYTES_MAX`].
pub const PARSER_BYTES_MAX: usize = 48 << 10;

/// Bytes that streams always leave to the flow's parser.
const PARSER_BYTES_RESERVED: usize = 16 << 10;

/// Bytes that a parser is itself, and its lists, which have lengths of their own; not counted flow by flow.
const PARSER_OBJECT_BYTES: usize = 6 << 10;

/// Bytes that streams and parser of one flow may hold in buffers.
const BUFFER_BYTES_MAX: usize = FLOW_BYTES_MAX - PARSER_OBJECT_BYTES;

/// Confidence of a guess: from an address range or a port.
const GUESS: u8 = 30;

/// Flows of one worker that are looked at at once, about 1 KiB each without what waits to be read; more go on unrecognised.
const ACTIVE_MAX: usize = 262_144;

/// Payloads of all flows of one worker.
pub struct Inspector {
    recogniser: Arc<Recogniser>,
    desk: Desk,
    known: Vec<Known>,
    free: Vec<u32>,
    active: Vec<Active>,
    free_active: Vec<u32>,
    reassembly: Reassembly,
    flows_max: usize,
    /// Flows that nobody looked at for lack of room.
    pub not_looked_at: u64,
    /// Flows that were longer than [`DEPTH_BYTES`] before anybody was done with them.
    pub depth_reached: u64,
}

/// What is known of a flow, for records, policy and queries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    /// What it speaks.
    pub protocol: Option<&'static Protocol>,
    /// Which application it is.
    pub app: Option<AppId>,
    /// How sure that is, 0 to 100: of the application, or of the protocol where no application is known.
    pub confidence: u8,
    /// What decided.
    pub evidence: Evidence,
    /// Payload packets after which it was decided.
    pub detection_tick: u16,
    /// What deserves attention.
    pub risks: Risks,
    /// What it spoke before an upgrade.
    pub original: Option<&'static Protocol>,
    /// What rules made of it.
    pub rules: RuledFlow,
}

impl Summary {
    /// What the IP protocol number alone says, of a flow that has no payload to look at.
    #[must_use]
    pub fn by_number(number: u8) -> Self {
        match protocols::network::by_ip_protocol(number) {
            Some(protocol) => Self {
                protocol: Some(protocol),
                confidence: 100,
                evidence: Evidence::Content,
                detection_tick: 1,
                ..Self::default()
            },
            None => Self::default(),
        }
    }

    /// The application's name, else the protocol's.
    #[must_use]
    pub fn app_name(&self) -> Option<&'static str> {
        self.app.map(AppId::name).or(self.protocol.map(|protocol| protocol.name))
    }

    /// What it is for.
    #[must_use]
    pub fn category(&self) -> Category {
        match (self.app.map(AppId::category), self.protocol) {
            (Some(category), _) if category != Category::Unknown => category,
            (_, Some(protocol)) => protocol.category,
            _ => Category::Unknown,
        }
    }
}

/// What one payload changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Looked {
    /// Protocol or application are others than before: policy is to be asked again.
    pub changed: bool,
    /// Nobody will read this flow any more.
    pub finished: bool,
    /// Rules still look at its payload.
    pub is_kept: bool,
    /// A parser could not go on with the payload, or with the flow.
    pub is_broken: bool,
    /// There was no room for the payload, and it was not looked at: [`WhenFull::LeaveSegment`].
    pub refused: bool,
}

/// Bytes of a direction before a hole that are kept for recognition.
const BROKEN_BYTES_MAX: usize = 1_024;

/// What becomes of a segment for which there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WhenFull {
    /// Reading goes on without the missing bytes, or ends.
    #[default]
    GoOn,
    /// The segment is not taken: the caller does not send it on, so that it comes again.
    LeaveSegment,
}

/// How TCP is put together.
#[derive(Debug, Default)]
struct Reassembly {
    mode: Mode,
    when_full: WhenFull,
    memory: Memory,
    urgent: UrgentPolicy,
    /// A payload without its urgent bytes; memory that is reused.
    without_urgent: Vec<u8>,
    /// How often each [`Anomaly`] was met.
    met: [u64; Anomaly::COUNT],
}

/// What parsers use besides their flow.
struct Desk {
    apps: Arc<AppTable>,
    foresight: Foresight,
    scratch: Fields,
    parsers: IdleParsers,
    clues: Store,
    rules: Detector,
    files: Files,
    limits: Limits,
    /// Whether a match is acted on.
    is_inline: bool,
}

impl Desk {
    fn context<'a>(
        &'a mut self,
        known: &'a mut Known,
        flow: &'a FlowView,
        at: Wall,
        records: &'a mut dyn FnMut(Record<'_>),
    ) -> Context<'a> {
        let spoken = original(&known.notes);
        Context {
            flow,
            at,
            notes: &mut known.notes,
            records,
            scratch: &mut self.scratch,
            clues: Clues { store: &mut self.clues, id: &mut known.page },
            transactions: &mut known.transactions,
            apps: &self.apps,
            foresight: &self.foresight,
            rules: Telling {
                is_on: self.rules.is_on_for(flow.protocol == parse::Protocol::TCP && flow.is_midstream),
                detector: &mut self.rules,
                place: &mut known.rules,
                moment: moment_of(flow, at, spoken),
                is_inline: self.is_inline,
            },
            files: self.files,
            limits: self.limits,
            objections: 0,
            is_broken: false,
            parsers: &mut self.parsers,
            way: None,
            is_changing: false,
            nesting: 0,
        }
    }
}

#[derive(Debug, Default)]
struct Known {
    notes: Notes,
    active: u32,
    transactions: u32,
    payloads: u16,
    detection_tick: u16,
    page: PageId,
    rules: FlowPlace,
    /// Which way the bytes went that told the protocol, until the other end has acknowledged them.
    told_by: Option<Direction>,
    /// What its packets carry is encrypted: no rule looks into it any more.
    is_sealed: bool,
}

/// What is needed while a flow is looked at.
#[derive(Default)]
struct Active {
    search: Search,
    parser: Option<Box<dyn Parser>>,
    /// Whose parser it is.
    made_for: Option<&'static Protocol>,
    /// Bytes that the parser keeps, see [`kept`].
    kept: usize,
    streams: Streams,
    /// The payload that comes next was rewritten.
    is_rewritten: bool,
    /// Nobody reads any more; rules still look at what comes.
    is_read: bool,
    ways: [Way; 2],
    /// What came before bytes that are missing, where it is not known yet what the flow speaks.
    broken: Option<Box<Broken>>,
}

/// The beginning of a direction, behind which bytes are missing.
struct Broken {
    way: Direction,
    bytes: Kept,
    hole: u64,
}

#[derive(Debug)]
struct Way {
    bytes: u64,
    first: Head,
    previous: Head,
}

impl Default for Way {
    fn default() -> Self {
        Self { bytes: 0, first: Head::NONE, previous: Head::NONE }
    }
}

/// A payload on its way in.
#[derive(Debug, Clone, Copy)]
pub struct Payload<'a> {
    /// Which way it goes.
    pub way: Direction,
    /// The bytes after the transport header.
    pub bytes: &'a [u8],
    /// Sequence number and flags, for TCP.
    pub tcp: Option<(u32, TcpFlags)>,
    /// The urgent pointer, where its flag is set.
    pub urgent: Option<u16>,
    /// When it came.
    pub at: Wall,
}

impl Inspector {
    /// An inspector for at most `flows_max` flows at once.
    #[must_use]
    pub fn new(recogniser: Arc<Recogniser>, apps: Arc<AppTable>, flows_max: usize) -> Self {
        Self {
            recogniser,
            desk: Desk {
                apps,
                foresight: Foresight::default(),
                // So that no flow is charged for it.
                scratch: Fields::roomy(),
                parsers: IdleParsers::default(),
                clues: Store::new(flows_max),
                rules: Detector::default(),
                files: Files::default(),
                limits: Limits::default(),
                is_inline: false,
            },
            // Reserved, so that no packet waits for a move; pages cost nothing until they are used.
            known: Vec::with_capacity(flows_max),
            free: Vec::new(),
            active: Vec::with_capacity(flows_max.min(ACTIVE_MAX)),
            free_active: Vec::new(),
            reassembly: Reassembly::default(),
            flows_max,
            not_looked_at: 0,
            depth_reached: 0,
        }
    }

    /// What was told of flows to come is from now on kept, and looked for, where other workers keep it too.
    pub fn share(&mut self, foresight: Foresight) {
        self.desk.foresight = foresight;
    }

    /// Other applications are recognised from now on; flows keep what is known of them. One comparison where they are the
    /// same ones.
    #[inline]
    pub fn follow(&mut self, apps: &Arc<AppTable>) {
        if !Arc::ptr_eq(apps, &self.desk.apps) {
            self.desk.apps = Arc::clone(apps);
        }
    }

    /// How overlapping segments are treated from now on; beside the wire unless told otherwise. With [`Mode::Inline`]
    /// the caller asks [`Self::first_seen`] of each segment and hands over each acknowledgement
    /// ([`Self::acknowledged`]), without which bytes are remembered up to the flow's cap.
    pub fn set_mode(&mut self, mode: Mode) {
        self.desk.is_inline = mode.is_inline();
        self.reassembly.mode = mode;
    }

    /// What is told of files; nothing but what rules ask for unless told otherwise.
    pub const fn set_files(&mut self, files: Files) {
        self.desk.files = files;
    }

    /// Bounds of what parsers follow.
    pub const fn set_limits(&mut self, limits: Limits) {
        self.desk.limits = limits;
    }

    /// What becomes of urgent bytes.
    pub const fn set_urgent(&mut self, policy: UrgentPolicy) {
        self.reassembly.urgent = policy;
    }

    /// Whether somebody reads a flow.
    #[must_use]
    pub fn is_reading(&self, slot: u32) -> bool {
        let active = self.known.get(slot as usize).and_then(|known| self.active.get(known.active as usize));
        active.is_some_and(|active| !active.is_read)
    }

    /// What becomes of a segment for which there is no room, from now on.
    pub const fn set_when_full(&mut self, when_full: WhenFull) {
        self.reassembly.when_full = when_full;
    }

    /// The memory of all streams, for its cap and its counters.
    pub const fn memory(&mut self) -> &mut Memory {
        &mut self.reassembly.memory
    }

    /// Bytes that all streams hold now.
    #[must_use]
    pub const fn stream_bytes(&self) -> u64 {
        self.reassembly.memory.in_use() as u64
    }

    /// Bytes that wait for the next stream.
    #[must_use]
    pub const fn idle_stream_bytes(&self) -> usize {
        self.reassembly.memory.idle()
    }

    /// How often an anomaly of streams was met, told of or not.
    #[must_use]
    pub const fn met(&self, anomaly: Anomaly) -> u64 {
        self.reassembly.met[anomaly as usize]
    }

    /// Whether flows of an IP protocol have payload that is looked at.
    #[must_use]
    pub const fn looks_into(protocol: u8) -> bool {
        matches!(protocol, parse::Protocol::TCP | parse::Protocol::UDP | parse::Protocol::SCTP)
    }

    /// A flow has begun whose payload is to be looked at. Returns its slot, and whether it will be: there may be no room.
    pub fn start(&mut self, view: &FlowView, at: Wall) -> (u32, bool) {
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None if self.known.len() < self.flows_max => {
                self.known.push(Known::default());
                (self.known.len() - 1) as u32
            }
            None => {
                self.not_looked_at += 1;
                return (NO_INSPECTION, false);
            }
        };
        let known = &mut self.known[slot as usize];
        *known = Known { active: NO_INSPECTION, ..Known::default() };
        // A port that was announced says more than the address.
        if let Some(protocol) = self.desk.foresight.expected_at(view.responder.0, view.responder.1, at) {
            known.notes.set_protocol(protocol, 90);
        }
        if let Some(app) = self.desk.foresight.app_at(view.responder.0, &self.desk.apps, at) {
            known.notes.set_app(app, 60, Evidence::Dns);
        }
        known.active = match self.free_active.pop() {
            Some(active) => active,
            None if self.active.len() < ACTIVE_MAX => {
                self.active.push(Active::default());
                (self.active.len() - 1) as u32
            }
            None => {
                self.not_looked_at += 1;
                NO_INSPECTION
            }
        };
        // Whatever a file looks like, the connection carries what was announced.
        if let Some(active) = self.active.get_mut(known.active as usize)
            && known.notes.protocol() == Some(&ftp::FTP_DATA)
        {
            active.parser = Some(ftp::data_parser());
        }
        (slot, known.active != NO_INSPECTION)
    }

    /// A SYN was seen: the direction's first byte has the sequence number after it. `false`: bytes that came after another
    /// SYN were looked at, which belong to no connection if this one is answered.
    pub fn syn(&mut self, slot: u32, way: Direction, seq: u32) -> bool {
        self.active_of(slot).is_none_or(|active| active.streams.syn(way, seq))
    }

    /// Nobody is to look at the flow any more, whoever wanted to; what is known of it stays known.
    pub fn leave(&mut self, slot: u32, view: &FlowView, at: Wall, records: &mut dyn FnMut(Record<'_>)) {
        let Self { desk, known, active, .. } = self;
        let Some(known) = known.get_mut(slot as usize) else { return };
        if let Some(active) = active.get_mut(known.active as usize)
            && !active.is_read
        {
            let mut cx = desk.context(known, view, at, records);
            active.settle(&mut cx);
            active.end(&mut cx);
        }
        self.release(slot, view);
    }

    /// Inline, before [`Self::look`], which tells of it: rewrites bytes of a TCP payload that differ from those seen
    /// first. `seq` and `flags` are the segment's.
    pub fn first_seen(
        &mut self,
        slot: u32,
        way: Direction,
        (seq, flags): (u32, TcpFlags),
        payload: &mut [u8],
    ) -> Mended {
        match self.active_of(slot) {
            Some(active) if !payload.is_empty() => {
                let mended =
                    active.streams.first_seen(way, seq.wrapping_add(u32::from(flags.syn())), payload);
                active.is_rewritten = mended.is_rewritten;
                mended
            }
            _ => Mended::default(),
        }
    }

    /// A TCP segment that goes `way` acknowledges what the other direction sent before `ack`.
    pub fn acknowledged(
        &mut self,
        slot: u32,
        view: &FlowView,
        way: Direction,
        ack: u32,
        at: Wall,
        records: &mut dyn FnMut(Record<'_>),
    ) -> Looked {
        let Self { recogniser, desk, known, active, reassembly, .. } = self;
        let Some(known) = known.get_mut(slot as usize) else { return Looked::default() };
        let Some(active) = active.get_mut(known.active as usize) else { return Looked::default() };
        let of = way.opposite();
        reassembly.memory.set_flow_bytes_max(active.stream_bytes_max());
        let acked = active.streams.acknowledged(of, ack, reassembly.mode, &mut reassembly.memory);
        if acked == Acked::Nothing {
            return Looked::default();
        }
        let was_known = known.notes.protocol().is_some();
        let mut cx = desk.context(known, view, at, records);
        let finished = match acked {
            Acked::Nothing => false,
            Acked::Ready => {
                active.tell_rules(of, &[], &mut cx);
                active.read(recogniser, of, &[], &mut cx)
            }
            Acked::HoleIsHopeless => active.pass_holes(recogniser, of, reassembly, &mut cx),
        };
        let is_kept = active.conclude(finished, false, &mut cx);
        let is_broken = cx.is_broken;
        if !was_known && cx.notes.protocol().is_some() {
            known.told_by = Some(of);
        }
        if (!finished || is_kept) && !active.streams.keep(of, &[], reassembly.mode, &mut reassembly.memory) {
            debug_assert!(false, "nothing was taken, so there is nothing to keep");
        }
        self.conclude(slot, view, Looked { finished, is_kept, is_broken, ..Looked::default() })
    }

    /// Looks at a payload; records go to `records`.
    pub fn look(
        &mut self,
        slot: u32,
        view: &FlowView,
        payload: &Payload<'_>,
        records: &mut dyn FnMut(Record<'_>),
    ) -> Looked {
        let Self { recogniser, desk, known, active, reassembly, .. } = self;
        let Some(known) = known.get_mut(slot as usize) else { return Looked::default() };
        let Some(active) = active.get_mut(known.active as usize) else { return Looked::default() };
        if payload.bytes.is_empty() {
            return Looked::default();
        }
        known.payloads = known.payloads.saturating_add(1);
        let was_known = known.notes.protocol().is_some();
        reassembly.memory.set_flow_bytes_max(active.stream_bytes_max());
        let way = payload.way;
        active.ways[way as usize].bytes += payload.bytes.len() as u64;
        let mut cx = desk.context(known, view, payload.at, records);
        let (mut finished, refused) = match payload.tcp {
            Some(tcp) => match active.urgent_segment(recogniser, payload, tcp, reassembly, &mut cx) {
                Segment::Taken(finished) => (finished, false),
                Segment::Refused => (false, true),
            },
            None => (active.datagram(recogniser, way, payload.bytes, &mut cx), false),
        };
        // Of TCP the place in the stream counts: repetitions must not use the depth up.
        let depth = match payload.tcp {
            Some(_) => active.streams.depth(way),
            None => active.ways[way as usize].bytes,
        };
        let is_deep = depth > DEPTH_BYTES;
        if is_deep && !finished {
            finished = true;
            self.depth_reached += 1;
        }
        let is_kept = active.conclude(finished, is_deep, &mut cx);
        let is_broken = cx.is_broken;
        if !was_known && payload.tcp.is_some() && cx.notes.protocol().is_some() {
            known.told_by = Some(way);
        }
        self.conclude(slot, view, Looked { finished, is_kept, is_broken, refused, ..Looked::default() })
    }

    /// Lets a flow go that is finished, and says whether what is known of it changed.
    fn conclude(&mut self, slot: u32, view: &FlowView, looked: Looked) -> Looked {
        if looked.finished {
            if looked.is_kept {
                self.settle(slot, view);
            } else {
                self.release(slot, view);
            }
        }
        let known = &mut self.known[slot as usize];
        let changed = known.notes.take_changed();
        if changed {
            known.detection_tick = known.payloads;
        }
        Looked { changed, ..looked }
    }

    /// What is known of a flow.
    #[must_use]
    pub fn summary(&self, slot: u32) -> Summary {
        let Some(known) = self.known.get(slot as usize) else { return Summary::default() };
        let notes = &known.notes;
        let (app, confidence, evidence) = match notes.app() {
            Some((app, confidence, evidence)) => (Some(app), confidence, evidence),
            None if notes.protocol().is_some() => (None, notes.protocol_confidence(), Evidence::Content),
            None => (None, 0, Evidence::None),
        };
        Summary {
            protocol: notes.protocol(),
            app,
            confidence,
            evidence,
            detection_tick: known.detection_tick,
            risks: notes.risks(),
            original: notes.original(),
            rules: self.desk.rules.outcome(known.rules),
        }
    }

    /// The host that a flow is about.
    #[must_use]
    pub fn host(&self, slot: u32) -> Option<&str> {
        self.known.get(slot as usize)?.notes.host()
    }

    /// What speaks for the risks of a flow.
    #[must_use]
    pub fn clues(&self, slot: u32) -> Option<&Page> {
        self.desk.clues.page(self.known.get(slot as usize)?.page)
    }

    /// The flow is over: its parser tells what it still holds; what was known is returned and the slot is free.
    pub fn end(
        &mut self,
        slot: u32,
        view: &FlowView,
        at: Wall,
        records: &mut dyn FnMut(Record<'_>),
    ) -> (Summary, Option<HostName>) {
        if slot as usize >= self.known.len() {
            return (Summary::default(), None);
        }
        self.leave(slot, view, at, records);
        let summary = self.summary(slot);
        let is_unseen = view.is_midstream && view.protocol == parse::Protocol::TCP;
        if self.desk.rules.is_on_for(is_unseen) {
            let known = &self.known[slot as usize];
            self.desk.rules.finish_streams(
                known.rules,
                &moment_of(view, at, original(&known.notes)),
                eve_name(&known.notes),
            );
        }
        let host = self.known[slot as usize].notes.take_host();
        self.known[slot as usize].notes = Notes::default();
        self.desk.clues.give_back(&mut self.known[slot as usize].page);
        self.desk.rules.release(&mut self.known[slot as usize].rules);
        self.free.push(slot);
        (summary, host)
    }

    fn active_of(&mut self, slot: u32) -> Option<&mut Active> {
        let known = self.known.get(slot as usize)?;
        self.active.get_mut(known.active as usize)
    }

    /// Nobody looks at the flow any more.
    fn release(&mut self, slot: u32, view: &FlowView) {
        let known = &mut self.known[slot as usize];
        if let Some(active) = self.active.get_mut(known.active as usize) {
            active.streams.release(&mut self.reassembly.memory);
            *active = Active::default();
            self.free_active.push(known.active);
        }
        known.active = NO_INSPECTION;
        self.settle(slot, view);
    }

    /// Nobody reads the flow any more: what is known of it is all there will be.
    fn settle(&mut self, slot: u32, view: &FlowView) {
        let known = &mut self.known[slot as usize];
        if !hides_application(&known.notes) {
            known.notes.forget_app_of(Evidence::Dns);
        }
        // An address says who runs the server, not what is asked of it: a guess, and only where the payload hides its
        // application and names no host.
        if hides_application(&known.notes)
            && known.notes.app().is_none()
            && known.notes.host().is_none()
            && let Some(app) = self.desk.apps.by_address(view.responder.0)
        {
            known.notes.set_app(app, GUESS, Evidence::Address);
        }
    }
}

/// Whether the payload says nothing of its application: unknown, or encrypted.
fn hides_application(notes: &Notes) -> bool {
    notes.protocol().is_none_or(|protocol| ["tls", "quic", "dtls"].contains(&protocol.name))
}

impl std::fmt::Debug for Inspector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inspector")
            .field("known", &(self.known.len() - self.free.len()))
            .field("active", &(self.active.len() - self.free_active.len()))
            .finish_non_exhaustive()
    }
}

/// Whether nobody needs to look any more.
type Finished = bool;

/// Padding to the shortest frame: 60 bytes less the headers of Ethernet, IPv4 and TCP.
const PADDING_BYTES_MAX: u64 = 6;

/// Whether a first segment is nothing but link-layer padding that a middlebox has counted in as payload: a bare ACK
/// with a few zero bytes. Real data follows with the same sequence number.
fn is_padding(flags: TcpFlags, bytes: &[u8]) -> bool {
    flags.0 == TcpFlags::ACK && bytes.len() as u64 <= PADDING_BYTES_MAX && bytes.iter().all(|byte| *byte == 0)
}

/// What became of a segment.
enum Segment {
    Taken(Finished),
    Refused,
}

impl Active {
    /// Takes a segment without its urgent bytes, where the policy says that they are out of band.
    fn urgent_segment(
        &mut self,
        recogniser: &Recogniser,
        payload: &Payload<'_>,
        (seq, flags): (u32, TcpFlags),
        reassembly: &mut Reassembly,
        cx: &mut Context<'_>,
    ) -> Segment {
        let Payload { way, bytes, urgent, .. } = *payload;
        if urgent.is_none() && !self.streams.has_urgent() {
            return self.segment(recogniser, way, (seq, flags), bytes, reassembly, cx);
        }
        let syn = u32::from(flags.syn());
        if let Some(pointer) = urgent
            && reassembly.urgent == UrgentPolicy::OutOfBand
            && !self.streams.note_urgent(way, seq.wrapping_add(syn), flags, pointer)
        {
            tell_of_stream(&mut reassembly.met, cx, way, Anomaly::UrgentLimit);
        }
        let mut room = std::mem::take(&mut reassembly.without_urgent);
        let (first, bytes) = self.streams.without_urgent(way, seq.wrapping_add(syn), bytes, &mut room);
        let tcp = (first.wrapping_sub(syn), flags);
        let taken = match bytes.is_empty() {
            true => Segment::Taken(false),
            false => self.segment(recogniser, way, tcp, bytes, reassembly, cx),
        };
        reassembly.without_urgent = room;
        taken
    }

    fn segment(
        &mut self,
        recogniser: &Recogniser,
        way: Direction,
        (seq, flags): (u32, TcpFlags),
        bytes: &[u8],
        reassembly: &mut Reassembly,
        cx: &mut Context<'_>,
    ) -> Segment {
        if flags.rst() || (self.ways[way as usize].bytes <= PADDING_BYTES_MAX && is_padding(flags, bytes)) {
            return Segment::Taken(false);
        }
        if std::mem::take(&mut self.is_rewritten) {
            tell_of_stream(&mut reassembly.met, cx, way, Anomaly::OverlapDifferentData);
        }
        let first = seq.wrapping_add(u32::from(flags.syn()));
        let (mut is_syn, mut is_over) = (flags.syn(), false);
        // Each turn but the last gives a hole up, or what waited: they are at most as many as pieces may wait.
        loop {
            let Reassembly { mode, when_full, memory, met, .. } = reassembly;
            let taken = if std::mem::take(&mut is_syn) {
                self.streams.take_of_syn(way, seq, bytes, *mode, memory)
            } else {
                self.streams.take(way, first, bytes, *mode, memory)
            };
            if let Some(anomaly) = taken.anomaly {
                tell_of_stream(met, cx, way, anomaly);
            }
            if taken.what != What::Full {
                self.tell_rules(way, bytes, cx);
            }
            match taken.what {
                // Inline nothing comes late of what the receiver has. Beside the wire it may stand behind this in the capture, and
                // the next acknowledgement decides.
                What::Nothing if reassembly.mode.is_inline() && self.streams.hole_is_hopeless(way) => {
                    is_over = self.pass_holes(recogniser, way, reassembly, cx);
                    break;
                }
                What::Nothing => break,
                What::Ready if self.read(recogniser, way, bytes, cx) => {
                    is_over = true;
                    break;
                }
                What::Ready => break,
                What::Full if *when_full == WhenFull::LeaveSegment => return Segment::Refused,
                What::Full => {
                    if self.go_on(recogniser, way, Some(first), reassembly, cx) {
                        is_over = true;
                        break;
                    }
                }
            }
        }
        if is_over {
            // Whoever looks on needs none of it.
            let unread = self.streams.ready(way, bytes).len();
            self.streams.consume(way, unread);
        }
        let is_kept = self.streams.keep(way, bytes, reassembly.mode, &mut reassembly.memory);
        if !is_kept {
            tell_of_stream(&mut reassembly.met, cx, way, Anomaly::InsertMemcap);
        }
        Segment::Taken(is_over || (!is_kept && self.gap(way, 0, cx)))
    }

    /// Shows rules what came in order; they try it when it was read, because what it speaks may become known.
    fn tell_rules(&mut self, way: Direction, payload: &[u8], cx: &mut Context<'_>) {
        if cx.rules.is_on() {
            let fresh = self.streams.unshown(way, payload);
            cx.rules.pass(way, fresh);
        }
    }

    /// Ends a flow that is `finished`; whether rules look on, which `is_deep` denies.
    fn conclude(&mut self, finished: bool, is_deep: bool, cx: &mut Context<'_>) -> bool {
        if finished && !self.is_read {
            self.end(cx);
        }
        let is_tcp = cx.flow.protocol == parse::Protocol::TCP;
        let is_open = !ruled::is_encrypted(cx.notes);
        self.is_read |= finished;
        self.is_read && !is_deep && is_tcp && is_open && cx.rules.is_on() && cx.rules.detector.wants_streams()
    }

    /// What the flow's streams may hold, now that its parser keeps what it keeps.
    fn stream_bytes_max(&self) -> usize {
        BUFFER_BYTES_MAX - self.kept.clamp(PARSER_BYTES_RESERVED, PARSER_BYTES_MAX)
    }

    /// Goes on without the bytes of all holes whose bytes the receiver has.
    fn pass_holes(
        &mut self,
        recogniser: &Recogniser,
        way: Direction,
        reassembly: &mut Reassembly,
        cx: &mut Context<'_>,
    ) -> Finished {
        // Each turn gives a hole up: they are at most as many as pieces may wait.
        while self.streams.hole_is_hopeless(way) {
            if self.go_on(recogniser, way, None, reassembly, cx) {
                return true;
            }
        }
        false
    }

    /// Goes on without the bytes of the first hole, and reads what lies beyond it.
    fn go_on(
        &mut self,
        recogniser: &Recogniser,
        way: Direction,
        seq: Option<u32>,
        reassembly: &mut Reassembly,
        cx: &mut Context<'_>,
    ) -> Finished {
        self.keep_before_hole(way, cx);
        let lost = self.streams.give_up_hole(way, seq, reassembly.mode, &mut reassembly.memory);
        if !lost.is_nothing() {
            tell_of_stream(&mut reassembly.met, cx, way, Anomaly::SeqGap);
            cx.rules.detector.stream_gap(*cx.rules.place, way, lost.hole);
            if self.gap(way, lost.hole, cx) {
                return true;
            }
        }
        self.tell_rules(way, &[], cx);
        !self.streams.ready(way, &[]).is_empty() && self.read(recogniser, way, &[], cx)
    }

    /// Shows the parser what it left unread before a hole, which is gone afterwards.
    fn keep_before_hole(&mut self, way: Direction, cx: &mut Context<'_>) {
        let unread = self.streams.ready(way, &[]);
        if self.is_read || unread.is_empty() {
            return;
        }
        let held = self.streams.bytes_held();
        match &mut self.parser {
            Some(parser) => {
                within_budget(parser, (way, &mut self.kept), held, cx, |parser, cx| {
                    parser.before_gap(way, unread, cx);
                    Step::Consumed(0)
                });
            }
            None if self.broken.is_none() && unread.len() <= BROKEN_BYTES_MAX => {
                self.broken = Some(Box::new(Broken { way, bytes: Kept::of(unread), hole: 0 }));
            }
            None => {}
        }
    }

    /// What the flow speaks is known now: its parser gets what came before bytes that are missing.
    fn mend(&mut self, cx: &mut Context<'_>) -> Finished {
        let Some(broken) = self.broken.take() else { return false };
        let Broken { way, bytes, hole } = *broken;
        if let Some(parser) = &mut self.parser {
            let held = self.streams.bytes_held();
            within_budget(parser, (way, &mut self.kept), held, cx, |parser, cx| {
                parser.before_gap(way, &bytes, cx);
                Step::Consumed(0)
            });
        }
        self.gap(way, hole, cx)
    }

    /// Tells the parser that bytes are missing.
    fn gap(&mut self, way: Direction, len: u64, cx: &mut Context<'_>) -> Finished {
        if self.is_read {
            return false;
        }
        let held = self.streams.bytes_held();
        match &mut self.parser {
            Some(parser) => {
                let step = within_budget(parser, (way, &mut self.kept), held, cx, |parser, cx| {
                    parser.gap(way, len, cx)
                });
                let is_over = !matches!(step, Step::Consumed(_));
                cx.is_broken |= is_over;
                is_over
            }
            None => match &mut self.broken {
                // It is recognised by what comes behind, too.
                Some(broken) if broken.way == way && broken.hole == 0 => {
                    broken.hole = len;
                    false
                }
                _ => {
                    self.settle(cx);
                    true
                }
            },
        }
    }

    /// Reads what is ready of a TCP direction; `payload` is that of the segment taken last.
    fn read(
        &mut self,
        recogniser: &Recogniser,
        way: Direction,
        payload: &[u8],
        cx: &mut Context<'_>,
    ) -> Finished {
        if self.is_read {
            let unread = self.streams.ready(way, payload).len();
            self.streams.consume(way, unread);
            return false;
        }
        if self.parser.is_none() {
            // Taken out while the rest of the flow is changed, which costs no copy of bytes.
            let streams = std::mem::take(&mut self.streams);
            let bytes = streams.ready(way, payload);
            let peeked = &bytes[..bytes.len().min(PEEK_BYTES_MAX)];
            let told = match &self.broken {
                Some(broken) if broken.way == way => {
                    let whole = [&broken.bytes[..], peeked].concat();
                    self.recognise(recogniser, Over::Tcp, way, &whole, cx)
                }
                _ => self.recognise(recogniser, Over::Tcp, way, peeked, cx),
            };
            self.streams = streams;
            match told {
                Some(finished) => return finished,
                // Both directions may have waited for this.
                None => {
                    if self.mend(cx) || self.parse(recogniser, way.opposite(), &[], cx) {
                        return true;
                    }
                }
            }
        }
        self.parse(recogniser, way, payload, cx)
    }

    /// Hands what is ready to the parser, until it wants no more of it.
    fn parse(
        &mut self,
        recogniser: &Recogniser,
        way: Direction,
        payload: &[u8],
        cx: &mut Context<'_>,
    ) -> Finished {
        loop {
            let Some(parser) = &mut self.parser else { return false };
            let bytes = self.streams.ready(way, payload);
            if bytes.is_empty() {
                return false;
            }
            let held = self.streams.bytes_held();
            match within_budget(parser, (way, &mut self.kept), held, cx, |parser, cx| {
                parser.data(way, bytes, cx)
            }) {
                Step::Consumed(0) => return false,
                Step::Consumed(len) => self.streams.consume(way, len),
                Step::Done => return true,
                Step::NotMine => return self.refused(recogniser, cx),
            }
        }
    }

    fn datagram(
        &mut self,
        recogniser: &Recogniser,
        way: Direction,
        bytes: &[u8],
        cx: &mut Context<'_>,
    ) -> Finished {
        if self.parser.is_none()
            && let Some(finished) = self.recognise(recogniser, over(cx.flow.protocol), way, bytes, cx)
        {
            return finished;
        }
        let Some(parser) = &mut self.parser else { return false };
        match within_budget(parser, (way, &mut self.kept), 0, cx, |parser, cx| parser.data(way, bytes, cx)) {
            Step::Consumed(_) => false,
            Step::Done => true,
            Step::NotMine => self.refused(recogniser, cx),
        }
    }

    /// Asks what the flow speaks. `None`: a parser is there now and wants the bytes.
    fn recognise(
        &mut self,
        recogniser: &Recogniser,
        transport: Over,
        way: Direction,
        bytes: &[u8],
        cx: &mut Context<'_>,
    ) -> Option<Finished> {
        let peek = Peek {
            bytes,
            way,
            nth: self.search.seen(way),
            ports: (cx.flow.initiator.1, cx.flow.responder.1),
            other: self.ways[way.opposite() as usize].first.as_slice(),
            previous: self.ways[way as usize].previous.as_slice(),
            is_multicast: cx.flow.responder.0.is_multicast_or_broadcast(),
            is_tcp: cx.flow.protocol == parse::Protocol::TCP,
        };
        let told = recogniser.ask(&mut self.search, transport, &peek);
        let head = Head::of(bytes);
        let own = &mut self.ways[way as usize];
        if own.first.len == 0 {
            own.first = head;
        }
        own.previous = head;
        match told {
            Recognised::NotYet => Some(false),
            Recognised::Nothing => Some(true),
            Recognised::As(protocol, confidence) => {
                cx.notes.set_protocol(protocol, confidence);
                cx.app(protocol.name, confidence);
                if way == Direction::Reverse && self.ways[Direction::Forward as usize].bytes == 0 {
                    cx.began_with_answer(protocol);
                }
                self.parser = cx.parsers.take(protocol);
                self.made_for = Some(protocol);
                self.parser.is_none().then_some(true)
            }
        }
    }

    /// The parser says that the flow is not its protocol's: the search goes on.
    fn refused(&mut self, recogniser: &Recogniser, cx: &mut Context<'_>) -> Finished {
        self.give_back(cx);
        if let Some(protocol) = cx.notes.take_protocol() {
            recogniser.rule_out(&mut self.search, protocol);
        }
        false
    }

    /// Takes the best that recognition has, where nothing was sure.
    fn settle(&mut self, cx: &mut Context<'_>) {
        if self.parser.is_none()
            && cx.notes.protocol().is_none()
            && let Some((protocol, confidence)) = self.search.best()
        {
            cx.notes.set_protocol(protocol, confidence);
            cx.app(protocol.name, confidence);
        }
    }

    fn end(&mut self, cx: &mut Context<'_>) {
        if let Some(parser) = &mut self.parser {
            parser.end(cx);
        }
        cx.rules.finish();
        let [one, two] = &self.ways;
        let heads = [&one.first, &one.previous, &two.first, &two.previous].map(Head::as_slice);
        flow::judge(&flow::Sample { heads, bytes: one.bytes + two.bytes }, cx);
        self.give_back(cx);
    }

    /// The parser may read another flow.
    fn give_back(&mut self, cx: &mut Context<'_>) {
        if let (Some(protocol), Some(parser)) = (self.made_for.take(), self.parser.take()) {
            cx.parsers.give(protocol, parser);
        }
        self.kept = 0;
    }
}

/// Lets a parser read, and ends it where it keeps more of the flow than it may beside what the streams hold.
fn within_budget(
    parser: &mut Box<dyn Parser>,
    (way, kept): (Direction, &mut usize),
    held_by_streams: usize,
    cx: &mut Context<'_>,
    read: impl FnOnce(&mut dyn Parser, &mut Context<'_>) -> Step,
) -> Step {
    let before = kept::in_use();
    cx.way = Some(way);
    let mut step = read(&mut **parser, cx);
    cx.way = None;
    *kept = (*kept + kept::in_use()).saturating_sub(before);
    let bytes_max = PARSER_BYTES_MAX.min(BUFFER_BYTES_MAX.saturating_sub(held_by_streams));
    if *kept > bytes_max && matches!(step, Step::Consumed(_)) {
        cx.anomaly("parser_memcap");
        step = Step::Done;
    }
    // Whoever ends and objects to nothing has read what it wanted.
    cx.is_broken |= match step {
        Step::Consumed(_) => false,
        Step::Done => cx.objections > 0,
        Step::NotMine => true,
    };
    step
}

fn tell_of_stream(met: &mut [u64; Anomaly::COUNT], cx: &mut Context<'_>, way: Direction, anomaly: Anomaly) {
    met[anomaly as usize] += 1;
    cx.rules.detector.meet(anomaly.label().trim_start_matches("stream."));
    if cx.notes.may_tell_anomaly() {
        cx.tell_with("anomaly", way, |fields| {
            fields.text("type", "stream");
            fields.text("event", anomaly.label());
        });
    }
}

const fn over(protocol: u8) -> Over {
    match protocol {
        parse::Protocol::TCP => Over::Tcp,
        parse::Protocol::SCTP => Over::Sctp,
        _ => Over::Udp,
    }
}

#[cfg(test)]
mod tests;
