//! Which host was given which address, by whom? What a DHCP server's acknowledgement says (RFC 2131 4.3.1), out of its transaction.

use super::HostName;
use super::fields::{Reader, Value};
use crate::flow::Direction;
use crate::parse::{Addr, Mac};
use crate::time::Wall;

/// An address that a DHCP server gave out, or gave out again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// When the acknowledgement was seen.
    pub time: Wall,
    /// Who sent it: the server.
    pub server: Addr,
    /// Port index that the first packet of its flow came in by.
    pub in_port: u8,
    /// Whether it went the way of that first packet.
    pub way: Direction,
    /// Ethernet address of whoever has the lease (`chaddr`).
    pub client: Mac,
    /// The address.
    pub addr: Addr,
    /// For how long, seconds (RFC 2132 9.2).
    pub seconds: u32,
    /// What the server calls the client.
    pub host: Option<HostName>,
}

impl Lease {
    /// Out of the fields of a `dhcp` transaction; `None`: it gives no address to an Ethernet address, or does not say for how long.
    /// `senders` are the addresses of whoever sends forward, and in reverse.
    #[must_use]
    pub fn read(
        time: Wall,
        in_port: u8,
        way: Direction,
        senders: [Addr; 2],
        fields: Reader<'_>,
    ) -> Option<Self> {
        let (mut client, mut addr, mut seconds, mut host, mut is_ack) = (None, None, None, None, false);
        for (key, value) in fields {
            match (key, value) {
                ("dhcp_type", Value::Text(kind)) => is_ack = kind == b"ack",
                ("client_mac", Value::Text(mac)) => client = text(mac).and_then(Mac::read),
                ("assigned_ip", Value::Text(assigned)) => {
                    addr = text(assigned)?.parse::<std::net::Ipv4Addr>().ok()
                }
                ("lease_time", Value::Unsigned(given)) => seconds = u32::try_from(given).ok(),
                ("hostname", Value::Text(name)) => host = text(name).map(HostName::from),
                _ => {}
            }
        }
        let addr = addr.filter(|addr| is_ack && !addr.is_unspecified())?;
        Some(Self {
            time,
            server: senders[way as usize],
            in_port,
            way,
            client: client.filter(|mac| *mac != Mac([0; 6]))?,
            addr: Addr::v4(addr.octets()),
            seconds: seconds?,
            host,
        })
    }
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;
    use crate::dpi::Fields;

    fn fields(kind: &str, ip: &str, seconds: Option<u32>) -> Fields {
        let mut fields = Fields::new();
        fields.text("type", "reply");
        fields.text("client_mac", "02:00:00:00:00:17");
        fields.text("assigned_ip", ip);
        fields.text("dhcp_type", kind);
        if let Some(seconds) = seconds {
            fields.number("lease_time", seconds);
        }
        fields.list("dns_servers", |list| list.text("", "10.0.0.9"));
        fields.text("hostname", "Ann-Laptop");
        fields
    }

    #[test]
    fn only_an_acknowledgement_with_an_address_and_a_time_is_a_lease() {
        let senders = [Addr::v4([10, 0, 0, 7]), Addr::v4([10, 0, 0, 1])];
        let read = |fields: &Fields| Lease::read(Wall(5), 1, Direction::Reverse, senders, fields.iter());
        let lease = read(&fields("ack", "10.0.0.7", Some(600))).unwrap();
        assert_eq!((lease.server, lease.addr, lease.seconds), (senders[1], senders[0], 600));
        assert_eq!(lease.client, Mac([2, 0, 0, 0, 0, 0x17]));
        assert_eq!(lease.host.as_deref(), Some("Ann-Laptop"));
        // An offer, an answer to DHCPINFORM (RFC 2131 4.3.5: no address, no time), a message that is broken.
        assert_eq!(read(&fields("offer", "10.0.0.7", Some(600))), None);
        assert_eq!(read(&fields("ack", "0.0.0.0", None)), None);
        assert_eq!(read(&fields("ack", "10.0.0", Some(600))), None);
        assert_eq!(read(&Fields::new()), None);
    }
}
