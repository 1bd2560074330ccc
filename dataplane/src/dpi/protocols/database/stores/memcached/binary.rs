//! memcached's binary protocol: a header of 24 bytes, extras, key, value (doc/protocol-binary.txt).

use super::{Asked, ERROR_BYTES_MAX, KEY_BYTES_MAX, Memcached, Read, VALUE_BYTES_MAX};
use crate::dpi::cursor::Cursor;
use crate::dpi::{Context, Kept, Risk, Shown};
use crate::flow::Direction;

const HEADER_BYTES: usize = 24;

/// A header.
struct Header {
    magic: u8,
    operation: u8,
    key: usize,
    extras: usize,
    /// Of an answer.
    status: u16,
    body: usize,
    opaque: u32,
}

impl Header {
    fn read(bytes: &[u8]) -> Option<Self> {
        let mut at = Cursor::new(bytes.get(..HEADER_BYTES)?);
        let (magic, operation, key, extras) = (at.u8()?, at.u8()?, at.be16()?, at.u8()?);
        at.skip(1)?;
        let (status, body, opaque) = (at.be16()?, at.be32()?, at.be32()?);
        Some(Self {
            magic,
            operation,
            key: usize::from(key),
            extras: usize::from(extras),
            status,
            body: body as usize,
            opaque,
        })
    }

    fn wrong(&self, magic: u8) -> Option<&'static str> {
        if self.magic != magic {
            Some("malformed_data")
        } else if self.key + self.extras > self.body || self.body as u64 > VALUE_BYTES_MAX {
            Some("invalid_length")
        } else if self.key > KEY_BYTES_MAX {
            Some("key_too_long")
        } else {
            None
        }
    }

    const fn len(&self) -> u64 {
        HEADER_BYTES as u64 + self.body as u64
    }
}

impl Memcached {
    pub(super) fn binary_request(&mut self, bytes: &[u8], cx: &mut Context<'_>) -> Read {
        let Some(header) = Header::read(bytes) else { return Read::Wait };
        if let Some(event) = header.wrong(0x80) {
            return Read::Bad(event);
        }
        let key_at = HEADER_BYTES + header.extras;
        let Some(key) = bytes.get(key_at..key_at + header.key) else { return Read::Wait };
        let Some((command, is_quiet)) = command_of(header.operation) else {
            cx.anomaly("unknown_command");
            return Read::Took(header.len());
        };
        // The key is the mechanism; what follows is a secret.
        if command == "sasl_auth" && key == b"PLAIN" {
            cx.risk(Risk::ClearTextCredentials, format_args!("memcached SASL {}", Shown(key)));
        }
        let bytes = matches!(command, "set" | "add" | "replace" | "append" | "prepend")
            .then(|| (header.body - header.extras - header.key) as u64);
        let (key, id) = (Kept::of(key), header.opaque);
        self.ask(Asked { form: "binary", command, key, keys: 0, bytes, is_quiet, id }, cx);
        Read::Took(header.len())
    }

    pub(super) fn binary_answer(&mut self, bytes: &[u8], cx: &mut Context<'_>) -> Read {
        let Some(header) = Header::read(bytes) else { return Read::Wait };
        if let Some(event) = header.wrong(0x81) {
            return Read::Bad(event);
        }
        let Some((command, _)) = command_of(header.operation) else { return Read::Took(header.len()) };
        let value = header.body - header.extras - header.key;
        let text = if header.status != 0 || command == "version" { value.min(ERROR_BYTES_MAX) } else { 0 };
        let value_at = HEADER_BYTES + header.extras + header.key;
        let Some(text) = bytes.get(value_at..value_at + text) else { return Read::Wait };
        // Statistics end with an empty one.
        if command == "stat" && header.status == 0 && header.key > 0 {
            return Read::Took(header.len());
        }
        let is_it = |asked: &Asked| asked.command == command && asked.id == header.opaque;
        let Some(place) = self.pending.iter().position(is_it) else { return Read::Took(header.len()) };
        // Quiet commands before it went as expected.
        for _ in 0..place {
            match self.pending.pop_front() {
                Some(asked) if asked.is_quiet => self.tell(&asked, Direction::Forward, cx),
                Some(asked) => self.pending.push_back(asked),
                None => {}
            }
        }
        let answer = &mut self.answer;
        answer.reply = status_of(header.status);
        match (header.status, command) {
            (0, "version") => answer.version = Kept::of(text),
            (0, "get" | "getk" | "gat" | "gatk") => {
                answer.hits = 1;
                answer.bytes = value as u64;
            }
            (0, _) => {}
            _ => answer.error = Kept::of(text),
        }
        if header.status == 0x20 && command.starts_with("sasl") {
            cx.risk(Risk::FailedLogin, format_args!("memcached SASL"));
        }
        self.answered(cx);
        Read::Took(header.len())
    }
}

/// The command, and whether it is the quiet form of it.
const fn command_of(operation: u8) -> Option<(&'static str, bool)> {
    Some(match operation {
        0x00 => ("get", false),
        0x01 => ("set", false),
        0x02 => ("add", false),
        0x03 => ("replace", false),
        0x04 => ("delete", false),
        0x05 => ("increment", false),
        0x06 => ("decrement", false),
        0x07 => ("quit", false),
        0x08 => ("flush", false),
        0x09 => ("get", true),
        0x0a => ("noop", false),
        0x0b => ("version", false),
        0x0c => ("getk", false),
        0x0d => ("getk", true),
        0x0e => ("append", false),
        0x0f => ("prepend", false),
        0x10 => ("stat", false),
        0x11 => ("set", true),
        0x12 => ("add", true),
        0x13 => ("replace", true),
        0x14 => ("delete", true),
        0x15 => ("increment", true),
        0x16 => ("decrement", true),
        0x17 => ("quit", true),
        0x18 => ("flush", true),
        0x19 => ("append", true),
        0x1a => ("prepend", true),
        0x1b => ("verbosity", false),
        0x1c => ("touch", false),
        0x1d => ("gat", false),
        0x1e => ("gat", true),
        0x20 => ("sasl_list_mechs", false),
        0x21 => ("sasl_auth", false),
        0x22 => ("sasl_step", false),
        0x23 => ("gatk", false),
        0x24 => ("gatk", true),
        _ => return None,
    })
}

const fn status_of(status: u16) -> &'static str {
    match status {
        0x00 => "success",
        0x01 => "key_not_found",
        0x02 => "key_exists",
        0x03 => "value_too_large",
        0x04 => "invalid_arguments",
        0x05 => "not_stored",
        0x06 => "delta_bad_value",
        0x07 => "wrong_vbucket",
        0x08 | 0x20 => "auth_error",
        0x09 | 0x21 => "auth_continue",
        0x81 => "unknown_command",
        0x82 => "out_of_memory",
        0x83 => "not_supported",
        0x84 => "internal_error",
        0x85 => "busy",
        0x86 => "temporary_failure",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use crate::dpi::feed::samples::records_of;
    use crate::dpi::protocols::database::stores::MEMCACHED;
    use crate::flow::Direction::{Forward as C, Reverse as S};

    fn message(magic: u8, operation: u8, status: u8, opaque: u8, parts: [&[u8]; 3]) -> Vec<u8> {
        let [extras, key, value] = parts;
        let body = (extras.len() + key.len() + value.len()) as u8;
        let mut bytes =
            vec![magic, operation, 0, key.len() as u8, extras.len() as u8, 0, 0, status, 0, 0, 0, body];
        bytes.extend([0, 0, 0, opaque]);
        bytes.extend([0; 8]);
        [&bytes[..], extras, key, value].concat()
    }

    #[test]
    fn commands_meet_their_answers_by_their_number() {
        let client = [
            message(0x80, 0x01, 0, 1, [&[0; 8], b"k1", b"value"]),
            message(0x80, 0x09, 0, 2, [b"", b"absent", b""]),
            message(0x80, 0x00, 0, 3, [b"", b"k1", b""]),
            message(0x80, 0x00, 0, 4, [b"", b"k2", b""]),
            message(0x80, 0x10, 0, 5, [b"", b"", b""]),
            message(0x80, 0x0b, 0, 6, [b"", b"", b""]),
        ]
        .concat();
        let server = [
            message(0x81, 0x01, 0, 1, [b"", b"", b""]),
            message(0x81, 0x00, 0, 3, [&[0; 4], b"", b"value"]),
            message(0x81, 0x00, 1, 4, [b"", b"", b"Not found"]),
            message(0x81, 0x10, 0, 5, [b"", b"pid", b"7"]),
            message(0x81, 0x10, 0, 5, [b"", b"", b""]),
            message(0x81, 0x0b, 0, 6, [b"", b"", b"1.6.18"]),
        ]
        .concat();
        let expected = [
            "memcached protocol=binary command=set key=k1 bytes=5 reply=success",
            "memcached protocol=binary command=get key=absent",
            "memcached protocol=binary command=get key=k1 reply=success hits=1 bytes=5",
            "memcached protocol=binary command=get key=k2 reply=key_not_found error=Not found",
            "memcached protocol=binary command=stat reply=success",
            "memcached protocol=binary command=version reply=success version=1.6.18",
        ];
        for size in [1, 3, 30, 1_000] {
            let pieces: Vec<_> =
                client.chunks(size).map(|c| (C, c)).chain(server.chunks(size).map(|s| (S, s))).collect();
            assert_eq!(records_of(&MEMCACHED, &pieces), expected, "{size}");
        }
    }

    #[test]
    fn secrets_are_not_told_and_lies_have_a_name() {
        let login = message(0x80, 0x21, 0, 1, [b"", b"PLAIN", b"\0joe\0secret"]);
        let refused = message(0x81, 0x21, 0x20, 1, [b"", b"", b"Auth failure"]);
        assert_eq!(
            records_of(&MEMCACHED, &[(C, &login), (S, &refused)]),
            ["memcached protocol=binary command=sasl_auth key=PLAIN reply=auth_error error=Auth failure"]
        );
        let mut lying = login;
        lying[3] = 0xff;
        assert!(records_of(&MEMCACHED, &[(C, &lying)])[0].contains("invalid_length"));
        assert!(records_of(&MEMCACHED, &[(C, &refused)])[0].contains("malformed_data"));
    }
}
