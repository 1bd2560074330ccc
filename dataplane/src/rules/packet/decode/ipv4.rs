//! What is odd about an IPv4 header and its options (RFC 791 3.1)? Under the names of Suricata's decoder events.

use super::{MetEvents, behind};
use crate::parse::Protocol;

const END: u8 = 0;
const NO_OPERATION: u8 = 1;

/// Options that are known, of which each may be there once (IANA's IP option numbers; [`shape`] says how).
const KNOWN: [u8; 9] = [7, 25, 68, 130, 131, 134, 136, 137, 148];

/// Looks at the IPv4 packet that `packet` begins with.
pub(super) fn packet(packet: &[u8], met: &mut MetEvents) {
    let Some(head) = packet.first_chunk::<20>() else { return };
    let header_len = usize::from(head[0] & 15) * 4;
    let total = usize::from(u16::from_be_bytes([head[2], head[3]]));
    if header_len < 20 {
        return;
    }
    if total < header_len {
        met.add("ipv4.iplen_smaller_than_hlen");
        return;
    }
    // A packet that was cut off is not looked at further.
    if packet.len() < total {
        return;
    }
    options(packet.get(20..header_len).unwrap_or_default(), met);
    let protocol = head[9];
    if protocol == Protocol::ICMPV6 {
        met.add("ipv4.icmpv6");
    }
    // Of a fragment the transport is not known.
    let is_fragment = u16::from_be_bytes([head[6], head[7]]) & 0x3fff != 0;
    if !is_fragment {
        let end = total.min(packet.len());
        behind::transport(protocol, (packet.get(header_len..end).unwrap_or_default(), head[8]), met);
    }
}

fn options(mut bytes: &[u8], met: &mut MetEvents) {
    if !bytes.len().is_multiple_of(8) {
        met.add("ipv4.opt_pad_required");
    }
    let mut seen = [false; KNOWN.len()];
    while let Some((kind, rest)) = bytes.split_first() {
        match *kind {
            END => return,
            NO_OPERATION => {
                bytes = rest;
                continue;
            }
            _ => {}
        }
        let Some(len) = rest.first() else {
            met.add("ipv4.opt_eol_required");
            return;
        };
        let Some((option, rest)) = bytes.split_at_checked(usize::from(*len)).filter(|_| *len >= 2) else {
            met.add("ipv4.opt_invalid_len");
            return;
        };
        match KNOWN.iter().position(|known| known == kind) {
            None => met.add("ipv4.opt_invalid"),
            Some(place) if std::mem::replace(&mut seen[place], true) => met.add("ipv4.opt_duplicate"),
            Some(_) => {
                if let Err(event) = shape(option) {
                    met.add(event);
                    return;
                }
            }
        }
        bytes = rest;
    }
}

/// Whether an option is as its document has it.
fn shape(option: &[u8]) -> Result<(), &'static str> {
    const LENGTH: &str = "ipv4.opt_invalid_len";
    const MALFORMED: &str = "ipv4.opt_malformed";
    let len = option.len();
    let is_of = |holds: bool, event| if holds { Ok(()) } else { Err(event) };
    // A pointer counts from one.
    let pointer = option.get(2).copied().map_or(0, usize::from);
    match option.first() {
        // Routes: addresses behind a pointer.
        Some(7 | 131 | 137) => {
            is_of(len >= 3, LENGTH)?;
            is_of(pointer >= 4 && pointer.is_multiple_of(4) && pointer <= len + 1, MALFORMED)
        }
        // Time stamps, with addresses where a flag says so.
        Some(68) => {
            is_of(len >= 5, LENGTH)?;
            let flag = option.get(3).copied().unwrap_or(0) & 15;
            let size = if matches!(flag, 1 | 3) { 8 } else { 4 };
            is_of(pointer >= 5 && (pointer - 5).is_multiple_of(size) && pointer <= len + 1, MALFORMED)
        }
        // Quick start; basic security; stream identifier; router alert.
        Some(25) => is_of(len >= 8, LENGTH),
        Some(130) => is_of(len == 11, LENGTH),
        Some(136 | 148) => is_of(len == 4, LENGTH),
        // CIPSO: a domain, then tags with their lengths.
        Some(134) => {
            is_of(len >= 10, LENGTH)?;
            let mut tags = option.get(6..).unwrap_or_default();
            while !tags.is_empty() {
                let Some([kind, tag_len]) = tags.first_chunk::<2>().copied() else { return Err(MALFORMED) };
                let (tag_len, filler) = (usize::from(tag_len), tags.get(2).copied().unwrap_or(0));
                let is_known = matches!(kind, 1 | 2 | 5 | 6 | 7) && tag_len >= 4;
                is_of(is_known && tag_len <= tags.len() && (kind == 7 || filler == 0), MALFORMED)?;
                tags = tags.get(tag_len..).unwrap_or_default();
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn met(options: &[u8]) -> Vec<&'static str> {
        let mut met = MetEvents::default();
        super::options(options, &mut met);
        met.as_slice().to_vec()
    }

    #[test]
    fn odd_options_are_named() {
        assert_eq!(met(&[1, 1, 1, 1, 1, 1, 1, 0]), [""; 0]);
        assert_eq!(met(&[148, 4, 0, 0]), ["ipv4.opt_pad_required"]);
        assert_eq!(met(&[148, 4, 0, 0, 148, 4, 0, 0]), ["ipv4.opt_duplicate"]);
        assert_eq!(met(&[148, 5, 0, 0, 0, 0, 0, 0]), ["ipv4.opt_invalid_len"]);
        assert_eq!(met(&[148, 9, 0, 0, 0, 0, 0, 0]), ["ipv4.opt_invalid_len"]);
        assert_eq!(met(&[200, 4, 0, 0, 0, 0, 0, 0]), ["ipv4.opt_invalid"]);
        assert_eq!(met(&[1, 1, 1, 1, 1, 1, 1, 7]), ["ipv4.opt_eol_required"]);
        assert_eq!(met(&[7, 7, 4, 0, 0, 0, 0, 0]), [""; 0]);
        assert_eq!(met(&[7, 7, 5, 0, 0, 0, 0, 0]), ["ipv4.opt_malformed"]);
        assert_eq!(met(&[68, 8, 5, 0, 0, 0, 0, 0]), [""; 0]);
        assert_eq!(met(&[68, 8, 6, 0, 0, 0, 0, 0]), ["ipv4.opt_malformed"]);
        assert_eq!(met(&[134, 10, 0, 0, 0, 1, 1, 4, 0, 0, 0, 0, 0, 0, 0, 0]), [""; 0]);
        assert_eq!(met(&[134, 10, 0, 0, 0, 1, 3, 4, 0, 0, 0, 0, 0, 0, 0, 0]), ["ipv4.opt_malformed"]);
    }

    #[test]
    fn lengths_of_a_header_are_compared() {
        let mut bytes = [0_u8; 24];
        (bytes[0], bytes[3], bytes[8], bytes[9]) = (0x45, 10, 64, 58);
        let mut met = MetEvents::default();
        packet(&bytes, &mut met);
        assert_eq!(met.as_slice(), ["ipv4.iplen_smaller_than_hlen"]);
        bytes[3] = 24;
        let mut met = MetEvents::default();
        packet(&bytes, &mut met);
        assert_eq!(met.as_slice(), ["ipv4.icmpv6", "icmpv6.pkt_too_small"]);
    }
}
