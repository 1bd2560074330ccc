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

#[cfg(test)]
mod tests {
    use crate::parse::craft::{eth, ipv4, ipv6};
    use crate::parse::{Headers, Icmp, Protocol, Transport, ethernet, parse_ethernet};
    use crate::verdict::Reason;

    fn parse_v4(message: &[u8]) -> Result<Headers, Reason> {
        parse_ethernet(&eth(ethernet::IPV4, &ipv4(Protocol::ICMP, message)))
    }

    fn parse_v6(message: &[u8]) -> Result<Headers, Reason> {
        parse_ethernet(&eth(ethernet::IPV6, &ipv6(Protocol::ICMPV6, message)))
    }

    #[test]
    fn an_echo_has_identifier_and_sequence() {
        let expected = |kind| Transport::Icmp(Icmp { kind, code: 0, id: 7, seq: 9, is_error: false });
        let headers = parse_v4(&[8, 0, 0, 0, 0, 7, 0, 9, 1]).unwrap();
        assert_eq!((headers.transport, headers.ports()), (expected(8), (7, 7)));
        assert_eq!((headers.l4_offset, headers.payload_offset, headers.end), (34, 42, 43));
        assert_eq!(parse_v6(&[128, 0, 0, 0, 0, 7, 0, 9]).unwrap().transport, expected(128));
    }

    #[test]
    fn a_timestamp_query_has_an_identifier_only() {
        let expected = Icmp { kind: 13, code: 0, id: 7, seq: 0, is_error: false };
        let headers = parse_v4(&[13, 0, 0, 0, 0, 7, 0, 9]).unwrap();
        assert_eq!(headers.transport, Transport::Icmp(expected));
    }

    #[test]
    fn errors_are_told_from_the_rest() {
        let is_error = |headers: Headers| matches!(headers.transport, Transport::Icmp(icmp) if icmp.is_error);
        for kind in [3, 4, 5, 11, 12] {
            assert!(is_error(parse_v4(&[kind, 0, 0, 0, 1, 1, 1, 1]).unwrap()));
        }
        assert!(!is_error(parse_v4(&[9, 0, 0, 0, 0, 0, 0, 0]).unwrap()));
        assert!(is_error(parse_v6(&[2, 0, 0, 0, 0, 0, 5, 0]).unwrap()));
        assert!(!is_error(parse_v6(&[135, 0, 0, 0, 0, 0, 0, 0]).unwrap()));
    }

    #[test]
    fn cut_short_is_truncated() {
        assert_eq!(parse_v4(&[8, 0, 0, 0, 0, 7, 0]), Err(Reason::IcmpTruncated));
        assert_eq!(parse_v6(&[128, 0, 0, 0, 0, 7, 0]), Err(Reason::Icmpv6Truncated));
    }
}
