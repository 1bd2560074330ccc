//! What does a device on real cards do while another machine sends? Rates and costs, second by second.

use std::time::{Duration, Instant};

use super::forward::{Driver, Plans};
use super::{Error, Outcome};
use crate::measure::cost::{self, Meter, nominal_ghz};
use crate::report::result::{Measurement, Recorder};
use crate::rig::Rig;

/// Starts `driver` between two interfaces of this machine and watches for `seconds`.
///
/// # Errors
///
/// The device does not start or ends.
pub(crate) fn watch(plans: &Plans, driver: Driver, ports: &[String; 2], seconds: u64) -> Outcome {
    let rig = Rig::on_nics(plans.rig.clone(), ports.clone())?;
    let mut device = plans.start(&rig, driver)?;
    let mut recorder = Recorder::new("dut", plans.seed);
    let mut measurement = Measurement::new(device.name.clone(), "from outside", 0, plans.policies as u64);
    measurement.notes.clone_from(&device.notes);
    measurement.note("ports", ports.join(" and "));
    let ghz = nominal_ghz();
    let mut last = totals(ports);
    for _ in 0..seconds {
        let mut meter = Meter::start(device.tasks(&rig));
        let start = Instant::now();
        std::thread::sleep(Duration::from_secs(1));
        let elapsed = start.elapsed().as_secs_f64();
        device.check().map_err(Error::from)?;
        let now = totals(ports);
        let received = now.0.saturating_sub(last.0) as f64;
        let sent = now.1.saturating_sub(last.1) as f64;
        last = now;
        let spent = cost::total(&meter.read(), |_| true);
        let cycles = spent.cycles.map_or(spent.cpu_ns as f64 * ghz, |cycles| cycles as f64);
        let per_packet = if received > 0.0 { cycles / received } else { 0.0 };
        crate::say(&format!(
            "{:>10.0} pps in, {:>10.0} pps out, {per_packet:>7.0} cycles a packet",
            received / elapsed,
            sent / elapsed
        ));
        measurement.sample("received", "pps", received / elapsed);
        measurement.sample("sent", "pps", sent / elapsed);
        measurement.sample("device_cycles_per_packet", "cycles", per_packet);
    }
    recorder.add(measurement);
    Ok(recorder.finish())
}

/// Packets received and sent by both ports, from the interfaces' own counters.
fn totals(ports: &[String; 2]) -> (u64, u64) {
    let read = |port: &String, name: &str| -> u64 {
        std::fs::read_to_string(format!("/sys/class/net/{port}/statistics/{name}"))
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .unwrap_or(0)
    };
    let sum = |name: &str| ports.iter().map(|port| read(port, name)).sum();
    (sum("rx_packets"), sum("tx_packets"))
}
