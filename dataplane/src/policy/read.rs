//! Is this policy file what the operator meant? Reads JSON into [`PolicyFile`] and finds every mistake in one go.
//!
//! A mistake never hides another: a field that cannot be read is reported and skipped, and reading goes on. The
//! file is accepted whole or not at all.

use super::error::PolicyError;
use super::json::{self, Member, Node, Value};
use super::model::{
    Action, AddrSet, AttributeMatch, Conditions, DecidingMode, DefaultAction, Fields, Located, Per, Policy,
    PolicyFile, RateLimit, Redirect, RedirectTo, normalise,
};
use super::schedule::{DAY_MINUTES, Schedule, parse_days, parse_hours};
use crate::parse::Mac;
use crate::words::did_you_mean;
use ipnet::IpNet;
use jiff::tz::TimeZone;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};

/// Policies in one set.
pub(super) const POLICIES_MAX: usize = 100_000;
/// Bytes of one file.
const FILE_BYTES_MAX: usize = 64 << 20;
/// Errors told of one file: more help nobody.
const ERRORS_MAX: usize = 1_000;
/// Depth of a bucket where none is written: one second's worth, but never less than two full frames.
const BURST_BYTES_MIN_DEFAULT: u64 = 3_028;
/// A bucket that cannot hold one full Ethernet frame would never let one pass.
const BURST_BYTES_MIN: u64 = 1_514;

const SET_FIELDS: &[&str] = &["version", "default_action", "deciding", "strict", "policies"];
const LIMIT_FIELDS: &[&str] = &["bytes_per_s", "burst_bytes", "per", "rate_limit_kbps"];
const REDIRECT_FIELDS: &[&str] = &["to", "next_hop"];
const POLICY_FIELDS: &[&str] = &[
    "policy_id",
    "name",
    "description",
    "enabled",
    "priority",
    "conditions",
    "action",
    "log",
    "mirror",
    "capture",
    "inspect",
];
const ACTIONS: &[&str] = &["allow", "drop", "reject", "redirect", "rate_limit"];
const CONDITION_FIELDS: &[&str] = &[
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
    "category",
    "min_confidence",
    "user_id",
    "user_role",
    "groups",
    "attributes",
    "dst_user_id",
    "dst_user_role",
    "country",
    "schedule",
    "not",
];

/// Layer 4 protocols by IANA name and number; every other name is layer 7.
pub(super) const L4_PROTOCOLS: &[(&str, u8)] = &[
    ("icmp", 1),
    ("igmp", 2),
    ("ipip", 4),
    ("tcp", 6),
    ("udp", 17),
    ("dccp", 33),
    ("rsvp", 46),
    ("gre", 47),
    ("esp", 50),
    ("ah", 51),
    ("icmpv6", 58),
    ("ipv6-icmp", 58),
    ("eigrp", 88),
    ("ospf", 89),
    ("pim", 103),
    ("vrrp", 112),
    ("l2tp", 115),
    ("sctp", 132),
    ("udplite", 136),
];

impl PolicyFile {
    /// Reads a policy file (a set, or a bare list of policies). `file` is the name that errors give.
    ///
    /// # Errors
    ///
    /// Every mistake in the file, in its order; at most a thousand.
    pub fn parse(file: &str, bytes: &[u8]) -> Result<Self, Vec<PolicyError>> {
        let whole = |reason: String| {
            vec![PolicyError { file: file.to_owned(), line: 1, column: 1, path: String::new(), reason }]
        };
        if bytes.len() > FILE_BYTES_MAX {
            return Err(whole(format!(
                "{} bytes, more than the {FILE_BYTES_MAX} that are read",
                bytes.len()
            )));
        }
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let line = 1 + bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
                let mut errors = whole("not UTF-8".to_owned());
                errors[0].line = line as u32;
                return Err(errors);
            }
        };
        let mut reader = Reader::new(file, text);
        let root = match json::parse(text) {
            Ok(root) => root,
            Err(syntax) => {
                reader.error(syntax.at, syntax.reason);
                return Err(reader.errors);
            }
        };
        let set = reader.set(&root);
        let mut errors = reader.errors;
        if errors.is_empty() {
            errors = set.ambiguities();
        }
        if errors.is_empty() {
            return Ok(set);
        }
        errors.sort_by_key(|error| (error.line, error.column));
        Err(errors)
    }

    /// What inline mode requires beyond a valid file: a default action.
    ///
    /// # Errors
    ///
    /// Where there is none, one error that says what to write.
    pub fn require_default(&self) -> Result<(), PolicyError> {
        if self.default_action.is_some() {
            return Ok(());
        }
        Err(PolicyError {
            file: self.file.clone(),
            line: 1,
            column: 1,
            path: "default_action".to_owned(),
            reason:
                "inline mode has no default of its own: write \"default_action\": \"allow\", \"drop\" or \
                     \"reject\" beside \"policies\""
                    .to_owned(),
        })
    }
}

struct Reader<'a> {
    file: &'a str,
    text: &'a str,
    /// Byte offset of each line's first byte.
    lines: Vec<u32>,
    /// A place and its column, from where the next place of the same line is counted: a file may be one line.
    counted: (u32, u32),
    path: String,
    errors: Vec<PolicyError>,
}

impl<'a> Reader<'a> {
    fn new(file: &'a str, text: &'a str) -> Self {
        let newlines = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let lines = std::iter::once(0).chain(newlines.map(|(at, _)| at as u32 + 1)).collect();
        Self { file, text, lines, counted: (0, 1), path: String::new(), errors: Vec::new() }
    }

    fn line_of(&self, at: u32) -> u32 {
        self.lines.partition_point(|start| *start <= at) as u32
    }

    fn column_of(&mut self, at: u32) -> u32 {
        let start = self.lines[self.line_of(at) as usize - 1];
        let (from, column) = if (start..=at).contains(&self.counted.0) { self.counted } else { (start, 1) };
        let between = self.text.get(from as usize..at as usize);
        self.counted = (at, column + between.map_or(0, |text| text.chars().count() as u32));
        self.counted.1
    }

    fn error(&mut self, at: u32, reason: impl Into<String>) {
        if self.errors.len() < ERRORS_MAX {
            let (line, column) = (self.line_of(at), self.column_of(at));
            self.errors.push(PolicyError {
                file: self.file.to_owned(),
                line,
                column,
                path: self.path.clone(),
                reason: reason.into(),
            });
        }
    }

    /// Runs `read` with `segment` on the path.
    fn field<R>(&mut self, segment: &str, read: impl FnOnce(&mut Self) -> R) -> R {
        let length = self.path.len();
        if length > 0 {
            self.path.push('.');
        }
        self.path.push_str(segment);
        let result = read(self);
        self.path.truncate(length);
        result
    }

    fn item<R>(&mut self, index: usize, read: impl FnOnce(&mut Self) -> R) -> R {
        let length = self.path.len();
        write!(self.path, "[{index}]").expect("a string takes whatever is written");
        let result = read(self);
        self.path.truncate(length);
        result
    }

    fn wrong(&mut self, node: &Node<'_>, expected: &str) {
        self.error(node.at, format!("expected {expected}, found {}", node.value.kind()));
    }

    /// Calls `read` for each member once; a repeated key is an error.
    fn members<'m, 'j>(
        &mut self,
        members: &'m [Member<'j>],
        mut read: impl FnMut(&mut Self, &'m Member<'j>),
    ) {
        for (index, member) in members.iter().enumerate() {
            self.field(&member.key, |reader| {
                if members[..index].iter().any(|earlier| earlier.key == member.key) {
                    reader.error(member.key_at, "written twice");
                } else {
                    read(reader, member);
                }
            });
        }
    }

    fn unknown_field<'k>(&mut self, member: &Member<'_>, known: impl IntoIterator<Item = &'k str>) {
        let hint = did_you_mean(&member.key, known);
        self.error(member.key_at, format!("unknown field \"{}\"{hint}", member.key));
    }

    fn set(&mut self, root: &Node<'_>) -> PolicyFile {
        let mut set = PolicyFile { file: self.file.to_owned(), ..PolicyFile::default() };
        match &root.value {
            Value::Array(items) => set.policies = self.policies(items, root.at),
            Value::Object(members) => {
                let mut seen = false;
                self.members(members, |reader, member| {
                    let node = &member.node;
                    match member.key.as_ref() {
                        "version" => {
                            set.version = reader.integer(node, 0, i64::from(u32::MAX)).map(|v| v as u32)
                        }
                        "default_action" => {
                            set.default_action = reader.choice(
                                node,
                                &[
                                    ("allow", DefaultAction::Allow),
                                    ("drop", DefaultAction::Drop),
                                    ("reject", DefaultAction::Reject),
                                ],
                            );
                        }
                        "deciding" => {
                            let modes = [
                                ("allow", DecidingMode::Allow),
                                ("limit", DecidingMode::Limit),
                                ("block", DecidingMode::Block),
                            ];
                            set.deciding = reader.choice(node, &modes).unwrap_or_default();
                        }
                        "strict" => set.strict = reader.boolean(node).unwrap_or_default(),
                        "policies" => {
                            seen = true;
                            match &node.value {
                                Value::Array(items) => set.policies = reader.policies(items, node.at),
                                _ => reader.wrong(node, "a list of policies"),
                            }
                        }
                        _ => reader.unknown_field(member, SET_FIELDS.iter().copied()),
                    }
                });
                if !seen {
                    self.error(root.at, "the field \"policies\" is missing");
                }
            }
            _ => self.wrong(root, "a policy set or a list of policies"),
        }
        set
    }

    fn policies(&mut self, items: &[Node<'_>], at: u32) -> Vec<Policy> {
        if items.len() > POLICIES_MAX {
            self.error(at, format!("{} policies, more than the {POLICIES_MAX} of one set", items.len()));
            return Vec::new();
        }
        let mut policies: Vec<Policy> = Vec::with_capacity(items.len());
        let mut places = Vec::with_capacity(items.len());
        for (index, node) in items.iter().enumerate() {
            if let Some(policy) = self.item(index, |reader| reader.policy(node)) {
                policies.push(policy);
                places.push((index, node.at));
            }
        }
        let mut lines: HashMap<&str, u32, foldhash::quality::RandomState> = HashMap::default();
        lines.reserve(policies.len());
        for (policy, (index, at)) in policies.iter().zip(places) {
            match lines.entry(&policy.policy_id) {
                Entry::Vacant(new) => *new.insert(policy.line),
                Entry::Occupied(taken) => {
                    let (id, line) = (&policy.policy_id, *taken.get());
                    let reason = format!("policy_id \"{id}\" is taken by the policy on line {line}");
                    self.item(index, |reader| reader.error(at, reason));
                    line
                }
            };
        }
        policies
    }

    fn policy(&mut self, node: &Node<'_>) -> Option<Policy> {
        let Value::Object(members) = &node.value else {
            self.wrong(node, "a policy, which is an object");
            return None;
        };
        let mut policy = Policy {
            policy_id: String::new(),
            name: String::new(),
            description: String::new(),
            enabled: true,
            priority: 100,
            conditions: Conditions::default(),
            action: Action::Drop,
            log: false,
            mirror: false,
            capture: false,
            inspect: true,
            line: self.line_of(node.at),
        };
        let mut action = None;
        self.members(members, |reader, member| {
            let node = &member.node;
            match member.key.as_ref() {
                "policy_id" => policy.policy_id = reader.identifier(node).unwrap_or_default(),
                "name" => policy.name = reader.string(node).unwrap_or_default(),
                "description" => policy.description = reader.string(node).unwrap_or_default(),
                "enabled" => policy.enabled = reader.boolean(node).unwrap_or(true),
                "priority" => {
                    let priority = reader.integer(node, i64::from(i32::MIN), i64::from(i32::MAX));
                    policy.priority = priority.unwrap_or_default() as i32;
                }
                "conditions" => policy.conditions = reader.conditions(node),
                "action" => action = Some(node),
                "log" => policy.log = reader.boolean(node).unwrap_or_default(),
                "mirror" => policy.mirror = reader.boolean(node).unwrap_or_default(),
                "capture" => policy.capture = reader.boolean(node).unwrap_or_default(),
                "inspect" => policy.inspect = reader.boolean(node).unwrap_or(true),
                key if LIMIT_FIELDS.contains(&key) || REDIRECT_FIELDS.contains(&key) => {}
                _ => reader.unknown_field(member, POLICY_FIELDS.iter().copied()),
            }
        });
        if !members.iter().any(|member| member.key == "policy_id") {
            self.error(node.at, "the field \"policy_id\" is missing");
        }
        match action {
            None => self.error(node.at, "the field \"action\" is missing"),
            Some(action) => {
                let flat: Vec<&Member<'_>> = members
                    .iter()
                    .filter(|member| !POLICY_FIELDS.contains(&member.key.as_ref()))
                    .filter(|member| is_parameter(&member.key))
                    .collect();
                if let Some(action) = self.field("action", |reader| reader.action(action, node.at, &flat)) {
                    policy.action = action;
                }
            }
        }
        if policy.name.is_empty() {
            policy.name.clone_from(&policy.policy_id);
        }
        (!policy.policy_id.is_empty()).then_some(policy)
    }

    /// Reads an action; `flat` are parameters written beside it, as the former system did.
    fn action(&mut self, node: &Node<'_>, owner_at: u32, flat: &[&Member<'_>]) -> Option<Action> {
        match &node.value {
            Value::String(word) => {
                let normal = word.to_ascii_lowercase().replace('-', "_");
                let (action, used): (Option<Action>, &[&str]) = match normal.as_str() {
                    "allow" | "pass" => (Some(Action::Allow), &[]),
                    "drop" => (Some(Action::Drop), &[]),
                    "reject" => (Some(Action::Reject), &[]),
                    "rate_limit" => (self.rate_limit(owner_at, flat).map(Action::RateLimit), LIMIT_FIELDS),
                    "redirect" => (self.redirect(owner_at, flat).map(Action::Redirect), REDIRECT_FIELDS),
                    _ => {
                        let hint = did_you_mean(&normal, ACTIONS.iter().copied());
                        self.error(node.at, format!("unknown action \"{word}\"{hint}"));
                        return None;
                    }
                };
                for member in flat.iter().filter(|member| !used.contains(&member.key.as_ref())) {
                    self.error(member.key_at, format!("\"{}\" has no meaning for \"{word}\"", member.key));
                }
                action
            }
            Value::Object(members) => self.action_object(node, members, flat),
            _ => {
                self.wrong(node, "an action");
                None
            }
        }
    }

    fn action_object(
        &mut self,
        node: &Node<'_>,
        members: &[Member<'_>],
        flat: &[&Member<'_>],
    ) -> Option<Action> {
        // The former system's nested form: {"action": "drop"}, parameters beside it.
        if let Some(inner) = members.iter().find(|member| member.key == "action") {
            let parameters: Vec<&Member<'_>> =
                members.iter().filter(|member| member.key != "action").collect();
            for member in parameters.iter().filter(|member| !is_parameter(&member.key)) {
                let known = LIMIT_FIELDS.iter().chain(REDIRECT_FIELDS).copied();
                self.field(&member.key, |reader| reader.unknown_field(member, known));
            }
            let mut all: Vec<&Member<'_>> = parameters;
            all.retain(|member| is_parameter(&member.key));
            all.extend(flat);
            if !matches!(inner.node.value, Value::String(_)) {
                self.field("action", |reader| reader.wrong(&inner.node, "the name of an action"));
                return None;
            }
            return self.field("action", |reader| reader.action(&inner.node, node.at, &all));
        }
        for member in flat {
            self.error(member.key_at, format!("\"{}\" belongs inside the action", member.key));
        }
        let [member] = members else {
            self.error(node.at, "expected one action such as {\"rate_limit\": {...}}");
            return None;
        };
        let inner = &member.node;
        let key = member.key.as_ref();
        self.field(key, |reader| match (key, &inner.value) {
            ("redirect", Value::Object(fields)) => {
                reader.only(fields, REDIRECT_FIELDS);
                let fields: Vec<&Member<'_>> = fields.iter().collect();
                reader.redirect(inner.at, &fields).map(Action::Redirect)
            }
            ("rate_limit" | "rate-limit", Value::Object(fields)) => {
                reader.only(fields, LIMIT_FIELDS);
                let fields: Vec<&Member<'_>> = fields.iter().collect();
                reader.rate_limit(inner.at, &fields).map(Action::RateLimit)
            }
            ("redirect" | "rate_limit" | "rate-limit", _) => {
                reader.wrong(inner, "an object with its parameters");
                None
            }
            _ => {
                let hint = did_you_mean(key, ACTIONS.iter().copied());
                reader.error(member.key_at, format!("unknown action \"{key}\"{hint}"));
                None
            }
        })
    }

    /// Reports members that are not `known`, and repeated ones.
    fn only(&mut self, members: &[Member<'_>], known: &[&str]) {
        self.members(members, |reader, member| {
            if !known.contains(&member.key.as_ref()) {
                reader.unknown_field(member, known.iter().copied());
            }
        });
    }

    fn redirect(&mut self, at: u32, fields: &[&Member<'_>]) -> Option<Redirect> {
        let mut to = None;
        let mut next_hop = None;
        let errors_before = self.errors.len();
        for member in fields {
            let node = &member.node;
            self.field(&member.key, |reader| match member.key.as_ref() {
                "to" => to = reader.redirect_to(node),
                "next_hop" => next_hop = reader.mac(node),
                _ => {}
            });
        }
        if !fields.iter().any(|member| member.key == "to") {
            self.error(at, "a redirect needs \"to\": \"address:port\" or \"service:port\"");
        }
        (self.errors.len() == errors_before).then_some(())?;
        Some(Redirect { to: to?, next_hop })
    }

    fn rate_limit(&mut self, at: u32, fields: &[&Member<'_>]) -> Option<RateLimit> {
        let mut rate = None;
        let mut burst = None;
        let mut per = Per::Rule;
        let errors_before = self.errors.len();
        // A rate above 2^53 bytes/s is a slip of the hand and would overflow sums.
        const RATE_MAX: i64 = 1 << 53;
        for member in fields {
            let node = &member.node;
            self.field(&member.key, |reader| match member.key.as_ref() {
                "bytes_per_s" => rate = reader.integer(node, 1, RATE_MAX).map(|value| value as u64),
                "rate_limit_kbps" => {
                    rate = reader.integer(node, 1, RATE_MAX / 125).map(|value| value as u64 * 125);
                }
                "burst_bytes" => {
                    burst = reader.integer(node, BURST_BYTES_MIN as i64, RATE_MAX).map(|value| value as u64);
                }
                "per" => {
                    let choices = [
                        ("flow", Per::Flow),
                        ("source", Per::Source),
                        ("user", Per::User),
                        ("rule", Per::Rule),
                    ];
                    per = reader.choice(node, &choices).unwrap_or(per);
                }
                _ => {}
            });
        }
        let rates = fields.iter().filter(|member| matches!(&*member.key, "bytes_per_s" | "rate_limit_kbps"));
        match rates.count() {
            0 => self.error(at, "a rate limit needs \"bytes_per_s\""),
            1 => {}
            _ => self.error(at, "write \"bytes_per_s\" or \"rate_limit_kbps\", not both"),
        }
        (self.errors.len() == errors_before).then_some(())?;
        let bytes_per_s = rate?;
        let burst_bytes = burst.unwrap_or(bytes_per_s.max(BURST_BYTES_MIN_DEFAULT));
        Some(RateLimit { bytes_per_s, burst_bytes, per })
    }

    fn conditions(&mut self, node: &Node<'_>) -> Conditions {
        let Value::Object(members) = &node.value else {
            self.wrong(node, "an object of conditions");
            return Conditions::default();
        };
        let mut conditions = Conditions::default();
        self.members(members, |reader, member| match member.key.as_ref() {
            "not" => match &member.node.value {
                Value::Object(inner) => {
                    let mut not = Box::default();
                    reader.members(inner, |reader, member| reader.condition(member, &mut not));
                    conditions.not = (!not.is_empty()).then_some(not);
                }
                _ => reader.wrong(&member.node, "an object of conditions"),
            },
            _ => reader.condition(member, &mut conditions.all),
        });
        conditions
    }

    fn condition(&mut self, member: &Member<'_>, fields: &mut Fields) {
        let node = &member.node;
        match member.key.as_ref() {
            "zone" => fields.zone = self.list(node, Self::located),
            "in_port" => fields.in_port = self.list(node, Self::located),
            "vlan" => {
                fields.vlan = self.list(node, |reader, node| reader.span(node, 4094, "VLAN identifier"));
                normalise(&mut fields.vlan);
            }
            "src_mac" => fields.src_mac = self.list(node, Self::mac),
            "src_ip" => fields.src_ip = self.addresses(node),
            "dst_ip" => fields.dst_ip = self.addresses(node),
            "src_port" => {
                fields.src_port = self.list(node, |reader, node| reader.span(node, u16::MAX, "port"));
                normalise(&mut fields.src_port);
            }
            "dst_port" => {
                fields.dst_port = self.list(node, |reader, node| reader.span(node, u16::MAX, "port"));
                normalise(&mut fields.dst_port);
            }
            "protocol" => {
                for protocol in self.list(node, Self::protocol) {
                    match protocol {
                        Protocol::L4(number) => fields.protocol_l4.push(number),
                        Protocol::L7(name) => fields.protocol_l7.push(name),
                    }
                }
            }
            "application" => fields.application = self.list(node, Self::word),
            "category" => fields.category = self.list(node, Self::word),
            "min_confidence" => {
                fields.min_confidence = self.integer(node, 0, 100).map(|value| value as u8);
            }
            "user_id" => fields.user_id = self.list(node, Self::word),
            "user_role" => fields.user_role = self.list(node, Self::word),
            "groups" => fields.groups = self.list(node, Self::word),
            "attributes" => fields.attributes = self.attributes(node),
            "dst_user_id" => fields.dst_user_id = self.list(node, Self::word),
            "dst_user_role" => fields.dst_user_role = self.list(node, Self::word),
            "country" => fields.country = self.list(node, Self::country),
            "schedule" => fields.schedule = self.list(node, Self::schedule),
            "not" => self.error(member.key_at, "\"not\" inside \"not\""),
            _ => self.unknown_field(member, CONDITION_FIELDS.iter().copied()),
        }
    }

    /// A list, or one value as a list of one.
    fn list<T>(
        &mut self,
        node: &Node<'_>,
        mut read: impl FnMut(&mut Self, &Node<'_>) -> Option<T>,
    ) -> Vec<T> {
        let Value::Array(items) = &node.value else { return read(self, node).into_iter().collect() };
        if items.is_empty() {
            self.error(node.at, "an empty list matches nothing: leave the field out or disable the policy");
        }
        let mut values = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            values.extend(self.item(index, |reader| read(reader, item)));
        }
        values
    }

    fn boolean(&mut self, node: &Node<'_>) -> Option<bool> {
        match node.value {
            Value::Bool(value) => Some(value),
            _ => {
                self.wrong(node, "true or false");
                None
            }
        }
    }

    fn integer(&mut self, node: &Node<'_>, min: i64, max: i64) -> Option<i64> {
        let Value::Number(number) = &node.value else {
            self.wrong(node, "a number");
            return None;
        };
        let value = number.as_i64().filter(|value| (min..=max).contains(value));
        if value.is_none() {
            self.error(node.at, format!("{number} is not a whole number from {min} to {max}"));
        }
        value
    }

    fn string(&mut self, node: &Node<'_>) -> Option<String> {
        match &node.value {
            Value::String(text) => Some(text.clone().into_owned()),
            _ => {
                self.wrong(node, "a string");
                None
            }
        }
    }

    fn identifier(&mut self, node: &Node<'_>) -> Option<String> {
        let text = self.string(node)?;
        if text.is_empty() || text.len() > 128 || text.chars().any(char::is_control) {
            self.error(node.at, "a policy_id has 1 to 128 bytes and no control characters");
            return None;
        }
        Some(text)
    }

    fn word(&mut self, node: &Node<'_>) -> Option<String> {
        let text = self.string(node)?;
        if text.trim().is_empty() {
            self.error(node.at, "an empty name matches nothing");
            return None;
        }
        Some(text)
    }

    fn choice<T: Copy>(&mut self, node: &Node<'_>, choices: &[(&str, T)]) -> Option<T> {
        let names = || choices.iter().map(|(name, _)| *name);
        let Value::String(text) = &node.value else {
            let names: Vec<&str> = names().collect();
            self.wrong(node, &format!("one of {}", names.join(", ")));
            return None;
        };
        let found = choices.iter().find(|(name, _)| name == text).map(|(_, value)| *value);
        if found.is_none() {
            let hint = did_you_mean(text, names());
            let names: Vec<&str> = names().collect();
            self.error(node.at, format!("\"{text}\" is none of {}{hint}", names.join(", ")));
        }
        found
    }

    /// A zone or port, bound to the configuration later.
    fn located(&mut self, node: &Node<'_>) -> Option<Located> {
        let word = match &node.value {
            Value::String(text) => text.clone().into_owned(),
            Value::Number(number) => number.to_string(),
            _ => {
                self.wrong(node, "a name");
                return None;
            }
        };
        let (line, column) = (self.line_of(node.at), self.column_of(node.at));
        Some(Located { word, line, column, path: self.path.clone() })
    }

    /// A number, `"443"` or `"8000-8100"`.
    fn span(&mut self, node: &Node<'_>, max: u16, what: &str) -> Option<(u16, u16)> {
        match &node.value {
            Value::Number(_) => {
                let value = self.integer(node, 0, i64::from(max))? as u16;
                Some((value, value))
            }
            Value::String(text) => {
                let (first, last) = text.split_once('-').unwrap_or((text, text));
                let number = |part: &str| part.trim().parse::<u16>().ok().filter(|value| *value <= max);
                match (number(first), number(last)) {
                    (Some(first), Some(last)) if first <= last => Some((first, last)),
                    (Some(first), Some(last)) => {
                        self.error(node.at, format!("\"{text}\" runs backwards: write \"{last}-{first}\""));
                        None
                    }
                    _ => {
                        self.error(node.at, format!("\"{text}\" is no {what} (0 to {max}) or span of them"));
                        None
                    }
                }
            }
            _ => {
                self.wrong(node, &format!("a {what} or a span of them"));
                None
            }
        }
    }

    fn mac(&mut self, node: &Node<'_>) -> Option<Mac> {
        let text = self.string(node)?;
        let mac = Mac::read(&text);
        if mac.is_none() {
            self.error(node.at, format!("\"{text}\" is no MAC address like \"02:00:00:00:00:01\""));
        }
        mac
    }

    fn redirect_to(&mut self, node: &Node<'_>) -> Option<RedirectTo> {
        let text = self.string(node)?;
        if let Some(port) = text.strip_prefix("service:") {
            let port = port.parse::<u16>().ok().filter(|port| *port > 0);
            if port.is_none() {
                self.error(node.at, format!("\"{text}\" is no port of the box like \"service:8443\""));
            }
            return port.map(|port| RedirectTo::Service { port });
        }
        self.socket_address(node).map(RedirectTo::Address)
    }

    fn socket_address(&mut self, node: &Node<'_>) -> Option<SocketAddr> {
        let text = self.string(node)?;
        match text.parse::<SocketAddr>() {
            Ok(to) if to.port() == 0 => {
                self.error(node.at, format!("\"{text}\": port 0 is no destination"));
                None
            }
            Ok(to) if to.ip().is_unspecified() || to.ip().is_multicast() => {
                self.error(node.at, format!("\"{text}\" is no host's address"));
                None
            }
            Ok(to) => Some(to),
            Err(_) => {
                self.error(
                    node.at,
                    format!(
                        "\"{text}\" is no address and port like \"10.0.0.1:80\", \"[2001:db8::1]:80\" or \
                         \"service:8443\""
                    ),
                );
                None
            }
        }
    }

    fn addresses(&mut self, node: &Node<'_>) -> AddrSet {
        let mut set = AddrSet::default();
        for range in self.list(node, Self::address_range) {
            match range {
                AddrRange::V4(first, last) => set.v4.push((first, last)),
                AddrRange::V6(first, last) => set.v6.push((first, last)),
            }
        }
        normalise(&mut set.v4);
        normalise(&mut set.v6);
        set
    }

    fn address_range(&mut self, node: &Node<'_>) -> Option<AddrRange> {
        let text = self.string(node)?;
        match parse_addresses(&text) {
            Ok(range) => Some(range),
            Err(reason) => {
                self.error(node.at, reason);
                None
            }
        }
    }

    fn protocol(&mut self, node: &Node<'_>) -> Option<Protocol> {
        if let Value::Number(_) = node.value {
            return self.integer(node, 0, 255).map(|number| Protocol::L4(number as u8));
        }
        let text = self.word(node)?.trim().to_lowercase();
        if let Some((_, number)) = L4_PROTOCOLS.iter().find(|(name, _)| *name == text) {
            return Some(Protocol::L4(*number));
        }
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            let number = text.parse().ok().map(Protocol::L4);
            if number.is_none() {
                self.error(node.at, format!("\"{text}\" is no protocol number from 0 to 255"));
            }
            return number;
        }
        Some(Protocol::L7(text))
    }

    fn country(&mut self, node: &Node<'_>) -> Option<String> {
        let text = self.string(node)?;
        if text.len() != 2 || !text.bytes().all(|byte| byte.is_ascii_alphabetic()) {
            self.error(node.at, format!("\"{text}\" is no two-letter country code (ISO 3166-1)"));
            return None;
        }
        Some(text.to_ascii_lowercase())
    }

    fn attributes(&mut self, node: &Node<'_>) -> Vec<(String, AttributeMatch)> {
        let Value::Object(members) = &node.value else {
            self.wrong(node, "an object of attributes");
            return Vec::new();
        };
        if members.is_empty() {
            self.error(node.at, "no attribute is named: leave the field out");
        }
        let mut attributes = Vec::new();
        self.members(members, |reader, member| {
            let node = &member.node;
            let wanted = match node.value {
                Value::Bool(true) => Some(AttributeMatch::Present),
                Value::Bool(false) => {
                    reader.error(node.at, "absence is written as true under \"not\"");
                    None
                }
                _ => Some(AttributeMatch::OneOf(reader.list(node, |reader, node| match &node.value {
                    Value::Number(number) => Some(number.to_string()),
                    _ => reader.word(node),
                }))),
            };
            attributes.extend(wanted.map(|wanted| (member.key.clone().into_owned(), wanted)));
        });
        attributes
    }

    fn schedule(&mut self, node: &Node<'_>) -> Option<Schedule> {
        const FIELDS: &[&str] = &["days", "hours", "time_zone"];
        let Value::Object(members) = &node.value else {
            self.wrong(node, "a schedule like {\"days\": \"mon-fri\", \"hours\": \"08:00-18:00\"}");
            return None;
        };
        if members.is_empty() {
            self.error(node.at, "an empty schedule always holds: leave the field out");
        }
        let errors_before = self.errors.len();
        let mut schedule =
            Schedule { days: 0b111_1111, windows: vec![(0, DAY_MINUTES)], time_zone: TimeZone::UTC };
        self.members(members, |reader, member| {
            let node = &member.node;
            match member.key.as_ref() {
                "days" => {
                    let masks = reader.list(node, |reader, node| {
                        let text = reader.string(node)?;
                        parse_days(&text).map_err(|reason| reader.error(node.at, reason)).ok()
                    });
                    schedule.days = masks.iter().fold(0, |all, mask| all | mask);
                }
                "hours" => {
                    schedule.windows = reader.list(node, |reader, node| {
                        let text = reader.string(node)?;
                        parse_hours(&text).map_err(|reason| reader.error(node.at, reason)).ok()
                    });
                }
                "time_zone" => {
                    if let Some(name) = reader.string(node) {
                        match TimeZone::get(&name) {
                            Ok(time_zone) => schedule.time_zone = time_zone,
                            Err(_) => reader.error(
                                node.at,
                                format!("\"{name}\" is no IANA time zone like \"Europe/Berlin\""),
                            ),
                        }
                    }
                }
                _ => reader.unknown_field(member, FIELDS.iter().copied()),
            }
        });
        (self.errors.len() == errors_before).then_some(schedule)
    }
}

fn is_parameter(key: &str) -> bool {
    LIMIT_FIELDS.contains(&key) || REDIRECT_FIELDS.contains(&key)
}

enum Protocol {
    L4(u8),
    L7(String),
}

enum AddrRange {
    V4(u32, u32),
    V6(u128, u128),
}

/// Reads `a.b.c.d`, `net/len` or `first-last`, of either version. Bits beyond a prefix's length are ignored.
fn parse_addresses(text: &str) -> Result<AddrRange, String> {
    let bad =
        || format!("\"{text}\" is no address, prefix (\"10.0.0.0/8\") or range (\"10.0.0.1-10.0.0.9\")");
    let text = text.trim();
    let (first, last) = if text.contains('/') {
        let net: IpNet = text.parse().map_err(|_| bad())?;
        (net.network(), net.broadcast())
    } else {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let address =
            |part: &str| part.trim().parse::<IpAddr>().map(|ip| ip.to_canonical()).map_err(|_| bad());
        (address(first)?, address(last)?)
    };
    let range = match (first, last) {
        (IpAddr::V4(first), IpAddr::V4(last)) => AddrRange::V4(first.to_bits(), last.to_bits()),
        (IpAddr::V6(first), IpAddr::V6(last)) => AddrRange::V6(first.to_bits(), last.to_bits()),
        _ => return Err(format!("\"{text}\" mixes IPv4 and IPv6")),
    };
    match range {
        AddrRange::V4(first, last) if first > last => Err(format!("\"{text}\" runs backwards")),
        AddrRange::V6(first, last) if first > last => Err(format!("\"{text}\" runs backwards")),
        _ => Ok(range),
    }
}
