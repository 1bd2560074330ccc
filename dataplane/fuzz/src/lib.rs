//! What must hold for any input, one function per target; libFuzzer and `smoke` call the same ones.
//!
//! A new target is a module with `pub fn run(bytes: &[u8])`, a line in [`TARGETS`], a two-line file in
//! `fuzz_targets/`, a `[[bin]]` in Cargo.toml and a folder in `corpus/`. A new parser is a target by itself
//! ([`parsers`]) and needs a folder in `corpus/parsers/`.

pub mod defrag;
pub mod engine_batch;
pub mod nat;
pub mod parse_frame;
pub mod parsers;
pub mod payload;
pub mod rules;
pub mod savefile;

#[path = "../../tests/support/mod.rs"]
mod support;

/// A target: panics where something that must hold does not.
pub type Target = fn(&[u8]);

/// Every target by the name of its corpus folder.
pub const TARGETS: &[(&str, Target)] = &[
    ("parse_frame", parse_frame::run),
    ("savefile", savefile::run),
    ("defrag", defrag::run),
    ("nat", nat::run),
    ("engine_batch", engine_batch::run),
    ("payload", payload::run),
    ("rules", rules::run),
];
