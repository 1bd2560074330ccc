//! What kind of file is this? libmagic's description of its first bytes, the very text that rules compare with (`file -b`).
//!
//! libmagic is not made for several threads: each that asks has a cookie of its own, about a millisecond to open. A worker opens
//! its own when it takes up rules that ask, between packets ([`open`]); where the database cannot be had is known when the rules are
//! read, which are not loaded then.
//!
//! It is C, and reads what strangers send: only where a rule asks for it, and at most [`BYTES_MAX`] bytes of a file.

use std::cell::RefCell;

use magic::Cookie;
use magic::cookie::{DatabasePaths, Flags, Load};

/// Bytes of a file that are described; Suricata gives 512 where it has more.
pub const BYTES_MAX: usize = 4 << 10;

/// The same of a file that is one of many at once.
pub const BYTES_OF_MANY_MAX: usize = 1 << 10;

/// Bytes of a description that are kept.
const TEXT_BYTES_MAX: usize = 1_024;

/// Why nothing can be described.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("libmagic: {0}")]
pub struct NoMagic(String);

thread_local! {
    /// This thread's, where it was opened.
    static COOKIE: RefCell<Option<Cookie<Load>>> = const { RefCell::new(None) };
}

/// Makes this thread able to describe. Nothing where it is already.
///
/// # Errors
///
/// [`NoMagic`]: libmagic's database is not there, or is of another version.
pub fn open() -> Result<(), NoMagic> {
    COOKIE.with_borrow_mut(|own| {
        if own.is_none() {
            let cookie = Cookie::open(Flags::default()).map_err(|fault| NoMagic(fault.to_string()))?;
            let loaded =
                cookie.load(&DatabasePaths::default()).map_err(|fault| NoMagic(fault.to_string()))?;
            *own = Some(loaded);
        }
        Ok(())
    })
}

/// What the first bytes of a file are; `None`: nobody has opened libmagic on this thread, or it does not know.
#[must_use]
pub fn describe(bytes: &[u8]) -> Option<Box<str>> {
    let bytes = bytes.get(..BYTES_MAX).unwrap_or(bytes);
    COOKIE.with_borrow(|own| {
        let mut text = own.as_ref()?.buffer(bytes).ok()?;
        let end = (0..=TEXT_BYTES_MAX.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or(0));
        Some(text.into())
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    /// What `file` says of bytes; `None`: there is no such program.
    fn by_file(bytes: &[u8]) -> Option<String> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        let ran = Command::new("file").arg("-b").arg(file.path()).stderr(Stdio::null()).output().ok()?;
        Some(String::from_utf8_lossy(&ran.stdout).trim_end().to_owned())
    }

    #[test]
    fn files_are_described_as_file_does() {
        assert_eq!(std::thread::spawn(|| describe(b"%PDF-1.4\n")).join().unwrap(), None, "nobody opened it");
        open().unwrap();
        let mut mz = [0; 64];
        mz[..3].copy_from_slice(b"MZ\x90");
        let gif = b"GIF89a\x01\0\x02\0\x80\0\0\0\0\0\xff\xff\xff;";
        let program = std::fs::read("/proc/self/exe").unwrap();
        let program = &program[..BYTES_MAX];
        let long = vec![b'a'; 10 * BYTES_MAX];
        for (bytes, start) in [
            (&b"%PDF-1.4\nabc"[..], "PDF document, version 1.4"),
            (&mz, "MS-DOS executable, MZ for MS-DOS"),
            (b"BZh91AY&SY", "bzip2 compressed data"),
            (gif, "GIF image data, version 89a, 1 x 2"),
            (b"<html><body>x</body></html>\n", "HTML document, ASCII text"),
            (b"#!/bin/sh\necho\n", "POSIX shell script"),
            (b"{\"a\": 1}\n", "JSON"),
            (b"\0\x01\x02\xff", "data"),
            (program, "ELF 64-bit"),
            (&long, "ASCII text, with very long lines"),
        ] {
            let told = describe(bytes).unwrap();
            assert!(told.starts_with(start), "{told}");
            // Of programs `file` reads further in the file itself, which libmagic cannot with bytes.
            let other = by_file(bytes.get(..BYTES_MAX).unwrap_or(bytes)).filter(|_| start != "ELF 64-bit");
            if let Some(other) = other {
                assert_eq!(*told, other);
            }
        }
    }
}
