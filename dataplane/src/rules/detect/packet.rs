//! Do rules match a packet, by itself?

use super::flow::FlowPlace;
use super::transaction::{has_size, speaks};
use super::{Detector, FlowState, matched};
use crate::parse::{Headers, Network, Protocol};
use crate::rules::language::buffers::{BASE64_DATA, PAYLOAD};
use crate::rules::packet::{View, concerns};
use crate::rules::prefilter::Prefilter;
use crate::rules::rule::{BufferId, FlowTest};
use crate::rules::set::Class;
use crate::rules::signature::{Ask, Signature};

/// What is known of a packet beside its headers.
#[derive(Debug, Clone, Copy, Default)]
pub struct PacketFacts<'a> {
    /// What its flow speaks.
    pub application: Option<&'static str>,
    /// Whether its payload is looked at in order, as part of a stream.
    pub is_in_stream: bool,
    /// What decoding met (`decode-event`).
    pub decoded: &'a [&'static str],
    /// What TCP met (`stream-event`).
    pub of_stream: &'a [&'static str],
    /// When it came, nanoseconds.
    pub at_ns: u64,
}

impl Detector {
    /// Tries the rules of packets.
    pub fn packet(&mut self, place: &mut FlowPlace, view: &View<'_>, facts: &PacketFacts<'_>) {
        let Some(set) = self.set.clone() else { return };
        if self.is_passed(*place) {
            return;
        }
        self.packet_of(set.of_packets(Class::of(view.headers)), place, view, facts);
        let is_tcp = matches!(view.headers.network, Network::Ip { protocol: Protocol::TCP, .. });
        if is_tcp && !facts.is_in_stream && !view.payload().is_empty() {
            self.packet_of(set.of_unordered(), place, view, facts);
        }
    }

    fn packet_of(
        &mut self,
        prefilter: &Prefilter,
        place: &mut FlowPlace,
        view: &View<'_>,
        facts: &PacketFacts<'_>,
    ) {
        let Self { set, generation, flows, free, thresholds, desk, hits, .. } = self;
        let Some(set) = set else { return };
        let mut found = std::mem::take(&mut desk.found);
        found.clear();
        let payload = view.payload();
        if !payload.is_empty() {
            for group in prefilter.groups() {
                group.candidates(payload, &mut desk.changed, &mut found);
            }
        }
        found.extend_from_slice(prefilter.always());
        found.sort_unstable();
        found.dedup();
        let nothing = FlowState::default();
        for number in &found {
            let Some(signature) = set.signatures().get(*number as usize) else { continue };
            let known = flows.get(place.0 as usize);
            if !is_met(signature, view, facts, known.unwrap_or(&nothing), desk) {
                continue;
            }
            let ends = view.headers.addrs().unwrap_or_default();
            // Without a flow nothing is remembered.
            let mut of_no_flow = FlowState::default();
            let state = match view.way {
                Some(_) => Self::state(flows, free, *generation, place),
                None => &mut of_no_flow,
            };
            // What asks for nothing but ends and protocol is of the whole flow.
            let is_of_flow = signature.checks.is_empty() && signature.parts.is_empty();
            let of = (view.way, None, is_of_flow);
            matched(*number, signature, state, thresholds, of, (ends.0, ends.1, facts.at_ns), hits);
        }
        desk.found = found;
    }
}

fn is_met(
    signature: &Signature,
    view: &View<'_>,
    facts: &PacketFacts<'_>,
    state: &FlowState,
    desk: &mut super::Desk,
) -> bool {
    let rule = &signature.rule;
    // Whoever asks of the stream is asked here where there is none.
    let flow = FlowTest { stream: rule.flow.stream.filter(|stream| *stream && facts.is_in_stream), ..rule.flow };
    signature.is_of_packet(facts.application)
        && concerns(&rule.header, &flow, view)
        && signature.checks.iter().all(|check| check.holds(view))
        && signature.asks.iter().all(|ask| match ask {
            Ask::Protocol(asked) => speaks(asked, facts.application),
            Ask::StreamSize(size) => view.way.is_some() && has_size(size, &state.streams),
            Ask::Decode(event) => facts.decoded.contains(event),
            Ask::Stream(event) => facts.of_stream.contains(event),
            Ask::Number(..) | Ask::Size(..) | Ask::Event(..) => false,
        })
        && signature.remembered.holds(&state.memory)
        && parts_hold(signature, view, desk)
}

fn parts_hold(signature: &Signature, view: &View<'_>, desk: &mut super::Desk) -> bool {
    let super::Desk { tests, changed, .. } = desk;
    signature.scratch(tests);
    signature.parts.iter().all(|part| match part.buffer {
        BASE64_DATA => {
            let decoded = std::mem::take(&mut tests.decoded);
            let holds = part.holds(&decoded, tests, changed);
            tests.decoded = decoded;
            holds
        }
        buffer => bytes_of(buffer, view).is_some_and(|bytes| part.holds(bytes, tests, changed)),
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
        "ipv6.hdr" if !src.is_v4() => (l3, l4),
        "tcp.hdr" if protocol == Protocol::TCP => (l4, payload),
        "udp.hdr" if protocol == Protocol::UDP => (l4, payload),
        "icmpv4.hdr" if protocol == Protocol::ICMP => (l4, payload),
        "icmpv6.hdr" if protocol == Protocol::ICMPV6 => (l4, end),
        "igmp.hdr" if protocol == crate::rules::packet::IGMP => (l4, end),
        "ether.hdr" => (0, 14),
        _ => return None,
    };
    view.bytes.get(from..to)
}
