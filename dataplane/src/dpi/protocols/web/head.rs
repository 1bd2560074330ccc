//! What does the head of an HTTP/1 message say? Its first line and the fields that matter, borrowed from the bytes.
//!
//! Lenient as servers are (RFC 9112 2.2): bare line feeds end lines, blanks around values are dropped, lines without a
//! colon are passed over. Nothing is copied.

use crate::dpi::text::{decimal, has_word};

/// A head that is longer is not waited for.
pub const HEAD_BYTES_MAX: usize = 32_768;

/// First line and fields of a message.
#[derive(Debug, Default, Clone, Copy)]
#[expect(missing_docs, reason = "the fields are named as in RFC 9110")]
pub struct Head<'a> {
    pub first: &'a [u8],
    pub host: Option<&'a [u8]>,
    pub user_agent: Option<&'a [u8]>,
    pub content_type: Option<&'a [u8]>,
    pub content_range: Option<&'a [u8]>,
    pub content_disposition: Option<&'a [u8]>,
    pub content_encoded: bool,
    pub content_encoding: Option<&'a [u8]>,
    pub content_length: Option<u64>,
    /// Two lengths that differ, or a length that is no number.
    pub length_is_wrong: bool,
    pub is_chunked: bool,
    pub referer: Option<&'a [u8]>,
    pub location: Option<&'a [u8]>,
    pub server: Option<&'a [u8]>,
    pub upgrade: Option<&'a [u8]>,
    pub forwarded_for: Option<&'a [u8]>,
    pub authorization: Option<&'a [u8]>,
    /// A field that only a client of a proxy sends.
    pub is_for_proxy: bool,
    pub has_soap_action: bool,
    /// `icy-*` or `ice-*`: SHOUTcast and Icecast.
    pub is_icy: bool,
    pub accept: Option<&'a [u8]>,
    /// `DAV`, `Depth` and their like of RFC 4918.
    pub is_dav: bool,
    pub fields: u32,
}

/// Length of the head at the start of `bytes`, with the empty line that ends it; `from` was searched before.
#[must_use]
pub fn head_len(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from.saturating_sub(3);
    while let Some(found) = bytes.get(at..)?.iter().position(|byte| *byte == b'\n') {
        let next = at + found + 1;
        let rest = bytes.get(next..)?;
        // Nothing but blanks is an empty line, as clients read it.
        let blanks = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r')).count();
        match rest.get(blanks) {
            Some(b'\n') => return Some(next + blanks + 1),
            _ => at = next,
        }
    }
    None
}

/// Reads the head that `bytes` are, first line and fields.
#[must_use]
pub fn read(bytes: &[u8]) -> Head<'_> {
    let end = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |end| end + 1);
    let (first, block) = bytes.split_at_checked(end).unwrap_or((bytes, &[]));
    let mut head = Head { first: first.trim_ascii(), ..Head::default() };
    for (name, value) in fields(block) {
        if let Some(name) = name {
            head.fields += 1;
            field(&mut head, name, value);
        }
    }
    head
}

/// Names and values of the fields in `block`, which ends with an empty line; no name where there is no colon. What begins
/// with a blank goes on with the line before, whose value then has line ends in it; a carriage return alone ends a line.
pub fn fields(block: &[u8]) -> impl Iterator<Item = (Option<&[u8]>, &[u8])> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = block.get(at..)?;
        let mut end = line_len(rest);
        if trim(rest.get(..end)?).is_empty() {
            return None;
        }
        while rest.get(end).is_some_and(|byte| matches!(byte, b' ' | b'\t')) {
            let next = rest.get(end..)?;
            let len = line_len(next);
            if trim(next.get(..len)?).is_empty() {
                break;
            }
            end += len;
        }
        at += end;
        let line = rest.get(..end)?;
        // Names of HTTP/2 may begin with one (RFC 9113 8.3).
        let from = usize::from(line.first() == Some(&b':'));
        let colon = line.get(from..)?.iter().position(|byte| *byte == b':').map(|colon| colon + from);
        Some(match colon {
            Some(colon) => (Some(trim(line.get(..colon)?)), trim(line.get(colon + 1..)?)),
            None => (None, trim(line)),
        })
    })
}

/// Length of the first line with its end.
fn line_len(bytes: &[u8]) -> usize {
    match bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
        Some(end) if bytes.get(end) == Some(&b'\r') && bytes.get(end + 1) == Some(&b'\n') => end + 2,
        // Carriage returns before an empty line belong to it.
        Some(end) => end + 1,
        None => bytes.len(),
    }
}

/// Without blanks and controls at both ends.
fn trim(bytes: &[u8]) -> &[u8] {
    let is_blank = |byte: &u8| *byte <= b' ';
    let from = bytes.iter().position(|byte| !is_blank(byte)).unwrap_or(bytes.len());
    let to = bytes.iter().rposition(|byte| !is_blank(byte)).map_or(from, |last| last + 1);
    bytes.get(from..to).unwrap_or_default()
}

fn field<'a>(head: &mut Head<'a>, name: &[u8], value: &'a [u8]) {
    let is = |expected: &str| name.eq_ignore_ascii_case(expected.as_bytes());
    // The length rules most names out.
    match name.len() {
        3 if is("dav") => head.is_dav = true,
        4 if is("host") => head.host = head.host.or(Some(value)),
        5 if is("depth") => head.is_dav = true,
        6 if is("server") => head.server = Some(value),
        6 if is("accept") => head.accept = Some(value),
        7 if is("referer") => head.referer = Some(value),
        7 if is("upgrade") => head.upgrade = Some(value),
        8 if is("location") => head.location = Some(value),
        8 if is("icy-name") => head.is_icy = true,
        10 if is("user-agent") => head.user_agent = Some(value),
        10 if is("soapaction") => head.has_soap_action = true,
        12 if is("content-type") => head.content_type = Some(value),
        13 if is("authorization") => head.authorization = Some(value),
        13 if is("content-range") => head.content_range = Some(value),
        14 if is("content-length") => {
            let number = decimal(value);
            head.length_is_wrong |=
                number.is_none() || head.content_length.is_some_and(|old| Some(old) != number);
            head.content_length = head.content_length.or(number);
        }
        15 if is("x-forwarded-for") => head.forwarded_for = Some(value),
        16 if is("proxy-connection") => head.is_for_proxy = true,
        16 if is("content-encoding") => {
            head.content_encoding = head.content_encoding.or(Some(value));
            head.content_encoded = !value.eq_ignore_ascii_case(b"identity");
        }
        17 if is("transfer-encoding") => head.is_chunked |= has_word(value, b"chunked"),
        19 if is("content-disposition") => head.content_disposition = Some(value),
        19 if is("proxy-authorization") => {
            head.is_for_proxy = true;
            head.authorization = head.authorization.or(Some(value));
        }
        _ => head.is_icy |= name.get(..4).is_some_and(|start| matches!(start, b"icy-" | b"ice-")),
    }
}

/// Method, target and version of a request line; no version is HTTP/0.9.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestLine<'a> {
    /// `GET`.
    pub method: &'a [u8],
    /// `/index.html`.
    pub target: &'a [u8],
    /// `HTTP/1.1`.
    pub version: Option<&'a [u8]>,
}

/// Splits a request line at its blanks; a target may hold some (RFC 9112 3.2).
#[must_use]
pub fn request_line(line: &[u8]) -> Option<RequestLine<'_>> {
    let blank = line.iter().position(|byte| is_blank(*byte))?;
    let (method, rest) = line.split_at_checked(blank)?;
    let rest = rest.trim_ascii();
    if method.is_empty() || !method.iter().all(|byte| is_token(*byte)) || rest.is_empty() {
        return None;
    }
    let last = rest.iter().rposition(|byte| is_blank(*byte));
    if let Some(last) = last
        && let (target, version) = rest.split_at(last)
        && version.get(1..).is_some_and(is_version)
    {
        return Some(RequestLine { method, target: target.trim_ascii(), version: version.get(1..) });
    }
    Some(RequestLine { method, target: rest, version: None })
}

/// What parts of a request line are split at: servers take tabs for blanks (RFC 9112 3).
const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// `HTTP/` and a digit.
#[must_use]
pub fn is_version(text: &[u8]) -> bool {
    matches!(text, [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', ..])
}

/// A character of a token (RFC 9110 5.6.2).
#[must_use]
pub const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'-' | b'_' | b'.' | b'!' | b'#' | b'$' | b'%' | b'&' | b'*')
}

/// Status of a status line.
#[must_use]
pub fn status_of(line: &[u8]) -> Option<u16> {
    let blank = line.iter().position(|byte| *byte == b' ')?;
    let word = line.get(blank..)?.trim_ascii_start().split(|byte| byte.is_ascii_whitespace()).next()?;
    let status = decimal(word.get(..3).filter(|_| !word.get(3).is_some_and(u8::is_ascii_digit))?)? as u16;
    (100..1_000).contains(&status).then_some(status)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;

    #[test]
    fn heads_end_at_an_empty_line() {
        assert_eq!(head_len(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nrest", 0), Some(27));
        assert_eq!(head_len(b"GET / HTTP/1.0\n\nrest", 0), Some(16));
        assert_eq!(head_len(b"GET / HTTP/1.1\r\nHost: a\r\n", 0), None);
        assert_eq!(head_len(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 25), Some(27));
        assert_eq!(head_len(b"", 9), None);
    }

    #[test]
    fn fields_are_found_whatever_their_case() {
        let head = read(b"GET / HTTP/1.1\r\nhOST:  a.example \r\nContent-Length: 12\r\nfolded\r\n\r\n");
        assert_eq!(head.host, Some(&b"a.example"[..]));
        assert_eq!((head.content_length, head.length_is_wrong), (Some(12), false));
        assert!(read(b"x\nContent-Length: 1\nContent-Length: 2\n\n").length_is_wrong);
        assert!(read(b"x\nContent-Length: 99999999999999999999\n\n").length_is_wrong);
    }

    #[test]
    fn request_lines_are_split() {
        let line = request_line(b"GET /a b HTTP/1.1").unwrap();
        assert_eq!((line.target, line.version), (&b"/a b"[..], Some(&b"HTTP/1.1"[..])));
        let line = request_line(b"GET\t/a\tHTTP/1.1").unwrap();
        assert_eq!(
            (line.method, line.target, line.version),
            (&b"GET"[..], &b"/a"[..], Some(&b"HTTP/1.1"[..]))
        );
        assert_eq!(request_line(b"GET /").unwrap().version, None);
        assert_eq!(request_line(b"GET"), None);
        assert_eq!(status_of(b"HTTP/1.1 404 Not Found"), Some(404));
        assert_eq!(status_of(b"HTTP/1.1 4"), None);
    }
}
