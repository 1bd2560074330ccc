//! Numbers of a packet's headers, by the names that rules have for them.

use super::View;
use crate::parse::{Headers, Network, Protocol, Transport};

/// A number of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the fields")]
pub enum PacketNumber {
    Ttl,
    Id,
    Tos,
    FragmentOffset,
    IpProtocol,
    IpVersion,
    Sequence,
    Acknowledgement,
    Window,
    SegmentSize,
    WindowScale,
    IcmpType,
    IcmpCode,
    IcmpId,
    IcmpSequence,
    Icmpv6Mtu,
    IgmpType,
    VlanId,
    VlanLayers,
    SctpTag,
    SctpChunkType,
    SctpChunkCount,
}

/// Chunks of an SCTP packet that are counted.
const CHUNKS_MAX: u64 = 1_000;

impl PacketNumber {
    /// The number of a keyword's name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "ttl" => Self::Ttl,
            "id" => Self::Id,
            "tos" => Self::Tos,
            "fragoffset" => Self::FragmentOffset,
            "ip_proto" => Self::IpProtocol,
            "l3_proto" => Self::IpVersion,
            "seq" => Self::Sequence,
            "ack" => Self::Acknowledgement,
            "window" => Self::Window,
            "tcp.mss" => Self::SegmentSize,
            "tcp.wscale" => Self::WindowScale,
            "itype" => Self::IcmpType,
            "icode" => Self::IcmpCode,
            "icmp_id" => Self::IcmpId,
            "icmp_seq" => Self::IcmpSequence,
            "icmpv6.mtu" => Self::Icmpv6Mtu,
            "igmp.type" => Self::IgmpType,
            "vlan.id" => Self::VlanId,
            "vlan.layers" => Self::VlanLayers,
            "sctp.vtag" => Self::SctpTag,
            "sctp.chunk_type" => Self::SctpChunkType,
            "sctp.chunk_cnt" => Self::SctpChunkCount,
            _ => return None,
        })
    }

    /// What it is in this packet; `None`: the packet has none.
    #[must_use]
    pub fn of(self, view: &View<'_>) -> Option<u64> {
        let Headers { network, transport, vlan_outer, vlan_inner, .. } = *view.headers;
        let Network::Ip { src, protocol, ttl, tos, .. } = network else {
            return match self {
                Self::VlanId => (vlan_outer > 0).then_some(vlan_outer.into()),
                Self::VlanLayers => Some(layers(vlan_outer, vlan_inner)),
                _ => None,
            };
        };
        let is_v4 = src.is_v4();
        let l4 = usize::from(view.headers.l4_offset);
        let icmp = || match transport {
            Transport::Icmp(icmp) => Some(icmp),
            _ => None,
        };
        let tcp = || match transport {
            Transport::Tcp(tcp) => Some(tcp),
            _ => None,
        };
        let sctp = || matches!(transport, Transport::Sctp { .. });
        match self {
            Self::Ttl => Some(ttl.into()),
            Self::Tos => Some(tos.into()),
            Self::IpProtocol => Some(protocol.into()),
            Self::IpVersion => Some(if is_v4 { 4 } else { 6 }),
            Self::Id if is_v4 => word(view, usize::from(view.headers.l3_offset) + 4).map(u64::from),
            // In units of eight bytes, as in the header.
            Self::FragmentOffset => {
                Some(view.headers.fragment.map_or(0, |fragment| u64::from(fragment.offset) / 8))
            }
            Self::Sequence => tcp().map(|tcp| tcp.seq.into()),
            Self::Acknowledgement => tcp().map(|tcp| tcp.ack.into()),
            Self::Window => tcp().map(|tcp| tcp.window.into()),
            Self::SegmentSize => tcp().filter(|tcp| tcp.options.mss > 0).map(|tcp| tcp.options.mss.into()),
            Self::WindowScale => tcp().and_then(|tcp| tcp.options.window_scale).map(u64::from),
            Self::IcmpType => icmp().map(|icmp| icmp.kind.into()),
            Self::IcmpCode => icmp().map(|icmp| icmp.code.into()),
            Self::IcmpId => icmp().filter(|icmp| !icmp.is_error).map(|icmp| icmp.id.into()),
            Self::IcmpSequence => icmp().filter(|icmp| !icmp.is_error).map(|icmp| icmp.seq.into()),
            // "Packet Too Big", RFC 4443 3.2.
            Self::Icmpv6Mtu => {
                let is_too_big = protocol == Protocol::ICMPV6 && icmp().is_some_and(|icmp| icmp.kind == 2);
                if is_too_big { double_word(view, l4 + 4) } else { None }
            }
            Self::IgmpType if protocol == Protocol::IGMP => view.bytes.get(l4).map(|byte| u64::from(*byte)),
            Self::VlanId => (vlan_outer > 0).then_some(vlan_outer.into()),
            Self::VlanLayers => Some(layers(vlan_outer, vlan_inner)),
            Self::SctpTag if sctp() => double_word(view, l4 + 4),
            Self::SctpChunkType => match transport {
                Transport::Sctp { chunk, .. } => Some(chunk.into()),
                _ => None,
            },
            Self::SctpChunkCount if sctp() => Some(chunks(view)),
            Self::Id | Self::IgmpType | Self::SctpTag | Self::SctpChunkCount => None,
        }
    }
}

const fn layers(outer: u16, inner: u16) -> u64 {
    (outer > 0) as u64 + (inner > 0) as u64
}

fn word(view: &View<'_>, at: usize) -> Option<u16> {
    view.bytes.get(at..)?.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))
}

fn double_word(view: &View<'_>, at: usize) -> Option<u64> {
    view.bytes.get(at..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes).into())
}

/// Chunks, one behind the other, each padded to four bytes (RFC 9260 3.2).
fn chunks(view: &View<'_>) -> u64 {
    let end = usize::from(view.headers.end);
    let mut at = usize::from(view.headers.l4_offset) + 12;
    let mut count = 0;
    while at + 4 <= end && count < CHUNKS_MAX {
        let Some(len) = word(view, at + 2).map(usize::from).filter(|len| *len >= 4) else { break };
        count += 1;
        at += len.next_multiple_of(4);
    }
    count
}
