//! The named workloads: what is sent once so that flows are established, and what is sent again and again.
//!
//! Flow `i` has one of 60,000 source addresses in 10.0.0.0/9 and one of 250 destinations in 10.128.0.0/9
//! (or the same in fd00::/16), so that a router between the ends needs two routes. Flows are visited in a
//! shuffled order: neighbours in time are no neighbours in a table.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::str::FromStr;

use super::frame::{self, ACK, FIN, FRAME_MIN, PSH, Path, SYN, Segment};
use super::random::Random;
use super::savefile;
use super::trace::{HEAD_MAX, Side, Trace};

/// Source addresses in use.
const HOSTS: u64 = 60_000;
/// Connections of `churn` that are open at one time: a reply follows its question this many packets later.
const CHURN_OPEN: usize = 512;
/// The most packets that a workload repeats; beyond it a second round would be the first again.
const PACKETS_MAX: usize = 1 << 24;

/// A workload by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The smallest frame over UDP (64 bytes with FCS).
    Udp64,
    /// The smallest frame over TCP, handshakes done before.
    Tcp64,
    /// 64, 594 and 1518 bytes with FCS at 7:4:1 over UDP.
    Imix,
    /// 1,400 bytes of IP over UDP.
    Large,
    /// TCP connections from SYN to the last ACK, each `packets_per_connection` long.
    Churn,
    /// SYNs from ever new sources, beside nothing else.
    SynFlood,
    /// UDP datagrams of 4,000 bytes in three fragments each.
    Fragments,
    /// The packets of a capture file.
    Capture(PathBuf),
}

impl Kind {
    /// Every synthetic one with what it is for, in the order of `jarvis-perf list`.
    pub(crate) const SYNTHETIC: [(Self, &'static str); 7] = [
        (Self::Udp64, "smallest frame, UDP, established flows"),
        (Self::Tcp64, "smallest frame, TCP, handshakes done before"),
        (Self::Imix, "64, 594 and 1518 bytes at 7:4:1, UDP"),
        (Self::Large, "1400-byte IP packets, UDP"),
        (Self::Churn, "TCP connections, SYN to the last ACK, both ways"),
        (Self::SynFlood, "SYNs from ever new sources"),
        (Self::Fragments, "4000-byte datagrams in three fragments"),
    ];
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Udp64 => "64b",
            Self::Tcp64 => "64b-tcp",
            Self::Imix => "imix",
            Self::Large => "1400b",
            Self::Churn => "churn",
            Self::SynFlood => "syn-flood",
            Self::Fragments => "fragments",
            Self::Capture(path) => return write!(f, "pcap:{}", path.display()),
        })
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("pcap:") {
            return Ok(Self::Capture(path.into()));
        }
        let name = text.replace('_', "-");
        Self::SYNTHETIC.into_iter().map(|(kind, _)| kind).find(|kind| kind.to_string() == name).ok_or_else(
            || {
                let names: Vec<String> = Self::SYNTHETIC.iter().map(|(kind, _)| kind.to_string()).collect();
                format!("no workload `{text}`: {}, pcap:FILE", names.join(", "))
            },
        )
    }
}

/// Everything that a workload depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spec {
    pub(crate) kind: Kind,
    /// Live flows (connections open or not for `churn`, sources for `syn-flood`).
    pub(crate) flows: u32,
    /// Length of a `churn` connection, at least 7: SYN, SYN-ACK, ACK, data, FIN, FIN, ACK.
    pub(crate) packets_per_connection: u32,
    /// The shuffles.
    pub(crate) seed: u64,
    /// Destination MAC of what side A sends: the peer's, or the router's port in between.
    pub(crate) mac_from_a: [u8; 6],
    /// Destination MAC of what side B sends.
    pub(crate) mac_from_b: [u8; 6],
    /// IPv6 instead of IPv4.
    pub(crate) ipv6: bool,
}

/// MAC of far end A.
pub(crate) const MAC_A: [u8; 6] = [0x02, 0x4a, 0x50, 0, 0, 0x0a];
/// MAC of far end B.
pub(crate) const MAC_B: [u8; 6] = [0x02, 0x4a, 0x50, 0, 0, 0x0b];

impl Spec {
    /// `kind` with `flows` flows between two hosts that see each other on layer 2.
    pub(crate) const fn new(kind: Kind, flows: u32, seed: u64) -> Self {
        Self {
            kind,
            flows,
            packets_per_connection: 10,
            seed,
            mac_from_a: MAC_B,
            mac_from_b: MAC_A,
            ipv6: false,
        }
    }
}

/// A workload, ready to be sent.
#[derive(Debug, Clone)]
pub(crate) struct Workload {
    /// Sent once and slowly: afterwards every flow is established.
    pub(crate) warm_up: Trace,
    /// Sent over and over.
    pub(crate) load: Trace,
    /// Flows that are live during the load.
    pub(crate) flows: u64,
}

impl Workload {
    /// Renders `spec`.
    ///
    /// # Errors
    ///
    /// A capture that cannot be read, or that holds no packet that fits a frame.
    pub(crate) fn new(spec: &Spec) -> Result<Self, savefile::Error> {
        let flows = u64::from(spec.flows.max(1));
        Ok(match &spec.kind {
            Kind::Udp64 => steady(spec, flows, &[FRAME_MIN], false),
            Kind::Tcp64 => steady(spec, flows, &[FRAME_MIN], true),
            Kind::Imix => {
                // The usual 12-packet round; lengths with FCS are 64, 594 and 1518.
                let round = [60, 60, 590, 60, 590, 60, 60, 590, 60, 590, 60, 1514];
                steady(spec, flows, &round, false)
            }
            Kind::Large => steady(spec, flows, &[frame::ETHERNET + 1400], false),
            Kind::Churn => churn(spec, flows),
            Kind::SynFlood => syn_flood(spec, flows),
            Kind::Fragments => fragments(spec, flows),
            Kind::Capture(path) => {
                let load = savefile::read(path, spec)?;
                Self { warm_up: Trace::default(), load, flows: 0 }
            }
        })
    }
}

/// The path of flow `index` as its initiator, on side A, sees it.
pub(crate) fn path_of(spec: &Spec, index: u64) -> Path {
    let host = (index % HOSTS) as u32;
    let port_step = index / HOSTS;
    let server = (index.wrapping_mul(0x9e37_79b9) >> 16) as u32 % 250;
    let (src, dst) = if spec.ipv6 {
        let v6 =
            |side: u16, low: u32| Ipv6Addr::new(0xfd00, side, 0, 0, 0, 0, (low >> 16) as u16, low as u16);
        (IpAddr::V6(v6(0, 0x100 + host)), IpAddr::V6(v6(1, 1 + server)))
    } else {
        let v4 = |base: u32, low: u32| Ipv4Addr::from(base + low);
        (IpAddr::V4(v4(0x0a00_0100, host)), IpAddr::V4(v4(0x0a80_0001, server)))
    };
    Path {
        src_mac: MAC_A,
        dst_mac: spec.mac_from_a,
        src,
        dst,
        src_port: 1024 + (port_step % 60_000) as u16,
        dst_port: 9000,
    }
}

/// What the responder sends back on `path`.
fn path_back(spec: &Spec, path: &Path) -> Path {
    Path { src_mac: MAC_B, dst_mac: spec.mac_from_b, ..path.reversed() }
}

/// Established flows that send frames of the given lengths in turn.
fn steady(spec: &Spec, flows: u64, lengths: &[usize], tcp: bool) -> Workload {
    let mut order: Vec<u32> = (0..flows as u32).collect();
    Random::new(spec.seed).shuffle(&mut order);
    // Each flow meets each length only if rounds and lengths have no common divisor; a few rounds for few
    // flows, so that the mix is right even with one flow.
    let rounds = if order.len() < lengths.len() * 64 { lengths.len() } else { 1 };
    let mut load = Trace::with_capacity(order.len() * rounds, HEAD_MAX.min(lengths[0]));
    let mut warm_up = Trace::with_capacity(order.len() * if tcp { 3 } else { 2 }, FRAME_MIN);
    let mut zeros = Vec::new();
    let stamp_at = stamp_offset(spec.ipv6);
    for (turn, index) in order.iter().cycle().take(order.len() * rounds).enumerate() {
        let path = path_of(spec, u64::from(*index));
        let header_len = frame::ETHERNET + if spec.ipv6 { 40 } else { 20 } + if tcp { 20 } else { 8 };
        let payload_len = lengths[turn % lengths.len()].saturating_sub(header_len);
        if turn < order.len() {
            establish(spec, &path, tcp, &mut warm_up);
        }
        if tcp {
            let segment = Segment { seq: ISN_A + 1, ack: ISN_B + 1, flags: ACK };
            zeros.resize(payload_len, 0);
            // 54 bytes of headers leave no room for data in the smallest frame of IPv4: the six bytes that
            // follow are data, so that the segment is one (a bare ACK would be a duplicate).
            let bytes = frame::tcp(&path, segment, &zeros);
            load.push(&bytes, Side::A, None);
        } else {
            let bytes = frame::udp(&path, &frame::stamped_payload(payload_len.max(frame::STAMP_LEN)));
            load.push(&bytes, Side::A, Some(stamp_at));
        }
    }
    Workload { warm_up, load, flows }
}

/// Initial sequence numbers; fixed, so that a trace depends on its seed only in its order.
const ISN_A: u32 = 1_000_000;
const ISN_B: u32 = 2_000_000;

/// The packets after which a flow counts as established: UDP there and back, TCP's handshake.
fn establish(spec: &Spec, path: &Path, tcp: bool, out: &mut Trace) {
    let back = path_back(spec, path);
    if tcp {
        let steps = [
            (Side::A, Segment { seq: ISN_A, ack: 0, flags: SYN }),
            (Side::B, Segment { seq: ISN_B, ack: ISN_A + 1, flags: SYN | ACK }),
            (Side::A, Segment { seq: ISN_A + 1, ack: ISN_B + 1, flags: ACK }),
        ];
        for (side, segment) in steps {
            let path = if side == Side::A { path } else { &back };
            push_tcp(out, path, side, segment, &[]);
        }
    } else {
        for (side, path) in [(Side::A, path), (Side::B, &back)] {
            let mut bytes = frame::udp(path, &frame::stamped_payload(frame::STAMP_LEN));
            frame::pad_to(&mut bytes, FRAME_MIN);
            out.push(&bytes, side, None);
        }
    }
}

fn push_tcp(out: &mut Trace, path: &Path, side: Side, segment: Segment, payload: &[u8]) {
    let mut bytes = frame::tcp(path, segment, payload);
    frame::pad_to(&mut bytes, FRAME_MIN);
    out.push(&bytes, side, None);
}

/// The segments of one connection, in order.
fn connection(packets: u32) -> Vec<(Side, Segment, usize)> {
    const DATA: usize = 6;
    let (mut a, mut b) = (ISN_A, ISN_B);
    let mut steps = vec![
        (Side::A, Segment { seq: a, ack: 0, flags: SYN }, 0),
        (Side::B, Segment { seq: b, ack: a + 1, flags: SYN | ACK }, 0),
    ];
    (a, b) = (a + 1, b + 1);
    steps.push((Side::A, Segment { seq: a, ack: b, flags: ACK }, 0));
    for turn in 0..packets.max(7) - 6 {
        if turn % 2 == 0 {
            steps.push((Side::A, Segment { seq: a, ack: b, flags: PSH | ACK }, DATA));
            a += DATA as u32;
        } else {
            steps.push((Side::B, Segment { seq: b, ack: a, flags: PSH | ACK }, DATA));
            b += DATA as u32;
        }
    }
    steps.push((Side::A, Segment { seq: a, ack: b, flags: FIN | ACK }, 0));
    a += 1;
    steps.push((Side::B, Segment { seq: b, ack: a, flags: FIN | ACK }, 0));
    b += 1;
    steps.push((Side::A, Segment { seq: a, ack: b, flags: ACK }, 0));
    steps
}

/// Connections in groups of [`CHURN_OPEN`]: step one of all of them, step two of all of them, and so on.
fn churn(spec: &Spec, flows: u64) -> Workload {
    let steps = connection(spec.packets_per_connection);
    let connections = (flows as usize).min(PACKETS_MAX / steps.len()).max(1);
    let mut order: Vec<u32> = (0..connections as u32).collect();
    Random::new(spec.seed).shuffle(&mut order);
    let mut load = Trace::with_capacity(connections * steps.len(), FRAME_MIN);
    for group in order.chunks(CHURN_OPEN) {
        for (side, segment, payload_len) in &steps {
            for index in group {
                let path = path_of(spec, u64::from(*index));
                let path = if *side == Side::A { path } else { path_back(spec, &path) };
                push_tcp(&mut load, &path, *side, *segment, &[0; 8][..*payload_len]);
            }
        }
    }
    Workload { warm_up: Trace::default(), load, flows: CHURN_OPEN as u64 }
}

fn syn_flood(spec: &Spec, sources: u64) -> Workload {
    let mut order: Vec<u32> = (0..sources.min(PACKETS_MAX as u64) as u32).collect();
    let mut random = Random::new(spec.seed);
    random.shuffle(&mut order);
    let mut load = Trace::with_capacity(order.len(), 66);
    for index in order {
        // Beside the addresses of `steady`: a flood must not reset established flows by accident.
        let path = Path { dst_port: 80, ..path_of(spec, u64::from(index)) };
        push_tcp(&mut load, &path, Side::A, Segment { seq: random.next() as u32, ack: 0, flags: SYN }, &[]);
    }
    Workload { warm_up: Trace::default(), load, flows: sources }
}

fn fragments(spec: &Spec, flows: u64) -> Workload {
    let mut order: Vec<u32> = (0..flows.min(PACKETS_MAX as u64 / 3) as u32).collect();
    Random::new(spec.seed).shuffle(&mut order);
    let mut load = Trace::with_capacity(order.len() * 3, HEAD_MAX);
    let payload = vec![0; 4000];
    let v4 = Spec { ipv6: false, ..spec.clone() };
    for (turn, index) in order.iter().enumerate() {
        let path = path_of(&v4, u64::from(*index));
        for piece in frame::udp_fragments(&path, &payload, turn as u16, 1500) {
            load.push(&piece, Side::A, None);
        }
    }
    Workload { warm_up: Trace::default(), load, flows }
}

const fn stamp_offset(ipv6: bool) -> u8 {
    (frame::ETHERNET + if ipv6 { 40 } else { 20 } + 8 + 2) as u8
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::super::frame::tests::checksums_hold;
    use super::*;

    fn rendered(trace: &Trace) -> Vec<(Side, Vec<u8>)> {
        let mut out = vec![0; 2048];
        trace
            .iter()
            .map(|packet| {
                let len = packet.render(&mut out);
                (packet.side, out[..len].to_vec())
            })
            .collect()
    }

    #[test]
    fn every_synthetic_workload_has_right_checksums_and_a_name_that_reads_back() {
        for (kind, _) in Kind::SYNTHETIC {
            assert_eq!(kind.to_string().parse::<Kind>().unwrap(), kind);
            for ipv6 in [false, true] {
                let spec = Spec { ipv6, ..Spec::new(kind.clone(), 100, 1) };
                let workload = Workload::new(&spec).unwrap();
                if kind == Kind::Fragments {
                    continue;
                }
                for (_, bytes) in rendered(&workload.warm_up).iter().chain(&rendered(&workload.load)) {
                    assert!(checksums_hold(bytes), "{kind} {bytes:02x?}");
                    assert!(bytes.len() >= FRAME_MIN);
                }
            }
        }
    }

    #[test]
    fn flows_are_distinct_up_to_millions() {
        let spec = Spec::new(Kind::Udp64, 1, 1);
        let mut seen = HashSet::new();
        for index in 0..200_000 {
            let path = path_of(&spec, index);
            assert!(seen.insert((path.src, path.src_port, path.dst)));
        }
        let far = path_of(&spec, 9_999_999);
        assert_ne!((far.src, far.src_port), (path_of(&spec, 39_999).src, path_of(&spec, 39_999).src_port));
    }

    #[test]
    fn imix_has_its_mix_even_with_one_flow() {
        for flows in [1, 12_000] {
            let workload = Workload::new(&Spec::new(Kind::Imix, flows, 1)).unwrap();
            let count = |len| workload.load.iter().filter(|packet| packet.wire_len == len).count();
            assert_eq!((count(60) * 4, count(590)), (count(590) * 7, count(1514) * 4));
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes_and_another_seed_another_order() {
        let of = |seed| rendered(&Workload::new(&Spec::new(Kind::Udp64, 1000, seed)).unwrap().load);
        assert_eq!(of(5), of(5));
        assert_ne!(of(5), of(6));
    }

    #[test]
    fn a_connection_opens_talks_and_closes_with_continuous_sequence_numbers() {
        for packets in [7, 8, 10, 25] {
            let steps = connection(packets);
            assert_eq!(steps.len(), packets as usize);
            let mut next = [None::<u32>; 2];
            for (side, segment, payload_len) in steps {
                let (own, other) = if side == Side::A { (0, 1) } else { (1, 0) };
                if let Some(expected) = next[own] {
                    assert_eq!(segment.seq, expected);
                }
                if segment.flags & ACK != 0 {
                    assert_eq!(Some(segment.ack), next[other]);
                }
                let flags = u32::from(segment.flags & (SYN | FIN) != 0);
                next[own] = Some(segment.seq + flags + payload_len as u32);
            }
        }
    }

    #[test]
    fn churn_sends_the_reply_after_its_question() {
        let workload = Workload::new(&Spec::new(Kind::Churn, 2000, 3)).unwrap();
        assert_eq!(workload.load.len(), 20_000);
        let packets = rendered(&workload.load);
        let first_reply = packets.iter().position(|(side, _)| *side == Side::B).unwrap();
        assert_eq!(first_reply, CHURN_OPEN);
    }
}
