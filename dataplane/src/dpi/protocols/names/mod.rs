//! Who asks for names and addresses? DNS and its siblings, DHCP, time.

mod asked;
mod clock;
pub mod dhcp;
pub mod discovery;
pub mod dns;
pub(super) mod line;
mod message;
pub mod netbios;
mod rdata;
mod suspicion;
pub mod time;
mod told;

use crate::dpi::Protocol;
pub(in crate::dpi) use suspicion::entropy;

/// The protocols of this group.
pub const PROTOCOLS: &[&Protocol] = &[
    &discovery::DNSCRYPT,
    &dns::DNS,
    &dns::MDNS,
    &dns::LLMNR,
    &netbios::NETBIOS,
    &dhcp::DHCP,
    &dhcp::DHCPV6,
    &time::NTP,
    &time::PTP,
    &time::ROUGHTIME,
    &discovery::SLP,
    &discovery::NAT_PMP,
    &discovery::PCP,
    &discovery::WHOIS,
    &discovery::XDMCP,
];
