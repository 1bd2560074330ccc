//! Which repository is fetched from or pushed to, and what does it have? Git's own transport (gitprotocol-pack,
//! gitprotocol-v2).
//!
//! ```text
//! pkt-line: length with itself (4 hexadecimal digits; 0000 flush, 0001 delimiter, 0002 end) | bytes
//! client  git-upload-pack /r.git NUL host=example.org NUL NUL version=2 NUL
//! server  references, the first with capabilities behind a NUL; of version 2 capabilities, a line each
//! client  want, have; of version 2 command=fetch; of a push "old new reference NUL capabilities", then PACK
//! ```
//!
//! Told as `git`, one record a flow, when the pack begins or the flow ends.

use crate::dpi::text::find;
use crate::dpi::{
    Category, Context, Fields, First, HostKind, Kept, Match, Parser, Peek, Probe, Protocol, Step,
};
use crate::flow::Direction;

/// Git's own transport.
pub static GIT: Protocol = Protocol {
    name: "git",
    eve: None,
    category: Category::Collaborative,
    probes: &[Probe::tcp(First::Of(b"0"), look)],
    parser: Some(|| Box::<Session>::default()),
};

/// Longest pkt-line (`LARGE_PACKET_MAX`).
const LINE_BYTES_MAX: usize = 65_520;

/// Bytes of a line that are waited for.
const HEAD_BYTES_MAX: usize = 1_024;

/// Bytes of a text that are told.
const TEXT_BYTES_MAX: usize = 256;

/// Bytes of capabilities that are kept.
const CAPABILITIES_BYTES_MAX: usize = 1_024;

/// References of a push that are told.
const UPDATES_MAX: usize = 8;

/// Commands of version 2.
const COMMANDS: [&str; 4] = ["ls-refs", "fetch", "object-info", "bundle-uri"];

pub(super) fn look(peek: &Peek<'_>) -> Match {
    let Some((digits, rest)) = peek.bytes.split_at_checked(4) else { return Match::More };
    let Some(len) = length(digits).filter(|len| (5..=LINE_BYTES_MAX).contains(len)) else { return Match::No };
    // The length may come in a segment of its own.
    if rest.len() < 4 && b"git-".starts_with(rest) {
        return Match::More;
    }
    if rest.starts_with(b"git-") {
        return Match::Yes(97);
    }
    // What the server has: a reference; or a version.
    let line = rest.get(..(len - 4).min(rest.len())).unwrap_or_default();
    let is = reference(line).is_some()
        || matches!(line, b"version 1\n" | b"version 2\n")
        || line.starts_with(b"ERR ");
    Match::of(is, if peek.has_port(9418) { 95 } else { 82 })
}

fn length(digits: &[u8]) -> Option<usize> {
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    std::str::from_utf8(digits).ok().and_then(|text| usize::from_str_radix(text, 16).ok())
}

/// The name behind an object's, which has 40 or 64 digits (SHA-1, SHA-256).
fn reference(line: &[u8]) -> Option<&[u8]> {
    let blank = line.iter().take(65).position(|byte| *byte == b' ').filter(|at| matches!(at, 40 | 64))?;
    let (object, rest) = line.split_at(blank);
    object.iter().all(u8::is_ascii_hexdigit).then_some(&rest[1..])
}

/// One connection.
#[derive(Default)]
struct Session {
    service: Kept,
    repository: Kept,
    host: Kept,
    client_agent: Kept,
    server_agent: Kept,
    /// Of the server, a blank behind each.
    capabilities: Kept,
    error: Kept,
    /// `new name` of each reference that is pushed, a LF behind each.
    updates: Kept,
    updates_left_out: bool,
    version: u8,
    commands: u8,
    refs: u32,
    wants: u32,
    haves: u32,
    is_told: bool,
}

impl Parser for Session {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        let Some((digits, rest)) = bytes.split_at_checked(4) else { return Step::Consumed(0) };
        // A push: behind the last line stands the pack itself.
        if digits == b"PACK" {
            return self.told(way, cx);
        }
        let len = match length(digits) {
            Some(0..=2) => return Step::Consumed(4),
            Some(len @ 4..=LINE_BYTES_MAX) => len,
            _ => {
                cx.anomaly("invalid_length");
                return self.told(way, cx);
            }
        };
        let Some(line) = rest.get(..(len - 4).min(HEAD_BYTES_MAX)) else { return Step::Consumed(0) };
        let goes_on = match way {
            Direction::Forward if self.service.is_empty() => self.request(line, cx),
            Direction::Forward => self.asked(line),
            Direction::Reverse => self.answered(line),
        };
        if goes_on { Step::Consumed(len) } else { self.told(way, cx) }
    }

    fn end(&mut self, cx: &mut Context<'_>) {
        if !self.service.is_empty() || self.refs > 0 || !self.error.is_empty() {
            self.told(Direction::Forward, cx);
        }
    }

    fn start_over(&mut self) -> bool {
        *self = Self::default();
        true
    }
}

impl Session {
    /// `git-upload-pack /r.git`, the host, and behind an empty one parameters.
    fn request(&mut self, line: &[u8], cx: &mut Context<'_>) -> bool {
        let mut parts = line.split(|byte| *byte == 0);
        let first = parts.next().unwrap_or_default();
        let first = first.strip_suffix(b"\n").unwrap_or(first);
        let Some(blank) = first.iter().position(|byte| *byte == b' ').filter(|_| first.starts_with(b"git-"))
        else {
            cx.anomaly("malformed_request");
            return false;
        };
        self.service = clipped(first.get(..blank).unwrap_or_default());
        self.repository = clipped(first.get(blank + 1..).unwrap_or_default());
        for part in parts {
            if let Some(host) = part.strip_prefix(b"host=") {
                self.host = clipped(host);
                // Whose machine has it says little of what it is: it stays Git.
                cx.host(HostKind::Other, host);
            } else if let Some([digit @ b'0'..=b'9']) = part.strip_prefix(b"version=") {
                self.version = digit - b'0';
            }
        }
        true
    }

    fn asked(&mut self, line: &[u8]) -> bool {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        if let Some(wanted) = line.strip_prefix(b"want ") {
            self.wants = self.wants.saturating_add(1);
            self.client_capabilities(reference(wanted).unwrap_or_default());
        } else if line.starts_with(b"have ") {
            self.haves = self.haves.saturating_add(1);
        } else if let Some(command) = line.strip_prefix(b"command=") {
            let known = COMMANDS.iter().position(|known| known.as_bytes() == command);
            self.commands |= known.map_or(0, |place| 1 << place);
        } else if let Some(update) = reference(line)
            && let Some(name) = reference(update)
        {
            let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
            let (name, capabilities) = name.split_at(end);
            self.client_capabilities(capabilities);
            let has_room = self.updates.iter().filter(|byte| **byte == b'\n').count() < UPDATES_MAX;
            let new = update.get(..update.len() - name.len() - capabilities.len()).unwrap_or_default();
            if has_room && name.len() <= TEXT_BYTES_MAX && !name.contains(&b'\n') {
                for part in [new, name, b"\n"] {
                    self.updates.extend(part);
                }
            } else {
                self.updates_left_out = true;
            }
        } else {
            self.client_capabilities(line);
        }
        true
    }

    fn client_capabilities(&mut self, text: &[u8]) {
        if let Some(agent) = agent_in(text) {
            self.client_agent = clipped(agent);
        }
    }

    fn answered(&mut self, line: &[u8]) -> bool {
        // Side bands: the pack, progress, a fatal error.
        if let Some(band @ 1..=3) = line.first() {
            if *band == 3 {
                self.error = clipped(line.get(1..).unwrap_or_default().trim_ascii());
            }
            return false;
        }
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        if let Some(error) = line.strip_prefix(b"ERR ") {
            self.error = clipped(error.trim_ascii());
            return false;
        }
        if let Some(name) = reference(line) {
            // The place of capabilities where there is no reference at all.
            let is_none = name.starts_with(b"capabilities^{}");
            self.refs = self.refs.saturating_add(u32::from(!is_none));
            if let Some(end) = name.iter().position(|byte| *byte == 0) {
                let text = name.get(end + 1..).unwrap_or_default();
                text.split(|byte| *byte == b' ').for_each(|capability| self.capability(capability));
            }
        } else if let Some([digit @ b'0'..=b'9']) = line.strip_prefix(b"version ") {
            self.version = digit - b'0';
        } else if self.version == 2 && self.commands == 0 {
            self.capability(line);
        }
        true
    }

    fn capability(&mut self, capability: &[u8]) {
        if let Some(agent) = capability.strip_prefix(b"agent=") {
            self.server_agent = clipped(agent);
        } else if !capability.is_empty()
            && self.capabilities.len() + capability.len() < CAPABILITIES_BYTES_MAX
        {
            self.capabilities.extend(capability);
            self.capabilities.extend(b" ");
        }
    }

    fn told(&mut self, way: Direction, cx: &mut Context<'_>) -> Step {
        if !std::mem::replace(&mut self.is_told, true) {
            cx.tell_with("git", way, |fields| self.write(fields));
        }
        Step::Done
    }

    fn write(&self, fields: &mut Fields) {
        let text = |fields: &mut Fields, name: &str, text: &Kept| {
            if !text.is_empty() {
                fields.text(name, text);
            }
        };
        text(fields, "service", &self.service);
        text(fields, "repository", &self.repository);
        text(fields, "host", &self.host);
        fields.number("version", self.version);
        text(fields, "client_agent", &self.client_agent);
        text(fields, "server_agent", &self.server_agent);
        if !self.capabilities.is_empty() {
            fields.list("capabilities", |list| {
                let words = self.capabilities.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
                words.for_each(|word| list.text("", word));
            });
        }
        if self.commands != 0 {
            fields.list("commands", |list| {
                for (place, name) in COMMANDS.iter().enumerate() {
                    if self.commands & 1 << place != 0 {
                        list.text("", name);
                    }
                }
            });
        }
        fields.number("refs", self.refs);
        for (name, count) in [("wants", self.wants), ("haves", self.haves)] {
            if count > 0 {
                fields.number(name, count);
            }
        }
        if !self.updates.is_empty() {
            fields.list("updates", |list| {
                for update in self.updates.split(|byte| *byte == b'\n').filter(|update| !update.is_empty()) {
                    let Some(name) = reference(update) else { continue };
                    list.object("", |object| {
                        object.text("ref", name);
                        object.text("new", &update[..update.len() - name.len() - 1]);
                    });
                }
            });
        }
        if self.updates_left_out {
            fields.bool("updates_left_out", true);
        }
        text(fields, "error", &self.error);
    }
}

/// The value of `agent=`, which stands among other capabilities or alone.
fn agent_in(text: &[u8]) -> Option<&[u8]> {
    const KEY: &[u8] = b"agent=";
    let value = text.get(find(text, KEY)? + KEY.len()..)?;
    value.split(|byte| matches!(byte, b' ' | 0)).next()
}

fn clipped(text: &[u8]) -> Kept {
    Kept::of(text.get(..TEXT_BYTES_MAX).unwrap_or(text))
}

#[cfg(test)]
mod tests;
