//! How does a transaction look to Suricata's tools? Its fields under the key of its event type.
//!
//! Fields come as a flat list ([`dataplane::dpi::fields`]) and are written as nested JSON without a tree in between. A field
//! at the top whose name begins with `/` belongs to the event itself, beside the transaction (SMTP's `email`).

use dataplane::control::Transaction;
use dataplane::dpi::fields::{Reader, Value};
use dataplane::flow::Direction;
use dataplane::parse::Protocol;
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};

use super::community::CommunityId;
use super::{Ip, Proto, Stamp, Vlans, has_ports, packet_source, serialize_number};
use crate::services::names::{self, Names};

/// Types whose events carry `tx_id` beside their object in Suricata 7.0.10; of `dns` it stands inside the object.
const HAVE_TRANSACTION_ID: [&str; 4] = ["ftp", "http", "smtp", "ssh"];

/// An event about a transaction.
pub(super) struct TransactionView<'a> {
    pub(super) names: &'a Names,
    pub(super) worker: usize,
    pub(super) told: &'a Transaction,
    pub(super) fields: &'a [u8],
    pub(super) community_id: Option<CommunityId>,
}

impl Serialize for TransactionView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Notes {
            worker: usize,
        }
        let told = self.told;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("timestamp", &Stamp(told.time))?;
        map.serialize_entry("flow_id", &names::outer_flow_id(told.flow_id))?;
        if let Some(port) = self.names.port(told.in_port) {
            map.serialize_entry("in_iface", port)?;
        }
        serialize_number(told.origin, &mut map)?;
        map.serialize_entry("event_type", told.event_type)?;
        let vlans = Vlans(told.vlans.0, told.vlans.1);
        if !vlans.is_empty() {
            map.serialize_entry("vlan", &vlans)?;
        }
        let ports = has_ports(told.protocol);
        let (src, dst) = if is_of_packet(told) { (told.dst, told.src) } else { (told.src, told.dst) };
        map.serialize_entry("src_ip", &Ip(src.0))?;
        if ports {
            map.serialize_entry("src_port", &src.1)?;
        }
        map.serialize_entry("dest_ip", &Ip(dst.0))?;
        if ports {
            map.serialize_entry("dest_port", &dst.1)?;
        }
        map.serialize_entry("proto", &Proto(told.protocol))?;
        map.serialize_entry("pkt_src", packet_source(told.origin.source))?;
        if let Some(id) = self.community_id {
            map.serialize_entry("community_id", &id)?;
        }
        if HAVE_TRANSACTION_ID.contains(&told.event_type) {
            map.serialize_entry("tx_id", &told.transaction)?;
        }
        serialize_about(told.event_type, self.fields, &mut map)?;
        map.serialize_entry("jarvis", &Notes { worker: self.worker })?;
        map.end()
    }
}

/// A transaction's object under the type of its record, and what stands beside it.
pub(super) fn serialize_about<M: SerializeMap>(
    event_type: &'static str,
    fields: &[u8],
    map: &mut M,
) -> Result<(), M::Error> {
    map.serialize_entry(event_type, &Object { fields: Reader::over(fields), is_top: true })?;
    let mut fields = Reader::over(fields);
    while let Some((key, value)) = fields.next() {
        match key.strip_prefix('/') {
            Some(key) => entry(map, key, value, &mut fields)?,
            None => skip(value, &mut fields),
        }
    }
    Ok(())
}

/// Whether source and destination are those of the packet, not of the flow: Suricata's way with messages that stand
/// alone, and with datagrams that answer.
fn is_of_packet(told: &Transaction) -> bool {
    told.way == Direction::Reverse
        && match told.event_type {
            "dhcp" | "fileinfo" | "sip" => true,
            "snmp" | "krb5" | "nfs" => told.protocol == Protocol::UDP,
            _ => false,
        }
}

/// An object's values, up to its end.
struct Object<'a> {
    fields: Reader<'a>,
    is_top: bool,
}

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = self.fields;
        let mut map = serializer.serialize_map(None)?;
        while let Some((key, value)) = fields.next() {
            match value {
                Value::Close => break,
                value if self.is_top && key.starts_with('/') => skip(value, &mut fields),
                value => entry(&mut map, key, value, &mut fields)?,
            }
        }
        map.end()
    }
}

/// A list's values, up to its end.
struct List<'a>(Reader<'a>);

impl Serialize for List<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = self.0;
        let mut seq = serializer.serialize_seq(None)?;
        while let Some((_, value)) = fields.next() {
            match value {
                Value::Close => break,
                Value::OpenObject => seq.serialize_element(&Object { fields, is_top: false })?,
                Value::OpenList => seq.serialize_element(&List(fields))?,
                value => seq.serialize_element(&Leaf(value))?,
            }
            skip(value, &mut fields);
        }
        seq.end()
    }
}

/// A value without values in it.
struct Leaf<'a>(Value<'a>);

impl Serialize for Leaf<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Text(text) => serializer.serialize_str(&String::from_utf8_lossy(text)),
            Value::Bytes(bytes) => serializer.collect_str(&HexText(bytes)),
            Value::Unsigned(number) => serializer.serialize_u64(number),
            Value::Signed(number) => serializer.serialize_i64(number),
            Value::Bool(truth) => serializer.serialize_bool(truth),
            Value::OpenObject | Value::OpenList | Value::Close => serializer.serialize_unit(),
        }
    }
}

struct HexText<'a>(&'a [u8]);

impl std::fmt::Display for HexText<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

fn entry<M: SerializeMap>(
    map: &mut M,
    key: &str,
    value: Value<'_>,
    fields: &mut Reader<'_>,
) -> Result<(), M::Error> {
    match value {
        Value::OpenObject => map.serialize_entry(key, &Object { fields: *fields, is_top: false })?,
        Value::OpenList => map.serialize_entry(key, &List(*fields))?,
        value => map.serialize_entry(key, &Leaf(value))?,
    }
    skip(value, fields);
    Ok(())
}

/// Goes past what `value` has opened.
fn skip(value: Value<'_>, fields: &mut Reader<'_>) {
    let mut depth = usize::from(matches!(value, Value::OpenObject | Value::OpenList));
    while depth > 0 {
        match fields.next() {
            Some((_, Value::OpenObject | Value::OpenList)) => depth += 1,
            Some((_, Value::Close)) => depth -= 1,
            Some(_) => {}
            None => return,
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use dataplane::control::{Origin, Source};
    use dataplane::dpi::Fields;
    use dataplane::parse::Addr;
    use dataplane::time::Wall;
    use serde_json::{Value as Json, json};

    use super::*;

    #[test]
    fn fields_become_nested_json_and_those_of_the_event_stand_beside() {
        let mut fields = Fields::new();
        fields.text("helo", "a.example");
        fields.list("rcpt_to", |list| {
            list.text("", "b@example");
            list.object("", |object| object.number("n", 1_u8));
        });
        fields.object("/email", |email| {
            email.list("to", |list| list.text("", b"\xff@example"));
            email.bool("seen", true);
        });
        fields.hex("id", &[0xab, 1]);
        let told = Transaction {
            time: Wall(0),
            origin: Origin { number: 12, source: Source::FlowEnd },
            flow_id: 7,
            in_port: 0,
            vlans: (5, 0),
            src: (Addr::v4([10, 0, 0, 1]), 1),
            dst: (Addr::v4([10, 0, 0, 2]), 25),
            protocol: 6,
            event_type: "smtp",
            transaction: 3,
            way: Direction::Forward,
            fields_len: 0,
        };
        let names = Names::new(vec![]);
        let community_id = None;
        let view = TransactionView {
            names: &names,
            worker: 0,
            told: &told,
            fields: fields.as_bytes(),
            community_id,
        };
        let json: Json = serde_json::from_str(&serde_json::to_string(&view).unwrap()).unwrap();
        assert_eq!(
            json["smtp"],
            json!({"helo": "a.example", "rcpt_to": ["b@example", {"n": 1}], "id": "ab01"})
        );
        assert_eq!(json["email"], json!({"to": ["\u{fffd}@example"], "seen": true}));
        assert_eq!((&json["pcap_cnt"], &json["pkt_src"]), (&json!(12), &json!("stream (flow timeout)")));
        assert_eq!((&json["tx_id"], &json["dest_port"], &json["vlan"]), (&json!(3), &json!(25), &json!([5])));
    }
}
