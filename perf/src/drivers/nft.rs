//! How fast is the kernel's own firewall? Routing between the ports with conntrack and nftables.
//!
//! Routing, because a bridge with connection tracking is not in every kernel. Established connections are
//! accepted by the first rule; `policies` rules that do not match stand before the one that accepts new
//! ones. Conntrack gets a table for twice the flows and does not verify checksums (cards do).

use super::{Error, Running, Work};
use crate::rig::command::{on_path, run, run_words};
use crate::rig::{Rig, cleanup, mac_text};
use crate::traffic::workload::{MAC_A, MAC_B};

/// Sets up the router. `flows` sizes conntrack's table.
///
/// # Errors
///
/// No nftables, or `ip`, `sysctl` or `nft` refuse.
pub(crate) fn start(rig: &Rig, flows: u64, policies: usize) -> Result<Running, Error> {
    if !on_path("nft") {
        return Err(Error::Missing("nft (Debian: nftables)"));
    }
    if rig.is_on_nics() {
        return Err(Error::NeedsRig("nft"));
    }
    let namespace = rig.dut_namespace();
    let [port_a, port_b] = rig.ports();
    let sides = [(&port_a, 1, "10.0.0.0/9", MAC_A), (&port_b, 2, "10.128.0.0/9", MAC_B)];
    for (port, net, routed, mac) in sides {
        run(&format!("ip -n {namespace} addr add 192.168.{net}.1/24 dev {port}"))?;
        run(&format!(
            "ip -n {namespace} neigh replace 192.168.{net}.2 lladdr {} nud permanent dev {port}",
            mac_text(mac)
        ))?;
        run(&format!("ip -n {namespace} route add {routed} via 192.168.{net}.2 dev {port}"))?;
        run(&format!("ip netns exec {namespace} sysctl -qw net.ipv4.conf.{port}.rp_filter=0"))?;
    }
    run(&format!(
        "ip netns exec {namespace} sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 \
         net.ipv4.conf.all.send_redirects=0"
    ))?;

    let file = super::work_folder(&rig.config.prefix, "nft")?.join("rules.nft");
    std::fs::write(&file, ruleset(policies))
        .map_err(|source| Error::io(file.display().to_string(), source))?;
    run_words(&["ip", "netns", "exec", &namespace, "nft", "-f", &file.display().to_string()])?;
    run(&format!("ip netns exec {namespace} sysctl -qw net.netfilter.nf_conntrack_checksum=0"))?;

    for path in ["/sys/module/nf_conntrack/parameters/hashsize", "/proc/sys/net/netfilter/nf_conntrack_max"] {
        raise(path, flows.max(65_536) * 2)?;
    }
    rig.place_napi()?;
    let version = run("nft --version").unwrap_or_default().trim().to_owned();
    let notes = vec![
        ("version".to_owned(), version),
        ("ruleset".to_owned(), format!("ct established accept, {policies} rules that do not match, accept")),
        ("conntrack".to_owned(), format!("hash size and maximum {}", flows.max(65_536) * 2)),
    ];
    Ok(Running::new("nft", notes, Work::Kernel))
}

/// The rules: stateful, and linear as an administrator writes them.
fn ruleset(policies: usize) -> String {
    let mut text = String::from(
        "table inet perf {\n  chain forward {\n    type filter hook forward priority filter; policy drop;\n    \
         ct state established,related accept\n    ct state invalid drop\n",
    );
    for index in 0..policies {
        let (high, low) = (index / 250 % 250, index % 250);
        text.push_str(&format!(
            "    ip saddr 172.16.{high}.{low} tcp dport {} drop\n",
            1000 + index % 50_000
        ));
    }
    text.push_str("    ip saddr 10.0.0.0/8 accept\n  }\n}\n");
    text
}

/// Raises a number of the whole machine, which only its first network namespace may do; the clean-up restores
/// the old one.
fn raise(path: &str, at_least: u64) -> Result<(), Error> {
    let home = cleanup::home_namespace()?;
    let on_host = |command: String| {
        ["nsenter", &format!("--net={home}"), "sh", "-c", &command].map(str::to_owned).to_vec()
    };
    let run = |words: &[String]| run_words(&words.iter().map(String::as_str).collect::<Vec<_>>());
    let old = run(&on_host(format!("cat {path}")))?.trim().to_owned();
    if old.parse::<u64>().is_ok_and(|number| number >= at_least) {
        return Ok(());
    }
    run(&on_host(format!("echo {at_least} > {path}")))?;
    cleanup::remember_command(on_host(format!("echo {old} > {path}")));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::ruleset;

    #[test]
    fn the_ruleset_has_a_rule_for_each_policy_between_its_first_and_its_last() {
        let text = ruleset(3);
        assert_eq!(text.matches(" drop\n").count(), 3 + 1);
        assert!(text.find("established").unwrap() < text.find("172.16.0.0").unwrap());
        assert!(text.find("172.16.0.2").unwrap() < text.find("10.0.0.0/8 accept").unwrap());
    }
}
