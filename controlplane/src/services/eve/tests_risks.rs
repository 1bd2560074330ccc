//! How risks look in a flow's event, and whether docs/anomalies.md names every anomaly.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use dataplane::dpi::{Risk, Risks};
use dataplane::stream::Anomaly;
use serde_json::{Value, json};

use super::*;

#[test]
fn risks_are_told_with_score_severity_and_evidence() {
    let mut risks = Risks::default();
    risks.add(Risk::WeakCipher);
    risks.add(Risk::MissingSni);
    let summary = Summary { risks, ..Summary::default() };
    let clues = [&[Risk::WeakCipher as u8, 12][..], b"suite 0x0004"].concat();
    let told: Value = serde_json::to_value(PayloadNotes::new((&summary, None, &clues))).unwrap();
    assert_eq!(
        told,
        json!({
            "risks": ["weak_cipher", "missing_sni"],
            "risk_score": 55,
            "risk_details": [
                {"name": "weak_cipher", "severity": "high", "score": 50, "evidence": "suite 0x0004"},
                {"name": "missing_sni", "severity": "low", "score": 5},
            ],
        })
    );
    let told: Value = serde_json::to_value(PayloadNotes::new((&Summary::default(), None, &clues))).unwrap();
    assert_eq!(told, json!({}), "nothing without risks");
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Names that follow `.anomaly(` in the sources of parsers, and every other text, which may be passed up to such a call.
fn payload_events(dir: &Path, events: &mut BTreeSet<String>, texts: &mut BTreeSet<String>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            payload_events(&path, events, texts);
            continue;
        }
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        for call in text.split(".anomaly(").skip(1) {
            // Texts up to the end of the call: one, or those of both branches.
            let call = call.split(')').next().unwrap();
            events.extend(call.split('"').skip(1).step_by(2).map(str::to_owned));
        }
        texts.extend(text.split("#[cfg(test)]").next().unwrap().split('"').skip(1).map(str::to_owned));
    }
}

#[test]
fn the_page_of_anomalies_has_every_name_and_no_other() {
    let (mut events, mut texts) = (BTreeSet::new(), BTreeSet::new());
    payload_events(&root().join("dataplane/src/dpi"), &mut events, &mut texts);
    let mut wanted: BTreeSet<_> = events.into_iter().map(|event| ("applayer".to_owned(), event)).collect();
    for reason in Reason::ALL {
        let (layer, event) = anomaly_name(*reason);
        if matches!(reason.class(), ReasonClass::Malformed | ReasonClass::State) {
            wanted.insert((layer.to_owned(), event.to_owned()));
        }
    }
    for anomaly in Anomaly::ALL {
        wanted.insert(("stream".to_owned(), anomaly.label().to_owned()));
    }
    let page = fs::read_to_string(root().join("docs/anomalies.md")).unwrap();
    let mut layer = String::new();
    let mut told = BTreeSet::new();
    for line in page.lines() {
        if let Some(heading) = line.strip_prefix("## `") {
            layer = heading.trim_end_matches('`').to_owned();
        } else if let Some(row) = line.strip_prefix("| `") {
            let (event, rest) = row.split_once('`').unwrap();
            assert!(rest.len() > 10, "{line}");
            assert!(told.insert((layer.clone(), event.to_owned())), "twice: {line}");
        }
    }
    let missing: Vec<_> = wanted.difference(&told).collect();
    let extra: Vec<_> = told
        .difference(&wanted)
        .filter(|(layer, event)| layer != "applayer" || !texts.contains(event))
        .collect();
    assert!(missing.is_empty() && extra.is_empty(), "missing {missing:?}, not in the code {extra:?}");
    let is_of_style = |event: &str| {
        event.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_.".contains(&byte))
    };
    assert!(told.iter().all(|(_, event)| is_of_style(event)));
}
