//! How is the file of applications read? Whole, with every mistake told.

use serde::Deserialize;

use super::{AppId, AppTable};
use crate::dpi::notes::HintKind;
use crate::dpi::protocol::Category;
use crate::parse::Addr;

/// What is wrong with a file of applications.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct AppFileError(pub String);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    app: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    category: String,
    /// The host itself and all below it; `*` may stand anywhere.
    #[serde(default)]
    hosts: Vec<String>,
    #[serde(default)]
    addresses: Vec<String>,
    #[serde(default)]
    user_agents: Vec<String>,
    #[serde(default)]
    urls: Vec<String>,
    #[serde(default)]
    servers: Vec<String>,
    #[serde(default)]
    content_types: Vec<String>,
    #[serde(default)]
    certificates: Vec<String>,
    #[serde(default)]
    alpn: Vec<String>,
    #[serde(default)]
    ja3: Vec<String>,
    #[serde(default)]
    ja4: Vec<String>,
}

/// More applications than this are a mistake.
const APPS_MAX: usize = 20_000;

impl AppTable {
    /// Adds the applications of a file. An application that is there already gets what the file has for it.
    ///
    /// # Errors
    ///
    /// Everything that is wrong; the table is then unchanged but for names.
    pub fn add(&mut self, text: &str) -> Result<(), Vec<AppFileError>> {
        let file: File = toml::from_str(text).map_err(|error| vec![AppFileError(error.to_string())])?;
        let mut errors = Vec::new();
        let mut hosts = Vec::new();
        let mut patterns = Vec::new();
        let mut hints = Vec::new();
        let mut addresses = Vec::new();
        for entry in file.app {
            let wrong = |what: String| AppFileError(["application ", &entry.name, ": ", &what].concat());
            let Some(category) = category(&entry.category) else {
                errors.push(wrong(["unknown category ", &entry.category].concat()));
                continue;
            };
            if entry.name.is_empty()
                || entry.name.contains(char::is_whitespace)
                || self.apps.len() >= APPS_MAX
            {
                errors
                    .push(wrong("a name has letters and no blanks, and there are at most 20,000".to_owned()));
                continue;
            }
            let app = self.intern(&entry.name, category);
            for host in &entry.hosts {
                let host = host.to_ascii_lowercase();
                let below = host.strip_prefix("*.").unwrap_or(&host);
                if below.contains('*') {
                    patterns.push((below.into(), app));
                } else if below.is_empty() {
                    errors.push(wrong("an empty host".to_owned()));
                } else {
                    hosts.push((Box::<str>::from(below), app));
                }
            }
            for network in &entry.addresses {
                match range(network) {
                    Some((first, last)) => addresses.push((first, last, app)),
                    None => errors.push(wrong([network, " is no address and no network"].concat())),
                }
            }
            for (kind, texts) in [
                (HintKind::UserAgent, &entry.user_agents),
                (HintKind::Url, &entry.urls),
                (HintKind::Server, &entry.servers),
                (HintKind::ContentType, &entry.content_types),
                (HintKind::Certificate, &entry.certificates),
                (HintKind::Alpn, &entry.alpn),
                (HintKind::Ja3, &entry.ja3),
                (HintKind::Ja4, &entry.ja4),
            ] {
                for text in texts {
                    if text.is_empty() {
                        errors.push(wrong("an empty text would match everything".to_owned()));
                    } else {
                        hints.push((kind, text.to_ascii_lowercase().into_bytes().into(), app));
                    }
                }
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        self.hosts.extend(hosts);
        self.host_patterns.extend(patterns);
        self.hints.extend(hints);
        self.addresses.extend(addresses);
        // A longer network with the same first address stands before what lies in it.
        self.addresses.sort_by_key(|(first, last, _)| (*first, std::cmp::Reverse(*last)));
        Ok(())
    }

    /// The application of that name, made now where there was none.
    pub fn intern(&mut self, name: &str, category: Category) -> AppId {
        if let Some(app) = self.by_name.get(name) {
            return *app;
        }
        let app = AppId::new(name, category);
        self.apps.push(app);
        self.by_name.insert(name.into(), app);
        app
    }
}

fn category(name: &str) -> Option<Category> {
    CATEGORIES.iter().copied().find(|category| category.name() == name)
}

/// All but `Unknown`, which nothing is.
const CATEGORIES: &[Category] = &[
    Category::Web,
    Category::Network,
    Category::Voip,
    Category::Cloud,
    Category::Vpn,
    Category::Cryptocurrency,
    Category::Chat,
    Category::Game,
    Category::Media,
    Category::SocialNetwork,
    Category::System,
    Category::Iot,
    Category::RemoteAccess,
    Category::Database,
    Category::Download,
    Category::Email,
    Category::Collaborative,
    Category::DataTransfer,
    Category::Streaming,
    Category::Video,
    Category::Music,
    Category::SoftwareUpdate,
    Category::ConnectivityCheck,
    Category::VirtualAssistant,
    Category::Shopping,
    Category::Advertisement,
    Category::Rpc,
    Category::FileSharing,
    Category::Cybersecurity,
    Category::Adult,
    Category::News,
    Category::Finance,
    Category::Education,
    Category::Health,
    Category::Travel,
    Category::Dating,
    Category::Gambling,
    Category::Productivity,
    Category::Messaging,
    Category::Malware,
    Category::Mining,
    Category::ArtificialIntelligence,
];

/// First and last address of a network.
fn range(text: &str) -> Option<(u128, u128)> {
    let network: ipnet::IpNet = match text.parse() {
        Ok(network) => network,
        Err(_) => text.parse::<std::net::IpAddr>().ok()?.into(),
    };
    let bits = |ip: std::net::IpAddr| match ip {
        std::net::IpAddr::V4(ip) => Addr::v4(ip.octets()).bits(),
        std::net::IpAddr::V6(ip) => Addr::v6(ip.octets()).bits(),
    };
    Some((bits(network.network()), bits(network.broadcast())))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;

    #[test]
    fn the_builtin_file_is_read_whole() {
        let mut table = AppTable::default();
        table.add(include_str!("../apps.toml")).unwrap();
        assert!(!table.is_empty());
    }

    #[test]
    fn the_longest_host_and_the_most_specific_network_win() {
        let mut table = AppTable::default();
        table
            .add(
                r#"
                [[app]]
                name = "wide"
                category = "web"
                hosts = ["example.org"]
                addresses = ["10.0.0.0/8"]
                [[app]]
                name = "narrow"
                category = "video"
                hosts = ["*.video.example.org", "cdn*.example.net"]
                addresses = ["10.1.0.0/16", "2001:db8::/32"]
                user_agents = ["NarrowPlayer"]
                "#,
            )
            .unwrap();
        let name = |app: Option<AppId>| app.map(|app| app.name().to_owned());
        assert_eq!(name(table.by_host("www.example.org")).as_deref(), Some("wide"));
        assert_eq!(name(table.by_host("a.video.example.org")).as_deref(), Some("narrow"));
        assert_eq!(name(table.by_host("cdn12.example.net")).as_deref(), Some("narrow"));
        assert_eq!(name(table.by_host("badexample.org")), None);
        assert_eq!(name(table.by_address(Addr::v4([10, 1, 2, 3]))).as_deref(), Some("narrow"));
        assert_eq!(name(table.by_address(Addr::v4([10, 2, 2, 3]))).as_deref(), Some("wide"));
        assert_eq!(name(table.by_address(Addr::v4([11, 2, 2, 3]))), None);
        assert_eq!(name(table.by_hint(HintKind::UserAgent, b"x narrowplayer/1")).as_deref(), Some("narrow"));
        assert_eq!(table.by_hint(HintKind::Url, b"x narrowplayer/1"), None);
    }

    #[test]
    fn every_mistake_is_told() {
        let mut table = AppTable::default();
        let errors = table
            .add(
                "[[app]]\nname = \"a\"\ncategory = \"wbe\"\n[[app]]\nname = \"b\"\ncategory = \"web\"\naddresses = [\"x\"]\nurls = [\"\"]\n",
            )
            .unwrap_err();
        assert_eq!(errors.len(), 3, "{errors:?}");
        assert!(table.by_hint(HintKind::Url, b"/").is_none());
    }
}
