//! How fast is Suricata inline? AF_PACKET with `copy-mode: ips` both ways, one worker a port.
//!
//! No rules and no outputs unless asked: what is left is capture, decoding, flow, stream and application
//! layer at their default inspection depth. Both workers share the device's core, as the appliance's one
//! worker serves both ports.

use std::path::Path;

use super::{Error, Running, Work};
use crate::rig::Rig;
use crate::rig::command::{on_path, run};

/// Starts Suricata between the ports. `rules` is a rule file, `flows` sizes its flow table.
///
/// # Errors
///
/// Suricata is not installed, or does not start.
pub(crate) fn start(rig: &Rig, flows: u64, rules: Option<&Path>) -> Result<Running, Error> {
    if !on_path("suricata") {
        return Err(Error::Missing("suricata"));
    }
    let folder = super::work_folder(&rig.config.prefix, "suricata")?;
    let config = folder.join("suricata.yaml");
    std::fs::write(&config, configuration(&rig.ports(), flows, rig.config.dut_core))
        .map_err(|source| Error::io(config.display().to_string(), source))?;
    let rules = rules.unwrap_or(Path::new("/dev/null"));
    let words: Vec<String> = [
        "suricata",
        "-c",
        &config.display().to_string(),
        "--af-packet",
        "--runmode",
        "workers",
        "-S",
        &rules.display().to_string(),
        "-l",
        &folder.display().to_string(),
        "-v",
    ]
    .map(str::to_owned)
    .into();
    let (child, log) = super::start_program(rig, &words, &folder)?;
    rig.place_napi()?;
    let version = run("suricata -V").unwrap_or_default().trim().to_owned();
    let notes = vec![
        ("version".to_owned(), version),
        (
            "capture".to_owned(),
            "af-packet, copy-mode ips, tpacket v2, ring 100000, one worker a port".to_owned(),
        ),
        ("flows".to_owned(), format!("hash size and prealloc {}", flows.max(65_536))),
        ("rules".to_owned(), rules.display().to_string()),
    ];
    Ok(Running::new("suricata", notes, Work::Program { child, log, folder: Some(folder) }))
}

/// Configuration of a replay: the package's own, with the records and variables that the appliance gets too.
pub(crate) const REPLAY_CONFIGURATION: &str = "%YAML 1.1\n---\n\
    include: /etc/suricata/suricata.yaml\n\
    vars:\n  address-groups:\n    HOME_NET: any\n    EXTERNAL_NET: any\n    HTTP_SERVERS: any\n    SMTP_SERVERS: any\n    \
    SQL_SERVERS: any\n    DNS_SERVERS: any\n    TELNET_SERVERS: any\n    AIM_SERVERS: any\n    DC_SERVERS: any\n    \
    DNP3_SERVER: any\n    DNP3_CLIENT: any\n    MODBUS_CLIENT: any\n    MODBUS_SERVER: any\n    ENIP_CLIENT: any\n    \
    ENIP_SERVER: any\n\
    stats:\n  enabled: no\n\
    outputs:\n  - eve-log:\n      enabled: yes\n      filetype: regular\n      filename: eve.json\n      types: [alert, flow]\n";

fn configuration(ports: &[String; 2], flows: u64, core: usize) -> String {
    let flows = flows.max(65_536);
    let [port_a, port_b] = ports;
    let capture = |port: &str, peer: &str, cluster: u32| {
        format!(
            "  - interface: {port}\n    threads: 1\n    cluster-id: {cluster}\n    cluster-type: cluster_flow\n    \
             defrag: yes\n    copy-mode: ips\n    copy-iface: {peer}\n    use-mmap: yes\n    ring-size: 100000\n    \
             checksum-checks: no\n"
        )
    };
    format!(
        "%YAML 1.1\n---\n\
         vars:\n  address-groups:\n    HOME_NET: \"[10.0.0.0/9]\"\n    EXTERNAL_NET: \"any\"\n\
         default-log-dir: /tmp\n\
         stats:\n  enabled: no\n\
         outputs: []\n\
         logging:\n  default-log-level: notice\n  outputs:\n    - console:\n        enabled: yes\n\
         af-packet:\n{}{}\
         capture:\n  disable-offloading: false\n\
         max-pending-packets: 10000\n\
         flow:\n  memcap: 8gb\n  hash-size: {flows}\n  prealloc: {flows}\n  emergency-recovery: 30\n\
         stream:\n  memcap: 2gb\n  checksum-validation: no\n  inline: auto\n  reassembly:\n    memcap: 2gb\n    depth: 1mb\n\
         threading:\n  set-cpu-affinity: yes\n  cpu-affinity:\n    - management-cpu-set:\n        cpu: [ {core} ]\n    \
         - worker-cpu-set:\n        cpu: [ {core} ]\n        mode: exclusive\n        prio:\n          default: medium\n",
        capture(port_a, port_b, 98),
        capture(port_b, port_a, 99),
    )
}
