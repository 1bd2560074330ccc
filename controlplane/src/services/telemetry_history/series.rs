//! What is remembered of each second?

use dataplane::control::WorkerReading;

use super::Totals;
use crate::services::Services;
use crate::services::telemetry::{sum_counters, sum_flow};

/// How several seconds are one minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// What happened, summed.
    Sum,
    /// What is there, as it was at the end.
    Last,
    /// The greatest of them.
    Greatest,
}

/// One column.
#[derive(Debug, Clone, Copy)]
pub struct Series {
    /// Its name in questions and answers.
    pub name: &'static str,
    pub(super) kind: Kind,
}

const fn sum(name: &'static str) -> Series {
    Series { name, kind: Kind::Sum }
}

/// How many columns.
pub(super) const COUNT: usize = 14;

/// The columns. Rows on the disk have this order: what is new goes to the end.
pub const SERIES: [Series; COUNT] = [
    sum("frames_received"),
    sum("bytes_received"),
    sum("frames_forwarded"),
    sum("bytes_forwarded"),
    sum("frames_dropped"),
    sum("frames_rejected"),
    sum("flows_started"),
    sum("flows_ended"),
    Series { name: "flows_active", kind: Kind::Last },
    sum("events_stored"),
    sum("events_lost"),
    sum("events_recorded"),
    sum("api_requests"),
    Series { name: "batch_p99_ns", kind: Kind::Greatest },
];

/// Place of the only column that is no counter and no gauge.
pub(super) const BATCH_P99: usize = COUNT - 1;

impl Services {
    pub(super) fn totals(&self) -> Totals {
        let readings: Vec<WorkerReading> = self.readings();
        let (counters, flow) = (sum_counters(&readings), sum_flow(&readings));
        let ended = flow.ended_timeout
            + flow.ended_closed
            + flow.ended_reset
            + flow.ended_evicted
            + flow.ended_policy;
        let (events, recorded) = (self.events.totals(), self.live.record_counts().totals());
        let mut batches = readings.iter().map(|reading| &reading.batch_ns);
        let mut batch_ns = batches.next().cloned();
        for more in batches {
            // The bounds of all of them are the same constants.
            let _ = batch_ns.as_mut().map(|sum| sum.add(more));
        }
        let values = [
            counters.received,
            counters.received_bytes,
            counters.forwarded,
            counters.forwarded_bytes,
            counters.dropped(),
            counters.rejected,
            flow.started,
            ended,
            flow.active,
            events.stored,
            events.lost + recorded.lost + flow.events_shed,
            recorded.stored,
            self.api_counts.totals().requests,
            super::UNKNOWN,
        ];
        Totals { values, batch_ns }
    }
}
