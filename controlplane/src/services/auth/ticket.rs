//! How does a browser open a stream of events, where it cannot send a header?
//!
//! With a ticket in the address: 32 random bytes, good once, for 30 seconds, for one topic and from one address. What is
//! kept is the digest; what was not used goes.

use std::collections::HashMap;
use std::net::IpAddr;

use super::secret::{Digest, Opaque};

/// How long a ticket is good, seconds.
pub const TICKET_TTL_S: u64 = 30;

/// Tickets that wait at once.
const TICKETS_MAX: usize = 4_096;

/// What a ticket is good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Purpose {
    /// What it opens: `/ws`, a download.
    pub topic: String,
    /// Who may use it; `None`: whoever is on this machine by the Unix socket.
    pub client: Option<IpAddr>,
}

#[derive(Debug)]
struct Waiting {
    purpose: Purpose,
    session: String,
    expires_s: u64,
}

/// Tickets that were given and not used.
#[derive(Debug, Default)]
pub struct Tickets {
    waiting: HashMap<Digest, Waiting>,
}

impl Tickets {
    /// A ticket of `session`; `None`: too many wait.
    pub fn give(&mut self, ticket: &Opaque, session: &str, purpose: Purpose, now_s: u64) -> Option<()> {
        if self.waiting.len() >= TICKETS_MAX {
            self.waiting.retain(|_, waiting| waiting.expires_s > now_s);
        }
        if self.waiting.len() >= TICKETS_MAX {
            return None;
        }
        let expires_s = now_s + TICKET_TTL_S;
        self.waiting.insert(ticket.digest(), Waiting { purpose, session: session.to_owned(), expires_s });
        Some(())
    }

    /// The session of a ticket, which is gone from then on, for whatever it was shown.
    pub fn take(&mut self, ticket: &str, purpose: &Purpose, now_s: u64) -> Option<String> {
        let waiting = self.waiting.remove(&Digest::of(ticket.as_bytes()))?;
        (waiting.purpose == *purpose && waiting.expires_s > now_s).then_some(waiting.session)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn purpose(topic: &str) -> Purpose {
        Purpose { topic: topic.to_owned(), client: Some(IpAddr::from([192, 0, 2, 1])) }
    }

    #[test]
    fn a_ticket_is_good_once_for_its_purpose_and_not_for_long() {
        let mut tickets = Tickets::default();
        let mut given = |now_s| {
            let ticket = Opaque::make().unwrap();
            tickets.give(&ticket, "s", purpose("alerts"), now_s).unwrap();
            ticket.text().to_owned()
        };
        let [once, elsewhere, late, other] = [100; 4].map(&mut given);
        assert_eq!(tickets.take(&once, &purpose("alerts"), 129), Some("s".to_owned()));
        assert_eq!(tickets.take(&once, &purpose("alerts"), 129), None);
        let stranger = Purpose { client: Some(IpAddr::from([192, 0, 2, 2])), ..purpose("alerts") };
        assert_eq!(tickets.take(&elsewhere, &stranger, 101), None);
        assert_eq!(tickets.take(&elsewhere, &purpose("alerts"), 101), None, "it was shown");
        assert_eq!(tickets.take(&late, &purpose("alerts"), 130), None);
        assert_eq!(tickets.take(&other, &purpose("flows"), 101), None);
        assert_eq!(tickets.take("", &purpose("alerts"), 101), None);
    }

    #[test]
    fn tickets_that_wait_have_a_bound() {
        let mut tickets = Tickets::default();
        let given = (0..5_000)
            .filter(|_| tickets.give(&Opaque::make().unwrap(), "s", purpose("x"), 100).is_some())
            .count();
        assert_eq!(given, TICKETS_MAX);
        assert!(tickets.give(&Opaque::make().unwrap(), "s", purpose("x"), 130).is_some());
    }
}
