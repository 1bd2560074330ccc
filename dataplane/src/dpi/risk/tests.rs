//! Sets, scores, and whether docs/risks.md says what the code does.

use super::clues::told_of;
use super::*;

/// The table of docs/risks.md.
fn table() -> String {
    let rows = Risk::ALL.iter().map(|risk| {
        let severity = risk.severity().name();
        format!("| `{}` | {severity} | {} | {} |\n", risk.name(), risk.trigger(), risk.why())
    });
    let head = "| name | severity | what triggers it | why it matters |\n|---|---|---|---|\n";
    std::iter::once(head.to_owned()).chain(rows).collect()
}

#[test]
fn the_page_for_users_has_every_risk_as_it_is() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/risks.md");
    let page = std::fs::read_to_string(path).unwrap_or_default();
    assert!(page.contains(&table()), "docs/risks.md wants this table:\n{}", table());
    for severity in [Severity::Low, Severity::Medium, Severity::High, Severity::Critical] {
        let row = format!("| {} | {} |", severity.name(), severity.score());
        assert!(page.contains(&row), "{row}");
    }
    assert!(page.contains(&format!("at most {SCORE_MAX}")));
}

#[test]
fn names_are_of_one_style_and_texts_are_sentences() {
    for (index, risk) in Risk::ALL.iter().enumerate() {
        assert_eq!(*risk as usize, index);
        assert!(risk.name().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{risk:?}");
        assert_eq!(Risk::ALL.iter().filter(|other| other.name() == risk.name()).count(), 1, "{risk:?}");
        for text in [risk.trigger(), risk.why()] {
            assert!(text.ends_with('.') && !text.contains('|') && text.len() > 20, "{risk:?}: {text}");
        }
    }
}

#[test]
fn scores_are_summed_up_to_a_cap() {
    let mut risks = Risks::default();
    assert_eq!(risks.score(), 0);
    risks.add(Risk::MissingSni);
    risks.add(Risk::WeakCipher);
    risks.add(Risk::WeakCipher);
    assert_eq!(risks.score(), 55);
    assert_eq!(Risks(u64::MAX).score(), SCORE_MAX);
}

#[test]
fn the_first_evidence_of_a_risk_is_kept() {
    let told = told_of(|cx| {
        cx.risk(Risk::FailedLogin, format_args!("ftp 530"));
        cx.risk(Risk::FailedLogin, format_args!("ftp 531"));
        cx.risk(Risk::MissingSni, format_args!(""));
    });
    assert_eq!(told, ["failed_login: ftp 530", "missing_sni: "]);
}
