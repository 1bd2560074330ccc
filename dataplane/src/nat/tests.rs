use proptest::prelude::*;

use super::craft::{
    CLIENT, CLIENT_MAC, CLIENT6, Layout, SERVER, SERVER_MAC, SERVER6, Segment, ethernet, icmp, ip_packet,
    sound, tcp, udp,
};
use super::layers::Layers;
use super::*;
use crate::defrag::{Defrag, DefragConfig, Offer};
use crate::flow::Direction;
use crate::parse::checksum::{ChecksumState, transport_checksum};
use crate::parse::{Addr, Headers, Mac, Network, TcpFlags, Transport, parse_datagram, parse_ethernet};
use crate::time::Tick;
use crate::verdict::Reason;

const TARGET: Addr = Addr::v4([198, 51, 100, 7]);
const TARGET6: Addr = Addr([0x20, 1, 0xd, 0xb8, 0, 3, 0, 0, 0, 0, 0, 0, 0xff, 0xfe, 1, 7]);
const NEXT_HOP: Mac = Mac([2, 0, 0, 0, 0, 0x7a]);

fn redirect(v6: bool) -> Redirect {
    Redirect {
        target: Target { addr: if v6 { TARGET6 } else { TARGET }, port: 8443, next_hop: None },
        original: Original { addr: if v6 { SERVER6 } else { SERVER }, port: 443, mac: Some(Mac(SERVER_MAC)) },
    }
}

fn addrs(v6: bool) -> (Addr, Addr) {
    if v6 { (CLIENT6, SERVER6) } else { (CLIENT, SERVER) }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Tcp,
    Udp,
    UdpUnsummed,
}

fn packet(kind: Kind, (src, dst): (Addr, Addr), ports: (u16, u16), data: &[u8]) -> Vec<u8> {
    match kind {
        Kind::Tcp => {
            let segment = Segment { ports, seq: 1000, ack: 7000, flags: TcpFlags::ACK, data };
            ip_packet(src, dst, 6, &tcp(src, dst, segment))
        }
        Kind::Udp => ip_packet(src, dst, 17, &udp(src, dst, ports.0, ports.1, data, true)),
        Kind::UdpUnsummed => ip_packet(src, dst, 17, &udp(src, dst, ports.0, ports.1, data, false)),
    }
}

#[test]
fn redirect_rewrites_both_ways_in_every_layout() {
    for layout in Layout::ALL {
        for (v6, kind) in [
            (false, Kind::Tcp),
            (false, Kind::Udp),
            (false, Kind::UdpUnsummed),
            (true, Kind::Tcp),
            (true, Kind::Udp),
        ] {
            let redirect = redirect(v6);
            let (client, server) = addrs(v6);
            let target = redirect.target.addr;

            let mut frame = layout.frame(&packet(kind, (client, server), (5555, 443), b"hello"), false);
            let before = sound(&frame);
            redirect.apply(Direction::Forward, &mut frame, &before).unwrap();
            assert_eq!(frame, layout.frame(&packet(kind, (client, target), (5555, 8443), b"hello"), false));
            sound(&frame);

            let mut reply = layout.frame(&packet(kind, (target, client), (8443, 5555), b"answer"), true);
            let before = sound(&reply);
            redirect.apply(Direction::Reverse, &mut reply, &before).unwrap();
            assert_eq!(reply, layout.frame(&packet(kind, (server, client), (443, 5555), b"answer"), true));
            sound(&reply);
        }
    }
}

#[test]
fn next_hop_replaces_the_nearest_ethernet_destination_and_replies_get_the_original_back() {
    for (layout, ethernet_at) in [(Layout::Plain, 0), (Layout::Qinq, 0), (Layout::VxlanSummed, 50)] {
        let mut redirect = redirect(false);
        redirect.target.next_hop = Some(NEXT_HOP);
        let mut frame = layout.frame(&packet(Kind::Tcp, addrs(false), (5555, 443), b"x"), false);
        let before = sound(&frame);
        redirect.apply(Direction::Forward, &mut frame, &before).unwrap();
        sound(&frame);
        assert_eq!(frame[ethernet_at..ethernet_at + 6], NEXT_HOP.0);

        let mut reply = layout.frame(&packet(Kind::Tcp, (TARGET, CLIENT), (8443, 5555), b"x"), true);
        reply[ethernet_at + 6..ethernet_at + 12].copy_from_slice(&NEXT_HOP.0);
        if layout == Layout::VxlanSummed {
            reply[40..42].fill(0); // the test changed what its checksum covers
        }
        let before = sound(&reply);
        redirect.apply(Direction::Reverse, &mut reply, &before).unwrap();
        sound(&reply);
        assert_eq!(reply[ethernet_at + 6..ethernet_at + 12], SERVER_MAC);
    }
}

#[test]
fn port_zero_keeps_the_port_both_ways_and_echo_is_redirected_by_address() {
    for v6 in [false, true] {
        let mut redirect = redirect(v6);
        redirect.target.port = 0;
        let (client, server) = addrs(v6);
        let mut frame = Layout::Plain.frame(&packet(Kind::Tcp, (client, server), (5555, 443), b""), false);
        let before = sound(&frame);
        redirect.apply(Direction::Forward, &mut frame, &before).unwrap();
        assert_eq!(sound(&frame).ports(), (5555, 443));
        let mut reply =
            Layout::Plain.frame(&packet(Kind::Tcp, (redirect.target.addr, client), (443, 5555), b""), true);
        let before = sound(&reply);
        redirect.apply(Direction::Reverse, &mut reply, &before).unwrap();
        let after = sound(&reply);
        assert_eq!((after.ports(), after.addrs()), ((443, 5555), Some((server, client))));

        let (protocol, kind) = if v6 { (58, 128) } else { (1, 8) };
        let echo = icmp(client, server, kind, 0, &[0, 1, 0, 2, b'p']);
        let mut frame = Layout::Plain.frame(&ip_packet(client, server, protocol, &echo), false);
        let before = sound(&frame);
        redirect.apply(Direction::Forward, &mut frame, &before).unwrap();
        assert_eq!(sound(&frame).addrs(), Some((client, redirect.target.addr)));
    }
}

#[test]
fn impossible_redirects_change_nothing() {
    let (client, server) = addrs(false);
    let other_family = Redirect { target: redirect(true).target, ..redirect(false) };
    let mut sctp = ip_packet(client, server, 132, &[0x15, 0xb3, 1, 0xbb, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4]);
    sctp.extend([0; 8]);
    let ah = ip_packet(client, server, 51, &[6; 24]);
    let cases = [
        ("other family", other_family, packet(Kind::Tcp, (client, server), (5555, 443), b"")),
        ("other destination", redirect(false), packet(Kind::Tcp, (client, TARGET), (5555, 443), b"")),
        ("sctp", redirect(false), sctp),
        ("ah", redirect(false), ah),
    ];
    for (name, redirect, packet) in cases {
        let mut frame = Layout::Plain.frame(&packet, false);
        let (before, headers) = (frame.clone(), parse_ethernet(&frame).unwrap());
        let result = redirect.apply(Direction::Forward, &mut frame, &headers);
        assert_eq!(result, Err(Reason::RedirectImpossible), "{name}");
        assert_eq!(frame, before);
    }
    // A routing header with segments left: the checksum covers another destination than the header's.
    let mut data = vec![17, 2, 4, 1, 0, 0, 0, 0];
    data.extend([0; 16]);
    data.extend(udp(CLIENT6, SERVER6, 5555, 443, b"", true));
    let mut frame = Layout::Plain.frame(&ip_packet(CLIENT6, SERVER6, 43, &data), false);
    let headers = parse_ethernet(&frame).unwrap();
    let result = redirect(true).apply(Direction::Forward, &mut frame, &headers);
    assert_eq!(result, Err(Reason::RedirectImpossible));
}

/// An ICMP error from `from` to `to` that quotes `quoted`, cut to `keep` bytes.
fn error(from: Addr, to: Addr, quoted: &[u8], keep: usize) -> Vec<u8> {
    let rest = [&[0, 0, 0, 0][..], &quoted[..keep.min(quoted.len())]].concat();
    let (protocol, kind) = if from.is_v4() { (1, 3) } else { (58, 1) };
    ip_packet(from, to, protocol, &icmp(from, to, kind, 3, &rest))
}

#[test]
fn icmp_errors_get_their_quote_and_their_source_back_both_ways() {
    let router = |v6| if v6 { Addr([0x20; 16]) } else { Addr::v4([203, 0, 113, 1]) };
    for v6 in [false, true] {
        let redirect = redirect(v6);
        let (client, server) = addrs(v6);
        let target = redirect.target.addr;
        for kind in [Kind::Tcp, Kind::Udp] {
            let sent = |dst, port| packet(kind, (client, dst), (5555, port), b"some data");
            let replied = |src, port| packet(kind, (src, client), (port, 5555), b"some data");
            for layout in [Layout::Plain, Layout::VxlanSummed, Layout::GreSummedKeyed] {
                for keep in [28, 48, 68, 100] {
                    if v6 && keep < 48 {
                        continue;
                    }
                    let cases = [
                        // Toward the initiator: from the target itself, from a router before it.
                        (
                            error(target, client, &sent(target, 8443), keep),
                            error(server, client, &sent(server, 443), keep),
                        ),
                        (
                            error(router(v6), client, &sent(target, 8443), keep),
                            error(router(v6), client, &sent(server, 443), keep),
                        ),
                        // Toward the target, about its reply: from the initiator, from a router before it.
                        (
                            error(client, server, &replied(server, 443), keep),
                            error(client, target, &replied(target, 8443), keep),
                        ),
                        (
                            error(router(v6), server, &replied(server, 443), keep),
                            error(router(v6), target, &replied(target, 8443), keep),
                        ),
                    ];
                    for (came, leaves) in cases {
                        let mut frame = layout.frame(&came, false);
                        let before = sound(&frame);
                        redirect.apply(Direction::Reverse, &mut frame, &before).unwrap();
                        sound(&frame);
                        let expected = layout.frame(&leaves, false);
                        assert_eq!(frame, expected, "{layout:?} {kind:?} {keep}");
                    }
                }
            }
        }
    }
}

#[test]
fn icmp_error_about_something_else_is_left_alone() {
    let redirect = redirect(false);
    for quoted in [
        packet(Kind::Tcp, (CLIENT, SERVER), (5555, 444), b""),
        packet(Kind::Tcp, (CLIENT, TARGET), (5555, 80), b""),
        packet(Kind::Udp, addrs(true), (5555, 443), b""),
        vec![0; 40],
    ] {
        let mut frame = Layout::Plain.frame(&error(TARGET, CLIENT, &quoted, 100), false);
        let before = frame.clone();
        let headers = sound(&frame);
        let result = redirect.apply(Direction::Reverse, &mut frame, &headers);
        assert_eq!((result, frame), (Err(Reason::IcmpUnrelated), before));
    }
}

#[test]
fn icmp_error_about_a_later_fragment_gets_its_addresses_back() {
    for v6 in [false, true] {
        let redirect = redirect(v6);
        let (client, server) = addrs(v6);
        let target = redirect.target.addr;
        // Data that would read as other ports.
        let sent = |dst| fragments(&packet(Kind::Udp, (client, dst), (5555, 443), &[9; 64]), 32).remove(1);
        let mut frame = Layout::Plain.frame(&error(target, client, &sent(target), 100), false);
        let headers = sound(&frame);
        redirect.apply(Direction::Reverse, &mut frame, &headers).unwrap();
        sound(&frame);
        assert_eq!(frame, Layout::Plain.frame(&error(server, client, &sent(server), 100), false));
    }
}

/// Cuts a packet into fragments of `size` bytes of data.
fn fragments(packet: &[u8], size: usize) -> Vec<Vec<u8>> {
    let v6 = packet[0] >> 4 == 6;
    let (header, data) = packet.split_at(if v6 { 40 } else { 20 });
    let (src, dst) = if v6 {
        (Addr(header[8..24].try_into().unwrap()), Addr(header[24..40].try_into().unwrap()))
    } else {
        (Addr::v4(header[12..16].try_into().unwrap()), Addr::v4(header[16..20].try_into().unwrap()))
    };
    let count = data.len().div_ceil(size);
    data.chunks(size)
        .enumerate()
        .map(|(number, data)| {
            let (offset, more) = ((number * size) as u16, number + 1 < count);
            if v6 {
                let word = (offset | u16::from(more)).to_be_bytes();
                let fragment = [&[header[6], 0, word[0], word[1], 0, 0, 0, 9][..], data].concat();
                ip_packet(src, dst, 44, &fragment)
            } else {
                let mut fragment = ip_packet(src, dst, header[9], data);
                let word = offset >> 3 | if more { 0x2000 } else { 0 };
                fragment[6..8].copy_from_slice(&word.to_be_bytes());
                fragment[10..12].fill(0);
                let sum = crate::parse::checksum::Sum::default().add_bytes(&fragment[..20]).checksum();
                fragment[10..12].copy_from_slice(&sum.to_be_bytes());
                fragment
            }
        })
        .collect()
}

#[test]
fn fragments_are_redirected_one_by_one_and_reassemble_with_a_right_checksum() {
    let data: Vec<u8> = (0..200).collect();
    for layout in [Layout::Plain, Layout::Pppoe, Layout::VxlanSummed] {
        for (v6, kind) in [(false, Kind::Tcp), (false, Kind::Udp), (true, Kind::Tcp), (true, Kind::Udp)] {
            let redirect = redirect(v6);
            let whole = packet(kind, addrs(v6), (5555, 443), &data);
            let mut defrag = Defrag::new(DefragConfig { datagrams_max: 2, ..DefragConfig::default() });
            let mut complete = None;
            for fragment in fragments(&whole, 64) {
                let mut frame = layout.frame(&fragment, false);
                let headers = sound(&frame);
                redirect.apply(Direction::Forward, &mut frame, &headers).unwrap();
                let headers = sound(&frame);
                if let Offer::Complete { hold } = defrag.offer(Tick(0), &frame, &headers) {
                    complete = Some(hold);
                }
            }
            let hold = complete.unwrap();
            assert_eq!(defrag.holding(hold).unwrap().first, Some(0));
            let (datagram, first) = defrag.datagram(hold).unwrap();
            let headers = parse_datagram(datagram, &first).unwrap();
            assert_eq!(transport_checksum(datagram, &headers), ChecksumState::Good);
            assert_eq!(headers.ports(), (5555, 8443));
            assert_eq!(headers.addrs(), Some((addrs(v6).0, redirect.target.addr)));
            assert_eq!(headers.payload(datagram), data);
        }
    }
}

fn tcp_frame(layout: Layout, v6: bool, segment: Segment<'_>) -> (Vec<u8>, Headers) {
    let (src, dst) = addrs(v6);
    let frame = layout.frame(&ip_packet(src, dst, 6, &tcp(src, dst, segment)), false);
    let headers = sound(&frame);
    (frame, headers)
}

const DATA: Segment<'static> = Segment {
    ports: (5555, 443),
    seq: 1000,
    ack: 7000,
    flags: TcpFlags::ACK | TcpFlags::PSH,
    data: b"GET /",
};

fn written(out: &[u8], length: usize) -> (Headers, crate::parse::Tcp) {
    let headers = sound(&out[..length]);
    match headers.transport {
        Transport::Tcp(tcp) => (headers, tcp),
        other => panic!("{other:?}"),
    }
}

#[test]
fn reset_goes_back_through_every_layout() {
    let mut out = [0xaa; REFUSAL_BYTES_MAX];
    for layout in Layout::ALL {
        for v6 in [false, true] {
            let (frame, headers) = tcp_frame(layout, v6, DATA);
            assert!(may_refuse(&headers, &frame), "{layout:?}");
            let length = reset_sender(&mut out, &frame, &headers, Tracked::default());
            assert_eq!(length.is_some(), layout.has_way_back(), "{layout:?}");
            let Some(length) = length else { continue };
            let (reset, tcp) = written(&out, length);
            let (client, server) = addrs(v6);
            assert_eq!(reset.addrs(), Some((server, client)));
            assert_eq!((reset.src_mac, reset.dst_mac), (headers.dst_mac, headers.src_mac));
            assert_eq!(
                (reset.vlan_outer, reset.vlan_inner, reset.vni),
                (headers.vlan_outer, headers.vlan_inner, headers.vni)
            );
            assert_eq!((reset.tunnel, reset.l3_offset), (headers.tunnel, headers.l3_offset));
            assert_eq!((tcp.src_port, tcp.dst_port), (443, 5555));
            assert_eq!((tcp.seq, tcp.flags.0), (7000, TcpFlags::RST));
            let Network::Ip { ttl, .. } = reset.network else { panic!() };
            assert_eq!(ttl, 64);

            // What stands around it is what a reply of the same layout has, lengths and checksums apart.
            let reply = layout.frame(&frame[usize::from(headers.l3_offset)..], true);
            let around = Layers::around(&out[..length], &reset).unwrap();
            let expected = Layers::around(&reply, &parse_ethernet(&reply).unwrap()).unwrap();
            assert!(around.iter().eq(expected.iter()));
            assert_eq!(out[..12], reply[..12]);
        }
    }
}

#[test]
fn reset_goes_on_through_every_layout() {
    let mut out = [0xaa; REFUSAL_BYTES_MAX];
    for layout in Layout::ALL {
        for v6 in [false, true] {
            let (frame, headers) = tcp_frame(layout, v6, DATA);
            let tracked = Tracked { sender_next: Some(900), receiver_next: Some(7100) };
            let length = reset_receiver(&mut out, &frame, &headers, tracked).unwrap();
            let (reset, tcp) = written(&out, length);
            assert_eq!(reset.addrs(), Some(addrs(v6)));
            assert_eq!((reset.src_mac, reset.dst_mac), (headers.src_mac, headers.dst_mac));
            assert_eq!((tcp.src_port, tcp.dst_port), (5555, 443));
            // The refused segment was never seen: the receiver still waits for what came before it.
            assert_eq!((tcp.seq, tcp.ack, tcp.flags.0), (900, 7000, TcpFlags::RST | TcpFlags::ACK));
        }
    }
}

#[test]
fn reset_numbers_follow_rfc_9293_and_the_tracked_state() {
    const SYN: u8 = TcpFlags::SYN;
    const ACK: u8 = TcpFlags::ACK;
    const RST: u8 = TcpFlags::RST;
    let none = Tracked::default();
    let known = |sender, receiver| Tracked { sender_next: Some(sender), receiver_next: Some(receiver) };
    let syn = Segment { flags: SYN, ack: 0, data: b"", ..DATA };
    let syn_ack = Segment { flags: SYN | ACK, data: b"", ..DATA };
    let fin = Segment { flags: TcpFlags::FIN | ACK, ..DATA };
    let bare = Segment { flags: TcpFlags::FIN, ack: 0, ..DATA };
    type Reset = Option<(u32, u32, u8)>;
    let cases: [(&str, Segment<'_>, Tracked, Reset, Reset); 9] = [
        ("syn of an unknown flow", syn, none, Some((0, 1001, RST | ACK)), None),
        (
            "syn again",
            syn,
            Tracked { sender_next: Some(1001), receiver_next: None },
            Some((0, 1001, RST | ACK)),
            Some((1001, 0, RST)),
        ),
        ("fast open", Segment { data: b"12345", ..syn }, none, Some((0, 1006, RST | ACK)), None),
        ("syn-ack", syn_ack, none, Some((7000, 0, RST)), Some((1000, 7000, RST | ACK))),
        ("data, unknown", DATA, none, Some((7000, 0, RST)), Some((1000, 7000, RST | ACK))),
        (
            "data, more under way",
            DATA,
            known(1000, 7500),
            Some((7500, 0, RST)),
            Some((1000, 7000, RST | ACK)),
        ),
        (
            "data, other side unseen",
            DATA,
            known(1000, 6000),
            Some((7000, 0, RST)),
            Some((1000, 7000, RST | ACK)),
        ),
        ("a gap before it", fin, known(800, 7000), Some((7000, 0, RST)), Some((800, 7000, RST | ACK))),
        ("no ack at all", bare, none, Some((0, 1006, RST | ACK)), Some((1000, 0, RST))),
    ];
    let mut out = [0; REFUSAL_BYTES_MAX];
    for (name, segment, tracked, sender, receiver) in cases {
        let (frame, headers) = tcp_frame(Layout::Plain, false, segment);
        let read = |length: Option<usize>, out: &[u8]| {
            length.map(|length| {
                let (_, tcp) = written(out, length);
                (tcp.seq, tcp.ack, tcp.flags.0)
            })
        };
        let length = reset_sender(&mut out, &frame, &headers, tracked);
        assert_eq!(read(length, &out), sender, "{name}");
        let length = reset_receiver(&mut out, &frame, &headers, tracked);
        assert_eq!(read(length, &out), receiver, "{name}");
    }
    // Numbers wrap round.
    let (frame, headers) = tcp_frame(Layout::Plain, false, Segment { ack: u32::MAX - 5, ..DATA });
    let length = reset_sender(&mut out, &frame, &headers, known(0, 20)).unwrap();
    assert_eq!(written(&out, length).1.seq, 20);
}

#[test]
fn resets_are_not_answered_by_resets() {
    let mut out = [0; REFUSAL_BYTES_MAX];
    let (frame, headers) = tcp_frame(Layout::Plain, false, Segment { flags: TcpFlags::RST, ..DATA });
    assert!(!may_refuse(&headers, &frame));
    assert_eq!(reset_sender(&mut out, &frame, &headers, Tracked::default()), None);
    assert_eq!(reset_receiver(&mut out, &frame, &headers, Tracked::default()), None);
}

#[test]
fn unreachable_quotes_the_packet_in_every_layout() {
    let data: Vec<u8> = (0..1400u16).map(|n| n as u8).collect();
    let mut out = [0xaa; REFUSAL_BYTES_MAX];
    for layout in Layout::ALL {
        for v6 in [false, true] {
            for length in [0, 1, 4, 500, 1400] {
                let (client, server) = addrs(v6);
                let original = packet(Kind::Udp, (client, server), (5555, 443), &data[..length]);
                let frame = layout.frame(&original, false);
                let headers = sound(&frame);
                assert!(may_refuse(&headers, &frame));
                let written = unreachable(&mut out, &frame, &headers);
                assert_eq!(written.is_some(), layout.has_way_back());
                let Some(written) = written else { continue };
                let error = sound(&out[..written]);
                let Transport::Icmp(icmp) = error.transport else { panic!("{layout:?}") };
                assert_eq!((icmp.kind, icmp.code), if v6 { (1, 1) } else { (3, 13) });
                assert_eq!(error.addrs(), Some((server, client)));
                assert_eq!((error.src_mac, error.dst_mac), (headers.dst_mac, headers.src_mac));
                let longest = if v6 { 1280 } else { 576 };
                let whole = usize::from(error.end - error.l3_offset);
                let expected = (original.len() + if v6 { 48 } else { 28 }).min(longest);
                assert_eq!(whole, expected);
                assert!(original.starts_with(error.payload(&out)), "the quote");
                assert!(!may_refuse(&error, &out[..written]), "an error is not answered");
            }
        }
    }
}

#[test]
fn padding_of_a_short_frame_is_not_quoted() {
    let mut frame = Layout::Plain.frame(&packet(Kind::Udp, addrs(false), (1, 2), b"abc"), false);
    let length = frame.len();
    frame.resize(60, 0x77);
    let headers = parse_ethernet(&frame).unwrap();
    let mut out = [0; REFUSAL_BYTES_MAX];
    let written = unreachable(&mut out, &frame, &headers).unwrap();
    assert_eq!(usize::from(sound(&out[..written]).end), length + 28);
}

#[test]
fn a_buffer_too_small_is_left_without_a_refusal() {
    let (frame, headers) = tcp_frame(Layout::Plain, false, DATA);
    for length in 0..60 {
        assert_eq!(reset_sender(&mut vec![0; length], &frame, &headers, Tracked::default()), None);
        assert_eq!(unreachable(&mut vec![0; length], &frame, &headers), None);
    }
}

#[test]
fn only_single_hosts_first_fragments_and_no_errors_may_be_refused() {
    let (client, server) = addrs(false);
    let udp_to = |src, dst| packet(Kind::Udp, (src, dst), (1, 2), b"data");
    let plain = |packet: &[u8]| Layout::Plain.frame(packet, false);
    let pieces = fragments(&packet(Kind::Udp, (client, server), (1, 2), &[7; 64]), 32);
    let pieces6 = fragments(&packet(Kind::Udp, addrs(true), (1, 2), &[7; 64]), 32);
    let mut to_all = plain(&udp_to(client, server));
    to_all[..6].fill(0xff);
    let mut group_inside = Layout::Vxlan.frame(&udp_to(client, server), false);
    group_inside[50] |= 1;
    let mut flooded = Layout::Vxlan.frame(&udp_to(client, server), false);
    flooded[30..34].copy_from_slice(&[239, 1, 1, 1]);
    flooded[24..26].fill(0);
    let sum = crate::parse::checksum::Sum::default().add_bytes(&flooded[14..34]).checksum();
    flooded[24..26].copy_from_slice(&sum.to_be_bytes());
    let echo = |kind| ip_packet(client, server, 1, &icmp(client, server, kind, 0, &[0; 8]));
    let nd = |kind| ip_packet(CLIENT6, SERVER6, 58, &icmp(CLIENT6, SERVER6, kind, 0, &[0; 40]));
    let cases = [
        ("udp", true, plain(&udp_to(client, server))),
        ("udp in vxlan", true, Layout::Vxlan.frame(&udp_to(client, server), false)),
        ("echo request", true, plain(&echo(8))),
        ("icmp unreachable", false, plain(&echo(3))),
        ("icmp redirect", false, plain(&echo(5))),
        ("icmp time exceeded", false, plain(&echo(11))),
        ("icmpv6 echo", true, plain(&nd(128))),
        ("icmpv6 too big", false, plain(&nd(2))),
        ("icmpv6 redirect", false, plain(&nd(137))),
        ("first fragment", true, plain(&pieces[0])),
        ("second fragment", false, plain(&pieces[1])),
        ("first fragment v6", true, plain(&pieces6[0])),
        ("second fragment v6", false, plain(&pieces6[1])),
        ("to multicast", false, plain(&udp_to(client, Addr::v4([224, 0, 0, 251])))),
        ("to broadcast", false, plain(&udp_to(client, Addr::v4([255; 4])))),
        ("from nobody", false, plain(&udp_to(Addr::v4([0; 4]), server))),
        ("from loopback", false, plain(&udp_to(Addr::v4([127, 0, 0, 1]), server))),
        ("to multicast v6", false, plain(&udp_to(CLIENT6, Addr([0xff; 16])))),
        ("from :: v6", false, plain(&udp_to(Addr([0; 16]), SERVER6))),
        ("link-layer broadcast", false, to_all),
        ("group address inside vxlan", false, group_inside),
        ("multicast around vxlan", false, flooded),
        (
            "arp",
            false,
            ethernet(
                (CLIENT_MAC, SERVER_MAC),
                0x0806,
                &[0, 1, 8, 0, 6, 4, 0, 1, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 5, 6, 7, 8],
            ),
        ),
    ];
    for (name, expected, frame) in cases {
        let headers = parse_ethernet(&frame).unwrap();
        assert_eq!(may_refuse(&headers, &frame), expected, "{name}");
    }
}

#[test]
fn every_packet_of_the_parsers_corpus_can_be_refused_or_is_known_not_to_be() {
    let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/parse_frame");
    let mut out = [0; REFUSAL_BYTES_MAX];
    let mut refused = 0;
    for entry in std::fs::read_dir(corpus).unwrap() {
        let path = entry.unwrap().path();
        let (name, frame) = (path.file_name().unwrap().to_str().unwrap(), std::fs::read(&path).unwrap());
        let Ok(headers) = parse_ethernet(&frame) else { continue };
        if headers.addrs().is_none() {
            continue;
        }
        // ERSPAN is a copy of a packet that went elsewhere: nobody is to be answered.
        assert_eq!(Layers::around(&frame, &headers).is_none(), name.starts_with("gre_erspan"), "{name}");
        match unreachable(&mut out, &frame, &headers) {
            Some(length) => {
                sound(&out[..length]);
                refused += 1;
            }
            // The way back through these is the receiver's secret, or numbered.
            None => assert!(
                ["gre", "gre_pptp", "gre_erspan", "gre_erspan_iii", "gtpu", "gtpu_extension"].contains(&name),
                "{name}"
            ),
        }
    }
    assert!(refused >= 30, "{refused}");
}

/// A capture file of Ethernet frames, as `tcpdump -w` writes it.
fn pcap(frames: &[Vec<u8>]) -> Vec<u8> {
    let mut file = [0xa1b2_c3d4u32, 0x0002_0004, 0, 0, 65_535, 1].map(u32::to_be_bytes).concat();
    for (number, frame) in frames.iter().enumerate() {
        let length = frame.len() as u32;
        file.extend([number as u32, 0, length, length].map(u32::to_be_bytes).concat());
        file.extend(frame);
    }
    file
}

/// Runs tshark over the file; the lines that it prints for `filter`.
fn tshark(file: &std::path::Path, filter: &str) -> Option<Vec<String>> {
    let mut command = std::process::Command::new("tshark");
    for check in ["ip", "tcp", "udp"] {
        command.args(["-o", &format!("{check}.check_checksum:TRUE")]);
    }
    let output = command.arg("-r").arg(file).args(["-Y", filter]).output().ok()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect())
}

#[test]
fn tshark_finds_no_fault_in_what_is_crafted_or_rewritten() {
    let mut frames = Vec::new();
    let mut out = [0; REFUSAL_BYTES_MAX];
    let (mut resets, mut errors) = (0, 0);
    for layout in Layout::ALL {
        for v6 in [false, true] {
            let (mut frame, headers) = tcp_frame(layout, v6, DATA);
            for length in [
                reset_sender(&mut out, &frame, &headers, Tracked::default())
                    .map(|length| out[..length].to_vec()),
                reset_receiver(&mut out, &frame, &headers, Tracked::default())
                    .map(|length| out[..length].to_vec()),
            ] {
                resets += usize::from(length.is_some());
                frames.extend(length);
            }
            redirect(v6).apply(Direction::Forward, &mut frame, &headers).unwrap();
            frames.push(frame);
            let mut frame = layout.frame(&packet(Kind::Udp, addrs(v6), (5555, 443), &[7; 1400]), false);
            let headers = sound(&frame);
            if let Some(length) = unreachable(&mut out, &frame, &headers) {
                errors += 1;
                frames.push(out[..length].to_vec());
            }
            redirect(v6).apply(Direction::Forward, &mut frame, &headers).unwrap();
            frames.push(frame);
        }
    }
    // Two that are wrong, in the innermost and in an outer checksum, show that faults are found.
    for (layout, at) in [(Layout::Plain, 50), (Layout::VxlanSummed, 40)] {
        let mut wrong = tcp_frame(layout, false, DATA).0;
        wrong[at] ^= 1;
        frames.push(wrong);
    }
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("crafted.pcap");
    std::fs::write(&file, pcap(&frames)).unwrap();
    let Some(all) = tshark(&file, "frame") else { return };
    assert_eq!(all.len(), frames.len());
    let faults = "_ws.malformed || ip.checksum.status == 0 || tcp.checksum.status == 0 || udp.checksum.status == 0 \
                  || icmp.checksum.status == 0 || icmpv6.checksum.status == 0 || _ws.expert.severity == 0x800000";
    let found = tshark(&file, faults).unwrap();
    assert_eq!(found.len(), 2, "{found:#?}");
    assert_eq!(tshark(&file, "tcp.flags.reset == 1").unwrap().len(), resets);
    let refused = "(icmp.type == 3 && icmp.code == 13) || (icmpv6.type == 1 && icmpv6.code == 1)";
    assert_eq!(tshark(&file, refused).unwrap().len(), errors);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(800))]

    #[test]
    fn any_redirect_is_sound_and_can_be_undone(
        layout in prop::sample::select(Layout::ALL.to_vec()),
        kind in prop::sample::select(vec![Kind::Tcp, Kind::Udp]),
        v6: bool, a: [u8; 16], b: [u8; 16], c: [u8; 16], ports: [u16; 3],
        data in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        let addr = |bytes: [u8; 16]| {
            if v6 { Addr(bytes) } else { Addr::v4([bytes[0], bytes[1], bytes[2], bytes[3]]) }
        };
        let (client, server, target) = (addr(a), addr(b), addr(c));
        prop_assume!(client != server && client != target);
        prop_assume!(!v6 || ![client, server, target].iter().any(|addr| addr.is_v4()));
        let ports = ports.map(|port| if [0, 2152, 3544, 4789, 6081, 8472].contains(&port) { 1 } else { port });
        let there = Redirect {
            target: Target { addr: target, port: ports[2], next_hop: None },
            original: Original { addr: server, port: ports[1], mac: None },
        };
        let back = Redirect {
            target: Target { addr: server, port: ports[1], next_hop: None },
            original: Original { addr: target, port: ports[2], mac: None },
        };
        let mut frame = layout.frame(&packet(kind, (client, server), (ports[0], ports[1]), &data), false);
        let (before, headers) = (frame.clone(), sound(&frame));
        there.apply(Direction::Forward, &mut frame, &headers).unwrap();
        let headers = sound(&frame);
        prop_assert_eq!(headers.addrs(), Some((client, target)));
        prop_assert_eq!(headers.ports(), (ports[0], ports[2]));
        back.apply(Direction::Forward, &mut frame, &headers).unwrap();
        prop_assert_eq!(frame, before);
    }

    #[test]
    fn no_bytes_and_no_headers_panic(
        mut bytes in prop::collection::vec(any::<u8>(), 0..160),
        layout in prop::sample::select(Layout::ALL.to_vec()),
        v6: bool, offsets: [u8; 5], cut in 0usize..200, changes in prop::collection::vec((0usize..200, any::<u8>()), 0..6),
        honest: bool, room in 0usize..300,
    ) {
        let (frame, mut headers) = tcp_frame(layout, v6, DATA);
        if honest {
            bytes = frame;
            for (at, byte) in changes {
                if let Some(target) = bytes.get_mut(at) {
                    *target = byte;
                }
            }
            bytes.truncate(cut);
        } else {
            let [l3, outer, l4, payload, end] = offsets.map(u16::from);
            (headers.l3_offset, headers.outer_l3_offset, headers.l4_offset) = (l3, outer, l4);
            (headers.payload_offset, headers.end) = (payload, end);
        }
        let mut out = vec![0; room];
        let _ = may_refuse(&headers, &bytes);
        let _ = unreachable(&mut out, &bytes, &headers);
        let _ = reset_sender(&mut out, &bytes, &headers, Tracked::default());
        let _ = reset_receiver(&mut out, &bytes, &headers, Tracked::default());
        for direction in [Direction::Forward, Direction::Reverse] {
            let before = bytes.clone();
            if redirect(v6).apply(direction, &mut bytes, &headers).is_err() {
                prop_assert_eq!(&before, &bytes, "an error leaves the bytes alone");
            }
        }
        headers.transport = Transport::Icmp(crate::parse::Icmp { kind: 3, code: 3, id: 0, seq: 0, is_error: true });
        let _ = redirect(v6).apply(Direction::Reverse, &mut bytes, &headers);
        if let Ok(parsed) = parse_ethernet(&bytes) {
            let _ = redirect(v6).apply(Direction::Reverse, &mut bytes, &parsed);
        }
    }
}
