//! Where do parsers wait between two flows? By protocol, so that a flow that begins needs no memory of its own.

use std::collections::HashMap;

use foldhash::quality::RandomState;

use super::parser::Parser;
use super::protocol::Protocol;

/// Parsers of one protocol that wait; of these at most a few KiB are idle each.
const IDLE_MAX: usize = 1_024;

/// Parsers of one worker without a flow.
#[derive(Default)]
pub(super) struct IdleParsers {
    by_protocol: HashMap<&'static str, Vec<Box<dyn Parser>>, RandomState>,
}

impl IdleParsers {
    /// A parser for a flow of `protocol`; `None` where that has none.
    pub(super) fn take(&mut self, protocol: &'static Protocol) -> Option<Box<dyn Parser>> {
        let make = protocol.parser?;
        let idle = self.by_protocol.get_mut(protocol.name).and_then(Vec::pop);
        Some(idle.unwrap_or_else(make))
    }

    /// A flow of `protocol` is over.
    pub(super) fn give(&mut self, protocol: &'static Protocol, mut parser: Box<dyn Parser>) {
        // Nothing is allocated for a parser without state, and nothing saved.
        if size_of_val(&*parser) == 0 || !parser.start_over() {
            return;
        }
        let idle = self.by_protocol.entry(protocol.name).or_default();
        if idle.len() < IDLE_MAX {
            idle.push(parser);
        }
    }
}

impl std::fmt::Debug for IdleParsers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let count: usize = self.by_protocol.values().map(Vec::len).sum();
        f.debug_struct("IdleParsers").field("count", &count).finish_non_exhaustive()
    }
}
