//! Where does a frame stand in the segments of version 5? (native_protocol_v5.spec 2.2)
//!
//! Frames are read as they come, a segment need not be whole; of the checksums only that of the header is looked at.

/// One direction.
#[derive(Debug, Default)]
pub(super) struct Segments {
    is_segmented: bool,
    /// Segments may be compressed: their header has a second length.
    is_compressed: bool,
    /// Bytes of the segment that were not read, without its checksum.
    left: usize,
    /// Bytes of a frame that the segments to come have.
    frame_left: usize,
    /// The segment's checksum comes next.
    has_trailer: bool,
}

/// What comes next.
pub(super) enum Room {
    /// A frame, or the beginning of one, within so many bytes.
    Bytes(usize),
    /// Nothing that is read.
    Skip(usize),
    Wait,
    /// A header whose checksum is wrong.
    Bad,
}

const TRAILER_BYTES: usize = 4;

impl Segments {
    /// From now on frames stand in segments.
    pub(super) const fn begin(&mut self, is_compressed: bool) {
        self.is_segmented = true;
        self.is_compressed = is_compressed;
    }

    pub(super) fn room(&mut self, bytes: &[u8]) -> Room {
        if !self.is_segmented {
            return Room::Bytes(usize::MAX);
        }
        if self.left > 0 {
            return match self.frame_left {
                0 => Room::Bytes(self.left),
                len => Room::Skip(self.took_of_frame(len)),
            };
        }
        if std::mem::take(&mut self.has_trailer) {
            return Room::Skip(TRAILER_BYTES);
        }
        let head = if self.is_compressed { 5 } else { 3 };
        let Some((head, check)) = bytes.get(..head + 3).map(|bytes| bytes.split_at(head)) else {
            return Room::Wait;
        };
        if crc24(head) != little_endian(check) as u32 {
            return Room::Bad;
        }
        // 17 bits; of a compressed one 17 more for its real length, 0 where it is not compressed after all.
        let word = little_endian(head);
        let len = (word & 0x1_ffff) as usize;
        let is_packed = self.is_compressed && word >> 17 & 0x1_ffff != 0;
        if is_packed {
            return Room::Skip(head.len() + 3 + len + TRAILER_BYTES);
        }
        self.left = len;
        self.has_trailer = true;
        Room::Skip(head.len() + 3)
    }

    /// A frame of `len` bytes began here. Returns how many bytes to go on by.
    pub(super) fn took(&mut self, len: usize) -> usize {
        if self.is_segmented && self.left > 0 { self.took_of_frame(len) } else { len }
    }

    fn took_of_frame(&mut self, len: usize) -> usize {
        let here = len.min(self.left);
        self.left -= here;
        self.frame_left = len - here;
        here
    }
}

fn little_endian(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Cassandra's Crc.java: polynomial 0x1974f0b, begun with 0x875060.
fn crc24(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x87_5060, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte) << 16, |crc, _| {
            let next = crc << 1;
            if next & 0x100_0000 == 0 { next } else { next ^ 0x197_4f0b }
        })
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A segment, with a checksum of its frames that nobody looks at.
    pub(in super::super) fn segment(frames: &[u8], is_whole: bool) -> Vec<u8> {
        let word = frames.len() as u32 | u32::from(is_whole) << 17;
        let head = &word.to_le_bytes()[..3];
        [head, &crc24(head).to_le_bytes()[..3], frames, &[0; 4]].concat()
    }

    #[test]
    fn compressed_segments_are_skipped_and_others_among_them_read() {
        let mut way = Segments::default();
        way.begin(true);
        let header = |len: u64, real: u64| {
            let head = (len | real << 17 | 1 << 34).to_le_bytes();
            [&head[..5], &crc24(&head[..5]).to_le_bytes()[..3]].concat()
        };
        assert!(matches!(way.room(&header(50, 80)), Room::Skip(62)));
        assert!(matches!(way.room(&header(50, 0)), Room::Skip(8)));
        assert!(matches!(way.room(b""), Room::Bytes(50)));
        assert_eq!(way.took(50), 50);
        assert!(matches!(way.room(b""), Room::Skip(4)));
        assert!(matches!(way.room(b""), Room::Wait));
        assert!(matches!(way.room(&[0; 8]), Room::Bad));
    }
}
