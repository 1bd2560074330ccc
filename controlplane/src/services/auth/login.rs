//! Who becomes a session, and how does it go on?

use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::account::{ACCOUNTS, Account, AccountView};
use super::secret::{Digest, Opaque, Password, name};
use super::session::{SESSIONS, SESSIONS_PER_ACCOUNT_MAX, Session, TokenForm, short_user_agent};
use super::token::{Claims, ISSUER, sign};
use super::{Auth, AuthError, Identity, lock, password};

/// Who asks, as far as it is known.
#[derive(Debug, Clone)]
pub struct Client {
    /// Its address; the Unix socket's clients are this machine.
    pub address: IpAddr,
    /// What it calls itself.
    pub user_agent: String,
}

/// What a client brings to log in.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// The account's name.
    pub username: String,
    /// Its password.
    pub password: Password,
    /// What access tokens should look like.
    #[serde(default)]
    pub token_form: Option<TokenForm>,
}

/// What a session goes on with (RFC 6749 5.1).
#[derive(Serialize, ToSchema)]
pub struct Tokens {
    /// For the Authorization header.
    pub access_token: String,
    /// `Bearer`.
    pub token_type: &'static str,
    /// Seconds that the access token is good.
    pub expires_in: u64,
    /// For the next tokens, once; programs have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<String>,
    /// Seconds that the refresh token is good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_expires_in: Option<u64>,
    /// The session, by which it can be ended.
    pub session_id: String,
    /// Whose it is.
    pub user: AccountView,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tokens({})", self.session_id)
    }
}

/// Begins refresh tokens, so that a secret scanner knows them.
const REFRESH_PREFIX: &str = "jrf_";

/// Begins reference tokens.
pub(super) const REFERENCE_PREFIX: &str = "jrt_";

/// Longest purpose of a program's token, characters.
const PURPOSE_CHARS_MAX: usize = 200;

impl Auth {
    /// Begins a session for who knows the password.
    ///
    /// # Errors
    ///
    /// [`AuthError::Credentials`], after a while that does not tell which of the two was wrong;
    /// [`AuthError::Throttled`]; [`AuthError::Busy`]; [`AuthError::Store`].
    pub async fn login(
        self: &Arc<Self>,
        login: Login,
        client: Client,
        now_s: u64,
    ) -> Result<Tokens, AuthError> {
        let Login { username, password, token_form } = login;
        let account = self.owner(username, password, client.address, now_s).await?;
        let form = token_form.unwrap_or(self.settings.token_form);
        let session = Session {
            id: name("s-")?,
            account: account.id.clone(),
            form,
            purpose: None,
            created_s: now_s,
            used_s: now_s,
            expires_s: now_s + self.settings.refresh_ttl_s,
            client: client.address.to_string(),
            user_agent: short_user_agent(&client.user_agent),
            refresh: None,
            past: Vec::new(),
            reference: None,
        };
        self.go_on(session, account, None, now_s).await
    }

    /// The session that a refresh token names, whether or not the token is good.
    #[must_use]
    pub fn session_named(refresh_token: &str) -> Option<&str> {
        refresh_token.strip_prefix(REFRESH_PREFIX)?.split_once('.').map(|(id, _secret)| id)
    }

    /// The account of who knows its password, without a session of the API. Whether the password must be changed first is told.
    ///
    /// # Errors
    ///
    /// As for a login.
    pub async fn known_by_password(
        self: &Arc<Self>,
        login: Login,
        address: IpAddr,
        now_s: u64,
    ) -> Result<AccountView, AuthError> {
        self.owner(login.username, login.password, address, now_s).await.map(|account| account.view())
    }

    /// Puts new tokens in the place of a refresh token.
    ///
    /// # Errors
    ///
    /// [`AuthError::SessionEnded`]; [`AuthError::Reused`], which ends the session; [`AuthError::Busy`], and the refresh
    /// token stays good; [`AuthError::Store`], likewise.
    pub async fn refresh(self: &Arc<Self>, refresh_token: &str, now_s: u64) -> Result<Tokens, AuthError> {
        let ended = || AuthError::SessionEnded;
        let text = refresh_token.strip_prefix(REFRESH_PREFIX).ok_or_else(ended)?;
        let (id, secret) = text.split_once('.').ok_or_else(ended)?;
        let shown = Digest::of(secret.as_bytes());
        let (session, account) = {
            let state = self.read();
            let session = state.sessions.get(id).cloned().ok_or_else(ended)?;
            let account = state.accounts.get(&session.account).cloned().ok_or_else(ended)?;
            (session, account)
        };
        if session.past.contains(&shown) {
            self.end_session(id).await?;
            return Err(AuthError::Reused);
        }
        if session.refresh != Some(shown) || session.expires_s <= now_s || !account.enabled {
            return Err(AuthError::SessionEnded);
        }
        let mut session = Session::clone(&session);
        session.used_s = now_s;
        session.expires_s = now_s + self.settings.refresh_ttl_s;
        self.go_on(session, account, Some(shown), now_s).await
    }

    /// A token for a program, good for `ttl_s` seconds, without a refresh token.
    ///
    /// # Errors
    ///
    /// [`AuthError::Unknown`], [`AuthError::Invalid`] for a time or a purpose out of bounds, and as for a login.
    pub async fn token_for_program(
        self: &Arc<Self>,
        account: &str,
        purpose: &str,
        ttl_s: u64,
        form: Option<TokenForm>,
        now_s: u64,
    ) -> Result<Tokens, AuthError> {
        let max = self.settings.program_ttl_s_max;
        if !(1..=max).contains(&ttl_s) {
            return Err(AuthError::Invalid(format!("ttl_s is {ttl_s}, must be 1 to {max}.")));
        }
        if purpose.is_empty() || purpose.chars().count() > PURPOSE_CHARS_MAX {
            return Err(AuthError::Invalid(format!(
                "purpose must have 1 to {PURPOSE_CHARS_MAX} characters."
            )));
        }
        let unknown = || AuthError::Unknown { what: "account", id: account.to_owned() };
        let account = self.read().accounts.get(account).cloned().ok_or_else(unknown)?;
        let session = Session {
            id: name("s-")?,
            account: account.id.clone(),
            form: form.unwrap_or(self.settings.token_form),
            purpose: Some(purpose.to_owned()),
            created_s: now_s,
            used_s: now_s,
            expires_s: now_s + ttl_s,
            client: String::new(),
            user_agent: String::new(),
            refresh: None,
            past: Vec::new(),
            reference: None,
        };
        self.go_on(session, account, None, now_s).await
    }

    /// Ends the session of `identity`.
    ///
    /// # Errors
    ///
    /// [`AuthError::Store`]: then it has not ended. [`AuthError::Busy`], likewise.
    pub async fn logout(self: &Arc<Self>, identity: &Identity) -> Result<(), AuthError> {
        match &identity.session {
            Some(session) => self.end_session(session).await.map(|_| ()),
            None => Ok(()),
        }
    }

    /// Changes a password, which ends all other sessions of the account.
    ///
    /// # Errors
    ///
    /// As for a login, and [`AuthError::Password`].
    pub async fn change_password(
        self: &Arc<Self>,
        identity: &Identity,
        (old, new): (Password, Password),
        client: &Client,
        now_s: u64,
    ) -> Result<(), AuthError> {
        let (username, keep) = (identity.account.username.clone(), identity.session.clone());
        self.put_password(
            Login { username, password: old, token_form: None },
            new,
            keep,
            client.address,
            now_s,
        )
        .await
        .map(|_| ())
    }

    /// Changes the password of who knows the one before, which ends all sessions of the account; the account.
    ///
    /// # Errors
    ///
    /// As for a login, and [`AuthError::Password`].
    pub async fn renew_password(
        self: &Arc<Self>,
        login: Login,
        new: Password,
        address: IpAddr,
        now_s: u64,
    ) -> Result<AccountView, AuthError> {
        self.put_password(login, new, None, address, now_s).await.map(|account| account.view())
    }

    /// Changes a password, and ends the account's sessions but for `keep`.
    async fn put_password(
        self: &Arc<Self>,
        login: Login,
        new: Password,
        keep: Option<String>,
        address: IpAddr,
        now_s: u64,
    ) -> Result<Arc<Account>, AuthError> {
        password::judge(&login.username, &new)?;
        if login.password == new {
            return Err(AuthError::Invalid("The new password is the old one.".to_owned()));
        }
        let id = self.owner(login.username, login.password, address, now_s).await?.id.clone();
        let hash = self.hashing.run(move || password::hash(&new)).await??;
        let me = Arc::clone(self);
        self.changing
            .run(move || {
                let mut changed = me.account(&id)?;
                changed.password = Some(hash);
                changed.must_change_password = false;
                me.keep_account(changed, keep.as_deref(), now_s)
            })
            .await?
    }

    /// The account that `username` and `password` are of.
    async fn owner(
        self: &Arc<Self>,
        username: String,
        password: Password,
        address: IpAddr,
        now_s: u64,
    ) -> Result<Arc<Account>, AuthError> {
        let retry_after_s = lock(&self.throttle).wait_s(address, &username, now_s);
        if retry_after_s > 0 {
            return Err(AuthError::Throttled { retry_after_s });
        }
        let account = self.read().accounts.named(&username).cloned();
        let kept =
            account.as_ref().filter(|account| account.enabled).and_then(|account| account.password.clone());
        let is_right = self.hashing.run(move || password::verify(kept.as_deref(), &password)).await?;
        let mut throttle = lock(&self.throttle);
        match account {
            Some(account) if is_right => {
                throttle.succeeded(address, &username);
                Ok(account)
            }
            _ => {
                throttle.failed(address, &username, now_s);
                Err(AuthError::Credentials)
            }
        }
    }

    /// Signs what the session goes on with, keeps the session, and only then hands it out. `shown` is the refresh token
    /// that must still be the good one.
    async fn go_on(
        self: &Arc<Self>,
        mut session: Session,
        account: Arc<Account>,
        shown: Option<Digest>,
        now_s: u64,
    ) -> Result<Tokens, AuthError> {
        let is_program = session.purpose.is_some();
        let ttl_s = session.expires_s - now_s;
        let access_ttl_s = if is_program { ttl_s } else { self.settings.access_ttl_s.min(ttl_s) };
        let refresh = if is_program { None } else { Some(Opaque::make()?) };
        let access_token = match session.form {
            TokenForm::Reference => {
                let reference = Opaque::make()?;
                let token = format!("{REFERENCE_PREFIX}{}", reference.text());
                session.reference = Some((Digest::of(token.as_bytes()), now_s + access_ttl_s));
                token
            }
            TokenForm::Jwt => {
                session.reference = None;
                let claims = Claims {
                    iss: ISSUER.to_owned(),
                    sub: account.id.clone(),
                    username: account.username.clone(),
                    role: account.role,
                    sid: session.id.clone(),
                    jti: name("t-")?,
                    iat: now_s,
                    exp: now_s + access_ttl_s,
                };
                let ring = self.ring();
                self.signing.run(move || sign(ring.signing(), &claims)).await?
            }
        };
        if let Some(refresh) = &refresh {
            session.rotate(refresh.digest());
        }
        let id = session.id.clone();
        let me = Arc::clone(self);
        self.changing.run(move || me.keep_session(session, shown, now_s)).await??;
        Ok(Tokens {
            access_token,
            token_type: "Bearer",
            expires_in: access_ttl_s,
            refresh_token: refresh.as_ref().map(|refresh| format!("{REFRESH_PREFIX}{id}.{}", refresh.text())),
            refresh_expires_in: refresh.map(|_| ttl_s),
            session_id: id,
            user: account.view(),
        })
    }

    /// At the changing desk: nobody else changes sessions meanwhile.
    fn keep_session(&self, session: Session, shown: Option<Digest>, now_s: u64) -> Result<(), AuthError> {
        let (oldest, expired) = {
            let state = self.read();
            // While it was signed for, the account may have been ended, or the refresh token shown by another.
            let account = state.accounts.get(&session.account).ok_or(AuthError::SessionEnded)?;
            let now = state.sessions.get(&session.id);
            if !account.enabled || (shown.is_some() && now.is_none_or(|now| now.refresh != shown)) {
                return Err(AuthError::SessionEnded);
            }
            let of_account = state.sessions.of(&session.account);
            let is_one_more = now.is_none() && of_account.len() >= SESSIONS_PER_ACCOUNT_MAX;
            let oldest = of_account.first().filter(|_| is_one_more).map(|oldest| oldest.id.clone());
            (oldest, state.sessions.expired(now_s))
        };
        let gone: Vec<String> = expired.into_iter().chain(oldest).collect();
        self.store.write(|write| {
            for id in &gone {
                write.remove(&SESSIONS, id)?;
            }
            write.put(&SESSIONS, &session.id, &session)
        })?;
        let mut state = self.change();
        for id in &gone {
            state.sessions.remove(id);
        }
        state.sessions.put(session);
        Ok(())
    }

    /// At the changing desk: keeps an account, and ends its sessions but for `keep`.
    pub(super) fn keep_account(
        &self,
        mut account: Account,
        keep: Option<&str>,
        now_s: u64,
    ) -> Result<Arc<Account>, AuthError> {
        account.version += 1;
        account.changed_s = now_s;
        let sessions = self.read().sessions.of(&account.id);
        let ended: Vec<&str> =
            sessions.iter().map(|session| session.id.as_str()).filter(|id| Some(*id) != keep).collect();
        self.store.write(|write| {
            for id in &ended {
                write.remove(&SESSIONS, id)?;
            }
            write.put(&ACCOUNTS, &account.id, &account)
        })?;
        let mut state = self.change();
        for id in ended {
            state.sessions.remove(id);
        }
        Ok(state.accounts.put(account))
    }

    /// A copy of an account, to be changed.
    pub(super) fn account(&self, id: &str) -> Result<Account, AuthError> {
        let found = self.read().accounts.get(id).map(|account| Account::clone(account));
        found.ok_or_else(|| AuthError::Unknown { what: "account", id: id.to_owned() })
    }

    /// Ends a session, in the store too; `false`: there was none.
    pub(super) async fn end_session(self: &Arc<Self>, id: &str) -> Result<bool, AuthError> {
        let (me, id) = (Arc::clone(self), id.to_owned());
        self.changing
            .run(move || {
                let there = me.store.write(|write| write.remove(&SESSIONS, &id))?;
                me.change().sessions.remove(&id);
                Ok(there)
            })
            .await?
    }
}
