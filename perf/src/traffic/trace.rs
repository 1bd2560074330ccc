//! Many packets in one piece of memory, in the order they are sent.
//!
//! Of each packet the head is kept, at most [`HEAD_MAX`] bytes; what follows is zeros, which the sender's
//! frames hold anyway. A trace read from a capture keeps whole packets instead. Memory: the head, rounded
//! up to nothing, and 16 bytes.

/// What is kept of a synthetic packet: every header, the stamp, and some payload.
pub(crate) const HEAD_MAX: usize = 112;

/// Which far end sends the packet; the other one receives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Side {
    /// The initiators' side, zone `inside`.
    A,
    /// The responders' side, zone `outside`.
    B,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    offset: u64,
    head_len: u16,
    wire_len: u16,
    side: Side,
    stamp_at: u8,
}

/// One packet of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Packet<'a> {
    /// The packet's first bytes; the rest up to `wire_len` is zeros.
    pub(crate) head: &'a [u8],
    /// Length on the wire, without FCS.
    pub(crate) wire_len: u16,
    /// Who sends it.
    pub(crate) side: Side,
    /// Where a time stamp may be written (16 bytes), 0 for nowhere.
    pub(crate) stamp_at: u8,
}

/// Packets in sending order.
#[derive(Debug, Default, Clone)]
pub(crate) struct Trace {
    arena: Vec<u8>,
    entries: Vec<Entry>,
    whole: bool,
}

impl Trace {
    /// Room for `packets` heads of about `head_len` bytes.
    pub(crate) fn with_capacity(packets: usize, head_len: usize) -> Self {
        let arena = Vec::with_capacity(packets * head_len.min(HEAD_MAX));
        Self { arena, entries: Vec::with_capacity(packets), whole: false }
    }

    /// A trace whose packets are kept whole, whatever they hold behind the head.
    pub(crate) fn of_whole_packets() -> Self {
        Self { whole: true, ..Self::default() }
    }

    /// Whether packets are kept whole.
    pub(crate) const fn is_whole(&self) -> bool {
        self.whole
    }

    /// Appends `frame`, sent by `side`. In a trace of heads, bytes behind the head must be zeros.
    pub(crate) fn push(&mut self, frame: &[u8], side: Side, stamp_at: Option<u8>) {
        let kept = if self.whole { frame } else { &frame[..frame.len().min(HEAD_MAX)] };
        debug_assert!(self.whole || frame[kept.len()..].iter().all(|byte| *byte == 0));
        self.entries.push(Entry {
            offset: self.arena.len() as u64,
            head_len: kept.len() as u16,
            wire_len: frame.len() as u16,
            side,
            stamp_at: stamp_at.unwrap_or(0),
        });
        self.arena.extend_from_slice(kept);
    }

    pub(crate) const fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The packet at `index`, which is below [`Trace::len`].
    pub(crate) fn get(&self, index: usize) -> Packet<'_> {
        let entry = self.entries[index];
        let start = entry.offset as usize;
        Packet {
            head: &self.arena[start..start + usize::from(entry.head_len)],
            wire_len: entry.wire_len,
            side: entry.side,
            stamp_at: entry.stamp_at,
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Packet<'_>> {
        (0..self.len()).map(|index| self.get(index))
    }

    /// The longest packet, bytes.
    pub(crate) fn longest(&self) -> u16 {
        self.entries.iter().map(|entry| entry.wire_len).max().unwrap_or(0)
    }

    /// Mean length on the wire, without FCS, bytes.
    pub(crate) fn mean_len(&self) -> f64 {
        let sum: u64 = self.entries.iter().map(|entry| u64::from(entry.wire_len)).sum();
        sum as f64 / self.entries.len().max(1) as f64
    }
}

#[cfg(test)]
impl Packet<'_> {
    /// Writes the packet into `out`, which has at least `wire_len` bytes; returns its length.
    pub(crate) fn render(&self, out: &mut [u8]) -> usize {
        let wire_len = usize::from(self.wire_len);
        out[..self.head.len()].copy_from_slice(self.head);
        out[self.head.len()..wire_len].fill(0);
        wire_len
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_packet_comes_back_with_its_zeros() {
        let mut frame = vec![0; 1514];
        frame[..50].fill(9);
        let mut trace = Trace::with_capacity(2, HEAD_MAX);
        trace.push(&frame, Side::A, Some(44));
        trace.push(&frame[..60], Side::B, None);
        assert_eq!(trace.longest(), 1514);
        let mut out = vec![0xee; 2048];
        assert_eq!(trace.get(0).render(&mut out), 1514);
        assert_eq!(out[..1514], frame[..]);
        assert_eq!(trace.get(1).wire_len, 60);
        assert_eq!((trace.get(0).stamp_at, trace.get(1).side), (44, Side::B));
        assert!((trace.mean_len() - 787.0).abs() < f64::EPSILON);
    }
}
