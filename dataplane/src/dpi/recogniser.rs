//! Which protocol is this? First bytes rule out most, probes say the rest.
//!
//! At start all probes are sorted into a table: transport and first byte -> the probes that allow it. A flow carries the
//! set of probes that said no ([`Search`]); each payload asks the others, until one is sure, none is left, or
//! [`PAYLOADS_MAX`] payloads of a direction were seen: then the most confident one so far is taken.

use super::protocol::{Match, Over, Peek, Probe, Protocol};
use super::protocols;
use crate::flow::Direction;

/// Payloads of each direction after which recognition settles for what it has.
pub const PAYLOADS_MAX: u32 = 12;

/// Bytes of a TCP direction before which the number of its segments, which its sender chooses, ends nothing.
const STREAM_BYTES_MIN: usize = 256;

/// From this confidence on nobody else is asked.
const SURE: u8 = 80;

/// Probes that the sets have room for.
const PROBES_MAX: usize = 1_024;

/// A set of probes.
type Set = [u64; PROBES_MAX / 64];

/// All probes, sorted for recognition.
pub struct Recogniser {
    probes: Vec<(&'static Protocol, &'static Probe)>,
    /// By transport and first byte.
    starts: [Vec<Vec<u16>>; 3],
}

/// What recognition says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recognised {
    /// It is this one.
    As(&'static Protocol, u8),
    /// More payload is needed.
    NotYet,
    /// Nobody knows it.
    Nothing,
}

/// The search for one flow's protocol.
#[derive(Debug, Clone)]
pub struct Search {
    ruled_out: [Set; 2],
    best: Option<(&'static Protocol, u8)>,
    /// Payloads seen, by direction.
    seen: [u32; 2],
    /// Whether a direction has nobody left to ask.
    exhausted: [bool; 2],
}

impl Default for Search {
    fn default() -> Self {
        Self { ruled_out: [[0; PROBES_MAX / 64]; 2], best: None, seen: [0; 2], exhausted: [false; 2] }
    }
}

impl Search {
    /// Payloads that direction had.
    #[must_use]
    pub const fn seen(&self, way: Direction) -> u32 {
        self.seen[way as usize]
    }

    /// The most confident protocol so far.
    #[must_use]
    pub const fn best(&self) -> Option<(&'static Protocol, u8)> {
        self.best
    }
}

impl Recogniser {
    /// Sorts the probes of every protocol.
    #[must_use]
    pub fn new() -> Self {
        let mut probes = Vec::new();
        let mut starts: [Vec<Vec<u16>>; 3] = std::array::from_fn(|_| vec![Vec::new(); 256]);
        for protocol in protocols::all() {
            for probe in protocol.probes {
                let index = probes.len() as u16;
                probes.push((protocol, probe));
                let transports: &[usize] = match probe.over {
                    Over::Tcp => &[TCP],
                    Over::Udp => &[UDP],
                    Over::TcpOrUdp => &[TCP, UDP],
                    Over::Sctp => &[SCTP],
                };
                for transport in transports {
                    for byte in 0..=255_u8 {
                        if probe.first.allows(byte) {
                            starts[*transport][usize::from(byte)].push(index);
                        }
                    }
                }
            }
        }
        debug_assert!(probes.len() <= PROBES_MAX, "{} probes", probes.len());
        probes.truncate(PROBES_MAX);
        Self { probes, starts }
    }

    /// Asks about one payload. For TCP `peek.bytes` begins with the first byte of the direction.
    #[must_use]
    pub fn ask(&self, search: &mut Search, transport: Over, peek: &Peek<'_>) -> Recognised {
        let way = peek.way as usize;
        search.seen[way] = search.seen[way].saturating_add(1);
        let Some(first) = peek.bytes.first() else { return Recognised::NotYet };
        let table = match transport {
            Over::Tcp | Over::TcpOrUdp => &self.starts[TCP],
            Over::Udp => &self.starts[UDP],
            Over::Sctp => &self.starts[SCTP],
        };
        let mut is_open = false;
        for index in &table[usize::from(*first)] {
            let (word, bit) = (usize::from(index / 64), 1_u64 << (index % 64));
            if search.ruled_out[way][word] & bit != 0 {
                continue;
            }
            let (protocol, probe) = self.probes[usize::from(*index)];
            match (probe.look)(peek) {
                Match::No => search.ruled_out[way][word] |= bit,
                Match::More => is_open = true,
                Match::Yes(confidence) => {
                    if search.best.is_none_or(|(_, best)| confidence > best) {
                        search.best = Some((protocol, confidence));
                    }
                    is_open |= confidence < SURE;
                }
            }
        }
        search.exhausted[way] = !is_open;
        if let Some((protocol, confidence)) = search.best
            && confidence >= SURE
        {
            return Recognised::As(protocol, confidence);
        }
        // A sender of tiny segments is waited for as long as some protocol would know from more.
        let is_tiny = is_open && peek.is_tcp && peek.bytes.len() < STREAM_BYTES_MIN;
        let is_spent = |at: usize| search.seen[at] >= PAYLOADS_MAX && !(at == way && is_tiny);
        let is_over = |at: usize| search.exhausted[at] || is_spent(at);
        // The other direction may say what this one cannot, once it has spoken.
        let other = peek.way.opposite() as usize;
        // A direction whose first byte nobody allows may be a datagram stream that goes on otherwise.
        let enough = is_over(way) && (is_over(other) || is_spent(way));
        match (enough, search.best) {
            (true, Some((protocol, confidence))) => Recognised::As(protocol, confidence),
            (true, None) => Recognised::Nothing,
            (false, _) => Recognised::NotYet,
        }
    }

    /// Takes a protocol whose parser refused the flow out of the search.
    pub fn rule_out(&self, search: &mut Search, refused: &'static Protocol) {
        for (index, (protocol, _)) in self.probes.iter().enumerate() {
            if *protocol == refused {
                for way in &mut search.ruled_out {
                    way[index / 64] |= 1 << (index % 64);
                }
            }
        }
        search.best = search.best.filter(|(protocol, _)| *protocol != refused);
    }
}

impl Default for Recogniser {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Recogniser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recogniser").field("probes", &self.probes.len()).finish_non_exhaustive()
    }
}

const TCP: usize = 0;
const UDP: usize = 1;
const SCTP: usize = 2;
