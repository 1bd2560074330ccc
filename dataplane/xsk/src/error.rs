//! What went wrong with packet input and output, and what can the operator do about it? One sentence each.

use std::io;

/// Every way in which rings, sockets, the XDP program and interfaces can fail.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum XskError {
    /// A ring's size must be a power of two.
    #[error("a ring of {frames} entries cannot be made: choose a power of two")]
    RingSize {
        /// What was asked for.
        frames: u32,
    },
    /// A UMEM needs frames.
    #[error("packet memory of {frames} frames cannot be made: choose at least 1")]
    UmemSize {
        /// What was asked for.
        frames: u32,
    },
    /// The kernel refused the packet memory.
    #[error("packet memory of {bytes} bytes was refused: {}; {}", describe(*errno), umem_advice(*errno, *huge_pages))]
    Umem {
        /// The size of the region.
        bytes: usize,
        /// Whether huge pages were asked for.
        huge_pages: bool,
        /// The kernel's answer, 0 if there was none.
        errno: i32,
    },
    /// The socket could not be opened on its queue.
    #[error("{interface} queue {queue}: no AF_XDP socket: {}; {}", describe(*errno), socket_advice(*errno))]
    Socket {
        /// The port.
        interface: String,
        /// Its queue.
        queue: u32,
        /// The kernel's answer, 0 if there was none.
        errno: i32,
    },
    /// A pool over ordinary memory cannot feed a socket.
    #[error("{interface} queue {queue}: its frames are not registered with the kernel")]
    NotRegistered {
        /// The port.
        interface: String,
        /// Its queue.
        queue: u32,
    },
    /// The socket's counters could not be read.
    #[error("{interface} queue {queue}: statistics could not be read: {source}")]
    Statistics {
        /// The port.
        interface: String,
        /// Its queue.
        queue: u32,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Preferred busy polling was refused.
    #[error(
        "{interface} queue {queue}: busy polling was refused: {source}; leave it off or raise CAP_NET_ADMIN"
    )]
    BusyPoll {
        /// The port.
        interface: String,
        /// Its queue.
        queue: u32,
        /// The kernel's answer.
        source: io::Error,
    },
    /// An interface could not be read or changed.
    #[error("{interface}: {operation} failed: {source}")]
    Interface {
        /// The interface.
        interface: String,
        /// What was being done.
        operation: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// There is no such interface.
    #[error("{interface}: there is no such interface in this network namespace")]
    NoInterface {
        /// The name that was given.
        interface: String,
    },
    /// The XDP or tcx program could not be loaded.
    #[error("the XDP program could not be loaded: {reason}; it needs CAP_BPF and CAP_NET_ADMIN, or root")]
    Load {
        /// The loader's words.
        reason: String,
    },
    /// The program could not be attached.
    #[error("{interface}: the {program} program could not be attached: {reason}")]
    Attach {
        /// The port.
        interface: String,
        /// `xdp` or `tcx`.
        program: &'static str,
        /// The loader's words.
        reason: String,
    },
    /// Another program holds the port.
    #[error(
        "{interface}: another XDP program is attached; remove it with `ip link set dev {interface} xdp off`"
    )]
    Taken {
        /// The port.
        interface: String,
    },
    /// Pins could not be made or read.
    #[error("{path}: {operation} failed: {reason}")]
    Pin {
        /// Where.
        path: String,
        /// What was being done.
        operation: &'static str,
        /// What the kernel or the loader said.
        reason: String,
    },
    /// No BPF file system.
    #[error(
        "{path} is not a BPF file system and it could not be mounted: {source}; run `mount -t bpf bpf {path}`"
    )]
    NoBpffs {
        /// Where it should be.
        path: String,
        /// Why mounting failed.
        source: io::Error,
    },
    /// A map could not be read or written.
    #[error("the {map} map could not be {operation}: {reason}")]
    Map {
        /// Its name.
        map: &'static str,
        /// `read`, `written`, ...
        operation: &'static str,
        /// The loader's words.
        reason: String,
    },
    /// The block list is longer than the map.
    #[error("the block list has {prefixes} prefixes; the XDP program holds {prefixes_max} a family")]
    BlockListTooLong {
        /// What was given.
        prefixes: usize,
        /// What fits.
        prefixes_max: usize,
    },
    /// A prefix that is longer than its address.
    #[error("a prefix of {len} bits was given where {len_max} is the longest")]
    PrefixLength {
        /// What was given.
        len: u8,
        /// 32 or 128.
        len_max: u8,
    },
    /// A port or queue number beyond the map's keys.
    #[error(
        "port {port} queue {queue} is beyond the {ports_max} ports and {queues_max} queues the XDP program serves"
    )]
    QueueRange {
        /// The port's index.
        port: u32,
        /// Its queue.
        queue: u32,
        /// Ports served.
        ports_max: u32,
        /// Queues served.
        queues_max: u32,
    },
}

/// The errno somewhere in `err`'s chain, 0 if there is none.
pub(crate) fn errno_in(err: &(dyn std::error::Error + 'static)) -> i32 {
    let mut cause = Some(err);
    while let Some(current) = cause {
        if let Some(code) = current.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error) {
            return code;
        }
        cause = current.source();
    }
    0
}

fn describe(errno: i32) -> String {
    if errno == 0 {
        "no reason was given".to_owned()
    } else {
        io::Error::from_raw_os_error(errno).to_string()
    }
}

fn umem_advice(errno: i32, huge_pages: bool) -> &'static str {
    match errno {
        libc::ENOBUFS => {
            "raise the locked-memory limit (LimitMEMLOCK=infinity, `ulimit -l`) or give CAP_IPC_LOCK"
        }
        libc::ENOMEM if huge_pages => "raise vm.nr_hugepages or turn huge pages off",
        libc::ENOMEM => "free memory or ask for fewer frames",
        libc::EPERM => "give CAP_NET_RAW",
        libc::EAFNOSUPPORT => "this kernel is built without CONFIG_XDP_SOCKETS",
        _ => "ask for fewer frames",
    }
}

fn socket_advice(errno: i32) -> &'static str {
    match errno {
        libc::EBUSY => "another process holds this queue: stop it, or choose another queue",
        libc::EPERM | libc::EACCES => "give CAP_NET_RAW",
        libc::ENODEV => "there is no such interface in this network namespace",
        libc::ENETDOWN => "set the interface up",
        libc::EINVAL => "the queue does not exist: compare `ethtool -l`",
        libc::EOPNOTSUPP => "the driver has no zero copy: choose copy or auto",
        libc::ENOBUFS => {
            "raise the locked-memory limit (LimitMEMLOCK=infinity, `ulimit -l`) or give CAP_IPC_LOCK"
        }
        libc::ENOMEM => "free memory or choose smaller rings",
        libc::EAFNOSUPPORT => "this kernel is built without CONFIG_XDP_SOCKETS",
        _ => "see the kernel log",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_name_the_fault_and_the_cure_in_one_sentence() {
        let memory = XskError::Umem { bytes: 8_388_608, huge_pages: false, errno: libc::ENOBUFS };
        assert_eq!(
            memory.to_string(),
            "packet memory of 8388608 bytes was refused: No buffer space available (os error 105); raise the \
             locked-memory limit (LimitMEMLOCK=infinity, `ulimit -l`) or give CAP_IPC_LOCK"
        );
        let socket = |errno| XskError::Socket { interface: "ens1".to_owned(), queue: 3, errno }.to_string();
        let cases = [
            (libc::EBUSY, "another process holds this queue"),
            (libc::EPERM, "give CAP_NET_RAW"),
            (libc::ENETDOWN, "set the interface up"),
            (libc::EINVAL, "the queue does not exist"),
        ];
        for (errno, cure) in cases {
            let told = socket(errno);
            assert!(told.starts_with("ens1 queue 3: no AF_XDP socket: ") && told.contains(cure), "{told}");
        }
    }

    #[test]
    fn an_errno_is_found_behind_other_errors() {
        let inner = io::Error::from_raw_os_error(libc::EBUSY);
        let outer = XskError::Interface { interface: "p0".to_owned(), operation: "x", source: inner };
        assert_eq!((errno_in(&outer), errno_in(&io::Error::other("none"))), (libc::EBUSY, 0));
    }
}
