//! How does an operator see to accounts? `jarvis ctl user`, and `jarvis token`.
//!
//! Accounts are named by their names; the API knows them by their ids.

use crate::cli::{TokenArgs, UserCommand};
use crate::failure::Failure;
use controlplane::client::Client;
use serde_json::{Value, json};
use std::io::BufRead;

/// One of `jarvis ctl user`; the answer.
///
/// # Errors
///
/// No daemon, or its refusal.
pub(crate) fn run(client: &Client, command: &UserCommand) -> Result<Value, Failure> {
    Ok(match command {
        UserCommand::List => client.get("/admin/users")?,
        UserCommand::Roles => client.get("/admin/roles")?,
        UserCommand::Add { username, role, password_stdin } => {
            let mut account = json!({ "username": username, "role": role.name() });
            if *password_stdin {
                account["password"] = read_password()?.into();
            }
            client.post("/admin/users", &account)?
        }
        UserCommand::Change { username, role, enable, disable } => {
            let mut change = json!({});
            if let Some(role) = role {
                change["role"] = role.name().into();
            }
            if *enable || *disable {
                change["enabled"] = (*enable).into();
            }
            client.patch(&path_of(client, username)?, &change)?
        }
        UserCommand::ResetPassword { username, password_stdin } => {
            let change = if *password_stdin {
                json!({ "password": read_password()? })
            } else {
                json!({ "reset_password": true })
            };
            client.patch(&path_of(client, username)?, &change)?
        }
        UserCommand::Remove { username } => client.delete(&path_of(client, username)?, &json!({}))?,
        UserCommand::Sessions => client.get("/admin/sessions")?,
        UserCommand::EndSession { session_id } => {
            client.delete(&format!("/admin/sessions/{session_id}"), &json!({}))?
        }
        UserCommand::Token(typed) => token(client, typed)?,
    })
}

/// A token for a program, as the API tells of it.
///
/// # Errors
///
/// No daemon, or its refusal.
pub(crate) fn token(client: &Client, typed: &TokenArgs) -> Result<Value, Failure> {
    let mut wanted = json!({ "purpose": typed.purpose, "ttl_s": typed.ttl_s });
    if typed.reference {
        wanted["token_form"] = "reference".into();
    }
    let path = format!("{}/tokens", path_of(client, &typed.username)?);
    Ok(client.post(&path, &wanted)?)
}

fn path_of(client: &Client, username: &str) -> Result<String, Failure> {
    let known = client.get("/admin/users")?;
    let users = known["users"].as_array().map(Vec::as_slice).unwrap_or_default();
    let wanted = username.to_lowercase();
    let found =
        users.iter().find(|user| user["username"].as_str().is_some_and(|name| name.to_lowercase() == wanted));
    let id = found.and_then(|user| user["user_id"].as_str());
    id.map(|id| format!("/admin/users/{id}")).ok_or_else(|| {
        Failure::line(format!(
            "there is no account `{username}`; `jarvis ctl user list` shows those there are"
        ))
    })
}

/// One line of the standard input: a password on the command line would be in the list of processes.
fn read_password() -> Result<String, Failure> {
    let mut line = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut line)
        .map_err(|error| Failure::line(format!("cannot read the password: {error}")))?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
