//! Is this IPv4 header to be believed, and what does it carry? (RFC 791, RFC 1122 3.2.1)

use super::walk::{Walk, be16, be32};
use super::{Addr, Fragment, Network, checksum, ip};
use crate::verdict::Reason;

pub(super) const HEADER_LEN: usize = 20;
const VERSION_4_NO_OPTIONS: u8 = 0x45;
const MORE_FRAGMENTS: u16 = 0x2000;
const FRAGMENT_OFFSET: u16 = 0x1fff;
const OPTION_END: u8 = 0;
const OPTION_NOP: u8 = 1;

/// Validates version, lengths, checksum and options, then goes on to the transport.
#[inline]
pub(super) fn parse(walk: &mut Walk<'_>, at: usize) -> Result<(), Reason> {
    let header: &[u8; HEADER_LEN] = walk.header(at, Reason::Ipv4Truncated)?;
    let available = walk.left(at);
    let total_len = usize::from(be16(header, 2));
    let mut header_len = HEADER_LEN;
    if header[0] != VERSION_4_NO_OPTIONS {
        header_len = checked_header_len(header[0], available)?;
    }
    if total_len < header_len || total_len > available {
        return Err(Reason::Ipv4TotalLength);
    }
    let options = walk.rest(at + HEADER_LEN).get(..header_len - HEADER_LEN).unwrap_or_default();
    if walk.verify_ipv4 && !checksum::ipv4_header_is_good(header, options) {
        return Err(Reason::Ipv4Checksum);
    }
    if !options.is_empty() {
        check_options(options)?;
    }

    walk.trim(at + total_len);
    walk.at_network(at);
    let l4 = at + header_len;
    walk.at_transport(l4, l4);
    let [_, tos, _, _, _, _, _, _, ttl, protocol, _, _, s0, s1, s2, s3, d0, d1, d2, d3] = *header;
    walk.headers.network =
        Network::Ip { src: Addr::v4([s0, s1, s2, s3]), dst: Addr::v4([d0, d1, d2, d3]), protocol, ttl, tos };
    let fragment = be16(header, 6);
    if fragment & (MORE_FRAGMENTS | FRAGMENT_OFFSET) != 0 {
        walk.headers.fragment = Some(Fragment {
            id: be32(header, 4) >> 16,
            offset: (fragment & FRAGMENT_OFFSET) << 3,
            more: fragment & MORE_FRAGMENTS != 0,
            protocol,
        });
        return Ok(());
    }
    ip::parse_transport(walk, l4, protocol)
}

#[cold]
fn checked_header_len(first: u8, available: usize) -> Result<usize, Reason> {
    if first >> 4 != 4 {
        return Err(Reason::Ipv4Version);
    }
    let header_len = usize::from(first & 0x0f) * 4;
    if header_len < HEADER_LEN || header_len > available {
        return Err(Reason::Ipv4HeaderLength);
    }
    Ok(header_len)
}

/// Every option lies inside the header (RFC 791 3.1).
#[cold]
fn check_options(options: &[u8]) -> Result<(), Reason> {
    let mut rest = options;
    loop {
        rest = match *rest {
            [] | [OPTION_END, ..] => return Ok(()),
            [OPTION_NOP, ..] => &rest[1..],
            [_, length, ..] if length >= 2 => rest.get(usize::from(length)..).ok_or(Reason::Ipv4Options)?,
            _ => return Err(Reason::Ipv4Options),
        }
    }
}
