//! Databases of countries for tests, in MaxMind's format (MaxMind DB file format 2.0), written byte by byte.

use std::net::IpAddr;

/// What a node says of a bit: the next node, or a country.
#[derive(Clone, Copy)]
enum Side {
    Nothing,
    Node(usize),
    Country(usize),
}

/// A database of networks such as `192.0.2.0/24`, each with its code. A network within another comes after it.
pub fn countries(networks: &[(&str, &str)]) -> Vec<u8> {
    let mut nodes = vec![[Side::Nothing; 2]];
    for (country, (network, _)) in networks.iter().enumerate() {
        let (addr, length) = network.split_once('/').expect("a network has a length");
        let length: u32 = length.parse().expect("a length is a number");
        // IPv4 lies within the first 96 bits of zero.
        let (bits, length) = match addr.parse().expect("a network has an address") {
            IpAddr::V4(v4) => (u128::from(v4.to_bits()), length + 96),
            IpAddr::V6(v6) => (v6.to_bits(), length),
        };
        let mut node = 0;
        for depth in 0..length {
            let side = usize::from(bits >> (127 - depth) & 1 == 1);
            if depth == length - 1 {
                nodes[node][side] = Side::Country(country);
                break;
            }
            node = match nodes[node][side] {
                Side::Node(next) => next,
                around => {
                    nodes.push([around; 2]);
                    let next = nodes.len() - 1;
                    nodes[node][side] = Side::Node(next);
                    next
                }
            };
        }
    }
    let records: Vec<Vec<u8>> = networks.iter().map(|(_, code)| record(code)).collect();
    let offset = |country: usize| records[..country].iter().map(Vec::len).sum::<usize>();
    let mut bytes = Vec::new();
    for side in nodes.iter().flatten() {
        // Behind the nodes and the separator of 16 bytes lies the data.
        let value = match side {
            Side::Nothing => nodes.len(),
            Side::Node(next) => *next,
            Side::Country(country) => nodes.len() + 16 + offset(*country),
        };
        bytes.extend((value as u32).to_be_bytes());
    }
    bytes.extend([0; 16]);
    bytes.extend(records.concat());
    bytes.extend(b"\xab\xcd\xefMaxMind.com");
    // An extended type has its number in a byte of its own: lists are 11, numbers of 64 bits 9.
    let epoch = vec![0x01, 9 - 7, 1];
    bytes.extend(map(&[
        ("binary_format_major_version", number(5, &[2])),
        ("binary_format_minor_version", number(5, &[])),
        ("build_epoch", epoch),
        ("database_type", text("Test-Country")),
        ("description", map(&[("en", text("test"))])),
        ("ip_version", number(5, &[6])),
        ("languages", vec![0x00, 11 - 7]),
        ("node_count", number(6, &(nodes.len() as u32).to_be_bytes())),
        ("record_size", number(5, &[32])),
    ]));
    bytes
}

fn record(code: &str) -> Vec<u8> {
    map(&[("country", map(&[("iso_code", text(code))]))])
}

fn text(text: &str) -> Vec<u8> {
    [&[0x40 | text.len() as u8][..], text.as_bytes()].concat()
}

fn number(kind: u8, bytes: &[u8]) -> Vec<u8> {
    [&[kind << 5 | bytes.len() as u8][..], bytes].concat()
}

fn map(pairs: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = vec![0xe0 | pairs.len() as u8];
    pairs.iter().for_each(|(key, value)| bytes.extend([text(key), value.clone()].concat()));
    bytes
}
