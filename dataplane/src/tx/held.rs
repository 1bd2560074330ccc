//! Which frames wait for their datagram? Lists of frames by hold, in the order in which they came.

use std::collections::VecDeque;

use xsk::Frame;

use crate::defrag::HoldId;

/// Frames held for datagrams that are not yet judged. All memory is allocated at start.
#[derive(Debug)]
pub struct HeldFrames {
    /// By hold index; a hold's frames and the port that they came in by.
    lists: Vec<VecDeque<HeldFrame>>,
    held: usize,
}

/// One held frame.
#[derive(Debug)]
pub struct HeldFrame {
    /// The frame; `more()` as it came.
    pub frame: Frame,
    /// Port index that it came in by.
    pub in_port: u8,
}

impl HeldFrames {
    /// Room for `datagrams` holds.
    #[must_use]
    pub fn new(datagrams: usize) -> Self {
        Self { lists: (0..datagrams).map(|_| VecDeque::new()).collect(), held: 0 }
    }

    /// Keeps a frame; gives it back where the hold is unknown.
    ///
    /// The first fragments of a slot make its list grow to the most that a datagram had there; after that no
    /// allocation happens.
    ///
    /// # Errors
    ///
    /// The frame itself, for a hold beyond the table.
    pub fn keep(&mut self, hold: HoldId, frame: Frame, in_port: u8) -> Result<(), Frame> {
        match self.lists.get_mut(hold.index()) {
            Some(list) => {
                list.push_back(HeldFrame { frame, in_port });
                self.held += 1;
                Ok(())
            }
            None => Err(frame),
        }
    }

    /// Takes the oldest frame of a hold out; `None` when there is none left.
    pub fn take_first(&mut self, hold: HoldId) -> Option<HeldFrame> {
        let frame = self.lists.get_mut(hold.index())?.pop_front()?;
        self.held -= 1;
        Some(frame)
    }

    /// Frames held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.held
    }

    /// Whether none is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.held == 0
    }
}
