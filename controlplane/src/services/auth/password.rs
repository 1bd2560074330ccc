//! Is this the password?
//!
//! argon2id (RFC 9106) with OWASP's first choice of parameters; the string that is kept says which parameters made it,
//! so that they can grow. A password is judged by its length alone (NIST SP 800-63B-4 3.1.1.2): no rules on characters.

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, PasswordHasher, PasswordVerifier};
use zeroize::Zeroizing;

use super::secret::Password;

/// Shortest password, characters (NIST SP 800-63B-4: 15 where it is the only factor).
pub const CHARS_MIN: usize = 15;

/// Longest password, bytes: hashing must not take what a sender likes.
pub const BYTES_MAX: usize = 1_024;

/// Characters of a secret that the box makes: 120 bits.
const MADE_CHARS: usize = 24;

/// 32 characters that nobody mistakes for one another.
const ALPHABET: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz23456789-";

/// Why a password is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Too few characters.
    #[error("a password has at least {CHARS_MIN} characters")]
    TooShort,
    /// Too many bytes.
    #[error("a password has at most {BYTES_MAX} bytes")]
    TooLong,
    /// The account's name in it.
    #[error("a password does not contain the account's name")]
    ContainsName,
    /// No randomness, no memory.
    #[error("the system cannot hash a password now")]
    System,
}

/// Whether `password` may be `username`'s.
///
/// # Errors
///
/// [`PasswordError`]: the first reason against it.
pub fn judge(username: &str, password: &str) -> Result<(), PasswordError> {
    if password.len() > BYTES_MAX {
        return Err(PasswordError::TooLong);
    }
    if password.chars().count() < CHARS_MIN {
        return Err(PasswordError::TooShort);
    }
    if password.to_lowercase().contains(&username.to_lowercase()) {
        return Err(PasswordError::ContainsName);
    }
    Ok(())
}

/// What is kept of a password: a PHC string. Takes some 15 ms and 19 MiB.
///
/// # Errors
///
/// [`PasswordError::System`].
pub fn hash(password: &str) -> Result<String, PasswordError> {
    Argon2::default()
        .hash_password(password.as_bytes())
        .map(|hash: PasswordHash| hash.to_string())
        .map_err(|_| PasswordError::System)
}

/// Whether `kept` was made of `password`. Without `kept` it takes as long, so that nobody learns which accounts exist.
#[must_use]
pub fn verify(kept: Option<&str>, password: &str) -> bool {
    if password.len() > BYTES_MAX {
        return false;
    }
    let parsed = PasswordHash::new(kept.unwrap_or(NOBODY));
    let is_right =
        parsed.is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok());
    is_right && kept.is_some()
}

/// A hash of a password that nobody knows.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$hGvJXmQ5m0D2kKzV0l0c3Q$dTvY1o4xk8mU4h8b3P7M2sB1qF6zX0aWn9cJrLtEyGI";

/// A secret for an account that has none yet.
///
/// # Errors
///
/// [`PasswordError::System`].
pub fn make() -> Result<Password, PasswordError> {
    let mut bytes = Zeroizing::new([0_u8; MADE_CHARS]);
    getrandom::fill(&mut *bytes).map_err(|_| PasswordError::System)?;
    let text = bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)])).collect();
    Ok(Password::from(Zeroizing::new(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_password_that_was_hashed_is_right() {
        let password = make().unwrap();
        let kept = hash(&password).unwrap();
        assert!(kept.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert!(verify(Some(&kept), &password));
        assert!(!verify(Some(&kept), "something else entirely"));
        assert!(!verify(None, &password));
        assert!(!verify(Some("no hash"), &password));
        assert!(!verify(Some(&kept), &"x".repeat(BYTES_MAX + 1)));
        assert!(PasswordHash::new(NOBODY).is_ok(), "so that it takes as long");
    }

    #[test]
    fn length_decides() {
        assert_eq!(judge("ada", "fourteen chars"), Err(PasswordError::TooShort));
        assert_eq!(judge("ada", "fifteen chars.."), Ok(()));
        assert_eq!(judge("ada", "my name is ADA, yes"), Err(PasswordError::ContainsName));
        assert_eq!(judge("ada", &"x".repeat(BYTES_MAX + 1)), Err(PasswordError::TooLong));
        // Characters, not bytes.
        assert_eq!(judge("ada", &"\u{1f511}".repeat(15)), Ok(()));
    }
}
