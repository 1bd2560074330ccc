#![expect(clippy::unwrap_used, reason = "a failed test may panic")]

use std::sync::Arc;

use super::super::hello::made;
use super::*;
use crate::dpi::inspector::{Inspector, Payload};
use crate::dpi::parser::{FlowView, Record};
use crate::dpi::recogniser::Recogniser;
use crate::dpi::{AppTable, Risk};
use crate::parse::{self, Addr, TcpFlags};
use crate::time::Wall;

fn peek(bytes: &[u8]) -> Peek<'_> {
    crate::dpi::protocol::samples::peek(bytes, 443, true)
}

fn client() -> Vec<u8> {
    made::record(22, &made::message(1, &made::usual_client(b"www.example.org")))
}

fn server(version: u16) -> Vec<u8> {
    let extensions = if version == 0x0304 { vec![made::extension(43, &[3, 4])] } else { vec![] };
    made::record(22, &made::message(2, &made::server_body(version.min(0x0303), 0xc02f, &extensions)))
}

/// A certificate of `*.example.org`, made for this test.
const CERTIFICATE: &[u8] = include_bytes!("certificate.der");

/// What is told of payloads, and what is known at the end.
fn told(port: u16, payloads: &[(Direction, &[u8])]) -> (Vec<String>, crate::dpi::Summary, Option<String>) {
    let apps = Arc::new(AppTable::default());
    let mut inspector = Inspector::new(Arc::new(Recogniser::new()), apps, 4);
    let view = FlowView {
        initiator: (Addr::v4([192, 0, 2, 1]), 40_000),
        responder: (Addr::v4([198, 51, 100, 1]), port),
        protocol: parse::Protocol::TCP,
        is_midstream: false,
        is_established: true,
        counts: crate::rules::detect::FlowCounts::default(),
    };
    let mut records = Vec::new();
    let mut note = |record: Record<'_>| {
        let texts = record.fields.iter().map(|(key, value)| format!("{key}={value:?} "));
        records.push(format!("{}: {}", record.event_type, texts.collect::<String>()));
    };
    let at = Wall(1_760_000_000_000_000_000);
    let (slot, _) = inspector.start(&view, Wall(0));
    let mut next = [1_u32, 1];
    for (way, bytes) in payloads {
        let tcp = Some((next[*way as usize], TcpFlags::default()));
        next[*way as usize] += bytes.len() as u32;
        inspector.look(slot, &view, &Payload { way: *way, bytes, tcp, urgent: None, at }, &mut note);
    }
    let (summary, host) = inspector.end(slot, &view, at, &mut note);
    (records, summary, host.map(String::from))
}

use Direction::{Forward, Reverse};

#[test]
fn a_session_is_told_once_with_what_both_said() {
    let (client, server) = (client(), server(0x0304));
    let (records, summary, host) = told(443, &[(Forward, &client), (Reverse, &server), (Reverse, &server)]);
    assert_eq!(records.len(), 1, "{records:?}");
    assert!(records[0].starts_with("tls: version=") && records[0].contains("ja3s="), "{records:?}");
    assert_eq!(host.as_deref(), Some("www.example.org"));
    assert_eq!(summary.protocol, Some(&TLS));
    assert_eq!(summary.risks.iter().count(), 0);
}

#[test]
fn a_certificate_is_told_from_whatever_pieces_it_comes_in() {
    let list = [&(CERTIFICATE.len() as u32).to_be_bytes()[1..], CERTIFICATE].concat();
    let list = [&(list.len() as u32).to_be_bytes()[1..], &list].concat();
    let message = made::message(11, &list);
    let (client, hello) = (client(), server(0x0303));
    let mut shapes = vec![[hello.clone(), made::record(22, &message)].concat()];
    let pieces: Vec<u8> = message.chunks(100).flat_map(|piece| made::record(22, piece)).collect();
    shapes.push([hello, pieces].concat());
    for shape in shapes {
        let mut payloads = vec![(Forward, &client[..])];
        payloads.extend(shape.chunks(90).map(|chunk| (Reverse, chunk)));
        let (records, summary, _) = told(993, &payloads);
        assert_eq!(records.len(), 1, "{records:?}");
        for part in ["CN=*.example.org", "notbefore", "www.example.org", "serial", "TLS 1.2"] {
            let text = records[0].replace(", ", ",");
            let bytes = format!("{:?}", part.as_bytes()).replace(", ", ",");
            let inner = &bytes[1..bytes.len() - 1];
            assert!(text.contains(part) || text.contains(inner), "{part} in {text}");
        }
        assert_eq!(summary.protocol.unwrap().name, "imaps");
        assert!(summary.risks.has(Risk::SelfSigned) && !summary.risks.has(Risk::CertificateMismatch));
    }
}

#[test]
fn a_client_alone_is_told_at_the_end_and_a_resumed_session_says_so() {
    let (records, ..) = told(443, &[(Forward, &client())]);
    assert_eq!(records.len(), 1, "{records:?}");
    let mut body = made::usual_client(b"www.example.org");
    body.splice(34..35, [&[32][..], &[9; 32]].concat());
    let client = made::record(22, &made::message(1, &body));
    let mut body = made::server_body(0x0303, 0xc02f, &[]);
    body.splice(34..35, [&[32][..], &[9; 32]].concat());
    let server = [made::record(22, &made::message(2, &body)), made::record(20, &[1])].concat();
    let (records, ..) = told(443, &[(Forward, &client), (Reverse, &server)]);
    assert!(records.len() == 1 && records[0].contains("session_resumed=Bool(true)"), "{records:?}");
}

#[test]
fn flows_seen_from_their_middle_are_still_tls() {
    let data = made::record(23, &[0x5a; 100]);
    let (records, summary, _) = told(443, &[(Forward, &data), (Reverse, &data), (Forward, &data)]);
    assert!(records.is_empty());
    assert_eq!(summary.protocol, Some(&TLS));
}

#[test]
fn old_hellos_are_recognised() {
    let hello = [&[0x80, 0x2e, 1, 0, 2, 0, 3 * 7, 0, 0, 0, 16][..], &[1; 21], &[2; 16]].concat();
    assert_eq!(is_old_hello(&peek(&hello)), Match::Yes(95));
    let (records, summary, _) = told(443, &[(Forward, &hello)]);
    assert_eq!(records.len(), 1, "{records:?}");
    assert!(summary.risks.has(Risk::ObsoleteVersion));
    for len in 0..11 {
        assert_eq!(is_old_hello(&peek(&hello[..len])), Match::More);
    }
}

#[test]
fn other_streams_are_not_tls() {
    for bytes in [
        &b"\x16\x03\x09\x00\x10\x01\x00\x00\x00\x00\x00"[..],
        b"\x16\x03\x01\x00\x40\x01\x00\x00\x3c\x09\x09\x00\x00",
        b"\x17\x00\x03\x2a\x00\x00\x00\x00\x00\x00",
        b"\x15\x03\x01\x00\x02\x09\x00 and more",
        b"\x14\x03\x01\x00\x09 whatever",
    ] {
        assert_eq!(is_record(&peek(bytes)), Match::No, "{bytes:x?}");
    }
    assert_eq!(is_old_hello(&peek(b"\x80\x2e\x09\x00\x02\x00\x00\x00\x00\x00\x00\x00\x00")), Match::No);
}

/// Numbers that look random and are the same in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize
    }
}

#[test]
fn whatever_comes_is_survived() {
    let flight =
        [server(0x0303), made::record(22, &made::message(11, &[0, 0, 9, 0, 0, 6, 1, 2, 3, 4, 5, 6]))];
    let whole = [client(), flight.concat()];
    let mut random = Random(7);
    for len in 0..whole[0].len() {
        told(443, &[(Forward, &whole[0][..len]), (Reverse, &whole[1])]);
        let _ = is_record(&peek(&whole[0][..len]));
    }
    for _ in 0..2_000 {
        let mut parser = Tls::default();
        let mut mutated = whole.clone();
        for _ in 0..1 + random.next() % 8 {
            let side = random.next() % 2;
            let at = random.next() % mutated[side].len();
            mutated[side][at] = random.next() as u8;
        }
        let at = random.next() % mutated[0].len();
        let (front, back) = mutated[0].split_at(at);
        told(443, &[(Forward, front), (Forward, back), (Reverse, &mutated[1])]);
        let _ = (&mut parser, is_record(&peek(front)), is_old_hello(&peek(back)));
    }
}
