//! What rules are told of transactions whose fields are those of EVE: one table, event type and key to buffer or number.
//!
//! Parsers whose rules need more than EVE has, or need it before the transaction is over, tell it themselves
//! ([`Telling`](crate::rules::detect::Telling)): those of HTTP/1, TLS and DNS all of it, others some of it beside this table.

use std::io::Write as _;

use super::fields::{Fields, Value};
use crate::flow::Direction;
use crate::rules::detect::{FieldId, Telling, field};
use crate::rules::language::buffers::buffer;
use crate::rules::language::fields::FIELDS;
use crate::rules::rule::BufferId;

/// What a field is to rules.
#[derive(Clone, Copy)]
enum Target {
    Bytes(BufferId),
    Number(FieldId),
}

/// Key within the record, with dots; what it is; which way it goes, where that is not the record's.
type Entry = (&'static str, Target, Option<Direction>);

const SERVER: Option<Direction> = Some(Direction::Forward);
const CLIENT: Option<Direction> = Some(Direction::Reverse);

const fn bytes(key: &'static str, name: &'static str, way: Option<Direction>) -> Entry {
    (key, Target::Bytes(buffer(name)), way)
}

const fn number(key: &'static str, name: &'static str, way: Option<Direction>) -> Entry {
    (key, Target::Number(field(name)), way)
}

/// By event type, which is the protocol's name in rules too.
const RECORDS: &[(&str, &[Entry])] = &[
    (
        "ssh",
        &[
            bytes("client.proto_version", "ssh.proto", SERVER),
            bytes("client.software_version", "ssh.software", SERVER),
            bytes("client.hassh.hash", "ssh.hassh", SERVER),
            bytes("client.hassh.string", "ssh.hassh.string", SERVER),
            bytes("server.proto_version", "ssh.proto", CLIENT),
            bytes("server.software_version", "ssh.software", CLIENT),
            bytes("server.hassh.hash", "ssh.hassh.server", CLIENT),
            bytes("server.hassh.string", "ssh.hassh.server.string", CLIENT),
        ],
    ),
    (
        "snmp",
        &[
            number("version", "snmp.version", None),
            number("pdu_type", "snmp.pdu_type", None),
            bytes("community", "snmp.community", None),
            bytes("usm", "snmp.usm", None),
        ],
    ),
    (
        "sip",
        &[
            bytes("method", "sip.method", SERVER),
            bytes("uri", "sip.uri", SERVER),
            bytes("version", "sip.protocol", None),
            bytes("request_line", "sip.request_line", SERVER),
            bytes("code", "sip.stat_code", CLIENT),
            bytes("reason", "sip.stat_msg", CLIENT),
            bytes("response_line", "sip.response_line", CLIENT),
        ],
    ),
    (
        "rfb",
        &[
            bytes("framebuffer.name", "rfb.name", CLIENT),
            number("authentication.security_type", "rfb.sectype", CLIENT),
            number("authentication.security_result", "rfb.secresult", CLIENT),
        ],
    ),
    (
        "mqtt",
        &[
            bytes("connect.client_id", "mqtt.connect.clientid", SERVER),
            bytes("connect.username", "mqtt.connect.username", SERVER),
            bytes("connect.will.topic", "mqtt.connect.willtopic", SERVER),
            bytes("connect.will.message", "mqtt.connect.willmessage", SERVER),
            bytes("connect.protocol_string", "mqtt.connect.protocol_string", SERVER),
            bytes("publish.topic", "mqtt.publish.topic", None),
            bytes("subscribe.topics.topic", "mqtt.subscribe.topic", SERVER),
            bytes("unsubscribe.topics", "mqtt.unsubscribe.topic", SERVER),
        ],
    ),
    (
        "dhcp",
        &[
            number("lease_time", "dhcp.leasetime", None),
            number("rebinding_time", "dhcp.rebinding_time", None),
            number("renewal_time", "dhcp.renewal_time", None),
        ],
    ),
    (
        "ike",
        &[
            bytes("init_spi", "ike.init_spi", None),
            bytes("resp_spi", "ike.resp_spi", None),
            number("exchange_type", "ike.exchtype", None),
        ],
    ),
    ("ldap", &[]),
    ("pgsql", &[bytes("request.simple_query", "pgsql.query", SERVER)]),
    (
        "pop3",
        &[bytes("request.command", "pop3.command", SERVER), number("response.status", "pop3.status", CLIENT)],
    ),
    ("ntp", &[]),
    ("dnp3", &[]),
    ("modbus", &[]),
    ("nfs", &[]),
    (
        "smb",
        &[
            bytes("named_pipe", "smb.named_pipe", SERVER),
            bytes("share", "smb.share", SERVER),
            bytes("ntlmssp.user", "smb.ntlmssp_user", SERVER),
            bytes("ntlmssp.domain", "smb.ntlmssp_domain", SERVER),
        ],
    ),
    (
        "ftp",
        &[
            bytes("command", "ftp.command", SERVER),
            bytes("command_data", "ftp.command_data", SERVER),
            bytes("reply", "ftp.reply", CLIENT),
            bytes("completion_code", "ftp.completion_code", CLIENT),
            number("dynamic_port", "ftp.dynamic_port", None),
        ],
    ),
    (
        "smtp",
        &[
            bytes("helo", "smtp.helo", SERVER),
            bytes("mail_from", "smtp.mail_from", SERVER),
            bytes("rcpt_to", "smtp.rcpt_to", SERVER),
            bytes("/email.from", "email.from", SERVER),
            bytes("/email.to", "email.to", SERVER),
            bytes("/email.cc", "email.cc", SERVER),
            bytes("/email.subject", "email.subject", SERVER),
            bytes("/email.date", "email.date", SERVER),
            bytes("/email.message_id", "email.message_id", SERVER),
            bytes("/email.x_mailer", "email.x_mailer", SERVER),
            bytes("/email.url", "email.url", SERVER),
            bytes("/email.received", "email.received", SERVER),
            bytes("/email.body_md5", "email.body_md5", SERVER),
        ],
    ),
    (
        "quic",
        &[
            bytes("sni", "quic.sni", SERVER),
            bytes("ua", "quic.ua", SERVER),
            bytes("version", "quic.version", None),
            bytes("cyu.hash", "quic.cyu.hash", SERVER),
            bytes("cyu.string", "quic.cyu.string", SERVER),
            bytes("ja3.hash", "ja3.hash", SERVER),
            bytes("ja3.string", "ja3.string", SERVER),
            bytes("ja3s.hash", "ja3s.hash", CLIENT),
            bytes("ja3s.string", "ja3s.string", CLIENT),
            bytes("ja4", "ja4.hash", SERVER),
        ],
    ),
    ("enip", &[]),
];

/// Keys of a record that are followed, one within the other.
const DEPTH_MAX: usize = 8;

/// What rules are told of a record.
fn entries_of(event_type: &str) -> Option<&'static [Entry]> {
    RECORDS.iter().find(|(name, _)| *name == event_type).map(|(_, entries)| *entries)
}

/// Tells rules of a record, whatever else its parser told them before: each way once. Returns whether one of them says that it is
/// not written.
pub(super) fn record(
    rules: &mut Telling<'_>,
    event_type: &'static str,
    way: Direction,
    transaction: u32,
    fields: &Fields,
) -> bool {
    let Some(entries) = entries_of(event_type) else { return rules.is_hidden(transaction) };
    let ways = [way, way.opposite()];
    for (place, of) in ways.into_iter().enumerate() {
        let is_own = place == 0;
        let is_meant = |entry: &&Entry| entry.2.map_or(is_own, |other| other == of);
        if !is_own && !entries.iter().any(|entry| is_meant(&entry)) {
            continue;
        }
        show_all(rules, &entries.iter().filter(is_meant), fields);
        rules.stage(event_type, transaction, of, true);
    }
    let is_hidden = rules.is_hidden(transaction);
    rules.end(transaction);
    is_hidden
}

/// Tells rules what a record will say of what goes `way`, while its transaction goes on.
pub(super) fn early(
    rules: &mut Telling<'_>,
    event_type: &'static str,
    way: Direction,
    transaction: u32,
    fields: &Fields,
) {
    let Some(entries) = entries_of(event_type) else { return };
    show_all(rules, &entries.iter().filter(|entry| entry.2.is_none_or(|other| other == way)), fields);
    rules.stage(event_type, transaction, way, false);
    rules.attach(transaction, event_type, fields.as_bytes());
}

fn show_all<'a>(
    rules: &mut Telling<'_>,
    entries: &(impl Iterator<Item = &'a Entry> + Clone),
    fields: &Fields,
) {
    walk(fields, &mut |path, value| {
        for (_, target, _) in entries.clone().filter(|(key, ..)| key.split('.').eq(path.iter().copied())) {
            show(rules, *target, value);
        }
    });
}

fn show(rules: &mut Telling<'_>, target: Target, value: Value<'_>) {
    match (target, value) {
        // What is empty is not there, as with Suricata.
        (Target::Bytes(_), Value::Text([])) => {}
        (Target::Bytes(buffer), Value::Text(text)) => rules.show(buffer, text),
        (Target::Bytes(buffer), Value::Bytes(bytes)) => {
            rules.show_with(buffer, |out| super::text::push_hex(out, bytes));
        }
        (Target::Bytes(buffer), Value::Unsigned(number)) => rules.show_with(buffer, |out| {
            let _always = write!(out, "{number}");
        }),
        (Target::Number(field), Value::Unsigned(number)) => rules.number(field, number),
        (Target::Number(field), Value::Text(text)) => {
            if let Some(number) = number_of(field, text) {
                rules.number(field, number);
            }
        }
        _ => {}
    }
}

/// The number that a name of EVE stands for.
fn number_of(field: FieldId, text: &[u8]) -> Option<u64> {
    let names = FIELDS.get(usize::from(field.0))?.names;
    let found = names.iter().find(|(name, _)| name.as_bytes().eq_ignore_ascii_case(text));
    found.map(|(_, number)| *number).or_else(|| super::text::decimal(text))
}

/// Each value with its keys from the outside in; beyond [`DEPTH_MAX`] nothing is told.
fn walk(fields: &Fields, each: &mut dyn FnMut(&[&str], Value<'_>)) {
    // Items of lists have no key and add nothing to the path; `ends` has where that of each level ends.
    let (mut path, mut ends) = ([""; DEPTH_MAX], [0_usize; DEPTH_MAX]);
    let (mut depth, mut len) = (0_usize, 0_usize);
    for (key, value) in fields.iter() {
        if value == Value::Close {
            depth = depth.saturating_sub(1);
            len = ends.get(depth).copied().unwrap_or(len);
            continue;
        }
        let before = len;
        if !key.is_empty() {
            if let Some(place) = path.get_mut(len) {
                *place = key;
            }
            len += 1;
        }
        if matches!(value, Value::OpenObject | Value::OpenList) {
            if let Some(end) = ends.get_mut(depth) {
                *end = before;
            }
            depth += 1;
        } else {
            if let Some(path) = path.get(..len) {
                each(path, value);
            }
            len = before;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_their_keys() {
        let mut fields = Fields::new();
        fields.text("a", "1");
        fields.object("b", |b| {
            b.number("c", 2_u8);
            b.list("d", |d| {
                d.text("", "3");
                d.object("", |e| e.text("f", "4"));
            });
        });
        fields.text("g", "5");
        let mut paths = Vec::new();
        walk(&fields, &mut |path, _value| paths.push(path.join(".")));
        assert_eq!(paths, ["a", "b.c", "b.d", "b.d.f", "g"]);
    }

    #[test]
    fn what_is_empty_is_not_there() {
        use crate::parse::Addr;
        use crate::rules::detect::{Detector, FlowCounts, FlowPlace, Moment};
        use crate::rules::set::Options;
        use crate::rules::{RuleSet, Signature};
        let rule = r#"alert snmp any any -> any any (snmp.usm; content:!"a"; sid:1;)"#;
        let set = RuleSet::new(vec![Signature::of_text(rule)], &mut Default::default(), Options::default());
        let (mut detector, mut place, nobody) = (Detector::default(), FlowPlace::default(), Addr::default());
        detector.follow(set.ok().map(std::sync::Arc::new).as_ref());
        let moment = Moment {
            initiator: (nobody, 40_000),
            responder: (nobody, 161),
            protocol: 17,
            is_established: true,
            original: None,
            at_ns: 0,
            counts: FlowCounts::default(),
        };
        for (user, expected) in [("", 0), ("bob", 1)] {
            let (detector_of, place_of) = (&mut detector, &mut place);
            let mut rules =
                Telling { detector: detector_of, place: place_of, moment, is_on: true, is_inline: false };
            let mut fields = Fields::new();
            fields.text("usm", user);
            record(&mut rules, "snmp", Direction::Forward, 0, &fields);
            let mut hits = Vec::new();
            detector.take_hits(15, &mut hits);
            assert_eq!(hits.len(), expected, "{user}");
        }
    }

    #[test]
    fn names_are_numbers_where_rules_know_them() {
        let field = field("rfb.secresult");
        assert_eq!(number_of(field, b"FAIL"), Some(1));
        assert_eq!(number_of(field, b"7"), Some(7));
        assert_eq!(number_of(field, b"what"), None);
    }
}
