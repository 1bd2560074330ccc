//! What must hold of every parser, whatever it reads? The stock of messages is `fuzz/corpus/parsers/<name>`, by hand or by our
//! own code.

#![expect(clippy::unwrap_used, reason = "a failed test may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use super::feed::{self, Fed, feed, parsed, payloads};
use super::{AppTable, Protocol};
use crate::flow::Direction;

/// Parsers of which no cut and no wrong length is told, and why that is right.
const SILENT: &[(&str, &str)] = &[
    ("mining", "JSON in lines of any length, of which three values are told where they are found"),
    ("tinc", "only the ports of the daemons are told"),
];

static APPS: LazyLock<AppTable> = LazyLock::new(AppTable::builtin);

fn corpus() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/parsers")
}

fn names_in(folder: &PathBuf) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// The inputs that a parser has, by name.
fn seeds(protocol: &Protocol) -> BTreeMap<String, Vec<u8>> {
    let folder = corpus().join(protocol.name);
    let read = |name: String| (name.clone(), fs::read(folder.join(&name)).unwrap());
    names_in(&folder).into_iter().map(read).collect()
}

fn fed(protocol: &'static Protocol, payloads: &[(Direction, &[u8])]) -> Vec<Fed> {
    feed::flows(protocol).map(|flow| feed(protocol, &flow, &APPS, payloads.iter().copied())).collect()
}

#[test]
fn every_parser_has_a_corpus_and_every_corpus_a_parser() {
    let without: Vec<_> =
        parsed().filter(|protocol| seeds(protocol).is_empty()).map(|protocol| protocol.name).collect();
    assert!(without.is_empty(), "parsers without an input in {}: {without:?}", corpus().display());
    let known: BTreeSet<_> = parsed().map(|protocol| protocol.name.to_owned()).collect();
    let strays: Vec<_> = names_in(&corpus()).difference(&known).cloned().collect();
    assert!(strays.is_empty(), "inputs of no parser: {strays:?}");
}

#[test]
fn every_parser_is_told_something_by_its_corpus() {
    let dumb: Vec<_> = parsed()
        .filter(|protocol| {
            seeds(protocol).values().all(|seed| {
                fed(protocol, &payloads(seed)).iter().all(|fed| fed.is_refused || !fed.anomalies.is_empty())
            })
        })
        .map(|protocol| protocol.name)
        .collect();
    assert!(dumb.is_empty(), "parsers that refuse all of their inputs: {dumb:?}");
}

/// Every way to break a message that this module knows.
fn broken(payload: &[u8], mut show: impl FnMut(&[u8])) {
    for len in 0..payload.len() {
        show(&payload[..len]);
    }
    let middle = payload.len() / 2;
    show(&[&payload[..middle], &vec![b'a'; OVERSIZE], &payload[middle..]].concat());
    let mut lying = payload.to_vec();
    for width in [1, 2, 3, 4] {
        for at in 0..payload.len().saturating_sub(width - 1).min(WINDOWS_MAX) {
            for value in [0, 1, 0x7f, 0xff] {
                lying[at..at + width].fill(0xff);
                // Big and little end of a number, or all of it.
                for end in [at, at + width - 1] {
                    lying[end] = value;
                    show(&lying);
                    lying[end] = 0xff;
                }
                lying[at..at + width].fill(value);
                show(&lying);
                lying[at..at + width].copy_from_slice(&payload[at..at + width]);
            }
        }
    }
}

/// Bytes that no field of any protocol has.
const OVERSIZE: usize = 70_000;

/// Bytes of a message in which every window is made to lie.
const WINDOWS_MAX: usize = 96;

/// What a parser tells of its corpus, cut at every byte, blown up, and with every window of bytes made to lie.
fn anomalies_of(protocol: &'static Protocol) -> BTreeSet<String> {
    let mut told = BTreeSet::new();
    for seed in seeds(protocol).values() {
        let whole = payloads(seed);
        for (at, (way, payload)) in whole.iter().enumerate().take(3) {
            broken(payload, |bytes| {
                let mut shown = whole.clone();
                shown[at] = (*way, bytes);
                for fed in fed(protocol, &shown) {
                    told.extend(fed.anomalies);
                }
            });
        }
    }
    told
}

#[test]
fn cuts_and_lies_have_a_name() {
    let mut wrong = Vec::new();
    for protocol in parsed() {
        let told = anomalies_of(protocol);
        let may_be_silent = SILENT.iter().any(|(name, _)| *name == protocol.name);
        match (told.is_empty(), may_be_silent) {
            (true, false) => wrong.push(format!("{} tells of nothing", protocol.name)),
            (false, true) => wrong.push(format!("{} tells of {told:?}", protocol.name)),
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}
