//! Who listens, as whom, and until when?
//!
//! A listener waits for its own bell. The pump rings none of them: it marks topics, and one task of the control thread rings
//! those that listen to one, so that ten thousand listeners cost the pump what one does.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use super::topic::Topics;
use crate::services::auth::Identity;

/// Why a listener must go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The token has expired and no other came.
    TokenExpired,
    /// The session has ended: a logout, a changed account.
    SessionEnded,
    /// The daemon stops.
    Stopping,
}

impl End {
    /// Its name in messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TokenExpired => "token_expired",
            Self::SessionEnded => "session_ended",
            Self::Stopping => "stopping",
        }
    }
}

/// One who listens.
#[derive(Debug)]
pub struct Subscriber {
    pub(super) number: u64,
    topics: AtomicU8,
    bell: Notify,
    /// 0 for none, else of [`End`] and one more.
    end: AtomicU8,
    warned: AtomicBool,
    expires_s: AtomicU64,
    identity: Mutex<Identity>,
}

impl Subscriber {
    pub(super) fn new(number: u64, identity: Identity) -> Self {
        Self {
            number,
            topics: AtomicU8::new(0),
            bell: Notify::new(),
            end: AtomicU8::new(0),
            warned: AtomicBool::new(false),
            expires_s: AtomicU64::new(identity.expires_s),
            identity: Mutex::new(identity),
        }
    }

    /// What it listens to.
    #[must_use]
    pub fn topics(&self) -> Topics {
        Topics(self.topics.load(Ordering::Relaxed))
    }

    pub(super) fn listen(&self, topics: Topics) {
        self.topics.store(topics.0, Ordering::Relaxed);
    }

    /// As whom.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.identity.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// When the token ends, seconds since 1970.
    #[must_use]
    pub fn expires_s(&self) -> u64 {
        self.expires_s.load(Ordering::Relaxed)
    }

    /// Another token of the same account; `false`: of another one, and nothing changes.
    pub fn renew(&self, identity: Identity) -> bool {
        let mut held = self.identity.lock().unwrap_or_else(PoisonError::into_inner);
        if held.account.id != identity.account.id {
            return false;
        }
        self.expires_s.store(identity.expires_s, Ordering::Relaxed);
        self.warned.store(false, Ordering::Relaxed);
        *held = identity;
        true
    }

    /// Why it must go, if it must.
    #[must_use]
    pub fn end(&self) -> Option<End> {
        match self.end.load(Ordering::Relaxed) {
            0 => None,
            1 => Some(End::TokenExpired),
            2 => Some(End::SessionEnded),
            _ => Some(End::Stopping),
        }
    }

    /// Tells it to go.
    pub fn stop(&self, end: End) {
        let number = match end {
            End::TokenExpired => 1,
            End::SessionEnded => 2,
            End::Stopping => 3,
        };
        self.end.store(number, Ordering::Relaxed);
        self.ring();
    }

    /// Whether its token ends within `before_s`; true once for each token.
    pub fn is_to_be_warned(&self, now_s: u64, before_s: u64) -> bool {
        self.expires_s().saturating_sub(now_s) <= before_s && !self.warned.swap(true, Ordering::Relaxed)
    }

    /// Whether [`Self::is_to_be_warned`] would be true.
    #[must_use]
    pub fn is_due_for_warning(&self, now_s: u64, before_s: u64) -> bool {
        self.expires_s().saturating_sub(now_s) <= before_s && !self.warned.load(Ordering::Relaxed)
    }

    /// Wakes it, or lets it not sleep the next time.
    pub fn ring(&self) {
        self.bell.notify_one();
    }

    /// Waits until there is something to look at.
    pub async fn rung(&self) {
        self.bell.notified().await;
    }
}
