//! Where do program links and maps live when the daemon does not? Under [`Pins`], on the BPF file system.
//!
//! `<root>/v<LAYOUT_VERSION>/<wire>/` holds `link<port>`, `tcx<port>` and one file a map. A pinned link keeps its
//! program attached; removing the file detaches it.
#![expect(unsafe_code, reason = "UNSAFETY: bpf(2), statfs(2) and mount(2) take pointers")]

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::error::XskError;
use crate::program::{LAYOUT_VERSION, PORTS_MAX, maps};

/// Where the BPF file system is on every distribution.
pub const BPFFS: &str = "/sys/fs/bpf";
/// The default of [`crate::wire::WireConfig::pin_root`].
pub const PIN_ROOT: &str = "/sys/fs/bpf/jarvis";

/// One wire's pins.
#[derive(Debug, Clone)]
pub(crate) struct Pins {
    root: PathBuf,
    name: String,
}

impl Pins {
    pub(crate) fn new(root: &Path, name: &str) -> Self {
        Self { root: root.to_owned(), name: name.to_owned() }
    }

    /// This version's directory.
    pub(crate) fn directory(&self) -> PathBuf {
        self.root.join(format!("v{LAYOUT_VERSION}")).join(&self.name)
    }

    pub(crate) fn link(&self, port: u32) -> PathBuf {
        self.directory().join(format!("link{port}"))
    }

    pub(crate) fn tcx(&self, port: u32) -> PathBuf {
        self.directory().join(format!("tcx{port}"))
    }

    /// Whether any version of this wire has a directory.
    pub(crate) fn exist(&self) -> bool {
        self.directory().is_dir() || !self.other_versions().is_empty()
    }

    /// Makes sure that a BPF file system holds the directory.
    pub(crate) fn create(&self) -> Result<(), XskError> {
        ensure_bpffs(&self.root)?;
        make_directory(&self.directory())
    }

    /// This wire's directories of other layout versions, left by an older or newer daemon.
    pub(crate) fn other_versions(&self) -> Vec<PathBuf> {
        let Ok(versions) = std::fs::read_dir(&self.root) else { return Vec::new() };
        versions
            .filter_map(Result::ok)
            .map(|version| version.path())
            .filter(|path| path.file_name().is_some_and(|name| name.as_bytes().starts_with(b"v")))
            .map(|path| path.join(&self.name))
            .filter(|path| *path != self.directory() && path.is_dir())
            .collect()
    }

    /// Detaches every link of this wire, in every layout version, and removes every pin. Says how many links there
    /// were.
    pub(crate) fn remove(&self) -> Result<usize, XskError> {
        let mut links = 0;
        for directory in self.other_versions().into_iter().chain([self.directory()]) {
            links += remove_directory(&directory, Links::Detach)?;
        }
        Ok(links)
    }
}

/// What becomes of the links whose pins are removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Links {
    /// Detached at once: the kernel frees an unpinned link some time later.
    Detach,
    /// Left to their other holders.
    Keep,
}

/// Removes one version's pins of a wire; says how many of them were links.
pub(crate) fn remove_directory(directory: &Path, fate: Links) -> Result<usize, XskError> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(err) => return Err(pin_error(directory, "reading the directory", &err)),
    };
    let mut paths: Vec<PathBuf> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    let is_map = |path: &Path| maps::ALL.iter().any(|map| path.ends_with(map));
    paths.sort_by_key(|path| is_map(path));
    let mut links = 0;
    for path in &paths {
        if !is_map(path) {
            links += 1;
            if fate == Links::Detach {
                detach_link(path)?;
            }
        }
        remove_pin(path)?;
    }
    std::fs::remove_dir(directory).map_err(|err| pin_error(directory, "removing the directory", &err))?;
    // The version's directory goes with its last wire, and the root with its last version.
    for above in directory.ancestors().skip(1).take(2) {
        let _ = std::fs::remove_dir(above);
    }
    Ok(links)
}

/// Removes a pin that may not be there.
pub(crate) fn remove_pin(path: &Path) -> Result<(), XskError> {
    match std::fs::remove_file(path) {
        Err(err) if err.kind() != io::ErrorKind::NotFound => Err(pin_error(path, "removing the pin", &err)),
        Ok(()) | Err(_) => Ok(()),
    }
}

pub(crate) fn pin_error(path: &Path, operation: &'static str, reason: &dyn std::fmt::Display) -> XskError {
    XskError::Pin { path: path.display().to_string(), operation, reason: reason.to_string() }
}

fn make_directory(directory: &Path) -> Result<(), XskError> {
    std::fs::create_dir_all(directory).map_err(|err| pin_error(directory, "making the directory", &err))
}

/// Makes sure that `root`, or the nearest directory above it that exists, is on a BPF file system; mounts one
/// where the usual place is empty.
fn ensure_bpffs(root: &Path) -> Result<(), XskError> {
    let existing = root.ancestors().find(|path| path.is_dir()).unwrap_or(Path::new("/"));
    if is_bpffs(existing).unwrap_or(false) {
        return Ok(());
    }
    let place = if root.starts_with(BPFFS) { Path::new(BPFFS) } else { root };
    mount_bpffs(place).map_err(|source| XskError::NoBpffs { path: place.display().to_string(), source })
}

fn is_bpffs(path: &Path) -> io::Result<bool> {
    let path = c_path(path)?;
    // SAFETY: all zeroes is a valid statfs.
    // JUSTIFICATION: a C struct to be filled in.
    let mut stat: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are valid.
    // JUSTIFICATION: std does not tell a file system's type.
    if unsafe { libc::statfs(path.as_ptr(), &raw mut stat) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(stat.f_type == libc::BPF_FS_MAGIC as libc::__fsword_t)
}

fn mount_bpffs(path: &Path) -> io::Result<()> {
    let path = c_path(path)?;
    // SAFETY: all strings end in zero; no data is passed.
    // JUSTIFICATION: std does not mount.
    let result = unsafe {
        libc::mount(
            c"bpf".as_ptr(),
            path.as_ptr(),
            c"bpf".as_ptr(),
            libc::MS_NOSUID | libc::MS_NODEV,
            std::ptr::null(),
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(io::Error::other)
}

/// Takes the program of a pinned link off its interface, if that still exists.
fn detach_link(path: &Path) -> Result<(), XskError> {
    const BPF_LINK_DETACH: libc::c_int = 34;
    let link = c_path(path)
        .and_then(|path| object_get(&path))
        .map_err(|err| pin_error(path, "opening the pin", &err))?;
    let attr = link.as_raw_fd();
    // SAFETY: the attribute, a link's descriptor alone, is valid for its size.
    // JUSTIFICATION: the loader detaches by closing, which takes effect later.
    let result = unsafe { libc::syscall(libc::SYS_bpf, BPF_LINK_DETACH, &raw const attr, size_of::<i32>()) };
    // A tcx link whose interface has gone says ENOLINK; an XDP link says nothing.
    let err = io::Error::last_os_error();
    if result == 0 || err.raw_os_error() == Some(libc::ENOLINK) {
        return Ok(());
    }
    Err(pin_error(path, "detaching the link", &err))
}

/// The interface that a pinned link runs on: `None` if there is no such pin, 0 if its interface is gone.
pub(crate) fn link_ifindex(path: &Path) -> Result<Option<u32>, XskError> {
    let opened = c_path(path).and_then(|path| object_get(&path));
    let link = match opened {
        Ok(link) => link,
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(err) => return Err(pin_error(path, "opening the pin", &err)),
    };
    let info = link_info(&link).map_err(|err| pin_error(path, "reading the link", &err))?;
    Ok(Some(info))
}

/// The wires pinned under `root` in this layout version.
pub(crate) fn wires(root: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(root.join(format!("v{LAYOUT_VERSION}"))) else { return Vec::new() };
    let mut names: Vec<String> =
        entries.filter_map(Result::ok).filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

/// The ports that pins can be of.
pub(crate) fn ports() -> std::ops::Range<u32> {
    0..PORTS_MAX
}

fn object_get(path: &CString) -> io::Result<OwnedFd> {
    const BPF_OBJ_GET: libc::c_int = 7;
    // `union bpf_attr`, the part for BPF_OBJ_*.
    #[repr(C)]
    struct Attr {
        pathname: u64,
        bpf_fd: u32,
        file_flags: u32,
    }
    let attr = Attr { pathname: path.as_ptr() as u64, bpf_fd: 0, file_flags: 0 };
    // SAFETY: the attribute is valid for its size; the path lives until the call returns.
    // JUSTIFICATION: the loader hides a link's descriptor.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, BPF_OBJ_GET, &raw const attr, size_of::<Attr>()) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was just made and is owned by nothing else.
    // JUSTIFICATION: as above.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// The interface of an XDP or tcx link.
fn link_info(link: &OwnedFd) -> io::Result<u32> {
    const BPF_OBJ_GET_INFO_BY_FD: libc::c_int = 15;
    // `struct bpf_link_info` for XDP and tcx: the interface comes first in both.
    #[repr(C)]
    #[derive(Default)]
    struct LinkInfo {
        kind: u32,
        id: u32,
        prog_id: u32,
        pad: u32,
        ifindex: u32,
        attach_type: u32,
        rest: [u64; 16],
    }
    #[repr(C)]
    struct Attr {
        bpf_fd: u32,
        info_len: u32,
        info: u64,
    }
    let mut info = LinkInfo::default();
    let attr = Attr {
        bpf_fd: link.as_raw_fd() as u32,
        info_len: size_of::<LinkInfo>() as u32,
        info: (&raw mut info) as u64,
    };
    // SAFETY: the attribute is valid for its size, and `info` for the length it names.
    // JUSTIFICATION: the loader does not tell a link's interface.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, BPF_OBJ_GET_INFO_BY_FD, &raw const attr, size_of::<Attr>()) };
    if result == 0 { Ok(info.ifindex) } else { Err(io::Error::last_os_error()) }
}
