//! What is wrong with the head of a message of HTTP/1? Told where rules ask for it, under Suricata's names.
//!
//! All of it is of heads that are read all the same: whoever reads them otherwise sees another message.

use super::http::{authority_of, split_port};
use super::told::Fields;
use crate::dpi::Context;
use crate::dpi::text::{decimal, has_word};

/// Schemes of `Authorization` that are known (RFC 7617, RFC 7616, RFC 6750).
const SCHEMES: [&[u8]; 3] = [b"basic", b"digest", b"bearer"];

/// Fields that a message may have (libhtp's limit).
const FIELDS_MAX: usize = 1_024;

/// Of requests and of answers.
struct Names {
    missing_colon: &'static str,
    invalid: &'static str,
    repetition: &'static str,
    too_many: &'static str,
    folding: &'static str,
    duplicate_length: &'static str,
}

const REQUEST: Names = Names {
    missing_colon: "request_field_missing_colon",
    invalid: "request_header_invalid",
    repetition: "request_header_repetition",
    too_many: "request_too_many_headers",
    folding: "invalid_request_field_folding",
    duplicate_length: "duplicate_content_length_field_in_request",
};

const RESPONSE: Names = Names {
    missing_colon: "response_field_missing_colon",
    invalid: "response_header_invalid",
    repetition: "response_header_repetition",
    too_many: "response_too_many_headers",
    folding: "invalid_response_field_folding",
    duplicate_length: "duplicate_content_length_field_in_response",
};

/// Tells what is wrong with a request; `line` is its first line, of which the parts are given, `block` its fields.
pub(super) fn request(
    (line, block): (&[u8], &[u8]),
    (method, target, version): (&[u8], &[u8], Option<&[u8]>),
    fields: &Fields<'_>,
    cx: &mut Context<'_>,
) {
    delimiters(line, (method, target, version), cx);
    hosts(method, target, fields, cx);
    each_field(block, fields, &REQUEST, cx);
    let scheme =
        fields.value("authorization").map(|value| value.split(|byte| *byte == b' ').next().unwrap_or(value));
    if scheme.is_some_and(|scheme| !SCHEMES.iter().any(|known| scheme.eq_ignore_ascii_case(known))) {
        cx.anomaly("request_auth_unrecognized");
    }
    if let Some(coding) = fields.value("transfer-encoding")
        && (!has_token(coding, b"chunked") || version == Some(b"HTTP/1.0"))
    {
        cx.anomaly("invalid_transfer_encoding_value_in_request");
    }
}

/// Tells what is wrong with an answer.
pub(super) fn response((line, block): (&[u8], &[u8]), fields: &Fields<'_>, cx: &mut Context<'_>) {
    let mut words = line.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty());
    let (version, status) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    if !matches!(version, b"HTTP/0.9" | b"HTTP/1.0" | b"HTTP/1.1") {
        cx.anomaly("response_invalid_protocol");
    }
    if status.len() != 3 || !decimal(status).is_some_and(|status| (100..1_000).contains(&status)) {
        cx.anomaly("response_invalid_status");
    }
    each_field(block, fields, &RESPONSE, cx);
    if let Some(coding) = fields.value("transfer-encoding") {
        if !has_token(coding, b"chunked") {
            cx.anomaly("invalid_transfer_encoding_value_in_response");
        } else if !coding.eq_ignore_ascii_case(b"chunked") {
            cx.anomaly("response_abnormal_transfer_encoding");
        }
        if version != b"HTTP/1.1" {
            cx.anomaly("response_chunked_old_proto");
        }
    }
    let codings = fields.value("content-encoding").unwrap_or_default();
    if codings.split(|byte| *byte == b',').count() > super::body::LAYERS_MAX {
        cx.anomaly("too_many_encoding_layers");
    }
    let is_odd = |coding: &[u8]| {
        (has_word(coding, b"gzip") || has_word(coding, b"deflate"))
            && ![&b"gzip"[..], b"x-gzip", b"deflate", b"x-deflate"]
                .iter()
                .any(|known| coding.eq_ignore_ascii_case(known))
    };
    if codings.split(|byte| *byte == b',').any(|coding| is_odd(coding.trim_ascii())) {
        cx.anomaly("abnormal_ce_header");
    }
    if fields.value("content-range").is_some_and(|range| !is_range(range)) {
        cx.anomaly("range_invalid");
    }
}

/// RFC 9112 3: one blank stands between the parts of a request line.
fn delimiters(line: &[u8], (method, target, version): (&[u8], &[u8], Option<&[u8]>), cx: &mut Context<'_>) {
    let is_one_blank = |between: &[u8]| between == b" ";
    let from = line.iter().position(|byte| !matches!(byte, b' ' | b'\t')).unwrap_or(0);
    let rest = line.get(from + method.len()..).unwrap_or_default();
    let blanks = |bytes: &[u8]| bytes.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    let before = blanks(rest);
    if !is_one_blank(rest.get(..before).unwrap_or_default()) {
        cx.anomaly("method_delim_non_compliant");
    }
    let rest = rest.get(before + target.len()..).unwrap_or_default();
    if version.is_some() && !is_one_blank(rest.get(..blanks(rest)).unwrap_or_default()) {
        cx.anomaly("uri_delim_non_compliant");
    }
}

/// Who is asked, as the target and `Host` say it.
fn hosts(method: &[u8], target: &[u8], fields: &Fields<'_>, cx: &mut Context<'_>) {
    let is_connect = method == b"CONNECT";
    let of_target = if is_connect { Some(target) } else { authority_of(target) };
    let of_field = fields.value("host");
    if let (Some(target), Some(field)) = (of_target, of_field)
        && !split_port(target).0.eq_ignore_ascii_case(split_port(field).0)
    {
        cx.anomaly("host_header_ambiguous");
    }
    if of_target.is_some_and(|host| !is_host(name_of(host))) {
        cx.anomaly("request_uri_host_invalid");
    }
    if of_field.is_some_and(|host| !is_host(name_of(host))) {
        cx.anomaly("request_header_host_invalid");
    }
    let said = [of_target, of_field].into_iter().flatten().find_map(port_of);
    match said {
        Some(None) if is_connect => cx.anomaly("invalid_authority_port"),
        Some(None) => cx.anomaly("invalid_server_port_in_request"),
        // A proxy is asked for other ports than its own.
        Some(Some(port)) if !is_connect && port != u64::from(cx.server_port()) => {
            cx.anomaly("request_server_port_tcp_port_mismatch");
        }
        Some(Some(_)) | None => {}
    }
}

/// The name before the port, whatever that is.
fn name_of(host: &[u8]) -> &[u8] {
    let after_bracket = host.iter().rposition(|byte| *byte == b']').map_or(0, |at| at + 1);
    let colon = host.get(after_bracket..).and_then(|rest| rest.iter().position(|byte| *byte == b':'));
    host.get(..colon.map_or(host.len(), |colon| after_bracket + colon)).unwrap_or(host)
}

/// The port of a host: `None` where it has none, `Some(None)` where it is no port.
fn port_of(host: &[u8]) -> Option<Option<u64>> {
    let port = host.get(name_of(host).len()..)?.strip_prefix(b":")?;
    Some(decimal(port).filter(|port| (1..=65_535).contains(port)))
}

/// Letters, digits and what else names and addresses have (RFC 3986 3.2.2).
fn is_host(name: &[u8]) -> bool {
    if let Some(address) = name.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]")) {
        return std::str::from_utf8(address).is_ok_and(|text| text.parse::<std::net::Ipv6Addr>().is_ok());
    }
    let is_of_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let labels = name.strip_suffix(b".").unwrap_or(name).split(|byte| *byte == b'.');
    name.len() <= 255
        && name.iter().all(is_of_name)
        && labels.into_iter().all(|label| (1..=63).contains(&label.len()))
}

fn each_field(block: &[u8], fields: &Fields<'_>, names: &Names, cx: &mut Context<'_>) {
    if block.first().is_some_and(|byte| matches!(byte, b' ' | b'\t')) {
        cx.anomaly(names.folding);
    }
    let all = fields.all();
    if all.len() > FIELDS_MAX {
        cx.anomaly(names.too_many);
    }
    let (mut is_cut, mut is_invalid, mut is_repeated, mut lengths) = (false, false, false, 0);
    for (place, (name, _)) in all.iter().enumerate() {
        let Some(name) = name else {
            is_cut = true;
            continue;
        };
        is_invalid |= !is_token(name);
        if name.eq_ignore_ascii_case(b"content-length") {
            lengths += 1;
        } else {
            // Heads have few fields; of long ones the first are compared.
            let before = all.get(..place.min(64)).unwrap_or_default();
            is_repeated |=
                before.iter().any(|(other, _)| other.is_some_and(|other| other.eq_ignore_ascii_case(name)));
        }
    }
    for (is_met, event) in [
        (is_cut, names.missing_colon),
        (is_invalid, names.invalid),
        (is_repeated, names.repetition),
        (lengths > 1, names.duplicate_length),
    ] {
        if is_met {
            cx.anomaly(event);
        }
    }
}

/// RFC 9110 5.6.2.
fn is_token(name: &[u8]) -> bool {
    !name.is_empty()
        && name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

fn has_token(list: &[u8], token: &[u8]) -> bool {
    list.split(|byte| *byte == b',').any(|one| one.trim_ascii().eq_ignore_ascii_case(token))
}

/// RFC 9110 14.4: a unit, then a span and a size, each of which may be unknown.
pub(super) fn is_range(value: &[u8]) -> bool {
    let mut words = value.splitn(2, |byte| *byte == b' ');
    let (unit, range) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    if unit != b"bytes" {
        return !range.is_empty();
    }
    let mut parts = range.splitn(2, |byte| *byte == b'/');
    let (span, size) = (parts.next().unwrap_or_default(), parts.next());
    let is_number = |text: &[u8]| decimal(text).is_some();
    let is_span = span == b"*" || {
        let mut ends = span.splitn(2, |byte| *byte == b'-');
        ends.next().is_some_and(is_number) && ends.next().is_some_and(is_number)
    };
    is_span && size.is_some_and(|size| size == b"*" || is_number(size))
}

#[cfg(test)]
mod tests {
    use crate::flow::Direction;

    fn events(client: &str, server: &str) -> Vec<&'static str> {
        const ASKED: [&str; 35] = [
            "100_continue_already_seen",
            "abnormal_ce_header",
            "duplicate_content_length_field_in_request",
            "duplicate_content_length_field_in_response",
            "gzip_decompression_failed",
            "host_header_ambiguous",
            "invalid_authority_port",
            "invalid_request_chunk_len",
            "invalid_request_field_folding",
            "invalid_response_chunk_len",
            "invalid_server_port_in_request",
            "invalid_transfer_encoding_value_in_request",
            "invalid_transfer_encoding_value_in_response",
            "method_delim_non_compliant",
            "missing_host_header",
            "range_invalid",
            "request_auth_unrecognized",
            "request_field_missing_colon",
            "request_header_host_invalid",
            "request_header_invalid",
            "request_header_repetition",
            "request_line_leading_whitespace",
            "request_server_port_tcp_port_mismatch",
            "request_uri_host_invalid",
            "response_abnormal_transfer_encoding",
            "response_chunked_old_proto",
            "response_field_missing_colon",
            "response_header_invalid",
            "response_header_repetition",
            "response_invalid_protocol",
            "response_invalid_status",
            "too_many_encoding_layers",
            "unable_to_match_response_to_request",
            "uri_delim_non_compliant",
            "request_line_missing_protocol",
        ];
        let rules: Vec<_> = ASKED
            .iter()
            .enumerate()
            .map(|(sid, event)| {
                format!("alert http any any -> any any (app-layer-event:http.{event}; sid:{};)", sid + 1)
            })
            .collect();
        let rules: Vec<_> = rules.iter().map(String::as_str).collect();
        let payloads: Vec<_> = [(Direction::Forward, client), (Direction::Reverse, server)]
            .into_iter()
            .filter(|(_, text)| !text.is_empty())
            .map(|(way, text)| (way, text.as_bytes()))
            .collect();
        let told = crate::dpi::feed::samples::alerts_of(80, &rules, &payloads);
        told.iter().map(|sid| ASKED[*sid as usize - 1]).collect()
    }

    #[test]
    fn requests_are_told_of_by_what_is_wrong() {
        for (head, expected) in [
            ("GET / HTTP/1.1\r\nHost: a.example\r\n", &[][..]),
            ("GET  / HTTP/1.1\r\nHost: a.example\r\n", &["method_delim_non_compliant"]),
            ("GET /\tHTTP/1.1\r\nHost: a.example\r\n", &["uri_delim_non_compliant"]),
            ("GET http://b.example/ HTTP/1.1\r\nHost: a.example\r\n", &["host_header_ambiguous"]),
            ("GET / HTTP/1.1\r\nHost: a.exa mple\r\n", &["request_header_host_invalid"]),
            ("GET / HTTP/1.1\r\nHost: a.example:8080\r\n", &["request_server_port_tcp_port_mismatch"]),
            ("GET / HTTP/1.1\r\nHost: a.example:http\r\n", &["invalid_server_port_in_request"]),
            ("GET / HTTP/1.1\r\nHost: a.example\r\nno colon\r\n", &["request_field_missing_colon"]),
            ("GET / HTTP/1.1\r\nHost: a.example\r\nA B: c\r\n", &["request_header_invalid"]),
            ("GET / HTTP/1.1\r\nHost: a.example\r\nA: 1\r\na: 2\r\n", &["request_header_repetition"]),
            ("GET / HTTP/1.1\r\nHost: a.example\r\nAuthorization: x y\r\n", &["request_auth_unrecognized"]),
            (
                "GET / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: x\r\n",
                &["invalid_transfer_encoding_value_in_request"],
            ),
            ("GET / HTTP/1.1\r\n folded: x\r\nHost: a.example\r\n", &["invalid_request_field_folding"]),
        ] {
            let mut told = events(&format!("{head}\r\n"), "");
            told.retain(|event| *event != "missing_host_header");
            assert_eq!(told, expected, "{head}");
        }
        let told = events("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", "");
        assert_eq!(told, ["invalid_request_chunk_len"]);
    }

    #[test]
    fn answers_are_told_of_by_what_is_wrong() {
        let asked = "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";
        let cases: [(&str, &[&str]); 10] = [
            ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", &[]),
            (
                "HTTP/1.1 100 \r\n\r\nHTTP/1.1 100 \r\n\r\nHTTP/1.1 204 \r\n\r\n",
                &["100_continue_already_seen"],
            ),
            ("HTTP/1.1 200 OK\r\nContent-Encoding: xgzipx\r\n\r\n", &["abnormal_ce_header"]),
            ("HTTP/1.1 200 OK\r\nContent-Range: bytes 1/2\r\n\r\n", &["range_invalid"]),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: x, chunked\r\n\r\n0\r\n\r\n",
                &["response_abnormal_transfer_encoding"],
            ),
            (
                "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                &["response_chunked_old_proto"],
            ),
            ("HTTP/1.1 200 OK\r\nno colon\r\n\r\n", &["response_field_missing_colon"]),
            ("HTTP/1.1 200 OK\r\nA: 1\r\nA: 2\r\n\r\n", &["response_header_repetition"]),
            ("HTTP/1.7 200 OK\r\n\r\n", &["response_invalid_protocol"]),
            ("HTTP/1.1 2000 OK\r\n\r\n", &["response_invalid_status"]),
        ];
        for (answer, expected) in cases {
            assert_eq!(events(asked, answer), expected, "{answer}");
        }
        let alone = events("", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(alone, ["unable_to_match_response_to_request"]);
    }
}
