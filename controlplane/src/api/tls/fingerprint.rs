//! How is a certificate named? By the SHA-256 of its DER, as `openssl x509 -fingerprint -sha256` tells it.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

/// SHA-256 of a certificate's DER.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Of a certificate.
    #[must_use]
    pub fn of(der: &[u8]) -> Self {
        Self(Sha256::digest(der).into())
    }
}

/// A text that is no fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no SHA-256 fingerprint: 64 hexadecimal digits, with or without colons between the bytes")]
pub struct NoFingerprint;

impl FromStr for Fingerprint {
    type Err = NoFingerprint;

    /// 64 hexadecimal digits of either case, with a colon between all bytes or none.
    fn from_str(text: &str) -> Result<Self, NoFingerprint> {
        let text = text.as_bytes();
        let step = match text.len() {
            64 => 2,
            95 => 3,
            _ => return Err(NoFingerprint),
        };
        let digit = |byte: u8| char::from(byte).to_digit(16).ok_or(NoFingerprint);
        let mut bytes = [0; 32];
        for (byte, part) in bytes.iter_mut().zip(text.chunks(step)) {
            match part {
                [high, low] | [high, low, b':'] => *byte = (digit(*high)? << 4 | digit(*low)?) as u8,
                _ => return Err(NoFingerprint),
            }
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SHA-256 of "abc" (FIPS 180-4, example B.1).
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn every_way_of_writing_it_is_read() {
        let colons: Vec<String> = (0..32).map(|at| ABC[2 * at..2 * at + 2].to_uppercase()).collect();
        for text in [ABC.to_owned(), ABC.to_uppercase(), colons.join(":")] {
            assert_eq!(text.parse(), Ok(Fingerprint::of(b"abc")), "{text}");
        }
        assert_eq!(Fingerprint::of(b"abc").to_string(), ABC);
    }

    #[test]
    fn anything_else_is_none() {
        let colons: Vec<&str> = (0..32).map(|at| &ABC[2 * at..2 * at + 2]).collect();
        let (dashes, trailing) = (colons.join("-"), format!("{}:", colons.join(":")));
        let (sign, sha1) = (ABC.replacen("ba", "+a", 1), &ABC[..40]);
        for text in ["", &ABC[1..], &ABC[..62], sha1, &format!("{ABC}00"), &dashes, &trailing, &sign] {
            assert_eq!(text.parse::<Fingerprint>(), Err(NoFingerprint), "{text}");
        }
    }
}
