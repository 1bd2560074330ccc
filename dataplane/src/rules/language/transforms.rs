//! What is done to a buffer before its tests see it.

use super::draft::Draft;
use super::value::{Value, Wrong};
use crate::rules::rule::{Amount, Base64Mode, Transform, XorKey};

/// Transforms without a value, by their words.
pub(super) const PLAIN: &[(&str, Transform)] = &[
    ("to_lowercase", Transform::ToLowercase),
    ("to_uppercase", Transform::ToUppercase),
    ("compress_whitespace", Transform::CompressWhitespace),
    ("strip_whitespace", Transform::StripWhitespace),
    ("strip_pseudo_headers", Transform::StripPseudoHeaders),
    ("header_lowercase", Transform::HeaderLowercase),
    ("dotprefix", Transform::DotPrefix),
    ("url_decode", Transform::UrlDecode),
    ("to_md5", Transform::ToMd5),
    ("to_sha1", Transform::ToSha1),
    ("to_sha256", Transform::ToSha256),
    ("domain", Transform::Domain),
    ("tld", Transform::Tld),
];

/// Bytes that are unpacked of one buffer where a rule does not say.
const UNPACKED_BYTES: u32 = 1_024;

/// Bytes that a rule may ask to unpack.
const UNPACKED_BYTES_MAX: i64 = 1 << 20;

/// `xor:[offset N,]"0d0ac8ff"` or `xor:[offset N,]extract BYTES OFFSET`: the key in hexadecimal digits, or how many bytes it
/// has and where they lie in the buffer.
pub(super) fn xor(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    let (offset, said) = match value.strip("offset") {
        None => (0, value),
        Some(rest) => {
            let (number, key) =
                rest.split_once(b',').ok_or_else(|| rest.expected("a number, a comma and the key"))?;
            (number.number(0, 65_535)? as u16, key)
        }
    };
    let key = match said.strip("extract") {
        None => XorKey::Given(key_of(said.maybe_unquoted())?),
        Some(place) => {
            let mut words = place.words();
            let (Some(len), Some(at), None) = (words.next(), words.next(), words.next()) else {
                return Err(place.expected("how many bytes the key has, and its offset"));
            };
            XorKey::Within { offset: at.number(0, 65_535)? as u16, len: len.number(1, 255)? as u8 }
        }
    };
    draft.transform(Transform::Xor { offset, key }, value)
}

fn key_of(text: Value<'_>) -> Result<Box<[u8]>, Wrong> {
    let digits = text.bytes();
    let pairs = digits.chunks_exact(2).map(|pair| {
        let text = std::str::from_utf8(pair).ok()?;
        u8::from_str_radix(text, 16).ok().filter(|_| pair[0] != b'+')
    });
    let key: Option<Vec<u8>> = pairs.collect();
    match key.filter(|key| !key.is_empty() && digits.len().is_multiple_of(2) && key.len() <= 256) {
        Some(key) => Ok(key.into()),
        None => Err(text.expected("a key of 1 to 256 bytes in hexadecimal digits")),
    }
}

/// `pcrexform:"expression"`: its first group is what tests see.
pub(super) fn pcrexform(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    let text = value.unquoted().ok_or_else(|| value.expected("an expression in double quotes"))?;
    let pattern: String = text.bytes().iter().map(|byte| char::from(*byte)).collect();
    draft.transform(Transform::PcreXform(pattern.into()), value)
}

/// `from_base64:[bytes N, offset N, mode rfc2045|rfc4648|strict]`.
pub(super) fn from_base64(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    let (mut bytes, mut offset, mut mode) = (None, Amount::Number(0), Base64Mode::default());
    for piece in value.split(b',').filter(|piece| !piece.is_empty()) {
        let (word, said) = piece.split_once(b' ').ok_or_else(|| piece.expected("a word and its value"))?;
        match () {
            () if word.is("bytes") => bytes = Some(draft.amount(said, 0, 65_535)?),
            () if word.is("offset") => offset = draft.amount(said, 0, 65_535)?,
            () if word.is("mode") && said.is("rfc2045") => mode = Base64Mode::Rfc2045,
            () if word.is("mode") && said.is("rfc4648") => mode = Base64Mode::Rfc4648,
            () if word.is("mode") && said.is("strict") => mode = Base64Mode::Strict,
            () if word.is("mode") => return Err(said.expected("rfc2045, rfc4648 or strict")),
            () => return Err(word.expected("bytes, offset or mode")),
        }
    }
    draft.transform(Transform::FromBase64 { bytes, offset, mode }, value)
}

fn bytes_max(value: Value<'_>) -> Result<u32, Wrong> {
    if value.is_empty() {
        return Ok(UNPACKED_BYTES);
    }
    let (word, said) =
        value.split_once(b' ').ok_or_else(|| value.expected("nothing, or `max-size` and a number"))?;
    if !word.is("max-size") {
        return Err(word.expected("max-size"));
    }
    said.number(1, UNPACKED_BYTES_MAX).map(|number| number as u32)
}

pub(super) fn gunzip(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    draft.transform(Transform::Gunzip { bytes_max: bytes_max(value)? }, value)
}

pub(super) fn zlib_deflate(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    draft.transform(Transform::ZlibDeflate { bytes_max: bytes_max(value)? }, value)
}

/// `subslice:offset[,length][,truncate]`; a negative offset counts from the end.
pub(super) fn subslice(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    let (mut numbers, mut truncate) = (Vec::new(), false);
    for piece in value.split(b',') {
        if piece.is("truncate") {
            truncate = true;
        } else {
            numbers.push(piece.number(-65_535, 65_535)?);
        }
    }
    let (offset, len) = match numbers[..] {
        [offset] => (offset, None),
        [offset, len] => (offset, Some(len)),
        _ => return Err(value.expected("an offset and maybe a length")),
    };
    draft.transform(Transform::Subslice { offset, len, truncate }, value)
}
