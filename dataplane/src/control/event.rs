//! What happened that someone outside should know? Fixed-size events over two bounded rings a worker.
//!
//! `alerts` (drops by policy, anomalies) and `records` (flows, transactions). A full `records` ring aggregates flows:
//! the number of lost records is carried by the next one that fits, so stored + aggregated + shed = happened.

use std::sync::Arc;

use rtrb::{Consumer, Producer, RingBuffer};

use crate::dpi::{HostName, Lease, Summary};
use crate::flow::{Decision, Direction, FlowRecord, UserNumber};
use crate::parse::{Addr, Headers, Mac, TcpFlags, Tunnel};
use crate::rules::Signature;
use crate::rules::detect::{FileSoFar, FrameSeen};
use crate::rules::memory::Recalled;
use crate::time::Wall;
use crate::verdict::Reason;

/// Slots of the `alerts` ring of one worker.
pub(super) const ALERTS_MAX: usize = 4_096;
/// Slots of the `records` ring of one worker (about 5 MiB).
pub(super) const RECORDS_MAX: usize = 16_384;

/// Bytes of the ring that carries what transactions say, of one worker.
pub(super) const FIELD_BYTES_MAX: usize = 8 << 20;

/// What made a record: a packet, or the end of its flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Origin {
    /// Number of the packet in its file, from 1; 0 where it is from none.
    pub number: u64,
    /// How it came to be looked at.
    pub source: Source,
}

/// How a packet came to be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Source {
    /// As it is, from a wire or a file.
    #[default]
    Wire,
    /// Out of a tunnel.
    Tunnel(Tunnel),
    /// Put together from fragments.
    Fragments,
    /// Not at all: the flow was over.
    FlowEnd,
}

impl Origin {
    /// The end of a flow.
    pub const FLOW_END: Self = Self { number: 0, source: Source::FlowEnd };

    /// A packet whose headers are read, put together from fragments or not.
    #[must_use]
    pub const fn of(number: u64, headers: &Headers, is_datagram: bool) -> Self {
        let source = match headers.tunnel {
            _ if is_datagram => Source::Fragments,
            Tunnel::None => Source::Wire,
            tunnel => Source::Tunnel(tunnel),
        };
        Self { number, source }
    }
}

/// Something that happened in the packet path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A flow ended.
    Flow(FlowEnd),
    /// A transaction was seen, or something wrong with one.
    Transaction(Transaction),
    /// A frame was dropped or rejected: the first one of a flow under a decision, or of a reason in a second.
    Drop(DropRecord),
    /// A malformed frame or a state violation: the first one of its reason in a second.
    Anomaly(DropRecord),
    /// A signature matched.
    Alert(Box<Alert>),
    /// A packet that an earlier match asks to be recorded.
    Tagged(TaggedPacket),
    /// A DHCP server gave an address out.
    Lease(Box<Lease>),
    /// Something about the worker itself, or about the daemon around it.
    State(StateChange),
}

/// A flow at its end, with what its payload told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowEnd {
    /// Addresses, counters, decision.
    pub record: FlowRecord,
    /// Protocol, application, risks.
    pub summary: Summary,
    /// The host that it was about.
    pub host: Option<HostName>,
    /// What was asserted of the responder's user when it ended.
    pub responder: Option<UserNumber>,
    /// Bytes of what speaks for its risks ([`crate::dpi::risk::clues::read`]). They wait in [`EventReceiver::fields`],
    /// in one order with the fields of transactions.
    pub clues_len: u16,
}

/// One transaction of a flow. Its fields wait in [`EventReceiver::fields`], in the order of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transaction {
    /// When the packet came that completed it.
    pub time: Wall,
    /// Which one; sending says it.
    pub origin: Origin,
    /// The flow.
    pub flow_id: u64,
    /// Port index that the flow came in by.
    pub in_port: u8,
    /// Outer and inner VLAN identifier.
    pub vlans: (u16, u16),
    /// Initiator's address and port.
    pub src: (Addr, u16),
    /// Responder's address and port.
    pub dst: (Addr, u16),
    /// IANA protocol number.
    pub protocol: u8,
    /// EVE's `event_type`.
    pub event_type: &'static str,
    /// EVE's `tx_id`.
    pub transaction: u32,
    /// Which way the packet went that completed it.
    pub way: Direction,
    /// Bytes of its fields ([`crate::dpi::fields`]).
    pub fields_len: u32,
}

/// One frame that did not go on, or went on although something was wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DropRecord {
    /// When.
    pub time: Wall,
    /// With which packet; sending says it.
    pub origin: Origin,
    /// Why.
    pub reason: Reason,
    /// Whether it was refused with an answer.
    pub rejected: bool,
    /// Frames of the same kind that this event stands for (itself included).
    pub count: u32,
    /// Port index that it came in by.
    pub in_port: u8,
    /// Length on the wire, bytes.
    pub len_bytes: u32,
    /// Ethernet source and destination.
    pub macs: (Mac, Mac),
    /// Outer and inner VLAN identifier.
    pub vlans: (u16, u16),
    /// Source address and port, where the frame was understood that far.
    pub src: Option<(Addr, u16)>,
    /// Destination address and port, likewise.
    pub dst: Option<(Addr, u16)>,
    /// IANA protocol number, likewise.
    pub protocol: u8,
    /// Of the innermost IP header, likewise.
    pub ip: Option<IpFields>,
    /// Of the innermost transport header, likewise.
    pub transport: TransportFields,
    /// The flow, 0 where there is none.
    pub flow_id: u64,
    /// Under which policy.
    pub decision: Decision,
}

/// A packet that is recorded because of an earlier match. Its bytes wait in [`EventReceiver::fields`], in one order with the
/// fields of transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaggedPacket {
    /// The packet.
    pub record: DropRecord,
    /// What it begins with (a number of pcap's link types).
    pub link: u32,
    /// Its bytes.
    pub len_bytes: u32,
}

// A slot of a ring holds either, so these cost no memory while they are not the larger.
const _: () = assert!(size_of::<TaggedPacket>() <= size_of::<FlowEnd>());

/// A signature that matched, and the packet on which it did.
#[derive(Debug, Clone)]
pub struct Alert {
    /// The packet.
    pub record: DropRecord,
    /// The signature.
    pub signature: Arc<Signature>,
    /// Which way what it matched goes, where it is of a flow.
    pub way: Option<Direction>,
    /// Of which transaction of the flow, EVE's `tx_id`.
    pub transaction: Option<u32>,
    /// Whether the packet was kept from going on.
    pub is_blocked: bool,
    /// What the flow is known as.
    pub summary: Summary,
    /// Packets of the flow so far, by direction.
    pub packets: [u64; 2],
    /// Bytes of the flow so far, by direction.
    pub bytes: [u64; 2],
    /// When the flow began.
    pub start: Wall,
    /// Initiator and responder of the flow; `None`: it is of none.
    pub ends: Option<((Addr, u16), (Addr, u16))>,
    /// What is known of the transaction: the type of its record, and its fields ([`crate::dpi::fields`]).
    pub about: Option<(&'static str, Box<[u8]>)>,
    /// What rules remember of the flow, and what the match captured; `None`: nothing.
    pub recalled: Option<Box<Recalled>>,
    /// The bytes that matched, where they are kept.
    pub kept: KeptBytes,
}

/// What is kept of the bytes on which a signature matched; empty unless somebody wants them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeptBytes {
    /// Payload: of a direction's stream the last bytes, else of the packet.
    pub payload: Box<[u8]>,
    /// Whether it is a stream's.
    pub is_stream: bool,
    /// The frame.
    pub packet: Box<[u8]>,
    /// What it begins with (a number of pcap's link types).
    pub link: u32,
    /// The file that the transaction carries which matched.
    pub file: Option<FileSoFar>,
    /// The frame that matched.
    pub frame: Option<FrameSeen>,
}

impl PartialEq for Alert {
    fn eq(&self, other: &Self) -> bool {
        self.record == other.record && Arc::ptr_eq(&self.signature, &other.signature)
    }
}

impl Eq for Alert {}

/// What an analyst wants to see of the IP header of a dropped packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IpFields {
    /// IPv4: total length. IPv6: payload length. Bytes, as the header says.
    pub len_bytes: u16,
    /// TOS or traffic class byte.
    pub tos: u8,
    /// TTL or hop limit.
    pub ttl: u8,
    /// IPv4: identification. IPv6: flow label.
    pub id_or_label: u32,
}

/// The same of the transport header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TransportFields {
    /// Not understood that far, or a protocol without fields of interest.
    #[default]
    None,
    /// RFC 9293 3.1.
    Tcp {
        /// Sequence number.
        seq: u32,
        /// Acknowledgement number.
        ack: u32,
        /// Window, not scaled.
        window: u16,
        /// Urgent pointer.
        urgent: u16,
        /// The eight flags.
        flags: TcpFlags,
        /// The four reserved bits.
        reserved: u8,
    },
    /// RFC 768.
    Udp {
        /// Header and data, bytes, as the header says.
        len_bytes: u16,
    },
    /// RFC 792 or RFC 4443: an echo or another query.
    Icmp {
        /// Identifier.
        id: u16,
        /// Sequence number.
        seq: u16,
    },
    /// RFC 2236 and its kin.
    Igmp {
        /// Type.
        kind: u8,
        /// Which of its versions says so; 0: it is not IGMP but RGMP (RFC 3488), or of no known type.
        version: u8,
    },
}

/// What a worker tells about itself, and the daemon by [`super::Door::tell`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateChange {
    /// The link of a port went up or down.
    Link {
        /// Port index.
        port: u8,
        /// Whether it is up now.
        up: bool,
    },
    /// The loop did not turn for longer than the watchdog allows.
    Hang {
        /// How long, milliseconds.
        silent_ms: u64,
        /// Frames dropped because they waited that long.
        stale_frames: u32,
    },
    /// The control thread died and was started anew; packets were not concerned.
    ControlRestarted,
}

/// The worker's end.
#[derive(Debug)]
pub struct EventSender {
    alerts: Producer<Event>,
    records: Producer<Event>,
    fields: Producer<u8>,
    pending: u32,
    origin: Origin,
    /// Events that went into a ring.
    pub sent: u64,
    /// Flow records merged into a later one.
    pub aggregated: u64,
    /// Events lost.
    pub shed: u64,
}

/// The event pump's end.
#[derive(Debug)]
pub struct EventReceiver {
    /// Drops, anomalies, leases, state: drained first.
    pub alerts: Consumer<Event>,
    /// Flow records and transactions.
    pub records: Consumer<Event>,
    /// What transactions say, and what speaks for risks.
    pub fields: Consumer<u8>,
}

/// Both ends of one worker's rings.
#[must_use]
pub(super) fn event_rings(
    alerts_max: usize,
    records_max: usize,
    field_bytes_max: usize,
) -> (EventSender, EventReceiver) {
    let (alerts_in, alerts) = RingBuffer::new(alerts_max);
    let (records_in, records) = RingBuffer::new(records_max);
    let (fields_in, fields) = RingBuffer::new(field_bytes_max);
    let sender = EventSender {
        alerts: alerts_in,
        records: records_in,
        fields: fields_in,
        pending: 0,
        origin: Origin::default(),
        sent: 0,
        aggregated: 0,
        shed: 0,
    };
    (sender, EventReceiver { alerts, records, fields })
}

impl EventSender {
    /// What makes the records that are sent from now on; returns what made those before.
    pub fn set_origin(&mut self, origin: Origin) -> Origin {
        std::mem::replace(&mut self.origin, origin)
    }

    /// Gives `event` to its ring; never waits. Returns whether it went in.
    pub fn send(&mut self, mut event: Event) -> bool {
        match &mut event {
            Event::Drop(record) | Event::Anomaly(record) => record.origin = self.origin,
            Event::Alert(alert) => alert.record.origin = self.origin,
            Event::Flow(_) | Event::Transaction(_) | Event::Tagged(_) | Event::Lease(_) | Event::State(_) => {
            }
        }
        match event {
            Event::Flow(end) => self.send_flow(end, &[]),
            // Only with their bytes: see `send_transaction` and `send_tagged`.
            Event::Transaction(_) | Event::Tagged(_) => false,
            Event::Drop(_) | Event::Anomaly(_) | Event::Alert(_) | Event::Lease(_) | Event::State(_) => {
                let fits = self.alerts.push(event).is_ok();
                if fits {
                    self.sent += 1;
                } else {
                    self.shed += 1;
                }
                fits
            }
        }
    }

    /// Gives a flow's record to its ring, and what speaks for its risks to theirs as far as there is room; never waits.
    /// Returns whether the record went in.
    pub fn send_flow(&mut self, mut end: FlowEnd, clues: &[u8]) -> bool {
        let fits = self.records.slots() > 0;
        let has_clues = fits && self.fields.push_entire_slice(clues).is_ok();
        end.clues_len = if has_clues { clues.len() as u16 } else { 0 };
        end.record.aggregated = self.pending;
        let fits = fits && self.records.push(Event::Flow(end)).is_ok();
        if fits {
            self.aggregated += u64::from(self.pending);
            self.pending = 0;
            self.sent += 1;
        } else {
            self.pending = self.pending.saturating_add(1);
        }
        fits
    }

    /// Gives a transaction and its encoded fields to the rings; never waits. Returns whether they went in: both or
    /// neither.
    pub fn send_transaction(&mut self, transaction: Transaction, fields: &[u8]) -> bool {
        let origin = self.origin;
        let told = Transaction { fields_len: fields.len() as u32, origin, ..transaction };
        let fits = self.records.slots() > 0
            && self.fields.push_entire_slice(fields).is_ok()
            && self.records.push(Event::Transaction(told)).is_ok();
        if fits {
            self.sent += 1;
        } else {
            self.shed += 1;
        }
        fits
    }

    /// Gives a packet that is recorded to the rings, and a copy of it; never waits. Only half of the room is its: whoever makes
    /// packets be recorded does not keep flows and transactions from being told. Returns whether it went in.
    pub fn send_tagged(&mut self, record: DropRecord, link: u32, bytes: &[u8]) -> bool {
        let record = DropRecord { origin: self.origin, ..record };
        let told = TaggedPacket { record, link, len_bytes: bytes.len() as u32 };
        let has_room = self.records.slots() > self.records.buffer().capacity() / 2
            && self.fields.slots() > self.fields.buffer().capacity() / 2;
        let fits = has_room
            && self.fields.push_entire_slice(bytes).is_ok()
            && self.records.push(Event::Tagged(told)).is_ok();
        if fits {
            self.sent += 1;
        } else {
            self.shed += 1;
        }
        fits
    }

    /// Records that wait to be told as `aggregated` of a later one; added to `shed` when the worker ends.
    #[must_use]
    pub fn pending(&self) -> u32 {
        self.pending
    }
}
