//! Which VLANs is the frame in? IEEE 802.1Q tags, 802.1ad (QinQ) and the older 0x9100.

use super::ethernet::{QINQ, QINQ_OLD, VLAN};
use super::walk::{Walk, be16};
use crate::verdict::Reason;

/// Tags followed behind one Ethernet header.
pub const VLAN_TAGS_MAX: usize = 3;

/// Tag control information, then the EtherType of what follows.
const TAG_LEN: usize = 4;
const VID: u16 = 0x0fff;

/// Skips the tags at `at`, if `ethertype` announces any; returns what follows them and where.
///
/// The first tag of the frame is noted as outer, the second as inner, wherever in the frame they are.
pub(super) fn skip(walk: &mut Walk<'_>, at: usize, ethertype: u16) -> Result<(usize, u16), Reason> {
    let mut at = at;
    let mut ethertype = ethertype;
    for _ in 0..=VLAN_TAGS_MAX {
        if !matches!(ethertype, VLAN | QINQ | QINQ_OLD) {
            return Ok((at, ethertype));
        }
        let tag: &[u8; TAG_LEN] = walk.header(at, Reason::VlanTruncated)?;
        let vid = be16(tag, 0) & VID;
        match walk.vlan_tags {
            0 => walk.headers.vlan_outer = vid,
            1 => walk.headers.vlan_inner = vid,
            _ => {}
        }
        walk.vlan_tags = walk.vlan_tags.saturating_add(1);
        ethertype = be16(tag, 2);
        at += TAG_LEN;
    }
    Err(Reason::VlanTooDeep)
}

#[cfg(test)]
mod tests {
    use super::{QINQ, QINQ_OLD, VLAN};
    use crate::parse::craft::{eth, inner_ipv4, vlan};
    use crate::parse::{ethernet, parse_ethernet};
    use crate::verdict::Reason;

    #[test]
    fn one_tag_is_the_outer_vlan() {
        let frame = eth(VLAN, &vlan(0x6064, ethernet::IPV4, &inner_ipv4()));
        let headers = parse_ethernet(&frame).unwrap();
        assert_eq!((headers.vlan_outer, headers.vlan_inner), (100, 0), "priority bits are no part of it");
        assert_eq!((headers.ethertype, headers.l3_offset), (ethernet::IPV4, 18));
        assert_eq!(headers.ports(), (1000, 2000));
    }

    #[test]
    fn stacked_tags_are_outer_and_inner() {
        for outer in [VLAN, QINQ, QINQ_OLD] {
            let frame = eth(outer, &vlan(7, VLAN, &vlan(8, ethernet::IPV4, &inner_ipv4())));
            let headers = parse_ethernet(&frame).unwrap();
            assert_eq!((headers.vlan_outer, headers.vlan_inner, headers.l3_offset), (7, 8, 22));
        }
    }

    #[test]
    fn a_third_tag_is_skipped_and_a_fourth_is_too_deep() {
        let three = vlan(1, VLAN, &vlan(2, VLAN, &vlan(3, ethernet::IPV4, &inner_ipv4())));
        assert_eq!(parse_ethernet(&eth(VLAN, &three)).unwrap().l3_offset, 26);
        let four = eth(VLAN, &vlan(9, VLAN, &three));
        assert_eq!(parse_ethernet(&four), Err(Reason::VlanTooDeep));
    }

    #[test]
    fn a_tag_cut_short_is_truncated() {
        let frame = eth(VLAN, &[0, 100, 8]);
        assert_eq!(parse_ethernet(&frame), Err(Reason::VlanTruncated));
    }
}
