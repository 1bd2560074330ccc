//! How often may one client ask?
//!
//! A token bucket (the generic cell rate algorithm of the governor crate) a client and class of call. A client is an
//! account where a token says so, else an address, of IPv6 the /64 that one host has. The table of clients has a
//! bound; clients beyond it share one bucket. The Unix socket's operator is not limited.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::http::Method;
use governor::clock::{Clock, DefaultClock};
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};

use super::problem::{Code, Problem};
use crate::services::auth::throttle::of_host;

/// Clients that have buckets of their own.
const CLIENTS_MAX: usize = 65_536;

/// Full buckets are dropped at most so often.
const TIDY_EVERY: Duration = Duration::from_secs(1);

/// How often a client may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// Reading calls a second; twice as many at once.
    pub read_per_s: NonZeroU32,
    /// Changing calls a second; twice as many at once.
    pub change_per_s: NonZeroU32,
    /// Logins and refreshes a second and address; four times as many at once.
    pub login_per_s: NonZeroU32,
}

const fn positive(number: u32) -> NonZeroU32 {
    match NonZeroU32::new(number) {
        Some(number) => number,
        None => NonZeroU32::MIN,
    }
}

impl Rates {
    /// What `RATE_LIMIT_PER_SECOND` asks for: so many reading calls, a fifth as many changes, logins as ever.
    #[must_use]
    pub const fn per_second(read_per_s: u32) -> Self {
        Self {
            read_per_s: positive(read_per_s),
            change_per_s: positive(read_per_s / 5),
            login_per_s: positive(5),
        }
    }
}

impl Default for Rates {
    fn default() -> Self {
        Self::per_second(100)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Who {
    Address(IpAddr),
    Account(String),
    Others,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Read,
    Change,
    Login,
}

type Limiter = RateLimiter<Who, DashMapStateStore<Who>, DefaultClock>;

/// The buckets.
pub(super) struct Buckets {
    read: Limiter,
    change: Limiter,
    login: Limiter,
    /// Before it is known who asks: what an address may ask at all, so that tokens that are none cost it something.
    address: Limiter,
    clock: DefaultClock,
    begun: Instant,
    tidied_ms: AtomicU64,
    /// Calls that were refused.
    pub(super) refused: AtomicU64,
}

/// Clients behind one address.
const CLIENTS_OF_ADDRESS: u32 = 10;

impl Buckets {
    pub(super) fn new(rates: Rates) -> Self {
        let limiter = |per_s: NonZeroU32, burst: u32| {
            let burst = NonZeroU32::new(burst).unwrap_or(per_s);
            RateLimiter::dashmap(Quota::per_second(per_s).allow_burst(burst))
        };
        let twice = |per_s: NonZeroU32| limiter(per_s, per_s.get().saturating_mul(2));
        let of_address = rates.read_per_s.saturating_mul(positive(CLIENTS_OF_ADDRESS));
        Self {
            read: twice(rates.read_per_s),
            change: twice(rates.change_per_s),
            login: limiter(rates.login_per_s, rates.login_per_s.get().saturating_mul(4)),
            address: twice(of_address),
            clock: DefaultClock::default(),
            begun: Instant::now(),
            tidied_ms: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// Before it is known who asks.
    pub(super) fn arrive(&self, peer: IpAddr, method: &Method, path: &str) -> Result<(), Problem> {
        let address = Who::Address(of_host(peer));
        self.take(&self.address, address.clone())?;
        if class_of(method, path) == Class::Login { self.take(&self.login, address) } else { Ok(()) }
    }

    /// When it is known who asks: `account`, or only `peer`.
    pub(super) fn ask(
        &self,
        peer: IpAddr,
        account: Option<&str>,
        method: &Method,
        path: &str,
    ) -> Result<(), Problem> {
        let who = match account {
            Some(id) => Who::Account(id.to_owned()),
            None => Who::Address(of_host(peer)),
        };
        match class_of(method, path) {
            Class::Read => self.take(&self.read, who),
            Class::Change => self.take(&self.change, who),
            Class::Login => Ok(()),
        }
    }

    fn take(&self, limiter: &Limiter, who: Who) -> Result<(), Problem> {
        let who = if limiter.len() < CLIENTS_MAX {
            who
        } else {
            self.tidy(limiter);
            if limiter.len() < CLIENTS_MAX { who } else { Who::Others }
        };
        limiter.check_key(&who).map_err(|early| {
            self.refused.fetch_add(1, Ordering::Relaxed);
            let wait = early.wait_time_from(self.clock.now());
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            Problem::new(Code::RateLimited, format!("You ask too often; ask again in {seconds} s."))
                .retry_after(seconds)
        })
    }

    /// Forgets clients whose buckets are full again.
    fn tidy(&self, limiter: &Limiter) {
        let now_ms = self.begun.elapsed().as_millis() as u64;
        let last_ms = self.tidied_ms.load(Ordering::Relaxed);
        if now_ms.saturating_sub(last_ms) >= TIDY_EVERY.as_millis() as u64
            && self.tidied_ms.compare_exchange(last_ms, now_ms, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            limiter.retain_recent();
        }
    }
}

fn class_of(method: &Method, path: &str) -> Class {
    match path {
        "/auth/login" | "/auth/refresh" | "/portal/login" => Class::Login,
        _ if *method == Method::GET || *method == Method::HEAD => Class::Read,
        // They ask for a verdict, or carry packets, and change nothing.
        "/policy/evaluate" | "/socket.io/" => Class::Read,
        _ => Class::Change,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn each_client_and_class_has_its_own_bucket() {
        let buckets = Buckets::new(Rates::per_second(5));
        let ask = |account: Option<&str>, method: &Method, path: &str| {
            buckets.ask(address(1), account, method, path).is_ok()
        };
        let asked =
            |account: &str| (0..20).filter(|_| ask(Some(account), &Method::GET, "/telemetry")).count();
        assert_eq!((asked("ada"), asked("bob")), (10, 10), "twice a second's worth at once");
        assert!(ask(None, &Method::GET, "/telemetry"));
        assert!(ask(Some("ada"), &Method::POST, "/policy/reload"));
        let problem = buckets.ask(address(1), Some("ada"), &Method::GET, "/telemetry").unwrap_err();
        assert_eq!(problem.code(), Code::RateLimited);
        assert!(buckets.refused.load(Ordering::Relaxed) >= 20);
    }

    #[test]
    fn logins_are_limited_by_address() {
        let buckets = Buckets::new(Rates::default());
        let login = |peer| buckets.arrive(peer, &Method::POST, "/auth/login").is_ok();
        assert_eq!((0..50).filter(|_| login(address(1))).count(), 20);
        assert!(login(address(2)));
        let of_v6 = |last| IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, last]);
        assert_eq!((0..50).filter(|last| login(of_v6(*last))).count(), 20, "one host");
    }

    #[test]
    fn clients_beyond_the_table_share_a_bucket() {
        let buckets = Buckets::new(Rates::default());
        let asked = (0..70_000_u32)
            .filter(|at| buckets.ask(IpAddr::from(at.to_be_bytes()), None, &Method::GET, "/health").is_ok())
            .count();
        assert!(buckets.read.len() <= CLIENTS_MAX + 1);
        assert!((CLIENTS_MAX..70_000).contains(&asked), "{asked}");
    }
}
