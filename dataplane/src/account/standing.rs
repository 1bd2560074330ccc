//! How would flows fare under a proposal? One cell for each of its policies and each way to differ, by worker.

use super::{Cell, Counts};

/// How what becomes of a flow differs between two policy sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Change {
    /// It passes, and would be dropped or rejected.
    AllowedToRefused,
    /// It is dropped or rejected, and would pass.
    RefusedToAllowed,
    /// It passes in another way (limited, redirected), or is refused in another way.
    Other,
}

impl Change {
    /// All of them, in index order.
    pub const ALL: [Self; 3] = [Self::AllowedToRefused, Self::RefusedToAllowed, Self::Other];

    /// The name in EVE and the API.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::AllowedToRefused => "allowed_to_refused",
            Self::RefusedToAllowed => "refused_to_allowed",
            Self::Other => "other",
        }
    }

    /// The change of that name.
    #[must_use]
    pub fn of_label(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|change| change.label() == label)
    }
}

/// One flow that the proposal would treat otherwise; fixed size, so that a record can carry it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Difference {
    /// Number of the shadow that says so.
    pub shadow: u16,
    /// How.
    pub change: Change,
    /// Index of the policy in the proposal; `u32::MAX` for its default.
    pub policy_index: u32,
}

/// How a flow would fare under the proposal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// As it does.
    Same,
    /// The proposal waits for a fact that nobody has told.
    Open,
    /// Otherwise.
    Differs(Difference),
}

/// The same in a number, for a flow to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing(pub u32);

impl Standing {
    /// Not compared.
    pub const NONE: Self = Self(u32::MAX);
    /// As it does.
    pub const SAME: Self = Self(0);
    /// The proposal waits for a fact.
    pub const OPEN: Self = Self(1);
}

/// Cells in front of those that differ.
const DIFFERING: u32 = 2;

/// What was counted of one proposal.
#[derive(Debug)]
pub struct Standings {
    number: u16,
    policies: u32,
    /// By worker; each writes its own.
    cells: Box<[Box<[Cell]>]>,
}

impl Standings {
    /// `number` differs from that of the shadow before. 96 bytes a policy and worker.
    #[must_use]
    pub fn new(number: u16, policies: u32, workers: usize) -> Self {
        let count = DIFFERING as usize + (policies as usize + 1) * Change::ALL.len();
        let of_worker = || (0..count).map(|_| Cell::default()).collect();
        Self { number, policies, cells: (0..workers.max(1)).map(|_| of_worker()).collect() }
    }

    /// Tells them from those of other shadows that flows may have met.
    #[must_use]
    pub const fn number(&self) -> u16 {
        self.number
    }

    /// How many policies the proposal has.
    #[must_use]
    pub const fn policies(&self) -> u32 {
        self.policies
    }

    /// The standing of a flow that differs by a policy of the proposal, `u32::MAX` for its default.
    #[must_use]
    pub fn differing(&self, policy_index: u32, change: Change) -> Standing {
        let rank = policy_index.min(self.policies);
        Standing(DIFFERING + rank * Change::ALL.len() as u32 + change as u32)
    }

    /// What a standing means.
    #[must_use]
    pub fn fate(&self, standing: Standing) -> Fate {
        match standing {
            Standing::SAME => Fate::Same,
            Standing::OPEN => Fate::Open,
            Standing(differing) => {
                let (at, kinds) = (differing - DIFFERING, Change::ALL.len() as u32);
                let rank = at / kinds;
                Fate::Differs(Difference {
                    shadow: self.number,
                    change: Change::ALL[(at % kinds) as usize],
                    policy_index: if rank < self.policies { rank } else { u32::MAX },
                })
            }
        }
    }

    /// The cell of a standing at one worker.
    #[must_use]
    pub fn cell(&self, worker: u8, standing: Standing) -> Option<&Cell> {
        self.cells.get(usize::from(worker))?.get(standing.0 as usize)
    }

    /// What all workers counted.
    #[must_use]
    pub fn read(&self, standing: Standing) -> Counts {
        let cells = self.cells.iter().filter_map(|cells| cells.get(standing.0 as usize));
        cells.fold(Counts::default(), |sum, cell| sum.plus(cell.read()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standing_means_what_it_was_made_of() {
        let standings = Standings::new(9, 2, 1);
        assert_eq!(standings.fate(Standing::SAME), Fate::Same);
        assert_eq!(standings.fate(Standing::OPEN), Fate::Open);
        for policy_index in [0, 1, u32::MAX] {
            for change in Change::ALL {
                let standing = standings.differing(policy_index, change);
                assert!(standings.cell(0, standing).is_some() && standings.cell(1, standing).is_none());
                assert_eq!(
                    standings.fate(standing),
                    Fate::Differs(Difference { shadow: 9, change, policy_index })
                );
                assert_eq!(Change::of_label(change.label()), Some(change));
            }
        }
        assert!(standings.cell(0, Standing::NONE).is_none() && Change::of_label("none").is_none());
    }
}
