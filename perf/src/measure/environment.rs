//! What must a reader know to believe a number? The machine, the kernel, the build, and how busy it was.

use std::fs::read_to_string;

/// Kept in every result file.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Environment {
    /// Seconds since 1970, at the start.
    pub(crate) unix_time_s: u64,
    /// `uname -r`.
    pub(crate) kernel: String,
    /// Model name.
    pub(crate) cpu: String,
    /// How many.
    pub(crate) cores: usize,
    /// Nominal frequency.
    pub(crate) nominal_ghz: f64,
    /// Mitigations in force, `name: state`; what is not affected is left out.
    pub(crate) mitigations: Vec<String>,
    /// Memory of the machine.
    pub(crate) memory_mib: u64,
    /// Whether it is a virtual machine.
    pub(crate) virtualised: bool,
    /// Where cycles come from.
    pub(crate) cycles_from: String,
    /// Load average of the last minute at the start: above 0.3 or so the numbers are noise.
    pub(crate) load_at_start: f64,
    /// Share of the processors' time that the hypervisor took, start to end.
    pub(crate) steal_share: f64,
    /// Commit the harness was built from.
    pub(crate) commit: String,
    /// Whether the harness is a debug build.
    pub(crate) debug_build: bool,
    /// Command line.
    pub(crate) command: String,
}

impl Environment {
    /// Looks around.
    pub(crate) fn now() -> Self {
        let cpuinfo = read_to_string("/proc/cpuinfo").unwrap_or_default();
        let field = |name: &str| {
            cpuinfo
                .lines()
                .find_map(|line| line.strip_prefix(name)?.split(':').nth(1))
                .unwrap_or("")
                .trim()
                .to_owned()
        };
        let meminfo = read_to_string("/proc/meminfo").unwrap_or_default();
        let memory_kib = meminfo
            .lines()
            .find_map(|line| line.strip_prefix("MemTotal:")?.split_whitespace().next()?.parse::<u64>().ok());
        let counted = super::cost::counters_work();
        Self {
            unix_time_s: std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .map_or(0, |since| since.as_secs()),
            kernel: read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
            cpu: field("model name"),
            cores: cpuinfo.lines().filter(|line| line.starts_with("processor")).count(),
            nominal_ghz: super::cost::nominal_ghz(),
            mitigations: mitigations(),
            memory_mib: memory_kib.unwrap_or(0) / 1024,
            virtualised: field("flags").split(' ').any(|flag| flag == "hypervisor"),
            cycles_from: if counted {
                "perf counters, user and kernel".to_owned()
            } else {
                "processor time of the threads x nominal frequency (this machine counts no cycles)".to_owned()
            },
            load_at_start: read_to_string("/proc/loadavg")
                .ok()
                .and_then(|text| text.split(' ').next()?.parse().ok())
                .unwrap_or(0.0),
            steal_share: 0.0,
            commit: option_env!("JARVIS_PERF_COMMIT").unwrap_or("").to_owned(),
            debug_build: cfg!(debug_assertions),
            command: std::env::args().collect::<Vec<_>>().join(" "),
        }
    }
}

/// Ticks that the hypervisor took, and all ticks, since boot.
pub(crate) fn steal_ticks() -> (u64, u64) {
    let text = read_to_string("/proc/stat").unwrap_or_default();
    let fields: Vec<u64> = text
        .lines()
        .next()
        .unwrap_or("")
        .split_whitespace()
        .skip(1)
        .filter_map(|field| field.parse().ok())
        .collect();
    (fields.get(7).copied().unwrap_or(0), fields.iter().take(8).sum())
}

fn mitigations() -> Vec<String> {
    let Ok(entries) = std::fs::read_dir("/sys/devices/system/cpu/vulnerabilities") else { return Vec::new() };
    let mut found: Vec<String> = entries
        .flatten()
        .filter_map(|entry| {
            let state = read_to_string(entry.path()).ok()?;
            let state = state.trim();
            (state != "Not affected").then(|| format!("{}: {state}", entry.file_name().to_string_lossy()))
        })
        .collect();
    found.sort();
    found
}
