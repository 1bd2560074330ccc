//! What later rooms see of a frame: offsets into its bytes and the fields that decisions need.
//!
//! Offsets count from the first byte of the buffer that was parsed (a frame, or a reassembled datagram).

use super::{Addr, Mac};

/// The frame, understood. `Copy`, no borrow: the bytes stay where they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Headers {
    /// Outermost Ethernet source (zero where the link type has none).
    pub src_mac: Mac,
    /// Outermost Ethernet destination.
    pub dst_mac: Mac,
    /// VLAN identifier of the frame's first tag, 0 where untagged (or priority-tagged).
    pub vlan_outer: u16,
    /// VLAN identifier of the second tag (QinQ, or inside a tunnel), 0 where there is none.
    pub vlan_inner: u16,
    /// EtherType of what the innermost Ethernet, VLAN, MPLS or PPPoE header carries; 0 for LLC without SNAP.
    pub ethertype: u16,
    /// The outermost tunnel, [`Tunnel::None`] for a plain packet.
    pub tunnel: Tunnel,
    /// How many tunnels were entered.
    pub tunnel_depth: u8,
    /// VXLAN or Geneve VNI or GRE key (RFC 2890) of the innermost tunnel that has one, else 0. GTP-U's TEID and
    /// PPTP's call ID name a receiver: they differ between the directions of one flow and are left out.
    pub vni: u32,
    /// Where the outermost network header starts; equals `l3_offset` where nothing is tunnelled.
    pub outer_l3_offset: u16,
    /// Where the innermost network header starts.
    pub l3_offset: u16,
    /// Where the innermost transport header starts (the fragment's data for a later fragment).
    pub l4_offset: u16,
    /// Where the payload of the transport starts.
    pub payload_offset: u16,
    /// One past the last byte of the innermost packet: link-layer padding, and what exceeds UDP's own length,
    /// are beyond it.
    pub end: u16,
    /// The innermost network layer.
    pub network: Network,
    /// Set on a fragment of the innermost network layer; its transport is then [`Transport::None`].
    pub fragment: Option<Fragment>,
    /// The innermost transport.
    pub transport: Transport,
}

/// The outermost encapsulation found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "the names are the protocols'")]
pub enum Tunnel {
    #[default]
    None,
    Gre,
    Vxlan,
    Geneve,
    Gtpu,
    /// IPv4 or IPv6 in IPv4 or IPv6 (RFC 2003, RFC 2473, RFC 4213).
    IpInIp,
    Teredo,
}

/// The network layer of the innermost packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// IPv4 or IPv6.
    Ip {
        /// Sender.
        src: Addr,
        /// Receiver.
        dst: Addr,
        /// IANA protocol number of the transport, after every extension header.
        protocol: u8,
        /// TTL or hop limit.
        ttl: u8,
        /// TOS or traffic class byte.
        tos: u8,
    },
    /// ARP; never bridged to `host` but for a service address.
    Arp {
        /// 1 request, 2 reply.
        operation: u16,
        /// Sender protocol address.
        sender: Addr,
        /// Target protocol address.
        target: Addr,
    },
    /// Anything else of layer 2 (STP, LLDP, unknown EtherTypes): passed on untracked.
    Other,
}

/// What a fragment says about its datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fragment {
    /// Identification (16 bits in IPv4, 32 in IPv6).
    pub id: u32,
    /// Offset of this fragment's data in the datagram, bytes.
    pub offset: u16,
    /// Whether more fragments follow.
    pub more: bool,
    /// IPv4: where the header's protocol is. IPv6: next header of the fragment header.
    pub protocol: u8,
}

/// Transport of the innermost packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// Not IP, a fragment, or an IP protocol without ports.
    None,
    /// RFC 9293.
    Tcp(Tcp),
    /// RFC 768.
    Udp {
        /// Source port.
        src_port: u16,
        /// Destination port.
        dst_port: u16,
    },
    /// RFC 792 or RFC 4443, by the network's version.
    Icmp(Icmp),
    /// RFC 9260.
    Sctp {
        /// Source port.
        src_port: u16,
        /// Destination port.
        dst_port: u16,
        /// Type of the first chunk, 255 where there is none.
        chunk: u8,
    },
}

/// The TCP header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields of RFC 9293 3.1")]
pub struct Tcp {
    pub src_port: u16,
    pub dst_port: u16,
    pub seq: u32,
    pub ack: u32,
    pub flags: TcpFlags,
    pub window: u16,
    pub options: TcpOptions,
}

/// The options that window tracking and fingerprints need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TcpOptions {
    /// Maximum segment size (RFC 9293 3.7.1), 0 where absent.
    pub mss: u16,
    /// Window scale shift (RFC 7323), `None` where absent.
    pub window_scale: Option<u8>,
    /// SACK permitted (RFC 2018).
    pub sack_permitted: bool,
    /// TSval and TSecr (RFC 7323).
    pub timestamps: Option<(u32, u32)>,
    /// TCP Fast Open option present (RFC 7413).
    pub fast_open: bool,
}

/// The eight flag bits of a TCP header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct TcpFlags(pub u8);

#[expect(missing_docs, reason = "the flags of RFC 9293 3.1")]
impl TcpFlags {
    pub const FIN: u8 = 0x01;
    pub const SYN: u8 = 0x02;
    pub const RST: u8 = 0x04;
    pub const PSH: u8 = 0x08;
    pub const ACK: u8 = 0x10;
    pub const URG: u8 = 0x20;
    pub const ECE: u8 = 0x40;
    pub const CWR: u8 = 0x80;

    #[must_use]
    pub const fn has(self, bits: u8) -> bool {
        self.0 & bits != 0
    }
    #[must_use]
    pub const fn fin(self) -> bool {
        self.has(Self::FIN)
    }
    #[must_use]
    pub const fn syn(self) -> bool {
        self.has(Self::SYN)
    }
    #[must_use]
    pub const fn urg(self) -> bool {
        self.has(Self::URG)
    }
    #[must_use]
    pub const fn rst(self) -> bool {
        self.has(Self::RST)
    }
    #[must_use]
    pub const fn ack(self) -> bool {
        self.has(Self::ACK)
    }
}

/// The first eight bytes of ICMP or ICMPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Icmp {
    /// Type.
    pub kind: u8,
    /// Code.
    pub code: u8,
    /// Identifier, for echo and the other queries; 0 elsewhere.
    pub id: u16,
    /// Sequence number, for echo; 0 elsewhere.
    pub seq: u16,
    /// Whether it is an error that quotes a packet (RFC 1122 3.2.2, RFC 4443 2.1).
    pub is_error: bool,
}

/// IP protocol numbers that the code names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Protocol;

#[expect(missing_docs, reason = "the names are IANA's")]
impl Protocol {
    pub const HOP_BY_HOP: u8 = 0;
    pub const ICMP: u8 = 1;
    pub const IPV4: u8 = 4;
    pub const IGMP: u8 = 2;
    pub const TCP: u8 = 6;
    pub const UDP: u8 = 17;
    pub const IPV6: u8 = 41;
    pub const ROUTING: u8 = 43;
    pub const FRAGMENT: u8 = 44;
    pub const GRE: u8 = 47;
    pub const ESP: u8 = 50;
    pub const AH: u8 = 51;
    pub const ICMPV6: u8 = 58;
    pub const NO_NEXT: u8 = 59;
    pub const DESTINATION_OPTIONS: u8 = 60;
    pub const SCTP: u8 = 132;
    pub const MOBILITY: u8 = 135;
    pub const HIP: u8 = 139;
    pub const SHIM6: u8 = 140;
}

impl Headers {
    /// Headers of no packet: what a table of them begins with.
    pub const NONE: Self = Self {
        src_mac: Mac([0; 6]),
        dst_mac: Mac([0; 6]),
        vlan_outer: 0,
        vlan_inner: 0,
        ethertype: 0,
        tunnel: Tunnel::None,
        tunnel_depth: 0,
        vni: 0,
        outer_l3_offset: 0,
        l3_offset: 0,
        l4_offset: 0,
        payload_offset: 0,
        end: 0,
        network: Network::Other,
        fragment: None,
        transport: Transport::None,
    };

    /// Source and destination address, where the network is IP.
    #[must_use]
    pub const fn addrs(&self) -> Option<(Addr, Addr)> {
        match self.network {
            Network::Ip { src, dst, .. } => Some((src, dst)),
            Network::Arp { .. } | Network::Other => None,
        }
    }

    /// Source and destination port; for ICMP queries the identifier on both sides, else zero.
    #[must_use]
    pub const fn ports(&self) -> (u16, u16) {
        match self.transport {
            Transport::Tcp(tcp) => (tcp.src_port, tcp.dst_port),
            Transport::Udp { src_port, dst_port } | Transport::Sctp { src_port, dst_port, .. } => {
                (src_port, dst_port)
            }
            Transport::Icmp(icmp) => (icmp.id, icmp.id),
            Transport::None => (0, 0),
        }
    }

    /// The transport's payload, without link-layer padding.
    #[must_use]
    pub fn payload<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        bytes.get(usize::from(self.payload_offset)..usize::from(self.end)).unwrap_or_default()
    }
}
