//! Is this `WireGuard`, or somebody who speaks something like it?
//!
//! Source: wireguard.com/protocol: kind (1), reserved (3), then fields of fixed lengths, little-endian.
//!
//! Its handshakes are told: `handshake`.

mod handshake;

use crate::dpi::{Category, First, Match, Peek, Probe, Protocol};

/// `WireGuard`.
pub(super) static WIREGUARD: Protocol = Protocol {
    name: "wireguard",
    eve: None,
    category: Category::Vpn,
    probes: &[Probe::udp(First::In(1, 4), wireguard)],
    parser: Some(|| Box::<handshake::Handshakes>::default()),
};

fn wireguard(peek: &Peek<'_>) -> Match {
    if peek.bytes.get(1..4) != Some(&[0; 3]) || peek.is_multicast {
        return Match::No;
    }
    match (peek.bytes.first(), peek.bytes.len()) {
        // Initiation and response; the sender's index is random.
        (Some(1), 148) => Match::of(peek.le32(4) != 0, 93),
        (Some(2), 92) => Match::of(peek.le32(4) != 0 && peek.le32(8) != 0, 93),
        (Some(3), 64) => Match::of(peek.le32(4) != 0, 75),
        // Data: receiver (4), counter (8), and what is padded to 16 bytes.
        (Some(4), 32..) if peek.bytes.len().is_multiple_of(16) => {
            let same_receiver = peek.previous.get(..8) == peek.bytes.get(..8);
            let (counter, before) = (peek.le32(8), counter(peek.previous));
            let is_counted = peek.le32(12) < 0x100 && peek.le32(4) != 0;
            let goes_on = same_receiver && before.is_some_and(|before| counter.abs_diff(before) < 1_024);
            let is_answered = matches!(peek.other, [4, 0, 0, 0, ..]) && counter_of(peek.other) < 0x100_0000;
            Match::of(is_counted, if goes_on || is_answered { 90 } else { 68 })
        }
        _ => Match::No,
    }
}

fn counter(bytes: &[u8]) -> Option<u32> {
    let counter = bytes.get(8..)?.first_chunk::<4>()?;
    Some(u32::from_le_bytes(*counter))
}

fn counter_of(bytes: &[u8]) -> u32 {
    counter(bytes).unwrap_or(u32::MAX)
}

/// Cloudflare's WARP: `WireGuard` with kinds of `c1` to `c4`, or with the reserved bytes filled.
pub(super) static CLOUDFLARE_WARP: Protocol = Protocol::named(
    "cloudflarewarp",
    Category::Vpn,
    &[Probe::udp(First::In(0xc1, 0xc4), warp), Probe::udp(First::In(1, 4), warp_reserved)],
);

/// Ports that WARP falls back to, its own first.
const WARP_PORTS: [u16; 4] = [2_408, 500, 1_701, 4_500];

fn warp(peek: &Peek<'_>) -> Match {
    let port = WARP_PORTS.into_iter().any(|port| peek.has_port(port));
    let is_kind = match peek.bytes.first() {
        // Version of none: what a QUIC packet with a long header cannot begin a connection with.
        Some(0xc1) => peek.be32(1) == 0 && peek.bytes.len() >= 100,
        Some(0xc2) => peek.other.first() == Some(&0xc1),
        Some(0xc4) => matches!(peek.other.first(), Some(0xc1..=0xc4)),
        _ => false,
    };
    Match::of(port && is_kind, 99)
}

fn warp_reserved(peek: &Peek<'_>) -> Match {
    let is_filled = peek.bytes.get(1..4).is_some_and(|reserved| reserved != [0; 3]);
    let is_kind = matches!((peek.bytes.first(), peek.bytes.len()), (Some(1), 148) | (Some(2), 92));
    let port = WARP_PORTS.into_iter().any(|port| peek.has_port(port));
    Match::of(is_filled && is_kind, if port { 90 } else { 50 })
}

/// Tailscale: its own discovery between the packets of `WireGuard`, which it speaks on a port of its own.
pub(super) static TAILSCALE: Protocol = Protocol {
    name: "tailscale",
    eve: None,
    category: Category::Vpn,
    probes: &[Probe::udp(First::Of(b"T"), discovery), Probe::udp(First::In(1, 2), tailscale_handshake)],
    parser: Some(|| Box::<handshake::Handshakes>::default()),
};

/// `TS` and a speech balloon, the sender's key (32), a nonce (24) and a box.
fn discovery(peek: &Peek<'_>) -> Match {
    Match::of(peek.bytes.starts_with(b"TS\xf0\x9f\x92\xac") && peek.bytes.len() >= 62, 98)
}

fn tailscale_handshake(peek: &Peek<'_>) -> Match {
    let is = matches!(wireguard(peek), Match::Yes(90..));
    Match::of(is && peek.has_port(41_641), 95)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpi::protocol::samples::{confidence, datagram};

    #[test]
    fn handshakes_and_data_are_recognised() {
        let mut initiation = vec![9_u8; 148];
        initiation[..4].copy_from_slice(&[1, 0, 0, 0]);
        assert_eq!(confidence(&WIREGUARD, &datagram(&initiation)), 93);
        assert_eq!(confidence(&WIREGUARD, &datagram(&initiation[..147])), 0);
        assert_eq!(confidence(&TAILSCALE, &Peek { ports: (41_641, 41_641), ..datagram(&initiation) }), 95);
        initiation[1] = 7;
        assert_eq!(confidence(&CLOUDFLARE_WARP, &Peek { ports: (5, 2_408), ..datagram(&initiation) }), 90);
        let data = [&[4, 0, 0, 0, 1, 2, 3, 4, 5, 0, 0, 0, 0, 0, 0, 0][..], &[8; 32]].concat();
        assert_eq!(confidence(&WIREGUARD, &datagram(&data)), 68);
        assert_eq!(confidence(&WIREGUARD, &Peek { previous: &data, nth: 1, ..datagram(&data) }), 90);
        let disco = [b"TS\xf0\x9f\x92\xac".as_slice(), &[3; 86]].concat();
        assert_eq!(confidence(&TAILSCALE, &datagram(&disco)), 98);
    }
}
