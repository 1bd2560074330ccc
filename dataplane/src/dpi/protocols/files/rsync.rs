//! Which module of an rsync daemon is read or written, and by whom? (rsync, clientserver.c)
//!
//! ```text
//! server  @RSYNCD: 31.0 sha512 md5          lines, each ended by LF
//! client  @RSYNCD: 31.0 sha512 md5
//! client  module                            #list or nothing: which modules there are
//! server  @RSYNCD: AUTHREQD challenge       only of modules with users
//! client  user response
//! server  @RSYNCD: OK                       or @ERROR: text, or @RSYNCD: EXIT behind a list
//! client  --server NUL --sender NUL ... NUL . NUL module/path NUL NUL
//! ```
//!
//! Told as `rsync`, one record a flow; neither challenge nor response are told.

use crate::dpi::text::{decimal, starts_with_word};
use crate::dpi::{
    Category, Context, Fields, First, Kept, Match, Parser, Peek, Probe, Protocol, Risk, Shown, Step,
};
use crate::flow::Direction;

/// rsync's own protocol.
pub static RSYNC: Protocol = Protocol {
    name: "rsync",
    eve: None,
    category: Category::DataTransfer,
    probes: &[Probe::tcp(First::Of(b"@"), look)],
    parser: Some(|| Box::<Session>::default()),
};

const GREETING: &[u8] = b"@RSYNCD: ";

/// Bytes of a line; the daemon's buffer is as large (`BIGPATHBUFLEN`).
const LINE_BYTES_MAX: usize = 4_096 + 1_024;

/// Bytes of early input; rsync sends no more (`MAX_EARLY_DATA_SIZE` and some room).
const EARLY_BYTES_MAX: u64 = 64 * 1_024;

/// Bytes of all arguments.
const ARGUMENTS_BYTES_MAX: usize = 8_192;

/// Bytes of a text that are told.
const TEXT_BYTES_MAX: usize = 256;

fn look(peek: &Peek<'_>) -> Match {
    const START: &[u8] = b"@RSYNCD:";
    Match::of(peek.bytes.starts_with(START), 98).or_more(START.starts_with(peek.bytes))
}

/// What the client says next.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Expected {
    #[default]
    Greeting,
    Module,
    /// Of a user, or the arguments.
    Rest,
}

/// One connection.
#[derive(Default)]
struct Session {
    expected: Expected,
    client: Kept,
    server: Kept,
    module: Kept,
    user: Kept,
    error: Kept,
    path: Kept,
    /// Modules of a list.
    listed: u32,
    status: &'static str,
    /// `download` or `upload`, as the client sees it.
    transfer: &'static str,
    is_told: bool,
}

impl Parser for Session {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        // What the server says behind its OK are files.
        if way == Direction::Reverse && self.status == "ok" {
            return Step::Consumed(bytes.len());
        }
        if way == Direction::Forward && self.expected == Expected::Rest && bytes.starts_with(b"-") {
            return self.arguments(bytes, cx);
        }
        let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
            if bytes.len() > LINE_BYTES_MAX {
                cx.anomaly("line_too_long");
                return Step::Done;
            }
            return Step::Consumed(0);
        };
        let line = bytes.get(..end).unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        // `--early-input`: bytes for a script of the server, which may be a secret.
        if way == Direction::Forward
            && self.expected == Expected::Module
            && let Some(digits) = line.strip_prefix(b"#early_input=")
        {
            return match decimal(digits).filter(|len| *len <= EARLY_BYTES_MAX) {
                Some(len) => Step::Consumed(end + 1 + len as usize),
                None => {
                    cx.anomaly("invalid_length");
                    Step::Done
                }
            };
        }
        let goes_on = match way {
            Direction::Forward => self.asked(line, cx),
            Direction::Reverse => self.answered(line, cx),
        };
        if goes_on { Step::Consumed(end + 1) } else { Step::Done }
    }

    fn end(&mut self, cx: &mut Context<'_>) {
        if !self.client.is_empty() || !self.server.is_empty() {
            self.tell(Direction::Forward, cx);
        }
    }

    fn start_over(&mut self) -> bool {
        *self = Self::default();
        true
    }
}

impl Session {
    /// A line of the client. `false`: nothing that follows matters.
    fn asked(&mut self, line: &[u8], cx: &mut Context<'_>) -> bool {
        match self.expected {
            Expected::Greeting => {
                let Some(greeting) = greeting(line) else {
                    cx.anomaly("invalid_banner");
                    return false;
                };
                self.client = greeting;
                self.expected = Expected::Module;
            }
            Expected::Module => {
                self.module = clipped(line);
                self.expected = Expected::Rest;
            }
            // A name, a blank, and what must not be told.
            Expected::Rest => match line.iter().position(|byte| *byte == b' ') {
                Some(blank) => self.user = clipped(line.get(..blank).unwrap_or_default()),
                None => {
                    cx.anomaly("malformed_login");
                    return false;
                }
            },
        }
        true
    }

    /// A line of the server.
    fn answered(&mut self, line: &[u8], cx: &mut Context<'_>) -> bool {
        if self.server.is_empty() {
            let Some(greeting) = greeting(line) else {
                cx.anomaly("invalid_banner");
                return false;
            };
            self.server = greeting;
        } else if let Some(said) = line.strip_prefix(GREETING) {
            match said {
                b"OK" => self.status = "ok",
                b"EXIT" => {
                    self.status = "exit";
                    self.tell(Direction::Reverse, cx);
                    return false;
                }
                _ if starts_with_word(said, b"AUTHREQD") => self.status = "auth_required",
                _ => {}
            }
        } else if let Some(error) = line.strip_prefix(b"@ERROR") {
            self.status = "error";
            self.error = clipped(error.strip_prefix(b":").unwrap_or(error).trim_ascii());
            if starts_with_word(&self.error, b"auth failed") {
                cx.risk(Risk::FailedLogin, format_args!("rsync: {}", Shown(&self.error)));
            }
            self.tell(Direction::Reverse, cx);
            return false;
        } else if line.contains(&b'\t') && (self.module.is_empty() || &self.module[..] == b"#list") {
            // Name, a tab, comment; other lines are the message of the day.
            self.listed = self.listed.saturating_add(1);
        }
        true
    }

    /// Arguments end with an empty one; before version 30 they are lines.
    fn arguments(&mut self, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        let end = bytes.windows(2).position(|pair| matches!(pair, b"\0\0" | b"\n\n"));
        let Some(arguments) = end.and_then(|end| bytes.get(..end)) else {
            if bytes.len() > ARGUMENTS_BYTES_MAX {
                cx.anomaly("arguments_too_long");
                return Step::Done;
            }
            return Step::Consumed(0);
        };
        let words = || arguments.split(|byte| matches!(byte, 0 | b'\n'));
        self.transfer = if words().any(|word| word == b"--sender") { "download" } else { "upload" };
        // Behind the dot stand the files, the module's name first.
        if let Some(path) = words().skip_while(|word| *word != b".").nth(1) {
            self.path = clipped(path);
        }
        self.tell(Direction::Forward, cx);
        Step::Done
    }

    fn tell(&mut self, way: Direction, cx: &mut Context<'_>) {
        if std::mem::replace(&mut self.is_told, true) {
            return;
        }
        cx.tell_with("rsync", way, |fields| self.write(fields));
    }

    fn write(&self, fields: &mut Fields) {
        for (name, greeting) in [("client", &self.client), ("server", &self.server)] {
            let mut words = greeting.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
            let Some(version) = words.next() else { continue };
            fields.object(name, |object| {
                object.text("version", version);
                if words.clone().next().is_some() {
                    object.list("digests", |list| words.for_each(|word| list.text("", word)));
                }
            });
        }
        for (name, text) in [("module", &self.module), ("user", &self.user), ("path", &self.path)] {
            if !text.is_empty() {
                fields.text(name, text);
            }
        }
        for (name, text) in [("transfer", self.transfer), ("status", self.status)] {
            if !text.is_empty() {
                fields.text(name, text);
            }
        }
        if self.listed > 0 {
            fields.number("modules", self.listed);
        }
        if !self.error.is_empty() {
            fields.text("error", &self.error);
        }
    }
}

/// The version, `31.0`, and behind it the digests that the side knows.
fn greeting(line: &[u8]) -> Option<Kept> {
    let said = line.strip_prefix(GREETING)?.trim_ascii();
    let version = said.split(|byte| *byte == b' ').next()?;
    let mut numbers = version.split(|byte| *byte == b'.');
    let is_version = numbers.clone().count() <= 2 && numbers.all(|number| decimal(number).is_some());
    is_version.then(|| clipped(said))
}

fn clipped(text: &[u8]) -> Kept {
    Kept::of(text.get(..TEXT_BYTES_MAX).unwrap_or(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpi::feed::samples::records_of;
    use crate::dpi::protocol::samples::{confidence, stream};
    use crate::flow::Direction::{Forward as C, Reverse as S};

    const HELLO: &[u8] = b"@RSYNCD: 31.0 sha512 md5 md4\n";
    const ARGUMENTS: &[u8] = b"--server\0--sender\0-lLogDtpre.iLsfxCIvu\0.\0pub/dir\0\0\x10\x20";

    #[test]
    fn a_transfer_is_told_once_in_pieces_of_any_size() {
        let client = [HELLO, b"pub\njoe c2VjcmV0\n", ARGUMENTS].concat();
        let server =
            [&b"@RSYNCD: 30.0\nWelcome\n"[..], b"@RSYNCD: AUTHREQD Y2hhbGxlbmdl\n@RSYNCD: OK\n\0\x01"]
                .concat();
        for size in [1, 4, 11, 500] {
            let pieces: Vec<_> =
                server.chunks(size).map(|s| (S, s)).chain(client.chunks(size).map(|c| (C, c))).collect();
            assert_eq!(
                records_of(&RSYNC, &pieces),
                ["rsync client={version=31.0 digests=[sha512 md5 md4]} server={version=30.0} \
                    module=pub user=joe path=pub/dir transfer=download status=ok"]
            );
        }
    }

    #[test]
    fn lists_and_refusals_are_told() {
        let ask = [HELLO, b"#list\n"].concat();
        assert_eq!(
            records_of(&RSYNC, &[(S, HELLO), (C, &ask), (S, b"pub \tPublic\nprivate\t\n@RSYNCD: EXIT\n")])[0]
                .split_once("module=")
                .map(|(_, rest)| rest),
            Some("#list status=exit modules=2")
        );
        let ask = [HELLO, b"none\n"].concat();
        assert!(
            records_of(&RSYNC, &[(S, HELLO), (C, &ask), (S, b"@ERROR: Unknown module 'none'\n")])[0]
                .ends_with("module=none status=error error=Unknown module 'none'")
        );
    }

    #[test]
    fn early_input_is_skipped() {
        let ask = [HELLO, b"#early_input=7\nsecret\npub\n", ARGUMENTS].concat();
        let told = records_of(&RSYNC, &[(S, HELLO), (C, &ask)]);
        assert!(told[0].contains("module=pub path=pub/dir") && !told[0].contains("secret"), "{told:?}");
        let lie = [HELLO, b"#early_input=x\n"].concat();
        assert!(records_of(&RSYNC, &[(C, &lie)])[0].contains("invalid_length"));
    }

    #[test]
    fn lies_have_a_name() {
        let long = [HELLO, b"pub\n-", &[b'x'; 9_000]].concat();
        let no_user = [HELLO, b"pub\nsecret\n"].concat();
        for (bytes, name) in [
            (&b"@RSYNCD: x.y\n"[..], "invalid_banner"),
            (&[b'@'; 6_000], "line_too_long"),
            (&long, "arguments_too_long"),
            (&no_user, "malformed_login"),
        ] {
            let told = records_of(&RSYNC, &[(C, bytes)]);
            assert!(told[0].contains(name) && !told.concat().contains("secret"), "{name}: {told:?}");
        }
        assert_eq!(confidence(&RSYNC, &stream(b"@RSYNCD: 31.0\n")), 98);
        assert_eq!(look(&stream(b"@RSY")), Match::More);
        assert_eq!(look(&stream(b"@ERROR")), Match::No);
    }
}
