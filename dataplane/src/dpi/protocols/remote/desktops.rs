//! Which other way to another machine's screen or shell is this? Told by the first message of each.

use crate::dpi::text::find;
use crate::dpi::{Category, First, Match, Over, Peek, Probe, Protocol};
use crate::flow::Direction;

macro_rules! desktop {
    ($(#[$doc:meta])* $name:ident, $text:literal, $($over:ident $first:expr => $look:expr),+) => {
        $(#[$doc])*
        pub static $name: Protocol = Protocol {
            name: $text,
            eve: None,
            category: Category::RemoteAccess,
            probes: &[$(Probe { over: Over::$over, first: $first, look: $look }),+],
            parser: None,
        };
    };
}

desktop!(
    /// The X Window System.
    X11, "x11", Tcp First::Of(b"lB") => look_at_x11
);
desktop!(
    /// Citrix: ICA, and CGP that carries it.
    CITRIX, "citrix", Tcp First::Of(&[0x7f, 0x1a]) => look_at_citrix
);
desktop!(
    /// TeamViewer.
    TEAMVIEWER, "teamviewer",
    Tcp First::Of(&[0x17, 0x11]) => look_at_teamviewer,
    Udp First::Of(&[0]) => look_at_teamviewer_datagram
);
desktop!(
    /// Radmin.
    RADMIN, "radmin", Tcp First::Of(&[1]) => look_at_radmin
);
desktop!(
    /// RemoteScan.
    REMOTESCAN, "remotescan", Tcp First::Any => look_at_remotescan
);
desktop!(
    /// NoMachine.
    NOMACHINE, "nomachine",
    Tcp First::Of(b"N") => look_at_nomachine,
    Udp First::Of(&[1, 2]) => look_at_nomachine_datagram
);
desktop!(
    /// SPICE, the desktops of virtual machines.
    SPICE, "spice", Tcp First::Of(b"R") => look_at_spice
);
desktop!(
    /// VMware's consoles and agents.
    VMWARE, "vmware",
    Tcp First::Of(b"2") => |peek| Match::of(find(peek.bytes, b"VMware Authentication Daemon").is_some(), 95),
    Udp First::Of(&[0xa4]) => look_at_vmware
);
desktop!(
    /// RustDesk's rendezvous.
    RUSTDESK, "rustdesk", TcpOrUdp First::Any => look_at_rustdesk
);
desktop!(
    /// Mosh has nothing in clear but its port's first line over SSH: named by its direction bit and lengths.
    MOSH, "mosh", Udp First::Of(&[0, 0x80]) => look_at_mosh
);
desktop!(
    /// DameWare.
    DAMEWARE, "dameware", Tcp First::Of(&[0x30]) => look_at_dameware
);

/// X protocol, 8: byte order, version 11.0, lengths of the authorization's name and data.
fn look_at_x11(peek: &Peek<'_>) -> Match {
    let Some(head) = peek.bytes.first_chunk::<12>() else { return Match::No };
    let is_little = head[0] == b'l';
    let read = |at: usize| if is_little { peek.le16(at) } else { peek.be16(at) };
    let padded = |len: u16| (usize::from(len) + 3) & !3;
    let len = 12 + padded(read(6)) + padded(read(8));
    Match::sure(head[1] == 0 && read(2) == 11 && read(4) == 0 && peek.bytes.len() == len)
}

/// ICA: `\x7f\x7fICA\0`; CGP: `\x1aCGP/01`.
fn look_at_citrix(peek: &Peek<'_>) -> Match {
    let is_ica = peek.bytes.starts_with(b"\x7f\x7fICA\0");
    Match::of(is_ica || peek.bytes.starts_with(b"\x1aCGP/01"), 97)
}

/// The first commands: 17 24 and one of a few, or 11 30 in answers and in later versions.
fn look_at_teamviewer(peek: &Peek<'_>) -> Match {
    let is_own_port = peek.has_port(5938);
    match *peek.bytes {
        // Command 10 (ping) has no body of its own in front.
        [0x17, 0x24, 10..=60, ..] if peek.bytes.len() >= 5 => Match::Yes(if is_own_port { 96 } else { 85 }),
        [0x11, 0x30, 10..=70, 0, a, b, 0 | 1, 0, ..] => {
            let len = usize::from(u16::from_le_bytes([a, b]));
            let fits = len + 24 >= peek.bytes.len() || is_own_port;
            Match::of(fits, if is_own_port { 96 } else { 82 })
        }
        _ => Match::No,
    }
}

/// A datagram: zeros, a counter, and 17 24 or 11 30 in the twelfth byte.
fn look_at_teamviewer_datagram(peek: &Peek<'_>) -> Match {
    let Some(head) = peek.bytes.first_chunk::<14>() else { return Match::No };
    let is_command = matches!(head[11..13], [0x17, 0x24] | [0x11, 0x30]);
    Match::of(head[0] == 0 && is_command, if peek.has_port(5938) { 95 } else { 85 })
}

/// `01 00 00 00`, the length, two bytes, and the message's kind twice.
fn look_at_radmin(peek: &Peek<'_>) -> Match {
    let Some(&[1, 0, 0, 0, l0, _, _, _, kind, again]) = peek.bytes.first_chunk::<10>() else {
        return Match::No;
    };
    let len = usize::from(l0);
    // The length counts what follows the ninth byte.
    let is_hello = len == 1 && peek.bytes.len() == 10 && kind == again && kind >= 8;
    let is_later = len >= 5 && peek.bytes.len() == len + 9 && kind != 0;
    let is_own_port = peek.has_port(4899);
    match (is_hello, is_later, is_own_port) {
        (true, _, _) => Match::Yes(92),
        (_, true, true) => Match::Yes(90),
        _ => Match::No,
    }
}

/// Port 6077: a head whose words are a kind and a length, big- or little-endian.
fn look_at_remotescan(peek: &Peek<'_>) -> Match {
    if !peek.has_port(6077) {
        return Match::No;
    }
    let is_sized =
        peek.be32(0) as usize + 4 == peek.bytes.len() || peek.le32(0) as usize + 4 == peek.bytes.len();
    Match::of(is_sized || find(peek.bytes, b"RemoteScan").is_some(), 88)
}

/// `NXSH-8.10.1\n` and `NXD-8.10.1\n`.
fn look_at_nomachine(peek: &Peek<'_>) -> Match {
    let bytes = peek.bytes;
    let rest = bytes.strip_prefix(b"NXSH-").or_else(|| bytes.strip_prefix(b"NXD-"));
    match rest {
        Some(version) => Match::sure(version.first().is_none_or(u8::is_ascii_digit)),
        None if bytes.len() < 5 && (b"NXSH-".starts_with(bytes) || b"NXD-".starts_with(bytes)) => Match::More,
        None => Match::No,
    }
}

/// Datagrams beside port 4000: a kind, 1, the length of all, a counter (little-endian).
fn look_at_nomachine_datagram(peek: &Peek<'_>) -> Match {
    let is = matches!(peek.bytes, [1 | 2, 0, 1, 0, ..]) && usize::from(peek.le16(4)) == peek.bytes.len();
    Match::of(is && peek.bytes.len() >= 10, if peek.has_port(4000) { 92 } else { 60 })
}

/// SPICE protocol, link message: `REDQ`, version 1 or 2, minor, size.
fn look_at_spice(peek: &Peek<'_>) -> Match {
    match peek.bytes.first_chunk::<8>() {
        Some([b'R', b'E', b'D', b'Q', 1 | 2, 0, 0, 0]) => Match::Yes(96),
        _ => Match::No,
    }
}

/// ESX's heartbeat to vCenter: `a4 00 00 ...` to port 902.
fn look_at_vmware(peek: &Peek<'_>) -> Match {
    Match::of(peek.has_port(902) && peek.bytes.len() == 66 && peek.bytes.starts_with(&[0xa4, 0]), 90)
}

/// Ports 21115 to 21119: protobuf of one field whose length is the rest.
fn look_at_rustdesk(peek: &Peek<'_>) -> Match {
    if !matches!(peek.ports.1, 21_115..=21_119) {
        return Match::No;
    }
    // Over TCP a head of one to four bytes has the length in its upper bits.
    let body = if peek.is_tcp {
        let Some(first) = peek.bytes.first() else { return Match::No };
        let head = usize::from(first & 3) + 1;
        peek.bytes.get(head..).unwrap_or_default()
    } else {
        peek.bytes
    };
    let is = matches!(body, [tag, len, rest @ ..] if tag & 7 == 2 && (usize::from(*len) == rest.len() || *len >= 0x80));
    Match::of(is, 85)
}

/// A counter whose highest bit is the direction, then what is encrypted, of 24 bytes at least.
fn look_at_mosh(peek: &Peek<'_>) -> Match {
    let Some(head) = peek.bytes.first_chunk::<8>() else { return Match::No };
    let is_to_server = peek.way == Direction::Forward;
    let sequence = u64::from_be_bytes(*head) & (u64::MAX >> 1);
    let is = (head[0] == 0) == is_to_server && sequence < 64 && peek.bytes.len() >= 28;
    Match::of(is && matches!(peek.ports.1, 60_000..=61_000), 55)
}

/// `30 11 00 00` and the version as a number with a fraction.
fn look_at_dameware(peek: &Peek<'_>) -> Match {
    Match::of(
        peek.bytes.starts_with(&[0x30, 0x11, 0, 0]) && peek.bytes.len() == 40 && peek.has_port(6129),
        92,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpi::protocol::samples::told_apart;

    type Look = fn(&Peek<'_>) -> Match;

    const CASES: &[(&str, Look, &[u8])] = &[
        ("x11", look_at_x11, b"l\0\x0b\0\0\0\0\0\0\0\0\0"),
        ("citrix", look_at_citrix, b"\x7f\x7fICA\0"),
        ("radmin", look_at_radmin, b"\x01\0\0\0\x01\0\0\0\x08\x08"),
        ("nomachine", look_at_nomachine, b"NXSH-8.10.1\n"),
        ("spice", look_at_spice, b"REDQ\x02\0\0\0\x02\0\0\0"),
        ("teamviewer", look_at_teamviewer, b"\x17\x24\x0a\x20\0\0"),
    ];

    #[test]
    fn first_messages_are_recognised_and_cut_ones_do_no_harm() {
        told_apart(CASES);
    }
}
