//! What does the XDP program cost over a one-line redirect? The kernel's own test runs, turn by turn.

use std::net::Ipv4Addr;

use xsk::program::{Bench, BenchProgram};

use super::Outcome;
use crate::report::result::{Measurement, Recorder};
use crate::traffic::frame::{self, Path};
use crate::traffic::workload::{MAC_A, MAC_B};

/// Runs of one system call.
const REPEAT: u32 = 1_000_000;
/// Prefixes of the long block list.
const PREFIXES: u32 = 100_000;

/// Time of both programs with an empty block list and with 100,000 prefixes.
///
/// # Errors
///
/// No permission for BPF.
pub(crate) fn xdp(runs: u32, seed: u64, core: usize) -> Outcome {
    core_affinity::set_for_current(core_affinity::CoreId { id: core });
    let mut recorder = Recorder::new("xdp", seed);
    let mut bench = Bench::new()?;
    let packet = packet();
    for prefixes in [0, PREFIXES] {
        if prefixes > 0 {
            bench.block(&block_list(prefixes), &[])?;
        }
        let mut measurement = Measurement::new("xdp program", format!("{prefixes} prefixes"), 0, 0);
        measurement.note("method", format!("BPF_PROG_TEST_RUN, {REPEAT} runs a sample, a 60-byte UDP frame"));
        for _ in 0..runs.max(5) {
            let line = bench.run(BenchProgram::OneLine, &packet, REPEAT)?;
            let whole = bench.run(BenchProgram::ToWorker, &packet, REPEAT)?;
            let (line_ns, whole_ns) = (line.each.as_nanos() as f64, whole.each.as_nanos() as f64);
            measurement.sample("one_line_redirect", "ns", line_ns);
            measurement.sample("program", "ns", whole_ns);
            measurement.sample("over_one_line", "ns", whole_ns - line_ns);
            measurement.sample("action", "xdp_action", f64::from(whole.action));
        }
        recorder.add(measurement);
    }
    Ok(recorder.finish())
}

fn packet() -> Vec<u8> {
    let path = Path {
        src_mac: MAC_A,
        dst_mac: MAC_B,
        src: [10, 0, 0, 1].into(),
        dst: [10, 128, 0, 1].into(),
        src_port: 1024,
        dst_port: 9000,
    };
    frame::udp(&path, &frame::stamped_payload(frame::STAMP_LEN))
}

/// Networks of mixed lengths outside 10.0.0.0/8: none holds the packet.
fn block_list(count: u32) -> Vec<(Ipv4Addr, u8)> {
    (0..count)
        .map(|index| {
            let length = 24 + (index % 9) as u8;
            let address = 0x0b00_0000 + index * 256;
            (Ipv4Addr::from(address), length)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_block_list_has_distinct_prefixes_that_spare_the_packet() {
        let list = block_list(PREFIXES);
        assert_eq!(list.iter().collect::<HashSet<_>>().len(), PREFIXES as usize);
        assert!(list.iter().all(|(address, length)| address.octets()[0] != 10 && (24..=32).contains(length)));
    }
}
