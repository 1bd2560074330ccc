//! What does the body of a frame say? Strings, numbers and maps as native_protocol_v4.spec 3 writes them.

use super::Header;
use crate::dpi::Fields;
use crate::dpi::cursor::Cursor;
use crate::dpi::text::has_word;

pub(super) const STARTUP: u8 = 1;
pub(super) const READY: u8 = 2;
pub(super) const AUTHENTICATE: u8 = 3;
pub(super) const EVENT: u8 = 12;

/// Flags of a frame.
pub(super) const COMPRESSED: u8 = 0x01;
const TRACING: u8 = 0x02;
const CUSTOM_PAYLOAD: u8 = 0x04;
const WARNING: u8 = 0x08;

/// Bytes of a text that are told.
const TEXT_BYTES_MAX: usize = 256;

/// Entries of a map or list that are followed.
const ENTRIES_MAX: u16 = 64;

/// What else than fields a body has.
#[derive(Default)]
pub(super) struct Read {
    /// A password comes, or is asked for, in clear.
    pub is_password: bool,
    pub is_secret: bool,
    pub is_compressed: bool,
    /// A login was refused.
    pub is_refused: bool,
}

/// A body, as far as it has come: its end may be missing.
pub(super) struct Body<'a> {
    at: Cursor<'a>,
}

impl<'a> Body<'a> {
    /// Behind what flags put before it; `None`: compressed, or cut off.
    pub(super) fn behind_extras(flags: u8, bytes: &'a [u8], is_answer: bool) -> Option<Self> {
        if flags & COMPRESSED != 0 && !bytes.is_empty() {
            return None;
        }
        let mut at = Cursor::new(bytes);
        if is_answer && flags & TRACING != 0 {
            at.skip(16)?;
        }
        if is_answer && flags & WARNING != 0 {
            for _ in 0..at.be16()?.min(ENTRIES_MAX) {
                at.vec16()?;
            }
        }
        if flags & CUSTOM_PAYLOAD != 0 {
            for _ in 0..at.be16()?.min(ENTRIES_MAX) {
                at.vec16()?;
                at.vec32()?;
            }
        }
        Some(Self { at })
    }

    /// What a request asks; `None` where it cannot be read.
    pub(super) fn request(
        &mut self,
        header: &Header,
        wants_password: bool,
        fields: &mut Fields,
    ) -> Option<Read> {
        let mut read = Read::default();
        let at = &mut self.at;
        match header.operation {
            STARTUP => {
                for _ in 0..at.be16()?.min(ENTRIES_MAX) {
                    let (key, value) = (at.vec16()?, clip(at.vec16()?));
                    match key {
                        b"CQL_VERSION" => fields.text("cql_version", value),
                        b"COMPRESSION" => {
                            read.is_compressed = true;
                            fields.text("compression", value);
                        }
                        b"DRIVER_NAME" => fields.text("driver_name", value),
                        b"DRIVER_VERSION" => fields.text("driver_version", value),
                        b"APPLICATION_NAME" => fields.text("application_name", value),
                        b"CLIENT_ID" => fields.text("client_id", value),
                        _ => {}
                    }
                }
            }
            7 | 9 => {
                read.is_secret = self.query(header, fields)?;
                if header.operation == 7 {
                    fields.text_if("consistency", self.at.be16().and_then(consistency_name));
                }
            }
            10 => fields.hex("prepared_id", at.vec16()?),
            11 => {
                let count = at.be16()?.min(ENTRIES_MAX);
                fields.list("events", |list| {
                    for _ in 0..count {
                        list.text_if("", at.vec16().map(clip));
                    }
                });
            }
            13 => {
                let kind = at.u8()?;
                fields.text(
                    "batch_type",
                    match kind {
                        0 => "logged",
                        1 => "unlogged",
                        2 => "counter",
                        _ => return None,
                    },
                );
                let count = at.be16()?;
                fields.number("statements", count);
                match at.u8() {
                    Some(0) => read.is_secret = self.query(header, fields)?,
                    Some(1) => fields.hex("prepared_id", at.vec16()?),
                    Some(_) => return None,
                    None if count == 0 => {}
                    None => return None,
                }
            }
            15 => {
                let token = at.vec32().unwrap_or_default();
                read.is_password = wants_password;
                // RFC 4616: authorization, NUL, user, NUL, password.
                let mut parts = token.split(|byte| *byte == 0);
                if let (true, Some(_), Some(user), Some(_)) =
                    (wants_password, parts.next(), parts.next(), parts.next())
                {
                    fields.text("user", clip(user));
                }
            }
            _ => {}
        }
        Some(read)
    }

    /// The text of a statement, up to a password in it; whether there is one.
    fn query(&mut self, header: &Header, fields: &mut Fields) -> Option<bool> {
        let len = self.at.be32()? as usize;
        if len as u64 > u64::from(header.body) {
            return None;
        }
        let text = match self.at.take(len) {
            Some(text) => text,
            // Longer than what is waited for.
            None => self.at.take(self.at.rest().len())?,
        };
        const SECRET: &[u8] = b"PASSWORD";
        let is_secret = has_word(text, SECRET);
        let end = text.windows(SECRET.len()).position(|word| word.eq_ignore_ascii_case(SECRET));
        let shown = end.and_then(|end| text.get(..end + SECRET.len())).unwrap_or(text);
        fields.text("query", clip(shown));
        Some(is_secret)
    }

    /// What an answer says; `None` where it cannot be read.
    pub(super) fn answer(&mut self, header: &Header, is_secret: bool, fields: &mut Fields) -> Option<Read> {
        let mut read = Read::default();
        let at = &mut self.at;
        match header.operation {
            0 => {
                let (code, len) = (at.be32()?, usize::from(at.be16()?));
                let text = at.take(len.min(at.rest().len()).min(TEXT_BYTES_MAX))?;
                read.is_refused = code == 0x0100;
                fields.number("error_code", code);
                fields.text_if("error_name", error_name(code));
                if !is_secret {
                    fields.text("error", text);
                }
            }
            AUTHENTICATE => {
                let name = at.vec16()?;
                read.is_password = name.ends_with(b"PasswordAuthenticator");
                fields.text("authenticator", clip(name));
            }
            8 => self.result(fields)?,
            EVENT => {
                let kind = at.vec16()?;
                fields.text("event", clip(kind));
                fields.text("change", clip(at.vec16()?));
            }
            _ => {}
        }
        Some(read)
    }

    fn result(&mut self, fields: &mut Fields) -> Option<()> {
        let at = &mut self.at;
        let kind = at.be32()?;
        fields.text(
            "result",
            match kind {
                1 => "void",
                2 => "rows",
                3 => "set_keyspace",
                4 => "prepared",
                5 => "schema_change",
                _ => return None,
            },
        );
        match kind {
            2 => {
                let (flags, columns) = (at.be32()?, at.be32()?);
                fields.number("columns", columns);
                // What follows may be longer than what was waited for.
                let has_state = flags & 2 != 0;
                if has_state && at.vec32().is_none() {
                    return Some(());
                }
                match flags & 5 {
                    // All columns are of one table.
                    1 if flags & 8 == 0 => {
                        fields.text_if("keyspace", at.vec16().map(clip));
                        fields.text_if("table", at.vec16().map(clip));
                    }
                    4 | 5 => {
                        if let Some(rows) = at.be32() {
                            fields.number("rows", rows);
                        }
                    }
                    _ => {}
                }
            }
            3 => fields.text("keyspace", clip(at.vec16()?)),
            4 => fields.hex("prepared_id", at.vec16()?),
            5 => {
                fields.text("change", clip(at.vec16()?));
                fields.text("target", clip(at.vec16()?));
                fields.text_if("keyspace", at.vec16().map(clip));
            }
            _ => {}
        }
        Some(())
    }
}

fn clip(text: &[u8]) -> &[u8] {
    text.get(..TEXT_BYTES_MAX).unwrap_or(text)
}

pub(super) const fn request_name(operation: u8) -> Option<&'static str> {
    Some(match operation {
        1 => "STARTUP",
        4 => "CREDENTIALS",
        5 => "OPTIONS",
        7 => "QUERY",
        9 => "PREPARE",
        10 => "EXECUTE",
        11 => "REGISTER",
        13 => "BATCH",
        15 => "AUTH_RESPONSE",
        _ => return None,
    })
}

pub(super) const fn answer_name(operation: u8) -> Option<&'static str> {
    Some(match operation {
        0 => "ERROR",
        2 => "READY",
        3 => "AUTHENTICATE",
        6 => "SUPPORTED",
        8 => "RESULT",
        12 => "EVENT",
        14 => "AUTH_CHALLENGE",
        16 => "AUTH_SUCCESS",
        _ => return None,
    })
}

const fn consistency_name(consistency: u16) -> Option<&'static str> {
    Some(match consistency {
        0 => "any",
        1 => "one",
        2 => "two",
        3 => "three",
        4 => "quorum",
        5 => "all",
        6 => "local_quorum",
        7 => "each_quorum",
        8 => "serial",
        9 => "local_serial",
        10 => "local_one",
        _ => return None,
    })
}

/// native_protocol_v5.spec 9.
const fn error_name(code: u32) -> Option<&'static str> {
    Some(match code {
        0x0000 => "server_error",
        0x000a => "protocol_error",
        0x0100 => "bad_credentials",
        0x1000 => "unavailable",
        0x1001 => "overloaded",
        0x1002 => "is_bootstrapping",
        0x1003 => "truncate_error",
        0x1100 => "write_timeout",
        0x1200 => "read_timeout",
        0x1300 => "read_failure",
        0x1400 => "function_failure",
        0x1500 => "write_failure",
        0x1600 => "cdc_write_failure",
        0x1700 => "cas_write_unknown",
        0x2000 => "syntax_error",
        0x2100 => "unauthorized",
        0x2200 => "invalid",
        0x2300 => "config_error",
        0x2400 => "already_exists",
        0x2500 => "unprepared",
        _ => return None,
    })
}
