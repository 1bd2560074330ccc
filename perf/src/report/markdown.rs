//! The measured part of BENCHMARKS.md: written between two markers, everything else kept.

use super::result::ResultFile;
use super::table;

/// The measured part begins after this line...
pub(crate) const BEGIN: &str = "<!-- measured: begin (written by `jarvis-perf report`, do not edit) -->";
/// ...and ends before this one.
pub(crate) const END: &str = "<!-- measured: end -->";

/// Why the document is left as it is.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum Error {
    #[error("no line `{0}`")]
    NoMarker(&'static str),
    #[error("the end marker stands before the begin marker")]
    WrongOrder,
}

/// `document` with `measured` between its markers.
///
/// # Errors
///
/// A marker is missing, or they are in the wrong order.
pub(crate) fn replace(document: &str, measured: &str) -> Result<String, Error> {
    let begin = document.find(BEGIN).ok_or(Error::NoMarker(BEGIN))? + BEGIN.len();
    let end = document.find(END).ok_or(Error::NoMarker(END))?;
    let (Some(before), Some(after), true) = (document.get(..begin), document.get(end..), begin <= end) else {
        return Err(Error::WrongOrder);
    };
    Ok(format!("{before}\n\n{}\n\n{after}", measured.trim()))
}

/// The measured part: a section for each file, the newest of each scenario, in the order of names.
pub(crate) fn measured(files: &[ResultFile]) -> String {
    let mut newest: Vec<&ResultFile> = Vec::new();
    for file in files {
        match newest.iter_mut().find(|other| other.scenario == file.scenario) {
            Some(other) if other.environment.unix_time_s < file.environment.unix_time_s => *other = file,
            Some(_) => {}
            None => newest.push(file),
        }
    }
    newest.sort_by(|a, b| a.scenario.cmp(&b.scenario));
    newest.iter().map(|file| section(file)).collect::<Vec<_>>().join("\n")
}

fn section(file: &ResultFile) -> String {
    let environment = &file.environment;
    let mut out = format!("### {}\n\n`{}`\n\n", file.scenario, environment.command);
    out.push_str(&format!(
        "{}, {} cores{}, {:.2} GHz nominal, {} MiB; Linux {}; commit {}; seed {}; load at start {:.2}, steal {:.2} %. \
         Cycles: {}.{}\n\n",
        environment.cpu,
        environment.cores,
        if environment.virtualised { " of a virtual machine" } else { "" },
        environment.nominal_ghz,
        environment.memory_mib,
        environment.kernel,
        if environment.commit.is_empty() { "unknown" } else { &environment.commit },
        file.seed,
        environment.load_at_start,
        environment.steal_share * 100.0,
        environment.cycles_from,
        if environment.debug_build { " **Debug build: worthless as numbers.**" } else { "" },
    ));
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    out.push_str(&line(&table::HEAD.map(str::to_owned)));
    out.push_str(&format!("|{}\n", "---|".repeat(table::HEAD.len())));
    for row in table::rows(file) {
        out.push_str(&line(&row));
    }
    let mut notes: Vec<String> = Vec::new();
    for measurement in &file.measurements {
        for (name, text) in &measurement.notes {
            let note = format!("- {}: {name}: {text}", measurement.driver);
            if !notes.contains(&note) {
                notes.push(note);
            }
        }
    }
    if !notes.is_empty() {
        out.push_str(&format!("\n{}\n", notes.join("\n")));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::result::{Measurement, Recorder};
    use super::*;

    #[test]
    fn everything_outside_the_markers_is_kept_and_writing_twice_changes_nothing() {
        let document =
            format!("# Title\n\npromises\n\n{BEGIN}\nold numbers\n{END}\n\n## Ledger\n\ndead ends\n");
        let once = replace(&document, "new numbers").unwrap();
        assert!(once.starts_with("# Title\n\npromises\n") && once.ends_with("\n\n## Ledger\n\ndead ends\n"));
        assert!(once.contains("new numbers") && !once.contains("old numbers"));
        assert_eq!(replace(&once, "new numbers").unwrap(), once);
    }

    #[test]
    fn a_document_without_markers_is_left_alone() {
        assert_eq!(replace("# Title\n", "x"), Err(Error::NoMarker(BEGIN)));
        assert_eq!(replace(&format!("{BEGIN}\n"), "x"), Err(Error::NoMarker(END)));
        assert_eq!(replace(&format!("{END}\n{BEGIN}\n"), "x"), Err(Error::WrongOrder));
    }

    #[test]
    fn the_newest_file_of_each_scenario_is_shown() {
        let file = |scenario: &str, time, rate| {
            let mut recorder = Recorder::new(scenario, 1);
            let mut measurement = Measurement::new("bare", "64b", 1, 0);
            measurement.sample("rate", "pps", rate);
            recorder.add(measurement);
            let mut file = recorder.finish();
            file.environment.unix_time_s = time;
            file
        };
        let text = measured(&[file("b", 1, 1e6), file("a", 1, 2e6), file("b", 2, 3e6)]);
        assert!(text.contains("3.00 Mpps") && text.contains("2.00 Mpps") && !text.contains("1.00 Mpps"));
        assert!(text.find("### a").unwrap() < text.find("### b").unwrap());
    }
}
