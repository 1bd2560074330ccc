//! Which command of which database is run? MongoDB's wire protocol (manual, "MongoDB Wire Protocol"; BSON 1.1).
//!
//! Told as `mongodb`, a record a message; Suricata has no such record.

use crate::dpi::cursor::Cursor;
use crate::dpi::{Context, Fields, HintKind, Parser, Step};
use crate::flow::Direction;

/// Messages of a flow that are told.
const MESSAGES_MAX: u8 = 64;

/// Bytes of a message that are waited for; what lies behind is documents.
const HEAD_BYTES_MAX: usize = 2_048;

/// MongoDB refuses longer ones (`maxMessageSizeBytes`).
const MESSAGE_BYTES_MAX: u32 = 48_000_000;

/// Elements of a document that are looked at.
const ELEMENTS_MAX: usize = 32;

const HEADER_BYTES: usize = 16;

/// Reads the messages of one flow.
#[derive(Default)]
pub(super) struct Commands {
    told: u8,
}

impl Parser for Commands {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        let Some(header) = Header::read(bytes) else { return Step::Consumed(0) };
        if !(HEADER_BYTES as u32..=MESSAGE_BYTES_MAX).contains(&header.len) {
            cx.anomaly("invalid_length");
            return Step::Done;
        }
        let len = header.len as usize;
        let Some(body) = bytes.get(HEADER_BYTES..len.min(HEAD_BYTES_MAX)) else { return Step::Consumed(0) };
        let Some(message) = Message::read(header.operation, body) else {
            cx.anomaly("malformed_data");
            return Step::Done;
        };
        if let Some(app) = message.app {
            cx.hint(HintKind::UserAgent, app);
        }
        cx.tell_with("mongodb", way, |fields| {
            fields.number("request_id", header.request);
            if header.answers != 0 {
                fields.number("response_to", header.answers);
            }
            message.write(fields);
        });
        self.told += 1;
        if self.told >= MESSAGES_MAX { Step::Done } else { Step::Consumed(len) }
    }

    fn gap(&mut self, _way: Direction, _len: u64, _cx: &mut Context<'_>) -> Step {
        Step::Done
    }

    fn start_over(&mut self) -> bool {
        *self = Self::default();
        true
    }
}

/// The header of every message.
struct Header {
    len: u32,
    request: u32,
    answers: u32,
    operation: u32,
}

impl Header {
    fn read(bytes: &[u8]) -> Option<Self> {
        let mut at = Cursor::new(bytes);
        Some(Self { len: at.le32()?, request: at.le32()?, answers: at.le32()?, operation: at.le32()? })
    }
}

/// What its head says.
#[derive(Default)]
struct Message<'a> {
    operation: &'static str,
    command: Option<&'a [u8]>,
    collection: Option<&'a [u8]>,
    database: Option<&'a [u8]>,
    /// Of a driver that introduces itself.
    app: Option<&'a [u8]>,
    is_ok: Option<bool>,
    error: Option<&'a [u8]>,
}

impl<'a> Message<'a> {
    fn read(operation: u32, body: &'a [u8]) -> Option<Self> {
        let mut at = Cursor::new(body);
        let mut message = Self { operation: name_of(operation)?, ..Self::default() };
        match operation {
            2013 => {
                at.le32()?;
                // Sections: a document, or lists of documents with a name.
                while let Some(kind) = at.u8() {
                    match kind {
                        0 => {
                            message.document(at.rest());
                            break;
                        }
                        _ => {
                            let len = at.le32()? as usize;
                            if at.skip(len.checked_sub(4)?).is_none() {
                                break;
                            }
                        }
                    }
                }
            }
            2004 => {
                at.le32()?;
                let name = at.until_zero()?;
                let dot = name.iter().position(|byte| *byte == b'.')?;
                message.database = Some(&name[..dot]);
                at.skip(8)?;
                if &name[dot + 1..] == b"$cmd" {
                    message.document(at.rest());
                } else {
                    message.command = Some(b"query");
                    message.collection = Some(&name[dot + 1..]);
                }
            }
            1 => {
                // Flags, cursor, start, count, documents.
                at.skip(20)?;
                message.document(at.rest());
            }
            _ => {}
        }
        Some(message)
    }

    /// A command is the name of its document's first element, an answer says how it went.
    fn document(&mut self, bytes: &'a [u8]) {
        let mut at = Cursor::new(bytes);
        if at.le32().is_none() {
            return;
        }
        for nth in 0..ELEMENTS_MAX {
            let Some(element) = Element::read(&mut at) else { return };
            match (element.name, element.value) {
                (b"ok", Value::Number(ok)) => self.is_ok = Some(ok != 0),
                (b"errmsg", Value::Text(text)) => self.error = Some(text),
                (b"$db", Value::Text(text)) => self.database = Some(text),
                (b"client", Value::Document(client)) => self.app = app_of(client),
                (name, value) if nth == 0 => {
                    self.command = Some(name);
                    if let Value::Text(text) = value {
                        self.collection = Some(text);
                    }
                }
                _ => {}
            }
        }
    }

    fn write(&self, fields: &mut Fields) {
        fields.text("operation", self.operation);
        // The first element of an answer is one of its parts, not a command.
        if self.is_ok.is_none() {
            fields.text_if("command", self.command);
            fields.text_if("collection", self.collection);
        }
        fields.text_if("database", self.database);
        fields.text_if("app_name", self.app);
        if let Some(is_ok) = self.is_ok {
            fields.bool("ok", is_ok);
        }
        fields.text_if("error", self.error);
    }
}

/// `client.application.name` of a handshake.
fn app_of(client: &[u8]) -> Option<&[u8]> {
    let application = document_in(client, b"application")?;
    let mut at = Cursor::new(application);
    match Element::read(&mut at)? {
        Element { name: b"name", value: Value::Text(name) } => Some(name),
        _ => None,
    }
}

/// The document `wanted` among the elements of another.
fn document_in<'a>(elements: &'a [u8], wanted: &[u8]) -> Option<&'a [u8]> {
    let mut at = Cursor::new(elements);
    (0..ELEMENTS_MAX).map_while(|_| Element::read(&mut at)).find_map(|element| match element.value {
        Value::Document(inner) if element.name == wanted => Some(inner),
        _ => None,
    })
}

struct Element<'a> {
    name: &'a [u8],
    value: Value<'a>,
}

enum Value<'a> {
    Text(&'a [u8]),
    /// Its elements.
    Document(&'a [u8]),
    Number(i64),
    Other,
}

impl<'a> Element<'a> {
    /// The next one; `None` at the end, where it is cut off, and where its kind is unknown.
    fn read(at: &mut Cursor<'a>) -> Option<Self> {
        let kind = at.u8().filter(|kind| *kind != 0)?;
        let name = at.until_zero()?;
        let value = match kind {
            0x01 => Value::Number(f64::from_bits(at.le64()?) as i64),
            0x02 | 0x0d | 0x0e => {
                let len = at.le32()? as usize;
                Value::Text(at.take(len)?.strip_suffix(b"\0")?)
            }
            0x03 | 0x04 => {
                let len = at.le32()? as usize;
                // Cut off with the head of the message: what is there is read.
                let inner = len.checked_sub(4)?;
                match at.take(inner) {
                    Some(inner) => Value::Document(inner),
                    None => {
                        let rest = at.rest();
                        at.skip(rest.len())?;
                        Value::Document(rest)
                    }
                }
            }
            0x05 => {
                let len = at.le32()? as usize;
                at.skip(len.checked_add(1)?)?;
                Value::Other
            }
            0x07 => at.skip(12).map(|()| Value::Other)?,
            0x08 => Value::Number(i64::from(at.u8()?)),
            0x09 | 0x11 => at.skip(8).map(|()| Value::Other)?,
            0x06 | 0x0a | 0x7f | 0xff => Value::Other,
            0x0b => {
                at.until_zero()?;
                at.until_zero()?;
                Value::Other
            }
            0x10 => Value::Number(i64::from(at.le32()? as i32)),
            0x12 => Value::Number(at.le64()? as i64),
            0x13 => at.skip(16).map(|()| Value::Other)?,
            _ => return None,
        };
        Some(Self { name, value })
    }
}

const fn name_of(operation: u32) -> Option<&'static str> {
    Some(match operation {
        1 => "reply",
        2001 => "update",
        2002 => "insert",
        2004 => "query",
        2005 => "get_more",
        2006 => "delete",
        2007 => "kill_cursors",
        2010 => "command",
        2011 => "command_reply",
        2012 => "compressed",
        2013 => "msg",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpi::fields;

    fn texts(operation: u32, body: &[u8]) -> Option<Vec<String>> {
        let mut out = Fields::new();
        Message::read(operation, body)?.write(&mut out);
        let text = |(key, value): (&str, fields::Value<'_>)| match value {
            fields::Value::Text(text) => Some(format!("{key}={}", String::from_utf8_lossy(text))),
            fields::Value::Bool(truth) => Some(format!("{key}={truth}")),
            _ => None,
        };
        Some(out.iter().filter_map(text).collect())
    }

    const FIND: &[u8] = b"\0\0\0\0\0\x26\0\0\0\x02find\0\x06\0\0\0users\0\x02$db\0\x05\0\0\0shop\0\0";
    const HELLO: &[u8] = b"\0\0\0\0admin.$cmd\0\0\0\0\0\xff\xff\xff\xff\x4a\0\0\0\x10isMaster\0\x01\0\0\0\
        \x03client\0\x2c\0\0\0\x03application\0\x14\0\0\0\x02name\0\x05\0\0\0site\0\0\0\0";
    const FAILED: &[u8] = b"\0\0\0\0\0\x27\0\0\0\x01ok\0\0\0\0\0\0\0\0\0\x02errmsg\0\x08\0\0\0no auth\0\0";

    #[test]
    fn commands_and_answers_are_told() {
        assert_eq!(
            texts(2013, FIND),
            Some(
                ["operation=msg", "command=find", "collection=users", "database=shop"]
                    .map(String::from)
                    .to_vec()
            )
        );
        assert_eq!(
            texts(2004, HELLO),
            Some(
                ["operation=query", "command=isMaster", "database=admin", "app_name=site"]
                    .map(String::from)
                    .to_vec()
            )
        );
        assert_eq!(
            texts(2013, FAILED),
            Some(["operation=msg", "ok=false", "error=no auth"].map(String::from).to_vec())
        );
        assert_eq!(texts(9, FIND), None);
    }

    #[test]
    fn what_is_cut_off_or_lies_does_no_harm() {
        for (operation, whole) in [(2013, FIND), (2004, HELLO), (2013, FAILED), (1, FAILED)] {
            for len in 0..whole.len() {
                let _ = texts(operation, &whole[..len]);
            }
            for at in 0..whole.len() {
                for value in [0, 1, 3, 0x7f, 0xff] {
                    let mut lying = whole.to_vec();
                    lying[at] = value;
                    let _ = texts(operation, &lying);
                }
            }
        }
    }
}
