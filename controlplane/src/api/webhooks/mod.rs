//! `/admin/webhooks`: who is told of events without asking?

mod courier;

pub(super) use courier::deliver;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::auth::Secret;
use super::guard::Caller;
use super::jobs::Jobs;
use super::problem::{Code, Fault, Problem};
use super::request::{JsonBody, etag, version};
use super::trail::Told;
use crate::outbound::Place;
use crate::services::Services;
use crate::services::live::{Filter, Topic};
use crate::services::webhooks::{WebhookError, WebhookView, Wish};

/// Longest URL, bytes.
const URL_BYTES_MAX: usize = 2_048;

#[derive(Serialize, ToSchema)]
pub(super) struct WebhooksView {
    webhooks: Vec<WebhookView>,
}

/// A webhook to be.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewWebhook {
    /// `https://` (TLS 1.3, authorities of the system) or `http://`.
    url: String,
    /// Of alerts, flows, protocols, traffic, policy, system.
    topics: Vec<String>,
    /// As of `GET /events`: `ip`, `port`, `event_type`, ...; all must fit.
    #[serde(default)]
    filter: BTreeMap<String, String>,
}

/// What is to be changed; what is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WebhookChange {
    #[serde(default)]
    url: Option<String>,
    #[serde(default)]
    topics: Option<Vec<String>>,
    #[serde(default)]
    filter: Option<BTreeMap<String, String>>,
    #[serde(default)]
    enabled: Option<bool>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct MadeWebhook {
    #[serde(flatten)]
    webhook: WebhookView,
    /// Shown this once: what signatures are checked with.
    secret: String,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Tried {
    /// Whether the receiver took it.
    delivered: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Addresses that events are posted to.
#[utoipa::path(
    get,
    path = "/admin/webhooks",
    tag = "admin",
    responses((status = 200, description = "All of them.", body = WebhooksView)),
)]
pub(super) async fn list(State(services): State<Arc<Services>>) -> Json<WebhooksView> {
    Json(WebhooksView { webhooks: services.webhooks().list() })
}

/// One webhook; its version is the ETag.
#[utoipa::path(
    get,
    path = "/admin/webhooks/{webhook_id}",
    tag = "admin",
    params(("webhook_id" = String, Path, description = "Which.")),
    responses((status = 200, description = "The webhook.", body = WebhookView, headers(("ETag" = String, description = "Its version.")))),
)]
pub(super) async fn show(
    State(services): State<Arc<Services>>,
    Path(webhook_id): Path<String>,
) -> Result<Response, Problem> {
    let (_hook, view) = services.webhooks().get(&webhook_id)?;
    Ok((etag(view.version), Json(view)).into_response())
}

/// Another webhook, told of what happens from now on; signed as Standard Webhooks are.
#[utoipa::path(
    post,
    path = "/admin/webhooks",
    tag = "admin",
    request_body = NewWebhook,
    responses((status = 201, description = "Made.", body = MadeWebhook, headers(("ETag" = String, description = "Its version.")))),
)]
pub(super) async fn make(
    State(services): State<Arc<Services>>,
    State(jobs): State<Arc<Jobs>>,
    caller: Caller,
    JsonBody(new): JsonBody<NewWebhook>,
) -> Result<Secret<Response>, Problem> {
    let wish = Wish {
        topics: checked(Some(&new.url), Some(&new.topics), Some(&new.filter))?,
        url: new.url,
        filter: new.filter,
        enabled: true,
    };
    let made = jobs.change(move || {
        let last_event_id = services.live().last_id();
        services.webhooks().make(wish, &caller.0.account, last_event_id, services.now_s())
    });
    let (webhook, secret) = made.await??;
    let told = Told::about(&webhook.webhook_id).after(&webhook);
    let place = HeaderValue::from_str(&format!("/admin/webhooks/{}", webhook.webhook_id));
    let made = MadeWebhook { webhook, secret: secret.to_string() };
    let mut response =
        (StatusCode::CREATED, Extension(told), etag(made.webhook.version), Json(made)).into_response();
    if let Ok(place) = place {
        response.headers_mut().insert(header::LOCATION, place);
    }
    Ok(Secret(response))
}

/// What is given changes.
#[utoipa::path(
    patch,
    path = "/admin/webhooks/{webhook_id}",
    tag = "admin",
    params(
        ("webhook_id" = String, Path, description = "Which."),
        ("If-Match" = Option<String>, Header, description = "The `ETag` that must still be it."),
    ),
    request_body = WebhookChange,
    responses((status = 200, description = "As it is now.", body = WebhookView, headers(("ETag" = String, description = "Its version.")))),
)]
pub(super) async fn change(
    State(services): State<Arc<Services>>,
    State(jobs): State<Arc<Jobs>>,
    caller: Caller,
    Path(webhook_id): Path<String>,
    headers: HeaderMap,
    JsonBody(change): JsonBody<WebhookChange>,
) -> Result<Response, Problem> {
    let expected = version(&headers)?;
    let topics = checked(change.url.as_deref(), change.topics.as_deref(), change.filter.as_ref())?;
    let topics = change.topics.is_some().then_some(topics);
    let before = services.webhooks().get(&webhook_id)?.1;
    let changed = jobs.change(move || {
        services.webhooks().change(&webhook_id, expected, caller.0.account.role, |was| Wish {
            url: change.url.unwrap_or(was.url),
            topics: topics.unwrap_or(was.topics),
            filter: change.filter.unwrap_or(was.filter),
            enabled: change.enabled.unwrap_or(was.enabled),
        })
    });
    let view = changed.await??;
    let told = Told::about(&view.webhook_id).before(&before).after(&view);
    Ok((Extension(told), etag(view.version), Json(view)).into_response())
}

/// The webhook goes.
#[utoipa::path(
    delete,
    path = "/admin/webhooks/{webhook_id}",
    tag = "admin",
    params(
        ("webhook_id" = String, Path, description = "Which."),
        ("If-Match" = Option<String>, Header, description = "The `ETag` that must still be it."),
    ),
    responses((status = 204, description = "It is told no more.")),
)]
pub(super) async fn remove(
    State(services): State<Arc<Services>>,
    State(jobs): State<Arc<Jobs>>,
    Path(webhook_id): Path<String>,
    headers: HeaderMap,
) -> Result<(StatusCode, Extension<Told>), Problem> {
    let expected = version(&headers)?;
    let removed = jobs.change(move || services.webhooks().remove(&webhook_id, expected)).await??;
    Ok((StatusCode::NO_CONTENT, Extension(Told::about(&removed.webhook_id).before(&removed))))
}

/// Posts a message without events now, and tells what came of it.
#[utoipa::path(
    post,
    path = "/admin/webhooks/{webhook_id}/test",
    tag = "admin",
    params(("webhook_id" = String, Path, description = "Which.")),
    responses((status = 200, description = "What came of it.", body = Tried)),
)]
pub(super) async fn test(
    State(services): State<Arc<Services>>,
    Path(webhook_id): Path<String>,
) -> Result<(Extension<Told>, Json<Tried>), Problem> {
    let (hook, _view) = services.webhooks().get(&webhook_id)?;
    let error = courier::try_out(&services, &hook).await.err();
    let told = Told::about(webhook_id).after(&serde_json::json!({ "delivered": error.is_none() }));
    Ok((Extension(told), Json(Tried { delivered: error.is_none(), error })))
}

/// The topics, where all that is given can be taken.
fn checked(
    url: Option<&str>,
    topics: Option<&[String]>,
    filter: Option<&BTreeMap<String, String>>,
) -> Result<Vec<Topic>, Problem> {
    let mut faults = Vec::new();
    let mut fault = |pointer: String, detail: String| {
        faults.push(Fault { pointer: Some(pointer), detail, ..Fault::default() });
    };
    if let Some(url) = url {
        if url.len() > URL_BYTES_MAX {
            fault("/url".to_owned(), format!("is longer than {URL_BYTES_MAX} bytes"));
        } else if let Err(why) = Place::of(url) {
            fault("/url".to_owned(), why);
        }
    }
    let mut read = Vec::new();
    for (index, name) in topics.unwrap_or_default().iter().enumerate() {
        match name.parse::<Topic>() {
            Ok(topic) if !read.contains(&topic) => read.push(topic),
            Ok(_twice) => {}
            Err(_none) => fault(
                format!("/topics/{index}"),
                format!("`{name}` is no topic; one of {} is", courier::topics()),
            ),
        }
    }
    if topics.is_some_and(<[String]>::is_empty) {
        fault("/topics".to_owned(), format!("is empty; one of {} is wanted", courier::topics()));
    }
    for (key, value) in filter.into_iter().flatten() {
        if !Filter::KEYS.contains(&key.as_str()) {
            fault(format!("/filter/{key}"), format!("is no filter; one of {} is", Filter::KEYS.join(", ")));
        } else if Filter::default().set(key, value).is_none() {
            fault(format!("/filter/{key}"), "has a value that it cannot have".to_owned());
        }
    }
    if faults.is_empty() {
        return Ok(read);
    }
    Err(Problem::new(Code::InvalidBody, "The webhook has faults; nothing was changed.").with_faults(faults))
}

impl From<WebhookError> for Problem {
    fn from(error: WebhookError) -> Self {
        let detail = error.to_string();
        let code = match error {
            WebhookError::Unknown(_) => Code::NotFound,
            WebhookError::Full => Code::Full,
            WebhookError::Stale { .. } => Code::Stale,
            WebhookError::Forbidden(_) => Code::Forbidden,
            WebhookError::Store(error) => return Self::of_store(&error, detail),
            WebhookError::Key(_) => Code::Internal,
        };
        Self::new(code, detail)
    }
}
