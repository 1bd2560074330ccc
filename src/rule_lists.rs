//! What does an operator change of rules that others wrote? The lists of the configuration, in the manner of suricata-update.

use crate::config::Rules;
use crate::failure::Failure;
use crate::rules::bytes;
use dataplane::rules::Fault;
use dataplane::rules::changes::{Changes, modifications, selectors};
use std::path::{Path, PathBuf};

/// The lists that `[rules]` names.
///
/// # Errors
///
/// Everything that is wrong with them, each with file, line and column.
pub(crate) fn changes(config: &Rules) -> Result<Changes, Failure> {
    let disable = all(&config.disable, selectors);
    let enable = all(&config.enable, selectors);
    let drop = all(&config.drop, selectors);
    let modify = all(&config.modify, modifications);
    match (disable, enable, drop, modify) {
        (Ok(disable), Ok(enable), Ok(drop), Ok(modify)) => {
            Ok(Changes { disable, enable, drop, modify, ..Changes::default() })
        }
        (disable, enable, drop, modify) => {
            let wrong = [disable.err(), enable.err(), drop.err(), modify.err()];
            let wrong = wrong.into_iter().flatten().reduce(Failure::and);
            Err(wrong.unwrap_or_else(|| Failure::line("the lists of rules cannot be read")))
        }
    }
}

/// Reads one kind of list.
type Reader<T> = fn(&[u8]) -> Result<Vec<T>, Vec<Fault>>;

/// The lines of all files of one kind, one file after the other.
fn all<T>(files: &[PathBuf], read: Reader<T>) -> Result<Vec<T>, Failure> {
    let (mut lines, mut wrong) = (Vec::new(), None);
    for file in files {
        match one(file, read) {
            Ok(more) => lines.extend(more),
            Err(failure) => {
                wrong = Some(match wrong {
                    Some(before) => Failure::and(before, failure),
                    None => failure,
                });
            }
        }
    }
    wrong.map_or(Ok(lines), Err)
}

fn one<T>(file: &Path, read: fn(&[u8]) -> Result<T, Vec<Fault>>) -> Result<T, Failure> {
    read(&bytes(file)?).map_err(|faults| {
        Failure::lines(faults.iter().map(|fault| format!("{}:{fault}", file.display())).collect())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_of_every_list_is_told_with_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let good = write("good.conf", "1:1, 2\n");
        let config = Rules {
            disable: vec![good.clone(), write("disable.conf", "# none\n1\nnope\n")],
            modify: vec![write("modify.conf", "1 \"a\"\n")],
            ..Rules::default()
        };
        let told = changes(&config).unwrap_err().to_string();
        assert!(told.contains("disable.conf:3:1: ") && told.contains("modify.conf:1:"), "{told}");
        let config = Rules { enable: vec![good], ..Rules::default() };
        assert_eq!(changes(&config).unwrap().enable.len(), 2);
        let config = Rules { drop: vec![dir.path().join("absent")], ..Rules::default() };
        assert!(changes(&config).unwrap_err().to_string().starts_with("cannot read "));
    }
}
