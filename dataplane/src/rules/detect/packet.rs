//! Do rules match a packet, by itself?

use super::flow::FlowCounts;
use super::flow::{FlowPlace, FlowState};
use super::flow_facts::FlowFacts;
use super::stream::{self, Met};
use super::{Desk, Detector, Moment, Of, matched};
use crate::flow::Direction;
use crate::parse::{Headers, Network, Protocol};
use crate::rules::host_bits::{Ends, HostBits};
use crate::rules::language::buffers::{BASE64_DATA, PAYLOAD};
use crate::rules::packet::decode::MetEvents;
use crate::rules::packet::{View, concerns};
use crate::rules::prefilter::{Glance, Prefilter, Scratch};
use crate::rules::rule::{BufferId, FlowTest};
use crate::rules::set::Class;
use crate::rules::signature::{Ask, Signature};

/// What is known of a packet beside its headers.
#[derive(Debug, Clone, Copy, Default)]
pub struct PacketFacts<'a> {
    /// What its flow speaks.
    pub application: Option<&'static str>,
    /// What it speaks counts for rules of a protocol: beside the wire, when the other end has acknowledged what told it.
    pub is_settled: bool,
    /// Whether its payload is looked at in order, as part of a stream.
    pub is_in_stream: bool,
    /// Whether its payload is encrypted: rules do not look into it (Suricata's `encryption-handling: default`).
    pub is_sealed: bool,
    /// Whether it is a SYN whose data its receiver may leave aside: what they match is said of the packet, not of its flow.
    pub is_bare_syn: bool,
    /// What decoding met (`decode-event`).
    pub decoded: &'a [&'static str],
    /// Whether a match is acted on: then it is found with the packet that completes it. Else bytes are tried with the next packet
    /// of their direction, when they were acknowledged as a rule, as Suricata tries them.
    pub is_inline: bool,
    /// When it came, nanoseconds.
    pub at_ns: u64,
    /// How much its flow has had, with it.
    pub counts: FlowCounts,
}

/// Rules of what a flow speaks that are told once; more are told again.
const TOLD_MAX: usize = 64;

/// A rule is tried on the packet, on what came of a direction, or both.
const PACKET: u8 = 1;
const STREAM: [u8; 2] = [2, 4];

impl Detector {
    /// Tries the rules of packets on one, and those of streams on what came of its flow with it.
    pub fn packet(
        &mut self,
        place: &mut FlowPlace,
        view: &View<'_>,
        moment: Option<&Moment>,
        facts: &PacketFacts<'_>,
    ) {
        let of_stream = (!self.met.is_empty()).then(|| std::mem::take(&mut self.met));
        if self.is_passed(*place) {
            return;
        }
        let Self { set, generation, flows, free, ledger, desk, hits, lane, nothing, .. } = self;
        let Some(set) = set else { return };
        let (mut found, mut tried) = (std::mem::take(&mut desk.found), std::mem::take(&mut desk.tried));
        tried.clear();
        found.clear();
        let is_tcp = matches!(view.headers.network, Network::Ip { protocol: Protocol::TCP, .. });
        let class = Class::of(view.headers);
        // What is of no flow goes no way; rules that ask for one do not match it.
        let way = view.way.unwrap_or(Direction::Forward);
        let is_ending = flows.get(place.0 as usize).is_some_and(|state| state.is_ending);
        if !is_ending {
            let payload = if facts.is_sealed { &[] } else { view.payload() };
            by_packet(set.of_packets(class, way), payload, view, &mut desk.search, &mut found);
            let addresses = set.of_addresses();
            // What is said of addresses alone is said once of a flow each way.
            let is_first = view.way.is_none_or(|way| facts.counts.packets[way as usize] <= 1);
            if is_first
                && !addresses.is_empty()
                && let Some((src, dst)) = view.headers.addrs()
            {
                addresses.candidates([src, dst], &mut found);
            }
            if is_tcp && !facts.is_in_stream && !payload.is_empty() {
                by_packet(set.of_unordered(), payload, view, &mut desk.search, &mut found);
            }
        }
        tried.extend(found.drain(..).map(|number| (number, PACKET)));
        if let (Some(moment), Some(state)) = (moment, flows.get_mut(place.0 as usize)) {
            state.follow(generation);
            for way in [Direction::Forward, Direction::Reverse] {
                let window = &mut state.streams[way as usize];
                if facts.is_inline {
                    window.late = 0;
                } else if view.way != Some(way)
                    || (facts.application.is_some_and(stream::is_told_by_message)
                        && !is_ending
                        && !window.has_chunk(stream::CHUNK_BYTES))
                {
                    continue;
                }
                let (from, to) = moment.ends(way);
                let ports = (from.1, to.1);
                stream::candidates(
                    (set.of_stream(way), generation),
                    window,
                    ports,
                    &mut desk.search,
                    &mut found,
                );
                tried.extend(found.drain(..).map(|number| (number, STREAM[way as usize])));
            }
        }
        desk.found = found;
        // Most of it comes in order already.
        tried.sort_unstable();
        tried.dedup_by(|next, kept| {
            let is_same = next.0 == kept.0;
            kept.1 |= if is_same { next.1 } else { 0 };
            is_same
        });
        for (number, how) in tried.iter().copied() {
            let Some(signature) = set.signatures().get(number as usize) else { continue };
            let begun = set.profile().begin();
            let mut met = None;
            for way in [Direction::Forward, Direction::Reverse] {
                if how & STREAM[way as usize] == 0 {
                    continue;
                }
                let (Some(moment), Some(state)) = (moment, flows.get_mut(place.0 as usize)) else { continue };
                let told = stream::is_met(
                    (number, signature),
                    state,
                    moment,
                    way,
                    facts.application,
                    &ledger.hosts,
                    desk,
                );
                stream::note(&mut state.streams[way as usize], number, told);
                if told == Met::Yes {
                    let (src, dst) = moment.ends(way);
                    let of = Of { is_of_flow: !facts.is_bare_syn, ..Of::stream(way) };
                    met = met.or(Some((of, (src, dst))));
                }
            }
            if met.is_none() && how & PACKET != 0 {
                let known = flows.get(place.0 as usize).unwrap_or(nothing);
                let is_told = signature.is_of_protocol() && known.told.contains(&number);
                let met_before = (facts, of_stream.as_ref(), moment.and_then(|moment| moment.original));
                if !is_told && is_met(signature, view, met_before, known, &ledger.hosts, desk) {
                    // What asks for nothing but ends and protocol is of the whole flow.
                    let is_of_flow = signature.is_of_flow();
                    let ((src, dst), ports) =
                        (view.headers.addrs().unwrap_or_default(), view.headers.ports());
                    let ends = ((src, ports.0), (dst, ports.1));
                    let of =
                        Of { way: view.way, transaction: None, is_of_flow, is_of_stream: false, frame: None };
                    met = Some((of, ends));
                }
            }
            set.profile().end(begun, *lane, number, met.is_some());
            let Some((of, (src, dst))) = met else { continue };
            // Without a flow nothing is remembered.
            let mut of_no_flow = FlowState::default();
            let state = match view.way {
                Some(_) => Self::state(flows, free, generation, place),
                None => &mut of_no_flow,
            };
            if signature.is_of_protocol() && state.told.len() < TOLD_MAX {
                state.told.push(number);
            }
            let is_of_packet = !of.is_of_stream;
            let captured = &desk.tests.captured;
            let counts =
                matched((number, captured), signature, state, ledger, of, (src, dst, facts.at_ns), hits);
            if counts && facts.is_inline && is_of_packet {
                ledger.replacements.append(&mut desk.tests.replaced);
            }
        }
        desk.tried = tried;
        if let Some(state) = flows.get_mut(place.0 as usize) {
            if let Some(way) = view.way.filter(|_| !facts.is_inline) {
                state.streams[way as usize].begin_chunk();
            }
            state.streams.iter_mut().for_each(|window| window.late = 0);
            state.memory.end_packet();
            state.is_passed |= is_ending && state.streams.iter().all(|window| window.fresh == 0);
        }
    }
}

fn by_packet(
    prefilter: &Prefilter,
    payload: &[u8],
    view: &View<'_>,
    search: &mut Scratch,
    found: &mut Vec<u32>,
) {
    let size = Some(view.payload().len());
    let glance = Glance { ports: Some(view.headers.ports()), bytes: payload, size };
    if !payload.is_empty() {
        for group in prefilter.groups() {
            group.candidates(&glance, search, found);
        }
    }
    prefilter.always_at(&glance, found);
}

fn is_met(
    signature: &Signature,
    view: &View<'_>,
    (facts, of_stream, original): (&PacketFacts<'_>, Option<&MetEvents>, Option<&str>),
    state: &FlowState,
    hosts: &HostBits,
    desk: &mut Desk,
) -> bool {
    let rule = &signature.rule;
    let (src, dst) = view.headers.addrs().unwrap_or_default();
    // Whoever asks of the stream is asked here where there is none.
    let flow =
        FlowTest { stream: rule.flow.stream.filter(|stream| *stream && facts.is_in_stream), ..rule.flow };
    signature.is_of(facts.application.filter(|_| facts.is_settled))
        && concerns(&rule.header, &flow, view)
        && signature.checks.iter().all(|check| check.holds(view))
        && signature.asks.iter().all(|ask| match ask {
            Ask::Decode(event) => facts.decoded.contains(event),
            Ask::Stream(event) => of_stream.is_some_and(|met| met.as_slice().contains(event)),
            Ask::Event("applayer", event) => of_stream.is_some_and(|met| met.as_slice().contains(&&**event)),
            _ => {
                let sizes = view.way.map(|_| (&facts.counts, &state.streams));
                let of_flow = FlowFacts { application: facts.application, original, sizes, ends: (src, dst) };
                of_flow.answers(ask) == Some(true)
            }
        })
        && signature.remembered.holds(&state.memory)
        && signature.on_hosts.holds(hosts, Ends { src, dst, at_ns: facts.at_ns }, &[])
        && parts_hold(signature, desk, |buffer| match buffer {
            PAYLOAD if facts.is_sealed => None,
            buffer => bytes_of(buffer, view),
        })
}

/// Whether all that a rule asks of bytes holds; `bytes_of` has the buffers.
pub(super) fn parts_hold<'a>(
    signature: &Signature,
    desk: &mut Desk,
    bytes_of: impl Fn(BufferId) -> Option<&'a [u8]>,
) -> bool {
    let Desk { tests, changed, .. } = desk;
    signature.scratch(tests);
    signature.parts.iter().all(|part| match part.buffer {
        BASE64_DATA => part.holds_decoded(tests, changed),
        buffer => bytes_of(buffer).is_some_and(|bytes| part.holds(bytes, tests, changed)),
    })
}

/// The bytes of a buffer; `None`: the packet does not have it.
fn bytes_of<'a>(buffer: BufferId, view: &View<'a>) -> Option<&'a [u8]> {
    let headers: &Headers = view.headers;
    if buffer == PAYLOAD {
        return Some(view.payload());
    }
    let (l3, l4) = (usize::from(headers.l3_offset), usize::from(headers.l4_offset));
    let (payload, end) = (usize::from(headers.payload_offset), usize::from(headers.end));
    let name = buffer.buffer().name;
    let Network::Ip { src, protocol, .. } = headers.network else {
        return match (name, headers.network) {
            ("ether.hdr", _) => view.bytes.get(..14),
            ("arp.hdr", Network::Arp { .. }) => view.bytes.get(l3..),
            _ => None,
        };
    };
    let (from, to) = match name {
        "ipv4.hdr" if src.is_v4() => (l3, l4),
        "ip.src" if src.is_v4() => (l3 + 12, l3 + 16),
        "ip.dst" if src.is_v4() => (l3 + 16, l3 + 20),
        "ip.src" => (l3 + 8, l3 + 24),
        "ip.dst" => (l3 + 24, l3 + 40),
        "ipv6.hdr" if !src.is_v4() => (l3, l4),
        "tcp.hdr" if protocol == Protocol::TCP => (l4, payload),
        "udp.hdr" if protocol == Protocol::UDP => (l4, payload),
        "icmpv4.hdr" if protocol == Protocol::ICMP => (l4, payload),
        "icmpv6.hdr" if protocol == Protocol::ICMPV6 => (l4, end),
        "igmp.hdr" if protocol == Protocol::IGMP => (l4, end),
        "ether.hdr" => (0, 14),
        _ => return None,
    };
    view.bytes.get(from..to)
}
