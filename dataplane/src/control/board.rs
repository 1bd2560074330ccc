//! What has this worker done so far? Numbers that it overwrites and anyone may read at any time.
//!
//! The worker keeps plain [`Counters`] and copies them here once a batch at most; a reader may see one
//! number newer than its neighbour, never a torn one.

use std::sync::atomic::{AtomicU64, Ordering};

use hdrhistogram::Histogram;

use super::SharedHistogram;
use crate::verdict::{Counters, Reason};

/// Ports a worker serves: two wires and `host`.
pub(super) const PORTS: usize = 3;

macro_rules! gauges {
    ($(#[$meta:meta])* $name:ident { $($(#[doc = $doc:literal])+ $field:ident,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
        pub struct $name { $($(#[doc = $doc])+ pub $field: u64,)+ }

        impl $name {
            /// Field names, in the order of [`Self::values`].
            pub const NAMES: &'static [&'static str] = &[$(stringify!($field),)+];
            /// How many fields.
            pub const COUNT: usize = Self::NAMES.len();

            /// The fields' values.
            #[must_use]
            pub const fn values(&self) -> [u64; Self::COUNT] {
                [$(self.$field,)+]
            }

            /// Fields from their values, in the order of [`Self::NAMES`]: for sums over workers.
            #[must_use]
            pub const fn from_values(values: [u64; Self::COUNT]) -> Self {
                let [$($field,)+] = values;
                Self { $($field,)+ }
            }
        }
    };
}

gauges! {
    /// The flow table of one worker, and its event rings.
    FlowGauges {
        /// Flows in the table now.
        active,
        /// Slots of the table.
        capacity,
        /// Flows started so far.
        started,
        /// TCP flows now.
        tcp,
        /// UDP flows now.
        udp,
        /// ICMP and ICMPv6 flows now.
        icmp,
        /// Flows of other protocols now.
        other,
        /// Flows in which packets went both ways, now.
        established,
        /// Flows ended by timeout so far.
        ended_timeout,
        /// Flows ended by FIN so far.
        ended_closed,
        /// Flows ended by RST so far.
        ended_reset,
        /// Flows evicted so far.
        ended_evicted,
        /// Flows ended by a policy change so far.
        ended_policy,
        /// Datagrams waiting for fragments now.
        fragments_held,
        /// Events given to the rings so far.
        events_sent,
        /// Records merged into a later one because their ring was full.
        events_aggregated,
        /// Events lost because their ring was full.
        events_shed,
        /// Policy evaluations so far.
        evaluations,
        /// Flows whose stored decision was made again after a policy change.
        rejudged,
        /// Bytes that TCP streams hold now.
        stream_bytes,
        /// Times reading went on without bytes of a TCP stream that were missing.
        stream_gaps,
        /// TCP segments whose bytes differed from those that came before.
        stream_overlaps,
        /// TCP segments for which there was no memory.
        stream_memory_refused,
        /// TCP segments that were one piece too many to wait.
        stream_pieces_refused,
        /// Bytes that parsers hold now.
        parser_bytes,
        /// Buffers that parsers did not get for lack of memory.
        parser_memory_refused,
        /// Flows that were longer than what is looked at.
        stream_depth_reached,
        /// Flows that nobody looked at for lack of room.
        not_looked_at,
    }
}

gauges! {
    /// One port of one worker. The kernel's own numbers carry the names of `struct xdp_statistics`.
    PortGauges {
        /// Frames received.
        rx_packets,
        /// Bytes received.
        rx_bytes,
        /// Frames sent.
        tx_packets,
        /// Bytes sent.
        tx_bytes,
        /// Dropped by the kernel for another reason than a full ring.
        rx_dropped,
        /// Dropped by the kernel because a descriptor was invalid.
        rx_invalid_descs,
        /// Transmit descriptors that the kernel refused.
        tx_invalid_descs,
        /// Dropped by the kernel because the receive ring was full.
        rx_ring_full,
        /// Times the kernel found no frame in the fill ring.
        rx_fill_ring_empty_descs,
        /// Times the kernel found the transmit ring empty.
        tx_ring_empty_descs,
    }
}

/// One worker's numbers, shared.
#[derive(Debug)]
pub struct Board {
    counters: [AtomicU64; COUNTERS],
    flow: [AtomicU64; FlowGauges::COUNT],
    ports: [[AtomicU64; PortGauges::COUNT]; PORTS],
    snapshot_version: AtomicU64,
    identity: AtomicU64,
    outstanding_frames: AtomicU64,
    batches: AtomicU64,
    last_turn_ns: AtomicU64,
    /// Time from the first stage to the last of a batch.
    pub batch_ns: SharedHistogram,
    /// Time from leaving the receive ring to entering the transmit ring, per frame.
    pub ring_to_ring_ns: SharedHistogram,
}

/// Scalars of [`Counters`] in front of the reasons.
const SCALARS: usize = 9;
const COUNTERS: usize = SCALARS + Reason::COUNT;

impl Default for Board {
    fn default() -> Self {
        Self {
            counters: zeroes(),
            flow: zeroes(),
            ports: std::array::from_fn(|_| zeroes()),
            snapshot_version: AtomicU64::new(0),
            identity: AtomicU64::new(0),
            outstanding_frames: AtomicU64::new(0),
            batches: AtomicU64::new(0),
            last_turn_ns: AtomicU64::new(0),
            batch_ns: SharedHistogram::default(),
            ring_to_ring_ns: SharedHistogram::default(),
        }
    }
}

/// What a reader sees of one worker.
#[derive(Debug, Clone)]
pub struct WorkerReading {
    /// Verdicts and reasons.
    pub counters: Counters,
    /// Flow table, policy and event rings.
    pub flow: FlowGauges,
    /// Port 0, port 1, `host`.
    pub ports: [PortGauges; PORTS],
    /// Version of the snapshot that its last batch ran under.
    pub snapshot_version: u64,
    /// Number of the newest change of who is where that it goes by.
    pub identity: u64,
    /// Frames neither free nor in a ring: held fragments, and frames lent to other workers.
    pub outstanding_frames: u64,
    /// Turns of the loop that found work.
    pub batches: u64,
    /// `CLOCK_MONOTONIC` of its last turn, nanoseconds.
    pub last_turn_ns: u64,
    /// Batch times, nanoseconds.
    pub batch_ns: Histogram<u64>,
    /// Ring-to-ring times, nanoseconds.
    pub ring_to_ring_ns: Histogram<u64>,
}

impl Board {
    /// Publishes the worker's counters. Only the owning worker calls this.
    pub fn write_counters(&self, counters: &Counters) {
        let scalars = [
            counters.received,
            counters.received_bytes,
            counters.forwarded,
            counters.forwarded_bytes,
            counters.rejected,
            counters.redirected,
            counters.handed_off,
            counters.to_host,
            counters.mirrored,
        ];
        store(&self.counters[..SCALARS], &scalars);
        store(&self.counters[SCALARS..], &counters.by_reason);
    }

    /// Publishes the flow gauges. Only the owning worker calls this.
    pub fn write_flow(&self, gauges: &FlowGauges) {
        store(&self.flow, &gauges.values());
    }

    /// Publishes one port's numbers. Only the owning worker calls this.
    pub fn write_port(&self, port: usize, gauges: &PortGauges) {
        store(&self.ports[port], &gauges.values());
    }

    /// Publishes where the loop stands. Only the owning worker calls this.
    pub fn write_turn(&self, now_ns: u64, batches: u64, snapshot_version: u64, outstanding_frames: u64) {
        self.last_turn_ns.store(now_ns, Ordering::Relaxed);
        self.batches.store(batches, Ordering::Relaxed);
        self.outstanding_frames.store(outstanding_frames, Ordering::Relaxed);
        // Release: pairs with the Acquire in `snapshot_version`; whoever sees the version also sees every
        // counter written under the one before.
        self.snapshot_version.store(snapshot_version, Ordering::Release);
    }

    /// Publishes by which change of who is where the worker goes. Only the owning worker calls this.
    pub fn write_identity(&self, number: u64) {
        self.identity.store(number, Ordering::Release);
    }

    /// The number of the newest change of who is where that the worker goes by.
    #[must_use]
    pub fn identity(&self) -> u64 {
        self.identity.load(Ordering::Acquire)
    }

    /// The version of the snapshot that the worker's last batch ran under.
    #[must_use]
    pub fn snapshot_version(&self) -> u64 {
        self.snapshot_version.load(Ordering::Acquire)
    }

    /// `CLOCK_MONOTONIC` of the worker's last turn, nanoseconds.
    #[must_use]
    pub fn last_turn_ns(&self) -> u64 {
        self.last_turn_ns.load(Ordering::Relaxed)
    }

    /// Everything, for telemetry.
    #[must_use]
    pub fn read(&self) -> WorkerReading {
        let snapshot_version = self.snapshot_version();
        let values: [u64; COUNTERS] = load(&self.counters);
        let mut by_reason = [0; Reason::COUNT];
        by_reason.copy_from_slice(&values[SCALARS..]);
        WorkerReading {
            counters: Counters {
                received: values[0],
                received_bytes: values[1],
                forwarded: values[2],
                forwarded_bytes: values[3],
                rejected: values[4],
                redirected: values[5],
                handed_off: values[6],
                to_host: values[7],
                mirrored: values[8],
                by_reason,
            },
            flow: FlowGauges::from_values(load(&self.flow)),
            ports: std::array::from_fn(|port| PortGauges::from_values(load(&self.ports[port]))),
            snapshot_version,
            identity: self.identity(),
            outstanding_frames: self.outstanding_frames.load(Ordering::Relaxed),
            batches: self.batches.load(Ordering::Relaxed),
            last_turn_ns: self.last_turn_ns(),
            batch_ns: self.batch_ns.read(),
            ring_to_ring_ns: self.ring_to_ring_ns.read(),
        }
    }
}

fn zeroes<const N: usize>() -> [AtomicU64; N] {
    std::array::from_fn(|_| AtomicU64::new(0))
}

// Relaxed throughout: each number stands alone and has one writer.
fn store(to: &[AtomicU64], from: &[u64]) {
    for (to, from) in to.iter().zip(from) {
        to.store(*from, Ordering::Relaxed);
    }
}

fn load<const N: usize>(from: &[AtomicU64; N]) -> [u64; N] {
    std::array::from_fn(|index| from[index].load(Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_worker_writes_a_reader_reads() {
        let board = Board::default();
        let mut counters = Counters { received: 7, mirrored: 3, ..Counters::default() };
        counters.notice(Reason::AlertShed);
        board.write_counters(&counters);
        board.write_port(2, &PortGauges { rx_packets: 4, tx_ring_empty_descs: 9, ..PortGauges::default() });
        board.write_flow(&FlowGauges { active: 11, ..FlowGauges::default() });
        board.write_turn(99, 5, 3, 0);
        let reading = board.read();
        assert_eq!(reading.counters, counters);
        assert_eq!(reading.ports[2].tx_ring_empty_descs, 9);
        assert_eq!(reading.flow.active, 11);
        assert_eq!((reading.last_turn_ns, reading.batches, reading.snapshot_version), (99, 5, 3));
    }
}
