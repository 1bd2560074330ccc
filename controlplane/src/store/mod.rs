//! What is kept on disk, and what happens when the disk will not have it?
//!
//! The only room that touches files. Policy files are read here, event lines are written here; what is edited is in
//! [`entities`], what only grows in [`segments`].

pub mod backup;
pub mod entities;
pub mod eve_file;
pub mod key_file;
pub mod pem_file;
pub mod policy_commit;
pub mod policy_file;
pub mod policy_history;
pub mod sealed;
pub mod segments;
pub mod upload;

mod replace;

pub use entities::{Entities, StoreError, Table};
pub use eve_file::{EveFile, Rotation};
pub use key_file::KeyFile;
pub use policy_commit::WaitingCommit;
pub use policy_history::{PolicyHistory, PolicyVersion, VersionOrigin};
pub use upload::{Upload, Uploads};
