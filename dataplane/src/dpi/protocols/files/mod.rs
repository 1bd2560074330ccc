//! Who moves files? FTP, TFTP, SMB, NFS, rsync and the like.

pub mod dcerpc;
mod frames;
pub mod ftp;
mod ftp_data;
pub mod git;
mod interfaces;
pub(in crate::dpi::protocols) mod ntlmssp;
pub mod onc_rpc;
pub mod rsync;
pub mod smb;
pub mod stores;
pub mod tftp;
mod transfers;

use crate::dpi::Protocol;

/// The protocols of this group.
pub const PROTOCOLS: &[&Protocol] = &[
    &smb::SMB2,
    &smb::SMB1,
    &dcerpc::DCERPC,
    &onc_rpc::NFS,
    &onc_rpc::GLUSTERFS,
    &onc_rpc::RPC,
    &rsync::RSYNC,
    &git::GIT,
    &stores::SVN,
    &stores::CVS,
    &stores::CEPH,
    &stores::NBD,
    &stores::BJNP,
    &stores::OPENFT,
    &stores::HISLIP,
    &stores::PDL,
    &stores::ISCSI,
    &stores::AFP,
    &stores::LUSTRE,
    &stores::PERFORCE,
    &ftp::FTP,
    &ftp::FTPS,
    &tftp::TFTP,
    &stores::LPD,
    &stores::UFTP,
    &stores::RX,
    &ftp::FTP_DATA,
];

/// What a probe of a test sees: a first payload between a high port and `port`.
#[cfg(test)]
pub(in crate::dpi::protocols) fn peek_of(
    bytes: &[u8],
    way: crate::flow::Direction,
    port: u16,
    is_tcp: bool,
) -> crate::dpi::Peek<'_> {
    crate::dpi::Peek { way, ..crate::dpi::protocol::samples::peek(bytes, port, is_tcp) }
}
