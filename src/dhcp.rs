//! Whose DHCP leases does the box believe? The configuration with its zone found.

use crate::config::Config;
use crate::failure::Failure;
use controlplane::sources::dhcp::DhcpConfig;

/// What the configuration says; `None`: nothing of DHCP.
///
/// # Errors
///
/// A zone that no port has, or inspection that is off.
pub(crate) fn config(config: &Config) -> Result<Option<DhcpConfig>, Failure> {
    let Some(dhcp) = &config.identity.dhcp else { return Ok(None) };
    if !config.inspect.enabled {
        return Err(Failure::line(
            "identity.dhcp needs inspection of payload: set inspect.enabled, or leave [identity.dhcp] out",
        ));
    }
    let port = dhcp.zone.as_ref().map(|zone| {
        let index = config.ports.iter().position(|port| port.zone == *zone);
        index.map(|index| index as u8).ok_or_else(|| {
            let zones: Vec<&str> = config.ports.iter().map(|port| port.zone.as_str()).collect();
            Failure::line(format!(
                "identity.dhcp.zone: no port is in zone \"{zone}\"; there are {}",
                zones.join(", ")
            ))
        })
    });
    Ok(Some(DhcpConfig { servers: dhcp.servers.clone(), port: port.transpose()?, user_id: dhcp.user_id }))
}
