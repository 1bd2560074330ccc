//! Which bytes of a direction are urgent, and so not part of what the receiver's application reads?
//!
//! A receiver that does not set `SO_OOBINLINE` takes the byte before the one that the urgent pointer names out of the stream
//! (RFC 6093 2 and 3; Linux `tcp_check_urg`), so that what is read closes up behind it. Sequence numbers count it all the same:
//! here they are changed to those of a stream that never had it.

use crate::parse::TcpFlags;

/// What becomes of urgent bytes. Suricata's `stream.reassembly.urgent.policy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum UrgentPolicy {
    /// Taken out of the stream, as receivers do by default.
    #[default]
    OutOfBand,
    /// Read like all others, as receivers do that set `SO_OOBINLINE`.
    Inline,
    /// A segment with an urgent pointer does not go on; beside the wire its bytes are missing.
    Drop,
    /// The bytes of a segment with an urgent pointer are missing.
    Gap,
}

impl UrgentPolicy {
    /// All of them, with the names that the configuration has for them.
    pub const NAMES: &[(&str, Self); 4] =
        &[("oob", Self::OutOfBand), ("inline", Self::Inline), ("drop", Self::Drop), ("gap", Self::Gap)];

    /// The name in the configuration.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::OutOfBand => "oob",
            Self::Inline => "inline",
            Self::Drop => "drop",
            Self::Gap => "gap",
        }
    }
}

/// Urgent bytes of a direction that are remembered at once; more are read in band.
const PLACES_MAX: usize = 32;

/// The urgent bytes of one direction.
#[derive(Debug, Default)]
pub(super) struct Urgent {
    /// Their sequence numbers, in order.
    places: Vec<u32>,
    /// How many lie before `places`.
    before: u32,
}

impl Urgent {
    /// Notes what the urgent pointer of a segment says; `false`: there are too many.
    pub(super) fn note(&mut self, seq: u32, flags: TcpFlags, pointer: u16) -> bool {
        if !flags.urg() || pointer == 0 {
            return true;
        }
        let place = seq.wrapping_add(u32::from(pointer)).wrapping_sub(1);
        let after = |other: &u32| (other.wrapping_sub(place) as i32) < 0;
        let at = self.places.partition_point(after);
        if self.places.get(at) == Some(&place) {
            return true;
        }
        if self.places.len() >= PLACES_MAX {
            return false;
        }
        self.places.insert(at, place);
        true
    }

    /// What lies before `ack` will not come again with other bytes.
    pub(super) fn acknowledged(&mut self, ack: u32) {
        let gone = self.places.partition_point(|place| (place.wrapping_sub(ack) as i32) < 0);
        self.places.drain(..gone);
        self.before += gone as u32;
    }

    /// The sequence number in a stream without urgent bytes.
    pub(super) fn moved(&self, seq: u32) -> u32 {
        let fewer = self.places.partition_point(|place| (place.wrapping_sub(seq) as i32) < 0);
        seq.wrapping_sub(self.before + fewer as u32)
    }

    /// The pieces of a segment's payload without urgent bytes: where each begins and ends.
    pub(super) fn pieces(&self, seq: u32, len: usize) -> impl Iterator<Item = (usize, usize)> + '_ {
        let offsets = self.places.iter().map(move |place| place.wrapping_sub(seq) as usize);
        let mut from = 0;
        offsets.filter(move |offset| *offset < len).chain(std::iter::once(len)).filter_map(move |end| {
            let piece = (from, end);
            from = end + 1;
            (piece.0 < piece.1).then_some(piece)
        })
    }

    /// Whether a segment has an urgent byte.
    pub(super) fn is_in(&self, seq: u32, len: usize) -> bool {
        self.places.iter().any(|place| (place.wrapping_sub(seq) as usize) < len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const URG: TcpFlags = TcpFlags(TcpFlags::URG | TcpFlags::ACK);

    #[test]
    fn the_stream_closes_up_behind_an_urgent_byte() {
        let mut urgent = Urgent::default();
        assert!(urgent.note(u32::MAX - 1, URG, 4));
        assert!(urgent.note(u32::MAX - 1, URG, 4), "again");
        assert!(urgent.note(10, TcpFlags(TcpFlags::ACK), 4) && urgent.note(10, URG, 0), "there is none");
        assert_eq!(urgent.places, [1]);
        assert_eq!([u32::MAX, 1, 2, 100].map(|seq| urgent.moved(seq)), [u32::MAX, 1, 1, 99]);
        assert_eq!(urgent.pieces(u32::MAX, 8).collect::<Vec<_>>(), [(0, 2), (3, 8)]);
        assert_eq!(urgent.pieces(1, 1).count(), 0);
        assert_eq!(urgent.pieces(3, 5).collect::<Vec<_>>(), [(0, 5)]);
        urgent.acknowledged(3);
        assert_eq!((urgent.places.len(), urgent.moved(100)), (0, 99));
    }

    #[test]
    fn they_are_bounded() {
        let mut urgent = Urgent::default();
        let taken = (0..100).filter(|at| urgent.note(at * 10, URG, 1)).count();
        assert_eq!(taken, PLACES_MAX);
    }
}
