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
#[inline]
pub(super) fn parse(walk: &mut Walk<'_>, at: usize) -> Result<(), Reason> {
    let header: &[u8; HEADER_LEN] = walk.header(at, Reason::TcpTruncated)?;
    let header_len = usize::from(header[12] >> 4) * 4;
    if header_len < HEADER_LEN || header_len > walk.left(at) {
        return Err(Reason::TcpHeaderLength);
    }
    let flags = TcpFlags(header[13]);
    if !are_possible(flags) {
        return Err(Reason::TcpFlags);
    }
    let options = match walk.rest(at + HEADER_LEN).get(..header_len - HEADER_LEN) {
        None | Some([]) => TcpOptions::default(),
        Some(bytes) => options(bytes)?,
    };
    let tcp = Tcp {
        src_port: be16(header, 0),
        dst_port: be16(header, 2),
        seq: be32(header, 4),
        ack: be32(header, 8),
        flags,
        window: be16(header, 14),
        options,
    };
    if tcp.src_port == tcp.dst_port {
        ip::refuse_land(walk)?;
    }
    walk.headers.payload_offset = (at + header_len) as u16;
    walk.headers.transport = Transport::Tcp(tcp);
    Ok(())
}

/// SYN excludes FIN and RST, and some flag besides the two of ECN is always set.
#[inline]
const fn are_possible(flags: TcpFlags) -> bool {
    const CONTROL: u8 =
        TcpFlags::FIN | TcpFlags::SYN | TcpFlags::RST | TcpFlags::PSH | TcpFlags::ACK | TcpFlags::URG;
    flags.has(CONTROL) && !(flags.syn() && flags.has(TcpFlags::FIN | TcpFlags::RST))
}

/// The options that later rooms need; an unknown one is only measured.
#[inline]
fn options(bytes: &[u8]) -> Result<TcpOptions, Reason> {
    // What an established connection sends (RFC 7323 appendix A).
    if let [NOP, NOP, TIMESTAMPS, 10, stamps @ ..] = bytes
        && stamps.len() == 8
    {
        let timestamps = Some((be32(stamps, 0), be32(stamps, 4)));
        return Ok(TcpOptions { timestamps, ..TcpOptions::default() });
    }
    each_option(bytes)
}

#[inline(never)]
fn each_option(bytes: &[u8]) -> Result<TcpOptions, Reason> {
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
