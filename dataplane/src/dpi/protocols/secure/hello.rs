//! What do the two hellos of TLS say? Read in place, for TLS, DTLS and QUIC alike.
//!
//! RFC 8446 4.1, RFC 5246 7.4.1, RFC 9147 5.3. What is malformed in an extension leaves only that one empty.

use crate::dpi::cursor::Cursor;
use crate::dpi::cursor::pairs;

/// Extensions that are looked into (IANA, TLS ExtensionType Values).
pub(crate) mod extension {
    pub(crate) const SERVER_NAME: u16 = 0;
    pub(crate) const SUPPORTED_GROUPS: u16 = 10;
    pub(crate) const POINT_FORMATS: u16 = 11;
    pub(crate) const SIGNATURE_ALGORITHMS: u16 = 13;
    pub(crate) const ALPN: u16 = 16;
    pub(crate) const SESSION_TICKET: u16 = 35;
    pub(crate) const PRE_SHARED_KEY: u16 = 41;
    pub(crate) const SUPPORTED_VERSIONS: u16 = 43;
    pub(crate) const QUIC_PARAMETERS: u16 = 57;
    /// Of QUIC drafts up to 32.
    pub(crate) const QUIC_PARAMETERS_DRAFT: u16 = 0xffa5;
    /// Encrypted ClientHello (RFC 9849).
    pub(crate) const ENCRYPTED_HELLO: u16 = 0xfe0d;
    /// Its forerunner, draft-ietf-tls-esni-02.
    pub(crate) const ENCRYPTED_NAME: u16 = 0xffce;
}

/// Extensions of a hello, in order.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Extensions<'a>(&'a [u8]);

impl<'a> Extensions<'a> {
    /// Type and content of each.
    pub(crate) fn iter(self) -> impl Iterator<Item = (u16, &'a [u8])> + Clone {
        let mut cursor = Cursor::new(self.0);
        std::iter::from_fn(move || Some((cursor.be16()?, cursor.vec16()?)))
    }

    /// The content of the first of that type.
    pub(crate) fn get(self, of: u16) -> Option<&'a [u8]> {
        self.iter().find(|(kind, _)| *kind == of).map(|(_, content)| content)
    }
}

/// A ClientHello.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ClientHello<'a> {
    /// Version of the header, which is not what the client can do best.
    pub(crate) version: u16,
    /// 32 bytes.
    pub(crate) random: &'a [u8],
    pub(crate) session_id: &'a [u8],
    /// Pairs of bytes.
    pub(crate) ciphers: &'a [u8],
    pub(crate) extensions: Extensions<'a>,
}

impl<'a> ClientHello<'a> {
    /// Reads the body of a handshake message; `has_cookie` for DTLS.
    pub(crate) fn read(body: &'a [u8], has_cookie: bool) -> Option<Self> {
        let mut cursor = Cursor::new(body);
        let version = cursor.be16()?;
        let random = cursor.take(32)?;
        let session_id = cursor.vec8()?;
        if has_cookie {
            cursor.vec8()?;
        }
        let ciphers = cursor.vec16()?;
        cursor.vec8()?;
        let extensions = Extensions(extensions_of(&mut cursor));
        (session_id.len() <= 32).then_some(Self { version, random, session_id, ciphers, extensions })
    }

    /// The server's name: the first one of type `host_name` (RFC 6066 3).
    pub(crate) fn server_name(&self) -> Option<&'a [u8]> {
        let mut list = Cursor::new(Cursor::new(self.extensions.get(extension::SERVER_NAME)?).vec16()?);
        loop {
            let (kind, name) = (list.u8()?, list.vec16()?);
            if kind == 0 {
                return Some(name).filter(|name| !name.is_empty());
            }
        }
    }

    /// The protocols it would speak above, best first (RFC 7301 3.1).
    pub(crate) fn alpns(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        alpns(self.extensions)
    }

    /// The highest version that the client can do, GREASE left out.
    pub(crate) fn best_version(&self) -> u16 {
        let offered =
            self.extensions.get(extension::SUPPORTED_VERSIONS).and_then(|list| Cursor::new(list).vec8());
        let rank = |version: &u16| if is_dtls(*version) { !*version } else { *version };
        let known = pairs(offered.unwrap_or_default()).filter(|version| !is_grease(*version));
        known.max_by_key(rank).unwrap_or(self.version)
    }

    /// Signature algorithms in the client's order, as pairs of bytes.
    pub(crate) fn signature_algorithms(&self) -> &'a [u8] {
        let content = self.extensions.get(extension::SIGNATURE_ALGORITHMS);
        content.and_then(|content| Cursor::new(content).vec16()).unwrap_or_default()
    }

    /// Groups in the client's order, as pairs of bytes.
    pub(crate) fn groups(&self) -> &'a [u8] {
        let content = self.extensions.get(extension::SUPPORTED_GROUPS);
        content.and_then(|content| Cursor::new(content).vec16()).unwrap_or_default()
    }

    /// Formats of points, a byte each.
    pub(crate) fn point_formats(&self) -> &'a [u8] {
        let content = self.extensions.get(extension::POINT_FORMATS);
        content.and_then(|content| Cursor::new(content).vec8()).unwrap_or_default()
    }

    /// Whether the true server name is encrypted. An `outer` hello with GREASE looks the same, on purpose.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.extensions
            .iter()
            .any(|(kind, _)| matches!(kind, extension::ENCRYPTED_HELLO | extension::ENCRYPTED_NAME))
    }
}

/// A ServerHello.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ServerHello<'a> {
    /// Version of the header.
    pub(crate) version: u16,
    /// 32 bytes.
    pub(crate) random: &'a [u8],
    pub(crate) session_id: &'a [u8],
    pub(crate) cipher: u16,
    pub(crate) extensions: Extensions<'a>,
    /// It asks the client to say hello again.
    pub(crate) is_retry: bool,
}

/// The random of a HelloRetryRequest: SHA-256 of its name (RFC 8446 4.1.3).
const RETRY_RANDOM: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2,
    0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

impl<'a> ServerHello<'a> {
    /// Reads the body of a handshake message.
    pub(crate) fn read(body: &'a [u8]) -> Option<Self> {
        let mut cursor = Cursor::new(body);
        let version = cursor.be16()?;
        let random = cursor.take(32)?;
        let is_retry = random == RETRY_RANDOM;
        // Drafts of TLS 1.3 up to 21 have neither session nor compression in it.
        let is_short = (0x7f00..=0x7f15).contains(&version);
        let session_id = if is_short { &[] } else { cursor.vec8()? };
        let cipher = cursor.be16()?;
        if !is_short {
            cursor.u8()?;
        }
        let extensions = Extensions(extensions_of(&mut cursor));
        (session_id.len() <= 32).then_some(Self { version, random, session_id, cipher, extensions, is_retry })
    }

    /// The version that was agreed on.
    pub(crate) fn agreed_version(&self) -> u16 {
        let chosen = self
            .extensions
            .get(extension::SUPPORTED_VERSIONS)
            .and_then(|content| Cursor::new(content).be16());
        chosen.unwrap_or(self.version)
    }

    /// The protocol that was chosen, where the server says it in clear.
    pub(crate) fn alpns(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        alpns(self.extensions)
    }
}

/// Extensions, as far as they are there: a list that is cut short keeps its beginning.
fn extensions_of<'a>(cursor: &mut Cursor<'a>) -> &'a [u8] {
    match cursor.be16() {
        Some(len) => &cursor.rest()[..cursor.rest().len().min(usize::from(len))],
        None => &[],
    }
}

fn alpns<'a>(extensions: Extensions<'a>) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    let list = extensions.get(extension::ALPN).and_then(|content| Cursor::new(content).vec16());
    let mut list = Cursor::new(list.unwrap_or_default());
    std::iter::from_fn(move || list.vec8())
}

/// Values that mean nothing and keep servers tolerant (RFC 8701).
pub(crate) const fn is_grease(value: u16) -> bool {
    let [high, low] = value.to_be_bytes();
    high == low && low & 0x0f == 0x0a
}

/// Versions of DTLS count downwards.
pub(crate) const fn is_dtls(version: u16) -> bool {
    version >> 8 == 0xfe || version == 0x0100
}

/// Whether a version is older than what is fit for use: TLS and DTLS below 1.2 (RFC 8996).
pub(crate) const fn is_obsolete(version: u16) -> bool {
    matches!(version, 0x0002 | 0x0200 | 0x0300..=0x0302 | 0xfeff | 0x0100)
}

/// The name of a version, as Suricata prints it.
pub(crate) const fn version_name(version: u16) -> &'static str {
    match version {
        0x0002 | 0x0200 => "SSLv2",
        0x0300 => "SSLv3",
        0x0301 => "TLSv1",
        0x0302 => "TLS 1.1",
        0x0303 => "TLS 1.2",
        0x0304 => "TLS 1.3",
        // draft-ietf-tls-tls13 4.2.1: 0x7f and the number of the draft; Suricata names those from 16 on.
        0x7f10 => "TLS 1.3 draft-16",
        0x7f11 => "TLS 1.3 draft-17",
        0x7f12 => "TLS 1.3 draft-18",
        0x7f13 => "TLS 1.3 draft-19",
        0x7f14 => "TLS 1.3 draft-20",
        0x7f15 => "TLS 1.3 draft-21",
        0x7f16 => "TLS 1.3 draft-22",
        0x7f17 => "TLS 1.3 draft-23",
        0x7f18 => "TLS 1.3 draft-24",
        0x7f19 => "TLS 1.3 draft-25",
        0x7f1a => "TLS 1.3 draft-26",
        0x7f1b => "TLS 1.3 draft-27",
        0x7f1c => "TLS 1.3 draft-28",
        // Facebook's own.
        0xfb17 => "TLS 1.3 draft-23-fb",
        0xfb1a => "TLS 1.3 draft-26-fb",
        0x0100 | 0xfeff => "DTLS 1.0",
        0xfefd => "DTLS 1.2",
        0xfefc => "DTLS 1.3",
        _ => "UNDETERMINED",
    }
}

/// Whether a suite protects little or nothing: NULL, export, anonymous, RC4, RC2, single DES or MD5
/// (IANA, TLS Cipher Suites).
pub(crate) const fn is_weak_cipher(suite: u16) -> bool {
    matches!(
        suite,
        0x0000..=0x0006
            | 0x0008..=0x0009
            | 0x000b..=0x000c
            | 0x000e..=0x000f
            | 0x0011..=0x0012
            | 0x0014..=0x0015
            | 0x0017..=0x001b
            | 0x001e
            | 0x0020
            | 0x0022..=0x002e
            | 0x0034
            | 0x003a..=0x003b
            | 0x0046
            | 0x0060..=0x0066
            | 0x006c..=0x006d
            | 0x0089..=0x008a
            | 0x008e
            | 0x0092
            | 0x009b
            | 0x00a6..=0x00a7
            | 0x00b0..=0x00b1
            | 0x00b4..=0x00b5
            | 0x00b8..=0x00b9
            | 0x00bf
            | 0x00c5
            | 0xc001..=0xc002
            | 0xc006..=0xc007
            | 0xc00b..=0xc00c
            | 0xc010..=0xc011
            | 0xc015..=0xc019
            | 0xc033
            | 0xc039..=0xc03b
            | 0xc046..=0xc047
            | 0xc05a..=0xc05b
            | 0xc084..=0xc085
            | 0xfefe
    )
}

/// Hellos made from their parts, for the tests of the whole group.
#[cfg(test)]
pub(crate) mod made {
    fn vec16(content: &[u8]) -> Vec<u8> {
        [&(content.len() as u16).to_be_bytes(), content].concat()
    }

    /// One extension.
    pub(crate) fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
        [&kind.to_be_bytes()[..], &vec16(content)].concat()
    }

    /// The extension that names `host`.
    pub(crate) fn server_name(host: &[u8]) -> Vec<u8> {
        extension(0, &vec16(&[&[0][..], &vec16(host)].concat()))
    }

    /// The extension that offers `protocols`.
    pub(crate) fn alpn(protocols: &[&[u8]]) -> Vec<u8> {
        let list: Vec<u8> = protocols.iter().flat_map(|p| [&[p.len() as u8], *p].concat()).collect();
        extension(16, &vec16(&list))
    }

    /// Body of a ClientHello.
    pub(crate) fn client_body(version: u16, ciphers: &[u16], extensions: &[Vec<u8>]) -> Vec<u8> {
        let ciphers: Vec<u8> = ciphers.iter().flat_map(|suite| suite.to_be_bytes()).collect();
        let head = [&version.to_be_bytes()[..], &[7; 32], &[0]].concat();
        [head, vec16(&ciphers), vec![1, 0], vec16(&extensions.concat())].concat()
    }

    /// Body of a ServerHello.
    pub(crate) fn server_body(version: u16, cipher: u16, extensions: &[Vec<u8>]) -> Vec<u8> {
        let head = [&version.to_be_bytes()[..], &[8; 32], &[0], &cipher.to_be_bytes(), &[0]].concat();
        [head, vec16(&extensions.concat())].concat()
    }

    /// A handshake message.
    pub(crate) fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        [&[kind], &(body.len() as u32).to_be_bytes()[1..], body].concat()
    }

    /// A record of TLS.
    pub(crate) fn record(kind: u8, content: &[u8]) -> Vec<u8> {
        [&[kind, 3, 1][..], &vec16(content)].concat()
    }

    /// The hello of a usual client to `host`.
    pub(crate) fn usual_client(host: &[u8]) -> Vec<u8> {
        client_body(
            0x0303,
            &[0x1a1a, 0x1301, 0x1302, 0xc02b, 0xc02f],
            &[
                extension(0x2a2a, &[]),
                server_name(host),
                extension(10, &vec16(&[0x4a, 0x4a, 0, 29, 0, 23])),
                extension(11, &[1, 0]),
                alpn(&[b"h2", b"http/1.1"]),
                extension(13, &vec16(&[4, 3, 8, 4])),
                extension(43, &[6, 0x3a, 0x3a, 3, 4, 3, 3]),
            ],
        )
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;

    #[test]
    fn hellos_are_read_and_every_prefix_of_them_is_survived() {
        let body = made::usual_client(b"www.example.org");
        let hello = ClientHello::read(&body, false).unwrap();
        assert_eq!(hello.server_name(), Some(&b"www.example.org"[..]));
        assert_eq!(hello.best_version(), 0x0304);
        assert!(hello.alpns().eq([&b"h2"[..], b"http/1.1"]));
        assert_eq!(hello.signature_algorithms(), [4, 3, 8, 4]);
        assert_eq!(hello.point_formats(), [0]);
        assert!(!hello.is_encrypted());
        for len in 0..body.len() {
            if let Some(cut) = ClientHello::read(&body[..len], len % 2 == 0) {
                let _ = (cut.server_name(), cut.best_version(), cut.alpns().count(), cut.groups());
            }
        }
        let body = made::server_body(0x0303, 0x1301, &[made::extension(43, &[3, 4]), made::alpn(&[b"h2"])]);
        let hello = ServerHello::read(&body).unwrap();
        assert_eq!((hello.agreed_version(), hello.cipher, hello.is_retry), (0x0304, 0x1301, false));
        assert!(hello.alpns().eq([&b"h2"[..]]));
        for len in 0..body.len() {
            let _ = ServerHello::read(&body[..len]);
        }
    }

    #[test]
    fn grease_and_weak_suites_are_told_apart_from_others() {
        assert!(is_grease(0x0a0a) && is_grease(0xfafa) && !is_grease(0x0a1a) && !is_grease(0x1301));
        for weak in [0x0001, 0x0004, 0x0005, 0x0009, 0x0018, 0xc011] {
            assert!(is_weak_cipher(weak), "{weak:04x}");
        }
        for strong in [0x000a, 0x002f, 0x0035, 0x009c, 0x1301, 0xc02b, 0xc02f, 0xcca8] {
            assert!(!is_weak_cipher(strong), "{strong:04x}");
        }
    }
}
