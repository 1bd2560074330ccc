//! Is this UDP payload a Geneve packet? RFC 8926.

use super::walk::{Walk, be16, be32};
use super::{Tunnel, ethernet};
use crate::verdict::Reason;

pub(super) const PORT: u16 = 6081;

const HEADER_LEN: usize = 8;
const OPTION_HEADER_LEN: usize = 4;

/// Enters the inner packet where the header and its options are Geneve's and an IP packet is inside.
#[cold]
pub(super) fn parse(walk: &mut Walk<'_>, at: usize) -> Result<(), Reason> {
    let Ok(geneve) = check(walk, at) else { return Ok(()) };
    walk.enter_if_valid(Tunnel::Geneve, Some(geneve.vni), |walk| match geneve.protocol {
        ethernet::BRIDGED => ethernet::parse(walk, geneve.inner_at),
        ethertype => ethernet::parse_payload(walk, geneve.inner_at, ethertype),
    })
}

struct Geneve {
    vni: u32,
    protocol: u16,
    inner_at: usize,
}

fn check(walk: &Walk<'_>, at: usize) -> Result<Geneve, Reason> {
    let header: &[u8; HEADER_LEN] = walk.header(at, Reason::Geneve)?;
    let [version_length, _, _, _, _, _, _, reserved] = *header;
    let protocol = be16(header, 2);
    if version_length >> 6 != 0 || reserved != 0 || protocol < ethernet::ETHERTYPE_MIN {
        return Err(Reason::Geneve);
    }
    let options_len = usize::from(version_length & 0x3f) * 4;
    let mut options = walk.rest(at + HEADER_LEN).get(..options_len).ok_or(Reason::Geneve)?;
    while let Some(option) = options.first_chunk::<OPTION_HEADER_LEN>() {
        let length = OPTION_HEADER_LEN + usize::from(option[3] & 0x1f) * 4;
        options = options.get(length..).ok_or(Reason::Geneve)?;
    }
    Ok(Geneve { vni: be32(header, 4) >> 8, protocol, inner_at: at + HEADER_LEN + options_len })
}
