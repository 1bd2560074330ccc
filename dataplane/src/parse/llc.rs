//! What is behind a length field instead of an EtherType: LLC, and SNAP with an EtherType again (RFC 1042).

use super::ethernet;
use super::walk::{Walk, be16};
use crate::verdict::Reason;

/// DSAP and SSAP of SNAP, unnumbered information, and the two organisation codes that mean "an EtherType
/// follows": RFC 1042 and IEEE 802.1H.
const SNAP_ETHERTYPE: [[u8; 6]; 2] = [[0xaa, 0xaa, 3, 0, 0, 0], [0xaa, 0xaa, 3, 0, 0, 0xf8]];

/// SNAP is followed into IP; STP, IS-IS, CDP and the rest of LLC are passed on untracked.
pub(super) fn parse(walk: &mut Walk<'_>, at: usize) -> Result<(), Reason> {
    match walk.rest(at).first_chunk::<8>() {
        Some(header) if SNAP_ETHERTYPE.iter().any(|snap| header.starts_with(snap)) => {
            let ethertype = be16(header, 6);
            if ethertype < ethernet::ETHERTYPE_MIN {
                return walk.other(at);
            }
            ethernet::parse_payload(walk, at + 8, ethertype)
        }
        Some(_) | None => walk.other(at),
    }
}
