//! Is the record of who changed what still what was written? `jarvis audit verify`.

use crate::cli::{Audit, AuditCommand};
use crate::config::{PortFlags, Ports};
use crate::failure::Failure;
use crate::{setup, trust};
use controlplane::services::audit;
use controlplane::services::auth::key::VerifyingKey;
use controlplane::services::auth::key_ring::KeySet;
use controlplane::store::segments::Kind;
use std::path::{Path, PathBuf};

/// Largest file of keys, bytes.
const KEYS_BYTES_MAX: u64 = 1 << 20;

/// Runs `jarvis audit verify`; what it tells where all is well.
///
/// # Errors
///
/// Every fault, or what keeps it from being read.
pub(crate) fn run(typed: &Audit) -> Result<Vec<String>, Failure> {
    let AuditCommand::Verify { config, directory, keys } = &typed.command;
    let read_config = || setup::read_config(config, &PortFlags::default(), Ports::Optional);
    let directory = match directory {
        Some(directory) => directory.clone(),
        None => trust::segments_directory(&read_config()?),
    };
    let keys = match keys {
        Some(file) => keys_of(file)?,
        None => trust::verifying(&read_config()?)?,
    };
    verify(&audit_in(directory), &keys)
}

/// The audit's own directory: `directory`, or `audit` in it.
fn audit_in(directory: PathBuf) -> PathBuf {
    let inside = directory.join(Kind::Audit.name());
    if inside.is_dir() { inside } else { directory }
}

pub(crate) fn verify(directory: &Path, keys: &[VerifyingKey]) -> Result<Vec<String>, Failure> {
    let name = directory.display();
    let verdict = audit::verify(directory, keys)
        .map_err(|error| Failure::line(format!("the audit in {name} cannot be read: {error}")))?;
    let chain = &verdict.chain;
    let counted = format!(
        "{name}: {} entries in {} segments, {} removed by retention; {} signed checkpoints vouch for all before entry {}",
        chain.entries, chain.segments, chain.removed, verdict.checkpoints, verdict.signed_entries
    );
    if !verdict.faults.is_empty() {
        let faults = verdict.faults.into_iter();
        return Err(Failure::lines(
            faults.chain([counted, "the audit is not what was written".to_owned()]).collect(),
        ));
    }
    let mut lines = vec![counted];
    if verdict.unknown_keys > 0 {
        lines.push(format!(
            "{} more checkpoints are of keys that are not known (any more)",
            verdict.unknown_keys
        ));
    }
    if chain.torn_bytes > 0 {
        lines.push(format!(
            "{} bytes at the end are no whole entry: one is being written, or was when the box went down",
            chain.torn_bytes
        ));
    }
    lines.push("the audit is what was written".to_owned());
    Ok(lines)
}

/// The keys of a JWK set, with or without secrets.
pub(crate) fn keys_of(path: &Path) -> Result<Vec<VerifyingKey>, Failure> {
    let wrong = |error: &dyn std::fmt::Display| {
        Failure::line(format!("the keys in {} are not usable: {error}", path.display()))
    };
    let len = std::fs::metadata(path).map_err(|error| wrong(&error))?.len();
    if len > KEYS_BYTES_MAX {
        return Err(wrong(&format!("{len} bytes, {KEYS_BYTES_MAX} are allowed")));
    }
    let bytes = zeroize::Zeroizing::new(std::fs::read(path).map_err(|error| wrong(&error))?);
    // What serde says of a wrong value may quote it, and values here may be secrets.
    let set: KeySet = serde_json::from_slice(&bytes).map_err(|error| {
        wrong(&format!("no JWK set, see line {} column {}", error.line(), error.column()))
    })?;
    set.verifying_unopened().map_err(|error| wrong(&error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use controlplane::services::auth::algorithm::Algorithm;
    use controlplane::services::auth::key::SigningKey;
    use controlplane::services::auth::key_ring::KeyRing;
    use controlplane::store::segments::{Batch, Segments, Settings};

    #[test]
    fn what_fits_is_told_and_what_does_not_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("box.segments");
        let segments = Segments::open(&root).unwrap();
        let (mut log, _) = segments.log(Kind::Audit, Settings::default(), 1).unwrap();
        for number in 0..5 {
            let entry = audit::Entry::by_system(number, "box.start", None, None);
            let mut batch = Batch::new();
            batch.push(number, &[], &serde_json::to_vec(&entry).unwrap()).unwrap();
            log.append(&mut batch, 1).unwrap();
        }
        log.note().unwrap();
        let directory = audit_in(root);
        let lines = verify(&directory, &[]).unwrap();
        assert!(lines[0].contains("5 entries in 1 segments"), "{lines:?}");
        let path = directory.join("00000001.segment");
        let mut bytes = std::fs::read(&path).unwrap();
        let last = bytes.len() - 3;
        bytes[last] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let told = verify(&directory, &[]).unwrap_err().to_string();
        assert!(told.lines().next().unwrap().ends_with("entry 4: damaged"), "{told}");
    }

    #[test]
    fn keys_are_read_with_and_without_their_secret() {
        let dir = tempfile::tempdir().unwrap();
        let ring = KeyRing::of(SigningKey::generate(Algorithm::MlDsa44).unwrap());
        let path = dir.path().join("keys");
        for set in [ring.to_set(), KeySet { keys: ring.public(), sealed: None }] {
            std::fs::write(&path, serde_json::to_vec(&set).unwrap()).unwrap();
            assert_eq!(keys_of(&path).unwrap()[0].kid(), ring.signing().verifying().kid());
        }
        std::fs::write(&path, r#"{"keys": "secret"}"#).unwrap();
        assert!(!keys_of(&path).unwrap_err().to_string().contains("secret"));
    }
}
