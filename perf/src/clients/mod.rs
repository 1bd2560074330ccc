//! Programs that call the API: many connections, each asking at its own times whatever the others wait for.
//!
//! Runs as a process of its own in the device's namespace (`jarvis-perf clients`) and prints its [`Seen`] as JSON.

mod fresh;
mod reader;
mod storm;
mod subscriber;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hdrhistogram::Histogram;
use hyper::header::HeaderValue;
use tokio::task::JoinSet;

/// What the clients do.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Work {
    /// Where the API listens.
    pub(crate) address: SocketAddr,
    /// `access_token`, as it goes into the header.
    pub(crate) token: String,
    /// Tokens that the box has not seen: what the first answer to each takes is measured before all else.
    pub(crate) fresh_tokens: Vec<String>,
    /// Connections that read.
    pub(crate) readers: usize,
    /// Requests a second, of all readers together.
    pub(crate) rate: f64,
    /// What is read, in turn.
    pub(crate) paths: Vec<String>,
    /// Connections that log in, each as often as it can.
    pub(crate) logins: usize,
    /// Whose account.
    pub(crate) username: String,
    pub(crate) password: String,
    /// Connections that wait for events which do not come.
    pub(crate) subscribers: usize,
    /// Of as many accounts as it takes: each may listen so often.
    pub(crate) subscriber_tokens: Vec<String>,
    /// How long, seconds.
    pub(crate) seconds: f64,
}

/// What they saw.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Seen {
    /// Answers to readers, from the time at which the request was due to the end of the answer.
    pub(crate) reads: Latency,
    /// Answers to readers that were no 200, by status; 0 stands for a connection that broke.
    pub(crate) refused: Vec<(u16, u64)>,
    /// Logins that succeeded.
    pub(crate) logins: Latency,
    /// Logins that did not, by status.
    pub(crate) logins_refused: Vec<(u16, u64)>,
    /// The first answer to a token and the second, microseconds.
    pub(crate) fresh_us: Vec<(u64, u64)>,
    /// Subscribers that were there at the end.
    pub(crate) subscribers: usize,
    /// Body bytes read.
    pub(crate) bytes: u64,
}

/// Percentiles, microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Latency {
    pub(crate) count: u64,
    pub(crate) p50_us: u64,
    pub(crate) p95_us: u64,
    pub(crate) p99_us: u64,
    pub(crate) max_us: u64,
}

/// Answers of one kind, counted where they come in.
#[derive(Debug)]
pub(crate) struct Answers {
    us: Histogram<u64>,
    refused: std::collections::BTreeMap<u16, u64>,
    bytes: u64,
}

impl Answers {
    fn new() -> Self {
        // A minute is longer than any call may take.
        let us = Histogram::new_with_bounds(1, 60_000_000, 3).expect("the bounds are valid");
        Self { us, refused: std::collections::BTreeMap::new(), bytes: 0 }
    }

    fn add(&mut self, status: u16, waited: Duration, bytes: usize) {
        self.bytes += bytes as u64;
        if (200..300).contains(&status) {
            self.us.saturating_record((waited.as_micros() as u64).max(1));
        } else {
            *self.refused.entry(status).or_default() += 1;
        }
    }

    fn merge(&mut self, other: Self) {
        // The bounds are the same.
        let _ = self.us.add(other.us);
        for (status, count) in other.refused {
            *self.refused.entry(status).or_default() += count;
        }
        self.bytes += other.bytes;
    }

    fn latency(&self) -> Latency {
        let at = |share| self.us.value_at_quantile(share);
        let count = self.us.len();
        Latency { count, p50_us: at(0.5), p95_us: at(0.95), p99_us: at(0.99), max_us: self.us.max() }
    }

    fn refused(&self) -> Vec<(u16, u64)> {
        self.refused.iter().map(|(status, count)| (*status, *count)).collect()
    }
}

/// Does the work.
///
/// # Errors
///
/// A sentence: no runtime, a token that is no header, nobody at the address.
pub(crate) fn run(work: Work) -> Result<Seen, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("no runtime: {error}"))?;
    runtime.block_on(all(Arc::new(work)))
}

async fn all(work: Arc<Work>) -> Result<Seen, String> {
    let authorization = HeaderValue::from_str(&format!("Bearer {}", work.token))
        .map_err(|error| format!("the token is no header: {error}"))?;
    let fresh_us = fresh::measure(&work).await?;
    let subscribed = subscriber::subscribe(&work).await?;
    let readers = reader::connect(&work, &authorization).await?;
    let begin = tokio::time::Instant::now() + Duration::from_millis(100);
    let end = begin + Duration::from_secs_f64(work.seconds);
    let mut reading = JoinSet::new();
    for reader in readers {
        reading.spawn(reader.read(Arc::clone(&work), begin, end));
    }
    let mut storming = JoinSet::new();
    for _ in 0..work.logins {
        storming.spawn(storm::log_in(Arc::clone(&work), begin, end));
    }
    let (reads, logins) = (gather(reading).await, gather(storming).await);
    Ok(Seen {
        reads: reads.latency(),
        refused: reads.refused(),
        logins: logins.latency(),
        logins_refused: logins.refused(),
        fresh_us,
        subscribers: subscribed.alive(),
        bytes: reads.bytes,
    })
}

async fn gather(mut tasks: JoinSet<Answers>) -> Answers {
    let mut all = Answers::new();
    while let Some(one) = tasks.join_next().await {
        if let Ok(answers) = one {
            all.merge(answers);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_add_up() {
        let (mut one, mut other) = (Answers::new(), Answers::new());
        one.add(200, Duration::from_micros(100), 10);
        other.add(200, Duration::from_micros(300), 20);
        other.add(503, Duration::from_micros(1), 0);
        one.merge(other);
        assert_eq!((one.latency().count, one.latency().max_us, one.bytes), (2, 300, 30));
        assert_eq!(one.refused(), [(503, 1)]);
    }
}
