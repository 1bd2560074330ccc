//! What does Prometheus scrape? OpenMetrics text, read from the boards at the moment of the scrape.
//!
//! Names are `jarvis_<name>_<unit>`, with `_total` where they only count up. Nothing is registered or updated
//! between scrapes.

use std::fmt;
use std::sync::Arc;

use dataplane::control::{FlowGauges, PortGauges, WorkerReading};
use dataplane::verdict::{Reason, ReasonClass};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeLabel as _, EncodeLabelSet, LabelSetEncoder, MetricEncoder, NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use super::Services;
use super::api_counts::HandshakeTotals;
use super::applications_seen::{AppSums, OTHER};
use super::policy_counts::{PolicyCounts, SERIES_MAX};
use super::telemetry::class_name;

/// The content type of [`Services::metrics`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

impl Services {
    /// Everything, as OpenMetrics text.
    #[must_use]
    pub fn metrics(self: &Arc<Self>) -> String {
        let mut registry = Registry::with_prefix("jarvis");
        registry.register_collector(Box::new(Boards(Arc::clone(self))));
        let mut text = String::with_capacity(64 * 1024);
        // Writing to a String does not fail.
        let _ = encode(&mut text, &registry);
        text
    }
}

struct Boards(Arc<Services>);

impl fmt::Debug for Boards {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Boards")
    }
}

/// Labels of one series.
struct Labels<const N: usize>([(&'static str, String); N]);

impl<const N: usize> EncodeLabelSet for Labels<N> {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        for (key, value) in &self.0 {
            (*key, value.as_str()).encode(encoder.encode_label())?;
        }
        Ok(())
    }
}

/// Frame counters of a worker: name, unit, help, where.
type FrameMetric = (&'static str, &'static str, &'static str, fn(&WorkerReading) -> u64);

const FRAMES: &[FrameMetric] = &[
    ("received", "frames", "Frames that came in", |reading| reading.counters.received),
    ("received", "bytes", "Bytes that came in", |reading| reading.counters.received_bytes),
    ("forwarded", "frames", "Frames sent on", |reading| reading.counters.forwarded),
    ("forwarded", "bytes", "Bytes sent on", |reading| reading.counters.forwarded_bytes),
    ("rejected", "frames", "Frames answered with RST or ICMP", |reading| reading.counters.rejected),
    ("redirected", "frames", "Frames sent on to another destination", |reading| reading.counters.redirected),
    ("handed_off", "frames", "Frames handed to the worker that owns their flow", |reading| {
        reading.counters.handed_off
    }),
    ("to_host", "frames", "Frames given to the host port", |reading| reading.counters.to_host),
    ("mirrored", "frames", "Mirror copies made", |reading| reading.counters.mirrored),
    ("batches", "turns", "Turns of the worker's loop that found work", |reading| reading.batches),
];

/// Flow gauges that go up and down: field, name, unit, help. All others only count up.
const FLOW_LEVELS: &[(&str, &str, &str, &str)] = &[
    ("active", "flow_table_active", "flows", "Flows in the table now"),
    ("capacity", "flow_table_capacity", "flows", "Flows that the table can hold"),
    ("tcp", "flow_table_tcp", "flows", "TCP flows now"),
    ("udp", "flow_table_udp", "flows", "UDP flows now"),
    ("icmp", "flow_table_icmp", "flows", "ICMP and ICMPv6 flows now"),
    ("other", "flow_table_other", "flows", "Flows of other protocols now"),
    ("established", "flow_table_established", "flows", "Flows now in which packets went both ways"),
    ("fragments_held", "fragments_held", "datagrams", "Datagrams that wait for fragments now"),
    ("stream_bytes", "stream", "bytes", "Bytes that TCP streams hold now"),
    ("parser_bytes", "parser", "bytes", "Bytes that parsers hold now"),
];

/// Upper bounds of the exported latency buckets, nanoseconds: 1 us to 1 s, three a decade.
const BUCKETS_NS: [u64; 19] = [
    1_000,
    2_000,
    5_000,
    10_000,
    20_000,
    50_000,
    100_000,
    200_000,
    500_000,
    1_000_000,
    2_000_000,
    5_000_000,
    10_000_000,
    20_000_000,
    50_000_000,
    100_000_000,
    200_000_000,
    500_000_000,
    1_000_000_000,
];

impl Collector for Boards {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Self(services) = self;
        let readings = services.readings();
        let out = &mut encoder;

        let build = Labels([("version", services.version.to_owned())]);
        out.encode_descriptor("build", "The daemon", None, MetricType::Info)?.encode_info(&build)?;
        gauge(out, "uptime", "seconds", "Since the daemon started", services.uptime_s())?;
        let current = services.door.publisher.current();
        gauge(out, "policy", "version", "Version of the policy snapshot in force", current.version as f64)?;
        gauge(out, "policy", "policies", "Policies in force", current.policy.len() as f64)?;

        let commit_s = services.commit().map_or(0, |commit| commit.remaining_s);
        let help = "Until the policies before return, 0 where none in force wait to be confirmed";
        gauge(out, "policy_commit_remaining", "seconds", help, commit_s as f64)?;
        outcomes(
            out,
            "policy_commits",
            "What became of changes that somebody had to confirm",
            services.commit_counts.totals(),
        )?;

        for (name, unit, help, of) in FRAMES {
            let unit = Unit::Other((*unit).to_owned());
            let mut metric = out.encode_descriptor(name, help, Some(&unit), MetricType::Counter)?;
            per_worker(&mut metric, &readings, |metric, reading| count(metric, of(reading)))?;
        }
        reasons(out, &readings)?;
        flows(out, &readings)?;
        ports(out, services.names.ports(), &readings)?;
        workers(out, services, &readings)?;
        histogram(out, "batch", "From the first stage of a batch to the last", &readings, |reading| {
            &reading.batch_ns
        })?;
        let help = "From leaving the receive ring to entering the transmit ring, per frame";
        histogram(out, "ring_to_ring", help, &readings, |reading| &reading.ring_to_ring_ns)?;
        events(out, services)?;
        api(out, services)?;
        applications(out, services)?;
        policies(out, services)?;
        wire(out, services)
    }
}

fn reasons(out: &mut DescriptorEncoder<'_>, readings: &[WorkerReading]) -> fmt::Result {
    let unit = Unit::Other("frames".to_owned());
    let kinds = [
        ("dropped", "Frames dropped or rejected, by reason", false),
        ("noticed", "Facts counted beside a frame's verdict, by reason", true),
    ];
    for (name, help, notice) in kinds {
        let mut metric = out.encode_descriptor(name, help, Some(&unit), MetricType::Counter)?;
        for reason in Reason::ALL.iter().filter(|reason| (reason.class() == ReasonClass::Notice) == notice) {
            for (worker, reading) in readings.iter().enumerate() {
                let labels = Labels([
                    ("worker", worker.to_string()),
                    ("class", class_name(reason.class()).to_owned()),
                    ("reason", reason.label().to_owned()),
                ]);
                count(&mut metric.encode_family(&labels)?, reading.counters.of(*reason))?;
            }
        }
    }
    Ok(())
}

fn flows(out: &mut DescriptorEncoder<'_>, readings: &[WorkerReading]) -> fmt::Result {
    for (index, field) in FlowGauges::NAMES.iter().enumerate() {
        let value = |reading: &WorkerReading| reading.flow.values().get(index).copied().unwrap_or_default();
        if let Some((_, name, unit, help)) = FLOW_LEVELS.iter().find(|(level, ..)| level == field) {
            let unit = Unit::Other((*unit).to_owned());
            let mut metric = out.encode_descriptor(name, help, Some(&unit), MetricType::Gauge)?;
            per_worker(&mut metric, readings, |metric, reading| metric.encode_gauge(&value(reading)))?;
            continue;
        }
        let (name, unit, help) = flow_counter(field);
        let unit = Unit::Other(unit.to_owned());
        let mut metric = out.encode_descriptor(&name, help, Some(&unit), MetricType::Counter)?;
        per_worker(&mut metric, readings, |metric, reading| count(metric, value(reading)))?;
    }
    Ok(())
}

/// Name, unit and help of a flow counter; fields keep their own names.
fn flow_counter(field: &str) -> (String, &'static str, &'static str) {
    match field {
        "started" => ("flow_table_started".to_owned(), "flows", "Flows started"),
        "events_sent" => (field.to_owned(), "events", "Events given to the worker's rings"),
        "events_aggregated" => {
            (field.to_owned(), "events", "Records merged into a later one: their ring was full")
        }
        "events_shed" => (field.to_owned(), "events", "Events lost because their ring was full"),
        "evaluations" => ("policy".to_owned(), "evaluations", "Policy evaluations"),
        "rejudged" => ("policy_rejudged".to_owned(), "flows", "Flows judged again after a policy change"),
        "stream_gaps" => (field.to_owned(), "gaps", "Times reading went on without missing TCP bytes"),
        "stream_overlaps" => {
            (field.to_owned(), "segments", "TCP segments that differed from what came before")
        }
        "stream_memory_refused" => {
            (field.to_owned(), "segments", "TCP segments for which there was no memory")
        }
        "stream_pieces_refused" => {
            (field.to_owned(), "segments", "TCP segments that were one piece too many to wait")
        }
        "parser_memory_refused" => {
            (field.to_owned(), "buffers", "Buffers that parsers did not get for lack of memory")
        }
        "stream_depth_reached" => (field.to_owned(), "flows", "Flows longer than what is looked at"),
        "not_looked_at" => ("flows_not_looked_at".to_owned(), "flows", "Flows unrecognised for lack of room"),
        ended => (format!("flow_table_{ended}"), "flows", "Flows that ended this way"),
    }
}

fn ports(out: &mut DescriptorEncoder<'_>, ports: &[String], readings: &[WorkerReading]) -> fmt::Result {
    for (field_index, field) in PortGauges::NAMES.iter().enumerate() {
        let (name, unit, help) = port_counter(field);
        let unit = Unit::Other(unit.to_owned());
        let mut metric = out.encode_descriptor(&name, help, Some(&unit), MetricType::Counter)?;
        for (port, interface) in ports.iter().enumerate() {
            for (queue, reading) in readings.iter().enumerate() {
                let gauges = reading.ports.get(port).copied().unwrap_or_default().values();
                let value = gauges.get(field_index).copied().unwrap_or_default();
                let labels = Labels([("port", interface.clone()), ("queue", queue.to_string())]);
                count(&mut metric.encode_family(&labels)?, value)?;
            }
        }
    }
    Ok(())
}

/// Name, unit and help of a port counter; `struct xdp_statistics` keeps its names.
fn port_counter(field: &str) -> (String, &'static str, &'static str) {
    match field {
        "rx_packets" => ("port_rx".to_owned(), "frames", "Frames received"),
        "tx_packets" => ("port_tx".to_owned(), "frames", "Frames sent"),
        "rx_bytes" => ("port_rx".to_owned(), "bytes", "Bytes received"),
        "tx_bytes" => ("port_tx".to_owned(), "bytes", "Bytes sent"),
        "rx_dropped" => (
            "port_rx_dropped".to_owned(),
            "frames",
            "Dropped by the kernel for another reason than a full ring",
        ),
        "rx_ring_full" => {
            ("port_rx_ring_full".to_owned(), "frames", "Dropped by the kernel: the receive ring was full")
        }
        "rx_fill_ring_empty_descs" => (
            "port_rx_fill_ring_empty".to_owned(),
            "descs",
            "Times the kernel found no frame in the fill ring",
        ),
        "tx_ring_empty_descs" => {
            ("port_tx_ring_empty".to_owned(), "descs", "Times the kernel found the transmit ring empty")
        }
        other => {
            let name = other.strip_suffix("_descs").unwrap_or(other);
            (format!("port_{name}"), "descs", "Descriptors that the kernel refused")
        }
    }
}

fn workers(out: &mut DescriptorEncoder<'_>, services: &Services, readings: &[WorkerReading]) -> fmt::Result {
    let now_ns = services.now().tick.0;
    let help = "Since the worker's loop last turned";
    let mut metric = out.encode_descriptor("worker_silent", help, Some(&Unit::Seconds), MetricType::Gauge)?;
    per_worker(&mut metric, readings, |metric, reading| {
        let last = reading.last_turn_ns.max(services.started.tick.0);
        metric.encode_gauge(&(now_ns.saturating_sub(last) as f64 / 1e9))
    })?;
    let unit = Unit::Other("frames".to_owned());
    let help = "Frames neither free nor in a ring";
    let mut metric = out.encode_descriptor("worker_outstanding", help, Some(&unit), MetricType::Gauge)?;
    per_worker(&mut metric, readings, |metric, reading| metric.encode_gauge(&reading.outstanding_frames))?;
    let unit = Unit::Other("version".to_owned());
    let help = "Snapshot that the worker's last batch ran under";
    let mut metric = out.encode_descriptor("worker_policy", help, Some(&unit), MetricType::Gauge)?;
    per_worker(&mut metric, readings, |metric, reading| metric.encode_gauge(&reading.snapshot_version))?;
    let unit = Unit::Other("changes".to_owned());
    let help = "Changes of who is where that the worker has not taken yet";
    let mut metric = out.encode_descriptor("worker_identity_lag", help, Some(&unit), MetricType::Gauge)?;
    let newest = services.door.newest_identity();
    per_worker(&mut metric, readings, |metric, reading| {
        metric.encode_gauge(&newest.saturating_sub(reading.identity))
    })?;
    outcomes(
        out,
        "radius_packets",
        "Packets of RADIUS accounting that counted, that were heard before, that are older than what was, and that were refused",
        services.radius_counts().totals(),
    )?;
    outcomes(
        out,
        "syslog_messages",
        "Messages of syslog by what became of them",
        services.syslog_counts().totals(),
    )?;
    outcomes(
        out,
        "portal_requests",
        "Requests at the captive portal by what became of them",
        services.portal_counts().totals(),
    )?;
    if let Some(oidc) = services.oidc() {
        outcomes(
            out,
            "oidc_tokens",
            "Tokens of the OpenID provider by what came of them",
            oidc.counts().tokens(),
        )?;
        outcomes(
            out,
            "oidc_key_fetches",
            "Fetches of the OpenID provider's keys that were done, and that failed",
            oidc.counts().fetches(),
        )?;
        let help = "Keys of the OpenID provider that are there";
        let mut metric = out.encode_descriptor("oidc_keys", help, None, MetricType::Gauge)?;
        metric.encode_gauge(&(oidc.keys() as u64))?;
    }
    outcomes(
        out,
        "dhcp_leases_seen",
        "DHCP leases that were taken, refused, and lost for want of room",
        services.lease_counts().totals(),
    )?;
    outcomes(
        out,
        "identities_restored",
        "Assertions and leases from before the restart by what came of them",
        services.restore_counts().totals(),
    )?;
    outcomes(
        out,
        "identities_refused",
        "Assertions and leases that were refused, by the reason",
        services.refused_counts().totals(),
    )?;
    let help = "Different names of users since the start, of the kind of which the most are; at 1,000,000 no new ones are taken";
    let mut metric = out.encode_descriptor("identity_names", help, None, MetricType::Gauge)?;
    metric.encode_gauge(&u64::from(services.identity_names()))?;
    let unit = Unit::Other("changes".to_owned());
    let help = "Changes of who is where that are not on the disk yet";
    let mut metric = out.encode_descriptor("identities_unsaved", help, Some(&unit), MetricType::Gauge)?;
    metric.encode_gauge(&(services.identity_ledger().map_or(0, |ledger| ledger.waiting()) as u64))?;
    let help = "DHCP leases that are alive";
    let mut metric = out.encode_descriptor("dhcp_leases", help, None, MetricType::Gauge)?;
    metric.encode_gauge(&(services.leases_live() as u64))?;
    let help = "Assertions of who is where that are alive";
    let mut metric = out.encode_descriptor("identities", help, None, MetricType::Gauge)?;
    metric.encode_gauge(&(services.identities_live() as u64))
}

/// A counter by what became of what is counted.
fn outcomes(
    out: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    totals: impl IntoIterator<Item = (&'static str, u64)>,
) -> fmt::Result {
    let mut metric = out.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (outcome, total) in totals {
        count(&mut metric.encode_family(&Labels([("outcome", outcome.to_owned())]))?, total)?;
    }
    Ok(())
}

fn histogram(
    out: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    readings: &[WorkerReading],
    of: fn(&WorkerReading) -> &hdrhistogram::Histogram<u64>,
) -> fmt::Result {
    let mut metric = out.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Histogram)?;
    per_worker(&mut metric, readings, |metric, reading| {
        let histogram = of(reading);
        let mut buckets: Vec<(f64, u64)> = Vec::with_capacity(BUCKETS_NS.len() + 1);
        let (mut bucket, mut counted, mut sum_ns) = (0, 0, 0.0);
        buckets.extend(BUCKETS_NS.iter().map(|bound| (*bound as f64 / 1e9, 0)));
        buckets.push((f64::INFINITY, 0));
        for step in histogram.iter_recorded() {
            let (value, times) = (step.value_iterated_to(), step.count_at_value());
            while BUCKETS_NS.get(bucket).is_some_and(|bound| value > *bound) {
                bucket += 1;
            }
            buckets[bucket].1 += times;
            counted += times;
            sum_ns += value as f64 * times as f64;
        }
        metric.encode_histogram::<NoLabelSet>(sum_ns / 1e9, counted, &buckets, None)
    })
}

fn events(out: &mut DescriptorEncoder<'_>, services: &Services) -> fmt::Result {
    let totals = services.events.totals();
    let unit = Unit::Other("events".to_owned());
    let metrics = [
        ("events_received", "Events taken out of the workers' rings", totals.received),
        ("events_skipped", "Events of a type that is not written", totals.skipped),
        ("events_stored", "Event lines handed to the disk", totals.stored),
        ("events_lost", "Event lines that the disk did not take", totals.lost),
    ];
    for (name, help, value) in metrics {
        count(&mut out.encode_descriptor(name, help, Some(&unit), MetricType::Counter)?, value)?;
    }
    Ok(())
}

fn api(out: &mut DescriptorEncoder<'_>, services: &Services) -> fmt::Result {
    let totals = services.api_counts.totals();
    let HandshakeTotals { completed, client_refused, timed_out, failed } = totals.tls_handshakes;
    let unit = Unit::Other("handshakes".to_owned());
    let help = "TLS handshakes of the API by what became of them";
    let mut metric = out.encode_descriptor("api_tls", help, Some(&unit), MetricType::Counter)?;
    let outcomes = [
        ("completed", completed),
        ("client_refused", client_refused),
        ("timed_out", timed_out),
        ("failed", failed),
    ];
    for (outcome, value) in outcomes {
        count(&mut metric.encode_family(&Labels([("outcome", outcome.to_owned())]))?, value)?;
    }
    let unit = Unit::Other("headers".to_owned());
    let help = "X-Client-Fingerprint of clients that are no trusted proxies";
    let mut metric =
        out.encode_descriptor("api_fingerprint_ignored", help, Some(&unit), MetricType::Counter)?;
    count(&mut metric, totals.fingerprint_headers_ignored)
}

/// A sum of an application: name, unit, help, which.
type AppMetric = (&'static str, &'static str, &'static str, fn(&AppSums) -> u64);

const APPLICATIONS: &[AppMetric] = &[
    ("application", "flows", "Flows that ended, by application", |sums| sums.flows),
    ("application_to_server", "packets", "Packets from initiators, of flows that ended", |sums| {
        sums.packets_to_server
    }),
    ("application_to_client", "packets", "Packets to initiators, of flows that ended", |sums| {
        sums.packets_to_client
    }),
    ("application_to_server", "bytes", "Bytes from initiators, of flows that ended", |sums| {
        sums.bytes_to_server
    }),
    ("application_to_client", "bytes", "Bytes to initiators, of flows that ended", |sums| {
        sums.bytes_to_client
    }),
];

fn applications(out: &mut DescriptorEncoder<'_>, services: &Services) -> fmt::Result {
    let (apps, other) = services.events.applications.series();
    for (name, unit, help, of) in APPLICATIONS {
        let unit = Unit::Other((*unit).to_owned());
        let mut metric = out.encode_descriptor(name, help, Some(&unit), MetricType::Counter)?;
        let rows = apps.iter().map(|app| (app.application, &app.sums)).chain([(OTHER, &other)]);
        for (application, sums) in rows {
            let labels = Labels([("application", application.to_owned())]);
            count(&mut metric.encode_family(&labels)?, of(sums))?;
        }
    }
    Ok(())
}

/// Metrics of policies: unit, help, where.
type PolicyMetric = (&'static str, &'static str, fn(&PolicyCounts) -> u64);

const POLICIES: &[PolicyMetric] = &[
    ("hits", "Flows that came under a policy", |counts| counts.hits),
    ("packets", "Packets of its flows, sent on or not", |counts| counts.packets),
    ("bytes", "Bytes of its flows, sent on or not", |counts| counts.bytes),
];

fn policies(out: &mut DescriptorEncoder<'_>, services: &Services) -> fmt::Result {
    let counted = services.policy_counted();
    let entries = counted.state.entries.iter().map(|entry| ("policy", entry.policy_id.as_str()));
    let mut rows: Vec<_> = entries.zip(counted.counts.iter().copied()).collect();
    let mut others = PolicyCounts::default();
    rows.iter().skip(SERIES_MAX).for_each(|(_, counts)| others.add(counts));
    rows.truncate(SERIES_MAX);
    // A policy may have any id, so that these are told by another label.
    rows.extend([(("default", ""), counted.default), (("others", ""), others)]);
    for (unit, help, of) in POLICIES {
        let unit = Unit::Other((*unit).to_owned());
        let mut metric = out.encode_descriptor("policy", help, Some(&unit), MetricType::Counter)?;
        for ((kind, policy_id), counts) in &rows {
            let labels = Labels([("kind", (*kind).to_owned()), ("policy_id", (*policy_id).to_owned())]);
            count(&mut metric.encode_family(&labels)?, of(counts))?;
        }
    }
    Ok(())
}

fn wire(out: &mut DescriptorEncoder<'_>, services: &Services) -> fmt::Result {
    // A kernel that refuses leaves these series out: a scrape has no place for a sentence.
    let Ok(reading) = services.wire() else { return Ok(()) };
    let unit = Unit::Other("frames".to_owned());
    let help = "Frames by what the XDP program did with them";
    let mut metric = out.encode_descriptor("wire", help, Some(&unit), MetricType::Counter)?;
    for (outcome, frames) in &reading.outcomes {
        let labels = Labels([("outcome", (*outcome).to_owned())]);
        count(&mut metric.encode_family(&labels)?, *frames)?;
    }
    gauge(out, "wire_blocked", "prefixes", "Prefixes in the block list", reading.blocked_prefixes as f64)?;
    gauge(
        out,
        "wire_bypass",
        "state",
        "1 while frames pass around inspection",
        f64::from(u8::from(reading.bypass)),
    )
}

fn gauge(out: &mut DescriptorEncoder<'_>, name: &str, unit: &str, help: &str, value: f64) -> fmt::Result {
    let unit = Unit::Other(unit.to_owned());
    out.encode_descriptor(name, help, Some(&unit), MetricType::Gauge)?.encode_gauge(&value)
}

fn count(metric: &mut MetricEncoder<'_>, value: u64) -> fmt::Result {
    metric.encode_counter::<NoLabelSet, _, u64>(&value, None)
}

fn per_worker(
    metric: &mut MetricEncoder<'_>,
    readings: &[WorkerReading],
    encode: impl Fn(&mut MetricEncoder<'_>, &WorkerReading) -> fmt::Result,
) -> fmt::Result {
    for (worker, reading) in readings.iter().enumerate() {
        let labels = Labels([("worker", worker.to_string())]);
        encode(&mut metric.encode_family(&labels)?, reading)?;
    }
    Ok(())
}
