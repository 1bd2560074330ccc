//! Where do packets live? In one region per worker, cut into chunks, shared with the kernel and never copied.
//!
//! [`Umem::new`] maps and registers it; both ports of a worker bind their sockets to it. Every handle (pool,
//! queue, `Umem`) keeps the region mapped. When the last one goes while frames are still held somewhere, the
//! mapping is leaked rather than pulled from under them.
//!
//! Absent: unaligned chunks and TX metadata (the binding fixes the UMEM's flags at 0).
#![expect(unsafe_code, reason = "UNSAFETY: makes the frames, the only handles on chunks of raw memory")]

use std::alloc::Layout;
use std::num::NonZeroU32;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use xsk_rs::FrameDesc;
use xsk_rs::config::{FrameSize as XskFrameSize, QueueSize, UmemConfig as XskUmemConfig};

use crate::error::XskError;
use crate::frame::{Frame, FramePool, HEADROOM_BYTES};

/// How large one chunk is. The packet's share is 256 bytes less.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum FrameSize {
    /// 1,792 bytes of packet: twice as many frames in the same memory.
    Bytes2048,
    /// 3,840 bytes of packet: fewer pieces where the MTU is above 1,500 (measured 1.4 times faster at 9,000).
    #[default]
    Bytes4096,
}

impl FrameSize {
    /// The chunk's size in bytes.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::Bytes2048 => 2048,
            Self::Bytes4096 => 4096,
        }
    }
}

/// What [`Umem::new`] makes.
#[derive(Debug, Clone, Copy)]
pub struct UmemConfig {
    /// Chunks in total: fill and transmit rings of all sockets, plus what is in the worker's hands.
    pub frames: u32,
    /// Size of each.
    pub frame_size: FrameSize,
    /// Back the region by huge pages (`vm.nr_hugepages` must be high enough).
    pub huge_pages: bool,
    /// Entries of each socket's fill ring, a power of two.
    pub fill_ring_frames: u32,
    /// Entries of each socket's completion ring, a power of two.
    pub completion_ring_frames: u32,
}

impl Default for UmemConfig {
    fn default() -> Self {
        Self {
            frames: 8192,
            frame_size: FrameSize::default(),
            huge_pages: false,
            fill_ring_frames: 2048,
            completion_ring_frames: 2048,
        }
    }
}

/// A region registered with the kernel. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Umem {
    region: Arc<Region>,
}

impl Umem {
    /// Maps and registers a region, and gives all its frames as a pool.
    ///
    /// # Errors
    ///
    /// [`XskError::RingSize`] or [`XskError::UmemSize`] for impossible sizes, [`XskError::Umem`] with the
    /// kernel's errno: `ENOBUFS` is too little locked memory, `ENOMEM` with huge pages is too few of them.
    pub fn new(config: UmemConfig) -> Result<(Self, FramePool), XskError> {
        let frames = NonZeroU32::new(config.frames).ok_or(XskError::UmemSize { frames: config.frames })?;
        let frame_size = config.frame_size.bytes();
        let failed = |err: &(dyn std::error::Error + 'static)| XskError::Umem {
            bytes: frames.get() as usize * frame_size,
            huge_pages: config.huge_pages,
            errno: crate::error::errno_in(err),
        };
        let xsk_config = XskUmemConfig::builder()
            .frame_size(XskFrameSize::new(frame_size as u32).map_err(|err| failed(&err))?)
            .fill_queue_size(ring_size(config.fill_ring_frames)?)
            .comp_queue_size(ring_size(config.completion_ring_frames)?)
            .build()
            .map_err(|err| failed(&err))?;
        let (umem, descs) =
            xsk_rs::Umem::new(xsk_config, frames, config.huge_pages).map_err(|err| failed(&err))?;
        let (region, free) = Region::over_umem(umem, &descs, frame_size);
        let pool = FramePool::over(&region, free);
        Ok((Self { region }, pool))
    }

    /// Frames neither in a pool nor in a ring. See [`FramePool::outstanding`].
    #[must_use]
    pub fn outstanding(&self) -> usize {
        self.region.outstanding()
    }

    pub(crate) const fn region(&self) -> &Arc<Region> {
        &self.region
    }
}

/// A ring size the binding accepts.
pub(crate) fn ring_size(frames: u32) -> Result<QueueSize, XskError> {
    QueueSize::new(frames).ok().filter(|_| frames > 0).ok_or(XskError::RingSize { frames })
}

/// Frames handed to users less frames taken from them, as one owner (a pool or a port) saw it.
///
/// One writer, the owner, so a load and a store are enough; readers sum over all owners.
#[derive(Debug, Default)]
pub(crate) struct Tally(AtomicI64);

impl Tally {
    #[inline]
    pub(crate) fn add(&self, frames: usize) {
        self.0.store(self.0.load(Ordering::Relaxed) + frames as i64, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn sub(&self, frames: usize) {
        self.0.store(self.0.load(Ordering::Relaxed) - frames as i64, Ordering::Relaxed);
    }
}

#[derive(Debug)]
enum Memory {
    Umem(xsk_rs::Umem),
    Heap(Layout),
}

/// One piece of packet memory and the count of frames that are out of it.
#[derive(Debug)]
pub(crate) struct Region {
    id: u32,
    base: NonNull<u8>,
    frame_size: usize,
    /// `None` only while dropping.
    memory: Option<Memory>,
    tallies: Mutex<Vec<Arc<Tally>>>,
}

// SAFETY: the region itself is never read or written through `base`; frames are, and each chunk has one.
// JUSTIFICATION: pools and queues of one region are built on one thread and run on another.
unsafe impl Send for Region {}
// SAFETY: as for Send; all shared state is atomics and a mutex.
// JUSTIFICATION: as for Send.
unsafe impl Sync for Region {}

impl Region {
    fn over_umem(umem: xsk_rs::Umem, descs: &[FrameDesc], frame_size: usize) -> (Arc<Self>, Vec<Frame>) {
        let first = descs.first().copied().unwrap_or_default();
        // SAFETY: `first` came from this UMEM, and no frame exists yet.
        // JUSTIFICATION: the binding gives the region's address only through a chunk.
        let data = unsafe { umem.data(&first) }.contents().as_ptr().expose_provenance();
        // The region is a mapping, not a Rust allocation; its address was exposed on its way through C.
        let base = std::ptr::with_exposed_provenance_mut::<u8>(data - first.addr());
        let base = NonNull::new(base).expect("a mapping never starts at address 0");
        let region = Arc::new(Self::with(base, frame_size, Memory::Umem(umem)));
        let free = descs
            .iter()
            .map(|desc| {
                // SAFETY: `Umem::new` gave each chunk's descriptor once, and none is in a ring yet.
                // JUSTIFICATION: this is where frames begin.
                unsafe { region.frame(*desc) }
            })
            .collect();
        (region, free)
    }

    pub(crate) fn on_heap(frames: usize, capacity_bytes: usize) -> (Arc<Self>, Vec<Frame>) {
        let frame_size = (capacity_bytes.max(1) + HEADROOM_BYTES).next_multiple_of(64);
        let bytes = frames.max(1).checked_mul(frame_size).expect("the pool's size fits the address space");
        let layout = Layout::from_size_align(bytes, 4096).expect("the pool's size fits the address space");
        // SAFETY: the layout's size is above zero.
        // JUSTIFICATION: chunks need an address that stays put while frames move.
        let base = unsafe { std::alloc::alloc_zeroed(layout) };
        let Some(base) = NonNull::new(base) else { std::alloc::handle_alloc_error(layout) };
        let region = Arc::new(Self::with(base, frame_size, Memory::Heap(layout)));
        let id = region.id;
        let free = (0..frames)
            .rev()
            .map(|chunk| {
                // SAFETY: the offset is within the allocation; each chunk gets one frame; the bytes are zeroed.
                // JUSTIFICATION: this is where frames begin.
                unsafe {
                    let data = base.add(chunk * frame_size + HEADROOM_BYTES);
                    Frame::new(data, FrameDesc::default(), 0, capacity_bytes as u32, id)
                }
            })
            .collect();
        (region, free)
    }

    fn with(base: NonNull<u8>, frame_size: usize, memory: Memory) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Self { id, base, frame_size, memory: Some(memory), tallies: Mutex::default() }
    }

    pub(crate) const fn id(&self) -> u32 {
        self.id
    }

    /// The binding's UMEM; `None` for ordinary memory.
    pub(crate) const fn umem(&self) -> Option<&xsk_rs::Umem> {
        match &self.memory {
            Some(Memory::Umem(umem)) => Some(umem),
            Some(Memory::Heap(_)) | None => None,
        }
    }

    /// The frame that a ring's descriptor stands for.
    ///
    /// # Safety
    ///
    /// `desc` must come from this region's UMEM, and its chunk must be in no ring and have no other frame.
    #[inline]
    pub(crate) unsafe fn frame(&self, desc: FrameDesc) -> Frame {
        let addr = desc.addr();
        let capacity = self.frame_size - (addr & (self.frame_size - 1));
        // SAFETY: the address is inside the region by the caller's promise, and so is the rest of its chunk.
        // JUSTIFICATION: this is how a descriptor becomes bytes.
        unsafe {
            Frame::new(self.base.add(addr), desc, desc.lengths().data() as u32, capacity as u32, self.id)
        }
    }

    /// A counter for one more owner.
    pub(crate) fn new_tally(&self) -> Arc<Tally> {
        let tally = Arc::<Tally>::default();
        self.tallies.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&tally));
        tally
    }

    pub(crate) fn outstanding(&self) -> usize {
        let tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        let sum: i64 = tallies.iter().map(|tally| tally.0.load(Ordering::Relaxed)).sum();
        // Owners on other threads may be read mid-move, so a sum can pass below zero for a moment.
        usize::try_from(sum).unwrap_or(0)
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        let held = self.outstanding() != 0;
        match self.memory.take() {
            // Some frame is still held: leaking the mapping keeps it valid.
            Some(Memory::Umem(umem)) if held => std::mem::forget(umem),
            Some(Memory::Umem(umem)) => drop(umem),
            Some(Memory::Heap(_)) if held => {}
            Some(Memory::Heap(layout)) => {
                // SAFETY: allocated in `on_heap` with this layout; no frame is outstanding, and pools and
                // ports, which hold the rest, each held this region, so they are gone.
                // JUSTIFICATION: the counterpart of the allocation.
                unsafe { std::alloc::dealloc(self.base.as_ptr(), layout) };
            }
            None => {}
        }
    }
}
