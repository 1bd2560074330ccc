//! Where do bytes live that cannot be read from their packet?
//!
//! In buffers of [`CLASSES`] sizes, which go round: what one flow gives back the next one takes, so that a worker that
//! has run for a while does not call the allocator. All that is in use or idle stays below one cap a worker.

use super::held::Piece;

/// Sizes of buffers, bytes: steps of a half and a third, so that at most a third of a buffer is unused for its size. The
/// last two are what a flow may hold, without the array of pieces: all of it, and all but what its parser may keep.
pub(super) const CLASSES: [usize; 15] =
    [256, 512, 1024, 1536, 2048, 3072, 4096, 6144, 8192, 12_288, 16_384, 24_576, 32_768, 39_936, 61_440];

/// Sizes of lists of pieces. The last one is [`super::PIECES_MAX`].
const LIST_CLASSES: [usize; 3] = [8, 32, 256];

/// Bytes that the streams of one worker may hold, by default: Suricata's `stream.reassembly.memcap`, for four workers.
pub const MEMORY_BYTES_MAX: usize = 64 << 20;

/// Bytes that both directions of one flow may hold.
pub const FLOW_BYTES_MAX: usize = 64 << 10;

/// The memory of all streams of one worker.
#[derive(Debug)]
pub struct Memory {
    bytes_max: usize,
    flow_bytes_max: usize,
    in_use: usize,
    idle: usize,
    /// Buffers that were refused because of the worker's cap.
    pub refused: u64,
    buffers: [Vec<Box<[u8]>>; CLASSES.len()],
    lists: [Vec<Vec<Piece>>; LIST_CLASSES.len()],
    /// Reused while a segment is laid among those that wait.
    pub(super) plan: Vec<(Piece, bool)>,
}

impl Default for Memory {
    fn default() -> Self {
        Self::new(MEMORY_BYTES_MAX)
    }
}

impl Memory {
    /// Memory of at most `bytes_max`; nothing is allocated before it is needed.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            flow_bytes_max: FLOW_BYTES_MAX,
            in_use: 0,
            idle: 0,
            refused: 0,
            buffers: Default::default(),
            lists: Default::default(),
            plan: Vec::new(),
        }
    }

    /// Bytes that flows hold now.
    #[must_use]
    pub const fn in_use(&self) -> usize {
        self.in_use
    }

    /// Bytes that wait for the next flow.
    #[must_use]
    pub const fn idle(&self) -> usize {
        self.idle
    }

    /// The worker's cap from now on; what is in use beyond it stays until it is given back.
    pub fn set_bytes_max(&mut self, bytes_max: usize) {
        self.bytes_max = bytes_max;
        if self.in_use + self.idle > bytes_max {
            self.drop_idle(0);
        }
    }

    /// What one flow may hold.
    #[must_use]
    pub const fn flow_bytes_max(&self) -> usize {
        self.flow_bytes_max
    }

    /// Sets what one flow may hold; one direction never holds more than [`FLOW_BYTES_MAX`].
    pub const fn set_flow_bytes_max(&mut self, bytes_max: usize) {
        self.flow_bytes_max = bytes_max;
    }

    /// A buffer for `len` bytes that is no longer than `len_max`. What it holds is of no meaning.
    pub(super) fn take(&mut self, len: usize, len_max: usize) -> Option<Box<[u8]>> {
        let class = CLASSES.iter().position(|size| *size >= len)?;
        let size = CLASSES[class];
        if size > len_max {
            return None;
        }
        let buffer = match self.buffers[class].pop() {
            Some(buffer) => {
                self.idle -= size;
                buffer
            }
            None if self.may_allocate(size) => vec![0; size].into_boxed_slice(),
            None => return None,
        };
        self.in_use += size;
        Some(buffer)
    }

    /// Takes a buffer back and leaves an empty one.
    pub(super) fn give(&mut self, buffer: &mut Box<[u8]>) {
        let buffer = std::mem::take(buffer);
        if let Some(class) = CLASSES.iter().position(|size| *size == buffer.len()) {
            self.in_use -= buffer.len();
            if self.in_use + self.idle + buffer.len() <= self.bytes_max {
                self.idle += buffer.len();
                self.buffers[class].push(buffer);
            }
        }
    }

    /// Makes room for `len` pieces in at most `bytes_max`, without loss of those there.
    pub(super) fn room_for(&mut self, pieces: &mut Vec<Piece>, len: usize, bytes_max: usize) -> bool {
        if pieces.capacity() >= len {
            return true;
        }
        let Some(class) = LIST_CLASSES.iter().position(|size| *size >= len) else { return false };
        let size = LIST_CLASSES[class] * size_of::<Piece>();
        if size > bytes_max {
            return false;
        }
        let mut list = match self.lists[class].pop() {
            Some(list) => {
                self.idle -= size;
                list
            }
            None if self.may_allocate(size) => Vec::with_capacity(LIST_CLASSES[class]),
            None => return false,
        };
        self.in_use += size;
        list.extend_from_slice(pieces);
        let mut old = std::mem::replace(pieces, list);
        self.give_list(&mut old);
        true
    }

    /// Takes a list back and leaves an empty one.
    pub(super) fn give_list(&mut self, pieces: &mut Vec<Piece>) {
        let mut list = std::mem::take(pieces);
        // An allocator may give more than was asked for.
        if let Some(class) = LIST_CLASSES.iter().rposition(|size| *size <= list.capacity()) {
            let size = LIST_CLASSES[class] * size_of::<Piece>();
            self.in_use -= size;
            if self.in_use + self.idle + size <= self.bytes_max {
                list.clear();
                self.idle += size;
                self.lists[class].push(list);
            }
        }
    }

    fn may_allocate(&mut self, size: usize) -> bool {
        if self.in_use + self.idle + size > self.bytes_max {
            self.drop_idle(self.bytes_max.saturating_sub(self.in_use + size));
        }
        let may = self.in_use + self.idle + size <= self.bytes_max;
        self.refused += u64::from(!may);
        may
    }

    /// Gives idle buffers back to the allocator, the largest first, until no more than `bytes` are left.
    fn drop_idle(&mut self, bytes: usize) {
        for class in self.buffers.iter_mut().rev() {
            while self.idle > bytes
                && let Some(buffer) = class.pop()
            {
                self.idle -= buffer.len();
            }
        }
        for (class, len) in self.lists.iter_mut().zip(LIST_CLASSES).rev() {
            while self.idle > bytes && class.pop().is_some() {
                self.idle -= len * size_of::<Piece>();
            }
        }
    }
}
