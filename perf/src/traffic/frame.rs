//! One packet, byte for byte, with right checksums.
//!
//! Ethernet (IEEE 802.3), IPv4 (RFC 791), IPv6 (RFC 8200), UDP (RFC 768), TCP (RFC 9293). No padding to the
//! Ethernet minimum is added behind the caller's back: [`pad_to`] does that.

use std::net::IpAddr;

/// Bytes of an Ethernet header.
pub(crate) const ETHERNET: usize = 14;
/// Bytes of the smallest frame, without FCS.
pub(crate) const FRAME_MIN: usize = 60;
/// Marks a UDP payload that has room for a time stamp: the mark, then eight bytes of time, then their
/// complement, so that writing a stamp changes no checksum.
pub(crate) const STAMP_MARK: [u8; 2] = *b"JP";
/// Bytes of mark and stamp.
pub(crate) const STAMP_LEN: usize = 18;

/// Who sends to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Path {
    pub(crate) src_mac: [u8; 6],
    pub(crate) dst_mac: [u8; 6],
    pub(crate) src: IpAddr,
    pub(crate) dst: IpAddr,
    pub(crate) src_port: u16,
    pub(crate) dst_port: u16,
}

impl Path {
    /// The way back.
    pub(crate) const fn reversed(self) -> Self {
        Self {
            src_mac: self.dst_mac,
            dst_mac: self.src_mac,
            src: self.dst,
            dst: self.src,
            src_port: self.dst_port,
            dst_port: self.src_port,
        }
    }
}

/// The fields of a TCP header that a workload sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Segment {
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) flags: u8,
}

pub(crate) const FIN: u8 = 0x01;
pub(crate) const SYN: u8 = 0x02;
pub(crate) const PSH: u8 = 0x08;
pub(crate) const ACK: u8 = 0x10;

/// A UDP frame with `payload`.
pub(crate) fn udp(path: &Path, payload: &[u8]) -> Vec<u8> {
    let mut datagram = Vec::with_capacity(8 + payload.len());
    datagram.extend_from_slice(&path.src_port.to_be_bytes());
    datagram.extend_from_slice(&path.dst_port.to_be_bytes());
    datagram.extend_from_slice(&((8 + payload.len()) as u16).to_be_bytes());
    datagram.extend_from_slice(&[0, 0]);
    datagram.extend_from_slice(payload);
    let sum = transport_checksum(path, 17, &datagram);
    // RFC 768: a sum of zero is sent as all ones, zero means that there is none.
    let sum = if sum == 0 { 0xffff } else { sum };
    datagram[6..8].copy_from_slice(&sum.to_be_bytes());
    ip(path, 17, &datagram, Ipv4Fragment::NONE)
}

/// A TCP frame. A SYN carries the maximum segment size, window scale and SACK options that hosts send.
pub(crate) fn tcp(path: &Path, segment: Segment, payload: &[u8]) -> Vec<u8> {
    const SYN_OPTIONS: [u8; 12] = [2, 4, 0x05, 0xb4, 1, 1, 4, 2, 1, 3, 3, 7];
    let options: &[u8] = if segment.flags & SYN != 0 { &SYN_OPTIONS } else { &[] };
    let header_len = 20 + options.len();
    let mut bytes = Vec::with_capacity(header_len + payload.len());
    bytes.extend_from_slice(&path.src_port.to_be_bytes());
    bytes.extend_from_slice(&path.dst_port.to_be_bytes());
    bytes.extend_from_slice(&segment.seq.to_be_bytes());
    bytes.extend_from_slice(&segment.ack.to_be_bytes());
    bytes.push(((header_len / 4) << 4) as u8);
    bytes.push(segment.flags);
    bytes.extend_from_slice(&0xfff0_u16.to_be_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(options);
    bytes.extend_from_slice(payload);
    let sum = transport_checksum(path, 6, &bytes);
    bytes[16..18].copy_from_slice(&sum.to_be_bytes());
    ip(path, 6, &bytes, Ipv4Fragment::NONE)
}

/// A UDP datagram over IPv4 cut into fragments of at most `mtu` bytes (IP header included).
pub(crate) fn udp_fragments(path: &Path, payload: &[u8], id: u16, mtu: usize) -> Vec<Vec<u8>> {
    let whole = udp(path, payload);
    let datagram = &whole[ETHERNET + 20..];
    let piece = (mtu - 20) / 8 * 8;
    let pieces = datagram.len().div_ceil(piece);
    datagram
        .chunks(piece)
        .enumerate()
        .map(|(index, data)| {
            let fragment = Ipv4Fragment { id, offset: index * piece, more: index + 1 < pieces };
            ip(path, 17, data, fragment)
        })
        .collect()
}

/// Zeros up to `len` bytes, as an Ethernet card adds them.
pub(crate) fn pad_to(frame: &mut Vec<u8>, len: usize) {
    if frame.len() < len {
        frame.resize(len, 0);
    }
}

/// A payload of `len` zeros that starts with a stamp's place, if it fits.
pub(crate) fn stamped_payload(len: usize) -> Vec<u8> {
    let mut payload = vec![0; len];
    if len >= STAMP_LEN {
        payload[..2].copy_from_slice(&STAMP_MARK);
        payload[10..18].fill(0xff);
    }
    payload
}

/// RFC 1071: the one's complement sum of 16-bit words, not yet inverted.
pub(crate) fn ones_sum(bytes: &[u8], start: u32) -> u32 {
    let mut sum = u64::from(start);
    let mut words = bytes.chunks_exact(2);
    for word in &mut words {
        sum += u64::from(u16::from_be_bytes([word[0], word[1]]));
    }
    if let [last] = words.remainder() {
        sum += u64::from(u16::from_be_bytes([*last, 0]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u32
}

#[derive(Clone, Copy)]
struct Ipv4Fragment {
    id: u16,
    offset: usize,
    more: bool,
}

impl Ipv4Fragment {
    const NONE: Self = Self { id: 0, offset: 0, more: false };

    fn word(&self) -> u16 {
        let dont_fragment = self.offset == 0 && !self.more && self.id == 0;
        (self.offset / 8) as u16 | u16::from(self.more) << 13 | u16::from(dont_fragment) << 14
    }
}

fn ip(path: &Path, protocol: u8, payload: &[u8], fragment: Ipv4Fragment) -> Vec<u8> {
    let mut frame = Vec::with_capacity(ETHERNET + 40 + payload.len());
    frame.extend_from_slice(&path.dst_mac);
    frame.extend_from_slice(&path.src_mac);
    match (path.src, path.dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            frame.extend_from_slice(&[0x08, 0x00, 0x45, 0x00]);
            frame.extend_from_slice(&((20 + payload.len()) as u16).to_be_bytes());
            frame.extend_from_slice(&fragment.id.to_be_bytes());
            frame.extend_from_slice(&fragment.word().to_be_bytes());
            frame.extend_from_slice(&[64, protocol, 0, 0]);
            frame.extend_from_slice(&src.octets());
            frame.extend_from_slice(&dst.octets());
            let sum = !(ones_sum(&frame[ETHERNET..ETHERNET + 20], 0) as u16);
            frame[ETHERNET + 10..ETHERNET + 12].copy_from_slice(&sum.to_be_bytes());
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            frame.extend_from_slice(&[0x86, 0xdd, 0x60, 0, 0, 0]);
            frame.extend_from_slice(&(payload.len() as u16).to_be_bytes());
            frame.extend_from_slice(&[protocol, 64]);
            frame.extend_from_slice(&src.octets());
            frame.extend_from_slice(&dst.octets());
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {
            unreachable!("a path has one address family: workloads build both ends alike")
        }
    }
    frame.extend_from_slice(payload);
    frame
}

fn transport_checksum(path: &Path, protocol: u8, bytes: &[u8]) -> u16 {
    let mut sum = u32::from(protocol) + bytes.len() as u32;
    for address in [path.src, path.dst] {
        sum = match address {
            IpAddr::V4(v4) => ones_sum(&v4.octets(), sum),
            IpAddr::V6(v6) => ones_sum(&v6.octets(), sum),
        };
    }
    !(ones_sum(bytes, sum) as u16)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn path_v4() -> Path {
        Path {
            src_mac: [2, 0, 0, 0, 0, 1],
            dst_mac: [2, 0, 0, 0, 0, 2],
            src: [10, 0, 0, 1].into(),
            dst: [10, 128, 0, 1].into(),
            src_port: 1025,
            dst_port: 9000,
        }
    }

    fn path_v6() -> Path {
        let [src, dst] = ["fd00::1", "fd00:1::9"].map(|text| text.parse::<IpAddr>().unwrap());
        Path { src, dst, ..path_v4() }
    }

    /// Whether every checksum of a frame is right: the sums over header and pseudo-header are all ones.
    pub(crate) fn checksums_hold(frame: &[u8]) -> bool {
        let (protocol, addresses, payload) = match u16::from_be_bytes([frame[12], frame[13]]) {
            0x0800 => {
                if ones_sum(&frame[14..34], 0) != 0xffff {
                    return false;
                }
                let total = usize::from(u16::from_be_bytes([frame[16], frame[17]]));
                (frame[23], &frame[26..34], &frame[34..14 + total])
            }
            0x86dd => {
                let len = usize::from(u16::from_be_bytes([frame[18], frame[19]]));
                (frame[20], &frame[22..54], &frame[54..54 + len])
            }
            _ => return false,
        };
        let pseudo = ones_sum(addresses, u32::from(protocol) + payload.len() as u32);
        ones_sum(payload, pseudo) == 0xffff
    }

    #[test]
    fn udp_and_tcp_checksums_are_right_in_both_families() {
        for path in [path_v4(), path_v6(), path_v4().reversed()] {
            for len in [0, 1, 2, 17, 18, 1000, 1001] {
                let payload: Vec<u8> = (0..len).map(|byte| byte as u8).collect();
                assert!(checksums_hold(&udp(&path, &payload)), "udp {len}");
                for flags in [SYN, SYN | ACK, ACK, PSH | ACK, FIN | ACK] {
                    let segment = Segment { seq: 0xdead_beef, ack: 77, flags };
                    assert!(checksums_hold(&tcp(&path, segment, &payload)), "tcp {len}");
                }
            }
        }
    }

    #[test]
    fn a_known_ipv4_header_has_its_known_checksum() {
        // The worked example of RFC 1071's readers: 45 00 00 73 .. c0 a8 00 c7 sums to b861.
        let header = [
            0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11, 0x00, 0x00, 0xc0, 0xa8, 0x00, 0x01,
            0xc0, 0xa8, 0x00, 0xc7,
        ];
        assert_eq!(!(ones_sum(&header, 0) as u16), 0xb861);
    }

    #[test]
    fn a_stamp_changes_no_checksum() {
        let mut frame = udp(&path_v4(), &stamped_payload(18));
        assert!(checksums_hold(&frame));
        let at = ETHERNET + 20 + 8 + 2;
        let now = 0x0123_4567_89ab_cdef_u64;
        frame[at..at + 8].copy_from_slice(&now.to_le_bytes());
        frame[at + 8..at + 16].copy_from_slice(&(!now).to_le_bytes());
        assert!(checksums_hold(&frame));
    }

    #[test]
    fn fragments_cover_the_datagram_without_gap_or_overlap() {
        let payload = vec![7; 4000];
        let fragments = udp_fragments(&path_v4(), &payload, 99, 1500);
        assert_eq!(fragments.len(), 3);
        let mut next = 0;
        for (index, fragment) in fragments.iter().enumerate() {
            assert_eq!(ones_sum(&fragment[14..34], 0), 0xffff);
            assert!(fragment.len() <= 1514);
            let word = u16::from_be_bytes([fragment[20], fragment[21]]);
            assert_eq!(usize::from(word & 0x1fff) * 8, next);
            assert_eq!(word & 0x2000 != 0, index < 2);
            next += fragment.len() - 34;
        }
        assert_eq!(next, 4008);
    }

    #[test]
    fn padding_fills_up_to_the_minimum_only() {
        let mut frame = tcp(&path_v4(), Segment { flags: ACK, ..Segment::default() }, &[]);
        assert_eq!(frame.len(), 54);
        pad_to(&mut frame, FRAME_MIN);
        assert_eq!(frame.len(), 60);
        pad_to(&mut frame, 10);
        assert_eq!(frame.len(), 60);
    }
}
