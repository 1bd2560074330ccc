//! How do real programs send through protocols that this kernel has no devices for? A TAP on each host,
//! wrapped.
//!
//! What a host's programs send into the TAP `wrap0`, the wrapper puts into the encapsulation that the inner
//! addresses name and sends from `eth0` beside the stack; what comes for one of the wrapper's own Ethernet
//! addresses it takes out again. Anything around the packet that is not as the other wrapper wrote it is kept
//! as a fault.

pub(crate) mod layout;

use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use xsk::{PacketSocket, Tap, netns, wait};

use crate::lab::{Host, Lab, sh};
use layout::{Layout, inner_macs};

/// Fits into every encapsulation under an MTU of 1,500 bytes.
const INNER_MTU_BYTES: u32 = 1400;
/// Longest frame.
const FRAME_BYTES: usize = 2048;

/// One encapsulation under test, with addresses of its own: 10.80.N.1 and fd80:N::1 inside on the client, .2
/// on the server; 172.31.N.1 and fd31:N::1 outside.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) number: u8,
    pub(crate) layout: Layout,
    /// Longest outer IPv4 packet, where longer ones are to be fragmented.
    pub(crate) fragment_bytes: Option<usize>,
}

impl Case {
    /// Whether IPv4 can be inside.
    pub(crate) fn carries_v4(&self) -> bool {
        self.layout != Layout::Teredo
    }

    /// The inner addresses of a host, as text: IPv4 where it can be inside, and IPv6.
    pub(crate) fn inside(&self, host: Host) -> Vec<String> {
        let (number, end) = (self.number, end(host));
        let v4 = self.carries_v4().then(|| format!("10.80.{number}.{end}"));
        v4.into_iter().chain([format!("fd80:{number:x}::{end}")]).collect()
    }

    /// Destination and source of frames from a host.
    pub(crate) fn macs(&self, from: Host) -> [u8; 12] {
        let number = self.number;
        match from {
            Host::Client => [2, 0, 0, 1, number, 2, 2, 0, 0, 1, number, 1],
            Host::Server => [2, 0, 0, 1, number, 1, 2, 0, 0, 1, number, 2],
        }
    }

    pub(crate) fn outer_v4(&self, from: Host) -> (Ipv4Addr, Ipv4Addr) {
        let at = |host| Ipv4Addr::new(172, 31, self.number, end(host));
        (at(from), at(other(from)))
    }

    pub(crate) fn outer_v6(&self, from: Host) -> (Ipv6Addr, Ipv6Addr) {
        let at = |host| Ipv6Addr::new(0xfd31, u16::from(self.number), 0, 0, 0, 0, 0, u16::from(end(host)));
        (at(from), at(other(from)))
    }
}

pub(crate) fn other(host: Host) -> Host {
    match host {
        Host::Client => Host::Server,
        Host::Server => Host::Client,
    }
}

fn end(host: Host) -> u8 {
    match host {
        Host::Client => 1,
        Host::Server => 2,
    }
}

/// The wrapper of one host; it ends when it is dropped.
pub(crate) struct Wrapper {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Seen>>,
}

/// What a wrapper saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Packets out of fragments.
    pub(crate) reassembled: u64,
    /// Frames for this host that were not as the other had written them.
    pub(crate) faults: Vec<String>,
}

impl Wrapper {
    /// Makes the TAP on `host` with the addresses of every case, and starts to wrap.
    pub(crate) fn start(lab: &Lab, host: Host, cases: &'static [Case]) -> Self {
        let namespace = lab.namespace(host);
        let stop = Arc::new(AtomicBool::new(false));
        let (ready, is_ready) = mpsc::channel();
        let thread = {
            let (namespace, stop) = (namespace.clone(), Arc::clone(&stop));
            std::thread::spawn(move || {
                netns::enter(&namespace).unwrap();
                let tap = Tap::open("wrap0").unwrap();
                tap.set_mtu(INNER_MTU_BYTES).unwrap();
                let wire = PacketSocket::open("eth0").unwrap();
                ready.send(()).unwrap();
                Turn { host, cases, tap, wire, pieces: HashMap::new(), next_id: 1, seen: Seen::default() }
                    .run(&stop)
            })
        };
        is_ready.recv().unwrap();
        let wrapper = Self { stop, thread: Some(thread) };
        address(lab, &namespace, host, cases);
        wrapper
    }

    /// Ends it; what it saw.
    pub(crate) fn finish(mut self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Wrapper {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

/// Gives the TAP its addresses and the other host's neighbour entries: nothing is asked for on the wire.
fn address(lab: &Lab, namespace: &str, host: Host, cases: &[Case]) {
    let mac = |host: Host| {
        let macs = inner_macs(host);
        macs[6..].iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
    };
    let mut batch = format!("link set wrap0 address {}\n", mac(host));
    for case in cases {
        for (here, there) in case.inside(host).iter().zip(case.inside(other(host))) {
            let prefix = if here.contains(':') { "64 nodad" } else { "24" };
            batch += &format!("addr add {here}/{prefix} dev wrap0\n");
            batch += &format!("neigh replace {there} lladdr {} nud permanent dev wrap0\n", mac(other(host)));
        }
    }
    let file = format!("addresses-{namespace}");
    lab.write(&file, batch);
    let output = sh("ip", &["-n", namespace, "-batch", lab.path(&file).to_str().unwrap()]);
    assert!(output.status.success(), "{output:?}");
}

/// Fragments of one datagram.
struct Pieces {
    frames: Vec<Vec<u8>>,
    data: Vec<u8>,
    /// Where the last one ends, once it is there.
    end: Option<usize>,
    bytes: usize,
}

/// What the thread owns.
struct Turn {
    host: Host,
    cases: &'static [Case],
    tap: Tap,
    wire: PacketSocket,
    pieces: HashMap<(u8, u16), Pieces>,
    next_id: u16,
    seen: Seen,
}

impl Turn {
    fn run(mut self, stop: &AtomicBool) -> Seen {
        let mut buffer = [0; FRAME_BYTES];
        // Relaxed: the flag carries no data.
        while !stop.load(Ordering::Relaxed) {
            wait::readable(&[self.tap.fd(), self.wire.fd()], 50).unwrap();
            while let Some(len) = self.tap.receive(&mut buffer).unwrap() {
                self.send(&buffer[..len]);
            }
            while let Some(frame) = self.wire.receive(FRAME_BYTES).unwrap() {
                if let Some(packet) = self.receive(&frame) {
                    let ethertype = if packet[0] >> 4 == 4 { [8, 0] } else { [0x86, 0xdd] };
                    let frame = [&inner_macs(other(self.host))[..], &ethertype, &packet].concat();
                    assert!(self.tap.send(&frame).unwrap(), "a TAP takes what it is given");
                }
            }
        }
        self.seen
    }

    /// Wraps a frame of the host's stack that is of one of the cases; neighbour discovery and the like are
    /// not.
    fn send(&mut self, frame: &[u8]) {
        let number = match (&frame[12..14], &frame[14..]) {
            ([8, 0], packet) if packet[12..14] == [10, 80] => packet[14],
            ([0x86, 0xdd], packet) if packet[8..11] == [0xfd, 0x80, 0] => packet[11],
            _ => return,
        };
        let Some(case) = self.cases.iter().find(|case| case.number == number) else { return };
        let frame = case.layout.wrap(case, self.host, &frame[14..]);
        match case.fragment_bytes {
            Some(packet_bytes) if frame.len() > 14 + packet_bytes => {
                let pieces = layout::fragments(&frame, self.next_id, packet_bytes);
                self.next_id = self.next_id.wrapping_add(1).max(1);
                pieces.iter().for_each(|piece| self.wire.send(piece).unwrap());
            }
            Some(_) | None => self.wire.send(&frame).unwrap(),
        }
    }

    /// The packet in a frame from the wire; `None` if there is none, or not yet.
    fn receive(&mut self, frame: &[u8]) -> Option<Vec<u8>> {
        let from = other(self.host);
        let case = self.cases.iter().find(|case| frame.starts_with(&case.macs(from)))?;
        let frame = match layout::fragment(frame) {
            Some(piece) if case.fragment_bytes.is_some() => self.join(case, frame, piece)?,
            Some(_) | None => frame.to_vec(),
        };
        match case.layout.unwrap(case, from, &frame) {
            Ok(packet) => Some(packet),
            Err(fault) => {
                self.seen.faults.push(format!("{} to {:?}: {fault}", case.name, self.host));
                None
            }
        }
    }

    /// Puts fragments together; the datagram is cut again in the same way and must give the same frames.
    fn join(
        &mut self,
        case: &Case,
        frame: &[u8],
        (id, offset, more, data): (u16, usize, bool, &[u8]),
    ) -> Option<Vec<u8>> {
        let pieces = self.pieces.entry((case.number, id)).or_insert_with(|| Pieces {
            frames: Vec::new(),
            data: vec![0; usize::from(u16::MAX)],
            end: None,
            bytes: 0,
        });
        pieces.frames.push(frame.to_vec());
        pieces.data[offset..offset + data.len()].copy_from_slice(data);
        pieces.bytes += data.len();
        if !more {
            pieces.end = Some(offset + data.len());
        }
        if pieces.end != Some(pieces.bytes) {
            return None;
        }
        let mut pieces = self.pieces.remove(&(case.number, id)).unwrap();
        // They may have come by two queues, and so in another order.
        pieces.frames.sort_by_key(|frame| layout::fragment(frame).map(|(_, offset, ..)| offset));
        let whole = layout::whole(&pieces.frames[0], &pieces.data[..pieces.bytes]);
        self.seen.reassembled += 1;
        if layout::fragments(&whole, id, case.fragment_bytes?) != pieces.frames {
            self.seen.faults.push(format!("{}: these are not the original fragments", case.name));
        }
        Some(whole)
    }
}
