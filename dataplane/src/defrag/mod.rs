//! Is this fragment's datagram complete, and does it contradict itself?
//!
//! [`Defrag`] copies each fragment's bytes to their place in the datagram and tells the worker to hold the
//! frame. The fragment that fills the last gap makes the datagram [`Offer::Complete`]: the engine parses and
//! judges [`Defrag::datagram`], and the held frames leave as they came, under that verdict. Where fragments
//! contradict each other, [`OverlapPolicy`] says what becomes of them: inline the datagram is refused
//! (RFC 5722, and in this code for IPv4 too), elsewhere the receiver's own rule is imitated.
//!
//! Cost: one hash lookup and one copy a fragment, one more copy a datagram. All memory is allocated by
//! [`Defrag::new`]: slots, chunks of 2 KiB and one linear buffer.
//!
//! Absent: frames (the worker owns them), parsing beyond what finds the data of a fragment, ECN merging
//! (RFC 3168 5.3: the original fragments keep their bits and the receiver merges them).

mod overlap;
mod piece;
mod pool;
mod table;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
mod tests;

pub use overlap::OverlapPolicy;
pub use table::{Defrag, HoldId, Holding, Offer};

/// Fragments that one datagram may have, by default: 65,535 bytes in packets of 1,280 make 53.
pub const FRAGMENTS_PER_DATAGRAM_MAX: usize = 64;

/// Limits of one worker's reassembly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DefragConfig {
    /// Datagrams held at once, refused ones that are still remembered included.
    pub datagrams_max: usize,
    /// Bytes of fragment data held at once, rounded down to chunks of 2 KiB.
    pub bytes_max: usize,
    /// Frames held at once, of all datagrams: well below what the worker has, for a held frame receives nothing.
    pub fragments_max: usize,
    /// Fragments (duplicates included) held of one datagram; at most 255.
    pub fragments_per_datagram_max: usize,
    /// Age at which a datagram is given up, counted from its first fragment.
    pub timeout_ms: u64,
    /// What becomes of overlapping fragments.
    pub policy: OverlapPolicy,
}

impl Default for DefragConfig {
    fn default() -> Self {
        Self {
            datagrams_max: 1024,
            bytes_max: 4 << 20,
            // A quarter of the 4,096 frames of a small worker; 4 MiB in packets of 1,500 are 2,800.
            fragments_max: 1024,
            fragments_per_datagram_max: FRAGMENTS_PER_DATAGRAM_MAX,
            timeout_ms: 1000,
            policy: OverlapPolicy::Refuse,
        }
    }
}
