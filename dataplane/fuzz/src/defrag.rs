//! Any sequence of frames offered as fragments: no panic, every held frame accounted for, all memory back.

use dataplane::defrag::{Defrag, DefragConfig, Offer, OverlapPolicy};
use dataplane::parse::{LinkType, parse_datagram, parse_frame_unverified};
use dataplane::time::Tick;

/// Bytes before each frame of the input: its length, big-endian, and the milliseconds that passed.
const RECORD_HEADER: usize = 3;
const DATAGRAMS: usize = 3;

/// The first byte chooses the policy; records of frames follow. A frame cut short by the input's end counts.
pub fn run(bytes: &[u8]) {
    let Some((choice, mut rest)) = bytes.split_first() else { return };
    let policy = OverlapPolicy::ALL[usize::from(*choice) % OverlapPolicy::ALL.len()];
    let mut defrag = Defrag::new(DefragConfig {
        datagrams_max: DATAGRAMS,
        bytes_max: 64 << 10,
        fragments_max: 12,
        fragments_per_datagram_max: 6,
        timeout_ms: 100,
        policy,
    });
    let room = defrag.bytes_free();
    let mut held = [0; DATAGRAMS];
    let mut now = Tick(0);
    while let Some(([high, low, passed_ms], frames)) = rest.split_first_chunk::<RECORD_HEADER>() {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(frames.len());
        let (frame, later) = frames.split_at(length);
        rest = later;
        now = now.plus_ns(u64::from(*passed_ms) * Tick::MS);
        defrag.expire(now, |hold| held[hold.index()] = 0);
        let Ok(headers) = parse_frame_unverified(frame, LinkType::Ethernet) else { continue };
        match defrag.offer(now, frame, &headers) {
            Offer::Held(hold) => held[hold.index()] += 1,
            Offer::Complete { hold } => {
                held[hold.index()] += 1;
                let (datagram, first) = defrag.datagram(hold).expect("it is complete");
                if let Ok(whole) = parse_datagram(datagram, &first) {
                    assert!(usize::from(whole.end) <= datagram.len());
                }
                let first = defrag.holding(hold).expect("it is held").first.expect("it is complete");
                assert!(first < held[hold.index()]);
                // Some wait for their release, as a batch lets them.
                if choice & 0x80 == 0 {
                    defrag.release(hold);
                    held[hold.index()] = 0;
                }
            }
            Offer::Refused { hold, .. } => {
                if let Some(hold) = hold {
                    assert!(std::mem::take(&mut held[hold.index()]) > 0);
                }
            }
        }
        assert_eq!(defrag.fragments_held(), held.iter().sum::<usize>());
        assert!(defrag.fragments_held() <= defrag.config().fragments_max);
    }
    defrag.drain(|hold| held[hold.index()] = 0);
    assert_eq!((held, defrag.is_empty(), defrag.bytes_free()), ([0; DATAGRAMS], true, room));
}
