//! What is in a PEM file (RFC 7468)? Certificates, or a key.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

/// Largest file, bytes: all CAs of a browser are a quarter of that.
const BYTES_MAX: u64 = 1 << 20;

/// Why nothing could be read.
#[derive(Debug, thiserror::Error)]
pub enum PemError {
    /// The system does not give it.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// A larger file than these are.
    #[error("is larger than {BYTES_MAX} bytes")]
    TooLarge,
    /// Something else is in it, or nothing.
    #[error("has no {0} in PEM")]
    Absent(&'static str),
    /// A block that cannot be decoded.
    #[error("is damaged: {0}")]
    Damaged(String),
}

/// All certificates of a file, one at least, in their order.
///
/// # Errors
///
/// [`PemError`].
pub fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let (bytes, _mode) = read(path)?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let all = all.map_err(|error| damaged(&error))?;
    if all.is_empty() { Err(PemError::Absent("certificate")) } else { Ok(all) }
}

/// A private key, and the mode of its file where others than the owner may read it.
///
/// # Errors
///
/// [`PemError`].
pub fn read_private_key(path: &Path) -> Result<(PrivateKeyDer<'static>, Option<u32>), PemError> {
    let (bytes, mode) = read(path)?;
    let key = PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| match error {
        pem::Error::NoItemsFound => PemError::Absent("unencrypted private key"),
        error => damaged(&error),
    })?;
    Ok((key, (mode & 0o077 != 0).then_some(mode & 0o777)))
}

fn read(path: &Path) -> Result<(Zeroizing<Vec<u8>>, u32), PemError> {
    let file = File::open(path)?;
    let mode = file.metadata()?.mode();
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > BYTES_MAX { Err(PemError::TooLarge) } else { Ok((bytes, mode)) }
}

/// What the decoder says may quote the line at fault, and a key must not be quoted.
fn damaged(error: &pem::Error) -> PemError {
    PemError::Damaged(match error {
        pem::Error::MissingSectionEnd { .. } => "a block has no end".to_owned(),
        pem::Error::IllegalSectionStart { .. } => "a block has no proper start".to_owned(),
        pem::Error::Base64Decode(_) => "a block is not base64".to_owned(),
        other => other.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_is_wrong_is_told_without_the_key() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.pem");
        assert!(read_certificates(&path).unwrap_err().to_string().starts_with("cannot be read: "));
        for (text, certificate, key) in [
            ("", "has no certificate in PEM", "has no unencrypted private key in PEM"),
            (
                "-----BEGIN ENCRYPTED PRIVATE KEY-----\naGk=\n-----END ENCRYPTED PRIVATE KEY-----\n",
                "has no certificate in PEM",
                "has no unencrypted private key in PEM",
            ),
            ("-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n", "a block has no end", "a block has no end"),
            (
                "-----BEGIN PRIVATE KEY-----\n!c2VjcmV0\n-----END PRIVATE KEY-----\n",
                "a block is not base64",
                "a block is not base64",
            ),
        ] {
            std::fs::write(&path, text).unwrap();
            let said = [
                read_certificates(&path).unwrap_err().to_string(),
                read_private_key(&path).unwrap_err().to_string(),
            ];
            assert!(said[0].contains(certificate) && said[1].contains(key), "{text}: {said:?}");
            assert!(!said.concat().contains("c2VjcmV0"), "{said:?}");
        }
        std::fs::write(&path, vec![b'x'; BYTES_MAX as usize + 1]).unwrap();
        assert!(matches!(read_certificates(&path), Err(PemError::TooLarge)));
    }

    #[test]
    fn a_key_that_others_may_read_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.pem");
        std::fs::write(&path, rcgen::KeyPair::generate().unwrap().serialize_pem()).unwrap();
        for (mode, told) in [(0o600, None), (0o400, None), (0o640, Some(0o640)), (0o644, Some(0o644))] {
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            assert_eq!(read_private_key(&path).unwrap().1, told);
        }
    }
}
