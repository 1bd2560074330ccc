//! For whom do a flow's packets count? For the policy that decided it, and for the cell of the shadow that it stands in.
//!
//! A flow counts its own packets anyway. What came since it was settled last is added to its account when the account changes, when the
//! flow ends, and when somebody walks by ([`FlowTable::settle`]); the packets themselves pay nothing. While nobody has decided a flow its
//! packets wait, and count for the policy that then does.

use std::sync::Arc;

use super::table::{FlowId, FlowTable};
use crate::account::{Cell, Fate, NO_ACCOUNT, Standing, Standings, Tally};
use crate::time::Wall;

/// Where one worker counts.
#[derive(Debug, Default)]
pub(super) struct Books {
    tally: Option<Arc<Tally>>,
    shadow: Option<Arc<Standings>>,
    worker: u8,
}

/// How far one flow is counted, and where. Bytes, so that it needs no padding: with it `Cold` is one cache line.
#[derive(Debug, Clone)]
pub(super) struct Account {
    account: [u8; 4],
    standing: [u8; 4],
    /// Which shadow the standing is with.
    shadow: [u8; 2],
    /// Of the packets that are counted: the low bits, enough for what comes between two settlements (72 Mpps for a minute).
    packets: [u8; 4],
    /// The same of the bytes (a terabyte).
    bytes: [u8; 5],
}

impl Account {
    pub(super) const NEW: Self = Self {
        account: NO_ACCOUNT.to_le_bytes(),
        standing: Standing::NONE.0.to_le_bytes(),
        shadow: [0; 2],
        packets: [0; 4],
        bytes: [0; 5],
    };

    const fn account(&self) -> u32 {
        u32::from_le_bytes(self.account)
    }

    /// Where it stands, and with which shadow.
    const fn standing(&self) -> (Standing, u16) {
        (Standing(u32::from_le_bytes(self.standing)), u16::from_le_bytes(self.shadow))
    }

    const fn stand(&mut self, standing: Standing, shadow: u16) {
        (self.standing, self.shadow) = (standing.0.to_le_bytes(), shadow.to_le_bytes());
    }

    /// Whether nothing of it is counted yet.
    fn is_untouched(&self) -> bool {
        self.packets == [0; 4] && self.bytes == [0; 5]
    }

    /// What came since this was called last.
    fn advance(&mut self, packets: u64, bytes: u64) -> (u64, u64) {
        let [a, b, c, d, e] = self.bytes;
        let counted = u64::from_le_bytes([a, b, c, d, e, 0, 0, 0]);
        let new_packets = (packets as u32).wrapping_sub(u32::from_le_bytes(self.packets));
        let new_bytes = bytes.wrapping_sub(counted) & ((1 << 40) - 1);
        let [a, b, c, d, e, ..] = bytes.to_le_bytes();
        (self.packets, self.bytes) = ((packets as u32).to_le_bytes(), [a, b, c, d, e]);
        (u64::from(new_packets), new_bytes)
    }
}

impl FlowTable {
    /// Policies are counted here from now on.
    pub fn count_into(&mut self, tally: Arc<Tally>, worker: u8) {
        (self.books.tally, self.books.worker) = (Some(tally), worker);
    }

    /// An account of this worker; `None` where nothing is counted.
    #[must_use]
    pub fn account(&self, account: u32) -> Option<&Cell> {
        self.books.tally.as_ref()?.cell(account)
    }

    /// Flows are compared with this shadow from now on. Of those that were compared with another of a different number, that is forgotten.
    pub fn follow_shadow(&mut self, shadow: Option<&Arc<Standings>>) {
        let is_known = match (&self.books.shadow, shadow) {
            (Some(known), Some(shadow)) => Arc::ptr_eq(known, shadow),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        if !is_known {
            self.books.shadow = shadow.map(Arc::clone);
        }
    }

    /// A policy has decided the flow. The same account again is no hit: the flow was judged anew, and fares as before. `asking` is the
    /// packet that asked, in bytes, which the flow has counted already and which is the new policy's.
    pub fn charge(&mut self, id: FlowId, account: u32, asking: Option<u32>, at: Wall) {
        if self.books.tally.is_none() && self.books.shadow.is_none()
            || self.cold[id.slot()].account.account() == account
        {
            return;
        }
        self.settle_before(id, asking);
        self.cold[id.slot()].account.account = account.to_le_bytes();
        if let Some(cell) = self.books.tally.as_ref().and_then(|tally| tally.cell(account)) {
            cell.hit(at);
        }
    }

    /// Where the flow stands with the shadow from now on; `asking` as for [`Self::charge`].
    pub fn stand(&mut self, id: FlowId, standing: Standing, asking: Option<u32>, at: Wall) {
        let Some(number) = self.books.shadow.as_ref().map(|shadow| shadow.number()) else { return };
        let known = &self.cold[id.slot()].account;
        if known.standing() == (standing, number) {
            return;
        }
        // What came before belongs to nobody here; of a new flow that is nothing.
        if !known.is_untouched() {
            self.settle_before(id, asking);
        }
        let (before, with) = self.cold[id.slot()].account.standing();
        self.cold[id.slot()].account.stand(standing, number);
        // It is one flow, however often it moves; what it carried stays where it was carried.
        if let Some(shadow) = self.books.shadow.as_ref().filter(|_| with == number)
            && let Some(cell) = shadow.cell(self.books.worker, before)
        {
            cell.leave();
        }
        if let Some(shadow) = &self.books.shadow
            && let Some(cell) = shadow.cell(self.books.worker, standing)
        {
            cell.hit(at);
        }
    }

    /// Where the flow stands with the shadow in force; `None`: it was not compared.
    #[must_use]
    pub fn fate(&self, id: FlowId) -> Option<Fate> {
        let (standing, number) = self.cold[id.slot()].account.standing();
        let shadow = self.books.shadow.as_ref()?;
        let is_compared = number == shadow.number() && standing != Standing::NONE;
        is_compared.then(|| shadow.fate(standing))
    }

    /// Whether the shadow waits for a fact about the flow.
    #[must_use]
    pub fn is_open_in_shadow(&self, id: FlowId) -> bool {
        self.books.shadow.is_some() && self.fate(id) == Some(Fate::Open)
    }

    /// Counts what came of the flow since it was counted last.
    pub fn settle(&mut self, id: FlowId) {
        self.settle_before(id, None);
    }

    fn settle_before(&mut self, id: FlowId, asking: Option<u32>) {
        let Self { books, flows, cold, .. } = self;
        if books.tally.is_none() && books.shadow.is_none() {
            return;
        }
        let (flow, known) = (&flows[id.slot()], &mut cold[id.slot()].account);
        if known.account() == NO_ACCOUNT && known.standing().0 == Standing::NONE {
            return;
        }
        let [to, back] = flow.packets();
        let [bytes_to, bytes_back] = flow.bytes();
        let packets = (to + back).saturating_sub(u64::from(asking.is_some()));
        let bytes = (bytes_to + bytes_back).saturating_sub(u64::from(asking.unwrap_or_default()));
        let (packets, bytes) = known.advance(packets, bytes);
        if packets == 0 {
            return;
        }
        if let Some(cell) = books.tally.as_ref().and_then(|tally| tally.cell(known.account())) {
            cell.carry(packets, bytes);
        }
        let (standing, number) = known.standing();
        if let Some(shadow) = &books.shadow
            && number == shadow.number()
            && let Some(cell) = shadow.cell(books.worker, standing)
        {
            cell.carry(packets, bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn low_bits_are_enough_to_know_what_came() {
        let mut account = Account::NEW;
        assert_eq!(account.advance(3, 200), (3, 200));
        assert_eq!(account.advance(3, 200), (0, 0));
        assert_eq!(account.advance(3 + (1 << 31), 200 + (1 << 39)), (1 << 31, 1 << 39));
        // Both wrap here.
        assert_eq!(account.advance(7 + (1 << 32), 300 + (1 << 40)), (4 + (1 << 31), 100 + (1 << 39)));
    }
}
