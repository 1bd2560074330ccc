//! Which database tells countries, and which addresses are not abroad?

use crate::config::{Config, Rules};
use crate::failure::Failure;
use crate::rules::bytes;
use dataplane::geography::{Countries, Geography};
use ipnet::IpNet;
use std::sync::Arc;

/// Reads the database that `rules.geoip_database` names; `None` where it names none.
///
/// # Errors
///
/// The file, and why it cannot be read or tells no countries.
pub(crate) fn countries(config: &Rules) -> Result<Option<Arc<Countries>>, Failure> {
    let Some(file) = &config.geoip_database else { return Ok(None) };
    let wrong = |why| Failure::line(format!("rules.geoip_database {}: {why}", file.display()));
    Countries::of(bytes(file)?).map(|countries| Some(Arc::new(countries))).map_err(wrong)
}

/// Networks behind the box's ports, and its own addresses: whoever is in one of them is not outside.
pub(crate) fn own(config: &Config) -> Vec<IpNet> {
    let behind = config.ports.iter().flat_map(|port| port.networks.iter().copied());
    let service = config.service.as_ref();
    let ipv4 =
        service.and_then(|service| service.ipv4).map(|net| IpNet::from(std::net::IpAddr::from(net.addr())));
    let ipv6 =
        service.and_then(|service| service.ipv6).map(|net| IpNet::from(std::net::IpAddr::from(net.addr())));
    behind.chain(ipv4).chain(ipv6).collect()
}

/// Where flows are, by these countries.
pub(crate) fn of(countries: Option<Arc<Countries>>, own: &[IpNet]) -> Option<Arc<Geography>> {
    countries.map(|countries| Arc::new(Geography::new(countries, own.iter().copied())))
}
