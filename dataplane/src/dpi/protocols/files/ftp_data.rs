//! Which file does a data connection of FTP carry? That of the command that was given before it (RETR, STOR and the like).
//!
//! Listings and connections whose command was not seen carry no file, and are not read.

use crate::dpi::Fields;
use crate::dpi::file::CarriedFile;
use crate::dpi::parser::{Context, Parser, Step};
use crate::flow::Direction;
use crate::host::Transfer;
use crate::rules::detect::{FieldId, field};

/// How rules call the protocol.
const NAME: &str = "ftp-data";

const COMMAND: FieldId = field("ftpdata_command");

/// Commands that transfer files.
pub(super) const COMMANDS: &[(&str, Transfers)] =
    &[("RETR", Transfers::Down), ("STOR", Transfers::Up), ("STOU", Transfers::Up), ("APPE", Transfers::Up)];

/// From whom to whom; as number it is that of `ftpdata_command`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transfers {
    Down = 0,
    Up = 1,
}

/// Reads one data connection.
#[derive(Debug, Default)]
pub(super) struct Data {
    carried: Option<Carried>,
    /// Bytes were missing before the first that came.
    has_lost_start: bool,
}

#[derive(Debug)]
struct Carried {
    transfer: Transfer,
    transaction: u32,
    way: Direction,
    file: CarriedFile,
}

impl Parser for Data {
    fn data(&mut self, way: Direction, bytes: &[u8], cx: &mut Context<'_>) -> Step {
        if self.carried.is_none() {
            let Some(transfer) = cx.take_transfer() else { return Step::Done };
            let carried = self.carried.insert(begin(transfer, way, cx));
            if self.has_lost_start {
                carried.file.lose();
            }
        }
        // The other side sends nothing.
        if let Some(carried) = self.carried.as_mut().filter(|carried| carried.way == way) {
            carried.file.data(bytes, cx);
        }
        Step::Consumed(bytes.len())
    }

    fn gap(&mut self, way: Direction, _len: u64, _cx: &mut Context<'_>) -> Step {
        if let Some(carried) = self.carried.as_mut().filter(|carried| carried.way == way) {
            carried.file.lose();
        }
        self.has_lost_start |= self.carried.is_none();
        Step::Consumed(0)
    }

    fn end(&mut self, cx: &mut Context<'_>) {
        let Some(carried) = self.carried.take() else { return };
        let Carried { transfer, transaction, way, file } = carried;
        let write = |fields: &mut Fields| {
            fields.text("command", transfer.command);
            fields.text("filename", &transfer.name);
        };
        file.end(true, cx, |fields, _name| fields.object("/ftp_data", write));
        for way in [way, way.opposite()] {
            cx.rules.stage(NAME, transaction, way, true);
        }
        cx.rules.end(transaction);
        cx.tell_of_with(transaction, "ftp_data", way, write);
    }

    fn start_over(&mut self) -> bool {
        *self = Self::default();
        true
    }
}

/// What was commanded holds of both ways, the file of one.
fn begin(transfer: Transfer, way: Direction, cx: &mut Context<'_>) -> Carried {
    let transaction = cx.begin_transaction();
    let known = COMMANDS.iter().find(|(name, _)| *name == transfer.command);
    for way in [way.opposite(), way] {
        if let Some((_, transfers)) = known {
            cx.rules.number(COMMAND, *transfers as u64);
        }
        cx.rules.stage(NAME, transaction, way, false);
    }
    let file = CarriedFile::begin(cx, (NAME, transaction), way, &transfer.name, None);
    Carried { transfer, transaction, way, file }
}
