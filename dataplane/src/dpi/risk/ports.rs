//! Is a protocol where it belongs? By the port of the server, over TCP or UDP.
//!
//! Few ports and protocols, those whose owners everybody agrees on (IANA's registry, and what is usual beside it): a
//! table of all would cry wolf on every service that listens on some high port.

use crate::dpi::{Category, Protocol};

/// Ports that belong to somebody, and whose protocols may be met there. `tls` and `http` stand for whatever EVE calls so.
const OWNERS: &[(u16, Over, &[&str])] = &[
    (21, Over::Tcp, &["ftp", "tls"]),
    (22, Over::Tcp, &["ssh"]),
    (23, Over::Tcp, &["telnet"]),
    (25, Over::Tcp, &["smtp", "tls"]),
    (53, Over::Tcp, &["dns", "tls"]),
    (53, Over::Udp, &["dns", "dnscrypt"]),
    (67, Over::Udp, &["dhcp"]),
    (80, Over::Tcp, &["http", "http2", "websocket", "rtsp", "rtmp"]),
    (110, Over::Tcp, &["pop3", "tls"]),
    (123, Over::Udp, &["ntp"]),
    (143, Over::Tcp, &["imap", "tls"]),
    (161, Over::Udp, &["snmp"]),
    (389, Over::Tcp, &["ldap", "tls"]),
    (443, Over::Tcp, &["tls", "dnscrypt"]),
    (443, Over::Udp, &["quic", "dtls", "tls", "stun", "rtp", "rtcp", "dnscrypt"]),
    (445, Over::Tcp, &["smb", "dcerpc"]),
    (465, Over::Tcp, &["smtp", "tls"]),
    (587, Over::Tcp, &["smtp", "tls"]),
    (636, Over::Tcp, &["tls"]),
    (993, Over::Tcp, &["tls"]),
    (995, Over::Tcp, &["tls"]),
    (3306, Over::Tcp, &["mysql", "tls"]),
    (3389, Over::Tcp, &["rdp", "tls"]),
    (5432, Over::Tcp, &["postgresql", "tls"]),
];

/// Protocols with a home, and the ports where they are usual.
const HOMES: &[(&str, &[u16])] = &[
    ("ssh", &[22, 2222]),
    ("telnet", &[23, 107, 2323, 3023]),
    ("ftp", &[21, 2121, 990]),
    ("smtp", &[25, 465, 587, 2525]),
    ("pop3", &[110, 995]),
    ("imap", &[143, 993]),
    ("dns", &[53, 5353, 5355]),
    ("snmp", &[161, 162]),
    ("ldap", &[389, 636, 3268, 3269]),
    ("smb", &[445, 137, 138, 139]),
    ("rdp", &[3389, 3388]),
    ("mysql", &[3306, 33_060]),
    ("postgresql", &[5432, 5433, 6432]),
];

/// Below here ports are the system's (RFC 6335 6).
const SYSTEM_PORTS: u16 = 1_024;

/// System ports of HTTP and TLS; above them both are everywhere.
const WEB_PORTS: &[(&str, &[u16])] = &[
    ("http", &[80, 81, 82, 83, 84, 85, 86, 87, 88, 280, 443, 591, 593, 631, 808, 880, 888]),
    (
        "tls",
        &[
            443, 21, 25, 53, 88, 110, 143, 389, 444, 448, 449, 465, 563, 587, 614, 631, 636, 832, 853, 902,
            981, 989, 990, 992, 993, 994, 995,
        ],
    ),
];

/// What carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    Tcp,
    Udp,
}

/// What is wrong with a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// The port is another protocol's.
    OfAnother(&'static str),
    /// The protocol is elsewhere at home, at this port for instance.
    Unusual(u16),
}

/// Whether `protocol` is out of place between `client` and `server`. A flow may have been seen the wrong way round, so
/// that both ports count where they speak for the protocol, and only the server's where it speaks against.
pub(super) fn place(protocol: &Protocol, over: Over, (client, server): (u16, u16)) -> Option<Place> {
    let family = family_of(protocol);
    let at_home = HOMES.iter().find(|(name, _)| *name == family).map(|(_, ports)| *ports);
    if at_home.is_some_and(|ports| ports.contains(&client) || ports.contains(&server)) {
        return None;
    }
    let owner = OWNERS.iter().find(|(port, by, _)| (*port, *by) == (server, over));
    if let Some((_, _, welcome)) = owner {
        let is_guest = matches!(server, 80 | 443) && is_everywhere(protocol.category);
        return match welcome.first() {
            Some(owner) if !welcome.contains(&family) && !is_guest => Some(Place::OfAnother(owner)),
            _ => None,
        };
    }
    let web =
        WEB_PORTS.iter().find(|(name, _)| *name == family && server < SYSTEM_PORTS && over == Over::Tcp);
    let ports = at_home.or(web.map(|(_, ports)| *ports))?;
    if ports.contains(&server) {
        return None;
    }
    ports.first().map(|home| Place::Unusual(*home))
}

/// Whether programs of this kind try the web's ports by design, where others are closed.
const fn is_everywhere(category: Category) -> bool {
    matches!(
        category,
        Category::Chat
            | Category::Messaging
            | Category::Game
            | Category::Voip
            | Category::Media
            | Category::Streaming
            | Category::Video
            | Category::Music
            | Category::SocialNetwork
    )
}

/// One name for what is told apart by its uses or versions.
fn family_of(protocol: &Protocol) -> &'static str {
    match protocol.name {
        "smbv1" | "smbv23" => "smb",
        "mdns" | "llmnr" => "dns",
        name => match protocol.eve {
            Some(eve @ ("tls" | "http" | "http2" | "quic")) => eve,
            _ => name,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpi::protocols;

    fn named(name: &str) -> Option<&'static Protocol> {
        protocols::all().find(|protocol| protocol.name == name)
    }

    #[test]
    fn protocols_are_looked_for_where_they_belong() {
        use Place::{OfAnother, Unusual};
        for (name, over, server, expected) in [
            ("ssh", Over::Tcp, 22, None),
            ("ssh", Over::Tcp, 2222, None),
            ("ssh", Over::Tcp, 443, Some(OfAnother("tls"))),
            ("ssh", Over::Tcp, 8022, Some(Unusual(22))),
            ("http", Over::Tcp, 8080, None),
            ("http", Over::Tcp, 443, Some(OfAnother("tls"))),
            ("http", Over::Tcp, 22, Some(OfAnother("ssh"))),
            ("tls", Over::Tcp, 80, Some(OfAnother("http"))),
            ("tls", Over::Tcp, 40_001, None),
            ("tls", Over::Tcp, 70, Some(Unusual(443))),
            ("imaps", Over::Tcp, 143, None),
            ("doh_dot", Over::Tcp, 443, None),
            ("quic", Over::Udp, 443, None),
            ("mdns", Over::Udp, 5353, None),
            ("dns", Over::Udp, 5300, Some(Unusual(53))),
            ("openvpn", Over::Tcp, 443, Some(OfAnother("tls"))),
            ("openvpn", Over::Udp, 53, Some(OfAnother("dns"))),
            ("openvpn", Over::Udp, 1194, None),
            ("smbv23", Over::Tcp, 445, None),
            ("smbv1", Over::Udp, 138, None),
            ("whatsapp", Over::Tcp, 443, None),
            ("whatsapp", Over::Tcp, 22, Some(OfAnother("ssh"))),
        ] {
            let placed = named(name).map(|protocol| place(protocol, over, (50_000, server)));
            assert_eq!(placed, Some(expected), "{name} {server}");
        }
        let turned = named("ssh").map(|ssh| place(ssh, Over::Tcp, (22, 50_000)));
        assert_eq!(turned, Some(None), "seen the wrong way round");
    }

    #[test]
    fn the_tables_name_protocols_that_there_are() {
        let is_known = |name: &str| {
            name == "smb" || protocols::all().any(|one| one.name == name || one.eve == Some(name))
        };
        for name in OWNERS.iter().flat_map(|(_, _, names)| *names).chain(HOMES.iter().map(|(name, _)| name)) {
            assert!(is_known(name), "{name}");
        }
    }
}
