//! What does inspection make of captures, flow by flow?
//!
//! With `JARVIS_PCAPS` (paths, blank-separated) each flow of these is printed with its records. Without it the labelled
//! corpus is read (`$JARVIS_CORPUS`, or `shared/corpus` beside the repository) and the recall is printed and held to a
//! floor; `JARVIS_MASTERS` restricts that to some protocols, `JARVIS_MISSES` lists what was missed. Streams are those
//! of the inspector; fragments and timeouts are left out, which the engine's own replay has.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what went wrong by failing")]

#[path = "support/captured.rs"]
mod captured;

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;
use std::sync::Arc;

use captured::Met;
use dataplane::dpi::AppTable;
use dataplane::dpi::fields::Value;
use dataplane::dpi::inspector::{Inspector, Summary};
use dataplane::dpi::parser::{FlowView, Record};
use dataplane::dpi::recogniser::Recogniser;

struct Told {
    view: FlowView,
    summary: Summary,
    host: Option<String>,
    hosts: Vec<String>,
}

struct Tables {
    recogniser: Arc<Recogniser>,
    apps: Arc<AppTable>,
}

fn flows(path: &Path, tables: &Tables, show: bool) -> Vec<Told> {
    let mut inspector = Inspector::new(Arc::clone(&tables.recogniser), Arc::clone(&tables.apps), 1 << 20);
    let mut told = Vec::new();
    let mut hosts: Vec<Vec<String>> = Vec::new();
    captured::walk(path, &mut inspector, |index, view, met| match met {
        Met::Begun => hosts.push(Vec::new()),
        Met::Before(_) | Met::After(_) => {}
        Met::Record(record) => note(record, &mut hosts[index], show),
        Met::Ended(summary, host) => told.push(Told {
            view: *view,
            summary,
            host: host.map(String::from),
            hosts: std::mem::take(&mut hosts[index]),
        }),
    });
    told
}

fn note(record: &Record<'_>, hosts: &mut Vec<String>, show: bool) {
    for (key, value) in record.fields.iter() {
        if let Value::Text(text) = value
            && ["sni", "hostname", "rrname"].contains(&key)
        {
            hosts.push(String::from_utf8_lossy(text).to_lowercase());
        }
    }
    if show {
        eprintln!("    {} {:?}: {}", record.event_type, record.way, text_of(record));
    }
}

fn text_of(record: &Record<'_>) -> String {
    let mut text = String::new();
    for (key, value) in record.fields.iter() {
        if value != Value::Close && !key.is_empty() {
            text.push_str(key);
            text.push('=');
        }
        match value {
            Value::Text(bytes) => text.push_str(&format!("{:?} ", String::from_utf8_lossy(bytes))),
            Value::Bytes(bytes) => text.push_str(&format!("{bytes:02x?} ")),
            Value::Unsigned(number) => text.push_str(&format!("{number} ")),
            Value::Signed(number) => text.push_str(&format!("{number} ")),
            Value::Bool(truth) => text.push_str(&format!("{truth} ")),
            Value::OpenObject => text.push_str("{ "),
            Value::OpenList => text.push_str("[ "),
            Value::Close => text.push_str("} "),
        }
    }
    text
}

#[test]
fn captures_that_were_asked_for_are_shown() {
    let Some(paths) = std::env::var_os("JARVIS_PCAPS") else { return };
    let tables = Tables { recogniser: Arc::new(Recogniser::new()), apps: Arc::new(AppTable::builtin()) };
    for path in paths.to_str().unwrap().split_whitespace() {
        eprintln!("{path}");
        for Told { view, summary, host, .. } in flows(Path::new(path), &tables, true) {
            eprintln!(
                "  {} {}:{} -> {}:{}  protocol {} app {} {}% by {}, host {}, after {}, risks {:?}",
                view.protocol,
                view.initiator.0.to_ip(),
                view.initiator.1,
                view.responder.0.to_ip(),
                view.responder.1,
                summary.protocol.map_or("-", |protocol| protocol.name),
                summary.app.map_or("-", |app| app.name()),
                summary.confidence,
                summary.evidence.name(),
                host.as_deref().unwrap_or("-"),
                summary.detection_tick,
                summary.risks.iter().map(dataplane::dpi::Risk::name).collect::<Vec<_>>(),
            );
        }
    }
}

/// Rows of a table with a head line.
fn rows(path: &Path) -> Vec<HashMap<String, String>> {
    let text = fs::read_to_string(path).unwrap();
    let mut lines = text.lines();
    let head: Vec<&str> = lines.next().unwrap().trim_start_matches('#').split('\t').collect();
    lines
        .filter(|line| !line.is_empty())
        .map(|line| {
            head.iter().map(|name| (*name).to_owned()).zip(line.split('\t').map(str::to_owned)).collect()
        })
        .collect()
}

/// nDPI's names -> those that are accepted for them.
fn accepted(corpus: &Path) -> HashMap<String, Vec<String>> {
    let text = fs::read_to_string(corpus.join("labels.tsv")).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let fields: Vec<&str> = line.split('\t').collect();
            let aliases = fields.get(4).into_iter().flat_map(|aliases| aliases.split(','));
            let names = std::iter::once(fields[1]).chain(aliases).map(str::to_owned).collect();
            (fields[0].to_owned(), names)
        })
        .collect()
}

type Ends = (String, [(String, String); 2]);

fn ends(protocol: &str, mut a: (String, String), mut b: (String, String)) -> Ends {
    if !["6", "17", "33", "132"].contains(&protocol) {
        a.1 = "0".to_owned();
        b.1 = "0".to_owned();
    }
    let mut both = [a, b];
    both.sort();
    (protocol.to_owned(), both)
}

fn ends_of_row(row: &HashMap<String, String>) -> Ends {
    let number = match row["proto"].as_str() {
        "tcp" => "6",
        "udp" => "17",
        "icmp" => "1",
        "icmp6" | "icmpv6" | "ipv6-icmp" => "58",
        "igmp" => "2",
        "sctp" => "132",
        "gre" => "47",
        "esp" => "50",
        "ah" => "51",
        "vrrp" => "112",
        "pim" => "103",
        "ospf" => "89",
        other => other,
    };
    let end = |ip: &str, port: &str| (row[ip].clone(), row[port].clone());
    ends(number, end("a_ip", "a_port"), end("b_ip", "b_port"))
}

fn ends_of_flow(view: &FlowView) -> Ends {
    let end = |(addr, port): (dataplane::parse::Addr, u16)| (addr.to_ip().to_string(), port.to_string());
    ends(&view.protocol.to_string(), end(view.initiator), end(view.responder))
}

#[derive(Default)]
struct Tally {
    right: BTreeMap<String, (u32, u32)>,
}

impl Tally {
    fn add(&mut self, label: &str, is_right: bool) {
        let entry = self.right.entry(label.to_owned()).or_default();
        entry.0 += u32::from(is_right);
        entry.1 += 1;
    }

    fn show(&self, what: &str) -> f64 {
        let (right, all) = self.right.values().fold((0, 0), |sum, (right, all)| (sum.0 + right, sum.1 + all));
        let share = f64::from(right) * 100.0 / f64::from(all.max(1));
        eprintln!("{what}: {right} of {all} = {share:.1} %");
        for (label, (right, all)) in &self.right {
            if right < all {
                eprintln!("    {label}: {right} of {all}");
            }
        }
        share
    }
}

#[test]
fn labelled_flows_are_recognised() {
    if std::env::var_os("JARVIS_PCAPS").is_some() {
        return;
    }
    let Some(corpus) = captured::corpus() else {
        eprintln!("no corpus: set JARVIS_CORPUS to its folder");
        return;
    };
    let masters = std::env::var("JARVIS_MASTERS").ok();
    let misses = std::env::var_os("JARVIS_MISSES").is_some();
    let accepted = accepted(&corpus);
    let tables = Tables { recogniser: Arc::new(Recogniser::new()), apps: Arc::new(AppTable::builtin()) };
    let paths: HashMap<String, String> = rows(&corpus.join("cases.tsv"))
        .into_iter()
        .map(|row| (row["case"].clone(), row["pcap"].clone()))
        .collect();
    let mut cache: HashMap<String, HashMap<Ends, Vec<Told>>> = HashMap::new();
    let mut read = |case: &str| -> usize {
        if !cache.contains_key(case) {
            let mut by_ends: HashMap<Ends, Vec<Told>> = HashMap::new();
            for told in flows(&corpus.join(&paths[case]), &tables, false) {
                by_ends.entry(ends_of_flow(&told.view)).or_default().push(told);
            }
            cache.insert(case.to_owned(), by_ends);
        }
        0
    };
    let labelled = rows(&corpus.join("ndpi/flows.tsv"));
    let sessions = rows(&corpus.join("sessions/sessions.tsv"));
    let wanted =
        |master: &str| masters.as_ref().is_none_or(|only| only.split_whitespace().any(|one| one == master));
    for row in &labelled {
        if row["score"] == "dpi" && wanted(&row["master"]) {
            read(&row["case"]);
        }
    }
    for row in &sessions {
        if masters.is_none() {
            read(&row["case"]);
        }
    }
    let (mut protocol, mut app, mut host, mut category) =
        (Tally::default(), Tally::default(), Tally::default(), Tally::default());
    let none = Vec::new();
    let is_one_of = |label: &str, name: Option<&str>| {
        name.is_some_and(|name| {
            accepted.get(label).is_some_and(|names| names.iter().any(|accepted| accepted == name))
                || label.eq_ignore_ascii_case(name)
        })
    };
    for row in labelled.iter().filter(|row| row["score"] == "dpi" && wanted(&row["master"])) {
        let told = cache[&row["case"]].get(&ends_of_row(row)).unwrap_or(&none);
        let (master, name) = (row["master"].as_str(), row["app"].as_str());
        let spoken = |told: &Told| told.summary.protocol.map(|protocol| protocol.name);
        let master_ok =
            told.iter().any(|told| is_one_of(master, spoken(told)) || is_one_of(name, spoken(told)));
        let app_ok = told.iter().any(|told| is_one_of(name, told.summary.app_name()));
        protocol.add(master, master_ok);
        app.add(&format!("{master}.{name}"), app_ok);
        category.add(
            &row["category"],
            told.iter().any(|told| told.summary.category().name().eq_ignore_ascii_case(&row["category"])),
        );
        if !row["host"].is_empty() && ["TLS", "QUIC", "HTTP", "DNS"].contains(&master) {
            let wanted = row["host"].to_lowercase();
            let found = told.iter().any(|told| {
                told.host.iter().chain(&told.hosts).any(|host| {
                    let host = host.trim_end_matches('.').split(':').next().unwrap();
                    host == wanted.split(':').next().unwrap()
                        || wanted.len() >= 60 && host.starts_with(&wanted)
                })
            });
            host.add(master, found);
            if !found && misses {
                eprintln!("host {} {:?} wanted {wanted}", row["case"], ends_of_row(row));
            }
        }
        if misses && !(master_ok && app_ok) {
            let got: Vec<_> =
                told.iter().map(|told| (spoken(told), told.summary.app_name(), told.host.clone())).collect();
            eprintln!("flow {} {:?} wanted {master}.{name} got {got:?}", row["case"], ends_of_row(row));
        }
    }
    let mut session = Tally::default();
    for row in sessions.iter().filter(|_| masters.is_none()) {
        let told = cache[&row["case"]].get(&ends_of_row(row)).unwrap_or(&none);
        let is_right = told.iter().any(|told| {
            row["accept"].split(',').any(|accept| {
                told.summary
                    .protocol
                    .is_some_and(|protocol| protocol.name == accept || protocol.eve == Some(accept))
                    || told.summary.app_name() == Some(accept)
            })
        });
        session.add(&row["accept"], is_right);
        if misses && !is_right {
            let got: Vec<_> = told.iter().map(|told| told.summary.app_name()).collect();
            eprintln!("session {} {:?} wanted {} got {got:?}", row["case"], ends_of_row(row), row["accept"]);
        }
    }
    let shares = [
        protocol.show("protocol"),
        app.show("application"),
        host.show("host"),
        category.show("category"),
        session.show("session"),
    ];
    // Below what the whole program reaches (scripts/corpus): packets with wrong checksums and fragments are left out here.
    let floors = [88.0, 85.0, 92.0, 70.0, 90.0];
    if masters.is_none() {
        assert!(
            shares.iter().zip(floors).all(|(share, floor)| *share >= floor),
            "{shares:?} below {floors:?}"
        );
    }
}
