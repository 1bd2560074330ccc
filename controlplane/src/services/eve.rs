//! How does an event look to Suricata's tools? One JSON object a line, Suricata 7's EVE schema.
//!
//! [`Formatter::flow`] and its siblings append one line to a buffer that the caller reuses: no value trees,
//! no allocation once the buffer has grown. Keys stand in Suricata's order.
//! What Suricata has no key for is under `"jarvis"`.
//!
//! Absent: `max_regions`, which nothing here knows; docs/eve.md has the whole list.

use dataplane::account::Fate;
use dataplane::control::{
    Alert, DropRecord, FlowEnd, Origin, Source, StateChange, TaggedPacket, Transaction, TransportFields,
};
use dataplane::dpi::Summary;
use dataplane::flow::{Decision, EndReason, FlowRecord, TcpState};
use dataplane::identity::UserNumber;
use dataplane::parse::{Addr, Mac, Protocol, TcpFlags, Tunnel};
use dataplane::rules::detect::FlowAction;
use dataplane::time::Wall;
use dataplane::verdict::{Reason, ReasonClass};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};

use std::path::Path;

use super::names::{self, CountryCode, Names, OfUser, PolicyNamer};
use super::policy_shadow::ShadowIds;
use super::stamp::Stamp;

mod alert;
mod community;
mod risks;
mod transaction;

use alert::{AlertBody, FlowSoFar, Remembered, direction, serialize_kept, serialize_packet};
use community::{CommunityId, icmp_ports};
use risks::{RiskDetails, RiskNames};
use transaction::{TransactionView, serialize_about};

/// Writes events as lines of EVE.
#[derive(Debug, Default)]
pub struct Formatter {
    namer: PolicyNamer,
    /// Seed of `community_id`; without one it is not written.
    community_seed: Option<u16>,
    /// The end of a line that names the capture file.
    capture: Option<Vec<u8>>,
}

impl Formatter {
    /// One that writes `community_id` with this seed, or does not.
    #[must_use]
    pub fn with_community_seed(community_seed: Option<u16>) -> Self {
        Self { community_seed, ..Self::default() }
    }

    /// Events are of this capture file from now on, and name it (`pcap_filename`).
    pub fn set_capture(&mut self, file: &Path) {
        let name = serde_json::json!(file.to_string_lossy());
        self.capture = Some(format!(",\"pcap_filename\":{name}}}\n").into_bytes());
    }

    /// Appends a `flow` event. `worker` is told under `jarvis`; `clues` speaks for the risks
    /// ([`dataplane::dpi::risk::clues`]).
    pub fn flow(&mut self, out: &mut Vec<u8>, names: &Names, worker: usize, end: &FlowEnd, clues: &[u8]) {
        let FlowEnd { record, summary, host, responder, .. } = end;
        let policy_id = self.namer.id(names, &record.decision);
        let header = Some((Stamp(record.last), "flow"));
        let payload = (summary, host.as_deref(), clues);
        let mut view = FlowView::new(header, names, worker, record, payload, policy_id);
        view.community_id = self.community_seed.map(|seed| community_id(seed, record));
        let shadow = record.shadow.and_then(|fate| Some((fate, names.shadow()?)));
        view.jarvis.run = names.run();
        view.jarvis.identity = record.decision.user.filter(|_| names.run() > 0);
        let ((initiator, _), (responder_addr, _)) = record.endpoints();
        view.jarvis.country = names.country(initiator, responder_addr);
        view.jarvis.responder = Responder(names.user(*responder));
        view.jarvis.shadow = shadow.as_ref().and_then(|(fate, ids)| ShadowNote::of(*fate, ids));
        append_of(self.capture.as_deref(), out, &view);
    }

    /// Appends the event of a transaction, whose encoded fields are `fields`.
    pub fn transaction(
        &mut self,
        out: &mut Vec<u8>,
        names: &Names,
        worker: usize,
        told: &Transaction,
        fields: &[u8],
    ) {
        let community_id =
            self.community_seed.map(|seed| CommunityId::new(seed, told.protocol, told.src, told.dst));
        append_of(
            self.capture.as_deref(),
            out,
            &TransactionView { names, worker, told, fields, community_id },
        );
    }

    /// Appends a `drop` event.
    pub fn drop(&mut self, out: &mut Vec<u8>, names: &Names, worker: usize, record: &DropRecord) {
        self.packet(out, names, worker, record, ("drop", Body::Drop(DropBody(record))));
    }

    /// Appends an `alert` event.
    pub fn alert(&mut self, out: &mut Vec<u8>, names: &Names, worker: usize, alert: &Alert) {
        self.packet(out, names, worker, &alert.record, ("alert", Body::Alert(AlertBody(alert))));
    }

    /// Appends a `packet` event: `bytes` are recorded because of an earlier alert.
    pub fn tagged(
        &mut self,
        out: &mut Vec<u8>,
        names: &Names,
        worker: usize,
        told: &TaggedPacket,
        bytes: &[u8],
    ) {
        let body = Body::Packet { bytes, link: told.link };
        self.packet(out, names, worker, &told.record, ("packet", body));
    }

    /// Appends an `anomaly` event.
    pub fn anomaly(&mut self, out: &mut Vec<u8>, names: &Names, worker: usize, record: &DropRecord) {
        let (layer, event) = anomaly_name(record.reason.cause());
        self.packet(out, names, worker, record, ("anomaly", Body::Anomaly { layer, event }));
    }

    fn packet(
        &mut self,
        out: &mut Vec<u8>,
        names: &Names,
        worker: usize,
        record: &DropRecord,
        (event_type, body): (&'static str, Body<'_>),
    ) {
        let policy_id = self.namer.id(names, &record.decision);
        // Of an ICMP packet its type is not recorded.
        let community_id = match (self.community_seed, record.src, record.dst) {
            (Some(seed), Some(src), Some(dst)) if has_ports(record.protocol) => {
                Some(CommunityId::new(seed, record.protocol, src, dst))
            }
            _ => None,
        };
        append_of(
            self.capture.as_deref(),
            out,
            &PacketView { names, worker, record, policy_id, event_type, body, community_id },
        );
    }

    /// Appends an `engine` event: a link that went, a worker that hung, a thread that was started anew. Suricata
    /// has no such type. `worker` is `None` where no worker told it.
    pub fn state(
        &mut self,
        out: &mut Vec<u8>,
        names: &Names,
        worker: Option<usize>,
        now: Wall,
        change: &StateChange,
    ) {
        #[derive(Serialize)]
        struct EngineView<'a> {
            timestamp: Stamp,
            #[serde(skip_serializing_if = "Option::is_none")]
            in_iface: Option<&'a str>,
            event_type: &'static str,
            jarvis: EngineNotes,
        }
        #[derive(Serialize)]
        struct EngineNotes {
            #[serde(skip_serializing_if = "Option::is_none")]
            worker: Option<usize>,
            #[serde(flatten)]
            change: Change,
        }
        #[derive(Serialize)]
        #[serde(tag = "change", rename_all = "snake_case")]
        enum Change {
            Link { up: bool },
            Hang { silent_ms: u64, stale_frames: u32 },
            ControlRestarted,
        }
        let (in_iface, change) = match *change {
            StateChange::Link { port, up } => (names.port(port), Change::Link { up }),
            StateChange::Hang { silent_ms, stale_frames } => (None, Change::Hang { silent_ms, stale_frames }),
            StateChange::ControlRestarted => (None, Change::ControlRestarted),
        };
        let jarvis = EngineNotes { worker, change };
        append_of(
            self.capture.as_deref(),
            out,
            &EngineView { timestamp: Stamp(now), in_iface, event_type: "engine", jarvis },
        );
    }
}

/// Appends one value as one line.
pub(super) fn append(out: &mut Vec<u8>, line: &impl Serialize) {
    let before = out.len();
    // Writing to a Vec does not fail, and no view here has a failing serialiser; half a line never stays.
    match serde_json::to_writer(&mut *out, line) {
        Ok(()) => out.push(b'\n'),
        Err(_) => out.truncate(before),
    }
}

/// Appends one value as one line, which ends as `capture` says where that is told.
fn append_of(capture: Option<&[u8]>, out: &mut Vec<u8>, line: &impl Serialize) {
    let before = out.len();
    append(out, line);
    if let Some(capture) = capture
        && out.len() > before
    {
        // In place of the last brace and the end of the line.
        out.truncate(out.len() - 2);
        out.extend_from_slice(capture);
    }
}

/// A flow as EVE shows it; the API shows the same without timestamp and event type.
#[derive(Debug, Serialize)]
pub struct FlowView<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<Stamp>,
    flow_id: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    in_iface: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Vlans::is_empty")]
    vlan: Vlans,
    src_ip: Ip,
    #[serde(skip_serializing_if = "Option::is_none")]
    src_port: Option<u16>,
    dest_ip: Ip,
    #[serde(skip_serializing_if = "Option::is_none")]
    dest_port: Option<u16>,
    proto: Proto,
    #[serde(skip_serializing_if = "Option::is_none")]
    icmp_type: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    icmp_code: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_icmp_type: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_icmp_code: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    app_proto: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    app_proto_orig: Option<&'static str>,
    flow: FlowBody,
    #[serde(skip_serializing_if = "Option::is_none")]
    community_id: Option<CommunityId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ether: Option<FlowEther>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tcp: Option<TcpBody>,
    jarvis: FlowNotes<'a>,
}

#[derive(Debug, Serialize)]
struct FlowBody {
    pkts_toserver: u64,
    pkts_toclient: u64,
    bytes_toserver: u64,
    bytes_toclient: u64,
    start: Stamp,
    end: Stamp,
    age: u64,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    alerted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct FlowEther {
    dest_macs: [MacText; 1],
    src_macs: [MacText; 1],
}

#[derive(Debug)]
struct TcpBody {
    flags: [TcpFlags; 2],
    state: &'static str,
}

#[derive(Debug, Serialize)]
struct FlowNotes<'a> {
    worker: usize,
    #[serde(skip_serializing_if = "is_zero")]
    run: u64,
    #[serde(flatten)]
    user: OfUser,
    #[serde(skip_serializing_if = "Option::is_none")]
    identity: Option<UserNumber>,
    #[serde(flatten)]
    responder: Responder,
    #[serde(skip_serializing_if = "Option::is_none")]
    country: Option<CountryCode>,
    policy_id: Option<&'a str>,
    policy_version: u32,
    verdict: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_reason: Option<&'static str>,
    #[serde(skip_serializing_if = "is_zero")]
    dropped: u64,
    #[serde(skip_serializing_if = "is_zero")]
    violations: u64,
    #[serde(skip_serializing_if = "is_false")]
    midstream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    tunnel: Option<&'static str>,
    #[serde(skip_serializing_if = "is_zero")]
    vni: u64,
    #[serde(skip_serializing_if = "is_zero")]
    aggregated: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    shadow: Option<ShadowNote<'a>>,
    #[serde(flatten)]
    payload: PayloadNotes<'a>,
}

/// How the flow would fare under the proposal beside the policies.
#[derive(Debug, Serialize)]
struct ShadowNote<'a> {
    change: &'static str,
    #[serde(flatten)]
    would: Option<ShadowWould<'a>>,
}

/// Whose the responder was when the flow ended.
#[derive(Debug, Default)]
struct Responder(OfUser);

impl Serialize for Responder {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(user) = self;
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in [("dst_user_id", user.user_id()), ("dst_user_role", user.user_role())] {
            if let Some(value) = value {
                map.serialize_entry(name, value)?;
            }
        }
        map.end()
    }
}

/// What it would meet there.
#[derive(Debug, Serialize)]
struct ShadowWould<'a> {
    policy_id: Option<&'a str>,
    action: &'static str,
}

impl<'a> ShadowNote<'a> {
    fn of(fate: Fate, ids: &'a ShadowIds) -> Option<Self> {
        match fate {
            Fate::Same => ids.tells_all().then_some(Self { change: "same", would: None }),
            Fate::Open => Some(Self { change: "undecided", would: None }),
            Fate::Differs(difference) => {
                let (policy_id, action) = ids.name(difference)?;
                let would = Some(ShadowWould { policy_id, action });
                Some(Self { change: difference.change.label(), would })
            }
        }
    }
}

/// What inspection knows.
#[derive(Debug, Serialize)]
struct PayloadNotes<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    app_name: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    category: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    confidence: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    evidence: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detection_tick: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<&'a str>,
    #[serde(skip_serializing_if = "RiskNames::is_empty")]
    risks: RiskNames,
    #[serde(skip_serializing_if = "Option::is_none")]
    risk_score: Option<u16>,
    #[serde(skip_serializing_if = "RiskDetails::is_empty")]
    risk_details: RiskDetails<'a>,
}

impl<'a> PayloadNotes<'a> {
    fn new((summary, host, clues): (&Summary, Option<&'a str>, &'a [u8])) -> Self {
        let app_name = summary.app_name();
        Self {
            app_name,
            category: app_name.map(|_| summary.category().name()),
            protocol: summary.protocol.map(|protocol| protocol.name),
            confidence: app_name.map(|_| summary.confidence),
            evidence: app_name.map(|_| summary.evidence.name()),
            detection_tick: app_name.map(|_| summary.detection_tick),
            host,
            risks: RiskNames(summary.risks),
            risk_score: (summary.risks.0 != 0).then(|| summary.risks.score()),
            risk_details: RiskDetails { risks: summary.risks, clues },
        }
    }
}

impl<'a> FlowView<'a> {
    /// `header` is timestamp and event type, for a log line.
    pub(super) fn new(
        header: Option<(Stamp, &'static str)>,
        names: &'a Names,
        worker: usize,
        record: &FlowRecord,
        payload: (&Summary, Option<&'a str>, &'a [u8]),
        policy_id: Option<&'a str>,
    ) -> Self {
        let summary = payload.0;
        let ((src, src_port), (dst, dst_port)) = record.endpoints();
        let labels = record.key.labels();
        let protocol = labels.protocol;
        let ports = has_ports(protocol);
        let icmp = matches!(protocol, Protocol::ICMP | Protocol::ICMPV6);
        let answered = icmp && record.packets[1] > 0;
        let known_macs = record.src_mac != Mac::default() || record.dst_mac != Mac::default();
        Self {
            timestamp: header.map(|(stamp, _)| stamp),
            flow_id: names::outer_flow_id(record.flow_id),
            in_iface: names.port(record.in_port),
            event_type: header.map(|(_, event_type)| event_type),
            vlan: Vlans(labels.vlan_outer, labels.vlan_inner),
            src_ip: Ip(src),
            src_port: ports.then_some(src_port),
            dest_ip: Ip(dst),
            dest_port: ports.then_some(dst_port),
            proto: Proto(protocol),
            icmp_type: icmp.then_some(record.icmp[0].0),
            icmp_code: icmp.then_some(record.icmp[0].1),
            response_icmp_type: answered.then_some(record.icmp[1].0),
            response_icmp_code: answered.then_some(record.icmp[1].1),
            // Suricata looks for an application above ports only.
            app_proto: summary.protocol.filter(|_| ports).map(|protocol| protocol.eve_name()),
            app_proto_orig: summary.original.filter(|_| ports).map(|protocol| protocol.eve_name()),
            flow: FlowBody {
                pkts_toserver: record.packets[0],
                pkts_toclient: record.packets[1],
                bytes_toserver: record.bytes[0],
                bytes_toclient: record.bytes[1],
                start: Stamp(record.start),
                end: Stamp(record.last),
                // Suricata's age is the difference of whole seconds.
                age: (record.last.0 / SECOND_NS).saturating_sub(record.start.0 / SECOND_NS),
                state: record.state.label(),
                reason: record.end.map(suricata_end),
                alerted: summary.rules.is_alerted,
                action: flow_action(record, summary),
            },
            community_id: None,
            ether: known_macs.then_some(FlowEther {
                dest_macs: [MacText(record.dst_mac)],
                src_macs: [MacText(record.src_mac)],
            }),
            tcp: (protocol == Protocol::TCP)
                .then(|| TcpBody { flags: record.tcp_flags, state: tcp_state(record.tcp_state) }),
            jarvis: FlowNotes {
                worker,
                run: 0,
                user: names.user(record.decision.user),
                identity: None,
                responder: Responder::default(),
                country: None,
                policy_id,
                policy_version: record.decision.policy_version,
                verdict: verdict(&record.decision),
                reason: record.decision.reason.map(Reason::label),
                end_reason: record.end.map(EndReason::label),
                dropped: record.dropped,
                violations: u64::from(record.violations),
                midstream: record.midstream,
                tunnel: tunnel(record.tunnel),
                vni: u64::from(labels.vni),
                aggregated: u64::from(record.aggregated),
                shadow: None,
                payload: PayloadNotes::new(payload),
            },
        }
    }
}

impl Serialize for TcpBody {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let [to_server, to_client] = self.flags;
        let all = TcpFlags(to_server.0 | to_client.0);
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("tcp_flags", &Hex(all.0))?;
        map.serialize_entry("tcp_flags_ts", &Hex(to_server.0))?;
        map.serialize_entry("tcp_flags_tc", &Hex(to_client.0))?;
        // Suricata names only the flags that were seen, in this order.
        for (bit, name) in TCP_FLAGS {
            if all.has(bit) {
                map.serialize_entry(name, &true)?;
            }
        }
        map.serialize_entry("state", self.state)?;
        map.end()
    }
}

const TCP_FLAGS: [(u8, &str); 8] = [
    (TcpFlags::SYN, "syn"),
    (TcpFlags::FIN, "fin"),
    (TcpFlags::RST, "rst"),
    (TcpFlags::PSH, "psh"),
    (TcpFlags::ACK, "ack"),
    (TcpFlags::URG, "urg"),
    (TcpFlags::ECE, "ecn"),
    (TcpFlags::CWR, "cwr"),
];

const SECOND_NS: u64 = 1_000_000_000;

/// An event about one frame.
struct PacketView<'a> {
    names: &'a Names,
    worker: usize,
    record: &'a DropRecord,
    policy_id: Option<&'a str>,
    event_type: &'static str,
    body: Body<'a>,
    community_id: Option<CommunityId>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Body<'a> {
    Drop(DropBody<'a>),
    Alert(AlertBody<'a>),
    Anomaly {
        #[serde(rename = "type")]
        layer: &'static str,
        event: &'static str,
    },
    #[serde(skip)]
    Packet {
        bytes: &'a [u8],
        link: u32,
    },
}

/// Suricata's word for how a packet came to be looked at (`PktSrcToString`).
const fn packet_source(source: Source) -> &'static str {
    match source {
        Source::Wire | Source::Tunnel(Tunnel::None) => "wire/pcap",
        Source::Fragments => "defrag",
        Source::FlowEnd => "stream (flow timeout)",
        Source::Tunnel(Tunnel::Gre) => "gre tunnel",
        Source::Tunnel(Tunnel::IpInIp) => "ipv4 tunnel",
        Source::Tunnel(Tunnel::Teredo) => "teredo tunnel",
        Source::Tunnel(Tunnel::Vxlan) => "vxlan encapsulation",
        Source::Tunnel(Tunnel::Geneve) => "geneve encapsulation",
        // Suricata does not enter it.
        Source::Tunnel(Tunnel::Gtpu) => "gtpu tunnel",
    }
}

/// `pcap_cnt`, where packets are counted.
fn serialize_number<M: SerializeMap>(origin: Origin, map: &mut M) -> Result<(), M::Error> {
    if origin.number == 0 { Ok(()) } else { map.serialize_entry("pcap_cnt", &origin.number) }
}

/// The headers of a dropped packet, as Suricata's `output-json-drop.c` tells them.
struct DropBody<'a>(&'a DropRecord);

impl Serialize for DropBody<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(record) = self;
        let mut map = serializer.serialize_map(None)?;
        if let Some(ip) = record.ip {
            map.serialize_entry("len", &ip.len_bytes)?;
            let is_v4 = record.src.is_some_and(|(addr, _)| addr.is_v4());
            let [tos, ttl, id] = if is_v4 { ["tos", "ttl", "ipid"] } else { ["tc", "hoplimit", "flowlbl"] };
            map.serialize_entry(tos, &ip.tos)?;
            map.serialize_entry(ttl, &ip.ttl)?;
            map.serialize_entry(id, &ip.id_or_label)?;
        }
        match record.transport {
            TransportFields::None | TransportFields::Igmp { .. } => {}
            TransportFields::Tcp { seq, ack, window, urgent, flags, reserved } => {
                map.serialize_entry("tcpseq", &seq)?;
                map.serialize_entry("tcpack", &ack)?;
                map.serialize_entry("tcpwin", &window)?;
                for (bit, name) in DROP_FLAGS {
                    map.serialize_entry(name, &flags.has(bit))?;
                }
                map.serialize_entry("tcpres", &reserved)?;
                map.serialize_entry("tcpurgp", &urgent)?;
            }
            TransportFields::Udp { len_bytes } => map.serialize_entry("udplen", &len_bytes)?,
            TransportFields::Icmp { id, seq } => {
                map.serialize_entry("icmp_id", &id)?;
                map.serialize_entry("icmp_seq", &seq)?;
            }
        }
        map.serialize_entry("reason", record.reason.label())?;
        map.end()
    }
}

/// Flags in the order of Suricata's drop event, which tells each, set or not.
const DROP_FLAGS: [(u8, &str); 6] = [
    (TcpFlags::SYN, "syn"),
    (TcpFlags::ACK, "ack"),
    (TcpFlags::PSH, "psh"),
    (TcpFlags::RST, "rst"),
    (TcpFlags::URG, "urg"),
    (TcpFlags::FIN, "fin"),
];

#[derive(Serialize)]
struct PacketNotes<'a> {
    worker: usize,
    #[serde(flatten)]
    user: OfUser,
    policy_id: Option<&'a str>,
    policy_version: u32,
    verdict: &'static str,
    reason: &'static str,
    count: u32,
    frame_len: u32,
}

/// A message of IGMP or of RGMP.
#[derive(Serialize)]
struct Igmp {
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u8>,
    #[serde(rename = "type")]
    kind: u8,
}

#[derive(Serialize)]
struct Ether {
    src_mac: MacText,
    dest_mac: MacText,
}

impl Serialize for PacketView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let record = self.record;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("timestamp", &Stamp(record.time))?;
        if record.flow_id != 0 {
            map.serialize_entry("flow_id", &names::outer_flow_id(record.flow_id))?;
        }
        if let Some(port) = self.names.port(record.in_port) {
            map.serialize_entry("in_iface", port)?;
        }
        serialize_number(record.origin, &mut map)?;
        map.serialize_entry("event_type", self.event_type)?;
        let vlans = Vlans(record.vlans.0, record.vlans.1);
        if !vlans.is_empty() {
            map.serialize_entry("vlan", &vlans)?;
        }
        let ports = has_ports(record.protocol);
        if let Some((addr, port)) = record.src {
            map.serialize_entry("src_ip", &Ip(addr))?;
            if ports {
                map.serialize_entry("src_port", &port)?;
            }
        }
        if let Some((addr, port)) = record.dst {
            map.serialize_entry("dest_ip", &Ip(addr))?;
            if ports {
                map.serialize_entry("dest_port", &port)?;
            }
        }
        if record.src.is_some() {
            map.serialize_entry("proto", &Proto(record.protocol))?;
        }
        map.serialize_entry("pkt_src", packet_source(record.origin.source))?;
        if let Some(id) = self.community_id {
            map.serialize_entry("community_id", &id)?;
        }
        if let Body::Alert(AlertBody(Alert { recalled: Some(recalled), .. })) = self.body
            && recalled.has_metadata()
        {
            map.serialize_entry("metadata", &Remembered(recalled))?;
        }
        if let Body::Alert(AlertBody(Alert { transaction: Some(transaction), .. })) = self.body {
            map.serialize_entry("tx_id", transaction)?;
        }
        if let Body::Packet { bytes, link } = self.body {
            serialize_packet(bytes, link, &mut map)?;
            return map.end();
        }
        map.serialize_entry(self.event_type, &self.body)?;
        if let (Body::Alert(_), TransportFields::Igmp { kind, version }) = (&self.body, record.transport) {
            map.serialize_entry(
                if version == 0 { "rgmp" } else { "igmp" },
                &Igmp { version: (version > 0).then_some(version), kind },
            )?;
        }
        if let Body::Alert(AlertBody(alert)) = self.body {
            let protocol = alert.summary.protocol.filter(|_| ports);
            if let Some(protocol) = protocol {
                map.serialize_entry("app_proto", protocol.eve_name())?;
            }
            if let Some(way) = alert.way {
                if let Some(original) = alert.summary.original.filter(|_| protocol.is_some()) {
                    map.serialize_entry("app_proto_orig", original.eve_name())?;
                }
                map.serialize_entry("direction", direction(way))?;
                map.serialize_entry("flow", &FlowSoFar::of(alert, ports))?;
            }
            if let Some((event_type, fields)) = &alert.about {
                serialize_about(event_type, fields, &mut map)?;
            }
            serialize_kept(&alert.kept, &mut map)?;
        }
        map.serialize_entry(
            "ether",
            &Ether { src_mac: MacText(record.macs.0), dest_mac: MacText(record.macs.1) },
        )?;
        map.serialize_entry(
            "jarvis",
            &PacketNotes {
                worker: self.worker,
                user: self.names.user(record.decision.user),
                policy_id: self.policy_id,
                policy_version: record.decision.policy_version,
                verdict: frame_verdict(record),
                reason: record.reason.label(),
                count: record.count,
                frame_len: record.len_bytes,
            },
        )?;
        map.end()
    }
}

fn community_id(seed: u16, record: &FlowRecord) -> CommunityId {
    let ((src, src_port), (dst, dst_port)) = record.endpoints();
    let protocol = record.key.labels().protocol;
    let (src_port, dst_port) = match protocol {
        Protocol::ICMP | Protocol::ICMPV6 => icmp_ports(protocol, record.icmp[0]),
        _ => (src_port, dst_port),
    };
    CommunityId::new(seed, protocol, (src, src_port), (dst, dst_port))
}

/// What became of a flow, in Suricata's words; nothing where it was only looked at.
const fn flow_action(record: &FlowRecord, summary: &Summary) -> Option<&'static str> {
    match (record.decision.reason, summary.rules.action) {
        (Some(_), _) | (None, Some(FlowAction::Drop)) => Some("drop"),
        (None, Some(FlowAction::Pass)) => Some("pass"),
        (None, None) => None,
    }
}

fn frame_verdict(record: &DropRecord) -> &'static str {
    match record.reason.class() {
        ReasonClass::Notice => "forward",
        _ if record.rejected => "reject",
        ReasonClass::Rule
        | ReasonClass::Policy
        | ReasonClass::Capacity
        | ReasonClass::State
        | ReasonClass::Malformed
        | ReasonClass::BlockList => "drop",
    }
}

fn verdict(decision: &Decision) -> &'static str {
    match decision.reason {
        None => "forward",
        Some(Reason::PolicyReject | Reason::DefaultReject) => "reject",
        Some(_) => "drop",
    }
}

/// Suricata knows three ends; ours is told in full under `jarvis.end_reason`.
fn suricata_end(end: EndReason) -> &'static str {
    match end {
        // In Suricata a closed connection leaves by its short timeout.
        EndReason::Timeout | EndReason::Closed | EndReason::Reset => "timeout",
        EndReason::Evicted | EndReason::Policy | EndReason::Forced => "forced",
        EndReason::Shutdown => "shutdown",
    }
}

/// Suricata's name of a TCP state. It calls a connection closed as soon as both FINs are acknowledged.
fn tcp_state(number: u8) -> &'static str {
    match TcpState::of_number(number) {
        None => TcpState::Unopened.label(),
        Some(TcpState::TimeWait) => TcpState::Closed.label(),
        Some(state) => state.label(),
    }
}

pub(super) const fn has_ports(protocol: u8) -> bool {
    matches!(protocol, Protocol::TCP | Protocol::UDP | Protocol::SCTP)
}

const fn tunnel(tunnel: Tunnel) -> Option<&'static str> {
    match tunnel {
        Tunnel::None => None,
        Tunnel::Gre => Some("gre"),
        Tunnel::Vxlan => Some("vxlan"),
        Tunnel::Geneve => Some("geneve"),
        Tunnel::Gtpu => Some("gtpu"),
        Tunnel::IpInIp => Some("ip_in_ip"),
        Tunnel::Teredo => Some("teredo"),
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

/// An address as Suricata prints it: IPv6 in full, eight groups of four digits.
#[derive(Debug, Clone, Copy)]
struct Ip(Addr);

impl Serialize for Ip {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Some(v4) = self.0.as_v4() {
            return serializer.collect_str(&std::net::Ipv4Addr::from(v4));
        }
        let mut text = [b':'; 39];
        for (group, bytes) in text.chunks_mut(5).zip(self.0.0.chunks(2)) {
            for (pair, byte) in group.chunks_mut(2).zip(bytes) {
                pair.copy_from_slice(&hex(*byte));
            }
        }
        serializer.serialize_str(std::str::from_utf8(&text).expect("hexadecimal digits and colons"))
    }
}

#[derive(Debug, Clone, Copy)]
struct MacText(Mac);

impl Serialize for MacText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = [b':'; 17];
        for (pair, byte) in text.chunks_mut(3).zip(self.0.0) {
            pair[..2].copy_from_slice(&hex(byte));
        }
        serializer.serialize_str(std::str::from_utf8(&text).expect("hexadecimal digits and colons"))
    }
}

#[derive(Debug, Clone, Copy)]
struct Hex(u8);

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(std::str::from_utf8(&hex(self.0)).expect("hexadecimal digits"))
    }
}

fn hex(byte: u8) -> [u8; 2] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]
}

#[derive(Debug, Clone, Copy)]
struct Proto(u8);

impl Serialize for Proto {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match names::protocol(self.0) {
            Some(name) => serializer.serialize_str(name),
            None => serializer.collect_str(&self.0),
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Vlans(u16, u16);

impl Vlans {
    const fn is_empty(&self) -> bool {
        self.0 == 0 && self.1 == 0
    }
}

impl Serialize for Vlans {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seq = serializer.serialize_seq(None)?;
        seq.serialize_element(&self.0)?;
        if self.1 != 0 {
            seq.serialize_element(&self.1)?;
        }
        seq.end()
    }
}

/// EVE's anomaly `type` and `event`: Suricata's own event where it has one for the fact, ours elsewhere.
fn anomaly_name(reason: Reason) -> (&'static str, &'static str) {
    match reason.class() {
        ReasonClass::Malformed => ("decode", decoder_event(reason).unwrap_or(reason.label())),
        ReasonClass::State => ("stream", stream_event(reason).unwrap_or(reason.label())),
        ReasonClass::Capacity
        | ReasonClass::Rule
        | ReasonClass::Policy
        | ReasonClass::BlockList
        | ReasonClass::Notice => ("engine", reason.label()),
    }
}

/// Names from Suricata 7's `decode-events.c` that mean exactly this.
pub(super) fn decoder_event(reason: Reason) -> Option<&'static str> {
    Some(match reason {
        Reason::EthernetTruncated => "decoder.ethernet.pkt_too_small",
        Reason::VlanTruncated => "decoder.vlan.header_too_small",
        Reason::VlanTooDeep => "decoder.vlan.too_many_layers",
        Reason::MplsTruncated => "decoder.mpls.header_too_small",
        Reason::PppoeTruncated => "decoder.pppoe.pkt_too_small",
        Reason::Ipv4Truncated => "decoder.ipv4.pkt_too_small",
        Reason::Ipv4Version => "decoder.ipv4.wrong_ip_version",
        Reason::Ipv4HeaderLength => "decoder.ipv4.hlen_too_small",
        Reason::Ipv4TotalLength => "decoder.ipv4.trunc_pkt",
        Reason::Ipv4Options => "decoder.ipv4.opt_invalid",
        Reason::Ipv6Truncated => "decoder.ipv6.pkt_too_small",
        Reason::Ipv6Version => "decoder.ipv6.wrong_ip_version",
        Reason::Ipv6PayloadLength => "decoder.ipv6.trunc_pkt",
        Reason::Ipv6ExtensionTruncated => "decoder.ipv6.trunc_exthdr",
        Reason::Ipv6RoutingType0 => "decoder.ipv6.rh_type_0",
        Reason::TcpTruncated => "decoder.tcp.pkt_too_small",
        Reason::TcpHeaderLength => "decoder.tcp.hlen_too_small",
        Reason::TcpOptions => "decoder.tcp.opt_invalid_len",
        Reason::UdpTruncated => "decoder.udp.pkt_too_small",
        Reason::UdpLength => "decoder.udp.len_invalid",
        Reason::IcmpTruncated => "decoder.icmpv4.pkt_too_small",
        Reason::Icmpv6Truncated => "decoder.icmpv6.pkt_too_small",
        Reason::SctpTruncated => "decoder.sctp.pkt_too_small",
        Reason::GreTruncated => "decoder.gre.pkt_too_small",
        Reason::GreVersion => "decoder.gre.wrong_version",
        _ => return None,
    })
}

/// Names from Suricata 7's `decode-events.c` that mean exactly this.
fn stream_event(reason: Reason) -> Option<&'static str> {
    Some(match reason {
        Reason::TcpOutOfWindow => "stream.est_packet_out_of_window",
        Reason::TcpAckInvalid => "stream.pkt_invalid_ack",
        Reason::TcpTimestampInvalid => "stream.pkt_invalid_timestamp",
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests_risks;
