//! Who is logged in, and since when?
//!
//! Every token belongs to a session, and is good only while that lives: a logout, an ended account or a stolen refresh
//! token ends the session in the store, so that it stays ended after a restart. A refresh token is good once; one that
//! comes again was stolen, or its successor was, and the session ends.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::secret::Digest;
use crate::store::Table;

/// Sessions in the store, by id.
pub(super) const SESSIONS: Table<Session> = Table::new("sessions");

/// Sessions of one account; one more ends the oldest.
pub(super) const SESSIONS_PER_ACCOUNT_MAX: usize = 64;

/// Refresh tokens of the past that are known again.
const PAST_MAX: usize = 32;

/// What is remembered of a client's name for itself, characters.
const USER_AGENT_CHARS_MAX: usize = 200;

/// What the access tokens of a session look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TokenForm {
    /// A signed JWT that others can verify too.
    #[default]
    Jwt,
    /// An opaque handle, where a header of 10 KB does not fit.
    Reference,
}

/// A session, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Session {
    pub id: String,
    pub account: String,
    pub form: TokenForm,
    /// Of a token for a program: what it is for. Such a session has no refresh token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purpose: Option<String>,
    pub created_s: u64,
    pub used_s: u64,
    pub expires_s: u64,
    pub client: String,
    pub user_agent: String,
    /// The refresh token that is good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh: Option<Digest>,
    /// Refresh tokens that were good, youngest last.
    #[serde(default)]
    pub past: Vec<Digest>,
    /// The reference token that is good, and until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<(Digest, u64)>,
}

/// A session, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SessionView {
    /// Its name, also in tokens as `sid`.
    pub session_id: String,
    /// The account.
    pub user_id: String,
    /// Of a token for a program: what it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub purpose: Option<String>,
    /// Seconds since 1970.
    pub created_s: u64,
    /// When a token was last asked for, seconds since 1970.
    pub used_s: u64,
    /// Seconds since 1970.
    pub expires_s: u64,
    /// Where it was begun from.
    pub client: String,
    /// What the client called itself.
    pub user_agent: String,
}

impl Session {
    pub(super) fn view(&self) -> SessionView {
        SessionView {
            session_id: self.id.clone(),
            user_id: self.account.clone(),
            purpose: self.purpose.clone(),
            created_s: self.created_s,
            used_s: self.used_s,
            expires_s: self.expires_s,
            client: self.client.clone(),
            user_agent: self.user_agent.clone(),
        }
    }

    /// Puts `next` in the place of the refresh token that was good.
    pub(super) fn rotate(&mut self, next: Digest) {
        if let Some(past) = self.refresh.replace(next) {
            if self.past.len() >= PAST_MAX {
                self.past.remove(0);
            }
            self.past.push(past);
        }
    }
}

/// A client's name for itself, as it is kept: printable and short.
pub(super) fn short_user_agent(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(USER_AGENT_CHARS_MAX).collect()
}

/// All sessions that live, in memory: they are asked for with every request.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    by_id: HashMap<String, Arc<Session>>,
    by_reference: HashMap<Digest, String>,
    /// Oldest first.
    by_account: HashMap<String, Vec<String>>,
}

impl Sessions {
    pub(super) fn put(&mut self, session: Session) {
        let of_account = self.by_account.entry(session.account.clone()).or_default();
        if !of_account.contains(&session.id) {
            of_account.push(session.id.clone());
        }
        if let Some((digest, _)) = session.reference {
            self.by_reference.insert(digest, session.id.clone());
        }
        let before = self.by_id.insert(session.id.clone(), Arc::new(session));
        self.forget_reference(before.as_deref());
    }

    pub(super) fn remove(&mut self, id: &str) {
        let Some(session) = self.by_id.remove(id) else { return };
        if let Some(of_account) = self.by_account.get_mut(&session.account) {
            of_account.retain(|other| other != id);
            if of_account.is_empty() {
                self.by_account.remove(&session.account);
            }
        }
        self.forget_reference(Some(&*session));
    }

    /// Forgets the reference token of what a session was, unless the session still has it.
    fn forget_reference(&mut self, was: Option<&Session>) {
        let Some(was) = was else { return };
        let Some((digest, _)) = was.reference else { return };
        let still = self.by_id.get(&was.id).and_then(|session| session.reference);
        if still.is_none_or(|(now, _)| now != digest) {
            self.by_reference.remove(&digest);
        }
    }

    pub(super) fn get(&self, id: &str) -> Option<&Arc<Session>> {
        self.by_id.get(id)
    }

    pub(super) fn by_reference(&self, digest: &Digest) -> Option<&Arc<Session>> {
        self.by_reference.get(digest).and_then(|id| self.by_id.get(id))
    }

    /// Those of one account, oldest first.
    pub(super) fn of(&self, account: &str) -> Vec<Arc<Session>> {
        let ids = self.by_account.get(account).into_iter().flatten();
        ids.filter_map(|id| self.by_id.get(id)).cloned().collect()
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Session>> {
        self.by_id.values()
    }

    /// Those that have expired.
    pub(super) fn expired(&self, now_s: u64) -> Vec<String> {
        let expired = self.by_id.values().filter(|session| session.expires_s <= now_s);
        expired.map(|session| session.id.clone()).collect()
    }
}
