//! Does a reader see what the receiver sees, whatever a sender tries, and within bounds?

mod evasions;
mod limits;
mod model;
mod order;

use super::{Acked, Anomaly, Lost, Memory, Mended, Mode, Streams, What};
use crate::flow::Direction;

/// A reader of the forward direction, and what it has read. Offsets count from the first byte after the SYN.
struct Bench {
    streams: Streams,
    memory: Memory,
    mode: Mode,
    isn: u32,
    read: Vec<u8>,
    anomalies: Vec<Anomaly>,
    mended: Mended,
}

const WAY: Direction = Direction::Forward;

impl Bench {
    fn new(mode: Mode) -> Self {
        Self::at(mode, 1_000)
    }

    /// The SYN has the sequence number `isn`.
    fn at(mode: Mode, isn: u32) -> Self {
        let mut bench = Self::midstream(mode, isn);
        bench.streams.syn(WAY, isn);
        bench
    }

    fn midstream(mode: Mode, isn: u32) -> Self {
        Self {
            streams: Streams::default(),
            memory: Memory::new(1 << 20),
            mode,
            isn,
            read: Vec::new(),
            anomalies: Vec::new(),
            mended: Mended::default(),
        }
    }

    fn seq(&self, offset: u64) -> u32 {
        self.isn.wrapping_add(1).wrapping_add(offset as u32)
    }

    /// Sends a segment and reads all that is ready; returns what it brought and the payload as it is sent on.
    fn send(&mut self, offset: u64, payload: &[u8]) -> (What, Vec<u8>) {
        self.send_and_read(offset, payload, usize::MAX)
    }

    /// Sends a segment and reads at most `len` bytes.
    fn send_and_read(&mut self, offset: u64, payload: &[u8], len: usize) -> (What, Vec<u8>) {
        let seq = self.seq(offset);
        let mut payload = payload.to_vec();
        if self.mode == Mode::Inline {
            self.mended = self.streams.first_seen(WAY, seq, &mut payload);
        }
        let taken = self.streams.take(WAY, seq, &payload, self.mode, &mut self.memory);
        self.anomalies.extend(taken.anomaly);
        if taken.what != What::Full {
            self.take_in(&payload, len);
            assert!(self.streams.keep(WAY, &payload, self.mode, &mut self.memory));
        }
        (taken.what, payload)
    }

    fn take_in(&mut self, payload: &[u8], len: usize) {
        let ready = self.streams.ready(WAY, payload);
        let len = len.min(ready.len());
        self.read.extend_from_slice(&ready[..len]);
        self.streams.consume(WAY, len);
    }

    fn acknowledge(&mut self, offset: u64) -> Acked {
        let seq = self.seq(offset);
        self.streams.acknowledged(WAY, seq, self.mode, &mut self.memory)
    }

    fn give_up(&mut self, offset: Option<u64>) -> Lost {
        let seq = offset.map(|offset| self.seq(offset));
        let lost = self.streams.give_up_hole(WAY, seq, self.mode, &mut self.memory);
        self.take_in(&[], usize::MAX);
        assert!(self.streams.keep(WAY, &[], self.mode, &mut self.memory));
        lost
    }

    /// Ends the flow; all memory must have come back.
    fn end(mut self) -> Vec<u8> {
        self.streams.release(&mut self.memory);
        assert_eq!(self.memory.in_use(), 0);
        assert_eq!(self.streams.bytes_held(), 0);
        self.read
    }
}

/// `len` bytes of which no two neighbours are equal, from `offset` on.
fn bytes(offset: usize, len: usize) -> Vec<u8> {
    (offset..offset + len).map(|at| (at % 251) as u8).collect()
}
