//! The harness: traffic, drivers, measurement, A/B report.
mod drivers;
mod measure;
mod rig;
mod traffic;

use std::time::Duration;
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().collect();
    let rig = rig::Rig::new(rig::Config {
        prefix: "pf".into(),
        sender_core: 0,
        dut_core: 1,
        queues: 1,
        mtu: 1500,
    })?;
    core_affinity::set_for_current(core_affinity::CoreId { id: 0 });
    let kind: traffic::Kind = args[2].parse()?;
    let mut spec = traffic::Spec::new(kind, args[3].parse()?, 1);
    let device = match args[1].as_str() {
        "bare" => drivers::bare::start(&rig, args.get(4).is_some_and(|x| x == "busy"))?,
        "nft" => {
            spec.mac_from_a = rig::MAC_PORT_A;
            spec.mac_from_b = rig::MAC_PORT_B;
            drivers::nft::start(&rig, u64::from(spec.flows), 0)?
        }
        _ => drivers::suricata::start(&rig, u64::from(spec.flows), None)?,
    };
    let workload = traffic::Workload::new(&spec)?;
    let mut bench = measure::trial::Bench::new(&rig, device, &workload)?;
    for rate in [50e3, 200e3, 400e3, 800e3, 1.2e6, 1.6e6, 2e6] {
        let t = bench.trial(rig::sender::Rate::PacketsPerSecond(rate), Duration::from_secs(1))?;
        println!(
            "{rate} reached {:.0} through {:.0} lost {} skipped {} us lat {:?}\n   {:?}",
            t.sent.rate_pps(),
            t.through_pps(),
            t.lost,
            t.sent.skipped_ns / 1000,
            t.latency.map(|l| (l.p50_ns, l.p99_ns, l.p999_ns, l.max_ns)),
            t.spent
                .iter()
                .map(|s| (s.thread.clone(), s.cpu_ns as f64 / t.sent.packets as f64))
                .collect::<Vec<_>>()
        );
    }
    let t = bench.trial(rig::sender::Rate::Unlimited, Duration::from_secs(1))?;
    println!(
        "unl reached {:.0} through {:.0} lost {} {:?}",
        t.sent.rate_pps(),
        t.through_pps(),
        t.lost,
        t.spent.iter().map(|s| (s.thread.clone(), s.cpu_ns as f64 / t.arrived as f64)).collect::<Vec<_>>()
    );
    Ok(())
}
