//! Where is the captive portal, and with which certificate? The configuration with its files read.

use crate::config::{CaptivePortal, Config};
use crate::failure::Failure;
use crate::serve;
use controlplane::api::{ClientCertificates, PortalConfig, PortalSite, Tls, TlsFiles};
use dataplane::nat::Announcement;
use dataplane::policy::{Action, PolicyFile, RedirectTo};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

/// What the configuration says, and what deserves a second look; `None`: there is no portal.
///
/// # Errors
///
/// No address to serve it at; everything that is wrong with the certificate.
pub(crate) fn config(config: &Config) -> Result<Option<(PortalConfig, Vec<String>)>, Failure> {
    let Some(portal) = &config.identity.portal else { return Ok(None) };
    let Some(service) = &config.service else {
        return Err(Failure::line(
            "identity.portal needs an address of the box on the wire: set ipv4 or ipv6 of [inline.service]",
        ));
    };
    if let Some(zone) = &portal.announce_to
        && port_of(config, zone).is_none()
    {
        let zones: Vec<&str> = config.ports.iter().map(|port| port.zone.as_str()).collect();
        return Err(Failure::line(format!(
            "identity.portal.announce_to: no port is in zone \"{zone}\"; there are {}",
            zones.join(", ")
        )));
    }
    let mut warnings = Vec::new();
    let tls = portal.tls.as_ref().map(|at| {
        let files = TlsFiles { certificate: at.certificate.clone(), key: at.key.clone(), client_ca: None };
        let now_s = serve::now().wall.0 / 1_000_000_000;
        let loaded = Tls::load(files, ClientCertificates::default(), now_s);
        loaded.map_err(|faults| Failure::lines(faults.iter().map(ToString::to_string).collect()))
    });
    let tls = tls.transpose()?.map(|(tls, more)| {
        warnings.extend(more.iter().map(ToString::to_string));
        Arc::new(tls)
    });
    let v4 = service.ipv4.map(|net| IpAddr::V4(net.addr()));
    let v6 = service.ipv6.map(|net| IpAddr::V6(net.addr()));
    let config = PortalConfig {
        interface: service.interface.clone(),
        addrs: [v4, v6].into_iter().flatten().collect(),
        site: site(portal),
        tls,
        session_s: portal.session_s,
        title: portal.title.clone(),
        terms: portal.terms.clone(),
    };
    Ok(Some((config, warnings)))
}

/// What clients are told of the portal by the way of DHCP and router advertisements; `None`: nothing.
pub(crate) fn announcement(config: &Config) -> Option<Announcement> {
    let portal = config.identity.portal.as_ref()?;
    let port = port_of(config, portal.announce_to.as_ref()?)?;
    // There is a name, so the address does not matter.
    Announcement::new(port, &site(portal).api_url(Ipv4Addr::UNSPECIFIED.into()))
}

fn site(portal: &CaptivePortal) -> PortalSite {
    PortalSite {
        port: portal.port,
        tls_port: portal.tls.as_ref().map(|at| at.port),
        name: portal.tls.as_ref().and_then(|at| at.name.clone()),
    }
}

/// The port of a zone.
fn port_of(config: &Config, zone: &str) -> Option<u8> {
    config.ports.iter().position(|port| port.zone == zone).map(|index| index as u8)
}

/// That nobody is sent to the portal, where that is so.
pub(crate) fn unused(config: &Config, file: &PolicyFile) -> Option<String> {
    let portal = config.identity.portal.as_ref()?;
    let sends = |action: &Action| {
        let to = RedirectTo::Service { port: portal.port };
        matches!(action, Action::Redirect(redirect) if redirect.to == to)
    };
    let is_used = file.policies.iter().any(|policy| policy.enabled && sends(&policy.action));
    (!is_used).then(|| {
        format!(
            "identity.portal listens at port {0}, but no policy sends anybody there: give one the action {{\"redirect\": {{\"to\": \"service:{0}\"}}}}",
            portal.port
        )
    })
}
