//! What rules are told of a session of SMB by name (`frame:nbss.pdu`, `frame:smb2.hdr`): each message, its header, what is behind it.

use crate::dpi::Context;
use crate::flow::Direction;
use crate::rules::detect::Message;

/// Messages of NetBIOS's session service (RFC 1002 4.3).
pub(super) const NBSS: Message = Message::of("smb", "nbss.pdu", "nbss.hdr", "nbss.data");
const SMB1: Message = Message::of("smb", "smb1.pdu", "smb1.hdr", "smb1.data");
const SMB2: Message = Message::of("smb", "smb2.pdu", "smb2.hdr", "smb2.data");
/// Encrypted ones (MS-SMB2 2.2.41).
const SMB3: Message = Message::of("smb", "smb3.pdu", "smb3.hdr", "smb3.data");

/// Messages of SMB 2 that are chained in one of the session.
const CHAINED_MAX: usize = 16;

/// Tells a message of the session, of `len` bytes behind the four of its own header; `bytes` is all that came from that header on.
pub(super) fn tell(way: Direction, bytes: &[u8], len: usize, cx: &mut Context<'_>) {
    if !cx.rules.wants_any_frame() {
        return;
    }
    cx.rules.message(way, &NBSS, bytes, 4, len as u64);
    let Some(body) = bytes.get(4..) else { return };
    let (kinds, header) = match body.first_chunk::<4>() {
        Some([0xff, b'S', b'M', b'B']) => (&SMB1, 32),
        Some([0xfd, b'S', b'M', b'B']) => (&SMB3, 52),
        Some([0xfe, b'S', b'M', b'B']) => return chain(way, body, len, cx),
        _ => return,
    };
    if let Some(data) = len.checked_sub(header) {
        cx.rules.message(way, kinds, body, header, data as u64);
    }
}

/// MS-SMB2 2.2.1: each message says where the next one begins, the last one nothing.
fn chain(way: Direction, mut body: &[u8], mut len: usize, cx: &mut Context<'_>) {
    const HEADER_BYTES: usize = 64;
    for _ in 0..CHAINED_MAX {
        let next = body.get(20..24).and_then(<[u8]>::first_chunk).map_or(0, |next| u32::from_le_bytes(*next));
        let next = usize::try_from(next).unwrap_or(usize::MAX);
        let own = if next == 0 { len } else { next.min(len) };
        let Some(data) = own.checked_sub(HEADER_BYTES) else { return };
        cx.rules.message(way, &SMB2, body, HEADER_BYTES, data as u64);
        let Some(rest) = body.get(own..).filter(|_| next != 0) else { return };
        (body, len) = (rest, len - own);
    }
}
