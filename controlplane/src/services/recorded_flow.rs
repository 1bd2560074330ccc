//! What does the record of a flow tell policy? Everything that it was decided by but groups, attributes and the responder's user, which
//! records do not have.

use std::net::{IpAddr, Ipv4Addr};

use dataplane::geography::Geography;
use dataplane::parse::Mac;
use dataplane::policy::{Fact, Facts, Kind, NameId, Names, PolicySet, User};
use dataplane::time::Wall;
use serde_json::Value;

use crate::services::differences::{Ends, FlowSum};
use crate::services::live;

/// A flow as its record has it.
#[derive(Debug)]
pub(super) struct RecordedFlow {
    pub(super) sum: FlowSum,
    /// Flows that the record stands for besides, of which it tells nothing.
    pub(super) aggregated: u64,
    pub(super) start_ns: u64,
    pub(super) told: live::Facts,
    pub(super) proto: String,
    pub(super) user_role: Option<String>,
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
    /// Of an event; `None` where it is none of a flow. `ports` are the interfaces by index.
    pub(super) fn read(event: &Value, ports: &[String]) -> Option<Self> {
        if event["event_type"] != "flow" {
            return None;
        }
        let (flow, own) = (&event["flow"], &event["jarvis"]);
        let number = |value: &Value| value.as_u64().unwrap_or_default();
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let told = live::Facts::of_eve(event);
        let refused = matches!(own["verdict"].as_str(), Some("drop" | "reject"));
        let mac = event["ether"]["src_macs"][0].as_str();
        let port = event["in_iface"].as_str().and_then(|name| ports.iter().position(|port| port == name));
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
        let user = self.told.user.as_deref().map(|name| (Kind::UserId, name));
        user.into_iter().chain(self.user_role.as_deref().map(|name| (Kind::Role, name)))
    }

    /// The user that the record names, in numbers.
    pub(super) fn user(&self, names: &Names) -> Option<User> {
        let id = |kind, name: &str| names.find(kind, name).unwrap_or(NameId::NOBODY);
        self.told.user.as_deref().map(|user_id| User {
            id: id(Kind::UserId, user_id),
            role: self.user_role.as_deref().map(|role| id(Kind::Role, role)),
            groups: Vec::new(),
            attributes: Vec::new(),
        })
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

    /// The facts for one set. `user` is [`Self::user`]'s; where the set asks for more of a user than records tell, he is pending. The country is
    /// what `geography` says of the addresses now.
    pub(super) fn facts<'a>(
        &self,
        set: &PolicySet,
        names: &Names,
        user: Option<&'a User>,
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
            Some(_) if set.asks_more_of_users() => Fact::Pending,
            user => user.into(),
        };
        // Whose the responder is no record tells.
        facts.dst_user = Fact::Pending;
        facts.tell_country(geography);
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
    use dataplane::policy::{Environment, PolicyFile};
    use serde_json::json;

    #[test]
    fn a_record_tells_what_it_has_and_the_rest_is_pending() {
        let event = json!({"event_type": "flow", "in_iface": "in0", "vlan": [7], "src_ip": "10.0.0.1", "src_port": 4000,
            "dest_ip": "192.0.2.1", "dest_port": 53, "proto": "UDP", "ether": {"src_macs": ["02:00:00:00:00:01"]},
            "flow": {"pkts_toserver": 2, "pkts_toclient": 1, "bytes_toserver": 100, "bytes_toclient": 60,
                "start": "2026-03-02T08:00:00.500000+0000"},
            "jarvis": {"verdict": "forward", "user_id": "ann", "app_name": "dns", "category": "network", "confidence": 90}});
        let flow = RecordedFlow::read(&event, &["out0".to_owned(), "in0".to_owned()]).unwrap();
        assert_eq!(flow.sum, FlowSum { flows: 1, packets: 3, bytes: 160 });
        assert_eq!(flow.start_ns, 1_772_438_400_500_000_000);
        let mut names = Names::new();
        let ann = names.intern(Kind::UserId, "ann");
        let set = |text: &str, names: &mut Names| {
            let file = PolicyFile::parse("t", text.as_bytes()).unwrap();
            PolicySet::compile(&file, 1, &Environment::default(), names).unwrap()
        };
        let plain = set(
            r#"{"policies":[{"policy_id":"a","conditions":{"user_id":"ann"},"action":"drop"}]}"#,
            &mut names,
        );
        let user = flow.user(&names).unwrap();
        let facts = flow.facts(&plain, &names, Some(&user), None);
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
        let facts = flow.facts(&grouped, &names, Some(&user), None);
        assert_eq!(facts.pending().names().collect::<Vec<_>>(), ["user", "dst_user"]);
    }

    #[test]
    fn of_a_flow_that_was_refused_nobody_knows_what_it_would_have_been() {
        let event = json!({"event_type": "flow", "src_ip": "10.0.0.1", "dest_ip": "192.0.2.1", "proto": "TCP",
            "flow": {}, "jarvis": {"verdict": "reject"}});
        let flow = RecordedFlow::read(&event, &[]).unwrap();
        let (set, names) = (PolicySet::of_default(dataplane::policy::DefaultAction::Allow), Names::new());
        let facts = flow.facts(&set, &names, None, None);
        let pending: Vec<_> = facts.pending().names().collect();
        for fact in ["zone", "in_port", "src_mac", "application", "category", "l7_protocol", "confidence"] {
            assert!(pending.contains(&fact), "{fact} is not in {pending:?}");
        }
        assert_eq!(facts.user, Fact::Absent, "records name who was known");
        assert!(RecordedFlow::read(&json!({"event_type": "dns"}), &[]).is_none());
    }
}
