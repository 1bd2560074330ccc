//! What a signature that matched says: Suricata's object `alert`, and what stands beside it.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use dataplane::control::{Alert, KeptBytes};
use dataplane::flow::Direction;
use dataplane::rules::Signature;
use dataplane::rules::detect::{FileSoFar, FileState, FrameSeen};
use dataplane::rules::memory::{Kept, Recalled};
use dataplane::rules::rule::{Action, End, Rule};
use dataplane::rules::set::PRIORITY;
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};

use super::{Ip, Stamp};

/// The object `alert`.
pub(super) struct AlertBody<'a>(pub &'a Alert);

impl Serialize for AlertBody<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Alert { signature, is_blocked, recalled, .. } = self.0;
        let rule = &signature.rule;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("action", if *is_blocked { "blocked" } else { "allowed" })?;
        map.serialize_entry("gid", &rule.generator)?;
        map.serialize_entry("signature_id", &rule.sid)?;
        map.serialize_entry("rev", &rule.revision)?;
        map.serialize_entry("signature", &*rule.message)?;
        map.serialize_entry("category", signature.category().unwrap_or(""))?;
        map.serialize_entry("severity", &rule.priority.unwrap_or(PRIORITY))?;
        if let Some(target) = rule.target {
            let (source, target) = match target {
                End::Source => ("dest_ip", "src_ip"),
                End::Destination => ("src_ip", "dest_ip"),
            };
            map.serialize_entry("source", &source)?;
            map.serialize_entry("target", &target)?;
        }
        if !rule.metadata.is_empty() {
            map.serialize_entry("metadata", &Metadata(rule))?;
        }
        if rule.action != Action::Alert {
            map.serialize_entry("rule_action", action(signature))?;
        }
        if let Some(recalled) = recalled.as_deref().filter(|recalled| !recalled.of_alert.is_empty()) {
            map.serialize_entry("context", &Context(&recalled.of_alert))?;
        }
        map.end()
    }
}

/// What the match captured for its alert, as Suricata 8 has it.
struct Context<'a>(&'a [Kept]);

impl Serialize for Context<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (&**name, Printable(value))))
    }
}

/// The object `metadata`: what rules remember of the flow and of the packet.
pub(super) struct Remembered<'a>(pub &'a Recalled);

impl Serialize for Remembered<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Recalled { bits, numbers, of_flow, of_packet, .. } = self.0;
        let mut map = serializer.serialize_map(None)?;
        if !bits.is_empty() {
            map.serialize_entry("flowbits", &Each(|| bits.iter().map(|name| &**name)))?;
        }
        if !of_flow.is_empty() {
            map.serialize_entry("flowvars", &Each(|| of_flow.chunks(1).map(Context)))?;
        }
        if !numbers.is_empty() {
            map.serialize_entry("flowints", &Numbers(numbers))?;
        }
        if !of_packet.is_empty() {
            map.serialize_entry("pktvars", &Each(|| of_packet.chunks(1).map(Context)))?;
        }
        map.end()
    }
}

struct Numbers<'a>(&'a [(std::sync::Arc<str>, u32)]);

impl Serialize for Numbers<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, number)| (&**name, number)))
    }
}

/// A list of what it makes.
struct Each<F>(F);

impl<F: Fn() -> I, I: Iterator<Item: Serialize>> Serialize for Each<F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq((self.0)())
    }
}

const fn action(signature: &Signature) -> &'static str {
    match signature.rule.action {
        Action::Alert => "alert",
        Action::Pass => "pass",
        Action::Drop => "drop",
        Action::Reject(_) => "reject",
        Action::Config => "config",
    }
}

/// Each name with the list of its values.
struct Metadata<'a>(&'a Rule);

impl Serialize for Metadata<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let all = &self.0.metadata;
        let mut map = serializer.serialize_map(None)?;
        for (place, (name, _)) in all.iter().enumerate() {
            let is_first = all[..place].iter().all(|(other, _)| other != name);
            if is_first {
                map.serialize_entry(name, &Values { all, name })?;
            }
        }
        map.end()
    }
}

struct Values<'a> {
    all: &'a [(Box<str>, Box<str>)],
    name: &'a str,
}

impl Serialize for Values<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        for (name, value) in self.all {
            if **name == *self.name {
                list.serialize_element(&**value)?;
            }
        }
        list.end()
    }
}

/// Which way, as EVE says it.
pub(super) const fn direction(way: Direction) -> &'static str {
    match way {
        Direction::Forward => "to_server",
        Direction::Reverse => "to_client",
    }
}

/// The flow up to the alert.
#[derive(Serialize)]
pub(super) struct FlowSoFar {
    pkts_toserver: u64,
    pkts_toclient: u64,
    bytes_toserver: u64,
    bytes_toclient: u64,
    start: Stamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    src_ip: Option<Ip>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dest_ip: Option<Ip>,
    #[serde(skip_serializing_if = "Option::is_none")]
    src_port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dest_port: Option<u16>,
}

impl FlowSoFar {
    pub(super) fn of(alert: &Alert, has_ports: bool) -> Self {
        let Alert { packets, bytes, start, ends, .. } = alert;
        let ports = ends.filter(|_| has_ports);
        Self {
            pkts_toserver: packets[0],
            pkts_toclient: packets[1],
            bytes_toserver: bytes[0],
            bytes_toclient: bytes[1],
            start: Stamp(*start),
            src_ip: ends.map(|(src, _)| Ip(src.0)),
            dest_ip: ends.map(|(_, dst)| Ip(dst.0)),
            src_port: ports.map(|(src, _)| src.1),
            dest_port: ports.map(|(_, dst)| dst.1),
        }
    }
}

/// What stands beside `alert` of the bytes that are kept.
pub(super) fn serialize_kept<M: SerializeMap>(kept: &KeptBytes, map: &mut M) -> Result<(), M::Error> {
    if let Some(file) = &kept.file {
        map.serialize_entry("files", &[FileView::of(file)])?;
    }
    if let Some(frame) = &kept.frame {
        map.serialize_entry("frame", &FrameView::of(frame))?;
    }
    if !kept.payload.is_empty() {
        map.serialize_entry("payload", &BASE64.encode(&kept.payload))?;
        map.serialize_entry("payload_printable", &Printable(&kept.payload))?;
        map.serialize_entry("payload_length", &kept.payload.len())?;
        map.serialize_entry("stream", &u8::from(kept.is_stream))?;
    }
    if !kept.packet.is_empty() {
        serialize_packet(&kept.packet, kept.link, map)?;
    }
    Ok(())
}

/// Suricata tells the number that libpcap has for raw IP in memory (`DLT_RAW`), not that of files.
const fn data_link(link: u32) -> u32 {
    if link == 101 { 12 } else { link }
}

/// A packet and what it begins with.
pub(super) fn serialize_packet<M: SerializeMap>(
    bytes: &[u8],
    link: u32,
    map: &mut M,
) -> Result<(), M::Error> {
    map.serialize_entry("packet", &BASE64.encode(bytes))?;
    map.serialize_entry("packet_info", &PacketInfo { linktype: data_link(link) })
}

/// A file of the transaction that matched, as far as it was known then.
#[derive(Serialize)]
struct FileView<'a> {
    filename: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    magic: Option<&'a str>,
    gaps: bool,
    state: &'static str,
    stored: bool,
    size: u64,
}

impl<'a> FileView<'a> {
    fn of(file: &'a FileSoFar) -> Self {
        let state = match file.state {
            // Suricata's word for a file that goes on.
            FileState::Open => "UNKNOWN",
            FileState::Closed => "CLOSED",
            FileState::Truncated => "TRUNCATED",
        };
        Self {
            filename: String::from_utf8_lossy(&file.name),
            magic: file.magic.as_deref(),
            gaps: file.has_gap,
            state,
            stored: false,
            size: file.bytes,
        }
    }
}

/// A frame that matched, as Suricata's `output-json-frame.c` has it.
#[derive(Serialize)]
struct FrameView<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    direction: &'static str,
    length: u64,
    complete: bool,
    payload: String,
    payload_printable: Printable<'a>,
}

impl<'a> FrameView<'a> {
    fn of(frame: &'a FrameSeen) -> Self {
        let direction = match frame.way {
            Direction::Forward => "toserver",
            Direction::Reverse => "toclient",
        };
        Self {
            kind: frame.kind.frame().name,
            direction,
            length: frame.len,
            complete: frame.is_whole,
            payload: BASE64.encode(&frame.bytes),
            payload_printable: Printable(&frame.bytes),
        }
    }
}

#[derive(Serialize)]
struct PacketInfo {
    linktype: u32,
}

/// Bytes as text: what cannot be printed is a dot, as Suricata has it.
struct Printable<'a>(&'a [u8]);

impl Serialize for Printable<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let is_shown = |byte: u8| byte.is_ascii_graphic() || matches!(byte, b' ' | b'\n' | b'\r' | b'\t');
        let text: String =
            self.0.iter().map(|byte| if is_shown(*byte) { char::from(*byte) } else { '.' }).collect();
        serializer.serialize_str(&text)
    }
}
