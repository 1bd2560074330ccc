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
    let commit = Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).output();
    let commit = commit.ok().filter(|output| output.status.success());
    let commit =
        commit.map_or_else(String::new, |output| String::from_utf8_lossy(&output.stdout).into_owned());
    println!("cargo:rustc-env=JARVIS_PERF_COMMIT={}", commit.trim());
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
