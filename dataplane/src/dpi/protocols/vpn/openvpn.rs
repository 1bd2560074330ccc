//! Is this `OpenVPN`? Its control channel opens with a reset that is in clear, whatever protects the rest.
//!
//! ```text
//! opcode (5 bits) and key (3 bits) | session (8) | protection | acknowledged (1 + 4 each, and their session (8)) | number (4)
//! protection: none; tls-auth: HMAC (16 to 64), packet (4), time (4); tls-crypt: packet (4), time (4), HMAC (32), then
//! everything is encrypted
//! ```
//!
//! Over TCP a length (2) stands before. Source: openvpn.net, "OpenVPN wire protocol" (draft of 2023) 3 and 4.
//!
//! The resets are told (`resets`). Without encryption of the channel itself the TLS that it carries is read too: `control`.

mod control;
mod resets;

use crate::dpi::{Category, First, Match, Peek, Probe, Protocol};

/// `OpenVPN`.
pub(super) static OPENVPN: Protocol = Protocol {
    name: "openvpn",
    eve: None,
    category: Category::Vpn,
    probes: &[Probe::udp(First::In(0x08, 0x58), datagram), Probe::tcp(First::In(0x00, 0x04), stream)],
    parser: Some(|| Box::<control::Control>::default()),
};

const CLIENT_V1: u8 = 1 << 3;
const SERVER_V1: u8 = 2 << 3;
const CONTROL: u8 = 4 << 3;
const ACK: u8 = 5 << 3;
const CLIENT_V2: u8 = 7 << 3;
const SERVER_V2: u8 = 8 << 3;
const CLIENT_V3: u8 = 10 << 3;

/// Opcode and session.
const HEAD: usize = 9;
/// Lengths of the usual HMACs: MD5, SHA-1, SHA-224, SHA-256, SHA-384, SHA-512.
const HMACS: [usize; 6] = [16, 20, 28, 32, 48, 64];

fn datagram(peek: &Peek<'_>) -> Match {
    look(peek.bytes, peek.other)
}

fn stream(peek: &Peek<'_>) -> Match {
    let Some((len, rest)) = peek.bytes.split_first_chunk::<2>() else { return Match::More };
    let len = usize::from(u16::from_be_bytes(*len));
    if !(14..=1_200).contains(&len) {
        return Match::No;
    }
    match (rest.first(), rest.get(..len)) {
        (Some(&opcode), None) if is_control(opcode) => Match::More,
        (None, _) => Match::More,
        (Some(_), None) => Match::No,
        (Some(_), Some(packet)) => look(packet, peek.other.get(2..).unwrap_or_default()),
    }
}

const fn is_control(opcode: u8) -> bool {
    matches!(opcode, CLIENT_V1 | SERVER_V1 | CONTROL | ACK | CLIENT_V2 | SERVER_V2 | CLIENT_V3)
}

fn look(packet: &[u8], other: &[u8]) -> Match {
    let Some((opcode, session)) = packet.split_first() else { return Match::No };
    let Some(session) = session.get(..8).filter(|session| **session != [0; 8]) else { return Match::No };
    if !is_control(*opcode) {
        return Match::No;
    }
    // The peer's session comes back in every packet that acknowledges one of its.
    let peer = other.get(1..HEAD).filter(|_| other.first().is_some_and(|opcode| is_control(*opcode)));
    if let Some(peer) = peer.filter(|peer| *peer != session)
        && answers(packet, peer)
    {
        return Match::Yes(97);
    }
    let is_answered_reset = matches!(other.first(), Some(&(CLIENT_V2 | CLIENT_V3))) && is_first(other, HEAD);
    match *opcode {
        CLIENT_V1 | CLIENT_V2 if opens_in_clear(packet, 0) && packet.len() == HEAD + 5 => Match::Yes(92),
        CLIENT_V1 | CLIENT_V2 if HMACS.iter().any(|hmac| opens_authenticated(packet, *hmac)) => {
            Match::Yes(95)
        }
        CLIENT_V2 if packet.len() == HEAD + 45 && is_first(packet, HEAD) => Match::Yes(93),
        // The client's key, wrapped, with its length at the end.
        CLIENT_V3 => {
            let wrapped = packet.last_chunk::<2>().map(|len| usize::from(u16::from_be_bytes(*len)));
            Match::of(wrapped.is_some_and(|len| len + HEAD + 45 == packet.len() && len >= 290), 95)
        }
        SERVER_V1 | SERVER_V2 if is_first(packet, HEAD) && packet.len() >= HEAD + 45 => {
            Match::Yes(if is_answered_reset { 88 } else { 55 })
        }
        SERVER_V1 | SERVER_V2 => {
            let in_clear = packet.get(HEAD..HEAD + 5) == Some(&[1, 0, 0, 0, 0]) && packet.len() == HEAD + 17;
            let is_authenticated =
                HMACS.iter().any(|hmac| packet.len() == HEAD + hmac + 25 && is_first(packet, HEAD + hmac));
            Match::of(in_clear || is_authenticated, 93)
        }
        // Seen from its middle: a TLS record right behind the header.
        CONTROL => {
            let record = packet.get(HEAD + 5..HEAD + 8);
            Match::of(packet.get(HEAD) == Some(&0) && matches!(record, Some([0x14..=0x17, 3, 0..=4])), 90)
        }
        _ => Match::No,
    }
}

/// Nothing acknowledged, number 0.
fn opens_in_clear(packet: &[u8], at: usize) -> bool {
    packet.get(HEAD + at..HEAD + at + 5) == Some(&[0; 5])
}

/// The same behind an HMAC, packet and time; retransmissions have higher packets.
fn opens_authenticated(packet: &[u8], hmac: usize) -> bool {
    packet.len() == HEAD + hmac + 13 && is_first(packet, HEAD + hmac) && opens_in_clear(packet, hmac + 8)
}

/// A small number of the packet (the top byte may announce features) and a time after 2001.
fn is_first(packet: &[u8], at: usize) -> bool {
    let Some([_, number @ .., time, _, _, _]) =
        packet.get(at..at + 8).and_then(|bytes| bytes.first_chunk::<8>())
    else {
        return false;
    };
    let number = number.iter().fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
    (packet.get(at).is_some_and(|top| matches!(top, 0 | 0x0a | 0x0f)))
        && (number & 0xffff) < 64
        && number >> 16 & 0xfe == 0
        && (0x3a..0x90).contains(time)
}

/// Whether `peer` stands where acknowledged packets are followed by it.
fn answers(packet: &[u8], peer: &[u8]) -> bool {
    let protections = std::iter::once(0).chain(HMACS.iter().map(|hmac| hmac + 8));
    protections.into_iter().any(|protection| {
        let at = HEAD + protection;
        packet.get(at).is_some_and(|count| {
            let after = at + 1 + 4 * usize::from(*count);
            (1..=8).contains(count) && packet.get(after..after + 8) == Some(peer)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpi::protocol::samples::{self, confidence};

    #[test]
    fn resets_are_recognised_with_every_protection() {
        let client = [&[CLIENT_V2][..], &[7; 8], &[0; 5]].concat();
        assert_eq!(confidence(&OPENVPN, &samples::datagram(&client)), 92);
        let server = [&[SERVER_V2][..], &[8; 8], &[1, 0, 0, 0, 0], &[7; 8], &[0; 4]].concat();
        assert_eq!(confidence(&OPENVPN, &Peek { other: &client, ..samples::datagram(&server) }), 97);
        let first = [0, 0, 0, 1, 0x57, 0xc2, 0x0c, 0x2a];
        let authenticated = [&[CLIENT_V2][..], &[7; 8], &[9; 20], &first, &[0; 5]].concat();
        assert_eq!(confidence(&OPENVPN, &samples::datagram(&authenticated)), 95);
        let encrypted = [&[CLIENT_V2][..], &[7; 8], &first, &[9; 37]].concat();
        assert_eq!(confidence(&OPENVPN, &samples::datagram(&encrypted)), 93);
        let tcp = [&[0, 14][..], &client].concat();
        assert_eq!(confidence(&OPENVPN, &samples::stream(&tcp)), 92);
        assert_eq!(stream(&samples::stream(&tcp[..6])), Match::More);
    }

    #[test]
    fn others_are_not() {
        assert_eq!(confidence(&OPENVPN, &samples::datagram(&[0x38; 42])), 0);
        assert_eq!(
            confidence(&OPENVPN, &samples::datagram(&[0x38, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])),
            0
        );
    }
}
