//! Was this question asked? What a DNS flow has asked and nobody has answered yet.
//!
//! RFC 5452 9.1: an answer counts only where the question, its identifier and the addresses are those of a query. The flow has
//! the addresses; here are the rest, each query as one hash, the last ones of the flow.

use std::hash::{BuildHasher, Hasher};

use foldhash::quality::FixedState;

use crate::flow::Direction;

/// Queries of one flow that may be unanswered at once; the oldest is forgotten for a newer one.
const ASKED_MAX: usize = 32;

/// No query.
const NONE: u64 = 0;

/// Queries without an answer.
#[derive(Debug)]
pub(super) struct Asked {
    hashes: [u64; ASKED_MAX],
    next: u8,
}

impl Asked {
    pub(super) const fn new() -> Self {
        Self { hashes: [NONE; ASKED_MAX], next: 0 }
    }

    /// A query goes `way`.
    pub(super) fn note(&mut self, way: Direction, id: u16, kind: u16, name: &[u8]) {
        let hash = hash(way, id, kind, name);
        if self.hashes.contains(&hash) {
            return;
        }
        let at = usize::from(self.next) % ASKED_MAX;
        self.hashes[at] = hash;
        self.next = (at as u8).wrapping_add(1);
    }

    /// Whether that query went `way` and is answered for the first time.
    pub(super) fn take(&mut self, way: Direction, id: u16, kind: u16, name: &[u8]) -> bool {
        let hash = hash(way, id, kind, name);
        let asked = self.hashes.iter_mut().find(|asked| **asked == hash);
        asked.map(|asked| *asked = NONE).is_some()
    }
}

/// Names are equal whatever their case (RFC 4343): an answer may repeat it in another one.
fn hash(way: Direction, id: u16, kind: u16, name: &[u8]) -> u64 {
    let mut hasher = FixedState::default().build_hasher();
    hasher.write_u64(u64::from(id) << 32 | u64::from(kind) << 8 | way as u64);
    name.iter().for_each(|byte| hasher.write_u8(byte.to_ascii_lowercase()));
    hasher.finish().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUERY: Direction = Direction::Forward;

    #[test]
    fn only_what_was_asked_is_answered_and_only_once() {
        let mut asked = Asked::new();
        asked.note(QUERY, 7, 1, b"www.Example.org");
        for (way, id, kind, name) in [
            (Direction::Reverse, 7, 1, &b"www.example.org"[..]),
            (QUERY, 8, 1, b"www.example.org"),
            (QUERY, 7, 28, b"www.example.org"),
            (QUERY, 7, 1, b"w.example.org"),
        ] {
            assert!(!asked.take(way, id, kind, name));
        }
        assert!(asked.take(QUERY, 7, 1, b"WWW.example.org"));
        assert!(!asked.take(QUERY, 7, 1, b"www.example.org"));
    }

    #[test]
    fn the_last_queries_are_kept() {
        let mut asked = Asked::new();
        for id in 0..100 {
            asked.note(QUERY, id, 1, b"a.example");
        }
        assert!(!asked.take(QUERY, 67, 1, b"a.example"));
        assert!((68..100).all(|id| asked.take(QUERY, id, 1, b"a.example")));
    }
}
