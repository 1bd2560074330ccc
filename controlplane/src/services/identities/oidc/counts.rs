//! How many tokens were taken, and why were the others not?

use std::sync::atomic::{AtomicU64, Ordering};

/// What came of a token: `None` of [`super::OidcError::code`] is that it was taken.
const OUTCOMES: [&str; 12] = [
    "accepted",
    "no_keys",
    "too_long",
    "malformed",
    "algorithm",
    "unknown_key",
    "signature",
    "issuer",
    "audience",
    "expired",
    "not_yet",
    "claims",
];

/// Tokens by what came of them, and fetches of keys.
#[derive(Debug, Default)]
pub struct OidcCounts {
    tokens: [AtomicU64; OUTCOMES.len()],
    fetched: AtomicU64,
    failed: AtomicU64,
}

impl OidcCounts {
    pub(super) fn token(&self, refusal: Option<&'static str>) {
        let outcome = refusal.unwrap_or("accepted");
        let counters = OUTCOMES.iter().zip(&self.tokens).filter(|(name, _)| **name == outcome);
        counters.for_each(|(_, counter)| {
            counter.fetch_add(1, Ordering::Relaxed);
        });
    }

    pub(super) fn fetched(&self, is_done: bool) {
        let counter = if is_done { &self.fetched } else { &self.failed };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Tokens by what came of them.
    #[must_use]
    pub fn tokens(&self) -> Vec<(&'static str, u64)> {
        let counters = OUTCOMES.into_iter().zip(&self.tokens);
        counters.map(|(name, counter)| (name, counter.load(Ordering::Relaxed))).collect()
    }

    /// Fetches of keys by what came of them.
    #[must_use]
    pub fn fetches(&self) -> [(&'static str, u64); 2] {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        [("done", of(&self.fetched)), ("failed", of(&self.failed))]
    }
}
