//! Messages of both ways, whole, in pieces, without a head and with bytes missing.
#![expect(clippy::unwrap_used, reason = "a failed test may panic")]

use super::*;

#[test]
fn messages_are_known_by_their_first_line() {
    for (bytes, expected) in [
        (&b"GET / HTTP/1.1\r\n"[..], Match::Yes(95)),
        (b"M-SEARCH * HTTP/1.1\r\n", Match::Yes(95)),
        (b"CONNECT a.example:443 HTTP/1.1\r\n", Match::Yes(95)),
        (b"HTTP/1.1 200 OK\r\n", Match::Yes(95)),
        (b"GET /old\r\n", Match::Yes(85)),
        (b"GET /old of files\r\n", Match::Yes(60)),
        (b"GET /\nAccept: */*\nhost: a.example\n\n", Match::Yes(85)),
        (b"GET /long", Match::More),
        (b"GE", Match::More),
        (b"HTTP", Match::More),
        (b"OPTIONS * RTSP/1.0\r\n", Match::No),
        (b"OPTIONS sip:a@b.example SIP/2.0\r\n", Match::No),
        (b"EHLO there\r\n", Match::No),
        (b"SSH-2.0-x\r\n", Match::No),
        (b"PRI * HTTP/2.0\r\n", Match::No),
    ] {
        assert_eq!(start_of(bytes), expected, "{}", String::from_utf8_lossy(bytes));
    }
}

/// Both directions, the second after the first, each in pieces of `step` bytes; returns how many records came.
fn records_of(request: &[u8], response: &[u8], step: usize) -> usize {
    use crate::dpi::inspector::{Inspector, Payload};
    use crate::dpi::{AppTable, FlowView, recogniser::Recogniser};
    use crate::parse::{Addr, TcpFlags};
    let mut inspector = Inspector::new(Recogniser::new().into(), AppTable::default().into(), 1);
    let end = |last| (Addr::v4([192, 0, 2, last]), 80);
    let view = FlowView {
        initiator: end(1),
        responder: end(2),
        protocol: 6,
        is_midstream: false,
        is_established: true,
        counts: crate::rules::detect::FlowCounts::default(),
    };
    let (slot, _) = inspector.start(&view, crate::time::Wall(0));
    let mut count = 0;
    for (way, bytes) in [(Direction::Forward, request), (Direction::Reverse, response)] {
        inspector.syn(slot, way, 0);
        for (at, piece) in bytes.chunks(step).enumerate() {
            let tcp = Some(((at * step) as u32 + 1, TcpFlags(0x10)));
            let payload = Payload { way, bytes: piece, tcp, urgent: None, at: crate::time::Wall(0) };
            inspector.look(slot, &view, &payload, &mut |_| count += 1);
        }
    }
    inspector.end(slot, &view, crate::time::Wall(0), &mut |_| count += 1);
    count
}

#[test]
fn pipelined_requests_meet_their_responses_however_they_are_cut() {
    let request = b"GET /a HTTP/1.1\r\nHost: a.example\r\n\r\nPOST /b HTTP/1.1\r\nHost: a.example\r\n\
        Content-Length: 3\r\n\r\nx=1HEAD /c HTTP/1.1\r\nHost: a.example\r\n\r\n";
    let response = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n\
        HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n";
    for step in [7, 40, 1_000] {
        assert_eq!(records_of(request, response, step), 3, "in pieces of {step}");
    }
    let bare = response.split(|byte| *byte == b'\r').collect::<Vec<_>>().concat();
    assert_eq!(records_of(request, &bare, 40), 3, "line feeds alone");
    for len in 0..response.len() {
        assert!(records_of(request, &response[..len], 50) <= 4);
    }
}

const GET: &[u8] = b"GET /a HTTP/1.1\r\nHost: a.example\r\n\r\n";
const OLD: &[u8] = b"GET /a\r\n";
const RULES: [&str; 3] = [
    "alert http any any -> any any (http.response_body; content:\"secret\"; sid:1;)",
    "alert http any any -> any any (file.data; content:\"secret\"; sid:2;)",
    "alert http any any -> any any (http.stat_code; content:\"200\"; sid:3;)",
];

#[test]
fn an_answer_without_a_head_is_a_body() {
    use crate::dpi::feed::samples::alerts_of;
    let (forward, reverse) = (Direction::Forward, Direction::Reverse);
    let whole: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret";
    let after_a_line: &[u8] = b"warning\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret";
    for (name, request, answers, told) in [
        ("HTTP/0.9", OLD, [&b"<p>se"[..], b"cret\n"], vec![1, 2]),
        ("HTTP/0.9, and what looks like a head", OLD, [whole, b""], vec![1, 2]),
        ("no status line", GET, [b"<p>secret</p>\r\n", b"more"], vec![1, 2]),
        ("a line before the head", GET, [after_a_line, b""], vec![3, 1, 2]),
        ("a head", GET, [whole, b""], vec![3, 1, 2]),
    ] {
        let payloads = [(forward, request), (reverse, answers[0]), (reverse, answers[1])];
        let payloads: Vec<_> = payloads.into_iter().filter(|(_, bytes)| !bytes.is_empty()).collect();
        let mut alerts = alerts_of(80, &RULES, &payloads);
        alerts.sort_by_key(|sid| sid % 3);
        assert_eq!(alerts, told, "{name}");
    }
}

/// Numbers of rules that match a flow of which bytes are missing: which way a payload goes, bytes missing before it.
fn alerts_over_gaps(rules: &[&str], payloads: &[(Direction, u32, &[u8])]) -> Vec<u32> {
    use crate::dpi::inspector::{Inspector, Payload};
    use crate::dpi::{AppTable, FlowView, recogniser::Recogniser};
    use crate::parse::{Addr, TcpFlags};
    use crate::rules::{RuleSet, Signature, memory::Names, set::Options};
    let signatures = rules.iter().map(|text| Signature::of_text(text)).collect();
    let set = RuleSet::new(signatures, &mut Names::default(), Options::default()).unwrap();
    let mut inspector = Inspector::new(Recogniser::new().into(), AppTable::default().into(), 1);
    inspector.follow_rules(Some(&set.into()));
    let view = FlowView {
        initiator: (Addr::v4([192, 0, 2, 1]), 40_000),
        responder: (Addr::v4([192, 0, 2, 2]), 80),
        protocol: 6,
        is_midstream: false,
        is_established: true,
        counts: crate::rules::detect::FlowCounts::default(),
    };
    let at = crate::time::Wall(0);
    let (slot, _) = inspector.start(&view, at);
    let (mut sent, mut told, mut hits) = ([1_u32; 2], Vec::new(), Vec::new());
    for way in [Direction::Forward, Direction::Reverse] {
        inspector.syn(slot, way, 0);
    }
    for (way, missing, bytes) in payloads {
        let seq = sent[*way as usize] + missing;
        sent[*way as usize] = seq + bytes.len() as u32;
        let payload = Payload { way: *way, bytes, tcp: Some((seq, TcpFlags(0x10))), urgent: None, at };
        inspector.look(slot, &view, &payload, &mut |_| {});
        inspector.acknowledged(slot, &view, way.opposite(), sent[*way as usize], at, &mut |_| {});
        inspector.rules().take_hits(0, &mut hits);
        for hit in &hits {
            told.push(inspector.rules().signature(hit).unwrap().rule.sid);
        }
    }
    inspector.end(slot, &view, at, &mut |_| {});
    inspector.rules().take_hits(0, &mut hits);
    for hit in &hits {
        told.push(inspector.rules().signature(hit).unwrap().rule.sid);
    }
    told
}

#[test]
fn a_head_goes_on_behind_missing_bytes() {
    let (forward, reverse) = (Direction::Forward, Direction::Reverse);
    let rules = [
        "alert http any any -> any any (http.uri; content:\"malicious\"; sid:1;)",
        "alert http any any -> any any (http.stat_msg; content:\"OK\"; sid:2;)",
        "alert http any any -> any any (http.response_body; content:\"AAAA\"; sid:3;)",
        "alert tcp any any -> any any (content:\"malicious\"; sid:4;)",
        "alert http any any -> any any (http.uri; content:\"/a\"; sid:5;)",
    ];
    let answer: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody";
    for (name, payloads, expected) in [
        (
            "before it is known what is spoken",
            &[(forward, 0, &b"GET /malic"[..]), (forward, 1, b"ious HTTP/1.1\r\nHost: a\r\n\r\n")][..],
            &[1][..],
        ),
        (
            "of a later request",
            &[(forward, 0, GET), (forward, 0, b"GET /malic"), (forward, 9, b"ious HTTP/1.1\r\n\r\n")],
            &[5, 1],
        ),
        ("all of the rest", &[(forward, 0, b"GET /x"), (forward, 90, GET)], &[5]),
        (
            "of an answer",
            &[(forward, 0, GET), (reverse, 0, b"HTTP/1.1 20"), (reverse, 2, b"OK\r\n\r\n")],
            &[5],
        ),
        ("all of an answer", &[(forward, 0, GET), (forward, 0, GET), (reverse, 99, answer)], &[5, 5, 2]),
        (
            "the head of an answer",
            &[
                (forward, 0, GET),
                (forward, 0, GET),
                (reverse, 0, answer),
                (reverse, 99, b"AAAA"),
                (reverse, 0, answer),
            ],
            &[5, 5, 2, 3],
        ),
    ] {
        assert_eq!(alerts_over_gaps(&rules, payloads), expected, "{name}");
    }
}

#[test]
fn hosts_are_split_from_ports() {
    assert_eq!(split_port(b"a.example:80"), (&b"a.example"[..], Some(80)));
    assert_eq!(split_port(b"a.example"), (&b"a.example"[..], None));
    assert_eq!(authority_of(b"http://u@a.example/x"), Some(&b"a.example"[..]));
}
