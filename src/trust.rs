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
use controlplane::services::live::{LogKeeping, Recorder};
use controlplane::services::{Audit, Auth, Services};
use controlplane::store::segments::Segments;
use controlplane::store::{Entities, KeyFile, PolicyHistory, StoreError};
use serde_json::{Value, json};
use std::path::PathBuf;
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
    let keys = keys(config)?;
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
            Ok(Opened { auth: Arc::new(auth), first, history: Ok(PolicyHistory::new(store)) })
        }
        // The wire is served all the same; whoever is at the box mends it over the Unix socket.
        Err(error @ StoreError::Damaged { .. }) => {
            tracing::error!(%error, "accounts, sessions and saved policies cannot be read: nobody can log in, and the policy file holds");
            let store = Arc::new(Entities::unopened(path));
            let auth = Arc::new(Auth::without_accounts(store, &keys, settings));
            Ok(Opened { auth, first: None, history: Err(error.to_string()) })
        }
        Err(error) => Err(Failure::line(error.to_string())),
    }
}

/// What is kept in the file of entities.
pub(crate) struct Opened {
    pub(crate) auth: Arc<Auth>,
    /// The admin that was made where there was no account.
    pub(crate) first: Option<FirstAdmin>,
    /// The policy sets so far, or why they cannot be read.
    pub(crate) history: Result<PolicyHistory, String>,
}

/// Where accounts, sessions and policies are.
pub(crate) fn entities_file(config: &Config) -> PathBuf {
    config.state_directory.join(format!("{}.redb", config.name))
}

/// Whether the keys that the configuration and the environment name are keys; the box's own are not touched.
///
/// # Errors
///
/// One sentence.
pub(crate) fn check(config: &Config) -> Result<(), Failure> {
    let is_named = config.auth.key_file.is_some() || config.auth.secrets.pqc_secret.is_some();
    if is_named { keys(config).map(|_| ()) } else { Ok(()) }
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
pub(crate) fn audit(segments: Segments, auth: &Arc<Auth>) -> Result<Arc<Audit>, Failure> {
    let wrong = |error: StoreError| Failure::line(format!("the audit cannot be opened: {error}"));
    let clock = || serve::now().wall.0;
    let (audit, recovery) = Audit::open(segments, auth, AuditSettings::default(), clock).map_err(wrong)?;
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
    keys(config).map(|keys| keys.ring.verifying())
}

fn own_key_file(config: &Config) -> KeyFile {
    KeyFile::at(config.state_directory.join(format!("{}.keys.json", config.name)))
}

fn keys(config: &Config) -> Result<Keys, Failure> {
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
    let file = own_key_file(config);
    let ring = match read(&file)? {
        Some(ring) => ring,
        None => generate(&file, auth.algorithm)?,
    };
    Ok(Keys { ring, origin: KeyOrigin::File(file) })
}

/// Makes a key and keeps it in `file`.
///
/// # Errors
///
/// One sentence.
pub(crate) fn generate(file: &KeyFile, algorithm: Algorithm) -> Result<KeyRing, Failure> {
    let key = SigningKey::generate(algorithm).map_err(|error| Failure::line(error.to_string()))?;
    let ring = KeyRing::of(key);
    write(file, &ring)?;
    Ok(ring)
}

/// Puts the keys in the place of what `file` has.
///
/// # Errors
///
/// One sentence.
pub(crate) fn write(file: &KeyFile, ring: &KeyRing) -> Result<(), Failure> {
    let failed = |error: &dyn std::fmt::Display| {
        Failure::line(format!("cannot write the keys to {}: {error}", file.path().display()))
    };
    let set =
        serde_json::to_vec_pretty(&ring.to_set()).map(Zeroizing::new).map_err(|error| failed(&error))?;
    file.write(&set).map_err(|error| failed(&error))
}

/// The keys of `file`; `None` where it is not there.
///
/// # Errors
///
/// One sentence.
pub(crate) fn read(file: &KeyFile) -> Result<Option<KeyRing>, Failure> {
    let wrong = |error: &dyn std::fmt::Display| {
        Failure::line(format!("the keys in {} are not usable: {error}", file.path().display()))
    };
    let Some(bytes) = file.read().map_err(|error| wrong(&error))? else { return Ok(None) };
    // What serde says of a wrong value may quote it, and values here are secrets.
    let set: KeySet = serde_json::from_slice(&bytes).map_err(|error| {
        wrong(&format!("no JWK set, see line {} column {}", error.line(), error.column()))
    })?;
    KeyRing::of_set(&set).map(Some).map_err(|error| wrong(&error))
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
