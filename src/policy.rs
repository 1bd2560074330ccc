//! How does an operator change policies from a shell? `jarvis ctl policy`.

use crate::cli::{PolicyCommand, ShadowCommand, Why};
use crate::ctl::{encoded, query_path, read_json};
use crate::failure::Failure;
use crate::work::{self, WAIT_S};
use controlplane::client::{Client, Method};
use serde_json::{Value, json};
use std::io::Read;
use std::path::Path;

/// Runs one of them but `export`; the answer.
///
/// # Errors
///
/// A file that cannot be read, or the daemon's refusal with every fault.
pub(crate) fn run(client: &Client, command: &PolicyCommand) -> Result<Value, Failure> {
    let enable = |policy_id: &str, on: bool, why: &Why| {
        client.patch(&with_terms(&path_of(policy_id), why), &json!({ "enabled": on }))
    };
    Ok(match command {
        PolicyCommand::Show { filter, limit } => client.get(&query_path("/policy", filter, *limit)?)?,
        PolicyCommand::Get { policy_id } => client.get(&path_of(policy_id))?,
        PolicyCommand::Add { policy, why } => {
            client.send(&Method::POST, &with_terms("/policy", why), read(policy)?)?
        }
        PolicyCommand::Set { policy_id, policy, why } => {
            client.send(&Method::PUT, &with_terms(&path_of(policy_id), why), read(policy)?)?
        }
        PolicyCommand::Change { policy_id, patch, why } => {
            let patch = patch.clone().into_bytes();
            client.send(&Method::PATCH, &with_terms(&path_of(policy_id), why), patch)?
        }
        PolicyCommand::Enable { policy_id, why } => enable(policy_id, true, why)?,
        PolicyCommand::Disable { policy_id, why } => enable(policy_id, false, why)?,
        PolicyCommand::Remove { policy_id, why } => {
            client.send(&Method::DELETE, &with_terms(&path_of(policy_id), why), Vec::new())?
        }
        PolicyCommand::Order { policy_ids, why } => {
            client.post(&with_terms("/policy/order", why), &json!({ "policy_ids": policy_ids }))?
        }
        PolicyCommand::Analysis => client.get("/policy/analysis")?,
        PolicyCommand::Shadow { command } => match command {
            ShadowCommand::Start { policies, reason } => {
                let why = Why { reason: reason.clone(), confirm: None };
                client.send(&Method::PUT, &with_terms("/policy/shadow", &why), read(policies)?)?
            }
            ShadowCommand::Show => client.get("/policy/shadow")?,
            ShadowCommand::Stop => client.send(&Method::DELETE, "/policy/shadow", Vec::new())?,
        },
        PolicyCommand::WhatIf { policies, minutes, capture: None } => {
            let path = format!("/policy/what-if?minutes={minutes}&wait={WAIT_S}");
            let job = client.send(&Method::POST, &path, read(policies)?)?;
            work::result(client, job)?
        }
        PolicyCommand::WhatIf { policies, capture: Some(capture), .. } => {
            let fields = [("policies", read(policies)?), ("capture", read(capture)?)];
            let job = client.form(&format!("/policy/what-if?wait={WAIT_S}"), &fields)?;
            work::result(client, job)?
        }
        PolicyCommand::Versions { limit } => client.get(&query_path("/policy/versions", &[], *limit)?)?,
        PolicyCommand::Diff { version, against } => {
            let against = against.map(|against| format!("?against={against}")).unwrap_or_default();
            client.get(&format!("/policy/versions/{version}/diff{against}"))?
        }
        PolicyCommand::Restore { version, why } => {
            let path = format!("/policy/versions/{version}/restore");
            client.post(&with_terms(&path, why), &json!({}))?
        }
        PolicyCommand::Import { policies, merge, dry_run, why } => {
            let mode = if *merge { "merge" } else { "replace" };
            let path = format!("/policy/import?mode={mode}&dry_run={dry_run}");
            client.send(&Method::POST, &with_terms(&path, why), read(policies)?)?
        }
        PolicyCommand::Export { .. } => Value::Null,
        PolicyCommand::Confirm { version } => {
            let version = version.map(|version| format!("?version={version}")).unwrap_or_default();
            client.post(&format!("/policy/confirm{version}"), &json!({}))?
        }
        PolicyCommand::Abort { reason } => {
            let why = Why { reason: reason.clone(), confirm: None };
            client.send(&Method::DELETE, &with_terms("/policy/commit", &why), Vec::new())?
        }
        PolicyCommand::Reload { why } => client.post(&with_terms("/policy/reload", why), &json!({}))?,
        PolicyCommand::Evaluate { context } => client.post("/policy/evaluate", &read_json(context)?)?,
    })
}

/// The set as a file.
///
/// # Errors
///
/// The daemon's refusal.
pub(crate) fn export(client: &Client, version: Option<u32>) -> Result<String, Failure> {
    let version = version.map(|version| format!("?version={version}")).unwrap_or_default();
    let mut document = client.download(&format!("/policy/export{version}"))?;
    // The terminal gets the last line break from whoever prints this.
    document.truncate(document.trim_ascii_end().len());
    String::from_utf8(document).map_err(|error| Failure::line(format!("the answer is no text: {error}")))
}

fn path_of(policy_id: &str) -> String {
    format!("/policy/{}", encoded(policy_id))
}

fn with_terms(path: &str, why: &Why) -> String {
    let reason = why.reason.as_ref().map(|reason| format!("reason={}", encoded(reason)));
    let confirm = why.confirm.map(|seconds| format!("confirm_s={seconds}"));
    reason.into_iter().chain(confirm).fold(path.to_owned(), |path, term| {
        let separator = if path.contains('?') { '&' } else { '?' };
        format!("{path}{separator}{term}")
    })
}

/// The bytes of a file, or of the standard input.
fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |error| Failure::line(format!("cannot read {}: {error}", path.display()));
    if path == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::stdin().lock().read_to_end(&mut bytes).map_err(failed)?;
        return Ok(bytes);
    }
    std::fs::read(path).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_reasons_are_never_special() {
        let why = Why { reason: Some("CHG 7: a&b".to_owned()), confirm: None };
        assert_eq!(with_terms(&path_of("a/b?"), &why), "/policy/a%2Fb%3F?reason=CHG%207:%20a%26b");
        assert_eq!(
            with_terms("/policy/import?mode=merge", &why),
            "/policy/import?mode=merge&reason=CHG%207:%20a%26b"
        );
        assert_eq!(with_terms("/policy", &Why { reason: None, confirm: None }), "/policy");
        let both = Why { reason: Some("x".to_owned()), confirm: Some(60) };
        assert_eq!(with_terms("/policy", &both), "/policy?reason=x&confirm_s=60");
    }
}
