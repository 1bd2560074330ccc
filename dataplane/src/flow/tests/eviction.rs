//! Who goes when there is no room.

use super::*;

fn client(n: u32) -> Endpoint {
    (Addr::v4((0x0b00_0000 + n / 60_000).to_be_bytes()), 1024 + (n % 60_000) as u16)
}

fn reasons(lab: &Lab) -> Vec<(Addr, EndReason)> {
    lab.records.iter().map(|record| (record.endpoints().0.0, record.end.unwrap())).collect()
}

#[test]
fn order_is_embryonic_closed_oldest_idle_and_never_protected() {
    let mut lab = Lab::with_capacity(5);
    let server = v4(200, 80);
    lab.connect(v4(1, 1), server, 10, now(1));
    lab.connect(v4(2, 1), server, 0, now(2));
    lab.connect(v4(3, 1), server, 0, now(3));
    lab.connect(v4(4, 1), server, 0, now(4));
    lab.close(v4(4, 1), server, 0, now(4));
    lab.send(&tcp(v4(5, 1), server, "S", 1, 0), now(5));
    // Each newcomer gets established at once, so that it is no victim of the next.
    for (n, second) in [(6, 10), (7, 11), (8, 12), (9, 13)] {
        lab.connect(v4(n, 1), server, 10, now(second));
    }
    let victims: Vec<u8> = lab.records.iter().map(|r| r.endpoints().0.0.0[15]).collect();
    assert_eq!(victims, [5, 4, 2, 3]);
    assert!(lab.records.iter().all(|record| record.end == Some(EndReason::Evicted)));
    assert_eq!(lab.table.stats().evicted, [1, 1, 2, 0]);
    // Only protected ones are left.
    assert_eq!(lab.send_as(&udp(v4(10, 1), server), now(20), true).unwrap_err(), Full);
    assert_eq!(lab.table.stats().full, 1);
    assert_eq!(lab.table.len(), 5);
}

#[test]
fn protected_go_last_where_the_order_names_them_and_only_when_silent() {
    let mut lab =
        Lab::new(FlowConfig { capacity: 1, eviction: EvictionOrder::PROTECTED_LAST, ..Default::default() });
    lab.connect(v4(1, 1), v4(200, 80), 10, now(1));
    assert_eq!(lab.send_as(&udp(v4(2, 1), v4(3, 1)), now(5), true).unwrap_err(), Full);
    assert!(lab.send(&udp(v4(2, 1), v4(3, 1)), now(6)).started);
    assert_eq!(reasons(&lab), [(v4(1, 1).0, EndReason::Evicted)]);
}

#[test]
fn never_means_refused() {
    let mut lab = Lab::new(FlowConfig { capacity: 1, eviction: EvictionOrder::NEVER, ..Default::default() });
    lab.send(&udp(v4(2, 1), v4(3, 1)), now(1));
    assert_eq!(lab.send_as(&udp(v4(4, 1), v4(3, 1)), now(20), true).unwrap_err(), Full);
}

#[test]
fn an_established_flow_seen_lately_is_passed_over() {
    let mut lab = Lab::with_capacity(3);
    for n in 1..=3 {
        lab.send(&udp(v4(n, 1), v4(100, 1)), now(1));
        lab.send(&udp(v4(100, 1), v4(n, 1)), now(1));
    }
    lab.send(&udp(v4(1, 1), v4(100, 1)), now(9));
    lab.send(&udp(v4(4, 1), v4(100, 1)), now(10));
    assert_eq!(reasons(&lab), [(v4(2, 1).0, EndReason::Evicted)]);
}

#[test]
fn a_one_way_stream_outlives_scans() {
    let mut lab = Lab::with_capacity(4);
    for second in 1..=4 {
        lab.send(&udp(v4(1, 1), v4(100, 1)), now(second));
    }
    for n in 0..100 {
        lab.send(&udp(client(n), v4(100, 1)), now(5));
    }
    assert!(lab.records.iter().all(|record| record.endpoints().0 != v4(1, 1)));
    assert_eq!(lab.table.len(), 4);
}

#[test]
fn two_million_syns_leave_established_connections_unharmed() {
    let mut lab = Lab::with_capacity(20_000);
    let server = v4(200, 80);
    let established: Vec<FlowId> = (0..5_000).map(|n| lab.connect(client(n), server, 10, now(1))).collect();
    let victim_server = v4(201, 80);
    let mut ended = 0;
    let mut lost = 0;
    for n in 0..2_000_000_u32 {
        let headers = tcp((Addr::v4((0x5000_0000 + n).to_be_bytes()), 4000), victim_server, "S", n, 0);
        let (key, src_is_lo) = Lab::key(&headers);
        let located = lab.table.locate(lab.table.hash(&key), true);
        let when = at_ms(10_000 + u64::from(n) / 1_000);
        let found = lab
            .table
            .find_or_start(located, &key, src_is_lo, &headers, 0, when, &mut |record: FlowRecord| {
                ended += 1;
                lost += u32::from(record.endpoints().1 == server);
            })
            .unwrap();
        assert!(found.started);
        lab.table.count(found.id, found.direction, 60, &headers, when.tick);
        let step = lab.table.judge(found.id, found.direction, &headers);
        lab.table.advance(found.id, found.direction, step, when.tick);
    }
    assert_eq!(lost, 0);
    assert_eq!(ended, 2_000_000 - 15_000);
    assert_eq!(lab.table.len(), 20_000);
    let stats = *lab.table.stats();
    assert_eq!((stats.evicted, stats.full, stats.index_full), ([ended, 0, 0, 0], 0, 0));
    for (n, id) in established.into_iter().enumerate() {
        let found = lab.send(&tcp(client(n as u32), server, "A", 201, 1001), now(100));
        assert_eq!((found.id, found.started), (id, false));
        assert_eq!(lab.table.flow(id).violations(), 0);
    }
}
