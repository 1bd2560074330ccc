//! What does the UDP header say, and does the port hint at a tunnel? (RFC 768)

use super::walk::Walk;
use super::{Transport, geneve, gtpu, ip, teredo, vxlan};
use crate::verdict::Reason;

pub(super) const HEADER_LEN: usize = 8;

/// Validates the length, then looks into the tunnels that a port hints at.
#[inline]
pub(super) fn parse(walk: &mut Walk<'_>, at: usize) -> Result<(), Reason> {
    let header: &[u8; HEADER_LEN] = walk.header(at, Reason::UdpTruncated)?;
    let [s0, s1, d0, d1, l0, l1, _, _] = *header;
    let available = walk.left(at);
    let mut length = usize::from(u16::from_be_bytes([l0, l1]));
    if length < HEADER_LEN || length > available {
        length = length_zero(walk, length, available)?;
    }
    walk.trim(at + length);
    let (src_port, dst_port) = (u16::from_be_bytes([s0, s1]), u16::from_be_bytes([d0, d1]));
    if src_port == dst_port {
        ip::refuse_land(walk)?;
    }
    let payload = at + HEADER_LEN;
    walk.headers.payload_offset = payload as u16;
    walk.headers.transport = Transport::Udp { src_port, dst_port };
    if hints_at_tunnel(src_port, dst_port) { enter(walk, payload, dst_port) } else { Ok(()) }
}

/// Whether a tunnel lives on one of the ports.
#[inline]
pub(super) const fn hints_at_tunnel(src_port: u16, dst_port: u16) -> bool {
    matches!(dst_port, vxlan::PORT | vxlan::PORT_LINUX | geneve::PORT | gtpu::PORT | teredo::PORT)
        || src_port == teredo::PORT
}

#[cold]
fn enter(walk: &mut Walk<'_>, payload: usize, dst_port: u16) -> Result<(), Reason> {
    match dst_port {
        vxlan::PORT | vxlan::PORT_LINUX => vxlan::parse(walk, payload),
        geneve::PORT => geneve::parse(walk, payload),
        gtpu::PORT => gtpu::parse(walk, payload),
        _ => teredo::parse(walk, payload),
    }
}

/// RFC 2675 4: over IPv6 a length of zero means "as long as IP says"; nothing else out of range is right.
#[cold]
fn length_zero(walk: &Walk<'_>, length: usize, available: usize) -> Result<usize, Reason> {
    let version = walk.rest(usize::from(walk.headers.l3_offset)).first().map(|byte| byte >> 4);
    if length == 0 && version == Some(6) { Ok(available) } else { Err(Reason::UdpLength) }
}

#[cfg(test)]
mod tests {
    use crate::parse::craft::{eth, ipv4, ipv6, join, udp};
    use crate::parse::{Headers, Protocol, Transport, ethernet, parse_ethernet};
    use crate::verdict::Reason;

    fn parse_v4(segment: &[u8]) -> Result<Headers, Reason> {
        parse_ethernet(&eth(ethernet::IPV4, &ipv4(Protocol::UDP, segment)))
    }

    #[test]
    fn ports_and_payload_are_found() {
        let headers = parse_v4(&udp(1, 2, b"data")).unwrap();
        assert_eq!(headers.transport, Transport::Udp { src_port: 1, dst_port: 2 });
        assert_eq!((headers.payload_offset, headers.end), (42, 46));
    }

    #[test]
    fn a_header_cut_short_is_truncated() {
        assert_eq!(parse_v4(&udp(1, 2, b"")[..7]), Err(Reason::UdpTruncated));
    }

    #[test]
    fn an_impossible_length_is_refused() {
        for length in [0, 7, 13] {
            let mut segment = udp(1, 2, b"data");
            segment[5] = length;
            assert_eq!(parse_v4(&segment), Err(Reason::UdpLength), "{length}");
        }
    }

    #[test]
    fn a_length_of_zero_over_ipv6_means_all_of_it() {
        let mut segment = udp(1, 2, b"data");
        segment[5] = 0;
        let frame = eth(ethernet::IPV6, &ipv6(Protocol::UDP, &segment));
        assert_eq!(parse_ethernet(&frame).unwrap().payload(&frame), b"data");
    }

    #[test]
    fn what_exceeds_the_length_is_no_payload() {
        let frame = eth(ethernet::IPV4, &ipv4(Protocol::UDP, &join(&[&udp(1, 2, b"data"), b"more"])));
        assert_eq!(parse_ethernet(&frame).unwrap().payload(&frame), b"data");
    }
}
