//! What do frames say that carry no message: settings, priorities, windows, ends (RFC 9113 6.3 to 6.9)?

use super::kind;
use crate::dpi::Context;
use crate::dpi::cursor::Cursor;
use crate::rules::detect::{FieldId, field};

const TYPE: FieldId = field("http2.frametype");
const ERROR: FieldId = field("http2.errorcode");
const PRIORITY: FieldId = field("http2.priority");
const WINDOW: FieldId = field("http2.window");
pub(super) const SIZE_UPDATE: FieldId = field("http2.size_update");

/// Parameters of SETTINGS by their numbers, from 1 on (RFC 9113 6.5.2).
const SETTINGS: [FieldId; 6] = [
    field("http2.settings SETTINGS_HEADER_TABLE_SIZE"),
    field("http2.settings SETTINGS_ENABLE_PUSH"),
    field("http2.settings SETTINGS_MAX_CONCURRENT_STREAMS"),
    field("http2.settings SETTINGS_INITIAL_WINDOW_SIZE"),
    field("http2.settings SETTINGS_MAX_FRAME_SIZE"),
    field("http2.settings SETTINGS_MAX_HEADER_LIST_SIZE"),
];

/// Whether a frame of a kind may have this length.
pub(super) const fn has_length(kind: u8, len: usize) -> bool {
    match kind {
        kind::PRIORITY => len == 5,
        kind::RST_STREAM | kind::WINDOW_UPDATE => len == 4,
        kind::SETTINGS => len.is_multiple_of(6),
        kind::PING => len == 8,
        kind::GOAWAY => len >= 8,
        _ => true,
    }
}

/// Shows rules of which kind a frame is.
pub(super) fn show_kind(kind: u8, cx: &mut Context<'_>) {
    cx.rules.number(TYPE, kind.into());
}

/// Shows rules what a frame says; of HEADERS it is the priority in front of the block.
pub(super) fn show(kind: u8, flags: u8, frame: &[u8], cx: &mut Context<'_>) {
    show_kind(kind, cx);
    // What is cut short says nothing.
    let _: Option<()> = show_contents(kind, flags, frame, cx);
}

fn show_contents(kind: u8, flags: u8, frame: &[u8], cx: &mut Context<'_>) -> Option<()> {
    let mut at = Cursor::new(frame);
    let rules = &mut cx.rules;
    match kind {
        kind::HEADERS if flags & super::PRIORITY != 0 => {
            at.skip(usize::from(flags & super::PADDED != 0))?;
            at.skip(4)?;
            rules.number(PRIORITY, at.u8()?.into());
        }
        kind::PRIORITY => {
            at.skip(4)?;
            rules.number(PRIORITY, at.u8()?.into());
        }
        kind::RST_STREAM => rules.number(ERROR, at.be32()?.into()),
        kind::GOAWAY => {
            at.skip(4)?;
            rules.number(ERROR, at.be32()?.into());
        }
        kind::WINDOW_UPDATE => rules.number(WINDOW, (at.be32()? & 0x7fff_ffff).into()),
        kind::SETTINGS => {
            while let (Some(which), Some(value)) = (at.be16(), at.be32()) {
                if let Some(field) = usize::from(which).checked_sub(1).and_then(|nth| SETTINGS.get(nth)) {
                    rules.number(*field, value.into());
                }
            }
        }
        _ => {}
    }
    Some(())
}
