//! Who shares data without a broker? Syncthing's devices, and the participants of DDS (RTPS).

use crate::dpi::protocol::{Category, First, Match, Over, Peek, Probe, Protocol};

/// Syncthing: local discovery, and the hello before TLS (docs.syncthing.net, LDP v4 and BEP v1).
pub static SYNCTHING: Protocol = Protocol::named(
    "syncthing",
    Category::FileSharing,
    &[
        Probe { over: Over::TcpOrUdp, first: First::Of(&[0x2e, 0x9f]), look: looks_like_syncthing },
        Probe { over: Over::Tcp, first: First::Of(&[0x9e]), look: looks_like_relay },
    ],
);

/// Real-Time Publish-Subscribe, the wire of DDS (OMG formal/2022-04-01, 9.4.4).
pub static RTPS: Protocol = Protocol::named(
    "rtps",
    Category::Rpc,
    &[Probe { over: Over::TcpOrUdp, first: First::Of(b"R"), look: looks_like_rtps }],
);

fn looks_like_syncthing(peek: &Peek<'_>) -> Match {
    match peek.bytes.get(..4) {
        Some([0x2e, 0xa7, 0xd9, 0x0b] | [0x9f, 0x79, 0xbc, 0x40]) => Match::Yes(97),
        Some(_) => Match::No,
        None if peek.is_tcp => Match::More,
        None => Match::No,
    }
}

/// A relay's own protocol (Relay Protocol v1).
fn looks_like_relay(peek: &Peek<'_>) -> Match {
    match peek.bytes.get(..4) {
        Some(magic) => Match::of(magic == [0x9e, 0x79, 0xbc, 0x40] && peek.bytes.len() >= 12, 95),
        None => Match::More,
    }
}

fn looks_like_rtps(peek: &Peek<'_>) -> Match {
    match peek.bytes.get(..5) {
        Some(head) => Match::of(
            (head.starts_with(b"RTPS") || head.starts_with(b"RTPX")) && (1..=2).contains(&head[4]),
            96,
        ),
        None if peek.is_tcp => Match::More,
        None => Match::No,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpi::protocol::samples::peek;

    #[test]
    fn magic_numbers_decide() {
        assert_eq!(looks_like_syncthing(&peek(&[0x2e, 0xa7, 0xd9, 0x0b, 0x0a], 9, false)), Match::Yes(97));
        assert_eq!(looks_like_syncthing(&peek(&[0x2e, 0xa7], 9, true)), Match::More);
        assert_eq!(looks_like_syncthing(&peek(b"....", 9, true)), Match::No);
        assert_eq!(looks_like_rtps(&peek(b"RTPS\x02\x01\x01\x01", 9, false)), Match::Yes(96));
        assert_eq!(looks_like_rtps(&peek(b"RTSP/1.0 200", 9, true)), Match::No);
    }
}
