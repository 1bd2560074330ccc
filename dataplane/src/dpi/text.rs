//! Where in these bytes is that text? For banners and the beginnings of messages, which need not be UTF-8.

/// Where `needle` begins in `hay`; nowhere where it is empty.
#[must_use]
pub fn find(hay: &[u8], needle: &[u8]) -> Option<usize> {
    let first = *needle.first()?;
    memchr::memchr_iter(first, hay).find(|at| hay.get(*at..).is_some_and(|rest| rest.starts_with(needle)))
}

/// Whether `needle` stands somewhere in `hay`.
#[must_use]
pub fn contains(hay: &[u8], needle: &[u8]) -> bool {
    find(hay, needle).is_some()
}

/// Whether `hay` has `word`, upper or lower case.
#[must_use]
pub fn has_word(hay: &[u8], word: &[u8]) -> bool {
    let Some(first) = word.first() else { return !hay.is_empty() };
    let mut starts = memchr::memchr2_iter(first.to_ascii_lowercase(), first.to_ascii_uppercase(), hay);
    starts.any(|at| hay.get(at..).is_some_and(|rest| starts_with_word(rest, word)))
}

/// Whether `bytes` begins with `word`, upper or lower case.
#[must_use]
pub fn starts_with_word(bytes: &[u8], word: &[u8]) -> bool {
    bytes.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word))
}

/// A whole number; `None` where it is none, or none that fits.
#[must_use]
pub fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |number, byte| match byte {
        b'0'..=b'9' => number.checked_mul(10)?.checked_add(u64::from(byte - b'0')),
        _ => None,
    })
}

/// The value of the XML attribute `name` (with its `=`) in `text`.
#[must_use]
pub fn attribute<'a>(text: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let after = text.get(find(text, name)? + name.len()..)?;
    let (quote, rest) = after.split_first()?;
    if !matches!(quote, b'"' | b'\'') {
        return None;
    }
    let end = rest.iter().position(|byte| byte == quote)?;
    rest.get(..end)
}

/// The value of a string member `"name"` of JSON text, as it stands there.
#[must_use]
pub fn json_text<'a>(text: &'a [u8], quoted_name: &[u8]) -> Option<&'a [u8]> {
    let after = text.get(find(text, quoted_name)? + quoted_name.len()..)?;
    let after = after.trim_ascii_start().strip_prefix(b":")?.trim_ascii_start().strip_prefix(b"\"")?;
    let end = after.iter().position(|byte| *byte == b'"')?;
    after.get(..end)
}

/// UTF-16, little-endian, as text in `buffer`: halves of characters outside of the first plane become `?`.
pub fn utf16<'b>(raw: &[u8], buffer: &'b mut [u8; 512]) -> &'b [u8] {
    let mut len = 0;
    for pair in raw.chunks_exact(2) {
        let unit = u32::from(u16::from_le_bytes([pair[0], pair[1]]));
        let symbol = char::from_u32(unit).unwrap_or('?');
        let Some(room) = buffer.get_mut(len..len + symbol.len_utf8()) else { break };
        len += symbol.encode_utf8(room).len();
    }
    buffer.get(..len).unwrap_or_default()
}

/// Appends bytes as lower-case hexadecimal digits.
pub(crate) fn push_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.extend(bytes.iter().flat_map(|byte| [byte >> 4, byte & 15].map(|digit| DIGITS[usize::from(digit)])));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_found() {
        assert_eq!((find(b"aab", b"ab"), find(b"a", b""), find(b"", b"a")), (Some(1), None, None));
        assert!(!contains(b"aa", b"ab"));
        assert!(has_word(b"220 my Ftp", b"FTP") && !has_word(b"", b"FTP"));
        assert!(starts_with_word(b"User x", b"USER") && !starts_with_word(b"US", b"USER"));
        assert_eq!(attribute(b"<a to='x.org' b=\"\">", b"to="), Some(&b"x.org"[..]));
        assert_eq!(json_text(b"{\"version\" : \"2.1\"}", b"\"version\""), Some(&b"2.1"[..]));
        assert_eq!(json_text(b"{\"version\": 2}", b"\"version\""), None);
        assert_eq!(utf16(b"A\0\xe9\0\x00\xd8", &mut [0; 512]), "Aé?".as_bytes());
    }
}
