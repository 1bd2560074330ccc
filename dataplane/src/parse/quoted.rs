//! Which flow does this ICMP error speak of? Reads the truncated packet that an error quotes.
//!
//! RFC 792 promises the network header and eight bytes after it, so neither lengths nor checksums of the
//! quoted packet can be checked; only its addresses, protocol and ports are taken.

use super::{Addr, Headers, Icmp, Protocol};

/// The quoted packet's sender and receiver, as it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quoted {
    /// Source address of the quoted packet: where the error goes.
    pub src: Addr,
    /// Its destination.
    pub dst: Addr,
    /// Its IANA protocol number.
    pub protocol: u8,
    /// Its ports; the identifier twice for ICMP queries, zeroes where there are none.
    pub ports: (u16, u16),
}

/// Reads what the ICMP error in `bytes`, with these headers, quotes; as [`parse_quoted`].
#[must_use]
pub fn quoted_in(bytes: &[u8], headers: &Headers) -> Option<Quoted> {
    let at = usize::from(headers.l4_offset) + 8;
    parse_quoted(bytes.get(at..usize::from(headers.end))?)
}

/// Reads what `payload`, the bytes after an ICMP error's first eight, quotes. `None` where it quotes too
/// little, a later fragment, or another ICMP error.
#[must_use]
pub fn parse_quoted(payload: &[u8]) -> Option<Quoted> {
    match payload.first()? >> 4 {
        4 => {
            let header_len = usize::from(payload[0] & 0x0f) * 4;
            let header: &[u8; 20] = payload.first_chunk()?;
            if header_len < 20 || u16::from_be_bytes([header[6], header[7]]) & 0x1fff != 0 {
                return None;
            }
            let src = Addr::v4([header[12], header[13], header[14], header[15]]);
            let dst = Addr::v4([header[16], header[17], header[18], header[19]]);
            ports_of(header[9], payload.get(header_len..)?, src, dst)
        }
        6 => {
            let header: &[u8; 40] = payload.first_chunk()?;
            let src = Addr::v6(header[8..24].try_into().ok()?);
            let dst = Addr::v6(header[24..40].try_into().ok()?);
            let mut protocol = header[6];
            let mut rest = &payload[40..];
            for _ in 0..QUOTED_EXTENSIONS_MAX {
                let len = match protocol {
                    Protocol::HOP_BY_HOP | Protocol::ROUTING | Protocol::DESTINATION_OPTIONS => {
                        8 + usize::from(*rest.get(1)?) * 8
                    }
                    Protocol::FRAGMENT
                        if u16::from_be_bytes([*rest.get(2)?, *rest.get(3)?]) & 0xfff8 == 0 =>
                    {
                        8
                    }
                    Protocol::FRAGMENT => return None,
                    _ => return ports_of(protocol, rest, src, dst),
                };
                protocol = *rest.first()?;
                rest = rest.get(len..)?;
            }
            None
        }
        _ => None,
    }
}

/// Extension headers of a quoted packet that are followed.
const QUOTED_EXTENSIONS_MAX: usize = 4;

fn ports_of(protocol: u8, transport: &[u8], src: Addr, dst: Addr) -> Option<Quoted> {
    let word = |at: usize| Some(u16::from_be_bytes([*transport.get(at)?, *transport.get(at + 1)?]));
    let ports = match protocol {
        Protocol::TCP | Protocol::UDP | Protocol::SCTP => (word(0)?, word(2)?),
        Protocol::ICMP | Protocol::ICMPV6 => {
            let kind = *transport.first()?;
            if is_icmp_error(protocol, kind) {
                return None;
            }
            (word(4)?, word(4)?)
        }
        _ => (0, 0),
    };
    Some(Quoted { src, dst, protocol, ports })
}

/// Whether an ICMP or ICMPv6 type is an error that quotes a packet (RFC 1122 3.2.2, RFC 4443 2.1).
#[must_use]
pub const fn is_icmp_error(protocol: u8, kind: u8) -> bool {
    match protocol {
        Protocol::ICMP => matches!(kind, 3 | 4 | 5 | 11 | 12),
        Protocol::ICMPV6 => kind < 128,
        _ => false,
    }
}

impl Icmp {
    /// Whether it is a query or a reply to one, which makes a flow by its identifier.
    #[must_use]
    pub const fn is_query(self) -> bool {
        !self.is_error
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quoted_udp(fragment_offset: u16) -> Vec<u8> {
        let mut packet = vec![0; 28];
        packet[0] = 0x45;
        packet[6..8].copy_from_slice(&fragment_offset.to_be_bytes());
        packet[9] = Protocol::UDP;
        packet[12..16].copy_from_slice(&[10, 0, 0, 1]);
        packet[16..20].copy_from_slice(&[10, 0, 0, 2]);
        packet[20..24].copy_from_slice(&[0x12, 0x34, 0, 53]);
        packet
    }

    #[test]
    fn eight_bytes_of_udp_are_enough() {
        let quoted = parse_quoted(&quoted_udp(0)).expect("it quotes all that RFC 792 asks for");
        assert_eq!(quoted.ports, (0x1234, 53));
        assert_eq!(quoted.dst, Addr::v4([10, 0, 0, 2]));
    }

    #[test]
    fn later_fragments_and_short_quotes_name_no_flow() {
        assert_eq!(parse_quoted(&quoted_udp(1)), None);
        for len in 0..24 {
            assert_eq!(parse_quoted(&quoted_udp(0)[..len]), None, "{len} bytes");
        }
    }

    #[test]
    fn an_error_about_an_error_names_no_flow() {
        let mut packet = quoted_udp(0);
        packet[9] = Protocol::ICMP;
        packet[20] = 3;
        assert_eq!(parse_quoted(&packet), None);
    }
}
