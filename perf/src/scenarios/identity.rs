//! What does it cost to know who uses which address? A hundred thousand users alive, some coming and going while packets flow.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Instant;

use dataplane::identity::{Identity, Key, UserNumber};
use dataplane::parse::Addr;
use dataplane::policy::{NameId, User};

use super::memory::{Sweep, capacity, policy_set};
use super::{Error, Outcome};
use crate::drivers::engine::{Bench, Pass};
use crate::report::result::{Measurement, Recorder};
use crate::traffic::{Kind, Side, Spec, Trace, Workload};

/// Users that are asserted at once.
const ALIVE: u32 = 100_000;
/// Packets between two changes: some 1,000 changes a second at 10 Mpps.
const PACKETS_A_CHANGE: usize = 10_000;
/// Changes that wait in a worker's ring for certain.
const AT_ONCE: usize = 1_000;

/// Rates without users, with them, and while they come and go; how soon a change is in force.
///
/// # Errors
///
/// A packet that is not forwarded: the number would mean nothing.
pub(crate) fn measure(sweep: &Sweep) -> Outcome {
    core_affinity::set_for_current(core_affinity::CoreId { id: sweep.core });
    let mut recorder = Recorder::new("identity", sweep.seed);
    for flows in &sweep.flows {
        let load = Workload::new(&Spec::new(Kind::Udp64, *flows, sweep.seed))?;
        let addresses = initiators(&load.load);
        for policies in &sweep.policies {
            let mut bench = Bench::new(capacity(*flows), policy_set(*policies, false)?, sweep.seed);
            bench.pass(&load.warm_up, 0, load.warm_up.len());
            bench.pass(&load.load, 0, load.load.len());
            let mut measurement = Measurement::new("engine", "64b", u64::from(*flows), *policies as u64);
            measurement
                .note("users", format!("{ALIVE} asserted, of addresses that send where there are as many"));
            measurement
                .note("changes", format!("one user in {PACKETS_A_CHANGE} packets, each of another address"));
            let packets = if sweep.quick { 1_000_000 } else { 4_000_000 };
            let before: Vec<Pass> = (0..sweep.runs).map(|_| bench.pass(&load.load, 0, packets)).collect();
            let mut number = 0;
            for batch in (0..ALIVE).collect::<Vec<_>>().chunks(AT_ONCE) {
                for index in batch {
                    number += 1;
                    bench.door.identify(key(&addresses, *index), Some(&user(number)));
                }
                bench.idle_turn();
            }
            for before in before {
                // Every flow is judged under its user once.
                bench.pass(&load.load, 0, load.load.len());
                while bench.idle_turn() {}
                let alive = bench.pass(&load.load, 0, packets);
                let mut changing =
                    Pass { packets: 0, elapsed_ns: 0, copy_ns: 0, sent: 0, dropped: 0, allocations: 0 };
                let mut in_force_ns = Vec::new();
                let mut at = 0;
                while changing.packets < packets as u64 {
                    number += 1;
                    let told = Instant::now();
                    bench.door.identify(key(&addresses, number), Some(&user(number)));
                    changing.add(&bench.pass(&load.load, at, 64));
                    in_force_ns.push(told.elapsed().as_nanos() as u64);
                    changing.add(&bench.pass(&load.load, at + 64, PACKETS_A_CHANGE - 64));
                    at = (at + PACKETS_A_CHANGE) % load.load.len();
                }
                if changing.sent != changing.packets || alive.sent != alive.packets {
                    return Err(Error::Broken(
                        "a packet of an established flow was not forwarded".to_owned(),
                    ));
                }
                in_force_ns.sort_unstable();
                measurement.sample("time_per_packet_without", "ns", before.ns_per_packet());
                measurement.sample("time_per_packet", "ns", alive.ns_per_packet());
                measurement.sample("time_per_packet_changing", "ns", changing.ns_per_packet());
                measurement.sample("alive_over_without", "x", alive.ns_per_packet() / before.ns_per_packet());
                measurement.sample(
                    "changing_over_alive",
                    "x",
                    changing.ns_per_packet() / alive.ns_per_packet(),
                );
                measurement.sample(
                    "in_force_max",
                    "ms",
                    in_force_ns.last().copied().unwrap_or(0) as f64 / 1e6,
                );
                measurement.keep(&changing);
            }
            recorder.add(measurement);
        }
    }
    Ok(recorder.finish())
}

/// Addresses that send first, each once, in the order of the trace.
fn initiators(trace: &Trace) -> Vec<Addr> {
    let mut seen = std::collections::HashSet::new();
    let of_side_a = trace.iter().filter(|packet| packet.side == Side::A);
    let source = of_side_a.filter_map(|packet| packet.head.get(26..30)?.first_chunk::<4>().copied());
    source.map(Addr::v4).filter(|addr| seen.insert(*addr)).collect()
}

/// An address that sends, or where there are not so many, one that does not.
fn key(addresses: &[Addr], index: u32) -> Key {
    let silent = || Addr::v4(Ipv4Addr::from(0x6440_0000 + index % ALIVE).octets());
    let place = (index % ALIVE) as usize;
    Key::addr(addresses.get(place).copied().unwrap_or_else(silent))
}

fn user(number: u32) -> Arc<Identity> {
    let user = User {
        id: NameId(number),
        role: Some(NameId(number % 50)),
        groups: vec![NameId(number % 200)],
        attributes: Vec::new(),
    };
    Arc::new(Identity { number: UserNumber::MIN.saturating_add(number), person: number, user })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;

    #[test]
    fn users_of_the_traffic_are_asserted_and_nothing_is_lost() {
        let load = Workload::new(&Spec::new(Kind::Udp64, 500, 1)).unwrap().load;
        let addresses = initiators(&load);
        assert!(!addresses.is_empty() && key(&addresses, 0) == Key::addr(addresses[0]));
        let sweep = Sweep {
            kind: Kind::Udp64,
            flows: vec![500],
            policies: vec![20],
            runs: 1,
            seed: 1,
            quick: true,
            core: 0,
        };
        let file = measure(&sweep).unwrap();
        assert!(file.measurements[0].median("in_force_max") > Some(0.0));
    }
}
