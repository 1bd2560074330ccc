//! What can be recognised at all? Protocols and applications by name, as policies take them.

use dataplane::dpi::{AppTable, Category, Over, Protocol, protocols};
use serde::Serialize;
use utoipa::ToSchema;

use super::Services;

/// A protocol.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ProtocolView {
    /// As policies have it.
    pub name: &'static str,
    /// Suricata's `app_proto`.
    pub app_proto: &'static str,
    /// What it is for.
    pub category: &'static str,
    /// Below which transports it is looked for; none where only another protocol leads to it.
    pub over: Vec<&'static str>,
    /// Whether its contents are read, or its name is all there is to know.
    pub is_parsed: bool,
}

/// An application.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct ApplicationView {
    /// As policies have it.
    pub name: &'static str,
    /// What it is for.
    pub category: &'static str,
}

/// Which of them are wanted; what is left out does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Names that have this in them, in any case.
    pub name: Option<String>,
    /// Of this category.
    pub category: Option<Category>,
}

impl Wanted {
    fn has(&self, name: &str, category: Category) -> bool {
        self.name.as_ref().is_none_or(|part| name.contains(&part.to_lowercase()))
            && self.category.is_none_or(|wanted| wanted == category)
    }
}

/// Protocols in the order of their names.
#[must_use]
pub fn protocols_wanted(wanted: &Wanted) -> Vec<ProtocolView> {
    let is_wanted = |protocol: &&'static Protocol| wanted.has(protocol.name, protocol.category);
    let mut found: Vec<_> = protocols::all().filter(is_wanted).map(view).collect();
    found.sort_by_key(|protocol| protocol.name);
    found
}

fn view(protocol: &'static Protocol) -> ProtocolView {
    let is_over = |wanted: Over| {
        let both = wanted != Over::Sctp;
        protocol.probes.iter().any(|probe| probe.over == wanted || (both && probe.over == Over::TcpOrUdp))
    };
    ProtocolView {
        name: protocol.name,
        app_proto: protocol.eve_name(),
        category: protocol.category.name(),
        over: [("tcp", Over::Tcp), ("udp", Over::Udp), ("sctp", Over::Sctp)]
            .into_iter()
            .filter(|(_, over)| is_over(*over))
            .map(|(name, _)| name)
            .collect(),
        is_parsed: protocol.parser.is_some(),
    }
}

/// Applications of a table in the order of their names.
#[must_use]
pub fn applications_wanted(table: &AppTable, wanted: &Wanted) -> Vec<ApplicationView> {
    let mut found: Vec<_> = table
        .iter()
        .filter(|app| wanted.has(app.name(), app.category()))
        .map(|app| ApplicationView { name: app.name(), category: app.category().name() })
        .collect();
    found.sort_by_key(|app| app.name);
    found
}

impl Services {
    /// Applications that are recognised now, the operator's own included. Waits for policies that are being compiled.
    #[must_use]
    pub fn known_applications(&self, wanted: &Wanted) -> Vec<ApplicationView> {
        let table = self.policies().application_table();
        applications_wanted(&table, wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_are_found_by_name_and_category() {
        let all = protocols_wanted(&Wanted::default());
        assert!(all.len() > 300 && all.is_sorted_by_key(|protocol| protocol.name));
        let dns = protocols_wanted(&Wanted { name: Some("DNS".into()), category: None });
        assert!(dns.len() < 20, "{dns:?}");
        let dns = dns.iter().find(|protocol| protocol.name == "dns").unwrap();
        assert!(dns.is_parsed && dns.over == ["tcp", "udp"], "{dns:?}");
        assert!(protocols_wanted(&Wanted { name: None, category: Some(Category::Adult) }).is_empty());
    }

    #[test]
    fn applications_are_those_of_the_table() {
        let wanted = Wanted { name: Some("spotify".into()), category: None };
        let found = applications_wanted(&AppTable::builtin(), &wanted);
        assert_eq!(found.iter().map(|app| app.name).collect::<Vec<_>>(), ["spotify"]);
        assert!(applications_wanted(&AppTable::builtin(), &Wanted::default()).len() > 1_200);
    }
}
