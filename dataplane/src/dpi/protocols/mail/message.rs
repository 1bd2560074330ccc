//! What is told of one message that is handed over? To EVE as `email`, to rules as its fields and files.
//!
//! Rules are told the envelope and the headers as soon as the headers are over, files as they come.

use md5::{Digest as _, Md5};

use super::mime::{Found, Message, words};
use crate::dpi::file::CarriedFile;
use crate::dpi::{Context, Fields};
use crate::flow::Direction;
use crate::rules::language::buffers::buffer;
use crate::rules::rule::BufferId;

/// Items of one list that are kept: recipients, attachments, URLs and the like.
const ITEMS_MAX: usize = 32;

/// Bytes of a URL.
const URL_BYTES_MAX: usize = 1_024;

const BODY_MD5: BufferId = buffer("email.body_md5");

/// Headers that are told, and how they are called in EVE.
const KEPT: &[(&str, &str)] = &[
    ("from", "from"),
    ("to", "to"),
    ("cc", "cc"),
    ("subject", "subject"),
    ("date", "date"),
    ("message-id", "message_id"),
    ("user-agent", "x_mailer"),
    ("x-mailer", "x_mailer"),
];

/// A message on its way.
#[derive(Debug)]
pub(super) struct Mail {
    mime: Message,
    kept: Told,
    /// Of the body as it comes, where a rule asks for it.
    md5: Option<Md5>,
}

/// What is known of it so far.
#[derive(Debug)]
struct Told {
    transaction: u32,
    way: Direction,
    email: Fields,
    /// Keys that `email` has.
    has: Vec<&'static str>,
    received: Vec<Box<[u8]>>,
    attachments: Vec<Box<[u8]>>,
    urls: Vec<Box<[u8]>>,
    file: Option<CarriedFile>,
    is_body: bool,
    /// Its end did not come.
    is_cut: bool,
}

impl Mail {
    pub(super) fn begin(way: Direction, cx: &mut Context<'_>) -> Self {
        let kept = Told {
            transaction: cx.begin_transaction(),
            way,
            email: Fields::new(),
            has: Vec::new(),
            received: Vec::new(),
            attachments: Vec::new(),
            urls: Vec::new(),
            file: None,
            is_body: false,
            is_cut: false,
        };
        Self { mime: Message::default(), kept, md5: cx.rules.wants(BODY_MD5).then(Md5::new) }
    }

    /// Its number among the transactions of the flow.
    pub(super) const fn transaction(&self) -> u32 {
        self.kept.transaction
    }

    /// A line, or where `ending` is empty a piece of one. `envelope` is what was told of the message before.
    pub(super) fn line(
        &mut self,
        bytes: &[u8],
        ending: &'static [u8],
        envelope: &dyn Fn() -> Fields,
        cx: &mut Context<'_>,
    ) {
        let Self { mime, kept, md5 } = self;
        if let Some(md5) = md5.as_mut().filter(|_| kept.is_body) {
            md5.update(bytes);
            md5.update(ending);
        }
        mime.line(bytes, ending, &mut |found| kept.found(found, envelope, cx));
    }

    /// Bytes are missing.
    pub(super) fn lose(&mut self) {
        if let Some(file) = &mut self.kept.file {
            file.lose();
        }
        self.md5 = None;
        self.mime.lose();
    }

    /// The message is over, or will not go on: what EVE says of it. `is_whole` where its end came.
    pub(super) fn end(
        &mut self,
        is_whole: bool,
        envelope: &dyn Fn() -> Fields,
        cx: &mut Context<'_>,
    ) -> Fields {
        let Self { mime, kept, md5 } = self;
        kept.is_cut |= !is_whole;
        mime.end(&mut |found| kept.found(found, envelope, cx));
        let mut email = std::mem::take(&mut kept.email);
        for (key, items) in
            [("attachment", &kept.attachments), ("url", &kept.urls), ("received", &kept.received)]
        {
            if !items.is_empty() {
                email.list(key, |list| items.iter().for_each(|item| list.text("", item)));
            }
        }
        if let Some(md5) = md5.take() {
            email.hex("body_md5", &md5.finalize());
        }
        email
    }
}

impl Told {
    fn found(&mut self, found: Found<'_>, envelope: &dyn Fn() -> Fields, cx: &mut Context<'_>) {
        match found {
            Found::Header(name, value) => self.header(name, value),
            Found::Body => {
                self.is_body = true;
                cx.tell_rules_early("smtp", self.way, self.transaction, |fields| {
                    fields.append(&envelope());
                    fields.object("/email", |email| {
                        email.append(&self.email);
                        if !self.received.is_empty() {
                            email.list("received", |list| {
                                self.received.iter().for_each(|item| list.text("", item));
                            });
                        }
                    });
                });
            }
            Found::FileBegins(name) => {
                if self.attachments.len() < ITEMS_MAX {
                    self.attachments.push(name.into());
                }
                // As it stands, and as it reads.
                let decoded = words(name);
                let of = ("smtp", self.transaction);
                self.file = Some(CarriedFile::begin(cx, of, self.way, name, decoded.as_deref()));
            }
            Found::File(bytes) => {
                if let Some(file) = &mut self.file {
                    file.data(bytes, cx);
                }
            }
            Found::FileEnds => {
                if let Some(file) = self.file.take() {
                    let attachments = &self.attachments;
                    file.end(!self.is_cut, cx, |fields, _name| {
                        fields.object("/smtp", |smtp| smtp.append(&envelope()));
                        fields.object("/email", |email| {
                            email.append(&self.email);
                            email.list("attachment", |list| {
                                attachments.iter().for_each(|name| list.text("", name));
                            });
                        });
                    });
                }
            }
            Found::Text(line) => find_urls(line, &mut |url| {
                if self.urls.len() < ITEMS_MAX && self.urls.iter().all(|known| **known != *url) {
                    self.urls.push(url.into());
                }
            }),
            Found::Wrong(event) => cx.anomaly_of(self.transaction, event),
        }
    }

    fn header(&mut self, name: &[u8], value: &[u8]) {
        if name.eq_ignore_ascii_case(b"received") {
            if self.received.len() < ITEMS_MAX {
                self.received.push(value.into());
            }
            return;
        }
        let found = KEPT.iter().find(|(own, _)| name.eq_ignore_ascii_case(own.as_bytes()));
        let Some((_, key)) = found.filter(|(_, key)| !self.has.contains(key)) else { return };
        self.has.push(key);
        if matches!(*key, "to" | "cc") {
            self.email.list(key, |list| {
                for one in value.split(|byte| *byte == b',').take(ITEMS_MAX) {
                    list.text("", one.trim_ascii());
                }
            });
        } else {
            self.email.text(key, value);
        }
    }
}

/// URLs of a line, without their schemes.
fn find_urls(line: &[u8], tell: &mut dyn FnMut(&[u8])) {
    for at in memchr::memmem::find_iter(line, b"://") {
        let (before, after) = (line.get(..at).unwrap_or_default(), line.get(at + 3..).unwrap_or_default());
        let is = |scheme: &[u8]| {
            let start = before.len().checked_sub(scheme.len()).and_then(|from| before.get(from..));
            start.is_some_and(|start| start.eq_ignore_ascii_case(scheme))
        };
        if !(is(b"http") || is(b"https") || is(b"ftp")) {
            continue;
        }
        let ends =
            |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b'"' | b'\'' | b'<' | b'>' | b']');
        let len = after.iter().position(ends).unwrap_or(after.len());
        if let Some(url) = after.get(..len.min(URL_BYTES_MAX)).filter(|url| !url.is_empty()) {
            tell(url);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_found_within_a_line() {
        let mut urls = Vec::new();
        let line =
            b"see <a href=\"HTTP://one.example/x?y\">, https://two.example and xttp://no ftp:// ftp://three";
        find_urls(line, &mut |url| urls.push(String::from_utf8_lossy(url).into_owned()));
        assert_eq!(urls, ["one.example/x?y", "two.example", "three"]);
    }
}
