//! Compiles the harness's BPF programs; clang is the one tool needed.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    let out = PathBuf::from(env::var("OUT_DIR").expect("cargo sets OUT_DIR"));
    for name in ["far", "bare"] {
        let source = format!("bpf/{name}.bpf.c");
        println!("cargo:rerun-if-changed={source}");
        compile(&source, &out.join(format!("{name}.bpf.o")));
    }
    println!("cargo:rustc-env=JARVIS_PERF_COMMIT={}", git(&["rev-parse", "--short=12", "HEAD"]));
    // Written at every commit, wherever the work tree keeps it.
    println!("cargo:rerun-if-changed={}", git(&["rev-parse", "--git-path", "logs/HEAD"]));
}

/// What git says, empty without git.
fn git(arguments: &[&str]) -> String {
    let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success());
    output.map_or_else(String::new, |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn compile(source: &str, object: &Path) {
    let status = Command::new("clang")
        .args([
            "-O2",
            "-g",
            "-target",
            "bpf",
            "-mcpu=v3",
            "-Wall",
            "-Wno-unused-function",
            "-c",
            source,
            "-o",
        ])
        .arg(object)
        .status()
        .expect("clang compiles the BPF programs: install it (Debian: clang)");
    assert!(status.success(), "clang refused {source}");
}
