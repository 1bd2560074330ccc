//! Which names are asked for over HTTP/2 (RFC 8484)? Bodies and queries that are messages of DNS go to its parser.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::dpi::protocols::names::dns;
use crate::dpi::{Context, Kept, Parser};
use crate::flow::Direction;

/// The type of such bodies.
pub(super) const MEDIA: &[u8] = b"application/dns-message";

/// A message of DNS is no longer (RFC 8484 6).
const MESSAGE_BYTES_MAX: u64 = 65_535;

/// Bytes of a message that are kept; longer ones are not read.
const KEPT_BYTES_MAX: usize = 8 << 10;

/// Reads the messages of one connection.
#[derive(Default)]
pub(super) struct Doh {
    reader: Option<Box<dyn Parser>>,
}

/// A message as it comes.
#[derive(Default)]
pub(super) struct Message {
    bytes: Kept,
    len: u64,
}

impl Message {
    /// Adds the next bytes.
    pub(super) fn add(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) {
        let before = self.len;
        self.len = before.saturating_add(bytes.len() as u64);
        if before <= MESSAGE_BYTES_MAX && self.len > MESSAGE_BYTES_MAX {
            cx.anomaly(match way {
                Direction::Forward => "dns_request_too_long",
                Direction::Reverse => "dns_response_too_long",
            });
        }
        if self.len <= KEPT_BYTES_MAX as u64 {
            // Without room it stays shorter than its length, and is not read.
            self.bytes.extend(bytes);
        }
    }
}

impl Doh {
    /// Reads a whole message.
    pub(super) fn read(&mut self, way: Direction, message: &Message, cx: &mut Context<'_>) {
        if message.bytes.len() as u64 == message.len {
            self.message(way, &message.bytes, cx);
        }
    }

    /// Reads what a target asks: `dns=` in its query, in the alphabet of URLs (RFC 8484 4.1).
    pub(super) fn target(&mut self, target: &[u8], cx: &mut Context<'_>) {
        if let Some(message) = asked(target) {
            self.message(Direction::Forward, &message, cx);
        }
    }

    fn message(&mut self, way: Direction, message: &[u8], cx: &mut Context<'_>) {
        let Ok(len) = u16::try_from(message.len()) else { return };
        // As DNS over TCP has it.
        let framed = [&len.to_be_bytes()[..], message].concat();
        let reader = self.reader.get_or_insert_with(dns::over_http);
        // A message that cannot be read is told; the next one may be read.
        let _: Option<crate::dpi::Step> = cx.within(|cx| reader.data(way, &framed, cx));
    }
}

/// Whether a target asks in its query.
pub(super) fn asked(target: &[u8]) -> Option<Vec<u8>> {
    let query = target.splitn(2, |byte| *byte == b'?').nth(1)?;
    let value = query.split(|byte| *byte == b'&').find_map(|pair| pair.strip_prefix(b"dns="))?;
    let value = value.get(..KEPT_BYTES_MAX).unwrap_or(value);
    URL_SAFE_NO_PAD.decode(value).ok().filter(|message| message.len() >= 12)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8484 4.1.1.
    #[test]
    fn the_example_of_the_rfc_is_read() {
        let message = asked(b"/dns-query?a=b&dns=AAABAAABAAAAAAAAA3d3dwdleGFtcGxlA2NvbQAAAQAB");
        assert!(message.is_some_and(|message| message.ends_with(b"\x07example\x03com\0\0\x01\0\x01")));
        for target in [&b"/"[..], b"/?dns", b"/?dns=", b"/?dns=????", b"/?dns=AAAA"] {
            assert_eq!(asked(target), None);
        }
    }
}
