//! Frames: pieces of what a protocol sends that rules look into by name (`frame:`). One table, under Suricata's names.

use super::protocols::application;
use super::value::{Value, Wrong};
use crate::rules::rule::{FrameId, HeaderProtocol};

/// A kind of frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// The protocol whose frames these are, under the name that rules have for it.
    pub of: &'static str,
    /// Its name behind the protocol's.
    pub name: &'static str,
    /// Whether parsers tell it.
    pub is_told: bool,
}

const fn one(of: &'static str, name: &'static str) -> Frame {
    Frame { of, name, is_told: true }
}

const fn untold(of: &'static str, name: &'static str) -> Frame {
    Frame { of, name, is_told: false }
}

/// All kinds.
pub const FRAMES: &[Frame] = &[
    one("http1", "request"),
    one("http1", "response"),
    one("http2", "hdr"),
    one("http2", "data"),
    one("http2", "pdu"),
    one("tls", "pdu"),
    one("tls", "hdr"),
    one("tls", "data"),
    one("tls", "alert"),
    one("tls", "heartbeat"),
    one("tls", "ssl2.hdr"),
    one("tls", "ssl2.pdu"),
    one("dns", "pdu"),
    one("smb", "nbss.pdu"),
    one("smb", "nbss.hdr"),
    one("smb", "nbss.data"),
    one("smb", "smb1.pdu"),
    one("smb", "smb1.hdr"),
    one("smb", "smb1.data"),
    one("smb", "smb2.pdu"),
    one("smb", "smb2.hdr"),
    one("smb", "smb2.data"),
    one("smb", "smb3.pdu"),
    one("smb", "smb3.hdr"),
    one("smb", "smb3.data"),
    one("ssh", "record.hdr"),
    one("ssh", "record.data"),
    one("ssh", "record.pdu"),
    one("smtp", "command_line"),
    one("smtp", "data"),
    one("smtp", "response_line"),
    one("sip", "pdu"),
    one("sip", "request.line"),
    one("sip", "request.headers"),
    one("sip", "request.body"),
    one("sip", "response.line"),
    one("sip", "response.headers"),
    one("sip", "response.body"),
    one("mqtt", "pdu"),
    one("mqtt", "header"),
    one("mqtt", "data"),
    one("websocket", "header"),
    one("websocket", "pdu"),
    one("websocket", "data"),
    one("enip", "hdr"),
    one("enip", "data"),
    one("enip", "pdu"),
    one("ldap", "pdu"),
    untold("enip", "cip"),
    untold("enip", "enip.item"),
    untold("nfs", "rpc.pdu"),
    untold("nfs", "rpc.hdr"),
    untold("nfs", "rpc.data"),
    untold("nfs", "rpc.creds"),
    untold("nfs", "nfs.pdu"),
    untold("nfs", "nfs.status"),
    untold("nfs", "nfs4.pdu"),
    untold("nfs", "nfs4.hdr"),
    untold("nfs", "nfs4.ops"),
    untold("nfs", "nfs4.status"),
    untold("telnet", "pdu"),
    untold("telnet", "ctl"),
    untold("telnet", "data"),
    untold("rfb", "pdu"),
    untold("imap", "pdu"),
    untold("imap", "headers"),
    untold("imap", "body"),
];

impl FrameId {
    /// The kind.
    ///
    /// # Panics
    ///
    /// Where the number is of no kind: they are made here alone.
    #[must_use]
    pub const fn frame(self) -> &'static Frame {
        &FRAMES[self.0 as usize]
    }
}

/// The number of a kind of frames.
///
/// # Panics
///
/// Where there is no such kind: it is for constants, which do not compile then.
#[must_use]
#[expect(clippy::panic, reason = "constants are made of it, which then do not compile")]
pub const fn frame(of: &str, name: &str) -> FrameId {
    use super::buffers::is_same;
    let mut index = 0;
    while index < FRAMES.len() {
        if is_same(FRAMES[index].of, of) && is_same(FRAMES[index].name, name) {
            return FrameId(index as u16);
        }
        index += 1;
    }
    panic!("no kind of frames has this name")
}

fn find(of: &str, name: &str) -> Option<FrameId> {
    let is_it =
        |frame: &Frame| frame.name == name && (frame.of == of || (of == "http" && frame.of == "http1"));
    FRAMES.iter().position(is_it).map(|index| FrameId(index as u16))
}

/// The kind that `frame:` names: with its protocol before it, or of the protocol that the rule is about.
pub(super) fn named(value: Value<'_>, about: HeaderProtocol) -> Result<FrameId, Wrong> {
    let name = value.name()?;
    let of_its_own = name.split_once('.').and_then(|(of, name)| find(application(of)?, name));
    let of_rule = || match about {
        HeaderProtocol::Application(of) => find(of, name),
        HeaderProtocol::Packet(_) => None,
    };
    of_its_own.or_else(of_rule).ok_or_else(|| {
        value.expected("the name of a frame of the rule's protocol, or one such as http1.request")
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;
    use crate::rules::language::{RuleText, Variables, read};

    fn named(protocol: &str, name: &str) -> Option<&'static Frame> {
        let text = format!("alert {protocol} any any -> any any (frame:{name}; content:\"a\"; sid:1;)");
        let rule = read(&RuleText::of(text.as_bytes()), &mut Variables::usual()).ok()?;
        Some(rule.parts.first().unwrap().seen.frame.unwrap().frame())
    }

    #[test]
    fn names_are_of_their_protocol_or_of_the_rules() {
        for (protocol, name, expected) in [
            ("tcp", "http1.request", Some(("http1", "request"))),
            ("http", "http1.response", Some(("http1", "response"))),
            ("http1", "request", Some(("http1", "request"))),
            ("http2", "http2.hdr", Some(("http2", "hdr"))),
            ("sip", "request.line", Some(("sip", "request.line"))),
            ("sip", "sip.request.line", Some(("sip", "request.line"))),
            ("smb", "nbss.pdu", Some(("smb", "nbss.pdu"))),
            ("smb", "smb.smb2.hdr", Some(("smb", "smb2.hdr"))),
            ("nfs", "nfs.pdu", Some(("nfs", "nfs.pdu"))),
            ("ssl", "pdu", Some(("tls", "pdu"))),
            ("tcp", "pdu", None),
            ("sip", "http1.nothing", None),
            ("http2", "sip.pdu", None),
        ] {
            let found = named(protocol, name).map(|frame| (frame.of, frame.name));
            assert_eq!(found, expected, "{protocol} {name}");
        }
    }
}
