//! What does the policy file hold? Read whole, within a bound.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Largest policy file, bytes.
pub const BYTES_MAX: u64 = 64 << 20;

/// The bytes of a policy file.
///
/// # Errors
///
/// As the system says; a file beyond [`BYTES_MAX`] is `FileTooLarge`.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 64 MiB"));
    }
    Ok(bytes)
}
