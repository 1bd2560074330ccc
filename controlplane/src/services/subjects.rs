//! Whose fields are these, and may they still be read?
//!
//! What tells of a person (a name, an address, what their client calls itself) is stored under that person's own key. The key
//! is in the file of entities, sealed under the box key. Erasing a person destroys the key: what was written stays as it was,
//! byte for byte, so that the chain still verifies, and is nobody's any more.
//!
//! A subject is an account, by its `user_id`, which is random and never given again: it stays readable, as a pseudonym.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use crate::store::sealed::{BoxKey, SealError, SubjectKey};
use crate::store::{Entities, StoreError, Table};

/// What is read where a key was destroyed.
pub const ERASED: &str = "(erased)";

/// What is read where a key is there and the field does not open: damage, or a store that fails.
const UNREADABLE: &str = "(unreadable)";

/// What text that is sealed begins with; no name of an account has a colon.
const SEALED: &str = "sealed:";

/// Keys that are held open at once.
const OPEN_MAX: usize = 1_024;

const SUBJECTS: Table<Row> = Table::new("subjects");

/// A subject as it is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Row {
    /// Under the box key, Base64; `None` once it is destroyed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// By which the name finds the subject, also after the account is gone; goes with the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name_tag: Option<String>,
    created_s: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    erased_s: Option<u64>,
}

/// A subject that is erased.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ErasedView {
    /// The `user_id` that it had.
    pub subject: String,
    /// When its key was destroyed, seconds since 1970.
    pub erased_s: u64,
}

/// The keys of all subjects.
#[derive(Debug)]
pub struct Subjects {
    store: Arc<Entities>,
    box_key: Arc<BoxKey>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Subjects by the tags of their names.
    named: HashMap<String, Vec<String>>,
    /// Keys that are open; `None`: destroyed.
    keys: HashMap<String, Option<Arc<SubjectKey>>>,
}

impl Subjects {
    /// Reads which subjects there are. A store that cannot be read has none, until it can.
    #[must_use]
    pub fn open(store: Arc<Entities>, box_key: Arc<BoxKey>) -> Self {
        let mut state = State::default();
        match store.all(&SUBJECTS) {
            Ok(rows) => {
                for (subject, row) in rows {
                    if let Some(tag) = row.name_tag {
                        state.named.entry(tag).or_default().push(subject);
                    }
                }
            }
            Err(error) => tracing::error!(%error, "the keys of personal fields cannot be read"),
        }
        Self { store, box_key, state: Mutex::new(state) }
    }

    /// Whether this names a subject: accounts do, the operator at the socket and the daemon do not.
    #[must_use]
    pub fn is_subject(user_id: &str) -> bool {
        user_id.starts_with("u-")
    }

    /// A field as it is stored: `{"sealed": subject, "v": ...}`, or [`ERASED`] where the subject is. The first field of a
    /// subject makes its key, and writes it to the disk.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn seal(
        &self,
        subject: &str,
        name: Option<&str>,
        text: &str,
        now_s: u64,
    ) -> Result<Value, StoreError> {
        let Some(key) = self.key_or_new(subject, name, now_s)? else { return Ok(ERASED.into()) };
        let sealed = key.seal(subject, text.as_bytes()).map_err(|error| self.failing(error))?;
        Ok(json!({ "sealed": subject, "v": BASE64.encode(sealed) }))
    }

    /// The same in one line, for what is kept as text: `sealed:SUBJECT:...`. What tells of no subject stays as it is.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn seal_text(&self, subject: &str, name: &str, now_s: u64) -> Result<String, StoreError> {
        if !Self::is_subject(subject) {
            return Ok(name.to_owned());
        }
        match self.key_or_new(subject, Some(name), now_s)? {
            Some(key) => {
                let sealed = key.seal(subject, name.as_bytes()).map_err(|error| self.failing(error))?;
                Ok(format!("{SEALED}{subject}:{}", BASE64.encode(sealed)))
            }
            None => Ok(ERASED.to_owned()),
        }
    }

    /// What [`Self::seal_text`] was given; what it did not make is itself.
    #[must_use]
    pub fn open_text(&self, text: &str) -> String {
        match text.strip_prefix(SEALED).and_then(|rest| rest.split_once(':')) {
            Some((subject, sealed)) => self.text(subject, sealed),
            None => text.to_owned(),
        }
    }

    /// A secret of the box itself as it is stored: no subject's, so that it goes with the box key alone.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn seal_secret(&self, purpose: &str, secret: &[u8]) -> Result<String, StoreError> {
        let sealed = self.box_key.seal(purpose, secret).map_err(|error| self.failing(error))?;
        Ok(BASE64.encode(sealed))
    }

    /// What [`Self::seal_secret`] was given.
    ///
    /// # Errors
    ///
    /// [`SealError`]: another box key, or damage.
    pub fn open_secret(&self, purpose: &str, sealed: &str) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let bytes = BASE64.decode(sealed).map_err(|_| SealError::Envelope(purpose.to_owned()))?;
        self.box_key.open(purpose, &bytes)
    }

    /// Opens every field in `value` that [`Self::seal`] made; what does not open says why.
    pub fn reveal(&self, value: &mut Value) {
        if let Value::Object(fields) = &*value
            && fields.len() == 2
            && let (Some(Value::String(subject)), Some(Value::String(sealed))) =
                (fields.get("sealed"), fields.get("v"))
        {
            let text = self.text(subject, sealed);
            *value = Value::String(text);
            return;
        }
        match value {
            Value::Object(fields) => fields.values_mut().for_each(|field| self.reveal(field)),
            Value::Array(items) => items.iter_mut().for_each(|item| self.reveal(item)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    /// The subjects that have, or had, an account of this name.
    #[must_use]
    pub fn named(&self, name: &str) -> Vec<String> {
        self.lock().named.get(&self.name_tag(name)).cloned().unwrap_or_default()
    }

    /// What an address is found by. So short that some 65,000 addresses share it: who has the box key and a field that is
    /// erased cannot find out which address it was.
    #[must_use]
    pub fn address_tag(&self, address: &str) -> String {
        let tag = self.box_key.tag(&format!("address:{address}"));
        format!("~{:02x}{:02x}", tag[0], tag[1])
    }

    /// Destroys a subject's key, for good: the file of entities is written anew without it, and the old one overwritten.
    /// `None`: there is no such subject. Takes as long as copying that file.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; the key is there as before then.
    pub fn erase(&self, subject: &str, now_s: u64) -> Result<Option<ErasedView>, StoreError> {
        let mut state = self.lock();
        let Some(row) = self.store.get(&SUBJECTS, subject)? else { return Ok(None) };
        let view = |erased_s| Some(ErasedView { subject: subject.to_owned(), erased_s });
        if let Some(erased_s) = row.erased_s {
            return Ok(view(erased_s));
        }
        let row = Row { key: None, name_tag: None, erased_s: Some(now_s), ..row };
        self.store.rewrite_with(&SUBJECTS, subject, &row)?;
        state.keys.insert(subject.to_owned(), None);
        state.named.retain(|_tag, subjects| {
            subjects.retain(|other| other != subject);
            !subjects.is_empty()
        });
        Ok(view(now_s))
    }

    fn text(&self, subject: &str, sealed: &str) -> String {
        let Ok(key) = self.key(subject) else { return UNREADABLE.to_owned() };
        let Some(key) = key else { return ERASED.to_owned() };
        let opened = BASE64.decode(sealed).ok().and_then(|sealed| key.open(subject, &sealed));
        let text = opened.and_then(|text| String::from_utf8(text.to_vec()).ok());
        text.unwrap_or_else(|| UNREADABLE.to_owned())
    }

    /// `None`: destroyed, or there never was one here.
    fn key(&self, subject: &str) -> Result<Option<Arc<SubjectKey>>, StoreError> {
        if let Some(key) = self.lock().keys.get(subject) {
            return Ok(key.clone());
        }
        let row: Option<Row> = self.store.get(&SUBJECTS, subject)?;
        let Some(wrapped) = row.and_then(|row| row.key) else { return Ok(None) };
        self.unwrap(subject, &wrapped).map(Some)
    }

    fn key_or_new(
        &self,
        subject: &str,
        name: Option<&str>,
        now_s: u64,
    ) -> Result<Option<Arc<SubjectKey>>, StoreError> {
        if let Some(key) = self.lock().keys.get(subject) {
            return Ok(key.clone());
        }
        let name_tag = name.map(|name| self.name_tag(name));
        let row = match self.store.get::<Row>(&SUBJECTS, subject)? {
            Some(row) if row.erased_s.is_some() || row.name_tag.is_some() || name_tag.is_none() => row,
            before => {
                let key = match before {
                    Some(row) => row.key,
                    None => Some(self.wrapped(subject)?),
                };
                let made = Row { key, name_tag, created_s: now_s, erased_s: None };
                self.store.write(|write| {
                    // It may have been erased meanwhile.
                    if let Some(row) = write.get::<Row>(&SUBJECTS, subject)?
                        && row.erased_s.is_some()
                    {
                        return Ok(row);
                    }
                    write.put(&SUBJECTS, subject, &made)?;
                    Ok(made.clone())
                })?
            }
        };
        if let Some(tag) = &row.name_tag {
            let mut state = self.lock();
            let subjects = state.named.entry(tag.clone()).or_default();
            if !subjects.iter().any(|other| other == subject) {
                subjects.push(subject.to_owned());
            }
        }
        row.key.map(|wrapped| self.unwrap(subject, &wrapped)).transpose()
    }

    fn wrapped(&self, subject: &str) -> Result<String, StoreError> {
        let made = SubjectKey::generate(&self.box_key, subject);
        made.map(|(_, wrapped)| BASE64.encode(wrapped)).map_err(|error| self.failing(error))
    }

    fn unwrap(&self, subject: &str, wrapped: &str) -> Result<Arc<SubjectKey>, StoreError> {
        let wrapped = BASE64.decode(wrapped).unwrap_or_default();
        let key =
            SubjectKey::unwrap(&self.box_key, subject, &wrapped).map_err(|error| self.failing(error))?;
        let key = Arc::new(key);
        let mut state = self.lock();
        if state.keys.len() >= OPEN_MAX {
            // Which one goes does not matter: it is opened again in 30 us.
            let any = state.keys.keys().next().cloned();
            any.map(|any| state.keys.remove(&any));
        }
        // An erasure that came in between holds.
        Ok(state
            .keys
            .entry(subject.to_owned())
            .or_insert_with(|| Some(Arc::clone(&key)))
            .clone()
            .unwrap_or(key))
    }

    fn name_tag(&self, name: &str) -> String {
        let tag = self.box_key.tag(&format!("name:{}", name.to_lowercase()));
        tag.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    fn failing(&self, error: SealError) -> StoreError {
        match error {
            SealError::Store(error) => error,
            error => StoreError::Failing { path: self.store.path().to_owned(), detail: error.to_string() },
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bench(dir: &std::path::Path, key: &Arc<BoxKey>) -> Subjects {
        Subjects::open(Arc::new(Entities::open(dir.join("e.redb")).unwrap()), Arc::clone(key))
    }

    fn shown(subjects: &Subjects, value: &Value) -> Value {
        let mut value = value.clone();
        subjects.reveal(&mut value);
        value
    }

    #[test]
    fn fields_are_read_until_their_subject_is_erased() {
        let dir = tempfile::tempdir().unwrap();
        let key = Arc::new(BoxKey::generate().unwrap());
        let subjects = bench(dir.path(), &key);
        let ada = json!({ "deep": [subjects.seal("u-1", Some("Ada"), "ada", 1).unwrap()], "n": 1 });
        let bob = subjects.seal("u-2", Some("bob"), "bob", 1).unwrap();
        assert!(!ada.to_string().contains("\"ada\""));
        assert_eq!(shown(&subjects, &ada), json!({ "deep": ["ada"], "n": 1 }));
        assert_eq!(subjects.named("ADA"), ["u-1"]);
        drop(subjects);
        let subjects = bench(dir.path(), &key);
        assert_eq!(shown(&subjects, &ada), json!({ "deep": ["ada"], "n": 1 }), "after a restart");
        assert_eq!(subjects.named("ada"), ["u-1"]);
        let wrapped: Row = subjects.store.get(&SUBJECTS, "u-1").unwrap().unwrap();
        let wrapped = wrapped.key.unwrap();
        let has = |needle: &str| {
            let bytes = std::fs::read(dir.path().join("e.redb")).unwrap();
            bytes.windows(needle.len()).any(|window| window == needle.as_bytes())
        };
        assert!(has(&wrapped[1_500..1_540]));
        assert_eq!(subjects.erase("u-3", 5).unwrap(), None);
        let erased = subjects.erase("u-1", 5).unwrap().unwrap();
        assert_eq!((erased.erased_s, subjects.erase("u-1", 9).unwrap()), (5, Some(erased)));
        assert!(!has(&wrapped[1_500..1_540]), "no page of the file has the key any more");
        assert_eq!(shown(&subjects, &ada), json!({ "deep": [ERASED], "n": 1 }));
        assert_eq!(shown(&subjects, &bob), json!("bob"));
        assert!(subjects.named("ada").is_empty());
        assert_eq!(subjects.seal("u-1", Some("ada"), "ada", 6).unwrap(), json!(ERASED), "and never again");
        drop(subjects);
        assert_eq!(shown(&bench(dir.path(), &key), &ada), json!({ "deep": [ERASED], "n": 1 }));
    }

    #[test]
    fn names_kept_as_text_go_with_their_subject_and_secrets_with_the_box_key() {
        let dir = tempfile::tempdir().unwrap();
        let key = Arc::new(BoxKey::generate().unwrap());
        let subjects = bench(dir.path(), &key);
        let text = subjects.seal_text("u-1", "ada", 1).unwrap();
        assert!(!text.contains("ada") && subjects.open_text(&text) == "ada");
        assert_eq!(subjects.seal_text("local", "local", 1).unwrap(), "local");
        assert_eq!(subjects.open_text("system"), "system");
        subjects.erase("u-1", 2).unwrap();
        assert_eq!(subjects.open_text(&text), ERASED);
        let sealed = subjects.seal_secret("a purpose", b"hush").unwrap();
        assert_eq!(&**subjects.open_secret("a purpose", &sealed).unwrap(), b"hush");
        assert!(subjects.open_secret("another", &sealed).is_err());
        assert!(subjects.open_secret("a purpose", "nonsense").is_err());
    }

    #[test]
    fn without_its_box_key_a_field_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let subjects = bench(dir.path(), &Arc::new(BoxKey::generate().unwrap()));
        let ada = subjects.seal("u-1", Some("ada"), "ada", 1).unwrap();
        drop(subjects);
        let subjects = bench(dir.path(), &Arc::new(BoxKey::generate().unwrap()));
        assert_eq!(shown(&subjects, &ada), json!(UNREADABLE));
        assert!(subjects.seal("u-1", None, "ada", 1).is_err());
    }

    #[test]
    fn more_subjects_than_are_held_open_are_all_read() {
        let dir = tempfile::tempdir().unwrap();
        let subjects = bench(dir.path(), &Arc::new(BoxKey::generate().unwrap()));
        let one = subjects.seal("u-1", None, "ada", 1).unwrap();
        for number in 0..OPEN_MAX {
            subjects.lock().keys.insert(format!("u-x{number}"), None);
        }
        subjects.lock().keys.remove("u-1");
        assert_eq!(shown(&subjects, &one), json!("ada"));
        assert!(subjects.lock().keys.len() <= OPEN_MAX);
    }
}
