//! Who was given which address? Leases that DHCP servers give out across the box (RFC 2131).
//!
//! ```text
//! acknowledgement on the wire ─► worker ─► event pump ─► lease: is its server believed? ─► address tied to Ethernet address ─► every worker
//! ```
//!
//! Anybody can send an acknowledgement, so that only those of configured servers count, from the side on which they are. What others
//! say is counted and spoken of once a minute: a second DHCP server is trouble in any case.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Instant;

use dataplane::dpi::Lease;
use dataplane::flow::Direction;
use dataplane::identity::Key;

use crate::services::identities::{Assertion, IdentityError, LeaseOutcome, LeaseSender, Source, Who};
use crate::services::{RateLimited, Services, Stoppable};
use crate::sources::listen::{LOOK_UP_EVERY, Refusals, WARN_EVERY, is_running};

/// Whose leases are believed, and what they say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DhcpConfig {
    /// Addresses of the servers, or of the relays through which they answer.
    pub servers: Vec<IpAddr>,
    /// Index of the port behind which they are; `None`: anywhere.
    pub port: Option<u8>,
    /// What a device is called of which nothing else is known.
    pub user_id: DeviceName,
}

/// What a device is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceName {
    /// Nothing: a lease ties an address to an Ethernet address and asserts nobody.
    #[default]
    None,
    /// As it calls itself, or its Ethernet address where it does not.
    Hostname,
    /// Its Ethernet address.
    Mac,
}

/// Leases that nobody listens to yet.
#[derive(Debug)]
pub struct Dhcp {
    config: DhcpConfig,
    waiting: Receiver<Lease>,
}

impl Dhcp {
    /// The end that listens, and the one for the event pump.
    #[must_use]
    pub fn new(config: DhcpConfig, services: &Services) -> (Self, LeaseSender) {
        let (sender, waiting) = LeaseSender::new(Arc::clone(services.lease_counts()));
        (Self { config, waiting }, sender)
    }

    /// Listens on a thread of its own, which inherits the caller's cores.
    ///
    /// # Errors
    ///
    /// As the system says when it has no thread to give.
    pub fn start(self, services: Arc<Services>) -> io::Result<Stoppable> {
        Stoppable::start("jarvis-dhcp", move |stopped| {
            let refusals = Refusals::new("identity.dhcp", "a DHCP lease");
            let warning = RateLimited::new(WARN_EVERY);
            while is_running(&stopped) {
                match self.waiting.recv_timeout(LOOK_UP_EVERY) {
                    Ok(lease) => self.take(&services, &lease, &refusals, &warning),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            }
        })
    }

    fn take(&self, services: &Services, lease: &Lease, refusals: &Refusals, warning: &RateLimited) {
        if self.config.believes(lease) {
            let outcome = match self.put_in_force(services, lease) {
                Ok(()) => LeaseOutcome::Taken,
                Err(error) => {
                    refusals.tell(services, lease.server.to_ip(), "refused", &error.to_string());
                    LeaseOutcome::Refused
                }
            };
            return services.lease_counts().add(outcome);
        }
        services.lease_counts().add(LeaseOutcome::Refused);
        if let Some(suppressed) = warning.permit(Instant::now()) {
            let (server, addr, client) = (lease.server, lease.addr, lease.client);
            tracing::warn!(%server, %addr, %client, suppressed, "a DHCP lease was not taken: its server is not one of `identity.dhcp.servers`, or not in their zone");
        }
    }

    fn put_in_force(&self, services: &Services, lease: &Lease) -> Result<(), IdentityError> {
        let addr = Key::addr(lease.addr);
        let expires_ns = lease.time.0.saturating_add(u64::from(lease.seconds) * 1_000_000_000);
        services.take_lease(addr, lease.client, expires_ns)?;
        let Some(who) = self.config.device(lease) else { return Ok(()) };
        let assertion =
            Assertion { keys: vec![addr], who, source: Source::Dhcp, expires_ns: Some(expires_ns) };
        services.take_identity(assertion).map(|_id| ())
    }
}

impl DhcpConfig {
    fn believes(&self, lease: &Lease) -> bool {
        // Between two ports, what goes the other way comes in by the other one.
        let came_by = match lease.way {
            Direction::Forward => lease.in_port,
            Direction::Reverse => lease.in_port ^ 1,
        };
        self.servers.contains(&lease.server.to_ip()) && self.port.is_none_or(|port| port == came_by)
    }

    fn device(&self, lease: &Lease) -> Option<Who> {
        let mac = lease.client.to_string();
        let hostname = lease.host.as_ref().map(|host| host.to_string());
        let user_id = match self.user_id {
            DeviceName::None => return None,
            DeviceName::Hostname => hostname.clone().unwrap_or_else(|| mac.clone()),
            DeviceName::Mac => mac.clone(),
        };
        let attributes = [("mac", Some(mac)), ("hostname", hostname.clone())];
        let attributes =
            attributes.into_iter().filter_map(|(name, value)| Some((name.to_owned(), vec![value?])));
        Some(Who { user_id, username: hostname, attributes: attributes.collect(), ..Who::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dataplane::parse::{Addr, Mac};
    use dataplane::time::Wall;

    fn lease(way: Direction) -> Lease {
        Lease {
            time: Wall(0),
            server: Addr::v4([10, 0, 0, 1]),
            in_port: 0,
            way,
            client: Mac([2, 0, 0, 0, 0, 7]),
            addr: Addr::v4([10, 0, 0, 7]),
            seconds: 60,
            host: Some("printer".into()),
        }
    }

    #[test]
    fn only_servers_are_believed_and_only_from_their_side() {
        let servers = vec![IpAddr::from([10, 0, 0, 1])];
        let config = DhcpConfig { servers, port: Some(1), user_id: DeviceName::None };
        assert!(config.believes(&lease(Direction::Reverse)));
        assert!(!config.believes(&lease(Direction::Forward)), "from the clients' side");
        assert!(DhcpConfig { port: None, ..config.clone() }.believes(&lease(Direction::Forward)));
        let other = Lease { server: Addr::v4([10, 0, 0, 2]), ..lease(Direction::Reverse) };
        assert!(!config.believes(&other));
        assert_eq!(config.device(&other), None);
    }

    #[test]
    fn a_device_is_called_as_configured() {
        let named = |user_id, host: Option<&str>| {
            let config = DhcpConfig { servers: Vec::new(), port: None, user_id };
            let who = config.device(&Lease { host: host.map(Into::into), ..lease(Direction::Forward) });
            who.map(|who| (who.user_id, who.attributes.len()))
        };
        let mac = "02:00:00:00:00:07";
        assert_eq!(named(DeviceName::Hostname, Some("printer")), Some(("printer".to_owned(), 2)));
        assert_eq!(named(DeviceName::Hostname, None), Some((mac.to_owned(), 1)));
        assert_eq!(named(DeviceName::Mac, Some("printer")), Some((mac.to_owned(), 2)));
    }
}
