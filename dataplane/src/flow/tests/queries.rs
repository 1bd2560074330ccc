//! Pages and sweeps.

use super::*;

fn lab() -> Lab {
    let mut lab = Lab::with_capacity(1_000);
    for n in 0..100 {
        lab.send(&udp(v4(n, 1000), v4(200, 53)), now(1));
    }
    lab.connect(v4(101, 4000), v4(201, 443), 3, now(1));
    lab
}

fn all(lab: &Lab, filter: &FlowFilter, slots_max: usize) -> Vec<u64> {
    let mut ids = Vec::new();
    let mut cursor = Some(0);
    while let Some(at) = cursor {
        let mut out = Vec::with_capacity(7);
        cursor = lab.table.page(at, slots_max, filter, now(2), &mut out);
        assert!(out.capacity() == 7 && out.len() <= slots_max);
        ids.extend(out.iter().map(|record| record.flow_id));
    }
    ids
}

#[test]
fn pages_show_every_flow_once_whatever_their_size() {
    let lab = lab();
    for slots_max in [1, 3, 256, 100_000] {
        let mut ids = all(&lab, &FlowFilter::default(), slots_max);
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 101);
    }
}

#[test]
fn flows_that_live_through_a_walk_are_seen_while_others_come_and_go() {
    let mut lab = lab();
    let (key, lo) = Lab::key(&udp(v4(50, 1000), v4(200, 53)));
    let steady = lab.table.flow_id(lab.table.find(&key, lo).unwrap().id);
    let mut seen = 0;
    let mut cursor = Some(0);
    let mut n = 0;
    while let Some(at) = cursor {
        let mut out = Vec::with_capacity(10);
        cursor = lab.table.page(at, 10, &FlowFilter::default(), now(2), &mut out);
        seen += out.iter().filter(|record| record.flow_id == steady).count();
        for gone in [n, 99 - n] {
            let (key, lo) = Lab::key(&udp(v4(gone, 1000), v4(200, 53)));
            if gone != 50
                && let Some(found) = lab.table.find(&key, lo)
            {
                lab.table.end(found.id, EndReason::Forced, now(2), &mut |_| ());
            }
        }
        lab.send(&udp(v4(n, 2000), v4(202, 53)), now(2));
        n += 1;
    }
    assert_eq!(seen, 1);
}

#[test]
fn filters_hold_together() {
    let lab = lab();
    let prefix = |last, len| Some((Addr::v4([10, 0, 0, last]), len));
    let cases = [
        (FlowFilter::default(), 101),
        (FlowFilter { protocol: Some(Protocol::TCP), ..Default::default() }, 1),
        (FlowFilter { port: Some(53), ..Default::default() }, 100),
        (FlowFilter { prefix: prefix(7, 128), ..Default::default() }, 1),
        (FlowFilter { prefix: prefix(0, 96 + 28), ..Default::default() }, 16),
        (FlowFilter { prefix: prefix(0, 0), ..Default::default() }, 101),
        (FlowFilter { prefix: prefix(200, 128), port: Some(443), ..Default::default() }, 0),
        (FlowFilter { state: Some(FlowState::Established), ..Default::default() }, 1),
        (FlowFilter { state: Some(FlowState::New), ..Default::default() }, 100),
        (FlowFilter { policy_index: Some(u32::MAX), ..Default::default() }, 101),
        (FlowFilter { policy_index: Some(4), ..Default::default() }, 0),
        (FlowFilter { flow_id: Some(3 << 56 | 5), ..Default::default() }, 1),
    ];
    for (filter, count) in cases {
        assert_eq!(all(&lab, &filter, 64).len(), count, "{filter:?}");
    }
}

#[test]
fn a_cursor_beyond_the_table_is_the_end() {
    let lab = lab();
    let mut out = Vec::with_capacity(10);
    for cursor in [101, u64::MAX] {
        assert_eq!(lab.table.page(cursor, 10, &FlowFilter::default(), now(2), &mut out), None);
    }
    assert!(out.is_empty());
}
