//! Do our events have the fields that Suricata's have, under the same names, for the same captures?
//!
//! Needs `suricata` and the capture corpus (`$JARVIS_CORPUS`, else `shared/corpus` beside the repository); without either the
//! test says so and passes. What differs, and why, stands in docs/eve.md and is listed here.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails says so by panicking")]
#![allow(clippy::print_stderr, reason = "a skipped test says why")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// A capture, and how many event types at least must be comparable in it, beside `flow`.
const CAPTURES: &[(&str, &[&str])] = &[
    ("ndpi/alexa-app.pcapng", &["dhcp", "dns", "tls"]),
    ("ndpi/firefox.pcap", &["tls"]),
    ("arkime/dns-mx.pcap", &["dns"]),
    ("arkime/http-post-upload.pcap", &["http"]),
    ("arkime/tftp_rrq.pcap", &["tftp"]),
    ("ipfixprobe/tests__functional__inputs__sip.pcap", &["sip"]),
    ("zeek/rfb__vnc-mac-to-linux.pcap", &["rfb"]),
];

/// Types whose objects are compared.
const TYPES: &[&str] = &["dhcp", "dns", "flow", "http", "rfb", "sip", "tftp", "tls"];

/// What Suricata writes and we do not.
const SURICATA_ONLY: &[&str] = &["tls.from_proto"];

/// What we write beyond Suricata 7: fields of Suricata 8, and of options that are off in its file.
const OURS_ONLY: &[&str] = &[
    "app_proto",
    "ether",
    "in_iface",
    "jarvis",
    "dhcp.",
    "flow.action",
    "rfb.authentication.security_result",
    "sip.sdp",
    "tls.client_alpns",
    "tls.ja3",
    "tls.ja3s",
    "tls.ja4",
    "tls.server_alpns",
    "tls.session_resumed",
    "tls.subjectaltname",
];

const CONFIG: &str = "/etc/suricata/suricata.yaml";

fn corpus() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus");
    let path = std::env::var_os("JARVIS_CORPUS").map_or(beside, PathBuf::from);
    [path, Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus")]
        .into_iter()
        .find(|path| path.join("cases.tsv").is_file())
}

fn events(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn suricatas(capture: &Path, folder: &Path) -> Vec<Value> {
    let ran = Command::new("suricata")
        .args(["-c", CONFIG, "-S", "/dev/null", "-k", "none", "--runmode", "single"])
        .args(["--set", "outputs.1.eve-log.community-id=true"])
        .arg("-l")
        .arg(folder)
        .arg("-r")
        .arg(capture)
        .output()
        .unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    events(&std::fs::read_to_string(folder.join("eve.json")).unwrap())
}

fn ours(capture: &Path, folder: &Path) -> Vec<Value> {
    let config = folder.join("jarvis.toml");
    std::fs::write(&config, "[eve]\ncommunity_id = true\n").unwrap();
    let ran = Command::new(env!("CARGO_BIN_EXE_jarvis"))
        .arg("replay")
        .arg(capture)
        .args(["--checksum", "none", "--eve", "-", "--config"])
        .arg(&config)
        .output()
        .unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    events(&String::from_utf8(ran.stdout).unwrap())
}

/// Dotted names of all fields of the header and of the type's own object.
fn names(event: &Value) -> BTreeSet<String> {
    fn walk(value: &Value, path: &str, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                for (key, inner) in fields {
                    let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                    found.insert(path.clone());
                    walk(inner, &path, found);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| walk(item, path, found)),
            _ => {}
        }
    }
    let mut found = BTreeSet::new();
    walk(event, "", &mut found);
    found
}

type Conversation = (String, String);

/// Field names by type and flow: what one engine says of a flow is compared with what the other says of it.
fn by_flow(events: &[Value]) -> BTreeMap<Conversation, BTreeSet<String>> {
    let mut found: BTreeMap<_, BTreeSet<String>> = BTreeMap::new();
    for event in events {
        let (Some(kind), Some(id)) = (event["event_type"].as_str(), event["community_id"].as_str()) else {
            continue;
        };
        if TYPES.contains(&kind) {
            found.entry((kind.to_owned(), id.to_owned())).or_default().extend(names(event));
        }
    }
    found
}

fn is_listed(name: &str, list: &[&str]) -> bool {
    list.iter().any(|listed| {
        name == *listed
            || name.strip_prefix(listed).is_some_and(|rest| rest.starts_with('.') || listed.ends_with('.'))
    })
}

#[test]
fn field_names_are_suricatas() {
    let has_suricata = Path::new(CONFIG).is_file() && Command::new("suricata").arg("-V").output().is_ok();
    let Some(corpus) = corpus().filter(|_| has_suricata) else {
        eprintln!("skipped: needs suricata and the capture corpus");
        return;
    };
    let mut wrong = BTreeSet::new();
    for (capture, types) in CAPTURES {
        let path = corpus.join("pcaps").join(capture);
        let folder = tempfile::tempdir().unwrap();
        let (theirs, ours) =
            (by_flow(&suricatas(&path, folder.path())), by_flow(&ours(&path, folder.path())));
        let mut compared = BTreeSet::new();
        for ((kind, id), theirs) in &theirs {
            let Some(ours) = ours.get(&(kind.clone(), id.clone())) else { continue };
            compared.insert(kind.as_str());
            // A flow's TCP object tells what was seen, and Suricata picks no connection up from its middle.
            // A session of RFB is told when its flow ends, which no packet makes.
            let is_wanted = |name: &&String| match kind.as_str() {
                "flow" => !name.starts_with("tcp"),
                "rfb" => *name != "pcap_cnt",
                _ => true,
            };
            let missing = theirs.difference(ours).filter(is_wanted);
            wrong.extend(
                missing
                    .filter(|name| !is_listed(name, SURICATA_ONLY))
                    .map(|name| format!("{capture}: {kind} lacks {name}")),
            );
            let added = ours.difference(theirs).filter(is_wanted);
            wrong.extend(
                added
                    .filter(|name| !is_listed(name, OURS_ONLY))
                    .map(|name| format!("{capture}: {kind} has {name}")),
            );
        }
        for kind in types.iter().chain(&["flow"]) {
            assert!(compared.contains(kind), "{capture}: no {kind} event of the same flow on both sides");
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
