//! How does the box key itself leave the box, in a backup? Under a passphrase.

use argon2::{Algorithm, Argon2, Params, Version};
use zeroize::Zeroizing;

use super::SealError;
use super::envelope::{open, seal};

const MAGIC: &[u8; 6] = b"JPASS\x01";
const SALT_BYTES: usize = 16;

/// RFC 9106 4, the second recommended choice: for who has no 2 GiB to spare.
const MEMORY_KIB: u32 = 64 << 10;
const PASSES: u32 = 3;
const LANES: u32 = 4;

/// Seals `bytes` under what argon2id makes of `passphrase`. Takes some 100 ms of a core and 64 MiB.
///
/// # Errors
///
/// [`SealError::System`].
pub fn seal_with_passphrase(passphrase: &str, bytes: &[u8]) -> Result<Vec<u8>, SealError> {
    let mut salt = [0; SALT_BYTES];
    aws_lc_rs::rand::fill(&mut salt)?;
    let key = stretch(passphrase, &salt)?;
    let mut out = [&MAGIC[..], &salt].concat();
    let sealed = seal(&*key, &out, bytes)?;
    out.extend_from_slice(&sealed);
    Ok(out)
}

/// What [`seal_with_passphrase`] sealed.
///
/// # Errors
///
/// [`SealError::Passphrase`].
pub fn open_with_passphrase(passphrase: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let (head, rest) = sealed.split_at_checked(MAGIC.len() + SALT_BYTES).ok_or(SealError::Passphrase)?;
    let salt = head.strip_prefix(MAGIC).ok_or(SealError::Passphrase)?;
    let key = stretch(passphrase, salt)?;
    open(&*key, head, rest).ok_or(SealError::Passphrase)
}

fn stretch(passphrase: &str, salt: &[u8]) -> Result<Zeroizing<[u8; 32]>, SealError> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, Some(32)).map_err(|_| SealError::System)?;
    let mut key = Zeroizing::new([0; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase.as_bytes(), salt, &mut *key)
        .map_err(|_| SealError::System)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passphrase_opens_what_it_sealed() {
        let sealed = seal_with_passphrase("correct horse battery", b"box key").unwrap();
        assert_eq!(&**open_with_passphrase("correct horse battery", &sealed).unwrap(), b"box key");
        for wrong in ["correct horse", ""] {
            assert!(matches!(open_with_passphrase(wrong, &sealed), Err(SealError::Passphrase)));
        }
        for at in [0, 8, 30, sealed.len() - 1] {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(open_with_passphrase("correct horse battery", &changed).is_err(), "byte {at}");
            assert!(open_with_passphrase("correct horse battery", &sealed[..at]).is_err());
        }
    }
}
