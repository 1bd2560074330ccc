//! Which policies are valid and yet not what their author thinks? Warnings for `check`; none of them refuses a file.

use super::analysis::FindingKind;
use super::model::{Action, Conditions, Fields, Policy, PolicyFile};
use std::fmt;

/// Which facts this build can ever know: a condition on another never holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Supplied {
    /// Application, category, layer 7 protocol, confidence.
    pub application: bool,
    /// Users on both ends, with role, groups, attributes.
    pub identity: bool,
    /// Country of the outside end.
    pub country: bool,
}

/// Something to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The file.
    pub file: String,
    /// Line of the policy, from 1.
    pub line: u32,
    /// Which policy.
    pub policy_id: String,
    /// Of which kind.
    pub kind: FindingKind,
    /// Other policies that cause it, in evaluation order.
    pub by: Vec<String>,
    /// What to look at.
    pub message: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: policy {}: {}", self.file, self.line, self.policy_id, self.message)
    }
}

impl PolicyFile {
    /// Everything worth a second look, in evaluation order.
    #[must_use]
    pub fn lint(&self, supplied: Supplied) -> Vec<Warning> {
        let mut warnings = Vec::new();
        let mut warn = |policy: &Policy, kind: FindingKind, by: Vec<String>, message: String| {
            warnings.push(Warning {
                file: self.file.clone(),
                line: policy.line,
                policy_id: policy.policy_id.clone(),
                kind,
                by,
                message,
            });
        };
        let mut findings = self.analyse().into_iter().peekable();
        for policy in self.in_order() {
            let Policy { conditions, .. } = policy;
            if let Some(finding) = findings.next_if(|finding| std::ptr::eq(finding.policy, policy)) {
                let by = finding.by.iter().map(|by| by.policy_id.clone()).collect();
                warn(policy, finding.kind, by, finding.message());
                continue;
            }
            if redirects_tcp(policy) && needs_application(conditions) {
                warn(
                    policy,
                    FindingKind::Retried,
                    Vec::new(),
                    "a TCP flow whose application becomes known only after its first packet is rejected and \
                     remembered: the client's retry is redirected"
                        .to_owned(),
                );
            }
            let mut impossible = |message| warn(policy, FindingKind::Impossible, Vec::new(), message);
            for (missing, what) in [
                (
                    !supplied.application
                        && conditions.all.needs_application()
                        && !only_l7_beside_l4(&conditions.all),
                    "applications yet",
                ),
                (!supplied.identity && needs_identity(&conditions.all), "users yet"),
                (
                    !supplied.country && !conditions.all.country.is_empty(),
                    "countries: rules.geoip_database names no file",
                ),
            ] {
                if missing {
                    impossible(format!("never matches: nothing tells {what}"));
                }
            }
            if let Some(version) = mixed_versions(&conditions.all) {
                impossible(format!("never matches: {version}"));
            }
            if ports_without_ports(&conditions.all) {
                impossible("never matches: none of its protocols has ports".to_owned());
            }
        }
        warnings
    }
}

fn redirects_tcp(policy: &Policy) -> bool {
    let l4 = &policy.conditions.all.protocol_l4;
    matches!(policy.action, Action::Redirect(_)) && (l4.is_empty() || l4.contains(&6))
}

fn needs_application(conditions: &Conditions) -> bool {
    conditions.all.needs_application() || conditions.not.as_ref().is_some_and(|not| not.needs_application())
}

fn needs_identity(fields: &Fields) -> bool {
    !fields.user_id.is_empty()
        || !fields.user_role.is_empty()
        || !fields.groups.is_empty()
        || !fields.attributes.is_empty()
        || !fields.dst_user_id.is_empty()
        || !fields.dst_user_role.is_empty()
}

/// `"protocol": ["tcp", "quic"]` matches by layer 4 alone.
fn only_l7_beside_l4(fields: &Fields) -> bool {
    !fields.protocol_l4.is_empty()
        && fields.application.is_empty()
        && fields.category.is_empty()
        && fields.min_confidence.is_none()
}

fn mixed_versions(fields: &Fields) -> Option<&'static str> {
    let (src, dst) = (&fields.src_ip, &fields.dst_ip);
    if src.is_empty() || dst.is_empty() {
        return None;
    }
    let v4 = !src.v4.is_empty() && !dst.v4.is_empty();
    let v6 = !src.v6.is_empty() && !dst.v6.is_empty();
    (!v4 && !v6).then_some("its source and destination addresses are of different IP versions")
}

fn ports_without_ports(fields: &Fields) -> bool {
    const WITH_PORTS: [u8; 3] = [6, 17, 132];
    (!fields.src_port.is_empty() || !fields.dst_port.is_empty())
        && fields.protocol_l7.is_empty()
        && !fields.protocol_l4.is_empty()
        && !fields.protocol_l4.iter().any(|number| WITH_PORTS.contains(number))
}
