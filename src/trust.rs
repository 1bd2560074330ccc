//! Which keys sign tokens, where are accounts kept, and who is the first admin?
//!
//! Keys come from the environment, from the key file that the configuration names, or from the box's own file, which the
//! first start makes: in this order. `API_HMAC_KEY` is the fallback where neither of the first two is there.

use crate::config::{Config, KeptLog, KeySecrets};
use crate::failure::Failure;
use crate::serve;
use controlplane::services::audit::{Entry, Settings as AuditSettings};
use controlplane::services::auth::algorithm::Algorithm;
use controlplane::services::auth::key::{SigningKey, VerifyingKey};
use controlplane::services::auth::key_ring::{KeyRing, KeySet};
use controlplane::services::auth::{AuthError, FirstAdmin, KeyOrigin, Keys, Settings};
use controlplane::services::backup::Backups;
use controlplane::services::identities::{Ledger, Saved};
use controlplane::services::live::{LogKeeping, Recorder};
use controlplane::services::{Audit, Auth, Services, Subjects};
use controlplane::store::sealed::{BoxKey, BoxKeyFile};
use controlplane::store::segments::{Retention, Segments};
use controlplane::store::{Entities, KeyFile, PolicyHistory, StoreError};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zeroize::Zeroizing;

/// HMAC keys shorter than their hash are weaker than it (RFC 7518 3.2).
const HMAC_BYTES_MIN: usize = 32;

/// Opens accounts, keys and the saved policies.
///
/// # Errors
///
/// One sentence: a key that is none, a store that is in use or of a later version.
pub(crate) fn open(config: &Config, now_s: u64) -> Result<Opened, Failure> {
    let box_key = Arc::new(box_key(config)?);
    let keys = keys(config, Some(&box_key))?;
    let signing = keys.ring.signing().verifying();
    tracing::info!(algorithm = %signing.algorithm(), kid = signing.kid(), origin = keys.origin.name(), "tokens are signed");
    let settings = Settings {
        access_ttl_s: u64::from(config.auth.access_ttl_s),
        refresh_ttl_s: u64::from(config.auth.refresh_ttl_s),
        token_form: config.auth.token_form,
        ..Settings::default()
    };
    let wrong = |error: AuthError| Failure::line(format!("accounts cannot be opened: {error}"));
    let path = entities_file(config);
    let opened = Entities::open(&path).map(Arc::new).and_then(|store| {
        match Auth::open(&store, &keys, settings, now_s) {
            Err(AuthError::Store(error)) => Err(error),
            other => Ok((store, other)),
        }
    });
    match opened {
        Ok((store, auth)) => {
            let auth = auth.map_err(wrong)?;
            let first = auth.first_admin(now_s).map_err(wrong)?;
            let subjects = Arc::new(Subjects::open(Arc::clone(&store), Arc::clone(&box_key)));
            let history = Ok(PolicyHistory::new(Arc::clone(&store)));
            Ok(Opened { auth: Arc::new(auth), subjects, entities: store, box_key, first, history })
        }
        // The wire is served all the same; whoever is at the box mends it over the Unix socket.
        Err(error @ StoreError::Damaged { .. }) => {
            tracing::error!(%error, "accounts, sessions and saved policies cannot be read: nobody can log in, and the policy file holds");
            let store = Arc::new(Entities::unopened(path));
            let subjects = Arc::new(Subjects::open(Arc::clone(&store), Arc::clone(&box_key)));
            let auth = Arc::new(Auth::without_accounts(Arc::clone(&store), &keys, settings));
            let history = Err(error.to_string());
            Ok(Opened { auth, subjects, entities: store, box_key, first: None, history })
        }
        Err(error) => Err(Failure::line(error.to_string())),
    }
}

/// What is kept in the file of entities.
pub(crate) struct Opened {
    pub(crate) auth: Arc<Auth>,
    /// The file of accounts, policies and so on.
    pub(crate) entities: Arc<Entities>,
    /// What secrets are sealed under.
    pub(crate) box_key: Arc<BoxKey>,
    /// Whose fields are sealed.
    pub(crate) subjects: Arc<Subjects>,
    /// The admin that was made where there was no account.
    pub(crate) first: Option<FirstAdmin>,
    /// The policy sets so far, or why they cannot be read.
    pub(crate) history: Result<PolicyHistory, String>,
}

/// Where backups are made, and of what.
pub(crate) fn backups(
    config: &Config,
    file: Option<&Path>,
    entities: Arc<Entities>,
    box_key: Arc<BoxKey>,
) -> Backups {
    let own = [file.map(Path::to_owned), config.policy_file.clone(), config.inspect.applications.clone()];
    let directory = config.state_directory.join(format!("{}.backups", config.name));
    Backups::at(directory, entities, box_key, own.into_iter().flatten().collect())
}

/// Where accounts, sessions and policies are.
pub(crate) fn entities_file(config: &Config) -> PathBuf {
    config.state_directory.join(format!("{}.redb", config.name))
}

/// Who was where before, and where that is kept; the wire is served without it, too.
///
/// # Errors
///
/// The system gives no key to seal it with.
pub(crate) fn identities(config: &Config, box_key: &BoxKey) -> Result<Saved, Failure> {
    let path = config.state_directory.join(format!("{}.identities.redb", config.name));
    let opened = Ledger::open(path, box_key);
    let (ledger, unopened) = opened.map_err(|error| Failure::line(error.to_string()))?;
    let (saved, unread) = Saved::read(Arc::new(ledger));
    if let Some(error) = unopened.or(unread) {
        tracing::error!(%error, "who was where before the start cannot be read: nobody is known until it is said again");
    }
    Ok(saved)
}

/// Whether the keys that the configuration and the environment name are keys; the box's own are not touched.
///
/// # Errors
///
/// One sentence.
pub(crate) fn check(config: &Config) -> Result<(), Failure> {
    let is_named = config.auth.key_file.is_some() || config.auth.secrets.pqc_secret.is_some();
    if is_named { keys(config, None).map(|_| ()) } else { Ok(()) }
}

/// Where events, flows, telemetry and the audit are.
pub(crate) fn segments_directory(config: &Config) -> PathBuf {
    config.state_directory.join(format!("{}.segments", config.name))
}

/// Takes the directory of all logs for this process.
///
/// # Errors
///
/// One sentence: a disk that fails, a directory that another process has.
pub(crate) fn segments(config: &Config) -> Result<Segments, Failure> {
    Segments::open(segments_directory(config))
        .map_err(|error| Failure::line(format!("the segments cannot be opened: {error}")))
}

/// Opens the logs of events and flows that the configuration keeps, and tells what had to be mended.
///
/// # Errors
///
/// One sentence: a disk that fails.
pub(crate) fn recorder(config: &Config, segments: &Segments) -> Result<Recorder, Failure> {
    let keeping =
        |log: &KeptLog| log.keep.then_some(LogKeeping { age_s_max: log.age_s_max, bytes_max: log.bytes_max });
    let kept = [keeping(&config.store.events), keeping(&config.store.flows)];
    let (recorder, recoveries) = Recorder::open(segments, kept, || serve::now().wall.0)
        .map_err(|error| Failure::line(format!("the logs of events cannot be opened: {error}")))?;
    for recovery in &recoveries {
        if let Some((file, offset, bytes)) = &recovery.cut {
            tracing::warn!(file = %file.display(), offset, bytes, "events were being written when the box went down; they are cut off");
        }
        for damage in &recovery.damaged {
            tracing::error!(damage, "a log of events is damaged; a new segment was begun");
        }
    }
    Ok(recorder)
}

/// Opens the audit, and tells what had to be mended.
///
/// # Errors
///
/// One sentence: a disk that fails.
pub(crate) fn audit(
    config: &Config,
    segments: Segments,
    auth: &Arc<Auth>,
    subjects: &Arc<Subjects>,
) -> Result<Arc<Audit>, Failure> {
    let wrong = |error: StoreError| Failure::line(format!("the audit cannot be opened: {error}"));
    let clock = || serve::now().wall.0;
    let KeptLog { age_s_max, bytes_max, .. } = config.store.audit;
    let retention =
        Retention { age_ns_max: Some(age_s_max.saturating_mul(1_000_000_000)), bytes_max: Some(bytes_max) };
    let settings = AuditSettings { retention, ..AuditSettings::default() };
    let (audit, recovery) = Audit::open(segments, auth, subjects, settings, clock).map_err(wrong)?;
    if let Some((file, offset, bytes)) = &recovery.cut {
        tracing::warn!(file = %file.display(), offset, bytes, "an entry of the audit was being written when the box went down; it was never acknowledged and is cut off");
    }
    for damage in &recovery.damaged {
        tracing::error!(
            damage,
            "the audit is damaged; a new segment was begun. `jarvis audit verify` names the entries"
        );
    }
    Ok(Arc::new(audit))
}

/// The first entry of a run, and that of the admin whom the box made itself.
pub(crate) fn tell_start(services: &Services, first: Option<&FirstAdmin>) {
    let made = first.map(|first| ("account.make", Some(first.username.clone()), json!({ "role": "admin" })));
    let start = ("box.start", None, json!({ "version": env!("CARGO_PKG_VERSION") }));
    for (action, target, after) in std::iter::once(start).chain(made) {
        tell(services, action, target, Some(after));
    }
}

/// Tells the audit of something that no call did; a box whose audit fails serves its wire all the same.
pub(crate) fn tell(services: &Services, action: &str, target: Option<String>, after: Option<Value>) {
    let entry = Entry::by_system(services.now_ns(), action, target, after);
    services.tell_listeners(&entry);
    if let Err(error) = services.audit().append_blocking(entry) {
        tracing::error!(action, %error, "the audit does not tell of this");
    }
}

/// The keys that a running box would believe; none where there are none. Makes nothing.
///
/// # Errors
///
/// One sentence: keys that are none.
pub(crate) fn verifying(config: &Config) -> Result<Vec<VerifyingKey>, Failure> {
    let secrets = &config.auth.secrets;
    let is_elsewhere =
        secrets.pqc_secret.is_some() || secrets.hmac.is_some() || config.auth.key_file.is_some();
    if !is_elsewhere && !own_key_file(config).path().exists() {
        return Ok(Vec::new());
    }
    if is_elsewhere {
        return keys(config, None).map(|keys| keys.ring.verifying());
    }
    let file = own_key_file(config);
    let wrong = |error: &dyn std::fmt::Display| unusable(&file, error);
    let Some(set) = read_set(&file)? else { return Ok(Vec::new()) };
    // The box key may be on a stick in another place: public halves are enough, but for HMAC.
    if let Ok(Some(key)) = box_key_file(config).open()
        && let Ok(ring) = KeyRing::of_sealed_set(&set, &key)
    {
        return Ok(ring.verifying());
    }
    set.verifying_unopened().map_err(|error| wrong(&error))
}

/// Where the box key is: as configured, else systemd's credential `jarvis.box-key`, else in the state directory.
pub(crate) fn box_key_file(config: &Config) -> BoxKeyFile {
    let credential = std::env::var_os("CREDENTIALS_DIRECTORY").map(|at| PathBuf::from(at).join(CREDENTIAL));
    let own = || config.state_directory.join(format!("{}.box.key", config.name));
    let at = config.store.box_key_file.clone();
    let at = at.or_else(|| credential.filter(|at| at.exists())).unwrap_or_else(own);
    BoxKeyFile::at(at, config.state_directory.join(format!("{}.sealed-under", config.name)))
}

/// What `LoadCredential=` calls the box key.
const CREDENTIAL: &str = "jarvis.box-key";

/// The box key, made where nothing was ever sealed.
fn box_key(config: &Config) -> Result<BoxKey, Failure> {
    let sealed = match read_set(&own_key_file(config)) {
        Ok(set) => set.and_then(|set| set.sealed_under()),
        Err(_told_when_they_are_needed) => None,
    };
    let file = box_key_file(config);
    let key = file.open_or_make(sealed).map_err(|error| Failure::line(error.to_string()))?;
    tracing::info!(box_key = %key.id(), file = %file.path().display(), "secrets on the disk are sealed");
    Ok(key)
}

pub(crate) fn own_key_file(config: &Config) -> KeyFile {
    KeyFile::at(config.state_directory.join(format!("{}.keys.json", config.name)))
}

/// The keys that sign; the box's own with `box_key` only.
fn keys(config: &Config, box_key: Option<&Arc<BoxKey>>) -> Result<Keys, Failure> {
    let auth = &config.auth;
    let KeySecrets { pqc_secret, pqc_public, hmac } = &auth.secrets;
    let wrong = |error: &dyn std::fmt::Display| Failure::line(error.to_string());
    if let Some(secret) = pqc_secret {
        let public = pqc_public.as_ref().map(|public| public.text());
        let ring = KeyRing::of_environment(auth.algorithm, secret.text(), public);
        return Ok(Keys { ring: ring.map_err(|error| wrong(&error))?, origin: KeyOrigin::Pqc });
    }
    if let Some(path) = &auth.key_file {
        let file = KeyFile::at(path);
        let ring = read(&file)?.ok_or_else(|| {
            Failure::line(format!("there is no key file {}: make one with `jarvis keygen`", path.display()))
        })?;
        return Ok(Keys { ring, origin: KeyOrigin::File(file) });
    }
    if let Some(secret) = hmac {
        let secret = secret.text().as_bytes();
        if secret.len() < HMAC_BYTES_MIN {
            tracing::warn!(
                "API_HMAC_KEY has {} bytes: whoever has a token can guess it; {HMAC_BYTES_MIN} random bytes or more are safe",
                secret.len()
            );
        }
        let key = SigningKey::of_bytes(Algorithm::Hs256, secret).map_err(|error| wrong(&error))?;
        return Ok(Keys { ring: KeyRing::of(key), origin: KeyOrigin::Hmac });
    }
    let Some(box_key) = box_key else {
        return Err(Failure::line(
            "the box's own keys are sealed, and the box key is not at hand".to_owned(),
        ));
    };
    let file = own_key_file(config);
    let origin = KeyOrigin::Sealed(file.clone(), Arc::clone(box_key));
    let ring = match read_set(&file)? {
        Some(set) => {
            let ring = KeyRing::of_sealed_set(&set, box_key).map_err(|error| unusable(&file, &error))?;
            if set.sealed.is_none() {
                seal(&file, &ring, box_key)?;
            }
            ring
        }
        None => {
            let ring = KeyRing::of(SigningKey::generate(auth.algorithm).map_err(|error| wrong(&error))?);
            origin.keep(&ring).map_err(|error| unwritten(&file, &error))?;
            ring
        }
    };
    Ok(Keys { ring, origin })
}

/// Seals keys that an earlier version left in the open.
fn seal(file: &KeyFile, ring: &KeyRing, box_key: &BoxKey) -> Result<(), Failure> {
    let set = ring.to_sealed_set(box_key).map_err(|error| unwritten(file, &error))?;
    let set = serde_json::to_vec_pretty(&set).map_err(|error| unwritten(file, &error))?;
    file.write_over(&set).map_err(|error| unwritten(file, &error))?;
    tracing::info!(file = %file.path().display(), "the keys that sign tokens were in the open and are sealed now");
    Ok(())
}

fn unwritten(file: &KeyFile, error: &dyn std::fmt::Display) -> Failure {
    Failure::line(format!("cannot write the keys to {}: {error}", file.path().display()))
}

fn unusable(file: &KeyFile, error: &dyn std::fmt::Display) -> Failure {
    Failure::line(format!("the keys in {} are not usable: {error}", file.path().display()))
}

/// Puts the keys in the place of what `file` has.
///
/// # Errors
///
/// One sentence.
pub(crate) fn write(file: &KeyFile, ring: &KeyRing) -> Result<(), Failure> {
    let set = serde_json::to_vec_pretty(&ring.to_set()).map(Zeroizing::new);
    file.write(&set.map_err(|error| unwritten(file, &error))?).map_err(|error| unwritten(file, &error))
}

/// The keys of `file`; `None` where it is not there.
///
/// # Errors
///
/// One sentence.
pub(crate) fn read(file: &KeyFile) -> Result<Option<KeyRing>, Failure> {
    let set = read_set(file)?;
    set.map(|set| KeyRing::of_set(&set)).transpose().map_err(|error| unusable(file, &error))
}

/// The same, unopened.
fn read_set(file: &KeyFile) -> Result<Option<KeySet>, Failure> {
    let Some(bytes) = file.read().map_err(|error| unusable(file, &error))? else { return Ok(None) };
    // What serde says of a wrong value may quote it, and values here are secrets.
    let set = serde_json::from_slice(&bytes).map_err(|error| {
        unusable(file, &format!("no JWK set, see line {} column {}", error.line(), error.column()))
    })?;
    Ok(Some(set))
}

/// What the first start tells whoever started it.
pub(crate) fn welcome(first: &FirstAdmin, api: &str) -> Vec<String> {
    vec![
        format!("First start: the account is `{}`, its one-time password", first.username),
        format!("    {}", &*first.secret),
        "is not shown again, and must be changed before anything else:".to_owned(),
        format!("    POST {api}/auth/login, then /auth/password"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, PortFlags, Ports, understand};

    fn config(dir: &Path, more: &str) -> Config {
        let text =
            format!("[state]\ndirectory = \"{}\"\n[auth]\nalgorithm = \"ML-DSA-44\"\n{more}", dir.display());
        let file = "/etc/jarvis/t.toml";
        understand(file, &text, &Environment::default(), &PortFlags::default(), Ports::Optional).unwrap()
    }

    fn kid(config: &Config) -> String {
        open(config, 1).unwrap().auth.ring().signing().verifying().kid().to_owned()
    }

    #[test]
    fn the_boxs_own_keys_are_sealed_and_verify_without_the_box_key() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path(), "[store]\nbox_key_file = \"stick/box.key\"\n");
        let stick = box_key_file(&config).path().to_owned();
        assert_eq!(stick, Path::new("/etc/jarvis/stick/box.key"));
        let config = Config {
            store: crate::config::Store {
                box_key_file: Some(dir.path().join("stick.key")),
                ..config.store.clone()
            },
            ..config
        };
        let kid = kid(&config);
        let text = std::fs::read_to_string(own_key_file(&config).path()).unwrap();
        assert!(text.contains("\"sealed\"") && !text.contains("\"priv\""), "{text}");
        assert_eq!(self::kid(&config), kid, "the same after a restart");
        let stick = dir.path().join("stick.key");
        std::fs::rename(&stick, dir.path().join("taken away")).unwrap();
        let told = open(&config, 1).err().unwrap().to_string();
        assert!(told.contains("stick.key") && told.contains("put that key there"), "{told}");
        assert!(!stick.exists());
        assert_eq!(verifying(&config).unwrap()[0].kid(), kid);
    }

    #[test]
    fn keys_in_the_open_are_sealed_at_the_next_start_and_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path(), "");
        let ring = KeyRing::of(SigningKey::generate(Algorithm::MlDsa44).unwrap());
        let file = own_key_file(&config);
        write(&file, &ring).unwrap();
        let before = dir.path().join("the same file");
        std::fs::hard_link(file.path(), &before).unwrap();
        assert_eq!(kid(&config), ring.signing().verifying().kid());
        assert!(!std::fs::read_to_string(file.path()).unwrap().contains("\"priv\""));
        assert!(std::fs::read(&before).unwrap().iter().all(|byte| *byte == 0), "overwritten in its place");
        assert_eq!(kid(&config), ring.signing().verifying().kid());
    }
}
