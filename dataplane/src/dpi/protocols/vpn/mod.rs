//! Who hides in a tunnel? VPNs, proxies, onion routing.

mod ike;
mod openvpn;
mod socks;
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
    &tunnels::PPTP,
    &tunnels::L2TP,
    &tunnels::TINC,
    &tunnels::AYIYA,
    &tunnels::ZEROTIER,
    &tunnels::SOFTETHER,
    &tunnels::CISCO_VPN,
    &tunnels::FORTICLIENT,
    &tunnels::ULTRASURF,
    &tunnels::NEBULA,
];
