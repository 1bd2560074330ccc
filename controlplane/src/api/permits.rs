//! Which call takes which permission? One line a call; a call without a line is answered to nobody.

use axum::http::Method;

use crate::services::auth::role::Permission;

/// Who may make a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anyone who reaches the port.
    Anyone,
    /// Clients on this machine without a token, others with one and this permission.
    LocalOr(Permission),
    /// Whoever has a token and this permission.
    Needs(Permission),
    /// The same, or a ticket of theirs in the query: where a browser cannot send a header.
    Ticketed(Permission),
}

/// A call and who may make it.
#[derive(Debug, Clone, Copy)]
pub struct Permit {
    /// `GET` stands for `HEAD` too.
    pub method: &'static str,
    /// As the router has it.
    pub path: &'static str,
    /// Who.
    pub access: Access,
    /// What the audit calls it.
    pub audited: Audited,
}

/// What a call leaves in the audit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audited {
    /// Nothing: it changes nothing.
    No,
    /// An entry for each time, and refusals.
    As(&'static str),
    /// Refusals only: what goes on as it was agreed on is no change.
    Refusals(&'static str),
}

const fn permit(method: &'static str, path: &'static str, access: Access) -> Permit {
    Permit { method, path, access, audited: Audited::No }
}

const fn change(method: &'static str, path: &'static str, access: Access, action: &'static str) -> Permit {
    Permit { method, path, access, audited: Audited::As(action) }
}

use Access::{Anyone, LocalOr, Needs, Ticketed};
use Permission::{
    AccountsRead, AccountsWrite, AuditRead, DpiClassify, DpiRead, DpiWrite, EventsRead, IdentityRead,
    IdentityWrite, KeysWrite, OwnAccount, PolicyEvaluate, PolicyRead, PolicyWrite, SystemRead, SystemWrite,
    TelemetryRead, WebhooksRead, WebhooksWrite, WireRead, WireWrite,
};

/// The table.
pub const PERMITS: &[Permit] = &[
    permit("GET", "/health", Anyone),
    permit("GET", "/health/live", Anyone),
    permit("GET", "/health/ready", Anyone),
    permit("GET", "/api/system/status", Anyone),
    permit("GET", "/api/federation/status", Anyone),
    change("POST", "/auth/login", Anyone, "auth.login"),
    Permit { audited: Audited::Refusals("auth.refresh"), ..permit("POST", "/auth/refresh", Anyone) },
    permit("GET", "/auth/keys", Anyone),
    change("POST", "/auth/keys/rotate", Needs(KeysWrite), "keys.rotate"),
    change("POST", "/auth/logout", Needs(OwnAccount), "auth.logout"),
    permit("GET", "/auth/me", Needs(OwnAccount)),
    change("POST", "/auth/password", Needs(OwnAccount), "auth.password"),
    permit("GET", "/auth/sessions", Needs(OwnAccount)),
    change("DELETE", "/auth/sessions/{session_id}", Needs(OwnAccount), "session.end"),
    Permit { audited: Audited::Refusals("auth.ticket"), ..permit("POST", "/auth/ticket", Needs(OwnAccount)) },
    permit("GET", "/admin/roles", Needs(AccountsRead)),
    permit("GET", "/admin/users", Needs(AccountsRead)),
    change("POST", "/admin/users", Needs(AccountsWrite), "account.make"),
    permit("GET", "/admin/users/{user_id}", Needs(AccountsRead)),
    change("PATCH", "/admin/users/{user_id}", Needs(AccountsWrite), "account.change"),
    change("DELETE", "/admin/users/{user_id}", Needs(AccountsWrite), "account.remove"),
    change("POST", "/admin/users/{user_id}/tokens", Needs(AccountsWrite), "token.make"),
    permit("GET", "/admin/sessions", Needs(AccountsRead)),
    change("DELETE", "/admin/sessions/{session_id}", Needs(AccountsWrite), "session.end"),
    change("POST", "/admin/subjects/{subject}/erase", Needs(AccountsWrite), "subject.erase"),
    change("POST", "/admin/backup", Needs(KeysWrite), "backup.make"),
    change("POST", "/admin/backup/{backup_id}/fetch", Needs(KeysWrite), "backup.fetch"),
    permit("GET", "/audit", Needs(AuditRead)),
    permit("GET", "/policy/explain", Needs(PolicyRead)),
    permit("GET", "/policy/identities", Needs(IdentityRead)),
    permit("GET", "/policy/identities/{identity_id}", Needs(IdentityRead)),
    change("POST", "/policy/identities", Needs(IdentityWrite), "identity.assert"),
    change("POST", "/policy/identities/oidc", Needs(IdentityWrite), "identity.oidc"),
    change("DELETE", "/policy/identities/{identity_id}", Needs(IdentityWrite), "identity.end"),
    permit("GET", "/admin/holds", Needs(AuditRead)),
    permit("GET", "/admin/holds/{name}", Needs(AuditRead)),
    change("PUT", "/admin/holds/{name}", Needs(KeysWrite), "hold.put"),
    change("DELETE", "/admin/holds/{name}", Needs(KeysWrite), "hold.release"),
    permit("GET", "/admin/block", Needs(WireRead)),
    change("POST", "/admin/block", Needs(WireWrite), "wire.block"),
    change("DELETE", "/admin/block", Needs(WireWrite), "wire.unblock"),
    change("POST", "/admin/bypass", Needs(WireWrite), "wire.bypass"),
    permit("GET", "/admin/config", Needs(SystemRead)),
    change("POST", "/admin/reload", Needs(SystemWrite), "box.reload"),
    permit("GET", "/admin/log-level", Needs(SystemRead)),
    change("PUT", "/admin/log-level", Needs(SystemWrite), "log.level"),
    change("POST", "/admin/drain", Needs(SystemWrite), "box.drain"),
    permit("GET", "/openapi.json", LocalOr(OwnAccount)),
    permit("GET", "/docs", LocalOr(OwnAccount)),
    permit("GET", "/docs/{*file}", LocalOr(OwnAccount)),
    permit("GET", "/admin/webhooks", Needs(WebhooksRead)),
    change("POST", "/admin/webhooks", Needs(WebhooksWrite), "webhook.make"),
    permit("GET", "/admin/webhooks/{webhook_id}", Needs(WebhooksRead)),
    change("PATCH", "/admin/webhooks/{webhook_id}", Needs(WebhooksWrite), "webhook.change"),
    change("POST", "/admin/webhooks/{webhook_id}/test", Needs(WebhooksWrite), "webhook.test"),
    change("DELETE", "/admin/webhooks/{webhook_id}", Needs(WebhooksWrite), "webhook.remove"),
    permit("GET", "/metrics", LocalOr(TelemetryRead)),
    permit("GET", "/telemetry", Needs(TelemetryRead)),
    permit("GET", "/telemetry/workers", Needs(TelemetryRead)),
    permit("GET", "/telemetry/ports", Needs(TelemetryRead)),
    permit("GET", "/telemetry/reasons", Needs(TelemetryRead)),
    permit("GET", "/telemetry/latency", Needs(TelemetryRead)),
    permit("GET", "/telemetry/applications", Needs(TelemetryRead)),
    permit("GET", "/telemetry/history", Needs(TelemetryRead)),
    permit("GET", "/telemetry/talkers", Needs(DpiRead)),
    permit("GET", "/telemetry/users", Needs(DpiRead)),
    permit("GET", "/telemetry/wire", Needs(WireRead)),
    permit("GET", "/dpi/flows", Needs(DpiRead)),
    permit("GET", "/dpi/protocols", Needs(DpiRead)),
    permit("GET", "/dpi/applications", Needs(DpiRead)),
    permit("GET", "/dpi/rules", Needs(DpiRead)),
    permit("GET", "/dpi/rules/summary", Needs(DpiRead)),
    change("POST", "/dpi/rules/reload", Needs(DpiWrite), "rules.reload"),
    permit("GET", "/dpi/rules/profile", Needs(DpiRead)),
    change("POST", "/dpi/rules/profile", Needs(DpiWrite), "rules.profile"),
    change("DELETE", "/dpi/rules/profile", Needs(DpiWrite), "rules.profile_end"),
    permit("GET", "/dpi/rules/{sid}", Needs(DpiRead)),
    change("POST", "/dpi/rules/{sid}/enable", Needs(DpiWrite), "rule.enable"),
    change("POST", "/dpi/rules/{sid}/disable", Needs(DpiWrite), "rule.disable"),
    change("POST", "/dpi/classify", Needs(DpiClassify), "dpi.classify"),
    permit("GET", "/jobs", Needs(OwnAccount)),
    permit("GET", "/jobs/{job_id}", Needs(OwnAccount)),
    change("DELETE", "/jobs/{job_id}", Needs(OwnAccount), "job.end"),
    change("DELETE", "/dpi/flows/{flow_id}", Needs(DpiWrite), "flow.end"),
    permit("GET", "/ws", Ticketed(EventsRead)),
    permit("GET", "/events", Ticketed(EventsRead)),
    permit("GET", "/events/history", Needs(EventsRead)),
    permit("GET", SOCKET_IO, Anyone),
    permit("POST", SOCKET_IO, Anyone),
    permit("GET", "/policy", Needs(PolicyRead)),
    change("PUT", "/policy", Needs(PolicyWrite), "policy.replace"),
    permit("GET", "/policy/analysis", Needs(PolicyRead)),
    permit("GET", "/policy/document", Needs(PolicyRead)),
    permit("POST", "/policy/evaluate", Needs(PolicyEvaluate)),
    change("POST", "/policy/reload", Needs(PolicyWrite), "policy.reload"),
    change("POST", "/policy", Needs(PolicyWrite), "policy.make"),
    permit("GET", "/policy/{policy_id}", Needs(PolicyRead)),
    change("PUT", "/policy/{policy_id}", Needs(PolicyWrite), "policy.change"),
    change("PATCH", "/policy/{policy_id}", Needs(PolicyWrite), "policy.change"),
    change("DELETE", "/policy/{policy_id}", Needs(PolicyWrite), "policy.remove"),
    change("POST", "/policy/order", Needs(PolicyWrite), "policy.order"),
    change("POST", "/policy/import", Needs(PolicyWrite), "policy.import"),
    permit("GET", "/policy/export", Needs(PolicyRead)),
    permit("GET", "/policy/commit", Needs(PolicyRead)),
    change("DELETE", "/policy/commit", Needs(PolicyWrite), "policy.abort"),
    change("POST", "/policy/confirm", Needs(PolicyWrite), "policy.confirm"),
    permit("GET", "/policy/shadow", Needs(PolicyRead)),
    permit("GET", "/policy/shadow/document", Needs(PolicyRead)),
    change("POST", "/policy/what-if", Needs(PolicyEvaluate), "policy.what_if"),
    change("PUT", "/policy/shadow", Needs(PolicyWrite), "policy.shadow"),
    change("DELETE", "/policy/shadow", Needs(PolicyWrite), "policy.shadow_end"),
    permit("GET", "/policy/versions", Needs(PolicyRead)),
    permit("GET", "/policy/versions/{version}", Needs(PolicyRead)),
    permit("GET", "/policy/versions/{version}/diff", Needs(PolicyRead)),
    change("POST", "/policy/versions/{version}/restore", Needs(PolicyWrite), "policy.restore"),
];

/// Carries packets of Socket.IO, whose own `CONNECT` has the token.
pub(super) const SOCKET_IO: &str = "/socket.io/";

/// Who may make this call; `None`: the table does not have it.
#[must_use]
pub fn access(method: &Method, path: &str) -> Option<Access> {
    find(method, path).map(|permit| permit.access)
}

/// What this call leaves in the audit.
#[must_use]
pub fn audited(method: &Method, path: &str) -> Audited {
    find(method, path).map_or(Audited::No, |permit| permit.audited)
}

fn find(method: &Method, path: &str) -> Option<&'static Permit> {
    let method = if *method == Method::HEAD { "GET" } else { method.as_str() };
    PERMITS.iter().find(|permit| permit.method == method && permit.path == path)
}

/// The methods that a path takes, for `Allow`.
pub(super) fn methods(path: &str) -> String {
    let of_path = PERMITS.iter().filter(|permit| permit.path == path).map(|permit| permit.method);
    of_path
        .flat_map(|method| if method == "GET" { vec!["GET", "HEAD"] } else { vec![method] })
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_something_takes_a_permission_to_change() {
        for permit in PERMITS {
            let reads = matches!(permit.method, "GET");
            if let Needs(permission) | LocalOr(permission) | Ticketed(permission) = permit.access {
                let is_reading = permission.name().ends_with(":read");
                assert!(!reads || is_reading || permission == OwnAccount, "{permit:?}");
                assert!(reads || !is_reading, "{permit:?}");
            }
        }
    }

    #[test]
    fn what_changes_something_is_audited() {
        for permit in PERMITS {
            // The first only computes, the second only carries what is asked.
            let changes = permit.method != "GET" && !["/policy/evaluate", SOCKET_IO].contains(&permit.path);
            assert_eq!(changes, permit.audited != Audited::No, "{permit:?}");
        }
    }

    #[test]
    fn the_documentation_has_every_action() {
        let readme = include_str!("../../README.md");
        for permit in PERMITS {
            if let Audited::As(action) | Audited::Refusals(action) = permit.audited {
                assert!(readme.contains(&format!("| `{action}` |")), "README.md lacks {action}");
            }
        }
    }

    #[test]
    fn each_call_has_one_line() {
        for permit in PERMITS {
            let same = |other: &&Permit| (other.method, other.path) == (permit.method, permit.path);
            assert_eq!(PERMITS.iter().filter(same).count(), 1, "{permit:?}");
        }
    }

    #[test]
    fn the_documentation_has_the_table() {
        let readme = include_str!("../../README.md");
        for permit in PERMITS {
            let access = match permit.access {
                Anyone => "anyone".to_owned(),
                LocalOr(permission) => format!("local, or `{permission}`"),
                Needs(permission) => format!("`{permission}`"),
                Ticketed(permission) => format!("`{permission}`, or a ticket"),
            };
            let line = format!("| `{} {}` | {access} |", permit.method, permit.path);
            assert!(readme.contains(&line), "README.md lacks {line}");
        }
    }
}
