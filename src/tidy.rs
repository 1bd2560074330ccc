//! House rules as tests: what a reviewer would otherwise have to remember.
//!
//! Each rule reads the sources and names every place that breaks it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const FILE_LINES_MAX: usize = 1_200;

/// Which rooms of `dataplane` a room may look into. A packet meets the rooms from top to bottom; a room knows
/// those before it, and the values that every room shares (`time`, `sync`, `verdict`).
const ROOMS: &[(&str, &[&str])] = &[
    ("time", &[]),
    ("sync", &[]),
    ("prefix", &[]),
    ("words", &[]),
    ("parse", &["verdict"]),
    ("verdict", &[]),
    ("defrag", &["parse", "time", "verdict"]),
    ("account", &["time"]),
    ("flow", &["account", "parse", "time", "verdict"]),
    ("stream", &["flow", "parse", "time", "verdict"]),
    ("dpi", &["flow", "host", "parse", "rules", "stream", "time", "verdict", "words"]),
    ("geography", &["parse"]),
    ("rules", &["flow", "geography", "host", "parse", "prefix", "time", "verdict", "words"]),
    ("policy", &["account", "dpi", "flow", "geography", "parse", "prefix", "time", "verdict", "words"]),
    ("identity", &["flow", "parse", "policy"]),
    ("nat", &["flow", "parse", "time", "verdict"]),
    ("host", &["flow", "parse", "sync", "time", "verdict"]),
    (
        "control",
        &[
            "account",
            "dpi",
            "flow",
            "geography",
            "host",
            "identity",
            "parse",
            "policy",
            "rules",
            "sync",
            "time",
            "verdict",
        ],
    ),
    ("capture", &["time"]),
    (
        "engine",
        &[
            "account",
            "control",
            "defrag",
            "dpi",
            "flow",
            "geography",
            "host",
            "identity",
            "nat",
            "parse",
            "policy",
            "rules",
            "stream",
            "time",
            "tx",
            "verdict",
        ],
    ),
    ("rx", &["control", "engine", "parse", "time", "verdict"]),
    ("tx", &["control", "defrag", "engine", "parse", "time", "verdict", "worker"]),
    (
        "worker",
        &[
            "control", "defrag", "engine", "flow", "host", "parse", "policy", "rx", "sync", "time", "tx",
            "verdict",
        ],
    ),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust source of the workspace, with its text.
fn sources() -> Vec<(PathBuf, String)> {
    fn walk(directory: &Path, found: &mut Vec<(PathBuf, String)>) {
        let Ok(entries) = fs::read_dir(directory) else { return };
        for path in entries.map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                if !path.ends_with("target") && !path.ends_with("corpus") {
                    walk(&path, found);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path.strip_prefix(root()).unwrap().to_path_buf(), text));
            }
        }
    }
    let mut found = Vec::new();
    for directory in ["src", "tests", "dataplane", "controlplane", "perf"] {
        walk(&root().join(directory), &mut found);
    }
    assert!(found.len() > 20, "the sources were not found");
    found.sort();
    found
}

/// A line without its comment; good enough for rules about words.
fn code(line: &str) -> &str {
    line.split("//").next().unwrap_or_default()
}

fn assert_none(rule: &str, broken: &[String]) {
    assert!(broken.is_empty(), "{rule}:\n  {}", broken.join("\n  "));
}

#[test]
fn rooms_look_only_where_they_may() {
    let allowed: BTreeMap<&str, &[&str]> = ROOMS.iter().copied().collect();
    let mut broken = Vec::new();
    for (path, text) in sources() {
        let Ok(inside) = path.strip_prefix("dataplane/src") else { continue };
        let room = inside.components().next().unwrap().as_os_str().to_str().unwrap().trim_end_matches(".rs");
        if room == "lib" {
            continue;
        }
        let Some(may) = allowed.get(room) else {
            broken.push(format!("{}: room `{room}` is not in the table of rooms", path.display()));
            continue;
        };
        let is_test_file =
            path.ends_with("tests.rs") || path.components().any(|part| part.as_os_str() == "tests");
        for (index, line) in text.lines().enumerate() {
            // Tests stand last and may look anywhere.
            if is_test_file || line.trim_start().starts_with("#[cfg(test)]") {
                break;
            }
            for other in rooms_named(code(line)) {
                if other != room && !may.contains(&other) {
                    broken.push(format!("{}:{}: {room} looks into {other}", path.display(), index + 1));
                }
            }
        }
    }
    assert_none("a room looks where it may not", &broken);
}

/// Names that follow `crate::` on a line, also in `crate::{a::b, c}`.
fn rooms_named(line: &str) -> Vec<&str> {
    let word =
        |text: &'_ str| text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().map(str::len);
    let mut found = Vec::new();
    for (at, _) in line.match_indices("crate::") {
        let rest = &line[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            found.extend(group.split(',').map(|part| {
                let part = part.trim();
                &part[..word(part).unwrap_or(0)]
            }));
        } else {
            found.push(&rest[..word(rest).unwrap_or(0)]);
        }
    }
    // Macros and items of the crate root are no rooms.
    found.retain(|name| ROOMS.iter().any(|(room, _)| room == name));
    found
}

#[test]
fn unsafe_code_lives_in_xsk_and_says_why() {
    let mut broken = Vec::new();
    for (path, text) in sources() {
        let in_xsk = path.starts_with("dataplane/xsk") || path.starts_with("dataplane/fuzz");
        let lines: Vec<&str> = text.lines().collect();
        for (index, line) in lines.iter().enumerate() {
            let code = code(line);
            let is_unsafe =
                code.contains("unsafe {") || code.contains("unsafe impl") || code.contains("unsafe fn");
            if !is_unsafe || code.contains('"') {
                continue;
            }
            let place = format!("{}:{}", path.display(), index + 1);
            if !in_xsk {
                broken.push(format!("{place}: unsafe outside of dataplane/xsk"));
            } else if code.contains("unsafe {") || code.contains("unsafe impl") {
                let above = lines[..index].iter().rev().take(12);
                if !line.contains("SAFETY") && !above.clone().any(|line| line.contains("SAFETY")) {
                    broken.push(format!("{place}: no SAFETY comment above"));
                }
            }
        }
    }
    assert_none("unsafe code", &broken);
}

#[test]
fn crates_other_than_xsk_forbid_unsafe_code() {
    for path in ["src/main.rs", "dataplane/src/lib.rs", "controlplane/src/lib.rs"] {
        let text = fs::read_to_string(root().join(path)).unwrap();
        assert!(text.contains("#![forbid(unsafe_code)]"), "{path}");
    }
}

#[test]
fn no_module_is_called_util_common_or_base() {
    let names = ["util", "utils", "common", "base", "helpers", "misc", "types"];
    let broken: Vec<String> = sources()
        .into_iter()
        .filter(|(path, _)| {
            path.components().any(|part| {
                names.contains(&part.as_os_str().to_str().unwrap_or_default().trim_end_matches(".rs"))
            })
        })
        .map(|(path, _)| path.display().to_string())
        .collect();
    assert_none("a module's name says what is in it", &broken);
}

#[test]
fn files_stay_readable() {
    let broken: Vec<String> = sources()
        .into_iter()
        .filter(|(_, text)| text.lines().count() > FILE_LINES_MAX)
        .map(|(path, text)| format!("{}: {} lines", path.display(), text.lines().count()))
        .collect();
    assert_none("a file has at most 1,200 lines", &broken);
}

#[test]
fn modules_open_with_what_they_answer() {
    let broken: Vec<String> = sources()
        .into_iter()
        .filter(|(path, text)| {
            // A fuzz target is one call of a function that is documented where it stands.
            let exempt = path.starts_with("dataplane/fuzz/fuzz_targets")
                || path.ends_with("tests.rs")
                || path.components().any(|part| part.as_os_str() == "tests");
            let head = text.lines().take(4).any(|line| line.starts_with("//!"))
                // One type a file, documented at the type itself.
                || text.lines().take(40).any(|line| line.starts_with("///"));
            !exempt && !head
        })
        .map(|(path, _)| path.display().to_string())
        .collect();
    assert_none("a file opens with `//!`", &broken);
}

#[test]
fn nothing_is_left_for_later() {
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("X", "XX"), concat!("todo", "!(")];
    let mut broken = Vec::new();
    for (path, text) in sources() {
        for (index, line) in text.lines().enumerate() {
            if marks.iter().any(|mark| line.contains(mark)) {
                broken.push(format!("{}:{}", path.display(), index + 1));
            }
        }
    }
    assert_none("marks of unfinished work", &broken);
}

#[test]
fn the_packet_path_knows_no_locks_clocks_or_std_maps() {
    // Cold modules that build tables or swap snapshots may; the rooms that a packet meets may not.
    let hot = ["rx", "parse", "defrag", "nat", "verdict", "tx", "engine"];
    let words = [
        "Mutex",
        "RwLock",
        "Instant::now",
        "SystemTime",
        "println!",
        "format!(",
        "HashMap<",
        "thread::sleep",
    ];
    let mut broken = Vec::new();
    for (path, text) in sources() {
        let Ok(inside) = path.strip_prefix("dataplane/src") else { continue };
        let room = inside.components().next().unwrap().as_os_str().to_str().unwrap();
        if !hot.contains(&room.trim_end_matches(".rs")) || path.ends_with("tests.rs") {
            continue;
        }
        for (index, line) in text.lines().enumerate() {
            if line.trim_start().starts_with("#[cfg(test)]") {
                break;
            }
            if let Some(word) = words.iter().find(|word| code(line).contains(*word)) {
                broken.push(format!("{}:{}: {word}", path.display(), index + 1));
            }
        }
    }
    assert_none("the packet path", &broken);
}

#[test]
fn every_script_says_what_it_does_and_is_executable() {
    use std::os::unix::fs::PermissionsExt;
    let mut broken = Vec::new();
    for entry in fs::read_dir(root().join("scripts")).unwrap() {
        let path = entry.unwrap().path();
        let Ok(text) = fs::read_to_string(&path) else { continue };
        let script = text.starts_with("#!");
        if script && fs::metadata(&path).unwrap().permissions().mode() & 0o111 == 0 {
            broken.push(format!("{}: not executable", path.display()));
        }
        if script && !text.lines().nth(1).unwrap_or_default().starts_with("# ") {
            broken.push(format!("{}: the second line is no comment", path.display()));
        }
    }
    assert_none("scripts", &broken);
}

#[test]
fn the_readme_names_every_command_and_the_changelog_is_kept() {
    use clap::CommandFactory;
    // Before there is a README it cannot be wrong.
    let Ok(readme) = fs::read_to_string(root().join("README.md")) else { return };
    let missing: Vec<String> = crate::cli::Cli::command()
        .get_subcommands()
        .map(|command| format!("jarvis {}", command.get_name()))
        .filter(|command| !readme.contains(command.as_str()))
        .collect();
    assert_none("README.md does not mention", &missing);
    let changelog = fs::read_to_string(root().join("CHANGELOG.md")).unwrap_or_default();
    assert!(
        changelog.contains(env!("CARGO_PKG_VERSION")) || changelog.contains("Unreleased"),
        "CHANGELOG.md"
    );
}

/// What stands between backticks.
fn quoted(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

#[test]
fn every_test_that_a_document_names_exists() {
    let mut broken = Vec::new();
    let mut named = 0;
    for entry in fs::read_dir(root().join("docs")).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        for (index, line) in text.lines().enumerate() {
            for (file, test) in quoted(line).filter_map(|words| words.split_once(".rs::")) {
                named += 1;
                let source = fs::read_to_string(root().join(format!("{file}.rs"))).unwrap_or_default();
                let lines: Vec<&str> = source.lines().map(str::trim).collect();
                let opening = format!("fn {test}(");
                // Other attributes may stand between.
                let is_test = lines.iter().enumerate().any(|(at, line)| {
                    line.split("async ").last().unwrap_or_default().starts_with(&opening)
                        && lines[at.saturating_sub(4)..at]
                            .iter()
                            .any(|above| above.starts_with("#[test]") || above.starts_with("#[tokio::test"))
                });
                if !is_test {
                    broken.push(format!("{}:{}: {file}.rs has no test {test}", path.display(), index + 1));
                }
            }
        }
    }
    assert!(named > 100, "{named} tests are named");
    assert_none("a test that is named and not there", &broken);
}

#[test]
fn compliance_is_told_point_by_point_with_a_test_or_as_a_gap() {
    let text = fs::read_to_string(root().join("docs/compliance.md")).unwrap();
    let rows: Vec<&str> =
        text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| point")).collect();
    let unproven = rows.iter().filter(|row| !row.contains(".rs::") && !row.contains("**gap**"));
    assert_none("neither a test nor a gap", &unproven.map(|row| (*row).to_owned()).collect::<Vec<_>>());
    let csf = "GV.OC GV.RM GV.RR GV.PO GV.OV GV.SC ID.AM ID.RA ID.IM PR.AA PR.AT PR.DS PR.PS PR.IR DE.CM DE.AE RS.MA RS.AN RS.CO RS.MI RC.RP RC.CO";
    let gdpr = "5(1)(c) 5(1)(e) 5(1)(f) 5(2) 15 16 17 18 20 25 30 32 33 34 35";
    let owasp = (1..=10)
        .map(|number| format!("A{number:02}:2021"))
        .chain((1..=10).map(|number| format!("API{number}:2023")));
    let points = csf
        .split(' ')
        .map(str::to_owned)
        .chain(owasp)
        .chain(gdpr.split(' ').map(|article| format!("Art. {article}")));
    let missing: Vec<String> =
        points.filter(|point| !rows.iter().any(|row| row.starts_with(&format!("| {point} ")))).collect();
    assert_none("docs/compliance.md does not have", &missing);
}
