//! HTTP/2 as it may come, and as it may not.

use super::*;

#[test]
fn settings_are_known_by_their_shape() {
    let peek = |bytes| Peek {
        bytes,
        way: Direction::Reverse,
        nth: 0,
        ports: (1, 2),
        other: &[],
        previous: &[],
        is_multicast: false,
        is_tcp: true,
    };
    let settings = b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x64";
    assert_eq!(look_at_settings(&peek(settings)), Match::Yes(90));
    assert_eq!(look_at_settings(&peek(b"\0\0\x07\x04\0\0\0\0\0\0\x03\0\0\0\x64\0")), Match::No);
    for len in 0..settings.len() {
        assert!(look_at_settings(&peek(&settings[..len])) != Match::Yes(95));
    }
    assert_eq!(look(&peek(PREFACE)), Match::Yes(99));
    assert_eq!(look(&peek(b"PRI")), Match::More);
}
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0, 0, payload.len() as u8, kind, flags, 0, 0, 0, stream];
    frame.extend(payload);
    frame
}

/// What a conversation tells: `stream method url status` of its exchanges, and anomalies.
fn told(client: &[Vec<u8>], server: &[Vec<u8>]) -> Vec<String> {
    use crate::dpi::fields::Value;
    let view = crate::dpi::FlowView {
        initiator: (crate::parse::Addr::v4([192, 0, 2, 1]), 40_000),
        responder: (crate::parse::Addr::v4([192, 0, 2, 2]), 80),
        protocol: crate::parse::Protocol::TCP,
        is_midstream: false,
        is_established: true,
        counts: crate::rules::detect::FlowCounts::default(),
    };
    let mut told = Vec::new();
    let mut records = |record: crate::dpi::parser::Record<'_>| {
        let texts: Vec<String> = record
            .fields
            .iter()
            .filter_map(|(key, value)| match value {
                Value::Text(text) if ["url", "http_method", "event"].contains(&key) => {
                    Some(String::from_utf8_lossy(text).into_owned())
                }
                Value::Unsigned(number) if key == "status" => Some(number.to_string()),
                _ => None,
            })
            .collect();
        told.push(texts.join(" "));
    };
    let preface = [PREFACE.to_vec()];
    let client = preface.iter().chain(client).map(|bytes| (Direction::Forward, &bytes[..]));
    let payloads = client.chain(server.iter().map(|bytes| (Direction::Reverse, &bytes[..])));
    crate::dpi::feed::feed_parser(
        &mut Http2::default(),
        &view,
        &crate::dpi::AppTable::default(),
        payloads,
        &mut crate::dpi::Notes::default(),
        &mut records,
    );
    told
}

/// `:method: GET`, `:path: /a` as a literal that is kept, and the same by its index in the table.
const GET: &[u8] = b"\x82\x44\x02/a";
const AGAIN: &[u8] = b"\x82\xbe";
const OK: &[u8] = b"\x88";

#[test]
fn a_header_block_may_come_in_several_frames() {
    let expected = ["GET /a 200"];
    for at in 0..GET.len() {
        let (begin, rest) = GET.split_at(at);
        let client = [frame(HEADERS, END_STREAM, 1, begin), frame(CONTINUATION, END_HEADERS, 1, rest)];
        let server = [frame(HEADERS, END_HEADERS | END_STREAM, 1, OK)];
        assert_eq!(told(&client, &server), expected, "{at}");
        let mut padded = vec![3, 0, 0, 0, 0, 16];
        padded.extend(begin);
        padded.extend([0; 3]);
        let client = [
            frame(HEADERS, END_STREAM | PADDED | PRIORITY, 1, &padded),
            frame(CONTINUATION, 0, 1, b""),
            frame(CONTINUATION, END_HEADERS, 1, rest),
        ];
        assert_eq!(told(&client, &server), expected, "{at}");
    }
}

#[test]
fn nothing_comes_between_the_parts_of_a_header_block() {
    for between in [
        frame(DATA, 0, 1, b"x"),
        frame(CONTINUATION, END_HEADERS, 3, GET),
        frame(HEADERS, END_HEADERS, 3, GET),
    ] {
        assert_eq!(told(&[frame(HEADERS, 0, 1, b"\x82"), between], &[])[0], "invalid_header");
    }
    assert_eq!(told(&[frame(CONTINUATION, END_HEADERS, 1, GET)], &[])[0], "invalid_header");
    let endless: Vec<_> = std::iter::once(frame(HEADERS, 0, 1, &[0x82; 200]))
        .chain(std::iter::repeat_n(frame(CONTINUATION, 0, 1, &[0x82; 200]), 100))
        .collect();
    assert_eq!(told(&endless, &[])[0], "reassembly_limit_reached");
}

#[test]
fn what_a_server_promises_is_told_and_keeps_the_table_right() {
    let mut promise = vec![0, 0, 0, 2];
    promise.extend(GET);
    let server = [
        frame(PUSH_PROMISE, END_HEADERS, 1, &promise),
        frame(HEADERS, END_HEADERS | END_STREAM, 1, OK),
        frame(HEADERS, END_HEADERS | END_STREAM, 2, OK),
    ];
    let client = [frame(HEADERS, END_HEADERS | END_STREAM, 1, GET)];
    assert_eq!(told(&client, &server), ["GET /a 200", "GET /a 200"]);
    promise.truncate(4);
    promise.extend(AGAIN);
    let server = [
        frame(PUSH_PROMISE, END_HEADERS, 1, &[&[0, 0, 0, 2][..], GET].concat()),
        frame(PUSH_PROMISE, END_HEADERS, 1, &[&[0, 0, 0, 4][..], AGAIN].concat()),
        frame(HEADERS, END_HEADERS | END_STREAM, 4, OK),
    ];
    assert_eq!(told(&client, &server)[0], "GET /a 200");
}

#[test]
fn what_a_frame_must_not_be_is_told() {
    let get = || frame(HEADERS, END_HEADERS | END_STREAM, 1, GET);
    let ok = || frame(HEADERS, END_HEADERS | END_STREAM, 1, OK);
    for (client, server, expected) in [
        (vec![frame(DATA, 0, 0, b"x")], vec![], "data_stream_zero"),
        (vec![frame(SETTINGS, 0, 0, b"12345")], vec![], "invalid_frame_length"),
        (vec![frame(kind::WINDOW_UPDATE, 0, 0, b"123")], vec![], "invalid_frame_length"),
        (vec![frame(kind::PRIORITY, 0, 1, b"1234")], vec![], "invalid_frame_length"),
        (vec![frame(DATA, PADDED, 1, b"\x05abc")], vec![], "invalid_frame_data"),
        (vec![frame(HEADERS, END_HEADERS | PADDED, 1, b"\x05abc")], vec![], "invalid_frame_data"),
        (
            vec![frame(HEADERS, END_HEADERS, 1, b"\xff\xff\xff\xff\xff\xff")],
            vec![],
            "header_integer_overflow",
        ),
        (vec![frame(HEADERS, END_HEADERS, 1, b"\x41\x01a\x66\x01b")], vec![], "authority_host_mismatch"),
        (vec![get()], vec![ok(), ok()], "stream_id_reuse"),
    ] {
        let told = told(&client, &server);
        assert!(told.iter().any(|line| line == expected), "{told:?} {expected}");
    }
    assert_eq!(told(&[frame(HEADERS, END_HEADERS, 1, b"\x41\x01a\x66\x01A")], &[]), [""]);
}

/// A field that is not kept in the table.
fn field(name: &str, value: &str) -> Vec<u8> {
    let mut bytes = vec![0, name.len() as u8];
    bytes.extend(name.as_bytes());
    bytes.push(value.len() as u8);
    bytes.extend(value.as_bytes());
    bytes
}

fn alerts(rules: &[&str], client: &[Vec<u8>], server: &[Vec<u8>]) -> Vec<u32> {
    let preface = PREFACE.to_vec();
    let client = [&preface].into_iter().chain(client).map(|bytes| (Direction::Forward, &bytes[..]));
    let all: Vec<_> = client.chain(server.iter().map(|bytes| (Direction::Reverse, &bytes[..]))).collect();
    let sorted = |payloads: &[(Direction, &[u8])]| {
        let mut told = crate::dpi::feed::samples::alerts_of(8_080, rules, payloads);
        told.sort_unstable();
        told
    };
    let whole = sorted(&all);
    // However it is cut.
    let cut: Vec<_> =
        all.iter().flat_map(|(way, bytes)| bytes.chunks(3).map(|piece| (*way, piece))).collect();
    assert_eq!(sorted(&cut), whole);
    whole
}

#[test]
fn rules_see_frames_of_the_connection_and_of_streams() {
    let rules = [
        "alert http2 any any -> any any (http2.frametype:GOAWAY; sid:1;)",
        "alert http2 any any -> any any (http2.errorcode:CANCEL; sid:2;)",
        "alert http2 any any -> any any (http2.priority:>10; sid:3;)",
        "alert http2 any any -> any any (http2.window:<100; sid:4;)",
        "alert http2 any any -> any any (http2.settings:SETTINGS_ENABLE_PUSH=0; sid:5;)",
        "alert http2 any any -> any any (http2.settings:SETTINGS_MAX_FRAME_SIZE>20000; sid:6;)",
        "alert http2 any any -> any any (http2.size_update:32; sid:7;)",
        r#"alert http2 any any -> any any (http2.header_name; content:"agent"; sid:8;)"#,
        r#"alert http2 any any -> any any (http2.header; content:"agent: tool"; sid:9;)"#,
    ];
    let block = [&b"\x3f\x01"[..], GET, &field("agent", "tool")].concat();
    let client = [
        frame(SETTINGS, 0, 0, b"\0\x02\0\0\0\0\0\x05\0\0\x40\0"),
        frame(kind::WINDOW_UPDATE, 0, 0, b"\0\0\0\x05"),
        frame(HEADERS, END_HEADERS | END_STREAM, 1, &block),
        frame(kind::PRIORITY, 0, 3, b"\0\0\0\0\x10"),
        frame(kind::RST_STREAM, 0, 1, b"\0\0\0\x08"),
        frame(kind::GOAWAY, 0, 0, b"\0\0\0\x01\0\0\0\0bye"),
    ];
    assert_eq!(alerts(&rules, &client, &[]), [1, 2, 3, 4, 5, 7, 8, 9]);
}

#[test]
fn rules_see_bodies_without_padding_and_codings() {
    let rules = [
        r#"alert http2 any any -> any any (http.request_body; content:"question"; sid:1;)"#,
        r#"alert http any any -> any any (http.response_body; content:"an answer"; startswith; sid:2;)"#,
        r#"alert http any any -> any any (flow:to_client; file.data; content:"answer"; sid:3;)"#,
        "alert http2 any any -> any any (flow:to_client; app-layer-event:http2.failed_decompression; sid:4;)",
    ];
    let coded = |bytes: &[u8]| {
        use std::io::Write as _;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).and_then(|()| encoder.finish()).unwrap_or_default()
    };
    let client = [
        frame(HEADERS, END_HEADERS, 1, &[&b"\x83"[..], &GET[1..]].concat()),
        frame(DATA, PADDED, 1, b"\x02a ques\0\0"),
        frame(DATA, END_STREAM, 1, b"tion"),
    ];
    let body = coded(b"an answer of some length, an answer");
    let (begin, rest) = body.split_at(8);
    let server = [
        frame(HEADERS, END_HEADERS, 1, &[OK, &field("content-encoding", "gzip")].concat()),
        frame(DATA, 0, 1, begin),
        frame(DATA, END_STREAM, 1, rest),
    ];
    assert_eq!(alerts(&rules, &client, &server), [1, 2, 3]);
    let server = [
        frame(HEADERS, END_HEADERS, 1, &[OK, &field("content-encoding", "gzip")].concat()),
        frame(DATA, END_STREAM, 1, b"an answer that is not coded"),
    ];
    assert_eq!(alerts(&rules, &client, &server), [1, 2, 3, 4]);
}

#[test]
fn names_are_asked_for_over_it() {
    let query = b"\0\0\x01\0\0\x01\0\0\0\0\0\0\x03www\x07example\x03org\0\0\x01\0\x01";
    let rules = [
        r#"alert doh2 any any -> any any (dns.query; content:"www.example.org"; sid:1;)"#,
        r#"alert dns any any -> any any (dns.query; content:"example"; sid:2;)"#,
        r#"alert doh2 any any -> any any (http.method; content:"POST"; sid:3;)"#,
        "alert http2 any any -> any any (flow:to_server; app-layer-event:http2.dns_request_too_long; sid:4;)",
    ];
    let head = [&b"\x83\x44\x02/q"[..], &field("content-type", "application/dns-message")].concat();
    let client = [frame(HEADERS, END_HEADERS, 1, &head), frame(DATA, END_STREAM, 1, query)];
    assert_eq!(alerts(&rules, &client, &[]), [1, 2, 3]);
    let mut long = vec![frame(HEADERS, END_HEADERS, 1, &head)];
    long.extend(std::iter::repeat_n(frame(DATA, 0, 1, &[0; 255]), 258));
    assert_eq!(alerts(&rules, &long, &[]), [3, 4]);
}
