//! Who is let in, who goes, and who is not let in?
//!
//! A login is an assertion of the address that it comes from, and nothing else. Where the portal speaks in clear, passwords cross the
//! network as they are: accounts that may do something on the box are not let in then, so that nobody gets used to typing them there.

use std::sync::Arc;

use axum::extract::State;
use axum::extract::rejection::FormRejection;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::{Extension, Form};
use dataplane::identity::Key;
use dataplane::parse::Addr;
use serde::Deserialize;

use super::calls::{Desk, Visit, page};
use crate::api::problem::Problem;
use crate::services::audit::{Actor, AuditError, Entry};
use crate::services::auth::account::AccountView;
use crate::services::auth::secret::Password;
use crate::services::auth::{AuthError, Login};
use crate::services::identities::{
    Assertion, IdentityError, IdentityView, PortalOutcome, Refused, Source, Who,
};

/// What the audit calls a login, and what a logout.
const LOGIN: &str = "portal.login";
const LOGOUT: &str = "portal.logout";

/// What the audit calls it when somebody changes the own password, here as over the API.
const PASSWORD: &str = "auth.password";

/// What users are told of what is not theirs to mend; the audit and the log say more.
const NOT_NOW: &str = "Logging in does not work at the moment.";

/// What is typed in.
#[derive(Deserialize)]
pub(super) struct Entered {
    username: String,
    password: Password,
    /// Where the one before must be changed.
    #[serde(default)]
    new_password: Option<Password>,
}

/// Why somebody is not let in.
struct Denied {
    /// The name that the audit has for it.
    code: &'static str,
    status: StatusCode,
    outcome: PortalOutcome,
    told: String,
    retry_after_s: Option<u64>,
    /// What is asked for next is a new password.
    wants_new_password: bool,
}

impl Denied {
    fn new(code: &'static str, status: StatusCode, told: impl Into<String>) -> Self {
        let outcome = PortalOutcome::Refused;
        Self { code, status, outcome, told: told.into(), retry_after_s: None, wants_new_password: false }
    }

    fn unaudited(error: &AuditError) -> Self {
        tracing::debug!(%error, "nobody is let in at the portal while the audit cannot be written");
        Self::new("unaudited", StatusCode::SERVICE_UNAVAILABLE, NOT_NOW)
    }
}

impl From<AuthError> for Denied {
    fn from(error: AuthError) -> Self {
        let told = error.to_string();
        match error {
            AuthError::Credentials => Self {
                outcome: PortalOutcome::Credentials,
                ..Self::new("credentials", StatusCode::FORBIDDEN, told)
            },
            AuthError::Throttled { retry_after_s } => Self {
                outcome: PortalOutcome::Throttled,
                retry_after_s: Some(retry_after_s),
                ..Self::new("throttled", StatusCode::TOO_MANY_REQUESTS, told)
            },
            AuthError::Password(_) | AuthError::Invalid(_) => {
                Self { wants_new_password: true, ..Self::new("password", StatusCode::FORBIDDEN, told) }
            }
            AuthError::Busy => Self::new("busy", StatusCode::SERVICE_UNAVAILABLE, told),
            _ => {
                tracing::debug!(%error, "a login at the portal cannot be done");
                Self::new("unavailable", StatusCode::SERVICE_UNAVAILABLE, NOT_NOW)
            }
        }
    }
}

impl From<IdentityError> for Denied {
    fn from(error: IdentityError) -> Self {
        match error {
            IdentityError::Refused(Refused::Taken { .. }) => Self::new(
                "taken",
                StatusCode::CONFLICT,
                "Somebody else is logged in at this address; that one must log out first.",
            ),
            error => {
                tracing::debug!(%error, "a login at the portal is not taken");
                Self::new("refused", StatusCode::SERVICE_UNAVAILABLE, NOT_NOW)
            }
        }
    }
}

impl From<Problem> for Denied {
    fn from(problem: Problem) -> Self {
        Self::new("busy", StatusCode::SERVICE_UNAVAILABLE, problem.detail())
    }
}

/// `POST /portal/login`.
pub(super) async fn login(
    State(desk): State<Arc<Desk>>,
    Extension(visit): Extension<Visit>,
    entered: Result<Form<Entered>, FormRejection>,
) -> Response {
    let Form(entered) = match entered {
        Ok(entered) => entered,
        Err(rejection) => {
            desk.count(PortalOutcome::Refused);
            let url = desk.site.url(visit.portal.ip());
            return page(rejection.status(), desk.frame.told("This is not what the form sends.", &url));
        }
    };
    // Who is let in is in the audit, whether or not the client waits for the answer.
    let entering = tokio::spawn(async move {
        let entered_by = desk.services.auth().named(&entered.username);
        match enter(&desk, visit, entered).await {
            Ok(()) => {
                desk.count(PortalOutcome::Login);
                Redirect::to(&desk.site.url(visit.portal.ip())).into_response()
            }
            Err(denied) => turned_away(&desk, visit, entered_by.as_ref(), &denied),
        }
    });
    entering.await.unwrap_or_else(|_panicked| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

/// `POST /portal/logout`: ends what the portal said of the address.
pub(super) async fn logout(State(desk): State<Arc<Desk>>, Extension(visit): Extension<Visit>) -> Response {
    let known = desk.services.user_at(visit.client.ip()).filter(|view| view.source == Source::Portal);
    let Some(view) = known else { return Redirect::to(&desk.site.url(visit.portal.ip())).into_response() };
    let leaving = tokio::spawn(async move {
        let (services, id) = (Arc::clone(&desk.services), view.identity_id);
        let ended = desk.jobs.change(move || services.end_identity(id)).await;
        if let Err(denied) = ended.map_err(Denied::from).and_then(|ended| ended.map_err(Denied::from)) {
            return page(denied.status, desk.frame.told(&denied.told, &desk.site.url(visit.portal.ip())));
        }
        desk.count(PortalOutcome::Logout);
        let mut entry = entry(&desk, LOGOUT, visit, Some(view.who.user_id.clone()));
        entry.before = serde_json::to_value(&view).ok();
        // Who is out is out: that nobody can write it down brings nobody back.
        if let Err(denied) = append(&desk, entry).await {
            tracing::error!(code = denied.code, "a logout at the portal is not in the audit");
        }
        Redirect::to(&desk.site.url(visit.portal.ip())).into_response()
    });
    leaving.await.unwrap_or_else(|_panicked| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

/// Lets somebody in whose name and password are right.
async fn enter(desk: &Desk, visit: Visit, entered: Entered) -> Result<(), Denied> {
    let (services, auth) = (&desk.services, desk.services.auth());
    let (addr, now_s) = (visit.client.ip(), services.now_s());
    let login =
        || Login { username: entered.username.clone(), password: entered.password.clone(), token_form: None };
    let attempt = Entry { outcome: "attempted".to_owned(), ..entry(desk, LOGIN, visit, None) };
    services.audit().ready(attempt).await.map_err(|error| Denied::unaudited(&error))?;
    let account = auth.known_by_password(login(), addr, now_s).await?;
    if desk.site.tls_port.is_none() && !account.role.is_of_network() {
        return Err(Denied::new(
            "in_clear",
            StatusCode::FORBIDDEN,
            "Accounts that run the box do not log in here: the password crosses the network in clear.",
        ));
    }
    if let Some(new) = entered.new_password.clone() {
        let account = auth.renew_password(login(), new, addr, now_s).await?;
        let entry = entry(desk, PASSWORD, visit, Some(account.user_id.clone()));
        append(desk, Entry { actor: Some(actor(&account)), ..entry }).await?;
    } else if account.must_change_password {
        return Err(Denied {
            wants_new_password: true,
            ..Denied::new(
                "password_must_change",
                StatusCode::FORBIDDEN,
                "The password must be changed first.",
            )
        });
    }
    let view = known_from_now_on(desk, visit, &account).await?;
    let entry = entry(desk, LOGIN, visit, Some(account.username.clone()));
    append(desk, Entry { actor: Some(actor(&account)), after: serde_json::to_value(&view).ok(), ..entry })
        .await
}

/// The account's user uses the client's address.
async fn known_from_now_on(desk: &Desk, visit: Visit, account: &AccountView) -> Result<IdentityView, Denied> {
    let assertion = Assertion {
        keys: vec![Key::addr(Addr::from(visit.client.ip()))],
        who: Who {
            user_id: account.username.clone(),
            username: Some(account.username.clone()),
            user_role: Some(account.role.name().to_owned()),
            ..Who::default()
        },
        source: Source::Portal,
        expires_ns: Some(desk.services.now_ns().saturating_add(desk.session_s.saturating_mul(1_000_000_000))),
    };
    let services = Arc::clone(&desk.services);
    Ok(desk.jobs.change(move || services.assert_identity(assertion)).await??.identity)
}

/// The page that says why, and what to do.
fn turned_away(desk: &Desk, visit: Visit, named: Option<&AccountView>, denied: &Denied) -> Response {
    desk.count(denied.outcome);
    // What is typed where a name belongs may be a password: only names that there are go into the audit.
    let target = named.map_or("(no such account)".to_owned(), |account| account.username.clone());
    let entry = Entry { outcome: denied.code.to_owned(), ..entry(desk, LOGIN, visit, Some(target)) };
    desk.services.tell_listeners(&entry);
    desk.services.audit().refused(entry);
    let shown = match denied.wants_new_password {
        true => desk.frame.new_password(&denied.told),
        false => desk.frame.login(Some(&denied.told)),
    };
    let mut answer = page(denied.status, shown);
    if let Some(retry_after_s) = denied.retry_after_s {
        answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(retry_after_s));
    }
    answer
}

/// An entry of the audit about who asks.
fn entry(desk: &Desk, action: &str, visit: Visit, target: Option<String>) -> Entry {
    let entry = Entry::by_system(desk.services.now_ns(), action, target, None);
    Entry { actor: None, address: Some(visit.client.ip().to_string()), ..entry }
}

async fn append(desk: &Desk, entry: Entry) -> Result<(), Denied> {
    desk.services.tell_listeners(&entry);
    desk.services.audit().append(entry).await.map_err(|error| Denied::unaudited(&error))
}

fn actor(account: &AccountView) -> Actor {
    Actor {
        username: account.username.clone(),
        user_id: Some(account.user_id.clone()),
        role: Some(account.role.name().to_owned()),
        session_id: None,
    }
}
