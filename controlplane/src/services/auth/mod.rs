//! Who is it, and what may they do?
//!
//! Accounts and sessions live in memory, because every request asks for them, and in the store, because a logout must
//! outlive the process. A change is in the store before it is in memory, and before anyone is told. What takes a core
//! for long (hashing, signing) and what waits for the disk is done at three [`Desk`]s: guessing passwords holds up no
//! logout, and a storm of logins holds up no reading.
//!
//! | file | question |
//! |---|---|
//! | `login` | who becomes a session, and how does it go on? |
//! | `identify` | whose token is this? |
//! | `manage` | who has an account? |
//! | `token`, `key`, `key_ring`, `algorithm` | what is a token, and what signs it? |
//! | `password`, `throttle`, `secret`, `ticket` | what do clients bring instead? |
//! | `role` | what may whom do? |

pub mod account;
pub mod algorithm;
pub mod desk;
pub mod key;
pub mod key_ring;
pub mod password;
pub mod role;
pub mod secret;
pub mod session;
pub mod throttle;
pub mod ticket;
pub mod token;

mod identify;
mod login;
mod manage;
#[cfg(test)]
mod tests;

pub use identify::Identity;
pub use login::{Client, Login, Tokens};
pub use manage::Made;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use zeroize::Zeroizing;

use self::account::{ACCOUNTS, Accounts};
use self::algorithm::Algorithm;
use self::desk::{Busy, Desk};
use self::key::{KeyError, SigningKey};
use self::key_ring::KeyRing;
use self::password::PasswordError;
use self::role::{Permission, Role};
use self::secret::{Digest, Password};
use self::session::{SESSIONS, Sessions, TokenForm};
use self::throttle::Throttle;
use self::ticket::Tickets;
use self::token::{Claims, TokenError};
use crate::store::sealed::BoxKey;
use crate::store::{Entities, KeyFile, StoreError};

/// How long things are good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// An access token, seconds.
    pub access_ttl_s: u64,
    /// A session nobody refreshes, seconds.
    pub refresh_ttl_s: u64,
    /// The longest token for a program, seconds.
    pub program_ttl_s_max: u64,
    /// What access tokens look like where a login does not say.
    pub token_form: TokenForm,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            access_ttl_s: 15 * 60,
            refresh_ttl_s: 7 * 24 * 3_600,
            program_ttl_s_max: 366 * 24 * 3_600,
            token_form: TokenForm::Jwt,
        }
    }
}

/// Why somebody is not let in, or something is not changed.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// Name or password, and nobody learns which.
    #[error("The name or the password is wrong.")]
    Credentials,
    /// Too many failures of late.
    #[error("Too many attempts failed; try again in {retry_after_s} s.")]
    Throttled {
        /// Seconds.
        retry_after_s: u64,
    },
    /// A token that is none of ours.
    #[error("The token is not good: {0}.")]
    Token(TokenError),
    /// The session of a token has ended.
    #[error("The session has ended; log in again.")]
    SessionEnded,
    /// A refresh token that was used before: all of its session is ended.
    #[error("The refresh token was used before; its session is ended. Log in again.")]
    Reused,
    /// Nothing else before this.
    #[error("Change the password first (POST /auth/password).")]
    PasswordMustChange,
    /// The role's table does not have it.
    #[error("This takes {needs}, which {role} does not have.")]
    Forbidden {
        /// The permission.
        needs: Permission,
        /// Whose role.
        role: Role,
    },
    /// Queues are full.
    #[error("Too much is being asked at once; try again in a few seconds.")]
    Busy,
    /// Not kept, so not done.
    #[error("Nothing was changed: {0}.")]
    Store(#[from] StoreError),
    /// Not a password.
    #[error("The password is not taken: {0}.")]
    Password(#[from] PasswordError),
    /// Not a name.
    #[error("`{0}` is no account name: 1 to 64 letters, digits, `.`, `_`, `-` or `@`.")]
    Username(String),
    /// Somebody has it.
    #[error("The name `{0}` is taken.")]
    NameTaken(String),
    /// No such account, session, ...
    #[error("There is no {what} `{id}`.")]
    Unknown {
        /// What kind.
        what: &'static str,
        /// Which.
        id: String,
    },
    /// The box would have nobody who can repair it.
    #[error("This is the last admin who can log in; make another one first.")]
    LastAdmin,
    /// No more of them.
    #[error("There is no room for another {0}.")]
    Full(&'static str),
    /// Somebody else changed it meanwhile.
    #[error("It is version {found} by now; read it again.")]
    Stale {
        /// The version.
        found: u64,
    },
    /// Something asked for is out of bounds.
    #[error("{0}")]
    Invalid(String),
    /// The keys are somebody else's to change.
    #[error("The keys come from the environment (PQC_SK_B64 or API_HMAC_KEY): change them there.")]
    NoKeyFile,
    /// No randomness, or a key that is none.
    #[error("The system cannot do this now: {0}.")]
    Key(#[from] KeyError),
}

impl From<Busy> for AuthError {
    fn from(_: Busy) -> Self {
        Self::Busy
    }
}

/// The keys of a box, and whose they are to change.
#[derive(Debug)]
pub struct Keys {
    /// The keys.
    pub ring: KeyRing,
    /// Where they came from.
    pub origin: KeyOrigin,
}

/// Where keys came from.
#[derive(Debug, Clone)]
pub enum KeyOrigin {
    /// The environment's `PQC_SK_B64`.
    Pqc,
    /// The environment's `API_HMAC_KEY`.
    Hmac,
    /// A file of the operator's, which rotation writes.
    File(KeyFile),
    /// The box's own file, sealed under the box key; rotation writes it.
    Sealed(KeyFile, Arc<BoxKey>),
}

impl KeyOrigin {
    /// As an operator knows it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Pqc => "PQC_SK_B64",
            Self::Hmac => "API_HMAC_KEY",
            Self::File(_) => "key file",
            Self::Sealed(..) => "sealed key file",
        }
    }

    /// Keeps `ring` where the keys came from.
    ///
    /// # Errors
    ///
    /// [`AuthError::NoKeyFile`] for keys of the environment, [`AuthError::Store`], [`AuthError::Invalid`].
    pub fn keep(&self, ring: &KeyRing) -> Result<(), AuthError> {
        let (file, set) = match self {
            Self::Pqc | Self::Hmac => return Err(AuthError::NoKeyFile),
            Self::File(file) => (file, ring.to_set()),
            Self::Sealed(file, key) => {
                let set = ring.to_sealed_set(key).map_err(|error| AuthError::Invalid(error.to_string()))?;
                (file, set)
            }
        };
        let set = serde_json::to_vec_pretty(&set).map(Zeroizing::new);
        let set = set.map_err(|error| AuthError::Invalid(error.to_string()))?;
        file.write(&set).map_err(|error| StoreError::of_io(file.path(), &error))?;
        Ok(())
    }
}

/// Accounts, sessions and keys of a box.
#[derive(Debug)]
pub struct Auth {
    store: Arc<Entities>,
    settings: Settings,
    ring: RwLock<Arc<KeyRing>>,
    origin: KeyOrigin,
    state: RwLock<State>,
    verified: Mutex<HashMap<Digest, Arc<Claims>>>,
    throttle: Mutex<Throttle>,
    tickets: Mutex<Tickets>,
    hashing: Desk,
    signing: Desk,
    changing: Desk,
}

#[derive(Debug, Default)]
struct State {
    accounts: Accounts,
    sessions: Sessions,
}

/// The admin that a box makes for itself.
#[derive(Debug)]
pub struct FirstAdmin {
    /// Its name.
    pub username: String,
    /// Its one-time secret: this is the only time that it is shown.
    pub secret: Password,
}

impl Auth {
    /// Reads accounts and sessions. Threads come with the first request, from the thread that serves it.
    ///
    /// # Errors
    ///
    /// [`AuthError::Store`].
    pub fn open(
        store: &Arc<Entities>,
        keys: &Keys,
        settings: Settings,
        now_s: u64,
    ) -> Result<Self, AuthError> {
        let mut state = State::default();
        for (_, account) in store.all(&ACCOUNTS)? {
            state.accounts.put(account);
        }
        let mut expired = Vec::new();
        let mut sessions: Vec<_> = store.all(&SESSIONS)?.into_iter().map(|(_, session)| session).collect();
        sessions.sort_by(|one, other| (one.created_s, &one.id).cmp(&(other.created_s, &other.id)));
        for session in sessions {
            if session.expires_s > now_s && state.accounts.get(&session.account).is_some() {
                state.sessions.put(session);
            } else {
                expired.push(session.id);
            }
        }
        if !expired.is_empty() {
            store.write(|write| expired.iter().try_for_each(|id| write.remove(&SESSIONS, id).map(|_| ())))?;
        }
        Ok(Self { state: RwLock::new(state), ..Self::without_accounts(Arc::clone(store), keys, settings) })
    }

    /// The store that accounts are in.
    #[must_use]
    pub fn store(&self) -> Arc<Entities> {
        Arc::clone(&self.store)
    }

    /// Knows nobody: for a store that cannot be read, so that the operator can ask over the Unix socket.
    #[must_use]
    pub fn without_accounts(store: Arc<Entities>, keys: &Keys, settings: Settings) -> Self {
        Self {
            store,
            settings,
            ring: RwLock::new(Arc::new(keys.ring.clone())),
            origin: keys.origin.clone(),
            state: RwLock::default(),
            verified: Mutex::default(),
            throttle: Mutex::default(),
            tickets: Mutex::default(),
            hashing: Desk::new("jarvis-password"),
            signing: Desk::new("jarvis-sign"),
            changing: Desk::new("jarvis-account"),
        }
    }

    /// The keys in force.
    #[must_use]
    pub fn ring(&self) -> Arc<KeyRing> {
        Arc::clone(&self.ring.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Signs with a new key from now on, of the same algorithm where none is given; the tokens of the one before stay
    /// good until they expire.
    ///
    /// # Errors
    ///
    /// [`AuthError::NoKeyFile`], [`AuthError::Store`], [`AuthError::Key`], [`AuthError::Busy`].
    pub async fn rotate(self: &Arc<Self>, algorithm: Option<Algorithm>) -> Result<Arc<KeyRing>, AuthError> {
        let me = Arc::clone(self);
        self.changing
            .run(move || {
                if matches!(me.origin, KeyOrigin::Pqc | KeyOrigin::Hmac) {
                    return Err(AuthError::NoKeyFile);
                }
                let ring = me.ring();
                let algorithm = algorithm.unwrap_or(ring.signing().verifying().algorithm());
                let ring = Arc::new(ring.rotated(SigningKey::generate(algorithm)?));
                me.origin.keep(&ring)?;
                *me.ring.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&ring);
                Ok(ring)
            })
            .await?
    }

    /// Where they came from.
    #[must_use]
    pub const fn key_origin(&self) -> &KeyOrigin {
        &self.origin
    }

    /// How long things are good.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self) -> std::sync::RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
