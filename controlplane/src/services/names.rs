//! What is this number called outside? Ports, policies, protocols and flow identifiers.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError, RwLock};

use dataplane::flow::Decision;
use dataplane::geography::Geography;
use dataplane::identity::UserNumber;
use dataplane::parse::Addr;
use serde::{Serialize, Serializer};

use super::identities::Who;
use super::policy_shadow::ShadowIds;
use super::user_notes::UserNotes;
pub use super::user_notes::{OfUser, UserMore, UserNote};

/// Policy sets whose names are kept: a flow is judged again soon after each change, so that records name
/// old sets only for a moment.
const VERSIONS_MAX: usize = 16;

/// Interface names by port index, and policy identifiers by version and index.
#[derive(Debug)]
pub struct Names {
    ports: Vec<String>,
    policies: RwLock<VecDeque<(u32, PolicyIds)>>,
    users: RwLock<UserNotes>,
    run: u64,
    shadow: RwLock<Option<Arc<ShadowIds>>>,
    geography: RwLock<Option<Arc<Geography>>>,
}

/// Two upper-case letters (ISO 3166-1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CountryCode(pub [u8; 2]);

impl Serialize for CountryCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(std::str::from_utf8(&self.0).unwrap_or_default())
    }
}

/// The policy identifiers of one set, by index.
pub type PolicyIds = Arc<[Box<str>]>;

impl Names {
    /// `ports` in index order: the two wires, then `host` where there is one.
    #[must_use]
    pub fn new(ports: Vec<String>) -> Self {
        Self {
            ports,
            policies: RwLock::default(),
            users: RwLock::default(),
            run: 0,
            shadow: RwLock::default(),
            geography: RwLock::default(),
        }
    }

    /// Of a run of the daemon that began so many milliseconds after 1970: its records say so, because numbers of users are of one run.
    #[must_use]
    pub fn of_run(self, run: u64) -> Self {
        Self { run, ..self }
    }

    /// The interface of a port index.
    #[must_use]
    pub fn port(&self, index: u8) -> Option<&str> {
        self.ports.get(usize::from(index)).map(String::as_str)
    }

    /// All interfaces, by index.
    #[must_use]
    pub fn ports(&self) -> &[String] {
        &self.ports
    }

    /// Remembers what the policies of `version` are called; call it before the version is published.
    pub fn remember(&self, version: u32, ids: PolicyIds) {
        let mut policies = self.policies.write().unwrap_or_else(PoisonError::into_inner);
        policies.retain(|(known, _)| *known != version);
        policies.truncate(VERSIONS_MAX - 1);
        policies.push_front((version, ids));
    }

    /// Remembers what the policies of the proposal are called; call it before that is published.
    pub fn remember_shadow(&self, ids: Option<Arc<ShadowIds>>) {
        *self.shadow.write().unwrap_or_else(PoisonError::into_inner) = ids;
    }

    /// What the policies of the proposal are called; `None` where there is none.
    #[must_use]
    pub fn shadow(&self) -> Option<Arc<ShadowIds>> {
        self.shadow.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Goes by this database of countries from now on, if it is another one.
    pub fn follow_geography(&self, geography: Option<&Arc<Geography>>) {
        let same = {
            let before = self.geography.read().unwrap_or_else(PoisonError::into_inner);
            before.as_ref().map(Arc::as_ptr) == geography.map(Arc::as_ptr)
        };
        if !same {
            *self.geography.write().unwrap_or_else(PoisonError::into_inner) = geography.cloned();
        }
    }

    /// In which country a flow is, as [`Geography::of_flow`].
    #[must_use]
    pub fn country(&self, initiator: Addr, responder: Addr) -> Option<CountryCode> {
        let geography = self.geography.read().unwrap_or_else(PoisonError::into_inner);
        geography.as_ref()?.of_flow(initiator, responder).map(CountryCode)
    }

    /// Remembers what is known of a user; call it before workers hear of the number.
    pub fn remember_user(&self, number: UserNumber, who: &Who) {
        self.users.write().unwrap_or_else(PoisonError::into_inner).remember(number, who);
    }

    /// A user is gone; what is known is kept for a while.
    pub fn forget_user(&self, number: UserNumber) {
        self.users.write().unwrap_or_else(PoisonError::into_inner).forget(number);
    }

    /// What records say of a user.
    #[must_use]
    pub fn user(&self, number: Option<UserNumber>) -> OfUser {
        let users = || self.users.read().unwrap_or_else(PoisonError::into_inner);
        OfUser(number.and_then(|number| users().user(number)))
    }

    /// What else was asserted under a number of a run; `None` where that is not kept.
    #[must_use]
    pub fn more_of_user(&self, run: u64, number: UserNumber) -> Option<Arc<UserMore>> {
        let users = self.users.read().unwrap_or_else(PoisonError::into_inner);
        if run == self.run { users.more(number) } else { None }
    }

    /// When this run of the daemon began, milliseconds since 1970; 0 where records are not to say so.
    #[must_use]
    pub const fn run(&self) -> u64 {
        self.run
    }

    /// The identifiers of a version; hold it for a batch of events.
    #[must_use]
    pub fn of_version(&self, version: u32) -> Option<PolicyIds> {
        let policies = self.policies.read().unwrap_or_else(PoisonError::into_inner);
        policies.iter().find(|(known, _)| *known == version).map(|(_, ids)| Arc::clone(ids))
    }
}

/// The policy that decided, looked up once per version and not per event.
#[derive(Debug, Default)]
pub struct PolicyNamer {
    last: Option<(u32, PolicyIds)>,
}

impl PolicyNamer {
    /// The policy identifier of `decision`; `None` where the default action decided, or the version is
    /// too old to be remembered.
    pub fn id(&mut self, names: &Names, decision: &Decision) -> Option<&str> {
        if decision.policy_index == u32::MAX {
            return None;
        }
        if self.last.as_ref().is_none_or(|(version, _)| *version != decision.policy_version) {
            self.last = names.of_version(decision.policy_version).map(|ids| (decision.policy_version, ids));
        }
        let (_, ids) = self.last.as_ref()?;
        ids.get(decision.policy_index as usize).map(AsRef::as_ref)
    }
}

/// Bits of the count in an outside flow identifier; eight bits of worker above make 53, the integers that
/// a JSON reader in double precision keeps exact.
const COUNT_BITS: u32 = 45;

/// The flow identifier as outsiders see it: the worker moves from the top byte to bit 45.
#[must_use]
pub const fn outer_flow_id(inner: u64) -> u64 {
    (inner >> 56) << COUNT_BITS | inner & ((1 << COUNT_BITS) - 1)
}

/// Back to the packet path's identifier; `None` where none looks like this.
#[must_use]
pub const fn inner_flow_id(outer: u64) -> Option<u64> {
    if outer >> (COUNT_BITS + 8) != 0 {
        return None;
    }
    Some((outer >> COUNT_BITS) << 56 | outer & ((1 << COUNT_BITS) - 1))
}

/// Names of IP protocols as Suricata's EVE writes them; protocols without a name have their number.
#[must_use]
pub fn protocol(number: u8) -> Option<&'static str> {
    PROTOCOLS.get(usize::from(number)).copied().filter(|name| !name.is_empty())
}

/// The number of a protocol by its name (any case) or its digits.
#[must_use]
pub fn protocol_number(text: &str) -> Option<u8> {
    let alias = match text.to_ascii_lowercase().as_str() {
        "icmpv6" => Some(58),
        _ => text.parse().ok(),
    };
    alias.or_else(|| {
        let index = PROTOCOLS.iter().position(|name| name.eq_ignore_ascii_case(text) && !name.is_empty())?;
        u8::try_from(index).ok()
    })
}

#[rustfmt::skip]
const PROTOCOLS: [&str; 143] = [
    "HOPOPT", "ICMP", "IGMP", "GGP", "IP-in-IP", "ST", "TCP", "CBT", "EGP", "IGP",
    "BBN-RCC-MON", "NVP-II", "PUP", "ARGUS", "EMCON", "XNET", "CHAOS", "UDP", "MUX", "DCN-MEAS",
    "HMP", "PRM", "XNS-IDP", "TRUNK-1", "TRUNK-2", "LEAF-1", "LEAF-2", "RDP", "IRTP", "ISO-TP4",
    "NETBLT", "MFE-NSP", "MERIT-INP", "DCCP", "3PC", "IDPR", "XTP", "DDP", "IDPR-CMTP", "TP++",
    "IL", "IPv6", "SDRP", "IPv6-Route", "IPv6-Frag", "IDRP", "RSVP", "GRE", "DSR", "BNA",
    "ESP", "AH", "I-NLSP", "SwIPe", "NARP", "MOBILE", "TLSP", "SKIP", "IPv6-ICMP", "IPv6-NoNxt",
    "IPv6-Opts", "Any", "CFTP", "Any", "SAT-EXPAK", "KRYPTOLAN", "RVD", "IPPC", "Any", "SAT-MON",
    "VISA", "IPCU", "CPNX", "CPHB", "WSN", "PVP", "BR-SAT-MON", "SUN-ND", "WB-MON", "WB-EXPAK",
    "ISO-IP", "VMTP", "SECURE-VMTP", "VINES", "TTP", "NSFNET-IGP", "DGP", "TCF", "EIGRP", "OSPF",
    "Sprite-RPC", "LARP", "MTP", "AX.25", "OS", "MICP", "SCC-SP", "ETHERIP", "ENCAP", "Any",
    "GMTP", "IFMP", "PNNI", "PIM", "ARIS", "SCPS", "QNX", "A/N", "IPComp", "SNP",
    "Compaq-Peer", "IPX-in-IP", "VRRP", "PGM", "Any", "L2TP", "DDX", "IATP", "STP", "SRP",
    "UTI", "SMP", "SM", "PTP", "IS-IS", "FIRE", "CRTP", "CRUDP", "SSCOPMCE", "IPLT",
    "SPS", "PIPE", "SCTP", "FC", "RSVP-E2E-IGNORE", "Mobility", "UDPLite", "MPLS-in-IP", "manet", "HIP",
    "Shim6", "WESP", "ROHC",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flow_identifiers_survive_the_way_out_and_back() {
        for inner in [0, 1, (1 << 45) - 1, (3 << 56) | 77, (0xff << 56) | ((1 << 45) - 1)] {
            let outer = outer_flow_id(inner);
            assert!(outer < 1 << 53, "{outer} is not exact in double precision");
            assert_eq!(inner_flow_id(outer), Some(inner));
        }
        assert_eq!(inner_flow_id(1 << 53), None);
    }

    #[test]
    fn protocols_are_found_by_name_alias_and_number() {
        for (text, number) in
            [("tcp", 6), ("UDP", 17), ("ipv6-icmp", 58), ("icmpv6", 58), ("SCTP", 132), ("47", 47)]
        {
            assert_eq!(protocol_number(text), Some(number), "{text}");
        }
        assert_eq!(protocol_number(""), None);
        assert_eq!(protocol_number("256"), None);
        assert_eq!((protocol(132), protocol(47), protocol(200)), (Some("SCTP"), Some("GRE"), None));
    }

    #[test]
    fn a_decision_is_named_under_its_own_version() {
        let names = Names::new(vec![]);
        names.remember(1, ["a".into(), "b".into()].into());
        names.remember(2, ["b".into()].into());
        let mut namer = PolicyNamer::default();
        let decision = |policy_version, policy_index| Decision {
            policy_version,
            policy_index,
            user: None,
            reason: None,
        };
        assert_eq!(namer.id(&names, &decision(1, 1)), Some("b"));
        assert_eq!(namer.id(&names, &decision(2, 0)), Some("b"));
        assert_eq!(namer.id(&names, &decision(2, 7)), None);
        assert_eq!(namer.id(&names, &decision(9, 0)), None);
        assert_eq!(namer.id(&names, &decision(1, u32::MAX)), None);
    }

    #[test]
    fn only_the_newest_versions_are_remembered() {
        let names = Names::new(vec![]);
        for version in 0..100 {
            names.remember(version, [].into());
        }
        assert!(names.of_version(99).is_some());
        assert!(names.of_version(84).is_some());
        assert!(names.of_version(83).is_none());
    }
}
