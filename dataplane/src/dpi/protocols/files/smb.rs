//! SMB: who opens which file of which share? (MS-CIFS, MS-SMB2; NetBIOS sessions: RFC 1002 4.3)
//!
//! One record a command that matters to an analyst: negotiation, login, tree, file opened, changed or removed; what only
//! moves data (read, write, echo) is skipped. Fields are those of Suricata's `smb`.

use super::super::names::line::Line;
use super::dcerpc::Calls;
use super::frames;
use super::ntlmssp::Authenticate;
use super::transfers::{Piece, Transfers};
use crate::dpi::cursor::Cursor;
use crate::dpi::fields::Value;
use crate::dpi::parser::{Context, Parser, Step};
use crate::dpi::text::utf16;
use crate::dpi::{Category, Fields, First, HostKind, Kept, Match, Over, Peek, Probe, Protocol, Risk};
use crate::flow::Direction;
use crate::rules::detect::field;

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
    /// What the last tree connect of SMB 1 asked for.
    service: Kept,
    /// The index the server chose, of SMB 1's list.
    old_dialects: Vec<Kept>,
    is_old_chosen: bool,
    pipe: Vec<Pipe>,
    files: Transfers,
    /// Bytes of the message that is read that are to come.
    left: usize,
    told: u32,
    /// Transactions begun.
    begun: u32,
}

/// A file through which DCE/RPC goes.
struct Pipe {
    file: [u8; 16],
    calls: Calls,
    /// The command that carried the last request, and its number.
    asked: (&'static str, u32),
}

struct Waiting {
    /// Of the transaction.
    number: u32,
    id: u64,
    command: u16,
    tree: u32,
    session: u64,
    file: Option<[u8; 16]>,
    /// Where in the file what is read begins.
    offset: u64,
    details: Fields,
    /// Whether it is SMB 1.
    is_old: bool,
}

impl Parser for Session {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        if cx.flow.protocol == crate::parse::Protocol::UDP {
            return Step::Done;
        }
        if self.files.is_within(way) {
            return Step::Consumed(self.files.rest(way, bytes, cx));
        }
        let Some(&[kind, flags, high, low]) = bytes.first_chunk::<4>() else { return Step::Consumed(0) };
        // MS-SMB2 2.1: over TCP alone the length has 24 bits.
        let len = u32::from_be_bytes([0, flags, high, low]) as usize;
        match kind {
            0 => {}
            0x81..=0x85 => {
                let len = u16::from_be_bytes([high, low]);
                cx.rules.message(way, &frames::NBSS, bytes, 4, len.into());
                return Step::Consumed(4 + usize::from(len));
            }
            _ => {
                cx.anomaly("malformed_nbss_header");
                return Step::Done;
            }
        }
        let body = bytes.get(4..).unwrap_or_default();
        if body.len() < len.min(READ_BYTES_MAX) {
            return Step::Consumed(0);
        }
        frames::tell(way, bytes, len, cx);
        let body = body.get(..len.min(body.len())).unwrap_or_default();
        self.left = len - body.len();
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
        match () {
            () if self.told >= RECORDS_MAX => Step::Done,
            // What follows is a file's.
            () if self.files.is_within(way) => Step::Consumed(4 + body.len()),
            () => Step::Consumed(4 + len),
        }
    }

    /// What was asked and not answered is told as well.
    fn end(&mut self, cx: &mut Context<'_>) {
        for waiting in std::mem::take(&mut self.waiting) {
            if !is_told(waiting.command, waiting.is_old) {
                continue;
            }
            let mut answer = Fields::new();
            if matches!((waiting.command, waiting.is_old), (CREATE, false) | (OLD_CREATE, true)) {
                write_created(&mut answer, None, b"");
            }
            let (tree, session) = (waiting.tree, waiting.session);
            self.tell(Direction::Forward, &waiting, None, (tree, session), &answer, cx);
        }
        for mut pipe in std::mem::take(&mut self.pipe) {
            pipe.calls.end(cx);
        }
        self.files.end(cx);
    }

    fn start_over(&mut self) -> bool {
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.clear();
        *self = Self { waiting, ..Self::default() };
        true
    }
}

// Commands of SMB 2 (MS-SMB2 2.2.1).
const NEGOTIATE: u16 = 0;
const SESSION_SETUP: u16 = 1;
const TREE_CONNECT: u16 = 3;
const CREATE: u16 = 5;
const CLOSE: u16 = 6;
const READ: u16 = 8;
const GET_INFO: u16 = 16;
const OPLOCK_BREAK: u16 = 18;
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

/// Which commands are told of with a record of their own: what moves data or asks for attributes is not.
const fn is_told(command: u16, is_old: bool) -> bool {
    if is_old {
        !matches!(command, OLD_TRANSACTION | OLD_TRANSACTION2 | OLD_READ | OLD_WRITE)
    } else {
        !matches!(command, READ | WRITE | GET_INFO | SET_INFO | OPLOCK_BREAK)
    }
}

/// `229b3f52-ad09-11e7-1aa9-00088bb57f27`: little-endian groups, as Suricata prints GUIDs and files.
fn guid_text(raw: &[u8; 16]) -> [u8; 36] {
    const ORDER: [usize; 16] = [3, 2, 1, 0, 5, 4, 7, 6, 9, 8, 11, 10, 15, 14, 13, 12];
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut text = [b'-'; 36];
    let mut place = 0;
    for (index, from) in ORDER.into_iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            place += 1;
        }
        text[place] = HEX[usize::from(raw[from] >> 4)];
        text[place + 1] = HEX[usize::from(raw[from] & 15)];
        place += 2;
    }
    text
}

/// MS-DTYP 2.3.3: 100 ns since 1601; told as seconds since 1970, and nothing as 0.
const fn unix_seconds(filetime: u64) -> u64 {
    (filetime / 10_000_000).saturating_sub(11_644_473_600)
}

/// What an answer says of the file that was opened: four times (created, accessed, written, changed), then its size.
fn write_created(fields: &mut Fields, answer: Option<([u64; 4], u64)>, file: &[u8]) {
    let (times, size) = answer.unwrap_or_default();
    let [created, accessed, modified, changed] = times.map(unix_seconds);
    fields.number("created", created);
    fields.number("accessed", accessed);
    fields.number("modified", modified);
    fields.number("changed", changed);
    fields.number("size", size);
    fields.text("fuid", file);
}

/// MS-SMB2 2.2.13, the same numbers as MS-CIFS 2.2.4.64.1.
const fn disposition_name(disposition: u32) -> &'static str {
    match disposition {
        0 => "FILE_SUPERSEDE",
        1 => "FILE_OPEN",
        2 => "FILE_CREATE",
        3 => "FILE_OPEN_IF",
        4 => "FILE_OVERWRITE",
        5 => "FILE_OVERWRITE_IF",
        _ => "UNKNOWN",
    }
}

/// Name, disposition and options of an open request: FILE_DIRECTORY_FILE is 1, FILE_DELETE_ON_CLOSE 0x1000.
fn write_open(fields: &mut Fields, name: &[u8], disposition: u32, options: u32) {
    let key = if options & 1 != 0 { "directory" } else { "filename" };
    fields.text(key, if name.is_empty() { b"<share_root>" } else { name });
    fields.text("disposition", disposition_name(disposition));
    fields.text("access", if options & 0x1000 != 0 { "delete on close" } else { "normal" });
}

/// MS-FSCC 2.3 and MS-SMB2 2.2.31.
const fn function_name(code: u32) -> Option<&'static str> {
    Some(match code {
        0x0006_0194 => "FSCTL_DFS_GET_REFERRALS",
        0x0006_01b0 => "FSCTL_DFS_GET_REFERRALS_EX",
        0x0009_0000 => "FSCTL_REQUEST_OPLOCK_LEVEL_1",
        0x0009_00a4 => "FSCTL_SET_REPARSE_POINT",
        0x0009_00a8 => "FSCTL_GET_REPARSE_POINT",
        0x0009_00c0 => "FSCTL_CREATE_OR_GET_OBJECT_ID",
        0x0009_8208 => "FSCTL_FILE_LEVEL_TRIM",
        0x0011_400c => "FSCTL_PIPE_PEEK",
        0x0011_0018 => "FSCTL_PIPE_WAIT",
        0x0011_c017 => "FSCTL_PIPE_TRANSCEIVE",
        0x0014_0078 => "FSCTL_SRV_REQUEST_RESUME_KEY",
        0x0014_01d4 => "FSCTL_LMR_REQUEST_RESILIENCY",
        0x0014_01fc => "FSCTL_QUERY_NETWORK_INTERFACE_INFO",
        0x0014_0204 => "FSCTL_VALIDATE_NEGOTIATE_INFO",
        0x0014_4064 => "FSCTL_SRV_ENUMERATE_SNAPSHOTS",
        0x0014_40f2 => "FSCTL_SRV_COPYCHUNK",
        0x0014_41bb => "FSCTL_SRV_READ_HASH",
        0x0014_80f2 => "FSCTL_SRV_COPYCHUNK_WRITE",
        _ => return None,
    })
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
                Waiting {
                    number: 0,
                    id,
                    command,
                    tree,
                    session,
                    file: None,
                    offset: 0,
                    details: Fields::new(),
                    is_old: false,
                },
                body,
                message,
                cx,
            );
        } else if status != 0x103 {
            // MS-SMB2 3.3.5.3.1: a negotiation of SMB 1 may be answered in SMB 2.
            let index = self.waiting.iter().position(|waiting| {
                if waiting.is_old {
                    command == NEGOTIATE && waiting.command == OLD_NEGOTIATE
                } else {
                    waiting.id == id && waiting.command == command
                }
            });
            let waiting = index.map(|index| self.waiting.remove(index));
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
                if let Some(guid) = body.get(12..).and_then(|guid| guid.first_chunk()) {
                    details.text("client_guid", guid_text(guid));
                }
            }
            SESSION_SETUP => {
                if let Some(login) = Authenticate::find_in(piece(le16(12), le16(14))) {
                    login.judge(cx);
                    login.write(details);
                    let host = login.host(&mut buffer);
                    cx.host(HostKind::Other, host);
                }
            }
            TREE_CONNECT => {
                let share = utf16(piece(le16(4), le16(6)), &mut buffer);
                details.text(share_key(share), share);
                let server = share.split(|byte| *byte == b'\\').find(|part| !part.is_empty());
                cx.host(HostKind::Other, server.unwrap_or_default());
            }
            CREATE => {
                let name = utf16(piece(le16(44), le16(46)), &mut buffer);
                let le32 =
                    |at: usize| u32::from(le16(at).unwrap_or(0)) | u32::from(le16(at + 2).unwrap_or(0)) << 16;
                write_open(details, name, le32(36), le32(40));
            }
            WRITE => {
                let file = body.get(16..32).and_then(|file| file.first_chunk::<16>()).copied();
                // MS-SMB2 2.2.21: DataOffset, Length, Offset.
                let data = piece_of(message, le16(2).unwrap_or(0).into(), long(body, 4));
                let offset = long64(body, 8);
                self.carry(way, &waiting, Piece { id: file, tree: waiting.tree, offset, ..data }, cx);
                self.pipe_asked(way, file, data.data, &mut waiting, cx);
                return;
            }
            CLOSE => {
                if let Some(file) = body.get(8..24).and_then(|file| file.first_chunk::<16>()) {
                    self.files.close(*file, cx);
                }
            }
            READ => {
                // MS-SMB2 2.2.19: Offset, FileId.
                waiting.file = body.get(16..32).and_then(|file| file.first_chunk::<16>()).copied();
                waiting.offset = long64(body, 8);
            }
            IOCTL => {
                let file = body.get(8..24).and_then(|file| file.first_chunk::<16>()).copied();
                waiting.file = file;
                let code =
                    body.get(4..).and_then(|code| code.first_chunk()).map(|code| u32::from_le_bytes(*code));
                details.text_if("function", code.and_then(function_name));
                // FSCTL_PIPE_TRANSCEIVE.
                if code == Some(0x0011_c017) {
                    self.pipe_asked(way, file, piece(le16(24), le16(28)), &mut waiting, cx);
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
                    Some([1, 13]) => details.text("access", "delete on close"),
                    _ => {}
                }
            }
            _ => {}
        }
        self.wait(waiting);
    }

    /// A request goes through a pipe: its record has what is known of the command.
    fn pipe_asked(
        &mut self,
        way: Direction,
        file: Option<[u8; 16]>,
        data: &[u8],
        waiting: &mut Waiting,
        cx: &mut Context<'_>,
    ) {
        if data.first() != Some(&5) {
            return;
        }
        self.begun += 1;
        waiting.number = self.begun;
        let asked = (name_of(waiting.command, waiting.is_old), waiting.number);
        self.pipe(way, file, data, (None, waiting.tree, waiting.session), Some(asked), cx);
    }

    fn pipe(
        &mut self,
        way: Direction,
        file: Option<[u8; 16]>,
        data: &[u8],
        (status, tree, session): (Option<u32>, u32, u64),
        asked: Option<(&'static str, u32)>,
        cx: &mut Context<'_>,
    ) {
        let Some(file) = file else { return };
        if data.first() != Some(&5) {
            return;
        }
        let index = self.pipe.iter().position(|known| known.file == file).unwrap_or_else(|| {
            if self.pipe.len() >= PIPES_MAX {
                self.pipe.remove(0).calls.end(cx);
            }
            self.pipe.push(Pipe { file, calls: Calls::default(), asked: ("UNKNOWN", 0) });
            self.pipe.len() - 1
        });
        let Some(mut pipe) =
            self.pipe.get_mut(index).map(|pipe| (std::mem::take(&mut pipe.calls), pipe.asked))
        else {
            return;
        };
        pipe.1 = asked.unwrap_or(pipe.1);
        let (command, number) = pipe.1;
        let mut around = pipe.0.around.take().unwrap_or_default();
        around.clear();
        self.write_head(&mut around, number, command, status, (tree, session));
        pipe.0.around = Some(around);
        pipe.0.pipe(way, data, cx);
        if let Some(place) = self.pipe.get_mut(index) {
            (place.calls, place.asked) = pipe;
        }
    }

    /// Bytes of a file that a command reads or writes.
    fn carry(&mut self, way: Direction, waiting: &Waiting, piece: Piece<'_>, cx: &mut Context<'_>) {
        let mut files = std::mem::take(&mut self.files);
        files.data(piece, way, self.left, cx, |smb| {
            let command = name_of(waiting.command, waiting.is_old);
            self.write_head(smb, self.begun, command, None, (waiting.tree, waiting.session));
        });
        self.files = files;
    }

    /// A file was opened by the name that was asked for.
    fn opened(&mut self, id: [u8; 16], waiting: Option<&Waiting>, size: u64, cx: &Context<'_>) {
        let name = waiting.and_then(|waiting| {
            waiting.details.iter().find_map(|(key, value)| match value {
                Value::Text(text) if key == "filename" => Some(text),
                _ => None,
            })
        });
        if let Some(name) = name {
            self.files.opened(id, name, size, cx);
        }
    }

    fn wait(&mut self, mut waiting: Waiting) {
        if waiting.number == 0 && is_told(waiting.command, waiting.is_old) {
            self.begun += 1;
            waiting.number = self.begun;
        }
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
                write_guid(&mut details, body.get(8..));
                for (key, at) in [("max_read_size", 32), ("max_write_size", 36)] {
                    if let Some(size) = body.get(at..).and_then(|size| size.first_chunk()) {
                        details.number(key, u32::from_le_bytes(*size));
                    }
                }
            }
            SESSION_SETUP if is_failed_login(status) => {
                cx.risk(Risk::FailedLogin, format_args!("smb status {status:#010x}"))
            }
            TREE_CONNECT if status == 0 => {
                // MS-SMB2 2.2.10: 1 is a disk.
                if body.get(2) != Some(&1) {
                    self.files.tree_without_files(tree);
                }
                details.text(
                    "share_type",
                    match body.get(2) {
                        Some(1) => "FILE",
                        Some(2) => "PIPE",
                        Some(3) => "PRINT",
                        _ => "UNKNOWN",
                    },
                );
            }
            CREATE => {
                let mut at = Cursor::new(body);
                let mut read = || {
                    at.skip(8)?;
                    let times = [at.le64()?, at.le64()?, at.le64()?, at.le64()?];
                    at.skip(8)?;
                    let size = at.le64()?;
                    at.skip(8)?;
                    Some((times, size, at.array()?))
                };
                match if status == 0 { read() } else { None } {
                    Some((times, size, id)) => {
                        self.opened(id, waiting.as_ref(), size, cx);
                        write_created(&mut details, Some((times, size)), &guid_text(&id));
                    }
                    None => write_created(&mut details, None, b""),
                }
            }
            READ => {
                // MS-SMB2 2.2.20: DataOffset, DataLength.
                let data = piece_of(message, body.get(2).copied().unwrap_or(0).into(), long(body, 4));
                if let Some(waiting) = &waiting {
                    let piece = Piece { id: file, tree: waiting.tree, offset: waiting.offset, ..data };
                    self.carry(way, waiting, piece, cx);
                }
                self.pipe(way, file, data.data, (Some(status), tree, session), None, cx);
                return;
            }
            IOCTL => {
                let (offset, len) = (usize::from(le16(32).unwrap_or(0)), usize::from(le16(36).unwrap_or(0)));
                let data = message.get(offset..offset + len).unwrap_or_default();
                if offset >= 64 && data.first() == Some(&5) {
                    self.pipe(way, file, data, (Some(status), tree, session), None, cx);
                    return;
                }
            }
            _ => {}
        }
        let Some(waiting) = waiting else { return };
        // A rename is told, and that a file will vanish; other attributes are not.
        if !(is_told(waiting.command, waiting.is_old) || command == SET_INFO && !waiting.details.is_empty()) {
            return;
        }
        let tree = if tree == 0 { waiting.tree } else { tree };
        let session = if session == 0 { waiting.session } else { session };
        self.tell(way, &waiting, Some(status), (tree, session), &details, cx);
    }

    fn tell(
        &mut self,
        way: Direction,
        waiting: &Waiting,
        status: Option<u32>,
        tree_and_session: (u32, u64),
        answer: &Fields,
        cx: &mut Context<'_>,
    ) {
        self.told += 1;
        let command = name_of(waiting.command, waiting.is_old);
        cx.rules.number(const { field("smb.version") }, if waiting.is_old { 1 } else { 2 });
        cx.tell_with("smb", way, |smb| {
            self.write_head(smb, waiting.number, command, status, tree_and_session);
            smb.append(&waiting.details);
            smb.append(answer);
        });
    }

    /// What every record begins with.
    fn write_head(
        &self,
        smb: &mut Fields,
        number: u32,
        command: &str,
        status: Option<u32>,
        (tree, session): (u32, u64),
    ) {
        let mut buffer = [0; 10];
        smb.number("id", number);
        smb.text(
            "dialect",
            match (self.dialect, self.old_dialects.first()) {
                (Some(dialect), _) => dialect_name(dialect).as_bytes(),
                (None, Some(old)) if self.is_old_chosen => old,
                (None, _) => b"unknown",
            },
        );
        smb.text("command", command);
        smb.text_if("status", status.map(status_name));
        smb.text_if("status_code", status.map(|status| hex_of(status, &mut buffer)));
        smb.number("session_id", session);
        smb.number("tree_id", tree);
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
        cx.risk(Risk::ObsoleteVersion, format_args!("SMB 1"));
        let data = at.rest();
        let is_unicode = flags2 & 0x8000 != 0;
        let (id, command) = (u64::from(multiplex), u16::from(command));
        if flags & 0x80 == 0 {
            let mut waiting = Waiting {
                number: 0,
                id,
                command,
                tree: tree.into(),
                session: user.into(),
                file: None,
                offset: 0,
                details: Fields::new(),
                is_old: true,
            };
            self.old_request(way, &mut waiting, is_unicode, words, data, message, cx);
            self.wait(waiting);
            return;
        }
        let index = self.waiting.iter().position(|waiting| waiting.id == id && waiting.command == command);
        let Some(waiting) = index.map(|index| self.waiting.remove(index)) else { return };
        let mut details = Fields::new();
        let mut chosen = None;
        match command {
            OLD_NEGOTIATE => {
                let index = words.first_chunk::<2>().map_or(u16::MAX, |pair| u16::from_le_bytes(*pair));
                chosen = Some(usize::from(index));
                // MS-SMB 2.2.4.5.2.1: with CAP_EXTENDED_SECURITY the server's GUID comes first.
                let extends = words.get(22).is_some_and(|capabilities| capabilities & 0x80 != 0);
                write_guid(&mut details, extends.then_some(data));
            }
            OLD_SESSION_SETUP => {
                if is_failed_login(status) {
                    cx.risk(Risk::FailedLogin, format_args!("smb status {status:#010x}"));
                }
                // MS-SMB 2.2.4.6.2: with four words a blob of that length stands before the texts.
                let blob =
                    words.get(6..8).map_or(0, |pair| usize::from(u16::from_le_bytes([pair[0], pair[1]])));
                write_native(&mut details, "response", data.get(blob..), message.len(), is_unicode);
            }
            OLD_TREE_CONNECT => {
                let service = data.split(|byte| *byte == 0).next().unwrap_or_default();
                if matches!(service, b"IPC" | b"LPT1:" | b"COMM") {
                    self.files.tree_without_files(tree.into());
                }
                details.object("service", |fields| {
                    fields.text("request", &self.service);
                    fields.text("response", service.get(..32).unwrap_or(service));
                });
            }
            OLD_CREATE => {
                // MS-CIFS 2.2.4.64.2.
                let mut at = Cursor::new(words);
                let mut read = || {
                    at.skip(5)?;
                    let file = at.le16()?;
                    at.skip(4)?;
                    let times = [at.le64()?, at.le64()?, at.le64()?, at.le64()?];
                    at.skip(12)?;
                    Some((times, at.le64()?, file))
                };
                match if status == 0 { read() } else { None } {
                    Some((times, size, file)) => {
                        self.opened(pipe_of(file), Some(&waiting), size, cx);
                        write_created(
                            &mut details,
                            Some((times, size)),
                            Line::<4>::of(format_args!("{file:04x}")).as_bytes(),
                        );
                    }
                    None => write_created(&mut details, None, b""),
                }
            }
            OLD_TRANSACTION => {
                // MS-CIFS 2.2.4.33.2: counts and offsets of parameters and data.
                let offset =
                    words.get(14..16).map_or(0, |pair| usize::from(u16::from_le_bytes([pair[0], pair[1]])));
                let data = message.get(offset..).unwrap_or_default();
                self.pipe(way, waiting.file, data, (Some(status), tree.into(), user.into()), None, cx);
            }
            OLD_READ => {
                let offset =
                    words.get(12..14).map_or(0, |pair| usize::from(u16::from_le_bytes([pair[0], pair[1]])));
                // MS-CIFS 2.2.4.42.2: DataLength; MS-SMB 2.2.4.2.2: DataLengthHigh.
                let half = |at: usize| {
                    words
                        .get(at..at + 2)
                        .map_or(0, |pair| usize::from(u16::from_le_bytes([pair[0], pair[1]])))
                };
                let data = piece_of(message, offset, half(14) << 16 | half(10));
                let piece = Piece { id: waiting.file, tree: waiting.tree, offset: waiting.offset, ..data };
                self.carry(way, &waiting, piece, cx);
                let data = message.get(offset..).unwrap_or_default();
                self.pipe(way, waiting.file, data, (Some(status), tree.into(), user.into()), None, cx);
            }
            _ => {}
        }
        if !is_told(command, true) {
            return;
        }
        if let Some(index) = chosen
            && index < self.old_dialects.len()
        {
            // The chosen one is told of from now on.
            self.old_dialects.swap(0, index);
            self.old_dialects.truncate(1);
            self.is_old_chosen = true;
        }
        let tree = if tree == 0 { waiting.tree } else { tree.into() };
        self.tell(way, &waiting, Some(status), (tree, user.into()), &details, cx);
    }

    /// What a request says.
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
    ) {
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
                    login.judge(cx);
                    login.write(&mut waiting.details);
                    let host = login.host(&mut buffer);
                    cx.host(HostKind::Other, host);
                } else if words.len() == 26 {
                    // MS-CIFS 2.2.4.53.1: two passwords, then the account's name and domain.
                    let skip = usize::from(le16(14)) + usize::from(le16(16));
                    let len = text(data.get(skip..).unwrap_or_default(), &mut buffer);
                    waiting.details.text("user", &buffer[..len]);
                }
                // MS-SMB 2.2.4.6.1: with twelve words a blob stands before the texts.
                if words.len() == 24 {
                    let texts = data.get(usize::from(le16(14))..);
                    write_native(&mut waiting.details, "request", texts, message.len(), is_unicode);
                }
            }
            OLD_TREE_CONNECT => {
                let len = text(data.get(usize::from(le16(6))..).unwrap_or_default(), &mut buffer);
                let rest = data.get(usize::from(le16(6)) + if is_unicode { 2 * len + 2 } else { len + 1 }..);
                let rest = rest.unwrap_or_default();
                // The share may begin one byte later, so that the service does too.
                let service = rest.iter().position(u8::is_ascii_graphic).and_then(|from| rest.get(from..));
                let service =
                    service.and_then(|text| text.split(|byte| *byte == 0).next()).unwrap_or_default();
                self.service = service.get(..16).unwrap_or(service).into();
                // Suricata leaves the first of the two backslashes out.
                let share = &buffer[..len];
                let share = share.strip_prefix(b"\\").unwrap_or(share);
                waiting.details.text(share_key(share), share);
                let server = share.split(|byte| *byte == b'\\').find(|part| !part.is_empty());
                cx.host(HostKind::Other, server.unwrap_or_default());
            }
            OLD_CREATE => {
                // MS-CIFS 2.2.4.64.1.
                let len = text(data, &mut buffer);
                let le32 = |at: usize| {
                    words
                        .get(at..)
                        .and_then(|word| word.first_chunk())
                        .map_or(0, |word| u32::from_le_bytes(*word))
                };
                write_open(&mut waiting.details, &buffer[..len], le32(35), le32(39));
            }
            0x06 | 0x01 | 0x00 | 0x10 => {
                let len = text(data.get(1..).unwrap_or_default(), &mut buffer);
                waiting.details.text("filename", &buffer[..len]);
            }
            OLD_TRANSACTION => {
                let (offset, setup) = (usize::from(le16(24)), le16(30));
                waiting.file = Some(pipe_of(setup));
                self.pipe_asked(way, waiting.file, message.get(offset..).unwrap_or_default(), waiting, cx);
            }
            OLD_WRITE => {
                // MS-CIFS 2.2.4.43.1: Offset, DataLength and DataOffset; MS-SMB 2.2.4.3.1: DataLengthHigh.
                let (len, offset) =
                    (usize::from(le16(18)) << 16 | usize::from(le16(20)), usize::from(le16(22)));
                let file = Some(pipe_of(le16(4)));
                let at = u64::from(long32(words, 6)) | u64::from(long32(words, 24)) << 32;
                let piece =
                    Piece { id: file, tree: waiting.tree, offset: at, ..piece_of(message, offset, len) };
                self.carry(way, waiting, piece, cx);
                self.pipe_asked(way, file, message.get(offset..).unwrap_or_default(), waiting, cx);
            }
            OLD_READ => {
                // MS-CIFS 2.2.4.42.1: FID, Offset and OffsetHigh.
                waiting.file = Some(pipe_of(le16(4)));
                waiting.offset = u64::from(long32(words, 6)) | u64::from(long32(words, 20)) << 32;
            }
            OLD_CLOSE => self.files.close(pipe_of(le16(0)), cx),
            _ => {}
        }
    }
}

/// A piece of a file within a message, as much of it as is there.
fn piece_of(message: &[u8], offset: usize, len: usize) -> Piece<'_> {
    let data = message.get(offset..).unwrap_or_default();
    Piece { id: None, tree: 0, offset: 0, len, data: data.get(..len).unwrap_or(data) }
}

/// A number of 32 bits; 0 where there is none.
fn long32(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |number| u32::from_le_bytes(*number))
}

fn long(bytes: &[u8], at: usize) -> usize {
    long32(bytes, at) as usize
}

/// A number of 64 bits; 0 where there is none.
fn long64(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |number| u64::from_le_bytes(*number))
}

fn name_of(command: u16, is_old: bool) -> &'static str {
    if is_old { old_name(command) } else { COMMANDS.get(usize::from(command)).copied().unwrap_or("UNKNOWN") }
}

/// A share of pipes has a key of its own.
fn share_key(share: &[u8]) -> &'static str {
    if share.ends_with(b"\\IPC$") || share == b"IPC$" { "named_pipe" } else { "share" }
}

fn write_guid(fields: &mut Fields, bytes: Option<&[u8]>) {
    match bytes.and_then(|bytes| bytes.first_chunk()) {
        Some(guid) => fields.text("server_guid", guid_text(guid)),
        None => fields.text("server_guid", ""),
    }
}

/// The names of the operating system and of the LAN manager, which end a session's set-up in SMB 1.
fn write_native(fields: &mut Fields, key: &str, texts: Option<&[u8]>, message_len: usize, is_unicode: bool) {
    let Some(mut texts) = texts else { return };
    if is_unicode {
        // Unicode text begins at an even distance from the header; the message ends with these texts.
        texts = texts.get((message_len - texts.len()) % 2..).unwrap_or_default();
    }
    let mut buffer = [0; 512];
    fields.object(key, |native| {
        for key in ["native_os", "native_lm"] {
            let (text, used) = if is_unicode {
                let end = texts.chunks_exact(2).position(|pair| pair == [0, 0]).unwrap_or(texts.len() / 2);
                (utf16(texts.get(..2 * end).unwrap_or_default(), &mut buffer), 2 * end + 2)
            } else {
                let end = texts.iter().position(|byte| *byte == 0).unwrap_or(texts.len());
                (texts.get(..end.min(255)).unwrap_or_default(), end + 1)
            };
            native.text(key, text);
            texts = texts.get(used..).unwrap_or_default();
        }
    });
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
const OLD_TRANSACTION2: u16 = 0x32;
const OLD_CLOSE: u16 = 0x04;
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
        0x04 => "SMB1_COMMAND_CLOSE",
        0x07 => "SMB1_COMMAND_RENAME",
        0x08 => "SMB1_COMMAND_QUERY_INFORMATION",
        0x10 => "SMB1_COMMAND_CHECK_DIRECTORY",
        0x1a => "SMB1_COMMAND_READ_RAW",
        0x1d => "SMB1_COMMAND_WRITE_RAW",
        0x24 => "SMB1_COMMAND_LOCKING_ANDX",
        OLD_TRANSACTION => "SMB1_COMMAND_TRANS",
        0x2b => "SMB1_COMMAND_ECHO",
        0x2d => "SMB1_COMMAND_OPEN_ANDX",
        OLD_READ => "SMB1_COMMAND_READ_ANDX",
        OLD_WRITE => "SMB1_COMMAND_WRITE_ANDX",
        0x33 => "SMB1_COMMAND_TRANS2_SECONDARY",
        0x34 => "SMB1_COMMAND_FIND_CLOSE2",
        OLD_TRANSACTION2 => "SMB1_COMMAND_TRANS2",
        0x71 => "SMB1_COMMAND_TREE_DISCONNECT",
        OLD_NEGOTIATE => "SMB1_COMMAND_NEGOTIATE_PROTOCOL",
        OLD_SESSION_SETUP => "SMB1_COMMAND_SESSION_SETUP_ANDX",
        0x74 => "SMB1_COMMAND_LOGOFF_ANDX",
        OLD_TREE_CONNECT => "SMB1_COMMAND_TREE_CONNECT_ANDX",
        0x80 => "SMB1_COMMAND_QUERY_INFO_DISK",
        0xa0 => "SMB1_COMMAND_NT_TRANS",
        OLD_CREATE => "SMB1_COMMAND_NT_CREATE_ANDX",
        0xa4 => "SMB1_COMMAND_NT_CANCEL",
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
    fn files_shares_and_times_are_written_as_suricata_does() {
        let raw =
            [0x96, 0x6e, 0xaf, 0xa3, 0x35, 0x7f, 4, 0x40, 0xa5, 0xf9, 0x64, 0x3e, 0x1b, 0xfa, 0x8c, 0x56];
        assert_eq!(&guid_text(&raw), b"a3af6e96-7f35-4004-f9a5-3e64568cfa1b");
        assert_eq!(unix_seconds(0), 0);
        assert_eq!(unix_seconds(116_444_736_010_000_000), 1);
        assert_eq!(share_key(b"\\\\10.0.0.1\\IPC$"), "named_pipe");
        assert_eq!(share_key(b"\\\\10.0.0.1\\C$"), "share");
        assert!(is_told(CREATE, false) && !is_told(READ, false) && !is_told(OLD_TRANSACTION2, true));
    }

    #[test]
    fn codes_are_printed_without_leading_zeros() {
        let mut buffer = [0; 10];
        assert_eq!(hex_of(0, &mut buffer), b"0x0");
        assert_eq!(hex_of(0xc000_0022, &mut buffer), b"0xc0000022");
        assert_eq!(hex_of(0x103, &mut buffer), b"0x103");
    }
}
