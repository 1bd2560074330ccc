//! Any Ethernet frame, redirected and refused: no panic, checksums stay right, a refusal is never refusable.

use dataplane::flow::Direction;
use dataplane::nat::{
    Original, REFUSAL_BYTES_MAX, Redirect, Target, Tracked, may_refuse, reset_receiver, reset_sender,
    unreachable,
};
use dataplane::parse::checksum::{ChecksumState, transport_checksum};
use dataplane::parse::{Addr, parse_ethernet};

/// Longest encapsulation before the innermost packet that refusals are given room for.
const AROUND_MAX: usize = 1024;

/// Treats `bytes` as a frame.
pub fn run(bytes: &[u8]) {
    let Ok(headers) = parse_ethernet(bytes) else { return };
    let Some((src, dst)) = headers.addrs() else { return };

    let mut out = [0; REFUSAL_BYTES_MAX + AROUND_MAX];
    let answers = [
        reset_sender(&mut out, bytes, &headers, Tracked::default()).map(|length| out[..length].to_vec()),
        reset_receiver(&mut out, bytes, &headers, Tracked::default()).map(|length| out[..length].to_vec()),
        unreachable(&mut out, bytes, &headers).map(|length| out[..length].to_vec()),
    ];
    if may_refuse(&headers, bytes) && src != dst {
        for answer in answers.iter().flatten() {
            let refusal = parse_ethernet(answer).expect("what is crafted is well-formed");
            assert_eq!(transport_checksum(answer, &refusal), ChecksumState::Good);
            assert!(!may_refuse(&refusal, answer));
        }
    }

    let mut target = dst.0;
    target[15] ^= 0x5a;
    if Addr(target) == src {
        return;
    }
    let original = Original { addr: dst, port: headers.ports().1, mac: None };
    let there = Redirect { target: Target { addr: Addr(target), port: 7, next_hop: None }, original };
    let mut frame = bytes.to_vec();
    let before = transport_checksum(&frame, &headers);
    if there.apply(Direction::Forward, &mut frame, &headers).is_err() {
        assert_eq!(frame, bytes, "an error leaves the bytes alone");
        return;
    }
    assert_eq!(frame.len(), bytes.len());
    if let Ok(after) = parse_ethernet(&frame)
        && before == ChecksumState::Good
        && after.l3_offset == headers.l3_offset
    {
        assert_eq!(after.addrs(), Some((src, Addr(target))));
        assert_eq!(transport_checksum(&frame, &after), ChecksumState::Good);
    }
}
