//! Two hosts and the ports between them: `g0 <-> p0` and `s0 <-> p1`, veth pairs in a network namespace of the
//! test's own, which goes with its thread. The far ends `g0` and `s0` are driven by packet sockets.
#![allow(dead_code, reason = "each test file uses its part of the rig")]
#![expect(unsafe_code, reason = "UNSAFETY: unshare(2) and packet sockets have no safe form in std")]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use xsk::wire::{self, WireConfig};
use xsk::{
    FailMode, FrameBatch, FramePool, FrameSize, Heartbeat, PacketPort, SocketConfig, Umem, UmemConfig, Wire,
    XskQueue, clock, netdev,
};

/// How long a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// How long a test listens for what must not come.
pub(crate) const SILENCE: Duration = Duration::from_millis(120);

/// The namespace, its veth pairs and its pins.
pub(crate) struct Rig {
    pub(crate) pin_root: PathBuf,
    pub(crate) left: FarEnd,
    pub(crate) right: FarEnd,
}

impl Rig {
    /// Makes the rig, or says in one line why it cannot be made and gives `None`; with `JARVIS_NETNS=require` that
    /// is a failure.
    pub(crate) fn new(queues: u32, mtu_bytes: u32) -> Option<Self> {
        match Self::try_new(queues, mtu_bytes) {
            Ok(rig) => Some(rig),
            Err(reason) => {
                assert!(
                    std::env::var("JARVIS_NETNS").as_deref() != Ok("require"),
                    "the network rig could not be made: {reason}"
                );
                eprintln!(
                    "not run: {reason}; run as root on a kernel with veth, network namespaces and AF_XDP"
                );
                None
            }
        }
    }

    fn try_new(queues: u32, mtu_bytes: u32) -> Result<Self, String> {
        // SAFETY: a plain system call that changes this thread alone.
        // JUSTIFICATION: std has no namespaces.
        if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
            return Err(format!("no network namespace: {}", io::Error::last_os_error()));
        }
        make_pair("g0", "p0", queues, mtu_bytes)?;
        make_pair("s0", "p1", queues, mtu_bytes)?;
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let pin_root = PathBuf::from(format!("/sys/fs/bpf/xq-{}-{number}", std::process::id()));
        let far = |name| FarEnd::open(name).map_err(|err| format!("no packet socket on {name}: {err}"));
        Ok(Self { pin_root, left: far("g0")?, right: far("s0")? })
    }

    /// Opens the left far end again after it was made anew.
    pub(crate) fn reopen_left(&mut self) {
        self.left = FarEnd::open("g0").expect("the far end was made");
    }

    pub(crate) fn inline(&self, fail_mode: FailMode) -> WireConfig {
        let mut config = WireConfig::new("test", &["p0", "p1"]);
        config.pin_root.clone_from(&self.pin_root);
        config.fail_mode = fail_mode;
        // Debug builds on a busy machine: a worker that turns must never look dead.
        config.watchdog_ms = 5000;
        config
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        for wire in wire::status(&self.pin_root).unwrap_or_default() {
            let _ = wire::detach(&self.pin_root, &wire.name);
        }
        let _ = std::fs::remove_dir(&self.pin_root);
    }
}

/// Makes one veth pair, its far end without the offloads that hide checksums and tags.
pub(crate) fn make_pair(far: &str, near: &str, queues: u32, mtu_bytes: u32) -> Result<(), String> {
    let (queues, mtu) = (queues.to_string(), mtu_bytes.to_string());
    run(&[
        "ip",
        "link",
        "add",
        far,
        "mtu",
        &mtu,
        "numrxqueues",
        &queues,
        "numtxqueues",
        &queues,
        "type",
        "veth",
        "peer",
        "name",
        near,
        "mtu",
        &mtu,
        "numrxqueues",
        &queues,
        "numtxqueues",
        &queues,
    ])?;
    for name in [far, near] {
        let _ = std::fs::write(format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6"), "1");
        run(&["ip", "link", "set", name, "addrgenmode", "none", "up"])?;
        run(&["ethtool", "-K", name, "tx", "off", "txvlan", "off", "rxvlan", "off"])?;
    }
    Ok(())
}

/// Runs a program in the rig's namespace.
pub(crate) fn run(words: &[&str]) -> Result<(), String> {
    let (program, arguments) = words.split_first().expect("a program's name");
    let output = Command::new(program).args(arguments).output().map_err(|err| format!("{program}: {err}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim()))
}

/// A packet socket on a far end.
pub(crate) struct FarEnd {
    socket: OwnedFd,
}

impl FarEnd {
    fn open(name: &str) -> io::Result<Self> {
        let protocol = (libc::ETH_P_ALL as u16).to_be();
        // SAFETY: a plain system call; the result is checked.
        // JUSTIFICATION: std has no packet sockets.
        let fd = unsafe {
            libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_NONBLOCK, i32::from(protocol))
        };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: just made, owned by nothing else.
        // JUSTIFICATION: as above.
        let socket = unsafe { OwnedFd::from_raw_fd(fd) };
        // SAFETY: all zeroes is a valid sockaddr_ll.
        // JUSTIFICATION: a C struct.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = protocol;
        address.sll_ifindex = netdev::ifindex(name).map_err(io::Error::other)? as i32;
        // SAFETY: the address is valid for its size.
        // JUSTIFICATION: as above.
        let bound =
            unsafe { libc::bind(fd, (&raw const address).cast(), size_of::<libc::sockaddr_ll>() as u32) };
        if bound != 0 {
            return Err(io::Error::last_os_error());
        }
        let size: i32 = 8 << 20;
        // SAFETY: the value is valid for its size.
        // JUSTIFICATION: as above.
        unsafe {
            libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, (&raw const size).cast(), 4);
        }
        Ok(Self { socket })
    }

    pub(crate) fn send(&self, frame: &[u8]) {
        let give_up = Instant::now() + PATIENCE;
        loop {
            // SAFETY: the buffer is valid for its length.
            // JUSTIFICATION: std has no packet sockets.
            let sent = unsafe {
                libc::send(self.socket.as_raw_fd(), frame.as_ptr().cast(), frame.len(), libc::MSG_DONTWAIT)
            };
            if sent == frame.len() as isize {
                return;
            }
            let err = io::Error::last_os_error();
            let full = matches!(err.raw_os_error(), Some(libc::EAGAIN | libc::ENOBUFS));
            assert!(full && Instant::now() < give_up, "a far end could not send: {err}");
            std::thread::yield_now();
        }
    }

    /// The next of the test's own frames, `None` if there is none now.
    pub(crate) fn receive(&self) -> Option<Vec<u8>> {
        let mut buffer = vec![0_u8; 16_384];
        loop {
            // SAFETY: the buffer is valid for its length.
            // JUSTIFICATION: std has no packet sockets.
            let len = unsafe {
                libc::recv(
                    self.socket.as_raw_fd(),
                    buffer.as_mut_ptr().cast(),
                    buffer.len(),
                    libc::MSG_DONTWAIT,
                )
            };
            if len < 0 {
                return None;
            }
            let frame = &buffer[..len as usize];
            if is_ours(frame) {
                return Some(frame.to_vec());
            }
        }
    }

    pub(crate) fn receive_within(&self, wait: Duration) -> Option<Vec<u8>> {
        let give_up = Instant::now() + wait;
        loop {
            if let Some(frame) = self.receive() {
                return Some(frame);
            }
            let left = give_up.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            let _ = xsk::wait::readable(&[self.socket.as_raw_fd()], left.as_millis().max(1) as i32);
        }
    }
}

const OURS: [u8; 6] = [0x02, 0xaa, 0xbb, 0xcc, 0xdd, 0x01];

fn is_ours(frame: &[u8]) -> bool {
    frame.get(6..12) == Some(&OURS[..])
}

/// Ethernet, the tags given, and IPv4 with UDP; `id` chooses the flow and is the payload's first word.
pub(crate) fn ipv4(tags: &[u16], source: [u8; 4], destination: [u8; 4], id: u32, len: usize) -> Vec<u8> {
    let mut frame = ethernet(tags, 0x0800);
    let ip_len = len.saturating_sub(frame.len()).max(32);
    let mut header = vec![0x45, 0];
    header.extend((ip_len as u16).to_be_bytes());
    header.extend([0, 0, 0x40, 0, 64, 17, 0, 0]);
    header.extend(source);
    header.extend(destination);
    let sum =
        header.chunks(2).fold(0_u32, |sum, pair| sum + u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    let folded = (sum & 0xffff) + (sum >> 16);
    let checksum = !((folded & 0xffff) + (folded >> 16)) as u16;
    header[10..12].copy_from_slice(&checksum.to_be_bytes());
    frame.extend(header);
    frame.extend((1024 + (id % 4096) as u16).to_be_bytes());
    frame.extend(7_u16.to_be_bytes());
    frame.extend(((ip_len - 20) as u16).to_be_bytes());
    frame.extend([0, 0]);
    frame.extend(id.to_be_bytes());
    let pattern = (0..=255_u8).cycle().skip(id as usize % 251);
    let missing = ip_len - 32;
    frame.extend(pattern.take(missing));
    frame
}

pub(crate) fn ipv6(tags: &[u16], source: [u8; 16], destination: [u8; 16]) -> Vec<u8> {
    let mut frame = ethernet(tags, 0x86dd);
    frame.extend([0x60, 0, 0, 0, 0, 8, 59, 64]);
    frame.extend(source);
    frame.extend(destination);
    frame.extend([0; 8]);
    frame
}

fn ethernet(tags: &[u16], ethertype: u16) -> Vec<u8> {
    let mut frame = vec![0x02, 0xaa, 0xbb, 0xcc, 0xdd, 0x02];
    frame.extend(OURS);
    for (position, tag) in tags.iter().enumerate() {
        let kind: u16 = if position + 1 < tags.len() { 0x88a8 } else { 0x8100 };
        frame.extend(kind.to_be_bytes());
        frame.extend(tag.to_be_bytes());
    }
    frame.extend(ethertype.to_be_bytes());
    frame
}

/// A plain 64-byte frame of flow `id`.
pub(crate) fn plain(id: u32) -> Vec<u8> {
    ipv4(&[], [10, 0, 0, 1], [10, 0, 0, 2], id, 64)
}

/// One queue pair's worker without an engine: what comes in on one port goes out on the other.
pub(crate) struct Forwarder {
    pub(crate) ports: Vec<XskQueue>,
    pub(crate) pool: FramePool,
    pub(crate) umem: Umem,
    pub(crate) heartbeat: Heartbeat,
    pub(crate) queue: u32,
    pub(crate) forwarded: usize,
    pub(crate) most_pieces: usize,
}

impl Forwarder {
    /// Opens the queue on each port over one UMEM, registers the sockets and beats once.
    pub(crate) fn open(wire: &mut Wire, queue: u32, frame_size: FrameSize) -> Self {
        let config = UmemConfig { frames: 4096, frame_size, ..UmemConfig::default() };
        let (umem, mut pool) = Umem::new(config).expect("packet memory");
        let names: Vec<String> = wire.ports().iter().map(|port| port.interface.clone()).collect();
        let mut ports = Vec::new();
        for name in names {
            let mut port = XskQueue::open(&umem, &SocketConfig::new(name, queue)).expect("a socket");
            port.refill(&mut pool, 1024);
            ports.push(port);
        }
        let heartbeat = wire.heartbeat(queue).expect("a queue in range");
        heartbeat.beat(clock::monotonic_ns());
        for (index, port) in ports.iter().enumerate() {
            wire.register_socket(index, port).expect("registered");
        }
        Self { ports, pool, umem, heartbeat, queue, forwarded: 0, most_pieces: 0 }
    }

    /// One turn; with one port it echoes.
    pub(crate) fn turn(&mut self) {
        self.heartbeat.beat(clock::monotonic_ns());
        let count = self.ports.len();
        for from in 0..count {
            let to = (from + 1) % count;
            let mut batch = FrameBatch::new();
            self.forwarded += self.ports[from].receive(&mut batch, 64);
            let mut pieces = 0;
            for frame in batch.iter() {
                pieces += 1;
                self.most_pieces = self.most_pieces.max(pieces);
                if !frame.more() {
                    pieces = 0;
                }
            }
            let give_up = Instant::now() + PATIENCE;
            while !batch.is_empty() {
                self.ports[to].send(&mut batch);
                self.ports[to].kick();
                self.ports[to].complete(&mut self.pool);
                assert!(Instant::now() < give_up, "the transmit ring never drained");
            }
        }
        for port in &mut self.ports {
            port.complete(&mut self.pool);
            port.refill(&mut self.pool, 1024);
            port.kick();
        }
    }

    /// Turns until every frame sent has been completed.
    pub(crate) fn drain(&mut self) {
        let give_up = Instant::now() + PATIENCE;
        while self.ports.iter().any(|port| port.in_flight() > 0) {
            self.turn();
            assert!(Instant::now() < give_up, "frames stayed in flight");
        }
    }

    /// Ends in order: out of the map, drained, every frame accounted for.
    pub(crate) fn stop(mut self, wire: &mut Wire) {
        for port in 0..self.ports.len() {
            wire.unregister_socket(port, self.queue).expect("unregistered");
        }
        self.drain();
        assert_eq!(self.umem.outstanding(), 0, "every frame came home");
        let in_rings: usize = self.ports.iter().map(|port| port.waiting() + port.in_flight()).sum();
        assert_eq!(self.pool.free() + in_rings, 4096, "pool and rings hold every frame");
        self.heartbeat.stop();
    }
}

/// Sends frames from one far end in bursts while `turn` runs, and gives what the other received, in order of
/// arrival.
pub(crate) fn exchange(
    from: &FarEnd,
    to: &FarEnd,
    frames: &[Vec<u8>],
    mut turn: impl FnMut(),
) -> Vec<Vec<u8>> {
    let mut received = Vec::new();
    let give_up = Instant::now() + PATIENCE;
    for burst in frames.chunks(32) {
        for frame in burst {
            from.send(frame);
        }
        turn();
        received.extend(std::iter::from_fn(|| to.receive()));
    }
    while received.len() < frames.len() && Instant::now() < give_up {
        turn();
        received.extend(std::iter::from_fn(|| to.receive()));
    }
    received
}
