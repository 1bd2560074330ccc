//! Who says what of itself to a log? Syslog messages (RFC 5424, RFC 3164), one a datagram or framed in a stream (RFC 6587).
//!
//! Told as `syslog`; Suricata has no such record.

use crate::dpi::text::decimal;
use crate::dpi::{Context, Fields, HostKind, Parser, Step};
use crate::flow::Direction;

/// Messages of a flow that are told: a log server needs no second log.
const MESSAGES_MAX: u8 = 16;

/// Bytes of a message that are told.
const TEXT_BYTES_MAX: usize = 256;

/// A message of a stream that is longer is not waited for (RFC 5425 4.3.1 asks for 8,192).
const FRAME_BYTES_MAX: usize = 16 * 1024;

/// Reads the messages of one flow.
#[derive(Default)]
pub(super) struct Log {
    told: u8,
}

impl Parser for Log {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        if cx.flow.protocol != crate::parse::Protocol::TCP {
            return self.message(way, bytes, bytes.len(), cx);
        }
        match frame(bytes) {
            Framed::Whole(message, len) => self.message(way, message, len, cx),
            Framed::Part if bytes.len() > FRAME_BYTES_MAX => Step::Done,
            Framed::Part => Step::Consumed(0),
            Framed::Broken => {
                cx.anomaly("invalid_length");
                Step::Done
            }
        }
    }

    fn start_over(&mut self) -> bool {
        *self = Self::default();
        true
    }
}

impl Log {
    fn message(&mut self, way: Direction, bytes: &[u8], len: usize, cx: &mut Context<'_>) -> Step {
        match Message::read(bytes) {
            Some(message) => {
                if let Some(host) = message.host {
                    cx.host(HostKind::Other, host);
                }
                cx.tell_with("syslog", way, |fields| message.write(fields));
            }
            None => cx.anomaly("malformed_data"),
        }
        self.told += 1;
        if self.told >= MESSAGES_MAX { Step::Done } else { Step::Consumed(len) }
    }
}

/// A message in a stream, and the bytes that it takes there.
enum Framed<'a> {
    Whole(&'a [u8], usize),
    Part,
    Broken,
}

/// RFC 6587 3.4: by its length in front, or by a line end or zero behind.
fn frame(bytes: &[u8]) -> Framed<'_> {
    if bytes.first() == Some(&b'<') {
        let end = bytes.iter().position(|byte| matches!(byte, b'\n' | 0));
        return end.map_or(Framed::Part, |end| Framed::Whole(&bytes[..end], end + 1));
    }
    let Some(blank) = bytes.iter().take(7).position(|byte| *byte == b' ') else {
        let is_begun = bytes.len() < 7 && bytes.iter().all(u8::is_ascii_digit);
        return if is_begun { Framed::Part } else { Framed::Broken };
    };
    match decimal(&bytes[..blank]) {
        Some(len) if (1..=FRAME_BYTES_MAX as u64).contains(&len) => {
            let end = blank + 1 + len as usize;
            bytes.get(blank + 1..end).map_or(Framed::Part, |message| Framed::Whole(message, end))
        }
        _ => Framed::Broken,
    }
}

/// One message.
struct Message<'a> {
    priority: u8,
    /// Of RFC 5424; without one it is of the older form.
    version: Option<u64>,
    time: Option<&'a [u8]>,
    host: Option<&'a [u8]>,
    app: Option<&'a [u8]>,
    process: Option<&'a [u8]>,
    text: &'a [u8],
}

impl<'a> Message<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(b"<")?;
        let end = rest.iter().take(4).position(|byte| *byte == b'>')?;
        let priority = decimal(&rest[..end]).filter(|priority| *priority <= 191)? as u8;
        let rest = rest.get(end + 1..)?;
        let mut words = rest.splitn(6, |byte| *byte == b' ');
        let version = words.next().filter(|word| word.len() <= 2).and_then(decimal);
        if let Some(version) = version {
            // 6.2: a word of `-` says nothing.
            let mut word = || words.next().filter(|word| *word != b"-");
            let (time, host, app, process) = (word(), word(), word(), word());
            let text = words.next().unwrap_or_default();
            return Some(Self { priority, version: Some(version), time, host, app, process, text });
        }
        Some(Self::old(priority, rest))
    }

    /// RFC 3164 4.1: `Oct 11 22:14:15 host tag[pid]: text`, or any part of that.
    fn old(priority: u8, rest: &'a [u8]) -> Self {
        let has_time =
            rest.len() > 16 && rest[15] == b' ' && rest[9] == b':' && rest[12] == b':' && rest[3] == b' ';
        let (time, rest) = if has_time { (Some(&rest[..15]), &rest[16..]) } else { (None, rest) };
        let is_tag = |word: &[u8]| word.ends_with(b":") || word.contains(&b'[');
        let first = rest.split(|byte| *byte == b' ').next().unwrap_or_default();
        // A program on the machine itself leaves its name out.
        let (host, rest) = match has_time && !is_tag(first) && first.len() < rest.len() {
            true => (Some(first), &rest[first.len() + 1..]),
            false => (None, rest),
        };
        let first = rest.split(|byte| *byte == b' ').next().unwrap_or_default();
        let (app, process) = if is_tag(first) {
            let end = first.iter().position(|byte| matches!(byte, b'[' | b':')).unwrap_or(first.len());
            let process = first.get(end + 1..).and_then(|rest| rest.split(|byte| *byte == b']').next());
            (Some(&first[..end]), process.filter(|text| decimal(text).is_some()))
        } else {
            (None, None)
        };
        Self { priority, version: None, time, host, app, process, text: rest }
    }

    fn write(&self, fields: &mut Fields) {
        fields.text("facility", FACILITIES[usize::from(self.priority >> 3).min(FACILITIES.len() - 1)]);
        fields.text("severity", SEVERITIES[usize::from(self.priority & 7)]);
        if let Some(version) = self.version {
            fields.number("version", version);
        }
        fields.text_if("timestamp", self.time);
        fields.text_if("hostname", self.host);
        fields.text_if("app_name", self.app);
        fields.text_if("procid", self.process);
        let text = self.text.get(..TEXT_BYTES_MAX).unwrap_or(self.text);
        // Some end it as text ends in C.
        fields.text("message", text.strip_suffix(b"\0").unwrap_or(text).trim_ascii_end());
    }
}

/// RFC 5424 6.2.1.
const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
    "ntp", "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6",
    "local7",
];

const SEVERITIES: [&str; 8] =
    ["emergency", "alert", "critical", "error", "warning", "notice", "informational", "debug"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpi::fields::Value;

    fn texts(bytes: &[u8]) -> Vec<String> {
        let mut fields = Fields::new();
        if let Some(message) = Message::read(bytes) {
            message.write(&mut fields);
        }
        let text = |(_, value)| match value {
            Value::Text(text) => Some(String::from_utf8_lossy(text).into_owned()),
            _ => None,
        };
        fields.iter().filter_map(text).collect()
    }

    #[test]
    fn both_forms_are_read() {
        assert_eq!(
            texts(b"<165>1 2003-10-11T22:14:15.003Z box.example evntslog - ID47 [x@1 y=\"z\"] text"),
            [
                "local4",
                "notice",
                "2003-10-11T22:14:15.003Z",
                "box.example",
                "evntslog",
                "ID47 [x@1 y=\"z\"] text"
            ]
        );
        assert_eq!(
            texts(b"<34>Oct 11 22:14:15 box su[230]: 'su root' failed\n"),
            ["auth", "critical", "Oct 11 22:14:15", "box", "su", "230", "su[230]: 'su root' failed"]
        );
        assert_eq!(texts(b"<13>app: text"), ["user", "notice", "app", "app: text"]);
        assert_eq!(texts(b"<0>"), ["kern", "emergency", ""]);
        for bad in [&b"<192>x"[..], b"<x>y", b"<>", b"<1", b"", b"text"] {
            assert!(Message::read(bad).is_none(), "{bad:?}");
        }
        let whole = b"<34>Oct 11 22:14:15 box su[230]: x";
        for len in 0..whole.len() {
            let _ = texts(&whole[..len]);
        }
    }

    #[test]
    fn streams_are_cut_into_messages() {
        let is = |bytes: &[u8], expected: Option<(&[u8], usize)>| matches!(frame(bytes), Framed::Whole(message, len) if Some((message, len)) == expected);
        assert!(is(b"8 <13>a: b<13>c", Some((b"<13>a: b", 10))));
        assert!(is(b"<13>a: b\n<13>c", Some((b"<13>a: b", 9))));
        assert!(matches!(frame(b"8 <13>a:"), Framed::Part));
        assert!(matches!(frame(b"12"), Framed::Part));
        assert!(matches!(frame(b"99999999 <"), Framed::Broken));
        assert!(matches!(frame(b"0 <13>"), Framed::Broken));
    }
}
