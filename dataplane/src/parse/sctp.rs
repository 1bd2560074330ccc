//! Which ports, and how does the first chunk begin? SCTP (RFC 9260 3). The checksum is `crc32c`'s.

use super::Transport;
use super::walk::{Walk, be16};
use crate::verdict::Reason;

/// Ports, verification tag, checksum.
const HEADER_LEN: usize = 12;
/// Stands for "no chunk": IANA reserves type 255.
const NO_CHUNK: u8 = 255;

/// Notes the ports and the first chunk's type; chunks are the payload.
pub(super) fn parse(walk: &mut Walk<'_>, at: usize) -> Result<(), Reason> {
    let header: &[u8; HEADER_LEN] = walk.header(at, Reason::SctpTruncated)?;
    let chunk = walk.rest(at + HEADER_LEN).first().copied().unwrap_or(NO_CHUNK);
    walk.headers.payload_offset = (at + HEADER_LEN) as u16;
    walk.headers.transport = Transport::Sctp { src_port: be16(header, 0), dst_port: be16(header, 2), chunk };
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::parse::craft::{eth, ipv4};
    use crate::parse::{Protocol, Transport, ethernet, parse_ethernet};
    use crate::verdict::Reason;

    #[test]
    fn ports_and_first_chunk_are_read() {
        let mut packet = [0; 16];
        packet[1] = 9;
        packet[3] = 80;
        packet[12] = 1;
        for (len, chunk) in [(16, 1), (12, 255)] {
            let headers =
                parse_ethernet(&eth(ethernet::IPV4, &ipv4(Protocol::SCTP, &packet[..len]))).unwrap();
            assert_eq!(headers.transport, Transport::Sctp { src_port: 9, dst_port: 80, chunk });
            assert_eq!(headers.payload_offset, 46);
        }
    }

    #[test]
    fn cut_short_is_truncated() {
        let frame = eth(ethernet::IPV4, &ipv4(Protocol::SCTP, &[0; 11]));
        assert_eq!(parse_ethernet(&frame), Err(Reason::SctpTruncated));
    }
}
