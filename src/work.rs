//! How does an operator have a capture looked into, see to jobs, and say who is told of events? Parts of `jarvis ctl`.

use crate::cli::{HoldCommand, IdentityCommand, ProfileCommand, RulesCommand, WebhookCommand};
use crate::ctl::{encoded, query_path};
use crate::failure::Failure;
use controlplane::client::{Client, Method};
use controlplane::services::identities::oidc::TOKEN_BYTES_MAX;
use serde_json::{Map, Value, json};
use std::io::Read;
use std::path::Path;
use zeroize::Zeroizing;

/// How long one question waits for the end of a job, seconds: the longest that the API takes.
pub(crate) const WAIT_S: u64 = 20;

/// `ctl classify`: which applications are in a capture; waits for the end.
///
/// # Errors
///
/// The file cannot be read; no daemon, or its refusal; a job that came to nothing.
pub(crate) fn classify(client: &Client, capture: &Path) -> Result<Value, Failure> {
    let bytes = std::fs::read(capture)
        .map_err(|error| Failure::line(format!("cannot read {}: {error}", capture.display())))?;
    let job = client.send(&Method::POST, &format!("/dpi/classify?wait={WAIT_S}"), bytes)?;
    result(client, job)
}

/// The result of a job; waits for its end.
///
/// # Errors
///
/// No daemon, or its refusal; a job that came to nothing.
pub(crate) fn result(client: &Client, mut job: Value) -> Result<Value, Failure> {
    while job["ended_s"].is_null() {
        let id = job["job_id"].as_str().unwrap_or_default().to_owned();
        job = client.get(&format!("/jobs/{id}?wait={WAIT_S}"))?;
    }
    match job["error"].as_str() {
        Some(error) => Err(Failure::line(error.to_owned())),
        None => Ok(job["result"].take()),
    }
}

/// `ctl dpi rules`.
///
/// # Errors
///
/// No daemon, or its refusal.
pub(crate) fn rules(client: &Client, command: &RulesCommand) -> Result<Value, Failure> {
    let path = |sid: &str| format!("/dpi/rules/{}", encoded(sid));
    Ok(match command {
        RulesCommand::List { filter, limit } => client.get(&query_path("/dpi/rules", filter, *limit)?)?,
        RulesCommand::Show { sid } => client.get(&path(sid))?,
        RulesCommand::Enable { sid } => client.post(&format!("{}/enable", path(sid)), &json!({}))?,
        RulesCommand::Disable { sid } => client.post(&format!("{}/disable", path(sid)), &json!({}))?,
        RulesCommand::Reload => client.post("/dpi/rules/reload", &json!({}))?,
        RulesCommand::Summary => client.get("/dpi/rules/summary")?,
        RulesCommand::Profile { command } => {
            let path = "/dpi/rules/profile";
            match command {
                ProfileCommand::Start { seconds } => client.post(path, &json!({ "seconds": seconds }))?,
                ProfileCommand::Stop => client.delete(path, &json!({}))?,
                ProfileCommand::Show { sort, limit } => {
                    client.get(&format!("{path}?sort={}&limit={limit}", encoded(sort)))?
                }
            }
        }
    })
}

/// `ctl identity`.
///
/// # Errors
///
/// What is no KEY=VALUE; no daemon, or its refusal.
pub(crate) fn identity(client: &Client, command: &IdentityCommand) -> Result<Value, Failure> {
    Ok(match command {
        IdentityCommand::List { filter, limit } => {
            client.get(&query_path("/policy/identities", filter, *limit)?)?
        }
        IdentityCommand::Assert { oidc_token_file: Some(file), user_and_addresses: addresses, .. } => {
            let token = token_in(file)?;
            client.post("/policy/identities/oidc", &json!({ "token": *token, "addresses": addresses }))?
        }
        IdentityCommand::Assert {
            oidc_token_file: None,
            user_and_addresses,
            username,
            role,
            group,
            attribute,
            expires_in,
        } => {
            let [user_id, addresses @ ..] = user_and_addresses.as_slice() else {
                return Err(without_address());
            };
            if addresses.is_empty() {
                return Err(without_address());
            }
            let mut attributes = Map::new();
            for pair in attribute {
                let (key, value) = pair.split_once('=').ok_or_else(|| {
                    Failure::line(format!(
                        "\"{pair}\" is no attribute: write KEY=VALUE, such as department=finance"
                    ))
                })?;
                let values = attributes.entry(key).or_insert_with(|| json!([]));
                if let Value::Array(values) = values {
                    values.push(value.into());
                }
            }
            let assertion = json!({
                "user_id": user_id, "addresses": addresses, "username": username, "user_role": role,
                "groups": group, "attributes": attributes, "expires_in_s": expires_in,
            });
            client.post("/policy/identities", &assertion)?
        }
        IdentityCommand::End { identity_id } => {
            client.delete(&format!("/policy/identities/{identity_id}"), &json!({}))?
        }
    })
}

fn without_address() -> Failure {
    Failure::line("an assertion needs a user and an address: write USER_ID ADDRESS, such as ann 10.1.2.3")
}

/// The first line of a file, or of standard input.
fn token_in(file: &Path) -> Result<Zeroizing<String>, Failure> {
    let named = file.display();
    let cannot = |error: std::io::Error| Failure::line(format!("cannot read the token in {named}: {error}"));
    let opened: Box<dyn Read> = match file == Path::new("-") {
        true => Box::new(std::io::stdin().lock()),
        false => Box::new(std::fs::File::open(file).map_err(cannot)?),
    };
    let mut text = Zeroizing::new(String::new());
    opened.take(TOKEN_BYTES_MAX as u64 + 2).read_to_string(&mut text).map_err(cannot)?;
    match text.lines().next().map(str::trim).filter(|line| !line.is_empty()) {
        Some(line) => Ok(Zeroizing::new(line.to_owned())),
        None => Err(Failure::line(format!("there is no token in the first line of {named}"))),
    }
}

/// `ctl hold`.
///
/// # Errors
///
/// No daemon, or its refusal.
pub(crate) fn hold(client: &Client, command: &HoldCommand) -> Result<Value, Failure> {
    let path = |name: &str| format!("/admin/holds/{name}");
    Ok(match command {
        HoldCommand::List => client.get("/admin/holds")?,
        HoldCommand::Set { name, reason, kind, from, to } => {
            let mut hold = json!({ "reason": reason, "from_s": from, "to_s": to });
            if !kind.is_empty() {
                hold["kinds"] = json!(kind);
            }
            client.put(&path(name), &hold)?
        }
        HoldCommand::Release { name } => client.delete(&path(name), &json!({}))?,
    })
}

/// `ctl webhook`.
///
/// # Errors
///
/// No daemon, or its refusal; a filter that is no KEY=VALUE.
pub(crate) fn webhook(client: &Client, command: &WebhookCommand) -> Result<Value, Failure> {
    let path = |id: &str| format!("/admin/webhooks/{id}");
    Ok(match command {
        WebhookCommand::List => client.get("/admin/webhooks")?,
        WebhookCommand::Add { url, topic, filter } => {
            let mut filters = Map::new();
            for pair in filter {
                let (key, value) = pair.split_once('=').ok_or_else(|| {
                    Failure::line(format!("\"{pair}\" is no filter: write KEY=VALUE, such as port=443"))
                })?;
                filters.insert(key.to_owned(), value.into());
            }
            client.post("/admin/webhooks", &json!({ "url": url, "topics": topic, "filter": filters }))?
        }
        WebhookCommand::Enable { webhook_id } => {
            client.patch(&path(webhook_id), &json!({ "enabled": true }))?
        }
        WebhookCommand::Disable { webhook_id } => {
            client.patch(&path(webhook_id), &json!({ "enabled": false }))?
        }
        WebhookCommand::Test { webhook_id } => {
            client.post(&format!("{}/test", path(webhook_id)), &json!({}))?
        }
        WebhookCommand::Remove { webhook_id } => client.delete(&path(webhook_id), &json!({}))?,
    })
}
