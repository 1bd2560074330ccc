//! Who logs in with NTLM? (MS-NLMP 2.2.1.3)

use crate::dpi::cursor::Cursor;
use crate::dpi::protocols::names::line::Line;
use crate::dpi::text::{find, utf16};
use crate::dpi::{Context, Fields, Risk};

/// An AUTHENTICATE message inside whatever wraps it.
#[derive(Debug, Clone, Copy)]
pub(in crate::dpi::protocols) struct Authenticate<'a> {
    domain: &'a [u8],
    user: &'a [u8],
    host: &'a [u8],
    version: Option<[u8; 8]>,
    is_unicode: bool,
    /// The response is one of version 1.
    is_old: bool,
}

impl<'a> Authenticate<'a> {
    /// Finds it behind SPNEGO, GSS-API or nothing.
    pub(in crate::dpi::protocols) fn find_in(bytes: &'a [u8]) -> Option<Self> {
        // It stands at the end of short structures: whoever hides it further inside is not read.
        let from = find(bytes.get(..bytes.len().min(1_024))?, b"NTLMSSP\0\x03\0\0\0")?;
        let message = bytes.get(from..)?;
        let mut at = Cursor::new(message);
        at.skip(12 + 8)?;
        // MS-NLMP 2.2.2.6 and 2.2.2.8: 24 bytes in version 1, more in version 2, none of who logs in without a name.
        let is_old = at.le16()? == 24;
        at.skip(6)?;
        let mut buffer = || -> Option<&'a [u8]> {
            let (len, _max, offset) = (at.le16()?, at.le16()?, at.le32()?);
            let offset = offset as usize;
            message.get(offset..offset.checked_add(usize::from(len))?)
        };
        let (domain, user, host, _key) = (buffer()?, buffer()?, buffer()?, buffer());
        let flags = at.le32().unwrap_or_default();
        // MS-NLMP 2.2.2.5: NEGOTIATE_VERSION and NEGOTIATE_UNICODE.
        let version = if flags & 0x0200_0000 != 0 { at.array() } else { None };
        Some(Self { domain, user, host, version, is_unicode: flags & 1 != 0, is_old })
    }

    /// Notes what is weak about it.
    pub(in crate::dpi::protocols) fn judge(&self, cx: &mut Context<'_>) {
        if self.is_old {
            cx.risk(Risk::WeakAuthentication, format_args!("NTLM version 1"));
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpi::risk::clues::told_of;

    #[test]
    fn responses_of_version_1_are_told_by_their_length() {
        for (len, expected) in [(24_u8, &["weak_authentication: NTLM version 1"][..]), (0, &[]), (200, &[])] {
            let mut message = b"NTLMSSP\0\x03\0\0\0".to_vec();
            message.extend([0; 8]);
            message.extend([len, 0, len, 0, 64, 0, 0, 0]);
            message.extend([0; 24]);
            message.extend([0; 20]);
            let told = told_of(|cx| {
                if let Some(login) = Authenticate::find_in(&message) {
                    login.judge(cx);
                }
            });
            assert_eq!(told, expected, "{len}");
        }
    }
}
