//! Packets for tests, written from the inside out: `eth(IPV4, &ipv4(UDP, &udp(53, 53, b"x")))`.

use super::checksum::{Sum, pseudo_header};
use super::{Addr, Protocol, ethernet};

pub(crate) const SRC_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
pub(crate) const DST_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
pub(crate) const SRC_V4: [u8; 4] = [10, 0, 0, 1];
pub(crate) const DST_V4: [u8; 4] = [10, 0, 0, 2];
pub(crate) const SRC_V6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
pub(crate) const DST_V6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];

pub(crate) fn join(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

pub(crate) fn eth(ethertype: u16, payload: &[u8]) -> Vec<u8> {
    join(&[&DST_MAC, &SRC_MAC, &ethertype.to_be_bytes(), payload])
}

pub(crate) fn vlan(vid: u16, ethertype: u16, payload: &[u8]) -> Vec<u8> {
    join(&[&vid.to_be_bytes(), &ethertype.to_be_bytes(), payload])
}

pub(crate) fn ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    ipv4_with(protocol, 0, &[], payload)
}

/// With the flags and fragment offset field, and options (a multiple of four bytes).
pub(crate) fn ipv4_with(protocol: u8, fragment: u16, options: &[u8], payload: &[u8]) -> Vec<u8> {
    let header_len = 20 + options.len();
    let total = (header_len + payload.len()) as u16;
    let mut packet = join(&[
        &[0x40 | (header_len / 4) as u8, 0],
        &total.to_be_bytes(),
        &[0x12, 0x34],
        &fragment.to_be_bytes(),
        &[64, protocol, 0, 0],
        &SRC_V4,
        &DST_V4,
        options,
        payload,
    ]);
    mend_ipv4(&mut packet);
    packet
}

/// Makes the header checksum right again.
pub(crate) fn mend_ipv4(packet: &mut [u8]) {
    packet[10..12].fill(0);
    let header_len = usize::from(packet[0] & 15) * 4;
    let sum = Sum::default().add_bytes(&packet[..header_len.max(20)]).checksum();
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
}

pub(crate) fn ipv6(next: u8, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u16).to_be_bytes();
    join(&[&[0x60, 0, 0, 0], &length, &[next, 64], &SRC_V6, &DST_V6, payload])
}

/// An extension header of eight bytes whose options are padding.
pub(crate) fn extension(next: u8, payload: &[u8]) -> Vec<u8> {
    join(&[&[next, 0, 1, 4, 0, 0, 0, 0], payload])
}

pub(crate) fn fragment6(next: u8, offset_and_more: u16, payload: &[u8]) -> Vec<u8> {
    join(&[&[next, 0], &offset_and_more.to_be_bytes(), &[0, 0, 0xab, 0xcd], payload])
}

/// From port 40,000 to port 80.
pub(crate) fn tcp(flags: u8, options: &[u8], payload: &[u8]) -> Vec<u8> {
    let offset = ((20 + options.len()) / 4) as u8;
    join(&[
        &40_000u16.to_be_bytes(),
        &80u16.to_be_bytes(),
        &[0, 0, 0, 1, 0, 0, 0, 2, offset << 4, flags, 0x20, 0, 0, 0, 0, 0],
        options,
        payload,
    ])
}

pub(crate) fn udp(src_port: u16, dst_port: u16, payload: &[u8]) -> Vec<u8> {
    let length = (8 + payload.len()) as u16;
    join(&[&src_port.to_be_bytes(), &dst_port.to_be_bytes(), &length.to_be_bytes(), &[0, 0], payload])
}

/// Writes the right checksum into a segment whose field is at `at`.
pub(crate) fn mend_transport(segment: &mut [u8], at: usize, protocol: u8, is_v4: bool) {
    segment[at..at + 2].fill(0);
    let (src, dst) =
        if is_v4 { (Addr::v4(SRC_V4), Addr::v4(DST_V4)) } else { (Addr::v6(SRC_V6), Addr::v6(DST_V6)) };
    let sum = pseudo_header(src, dst, protocol, segment.len() as u32).add_bytes(segment).checksum();
    segment[at..at + 2].copy_from_slice(&sum.to_be_bytes());
}

/// A UDP packet from 1,000 to 2,000 over IPv4: what the tunnels of the tests carry.
pub(crate) fn inner_ipv4() -> Vec<u8> {
    ipv4(Protocol::UDP, &udp(1000, 2000, b"inner"))
}

/// The same over IPv6.
pub(crate) fn inner_ipv6() -> Vec<u8> {
    ipv6(Protocol::UDP, &udp(1000, 2000, b"inner"))
}

/// An Ethernet frame with a UDP packet over IPv4.
pub(crate) fn udp_frame(src_port: u16, dst_port: u16, payload: &[u8]) -> Vec<u8> {
    eth(ethernet::IPV4, &ipv4(Protocol::UDP, &udp(src_port, dst_port, payload)))
}
