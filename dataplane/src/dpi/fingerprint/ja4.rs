//! What is JA4 of a client?
//!
//! ```text
//! t13d1516h2_8daaf6152771_e5627efa2ab1
//! │││ │ │ │  └ SHA-256 of sorted ciphers, and of sorted extensions with signature algorithms, 12 digits each
//! │││ │ │ └ first and last character of the first ALPN
//! │││ │ └ extensions      ││└ ciphers, 99 at most
//! ││└ d: a server name, i: none
//! │└ version              └ t: TCP, q: QUIC, d: DTLS
//! ```
//!
//! FoxIO, `technical_details/JA4.md` (BSD-3-Clause; the other fingerprints of that family are not).

use sha2::{Digest, Sha256};

use super::{Text, hex16};
use crate::dpi::cursor::pairs;
use crate::dpi::protocols::secure::hello::{ClientHello, extension, is_grease};

/// Length of a JA4.
pub const JA4_BYTES: usize = 36;

/// Ciphers or extensions that are sorted; no client has so many, and a forged hello's rest is left out.
const SORTED_MAX: usize = 1_024;

/// Below which transport a hello came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// TLS over TCP.
    Tcp,
    /// QUIC.
    Quic,
    /// DTLS.
    Dtls,
}

/// JA4 of a client.
pub(crate) fn of_client(hello: &ClientHello<'_>, transport: Transport) -> Text<JA4_BYTES> {
    let ciphers = pairs(hello.ciphers).filter(|suite| !is_grease(*suite));
    let extensions = hello.extensions.iter().map(|(kind, _)| kind).filter(|kind| !is_grease(*kind));
    let mut ja4 = Text::default();
    ja4.push(match transport {
        Transport::Tcp => b"t",
        Transport::Quic => b"q",
        Transport::Dtls => b"d",
    });
    ja4.push(version(hello.best_version()));
    let has_name = hello.extensions.get(extension::SERVER_NAME).is_some();
    ja4.push(if has_name { b"d" } else { b"i" });
    ja4.push(&two_digits(ciphers.clone().count()));
    ja4.push(&two_digits(extensions.clone().count()));
    ja4.push(&ends(hello.alpns().next().unwrap_or_default()));
    ja4.push(b"_");
    hash(&mut ja4, ciphers, &[]);
    ja4.push(b"_");
    let hashed = extensions.filter(|kind| !matches!(*kind, extension::SERVER_NAME | extension::ALPN));
    hash(&mut ja4, hashed, hello.signature_algorithms());
    ja4
}

const fn version(version: u16) -> &'static [u8] {
    match version {
        0x0304 => b"13",
        0x0303 => b"12",
        0x0302 => b"11",
        0x0301 => b"10",
        0x0300 => b"s3",
        0x0002 => b"s2",
        0xfeff => b"d1",
        0xfefd => b"d2",
        0xfefc => b"d3",
        _ => b"00",
    }
}

fn two_digits(number: usize) -> [u8; 2] {
    let number = number.min(99) as u8;
    [b'0' + number / 10, b'0' + number % 10]
}

/// First and last character; of the hexadecimal form where one of them is neither letter nor digit.
fn ends(alpn: &[u8]) -> [u8; 2] {
    let (Some(first), Some(last)) = (alpn.first(), alpn.last()) else { return *b"00" };
    if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() {
        return [*first, *last];
    }
    let [.., high, _] = hex16(u16::from(*first));
    let [.., low] = hex16(u16::from(*last));
    [high, low]
}

/// Twelve digits of the hash of sorted numbers, and of `unsorted` pairs after them; zeros where there are none.
fn hash(ja4: &mut Text<JA4_BYTES>, numbers: impl Iterator<Item = u16>, unsorted: &[u8]) {
    let mut sorted = [0; SORTED_MAX];
    let mut len = 0;
    for (place, number) in sorted.iter_mut().zip(numbers) {
        *place = number;
        len += 1;
    }
    let sorted = &mut sorted[..len];
    sorted.sort_unstable();
    let mut sha = Sha256::new();
    let mut join = |numbers: &mut dyn Iterator<Item = u16>, before: &[u8]| {
        let mut before = before;
        for number in numbers {
            sha.update(before);
            sha.update(hex16(number));
            before = b",";
        }
    };
    join(&mut sorted.iter().copied(), b"");
    join(&mut pairs(unsorted).filter(|number| !is_grease(*number)), b"_");
    if len == 0 && unsorted.is_empty() {
        ja4.push(b"000000000000");
    } else {
        let digest = sha.finalize();
        ja4.push_hex(digest.first_chunk::<6>().map_or(&[], |six| &six[..]));
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;
    use crate::dpi::protocols::secure::hello::made;

    fn ja4(body: &[u8], transport: Transport) -> String {
        let hello = ClientHello::read(body, transport == Transport::Dtls).unwrap();
        String::from_utf8(of_client(&hello, transport).as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn hashes_are_those_of_the_specification() {
        // The example of JA4.md: ciphers, extensions, algorithms of a Chrome.
        let ciphers = [
            0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x009c,
            0x009d, 0x002f, 0x0035,
        ];
        let algorithms = [0, 16, 4, 3, 8, 4, 4, 1, 5, 3, 8, 5, 5, 1, 8, 6, 6, 1];
        let mut extensions = vec![made::server_name(b"a.example"), made::alpn(&[b"h2"])];
        extensions.push(made::extension(13, &algorithms));
        extensions.push(made::extension(43, &[2, 3, 4]));
        for kind in
            [0x001b, 0x0033, 0x4469, 0x0017, 0x002d, 0x0005, 0x0023, 0x0012, 0xff01, 0x000b, 0x000a, 0x0015]
        {
            extensions.push(made::extension(kind, &[]));
        }
        let body = made::client_body(0x0303, &ciphers, &extensions);
        assert_eq!(ja4(&body, Transport::Tcp), "t13d1516h2_8daaf6152771_e5627efa2ab1");
        assert_eq!(ja4(&body, Transport::Quic), "q13d1516h2_8daaf6152771_e5627efa2ab1");
    }

    #[test]
    fn empty_lists_are_zeros() {
        let body = made::client_body(0x0301, &[], &[]);
        assert_eq!(ja4(&body, Transport::Tcp), "t10i000000_000000000000_000000000000");
        let body = made::client_body(0x0301, &[0x0a0a], &[made::server_name(b"a.example")]);
        assert_eq!(ja4(&body, Transport::Tcp), "t10d000100_000000000000_000000000000");
    }

    #[test]
    fn ends_of_an_alpn_are_printable() {
        // JA4.md, "ALPN Extension Value".
        for (alpn, expected) in [
            (&b"h2"[..], b"h2"),
            (b"http/1.1", b"h1"),
            (b"h", b"hh"),
            (b"", b"00"),
            (b"\xab", b"ab"),
            (b"\xab\xcd", b"ad"),
            (b"\x30\xab", b"3b"),
            (b"\x30\x31\xab\xcd", b"3d"),
            (b"\x30\xab\xcd\x31", b"01"),
        ] {
            assert_eq!(ends(alpn), *expected, "{alpn:?}");
        }
    }
}
