//! What does a GRE tunnel carry? RFC 2784 and RFC 2890, PPTP's version 1 (RFC 2637), ERSPAN.

use super::ethernet::{BRIDGED, IPV4, IPV6, MPLS, MPLS_UPSTREAM, QINQ, VLAN};
use super::walk::{Walk, be16, be32};
use super::{Tunnel, ethernet, pppoe};
use crate::verdict::Reason;

/// Flags and version, protocol type.
const HEADER_LEN: usize = 4;
const CHECKSUM: u16 = 0x8000;
const KEY: u16 = 0x2000;
const SEQUENCE: u16 = 0x1000;
const ACKNOWLEDGMENT: u16 = 0x0080;
const VERSION: u16 = 0x0007;
/// Bits 1, 4 and 5 (routing, strict source route, recursion): RFC 2784 2.1 says to discard.
const UNFOLLOWED: u16 = 0x4c00;

const PPP: u16 = 0x880b;
/// Types I and II; type II has the sequence bit set.
const ERSPAN: u16 = 0x88be;
const ERSPAN_III: u16 = 0x22eb;
const ERSPAN_II_LEN: usize = 8;
const ERSPAN_III_LEN: usize = 12;
const ERSPAN_III_SUBHEADER_LEN: usize = 8;

/// Enters what the tunnel carries, if that is followed; else the GRE packet itself is the innermost.
pub(super) fn parse(walk: &mut Walk<'_>, at: usize) -> Result<(), Reason> {
    let header: &[u8; HEADER_LEN] = walk.header(at, Reason::GreTruncated)?;
    let flags = be16(header, 0);
    let protocol = be16(header, 2);
    match flags & VERSION {
        0 => parse_v0(walk, at, flags, protocol),
        1 => parse_pptp(walk, at, flags, protocol),
        _ => Err(Reason::GreVersion),
    }
}

fn parse_v0(walk: &mut Walk<'_>, at: usize, flags: u16, protocol: u16) -> Result<(), Reason> {
    if flags & UNFOLLOWED != 0 {
        return Err(Reason::GreVersion);
    }
    let mut inner_at = at + HEADER_LEN;
    if flags & CHECKSUM != 0 {
        inner_at += 4;
    }
    let key_at = inner_at;
    if flags & KEY != 0 {
        inner_at += 4;
    }
    if flags & SEQUENCE != 0 {
        inner_at += 4;
    }
    if inner_at > walk.len() {
        return Err(Reason::GreTruncated);
    }
    let vni = (flags & KEY != 0).then(|| be32(walk.rest(key_at), 0));
    match protocol {
        IPV4 | IPV6 | VLAN | QINQ | MPLS | MPLS_UPSTREAM => {
            walk.enter(Tunnel::Gre, vni, |walk| ethernet::parse_payload(walk, inner_at, protocol))
        }
        BRIDGED => walk.enter(Tunnel::Gre, vni, |walk| ethernet::parse(walk, inner_at)),
        ERSPAN if flags & SEQUENCE == 0 => {
            walk.enter(Tunnel::Gre, vni, |walk| ethernet::parse(walk, inner_at))
        }
        ERSPAN => {
            let _: &[u8; ERSPAN_II_LEN] = walk.header(inner_at, Reason::GreTruncated)?;
            walk.enter(Tunnel::Gre, vni, |walk| ethernet::parse(walk, inner_at + ERSPAN_II_LEN))
        }
        ERSPAN_III => {
            let erspan: &[u8; ERSPAN_III_LEN] = walk.header(inner_at, Reason::GreTruncated)?;
            let has_subheader = erspan[11] & 1 == 1;
            let length = ERSPAN_III_LEN + if has_subheader { ERSPAN_III_SUBHEADER_LEN } else { 0 };
            if length > walk.left(inner_at) {
                return Err(Reason::GreTruncated);
            }
            walk.enter(Tunnel::Gre, vni, |walk| ethernet::parse(walk, inner_at + length))
        }
        PPP => walk.enter(Tunnel::Gre, vni, |walk| pppoe::parse_framed_ppp(walk, inner_at)),
        _ => Ok(()),
    }
}

/// RFC 2637 4.1. The key's call ID names a receiver, not the call, so it is no VNI: the two directions of
/// a flow would differ in it.
fn parse_pptp(walk: &mut Walk<'_>, at: usize, flags: u16, protocol: u16) -> Result<(), Reason> {
    if protocol != PPP || flags & KEY == 0 || flags & (CHECKSUM | UNFOLLOWED) != 0 {
        return Err(Reason::GreVersion);
    }
    let key: &[u8; 4] = walk.header(at + HEADER_LEN, Reason::GreTruncated)?;
    let mut inner_at = at + HEADER_LEN + 4;
    if flags & SEQUENCE != 0 {
        inner_at += 4;
    }
    if flags & ACKNOWLEDGMENT != 0 {
        inner_at += 4;
    }
    let payload_len = usize::from(be16(key, 0));
    if inner_at > walk.len() || payload_len > walk.left(inner_at) {
        return Err(Reason::GreTruncated);
    }
    if payload_len == 0 {
        return Ok(());
    }
    walk.enter(Tunnel::Gre, None, |walk| {
        walk.trim(inner_at + payload_len);
        pppoe::parse_framed_ppp(walk, inner_at)
    })
}
