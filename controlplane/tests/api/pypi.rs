//! Programs of PyPI that drive the API: `scripts/packages test` puts them into `target/python`.

use std::path::PathBuf;

/// A program of the virtual environment; `None`, and a line that says so, where it was not made.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target")), PathBuf::from);
    let program = target.join("python/bin").join(name);
    if program.exists() {
        return Some(program);
    }
    let required = std::env::var_os("JARVIS_NETNS").is_some_and(|value| value == "require");
    assert!(!required, "{} is missing: scripts/packages test", program.display());
    eprintln!("not tried: no {} (scripts/packages test)", program.display());
    None
}
