//! ONC RPC: NFS, its portmapper, mount and lock services: which program and procedure is called?
//! (RFC 5531, 1094, 1813, 7530, 1833)

use crate::dpi::cursor::Cursor;
use crate::dpi::parser::{Context, Parser, Step};
use crate::dpi::{Category, Fields, First, Kept, Match, Over, Peek, Probe, Protocol};
use crate::flow::Direction;
use crate::rules::detect::{FieldId, field};

/// NFS and the services around it.
pub static NFS: Protocol = Protocol {
    name: "nfs",
    eve: None,
    category: Category::FileSharing,
    probes: &[
        Probe { over: Over::Tcp, first: First::In(0, 0x80), look: look_at_record },
        Probe { over: Over::Udp, first: First::Any, look: |peek| look(peek.bytes, peek, is_of_nfs) },
    ],
    parser: Some(|| Box::<Calls>::default()),
};

/// Other programs.
pub static RPC: Protocol = Protocol {
    name: "rpc",
    eve: None,
    category: Category::Rpc,
    probes: &[
        Probe { over: Over::Tcp, first: First::Of(&[0x80]), look: look_at_other_record },
        Probe {
            over: Over::Udp,
            first: First::Any,
            look: |peek| look(peek.bytes, peek, |program| !is_of_nfs(program)),
        },
    ],
    parser: Some(|| Box::<Calls>::default()),
};

/// GlusterFS, which is ONC RPC with programs of its own.
pub static GLUSTERFS: Protocol = Protocol {
    name: "glusterfs",
    eve: None,
    category: Category::FileSharing,
    probes: &[Probe { over: Over::Tcp, first: First::Of(&[0x80]), look: look_at_gluster }],
    parser: None,
};

const PORTMAP: u32 = 100_000;
const NFS_PROGRAM: u32 = 100_003;
const MOUNT: u32 = 100_005;
const NLM: u32 = 100_021;

/// Portmapper, NFS, mount, lock manager, status, quota, ACL.
const fn is_of_nfs(program: u32) -> bool {
    matches!(program, PORTMAP | NFS_PROGRAM | MOUNT | NLM | 100_024 | 100_011 | 100_227)
}

const fn is_gluster(program: u32) -> bool {
    matches!(
        program,
        14_398_633 | 14_398_640 | 1_298_433
            ..=1_298_440 | 34_123_501 | 1_238_433 | 1_238_437 | 4_867_634 | 5_867_634
    )
}

/// RFC 5531 9: transaction, CALL, RPC version 2, program, version, procedure, credential.
fn call(bytes: &[u8]) -> Option<(u32, u32, u32)> {
    let mut at = Cursor::new(bytes);
    let (_xid, kind, rpc) = (at.be32()?, at.be32()?, at.be32()?);
    let (program, version, procedure) = (at.be32()?, at.be32()?, at.be32()?);
    let (flavour, len) = (at.be32()?, at.be32()?);
    // RFC 5531 8.2: a credential has 400 bytes at most; what follows it has a flavour too.
    at.skip(padded(len.min(404)))?;
    let (verifier, verifier_len) = (at.be32()?, at.be32()?);
    let is = len <= 400
        && verifier_len <= 400
        && (verifier <= 6 || (390_000..=390_011).contains(&verifier))
        && kind == 0
        && rpc == 2
        && version <= 1_000
        && procedure < 1_000
        && program < 0x6000_0000
        && (flavour <= 6 || (390_000..=390_011).contains(&flavour));
    is.then_some((program, version, procedure))
}

/// A program nobody knows is less sure: numbers of other protocols look alike.
fn look(bytes: &[u8], peek: &Peek<'_>, wanted: fn(u32) -> bool) -> Match {
    if bytes.get(4..12) == Some(&[0, 0, 0, 0, 0, 0, 0, 2]) {
        return Match::of(
            call(bytes)
                .is_some_and(|(program, ..)| program >= 100_000 && wanted(program) && !is_gluster(program)),
            if wanted(NFS_PROGRAM) { 96 } else { 75 },
        );
    }
    // An answer says neither program nor version: accepted, and a verifier.
    let is_reply = bytes.get(4..12) == Some(&[0, 0, 0, 1, 0, 0, 0, 0]) && bytes.len() >= 24;
    let is_verified = bytes.get(12..15) == Some(&[0, 0, 0]);
    Match::of(
        is_reply && is_verified && wanted(NFS_PROGRAM) && (peek.has_port(2049) || peek.has_port(111)),
        85,
    )
}

/// RFC 5531 11: a record's fragment with its length, the highest bit of the last one.
fn record<'a>(peek: &Peek<'a>) -> Option<&'a [u8]> {
    let len = peek.be32(0) & 0x7fff_ffff;
    ((24..=0x20_0000).contains(&len)).then(|| peek.bytes.get(4..)).flatten()
}

fn look_at_record(peek: &Peek<'_>) -> Match {
    record(peek).map_or(Match::No, |bytes| look(bytes, peek, is_of_nfs))
}

fn look_at_other_record(peek: &Peek<'_>) -> Match {
    record(peek).map_or(Match::No, |bytes| look(bytes, peek, |program| !is_of_nfs(program)))
}

fn look_at_gluster(peek: &Peek<'_>) -> Match {
    let program = record(peek).and_then(call).map(|(program, ..)| program);
    Match::sure(program.is_some_and(is_gluster))
}

/// Procedures of NFS version 3 (RFC 1813 3.3).
const VERSION_3: [&str; 22] = [
    "NULL",
    "GETATTR",
    "SETATTR",
    "LOOKUP",
    "ACCESS",
    "READLINK",
    "READ",
    "WRITE",
    "CREATE",
    "MKDIR",
    "SYMLINK",
    "MKNOD",
    "REMOVE",
    "RMDIR",
    "RENAME",
    "LINK",
    "READDIR",
    "READDIRPLUS",
    "FSSTAT",
    "FSINFO",
    "PATHCONF",
    "COMMIT",
];

/// Procedures of NFS version 2 (RFC 1094 2.2).
const VERSION_2: [&str; 18] = [
    "NULL",
    "GETATTR",
    "SETATTR",
    "ROOT",
    "LOOKUP",
    "READLINK",
    "READ",
    "WRITECACHE",
    "WRITE",
    "CREATE",
    "REMOVE",
    "RENAME",
    "LINK",
    "SYMLINK",
    "MKDIR",
    "RMDIR",
    "READDIR",
    "STATFS",
];

/// Calls that wait for their answers.
const WAITING_MAX: usize = 16;
const RECORDS_MAX: u32 = 5_000;
const READ_BYTES_MAX: usize = 1_024;

#[derive(Default)]
struct Calls {
    waiting: Vec<Waiting>,
    /// Calls so far.
    begun: u32,
    told: u32,
}

struct Waiting {
    transaction: u32,
    program: u32,
    version: u32,
    procedure: u32,
    file: Kept,
    /// What a rename names anew.
    to: Option<Kept>,
    number: u32,
    flavour: u32,
    machine: Kept,
    user: Option<(u32, u32)>,
}

impl Parser for Calls {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        let (message, used) = if cx.flow.protocol == crate::parse::Protocol::UDP {
            (bytes, bytes.len())
        } else {
            let Some(head) = bytes.first_chunk::<4>() else { return Step::Consumed(0) };
            let len = (u32::from_be_bytes(*head) & 0x7fff_ffff) as usize;
            let rest = bytes.get(4..).unwrap_or_default();
            if len > 0x20_0000 {
                cx.anomaly("invalid_record_length");
                return Step::Done;
            }
            if rest.len() < len.min(READ_BYTES_MAX) {
                return Step::Consumed(0);
            }
            (rest.get(..len.min(rest.len())).unwrap_or_default(), 4 + len)
        };
        // What is cut off or unknown tells nothing.
        let _ = match message.get(4..8) {
            Some([0, 0, 0, 0]) => self.called(message),
            Some([0, 0, 0, 1]) => self.answered(way, message, cx),
            _ => None,
        };
        if self.told >= RECORDS_MAX { Step::Done } else { Step::Consumed(used) }
    }

    fn start_over(&mut self) -> bool {
        *self = Self::default();
        true
    }
}

impl Calls {
    fn called(&mut self, message: &[u8]) -> Option<()> {
        let (program, version, procedure) = call(message)?;
        let mut at = Cursor::new(message);
        let transaction = at.be32()?;
        at.skip(20)?;
        let (flavour, len) = (at.be32()?, at.be32()?);
        let credential = at.take(padded(len))?;
        let (_verifier, len) = (at.be32()?, at.be32()?);
        at.skip(padded(len))?;
        let mut waiting = Waiting {
            transaction,
            program,
            version,
            procedure,
            file: Kept::new(),
            to: None,
            number: self.begun + 1,
            flavour,
            machine: Kept::new(),
            user: None,
        };
        // RFC 5531 appendix A: AUTH_SYS has the machine's name, user and group.
        if flavour == 1 {
            let mut at = Cursor::new(credential);
            at.skip(4)?;
            let name = text(&mut at)?;
            waiting.machine = name.get(..255).unwrap_or(name).into();
            waiting.user = at.be32().zip(at.be32());
        }
        waiting.file = match (program, version, procedure) {
            // A directory's handle and a name in it.
            (NFS_PROGRAM, 3, 3 | 8..=14) => {
                let _directory = text(&mut at);
                text(&mut at)
            }
            (NFS_PROGRAM, 2, 4 | 9..=11 | 14 | 15) => at.take(32).and_then(|_handle| text(&mut at)),
            (MOUNT, _, 1 | 3) => text(&mut at),
            _ => None,
        }
        .map(|name| name.get(..255).unwrap_or(name))
        .unwrap_or_default()
        .into();
        if matches!((program, version, procedure), (NFS_PROGRAM, 3, 14) | (NFS_PROGRAM, 2, 11)) {
            // The other directory's handle has a length since version 3.
            let handle = if version == 3 { text(&mut at) } else { at.take(32) };
            let name = handle.and_then(|_handle| text(&mut at)).unwrap_or_default();
            waiting.to = Some(name.get(..255).unwrap_or(name).into());
        }
        self.begun += 1;
        if self.waiting.len() >= WAITING_MAX {
            self.waiting.remove(0);
        }
        self.waiting.push(waiting);
        Some(())
    }

    fn answered(&mut self, way: Direction, message: &[u8], cx: &mut Context<'_>) -> Option<()> {
        let mut at = Cursor::new(message);
        let transaction = at.be32()?;
        let index = self.waiting.iter().position(|waiting| waiting.transaction == transaction)?;
        let waiting = self.waiting.swap_remove(index);
        at.skip(4)?;
        let is_accepted = at.be32()? == 0;
        let (_verifier, len) = (at.be32()?, at.be32()?);
        at.skip(padded(len))?;
        let is_done = is_accepted && at.be32() == Some(0);
        let status = at.be32();
        if waiting.program == NFS_PROGRAM && cx.rules.is_on() {
            tell_rules(&waiting, cx);
        }
        // What only moves data or reads attributes would drown the rest.
        if waiting.program == NFS_PROGRAM
            && matches!((waiting.version, waiting.procedure), (3, 6 | 7 | 21) | (2, 6 | 8))
        {
            return None;
        }
        if waiting.program == PORTMAP
            && waiting.procedure == 3
            && let Some(port) = status
        {
            // The service that was asked for answers there.
            let port = u16::try_from(port).ok().filter(|port| *port != 0)?;
            cx.expect(cx.flow.responder.0, port, &NFS);
        }
        self.told += 1;
        let is_nfs = waiting.program == NFS_PROGRAM;
        let names: &[&str] = if waiting.version == 2 { &VERSION_2 } else { &VERSION_3 };
        let procedure = match waiting.version {
            4 if waiting.procedure == 1 => Some("COMPOUND"),
            _ => names.get(waiting.procedure as usize).copied(),
        };
        cx.tell_with(if is_nfs { "nfs" } else { "rpc" }, way, |fields| {
            if is_nfs {
                fields.number("version", waiting.version);
                fields.text_if("procedure", procedure);
                fields.text("filename", &waiting.file);
                fields.number("id", waiting.number);
                // What moves a file's contents is not told of.
                fields.bool("file_tx", false);
                fields.text("type", "response");
                // NULL has no result.
                let status = status.or(is_done.then_some(0));
                fields.text("status", status.map_or("UNKNOWN", status_name));
                if let Some(to) = &waiting.to {
                    fields.object("rename", |rename| {
                        rename.text("from", &waiting.file);
                        rename.text("to", to);
                    });
                }
            } else {
                fields.number("program", waiting.program);
                fields.number("version", waiting.version);
                fields.number("procedure", waiting.procedure);
                if !waiting.file.is_empty() {
                    fields.text("path", &waiting.file);
                }
            }
            if is_nfs {
                fields.object("/rpc", |rpc| write_rpc(rpc, &waiting, is_accepted));
            } else {
                write_rpc(fields, &waiting, is_accepted);
            }
        });
        Some(())
    }
}

const PROCEDURE: FieldId = field("nfs_procedure");
const VERSION: FieldId = field("nfs.version");
const NAMED: FieldId = field("nfs.named");

/// Transactions of calls, apart from those of records.
const FIRST_CALL: u32 = 0x8000_0000;

/// Tells rules of a call: which procedure of which version.
fn tell_rules(call: &Waiting, cx: &mut Context<'_>) {
    let rules = &mut cx.rules;
    rules.number(PROCEDURE, call.procedure.into());
    rules.number(VERSION, call.version.into());
    if call.version == 3 {
        rules.number(NAMED, call.procedure.into());
    }
    let transaction = FIRST_CALL | call.number;
    rules.stage("nfs", transaction, Direction::Forward, true);
    rules.end(transaction);
}

/// Suricata's `rpc`.
fn write_rpc(rpc: &mut Fields, call: &Waiting, is_accepted: bool) {
    rpc.number("xid", call.transaction);
    rpc.text("status", if is_accepted { "ACCEPTED" } else { "DENIED" });
    // RFC 5531 8.2, RFC 2203.
    match call.flavour {
        0 => rpc.text("auth_type", "NULL"),
        1 => rpc.text("auth_type", "UNIX"),
        2 => rpc.text("auth_type", "SHORT"),
        6 => rpc.text("auth_type", "GSS"),
        other => rpc.number("auth_type", other),
    }
    if let Some((user, group)) = call.user {
        rpc.object("creds", |creds| {
            creds.text("machine_name", &call.machine);
            creds.number("uid", user);
            creds.number("gid", group);
        });
    }
}

/// RFC 1813 2.6.
const fn status_name(status: u32) -> &'static str {
    match status {
        0 => "OK",
        1 => "ERR_PERM",
        2 => "ERR_NOENT",
        5 => "ERR_IO",
        6 => "ERR_NXIO",
        13 => "ERR_ACCESS",
        17 => "ERR_EXIST",
        18 => "ERR_XDEV",
        19 => "ERR_NODEV",
        20 => "ERR_NOTDIR",
        21 => "ERR_ISDIR",
        22 => "ERR_INVAL",
        27 => "ERR_FBIG",
        28 => "ERR_NOSPC",
        30 => "ERR_ROFS",
        31 => "ERR_MLINK",
        63 => "ERR_NAMETOOLONG",
        66 => "ERR_NOTEMPTY",
        69 => "ERR_DQUOT",
        70 => "ERR_STALE",
        71 => "ERR_REMOTE",
        10_001 => "ERR_BADHANDLE",
        10_002 => "ERR_NOT_SYNC",
        10_003 => "ERR_BAD_COOKIE",
        10_004 => "ERR_NOTSUPP",
        10_005 => "ERR_TOOSMALL",
        10_006 => "ERR_SERVERFAULT",
        10_007 => "ERR_BADTYPE",
        10_008 => "ERR_JUKEBOX",
        _ => "UNKNOWN",
    }
}

/// RFC 4506 4: everything fills words of four bytes.
const fn padded(len: u32) -> usize {
    (len as usize).saturating_add(3) & !3
}

fn text<'a>(at: &mut Cursor<'a>) -> Option<&'a [u8]> {
    let len = at.be32()?;
    at.take(padded(len))?.get(..len as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpi::protocols::files::peek_of;

    #[test]
    fn calls_have_a_program() {
        let mut bytes = vec![1, 2, 3, 4];
        for word in [0_u32, 2, MOUNT, 3, 1, 0, 0, 0, 0] {
            bytes.extend_from_slice(&word.to_be_bytes());
        }
        assert_eq!(call(&bytes), Some((MOUNT, 3, 1)));
        let peek = peek_of(&bytes, Direction::Forward, 700, false);
        assert_eq!(look(&bytes, &peek, is_of_nfs), Match::Yes(96));
        for len in 0..bytes.len() {
            let _ = look(&bytes[..len], &peek, is_of_nfs);
            Calls::default().called(&bytes[..len]);
        }
        assert_eq!(padded(u32::MAX), u32::MAX as usize + 1);
    }
}
