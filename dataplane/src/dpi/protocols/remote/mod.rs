//! Who controls another machine? SSH, Telnet, RDP, VNC; directories and logins.

pub mod desktops;
pub mod kerberos;
pub mod ldap;
pub mod rdp;
pub mod ssh;
pub mod telnet;
pub mod terminal;
pub mod vnc;

use crate::dpi::Protocol;

/// The protocols of this group.
pub const PROTOCOLS: &[&Protocol] = &[
    &ssh::SSH,
    &vnc::VNC,
    &rdp::RDP,
    &kerberos::KERBEROS,
    &ldap::LDAP,
    &desktops::CITRIX,
    &desktops::SPICE,
    &desktops::NOMACHINE,
    &desktops::X11,
    &desktops::VMWARE,
    &desktops::TEAMVIEWER,
    &desktops::RADMIN,
    &desktops::DAMEWARE,
    &desktops::REMOTESCAN,
    &desktops::RUSTDESK,
    &desktops::MOSH,
    &telnet::TELNET,
    &terminal::RSH,
];
