//! How does a box get back what a backup has? `jarvis restore`.

use crate::backup::read_passphrase;
use crate::cli::Restore;
use crate::config::{Config, PortFlags, Ports};
use crate::failure::Failure;
use crate::{audit, setup, table, trust};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use controlplane::services::auth::key::VerifyingKey;
use controlplane::services::auth::key_ring::KeySet;
use controlplane::services::backup::FOR_RECIPIENT;
use controlplane::store::backup::{self, Protection, Unpacked};
use controlplane::store::sealed::{BoxKey, open_with_passphrase};
use controlplane::store::segments::{Kind, Segments};
use controlplane::store::{KeyFile, StoreError};
use serde_json::json;

/// Runs `jarvis restore`; what it tells.
///
/// # Errors
///
/// A backup that is none, a daemon that runs, something that would be overwritten: nothing is changed then.
pub(crate) fn run(typed: &Restore) -> Result<Vec<String>, Failure> {
    let mut config = setup::read_config(&typed.config, &PortFlags::default(), Ports::Optional)?;
    if let Some(name) = &typed.name {
        config.rename(name).map_err(Failure::line)?;
    }
    crate::serve::make_directories(&config)?;
    finish(&config)?;
    // Held until all is in its place.
    let _lock = stopped(&config)?;
    refuse_to_overwrite(&config, typed.force)?;

    let told = |error: &dyn std::fmt::Display| Failure::line(error.to_string());
    let unpacked =
        backup::unpack(&typed.backup, &config.state_directory, &config.name).map_err(|error| told(&error))?;
    match looked_at(&unpacked, &config, typed) {
        Ok((others, mut lines)) => {
            let placed = unpacked.place(&others).map_err(|error| told(&error))?;
            lines.push(format!(
                "restored in {}: {}",
                config.state_directory.display(),
                placed.names.join(", ")
            ));
            lines.extend(placed.before.map(|before| format!("what was there is in {}", before.display())));
            Ok(lines)
        }
        Err(failure) => {
            unpacked.discard();
            Err(failure)
        }
    }
}

/// Ends a restoring that was interrupted.
///
/// # Errors
///
/// One sentence: a disk that fails.
pub(crate) fn finish(config: &Config) -> Result<(), Failure> {
    let placed = backup::finish(&config.state_directory, &config.name);
    let placed = placed.map_err(|error| {
        Failure::line(format!("a restoring was interrupted and cannot be ended: {error}"))
    })?;
    if !placed.names.is_empty() {
        tracing::warn!(files = placed.names.join(", "), "a restoring was interrupted; it is ended now");
    }
    Ok(())
}

/// The lock of what is there, if anything is.
fn stopped(config: &Config) -> Result<Option<Segments>, Failure> {
    if !trust::segments_directory(config).exists() {
        return Ok(None);
    }
    Segments::open(trust::segments_directory(config)).map(Some).map_err(|error| match error {
        StoreError::InUse { .. } => {
            Failure::line("the daemon is running: stop it first (systemctl stop jarvis)".to_owned())
        }
        error => Failure::line(error.to_string()),
    })
}

fn refuse_to_overwrite(config: &Config, force: bool) -> Result<(), Failure> {
    let there = [trust::entities_file(config), trust::own_key_file(config).path().to_owned()];
    match there.into_iter().find(|path| path.exists()) {
        Some(path) if !force => Err(Failure::line(format!(
            "{} is there: --force moves all that this box has to {}.before-restore",
            path.display(),
            config.name
        ))),
        _ => Ok(()),
    }
}

type Others = Vec<(String, Vec<u8>)>;

/// Whether what was unpacked is to be believed; the files that belong to it, and what to tell.
fn looked_at(
    unpacked: &Unpacked,
    config: &Config,
    typed: &Restore,
) -> Result<(Others, Vec<String>), Failure> {
    let manifest = &unpacked.manifest;
    let mut lines = vec![format!(
        "backup of {} by version {}: {} files are what its manifest says",
        table::moment(manifest.created_s),
        manifest.version,
        manifest.files.len()
    )];
    let keys = match &typed.keys {
        Some(file) => audit::keys_of(file)?,
        None => own_keys(unpacked, config)?,
    };
    lines.push(signature(unpacked, &keys, typed.keys.is_some())?);
    let directory = unpacked.segments().join(Kind::Audit.name());
    if directory.is_dir() {
        lines.extend(audit::verify(&directory, &keys)?);
    }

    let mut others = Vec::new();
    let file = trust::box_key_file(config);
    let own = format!("{}.box.key", config.name);
    let key = box_key(unpacked, typed)?;
    let is_own_place = file.path() == config.state_directory.join(&own);
    match key {
        Some(key) if is_own_place => {
            others.push((own, key.to_text().map_err(|error| Failure::line(error.to_string()))?.to_vec()));
            lines.push(format!("box key {} comes from the backup", key.id()));
        }
        Some(key) if !file.path().exists() => {
            let text = key.to_text().map_err(|error| Failure::line(error.to_string()))?;
            KeyFile::at(file.path()).write(&text).map_err(|error| {
                Failure::line(format!("cannot write the box key to {}: {error}", file.path().display()))
            })?;
            lines.push(format!("box key {} comes from the backup, to {}", key.id(), file.path().display()));
        }
        _ => lines.push(format!("box key {} must be at {}", manifest.box_key, file.path().display())),
    }
    let note = json!({ "box_key": manifest.box_key });
    others.push((format!("{}.sealed-under", config.name), note.to_string().into_bytes()));
    Ok((others, lines))
}

/// The keys in the backup; where it has none, those that the box is configured with.
fn own_keys(unpacked: &Unpacked, config: &Config) -> Result<Vec<VerifyingKey>, Failure> {
    let Some(text) = &unpacked.keys else { return trust::verifying(config) };
    let wrong = |error: &dyn std::fmt::Display| Failure::line(format!("the keys in the backup: {error}"));
    let set: KeySet = serde_json::from_slice(text).map_err(|_| wrong(&"no JWK set"))?;
    set.verifying_unopened().map_err(|error| wrong(&error))
}

fn signature(unpacked: &Unpacked, keys: &[VerifyingKey], is_given: bool) -> Result<String, Failure> {
    let signed = &unpacked.signed;
    let Some(key) = keys.iter().find(|key| key.kid() == signed.kid) else {
        return Err(Failure::line(format!(
            "the backup is signed with key {}, which is none of those that are believed: give --keys",
            signed.kid
        )));
    };
    let signature = BASE64.decode(&signed.signature).unwrap_or_default();
    if !key.verify(&unpacked.message, &signature) {
        return Err(Failure::line(
            "the signature over the manifest is wrong: the backup was changed".to_owned(),
        ));
    }
    let by = if is_given { "one of --keys" } else { "of the backup itself: compare it, or give --keys" };
    Ok(format!("signed with key {}, {by}", signed.kid))
}

/// The box key in the backup; `None`: there is none, or it is not to be opened because the box has it.
fn box_key(unpacked: &Unpacked, typed: &Restore) -> Result<Option<BoxKey>, Failure> {
    let wrong = |error: &dyn std::fmt::Display| Failure::line(format!("the box key in the backup: {error}"));
    let Some(sealed) = &unpacked.box_key else { return Ok(None) };
    let text = match unpacked.manifest.box_key_protection {
        Protection::Absent => return Ok(None),
        Protection::Passphrase => {
            let file = typed.passphrase_file.as_ref().ok_or_else(|| wrong(&"it takes --passphrase-file"))?;
            open_with_passphrase(&read_passphrase(file)?, sealed).map_err(|error| wrong(&error))?
        }
        Protection::Recipient => {
            let file = typed.recipient_key.as_ref().ok_or_else(|| wrong(&"it takes --recipient-key"))?;
            let text = KeyFile::at(file).read().map_err(|error| wrong(&error))?;
            let text = text.ok_or_else(|| wrong(&format!("there is no {}", file.display())))?;
            let recipient = BoxKey::of_text(&text).map_err(|error| wrong(&error))?;
            recipient.open(FOR_RECIPIENT, sealed).map_err(|error| wrong(&error))?
        }
    };
    let key = BoxKey::of_text(&text).map_err(|error| wrong(&error))?;
    if key.id().to_string() != unpacked.manifest.box_key {
        return Err(wrong(&format!("it is {}, its manifest says {}", key.id(), unpacked.manifest.box_key)));
    }
    Ok(Some(key))
}
