//! What was known of the user of whom a record speaks?
//!
//! Records name users by what people call them. Groups and attributes may be long, and are for those who may read identities: records
//! carry a number instead, and what was asserted under it is kept here, for users who are gone too, within bounds. Numbers are of one run
//! of the daemon.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use dataplane::identity::UserNumber;
use serde::{Serialize, Serializer};

use super::identities::Who;

/// Users that are gone and of whom something is kept: flows are judged again soon after, and records tell of them later.
const GONE_MAX: usize = 100_000;

/// Bytes of the groups and attributes of all: 100,000 users with 30 groups of 20 letters.
const MORE_BYTES_MAX: usize = 128 << 20;

/// Bytes of a name beside its letters.
const NAME_BYTES: usize = size_of::<Box<str>>();

/// What a record says of a user.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct UserNote {
    user_id: Box<str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_role: Option<Box<str>>,
}

/// The same, where there is a user.
#[derive(Debug, Clone, Default)]
pub struct OfUser(pub Option<Arc<UserNote>>);

impl OfUser {
    /// The user's id.
    #[must_use]
    pub fn user_id(&self) -> Option<&str> {
        self.0.as_deref().map(|note| &*note.user_id)
    }

    /// What the user is for.
    #[must_use]
    pub fn user_role(&self) -> Option<&str> {
        self.0.as_deref().and_then(|note| note.user_role.as_deref())
    }
}

impl Serialize for OfUser {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Some(note) => note.serialize(serializer),
            None => serializer.serialize_none(),
        }
    }
}

/// What was asserted of a user besides.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct UserMore {
    /// Groups that the user is in.
    pub groups: Box<[Box<str>]>,
    /// Each name with each of its values.
    pub attributes: Box<[(Box<str>, Box<str>)]>,
}

impl UserMore {
    fn of(who: &Who) -> Self {
        let groups = who.groups.iter().map(|group| group.as_str().into()).collect();
        let pairs =
            who.attributes.iter().flat_map(|(name, values)| values.iter().map(move |value| (name, value)));
        Self {
            groups,
            attributes: pairs.map(|(name, value)| (name.as_str().into(), value.as_str().into())).collect(),
        }
    }

    fn bytes(&self) -> usize {
        let pairs = self.attributes.iter().flat_map(|(name, value)| [name, value]);
        self.groups.iter().chain(pairs).map(|name| NAME_BYTES + name.len()).sum()
    }
}

/// What records say of users, by the numbers that flows carry.
#[derive(Debug, Default)]
pub(super) struct UserNotes {
    notes: HashMap<UserNumber, Noted>,
    /// Those that are gone, oldest first.
    gone: VecDeque<UserNumber>,
    /// Those among them that groups or attributes are kept of.
    gone_with_more: VecDeque<UserNumber>,
    more_bytes: usize,
}

#[derive(Debug)]
struct Noted {
    note: Arc<UserNote>,
    /// `None` where there was no room.
    more: Option<Arc<UserMore>>,
}

impl UserNotes {
    /// Remembers a user. Of those who are gone groups and attributes make room, oldest first; where that is not enough, what is more of
    /// this one is not kept.
    pub(super) fn remember(&mut self, number: UserNumber, who: &Who) {
        let text = |text: &Option<String>| text.as_deref().map(Box::from);
        let note = UserNote {
            user_id: who.user_id.as_str().into(),
            username: text(&who.username),
            user_role: text(&who.user_role),
        };
        self.forget_more(number);
        let more = UserMore::of(who);
        let bytes = more.bytes();
        while self.more_bytes + bytes > MORE_BYTES_MAX {
            let Some(oldest) = self.gone_with_more.pop_front() else { break };
            self.forget_more(oldest);
        }
        let has_room = self.more_bytes + bytes <= MORE_BYTES_MAX;
        self.more_bytes += if has_room { bytes } else { 0 };
        let more = has_room.then(|| Arc::new(more));
        self.notes.insert(number, Noted { note: Arc::new(note), more });
    }

    /// A user is gone; what is known is kept for a while.
    pub(super) fn forget(&mut self, number: UserNumber) {
        self.gone.push_back(number);
        if self.notes.get(&number).and_then(|noted| noted.more.as_ref()).is_some_and(|more| more.bytes() > 0)
        {
            self.gone_with_more.push_back(number);
        }
        if self.gone.len() > GONE_MAX
            && let Some(oldest) = self.gone.pop_front()
        {
            self.forget_more(oldest);
            self.notes.remove(&oldest);
            self.gone_with_more.pop_front_if(|first| *first == oldest);
        }
    }

    pub(super) fn user(&self, number: UserNumber) -> Option<Arc<UserNote>> {
        self.notes.get(&number).map(|noted| Arc::clone(&noted.note))
    }

    pub(super) fn more(&self, number: UserNumber) -> Option<Arc<UserMore>> {
        self.notes.get(&number)?.more.clone()
    }

    fn forget_more(&mut self, number: UserNumber) {
        let more = self.notes.get_mut(&number).and_then(|noted| noted.more.take());
        self.more_bytes -= more.map_or(0, |more| more.bytes());
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn number(at: usize) -> UserNumber {
        UserNumber::new(at as u32 + 1).unwrap()
    }

    fn who(at: usize, letters: usize) -> Who {
        let groups = if letters == 0 { Vec::new() } else { vec!["g".repeat(letters)] };
        Who { user_id: format!("user-{at}"), groups, ..Who::default() }
    }

    #[test]
    fn groups_of_the_gone_make_room_oldest_first_and_then_none_are_kept() {
        const MIB: usize = 1 << 20;
        let mut notes = UserNotes::default();
        // A little more than one MiB each: 127 of them have room.
        for at in 0..127 {
            notes.remember(number(at), &who(at, MIB));
        }
        let has = |notes: &UserNotes, at| notes.more(number(at)).is_some_and(|more| !more.groups.is_empty());
        assert!((0..127).all(|at| has(&notes, at)));
        notes.remember(number(127), &who(127, MIB));
        assert!(!has(&notes, 127), "nobody is gone: there is no room");
        assert_eq!(notes.more(number(127)), None, "and it is not said that there are none");
        assert_eq!(&*notes.user(number(127)).unwrap().user_id, "user-127");
        notes.forget(number(5));
        notes.forget(number(3));
        notes.remember(number(128), &who(128, MIB));
        assert!(has(&notes, 128) && !has(&notes, 5) && has(&notes, 3));
        // Who has no groups needs no room, and is known to have none.
        notes.remember(number(129), &who(129, 0));
        assert_eq!(notes.more(number(129)).as_deref(), Some(&UserMore::default()));
    }

    #[test]
    fn so_many_of_the_gone_are_kept_and_no_more() {
        let mut notes = UserNotes::default();
        for at in 0..GONE_MAX + 2 {
            notes.remember(number(at), &who(at, 3));
            notes.forget(number(at));
        }
        assert_eq!((notes.notes.len(), notes.gone_with_more.len()), (GONE_MAX, GONE_MAX));
        assert!(notes.user(number(1)).is_none() && notes.more(number(2)).is_some());
        assert_eq!(notes.more_bytes, GONE_MAX * (NAME_BYTES + 3));
    }
}
