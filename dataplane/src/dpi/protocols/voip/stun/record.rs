//! What is told of a message of STUN or TURN (RFC 8489 14, RFC 8656 18): `stun`. Nonces and what proves a password are not.

use super::Message;
use crate::dpi::Fields;
use crate::dpi::protocols::names::line::Line;
use crate::parse::Addr;

/// Writes a message; each attribute once, the first of its kind, as receivers read them (RFC 8489 14).
pub(super) fn write(message: &Message<'_>, fields: &mut Fields) {
    fields.text("method", message.method());
    fields.text("class", message.class());
    fields.hex("transaction_id", message.transaction.get(4..).unwrap_or_default());
    let mut told = 0_u16;
    for (kind, value) in message.attributes() {
        let Some((bit, key)) = key_of(kind) else { continue };
        if told & bit == 0 && attribute(message, kind, key, value, fields) {
            told |= bit;
        }
    }
}

/// The field of an attribute, and its bit in a set of them.
const fn key_of(kind: u16) -> Option<(u16, &'static str)> {
    Some(match kind {
        0x0006 => (1, "username"),
        0x0014 => (1 << 1, "realm"),
        0x8022 => (1 << 2, "software"),
        0x0009 => (1 << 3, "error_code"),
        0x0001 | 0x0020 => (1 << 4, "mapped_address"),
        0x0012 => (1 << 5, "peer_address"),
        0x0016 => (1 << 6, "relayed_address"),
        0x8023 => (1 << 7, "alternate_server"),
        0x000c => (1 << 8, "channel_number"),
        0x000d => (1 << 9, "lifetime"),
        0x0019 => (1 << 10, "requested_transport"),
        _ => return None,
    })
}

/// Writes one attribute; `false` where its value cannot be read.
fn attribute(message: &Message<'_>, kind: u16, key: &str, value: &[u8], fields: &mut Fields) -> bool {
    match (kind, value) {
        (0x0006 | 0x0014 | 0x8022, text) => fields.text(key, text),
        (0x0009, [_, _, class, number, ..]) => {
            fields.number(key, u32::from(class & 7) * 100 + u32::from(*number));
        }
        (0x000c, [high, low, ..]) => fields.number(key, u16::from_be_bytes([*high, *low])),
        (0x000d, [a, b, c, d]) => fields.number(key, u32::from_be_bytes([*a, *b, *c, *d])),
        // RFC 8656 18.7 and RFC 6062 5.1.
        (0x0019, [17, ..]) => fields.text(key, "udp"),
        (0x0019, [6, ..]) => fields.text(key, "tcp"),
        (0x0001 | 0x0012 | 0x0016 | 0x0020 | 0x8023, value) => {
            // MAPPED-ADDRESS and ALTERNATE-SERVER are plain.
            let Some(address) = message.address(value, !matches!(kind, 0x0001 | 0x8023)) else {
                return false;
            };
            write_address(key, address, fields);
        }
        _ => return false,
    }
    true
}

fn write_address(key: &str, (addr, port): (Addr, u16), fields: &mut Fields) {
    fields.object(key, |object| {
        object.text("address", Line::<46>::of(format_args!("{addr}")));
        object.number("port", port);
    });
}

#[cfg(test)]
mod tests {
    use super::super::STUN;
    use crate::dpi::feed::samples::told;
    use crate::flow::Direction::{Forward, Reverse};

    fn message(kind: u16, attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut body = Vec::new();
        for (kind, value) in attributes {
            body.extend(kind.to_be_bytes());
            body.extend((value.len() as u16).to_be_bytes());
            body.extend(*value);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        let len = (body.len() as u16).to_be_bytes();
        [&kind.to_be_bytes()[..], &len, &[0x21, 0x12, 0xa4, 0x42], &[7; 12], &body].concat()
    }

    /// 192.0.2.1 and port 32853, combined with the cookie (RFC 5769 2.2).
    const ADDRESS: &[u8] = &[0, 1, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43];

    #[test]
    fn allocations_and_channels_are_told() {
        let payloads = [
            (Forward, message(3, &[(0x0019, &[17, 0, 0, 0]), (0x000d, &[0, 0, 3, 9])])),
            (
                Reverse,
                message(0x0103, &[(0x0016, ADDRESS), (0x0001, &[0, 1, 0, 9, 1, 2, 3, 4]), (0x0020, ADDRESS)]),
            ),
            (Forward, message(8, &[(0x0012, ADDRESS), (0x0012, ADDRESS)])),
            (Forward, message(9, &[(0x000c, &[0x40, 1, 0, 0]), (0x0012, &[0, 9])])),
            (Reverse, message(0x0113, &[(0x0009, &[0, 0, 3, 0]), (0x8023, &[0, 1, 0, 80, 1, 2, 3, 4])])),
        ];
        let id = "transaction_id=070707070707070707070707";
        let expected = [
            format!("stun method=allocate class=request {id} requested_transport=udp lifetime=777"),
            format!(
                "stun method=allocate class=success {id} relayed_address={{address=192.0.2.1 port=32853}} \
                 mapped_address={{address=1.2.3.4 port=9}}"
            ),
            format!(
                "stun method=create_permission class=request {id} \
                 peer_address={{address=192.0.2.1 port=32853}}"
            ),
            format!("stun method=channel_bind class=request {id} channel_number=16385"),
            format!(
                "stun method=allocate class=error {id} error_code=300 \
                 alternate_server={{address=1.2.3.4 port=80}}"
            ),
        ];
        assert_eq!(told(&STUN, &payloads), expected);
    }

    #[test]
    fn checks_do_not_use_up_what_is_told_of_relays() {
        let binding = (Forward, message(1, &[]));
        let allocate = (Forward, message(3, &[]));
        let mut payloads = vec![binding; 8];
        payloads.extend(vec![allocate; 40]);
        let records = told(&STUN, &payloads);
        let allocations = records.iter().filter(|record| record.contains("method=allocate")).count();
        assert_eq!((records.len(), allocations), (20, 16));
    }
}
