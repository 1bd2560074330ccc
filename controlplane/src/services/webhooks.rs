//! Who is told of events without asking? Addresses that events are posted to, signed.
//!
//! A webhook is an entity of the store. How far it was told is one too, so that it goes on where it was after a restart: at least once,
//! never silently less. Who posts is [`crate::api`]; this says to whom, what, and under which signature (Standard Webhooks 1.0:
//! HMAC-SHA256 over id, time and body).

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use tokio::sync::watch;
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::Subjects;
use super::auth::Identity;
use super::auth::account::Account;
use super::auth::key::KeyError;
use super::auth::role::Role;
use super::auth::secret::name;
use super::live::{Filter, Topic, Topics};
use crate::store::{Entities, StoreError, Table};

const HOOKS: Table<Webhook> = Table::new("webhooks");
const REACHED: Table<u64> = Table::new("webhooks_reached");

/// Webhooks of a box.
pub const WEBHOOKS_MAX: usize = 32;

/// Bytes of a signing secret.
const SECRET_BYTES: usize = 32;

/// What a secret begins with (Standard Webhooks 1.0).
const WHSEC: &str = "whsec_";

/// An address that is told of events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    /// Never given again.
    pub id: String,
    /// Where to post to.
    pub url: String,
    /// What it is told of.
    pub topics: Vec<String>,
    /// And of that, what fits.
    #[serde(default)]
    pub filter: BTreeMap<String, String>,
    /// `whsec_` and base64; in the file under the box key.
    pub secret: Secret,
    /// Whether it is told at all.
    pub enabled: bool,
    /// Why the box has switched it off.
    #[serde(default)]
    pub disabled_reason: Option<String>,
    /// What whoever made it may see, it is told.
    pub role: Role,
    /// Who made it, under that account's key.
    pub created_by: String,
    /// Seconds since 1970.
    pub created_s: u64,
    /// Counts the changes.
    pub version: u64,
}

/// A secret that is shown once and never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(Zeroizing<String>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// A webhook, as it is shown.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct WebhookView {
    /// Never given again.
    pub webhook_id: String,
    /// Where events are posted to.
    pub url: String,
    /// What it is told of.
    pub topics: Vec<String>,
    /// And of that, what fits.
    pub filter: BTreeMap<String, String>,
    /// Whether it is told at all.
    pub enabled: bool,
    /// Why the box has switched it off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disabled_reason: Option<String>,
    /// Who made it.
    pub created_by: String,
    /// Seconds since 1970.
    pub created_s: u64,
    /// Counts the changes.
    pub version: u64,
    /// How it went since the start.
    pub deliveries: Deliveries,
}

/// How posting went, since the start of the daemon.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Deliveries {
    /// Events that were taken.
    pub delivered: u64,
    /// The last one that was; after a restart it goes on behind it.
    pub last_event_id: u64,
    /// When, seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_s: Option<u64>,
    /// Attempts since then that failed.
    pub failures: u32,
    /// What went wrong the last time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// When the next attempt is made, seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_attempt_s: Option<u64>,
}

/// What a webhook is made of, or becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// Where to post to.
    pub url: String,
    /// What it is told of.
    pub topics: Vec<Topic>,
    /// And of that, what fits.
    pub filter: BTreeMap<String, String>,
    /// Whether it is told at all.
    pub enabled: bool,
}

/// Why it is not done.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// There is none.
    #[error("there is no webhook {0}")]
    Unknown(String),
    /// There are enough.
    #[error("there are {WEBHOOKS_MAX} webhooks, and no more are kept")]
    Full,
    /// It was changed meanwhile.
    #[error("the webhook has version {found}, not {expected}")]
    Stale {
        /// As it is.
        found: u64,
        /// As it was to be.
        expected: u64,
    },
    /// It may not be told what its maker may not hear.
    #[error("{0}")]
    Forbidden(String),
    /// It was not kept.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No randomness.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// All webhooks.
#[derive(Debug)]
pub struct Webhooks {
    store: Arc<Entities>,
    subjects: Arc<Subjects>,
    hooks: RwLock<BTreeMap<String, Arc<Webhook>>>,
    deliveries: Mutex<HashMap<String, Deliveries>>,
    changed: watch::Sender<u64>,
}

impl Webhooks {
    /// Reads them; a store that cannot be read has none.
    #[must_use]
    pub fn open(store: Arc<Entities>, subjects: Arc<Subjects>) -> Self {
        let read = || -> Result<_, StoreError> { Ok((store.all(&HOOKS)?, store.all(&REACHED)?)) };
        let (hooks, reached) = read().unwrap_or_else(|error| {
            tracing::error!(%error, "webhooks cannot be read: nobody is told of events");
            Default::default()
        });
        let hooks =
            hooks.into_iter().map(|(id, row)| (id, Arc::new(opened(row, &store, &subjects)))).collect();
        let told = |(id, last_event_id)| (id, Deliveries { last_event_id, ..Deliveries::default() });
        Self {
            hooks: RwLock::new(hooks),
            deliveries: Mutex::new(reached.into_iter().map(told).collect()),
            changed: watch::channel(0).0,
            store,
            subjects,
        }
    }

    /// Tells when there is another one, or one is gone or changed.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// All that are told, for who posts.
    #[must_use]
    pub fn enabled(&self) -> Vec<Arc<Webhook>> {
        self.read().values().filter(|hook| hook.enabled && hook.can_sign()).map(Arc::clone).collect()
    }

    /// All of them, in the order of their ids.
    #[must_use]
    pub fn list(&self) -> Vec<WebhookView> {
        self.read().values().map(|hook| self.view(hook)).collect()
    }

    /// One.
    ///
    /// # Errors
    ///
    /// [`WebhookError::Unknown`].
    pub fn get(&self, id: &str) -> Result<(Arc<Webhook>, WebhookView), WebhookError> {
        let hook = self.read().get(id).map(Arc::clone);
        let hook = hook.ok_or_else(|| WebhookError::Unknown(id.to_owned()))?;
        let view = self.view(&hook);
        Ok((hook, view))
    }

    /// Another one, told of what comes after `last_event_id`; with its secret, which is not shown again. Waits for the disk.
    ///
    /// # Errors
    ///
    /// [`WebhookError`].
    pub fn make(
        &self,
        wish: Wish,
        by: &Account,
        last_event_id: u64,
        now_s: u64,
    ) -> Result<(WebhookView, Zeroizing<String>), WebhookError> {
        may_hear(by.role, &wish.topics)?;
        let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
        getrandom::fill(&mut *bytes).map_err(|error| KeyError::Randomness(error.to_string()))?;
        let secret = Zeroizing::new(format!("{WHSEC}{}", BASE64.encode(*bytes)));
        let hook = Webhook {
            id: name("w-")?,
            url: wish.url,
            topics: wish.topics.iter().map(|topic| topic.name().to_owned()).collect(),
            filter: wish.filter,
            secret: Secret(secret.clone()),
            enabled: wish.enabled,
            disabled_reason: None,
            role: by.role,
            created_by: self.subjects.seal_text(&by.id, &by.username, now_s)?,
            created_s: now_s,
            version: 1,
        };
        let mut hooks = self.hooks.write().unwrap_or_else(PoisonError::into_inner);
        if hooks.len() >= WEBHOOKS_MAX {
            return Err(WebhookError::Full);
        }
        let row = sealed(&hook, &self.subjects)?;
        self.store.write(|write| {
            write.put(&HOOKS, &hook.id, &row)?;
            write.put(&REACHED, &hook.id, &last_event_id)
        })?;
        let hook = Arc::new(hook);
        hooks.insert(hook.id.clone(), Arc::clone(&hook));
        drop(hooks);
        self.lock().insert(hook.id.clone(), Deliveries { last_event_id, ..Deliveries::default() });
        self.tell();
        Ok((self.view(&hook), secret))
    }

    /// As `change` makes it of what it was. Waits for the disk.
    ///
    /// # Errors
    ///
    /// [`WebhookError`].
    pub fn change(
        &self,
        id: &str,
        expected: Option<u64>,
        by: Role,
        change: impl FnOnce(Wish) -> Wish,
    ) -> Result<WebhookView, WebhookError> {
        let mut hooks = self.hooks.write().unwrap_or_else(PoisonError::into_inner);
        let before = hooks.get(id).map(Arc::clone).ok_or_else(|| WebhookError::Unknown(id.to_owned()))?;
        if let Some(expected) = expected.filter(|expected| *expected != before.version) {
            return Err(WebhookError::Stale { found: before.version, expected });
        }
        let wish = change(Wish {
            url: before.url.clone(),
            topics: before.topics.iter().filter_map(|topic| topic.parse().ok()).collect(),
            filter: before.filter.clone(),
            enabled: before.enabled,
        });
        may_hear(by, &wish.topics)?;
        let after = Arc::new(Webhook {
            url: wish.url,
            topics: wish.topics.iter().map(|topic| topic.name().to_owned()).collect(),
            filter: wish.filter,
            enabled: wish.enabled,
            disabled_reason: None,
            version: before.version + 1,
            ..Webhook::clone(&before)
        });
        let row = sealed(&after, &self.subjects)?;
        self.store.write(|write| write.put(&HOOKS, id, &row))?;
        hooks.insert(id.to_owned(), Arc::clone(&after));
        drop(hooks);
        if let Some(deliveries) = self.lock().get_mut(id) {
            (deliveries.failures, deliveries.last_error, deliveries.next_attempt_s) = (0, None, None);
        }
        self.tell();
        Ok(self.view(&after))
    }

    /// It is told no more. Waits for the disk.
    ///
    /// # Errors
    ///
    /// [`WebhookError`].
    pub fn remove(&self, id: &str, expected: Option<u64>) -> Result<WebhookView, WebhookError> {
        let mut hooks = self.hooks.write().unwrap_or_else(PoisonError::into_inner);
        let hook = hooks.get(id).map(Arc::clone).ok_or_else(|| WebhookError::Unknown(id.to_owned()))?;
        if let Some(expected) = expected.filter(|expected| *expected != hook.version) {
            return Err(WebhookError::Stale { found: hook.version, expected });
        }
        let view = self.view(&hook);
        self.store.write(|write| {
            write.remove(&HOOKS, id)?;
            write.remove(&REACHED, id)
        })?;
        hooks.remove(id);
        drop(hooks);
        self.lock().remove(id);
        self.tell();
        Ok(view)
    }

    /// Events up to `reached` were taken. Waits for the disk.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: after a restart they are told again.
    pub fn delivered(&self, id: &str, events: u64, reached: u64, now_s: u64) -> Result<(), StoreError> {
        {
            let mut all = self.lock();
            let Some(deliveries) = all.get_mut(id) else { return Ok(()) };
            *deliveries = Deliveries {
                delivered: deliveries.delivered + events,
                last_event_id: reached,
                last_s: Some(now_s),
                ..Deliveries::default()
            };
        }
        self.store.write(|write| write.put(&REACHED, id, &reached))
    }

    /// It went wrong, and is tried again then.
    pub fn failed(&self, id: &str, error: String, next_attempt_s: u64) {
        if let Some(deliveries) = self.lock().get_mut(id) {
            deliveries.failures += 1;
            (deliveries.last_error, deliveries.next_attempt_s) = (Some(error), Some(next_attempt_s));
        }
    }

    /// Switches one off that nobody answers for. Waits for the disk.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn switch_off(&self, id: &str, reason: &str) -> Result<(), StoreError> {
        let mut hooks = self.hooks.write().unwrap_or_else(PoisonError::into_inner);
        let Some(before) = hooks.get(id).map(Arc::clone) else { return Ok(()) };
        let after = Arc::new(Webhook {
            enabled: false,
            disabled_reason: Some(reason.to_owned()),
            version: before.version + 1,
            ..Webhook::clone(&before)
        });
        let row = sealed(&after, &self.subjects)?;
        self.store.write(|write| write.put(&HOOKS, id, &row))?;
        hooks.insert(id.to_owned(), after);
        drop(hooks);
        self.tell();
        Ok(())
    }

    fn view(&self, hook: &Webhook) -> WebhookView {
        WebhookView {
            webhook_id: hook.id.clone(),
            url: hook.url.clone(),
            topics: hook.topics.clone(),
            filter: hook.filter.clone(),
            enabled: hook.enabled,
            disabled_reason: hook.disabled_reason.clone(),
            created_by: self.subjects.open_text(&hook.created_by),
            created_s: hook.created_s,
            version: hook.version,
            deliveries: self.lock().get(&hook.id).cloned().unwrap_or_default(),
        }
    }

    fn tell(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<String, Arc<Webhook>>> {
        self.hooks.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Deliveries>> {
        self.deliveries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Webhook {
    /// Whether its secret is there.
    fn can_sign(&self) -> bool {
        self.secret.0.starts_with(WHSEC)
    }

    /// What it listens to.
    #[must_use]
    pub fn topics(&self) -> Topics {
        self.topics.iter().filter_map(|name| name.parse::<Topic>().ok()).collect()
    }

    /// What of it fits.
    #[must_use]
    pub fn filter(&self) -> Filter {
        let mut filter = Filter::default();
        for (key, value) in &self.filter {
            // It was tried when it was taken.
            let _ = filter.set(key, value);
        }
        filter
    }

    /// As whom it listens: it has the rights of the role of whoever made it, for good.
    #[must_use]
    pub fn identity(&self) -> Identity {
        let account =
            Account { id: self.id.clone(), username: self.id.clone(), role: self.role, ..Account::local() };
        Identity { account: Arc::new(account), session: None, expires_s: u64::MAX }
    }

    /// `webhook-signature` of a body (Standard Webhooks 1.0): `v1,` and base64 of the HMAC-SHA256 of id, time and body.
    #[must_use]
    pub fn sign(&self, message_id: &str, time_s: u64, body: &[u8]) -> String {
        let key = self.secret.0.strip_prefix(WHSEC).and_then(|text| BASE64.decode(text).ok());
        let key = Zeroizing::new(key.unwrap_or_default());
        let Ok(mut hmac) = Hmac::<Sha256>::new_from_slice(&key) else { return String::new() };
        hmac.update(format!("{message_id}.{time_s}.").as_bytes());
        hmac.update(body);
        format!("v1,{}", BASE64.encode(hmac.finalize().into_bytes()))
    }
}

/// Under what a secret is sealed.
fn purpose(id: &str) -> String {
    format!("the secret of webhook {id}")
}

/// As it is kept: the secret under the box key.
fn sealed(hook: &Webhook, subjects: &Subjects) -> Result<Webhook, StoreError> {
    if !hook.can_sign() {
        return Ok(hook.clone());
    }
    let secret = subjects.seal_secret(&purpose(&hook.id), hook.secret.0.as_bytes())?;
    Ok(Webhook { secret: Secret(Zeroizing::new(secret)), ..hook.clone() })
}

/// As it is used. One that an older version kept in clear is sealed now; one that does not open posts nothing, and says why.
fn opened(row: Webhook, store: &Entities, subjects: &Subjects) -> Webhook {
    if row.can_sign() {
        let kept = sealed(&row, subjects).and_then(|sealed| store.rewrite_with(&HOOKS, &row.id, &sealed));
        if let Err(error) = kept {
            tracing::error!(id = row.id, %error, "the secret of a webhook stays in clear on the disk");
        }
        return row;
    }
    let secret = subjects.open_secret(&purpose(&row.id), &row.secret.0);
    let secret = secret.map_err(|error| error.to_string()).and_then(|secret| {
        let text = std::str::from_utf8(&secret).map_err(|error| error.to_string())?;
        Ok(Secret(Zeroizing::new(text.to_owned())))
    });
    match secret {
        Ok(secret) => Webhook { secret, ..row },
        Err(error) => {
            tracing::error!(id = row.id, error, "the secret of a webhook cannot be read: it posts nothing");
            let reason = format!("its secret cannot be read: {error}. Remove it and make another one");
            Webhook { enabled: false, disabled_reason: Some(reason), ..row }
        }
    }
}

/// Whether the role may hear of these topics itself.
fn may_hear(role: Role, topics: &[Topic]) -> Result<(), WebhookError> {
    match topics.iter().find(|topic| !role.may(topic.needs())) {
        None => Ok(()),
        Some(topic) => {
            let needs = topic.needs();
            Err(WebhookError::Forbidden(format!("`{topic}` takes {needs}, which {role} does not have.")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sealed::BoxKey;

    fn hook(secret: &str) -> Webhook {
        Webhook {
            id: "w-1".to_owned(),
            url: "http://192.0.2.1/".to_owned(),
            topics: vec!["alerts".to_owned()],
            filter: BTreeMap::new(),
            secret: Secret(Zeroizing::new(secret.to_owned())),
            enabled: true,
            disabled_reason: None,
            role: Role::Operator,
            created_by: "ann".to_owned(),
            created_s: 0,
            version: 1,
        }
    }

    /// The example of the specification.
    #[test]
    fn signatures_are_those_of_standard_webhooks() {
        let hook = hook("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let body = br#"{"test": 2432232314}"#;
        assert_eq!(
            hook.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
        assert!(!format!("{hook:?}").contains("MfKQ"), "secrets are not printed");
    }

    #[test]
    fn webhooks_outlive_a_restart_and_go_on_where_they_were() {
        let dir = tempfile::tempdir().unwrap();
        let key = Arc::new(BoxKey::generate().unwrap());
        let open = || {
            let store = Arc::new(Entities::open(dir.path().join("test.redb")).unwrap());
            Webhooks::open(Arc::clone(&store), Arc::new(Subjects::open(store, Arc::clone(&key))))
        };
        let hooks = open();
        let wish = Wish {
            url: "https://hooks.example/a".to_owned(),
            topics: vec![Topic::Alerts],
            filter: BTreeMap::from([("port".to_owned(), "53".to_owned())]),
            enabled: true,
        };
        let by = Account {
            id: "u-1".to_owned(),
            username: "annabel".to_owned(),
            role: Role::Operator,
            ..Account::local()
        };
        let (made, secret) = hooks.make(wish.clone(), &by, 7, 100).unwrap();
        assert!(secret.starts_with("whsec_"));
        hooks.delivered(&made.webhook_id, 2, 9, 101).unwrap();
        drop(hooks);
        let has = |needle: &str| {
            let bytes = std::fs::read(dir.path().join("test.redb")).unwrap();
            bytes.windows(needle.len()).any(|window| window == needle.as_bytes())
        };
        assert!(!has(WHSEC) && !has(&secret[WHSEC.len()..]) && !has("annabel"), "nothing of it is in clear");
        let hooks = open();
        let (hook, view) = hooks.get(&made.webhook_id).unwrap();
        assert_eq!((&hook.secret.0, view.created_by.as_str()), (&secret, "annabel"));
        assert_eq!((view.deliveries.last_event_id, view.filter), (9, wish.filter.clone()));
        assert_eq!((hook.topics(), hook.filter().port), (Topics::of(Topic::Alerts), Some(53)));
        hooks.switch_off(&hook.id, "nobody answers").unwrap();
        assert!(hooks.enabled().is_empty());
        let stale = hooks.change(&hook.id, Some(1), Role::Operator, |wish| wish);
        assert!(matches!(stale, Err(WebhookError::Stale { found: 2, expected: 1 })));
        let on =
            hooks.change(&hook.id, Some(2), Role::Operator, |wish| Wish { enabled: true, ..wish }).unwrap();
        assert_eq!((on.enabled, on.disabled_reason), (true, None));
        let employee = Account { role: Role::Employee, ..Account::local() };
        assert!(matches!(hooks.make(wish.clone(), &employee, 0, 0), Err(WebhookError::Forbidden(_))));
        for _ in 1..WEBHOOKS_MAX {
            hooks.make(wish.clone(), &by, 0, 0).unwrap();
        }
        assert!(matches!(hooks.make(wish, &by, 0, 0), Err(WebhookError::Full)));
        hooks.remove(&hook.id, None).unwrap();
        assert!(matches!(hooks.get(&hook.id), Err(WebhookError::Unknown(_))));
    }

    #[test]
    fn a_secret_that_was_kept_in_clear_is_sealed_and_one_of_another_box_posts_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("test.redb");
        let open = |key: &Arc<BoxKey>| {
            let store = Arc::new(Entities::open(&path).unwrap());
            Webhooks::open(Arc::clone(&store), Arc::new(Subjects::open(store, Arc::clone(key))))
        };
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        Entities::open(&path).unwrap().write(|write| write.put(&HOOKS, "w-1", &hook(secret))).unwrap();
        let (key, other) = (Arc::new(BoxKey::generate().unwrap()), Arc::new(BoxKey::generate().unwrap()));
        for _ in 0..2 {
            let (hook, view) = open(&key).get("w-1").unwrap();
            assert_eq!((&**hook.secret.0, view.enabled, view.created_by.as_str()), (secret, true, "ann"));
            let bytes = std::fs::read(&path).unwrap();
            assert!(!bytes.windows(10).any(|window| window == &secret.as_bytes()[10..20]), "no page has it");
        }
        let (_hook, view) = open(&other).get("w-1").unwrap();
        assert!(!view.enabled && view.disabled_reason.unwrap().contains("cannot be read"));
    }
}
