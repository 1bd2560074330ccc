//! What is odd about what stands behind an IP header, or instead of one? Under the names of Suricata's decoder events.

use super::MetEvents;
use crate::parse::Protocol;

const ESP: u8 = 50;

/// Looks at a transport and the hop limit of the header before it.
pub(super) fn transport(protocol: u8, (bytes, hops): (&[u8], u8), met: &mut MetEvents) {
    match protocol {
        Protocol::TCP => tcp(bytes, met),
        Protocol::ICMP => icmp(bytes, met),
        Protocol::ICMPV6 => icmpv6(bytes, hops, met),
        Protocol::SCTP => sctp(bytes, met),
        Protocol::IGMP => igmp(bytes, met),
        ESP if bytes.len() < 8 => met.add("esp.pkt_too_small"),
        _ => {}
    }
}

/// Options of TCP (RFC 9293 3.1; 7323, 2018, 7413, 2385): kind, and the lengths that it may have.
fn tcp(bytes: &[u8], met: &mut MetEvents) {
    let header_len = bytes.get(12).map_or(0, |byte| usize::from(byte >> 4) * 4);
    let mut options = bytes.get(20..header_len).unwrap_or_default();
    let mut seen = [false; 256];
    while let Some((kind, rest)) = options.split_first() {
        match kind {
            0 => return,
            1 => {
                options = rest;
                continue;
            }
            _ => {}
        }
        let Some(len) = rest.first().copied() else { return };
        let Some(rest) = options.get(usize::from(len)..).filter(|_| len >= 2) else {
            met.add("tcp.opt_invalid_len");
            return;
        };
        let is_right = match kind {
            2 => len == 4,
            3 => len == 3,
            4 => len == 2,
            // One without blocks says nothing.
            5 => len == 2 || (10..=34).contains(&len) && (len - 2) % 8 == 0,
            8 => len == 10,
            19 => len == 18,
            29 => len >= 4,
            34 => len == 2 || (6..=18).contains(&len) && len % 2 == 0,
            _ => {
                options = rest;
                continue;
            }
        };
        if !is_right {
            met.add("tcp.opt_invalid_len");
        } else if std::mem::replace(&mut seen[usize::from(*kind)], true) {
            met.add("tcp.opt_duplicate");
        }
        options = rest;
    }
}

/// RFC 792, 950, 1256.
fn icmp(bytes: &[u8], met: &mut MetEvents) {
    let Some([kind, code, ..]) = bytes.first_chunk::<8>().copied() else {
        met.add("icmpv4.pkt_too_small");
        return;
    };
    let (code_max, quotes) = match kind {
        3 => (15, true),
        4 | 12 => (0, true),
        5 => (3, true),
        11 => (1, true),
        0 | 8 | 13..=18 => (0, false),
        9 | 10 => return,
        _ => {
            met.add("icmpv4.unknown_type");
            return;
        }
    };
    if code > code_max {
        met.add("icmpv4.unknown_code");
    } else if quotes && bytes.len() > 8 {
        quoted(&bytes[8..], (20, 4), ["icmpv4.ipv4_trunc_pkt", "icmpv4.ipv4_unknown_ver"], met);
    }
}

/// RFC 4443, 4861, 2710, 3810; the ranges of IANA's registry.
fn icmpv6(bytes: &[u8], hops: u8, met: &mut MetEvents) {
    let Some([kind, code, ..]) = bytes.first_chunk::<8>().copied() else {
        met.add("icmpv6.pkt_too_small");
        return;
    };
    let code_max = match kind {
        1 => 6,
        3 => 1,
        4 => 2,
        2 | 128..=137 | 141..=147 => 0,
        138 => u8::MAX,
        139 | 140 => 2,
        148..=158 => return,
        5..=99 | 102..=126 | 160..=199 => {
            met.add("icmpv6.unassigned_type");
            return;
        }
        100 | 101 | 200 | 201 => {
            met.add("icmpv6.experimentation_type");
            return;
        }
        _ => {
            met.add("icmpv6.unknown_type");
            return;
        }
    };
    if code > code_max {
        met.add("icmpv6.unknown_code");
    } else if kind <= 4 {
        quoted(&bytes[8..], (40, 6), ["icmpv6.ipv6_trunc_pkt", "icmpv6.ipv6_unknown_version"], met);
    }
    // What is about groups stays on the link.
    if matches!(kind, 130..=132 | 143) && hops != 1 {
        met.add("icmpv6.mld_message_with_invalid_hl");
    }
}

/// The packet that an error quotes: its shortest header and its version.
fn quoted(
    bytes: &[u8],
    (len_min, version): (usize, u8),
    [short, other]: [&'static str; 2],
    met: &mut MetEvents,
) {
    if bytes.len() < len_min {
        met.add(short);
    } else if bytes.first().is_some_and(|byte| byte >> 4 != version) {
        met.add(other);
    }
}

/// RFC 9776 4: queries and reports of the third version name sources and groups.
fn igmp(bytes: &[u8], met: &mut MetEvents) {
    const QUERY: u8 = 0x11;
    const REPORT: u8 = 0x22;
    let Some(head) = bytes.first_chunk::<8>() else {
        met.add("igmp.pkt_too_small");
        return;
    };
    match head[0] {
        QUERY if bytes.len() > 8 => match bytes.first_chunk::<12>() {
            None => met.add("igmp.v3_pkt_too_small"),
            Some(query) => {
                let sources = usize::from(u16::from_be_bytes([query[10], query[11]]));
                if 12 + sources * 4 > bytes.len() {
                    met.add("igmp.malformed");
                }
            }
        },
        REPORT => {
            let mut rest = &bytes[8..];
            for _ in 0..u16::from_be_bytes([head[6], head[7]]) {
                let len = rest.first_chunk::<8>().map(|record| {
                    let sources = usize::from(u16::from_be_bytes([record[2], record[3]]));
                    8 + sources * 4 + usize::from(record[1]) * 4
                });
                match len.and_then(|len| rest.get(len..)) {
                    Some(behind) => rest = behind,
                    None => {
                        met.add("igmp.malformed");
                        return;
                    }
                }
            }
        }
        _ => {}
    }
}

/// Chunks that are looked at.
const CHUNKS_MAX: usize = 64;

/// RFC 9260 3 and 8.5.
fn sctp(bytes: &[u8], met: &mut MetEvents) {
    const DATA: u8 = 0;
    const INIT: u8 = 1;
    let Some(head) = bytes.first_chunk::<12>() else {
        met.add("sctp.pkt_too_small");
        return;
    };
    let has_tag = head[4..8] != [0; 4];
    let (mut rest, mut has_init, mut chunks) = (&bytes[12..], false, 0);
    while !rest.is_empty() && chunks < CHUNKS_MAX {
        let Some([kind, _flags, high, low]) = rest.first_chunk::<4>().copied() else {
            met.add("sctp.chunk_too_small");
            return;
        };
        let len = usize::from(u16::from_be_bytes([high, low]));
        if len < 4 || len > rest.len() {
            met.add("sctp.chunk_len_invalid");
            return;
        }
        chunks += 1;
        has_init |= kind == INIT;
        if has_init && chunks > 1 {
            met.add("sctp.init_chunk_bundled");
        }
        if kind == INIT && has_tag {
            met.add("sctp.init_with_non_zero_vtag");
        }
        if kind == DATA && !has_tag {
            met.add("sctp.data_with_zero_vtag");
        }
        rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
}

/// Looks at a message of ARP (RFC 826) between machines of Ethernet and IPv4.
pub(super) fn arp(bytes: &[u8], met: &mut MetEvents) {
    let Some([hardware @ .., _, _, _, _]) = bytes.first_chunk::<8>().copied() else { return };
    let [hardware_high, hardware_low, protocol_high, protocol_low] = hardware;
    if [hardware_high, hardware_low] != [0, 1] {
        met.add("arp.unsupported_hardware");
    } else if [protocol_high, protocol_low] != [8, 0] {
        met.add("arp.unsupported_protocol");
    } else if bytes[4] != 6 {
        met.add("arp.invalid_hardware_size");
    } else if bytes[5] != 4 {
        met.add("arp.invalid_protocol_size");
    } else if !matches!([bytes[6], bytes[7]], [0, 1..=4 | 8 | 9]) {
        met.add("arp.unsupported_opcode");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn met(protocol: u8, bytes: &[u8]) -> Vec<&'static str> {
        let mut met = MetEvents::default();
        transport(protocol, (bytes, 64), &mut met);
        met.as_slice().to_vec()
    }

    fn tcp_with(options: &[u8]) -> Vec<&'static str> {
        let mut bytes = [0; 20].to_vec();
        bytes.extend(options);
        bytes[12] = (bytes.len() as u8 / 4) << 4;
        met(Protocol::TCP, &bytes)
    }

    #[test]
    fn options_of_tcp_have_their_lengths_and_come_once() {
        assert_eq!(tcp_with(&[2, 4, 5, 0xb4, 4, 2, 1, 1]), [""; 0]);
        assert_eq!(tcp_with(&[5, 2, 1, 1]), [""; 0]);
        assert_eq!(tcp_with(&[2, 3, 5, 1]), ["tcp.opt_invalid_len"]);
        assert_eq!(tcp_with(&[4, 2, 4, 2]), ["tcp.opt_duplicate"]);
        assert_eq!(tcp_with(&[9, 9, 1, 1]), ["tcp.opt_invalid_len"]);
        assert_eq!(tcp_with(&[0, 9, 9, 9]), [""; 0], "behind the end stands nothing");
    }

    #[test]
    fn messages_of_icmp_have_their_codes_and_quote_packets() {
        let of =
            |kind, code, rest: &[u8]| met(Protocol::ICMP, &[&[kind, code, 0, 0, 0, 0, 0, 0], rest].concat());
        assert_eq!(of(8, 0, b"ping"), [""; 0]);
        assert_eq!(of(8, 1, b""), ["icmpv4.unknown_code"]);
        assert_eq!(of(99, 0, b""), ["icmpv4.unknown_type"]);
        assert_eq!(of(3, 1, &[0x45]), ["icmpv4.ipv4_trunc_pkt"]);
        assert_eq!(of(3, 1, &[0x65; 20]), ["icmpv4.ipv4_unknown_ver"]);
        assert_eq!(of(3, 1, &[0x45; 20]), [""; 0]);
        assert_eq!(met(Protocol::ICMP, &[8, 0]), ["icmpv4.pkt_too_small"]);
        let of = |kind, code, rest: &[u8]| {
            met(Protocol::ICMPV6, &[&[kind, code, 0, 0, 0, 0, 0, 0], rest].concat())
        };
        assert_eq!(of(128, 0, b""), [""; 0]);
        assert_eq!(of(128, 1, b""), ["icmpv6.unknown_code"]);
        assert_eq!(of(50, 0, b""), ["icmpv6.unassigned_type"]);
        assert_eq!(of(200, 0, b""), ["icmpv6.experimentation_type"]);
        assert_eq!(of(255, 0, b""), ["icmpv6.unknown_type"]);
        assert_eq!(of(131, 0, b""), ["icmpv6.mld_message_with_invalid_hl"]);
        assert_eq!(of(1, 0, &[0x60; 39]), ["icmpv6.ipv6_trunc_pkt"]);
        assert_eq!(of(1, 0, &[0x40; 40]), ["icmpv6.ipv6_unknown_version"]);
    }

    #[test]
    fn lists_of_groups_and_chunks_end_where_their_packets_end() {
        assert_eq!(met(2, &[0x11, 0, 0, 0, 0, 0, 0]), ["igmp.pkt_too_small"]);
        assert_eq!(met(2, &[0x11, 0, 0, 0, 0, 0, 0, 0, 0]), ["igmp.v3_pkt_too_small"]);
        assert_eq!(met(2, &[0x11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]), ["igmp.malformed"]);
        assert_eq!(met(2, &[0x22, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 224, 0, 0, 1]), [""; 0]);
        assert_eq!(met(2, &[0x22, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 1, 224, 0, 0, 1]), ["igmp.malformed"]);
        let sctp = |tag: u8, chunks: &[u8]| {
            met(Protocol::SCTP, &[&[0, 1, 0, 2, 0, 0, 0, tag, 0, 0, 0, 0], chunks].concat())
        };
        assert_eq!(sctp(1, &[0, 3, 0, 5, 9, 0, 0, 0]), [""; 0]);
        assert_eq!(sctp(0, &[0, 3, 0, 5, 9]), ["sctp.data_with_zero_vtag"]);
        assert_eq!(sctp(0, &[1, 0, 0, 4]), [""; 0]);
        assert_eq!(sctp(1, &[1, 0, 0, 4]), ["sctp.init_with_non_zero_vtag"]);
        assert_eq!(sctp(0, &[1, 0, 0, 4, 1, 0, 0, 4]), ["sctp.init_chunk_bundled"]);
        assert_eq!(sctp(1, &[3, 0, 0, 9]), ["sctp.chunk_len_invalid"]);
        assert_eq!(sctp(1, &[3, 0]), ["sctp.chunk_too_small"]);
        assert_eq!(met(50, &[0; 7]), ["esp.pkt_too_small"]);
    }

    #[test]
    fn arp_is_of_ethernet_and_ipv4() {
        let of = |head: [u8; 8]| {
            let mut met = MetEvents::default();
            arp(&head, &mut met);
            met.as_slice().to_vec()
        };
        assert_eq!(of([0, 1, 8, 0, 6, 4, 0, 1]), [""; 0]);
        assert_eq!(of([0, 6, 8, 0, 6, 4, 0, 1]), ["arp.unsupported_hardware"]);
        assert_eq!(of([0, 1, 8, 1, 6, 4, 0, 1]), ["arp.unsupported_protocol"]);
        assert_eq!(of([0, 1, 8, 0, 7, 4, 0, 1]), ["arp.invalid_hardware_size"]);
        assert_eq!(of([0, 1, 8, 0, 6, 5, 0, 1]), ["arp.invalid_protocol_size"]);
        assert_eq!(of([0, 1, 8, 0, 6, 4, 0, 77]), ["arp.unsupported_opcode"]);
    }
}
