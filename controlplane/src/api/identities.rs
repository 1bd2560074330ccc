//! `/policy/identities`: who is where?

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use dataplane::identity::Key;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::jobs::Jobs;
use super::policy::load_problem;
use super::problem::{Code, Fault, Problem};
use super::request::{JsonBody, Page, Parameters};
use super::trail::Told;
use crate::services::Services;
use crate::services::identities::{
    Assertion, IdentityError, IdentityQuestion, IdentityView, KEYS_MAX, LIST_MAX, NAME_CHARS_MAX, Refused,
    Source, VALUE_CHARS_MAX, Who,
};

/// The longest time for which somebody can be asserted, seconds: a year.
const EXPIRES_S_MAX: u64 = 366 * 24 * 3_600;

/// That somebody is somewhere.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewIdentity {
    /// Where: addresses, networks (`10.1.0.0/16`), Ethernet addresses.
    #[schema(min_items = 1, max_items = 64)]
    addresses: Vec<String>,
    /// By which policies mean the user.
    #[schema(min_length = 1, max_length = 128)]
    user_id: String,
    /// What people call the user.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 128)]
    username: Option<String>,
    /// What the user is for, as policies say `user_role`.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 128)]
    user_role: Option<String>,
    /// Groups that the user is in.
    #[serde(default)]
    #[schema(max_items = 64)]
    groups: Vec<String>,
    /// What else is known: each name with its value, or its values.
    #[serde(default)]
    attributes: BTreeMap<String, Values>,
    /// For how long, seconds; until it is ended where left out.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 31_622_400)]
    expires_in_s: Option<u64>,
}

/// One value, or several.
#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
pub(super) enum Values {
    /// One.
    One(String),
    /// Several.
    Several(Vec<String>),
}

/// What came of an assertion.
#[derive(Serialize, ToSchema)]
pub(super) struct Asserted {
    #[serde(flatten)]
    identity: IdentityView,
    /// Assertions that it ended: those that the same source made of the same addresses.
    ended: Vec<u64>,
    /// How long it took until every worker went by it, microseconds; null: one did not within two seconds.
    in_force_us: Option<u64>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct IdentitiesView {
    /// How many live in all.
    total: usize,
    identities: Vec<IdentityView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// Who is where, in the order in which it was said.
#[utoipa::path(
    get,
    path = "/policy/identities",
    tag = "policy",
    params(
        ("user_id" = Option<String>, Query, description = "Of this user."),
        ("address" = Option<String>, Query, description = "About exactly this address, network or Ethernet address."),
        ("limit" = Option<u32>, Query, description = "Wanted, 1 to 1000; 100 where left out."),
        ("cursor" = Option<String>, Query, description = "The `next_cursor` of the page before."),
    ),
    responses((status = 200, description = "A page.", body = IdentitiesView)),
)]
pub(super) async fn list(
    State(services): State<Arc<Services>>,
    State(jobs): State<Arc<Jobs>>,
    mut parameters: Parameters,
) -> Result<Json<IdentitiesView>, Problem> {
    let page = Page::take(&mut parameters, |text| text.parse().ok().filter(|id| *id < u64::MAX));
    let question = IdentityQuestion {
        user_id: parameters.take("user_id", "a user's id", |text| Some(text.to_owned())),
        address: parameters
            .take("address", "an address, a network or an Ethernet address", |text| text.parse().ok()),
        after: page.cursor.unwrap_or(0),
        limit: page.limit,
    };
    parameters.finish()?;
    let view = jobs.read(move || {
        let (identities, has_more) = services.identities(&question);
        let last = identities.last().filter(|_| has_more);
        let next_cursor = last.map(|last| last.identity_id.to_string());
        IdentitiesView { total: services.identities_live(), next_cursor, identities }
    });
    Ok(Json(view.await?))
}

/// One assertion.
#[utoipa::path(
    get,
    path = "/policy/identities/{identity_id}",
    tag = "policy",
    params(("identity_id" = u64, Path, description = "Which.")),
    responses((status = 200, description = "The assertion.", body = IdentityView)),
)]
pub(super) async fn show(
    State(services): State<Arc<Services>>,
    State(jobs): State<Arc<Jobs>>,
    Path(identity_id): Path<String>,
) -> Result<Json<IdentityView>, Problem> {
    let id = number(&identity_id)?;
    let found = jobs.read(move || services.identity(id)).await?;
    Ok(Json(found.ok_or(IdentityError::Unknown(id))?))
}

/// Says that somebody is somewhere: flows of those addresses are judged anew, those that are there already included.
///
/// What this source said before of the same addresses is over (see `identity.several` of the configuration). Saying the same again
/// renews it.
#[utoipa::path(
    post,
    path = "/policy/identities",
    tag = "policy",
    request_body = NewIdentity,
    responses((status = 201, description = "It holds.", body = Asserted)),
)]
pub(super) async fn assert(
    State(services): State<Arc<Services>>,
    State(jobs): State<Arc<Jobs>>,
    JsonBody(new): JsonBody<NewIdentity>,
) -> Result<Response, Problem> {
    let assertion = checked(new, services.now_ns())?;
    put_in_force(services, &jobs, assertion).await
}

/// Takes an assertion; what holds then.
pub(super) async fn put_in_force(
    services: Arc<Services>,
    jobs: &Jobs,
    assertion: Assertion,
) -> Result<Response, Problem> {
    let done = jobs.change(move || services.assert_identity(assertion)).await??;
    let told = Told::about(done.identity.identity_id.to_string()).after(&done.identity);
    let body = Asserted { identity: done.identity, ended: done.ended, in_force_us: done.in_force_us };
    Ok((StatusCode::CREATED, Extension(told), Json(body)).into_response())
}

/// Ends an assertion: flows of its addresses are judged anew.
#[utoipa::path(
    delete,
    path = "/policy/identities/{identity_id}",
    tag = "policy",
    params(("identity_id" = u64, Path, description = "Which.")),
    responses((status = 200, description = "It is over.", body = Asserted)),
)]
pub(super) async fn end(
    State(services): State<Arc<Services>>,
    State(jobs): State<Arc<Jobs>>,
    Path(identity_id): Path<String>,
) -> Result<(Extension<Told>, Json<Asserted>), Problem> {
    let id = number(&identity_id)?;
    let done = jobs.change(move || services.end_identity(id)).await??;
    let told = Told::about(id.to_string()).before(&done.identity);
    let body = Asserted { identity: done.identity, ended: done.ended, in_force_us: done.in_force_us };
    Ok((Extension(told), Json(body)))
}

fn number(text: &str) -> Result<u64, Problem> {
    let id = text.parse().ok().filter(|id| *id != 0);
    id.ok_or_else(|| Problem::new(Code::NotFound, format!("There is no assertion `{text}`.")))
}

/// Where somebody is; what is wrong is added to the faults.
pub(super) fn keys_of(addresses: &[String], faults: &mut Vec<Fault>) -> Vec<Key> {
    let mut fault = |pointer: String, detail: String| {
        faults.push(Fault { pointer: Some(pointer), detail, ..Fault::default() });
    };
    let mut keys = Vec::new();
    for (index, text) in addresses.iter().enumerate() {
        match text.parse::<Key>() {
            Ok(key) if keys.contains(&key) => {
                fault(format!("/addresses/{index}"), "is there twice".to_owned())
            }
            Ok(key) => keys.push(key),
            Err(error) => fault(format!("/addresses/{index}"), error.to_string()),
        }
    }
    if !(1..=KEYS_MAX).contains(&addresses.len()) {
        fault("/addresses".to_owned(), format!("has {} entries; 1 to {KEYS_MAX} are taken", addresses.len()));
    }
    keys
}

/// What is asserted, where all of it can be.
fn checked(new: NewIdentity, now_ns: u64) -> Result<Assertion, Problem> {
    let mut faults = Vec::new();
    let keys = keys_of(&new.addresses, &mut faults);
    let mut fault = |pointer: String, detail: String| {
        faults.push(Fault { pointer: Some(pointer), detail, ..Fault::default() });
    };
    let attributes: BTreeMap<String, Vec<String>> = new
        .attributes
        .into_iter()
        .map(|(key, values)| {
            let values = match values {
                Values::One(value) => vec![value],
                Values::Several(values) => values,
            };
            (key, values)
        })
        .collect();
    let who = Who {
        user_id: new.user_id,
        username: new.username,
        user_role: new.user_role,
        groups: new.groups,
        attributes,
    };
    let mut text = |pointer: String, text: &str, most: usize| {
        if !(1..=most).contains(&text.chars().count()) || text.contains(char::is_control) {
            fault(pointer, format!("is a line of 1 to {most} characters"));
        }
    };
    text("/user_id".to_owned(), &who.user_id, NAME_CHARS_MAX);
    for (pointer, name) in [("/username", &who.username), ("/user_role", &who.user_role)] {
        name.iter().for_each(|name| text(pointer.to_owned(), name, NAME_CHARS_MAX));
    }
    for (index, group) in who.groups.iter().enumerate().take(LIST_MAX) {
        text(format!("/groups/{index}"), group, NAME_CHARS_MAX);
    }
    for (key, values) in who.attributes.iter().take(LIST_MAX) {
        text("/attributes".to_owned(), key, NAME_CHARS_MAX);
        values.iter().take(LIST_MAX).for_each(|value| text("/attributes".to_owned(), value, VALUE_CHARS_MAX));
    }
    if who.groups.len() > LIST_MAX {
        fault("/groups".to_owned(), format!("has {} entries; {LIST_MAX} are taken", who.groups.len()));
    }
    if who.attributes.len() > LIST_MAX || who.attributes.values().any(|values| values.len() > LIST_MAX) {
        fault(
            "/attributes".to_owned(),
            format!("{LIST_MAX} attributes with {LIST_MAX} values each are taken"),
        );
    }
    if new.expires_in_s.is_some_and(|s| !(1..=EXPIRES_S_MAX).contains(&s)) {
        fault("/expires_in_s".to_owned(), format!("is a number from 1 to {EXPIRES_S_MAX}"));
    }
    if !faults.is_empty() {
        let detail = "The assertion has faults; nothing was changed.";
        return Err(Problem::new(Code::InvalidBody, detail).with_faults(faults));
    }
    let expires_ns = new.expires_in_s.map(|s| now_ns.saturating_add(s * 1_000_000_000));
    Ok(Assertion { keys, who, source: Source::Api, expires_ns })
}

impl From<IdentityError> for Problem {
    fn from(error: IdentityError) -> Self {
        let detail = error.to_string();
        let code = match error {
            IdentityError::Unknown(_) => Code::NotFound,
            IdentityError::Refused(Refused::Taken { .. }) => Code::Exists,
            IdentityError::Refused(Refused::Full) | IdentityError::Names | IdentityError::Leases => {
                Code::Full
            }
            IdentityError::Nobodys { .. } => Code::InvalidBody,
            IdentityError::Policies(error) => return load_problem(error),
        };
        Self::new(code, detail)
    }
}
