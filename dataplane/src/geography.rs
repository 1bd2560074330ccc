//! In which country is the end of a flow that is outside?
//!
//! Rules ask for the country of an address (`geoip`), policies for that of a flow (`country`): both read one database in MaxMind's format.
//! A flow is where its outside end is. Outside is whoever is not in a network behind the box's own ports, and whose address means
//! something beyond a network: not private, shared, loopback, link-local or multicast. Where both ends are outside, the responder's counts;
//! where none is, the flow is in no country.
//!
//! Workers look a flow up when policy judges it, and only where a policy asks; a packet that follows a decision costs nothing.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use ipnet::IpNet;
use maxminddb::{PathElement, Reader, WithinOptions};

use crate::parse::Addr;

/// Networks among which one at least must have a country, when a database is read: one of autonomous systems has none at all.
const LOOKED_AT_MAX: usize = 4_096;

/// Countries of addresses: a database in MaxMind's format (GeoIP2 and GeoLite2 Country or City, and others that have
/// `country.iso_code`).
pub struct Countries {
    bytes: Arc<[u8]>,
    reader: Reader<Arc<[u8]>>,
}

impl Countries {
    /// A database as it stands in its file. All of it is looked through.
    ///
    /// # Errors
    ///
    /// What is wrong with it, or that it has no countries.
    pub fn of(database: Vec<u8>) -> Result<Self, String> {
        let bytes: Arc<[u8]> = database.into();
        let reader = Reader::from_source(Arc::clone(&bytes)).map_err(|error| error.to_string())?;
        reader.verify().map_err(|error| error.to_string())?;
        let countries = Self { bytes, reader };
        let mut networks =
            countries.reader.networks(WithinOptions::default()).map_err(|error| error.to_string())?;
        let tells = networks
            .by_ref()
            .take(LOOKED_AT_MAX)
            .any(|found| found.is_ok_and(|found| countries.of_address(found_at(&found)).is_some()));
        if !tells {
            let kind = &countries.reader.metadata().database_type;
            return Err(format!(
                "expected a database of countries (country.iso_code), such as GeoLite2-Country; this one is of type \"{kind}\" and tells none"
            ));
        }
        drop(networks);
        Ok(countries)
    }

    /// Two letters, upper case (ISO 3166-1); `None`: nobody says.
    #[must_use]
    pub fn of_address(&self, addr: Addr) -> Option<[u8; 2]> {
        const CODE: [PathElement<'_>; 2] = [PathElement::Key("country"), PathElement::Key("iso_code")];
        let found = self.reader.lookup(addr.to_ip()).ok()?;
        let code: &str = found.decode_path(&CODE).ok()??;
        let code: [u8; 2] = code.as_bytes().try_into().ok()?;
        code.iter().all(u8::is_ascii_alphabetic).then(|| code.map(|letter| letter.to_ascii_uppercase()))
    }

    /// Whether both say the same of every address.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

/// An address of a network of the database.
fn found_at<S: AsRef<[u8]>>(found: &maxminddb::LookupResult<'_, S>) -> Addr {
    found.network().map_or(Addr::default(), |network| network.ip().into())
}

impl std::fmt::Debug for Countries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = &self.reader.metadata().database_type;
        f.debug_struct("Countries").field("type", kind).finish_non_exhaustive()
    }
}

/// Where flows are: countries of addresses, and which addresses are not outside.
#[derive(Debug)]
pub struct Geography {
    countries: Arc<Countries>,
    own: Vec<IpNet>,
}

impl Geography {
    /// `own` are the networks behind the box's ports, and its own addresses. A network of length 0 says nothing about who lives where, and
    /// is left out.
    #[must_use]
    pub fn new(countries: Arc<Countries>, own: impl IntoIterator<Item = IpNet>) -> Self {
        let own = own.into_iter().filter(|network| network.prefix_len() > 0).collect();
        Self { countries, own }
    }

    /// Countries of addresses.
    #[must_use]
    pub const fn countries(&self) -> &Arc<Countries> {
        &self.countries
    }

    /// Where a flow is, as [`Countries::of_address`]; `None`: nobody says, or none of its ends is outside.
    #[must_use]
    pub fn of_flow(&self, initiator: Addr, responder: Addr) -> Option<[u8; 2]> {
        let outside = [responder, initiator].into_iter().find(|addr| self.is_outside(*addr))?;
        self.countries.of_address(outside)
    }

    fn is_outside(&self, addr: Addr) -> bool {
        let ip = addr.to_ip();
        is_global(addr, ip) && !self.own.iter().any(|network| network.contains(&ip))
    }
}

/// Whether an address means something beyond a network (RFC 6890, RFC 4193, RFC 6598).
fn is_global(addr: Addr, ip: IpAddr) -> bool {
    if addr.is_link_local() || addr.is_multicast_or_broadcast() || ip.is_loopback() || ip.is_unspecified() {
        return false;
    }
    match ip {
        IpAddr::V4(v4) => !v4.is_private() && !is_shared(v4) && v4.octets()[0] != 0,
        IpAddr::V6(v6) => !v6.is_unique_local(),
    }
}

/// Addresses that a provider shares out among its customers (RFC 6598).
const fn is_shared(v4: Ipv4Addr) -> bool {
    let [a, b, ..] = v4.octets();
    a == 100 && b & 0xc0 == 64
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;
    use crate::mmdb;

    fn addr(text: &str) -> Addr {
        text.parse::<IpAddr>().unwrap().into()
    }

    fn world() -> Arc<Countries> {
        let database = mmdb::countries(&[
            ("192.0.2.0/24", "NL"),
            ("198.51.100.0/24", "DE"),
            ("10.0.0.0/8", "XX"),
            ("2001:db8::/32", "fr"),
        ]);
        Arc::new(Countries::of(database).unwrap())
    }

    #[test]
    fn an_address_is_where_the_database_says() {
        let world = world();
        for (text, country) in [
            ("192.0.2.77", Some(*b"NL")),
            ("198.51.100.0", Some(*b"DE")),
            ("192.0.3.1", None),
            ("2001:db8:ffff::1", Some(*b"FR")),
            ("2001:db9::1", None),
        ] {
            assert_eq!(world.of_address(addr(text)), country, "{text}");
        }
    }

    #[test]
    fn a_flow_is_where_its_outside_end_is_and_between_two_where_the_responder_is() {
        let own = ["198.51.100.0/25", "0.0.0.0/0"].map(|network| network.parse().unwrap());
        let geography = Geography::new(world(), own);
        for (initiator, responder, country) in [
            ("10.0.0.1", "192.0.2.1", Some(*b"NL")),
            ("192.0.2.1", "10.0.0.1", Some(*b"NL")),
            ("192.0.2.1", "198.51.100.200", Some(*b"DE")),
            ("198.51.100.200", "192.0.2.1", Some(*b"NL")),
            // A server with a public address behind the box is no more outside than its neighbours.
            ("192.0.2.1", "198.51.100.1", Some(*b"NL")),
            ("198.51.100.1", "10.0.0.1", None),
            ("10.0.0.1", "10.0.0.2", None),
            ("10.0.0.1", "203.0.113.9", None),
            ("100.64.0.1", "224.0.0.251", None),
            ("fd00::1", "2001:db8::1", Some(*b"FR")),
            ("fe80::1", "ff02::fb", None),
            ("::1", "fe80::1", None),
        ] {
            let found = geography.of_flow(addr(initiator), addr(responder));
            assert_eq!(found, country, "{initiator} -> {responder}");
        }
    }

    #[test]
    fn what_is_no_database_of_countries_is_refused() {
        assert!(Countries::of(b"no database".to_vec()).is_err());
        let whole = mmdb::countries(&[("192.0.2.0/24", "NL")]);
        // The end of its metadata is missing.
        assert!(Countries::of(whole[..whole.len() - 40].to_vec()).is_err());
        // Its only record is no map any more.
        let at = whole.windows(8).position(|bytes| bytes == b"iso_code").unwrap();
        let mut broken = whole;
        broken[at - 1] = 0xff;
        assert!(Countries::of(broken).is_err());
        let told = Countries::of(mmdb::countries(&[("192.0.2.0/24", "Nederland")])).unwrap_err();
        assert!(told.contains("\"Test-Country\" and tells none"), "{told}");
    }

    #[test]
    fn the_same_database_read_again_is_the_same() {
        let other = Countries::of(mmdb::countries(&[("192.0.2.0/24", "DE")])).unwrap();
        assert!(world().is_same(&world()) && !world().is_same(&other));
    }
}
