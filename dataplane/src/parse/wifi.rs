//! Does this IEEE 802.11 frame carry data in the clear? Only then is there something to see.

use super::Mac;
use super::llc;
use super::walk::Walk;
use crate::verdict::Reason;

/// Frame control, duration, three addresses, sequence control.
const HEADER_LEN: usize = 24;
const ADDRESS_LEN: usize = 6;
const QOS_LEN: usize = 2;
const HT_CONTROL_LEN: usize = 4;

/// Bits of the first byte: version and type must say "data"; the subtype's high bit QoS, its third no data.
const VERSION_AND_TYPE: u8 = 0x0f;
const DATA: u8 = 0x08;
const QOS: u8 = 0x80;
const NO_DATA: u8 = 0x40;
/// Bits of the second byte.
const TO_DS: u8 = 0x01;
const FROM_DS: u8 = 0x02;
const PROTECTED: u8 = 0x40;
const ORDER: u8 = 0x80;
/// An aggregate holds several frames; it is not taken apart.
const QOS_AGGREGATE: u8 = 0x80;

/// Follows data frames into LLC; control, management and encrypted frames are of layer 2.
pub(super) fn parse(walk: &mut Walk<'_>, at: usize) -> Result<(), Reason> {
    let Some(header) = walk.rest(at).first_chunk::<HEADER_LEN>() else { return walk.other(at) };
    let [control, flags, ..] = *header;
    if control & VERSION_AND_TYPE != DATA || control & NO_DATA != 0 || flags & PROTECTED != 0 {
        return walk.other(at);
    }
    let [_, _, _, _, a0, a1, a2, a3, a4, a5, b0, b1, b2, b3, b4, b5, ..] = *header;
    walk.headers.dst_mac = Mac([a0, a1, a2, a3, a4, a5]);
    walk.headers.src_mac = Mac([b0, b1, b2, b3, b4, b5]);
    let mut llc_at = at + HEADER_LEN;
    if flags & (TO_DS | FROM_DS) == TO_DS | FROM_DS {
        llc_at += ADDRESS_LEN;
    }
    if control & QOS != 0 {
        if walk.rest(llc_at).first().is_none_or(|qos| qos & QOS_AGGREGATE != 0) {
            return walk.other(at);
        }
        llc_at += QOS_LEN;
        if flags & ORDER != 0 {
            llc_at += HT_CONTROL_LEN;
        }
    }
    llc::parse(walk, llc_at)
}

/// Skips radiotap's header, whose length is little-endian, and goes on.
pub(super) fn parse_radiotap(walk: &mut Walk<'_>) -> Result<(), Reason> {
    let header: &[u8; 8] = walk.header(0, Reason::EthernetTruncated)?;
    let [version, _, low, high, ..] = *header;
    let length = usize::from(u16::from_le_bytes([low, high]));
    if version != 0 || length < header.len() || length > walk.len() {
        return Err(Reason::EthernetTruncated);
    }
    parse(walk, length)
}
