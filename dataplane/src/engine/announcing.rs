//! Which packets tell clients of their network, and so of the captive portal?

use super::{Disposition, Engine, Entry, Outcome, Packet};

impl Engine {
    /// Sends a packet that tells clients of their network with what they are told of the captive portal, in its place. What cannot be
    /// written anew goes on as it came.
    pub(super) fn announce(&mut self, entry: &Entry<'_>, packet: &Packet<'_>, out: &mut Outcome) {
        let Some(announcement) = &self.config.announcement else { return };
        let (headers, port) = (entry.headers, announcement.port());
        if !announcement.is_for(headers)
            || entry.datagram.is_some()
            || !self.is_inline()
            || out.dispositions[entry.index] != (Disposition::Send { port })
        {
            return;
        }
        if out.injected.push(port, |to| announcement.write(to, packet.bytes, headers)) {
            out.dispositions[entry.index] = Disposition::Consume;
        }
    }
}
