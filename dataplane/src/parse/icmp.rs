//! Which query or error is this? ICMP (RFC 792) and ICMPv6 (RFC 4443), whose first eight bytes look alike.

use super::walk::{Walk, be16};
use super::{Icmp, Transport};
use crate::verdict::Reason;

/// Type, code, checksum, and four bytes that depend on the type. No message of either protocol is shorter.
const HEADER_LEN: usize = 8;

/// ICMP over IPv4; the payload starts behind the eight bytes, where an error quotes the packet.
pub(super) fn parse_v4(walk: &mut Walk<'_>, at: usize) -> Result<(), Reason> {
    let header: &[u8; HEADER_LEN] = walk.header(at, Reason::IcmpTruncated)?;
    let kind = header[0];
    // Echo, timestamp, information, address mask (RFC 950), extended echo (RFC 8335).
    let is_echo = matches!(kind, 0 | 8 | 42 | 43);
    let is_query = is_echo || matches!(kind, 13..=18);
    // RFC 1122 3.2.2: unreachable, source quench, redirect, time exceeded, parameter problem.
    let is_error = matches!(kind, 3 | 4 | 5 | 11 | 12);
    note(walk, at, header, is_query, is_echo, is_error);
    Ok(())
}

/// ICMPv6.
pub(super) fn parse_v6(walk: &mut Walk<'_>, at: usize) -> Result<(), Reason> {
    let header: &[u8; HEADER_LEN] = walk.header(at, Reason::Icmpv6Truncated)?;
    let kind = header[0];
    // Echo, extended echo (RFC 8335).
    let is_echo = matches!(kind, 128 | 129 | 160 | 161);
    // RFC 4443 2.1: the high bit tells errors from the rest.
    note(walk, at, header, is_echo, is_echo, kind < 128);
    Ok(())
}

fn note(
    walk: &mut Walk<'_>,
    at: usize,
    header: &[u8; HEADER_LEN],
    is_query: bool,
    is_echo: bool,
    is_error: bool,
) {
    walk.headers.payload_offset = (at + HEADER_LEN) as u16;
    walk.headers.transport = Transport::Icmp(Icmp {
        kind: header[0],
        code: header[1],
        id: if is_query { be16(header, 4) } else { 0 },
        seq: if is_echo { be16(header, 6) } else { 0 },
        is_error,
    });
}
