//! Frames for tests, in every layout, and a check of every length and checksum in one.

use super::layers::{Layer, Layers};
use crate::parse::checksum::{ChecksumState, Sum, pseudo_header, transport_checksum};
use crate::parse::{Addr, Headers, Protocol, Transport, parse_ethernet};

pub(super) const CLIENT_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0xc1];
pub(super) const SERVER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x51];
/// Ethernet addresses of an inner frame.
const INNER_MACS: [[u8; 6]; 2] = [[2, 0, 0, 0, 1, 0xc1], [2, 0, 0, 0, 1, 0x51]];

pub(super) const CLIENT: Addr = Addr::v4([10, 1, 0, 9]);
pub(super) const SERVER: Addr = Addr::v4([192, 0, 2, 80]);
pub(super) const CLIENT6: Addr = Addr([0x20, 1, 0xd, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9]);
pub(super) const SERVER6: Addr = Addr([0x20, 1, 0xd, 0xb8, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80]);

const OUTER: (Addr, Addr) = (Addr::v4([172, 16, 0, 1]), Addr::v4([172, 16, 0, 2]));
const OUTER6: (Addr, Addr) = (Addr([0xfd; 16]), Addr([0xfc; 16]));

/// What stands around the innermost IP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    Plain,
    Vlan,
    Qinq,
    Snap,
    Mpls,
    Pppoe,
    PppoeCompressed,
    Vxlan,
    VxlanSummed,
    VxlanOverIpv6,
    Geneve,
    Gre,
    GreSummedKeyed,
    GreBridged,
    GreNumbered,
    IpInIp,
    IpInIpv6,
    VxlanInGre,
    Gtpu,
}

impl Layout {
    pub(super) const ALL: [Self; 19] = [
        Self::Plain,
        Self::Vlan,
        Self::Qinq,
        Self::Snap,
        Self::Mpls,
        Self::Pppoe,
        Self::PppoeCompressed,
        Self::Vxlan,
        Self::VxlanSummed,
        Self::VxlanOverIpv6,
        Self::Geneve,
        Self::Gre,
        Self::GreSummedKeyed,
        Self::GreBridged,
        Self::GreNumbered,
        Self::IpInIp,
        Self::IpInIpv6,
        Self::VxlanInGre,
        Self::Gtpu,
    ];

    /// Whether a refusal finds its way back through it.
    pub(super) fn has_way_back(self) -> bool {
        !matches!(self, Self::Gtpu | Self::GreNumbered)
    }

    /// The frame that carries `packet`; `reply` swaps every outer address.
    pub(super) fn frame(self, packet: &[u8], reply: bool) -> Vec<u8> {
        let (src, dst) = swapped(OUTER, reply);
        let (src6, dst6) = swapped(OUTER6, reply);
        let ip = if packet[0] >> 4 == 4 { 0x0800 } else { 0x86dd };
        let ppp = if packet[0] >> 4 == 4 { 0x21 } else { 0x57 };
        let inner = |payload: &[u8]| ethernet(swapped((INNER_MACS[0], INNER_MACS[1]), reply), ip, payload);
        let outer = |ethertype, payload: &[u8]| {
            ethernet(swapped((CLIENT_MAC, SERVER_MAC), reply), ethertype, payload)
        };
        let vxlan = |payload: &[u8]| [&[8, 0, 0, 0, 0, 0x30, 0x39, 0][..], payload].concat();
        let gre = |flags: u16, protocol: u16, payload: &[u8]| gre(flags, protocol, payload);
        match self {
            Self::Plain => outer(ip, packet),
            Self::Vlan => outer(0x8100, &[&[0, 42][..], &ip.to_be_bytes(), packet].concat()),
            Self::Qinq => outer(0x88a8, &[&[0, 7, 0x81, 0, 0, 42][..], &ip.to_be_bytes(), packet].concat()),
            Self::Snap => {
                let snap = [&[0xaa, 0xaa, 3, 0, 0, 0][..], &ip.to_be_bytes(), packet].concat();
                outer(snap.len() as u16, &snap)
            }
            Self::Mpls => outer(0x8847, &[&[0, 1, 0x40, 64, 0, 2, 0x41, 64][..], packet].concat()),
            Self::Pppoe => outer(0x8864, &pppoe(&[&[0, ppp][..], packet].concat())),
            Self::PppoeCompressed => outer(0x8864, &pppoe(&[&[ppp][..], packet].concat())),
            Self::Vxlan => outer(
                0x0800,
                &ip_packet(src, dst, 17, &udp(src, dst, 49152, 4789, &vxlan(&inner(packet)), false)),
            ),
            Self::VxlanSummed => outer(
                0x0800,
                &ip_packet(src, dst, 17, &udp(src, dst, 49152, 4789, &vxlan(&inner(packet)), true)),
            ),
            Self::VxlanOverIpv6 => {
                let udp = udp(src6, dst6, 49152, 4789, &vxlan(&inner(packet)), true);
                outer(0x86dd, &ip_packet(src6, dst6, 17, &udp))
            }
            Self::Geneve => {
                let geneve = [&[1, 0, 0x65, 0x58, 0, 0, 9, 0, 1, 2, 3, 0][..], &inner(packet)].concat();
                outer(0x0800, &ip_packet(src, dst, 17, &udp(src, dst, 50000, 6081, &geneve, true)))
            }
            Self::Gre => outer(0x0800, &ip_packet(src, dst, 47, &gre(0, ip, packet))),
            Self::GreSummedKeyed => outer(0x0800, &ip_packet(src, dst, 47, &gre(0xa000, ip, packet))),
            Self::GreBridged => outer(0x0800, &ip_packet(src, dst, 47, &gre(0x2000, 0x6558, &inner(packet)))),
            Self::GreNumbered => outer(0x0800, &ip_packet(src, dst, 47, &gre(0x9000, ip, packet))),
            Self::IpInIp => outer(0x0800, &ip_packet(src, dst, if ip == 0x0800 { 4 } else { 41 }, packet)),
            Self::IpInIpv6 => {
                outer(0x86dd, &ip_packet(src6, dst6, if ip == 0x0800 { 4 } else { 41 }, packet))
            }
            Self::VxlanInGre => {
                let udp = udp(src, dst, 49152, 4789, &vxlan(&inner(packet)), true);
                outer(
                    0x86dd,
                    &ip_packet(src6, dst6, 47, &gre(0x8000, 0x0800, &ip_packet(src, dst, 17, &udp))),
                )
            }
            Self::Gtpu => {
                let length = (packet.len() as u16).to_be_bytes();
                let gtpu = [&[0x30, 255][..], &length, &[0, 0, 0, 5], packet].concat();
                outer(0x0800, &ip_packet(src, dst, 17, &udp(src, dst, 2152, 2152, &gtpu, true)))
            }
        }
    }
}

pub(super) fn swapped<T>((a, b): (T, T), swap: bool) -> (T, T) {
    if swap { (b, a) } else { (a, b) }
}

pub(super) fn ethernet((src, dst): ([u8; 6], [u8; 6]), ethertype: u16, payload: &[u8]) -> Vec<u8> {
    [&dst[..], &src, &ethertype.to_be_bytes(), payload].concat()
}

fn pppoe(ppp: &[u8]) -> Vec<u8> {
    [&[0x11, 0, 0, 9][..], &(ppp.len() as u16).to_be_bytes(), ppp].concat()
}

fn gre(flags: u16, protocol: u16, payload: &[u8]) -> Vec<u8> {
    let mut gre = [flags.to_be_bytes(), protocol.to_be_bytes()].concat();
    for (bit, field) in [(0x8000, [0; 4]), (0x2000, [0, 0, 0, 77]), (0x1000, [0, 0, 0, 5])] {
        if flags & bit != 0 {
            gre.extend(field);
        }
    }
    gre.extend(payload);
    if flags & 0x8000 != 0 {
        let checksum = Sum::default().add_bytes(&gre).checksum();
        gre[4..6].copy_from_slice(&checksum.to_be_bytes());
    }
    gre
}

/// An IP packet of the addresses' version.
pub(super) fn ip_packet(src: Addr, dst: Addr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    if let (Some(src), Some(dst)) = (src.as_v4(), dst.as_v4()) {
        packet.extend([0x45, 0x10]);
        packet.extend((20 + payload.len() as u16).to_be_bytes());
        packet.extend([0x12, 0x34, 0, 0, 61, protocol, 0, 0]);
        packet.extend(src);
        packet.extend(dst);
        let checksum = Sum::default().add_bytes(&packet).checksum();
        packet[10..12].copy_from_slice(&checksum.to_be_bytes());
    } else {
        packet.extend([0x60, 0, 0, 0]);
        packet.extend((payload.len() as u16).to_be_bytes());
        packet.extend([protocol, 61]);
        packet.extend(src.0);
        packet.extend(dst.0);
    }
    packet.extend(payload);
    packet
}

pub(super) fn udp(src: Addr, dst: Addr, src_port: u16, dst_port: u16, data: &[u8], summed: bool) -> Vec<u8> {
    let length = 8 + data.len() as u16;
    let mut udp = [src_port, dst_port, length, 0].map(u16::to_be_bytes).concat();
    udp.extend(data);
    if summed {
        let checksum = pseudo_header(src, dst, Protocol::UDP, u32::from(length)).add_bytes(&udp).checksum();
        udp[6..8].copy_from_slice(&(if checksum == 0 { 0xffff } else { checksum }).to_be_bytes());
    }
    udp
}

/// A segment without options.
#[derive(Debug, Clone, Copy)]
pub(super) struct Segment<'a> {
    pub(super) ports: (u16, u16),
    pub(super) seq: u32,
    pub(super) ack: u32,
    pub(super) flags: u8,
    pub(super) data: &'a [u8],
}

pub(super) fn tcp(src: Addr, dst: Addr, segment: Segment<'_>) -> Vec<u8> {
    let mut tcp = [segment.ports.0, segment.ports.1].map(u16::to_be_bytes).concat();
    tcp.extend(segment.seq.to_be_bytes());
    tcp.extend(segment.ack.to_be_bytes());
    tcp.extend([0x50, segment.flags, 0xff, 0, 0, 0, 0, 0]);
    tcp.extend(segment.data);
    let checksum = pseudo_header(src, dst, Protocol::TCP, tcp.len() as u32).add_bytes(&tcp).checksum();
    tcp[16..18].copy_from_slice(&checksum.to_be_bytes());
    tcp
}

/// ICMP of the version of the addresses; `rest` follows the checksum.
pub(super) fn icmp(src: Addr, dst: Addr, kind: u8, code: u8, rest: &[u8]) -> Vec<u8> {
    let mut icmp = [&[kind, code, 0, 0][..], rest].concat();
    let pseudo = if src.is_v4() {
        Sum::default()
    } else {
        pseudo_header(src, dst, Protocol::ICMPV6, icmp.len() as u32)
    };
    let checksum = pseudo.add_bytes(&icmp).checksum();
    icmp[2..4].copy_from_slice(&checksum.to_be_bytes());
    icmp
}

/// Parses the frame and checks every length and checksum in it, tunnels' included. What is behind the
/// innermost packet must be padding up to 60 bytes.
pub(super) fn sound(frame: &[u8]) -> Headers {
    let headers = parse_ethernet(frame).unwrap();
    let end = usize::from(headers.end);
    if frame.len() != end {
        assert_eq!(frame.len(), 60, "padding");
        assert!(frame[end..].iter().all(|byte| *byte == 0));
    }
    let state = transport_checksum(frame, &headers);
    let may_be_absent = headers.fragment.is_some() || matches!(headers.transport, Transport::Udp { .. });
    assert!(state == ChecksumState::Good || (state == ChecksumState::Absent && may_be_absent), "{state:?}");
    let be16 = |at: usize| usize::from(u16::from_be_bytes([frame[at], frame[at + 1]]));
    let mut addrs = Sum::default();
    for layer in Layers::around(frame, &headers).unwrap().iter() {
        match layer {
            Layer::Ethernet(_) => {}
            Layer::Length(at) => assert_eq!(be16(at), end - at - 2),
            Layer::Pppoe(at) => assert_eq!(be16(at + 4), end - at - 6),
            Layer::Ipv4(at) => {
                assert_eq!(be16(at + 2), end - at);
                assert_eq!(Sum::default().add_bytes(&frame[at..at + 20]).folded(), 0xffff);
                addrs = Sum::default().add_bytes(&frame[at + 12..at + 20]);
            }
            Layer::Ipv6(at) => {
                assert_eq!(be16(at + 4), end - at - 40);
                addrs = Sum::default().add_bytes(&frame[at + 8..at + 40]);
            }
            Layer::Udp(at) | Layer::UdpTeredo(at) => {
                assert_eq!(be16(at + 4), end - at);
                let whole = addrs.add_u32(17).add_u32((end - at) as u32).add_bytes(&frame[at..end]);
                assert!(be16(at + 6) == 0 || whole.folded() == 0xffff, "UDP of a tunnel");
            }
            Layer::Gre { at, has_checksum, .. } => {
                assert!(!has_checksum || Sum::default().add_bytes(&frame[at..end]).folded() == 0xffff, "GRE");
            }
            Layer::Gtpu(at) => assert_eq!(be16(at + 2), end - at - 8),
            Layer::Pptp(_) => {}
        }
    }
    headers
}
