//! How is the file of applications read? Whole, with every mistake told and the line where it stands.

use std::collections::HashMap;

use serde::Deserialize;
use toml::Spanned;

use super::hints::bare;
use super::hosts::fixed_end;
use super::{AppId, AppTable};
use crate::dpi::notes::HintKind;
use crate::dpi::protocol::Category;
use crate::parse::Addr;

/// What is wrong with a file of applications, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct AppFileError {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong.
    pub what: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    app: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: Text,
    /// May be left out for an application that is known already.
    category: Option<Text>,
    /// The host itself and all below it; `*` may stand anywhere but in the end.
    #[serde(default)]
    hosts: Vec<Text>,
    #[serde(default)]
    addresses: Vec<Text>,
    #[serde(default)]
    user_agents: Vec<Text>,
    #[serde(default)]
    urls: Vec<Text>,
    #[serde(default)]
    servers: Vec<Text>,
    #[serde(default)]
    content_types: Vec<Text>,
    #[serde(default)]
    certificates: Vec<Text>,
    #[serde(default)]
    alpn: Vec<Text>,
    #[serde(default)]
    ja3: Vec<Text>,
    #[serde(default)]
    ja4: Vec<Text>,
}

type Text = Spanned<String>;

/// More applications than this are a mistake.
const APPS_MAX: usize = 20_000;

/// Longest name of an application and longest host (RFC 1035 2.3.4).
const NAME_BYTES_MAX: usize = 64;
const HOST_BYTES_MAX: usize = 253;

/// What a file gives an application, checked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Given {
    Host(String),
    Pattern(String),
    Network(u128, u128),
    Hint(u8, String),
}

/// Reads entries and gathers what is wrong with them.
struct Reader<'a> {
    text: &'a str,
    errors: Vec<AppFileError>,
    /// What was given so far, to whom, and where; in the file's order in `order`.
    given: HashMap<Given, (usize, usize), foldhash::quality::RandomState>,
    order: Vec<(Given, usize)>,
    /// Names and categories, with the place of the category in the text.
    apps: Vec<(String, Option<(Category, usize)>)>,
}

impl AppTable {
    /// Adds the applications of a file. An application that is there already gets what the file has for it, also
    /// another category; a host, text or network that was another application's changes hands.
    ///
    /// # Errors
    ///
    /// Everything that is wrong, in the order of lines; the table is then unchanged.
    pub fn add(&mut self, text: &str) -> Result<(), Vec<AppFileError>> {
        let file: File = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |span| line(text, span.start));
            vec![AppFileError { line, what: error.message().to_owned() }]
        })?;
        let mut reader = Reader {
            text,
            errors: Vec::new(),
            given: HashMap::default(),
            order: Vec::new(),
            apps: Vec::new(),
        };
        let mut numbers: HashMap<String, usize, foldhash::quality::RandomState> = HashMap::default();
        for entry in &file.app {
            reader.entry(self, &mut numbers, entry);
        }
        if self.apps.len() + reader.apps.len() > APPS_MAX {
            let what = ["more than ", &APPS_MAX.to_string(), " applications"].concat();
            reader.errors.push(AppFileError { line: 1, what });
        }
        let Reader { mut errors, order, apps, .. } = reader;
        if !errors.is_empty() {
            errors.sort_by_key(|error| error.line);
            return Err(errors);
        }
        let apps: Vec<AppId> = apps
            .iter()
            .map(|(name, category)| match category {
                Some((category, _)) => self.set(name, *category),
                None => self.intern(name, Category::Unknown),
            })
            .collect();
        for (given, app) in order {
            let app = apps[app];
            match given {
                Given::Host(host) => self.hosts.insert(&host, app),
                Given::Pattern(pattern) => self.hosts.insert_pattern(&pattern, app),
                Given::Network(first, last) => self.networks.insert((first, last), app),
                Given::Hint(kind, text) => self.hints.insert(HINTS[usize::from(kind)], &text, app),
            }
        }
        self.networks.build();
        if self.hints.build() {
            let what = "too many texts to look for".to_owned();
            return Err(vec![AppFileError { line: 1, what }]);
        }
        Ok(())
    }

    /// The application of that name, made now where there was none.
    pub fn intern(&mut self, name: &str, category: Category) -> AppId {
        if let Some(app) = self.by_name.get(name) {
            return *app;
        }
        let app = self.name(name, category);
        self.apps.push(app);
        self.by_name.insert(name.into(), app);
        app
    }

    /// The application of that name, of that category from now on.
    fn set(&mut self, name: &str, category: Category) -> AppId {
        let app = self.intern(name, category);
        if app.category() == category {
            return app;
        }
        let new = self.name(name, category);
        self.by_name.insert(name.into(), new);
        self.apps.iter_mut().filter(|app| **app == new).for_each(|app| *app = new);
        self.hosts.replace(new);
        self.hints.replace(new);
        self.networks.replace(new);
        new
    }
}

impl Reader<'_> {
    fn entry(
        &mut self,
        table: &AppTable,
        numbers: &mut HashMap<String, usize, foldhash::quality::RandomState>,
        entry: &Entry,
    ) {
        let name = entry.name.get_ref();
        let is_name = |c: char| c.is_ascii_graphic() && !c.is_ascii_uppercase() && c != '"';
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.chars().all(is_name) {
            return self
                .wrong(&entry.name, &[name, ": a name has up to 64 lower-case letters and no blanks"]);
        }
        let category = match &entry.category {
            Some(written) => match Category::named(written.get_ref()) {
                Some(category) => Some((category, written.span().start)),
                None => return self.wrong(written, &[name, ": unknown category ", written.get_ref()]),
            },
            None => None,
        };
        let app = *numbers.entry(name.clone()).or_insert_with(|| {
            self.apps.push((name.clone(), None));
            self.apps.len() - 1
        });
        match (self.apps[app].1, category) {
            (Some((one, at)), Some((other, _))) if one != other => {
                let at = line(self.text, at).to_string();
                self.wrong(&entry.name, &[name, ": has another category in line ", &at]);
            }
            (None, None) if table.by_name(name).is_none() => {
                self.wrong(&entry.name, &[name, ": a new application needs a category"]);
            }
            (None, category) => self.apps[app].1 = category,
            (Some(_), _) => {}
        }
        for written in &entry.hosts {
            match host(written.get_ref()) {
                Ok(host) => self.give(app, host, written),
                Err(why) => self.wrong(written, &[name, ": ", written.get_ref(), " ", why]),
            }
        }
        for written in &entry.addresses {
            match range(written.get_ref()) {
                Some((first, last)) => self.give(app, Given::Network(first, last), written),
                None => {
                    self.wrong(written, &[name, ": ", written.get_ref(), " is no address and no network"])
                }
            }
        }
        let lists = [
            &entry.user_agents,
            &entry.urls,
            &entry.servers,
            &entry.content_types,
            &entry.certificates,
            &entry.alpn,
            &entry.ja3,
            &entry.ja4,
        ];
        for (kind, list) in (0..).zip(lists) {
            for written in list {
                if bare(written.get_ref()).is_empty() {
                    self.wrong(written, &[name, ": an empty text would match everything"]);
                } else {
                    self.give(app, Given::Hint(kind, written.get_ref().to_ascii_lowercase()), written);
                }
            }
        }
    }

    /// Notes what belongs to an application, unless the same file gave it to another one.
    fn give(&mut self, app: usize, given: Given, written: &Text) {
        // A place in the text becomes a line only where a mistake is told: to count lines takes long.
        let at = written.span().start;
        match self.given.get(&given) {
            Some((owner, _)) if *owner == app => {}
            Some((owner, before)) => {
                let line = line(self.text, at);
                let (owner, at) = (self.apps[*owner].0.clone(), self::line(self.text, *before).to_string());
                let what = [&self.apps[app].0, ": ", written.get_ref(), " is ", &owner, "'s, line ", &at];
                let what = what.concat();
                self.errors.push(AppFileError { line, what });
            }
            None => {
                self.given.insert(given.clone(), (app, at));
                self.order.push((given, app));
            }
        }
    }

    fn wrong(&mut self, written: &Text, what: &[&str]) {
        let line = line(self.text, written.span().start);
        self.errors.push(AppFileError { line, what: what.concat() });
    }
}

/// The kinds of hints in the order of an entry's lists.
const HINTS: [HintKind; 8] = [
    HintKind::UserAgent,
    HintKind::Url,
    HintKind::Server,
    HintKind::ContentType,
    HintKind::Certificate,
    HintKind::Alpn,
    HintKind::Ja3,
    HintKind::Ja4,
];

/// The line of a byte, counted from 1.
fn line(text: &str, at: usize) -> usize {
    text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count() + 1
}

/// A host or a pattern of hosts, in the form in which hosts are looked up.
fn host(written: &str) -> Result<Given, &'static str> {
    let host = written.to_ascii_lowercase();
    // A name stands for all below it already.
    let host = host.strip_prefix("*.").filter(|below| !below.contains('*')).unwrap_or(&host);
    let host = host.strip_suffix('.').unwrap_or(host);
    let is_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '*');
    if host.is_empty() || host.len() > HOST_BYTES_MAX || !host.chars().all(is_host) {
        return Err("is no host name");
    }
    if host.split('.').any(str::is_empty) {
        return Err("has an empty label");
    }
    if !host.contains('*') {
        return Ok(Given::Host(host.to_owned()));
    }
    if fixed_end(host).is_none() {
        return Err("needs a whole name behind its last *");
    }
    Ok(Given::Pattern(host.to_owned()))
}

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

    const WIDE_AND_NARROW: &str = r#"
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
        "#;

    fn name(app: Option<AppId>) -> Option<&'static str> {
        app.map(AppId::name)
    }

    #[test]
    fn the_longest_host_and_the_most_specific_network_win() {
        let mut table = AppTable::default();
        table.add(WIDE_AND_NARROW).unwrap();
        assert_eq!(name(table.by_host("www.example.org")), Some("wide"));
        assert_eq!(name(table.by_host("a.video.example.org")), Some("narrow"));
        assert_eq!(name(table.by_host("cdn12.example.net")), Some("narrow"));
        assert_eq!(name(table.by_host("badexample.org")), None);
        assert_eq!(name(table.by_address(Addr::v4([10, 1, 2, 3]))), Some("narrow"));
        assert_eq!(name(table.by_address(Addr::v4([10, 2, 2, 3]))), Some("wide"));
        assert_eq!(name(table.by_address(Addr::v4([11, 2, 2, 3]))), None);
        assert_eq!(name(table.by_hint(HintKind::UserAgent, b"x narrowplayer/1")), Some("narrow"));
        assert_eq!(table.by_hint(HintKind::Url, b"x narrowplayer/1"), None);
    }

    #[test]
    fn a_later_file_overrides_and_adds() {
        let mut table = AppTable::default();
        table.add(WIDE_AND_NARROW).unwrap();
        let before = table.len();
        table
            .add(
                r#"
                [[app]]
                name = "narrow"
                hosts = ["example.org"]
                addresses = ["10.0.0.0/8"]
                [[app]]
                name = "wide"
                category = "news"
                user_agents = ["narrowplayer"]
                [[app]]
                name = "own"
                category = "collaborative"
                hosts = ["cdn*.example.net"]
                "#,
            )
            .unwrap();
        assert_eq!(table.len(), before + 1);
        assert_eq!(name(table.by_host("www.example.org")), Some("narrow"));
        assert_eq!(name(table.by_host("cdn1.example.net")), Some("own"));
        assert_eq!(name(table.by_address(Addr::v4([10, 2, 2, 3]))), Some("narrow"));
        let wide = table.by_hint(HintKind::UserAgent, b"NarrowPlayer/2").unwrap();
        assert_eq!((wide.name(), wide.category()), ("wide", Category::News));
        assert_eq!(table.by_name("wide").unwrap().category(), Category::News);
    }

    #[test]
    fn every_mistake_is_told_with_its_line() {
        let text = r#"[[app]]
name = "a"
category = "wbe"
[[app]]
name = "b"
category = "web"
addresses = ["x", "10.0.0.0/8"]
urls = ["", "^$"]
hosts = ["https://b.example/", "b..example", "b.*", "b.example"]
[[app]]
name = "Two Words"
category = "web"
[[app]]
name = "c"
category = "web"
hosts = ["B.example."]
addresses = ["10.0.0.0/8"]
[[app]]
name = "b"
category = "video"
[[app]]
name = "nobody"
"#;
        let mut table = AppTable::default();
        let told: Vec<String> = table.add(text).unwrap_err().iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "line 3: a: unknown category wbe",
                "line 7: b: x is no address and no network",
                "line 8: b: an empty text would match everything",
                "line 8: b: an empty text would match everything",
                "line 9: b: https://b.example/ is no host name",
                "line 9: b: b..example has an empty label",
                "line 9: b: b.* needs a whole name behind its last *",
                "line 11: Two Words: a name has up to 64 lower-case letters and no blanks",
                "line 16: c: B.example. is b's, line 9",
                "line 17: c: 10.0.0.0/8 is b's, line 7",
                "line 19: b: has another category in line 6",
                "line 22: nobody: a new application needs a category",
            ]
        );
        assert!(table.is_empty());
        assert!(table.by_hint(HintKind::Url, b"/").is_none());
        let broken = table.add("[[app]]\nname = 1\n").unwrap_err();
        assert_eq!(broken[0].line, 2, "{broken:?}");
        let unknown = table.add("[[app]]\nname = \"a\"\ncategory = \"web\"\nhost = []\n").unwrap_err();
        assert_eq!(unknown[0].line, 4, "{unknown:?}");
    }

    #[test]
    fn every_category_has_one_name() {
        for one in Category::ALL {
            assert_eq!(Category::named(one.name()), Some(*one));
        }
    }
}
