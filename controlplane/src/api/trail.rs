//! What does a call leave in the audit?
//!
//! Wraps every call that [`super::permits`] says is audited, so that no handler can forget it: handlers only add what was
//! before and what is after, as a [`Told`] in their answer. A change goes on to its end and to its entry whether or not its
//! client waits.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;

use super::idempotency::Replayed;
use super::permits::{self, Audited};
use super::problem::{Code, Problem};
use crate::services::Services;
use crate::services::audit::{Actor, AuditError, Entry};
use crate::services::auth::Identity;
use crate::services::policies::PolicyChange;

/// What a handler tells of a change. Secrets never.
#[derive(Debug, Clone, Default)]
pub(super) struct Told {
    /// To what; left out: the path.
    pub target: Option<String>,
    /// Who, where the call itself finds out.
    pub actor: Option<Actor>,
    pub before: Option<Value>,
    pub after: Option<Value>,
    /// What waits to be confirmed since: an entry of its own.
    pub armed: Option<Value>,
}

impl Told {
    /// About `target`.
    pub(super) fn about(target: impl Into<String>) -> Self {
        Self { target: Some(target.into()), ..Self::default() }
    }

    pub(super) fn before(mut self, value: &impl Serialize) -> Self {
        self.before = serde_json::to_value(value).ok();
        self
    }

    pub(super) fn after(mut self, value: &impl Serialize) -> Self {
        self.after = serde_json::to_value(value).ok();
        self
    }

    /// What of a change of the policies waits to be confirmed.
    pub(super) fn arming(mut self, change: &PolicyChange) -> Self {
        let commit = change.commit.as_ref().filter(|_| change.changed);
        self.armed = commit.and_then(|commit| serde_json::to_value(commit).ok());
        self
    }
}

/// What will be told of a call.
pub(super) struct Trail {
    services: Arc<Services>,
    audited: Audited,
    entry: Entry,
    /// Whether somebody known asks.
    is_known: bool,
}

impl Trail {
    pub(super) fn of(
        services: &Arc<Services>,
        request: &Request,
        request_id: &str,
        address: Option<String>,
        admitted: Result<&Option<Identity>, &Problem>,
    ) -> Self {
        let matched = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
        let audited = matched.map_or(Audited::No, |path| permits::audited(request.method(), path));
        let action = match audited {
            Audited::No => "",
            Audited::As(action) | Audited::Refusals(action) => action,
        };
        let identity = admitted.ok().and_then(Option::as_ref);
        let target = Some(request.uri().path().to_owned());
        let entry = Entry {
            actor: identity.map(Actor::of),
            address,
            request_id: Some(request_id.to_owned()),
            ..Entry::by_system(services.now_ns(), action, target, None)
        };
        Self { services: Arc::clone(services), audited, entry, is_known: identity.is_some() }
    }

    /// The answer to a call that reaches no handler.
    pub(super) fn refused(self, problem: Problem) -> Response {
        let response = problem.into_response();
        if self.audited != Audited::No {
            let entry = told(self.entry, &response);
            self.services.tell_listeners(&entry);
            self.services.audit().refused(entry);
        }
        response
    }

    /// Runs the call and tells of it.
    pub(super) async fn around(self, request: Request, next: Next) -> Response {
        if self.audited == Audited::No {
            return next.run(request).await;
        }
        // Whoever logs in and goes away has no token: no session that anybody uses is left out.
        if !self.is_known {
            return self.run(request, next).await;
        }
        let running = tokio::spawn(self.run(request, next));
        running.await.unwrap_or_else(|_panicked| {
            Problem::new(Code::Internal, "The call ended without an answer.").into_response()
        })
    }

    async fn run(self, request: Request, next: Next) -> Response {
        let services = Arc::clone(&self.services);
        let audit = Arc::clone(self.services.audit());
        if let Audited::As(_) = self.audited {
            let attempt = Entry { outcome: "attempted".to_owned(), ..self.entry.clone() };
            if let Err(error) = audit.ready(attempt).await {
                return unwritten(&error, format!("Nothing was changed: {error}.")).into_response();
            }
        }
        let response = next.run(request).await;
        let is_done = response.status().is_success();
        let entry = told(self.entry, &response);
        let armed = response.extensions().get::<Told>().and_then(|told| told.armed.clone());
        services.tell_listeners(&entry);
        match self.audited {
            // It was audited the first time.
            _ if response.extensions().get::<Replayed>().is_some() => response,
            Audited::As(_) if is_done => match append(&services, entry, armed).await {
                Ok(()) => response,
                Err(error) => {
                    tracing::error!(%error, "a change was made that the audit does not tell of");
                    Problem::new(Code::Unaudited, format!("It was changed, but {error}.")).into_response()
                }
            },
            Audited::As(_) | Audited::Refusals(_) if !is_done => {
                audit.refused(entry);
                response
            }
            Audited::No | Audited::As(_) | Audited::Refusals(_) => response,
        }
    }
}

/// Keeps the entry of what was done, and one more where it waits to be confirmed.
async fn append(services: &Services, entry: Entry, armed: Option<Value>) -> Result<(), AuditError> {
    let armed = armed.map(|armed| Entry {
        action: "policy.arm".to_owned(),
        target: Some("policy".to_owned()),
        before: None,
        after: Some(armed),
        ..entry.clone()
    });
    services.audit().append(entry).await?;
    if let Some(armed) = armed {
        services.tell_listeners(&armed);
        services.audit().append(armed).await?;
    }
    Ok(())
}

/// The entry with what the answer tells.
fn told(mut entry: Entry, response: &Response) -> Entry {
    if let Some(told) = response.extensions().get::<Told>().cloned() {
        entry.target = told.target.or(entry.target);
        entry.actor = told.actor.or(entry.actor);
        (entry.before, entry.after) = (told.before, told.after);
    }
    if !response.status().is_success() {
        let code = response.extensions().get::<Code>().map(|code| code.as_str());
        entry.outcome = code.unwrap_or("refused").to_owned();
    }
    entry
}

fn unwritten(error: &AuditError, detail: String) -> Problem {
    match error {
        AuditError::Store(error) => Problem::of_store(error, detail),
        AuditError::Busy => Problem::new(Code::Busy, detail),
    }
}
