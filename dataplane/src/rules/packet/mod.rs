//! Does a rule ask about this packet at all, and does what it says of headers hold?

pub mod decode;
pub mod stream;
mod number;
mod option;
#[cfg(test)]
pub(super) mod tests;

use crate::flow::Direction;
use crate::parse::checksum::{ChecksumState, Sum, transport_checksum};
use crate::parse::{Addr, Headers, Network, Protocol, TcpFlags, Transport};

use super::language::fields::{CHECKSUMS, PACKET_FIELDS};
use super::matcher::Unmatchable;
use super::rule::{
    BitTest, Condition, Endpoints, FlagTest, FlowTest, Header, HeaderProtocol, HowBits, IpOption, NumberTest,
    PacketProtocol,
};
pub use number::PacketNumber;

/// A packet, and what its flow is known to be.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// What was parsed.
    pub headers: &'a Headers,
    /// What it was parsed from.
    pub bytes: &'a [u8],
    /// Which way it goes; `None`: it is of no flow.
    pub way: Option<Direction>,
    /// Whether both ends of its flow have spoken.
    pub is_established: bool,
    /// Whether it was put together of fragments.
    pub is_reassembled: bool,
}

impl<'a> View<'a> {
    /// The payload.
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        let payload = self.headers.payload(self.bytes);
        match self.headers.network {
            // RFC 9776 4: what follows the eight bytes that all versions have.
            Network::Ip { protocol: Protocol::IGMP, .. } => {
                payload.get(IGMP_HEADER_BYTES..).unwrap_or_default()
            }
            _ => payload,
        }
    }
}

/// The part before the parenthesis, and what `flow` says: whether the packet is one that the rule asks about.
#[must_use]
pub fn concerns(header: &Header, flow: &FlowTest, view: &View<'_>) -> bool {
    let is_kind = match header.protocol {
        HeaderProtocol::Packet(kind) => is_of(kind, view.headers),
        // Which application a flow is of is not the packet's to say.
        HeaderProtocol::Application(_) => view.way.is_some(),
    };
    is_kind && is_in(flow, view) && is_between(header, view.headers)
}

fn is_of(kind: PacketProtocol, headers: &Headers) -> bool {
    let (is_v4, protocol) = match headers.network {
        Network::Ip { src, protocol, .. } => (src.is_v4(), protocol),
        Network::Arp { .. } => return matches!(kind, PacketProtocol::Arp | PacketProtocol::PacketHeader),
        Network::Other => return matches!(kind, PacketProtocol::Ethernet | PacketProtocol::PacketHeader),
    };
    // Of a fragment the transport is not known, and it is none of these.
    let is = |number: u8| protocol == number && headers.fragment.is_none();
    match kind {
        PacketProtocol::Ip | PacketProtocol::PacketHeader => true,
        PacketProtocol::Ipv4 => is_v4,
        PacketProtocol::Ipv6 => !is_v4,
        PacketProtocol::Tcp | PacketProtocol::TcpPacket | PacketProtocol::TcpStream => is(Protocol::TCP),
        PacketProtocol::Udp => is(Protocol::UDP),
        PacketProtocol::Icmp => is(Protocol::ICMP) || is(Protocol::ICMPV6),
        PacketProtocol::Icmpv4 => is(Protocol::ICMP),
        PacketProtocol::Icmpv6 => is(Protocol::ICMPV6),
        PacketProtocol::Sctp => is(Protocol::SCTP),
        PacketProtocol::Igmp => is(Protocol::IGMP),
        PacketProtocol::Arp | PacketProtocol::Ethernet => false,
    }
}

/// Bytes of an IGMP header.
const IGMP_HEADER_BYTES: usize = 8;

fn is_in(flow: &FlowTest, view: &View<'_>) -> bool {
    let is_way = flow.way.is_none_or(|way| view.way == Some(way));
    let is_state = flow.established.is_none_or(|wanted| view.way.is_some() && view.is_established == wanted);
    let is_pieced = flow.fragments.is_none_or(|wanted| view.is_reassembled == wanted);
    // A packet is not the stream.
    is_way && is_state && is_pieced && flow.stream != Some(true)
}

/// The part before the parenthesis, of a flow: whether what goes from one end to the other is what the rule asks about.
#[must_use]
pub fn concerns_ends(header: &Header, protocol: u8, (from, to): ((Addr, u16), (Addr, u16))) -> bool {
    let is_kind = match header.protocol {
        HeaderProtocol::Application(_) => true,
        HeaderProtocol::Packet(kind) => match kind {
            PacketProtocol::Ip | PacketProtocol::PacketHeader => true,
            PacketProtocol::Ipv4 => from.0.is_v4(),
            PacketProtocol::Ipv6 => !from.0.is_v4(),
            PacketProtocol::Tcp | PacketProtocol::TcpStream => protocol == Protocol::TCP,
            PacketProtocol::Udp => protocol == Protocol::UDP,
            PacketProtocol::Sctp => protocol == Protocol::SCTP,
            _ => false,
        },
    };
    is_kind && (goes(header, from, to) || header.is_both_ways && goes(header, to, from))
}

fn goes(header: &Header, from: (Addr, u16), to: (Addr, u16)) -> bool {
    header.source.ports.contains(from.1)
        && header.destination.ports.contains(to.1)
        && has_addresses(header, from.0, to.0)
}

fn is_between(header: &Header, headers: &Headers) -> bool {
    let Some((src, dst)) = headers.addrs() else {
        // What has no address is asked about by rules that name none.
        return header.source.is_any_address() && header.destination.is_any_address();
    };
    let (src_port, dst_port) = match headers.transport {
        Transport::Tcp(_) | Transport::Udp { .. } | Transport::Sctp { .. } => headers.ports(),
        // A rule about ports is about none of these.
        Transport::Icmp(_) | Transport::None => {
            let is_any = header.source.ports.is_all() && header.destination.ports.is_all();
            return is_any
                && (has_addresses(header, src, dst)
                    || header.is_both_ways && has_addresses(header, dst, src));
        }
    };
    let (from, to) = ((src, src_port), (dst, dst_port));
    goes(header, from, to) || header.is_both_ways && goes(header, to, from)
}

fn has_addresses(header: &Header, src: Addr, dst: Addr) -> bool {
    has(&header.source, src) && has(&header.destination, dst)
}

fn has(ends: &Endpoints, addr: Addr) -> bool {
    match addr.as_v4() {
        Some(octets) => ends.v4.contains(u32::from_be_bytes(octets)),
        None => ends.v6.contains(addr.bits()),
    }
}

/// A condition of a packet's headers, ready to be tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// A number.
    Number(PacketNumber, NumberTest),
    /// Bytes of payload.
    DataSize(NumberTest),
    /// TCP's flags.
    Flags(FlagTest),
    /// IPv4's bits about fragments.
    FragmentBits(BitTest),
    /// An option of IPv4.
    Option(IpOption),
    /// Source and destination are the same address.
    SameIp,
    /// A checksum is right, or not.
    Checksum(Summed, bool),
    /// A call of ONC RPC: program, version, procedure.
    Rpc(u32, Option<u32>, Option<u32>),
}

/// What a checksum is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Summed {
    Ipv4,
    Transport { protocol: u8, is_v4: Option<bool> },
    Igmp,
}

impl Check {
    /// The condition; `None`: it is not about a packet's headers.
    ///
    /// # Errors
    ///
    /// [`Unmatchable::Unsupported`]: a number that nobody reads.
    pub fn new(condition: &Condition) -> Result<Option<Self>, Unmatchable> {
        Ok(Some(match condition {
            Condition::Packet(place, test) => {
                let name = PACKET_FIELDS[usize::from(*place)].name;
                let number = PacketNumber::named(name).ok_or(Unmatchable::Unsupported(name))?;
                Self::Number(number, *test)
            }
            Condition::DataSize(test) => Self::DataSize(*test),
            Condition::Flags(test) => Self::Flags(*test),
            Condition::FragmentBits(test) => Self::FragmentBits(*test),
            Condition::IpOption(option) => Self::Option(*option),
            Condition::SameIp => Self::SameIp,
            Condition::Rpc(program, version, procedure) => Self::Rpc(*program, *version, *procedure),
            Condition::Checksum(place, is_valid) => {
                let name = CHECKSUMS[usize::from(*place)];
                Self::Checksum(summed(name).ok_or(Unmatchable::Unsupported(name))?, *is_valid)
            }
            _ => return Ok(None),
        }))
    }

    /// Whether it holds.
    #[must_use]
    pub fn holds(&self, view: &View<'_>) -> bool {
        let headers = view.headers;
        match self {
            Self::Number(number, test) => number.of(view).is_some_and(|number| test.holds(number)),
            Self::DataSize(test) => test.holds(view.payload().len() as u64),
            Self::Flags(test) => match headers.transport {
                Transport::Tcp(tcp) => has_flags(*test, tcp.flags),
                _ => false,
            },
            Self::FragmentBits(test) => option::fragment_bits(view).is_some_and(|bits| has_bits(*test, bits)),
            Self::Option(wanted) => option::has(view, *wanted),
            Self::SameIp => headers.addrs().is_some_and(|(src, dst)| src == dst),
            Self::Checksum(of, is_valid) => checksum(view, *of) == Some(*is_valid),
            Self::Rpc(program, version, procedure) => {
                let is = |wanted: &Option<u32>, number| wanted.is_none_or(|wanted| wanted == number);
                call(view)
                    .is_some_and(|[own, of, what]| own == *program && is(version, of) && is(procedure, what))
            }
        }
    }
}

/// Program, version and procedure of the call that a packet begins with (RFC 5531 9); over TCP behind its length.
fn call(view: &View<'_>) -> Option<[u32; 3]> {
    let payload = match view.headers.transport {
        Transport::Tcp(_) => view.payload().get(4..)?,
        Transport::Udp { .. } => view.payload(),
        _ => return None,
    };
    let words = payload.first_chunk::<24>()?;
    let word = |at: usize| u32::from_be_bytes([words[at], words[at + 1], words[at + 2], words[at + 3]]);
    // A call, of version 2.
    (word(4) == 0 && word(8) == 2).then(|| [word(12), word(16), word(20)])
}

/// What a keyword's checksum is of.
fn summed(name: &str) -> Option<Summed> {
    let transport = |protocol, is_v4| Some(Summed::Transport { protocol, is_v4 });
    match name {
        "ipv4-csum" => Some(Summed::Ipv4),
        "tcpv4-csum" => transport(Protocol::TCP, Some(true)),
        "tcpv6-csum" => transport(Protocol::TCP, Some(false)),
        "udpv4-csum" => transport(Protocol::UDP, Some(true)),
        "udpv6-csum" => transport(Protocol::UDP, Some(false)),
        "icmpv4-csum" => transport(Protocol::ICMP, None),
        "icmpv6-csum" => transport(Protocol::ICMPV6, None),
        "igmp-csum" => Some(Summed::Igmp),
        _ => None,
    }
}

/// Whether a checksum is right; `None`: the packet has none of this kind.
fn checksum(view: &View<'_>, of: Summed) -> Option<bool> {
    let headers = view.headers;
    let Network::Ip { src, protocol, .. } = headers.network else { return None };
    if headers.fragment.is_some() {
        return None;
    }
    let sum = |from: usize, to: usize| {
        let bytes = view.bytes.get(from..to)?;
        Some(Sum::default().add_bytes(bytes).folded() == 0xffff)
    };
    let (l3, l4, end) =
        (usize::from(headers.l3_offset), usize::from(headers.l4_offset), usize::from(headers.end));
    match of {
        Summed::Ipv4 if src.is_v4() => sum(l3, l4),
        Summed::Igmp if protocol == Protocol::IGMP => sum(l4, end),
        Summed::Transport { protocol: wanted, is_v4 } => {
            if protocol != wanted || is_v4.is_some_and(|is_v4| is_v4 != src.is_v4()) {
                return None;
            }
            match transport_checksum(view.bytes, headers) {
                ChecksumState::Good | ChecksumState::Absent => Some(true),
                ChecksumState::Bad | ChecksumState::Partial => Some(false),
            }
        }
        Summed::Ipv4 | Summed::Igmp => None,
    }
}

fn has_flags(test: FlagTest, flags: TcpFlags) -> bool {
    how(test.how, test.flags, flags.0 & !test.ignored)
}

fn has_bits(test: BitTest, bits: u8) -> bool {
    how(test.how, test.bits, bits)
}

const fn how(how: HowBits, wanted: u8, bits: u8) -> bool {
    match how {
        HowBits::Exactly => bits == wanted,
        HowBits::All => bits & wanted == wanted,
        HowBits::Any => bits & wanted != 0,
        HowBits::Not => bits & wanted != wanted,
    }
}
