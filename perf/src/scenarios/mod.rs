//! What is asked? Each scenario answers one row of the table of promises, and gives a result file.

pub(crate) mod api;
mod costs;
pub(crate) mod dut;
pub(crate) mod forward;
pub(crate) mod identity;
pub(crate) mod inspect;
pub(crate) mod memory;
mod rules;
pub(crate) mod program;
pub(crate) mod replay;

use crate::report::result::ResultFile;

/// Why a scenario gives no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The device under test.
    #[error(transparent)]
    Driver(#[from] crate::drivers::Error),
    /// The rig.
    #[error(transparent)]
    Rig(#[from] crate::rig::Error),
    /// A capture file.
    #[error(transparent)]
    Savefile(#[from] crate::traffic::savefile::Error),
    /// A result file.
    #[error(transparent)]
    File(#[from] crate::report::result::Error),
    /// AF_XDP or BPF.
    #[error(transparent)]
    Xsk(#[from] xsk::XskError),
    /// A promise that must hold for the number to mean anything does not.
    #[error("{0}")]
    Broken(String),
}

/// What every scenario returns.
pub(crate) type Outcome = Result<ResultFile, Error>;
