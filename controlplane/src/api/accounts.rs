//! `/admin/users`, `/admin/roles`, `/admin/sessions`: who has an account, and what may they do?

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::auth::Secret;
use super::jobs::Jobs;
use super::problem::Problem;
use super::request::{JsonBody, Page, Parameters, etag, page_of, version};
use super::trail::Told;
use crate::services::Services;
use crate::services::auth::account::{AccountChange, AccountView, NewAccount};
use crate::services::auth::role::{Permission, Role};
use crate::services::auth::session::{SessionView, TokenForm};
use crate::services::auth::{Auth, Made, Tokens};

#[derive(Serialize, ToSchema)]
pub(super) struct RolesView {
    roles: Vec<RoleView>,
    permissions: Vec<PermissionView>,
}

#[derive(Serialize, ToSchema)]
struct RoleView {
    role: Role,
    description: &'static str,
    permissions: &'static [Permission],
}

#[derive(Serialize, ToSchema)]
struct PermissionView {
    permission: Permission,
    description: &'static str,
}

/// The table of roles and permissions.
#[utoipa::path(
    get,
    path = "/admin/roles",
    tag = "admin",
    responses((status = 200, description = "The table.", body = RolesView)),
)]
pub(super) async fn roles() -> Json<RolesView> {
    let role = |role: &Role| RoleView {
        role: *role,
        description: role.description(),
        permissions: role.permissions(),
    };
    let permission = |permission: &Permission| PermissionView {
        permission: *permission,
        description: permission.description(),
    };
    Json(RolesView {
        roles: Role::ALL.iter().map(role).collect(),
        permissions: Permission::ALL.iter().map(permission).collect(),
    })
}

#[derive(Serialize, ToSchema)]
pub(super) struct AccountsView {
    users: Vec<AccountView>,
    /// Of the next page.
    next_cursor: Option<String>,
}

/// Accounts, in the order of their names.
#[utoipa::path(
    get,
    path = "/admin/users",
    tag = "admin",
    params(
        ("limit" = Option<u32>, Query, description = "Entries wanted, 1 to 1000; 100 where left out."),
        ("cursor" = Option<String>, Query, description = "The `next_cursor` of the page before."),
    ),
    responses((status = 200, description = "A page.", body = AccountsView)),
)]
pub(super) async fn list(
    State(auth): State<Arc<Auth>>,
    mut parameters: Parameters,
) -> Result<Json<AccountsView>, Problem> {
    let page = Page::take(&mut parameters, |text| Some(text.to_owned()));
    parameters.finish()?;
    let (users, next_cursor) = page_of(auth.accounts(), &page, |user| user.username.clone());
    Ok(Json(AccountsView { users, next_cursor }))
}

/// One account; its version is the ETag.
#[utoipa::path(
    get,
    path = "/admin/users/{user_id}",
    tag = "admin",
    params(
        ("user_id" = String, Path, description = "Which."),
    ),
    responses(
        (status = 200, description = "The account.", body = AccountView, headers(("ETag" = String, description = "Its version."))),
    ),
)]
pub(super) async fn show(
    State(auth): State<Arc<Auth>>,
    Path(user_id): Path<String>,
) -> Result<Response, Problem> {
    Ok(tagged(auth.account_view(&user_id)?))
}

#[derive(Serialize, ToSchema)]
struct MadeView {
    #[serde(flatten)]
    user: AccountView,
    /// Made by the box and shown this once.
    #[serde(skip_serializing_if = "Option::is_none")]
    one_time_password: Option<String>,
}

impl From<Made> for MadeView {
    fn from(made: Made) -> Self {
        Self { user: made.account, one_time_password: made.secret.map(|secret| secret.to_string()) }
    }
}

/// Another account.
#[utoipa::path(
    post,
    path = "/admin/users",
    tag = "admin",
    request_body = NewAccount,
    responses(
        (status = 201, description = "Made.", body = MadeView, headers(("ETag" = String, description = "Its version."))),
    ),
)]
pub(super) async fn make(
    State(services): State<Arc<Services>>,
    State(auth): State<Arc<Auth>>,
    JsonBody(new): JsonBody<NewAccount>,
) -> Result<Response, Problem> {
    let made = auth.make_account(new, services.now_s()).await?;
    let place = format!("/admin/users/{}", made.account.user_id);
    let tag = etag(made.account.version);
    let told = Told::about(&made.account.user_id).after(&made.account);
    let mut response =
        (StatusCode::CREATED, Extension(told), tag, Json(MadeView::from(made))).into_response();
    if let Ok(place) = HeaderValue::from_str(&place) {
        response.headers_mut().insert(header::LOCATION, place);
    }
    Ok(response)
}

/// What is given changes, and the account's sessions end.
#[utoipa::path(
    patch,
    path = "/admin/users/{user_id}",
    tag = "admin",
    params(
        ("user_id" = String, Path, description = "Which."),
        ("If-Match" = Option<String>, Header, description = "The `ETag` that must still be it."),
    ),
    request_body = AccountChange,
    responses(
        (status = 200, description = "As it is now.", body = MadeView, headers(("ETag" = String, description = "Its version."))),
    ),
)]
pub(super) async fn change(
    State(services): State<Arc<Services>>,
    State(auth): State<Arc<Auth>>,
    State(jobs): State<Arc<Jobs>>,
    Path(user_id): Path<String>,
    headers: HeaderMap,
    JsonBody(change): JsonBody<AccountChange>,
) -> Result<Response, Problem> {
    let has_new_password = change.password.is_some() || change.reset_password;
    let told = Told::about(&user_id).before(&auth.account_view(&user_id).ok());
    let made = auth.change_account(&user_id, change, version(&headers)?, services.now_s()).await?;
    forget_at_portal(services, &jobs, made.account.username.clone()).await?;
    let mut told = told.after(&made.account);
    if let Some(after) = told.after.as_mut().and_then(serde_json::Value::as_object_mut) {
        after.insert("has_new_password".to_owned(), has_new_password.into());
    }
    Ok((Extension(told), etag(made.account.version), Json(MadeView::from(made))).into_response())
}

/// The account and its sessions go.
#[utoipa::path(
    delete,
    path = "/admin/users/{user_id}",
    tag = "admin",
    params(
        ("user_id" = String, Path, description = "Which."),
        ("If-Match" = Option<String>, Header, description = "The `ETag` that must still be it."),
    ),
    responses((status = 204, description = "Done.")),
)]
pub(super) async fn remove(
    State(services): State<Arc<Services>>,
    State(auth): State<Arc<Auth>>,
    State(jobs): State<Arc<Jobs>>,
    Path(user_id): Path<String>,
    headers: HeaderMap,
) -> Result<(StatusCode, Extension<Told>), Problem> {
    let removed = auth.remove_account(&user_id, version(&headers)?).await?;
    forget_at_portal(services, &jobs, removed.username.clone()).await?;
    Ok((StatusCode::NO_CONTENT, Extension(Told::about(user_id).before(&removed))))
}

/// Ends what the portal let in with an account that has changed, as its sessions end.
async fn forget_at_portal(services: Arc<Services>, jobs: &Jobs, username: String) -> Result<(), Problem> {
    jobs.change(move || services.drop_portal_user(&username)).await
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewToken {
    /// What the token is for, shown in the list of sessions.
    purpose: String,
    /// How long it is good, seconds.
    ttl_s: u64,
    /// Left out: as configured.
    #[serde(default)]
    token_form: Option<TokenForm>,
}

/// A token for a program, shown this once.
#[utoipa::path(
    post,
    path = "/admin/users/{user_id}/tokens",
    tag = "admin",
    params(
        ("user_id" = String, Path, description = "For whom."),
    ),
    request_body = NewToken,
    responses((status = 201, description = "The token.", body = Tokens)),
)]
pub(super) async fn token(
    State(services): State<Arc<Services>>,
    State(auth): State<Arc<Auth>>,
    Path(user_id): Path<String>,
    JsonBody(NewToken { purpose, ttl_s, token_form }): JsonBody<NewToken>,
) -> Result<Secret<(StatusCode, Extension<Told>, Json<Tokens>)>, Problem> {
    let now_s = services.now_s();
    let tokens = auth.token_for_program(&user_id, &purpose, ttl_s, token_form, now_s).await?;
    let told = Told::about(user_id).after(&auth.session_view(&tokens.session_id));
    Ok(Secret((StatusCode::CREATED, Extension(told), Json(tokens))))
}

#[derive(Serialize, ToSchema)]
pub(super) struct SessionsView {
    /// Oldest first.
    sessions: Vec<SessionView>,
    /// Of the next page.
    next_cursor: Option<String>,
}

impl SessionsView {
    /// The page of these that is asked for.
    pub(super) fn page(
        sessions: Vec<SessionView>,
        mut parameters: Parameters,
    ) -> Result<Json<Self>, Problem> {
        let page = Page::take(&mut parameters, |text| {
            let (created_s, id) = text.split_once('-')?;
            Some((created_s.parse::<u64>().ok()?, id.to_owned()))
        });
        parameters.finish()?;
        let (sessions, next) =
            page_of(sessions, &page, |session| (session.created_s, session.session_id.clone()));
        Ok(Json(Self { sessions, next_cursor: next.map(|(created_s, id)| format!("{created_s}-{id}")) }))
    }
}

/// Who is logged in, oldest first.
#[utoipa::path(
    get,
    path = "/admin/sessions",
    tag = "admin",
    params(
        ("limit" = Option<u32>, Query, description = "Entries wanted, 1 to 1000; 100 where left out."),
        ("cursor" = Option<String>, Query, description = "The `next_cursor` of the page before."),
    ),
    responses((status = 200, description = "A page.", body = SessionsView)),
)]
pub(super) async fn sessions(
    State(auth): State<Arc<Auth>>,
    parameters: Parameters,
) -> Result<Json<SessionsView>, Problem> {
    SessionsView::page(auth.sessions(None), parameters)
}

/// Ends anyone's session.
#[utoipa::path(
    delete,
    path = "/admin/sessions/{session_id}",
    tag = "admin",
    params(
        ("session_id" = String, Path, description = "Which."),
    ),
    responses((status = 204, description = "Done.")),
)]
pub(super) async fn end_session(
    State(auth): State<Arc<Auth>>,
    Path(session_id): Path<String>,
) -> Result<(StatusCode, Extension<Told>), Problem> {
    let told = Told::about(&session_id).before(&auth.session_view(&session_id));
    auth.end(&session_id, None).await?;
    Ok((StatusCode::NO_CONTENT, Extension(told)))
}

fn tagged(account: AccountView) -> Response {
    (etag(account.version), Json(account)).into_response()
}
