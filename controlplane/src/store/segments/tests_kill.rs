//! Is every record there that was acknowledged before the process was killed? It is killed hundreds of times.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::*;
use std::ops::ControlFlow;

/// Where the child writes; whether this process is the child at all.
const DIRECTORY: &str = "JARVIS_TEST_KILL_DIRECTORY";

const KILLS: u64 = 220;

fn settings() -> Settings {
    // Segments end every few blocks, so that kills meet their beginnings too.
    Settings { segment_bytes_max: 1_500_000, ..Settings::default() }
}

fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

/// The body of record `entry`: up to 3 KB that do not compress; of some half a megabyte, so that kills meet writes that
/// are under way.
fn body(entry: u64) -> Vec<u8> {
    let mut state = entry;
    let len = if entry % 23 == 7 { 500_000 } else { random(&mut state) as usize % 3_000 };
    let words = (0..len.div_ceil(4)).flat_map(|_| (random(&mut state) as u32).to_le_bytes());
    words.take(len).collect()
}

/// Appends until it is killed; tells what is acknowledged.
#[test]
fn child_that_is_killed() {
    let Ok(directory) = std::env::var(DIRECTORY) else { return };
    let segments = Segments::open(directory).unwrap();
    let (mut log, recovery) = segments.log(Kind::Events, settings(), 1).unwrap();
    assert!(recovery.damaged.is_empty(), "{recovery:?}");
    let mut told = std::io::stdout().lock();
    writeln!(told, "begin {} {}", log.entries(), u8::from(recovery.cut.is_some())).unwrap();
    told.flush().unwrap();
    let mut batch = Batch::new();
    for round in 0_u64.. {
        for entry in log.entries()..log.entries() + 1 + round % 17 {
            batch.push(entry, &[&format!("flow:{entry}")], &body(entry)).unwrap();
        }
        let appended = log.append(&mut batch, 1).unwrap();
        writeln!(told, "entries {}", appended.entries).unwrap();
        told.flush().unwrap();
        if round % 11 == 10 {
            log.note().unwrap();
        }
        if round % 10 == 9 {
            log.retain(Retention { bytes_max: Some(4_000_000), ..Retention::default() }, 1).unwrap();
        }
    }
}

/// Runs the child for so long; how many entries it acknowledged, and whether it had to cut.
fn run_and_kill(directory: &Path, after: Duration) -> (u64, bool) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::segments::tests_kill::child_that_is_killed", "--nocapture"])
        .env(DIRECTORY, directory)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (mut entries, mut has_cut) = (0, false);
    // The harness says something of its own first, perhaps on the same line.
    for line in lines.by_ref() {
        let line = line.unwrap();
        if let Some((_, begun)) = line.split_once("begin ") {
            let (begun, cut) = begun.split_once(' ').unwrap();
            (entries, has_cut) = (begun.parse().unwrap(), cut == "1");
            break;
        }
    }
    std::thread::sleep(after);
    child.kill().unwrap();
    // What is still in the pipe was acknowledged.
    for line in lines {
        let line = line.unwrap();
        if let Some(told) = line.strip_prefix("entries ") {
            entries = told.parse().unwrap();
        }
    }
    child.wait().unwrap();
    (entries, has_cut)
}

#[test]
fn every_acknowledged_record_survives_being_killed_hundreds_of_times() {
    let dir = tempfile::tempdir().unwrap();
    let directory = dir.path().join("box.segments");
    let (mut state, mut entries, mut cuts) = (11, 0, 0);
    for kill in 0..KILLS {
        let after = Duration::from_micros(random(&mut state) % 12_000);
        let (acknowledged, has_cut) = run_and_kill(&directory, after);
        assert!(acknowledged >= entries, "kill {kill}: {acknowledged} entries, {entries} were acknowledged");
        entries = acknowledged;
        cuts += u64::from(has_cut);
        let log = directory.join("events");
        let mut links = BTreeMap::new();
        let report = verify(&log, Kind::Events, &mut |block| {
            links.insert(block.first_entry, block.link);
            for found in &block.records {
                assert_eq!(found.body, body(found.entry), "entry {}", found.entry);
            }
        })
        .unwrap();
        assert_eq!(report.faults, [], "kill {kill}");
        assert!(report.end_entry >= entries, "kill {kill}: {} of {entries} entries", report.end_entry);
        assert_eq!(report.removed + report.entries, report.end_entry, "kill {kill}");
    }
    let mut next = None;
    let query = Query::default();
    read(&directory.join("events"), &query, &mut |found| {
        assert!(next.is_none_or(|next| next == found.entry));
        next = Some(found.entry + 1);
        ControlFlow::Continue(())
    })
    .unwrap();
    assert!(next.is_some_and(|next| next >= entries));
    assert!(entries > KILLS, "only {entries} entries were written between {KILLS} kills");
    eprintln!("{KILLS} kills, {entries} entries acknowledged, {cuts} torn ends cut");
}
