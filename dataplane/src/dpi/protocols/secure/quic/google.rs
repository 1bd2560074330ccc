//! What does the hello of Google's own QUIC say? A table of tags in clear, `CHLO`, up to version Q049.
//!
//! ```text
//! message: CHLO | tags (2, little-endian) | 0 0 | tags times: name (4) | end of its value (4, LE) | values
//! ```
//!
//! "QUIC Crypto" (Langley, Chang), and Chromium's `crypto_framer.cc`.

use md5::{Digest, Md5};

use crate::dpi::fingerprint::Text;

/// Tags of one message; Chromium's own bound.
const TAGS_MAX: usize = 128;

/// Bytes of a packet in which the message begins: header, hash and frame stand before it.
const BEFORE_MAX: usize = 80;

/// A message of the handshake.
#[derive(Debug, Clone, Copy)]
pub(super) struct Message<'a> {
    /// Names and ends.
    table: &'a [u8],
    values: &'a [u8],
}

/// Finds the client's hello in a packet that is not encrypted.
pub(super) fn find(packet: &[u8]) -> Option<&[u8]> {
    let head = &packet[..packet.len().min(BEFORE_MAX)];
    let at = head.windows(4).position(|window| window == b"CHLO")?;
    packet.get(at..)
}

/// Whether a packet of a server begins the handshake: a rejection, or its hello.
pub(super) fn is_from_server(packet: &[u8]) -> bool {
    let head = &packet[..packet.len().min(BEFORE_MAX)];
    let is_tag = |window: &[u8]| {
        (window.starts_with(b"REJ\0") || window.starts_with(b"SHLO"))
            && (1..=TAGS_MAX as u8).contains(&window[4])
            && window[5..8] == [0, 0, 0]
            && window[8].is_ascii_uppercase()
    };
    head.windows(9).any(is_tag)
}

impl<'a> Message<'a> {
    /// Reads a message from its name on; values may be cut short.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(b"CHLO")?;
        let (head, rest) = rest.split_first_chunk::<4>()?;
        let tags = usize::from(u16::from_le_bytes([head[0], head[1]]));
        if tags > TAGS_MAX {
            return None;
        }
        let (table, values) = rest.split_at_checked(8 * tags)?;
        Some(Self { table, values })
    }

    /// Name and value of each tag.
    pub(super) fn tags(self) -> impl Iterator<Item = ([u8; 4], &'a [u8])> {
        let mut start = 0;
        self.table.chunks_exact(8).map(move |entry| {
            let name = [entry[0], entry[1], entry[2], entry[3]];
            let end = u32::from_le_bytes([entry[4], entry[5], entry[6], entry[7]]) as usize;
            let value = self.values.get(start..end.min(self.values.len())).unwrap_or_default();
            start = end;
            (name, value)
        })
    }

    /// The value of one tag.
    pub(super) fn get(self, name: [u8; 4]) -> Option<&'a [u8]> {
        self.tags().find(|(tag, _)| *tag == name).map(|(_, value)| value).filter(|value| !value.is_empty())
    }

    /// CYU: the fingerprint over version and names of tags, as text and as its MD5
    /// (engineering.salesforce.com, "GQUIC Protocol Analysis and Fingerprinting in Zeek").
    pub(super) fn cyu(self, version: u32) -> (Text<32>, Text<1_024>) {
        let mut string = Text::default();
        let [_, _, tens, ones] = version.to_be_bytes();
        string.push(&[tens, ones, b',']);
        for (index, (name, _)) in self.tags().enumerate() {
            if index > 0 {
                string.push(b"-");
            }
            let len = name.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            string.push(&name[..len]);
        }
        let mut hash = Text::default();
        hash.push_hex(&Md5::digest(string.as_bytes()));
        (hash, string)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;

    #[test]
    fn tags_have_the_values_between_their_ends() {
        let message =
            [&b"CHLO\x03\0\0\0PAD\0\x02\0\0\0SNI\0\x0b\0\0\0UAID\x0e\0\0\0--a.exampleabc"[..], &[0; 4]]
                .concat();
        let packet = [&[0x0d, 1, 2, 3][..], &message].concat();
        let read = Message::read(find(&packet).unwrap()).unwrap();
        assert_eq!(read.get(*b"SNI\0"), Some(&b"a.example"[..]));
        assert_eq!(read.get(*b"UAID"), Some(&b"abc"[..]));
        assert_eq!(read.get(*b"VER\0"), None);
        assert_eq!(read.cyu(0x5130_3433).1.as_bytes(), b"43,PAD-SNI-UAID");
        for len in 0..message.len() {
            if let Some(cut) = Message::read(&message[..len]) {
                let _ = (cut.get(*b"SNI\0"), cut.tags().count());
            }
        }
        // Ends that lie.
        let lying = b"CHLO\x02\0\0\0PAD\0\xff\xff\xff\xffSNI\0\x01\0\0\0xx";
        assert_eq!(Message::read(lying).unwrap().get(*b"SNI\0"), None);
    }

    #[test]
    fn the_fingerprint_is_the_published_one() {
        let names = "PAD-SNI-STK-VER-CCS-NONC-AEAD-UAID-SCID-TCID-PDMD-SMHL-ICSL-NONP-PUBS-MIDS-SCLS-KEXS-XLCT-CSCT-\
                     COPT-CCRT-IRTT-CFCW-SFCW";
        let table: Vec<u8> = names
            .split('-')
            .flat_map(|name| {
                let mut entry = [0; 8];
                entry[..name.len()].copy_from_slice(name.as_bytes());
                entry
            })
            .collect();
        let message = [b"CHLO\x19\0\0\0", &table[..]].concat();
        let (hash, _) = Message::read(&message).unwrap().cyu(0x5130_3436);
        assert_eq!(hash.as_bytes(), b"a46560d4548108cf99308319b3b85346");
    }
}
