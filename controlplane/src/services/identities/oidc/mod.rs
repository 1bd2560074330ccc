//! Who is it that shows this token? Tokens of an OpenID provider (ID tokens, access tokens that are JWTs) tell who somebody is; whoever
//! let the user in, a captive portal or a VPN gateway, says at which address.
//!
//! ```text
//! token ─► token: signed by the provider, for this box, now? ─► claims: who? ─► assertion, until the token is over
//!            ▲
//!          keys ◄─ whoever fetches them (sources::oidc): now and then, and where a token names one that is not there
//! ```
//!
//! Keys that cannot be had leave those before in force. Absent: encrypted tokens (JWE), tokens that the provider must be asked about
//! (introspection, RFC 7662), certificates in the set (`x5c`).

mod claims;
mod counts;
mod keys;
#[cfg(test)]
mod tests;
mod token;

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub use claims::{ClaimNames, ClaimsError};
pub use counts::OidcCounts;
pub use keys::{KEYS_BYTES_MAX, KeySet, KeysError};
pub use token::{Expected, TOKEN_BYTES_MAX, TokenError};

use super::Who;
use crate::services::Services;

/// Time between two fetches, however many tokens name keys that are not there.
const FETCH_EVERY: Duration = Duration::from_secs(10);

/// How long a token waits for keys.
const KEYS_TIMEOUT: Duration = Duration::from_secs(6);

/// Tokens that wait for keys at once: each holds a thread that other calls need, too.
const WAITING_MAX: usize = 4;

/// Whose tokens are believed, and what they say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OidcConfig {
    /// What a token must say.
    pub expected: Expected,
    /// What of its claims is what of a user.
    pub names: ClaimNames,
    /// How long keys are good before they are fetched again.
    pub refresh: Duration,
}

/// A provider, with its keys.
#[derive(Debug)]
pub struct Oidc {
    config: OidcConfig,
    keys: Mutex<Keys>,
    fetched: Condvar,
    counts: OidcCounts,
}

#[derive(Debug, Default)]
struct Keys {
    set: Option<Arc<KeySet>>,
    /// Why the last fetch failed.
    fault: Option<String>,
    /// Fetches that are done.
    fetches: u64,
    /// When the last one was done.
    last: Option<Instant>,
    is_wanted: bool,
    waiting: usize,
}

/// Why a token tells of nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OidcError {
    /// Tokens are not taken.
    #[error("this box takes no tokens: there is no [identity.oidc] in its configuration")]
    Off,
    /// There are no keys yet.
    #[error("the provider's keys could not be had yet: {0}")]
    NoKeys(String),
    /// It is not believed.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// It does not say who it is.
    #[error(transparent)]
    Claims(#[from] ClaimsError),
}

/// Who shows a token, and until when that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Who.
    pub who: Who,
    /// Until when, nanoseconds since 1970.
    pub expires_ns: u64,
}

impl Oidc {
    /// A provider whose keys are not there yet.
    #[must_use]
    pub fn new(config: OidcConfig) -> Self {
        Self { config, keys: Mutex::default(), fetched: Condvar::new(), counts: OidcCounts::default() }
    }

    /// What came of tokens and of fetches.
    #[must_use]
    pub const fn counts(&self) -> &OidcCounts {
        &self.counts
    }

    /// How many keys there are.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.lock().set.as_ref().map_or(0, |set| set.len())
    }

    /// Whether keys are to be fetched now: there are none, a token wants one that is not there, or they are old.
    #[must_use]
    pub fn wants_keys(&self, now: Instant) -> bool {
        let keys = self.lock();
        let Some(last) = keys.last else { return true };
        let since = now.saturating_duration_since(last);
        let is_due = keys.is_wanted || keys.fault.is_some() || since >= self.config.refresh;
        is_due && since >= FETCH_EVERY
    }

    /// A fetch is done: new keys take the place of those before; without any those before stay.
    pub fn take_keys(&self, fetched: Result<KeySet, String>, now: Instant) {
        self.counts.fetched(fetched.is_ok());
        let mut keys = self.lock();
        match fetched {
            Ok(set) => {
                keys.set = Some(Arc::new(set));
                keys.fault = None;
            }
            Err(why) => keys.fault = Some(why),
        }
        keys.fetches += 1;
        keys.last = Some(now);
        keys.is_wanted = false;
        drop(keys);
        self.fetched.notify_all();
    }

    /// Who shows a token at `now_ns`, nanoseconds since 1970. Waits for a fetch where the token names a key that is not there, unless the
    /// last one was just now.
    ///
    /// # Errors
    ///
    /// [`OidcError`].
    pub fn identify(&self, token: &str, now_ns: u64) -> Result<Shown, OidcError> {
        let shown = self.look(token, now_ns);
        self.counts.token(shown.as_ref().err().map(OidcError::code));
        shown
    }

    fn look(&self, token: &str, now_ns: u64) -> Result<Shown, OidcError> {
        let now_s = now_ns / 1_000_000_000;
        let set = self.lock().set.clone();
        let verify = |set: &KeySet| token::verify(token, set, &self.config.expected, now_s);
        let set = match set {
            Some(set) if verify(&set).err() != Some(TokenError::UnknownKey) => set,
            before => match self.fetch_again() {
                Some(set) => set,
                None => before.ok_or_else(|| OidcError::NoKeys(self.fault()))?,
            },
        };
        let claims = verify(&set)?;
        let who = self.config.names.who(&claims.all)?;
        Ok(Shown { who, expires_ns: claims.over_s.saturating_mul(1_000_000_000) })
    }

    /// Keys of a fetch that was not done yet; `None`: the last one was just now, none is done in time, or enough wait already.
    fn fetch_again(&self) -> Option<Arc<KeySet>> {
        let mut keys = self.lock();
        if keys.last.is_some_and(|last| last.elapsed() < FETCH_EVERY) || keys.waiting >= WAITING_MAX {
            return None;
        }
        keys.is_wanted = true;
        keys.waiting += 1;
        let before = keys.fetches;
        let waiting = self.fetched.wait_timeout_while(keys, KEYS_TIMEOUT, |keys| keys.fetches == before);
        let (mut keys, _) = waiting.unwrap_or_else(PoisonError::into_inner);
        keys.waiting -= 1;
        keys.set.clone().filter(|_| keys.fetches > before)
    }

    fn fault(&self) -> String {
        self.lock().fault.clone().unwrap_or_else(|| "they are being fetched".to_owned())
    }

    fn lock(&self) -> MutexGuard<'_, Keys> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OidcError {
    /// The name that metrics have for it.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::NoKeys(_) => "no_keys",
            Self::Token(error) => error.code(),
            Self::Claims(_) => "claims",
        }
    }
}

impl TokenError {
    /// The name that metrics have for it.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Long => "too_long",
            Self::Malformed(_) => "malformed",
            Self::Algorithm => "algorithm",
            Self::UnknownKey => "unknown_key",
            Self::Signature => "signature",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
            Self::Expired { .. } => "expired",
            Self::NotYet { .. } => "not_yet",
        }
    }
}

impl Services {
    /// The provider whose tokens are taken; `None`: none.
    #[must_use]
    pub const fn oidc(&self) -> Option<&Arc<Oidc>> {
        self.identities.oidc.as_ref()
    }

    /// Who shows a token. May wait six seconds for the provider's keys.
    ///
    /// # Errors
    ///
    /// [`OidcError`].
    pub fn identify(&self, token: &str) -> Result<Shown, OidcError> {
        self.oidc().ok_or(OidcError::Off)?.identify(token, self.now_ns())
    }
}
