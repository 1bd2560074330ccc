//! Every protocol, by group; one file a protocol, or a few that are small and alike.
//!
//! Where two probes are equally sure, the one that stands first wins: keep what has magic numbers in front.

mod ber;
pub mod database;
pub mod files;
pub mod games;
pub mod industrial;
pub mod mail;
pub mod messaging;
pub mod names;
pub mod network;
pub mod peers;
pub mod remote;
pub mod secure;
pub mod vendors;
pub mod voip;
pub mod vpn;
pub mod web;

use super::Protocol;

/// All of them.
pub fn all() -> impl Iterator<Item = &'static Protocol> {
    GROUPS.iter().flat_map(|group| group.iter().copied())
}

const GROUPS: &[&[&Protocol]] = &[
    secure::PROTOCOLS,
    web::PROTOCOLS,
    names::PROTOCOLS,
    mail::PROTOCOLS,
    files::PROTOCOLS,
    remote::PROTOCOLS,
    database::PROTOCOLS,
    messaging::PROTOCOLS,
    voip::PROTOCOLS,
    vpn::PROTOCOLS,
    network::PROTOCOLS,
    industrial::PROTOCOLS,
    peers::PROTOCOLS,
    games::PROTOCOLS,
    vendors::PROTOCOLS,
];

/// The protocol of that name.
#[must_use]
pub fn by_name(name: &str) -> Option<&'static Protocol> {
    all().find(|protocol| protocol.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_lower_case() {
        let mut names: Vec<_> = all().map(|protocol| protocol.name).collect();
        names.sort_unstable();
        let twice: Vec<_> = names.windows(2).filter(|pair| pair[0] == pair[1]).collect();
        assert!(twice.is_empty(), "{twice:?}");
        assert!(names.iter().all(|name| !name.is_empty() && !name.chars().any(char::is_uppercase)));
    }
}
