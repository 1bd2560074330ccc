//! Which entry is a host, or does it lie below? A map of names, asked from the longest end of the host to its shortest.
//!
//! Patterns with a `*` stand at the longest whole name that all their hosts end with, so that only the few that can match
//! are compared: `igcdn-*.akamaihd.net` is looked at for hosts below `akamaihd.net` alone.

use std::collections::HashMap;

use foldhash::quality::RandomState;

use super::AppId;
use crate::words::wildcard;

/// Names of hosts and their applications.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    names: HashMap<Box<str>, Node, RandomState>,
    /// Labels of the longest name: what a host has before them is not asked about.
    labels_max: usize,
}

#[derive(Debug, Default)]
struct Node {
    /// Whose the name and all below it is.
    app: Option<AppId>,
    /// Patterns that end with this name, the latest first.
    patterns: Vec<(Box<str>, AppId)>,
}

/// Content networks put their own name behind a customer's: `www.example.org.edgekey.net` is `www.example.org`.
const FRONTS: &[&str] = &[
    ".edgekey.net",
    ".edgesuite.net",
    ".edgekey-staging.net",
    ".edgesuite-staging.net",
    ".globalredir.akadns.net",
    ".akadns.net",
    ".cdn.cloudflare.net",
    ".cdn.cloudflareglobal.net",
    ".cdngc.net",
    ".wswebcdn.com",
    ".kunlunca.com",
    ".w.kunlunar.com",
    ".cdn20.com",
];

impl Hosts {
    /// The name and all below it is `app`'s; a later entry of the same name replaces an earlier one.
    pub(super) fn insert(&mut self, name: &str, app: AppId) {
        self.node(name).app = Some(app);
    }

    /// All hosts that look like `pattern` are `app`'s. Its fixed end must hold a whole label: see [`fixed_end`].
    pub(super) fn insert_pattern(&mut self, pattern: &str, app: AppId) {
        let Some(end) = fixed_end(pattern) else { return };
        let node = self.node(end);
        node.patterns.retain(|(old, _)| **old != *pattern);
        node.patterns.insert(0, (pattern.into(), app));
    }

    fn node(&mut self, name: &str) -> &mut Node {
        self.labels_max = self.labels_max.max(name.split('.').count());
        self.names.entry(name.into()).or_default()
    }

    /// `new` stands wherever an application of its name stood.
    pub(super) fn replace(&mut self, new: AppId) {
        for node in self.names.values_mut() {
            node.app.iter_mut().chain(node.patterns.iter_mut().map(|(_, app)| app)).for_each(|app| {
                if *app == new {
                    *app = new;
                }
            });
        }
    }

    /// The application of the longest name that `host` is or lies below.
    pub(super) fn find(&self, host: &str) -> Option<AppId> {
        let found = self.named(host);
        // A customer's own name is more specific than the network's behind it.
        if let Some(customer) = FRONTS.iter().find_map(|front| host.strip_suffix(front))
            && let Some(app) = self.named(customer)
        {
            return Some(app);
        }
        found
    }

    fn named(&self, host: &str) -> Option<AppId> {
        let mut rest = self.last_labels(host);
        loop {
            if let Some(node) = self.names.get(rest) {
                let pattern = node.patterns.iter().find(|(pattern, _)| wildcard(pattern, host));
                if let Some(app) = pattern.map(|(_, app)| *app).or(node.app) {
                    return Some(app);
                }
            }
            (_, rest) = rest.split_once('.')?;
        }
    }

    /// As many labels from the end as the longest name has.
    fn last_labels<'a>(&self, host: &'a str) -> &'a str {
        let Some(beyond) = self.labels_max.checked_sub(1) else { return "" };
        host.rmatch_indices('.').nth(beyond).map_or(host, |(dot, _)| &host[dot + 1..])
    }
}

/// The whole name that all hosts of a pattern end with: what follows the first dot behind the last `*`.
pub(super) fn fixed_end(pattern: &str) -> Option<&str> {
    let (_, behind) = pattern.rsplit_once('*')?;
    let (_, end) = behind.split_once('.')?;
    (!end.is_empty()).then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpi::Category;

    #[test]
    fn a_pattern_stands_at_its_fixed_end() {
        assert_eq!(fixed_end("cdn*.example.net"), Some("example.net"));
        assert_eq!(fixed_end("*-a.example.net"), Some("example.net"));
        assert_eq!(fixed_end("*media"), None);
        assert_eq!(fixed_end("www.example.*"), None);
        assert_eq!(fixed_end("x*."), None);
    }

    #[test]
    fn a_customers_name_before_a_content_network_counts() {
        let mut hosts = Hosts::default();
        let (shop, net) =
            (AppId::new("shop", Category::Shopping, None), AppId::new("net", Category::Cloud, None));
        hosts.insert("shop.example", shop);
        hosts.insert("edgekey.net", net);
        assert_eq!(hosts.find("www.shop.example.edgekey.net"), Some(shop));
        assert_eq!(hosts.find("www.other.example.edgekey.net"), Some(net));
        assert_eq!(hosts.find("edgekey.net"), Some(net));
        assert_eq!(hosts.find(""), None);
    }

    #[test]
    fn a_longer_name_beats_a_pattern_and_a_pattern_beats_the_name_it_stands_at() {
        let mut hosts = Hosts::default();
        let [long, pattern, short] =
            ["long", "pattern", "short"].map(|name| AppId::new(name, Category::Web, None));
        hosts.insert("example.net", short);
        hosts.insert_pattern("img*.example.net", pattern);
        hosts.insert("img7.example.net", long);
        assert_eq!(hosts.find("img7.example.net"), Some(long));
        assert_eq!(hosts.find("img8.example.net"), Some(pattern));
        assert_eq!(hosts.find("a.b.c.d.e.f.example.net"), Some(short));
    }
}
