//! What does the TCP header say, and is it one that a TCP would send? (RFC 9293 3.1)

use super::walk::{Walk, be16, be32};
use super::{Tcp, TcpFlags, TcpOptions, Transport, ip};
use crate::verdict::Reason;

const HEADER_LEN: usize = 20;

const END: u8 = 0;
const NOP: u8 = 1;
const MSS: u8 = 2;
const WINDOW_SCALE: u8 = 3;
const SACK_PERMITTED: u8 = 4;
const SACK: u8 = 5;
const TIMESTAMPS: u8 = 8;
const FAST_OPEN: u8 = 34;
/// RFC 6994: shared by experiments, told apart by a magic number.
const EXPERIMENT: u8 = 254;
const FAST_OPEN_MAGIC: [u8; 2] = [0xf9, 0x89];

/// Validates the header, its options and its flags; the payload is what follows.
pub(super) fn parse(walk: &mut Walk<'_>, at: usize) -> Result<(), Reason> {
    let (tcp, header_len) = read(walk.rest(at))?;
    if tcp.src_port == tcp.dst_port {
        ip::refuse_land(walk)?;
    }
    walk.headers.payload_offset = (at + header_len) as u16;
    walk.headers.transport = Transport::Tcp(tcp);
    Ok(())
}

/// The header that `segment` starts with, and its length.
pub(super) fn read(segment: &[u8]) -> Result<(Tcp, usize), Reason> {
    let header: &[u8; HEADER_LEN] = segment.first_chunk().ok_or(Reason::TcpTruncated)?;
    let header_len = usize::from(header[12] >> 4) * 4;
    let Some(option_bytes) = segment.get(HEADER_LEN..header_len) else {
        return Err(Reason::TcpHeaderLength);
    };
    if !are_possible(TcpFlags(header[13])) {
        return Err(Reason::TcpFlags);
    }
    Ok((fields(header, options(option_bytes)?), header_len))
}

/// As [`read`], where nothing is wrong and the options are none or those of an established connection
/// (RFC 7323 appendix A), which is known without a loop.
#[inline(always)]
pub(super) fn read_established(segment: &[u8]) -> Option<(Tcp, usize)> {
    const STAMPED: [u8; 4] = [NOP, NOP, TIMESTAMPS, 10];
    const STAMPED_LEN: usize = HEADER_LEN + 12;
    let header: &[u8; HEADER_LEN] = segment.first_chunk()?;
    let header_len = usize::from(header[12] >> 4) * 4;
    let timestamps = match header_len {
        HEADER_LEN => None,
        STAMPED_LEN => {
            let header: &[u8; STAMPED_LEN] = segment.first_chunk()?;
            if header[HEADER_LEN..HEADER_LEN + 4] != STAMPED {
                return None;
            }
            Some((be32(header, 24), be32(header, 28)))
        }
        _ => return None,
    };
    if !are_possible(TcpFlags(header[13])) {
        return None;
    }
    let options = TcpOptions { timestamps, ..TcpOptions::default() };
    Some((fields(header, options), header_len))
}

#[inline]
fn fields(header: &[u8; HEADER_LEN], options: TcpOptions) -> Tcp {
    Tcp {
        src_port: be16(header, 0),
        dst_port: be16(header, 2),
        seq: be32(header, 4),
        ack: be32(header, 8),
        flags: TcpFlags(header[13]),
        window: be16(header, 14),
        options,
    }
}

/// SYN excludes FIN and RST, and some flag besides the two of ECN is always set.
#[inline]
const fn are_possible(flags: TcpFlags) -> bool {
    const CONTROL: u8 =
        TcpFlags::FIN | TcpFlags::SYN | TcpFlags::RST | TcpFlags::PSH | TcpFlags::ACK | TcpFlags::URG;
    flags.has(CONTROL) && !(flags.syn() && flags.has(TcpFlags::FIN | TcpFlags::RST))
}

/// The options that later rooms need; an unknown one is only measured.
fn options(bytes: &[u8]) -> Result<TcpOptions, Reason> {
    let mut found = TcpOptions::default();
    let mut rest = bytes;
    loop {
        let (kind, length) = match *rest {
            [] | [END, ..] => return Ok(found),
            [NOP, ..] => {
                rest = &rest[1..];
                continue;
            }
            [kind, length, ..] if length >= 2 => (kind, usize::from(length)),
            _ => return Err(Reason::TcpOptions),
        };
        let data = rest.get(2..length).ok_or(Reason::TcpOptions)?;
        match (kind, data) {
            (MSS, [high, low]) => found.mss = u16::from_be_bytes([*high, *low]),
            (WINDOW_SCALE, [shift]) => found.window_scale = Some(*shift),
            (SACK_PERMITTED, []) => found.sack_permitted = true,
            (TIMESTAMPS, stamps) if stamps.len() == 8 => {
                found.timestamps = Some((be32(stamps, 0), be32(stamps, 4)));
            }
            // RFC 2018 3: pairs of edges.
            (SACK, edges) if edges.len() % 8 == 0 => {}
            (MSS | WINDOW_SCALE | SACK_PERMITTED | TIMESTAMPS | SACK, _) => return Err(Reason::TcpOptions),
            (FAST_OPEN, _) => found.fast_open = true,
            (EXPERIMENT, [first, second, ..]) if [*first, *second] == FAST_OPEN_MAGIC => {
                found.fast_open = true;
            }
            _ => {}
        }
        rest = &rest[length..];
    }
}

#[cfg(test)]
mod tests {
    use crate::parse::craft::{eth, ipv4, tcp};
    use crate::parse::{Headers, Protocol, Tcp, TcpFlags, TcpOptions, Transport, ethernet, parse_ethernet};
    use crate::verdict::Reason;

    fn parse(segment: &[u8]) -> Result<Headers, Reason> {
        parse_ethernet(&eth(ethernet::IPV4, &ipv4(Protocol::TCP, segment)))
    }

    fn options_of(options: &[u8]) -> Result<TcpOptions, Reason> {
        match parse(&tcp(TcpFlags::SYN, options, &[]))?.transport {
            Transport::Tcp(tcp) => Ok(tcp.options),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_fields_are_read() {
        let headers = parse(&tcp(TcpFlags::ACK | TcpFlags::PSH, &[], b"data")).unwrap();
        let expected = Tcp {
            src_port: 40_000,
            dst_port: 80,
            seq: 1,
            ack: 2,
            flags: TcpFlags(0x18),
            window: 0x2000,
            options: TcpOptions::default(),
        };
        assert_eq!(headers.transport, Transport::Tcp(expected));
        assert_eq!((headers.l4_offset, headers.payload_offset, headers.end), (34, 54, 58));
    }

    #[test]
    fn a_header_cut_short_is_truncated() {
        assert_eq!(parse(&tcp(TcpFlags::ACK, &[], &[])[..19]), Err(Reason::TcpTruncated));
    }

    #[test]
    fn an_impossible_header_length_is_refused() {
        for offset in [4, 6] {
            let mut segment = tcp(TcpFlags::ACK, &[], &[]);
            segment[12] = offset << 4;
            assert_eq!(parse(&segment), Err(Reason::TcpHeaderLength));
        }
    }

    #[test]
    fn flags_that_no_stack_sends_are_refused() {
        const F: u8 = TcpFlags::FIN;
        const S: u8 = TcpFlags::SYN;
        for flags in [0, TcpFlags::ECE | TcpFlags::CWR, S | F, S | TcpFlags::RST, S | F | TcpFlags::ACK] {
            assert_eq!(parse(&tcp(flags, &[], &[])), Err(Reason::TcpFlags), "{flags:#x}");
        }
        for flags in [S, S | TcpFlags::ACK, S | TcpFlags::ECE | TcpFlags::CWR, F, TcpFlags::RST] {
            assert!(parse(&tcp(flags, &[], &[])).is_ok(), "{flags:#x}");
        }
    }

    #[test]
    fn the_options_of_a_syn_are_read() {
        let options = [2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 7, 0, 0, 0, 0, 1, 3, 3, 7];
        let expected = TcpOptions {
            mss: 1460,
            window_scale: Some(7),
            sack_permitted: true,
            timestamps: Some((7, 0)),
            fast_open: false,
        };
        assert_eq!(options_of(&options), Ok(expected));
    }

    #[test]
    fn aligned_timestamps_are_read_alone() {
        let expected = TcpOptions { timestamps: Some((1, 2)), ..TcpOptions::default() };
        assert_eq!(options_of(&[1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2]), Ok(expected));
        assert_eq!(options_of(&[1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0]), Ok(expected));
    }

    #[test]
    fn fast_open_is_known_by_both_its_numbers() {
        assert!(options_of(&[34, 2, 1, 1]).unwrap().fast_open);
        assert!(options_of(&[254, 4, 0xf9, 0x89]).unwrap().fast_open);
        assert!(!options_of(&[254, 4, 0, 0]).unwrap().fast_open);
    }

    #[test]
    fn nothing_behind_the_end_of_options_counts() {
        assert_eq!(options_of(&[0, 2, 9, 9]), Ok(TcpOptions::default()));
    }

    #[test]
    fn an_option_that_runs_past_the_header_is_refused() {
        for options in [[2, 5, 0, 0], [99, 0, 0, 0], [99, 1, 0, 0], [1, 1, 1, 2]] {
            assert_eq!(options_of(&options), Err(Reason::TcpOptions), "{options:?}");
        }
    }

    #[test]
    fn an_option_of_impossible_length_is_refused() {
        for options in [[2, 3, 0, 0], [3, 2, 0, 0], [4, 3, 0, 0], [8, 4, 0, 0], [5, 4, 0, 0]] {
            assert_eq!(options_of(&options), Err(Reason::TcpOptions), "{options:?}");
        }
    }
}
