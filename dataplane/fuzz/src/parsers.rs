//! One target for each protocol that has a parser, by the protocol's name: any payloads in any order are shown to that
//! parser alone, recognised or not. It neither panics nor goes on for ever, and what it tells is bounded.
//!
//! An input is payloads, see [`dataplane::dpi::feed`]; below each transport that the protocol's probes know, they are
//! shown once.

use std::sync::LazyLock;

use dataplane::dpi::{AppTable, Protocol, feed};

static APPS: LazyLock<AppTable> = LazyLock::new(AppTable::builtin);

/// Records for a byte of input, at most: whatever is told must have come in.
const RECORDS_PER_BYTE: usize = 1;

/// Every protocol that has a parser. The folder of its inputs is `corpus/parsers/<name>`.
pub fn all() -> impl Iterator<Item = &'static Protocol> {
    feed::parsed()
}

/// Shows the payloads of `bytes` to the parser of `protocol`.
pub fn run(protocol: &'static Protocol, bytes: &[u8]) {
    for flow in feed::flows(protocol) {
        let fed = feed::feed(protocol, &flow, &APPS, feed::payloads(bytes));
        let may_tell = 8 + bytes.len() * RECORDS_PER_BYTE;
        assert!(fed.records <= may_tell, "{} records of {} bytes", fed.records, bytes.len());
        assert!(fed.anomalies.iter().all(|name| !name.is_empty()), "an anomaly has a name");
    }
}

/// Shows the payloads of `bytes` to the parser that the environment variable `PARSER` names.
///
/// # Panics
///
/// Where that is the name of no parser.
pub fn run_chosen(bytes: &[u8]) {
    static CHOSEN: LazyLock<&Protocol> = LazyLock::new(|| {
        let name = std::env::var("PARSER").unwrap_or_default();
        let chosen = all().find(|protocol| protocol.name == name);
        chosen.unwrap_or_else(|| {
            let names: Vec<_> = all().map(|protocol| protocol.name).collect();
            panic!("PARSER='{name}', expected one of: {}", names.join(" "))
        })
    });
    run(*CHOSEN, bytes);
}
