//! Is this UDP payload a user's packet inside GTP-U? 3GPP TS 29.281 5.
//!
//! The TEID names the receiving end (5.1), so the two directions of one flow differ in it: it is no VNI.

use super::walk::{Walk, be16};
use super::{Tunnel, ip};
use crate::verdict::Reason;

pub(super) const PORT: u16 = 2152;
/// Extension headers followed in one packet; Release 17 defines seven for G-PDU.
const EXTENSIONS_MAX: usize = 8;

const HEADER_LEN: usize = 8;
/// Sequence number, N-PDU number, next extension header type: all there as soon as one is.
const OPTIONAL_LEN: usize = 4;
/// Version 1, protocol type GTP; bit 4 is spare.
const VERSION_MASK: u8 = 0xf8;
const VERSION_1: u8 = 0x30;
const EXTENSION: u8 = 0x04;
const ANY_OPTIONAL: u8 = 0x07;
const MESSAGE_G_PDU: u8 = 255;

/// Enters a G-PDU that holds an IP packet; signalling stays plain UDP.
#[cold]
pub(super) fn parse(walk: &mut Walk<'_>, at: usize) -> Result<(), Reason> {
    let Ok(Some(pdu)) = check(walk, at) else { return Ok(()) };
    walk.enter_if_valid(Tunnel::Gtpu, None, |walk| {
        walk.trim(pdu.end);
        ip::parse_by_version(walk, pdu.at)
    })
}

struct Pdu {
    at: usize,
    end: usize,
}

/// `None` for a message that is no G-PDU.
fn check(walk: &Walk<'_>, at: usize) -> Result<Option<Pdu>, Reason> {
    let header: &[u8; HEADER_LEN] = walk.header(at, Reason::Gtpu)?;
    let [flags, message, ..] = *header;
    if flags & VERSION_MASK != VERSION_1 {
        return Err(Reason::Gtpu);
    }
    let length = usize::from(be16(header, 2));
    if length > walk.left(at + HEADER_LEN) {
        return Err(Reason::Gtpu);
    }
    if message != MESSAGE_G_PDU {
        return Ok(None);
    }
    let end = at + HEADER_LEN + length;
    let mut inner_at = at + HEADER_LEN;
    if flags & ANY_OPTIONAL != 0 {
        let optional: &[u8; OPTIONAL_LEN] = walk.header(inner_at, Reason::Gtpu)?;
        inner_at += OPTIONAL_LEN;
        let mut next = if flags & EXTENSION != 0 { optional[3] } else { 0 };
        for _ in 0..EXTENSIONS_MAX {
            if next == 0 {
                break;
            }
            // TS 29.281 5.2.1: length in 4-byte units, the last byte names the next header.
            let extension = walk.rest(inner_at);
            let extension_len = usize::from(extension.first().copied().unwrap_or(0)) * 4;
            let extension = extension.get(..extension_len).ok_or(Reason::Gtpu)?;
            next = *extension.last().ok_or(Reason::Gtpu)?;
            inner_at += extension_len;
        }
        if next != 0 {
            return Err(Reason::Gtpu);
        }
    }
    if inner_at > end {
        return Err(Reason::Gtpu);
    }
    Ok(Some(Pdu { at: inner_at, end }))
}

#[cfg(test)]
mod tests {
    use super::{PORT, check};
    use crate::parse::craft::{inner_ipv4, inner_ipv6, join, udp_frame};
    use crate::parse::walk::Walk;
    use crate::parse::{Tunnel, parse_ethernet};
    use crate::verdict::Reason;

    fn gtpu(flags: u8, message: u8, rest: &[u8]) -> Vec<u8> {
        let length = (rest.len() as u16).to_be_bytes();
        join(&[&[flags, message], &length, &[0, 0, 0, 9], rest])
    }

    #[test]
    fn a_users_packet_is_found_behind_optional_and_extension_headers() {
        for pdu in [
            gtpu(0x30, 255, &inner_ipv4()),
            gtpu(0x30, 255, &inner_ipv6()),
            gtpu(0x32, 255, &join(&[&[0, 1, 0, 0], &inner_ipv4()])),
            gtpu(0x34, 255, &join(&[&[0, 0, 0, 0x85], &[1, 0, 9, 0], &inner_ipv4()])),
            gtpu(0x36, 255, &join(&[&[0, 1, 0, 0x85], &[1, 0, 9, 0xc0], &[1, 0, 0, 0], &inner_ipv4()])),
        ] {
            let frame = udp_frame(40_000, PORT, &pdu);
            let headers = parse_ethernet(&frame).unwrap();
            assert_eq!((headers.tunnel, headers.vni), (Tunnel::Gtpu, 0), "a TEID is no VNI");
            assert_eq!(headers.payload(&frame), b"inner");
        }
    }

    #[test]
    fn signalling_stays_plain_udp() {
        let headers = parse_ethernet(&udp_frame(PORT, PORT, &gtpu(0x32, 1, &[0, 1, 0, 0]))).unwrap();
        assert_eq!((headers.tunnel, headers.ports()), (Tunnel::None, (PORT, PORT)));
    }

    #[test]
    fn a_header_cut_short_or_impossible_is_no_gtpu() {
        let mut lies = gtpu(0x30, 255, b"x");
        lies[3] = 2;
        for bytes in [
            &gtpu(0x30, 255, b"")[..7],
            &gtpu(0x50, 255, &inner_ipv4()),
            &gtpu(0x38, 255, &inner_ipv4()),
            &gtpu(0x34, 255, &[0, 0, 0]),
            &gtpu(0x34, 255, &[0, 0, 0, 0x85]),
            &gtpu(0x34, 255, &[0, 0, 0, 0x85, 0, 0, 0, 0]),
            &gtpu(0x34, 255, &[0, 0, 0, 0x85, 2, 0, 0, 0]),
            &gtpu(0x34, 255, &join(&[&[0, 0, 0, 0x85], &[1, 0, 9, 0x85].repeat(9)])),
            &lies,
        ] {
            let walk = Walk::new(bytes).unwrap();
            assert_eq!(check(&walk, 0).map(|_| ()), Err(Reason::Gtpu), "{bytes:?}");
            let headers = parse_ethernet(&udp_frame(40_000, PORT, bytes)).unwrap();
            assert_eq!((headers.tunnel, headers.ports()), (Tunnel::None, (40_000, PORT)));
        }
    }
}
