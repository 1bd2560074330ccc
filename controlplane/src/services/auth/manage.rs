//! Who has an account?

use std::sync::Arc;

use super::account::{ACCOUNTS, ACCOUNTS_MAX, Account, AccountChange, AccountView, NewAccount, is_username};
use super::role::Role;
use super::secret::{Password, name};
use super::session::{SESSIONS, SessionView};
use super::{Auth, AuthError, FirstAdmin, password};

/// An account that was made, and the password that the box made for it.
#[derive(Debug)]
pub struct Made {
    /// The account.
    pub account: AccountView,
    /// Shown this once; `None` where the caller brought one, or the account has none.
    pub secret: Option<Password>,
}

impl Auth {
    /// Makes an admin where there is no account at all.
    ///
    /// # Errors
    ///
    /// [`AuthError::Store`].
    pub fn first_admin(&self, now_s: u64) -> Result<Option<FirstAdmin>, AuthError> {
        if self.read().accounts.len() > 0 {
            return Ok(None);
        }
        let secret = password::make()?;
        let account = Account {
            id: name("u-")?,
            username: "admin".to_owned(),
            role: Role::Admin,
            password: Some(password::hash(&secret)?),
            must_change_password: true,
            enabled: true,
            version: 0,
            created_s: now_s,
            changed_s: now_s,
        };
        let account = self.keep_account(account, None, now_s)?;
        Ok(Some(FirstAdmin { username: account.username.clone(), secret }))
    }

    /// All accounts, in the order of their names.
    #[must_use]
    pub fn accounts(&self) -> Vec<AccountView> {
        self.read().accounts.all().iter().map(|account| account.view()).collect()
    }

    /// The account of this name.
    #[must_use]
    pub fn named(&self, username: &str) -> Option<AccountView> {
        self.read().accounts.named(username).map(|account| account.view())
    }

    /// A session and whose it is.
    #[must_use]
    pub fn session_view(&self, id: &str) -> Option<SessionView> {
        self.read().sessions.get(id).map(|session| session.view())
    }

    /// One account.
    ///
    /// # Errors
    ///
    /// [`AuthError::Unknown`].
    pub fn account_view(&self, id: &str) -> Result<AccountView, AuthError> {
        self.account(id).map(|account| account.view())
    }

    /// Makes an account.
    ///
    /// # Errors
    ///
    /// [`AuthError::Username`], [`AuthError::NameTaken`], [`AuthError::Password`], [`AuthError::Full`],
    /// [`AuthError::Store`], [`AuthError::Busy`].
    pub async fn make_account(self: &Arc<Self>, new: NewAccount, now_s: u64) -> Result<Made, AuthError> {
        let NewAccount { username, role, password } = new;
        if !is_username(&username) {
            return Err(AuthError::Username(username));
        }
        let secret = match &password {
            Some(password) => {
                password::judge(&username, password)?;
                None
            }
            None if role == Role::Service => None,
            None => Some(password::make()?),
        };
        let must_change_password = secret.is_some();
        let hash = match password.or_else(|| secret.clone()) {
            Some(password) => Some(self.hashing.run(move || password::hash(&password)).await??),
            None => None,
        };
        let me = Arc::clone(self);
        let account = self
            .changing
            .run(move || {
                {
                    let state = me.read();
                    if state.accounts.named(&username).is_some() {
                        return Err(AuthError::NameTaken(username));
                    }
                    if state.accounts.len() >= ACCOUNTS_MAX {
                        return Err(AuthError::Full("account"));
                    }
                }
                let account = Account {
                    id: name("u-")?,
                    username,
                    role,
                    password: hash,
                    must_change_password,
                    enabled: true,
                    version: 0,
                    created_s: now_s,
                    changed_s: now_s,
                };
                me.keep_account(account, None, now_s)
            })
            .await??;
        Ok(Made { account: account.view(), secret })
    }

    /// Changes an account, which ends its sessions. `version` is that which the caller has read.
    ///
    /// # Errors
    ///
    /// [`AuthError::Unknown`], [`AuthError::Stale`], [`AuthError::LastAdmin`], [`AuthError::Password`],
    /// [`AuthError::Store`], [`AuthError::Busy`].
    pub async fn change_account(
        self: &Arc<Self>,
        id: &str,
        change: AccountChange,
        version: Option<u64>,
        now_s: u64,
    ) -> Result<Made, AuthError> {
        let AccountChange { role, enabled, password, reset_password } = change;
        let secret = if reset_password { Some(password::make()?) } else { None };
        let hash = match password.or_else(|| secret.clone()) {
            Some(password) => {
                password::judge(&self.account(id)?.username, &password)?;
                Some(self.hashing.run(move || password::hash(&password)).await??)
            }
            None => None,
        };
        let (me, id) = (Arc::clone(self), id.to_owned());
        let account = self
            .changing
            .run(move || {
                let mut account = me.account(&id)?;
                fresh(&account, version)?;
                account.role = role.unwrap_or(account.role);
                account.enabled = enabled.unwrap_or(account.enabled);
                if let Some(hash) = hash {
                    account.password = Some(hash);
                    account.must_change_password = true;
                }
                let stays_admin = account.role == Role::Admin && account.enabled;
                if !stays_admin && !me.read().accounts.has_other_admin(&id) {
                    return Err(AuthError::LastAdmin);
                }
                me.keep_account(account, None, now_s)
            })
            .await??;
        Ok(Made { account: account.view(), secret })
    }

    /// Removes an account and its sessions.
    ///
    /// # Errors
    ///
    /// [`AuthError::Unknown`], [`AuthError::Stale`], [`AuthError::LastAdmin`], [`AuthError::Store`],
    /// [`AuthError::Busy`].
    pub async fn remove_account(
        self: &Arc<Self>,
        id: &str,
        version: Option<u64>,
    ) -> Result<AccountView, AuthError> {
        let (me, id) = (Arc::clone(self), id.to_owned());
        self.changing
            .run(move || {
                let account = me.account(&id)?;
                fresh(&account, version)?;
                if !me.read().accounts.has_other_admin(&id) {
                    return Err(AuthError::LastAdmin);
                }
                let sessions = me.read().sessions.of(&id);
                me.store.write(|write| {
                    for session in &sessions {
                        write.remove(&SESSIONS, &session.id)?;
                    }
                    write.remove(&ACCOUNTS, &id)
                })?;
                let mut state = me.change();
                for session in &sessions {
                    state.sessions.remove(&session.id);
                }
                state.accounts.remove(&id);
                Ok(account.view())
            })
            .await?
    }

    /// How many accounts and sessions there are.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        let state = self.read();
        (state.accounts.len(), state.sessions.all().count())
    }

    /// Sessions of one account, or of all; oldest first.
    #[must_use]
    pub fn sessions(&self, account: Option<&str>) -> Vec<SessionView> {
        let state = self.read();
        let mut sessions: Vec<SessionView> = match account {
            Some(account) => state.sessions.of(account).iter().map(|session| session.view()).collect(),
            None => state.sessions.all().map(|session| session.view()).collect(),
        };
        sessions.sort_by(|one, other| {
            (one.created_s, &one.session_id).cmp(&(other.created_s, &other.session_id))
        });
        sessions
    }

    /// Ends a session, of `account` where one is given: another's is as good as none.
    ///
    /// # Errors
    ///
    /// [`AuthError::Unknown`], [`AuthError::Store`], [`AuthError::Busy`].
    pub async fn end(self: &Arc<Self>, id: &str, account: Option<&str>) -> Result<(), AuthError> {
        let unknown = || AuthError::Unknown { what: "session", id: id.to_owned() };
        let is_theirs = {
            let state = self.read();
            let session = state.sessions.get(id).ok_or_else(unknown)?;
            account.is_none_or(|account| session.account == account)
        };
        if is_theirs && self.end_session(id).await? { Ok(()) } else { Err(unknown()) }
    }
}

fn fresh(account: &Account, version: Option<u64>) -> Result<(), AuthError> {
    match version {
        Some(version) if version != account.version => Err(AuthError::Stale { found: account.version }),
        _ => Ok(()),
    }
}
