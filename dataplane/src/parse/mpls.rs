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

#[cfg(test)]
mod tests {
    use super::MPLS_LABELS_MAX;
    use crate::parse::craft::{eth, inner_ipv4, inner_ipv6, join};
    use crate::parse::{Network, TUNNEL_DEPTH_MAX, Tunnel, ethernet, parse_ethernet};
    use crate::verdict::Reason;

    const LABEL: [u8; 4] = [0, 1, 0, 64];
    const BOTTOM: [u8; 4] = [0, 1, 1, 64];

    #[test]
    fn ip_below_labels_is_found_by_its_version() {
        for (packet, ethertype) in [(inner_ipv4(), ethernet::IPV4), (inner_ipv6(), ethernet::IPV6)] {
            let frame = eth(ethernet::MPLS, &join(&[&LABEL, &BOTTOM, &packet]));
            let headers = parse_ethernet(&frame).unwrap();
            assert_eq!((headers.l3_offset, headers.ethertype), (22, ethertype));
            assert_eq!((headers.ports(), headers.tunnel), ((1000, 2000), Tunnel::None));
        }
    }

    #[test]
    fn a_pseudowire_is_entered_with_and_without_control_word() {
        let inner = eth(ethernet::IPV4, &inner_ipv4());
        for control_word in [&[0u8; 4][..], &[]] {
            let frame = eth(ethernet::MPLS, &join(&[&BOTTOM, control_word, &inner]));
            assert_eq!(parse_ethernet(&frame).unwrap().ports(), (1000, 2000));
        }
    }

    #[test]
    fn what_only_looks_like_a_pseudowire_is_of_layer_2() {
        let frame = eth(ethernet::MPLS, &join(&[&BOTTOM, &eth(ethernet::IPV4, b"no header")]));
        assert_eq!(parse_ethernet(&frame).unwrap().network, Network::Other);
        let frame = eth(ethernet::MPLS, &join(&[&BOTTOM, &[0x10, 0, 0, 0]]));
        assert_eq!(parse_ethernet(&frame).unwrap().network, Network::Other);
    }

    #[test]
    fn pseudowires_inside_each_other_are_bounded() {
        let mut frame = eth(ethernet::IPV4, &inner_ipv4());
        for _ in 0..TUNNEL_DEPTH_MAX {
            frame = eth(ethernet::MPLS, &join(&[&BOTTOM, &frame]));
        }
        assert_eq!(parse_ethernet(&frame).unwrap().ports(), (1000, 2000));
        frame = eth(ethernet::MPLS, &join(&[&BOTTOM, &frame]));
        assert_eq!(parse_ethernet(&frame), Err(Reason::TunnelTooDeep));
    }

    #[test]
    fn a_stack_cut_short_is_truncated() {
        let frame = eth(ethernet::MPLS, &join(&[&LABEL, &BOTTOM[..3]]));
        assert_eq!(parse_ethernet(&frame), Err(Reason::MplsTruncated));
    }

    #[test]
    fn a_stack_without_a_bottom_is_too_deep() {
        let frame = eth(ethernet::MPLS, &join(&[&LABEL.repeat(MPLS_LABELS_MAX), &BOTTOM, &inner_ipv4()]));
        assert_eq!(parse_ethernet(&frame), Err(Reason::MplsTooDeep));
    }
}
