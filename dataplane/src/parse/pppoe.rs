//! What does a PPP session carry? PPPoE (RFC 2516) and the PPP protocol field (RFC 1661 2).

use super::walk::{Walk, be16};
use super::{ethernet, ipv4, ipv6, mpls};
use crate::verdict::Reason;

/// Version and type, code, session, length.
const HEADER_LEN: usize = 6;
const VERSION_1_TYPE_1: u8 = 0x11;
const CODE_SESSION: u8 = 0;

/// All stations, unnumbered information (RFC 1662 3.1).
const ADDRESS_CONTROL: [u8; 2] = [0xff, 0x03];
const PPP_IPV4: u16 = 0x0021;
const PPP_IPV6: u16 = 0x0057;
const PPP_MPLS: u16 = 0x0281;
const PPP_MPLS_MULTICAST: u16 = 0x0283;

/// A session frame: the length field bounds what PPP may say.
pub(super) fn parse(walk: &mut Walk<'_>, at: usize) -> Result<(), Reason> {
    let header = check(walk, at)?;
    let length = usize::from(be16(header, 4));
    let ppp_at = at + HEADER_LEN;
    if length > walk.left(ppp_at) {
        return Err(Reason::PppoeTruncated);
    }
    if header[1] != CODE_SESSION {
        return walk.other(at);
    }
    walk.trim(ppp_at + length);
    parse_ppp(walk, ppp_at)
}

/// A discovery frame: of layer 2, passed on.
pub(super) fn parse_discovery(walk: &mut Walk<'_>, at: usize) -> Result<(), Reason> {
    check(walk, at)?;
    walk.other(at)
}

fn check<'a>(walk: &Walk<'a>, at: usize) -> Result<&'a [u8; HEADER_LEN], Reason> {
    let header: &[u8; HEADER_LEN] = walk.header(at, Reason::PppoeTruncated)?;
    if header[0] != VERSION_1_TYPE_1 {
        return Err(Reason::PppoeVersion);
    }
    Ok(header)
}

/// A PPP packet that may start with address and control (RFC 1662 3.1).
pub(super) fn parse_framed_ppp(walk: &mut Walk<'_>, at: usize) -> Result<(), Reason> {
    let framed = walk.rest(at).starts_with(&ADDRESS_CONTROL);
    parse_ppp(walk, if framed { at + ADDRESS_CONTROL.len() } else { at })
}

/// A PPP packet from its protocol field on, which may be compressed to one byte (RFC 1661 6.5).
pub(super) fn parse_ppp(walk: &mut Walk<'_>, at: usize) -> Result<(), Reason> {
    let (protocol, payload_at) = match *walk.rest(at) {
        [low, ..] if low & 1 == 1 => (u16::from(low), at + 1),
        [high, low, ..] => (u16::from_be_bytes([high, low]), at + 2),
        [] | [_] => return Err(Reason::PppoeTruncated),
    };
    match protocol {
        PPP_IPV4 => {
            walk.headers.ethertype = ethernet::IPV4;
            ipv4::parse(walk, payload_at)
        }
        PPP_IPV6 => {
            walk.headers.ethertype = ethernet::IPV6;
            ipv6::parse(walk, payload_at)
        }
        PPP_MPLS | PPP_MPLS_MULTICAST => {
            walk.headers.ethertype = ethernet::MPLS;
            mpls::parse(walk, payload_at)
        }
        _ => walk.other(at),
    }
}

#[cfg(test)]
mod tests {
    use crate::parse::craft::{eth, inner_ipv4, inner_ipv6, join};
    use crate::parse::{Network, ethernet, parse_ethernet};
    use crate::verdict::Reason;

    fn session(ppp: &[u8]) -> Vec<u8> {
        let length = (ppp.len() as u16).to_be_bytes();
        eth(ethernet::PPPOE_SESSION, &join(&[&[0x11, 0, 0, 9], &length, ppp]))
    }

    #[test]
    fn ip_is_found_behind_a_full_and_a_compressed_protocol_field() {
        for ppp in [
            join(&[&[0, 0x21], &inner_ipv4()]),
            join(&[&[0x21], &inner_ipv4()]),
            join(&[&[0, 0x57], &inner_ipv6()]),
        ] {
            assert_eq!(parse_ethernet(&session(&ppp)).unwrap().ports(), (1000, 2000));
        }
    }

    #[test]
    fn control_protocols_and_discovery_are_of_layer_2() {
        let lcp = session(&[0xc0, 0x21, 1, 1, 0, 4]);
        assert_eq!(parse_ethernet(&lcp).unwrap().network, Network::Other);
        let discovery = eth(ethernet::PPPOE_DISCOVERY, &[0x11, 9, 0, 0, 0, 0]);
        assert_eq!(parse_ethernet(&discovery).unwrap().network, Network::Other);
    }

    #[test]
    fn a_header_cut_short_and_a_length_that_lies_are_truncated() {
        let short = eth(ethernet::PPPOE_SESSION, &[0x11, 0, 0, 9, 0]);
        assert_eq!(parse_ethernet(&short), Err(Reason::PppoeTruncated));
        let mut lies = session(&join(&[&[0, 0x21], &inner_ipv4()]));
        lies[19] += 1;
        assert_eq!(parse_ethernet(&lies), Err(Reason::PppoeTruncated));
        assert_eq!(parse_ethernet(&session(&[0])), Err(Reason::PppoeTruncated));
    }

    #[test]
    fn another_version_is_refused() {
        let frame = eth(ethernet::PPPOE_SESSION, &[0x21, 0, 0, 9, 0, 0]);
        assert_eq!(parse_ethernet(&frame), Err(Reason::PppoeVersion));
    }
}
