//! What rules are told of messages of DNS, mDNS and LLMNR: each name by its section, types and codes.

use super::message::{HEADER_BYTES, Header, Name, Question, Section};
use crate::dpi::Context;
use crate::flow::Direction;
use crate::rules::detect::{FieldId, field};
use crate::rules::language::buffers::buffer;
use crate::rules::rule::BufferId;

const QUERY: BufferId = buffer("dns.query");
const QUERY_NAME: BufferId = buffer("dns.query.name");
const ANSWER_NAME: BufferId = buffer("dns.answer.name");
const QUERIES: BufferId = buffer("dns.queries.rrname");
const RESPONSE: BufferId = buffer("dns.response.rrname");
/// Answers, authorities, additional records.
const SECTIONS: [BufferId; 3] =
    [buffer("dns.answers.rrname"), buffer("dns.authorities.rrname"), buffer("dns.additionals.rrname")];

/// The same of one protocol alone: queries, the three sections.
const MDNS: [BufferId; 4] = [
    buffer("mdns.queries.rrname"),
    buffer("mdns.answers.rrname"),
    buffer("mdns.authorities.rrname"),
    buffer("mdns.additionals.rrname"),
];
const MDNS_RESPONSE: BufferId = buffer("mdns.response.rrname");
const LLMNR: [BufferId; 4] = [
    buffer("llmnr.queries.rrname"),
    buffer("llmnr.answers.rrname"),
    buffer("llmnr.authorities.rrname"),
    buffer("llmnr.additionals.rrname"),
];

const OPCODE: FieldId = field("dns.opcode");
const RCODE: FieldId = field("dns.rcode");
const TYPE: FieldId = field("dns.rrtype");

/// Questions of one message that are told.
const QUESTIONS_MAX: u16 = 64;

/// Tells a message; `records` is where its records begin, where its questions could be read.
pub(super) fn message(
    name: &'static str,
    (way, transaction): (Direction, u32),
    message: &[u8],
    header: Header,
    records: Option<usize>,
    cx: &mut Context<'_>,
) {
    if !cx.rules.is_on() {
        return;
    }
    let (own, own_response): (&[BufferId], _) = match name {
        "mdns" => (&MDNS, Some(MDNS_RESPONSE)),
        "llmnr" => (&LLMNR, None),
        _ => (&[], None),
    };
    let rules = &mut cx.rules;
    rules.number(OPCODE, header.opcode().into());
    if header.is_response() {
        rules.number(RCODE, header.rcode().into());
    }
    let mut text = Name::new();
    let mut next = Some(HEADER_BYTES);
    for _ in 0..header.counts[0].min(QUESTIONS_MAX) {
        let Some(question) = next.and_then(|at| Question::read(message, at)) else { break };
        next = Some(question.end);
        if text.read(message, question.name_at).is_none() {
            break;
        }
        if !header.is_response() {
            rules.number(TYPE, question.kind.into());
        }
        let own = own.first().copied();
        for buffer in [QUERY, QUERY_NAME, QUERIES].into_iter().chain(own) {
            rules.show(buffer, text.as_bytes());
        }
        if header.is_response() {
            for buffer in [RESPONSE].into_iter().chain(own_response) {
                rules.show(buffer, text.as_bytes());
            }
        }
    }
    let mut at = records;
    for (place, section) in SECTIONS.into_iter().enumerate() {
        let read = Section::read(message, at, header.counts[place + 1]);
        at = read.end;
        for rr in read.records() {
            if text.read(message, rr.name_at).is_none() {
                continue;
            }
            if place == 0 {
                rules.number(TYPE, rr.kind.into());
            }
            let own = own.get(place + 1).copied();
            let whole = [header.is_response().then_some(RESPONSE), own_response];
            let answer = (place == 0).then_some(ANSWER_NAME);
            for buffer in [Some(section), own, answer].into_iter().chain(whole).flatten() {
                rules.show(buffer, text.as_bytes());
            }
        }
    }
    rules.stage(name, transaction, way, true);
    rules.end(transaction);
}
