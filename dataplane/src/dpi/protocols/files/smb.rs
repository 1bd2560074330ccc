//! SMB: who opens which file of which share? (MS-CIFS, MS-SMB2; NetBIOS sessions: RFC 1002 4.3)
//!
//! One record a command that matters to an analyst: negotiation, login, tree, file opened, changed or removed; what only
//! moves data (read, write, echo) is skipped. Fields are those of Suricata's `smb`.

use super::dcerpc::Calls;
use super::ntlmssp::Authenticate;
use crate::dpi::cursor::Cursor;
use crate::dpi::parser::{Context, Parser, Step};
use crate::dpi::text::utf16;
use crate::dpi::{Category, Fields, First, HostKind, Match, Over, Peek, Probe, Protocol, Risk};
use crate::flow::Direction;

/// SMB 1, also known as CIFS.
pub static SMB1: Protocol = Protocol {
    name: "smbv1",
    eve: Some("smb"),
    category: Category::FileSharing,
    probes: &[
        Probe { over: Over::Tcp, first: First::Of(&[0, 0x81, 0x82]), look: |peek| look(peek, &[0xff]) },
        Probe { over: Over::Udp, first: First::In(0x10, 0x12), look: look_at_datagram },
    ],
    parser: Some(|| Box::<Session>::default()),
};

/// SMB 2 and 3.
pub static SMB2: Protocol = Protocol {
    name: "smbv23",
    eve: Some("smb"),
    category: Category::FileSharing,
    probes: &[Probe {
        over: Over::Tcp,
        first: First::Of(&[0, 0x81, 0x82]),
        look: |peek| look(peek, &[0xfe, 0xfd, 0xfc]),
    }],
    parser: Some(|| Box::<Session>::default()),
};

/// RFC 1002 4.3.1: type, flags and length; then `\xffSMB` or its successors.
fn look(peek: &Peek<'_>, firsts: &[u8]) -> Match {
    let mut bytes = peek.bytes;
    if let [kind @ (0x81 | 0x82), 0, high, low, rest @ ..] = bytes {
        let len = usize::from(u16::from_be_bytes([*high, *low]));
        if len > 80 || (*kind == 0x82 && len != 0) {
            return Match::No;
        }
        bytes = rest.get(len..).unwrap_or_default();
        if bytes.is_empty() {
            return Match::More;
        }
    }
    match bytes {
        [0, _, _, _, first, b'S', b'M', b'B', ..] => Match::sure(firsts.contains(first)),
        [0, ..] if bytes.len() < 8 => Match::More,
        _ => Match::No,
    }
}

/// RFC 1002 4.4.2: a head of 14 bytes, two encoded names of 34, then a mail slot's SMB.
fn look_at_datagram(peek: &Peek<'_>) -> Match {
    let is_named = peek.bytes.get(14) == Some(&32) && peek.bytes.get(48) == Some(&32);
    // Surer than NetBIOS, which it is inside of.
    Match::of(is_named && peek.bytes.get(82..86) == Some(b"\xffSMB"), 97)
}

/// Requests that wait for their answers.
const WAITING_MAX: usize = 16;
/// Pipes that are read.
const PIPES_MAX: usize = 4;
/// A message longer than this is read by its beginning only.
const READ_BYTES_MAX: usize = 4_096;
/// Records of one connection.
const RECORDS_MAX: u32 = 20_000;

#[derive(Default)]
struct Session {
    waiting: Vec<Waiting>,
    dialect: Option<u16>,
    /// The index the server chose, of SMB 1's list.
    old_dialects: Vec<Box<[u8]>>,
    pipe: Vec<([u8; 16], Calls)>,
    told: u32,
    trees_told: u32,
}

struct Waiting {
    id: u64,
    command: u16,
    tree: u32,
    session: u64,
    file: Option<[u8; 16]>,
    details: Fields,
    /// Whether it is SMB 1.
    is_old: bool,
}

impl Parser for Session {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        if cx.flow.protocol == crate::parse::Protocol::UDP {
            return Step::Done;
        }
        let Some(&[kind, flags, high, low]) = bytes.first_chunk::<4>() else { return Step::Consumed(0) };
        // MS-SMB2 2.1: over TCP alone the length has 24 bits.
        let len = u32::from_be_bytes([0, flags, high, low]) as usize;
        match kind {
            0 => {}
            0x81..=0x85 => return Step::Consumed(4 + usize::from(u16::from_be_bytes([high, low]))),
            _ => {
                cx.anomaly("malformed_nbss_header");
                return Step::Done;
            }
        }
        let body = bytes.get(4..).unwrap_or_default();
        if body.len() < len.min(READ_BYTES_MAX) {
            return Step::Consumed(0);
        }
        let body = body.get(..len.min(body.len())).unwrap_or_default();
        match body.first_chunk::<4>() {
            Some([0xff, b'S', b'M', b'B']) => self.old(way, body, cx),
            Some([0xfe, b'S', b'M', b'B']) => {
                cx.notes.set_protocol(&SMB2, 95);
                self.chain(way, body, cx);
            }
            Some([0xfd, b'S', b'M', b'B']) => {
                // MS-SMB2 2.2.41: encrypted from here on.
                cx.notes.set_protocol(&SMB2, 95);
                if self.waiting.is_empty() {
                    return Step::Done;
                }
            }
            Some([0xfc, b'S', b'M', b'B']) => cx.notes.set_protocol(&SMB2, 95),
            _ if body.is_empty() => {}
            _ => {
                cx.anomaly("malformed_data");
                return Step::Done;
            }
        }
        if self.told >= RECORDS_MAX { Step::Done } else { Step::Consumed(4 + len) }
    }

    /// What was asked and not answered is told as well.
    fn end(&mut self, cx: &mut Context<'_>) {
        for waiting in std::mem::take(&mut self.waiting) {
            if waiting.details.is_empty() {
                continue;
            }
            let name = if waiting.is_old {
                old_name(waiting.command)
            } else {
                COMMANDS.get(usize::from(waiting.command)).copied().unwrap_or("UNKNOWN")
            };
            let (tree, session) = (waiting.tree, waiting.session);
            let details = [&waiting.details, &Fields::new()];
            self.tell(Direction::Forward, name, None, (tree, session), details, cx);
        }
    }
}

// Commands of SMB 2 (MS-SMB2 2.2.1).
const NEGOTIATE: u16 = 0;
const SESSION_SETUP: u16 = 1;
const TREE_CONNECT: u16 = 3;
const CREATE: u16 = 5;
const CLOSE: u16 = 6;
const READ: u16 = 8;
const WRITE: u16 = 9;
const IOCTL: u16 = 11;
const SET_INFO: u16 = 17;

const COMMANDS: [&str; 19] = [
    "SMB2_COMMAND_NEGOTIATE_PROTOCOL",
    "SMB2_COMMAND_SESSION_SETUP",
    "SMB2_COMMAND_SESSION_LOGOFF",
    "SMB2_COMMAND_TREE_CONNECT",
    "SMB2_COMMAND_TREE_DISCONNECT",
    "SMB2_COMMAND_CREATE",
    "SMB2_COMMAND_CLOSE",
    "SMB2_COMMAND_FLUSH",
    "SMB2_COMMAND_READ",
    "SMB2_COMMAND_WRITE",
    "SMB2_COMMAND_LOCK",
    "SMB2_COMMAND_IOCTL",
    "SMB2_COMMAND_CANCEL",
    "SMB2_COMMAND_KEEPALIVE",
    "SMB2_COMMAND_FIND",
    "SMB2_COMMAND_CHANGE_NOTIFY",
    "SMB2_COMMAND_GET_INFO",
    "SMB2_COMMAND_SET_INFO",
    "SMB2_COMMAND_OPLOCK_BREAK",
];

/// MS-ERREF 2.3.1: those that are met most.
fn status_name(status: u32) -> &'static str {
    match status {
        0 => "STATUS_SUCCESS",
        0x103 => "STATUS_PENDING",
        0x8000_0005 => "STATUS_BUFFER_OVERFLOW",
        0x8000_0006 => "STATUS_NO_MORE_FILES",
        0xc000_0002 => "STATUS_NOT_IMPLEMENTED",
        0xc000_0003 => "STATUS_INVALID_INFO_CLASS",
        0xc000_0008 => "STATUS_INVALID_HANDLE",
        0xc000_000d => "STATUS_INVALID_PARAMETER",
        0xc000_000f => "STATUS_NO_SUCH_FILE",
        0xc000_0010 => "STATUS_INVALID_DEVICE_REQUEST",
        0xc000_0011 => "STATUS_END_OF_FILE",
        0xc000_0016 => "STATUS_MORE_PROCESSING_REQUIRED",
        0xc000_0022 => "STATUS_ACCESS_DENIED",
        0xc000_0034 => "STATUS_OBJECT_NAME_NOT_FOUND",
        0xc000_0035 => "STATUS_OBJECT_NAME_COLLISION",
        0xc000_003a => "STATUS_OBJECT_PATH_NOT_FOUND",
        0xc000_0043 => "STATUS_SHARING_VIOLATION",
        0xc000_005e => "STATUS_NO_LOGON_SERVERS",
        0xc000_0064 => "STATUS_NO_SUCH_USER",
        0xc000_006a => "STATUS_WRONG_PASSWORD",
        0xc000_006d => "STATUS_LOGON_FAILURE",
        0xc000_006e => "STATUS_ACCOUNT_RESTRICTION",
        0xc000_0071 => "STATUS_PASSWORD_EXPIRED",
        0xc000_0072 => "STATUS_ACCOUNT_DISABLED",
        0xc000_00ac => "STATUS_PIPE_NOT_AVAILABLE",
        0xc000_00b0 => "STATUS_PIPE_DISCONNECTED",
        0xc000_00ba => "STATUS_FILE_IS_A_DIRECTORY",
        0xc000_00bb => "STATUS_NOT_SUPPORTED",
        0xc000_00c9 => "STATUS_NETWORK_NAME_DELETED",
        0xc000_00cc => "STATUS_BAD_NETWORK_NAME",
        0xc000_0103 => "STATUS_NOT_A_DIRECTORY",
        0xc000_0120 => "STATUS_CANCELLED",
        0xc000_0128 => "STATUS_FILE_CLOSED",
        0xc000_0203 => "STATUS_USER_SESSION_DELETED",
        0xc000_0225 => "STATUS_NOT_FOUND",
        0xc000_0234 => "STATUS_ACCOUNT_LOCKED_OUT",
        0xc000_0257 => "STATUS_PATH_NOT_COVERED",
        _ => "UNKNOWN",
    }
}

fn is_failed_login(status: u32) -> bool {
    matches!(
        status,
        0xc000_0064 | 0xc000_006a | 0xc000_006d | 0xc000_006e | 0xc000_0071 | 0xc000_0072 | 0xc000_0234
    )
}

fn dialect_name(dialect: u16) -> &'static str {
    match dialect {
        0x0202 => "2.02",
        0x0210 => "2.10",
        0x02ff => "2.??",
        0x0300 => "3.00",
        0x0302 => "3.02",
        0x0311 => "3.11",
        _ => "unknown",
    }
}

/// `0xc0000022`, as Suricata prints it.
fn hex_of(number: u32, buffer: &mut [u8; 10]) -> &[u8] {
    let digits = (8 - number.leading_zeros() as usize / 4).max(1);
    buffer[0] = b'0';
    buffer[1] = b'x';
    for place in 0..digits {
        let nibble = number >> (4 * (digits - 1 - place)) & 15;
        buffer[2 + place] = b"0123456789abcdef"[nibble as usize];
    }
    &buffer[..2 + digits]
}

impl Session {
    /// MS-SMB2 3.2.5.1.9: messages may be chained, each with the distance to the next.
    fn chain(&mut self, way: Direction, mut body: &[u8], cx: &mut Context<'_>) {
        for _ in 0..16 {
            let Some(next) = self.message(way, body, cx) else { return };
            if next < 64 {
                return;
            }
            let Some(rest) = body.get(next as usize..) else { return };
            body = rest;
        }
    }

    /// Returns the distance to the next message.
    fn message(&mut self, way: Direction, message: &[u8], cx: &mut Context<'_>) -> Option<u32> {
        let mut at = Cursor::new(message);
        let [0xfe, b'S', b'M', b'B', 64, 0] = at.array::<6>()? else { return None };
        at.skip(2)?;
        let (status, command, _credits, flags, next) =
            (at.le32()?, at.le16()?, at.le16()?, at.le32()?, at.le32()?);
        let id = at.le64()?;
        at.skip(4)?;
        let (tree, session) = (at.le32()?, at.le64()?);
        at.skip(16)?;
        let end = if next >= 64 { next as usize } else { message.len() };
        let body = message.get(64..end.min(message.len()))?;
        // SMB2_FLAGS_SERVER_TO_REDIR.
        if flags & 1 == 0 {
            self.request(
                way,
                Waiting { id, command, tree, session, file: None, details: Fields::new(), is_old: false },
                body,
                message,
                cx,
            );
        } else if status != 0x103 {
            let index = self.waiting.iter().position(|waiting| waiting.id == id);
            let waiting = index.map(|index| self.waiting.swap_remove(index));
            self.answer(way, (command, status, tree, session), waiting, body, message, cx);
        }
        Some(next)
    }

    fn request(
        &mut self,
        way: Direction,
        mut waiting: Waiting,
        body: &[u8],
        message: &[u8],
        cx: &mut Context<'_>,
    ) {
        let mut buffer = [0; 512];
        let piece = |offset: Option<u16>, len: Option<u16>| -> &[u8] {
            let (offset, len) = (usize::from(offset.unwrap_or(0)), usize::from(len.unwrap_or(0)));
            message.get(offset..offset + len).unwrap_or_default()
        };
        let le16 = |at: usize| body.get(at..at + 2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
        let details = &mut waiting.details;
        match waiting.command {
            NEGOTIATE => {
                let count = le16(2).unwrap_or(0);
                details.list("client_dialects", |list| {
                    for index in 0..usize::from(count.min(16)) {
                        if let Some(dialect) = le16(36 + 2 * index) {
                            list.text("", dialect_name(dialect));
                        }
                    }
                });
                if let Some(guid) = body.get(12..28) {
                    details.hex("client_guid", guid);
                }
            }
            SESSION_SETUP => {
                if let Some(login) = Authenticate::find_in(piece(le16(12), le16(14))) {
                    login.write(details);
                    let host = login.host(&mut buffer);
                    cx.host(HostKind::Other, host);
                }
            }
            TREE_CONNECT => {
                let share = utf16(piece(le16(4), le16(6)), &mut buffer);
                details.text("share", share);
                let server = share.split(|byte| *byte == b'\\').find(|part| !part.is_empty());
                cx.host(HostKind::Other, server.unwrap_or_default());
            }
            CREATE => {
                let name = utf16(piece(le16(44), le16(46)), &mut buffer);
                details.text("filename", if name.is_empty() { b"<share_root>" } else { name });
                // MS-SMB2 2.2.13.
                details.text(
                    "disposition",
                    match le16(36) {
                        Some(0) => "FILE_SUPERSEDE",
                        Some(1) => "FILE_OPEN",
                        Some(2) => "FILE_CREATE",
                        Some(3) => "FILE_OPEN_IF",
                        Some(4) => "FILE_OVERWRITE",
                        Some(5) => "FILE_OVERWRITE_IF",
                        _ => "UNKNOWN",
                    },
                );
                // FILE_DELETE_ON_CLOSE.
                let deletes = le16(40).is_some_and(|options| options & 0x1000 != 0);
                details.text("access", if deletes { "delete_on_close" } else { "normal" });
            }
            WRITE => {
                let file = body.get(16..32).and_then(|file| file.first_chunk::<16>()).copied();
                let data = piece(le16(2), le16(4));
                if data.first() == Some(&5) {
                    self.pipe(way, file, data, cx);
                }
                return;
            }
            READ => waiting.file = body.get(16..32).and_then(|file| file.first_chunk::<16>()).copied(),
            IOCTL => {
                let file = body.get(8..24).and_then(|file| file.first_chunk::<16>()).copied();
                waiting.file = file;
                // FSCTL_PIPE_TRANSCEIVE.
                if body.get(4..8) == Some(&[0x17, 0xc0, 0x11, 0]) {
                    self.pipe(way, file, piece(le16(24), le16(28)), cx);
                }
            }
            SET_INFO => {
                // MS-FSCC 2.4.37: FileRenameInformation; 2.4.11: FileDispositionInformation.
                let info = piece(le16(8), le16(4));
                match body.get(2..4) {
                    Some([1, 10]) => {
                        let name = utf16(info.get(20..).unwrap_or_default(), &mut buffer);
                        details.object("rename", |rename| rename.text("to", name));
                    }
                    Some([1, 13]) => details.text("access", "delete_on_close"),
                    _ => {}
                }
            }
            2 | 4 | 14 => {}
            _ => return,
        }
        self.wait(waiting);
    }

    fn pipe(&mut self, way: Direction, file: Option<[u8; 16]>, data: &[u8], cx: &mut Context<'_>) {
        let Some(file) = file else { return };
        if data.first() != Some(&5) {
            return;
        }
        let index = self.pipe.iter().position(|(known, _)| *known == file);
        let index = match index {
            Some(index) => index,
            None => {
                if self.pipe.len() >= PIPES_MAX {
                    self.pipe.remove(0);
                }
                self.pipe.push((file, Calls::default()));
                self.pipe.len() - 1
            }
        };
        if let Some((_, calls)) = self.pipe.get_mut(index) {
            calls.pipe(way, data, cx);
        }
    }

    fn wait(&mut self, waiting: Waiting) {
        if self.waiting.len() >= WAITING_MAX {
            self.waiting.remove(0);
        }
        self.waiting.push(waiting);
    }

    fn answer(
        &mut self,
        way: Direction,
        (command, status, tree, session): (u16, u32, u32, u64),
        waiting: Option<Waiting>,
        body: &[u8],
        message: &[u8],
        cx: &mut Context<'_>,
    ) {
        let le16 = |at: usize| body.get(at..at + 2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
        let mut details = Fields::new();
        let file = waiting.as_ref().and_then(|waiting| waiting.file);
        match command {
            NEGOTIATE => {
                self.dialect = le16(4);
                if let Some(guid) = body.get(8..24) {
                    details.hex("server_guid", guid);
                }
            }
            SESSION_SETUP if is_failed_login(status) => cx.notes.risk(Risk::FailedLogin),
            TREE_CONNECT if status == 0 => {
                self.trees_told += 1;
                details.text(
                    "share_type",
                    match body.get(2) {
                        Some(1) => "DISK",
                        Some(2) => "PIPE",
                        Some(3) => "PRINT",
                        _ => "UNKNOWN",
                    },
                );
            }
            CREATE if status == 0 => {
                if let Some(size) = body.get(48..56).and_then(|size| size.first_chunk::<8>()) {
                    details.number("size", u64::from_le_bytes(*size));
                }
                if let Some(file) = body.get(64..80) {
                    details.hex("fuid", file);
                }
            }
            READ => {
                let (offset, len) =
                    (usize::from(body.get(2).copied().unwrap_or(0)), usize::from(le16(4).unwrap_or(0)));
                self.pipe(way, file, message.get(offset..offset + len).unwrap_or_default(), cx);
                return;
            }
            IOCTL => {
                let (offset, len) = (usize::from(le16(32).unwrap_or(0)), usize::from(le16(36).unwrap_or(0)));
                if offset >= 64 {
                    self.pipe(way, file, message.get(offset..offset + len).unwrap_or_default(), cx);
                }
            }
            CLOSE | WRITE => return,
            _ => {}
        }
        let name = COMMANDS.get(usize::from(command)).copied().unwrap_or("UNKNOWN");
        let Some(waiting) = waiting else { return };
        let tree = if tree == 0 { waiting.tree } else { tree };
        let session = if session == 0 { waiting.session } else { session };
        self.tell(way, name, Some(status), (tree, session), [&waiting.details, &details], cx);
    }

    fn tell(
        &mut self,
        way: Direction,
        command: &str,
        status: Option<u32>,
        (tree, session): (u32, u64),
        details: [&Fields; 2],
        cx: &mut Context<'_>,
    ) {
        self.told += 1;
        let id = self.told;
        let mut buffer = [0; 10];
        let code = status.map(|status| hex_of(status, &mut buffer));
        let dialect = self.dialect;
        cx.tell_with("smb", way, |smb| {
            smb.number("id", id);
            smb.text(
                "dialect",
                match (dialect, self.old_dialects.first()) {
                    (Some(dialect), _) => dialect_name(dialect).as_bytes(),
                    (None, Some(old)) => old,
                    (None, None) => b"unknown",
                },
            );
            smb.text("command", command);
            smb.text_if("status", status.map(status_name));
            smb.text_if("status_code", code);
            smb.number("session_id", session);
            smb.number("tree_id", tree);
            for part in details {
                smb.append(part);
            }
        });
    }

    /// MS-CIFS 2.2.3.1: the header of 32 bytes, words, bytes.
    fn old(&mut self, way: Direction, message: &[u8], cx: &mut Context<'_>) {
        let mut at = Cursor::new(message);
        let mut read = || {
            at.skip(4)?;
            let (command, status, flags, flags2) = (at.u8()?, at.le32()?, at.u8()?, at.le16()?);
            at.skip(12)?;
            let (tree, _process, user, multiplex) = (at.le16()?, at.le16()?, at.le16()?, at.le16()?);
            let words = at.u8()?;
            let words = at.take(2 * usize::from(words))?;
            let _count = at.le16()?;
            Some((command, status, flags, flags2, tree, user, multiplex, words))
        };
        let Some((command, status, flags, flags2, tree, user, multiplex, words)) = read() else {
            if message.len() < 32 {
                cx.anomaly("malformed_data");
            }
            return;
        };
        cx.notes.risk(Risk::ObsoleteVersion);
        let data = at.rest();
        let is_unicode = flags2 & 0x8000 != 0;
        let (id, command) = (u64::from(multiplex), u16::from(command));
        if flags & 0x80 == 0 {
            let mut waiting = Waiting {
                id,
                command,
                tree: tree.into(),
                session: user.into(),
                file: None,
                details: Fields::new(),
                is_old: true,
            };
            if self.old_request(way, &mut waiting, is_unicode, words, data, message, cx) {
                self.wait(waiting);
            }
            return;
        }
        let index = self.waiting.iter().position(|waiting| waiting.id == id && waiting.command == command);
        let Some(waiting) = index.map(|index| self.waiting.swap_remove(index)) else { return };
        let mut details = Fields::new();
        let mut chosen = None;
        match command {
            OLD_NEGOTIATE => {
                let index = words.first_chunk::<2>().map_or(u16::MAX, |pair| u16::from_le_bytes(*pair));
                chosen = Some(usize::from(index));
            }
            OLD_SESSION_SETUP if is_failed_login(status) => cx.notes.risk(Risk::FailedLogin),
            OLD_TREE_CONNECT if status == 0 => {
                let service = data.split(|byte| *byte == 0).next().unwrap_or_default();
                details.text("service", service.get(..32).unwrap_or(service));
            }
            OLD_TRANSACTION => {
                // MS-CIFS 2.2.4.33.2: counts and offsets of parameters and data.
                let offset =
                    words.get(14..16).map_or(0, |pair| usize::from(u16::from_le_bytes([pair[0], pair[1]])));
                self.pipe(way, waiting.file, message.get(offset..).unwrap_or_default(), cx);
            }
            OLD_READ => {
                let offset =
                    words.get(12..14).map_or(0, |pair| usize::from(u16::from_le_bytes([pair[0], pair[1]])));
                self.pipe(way, waiting.file, message.get(offset..).unwrap_or_default(), cx);
                return;
            }
            _ => {}
        }
        if let Some(index) = chosen
            && index < self.old_dialects.len()
        {
            // The chosen one is told of from now on.
            self.old_dialects.swap(0, index);
            self.old_dialects.truncate(1);
        }
        let tree = if tree == 0 { waiting.tree } else { tree.into() };
        self.tell(
            way,
            old_name(command),
            Some(status),
            (tree, user.into()),
            [&waiting.details, &details],
            cx,
        );
    }

    /// Whether an answer is waited for.
    #[expect(clippy::too_many_arguments, reason = "a message's parts, read once by the caller")]
    fn old_request(
        &mut self,
        way: Direction,
        waiting: &mut Waiting,
        is_unicode: bool,
        words: &[u8],
        data: &[u8],
        message: &[u8],
        cx: &mut Context<'_>,
    ) -> bool {
        let mut buffer = [0; 512];
        let le16 = |at: usize| words.get(at..at + 2).map_or(0, |pair| u16::from_le_bytes([pair[0], pair[1]]));
        // Unicode text begins at an even distance from the header.
        let text = |data: &'_ [u8], buffer: &mut [u8; 512]| -> usize {
            let from = (message.len() - data.len()) % 2;
            let data = data.get(if is_unicode { from } else { 0 }..).unwrap_or_default();
            if is_unicode {
                let end = data.chunks_exact(2).position(|pair| pair == [0, 0]).unwrap_or(data.len() / 2);
                utf16(data.get(..2 * end).unwrap_or_default(), buffer).len()
            } else {
                let end = data.iter().position(|byte| *byte == 0).unwrap_or(data.len()).min(buffer.len());
                buffer[..end].copy_from_slice(&data[..end]);
                end
            }
        };
        match waiting.command {
            OLD_NEGOTIATE => {
                // Each: 2, text, 0.
                self.old_dialects = data
                    .split(|byte| *byte == 0)
                    .filter_map(|name| name.strip_prefix(&[2]))
                    .take(16)
                    .map(|name| name.get(..32).unwrap_or(name).into())
                    .collect();
                waiting.details.list("client_dialects", |list| {
                    for name in &self.old_dialects {
                        list.text("", name);
                    }
                });
            }
            OLD_SESSION_SETUP => {
                if let Some(login) = Authenticate::find_in(data) {
                    login.write(&mut waiting.details);
                    let host = login.host(&mut buffer);
                    cx.host(HostKind::Other, host);
                } else if words.len() == 26 {
                    // MS-CIFS 2.2.4.53.1: two passwords, then the account's name and domain.
                    let skip = usize::from(le16(14)) + usize::from(le16(16));
                    let len = text(data.get(skip..).unwrap_or_default(), &mut buffer);
                    waiting.details.text("user", &buffer[..len]);
                }
            }
            OLD_TREE_CONNECT => {
                let len = text(data.get(usize::from(le16(6))..).unwrap_or_default(), &mut buffer);
                let share = &buffer[..len];
                waiting.details.text("share", share);
                let server = share.split(|byte| *byte == b'\\').find(|part| !part.is_empty());
                cx.host(HostKind::Other, server.unwrap_or_default());
            }
            OLD_CREATE => {
                let len = text(data, &mut buffer);
                waiting.details.text("filename", if len == 0 { b"<share_root>" } else { &buffer[..len] });
            }
            0x06 | 0x01 | 0x00 | 0x10 => {
                let len = text(data.get(1..).unwrap_or_default(), &mut buffer);
                waiting.details.text("filename", &buffer[..len]);
            }
            OLD_TRANSACTION => {
                let (offset, setup) = (usize::from(le16(24)), le16(30));
                waiting.file = Some(pipe_of(setup));
                self.pipe(way, waiting.file, message.get(offset..).unwrap_or_default(), cx);
            }
            OLD_WRITE => {
                let offset = usize::from(le16(22));
                self.pipe(way, Some(pipe_of(le16(4))), message.get(offset..).unwrap_or_default(), cx);
                return false;
            }
            OLD_READ => waiting.file = Some(pipe_of(le16(4))),
            0x32 | 0x74 | 0x71 | 0x07 => {}
            _ => return false,
        }
        true
    }
}

/// The file of SMB 1 as one of SMB 2.
const fn pipe_of(file: u16) -> [u8; 16] {
    let mut id = [0; 16];
    let [low, high] = file.to_le_bytes();
    id[0] = low;
    id[1] = high;
    id
}

// Commands of SMB 1 (MS-CIFS 2.2.2.1).
const OLD_TRANSACTION: u16 = 0x25;
const OLD_READ: u16 = 0x2e;
const OLD_WRITE: u16 = 0x2f;
const OLD_NEGOTIATE: u16 = 0x72;
const OLD_SESSION_SETUP: u16 = 0x73;
const OLD_TREE_CONNECT: u16 = 0x75;
const OLD_CREATE: u16 = 0xa2;

fn old_name(command: u16) -> &'static str {
    match command {
        0x00 => "SMB1_COMMAND_CREATE_DIRECTORY",
        0x01 => "SMB1_COMMAND_DELETE_DIRECTORY",
        0x06 => "SMB1_COMMAND_DELETE",
        0x07 => "SMB1_COMMAND_RENAME",
        0x10 => "SMB1_COMMAND_CHECK_DIRECTORY",
        OLD_TRANSACTION => "SMB1_COMMAND_TRANS",
        0x32 => "SMB1_COMMAND_TRANS2",
        0x71 => "SMB1_COMMAND_TREE_DISCONNECT",
        OLD_NEGOTIATE => "SMB1_COMMAND_NEGOTIATE_PROTOCOL",
        OLD_SESSION_SETUP => "SMB1_COMMAND_SESSION_SETUP_ANDX",
        0x74 => "SMB1_COMMAND_LOGOFF_ANDX",
        OLD_TREE_CONNECT => "SMB1_COMMAND_TREE_CONNECT_ANDX",
        OLD_CREATE => "SMB1_COMMAND_NT_CREATE_ANDX",
        _ => "UNKNOWN",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpi::protocols::files::peek_of;

    #[test]
    fn versions_differ_in_their_first_byte() {
        let peek = |bytes| peek_of(bytes, Direction::Forward, 4455, true);
        let old = [0, 0, 0, 35, 0xff, b'S', b'M', b'B', 0x72];
        assert_eq!(look(&peek(&old), &[0xff]), Match::Yes(95));
        assert_eq!(look(&peek(&old), &[0xfe]), Match::No);
        assert_eq!(look(&peek(&[0x81, 0, 0, 68, 32]), &[0xff]), Match::More);
        assert_eq!(
            look(&peek(&[0x82, 0, 0, 0, 0, 0, 0, 9, 0xfe, b'S', b'M', b'B']), &[0xfe]),
            Match::Yes(95)
        );
        for len in 0..old.len() {
            let _ = look(&peek(&old[..len]), &[0xff]);
        }
    }

    #[test]
    fn codes_are_printed_without_leading_zeros() {
        let mut buffer = [0; 10];
        assert_eq!(hex_of(0, &mut buffer), b"0x0");
        assert_eq!(hex_of(0xc000_0022, &mut buffer), b"0xc0000022");
        assert_eq!(hex_of(0x103, &mut buffer), b"0x103");
    }
}
