//! What does the UDP header say, and does the port hint at a tunnel? (RFC 768)

use super::walk::Walk;
use super::{Transport, geneve, gtpu, ip, teredo, vxlan};
use crate::verdict::Reason;

pub(super) const HEADER_LEN: usize = 8;

/// Validates the length, then looks into the tunnels that a port hints at.
#[inline]
pub(super) fn parse(walk: &mut Walk<'_>, at: usize) -> Result<(), Reason> {
    let header: &[u8; HEADER_LEN] = walk.header(at, Reason::UdpTruncated)?;
    let [s0, s1, d0, d1, l0, l1, _, _] = *header;
    let available = walk.left(at);
    let mut length = usize::from(u16::from_be_bytes([l0, l1]));
    if length < HEADER_LEN || length > available {
        length = length_zero(walk, length, available)?;
    }
    walk.trim(at + length);
    let (src_port, dst_port) = (u16::from_be_bytes([s0, s1]), u16::from_be_bytes([d0, d1]));
    if src_port == dst_port {
        ip::refuse_land(walk)?;
    }
    let payload = at + HEADER_LEN;
    walk.headers.payload_offset = payload as u16;
    walk.headers.transport = Transport::Udp { src_port, dst_port };
    match dst_port {
        vxlan::PORT | vxlan::PORT_LINUX => vxlan::parse(walk, payload),
        geneve::PORT => geneve::parse(walk, payload),
        gtpu::PORT => gtpu::parse(walk, payload),
        teredo::PORT => teredo::parse(walk, payload),
        _ if src_port == teredo::PORT => teredo::parse(walk, payload),
        _ => Ok(()),
    }
}

/// RFC 2675 4: over IPv6 a length of zero means "as long as IP says"; nothing else out of range is right.
#[cold]
fn length_zero(walk: &Walk<'_>, length: usize, available: usize) -> Result<usize, Reason> {
    let version = walk.rest(usize::from(walk.headers.l3_offset)).first().map(|byte| byte >> 4);
    if length == 0 && version == Some(6) { Ok(available) } else { Err(Reason::UdpLength) }
}
