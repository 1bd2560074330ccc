//! What a rule says of itself: number, message, class, references, metadata.

use super::draft::Draft;
use super::value::{Value, Wrong};
use crate::rules::rule::{Effect, End};

/// Longest message, bytes.
const MESSAGE_BYTES_MAX: usize = 4_096;

/// References and metadata of a rule.
const LIST_MAX: usize = 256;

pub(super) fn msg(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    let text = value.unquoted().ok_or_else(|| value.expected("a message in double quotes"))?;
    if text.bytes().len() > MESSAGE_BYTES_MAX {
        return Err(text.wrong(format!("a message has at most {MESSAGE_BYTES_MAX} bytes")));
    }
    let mut message = Vec::with_capacity(text.bytes().len());
    let mut is_escaped = false;
    for byte in text.bytes() {
        if *byte == b'\\' && !is_escaped {
            is_escaped = true;
            continue;
        }
        // What needs no `\` keeps it.
        if is_escaped && !b";\\\":".contains(byte) {
            message.push(b'\\');
        }
        message.push(*byte);
        is_escaped = false;
    }
    draft.rule.message = String::from_utf8_lossy(&message).into();
    Ok(())
}

pub(super) fn sid(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    if draft.rule.sid != 0 {
        return Err(value.wrong("the rule has a sid already"));
    }
    draft.rule.sid = value.maybe_unquoted().number(1, u32::MAX.into())? as u32;
    Ok(())
}

pub(super) fn gid(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    draft.rule.generator = value.maybe_unquoted().number(0, u32::MAX.into())? as u32;
    Ok(())
}

pub(super) fn rev(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    draft.rule.revision = value.maybe_unquoted().number(0, u32::MAX.into())? as u32;
    Ok(())
}

pub(super) fn classtype(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    draft.rule.class = Some(value.maybe_unquoted().name()?.into());
    Ok(())
}

pub(super) fn priority(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    draft.rule.priority = Some(value.maybe_unquoted().number(0, 255)? as u8);
    Ok(())
}

/// `reference:scheme,what`.
pub(super) fn reference(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    let split = value.maybe_unquoted().split_once(b',');
    let (scheme, what) =
        split.ok_or_else(|| value.expected("a scheme and what it names with a comma between"))?;
    let scheme = scheme.name()?.into();
    let what = String::from_utf8_lossy(what.bytes()).into();
    draft.rule.references.push((scheme, what));
    is_bounded(value, draft.rule.references.len())
}

/// `metadata:name value, name value`; a name may stand alone.
pub(super) fn metadata(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    for piece in value.split(b',').filter(|piece| !piece.is_empty()) {
        let (name, said) = piece.split_once(b' ').unwrap_or((piece, piece.part(0, 0)));
        let text = |value: Value<'_>| String::from_utf8_lossy(value.bytes()).into();
        draft.rule.metadata.push((text(name), text(said)));
    }
    is_bounded(value, draft.rule.metadata.len())
}

fn is_bounded(value: Value<'_>, items: usize) -> Result<(), Wrong> {
    if items <= LIST_MAX {
        Ok(())
    } else {
        Err(value.wrong(format!("a rule has at most {LIST_MAX} of them")))
    }
}

pub(super) fn target(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    draft.rule.target = Some(match () {
        () if value.is("src_ip") => End::Source,
        () if value.is("dest_ip") => End::Destination,
        () => return Err(value.expected("src_ip or dest_ip")),
    });
    Ok(())
}

pub(super) fn noalert(draft: &mut Draft<'_>, _value: Value<'_>) -> Result<(), Wrong> {
    draft.rule.is_silent = true;
    Ok(())
}

/// A match is told, whatever was said before: of a rule that passes, too.
pub(super) fn alert(draft: &mut Draft<'_>, _value: Value<'_>) -> Result<(), Wrong> {
    draft.rule.is_silent = false;
    Ok(())
}

/// `config:logging disable, type tx, scope tx`: no record is written of a transaction.
pub(super) fn config(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    let pieces: Vec<_> = value.split(b',').collect();
    let [what, kind, scope] = pieces[..] else {
        return Err(value.expected("`logging disable, type tx, scope tx`"));
    };
    let is = |piece: Value<'_>, words: [&str; 2]| {
        let mut said = piece.words();
        words.into_iter().all(|word| said.next().is_some_and(|said| said.is(word))) && said.next().is_none()
    };
    if is(what, ["tracking", "disable"]) {
        return Err(what.unsupported("flows are always tracked"));
    }
    if !is(what, ["logging", "disable"]) {
        return Err(what.expected("logging disable"));
    }
    if !is(kind, ["type", "tx"]) {
        return Err(kind.expected("type tx"));
    }
    if !is(scope, ["scope", "tx"]) {
        return Err(scope.expected("scope tx"));
    }
    draft.effect(Effect::HideRecord)
}

pub(super) fn prefilter(draft: &mut Draft<'_>, _value: Value<'_>) -> Result<(), Wrong> {
    draft.rule.prefilter = true;
    Ok(())
}

pub(super) fn bypass(draft: &mut Draft<'_>, _value: Value<'_>) -> Result<(), Wrong> {
    draft.rule.bypass = true;
    Ok(())
}

/// `requires:feature X, version >= 7.0.3 | < 8`: a rule for other engines is refused with the reason.
pub(super) fn requires(_draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    for piece in value.split(b',') {
        let words: Vec<_> = piece.words().collect();
        match &words[..] {
            [word, versions @ ..] if word.is("version") => {
                let mut holds = false;
                for alternative in versions.split(|word| word.is("|")) {
                    holds |= version_holds(piece, alternative)?;
                }
                if !holds {
                    return Err(
                        piece.unsupported(format!("it is for other versions than {LANGUAGE_VERSION:?}"))
                    );
                }
            }
            [word, feature] if word.is("feature") => {
                return Err(feature.unsupported("it takes a feature that this engine does not have"));
            }
            [word, keyword] if word.is("keyword") => {
                let name = keyword.text()?;
                if !super::keywords::is_known(name) {
                    return Err(keyword.unsupported(format!("it takes the keyword {name}")));
                }
            }
            _ => return Err(piece.expected("version, feature or keyword and what is required")),
        }
    }
    Ok(())
}

/// Version of Suricata whose language this is.
const LANGUAGE_VERSION: [u64; 3] = [9, 0, 0];

fn version_holds(piece: Value<'_>, words: &[Value<'_>]) -> Result<bool, Wrong> {
    let mut holds = !words.is_empty();
    // `>= 7.0.3`, or without the space.
    let mut index = 0;
    while let Some(word) = words.get(index) {
        let len = word.bytes().iter().take_while(|byte| b"<>=".contains(byte)).count();
        let (sign, mut version) = (word.part(0, len), word.part(len, word.bytes().len()));
        if version.is_empty() {
            index += 1;
            version = *words.get(index).ok_or_else(|| piece.expected("a version after its comparison"))?;
        }
        index += 1;
        let mut numbers = [0; 3];
        for (number, text) in numbers.iter_mut().zip(version.split(b'.')) {
            *number = text.unsigned(u16::MAX.into())?;
        }
        holds &= match sign.bytes() {
            b">=" => LANGUAGE_VERSION >= numbers,
            b">" => LANGUAGE_VERSION > numbers,
            b"<=" => LANGUAGE_VERSION <= numbers,
            b"<" => LANGUAGE_VERSION < numbers,
            _ => return Err(piece.expected("one of < <= > >= before a version")),
        };
    }
    Ok(holds)
}
