//! Compiles the XDP program with clang and leaves its object for `include_bytes!`.

use std::path::PathBuf;
use std::process::{Command, exit};

fn main() {
    let source = "program/jarvis.bpf.c";
    println!("cargo::rerun-if-changed={source}");
    println!("cargo::rerun-if-env-changed=CLANG");
    let clang = std::env::var("CLANG").unwrap_or_else(|_| "clang".to_owned());
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("jarvis.bpf.o");
    // -g is the BTF that the map definitions live in. -mcpu=v3 (Linux 5.1) brings 32-bit compares, which clang 14
    // does not choose by itself.
    let compiled = Command::new(&clang)
        .args(["-O2", "-g", "-Wall", "-Werror", "-target", "bpf", "-mcpu=v3", "-c", source, "-o"])
        .arg(&out)
        .status();
    match compiled {
        Ok(status) if status.success() => {}
        Ok(status) => fail(&format!("{clang} could not compile {source} ({status})")),
        Err(err) => fail(&format!(
            "{clang} could not be started ({err}); install it (Debian: apt-get install clang) or set CLANG"
        )),
    }
}

fn fail(reason: &str) -> ! {
    println!("cargo::error=the XDP program was not built: {reason}");
    exit(1);
}
