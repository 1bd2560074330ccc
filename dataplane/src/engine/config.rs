//! What an engine is built from: everything that stays the same until the daemon restarts.

use std::sync::Arc;

use ipnet::IpNet;

use crate::defrag::DefragConfig;
use crate::dpi::AppTable;
use crate::dpi::file::Files;
use crate::dpi::parser::Limits;
use crate::dpi::recogniser::Recogniser;
use crate::flow::FlowConfig;
use crate::flow::owner::OwnerTable;
use crate::nat::Announcement;
use crate::stream::{MEMORY_BYTES_MAX, Policy, UrgentPolicy};

/// How one worker's engine is set up.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// Whether verdicts bind.
    pub mode: Mode,
    /// The wires, by port index: two inline, one in tap and replay.
    pub ports: Vec<PortConfig>,
    /// Addresses at which the box itself answers, on the port `host`.
    pub service: Service,
    /// What clients are told of the captive portal, inline; `None`: nothing.
    pub announcement: Option<Arc<Announcement>>,
    /// The flow table of this worker.
    pub flow: FlowConfig,
    /// Fragments of this worker.
    pub defrag: DefragConfig,
    /// This worker's index.
    pub worker: u8,
    /// Who owns which flow.
    pub owners: OwnerTable,
    /// Whether VLAN identifiers are part of a flow's key.
    pub vlan_in_key: bool,
    /// Seed of the flow table's hash: secret and random live, fixed in replay.
    pub seed: u64,
    /// What payload is recognised by; `None`: nobody looks at payload.
    pub inspection: Option<Inspection>,
    /// How TCP is put together.
    pub streams: StreamConfig,
    /// What is told of files.
    pub files: Files,
    /// Bounds of what parsers follow.
    pub limits: Limits,
}

/// How TCP is put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamConfig {
    /// Whose rule decides where segments overlap, in tap and replay. Inline the bytes that came first count, and others
    /// are rewritten to them.
    pub overlap: Policy,
    /// What becomes of urgent bytes.
    pub urgent: UrgentPolicy,
    /// Bytes that all streams of this worker may hold.
    pub bytes_max: usize,
}

impl Default for StreamConfig {
    fn default() -> Self {
        Self { overlap: Policy::default(), urgent: UrgentPolicy::default(), bytes_max: MEMORY_BYTES_MAX }
    }
}

/// What payload is recognised by, shared by all workers.
#[derive(Debug, Clone)]
pub struct Inspection {
    /// Protocols.
    pub recogniser: Arc<Recogniser>,
    /// Applications.
    pub apps: Arc<AppTable>,
}

impl Inspection {
    /// Everything that comes with the program.
    #[must_use]
    pub fn builtin() -> Self {
        Self { recogniser: Arc::new(Recogniser::new()), apps: Arc::new(AppTable::builtin()) }
    }
}

/// Whether verdicts bind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Between two ports: a verdict is what happens.
    Inline,
    /// Beside the wire, or from a file: a verdict is advice.
    Tap,
}

/// One wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortConfig {
    /// Zone identifier, as the policy set was compiled with.
    pub zone: u8,
    /// What is done about transport checksums.
    pub checksum: ChecksumMode,
    /// Networks that live behind this port; empty: not known, nothing is called spoofed.
    pub networks: Vec<IpNet>,
}

/// What is done about transport checksums; AF_XDP brings no checksum status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ChecksumMode {
    /// Verified; a bad one is forwarded, but kept from the state machine.
    #[default]
    Verify,
    /// Not looked at.
    AssumeGood,
    /// Verified; a bad one is dropped.
    DropBad,
}

/// Addresses of the box itself; none by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Service {
    /// IPv4 address.
    pub ipv4: Option<crate::parse::Addr>,
    /// IPv6 address.
    pub ipv6: Option<crate::parse::Addr>,
    /// VLAN that they live in, 0 for untagged.
    pub vlan: u16,
    /// The device behind them, where there is one.
    pub mac: Option<crate::parse::Mac>,
}

impl Service {
    /// Whether `addr` on `vlan` is one of them.
    #[must_use]
    pub fn owns(&self, addr: crate::parse::Addr, vlan: u16) -> bool {
        vlan == self.vlan && self.has(addr)
    }

    /// Whether `addr` is one of them.
    #[must_use]
    pub fn has(&self, addr: crate::parse::Addr) -> bool {
        self.ipv4 == Some(addr) || self.ipv6 == Some(addr)
    }

    /// Whether there is any.
    #[must_use]
    pub const fn exists(&self) -> bool {
        self.ipv4.is_some() || self.ipv6.is_some()
    }
}
