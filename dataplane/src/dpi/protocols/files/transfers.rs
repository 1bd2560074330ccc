//! Which bytes of which file go by? For rules: files of SMB, whose pieces come in reads and writes of any order.
//!
//! Pieces are told as they come; a file's length is known when it is closed.

use crate::dpi::Context;
use crate::flow::Direction;
use crate::rules::language::buffers::FILE_DATA;

/// Files of one connection that are open at once; the oldest is taken for closed.
const OPEN_MAX: usize = 16;

/// Transactions of files, apart from those of records.
const FIRST: u32 = 0x4000_0000;

/// The files of one connection.
#[derive(Debug, Default)]
pub(super) struct Transfers {
    open: Vec<Transfer>,
    begun: u32,
}

#[derive(Debug)]
struct Transfer {
    file: [u8; 16],
    way: Direction,
    transaction: u32,
    bytes: u64,
}

impl Transfers {
    /// Bytes of a file that are read (to the client) or written.
    pub(super) fn data(&mut self, file: Option<[u8; 16]>, way: Direction, data: &[u8], cx: &mut Context<'_>) {
        let Some(file) = file.filter(|_| cx.rules.is_on() && !data.is_empty()) else { return };
        let known = self.open.iter().position(|open| open.file == file && open.way == way);
        let place = known.unwrap_or_else(|| {
            if self.open.len() >= OPEN_MAX {
                self.open.remove(0).end(cx);
            }
            let transaction = FIRST.wrapping_add(self.begun);
            self.begun = self.begun.wrapping_add(1);
            self.open.push(Transfer { file, way, transaction, bytes: 0 });
            self.open.len() - 1
        });
        if let Some(open) = self.open.get_mut(place) {
            open.bytes += data.len() as u64;
            cx.rules.body("smb", (open.transaction, FILE_DATA), way, data, false);
        }
    }

    /// A file is closed.
    pub(super) fn close(&mut self, file: [u8; 16], cx: &mut Context<'_>) {
        while let Some(place) = self.open.iter().position(|open| open.file == file) {
            self.open.remove(place).end(cx);
        }
    }

    /// The connection is over.
    pub(super) fn end(&mut self, cx: &mut Context<'_>) {
        self.open.drain(..).for_each(|open| open.end(cx));
    }
}

impl Transfer {
    fn end(self, cx: &mut Context<'_>) {
        cx.rules.body("smb", (self.transaction, FILE_DATA), self.way, &[], true);
        cx.rules.file_size(self.bytes);
        cx.rules.stage("smb", self.transaction, self.way, true);
        cx.rules.end(self.transaction);
    }
}
