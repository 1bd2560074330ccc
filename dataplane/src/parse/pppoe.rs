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
