//! From what was written to what workers obey: names become numbers, policies become ranks, conditions an index.
//!
//! Costs 10 to 30 ms for 10,000 policies and nothing on the packet path: the result is immutable and is published
//! by pointer.

use super::condition::{ByteSet, Condition, NameSet, Test};
use super::error::PolicyError;
use super::index::Index;
use super::model::{
    Action, AttributeMatch, Conditions, DecidingMode, DefaultAction, Fields, Located, Per, Policy,
    PolicyFile, Redirect, RedirectTo,
};
use super::names::{Kind, NameId, Names, Vocabulary};
use super::schedule::Schedule;
use crate::account::{DEFAULT_ACCOUNT, NO_ACCOUNT};
use crate::parse::{Addr, Mac};
use crate::verdict::{Effects, Reason, TargetId};
use crate::words::{did_you_mean, wildcard};
use jiff::tz::TimeZone;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher, Hash};
use std::sync::atomic::{AtomicU64, Ordering};

/// What names in policies mean on this box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    /// Zones by name.
    pub zones: Vec<(String, u8)>,
    /// Ports by name; a port's index is understood as well.
    pub ports: Vec<(String, u8)>,
    /// Address of the box itself on the wire, where it has one.
    pub service_ipv4: Option<Addr>,
    /// The same for IPv6.
    pub service_ipv6: Option<Addr>,
}

impl Default for Environment {
    /// Zones `inside` 0, `outside` 1 and `host` 2 on the ports of the same index.
    fn default() -> Self {
        let zones = [("inside", 0), ("outside", 1), ("host", 2)];
        let ports = [("0", 0), ("1", 1), ("host", 2)];
        Self {
            zones: zones.map(|(name, id)| (name.to_owned(), id)).into(),
            ports: ports.map(|(name, id)| (name.to_owned(), id)).into(),
            service_ipv4: None,
            service_ipv6: None,
        }
    }
}

/// Place of an enabled policy in evaluation order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyIndex(pub u32);

/// What a policy, or the default, makes of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// The verdict's part.
    pub action: OutcomeAction,
    /// Mirror, capture, log.
    pub effects: Effects,
    /// Whether signatures look at the flow.
    pub inspect: bool,
}

/// An action with its parameters by index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OutcomeAction {
    /// Forward.
    Allow,
    /// Drop, with the reason to count.
    Drop(Reason),
    /// Reject, with the reason to count.
    Reject(Reason),
    /// Rewrite the destination: see [`PolicySet::target`].
    Redirect(TargetId),
    /// Forward while the bucket lasts: see [`PolicySet::limit`].
    RateLimit(PolicyIndex),
}

impl Outcome {
    /// Whether nothing of the flow passes.
    #[must_use]
    pub const fn blocks(&self) -> bool {
        match self.action {
            OutcomeAction::Drop(_) | OutcomeAction::Reject(_) => true,
            OutcomeAction::Allow | OutcomeAction::Redirect(_) | OutcomeAction::RateLimit(_) => false,
        }
    }

    fn by_default(action: DefaultAction) -> Self {
        let action = match action {
            DefaultAction::Allow => OutcomeAction::Allow,
            DefaultAction::Drop => OutcomeAction::Drop(Reason::DefaultDrop),
            DefaultAction::Reject => OutcomeAction::Reject(Reason::DefaultReject),
        };
        Self { action, effects: Effects::default(), inspect: true }
    }
}

/// Another destination for a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Target {
    /// New destination address of a flow over IPv4.
    pub ipv4: Option<Addr>,
    /// The same for IPv6.
    pub ipv6: Option<Addr>,
    /// New destination port.
    pub port: u16,
    /// New destination MAC, where one is written.
    pub next_hop: Option<Mac>,
}

impl Target {
    /// The new destination of a flow of that IP version; `None` where there is none.
    #[must_use]
    pub const fn addr(&self, is_v4: bool) -> Option<Addr> {
        if is_v4 { self.ipv4 } else { self.ipv6 }
    }
}

/// The shape and identity of a policy's token buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Long-term rate.
    pub bytes_per_s: u64,
    /// Depth.
    pub burst_bytes: u64,
    /// Who shares a bucket.
    pub per: Per,
    /// The same for the same policy_id and numbers, whatever else changed: a reload keeps its buckets.
    pub rule_hash: u64,
}

/// What a policy is called and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyInfo {
    /// Its identifier.
    pub policy_id: String,
    /// Its name.
    pub name: String,
    /// Its priority.
    pub priority: i32,
    /// Its line in the file.
    pub line: u32,
}

/// What evaluation reads of one policy.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    /// First of its conditions.
    pub(super) first: u32,
    /// First condition that the index does not decide by itself.
    pub(super) residual: u32,
    /// One past its last condition.
    pub(super) end: u32,
    pub(super) outcome: Outcome,
}

/// A policy set in force: immutable, `Send + Sync`, shared by every worker.
#[derive(Debug)]
pub struct PolicySet {
    /// Different for every set of this process; caches compare it.
    pub(super) id: u64,
    version: u32,
    deciding: DecidingMode,
    strict: bool,
    pub(super) default: Option<Outcome>,
    pub(super) heads: Vec<Head>,
    pub(super) conditions: Vec<Condition>,
    pub(super) index: Index,
    pub(super) schedules: Vec<CompiledSchedule>,
    pub(super) time_zones: Vec<TimeZone>,
    /// Facts that some policy asks for, as bits of `Pending`.
    pub(super) asks: u32,
    /// Some policy asks for groups or attributes.
    asks_more_of_users: bool,
    infos: Vec<PolicyInfo>,
    targets: Vec<Target>,
    limits: HashMap<u32, Limit, foldhash::fast::FixedState>,
    /// Names per kind when wildcards were resolved; `None` where no policy has one.
    resolved: [Option<u32>; Kind::COUNT],
    /// The wildcards, by what they name.
    wildcards: Box<[(Kind, String)]>,
    vocabulary: Vocabulary,
    /// By rank; empty where the set is not counted.
    accounts: Box<[u32]>,
}

#[derive(Debug, Clone)]
pub(super) struct CompiledSchedule {
    pub(super) schedule: Schedule,
    /// Index into the set's time zones.
    pub(super) time_zone: u32,
}

impl PolicySet {
    /// Compiles a file for one box. `version` is what flows and records carry.
    ///
    /// Names that policies use get numbers in `names`; wildcards are resolved against the names there now, see
    /// [`Self::is_stale`].
    ///
    /// # Errors
    ///
    /// Every zone or port that this box does not have.
    pub fn compile(
        file: &PolicyFile,
        version: u32,
        environment: &Environment,
        names: &mut Names,
    ) -> Result<Self, Vec<PolicyError>> {
        static NEXT_ID: AtomicU64 = AtomicU64::new(1);
        let policies = file.in_order();

        let mut compiler = Compiler {
            file,
            environment,
            names,
            schedules: Vec::new(),
            schedule_ids: HashMap::new(),
            time_zones: Vec::new(),
            patterns: HashMap::new(),
            resolved: [None; Kind::COUNT],
            errors: Vec::new(),
        };
        for policy in &policies {
            compiler.intern(&policy.conditions.all);
            policy.conditions.not.iter().for_each(|not| compiler.intern(not));
        }
        let mut heads = Vec::with_capacity(policies.len());
        let mut conditions: Vec<Condition> = Vec::with_capacity(4 * policies.len());
        let mut infos = Vec::with_capacity(policies.len());
        let mut targets: Vec<Target> = Vec::new();
        let mut target_ids: HashMap<Target, TargetId> = HashMap::new();
        let mut limits = HashMap::default();
        for (rank, policy) in policies.iter().enumerate() {
            let index = PolicyIndex(rank as u32);
            let first = conditions.len();
            compiler.conditions(&policy.conditions, &mut conditions);
            // Those that the index answers come first: with every fact known only the others are looked at.
            conditions[first..].sort_by_key(|condition| !Index::decides(condition));
            let residual = first + conditions[first..].partition_point(Index::decides);
            let action = match policy.action {
                Action::Allow => OutcomeAction::Allow,
                Action::Drop => OutcomeAction::Drop(Reason::PolicyDrop),
                Action::Reject => OutcomeAction::Reject(Reason::PolicyReject),
                Action::Redirect(redirect) => {
                    let target = compiler.target(policy, redirect);
                    let id = *target_ids.entry(target).or_insert_with(|| {
                        targets.push(target);
                        TargetId((targets.len() - 1) as u16)
                    });
                    OutcomeAction::Redirect(id)
                }
                Action::RateLimit(limit) => {
                    let (bytes_per_s, burst_bytes, per) = (limit.bytes_per_s, limit.burst_bytes, limit.per);
                    let rule_hash = foldhash::quality::FixedState::default().hash_one((
                        &policy.policy_id,
                        bytes_per_s,
                        burst_bytes,
                        per,
                    ));
                    limits.insert(index.0, Limit { bytes_per_s, burst_bytes, per, rule_hash });
                    OutcomeAction::RateLimit(index)
                }
            };
            let effects = Effects { mirror: policy.mirror, capture: policy.capture, log: policy.log };
            heads.push(Head {
                first: first as u32,
                residual: residual as u32,
                end: conditions.len() as u32,
                outcome: Outcome { action, effects, inspect: policy.inspect },
            });
            infos.push(PolicyInfo {
                policy_id: policy.policy_id.clone(),
                name: policy.name.clone(),
                priority: policy.priority,
                line: policy.line,
            });
        }
        if targets.len() > usize::from(u16::MAX) + 1 {
            compiler.error(1, 1, "policies", format!("{} redirect targets, more than 65536", targets.len()));
        }
        let Compiler { schedules, time_zones, resolved, patterns, mut errors, .. } = compiler;
        let index = match Index::build(&heads, &conditions) {
            Ok(index) => index,
            Err(reason) => {
                let (path, file) = ("policies".to_owned(), file.file.clone());
                errors.push(PolicyError { file, line: 1, column: 1, path, reason });
                return Err(errors);
            }
        };
        if !errors.is_empty() {
            return Err(errors);
        }
        let asks = conditions.iter().fold(0, |asks, condition| asks | asks_for(&condition.test));
        let is_of_users = |test: &Test| matches!(test, Test::Groups(_) | Test::Attribute { .. });
        let asks_more_of_users = conditions.iter().any(|condition| is_of_users(&condition.test));
        Ok(Self {
            // Relaxed: only uniqueness matters.
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            version,
            deciding: file.deciding,
            strict: file.strict,
            default: file.default_action.map(Outcome::by_default),
            heads,
            conditions,
            index,
            schedules,
            time_zones,
            asks,
            asks_more_of_users,
            infos,
            targets,
            limits,
            resolved,
            wildcards: patterns.into_keys().collect(),
            vocabulary: names.vocabulary(),
            accounts: Box::default(),
        })
    }

    /// A set without policies that makes `action` of every flow.
    #[must_use]
    pub fn of_default(action: DefaultAction) -> Self {
        let file = PolicyFile { default_action: Some(action), ..PolicyFile::default() };
        Self::compile(&file, 0, &Environment::default(), &mut Names::new())
            .expect("a set without policies names no zone")
    }

    /// The same set, whose policies are counted in these accounts of a [`Tally`](crate::account::Tally), by rank; its default in
    /// [`DEFAULT_ACCOUNT`].
    #[must_use]
    pub fn with_accounts(self, accounts: Box<[u32]>) -> Self {
        Self { accounts, ..self }
    }

    /// Where policy `index` is counted, `u32::MAX` being the default.
    #[must_use]
    pub fn account(&self, index: u32) -> u32 {
        match (index, self.accounts.get(index as usize)) {
            (u32::MAX, _) => DEFAULT_ACCOUNT,
            (_, account) => account.copied().unwrap_or(NO_ACCOUNT),
        }
    }

    /// Accounts that a tally must have room for.
    #[must_use]
    pub fn accounts(&self) -> u32 {
        let counted = self.accounts.iter().filter(|account| **account != NO_ACCOUNT);
        counted.max().map_or(DEFAULT_ACCOUNT, |account| *account) + 1
    }

    /// The number under which flows and records remember this set.
    #[must_use]
    pub const fn version(&self) -> u32 {
        self.version
    }

    /// What a deciding flow may do.
    #[must_use]
    pub const fn deciding(&self) -> DecidingMode {
        self.deciding
    }

    /// Whether TCP state violations are dropped inline.
    #[must_use]
    pub const fn strict(&self) -> bool {
        self.strict
    }

    /// What becomes of a flow that no policy decides; `None`: nothing is decided.
    #[must_use]
    pub fn default_action(&self) -> Option<OutcomeAction> {
        self.default.map(|outcome| outcome.action)
    }

    /// Whether some policy asks for more of a user than who it is, and in which role.
    #[must_use]
    pub const fn asks_more_of_users(&self) -> bool {
        self.asks_more_of_users
    }

    /// Whether some policy asks in which country a flow is.
    #[must_use]
    pub const fn asks_for_country(&self) -> bool {
        self.asks & COUNTRY != 0
    }

    /// How many policies are in force.
    #[must_use]
    pub fn len(&self) -> usize {
        self.heads.len()
    }

    /// Whether only the default is in force.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    /// What policy `index` is called.
    #[must_use]
    pub fn info(&self, index: PolicyIndex) -> Option<&PolicyInfo> {
        self.infos.get(index.0 as usize)
    }

    /// What policy `index` makes of a flow.
    #[must_use]
    pub fn outcome(&self, index: PolicyIndex) -> Option<Outcome> {
        self.heads.get(index.0 as usize).map(|head| head.outcome)
    }

    /// The policy of that identifier; linear, for the API.
    #[must_use]
    pub fn find(&self, policy_id: &str) -> Option<PolicyIndex> {
        self.infos.iter().position(|info| info.policy_id == policy_id).map(|rank| PolicyIndex(rank as u32))
    }

    /// The numbers of names that inspection gives, for the facts of this set.
    #[must_use]
    pub const fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// A redirect's target.
    #[must_use]
    pub fn target(&self, id: TargetId) -> Option<&Target> {
        self.targets.get(usize::from(id.0))
    }

    /// The limit of a policy whose action is a rate limit.
    #[must_use]
    pub fn limit(&self, index: PolicyIndex) -> Option<&Limit> {
        self.limits.get(&index.0)
    }

    /// Whether some policy has a schedule: then verdicts change with time alone, see
    /// [`super::Scratch::refresh`].
    #[must_use]
    pub fn has_schedules(&self) -> bool {
        !self.schedules.is_empty()
    }

    /// Whether a wildcard of this set means a name: one that was not there when it was compiled is not found by it.
    #[must_use]
    pub fn has_wildcard_for(&self, kind: Kind, name: &str) -> bool {
        self.wildcards.iter().any(|(of, text)| *of == kind && wildcard(text, name))
    }

    /// Whether `names` holds names that a wildcard of this set has not seen: compile again to resolve them.
    #[must_use]
    pub fn is_stale(&self, names: &Names) -> bool {
        const KINDS: [Kind; Kind::COUNT] = [
            Kind::Application,
            Kind::Category,
            Kind::Protocol,
            Kind::UserId,
            Kind::Role,
            Kind::Group,
            Kind::AttributeKey,
            Kind::AttributeValue,
            Kind::Country,
        ];
        KINDS.iter().any(|kind| self.resolved[*kind as usize].is_some_and(|count| count < names.count(*kind)))
    }

    /// Bytes of the heap that evaluation structures hold, to refuse a set that would not fit.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.index.memory_bytes()
            + self.heads.len() * size_of::<Head>()
            + self.conditions.len() * size_of::<Condition>()
            + self
                .infos
                .iter()
                .map(|info| size_of::<PolicyInfo>() + info.policy_id.len() + info.name.len())
                .sum::<usize>()
    }
}

/// Days, windows and time zone.
type ScheduleKey = (u8, Vec<(u16, u16)>, String);

struct Compiler<'a> {
    file: &'a PolicyFile,
    environment: &'a Environment,
    names: &'a mut Names,
    schedules: Vec<CompiledSchedule>,
    schedule_ids: HashMap<ScheduleKey, u32>,
    time_zones: Vec<TimeZone>,
    /// Wildcards already resolved: many policies share theirs.
    patterns: HashMap<(Kind, String), Vec<NameId>>,
    resolved: [Option<u32>; Kind::COUNT],
    errors: Vec<PolicyError>,
}

impl Compiler<'_> {
    fn error(&mut self, line: u32, column: u32, path: &str, reason: String) {
        let (file, path) = (self.file.file.clone(), path.to_owned());
        self.errors.push(PolicyError { file, line, column, path, reason });
    }

    /// Gives every exact name its number, so that wildcards see those of later policies too.
    fn intern(&mut self, fields: &Fields) {
        for (words, kind) in [
            (&fields.protocol_l7, Kind::Protocol),
            (&fields.application, Kind::Application),
            (&fields.category, Kind::Category),
            (&fields.user_id, Kind::UserId),
            (&fields.user_role, Kind::Role),
            (&fields.groups, Kind::Group),
            (&fields.dst_user_id, Kind::UserId),
            (&fields.dst_user_role, Kind::Role),
            (&fields.country, Kind::Country),
        ] {
            for word in words.iter().filter(|word| !word.contains('*')) {
                self.names.intern(kind, word);
            }
        }
        for (key, wanted) in &fields.attributes {
            self.names.intern(Kind::AttributeKey, key);
            if let AttributeMatch::OneOf(words) = wanted {
                for word in words.iter().filter(|word| !word.contains('*')) {
                    self.names.intern(Kind::AttributeValue, word);
                }
            }
        }
    }

    fn target(&mut self, policy: &Policy, redirect: Redirect) -> Target {
        let next_hop = redirect.next_hop;
        match redirect.to {
            RedirectTo::Address(to) => {
                let addr = Addr::from(to.ip());
                let (ipv4, ipv6) = if addr.is_v4() { (Some(addr), None) } else { (None, Some(addr)) };
                Target { ipv4, ipv6, port: to.port(), next_hop }
            }
            RedirectTo::Service { port } => {
                let Environment { service_ipv4: ipv4, service_ipv6: ipv6, .. } = *self.environment;
                if ipv4.is_none() && ipv6.is_none() {
                    let reason = format!(
                        "policy {} redirects to the box, which has no service address: [inline.service] of the \
                         configuration sets one",
                        policy.policy_id
                    );
                    self.error(policy.line, 1, "action.redirect.to", reason);
                }
                Target { ipv4, ipv6, port, next_hop }
            }
        }
    }

    fn conditions(&mut self, conditions: &Conditions, out: &mut Vec<Condition>) {
        self.fields(&conditions.all, false, out);
        conditions.not.iter().for_each(|not| self.fields(not, true, out));
    }

    fn fields(&mut self, fields: &Fields, negated: bool, out: &mut Vec<Condition>) {
        let mut push = |test: Test| out.push(Condition { test, negated });
        if !fields.zone.is_empty() {
            push(Test::Zone(self.located(&fields.zone, "zone")));
        }
        if !fields.in_port.is_empty() {
            push(Test::InPort(self.located(&fields.in_port, "port")));
        }
        for (spans, test) in [
            (&fields.vlan, Test::Vlan as fn(_) -> _),
            (&fields.src_port, Test::SrcPort as fn(_) -> _),
            (&fields.dst_port, Test::DstPort as fn(_) -> _),
        ] {
            if !spans.is_empty() {
                push(test(spans.as_slice().into()));
            }
        }
        if !fields.src_mac.is_empty() {
            let mut macs = fields.src_mac.clone();
            macs.sort_unstable();
            push(Test::SrcMac(macs.into()));
        }
        if !fields.src_ip.is_empty() {
            push(Test::SrcIp(fields.src_ip.clone()));
        }
        if !fields.dst_ip.is_empty() {
            push(Test::DstIp(fields.dst_ip.clone()));
        }
        if !fields.protocol_l4.is_empty() || !fields.protocol_l7.is_empty() {
            let l4 = fields.protocol_l4.iter().copied().collect();
            push(Test::Protocol { l4, l7: self.name_set(Kind::Protocol, &fields.protocol_l7) });
        }
        if let Some(min) = fields.min_confidence {
            push(Test::MinConfidence(min));
        }
        for (words, kind, test) in [
            (&fields.application, Kind::Application, Test::Application as fn(_) -> _),
            (&fields.category, Kind::Category, Test::Category as fn(_) -> _),
            (&fields.user_id, Kind::UserId, Test::UserId as fn(_) -> _),
            (&fields.user_role, Kind::Role, Test::UserRole as fn(_) -> _),
            (&fields.groups, Kind::Group, Test::Groups as fn(_) -> _),
            (&fields.dst_user_id, Kind::UserId, Test::DstUserId as fn(_) -> _),
            (&fields.dst_user_role, Kind::Role, Test::DstUserRole as fn(_) -> _),
            (&fields.country, Kind::Country, Test::Country as fn(_) -> _),
        ] {
            if !words.is_empty() {
                push(test(self.name_set(kind, words)));
            }
        }
        for (key, wanted) in &fields.attributes {
            let key = self.names.intern(Kind::AttributeKey, key);
            let values = match wanted {
                AttributeMatch::Present => None,
                AttributeMatch::OneOf(words) => Some(self.name_set(Kind::AttributeValue, words)),
            };
            push(Test::Attribute { key, values });
        }
        if !fields.schedule.is_empty() {
            push(Test::Schedule(fields.schedule.iter().map(|schedule| self.schedule(schedule)).collect()));
        }
    }

    fn located(&mut self, words: &[Located], what: &str) -> ByteSet {
        let mut set = ByteSet::default();
        for Located { word, line, column, path } in words {
            let known = if what == "zone" { &self.environment.zones } else { &self.environment.ports };
            if let Some((_, id)) = known.iter().find(|(name, _)| name == word) {
                set.insert(*id);
                continue;
            }
            let by_index = word.parse::<u8>().ok().filter(|index| known.iter().any(|(_, id)| id == index));
            match by_index {
                Some(index) if what == "port" => set.insert(index),
                _ => {
                    let hint = did_you_mean(word, known.iter().map(|(name, _)| name.as_str()));
                    let names: Vec<&str> = known.iter().map(|(name, _)| name.as_str()).collect();
                    let names = names.join(", ");
                    self.error(
                        *line,
                        *column,
                        path,
                        format!("no {what} \"{word}\"{hint}; there are {names}"),
                    );
                }
            }
        }
        set
    }

    fn name_set(&mut self, kind: Kind, words: &[String]) -> NameSet {
        let mut ids = Vec::with_capacity(words.len());
        for word in words {
            if word.contains('*') {
                self.resolved[kind as usize] = Some(self.names.count(kind));
                let names = &*self.names;
                let resolved = self.patterns.entry((kind, word.clone()));
                ids.extend_from_slice(resolved.or_insert_with(|| names.matching(kind, word)));
            } else {
                ids.push(self.names.intern(kind, word));
            }
        }
        ids.sort_unstable();
        ids.dedup();
        ids.into()
    }

    fn schedule(&mut self, schedule: &Schedule) -> u32 {
        let zone_name = schedule.time_zone.iana_name().unwrap_or("UTC").to_owned();
        let key = (schedule.days, schedule.windows.clone(), zone_name);
        let next = self.schedules.len() as u32;
        match self.schedule_ids.entry(key) {
            Entry::Occupied(known) => return *known.get(),
            Entry::Vacant(new) => *new.insert(next),
        };
        let zones = &mut self.time_zones;
        let time_zone = zones.iter().position(|zone| *zone == schedule.time_zone).unwrap_or_else(|| {
            zones.push(schedule.time_zone.clone());
            zones.len() - 1
        });
        self.schedules.push(CompiledSchedule { schedule: schedule.clone(), time_zone: time_zone as u32 });
        next
    }
}

/// The country's bit of `Pending`.
const COUNTRY: u32 = 1 << 15;

/// Bits of `Pending` that a test reads.
fn asks_for(test: &Test) -> u32 {
    match test {
        Test::Zone(_) => 1,
        Test::InPort(_) => 1 << 1,
        Test::Vlan(_) => 1 << 2,
        Test::SrcMac(_) => 1 << 3,
        Test::SrcIp(_) => 1 << 4,
        Test::DstIp(_) => 1 << 5,
        Test::SrcPort(_) => 1 << 6,
        Test::DstPort(_) => 1 << 7,
        Test::Protocol { l7, .. } => 1 << 8 | if l7.is_empty() { 0 } else { 1 << 11 },
        Test::Application(_) => 1 << 9,
        Test::Category(_) => 1 << 10,
        Test::MinConfidence(_) => 1 << 12,
        Test::UserId(_) | Test::UserRole(_) | Test::Groups(_) | Test::Attribute { .. } => 1 << 13,
        Test::DstUserId(_) | Test::DstUserRole(_) => 1 << 14,
        Test::Country(_) => COUNTRY,
        Test::Schedule(_) => 0,
    }
}
