//! What does the XDP program do while it needs no worker? The operator's switches of the wire itself.

use ipnet::IpNet;

/// The XDP side as the control plane sees it. Cold: every call is a few system calls.
pub trait WireControl: Send + Sync {
    /// Counters and switches, read now.
    ///
    /// # Errors
    ///
    /// A sentence for the operator when the kernel refuses.
    fn read(&self) -> Result<WireReading, String>;

    /// Lets frames pass from port to port in the kernel, around the workers, or ends that.
    ///
    /// # Errors
    ///
    /// A sentence for the operator when the kernel refuses.
    fn set_bypass(&self, on: bool) -> Result<(), String>;

    /// The block list in force.
    ///
    /// # Errors
    ///
    /// A sentence for the operator when the kernel refuses.
    fn blocked(&self) -> Result<Vec<IpNet>, String>;

    /// Adds prefixes to the block list; those that stand in it already are left alone.
    ///
    /// # Errors
    ///
    /// [`BlockListError`]; nothing is changed then.
    fn block(&self, prefixes: &[IpNet]) -> Result<usize, BlockListError>;

    /// Takes prefixes off the block list; returns how many stood in it.
    ///
    /// # Errors
    ///
    /// [`BlockListError`]; what was taken off before the error stays off.
    fn unblock(&self, prefixes: &[IpNet]) -> Result<usize, BlockListError>;
}

/// Why the block list did not change.
#[derive(Debug, thiserror::Error)]
pub enum BlockListError {
    /// The request is at fault.
    #[error("the block list holds {entries_max} prefixes, {held} are in it and {wanted} more were sent")]
    Full {
        /// Its size.
        entries_max: usize,
        /// Prefixes in it.
        held: usize,
        /// Prefixes sent.
        wanted: usize,
    },
    /// The kernel is at fault.
    #[error("the kernel refused: {0}")]
    Kernel(String),
}

/// What the XDP program counted and how it is set.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct WireReading {
    /// `open` or `closed`.
    pub fail_mode: &'static str,
    /// Heartbeat age that counts as dead, milliseconds.
    pub watchdog_ms: u64,
    /// Whether the operator's bypass is on.
    pub bypass: bool,
    /// `native` or `generic`, per port.
    pub attach_mode: Vec<&'static str>,
    /// `zero_copy` or `copy`, per port.
    pub socket_mode: Vec<&'static str>,
    /// Prefixes in the block list.
    pub blocked_prefixes: usize,
    /// Counters of the program since it was first attached: (name, frames).
    pub outcomes: Vec<(&'static str, u64)>,
}
