//! Which other protocol of files, disks, sources or printers is this? Told by the first message of each.

use crate::dpi::cursor::Cursor;
use crate::dpi::text::{find, has_word};
use crate::dpi::{Category, First, Match, Over, Peek, Probe, Protocol};
use crate::flow::Direction;

macro_rules! files {
    ($(#[$doc:meta])* $name:ident, $text:literal, $category:ident, $($over:ident $first:expr => $look:expr),+) => {
        $(#[$doc])*
        pub static $name: Protocol = Protocol {
            name: $text,
            eve: None,
            category: Category::$category,
            probes: &[$(Probe { over: Over::$over, first: $first, look: $look }),+],
            parser: None,
        };
    };
}

files!(
    /// Apple's file sharing, over DSI.
    AFP, "afp", FileSharing, Tcp First::Of(&[0, 1]) => look_at_afp
);
files!(
    /// Subversion's own transport.
    SVN, "svn", Collaborative, Tcp First::Of(b"(") => look_at_svn
);
files!(
    /// CVS with a password.
    CVS, "cvspserver", Collaborative, Tcp First::Of(b"B") => look_at_cvs
);
files!(
    /// Perforce.
    PERFORCE, "perforce", Collaborative, Tcp First::Any => look_at_perforce
);
files!(
    /// SCSI over TCP.
    ISCSI, "iscsi", DataTransfer, Tcp First::Of(&[0x03, 0x43, 0x23, 0x01, 0x41, 0x21, 0x04, 0x44]) => look_at_iscsi
);
files!(
    /// Network block devices.
    NBD, "nbd", DataTransfer, Tcp First::Of(b"NI\x25\x67") => look_at_nbd
);
files!(
    /// Ceph's messengers.
    CEPH, "ceph", DataTransfer, Tcp First::Of(b"c") => |peek| Match::of(peek.bytes.starts_with(b"ceph v0") || peek.bytes.starts_with(b"ceph v2"), 98)
);
files!(
    /// Lustre's network, LNet.
    LUSTRE, "lustre", FileSharing, Tcp First::Of(&[0, 0x63, 0xc0, 0xc1]) => look_at_lustre
);
files!(
    /// Jobs of printers (RFC 1179).
    LPD, "lpd", System, Tcp First::In(1, 5) => look_at_lpd
);
files!(
    /// Printers that take pages as they come, with the printer job language.
    PDL, "pdl", System, Tcp First::Of(&[0x1b, b'%', b'@']) => look_at_pdl
);
files!(
    /// Canon's printers and scanners.
    BJNP, "bjnp", System, Udp First::Of(b"BM") => look_at_bjnp, Tcp First::Of(b"BM") => look_at_bjnp
);
files!(
    /// UFTP: files to many receivers at once.
    UFTP, "uftp", DataTransfer, Udp First::Of(&[0x30, 0x31, 0x40, 0x41, 0x50, 0x51]) => look_at_uftp
);
files!(
    /// giFT's OpenFT.
    OPENFT, "openft", Download, Tcp First::Of(b"GO") => look_at_openft
);
files!(
    /// Rx, the calls of AFS.
    RX, "rx", Rpc, Udp First::Any => look_at_rx
);
files!(
    /// HiSLIP: instruments over LAN (IVI-6.1).
    HISLIP, "hislip", Iot, Tcp First::Of(b"H") => look_at_hislip
);

/// DSI: request or reply, command, number, offset or error, length, reserved.
fn look_at_afp(peek: &Peek<'_>) -> Match {
    let Some(&[kind, command, ..]) = peek.bytes.first_chunk::<16>() else { return Match::No };
    let (code, len, reserved) = (peek.be32(4), peek.be32(8) as usize, peek.be32(12));
    let fits = peek.bytes.len() <= len + 16 || command == 6 || command == 2;
    if reserved != 0 || !fits || len > 0x10_0000 || !matches!(command, 1..=6 | 8) {
        return Match::No;
    }
    let is_own_port = peek.has_port(548);
    match (kind, command) {
        // Status: whoever asks, with the two bytes of FPGetSrvrInfo or nothing.
        (0, 3) => Match::of(code == 0 && (len == 0 || (len == 2 && peek.be16(16) == 15)), 92),
        // A session is opened with an option: its size of requests.
        (0, 4) => Match::of(code == 0 && (len == 0 || (len == 6 && peek.be16(16) == 0x0104)), 92),
        (0, 2) => Match::of(code == 0 && len >= 2 && is_own_port, 90),
        (0, 1 | 5 | 6 | 8) => Match::of(is_own_port && code <= 0xffff, 85),
        (1, _) => Match::of(is_own_port && (code == 0 || code > 0xffff_e000), 85),
        _ => Match::No,
    }
}

/// Subversion, libsvn_ra_svn/protocol: lists in brackets; `( success ( 2 2 ( ) ( edit-pipeline`.
fn look_at_svn(peek: &Peek<'_>) -> Match {
    let bytes = peek.bytes;
    if bytes.starts_with(b"( success ( ") {
        return Match::Yes(95);
    }
    let is = bytes.starts_with(b"( 2 ( ")
        && (find(bytes, b"svn://").is_some()
            || find(bytes, b"svndiff").is_some()
            || has_word(bytes, b"edit-pipeline"));
    Match::sure(is)
}

/// The login of cvsclient.texi, "Password scrambling": `BEGIN AUTH REQUEST`, repository, user, password, an end. The
/// other two openings only check a password, or go on with GSSAPI.
fn look_at_cvs(peek: &Peek<'_>) -> Match {
    const OPENINGS: [&[u8]; 3] =
        [b"BEGIN AUTH REQUEST\n", b"BEGIN VERIFICATION REQUEST\n", b"BEGIN GSSAPI REQUEST\n"];
    if OPENINGS.iter().any(|opening| peek.bytes.starts_with(opening)) {
        return Match::Yes(97);
    }
    let may_be = OPENINGS.iter().any(|opening| opening.starts_with(peek.bytes));
    if may_be { Match::More } else { Match::No }
}

/// A checksum of four bytes of length, the length, then `name\0 length value\0`.
fn look_at_perforce(peek: &Peek<'_>) -> Match {
    let Some(&[sum, a, b, c, d]) = peek.bytes.first_chunk::<5>() else { return Match::No };
    if sum != a ^ b ^ c ^ d || d != 0 || c > 1 {
        return Match::No;
    }
    let mut at = Cursor::new(peek.bytes.get(5..).unwrap_or_default());
    let (Some(name), Some(len)) = (at.until_zero(), at.le32()) else { return Match::No };
    let is_name = !name.is_empty() && name.len() < 32 && name.iter().all(u8::is_ascii_alphanumeric);
    Match::sure(is_name && len < 4_096 && at.take(len as usize).is_some() && at.u8() == Some(0))
}

/// RFC 7143 11.2: operation, flags, lengths; a login (0x03, 0x23) carries `key=value` pairs.
fn look_at_iscsi(peek: &Peek<'_>) -> Match {
    let Some(&[operation, flags, ..]) = peek.bytes.first_chunk::<48>() else { return Match::No };
    let len = (peek.be32(4) & 0x00ff_ffff) as usize;
    let text = peek.bytes.get(48..48 + len.min(peek.bytes.len() - 48)).unwrap_or_default();
    let is_own_port = peek.has_port(3260);
    match operation & 0x3f {
        0x03 | 0x23 => {
            // RFC 7143 11.12: versions are 0.
            let is_login = peek.be16(2) == 0 && len < 16_384 && (text.contains(&b'=') || len == 0);
            let names = [
                &b"InitiatorName="[..],
                b"TargetPortalGroupTag=",
                b"SessionType=",
                b"AuthMethod=",
                b"TargetAlias=",
            ];
            let has_name = names.iter().any(|name| find(text, name).is_some());
            Match::of(is_login && (has_name || is_own_port), if has_name { 96 } else { 82 })
        }
        0x04 | 0x01 | 0x21 => Match::of(is_own_port && flags & 0x80 != 0 && len < 0x10_0000, 82),
        _ => Match::No,
    }
}

/// NBD, doc/proto.md: NBDMAGIC, then IHAVEOPT or the old magic number; a client's option begins with IHAVEOPT.
fn look_at_nbd(peek: &Peek<'_>) -> Match {
    let bytes = peek.bytes;
    let is_request =
        bytes.starts_with(&[0x25, 0x60, 0x95, 0x13]) || bytes.starts_with(&[0x67, 0x44, 0x66, 0x98]);
    Match::of(
        bytes.starts_with(b"NBDMAGIC") || bytes.starts_with(b"IHAVEOPT") || (is_request && bytes.len() >= 16),
        96,
    )
}

/// LNet: acceptor's request (be ac ce 71, little-endian), HELLO of socklnd (`csE0` reversed or 0xc6 ...), messages.
fn look_at_lustre(peek: &Peek<'_>) -> Match {
    let is_own_port = peek.has_port(988);
    match peek.bytes {
        // LNET_PROTO_ACCEPTOR_MAGIC 0xacce7100, version 1.
        [0x00, 0x71, 0xce, 0xac, 1, 0, 0, 0, ..] => Match::Yes(96),
        // LNET_PROTO_MAGIC 0x45726963, version 1 to 3.
        [0x63, 0x69, 0x72, 0x45, 1..=4, 0, 0, 0, ..] => Match::Yes(96),
        // KSOCK_MSG_NOOP and KSOCK_MSG_LNET: a type, a checksum and two cookies.
        [0xc0 | 0xc1, 0, 0, 0, _, _, _, _, rest @ ..] if rest.len() >= 16 => {
            let zero_copy = rest.get(..8).is_some_and(|cookie| cookie[4..8] == [0; 4]);
            Match::of(zero_copy, if is_own_port { 92 } else { 65 })
        }
        _ => Match::No,
    }
}

/// RFC 1179 5: a command's byte, the queue's name and LF.
fn look_at_lpd(peek: &Peek<'_>) -> Match {
    let is_own_port = peek.to_port() == 515;
    match peek.bytes {
        [1..=5, queue @ .., b'\n'] if is_own_port => {
            let is_text = queue.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ');
            Match::of(is_text && (1..=128).contains(&queue.len()), 92)
        }
        _ => Match::No,
    }
}

/// PJL's universal exit, or PostScript to the port of raw printing.
fn look_at_pdl(peek: &Peek<'_>) -> Match {
    let is_own_port = matches!(peek.to_port(), 9100..=9103);
    let bytes = peek.bytes;
    match bytes {
        [0x1b, b'%', b'-', b'1', b'2', b'3', b'4', b'5', b'X', ..] => Match::Yes(95),
        [0x1b, b'E' | b'@', ..] => Match::of(is_own_port, 85),
        _ => Match::of(
            (bytes.starts_with(b"@PJL") || bytes.starts_with(b"%!PS"))
                && (is_own_port || bytes.starts_with(b"@PJL")),
            92,
        ),
    }
}

/// `BJNP`, or `BJNB`, `BJNS` and `MFNP` of others: device, command, sequence, session, length.
fn look_at_bjnp(peek: &Peek<'_>) -> Match {
    let magic = [&b"BJNP"[..], b"BJNB", b"BJNS", b"MFNP"];
    let is = magic.iter().any(|magic| peek.bytes.starts_with(magic));
    // 1 printer, 2 scanner; the highest bit marks an answer.
    Match::sure(
        is && peek.bytes.get(4).is_some_and(|kind| matches!(kind & 0x7f, 1 | 2)) && peek.bytes.len() >= 16,
    )
}

/// UFTP: version 3.0 to 5.1 in the first byte, then the function; identities and lengths follow.
fn look_at_uftp(peek: &Peek<'_>) -> Match {
    let Some(&[version, function, ..]) = peek.bytes.first_chunk::<16>() else { return Match::No };
    let is_own_port = peek.has_port(1044);
    // The header's length in words, after the header of 16 bytes, in messages other than encrypted ones.
    let second = peek.bytes.get(16).copied().unwrap_or(0);
    let words = usize::from(peek.bytes.get(17).copied().unwrap_or(0));
    let fits = second == function && words >= 1 && 16 + 4 * words <= peek.bytes.len();
    let is_version = matches!(version, 0x30 | 0x31 | 0x40 | 0x41 | 0x50 | 0x51);
    let is_function = matches!(function, 1..=19);
    match (is_version && is_function, fits, is_own_port || peek.is_multicast) {
        (true, true, true) => Match::Yes(92),
        (true, true, false) => Match::of(words >= 2, 60),
        (true, false, true) => Match::of(is_own_port, 55),
        _ => Match::No,
    }
}

/// OpenFT's downloads are HTTP-like with headers of its own.
fn look_at_openft(peek: &Peek<'_>) -> Match {
    if !peek.bytes.starts_with(b"GET /") {
        return Match::No;
    }
    Match::of(find(peek.bytes, b"X-OpenftAlias:").is_some(), 96)
}

/// Rx: epoch, connection, call, sequence, serial, type, flags, status, security, checksum, service.
fn look_at_rx(peek: &Peek<'_>) -> Match {
    let Some(head) = peek.bytes.first_chunk::<28>() else { return Match::No };
    let [kind, flags, _status, security] = [head[20], head[21], head[22], head[23]];
    let service = u16::from_be_bytes([head[26], head[27]]);
    // Epochs are times since 1990 or have their highest bit set; calls and serials are small at first.
    let epoch = peek.be32(0);
    let (call, sequence, serial) = (peek.be32(8), peek.be32(12), peek.be32(16));
    let is = (1..=13).contains(&kind) && flags & 0xc0 == 0 && security <= 3;
    let is_young = call < 0x10_0000 && sequence < 0x10_0000 && (1..0x10_0000).contains(&serial);
    let is_port = matches!(peek.ports.0, 7000..=7009) || matches!(peek.ports.1, 7000..=7009);
    if !(is && is_young && epoch > 0x2000_0000) {
        return Match::No;
    }
    // vldb, file server, callbacks, protection, volumes.
    let is_service = matches!(service, 1 | 4 | 52 | 73 | 731 | 2490);
    let is_same =
        [peek.other, peek.previous].iter().any(|known| known.get(..4) == head.get(..4) && known.len() >= 28);
    match (is_port, is_same) {
        (true, _) => Match::Yes(90),
        (false, true) => Match::of(is_service, 85),
        (false, false) => Match::of(is_service, 45),
    }
}

/// IVI-6.1 2.2: `HS`, type, control, parameter, length of 64 bits.
fn look_at_hislip(peek: &Peek<'_>) -> Match {
    let Some(&[b'H', b'S', kind, ..]) = peek.bytes.first_chunk::<16>() else { return Match::No };
    let len = peek.be32(12) as usize;
    let fits = peek.be32(8) == 0 && peek.bytes.len() <= (len + 16) * 8;
    Match::of(
        fits && kind <= 38
            && (peek.has_port(4880) || (kind <= 1 && peek.way == Direction::Forward) || kind == 1),
        93,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpi::protocol::samples::told_apart;

    type Look = fn(&Peek<'_>) -> Match;

    const CASES: &[(&str, Look, &[u8])] = &[
        ("afp", look_at_afp, b"\0\x03\0\x01\0\0\0\0\0\0\0\0\0\0\0\0"),
        ("git", super::super::git::look, b"0033git-upload-pack /project.git\0host=example.org\0"),
        ("svn", look_at_svn, b"( success ( 2 2 ( ) ( edit-pipeline svndiff1 ) ) ) "),
        ("cvspserver", look_at_cvs, b"BEGIN AUTH REQUEST\n/cvs\nanonymous\nA\nEND AUTH REQUEST\n"),
        ("nbd", look_at_nbd, b"NBDMAGICIHAVEOPT\0\x03"),
        ("lustre", look_at_lustre, b"\x63\x69\x72\x45\x03\0\0\0\x84\x58\xa8\xc0"),
        ("pdl", look_at_pdl, b"\x1b%-12345X@PJL JOB\r\n"),
        ("bjnp", look_at_bjnp, b"BJNP\x01\x01\0\0\0\x01\0\0\0\0\0\0"),
        ("hislip", look_at_hislip, b"HS\0\0\x01\0xx\0\0\0\0\0\0\0\x07hislip0"),
    ];

    #[test]
    fn first_messages_are_recognised_and_cut_ones_do_no_harm() {
        told_apart(CASES);
    }
}
