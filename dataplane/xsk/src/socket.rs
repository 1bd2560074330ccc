//! How does one queue of one interface become a [`PacketPort`]? By binding an AF_XDP socket to it.
//!
//! A socket receives frames of its own queue only, so there is one [`XskQueue`] per (port, queue); all queues of
//! a worker, on both ports, share its UMEM, each with its own fill and completion ring. Frames received on one
//! are sent on another without a copy.
//!
//! Cost: rings are worked in batches of [`RING_BATCH`]; system calls happen in `kick` only.
//!
//! Absent: loading a program (see [`crate::wire`]) and choosing the queue's steering (see scripts).
#![expect(unsafe_code, reason = "UNSAFETY: the binding trusts its caller for who owns which descriptor")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use xsk_rs::config::{BindFlags, Interface, LibxdpFlags, SocketConfig as XskSocketConfig};
use xsk_rs::{CompQueue, FillQueue, FrameDesc, RxQueue, Socket, TxQueue};

use crate::error::{XskError, errno_in};
use crate::frame::{FrameBatch, FramePool};
use crate::port::{PacketPort, SocketStatistics};
use crate::umem::{Region, Tally, Umem, ring_size};
use crate::wait::{self, BusyPoll};

/// Descriptors moved by one ring operation. 64 is a NAPI poll's budget, so one pass takes what one poll brought.
const RING_BATCH: usize = 64;

/// How many transmit calls one `kick` makes at most: copy mode sends 32 frames a call (`TX_BATCH_SIZE`,
/// net/xdp/xsk.c), so eight drain four batches.
const TX_CALLS_MAX: usize = 8;

/// How long a taken queue is tried again. The kernel releases a dead owner's socket late (25 ms were seen, 60 ms
/// until a killed process with four sockets was gone).
const BUSY_RETRY: Duration = Duration::from_millis(250);
const BUSY_RETRY_EACH: Duration = Duration::from_micros(200);

/// Which copy mode to ask for.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Zero copy, or an error where the driver has none.
    ZeroCopy,
    /// Copy, also where the driver could do better.
    Copy,
    /// Zero copy where the driver has it, else copy.
    #[default]
    Auto,
}

/// Which copy mode was obtained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObtainedMode {
    /// The NIC reads and writes the UMEM.
    ZeroCopy,
    /// The kernel copies between its buffers and the UMEM. With a generic XDP attach
    /// ([`crate::wire::AttachMode::Generic`]) it copies once more.
    Copy,
}

impl ObtainedMode {
    /// `zero-copy` or `copy`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ZeroCopy => "zero-copy",
            Self::Copy => "copy",
        }
    }
}

/// What [`XskQueue::open`] binds.
#[derive(Debug, Clone)]
pub struct SocketConfig {
    /// Name of the port.
    pub interface: String,
    /// Its receive queue; the transmit queue of that number is used too.
    pub queue: u32,
    /// Copy mode to ask for. The first socket of a UMEM decides for all others.
    pub mode: Mode,
    /// Entries of the receive ring, a power of two.
    pub rx_ring_frames: u32,
    /// Entries of the transmit ring, a power of two.
    pub tx_ring_frames: u32,
    /// Kernel busy polling, if wanted.
    pub busy_poll: Option<BusyPoll>,
    /// Let the kernel say when it needs a call (saves most system calls on drivers that support it).
    pub need_wakeup: bool,
    /// Multi-buffer: packets longer than one frame come in several. Costs nothing at MTU 1500.
    pub sg: bool,
}

impl SocketConfig {
    /// Queue `queue` of `interface`, with the rings and flags that suit most machines.
    #[must_use]
    pub fn new(interface: impl Into<String>, queue: u32) -> Self {
        Self {
            interface: interface.into(),
            queue,
            mode: Mode::Auto,
            rx_ring_frames: 2048,
            tx_ring_frames: 2048,
            busy_poll: None,
            need_wakeup: true,
            sg: true,
        }
    }
}

/// An AF_XDP socket bound to one queue, with its four rings.
///
/// When it is dropped, the frames in its rings are gone with it: neither outstanding nor free. The kernel lets
/// go of the queue once the UMEM's pool, its other queues and the [`Umem`] are dropped too.
pub struct XskQueue {
    interface: String,
    queue: u32,
    region: Arc<Region>,
    tally: Arc<Tally>,
    rx: RxQueue,
    tx: TxQueue,
    fill: FillQueue,
    completion: CompQueue,
    tx_ring_frames: u32,
    mode: ObtainedMode,
    need_wakeup: bool,
    busy_poll: bool,
    /// Frames given to the kernel to receive into, and not yet received.
    filled: usize,
    /// Frames sent and not completed.
    sending: usize,
    /// The first pieces of a packet whose last piece had not come.
    partial: FrameBatch,
    foreign: u64,
}

impl XskQueue {
    /// Opens a socket on a queue and binds it to `umem`.
    ///
    /// A queue that is taken is tried again for a quarter of a second, because the kernel releases a dead
    /// owner's socket late. Nothing is received before [`PacketPort::refill`] and the registration of the
    /// socket ([`crate::wire::Wire::register_socket`]).
    ///
    /// # Errors
    ///
    /// [`XskError::Socket`] with the kernel's errno, [`XskError::RingSize`], [`XskError::BusyPoll`].
    pub fn open(umem: &Umem, config: &SocketConfig) -> Result<Self, XskError> {
        let region = umem.region();
        let failed =
            |errno| XskError::Socket { interface: config.interface.clone(), queue: config.queue, errno };
        let registered = region.umem().ok_or_else(|| XskError::NotRegistered {
            interface: config.interface.clone(),
            queue: config.queue,
        })?;
        let interface: Interface = config.interface.parse().map_err(|_| failed(libc::ENODEV))?;
        let xsk_config = XskSocketConfig::builder()
            .rx_queue_size(ring_size(config.rx_ring_frames)?)
            .tx_queue_size(ring_size(config.tx_ring_frames)?)
            .libxdp_flags(LibxdpFlags::XSK_LIBXDP_FLAGS_INHIBIT_PROG_LOAD)
            .bind_flags(bind_flags(config))
            .build();

        let give_up = Instant::now() + BUSY_RETRY;
        let (tx, rx, rings) = loop {
            // SAFETY: the program load is inhibited, which is what the call asks of its caller.
            // JUSTIFICATION: the binding marks every socket creation unsafe.
            match unsafe { Socket::new(xsk_config, registered, &interface, config.queue) } {
                Ok(opened) => break opened,
                Err(err) => {
                    let errno = errno_in(&err);
                    if errno != libc::EBUSY || Instant::now() >= give_up {
                        return Err(failed(errno));
                    }
                    sleep(BUSY_RETRY_EACH);
                }
            }
        };
        // A second socket of this UMEM on the same queue shares the first one's rings: two owners, refused.
        let (fill, completion) = rings.ok_or_else(|| failed(libc::EBUSY))?;
        let fd = rx.fd().as_raw_fd();
        if let Some(busy_poll) = config.busy_poll {
            wait::set_busy_poll(fd, busy_poll).map_err(|source| XskError::BusyPoll {
                interface: config.interface.clone(),
                queue: config.queue,
                source,
            })?;
        }
        raise_tx_budget(fd);
        let mode = obtained_mode(fd).map_err(|err| failed(err.raw_os_error().unwrap_or(0)))?;
        Ok(Self {
            interface: config.interface.clone(),
            queue: config.queue,
            region: Arc::clone(region),
            tally: region.new_tally(),
            rx,
            tx,
            fill,
            completion,
            tx_ring_frames: config.tx_ring_frames,
            mode,
            need_wakeup: config.need_wakeup,
            busy_poll: config.busy_poll.is_some(),
            filled: 0,
            sending: 0,
            partial: FrameBatch::new(),
            foreign: 0,
        })
    }

    /// The port's name.
    #[must_use]
    pub fn interface(&self) -> &str {
        &self.interface
    }

    /// Another descriptor of the socket, to put it into the map while its worker has it. While one is open, the queue stays bound.
    ///
    /// # Errors
    ///
    /// As the system says when it has no descriptor to give.
    pub fn descriptor(&self) -> io::Result<OwnedFd> {
        // SAFETY: the socket is open for as long as `self.rx` lives, which is longer than this borrow.
        let borrowed = unsafe { BorrowedFd::borrow_raw(self.rx.fd().as_raw_fd()) };
        borrowed.try_clone_to_owned()
    }

    /// The queue's number.
    #[must_use]
    pub const fn queue(&self) -> u32 {
        self.queue
    }

    /// The copy mode the kernel chose.
    #[must_use]
    pub const fn mode(&self) -> ObtainedMode {
        self.mode
    }

    /// Frames the kernel holds to receive into.
    #[must_use]
    pub const fn waiting(&self) -> usize {
        self.filled
    }

    /// Frames of other regions that someone tried to send here; they were lost to their pool.
    #[must_use]
    pub const fn foreign(&self) -> u64 {
        self.foreign
    }

    /// Takes up to `wanted` frames from the receive ring.
    fn take_received(&mut self, batch: &mut FrameBatch, wanted: usize) -> usize {
        let mut descs = [FrameDesc::default(); RING_BATCH];
        let mut taken = 0;
        while taken < wanted {
            let wanted_now = (wanted - taken).min(RING_BATCH);
            // SAFETY: the descriptors are only turned into frames below, each once.
            // JUSTIFICATION: the binding leaves ownership to its caller.
            let received = unsafe { self.rx.consume(&mut descs[..wanted_now]) };
            for desc in &descs[..received] {
                // SAFETY: the kernel has just given this chunk back; it was in our fill ring, so it has no frame.
                // JUSTIFICATION: this is how a descriptor becomes bytes.
                let frame = unsafe { self.region.frame(*desc) };
                // The caller bounded `wanted` by the batch's room.
                let pushed = batch.push(frame);
                debug_assert!(pushed.is_ok(), "the batch has room for what was asked");
            }
            taken += received;
            if received < wanted_now {
                break;
            }
        }
        self.filled -= taken;
        taken
    }

    /// How many frames at the front of `frames` are whole packets and fit into `room`.
    fn whole_packets(frames: &[crate::Frame], room: usize) -> usize {
        let fitting = frames.get(..room.min(frames.len())).unwrap_or_default();
        match fitting.iter().rposition(|frame| !frame.more()) {
            Some(last) => last + 1,
            // Longer than one ring operation: its pieces follow each other in several.
            None if fitting.len() == RING_BATCH => fitting.len(),
            None => 0,
        }
    }
}

impl PacketPort for XskQueue {
    fn receive(&mut self, batch: &mut FrameBatch, max: usize) -> usize {
        let start = batch.len();
        if self.partial.len() > batch.room() {
            return 0;
        }
        self.partial.move_tail(0, batch);
        loop {
            let wanted = max.saturating_sub(batch.len() - start).max(1).min(batch.room());
            let taken = self.take_received(batch, wanted);
            match batch[start..].iter().rposition(|frame| !frame.more()) {
                // The usual case: the batch ends with a packet.
                Some(last) if start + last + 1 == batch.len() => break,
                // An unfinished packet at the end waits here for its rest.
                Some(last) => {
                    batch.move_tail(start + last + 1, &mut self.partial);
                    break;
                }
                // Nothing but the beginning of one packet: look for more of it.
                None if taken > 0 && batch.room() > 0 => {}
                None if batch.room() == 0 && start == 0 => break,
                None => {
                    batch.move_tail(start, &mut self.partial);
                    break;
                }
            }
        }
        let received = batch.len() - start;
        self.tally.add(received);
        received
    }

    fn send(&mut self, frames: &mut FrameBatch) -> usize {
        let mut sent = 0;
        while !frames.is_empty() {
            let room = self.tx.nb_free(RING_BATCH as u32) as usize;
            let count = Self::whole_packets(frames, room.min(RING_BATCH));
            if count == 0 {
                break;
            }
            let mut descs = [FrameDesc::default(); RING_BATCH];
            let mut ready = 0;
            for frame in frames.drain().take(count) {
                if frame.region() != self.region.id() {
                    debug_assert!(
                        false,
                        "a frame of region {} was sent on {}",
                        frame.region(),
                        self.region.id()
                    );
                    self.foreign += 1;
                    continue;
                }
                let mut desc = frame.desc();
                if desc.lengths().data() != frame.len() {
                    let umem = self.region.umem().expect("checked when the socket was opened");
                    // SAFETY: the chunk is the frame's, which we own and are about to consume.
                    // JUSTIFICATION: the binding sets a descriptor's length only through the chunk.
                    unsafe { umem.data_mut(&mut desc) }.cursor().set_pos(frame.len());
                }
                descs[ready] = desc;
                ready += 1;
            }
            // SAFETY: each descriptor's frame was taken by value above, so nobody else reaches its chunk until
            // the completion ring returns it; all are of this UMEM.
            // JUSTIFICATION: the binding leaves ownership to its caller.
            let produced = unsafe { self.tx.produce(&descs[..ready]) };
            debug_assert_eq!(produced, ready, "the ring had this much room");
            self.sending += produced;
            self.tally.sub(produced);
            sent += count;
        }
        sent
    }

    fn complete(&mut self, pool: &mut FramePool) -> usize {
        let mut completed = 0;
        let mut descs = [FrameDesc::default(); RING_BATCH];
        while self.sending > 0 {
            // SAFETY: as in `take_received`.
            // JUSTIFICATION: as in `take_received`.
            let returned = unsafe { self.completion.consume(&mut descs) };
            for desc in &descs[..returned] {
                // SAFETY: the kernel has just given this chunk back; its frame was consumed by `send`.
                // JUSTIFICATION: this is how a descriptor becomes bytes.
                pool.restore(unsafe { self.region.frame(*desc) });
            }
            self.sending -= returned;
            completed += returned;
            if returned < RING_BATCH {
                break;
            }
        }
        completed
    }

    fn refill(&mut self, pool: &mut FramePool, target: usize) -> usize {
        let mut added = 0;
        debug_assert_eq!(pool.region(), self.region.id(), "a queue is refilled from its own UMEM's pool");
        if pool.region() != self.region.id() {
            return 0;
        }
        let mut descs = [FrameDesc::default(); RING_BATCH];
        while self.filled < target {
            let wanted = (target - self.filled).min(RING_BATCH).min(pool.free());
            let count = (self.fill.nb_free(wanted as u32) as usize).min(wanted);
            if count == 0 {
                break;
            }
            for desc in &mut descs[..count] {
                *desc = pool.lend().expect("count is at most what the pool has").desc();
            }
            // SAFETY: each descriptor's frame was taken from the pool above and is gone; all are of this UMEM.
            // JUSTIFICATION: the binding leaves ownership to its caller.
            let produced = unsafe { self.fill.produce(&descs[..count]) };
            debug_assert_eq!(produced, count, "the ring had this much room");
            self.filled += produced;
            added += produced;
        }
        added
    }

    fn kick(&mut self) {
        if self.sending > 0 && (!self.need_wakeup || self.tx.needs_wakeup()) {
            let mut free = self.tx.nb_free_exact();
            for _ in 0..TX_CALLS_MAX {
                // Copy mode takes a bounded number of frames a call and says EAGAIN when more wait. Other answers
                // (ENOBUFS, EBUSY, ENETDOWN) mean that the driver cannot now: the next turn tries again.
                if free >= self.tx_ring_frames && self.mode == ObtainedMode::Copy {
                    break;
                }
                let more_waits = transmit(self.tx.fd().as_raw_fd()) == Err(libc::EAGAIN);
                let before = std::mem::replace(&mut free, self.tx.nb_free_exact());
                if !more_waits || free == before {
                    break;
                }
            }
        }
        if self.busy_poll || (self.need_wakeup && self.fill.needs_wakeup()) {
            wake_receive(self.rx.fd().as_raw_fd());
        }
    }

    fn statistics(&self) -> Result<SocketStatistics, XskError> {
        let counted = self.rx.fd().xdp_statistics().map_err(|source| XskError::Statistics {
            interface: self.interface.clone(),
            queue: self.queue,
            source,
        })?;
        Ok(SocketStatistics {
            rx_dropped: counted.rx_dropped(),
            rx_invalid: counted.rx_invalid_descs(),
            tx_invalid: counted.tx_invalid_descs(),
            rx_ring_full: counted.rx_ring_full(),
            rx_fill_empty: counted.rx_fill_ring_empty_descs(),
            tx_ring_empty: counted.tx_ring_empty_descs(),
        })
    }

    fn fd(&self) -> Option<RawFd> {
        Some(self.rx.fd().as_raw_fd())
    }

    fn in_flight(&self) -> usize {
        self.sending
    }
}

impl std::fmt::Debug for XskQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("XskQueue")
            .field("interface", &self.interface)
            .field("queue", &self.queue)
            .field("mode", &self.mode)
            .field("waiting", &self.filled)
            .field("in_flight", &self.sending)
            .finish_non_exhaustive()
    }
}

fn bind_flags(config: &SocketConfig) -> BindFlags {
    let mut flags = match config.mode {
        Mode::ZeroCopy => BindFlags::XDP_ZEROCOPY,
        Mode::Copy => BindFlags::XDP_COPY,
        // With neither flag the kernel tries zero copy and falls back by itself (net/xdp/xsk_buff_pool.c).
        Mode::Auto => BindFlags::empty(),
    };
    flags.set(BindFlags::XDP_USE_NEED_WAKEUP, config.need_wakeup);
    flags.set(BindFlags::XDP_USE_SG, config.sg);
    flags
}

/// Lets one call send more than 32 frames in copy mode (`XDP_MAX_TX_SKB_BUDGET`, Linux 6.17). Older kernels
/// refuse, and `kick` calls more often there.
fn raise_tx_budget(fd: RawFd) {
    const XDP_MAX_TX_SKB_BUDGET: i32 = 9;
    let _ = wait::set_option(fd, libc::SOL_XDP, XDP_MAX_TX_SKB_BUDGET, 256);
}

fn obtained_mode(fd: RawFd) -> io::Result<ObtainedMode> {
    let mut options = libc::xdp_options { flags: 0 };
    let mut len = size_of::<libc::xdp_options>() as libc::socklen_t;
    // SAFETY: both pointers are valid for the sizes given.
    // JUSTIFICATION: the binding does not expose this option.
    let result = unsafe {
        libc::getsockopt(fd, libc::SOL_XDP, libc::XDP_OPTIONS, (&raw mut options).cast(), &raw mut len)
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    let zero_copy = options.flags & libc::XDP_OPTIONS_ZEROCOPY != 0;
    Ok(if zero_copy { ObtainedMode::ZeroCopy } else { ObtainedMode::Copy })
}

/// Asks the kernel to send what is in the transmit ring; the errno if it could not send all.
fn transmit(fd: RawFd) -> Result<(), i32> {
    // SAFETY: no buffer and no address are passed.
    // JUSTIFICATION: the binding's wakeup hides whether frames still wait.
    let sent = unsafe { libc::sendto(fd, std::ptr::null(), 0, libc::MSG_DONTWAIT, std::ptr::null(), 0) };
    if sent >= 0 { Ok(()) } else { Err(io::Error::last_os_error().raw_os_error().unwrap_or(0)) }
}

/// Asks the kernel to look at the fill ring, or to busy-poll the driver.
fn wake_receive(fd: RawFd) {
    // SAFETY: no buffer and no address are passed.
    // JUSTIFICATION: the binding wakes by poll, which does not busy-poll every driver.
    unsafe {
        libc::recvfrom(
            fd,
            std::ptr::null_mut(),
            0,
            libc::MSG_DONTWAIT,
            std::ptr::null_mut(),
            std::ptr::null_mut(),
        );
    }
}
