//! Is a certificate as it should be? Judged by plain values: times, algorithm, key, names.
//!
//! Only what the server shows as its own is judged, not those above it.

use crate::dpi::cursor::Cursor;
use crate::dpi::{Context, Risk, Shown};

/// What is known of a certificate.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Judged<'a> {
    /// Seconds since 1970, where the calendar has that time.
    pub(crate) not_before: Option<i64>,
    /// The same.
    pub(crate) not_after: Option<i64>,
    /// Contents of the signature algorithm's object identifier.
    pub(crate) signature: &'a [u8],
    /// [`key_of`].
    pub(crate) key: Option<Key>,
    /// Subject and issuer are the same.
    pub(crate) is_self_signed: bool,
    /// Whether it may sign others.
    pub(crate) is_authority: bool,
    /// The subject as text.
    pub(crate) subject: &'a [u8],
}

/// A public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key {
    kind: &'static str,
    bits: u32,
    bits_min: u32,
}

const DAY_S: i64 = 86_400;

/// Days that a certificate may be valid, by when it was issued: what the CA/Browser Forum allows its authorities
/// (Baseline Requirements 6.3.2, and the earlier rules that its table of effective dates has).
const DAYS_MAX: [(i64, i64); 7] = [
    // 2029-03-15, 2027-03-15, 2026-03-15, 2020-09-01, 2018-03-01, 2015-04-01.
    (1_868_227_200, 47),
    (1_805_068_800, 100),
    (1_773_532_800, 200),
    (1_598_918_400, 398),
    (1_519_862_400, 825),
    (1_427_846_400, 1_188),
    (i64::MIN, 1_827),
];

/// Notes the risks of a certificate.
pub(crate) fn note(judged: &Judged<'_>, cx: &mut Context<'_>) {
    let now = (cx.at.0 / 1_000_000_000) as i64;
    if let Some(end) = judged.not_after.filter(|end| now > *end) {
        cx.risk(Risk::CertificateDates, format_args!("expired {}", Day(end)));
    } else if let Some(start) = judged.not_before.filter(|start| now < *start) {
        cx.risk(Risk::CertificateDates, format_args!("not valid before {}", Day(start)));
    }
    if judged.is_self_signed {
        cx.risk(Risk::SelfSigned, format_args!("subject = issuer: {}", Shown(judged.subject)));
    } else if let Some(name) = weak_signature(judged.signature) {
        // The signature of one that signs itself proves nothing anyway.
        cx.risk(Risk::WeakSignature, format_args!("{name}"));
    }
    if let Some(Key { kind, bits, .. }) = judged.key.filter(|key| key.bits < key.bits_min) {
        cx.risk(Risk::SmallKey, format_args!("{kind} {bits} bits"));
    }
    if let (Some(start), Some(end)) = (judged.not_before, judged.not_after)
        && let days = end.saturating_sub(start) / DAY_S
        && !judged.is_authority
        && days > days_max(start)
    {
        cx.risk(Risk::LongValidity, format_args!("{days} days"));
    }
}

fn days_max(issued: i64) -> i64 {
    DAYS_MAX.iter().find(|(since, _)| issued >= *since).map_or(i64::MAX, |(_, days)| *days)
}

/// The name of an algorithm by which a second document of the same signature can be found (RFC 3279 2.2, RFC 5758 3).
fn weak_signature(identifier: &[u8]) -> Option<&'static str> {
    Some(match identifier {
        // 1.2.840.113549.1.1.*
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 2] => "MD2 with RSA",
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 3] => "MD4 with RSA",
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 4] => "MD5 with RSA",
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 5] => "SHA-1 with RSA",
        // 1.2.840.10040.4.3 and 1.2.840.10045.4.1
        [0x2a, 0x86, 0x48, 0xce, 0x38, 4, 3] => "SHA-1 with DSA",
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 1] => "SHA-1 with ECDSA",
        // 1.3.14.3.2.3, 15 and 29
        [0x2b, 0x0e, 3, 2, 3] => "MD5 with RSA",
        [0x2b, 0x0e, 3, 2, 15 | 29] => "SHA-1 with RSA",
        _ => return None,
    })
}

/// The key of a SubjectPublicKeyInfo (RFC 5280 4.1.2.7): contents of its algorithm's identifier, of the identifier of a
/// curve that stands behind it, and of the bit string without its count of unused bits. `None` for a kind that has no
/// small ones, or is not known.
pub(crate) fn key_of(algorithm: &[u8], curve: &[u8], key: &[u8]) -> Option<Key> {
    match algorithm {
        // rsaEncryption: SEQUENCE { modulus INTEGER, .. } (RFC 8017 A.1.1).
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1] => {
            let mut cursor = Cursor::new(element(&mut Cursor::new(key), 0x30)?);
            Some(Key { kind: "RSA", bits: bits_of(element(&mut cursor, 0x02)?), bits_min: 2_048 })
        }
        // id-ecPublicKey: the curve says it.
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1] => {
            let bits = match curve {
                // prime192v1 to v3; secp192k1, sect163k1, sect163r1 and r2, secp160k1, r1 and r2.
                [0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 1..=3] | [0x2b, 0x81, 4, 0, 31] => 192,
                [0x2b, 0x81, 4, 0, 1 | 2 | 15] => 163,
                [0x2b, 0x81, 4, 0, 8 | 9 | 30] => 160,
                _ => return None,
            };
            Some(Key { kind: "EC", bits, bits_min: 224 })
        }
        _ => None,
    }
}

/// Contents of the next element of DER, if it has this tag.
fn element<'a>(cursor: &mut Cursor<'a>, tag: u8) -> Option<&'a [u8]> {
    if cursor.u8()? != tag {
        return None;
    }
    let len = match cursor.u8()? {
        short @ 0..=0x7f => usize::from(short),
        0x81 => usize::from(cursor.u8()?),
        0x82 => usize::from(cursor.be16()?),
        _ => return None,
    };
    cursor.take(len)
}

/// Bits of a positive number.
fn bits_of(number: &[u8]) -> u32 {
    let zeros = number.iter().position(|byte| *byte != 0).unwrap_or(number.len());
    let rest = number.get(zeros..).unwrap_or_default();
    rest.first().map_or(0, |first| rest.len() as u32 * 8 - first.leading_zeros())
}

/// A time as the day it falls on.
struct Day(i64);

impl std::fmt::Display for Day {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match jiff::Timestamp::from_second(self.0) {
            Ok(time) => write!(f, "{}", jiff::tz::Offset::UTC.to_datetime(time).date()),
            Err(_) => f.write_str("out of range"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpi::risk::clues::told_of;

    const SHA256_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11];
    const SHA1_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 5];
    const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
    const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];

    /// The time at which tests look: 2023-11-14.
    const NOW: i64 = 1_700_000_000;

    fn good() -> Judged<'static> {
        Judged {
            not_before: Some(NOW - 30 * DAY_S),
            not_after: Some(NOW + 60 * DAY_S),
            signature: SHA256_RSA,
            key: None,
            is_self_signed: false,
            is_authority: false,
            subject: b"CN=www.example.org",
        }
    }

    #[test]
    fn a_certificate_is_judged_by_its_times_signature_key_and_names() {
        let small = key_of(RSA, &[], &[0x30, 6, 2, 4, 0x7f, 1, 1, 1]);
        for (judged, expected) in [
            (good(), &[][..]),
            (
                Judged { not_after: Some(1_551_398_400), not_before: Some(1_543_000_000), ..good() },
                &["certificate_dates: expired 2019-03-01"][..],
            ),
            (
                Judged { not_before: Some(NOW + DAY_S), ..good() },
                &["certificate_dates: not valid before 2023-11-15"],
            ),
            (
                Judged { is_self_signed: true, signature: SHA1_RSA, subject: b"CN=router", ..good() },
                &["self_signed_certificate: subject = issuer: CN=router"],
            ),
            (Judged { signature: SHA1_RSA, ..good() }, &["weak_certificate_signature: SHA-1 with RSA"]),
            (Judged { key: small, ..good() }, &["small_public_key: RSA 31 bits"]),
            (
                Judged { not_after: Some(NOW + 3_650 * DAY_S), ..good() },
                &["long_certificate_validity: 3680 days"],
            ),
            (Judged { not_after: Some(NOW + 3_650 * DAY_S), is_authority: true, ..good() }, &[]),
        ] {
            assert_eq!(told_of(|cx| note(&judged, cx)), expected);
        }
    }

    #[test]
    fn what_was_usual_when_it_was_issued_is_not_long() {
        for (issued, days) in
            [(1_300_000_000, 1_827), (1_450_000_000, 1_188), (1_550_000_000, 825), (NOW, 398)]
        {
            assert_eq!(days_max(issued), days);
        }
    }

    #[test]
    fn keys_are_measured() {
        let mut key = vec![0x30, 0x82, 1, 10, 2, 0x82, 1, 1, 0, 0x80];
        key.extend([0; 255]);
        key.extend([2, 3, 1, 0, 1]);
        assert_eq!(key_of(RSA, &[], &key).map(|key| key.bits), Some(2_048));
        assert_eq!(key_of(RSA, &[], &key[..20]), None);
        assert_eq!(key_of(EC, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7], &[4]), None, "P-256");
        assert_eq!(key_of(EC, &[0x2b, 0x81, 4, 0, 8], &[4]).map(|key| key.bits), Some(160));
        assert_eq!(bits_of(&[0, 0]), 0);
    }
}
