use proptest::prelude::*;

use super::overlap::Span;
use super::*;
use crate::parse::{Addr, Fragment, Headers, Mac, Network, Protocol, Transport, Tunnel};
use crate::time::Tick;
use crate::verdict::Reason;

const FRAME_HEADER: usize = 14;

/// A fragment as a test writes it.
#[derive(Clone, Copy)]
struct Cut<'a> {
    v6: bool,
    id: u32,
    protocol: u8,
    offset: usize,
    more: bool,
    data: &'a [u8],
    /// IPv4 options, or IPv6 hop-by-hop options (8 bytes, type first).
    options: &'a [u8],
    vlan: u16,
    vni: u32,
}

const CUT: Cut<'static> = Cut {
    v6: false,
    id: 7,
    protocol: Protocol::UDP,
    offset: 0,
    more: true,
    data: &[],
    options: &[],
    vlan: 0,
    vni: 0,
};

impl Cut<'_> {
    fn addrs(&self) -> (Addr, Addr) {
        if self.v6 {
            (Addr([1; 16]), Addr([2; 16]))
        } else {
            (Addr::v4([10, 0, 0, 1]), Addr::v4([10, 0, 0, 2]))
        }
    }

    fn frame(&self) -> (Vec<u8>, Headers) {
        let (src, dst) = self.addrs();
        let mut bytes = vec![0xee; FRAME_HEADER];
        let word = ((self.offset & 0xfff8) as u16, self.more);
        if self.v6 {
            let first = if self.options.is_empty() { Protocol::FRAGMENT } else { Protocol::HOP_BY_HOP };
            let payload = (self.options.len() + 8 + self.data.len()) as u16;
            bytes.extend([0x60, 0, 0, 0]);
            bytes.extend(payload.to_be_bytes());
            bytes.extend([first, 64]);
            bytes.extend(src.0);
            bytes.extend(dst.0);
            bytes.extend(self.options);
            bytes.extend([self.protocol, 0]);
            bytes.extend((word.0 | u16::from(word.1)).to_be_bytes());
            bytes.extend(self.id.to_be_bytes());
        } else {
            let header = 20 + self.options.len();
            bytes.extend([0x40 | (header / 4) as u8, 0]);
            bytes.extend(((header + self.data.len()) as u16).to_be_bytes());
            bytes.extend((self.id as u16).to_be_bytes());
            bytes.extend((word.0 >> 3 | if word.1 { 0x2000 } else { 0 }).to_be_bytes());
            bytes.extend([64, self.protocol, 0, 0]);
            bytes.extend(src.as_v4().unwrap());
            bytes.extend(dst.as_v4().unwrap());
            bytes.extend(self.options);
        }
        let l4_offset = bytes.len() as u16;
        bytes.extend(self.data);
        let headers = Headers {
            src_mac: Mac([2; 6]),
            dst_mac: Mac([4; 6]),
            vlan_outer: self.vlan,
            vlan_inner: 0,
            ethertype: if self.v6 { 0x86dd } else { 0x0800 },
            tunnel: Tunnel::None,
            tunnel_depth: 0,
            vni: self.vni,
            outer_l3_offset: FRAME_HEADER as u16,
            l3_offset: FRAME_HEADER as u16,
            l4_offset,
            payload_offset: l4_offset,
            end: bytes.len() as u16,
            network: Network::Ip { src, dst, protocol: self.protocol, ttl: 64, tos: 0 },
            fragment: Some(Fragment {
                id: self.id,
                offset: self.offset as u16,
                more: self.more,
                protocol: self.protocol,
            }),
            transport: Transport::None,
        };
        (bytes, headers)
    }

    fn offer(&self, defrag: &mut Defrag, now: Tick) -> Offer {
        let (bytes, headers) = self.frame();
        defrag.offer(now, &bytes, &headers)
    }
}

fn defrag(policy: OverlapPolicy) -> Defrag {
    Defrag::new(DefragConfig { datagrams_max: 8, bytes_max: 256 << 10, policy, ..DefragConfig::default() })
}

fn held(offer: Offer) -> HoldId {
    match offer {
        Offer::Held(hold) => hold,
        Offer::Complete { .. } | Offer::Refused { .. } => panic!("{offer:?}"),
    }
}

fn completed(offer: Offer) -> HoldId {
    match offer {
        Offer::Complete { hold } => hold,
        Offer::Held(_) | Offer::Refused { .. } => panic!("{offer:?}"),
    }
}

/// The data of a completed datagram; its header is checked on the way.
fn data_of(defrag: &mut Defrag, hold: HoldId) -> Vec<u8> {
    let (datagram, first) = defrag.datagram(hold).unwrap();
    assert_eq!(first.fragment.unwrap().offset, 0);
    if datagram[0] >> 4 == 4 {
        let header = usize::from(datagram[0] & 15) * 4;
        assert_eq!(usize::from(u16::from_be_bytes([datagram[2], datagram[3]])), datagram.len());
        assert_eq!(u16::from_be_bytes([datagram[6], datagram[7]]) & 0x3fff, 0);
        let sum: u32 =
            datagram[..header].chunks(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]]))).sum();
        assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff, "header checksum");
        datagram[header..].to_vec()
    } else {
        assert_eq!(usize::from(u16::from_be_bytes([datagram[4], datagram[5]])), datagram.len() - 40);
        assert_ne!(datagram[6], Protocol::FRAGMENT);
        datagram[40..].to_vec()
    }
}

#[test]
fn fragments_in_any_order_give_the_datagram_back() {
    let data: Vec<u8> = (0..4000u16).map(|n| (n * 7) as u8).collect();
    for v6 in [false, true] {
        for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0], [1, 0, 2], [0, 2, 1], [2, 0, 1]] {
            let mut defrag = defrag(OverlapPolicy::Refuse);
            let mut last = None;
            for part in order {
                let (from, to) = (part * 1480, (part * 1480 + 1480).min(data.len()));
                let cut = Cut { v6, offset: from, more: part < 2, data: &data[from..to], ..CUT };
                last = Some(cut.offer(&mut defrag, Tick(0)));
            }
            let hold = completed(last.unwrap());
            assert_eq!(defrag.holding(hold).unwrap().fragments, 3);
            assert_eq!(data_of(&mut defrag, hold), data, "{order:?}");
            defrag.release(hold);
            assert!(defrag.is_empty() && defrag.datagram(hold).is_none());
            assert_eq!(defrag.bytes_free(), 256 << 10);
        }
    }
}

#[test]
fn ipv4_header_is_that_of_the_first_fragment_with_its_options() {
    let mut defrag = defrag(OverlapPolicy::Refuse);
    Cut { offset: 16, more: false, data: b"the end", ..CUT }.offer(&mut defrag, Tick(0));
    let options = [7, 7, 4, 1, 2, 3, 4, 0];
    let hold =
        completed(Cut { options: &options, data: b"0123456789abcdef", ..CUT }.offer(&mut defrag, Tick(0)));
    let (datagram, _) = defrag.datagram(hold).unwrap();
    assert_eq!((datagram[0], &datagram[20..28]), (0x47, &options[..]));
    assert_eq!(data_of(&mut defrag, hold), b"0123456789abcdefthe end");
}

#[test]
fn ipv6_loses_its_fragment_header_and_keeps_hop_by_hop_options() {
    let mut defrag = defrag(OverlapPolicy::Refuse);
    let options = [Protocol::FRAGMENT, 0, 5, 2, 0, 0, 1, 0];
    let cut = Cut { v6: true, options: &options, ..CUT };
    cut.offer_with(&mut defrag, 0, true, b"udp header and m");
    let hold = completed(cut.offer_with(&mut defrag, 16, false, b"ore"));
    let (datagram, _) = defrag.datagram(hold).unwrap();
    assert_eq!(datagram[6], Protocol::HOP_BY_HOP);
    assert_eq!(datagram[40], Protocol::UDP);
    assert_eq!(&datagram[48..], b"udp header and more");
    assert_eq!(u16::from_be_bytes([datagram[4], datagram[5]]), 8 + 19);
}

impl Cut<'_> {
    fn offer_with(&self, defrag: &mut Defrag, offset: usize, more: bool, data: &[u8]) -> Offer {
        let (frame, headers) = Cut { offset, more, data, ..*self }.frame();
        defrag.offer(Tick(0), &frame, &headers)
    }
}

#[test]
fn largest_datagram_is_reassembled_and_a_larger_one_refused() {
    for (v6, header) in [(false, 20), (true, 40)] {
        let data: Vec<u8> = (0..65_535 - header).map(|n| (n / 3) as u8).collect();
        let mut defrag = defrag(OverlapPolicy::Refuse);
        let mut last = None;
        for (part, chunk) in data.chunks(1448).enumerate() {
            let offset = part * 1448;
            let more = offset + chunk.len() < data.len();
            last = Some(Cut { v6, offset, more, data: chunk, ..CUT }.offer(&mut defrag, Tick(0)));
        }
        let hold = completed(last.unwrap());
        assert_eq!(data_of(&mut defrag, hold), data);

        let beyond = Cut { v6, id: 8, offset: 65_528, more: false, data: b"12345678", ..CUT };
        let expected = Offer::Refused { reason: Reason::FragmentTooLarge, hold: None };
        assert_eq!(beyond.offer(&mut defrag, Tick(0)), expected);
    }
}

#[test]
fn options_of_a_late_first_fragment_can_make_the_datagram_too_large() {
    let mut defrag = defrag(OverlapPolicy::Refuse);
    let data = vec![9; 65_512];
    for (part, chunk) in data.chunks(1448).enumerate().skip(1) {
        let offset = part * 1448;
        let more = offset + chunk.len() < data.len();
        held(Cut { offset, more, data: chunk, ..CUT }.offer(&mut defrag, Tick(0)));
    }
    let first = Cut { options: &[1; 8], data: &data[..1448], ..CUT };
    match first.offer(&mut defrag, Tick(0)) {
        Offer::Refused { reason: Reason::FragmentTooLarge, hold: Some(_) } => {}
        other => panic!("{other:?}"),
    }
    assert_eq!(defrag.bytes_free(), 256 << 10);
}

#[test]
fn exact_duplicates_are_held_and_counted() {
    let mut defrag = defrag(OverlapPolicy::Refuse);
    let first = Cut { data: b"0123456789abcdef", ..CUT };
    let hold = held(first.offer(&mut defrag, Tick(0)));
    assert_eq!(held(first.offer(&mut defrag, Tick(0))), hold);
    let holding = defrag.holding(hold).unwrap();
    assert_eq!((holding.fragments, holding.duplicates, holding.bytes), (2, 1, 16));
    let last = Cut { offset: 16, more: false, data: b"g", ..CUT };
    assert_eq!(completed(last.offer(&mut defrag, Tick(0))), hold);
    assert_eq!(held(last.offer(&mut defrag, Tick(0))), hold, "until it is released");
    assert_eq!(defrag.holding(hold).unwrap().fragments, 4);
    assert_eq!(data_of(&mut defrag, hold), b"0123456789abcdefg");
    defrag.release(hold);
    assert_ne!(held(last.offer(&mut defrag, Tick(0))), hold, "a late duplicate starts anew");
}

#[test]
fn overlap_with_equal_bytes_is_tolerated_with_others_condemns_the_datagram() {
    let mut defrag = defrag(OverlapPolicy::Refuse);
    let hold = held(Cut { data: b"0123456789abcdef", ..CUT }.offer(&mut defrag, Tick(0)));
    held(Cut { offset: 8, data: b"89abcdefghijklmn", ..CUT }.offer(&mut defrag, Tick(0)));
    let conflict = Cut { offset: 16, data: b"ghijklmN", ..CUT };
    let refused = Offer::Refused { reason: Reason::FragmentOverlap, hold: Some(hold) };
    assert_eq!(conflict.offer(&mut defrag, Tick(5)), refused);
    assert_eq!((defrag.holding(hold), defrag.bytes_free()), (None, 256 << 10));
    // RFC 5722: what still comes goes too, until the timeout.
    let later = Cut { offset: 24, more: false, data: b"opq", ..CUT };
    let again = Offer::Refused { reason: Reason::FragmentOverlap, hold: None };
    assert_eq!(later.offer(&mut defrag, Tick(999 * Tick::MS)), again);
    defrag.release(hold);
    assert_eq!(later.offer(&mut defrag, Tick(999 * Tick::MS)), again, "release does not forgive");
    held(later.offer(&mut defrag, Tick(1000 * Tick::MS)));
}

#[test]
fn malformed_fragments_name_their_fault_and_take_the_datagram_along() {
    let cases: &[(&str, Cut<'_>, Reason)] = &[
        ("empty", Cut { offset: 8, data: b"", ..CUT }, Reason::FragmentLength),
        ("empty last", Cut { offset: 8, more: false, data: b"", ..CUT }, Reason::FragmentLength),
        ("odd length", Cut { offset: 8, data: b"123456789", ..CUT }, Reason::FragmentLength),
        ("tcp of 16", Cut { protocol: Protocol::TCP, data: &[0; 16], ..CUT }, Reason::FragmentTiny),
        ("sctp of 8", Cut { protocol: Protocol::SCTP, data: &[0; 8], ..CUT }, Reason::FragmentTiny),
        ("beyond", Cut { offset: 65_528, data: &[0; 16], ..CUT }, Reason::FragmentTooLarge),
    ];
    for v6 in [false, true] {
        for (name, cut, reason) in cases {
            let mut defrag = defrag(OverlapPolicy::Refuse);
            let cut = Cut { v6, ..*cut };
            let hold = held(
                Cut { v6, offset: 800, data: &[1; 8], protocol: cut.protocol, ..CUT }
                    .offer(&mut defrag, Tick(0)),
            );
            let expected = Offer::Refused { reason: *reason, hold: Some(hold) };
            assert_eq!(cut.offer(&mut defrag, Tick(0)), expected, "{name}");
            assert_eq!(defrag.len(), 1, "remembered");
            defrag.expire(Tick(Tick::SECOND), |_| panic!("its frames are gone already"));
            assert!(defrag.is_empty());
        }
    }
}

#[test]
fn first_fragments_that_hold_their_transport_header_are_not_tiny() {
    for (protocol, length) in [(6, 24), (17, 8), (1, 8), (58, 8), (132, 16), (47, 8), (50, 8)] {
        let mut defrag = defrag(OverlapPolicy::Refuse);
        held(Cut { protocol, data: &vec![0; length], ..CUT }.offer(&mut defrag, Tick(0)));
    }
}

#[test]
fn first_ipv6_fragment_holds_the_whole_header_chain() {
    // Destination options of 8 bytes, then TCP: RFC 7112.
    let mut data = vec![Protocol::TCP, 0, 1, 4, 0, 0, 0, 0];
    data.extend([0; 16]);
    let cut = Cut { v6: true, protocol: Protocol::DESTINATION_OPTIONS, ..CUT };
    let tiny = Offer::Refused { reason: Reason::FragmentTiny, hold: None };
    assert_eq!(Cut { data: &data, ..cut }.offer(&mut defrag(OverlapPolicy::Refuse), Tick(0)), tiny);
    assert_eq!(Cut { data: &data[..8], ..cut }.offer(&mut defrag(OverlapPolicy::Refuse), Tick(0)), tiny);
    data.extend([0; 8]);
    held(Cut { data: &data, ..cut }.offer(&mut defrag(OverlapPolicy::Refuse), Tick(0)));
}

#[test]
fn fragments_that_disagree_on_the_end_condemn_the_datagram() {
    let last = Cut { offset: 24, more: false, data: b"12345", ..CUT };
    let others = [
        ("another last", Cut { offset: 16, more: false, data: b"12345", ..CUT }),
        ("a longer last", Cut { offset: 24, more: false, data: b"123456", ..CUT }),
        ("one beyond the last", Cut { offset: 32, data: b"12345678", ..CUT }),
        ("one that covers the last", Cut { offset: 24, data: b"12345678", ..CUT }),
    ];
    for (name, other) in others {
        for (one, two) in [(last, other), (other, last)] {
            let mut defrag = defrag(OverlapPolicy::Refuse);
            let hold = held(one.offer(&mut defrag, Tick(0)));
            let expected = Offer::Refused { reason: Reason::FragmentEnd, hold: Some(hold) };
            assert_eq!(two.offer(&mut defrag, Tick(0)), expected, "{name}");
        }
    }
}

#[test]
fn under_a_receivers_policy_a_bad_fragment_goes_alone() {
    let mut defrag = defrag(OverlapPolicy::Linux);
    let hold = held(Cut { offset: 16, more: false, data: b"end", ..CUT }.offer(&mut defrag, Tick(0)));
    let beyond = Cut { offset: 24, data: b"12345678", ..CUT };
    let alone = Offer::Refused { reason: Reason::FragmentEnd, hold: None };
    assert_eq!(beyond.offer(&mut defrag, Tick(0)), alone);
    assert_eq!(completed(Cut { data: &[b'x'; 16], ..CUT }.offer(&mut defrag, Tick(0))), hold);
    assert_eq!(data_of(&mut defrag, hold), b"xxxxxxxxxxxxxxxxend");

    let odd = Cut { id: 99, offset: 8, data: b"123", ..CUT };
    let alone = Offer::Refused { reason: Reason::FragmentLength, hold: None };
    assert_eq!(odd.offer(&mut defrag, Tick(0)), alone);
    defrag.release(hold);
    assert!(defrag.is_empty(), "nothing is remembered");
}

#[test]
fn old_datagrams_expire_in_order_of_age() {
    let mut defrag = defrag(OverlapPolicy::Refuse);
    let holds: Vec<HoldId> = (0..3u64)
        .map(|n| {
            let cut = Cut { id: n as u32, data: &[0; 8], ..CUT };
            held(cut.offer(&mut defrag, Tick(n * 100 * Tick::MS)))
        })
        .collect();
    // A later fragment does not make the datagram younger.
    Cut { id: 0, offset: 8, data: &[0; 8], ..CUT }.offer(&mut defrag, Tick(300 * Tick::MS));
    let mut gone = Vec::new();
    defrag.expire(Tick(999 * Tick::MS), |hold| gone.push(hold));
    assert!(gone.is_empty());
    defrag.expire(Tick(1100 * Tick::MS), |hold| gone.push(hold));
    assert_eq!(gone, holds[..2]);
    assert_eq!((defrag.holding(holds[0]), defrag.len()), (None, 1));
    gone.clear();
    defrag.drain(|hold| gone.push(hold));
    assert_eq!(gone, holds[2..]);
    assert!(defrag.is_empty());
}

#[test]
fn full_memory_condemns_the_datagram_that_needed_it_and_gives_its_room_back() {
    let config = DefragConfig { datagrams_max: 4, bytes_max: 3 * 2048, ..DefragConfig::default() };
    let mut defrag = Defrag::new(config);
    held(Cut { id: 1, data: &[0; 2048], ..CUT }.offer(&mut defrag, Tick(0)));
    let hold = held(Cut { id: 2, data: &[0; 4096], ..CUT }.offer(&mut defrag, Tick(0)));
    let next = Cut { id: 2, offset: 4096, data: &[0; 8], ..CUT };
    let full = Offer::Refused { reason: Reason::FragmentMemory, hold: Some(hold) };
    assert_eq!(next.offer(&mut defrag, Tick(0)), full);
    assert_eq!(defrag.bytes_free(), 2 * 2048);
    let same = Offer::Refused { reason: Reason::FragmentMemory, hold: None };
    assert_eq!(next.offer(&mut defrag, Tick(0)), same, "one datagram, one fate");
}

#[test]
fn frames_held_are_bounded_whatever_their_size() {
    let config = DefragConfig { fragments_max: 5, ..DefragConfig::default() };
    let mut defrag = Defrag::new(config);
    let mut holds = Vec::new();
    for id in 0..5 {
        holds.push(held(Cut { id, offset: 8, data: &[0; 8], ..CUT }.offer(&mut defrag, Tick(0))));
    }
    let sixth = Cut { id: 4, offset: 16, data: &[0; 8], ..CUT };
    let refused = Offer::Refused { reason: Reason::FragmentMemory, hold: Some(holds[4]) };
    assert_eq!((sixth.offer(&mut defrag, Tick(0)), defrag.fragments_held()), (refused, 4));
    let another = Cut { id: 9, data: &[0; 8], ..CUT };
    held(another.offer(&mut defrag, Tick(0)));
    let refused = Offer::Refused { reason: Reason::FragmentMemory, hold: None };
    assert_eq!(Cut { id: 10, ..another }.offer(&mut defrag, Tick(0)), refused);
    defrag.release(holds[0]);
    assert_eq!(defrag.fragments_held(), 4);
    defrag.drain(|_| {});
    assert_eq!(defrag.fragments_held(), 0);
}

#[test]
fn full_table_refuses_and_remembers_nothing() {
    let mut defrag = Defrag::new(DefragConfig { datagrams_max: 2, ..DefragConfig::default() });
    for id in 0..2 {
        held(Cut { id, data: &[0; 8], ..CUT }.offer(&mut defrag, Tick(0)));
    }
    let third = Cut { id: 2, data: &[0; 8], ..CUT };
    let full = Offer::Refused { reason: Reason::FragmentMemory, hold: None };
    assert_eq!(third.offer(&mut defrag, Tick(0)), full);
    defrag.expire(Tick(Tick::SECOND), |_| {});
    held(third.offer(&mut defrag, Tick(Tick::SECOND)));
}

#[test]
fn one_fragment_too_many_condemns_the_datagram() {
    let config = DefragConfig { fragments_per_datagram_max: 3, datagrams_max: 2, ..DefragConfig::default() };
    let mut defrag = Defrag::new(config);
    let cut = Cut { data: &[0; 8], ..CUT };
    let hold = held(cut.offer(&mut defrag, Tick(0)));
    held(cut.offer(&mut defrag, Tick(0)));
    held(cut.offer(&mut defrag, Tick(0)));
    let refused = Offer::Refused { reason: Reason::FragmentTooMany, hold: Some(hold) };
    assert_eq!(cut.offer(&mut defrag, Tick(0)), refused);
}

#[test]
fn datagrams_differ_by_id_vlan_vni_version_and_in_ipv4_by_protocol() {
    let base = Cut { data: &[0; 8], ..CUT };
    let mut defrag = defrag(OverlapPolicy::Refuse);
    let hold = held(base.offer(&mut defrag, Tick(0)));
    for other in [
        Cut { id: 8, ..base },
        Cut { vlan: 3, ..base },
        Cut { vni: 4, ..base },
        Cut { protocol: Protocol::ICMP, ..base },
        Cut { v6: true, ..base },
    ] {
        assert_ne!(held(other.offer(&mut defrag, Tick(0))), hold);
    }
    let six = Cut { v6: true, id: 50, ..base };
    let hold = held(six.offer(&mut defrag, Tick(0)));
    let other = Cut { protocol: Protocol::ICMPV6, offset: 8, ..six };
    assert_eq!(held(other.offer(&mut defrag, Tick(0))), hold, "the first fragment's next header counts");
}

#[test]
fn atomic_fragment_is_complete_by_itself_and_leaves_others_alone() {
    let mut defrag = defrag(OverlapPolicy::Refuse);
    let cut = Cut { v6: true, ..CUT };
    let waiting = held(Cut { data: b"AAAAAAAA", ..cut }.offer(&mut defrag, Tick(0)));
    let atomic = completed(Cut { more: false, data: b"BBBBBBBBB", ..cut }.offer(&mut defrag, Tick(0)));
    assert_ne!(atomic, waiting);
    assert_eq!(data_of(&mut defrag, atomic), b"BBBBBBBBB");
    defrag.release(atomic);
    assert_eq!(defrag.holding(waiting).unwrap().fragments, 1);
}

#[test]
fn what_is_no_fragment_is_refused() {
    let mut defrag = defrag(OverlapPolicy::Refuse);
    let (bytes, mut headers) = Cut { data: &[0; 8], ..CUT }.frame();
    headers.fragment = None;
    let refused = Offer::Refused { reason: Reason::FragmentLength, hold: None };
    assert_eq!(defrag.offer(Tick(0), &bytes, &headers), refused);
}

#[test]
fn every_policy_is_found_by_its_name() {
    for policy in OverlapPolicy::ALL {
        assert_eq!(OverlapPolicy::from_label(policy.label()), Some(*policy));
    }
    assert_eq!(OverlapPolicy::from_label("vista"), None);
}

/// The figure of Novak's paper: (letter, first block, blocks), in order of arrival; the last one ends it.
const NOVAK: &[(u8, usize, usize)] = &[
    (b'A', 0, 3),
    (b'B', 4, 2),
    (b'C', 6, 3),
    (b'D', 10, 1),
    (b'E', 13, 2),
    (b'F', 15, 3),
    (b'G', 18, 2),
    (b'H', 20, 2),
    (b'I', 22, 1),
    (b'J', 1, 4),
    (b'K', 6, 3),
    (b'L', 9, 3),
    (b'M', 12, 3),
    (b'N', 16, 1),
    (b'O', 19, 1),
    (b'P', 20, 1),
    (b'Q', 22, 2),
];

/// Sends fragments given as (letter, first block, blocks); of `last` the "more" bit is clear. Returns one
/// letter for each block of the datagram.
fn reassemble(policy: OverlapPolicy, v6: bool, fragments: &[(u8, usize, usize)], last: u8) -> String {
    let mut defrag = defrag(policy);
    let mut complete = None;
    for (letter, start, blocks) in fragments {
        let data = vec![*letter; blocks * 8];
        let cut = Cut {
            v6,
            protocol: Protocol::ICMP,
            offset: start * 8,
            more: *letter != last,
            data: &data,
            ..CUT
        };
        match cut.offer(&mut defrag, Tick(0)) {
            Offer::Held(_) => {}
            Offer::Complete { hold } => complete = Some(hold),
            Offer::Refused { reason, .. } => panic!("{letter}: {reason:?}"),
        }
    }
    let data = data_of(&mut defrag, complete.unwrap());
    data.chunks(8)
        .map(|block| {
            assert!(block.iter().all(|byte| *byte == block[0]));
            char::from(block[0])
        })
        .collect()
}

#[test]
fn each_policy_reassembles_novaks_figure_as_its_receivers_do() {
    let table = [
        (OverlapPolicy::First, "AAAJBBCCCLDLMEEFFFGGHHIQ"),
        (OverlapPolicy::Last, "AJJJJBKKKLLLMMMFNFGOPHQQ"),
        (OverlapPolicy::Bsd, "AAAJJBCCCLLLMMMFFFGGHHIQ"),
        (OverlapPolicy::BsdRight, "AJJJBBKKKLDLMEEFNFGOPHQQ"),
        (OverlapPolicy::Linux, "AAAJJBKKKLLLMMMFFFGGPHQQ"),
        (OverlapPolicy::Windows, "AAAJBBCCCLLLMEEFFFGGHHIQ"),
        (OverlapPolicy::Solaris, "AAAJBBCCCLLLMMMFFFGGHHIQ"),
    ];
    for (policy, expected) in table {
        for v6 in [false, true] {
            assert_eq!(reassemble(policy, v6, NOVAK, b'Q'), expected, "{policy:?}");
        }
    }
}

#[test]
fn linux_and_bsd_agree_with_suricata_beyond_novaks_figure() {
    let linux = [(b'A', 0, 3), (b'B', 5, 6), (b'C', 3, 6), (b'D', 11, 2)];
    assert_eq!(reassemble(OverlapPolicy::Linux, false, &linux, b'D'), "AAACCCCCCBBDD");
    let bsd = [(b'A', 3, 2), (b'B', 1, 2), (b'C', 2, 2), (b'D', 0, 1)];
    assert_eq!(reassemble(OverlapPolicy::Bsd, false, &bsd, b'A'), "DBBCA");
}

#[test]
fn first_fragment_that_replaces_another_brings_its_header() {
    let mut defrag = defrag(OverlapPolicy::Last);
    held(Cut { data: b"AAAAAAAA", ..CUT }.offer(&mut defrag, Tick(0)));
    held(Cut { options: &[1; 4], data: b"BBBBBBBB", ..CUT }.offer(&mut defrag, Tick(0)));
    let hold = completed(Cut { offset: 8, more: false, data: b"C", ..CUT }.offer(&mut defrag, Tick(0)));
    assert_eq!(defrag.datagram(hold).unwrap().0[0], 0x46);
    assert_eq!(data_of(&mut defrag, hold), b"BBBBBBBBC");
}

/// The slow, obvious model of one datagram: every byte with the fragment that it came from.
#[derive(Default)]
struct Model {
    bytes: Vec<Option<(u8, Span)>>,
    total: Option<usize>,
    fragments: usize,
    condemned: Option<Reason>,
    complete: bool,
}

#[derive(Debug, PartialEq)]
enum Outcome {
    Held,
    Complete(Vec<u8>),
    Refused(Reason),
}

impl Model {
    fn offer(&mut self, policy: OverlapPolicy, max: usize, start: usize, more: bool, data: &[u8]) -> Outcome {
        if let Some(reason) = self.condemned {
            return Outcome::Refused(reason);
        }
        let end = start + data.len();
        let fault = if data.is_empty() || (more && !data.len().is_multiple_of(8)) {
            Some(Reason::FragmentLength)
        } else if start == 0 && more && data.len() < 8 {
            Some(Reason::FragmentTiny)
        } else if self.fragments >= max {
            Some(Reason::FragmentTooMany)
        } else if match self.total {
            Some(total) => end > total || (!more && end != total),
            None => !more && self.bytes.len() > end,
        } {
            Some(Reason::FragmentEnd)
        } else if policy == OverlapPolicy::Refuse
            && data.iter().enumerate().any(
                |(at, byte)| matches!(self.bytes.get(start + at), Some(Some((other, _))) if other != byte),
            )
        {
            Some(Reason::FragmentOverlap)
        } else {
            None
        };
        if let Some(reason) = fault {
            if policy == OverlapPolicy::Refuse || reason == Reason::FragmentTooMany {
                self.condemned = Some(reason);
            }
            return Outcome::Refused(reason);
        }
        self.fragments += 1;
        if !more {
            self.total = Some(end);
        }
        if self.bytes.len() < end {
            self.bytes.resize(end, None);
        }
        let span = Span { start: start as u16, end: end as u16 };
        for (at, byte) in data.iter().enumerate() {
            let cell = &mut self.bytes[start + at];
            if cell.is_none_or(|(_, old)| policy.replaces(old, span)) {
                *cell = Some((*byte, span));
            }
        }
        if !self.complete && self.total.is_some() && self.bytes.iter().all(Option::is_some) {
            self.complete = true;
            return Outcome::Complete(self.bytes.iter().flatten().map(|cell| cell.0).collect());
        }
        Outcome::Held
    }
}

prop_compose! {
    /// (datagram, first block, blocks, odd bytes, more, colour): overlaps, gaps and contradictions abound.
    fn arrival()(
        id in 0u32..3, start in 0usize..12, blocks in 0usize..5, odd in prop::sample::select(vec![0usize, 0, 0, 0, 5]),
        more in prop::bool::weighted(0.85), colour in prop::sample::select(vec![0u8, 0, 0, 0, 0, 1]),
    ) -> (u32, usize, usize, usize, bool, u8) {
        (id, start, blocks, odd, more, colour)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn agrees_with_the_byte_map(
        policy in prop::sample::select(OverlapPolicy::ALL),
        v6: bool,
        stride in prop::sample::select(vec![1usize, 150]),
        arrivals in prop::collection::vec(arrival(), 1..40),
    ) {
        let max = 12;
        let mut defrag = Defrag::new(DefragConfig {
            datagrams_max: 4, bytes_max: 1 << 20, fragments_max: 1024, fragments_per_datagram_max: max,
            timeout_ms: 1000, policy,
        });
        let mut models: [Model; 3] = Default::default();
        let mut held_by = [0usize; 4];
        for (id, start, blocks, odd, more, colour) in arrivals {
            let (start, length) = (start * 8 * stride, blocks * 8 * stride + odd);
            if start == 0 && !more {
                continue; // atomic: has its own test
            }
            let data: Vec<u8> = (start..start + length).map(|at| (at / 5) as u8 ^ (colour * 128)).collect();
            let expected = models[id as usize].offer(policy, max, start, more, &data);
            let cut = Cut { v6, id, offset: start, more, data: &data, ..CUT };
            let got = match cut.offer(&mut defrag, Tick(0)) {
                Offer::Held(hold) => {
                    held_by[hold.index()] += 1;
                    prop_assert_eq!(defrag.holding(hold).unwrap().fragments, held_by[hold.index()]);
                    Outcome::Held
                }
                Offer::Complete { hold } => {
                    held_by[hold.index()] += 1;
                    Outcome::Complete(data_of(&mut defrag, hold))
                }
                Offer::Refused { reason, hold } => {
                    if let Some(hold) = hold {
                        prop_assert!(std::mem::take(&mut held_by[hold.index()]) > 0);
                    }
                    Outcome::Refused(reason)
                }
            };
            prop_assert_eq!(got, expected);
            prop_assert_eq!(defrag.fragments_held(), held_by.iter().sum::<usize>());
        }
        // Every frame that was to be held is accounted for, and all memory comes back.
        defrag.drain(|hold| held_by[hold.index()] = 0);
        prop_assert_eq!(held_by, [0; 4]);
        prop_assert!(defrag.is_empty());
        prop_assert_eq!(defrag.bytes_free(), 1 << 20);
    }

    #[test]
    fn no_bytes_and_no_headers_panic(
        policy in prop::sample::select(OverlapPolicy::ALL),
        frames in prop::collection::vec((
            prop::collection::vec(any::<u8>(), 0..200), 0u16..80, any::<u16>(), any::<u16>(), any::<u16>(),
            any::<bool>(), prop::sample::select(vec![0x45u8, 0x4f, 0x40, 0x60, 0x00]), any::<u64>(),
        ), 1..20),
    ) {
        let mut defrag = Defrag::new(DefragConfig { datagrams_max: 3, bytes_max: 9000, policy, ..DefragConfig::default() });
        for (mut bytes, l3, end, offset, l4, more, first, now) in frames {
            let (_, mut headers) = Cut { data: &[0; 8], ..CUT }.frame();
            if let Some(byte) = bytes.get_mut(usize::from(l3)) {
                *byte = first;
            }
            (headers.l3_offset, headers.l4_offset) = (l3, l4);
            headers.end = if end % 4 == 0 { end } else { bytes.len() as u16 };
            headers.fragment = Some(Fragment { id: 1, offset, more, protocol: offset as u8 });
            let now = Tick(now % (3 * Tick::SECOND));
            if let Offer::Complete { hold } = defrag.offer(now, &bytes, &headers) {
                prop_assert!(defrag.datagram(hold).is_some());
            }
            if l4 % 8 == 0 {
                defrag.expire(now, |_| {});
            }
        }
        defrag.drain(|_| {});
        prop_assert!(defrag.is_empty());
    }
}
