//! Who hides in a tunnel? VPNs, proxies, onion routing.

mod ike;
mod l2tp;
mod openvpn;
mod pptp;
mod socks;
mod tor_control;
mod tunnels;
mod wireguard;

use crate::dpi::Protocol;

/// The protocols of this group.
pub const PROTOCOLS: &[&Protocol] = &[
    &openvpn::OPENVPN,
    &wireguard::TAILSCALE,
    &wireguard::WIREGUARD,
    &wireguard::CLOUDFLARE_WARP,
    &ike::IPSEC,
    &socks::SOCKS,
    &pptp::PPTP,
    &l2tp::L2TP,
    &tor_control::TOR_CONTROL,
    &tunnels::TINC,
    &tunnels::AYIYA,
    &tunnels::ZEROTIER,
    &tunnels::SOFTETHER,
    &tunnels::CISCO_VPN,
    &tunnels::FORTICLIENT,
    &tunnels::ULTRASURF,
    &tunnels::NEBULA,
];
