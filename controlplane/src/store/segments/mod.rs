//! Where are events, flow records, telemetry and the audit kept, so that what was acknowledged is there after any crash,
//! and what was changed afterwards is found?
//!
//! Append-only logs, one directory a [`Kind`] under `STATE/NAME.segments/`. A log is a row of segment files, a segment is
//! a header and blocks, a block is a batch of records: compressed, checksummed, and with the hash of what is before it.
//!
//! ```text
//! 00000001.segment   [segment header][block][block]...         number 1, entries 0 to 999
//! 00000001.index     where blocks of which time are; made again where it is lost
//! 00000002.stub      segments 2 to 7 were removed by retention: their hashes are left
//! 00000008.segment   the one that is written
//! head               what is known to be on the disk at least
//! holds              what retention must leave
//!
//! block:  header (lengths, times, entry numbers, checksums, previous link) | filter of terms | zstd of the records
//! link:   SHA-256 of all stored bytes of the block; the next block's header has it, and the next segment's
//! ```
//!
//! A batch is on the disk (`fdatasync`) before [`Log::append`] returns. After a crash the torn end of the last segment is
//! cut off; blocks that were acknowledged are whole before it. Where something is damaged that was whole once, nothing is
//! cut: a new segment begins, and [`verify`] names the place. Bytes from the disk are believed after their checksum only,
//! and no length in them makes the process take more than [`BLOCK_RAW_BYTES_MAX`] or so.
//!
//! | file | question |
//! |---|---|
//! | `format`, `block`, `filter` | what do bytes mean? |
//! | `walk` | which blocks has a file, whatever happened to it? |
//! | `directory`, `note`, `index` | which files are there? |
//! | `log`, `retention`, `holds` | how does it grow and shrink? |
//! | `snapshot` | what of it can be copied while it grows? |
//! | `read`, `verify` | what is in it, and is that what was written? |

mod block;
mod directory;
mod filter;
mod format;
mod holds;
mod index;
mod log;
mod note;
mod read;
mod retention;
mod snapshot;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_damage;
#[cfg(test)]
mod tests_kill;
mod verify;
mod walk;

pub use block::Batch;
pub use holds::{HOLDS_MAX, Held, Hold, Holds, Still};
pub use log::{Appended, Log, Recovery, Settings};
pub use read::{Found, Page, Query, read};
pub use retention::{Removed, Retention};
pub use snapshot::{Part, snapshot};
pub use verify::{BlockSeen, Fault, Report, Wrong, verify};

use std::fmt;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{StoreError, replace};

/// Largest block before compression, bytes; also the largest batch.
pub const BLOCK_RAW_BYTES_MAX: usize = 8 << 20;

/// Largest record, bytes.
pub const RECORD_BYTES_MAX: usize = 1 << 20;

/// Shape of the files that this version writes.
const FORMAT: u16 = 1;

/// What a log holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Who changed what.
    Audit,
    /// What the packet path tells.
    Events,
    /// Flows that have ended.
    Flows,
    /// Counters over time.
    Telemetry,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Audit, Self::Events, Self::Flows, Self::Telemetry];

    /// Its directory.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Audit => "audit",
            Self::Events => "events",
            Self::Flows => "flows",
            Self::Telemetry => "telemetry",
        }
    }

    const fn byte(self) -> u8 {
        match self {
            Self::Audit => 1,
            Self::Events => 2,
            Self::Flows => 3,
            Self::Telemetry => 4,
        }
    }

    fn of_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.byte() == byte)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A place in the chain: the SHA-256 of the stored bytes before it, which hold the link before them.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Link(pub [u8; 32]);

impl Link {
    /// Before the first segment.
    pub const FIRST: Self = Self([0; 32]);
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Link({self})")
    }
}

impl std::str::FromStr for Link {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "a link has 64 hexadecimal digits";
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(wrong);
        }
        let mut bytes = [0; 32];
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).map_err(|_| wrong)?;
        }
        Ok(Self(bytes))
    }
}

impl Serialize for Link {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Link {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The directory of all logs, which one process writes.
#[derive(Debug)]
pub struct Segments {
    directory: PathBuf,
    /// In the order of [`Kind::ALL`].
    holds: [Arc<Holds>; 4],
    /// Locked as long as this lives.
    _lock: File,
}

impl Segments {
    /// Takes the directory for this process, making it where it is not there.
    ///
    /// # Errors
    ///
    /// [`StoreError::InUse`] where another process has it, and as the system says.
    pub fn open(directory: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let directory = directory.into();
        make_directory(&directory)?;
        let path = directory.join("lock");
        let failed = |error| StoreError::of_io(&path, &error);
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {
                let holds = Kind::ALL.map(|kind| Arc::new(Holds::of(directory.join(kind.name()))));
                Ok(Self { directory, holds, _lock: lock })
            }
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse { path: directory }),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    /// The directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// What is held of a log, whether it is opened or not.
    #[must_use]
    pub const fn holds(&self, kind: Kind) -> &Arc<Holds> {
        match kind {
            Kind::Audit => &self.holds[0],
            Kind::Events => &self.holds[1],
            Kind::Flows => &self.holds[2],
            Kind::Telemetry => &self.holds[3],
        }
    }

    /// Opens the log of `kind` for writing, and tells what had to be mended.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; [`StoreError::Newer`] leaves everything as it is.
    pub fn log(&self, kind: Kind, settings: Settings, now_ns: u64) -> Result<(Log, Recovery), StoreError> {
        let directory = self.directory.join(kind.name());
        make_directory(&directory)?;
        Log::open(directory, kind, settings, Arc::clone(self.holds(kind)), now_ns)
    }
}

fn make_directory(path: &Path) -> Result<(), StoreError> {
    let failed = |error| StoreError::of_io(path, &error);
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
    // Its own entry must be on the disk too.
    let parent = path.parent().filter(|parent| *parent != Path::new(""));
    replace::sync(parent.unwrap_or(Path::new("."))).map_err(failed)
}
