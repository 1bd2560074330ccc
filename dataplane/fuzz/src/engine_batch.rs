//! Any frames on any port at any time, through a whole worker: no panic, no frame lost, none invented but
//! refusals.
//!
//! The input is a sequence of (length, two bytes big-endian; port and time, one byte; frame). Two workers live
//! as long as the process, so that later inputs meet the state that earlier ones left.

use std::cell::RefCell;

use crate::support::Bench;

const POLICY: &str = r#"{"default_action": "allow", "strict": true, "policies": [
    {"policy_id": "drop", "priority": 1, "conditions": {"dst_port": "9"}, "action": "drop"},
    {"policy_id": "reject", "priority": 2, "conditions": {"dst_port": ["7", "23"]}, "action": "reject"},
    {"policy_id": "redirect", "priority": 3, "conditions": {"dst_port": "8081"},
     "action": {"redirect": {"to": "10.9.9.9:80"}}},
    {"policy_id": "limit", "priority": 4, "conditions": {"protocol": "icmp"},
     "action": {"rate_limit": {"bytes_per_s": 2000, "burst_bytes": 4000, "per": "source"}}}]}"#;

/// Bytes of one frame: what a chunk of the test's memory holds.
const FRAME_BYTES_MAX: usize = 1_500;

thread_local! {
    static BENCH: RefCell<Bench> = RefCell::new(Bench::new(2, POLICY));
}

/// Treats `bytes` as a sequence of frames.
pub fn run(mut bytes: &[u8]) {
    BENCH.with_borrow_mut(|bench| {
        let mut sent = 0;
        while let [high, low, how, rest @ ..] = bytes {
            let len = usize::from(u16::from_be_bytes([*high, *low])).min(FRAME_BYTES_MAX).min(rest.len());
            let (frame, rest) = rest.split_at(len);
            bytes = rest;
            if frame.is_empty() {
                continue;
            }
            bench.clock.ns += u64::from(*how >> 2) * 40_000_000;
            bench.send(usize::from(*how & 1), usize::from(*how >> 1 & 1), frame);
            sent += 1;
            if sent % 32 == 0 {
                bench.settle();
            }
        }
        bench.settle();
        for board in bench.door.boards() {
            assert_eq!(board.read().outstanding_frames, 0, "every frame is accounted for");
        }
        for events in &mut bench.events {
            while events.alerts.pop().is_ok() {}
            while events.records.pop().is_ok() {}
        }
    });
}
