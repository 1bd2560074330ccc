//! Where is it measured? Two veth pairs, the device under test between them, the far ends beside it.
//!
//! ```text
//!   namespace PREFIX-far              namespace PREFIX-dut
//!   far A  PREFIXg0 ================= PREFIXp0  port A (inside)  --+
//!                                                                  +-- device under test, core 1
//!   far B  PREFIXs0 ================= PREFIXp1  port B (outside) --+
//!   sender and counters, core 0
//! ```
//!
//! The same for every peer: frames leave the sender as XDP frames (what a driver gives, no socket buffer
//! yet), NAPI of both ports is threaded and pinned to the device's core, NAPI of the far ends to the
//! sender's core (see [`placement`]), GRO is on at the ports (it makes a veth port a NAPI device even without an XDP program),
//! segmentation and VLAN offloads are off, the far ends count in XDP and drop. So the device pays for its
//! own receive path, its work and its transmit path, and for nothing of the sender's or the counters'.

pub(crate) mod cleanup;
pub(crate) mod command;
pub(crate) mod counter;
pub(crate) mod placement;
pub(crate) mod sender;

use crate::traffic::workload::{MAC_A, MAC_B};
use command::run;

/// MAC of the device's port A, the router's address for peers that route.
pub(crate) const MAC_PORT_A: [u8; 6] = [0x02, 0x4a, 0x50, 0, 0, 0x01];
/// MAC of the device's port B.
pub(crate) const MAC_PORT_B: [u8; 6] = [0x02, 0x4a, 0x50, 0, 0, 0x02];

/// The object with the far ends' programs, `bpf/far.bpf.c`.
pub(crate) static FAR_OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/far.bpf.o"));

/// Why there is no rig.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A program failed.
    #[error(transparent)]
    Command(#[from] command::Error),
    /// The namespace cannot be entered.
    #[error("cannot enter network namespace {name}: {source}")]
    Enter { name: String, source: std::io::Error },
    /// BPF said no.
    #[error("{what}: {reason}")]
    Bpf { what: &'static str, reason: String },
    /// No signal handler.
    #[error("cannot handle signals: {0}")]
    Signals(std::io::Error),
    /// `ip` printed something unforeseen.
    #[error("no interface index of {0}")]
    NoIndex(String),
}

impl Error {
    pub(crate) fn bpf(what: &'static str, error: impl std::error::Error) -> Self {
        // aya keeps the kernel's words one level down.
        let reason = match error.source() {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        };
        Self::Bpf { what, reason }
    }
}

/// How the rig is made.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Config {
    /// Starts the names of namespaces and interfaces; at most eight letters.
    pub(crate) prefix: String,
    /// Where the sender and the counters run.
    pub(crate) sender_core: usize,
    /// Where the device under test runs, its NAPI included.
    pub(crate) dut_core: usize,
    /// Queues of each veth.
    pub(crate) queues: u32,
    /// Bytes of IP that the links carry.
    pub(crate) mtu: u32,
}

/// Namespaces and links; gone when dropped.
#[derive(Debug)]
pub(crate) struct Rig {
    pub(crate) config: Config,
    /// Interfaces of this machine instead of the veth pairs; then there is no namespace and no sender.
    nics: Option<[String; 2]>,
}

impl Rig {
    /// Builds namespaces and links, and moves the calling thread into the far ends' namespace.
    ///
    /// # Errors
    ///
    /// See [`Error`]; nothing is left behind.
    pub(crate) fn new(config: Config) -> Result<Self, Error> {
        cleanup::prepare(&config.prefix)?;
        let rig = Self { config, nics: None };
        rig.build()?;
        let far = rig.far_namespace();
        xsk::netns::enter(&far).map_err(|source| Error::Enter { name: far, source })?;
        Ok(rig)
    }

    /// No rig of its own: the device runs between two interfaces of this machine, another one sends.
    ///
    /// # Errors
    ///
    /// No signal handler.
    pub(crate) fn on_nics(config: Config, ports: [String; 2]) -> Result<Self, Error> {
        cleanup::prepare(&config.prefix)?;
        Ok(Self { config, nics: Some(ports) })
    }

    /// Whether the ports are this machine's own interfaces.
    pub(crate) const fn is_on_nics(&self) -> bool {
        self.nics.is_some()
    }

    pub(crate) fn far_namespace(&self) -> String {
        format!("{}-far", self.config.prefix)
    }

    pub(crate) fn dut_namespace(&self) -> String {
        format!("{}-dut", self.config.prefix)
    }

    /// Interface names of far end A and far end B.
    pub(crate) fn far_ends(&self) -> [String; 2] {
        ["g0", "s0"].map(|suffix| format!("{}{suffix}", self.config.prefix))
    }

    /// Interface names of the device's port A and port B.
    pub(crate) fn ports(&self) -> [String; 2] {
        if let Some(nics) = &self.nics {
            return nics.clone();
        }
        ["p0", "p1"].map(|suffix| format!("{}{suffix}", self.config.prefix))
    }

    /// Words that start a program in the device's namespace, dying with the harness.
    pub(crate) fn dut_prefix(&self) -> Vec<String> {
        let mut words = "setpriv --pdeathsig KILL".to_owned();
        if !self.is_on_nics() {
            words.push_str(&format!(" nsenter --net=/run/netns/{}", self.dut_namespace()));
        }
        words.split(' ').map(str::to_owned).collect()
    }

    fn build(&self) -> Result<(), Error> {
        let (far, dut) = (self.far_namespace(), self.dut_namespace());
        let Config { queues, mtu, .. } = self.config;
        for namespace in [&far, &dut] {
            run(&format!("ip netns add {namespace}"))?;
            run(&format!("ip -n {namespace} link set lo up"))?;
            for key in ["net.ipv6.conf.all.disable_ipv6", "net.ipv6.conf.default.disable_ipv6"] {
                run(&format!("ip netns exec {namespace} sysctl -qw {key}=1"))?;
            }
        }
        let macs = [(MAC_A, MAC_PORT_A), (MAC_B, MAC_PORT_B)];
        for ((far_end, port), (far_mac, port_mac)) in self.far_ends().iter().zip(&self.ports()).zip(macs) {
            run(&format!(
                "ip link add {far_end} netns {far} address {} mtu {mtu} numrxqueues {queues} numtxqueues {queues} \
                 type veth peer name {port} netns {dut} address {} mtu {mtu} numrxqueues {queues} numtxqueues \
                 {queues}",
                mac_text(far_mac),
                mac_text(port_mac),
            ))?;
            for (namespace, interface) in [(&far, far_end), (&dut, port)] {
                run(&format!(
                    "ip netns exec {namespace} ethtool -K {interface} tx off rxvlan off txvlan off gro on tso off gso off"
                ))?;
            }
        }
        for (namespace, interfaces) in [(&dut, self.ports()), (&far, self.far_ends())] {
            for interface in &interfaces {
                run(&format!("ip -n {namespace} link set {interface} up"))?;
            }
        }
        self.take_xdp_frames()?;
        Ok(())
    }

    /// Makes the ports take XDP frames without an XDP program of their own. A veth tells its peer so only
    /// when GRO is switched on while it is up, so it is switched off and on; a program that switches it
    /// off (Suricata does) has the same cure.
    ///
    /// # Errors
    ///
    /// `ethtool` refuses.
    pub(crate) fn take_xdp_frames(&self) -> Result<(), Error> {
        for port in self.ports() {
            for state in ["off", "on"] {
                run(&format!("ip netns exec {} ethtool -K {port} gro {state}", self.dut_namespace()))?;
            }
        }
        Ok(())
    }

    /// The interface's index in `namespace`.
    ///
    /// # Errors
    ///
    /// `ip` fails.
    pub(crate) fn index_of(namespace: &str, interface: &str) -> Result<u32, Error> {
        let text = run(&format!("ip -n {namespace} -j link show {interface}"))?;
        serde_json::from_str::<serde_json::Value>(&text)
            .ok()
            .and_then(|links| links[0]["ifindex"].as_u64())
            .map(|index| index as u32)
            .ok_or_else(|| Error::NoIndex(interface.to_owned()))
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        cleanup::everything();
    }
}

/// `02:4a:...`
pub(crate) fn mac_text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}
