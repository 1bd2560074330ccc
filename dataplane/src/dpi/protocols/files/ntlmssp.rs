//! Who logs in with NTLM? (MS-NLMP 2.2.1.3)

use crate::dpi::Fields;
use crate::dpi::cursor::Cursor;
use crate::dpi::protocols::names::line::Line;
use crate::dpi::text::{find, utf16};

/// An AUTHENTICATE message inside whatever wraps it.
#[derive(Debug, Clone, Copy)]
pub(in crate::dpi::protocols) struct Authenticate<'a> {
    domain: &'a [u8],
    user: &'a [u8],
    host: &'a [u8],
    version: Option<[u8; 8]>,
    is_unicode: bool,
}

impl<'a> Authenticate<'a> {
    /// Finds it behind SPNEGO, GSS-API or nothing.
    pub(in crate::dpi::protocols) fn find_in(bytes: &'a [u8]) -> Option<Self> {
        // It stands at the end of short structures: whoever hides it further inside is not read.
        let from = find(bytes.get(..bytes.len().min(1_024))?, b"NTLMSSP\0\x03\0\0\0")?;
        let message = bytes.get(from..)?;
        let mut at = Cursor::new(message);
        at.skip(12 + 16)?;
        let mut buffer = || -> Option<&'a [u8]> {
            let (len, _max, offset) = (at.le16()?, at.le16()?, at.le32()?);
            let offset = offset as usize;
            message.get(offset..offset.checked_add(usize::from(len))?)
        };
        let (domain, user, host, _key) = (buffer()?, buffer()?, buffer()?, buffer());
        let flags = at.le32().unwrap_or_default();
        // MS-NLMP 2.2.2.5: NEGOTIATE_VERSION and NEGOTIATE_UNICODE.
        let version = if flags & 0x0200_0000 != 0 { at.array() } else { None };
        Some(Self { domain, user, host, version, is_unicode: flags & 1 != 0 })
    }

    /// As Suricata's `ntlmssp`.
    pub(in crate::dpi::protocols) fn write(&self, fields: &mut Fields) {
        let mut buffer = [0; 512];
        fields.object("ntlmssp", |ntlm| {
            for (key, raw) in [("domain", self.domain), ("user", self.user), ("host", self.host)] {
                let text = if self.is_unicode { utf16(raw, &mut buffer) } else { raw };
                ntlm.text(key, text.get(..255).unwrap_or(text));
            }
            if let Some([major, minor, low, high, _, _, _, revision]) = self.version {
                let mut line = Line::<40>::new();
                let build = u16::from_le_bytes([low, high]);
                line.add(format_args!("{major}.{minor} build {build} rev {revision}"));
                ntlm.text("version", line);
            }
        });
    }

    /// The name of the client's machine, where it is short enough.
    pub(in crate::dpi::protocols) fn host<'b>(&self, buffer: &'b mut [u8; 512]) -> &'b [u8]
    where
        'a: 'b,
    {
        if self.is_unicode { utf16(self.host, buffer) } else { self.host }
    }
}
