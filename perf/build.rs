//! Compiles the far ends' BPF programs; clang is the one tool needed.

use std::env;
use std::path::PathBuf;
use std::process::Command;

fn main() {
    let source = "bpf/far.bpf.c";
    println!("cargo:rerun-if-changed={source}");
    let out = PathBuf::from(env::var("OUT_DIR").expect("cargo sets OUT_DIR")).join("far.bpf.o");
    let status = Command::new("clang")
        .args(["-O2", "-g", "-target", "bpf", "-mcpu=v3", "-Wall", "-Wno-unused-function", "-c", source, "-o"])
        .arg(&out)
        .status()
        .expect("clang compiles the far ends' programs: install it (Debian: clang)");
    assert!(status.success(), "clang refused {source}");
}
