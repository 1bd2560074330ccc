//! What flow does this JSON context describe? Reads what `POST /policy/evaluate` takes, the former system's context
//! with nested `iam_assertion` and `dpi_classification` included, into [`Facts`].
//!
//! An absent field is finally unknown; `"undecided": ["application"]` makes it pending. Fields that no policy can
//! ask about (a user's display name, a risk score) are accepted and have no effect in the nested objects, which
//! other programs produce; at the top level an unknown field is an error.

use super::compile::Environment;
use super::facts::{Fact, Facts, User};
use super::names::{Kind, NameId, Names};
use super::read::L4_PROTOCOLS;
use crate::time::Wall;
use crate::words::did_you_mean;
use jiff::Timestamp;
use serde_json::{Map, Value};
use std::net::IpAddr;

/// A field of a context that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ContextError {
    /// Path from the root.
    pub path: String,
    /// What is wrong.
    pub reason: String,
}

/// A hypothetical flow; lends its users to the facts.
#[derive(Debug, Clone)]
pub struct EvaluationContext {
    facts: Facts<'static>,
    user: Option<User>,
    dst_user: Option<User>,
    /// `undecided` names, already known to be facts.
    undecided: Vec<String>,
}

const FIELDS: &[&str] = &[
    "zone",
    "in_port",
    "vlan",
    "src_mac",
    "src_ip",
    "dst_ip",
    "src_port",
    "dst_port",
    "protocol",
    "application",
    "app_name",
    "category",
    "confidence",
    "user_id",
    "username",
    "user_role",
    "groups",
    "user_groups",
    "attributes",
    "dst_user_id",
    "dst_user_role",
    "country",
    "time",
    "undecided",
    "iam_assertion",
    "dpi_classification",
];

impl EvaluationContext {
    /// Reads a context. `now` is when it is judged unless it has a `time` of its own (RFC 3339).
    ///
    /// Names without a number get none here: no policy asks about them, so any unused number will do.
    ///
    /// # Errors
    ///
    /// Every field that cannot be read.
    pub fn read(
        value: &Value,
        environment: &Environment,
        names: &Names,
        now: Wall,
    ) -> Result<Self, Vec<ContextError>> {
        let mut reader = Reader { environment, names, errors: Vec::new() };
        let Value::Object(context) = value else {
            reader.error("", "expected an object");
            return Err(reader.errors);
        };
        for key in context.keys().filter(|key| !FIELDS.contains(&key.as_str())) {
            let hint = did_you_mean(key, FIELDS.iter().copied());
            reader.error(key, &format!("unknown field{hint}"));
        }
        let read = reader.context(context, now);
        if reader.errors.is_empty() { Ok(read) } else { Err(reader.errors) }
    }

    /// The facts, borrowed from here.
    #[must_use]
    pub fn facts(&self) -> Facts<'_> {
        let mut facts: Facts<'_> = self.facts;
        facts.user = self.user.as_ref().into();
        facts.dst_user = self.dst_user.as_ref().into();
        for name in &self.undecided {
            facts.set_pending(name);
        }
        facts
    }
}

struct Reader<'a> {
    environment: &'a Environment,
    names: &'a Names,
    errors: Vec<ContextError>,
}

impl Reader<'_> {
    fn error(&mut self, path: &str, reason: &str) {
        self.errors.push(ContextError { path: path.to_owned(), reason: reason.to_owned() });
    }

    fn context(&mut self, context: &Map<String, Value>, now: Wall) -> EvaluationContext {
        let mut facts = Facts::none(now);
        let empty = Map::new();
        let dpi = self.object(context, "dpi_classification").unwrap_or(&empty);
        let iam = self.object(context, "iam_assertion").unwrap_or(&empty);

        if let Some(text) = self.text(context, "time") {
            match text.parse::<Timestamp>() {
                Ok(time) => facts.wall = Wall(u64::try_from(time.as_nanosecond()).unwrap_or_default()),
                Err(_) => self.error("time", "not a time like \"2026-03-02T08:00:00Z\""),
            }
        }
        facts.zone = self.place(context, "zone");
        facts.in_port = self.place(context, "in_port");
        facts.vlan = self.number(context, "vlan", 4094).map(|value| value as u16).into();
        facts.src_port = self.number(context, "src_port", 65535).map(|value| value as u16).into();
        facts.dst_port = self.number(context, "dst_port", 65535).map(|value| value as u16).into();
        facts.src_mac = self.parsed(context, "src_mac", "MAC address", crate::parse::Mac::read);
        let address = |text: &str| text.parse::<IpAddr>().ok().map(Into::into);
        facts.src_ip = self.parsed(context, "src_ip", "IP address", address);
        facts.dst_ip = self.parsed(context, "dst_ip", "IP address", address);

        for protocol in [self.text_or_number(context, "protocol"), self.text_or_number(dpi, "protocol")] {
            let Some(protocol) = protocol.map(|text| text.to_lowercase()) else { continue };
            let number = L4_PROTOCOLS.iter().find(|(name, _)| *name == protocol).map(|(_, number)| *number);
            match number.or_else(|| protocol.parse().ok()) {
                Some(number) => facts.l4_protocol = Fact::Known(number),
                None if protocol.parse::<f64>().is_ok() => {
                    self.error("protocol", &format!("{protocol} is no protocol number, 0 to 255"));
                }
                None => facts.l7_protocol = self.name(Kind::Protocol, Some(&protocol)),
            }
        }
        let application = self.text(context, "application").or_else(|| self.text(context, "app_name"));
        let application = application.or_else(|| self.text(dpi, "app_name"));
        let application = application.or_else(|| self.text(dpi, "application"));
        facts.application = self.name(Kind::Application, application.as_deref());
        let category = self.text(context, "category").or_else(|| self.text(dpi, "category"));
        facts.category = self.name(Kind::Category, category.as_deref());
        let confidence =
            self.number(context, "confidence", 100).or_else(|| self.number(dpi, "confidence", 100));
        facts.confidence = confidence.map(|value| value as u8).into();
        let country = self.text(context, "country");
        facts.country = self.name(Kind::Country, country.as_deref());

        let user = self.user(context, iam);
        let dst_user = self.dst_user(context);
        let mut undecided = Vec::new();
        for name in self.texts(context.get("undecided"), "undecided") {
            if Facts::none(now).set_pending(&name) {
                undecided.push(name);
            } else {
                self.error("undecided", &format!("\"{name}\" is no fact that can be pending"));
            }
        }
        EvaluationContext { facts, user, dst_user, undecided }
    }

    fn user(&mut self, context: &Map<String, Value>, iam: &Map<String, Value>) -> Option<User> {
        let either =
            |reader: &mut Self, key: &str| reader.text(context, key).or_else(|| reader.text(iam, key));
        let id = either(self, "user_id").or_else(|| either(self, "username"));
        let role = either(self, "user_role");
        let groups = given(context, "groups")
            .or_else(|| given(iam, "groups"))
            .or_else(|| given(context, "user_groups"))
            .or_else(|| given(iam, "user_groups"));
        let groups = self.texts(groups, "groups");
        let attributes = given(context, "attributes").or_else(|| given(iam, "attributes"));
        let attributes = self.attributes(attributes);
        if id.is_none() && role.is_none() && groups.is_empty() && attributes.is_empty() {
            return None;
        }
        let groups = groups.iter().map(|group| self.id(Kind::Group, group)).collect();
        Some(User {
            id: id.map_or(UNUSED, |id| self.id(Kind::UserId, &id)),
            role: role.map(|role| self.id(Kind::Role, &role)),
            groups,
            attributes,
        })
    }

    fn dst_user(&mut self, context: &Map<String, Value>) -> Option<User> {
        let (id, role) = (self.text(context, "dst_user_id"), self.text(context, "dst_user_role"));
        (id.is_some() || role.is_some()).then(|| User {
            id: id.map_or(UNUSED, |id| self.id(Kind::UserId, &id)),
            role: role.map(|role| self.id(Kind::Role, &role)),
            groups: Vec::new(),
            attributes: Vec::new(),
        })
    }

    fn attributes(&mut self, value: Option<&Value>) -> Vec<(NameId, NameId)> {
        match value {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Object(members)) => {
                let mut out = Vec::new();
                for (key, value) in members {
                    let id = self.id(Kind::AttributeKey, key);
                    let values = match value {
                        Value::Bool(flag) => vec![flag.to_string()],
                        Value::Number(number) => vec![number.to_string()],
                        Value::Null => Vec::new(),
                        Value::String(_) | Value::Array(_) | Value::Object(_) => {
                            self.texts(Some(value), &format!("attributes.{key}"))
                        }
                    };
                    out.extend(values.iter().map(|value| (id, self.id(Kind::AttributeValue, value))));
                }
                out
            }
            Some(_) => {
                self.error("attributes", "expected an object");
                Vec::new()
            }
        }
    }

    fn id(&self, kind: Kind, name: &str) -> NameId {
        self.names.find(kind, name).unwrap_or(UNUSED)
    }

    fn name(&self, kind: Kind, name: Option<&str>) -> Fact<NameId> {
        name.map(|name| self.id(kind, name)).into()
    }

    fn object<'v>(&mut self, map: &'v Map<String, Value>, key: &str) -> Option<&'v Map<String, Value>> {
        match map.get(key)? {
            Value::Null => None,
            Value::Object(inner) => Some(inner),
            _ => {
                self.error(key, "expected an object");
                None
            }
        }
    }

    fn text(&mut self, map: &Map<String, Value>, key: &str) -> Option<String> {
        match map.get(key)? {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            _ => {
                self.error(key, "expected a string");
                None
            }
        }
    }

    fn text_or_number(&mut self, map: &Map<String, Value>, key: &str) -> Option<String> {
        match map.get(key)? {
            Value::Number(number) => Some(number.to_string()),
            _ => self.text(map, key),
        }
    }

    fn texts(&mut self, value: Option<&Value>, path: &str) -> Vec<String> {
        match value {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::String(text)) => vec![text.clone()],
            Some(Value::Array(items)) if items.iter().all(Value::is_string) => {
                items.iter().filter_map(Value::as_str).map(str::to_owned).collect()
            }
            Some(_) => {
                self.error(path, "expected a string or a list of strings");
                Vec::new()
            }
        }
    }

    fn number(&mut self, map: &Map<String, Value>, key: &str, max: u64) -> Option<u64> {
        match map.get(key)? {
            Value::Null => None,
            value => {
                let number = value.as_u64().filter(|number| *number <= max);
                if number.is_none() {
                    self.error(key, &format!("expected a whole number from 0 to {max}"));
                }
                number
            }
        }
    }

    fn parsed<T>(
        &mut self,
        map: &Map<String, Value>,
        key: &str,
        what: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Fact<T> {
        let Some(text) = self.text(map, key) else { return Fact::Absent };
        let value = parse(&text);
        if value.is_none() {
            self.error(key, &format!("\"{text}\" is no {what}"));
        }
        value.into()
    }

    fn place(&mut self, map: &Map<String, Value>, key: &str) -> Fact<u8> {
        let Some(word) = self.text_or_number(map, key) else { return Fact::Absent };
        let known = if key == "zone" { &self.environment.zones } else { &self.environment.ports };
        let by_name = known.iter().find(|(name, _)| *name == word).map(|(_, id)| *id);
        let by_index = word.parse().ok().filter(|index| known.iter().any(|(_, id)| id == index));
        let place = by_name.or(by_index);
        if place.is_none() {
            let hint = did_you_mean(&word, known.iter().map(|(name, _)| name.as_str()));
            self.error(key, &format!("\"{word}\" is not on this box{hint}"));
        }
        place.into()
    }
}

/// A member that says something: `null` is as good as left out, and hides nothing that is written elsewhere.
fn given<'m>(map: &'m Map<String, Value>, key: &str) -> Option<&'m Value> {
    map.get(key).filter(|value| !value.is_null())
}

/// A number that no name has: a policy cannot ask about a name that nobody interned.
const UNUSED: NameId = NameId(u32::MAX);
