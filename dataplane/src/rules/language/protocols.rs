//! The second word of a rule: kinds of packets, and protocols of applications under Suricata's names.

use crate::rules::rule::{HeaderProtocol, PacketProtocol as Packet};

/// Kinds of packets, as rules call them.
const PACKETS: &[(&str, Packet)] = &[
    ("ip", Packet::Ip),
    ("ip4", Packet::Ipv4),
    ("ipv4", Packet::Ipv4),
    ("ip6", Packet::Ipv6),
    ("ipv6", Packet::Ipv6),
    ("tcp", Packet::Tcp),
    ("tcp-pkt", Packet::TcpPacket),
    ("tcp-stream", Packet::TcpStream),
    ("udp", Packet::Udp),
    ("icmp", Packet::Icmp),
    ("icmpv4", Packet::Icmpv4),
    ("icmpv6", Packet::Icmpv6),
    ("sctp", Packet::Sctp),
    ("igmp", Packet::Igmp),
    ("arp", Packet::Arp),
    ("ether", Packet::Ethernet),
    ("pkthdr", Packet::PacketHeader),
];

/// Protocols of applications as rules call them, and their name in EVE's `app_proto`.
const APPLICATIONS: &[(&str, &str)] = &[
    ("http", "http"),
    ("http1", "http1"),
    ("http2", "http2"),
    ("ftp", "ftp"),
    ("ftp-data", "ftp-data"),
    ("smtp", "smtp"),
    ("tls", "tls"),
    ("ssl", "tls"),
    ("ssh", "ssh"),
    ("imap", "imap"),
    ("pop3", "pop3"),
    ("jabber", "jabber"),
    ("smb", "smb"),
    ("dcerpc", "dcerpc"),
    ("dns", "dns"),
    ("mdns", "mdns"),
    ("llmnr", "llmnr"),
    ("modbus", "modbus"),
    ("enip", "enip"),
    ("dnp3", "dnp3"),
    ("nfs", "nfs"),
    ("ntp", "ntp"),
    ("tftp", "tftp"),
    ("ike", "ike"),
    ("krb5", "krb5"),
    ("quic", "quic"),
    ("dhcp", "dhcp"),
    ("snmp", "snmp"),
    ("sip", "sip"),
    ("rfb", "rfb"),
    ("mqtt", "mqtt"),
    ("pgsql", "pgsql"),
    ("telnet", "telnet"),
    ("websocket", "websocket"),
    ("ldap", "ldap"),
    ("doh2", "doh2"),
    ("rdp", "rdp"),
    ("bittorrent-dht", "bittorrent-dht"),
];

/// The protocol that a rule's second word names.
#[must_use]
pub fn header_protocol(word: &str) -> Option<HeaderProtocol> {
    let packet = PACKETS.iter().find(|(name, _kind)| name.eq_ignore_ascii_case(word));
    packet
        .map(|(_name, kind)| HeaderProtocol::Packet(*kind))
        .or_else(|| application(word).map(HeaderProtocol::Application))
}

/// EVE's name of an application's protocol.
#[must_use]
pub fn application(word: &str) -> Option<&'static str> {
    APPLICATIONS.iter().find(|(name, _eve)| name.eq_ignore_ascii_case(word)).map(|(_name, eve)| *eve)
}
