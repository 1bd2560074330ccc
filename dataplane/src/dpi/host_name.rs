//! How is the host of a flow kept? In place where it is short, as nearly all are.

use std::fmt;
use std::ops::Deref;

/// Longest name that needs no memory of its own.
const SHORT_BYTES_MAX: usize = 54;

/// The host that a flow is about, lower case.
#[derive(Clone, PartialEq, Eq)]
pub struct HostName(Form);

#[derive(Clone, PartialEq, Eq)]
enum Form {
    Short { len: u8, bytes: [u8; SHORT_BYTES_MAX] },
    Long(Box<str>),
}

impl From<&str> for HostName {
    fn from(name: &str) -> Self {
        let mut bytes = [0; SHORT_BYTES_MAX];
        Self(match bytes.get_mut(..name.len()) {
            Some(place) => {
                place.copy_from_slice(name.as_bytes());
                Form::Short { len: name.len() as u8, bytes }
            }
            None => Form::Long(name.into()),
        })
    }
}

impl Deref for HostName {
    type Target = str;

    fn deref(&self) -> &str {
        match &self.0 {
            // It was one when it was copied.
            Form::Short { len, bytes } => {
                std::str::from_utf8(&bytes[..usize::from(*len)]).unwrap_or_default()
            }
            Form::Long(name) => name,
        }
    }
}

impl From<HostName> for String {
    fn from(name: HostName) -> Self {
        (*name).into()
    }
}

impl fmt::Debug for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_long_names_come_back() {
        for len in [0, 1, 53, 54, 55, 253] {
            let name = "é".repeat(len / 2) + if len % 2 == 1 { "x" } else { "" };
            assert_eq!(&*HostName::from(name.as_str()), name);
        }
        assert_eq!(size_of::<Option<HostName>>(), 56);
    }
}
