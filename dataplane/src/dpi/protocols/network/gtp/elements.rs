//! Who is it about, and how did it end? Information elements of GTP (3GPP TS 29.060 7.7, TS 29.274 8).
//!
//! ```text
//! version 1: type below 128: value of a length that the type has; from 128 on: length (2) | value
//! version 2: type (1) | length (2) | instance (1) | value
//! ```

use super::names;
use crate::dpi::Fields;
use crate::dpi::cursor::Cursor;
use crate::dpi::protocols::names::line::Line;

/// Elements of a message that are read.
const ELEMENTS_MAX: usize = 64;

/// The longest access point name (TS 23.003 9.1).
const APN_BYTES_MAX: usize = 100;

/// Elements one after the other; ends where they do, or where nothing more can be read.
pub(super) struct Elements<'a> {
    version: u8,
    at: Cursor<'a>,
    read: usize,
    /// An element ran past the message.
    pub(super) is_cut: bool,
}

impl<'a> Elements<'a> {
    pub(super) const fn new(version: u8, bytes: &'a [u8]) -> Self {
        Self { version, at: Cursor::new(bytes), read: 0, is_cut: false }
    }

    /// Whether all was read.
    pub(super) const fn is_at_end(&self) -> bool {
        self.at.is_empty()
    }

    fn element(&mut self) -> Option<(u8, &'a [u8])> {
        let kind = self.at.u8()?;
        let value = match (self.version, kind) {
            (1, 0..=127) => {
                let Some(len) = fixed_len(kind) else {
                    // Of no length that is known: nothing behind it can be found.
                    self.read = ELEMENTS_MAX;
                    return None;
                };
                self.at.take(len)
            }
            // TS 29.060 7.7.40: the only one with a length of one byte.
            (1, 141) => self.at.vec8(),
            (1, _) => self.at.vec16(),
            _ => self.at.be16().zip(self.at.u8()).and_then(|(len, _)| self.at.take(usize::from(len))),
        };
        self.is_cut = value.is_none();
        value.map(|value| (kind, value))
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        if self.read >= ELEMENTS_MAX || self.at.is_empty() {
            return None;
        }
        self.read += 1;
        let element = self.element();
        if element.is_none() {
            self.read = ELEMENTS_MAX;
        }
        element
    }
}

/// TS 29.060 table 37, types without a length of their own.
const fn fixed_len(kind: u8) -> Option<usize> {
    Some(match kind {
        1 | 8 | 11 | 13 | 14 | 15 | 19 | 20 | 21 | 23 | 24 | 29 | 126 => 1,
        25..=28 => 2,
        12 => 3,
        4 | 5 | 16 | 17 | 127 => 4,
        18 => 5,
        3 => 6,
        2 => 8,
        22 => 9,
        9 => 28,
        _ => return None,
    })
}

/// Writes what is told of a message's elements, each thing once.
pub(super) fn write(version: u8, bytes: &[u8], fields: &mut Fields) {
    let mut told = 0_u8;
    for (kind, value) in Elements::new(version, bytes) {
        let (bit, key) = match (version, kind) {
            (1, 1) | (2, 2) => (1, "cause"),
            (1, 2) | (2, 1) => (2, "imsi"),
            (1, 134) | (2, 76) => (4, "msisdn"),
            (1, 131) | (2, 71) => (8, "apn"),
            _ => continue,
        };
        if told & bit != 0 {
            continue;
        }
        told |= bit;
        match key {
            "cause" => {
                let Some(cause) = value.first().copied() else { continue };
                fields.text_if("cause", names::cause(version, cause));
                fields.number("cause_code", cause);
            }
            "apn" => fields.text("apn", apn(value)),
            // Version 1 has the kind of number in front (TS 29.002 17.7.8).
            "msisdn" if version == 1 => fields.text(key, digits(value.get(1..).unwrap_or_default())),
            _ => fields.text(key, digits(value)),
        }
    }
}

/// Two digits a byte, the lower half first, up to a filler (TS 29.002, TBCD-STRING).
fn digits(bytes: &[u8]) -> Line<20> {
    let mut line = Line::new();
    for half in bytes.iter().flat_map(|byte| [byte & 0x0f, byte >> 4]) {
        match half {
            0..=9 => line.push(&[b'0' + half]),
            _ => break,
        }
    }
    line
}

/// Labels behind their lengths, with dots between.
fn apn(bytes: &[u8]) -> Line<APN_BYTES_MAX> {
    let (mut line, mut at) = (Line::new(), Cursor::new(bytes));
    while let Some(label) = at.vec8() {
        if !line.as_bytes().is_empty() {
            line.push(b".");
        }
        line.push(label);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpi::feed::samples::text_of;

    fn text(version: u8, bytes: &[u8]) -> String {
        let mut fields = Fields::new();
        write(version, bytes, &mut fields);
        text_of(&fields)
    }

    #[test]
    fn both_forms_are_read() {
        let one = b"\x01\x80\x02\x42\x00\x11\x32\x54\x76\x98\xf0\x0e\x09\x83\0\x09\x08internet\x86\0\x03\x91\x94\x71";
        let expected = "cause=request_accepted cause_code=128 imsi=240011234567890 apn=internet msisdn=4917";
        assert_eq!(text(1, one), expected);
        let two = b"\x01\0\x08\0\x42\x00\x11\x32\x54\x76\x98\xf0\x47\0\x0d\0\x03ims\x08operator\x02\0\x02\0\x10\0\x02\0\x02\0\x40\0";
        assert_eq!(
            text(2, two),
            "imsi=240011234567890 apn=ims.operator cause=request_accepted cause_code=16"
        );
        // What is cut has the elements before it.
        for (version, whole) in [(1, &one[..]), (2, &two[..])] {
            for len in 0..whole.len() {
                let mut elements = Elements::new(version, &whole[..len]);
                let count = elements.by_ref().count();
                assert!(count < 6 && (elements.is_cut || elements.is_at_end()), "{version} {len}");
            }
        }
    }

    #[test]
    fn a_type_without_a_known_length_ends_reading() {
        let mut elements = Elements::new(1, b"\x0e\x01\x64\x01\x80");
        assert_eq!((elements.by_ref().count(), elements.is_cut, elements.is_at_end()), (1, false, false));
    }
}
