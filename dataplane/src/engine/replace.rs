//! Bytes that a rule writes in the place of those that it matched (`replace`).
//!
//! Inline only, in the packet on which the rule matched, before it goes on. The checksum is computed anew: it was right before, or
//! nobody looks at it. What IP fragments brought is not changed, because they leave as they came.

use super::{Engine, Entry, Outcome, Packet};
use crate::parse::checksum::{ChecksumState, heal, outermost, transport_checksum};
use crate::verdict::Reason;

impl Engine {
    /// Whether a rule that matched with the packet which is looked at wants bytes of it replaced.
    #[inline]
    pub(super) fn has_replacements(&self) -> bool {
        self.inspector.as_ref().is_some_and(|inspector| inspector.has_replacements())
    }

    /// Writes what rules want into a packet's payload.
    #[cold]
    pub(super) fn replace(&mut self, entry: &Entry<'_>, packet: &mut Packet<'_>, out: &mut Outcome) {
        let Some(inspector) = &mut self.inspector else { return };
        let headers = entry.headers;
        let mut all = inspector.rules().take_replacements();
        if entry.datagram.is_none() && self.config.mode == super::Mode::Inline {
            let has_checksum = transport_checksum(packet.bytes, headers) != ChecksumState::Absent;
            let payload = usize::from(headers.payload_offset)..usize::from(headers.end);
            for (at, bytes) in &all {
                let place = packet.bytes.get_mut(payload.clone()).and_then(|payload| {
                    let end = at.checked_add(bytes.len())?;
                    payload.get_mut(*at..end)
                });
                if let Some(place) = place {
                    place.copy_from_slice(bytes);
                    out.rewritten |= 1 << entry.index;
                }
            }
            if has_checksum {
                heal(packet.bytes, headers);
            } else if let Some(outer) = outermost(packet.bytes, headers)
                && transport_checksum(packet.bytes, &outer) == ChecksumState::Bad
            {
                // Inside, a sum keeps what is around it right; here there is none.
                heal(packet.bytes, &outer);
            }
            self.counters.notice(Reason::RuleReplaced);
        }
        all.clear();
        if let Some(inspector) = &mut self.inspector {
            inspector.rules().give_back_replacements(all);
        }
    }
}
