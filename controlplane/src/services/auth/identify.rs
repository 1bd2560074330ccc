//! Whose token is this?

use std::net::IpAddr;
use std::sync::Arc;

use super::account::{Account, AccountView};
use super::login::REFERENCE_PREFIX;
use super::role::Permission;
use super::secret::{Digest, Opaque};
use super::ticket::Purpose;
use super::token::{Claims, TokenError, verify};
use super::{Auth, AuthError, lock};

/// Tokens whose signature was verified and need not be again.
const VERIFIED_MAX: usize = 16_384;

/// Who asks, and as whom.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The account as it is now, not as it was when the token was made.
    pub account: Arc<Account>,
    /// The session; `None`: the operator at the Unix socket.
    pub session: Option<String>,
    /// When the token ends, seconds since 1970.
    pub expires_s: u64,
}

impl Identity {
    /// The operator at the Unix socket, whom its mode lets in: an admin.
    #[must_use]
    pub fn local() -> Self {
        Self { account: Arc::new(Account::local()), session: None, expires_s: u64::MAX }
    }

    /// Whether it may do what takes `permission`.
    ///
    /// # Errors
    ///
    /// [`AuthError::Forbidden`]; [`AuthError::PasswordMustChange`] for everything but the own account.
    pub fn may(&self, permission: Permission) -> Result<(), AuthError> {
        if self.account.must_change_password && permission != Permission::OwnAccount {
            return Err(AuthError::PasswordMustChange);
        }
        if self.account.role.may(permission) {
            return Ok(());
        }
        Err(AuthError::Forbidden { needs: permission, role: self.account.role })
    }

    /// The account without its secrets.
    #[must_use]
    pub fn view(&self) -> AccountView {
        self.account.view()
    }
}

impl Auth {
    /// Who brought `token`. A token that was seen before costs a digest and a look-up.
    ///
    /// # Errors
    ///
    /// [`AuthError::Token`], [`AuthError::SessionEnded`].
    pub fn identify(&self, token: &str, now_s: u64) -> Result<Identity, AuthError> {
        let digest = Digest::of(token.as_bytes());
        if token.starts_with(REFERENCE_PREFIX) {
            return self.of_reference(&digest, now_s);
        }
        let claims = self.claims(token, digest, now_s).map_err(AuthError::Token)?;
        let identity = self.of_session(&claims.sid, claims.exp)?;
        if identity.account.id != claims.sub {
            return Err(AuthError::Token(TokenError::Claims));
        }
        Ok(identity)
    }

    fn claims(&self, token: &str, digest: Digest, now_s: u64) -> Result<Arc<Claims>, TokenError> {
        if let Some(claims) = lock(&self.verified).get(&digest).cloned() {
            return if claims.exp > now_s { Ok(claims) } else { Err(TokenError::Expired) };
        }
        let claims = Arc::new(verify(&self.ring(), token, now_s)?);
        let mut verified = lock(&self.verified);
        if verified.len() >= VERIFIED_MAX {
            verified.retain(|_, claims| claims.exp > now_s);
        }
        if verified.len() >= VERIFIED_MAX {
            // Any one: it is verified again when it comes again.
            let one = verified.keys().next().copied();
            one.map(|one| verified.remove(&one));
        }
        verified.insert(digest, Arc::clone(&claims));
        Ok(claims)
    }

    fn of_reference(&self, digest: &Digest, now_s: u64) -> Result<Identity, AuthError> {
        let (id, expires_s) = {
            let state = self.read();
            let session = state.sessions.by_reference(digest);
            let session = session.ok_or(AuthError::Token(TokenError::UnknownKey))?;
            (session.id.clone(), session.reference.map_or(0, |(_, expires_s)| expires_s))
        };
        if expires_s <= now_s {
            return Err(AuthError::Token(TokenError::Expired));
        }
        self.of_session(&id, expires_s)
    }

    /// Who has the session `id`, if both session and account still live.
    fn of_session(&self, id: &str, expires_s: u64) -> Result<Identity, AuthError> {
        let state = self.read();
        let session = state.sessions.get(id).ok_or(AuthError::SessionEnded)?;
        let account = state.accounts.get(&session.account).filter(|account| account.enabled);
        let account = account.cloned().ok_or(AuthError::SessionEnded)?;
        Ok(Identity { account, session: Some(id.to_owned()), expires_s })
    }

    /// Whether session and account of somebody who was known still live. Their token may have ended.
    #[must_use]
    pub fn still_holds(&self, identity: &Identity) -> bool {
        let Some(id) = &identity.session else { return true };
        let state = self.read();
        state.sessions.get(id).is_some()
            && state
                .accounts
                .get(&identity.account.id)
                .is_some_and(|account| account.enabled && account.role == identity.account.role)
    }

    /// A ticket for `topic`, good once and for 30 s.
    ///
    /// # Errors
    ///
    /// [`AuthError::Busy`] where too many wait.
    pub fn ticket(
        &self,
        identity: &Identity,
        topic: &str,
        client: Option<IpAddr>,
        now_s: u64,
    ) -> Result<Opaque, AuthError> {
        let ticket = Opaque::make()?;
        let purpose = Purpose { topic: topic.to_owned(), client };
        let session = identity.session.as_deref().unwrap_or_default();
        lock(&self.tickets).give(&ticket, session, purpose, now_s).ok_or(AuthError::Busy)?;
        Ok(ticket)
    }

    /// Who brought `ticket` for `topic`; it is gone from then on.
    ///
    /// # Errors
    ///
    /// [`AuthError::Token`] where it is not good (any more), [`AuthError::SessionEnded`].
    pub fn redeem(
        &self,
        ticket: &str,
        topic: &str,
        client: Option<IpAddr>,
        now_s: u64,
    ) -> Result<Identity, AuthError> {
        let purpose = Purpose { topic: topic.to_owned(), client };
        let session = lock(&self.tickets).take(ticket, &purpose, now_s);
        let session = session.ok_or(AuthError::Token(TokenError::UnknownKey))?;
        if session.is_empty() {
            return Ok(Identity::local());
        }
        self.of_session(&session, now_s + self.settings.access_ttl_s)
    }
}
