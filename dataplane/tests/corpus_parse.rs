//! Does every packet of the capture corpus go through the reader and the parser as it should?
//!
//! The corpus is not part of the repository: it is looked for in `$JARVIS_CORPUS`, then in `shared/corpus`
//! beside the repository. Without it there is nothing to test, and one line says so. With
//! `JARVIS_CORPUS_REPORT` set, what became of every packet is listed.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what went wrong by failing")]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use dataplane::parse::{Headers, Network, Transport, parse_frame, parse_frame_unverified};
use dataplane::rx::savefile::{SavefileError, SavefileReader};
use dataplane::verdict::Reason;

fn corpus() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus");
    let path = std::env::var_os("JARVIS_CORPUS").map_or(beside, PathBuf::from);
    path.join("cases.tsv").is_file().then_some(path)
}

fn captures(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            captures(&path, found);
        } else {
            found.push(path);
        }
    }
}

/// Every offset lies where `headers.rs` says.
fn assert_ordered(headers: &Headers, bytes: &[u8], what: &str) {
    let Headers { l3_offset, l4_offset, payload_offset, end, outer_l3_offset, .. } = *headers;
    assert!(outer_l3_offset <= l3_offset, "{what}: {headers:?}");
    assert!(l3_offset <= l4_offset && l4_offset <= payload_offset, "{what}: {headers:?}");
    assert!(payload_offset <= end && usize::from(end) <= bytes.len(), "{what}: {headers:?}");
    assert_eq!(headers.payload(bytes).len(), usize::from(end - payload_offset), "{what}");
}

#[derive(Default)]
struct Totals {
    packets: u64,
    whole: u64,
    truncated: u64,
    /// Whole, and malformed in another way than by the IPv4 header checksum.
    malformed: u64,
    wrong_ipv4_checksum: u64,
    ip: u64,
    with_transport: u64,
    other: u64,
    reasons: BTreeMap<&'static str, u64>,
}

/// Reads one capture; returns how many packets it yielded and how it ended.
fn read(path: &Path, totals: &mut Totals) -> (u64, Option<SavefileError>) {
    let report = std::env::var_os("JARVIS_CORPUS_REPORT").is_some();
    let mut reader = match SavefileReader::new(File::open(path).unwrap()) {
        Ok(reader) => reader,
        Err(error) => return (0, Some(error)),
    };
    let mut count = 0;
    loop {
        let record = match reader.next() {
            Ok(Some(record)) => record,
            Ok(None) => return (count, None),
            Err(error) => return (count, Some(error)),
        };
        count += 1;
        totals.packets += 1;
        if record.truncated {
            totals.truncated += 1;
        } else {
            totals.whole += 1;
        }
        let what = format!("{} packet {count}", path.display());
        match parse_frame(record.bytes, record.link) {
            Ok(headers) => assert_ordered(&headers, record.bytes, &what),
            Err(Reason::Ipv4Checksum) if !record.truncated => totals.wrong_ipv4_checksum += 1,
            Err(_) => {}
        }
        match parse_frame_unverified(record.bytes, record.link) {
            Ok(headers) => {
                assert_ordered(&headers, record.bytes, &what);
                match headers.network {
                    Network::Ip { .. } => totals.ip += 1,
                    Network::Arp { .. } | Network::Other => totals.other += 1,
                }
                totals.with_transport += u64::from(headers.transport != Transport::None);
                if report {
                    let Headers { vlan_outer, vlan_inner, tunnel, .. } = headers;
                    let (ports, network) = (headers.ports(), headers.network);
                    eprintln!("{what}: {network:?} {ports:?} vlan {vlan_outer}/{vlan_inner} {tunnel:?}");
                }
            }
            Err(reason) if !record.truncated => {
                totals.malformed += 1;
                *totals.reasons.entry(reason.label()).or_default() += 1;
                if report {
                    eprintln!("{what}: malformed {}", reason.label());
                }
            }
            Err(_) => {}
        }
    }
}

#[test]
fn every_packet_of_the_corpus_is_read_and_parsed() {
    let Some(corpus) = corpus() else {
        eprintln!("skipped: no capture corpus at ../shared/corpus or $JARVIS_CORPUS");
        return;
    };
    let mut files = Vec::new();
    captures(&corpus.join("pcaps"), &mut files);
    files.sort();
    let mut totals = Totals::default();
    let mut counts = BTreeMap::new();
    let mut failures = Vec::new();
    for path in &files {
        let (count, error) = read(path, &mut totals);
        counts.insert(path.strip_prefix(&corpus).unwrap().to_path_buf(), count);
        if let Some(error) = error {
            failures.push(format!("{}: {error}", path.display()));
        }
    }

    let Totals { packets, whole, truncated, malformed, ip, with_transport, other, .. } = totals;
    let Totals { wrong_ipv4_checksum, reasons, .. } = totals;
    eprintln!(
        "{} captures, {packets} packets ({whole} whole, {truncated} truncated): {ip} IP ({with_transport} with \
         a transport), {other} of layer 2, {malformed} malformed: {reasons:?}; {wrong_ipv4_checksum} wrong IPv4 checksums",
        files.len()
    );
    for failure in &failures {
        eprintln!("ends early: {failure}");
    }

    let expected = fs::read_to_string(corpus.join("robust/expected.tsv")).unwrap();
    let cases = fs::read_to_string(corpus.join("cases.tsv")).unwrap();
    let file_of: BTreeMap<&str, &str> = cases
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| {
            let mut fields = line.split('\t');
            Some((fields.next()?, fields.nth(1)?))
        })
        .collect();
    let mut wrong = Vec::new();
    for line in expected.lines().filter(|line| !line.starts_with('#')) {
        let (case, packets) = line.split_once('\t').unwrap();
        let count = counts.get(Path::new(file_of[case])).copied();
        if count != packets.parse().ok() {
            wrong.push(format!("{case}: {count:?} packets read, {packets} expected"));
        }
    }
    assert!(wrong.is_empty(), "{} captures differ:\n{}", wrong.len(), wrong.join("\n"));
    // The corpus holds fuzzed captures on purpose; more than one packet in 400 would be a mistake of ours.
    assert!(malformed * 400 < whole, "{malformed} of {whole} whole packets are malformed: {reasons:?}");
}
