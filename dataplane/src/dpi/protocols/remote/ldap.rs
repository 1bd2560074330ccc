//! LDAP: who binds, what is searched and changed? (RFC 4511)

use super::super::ber::{Elements, head, integer};
use crate::dpi::parser::{Context, Parser, Step};
use crate::dpi::protocols;
use crate::dpi::protocols::files::ntlmssp::Authenticate;
use crate::dpi::{Category, Fields, First, Match, Over, Peek, Probe, Protocol, Risk, Shown};
use crate::flow::Direction;
use crate::rules::detect::{FieldId, Gathered, field};
use crate::rules::language::buffers::buffer;
use crate::rules::language::frames::frame;
use crate::rules::rule::BufferId;
use crate::rules::rule::FrameId;

/// LDAP, and over UDP what Active Directory uses of it.
pub static LDAP: Protocol = Protocol {
    name: "ldap",
    eve: None,
    category: Category::System,
    probes: &[Probe { over: Over::TcpOrUdp, first: First::Of(&[0x30]), look }],
    parser: Some(|| Box::<Session>::default()),
};

const BIND: u8 = 0x60;
const BIND_RESPONSE: u8 = 0x61;
const UNBIND: u8 = 0x42;
const SEARCH: u8 = 0x63;
const ENTRY: u8 = 0x64;
const REFERENCE: u8 = 0x73;
const EXTENDED: u8 = 0x77;
const EXTENDED_RESPONSE: u8 = 0x78;

/// RFC 4511 4.1.1: a sequence of a number and an operation, whose lengths fit into each other.
fn look(peek: &Peek<'_>) -> Match {
    let Some((at, len)) = head(peek.bytes) else {
        return if peek.bytes.len() < 6 && peek.has_port(389) { Match::More } else { Match::No };
    };
    let Some(inner) = peek.bytes.get(at..) else { return Match::No };
    let Some((id_at, id_len)) = head(inner).filter(|_| inner.first() == Some(&2)) else { return Match::No };
    let Some(operation) = inner.get(id_at + id_len..) else { return Match::No };
    let Some(tag) = operation.first().copied().filter(|_| (1..=4).contains(&id_len)) else {
        return Match::No;
    };
    let known = operation_name(tag).is_some();
    if tag == UNBIND {
        return Match::of(operation.get(1) == Some(&0), 85);
    }
    let Some((operation_at, operation_len)) = head(operation).filter(|_| known) else { return Match::No };
    // Controls may follow.
    let fits = id_at + id_len + operation_at + operation_len <= len;
    let body = operation.get(operation_at..).unwrap_or_default();
    let is = match tag {
        BIND => matches!(body, [2, 1, 1..=3, 4, ..]),
        SEARCH | ENTRY => body.first() == Some(&4),
        0x61 | 0x65 | 0x67 | 0x69 | 0x6b | 0x6d | 0x6f | EXTENDED_RESPONSE => matches!(body, [10, 1, ..]),
        EXTENDED => body.first() == Some(&0x80),
        _ => true,
    };
    Match::of(fits && is, if peek.has_port(389) || peek.has_port(3268) { 95 } else { 90 })
}

/// Suricata's names.
const fn operation_name(tag: u8) -> Option<&'static str> {
    Some(match tag {
        BIND => "bind_request",
        BIND_RESPONSE => "bind_response",
        UNBIND => "unbind_request",
        SEARCH => "search_request",
        ENTRY => "search_result_entry",
        0x65 => "search_result_done",
        0x66 => "modify_request",
        0x67 => "modify_response",
        0x68 => "add_request",
        0x69 => "add_response",
        0x4a => "del_request",
        0x6b => "del_response",
        0x6c => "mod_dn_request",
        0x6d => "mod_dn_response",
        0x6e => "compare_request",
        0x6f => "compare_response",
        0x50 => "abandon_request",
        REFERENCE => "search_result_reference",
        EXTENDED => "extended_request",
        EXTENDED_RESPONSE => "extended_response",
        0x79 => "intermediate_response",
        _ => return None,
    })
}

const WAITING_MAX: usize = 8;
const RECORDS_MAX: u32 = 2_000;
/// An answer with more entries than these tells of the first ones.
const ENTRIES_MAX: u32 = 16;
const MESSAGE_BYTES_MAX: usize = 32_768;

#[derive(Default)]
struct Session {
    waiting: Vec<Waiting>,
    inner: Option<Box<dyn Parser>>,
    told: u32,
}

struct Waiting {
    id: u32,
    tag: u8,
    request: Fields,
    responses: Fields,
    entries: u32,
    is_start_tls: bool,
    asked: Gathered,
    answered: Gathered,
}

const REQUEST_OPERATION: FieldId = field("ldap.request.operation");
const REQUEST_DN: BufferId = buffer("ldap.request.dn");
const REQUEST_ATTRIBUTE: BufferId = buffer("ldap.request.attribute_type");
const RESPONSE_OPERATION: FieldId = field("ldap.responses.operation");
const RESPONSE_COUNT: FieldId = field("ldap.responses.count");
const RESPONSE_CODE: FieldId = field("ldap.responses.result_code");
const RESPONSE_DN: BufferId = buffer("ldap.responses.dn");
const RESPONSE_MESSAGE: BufferId = buffer("ldap.responses.message");
const RESPONSE_ATTRIBUTE: BufferId = buffer("ldap.responses.attribute_type");

/// Attributes of one message that rules are told.
const ATTRIBUTES_MAX: usize = 64;

/// What rules are told of a request (RFC 4511 4.2 to 4.12): its operation, the name that it is about, attributes.
fn gather_request(tag: u8, body: &[u8], cx: &Context<'_>) -> Gathered {
    let mut told = Gathered::default();
    let rules = &cx.rules;
    if !rules.is_on() {
        return told;
    }
    told.number(rules, REQUEST_OPERATION, (tag & 0x1f).into());
    let mut parts = Elements::of(body);
    if tag == BIND {
        parts.tagged(2);
    }
    let name = match tag {
        0x4a => Some(body),
        BIND | SEARCH | 0x66 | 0x68 | 0x6c | 0x6e => parts.tagged(4),
        _ => None,
    };
    if let Some(name) = name {
        told.show(rules, REQUEST_DN, name);
    }
    let types = match tag {
        // What is wanted: the last part, behind scope, limits and filter.
        SEARCH => Elements::of(parts.last().map_or(&[][..], |last| last.contents)),
        // Lists of an attribute with its values; of changes, each with one.
        0x66 | 0x68 => Elements::of(parts.tagged(0x30).unwrap_or_default()),
        // An assertion.
        0x6e => Elements::of(parts.tagged(0x30).unwrap_or_default()),
        _ => return told,
    };
    for one in types.take(ATTRIBUTES_MAX) {
        let kind = match tag {
            0x68 => Elements::of(one.contents).tagged(4),
            0x66 => Elements::of(one.contents)
                .find(|part| part.tag == 0x30)
                .and_then(|attribute| Elements::of(attribute.contents).tagged(4)),
            _ => Some(one.contents),
        };
        if let Some(kind) = kind {
            told.show(rules, REQUEST_ATTRIBUTE, kind);
        }
        // The rest is a value.
        if tag == 0x6e {
            break;
        }
    }
    told
}

/// What rules are told of a response; of those without a name or a message that these are empty.
fn gather_response(tag: u8, body: &[u8], told: &mut Gathered, cx: &Context<'_>) {
    let rules = &cx.rules;
    if !rules.is_on() {
        return;
    }
    told.number(rules, RESPONSE_OPERATION, (tag & 0x1f).into());
    let mut parts = Elements::of(body);
    let (mut name, mut message) = (&[][..], &[][..]);
    match tag {
        ENTRY => {
            name = parts.tagged(4).unwrap_or_default();
            for attribute in Elements::of(parts.tagged(0x30).unwrap_or_default()).take(ATTRIBUTES_MAX) {
                if let Some(kind) = Elements::of(attribute.contents).tagged(4) {
                    told.show(rules, RESPONSE_ATTRIBUTE, kind);
                }
            }
        }
        REFERENCE | 0x79 => {}
        _ => {
            if let Some(code) = parts.tagged(10).and_then(integer) {
                told.number(rules, RESPONSE_CODE, code.into());
            }
            name = parts.tagged(4).unwrap_or_default();
            message = parts.tagged(4).unwrap_or_default();
        }
    }
    told.show(rules, RESPONSE_DN, name);
    told.show(rules, RESPONSE_MESSAGE, message);
}

/// A message, to rules.
const PDU: FrameId = frame("ldap", "pdu");

impl Parser for Session {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        if let Some(inner) = &mut self.inner {
            return match inner.data(way, bytes, cx) {
                Step::NotMine => Step::Done,
                step => step,
            };
        }
        let is_udp = cx.flow.protocol == crate::parse::Protocol::UDP;
        let Some((at, len)) = head(bytes) else {
            return if is_udp || bytes.len() >= 6 { Step::Done } else { Step::Consumed(0) };
        };
        // After a SASL login with protection everything is wrapped.
        if bytes.first() != Some(&0x30) {
            return Step::Done;
        }
        let whole = at as u64 + len as u64;
        if len > MESSAGE_BYTES_MAX {
            cx.rules.frame_of(way, PDU, bytes, Some(whole));
            return Step::Consumed(at.saturating_add(len));
        }
        let Some(message) = bytes.get(at..at + len) else {
            return if is_udp { Step::Done } else { Step::Consumed(0) };
        };
        cx.rules.frame_of(way, PDU, bytes, Some(whole));
        let mut elements = Elements::of(message);
        let id = elements.tagged(2).and_then(integer);
        let (Some(id), Some(operation)) = (id, elements.next()) else {
            cx.anomaly("invalid_data");
            return Step::Done;
        };
        match operation.tag {
            BIND | UNBIND | SEARCH | 0x66 | 0x68 | 0x4a | 0x6c | 0x6e | 0x50 | EXTENDED => {
                self.request(id, operation.tag, operation.contents, way, cx);
            }
            _ => self.response(id, operation.tag, operation.contents, way, cx),
        }
        if self.told >= RECORDS_MAX { Step::Done } else { Step::Consumed(at + len) }
    }

    fn end(&mut self, cx: &mut Context<'_>) {
        if let Some(inner) = &mut self.inner {
            inner.end(cx);
        }
        while let Some(waiting) = self.waiting.pop() {
            self.tell(Direction::Forward, &waiting, cx);
        }
    }

    fn start_over(&mut self) -> bool {
        *self = Self::default();
        true
    }
}

impl Session {
    fn request(&mut self, id: u32, tag: u8, body: &[u8], way: Direction, cx: &mut Context<'_>) {
        let Some(name) = operation_name(tag) else { return };
        let mut request = Fields::new();
        request.text("operation", name);
        request.number("message_id", id);
        let mut parts = Elements::of(body);
        let mut is_start_tls = false;
        match tag {
            BIND => request.object(name, |bind| {
                if let Some(version) = parts.tagged(2).and_then(integer) {
                    bind.number("version", version);
                }
                let user = parts.tagged(4).unwrap_or_default();
                bind.text("name", user.get(..256).unwrap_or(user));
                match parts.next() {
                    // RFC 4511 4.2: [0] is the password itself.
                    Some(simple) if simple.tag == 0x80 && !simple.contents.is_empty() => {
                        cx.risk(
                            Risk::ClearTextCredentials,
                            format_args!("ldap simple bind of {}", Shown(user)),
                        );
                    }
                    Some(sasl) if sasl.tag == 0xa3 => {
                        let mechanism = Elements::of(sasl.contents).tagged(4);
                        bind.object("sasl", |object| object.text_if("mechanism", mechanism));
                        if let Some(login) = Authenticate::find_in(sasl.contents) {
                            login.judge(cx);
                            login.write(bind);
                        }
                    }
                    // MS-ADTS 5.1.1.1.3: Sicily carries NTLM.
                    Some(other) => {
                        if let Some(login) = Authenticate::find_in(other.contents) {
                            login.judge(cx);
                            login.write(bind);
                        }
                    }
                    None => {}
                }
            }),
            SEARCH => request.object(name, |search| {
                search.text("base_object", parts.tagged(4).unwrap_or_default());
                for key in ["scope", "deref_alias"] {
                    if let Some(number) = parts.tagged(10).and_then(integer) {
                        search.number(key, number);
                    }
                }
                for key in ["size_limit", "time_limit"] {
                    if let Some(number) = parts.tagged(2).and_then(integer) {
                        search.number(key, number);
                    }
                }
                if let Some(types) = parts.tagged(1) {
                    search.bool("types_only", types.first().is_some_and(|byte| *byte != 0));
                }
                let _filter = parts.next();
                let attributes = parts.tagged(0x30).unwrap_or_default();
                search.list("attributes", |list| {
                    for attribute in Elements::of(attributes).take(32) {
                        list.text("", attribute.contents);
                    }
                });
            }),
            0x66 | 0x68 | 0x6c | 0x6e => request.object(name, |object| {
                object.text("entry", parts.tagged(4).unwrap_or_default());
            }),
            0x4a => request.object(name, |object| object.text("dn", body.get(..512).unwrap_or(body))),
            EXTENDED => request.object(name, |object| {
                let oid = parts.tagged(0x80).unwrap_or_default();
                object.text("name", oid);
                // RFC 4511 4.14.1.
                is_start_tls = oid == b"1.3.6.1.4.1.1466.20037";
            }),
            _ => {}
        }
        let waiting = Waiting {
            id,
            tag,
            request,
            responses: Fields::new(),
            entries: 0,
            is_start_tls,
            asked: gather_request(tag, body, cx),
            answered: Gathered::default(),
        };
        if matches!(tag, UNBIND | 0x50) {
            self.tell(way, &waiting, cx);
            return;
        }
        if self.waiting.len() >= WAITING_MAX {
            let oldest = self.waiting.remove(0);
            self.tell(way, &oldest, cx);
        }
        self.waiting.push(waiting);
    }

    fn response(&mut self, id: u32, tag: u8, body: &[u8], way: Direction, cx: &mut Context<'_>) {
        let Some(name) = operation_name(tag) else {
            cx.anomaly("invalid_data");
            return;
        };
        let index = self.waiting.iter().position(|waiting| waiting.id == id);
        let Some(waiting) = index.and_then(|index| self.waiting.get_mut(index)) else {
            cx.anomaly("request_not_found");
            return;
        };
        gather_response(tag, body, &mut waiting.answered, cx);
        let is_part = matches!(tag, ENTRY | REFERENCE | 0x79);
        waiting.entries += 1;
        let mut parts = Elements::of(body);
        let mut code = None;
        if !is_part || waiting.entries <= ENTRIES_MAX {
            waiting.responses.object("", |response| {
                response.text("operation", name);
                response.number("message_id", id);
                response.object(name, |object| {
                    if tag == ENTRY {
                        object.text("base_object", parts.tagged(4).unwrap_or_default());
                    } else if !is_part {
                        code = parts.tagged(10).and_then(integer);
                        object.text("result_code", result_name(code));
                        object.text("matched_dn", parts.tagged(4).unwrap_or_default());
                        let message = parts.tagged(4).unwrap_or_default();
                        object.text("message", message.get(..256).unwrap_or(message));
                    }
                });
            });
        }
        if is_part {
            return;
        }
        // 49: invalidCredentials.
        if tag == BIND_RESPONSE && code == Some(49) {
            cx.risk(Risk::FailedLogin, format_args!("ldap invalidCredentials"));
        }
        let Some(index) = index else { return };
        let waiting = self.waiting.remove(index);
        self.tell(way, &waiting, cx);
        if waiting.is_start_tls && tag == EXTENDED_RESPONSE && code == Some(0) {
            self.inner = protocols::by_name("tls").and_then(|tls| tls.parser).map(|make| make());
        }
    }

    fn tell(&mut self, way: Direction, waiting: &Waiting, cx: &mut Context<'_>) {
        self.told += 1;
        if cx.rules.is_on() {
            let transaction = *cx.transactions;
            cx.rules.show_gathered(&waiting.asked);
            if waiting.entries == 0 {
                cx.rules.number(RESPONSE_COUNT, 0);
            }
            cx.rules.stage("ldap", transaction, Direction::Forward, true);
            cx.rules.show_gathered(&waiting.answered);
            if waiting.entries > 0 {
                cx.rules.number(RESPONSE_COUNT, waiting.entries.into());
                cx.rules.stage("ldap", transaction, Direction::Reverse, true);
            }
        }
        cx.tell_with("ldap", way, |ldap| {
            ldap.object("request", |request| request.append(&waiting.request));
            if !waiting.responses.is_empty() {
                ldap.list("responses", |list| list.append(&waiting.responses));
            }
            if waiting.tag == SEARCH {
                ldap.number("entries", waiting.entries.saturating_sub(1));
            }
        });
    }
}

/// RFC 4511 4.1.9, as Suricata names them.
const fn result_name(code: Option<u32>) -> &'static str {
    match code {
        Some(0) => "success",
        Some(1) => "operations_error",
        Some(2) => "protocol_error",
        Some(3) => "time_limit_exceeded",
        Some(4) => "size_limit_exceeded",
        Some(7) => "auth_method_not_supported",
        Some(8) => "stronger_auth_required",
        Some(10) => "referral",
        Some(14) => "sasl_bind_in_progress",
        Some(32) => "no_such_object",
        Some(34) => "invalid_dn_syntax",
        Some(48) => "inappropriate_authentication",
        Some(49) => "invalid_credentials",
        Some(50) => "insufficient_access_rights",
        Some(53) => "unwilling_to_perform",
        Some(68) => "entry_already_exists",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpi::protocols::files::peek_of;

    #[test]
    fn binds_are_ldap_and_snmp_is_not() {
        let peek = |bytes| peek_of(bytes, Direction::Forward, 10_389, true);
        let bind = [0x30, 12, 2, 1, 1, 0x60, 7, 2, 1, 3, 4, 0, 0x80, 0];
        assert_eq!(look(&peek(&bind)), Match::Yes(90));
        for len in 0..bind.len() {
            let _ = look(&peek(&bind[..len]));
        }
        let snmp = [0x30, 12, 2, 1, 1, 4, 6, b'p', b'u', b'b', b'l', b'i', b'c', 0xa0];
        assert_eq!(look(&peek(&snmp)), Match::No);
    }
}
