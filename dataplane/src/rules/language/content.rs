//! `content:` and the words behind it; `isdataat`, `bsize`, `pcre`.

use super::buffers::named;
use super::draft::Draft;
use super::numbers;
use super::value::{Value, Wrong};
use crate::rules::rule::{
    Amount, CaptureKind, Condition, Content, DataAt, Expression, ExpressionFlags, FastPattern, Group, Test,
};

/// Longest pattern, bytes.
const PATTERN_BYTES_MAX: usize = 8_192;

/// Longest expression, bytes.
const EXPRESSION_BYTES_MAX: usize = 8_192;

/// `content:"..."`, maybe after `!`.
pub(super) fn content(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    let (is_negated, bytes) = pattern(value)?;
    draft.test(Test::Content(Content { bytes, is_negated, ..Content::default() }))
}

/// `uricontent:"..."` is a content of `http.uri`.
pub(super) fn uricontent(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    content(draft, value)?;
    draft.move_last(named("http.uri"), value)
}

/// A quoted pattern, maybe after `!`.
pub(super) fn pattern(value: Value<'_>) -> Result<(bool, Box<[u8]>), Wrong> {
    let (is_negated, text) = value.negated();
    let inner = text.unquoted().ok_or_else(|| text.expected("a pattern in double quotes"))?;
    let bytes = unescaped(inner)?;
    if bytes.is_empty() {
        return Err(text.wrong("the pattern is empty"));
    }
    if bytes.len() > PATTERN_BYTES_MAX {
        return Err(
            text.wrong(format!("a pattern has at most {PATTERN_BYTES_MAX} bytes, this one {}", bytes.len()))
        );
    }
    Ok((is_negated, bytes.into()))
}

/// The bytes of a pattern: `|41 42|` are hexadecimal, `\` stands before what is meant as it is.
pub(super) fn unescaped(text: Value<'_>) -> Result<Vec<u8>, Wrong> {
    let mut bytes = Vec::with_capacity(text.bytes().len());
    let (mut is_hex, mut high, mut is_escaped) = (false, None, false);
    for (index, byte) in text.bytes().iter().enumerate() {
        let here = || text.part(index, index + 1);
        if is_hex {
            match (byte, char::from(*byte).to_digit(16), high) {
                (b'|', _, None) => is_hex = false,
                (b'|', _, Some(_)) => {
                    return Err(here().wrong("a hexadecimal byte has two digits, this has one"));
                }
                (b' ' | b'\t', ..) => {}
                (_, Some(digit), None) => high = Some(digit as u8),
                (_, Some(digit), Some(first)) => {
                    bytes.push(first << 4 | digit as u8);
                    high = None;
                }
                _ => return Err(here().expected("a hexadecimal digit or `|`")),
            }
        } else if is_escaped {
            if !b":;\\\"|".contains(byte) {
                return Err(here().expected("one of `: ; \\ \" |` after `\\`"));
            }
            bytes.push(*byte);
            is_escaped = false;
        } else {
            match byte {
                b'\\' => is_escaped = true,
                b'|' => is_hex = true,
                b'"' => return Err(here().wrong("a `\"` within a pattern has `\\` before it")),
                _ => bytes.push(*byte),
            }
        }
    }
    if is_hex || is_escaped {
        return Err(text.wrong("the pattern ends within `|...|` or behind a `\\`"));
    }
    Ok(bytes)
}

/// Changes the content before the word.
fn change(
    draft: &mut Draft<'_>,
    value: Value<'_>,
    change: impl FnOnce(&mut Content) -> Result<(), Wrong>,
) -> Result<(), Wrong> {
    match draft.last_content() {
        Some(content) => change(content),
        None => Err(value.wrong("it belongs to a content, and none stands before it")),
    }
}

pub(super) fn nocase(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    change(draft, value, |content| {
        content.nocase = true;
        Ok(())
    })
}

/// `replace:"bytes"`: as many bytes as the content before it has.
pub(super) fn replace(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    let inner = value.unquoted().ok_or_else(|| value.expected("bytes in double quotes"))?;
    let bytes = unescaped(inner)?;
    change(draft, value, |content| {
        if content.is_negated {
            return Err(value.wrong("what is not there cannot be replaced"));
        }
        let (own, wanted) = (bytes.len(), content.bytes.len());
        if own != wanted {
            return Err(value.wrong(format!("{own} bytes cannot take the place of the content's {wanted}")));
        }
        content.replacement = Some(bytes.into());
        Ok(())
    })
}

/// What has no meaning for us: packets and streams are one buffer.
pub(super) fn rawbytes(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    change(draft, value, |_content| Ok(()))
}

/// Offsets and lengths that a rule may give.
const AMOUNT_MAX: i64 = 65_535;

/// Offsets and lengths from the match before.
const RELATIVE_MAX: i64 = 1_048_576;

pub(super) fn offset(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    place(draft, value, (-AMOUNT_MAX, AMOUNT_MAX), false, |content| &mut content.offset)
}

pub(super) fn depth(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    place(draft, value, (0, AMOUNT_MAX), true, |content| &mut content.depth)
}

pub(super) fn distance(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    place(draft, value, (-RELATIVE_MAX, RELATIVE_MAX), false, |content| &mut content.distance)
}

pub(super) fn within(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    place(draft, value, (-RELATIVE_MAX, RELATIVE_MAX), true, |content| &mut content.within)
}

/// Says where the content before the word lies; `is_room`: in so many bytes.
fn place(
    draft: &mut Draft<'_>,
    value: Value<'_>,
    (from, to): (i64, i64),
    is_room: bool,
    of: fn(&mut Content) -> &mut Option<Amount>,
) -> Result<(), Wrong> {
    let amount = draft.amount(value, from, to)?;
    change(draft, value, |content| {
        not_twice(value, of(content).is_some())?;
        not_with(value, content.startswith, "startswith")?;
        if is_room {
            has_room(value, content, amount)?;
        }
        *of(content) = Some(amount);
        Ok(())
    })
}

pub(super) fn startswith(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    change(draft, value, |content| {
        let is_placed = content.offset.is_some() || content.depth.is_some();
        let is_relative = content.distance.is_some() || content.within.is_some();
        not_with(value, is_placed || is_relative, "offset, depth, distance or within")?;
        content.startswith = true;
        Ok(())
    })
}

pub(super) fn endswith(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    change(draft, value, |content| {
        content.endswith = true;
        Ok(())
    })
}

pub(super) fn fast_pattern(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    let fast = if value.is_empty() {
        FastPattern::Whole
    } else if value.is("only") {
        FastPattern::Only
    } else {
        let (offset, length) = value.split_once(b',').ok_or_else(|| {
            value.expected("nothing, `only`, or an offset and a length with a comma between")
        })?;
        FastPattern::Chop(offset.number(0, AMOUNT_MAX)? as u16, length.number(1, AMOUNT_MAX)? as u16)
    };
    if draft.has_fast_pattern() {
        return Err(value.wrong("a rule has one fast pattern, and this one has it already"));
    }
    change(draft, value, |content| {
        not_twice(value, content.fast_pattern.is_some())?;
        if let FastPattern::Chop(offset, length) = fast
            && usize::from(offset) + usize::from(length) > content.bytes.len()
        {
            return Err(value.wrong(format!(
                "the part ends behind the pattern, which has {} bytes",
                content.bytes.len()
            )));
        }
        let is_placed = content.offset.is_some() || content.depth.is_some();
        if content.is_negated && (is_placed || content.distance.is_some() || content.within.is_some()) {
            return Err(value.wrong("a negated content that has a place finds no rule"));
        }
        content.fast_pattern = Some(fast);
        Ok(())
    })
}

fn not_twice(value: Value<'_>, is_there: bool) -> Result<(), Wrong> {
    if is_there { Err(value.wrong("the content has it already")) } else { Ok(()) }
}

fn not_with(value: Value<'_>, is_there: bool, other: &str) -> Result<(), Wrong> {
    if is_there { Err(value.wrong(format!("it does not go together with {other}"))) } else { Ok(()) }
}

/// A pattern that is longer than where it must lie is never found.
fn has_room(value: Value<'_>, content: &Content, amount: Amount) -> Result<(), Wrong> {
    match amount {
        Amount::Number(number) if number < content.bytes.len() as i64 => Err(value.expected(&format!(
            "at least the {} bytes of the pattern, which is never found in fewer",
            content.bytes.len()
        ))),
        _ => Ok(()),
    }
}

/// `isdataat:[!]N[,relative][,rawbytes]`; of `!1,relative` after a content nothing is left but its `endswith`.
pub(super) fn isdataat(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    let mut pieces = value.split(b',');
    let first = pieces.next().unwrap_or(value);
    let (is_negated, amount) = first.negated();
    let bytes = draft.amount(amount, 0, AMOUNT_MAX)?;
    let mut is_relative = false;
    for piece in pieces {
        match piece.is("relative") {
            true => is_relative = true,
            false if piece.is("rawbytes") => {}
            false => return Err(piece.expected("relative or rawbytes")),
        }
    }
    draft.test(Test::DataAt(DataAt { bytes, is_negated, is_relative }))
}

pub(super) fn bsize(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    let test = numbers::test(value, u64::MAX, &[])?;
    if draft.is_in_payload() {
        return Err(
            value.wrong("it belongs to a buffer, and none is named before it; of packets the size is dsize")
        );
    }
    draft.test(Test::Size(test))
}

/// `absent` or `absent:or_else`.
pub(super) fn absent(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    let or_else = value.is("or_else");
    if !or_else && !value.is_empty() {
        return Err(value.expected("nothing or `or_else`"));
    }
    if draft.is_in_payload() {
        return Err(value.wrong("it belongs to a buffer, and none is named before it"));
    }
    draft.test(Test::Absent { or_else })
}

/// `pcre:"/expression/flags"`, maybe after `!`; names for its groups may follow.
pub(super) fn pcre(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    let (is_negated, text) = value.negated();
    let inner = text.maybe_unquoted();
    // Some write the negation inside.
    let (is_negated_within, inner) = inner.negated();
    let bytes = inner.bytes();
    let last = bytes.iter().rposition(|byte| *byte == b'/').filter(|last| *last > 0 && bytes[0] == b'/');
    let last = last.ok_or_else(|| inner.expected("an expression between two `/`"))?;
    let pattern = inner.part(1, last);
    if pattern.bytes().len() > EXPRESSION_BYTES_MAX {
        return Err(pattern.wrong(format!("an expression has at most {EXPRESSION_BYTES_MAX} bytes")));
    }
    let behind = inner.part(last + 1, bytes.len());
    let is_between = |byte: &u8| matches!(byte, b',' | b' ');
    let end = behind.bytes().iter().position(is_between).unwrap_or_else(|| behind.bytes().len());
    let (letters, names) = (behind.part(0, end), behind.part(end, behind.bytes().len()));
    let captures = captures(draft, pattern, names)?;
    let mut flags = ExpressionFlags::default();
    let (mut buffer, mut is_relative) = (None, false);
    for (index, letter) in letters.bytes().iter().enumerate() {
        let here = letters.part(index, index + 1);
        match letter {
            b'i' => flags.caseless = true,
            b'm' => flags.multiline = true,
            b's' => flags.dotall = true,
            b'x' => flags.extended = true,
            b'A' => flags.anchored = true,
            b'E' => flags.dollar_endonly = true,
            b'G' => flags.ungreedy = true,
            b'R' => is_relative = true,
            // Of the packet, as it came; limits of our own stand for `O`.
            b'B' | b'O' => {}
            other => {
                let name = legacy_buffer(*other).ok_or_else(|| here.expected("a flag of pcre"))?;
                if buffer.replace(name).is_some_and(|before| before != name) {
                    return Err(here.wrong("an expression looks into one buffer, and its flags name two"));
                }
            }
        }
    }
    // Bytes above 127 are themselves, not UTF-8: each is a character of its own.
    let pattern: String = pattern.bytes().iter().map(|byte| char::from(*byte)).collect();
    let expression = Expression {
        pattern: pattern.into(),
        flags,
        is_negated: is_negated != is_negated_within,
        is_relative,
        captures,
    };
    match buffer {
        None => draft.test(Test::Expression(expression)),
        Some(name) => draft.test_in(named(name), Test::Expression(expression), value),
    }
}

/// Groups that are kept: those whose name says it, `(?P<flow_name>...)`, and by their order those that `names` name behind the
/// flags, `flow:name, pkt:name, alert:name`.
fn captures(draft: &mut Draft<'_>, pattern: Value<'_>, names: Value<'_>) -> Result<Vec<(Group, u8)>, Wrong> {
    const KINDS: [(&str, CaptureKind); 3] =
        [("flow", CaptureKind::Flow), ("pkt", CaptureKind::Packet), ("alert", CaptureKind::Alert)];
    let of = |word: &[u8]| KINDS.iter().find(|(name, _)| name.as_bytes() == word).map(|(_, kind)| *kind);
    let mut captures = Vec::new();
    let pieces = names.split(b',').flat_map(|piece| piece.split(b' ')).filter(|piece| !piece.is_empty());
    for (place, piece) in pieces.enumerate() {
        let named = piece.split_once(b':').and_then(|(word, name)| Some((of(word.bytes())?, name)));
        let (kind, name) = named.ok_or_else(|| piece.expected("flow:, pkt: or alert: and a name"))?;
        captures.push((Group::Number(place as u8 + 1), draft.capture(kind, name)?));
    }
    let bytes = pattern.bytes();
    for at in (0..bytes.len()).filter(|at| bytes[*at..].starts_with(b"(?P<")) {
        let Some(len) = bytes[at + 4..].iter().position(|byte| *byte == b'>') else { break };
        let group = pattern.part(at + 4, at + 4 + len);
        let Some((kind, name)) =
            group.split_once(b'_').and_then(|(word, name)| Some((of(word.bytes())?, name)))
        else {
            continue;
        };
        let name_of_group = String::from_utf8_lossy(group.bytes()).into();
        captures.push((Group::Name(name_of_group), draft.capture(kind, name)?));
    }
    Ok(captures)
}

/// `flowvar:name,"bytes"`.
pub(super) fn flowvar(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    captured(draft, value, false)
}

/// `pktvar:name,"bytes"`.
pub(super) fn pktvar(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    captured(draft, value, true)
}

fn captured(draft: &mut Draft<'_>, value: Value<'_>, of_packet: bool) -> Result<(), Wrong> {
    let (name, text) = value.split_once(b',').ok_or_else(|| value.expected("a name and a pattern"))?;
    let bytes = unescaped(text.trim().maybe_unquoted())?;
    if bytes.is_empty() {
        return Err(text.wrong("the pattern is empty"));
    }
    let name = name.trim().name()?.into();
    draft.condition(Condition::Captured { of_packet, name, bytes: bytes.into() })
}

/// Flags of the older language, which name a buffer.
const fn legacy_buffer(flag: u8) -> Option<&'static str> {
    Some(match flag {
        b'U' => "http.uri",
        b'I' => "http.uri.raw",
        b'P' => "http.request_body",
        // Bodies of answers are files.
        b'Q' => "file.data",
        b'H' => "http.header",
        b'D' => "http.header.raw",
        b'M' => "http.method",
        b'C' => "http.cookie",
        b'S' => "http.stat_code",
        b'Y' => "http.stat_msg",
        b'V' => "http.user_agent",
        b'W' => "http.host",
        b'Z' => "http.host.raw",
        _ => return None,
    })
}
