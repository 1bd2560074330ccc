//! What do rules ask of a flow, whatever they are tried on? What it speaks, how much it has had, where its ends are.

use super::flow::{FlowCounts, Window};
use crate::parse::Addr;
use crate::rules::rule::{AppLayerMode, AppLayerProtocol, StreamEnd, StreamSize};
use crate::rules::signature::Ask;

/// What is known of a flow when a rule is tried.
#[derive(Debug, Clone, Copy)]
pub(super) struct FlowFacts<'a> {
    /// What it speaks.
    pub application: Option<&'a str>,
    /// What it spoke before it spoke something else.
    pub original: Option<&'a str>,
    /// How much it has had; `None`: what is tried is of no flow.
    pub sizes: Option<(&'a FlowCounts, &'a [Window; 2])>,
    /// From where to where what is tried goes.
    pub ends: (Addr, Addr),
}

impl FlowFacts<'_> {
    /// The answer; `None`: something else is asked.
    pub(super) fn answers(&self, ask: &Ask) -> Option<bool> {
        Some(match ask {
            Ask::Protocol(asked) => speaks(asked, self.application, self.original),
            Ask::StreamSize(size) => self.sizes.is_some_and(|(_, streams)| has_size(size, streams)),
            Ask::Flow(number, test) => self.sizes.is_some_and(|(counts, _)| counts.answers(*number, test)),
            Ask::Country(countries, test) => countries.holds(test, self.ends),
            Ask::Reputation(reputation, category, test) => reputation.holds(test, *category, self.ends),
            _ => return None,
        })
    }
}

/// Whether a flow speaks what a rule asks for; `None`: it is not known.
fn speaks(asked: &AppLayerProtocol, application: Option<&str>, original: Option<&str>) -> bool {
    // Both ways speak the same here.
    let AppLayerProtocol { protocol, is_negated, mode } = asked;
    let application = if *mode == AppLayerMode::Original { original } else { application };
    let known = match (application, mode) {
        (None, AppLayerMode::Original) => return false,
        (Some(name), _) => name,
        (None, AppLayerMode::Final) => return false,
        (None, _) => "unknown",
    };
    let is_it = *protocol == known
        || (*protocol == "http" && matches!(known, "http2" | "doh2"))
        || (*protocol == "http1" && known == "http");
    // What is not known is not another protocol yet.
    if *is_negated { !is_it && (application.is_some() || *protocol == "unknown") } else { is_it }
}

/// Whether the sides have sent so much.
fn has_size(size: &StreamSize, streams: &[Window; 2]) -> bool {
    let [client, server] = [0, 1].map(|way: usize| streams[way].passed());
    let StreamSize { of, test } = size;
    match of {
        StreamEnd::Client => test.holds(client),
        StreamEnd::Server => test.holds(server),
        StreamEnd::Both => test.holds(client) && test.holds(server),
        StreamEnd::Either => test.holds(client) || test.holds(server),
    }
}
