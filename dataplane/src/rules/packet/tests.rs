//! Rules against packets made by hand.

#![expect(clippy::unwrap_used, reason = "a failed test may panic")]

use super::*;
use crate::parse::parse_ethernet;
use crate::rules::Rule;
use crate::rules::language::{RuleText, Variables, read};

/// An Ethernet frame with IPv4: protocol, options, and what follows. Addresses are 10.0.0.1 and 192.0.2.9.
fn ipv4(protocol: u8, flags_and_offset: u16, options: &[u8], data: &[u8]) -> Vec<u8> {
    let header_len = 20 + options.len();
    let total = (header_len + data.len()) as u16;
    let mut header = vec![0x40 | (header_len / 4) as u8, 0x10];
    header.extend(total.to_be_bytes());
    header.extend(0x1234_u16.to_be_bytes());
    header.extend(flags_and_offset.to_be_bytes());
    header.extend([64, protocol, 0, 0, 10, 0, 0, 1, 192, 0, 2, 9]);
    header.extend(options);
    let sum = Sum::default().add_bytes(&header).checksum();
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    [&[2; 12][..], &[8, 0], &header, data].concat()
}

pub(in crate::rules) fn tcp(src: u16, dst: u16, flags: u8, data: &[u8]) -> Vec<u8> {
    let mut segment = [src.to_be_bytes(), dst.to_be_bytes()].concat();
    segment.extend(7_u32.to_be_bytes());
    segment.extend(9_u32.to_be_bytes());
    segment.extend([0x50, flags, 1, 0, 0, 0, 0, 0]);
    segment.extend(data);
    ipv4(6, 0x4000, &[], &segment)
}

fn rule(header: &str, body: &str) -> Rule {
    let text = format!("alert {header} ({body} sid:1;)");
    read(&RuleText::of(text.as_bytes()), &mut Variables::usual()).unwrap()
}

fn matches(rule: &Rule, frame: &[u8], way: Option<Direction>) -> bool {
    let headers = parse_ethernet(frame).unwrap();
    let view = View { headers: &headers, bytes: frame, way, is_established: true, is_reassembled: false };
    let holds = |condition: &Condition| Check::new(condition).unwrap().unwrap().holds(&view);
    concerns(&rule.header, &rule.flow, &view) && rule.conditions.iter().all(holds)
}

#[test]
fn every_number_that_rules_name_is_read() {
    for field in PACKET_FIELDS {
        assert!(PacketNumber::named(field.name).is_some(), "{}", field.name);
    }
    for name in CHECKSUMS {
        assert!(summed(name).is_some(), "{name}");
    }
}

#[test]
fn the_header_says_which_packets_are_meant() {
    let frame = tcp(1_024, 80, 0x18, b"hello");
    for (header, is_meant) in [
        ("tcp any any -> any any", true),
        ("tcp-pkt any any -> any 80", true),
        ("ip any any -> any any", true),
        ("ipv4 any any -> any any", true),
        ("ipv6 any any -> any any", false),
        ("udp any any -> any any", false),
        ("icmp any any -> any any", false),
        ("arp any any -> any any", false),
        ("pkthdr any any -> any any", true),
        ("tcp 10.0.0.0/8 1024: -> !10.0.0.0/8 80", true),
        ("tcp $HOME_NET any -> $EXTERNAL_NET $HTTP_PORTS", true),
        ("tcp any 80 -> any any", false),
        ("tcp any 80 <> any any", true),
        ("tcp 192.0.2.9 any -> any any", false),
        ("tcp 192.0.2.9 80 <> 10.0.0.1 any", true),
        ("tcp 192.0.2.9 1024 <> 10.0.0.1 any", false),
        ("http any any -> any any", true),
    ] {
        assert_eq!(matches(&rule(header, ""), &frame, Some(Direction::Forward)), is_meant, "{header}");
    }
    assert!(!matches(&rule("http any any -> any any", ""), &frame, None));
    // Of a fragment the ports are not known.
    let fragment = ipv4(6, 0x2000, &[], &[0; 24]);
    assert!(!matches(&rule("tcp any any -> any any", ""), &fragment, None));
    assert!(matches(&rule("ip any any -> any any", "fragbits:M;"), &fragment, None));
}

#[test]
fn conditions_hold_or_not() {
    let frame = tcp(1_024, 80, 0x18, b"hello");
    for (body, holds) in [
        ("ttl:64;", true),
        ("ttl:<64;", false),
        ("id:0x1234;", true),
        ("tos:16;", true),
        ("ip_proto:tcp;", true),
        ("ip_proto:!6;", false),
        ("seq:7; ack:9; window:256;", true),
        ("tcp.mss:>0;", false),
        ("itype:8;", false),
        ("fragoffset:0;", true),
        ("dsize:5;", true),
        ("dsize:>5;", false),
        ("dsize:4<>6;", true),
        ("flags:PA;", true),
        ("flags:A;", false),
        ("flags:+A;", true),
        ("flags:*SA;", true),
        ("flags:!S;", true),
        ("flags:!PA;", false),
        ("flags:A,P;", true),
        ("fragbits:D;", true),
        ("fragbits:!D;", false),
        ("fragbits:*MD;", true),
        ("ipopts:any;", false),
        ("sameip;", false),
        ("ipv4-csum:valid;", true),
        ("tcpv4-csum:invalid;", true),
        ("tcpv6-csum:valid;", false),
        ("udpv4-csum:invalid;", false),
        ("flow:to_server;", true),
        ("flow:to_client;", false),
        ("flow:established;", true),
        ("flow:not_established;", false),
        ("flow:only_stream;", false),
        ("flow:no_frag;", true),
        ("flow:only_frag;", false),
        ("vlan.layers:0;", true),
    ] {
        assert_eq!(
            matches(&rule("ip any any -> any any", body), &frame, Some(Direction::Forward)),
            holds,
            "{body}"
        );
    }
}

#[test]
fn icmp_options_and_chunks_are_read_from_the_bytes() {
    let any = "ip any any -> any any";
    let echo = ipv4(1, 0, &[148, 4, 0, 0], &[8, 0, 0xf7, 0xf5, 0, 3, 0, 7]);
    assert!(matches(
        &rule("icmp any any -> any any", "itype:8; icode:0; icmp_id:3; icmp_seq:7;"),
        &echo,
        None
    ));
    assert!(matches(&rule(any, "icmpv4-csum:valid; ipopts:rtralt; ipopts:any;"), &echo, None));
    assert!(!matches(&rule(any, "ipopts:rr;"), &echo, None));
    let recorded = ipv4(1, 0, &[7, 3, 4, 0], &[8, 0, 0xf7, 0xf5, 0, 3, 0, 7]);
    assert!(matches(&rule(any, "ipopts:rr;"), &recorded, None));
    assert!(!matches(&rule(any, "ipopts:ssrr;"), &recorded, None));
    let report = ipv4(2, 0, &[], &[0x16, 0, 9, 4, 224, 0, 0, 251]);
    assert!(matches(&rule("igmp any any -> any any", "igmp.type:0x16; igmp-csum:valid;"), &report, None));
    let mut chunks = [1_024_u16.to_be_bytes(), 80_u16.to_be_bytes()].concat();
    chunks.extend(0xd429_57fe_u32.to_be_bytes());
    chunks.extend([0; 4]);
    chunks.extend([1, 0, 0, 5, 9, 0, 0, 0]);
    chunks.extend([3, 0, 0, 4]);
    let sctp = ipv4(132, 0, &[], &chunks);
    let body = "sctp.vtag:0xd42957fe; sctp.chunk_type:init; sctp.chunk_cnt:2;";
    assert!(matches(&rule("sctp any any -> any 80", body), &sctp, None));
}
