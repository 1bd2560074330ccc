//! What has the packet path done so far? Readings of the boards, summed and named.
//!
//! A reading is some thousand relaxed loads a worker; nothing here waits for anyone.

use std::borrow::Cow;

use dataplane::control::{FlowGauges, PortGauges, WorkerReading};
use dataplane::verdict::{Counters, Reason, ReasonClass};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use utoipa::openapi::{ObjectBuilder, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::{Degradation, Health, Services};

/// The whole box in one look.
#[derive(Debug, Serialize, ToSchema)]
pub struct Summary {
    /// The daemon's version.
    pub version: &'static str,
    /// Since start, seconds.
    pub uptime_s: f64,
    /// What is not as it should be; empty when all is well.
    pub degraded: Vec<Degradation>,
    /// How many workers.
    pub workers: usize,
    /// Version of the snapshot in force.
    pub policy_version: u64,
    /// Policies in it.
    pub policies: usize,
    /// The change of them that waits to be confirmed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<super::policy_commit::CommitView>,
    /// Frames of all workers.
    pub frames: Frames,
    /// Flow tables of all workers.
    #[schema(value_type = FlowGaugesSchema)]
    pub flows: Named<FlowGauges>,
    /// What became of events outside the workers.
    pub events: super::events::EventTotals,
    /// What was told to whoever listens.
    pub live: super::live::LiveTotals,
    /// What became of events on their way to the segments.
    pub recorded: super::live::RecordTotals,
    /// What happened at the API's doors.
    pub api: super::api_counts::ApiTotals,
}

/// Frames by what became of them.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct Frames {
    /// Came in.
    pub received: u64,
    /// Their bytes.
    pub received_bytes: u64,
    /// Sent on.
    pub forwarded: u64,
    /// Their bytes.
    pub forwarded_bytes: u64,
    /// Dropped or rejected.
    pub dropped: u64,
    /// Answered with RST or ICMP; counted in `dropped` too.
    pub rejected: u64,
    /// Sent on to another destination; counted in `forwarded` too.
    pub redirected: u64,
    /// Handed to the worker that owns their flow.
    pub handed_off: u64,
    /// Given to the `host` port.
    pub to_host: u64,
    /// Mirror copies.
    pub mirrored: u64,
}

impl From<&Counters> for Frames {
    fn from(counters: &Counters) -> Self {
        Self {
            received: counters.received,
            received_bytes: counters.received_bytes,
            forwarded: counters.forwarded,
            forwarded_bytes: counters.forwarded_bytes,
            dropped: counters.dropped(),
            rejected: counters.rejected,
            redirected: counters.redirected,
            handed_off: counters.handed_off,
            to_host: counters.to_host,
            mirrored: counters.mirrored,
        }
    }
}

/// Gauges as an object with a member per field.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Named<T>(pub T);

impl Serialize for Named<FlowGauges> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        members(serializer, FlowGauges::NAMES, &self.0.values())
    }
}

impl Serialize for Named<PortGauges> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        members(serializer, PortGauges::NAMES, &self.0.values())
    }
}

/// How [`Named`] is described where it holds flow gauges.
#[derive(Debug)]
struct FlowGaugesSchema;

impl PartialSchema for FlowGaugesSchema {
    fn schema() -> RefOr<Schema> {
        described(FlowGauges::NAMES)
    }
}

impl ToSchema for FlowGaugesSchema {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("FlowGauges")
    }
}

/// How [`Named`] is described where it holds a port's gauges.
#[derive(Debug)]
struct PortGaugesSchema;

impl PartialSchema for PortGaugesSchema {
    fn schema() -> RefOr<Schema> {
        described(PortGauges::NAMES)
    }
}

impl ToSchema for PortGaugesSchema {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("PortGauges")
    }
}

/// An object with a number for each of these.
fn described(names: &[&str]) -> RefOr<Schema> {
    let number = || u64::schema();
    let object = names
        .iter()
        .fold(ObjectBuilder::new(), |object, name| object.property(*name, number()).required(*name));
    Schema::Object(object.build()).into()
}

fn members<S: Serializer>(serializer: S, names: &[&str], values: &[u64]) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(names.len()))?;
    for (name, value) in names.iter().zip(values) {
        map.serialize_entry(name, value)?;
    }
    map.end()
}

/// One worker.
#[derive(Debug, Serialize, ToSchema)]
pub struct WorkerView {
    /// Its index; also the index of the queue that it serves on every port.
    pub worker: usize,
    /// Since its loop last turned, milliseconds.
    pub silent_ms: u64,
    /// Turns that found work.
    pub batches: u64,
    /// The snapshot that its last batch ran under.
    pub policy_version: u64,
    /// Snapshots published since then.
    pub policy_lag: u64,
    /// Changes of who is where that it has not taken yet.
    pub identity_lag: u64,
    /// Frames neither free nor in a ring.
    pub outstanding_frames: u64,
    /// What became of its frames.
    pub frames: Frames,
    /// Its flow table and event rings.
    #[schema(value_type = FlowGaugesSchema)]
    pub flows: Named<FlowGauges>,
}

/// One port.
#[derive(Debug, Serialize, ToSchema)]
pub struct PortView {
    /// Interface name.
    pub port: String,
    /// Port index.
    pub index: usize,
    /// All queues.
    #[schema(value_type = PortGaugesSchema)]
    pub total: Named<PortGauges>,
    /// Queue by queue.
    pub queues: Vec<QueueView>,
}

/// One queue of a port.
#[derive(Debug, Serialize, ToSchema)]
pub struct QueueView {
    /// Queue index: the worker that serves it.
    pub queue: usize,
    /// Its numbers; `rx_dropped` and those below it are the kernel's `struct xdp_statistics`.
    #[serde(flatten)]
    #[schema(value_type = PortGaugesSchema)]
    pub gauges: Named<PortGauges>,
}

/// One reason.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReasonView {
    /// Its name in metrics and EVE.
    pub reason: &'static str,
    /// Where it comes from.
    pub class: &'static str,
    /// Whether frames counted under it went no further.
    pub drops: bool,
    /// What it means.
    pub help: &'static str,
    /// All workers.
    pub count: u64,
    /// By worker.
    pub workers: Vec<u64>,
}

/// Latencies of one worker, or of all.
#[derive(Debug, Serialize, ToSchema)]
pub struct LatencyView {
    /// Which worker; `None` for all together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker: Option<usize>,
    /// From the first stage of a batch to the last.
    pub batch: Percentiles,
    /// From leaving the receive ring to entering the transmit ring, per frame.
    pub ring_to_ring: Percentiles,
}

/// A distribution, nanoseconds, each within 1 %.
#[derive(Debug, Default, Clone, Copy, PartialEq, Serialize, ToSchema)]
#[expect(missing_docs, reason = "the names are the percentiles'")]
pub struct Percentiles {
    pub count: u64,
    pub min_ns: u64,
    pub mean_ns: f64,
    pub p50_ns: u64,
    pub p90_ns: u64,
    pub p99_ns: u64,
    pub p999_ns: u64,
    pub max_ns: u64,
}

/// A histogram as the boards give it.
type Histogram = hdrhistogram::Histogram<u64>;

impl Percentiles {
    fn of(histogram: &Histogram) -> Self {
        if histogram.is_empty() {
            return Self::default();
        }
        Self {
            count: histogram.len(),
            min_ns: histogram.min(),
            mean_ns: histogram.mean(),
            p50_ns: histogram.value_at_quantile(0.5),
            p90_ns: histogram.value_at_quantile(0.9),
            p99_ns: histogram.value_at_quantile(0.99),
            p999_ns: histogram.value_at_quantile(0.999),
            max_ns: histogram.max(),
        }
    }
}

impl Services {
    /// The whole box in one look.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let readings = self.readings();
        let current = self.door.publisher.current();
        let degraded = match self.health() {
            Health::Ok => Vec::new(),
            Health::Degraded(found) => found,
        };
        Summary {
            version: self.version,
            uptime_s: self.uptime_s(),
            degraded,
            workers: readings.len(),
            policy_version: current.version,
            policies: current.policy.len(),
            commit: self.commit(),
            frames: Frames::from(&sum_counters(&readings)),
            flows: Named(sum_flow(&readings)),
            events: self.events.totals(),
            live: self.live.totals(),
            recorded: self.live.record_counts().totals(),
            api: self.api_counts.totals(),
        }
    }

    /// Every worker.
    #[must_use]
    pub fn workers(&self) -> Vec<WorkerView> {
        let newest = self.door.publisher.current().version;
        let newest_identity = self.door.newest_identity();
        let now_ns = self.now().tick.0;
        let view = |(worker, reading): (usize, WorkerReading)| WorkerView {
            worker,
            silent_ms: now_ns.saturating_sub(reading.last_turn_ns.max(self.started.tick.0)) / 1_000_000,
            batches: reading.batches,
            policy_version: reading.snapshot_version,
            policy_lag: newest.saturating_sub(reading.snapshot_version),
            identity_lag: newest_identity.saturating_sub(reading.identity),
            outstanding_frames: reading.outstanding_frames,
            frames: Frames::from(&reading.counters),
            flows: Named(reading.flow),
        };
        self.readings().into_iter().enumerate().map(view).collect()
    }

    /// Every port, queue by queue.
    #[must_use]
    pub fn ports(&self) -> Vec<PortView> {
        let readings = self.readings();
        let view = |(index, port): (usize, &String)| {
            let queues: Vec<QueueView> = readings
                .iter()
                .enumerate()
                .filter_map(|(queue, reading)| {
                    Some(QueueView { queue, gauges: Named(*reading.ports.get(index)?) })
                })
                .collect();
            let mut total = PortGauges::default();
            for queue in &queues {
                total = add_ports(total, queue.gauges.0);
            }
            PortView { port: port.clone(), index, total: Named(total), queues }
        };
        self.names.ports().iter().enumerate().map(view).collect()
    }

    /// Every reason, counted or not.
    #[must_use]
    pub fn reasons(&self) -> Vec<ReasonView> {
        let readings = self.readings();
        let view = |reason: &Reason| {
            let workers: Vec<u64> = readings.iter().map(|reading| reading.counters.of(*reason)).collect();
            ReasonView {
                reason: reason.label(),
                class: class_name(reason.class()),
                drops: reason.class() != ReasonClass::Notice,
                help: reason.help(),
                count: workers.iter().sum(),
                workers,
            }
        };
        Reason::ALL.iter().map(view).collect()
    }

    /// Latencies: all workers together first, then each.
    #[must_use]
    pub fn latencies(&self) -> Vec<LatencyView> {
        let readings = self.readings();
        let mut views: Vec<LatencyView> = readings
            .iter()
            .enumerate()
            .map(|(worker, reading)| LatencyView {
                worker: Some(worker),
                batch: Percentiles::of(&reading.batch_ns),
                ring_to_ring: Percentiles::of(&reading.ring_to_ring_ns),
            })
            .collect();
        let total = |of: fn(&WorkerReading) -> &Histogram| {
            let mut readings = readings.iter();
            let Some(first) = readings.next() else { return Percentiles::default() };
            let mut sum = of(first).clone();
            for reading in readings {
                // The bounds of all of them are the same constants.
                let _ = sum.add(of(reading));
            }
            Percentiles::of(&sum)
        };
        let all = LatencyView {
            worker: None,
            batch: total(|reading| &reading.batch_ns),
            ring_to_ring: total(|reading| &reading.ring_to_ring_ns),
        };
        views.insert(0, all);
        views
    }

    pub(super) fn uptime_s(&self) -> f64 {
        self.now().tick.since(self.started.tick).as_secs_f64()
    }

    pub(super) fn readings(&self) -> Vec<WorkerReading> {
        self.door.boards().iter().map(|board| board.read()).collect()
    }
}

/// A class in metrics and telemetry.
pub(super) const fn class_name(class: ReasonClass) -> &'static str {
    match class {
        ReasonClass::Capacity => "capacity",
        ReasonClass::Rule => "rule",
        ReasonClass::Policy => "policy",
        ReasonClass::State => "state",
        ReasonClass::Malformed => "malformed",
        ReasonClass::BlockList => "block_list",
        ReasonClass::Notice => "notice",
    }
}

pub(super) fn sum_counters(readings: &[WorkerReading]) -> Counters {
    let mut sum = Counters::default();
    for Counters {
        received,
        received_bytes,
        forwarded,
        forwarded_bytes,
        rejected,
        redirected,
        handed_off,
        to_host,
        mirrored,
        by_reason,
    } in readings.iter().map(|reading| &reading.counters)
    {
        sum.received += received;
        sum.received_bytes += received_bytes;
        sum.forwarded += forwarded;
        sum.forwarded_bytes += forwarded_bytes;
        sum.rejected += rejected;
        sum.redirected += redirected;
        sum.handed_off += handed_off;
        sum.to_host += to_host;
        sum.mirrored += mirrored;
        for (total, count) in sum.by_reason.iter_mut().zip(by_reason) {
            *total += count;
        }
    }
    sum
}

pub(super) fn sum_flow(readings: &[WorkerReading]) -> FlowGauges {
    let mut values = [0; FlowGauges::COUNT];
    for reading in readings {
        for (total, value) in values.iter_mut().zip(reading.flow.values()) {
            *total += value;
        }
    }
    FlowGauges::from_values(values)
}

fn add_ports(a: PortGauges, b: PortGauges) -> PortGauges {
    let (mut values, more) = (a.values(), b.values());
    for (total, value) in values.iter_mut().zip(more) {
        *total += value;
    }
    PortGauges::from_values(values)
}
