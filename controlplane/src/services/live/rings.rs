//! What was told of late, for whoever listens: one bounded ring a topic.
//!
//! A listener remembers how many of each topic it has passed, so that what it missed is a subtraction. The lock is held to
//! move pointers only: texts are made before, filters are asked after.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use super::filter::Facts;
use super::topic::{Topic, Topics};

/// An event that was told, made once for all who listen.
#[derive(Debug)]
pub struct Told {
    /// Grows from event to event, also over a restart: microseconds since 1970, or one more than the last.
    pub id: u64,
    /// Its topic.
    pub topic: Topic,
    /// Only for who may read the audit.
    pub is_private: bool,
    /// What filters look at.
    pub facts: Facts,
    /// The message `{"type":"event","topic":...,"id":...,"event":{...}}`.
    pub message: Bytes,
    /// Where in it the event's own object begins.
    pub(super) event_at: usize,
}

impl Told {
    /// The event's own object.
    #[must_use]
    pub fn event(&self) -> &[u8] {
        &self.message[self.event_at..self.message.len() - 1]
    }
}

#[derive(Debug, Default)]
struct Ring {
    told: VecDeque<Arc<Told>>,
    bytes: usize,
    /// How many went before the first of `told`.
    gone: u64,
    /// All that was told after this id is in `told`.
    whole_since: u64,
}

/// The rings of all topics.
#[derive(Debug, Default)]
pub(super) struct Rings {
    rings: [Ring; Topic::COUNT],
}

/// How much of a topic is kept: events, and their bytes.
const fn bounds(topic: Topic) -> (usize, usize) {
    match topic {
        Topic::Alerts | Topic::Flows | Topic::Protocols => (32_768, 24 << 20),
        Topic::Traffic | Topic::Policy | Topic::System => (4_096, 4 << 20),
    }
}

/// Where a listener is: how many of each topic it has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Place(pub [u64; Topic::COUNT]);

impl Rings {
    pub(super) fn begin_at(&mut self, id: u64) {
        for ring in &mut self.rings {
            ring.whole_since = id;
        }
    }

    /// Appends; `told` is in the order of ids.
    pub(super) fn push(&mut self, told: impl IntoIterator<Item = Arc<Told>>) {
        for one in told {
            let (count_max, bytes_max) = bounds(one.topic);
            let ring = &mut self.rings[one.topic.index()];
            ring.bytes += one.message.len();
            ring.told.push_back(one);
            while ring.told.len() > count_max || ring.bytes > bytes_max {
                let Some(gone) = ring.told.pop_front() else { break };
                ring.bytes -= gone.message.len();
                ring.gone += 1;
                ring.whole_since = gone.id;
            }
        }
    }

    /// Nobody listens to `topic` any more: what is told from now on is not kept. `id` is the next one.
    pub(super) fn forget(&mut self, topic: Topic, id: u64) {
        let ring = &mut self.rings[topic.index()];
        ring.gone += ring.told.len() as u64;
        ring.told = VecDeque::new();
        (ring.bytes, ring.whole_since) = (0, id);
    }

    /// The place after all that was told.
    pub(super) fn end(&self) -> Place {
        Place(std::array::from_fn(|at| self.rings[at].gone + self.rings[at].told.len() as u64))
    }

    /// The place after `id`, and the topics of which something after it is not here any more, with the id from which on
    /// all is here.
    pub(super) fn after(&self, id: u64, topics: Topics) -> (Place, Topics, u64) {
        let (mut gaps, mut whole_since) = (Topics::NONE, id);
        let place = Place(std::array::from_fn(|at| {
            let ring = &self.rings[at];
            ring.gone + ring.told.partition_point(|one| one.id <= id) as u64
        }));
        for topic in topics.iter() {
            let ring = &self.rings[topic.index()];
            if ring.whole_since > id {
                gaps = gaps.with(Topics::of(topic));
                whole_since = whole_since.max(ring.whole_since);
            }
        }
        (place, gaps, whole_since)
    }

    /// Takes what comes after `place`, `max` at most, in the order of ids. Tells how many are gone that were not taken; then
    /// it takes none.
    pub(super) fn take(
        &self,
        place: &mut Place,
        topics: Topics,
        max: usize,
        out: &mut Vec<Arc<Told>>,
    ) -> u64 {
        let mut missed = 0;
        for topic in topics.iter() {
            let at = &mut place.0[topic.index()];
            let gone = self.rings[topic.index()].gone;
            missed += gone.saturating_sub(*at);
            *at = (*at).max(gone);
        }
        // What comes after a hole is not told as if there were none.
        if missed > 0 {
            return missed;
        }
        while out.len() < max {
            let next = |topic: Topic| {
                let ring = &self.rings[topic.index()];
                ring.told.get((place.0[topic.index()] - ring.gone) as usize)
            };
            let Some(first) = topics.iter().filter_map(next).min_by_key(|one| one.id) else { break };
            place.0[first.topic.index()] += 1;
            out.push(Arc::clone(first));
        }
        missed
    }
}
