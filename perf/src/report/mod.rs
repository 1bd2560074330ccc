//! What came out, for people and for programs: result files, tables, BENCHMARKS.md, plots.

pub(crate) mod markdown;
pub(crate) mod plot;
pub(crate) mod result;
pub(crate) mod table;
