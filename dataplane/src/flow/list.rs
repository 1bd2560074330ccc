//! Who of its class has waited longest? One intrusive list per eviction class, every operation O(1).

use super::config::EvictionClass;
use super::entry::{Flow, Links, NO_SLOT};

#[derive(Debug)]
pub(super) struct ClassLists {
    head: [u32; EvictionClass::COUNT],
    tail: [u32; EvictionClass::COUNT],
}

impl ClassLists {
    pub(super) const fn new() -> Self {
        Self { head: [NO_SLOT; EvictionClass::COUNT], tail: [NO_SLOT; EvictionClass::COUNT] }
    }

    /// The one that was put there first, [`NO_SLOT`] for none.
    pub(super) const fn oldest(&self, class: EvictionClass) -> u32 {
        self.head[class as usize]
    }

    pub(super) fn push(&mut self, flows: &mut [Flow], class: EvictionClass, slot: u32) {
        let tail = self.tail[class as usize];
        flows[slot as usize].class_links = Links { prev: tail, next: NO_SLOT };
        match flows.get_mut(tail as usize) {
            Some(before) => before.class_links.next = slot,
            None => self.head[class as usize] = slot,
        }
        self.tail[class as usize] = slot;
    }

    pub(super) fn remove(&mut self, flows: &mut [Flow], class: EvictionClass, slot: u32) {
        let Links { prev, next } = flows[slot as usize].class_links;
        match flows.get_mut(prev as usize) {
            Some(before) => before.class_links.next = next,
            None => self.head[class as usize] = next,
        }
        match flows.get_mut(next as usize) {
            Some(after) => after.class_links.prev = prev,
            None => self.tail[class as usize] = prev,
        }
        flows[slot as usize].class_links = Links::NONE;
    }

    /// Gives the oldest a second chance: to the end of the list.
    pub(super) fn rotate(&mut self, flows: &mut [Flow], class: EvictionClass) {
        let oldest = self.oldest(class);
        if oldest != NO_SLOT {
            self.remove(flows, class, oldest);
            self.push(flows, class, oldest);
        }
    }
}
