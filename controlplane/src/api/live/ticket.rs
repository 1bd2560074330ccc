//! `POST /auth/ticket`: how a browser opens a stream, where it cannot send a header.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::Method;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::auth::Secret;
use crate::api::guard::{Caller, Where};
use crate::api::permits::{self, Access, PERMITS};
use crate::api::problem::{Code, Fault, Problem};
use crate::api::request::JsonBody;
use crate::services::Services;
use crate::services::auth::Auth;
use crate::services::auth::ticket::TICKET_TTL_S;

/// What a ticket is asked for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct Wish {
    /// The path that it opens.
    topic: String,
}

/// A ticket, to stand in the query as `ticket`.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct TicketView {
    /// Good once.
    ticket: String,
    topic: String,
    /// And for so long.
    expires_in_s: u64,
}

/// A ticket for a path, good once, for a while and from this address.
#[utoipa::path(
    post,
    path = "/auth/ticket",
    tag = "auth",
    request_body = Wish,
    responses((status = 200, description = "The ticket.", body = TicketView)),
)]
pub(in crate::api) async fn give(
    State(services): State<Arc<Services>>,
    State(auth): State<Arc<Auth>>,
    caller: Caller,
    from: Where,
    JsonBody(wish): JsonBody<Wish>,
) -> Result<Secret<Json<TicketView>>, Problem> {
    let Some(Access::Ticketed(needs)) = permits::access(&Method::GET, &wish.topic) else {
        let opened = PERMITS.iter().filter(|permit| matches!(permit.access, Access::Ticketed(_)));
        let paths: Vec<_> = opened.map(|permit| permit.path).collect();
        let fault = Fault {
            pointer: Some("/topic".to_owned()),
            detail: format!("`{}` is opened by no ticket; one of {} is", wish.topic, paths.join(", ")),
            ..Fault::default()
        };
        return Err(Problem::new(Code::InvalidBody, "There is no such ticket.").with_faults(vec![fault]));
    };
    caller.0.may(needs)?;
    let ticket = auth.ticket(&caller.0, &wish.topic, from.0, services.now_s())?;
    let view = TicketView { ticket: ticket.text().to_owned(), topic: wish.topic, expires_in_s: TICKET_TTL_S };
    Ok(Secret(Json(view)))
}
