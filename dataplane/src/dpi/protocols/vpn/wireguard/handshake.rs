//! Who begins a session, and is it answered? The handshakes of `WireGuard`; what follows them is encrypted.
//!
//! ```text
//! initiation: kind 1 (4) | sender (4) | keys and time, encrypted (108) | mac1 (16) | mac2 (16)        148 bytes
//! response:   kind 2 (4) | sender (4) | receiver (4) | keys, encrypted (48) | mac1 (16) | mac2 (16)    92 bytes
//! cookie:     kind 3 (4) | receiver (4) | nonce (24) | cookie, encrypted (32)                          64 bytes
//! data:       kind 4 (4) | receiver (4) | counter (8) | packet, encrypted (16 and more)
//! ```
//!
//! Numbers are little-endian (wireguard.com/protocol, "Connection-related Packet Descriptions"). Told as `wireguard`, a
//! record a handshake.

use crate::dpi::cursor::Cursor;
use crate::dpi::{Context, Fields, Parser, Step};
use crate::flow::Direction;

/// Handshakes of a flow that are told: keys are renewed every two minutes, which says nothing new.
const HANDSHAKES_MAX: u8 = 8;

/// Packets of a flow after which nobody looks any more: a tunnel that is used in earnest would be read up to the depth
/// of inspection for nothing.
const PACKETS_MAX: u16 = 512;

const INITIATION: u8 = 1;
const RESPONSE: u8 = 2;
const COOKIE_REPLY: u8 = 3;
const DATA: u8 = 4;

/// Reads the handshakes of one flow.
#[derive(Default)]
pub(super) struct Handshakes {
    /// The initiation of each direction that nobody answered yet.
    pending: [Option<Initiation>; 2],
    told: u8,
    packets: u16,
}

#[derive(Debug, Clone, Copy)]
struct Initiation {
    sender: u32,
    has_cookie: bool,
}

/// A message that answers an initiation.
struct Answer {
    kind: u8,
    sender: Option<u32>,
    receiver: u32,
}

impl Parser for Handshakes {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        self.packets += 1;
        if self.packets > PACKETS_MAX {
            return Step::Done;
        }
        // The socket may be shared: what Tailscale and STUN send on it begins otherwise.
        let Some([kind @ INITIATION..=DATA, 0, 0, 0]) = bytes.first_chunk::<4>() else {
            return Step::Consumed(bytes.len());
        };
        let fits = match *kind {
            INITIATION => bytes.len() == 148,
            RESPONSE => bytes.len() == 92,
            COOKIE_REPLY => bytes.len() == 64,
            _ => bytes.len() >= 32,
        };
        if fits {
            self.message(way, *kind, &bytes[4..], cx);
        } else {
            cx.anomaly("invalid_length");
        }
        if self.told >= HANDSHAKES_MAX { Step::Done } else { Step::Consumed(bytes.len()) }
    }

    fn end(&mut self, cx: &mut Context<'_>) {
        for way in [Direction::Forward, Direction::Reverse] {
            self.unanswered(way, cx);
        }
    }

    fn start_over(&mut self) -> bool {
        *self = Self::default();
        true
    }
}

impl Handshakes {
    /// Reads a message of the right length behind its kind.
    fn message(&mut self, way: Direction, kind: u8, body: &[u8], cx: &mut Context<'_>) -> Option<()> {
        let mut at = Cursor::new(body);
        let answer = match kind {
            INITIATION => {
                // Each try has an index of its own.
                self.unanswered(way, cx);
                let sender = at.le32()?;
                let mac2 = body.last_chunk::<16>()?;
                self.pending[way as usize] = Some(Initiation { sender, has_cookie: *mac2 != [0; 16] });
                return Some(());
            }
            RESPONSE => Answer { kind, sender: Some(at.le32()?), receiver: at.le32()? },
            COOKIE_REPLY => Answer { kind, sender: None, receiver: at.le32()? },
            _ => return None,
        };
        let pending = &mut self.pending[way.opposite() as usize];
        let initiation = pending.take_if(|initiation| initiation.sender == answer.receiver)?;
        self.tell(way, initiation, Some(&answer), cx);
        Some(())
    }

    fn unanswered(&mut self, way: Direction, cx: &mut Context<'_>) {
        if let Some(initiation) = self.pending[way as usize].take() {
            self.tell(way, initiation, None, cx);
        }
    }

    fn tell(
        &mut self,
        way: Direction,
        initiation: Initiation,
        answer: Option<&Answer>,
        cx: &mut Context<'_>,
    ) {
        if self.told < HANDSHAKES_MAX {
            self.told += 1;
            cx.tell_with("wireguard", way, |fields| write(fields, initiation, answer));
        }
    }
}

fn write(fields: &mut Fields, initiation: Initiation, answer: Option<&Answer>) {
    fields.object("request", |request| {
        request.text("message_type", "initiation");
        request.number("sender_index", initiation.sender);
        request.bool("cookie", initiation.has_cookie);
    });
    let Some(answer) = answer else { return };
    fields.object("response", |response| {
        response.text("message_type", if answer.kind == RESPONSE { "response" } else { "cookie_reply" });
        if let Some(sender) = answer.sender {
            response.number("sender_index", sender);
        }
        response.number("receiver_index", answer.receiver);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpi::feed::samples::told;
    use crate::dpi::protocols::vpn::wireguard::WIREGUARD;
    use Direction::{Forward, Reverse};

    fn initiation(sender: u8, mac2: u8) -> Vec<u8> {
        [&[1, 0, 0, 0, sender, 0, 0, 0][..], &[9; 124], &[mac2; 16]].concat()
    }

    fn response(sender: u8, receiver: u8) -> Vec<u8> {
        [&[2, 0, 0, 0, sender, 0, 0, 0, receiver, 0, 0, 0][..], &[9; 64], &[0; 16]].concat()
    }

    fn cookie(receiver: u8) -> Vec<u8> {
        [&[3, 0, 0, 0, receiver, 0, 0, 0][..], &[9; 56]].concat()
    }

    #[test]
    fn initiations_are_told_with_their_answers() {
        let payloads = [
            (Forward, initiation(5, 0)),
            (Reverse, response(7, 5)),
            (Forward, [&[4, 0, 0, 0, 7, 0, 0, 0][..], &[0; 24]].concat()),
            (Forward, initiation(6, 0)),
            (Reverse, cookie(6)),
            (Forward, initiation(8, 3)),
            // Nobody's.
            (Reverse, response(7, 6)),
            (Reverse, initiation(2, 0)),
        ];
        let expected = [
            "wireguard request={message_type=initiation sender_index=5 cookie=false} \
             response={message_type=response sender_index=7 receiver_index=5}",
            "wireguard request={message_type=initiation sender_index=6 cookie=false} \
             response={message_type=cookie_reply receiver_index=6}",
            "wireguard request={message_type=initiation sender_index=8 cookie=true}",
            "wireguard request={message_type=initiation sender_index=2 cookie=false}",
        ];
        assert_eq!(told(&WIREGUARD, &payloads), expected);
    }

    #[test]
    fn the_first_handshakes_are_told_and_lengths_are_checked() {
        let payloads: Vec<_> =
            (1..30).flat_map(|nth| [(Forward, initiation(nth, 0)), (Reverse, response(1, nth))]).collect();
        assert_eq!(told(&WIREGUARD, &payloads).len(), usize::from(HANDSHAKES_MAX));
        // Behind so much data nobody looks.
        let data = (Forward, [&[4, 0, 0, 0, 7, 0, 0, 0][..], &[0; 24]].concat());
        let mut payloads = vec![data; usize::from(PACKETS_MAX)];
        payloads.push((Forward, initiation(1, 0)));
        assert_eq!(told(&WIREGUARD, &payloads), [""; 0]);
        for message in [initiation(1, 0), response(1, 1), cookie(1), vec![4, 0, 0, 0, 1]] {
            let cut = message[..message.len() - 1].to_vec();
            let expected =
                "anomaly app_proto=wireguard type=applayer event=invalid_length layer=proto_parser";
            assert_eq!(told(&WIREGUARD, &[(Forward, cut)]), [expected]);
        }
    }
}
