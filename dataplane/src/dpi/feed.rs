//! What does one parser make of payloads, all by itself? Fuzz targets and tests show the same bytes to every parser.
//!
//! ```text
//! payloads, as a fuzz input has them:   way (top bit) and length (2) | bytes
//! ```
//! The parser is made as recognition would make it, and is shown the bytes as the inspector shows them: what it leaves of a TCP
//! direction comes again with the next payload, what it leaves of a datagram is gone.

use super::app::AppTable;
use super::fields::{Fields, Value};
use super::file::Files;
use super::foresight::Foresight;
use super::idle::IdleParsers;
use super::notes::Notes;
use super::parser::{Context, FlowView, Parser, Record, Step};
use super::protocol::{Over, Protocol};
use super::protocols;
use super::risk::clues::{Clues, PageId, Store};
use crate::flow::Direction;
use crate::parse::{self, Addr};
use crate::rules::Detector;
use crate::rules::detect::{FlowPlace, Telling};
use crate::rules::hashes::HashKinds;
use crate::time::Wall;

/// Unread bytes of a direction after which they are lost.
const KEPT_BYTES_MAX: usize = 16_384;

/// A port that says nothing.
const PORT: u16 = 40_001;

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fed {
    /// Records that were told, anomalies too.
    pub records: usize,
    /// The names of the anomalies.
    pub anomalies: Vec<String>,
    /// Whether the parser said that the flow is not its protocol's.
    pub is_refused: bool,
    /// Whether a risk was noted.
    pub has_risk: bool,
}

/// Every protocol that has a parser.
pub fn parsed() -> impl Iterator<Item = &'static Protocol> {
    protocols::all().filter(|protocol| protocol.parser.is_some())
}

/// A flow of `protocol` below each transport that its probes know.
pub fn flows(protocol: &Protocol) -> impl Iterator<Item = FlowView> {
    let is_over = |transports: &[Over]| protocol.probes.iter().any(|probe| transports.contains(&probe.over));
    let udp = is_over(&[Over::Udp, Over::TcpOrUdp]);
    let sctp = is_over(&[Over::Sctp]);
    let tcp = is_over(&[Over::Tcp, Over::TcpOrUdp]) || !(udp || sctp);
    let port = match protocol.name {
        "smtp" => 25,
        "whois" => 43,
        "netbios_dgm" => 138,
        _ => PORT,
    };
    [(tcp, parse::Protocol::TCP), (udp, parse::Protocol::UDP), (sctp, parse::Protocol::SCTP)]
        .into_iter()
        .filter_map(|(is_over, number)| is_over.then_some(number))
        .map(move |number| FlowView {
            initiator: (Addr::v4([192, 0, 2, 1]), 40_000),
            responder: (Addr::v4([198, 51, 100, 7]), port),
            protocol: number,
            is_midstream: false,
            is_established: true,
            counts: crate::rules::detect::FlowCounts::default(),
        })
}

/// The payloads of a fuzz input.
#[must_use]
pub fn payloads(mut input: &[u8]) -> Vec<(Direction, &[u8])> {
    let mut found = Vec::new();
    while let Some((head, after)) = input.split_first_chunk::<2>() {
        let word = u16::from_be_bytes(*head);
        let len = usize::from(word & 0x7fff).min(after.len());
        let way = if word & 0x8000 == 0 { Direction::Forward } else { Direction::Reverse };
        let (payload, left) = after.split_at(len);
        found.push((way, payload));
        input = left;
    }
    found
}

/// Shows `payloads` to a parser of `protocol`, if it has one.
pub fn feed<'a>(
    protocol: &'static Protocol,
    flow: &FlowView,
    apps: &AppTable,
    payloads: impl IntoIterator<Item = (Direction, &'a [u8])>,
) -> Fed {
    let mut fed = Fed::default();
    let Some(make) = protocol.parser else { return fed };
    let mut notes = Notes::default();
    notes.set_protocol(protocol, 90);
    let last = feed_parser(&mut *make(), flow, apps, payloads, &mut notes, &mut |record| {
        fed.records += 1;
        if record.event_type == "anomaly" {
            fed.anomalies.extend(record.fields.iter().find_map(|(key, value)| match (key, value) {
                ("event", Value::Text(name)) => Some(String::from_utf8_lossy(name).into_owned()),
                _ => None,
            }));
        }
    });
    fed.is_refused = last == Step::NotMine;
    fed.has_risk = notes.risks().iter().next().is_some();
    fed
}

/// Shows `payloads` to a parser, and ends it; `records` gets what it tells. Returns what it wanted last.
pub fn feed_parser<'a>(
    parser: &mut dyn Parser,
    flow: &FlowView,
    apps: &AppTable,
    payloads: impl IntoIterator<Item = (Direction, &'a [u8])>,
    notes: &mut Notes,
    records: &mut dyn FnMut(Record<'_>),
) -> Step {
    let (mut rules, mut place) = (Detector::default(), FlowPlace::default());
    let mut cx = Context {
        flow,
        at: Wall(1_700_000_000_000_000_000),
        notes,
        records,
        scratch: &mut Fields::new(),
        clues: Clues { store: &mut Store::new(1), id: &mut PageId::default() },
        transactions: &mut 0,
        apps,
        foresight: &Foresight::default(),
        rules: Telling::nobody(&mut rules, &mut place),
        files: Files { are_recorded: true, hashes: HashKinds::default() },
        limits: super::parser::Limits::default(),
        objections: 0,
        is_broken: false,
        parsers: &mut IdleParsers::default(),
        way: None,
        is_changing: false,
        nesting: 0,
    };
    let mut ways: [Unread; 2] = Default::default();
    let mut last = Step::Consumed(0);
    for (way, payload) in payloads {
        last = if flow.protocol == parse::Protocol::TCP {
            ways[way as usize].segment(parser, way, payload, &mut cx)
        } else if payload.is_empty() {
            continue;
        } else {
            parser.data(way, payload, &mut cx)
        };
        if matches!(last, Step::Done | Step::NotMine) {
            break;
        }
    }
    parser.end(&mut cx);
    last
}

/// What a parser left of a direction, and how much of what comes it wants to skip.
#[derive(Debug, Default)]
struct Unread {
    bytes: Vec<u8>,
    skip: usize,
}

impl Unread {
    fn segment(
        &mut self,
        parser: &mut dyn Parser,
        way: Direction,
        payload: &[u8],
        cx: &mut Context<'_>,
    ) -> Step {
        let skipped = self.skip.min(payload.len());
        self.skip -= skipped;
        self.bytes.extend_from_slice(&payload[skipped..]);
        let mut read = 0;
        while read < self.bytes.len() {
            match parser.data(way, &self.bytes[read..], cx) {
                Step::Consumed(0) => break,
                Step::Consumed(len) => {
                    let unread = self.bytes.len() - read;
                    self.skip = self.skip.saturating_add(len.saturating_sub(unread));
                    read += len.min(unread);
                }
                end => return end,
            }
        }
        self.bytes.drain(..read);
        if self.bytes.len() > KEPT_BYTES_MAX {
            let lost = self.bytes.len() as u64;
            self.bytes.clear();
            return parser.gap(way, lost, cx);
        }
        Step::Consumed(0)
    }
}

/// What the tests of parsers compare: every record as a line, `type key=value key={key=value} key=[value value]`.
#[cfg(test)]
pub mod samples {
    use crate::dpi::fields::Reader;

    use super::{AppTable, Direction, Fields, Notes, Protocol, Record, Value, feed_parser, flows};

    /// Numbers of the rules that match a flow over TCP to `port`, in order, as a worker would tell them.
    pub fn alerts_of(port: u16, rules: &[&str], payloads: &[(Direction, &[u8])]) -> Vec<u32> {
        alerts_with_records_of(port, rules, payloads).into_iter().map(|(sid, _)| sid).collect()
    }

    /// The same with what each brings of its transaction, as a record's line.
    #[expect(clippy::unwrap_used, reason = "a failed test may panic")]
    pub fn alerts_with_records_of(
        port: u16,
        rules: &[&str],
        payloads: &[(Direction, &[u8])],
    ) -> Vec<(u32, String)> {
        use crate::dpi::inspector::{Inspector, Payload};
        use crate::parse::{Addr, Protocol, TcpFlags};
        use crate::rules::memory::Names;
        use crate::rules::{RuleSet, Signature, set::Options};
        let signatures = rules.iter().map(|text| Signature::of_text(text)).collect();
        let set = RuleSet::new(signatures, &mut Names::default(), Options::default()).unwrap();
        let recogniser = crate::dpi::recogniser::Recogniser::new().into();
        let mut inspector = Inspector::new(recogniser, AppTable::default().into(), 1);
        inspector.follow_rules(Some(&set.into()));
        let view = super::FlowView {
            initiator: (Addr::v4([192, 0, 2, 1]), 40_000),
            responder: (Addr::v4([198, 51, 100, 7]), port),
            protocol: Protocol::TCP,
            is_midstream: false,
            is_established: true,
            counts: crate::rules::detect::FlowCounts::default(),
        };
        let at = crate::time::Wall(1_700_000_000_000_000_000);
        let (slot, _) = inspector.start(&view, at);
        let mut told = Vec::new();
        let mut take = |inspector: &mut Inspector| {
            let mut hits = Vec::new();
            inspector.rules().take_hits(at.0, &mut hits);
            for hit in hits.iter().filter(|hit| hit.is_told) {
                let about = inspector.record_of(slot, hit);
                let line = about
                    .map(|(event_type, bytes)| format!("{event_type} {}", text_in(Reader::over(&bytes))));
                told.push((inspector.rules().signature(hit).unwrap().rule.sid, line.unwrap_or_default()));
            }
        };
        let mut sent = [0_u32; 2];
        for way in [Direction::Forward, Direction::Reverse] {
            inspector.syn(slot, way, 0);
        }
        for (way, bytes) in payloads {
            let seq = &mut sent[*way as usize];
            let tcp = Some((*seq + 1, TcpFlags(TcpFlags::ACK)));
            *seq += bytes.len() as u32;
            let payload = Payload { way: *way, bytes, tcp, urgent: None, at };
            inspector.look(slot, &view, &payload, &mut |_| {});
            take(&mut inspector);
        }
        inspector.end(slot, &view, at, &mut |_| {});
        take(&mut inspector);
        told
    }

    /// The records of a flow to a port that says nothing, over TCP where the protocol knows both transports.
    pub fn records_of(protocol: &'static Protocol, payloads: &[(Direction, &[u8])]) -> Vec<String> {
        flows(protocol).next().map(|flow| records_over(protocol, flow.protocol, payloads)).unwrap_or_default()
    }

    /// The same over UDP where the protocol knows both.
    pub fn told(protocol: &'static Protocol, payloads: &[(Direction, Vec<u8>)]) -> Vec<String> {
        let payloads: Vec<_> = payloads.iter().map(|(way, bytes)| (*way, &bytes[..])).collect();
        flows(protocol)
            .last()
            .map(|flow| records_over(protocol, flow.protocol, &payloads))
            .unwrap_or_default()
    }

    /// The same over one transport.
    pub fn records_over(
        protocol: &'static Protocol,
        transport: u8,
        payloads: &[(Direction, &[u8])],
    ) -> Vec<String> {
        let mut told = Vec::new();
        let Some(make) = protocol.parser else { return told };
        for flow in flows(protocol).filter(|flow| flow.protocol == transport) {
            let mut notes = Notes::default();
            notes.set_protocol(protocol, 90);
            let payloads = payloads.iter().copied();
            feed_parser(&mut *make(), &flow, &AppTable::default(), payloads, &mut notes, &mut |record| {
                told.push(line_of(&record));
            });
        }
        told
    }

    fn line_of(record: &Record<'_>) -> String {
        format!("{} {}", record.event_type, text_of(record.fields))
    }

    /// Fields as a text.
    pub fn text_of(fields: &Fields) -> String {
        text_in(fields.iter())
    }

    fn text_in(fields: Reader<'_>) -> String {
        let (mut line, mut open) = (String::new(), Vec::new());
        for (key, value) in fields {
            if value == Value::Close {
                line.extend(open.pop());
                continue;
            }
            if !line.is_empty() && !line.ends_with(['{', '[']) {
                line.push(' ');
            }
            if !key.is_empty() {
                line.push_str(key);
                line.push('=');
            }
            match value {
                Value::Text(text) => line.push_str(&String::from_utf8_lossy(text)),
                Value::Bytes(bytes) => bytes.iter().for_each(|byte| line.push_str(&format!("{byte:02x}"))),
                Value::Unsigned(number) => line.push_str(&number.to_string()),
                Value::Signed(number) => line.push_str(&number.to_string()),
                Value::Bool(truth) => line.push_str(&truth.to_string()),
                Value::OpenObject | Value::OpenList => {
                    let (begins, ends) = if value == Value::OpenList { ('[', ']') } else { ('{', '}') };
                    line.push(begins);
                    open.push(ends);
                }
                Value::Close => {}
            }
        }
        line
    }
}
