//! How much of the traffic was which application? Sums of the flows that have ended, by the name they ended with.
//!
//! Bounded whatever the traffic holds: names beyond the first 4,096 are summed together. A flow that is still open counts at
//! its end; one that was aggregated with others in a full ring counts as the record has it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use dataplane::control::FlowEnd;
use serde::Serialize;
use utoipa::ToSchema;

use super::Services;

/// Names that are kept apart: more than the built-in table and the protocols have together.
const NAMES_MAX: usize = 4_096;

/// Names with series of their own in metrics, the first that were seen: so a series never changes its meaning.
pub(super) const SERIES_MAX: usize = 200;

/// Names that telemetry shows.
pub const SHOWN_MAX: usize = 50;

/// What flows are called that nobody recognised.
const UNKNOWN: &str = "unknown";

/// What all together are called that have no line of their own.
pub(super) const OTHER: &str = "other";

/// Sums of one application.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct AppSums {
    /// Flows that ended.
    pub flows: u64,
    /// Packets from the initiators.
    pub packets_to_server: u64,
    /// Packets to the initiators.
    pub packets_to_client: u64,
    /// Bytes from the initiators.
    pub bytes_to_server: u64,
    /// Bytes to the initiators.
    pub bytes_to_client: u64,
}

impl AppSums {
    fn add(&mut self, more: &Self) {
        let Self { flows, packets_to_server, packets_to_client, bytes_to_server, bytes_to_client } = more;
        self.flows += flows;
        self.packets_to_server += packets_to_server;
        self.packets_to_client += packets_to_client;
        self.bytes_to_server += bytes_to_server;
        self.bytes_to_client += bytes_to_client;
    }

    const fn bytes(&self) -> u64 {
        self.bytes_to_server + self.bytes_to_client
    }
}

/// One application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct AppView {
    /// Its name, that of the protocol where no application is known, or `unknown`.
    pub application: &'static str,
    /// Its flows.
    #[serde(flatten)]
    pub sums: AppSums,
}

/// The applications with the most bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct AppsView {
    /// At most [`SHOWN_MAX`], those with the most bytes first.
    pub applications: Vec<AppView>,
    /// All others together.
    pub other: AppSums,
}

/// Sums by application. The event pump writes, anyone reads.
#[derive(Debug, Default)]
pub(super) struct AppsSeen(Mutex<Sums>);

#[derive(Debug, Default)]
struct Sums {
    places: HashMap<&'static str, usize>,
    /// In the order of their first flow.
    apps: Vec<AppView>,
    /// Of names for which there was no place.
    other: AppSums,
}

impl AppsSeen {
    pub(super) fn count(&self, end: &FlowEnd) {
        let record = &end.record;
        let ([packets_to_server, packets_to_client], [bytes_to_server, bytes_to_client]) =
            (record.packets, record.bytes);
        let flows = 1 + u64::from(record.aggregated);
        let sums = AppSums { flows, packets_to_server, packets_to_client, bytes_to_server, bytes_to_client };
        self.add(end.summary.app_name().unwrap_or(UNKNOWN), &sums);
    }

    fn add(&self, name: &'static str, more: &AppSums) {
        let mut sums = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Sums { places, apps, other } = &mut *sums;
        let place = *places.entry(name).or_insert_with(|| {
            if apps.len() < NAMES_MAX {
                apps.push(AppView { application: name, sums: AppSums::default() });
                apps.len() - 1
            } else {
                NAMES_MAX
            }
        });
        // A place is remembered for names that have one: the map is as bounded as the list.
        if place == NAMES_MAX {
            places.remove(name);
        }
        apps.get_mut(place).map_or(other, |app| &mut app.sums).add(more);
    }

    /// The first [`SERIES_MAX`] names, and the sum of all others.
    pub(super) fn series(&self) -> (Vec<AppView>, AppSums) {
        let sums = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut other = sums.other;
        sums.apps.iter().skip(SERIES_MAX).for_each(|app| other.add(&app.sums));
        (sums.apps.iter().take(SERIES_MAX).cloned().collect(), other)
    }

    fn top(&self) -> AppsView {
        let (mut applications, mut other) = {
            let sums = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            (sums.apps.clone(), sums.other)
        };
        applications.sort_by(|a, b| {
            b.sums.bytes().cmp(&a.sums.bytes()).then_with(|| a.application.cmp(b.application))
        });
        applications.iter().skip(SHOWN_MAX).for_each(|app| other.add(&app.sums));
        applications.truncate(SHOWN_MAX);
        AppsView { applications, other }
    }
}

impl Services {
    /// Which applications have moved the most bytes in flows that have ended.
    #[must_use]
    pub fn applications(&self) -> AppsView {
        self.events.applications.top()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greatest_are_shown_first_and_all_others_are_summed() {
        let seen = AppsSeen::default();
        let one = |bytes| AppSums { flows: 1, bytes_to_client: bytes, ..AppSums::default() };
        let names: Vec<&'static str> =
            (0..NAMES_MAX + 10).map(|nth| &*Box::leak(format!("app{nth}").into_boxed_str())).collect();
        for (nth, name) in names.iter().enumerate() {
            seen.add(name, &one(nth as u64));
            seen.add(name, &one(1));
        }
        let AppsView { applications, other } = seen.top();
        assert_eq!(applications.len(), SHOWN_MAX);
        assert_eq!((applications[0].application, applications[0].sums.flows), ("app4095", 2));
        assert_eq!(applications[0].sums.bytes_to_client, 4_096);
        assert_eq!(other.flows, 2 * (NAMES_MAX + 10 - SHOWN_MAX) as u64);
        let (series, rest) = seen.series();
        assert_eq!((series.len(), series[0].application), (SERIES_MAX, "app0"));
        assert_eq!(rest.flows, 2 * (NAMES_MAX + 10 - SERIES_MAX) as u64);
        seen.add("app0", &one(1 << 40));
        assert_eq!(seen.top().applications[0].application, "app0");
    }
}
