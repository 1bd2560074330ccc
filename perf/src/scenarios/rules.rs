//! What does a set of rules take to load? Files as they are, or repeated until there are enough.
//!
//! A repetition has other numbers, and other letters in its contents, so that patterns are as many as rules.

use std::num::NonZero;
use std::path::PathBuf;
use std::sync::Arc;

use dataplane::rules::load::Loader;
use dataplane::rules::memory::Names;
use dataplane::rules::set::Options;
use dataplane::rules::{RuleSet, Variables};

use super::Error;
use super::inspect::gather;
use super::memory::rss_bytes;
use crate::report::result::{Measurement, Recorder};

/// Numbers of a repetition begin so far above those of the one before.
const SID_STEP: u64 = 10_000_000;

/// Loads the rules of `places`, `runs` times for the figures; `None` where there are no places.
///
/// # Errors
///
/// No rule can be read.
pub(super) fn load(
    places: &[PathBuf],
    rules_min: u32,
    runs: u32,
    recorder: &mut Recorder,
) -> Result<Option<Arc<RuleSet>>, Error> {
    if places.is_empty() {
        return Ok(None);
    }
    let texts = texts(places, rules_min)?;
    let mut measurement = Measurement::new("engine", "rules, loaded", 0, 0);
    let mut loaded = None;
    for _ in 0..runs.max(1) {
        drop(loaded.take());
        let (before, start) = (rss_bytes(), xsk::clock::monotonic_ns());
        let threads = std::thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN);
        let mut loader = Loader::new(Variables::usual()).on_threads(threads);
        texts.iter().for_each(|text| loader.add("rules", text));
        let signatures = loader.finish().signatures;
        let read_ns = xsk::clock::monotonic_ns() - start;
        let count = signatures.len();
        let set = RuleSet::new(signatures, &mut Names::default(), Options { threads, ..Options::default() });
        let set = set.map_err(|error| Error::Broken(format!("the rules are no set: {error}")))?;
        let taken_ns = xsk::clock::monotonic_ns() - start;
        measurement.sample("rules", "rules", count as f64);
        measurement.sample("threads", "threads", threads.get() as f64);
        measurement.sample("read_time", "ms", read_ns as f64 / 1e6);
        measurement.sample("load_time", "ms", taken_ns as f64 / 1e6);
        measurement.sample("memory", "MB", rss_bytes().saturating_sub(before) as f64 / 1e6);
        loaded = Some(set);
    }
    recorder.add(measurement);
    let set = loaded.filter(|set| !set.is_empty());
    set.map(|set| Some(Arc::new(set))).ok_or_else(|| Error::Broken("no rule can be read".to_owned()))
}

/// The files' rules, as they are and repeated with other letters until there are `rules_min`.
///
/// # Errors
///
/// A file that cannot be read.
pub(super) fn texts(places: &[PathBuf], rules_min: u32) -> Result<Vec<Vec<u8>>, Error> {
    let mut files = Vec::new();
    places.iter().for_each(|place| gather(place, &mut files));
    files.retain(|file| file.extension().is_some_and(|extension| extension == "rules"));
    files.sort();
    let read = |file: &PathBuf| {
        std::fs::read(file).map_err(|error| Error::Broken(format!("cannot read {}: {error}", file.display())))
    };
    let originals = files.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let lines = |text: &Vec<u8>| text.split(|byte| *byte == b'\n').filter(|line| is_rule(line)).count();
    let count: usize = originals.iter().map(lines).sum();
    let turns = (rules_min as usize).div_ceil(count.max(1)).max(1);
    let mut texts = Vec::new();
    for turn in 0..turns {
        texts.extend(originals.iter().map(|text| repeated(text, turn as u8)));
    }
    Ok(texts)
}

fn is_rule(line: &[u8]) -> bool {
    line.first().is_some_and(u8::is_ascii_lowercase)
}

/// The rules of a file for the `turn`th time.
fn repeated(text: &[u8], turn: u8) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for line in text.split(|byte| *byte == b'\n').filter(|line| is_rule(line)) {
        let line = String::from_utf8_lossy(line);
        let mut rest = &*line;
        while let Some((before, after)) = rest.split_once("content:") {
            let end = after.find(';').unwrap_or(after.len());
            out.extend_from_slice(before.as_bytes());
            out.extend_from_slice(b"content:");
            out.extend(turned(&after[..end], turn));
            rest = &after[end..];
        }
        let (before, sid) = rest.split_once("sid:").unwrap_or((rest, ";"));
        let (number, after) = sid.split_once(';').unwrap_or((sid, ""));
        let number = number.trim().parse::<u64>().unwrap_or(0) % SID_STEP + u64::from(turn) * SID_STEP;
        out.extend_from_slice(format!("{before}sid:{number};{after}\n").as_bytes());
    }
    out
}

/// Letters moved on by `turn` places, those between bars, which are bytes in hexadecimal, as they are.
fn turned(content: &str, turn: u8) -> impl Iterator<Item = u8> + '_ {
    let mut is_hex = false;
    content.bytes().map(move |byte| {
        is_hex ^= byte == b'|';
        match byte {
            b'a'..=b'z' if !is_hex => b'a' + (byte - b'a' + turn) % 26,
            b'A'..=b'Z' if !is_hex => b'A' + (byte - b'A' + turn) % 26,
            _ => byte,
        }
    })
}
