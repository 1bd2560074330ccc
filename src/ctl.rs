//! How does an operator ask a running daemon? `jarvis ctl`, a client of the API over the Unix socket.
//!
//! Each subcommand is one call; its answer is printed as tables and lines for people ([`crate::table`]), with `--json` as the API
//! gave it, indented. Texts that are files already (policies that are exported, completions) are printed as they are.

use crate::cli::{
    AdminCommand, BlockCommand, ConfigFlag, Ctl, CtlCommand, DpiCommand, OnOff, PolicyCommand, Token,
};
use crate::config::{PortFlags, Ports};
use crate::failure::Failure;
use crate::{backup, policy, setup, support, table, users, work};
use controlplane::client::{Client, Method};
use serde_json::{Value, json};
use std::path::PathBuf;

/// Runs `jarvis ctl`; the answer, unless it was printed as it came.
///
/// # Errors
///
/// No daemon, or its refusal with every fault.
pub(crate) fn run(typed: &Ctl) -> Result<Option<String>, Failure> {
    let client = client(typed.socket.as_ref(), &typed.config)?;
    let answer = match &typed.command {
        CtlCommand::Status => client.get("/telemetry")?,
        CtlCommand::Telemetry { part, filter } => {
            let path = with_filter(format!("/telemetry/{}?", part.path()), filter)?;
            client.get(&path.replacen("?&", "?", 1))?
        }
        CtlCommand::Admin { command } => match command {
            AdminCommand::Config => client.get("/admin/config")?,
            AdminCommand::Reload => client.post("/admin/reload", &json!({}))?,
            AdminCommand::LogLevel { level: None, .. } => client.get("/admin/log-level")?,
            AdminCommand::LogLevel { level: Some(level), for_s } => {
                let body = json!({ "level": level, "for_s": for_s }).to_string();
                client.send(&Method::PUT, "/admin/log-level", body.into_bytes())?
            }
            AdminCommand::Drain { state } => {
                client.post("/admin/drain", &json!({ "on": *state == OnOff::On }))?
            }
        },
        CtlCommand::Flows { filter, limit } => client.get(&query_path("/dpi/flows", filter, *limit)?)?,
        CtlCommand::EndFlow { flow_id } => client.delete(&format!("/dpi/flows/{flow_id}"), &json!({}))?,
        CtlCommand::Policy { command: PolicyCommand::Export { version } } => {
            return policy::export(&client, *version).map(Some);
        }
        CtlCommand::Policy { command } => policy::run(&client, command)?,
        CtlCommand::Block { command } => match command {
            BlockCommand::List => client.get("/admin/block")?,
            BlockCommand::Add { prefixes } => {
                client.post("/admin/block", &json!({ "prefixes": prefixes }))?
            }
            BlockCommand::Remove { prefixes } => {
                client.delete("/admin/block", &json!({ "prefixes": prefixes }))?
            }
        },
        CtlCommand::User { command } => users::run(&client, command)?,
        CtlCommand::Bypass { state } => {
            client.post("/admin/bypass", &json!({ "on": *state == OnOff::On }))?
        }
        CtlCommand::Audit { filter, limit } => client.get(&query_path("/audit", filter, *limit)?)?,
        CtlCommand::Events { topics, filter, follow, since } => {
            return crate::events::run(&client, topics, filter, *follow, *since);
        }
        CtlCommand::Backup { out, passphrase_file, recipient } => {
            backup::run(&client, out, passphrase_file.as_deref(), recipient.as_deref())?
        }
        CtlCommand::SupportBundle { out, with_policies, log } => {
            support::bundle(&client, &typed.config, out, *with_policies, log.as_deref())?
        }
        CtlCommand::Classify { capture } => work::classify(&client, capture)?,
        CtlCommand::Jobs { job_id: None, .. } => client.get("/jobs")?,
        CtlCommand::Jobs { job_id: Some(id), cancel: false } => client.get(&format!("/jobs/{id}"))?,
        CtlCommand::Jobs { job_id: Some(id), cancel: true } => {
            client.delete(&format!("/jobs/{id}"), &json!({}))?
        }
        CtlCommand::Explain { flow_id, tried } => {
            client.get(&format!("/policy/explain?flow={flow_id}&tried={tried}"))?
        }
        CtlCommand::Identity { command } => work::identity(&client, command)?,
        CtlCommand::Hold { command } => work::hold(&client, command)?,
        CtlCommand::Webhook { command } => work::webhook(&client, command)?,
        CtlCommand::Dpi { command: DpiCommand::Rules { command } } => work::rules(&client, command)?,
        CtlCommand::Get { path } => client.get(path)?,
    };
    Ok(Some(if typed.json {
        serde_json::to_string_pretty(&answer).unwrap_or_else(|_| answer.to_string())
    } else {
        table::render(&answer)
    }))
}

/// Runs `jarvis token`; the token alone, so that a script can take it.
///
/// # Errors
///
/// No daemon, or its refusal.
pub(crate) fn token(typed: &Token) -> Result<String, Failure> {
    let answer = users::token(&client(typed.socket.as_ref(), &typed.config)?, &typed.token)?;
    let token = answer["access_token"].as_str().map(str::to_owned);
    token.ok_or_else(|| Failure::line("the daemon gave no token; is it of another version?".to_owned()))
}

/// The socket named on the command line, else by the configuration, else where the embedded configuration puts it.
///
/// # Errors
///
/// Everything that is wrong with the configuration.
pub(crate) fn client(socket: Option<&PathBuf>, config: &ConfigFlag) -> Result<Client, Failure> {
    Ok(Client::new(match socket {
        Some(socket) => socket.clone(),
        None => setup::read_config(config, &PortFlags::default(), Ports::Optional)?.api.socket,
    }))
}

pub(crate) fn query_path(path: &str, filter: &[String], limit: u32) -> Result<String, Failure> {
    with_filter(format!("{path}?limit={limit}"), filter)
}

/// A path that has a query, with more of it.
///
/// # Errors
///
/// One sentence for what is no KEY=VALUE.
pub(crate) fn with_filter(mut path: String, filter: &[String]) -> Result<String, Failure> {
    for pair in filter {
        let (key, value) = pair.split_once('=').ok_or_else(|| {
            Failure::line(format!("\"{pair}\" is no filter: write KEY=VALUE, such as port=443"))
        })?;
        path.push('&');
        path.push_str(&encoded(key));
        path.push('=');
        path.push_str(&encoded(value));
    }
    Ok(path)
}

/// A part of a path or query, so that no character of it is special.
pub(crate) fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b':' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

pub(crate) fn read_json(path: &std::path::Path) -> Result<Value, Failure> {
    let name = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::line(format!("cannot read {name}: {error}")))?;
    serde_json::from_str(&text)
        .map_err(|error| Failure::line(format!("{name}:{}: not valid JSON: {error}", error.line())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_become_a_query() {
        let filter = ["ip=10.0.0.0/8".to_owned(), "state=established".to_owned()];
        assert_eq!(
            query_path("/dpi/flows", &filter, 5).unwrap(),
            "/dpi/flows?limit=5&ip=10.0.0.0%2F8&state=established"
        );
        assert_eq!(query_path("/audit", &["x&y=1".to_owned()], 1).unwrap(), "/audit?limit=1&x%26y=1");
        assert!(query_path("/dpi/flows", &["port".to_owned()], 5).is_err());
    }
}
