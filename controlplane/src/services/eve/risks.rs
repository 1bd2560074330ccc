//! How are a flow's risks told? Their names, their score, and of each how bad it is and what spoke for it.

use dataplane::dpi::risk::clues;
use dataplane::dpi::{Risk, Risks};
use serde::{Serialize, Serializer};

/// `risks`: names.
#[derive(Debug)]
pub(super) struct RiskNames(pub(super) Risks);

impl RiskNames {
    pub(super) const fn is_empty(&self) -> bool {
        self.0.0 == 0
    }
}

impl Serialize for RiskNames {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(Risk::name))
    }
}

/// `risk_details`: objects, in the order of `risks`.
#[derive(Debug)]
pub(super) struct RiskDetails<'a> {
    pub(super) risks: Risks,
    /// [`dataplane::dpi::risk::clues`].
    pub(super) clues: &'a [u8],
}

#[derive(Serialize)]
struct Detail<'a> {
    name: &'static str,
    severity: &'static str,
    score: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    evidence: Option<&'a str>,
}

impl RiskDetails<'_> {
    pub(super) const fn is_empty(&self) -> bool {
        self.risks.0 == 0
    }
}

impl Serialize for RiskDetails<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.risks.iter().map(|risk| Detail {
            name: risk.name(),
            severity: risk.severity().name(),
            score: risk.severity().score(),
            evidence: clues::read(self.clues).find(|(of, _)| *of == risk).map(|(_, text)| text),
        }))
    }
}
