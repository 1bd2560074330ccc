//! What keeps networks running? Routing, management, monitoring.

pub mod access;
pub mod daemons;
pub mod flows;
pub mod gtp;
pub mod measuring;
pub mod mobile;
pub mod monitoring;
pub mod packets;
pub mod routing;
pub mod snmp;
mod syslog;
pub mod tunnels;

use crate::dpi::Protocol;

/// The protocols of this group.
pub const PROTOCOLS: &[&Protocol] = &[
    &packets::ICMP,
    &packets::ICMPV6,
    &packets::IGMP,
    &packets::GRE,
    &packets::IP_IN_IP,
    &packets::EGP,
    &packets::IGRP,
    &packets::EIGRP,
    &packets::OSPF,
    &packets::PIM,
    &packets::VRRP,
    &packets::PGM,
    &packets::RSVP,
    &packets::ETHERIP,
    &packets::IPCOMP,
    &packets::HIP,
    &packets::SCTP,
    &snmp::SNMP,
    &access::RADIUS,
    &daemons::DISTCC,
    &daemons::GPSD,
    &daemons::DICT,
    &daemons::OVSDB,
    &daemons::PULSEAUDIO,
    &daemons::SANE,
    &daemons::WAKE_ON_LAN,
    &access::DIAMETER,
    &access::TACACS,
    &routing::BGP,
    &routing::LDP,
    &routing::BFD,
    &routing::HSRP,
    &routing::GLBP,
    &routing::RIP,
    &routing::RIPNG,
    &routing::LISP,
    &routing::WCCP,
    &routing::OPENFLOW,
    &routing::DLEP,
    &routing::CPHA,
    &gtp::GTP_U,
    &gtp::GTP_C,
    &mobile::GTP_PRIME,
    &mobile::GTP,
    &mobile::PFCP,
    &mobile::S1AP,
    &mobile::X2AP,
    &mobile::NGAP,
    &mobile::XNAP,
    &mobile::F1AP,
    &mobile::E1AP,
    &mobile::M3UA,
    &mobile::M2UA,
    &mobile::M2PA,
    &mobile::SUA,
    &mobile::IUA,
    &tunnels::CAPWAP,
    &tunnels::LWAPP,
    &tunnels::TEREDO,
    &tunnels::VXLAN,
    &tunnels::GENEVE,
    &tunnels::TZSP,
    &flows::NETFLOW,
    &flows::SFLOW,
    &monitoring::SYSLOG,
    &monitoring::COLLECTD,
    &monitoring::STATSD,
    &monitoring::GRAPHITE,
    &monitoring::ZABBIX,
    &monitoring::MUNIN,
    &monitoring::CHECKMK,
    &monitoring::NRPE,
    &monitoring::RMCP,
    &monitoring::KISMET,
    &measuring::OOKLA,
    &measuring::RIPE_ATLAS,
    &measuring::IPERF,
    &measuring::ICP,
    &measuring::HTCP,
    &measuring::FLUTE,
    &measuring::TPLINK,
    &measuring::UBIQUITI,
    &measuring::MNDP,
];

/// The protocol of an IP protocol number, where the number alone says it.
#[must_use]
pub const fn by_ip_protocol(number: u8) -> Option<&'static Protocol> {
    packets::by_number(number)
}
