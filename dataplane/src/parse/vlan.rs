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
