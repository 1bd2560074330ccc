//! What rules are told of HTTP/1 messages, under Suricata's names: lines, fields and paths as libhtp hands them on.
//!
//! Fields of one name are one field whose values are joined by `, `; lines that begin with a blank belong to the field before; the
//! path is decoded and its dot segments are gone, escapes of the query are decoded too.

use super::events;
use super::head;
use super::judge::nibble;
use crate::dpi::Context;
use crate::flow::Direction;
use crate::rules::detect::Telling;
use crate::rules::language::buffers::buffer;
use crate::rules::rule::BufferId;

const METHOD: BufferId = buffer("http.method");
const URI: BufferId = buffer("http.uri");
const RAW_URI: BufferId = buffer("http.uri.raw");
const PROTOCOL: BufferId = buffer("http.protocol");
const REQUEST_LINE: BufferId = buffer("http.request_line");
const RESPONSE_LINE: BufferId = buffer("http.response_line");
const HEADER: BufferId = buffer("http.header");
const RAW_HEADER: BufferId = buffer("http.header.raw");
const HEADER_NAMES: BufferId = buffer("http.header_names");
const REQUEST_HEADER: BufferId = buffer("http.request_header");
const RESPONSE_HEADER: BufferId = buffer("http.response_header");
const START: BufferId = buffer("http.start");
const COOKIE: BufferId = buffer("http.cookie");
const HOST: BufferId = buffer("http.host");
const RAW_HOST: BufferId = buffer("http.host.raw");
const STATUS: BufferId = buffer("http.stat_code");
const STATUS_TEXT: BufferId = buffer("http.stat_msg");

/// Bodies.
pub(super) const REQUEST_BODY: BufferId = buffer("http.request_body");
pub(super) const RESPONSE_BODY: BufferId = buffer("http.response_body");

/// Buffers that are the value of one field: of requests, of answers.
const REQUEST_FIELDS: &[(&str, BufferId)] = &[
    ("user-agent", buffer("http.user_agent")),
    ("accept", buffer("http.accept")),
    ("accept-language", buffer("http.accept_lang")),
    ("accept-encoding", buffer("http.accept_enc")),
    ("referer", buffer("http.referer")),
    ("connection", buffer("http.connection")),
    ("content-type", buffer("http.content_type")),
    ("content-length", buffer("http.content_len")),
    ("cookie", COOKIE),
];
const RESPONSE_FIELDS: &[(&str, BufferId)] = &[
    ("connection", buffer("http.connection")),
    ("content-type", buffer("http.content_type")),
    ("content-length", buffer("http.content_len")),
    ("server", buffer("http.server")),
    ("location", buffer("http.location")),
    ("set-cookie", COOKIE),
];

/// The name of HTTP/1 in rules.
pub(super) const NAME: &str = "http";

/// Fields of one message that are told; more are not looked at.
const FIELDS_MAX: usize = 256;

/// Which message is told.
#[derive(Debug, Clone, Copy)]
pub(super) struct Message {
    /// The name of its protocol in rules.
    pub name: &'static str,
    pub transaction: u32,
    /// Whether nothing of it follows the head.
    pub is_last: bool,
}

/// Tells the head of a request, whose `head` is all of it; `line` is its first line in parts.
pub(super) fn request(
    cx: &mut Context<'_>,
    message: Message,
    (method, target, version): (&[u8], &[u8], Option<&[u8]>),
    head: &[u8],
) {
    if !cx.rules.is_on() {
        return;
    }
    let (line, block) = split_line(head);
    let fields = Fields::of(block);
    if message.name == NAME && cx.rules.wants_events() {
        events::request((line, block), (method, target, version), &fields, cx);
    }
    let rules = &mut cx.rules;
    rules.show(METHOD, method);
    rules.show(RAW_URI, target);
    rules.show_with(URI, |out| normal_uri(method, target, out));
    rules.show(PROTOCOL, version.unwrap_or_default());
    show_line(rules, REQUEST_LINE, message, line);
    show_host(rules, target, &fields);
    tell_fields(rules, &fields, (REQUEST_FIELDS, REQUEST_HEADER, "cookie"), (line, block));
    let Message { name, transaction, is_last } = message;
    rules.stage(name, transaction, Direction::Forward, is_last);
}

/// Tells the head of a request that HTTP/1 has handed over to HTTP/2: what is asked of whom, and its fields together.
pub(super) fn handed_over(
    cx: &mut Context<'_>,
    message: Message,
    (method, target): (&[u8], &[u8]),
    head: &[u8],
) {
    let (line, block) = split_line(head);
    let fields = Fields::of(block);
    let rules = &mut cx.rules;
    rules.show(METHOD, method);
    rules.show(RAW_URI, target);
    rules.show_with(URI, |out| normal_uri(method, target, out));
    rules.show(PROTOCOL, b"HTTP/2");
    show_line(rules, REQUEST_LINE, message, line);
    show_host(rules, target, &fields);
    tell_fields(rules, &fields, (&[], REQUEST_HEADER, "cookie"), (line, block));
    let Message { name, transaction, is_last } = message;
    rules.stage(name, transaction, Direction::Forward, is_last);
}

/// The first line, which of HTTP/2 is one that was made, with its end.
fn show_line(rules: &mut Telling<'_>, buffer: BufferId, message: Message, line: &[u8]) {
    rules.show_with(buffer, |out| {
        out.extend_from_slice(line);
        if message.name != NAME {
            out.extend_from_slice(b"\r\n");
        }
    });
}

fn show_host(rules: &mut Telling<'_>, target: &[u8], fields: &Fields<'_>) {
    // HTTP/2 has it among its fields (RFC 9113 8.3.1).
    let authority = super::http::authority_of(target).or_else(|| fields.value(":authority"));
    if let Some(host) = authority.or_else(|| fields.value("host")) {
        let (name, _port) = super::http::split_port(host);
        rules.show_with(HOST, |out| out.extend(name.iter().map(u8::to_ascii_lowercase)));
        rules.show(RAW_HOST, host);
    }
}

/// Tells the head of an answer.
pub(super) fn response(cx: &mut Context<'_>, message: Message, head: &[u8]) {
    if !cx.rules.is_on() {
        return;
    }
    let (line, block) = split_line(head);
    let fields = Fields::of(block);
    if message.name == NAME && cx.rules.wants_events() {
        events::response((line, block), &fields, cx);
    }
    let rules = &mut cx.rules;
    show_line(rules, RESPONSE_LINE, message, line);
    let mut words = line.splitn(3, |byte| matches!(byte, b' ' | b'\t'));
    rules.show(PROTOCOL, words.next().unwrap_or_default());
    if let Some(status) = words.next() {
        rules.show(STATUS, status.trim_ascii());
    }
    rules.show(STATUS_TEXT, words.next().unwrap_or_default().trim_ascii());
    tell_fields(rules, &fields, (RESPONSE_FIELDS, RESPONSE_HEADER, "set-cookie"), (line, block));
    let Message { name, transaction, is_last } = message;
    rules.stage(name, transaction, Direction::Reverse, is_last);
}

fn tell_fields(
    rules: &mut Telling<'_>,
    fields: &Fields<'_>,
    (named, each, cookie): (&[(&str, BufferId)], BufferId, &str),
    (line, block): (&[u8], &[u8]),
) {
    rules.show(RAW_HEADER, block);
    rules.show_with(START, |out| {
        out.extend_from_slice(line);
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(block);
    });
    rules.show_with(HEADER, |out| {
        for field in fields.by_name().filter(|field| !field.is(cookie)) {
            field.write(fields, out);
            out.extend_from_slice(b"\r\n");
        }
    });
    rules.show_with(HEADER_NAMES, |out| {
        out.extend_from_slice(b"\r\n");
        for field in fields.by_name() {
            out.extend_from_slice(field.name);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"\r\n");
    });
    if rules.wants(each) {
        for field in fields.by_name() {
            rules.show_with(each, |out| field.write(fields, out));
        }
    }
    for (name, buffer) in named {
        if rules.wants(*buffer)
            && let Some(field) = fields.by_name().find(|field| field.is(name))
        {
            rules.show_with(*buffer, |out| field.write_value(fields, out));
        }
    }
}

/// The first line without its end, and what follows it.
fn split_line(head: &[u8]) -> (&[u8], &[u8]) {
    let end = head.iter().position(|byte| *byte == b'\n').unwrap_or(head.len());
    let line = head.get(..end).unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    (line, head.get(end + 1..).unwrap_or_default())
}

/// The fields of a message.
pub(super) struct Fields<'a> {
    all: Vec<Field<'a>>,
    /// Those without a colon have no name.
    raw: Vec<(Option<&'a [u8]>, &'a [u8])>,
}

#[derive(Clone, Copy)]
struct Field<'a> {
    name: &'a [u8],
    /// With the lines that continue it.
    value: &'a [u8],
}

impl<'a> Fields<'a> {
    fn of(block: &'a [u8]) -> Self {
        let raw: Vec<_> = head::fields(block).collect();
        let all = raw.iter().take(FIELDS_MAX);
        let all = all.map(|(name, value)| Field { name: name.unwrap_or_default(), value }).collect();
        Self { all, raw }
    }

    /// All of them, as they came.
    pub(super) fn all(&self) -> &[(Option<&'a [u8]>, &'a [u8])] {
        &self.raw
    }

    /// The first field of each name.
    fn by_name(&self) -> impl Iterator<Item = &Field<'a>> {
        self.all.iter().enumerate().filter_map(|(place, field)| {
            let earlier = &self.all[..place];
            (!earlier.iter().any(|other| other.name.eq_ignore_ascii_case(field.name))).then_some(field)
        })
    }

    pub(super) fn value(&self, name: &str) -> Option<&'a [u8]> {
        self.all.iter().find(|field| field.is(name)).map(|field| field.value)
    }
}

impl Field<'_> {
    fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    /// `Name: value`.
    fn write(&self, fields: &Fields<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(self.name);
        out.extend_from_slice(b": ");
        self.write_value(fields, out);
    }

    /// The values of all fields of its name, each on one line.
    fn write_value(&self, fields: &Fields<'_>, out: &mut Vec<u8>) {
        let same = fields.all.iter().filter(|field| field.name.eq_ignore_ascii_case(self.name));
        for (place, field) in same.enumerate() {
            if place > 0 {
                out.extend_from_slice(b", ");
            }
            let mut lines = field.value.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
            out.extend_from_slice(lines.next().unwrap_or_default());
            for line in lines {
                out.push(b' ');
                out.extend_from_slice(line);
            }
        }
    }
}

/// Path and query as a server reads them: the path without escapes, double slashes and dot segments.
fn normal_uri(method: &[u8], target: &[u8], out: &mut Vec<u8>) {
    if method == b"CONNECT" {
        out.extend_from_slice(target);
        return;
    }
    let (path, rest) = split_target(target);
    let start = out.len();
    decode(path, out);
    remove_dot_segments(out, start);
    unescape(rest, |byte| out.push(byte));
}

/// The path alone.
pub(super) fn normal_path(target: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    decode(split_target(target).0, out);
    remove_dot_segments(out, start);
}

/// The path of a target, and its query and fragment.
fn split_target(target: &[u8]) -> (&[u8], &[u8]) {
    // RFC 9112 3.2.2: an absolute target is told without scheme and authority.
    let rest = match super::http::authority_of(target) {
        Some(authority) => {
            let from = target.windows(3).position(|window| window == b"://").map_or(0, |colon| colon + 3);
            let after = target.get(from..).unwrap_or_default();
            let slash =
                after.iter().position(|byte| *byte == b'/').unwrap_or(authority.len().min(after.len()));
            after.get(slash..).unwrap_or_default()
        }
        None => target,
    };
    let fragment = rest.iter().position(|byte| *byte == b'#').unwrap_or(rest.len());
    let query = rest.iter().position(|byte| *byte == b'?').unwrap_or(rest.len()).min(fragment);
    rest.split_at_checked(query).unwrap_or((rest, &[]))
}

/// Decodes escapes; a backslash is a slash, and slashes that follow each other are one.
fn decode(path: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    unescape(path, |byte| {
        let byte = if byte == b'\\' { b'/' } else { byte };
        let is_again = byte == b'/' && out.len() > start && out.last() == Some(&b'/');
        if !is_again {
            out.push(byte);
        }
    });
}

/// Each byte, those written as `%41` decoded.
fn unescape(bytes: &[u8], mut each: impl FnMut(u8)) {
    let mut at = 0;
    while let Some(byte) = bytes.get(at).copied() {
        let digits = bytes.get(at + 1..at + 3);
        let escaped = digits.filter(|_| byte == b'%').and_then(|digits| match digits {
            [high, low] => Some((nibble(*high)? << 4) | nibble(*low)?),
            _ => None,
        });
        at += if escaped.is_some() { 3 } else { 1 };
        each(escaped.unwrap_or(byte));
    }
}

/// RFC 3986 5.2.4, in place from `start` on.
fn remove_dot_segments(out: &mut Vec<u8>, start: usize) {
    if !out[start..].split(|byte| *byte == b'/').any(|segment| matches!(segment, b"." | b"..")) {
        return;
    }
    let path = out.split_off(start);
    let mut segments = path.split(|byte| *byte == b'/').peekable();
    let is_rooted = path.first() == Some(&b'/');
    if is_rooted {
        segments.next();
        out.push(b'/');
    }
    let root = out.len();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            b"." => {}
            b".." => {
                // The segment before goes, and the slash behind it stays.
                let kept = out[root..].strip_suffix(b"/").unwrap_or(&out[root..]);
                let len = kept.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
                out.truncate(root + len);
            }
            _ => {
                out.extend_from_slice(segment);
                if !is_last {
                    out.push(b'/');
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(target: &str) -> String {
        let mut out = Vec::new();
        normal_uri(b"GET", target.as_bytes(), &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn paths_are_told_as_a_server_reads_them() {
        for (target, expected) in [
            ("/a/b?x=1", "/a/b?x=1"),
            ("/%61/%2e%2e/b", "/b"),
            ("/a//b///c", "/a/b/c"),
            ("/a\\b", "/a/b"),
            ("/a/./b/../c/..", "/a/"),
            ("/../../etc/passwd", "/etc/passwd"),
            ("/a%2", "/a%2"),
            ("/a?b=%41/../c", "/a?b=A/../c"),
            ("http://u@a.example/x/%7e?q", "/x/~?q"),
            ("http://a.example", ""),
            ("*", "*"),
            ("", ""),
        ] {
            assert_eq!(uri(target), expected, "{target}");
        }
    }

    #[test]
    fn fields_of_one_name_are_one_and_lines_are_joined() {
        let fields = Fields::of(b"A: 1\r\nB:  two\r\n words \r\na:3\r\nno colon\r\n\r\nC: body");
        let mut out = Vec::new();
        for field in fields.by_name() {
            field.write(&fields, &mut out);
            out.push(b'|');
        }
        assert_eq!(String::from_utf8_lossy(&out), "A: 1, 3|B: two words|: no colon|");
        assert_eq!(fields.value("b"), Some(&b"two\r\n words"[..]));
    }
}
