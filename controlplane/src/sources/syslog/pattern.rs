//! Which lines tell that somebody came or went, and who, and where?

use std::net::IpAddr;

use dataplane::identity::Key;
use regex::{Captures, Regex, RegexBuilder};
use serde::Serialize;

use super::message::Message;
use crate::services::identities::{NAME_CHARS_MAX, Who};

/// Bytes that a compiled pattern may take.
const COMPILED_BYTES_MAX: usize = 1 << 20;

/// Names that a pattern's groups may have.
const GROUPS: [&str; 4] = ["user", "address", "role", "group"];

/// What a line tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Event {
    /// Somebody came.
    Login,
    /// Somebody went.
    Logout,
}

/// Lines of one form.
#[derive(Debug, Clone)]
pub struct Pattern {
    event: Event,
    regex: Regex,
    app_name: Option<String>,
    hostname: Option<String>,
}

/// What somebody is told to have done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Told {
    Login(Key, Who),
    /// Where, and who, where the line says so.
    Logout(Key, Option<String>),
}

impl Pattern {
    /// Compiles a regular expression, which must hold from the beginning of the text on.
    ///
    /// # Errors
    ///
    /// What is wrong with it, the rest of a sentence that begins with its name.
    pub fn new(event: Event, regex: &str) -> Result<Self, String> {
        let built = RegexBuilder::new(regex)
            .size_limit(COMPILED_BYTES_MAX)
            .dfa_size_limit(COMPILED_BYTES_MAX)
            .build();
        let regex = built.map_err(|error| {
            let text = error.to_string();
            let last = text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
            format!("is no regular expression that is taken: {}", last.trim_start_matches("error: "))
        })?;
        let named: Vec<&str> = regex.capture_names().flatten().collect();
        if let Some(unknown) = named.iter().find(|name| !GROUPS.contains(name)) {
            return Err(format!("has a group `{unknown}`; groups are called {}", GROUPS.join(", ")));
        }
        let needed: &[&str] = match event {
            Event::Login => &["user", "address"],
            Event::Logout => &["address"],
        };
        match needed.iter().find(|name| !named.contains(name)) {
            Some(missing) => {
                Err(format!("has no group `{missing}`: write (?P<{missing}>\\S+) for where it stands"))
            }
            None => Ok(Self { event, regex, app_name: None, hostname: None }),
        }
    }

    /// The same, of one program and one host alone where they are named.
    #[must_use]
    pub fn of(self, app_name: Option<String>, hostname: Option<String>) -> Self {
        Self { app_name, hostname, ..self }
    }

    /// What a message tells; `None`: it is not of this form.
    pub(super) fn read(&self, message: &Message<'_>) -> Option<Told> {
        let is = |wanted: &Option<String>, said: Option<&str>| {
            wanted.as_ref().is_none_or(|wanted| said.is_some_and(|said| said.eq_ignore_ascii_case(wanted)))
        };
        if !is(&self.app_name, message.app_name) || !is(&self.hostname, message.hostname) {
            return None;
        }
        // Somebody may call himself "x Accepted password for root": what stands in the middle of a line proves nothing.
        let found = self
            .regex
            .captures(message.text)
            .filter(|found| found.get(0).is_some_and(|whole| whole.start() == 0))?;
        let key = key(found.name("address")?.as_str())?;
        Some(match self.event {
            Event::Login => {
                let group = text(&found, "group");
                let who = Who {
                    user_id: text(&found, "user")?,
                    user_role: text(&found, "role"),
                    groups: group.into_iter().collect(),
                    ..Who::default()
                };
                Told::Login(key, who)
            }
            // A name that was found and is none must not end everybody's.
            Event::Logout if found.name("user").is_some() => Told::Logout(key, Some(text(&found, "user")?)),
            Event::Logout => Told::Logout(key, None),
        })
    }
}

fn text(found: &Captures<'_>, name: &str) -> Option<String> {
    let text = found.name(name)?.as_str();
    let is_name = (1..=NAME_CHARS_MAX).contains(&text.chars().count()) && !text.contains(char::is_control);
    is_name.then(|| text.to_owned())
}

/// An address or an Ethernet address; a line does not give anybody a network.
fn key(text: &str) -> Option<Key> {
    if let Ok(addr) = text.parse::<IpAddr>() {
        return Some(Key::addr(addr.to_canonical().into()));
    }
    text.parse().ok().filter(|key| matches!(key, Key::Mac(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCEPTED: &str = r"Accepted \S+ for (?P<user>\S+) from (?P<address>\S+) port";

    fn message(text: &str) -> Message<'_> {
        Message { hostname: Some("gw"), app_name: Some("sshd"), text }
    }

    #[test]
    fn a_line_tells_who_came_and_who_went() {
        let login = Pattern::new(Event::Login, ACCEPTED).unwrap();
        let Some(Told::Login(key, who)) =
            login.read(&message("Accepted password for ann from 10.1.2.3 port 5 ssh2"))
        else {
            panic!("not read")
        };
        assert_eq!((key.to_string().as_str(), who.user_id.as_str()), ("10.1.2.3", "ann"));
        let roles = r"(?x) up:\ (?P<user>[^@]+) @ (?P<role>\w+)/(?P<group>\w+) \ at\ (?P<address>\S+) # VPN";
        let roles = Pattern::new(Event::Login, roles).unwrap();
        let Some(Told::Login(key, who)) = roles.read(&message("up: bob@admin/staff at 02:00:00:00:00:01"))
        else {
            panic!("not read")
        };
        assert_eq!(key.to_string(), "02:00:00:00:00:01");
        assert_eq!((who.user_role.as_deref(), who.groups), (Some("admin"), vec!["staff".to_owned()]));
        let logout = Pattern::new(Event::Logout, r"down: (?:(?P<user>\S+) )?at (?P<address>\S+)").unwrap();
        let here = super::key("10.1.2.3").unwrap();
        assert_eq!(
            logout.read(&message("down: ann at ::ffff:10.1.2.3")),
            Some(Told::Logout(here, Some("ann".into())))
        );
        assert_eq!(logout.read(&message("down: at 10.1.2.3")), Some(Told::Logout(here, None)));
        assert_eq!(logout.read(&message(&format!("down: {} at 10.1.2.3", "x".repeat(129)))), None);
    }

    #[test]
    fn what_others_wrote_into_a_line_tells_nothing() {
        let login = Pattern::new(Event::Login, ACCEPTED).unwrap();
        for text in [
            "Failed password for invalid user Accepted password for root from 10.0.0.1 port 5 from 203.0.113.1 port 9 ssh2",
            "Accepted password for ann from 10.0.0.0/8 port 5",
            "Accepted password for ann from example.com port 5",
            "Accepted password for an\u{7f}n from 10.1.2.3 port 5",
        ] {
            assert_eq!(login.read(&message(text)), None, "{text}");
        }
        // A pattern with a choice holds from the beginning in each of its parts.
        let choice = Pattern::new(Event::Login, &format!("x|{ACCEPTED}")).unwrap();
        assert_eq!(choice.read(&message("see: Accepted password for ann from 10.1.2.3 port 5")), None);
        let text = "Accepted password for ann from 10.1.2.3 port 5";
        assert!(login.clone().of(Some("SSHD".into()), Some("gw".into())).read(&message(text)).is_some());
        assert_eq!(login.clone().of(Some("nginx".into()), None).read(&message(text)), None);
        assert_eq!(login.of(None, Some("other".into())).read(&message(text)), None);
    }

    #[test]
    fn what_is_wrong_with_a_pattern_is_told() {
        for (regex, why) in [
            ("(", "unclosed group"),
            (r"(?P<user>\S+)", "has no group `address`"),
            (r"(?P<usr>\S+) (?P<address>\S+)", "has a group `usr`; groups are called user, address"),
            (r"(?P<user>\S+) (?P<address>\w{1000}{1000})", "size limit"),
            (r"(?P<user>\S+)) (?P<address>\S+", "unopened group"),
        ] {
            let error = Pattern::new(Event::Login, regex).unwrap_err();
            assert!(error.contains(why), "{regex}: {error}");
        }
    }
}
