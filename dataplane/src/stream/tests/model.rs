//! Against a slow obvious model: every byte by itself.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{Bench, Mode, What};
use crate::stream::Policy;

/// A segment, how much the reader takes after it, and how much the receiver acknowledges (in 256ths).
#[derive(Debug, Clone)]
struct Sent {
    offset: u64,
    payload: Vec<u8>,
    reads: usize,
    acks: u8,
}

/// Segments at random, then a second pass that leaves no hole.
fn segments(fill: impl Strategy<Value = u8> + Clone + 'static) -> impl Strategy<Value = Vec<Sent>> {
    let offset = prop_oneof![Just(0u64), 0u64..80, 0u64..600];
    let reads = prop_oneof![Just(usize::MAX), 0usize..50];
    let segment = (offset, prop::collection::vec(fill, 1..80), reads, any::<u8>())
        .prop_map(|(offset, payload, reads, acks)| Sent { offset, payload, reads, acks });
    (prop::collection::vec(segment, 1..60), 20u64..90).prop_map(|(mut segments, step)| {
        for offset in (0..680).step_by(step as usize) {
            segments.push(Sent { offset, payload: vec![3; step as usize], reads: 30, acks: offset as u8 });
        }
        segments
    })
}

/// A byte beyond a hole, and where the segment that it is from begins and ends.
type Owned = (u8, u64, u64);

/// Novak's and Sturges's table in words of its own: does the later segment `b` take a byte from the earlier `a`?
fn later_wins(policy: Policy, a: (u64, u64), b: (u64, u64)) -> bool {
    let begins_before = b.0 < a.0;
    let same_begin = b.0 == a.0;
    match policy {
        Policy::First | Policy::Vista => false,
        Policy::Last => true,
        Policy::Bsd | Policy::Windows | Policy::MacOs => begins_before,
        Policy::Linux | Policy::Irix | Policy::Hpux10 => begins_before || (same_begin && b.1 > a.1),
        Policy::OldLinux => begins_before || (same_begin && b.1 >= a.1),
        Policy::Solaris | Policy::Hpux11 => {
            let ends_after = a.1 > b.1;
            let begins_before_and_ends_not_before = a.0 < b.0 && a.1 >= b.1;
            !(ends_after || begins_before_and_ends_not_before)
        }
    }
}

#[derive(Default)]
struct Model {
    in_order: Vec<u8>,
    waiting: BTreeMap<u64, Owned>,
}

impl Model {
    fn take(&mut self, policy: Policy, offset: u64, payload: &[u8]) {
        let span = (offset, offset + payload.len() as u64);
        for (at, &byte) in (offset..).zip(payload) {
            if at < self.in_order.len() as u64 {
                continue;
            }
            let owner = self.waiting.entry(at).or_insert((byte, span.0, span.1));
            if later_wins(policy, (owner.1, owner.2), span) {
                *owner = (byte, span.0, span.1);
            }
        }
        while let Some((byte, ..)) = self.waiting.remove(&(self.in_order.len() as u64)) {
            self.in_order.push(byte);
        }
    }
}

fn isn() -> impl Strategy<Value = u32> {
    prop_oneof![any::<u32>(), u32::MAX - 700..=u32::MAX, Just(u32::MAX), (1u32 << 31) - 300..(1 << 31) + 300]
}

proptest! {
    #[test]
    fn beside_the_wire_the_reader_sees_what_each_receiver_sees(
        policy in prop::sample::select(Policy::ALL),
        isn in isn(),
        segments in segments(any::<u8>()),
    ) {
        let mut bench = Bench::at(Mode::Target(policy), isn);
        let mut model = Model::default();
        for sent in &segments {
            let (what, _) = bench.send_and_read(sent.offset, &sent.payload, sent.reads);
            prop_assert_ne!(what, What::Full);
            model.take(policy, sent.offset, &sent.payload);
            prop_assert_eq!(bench.streams.depth(super::WAY), model.in_order.len() as u64);
            let acked = model.in_order.len() as u64 * u64::from(sent.acks) / 256;
            bench.acknowledge(acked);
        }
        bench.take_in(&[], usize::MAX);
        prop_assert!(model.in_order.len() >= 600);
        prop_assert_eq!(&bench.read, &model.in_order);
        bench.end();
    }

    /// Whatever rule the receiver has, and whichever segments it loses: of every byte that it does not have for sure
    /// it was sent one version only, and that is the one that was read.
    #[test]
    fn inline_every_receiver_sees_what_the_reader_sees(
        isn in isn(),
        segments in segments(0u8..4),
    ) {
        let mut bench = Bench::at(Mode::Inline, isn);
        let mut first = BTreeMap::new();
        let mut acked = 0;
        for sent in &segments {
            let (what, payload) = bench.send_and_read(sent.offset, &sent.payload, sent.reads);
            prop_assert_ne!(what, What::Full);
            prop_assert!(!bench.mended.is_unverified);
            let mut is_rewritten = false;
            for ((at, byte), was) in (sent.offset..).zip(payload).zip(&sent.payload) {
                let seen = *first.entry(at).or_insert(*was);
                if at >= acked {
                    prop_assert_eq!(byte, seen, "at {}", at);
                    is_rewritten |= byte != *was;
                }
            }
            prop_assert_eq!(bench.mended.is_rewritten, is_rewritten);
            let depth = bench.streams.depth(super::WAY);
            acked = acked.max(depth * u64::from(sent.acks) / 256);
            bench.acknowledge(acked);
        }
        bench.take_in(&[], usize::MAX);
        let depth = bench.streams.depth(super::WAY);
        let expected: Vec<u8> = (0..depth).map(|at| first[&at]).collect();
        prop_assert_eq!(&bench.read, &expected);
        bench.end();
    }

    /// In a small world: little memory, few bytes, holes given up. Nothing may break, and all memory comes back.
    #[test]
    fn little_memory_breaks_nothing(
        is_inline in any::<bool>(),
        isn in isn(),
        worker_bytes in 0usize..4_000,
        flow_bytes in 0usize..4_000,
        segments in prop::collection::vec((prop_oneof![Just(0u64), 0u64..900, 0u64..6_000], 1usize..900, 0usize..1_200, any::<bool>(), any::<u8>()), 1..60),
    ) {
        let mode = if is_inline { Mode::Inline } else { Mode::Target(Policy::Linux) };
        let mut bench = Bench::at(mode, isn);
        bench.memory.set_bytes_max(worker_bytes);
        bench.memory.set_flow_bytes_max(flow_bytes);
        for (offset, len, reads, gives_up, acks) in segments {
            let payload = super::bytes(offset as usize, len);
            let seq = bench.seq(offset);
            let mut turns = 0;
            loop {
                let mut copy = payload.clone();
                let _ = bench.streams.first_seen(super::WAY, seq, &mut copy);
                prop_assert_eq!(&copy, &payload, "the same bytes are never rewritten");
                let taken = bench.streams.take(super::WAY, seq, &payload, mode, &mut bench.memory);
                if taken.what != What::Full {
                    // What is read lies at its place in the stream.
                    let end = bench.streams.depth(super::WAY) as usize;
                    let ready = bench.streams.ready(super::WAY, &payload).to_vec();
                    prop_assert_eq!(&ready, &super::bytes(end - ready.len(), ready.len()));
                    bench.streams.consume(super::WAY, reads.min(ready.len()));
                    let _ = bench.streams.keep(super::WAY, &payload, mode, &mut bench.memory);
                    break;
                }
                if !gives_up {
                    break;
                }
                bench.streams.give_up_hole(super::WAY, Some(seq), mode, &mut bench.memory);
                turns += 1;
                prop_assert!(turns < 300);
            }
            prop_assert!(bench.memory.in_use() + bench.memory.idle() <= worker_bytes);
            prop_assert!(bench.streams.bytes_held() <= flow_bytes);
            let depth = bench.streams.depth(super::WAY);
            bench.acknowledge(depth * u64::from(acks) / 256);
        }
        bench.end();
    }
}
