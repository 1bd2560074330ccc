//! Which bytes of which file go by? Files of SMB, whose pieces come in reads and writes.
//!
//! Pieces are told as they come; where they come in another order than in the file something counts as missing. What goes
//! through pipes is no file.

use crate::dpi::file::CarriedFile;
use crate::dpi::{Context, Fields, Kept};
use crate::flow::Direction;

/// Files of one connection that are open at once; the oldest is taken for closed.
const OPEN_MAX: usize = 16;

/// Files whose names are remembered.
const NAMES_MAX: usize = 32;

/// Bytes of a name: with those of the files that are open they must fit in what a parser may keep.
const NAME_BYTES_MAX: usize = 256;

/// Shares of pipes that are remembered.
const PIPES_MAX: usize = 16;

/// The files of one connection.
#[derive(Debug, Default)]
pub(super) struct Transfers {
    open: Vec<Transfer>,
    names: Vec<Named>,
    /// Trees that hold no files.
    pipes: Vec<u32>,
    rests: [Option<Rest>; 2],
}

#[derive(Debug)]
struct Transfer {
    id: [u8; 16],
    way: Direction,
    transaction: u32,
    /// Where in the file the next piece is.
    next: u64,
    /// How long the file was when it was opened to be read.
    wanted: Option<u64>,
    file: CarriedFile,
    /// What EVE has of it, beside it.
    around: Fields,
}

/// A file that was opened.
#[derive(Debug)]
struct Named {
    id: [u8; 16],
    name: Kept,
    size: u64,
}

/// What is to come of a message that is handed on as it comes.
#[derive(Debug, Clone, Copy)]
struct Rest {
    id: [u8; 16],
    /// Bytes of the file, and of the message behind them.
    bytes: usize,
    behind: usize,
}

/// A piece of a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece<'a> {
    /// The file.
    pub id: Option<[u8; 16]>,
    /// Its tree.
    pub tree: u32,
    /// Where in the file it is.
    pub offset: u64,
    /// How long it is.
    pub len: usize,
    /// As much of it as is there.
    pub data: &'a [u8],
}

impl Transfers {
    /// A tree holds pipes, or printers.
    pub(super) fn tree_without_files(&mut self, tree: u32) {
        if self.pipes.len() < PIPES_MAX && !self.pipes.contains(&tree) {
            self.pipes.push(tree);
        }
    }

    /// A file was opened, whose name and length is this.
    pub(super) fn opened(&mut self, id: [u8; 16], name: &[u8], size: u64, cx: &Context<'_>) {
        if !cx.wants_files() {
            return;
        }
        self.names.retain(|named| named.id != id);
        if self.names.len() >= NAMES_MAX {
            self.names.remove(0);
        }
        // Of a long name the end, where its kind is.
        let from = name.len().saturating_sub(NAME_BYTES_MAX);
        self.names.push(Named { id, name: Kept::of(name.get(from..).unwrap_or_default()), size });
    }

    /// Bytes of a file that are read (to the client) or written; `left` of its message are still to come. `around` writes what
    /// EVE shows beside the file.
    pub(super) fn data(
        &mut self,
        piece: Piece<'_>,
        way: Direction,
        left: usize,
        cx: &mut Context<'_>,
        around: impl FnOnce(&mut Fields),
    ) {
        let Piece { id, tree, offset, len, data } = piece;
        let is_file = cx.wants_files() && !data.is_empty() && !self.pipes.contains(&tree);
        let Some(id) = id.filter(|_| is_file) else { return };
        let known = self.open.iter().position(|open| open.id == id && open.way == way);
        let place = known.unwrap_or_else(|| {
            if self.open.len() >= OPEN_MAX {
                self.open.remove(0).end(cx);
            }
            self.begin(id, way, cx, around);
            self.open.len() - 1
        });
        let Some(open) = self.open.get_mut(place) else { return };
        if open.next != offset {
            open.file.lose();
        }
        open.next = offset + len as u64;
        open.file.data(data, cx);
        let bytes = len.saturating_sub(data.len()).min(left);
        if bytes > 0 {
            self.rests[way as usize] = Some(Rest { id, bytes, behind: left - bytes });
        }
    }

    fn begin(
        &mut self,
        id: [u8; 16],
        way: Direction,
        cx: &mut Context<'_>,
        around: impl FnOnce(&mut Fields),
    ) {
        let transaction = cx.begin_transaction();
        let named = self.names.iter().find(|named| named.id == id);
        let name = named.map_or(&[][..], |named| &named.name);
        let wanted = named.map(|named| named.size).filter(|_| way == Direction::Reverse);
        let mut beside = Fields::new();
        if cx.files.are_recorded {
            around(&mut beside);
        }
        let file = CarriedFile::begin(cx, ("smb", transaction), way, name, None).among_many();
        self.open.push(Transfer { id, way, transaction, next: 0, wanted, file, around: beside });
    }

    /// Whether a message of a direction is handed on as it comes.
    pub(super) const fn is_within(&self, way: Direction) -> bool {
        self.rests[way as usize].is_some()
    }

    /// The next bytes of such a message; returns how many of them are done with.
    pub(super) fn rest(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> usize {
        let Some(rest) = &mut self.rests[way as usize] else { return 0 };
        let inside = bytes.get(..rest.bytes).unwrap_or(bytes);
        rest.bytes -= inside.len();
        let Rest { id, bytes: left, behind } = *rest;
        if let Some(open) = self.open.iter_mut().find(|open| open.id == id && open.way == way) {
            open.file.data(inside, cx);
        }
        if left > 0 {
            return inside.len();
        }
        self.rests[way as usize] = None;
        inside.len() + behind
    }

    /// A file is closed.
    pub(super) fn close(&mut self, id: [u8; 16], cx: &mut Context<'_>) {
        while let Some(place) = self.open.iter().position(|open| open.id == id) {
            self.open.remove(place).end(cx);
        }
        self.names.retain(|named| named.id != id);
    }

    /// The connection is over.
    pub(super) fn end(&mut self, cx: &mut Context<'_>) {
        for (way, rest) in [Direction::Forward, Direction::Reverse].into_iter().zip(self.rests) {
            let Some(rest) = rest else { continue };
            if let Some(open) = self.open.iter_mut().find(|open| open.id == rest.id && open.way == way) {
                open.file.lose();
            }
        }
        self.open.drain(..).for_each(|open| open.end(cx));
    }
}

impl Transfer {
    fn end(self, cx: &mut Context<'_>) {
        let Self { way, transaction, wanted, file, around, .. } = self;
        let is_whole = wanted.is_none_or(|wanted| file.bytes() >= wanted);
        file.end(is_whole, cx, |fields, name| {
            fields.object("/smb", |smb| {
                smb.append(&around);
                if !name.is_empty() {
                    smb.text("filename", name);
                }
            });
        });
        if cx.rules.wants_files() {
            cx.rules.stage("smb", transaction, way, true);
            cx.rules.end(transaction);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::dpi::feed::samples::{alerts_of, records_of};
    use crate::dpi::protocols::files::smb::SMB2;
    use crate::flow::Direction;

    const FILE: [u8; 16] = *b"a file of theirs";

    /// A message of SMB 2 behind its length.
    fn message(command: u8, is_answer: bool, id: u8, tree: u8, body: &[u8]) -> Vec<u8> {
        let mut smb = vec![0; 64];
        smb[..6].copy_from_slice(b"\xfeSMB\x40\0");
        (smb[12], smb[16], smb[24], smb[36]) = (command, u8::from(is_answer), id, tree);
        smb.extend(body);
        let len = (smb.len() as u32).to_be_bytes();
        [&len, &smb[..]].concat()
    }

    fn create(name: &str) -> Vec<u8> {
        let name: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let mut body = vec![0; 56];
        (body[0], body[44], body[46]) = (57, 64 + 56, name.len() as u8);
        body.extend(name);
        message(5, false, 1, 1, &body)
    }

    fn created(size: u64) -> Vec<u8> {
        let mut body = vec![0; 88];
        body[0] = 89;
        body[48..56].copy_from_slice(&size.to_le_bytes());
        body[64..80].copy_from_slice(&FILE);
        message(5, true, 1, 1, &body)
    }

    fn read(id: u8, tree: u8, offset: u64, len: u32) -> Vec<u8> {
        let mut body = vec![0; 49];
        body[0] = 49;
        body[4..8].copy_from_slice(&len.to_le_bytes());
        body[8..16].copy_from_slice(&offset.to_le_bytes());
        body[16..32].copy_from_slice(&FILE);
        message(8, false, id, tree, &body)
    }

    fn data(id: u8, bytes: &[u8]) -> Vec<u8> {
        let mut body = vec![0; 16];
        (body[0], body[2]) = (17, 80);
        body[4..8].copy_from_slice(&(bytes.len() as u32).to_le_bytes());
        body.extend(bytes);
        message(8, true, id, 1, &body)
    }

    fn close() -> Vec<u8> {
        let mut body = vec![0; 24];
        body[0] = 24;
        body[8..24].copy_from_slice(&FILE);
        message(6, false, 9, 1, &body)
    }

    /// A file of `size` bytes is opened, and read in the pieces `(offset, bytes)`; each message in pieces of `step`.
    fn conversation(size: u64, pieces: &[(u64, Vec<u8>)], step: usize) -> Vec<(Direction, &'static [u8])> {
        use Direction::{Forward, Reverse};
        let mut all = vec![(Forward, create("x.exe")), (Reverse, created(size))];
        for (id, (offset, bytes)) in pieces.iter().enumerate() {
            all.push((Forward, read(id as u8 + 2, 1, *offset, bytes.len() as u32)));
            all.push((Reverse, data(id as u8 + 2, bytes)));
        }
        all.push((Forward, close()));
        let pieces = |(way, bytes): (Direction, Vec<u8>)| {
            let bytes: &'static [u8] = bytes.leak();
            bytes.chunks(step).map(move |piece| (way, piece))
        };
        all.into_iter().flat_map(pieces).collect()
    }

    fn files(size: u64, pieces: &[(u64, Vec<u8>)], step: usize) -> Vec<String> {
        let told = records_of(&SMB2, &conversation(size, pieces, step)).into_iter();
        let told = told.filter_map(|line| line.strip_prefix("fileinfo filename=").map(str::to_owned));
        told.map(|line| line.split(" stored=false").collect::<Vec<_>>().join("")).collect()
    }

    #[test]
    fn a_file_is_read_however_large_its_pieces_are() {
        let pieces = [(0, vec![b'a'; 70_000]), (70_000, vec![b'b'; 100])];
        for step in [900, 1_460, 100_000] {
            let told = files(70_100, &pieces, step);
            assert_eq!(told.len(), 1, "{told:?}");
            assert!(told[0].starts_with("x.exe gaps=false state=CLOSED size=70100 "), "{told:?}");
            assert!(told[0].contains("command=SMB2_COMMAND_READ") && told[0].ends_with("filename=x.exe}"));
        }
    }

    #[test]
    fn what_does_not_come_in_order_or_to_its_end_is_not_whole() {
        let jumps = files(300, &[(0, vec![b'a'; 100]), (200, vec![b'b'; 100])], 1_000);
        assert!(jumps[0].starts_with("x.exe gaps=true state=TRUNCATED size=200 "), "{jumps:?}");
        let begins = files(300, &[(0, vec![b'a'; 100])], 1_000);
        assert!(begins[0].starts_with("x.exe gaps=false state=TRUNCATED size=100 "), "{begins:?}");
    }

    #[test]
    fn rules_look_into_all_of_a_large_piece() {
        let mut bytes = vec![b'a'; 20_000];
        bytes.extend(b"needle");
        let rules = &[
            "alert smb any any -> any any (file.name; content:\"x.exe\"; file.data; content:\"needle\"; sid:1;)",
        ];
        assert_eq!(alerts_of(445, rules, &conversation(20_006, &[(0, bytes)], 1_460)), [1]);
    }
}
