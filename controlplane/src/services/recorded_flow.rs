//! What does the record of a flow tell policy? Everything that it was decided by. Groups and attributes of its user it names by a number, under
//! which they are kept while the daemon runs ([`OuterNames::more_of_user`]); of a run before they are not known.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use dataplane::geography::Geography;
use dataplane::identity::UserNumber;
use dataplane::parse::Mac;
use dataplane::policy::{Fact, Facts, Kind, NameId, Names, PolicySet, User};
use dataplane::time::Wall;
use serde_json::Value;

use crate::services::differences::{Ends, FlowSum};
use crate::services::live;
use crate::services::names::{Names as OuterNames, UserMore};

/// A flow as its record has it.
#[derive(Debug)]
pub(super) struct RecordedFlow {
    pub(super) sum: FlowSum,
    /// Flows that the record stands for besides, of which it tells nothing.
    pub(super) aggregated: u64,
    pub(super) start_ns: u64,
    pub(super) told: live::Facts,
    pub(super) proto: String,
    user_role: Option<String>,
    /// Groups and attributes of the user; `None`: nobody knows them any more.
    more: Option<Arc<UserMore>>,
    /// The responder's user and his role, where there was one; `None`: the record is older than records that tell.
    responder: Option<Option<(String, Option<String>)>>,
    /// In which it was when it ended; `None`: in none, or nobody knew.
    country: Option<[u8; 2]>,
    vlan: u16,
    port: Option<u8>,
    src_mac: Option<Mac>,
    category: Option<String>,
    protocol: Option<String>,
    confidence: Option<u8>,
    /// It was refused, so that nobody saw what it was.
    is_cut_short: bool,
}

impl RecordedFlow {
    /// Of an event; `None` where it is none of a flow. `outer` tells interfaces and users.
    pub(super) fn read(event: &Value, outer: &OuterNames) -> Option<Self> {
        if event["event_type"] != "flow" {
            return None;
        }
        let (flow, own) = (&event["flow"], &event["jarvis"]);
        let number = |value: &Value| value.as_u64().unwrap_or_default();
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let told = live::Facts::of_eve(event);
        let refused = matches!(own["verdict"].as_str(), Some("drop" | "reject"));
        let mac = event["ether"]["src_macs"][0].as_str();
        let port =
            event["in_iface"].as_str().and_then(|name| outer.ports().iter().position(|port| port == name));
        let run = own["run"].as_u64();
        let user_number = own["identity"].as_u64().and_then(|number| u32::try_from(number).ok());
        let more = run.zip(user_number.and_then(UserNumber::new));
        let responder = || text(&own["dst_user_id"]).map(|user_id| (user_id, text(&own["dst_user_role"])));
        Some(Self {
            sum: FlowSum {
                flows: 1,
                packets: number(&flow["pkts_toserver"]) + number(&flow["pkts_toclient"]),
                bytes: number(&flow["bytes_toserver"]) + number(&flow["bytes_toclient"]),
            },
            aggregated: number(&own["aggregated"]),
            start_ns: flow["start"].as_str().and_then(moment).unwrap_or_default(),
            proto: text(&event["proto"]).unwrap_or_default(),
            user_role: text(&own["user_role"]),
            more: more.and_then(|(run, number)| outer.more_of_user(run, number)),
            responder: run.map(|_| responder()),
            country: own["country"].as_str().and_then(|code| code.as_bytes().try_into().ok()),
            vlan: event["vlan"][0].as_u64().and_then(|vlan| vlan.try_into().ok()).unwrap_or_default(),
            port: port.and_then(|port| port.try_into().ok()),
            src_mac: mac.and_then(Mac::read),
            category: text(&own["category"]),
            protocol: text(&own["protocol"]),
            confidence: own["confidence"].as_u64().and_then(|confidence| confidence.try_into().ok()),
            is_cut_short: refused && told.application.is_none(),
            told,
        })
    }

    /// Who it is of, by the kind of the name.
    pub(super) fn names(&self) -> impl Iterator<Item = (Kind, &str)> {
        let (dst_user, dst_role) = match &self.responder {
            Some(Some((user_id, role))) => (Some(user_id), role.as_ref()),
            Some(None) | None => (None, None),
        };
        let users = [self.told.user.as_deref(), dst_user.map(String::as_str)];
        let roles = [self.user_role.as_deref(), dst_role.map(String::as_str)];
        let users = users.into_iter().flatten().map(|name| (Kind::UserId, name));
        let roles = roles.into_iter().flatten().map(|name| (Kind::Role, name));
        let more =
            self.more.iter().flat_map(|more| {
                let groups = more.groups.iter().map(|group| (Kind::Group, &**group));
                let pairs = more.attributes.iter();
                groups.chain(pairs.flat_map(|(name, value)| {
                    [(Kind::AttributeKey, &**name), (Kind::AttributeValue, &**value)]
                }))
            });
        users.chain(roles).chain(more)
    }

    /// The users that the record names, in numbers: of the initiator and of the responder.
    pub(super) fn users(&self, names: &Names) -> [Option<User>; 2] {
        let id = |kind, name: &str| names.find(kind, name).unwrap_or(NameId::NOBODY);
        let user = |user_id: &str, role: Option<&str>, more: Option<&UserMore>| User {
            id: id(Kind::UserId, user_id),
            role: role.map(|role| id(Kind::Role, role)),
            groups: more.iter().flat_map(|more| &more.groups).map(|group| id(Kind::Group, group)).collect(),
            attributes: more
                .iter()
                .flat_map(|more| &more.attributes)
                .map(|(name, value)| (id(Kind::AttributeKey, name), id(Kind::AttributeValue, value)))
                .collect(),
        };
        let initiator = self.told.user.as_deref();
        let responder = self.responder.as_ref().and_then(Option::as_ref);
        [
            initiator.map(|user_id| user(user_id, self.user_role.as_deref(), self.more.as_deref())),
            // Policies ask for no more of him.
            responder.map(|(user_id, role)| user(user_id, role.as_deref(), None)),
        ]
    }

    /// For whoever is told of it.
    pub(super) fn ends(&self) -> Ends {
        const NOWHERE: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let [src, dst] = self.told.ips;
        let [src_port, dst_port] = self.told.ports;
        Ends {
            start_ns: self.start_ns,
            flow_id: self.told.flow_id,
            src: (src.unwrap_or(NOWHERE), src_port),
            dst: (dst.unwrap_or(NOWHERE), dst_port),
            proto: self.proto.clone(),
        }
    }

    /// The facts for one set. `users` are [`Self::users`]'; where the set asks for more of a user than is known, he is pending. The country is
    /// the record's, or what `geography` says of the addresses now.
    pub(super) fn facts<'a>(
        &self,
        set: &PolicySet,
        names: &Names,
        [user, dst_user]: [Option<&'a User>; 2],
        geography: Option<&Geography>,
    ) -> Facts<'a> {
        let name = |kind, name: &str| Fact::Known(names.find(kind, name).unwrap_or(NameId::NOBODY));
        let absent = || if self.is_cut_short { Fact::Pending } else { Fact::Absent };
        let known = |kind, told: Option<&str>| told.map_or_else(absent, |told| name(kind, told));
        let mut facts: Facts<'a> = Facts::none(Wall(self.start_ns));
        // Zones are numbered as ports are.
        facts.zone = self.port.map_or(Fact::Pending, Fact::Known);
        facts.in_port = self.port.map_or(Fact::Pending, Fact::Known);
        facts.vlan = Fact::Known(self.vlan);
        facts.src_mac = self.src_mac.map_or(Fact::Pending, Fact::Known);
        let [src, dst] = self.told.ips.map(|ip: Option<IpAddr>| ip.map(Into::into));
        (facts.src_ip, facts.dst_ip) = (src.into(), dst.into());
        let [src_port, dst_port] = self.told.ports;
        (facts.src_port, facts.dst_port) = (src_port.into(), dst_port.into());
        facts.l4_protocol = self.told.proto.map_or(Fact::Pending, Fact::Known);
        facts.application = known(Kind::Application, self.told.application.as_deref());
        facts.category = known(Kind::Category, self.category.as_deref());
        facts.l7_protocol = known(Kind::Protocol, self.protocol.as_deref());
        facts.confidence = match self.confidence {
            Some(confidence) => Fact::Known(confidence),
            None if self.is_cut_short => Fact::Pending,
            None => Fact::Absent,
        };
        facts.user = match user {
            Some(_) if set.asks_more_of_users() && self.more.is_none() => Fact::Pending,
            user => user.into(),
        };
        facts.dst_user = match self.responder {
            Some(_) => dst_user.into(),
            None => Fact::Pending,
        };
        match self.country {
            Some(code) => facts.country = Fact::Known(NameId::of_country(code)),
            // It is of a time when nobody told countries.
            None => facts.tell_country(geography),
        }
        facts
    }
}

/// EVE's time, such as `2026-03-02T08:00:00.000000+0000`, in nanoseconds since 1970.
fn moment(text: &str) -> Option<u64> {
    let time = jiff::Timestamp::strptime("%Y-%m-%dT%H:%M:%S%.f%z", text).ok()?;
    u64::try_from(time.as_nanosecond()).ok()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::services::identities::Who;
    use dataplane::policy::{Environment, Evaluation, PolicyFile, Scratch};
    use serde_json::json;

    fn set(text: &str, names: &mut Names) -> PolicySet {
        let file = PolicyFile::parse("t", text.as_bytes()).unwrap();
        PolicySet::compile(&file, 1, &Environment::default(), names).unwrap()
    }

    #[test]
    fn a_record_tells_what_it_has_and_the_rest_is_pending() {
        let event = json!({"event_type": "flow", "in_iface": "in0", "vlan": [7], "src_ip": "10.0.0.1", "src_port": 4000,
            "dest_ip": "192.0.2.1", "dest_port": 53, "proto": "UDP", "ether": {"src_macs": ["02:00:00:00:00:01"]},
            "flow": {"pkts_toserver": 2, "pkts_toclient": 1, "bytes_toserver": 100, "bytes_toclient": 60,
                "start": "2026-03-02T08:00:00.500000+0000"},
            "jarvis": {"verdict": "forward", "user_id": "ann", "app_name": "dns", "category": "network", "confidence": 90}});
        let outer = OuterNames::new(vec!["out0".to_owned(), "in0".to_owned()]);
        let flow = RecordedFlow::read(&event, &outer).unwrap();
        assert_eq!(flow.sum, FlowSum { flows: 1, packets: 3, bytes: 160 });
        assert_eq!(flow.start_ns, 1_772_438_400_500_000_000);
        let mut names = Names::new();
        let ann = names.intern(Kind::UserId, "ann");
        let plain = set(
            r#"{"policies":[{"policy_id":"a","conditions":{"user_id":"ann"},"action":"drop"}]}"#,
            &mut names,
        );
        let users = flow.users(&names);
        let users = users.each_ref().map(Option::as_ref);
        let facts = flow.facts(&plain, &names, users, None);
        assert_eq!(
            (facts.zone, facts.vlan, facts.dst_port),
            (Fact::Known(1), Fact::Known(7), Fact::Known(53))
        );
        assert_eq!((facts.user.known().map(|user| user.id), facts.confidence), (Some(ann), Fact::Known(90)));
        assert_eq!(facts.pending().names().collect::<Vec<_>>(), ["dst_user"]);
        let grouped = set(
            r#"{"policies":[{"policy_id":"a","conditions":{"groups":"x"},"action":"drop"}]}"#,
            &mut names,
        );
        let facts = flow.facts(&grouped, &names, users, None);
        assert_eq!(facts.pending().names().collect::<Vec<_>>(), ["user", "dst_user"]);
    }

    #[test]
    fn groups_and_attributes_are_those_of_the_number_in_the_run_of_the_record() {
        let outer = OuterNames::new(vec!["in0".to_owned()]).of_run(1_772_438_400_000);
        let attributes = [("department".to_owned(), vec!["finance".to_owned(), "audit".to_owned()])].into();
        let ann =
            Who { user_id: "ann".to_owned(), groups: vec!["staff".to_owned()], attributes, ..Who::default() };
        outer.remember_user(UserNumber::MIN, &ann);
        outer.forget_user(UserNumber::MIN);
        let event = |run: u64, number: u32| {
            let event = json!({"event_type": "flow", "in_iface": "in0", "proto": "UDP", "flow": {},
                "src_ip": "10.0.0.1", "dest_ip": "10.0.0.2", "ether": {"src_macs": ["02:00:00:00:00:01"]},
                "jarvis": {"verdict": "forward", "run": run, "user_id": "ann", "identity": number,
                    "dst_user_id": "bob", "dst_user_role": "admin"}});
            RecordedFlow::read(&event, &outer).unwrap()
        };
        let text = r#"{"policies":[{"policy_id":"a","action":"drop","conditions":
            {"groups":"staff","attributes":{"department":"au*"},"dst_user_role":"admin"}}]}"#;
        let known = event(1_772_438_400_000, 1);
        let mut names = Names::new();
        let told: Vec<_> = known.names().collect();
        let expected = [
            (Kind::UserId, "ann"),
            (Kind::UserId, "bob"),
            (Kind::Role, "admin"),
            (Kind::Group, "staff"),
            (Kind::AttributeKey, "department"),
            (Kind::AttributeValue, "finance"),
            (Kind::AttributeKey, "department"),
            (Kind::AttributeValue, "audit"),
        ];
        assert_eq!(told, expected);
        for (kind, name) in told {
            names.intern(kind, name);
        }
        let set = set(text, &mut names);
        for (flow, pending) in [
            (&known, vec![]),
            (&event(1_772_438_400_001, 1), vec!["user"]),
            (&event(1_772_438_400_000, 2), vec!["user"]),
            (&event(1_772_438_400_000, 0), vec!["user"]),
        ] {
            let users = flow.users(&names);
            let facts = flow.facts(&set, &names, users.each_ref().map(Option::as_ref), None);
            assert_eq!(facts.pending().names().collect::<Vec<_>>(), pending);
            let decided = set.evaluate(&facts, &mut Scratch::new());
            let is_decided = matches!(decided, Evaluation::Decided { policy: Some(_), .. });
            assert_eq!(is_decided, pending.is_empty(), "{decided:?}");
        }
    }

    #[test]
    fn of_a_flow_that_was_refused_nobody_knows_what_it_would_have_been() {
        let event = json!({"event_type": "flow", "src_ip": "10.0.0.1", "dest_ip": "192.0.2.1", "proto": "TCP",
            "flow": {}, "jarvis": {"verdict": "reject"}});
        let flow = RecordedFlow::read(&event, &OuterNames::new(Vec::new())).unwrap();
        let (set, names) = (PolicySet::of_default(dataplane::policy::DefaultAction::Allow), Names::new());
        let facts = flow.facts(&set, &names, [None, None], None);
        let pending: Vec<_> = facts.pending().names().collect();
        for fact in ["zone", "in_port", "src_mac", "application", "category", "l7_protocol", "confidence"] {
            assert!(pending.contains(&fact), "{fact} is not in {pending:?}");
        }
        assert_eq!(facts.user, Fact::Absent, "records name who was known");
        assert!(RecordedFlow::read(&json!({"event_type": "dns"}), &OuterNames::new(Vec::new())).is_none());
    }
}
