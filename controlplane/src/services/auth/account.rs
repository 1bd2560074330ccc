//! Who has an account here? What is kept of each, and what is shown.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::role::Role;
use super::secret::Password;
use crate::store::Table;

/// Accounts in the store, by id.
pub(super) const ACCOUNTS: Table<Account> = Table::new("accounts");

/// Accounts that a box has.
pub(super) const ACCOUNTS_MAX: usize = 10_000;

/// Longest name, characters.
pub const USERNAME_CHARS_MAX: usize = 64;

/// An account, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Never given again.
    pub id: String,
    /// Unique in any case.
    pub username: String,
    /// What it may do.
    pub role: Role,
    /// A PHC string; a service account may have none and live by its tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// Nothing but the password may be changed before it was changed.
    #[serde(default)]
    pub must_change_password: bool,
    /// Whether it may log in.
    pub enabled: bool,
    /// Counts the changes, for ETag.
    pub version: u64,
    /// Seconds since 1970.
    pub created_s: u64,
    /// Seconds since 1970.
    pub changed_s: u64,
}

/// An account, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct AccountView {
    /// Never given again.
    pub user_id: String,
    /// Its name.
    pub username: String,
    /// What it may do.
    pub role: Role,
    /// Whether it may log in.
    pub enabled: bool,
    /// Whether it has a password at all.
    pub has_password: bool,
    /// Nothing but the password may be changed before it was changed.
    pub must_change_password: bool,
    /// Counts the changes.
    pub version: u64,
    /// Seconds since 1970.
    pub created_s: u64,
    /// Seconds since 1970.
    pub changed_s: u64,
}

impl Account {
    /// The operator at the Unix socket.
    #[must_use]
    pub fn local() -> Self {
        Self {
            id: "local".to_owned(),
            username: "local".to_owned(),
            role: Role::Admin,
            password: None,
            must_change_password: false,
            enabled: true,
            version: 0,
            created_s: 0,
            changed_s: 0,
        }
    }

    /// Without its secrets.
    #[must_use]
    pub fn view(&self) -> AccountView {
        AccountView {
            user_id: self.id.clone(),
            username: self.username.clone(),
            role: self.role,
            enabled: self.enabled,
            has_password: self.password.is_some(),
            must_change_password: self.must_change_password,
            version: self.version,
            created_s: self.created_s,
            changed_s: self.changed_s,
        }
    }
}

/// What an account is made of.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAccount {
    /// 1 to [`USERNAME_CHARS_MAX`] letters, digits, `.`, `_`, `-`, `@`.
    pub username: String,
    /// What it may do.
    pub role: Role,
    /// Left out: the box makes one and shows it once. Of services: they have none.
    #[serde(default)]
    pub password: Option<Password>,
}

/// What is to be changed; what is left out stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AccountChange {
    /// What it may do from now on.
    #[serde(default)]
    pub role: Option<Role>,
    /// Whether it may log in.
    #[serde(default)]
    pub enabled: Option<bool>,
    /// A password that must be changed at the next login.
    #[serde(default)]
    pub password: Option<Password>,
    /// The same, made by the box and shown once.
    #[serde(default)]
    pub reset_password: bool,
}

/// Whether this is a name.
pub(super) fn is_username(name: &str) -> bool {
    let is_of_name = |c: char| c.is_alphanumeric() || "._-@".contains(c);
    !name.is_empty() && name.chars().count() <= USERNAME_CHARS_MAX && name.chars().all(is_of_name)
}

/// All accounts, in memory: they are asked for with every request.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    by_id: HashMap<String, Arc<Account>>,
    by_name: HashMap<String, String>,
}

impl Accounts {
    pub(super) fn put(&mut self, account: Account) -> Arc<Account> {
        let account = Arc::new(account);
        self.by_name.insert(account.username.to_lowercase(), account.id.clone());
        self.by_id.insert(account.id.clone(), Arc::clone(&account));
        account
    }

    pub(super) fn remove(&mut self, id: &str) {
        if let Some(account) = self.by_id.remove(id) {
            self.by_name.remove(&account.username.to_lowercase());
        }
    }

    pub(super) fn get(&self, id: &str) -> Option<&Arc<Account>> {
        self.by_id.get(id)
    }

    pub(super) fn named(&self, name: &str) -> Option<&Arc<Account>> {
        self.by_name.get(&name.to_lowercase()).and_then(|id| self.by_id.get(id))
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// In the order of their names.
    pub(super) fn all(&self) -> Vec<Arc<Account>> {
        let mut all: Vec<_> = self.by_id.values().cloned().collect();
        all.sort_by(|one, other| one.username.cmp(&other.username));
        all
    }

    /// Whether another admin than `id` may log in.
    pub(super) fn has_other_admin(&self, id: &str) -> bool {
        self.by_id.values().any(|account| account.id != id && account.role == Role::Admin && account.enabled)
    }
}
