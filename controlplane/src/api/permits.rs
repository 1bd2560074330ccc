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
}

const fn permit(method: &'static str, path: &'static str, access: Access) -> Permit {
    Permit { method, path, access }
}

use Access::{Anyone, LocalOr, Needs};
use Permission::{
    AccountsRead, AccountsWrite, DpiRead, DpiWrite, KeysWrite, OwnAccount, PolicyEvaluate, PolicyRead,
    PolicyWrite, TelemetryRead, WireRead, WireWrite,
};

/// The table.
pub const PERMITS: &[Permit] = &[
    permit("GET", "/health", Anyone),
    permit("GET", "/health/live", Anyone),
    permit("GET", "/health/ready", Anyone),
    permit("GET", "/api/system/status", Anyone),
    permit("GET", "/api/federation/status", Anyone),
    permit("POST", "/auth/login", Anyone),
    permit("POST", "/auth/refresh", Anyone),
    permit("GET", "/auth/keys", Anyone),
    permit("POST", "/auth/keys/rotate", Needs(KeysWrite)),
    permit("POST", "/auth/logout", Needs(OwnAccount)),
    permit("GET", "/auth/me", Needs(OwnAccount)),
    permit("POST", "/auth/password", Needs(OwnAccount)),
    permit("GET", "/auth/sessions", Needs(OwnAccount)),
    permit("DELETE", "/auth/sessions/{session_id}", Needs(OwnAccount)),
    permit("GET", "/admin/roles", Needs(AccountsRead)),
    permit("GET", "/admin/users", Needs(AccountsRead)),
    permit("POST", "/admin/users", Needs(AccountsWrite)),
    permit("GET", "/admin/users/{user_id}", Needs(AccountsRead)),
    permit("PATCH", "/admin/users/{user_id}", Needs(AccountsWrite)),
    permit("DELETE", "/admin/users/{user_id}", Needs(AccountsWrite)),
    permit("POST", "/admin/users/{user_id}/tokens", Needs(AccountsWrite)),
    permit("GET", "/admin/sessions", Needs(AccountsRead)),
    permit("DELETE", "/admin/sessions/{session_id}", Needs(AccountsWrite)),
    permit("GET", "/admin/block", Needs(WireRead)),
    permit("POST", "/admin/block", Needs(WireWrite)),
    permit("DELETE", "/admin/block", Needs(WireWrite)),
    permit("POST", "/admin/bypass", Needs(WireWrite)),
    permit("GET", "/metrics", LocalOr(TelemetryRead)),
    permit("GET", "/telemetry", Needs(TelemetryRead)),
    permit("GET", "/telemetry/workers", Needs(TelemetryRead)),
    permit("GET", "/telemetry/ports", Needs(TelemetryRead)),
    permit("GET", "/telemetry/reasons", Needs(TelemetryRead)),
    permit("GET", "/telemetry/latency", Needs(TelemetryRead)),
    permit("GET", "/telemetry/applications", Needs(TelemetryRead)),
    permit("GET", "/telemetry/wire", Needs(WireRead)),
    permit("GET", "/dpi/flows", Needs(DpiRead)),
    permit("DELETE", "/dpi/flows/{flow_id}", Needs(DpiWrite)),
    permit("GET", "/policy", Needs(PolicyRead)),
    permit("PUT", "/policy", Needs(PolicyWrite)),
    permit("GET", "/policy/document", Needs(PolicyRead)),
    permit("POST", "/policy/evaluate", Needs(PolicyEvaluate)),
    permit("POST", "/policy/reload", Needs(PolicyWrite)),
];

/// Who may make this call; `None`: the table does not have it.
#[must_use]
pub fn access(method: &Method, path: &str) -> Option<Access> {
    let method = if *method == Method::HEAD { "GET" } else { method.as_str() };
    PERMITS.iter().find(|permit| permit.method == method && permit.path == path).map(|permit| permit.access)
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
            if let Needs(permission) | LocalOr(permission) = permit.access {
                let is_reading = permission.name().ends_with(":read");
                assert!(!reads || is_reading || permission == OwnAccount, "{permit:?}");
                assert!(reads || !is_reading, "{permit:?}");
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
            };
            let line = format!("| `{} {}` | {access} |", permit.method, permit.path);
            assert!(readme.contains(&line), "README.md lacks {line}");
        }
    }
}
