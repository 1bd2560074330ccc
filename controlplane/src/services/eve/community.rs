//! Which flow is this, in the words of other tools? Community ID, version 1.
//!
//! <https://github.com/corelight/community-id-spec>: the SHA-1 of seed, addresses, protocol and ports, the lower endpoint first, as
//! base64. Both directions of a flow, and every tool with the same seed, have the same.

use std::fmt;

use dataplane::parse::{Addr, Protocol};
use serde::{Serialize, Serializer};
use sha1::{Digest, Sha1};

/// Length of a digest in base64 (RFC 4648 4).
const TEXT_BYTES: usize = 28;

/// The identity of one flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CommunityId([u8; TEXT_BYTES]);

impl CommunityId {
    /// Of a flow from `from` to `to`. Where a protocol has no ports these do not count; of ICMP they are what
    /// [`icmp_ports`] says.
    pub(super) fn new(seed: u16, protocol: u8, from: (Addr, u16), to: (Addr, u16)) -> Self {
        let (low, high) = if (from.0.0, from.1) <= (to.0.0, to.1) { (from, to) } else { (to, from) };
        let mut hash = Sha1::new();
        hash.update(seed.to_be_bytes());
        for (addr, _) in [low, high] {
            match addr.as_v4() {
                Some(v4) => hash.update(v4),
                None => hash.update(addr.0),
            }
        }
        hash.update([protocol, 0]);
        let has_ports = matches!(
            protocol,
            Protocol::TCP | Protocol::UDP | Protocol::SCTP | Protocol::ICMP | Protocol::ICMPV6
        );
        if has_ports {
            hash.update(low.1.to_be_bytes());
            hash.update(high.1.to_be_bytes());
        }
        Self(base64(hash.finalize().into()))
    }
}

/// What stands in for the ports of an ICMP flow: its type, and the type that answers it, else its code.
pub(super) fn icmp_ports(protocol: u8, (kind, code): (u8, u8)) -> (u16, u16) {
    // Request and answer, each way (the specification's own table).
    const V4: [(u8, u8); 10] =
        [(8, 0), (0, 8), (13, 14), (14, 13), (15, 16), (16, 15), (17, 18), (18, 17), (10, 9), (9, 10)];
    const V6: [(u8, u8); 10] = [
        (128, 129),
        (129, 128),
        (133, 134),
        (134, 133),
        (135, 136),
        (136, 135),
        (130, 131),
        (131, 130),
        (144, 145),
        (145, 144),
    ];
    let table = if protocol == Protocol::ICMP { &V4 } else { &V6 };
    let answer = table.iter().find(|(asks, _)| *asks == kind).map_or(code, |(_, answers)| *answers);
    (u16::from(kind), u16::from(answer))
}

fn base64(digest: [u8; 20]) -> [u8; TEXT_BYTES] {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = [b'='; TEXT_BYTES];
    for (group, bytes) in text.chunks_exact_mut(4).zip(digest.chunks(3)) {
        let bits =
            bytes.iter().chain(&[0, 0]).take(3).fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte));
        // Three bytes are four digits, the last two bytes of a digest are three.
        for (place, shift) in group.iter_mut().zip([18, 12, 6, 0]).take(bytes.len() + 1) {
            *place = DIGITS[bits >> shift & 63];
        }
    }
    text
}

impl fmt::Display for CommunityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "1:{}", std::str::from_utf8(&self.0).expect("digits of base64"))
    }
}

impl Serialize for CommunityId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_specifications_examples_come_out_both_ways() {
        // From its "baseline" file: default seed 0, and seed 1.
        let (a, b) = ((Addr::v4([128, 232, 110, 120]), 34_855), (Addr::v4([66, 35, 250, 204]), 80));
        for (seed, expected) in [(0, "1:LQU9qZlK+B5F3KDmev6m5PMibrg="), (1, "1:3V71V58M3Ksw/yuFALMcW0LAHvc=")]
        {
            assert_eq!(CommunityId::new(seed, Protocol::TCP, a, b).to_string(), expected);
            assert_eq!(CommunityId::new(seed, Protocol::TCP, b, a).to_string(), expected);
        }
    }

    #[test]
    fn requests_and_answers_of_icmp_are_one_flow() {
        for protocol in [Protocol::ICMP, Protocol::ICMPV6] {
            let kind = if protocol == Protocol::ICMP { 8 } else { 128 };
            let (asks, answers) = icmp_ports(protocol, (kind, 0));
            assert_eq!(icmp_ports(protocol, (answers as u8, 0)), (answers, asks));
            assert_ne!(asks, answers);
        }
        assert_eq!(icmp_ports(Protocol::ICMP, (3, 1)), (3, 1));
    }
}
