//! What must hold of one packet: flags, options, addresses, checksums.

use super::draft::Draft;
use super::numbers;
use super::value::{Value, Wrong};
use crate::rules::rule::{BitTest, Condition, CountryTest, Ends, FlagTest, HowBits, IpOption, IpReputation};

pub(super) fn dsize(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    draft.condition(Condition::DataSize(numbers::test(value, 65_535, &[])?))
}

/// Letters of TCP's flags; `1` and `2` are what is now `C` and `E`.
const TCP_FLAGS: &[(u8, u8)] = &[
    (b'F', 0x01),
    (b'S', 0x02),
    (b'R', 0x04),
    (b'P', 0x08),
    (b'A', 0x10),
    (b'U', 0x20),
    (b'E', 0x40),
    (b'2', 0x40),
    (b'C', 0x80),
    (b'1', 0x80),
];

/// `flags:[*|+|!]letters[,letters that do not count]`.
pub(super) fn flags(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    let value = value.maybe_unquoted();
    let (tested, ignored) = value.split_once(b',').unwrap_or((value, value.part(0, 0)));
    let (how, letters) = how(tested);
    let flags = letters_of(letters, TCP_FLAGS)?;
    let ignored = letters_of(ignored, TCP_FLAGS)?;
    draft.condition(Condition::Flags(FlagTest { flags, ignored, how }))
}

/// `fragbits:[*|+|!]letters`: more, do not fragment, reserved.
pub(super) fn fragbits(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    let (how, letters) = how(value.maybe_unquoted());
    let bits = letters_of(letters, &[(b'M', 0x20), (b'D', 0x40), (b'R', 0x80)])?;
    draft.condition(Condition::FragmentBits(BitTest { bits, how }))
}

fn how(text: Value<'_>) -> (HowBits, Value<'_>) {
    let end = text.bytes().len();
    match text.bytes() {
        [b'+', ..] => (HowBits::All, text.part(1, end)),
        [b'*', ..] => (HowBits::Any, text.part(1, end)),
        [b'!' | b'-', ..] => (HowBits::Not, text.part(1, end)),
        // The sign may also stand last.
        [.., b'+'] => (HowBits::All, text.part(0, end - 1)),
        [.., b'*'] => (HowBits::Any, text.part(0, end - 1)),
        _ => (HowBits::Exactly, text),
    }
}

fn letters_of(text: Value<'_>, known: &[(u8, u8)]) -> Result<u8, Wrong> {
    let mut bits = 0;
    for (index, byte) in text.bytes().iter().enumerate() {
        let letter = byte.to_ascii_uppercase();
        match known.iter().find(|(known, _bit)| *known == letter) {
            Some((_letter, bit)) => bits |= bit,
            // No flag at all.
            None if letter == b'0' => {}
            None if letter.is_ascii_whitespace() => {}
            None => {
                let all: String = known.iter().map(|(letter, _bit)| char::from(*letter)).collect();
                return Err(text.part(index, index + 1).expected(&format!("one of the letters {all}, or 0")));
            }
        }
    }
    Ok(bits)
}

/// Names of IP options.
const IP_OPTIONS: &[(&str, IpOption)] = &[
    ("rr", IpOption::RecordRoute),
    ("eol", IpOption::EndOfList),
    ("nop", IpOption::NoOperation),
    ("ts", IpOption::Timestamp),
    ("sec", IpOption::Security),
    ("esec", IpOption::ExtendedSecurity),
    ("lsrr", IpOption::LooseSourceRoute),
    ("ssrr", IpOption::StrictSourceRoute),
    ("satid", IpOption::StreamId),
    ("cipso", IpOption::Cipso),
    ("rtralt", IpOption::RouterAlert),
    ("any", IpOption::Any),
];

pub(super) fn ipopts(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    let found = IP_OPTIONS.iter().find(|(name, _option)| value.is(name));
    let names: Vec<_> = IP_OPTIONS.iter().map(|(name, _option)| *name).collect();
    let (_name, option) = found.ok_or_else(|| value.expected(&format!("one of {}", names.join(", "))))?;
    draft.condition(Condition::IpOption(*option))
}

pub(super) fn sameip(draft: &mut Draft<'_>, _value: Value<'_>) -> Result<(), Wrong> {
    draft.condition(Condition::SameIp)
}

/// `geoip:[src|dst|any|both,][!]countries`.
pub(super) fn geoip(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    let mut pieces = value.split(b',').peekable();
    let ends = pieces.peek().and_then(|first| ends(*first));
    if ends.is_some() {
        pieces.next();
    }
    let (mut countries, mut is_negated) = (Vec::new(), false);
    for (index, piece) in pieces.enumerate() {
        let (not, country) = piece.negated();
        is_negated |= not && index == 0;
        let [first, second] = country.bytes() else {
            return Err(country.expected("a country of two letters"));
        };
        countries.push([first.to_ascii_uppercase(), second.to_ascii_uppercase()]);
    }
    if countries.is_empty() {
        return Err(value.expected("countries of two letters"));
    }
    draft.condition(Condition::Country(CountryTest {
        ends: ends.unwrap_or(Ends::Any),
        is_negated,
        countries,
    }))
}

fn ends(text: Value<'_>) -> Option<Ends> {
    Some(match () {
        () if text.is("src") => Ends::Source,
        () if text.is("dst") => Ends::Destination,
        () if text.is("any") => Ends::Any,
        () if text.is("both") => Ends::Both,
        () => return None,
    })
}

/// `iprep:src|dst|any|both,category,comparison,score`, or `isset`, `isnotset` in the place of both.
pub(super) fn iprep(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    let pieces: Vec<_> = value.split(b',').collect();
    let [end, category, rest @ ..] = &pieces[..] else {
        return Err(value.expected("whose reputation, in which category and how it compares"));
    };
    let ends = ends(*end).ok_or_else(|| end.expected("src, dst, any or both"))?;
    let test = match rest {
        [word] if word.is("isset") => Some(crate::rules::rule::NumberTest::GreaterOrEqual(0)),
        [word] if word.is("isnotset") => None,
        [..] => {
            let joined: Vec<u8> = rest.iter().flat_map(|piece| piece.bytes()).copied().collect();
            let at = rest.first().map_or(value.at(), |piece| piece.at());
            Some(numbers::test(Value::new(&joined, at), 127, &[])?)
        }
    };
    draft.condition(Condition::IpReputation(IpReputation { ends, category: category.name()?.into(), test }))
}
