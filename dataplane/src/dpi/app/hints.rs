//! Which application does a text give away? All parts of a kind are looked for in one pass; the longest one decides.
//!
//! A part may stand anywhere in the text, in any case, but one that begins with a letter or digit begins a word, so that
//! `Line/` is not found in `Pipeline/2`. `^` binds it to the beginning and `$` to the end of the text. What is no prose
//! (ALPN, JA3, JA4) is compared as a whole.

use std::collections::HashMap;

use aho_corasick::automaton::OverlappingState;
use aho_corasick::{AhoCorasick, Input};
use foldhash::quality::RandomState;

use super::AppId;
use crate::dpi::notes::HintKind;

/// Of a longer text only the beginning is looked at.
const TEXT_BYTES_MAX: usize = 512;

/// Longest ALPN, JA3 or JA4; ALPN's length is one byte (RFC 7301 3.1).
const WHOLE_BYTES_MAX: usize = 255;

/// Kinds of text whose parts count.
const PARTLY: [HintKind; 5] =
    [HintKind::UserAgent, HintKind::Url, HintKind::Server, HintKind::ContentType, HintKind::Certificate];

/// Kinds that are compared as a whole.
const WHOLLY: [HintKind; 3] = [HintKind::Alpn, HintKind::Ja3, HintKind::Ja4];

/// Texts and their applications.
#[derive(Debug, Default)]
pub(super) struct Hints {
    parts: [Parts; PARTLY.len()],
    /// Lower case.
    wholes: [HashMap<Box<[u8]>, AppId, RandomState>; WHOLLY.len()],
}

/// The parts of one kind.
#[derive(Debug, Default)]
struct Parts {
    list: Vec<Part>,
    search: Option<AhoCorasick>,
}

#[derive(Debug)]
struct Part {
    /// As in the file but lower case, with its marks.
    written: Box<str>,
    app: AppId,
    begins: bool,
    ends: bool,
    /// Begins with a letter or digit.
    word: bool,
}

/// The text cannot be looked for.
pub(super) type IsTooBig = bool;

impl Hints {
    /// Whoever's text holds `written` is `app`'s; a later entry of the same text replaces an earlier one. It is found
    /// after [`Hints::build`].
    pub(super) fn insert(&mut self, kind: HintKind, written: &str, app: AppId) {
        let written = written.to_ascii_lowercase();
        if let Some(wholes) = WHOLLY.iter().position(|wholly| *wholly == kind) {
            self.wholes[wholes].insert(written.into_bytes().into(), app);
            return;
        }
        let Some(parts) = PARTLY.iter().position(|partly| *partly == kind) else { return };
        let list = &mut self.parts[parts].list;
        list.retain(|part| *part.written != *written);
        list.push(Part {
            app,
            begins: written.starts_with('^'),
            ends: written.ends_with('$'),
            word: written.starts_with(|c: char| c.is_ascii_alphanumeric()),
            written: written.into(),
        });
    }

    /// Makes what was inserted ready to be found.
    pub(super) fn build(&mut self) -> IsTooBig {
        self.parts.iter_mut().any(|parts| {
            let bare = parts.list.iter().map(|part| bare(&part.written));
            let search = AhoCorasick::builder().ascii_case_insensitive(true).build(bare);
            let is_too_big = search.is_err();
            parts.search = search.ok();
            is_too_big
        })
    }

    /// `new` stands wherever an application of its name stood.
    pub(super) fn replace(&mut self, new: AppId) {
        let parts = self.parts.iter_mut().flat_map(|parts| parts.list.iter_mut().map(|part| &mut part.app));
        parts.chain(self.wholes.iter_mut().flat_map(HashMap::values_mut)).for_each(|app| {
            if *app == new {
                *app = new;
            }
        });
    }

    /// The application of the longest part that `text` holds.
    pub(super) fn find(&self, kind: HintKind, text: &[u8]) -> Option<AppId> {
        match PARTLY.iter().position(|partly| *partly == kind) {
            Some(parts) => self.parts[parts].find(text),
            None => self.whole(kind, text),
        }
    }

    fn whole(&self, kind: HintKind, text: &[u8]) -> Option<AppId> {
        let mut buffer = [0; WHOLE_BYTES_MAX];
        let lower = buffer.get_mut(..text.len())?;
        lower.copy_from_slice(text);
        lower.make_ascii_lowercase();
        let wholes = WHOLLY.iter().position(|wholly| *wholly == kind)?;
        self.wholes[wholes].get(&*lower).copied()
    }
}

impl Parts {
    fn find(&self, text: &[u8]) -> Option<AppId> {
        let search = self.search.as_ref()?;
        let text = &text[..text.len().min(TEXT_BYTES_MAX)];
        let mut best: Option<(usize, AppId)> = None;
        let mut state = OverlappingState::start();
        loop {
            search.find_overlapping(Input::new(text), &mut state);
            let Some(found) = state.get_match() else { break };
            let Some(part) = self.list.get(found.pattern().as_usize()) else { continue };
            let begins_word = || {
                let before = found.start().checked_sub(1).and_then(|at| text.get(at));
                !before.is_some_and(u8::is_ascii_alphanumeric)
            };
            let holds = (!part.begins || found.start() == 0)
                && (!part.ends || found.end() == text.len())
                && (!part.word || begins_word());
            // Marks count, so that of two equal parts the bound one is the more specific.
            let len = part.written.len();
            if holds && best.is_none_or(|(longest, _)| len > longest) {
                best = Some((len, part.app));
            }
        }
        best.map(|(_, app)| app)
    }
}

/// Without the marks that bind it.
pub(super) fn bare(written: &str) -> &str {
    let written = written.strip_prefix('^').unwrap_or(written);
    written.strip_suffix('$').unwrap_or(written)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpi::Category;

    fn hints(entries: &[(HintKind, &str, &str)]) -> Hints {
        let mut hints = Hints::default();
        for (kind, written, name) in entries {
            hints.insert(*kind, written, AppId::new(name, Category::Web, None));
        }
        assert!(!hints.build());
        hints
    }

    #[test]
    fn the_longest_part_decides_and_words_are_whole_at_their_front() {
        let hints = hints(&[
            (HintKind::UserAgent, "Line/", "line"),
            (HintKind::UserAgent, "Whats", "short"),
            (HintKind::UserAgent, "WhatsApp/", "long"),
            (HintKind::UserAgent, "^Dalvik", "bound"),
            (HintKind::Url, ".apk$", "download"),
            (HintKind::Server, "x", "server"),
        ]);
        for (kind, text, expected) in [
            (HintKind::UserAgent, "LINE/9.1", Some("line")),
            (HintKind::UserAgent, "Pipeline/2", None),
            (HintKind::UserAgent, "a (Line/9)", Some("line")),
            (HintKind::UserAgent, "whatsapp/2.1", Some("long")),
            (HintKind::UserAgent, "somewhats", None),
            (HintKind::UserAgent, "the whatsit", Some("short")),
            (HintKind::UserAgent, "Dalvik/2", Some("bound")),
            (HintKind::UserAgent, "my Dalvik/2", None),
            (HintKind::Url, "/a.apk", Some("download")),
            (HintKind::Url, "/a.apk?x", None),
            (HintKind::ContentType, "x", None),
        ] {
            assert_eq!(hints.find(kind, text.as_bytes()).map(AppId::name), expected, "{text}");
        }
    }

    #[test]
    fn names_of_protocols_and_fingerprints_are_compared_whole() {
        let hints = hints(&[(HintKind::Alpn, "Tool", "tool"), (HintKind::Ja3, "AB", "print")]);
        assert_eq!(hints.find(HintKind::Alpn, b"tool").map(AppId::name), Some("tool"));
        assert_eq!(hints.find(HintKind::Alpn, b"tool2"), None);
        assert_eq!(hints.find(HintKind::Ja3, b"ab").map(AppId::name), Some("print"));
        assert_eq!(hints.find(HintKind::Ja4, b"ab"), None);
        assert_eq!(hints.find(HintKind::Alpn, &[b'a'; 400]), None);
    }
}
