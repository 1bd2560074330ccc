//! SSH: which software is at both ends, and how does it introduce itself? (RFC 4253; HASSH)
//!
//! Both banners and both KEXINIT messages are read, then nothing more: what follows is encrypted.

mod weak;

use md5::{Digest, Md5};

use crate::dpi::cursor::Cursor;
use crate::dpi::parser::{Context, Parser, Step};
use crate::dpi::text::find;
use crate::dpi::{Category, Fields, First, HintKind, Kept, Match, Over, Peek, Probe, Protocol, Risk, Shown};
use crate::flow::Direction;
use crate::rules::detect::Message;

/// SSH.
pub static SSH: Protocol = Protocol {
    name: "ssh",
    eve: None,
    category: Category::RemoteAccess,
    probes: &[
        Probe { over: Over::Tcp, first: First::Of(b"S"), look },
        Probe { over: Over::Tcp, first: First::In(b' ', b'~'), look: look_after_text },
    ],
    parser: Some(|| Box::<Greetings>::default()),
};

fn look(peek: &Peek<'_>) -> Match {
    match peek.bytes {
        [b'S', b'S', b'H', b'-', version, ..] => Match::sure(version.is_ascii_digit()),
        short => {
            if b"SSH-".starts_with(short) {
                Match::More
            } else {
                Match::No
            }
        }
    }
}

/// RFC 4253 4.2: a server may send other lines before its banner.
fn look_after_text(peek: &Peek<'_>) -> Match {
    if !peek.has_port(22) || peek.way == Direction::Forward || peek.bytes.starts_with(b"S") {
        return Match::No;
    }
    match find(peek.bytes, b"\nSSH-") {
        Some(_) => Match::Yes(92),
        None if peek.bytes.len() < 2_048 => Match::More,
        None => Match::No,
    }
}

/// Longest line before and including the banner that is waited for.
const BANNER_BYTES_MAX: usize = 4_096;
/// A KEXINIT longer than this gives no HASSH.
const KEXINIT_BYTES_MAX: usize = 16_384;
const KEXINIT: u8 = 20;
const NEWKEYS: u8 = 21;

/// What records (RFC 4253 6) are to rules, and bytes of their header: length, padding, the message's number.
const RECORD: Message = Message::of("ssh", "record.pdu", "record.hdr", "record.data");
const RECORD_HEADER_BYTES: usize = 6;
/// RFC 4253 6.1.
const RECORD_BYTES_MAX: u32 = 35_000;

#[derive(Default)]
struct Greetings {
    ends: [End; 2],
    /// Its number, since a banner came.
    transaction: Option<u32>,
    is_told: bool,
}

#[derive(Default)]
struct End {
    protocol: Kept,
    software: Kept,
    hassh: Option<([u8; 32], Kept)>,
    has_banner: bool,
    is_over: bool,
    /// Records can no longer be told apart.
    is_opaque: bool,
}

impl Parser for Greetings {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        let end = &mut self.ends[way as usize];
        let before = (end.has_banner, end.hassh.is_some());
        let wants_records = cx.rules.wants_any_frame();
        let used = if end.is_over {
            if wants_records { end.record(way, bytes, cx) } else { bytes.len() }
        } else if end.has_banner {
            let used = end.kexinit(way, bytes);
            if used > RECORD_HEADER_BYTES && wants_records {
                tell_record(way, bytes, used, cx);
            }
            used
        } else {
            end.banner(bytes, cx)
        };
        if before != (end.has_banner, end.hassh.is_some()) {
            let transaction = *self.transaction.get_or_insert_with(|| cx.begin_transaction());
            cx.tell_rules_early("ssh", way, transaction, |ssh| write(&self.ends, ssh));
        }
        if self.ends.iter().all(|end| end.is_over) {
            self.tell(cx);
            if !wants_records || self.ends.iter().all(|end| end.is_opaque) {
                return Step::Done;
            }
            if used == 0 && self.ends[way as usize].is_over && !bytes.is_empty() {
                return Step::Consumed(self.ends[way as usize].record(way, bytes, cx));
            }
        }
        Step::Consumed(used)
    }

    fn gap(&mut self, way: Direction, _len: u64, cx: &mut Context<'_>) -> Step {
        self.ends[way as usize].is_over = true;
        self.ends[way as usize].is_opaque = true;
        if self.ends.iter().all(|end| end.is_over) {
            self.tell(cx);
            return Step::Done;
        }
        Step::Consumed(0)
    }

    fn end(&mut self, cx: &mut Context<'_>) {
        self.tell(cx);
    }

    fn describe(&self, _transaction: u32, to: &mut Fields) -> Option<&'static str> {
        write(&self.ends, to);
        Some("ssh")
    }

    fn start_over(&mut self) -> bool {
        *self = Self::default();
        true
    }
}

impl End {
    fn banner(&mut self, bytes: &[u8], cx: &mut Context<'_>) -> usize {
        let Some(len) = bytes.iter().position(|byte| *byte == b'\n') else {
            self.is_over = bytes.len() > BANNER_BYTES_MAX;
            if self.is_over {
                cx.anomaly("long_banner");
            }
            self.is_opaque = self.is_over;
            return 0;
        };
        let line = bytes.get(..len).unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if let Some(text) = line.strip_prefix(b"SSH-") {
            self.has_banner = true;
            let dash = text.iter().position(|byte| *byte == b'-').unwrap_or(text.len());
            let (version, software) = text.split_at_checked(dash).unwrap_or((text, &[]));
            let software = software.get(1..).unwrap_or_default();
            // RFC 4253 4.2: comments follow after a blank.
            let blank = software.iter().position(|byte| *byte == b' ').unwrap_or(software.len());
            let software = software.get(..blank.min(255)).unwrap_or_default();
            self.protocol = version.get(..16).unwrap_or(version).into();
            self.software = software.into();
            cx.hint(HintKind::Server, software);
            // RFC 4253 5.1: 1.99 stands for a server of version 2 that knows the old one too.
            if version.starts_with(b"1.") && version != b"1.99" {
                cx.risk(Risk::ObsoleteVersion, format_args!("SSH-{}", Shown(version)));
                (self.is_over, self.is_opaque) = (true, true);
            }
        } else if !line.is_ascii() || line.len() > BANNER_BYTES_MAX {
            cx.anomaly("invalid_banner");
            (self.is_over, self.is_opaque) = (true, true);
        }
        len + 1
    }

    /// A record behind the first one, of which rules are told until keys are in use. Returns its bytes.
    fn record(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> usize {
        if self.is_opaque {
            return bytes.len();
        }
        let mut at = Cursor::new(bytes);
        let (Some(len), Some(_padding), Some(kind)) = (at.be32(), at.u8(), at.u8()) else { return 0 };
        self.is_opaque = kind == NEWKEYS || !(2..=RECORD_BYTES_MAX).contains(&len);
        if !(2..=RECORD_BYTES_MAX).contains(&len) {
            return bytes.len();
        }
        let whole = 4 + len as usize;
        tell_record(way, bytes, whole, cx);
        whole
    }

    fn kexinit(&mut self, way: Direction, bytes: &[u8]) -> usize {
        let mut at = Cursor::new(bytes);
        let (Some(len), Some(_padding), Some(kind)) = (at.be32(), at.u8(), at.u8()) else { return 0 };
        let whole = (len as usize).saturating_add(4);
        if whole > KEXINIT_BYTES_MAX || kind != KEXINIT {
            self.is_over = true;
            return 0;
        }
        if bytes.len() < whole {
            return 0;
        }
        self.hassh = at.take(16).and_then(|_cookie| hassh(at, way));
        self.is_over = true;
        whole
    }
}

fn tell_record(way: Direction, bytes: &[u8], len: usize, cx: &mut Context<'_>) {
    let data = len.saturating_sub(RECORD_HEADER_BYTES) as u64;
    cx.rules.message(way, &RECORD, bytes, RECORD_HEADER_BYTES, data);
}

/// HASSH: MD5 of key exchange, encryption, MAC and compression of the sender's own direction.
fn hassh(mut at: Cursor<'_>, way: Direction) -> Option<([u8; 32], Kept)> {
    let mut lists = [&[][..]; 8];
    for list in &mut lists {
        let len = at.be32()?;
        *list = at.take(len as usize)?;
    }
    let [kex, _host_keys, to_server @ ..] = lists;
    let [cipher_c, cipher_s, mac_c, mac_s, compression_c, compression_s] = to_server;
    let (cipher, mac, compression) = match way {
        Direction::Forward => (cipher_c, mac_c, compression_c),
        Direction::Reverse => (cipher_s, mac_s, compression_s),
    };
    let (mut digest, mut text) = (Md5::new(), Kept::new());
    for (index, list) in [kex, cipher, mac, compression].into_iter().enumerate() {
        for part in [if index > 0 { &b";"[..] } else { &[] }, list] {
            digest.update(part);
            // Without room the text is cut, and the hash is right still.
            text.extend(part);
        }
    }
    let mut hex = [0; 32];
    for (pair, byte) in hex.chunks_exact_mut(2).zip(digest.finalize()) {
        pair[0] = HEX[usize::from(byte >> 4)];
        pair[1] = HEX[usize::from(byte & 15)];
    }
    Some((hex, text))
}

const HEX: &[u8; 16] = b"0123456789abcdef";

impl Greetings {
    fn tell(&mut self, cx: &mut Context<'_>) {
        let Some(transaction) = self.transaction.filter(|_| !self.is_told) else { return };
        self.is_told = true;
        if let [Some((_, client)), Some((_, server))] = self.ends.each_ref().map(|end| end.hassh.as_ref()) {
            weak::note(client, server, cx);
        }
        cx.tell_of_with(transaction, "ssh", Direction::Reverse, |ssh| write(&self.ends, ssh));
    }
}

/// What both ends have said so far.
fn write(ends: &[End; 2], ssh: &mut Fields) {
    for (name, end) in ["client", "server"].into_iter().zip(ends) {
        if !end.has_banner {
            continue;
        }
        ssh.object(name, |object| {
            object.text("proto_version", &end.protocol);
            object.text("software_version", &end.software);
            if let Some((hash, string)) = &end.hassh {
                object.object("hassh", |hassh| {
                    hassh.text("hash", hash);
                    hassh.text("string", string);
                });
            }
        });
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;

    fn lists() -> Vec<u8> {
        let mut bytes = Vec::new();
        for list in ["k", "h", "ec", "es", "mc", "ms", "cc", "cs", "", ""] {
            bytes.extend_from_slice(&(list.len() as u32).to_be_bytes());
            bytes.extend_from_slice(list.as_bytes());
        }
        bytes
    }

    #[test]
    fn hassh_takes_the_lists_of_the_senders_direction() {
        let bytes = lists();
        let (hash, text) = hassh(Cursor::new(&bytes), Direction::Forward).unwrap();
        assert_eq!(&*text, b"k;ec;mc;cc");
        // md5("k;ec;mc;cc")
        assert_eq!(hash.len(), 32);
        let (_, text) = hassh(Cursor::new(&bytes), Direction::Reverse).unwrap();
        assert_eq!(&*text, b"k;es;ms;cs");
        for len in 0..30 {
            assert!(hassh(Cursor::new(&bytes[..len]), Direction::Forward).is_none());
        }
    }
}
