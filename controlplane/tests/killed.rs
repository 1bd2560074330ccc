//! Is what was acknowledged there after `kill -9`, whenever it comes?
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails says so by panicking")]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use controlplane::store::{Entities, Table};

const NUMBERS: Table<u64> = Table::new("numbers");
const PADDING: Table<String> = Table::new("padding");

/// Kills of the writing process.
const KILLS: u64 = 200;

const STORE: &str = "JARVIS_KILLED_STORE";

/// The process that is killed: run by the test below as a child, with the store's path in its environment.
#[test]
#[ignore = "run by the other test, which kills it"]
fn writes_until_it_is_killed() {
    let path = std::env::var_os(STORE).expect("the test that runs this one says where the store is");
    let entities = Entities::open(Path::new(&path)).unwrap();
    let mut number = entities.all(&NUMBERS).unwrap().iter().map(|(_, number)| number + 1).max().unwrap_or(0);
    let mut out = std::io::stdout().lock();
    loop {
        entities
            .write(|write| {
                // Two tables and a value that goes, so that a torn transaction would show.
                write.put(&NUMBERS, &format!("{number:012}"), &number)?;
                write.put(
                    &PADDING,
                    &format!("{}", number % 16),
                    &"x".repeat(number as usize * 37 % 3_000),
                )?;
                write.remove(&NUMBERS, &format!("{:012}", number.wrapping_sub(500))).map(|_| ())
            })
            .unwrap();
        writeln!(out, "kept {number}").unwrap();
        out.flush().unwrap();
        number += 1;
    }
}

#[test]
fn what_was_acknowledged_outlives_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("killed.redb");
    let mut last = None;
    for kill in 0..KILLS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "writes_until_it_is_killed", "--ignored", "--nocapture"])
            .env(STORE, &path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let kept = |line: &str| line.split("kept ").nth(1).map(|number| number.parse::<u64>().unwrap());
        // At another moment each time: after the first line, and up to 6 ms.
        let first = lines.by_ref().map_while(Result::ok).find_map(|line| kept(&line));
        assert!(first.is_some(), "the writer ended by itself after {last:?}");
        std::thread::sleep(Duration::from_micros(kill * 7_919 % 6_000));
        child.kill().unwrap();
        child.wait().unwrap();
        last = lines.map_while(Result::ok).filter_map(|line| kept(&line)).last().or(first);

        let entities = Entities::open(&path).unwrap();
        let numbers = entities.all(&NUMBERS).unwrap();
        let newest = numbers.last().unwrap().1;
        let acknowledged = last.unwrap();
        // One more may have been kept whose word was not out yet.
        assert!(
            (acknowledged..=acknowledged + 1).contains(&newest),
            "{acknowledged} acknowledged, {newest} there"
        );
        assert_eq!(numbers.len() as u64, (newest + 1).min(500), "each transaction whole");
        assert!(numbers.windows(2).all(|pair| pair[1].1 == pair[0].1 + 1), "none is missing");
        let padding: String = entities.get(&PADDING, &format!("{}", newest % 16)).unwrap().unwrap();
        assert_eq!(padding.len() as u64, newest * 37 % 3_000);
    }
    assert!(last.unwrap() > KILLS, "{last:?}");
}
