//! Who dials in, and what becomes of the call? PPTP's control connection (RFC 2637 2); the calls themselves go by GRE.
//!
//! ```text
//! length (2) | 1: control (2) | magic (4) | kind (2) | reserved (2) | fields of fixed lengths
//! ```
//!
//! Told as `pptp`, a record a message; keep-alives are not told.

use crate::dpi::cursor::Cursor;
use crate::dpi::{Category, Context, Fields, First, Match, Parser, Peek, Probe, Protocol, Step};
use crate::flow::Direction;

/// PPTP.
pub(super) static PPTP: Protocol = Protocol {
    name: "pptp",
    eve: None,
    category: Category::Vpn,
    probes: &[Probe::tcp(First::Of(&[0]), pptp)],
    parser: Some(|| Box::<Control>::default()),
};

fn pptp(peek: &Peek<'_>) -> Match {
    if peek.bytes.len() < 8 {
        return if peek.be16(0) <= 256 { Match::More } else { Match::No };
    }
    Match::of(peek.be32(4) == MAGIC && matches!(peek.be16(2), 1 | 2), 98)
}

const MAGIC: u32 = 0x1a2b_3c4d;

/// Messages of a flow that are told.
const MESSAGES_MAX: u8 = 32;

/// Length, kinds, magic and what is reserved.
const HEAD: usize = 12;

/// Longer than any message (the longest has 220 bytes).
const MESSAGE_BYTES_MAX: usize = 512;

/// Reads one control connection.
#[derive(Default)]
struct Control {
    told: u8,
}

impl Parser for Control {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        let mut used = 0;
        while let Some(rest) = bytes.get(used..).filter(|rest| rest.len() >= HEAD) {
            let len = usize::from(u16::from_be_bytes([rest[0], rest[1]]));
            if rest[4..8] != MAGIC.to_be_bytes() {
                cx.anomaly("malformed_message");
                return Step::Done;
            }
            if !(HEAD..=MESSAGE_BYTES_MAX).contains(&len) {
                cx.anomaly("invalid_length");
                return Step::Done;
            }
            let Some(message) = rest.get(..len) else { break };
            used += len;
            // Kind 2 is management, of which no message was ever defined.
            if message[2..4] == [0, 1] {
                self.message(way, u16::from_be_bytes([message[8], message[9]]), &message[HEAD..], cx);
            }
            if self.told >= MESSAGES_MAX {
                return Step::Done;
            }
        }
        Step::Consumed(used)
    }

    fn start_over(&mut self) -> bool {
        *self = Self::default();
        true
    }
}

impl Control {
    fn message(&mut self, way: Direction, kind: u16, body: &[u8], cx: &mut Context<'_>) {
        let Some((name, len)) = form(kind) else {
            cx.anomaly("unknown_message_type");
            return;
        };
        if body.len() + HEAD < len {
            cx.anomaly("invalid_length");
            return;
        }
        if matches!(kind, ECHO_REQUEST | ECHO_REPLY) {
            return;
        }
        self.told += 1;
        cx.tell_with("pptp", way, |fields| {
            fields.text("message_type", name);
            // Long enough, see above.
            let _whole = write(kind, Cursor::new(body), fields);
        });
    }
}

const START_REQUEST: u16 = 1;
const START_REPLY: u16 = 2;
const STOP_REQUEST: u16 = 3;
const STOP_REPLY: u16 = 4;
const ECHO_REQUEST: u16 = 5;
const ECHO_REPLY: u16 = 6;
const OUTGOING_REQUEST: u16 = 7;
const OUTGOING_REPLY: u16 = 8;
const INCOMING_REQUEST: u16 = 9;
const INCOMING_REPLY: u16 = 10;
const INCOMING_CONNECTED: u16 = 11;
const CLEAR_REQUEST: u16 = 12;
const DISCONNECT: u16 = 13;
const WAN_ERROR: u16 = 14;
const SET_LINK_INFO: u16 = 15;

/// Name and length of a kind of message.
const fn form(kind: u16) -> Option<(&'static str, usize)> {
    Some(match kind {
        START_REQUEST => ("start_control_connection_request", 156),
        START_REPLY => ("start_control_connection_reply", 156),
        STOP_REQUEST => ("stop_control_connection_request", 16),
        STOP_REPLY => ("stop_control_connection_reply", 16),
        ECHO_REQUEST => ("echo_request", 16),
        ECHO_REPLY => ("echo_reply", 20),
        OUTGOING_REQUEST => ("outgoing_call_request", 168),
        OUTGOING_REPLY => ("outgoing_call_reply", 32),
        INCOMING_REQUEST => ("incoming_call_request", 220),
        INCOMING_REPLY => ("incoming_call_reply", 24),
        INCOMING_CONNECTED => ("incoming_call_connected", 28),
        CLEAR_REQUEST => ("call_clear_request", 16),
        DISCONNECT => ("call_disconnect_notify", 148),
        WAN_ERROR => ("wan_error_notify", 40),
        SET_LINK_INFO => ("set_link_info", 24),
        _ => return None,
    })
}

/// The fields of a message (RFC 2637 2.1 to 2.15), in their order there.
fn write(kind: u16, mut at: Cursor<'_>, fields: &mut Fields) -> Option<()> {
    match kind {
        START_REQUEST | START_REPLY => {
            fields.number("version", at.be16()? >> 8);
            if kind == START_REPLY {
                result(kind, &mut at, fields)?;
            } else {
                at.skip(2)?;
            }
            // Capabilities (4 and 4), channels (2), firmware (2).
            at.skip(12)?;
            for key in ["host_name", "vendor_name"] {
                let text = at.take(64)?;
                let len = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
                if len > 0 {
                    fields.text(key, &text[..len]);
                }
            }
        }
        STOP_REQUEST => {
            let reason = at.u8()?;
            fields.number("reason_code", reason);
            fields.text_if("reason", stop_reason(reason));
        }
        STOP_REPLY => result(kind, &mut at, fields)?,
        OUTGOING_REQUEST | INCOMING_REQUEST | CLEAR_REQUEST => fields.number("call_id", at.be16()?),
        OUTGOING_REPLY | INCOMING_REPLY => {
            fields.number("call_id", at.be16()?);
            fields.number("peer_call_id", at.be16()?);
            result(kind, &mut at, fields)?;
        }
        DISCONNECT => {
            fields.number("call_id", at.be16()?);
            result(kind, &mut at, fields)?;
        }
        _ => fields.number("peer_call_id", at.be16()?),
    }
    Some(())
}

fn result(kind: u16, at: &mut Cursor<'_>, fields: &mut Fields) -> Option<()> {
    let (result, error) = (at.u8()?, at.u8()?);
    fields.number("result_code", result);
    fields.text_if("result", result_name(kind, result));
    if error != 0 {
        fields.number("error_code", error);
    }
    Some(())
}

const fn stop_reason(reason: u8) -> Option<&'static str> {
    Some(match reason {
        1 => "none",
        2 => "stop_protocol",
        3 => "stop_local_shutdown",
        _ => return None,
    })
}

const fn result_name(kind: u16, result: u8) -> Option<&'static str> {
    Some(match (kind, result) {
        (START_REPLY, 1) => "successful",
        (STOP_REPLY, 1) => "ok",
        (OUTGOING_REPLY, 1) => "connected",
        (INCOMING_REPLY, 1) => "connect",
        (DISCONNECT, 1) => "lost_carrier",
        (_, 2) => "general_error",
        (START_REPLY, 3) => "command_channel_exists",
        (START_REPLY, 4) => "not_authorized",
        (START_REPLY, 5) => "protocol_version_not_supported",
        (OUTGOING_REPLY, 3) => "no_carrier",
        (OUTGOING_REPLY, 4) => "busy",
        (OUTGOING_REPLY, 5) => "no_dial_tone",
        (OUTGOING_REPLY, 6) => "time_out",
        (OUTGOING_REPLY, 7) | (INCOMING_REPLY, 3) => "do_not_accept",
        (DISCONNECT, 3) => "admin_shutdown",
        (DISCONNECT, 4) => "request",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpi::feed::samples::told;
    use crate::dpi::protocol::samples::{confidence, stream};
    use Direction::{Forward, Reverse};

    /// A message of the length that its kind has.
    fn message(kind: u16, body: &[u8]) -> Vec<u8> {
        let len = form(kind).map_or(HEAD + body.len(), |(_, len)| len);
        let mut bytes = (len as u16).to_be_bytes().to_vec();
        bytes.extend([0, 1, 0x1a, 0x2b, 0x3c, 0x4d]);
        bytes.extend(kind.to_be_bytes());
        bytes.extend([0, 0]);
        bytes.extend(body);
        bytes.resize(len, 0);
        bytes
    }

    fn start(kind: u16, result: u8, host: &[u8], vendor: &[u8]) -> Vec<u8> {
        let mut body = vec![1, 0, result, 0];
        body.resize(16, 0);
        body.extend(host);
        body.resize(80, 0);
        body.extend(vendor);
        message(kind, &body)
    }

    #[test]
    fn a_call_is_told_from_start_to_end() {
        let one = [start(START_REQUEST, 0, b"client", b"linux"), message(OUTGOING_REQUEST, &[0, 7])].concat();
        let two = [
            start(START_REPLY, 1, b"", &[b'v'; 64]),
            message(ECHO_REQUEST, &[]),
            message(OUTGOING_REPLY, &[0, 9, 0, 7, 1, 0]),
        ];
        let end = [message(DISCONNECT, &[0, 9, 4, 0]), message(STOP_REQUEST, &[1])].concat();
        let expected = [
            "pptp message_type=start_control_connection_request version=1 host_name=client vendor_name=linux",
            "pptp message_type=outgoing_call_request call_id=7",
            &format!(
                "pptp message_type=start_control_connection_reply version=1 result_code=1 result=successful \
                 vendor_name={}",
                "v".repeat(64)
            ),
            "pptp message_type=outgoing_call_reply call_id=9 peer_call_id=7 result_code=1 result=connected",
            "pptp message_type=call_disconnect_notify call_id=9 result_code=4 result=request",
            "pptp message_type=stop_control_connection_request reason_code=1 reason=none",
        ];
        let whole = [(Forward, one.clone()), (Reverse, two.concat()), (Reverse, end.clone())];
        assert_eq!(told(&PPTP, &whole), expected);
        let bytes = |way, bytes: &[u8]| bytes.iter().map(|byte| (way, vec![*byte])).collect::<Vec<_>>();
        let pieces = [bytes(Forward, &one), bytes(Reverse, &two.concat()), bytes(Reverse, &end)];
        assert_eq!(told(&PPTP, &pieces.concat()), expected);
    }

    #[test]
    fn what_cannot_be_read_has_a_name() {
        let mut short = message(OUTGOING_REPLY, &[]);
        short.truncate(20);
        short[1] = 20;
        let mut no_magic = message(STOP_REQUEST, &[1]);
        no_magic[7] = 0;
        let mut too_long = message(STOP_REQUEST, &[1]);
        too_long[0] = 9;
        let cases = [
            ("invalid_length", short),
            ("invalid_length", too_long),
            ("malformed_message", no_magic),
            ("unknown_message_type", message(99, &[1, 2])),
        ];
        for (event, bytes) in cases {
            let records = told(&PPTP, &[(Forward, bytes)]);
            assert!(records.len() == 1 && records[0].contains(event), "{event}: {records:?}");
        }
    }

    #[test]
    fn the_first_messages_are_told() {
        let payloads = vec![(Forward, message(SET_LINK_INFO, &[0, 1])); 100];
        assert_eq!(told(&PPTP, &payloads).len(), usize::from(MESSAGES_MAX));
    }

    #[test]
    fn control_connections_are_recognised() {
        let mut first = start(START_REQUEST, 0, b"", b"");
        assert_eq!(confidence(&PPTP, &stream(&first)), 98);
        first[7] = 0x4e;
        assert_eq!(confidence(&PPTP, &stream(&first)), 0);
    }
}
