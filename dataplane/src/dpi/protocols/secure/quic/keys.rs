//! How is an Initial packet of QUIC read? With keys that anybody can derive from its first connection id.
//!
//! RFC 9001 5.2 to 5.4, RFC 9369 3.3, and the drafts' salts as Wireshark's `packet-quic.c` lists them.

use aes::Aes128;
use aes::cipher::{Array, BlockCipherEncrypt, KeyInit};
use aes_gcm::Aes128Gcm;
use aes_gcm::aead::AeadInOut;
use hkdf::Hkdf;
use sha2::Sha256;

/// Longest packet that is read: Initials are about as long as an Ethernet frame.
pub(super) const PACKET_BYTES_MAX: usize = 4_096;

const TAG_BYTES: usize = 16;

/// What versions differ in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Keying {
    salt: [u8; 20],
    /// The labels of version 2.
    is_second: bool,
}

const fn keying(salt: [u8; 20]) -> Keying {
    Keying { salt, is_second: false }
}

const V1: Keying = keying([
    0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17, 0x9a, 0xe6, 0xa4, 0xc8, 0x0c, 0xad, 0xcc,
    0xbb, 0x7f, 0x0a,
]);
const V2: Keying = Keying {
    salt: [
        0x0d, 0xed, 0xe3, 0xde, 0xf7, 0x00, 0xa6, 0xdb, 0x81, 0x93, 0x81, 0xbe, 0x6e, 0x26, 0x9d, 0xcb, 0xf9,
        0xbd, 0x2e, 0xd9,
    ],
    is_second: true,
};
const V2_DRAFT: Keying = Keying {
    salt: [
        0xa7, 0x07, 0xc2, 0x03, 0xa5, 0x9b, 0x47, 0x18, 0x4a, 0x1d, 0x62, 0xca, 0x57, 0x04, 0x06, 0xea, 0x7a,
        0xe3, 0xe5, 0xd3,
    ],
    is_second: true,
};
const DRAFT_29: Keying = keying([
    0xaf, 0xbf, 0xec, 0x28, 0x99, 0x93, 0xd2, 0x4c, 0x9e, 0x97, 0x86, 0xf1, 0x9c, 0x61, 0x11, 0xe0, 0x43,
    0x90, 0xa8, 0x99,
]);
const DRAFT_23: Keying = keying([
    0xc3, 0xee, 0xf7, 0x12, 0xc7, 0x2e, 0xbb, 0x5a, 0x11, 0xa7, 0xd2, 0x43, 0x2b, 0xb4, 0x63, 0x65, 0xbe,
    0xf9, 0xf5, 0x02,
]);
const DRAFT_22: Keying = keying([
    0x7f, 0xbc, 0xdb, 0x0e, 0x7c, 0x66, 0xbb, 0xe9, 0x19, 0x3a, 0x96, 0xcd, 0x21, 0x51, 0x9e, 0xbd, 0x7a,
    0x02, 0x64, 0x4a,
]);
const Q050: Keying = keying([
    0x50, 0x45, 0x74, 0xef, 0xd0, 0x66, 0xfe, 0x2f, 0x9d, 0x94, 0x5c, 0xfc, 0xdb, 0xd3, 0xa7, 0xf0, 0xd3,
    0xb5, 0x6b, 0x45,
]);
const T050: Keying = keying([
    0x7f, 0xf5, 0x79, 0xe5, 0xac, 0xd0, 0x72, 0x91, 0x55, 0x80, 0x30, 0x4c, 0x43, 0xa2, 0x36, 0x7c, 0x60,
    0x48, 0x83, 0x10,
]);
const T051: Keying = keying([
    0x7a, 0x4e, 0xde, 0xf4, 0xe7, 0xcc, 0xee, 0x5f, 0xa4, 0x50, 0x6c, 0x19, 0x12, 0x4f, 0xc8, 0xcc, 0xda,
    0x6e, 0x03, 0x3d,
]);

/// What to try for a version: one where it is known, else what others build on.
pub(super) const fn keyings(version: u32) -> &'static [Keying] {
    match version {
        0x0000_0001 | 0xff00_0021 | 0xff00_0022 => &[V1],
        0x6b33_43cf => &[V2],
        0x709a_50c4 | 0xff02_0000 => &[V2_DRAFT],
        0xff00_001d..=0xff00_0020 => &[DRAFT_29],
        0xff00_0017..=0xff00_001c => &[DRAFT_23],
        0xff00_0015..=0xff00_0016 => &[DRAFT_22],
        0xface_b001 => &[DRAFT_22],
        0xface_b000 | 0xface_b002 => &[DRAFT_23],
        0xface_b003..=0xface_b0ff => &[DRAFT_23, V1, DRAFT_29],
        0x5130_3530..=0x5130_3539 => &[Q050],
        0x5430_3530 => &[T050],
        0x5430_3531..=0x5430_3539 => &[T051],
        _ => &[V1, DRAFT_29, V2, DRAFT_23, DRAFT_22],
    }
}

/// Keys of what one end sends.
pub(super) struct Keys {
    aead: Aes128Gcm,
    mask: Aes128,
    iv: [u8; 12],
}

impl Keys {
    /// Those of the client that follow from the connection id which it chose for the server.
    pub(super) fn of_client(keying: &Keying, connection_id: &[u8]) -> Option<Self> {
        Self::of(keying, connection_id, b"client in")
    }

    /// Those of the server that follow from the same id.
    pub(super) fn of_server(keying: &Keying, connection_id: &[u8]) -> Option<Self> {
        Self::of(keying, connection_id, b"server in")
    }

    fn of(keying: &Keying, connection_id: &[u8], label: &[u8]) -> Option<Self> {
        let (_, initial) = Hkdf::<Sha256>::extract(Some(&keying.salt), connection_id);
        let mut secret = [0; 32];
        expand(&initial, label, &mut secret)?;
        let secret = Hkdf::<Sha256>::from_prk(&secret).ok()?;
        let (mut key, mut iv, mut mask) = ([0; 16], [0; 12], [0; 16]);
        let labels: [&[u8]; 3] = if keying.is_second {
            [b"quicv2 key", b"quicv2 iv", b"quicv2 hp"]
        } else {
            [b"quic key", b"quic iv", b"quic hp"]
        };
        expand(&secret, labels[0], &mut key)?;
        expand(&secret, labels[1], &mut iv)?;
        expand(&secret, labels[2], &mut mask)?;
        Some(Self { aead: Aes128Gcm::new(&Array(key)), mask: Aes128::new(&Array(mask)), iv })
    }

    /// Takes protection off a packet: from its first byte to its end, with the packet number at `number_at`.
    /// Returns the frames, which lie in `buffer`; `None` where the keys are others.
    pub(super) fn open<'a>(
        &self,
        packet: &[u8],
        number_at: usize,
        buffer: &'a mut [u8; PACKET_BYTES_MAX],
    ) -> Option<&'a [u8]> {
        let sample = packet.get(number_at + 4..)?.first_chunk::<16>()?;
        let mut mask = Array(*sample);
        self.mask.encrypt_block(&mut mask);
        let buffer = buffer.get_mut(..packet.len())?;
        buffer.copy_from_slice(packet);
        let (header, _) = buffer.split_at_mut_checked(number_at + 4)?;
        let first = header.first_mut()?;
        *first ^= mask[0] & 0x0f;
        let number_len = usize::from(*first & 3) + 1;
        let mut nonce = self.iv;
        let number = header.get_mut(number_at..number_at + number_len)?;
        for (index, byte) in number.iter_mut().enumerate() {
            *byte ^= mask[1 + index];
            nonce[12 - number_len + index] ^= *byte;
        }
        let (header, sealed) = buffer.split_at_mut_checked(number_at + number_len)?;
        let (frames, tag) = sealed.split_at_mut_checked(sealed.len().checked_sub(TAG_BYTES)?)?;
        let tag = Array(*tag.first_chunk::<TAG_BYTES>()?);
        self.aead.decrypt_inout_detached(&Array(nonce), header, (&mut *frames).into(), &tag).ok()?;
        Some(frames)
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys")
    }
}

/// HKDF-Expand-Label without context (RFC 8446 7.1).
fn expand(secret: &Hkdf<Sha256>, label: &[u8], out: &mut [u8]) -> Option<()> {
    let mut info = [0; 32];
    let whole = 6 + label.len();
    info[..2].copy_from_slice(&(out.len() as u16).to_be_bytes());
    info[2] = whole as u8;
    info[3..9].copy_from_slice(b"tls13 ");
    info.get_mut(9..3 + whole)?.copy_from_slice(label);
    secret.expand(info.get(..4 + whole)?, out).ok()
}

#[cfg(test)]
impl Keys {
    /// The other way round, so that tests have packets to read.
    pub(super) fn seal(&self, header: &[u8], number: u32, frames: &[u8]) -> Vec<u8> {
        let mut nonce = self.iv;
        for (place, byte) in nonce[8..].iter_mut().zip(number.to_be_bytes()) {
            *place ^= byte;
        }
        let header = [header, &number.to_be_bytes()].concat();
        let mut sealed = frames.to_vec();
        let tag = self.aead.encrypt_inout_detached(&Array(nonce), &header, sealed.as_mut_slice().into());
        sealed.extend_from_slice(&tag.expect("frames of a test are short"));
        let number_at = header.len() - 4;
        let mut packet = [header, sealed].concat();
        let mut mask = Array(*packet[number_at + 4..].first_chunk::<16>().expect("a tag is as long"));
        self.mask.encrypt_block(&mut mask);
        packet[0] ^= mask[0] & 0x0f;
        for (index, byte) in packet[number_at..number_at + 4].iter_mut().enumerate() {
            *byte ^= mask[1 + index];
        }
        packet
    }

    /// Keys of version 1.
    pub(super) fn of_test(connection_id: &[u8]) -> Self {
        Self::of_client(&V1, connection_id).expect("lengths are constant")
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;

    #[test]
    fn keys_are_those_of_the_rfc() {
        // RFC 9001 A.1 and A.2: the packet's header before and after protection.
        let id = [0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08];
        let keys = Keys::of_client(&V1, &id).unwrap();
        assert_eq!(keys.iv, [0xfa, 0x04, 0x4b, 0x2f, 0x42, 0xa3, 0xfd, 0x3b, 0x46, 0xfb, 0x25, 0x5c]);
        let sample =
            [0xd1, 0xb1, 0xc9, 0x8d, 0xd7, 0x68, 0x9f, 0xb8, 0xec, 0x11, 0xd2, 0x42, 0xb1, 0x23, 0xdc, 0x9b];
        let mut mask = Array(sample);
        keys.mask.encrypt_block(&mut mask);
        assert_eq!(mask[..5], [0x43, 0x7b, 0x9a, 0xec, 0x36]);
        // RFC 9369 A.1
        let keys = Keys::of_client(&V2, &id).unwrap();
        assert_eq!(keys.iv, [0x91, 0xf7, 0x3e, 0x23, 0x51, 0xd8, 0xfa, 0x91, 0x66, 0x0e, 0x90, 0x9f]);
    }

    #[test]
    fn what_was_sealed_is_opened_and_nothing_else() {
        let keys = Keys::of_client(&DRAFT_29, b"12345678").unwrap();
        let packet = keys.seal(&[0xc3, 0xff, 0, 0, 29, 0, 0, 0], 5, &[6, 0, 2, 1, 1, 0, 0, 0]);
        let mut buffer = [0; PACKET_BYTES_MAX];
        assert_eq!(keys.open(&packet, 8, &mut buffer), Some(&[6, 0, 2, 1, 1, 0, 0, 0][..]));
        let other = Keys::of_client(&DRAFT_29, b"12345679").unwrap();
        assert_eq!(other.open(&packet, 8, &mut buffer), None);
        for len in 0..packet.len() {
            assert_eq!(keys.open(&packet[..len], 8, &mut buffer), None);
        }
    }
}
