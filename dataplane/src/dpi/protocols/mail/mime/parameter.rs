//! What is the parameter of a header's value called so? (RFC 2045 5.1, RFC 2231, RFC 2047)

use super::coding::{Decoder, hex};

/// Sections of one parameter that are put together (RFC 2231 3).
const SECTIONS_MAX: u8 = 64;

/// Bytes of a parameter's value.
const VALUE_BYTES_MAX: usize = 2_048;

/// The value of the parameter `name`; sections are put together, and what is escaped is not any more.
pub(in crate::dpi::protocols) fn parameter(value: &[u8], name: &str) -> Option<Vec<u8>> {
    let mut sections: Vec<(u8, Vec<u8>)> = Vec::new();
    let mut whole = None;
    for (key, text) in Parameters(value) {
        let Some(rest) = strip(key, name.as_bytes()) else { continue };
        match rest {
            b"" if whole.is_none() => whole = Some(text),
            b"" => {}
            // `name*`: RFC 2231 4, which says more than what stands without the star.
            b"*" => whole = Some(unescaped(&text, true)),
            [b'*', rest @ ..] => {
                let is_escaped = rest.last() == Some(&b'*');
                let number = rest.strip_suffix(b"*").unwrap_or(rest);
                let number = crate::dpi::text::decimal(number).and_then(|number| u8::try_from(number).ok());
                let Some(number) = number.filter(|number| *number < SECTIONS_MAX) else { continue };
                if sections.iter().all(|(known, _)| *known != number) {
                    let text = if is_escaped { unescaped(&text, number == 0) } else { text };
                    sections.push((number, text));
                }
            }
            _ => {}
        }
    }
    let mut value = whole.or_else(|| {
        sections.sort_unstable_by_key(|(number, _)| *number);
        let follows = |(place, (number, _)): &(usize, &(u8, Vec<u8>))| *place == usize::from(*number);
        let texts = sections.iter().enumerate().take_while(follows).map(|(_, (_, text))| text.as_slice());
        let joined = texts.collect::<Vec<_>>().concat();
        (!joined.is_empty()).then_some(joined)
    })?;
    value.truncate(VALUE_BYTES_MAX);
    Some(value)
}

/// Whether a parameter of this name comes twice.
pub(super) fn is_repeated(value: &[u8], name: &str) -> bool {
    Parameters(value).filter(|(key, _)| key.eq_ignore_ascii_case(name.as_bytes())).nth(1).is_some()
}

fn strip<'a>(key: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (own, rest) = key.split_at_checked(name.len())?;
    own.eq_ignore_ascii_case(name).then_some(rest)
}

/// `%41`, behind a character set and a language where `has_set`.
fn unescaped(text: &[u8], has_set: bool) -> Vec<u8> {
    let text = match text.splitn(3, |byte| *byte == b'\'').nth(2) {
        Some(rest) if has_set => rest,
        _ => text,
    };
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, after @ ..] = rest {
        rest = match (first, after) {
            (b'%', [high, low, after @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                out.push(hex(*high) << 4 | hex(*low));
                after
            }
            _ => {
                out.push(*first);
                after
            }
        };
    }
    out
}

/// Parameters behind a value: `key=token`, `key="quoted"`.
struct Parameters<'a>(&'a [u8]);

impl<'a> Iterator for Parameters<'a> {
    type Item = (&'a [u8], Vec<u8>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let from = self.0.iter().position(|byte| *byte == b';')? + 1;
            let rest = self.0.get(from..)?.trim_ascii_start();
            self.0 = rest;
            let end = rest.iter().position(|byte| matches!(byte, b'=' | b';'))?;
            let (key, after) = rest.split_at_checked(end)?;
            let [b'=', after @ ..] = after else { continue };
            let after = after.trim_ascii_start();
            let (text, left) = match after {
                [b'"', quoted @ ..] => quoted_text(quoted),
                _ => {
                    let end = after.iter().position(|byte| *byte == b';').unwrap_or(after.len());
                    let (text, left) = after.split_at_checked(end)?;
                    (text.trim_ascii_end().to_vec(), left)
                }
            };
            self.0 = left;
            return Some((key.trim_ascii_end(), text));
        }
    }
}

/// Up to the closing quote, or all of it where there is none.
fn quoted_text(text: &[u8]) -> (Vec<u8>, &[u8]) {
    let mut out = Vec::new();
    let mut rest = text;
    loop {
        rest = match rest {
            [] => return (out, rest),
            [b'"', after @ ..] => return (out, after),
            [b'\\', escaped @ (b'"' | b'\\'), after @ ..] => {
                out.push(*escaped);
                after
            }
            [byte, after @ ..] => {
                out.push(*byte);
                after
            }
        };
    }
}

/// A text in which words are encoded (RFC 2047 2), decoded; `None`: none of them is.
pub(in super::super) fn words(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut rest = text;
    let mut is_any = false;
    while let Some(at) = rest.windows(2).position(|pair| pair == b"=?") {
        let (before, from) = rest.split_at_checked(at)?;
        let Some((decoded, after)) = word(from) else {
            out.extend_from_slice(rest.get(..at + 2)?);
            rest = rest.get(at + 2..)?;
            continue;
        };
        // RFC 2047 6.2: blanks between two of them are none.
        if !(is_any && before.iter().all(u8::is_ascii_whitespace)) {
            out.extend_from_slice(before);
        }
        out.extend_from_slice(&decoded);
        (is_any, rest) = (true, after);
    }
    out.extend_from_slice(rest);
    is_any.then_some(out)
}

/// `=?charset?B?text?=`.
fn word(from: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut pieces = from.get(2..)?.splitn(3, |byte| *byte == b'?');
    let (_charset, coding, rest) = (pieces.next()?, pieces.next()?, pieces.next()?);
    let end = rest.windows(2).position(|pair| pair == b"?=")?;
    let (text, after) = rest.split_at_checked(end)?;
    let mut out = Vec::new();
    let mut decoder = match coding {
        b"B" | b"b" => Decoder::of(b"base64"),
        b"Q" | b"q" => Decoder::of(b"quoted-printable"),
        _ => return None,
    };
    let text: Vec<u8> = match coding {
        b"Q" | b"q" => text.iter().map(|byte| if *byte == b'_' { b' ' } else { *byte }).collect(),
        _ => text.to_vec(),
    };
    let _told = decoder.line(&text, b"", &mut out);
    let _ended = decoder.end(&mut out);
    Some((out, after.get(2..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_found_quoted_in_sections_and_escaped() {
        for (value, expected) in [
            ("attachment; filename=a.exe", Some("a.exe")),
            ("attachment; FileName = \"a; b.exe\" ; x=y", Some("a; b.exe")),
            ("attachment; filename=\"a\\\"b", Some("a\"b")),
            ("attachment; filename*0=\"one\"; filename*1=two", Some("onetwo")),
            ("attachment; filename*1=two; filename*0=one; filename*3=four", Some("onetwo")),
            ("attachment; filename*=UTF-8'en'a%20b%2", Some("a b%2")),
            ("attachment; filename*0*=UTF-8''a%20; filename*1=%20", Some("a %20")),
            ("attachment; filename", None),
            ("attachment; filename*999999999999=x", None),
            ("attachment; xfilename=x; ;;=;\"", None),
            ("", None),
        ] {
            let found = parameter(value.as_bytes(), "filename");
            assert_eq!(found.as_deref(), expected.map(str::as_bytes), "{value}");
        }
        assert!(is_repeated(b"text/plain; name=a; name=b", "name"));
        assert!(!is_repeated(b"text/plain; name=a", "name"));
    }

    #[test]
    fn encoded_words_are_decoded() {
        for (text, expected) in [
            ("=?utf-8?B?YS5leGU=?=", Some("a.exe")),
            ("=?utf-8?Q?a=2Ee_xe?= =?utf-8?q?!?= end", Some("a.e xe! end")),
            ("plain =? not one", None),
            ("=?utf-8?X?a?=", None),
            ("=?=?utf-8?Q?a?=", Some("=?a")),
            ("=?", None),
        ] {
            assert_eq!(words(text.as_bytes()).as_deref(), expected.map(str::as_bytes), "{text}");
        }
    }
}
