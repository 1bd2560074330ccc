//! Options and bits of the IPv4 header that parsing leaves in the bytes.

use super::View;
use crate::parse::Network;
use crate::rules::rule::IpOption;

/// The IPv4 header; `None`: there is none.
fn header<'a>(view: &View<'a>) -> Option<&'a [u8]> {
    let Network::Ip { src, .. } = view.headers.network else { return None };
    if !src.is_v4() {
        return None;
    }
    let bytes = view.bytes.get(usize::from(view.headers.l3_offset)..)?;
    let len = usize::from(bytes.first()? & 0x0f) * 4;
    bytes.get(..len).filter(|header| header.len() >= 20)
}

/// The bits reserved, "do not fragment" and "more fragments", at the top of the byte (RFC 791 3.1).
pub(super) fn fragment_bits(view: &View<'_>) -> Option<u8> {
    header(view).map(|header| header[6] & 0xe0)
}

/// Whether an option is there (RFC 791 3.1, IANA's "IP Option Numbers").
pub(super) fn has(view: &View<'_>, wanted: IpOption) -> bool {
    let Some(header) = header(view) else { return false };
    let number = match wanted {
        IpOption::Any => return header.len() > 20,
        IpOption::EndOfList => 0,
        IpOption::NoOperation => 1,
        IpOption::RecordRoute => 7,
        IpOption::Timestamp => 68,
        IpOption::Security => 130,
        IpOption::LooseSourceRoute => 131,
        IpOption::ExtendedSecurity => 133,
        IpOption::Cipso => 134,
        IpOption::StreamId => 136,
        IpOption::StrictSourceRoute => 137,
        IpOption::RouterAlert => 148,
    };
    let mut options = &header[20..];
    while let Some((kind, rest)) = options.split_first() {
        if *kind == number {
            return true;
        }
        options = match kind {
            0 => return false,
            1 => rest,
            _ => match rest.first() {
                Some(len) if *len >= 2 => options.get(usize::from(*len)..).unwrap_or_default(),
                _ => return false,
            },
        };
    }
    false
}
