//! What does `[identity]` say: who tells who uses which address, and whose word counts?

use super::file::Section;
use super::reading::{SECONDS_MAX, value_or};
use controlplane::outbound::Place;
use controlplane::services::Several;
use controlplane::services::identities::oidc::ClaimNames;
use controlplane::services::identities::{Precedence, Source};
use controlplane::sources::dhcp::DeviceName;
use controlplane::sources::radius::{Mapping, TextAttribute};
use controlplane::sources::syslog::{Event, Pattern};
use ipnet::IpNet;
use serde::Serialize;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

/// Patterns of log lines: each line is held against all of them.
const PATTERNS_MAX: usize = 64;

const SEVERAL: &[(&str, Several)] =
    &[("latest", Several::Latest), ("first", Several::First), ("nobody", Several::Nobody)];

/// Who uses which address.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Identity {
    /// What holds where several users are asserted of one address.
    pub several: Several,
    /// Whose word counts more.
    pub precedence: Precedence,
    /// RADIUS accounting; `None`: it is not taken.
    pub radius: Option<RadiusAccounting>,
    /// Tokens of an OpenID provider; `None`: they are not taken.
    pub oidc: Option<OpenId>,
    /// Log lines; `None`: they are not taken.
    pub syslog: Option<SyslogLines>,
    /// DHCP leases on the wire; `None`: they are not taken.
    pub dhcp: Option<DhcpLeases>,
    /// The captive portal; `None`: there is none.
    pub portal: Option<CaptivePortal>,
}

/// Where users say who they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct CaptivePortal {
    /// Of clear HTTP, at the service addresses.
    pub port: u16,
    /// HTTPS; `None`: the pages are served in clear.
    pub tls: Option<PortalTls>,
    /// How long a login is believed, seconds.
    pub session_s: u64,
    /// What the page is called.
    pub title: String,
    /// What is said above the form.
    pub terms: Option<String>,
    /// Behind which port those are who are told of it (RFC 8910); `None`: nobody is.
    pub announce_to: Option<String>,
}

/// HTTPS of the portal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct PortalTls {
    /// At the service addresses.
    pub port: u16,
    /// The certificate and what chains it to its CA, PEM.
    pub certificate: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
    /// The name that clients are sent to; `None`: the service address.
    pub name: Option<String>,
}

/// Whose DHCP leases are believed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct DhcpLeases {
    /// Addresses of servers and relays.
    pub servers: Vec<IpAddr>,
    /// Behind which ports they are; `None`: anywhere.
    pub zone: Option<String>,
    /// What a device is called of which nothing else is known.
    pub user_id: DeviceName,
}

/// Where RADIUS accounting is taken, and from whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct RadiusAccounting {
    /// Where.
    pub listen: SocketAddr,
    /// What of a request is what of a user.
    pub mapping: Mapping,
    /// From whom.
    pub clients: Vec<RadiusClient>,
}

/// Access servers with one secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct RadiusClient {
    /// Where they are.
    pub networks: Vec<IpNet>,
    /// Its first line is the secret.
    pub secret_file: PathBuf,
    /// Whether each packet must have a Message-Authenticator.
    pub message_authenticator: bool,
}

/// Whose tokens are believed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct OpenId {
    /// `iss`.
    pub issuer: String,
    /// `aud`: one of them.
    pub audience: Vec<String>,
    /// Where the provider's keys are.
    pub keys: KeysPlace,
    /// How long keys are good before they are fetched again, seconds.
    pub refresh_s: u64,
    /// By how much clocks may differ, seconds.
    pub leeway_s: u64,
    /// What of the claims is what of a user.
    pub claims: ClaimNames,
}

/// Where a provider's keys are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum KeysPlace {
    /// In a file.
    JwksFile(PathBuf),
    /// At a URL.
    JwksUrl(String),
}

/// Where log lines are taken, from whom, and which tell of users.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct SyslogLines {
    /// Over UDP.
    pub listen: Option<SocketAddr>,
    /// Over TCP.
    pub listen_tcp: Option<SocketAddr>,
    /// From whom.
    pub networks: Vec<IpNet>,
    /// How long a login is believed, seconds.
    pub expires_s: u64,
    /// Which.
    pub patterns: Vec<LinePattern>,
}

/// Lines of one form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct LinePattern {
    /// What they tell.
    pub event: Event,
    /// The form; it was compiled once.
    pub regex: String,
    /// Of this program alone.
    pub app_name: Option<String>,
    /// Of this host alone.
    pub hostname: Option<String>,
}

/// Reads the table and those in it.
pub(super) fn read_identity(identity: &mut Section<'_, '_>, base: &Path) -> Identity {
    Identity {
        several: value_or(identity.choice("several", SEVERAL), Several::default()),
        precedence: precedence(identity),
        radius: identity.section("radius", |radius| read_radius(radius, base)),
        oidc: identity.section("oidc", |oidc| read_oidc(oidc, base)),
        syslog: identity.section("syslog", read_syslog),
        dhcp: identity.section("dhcp", read_dhcp),
        portal: identity.section("portal", |portal| read_portal(portal, base)),
    }
}

fn precedence(identity: &mut Section<'_, '_>) -> Precedence {
    let Some(at) = identity.parsed_list::<Source>("precedence", "api, oidc, radius, portal, syslog or dhcp")
    else {
        return Precedence::default();
    };
    Precedence::new(&at.value).unwrap_or_else(|| {
        identity.note(Some(at.line), "identity.precedence names a source twice");
        Precedence::default()
    })
}

/// `None` where the file has no such table, or it is wrong.
fn read_radius(radius: &mut Section<'_, '_>, base: &Path) -> Option<RadiusAccounting> {
    const TEXTS: &[(&str, Option<TextAttribute>)] = &[
        ("Filter-Id", Some(TextAttribute::FilterId)),
        ("Class", Some(TextAttribute::Class)),
        ("none", None),
    ];
    let listen = radius.parsed::<SocketAddr>("listen", "an address and a port such as 10.0.0.1:1813");
    let mapping = Mapping {
        role: value_or(radius.choice("role", TEXTS), Some(TextAttribute::FilterId)),
        groups: value_or(radius.choice("groups", TEXTS), Some(TextAttribute::Class)),
        expires_s: u64::from(value_or(radius.integer("expires_s", 60..=SECONDS_MAX), 24 * 3600)),
    };
    let clients = radius.sections("client", |client| {
        let networks = client.parsed_list::<IpNet>("networks", "a network such as 10.0.0.0/24");
        let secret_file = client.text("secret_file");
        let message_authenticator = client.flag("message_authenticator").unwrap_or(false);
        if networks.as_ref().is_none_or(|at| at.value.is_empty()) || secret_file.is_none() {
            client.note(None, "a RADIUS client needs networks and a secret_file");
        }
        Some(RadiusClient {
            networks: networks?.value,
            secret_file: base.join(secret_file?.value),
            message_authenticator,
        })
    });
    radius.line()?;
    if listen.is_none() || clients.is_empty() {
        radius.note(None, "identity.radius needs listen, and one [[identity.radius.client]] at least");
    }
    Some(RadiusAccounting {
        listen: listen?.value,
        mapping,
        clients: clients.into_iter().flatten().collect(),
    })
}

/// `None` where the file has no such table, or it is wrong.
fn read_dhcp(dhcp: &mut Section<'_, '_>) -> Option<DhcpLeases> {
    const NAMES: &[(&str, DeviceName)] =
        &[("none", DeviceName::None), ("hostname", DeviceName::Hostname), ("mac", DeviceName::Mac)];
    let servers = dhcp.parsed_list::<IpAddr>("servers", "an address such as 10.0.0.1");
    let zone = dhcp.text("zone").map(|at| at.value);
    let user_id = value_or(dhcp.choice("user_id", NAMES), DeviceName::default());
    dhcp.line()?;
    let servers = servers.map(|at| at.value).filter(|servers| !servers.is_empty());
    if servers.is_none() {
        dhcp.note(None, "identity.dhcp needs servers: the addresses of those whose leases are believed");
    }
    Some(DhcpLeases { servers: servers?, zone, user_id })
}

/// `None` where the file has no such table, or it is wrong.
fn read_oidc(oidc: &mut Section<'_, '_>, base: &Path) -> Option<OpenId> {
    let issuer = oidc.text("issuer").map(|at| at.value).filter(|issuer| !issuer.is_empty());
    let audience = oidc.parsed_list::<String>("audience", "a text").map(|at| at.value);
    let file = oidc.text("jwks_file").map(|at| KeysPlace::JwksFile(base.join(at.value)));
    let url = oidc.text("jwks_url").and_then(|at| match Place::of(&at.value) {
        Ok(_) => Some(KeysPlace::JwksUrl(at.value)),
        Err(why) => {
            oidc.note(Some(at.line), format!("identity.oidc.jwks_url is \"{}\", which {why}", at.value));
            None
        }
    });
    let refresh_s = u64::from(value_or(oidc.integer("refresh_s", 60..=SECONDS_MAX), 3_600));
    let leeway_s = u64::from(value_or(oidc.integer("leeway_s", 0_u32..=300), 30));
    let text = |oidc: &mut Section<'_, '_>, key| oidc.text(key).map(|at| at.value);
    let claims = ClaimNames {
        user_id: text(oidc, "user_id").unwrap_or_else(|| "sub".to_owned()),
        username: match oidc.parsed_list::<String>("username", "a claim's name") {
            Some(at) => at.value,
            None => vec!["preferred_username".to_owned(), "name".to_owned()],
        },
        role: text(oidc, "role"),
        groups: text(oidc, "groups"),
        attributes: oidc
            .parsed_list::<String>("attributes", "a claim's name")
            .map(|at| at.value)
            .unwrap_or_default(),
    };
    oidc.line()?;
    let audience = audience.filter(|audience| !audience.is_empty());
    let keys = match (file, url) {
        (Some(_), Some(_)) => {
            oidc.note(None, "identity.oidc has jwks_file and jwks_url; one of them says where the keys are");
            None
        }
        (file, url) => file.or(url),
    };
    if issuer.is_none() || audience.is_none() || keys.is_none() {
        let what = "identity.oidc needs issuer, audience, and jwks_file or jwks_url: without them anybody's token would do";
        oidc.note(None, what);
    }
    Some(OpenId { issuer: issuer?, audience: audience?, keys: keys?, refresh_s, leeway_s, claims })
}

/// `None` where the file has no such table, or it is wrong.
fn read_syslog(syslog: &mut Section<'_, '_>) -> Option<SyslogLines> {
    const EVENTS: &[(&str, Event)] = &[("login", Event::Login), ("logout", Event::Logout)];
    let form = "an address and a port such as 10.0.0.1:514";
    let listen = syslog.parsed::<SocketAddr>("listen", form).map(|at| at.value);
    let listen_tcp = syslog.parsed::<SocketAddr>("listen_tcp", form).map(|at| at.value);
    let networks =
        syslog.parsed_list::<IpNet>("networks", "a network such as 10.0.0.0/24").map(|at| at.value);
    let expires_s = u64::from(value_or(syslog.integer("expires_s", 60..=SECONDS_MAX), 8 * 3600));
    let patterns = syslog.sections("pattern", |pattern| {
        let event = pattern.choice("event", EVENTS).map(|at| at.value);
        let regex = pattern.text("regex");
        let app_name = pattern.text("app_name").map(|at| at.value);
        let hostname = pattern.text("hostname").map(|at| at.value);
        if event.is_none() || regex.is_none() {
            pattern
                .note(None, "a pattern of identity.syslog needs event, \"login\" or \"logout\", and regex");
        }
        let (event, regex) = (event?, regex?);
        if let Err(why) = Pattern::new(event, &regex.value) {
            pattern.note(Some(regex.line), format!("identity.syslog.pattern.regex {why}"));
            return None;
        }
        Some(LinePattern { event, regex: regex.value, app_name, hostname })
    });
    syslog.line()?;
    let networks = networks.filter(|networks| !networks.is_empty());
    if listen.or(listen_tcp).is_none() || networks.is_none() || patterns.is_empty() {
        let what = "identity.syslog needs listen or listen_tcp, networks, and one [[identity.syslog.pattern]] at least";
        syslog.note(None, what);
    }
    if patterns.len() > PATTERNS_MAX {
        syslog
            .note(None, format!("identity.syslog has {} patterns, {PATTERNS_MAX} are taken", patterns.len()));
    }
    let patterns = patterns.into_iter().flatten().collect();
    Some(SyslogLines { listen, listen_tcp, networks: networks?, expires_s, patterns })
}

/// Characters of the portal's title, and of what it says above the form.
const TITLE_CHARS_MAX: usize = 100;
const TERMS_CHARS_MAX: usize = 4_000;

/// `None` where the file has no such table, or it is wrong.
fn read_portal(portal: &mut Section<'_, '_>, base: &Path) -> Option<CaptivePortal> {
    let port = value_or(portal.integer("port", 1..=65_535_u16), 8_880);
    let session_s = u64::from(value_or(portal.integer("session_s", 60..=SECONDS_MAX), 8 * 3_600));
    let line = |portal: &mut Section<'_, '_>, key, most: usize| {
        let at = portal.text(key)?;
        if !(1..=most).contains(&at.value.chars().count()) {
            portal.note(Some(at.line), format!("identity.portal.{key} is a text of 1 to {most} characters"));
        }
        Some(at.value)
    };
    let title = line(portal, "title", TITLE_CHARS_MAX).unwrap_or_else(|| "Network login".to_owned());
    let terms = line(portal, "terms", TERMS_CHARS_MAX);
    let tls_port = portal.integer("tls_port", 1..=65_535_u16);
    let certificate = portal.text("certificate");
    let key = portal.text("key");
    let name = portal.text("name");
    portal.line()?;
    if let Some(at) = &name
        && !is_host_name(&at.value)
    {
        portal.note(
            Some(at.line),
            format!("identity.portal.name \"{}\" is no host name, such as portal.example", at.value),
        );
    }
    let tls = match (certificate, key) {
        (Some(certificate), Some(key)) => Some(PortalTls {
            port: value_or(tls_port, 8_843),
            certificate: base.join(certificate.value),
            key: base.join(key.value),
            name: name.map(|at| at.value),
        }),
        (None, None) => {
            if tls_port.is_some() || name.is_some() {
                portal
                    .note(None, "identity.portal.tls_port and name need identity.portal.certificate and key");
            }
            None
        }
        _ => {
            portal.note(None, "identity.portal.certificate and identity.portal.key need one another");
            None
        }
    };
    if tls.as_ref().is_some_and(|tls| tls.port == port) {
        portal.note(None, format!("identity.portal: port and tls_port are both {port}"));
    }
    let announce_to = portal.text("announce_to");
    if let Some(at) = &announce_to
        && tls.as_ref().is_none_or(|tls| tls.name.is_none())
    {
        portal.note(
            Some(at.line),
            "identity.portal.announce_to needs a certificate, its key and its name: clients ask over HTTPS alone (RFC 8908)",
        );
    }
    Some(CaptivePortal { port, tls, session_s, title, terms, announce_to: announce_to.map(|at| at.value) })
}

/// Labels of letters, digits and hyphens (RFC 1123 2.1).
fn is_host_name(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(is_label)
}
