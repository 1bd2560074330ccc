//! Whose call is it that looks for a way through address translation? STUN and TURN (RFC 8489, 8656, 3489).
//!
//! Calls of one application share a socket: what a relay's attributes say of it holds for the direct path to the peer,
//! which says nothing of itself. So the endpoint that asked is remembered, and the peers it asks permission for.

mod record;

use crate::dpi::protocols;
use crate::dpi::text::has_word;
use crate::dpi::{Category, Context, Evidence, First, Match, Over, Parser, Peek, Probe, Protocol, Step};
use crate::flow::Direction;
use crate::parse::Addr;

/// STUN, and TURN which extends it.
pub static STUN: Protocol = Protocol {
    name: "stun",
    eve: None,
    category: Category::Network,
    probes: &[
        Probe { over: Over::Udp, first: First::In(0, 8), look },
        Probe { over: Over::Tcp, first: First::In(0, 8), look: look_at_stream },
    ],
    parser: Some(|| Box::<Stun>::default()),
};

/// Messages that are read of one flow.
const MESSAGES_MAX: u32 = 24;
/// Of these are told: checks of a path, which are alike, and what is agreed on with a relay.
const BINDINGS_TOLD_MAX: u32 = 4;
const RELAYS_TOLD_MAX: u32 = 16;
/// RFC 8489 5.
const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];

fn look(peek: &Peek<'_>) -> Match {
    match Message::read(peek.bytes) {
        Some(message) if message.has_cookie => Match::Yes(95),
        Some(message) if message.is_whole => {
            // RFC 3489 has no magic: all attributes must fit, and the method must be one of its own.
            let is_classic =
                matches!(message.kind, 1 | 2 | 0x101 | 0x102 | 0x111 | 0x112 | 3 | 0x103 | 0x113);
            let (mut count, mut end) = (0_u32, 20);
            for (_, value) in message.attributes() {
                count += 1;
                end += 4 + value.len().next_multiple_of(4);
            }
            let fits = is_classic && end == peek.bytes.len();
            match count {
                0 => Match::of(fits && message.kind == 1 && peek.to_port() >= 1_024, 60),
                _ => Match::of(fits, 85),
            }
        }
        _ => Match::No,
    }
}

fn look_at_stream(peek: &Peek<'_>) -> Match {
    if peek.bytes.len() < 10 {
        return Match::More;
    }
    Match::of(frame_of(peek.bytes).is_some_and(|at| peek.bytes.get(at + 4..at + 8) == Some(&COOKIE)), 95)
}

/// Where the message begins in a stream: at once, after a length (RFC 4571), or after a type and a length
/// (MS-TURN 2.1).
fn frame_of(bytes: &[u8]) -> Option<usize> {
    [0, 2, 4].into_iter().find(|at| bytes.get(at + 4..at + 8) == Some(&COOKIE))
}

struct Message<'a> {
    kind: u16,
    has_cookie: bool,
    /// The datagram ends where the message does.
    is_whole: bool,
    body: &'a [u8],
    transaction: &'a [u8],
}

impl<'a> Message<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let (head, rest) = bytes.split_first_chunk::<20>()?;
        let kind = u16::from_be_bytes([head[0], head[1]]);
        let len = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let has_cookie = head[4..8] == COOKIE;
        // Microsoft's relays send lengths that are no multiple of four.
        if kind & 0xc000 != 0 || (!len.is_multiple_of(4) && !has_cookie) {
            return None;
        }
        let body = rest.get(..len.min(rest.len()))?;
        Some(Self { kind, has_cookie, is_whole: len == rest.len(), body, transaction: bytes.get(4..20)? })
    }

    fn attributes(&self) -> impl Iterator<Item = (u16, &'a [u8])> {
        let mut rest = self.body;
        std::iter::from_fn(move || {
            let (head, after) = rest.split_first_chunk::<4>()?;
            let len = usize::from(u16::from_be_bytes([head[2], head[3]]));
            let value = after.get(..len)?;
            rest = after.get(len.next_multiple_of(4)..).unwrap_or_default();
            Some((u16::from_be_bytes([head[0], head[1]]), value))
        })
    }

    /// Whether the attributes fill the message (RFC 8489 14).
    fn has_whole_attributes(&self) -> bool {
        let read = self.attributes().map(|(_, value)| 4 + value.len().next_multiple_of(4)).sum::<usize>();
        read >= self.body.len()
    }

    const fn class(&self) -> &'static str {
        match self.kind & 0x0110 {
            0 => "request",
            0x0010 => "indication",
            0x0100 => "success",
            _ => "error",
        }
    }

    const fn method(&self) -> &'static str {
        match self.kind & !0x0110 {
            1 => "binding",
            2 => "shared_secret",
            3 => "allocate",
            4 => "refresh",
            6 => "send",
            7 => "data",
            8 => "create_permission",
            9 => "channel_bind",
            10 => "connect",
            11 => "connection_bind",
            12 => "connection_attempt",
            _ => "other",
        }
    }

    /// An address, plain or combined with cookie and transaction (RFC 8489 14.2).
    fn address(&self, value: &[u8], is_xored: bool) -> Option<(Addr, u16)> {
        let (head, address) = value.split_first_chunk::<4>()?;
        let mut port = u16::from_be_bytes([head[2], head[3]]);
        let mut bytes = [0_u8; 16];
        let len = match head[1] {
            1 => 4,
            2 => 16,
            _ => return None,
        };
        for (at, (place, byte)) in bytes.iter_mut().zip(address.get(..len)?).enumerate() {
            *place = byte ^ if is_xored { self.transaction.get(at).copied().unwrap_or(0) } else { 0 };
        }
        if is_xored {
            port ^= 0x2112;
        }
        let addr = if len == 4 { Addr::v4([bytes[0], bytes[1], bytes[2], bytes[3]]) } else { Addr(bytes) };
        Some((addr, port))
    }
}

#[derive(Default)]
struct Stun {
    messages: u32,
    bindings_told: u32,
    relays_told: u32,
    /// What is spoken after STUN on the same socket.
    next: Option<Box<dyn Parser>>,
}

impl Parser for Stun {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        let mut read = bytes;
        let mut consumed = bytes.len();
        if cx.flow.protocol == crate::parse::Protocol::TCP {
            let Some(at) = frame_of(bytes) else {
                // Channel data, or media.
                return if bytes.len() < 12 { Step::Consumed(0) } else { Step::Done };
            };
            let Some(len) =
                bytes.get(at + 2..at + 4).map(|len| usize::from(u16::from_be_bytes([len[0], len[1]])))
            else {
                return Step::Consumed(0);
            };
            consumed = at + 20 + len;
            let Some(message) = bytes.get(at..consumed) else { return Step::Consumed(0) };
            read = message;
        } else if let Some(next) = &mut self.next {
            return next.data(way, bytes, cx);
        } else if matches!(bytes, [20..=25, 0xfe, 0xff | 0xfd, ..])
            && let Some(dtls) = protocols::by_name("dtls")
            && let Some(make) = dtls.parser
        {
            // RFC 7983: keys are agreed on by DTLS on the same socket.
            cx.notes.set_protocol(dtls, 95);
            return self.next.insert(make()).data(way, bytes, cx);
        }
        self.messages += 1;
        if self.messages > MESSAGES_MAX {
            return Step::Done;
        }
        let Some(message) = Message::read(read).filter(|message| message.has_cookie || message.is_whole)
        else {
            // Channels and media go the same way (RFC 7983); a cookie is of STUN alone.
            if read.get(4..8) == Some(&COOKIE) {
                cx.anomaly("malformed_message");
            }
            return Step::Consumed(consumed);
        };
        if message.has_cookie && !message.is_whole {
            cx.anomaly("invalid_length");
        } else if message.has_cookie && !message.has_whole_attributes() {
            cx.anomaly("invalid_attribute_length");
        }
        self.message(way, &message, cx);
        Step::Consumed(consumed)
    }

    fn end(&mut self, cx: &mut Context<'_>) {
        if let Some(next) = &mut self.next {
            next.end(cx);
        }
    }

    fn start_over(&mut self) -> bool {
        *self = Self::default();
        true
    }
}

impl Stun {
    fn message(&mut self, way: Direction, message: &Message<'_>, cx: &mut Context<'_>) {
        if let Some((app, confidence)) = app_of(message, cx) {
            cx.app(app, confidence);
        }
        let known = cx.notes.app().filter(|(_, _, evidence)| *evidence == Evidence::Content);
        let (initiator, responder) = (cx.flow.initiator, cx.flow.responder);
        if let Some((app, ..)) = known {
            cx.foresight.remember_endpoint(initiator, app, cx.at);
            if message.method() != "binding" {
                for (_, value) in message.attributes().filter(|(kind, _)| *kind == 0x0012) {
                    if let Some(peer) = message.address(value, true) {
                        cx.foresight.remember_endpoint(peer, app, cx.at);
                    }
                }
            }
        } else if let Some(app) = [initiator, responder]
            .into_iter()
            .find_map(|endpoint| cx.foresight.app_at_endpoint(endpoint, cx.apps, cx.at))
        {
            cx.notes.set_app(app, 75, Evidence::Behaviour);
        }
        let (told, max) = if message.method() == "binding" {
            (&mut self.bindings_told, BINDINGS_TOLD_MAX)
        } else {
            (&mut self.relays_told, RELAYS_TOLD_MAX)
        };
        if *told < max {
            *told += 1;
            cx.tell_with("stun", way, |fields| record::write(message, fields));
        }
    }
}

/// The application by what it puts into its messages, or by its relays' realm and software.
fn app_of(message: &Message<'_>, cx: &Context<'_>) -> Option<(&'static str, u8)> {
    // WhatsApp's own methods.
    if message.has_cookie && (0x0800..=0x0805).contains(&message.kind) {
        return Some(("whatsappcall", 90));
    }
    let (mut count, mut has_integrity) = (0, false);
    for (kind, value) in message.attributes() {
        count += 1;
        let told = match kind {
            // WhatsApp's tokens.
            0x4000..=0x4007 => Some(("whatsappcall", 90)),
            // [MS-TURN] 2.2.2, [MS-ICE2] 2.2: version, service quality, candidate, sequence number.
            0x8008 | 0x8050 | 0x8054 | 0x8055 | 0x8070 | 0x8090 | 0x8095 => Some(("skype_teamscall", 90)),
            // Google's relays: a token of Meet and Duo.
            0xff03 => Some(("googlecall", 85)),
            0x0101 if !message.has_cookie && value.len() == 20 => Some(("zoom", 85)),
            0x0103 if !message.has_cookie && count == 1 => None,
            0x0014 | 0x8022 | 0x0006 => {
                const NAMES: [(&[u8], &str); 9] = [
                    (b"telegram", "telegramvoip"),
                    (b"facebook", "facebookvoip"),
                    (b"whatsapp", "whatsappcall"),
                    (b"signal.org", "signalvoip"),
                    (b"viber", "vibervoip"),
                    (b"zoom", "zoom"),
                    (b"turn.snap", "snapchatcall"),
                    (b"line-apps", "linecall"),
                    (b"discord", "discord"),
                ];
                NAMES.iter().find(|(part, _)| has_word(value, part)).map(|(_, app)| (*app, 90))
            }
            _ => None,
        };
        if told.is_some() {
            return told;
        }
        has_integrity |= kind == 0x0008 && value.len() == 20;
    }
    // ICE needs a user name (RFC 8445 7.1.2): a check with integrity alone is WhatsApp's.
    if message.has_cookie && message.kind == 1 && count == 1 && has_integrity {
        return Some(("whatsappcall", 80));
    }
    // Ports that belong to one service's relays.
    match (cx.flow.responder.1, message.has_cookie) {
        (595..=599 | 1_400, true) => Some(("telegramvoip", 80)),
        (19_302..=19_309, true) => Some(("googlecall", 60)),
        _ => None,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;

    /// RFC 5769 2.2, without the attributes after the address.
    const RESPONSE: [u8; 32] = [
        1, 1, 0, 12, 0x21, 0x12, 0xa4, 0x42, 0xb7, 0xe7, 0xa7, 1, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf,
        0xae, 0, 0x20, 0, 8, 0, 1, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43,
    ];

    fn peek(bytes: &[u8]) -> Peek<'_> {
        crate::dpi::protocol::samples::peek(bytes, 3_478, false)
    }

    #[test]
    fn addresses_are_read() {
        let message = Message::read(&RESPONSE).unwrap();
        let (_, value) = message.attributes().next().unwrap();
        assert_eq!(message.address(value, true), Some((Addr::v4([192, 0, 2, 1]), 32_853)));
        assert_eq!((message.method(), message.class()), ("binding", "success"));
        assert_eq!(look(&peek(&RESPONSE)), Match::Yes(95));
        for len in 0..RESPONSE.len() {
            let _ = look(&peek(&RESPONSE[..len]));
        }
    }

    #[test]
    fn without_magic_all_must_fit() {
        let mut classic = RESPONSE;
        classic[4] = 0;
        assert_eq!(look(&peek(&classic)), Match::Yes(85));
        classic[23] = 7;
        assert_eq!(look(&peek(&classic[..31])), Match::No);
        assert_eq!(look(&peek(&[0; 20])), Match::No);
    }
}
