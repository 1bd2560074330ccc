//! `/auth`: who is it, and how does it stay logged in?

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::accounts::SessionsView;
use super::guard::{Caller, Peer};
use super::problem::{Code, Problem};
use super::request::{JsonBody, Parameters};
use super::router::HasSecrets;
use super::trail::Told;
use crate::services::Services;
use crate::services::audit::Actor;
use crate::services::auth::account::AccountView;
use crate::services::auth::algorithm::Algorithm;
use crate::services::auth::key::Jwk;
use crate::services::auth::role::Permission;
use crate::services::auth::secret::Password;
use crate::services::auth::{Auth, AuthError, Client, Login, Tokens};

/// Name and password against tokens.
#[utoipa::path(
    post,
    path = "/auth/login",
    tag = "auth",
    request_body = Login,
    responses((status = 200, description = "Logged in.", body = Tokens)),
)]
pub(super) async fn login(
    State(services): State<Arc<Services>>,
    State(auth): State<Arc<Auth>>,
    peer: Peer,
    headers: HeaderMap,
    JsonBody(login): JsonBody<Login>,
) -> Result<Secret<(Extension<Told>, Json<Tokens>)>, Problem> {
    // What is typed where a name belongs may be a password: only names that there are go into the audit.
    let known = auth.named(&login.username);
    let told = Told::about(known.map_or("(no such account)".to_owned(), |account| account.username));
    let tokens = auth.login(login, client(peer, &headers), services.now_s()).await;
    let tokens = tokens.map_err(|error| Problem::from(error).telling(told.clone()))?;
    let actor = Actor {
        username: tokens.user.username.clone(),
        user_id: Some(tokens.user.user_id.clone()),
        role: Some(tokens.user.role.name().to_owned()),
        session_id: Some(tokens.session_id.clone()),
    };
    Ok(Secret((Extension(Told { actor: Some(actor), ..told }), Json(tokens))))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Refresh {
    refresh_token: String,
}

/// A refresh token against the next tokens, once.
#[utoipa::path(
    post,
    path = "/auth/refresh",
    tag = "auth",
    request_body = Refresh,
    responses((status = 200, description = "The next two.", body = Tokens)),
)]
pub(super) async fn refresh(
    State(services): State<Arc<Services>>,
    State(auth): State<Arc<Auth>>,
    JsonBody(refresh): JsonBody<Refresh>,
) -> Result<Secret<Json<Tokens>>, Problem> {
    let session = Auth::session_named(&refresh.refresh_token).and_then(|id| auth.session_view(id));
    let tokens = auth.refresh(&refresh.refresh_token, services.now_s()).await;
    Ok(Secret(Json(tokens.map_err(|error| {
        let told = session.map_or(Told::about("(no such session)"), |session| {
            Told::about(&session.session_id).before(&session)
        });
        Problem::from(error).telling(told)
    })?)))
}

/// Ends the session of the token that it comes with.
#[utoipa::path(
    post,
    path = "/auth/logout",
    tag = "auth",
    responses((status = 204, description = "Done.")),
)]
pub(super) async fn logout(
    State(auth): State<Arc<Auth>>,
    caller: Caller,
) -> Result<(StatusCode, Extension<Told>), Problem> {
    auth.logout(&caller.0).await?;
    let session = caller.0.session.unwrap_or_default();
    Ok((StatusCode::NO_CONTENT, Extension(Told::about(session))))
}

#[derive(Serialize, ToSchema)]
pub(super) struct MeView {
    user: AccountView,
    permissions: &'static [Permission],
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<String>,
    /// When the token ends, seconds since 1970; none over the Unix socket.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_s: Option<u64>,
}

/// Whom the token speaks for, and what it may do.
#[utoipa::path(
    get,
    path = "/auth/me",
    tag = "auth",
    responses((status = 200, description = "The account.", body = MeView)),
)]
pub(super) async fn me(caller: Caller) -> Json<MeView> {
    let identity = caller.0;
    let permissions = identity.account.role.permissions();
    let expires_s = identity.session.is_some().then_some(identity.expires_s);
    Json(MeView { user: identity.view(), permissions, session_id: identity.session, expires_s })
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewPassword {
    current_password: Password,
    new_password: Password,
}

/// Another password; all other sessions of the account end.
#[utoipa::path(
    post,
    path = "/auth/password",
    tag = "auth",
    request_body = NewPassword,
    responses((status = 204, description = "Done.")),
)]
pub(super) async fn password(
    State(services): State<Arc<Services>>,
    State(auth): State<Arc<Auth>>,
    caller: Caller,
    peer: Peer,
    headers: HeaderMap,
    JsonBody(new): JsonBody<NewPassword>,
) -> Result<(StatusCode, Extension<Told>), Problem> {
    let both = (new.current_password, new.new_password);
    auth.change_password(&own(&caller)?, both, &client(peer, &headers), services.now_s()).await?;
    Ok((StatusCode::NO_CONTENT, Extension(Told::about(&caller.0.account.id))))
}

/// Where the account is logged in.
#[utoipa::path(
    get,
    path = "/auth/sessions",
    tag = "auth",
    params(
        ("limit" = Option<u32>, Query, description = "Entries wanted, 1 to 1000; 100 where left out."),
        ("cursor" = Option<String>, Query, description = "The `next_cursor` of the page before."),
    ),
    responses((status = 200, description = "Oldest first.", body = SessionsView)),
)]
pub(super) async fn sessions(
    State(auth): State<Arc<Auth>>,
    caller: Caller,
    parameters: Parameters,
) -> Result<Json<SessionsView>, Problem> {
    SessionsView::page(auth.sessions(Some(&caller.0.account.id)), parameters)
}

/// Ends one of the account's sessions.
#[utoipa::path(
    delete,
    path = "/auth/sessions/{session_id}",
    tag = "auth",
    params(
        ("session_id" = String, Path, description = "Which."),
    ),
    responses((status = 204, description = "Done.")),
)]
pub(super) async fn end_session(
    State(auth): State<Arc<Auth>>,
    caller: Caller,
    Path(session_id): Path<String>,
) -> Result<(StatusCode, Extension<Told>), Problem> {
    let told = Told::about(&session_id).before(&auth.session_view(&session_id));
    auth.end(&session_id, Some(&caller.0.account.id)).await?;
    Ok((StatusCode::NO_CONTENT, Extension(told)))
}

#[derive(Serialize, ToSchema)]
pub(super) struct KeysView {
    keys: Vec<Jwk>,
}

/// The public halves of the keys that sign, a JWK set.
#[utoipa::path(
    get,
    path = "/auth/keys",
    tag = "auth",
    responses((status = 200, description = "RFC 7517.", body = KeysView)),
)]
pub(super) async fn keys(State(auth): State<Arc<Auth>>) -> Json<KeysView> {
    Json(KeysView { keys: auth.ring().public() })
}

#[derive(Deserialize, Default, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Rotation {
    /// Left out: as before.
    #[serde(default)]
    algorithm: Option<String>,
}

/// A new key signs from now on; tokens of the one before stay good until they expire.
#[utoipa::path(
    post,
    path = "/auth/keys/rotate",
    tag = "auth",
    request_body = Rotation,
    responses((status = 200, description = "All keys, the new one first.", body = KeysView)),
)]
pub(super) async fn rotate(
    State(auth): State<Arc<Auth>>,
    JsonBody(rotation): JsonBody<Rotation>,
) -> Result<(Extension<Told>, Json<KeysView>), Problem> {
    let algorithm = rotation
        .algorithm
        .map(|name| name.parse::<Algorithm>())
        .transpose()
        .map_err(|error| Problem::new(Code::InvalidBody, format!("algorithm: {error}.")))?;
    let before = auth.ring().signing().verifying().to_jwk();
    let ring = auth.rotate(algorithm).await?;
    // Public halves only.
    let after = ring.signing().verifying().to_jwk();
    let told = Told::about(&after.kid).before(&before).after(&after);
    Ok((Extension(told), Json(KeysView { keys: ring.public() })))
}

/// An answer that is not compressed.
pub(super) struct Secret<T>(pub(super) T);

impl<T: IntoResponse> IntoResponse for Secret<T> {
    fn into_response(self) -> Response {
        let mut response = self.0.into_response();
        response.extensions_mut().insert(HasSecrets);
        response
    }
}

/// The caller's account, where it is one of the store.
fn own(caller: &Caller) -> Result<crate::services::auth::Identity, Problem> {
    if caller.0.session.is_none() {
        let detail = "The Unix socket's operator has no password; PATCH /admin/users/{user_id} sets one.";
        return Err(Problem::new(Code::Unavailable, detail));
    }
    Ok(caller.0.clone())
}

fn client(peer: Peer, headers: &HeaderMap) -> Client {
    let user_agent = headers.get(header::USER_AGENT).map(|value| String::from_utf8_lossy(value.as_bytes()));
    Client { address: peer.0, user_agent: user_agent.unwrap_or_default().into_owned() }
}

impl From<AuthError> for Problem {
    fn from(error: AuthError) -> Self {
        let detail = error.to_string();
        let code = match error {
            AuthError::Credentials => Code::InvalidCredentials,
            AuthError::Throttled { retry_after_s } => {
                return Self::new(Code::TooManyAttempts, detail).retry_after(retry_after_s);
            }
            AuthError::Token(_) => Code::InvalidToken,
            AuthError::SessionEnded => Code::SessionEnded,
            AuthError::Reused => Code::RefreshReused,
            AuthError::PasswordMustChange => Code::PasswordMustChange,
            AuthError::Forbidden { .. } => Code::Forbidden,
            AuthError::Busy => return Self::new(Code::Busy, detail).retry_after(2),
            AuthError::Store(error) => return Self::of_store(&error, detail),
            AuthError::Password(_) => Code::InvalidPassword,
            AuthError::Username(_) | AuthError::Invalid(_) => Code::InvalidBody,
            AuthError::NameTaken(_) => Code::NameTaken,
            AuthError::Unknown { .. } => Code::NotFound,
            AuthError::LastAdmin => Code::LastAdmin,
            AuthError::Full(_) => Code::Full,
            AuthError::Stale { .. } => Code::Stale,
            AuthError::NoKeyFile => Code::Unavailable,
            AuthError::Key(_) => Code::Internal,
        };
        Self::new(code, detail)
    }
}
