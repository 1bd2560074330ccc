//! Whom does the portal find at an address, and whom does it forget?

use std::net::IpAddr;

use dataplane::parse::Addr;

use super::{IdentityView, PortalOutcome, Source, view};
use crate::services::Services;
use crate::services::outcomes::Outcomes;

impl Services {
    /// What became of requests at the portal.
    #[must_use]
    pub const fn portal_counts(&self) -> &Outcomes<PortalOutcome> {
        &self.identities.portal
    }

    /// What holds of an address, whoever says so. Who is known by an Ethernet address alone is found where a lease ties the two.
    #[must_use]
    pub fn user_at(&self, addr: IpAddr) -> Option<IdentityView> {
        let registry = self.identities.registry();
        registry.whose(Addr::from(addr)).map(|live| view(&registry, live))
    }

    /// Ends what the portal said of a user, at all addresses, without waiting.
    pub fn drop_portal_user(&self, user_id: &str) {
        let policies = self.policies();
        let mut registry = self.identities.registry();
        let ids: Vec<u64> = registry.of_user(Source::Portal, user_id).map(|live| live.id).collect();
        for id in ids {
            if let Some(changed) = registry.end(id) {
                self.tell_workers(&registry, &policies, &changed);
            }
        }
    }
}
