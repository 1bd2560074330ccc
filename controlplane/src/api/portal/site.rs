//! Where is the portal, as clients reach it?

use std::net::{IpAddr, SocketAddr};

/// Where the portal is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortalSite {
    /// Of clear HTTP: policies redirect to it.
    pub port: u16,
    /// Of HTTPS, where there is a certificate: the pages are there alone then.
    pub tls_port: Option<u16>,
    /// The name that the certificate has; `None`: the service address.
    pub name: Option<String>,
}

impl PortalSite {
    /// Scheme and authority of the pages (RFC 6454 6.2 calls it the origin), for a client that came to `addr`.
    #[must_use]
    pub fn origin(&self, addr: IpAddr) -> String {
        match self.tls_port {
            Some(443) => format!("https://{}", self.host(addr)),
            Some(port) => format!("https://{}:{port}", self.host(addr)),
            None if self.port == 80 => format!("http://{}", literal(addr)),
            None => format!("http://{}", SocketAddr::new(addr, self.port)),
        }
    }

    /// The page that a client which came to `addr` is sent to.
    #[must_use]
    pub fn url(&self, addr: IpAddr) -> String {
        format!("{}/portal/", self.origin(addr))
    }

    /// The captive portal API (RFC 8908).
    #[must_use]
    pub fn api_url(&self, addr: IpAddr) -> String {
        format!("{}/portal/api", self.origin(addr))
    }

    fn host(&self, addr: IpAddr) -> String {
        self.name.clone().unwrap_or_else(|| literal(addr))
    }
}

/// As a URL writes it (RFC 3986 3.2.2).
fn literal(addr: IpAddr) -> String {
    match addr {
        IpAddr::V4(addr) => addr.to_string(),
        IpAddr::V6(addr) => format!("[{addr}]"),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_sent_to_the_address_that_it_came_to_or_to_the_name_of_the_certificate() {
        let (v4, v6): (IpAddr, IpAddr) = ("10.0.0.3".parse().unwrap(), "fd00::3".parse().unwrap());
        let site = |port, tls_port, name: Option<&str>| PortalSite {
            port,
            tls_port,
            name: name.map(ToOwned::to_owned),
        };
        assert_eq!(site(8880, None, None).url(v4), "http://10.0.0.3:8880/portal/");
        assert_eq!(site(8880, None, None).url(v6), "http://[fd00::3]:8880/portal/");
        assert_eq!(site(80, None, None).url(v6), "http://[fd00::3]/portal/");
        assert_eq!(
            site(8880, Some(8843), Some("portal.example")).api_url(v4),
            "https://portal.example:8843/portal/api"
        );
        assert_eq!(site(8880, Some(443), None).url(v6), "https://[fd00::3]/portal/");
    }
}
