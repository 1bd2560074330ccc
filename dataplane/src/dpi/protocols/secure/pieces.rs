//! How do the pieces of a handshake over datagrams come together? By offset, in any order, from several packets.

use crate::dpi::Kept;

/// Bytes that are kept: a ClientHello with post-quantum keys has about two thousand.
pub(super) const BYTES_MAX: usize = 16 * 1024;

/// Pieces that may lie apart.
const SPANS_MAX: usize = 64;

/// The bytes of CRYPTO frames (RFC 9000 19.6), or of a fragmented message of DTLS (RFC 9147 5.5).
#[derive(Debug, Default)]
pub(super) struct Pieces {
    bytes: Kept,
    /// From where to where there is something, ascending and apart.
    spans: Vec<(usize, usize)>,
}

impl Pieces {
    /// Takes a piece; `false` where it is out of bounds.
    pub(super) fn add(&mut self, offset: u64, piece: &[u8]) -> bool {
        let Some(start) = usize::try_from(offset).ok().filter(|start| *start <= BYTES_MAX) else {
            return false;
        };
        let end = start + piece.len();
        if end > BYTES_MAX {
            return false;
        }
        if !self.bytes.lengthen(end) {
            return false;
        }
        self.bytes[start..end].copy_from_slice(piece);
        // Those that touch the new one become one with it.
        let first = self.spans.partition_point(|(_, last)| *last < start);
        let after = self.spans.partition_point(|(begin, _)| *begin <= end);
        let mut joined = (start, end);
        for (begin, last) in self.spans.get(first..after).unwrap_or_default() {
            joined = (joined.0.min(*begin), joined.1.max(*last));
        }
        if first < after {
            self.spans.splice(first..after, [joined]);
        } else if self.spans.len() < SPANS_MAX {
            self.spans.insert(first, joined);
        } else {
            return false;
        }
        true
    }

    /// Forgets all of them.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.spans.clear();
    }

    /// What is there without a hole from the first byte on.
    pub(super) fn ready(&self) -> &[u8] {
        match self.spans.first() {
            Some((0, end)) => self.bytes.get(..*end).unwrap_or_default(),
            _ => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_in_any_order_come_together() {
        let whole: Vec<u8> = (0..=255).collect();
        let mut order: Vec<usize> = (0..256).step_by(4).collect();
        for turn in 0..order.len() {
            order.rotate_left(7);
            let last = order.len() - 1;
            order.swap(turn, last - turn);
            let mut pieces = Pieces::default();
            for at in &order {
                assert!(pieces.add(*at as u64, &whole[*at..at + 4]));
            }
            assert_eq!(pieces.ready(), whole);
            assert_eq!(pieces.spans.len(), 1);
        }
    }

    #[test]
    fn what_is_out_of_bounds_is_refused() {
        let mut pieces = Pieces::default();
        assert!(!pieces.add(u64::MAX, b"x"));
        assert!(!pieces.add(BYTES_MAX as u64, b"x"));
        for at in 0..1_000_u64 {
            let _ = pieces.add(2 + 3 * at, b"x");
        }
        assert!(pieces.spans.len() <= SPANS_MAX);
        assert_eq!(pieces.ready(), b"");
        assert!(pieces.add(0, b"ab"));
        assert_eq!(pieces.ready(), b"abx");
    }
}
