//! Which frame tells a sender that its packet was refused?
//!
//! TCP: a reset toward the sender and one toward the receiver, whose sequence numbers the other side takes
//! at once (RFC 5961 3 wants exactly RCV.NXT). All else: ICMP destination unreachable, "communication
//! administratively prohibited", that quotes the packet. Everything around the innermost packet (Ethernet,
//! tags, PPPoE, tunnels) is copied from the refused frame, toward its sender with addresses swapped, so
//! that the answer takes the way back. It seems to come from the packet's destination: the box has no
//! address.

use super::edit::{nonzero, word};
use super::layers::{Layer, Layers, has_routing};
use crate::parse::checksum::{Sum, pseudo_header};
use crate::parse::{Addr, Headers, Network, Protocol, Tcp, TcpFlags, Transport};

/// Longest frame that [`unreachable()`] writes: 1,280 bytes of IPv6 and the headers around them.
pub const REFUSAL_BYTES_MAX: usize = 2048;

/// RFC 1812 4.3.2.3.
const ICMP_DATAGRAM_BYTES_MAX: usize = 576;
/// RFC 4443 3.1.
const ICMPV6_DATAGRAM_BYTES_MAX: usize = 1280;
/// Ethernet's shortest frame, without its check sequence.
const FRAME_BYTES_MIN: usize = 60;
const TTL: u8 = 64;
const DONT_FRAGMENT: [u8; 2] = [0x40, 0];

/// What the flow table knows of the connection of a refused segment; `None` where it has seen nothing that
/// way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tracked {
    /// The sequence number after the last one that was *forwarded* from the segment's sender: what its
    /// receiver expects next.
    pub sender_next: Option<u32>,
    /// The same for the other direction: what the segment's sender expects next.
    pub receiver_next: Option<u32>,
}

/// Whether an answer to this packet may be sent at all (RFC 1122 3.2.2, RFC 4443 2.4): never to an ICMP
/// error or redirect, a TCP reset, a later fragment, to or from anything but one host, of IP or of the link.
#[must_use]
pub fn may_refuse(headers: &Headers, bytes: &[u8]) -> bool {
    let Network::Ip { src, dst, protocol, .. } = headers.network else { return false };
    if !is_one_host(src) || !is_one_host(dst) || headers.dst_mac.is_group() || headers.src_mac.is_group() {
        return false;
    }
    if headers.fragment.is_some_and(|fragment| fragment.offset != 0) {
        return false;
    }
    let is_answerable = match headers.transport {
        Transport::Tcp(tcp) => !tcp.flags.rst(),
        // Redirects: type 5 of ICMP, 137 of ICMPv6.
        Transport::Icmp(icmp) => {
            !icmp.is_error && icmp.kind != if protocol == Protocol::ICMPV6 { 137 } else { 5 }
        }
        Transport::Udp { .. } | Transport::Sctp { .. } | Transport::None => true,
    };
    // In a tunnel the link and network around the packet may address many, too.
    is_answerable
        && Layers::around(bytes, headers).is_some_and(|layers| {
            layers.iter().all(|layer| match layer {
                Layer::Ethernet(at) => bytes.get(at).is_some_and(|first| first & 1 == 0),
                Layer::Ipv4(at) => bytes.get(at + 16).is_some_and(|first| *first < 224),
                Layer::Ipv6(at) => bytes.get(at + 24).is_some_and(|first| *first != 0xff),
                Layer::Length(_)
                | Layer::Pppoe(_)
                | Layer::Udp(_)
                | Layer::UdpTeredo(_)
                | Layer::Gre { .. }
                | Layer::Gtpu(_)
                | Layer::Pptp(_) => true,
            })
        })
}

/// Writes a RST toward the sender of the refused segment; it leaves by the port the segment came in by.
///
/// Returns its length in `out`, `None` where the frame is no TCP segment, is itself a reset, is in a tunnel
/// whose way back is unknown (GTP-U, PPTP, GRE with sequence numbers), or does not fit. Of a fragmented
/// datagram take the first fragment's frame and headers, their `transport` replaced by the datagram's.
#[must_use]
pub fn reset_sender(out: &mut [u8], bytes: &[u8], headers: &Headers, tracked: Tracked) -> Option<usize> {
    let tcp = resettable(headers)?;
    // RFC 9293 3.10.7.1. What was forwarded since the sender wrote this ACK is on its way before us.
    let (seq, ack) = if tcp.flags.ack() {
        (tracked.receiver_next.map_or(tcp.ack, |next| later(next, tcp.ack)), None)
    } else {
        (tracked.receiver_next.unwrap_or(0), Some(tcp.seq.wrapping_add(segment_length(&tcp, headers))))
    };
    write_reset(out, bytes, headers, Way::Back, seq, ack)
}

/// Writes a RST toward the receiver of the refused segment, which must not be forwarded itself; it leaves by
/// the port that the segment would have left by.
///
/// Returns its length in `out`, `None` as [`reset_sender`] does (GTP-U and numbered GRE are fine this way), and for a
/// SYN of which the receiver has seen nothing.
#[must_use]
pub fn reset_receiver(out: &mut [u8], bytes: &[u8], headers: &Headers, tracked: Tracked) -> Option<usize> {
    let tcp = resettable(headers)?;
    if tcp.flags.syn() && !tcp.flags.ack() && tracked.sender_next.is_none() {
        return None;
    }
    let seq = tracked.sender_next.unwrap_or(tcp.seq);
    // A client whose SYN the refused segment answers takes a RST only with the right ACK.
    let ack = if tcp.flags.ack() { Some(tcp.ack) } else { tracked.receiver_next };
    write_reset(out, bytes, headers, Way::On, seq, ack)
}

/// Writes an ICMP error toward the sender of the refused packet: type 3 code 13 (RFC 1812 5.2.7.1), or
/// ICMPv6 type 1 code 1 (RFC 4443 3.1). Ask [`may_refuse`] first.
///
/// Returns its length in `out` ([`REFUSAL_BYTES_MAX`] is always enough), `None` where the frame is not IP
/// over Ethernet, is in a tunnel whose way back is unknown, or does not fit.
#[must_use]
pub fn unreachable(out: &mut [u8], bytes: &[u8], headers: &Headers) -> Option<usize> {
    let Network::Ip { src, dst, .. } = headers.network else { return None };
    let layers = Layers::around(bytes, headers)?;
    let l3 = usize::from(headers.l3_offset);
    let original = bytes.get(l3..usize::from(headers.end).min(bytes.len()))?;
    let (header_bytes, datagram_bytes_max, protocol) = if src.is_v4() {
        (20, ICMP_DATAGRAM_BYTES_MAX, Protocol::ICMP)
    } else {
        (40, ICMPV6_DATAGRAM_BYTES_MAX, Protocol::ICMPV6)
    };
    let quoted = &original[..original.len().min(datagram_bytes_max - header_bytes - 8)];
    let length = 8 + quoted.len();

    let packet = out.get_mut(l3..l3 + header_bytes + length)?;
    let (header, icmp) = packet.split_at_mut(header_bytes);
    write_ip(header, protocol, dst, src, length);
    icmp[..8].copy_from_slice(if src.is_v4() {
        &[3, 13, 0, 0, 0, 0, 0, 0]
    } else {
        &[1, 1, 0, 0, 0, 0, 0, 0]
    });
    icmp[8..].copy_from_slice(quoted);
    let pseudo = if src.is_v4() { Sum::default() } else { pseudo_header(src, dst, protocol, length as u32) };
    let checksum = pseudo.add_bytes(icmp).checksum();
    icmp[2..4].copy_from_slice(&checksum.to_be_bytes());
    wrap(out, bytes, &layers, Way::Back, l3 + header_bytes + length, l3)
}

/// Where a crafted frame goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// To the sender: addresses swapped.
    Back,
    /// To the receiver: addresses as they are.
    On,
}

fn resettable(headers: &Headers) -> Option<Tcp> {
    match headers.transport {
        Transport::Tcp(tcp) => (!tcp.flags.rst()).then_some(tcp),
        Transport::Udp { .. } | Transport::Icmp(_) | Transport::Sctp { .. } | Transport::None => None,
    }
}

/// SEG.LEN of RFC 9293 3.4.
fn segment_length(tcp: &Tcp, headers: &Headers) -> u32 {
    let data = u32::from(headers.end.saturating_sub(headers.payload_offset));
    data + u32::from(tcp.flags.syn()) + u32::from(tcp.flags.fin())
}

/// The later of two sequence numbers (RFC 9293 3.4: modulo 2^32).
const fn later(a: u32, b: u32) -> u32 {
    if (a.wrapping_sub(b) as i32) < 0 { b } else { a }
}

/// Whether an address names one host (RFC 1122 3.2.2; class E holds none).
fn is_one_host(addr: Addr) -> bool {
    match addr.as_v4() {
        Some(v4) => v4[0] != 0 && v4[0] != 127 && v4[0] < 224,
        None => addr.0[0] != 0xff && addr.bits() > 1,
    }
}

fn write_reset(
    out: &mut [u8],
    bytes: &[u8],
    headers: &Headers,
    way: Way,
    seq: u32,
    ack: Option<u32>,
) -> Option<usize> {
    let Network::Ip { src, dst, .. } = headers.network else { return None };
    let layers = Layers::around(bytes, headers)?;
    let (src_port, dst_port) = headers.ports();
    let (src, dst, src_port, dst_port) = match way {
        Way::Back => (dst, src, dst_port, src_port),
        Way::On => (src, dst, src_port, dst_port),
    };
    let l3 = usize::from(headers.l3_offset);
    let header_bytes = if src.is_v4() { 20 } else { 40 };
    let end = l3 + header_bytes + 20;
    let (header, tcp) = out.get_mut(l3..end)?.split_at_mut(header_bytes);
    write_ip(header, Protocol::TCP, src, dst, 20);
    tcp[..2].copy_from_slice(&src_port.to_be_bytes());
    tcp[2..4].copy_from_slice(&dst_port.to_be_bytes());
    tcp[4..8].copy_from_slice(&seq.to_be_bytes());
    tcp[8..12].copy_from_slice(&ack.unwrap_or(0).to_be_bytes());
    tcp[12] = 5 << 4;
    tcp[13] = TcpFlags::RST | if ack.is_some() { TcpFlags::ACK } else { 0 };
    tcp[14..20].fill(0);
    let checksum = pseudo_header(src, dst, Protocol::TCP, 20).add_bytes(tcp).checksum();
    tcp[16..18].copy_from_slice(&checksum.to_be_bytes());
    wrap(out, bytes, &layers, way, end, l3)
}

/// A header of 20 or 40 bytes before `data_bytes` of data.
fn write_ip(header: &mut [u8], protocol: u8, src: Addr, dst: Addr, data_bytes: usize) {
    header.fill(0);
    match (src.as_v4(), dst.as_v4()) {
        (Some(src), Some(dst)) => {
            header[0] = 0x45;
            header[2..4].copy_from_slice(&((20 + data_bytes) as u16).to_be_bytes());
            header[6..8].copy_from_slice(&DONT_FRAGMENT);
            header[8] = TTL;
            header[9] = protocol;
            header[12..16].copy_from_slice(&src);
            header[16..20].copy_from_slice(&dst);
            let checksum = Sum::default().add_bytes(header).checksum();
            header[10..12].copy_from_slice(&checksum.to_be_bytes());
        }
        (None, _) | (_, None) => {
            header[0] = 0x60;
            header[4..6].copy_from_slice(&(data_bytes as u16).to_be_bytes());
            header[6] = protocol;
            header[7] = TTL;
            header[8..24].copy_from_slice(&src.0);
            header[24..40].copy_from_slice(&dst.0);
        }
    }
}

/// Copies what stood before the innermost packet of `bytes`, and makes it fit the packet that ends at `end`.
fn wrap(out: &mut [u8], bytes: &[u8], layers: &Layers, way: Way, end: usize, l3: usize) -> Option<usize> {
    out.get_mut(..l3)?.copy_from_slice(bytes.get(..l3)?);
    // The innermost first: sums of outer headers cover inner ones.
    let mut upper = None;
    for layer in layers.iter().rev() {
        match layer {
            Layer::Ethernet(at) => {
                if way == Way::Back {
                    swap(out, at, at + 6, 6)?;
                }
            }
            Layer::Length(at) => set_word(out, at, end - at - 2)?,
            Layer::Pppoe(at) => set_word(out, at + 4, end - at - 6)?,
            Layer::Pptp(_) => return None,
            Layer::Gtpu(at) => {
                if way == Way::Back {
                    return None;
                }
                set_word(out, at + 2, end - at - 8)?;
            }
            Layer::Gre { at, has_checksum, has_sequence } => {
                if way == Way::Back && has_sequence {
                    return None;
                }
                if has_checksum {
                    set_word(out, at + 4, 0)?;
                    let checksum = Sum::default().add_bytes(out.get(at..end)?).checksum();
                    set_word(out, at + 4, usize::from(checksum))?;
                }
            }
            Layer::Udp(at) | Layer::UdpTeredo(at) => {
                if way == Way::Back && matches!(layer, Layer::UdpTeredo(_)) {
                    swap(out, at, at + 2, 2)?;
                }
                set_word(out, at + 4, end - at)?;
                upper = Some(at);
            }
            Layer::Ipv4(at) => {
                if way == Way::Back {
                    swap(out, at + 12, at + 16, 4)?;
                }
                set_word(out, at + 2, end - at)?;
                set_word(out, at + 4, 0)?;
                out.get_mut(at + 6..at + 8)?.copy_from_slice(&DONT_FRAGMENT);
                *out.get_mut(at + 8)? = TTL;
                set_word(out, at + 10, 0)?;
                let header_bytes = usize::from(out.get(at)? & 0x0f) * 4;
                let checksum = Sum::default().add_bytes(out.get(at..at + header_bytes)?).checksum();
                set_word(out, at + 10, usize::from(checksum))?;
                let addrs = Sum::default().add_bytes(out.get(at + 12..at + 20)?);
                finish_udp(out, upper.take(), addrs, end)?;
            }
            Layer::Ipv6(at) => {
                if way == Way::Back {
                    swap(out, at + 8, at + 24, 16)?;
                }
                // A routing header would have to be turned round, too.
                if has_routing(bytes, at) {
                    return None;
                }
                set_word(out, at + 4, end - at - 40)?;
                *out.get_mut(at + 7)? = TTL;
                let addrs = Sum::default().add_bytes(out.get(at + 8..at + 40)?);
                finish_udp(out, upper.take(), addrs, end)?;
            }
        }
    }
    let length = end.max(FRAME_BYTES_MIN);
    out.get_mut(end..length)?.fill(0);
    Some(length)
}

/// Computes the checksum of the UDP header at `udp` under an IP header whose addresses sum to `addrs`; one
/// that the refused frame did without stays away.
fn finish_udp(out: &mut [u8], udp: Option<usize>, addrs: Sum, end: usize) -> Option<()> {
    let Some(at) = udp else { return Some(()) };
    if word(out, at + 6)? != 0 {
        set_word(out, at + 6, 0)?;
        let pseudo = addrs.add_u32(u32::from(Protocol::UDP)).add_u32((end - at) as u32);
        let checksum = nonzero(pseudo.add_bytes(out.get(at..end)?).checksum());
        set_word(out, at + 6, usize::from(checksum))?;
    }
    Some(())
}

fn swap(out: &mut [u8], a: usize, b: usize, length: usize) -> Option<()> {
    let (left, right) = out.get_mut(a..b + length)?.split_at_mut(b - a);
    left[..length].swap_with_slice(right);
    Some(())
}

pub(super) fn set_word(out: &mut [u8], at: usize, value: usize) -> Option<()> {
    out.get_mut(at..at + 2)?.copy_from_slice(&u16::try_from(value).ok()?.to_be_bytes());
    Some(())
}
