//! What goes into the engine and what comes out of it: borrowed bytes in, one disposition each out.

use crate::defrag::HoldId;
use crate::flow::Direction;
use crate::nat::Redirect;
use crate::parse::LinkType;
use crate::time::Now;
use crate::verdict::Reason;

/// Packets in one batch at most: enough to hide a cache miss behind its neighbours' work (64 x 256 B of
/// flow state stay within a 48 KiB L1), few enough that the last one waits some microseconds only.
pub const BATCH_MAX: usize = 64;

/// Refusals that one batch can write.
pub const INJECTED_MAX: usize = 64;

/// Bytes of the longest refusal: an ICMPv6 error with its quote (RFC 4443 2.4) below outer headers.
const INJECTED_BYTES_MAX: usize = 1_536;

/// Index of the port `host`; 0 and 1 are the wires.
pub const HOST_PORT: u8 = 2;

/// One packet on its way in.
#[derive(Debug)]
pub struct Packet<'a> {
    /// The whole packet, linear. Rewritten in place by a redirect and by healing.
    pub bytes: &'a mut [u8],
    /// Port index that it came in by.
    pub in_port: u8,
    /// What its first bytes are: Ethernet from a wire, whatever the file says in replay.
    pub link: LinkType,
    /// How far it has come between workers.
    pub hop: Hop,
    /// When it came.
    pub at: Now,
    /// Its number in the file that it is read from, from 1; 0 on the wire.
    pub number: u64,
}

impl Packet<'_> {
    /// No packet: fills the rest of an array.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            bytes: &mut [],
            in_port: 0,
            link: LinkType::Ethernet,
            hop: Hop::Wire,
            at: Now::default(),
            number: 0,
        }
    }

    /// The same packet, with other bytes to be put in.
    #[must_use]
    pub fn without_bytes(&self) -> Packet<'static> {
        Packet {
            bytes: &mut [],
            in_port: self.in_port,
            link: self.link,
            hop: self.hop,
            at: self.at,
            number: self.number,
        }
    }
}

/// How a packet reached this worker: no packet is handed off twice for the same reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hop {
    /// From the wire.
    Wire,
    /// From the worker that received it: this worker owns the flow, or a fragment's address pair.
    Owner,
    /// From the worker that completed the datagram: this worker owns the flow of its ports.
    Judge,
}

/// Where a frame goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// Out by this wire.
    Send {
        /// Port index.
        port: u8,
    },
    /// Out by both wires (a broadcast from `host`).
    Flood,
    /// To the `host` port.
    Host,
    /// Back to the pool, counted.
    Drop(Reason),
    /// Back to the pool: a tap only looks.
    Consume,
    /// Kept until its datagram is judged, then named in [`Outcome::releases`].
    Hold(HoldId),
    /// To another worker.
    HandOff {
        /// Which.
        worker: u8,
        /// As what it arrives there.
        hop: Hop,
    },
}

/// A datagram was judged: its held frames leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Release {
    /// Which frames.
    pub hold: HoldId,
    /// Where they go.
    pub disposition: Disposition,
    /// They leave before the packet of this index, so that order is kept.
    pub before: u8,
    /// How each of them is rewritten first.
    pub redirect: Option<(Redirect, Direction)>,
}

/// What the engine says about a batch. Reused from batch to batch; nothing in it is allocated per packet.
pub struct Outcome {
    /// By packet index.
    pub dispositions: [Disposition; BATCH_MAX],
    /// Bit i: the bytes of packet i were changed (matters where inspection saw a copy).
    pub rewritten: u64,
    /// Bit i: a copy of packet i goes to the mirror port.
    pub mirrored: u64,
    /// Held frames that leave now, in order.
    pub releases: Vec<Release>,
    /// Frames that the engine made.
    pub injected: Injected,
    /// Set while a datagram of a redirected flow is judged; its fragments are rewritten by it.
    pub(super) redirected_datagram: Option<(Redirect, Direction)>,
}

/// Refusals, written into memory that is reused.
pub struct Injected {
    bytes: Vec<[u8; INJECTED_BYTES_MAX]>,
    frames: Vec<(u8, u16)>,
}

impl Default for Outcome {
    fn default() -> Self {
        Self {
            dispositions: [Disposition::Consume; BATCH_MAX],
            rewritten: 0,
            mirrored: 0,
            releases: Vec::with_capacity(RELEASES_MAX),
            injected: Injected {
                bytes: vec![[0; INJECTED_BYTES_MAX]; INJECTED_MAX],
                frames: Vec::with_capacity(INJECTED_MAX),
            },
            redirected_datagram: None,
        }
    }
}

/// A packet completes or condemns one datagram at most, and expiry ends some more.
const RELEASES_MAX: usize = 2 * BATCH_MAX;

impl Outcome {
    /// Lets the frames of `hold` leave before packet `index`.
    pub fn release_before(&mut self, index: usize, hold: HoldId, disposition: Disposition) {
        self.releases.push(Release { hold, disposition, before: index as u8, redirect: None });
    }

    /// Lets the frames of `hold` leave, whenever.
    pub fn release(&mut self, hold: HoldId, disposition: Disposition) {
        self.release_before(BATCH_MAX, hold, disposition);
    }

    /// Forgets the last batch.
    pub fn clear(&mut self) {
        self.rewritten = 0;
        self.mirrored = 0;
        self.releases.clear();
        self.injected.frames.clear();
    }
}

impl Injected {
    /// Lets `write` fill the next free buffer; keeps it as a frame for `port` if `write` returns a length.
    /// Returns whether a frame was made.
    pub fn push(&mut self, port: u8, write: impl FnOnce(&mut [u8]) -> Option<usize>) -> bool {
        let Some(buffer) = self.bytes.get_mut(self.frames.len()) else { return false };
        let Some(len) = write(buffer) else { return false };
        self.frames.push((port, len as u16));
        true
    }

    /// The frames made: port and bytes.
    pub fn iter(&self) -> impl Iterator<Item = (u8, &[u8])> {
        self.frames.iter().zip(&self.bytes).map(|((port, len), bytes)| (*port, &bytes[..usize::from(*len)]))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }
}

impl std::fmt::Debug for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outcome")
            .field("rewritten", &self.rewritten)
            .field("mirrored", &self.mirrored)
            .field("releases", &self.releases)
            .field("injected", &self.injected.len())
            .finish_non_exhaustive()
    }
}
