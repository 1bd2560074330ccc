//! Who moves files? FTP, TFTP, SMB, NFS, rsync and the like.

use crate::dpi::Protocol;

/// The protocols of this group.
pub const PROTOCOLS: &[&Protocol] = &[];
