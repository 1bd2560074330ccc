#![expect(clippy::unwrap_used, reason = "a failed test may panic")]

use std::sync::Arc;

use super::super::hello::made;
use super::*;
use crate::dpi::inspector::{Inspector, Payload};
use crate::dpi::parser::{FlowView, Record};
use crate::dpi::recogniser::Recogniser;
use crate::dpi::{AppTable, Summary};
use crate::parse::{self, Addr};
use crate::time::Wall;

const ID: &[u8] = b"an id..";

fn varint(number: usize) -> [u8; 2] {
    (0x4000 | number as u16).to_be_bytes()
}

/// Frames of CRYPTO with these parts of `whole`, and padding.
fn frames(whole: &[u8], parts: &[(usize, usize)]) -> Vec<u8> {
    let mut frames = vec![1];
    for (start, end) in parts {
        frames.push(6);
        frames.extend(varint(*start));
        frames.extend(varint(end - start));
        frames.extend(&whole[*start..*end]);
        frames.push(0);
    }
    frames
}

/// An Initial of `version` under the keys of version 1.
fn initial(version: u32, frames: &[u8]) -> Vec<u8> {
    let mut padded = frames.to_vec();
    padded.resize(1_100, 0);
    let id = [ID, b"8"].concat();
    let header =
        [&[0xc3][..], &version.to_be_bytes(), &[8], &id, &[0, 0], &varint(padded.len() + 20)].concat();
    Keys::of_test(&id).seal(&header, 0, &padded)
}

fn told(payloads: &[&[u8]]) -> (Vec<String>, Summary, Option<String>) {
    let mut inspector = Inspector::new(Arc::new(Recogniser::new()), Arc::new(AppTable::default()), 4);
    let view = FlowView {
        initiator: (Addr::v4([192, 0, 2, 1]), 40_000),
        responder: (Addr::v4([198, 51, 100, 1]), 443),
        protocol: parse::Protocol::UDP,
        is_midstream: false,
        is_established: true,
        counts: crate::rules::detect::FlowCounts::default(),
    };
    let mut records = Vec::new();
    let mut note = |record: Record<'_>| {
        let texts = record.fields.iter().map(|(key, value)| format!("{key}={value:?} "));
        records.push(format!("{}: {}", record.event_type, texts.collect::<String>()));
    };
    let (slot, _) = inspector.start(&view, Wall(0));
    for bytes in payloads {
        let payload = Payload { way: Direction::Forward, bytes, tcp: None, urgent: None, at: Wall(0) };
        inspector.look(slot, &view, &payload, &mut note);
    }
    let (summary, host) = inspector.end(slot, &view, Wall(0), &mut note);
    (records, summary, host.map(String::from))
}

fn peek(bytes: &[u8]) -> Peek<'_> {
    crate::dpi::protocol::samples::peek(bytes, 443, false)
}

#[test]
fn a_hello_is_put_together_from_several_packets() {
    let hello = made::message(1, &made::usual_client(b"www.example.org"));
    let len = hello.len();
    let first = initial(1, &frames(&hello, &[(40, 60), (len - 9, len), (0, 40)]));
    let second = initial(1, &frames(&hello, &[(90, len - 5), (60, 95)]));
    for order in [[&first[..], &second[..]], [&second, &first]] {
        let (records, summary, host) = told(&order);
        assert_eq!(records.len(), 1, "{records:?}");
        assert!(records[0].contains("ja3=") && records[0].contains("extensions="), "{records:?}");
        assert_eq!((summary.protocol, host.as_deref()), (Some(&QUIC), Some("www.example.org")));
    }
    let (records, ..) = told(&[&first]);
    assert!(records.len() == 1 && !records[0].contains("sni"), "{records:?}");
}

#[test]
fn a_version_that_nobody_knows_is_quic_if_its_hello_opens() {
    let hello = made::message(1, &made::usual_client(b"www.example.org"));
    let mut packet = initial(0x1234_5678, &frames(&hello, &[(0, hello.len())]));
    assert_eq!(is_long(&peek(&packet)), Match::Yes(90));
    assert_eq!(told(&[&packet]).2.as_deref(), Some("www.example.org"));
    packet[500] ^= 1;
    assert_eq!(is_long(&peek(&packet)), Match::No);
}

#[test]
fn googles_hello_is_read_in_clear() {
    let hello = b"CHLO\x02\0\0\0SNI\0\x09\0\0\0UAID\x0c\0\0\0a.exampleabc";
    let first = [&[0x0d][..], b"12345678Q043\x01", &[9; 12], &[0xa0, 1, 0, 4], hello].concat();
    let long = [&[0xc3][..], b"Q046\x5012345678", &[0, 0, 0, 1], &[9; 12], &[0xa0, 1, 0, 4], hello].concat();
    for packet in [first, long] {
        let (records, summary, host) = told(&[&packet]);
        assert!(records.len() == 1 && records[0].contains("cyu="), "{records:?}");
        assert_eq!((summary.protocol, host.as_deref()), (Some(&QUIC), Some("a.example")));
    }
}

#[test]
fn negotiation_is_recognised_and_other_datagrams_are_not() {
    let negotiation =
        [&[0x80, 0, 0, 0, 0, 4][..], b"abcd", &[4], b"efgh", &[0, 0, 0, 1, 0x1a, 0x2a, 0x3a, 0x4a]];
    assert_eq!(is_long(&peek(&negotiation.concat())), Match::Yes(92));
    for other in [
        &[0x80, 0, 0, 1, 0, 0, 0, 9, 1, 2, 3, 4, 5, 6, 7, 8][..],
        &[0xff; 100],
        &[0xc3, 0, 0, 0, 1, 30, 0],
        &[0xc3, 0, 0, 0, 1, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0x44, 0xff, 1, 2, 3],
        &[],
    ] {
        assert_eq!(is_long(&peek(other)), Match::No, "{other:x?}");
    }
    assert_eq!(is_google(&peek(b"\x0d12345678Q9999")), Match::No);
}

#[test]
fn whatever_comes_is_survived() {
    let hello = made::message(1, &made::usual_client(b"www.example.org"));
    let clear = frames(&hello, &[(40, hello.len()), (0, 40)]);
    let packet = initial(1, &clear);
    for len in (0..packet.len()).step_by(7) {
        told(&[&packet[..len]]);
    }
    let mut seed = 3_u64;
    let mut random = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize
    };
    for _ in 0..500 {
        // Changed before it is sealed, so that the change is read.
        let mut mutated = clear.clone();
        for _ in 0..1 + random() % 6 {
            let at = random() % mutated.len();
            mutated[at] = random() as u8;
        }
        told(&[&initial(1, &mutated)]);
        let mut header = packet[..40].to_vec();
        let at = random() % header.len();
        header[at] = random() as u8;
        let _ = (Long::read(&header), is_long(&peek(&header)), is_google(&peek(&header)));
    }
    let _ = Message::read(b"CHLO").unwrap_or(Message::read(b"CHLO\0\0\0\0").unwrap());
}
