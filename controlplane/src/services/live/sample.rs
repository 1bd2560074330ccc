//! What is the traffic now? Rates of the whole box, of two readings of the boards.

use std::borrow::Cow;
use std::time::Instant;

use dataplane::control::{Door, FlowGauges, WorkerReading};
use dataplane::time::Wall;
use dataplane::verdict::Counters;
use serde::Serialize;

use super::{Draft, Facts, Hub, Topic};
use crate::services::stamp::Stamp;
use crate::services::telemetry::{sum_counters, sum_flow};

#[derive(Serialize)]
struct TrafficEvent {
    timestamp: Stamp,
    event_type: &'static str,
    traffic: Traffic,
}

/// Rates a second, and what is there.
#[derive(Serialize)]
struct Traffic {
    /// Between the two readings.
    interval_ms: u64,
    received_pps: u64,
    received_bps: u64,
    forwarded_pps: u64,
    forwarded_bps: u64,
    dropped_pps: u64,
    rejected_pps: u64,
    flows_started_per_s: u64,
    flows_active: u64,
}

/// Remembers the last reading.
#[derive(Debug, Default)]
pub(in crate::services) struct Sampler {
    last: Option<(Instant, Counters, FlowGauges)>,
}

impl Sampler {
    /// Tells what happened since the last time, if somebody wants to know.
    pub(in crate::services) fn tell(&mut self, hub: &Hub, door: &Door, now: Instant, wall: Wall) {
        if !hub.wants(Topic::Traffic) {
            self.last = None;
            return;
        }
        let readings: Vec<WorkerReading> = door.boards().iter().map(|board| board.read()).collect();
        let (counters, flow) = (sum_counters(&readings), sum_flow(&readings));
        if let Some((then, before, flow_before)) = &self.last {
            let elapsed_ms = (now.duration_since(*then).as_millis() as u64).max(1);
            let rate = |now: u64, before: u64| now.saturating_sub(before).saturating_mul(1_000) / elapsed_ms;
            let traffic = Traffic {
                interval_ms: elapsed_ms,
                received_pps: rate(counters.received, before.received),
                received_bps: rate(counters.received_bytes, before.received_bytes).saturating_mul(8),
                forwarded_pps: rate(counters.forwarded, before.forwarded),
                forwarded_bps: rate(counters.forwarded_bytes, before.forwarded_bytes).saturating_mul(8),
                dropped_pps: rate(counters.dropped(), before.dropped()),
                rejected_pps: rate(counters.rejected, before.rejected),
                flows_started_per_s: rate(flow.started, flow_before.started),
                flows_active: flow.active,
            };
            let event = TrafficEvent { timestamp: Stamp(wall), event_type: "traffic", traffic };
            let event = serde_json::to_vec(&event).unwrap_or_default();
            let facts = Facts { event_type: Cow::Borrowed("traffic"), ..Facts::default() };
            hub.publish([Draft { topic: Topic::Traffic, is_private: false, facts, event: &event }], None);
        }
        self.last = Some((now, counters, flow));
    }
}
