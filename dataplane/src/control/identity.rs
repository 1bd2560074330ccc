//! Who is where, from the control plane to every worker: changes in order, none of them lost.
//!
//! ```text
//! sender ─► its own table ─► a ring a worker, numbered ─► the worker's table, between two batches
//!                 └─► an image of all of it, where a ring was full for too long ─► taken over at the gap
//! ```
//!
//! A full ring stops the sender for [`PATIENCE`]. A worker that does not take anything for so long hangs, or is stopped: its changes
//! are left out then, and it finds the gap by the numbers and takes over the image that was made for it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use rtrb::{Consumer, Producer, RingBuffer};

use super::Wakers;
use crate::identity::{Identity, Key, Table};
use crate::parse::{Addr, Mac};

/// Changes that wait at a worker.
const WAITING_MAX: usize = 4_096;

/// Changes that a worker takes between two batches: some tens of microseconds.
const TAKEN_MAX: usize = 256;

/// How long a full ring is waited for.
const PATIENCE: Duration = Duration::from_millis(200);

/// How often a full ring is looked at.
const LOOK_AGAIN: Duration = Duration::from_micros(100);

/// A change with its number; they begin with 1.
#[derive(Debug)]
struct Change {
    number: u64,
    key: Key,
    identity: Option<Arc<Identity>>,
}

/// All of it after the change of a number.
#[derive(Debug)]
struct Image {
    number: u64,
    table: Table,
}

/// The control plane's side.
#[derive(Debug)]
pub struct IdentitySender {
    sending: Mutex<Sending>,
    image: Arc<ArcSwapOption<Image>>,
}

#[derive(Debug)]
struct Sending {
    table: Table,
    number: u64,
    /// The newest change.
    last: Option<(Key, Option<Arc<Identity>>)>,
    lanes: Vec<Lane>,
}

#[derive(Debug)]
struct Lane {
    ring: Producer<Change>,
    /// Changes were left out.
    is_behind: bool,
}

/// One worker's side.
#[derive(Debug)]
pub struct IdentityReader {
    ring: Consumer<Change>,
    image: Arc<ArcSwapOption<Image>>,
    /// The number that comes next.
    next: u64,
}

/// Both sides, for so many workers.
pub(super) fn identities(workers: usize) -> (IdentitySender, Vec<IdentityReader>) {
    let image = Arc::new(ArcSwapOption::empty());
    let (lanes, readers) = (0..workers)
        .map(|_| {
            let (ring, taken) = RingBuffer::new(WAITING_MAX);
            let reader = IdentityReader { ring: taken, image: Arc::clone(&image), next: 1 };
            (Lane { ring, is_behind: false }, reader)
        })
        .unzip();
    let sending = Sending { table: Table::default(), number: 0, last: None, lanes };
    (IdentitySender { sending: Mutex::new(sending), image }, readers)
}

impl IdentitySender {
    /// Tells every worker that a key is somebody's, or nobody's, from now on. Gives the number of that change; waits for workers
    /// whose rings are full.
    pub fn send(&self, key: Key, identity: Option<&Arc<Identity>>, wakers: Option<&Wakers>) -> u64 {
        let mut sending = self.sending.lock().unwrap_or_else(PoisonError::into_inner);
        let Sending { table, number, last, lanes } = &mut *sending;
        *number += 1;
        table.set(key, identity.cloned(), 0);
        table.tidy(0, 1);
        *last = Some((key, identity.cloned()));
        for (worker, lane) in lanes.iter_mut().enumerate() {
            if lane.ring.is_full() && (lane.is_behind || !lane.waits(worker, wakers)) {
                lane.is_behind = true;
                continue;
            }
            if std::mem::take(&mut lane.is_behind) {
                self.image.store(Some(Arc::new(Image { number: *number, table: table.clone() })));
            }
            lane.push(Change { number: *number, key, identity: identity.cloned() }, worker, wakers);
        }
        *number
    }

    /// Tells every worker of all of these at once, before it has taken anything: it finds them as it finds what it missed, at its first
    /// turn.
    pub fn send_first(&self, all: Vec<(Key, Arc<Identity>)>) {
        let mut sending = self.sending.lock().unwrap_or_else(PoisonError::into_inner);
        let Sending { table, number, last, lanes } = &mut *sending;
        let Some(newest) = all.last().cloned() else { return };
        // A worker takes over the image where it finds a gap, so the first change must not be the next one.
        *number += all.len() as u64 + 1;
        for (key, identity) in all {
            table.set(key, Some(identity), 0);
            table.tidy(0, 1);
        }
        let (key, identity) = newest;
        self.image.store(Some(Arc::new(Image { number: *number, table: table.clone() })));
        for (worker, lane) in lanes.iter_mut().enumerate() {
            let change = Change { number: *number, key, identity: Some(Arc::clone(&identity)) };
            if lane.ring.is_full() {
                lane.is_behind = true;
            } else {
                lane.push(change, worker, None);
            }
        }
        *last = Some((key, Some(identity)));
    }

    /// Tells workers that were left behind, and take changes again, what they missed. Call it now and then: they would not know before
    /// the next change.
    pub fn catch_up(&self, wakers: Option<&Wakers>) {
        let mut sending = self.sending.lock().unwrap_or_else(PoisonError::into_inner);
        let Sending { table, number, last: Some((key, identity)), lanes } = &mut *sending else { return };
        for (worker, lane) in lanes.iter_mut().enumerate().filter(|(_, lane)| lane.is_behind) {
            if lane.ring.is_full() {
                continue;
            }
            lane.is_behind = false;
            self.image.store(Some(Arc::new(Image { number: *number, table: table.clone() })));
            lane.push(Change { number: *number, key: *key, identity: identity.clone() }, worker, wakers);
        }
    }

    /// Who uses an address, as workers are told.
    #[must_use]
    pub fn find(&self, addr: Addr, mac: Mac) -> Option<Arc<Identity>> {
        let sending = self.sending.lock().unwrap_or_else(PoisonError::into_inner);
        sending.table.find(addr, mac).map(Arc::clone)
    }

    /// The number of the newest change.
    #[must_use]
    pub fn newest(&self) -> u64 {
        self.sending.lock().unwrap_or_else(PoisonError::into_inner).number
    }
}

impl Lane {
    /// Puts a change into a ring that has room, which nobody else fills.
    fn push(&mut self, change: Change, worker: usize, wakers: Option<&Wakers>) {
        let _there_is_room = self.ring.push(change);
        if let Some(wakers) = wakers {
            wakers.wake(worker);
        }
    }

    /// Whether its ring gets room.
    fn waits(&self, worker: usize, wakers: Option<&Wakers>) -> bool {
        let deadline = Instant::now() + PATIENCE;
        while self.ring.is_full() {
            if Instant::now() >= deadline {
                return false;
            }
            if let Some(wakers) = wakers {
                wakers.wake(worker);
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        true
    }
}

impl IdentityReader {
    /// Whether there is something to take.
    #[inline]
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        !self.ring.is_empty()
    }

    /// The number of the newest change that was taken.
    #[must_use]
    pub const fn taken(&self) -> u64 {
        self.next - 1
    }

    /// Makes changes that wait part of `table`, as of `generation`: some of them, in order. Whether there were any.
    pub fn take(&mut self, table: &mut Table, generation: u32) -> bool {
        let mut is_changed = false;
        for _ in 0..TAKEN_MAX {
            let Ok(Change { number, key, identity }) = self.ring.pop() else { break };
            is_changed = true;
            if number == self.next {
                table.set(key, identity, generation);
                self.next = number + 1;
            } else if number > self.next {
                // The image was put there before the change behind the gap; it has that one too.
                if let Some(image) = self.image.load_full() {
                    table.replace(&image.table, generation);
                    self.next = image.number + 1;
                }
            }
        }
        is_changed
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;
    use crate::identity::UserNumber;
    use crate::policy::{NameId, User};

    fn who(number: u32) -> Arc<Identity> {
        let user = User { id: NameId(number), role: None, groups: Vec::new(), attributes: Vec::new() };
        Arc::new(Identity { number: UserNumber::new(number).unwrap(), person: number, user })
    }

    fn addr(number: u32) -> Addr {
        Addr::v4((0x0a00_0000 + number).to_be_bytes())
    }

    fn found(table: &Table, number: u32) -> Option<u32> {
        table.find(addr(number), Mac([0; 6])).map(|identity| identity.number.get())
    }

    #[test]
    fn what_is_told_first_is_there_at_the_first_turn_however_much_it_is() {
        let (sender, mut readers) = identities(2);
        sender.send_first((1..=WAITING_MAX as u32 + 1).map(|n| (Key::addr(addr(n)), who(n))).collect());
        sender.send(Key::addr(addr(1)), None, None);
        for reader in &mut readers {
            let mut table = Table::default();
            assert!(reader.take(&mut table, 1));
            assert_eq!(found(&table, 1), None, "what came after it is in order");
            assert_eq!((found(&table, 2), found(&table, 4_097)), (Some(2), Some(4_097)));
            assert_eq!((reader.taken(), reader.is_waiting()), (sender.newest(), false));
        }
        let (sender, mut readers) = identities(1);
        sender.send_first(Vec::new());
        sender.send_first(vec![(Key::addr(addr(9)), who(9))]);
        let mut table = Table::default();
        readers[0].take(&mut table, 1);
        assert_eq!((found(&table, 9), readers[0].taken()), (Some(9), sender.newest()));
    }

    #[test]
    fn changes_come_in_order_to_every_worker() {
        let (sender, mut readers) = identities(2);
        for number in 1..=300 {
            sender.send(Key::addr(addr(number % 7)), Some(&who(number)), None);
        }
        assert_eq!(sender.send(Key::addr(addr(3)), None, None), 301);
        for reader in &mut readers {
            let mut table = Table::default();
            while reader.take(&mut table, 1) {}
            assert_eq!((reader.taken(), reader.is_waiting()), (301, false));
            assert_eq!((found(&table, 1), found(&table, 3)), (Some(295), None));
        }
    }

    #[test]
    fn a_worker_that_hung_takes_over_all_of_it_and_loses_nothing() {
        let (sender, mut readers) = identities(1);
        let last = WAITING_MAX as u32 + 10;
        for number in 1..=last {
            sender.send(Key::addr(addr(number)), Some(&who(number)), None);
        }
        sender.send(Key::addr(addr(1)), None, None);
        let mut table = Table::default();
        while readers[0].take(&mut table, 1) {}
        assert_eq!(readers[0].taken(), WAITING_MAX as u64, "the rest was left out");
        assert_eq!((found(&table, 1), found(&table, last)), (Some(1), None));
        // That there is a gap is told, or the next change shows it.
        sender.catch_up(None);
        assert!(readers[0].take(&mut table, 2));
        assert_eq!((found(&table, 1), found(&table, 5), found(&table, last)), (None, Some(5), Some(last)));
        let newest = sender.send(Key::addr(addr(5)), None, None);
        assert!(readers[0].take(&mut table, 3));
        assert_eq!((readers[0].taken(), newest), (newest, sender.newest()));
        assert_eq!((found(&table, 1), found(&table, 5), found(&table, last)), (None, None, Some(last)));
        assert!(table.has_changed((addr(77), Mac([0; 6])), 1), "anything may have changed");
    }
}
