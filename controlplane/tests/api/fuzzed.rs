//! Does any call answer with a fault of our own, whatever it is sent? schemathesis makes requests from the document, good ones and bad
//! ones, and holds the answers against it.

use std::process::Command;

use crate::pypi;
use crate::rig::{Daemon, Options};

/// What is looked at of each answer.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
response_headers_conformance,response_schema_conformance,negative_data_rejection,unsupported_method,\
allow_header_conformance,ignored_auth";

/// A stream without end is no answer that it could look at; `live.rs` does.
const STREAM: &str = "/events";

/// What may take the fuzzer's own token away, or the box off the wire, so that `/health/ready` rightly says 503: fuzzed apart, so that
/// the others are asked with a token, of a box that is ready.
const ENDING: &[&str] = &[
    "/admin/drain",
    "/auth/logout",
    "/auth/password",
    "/auth/sessions/{session_id}",
    "/admin/sessions/{session_id}",
    "/admin/users/{user_id}",
];

/// Fuzzes the calls of [`ENDING`] with `--include-path`, or the others with `--exclude-path`; `None` where it is not installed.
fn fuzz(which: &str) -> Option<Daemon> {
    let program = pypi::program("schemathesis")?;
    let daemon = Daemon::start(Options::default());
    let examples = std::env::var("JARVIS_FUZZ_EXAMPLES").unwrap_or_else(|_| "20".to_owned());
    let mut command = Command::new(program);
    command
        .args(["run", &format!("http://{}/openapi.json", daemon.tcp())])
        .args(["--header", &format!("Authorization: Bearer {}", daemon.token)])
        .args(["--checks", CHECKS, "--phases", "examples,coverage,fuzzing"])
        .args(["--max-examples", &examples, "--generation-deterministic", "--workers", "1"])
        .args(["--request-timeout", "10", "--continue-on-failure", "--output-sanitize", "true"])
        .args(["--suppress-health-check", "all", "--warnings", "off"])
        .args(ENDING.iter().flat_map(|path| [which, path]))
        .args((which == "--exclude-path").then_some([which, STREAM]).into_iter().flatten())
        .current_dir(daemon.dir.path())
        .env("NO_COLOR", "1");
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
    Some(daemon)
}

#[test]
fn no_request_finds_a_fault_of_ours() {
    if let Some(daemon) = fuzz("--exclude-path") {
        let answer = daemon.over_tcp("GET", "/auth/me", "");
        assert_eq!(answer.status, 200, "it came through with the token that it began with");
    }
}

#[test]
fn no_request_that_ends_something_does() {
    fuzz("--include-path");
}
