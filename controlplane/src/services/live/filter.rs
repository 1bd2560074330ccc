//! Does a listener want this event?
//!
//! Facts are taken from the event before it is text, once for all listeners; a filter compares numbers.

use std::borrow::Cow;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::Deserialize;
use serde_json::Value;

use crate::services::names::protocol_number;

/// What filters look at.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    /// EVE's `event_type`.
    pub event_type: Cow<'static, str>,
    /// Source and destination.
    pub ips: [Option<IpAddr>; 2],
    /// Their ports.
    pub ports: [Option<u16>; 2],
    /// IANA protocol number.
    pub proto: Option<u8>,
    /// As EVE has it; 0 where there is none.
    pub flow_id: u64,
    /// The application.
    pub application: Option<Cow<'static, str>>,
    /// The policy that decided.
    pub policy_id: Option<Box<str>>,
    /// Why something was dropped, or what was done.
    pub reason: Option<Cow<'static, str>>,
    /// The account that did it.
    pub user: Option<Box<str>>,
    /// Of a flow: the sum of its risks.
    pub risk_score: u16,
}

impl Facts {
    /// Of an event that is text already, as the event file and the segments have it.
    #[must_use]
    pub fn of_eve(event: &Value) -> Self {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let ip = |key: &str| event[key].as_str().and_then(|text| text.parse().ok());
        let port = |key: &str| event[key].as_u64().and_then(|port| port.try_into().ok());
        let own = &event["jarvis"];
        Self {
            event_type: text(&event["event_type"]).unwrap_or_default().into(),
            ips: [ip("src_ip"), ip("dest_ip")],
            ports: [port("src_port"), port("dest_port")],
            proto: event["proto"].as_str().and_then(protocol_number),
            flow_id: event["flow_id"].as_u64().unwrap_or_default(),
            application: text(&own["app_name"]).map(Cow::Owned),
            policy_id: own["policy_id"].as_str().map(Box::from),
            reason: text(&own["reason"]).map(Cow::Owned),
            user: own["user_id"].as_str().map(Box::from),
            risk_score: own["risk_score"]
                .as_u64()
                .and_then(|score| score.try_into().ok())
                .unwrap_or_default(),
        }
    }
}

/// What a listener wants; all that is given must fit.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// An end is this address, or in this prefix.
    #[serde(default, with = "prefix")]
    pub ip: Option<IpNet>,
    /// An end has this port.
    pub port: Option<u16>,
    /// `TCP`, `UDP`, ... or a number.
    #[serde(default, with = "protocol")]
    pub proto: Option<u8>,
    /// One of these event types, with commas between.
    pub event_type: Option<String>,
    /// The flow.
    pub flow_id: Option<u64>,
    /// The application.
    pub application: Option<String>,
    /// The policy that decided.
    pub policy_id: Option<String>,
    /// The reason, or what was done.
    pub reason: Option<String>,
    /// The account that did it.
    pub user: Option<String>,
    /// Flows whose risks come to this or more.
    pub risk_score_min: Option<u16>,
}

impl Filter {
    /// What a filter may look at.
    pub const KEYS: [&'static str; 10] = [
        "ip",
        "port",
        "proto",
        "event_type",
        "flow_id",
        "application",
        "policy_id",
        "reason",
        "user",
        "risk_score_min",
    ];

    /// Sets what `key` names; `None` where `value` is not of its kind.
    pub fn set(&mut self, key: &str, value: &str) -> Option<()> {
        let text = || Some(value.to_owned()).filter(|value| !value.is_empty());
        match key {
            "ip" => self.ip = Some(read_prefix(value)?),
            "port" => self.port = Some(value.parse().ok()?),
            "proto" => self.proto = Some(protocol_number(value)?),
            "event_type" => self.event_type = Some(text()?),
            "flow_id" => self.flow_id = Some(value.parse().ok()?),
            "application" => self.application = Some(text()?),
            "policy_id" => self.policy_id = Some(text()?),
            "reason" => self.reason = Some(text()?),
            "user" => self.user = Some(text()?),
            "risk_score_min" => self.risk_score_min = Some(value.parse().ok()?),
            _ => return None,
        }
        Some(())
    }

    /// Whether the event fits.
    #[must_use]
    pub fn fits(&self, facts: &Facts) -> bool {
        let same = |wanted: &Option<String>, found: Option<&str>| {
            wanted
                .as_deref()
                .is_none_or(|wanted| found.is_some_and(|found| found.eq_ignore_ascii_case(wanted)))
        };
        self.ip.is_none_or(|net| facts.ips.iter().flatten().any(|ip| net.contains(ip)))
            && self.port.is_none_or(|port| facts.ports.contains(&Some(port)))
            && self.flow_id.is_none_or(|flow| facts.flow_id == flow)
            && self.risk_score_min.is_none_or(|least| facts.risk_score >= least)
            && self
                .event_type
                .as_deref()
                .is_none_or(|types| types.split(',').any(|one| one.trim() == facts.event_type))
            && same(&self.application, facts.application.as_deref())
            && same(&self.policy_id, facts.policy_id.as_deref())
            && same(&self.reason, facts.reason.as_deref())
            && same(&self.user, facts.user.as_deref())
            && self.proto.is_none_or(|wanted| facts.proto == Some(wanted))
    }
}

/// An address or a prefix.
fn read_prefix(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

mod prefix {
    use ipnet::IpNet;
    use serde::{Deserialize, Deserializer, de::Error};

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<IpNet>, D::Error> {
        let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
        let read = super::read_prefix(&text);
        read.map(Some).ok_or_else(|| D::Error::custom(format!("ip: `{text}` is no address or prefix")))
    }
}

mod protocol {
    use serde::{Deserialize, Deserializer, de::Error};

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u8>, D::Error> {
        let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
        let read = super::protocol_number(&text);
        read.map(Some).ok_or_else(|| D::Error::custom(format!("proto: `{text}` is no protocol")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_given_must_fit() {
        let facts = Facts {
            event_type: "drop".into(),
            ips: [Some([10, 1, 2, 3].into()), Some([192, 0, 2, 7].into())],
            ports: [Some(40_000), Some(53)],
            proto: Some(17),
            flow_id: 7,
            policy_id: Some("p-dns".into()),
            reason: Some("policy_drop".into()),
            ..Facts::default()
        };
        for (pairs, fits) in [
            (&[][..], true),
            (&[("ip", "10.0.0.0/8")], true),
            (&[("ip", "192.0.2.7")], true),
            (&[("ip", "192.0.2.8")], false),
            (&[("port", "53"), ("proto", "udp")], true),
            (&[("port", "53"), ("proto", "6")], false),
            (&[("proto", "17")], true),
            (&[("event_type", "anomaly, drop")], true),
            (&[("event_type", "anomaly")], false),
            (&[("policy_id", "p-dns")], true),
            (&[("user", "ada")], false),
            (&[("application", "dns")], false),
            (&[("flow_id", "8")], false),
            (&[("risk_score_min", "1")], false),
        ] {
            let mut filter = Filter::default();
            pairs.iter().for_each(|(key, value)| filter.set(key, value).unwrap());
            assert_eq!(filter.fits(&facts), fits, "{pairs:?}");
        }
    }

    #[test]
    fn a_filter_is_read_whole_or_not() {
        let read = |text| serde_json::from_str::<Filter>(text);
        assert_eq!(read(r#"{"ip": "10.0.0.1", "port": 53}"#).unwrap().port, Some(53));
        for wrong in [r#"{"ip": "ten"}"#, r#"{"prot": "tcp"}"#, r#"{"port": 70000}"#] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        assert!(Filter::default().set("prot", "tcp").is_none());
        for key in Filter::KEYS {
            let value = if key == "ip" { "10.0.0.1" } else { "1" };
            assert!(Filter::default().set(key, value).is_some(), "{key}");
        }
    }
}
