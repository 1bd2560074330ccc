//! Is this UDP payload a VXLAN packet? RFC 7348, and the group policy bits that Linux and Cisco send.

use super::walk::{Walk, be32};
use super::{Tunnel, ethernet};
use crate::verdict::Reason;

/// IANA's port.
pub(super) const PORT: u16 = 4789;
/// What Linux used before IANA assigned one, and Flannel still does.
pub(super) const PORT_LINUX: u16 = 8472;

const HEADER_LEN: usize = 8;
const VNI_PRESENT: u8 = 0x08;
/// `draft-smith-vxlan-group-policy`: a policy group in bytes 2 and 3.
const GROUP_POLICY: u8 = 0x80;

/// Enters the inner frame where the header is VXLAN's and an IP packet is inside.
#[cold]
pub(super) fn parse(walk: &mut Walk<'_>, at: usize) -> Result<(), Reason> {
    match vni(walk, at) {
        Ok(vni) => {
            walk.enter_if_valid(Tunnel::Vxlan, Some(vni), |walk| ethernet::parse(walk, at + HEADER_LEN))
        }
        Err(_) => Ok(()),
    }
}

fn vni(walk: &Walk<'_>, at: usize) -> Result<u32, Reason> {
    let header: &[u8; HEADER_LEN] = walk.header(at, Reason::Vxlan)?;
    let [flags, .., reserved] = *header;
    if flags & !GROUP_POLICY != VNI_PRESENT || reserved != 0 {
        return Err(Reason::Vxlan);
    }
    Ok(be32(header, 4) >> 8)
}
