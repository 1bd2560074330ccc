//! What does whoever helps need to know? `jarvis ctl support-bundle`: one archive that may be sent away.
//!
//! Each part is had by itself: a daemon that is down, a disk that fails and a program that is not installed cost that part only, and
//! `manifest.json` says so. Everything passes [`crate::scrub`] on its way in.

use crate::cli::{Audit, AuditCommand, ConfigFlag};
use crate::config::{DEFAULT_CONFIG, PortFlags, Ports};
use crate::failure::Failure;
use crate::{audit, scrub, setup};
use controlplane::client::Client;
use serde_json::{Map, Value, json};
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

/// Last part of a log that is taken, bytes.
const LOG_BYTES_MAX: u64 = 512 << 10;

/// Calls of the API, each a file.
const CALLS: &[(&str, &str)] = &[
    ("status.json", "/telemetry"),
    ("telemetry/workers.json", "/telemetry/workers"),
    ("telemetry/ports.json", "/telemetry/ports"),
    ("telemetry/reasons.json", "/telemetry/reasons"),
    ("telemetry/latency.json", "/telemetry/latency"),
    ("telemetry/wire.json", "/telemetry/wire"),
    ("policy/versions.json", "/policy/versions?limit=100"),
];

/// Files of the kernel.
const KERNEL_FILES: &[(&str, &str)] = &[
    ("system/version", "/proc/version"),
    ("system/meminfo", "/proc/meminfo"),
    ("system/softnet_stat", "/proc/net/softnet_stat"),
    ("system/interrupts", "/proc/interrupts"),
];

/// What is collected.
#[derive(Default)]
struct Bundle {
    /// Name and content.
    files: Vec<(String, String)>,
    /// Name, and why it is not there.
    missing: Map<String, Value>,
}

impl Bundle {
    fn put(&mut self, name: &str, content: Result<String, String>) {
        match content {
            Ok(content) => self.files.push((name.to_owned(), content)),
            Err(why) => {
                self.missing.insert(name.to_owned(), scrub::text(&why).trim_end().into());
            }
        }
    }
}

/// Writes the archive; what is in it.
///
/// # Errors
///
/// Where the archive cannot be written. What cannot be had for it is no error.
pub(crate) fn bundle(
    client: &Client,
    config: &ConfigFlag,
    out: &Path,
    with_policies: bool,
    log: Option<&Path>,
) -> Result<Value, Failure> {
    let failed = |error: std::io::Error| Failure::line(format!("cannot write {}: {error}", out.display()));
    // Before all the work: a name that is taken, a directory that is not there.
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(out).map_err(failed)?;
    let bundle = collect(client, config, with_policies, log);
    let missing: Vec<String> = bundle.missing.keys().cloned().collect();
    let count = bundle.files.len();
    let written = write(bundle, &file).and_then(|()| Ok(file.metadata()?.len()));
    let len_bytes = written.map_err(|error| {
        // Half an archive helps nobody and keeps the name.
        let _gone = std::fs::remove_file(out);
        failed(error)
    })?;
    Ok(
        json!({ "file": out.display().to_string(), "len_bytes": len_bytes, "files": count, "left_out": missing }),
    )
}

fn collect(client: &Client, config: &ConfigFlag, with_policies: bool, log: Option<&Path>) -> Bundle {
    let mut bundle = Bundle::default();
    let mut ports = Vec::new();
    for (name, path) in CALLS {
        let answer = client.get(path).map_err(|error| error.to_string());
        if let (&"telemetry/ports.json", Ok(answer)) = (name, &answer) {
            let rows = answer["ports"].as_array().into_iter().flatten();
            ports = rows.filter_map(|row| row["port"].as_str().map(str::to_owned)).collect();
        }
        bundle.put(name, answer.map(without_secrets));
    }
    if with_policies {
        let document = client.get("/policy/document").map_err(|error| error.to_string());
        bundle.put("policy/document.json", document.map(without_secrets));
    }
    bundle.put("configuration.json", configuration(client, config));
    bundle.put("audit.txt", Ok(scrub::text(&audit_verdict(config))));

    if ports.is_empty() {
        let read = setup::read_config(config, &PortFlags::default(), Ports::Optional);
        ports = read
            .map(|config| config.ports.into_iter().map(|port| port.interface).collect())
            .unwrap_or_default();
    }
    for (name, path) in KERNEL_FILES {
        bundle.put(name, std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}")));
    }
    bundle.put("system/uname", run("uname", &["-srvmo"]));
    for port in &ports {
        for (what, flag) in [("features", "-k"), ("driver", "-i"), ("rings", "-g"), ("counters", "-S")] {
            bundle.put(&format!("ports/{port}/{what}"), run("ethtool", &[flag, port]));
        }
        bundle.put(&format!("ports/{port}/link"), run("ip", &["-s", "-d", "link", "show", "dev", port]));
    }
    let lines = match log {
        Some(path) => tail(path).map_err(|error| format!("{}: {error}", path.display())),
        None => run("journalctl", &["--unit", "jarvis", "--lines", "2000", "--no-pager", "--quiet"]),
    };
    let lines =
        lines.and_then(
            |lines| if lines.trim().is_empty() { Err("it has no lines".to_owned()) } else { Ok(lines) },
        );
    bundle.put("log.txt", lines.map(|lines| scrub::text(&lines)));
    bundle
}

fn without_secrets(mut answer: Value) -> String {
    scrub::answer(&mut answer);
    pretty(&answer)
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_else(|_| value.to_string())
}

/// As the daemon has it, else as the file has it; without comments, which may say anything.
fn configuration(client: &Client, flag: &ConfigFlag) -> Result<String, String> {
    let mut value = match client.get("/admin/config") {
        Ok(answer) => answer,
        Err(_) => {
            let text = match &flag.config {
                Some(path) => {
                    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?
                }
                None => DEFAULT_CONFIG.to_owned(),
            };
            // What the parser says of a wrong line may quote it.
            toml::from_str::<Value>(&text)
                .map_err(|_| "the configuration is no TOML: see `jarvis check`".to_owned())?
        }
    };
    scrub::configuration(&mut value);
    Ok(pretty(&value))
}

fn audit_verdict(config: &ConfigFlag) -> String {
    let typed = Audit {
        command: AuditCommand::Verify {
            config: ConfigFlag { config: config.config.clone() },
            directory: None,
            keys: None,
        },
    };
    match audit::run(&typed) {
        Ok(lines) => lines.join("\n"),
        Err(failure) => failure.to_string(),
    }
}

fn run(program: &str, words: &[&str]) -> Result<String, String> {
    let output = Command::new(program)
        .args(words)
        .stdin(std::process::Stdio::null())
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    if !output.status.success() {
        return Err(format!(
            "{program} {}: {}",
            words.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        ));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The last whole lines of a file.
fn tail(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let len = file.metadata()?.len();
    let start = len.saturating_sub(LOG_BYTES_MAX);
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(LOG_BYTES_MAX).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    Ok(match (start, text.split_once('\n')) {
        // A line whose beginning is cut off may be the one with the password.
        (1.., Some((_, whole))) => {
            whole.split_once('\n').map_or(String::new(), |(_, whole)| whole.to_owned())
        }
        _ => text.into_owned(),
    })
}

fn write(mut bundle: Bundle, file: &File) -> std::io::Result<()> {
    let now_s = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs();
    let names: Vec<&String> = bundle.files.iter().map(|(name, _)| name).collect();
    let manifest = json!({
        "program": env!("CARGO_PKG_NAME"), "version": env!("CARGO_PKG_VERSION"), "made_s": now_s,
        "files": names, "left_out": bundle.missing,
    });
    bundle.files.insert(0, ("manifest.json".to_owned(), pretty(&manifest)));
    let mut archive = tar::Builder::new(zstd::Encoder::new(file, 3)?);
    for (name, content) in &bundle.files {
        let content = without_own_keys(content);
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(now_s);
        archive.append_data(&mut header, format!("jarvis-support/{name}"), content.as_bytes())?;
    }
    let mut file = archive.into_inner()?.finish()?;
    file.flush()?;
    file.sync_all()
}

/// Keys of this process's environment are in no file, however they came there.
fn without_own_keys(content: &str) -> String {
    let secrets = ["PQC_SK_B64", "API_HMAC_KEY"].into_iter().filter_map(|name| std::env::var(name).ok());
    secrets
        .filter(|secret| secret.len() >= 8)
        .fold(content.to_owned(), |content, secret| content.replace(&secret, scrub::REMOVED))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_taken_from_its_end_and_no_line_without_its_beginning() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        std::fs::write(&path, "one\ntwo\n").unwrap();
        assert_eq!(tail(&path).unwrap(), "one\ntwo\n");
        let text: String = (0..100_000).map(|number| format!("line {number}\n")).collect();
        std::fs::write(&path, &text).unwrap();
        let end = tail(&path).unwrap();
        assert!(end.starts_with("line ") && end.ends_with("line 99999\n") && text.ends_with(&end));
        assert!(end.len() as u64 > LOG_BYTES_MAX - 100, "{}", end.len());
    }
}
