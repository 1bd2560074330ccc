//! Which clock is asked, and how good does it say it is? The messages of NTP (RFC 5905 7.3).
//!
//! Told as `ntp`, a record a message; Suricata has no such record.

use super::line::{Line, address};
use crate::dpi::cursor::Cursor;
use crate::dpi::{Context, Fields, Parser, Step};
use crate::flow::Direction;
use crate::rules::detect::field;
use crate::rules::language::buffers::buffer;

/// Messages of a flow that are told: what follows says the same.
const MESSAGES_MAX: u8 = 8;

/// Extension fields that are told of one message.
const EXTENSIONS_MAX: usize = 16;

/// Reads the messages of one flow.
#[derive(Default)]
pub(super) struct Clock {
    told: u8,
}

impl Parser for Clock {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        match Message::read(bytes) {
            Some(message) => {
                let rules = &mut cx.rules;
                rules.number(const { field("ntp.version") }, message.version.into());
                rules.number(const { field("ntp.mode") }, message.mode.into());
                if !message.is_control {
                    rules.number(const { field("ntp.stratum") }, message.stratum.into());
                    rules.show(const { buffer("ntp.reference_id") }, &message.reference);
                }
                cx.tell_with("ntp", way, |fields| message.write(fields));
            }
            None => cx.anomaly("malformed_data"),
        }
        self.told += 1;
        if self.told >= MESSAGES_MAX { Step::Done } else { Step::Consumed(bytes.len()) }
    }

    fn start_over(&mut self) -> bool {
        *self = Self::default();
        true
    }
}

/// One message.
struct Message<'a> {
    leap: u8,
    version: u8,
    mode: u8,
    stratum: u8,
    poll: i8,
    precision: i8,
    reference: [u8; 4],
    extensions: &'a [u8],
    /// The rest is a control message, or one of a single vendor: there is nothing more to say of it.
    is_control: bool,
}

impl<'a> Message<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut at = Cursor::new(bytes);
        let first = at.u8()?;
        let (leap, version, mode) = (first >> 6, first >> 3 & 7, first & 7);
        let is_control = mode >= 6;
        if is_control {
            let none = [0; 4];
            let plain = Self {
                leap,
                version,
                mode,
                stratum: 0,
                poll: 0,
                precision: 0,
                reference: none,
                extensions: &[],
                is_control,
            };
            return Some(plain);
        }
        let (stratum, poll, precision) = (at.u8()?, at.u8()? as i8, at.u8()? as i8);
        // Delay and dispersion of the root; and the four times follow.
        at.skip(8)?;
        let reference = at.array()?;
        at.skip(32)?;
        let extensions = at.rest();
        Some(Self { leap, version, mode, stratum, poll, precision, reference, extensions, is_control })
    }

    fn write(&self, fields: &mut Fields) {
        fields.number("version", self.version);
        fields.text("mode", mode_name(self.mode));
        if self.is_control {
            return;
        }
        fields.text(
            "leap",
            ["none", "last_minute_61", "last_minute_59", "unsynchronized"][usize::from(self.leap & 3)],
        );
        fields.number("stratum", self.stratum);
        fields.signed("poll", self.poll);
        fields.signed("precision", self.precision);
        // Of stratum 0 and 1 it is up to four letters (7.4: a kiss code; the kind of clock), else mostly an address.
        if self.stratum <= 1 {
            let len = self.reference.iter().position(|byte| *byte == 0).unwrap_or(4);
            let letters = &self.reference[..len];
            if !letters.is_empty() && letters.iter().all(u8::is_ascii_graphic) {
                fields.text(if self.stratum == 0 { "kiss_code" } else { "reference_id" }, letters);
            }
        } else {
            fields.text_if("reference_id", address(&self.reference));
        }
        // RFC 7822 7.5: fields of at least 16 bytes; what is shorter is the digest of a key.
        let mut at = Cursor::new(self.extensions);
        if self.extensions.len() >= 16 {
            fields.list("extensions", |list| {
                for _ in 0..EXTENSIONS_MAX {
                    let (Some(kind), Some(len)) = (at.be16(), at.be16()) else { return };
                    let Some(()) = usize::from(len).checked_sub(4).and_then(|len| at.skip(len)) else {
                        return;
                    };
                    match extension_name(kind) {
                        Some(name) => list.text("", name),
                        None => list.text("", Line::<6>::of(format_args!("0x{kind:04x}"))),
                    }
                }
            });
        }
    }
}

const fn mode_name(mode: u8) -> &'static str {
    match mode {
        1 => "symmetric_active",
        2 => "symmetric_passive",
        3 => "client",
        4 => "server",
        5 => "broadcast",
        6 => "control",
        7 => "private",
        _ => "reserved",
    }
}

/// RFC 8915 5.7: those of NTS.
const fn extension_name(kind: u16) -> Option<&'static str> {
    Some(match kind {
        0x0104 => "nts_unique_identifier",
        0x0204 => "nts_cookie",
        0x0304 => "nts_cookie_placeholder",
        0x0404 => "nts_authenticator",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpi::fields::Value;

    fn texts(bytes: &[u8]) -> Option<Vec<String>> {
        let mut fields = Fields::new();
        Message::read(bytes)?.write(&mut fields);
        let text = |(key, value): (&str, Value<'_>)| match value {
            Value::Text(text) => Some(format!("{key}={}", String::from_utf8_lossy(text))),
            Value::Unsigned(number) => Some(format!("{key}={number}")),
            Value::Signed(number) => Some(format!("{key}={number}")),
            _ => None,
        };
        Some(fields.iter().filter_map(text).collect())
    }

    #[test]
    fn servers_and_clients_are_told_apart() {
        let mut message = [0_u8; 48];
        message[..4].copy_from_slice(&[0x24, 2, 6, 0xe9]);
        message[12..16].copy_from_slice(&[192, 0, 2, 7]);
        let expected = [
            "version=4",
            "mode=server",
            "leap=none",
            "stratum=2",
            "poll=6",
            "precision=-23",
            "reference_id=192.0.2.7",
        ];
        assert_eq!(texts(&message), Some(expected.map(String::from).to_vec()));
        message[..4].copy_from_slice(&[0xe3, 0, 6, 0xe9]);
        message[12..16].copy_from_slice(b"RATE");
        assert!(texts(&message).is_some_and(|texts| texts.contains(&"kiss_code=RATE".to_owned())));
        for len in 0..message.len() {
            assert_eq!(texts(&message[..len]), None);
        }
        assert_eq!(texts(&[0x16, 1]), Some(vec!["version=2".to_owned(), "mode=control".to_owned()]));
    }

    #[test]
    fn extensions_are_named_as_far_as_they_are_there() {
        let mut message = vec![0x23];
        message.resize(48, 0);
        message.extend([1, 4, 0, 36]);
        message.resize(84, 7);
        message.extend([0x12, 0x34, 0, 16]);
        message.resize(100, 7);
        message.extend([2, 4, 0xff, 0xff, 1, 1]);
        let told = texts(&message).unwrap_or_default();
        assert_eq!(told[told.len() - 2..], ["=nts_unique_identifier", "=0x1234"]);
    }
}
