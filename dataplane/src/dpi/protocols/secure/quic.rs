//! Is a datagram QUIC, and what does its client say? IETF's versions and drafts, Facebook's and Google's.
//!
//! ```text
//! long header: 1 F T T x x x x | version (4) | len, destination id | len, source id | by type:
//!   Initial: token below its length | length | packet number and frames, under public keys     RFC 9000 17.2
//! Google's, up to Q043: flags | connection id (8) | version (4) | packet number | hash (12) | frames
//! ```
//!
//! The client's Initials are opened until its hello is whole, and where rules ask for the server's fingerprint, the server's until its
//! hello is; then nothing more is looked at. Flows that are seen from a short header on cannot be known.

mod google;
mod keys;

use super::hello::{ClientHello, ServerHello, extension, is_grease};
use super::named;
use super::pieces::Pieces;
use super::session::Session;
use crate::dpi::cursor::Cursor;
use crate::dpi::cursor::pairs;
use crate::dpi::fingerprint::Text;
use crate::dpi::fingerprint::ja3;
use crate::dpi::fingerprint::ja4::Transport;
use crate::dpi::{
    Category, Context, Fields, First, HintKind, HostKind, Kept, Match, Over, Parser, Peek, Probe, Protocol,
    Step,
};
use crate::flow::Direction;
use crate::rules::language::buffers::buffer;
use crate::rules::rule::BufferId;
use google::Message;
use keys::{Keys, PACKET_BYTES_MAX};

/// QUIC over UDP.
pub static QUIC: Protocol = Protocol {
    name: "quic",
    eve: None,
    category: Category::Web,
    probes: &[
        Probe { over: Over::Udp, first: First::In(0x80, 0xff), look: is_long },
        Probe { over: Over::Udp, first: First::In(0, 0x7f), look: is_google },
    ],
    parser: Some(parser),
};

fn parser() -> Box<dyn Parser> {
    Box::<Quic>::default()
}

/// What rules may ask of a server.
const OF_SERVER: [BufferId; 2] = [buffer("ja3s.hash"), buffer("ja3s.string")];

/// Datagrams after which nobody waits for a hello any more.
const DATAGRAMS_MAX: u8 = 24;

/// Times that keys are derived for one flow.
const DERIVATIONS_MAX: u8 = 8;

/// Longest connection id (RFC 9000 17.2).
const ID_BYTES_MAX: usize = 20;

/// Whether the version is one that somebody speaks.
const fn is_known(version: u32) -> bool {
    matches!(
        version,
        1 | 0x6b33_43cf | 0x709a_50c4 | 0xff02_0000
            | 0xff00_0001..=0xff00_0022
            | 0xface_b000..=0xface_b0ff
            | 0x5430_3439..=0x5430_3539
    ) || is_googles(version)
        || is_forcing(version)
}

/// `Q` and three digits.
const fn is_googles(version: u32) -> bool {
    let [q, hundreds, tens, ones] = version.to_be_bytes();
    q == b'Q' && hundreds == b'0' && tens >= b'0' && tens <= b'5' && ones.is_ascii_digit()
}

/// Reserved, to make a server negotiate (RFC 9000 15).
const fn is_forcing(version: u32) -> bool {
    version & 0x0f0f_0f0f == 0x0a0a_0a0a
}

/// Google's long header before the IETF's was taken over: both lengths of ids in one byte.
const fn has_short_lengths(version: u32) -> bool {
    matches!(version, 0x5130_3434..=0x5130_3438) || matches!(version, 0xff00_0001..=0xff00_0015)
}

/// What a long header is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Initial,
    /// 0-RTT, Handshake.
    Sealed,
    Retry,
    Negotiation,
    /// In clear, or as clear as its version allows: Q044 to Q049.
    Google,
}

/// A long header.
#[derive(Debug, Clone, Copy)]
struct Long<'a> {
    version: u32,
    kind: Kind,
    destination: &'a [u8],
    /// Where the packet number is, from the packet's first byte.
    number_at: usize,
    /// This packet, as far as its length says.
    packet: &'a [u8],
    /// Packets behind it.
    rest: &'a [u8],
}

impl<'a> Long<'a> {
    fn read(datagram: &'a [u8]) -> Option<Self> {
        let mut cursor = Cursor::new(datagram);
        let first = cursor.u8().filter(|first| first & 0x80 != 0)?;
        let version = cursor.be32()?;
        let (destination, source);
        if has_short_lengths(version) {
            let lens = cursor.u8()?;
            // RFC 8999's forerunners: 0 is none, else three more than it says.
            let len = |half: u8| if half == 0 { 0 } else { usize::from(half) + 3 };
            (destination, source) = (cursor.take(len(lens >> 4))?, cursor.take(len(lens & 15))?);
        } else {
            (destination, source) = (cursor.vec8()?, cursor.vec8()?);
        }
        if destination.len() > ID_BYTES_MAX || source.len() > ID_BYTES_MAX {
            return None;
        }
        let at = |cursor: &Cursor<'_>| datagram.len() - cursor.rest().len();
        let whole =
            |kind, number_at| Self { version, kind, destination, number_at, packet: datagram, rest: &[] };
        if version == 0 {
            let versions = cursor.rest();
            let fits = !versions.is_empty() && versions.len().is_multiple_of(4);
            return fits.then(|| whole(Kind::Negotiation, at(&cursor)));
        }
        if first & 0x40 == 0 && is_known(version) && !is_forcing(version) {
            return None;
        }
        if matches!(version, 0x5130_3434..=0x5130_3439) {
            return Some(whole(Kind::Google, at(&cursor)));
        }
        let is_second = matches!(version, 0x6b33_43cf | 0x709a_50c4 | 0xff02_0000);
        // RFC 9369 3.2 moves every type one on.
        let kind = match (first >> 4 & 3).wrapping_sub(u8::from(is_second)) & 3 {
            0 => Kind::Initial,
            1 | 2 => Kind::Sealed,
            _ => return Some(whole(Kind::Retry, at(&cursor))),
        };
        if kind == Kind::Initial {
            let token = cursor.varint()?;
            cursor.take(usize::try_from(token).ok()?)?;
        }
        let len = usize::try_from(cursor.varint()?).ok()?;
        let number_at = at(&cursor);
        // Four bytes of packet number and a sample must be there (RFC 9001 5.4.2).
        cursor.take(len).filter(|sealed| sealed.len() >= 20)?;
        let (packet, rest) = datagram.split_at_checked(number_at + len)?;
        Some(Self { version, kind, destination, number_at, packet, rest })
    }
}

fn is_long(peek: &Peek<'_>) -> Match {
    let Some(long) = Long::read(peek.bytes) else { return Match::No };
    match long.kind {
        Kind::Negotiation => {
            let versions = peek.bytes.get(long.number_at..).unwrap_or_default();
            let versions = versions.chunks_exact(4).map(|v| u32::from_be_bytes([v[0], v[1], v[2], v[3]]));
            let known = versions.filter(|version| is_known(*version)).count();
            Match::of(known > 0, 92)
        }
        Kind::Google => Match::sure(true),
        Kind::Retry => Match::of(is_known(long.version) && peek.bytes.len() >= 23, 88),
        Kind::Sealed => Match::of(is_known(long.version), 90),
        Kind::Initial if is_known(long.version) => Match::sure(true),
        // A version that nobody has told of: it is QUIC if its hello can be read.
        Kind::Initial => {
            let may = long.destination.len() >= 8 && peek.bytes.len() >= 1_000;
            Match::of(may && opens(&long), 90)
        }
    }
}

/// Whether any known salt opens an Initial.
fn opens(long: &Long<'_>) -> bool {
    let mut buffer = [0; PACKET_BYTES_MAX];
    keys::keyings(long.version).iter().any(|keying| {
        Keys::of_client(keying, long.destination)
            .is_some_and(|keys| keys.open(long.packet, long.number_at, &mut buffer).is_some())
    })
}

/// Version of a packet with Google's first header, and whether it has one.
fn google_version(bytes: &[u8]) -> Option<u32> {
    // Flags: 0x01 version, 0x02 reset, 0x08 connection id.
    let flags = bytes.first()?;
    let version = u32::from_be_bytes(*bytes.get(9..)?.first_chunk::<4>()?);
    (flags & 0x8b == 0x09 && is_googles(version)).then_some(version)
}

fn is_google(peek: &Peek<'_>) -> Match {
    let bytes = peek.bytes;
    if google_version(bytes).is_some() {
        return Match::sure(true);
    }
    let flags = bytes.first().copied().unwrap_or_default();
    // A server answers without a version.
    let may = bytes.len() > 60 && flags & 0x83 == 0 && google::is_from_server(bytes);
    Match::of(may, 88)
}

/// Reads one connection.
#[derive(Default)]
struct Quic {
    session: Session,
    crypto: Pieces,
    keys: Option<Keys>,
    /// Those of the server, where somebody asks for its hello, and which way that goes.
    server: Option<(Keys, Direction)>,
    /// The client's hello was read.
    awaits_server: bool,
    /// The version of the first packet that had one.
    version: Option<u32>,
    extensions: Fields,
    user_agent: Option<Kept>,
    google: Fields,
    datagrams: u8,
    derivations: u8,
    is_told: bool,
}

/// Whether nothing that follows matters.
type Finished = bool;

impl Parser for Quic {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        self.datagrams = self.datagrams.saturating_add(1);
        if self.datagram(way, bytes, cx) || self.datagrams >= DATAGRAMS_MAX {
            self.tell(way, cx);
            return Step::Done;
        }
        Step::Consumed(bytes.len())
    }

    fn end(&mut self, cx: &mut Context<'_>) {
        self.tell(Direction::Forward, cx);
    }

    fn start_over(&mut self) -> bool {
        let mut crypto = std::mem::take(&mut self.crypto);
        crypto.clear();
        *self = Self { crypto, ..Self::default() };
        true
    }
}

impl Quic {
    fn datagram(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Finished {
        if let Some(version) = google_version(bytes) {
            self.version = Some(version);
            return google::find(bytes).is_some_and(|hello| self.google_hello(version, hello, cx));
        }
        let mut rest = bytes;
        // Each packet is at least a header long, so this ends.
        while let Some(long) = Long::read(rest) {
            if long.version != 0 {
                // A server may choose another version (RFC 9368): the client's last one counts.
                self.version = self.version.filter(|_| way == Direction::Reverse).or(Some(long.version));
            }
            match long.kind {
                Kind::Google => {
                    let hello = google::find(long.packet);
                    return hello.is_some_and(|hello| self.google_hello(long.version, hello, cx));
                }
                Kind::Initial if self.initial(way, &long, cx) => return true,
                Kind::Initial | Kind::Sealed | Kind::Retry | Kind::Negotiation => {}
            }
            rest = long.rest;
        }
        // Behind the last packet there may be padding, but no header of one that does not fit (RFC 9000 12.2).
        if let [first, version @ ..] = rest
            && first & 0xc0 == 0xc0
            && version.first_chunk::<4>().is_some_and(|version| is_known(u32::from_be_bytes(*version)))
        {
            cx.anomaly("invalid_long_header");
        }
        false
    }

    fn initial(&mut self, way: Direction, long: &Long<'_>, cx: &mut Context<'_>) -> Finished {
        let mut buffer = [0; PACKET_BYTES_MAX];
        if self.awaits_server {
            let own = self.server.as_ref().filter(|(_, own)| *own == way);
            let frames = own.and_then(|(keys, _)| keys.open(long.packet, long.number_at, &mut buffer));
            let Some(frames) = frames.map(<[u8]>::len) else { return false };
            let frames = end_of(&buffer, long, frames);
            return self.frames(long.version, frames, cx);
        }
        let known = self.keys.as_ref().and_then(|keys| keys.open(long.packet, long.number_at, &mut buffer));
        if let Some(frames) = known.map(<[u8]>::len) {
            let frames = end_of(&buffer, long, frames);
            return self.frames(long.version, frames, cx);
        }
        // After a Retry, and with another version, the keys are others.
        for keying in keys::keyings(long.version) {
            if self.derivations >= DERIVATIONS_MAX {
                return false;
            }
            self.derivations += 1;
            let Some(keys) = Keys::of_client(keying, long.destination) else { continue };
            if let Some(frames) = keys.open(long.packet, long.number_at, &mut buffer) {
                self.keys = Some(keys);
                if OF_SERVER.iter().any(|buffer| cx.rules.wants(*buffer)) {
                    // RFC 9001 5.2: the server's keys follow from the client's connection id too.
                    let of_server = Keys::of_server(keying, long.destination);
                    self.server = of_server.map(|keys| (keys, way.opposite()));
                }
                return self.frames(long.version, frames, cx);
            }
        }
        false
    }

    /// Frames of an Initial (RFC 9000 12.4, table 3).
    fn frames(&mut self, version: u32, frames: &[u8], cx: &mut Context<'_>) -> Finished {
        let mut cursor = Cursor::new(frames);
        while let Some(frame) = cursor.varint() {
            match frame {
                // PADDING, PING
                0 | 1 => {}
                2 | 3 => {
                    if skip_ack(&mut cursor, frame == 3).is_none() {
                        break;
                    }
                }
                frame if frame == crypto_frame(version) => {
                    let (Some(offset), Some(len)) = (cursor.varint(), cursor.varint()) else { break };
                    let len = usize::try_from(len).unwrap_or(usize::MAX);
                    let Some(piece) = cursor.take(len) else { break };
                    if !self.crypto.add(offset, piece) {
                        cx.anomaly("crypto_out_of_bounds");
                        return true;
                    }
                }
                _ => break,
            }
        }
        self.hello(version, cx)
    }

    /// Reads the hello, if it is whole.
    fn hello(&mut self, version: u32, cx: &mut Context<'_>) -> Finished {
        let mut crypto = std::mem::take(&mut self.crypto);
        let ready = crypto.ready();
        let mut cursor = Cursor::new(ready);
        let finished = if ready.starts_with(b"CHLO") {
            self.google_hello(version, ready, cx)
        } else {
            match (cursor.u8(), cursor.vec24()) {
                (Some(1), Some(body)) if !self.awaits_server => {
                    match ClientHello::read(body, false) {
                        Some(hello) => {
                            self.client(&hello, cx);
                            self.awaits_server = self.server.is_some();
                        }
                        None => cx.anomaly("invalid_handshake_message"),
                    }
                    if self.awaits_server {
                        crypto.clear();
                        self.crypto = crypto;
                        self.tell(Direction::Forward, cx);
                        return false;
                    }
                    true
                }
                (Some(2), Some(body)) if self.awaits_server => {
                    match ServerHello::read(body) {
                        Some(hello) => self.tell_server(version, &hello, cx),
                        None => cx.anomaly("invalid_handshake_message"),
                    }
                    true
                }
                (Some(kind), None) if kind == 1 + u8::from(self.awaits_server) => false,
                (None, _) => false,
                // Nothing else begins a handshake.
                (Some(_), _) => true,
            }
        };
        self.crypto = crypto;
        finished
    }

    fn client(&mut self, hello: &ClientHello<'_>, cx: &mut Context<'_>) {
        self.session.client(hello, Transport::Quic, cx);
        if hello.alpns().any(|alpn| alpn.starts_with(b"doq")) {
            cx.app(named::DOH_DOT.name, 96);
        }
        self.user_agent = user_agent(hello).map(Into::into);
        if let Some(agent) = &self.user_agent {
            cx.hint(HintKind::UserAgent, agent);
        }
        self.extensions.list("extensions", |list| {
            for (kind, content) in hello.extensions.iter() {
                list.object("", |object| write_extension(object, kind, content, hello));
            }
        });
    }

    fn google_hello(&mut self, version: u32, hello: &[u8], cx: &mut Context<'_>) -> Finished {
        let Some(message) = Message::read(hello) else { return false };
        let (name, agent) = (message.get(*b"SNI\0"), message.get(*b"UAID"));
        if let Some(name) = name {
            cx.host(HostKind::Sni, name);
        }
        if let Some(agent) = agent {
            cx.hint(HintKind::UserAgent, agent);
        }
        let (hash, string) = message.cyu(version);
        self.google.text_if("sni", name);
        self.google.text_if("ua", agent);
        self.google.list("cyu", |list| {
            list.object("", |object| {
                object.text("hash", hash.as_bytes());
                object.text("string", string.as_bytes());
            });
        });
        true
    }

    /// Tells what the server's hello has of its own.
    fn tell_server(&self, version: u32, hello: &ServerHello<'_>, cx: &mut Context<'_>) {
        let ja3s = ja3::of_server(hello);
        let way = self.server.as_ref().map_or(Direction::Reverse, |(_, way)| *way);
        cx.tell_with("quic", way, |fields| {
            write_version(fields, version);
            fields.object("ja3s", |object| {
                object.text("hash", ja3s.hash.as_bytes());
                object.text("string", ja3s.string.as_bytes());
            });
        });
    }

    fn tell(&mut self, way: Direction, cx: &mut Context<'_>) {
        let Some(version) = self.version.filter(|_| !self.is_told) else { return };
        self.is_told = true;
        cx.tell_with("quic", way, |fields| {
            write_version(fields, version);
            fields.append(&self.google);
            fields.text_if("ua", self.user_agent.as_deref());
            fields.append(self.session.client_fields());
            fields.append(&self.extensions);
        });
    }
}

/// The frames that [`Keys::open`] left in `buffer`: they end where the packet's tag begins.
fn end_of<'a>(buffer: &'a [u8; PACKET_BYTES_MAX], long: &Long<'_>, frames: usize) -> &'a [u8] {
    let end = long.packet.len().saturating_sub(16);
    buffer.get(end.saturating_sub(frames)..end).unwrap_or_default()
}

/// The number of CRYPTO frames: Google's Q050, T050 and T051 had their own.
const fn crypto_frame(version: u32) -> u64 {
    match version {
        0x5130_3530..=0x5130_3539 | 0x5430_3530..=0x5430_3539 => 8,
        _ => 6,
    }
}

/// ACK (RFC 9000 19.3).
fn skip_ack(cursor: &mut Cursor<'_>, has_counts: bool) -> Option<()> {
    cursor.varint()?;
    cursor.varint()?;
    let ranges = cursor.varint()?;
    cursor.varint()?;
    for _ in 0..ranges {
        cursor.varint()?;
        cursor.varint()?;
    }
    if has_counts {
        for _ in 0..3 {
            cursor.varint()?;
        }
    }
    Some(())
}

/// What Google's clients call themselves, a transport parameter (Chromium, `kUserAgentId`).
fn user_agent<'a>(hello: &ClientHello<'a>) -> Option<&'a [u8]> {
    const USER_AGENT: u64 = 0x3129;
    let extensions = hello.extensions;
    if let Some(content) = extensions
        .get(extension::QUIC_PARAMETERS)
        .or_else(|| extensions.get(extension::QUIC_PARAMETERS_DRAFT))
    {
        let mut cursor = Cursor::new(content);
        while let Some(id) = cursor.varint() {
            let len = usize::try_from(cursor.varint()?).ok()?;
            let value = cursor.take(len)?;
            if id == USER_AGENT {
                return Some(value);
            }
        }
    }
    None
}

/// Version as Suricata prints it.
fn write_version(fields: &mut Fields, version: u32) {
    let mut text = Text::<16>::default();
    match version {
        1 => text.push(b"1"),
        0x6b33_43cf => text.push(b"v2"),
        _ if is_googles(version) || version >> 16 == 0x5430 => text.push(&version.to_be_bytes()),
        _ => {
            let mut digits = Text::<8>::default();
            digits.push_hex(&version.to_be_bytes());
            let zeros = digits.as_bytes().iter().take_while(|digit| **digit == b'0').count();
            text.push(digits.as_bytes().get(zeros..).unwrap_or_default());
        }
    }
    fields.text("version", text.as_bytes());
}

fn write_extension(fields: &mut Fields, kind: u16, content: &[u8], hello: &ClientHello<'_>) {
    let name = match kind {
        0 => "server_name",
        1 => "max_fragment_length",
        5 => "status_request",
        10 => "supported_groups",
        11 => "ec_point_formats",
        13 => "signature_algorithms",
        16 => "alpn",
        18 => "signed_certificate_timestamp",
        21 => "padding",
        22 => "encrypt_then_mac",
        23 => "extended_master_secret",
        27 => "compress_certificate",
        28 => "record_size_limit",
        34 => "delegated_credentials",
        35 => "session_ticket",
        41 => "pre_shared_key",
        42 => "early_data",
        43 => "supported_versions",
        44 => "cookie",
        45 => "psk_key_exchange_modes",
        49 => "post_handshake_auth",
        50 => "signature_algorithms_cert",
        51 => "key_share",
        57 => "quic_transport_parameters",
        0xff01 => "renegotiation_info",
        kind if is_grease(kind) => "grease",
        _ => "",
    };
    if !name.is_empty() {
        fields.text("name", name);
    }
    fields.number("type", kind);
    match kind {
        extension::SERVER_NAME => {
            fields
                .list("values", |list| hello.server_name().into_iter().for_each(|name| list.text("", name)));
        }
        extension::ALPN => fields.list("values", |list| hello.alpns().for_each(|alpn| list.text("", alpn))),
        extension::SUPPORTED_VERSIONS => fields.list("values", |list| {
            let versions = Cursor::new(content).vec8().unwrap_or_default();
            for version in pairs(versions).filter(|version| !is_grease(*version)) {
                list.text("", super::hello::version_name(version));
            }
        }),
        _ => {}
    }
}

#[cfg(test)]
mod tests;
