//! What does the `stats` event say? Totals under Suricata's keys where the meaning is the same.

use std::collections::BTreeMap;
use std::time::Duration;

use dataplane::control::{Door, FlowGauges, WorkerReading};
use dataplane::time::Wall;
use dataplane::verdict::{Counters, Reason, ReasonClass};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::eve::{append, decoder_event};
use super::stamp::Stamp;
use super::telemetry::{Named, sum_counters, sum_flow};

#[derive(Serialize)]
struct StatsEvent {
    timestamp: Stamp,
    event_type: &'static str,
    stats: Stats,
}

#[derive(Serialize)]
struct Stats {
    uptime: u64,
    capture: Capture,
    decoder: Decoder,
    flow: Flow,
    tcp: Tcp,
    ips: Ips,
    jarvis: Own,
}

#[derive(Serialize)]
struct Capture {
    kernel_packets: u64,
    kernel_drops: u64,
}

#[derive(Serialize)]
struct Decoder {
    pkts: u64,
    bytes: u64,
    invalid: u64,
    event: DecoderEvents,
}

/// What decoding met, under Suricata's names: protocol, event, how often. Those that were met.
#[derive(Serialize)]
#[serde(transparent)]
struct DecoderEvents(BTreeMap<&'static str, BTreeMap<&'static str, u64>>);

impl DecoderEvents {
    fn of(counters: &Counters) -> Self {
        let mut events: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
        for reason in Reason::ALL {
            let name = decoder_event(*reason).and_then(|name| name.strip_prefix("decoder."));
            let Some((protocol, event)) = name.and_then(|name| name.split_once('.')) else { continue };
            let count = counters.of(*reason);
            if count > 0 {
                *events.entry(protocol).or_default().entry(event).or_insert(0) += count;
            }
        }
        Self(events)
    }
}

#[derive(Serialize)]
struct Flow {
    total: u64,
    active: u64,
    memcap: u64,
}

#[derive(Serialize)]
struct Tcp {
    midstream_pickups: u64,
    segment_memcap_drop: u64,
    stream_depth_reached: u64,
    reassembly_gap: u64,
    overlap_diff_data: u64,
    insert_data_normal_fail: u64,
    reassembly_memuse: u64,
}

#[derive(Serialize)]
struct Ips {
    accepted: u64,
    blocked: u64,
    rejected: u64,
    replaced: u64,
    drop_reason: ByReason,
}

#[derive(Serialize)]
struct Own {
    flow: Named<FlowGauges>,
    notice: ByReason,
}

/// Counted reasons only: the others would be two kilobytes of zeroes.
struct ByReason(Vec<(&'static str, u64)>);

impl ByReason {
    fn of(counters: &Counters, wanted: impl Fn(ReasonClass) -> bool) -> Self {
        let counted = Reason::ALL.iter().filter(|reason| wanted(reason.class()));
        Self(
            counted
                .map(|reason| (reason.label(), counters.of(*reason)))
                .filter(|(_, count)| *count > 0)
                .collect(),
        )
    }
}

impl Serialize for ByReason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (reason, count) in &self.0 {
            map.serialize_entry(reason, count)?;
        }
        map.end()
    }
}

/// Appends one `stats` line.
pub(super) fn write(out: &mut Vec<u8>, door: &Door, uptime: Duration, wall: Wall) {
    let readings: Vec<WorkerReading> = door.boards().iter().map(|board| board.read()).collect();
    let counters = sum_counters(&readings);
    let flow = sum_flow(&readings);
    let ports = || readings.iter().flat_map(|reading| &reading.ports);
    let malformed = Reason::ALL
        .iter()
        .filter(|reason| reason.class() == ReasonClass::Malformed)
        .map(|reason| counters.of(*reason));
    let dropped = counters.dropped();
    let stats = Stats {
        uptime: uptime.as_secs(),
        capture: Capture {
            kernel_packets: ports().map(|port| port.rx_packets).sum(),
            kernel_drops: ports().map(|port| port.rx_dropped + port.rx_ring_full).sum(),
        },
        decoder: Decoder {
            pkts: counters.received,
            bytes: counters.received_bytes,
            invalid: malformed.sum(),
            event: DecoderEvents::of(&counters),
        },
        flow: Flow { total: flow.started, active: flow.active, memcap: counters.of(Reason::FlowTableFull) },
        tcp: Tcp {
            midstream_pickups: counters.of(Reason::MidstreamPickup),
            segment_memcap_drop: flow.stream_memory_refused,
            stream_depth_reached: flow.stream_depth_reached,
            reassembly_gap: flow.stream_gaps,
            overlap_diff_data: flow.stream_overlaps,
            insert_data_normal_fail: flow.stream_pieces_refused,
            reassembly_memuse: flow.stream_bytes,
        },
        ips: Ips {
            accepted: counters.forwarded,
            blocked: dropped.saturating_sub(counters.rejected),
            rejected: counters.rejected,
            replaced: counters.redirected
                + counters.of(Reason::OverlapRewritten)
                + counters.of(Reason::RuleReplaced),
            drop_reason: ByReason::of(&counters, |class| class != ReasonClass::Notice),
        },
        jarvis: Own {
            flow: Named(flow),
            notice: ByReason::of(&counters, |class| class == ReasonClass::Notice),
        },
    };
    append(out, &StatsEvent { timestamp: Stamp(wall), event_type: "stats", stats });
}
