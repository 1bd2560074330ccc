//! Base64 as rules read it: what the last letters have too much of is nobody's.

use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Whether a byte is a letter of Base64.
pub(super) const fn is_letter(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/')
}

/// What letters stand for; `None`: nothing.
pub(super) fn decoded(letters: &[u8]) -> Option<Vec<u8>> {
    // A letter that is left over makes no byte.
    let whole = letters.len() - usize::from(letters.len() % 4 == 1);
    LENIENT.decode(&letters[..whole]).ok().filter(|decoded| !decoded.is_empty())
}
