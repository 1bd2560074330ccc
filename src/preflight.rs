//! Can this machine do what the configuration asks?
//!
//! [`judge`] compares the configuration with what was found out about interfaces, rights and memory. All
//! refusals are told at once, each one clear sentence with what to do; nothing has been changed by then.
//! A queue that another program holds shows only when the socket is bound.

use crate::config::{Config, Mode, Port};
use crate::cores::{self, CorePlan};
use crate::failure::Failure;
use caps::Capability;
use std::net::TcpListener;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use xsk::Interface;

/// Refuses what this machine cannot do; otherwise says which core does what.
///
/// # Errors
///
/// Every refusal, one sentence each.
pub(crate) fn check(config: &Config) -> Result<CorePlan, Failure> {
    let mut refusals = look(config);
    if UnixStream::connect(&config.api.socket).is_ok() {
        refusals
            .push(format!("another daemon serves already: it answers on {}", config.api.socket.display()));
    } else {
        refusals.extend(deaf(config));
    }
    let usable = cores::usable().map_err(|error| Failure::line(format!("cannot read the cores: {error}")))?;
    let workers = usize::from(config.worker.count);
    match cores::plan(&usable, workers, &config.worker.cores, &config.control_cores) {
        Ok(plan) if refusals.is_empty() => {
            if plan.shared {
                tracing::warn!("a worker shares its core with the control plane");
            }
            Ok(plan)
        }
        Ok(_) => Err(Failure::lines(refusals)),
        Err(more) => {
            refusals.extend(more);
            Err(Failure::lines(refusals))
        }
    }
}

/// Where the API cannot listen. Found here, before rights are given up that undoing an attached wire takes.
fn deaf(config: &Config) -> Vec<String> {
    let mut refusals = Vec::new();
    if let Err(error) = TcpListener::bind(config.api.listen) {
        refusals.push(format!("cannot listen on {}: {error}", config.api.listen));
    }
    let socket = &config.api.socket;
    let trial = socket.with_file_name(format!(".jarvis-{}", std::process::id()));
    match UnixListener::bind(&trial) {
        Ok(_closed) => {
            let _gone = std::fs::remove_file(&trial);
        }
        Err(error) => refusals.push(format!("cannot listen on {}: {error}", socket.display())),
    }
    refusals
}

/// The same for the wire alone, which needs no core.
///
/// # Errors
///
/// Every refusal, one sentence each.
pub(crate) fn check_ports(config: &Config) -> Result<(), Failure> {
    let refusals = look(config);
    if refusals.is_empty() { Ok(()) } else { Err(Failure::lines(refusals)) }
}

/// Asks the machine and judges; warnings are logged.
fn look(config: &Config) -> Vec<String> {
    let ports: Vec<Option<PortFacts>> = config.ports.iter().map(|port| port_facts(&port.interface)).collect();
    let Judgement { mut refusals, warnings } = judge(config, &ports, &machine_facts());
    if let Some(mirror) = &config.mirror {
        match port_facts(mirror) {
            None => refusals.push(format!("there is no interface {mirror} (mirror.interface)")),
            Some(facts) if !facts.up => {
                refusals.push(format!("{mirror} (mirror.interface) is down: `ip link set {mirror} up`"));
            }
            Some(facts) if facts.tx_queues < u32::from(config.worker.count) => refusals.push(format!(
                "{mirror} (mirror.interface) has {} transmit queue(s), each of {} worker(s) needs one",
                facts.tx_queues, config.worker.count
            )),
            Some(_) => {}
        }
    }
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    refusals
}

/// What was found out about one interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PortFacts {
    /// Administratively up.
    pub up: bool,
    /// A link partner is there.
    pub carrier: bool,
    /// Bytes.
    pub mtu: u32,
    /// Receive queues in use.
    pub rx_queues: u32,
    /// Transmit queues in use.
    pub tx_queues: u32,
    /// Driver's name, empty where it is not told.
    pub driver: String,
    /// Offloads that are on.
    pub offloads: Vec<Offload>,
}

/// Receive offloads that change frames before XDP sees them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offload {
    /// VLAN tags go into metadata.
    RxVlan,
    /// Segments are joined by the NIC.
    Lro,
    /// The same, reversibly.
    GroHw,
}

impl Offload {
    const fn name(self) -> &'static str {
        match self {
            Self::RxVlan => "rxvlan",
            Self::Lro => "LRO",
            Self::GroHw => "GRO-HW",
        }
    }
}

/// What was found out about the process and the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MachineFacts {
    /// Interfaces that hold a default route.
    pub default_routes: Vec<String>,
    /// Capabilities that are needed and missing.
    pub missing: Vec<Capability>,
    /// Bytes that may be locked; `None`: no limit.
    pub lockable_bytes: Option<u64>,
}

/// What stands in the way, and what only deserves a word.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Judgement {
    /// Reasons not to start.
    pub refusals: Vec<String>,
    /// Things to look at.
    pub warnings: Vec<String>,
}

/// Compares wish and machine. `ports` stands beside `config.ports`; `None` where there is no such interface.
pub(crate) fn judge(config: &Config, ports: &[Option<PortFacts>], machine: &MachineFacts) -> Judgement {
    let mut judgement = Judgement::default();
    for (port, facts) in config.ports.iter().zip(ports) {
        match facts {
            Some(facts) => judge_port(config, port, facts, machine, &mut judgement),
            None => judgement.refusals.push(format!(
                "there is no interface {}: see `ip link` for those of this network namespace",
                port.interface
            )),
        }
    }
    if let ([first, second], [Some(a), Some(b)]) = (config.ports.as_slice(), ports)
        && a.mtu != b.mtu
    {
        judgement.refusals.push(format!(
            "{} has MTU {} and {} has {}: a transparent wire needs equal ones, set them with \
             `ip link set {} mtu {}`",
            first.interface, a.mtu, second.interface, b.mtu, second.interface, a.mtu
        ));
    }
    if !machine.missing.is_empty() {
        let names: Vec<String> = machine.missing.iter().map(ToString::to_string).collect();
        judgement.refusals.push(format!(
            "{} missing: run as root, or with these capabilities (systemd/jarvis.service grants them)",
            names.join(", ")
        ));
    }
    let needed = umem_bytes(config);
    if let Some(lockable) = machine.lockable_bytes
        && lockable < needed
    {
        judgement.refusals.push(format!(
            "packet memory needs {} KiB of locked memory, the limit is {} KiB: raise it with \
             `ulimit -l unlimited` or LimitMEMLOCK=infinity, or lower worker.frames",
            needed / 1024,
            lockable / 1024
        ));
    }
    judgement
}

fn judge_port(
    config: &Config,
    port: &Port,
    facts: &PortFacts,
    machine: &MachineFacts,
    judgement: &mut Judgement,
) {
    let name = &port.interface;
    let Judgement { refusals, warnings } = judgement;
    if machine.default_routes.contains(name) {
        refusals.push(format!("{name} holds the default route: the management interface cannot be a port"));
    }
    if !facts.up {
        refusals.push(format!("{name} is down: `ip link set {name} up`"));
    } else if !facts.carrier {
        warnings.push(format!("{name} has no link partner yet"));
    }
    let workers = u32::from(config.worker.count);
    if facts.rx_queues != workers {
        refusals.push(format!(
            "{name} has {} receive queue(s) for {workers} worker(s): set worker.count = {} or \
             `scripts/nic-queues --interface {name} --queues {workers}`",
            facts.rx_queues, facts.rx_queues
        ));
    } else if facts.tx_queues < workers && config.mode == Mode::Inline {
        refusals.push(format!(
            "{name} has {} transmit queue(s) for {workers} worker(s), each needs one",
            facts.tx_queues
        ));
    }
    if facts.driver == "veth" {
        // veth carries tags in metadata whatever its own rxvlan says: the sender's txvlan decides.
        warnings.push(format!(
            "{name} is a veth: VLAN tags are lost unless its other end has txvlan off \
             (`ethtool --features PEER txvlan off`)"
        ));
    } else if !facts.offloads.is_empty() {
        let names: Vec<&str> = facts.offloads.iter().map(|offload| offload.name()).collect();
        refusals.push(format!(
            "{name} has {} on, which changes frames before they can be judged: \
             `scripts/nic-queues --interface {name} --queues {workers}` turns it off",
            names.join(" and ")
        ));
    }
}

/// Bytes of all workers' UMEMs.
pub(crate) fn umem_bytes(config: &Config) -> u64 {
    u64::from(config.worker.count) * u64::from(frames(config)) * u64::from(config.worker.frame_bytes)
}

/// Frames of one worker's UMEM: as configured, or for each port its fill and its transmit ring twice over.
pub(crate) fn frames(config: &Config) -> u32 {
    let ports = config.ports.len().max(1) as u32;
    config.worker.frames.unwrap_or(ports * 4 * config.worker.ring_entries)
}

/// Looks at an interface of this network namespace.
fn port_facts(name: &str) -> Option<PortFacts> {
    let interface = Interface::read(name).ok()?;
    let offloads = [
        (interface.offloads.rx_vlan, Offload::RxVlan),
        (interface.offloads.lro, Offload::Lro),
        (interface.offloads.gro_hw, Offload::GroHw),
    ];
    Some(PortFacts {
        up: interface.up,
        carrier: interface.running,
        mtu: interface.mtu_bytes,
        rx_queues: interface.queues.rx,
        tx_queues: interface.queues.tx,
        driver: interface.driver,
        offloads: offloads.into_iter().filter(|(on, _)| *on).map(|(_, offload)| offload).collect(),
    })
}

/// Looks at this process and this network namespace.
pub(crate) fn machine_facts() -> MachineFacts {
    let needed = [Capability::CAP_NET_ADMIN, Capability::CAP_NET_RAW, Capability::CAP_BPF];
    let has = |capability| caps::has_cap(None, caps::CapSet::Effective, capability).unwrap_or(false);
    let unlimited = has(Capability::CAP_IPC_LOCK);
    MachineFacts {
        default_routes: default_routes(Path::new("/proc/self/net")),
        // The kernel lets CAP_SYS_ADMIN stand in for CAP_BPF.
        missing: needed
            .into_iter()
            .filter(|capability| {
                let stands_in = *capability == Capability::CAP_BPF && has(Capability::CAP_SYS_ADMIN);
                !(has(*capability) || stands_in)
            })
            .collect(),
        lockable_bytes: if unlimited { None } else { lockable_bytes() },
    }
}

fn lockable_bytes() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::Memlock).current
}

/// Interfaces of the default routes in `directory` (`/proc/self/net`), IPv4 and IPv6.
fn default_routes(directory: &Path) -> Vec<String> {
    let v4 = std::fs::read_to_string(directory.join("route")).unwrap_or_default();
    let v6 = std::fs::read_to_string(directory.join("ipv6_route")).unwrap_or_default();
    let mut found: Vec<String> = v4
        .lines()
        .skip(1)
        .filter_map(|line| {
            // Iface Destination Gateway Flags RefCnt Use Metric Mask ...
            let fields: Vec<&str> = line.split_whitespace().collect();
            (fields.get(1) == Some(&"00000000") && fields.get(7) == Some(&"00000000"))
                .then(|| fields[0].to_owned())
        })
        .collect();
    found.extend(v6.lines().filter_map(|line| {
        // destination prefix source prefix next-hop metric refcnt use flags interface
        let fields: Vec<&str> = line.split_whitespace().collect();
        let is_default = fields.first()?.bytes().all(|byte| byte == b'0') && fields.get(1) == Some(&"00");
        let interface = fields.get(9)?;
        // The kernel keeps an unreachable default on lo.
        (is_default && *interface != "lo").then(|| (*interface).to_owned())
    }));
    found.sort();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, PortFlags, Ports, understand};

    fn config(text: &str) -> Config {
        let ports = "[[port]]\ninterface = \"a\"\n[[port]]\ninterface = \"b\"\n";
        understand(
            "t",
            &format!("{ports}{text}"),
            &Environment::default(),
            &PortFlags::default(),
            Ports::Required,
        )
        .unwrap()
    }

    fn good() -> PortFacts {
        PortFacts {
            up: true,
            carrier: true,
            mtu: 1500,
            rx_queues: 1,
            tx_queues: 1,
            driver: "ice".to_owned(),
            offloads: Vec::new(),
        }
    }

    fn fit() -> MachineFacts {
        MachineFacts { default_routes: vec!["eth0".to_owned()], missing: Vec::new(), lockable_bytes: None }
    }

    #[test]
    fn a_fit_machine_is_not_refused() {
        let judgement = judge(&config(""), &[Some(good()), Some(good())], &fit());
        assert_eq!(judgement, Judgement::default());
    }

    #[test]
    fn each_lack_is_one_sentence_that_says_what_to_do() {
        let down = PortFacts { up: false, ..good() };
        let jumbo = PortFacts { mtu: 9000, ..good() };
        let queues = PortFacts { rx_queues: 4, tx_queues: 4, ..good() };
        let offloads = PortFacts { offloads: vec![Offload::RxVlan, Offload::GroHw], ..good() };
        let routed = MachineFacts { default_routes: vec!["b".to_owned()], ..fit() };
        let powerless = MachineFacts { missing: vec![Capability::CAP_NET_RAW, Capability::CAP_BPF], ..fit() };
        let cramped = MachineFacts { lockable_bytes: Some(8 << 20), ..fit() };
        for (ports, machine, words) in [
            ([None, Some(good())], fit(), "there is no interface a"),
            ([Some(down), Some(good())], fit(), "a is down: `ip link set a up`"),
            ([Some(good()), Some(jumbo)], fit(), "a has MTU 1500 and b has 9000"),
            (
                [Some(queues), Some(good())],
                fit(),
                "a has 4 receive queue(s) for 1 worker(s): set worker.count = 4",
            ),
            ([Some(offloads), Some(good())], fit(), "a has rxvlan and GRO-HW on"),
            ([Some(good()), Some(good())], routed, "b holds the default route"),
            ([Some(good()), Some(good())], powerless, "CAP_NET_RAW, CAP_BPF missing"),
            (
                [Some(good()), Some(good())],
                cramped,
                "needs 65536 KiB of locked memory, the limit is 8192 KiB",
            ),
        ] {
            let judgement = judge(&config(""), &ports, &machine);
            assert_eq!(judgement.refusals.len(), 1, "{judgement:?}");
            assert!(judgement.refusals[0].contains(words), "{judgement:?}\n  lacks {words}");
        }
    }

    #[test]
    fn all_refusals_are_told_at_once() {
        let down = PortFacts { up: false, mtu: 900, ..good() };
        let judgement = judge(&config("[worker]\ncount = 2\n"), &[Some(down), Some(good())], &fit());
        assert_eq!(judgement.refusals.len(), 4, "{judgement:?}");
    }

    #[test]
    fn veth_offloads_warn_and_do_not_refuse() {
        let veth = PortFacts { driver: "veth".to_owned(), offloads: vec![Offload::RxVlan], ..good() };
        let judgement = judge(&config(""), &[Some(veth.clone()), Some(veth)], &fit());
        assert_eq!((judgement.refusals.len(), judgement.warnings.len()), (0, 2));
    }

    #[test]
    fn default_routes_are_read_as_the_kernel_writes_them() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(
            directory.path().join("route"),
            "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
             eth0\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
             eth1\t0000000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n",
        )
        .unwrap();
        let zero = "00000000000000000000000000000000";
        std::fs::write(
            directory.path().join("ipv6_route"),
            format!(
                "{zero} 00 {zero} 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003     eth2\n\
                 {zero} 00 {zero} 00 {zero} ffffffff 00000001 00000000 00200200       lo\n"
            ),
        )
        .unwrap();
        assert_eq!(default_routes(directory.path()), ["eth0", "eth2"]);
        assert_eq!(default_routes(Path::new("/nonexistent")), Vec::<String>::new());
    }

    #[test]
    fn packet_memory_follows_the_rings_where_no_frames_are_named() {
        assert_eq!(umem_bytes(&config("")), 2 * 4 * 2048 * 4096);
        assert_eq!(
            umem_bytes(&config("[worker]\ncount = 2\nframes = 8192\nframe_bytes = 2048\n")),
            2 * 8192 * 2048
        );
    }
}
