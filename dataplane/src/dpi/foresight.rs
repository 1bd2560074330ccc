//! What do flows that come tell of flows to come? Resolved names and announced connections.
//!
//! Kept where all workers see it ([`Remembered`]), so that it does not matter which of them saw the answer and which one
//! has the flow. Time is the packets' own: a capture gives the same answers whenever it is read.

use std::sync::Arc;

use super::app::{AppId, AppTable};
use super::protocol::Protocol;
use super::protocols;
use crate::host::{Remembered, Transfer, Transfers};
use crate::parse::Addr;
use crate::time::{Tick, Wall};

/// How long a resolved address holds at least: clients connect again for a while to what they have resolved, whatever
/// the answer said, and content networks say a few seconds.
const RESOLVED_S_MIN: u32 = 120;

/// And at most: what resolvers keep at most by default (unbound.conf(5), `cache-max-ttl`).
const RESOLVED_S_MAX: u32 = 86_400;

/// How long an announced connection may be waited for: a call may ring for three minutes and more (RFC 3261 16.6, timer
/// C).
const ANNOUNCED_S: u32 = 300;

/// How long an endpoint holds at which an application was seen: relays and peers of a call are asked again and again
/// while it lasts (RFC 7675 5.1: every five seconds).
const SEEN_S: u32 = 300;

/// Keys of a table of its own, of who shares none.
const ALONE: usize = 8_192;

/// An address with a port.
type Endpoint = (Addr, u16);

/// What a number means.
#[derive(Clone, Copy)]
enum What {
    AppOfAddress,
    AppOfEndpoint,
    Protocol,
}

/// Names that were resolved and connections that were announced.
#[derive(Debug, Clone)]
pub struct Foresight {
    remembered: Arc<Remembered>,
    /// What clients were told of names, apart from the rest so that neither drives the other out.
    names: Arc<Remembered>,
    /// Files of announced connections.
    transfers: Arc<Transfers>,
}

impl Default for Foresight {
    fn default() -> Self {
        Self::of(Arc::new(Remembered::new(ALONE)))
    }
}

impl Foresight {
    /// What is kept in `remembered`, by whomever.
    #[must_use]
    pub fn of(remembered: Arc<Remembered>) -> Self {
        Self { remembered, names: Arc::new(Remembered::new(ALONE)), transfers: Arc::default() }
    }

    /// What clients are told of names is kept in `names`.
    #[must_use]
    pub fn with_names(self, names: Arc<Remembered>) -> Self {
        Self { names, ..self }
    }

    /// Files of announced connections are kept in `transfers`.
    #[must_use]
    pub fn with_transfers(self, transfers: Arc<Transfers>) -> Self {
        Self { transfers, ..self }
    }

    /// The next connection to `endpoint` will carry a file.
    pub fn announce(&self, endpoint: Endpoint, transfer: Transfer, at: Wall) {
        self.transfers.announce(endpoint, transfer, Tick(at.0));
    }

    /// The file that a connection to `endpoint` carries, for once.
    #[must_use]
    pub fn take_transfer(&self, endpoint: Endpoint, at: Wall) -> Option<Transfer> {
        self.transfers.take(endpoint, Tick(at.0))
    }

    /// `client` was told that `name` has `addrs`, for `ttl_s`, all of them in one answer.
    pub fn answered(&self, client: Addr, name: &[u8], addrs: &[Addr], ttl_s: u32, at: Wall) {
        let for_s = ttl_s.clamp(RESOLVED_S_MIN, RESOLVED_S_MAX);
        let name = hash_of_name(client, name);
        let keep = |what: Answered, endpoint, for_s: u32| {
            self.names.keep(what as u8, endpoint, 1, u64::from(for_s) * Tick::SECOND, Tick(at.0));
        };
        for addr in addrs {
            // Clients go on with what they have when the name is asked for again, so that an address outlives the
            // name; so it does where the table is full, too.
            keep(Answered::Address, (mixed(name, *addr), 0), 4 * for_s);
        }
        for is_v4 in [true, false] {
            if addrs.iter().any(|addr| addr.as_v4().is_some() == is_v4) {
                keep(Answered::Name, (name, u16::from(is_v4)), for_s);
            }
        }
    }

    /// Whether `addr` was among what `client` was told of `name`; `None` where it was told nothing of it, or only
    /// addresses of the other version of IP.
    #[must_use]
    pub fn is_address_of(&self, client: Addr, name: &[u8], addr: Addr, at: Wall) -> Option<bool> {
        let name = hash_of_name(client, name);
        let has = |what: Answered, endpoint| self.names.at(what as u8, endpoint, Tick(at.0)).is_some();
        has(Answered::Name, (name, u16::from(addr.as_v4().is_some())))
            .then(|| has(Answered::Address, (mixed(name, addr), 0)))
    }

    /// A name of `app` has `addr`, for `ttl_s` as the answer says.
    pub fn remember(&self, addr: Addr, app: AppId, ttl_s: u32, at: Wall) {
        self.keep(
            What::AppOfAddress,
            (addr, 0),
            app.number(),
            ttl_s.clamp(RESOLVED_S_MIN, RESOLVED_S_MAX),
            at,
        );
    }

    /// The application of a name that resolved to `addr`, the latest one.
    #[must_use]
    pub fn app_at(&self, addr: Addr, apps: &AppTable, at: Wall) -> Option<AppId> {
        apps.by_number(self.at(What::AppOfAddress, (addr, 0), at)?)
    }

    /// What goes on between `endpoint` and anybody is of `app`.
    pub fn remember_endpoint(&self, endpoint: Endpoint, app: AppId, at: Wall) {
        self.keep(What::AppOfEndpoint, endpoint, app.number(), SEEN_S, at);
    }

    /// The application that was seen at `endpoint` last.
    #[must_use]
    pub fn app_at_endpoint(&self, endpoint: Endpoint, apps: &AppTable, at: Wall) -> Option<AppId> {
        apps.by_number(self.at(What::AppOfEndpoint, endpoint, at)?)
    }

    /// A connection to `addr` and `port` will speak `protocol`.
    pub fn expect(&self, addr: Addr, port: u16, protocol: &'static Protocol, at: Wall) {
        let number = protocols::all().position(|one| std::ptr::eq(one, protocol));
        self.keep(What::Protocol, (addr, port), number.and_then(|at| at.try_into().ok()), ANNOUNCED_S, at);
    }

    /// What was announced for `addr` and `port`.
    #[must_use]
    pub fn expected_at(&self, addr: Addr, port: u16, at: Wall) -> Option<&'static Protocol> {
        protocols::all().nth(usize::from(self.at(What::Protocol, (addr, port), at)?))
    }

    /// What has no number is not remembered.
    fn keep(&self, what: What, endpoint: Endpoint, number: Option<u16>, for_s: u32, at: Wall) {
        if let Some(number) = number {
            self.remembered.keep(what as u8, endpoint, number, u64::from(for_s) * Tick::SECOND, Tick(at.0));
        }
    }

    fn at(&self, what: What, endpoint: Endpoint, at: Wall) -> Option<u16> {
        self.remembered.at(what as u8, endpoint, Tick(at.0))
    }
}

/// What is known of a name.
#[derive(Clone, Copy)]
enum Answered {
    Name,
    Address,
}

/// A key for what `client` was told of `name`, upper or lower case (FNV-1a, twice).
fn hash_of_name(client: Addr, name: &[u8]) -> Addr {
    let mut halves = [0xcbf2_9ce4_8422_2325_u64, 0x6c62_272e_07bb_0142];
    for byte in client.0.iter().chain(name) {
        for half in &mut halves {
            *half = (*half ^ u64::from(byte.to_ascii_lowercase())).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    let [high, low] = halves;
    Addr((u128::from(high) << 64 | u128::from(low)).to_be_bytes())
}

/// The same with an address.
fn mixed(name: Addr, addr: Addr) -> Addr {
    Addr((u128::from_be_bytes(name.0) ^ u128::from_be_bytes(addr.0).rotate_left(17)).to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpi::Category;
    use crate::dpi::protocols::files::ftp::FTP_DATA;

    const START: Wall = Wall(1_700_000_000 * Tick::SECOND);

    fn later(seconds: u64) -> Wall {
        Wall(START.0 + seconds * Tick::SECOND)
    }

    #[test]
    fn the_latest_name_of_an_address_holds_as_long_as_its_answer_says_within_bounds() {
        let mut apps = AppTable::default();
        let (one, two) = (apps.intern("one", Category::Web), apps.intern("two", Category::Web));
        let foresight = Foresight::default();
        let addr = Addr::v4([192, 0, 2, 1]);
        foresight.remember(addr, one, 600, START);
        foresight.remember(addr, two, 600, START);
        assert_eq!(foresight.app_at(addr, &apps, later(599)), Some(two));
        assert_eq!(foresight.app_at(addr, &apps, later(601)), None);
        foresight.remember(addr, one, 0, START);
        assert_eq!(foresight.app_at(addr, &apps, later(119)), Some(one), "the least");
        assert_eq!(foresight.app_at(addr, &apps, later(121)), None);
        foresight.remember(addr, one, u32::MAX, START);
        assert_eq!(foresight.app_at(addr, &apps, later(86_399)), Some(one));
        assert_eq!(foresight.app_at(addr, &apps, later(86_401)), None, "the most");
    }

    #[test]
    fn addresses_endpoints_and_announced_connections_are_told_apart() {
        let mut apps = AppTable::default();
        let app = apps.intern("one", Category::Web);
        let foresight = Foresight::default();
        let addr = Addr::v4([192, 0, 2, 1]);
        foresight.remember_endpoint((addr, 443), app, START);
        foresight.expect(addr, 80, &FTP_DATA, START);
        assert_eq!(foresight.app_at_endpoint((addr, 443), &apps, START), Some(app));
        assert_eq!(foresight.app_at_endpoint((addr, 80), &apps, START), None);
        assert_eq!(foresight.app_at(addr, &apps, START), None);
        assert_eq!(foresight.expected_at(addr, 80, START), Some(&FTP_DATA));
        assert_eq!(foresight.expected_at(addr, 443, START), None);
        assert_eq!(foresight.expected_at(addr, 80, later(301)), None);
    }

    #[test]
    fn an_application_that_is_gone_from_the_table_is_no_longer_told() {
        let mut apps = AppTable::default();
        let app = apps.intern("one", Category::Web);
        let foresight = Foresight::default();
        let addr = Addr::v4([192, 0, 2, 1]);
        foresight.remember(addr, app, 600, START);
        let mut next = apps.successor();
        assert_eq!(foresight.app_at(addr, &next, START), None);
        let again = next.intern("one", Category::Game);
        assert_eq!(foresight.app_at(addr, &next, START), Some(again), "by its name, as the table has it now");
        assert_eq!(foresight.app_at(addr, &next, START).map(AppId::category), Some(Category::Game));
    }
}
