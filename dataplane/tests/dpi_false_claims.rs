//! Does recognition claim payload that is nobody's? Random bytes of all lengths, and bytes without any structure that a
//! protocol could have, on ports that say nothing and on ports that probes lean on.
//!
//! A claim is a protocol with more confidence than a guess has. Of random payloads less than one in a thousand may be
//! claimed, one in five hundred on the ports of protocols; probes of few bits must ask for more of them, or for a length or a second packet that fits.
#![allow(clippy::panic, reason = "a test says what went wrong by failing")]

use std::collections::BTreeMap;

use dataplane::dpi::recogniser::{Recogniser, Search};
use dataplane::dpi::{Over, Peek};
use dataplane::flow::Direction;

/// No more is a guess.
const GUESS: u8 = 30;

/// Lengths 1 to this.
const LENGTH_MAX: usize = 1_500;

/// Flows of each kind and length.
const TURNS: usize = 16;

/// A port of nobody, and some on which probes believe more readily.
const PORTS: [u16; 49] = [
    40_001, 21, 22, 25, 53, 69, 80, 110, 111, 123, 137, 138, 139, 143, 161, 389, 443, 445, 500, 502, 514,
    554, 631, 853, 1194, 1433, 1434, 1521, 1701, 1812, 1883, 1900, 2049, 2123, 2152, 3306, 3389, 3478, 3544,
    4500, 4789, 5060, 5222, 5353, 6379, 6881, 8080, 27_015, 51_820,
];

/// Numbers without end (Vigna's splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }
}

type Make = fn(&mut Random, usize) -> Vec<u8>;

/// Payloads of `len` bytes that say nothing.
const KINDS: [(&str, Make); 8] = [
    ("random", Random::bytes),
    ("zeros", |_, len| vec![0; len]),
    ("ones", |_, len| vec![0xff; len]),
    ("letters", |random, len| {
        random.bytes(len).iter().map(|byte| b"etaoin shrdlu"[usize::from(*byte) % 13]).collect()
    }),
    ("base64", |random, len| {
        const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        random.bytes(len).iter().map(|byte| DIGITS[usize::from(byte % 64)]).collect()
    }),
    ("counter", |random, len| {
        let first = random.next() as u8;
        (0..len).map(|at| first.wrapping_add(at as u8)).collect()
    }),
    ("behind its length", |random, len| {
        let mut bytes = random.bytes(len);
        if let Some(place) = bytes.first_chunk_mut::<2>() {
            *place = ((len - 2) as u16).to_be_bytes();
        }
        bytes
    }),
    ("behind a number", |random, len| {
        let mut bytes = random.bytes(len);
        if let Some(place) = bytes.first_chunk_mut::<4>() {
            *place = 1_u32.to_be_bytes();
        }
        bytes
    }),
];

/// Who claims a flow of three such payloads.
fn claimed(
    recogniser: &Recogniser,
    over: Over,
    port: u16,
    payloads: &[Vec<u8>; 3],
) -> Option<(&'static str, u8)> {
    use Direction::{Forward, Reverse};
    let mut search = Search::default();
    let [first, answer, second] = payloads;
    let stream = [&first[..], second].concat();
    let is_tcp = over == Over::Tcp;
    let later = if is_tcp { &stream } else { second };
    let cut = |bytes: &[u8]| bytes.get(..64).unwrap_or(bytes).to_vec();
    let (first_head, answer_head) = (cut(first), cut(answer));
    let nobody = Vec::new();
    let turns = [
        (Forward, first, 0, &nobody, &nobody),
        (Reverse, answer, 0, &first_head, &nobody),
        (Forward, later, 1, &answer_head, &first_head),
    ];
    for (way, bytes, nth, other, previous) in turns {
        let peek =
            Peek { bytes, way, nth, ports: (49_152, port), other, previous, is_multicast: false, is_tcp };
        let _ = recogniser.ask(&mut search, over, &peek);
    }
    search
        .best()
        .filter(|(_, confidence)| *confidence > GUESS)
        .map(|(protocol, confidence)| (protocol.name, confidence))
}

#[test]
fn payload_of_nobody_is_claimed_by_nobody() {
    let recogniser = Recogniser::new();
    let mut random = Random(7);
    let mut failures = Vec::new();
    for (kind, make) in KINDS {
        for over in [Over::Udp, Over::Tcp] {
            let (mut asked, mut wrong) = ([0_u32; 2], [0_u32; 2]);
            let mut claims: BTreeMap<(&str, u8), (u32, String)> = BTreeMap::new();
            for len in 1..=LENGTH_MAX {
                for turn in 0..TURNS {
                    // Every other flow is on a port that says nothing.
                    let port = if turn % 2 == 0 {
                        PORTS[0]
                    } else {
                        PORTS[1 + (len * TURNS + turn) / 2 % (PORTS.len() - 1)]
                    };
                    let payloads = [0, 1, 2].map(|_| make(&mut random, len));
                    let known = usize::from(port != PORTS[0]);
                    asked[known] += 1;
                    if let Some(claim) = claimed(&recogniser, over, port, &payloads) {
                        wrong[known] += 1;
                        let example = || {
                            let head: String =
                                payloads[0].iter().take(12).map(|byte| format!("{byte:02x}")).collect();
                            format!("port {port}, {len} bytes, {head}")
                        };
                        claims.entry(claim).or_insert_with(|| (0, example())).0 += 1;
                    }
                }
            }
            // What counts up, or opens with a true length or a number 1, has more bits in common with protocols that do.
            let one_in = if kind.starts_with("behind") || kind == "counter" { 100 } else { 1_000 };
            if wrong[0] * one_in > asked[0] || wrong[1] * one_in / 2 > asked[1] {
                failures.push(format!("{kind} {over:?}: {wrong:?} of {asked:?}: {claims:?}"));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
