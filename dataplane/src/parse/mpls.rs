//! What is below the label stack? MPLS (RFC 3032) carries no type: the first nibble tells (RFC 4928).

use super::walk::{Walk, be16, be32};
use super::{ethernet, ipv4, ipv6};
use crate::verdict::Reason;

/// Labels followed in one stack.
pub const MPLS_LABELS_MAX: usize = 8;

const LABEL_LEN: usize = 4;
const BOTTOM_OF_STACK: u32 = 0x100;
/// RFC 4448 4.6: the control word of an Ethernet pseudowire starts with a zero nibble.
const CONTROL_WORD_LEN: usize = 4;

/// Skips the labels, then follows IPv4, IPv6, or Ethernet where it looks so.
pub(super) fn parse(walk: &mut Walk<'_>, at: usize) -> Result<(), Reason> {
    let mut at = at;
    for _ in 0..MPLS_LABELS_MAX {
        let label: &[u8; LABEL_LEN] = walk.header(at, Reason::MplsTruncated)?;
        at += LABEL_LEN;
        if be32(label, 0) & BOTTOM_OF_STACK != 0 {
            return below(walk, at);
        }
    }
    Err(Reason::MplsTooDeep)
}

fn below(walk: &mut Walk<'_>, at: usize) -> Result<(), Reason> {
    match walk.rest(at).first().map(|byte| byte >> 4) {
        Some(4) => {
            walk.headers.ethertype = ethernet::IPV4;
            ipv4::parse(walk, at)
        }
        Some(6) => {
            walk.headers.ethertype = ethernet::IPV6;
            ipv6::parse(walk, at)
        }
        Some(0) if looks_like_ethernet(walk, at + CONTROL_WORD_LEN) => {
            pseudowire(walk, at, at + CONTROL_WORD_LEN)
        }
        Some(_) if looks_like_ethernet(walk, at) => pseudowire(walk, at, at),
        Some(_) | None => walk.other(at),
    }
}

fn looks_like_ethernet(walk: &Walk<'_>, at: usize) -> bool {
    walk.rest(at)
        .first_chunk::<{ ethernet::HEADER_LEN }>()
        .is_some_and(|header| ethernet::is_common(be16(header, 12)))
}

/// Ethernet that was only guessed: where it does not hold, it is something else of layer 2.
fn pseudowire(walk: &mut Walk<'_>, at: usize, ethernet_at: usize) -> Result<(), Reason> {
    let outside = *walk;
    walk.nest()?;
    match ethernet::parse(walk, ethernet_at) {
        Ok(()) => Ok(()),
        Err(reason) => {
            let proven = walk.headers.l3_offset != outside.headers.l3_offset;
            if proven || reason == Reason::TunnelTooDeep {
                return Err(reason);
            }
            *walk = outside;
            walk.other(at)
        }
    }
}
