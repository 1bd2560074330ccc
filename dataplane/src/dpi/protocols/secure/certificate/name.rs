//! Whose name is this? A distinguished name (RFC 5280 4.1.2.4) and the line that is written of it.

use super::super::super::ber::{Elements, oid};
use super::super::super::names::line::Line;
use super::{OID, SEQUENCE};

/// Bytes of a name that are written.
pub(super) const NAME_BYTES_MAX: usize = 1_024;

/// `SET`, of which each part of a name is one.
const SET: u8 = 0x31;

/// `id-at-commonName`, 2.5.4.3.
const COMMON_NAME: &[u8] = &[0x55, 4, 3];

/// Two bytes a character (X.680 41).
const BMP_STRING: u8 = 0x1e;

/// A name, without its own head.
#[derive(Debug, Clone, Copy)]
pub(super) struct Name<'a>(&'a [u8]);

/// One attribute: what it is, and the tag and bytes of its value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attribute<'a> {
    kind: &'a [u8],
    tag: u8,
    value: &'a [u8],
    /// Whether it is the first of its `SET`.
    is_first: bool,
}

impl<'a> Name<'a> {
    pub(super) const fn of(contents: &'a [u8]) -> Self {
        Self(contents)
    }

    /// Whether both are the same, byte for byte.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.0 == other.0
    }

    /// The first common name, where it is text.
    pub(super) fn common_name(&self) -> Option<&'a [u8]> {
        let mut attributes = self.attributes();
        attributes
            .find(|attribute| attribute.kind == COMMON_NAME && is_text(attribute.tag))
            .map(|name| name.value)
    }

    /// The common name where it is all there is.
    pub(super) fn only_common_name(&self) -> Option<&'a [u8]> {
        (self.attributes().count() == 1).then(|| self.common_name()).flatten()
    }

    /// `C=US, O=Example, CN=a.example`: `+` between attributes of one part, hexadecimal digits for what is no text.
    pub(super) fn line(&self) -> Line<NAME_BYTES_MAX> {
        let mut line = Line::new();
        for (index, Attribute { kind, tag, value, is_first }) in self.attributes().enumerate() {
            line.push(match (index, is_first) {
                (0, _) => b"",
                (_, true) => b", ",
                (_, false) => b" + ",
            });
            match short_name(kind) {
                Some(name) => line.push(name.as_bytes()),
                None => {
                    line.push(b"OID(");
                    line.push(oid(kind).as_bytes());
                    line.push(b")");
                }
            }
            line.push(b"=");
            if is_text(tag) {
                line.push(value);
            } else if tag == BMP_STRING {
                let units = value.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
                for character in char::decode_utf16(units) {
                    line.add(format_args!("{}", character.unwrap_or(char::REPLACEMENT_CHARACTER)));
                }
            } else {
                value.iter().for_each(|byte| line.add(format_args!("{byte:02X}")));
            }
        }
        line
    }

    pub(super) fn attributes(&self) -> impl Iterator<Item = Attribute<'a>> {
        let parts = Elements::of(self.0).filter(|part| part.tag == SET);
        parts.flat_map(|part| {
            Elements::of(part.contents).enumerate().filter_map(|(index, pair)| {
                let mut pair = Elements::of((pair.tag == SEQUENCE).then_some(pair.contents)?);
                let kind = pair.tagged(OID)?;
                let value = pair.next()?;
                Some(Attribute { kind, tag: value.tag, value: value.contents, is_first: index == 0 })
            })
        })
    }
}

/// Whether a value's bytes are its characters: UTF8String, NumericString to GeneralString, ObjectDescriptor.
const fn is_text(tag: u8) -> bool {
    matches!(tag, 7 | 0x0c | 0x12..=0x16 | 0x19..=0x1b)
}

/// What an attribute is called: RFC 4514 3 where it has a name, X.520's and PKCS 9's else.
pub(super) const fn short_name(kind: &[u8]) -> Option<&'static str> {
    Some(match kind {
        [0x55, 4, last] => match last {
            3 => "CN",
            4 => "surname",
            5 => "serialNumber",
            6 => "C",
            7 => "L",
            8 => "ST",
            9 => "streetAddress",
            10 => "O",
            11 => "OU",
            12 => "title",
            13 => "description",
            15 => "businessCategory",
            16 => "postalAddress",
            17 => "postalCode",
            41 => "name",
            42 => "givenName",
            43 => "initials",
            44 => "generationQualifier",
            45 => "uniqueIdentifier",
            46 => "dnQualifier",
            _ => return None,
        },
        [0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 1] => "uid",
        [0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25] => "DC",
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1] => "Email",
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 2] => "unstructuredName",
        [0x2b, 6, 1, 4, 1, 0x82, 0x37, 60, 2, 1, 1] => "msJurisdictionLocality",
        [0x2b, 6, 1, 4, 1, 0x82, 0x37, 60, 2, 1, 2] => "msJurisdictionStateOrProvince",
        [0x2b, 6, 1, 4, 1, 0x82, 0x37, 60, 2, 1, 3] => "msJurisdictionCountry",
        _ => return None,
    })
}
