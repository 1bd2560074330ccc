//! What is remembered from packet to packet: `flow`, `flowbits`, `flowint`, `xbits`, `hostbits`, `tag`, `stream_size`; and how
//! matches are counted: `threshold`, `detection_filter`.

use super::draft::Draft;
use super::numbers;
use super::value::{Value, Wrong};
use crate::flow::Direction;
use crate::rules::rule::{
    BitQuery, Condition, DetectionFilter, Effect, End, IntChange, IntComparison, IntQuery, IntValue,
    StreamEnd, StreamSize, Tag, TagUnit, Threshold, ThresholdKind, Track, UniqueOn, Where,
};

pub(super) fn flow(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    let flow = &mut draft.rule.flow;
    for word in value.split(b',') {
        let twice = || word.wrong("it says the opposite of another word, or the same twice");
        match () {
            () if word.is("to_server") || word.is("from_client") => {
                set(&mut flow.way, Direction::Forward).map_err(|()| twice())?
            }
            () if word.is("to_client") || word.is("from_server") => {
                set(&mut flow.way, Direction::Reverse).map_err(|()| twice())?
            }
            () if word.is("established") => set(&mut flow.established, true).map_err(|()| twice())?,
            () if word.is("not_established") => set(&mut flow.established, false).map_err(|()| twice())?,
            // Whatever the state is.
            () if word.is("stateless") => {}
            () if word.is("only_stream") => set(&mut flow.stream, true).map_err(|()| twice())?,
            () if word.is("no_stream") => set(&mut flow.stream, false).map_err(|()| twice())?,
            () if word.is("only_frag") => set(&mut flow.fragments, true).map_err(|()| twice())?,
            () if word.is("no_frag") => set(&mut flow.fragments, false).map_err(|()| twice())?,
            () => {
                return Err(word.expected(
                    "to_server, to_client, established, not_established, stateless, only_stream, no_stream, only_frag or no_frag",
                ));
            }
        }
    }
    Ok(())
}

fn set<T: PartialEq>(place: &mut Option<T>, what: T) -> Result<(), ()> {
    match place.replace(what) {
        None => Ok(()),
        Some(_) => Err(()),
    }
}

/// Names with `|` between: one of them will do.
fn names(text: Value<'_>) -> Result<Vec<Box<str>>, Wrong> {
    text.split(b'|').map(|name| name.name().map(Into::into)).collect()
}

pub(super) fn flowbits(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    let value = value.maybe_unquoted();
    if value.is("noalert") {
        draft.rule.is_silent = true;
        return Ok(());
    }
    let (command, name) = value
        .split_once(b',')
        .ok_or_else(|| value.expected("noalert, or a command and a name with a comma between"))?;
    bits(draft, Where::Flow, command, name, None)
}

/// A command about bits, as `flowbits`, `xbits` and `hostbits` have it.
fn bits(
    draft: &mut Draft<'_>,
    place: Where,
    command: Value<'_>,
    name: Value<'_>,
    seconds: Option<u32>,
) -> Result<(), Wrong> {
    let query = |query: BitQuery| match place {
        Where::Flow => Condition::FlowBits(query),
        other => Condition::XBits(other, query),
    };
    let one = || name.name().map(Box::from);
    match () {
        () if command.is("set") => draft.effect(Effect::Set(place, one()?, seconds)),
        () if command.is("unset") => draft.effect(Effect::Unset(place, one()?)),
        () if command.is("toggle") => draft.effect(Effect::Toggle(place, one()?)),
        () if command.is("isset") => draft.condition(query(BitQuery::IsSet(names(name)?))),
        () if command.is("isnotset") => draft.condition(query(BitQuery::IsNotSet(names(name)?))),
        () => Err(command.expected("set, unset, toggle, isset or isnotset")),
    }
}

/// `xbits:command,name,track by[,expire seconds]`.
pub(super) fn xbits(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    if value.is("noalert") {
        draft.rule.is_silent = true;
        return Ok(());
    }
    let pieces: Vec<_> = value.split(b',').collect();
    let [command, name, rest @ ..] = &pieces[..] else {
        return Err(value.expected("a command, a name and `track` with commas between"));
    };
    let (mut place, mut seconds) = (None, None);
    for piece in rest {
        let words: Vec<_> = piece.words().collect();
        match &words[..] {
            [word, by] if word.is("track") => {
                place = Some(match () {
                    () if by.is("ip_src") => Where::Source,
                    () if by.is("ip_dst") => Where::Destination,
                    () if by.is("ip_pair") => Where::Pair,
                    () if by.is("tx") => Where::Transaction,
                    () => return Err(by.expected("ip_src, ip_dst, ip_pair or tx")),
                });
            }
            [word, number] if word.is("expire") => seconds = Some(number.number(1, u32::MAX.into())? as u32),
            _ => return Err(piece.expected("`track` and by what, or `expire` and seconds")),
        }
    }
    let place = place.ok_or_else(|| value.wrong("`track` is missing: ip_src, ip_dst, ip_pair or tx"))?;
    // Suricata keeps them for half a minute where nothing is said.
    bits(draft, place, *command, *name, Some(seconds.unwrap_or(30)))
}

/// `hostbits:command,name[,src|dst|both]`.
pub(super) fn hostbits(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    if value.is("noalert") {
        draft.rule.is_silent = true;
        return Ok(());
    }
    let pieces: Vec<_> = value.split(b',').collect();
    let (command, name, place) = match &pieces[..] {
        [command, name] => (command, name, Where::Source),
        [command, name, by] => (
            command,
            name,
            match () {
                () if by.is("src") => Where::Source,
                () if by.is("dst") => Where::Destination,
                () if by.is("both") => Where::Both,
                () => return Err(by.expected("src, dst or both")),
            },
        ),
        _ => return Err(value.expected("a command, a name and maybe src, dst or both with commas between")),
    };
    bits(draft, place, *command, *name, None)
}

/// `flowint:name,command[,number or name]`.
pub(super) fn flowint(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    let pieces: Vec<_> = value.split(b',').collect();
    let (name, command, operand) = match &pieces[..] {
        [name, command] => (name.name()?, *command, None),
        [name, command, operand] => (name.name()?, *command, Some(*operand)),
        _ => return Err(value.expected("a name, a command and maybe a value with commas between")),
    };
    if command.is("isset") {
        return draft.condition(Condition::FlowInt(name.into(), IntQuery::IsSet));
    }
    if command.is("notset") || command.is("isnotset") {
        return draft.condition(Condition::FlowInt(name.into(), IntQuery::IsNotSet));
    }
    let operand = operand.ok_or_else(|| value.expected("a value after the command"))?;
    let operand = match operand.looks_like_a_number() {
        true => IntValue::Number(operand.unsigned(u32::MAX.into())? as u32),
        false => IntValue::Name(operand.name()?.into()),
    };
    let comparison = match command.bytes() {
        b"<" => IntComparison::Less,
        b"<=" => IntComparison::LessOrEqual,
        b"==" => IntComparison::Equal,
        b"!=" => IntComparison::NotEqual,
        b">=" => IntComparison::GreaterOrEqual,
        b">" => IntComparison::Greater,
        other => {
            let change = match other {
                b"=" => IntChange::Set(operand),
                b"+" => IntChange::Add(operand),
                b"-" => IntChange::Subtract(operand),
                _ => return Err(command.expected("one of = + - < <= == != >= >, isset or notset")),
            };
            return draft.effect(Effect::Int(name.into(), change));
        }
    };
    draft.condition(Condition::FlowInt(name.into(), IntQuery::Compares(comparison, operand)))
}

/// `tag:session|host[, number, packets|bytes|seconds[, src|dst]]`; without a number 256 packets, of a host the source.
pub(super) fn tag(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    let pieces: Vec<_> = value.split(b',').collect();
    let (count, unit) = match (pieces.get(1), pieces.get(2)) {
        (None, _) => (256, TagUnit::Packets),
        (Some(count), Some(unit)) => (
            count.number(0, u32::MAX.into())? as u32,
            match () {
                () if unit.is("packets") => TagUnit::Packets,
                () if unit.is("bytes") => TagUnit::Bytes,
                () if unit.is("seconds") => TagUnit::Seconds,
                () => return Err(unit.expected("packets, bytes or seconds")),
            },
        ),
        (Some(count), None) => return Err(count.expected("a number and its unit")),
    };
    let end = match pieces.get(3) {
        None => End::Source,
        Some(end) if end.is("src") => End::Source,
        Some(end) if end.is("dst") => End::Destination,
        Some(end) => return Err(end.expected("src or dst")),
    };
    let host = match () {
        () if pieces[0].is("host") => Some(end),
        // Which end of a session means nothing, and Suricata takes it.
        () if pieces[0].is("session") => None,
        () => return Err(pieces[0].expected("session or host")),
    };
    if let Some(more) = pieces.get(4) {
        return Err(more.expected("nothing behind src or dst"));
    }
    draft.effect(Effect::Tag(Tag { host, count, unit }))
}

/// `stream_size:client|server|both|either,comparison,bytes`.
pub(super) fn stream_size(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    let (end, rest) =
        value.split_once(b',').ok_or_else(|| value.expected("whose bytes, a comparison and a number"))?;
    let of = match () {
        () if end.is("client") => StreamEnd::Client,
        () if end.is("server") => StreamEnd::Server,
        () if end.is("both") => StreamEnd::Both,
        () if end.is("either") => StreamEnd::Either,
        () => return Err(end.expected("client, server, both or either")),
    };
    // The comparison and the number have a comma between.
    let joined: Vec<u8> = rest.bytes().iter().copied().filter(|byte| *byte != b',').collect();
    let test = numbers::test(Value::new(&joined, rest.at()), u32::MAX.into(), &[])?;
    draft.condition(Condition::StreamSize(StreamSize { of, test }))
}

fn track(by: Value<'_>) -> Result<Track, Wrong> {
    Ok(match () {
        () if by.is("by_src") => Track::BySource,
        () if by.is("by_dst") => Track::ByDestination,
        () if by.is("by_both") => Track::ByBoth,
        () if by.is("by_rule") => Track::ByRule,
        () if by.is("by_flow") => Track::ByFlow,
        () => return Err(by.expected("by_src, by_dst, by_both, by_rule or by_flow")),
    })
}

/// What `threshold`, `detection_filter` and threshold.config's lines have in common.
#[derive(Debug, Default)]
pub(super) struct Counting {
    pub kind: Option<ThresholdKind>,
    pub track: Option<Track>,
    pub count: Option<u32>,
    pub seconds: Option<u32>,
    pub multiplier: Option<u32>,
    pub unique_on: Option<UniqueOn>,
}

impl Counting {
    pub(super) fn read(value: Value<'_>) -> Result<Self, Wrong> {
        Self::of(value.split(b',').filter(|piece| !piece.is_empty()))
    }

    pub(super) fn of<'a>(pieces: impl Iterator<Item = Value<'a>>) -> Result<Self, Wrong> {
        let mut read = Self::default();
        for piece in pieces {
            let words: Vec<_> = piece.words().collect();
            let [word, said] = &words[..] else {
                return Err(piece.expected("a word and its value, such as `count 5`"));
            };
            let number = || said.number(1, u32::MAX.into()).map(|number| number as u32);
            let is_new = match () {
                () if word.is("type") => {
                    let kind = match () {
                        () if said.is("limit") => ThresholdKind::Limit,
                        () if said.is("threshold") => ThresholdKind::Threshold,
                        () if said.is("both") => ThresholdKind::Both,
                        () if said.is("backoff") => ThresholdKind::Backoff,
                        () => return Err(said.expected("limit, threshold, both or backoff")),
                    };
                    read.kind.replace(kind).is_none()
                }
                () if word.is("track") => read.track.replace(track(*said)?).is_none(),
                () if word.is("count") => read.count.replace(number()?).is_none(),
                () if word.is("seconds") => read.seconds.replace(number()?).is_none(),
                () if word.is("multiplier") => read.multiplier.replace(number()?).is_none(),
                () if word.is("unique_on") => {
                    let what = match () {
                        () if said.is("src_port") => UniqueOn::SourcePort,
                        () if said.is("dst_port") => UniqueOn::DestinationPort,
                        () => return Err(said.expected("src_port or dst_port")),
                    };
                    read.unique_on.replace(what).is_none()
                }
                () => return Err(word.expected("type, track, count, seconds, multiplier or unique_on")),
            };
            if !is_new {
                return Err(word.wrong("it is there twice"));
            }
        }
        Ok(read)
    }
}

impl Counting {
    /// As a threshold, which stands at `value`.
    pub(super) fn threshold(&self, value: Value<'_>) -> Result<Threshold, Wrong> {
        let missing = |what: &str| value.wrong(format!("`{what}` is missing"));
        let kind = self.kind.ok_or_else(|| missing("type"))?;
        let is_backoff = kind == ThresholdKind::Backoff;
        Ok(Threshold {
            kind,
            track: self.track.ok_or_else(|| missing("track"))?,
            count: self.count.ok_or_else(|| missing("count"))?,
            seconds: if is_backoff { 0 } else { self.seconds.ok_or_else(|| missing("seconds"))? },
            multiplier: if is_backoff { self.multiplier.ok_or_else(|| missing("multiplier"))? } else { 1 },
        })
    }
}

pub(super) fn threshold(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    let threshold = Counting::read(value)?.threshold(value)?;
    if draft.rule.threshold.replace(threshold).is_some() || draft.rule.detection_filter.is_some() {
        return Err(value.wrong("a rule has one threshold or detection_filter"));
    }
    Ok(())
}

pub(super) fn detection_filter(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    let read = Counting::read(value)?;
    let missing = |what: &str| value.wrong(format!("`{what}` is missing"));
    let filter = DetectionFilter {
        track: read.track.ok_or_else(|| missing("track"))?,
        count: read.count.ok_or_else(|| missing("count"))?,
        seconds: read.seconds.ok_or_else(|| missing("seconds"))?,
        unique_on: read.unique_on,
    };
    if draft.rule.detection_filter.replace(filter).is_some() || draft.rule.threshold.is_some() {
        return Err(value.wrong("a rule has one threshold or detection_filter"));
    }
    Ok(())
}
