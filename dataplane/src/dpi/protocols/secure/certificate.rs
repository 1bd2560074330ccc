//! What does a server's certificate say: whose it is, who vouches for it, from when to when, for which names?
//!
//! RFC 5280 4.1. Read once a session, and only where the handshake shows it (TLS 1.2, DTLS 1.2 and older).

use sha1::{Digest, Sha1};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use crate::dpi::fingerprint::Text;
use crate::dpi::{Context, Fields, HintKind, HostKind, Risk};

/// Names that are told of one certificate.
const NAMES_MAX: usize = 64;

/// Bytes of a serial number that are printed; RFC 5280 4.1.2.2 allows 20.
const SERIAL_BYTES_MAX: usize = 32;

/// A certificate.
#[derive(Debug)]
pub(crate) struct Certificate<'a> {
    der: &'a [u8],
    parsed: X509Certificate<'a>,
    subject: String,
    issuer: String,
}

impl<'a> Certificate<'a> {
    /// Reads it; `None` where it is none.
    pub(crate) fn read(der: &'a [u8]) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(der).ok()?;
        let (subject, issuer) = (parsed.subject().to_string(), parsed.issuer().to_string());
        Some(Self { der, parsed, subject, issuer })
    }

    /// Writes what Suricata writes of it.
    pub(crate) fn write(&self, fields: &mut Fields) {
        fields.text("subject", &self.subject);
        fields.text("issuerdn", &self.issuer);
        let mut serial = Text::<{ 3 * SERIAL_BYTES_MAX }>::default();
        let digits = self.parsed.raw_serial();
        colons(&mut serial, &digits[..digits.len().min(SERIAL_BYTES_MAX)]);
        fields.text("serial", serial.as_bytes().to_ascii_uppercase());
        let mut fingerprint = Text::<60>::default();
        colons(&mut fingerprint, &Sha1::digest(self.der));
        fields.text("fingerprint", fingerprint.as_bytes());
        let validity = self.parsed.validity();
        for (key, time) in [("notbefore", &validity.not_before), ("notafter", &validity.not_after)] {
            if let Ok(time) = jiff::Timestamp::from_second(time.timestamp()) {
                let time = jiff::tz::Offset::UTC.to_datetime(time);
                fields.text(key, time.to_string());
            }
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
        cx.hint(HintKind::Certificate, self.subject.as_bytes());
        cx.hint(HintKind::Certificate, self.issuer.as_bytes());
        if let Some(name) = self.common_name().or_else(|| self.names().next()) {
            cx.host(HostKind::Certificate, name.strip_prefix("*.").unwrap_or(name).as_bytes());
        }
        let validity = self.parsed.validity();
        let now = (cx.at.0 / 1_000_000_000) as i64;
        if now < validity.not_before.timestamp() || now > validity.not_after.timestamp() {
            cx.notes.risk(Risk::CertificateDates);
        }
        if self.parsed.subject().as_raw() == self.parsed.issuer().as_raw() {
            cx.notes.risk(Risk::SelfSigned);
        }
        if asked.is_some_and(|asked| !self.is_for(asked)) {
            cx.notes.risk(Risk::CertificateMismatch);
        }
    }

    /// The common names of subject and issuer where these are nothing else.
    pub(crate) fn only_names(&self) -> Option<(&str, &str)> {
        let (subject, issuer) = (self.subject.strip_prefix("CN=")?, self.issuer.strip_prefix("CN=")?);
        (!subject.contains(['=', ',']) && !issuer.contains(['=', ','])).then_some((subject, issuer))
    }

    /// Whether it names `host` (RFC 6125 6.4): the whole name, or all but its first label.
    fn is_for(&self, host: &[u8]) -> bool {
        let host = host.strip_suffix(b".").unwrap_or(host);
        let is = |name: &str| match name.as_bytes().strip_prefix(b"*") {
            Some(parent) => {
                let first_dot = host.iter().position(|byte| *byte == b'.');
                first_dot.is_some_and(|dot| host[dot..].eq_ignore_ascii_case(parent))
            }
            None => host.eq_ignore_ascii_case(name.as_bytes()),
        };
        self.names().any(is) || self.common_name().is_some_and(is)
    }

    fn common_name(&self) -> Option<&str> {
        self.parsed.subject().iter_common_name().next()?.as_str().ok()
    }

    fn names(&self) -> impl Iterator<Item = &'a str> + '_ {
        let extension = self.parsed.subject_alternative_name().ok().flatten();
        let names = extension.map_or(&[][..], |extension| &extension.value.general_names);
        names.iter().filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(*name),
            _ => None,
        })
    }
}

/// The first certificate of a list as it stands in a Certificate message (RFC 5246 7.4.2), as far as that is there.
pub(crate) fn first_of(message: &[u8]) -> Option<&[u8]> {
    let mut cursor = crate::dpi::cursor::Cursor::new(message);
    cursor.be24()?;
    cursor.vec24()
}

/// Hexadecimal digits with a colon between bytes.
fn colons<const MAX: usize>(text: &mut Text<MAX>, bytes: &[u8]) {
    for (index, byte) in bytes.iter().enumerate() {
        if index > 0 {
            text.push(b":");
        }
        text.push_hex(&[*byte]);
    }
}
