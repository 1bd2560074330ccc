//! Who is told about a frame that was dropped or odd? One event a reason and second, with a count: a flood of
//! malformed frames is one line a second, not a flood of lines.

use super::Packet;
use crate::control::{DropRecord, Event, EventSender};
use crate::flow::Decision;
use crate::parse::{Headers, Mac};
use crate::time::Tick;
use crate::verdict::Reason;

/// When each reason was last told, and what has happened since.
#[derive(Debug)]
pub(super) struct Notices {
    told: [Option<Tick>; Reason::COUNT],
    since: [u32; Reason::COUNT],
}

impl Default for Notices {
    fn default() -> Self {
        Self { told: [None; Reason::COUNT], since: [0; Reason::COUNT] }
    }
}

const EVERY_NS: u64 = Tick::SECOND;

impl Notices {
    /// Tells of something odd about `packet`, unless its reason was told within the last second.
    pub(super) fn anomaly(
        &mut self,
        reason: Reason,
        packet: &Packet<'_>,
        headers: Option<&Headers>,
        events: &mut EventSender,
    ) {
        let count = &mut self.since[reason as usize];
        *count = count.saturating_add(1);
        let told = &mut self.told[reason as usize];
        if told.is_some_and(|told| packet.at.tick.ns_since(told) < EVERY_NS) {
            return;
        }
        *told = Some(packet.at.tick);
        let record = DropRecord { count: std::mem::take(count), ..describe(reason, packet, headers) };
        events.send(Event::Anomaly(record));
    }
}

/// An event about one frame, with what is known of it.
pub(super) fn describe(reason: Reason, packet: &Packet<'_>, headers: Option<&Headers>) -> DropRecord {
    let mac = |range: std::ops::Range<usize>| {
        packet.bytes.get(range).and_then(|bytes| bytes.try_into().ok()).map_or(Mac::default(), Mac)
    };
    let (src_port, dst_port) = headers.map_or((0, 0), Headers::ports);
    let addrs = headers.and_then(Headers::addrs);
    let protocol = match headers.map(|headers| headers.network) {
        Some(crate::parse::Network::Ip { protocol, .. }) => protocol,
        Some(crate::parse::Network::Arp { .. } | crate::parse::Network::Other) | None => 0,
    };
    DropRecord {
        time: packet.at.wall,
        reason,
        rejected: false,
        count: 1,
        in_port: packet.in_port,
        len_bytes: packet.bytes.len() as u32,
        macs: headers.map_or_else(|| (mac(6..12), mac(0..6)), |headers| (headers.src_mac, headers.dst_mac)),
        vlans: headers.map_or((0, 0), |headers| (headers.vlan_outer, headers.vlan_inner)),
        src: addrs.map(|(src, _)| (src, src_port)),
        dst: addrs.map(|(_, dst)| (dst, dst_port)),
        protocol,
        flow_id: 0,
        decision: Decision::default(),
    }
}
