//! What in a flow spoke for its risks? Short texts on pages of one size, from which the flow's record takes them.
//!
//! ```text
//! page: length (1) | entries;   entry: risk (1) | length (1) | text, ASCII
//! ```
//!
//! A flow without risks has no page. Pages are lent to flows and come back at their end: nothing is allocated once the
//! store has its room, which is reserved at the start and costs nothing until it is used. Where no page is left, or no
//! room on it, a risk goes without evidence.

use std::fmt::{self, Write};

use super::Risk;

/// Bytes of one text at most.
pub const EVIDENCE_BYTES_MAX: usize = 64;

/// Bytes of all entries of a flow.
const PAGE_BYTES: usize = 255;

/// Flows of a worker that have evidence at once: 16 MiB.
const PAGES_MAX: usize = 65_536;

/// Pages of all flows of one worker.
#[derive(Debug)]
pub(in crate::dpi) struct Store {
    pages: Vec<Page>,
    free: Vec<u32>,
}

/// What is known of the risks of one flow.
#[derive(Debug, Clone, Copy)]
pub struct Page {
    len: u8,
    bytes: [u8; PAGE_BYTES],
}

/// The page of a flow, if it has one.
#[derive(Debug, Default, Clone, Copy)]
pub(in crate::dpi) struct PageId(Option<std::num::NonZeroU32>);

impl Store {
    /// One for at most `flows_max` flows.
    pub(in crate::dpi) fn new(flows_max: usize) -> Self {
        let pages = flows_max.min(PAGES_MAX);
        Self { pages: Vec::with_capacity(pages), free: Vec::with_capacity(pages) }
    }

    /// The page of `id`.
    pub(in crate::dpi) fn page(&self, id: PageId) -> Option<&Page> {
        self.pages.get(id.0?.get() as usize - 1)
    }

    /// Takes a page back.
    pub(in crate::dpi) fn give_back(&mut self, id: &mut PageId) {
        if let Some(place) = id.0.take() {
            self.free.push(place.get() - 1);
        }
    }

    fn lend(&mut self) -> PageId {
        let at = match self.free.pop() {
            Some(at) => at,
            None if self.pages.len() < self.pages.capacity() => {
                self.pages.push(Page { len: 0, bytes: [0; PAGE_BYTES] });
                (self.pages.len() - 1) as u32
            }
            None => return PageId(None),
        };
        if let Some(page) = self.pages.get_mut(at as usize) {
            page.len = 0;
        }
        PageId(std::num::NonZeroU32::new(at + 1))
    }
}

/// Where a parser writes what it has seen.
#[derive(Debug)]
pub(in crate::dpi) struct Clues<'a> {
    pub(in crate::dpi) store: &'a mut Store,
    pub(in crate::dpi) id: &'a mut PageId,
}

impl Clues<'_> {
    /// Notes what speaks for `risk`.
    pub(in crate::dpi) fn note(&mut self, risk: Risk, evidence: fmt::Arguments<'_>) {
        let mut pen = Pen { bytes: [0; EVIDENCE_BYTES_MAX], len: 0 };
        // Cut off is not failed: `write_str` below never says so.
        let _ = pen.write_fmt(evidence);
        if pen.len == 0 {
            return;
        }
        if self.id.0.is_none() {
            *self.id = self.store.lend();
        }
        let Some(at) = self.id.0.map(|id| id.get() as usize - 1) else { return };
        if let Some(page) = self.store.pages.get_mut(at) {
            page.add(risk, pen.bytes.get(..pen.len).unwrap_or_default());
        }
    }
}

impl Page {
    /// The entries, encoded: what [`read`] reads.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    fn add(&mut self, risk: Risk, text: &[u8]) {
        let from = usize::from(self.len);
        let room = PAGE_BYTES.saturating_sub(from + 2);
        // What would be cut to a few bytes is left out.
        if room < text.len().min(8) {
            return;
        }
        let text = text.get(..room).unwrap_or(text);
        if let Some([number, len, target @ ..]) = self.bytes.get_mut(from..from + 2 + text.len()) {
            *number = risk as u8;
            *len = text.len() as u8;
            target.copy_from_slice(text);
            self.len = (from + 2 + text.len()) as u8;
        }
    }
}

/// The texts of a page's bytes with their risks, in the order in which they were noted; ends at what is no entry.
pub fn read(mut bytes: &[u8]) -> impl Iterator<Item = (Risk, &str)> {
    std::iter::from_fn(move || {
        let [number, len, rest @ ..] = bytes else { return None };
        let (text, rest) = rest.split_at_checked(usize::from(*len))?;
        bytes = rest;
        Some((*Risk::ALL.get(usize::from(*number))?, std::str::from_utf8(text).ok()?))
    })
}

/// Bytes off the wire within evidence: what is no printable ASCII becomes a question mark.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a>(pub &'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(EVIDENCE_BYTES_MAX).try_for_each(|byte| f.write_char(char::from(*byte)))
    }
}

struct Pen {
    bytes: [u8; EVIDENCE_BYTES_MAX],
    len: usize,
}

impl Write for Pen {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for symbol in text.chars() {
            let Some(place) = self.bytes.get_mut(self.len) else { break };
            *place = if symbol == ' ' || symbol.is_ascii_graphic() { symbol as u8 } else { b'?' };
            self.len += 1;
        }
        Ok(())
    }
}

/// What `work` notes of a flow to port 9 in November 2023, as `name: evidence`.
#[cfg(test)]
pub(in crate::dpi) fn told_of(work: impl FnOnce(&mut super::Context<'_>)) -> Vec<String> {
    told_of_flow(crate::parse::Protocol::TCP, 9, work)
}

/// The same of a flow to `port` over `protocol`.
#[cfg(test)]
pub(in crate::dpi) fn told_of_flow(
    protocol: u8,
    port: u16,
    work: impl FnOnce(&mut super::Context<'_>),
) -> Vec<String> {
    use crate::dpi::{AppTable, Fields, FlowView, Foresight, Notes};
    use crate::parse::Addr;
    let (mut store, mut id, mut notes) = (Store::new(1), PageId::default(), Notes::default());
    work(&mut super::Context {
        flow: &FlowView {
            initiator: (Addr::v4([192, 0, 2, 1]), 40_000),
            responder: (Addr::v4([192, 0, 2, 2]), port),
            protocol,
            is_midstream: false,
            is_established: true,
            counts: crate::rules::detect::FlowCounts::default(),
        },
        at: crate::time::Wall(1_700_000_000_000_000_000),
        notes: &mut notes,
        records: &mut |_| {},
        scratch: &mut Fields::new(),
        clues: Clues { store: &mut store, id: &mut id },
        transactions: &mut 0,
        rules: crate::rules::detect::Telling::nobody(
            &mut crate::rules::Detector::default(),
            &mut crate::rules::detect::FlowPlace::default(),
        ),
        files: crate::dpi::file::Files { are_recorded: true, ..Default::default() },
        limits: crate::dpi::parser::Limits::default(),
        objections: 0,
        is_broken: false,
        parsers: &mut crate::dpi::idle::IdleParsers::default(),
        apps: &AppTable::default(),
        foresight: &Foresight::default(),
        way: None,
        is_changing: false,
        nesting: 0,
    });
    let bytes = store.page(id).map_or(&[][..], Page::as_bytes);
    let text = |risk: Risk| read(bytes).find(|(of, _)| *of == risk).map_or("", |(_, text)| text);
    notes.risks().iter().map(|risk| format!("{}: {}", risk.name(), text(risk))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back_with_their_risks_and_pages_are_used_again() {
        let mut store = Store::new(2);
        let mut ids = [PageId::default(); 3];
        for id in &mut ids {
            let mut clues = Clues { store: &mut store, id };
            clues.note(Risk::Mining, format_args!(""));
            clues.note(Risk::WeakCipher, format_args!("{} 0x{:04x}", "RC4", 4));
            clues.note(Risk::SelfSigned, format_args!("{}", Shown(b"a\xffb\n")));
        }
        let told: Vec<_> = read(store.page(ids[0]).map_or(&[], Page::as_bytes)).collect();
        assert_eq!(told, [(Risk::WeakCipher, "RC4 0x0004"), (Risk::SelfSigned, "a?b?")]);
        assert!(store.page(ids[2]).is_none(), "no page is left");
        store.give_back(&mut ids[0]);
        store.give_back(&mut ids[0]);
        Clues { store: &mut store, id: &mut ids[2] }.note(Risk::LongName, format_args!("x"));
        let told: Vec<_> = read(store.page(ids[2]).map_or(&[], Page::as_bytes)).collect();
        assert_eq!(told, [(Risk::LongName, "x")], "nothing of the one before");
    }

    #[test]
    fn a_full_page_takes_no_more_and_broken_bytes_end_the_reading() {
        let mut store = Store::new(1);
        let mut id = PageId::default();
        for risk in Risk::ALL {
            Clues { store: &mut store, id: &mut id }.note(*risk, format_args!("{}", "x".repeat(100)));
        }
        let bytes = store.page(id).map_or(&[][..], Page::as_bytes);
        let told: Vec<_> = read(bytes).collect();
        assert!(told.len() == 4 && told.iter().all(|(_, text)| text.len() <= EVIDENCE_BYTES_MAX), "{told:?}");
        for len in 0..bytes.len() {
            assert!(read(&bytes[..len]).count() <= 4);
        }
        assert_eq!(read(&[255, 1, b'x']).count(), 0);
    }
}
