//! At which rate does a device begin to lose packets? Binary search, then three confirmations in a row.
//!
//! Zero loss is at most one packet in a million. A probe that fails while searching is tried once more,
//! because a hypervisor's pause must not send the search astray; the confirmations forgive nothing. A rate
//! that the sender cannot exceed is marked: it says how much the device does at least, not at most.

/// Zero loss: at most so large a share is lost.
pub(crate) const LOSS_MAX: f64 = 1e-6;
/// The sender is the limit when it reaches less than this share of what it was asked.
const REACHED_MIN: f64 = 0.98;
/// How much lower the next rate is after a failed confirmation; after [`STEPS_SMALL`] of them it goes faster.
const STEP_DOWN: f64 = 0.97;
const STEP_DOWN_FAST: f64 = 0.85;
const STEPS_SMALL: u32 = 6;
/// Confirmations that may fail before the search gives up, at a tenth of where it began.
const STEPS_DOWN_MAX: u32 = 20;

/// What one probe saw.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Probe {
    /// Packets a second asked of the sender.
    pub(crate) asked_pps: f64,
    /// Packets a second it reached.
    pub(crate) reached_pps: f64,
    /// Packets sent.
    pub(crate) sent: u64,
    /// Packets that did not arrive.
    pub(crate) lost: u64,
}

impl Probe {
    /// Lost over sent; nothing sent counts as everything lost.
    pub(crate) fn loss(&self) -> f64 {
        if self.sent == 0 { 1.0 } else { self.lost as f64 / self.sent as f64 }
    }

    /// Whether the sender kept the pace that it was asked for.
    pub(crate) fn kept_pace(&self) -> bool {
        self.reached_pps >= REACHED_MIN * self.asked_pps
    }

    /// Whether this is zero loss.
    pub(crate) fn passes(&self) -> bool {
        self.loss() <= LOSS_MAX
    }
}

/// What a probe is for; confirmations are longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Search,
    Confirm,
}

/// How exact.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Plan {
    /// The search ends when the rates that passed and failed are so close, as a share.
    pub(crate) tolerance: f64,
    /// Confirmations in a row.
    pub(crate) confirmations: u32,
}

/// The highest rate without loss.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Found {
    /// Packets a second, the least of what the confirmations reached; 0 where every rate lost packets.
    pub(crate) rate_pps: f64,
    /// Whether the sender was the limit: the device does at least this.
    pub(crate) sender_bound: bool,
    /// Trials that were thrown away and repeated because the machine stood still; the caller's to count.
    pub(crate) void_trials: u32,
    /// Every probe, in order.
    pub(crate) probes: Vec<Probe>,
}

/// Searches below `ceiling_pps`, what the sender can do.
///
/// # Errors
///
/// Those of `probe`.
pub(crate) fn zero_loss<E>(
    plan: Plan,
    ceiling_pps: f64,
    mut probe: impl FnMut(f64, Phase) -> Result<Probe, E>,
) -> Result<Found, E> {
    let mut probes = Vec::new();
    let mut pass_at = |rate: f64, phase: Phase, probes: &mut Vec<Probe>| -> Result<Option<f64>, E> {
        let tries = match phase {
            Phase::Search => 2,
            Phase::Confirm => 1,
        };
        for _ in 0..tries {
            let seen = probe(rate, phase)?;
            probes.push(seen);
            if seen.passes() {
                return Ok(Some(seen.reached_pps));
            }
        }
        Ok(None)
    };

    let mut passed = 0.0;
    if pass_at(ceiling_pps, Phase::Search, &mut probes)?.is_some() {
        passed = ceiling_pps;
    } else {
        let mut failed = ceiling_pps;
        while failed - passed > plan.tolerance * failed {
            let rate = f64::midpoint(passed, failed);
            match pass_at(rate, Phase::Search, &mut probes)? {
                Some(_) => passed = rate,
                None => failed = rate,
            }
            if failed < 1000.0 {
                return Ok(Found { rate_pps: 0.0, sender_bound: false, void_trials: 0, probes });
            }
        }
    }

    let mut rate = passed;
    for step in 0..STEPS_DOWN_MAX {
        let mut least = f64::INFINITY;
        let mut confirmed = 0;
        while confirmed < plan.confirmations {
            match pass_at(rate, Phase::Confirm, &mut probes)? {
                Some(reached) => least = least.min(reached),
                None => break,
            }
            confirmed += 1;
        }
        if confirmed == plan.confirmations {
            let sender_bound = rate >= ceiling_pps || least < REACHED_MIN * rate;
            return Ok(Found { rate_pps: least, sender_bound, void_trials: 0, probes });
        }
        rate *= if step < STEPS_SMALL { STEP_DOWN } else { STEP_DOWN_FAST };
    }
    Ok(Found { rate_pps: 0.0, sender_bound: false, void_trials: 0, probes })
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    const PLAN: Plan = Plan { tolerance: 0.01, confirmations: 3 };

    fn device(limit: f64) -> impl FnMut(f64, Phase) -> Result<Probe, Infallible> {
        move |rate, _| {
            let sent = 1_000_000;
            let lost = if rate > limit { ((rate - limit) / rate * sent as f64) as u64 + 2 } else { 0 };
            Ok(Probe { asked_pps: rate, reached_pps: rate, sent, lost })
        }
    }

    #[test]
    fn the_limit_is_found_within_the_tolerance() {
        for limit in [50_000.0, 777_000.0, 1_999_000.0] {
            let found = zero_loss(PLAN, 2e6, device(limit)).unwrap();
            assert!(found.rate_pps <= limit && found.rate_pps > limit * 0.985, "{limit} {}", found.rate_pps);
            assert!(!found.sender_bound);
        }
    }

    #[test]
    fn a_device_faster_than_the_sender_is_marked() {
        let found = zero_loss(PLAN, 2e6, device(5e6)).unwrap();
        assert!(found.sender_bound && (found.rate_pps - 2e6).abs() < 1.0);
        assert_eq!(found.probes.len(), 4);
    }

    #[test]
    fn one_pause_while_searching_does_not_lower_the_result() {
        let mut inner = device(1e6);
        let mut count = 0;
        let found = zero_loss(PLAN, 2e6, |rate, phase| {
            count += 1;
            let mut seen = inner(rate, phase)?;
            if count == 4 && phase == Phase::Search {
                seen.lost = 500;
            }
            Ok::<_, Infallible>(seen)
        })
        .unwrap();
        assert!(found.rate_pps > 0.98e6);
    }

    #[test]
    fn a_failed_confirmation_steps_down_until_three_pass_in_a_row() {
        let mut confirmations = 0;
        let found = zero_loss(PLAN, 2e6, |rate, phase| {
            confirmations += u32::from(phase == Phase::Confirm);
            let fails = phase == Phase::Confirm && confirmations == 2;
            Ok::<_, Infallible>(Probe {
                asked_pps: rate,
                reached_pps: rate,
                sent: 1_000_000,
                lost: if fails { 2 } else { 0 },
            })
        })
        .unwrap();
        assert!((found.rate_pps - 2e6 * STEP_DOWN).abs() < 1.0);
        assert_eq!(confirmations, 5);
    }

    #[test]
    fn one_in_a_million_passes_and_two_do_not() {
        let probe = |lost| Probe { asked_pps: 1.0, reached_pps: 1.0, sent: 1_000_000, lost };
        assert!(probe(1).passes() && !probe(2).passes());
        assert!(!Probe { sent: 0, ..probe(0) }.passes());
    }

    #[test]
    fn a_dead_device_gives_zero_and_ends() {
        let found = zero_loss(PLAN, 2e6, device(-1.0)).unwrap();
        assert!(found.rate_pps.abs() < f64::EPSILON);
    }
}
