//! What holds for any bytes at all: nothing panics, offsets are ordered, payloads are where they say.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use proptest::sample::Index;

use super::checksum::{heal, outermost, transport_checksum};
use super::{
    Headers, LinkType, Network, Strictness, Transport, Tunnel, parse_datagram, parse_frame,
    parse_frame_unverified, usual, walk_frame,
};

/// The fuzzer's corpus: one packet of every shape that the parser knows.
fn shapes() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/parse_frame");
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

fn check(headers: &Headers, bytes: &[u8]) {
    let Headers { outer_l3_offset, l3_offset, l4_offset, payload_offset, end, .. } = *headers;
    assert!(outer_l3_offset <= l3_offset && l3_offset <= l4_offset, "{headers:?}");
    assert!(l4_offset <= payload_offset && payload_offset <= end, "{headers:?}");
    assert!(usize::from(end) <= bytes.len(), "{headers:?}");
    let payload = &bytes[usize::from(payload_offset)..usize::from(end)];
    assert_eq!(headers.payload(bytes), payload);
    if headers.fragment.is_some() || !matches!(headers.network, Network::Ip { .. }) {
        assert_eq!(headers.transport, Transport::None, "{headers:?}");
    }
}

/// Everything that later rooms may do with a frame.
fn exercise(bytes: &[u8], link: LinkType) {
    let _ = parse_frame_unverified(bytes, link).inspect(|headers| check(headers, bytes));
    // Whatever stood there before must not show.
    let junk = Headers {
        vlan_outer: 1,
        vlan_inner: 2,
        vni: 3,
        tunnel: Tunnel::Gre,
        tunnel_depth: 4,
        ..Headers::NONE
    };
    let (mut usual, mut walked) = (junk, Headers::NONE);
    if usual::parse(bytes, &mut usual) {
        assert_eq!(walk_frame(bytes, LinkType::Ethernet, Strictness::FULL, &mut walked), Ok(()));
        assert_eq!(usual, walked, "the common way and the walk agree");
    }
    let Ok(headers) = parse_frame(bytes, link) else { return };
    check(&headers, bytes);
    let _ = transport_checksum(bytes, &headers);
    let mut copy = bytes.to_vec();
    if heal(&mut copy, &headers) {
        assert_eq!(parse_frame(&copy, link), Ok(headers), "a checksum changes nothing else");
    }
    if let Some(outer) = outermost(bytes, &headers) {
        check(&outer, bytes);
        let _ = transport_checksum(bytes, &outer);
    }
    if matches!(headers.network, Network::Ip { .. }) {
        // Not only up to `end`: UDP's length may stop short of what IP holds.
        let datagram = &bytes[usize::from(headers.l3_offset)..];
        let again = parse_datagram(datagram, &headers).unwrap();
        check(&again, datagram);
        assert_eq!((again.network, again.transport), (headers.network, headers.transport));
    }
}

fn any_link() -> impl Strategy<Value = LinkType> {
    prop_oneof![
        4 => Just(LinkType::Ethernet),
        1 => prop::sample::select(vec![0u32, 9, 12, 51, 104, 105, 113, 127, 219, 228, 229, 276, 999])
            .prop_map(LinkType::from_code),
    ]
}

#[test]
fn every_shape_and_every_prefix_of_it_is_survived() {
    for shape in shapes() {
        for len in 0..=shape.len() {
            exercise(&shape[..len], LinkType::Ethernet);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200), link in any_link()) {
        exercise(&bytes, link);
    }

    #[test]
    fn any_mutation_of_a_shape_is_survived(
        shape in any::<Index>(),
        changes in prop::collection::vec((any::<Index>(), any::<u8>()), 1..6),
        cut in any::<Index>(),
        is_cut in any::<bool>(),
        link in any_link(),
    ) {
        let shapes = shapes();
        let mut bytes = shape.get(&shapes).clone();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if is_cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        exercise(&bytes, link);
    }
}
