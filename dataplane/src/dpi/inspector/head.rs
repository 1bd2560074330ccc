//! The beginning of a payload, with which a later one is compared.

/// Bytes of a payload that the next one may be compared with.
const HEAD_BYTES: usize = 64;

/// The beginning of a payload.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    bytes: [u8; HEAD_BYTES],
    pub(super) len: u8,
}

impl Head {
    pub(super) const NONE: Self = Self { bytes: [0; HEAD_BYTES], len: 0 };

    pub(super) fn of(payload: &[u8]) -> Self {
        let mut head = Self::NONE;
        let len = payload.len().min(HEAD_BYTES);
        head.bytes[..len].copy_from_slice(&payload[..len]);
        head.len = len as u8;
        head
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}
