//! `/policy/{policy_id}`, `/policy/order`, `/policy/import`, `/policy/export`: one policy, or a few, of the set in force.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::jobs::Jobs;
use super::policy::{ChangeView, Changed, edit_problem};
use super::policy_asked::Asked;
use super::policy_schema::{PolicyDocument, PolicySetDocument};
use super::problem::{Code, Fault, Problem};
use super::request::{JsonBody, Parameters, RawBody, etag};
use super::trail::Told;
use crate::services::policy_edit::{EditError, Edited, Expected, ImportMode, ImportTold, PolicyText};
use crate::services::{Author, Services};

/// What an edit of one policy answers.
#[derive(Serialize, ToSchema)]
pub(super) struct EditedView {
    #[serde(flatten)]
    change: ChangeView,
    /// As it is written from now on; left out where it is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<PolicyDocument>)]
    policy: Option<Box<RawValue>>,
}

fn tagged(tag: &str) -> [(HeaderName, String); 1] {
    [(header::ETAG, format!("\"{tag}\""))]
}

/// One policy as it is written.
#[utoipa::path(
    get,
    path = "/policy/{policy_id}",
    tag = "policy",
    params(
        ("policy_id" = String, Path, description = "Its id."),
    ),
    responses((status = 200, description = "The policy; changed, it can be given to `PUT`.", body = PolicyDocument)),
)]
pub(super) async fn show(
    State(services): State<Arc<Services>>,
    State(jobs): State<Arc<Jobs>>,
    Path(policy_id): Path<String>,
) -> Result<([(HeaderName, String); 1], Json<Box<RawValue>>), Problem> {
    let found = jobs.read(move || services.policy_text(&policy_id)).await?;
    let PolicyText { text, tag } = found.map_err(edit_problem)?;
    Ok((tagged(&tag), Json(text)))
}

/// Another policy.
#[utoipa::path(
    post,
    path = "/policy",
    tag = "policy",
    params(
        ("reason" = Option<String>, Query, description = "Why, for the list of versions; at most 500 characters."),
        ("confirm_s" = Option<u32>, Query, description = "Within so many seconds, 5 to 86400, somebody must confirm, or the set before returns."),
        ("force" = Option<bool>, Query, description = "Also where the caller would be cut off from this API."),
        ("If-Match" = Option<String>, Header, description = "The `ETag` that the change is based on."),
    ),
    request_body = PolicyDocument,
    responses((status = 201, description = "In force.", body = EditedView)),
)]
pub(super) async fn make(
    State(services): State<Arc<Services>>,
    State(jobs): State<Arc<Jobs>>,
    asked: Asked,
    RawBody(bytes): RawBody,
) -> Result<Response, Problem> {
    let edited = asked.run(services, &jobs, move |services, author, expected| {
        services.make_policy(&bytes, author, expected)
    });
    edited.await.map(|edited| answer(None, edited))
}

/// This policy in the place of the one with its id, or as another one.
#[utoipa::path(
    put,
    path = "/policy/{policy_id}",
    tag = "policy",
    params(
        ("policy_id" = String, Path, description = "Its id."),
        ("reason" = Option<String>, Query, description = "Why, for the list of versions; at most 500 characters."),
        ("confirm_s" = Option<u32>, Query, description = "Within so many seconds, 5 to 86400, somebody must confirm, or the set before returns."),
        ("force" = Option<bool>, Query, description = "Also where the caller would be cut off from this API."),
        ("If-Match" = Option<String>, Header, description = "The `ETag` that the change is based on."),
        ("If-None-Match" = Option<String>, Header, description = "`*`: only as another one."),
    ),
    request_body = PolicyDocument,
    responses(
        (status = 200, description = "In force.", body = EditedView),
        (status = 201, description = "Another one, in force.", body = EditedView)
    ),
)]
pub(super) async fn put(
    State(services): State<Arc<Services>>,
    State(jobs): State<Arc<Jobs>>,
    Path(policy_id): Path<String>,
    asked: Asked,
    RawBody(bytes): RawBody,
) -> Result<Response, Problem> {
    let id = policy_id.clone();
    let edited = asked.run(services, &jobs, move |services, author, expected| {
        services.put_policy(&id, &bytes, author, expected)
    });
    edited.await.map(|edited| answer(Some(policy_id), edited))
}

/// Changes what is given of a policy: a JSON merge patch (RFC 7396).
#[utoipa::path(
    patch,
    path = "/policy/{policy_id}",
    tag = "policy",
    params(
        ("policy_id" = String, Path, description = "Its id."),
        ("reason" = Option<String>, Query, description = "Why, for the list of versions; at most 500 characters."),
        ("confirm_s" = Option<u32>, Query, description = "Within so many seconds, 5 to 86400, somebody must confirm, or the set before returns."),
        ("force" = Option<bool>, Query, description = "Also where the caller would be cut off from this API."),
        ("If-Match" = Option<String>, Header, description = "The `ETag` that the change is based on."),
    ),
    request_body = inline(serde_json::Value),
    responses((status = 200, description = "In force.", body = EditedView)),
)]
pub(super) async fn patch(
    State(services): State<Arc<Services>>,
    State(jobs): State<Arc<Jobs>>,
    Path(policy_id): Path<String>,
    asked: Asked,
    RawBody(bytes): RawBody,
) -> Result<Response, Problem> {
    let id = policy_id.clone();
    let edited = asked.run(services, &jobs, move |services, author, expected| {
        services.patch_policy(&id, &bytes, author, expected)
    });
    edited.await.map(|edited| answer(Some(policy_id), edited))
}

/// The policy goes.
#[utoipa::path(
    delete,
    path = "/policy/{policy_id}",
    tag = "policy",
    params(
        ("policy_id" = String, Path, description = "Its id."),
        ("reason" = Option<String>, Query, description = "Why, for the list of versions; at most 500 characters."),
        ("confirm_s" = Option<u32>, Query, description = "Within so many seconds, 5 to 86400, somebody must confirm, or the set before returns."),
        ("force" = Option<bool>, Query, description = "Also where the caller would be cut off from this API."),
        ("If-Match" = Option<String>, Header, description = "The `ETag` that the change is based on."),
    ),
    responses((status = 200, description = "It is gone.", body = EditedView)),
)]
pub(super) async fn remove(
    State(services): State<Arc<Services>>,
    State(jobs): State<Arc<Jobs>>,
    Path(policy_id): Path<String>,
    asked: Asked,
) -> Result<Response, Problem> {
    let id = policy_id.clone();
    let edited = asked.run(services, &jobs, move |services, author, expected| {
        services.remove_policy(&id, author, expected)
    });
    edited.await.map(|edited| answer(Some(policy_id), edited))
}

impl Asked {
    async fn run<T: Send + 'static>(
        self,
        services: Arc<Services>,
        jobs: &Jobs,
        edit: impl FnOnce(&Services, &Author, &Expected) -> Result<T, EditError> + Send + 'static,
    ) -> Result<T, Problem> {
        let (author, expected) = self.finish()?;
        jobs.change(move || edit(&services, &author, &expected)).await?.map_err(edit_problem)
    }
}

/// The answer, and what the audit is told; a policy that there was not before has a place of its own.
fn answer(policy_id: Option<String>, edited: Edited) -> Response {
    let Edited { change, before, after, tag } = edited;
    let policy_id = policy_id.or_else(|| id_of(after.as_deref()?)).unwrap_or_default();
    let is_new = before.is_none() && change.changed;
    let mut told = Told::about(policy_id.as_str());
    (told.before, told.after) = (before.as_deref().and_then(value), after.as_deref().and_then(value));
    told = told.arming(&change);
    let view = EditedView { change: change.into(), policy: after };
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    let mut response = (status, Extension(told), Json(view)).into_response();
    let place =
        is_new.then(|| HeaderValue::from_str(&format!("/policy/{}", percent_encoded(&policy_id))).ok());
    if let Some(place) = place.flatten() {
        response.headers_mut().insert(header::LOCATION, place);
    }
    if let Some(tag) = tag.and_then(|tag| HeaderValue::from_str(&format!("\"{tag}\"")).ok()) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

fn value(text: &RawValue) -> Option<Value> {
    serde_json::from_str(text.get()).ok()
}

fn id_of(text: &RawValue) -> Option<String> {
    value(text)?.get("policy_id")?.as_str().map(str::to_owned)
}

/// RFC 3986: everything but what is never special.
fn percent_encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Order {
    /// The one to be evaluated first is the first.
    policy_ids: Vec<String>,
}

/// The policies named take, in this order, the places that they have now.
#[utoipa::path(
    post,
    path = "/policy/order",
    tag = "policy",
    params(
        ("reason" = Option<String>, Query, description = "Why, for the list of versions; at most 500 characters."),
        ("confirm_s" = Option<u32>, Query, description = "Within so many seconds, 5 to 86400, somebody must confirm, or the set before returns."),
        ("force" = Option<bool>, Query, description = "Also where the caller would be cut off from this API."),
        ("If-Match" = Option<String>, Header, description = "The `ETag` that the change is based on."),
    ),
    request_body = Order,
    responses((status = 200, description = "In force.", body = ChangeView)),
)]
pub(super) async fn order(
    State(services): State<Arc<Services>>,
    State(jobs): State<Arc<Jobs>>,
    asked: Asked,
    JsonBody(Order { policy_ids }): JsonBody<Order>,
) -> Result<Changed, Problem> {
    if policy_ids.is_empty() {
        let fault = Fault {
            pointer: Some("/policy_ids".to_owned()),
            detail: "names no policy".to_owned(),
            ..Fault::default()
        };
        return Err(Problem::new(Code::InvalidBody, "The body has faults.").with_faults(vec![fault]));
    }
    let ordered = asked.run(services, &jobs, move |services, author, expected| {
        services.order_policies(&policy_ids, author, expected)
    });
    let (edited, before, after) = ordered.await?;
    let told = Told::about("policy").before(&json!({ "order": before })).after(&json!({ "order": after }));
    let told = told.arming(&edited.change);
    Ok((Extension(told), etag(edited.change.version), Json(edited.change.into())))
}

/// What an import answers.
#[derive(Serialize, ToSchema)]
pub(super) struct ImportView {
    /// The set that is in force now; left out where nothing was to be changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    change: Option<ChangeView>,
    dry_run: bool,
    #[serde(flatten)]
    told: ImportTold,
}

/// Takes in a set, or a bare list of policies.
#[utoipa::path(
    post,
    path = "/policy/import",
    tag = "policy",
    params(
        ("mode" = Option<String>, Query, description = "`replace`, or `merge`: policies that the body does not have stay."),
        ("dry_run" = Option<bool>, Query, description = "Only tells what would change."),
        ("reason" = Option<String>, Query, description = "Why, for the list of versions; at most 500 characters."),
        ("confirm_s" = Option<u32>, Query, description = "Within so many seconds, 5 to 86400, somebody must confirm, or the set before returns."),
        ("force" = Option<bool>, Query, description = "Also where the caller would be cut off from this API."),
        ("If-Match" = Option<String>, Header, description = "The `ETag` that the change is based on."),
    ),
    request_body = PolicySetDocument,
    responses((status = 200, description = "In force, or what would be.", body = ImportView)),
)]
pub(super) async fn import(
    State(services): State<Arc<Services>>,
    State(jobs): State<Arc<Jobs>>,
    mut asked: Asked,
    RawBody(bytes): RawBody,
) -> Result<(Extension<Told>, Json<ImportView>), Problem> {
    let merge = asked.parameters.take("mode", "replace or merge", |text| match text {
        "replace" => Some(false),
        "merge" => Some(true),
        _ => None,
    });
    let dry_run =
        asked.parameters.take("dry_run", "true or false", |text| text.parse().ok()).unwrap_or(false);
    let mode = ImportMode { merge: merge.unwrap_or(false), dry_run };
    let imported = asked.run(services, &jobs, move |services, author, expected| {
        let before = services.policy().summary();
        let (edited, told) = services.import_policies(&bytes, mode, author, expected)?;
        Ok((edited, told, before, services.policy().summary()))
    });
    let (edited, told, before, after) = imported.await?;
    let after = json!({ "set": after, "dry_run": dry_run, "import": &told });
    let audit = Told::about("policy").before(&json!({ "set": before })).after(&after);
    let audit = edited.iter().fold(audit, |audit, edited| audit.arming(&edited.change));
    let change = edited.map(|edited| edited.change.into());
    Ok((Extension(audit), Json(ImportView { change, dry_run, told })))
}

/// The set as a file.
#[utoipa::path(
    get,
    path = "/policy/export",
    tag = "policy",
    params(
        ("version" = Option<u32>, Query, description = "An older one."),
    ),
    responses((status = 200, description = "What `POST /policy/import` and the configuration take.", body = PolicySetDocument)),
)]
pub(super) async fn export(
    State(services): State<Arc<Services>>,
    State(jobs): State<Arc<Jobs>>,
    mut parameters: Parameters,
) -> Result<Response, Problem> {
    let version = parameters.take("version", "the number of a version", |text| text.parse::<u32>().ok());
    parameters.finish()?;
    let found = jobs.read(move || match version {
        Some(number) => {
            services.policy_version(number).map(|(version, document, _)| (version.version, document))
        }
        None => {
            let state = services.policy();
            Ok((state.set.version(), state.document.to_vec()))
        }
    });
    let (version, document) = found.await?.map_err(edit_problem)?;
    let name = format!("attachment; filename=\"policy-{version}.json\"");
    let kind = [(header::CONTENT_TYPE, "application/json".to_owned()), (header::CONTENT_DISPOSITION, name)];
    Ok((kind, document).into_response())
}
