//! Where do event lines go on disk? One append-only file, written in batches, rotated by size and by time.
//!
//! A line is either stored whole or counted as lost: after a failed write the file is cut back to its last
//! whole line. A failing disk (full, read-only, gone) is tried again every [`RETRY`]; in between lines are
//! counted and forgotten, so that neither memory nor the caller waits for the disk to recover.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use dataplane::time::Wall;

/// Bytes collected before they are written, unless [`EveFile::flush`] comes first.
const BUFFER_BYTES: usize = 256 * 1024;

/// How long a failing file is left alone.
pub const RETRY: Duration = Duration::from_secs(1);

/// When the file is set aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotation {
    /// Size that starts a new file, bytes; the old one becomes `NAME.1`.
    pub size_max_bytes: Option<u64>,
    /// A new file is started whenever the wall clock passes a multiple of these seconds.
    pub every_s: Option<u64>,
    /// Old files kept; 0 keeps none.
    pub keep: u32,
}

/// A file of lines.
#[derive(Debug)]
pub struct EveFile {
    path: PathBuf,
    rotation: Option<Rotation>,
    file: Option<File>,
    /// Length of the file up to its last whole line.
    len_bytes: u64,
    /// When what is in the file was written: seconds since 1970.
    written_s: u64,
    buffer: Vec<u8>,
    buffered_lines: u64,
    failed_at: Option<Instant>,
    stored: u64,
    lost: u64,
}

impl EveFile {
    /// Opens `path` for appending, making it (mode 0640) where it is not there.
    ///
    /// # Errors
    ///
    /// As the system says; at start a file that cannot be opened is the operator's mistake.
    pub fn open(path: impl Into<PathBuf>, rotation: Option<Rotation>) -> io::Result<Self> {
        let path = path.into();
        let Opened { file, len_bytes, written_s } = open(&path)?;
        Ok(Self {
            path,
            rotation,
            file: Some(file),
            len_bytes,
            written_s,
            buffer: Vec::with_capacity(BUFFER_BYTES + 4_096),
            buffered_lines: 0,
            failed_at: None,
            stored: 0,
            lost: 0,
        })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes whole lines, `count` of them, each with its newline.
    ///
    /// # Errors
    ///
    /// Why lines were lost just now; they are counted already. The next call may well succeed.
    pub fn write(&mut self, lines: &[u8], count: u64, now: Instant) -> io::Result<()> {
        if self.failed_at.is_some_and(|at| now.saturating_duration_since(at) < RETRY) {
            self.lost += count;
            return Ok(());
        }
        self.buffer.extend_from_slice(lines);
        self.buffered_lines += count;
        if self.buffer.len() >= BUFFER_BYTES { self.flush(now) } else { Ok(()) }
    }

    /// Hands everything collected to the kernel.
    ///
    /// # Errors
    ///
    /// Why the collected lines were lost; they are counted already.
    pub fn flush(&mut self, now: Instant) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let outcome = self.try_flush();
        match outcome {
            Ok(()) => {
                self.stored += self.buffered_lines;
                self.failed_at = None;
            }
            Err(_) => {
                self.lost += self.buffered_lines;
                self.failed_at = Some(now);
            }
        }
        self.buffer.clear();
        self.buffered_lines = 0;
        outcome
    }

    /// Starts a new file where the old one was written in an earlier interval than `wall`, also before a restart. One
    /// division where nothing is due.
    ///
    /// # Errors
    ///
    /// As [`Self::flush`], or why the file cannot be set aside.
    pub fn rotate_at(&mut self, wall: Wall, now: Instant) -> io::Result<()> {
        let Some(every_s) = self.rotation.and_then(|rotation| rotation.every_s) else { return Ok(()) };
        let wall_s = wall.0 / 1_000_000_000;
        if wall_s / every_s == self.written_s / every_s {
            return Ok(());
        }
        let flushed = self.flush(now);
        let is_empty = self.len_bytes == 0;
        self.written_s = wall_s;
        flushed?;
        if is_empty {
            return Ok(());
        }
        self.rotate()?;
        self.ensure_open()?;
        self.written_s = wall_s;
        Ok(())
    }

    /// Opens the path again, for a log rotator that has renamed the file.
    ///
    /// # Errors
    ///
    /// As the system says; lines are lost until a later attempt succeeds.
    pub fn reopen(&mut self, now: Instant) -> io::Result<()> {
        let flushed = self.flush(now);
        self.file = None;
        self.ensure_open()?;
        flushed
    }

    /// Lines handed to the kernel.
    #[must_use]
    pub const fn stored(&self) -> u64 {
        self.stored
    }

    /// Lines lost because the disk failed.
    #[must_use]
    pub const fn lost(&self) -> u64 {
        self.lost
    }

    /// Whether the last attempt failed.
    #[must_use]
    pub const fn failing(&self) -> bool {
        self.failed_at.is_some()
    }

    fn try_flush(&mut self) -> io::Result<()> {
        self.rotate_if_due()?;
        self.ensure_open()?;
        let Some(mut file) = self.file.as_ref() else { return Err(io::ErrorKind::NotFound.into()) };
        if let Err(error) = file.write_all(&self.buffer) {
            // No torn line: what a full disk took of this batch goes again.
            let _ = file.set_len(self.len_bytes);
            self.file = None;
            return Err(error);
        }
        self.len_bytes += self.buffer.len() as u64;
        Ok(())
    }

    fn ensure_open(&mut self) -> io::Result<()> {
        if self.file.is_none() {
            let Opened { file, len_bytes, written_s } = open(&self.path)?;
            (self.len_bytes, self.written_s) = (len_bytes, written_s);
            self.file = Some(file);
        }
        Ok(())
    }

    fn rotate_if_due(&mut self) -> io::Result<()> {
        let size_max = self.rotation.and_then(|rotation| rotation.size_max_bytes);
        match size_max {
            Some(size_max) if self.len_bytes > 0 && self.len_bytes + self.buffer.len() as u64 > size_max => {
                self.rotate()
            }
            _ => Ok(()),
        }
    }

    /// Sets the file aside; the next write makes a new one.
    fn rotate(&mut self) -> io::Result<()> {
        let keep = self.rotation.map_or(0, |rotation| rotation.keep);
        self.file = None;
        for number in (1..keep).rev() {
            ignore_missing(std::fs::rename(numbered(&self.path, number), numbered(&self.path, number + 1)))?;
        }
        if keep > 0 {
            ignore_missing(std::fs::rename(&self.path, numbered(&self.path, 1)))
        } else {
            ignore_missing(std::fs::remove_file(&self.path))
        }
    }
}

impl Drop for EveFile {
    fn drop(&mut self) {
        // Nobody is left to be told; an orderly stop flushes before it drops.
        let _ = self.flush(Instant::now());
    }
}

struct Opened {
    file: File,
    len_bytes: u64,
    written_s: u64,
}

fn open(path: &Path) -> io::Result<Opened> {
    let file = OpenOptions::new().append(true).create(true).mode(0o640).open(path)?;
    let metadata = file.metadata()?;
    let written = metadata.modified()?.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Ok(Opened { file, len_bytes: metadata.len(), written_s: written.as_secs() })
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

fn ignore_missing(outcome: io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(path: &Path) -> String {
        std::fs::read_to_string(path).unwrap_or_default()
    }

    #[test]
    fn lines_are_appended_to_what_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("eve.json");
        std::fs::write(&path, "old\n").unwrap();
        let mut file = EveFile::open(&path, None).unwrap();
        file.write(b"a\nb\n", 2, Instant::now()).unwrap();
        assert_eq!(file.stored(), 0, "collected, not yet handed over");
        file.flush(Instant::now()).unwrap();
        assert_eq!((file.stored(), file.lost()), (2, 0));
        assert_eq!(contents(&path), "old\na\nb\n");
    }

    #[test]
    fn a_full_buffer_is_written_without_a_flush() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = EveFile::open(dir.path().join("eve.json"), None).unwrap();
        let line = [b'x'; 1_024];
        for _ in 0..300 {
            file.write(&line, 1, Instant::now()).unwrap();
        }
        assert!(file.stored() >= 256);
    }

    #[test]
    fn rotation_keeps_the_wanted_number_of_old_files() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("eve.json");
        let mut file =
            EveFile::open(&path, Some(Rotation { size_max_bytes: Some(5), every_s: None, keep: 2 })).unwrap();
        for line in ["one\n", "two\n", "three\n", "four\n"] {
            file.write(line.as_bytes(), 1, Instant::now()).unwrap();
            file.flush(Instant::now()).unwrap();
        }
        assert_eq!(contents(&path), "four\n");
        assert_eq!(contents(&numbered(&path, 1)), "three\n");
        assert_eq!(contents(&numbered(&path, 2)), "two\n");
        assert!(!numbered(&path, 3).exists());
        assert_eq!(file.stored(), 4);
    }

    #[test]
    fn a_renamed_file_is_left_on_reopen() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("eve.json");
        let mut file = EveFile::open(&path, None).unwrap();
        file.write(b"before\n", 1, Instant::now()).unwrap();
        let moved = dir.path().join("moved");
        std::fs::rename(&path, &moved).unwrap();
        file.reopen(Instant::now()).unwrap();
        file.write(b"after\n", 1, Instant::now()).unwrap();
        file.flush(Instant::now()).unwrap();
        assert_eq!((contents(&moved), contents(&path)), ("before\n".into(), "after\n".into()));
    }

    /// `/dev/full` answers every write with ENOSPC, as a full disk does.
    #[test]
    fn a_full_disk_is_counted_left_alone_and_tried_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("eve.json");
        std::os::unix::fs::symlink("/dev/full", &path).unwrap();
        let start = Instant::now();
        let mut file = EveFile::open(&path, None).unwrap();
        file.write(b"a\n", 1, start).unwrap();
        assert_eq!(file.flush(start).unwrap_err().raw_os_error(), Some(28));
        assert!(file.failing());
        file.write(b"b\n", 1, start).unwrap();
        assert_eq!((file.stored(), file.lost()), (0, 2));

        std::fs::remove_file(&path).unwrap();
        let later = start + RETRY;
        file.write(b"c\n", 1, later).unwrap();
        file.flush(later).unwrap();
        assert!(!file.failing());
        assert_eq!((file.stored(), file.lost()), (1, 2));
        assert_eq!(contents(&path), "c\n");
    }

    #[test]
    fn a_new_file_begins_with_each_interval_also_over_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("eve.json");
        let hourly = Some(Rotation { size_max_bytes: None, every_s: Some(3_600), keep: 2 });
        let hour = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() / 3_600;
        let at = |hours: u64, seconds: u64| Wall(((hour + hours) * 3_600 + seconds) * 1_000_000_000);
        let now = Instant::now();
        let mut file = EveFile::open(&path, hourly).unwrap();
        for (hours, seconds, line) in
            [(1, 0, "one\n"), (1, 3_599, "too\n"), (2, 0, "two\n"), (5, 7, "five\n")]
        {
            file.rotate_at(at(hours, seconds), now).unwrap();
            file.write(line.as_bytes(), 1, now).unwrap();
        }
        // What was collected before the interval ended is written to its own file.
        file.flush(now).unwrap();
        let all = [path.clone(), numbered(&path, 1), numbered(&path, 2)];
        assert_eq!(all.each_ref().map(|path| contents(path)), ["five\n", "two\n", "one\ntoo\n"]);
        file.rotate_at(at(6, 0), now).unwrap();
        file.rotate_at(at(7, 0), now).unwrap();
        assert_eq!(contents(&numbered(&path, 1)), "five\n", "an empty file is not set aside");
        drop(file);

        std::fs::write(&path, "before the restart\n").unwrap();
        let mut file = EveFile::open(&path, hourly).unwrap();
        file.rotate_at(at(3, 0), now).unwrap();
        assert_eq!(contents(&numbered(&path, 1)), "before the restart\n");
        assert_eq!(contents(&path), "");
    }

    /// Needs root, for a file system of its own; says so and passes without.
    #[test]
    fn a_disk_that_fills_up_keeps_whole_lines_and_is_written_again_once_there_is_room() {
        let dir = tempfile::tempdir().unwrap();
        let run = |words: &[&str]| {
            std::process::Command::new(words[0]).args(&words[1..]).arg(dir.path()).status().unwrap().success()
        };
        if !run(&["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs"]) {
            eprintln!("left out: no file system can be mounted");
            return;
        }
        let path = dir.path().join("eve.json");
        std::fs::write(dir.path().join("in the way"), vec![0; 128 << 10]).unwrap();
        let start = Instant::now();
        let mut file = EveFile::open(&path, None).unwrap();
        let line = [&[b'x'; 999][..], b"\n"].concat();
        let mut errors = 0;
        for _ in 0..300 {
            file.write(&line, 1, start).unwrap();
            errors += usize::from(file.flush(start).is_err());
        }
        assert_eq!(errors, 1, "left alone after the first refusal");
        assert!(file.failing() && file.stored() > 50 && file.stored() + file.lost() == 300);
        assert_eq!(std::fs::read(&path).unwrap(), line.repeat(file.stored() as usize), "no torn line");

        std::fs::remove_file(dir.path().join("in the way")).unwrap();
        let stored = file.stored();
        file.write(&line, 1, start + RETRY).unwrap();
        file.flush(start + RETRY).unwrap();
        assert!(!file.failing() && file.stored() == stored + 1);
        assert_eq!(std::fs::read(&path).unwrap(), line.repeat(file.stored() as usize));
        drop(file);
        assert!(run(&["umount"]));
    }

    #[test]
    fn a_missing_directory_is_an_error_at_start() {
        let error = EveFile::open("/nonexistent/eve.json", None).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
