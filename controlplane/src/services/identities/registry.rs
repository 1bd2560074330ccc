//! Who was asserted to be where, and what holds of each key?
//!
//! A key is an address, a network or an Ethernet address. Several assertions may be about one key; [`Several`] says what holds then.
//! Nothing here knows of workers, clocks or HTTP.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use dataplane::identity::{ADDR_BITS, Key, UserNumber};
use dataplane::parse::{Addr, Mac};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::leases::{Given, Leases};
use super::ledger::{Kept, Ledger};
use super::saved::{SavedAssertion, SavedLease, row_of};

/// Assertions that live at one time.
pub const LIVE_MAX: usize = 200_000;

/// Keys of one assertion.
pub const KEYS_MAX: usize = 64;

/// Who somebody is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct Who {
    /// By which policies mean the user.
    pub user_id: String,
    /// What people call the user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// What the user is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_role: Option<String>,
    /// Groups that the user is in.
    pub groups: Vec<String>,
    /// What else is known: each name with its values.
    pub attributes: BTreeMap<String, Vec<String>>,
}

/// Who says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// A client of the API.
    Api,
    /// A token of an OpenID provider.
    Oidc,
    /// RADIUS accounting.
    Radius,
    /// A login at the box's own portal.
    Portal,
    /// A line of a log.
    Syslog,
    /// A DHCP lease seen on the wire.
    Dhcp,
}

impl Source {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Api, Self::Oidc, Self::Radius, Self::Portal, Self::Syslog, Self::Dhcp];

    /// As the configuration writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Radius => "radius",
            Self::Portal => "portal",
            Self::Oidc => "oidc",
            Self::Syslog => "syslog",
            Self::Dhcp => "dhcp",
        }
    }
}

impl std::str::FromStr for Source {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|source| source.name() == text).ok_or(())
    }
}

/// Whose word counts more: each source once, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Precedence([Source; Source::ALL.len()]);

impl Default for Precedence {
    fn default() -> Self {
        Self(Source::ALL)
    }
}

impl Precedence {
    /// Those that are left out come last; `None`: one is there twice.
    #[must_use]
    pub fn new(first: &[Source]) -> Option<Self> {
        let mut order = first.to_vec();
        order.extend(Source::ALL.iter().filter(|source| !first.contains(source)));
        order.try_into().ok().map(Self)
    }

    fn rank(self, source: Source) -> usize {
        self.0.iter().position(|other| *other == source).unwrap_or(self.0.len())
    }
}

/// That somebody is somewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assertion {
    /// Where: 1 to [`KEYS_MAX`].
    pub keys: Vec<Key>,
    /// Who.
    pub who: Who,
    /// Who says so.
    pub source: Source,
    /// Until when, nanoseconds since 1970; `None`: until it is ended.
    pub expires_ns: Option<u64>,
}

/// What holds where several users are asserted of one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Several {
    /// The newest word; what the same source said before of this key is over.
    #[default]
    Latest,
    /// The first stays; others are refused until it is over.
    First,
    /// Nobody is known while there are several: a host that many work on.
    Nobody,
}

/// An assertion that lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Live {
    /// Its number, never used again.
    pub id: u64,
    /// The number under which records name the user.
    pub number: UserNumber,
    /// What it says.
    pub assertion: Arc<Assertion>,
    /// Since when, nanoseconds since 1970.
    pub since_ns: u64,
}

/// Why an assertion is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There are enough.
    #[error("{LIVE_MAX} assertions live, and no more are taken; end some, or let them expire sooner")]
    Full,
    /// Somebody else is there.
    #[error(
        "`{key}` is `{user_id}`'s by assertion {id}, and the first one stays (`identity.several`); end that one first"
    )]
    Taken {
        /// Where.
        key: Key,
        /// Who is there.
        user_id: String,
        /// By which assertion.
        id: u64,
    },
}

/// What came of a change.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// Keys of which something else may hold now.
    pub keys: Vec<Key>,
    /// Assertions that are over.
    pub ended: Vec<Live>,
}

/// What becomes of an assertion that is taken.
enum Plan {
    /// It is there, and lives longer.
    Renew(u64),
    /// It begins, and these are over.
    Begin { over: Vec<u64>, number: UserNumber },
}

/// All assertions.
#[derive(Debug, Default)]
pub struct Registry {
    several: Several,
    precedence: Precedence,
    live: BTreeMap<u64, Live>,
    by_key: HashMap<Key, Vec<u64>>,
    by_number: HashMap<UserNumber, u64>,
    by_expiry: BTreeSet<(u64, u64)>,
    leases: Leases,
    last_id: u64,
    last_number: u32,
    /// Where it is kept; `None`: nowhere.
    ledger: Option<Arc<Ledger>>,
}

impl Registry {
    /// None yet.
    #[must_use]
    pub fn new(several: Several, precedence: Precedence) -> Self {
        Self { several, precedence, ..Self::default() }
    }

    /// Keeps from now on what changes.
    pub(super) fn keep_in(&mut self, ledger: Arc<Ledger>) {
        self.ledger = Some(ledger);
    }

    /// Numbers of assertions up to this one were used before the process began.
    pub(super) fn number_behind(&mut self, last_id: u64) {
        self.last_id = self.last_id.max(last_id);
    }

    /// Takes an assertion that was kept, as it was; `None`: there are too many, or it is there. Nothing is said against others: they
    /// lived beside each other before.
    pub(super) fn restore(&mut self, id: u64, assertion: Assertion, since_ns: u64) -> Option<Live> {
        if self.live.len() >= LIVE_MAX || self.live.contains_key(&id) {
            return None;
        }
        let number = UserNumber::new(self.last_number.checked_add(1)?)?;
        self.last_number = number.get();
        self.number_behind(id);
        let live = Live { id, number, assertion: Arc::new(assertion), since_ns };
        self.put_in(&live);
        Some(live)
    }

    /// Takes a lease that was kept; `false`: there are too many.
    pub(super) fn restore_lease(&mut self, addr: Key, mac: Mac, expires_ns: u64) -> bool {
        self.leases.give(addr, mac, expires_ns) != Given::Full
    }

    /// Takes an assertion. The same source saying the same of the same user and keys again renews it.
    ///
    /// # Errors
    ///
    /// [`Refused`]; nothing has changed then.
    pub fn assert(&mut self, assertion: Assertion, now_ns: u64) -> Result<(Live, Changed), Refused> {
        let (over, number) = match self.plan(&assertion)? {
            Plan::Renew(id) => return Ok((self.renew(id, assertion), Changed::default())),
            Plan::Begin { over, number } => (over, number),
        };
        let mut changed = Changed::default();
        over.iter().for_each(|id| self.take_out(*id, &mut changed));
        self.last_number = number.get();
        self.last_id += 1;
        let live = Live { id: self.last_id, number, assertion: Arc::new(assertion), since_ns: now_ns };
        self.put_in(&live);
        if let Some(ledger) = &self.ledger {
            ledger.add(Kept::Assertion, row_of(live.id), &SavedAssertion::of(&live));
            ledger.put(Kept::LastId, String::new(), &live.id);
        }
        changed.keys.extend(&live.assertion.keys);
        changed.keys.sort_unstable();
        changed.keys.dedup();
        Ok((live, changed))
    }

    /// Whether [`Self::assert`] would take it now.
    ///
    /// # Errors
    ///
    /// [`Refused`], as it would.
    pub fn permits(&self, assertion: &Assertion) -> Result<(), Refused> {
        self.plan(assertion).map(|_plan| ())
    }

    fn plan(&self, assertion: &Assertion) -> Result<Plan, Refused> {
        let others = self.others(assertion);
        let is_same = |live: &Live| {
            let said = &live.assertion;
            (said.source, &said.who, &said.keys) == (assertion.source, &assertion.who, &assertion.keys)
        };
        if let [only] = others.as_slice()
            && self.live.get(only).is_some_and(is_same)
        {
            return Ok(Plan::Renew(*only));
        }
        let is_of_him = |live: &Live| {
            live.assertion.source == assertion.source && live.assertion.who.user_id == assertion.who.user_id
        };
        if self.several == Several::First
            && let Some(live) = others.iter().filter_map(|id| self.live.get(id)).find(|live| !is_of_him(live))
        {
            let key = live.assertion.keys.iter().find(|key| assertion.keys.contains(key));
            let key = key.copied().unwrap_or(assertion.keys[0]);
            return Err(Refused::Taken { key, user_id: live.assertion.who.user_id.clone(), id: live.id });
        }
        let is_over = |live: &Live| match self.several {
            Several::Latest => live.assertion.source == assertion.source,
            Several::First | Several::Nobody => is_of_him(live),
        };
        let over: Vec<u64> = others.into_iter().filter(|id| self.live.get(id).is_some_and(is_over)).collect();
        if self.live.len() - over.len() >= LIVE_MAX {
            return Err(Refused::Full);
        }
        let number = self.last_number.checked_add(1).and_then(UserNumber::new).ok_or(Refused::Full)?;
        Ok(Plan::Begin { over, number })
    }

    /// Ends an assertion; `None`: there is none of this number.
    pub fn end(&mut self, id: u64) -> Option<Changed> {
        self.live.contains_key(&id).then(|| {
            let mut changed = Changed::default();
            self.take_out(id, &mut changed);
            changed
        })
    }

    /// Ends what a source said of exactly this key, of one user or of all.
    pub fn end_at(&mut self, key: Key, source: Source, user_id: Option<&str>) -> Changed {
        let is_meant = |id: &&u64| {
            self.live.get(id).is_some_and(|Live { assertion, .. }| {
                assertion.source == source && user_id.is_none_or(|user_id| user_id == assertion.who.user_id)
            })
        };
        let over: Vec<u64> = self.by_key.get(&key).into_iter().flatten().filter(is_meant).copied().collect();
        let mut changed = Changed::default();
        over.into_iter().for_each(|id| self.take_out(id, &mut changed));
        changed
    }

    /// An address was given to whoever has this Ethernet address. What was asserted of it while another had it is over. `None`: there are
    /// too many leases.
    pub fn lease(&mut self, addr: Key, mac: Mac, expires_ns: u64) -> Option<Changed> {
        let mut changed = Changed::default();
        match self.leases.give(addr, mac, expires_ns) {
            Given::Again => {}
            Given::New => changed.keys.push(addr),
            Given::Moved => {
                let over = self.by_key.get(&addr).cloned().unwrap_or_default();
                over.into_iter().for_each(|id| self.take_out(id, &mut changed));
                changed.keys.push(addr);
            }
            Given::Full => return None,
        }
        if let Some(ledger) = &self.ledger {
            ledger.put(Kept::Lease, addr.to_string(), &SavedLease { mac: mac.to_string(), expires_ns });
        }
        Some(changed)
    }

    /// How many leases live.
    #[must_use]
    pub fn leases(&self) -> usize {
        self.leases.len()
    }

    /// These keys, and addresses that are leased to those of them that are Ethernet addresses.
    pub(super) fn reached_by(&self, keys: &[Key]) -> impl Iterator<Item = Key> {
        keys.iter().flat_map(|key| {
            let leased = match key {
                Key::Mac(mac) => self.leases.addrs_of(*mac),
                Key::Network { .. } => &[],
            };
            std::iter::once(*key).chain(leased.iter().copied())
        })
    }

    /// Whether the time of one is over.
    #[must_use]
    pub fn is_due(&self, now_ns: u64) -> bool {
        self.leases.is_due(now_ns)
            || self.by_expiry.first().is_some_and(|(expires_ns, _)| *expires_ns <= now_ns)
    }

    /// Ends those whose time is over, so many at most.
    pub fn expire(&mut self, now_ns: u64, most: usize) -> Changed {
        let mut changed = Changed { keys: self.leases.expire(now_ns, most), ended: Vec::new() };
        if let Some(ledger) = &self.ledger {
            changed.keys.iter().for_each(|addr| ledger.forget(Kept::Lease, addr.to_string()));
        }
        let due: Vec<u64> =
            self.by_expiry.range(..=(now_ns, u64::MAX)).take(most).map(|(_, id)| *id).collect();
        due.into_iter().for_each(|id| self.take_out(id, &mut changed));
        changed
    }

    /// What holds of a key, or of the Ethernet address that it is leased to; `None`: nobody is known.
    #[must_use]
    pub fn holds(&self, key: Key) -> Option<&Live> {
        let of_key = self.by_key.get(&key);
        let of_holder = self.leases.holder(key).and_then(|mac| self.by_key.get(&Key::Mac(mac)));
        let about = of_holder.into_iter().chain(of_key).flatten().filter_map(|id| self.live.get(id));
        let rank = |live: &Live| self.precedence.rank(live.assertion.source);
        let best = about.clone().map(rank).min()?;
        let mut of_best = about.filter(|live| rank(live) == best);
        let newest = of_best.clone().next_back()?;
        let is_one = of_best.all(|live| live.assertion.who.user_id == newest.assertion.who.user_id);
        (is_one || self.several != Several::Nobody).then_some(newest)
    }

    /// What holds of an address: of itself, or else of the smallest network that it is in.
    #[must_use]
    pub fn whose(&self, addr: Addr) -> Option<&Live> {
        (0..=ADDR_BITS).rev().find_map(|len| self.holds(Key::network(addr, len)))
    }

    /// What a source said of a user.
    pub fn of_user(&self, source: Source, user_id: &str) -> impl Iterator<Item = &Live> {
        self.live
            .values()
            .filter(move |live| live.assertion.source == source && live.assertion.who.user_id == user_id)
    }

    /// One assertion.
    #[must_use]
    pub fn get(&self, id: u64) -> Option<&Live> {
        self.live.get(&id)
    }

    /// The one whose user records name so.
    #[must_use]
    pub fn by_number(&self, number: UserNumber) -> Option<&Live> {
        self.live.get(self.by_number.get(&number)?)
    }

    /// Those behind `id`, by number.
    pub fn after(&self, id: u64) -> impl Iterator<Item = &Live> {
        self.live.range(id + 1..).map(|(_, live)| live)
    }

    /// How many live.
    #[must_use]
    pub fn len(&self) -> usize {
        self.live.len()
    }

    /// Whether none lives.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.live.is_empty()
    }

    /// Other assertions about the same keys, oldest first.
    fn others(&self, assertion: &Assertion) -> Vec<u64> {
        let about = assertion.keys.iter().filter_map(|key| self.by_key.get(key)).flatten();
        about.copied().collect::<BTreeSet<_>>().into_iter().collect()
    }

    fn renew(&mut self, id: u64, assertion: Assertion) -> Live {
        let expires_ns = assertion.expires_ns;
        let assertion = Arc::new(assertion);
        if let Some(live) = self.live.get_mut(&id) {
            if let Some(before_ns) = live.assertion.expires_ns {
                self.by_expiry.remove(&(before_ns, id));
            }
            live.assertion = assertion;
        }
        self.by_expiry.extend(expires_ns.map(|expires_ns| (expires_ns, id)));
        let live = self.live[&id].clone();
        if let Some(ledger) = &self.ledger {
            ledger.put(Kept::Assertion, row_of(id), &SavedAssertion::of(&live));
        }
        live
    }

    fn put_in(&mut self, live: &Live) {
        for key in &live.assertion.keys {
            self.by_key.entry(*key).or_default().push(live.id);
        }
        self.by_expiry.extend(live.assertion.expires_ns.map(|expires_ns| (expires_ns, live.id)));
        self.by_number.insert(live.number, live.id);
        self.live.insert(live.id, live.clone());
    }

    fn take_out(&mut self, id: u64, changed: &mut Changed) {
        let Some(live) = self.live.remove(&id) else { return };
        if let Some(ledger) = &self.ledger {
            ledger.forget(Kept::Assertion, row_of(id));
        }
        self.by_number.remove(&live.number);
        for key in &live.assertion.keys {
            if let Some(about) = self.by_key.get_mut(key) {
                about.retain(|other| *other != id);
                if about.is_empty() {
                    self.by_key.remove(key);
                }
            }
            changed.keys.push(*key);
        }
        if let Some(expires_ns) = live.assertion.expires_ns {
            self.by_expiry.remove(&(expires_ns, id));
        }
        self.by_number.remove(&live.number);
        changed.ended.push(live);
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;

    fn says(user_id: &str, keys: &[&str], expires_ns: Option<u64>) -> Assertion {
        Assertion {
            keys: keys.iter().map(|key| key.parse().unwrap()).collect(),
            who: Who { user_id: user_id.to_owned(), ..Who::default() },
            source: Source::Api,
            expires_ns,
        }
    }

    fn holds(registry: &Registry, key: &str) -> Option<String> {
        registry.holds(key.parse().unwrap()).map(|live| live.assertion.who.user_id.clone())
    }

    #[test]
    fn the_newest_word_holds_and_what_the_source_said_before_is_over() {
        let mut registry = Registry::new(Several::Latest, Precedence::default());
        let (ann, _) = registry.assert(says("ann", &["10.0.0.1", "2001:db8::1"], None), 1).unwrap();
        let (_, changed) = registry.assert(says("bob", &["10.0.0.1"], None), 2).unwrap();
        assert_eq!(changed.ended, [ann]);
        assert_eq!(changed.keys.len(), 2, "where she was and he is not, nobody is known");
        assert_eq!(holds(&registry, "10.0.0.1").as_deref(), Some("bob"));
        assert_eq!(holds(&registry, "2001:db8::1"), None);
        assert_eq!(registry.len(), 1);
    }

    #[test]
    fn saying_it_again_renews_it_and_changes_nothing() {
        let mut registry = Registry::new(Several::Latest, Precedence::default());
        let (first, _) = registry.assert(says("ann", &["10.0.0.1"], Some(50)), 1).unwrap();
        let (again, changed) = registry.assert(says("ann", &["10.0.0.1"], Some(90)), 2).unwrap();
        assert_eq!((again.id, again.number, changed), (first.id, first.number, Changed::default()));
        assert_eq!(registry.expire(50, 9), Changed::default());
        assert_eq!(registry.by_number(first.number).map(|live| live.id), Some(first.id));
        assert_eq!(registry.expire(90, 9).ended.len(), 1);
        assert!(registry.is_empty() && registry.by_key.is_empty() && registry.by_expiry.is_empty());
        assert!(registry.by_number(first.number).is_none() && registry.by_number.is_empty());
        // Another role is another user to policy.
        let mut other = says("ann", &["10.0.0.1"], None);
        registry.assert(other.clone(), 3).unwrap();
        other.who.user_role = Some("contractor".to_owned());
        let (live, changed) = registry.assert(other, 4).unwrap();
        assert_eq!(registry.by_number(live.number), Some(&live));
        assert!(live.number > first.number && changed.keys.len() == 1 && changed.ended.len() == 1);
    }

    #[test]
    fn a_source_ends_what_it_said_of_a_user_at_an_address_and_nothing_else() {
        let mut registry = Registry::new(Several::Nobody, Precedence::default());
        let of = |source, user_id| Assertion { source, ..says(user_id, &["10.0.0.1"], None) };
        for (source, user_id) in [(Source::Api, "ann"), (Source::Syslog, "ann"), (Source::Syslog, "bob")] {
            registry.assert(of(source, user_id), 1).unwrap();
        }
        let (here, there) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        assert_eq!(registry.end_at(there, Source::Syslog, None), Changed::default());
        assert_eq!(registry.end_at(here, Source::Syslog, Some("carl")), Changed::default());
        assert_eq!(registry.end_at(here, Source::Syslog, Some("ann")).ended.len(), 1);
        assert_eq!(registry.end_at(here, Source::Syslog, None).ended[0].assertion.who.user_id, "bob");
        assert_eq!((registry.len(), holds(&registry, "10.0.0.1").as_deref()), (1, Some("ann")));
    }

    #[test]
    fn the_first_may_stay_or_nobody_be_known() {
        let mut registry = Registry::new(Several::First, Precedence::default());
        let (ann, _) = registry.assert(says("ann", &["10.0.0.1"], None), 1).unwrap();
        let refused = registry.assert(says("bob", &["10.0.0.0/24", "10.0.0.1"], None), 2).unwrap_err();
        assert_eq!(
            refused,
            Refused::Taken { key: "10.0.0.1".parse().unwrap(), user_id: "ann".to_owned(), id: ann.id }
        );
        assert_eq!(holds(&registry, "10.0.0.0/24"), None);
        registry.end(ann.id).unwrap();
        assert!(
            registry.assert(says("bob", &["10.0.0.1"], None), 3).is_ok() && registry.end(ann.id).is_none()
        );

        let mut registry = Registry::new(Several::Nobody, Precedence::default());
        let (ann, _) = registry.assert(says("ann", &["10.0.0.1"], None), 1).unwrap();
        let (bob, _) = registry.assert(says("bob", &["10.0.0.1"], None), 2).unwrap();
        assert_eq!((holds(&registry, "10.0.0.1"), registry.len()), (None, 2));
        assert_eq!(registry.end(bob.id).unwrap().keys, ["10.0.0.1".parse().unwrap()]);
        assert_eq!(holds(&registry, "10.0.0.1").as_deref(), Some("ann"));
        assert!(registry.end(ann.id).is_some() && registry.is_empty());
    }

    #[test]
    fn the_word_of_the_better_source_counts_whenever_it_came() {
        let of = |source, user_id| Assertion { source, ..says(user_id, &["10.0.0.1"], None) };
        let precedence = Precedence::new(&[Source::Radius]).unwrap();
        assert_eq!(precedence.0[..2], [Source::Radius, Source::Api]);
        assert_eq!(Precedence::new(&[Source::Api, Source::Api]), None);
        for several in [Several::Latest, Several::Nobody] {
            let mut registry = Registry::new(several, precedence);
            let (ann, _) = registry.assert(of(Source::Radius, "ann"), 1).unwrap();
            registry.assert(of(Source::Api, "bob"), 2).unwrap();
            assert_eq!((holds(&registry, "10.0.0.1").as_deref(), registry.len()), (Some("ann"), 2));
            registry.end(ann.id).unwrap();
            assert_eq!(holds(&registry, "10.0.0.1").as_deref(), Some("bob"));
        }
    }

    #[test]
    fn who_is_known_by_the_ethernet_address_has_what_is_leased_to_it() {
        let mut registry = Registry::new(Several::Latest, Precedence::default());
        let (ann, bob) = (Mac([2, 0, 0, 0, 0, 1]), Mac([2, 0, 0, 0, 0, 2]));
        let addr = |text: &str| text.parse::<Key>().unwrap();
        registry.assert(says("ann", &["02:00:00:00:00:01"], None), 1).unwrap();
        assert_eq!(registry.lease(addr("10.0.0.7"), ann, 100).unwrap().keys, [addr("10.0.0.7")]);
        assert_eq!(holds(&registry, "10.0.0.7").as_deref(), Some("ann"));
        assert_eq!(registry.lease(addr("10.0.0.7"), ann, 200).unwrap(), Changed::default(), "renewed");
        // Whoever logs in at the Ethernet address later has the address, too.
        let (live, changed) = registry.assert(says("amy", &["02:00:00:00:00:01"], None), 2).unwrap();
        let reached: Vec<Key> = registry.reached_by(&changed.keys).collect();
        assert_eq!(reached, [addr("02:00:00:00:00:01"), addr("10.0.0.7")]);
        assert_eq!(holds(&registry, "10.0.0.7").as_deref(), Some("amy"));
        registry.end(live.id).unwrap();
        assert_eq!(holds(&registry, "10.0.0.7"), None);

        // Another host has it now: what was said of it is over.
        registry.assert(says("cat", &["10.0.0.7", "2001:db8::7"], None), 3).unwrap();
        assert_eq!(holds(&registry, "10.0.0.7").as_deref(), Some("cat"));
        let changed = registry.lease(addr("10.0.0.7"), bob, 300).unwrap();
        assert_eq!((changed.ended.len(), holds(&registry, "10.0.0.7")), (1, None));
        assert!(changed.keys.contains(&addr("2001:db8::7")));
        assert!(!registry.is_due(299) && registry.is_due(300));
        assert_eq!((registry.expire(300, 9).keys, registry.leases()), (vec![addr("10.0.0.7")], 0));
    }

    #[test]
    fn a_device_that_a_lease_names_gives_way_to_a_user_of_its_ethernet_address() {
        let mut registry = Registry::new(Several::Latest, Precedence::default());
        let device = Assertion { source: Source::Dhcp, ..says("printer", &["10.0.0.7"], Some(100)) };
        registry.lease("10.0.0.7".parse().unwrap(), Mac([2, 0, 0, 0, 0, 1]), 100).unwrap();
        registry.assert(device, 1).unwrap();
        assert_eq!(holds(&registry, "10.0.0.7").as_deref(), Some("printer"));
        registry.assert(says("ann", &["02:00:00:00:00:01"], None), 2).unwrap();
        assert_eq!(holds(&registry, "10.0.0.7").as_deref(), Some("ann"));
    }
}
