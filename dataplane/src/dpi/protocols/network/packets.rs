//! Which protocols does the IP header's number name by itself? (IANA's registry of protocol numbers.)

use crate::dpi::{Category, First, Match, Over, Peek, Probe, Protocol};

/// Protocols without probes.
macro_rules! numbered {
    ($($(#[$doc:meta])* $item:ident = $name:literal, $category:ident;)+) => {
        $(
            $(#[$doc])*
            pub static $item: Protocol =
                Protocol { name: $name, eve: None, category: Category::$category, probes: &[], parser: None };
        )+
    };
}

numbered! {
    /// Control messages of IPv4.
    ICMP = "icmp", Network;
    /// Control messages and neighbours of IPv6.
    ICMPV6 = "icmpv6", Network;
    /// Members of multicast groups.
    IGMP = "igmp", Network;
    /// Generic routing encapsulation.
    GRE = "gre", Network;
    /// IPv4 or IPv6 within IP.
    IP_IN_IP = "ip_in_ip", Network;
    /// Exterior gateways (RFC 904).
    EGP = "egp", Network;
    /// Interior gateways of Cisco.
    IGRP = "igrp", Network;
    /// Their successor (RFC 7868).
    EIGRP = "eigrp", Network;
    /// Open shortest path first.
    OSPF = "ospf", Network;
    /// Multicast routing.
    PIM = "pim", Network;
    /// Routers that stand in for each other.
    VRRP = "vrrp", Network;
    /// Reliable multicast (RFC 3208).
    PGM = "pgm", Network;
    /// Reservation (RFC 2205).
    RSVP = "rsvp", Network;
    /// Ethernet within IP (RFC 3378).
    ETHERIP = "etherip", Network;
    /// Compressed payload (RFC 3173).
    IPCOMP = "ipcomp", Network;
    /// Host identities (RFC 7401).
    HIP = "hip", Network;
}

/// ESP and AH; IKE, which is recognised by content, has the same name.
static IPSEC: Protocol =
    Protocol { name: "ipsec", eve: None, category: Category::Vpn, probes: &[], parser: None };

/// SCTP, where nobody knows what it carries.
pub static SCTP: Protocol = Protocol::named(
    "sctp",
    Category::Network,
    &[Probe { over: Over::Sctp, first: First::Any, look: anything }],
);

fn anything(_peek: &Peek<'_>) -> Match {
    Match::Yes(20)
}

/// The protocol of that number.
pub(super) const fn by_number(number: u8) -> Option<&'static Protocol> {
    Some(match number {
        1 => &ICMP,
        2 => &IGMP,
        4 | 41 | 94 => &IP_IN_IP,
        8 => &EGP,
        9 => &IGRP,
        46 => &RSVP,
        47 => &GRE,
        50 | 51 => &IPSEC,
        58 => &ICMPV6,
        88 => &EIGRP,
        89 => &OSPF,
        97 => &ETHERIP,
        103 => &PIM,
        108 => &IPCOMP,
        112 => &VRRP,
        113 => &PGM,
        132 => &SCTP,
        139 => &HIP,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_names() {
        for (number, name) in [(1, "icmp"), (50, "ipsec"), (51, "ipsec"), (89, "ospf"), (112, "vrrp")] {
            assert_eq!(by_number(number).map(|protocol| protocol.name), Some(name));
        }
        assert_eq!(by_number(6), None);
    }
}
