//! Any frame of any link type: no panic, offsets in order, payload and checksum inside the frame.

use dataplane::parse::checksum::{heal, outermost, transport_checksum};
use dataplane::parse::{
    Headers, LinkType, Network, Transport, parse_datagram, parse_frame, parse_frame_unverified,
};

/// Link types whose headers differ.
const LINKS: [u32; 12] = [0, 9, 51, 101, 104, 105, 113, 127, 219, 228, 229, 276];

/// Parses `bytes` as Ethernet, and as one other link type that their last byte chooses.
pub fn run(bytes: &[u8]) {
    check_as(bytes, LinkType::Ethernet);
    let choice = usize::from(bytes.last().copied().unwrap_or(0)) % LINKS.len();
    check_as(bytes, LinkType::from_code(LINKS[choice]));
}

fn check_as(bytes: &[u8], link: LinkType) {
    if let Ok(headers) = parse_frame_unverified(bytes, link) {
        check(&headers, bytes);
    }
    let Ok(headers) = parse_frame(bytes, link) else { return };
    check(&headers, bytes);
    let _ = transport_checksum(bytes, &headers);
    let mut healed = bytes.to_vec();
    if heal(&mut healed, &headers) {
        assert_eq!(parse_frame(&healed, link), Ok(headers), "a checksum changes nothing else");
    }
    if let Some(outer) = outermost(bytes, &headers) {
        check(&outer, bytes);
        let _ = transport_checksum(bytes, &outer);
    }
    if matches!(headers.network, Network::Ip { .. }) {
        // Not only up to `end`: UDP's length may stop short of what IP holds.
        let datagram = &bytes[usize::from(headers.l3_offset)..];
        let again = parse_datagram(datagram, &headers).expect("its headers were valid a moment ago");
        check(&again, datagram);
        assert_eq!((again.network, again.transport), (headers.network, headers.transport));
    }
}

fn check(headers: &Headers, bytes: &[u8]) {
    let Headers { outer_l3_offset, l3_offset, l4_offset, payload_offset, end, .. } = *headers;
    assert!(outer_l3_offset <= l3_offset && l3_offset <= l4_offset, "{headers:?}");
    assert!(l4_offset <= payload_offset && payload_offset <= end, "{headers:?}");
    assert!(usize::from(end) <= bytes.len(), "{headers:?}");
    assert_eq!(headers.payload(bytes), &bytes[usize::from(payload_offset)..usize::from(end)]);
    if headers.fragment.is_some() || !matches!(headers.network, Network::Ip { .. }) {
        assert_eq!(headers.transport, Transport::None, "{headers:?}");
    }
}
