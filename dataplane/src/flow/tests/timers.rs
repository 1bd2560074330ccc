//! When a silent flow ends, and that it does so after any leap of time.

use super::*;

#[test]
fn each_state_has_its_timeout() {
    let (a, b) = (v4(1, 5000), v4(2, 80));
    let config = FlowConfig { capacity: 4, ..Default::default() };
    type Prepare = fn(&mut Lab, Endpoint, Endpoint);
    let fin: Prepare = |lab, a, b| {
        lab.connect(a, b, 0, now(100));
        lab.send(&tcp(a, b, "FA", 101, 901), now(100));
    };
    let cases: [(&str, Prepare, u32, EndReason); 13] = [
        (
            "syn",
            |lab, a, b| {
                lab.send(&tcp(a, b, "S", 1, 0), now(100));
            },
            60,
            EndReason::Timeout,
        ),
        (
            "syn/ack",
            |lab, a, b| {
                lab.send(&tcp(a, b, "S", 1, 0), now(100));
                lab.send(&tcp(b, a, "SA", 9, 2), now(100));
            },
            60,
            EndReason::Timeout,
        ),
        (
            "established",
            |lab, a, b| {
                lab.connect(a, b, 3, now(100));
            },
            3_600,
            EndReason::Timeout,
        ),
        (
            "unacknowledged",
            |lab, a, b| {
                lab.connect(a, b, 0, now(100));
                lab.send(&segment(a, b, "PA", 101, 901, 1000, 50, None), now(100));
            },
            300,
            EndReason::Timeout,
        ),
        ("fin", fin, 120, EndReason::Timeout),
        (
            "last ack",
            |lab, a, b| {
                lab.connect(a, b, 0, now(100));
                lab.send(&tcp(a, b, "FA", 101, 901), now(100));
                lab.send(&tcp(b, a, "FA", 901, 102), now(100));
            },
            30,
            EndReason::Timeout,
        ),
        (
            "time wait",
            |lab, a, b| {
                lab.connect(a, b, 0, now(100));
                lab.close(a, b, 0, now(100));
            },
            60,
            EndReason::Closed,
        ),
        (
            "reset",
            |lab, a, b| {
                lab.connect(a, b, 0, now(100));
                lab.send(&tcp(a, b, "R", 101, 0), now(100));
            },
            10,
            EndReason::Reset,
        ),
        (
            "udp new",
            |lab, a, b| {
                lab.send(&udp(a, b), now(100));
            },
            30,
            EndReason::Timeout,
        ),
        (
            "udp established",
            |lab, a, b| {
                lab.send(&udp(a, b), now(100));
                lab.send(&udp(b, a), now(100));
            },
            300,
            EndReason::Timeout,
        ),
        (
            "icmp",
            |lab, a, b| {
                lab.send(&icmp(a, b, 8, 1), now(100));
            },
            30,
            EndReason::Timeout,
        ),
        (
            "sctp closed",
            |lab, a, b| {
                lab.send(&sctp(a, b, 1), now(100));
                lab.send(&sctp(b, a, 2), now(100));
                lab.send(&sctp(b, a, 6), now(100));
            },
            10,
            EndReason::Closed,
        ),
        (
            "other",
            |lab, a, b| {
                lab.send(&headers((a.0, 0), (b.0, 0), 47, Transport::None, 0), now(100));
            },
            30,
            EndReason::Timeout,
        ),
    ];
    for (name, prepare, timeout_s, reason) in cases {
        let mut lab = Lab::new(config.clone());
        prepare(&mut lab, a, b);
        let due_ms = (100 + u64::from(timeout_s)) * 1_000;
        // The wheel turns second by second, as in life.
        for ms in (100_000..due_ms).step_by(1_000) {
            lab.expire_all(at_ms(ms));
        }
        lab.expire_all(at_ms(due_ms - 1));
        assert_eq!(lab.table.len(), 1, "{name} ended early");
        // One wheel tick (67 ms) later at most.
        lab.expire_all(at_ms(due_ms + 68));
        assert_eq!(lab.records.len(), 1, "{name} ended late");
        assert_eq!(lab.records[0].end, Some(reason), "{name}");
        // And the same in one leap.
        let mut lab = Lab::new(config.clone());
        prepare(&mut lab, a, b);
        lab.expire_all(at_ms(due_ms + 86_400_000));
        assert_eq!(lab.records.len(), 1, "{name} survived a leap");
        assert_eq!(lab.records[0].last, now(100).wall);
    }
}

#[test]
fn a_flow_that_is_seen_lives_on() {
    let mut lab = Lab::with_capacity(4);
    let (a, b) = (v4(1, 5000), v4(2, 80));
    let id = lab.send(&udp(a, b), now(0)).id;
    for second in 1..2_000 {
        lab.expire_all(now(second));
        if second % 29 == 0 {
            assert_eq!(lab.send(&udp(a, b), now(second)).id, id);
        }
    }
    assert!(lab.records.is_empty());
}

#[test]
fn a_packet_after_a_leap_starts_a_new_flow_though_the_wheel_has_not_turned() {
    let mut lab = Lab::with_capacity(4);
    let (a, b) = (v4(1, 5000), v4(2, 80));
    let old = lab.send(&udp(a, b), now(10));
    let old_id = lab.table.flow_id(old.id);
    let new = lab.send(&udp(b, a), now(10_000));
    assert!(new.started);
    assert_eq!(new.direction, Direction::Forward);
    assert_ne!(lab.table.flow_id(new.id), old_id);
    assert_eq!(lab.records.len(), 1);
    assert_eq!(lab.records[0].end, Some(EndReason::Timeout));
    lab.expire_all(now(10_000));
    assert_eq!(lab.table.len(), 1);
    assert_eq!(lab.table.flow(new.id).packets(), [1, 0]);
}

#[test]
fn work_is_bounded_by_the_budget_and_completes() {
    let mut lab = Lab::with_capacity(10_000);
    for n in 0..10_000_u32 {
        let source = (Addr::v4(n.to_be_bytes()), 1000);
        lab.send(&udp(source, v4(1, 1)), at_ms(u64::from(n)));
    }
    let mut calls = 0;
    loop {
        calls += 1;
        let expired = lab.expire(now(7_200), 100);
        assert!(expired.ended <= 100);
        if !expired.more {
            break;
        }
    }
    assert!(calls <= 110, "{calls}");
    assert_eq!(lab.records.len(), 10_000);
    assert!(lab.table.is_empty());
}

#[test]
fn a_coarse_place_is_emptied_though_the_first_flow_in_it_goes_back_to_a_fine_one() {
    let mut lab = Lab::with_capacity(4);
    let (a, b) = (v4(1, 1), v4(2, 2));
    // Comes up as if one-way, long before it is due, and goes to the coarse place of the other.
    lab.send(&udp(a, b), now(218));
    lab.send(&udp(b, a), now(245));
    lab.send(&udp(v4(5, 5), v4(6, 6)), now(245));
    lab.expire_all(now(276));
    assert_eq!(lab.records.len(), 1);
    assert_eq!(lab.table.len(), 1);
}

#[test]
fn replay_may_start_at_any_time_and_leap_by_years() {
    let mut lab = Lab::with_capacity(4);
    let year = 365 * 86_400;
    for start in [0, year, 1_700_000_000, 16_700_000_000 - year] {
        lab.send(&udp(v4(1, 1), v4(2, 2)), now(start));
        lab.expire_all(now(start + 29));
        assert_eq!(lab.table.len(), 1);
        lab.expire_all(now(start + 31));
        assert_eq!(lab.table.len(), 0);
    }
}

#[test]
fn draining_ends_every_flow_once() {
    let mut lab = Lab::with_capacity(100);
    for n in 0..50 {
        lab.send(&udp(v4(n, 1), v4(99, 2)), now(1));
        if n % 2 == 0 {
            lab.send(&udp(v4(99, 2), v4(n, 1)), now(1));
        }
    }
    let (records, table) = (&mut lab.records, &mut lab.table);
    let first = table.drain(EndReason::Shutdown, 20, now(2), &mut |r| records.push(r));
    assert_eq!(first, Expired { ended: 20, more: true });
    let rest = table.drain(EndReason::Shutdown, 1_000, now(2), &mut |r| records.push(r));
    assert_eq!(rest, Expired { ended: 30, more: false });
    assert_eq!(lab.table.stats().ended_by(EndReason::Shutdown), 50);
    let mut ids: Vec<u64> = lab.records.iter().map(|record| record.flow_id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 50);
}
