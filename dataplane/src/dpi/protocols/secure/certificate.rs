//! What does a server's certificate say: whose it is, who vouches for it, from when to when, for which names?
//!
//! RFC 5280 4.1, read in place: nothing is copied or allocated. Read once a session, and only where the handshake shows it
//! (TLS 1.2, DTLS 1.2 and older). The names are written as Suricata writes them, that is as x509-parser does.

mod name;

use jiff::civil::DateTime;
use jiff::tz::Offset;
use sha1::{Digest, Sha1};

use super::super::ber::{Element, Elements};
use super::super::names::line::Line;
use super::weak;
use crate::dpi::fingerprint::Text;
use crate::dpi::{Context, Fields, HintKind, HostKind, Risk, Shown};
use name::{NAME_BYTES_MAX, Name};

/// Names that are told of one certificate.
const NAMES_MAX: usize = 64;

/// Bytes of a serial number that are printed; RFC 5280 4.1.2.2 allows 20.
const SERIAL_BYTES_MAX: usize = 32;

/// Tags (X.680 8.4): universal ones, and the context-specific ones of a certificate.
const BOOLEAN: u8 = 1;
const INTEGER: u8 = 2;
const BIT_STRING: u8 = 3;
const OCTETS: u8 = 4;
const OID: u8 = 6;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
const DNS_NAME: u8 = 0x82;

/// `id-ce-subjectAltName`, 2.5.29.17.
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];

/// `id-ce-basicConstraints`, 2.5.29.19.
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];

/// A certificate.
pub(crate) struct Certificate<'a> {
    der: &'a [u8],
    serial: &'a [u8],
    issuer: Name<'a>,
    subject: Name<'a>,
    not_before: DateTime,
    not_after: DateTime,
    /// `GeneralNames`, without its own head.
    alternatives: &'a [u8],
    /// `AlgorithmIdentifier` of the signature and `SubjectPublicKeyInfo`, without their own heads.
    signature: &'a [u8],
    key: &'a [u8],
    is_authority: bool,
}

impl<'a> Certificate<'a> {
    /// Reads it; `None` where it is none.
    pub(crate) fn read(der: &'a [u8]) -> Option<Self> {
        let mut outer = Elements::of(Elements::of(der).tagged(SEQUENCE)?);
        let mut body = Elements::of(outer.tagged(SEQUENCE)?);
        // The signature's algorithm and the signature.
        let signature = outer.tagged(SEQUENCE)?;
        outer.tagged(BIT_STRING)?;
        body.tagged(VERSION);
        let serial = body.tagged(INTEGER)?;
        body.tagged(SEQUENCE)?;
        let issuer = Name::of(body.tagged(SEQUENCE)?);
        let mut validity = Elements::of(body.tagged(SEQUENCE)?);
        let (not_before, not_after) = (time(validity.next()?)?, time(validity.next()?)?);
        let subject = Name::of(body.tagged(SEQUENCE)?);
        let key = body.tagged(SEQUENCE)?;
        let extensions = body.find(|element| element.tag == EXTENSIONS);
        let extension = |wanted| {
            let mut list = Elements::of(Elements::of(extensions?.contents).tagged(SEQUENCE)?);
            list.find_map(|extension| extension_of(extension, wanted))
        };
        let alternatives = extension(SUBJECT_ALT_NAME);
        let constraints = extension(BASIC_CONSTRAINTS).and_then(|value| Elements::of(value).tagged(SEQUENCE));
        let is_authority = constraints.and_then(|value| Elements::of(value).tagged(BOOLEAN)) == Some(&[0xff]);
        let alternatives =
            alternatives.and_then(|value| Elements::of(value).tagged(SEQUENCE)).unwrap_or_default();
        Some(Self {
            der,
            serial,
            issuer,
            subject,
            not_before,
            not_after,
            alternatives,
            signature,
            key,
            is_authority,
        })
    }

    /// Subject and issuer as text.
    pub(super) fn lines(&self) -> (Line<NAME_BYTES_MAX>, Line<NAME_BYTES_MAX>) {
        (self.subject.line(), self.issuer.line())
    }

    /// The serial number: upper-case digits in pairs.
    pub(super) fn serial_text(&self) -> Line<{ 3 * SERIAL_BYTES_MAX }> {
        let mut serial = Line::new();
        for (index, byte) in self.serial.iter().take(SERIAL_BYTES_MAX).enumerate() {
            let colon = if index > 0 { ":" } else { "" };
            serial.add(format_args!("{colon}{byte:02X}"));
        }
        serial
    }

    /// SHA-1 of it, lower-case digits in pairs.
    pub(super) fn fingerprint(&self) -> Text<60> {
        let mut fingerprint = Text::default();
        for (index, byte) in Sha1::digest(self.der).iter().enumerate() {
            if index > 0 {
                fingerprint.push(b":");
            }
            fingerprint.push_hex(&[*byte]);
        }
        fingerprint
    }

    /// From when to when it is good, seconds since 1970; what was before is 0.
    pub(super) fn validity(&self) -> (u64, u64) {
        let of = |time| seconds(time).map_or(0, |seconds| seconds.max(0) as u64);
        (of(self.not_before), of(self.not_after))
    }

    /// Writes what Suricata writes of it.
    pub(crate) fn write(&self, fields: &mut Fields) {
        let (subject, issuer) = self.lines();
        fields.text("subject", subject);
        fields.text("issuerdn", issuer);
        fields.text("serial", self.serial_text());
        fields.text("fingerprint", self.fingerprint().as_bytes());
        for (key, time) in [("notbefore", self.not_before), ("notafter", self.not_after)] {
            fields.text(key, Line::<32>::of(format_args!("{time}")));
        }
        if self.names().next().is_some() {
            fields.list("subjectaltname", |list| {
                for name in self.names().take(NAMES_MAX) {
                    list.text("", name);
                }
            });
        }
    }

    /// Notes what it says of the flow: host, application, risks. `asked` is the name that the client asked for.
    pub(crate) fn note(&self, asked: Option<&[u8]>, cx: &mut Context<'_>) {
        let subject = self.subject.line();
        cx.hint(HintKind::Certificate, subject.as_bytes());
        cx.hint(HintKind::Certificate, self.issuer.line().as_bytes());
        if let Some(name) = self.subject.common_name().or_else(|| self.names().next()) {
            cx.host(HostKind::Certificate, name.strip_prefix(b"*.").unwrap_or(name));
        }
        let judged = weak::Judged {
            not_before: seconds(self.not_before),
            not_after: seconds(self.not_after),
            signature: Elements::of(self.signature).tagged(OID).unwrap_or_default(),
            key: self.key(),
            is_self_signed: self.subject.is(&self.issuer),
            is_authority: self.is_authority,
            subject: subject.as_bytes(),
        };
        weak::note(&judged, cx);
        // Whoever puts an address there breaks RFC 6066 3, and names of certificates are no addresses.
        let asked = asked.filter(|asked| !is_address(asked));
        if asked.is_some_and(|asked| !self.is_for(asked)) {
            cx.risk(
                Risk::CertificateMismatch,
                format_args!("asked for {}", Shown(asked.unwrap_or_default())),
            );
        }
    }

    /// The key (RFC 5280 4.1.2.7): an algorithm with its parameters, a bit string that begins with its count of unused bits.
    fn key(&self) -> Option<weak::Key> {
        let mut parts = Elements::of(self.key);
        let mut algorithm = Elements::of(parts.tagged(SEQUENCE)?);
        let kind = algorithm.tagged(OID)?;
        let curve = algorithm.tagged(OID).unwrap_or_default();
        weak::key_of(kind, curve, parts.tagged(BIT_STRING)?.get(1..)?)
    }

    /// The common names of subject and issuer where these are nothing else.
    pub(crate) fn only_names(&self) -> Option<(&'a [u8], &'a [u8])> {
        Some((self.subject.only_common_name()?, self.issuer.only_common_name()?))
    }

    /// Whether it names `host` (RFC 6125 6.4): the whole name, or all but its first label.
    fn is_for(&self, host: &[u8]) -> bool {
        let host = host.strip_suffix(b".").unwrap_or(host);
        let is = |name: &[u8]| match name.strip_prefix(b"*") {
            Some(parent) => {
                let first_dot = host.iter().position(|byte| *byte == b'.');
                first_dot.is_some_and(|dot| host[dot..].eq_ignore_ascii_case(parent))
            }
            None => host.eq_ignore_ascii_case(name),
        };
        self.names().any(is) || self.subject.common_name().is_some_and(is)
    }

    /// The host names beside the subject (RFC 5280 4.2.1.6).
    pub(super) fn names(&self) -> impl Iterator<Item = &'a [u8]> {
        Elements::of(self.alternatives).filter(|name| name.tag == DNS_NAME).map(|name| name.contents)
    }
}

/// Whether a name is an address instead.
fn is_address(name: &[u8]) -> bool {
    std::str::from_utf8(name).is_ok_and(|name| name.parse::<std::net::IpAddr>().is_ok())
}

/// The value of an extension where it is the one `wanted` (RFC 5280 4.1): identifier, whether critical, value.
fn extension_of<'a>(extension: Element<'a>, wanted: &[u8]) -> Option<&'a [u8]> {
    let mut parts = Elements::of(extension.contents);
    if extension.tag != SEQUENCE || parts.tagged(OID)? != wanted {
        return None;
    }
    parts.tagged(BOOLEAN);
    parts.tagged(OCTETS)
}

/// RFC 5280 4.1.2.5: `YYMMDDhhmmssZ` from 1950 to 2049, `YYYYMMDDhhmmssZ` else. Seconds may be missing in old ones.
fn time(element: Element<'_>) -> Option<DateTime> {
    let mut digits = element.contents.iter().copied();
    let mut two = || {
        let (tens, ones) = (digits.next()?, digits.next()?);
        let pair = tens.is_ascii_digit() && ones.is_ascii_digit();
        pair.then(|| ((tens - b'0') * 10 + (ones - b'0')) as i8)
    };
    let year = match element.tag {
        UTC_TIME => match i16::from(two()?) {
            year @ 50.. => 1900 + year,
            year => 2000 + year,
        },
        GENERALIZED_TIME => i16::from(two()?) * 100 + i16::from(two()?),
        _ => return None,
    };
    let (month, day, hour, minute) = (two()?, two()?, two()?, two()?);
    DateTime::new(year, month, day, hour, minute, two().unwrap_or(0), 0).ok()
}

/// Seconds since 1970.
fn seconds(time: DateTime) -> Option<i64> {
    Offset::UTC.to_timestamp(time).ok().map(|stamp| stamp.as_second())
}

/// The certificates of a whole list (RFC 5246 7.4.2); none where it is not whole.
pub(crate) fn all_of(message: &[u8]) -> impl Iterator<Item = &[u8]> {
    let list = crate::dpi::cursor::Cursor::new(message).vec24().unwrap_or_default();
    let mut list = crate::dpi::cursor::Cursor::new(list);
    std::iter::from_fn(move || list.vec24())
}

/// The first certificate of a list as it stands in a Certificate message (RFC 5246 7.4.2), as far as that is there.
pub(crate) fn first_of(message: &[u8]) -> Option<&[u8]> {
    let mut cursor = crate::dpi::cursor::Cursor::new(message);
    cursor.be24()?;
    cursor.vec24()
}

#[cfg(test)]
mod tests;
