//! Where do a provider's keys come from? A file, or a URL that is asked now and then (`jwks_uri` of OpenID Connect Discovery 1.0).
//!
//! Keys that cannot be had leave those before in force; that is counted and spoken of.

use std::io;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use crate::outbound::Place;
use crate::services::identities::oidc::{KEYS_BYTES_MAX, KeySet, Oidc};
use crate::services::{RateLimited, Stoppable};
use crate::sources::listen::{WARN_EVERY, until_stopped};

/// How late the thread may notice that keys are wanted, or that it is to end.
const LOOK_UP_EVERY: Duration = Duration::from_millis(50);

/// Where a provider's keys are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeysAt {
    /// In a file.
    File(PathBuf),
    /// At a URL.
    Url(Place),
}

/// Fetches keys on a thread of its own, which inherits the caller's cores. Call it before the workers run.
///
/// # Errors
///
/// As the system says when it has no thread to give.
pub fn fetch_keys(oidc: Arc<Oidc>, at: KeysAt) -> io::Result<Stoppable> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Stoppable::start("jarvis-oidc", move |stopped| {
        let warning = RateLimited::new(WARN_EVERY);
        while matches!(stopped.recv_timeout(LOOK_UP_EVERY), Err(RecvTimeoutError::Timeout)) {
            if !oidc.wants_keys(Instant::now()) {
                continue;
            }
            let fetched = match &at {
                KeysAt::File(file) => read_keys(file),
                KeysAt::Url(place) => match runtime.block_on(ask_unless(place, &stopped)) {
                    Some(fetched) => fetched,
                    None => return,
                },
            };
            tell(&fetched, oidc.keys(), &warning);
            oidc.take_keys(fetched, Instant::now());
        }
    })
}

/// The keys in a file.
///
/// # Errors
///
/// A sentence on why there are none.
pub fn read_keys(file: &Path) -> Result<KeySet, String> {
    let name = file.display();
    let mut json = Vec::new();
    std::fs::File::open(file)
        .and_then(|opened| opened.take(KEYS_BYTES_MAX as u64 + 1).read_to_end(&mut json))
        .map_err(|error| format!("cannot read {name}: {error}"))?;
    KeySet::read(&json).map_err(|error| format!("{name} is of no use: {error}"))
}

/// `None`: the thread is to end before there is an answer.
async fn ask_unless(place: &Place, stopped: &Receiver<()>) -> Option<Result<KeySet, String>> {
    tokio::select! {
        fetched = ask(place) => Some(fetched),
        () = until_stopped(stopped) => None,
    }
}

async fn ask(place: &Place) -> Result<KeySet, String> {
    let json = place.get("application/jwk-set+json, application/json", KEYS_BYTES_MAX).await?;
    KeySet::read(&json).map_err(|error| format!("the answer is of no use: {error}"))
}

fn tell(fetched: &Result<KeySet, String>, before: usize, warning: &RateLimited) {
    match fetched {
        Ok(set) if before == 0 => tracing::info!(keys = set.len(), "keys of the OpenID provider are there"),
        Ok(set) => tracing::debug!(keys = set.len(), "keys of the OpenID provider were fetched again"),
        Err(why) => {
            if let Some(left_out) = warning.permit(Instant::now()) {
                tracing::warn!(why, left_out, keys = before, "keys of the OpenID provider could not be had");
            }
        }
    }
}
