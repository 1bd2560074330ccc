//! How much a flow has had: `flow.age`, `flow.pkts`, `flow.bytes`. Asked at each packet, not at the end.

use super::draft::Draft;
use super::numbers;
use super::value::{Value, Wrong};
use crate::rules::rule::{Condition, FlowNumber, StreamEnd};

fn ask(draft: &mut Draft<'_>, number: FlowNumber, test: Value<'_>, max: u64) -> Result<(), Wrong> {
    draft.condition(Condition::Flow(number, numbers::test(test.maybe_unquoted(), max, &[])?))
}

/// `flow.age:test`, in seconds.
pub(super) fn age(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    ask(draft, FlowNumber::Age, value, u32::MAX.into())
}

/// The ends before the comma, and the test behind it.
fn ends<'a>(value: &Value<'a>) -> Result<(StreamEnd, Value<'a>), Wrong> {
    let (word, test) = value
        .split_once(b',')
        .ok_or_else(|| value.expected("toclient, toserver, either or both, a comma and a test"))?;
    let ends = match () {
        // What goes to an end comes from the other.
        () if word.is("toclient") => StreamEnd::Server,
        () if word.is("toserver") => StreamEnd::Client,
        () if word.is("either") => StreamEnd::Either,
        () if word.is("both") => StreamEnd::Both,
        () => return Err(word.expected("toclient, toserver, either or both")),
    };
    Ok((ends, test))
}

pub(super) fn packets(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    let (ends, test) = ends(&value)?;
    ask(draft, FlowNumber::Packets(ends), test, u32::MAX.into())
}

pub(super) fn packets_to_client(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    ask(draft, FlowNumber::Packets(StreamEnd::Server), value, u32::MAX.into())
}

pub(super) fn packets_to_server(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    ask(draft, FlowNumber::Packets(StreamEnd::Client), value, u32::MAX.into())
}

pub(super) fn bytes(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    let (ends, test) = ends(&value)?;
    ask(draft, FlowNumber::Bytes(ends), test, u64::MAX)
}

pub(super) fn bytes_to_client(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    ask(draft, FlowNumber::Bytes(StreamEnd::Server), value, u64::MAX)
}

pub(super) fn bytes_to_server(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    ask(draft, FlowNumber::Bytes(StreamEnd::Client), value, u64::MAX)
}
