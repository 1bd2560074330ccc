//! Who is told about a frame that was dropped or odd? One event a reason and second, with a count: a flood of
//! malformed frames is one line a second, not a flood of lines.

use super::Packet;
use crate::control::{DropRecord, Event, EventSender, IpFields, Origin, TransportFields};
use crate::flow::Decision;
use crate::parse::{Headers, Mac, Network, Protocol, Transport};
use crate::time::Tick;
use crate::verdict::Reason;

/// When each reason was last told, and what has happened since.
#[derive(Debug)]
pub(super) struct Notices {
    told: [Option<Tick>; Reason::COUNT],
    since: [u32; Reason::COUNT],
    /// Of packets that flows lost: how many may be told in a second, since when one counts, and how many were told in it.
    drops_per_s: u32,
    drops_since: Tick,
    drops_told: u32,
}

impl Default for Notices {
    fn default() -> Self {
        Self {
            told: [None; Reason::COUNT],
            since: [0; Reason::COUNT],
            drops_per_s: 0,
            drops_since: Tick(0),
            drops_told: 0,
        }
    }
}

const EVERY_NS: u64 = Tick::SECOND;

impl Notices {
    /// At most so many packets a second are told of that flows lose after their first one.
    pub(super) const fn set_drops_per_s(&mut self, drops_per_s: u32) {
        self.drops_per_s = drops_per_s;
    }

    /// Whether such a packet is told of.
    pub(super) const fn tells_drop(&mut self, now: Tick) -> bool {
        if now.ns_since(self.drops_since) >= EVERY_NS {
            (self.drops_since, self.drops_told) = (now, 0);
        }
        let is_told = self.drops_told < self.drops_per_s;
        self.drops_told += is_told as u32;
        is_told
    }

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
        Some(Network::Ip { protocol, .. }) => protocol,
        Some(Network::Arp { .. } | Network::Other) | None => 0,
    };
    DropRecord {
        time: packet.at.wall,
        origin: Origin::default(),
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
        ip: headers.and_then(|headers| ip_fields(packet.bytes, headers)),
        transport: headers.map_or(TransportFields::None, |headers| transport_fields(packet.bytes, headers)),
        flow_id: 0,
        decision: Decision::default(),
    }
}

fn ip_fields(bytes: &[u8], headers: &Headers) -> Option<IpFields> {
    let Network::Ip { src, ttl, tos, .. } = headers.network else { return None };
    let header: &[u8; 8] = bytes.get(usize::from(headers.l3_offset)..)?.first_chunk()?;
    let [_, b1, b2, b3, b4, b5, _, _] = *header;
    let (len_bytes, id_or_label) = match src.is_v4() {
        // RFC 791 3.1: total length at 2, identification at 4.
        true => ([b2, b3], [0, 0, b4, b5]),
        // RFC 8200 3: the flow label ends before 4, where the payload length stands.
        false => ([b4, b5], [0, b1 & 0x0f, b2, b3]),
    };
    let (len_bytes, id_or_label) = (u16::from_be_bytes(len_bytes), u32::from_be_bytes(id_or_label));
    Some(IpFields { len_bytes, tos, ttl, id_or_label })
}

fn transport_fields(bytes: &[u8], headers: &Headers) -> TransportFields {
    let at = usize::from(headers.l4_offset);
    let be16 = |offset: usize| {
        bytes.get(at + offset..at + offset + 2).map_or(0, |field| u16::from_be_bytes([field[0], field[1]]))
    };
    match headers.transport {
        Transport::Tcp(tcp) => TransportFields::Tcp {
            seq: tcp.seq,
            ack: tcp.ack,
            window: tcp.window,
            urgent: be16(18),
            flags: tcp.flags,
            reserved: (be16(12) >> 8) as u8 & 0x0f,
        },
        Transport::Udp { .. } => TransportFields::Udp { len_bytes: be16(4) },
        Transport::Icmp(icmp) => TransportFields::Icmp { id: icmp.id, seq: icmp.seq },
        Transport::None if matches!(headers.network, Network::Ip { protocol: Protocol::IGMP, .. }) => {
            igmp_fields(bytes.get(at..usize::from(headers.end)).unwrap_or_default())
        }
        Transport::Sctp { .. } | Transport::None => TransportFields::None,
    }
}

/// Type and version of an IGMP message (RFC 1112 I, RFC 2236 2.1, RFC 3376 7.1).
const fn igmp_fields(message: &[u8]) -> TransportFields {
    let [kind, response_time, ..] = message else { return TransportFields::None };
    let version = match *kind {
        0x11 if message.len() >= 12 => 3,
        0x11 if *response_time != 0 => 2,
        0x11 | 0x12 => 1,
        0x16 | 0x17 => 2,
        0x22 => 3,
        _ => 0,
    };
    TransportFields::Igmp { kind: *kind, version }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test says what went wrong by failing")]
mod tests {
    use super::*;
    use crate::engine::Hop;
    use crate::parse::craft::{eth, ipv4, ipv6, mend_ipv4, tcp, udp};
    use crate::parse::{LinkType, Protocol, TcpFlags, parse_frame};
    use crate::time::Now;

    fn described(mut frame: Vec<u8>) -> (Option<IpFields>, TransportFields) {
        let headers = parse_frame(&frame, LinkType::Ethernet).expect("the frame is well formed");
        let packet = Packet {
            bytes: &mut frame,
            in_port: 0,
            link: LinkType::Ethernet,
            hop: Hop::Wire,
            at: Now::default(),
            number: 0,
        };
        let record = describe(Reason::PolicyDrop, &packet, Some(&headers));
        (record.ip, record.transport)
    }

    #[test]
    fn packets_that_flows_lose_are_told_up_to_a_rate() {
        let mut notices = Notices::default();
        assert!(!notices.tells_drop(Tick(1)), "nobody asks for them");
        notices.set_drops_per_s(2);
        let told = |notices: &mut Notices, at_ms: u64| notices.tells_drop(Tick(at_ms * Tick::MS));
        let all = [2_000, 2_100, 2_200, 2_999, 3_000, 3_001, 3_002].map(|at_ms| told(&mut notices, at_ms));
        assert_eq!(all, [true, true, false, false, true, true, false]);
    }

    #[test]
    fn a_drop_event_carries_the_fields_of_ipv4_and_tcp() {
        let mut segment = tcp(TcpFlags::SYN | TcpFlags::URG, &[], b"data");
        segment[4..12].copy_from_slice(&[1, 2, 3, 4, 5, 6, 7, 8]);
        segment[12] |= 0x05;
        segment[14..16].copy_from_slice(&[0x20, 0x01]);
        segment[18..20].copy_from_slice(&[0, 9]);
        let mut packet = ipv4(Protocol::TCP, &segment);
        (packet[1], packet[8]) = (0x48, 61);
        packet[4..6].copy_from_slice(&[0xab, 0xcd]);
        mend_ipv4(&mut packet);
        let (ip, transport) = described(eth(0x0800, &packet));
        assert_eq!(ip, Some(IpFields { len_bytes: 44, tos: 0x48, ttl: 61, id_or_label: 0xabcd }));
        let wanted = TransportFields::Tcp {
            seq: 0x0102_0304,
            ack: 0x0506_0708,
            window: 0x2001,
            urgent: 9,
            flags: TcpFlags(TcpFlags::SYN | TcpFlags::URG),
            reserved: 5,
        };
        assert_eq!(transport, wanted);
    }

    #[test]
    fn a_drop_event_carries_the_fields_of_ipv6_udp_and_icmp() {
        let mut packet = ipv6(Protocol::UDP, &udp(1, 2, b"odd"));
        packet[..4].copy_from_slice(&[0x6a, 0xb1, 0x23, 0x45]);
        packet[7] = 7;
        let (ip, transport) = described(eth(0x86dd, &packet));
        assert_eq!(ip, Some(IpFields { len_bytes: 11, tos: 0xab, ttl: 7, id_or_label: 0x1_2345 }));
        assert_eq!(transport, TransportFields::Udp { len_bytes: 11 });
        let echo = ipv4(Protocol::ICMP, &[8, 0, 0, 0, 0, 7, 0, 9]);
        assert_eq!(described(eth(0x0800, &echo)).1, TransportFields::Icmp { id: 7, seq: 9 });
        for (message, version) in
            [([0x11, 0, 0, 0], 1), ([0x11, 9, 0, 0], 2), ([0x16, 0, 0, 0], 2), ([0xff, 0, 0, 0], 0)]
        {
            let frame = eth(0x0800, &ipv4(Protocol::IGMP, &message));
            assert_eq!(described(frame).1, TransportFields::Igmp { kind: message[0], version });
        }
    }
}
