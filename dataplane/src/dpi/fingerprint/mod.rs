//! Which software says hello like this? JA3, JA3S and JA4 of the hellos of TLS, DTLS and QUIC.
//!
//! [`ja3`]: Salesforce's definition, an MD5 over numbers in the order of the wire. [`ja4`]: FoxIO's (client only, the
//! part under the BSD licence), SHA-256 over sorted lists. Both leave GREASE out. Hashing allocates nothing.

pub mod ja3;
pub mod ja4;

/// Text of a bounded length on the stack; what does not fit is left out.
#[derive(Debug, Clone, Copy)]
pub struct Text<const MAX: usize> {
    bytes: [u8; MAX],
    len: usize,
}

impl<const MAX: usize> Default for Text<MAX> {
    fn default() -> Self {
        Self { bytes: [0; MAX], len: 0 }
    }
}

impl<const MAX: usize> Text<MAX> {
    /// Appends as much of `more` as there is room for.
    pub fn push(&mut self, more: &[u8]) {
        let room = &mut self.bytes[self.len..];
        let len = more.len().min(room.len());
        room[..len].copy_from_slice(&more[..len]);
        self.len += len;
    }

    /// Appends `bytes` as lower-case hexadecimal digits.
    pub fn push_hex(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.push(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
    }

    /// What was written.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Four hexadecimal digits.
const fn hex16(number: u16) -> [u8; 4] {
    let [high, low] = number.to_be_bytes();
    [
        DIGITS[(high >> 4) as usize],
        DIGITS[(high & 15) as usize],
        DIGITS[(low >> 4) as usize],
        DIGITS[(low & 15) as usize],
    ]
}
