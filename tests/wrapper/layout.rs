//! How does each encapsulation look on the wire? Written from the standards, not with the appliance's code.
//!
//! [`Layout::wrap`] makes frames of an IP packet. [`Layout::unwrap`] takes a packet out again and holds every
//! byte around it against what `wrap` would have written: what the appliance forwards, and what it makes
//! itself on the way back, must carry the same headers, lengths and checksums.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::Case;
use crate::lab::Host;

const UDP: u8 = 17;
const TTL: u8 = 64;
/// Ethernet's shortest frame, without its check sequence.
const FRAME_BYTES_MIN: usize = 60;

/// What stands around an IP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// IEEE 802.1Q.
    Vlan { id: u16 },
    /// IEEE 802.1ad outside, 802.1Q inside.
    Qinq { outer: u16, inner: u16 },
    /// RFC 3032, the bottom of the stack last.
    Mpls { labels: &'static [u32] },
    /// RFC 2516, with PPP's two-byte protocol field.
    Pppoe { session: u16 },
    /// RFC 2784 and RFC 2890 over IPv4; Ethernet inside where `bridged`.
    Gre { key: Option<u32>, has_checksum: bool, bridged: bool },
    /// GRE over IPv6 (RFC 7676).
    GreOverIpv6,
    /// RFC 8926 with one option; Ethernet inside where `bridged`, else IP.
    Geneve { vni: u32, bridged: bool },
    /// RFC 7348 over IPv4, without UDP checksum.
    Vxlan { vni: u32 },
    /// RFC 7348 over IPv6, with UDP checksum (RFC 8200 8.1).
    VxlanOverIpv6 { vni: u32 },
    /// 3GPP TS 29.281, each end with its own TEID; with a PDU session container (TS 38.415) where `extended`.
    Gtpu { extended: bool },
    /// RFC 2003 and RFC 4213: 4in4, 6in4.
    IpInIpv4,
    /// RFC 2473: 4in6, 6in6.
    IpInIpv6,
    /// RFC 4380; IPv6 inside only.
    Teredo,
}

impl Layout {
    /// The frame that carries `packet` from one host to the other.
    pub(crate) fn wrap(self, case: &Case, from: Host, packet: &[u8]) -> Vec<u8> {
        let is_v4 = packet[0] >> 4 == 4;
        let ethertype: u16 = if is_v4 { 0x0800 } else { 0x86dd };
        let next_header = if is_v4 { 4 } else { 41 };
        let bridged = || [&inner_macs(from)[..], &ethertype.to_be_bytes(), packet].concat();
        let on_wire = |ethertype: u16, body: &[u8]| {
            padded([&case.macs(from)[..], &ethertype.to_be_bytes(), body].concat())
        };
        let over_ipv4 = |protocol, body: &[u8]| on_wire(0x0800, &ipv4(case.outer_v4(from), protocol, body));
        let over_ipv6 = |protocol, body: &[u8]| on_wire(0x86dd, &ipv6(case.outer_v6(from), protocol, body));
        // The source port of a tunnel is entropy: one a tunnel, for both directions.
        let port = 50_000 + u16::from(case.number);
        match self {
            Self::Vlan { id } => on_wire(0x8100, &[&words(&[id, ethertype]), packet].concat()),
            Self::Qinq { outer, inner } => {
                on_wire(0x88a8, &[&words(&[outer, 0x8100, inner, ethertype]), packet].concat())
            }
            Self::Mpls { labels } => {
                let stack = labels.iter().enumerate().flat_map(|(index, label)| {
                    let bottom = u32::from(index + 1 == labels.len());
                    (label << 12 | bottom << 8 | u32::from(TTL)).to_be_bytes()
                });
                on_wire(0x8847, &stack.chain(packet.iter().copied()).collect::<Vec<_>>())
            }
            Self::Pppoe { session } => {
                let ppp = if is_v4 { 0x0021 } else { 0x0057 };
                let header = words(&[0x1100, session, packet.len() as u16 + 2, ppp]);
                on_wire(0x8864, &[&header, packet].concat())
            }
            Self::Gre { key, has_checksum, bridged: true } => {
                over_ipv4(47, &gre(key, has_checksum, 0x6558, &bridged()))
            }
            Self::Gre { key, has_checksum, bridged: false } => {
                over_ipv4(47, &gre(key, has_checksum, ethertype, packet))
            }
            Self::GreOverIpv6 => over_ipv6(47, &gre(None, false, ethertype, packet)),
            Self::Geneve { vni, bridged: is_bridged } => {
                let (protocol, body) =
                    if is_bridged { (0x6558, bridged()) } else { (ethertype, packet.to_vec()) };
                // Two words of options: class, type and length, four bytes of data.
                let header =
                    words(&[0x0200, protocol, (vni >> 8) as u16, (vni << 8) as u16, 0x0102, 0x0301, 1, 2]);
                over_ipv4(UDP, &udp(port, 6081, &[header, body].concat()))
            }
            Self::Vxlan { vni } => over_ipv4(UDP, &udp(port, 4789, &vxlan(vni, &bridged()))),
            Self::VxlanOverIpv6 { vni } => {
                let mut datagram = udp(port, 4789, &vxlan(vni, &bridged()));
                sum_udp(&mut datagram, case.outer_v6(from));
                over_ipv6(UDP, &datagram)
            }
            Self::Gtpu { extended } => {
                let teid: u32 = if from == Host::Client { 0x1001 } else { 0x2002 };
                // Sequence number, N-PDU number, next extension; four bytes of a PDU session container.
                let options: &[u8] = if extended { &[0, 9, 0, 0x85, 1, 0, 9, 0] } else { &[] };
                let flags = if extended { 0x36ff } else { 0x30ff };
                let length = (options.len() + packet.len()) as u16;
                let header = words(&[flags, length, (teid >> 16) as u16, teid as u16]);
                over_ipv4(UDP, &udp(2152, 2152, &[&header, options, packet].concat()))
            }
            Self::IpInIpv4 => over_ipv4(next_header, packet),
            Self::IpInIpv6 => over_ipv6(next_header, packet),
            Self::Teredo => {
                let (source, destination) = if from == Host::Client { (port, 3544) } else { (3544, port) };
                over_ipv4(UDP, &udp(source, destination, packet))
            }
        }
    }

    /// The packet in a frame that came from the other host.
    ///
    /// Fails with what differs where anything around the packet is not as [`Layout::wrap`] writes it.
    pub(crate) fn unwrap(self, case: &Case, from: Host, frame: &[u8]) -> Result<Vec<u8>, String> {
        // Nothing around the packet changes its length with the packet's.
        let probe = [&[0x45_u8][..], &[0; 99]].concat();
        let at = self.wrap(case, from, &probe).len() - probe.len();
        let rest = frame.get(at..).filter(|rest| rest.len() >= 20).ok_or("too short")?;
        let length = usize::from(match rest[0] >> 4 {
            4 => u16::from_be_bytes([rest[2], rest[3]]),
            6 => 40 + u16::from_be_bytes([rest[4], rest[5]]),
            other => return Err(format!("IP version {other} inside")),
        });
        let packet = rest.get(..length).ok_or("the packet inside is cut off")?;
        let wanted = self.wrap(case, from, packet);
        if wanted != frame {
            let at = wanted.iter().zip(frame).take_while(|(a, b)| a == b).count();
            return Err(format!("byte {at} is not as it was sent:\n{frame:02x?}\n{wanted:02x?}"));
        }
        Ok(packet.to_vec())
    }
}

/// Cuts the outer IPv4 packet of `frame` into fragments whose packets are `packet_bytes` long at most.
pub(crate) fn fragments(frame: &[u8], id: u16, packet_bytes: usize) -> Vec<Vec<u8>> {
    let data = &frame[34..];
    let step = (packet_bytes - 20) / 8 * 8;
    let pieces = data.len().div_ceil(step);
    data.chunks(step)
        .enumerate()
        .map(|(index, piece)| {
            let mut header = frame[14..34].to_vec();
            let more = if index + 1 < pieces { 0x2000 } else { 0 };
            header[2..4].copy_from_slice(&(20 + piece.len() as u16).to_be_bytes());
            header[4..6].copy_from_slice(&id.to_be_bytes());
            header[6..8].copy_from_slice(&(more | (index * step / 8) as u16).to_be_bytes());
            sum_ipv4(&mut header);
            padded([&frame[..14], &header, piece].concat())
        })
        .collect()
}

/// What a fragment says about itself: identification, offset of its data, whether more follow, its data.
/// `None` for a frame that is no fragment of IPv4.
pub(crate) fn fragment(frame: &[u8]) -> Option<(u16, usize, bool, &[u8])> {
    let header = frame.get(14..34).filter(|_| frame[12..14] == [8, 0])?;
    let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let (flags, length) = (word(6), usize::from(word(2)));
    if flags & 0x3fff == 0 {
        return None;
    }
    Some((word(4), usize::from(flags & 0x1fff) * 8, flags & 0x2000 != 0, frame.get(34..14 + length)?))
}

/// The frame whose fragments were `first` and its followers, with the header that it had before.
pub(crate) fn whole(first: &[u8], data: &[u8]) -> Vec<u8> {
    let mut header = first[14..34].to_vec();
    header[2..4].copy_from_slice(&(20 + data.len() as u16).to_be_bytes());
    header[4..8].copy_from_slice(&[0, 0, 0x40, 0]);
    sum_ipv4(&mut header);
    padded([&first[..14], &header, data].concat())
}

/// Ethernet addresses of a TAP's frames, and of the frames that a bridged tunnel carries.
pub(crate) fn inner_macs(from: Host) -> [u8; 12] {
    match from {
        Host::Client => [2, 0, 0, 0, 1, 2, 2, 0, 0, 0, 1, 1],
        Host::Server => [2, 0, 0, 0, 1, 1, 2, 0, 0, 0, 1, 2],
    }
}

fn words(words: &[u16]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

fn padded(mut frame: Vec<u8>) -> Vec<u8> {
    frame.resize(frame.len().max(FRAME_BYTES_MIN), 0);
    frame
}

fn ipv4((src, dst): (Ipv4Addr, Ipv4Addr), protocol: u8, data: &[u8]) -> Vec<u8> {
    let mut header = words(&[0x4500, 20 + data.len() as u16, 0, 0x4000]);
    header.extend([TTL, protocol, 0, 0]);
    header.extend(src.octets());
    header.extend(dst.octets());
    sum_ipv4(&mut header);
    [&header, data].concat()
}

fn sum_ipv4(header: &mut [u8]) {
    header[10..12].fill(0);
    let sum = checksum(&[header]);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
}

fn ipv6((src, dst): (Ipv6Addr, Ipv6Addr), next_header: u8, data: &[u8]) -> Vec<u8> {
    let mut header = words(&[0x6000, 0, data.len() as u16]);
    header.extend([next_header, TTL]);
    header.extend(src.octets());
    header.extend(dst.octets());
    [&header, data].concat()
}

fn udp(source: u16, destination: u16, data: &[u8]) -> Vec<u8> {
    [&words(&[source, destination, 8 + data.len() as u16, 0]), data].concat()
}

fn sum_udp(datagram: &mut [u8], (src, dst): (Ipv6Addr, Ipv6Addr)) {
    let length = (datagram.len() as u32).to_be_bytes();
    let sum = checksum(&[&src.octets(), &dst.octets(), &length, &[0, 0, 0, UDP], datagram]);
    datagram[6..8].copy_from_slice(&(if sum == 0 { 0xffff } else { sum }).to_be_bytes());
}

fn gre(key: Option<u32>, has_checksum: bool, protocol: u16, body: &[u8]) -> Vec<u8> {
    let flags = if has_checksum { 0x8000 } else { 0 } | if key.is_some() { 0x2000 } else { 0 };
    let mut packet = words(&[flags, protocol]);
    if has_checksum {
        packet.extend([0; 4]);
    }
    packet.extend(key.map(u32::to_be_bytes).iter().flatten());
    packet.extend(body);
    if has_checksum {
        let sum = checksum(&[&packet]);
        packet[4..6].copy_from_slice(&sum.to_be_bytes());
    }
    packet
}

fn vxlan(vni: u32, frame: &[u8]) -> Vec<u8> {
    [&words(&[0x0800, 0, (vni >> 8) as u16, (vni << 8) as u16]), frame].concat()
}

/// RFC 1071 over parts of which only the last may be odd in length.
fn checksum(parts: &[&[u8]]) -> u16 {
    let pairs = parts.iter().flat_map(|part| part.chunks(2));
    let mut sum: u32 =
        pairs.map(|pair| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0))).sum();
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
