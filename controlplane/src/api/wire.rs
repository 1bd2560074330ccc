//! `/admin/block`, `/admin/bypass`: what does the XDP program let in?

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use dataplane::control::{BlockListError, WireReading};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::jobs::Jobs;
use super::problem::{Code, Fault, Problem};
use super::request::JsonBody;
use super::trail::Told;
use crate::services::Services;
use crate::services::wire::WireError;

/// `/telemetry/wire`.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct WireView {
    fail_mode: &'static str,
    watchdog_ms: u64,
    bypass: bool,
    attach_mode: Vec<&'static str>,
    socket_mode: Vec<&'static str>,
    blocked_prefixes: usize,
    frames: serde_json::Map<String, serde_json::Value>,
}

pub(super) fn read(services: &Services) -> Result<WireView, Problem> {
    let WireReading { fail_mode, watchdog_ms, bypass, attach_mode, socket_mode, blocked_prefixes, outcomes } =
        services.wire().map_err(|error| problem_of(&error))?;
    let frames = outcomes.into_iter().map(|(name, frames)| (name.to_owned(), frames.into())).collect();
    Ok(WireView { fail_mode, watchdog_ms, bypass, attach_mode, socket_mode, blocked_prefixes, frames })
}

#[derive(Serialize, ToSchema)]
pub(super) struct Blocked {
    #[schema(value_type = Vec<String>)]
    prefixes: Vec<IpNet>,
}

/// The block list of the XDP program.
#[utoipa::path(
    get,
    path = "/admin/block",
    tag = "admin",
    responses((status = 200, description = "What is on it.", body = Blocked)),
)]
pub(super) async fn blocked(
    State(services): State<Arc<Services>>,
    State(jobs): State<Arc<Jobs>>,
) -> Result<Json<Blocked>, Problem> {
    let prefixes = jobs.read(move || services.blocked()).await?.map_err(|error| problem_of(&error))?;
    Ok(Json(Blocked { prefixes }))
}

/// What the audit calls it.
const BLOCK_LIST: &str = "block list";

/// The body of both changes: `{"prefixes": ["192.0.2.0/24", "2001:db8::1"]}`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Prefixes {
    prefixes: Vec<String>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Added {
    added: usize,
}

/// Puts prefixes on the block list, all of them or none.
#[utoipa::path(
    post,
    path = "/admin/block",
    tag = "admin",
    request_body = Prefixes,
    responses((status = 200, description = "How many are new.", body = Added)),
)]
pub(super) async fn block(
    State(services): State<Arc<Services>>,
    State(jobs): State<Arc<Jobs>>,
    JsonBody(body): JsonBody<Prefixes>,
) -> Result<(Extension<Told>, Json<Added>), Problem> {
    let prefixes = body.parse()?;
    let told = Told::about(BLOCK_LIST).after(&prefixes);
    let added = jobs.change(move || services.block(&prefixes)).await?.map_err(|error| problem_of(&error))?;
    Ok((Extension(told), Json(Added { added })))
}

#[derive(Serialize, ToSchema)]
pub(super) struct Removed {
    removed: usize,
}

/// Takes prefixes off the block list.
#[utoipa::path(
    delete,
    path = "/admin/block",
    tag = "admin",
    request_body = Prefixes,
    responses((status = 200, description = "How many there were.", body = Removed)),
)]
pub(super) async fn unblock(
    State(services): State<Arc<Services>>,
    State(jobs): State<Arc<Jobs>>,
    JsonBody(body): JsonBody<Prefixes>,
) -> Result<(Extension<Told>, Json<Removed>), Problem> {
    let prefixes = body.parse()?;
    let told = Told::about(BLOCK_LIST).before(&prefixes);
    let removed =
        jobs.change(move || services.unblock(&prefixes)).await?.map_err(|error| problem_of(&error))?;
    Ok((Extension(told), Json(Removed { removed })))
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Bypass {
    on: bool,
}

/// Lets frames pass around inspection, or ends that.
#[utoipa::path(
    post,
    path = "/admin/bypass",
    tag = "admin",
    request_body = Bypass,
    responses((status = 200, description = "As it is now.", body = Bypass)),
)]
pub(super) async fn bypass(
    State(services): State<Arc<Services>>,
    State(jobs): State<Arc<Jobs>>,
    JsonBody(Bypass { on }): JsonBody<Bypass>,
) -> Result<(Extension<Told>, Json<Bypass>), Problem> {
    let switched = jobs.change(move || {
        let was = services.wire()?.bypass;
        services.set_bypass(on).map(|()| was)
    });
    let was = switched.await?.map_err(|error| problem_of(&error))?;
    let told = Told::about("bypass").before(&Bypass { on: was }).after(&Bypass { on });
    Ok((Extension(told), Json(Bypass { on })))
}

impl Prefixes {
    /// All prefixes, or all that are none. Bits beyond the length are cut off.
    fn parse(&self) -> Result<Vec<IpNet>, Problem> {
        let mut prefixes = Vec::with_capacity(self.prefixes.len());
        let mut faults = Vec::new();
        for (index, text) in self.prefixes.iter().enumerate() {
            match text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)) {
                Ok(prefix) => prefixes.push(prefix.trunc()),
                Err(_) => faults.push(Fault {
                    pointer: Some(format!("/prefixes/{index}")),
                    detail: format!("`{text}` is neither an address nor a prefix"),
                    ..Fault::default()
                }),
            }
        }
        if faults.is_empty() {
            return Ok(prefixes);
        }
        Err(Problem::new(Code::InvalidBody, "The prefixes have faults; nothing was changed.")
            .with_faults(faults))
    }
}

fn problem_of(error: &WireError) -> Problem {
    let detail = error.to_string();
    let code = match error {
        WireError::Absent => Code::Unavailable,
        WireError::BlockList(BlockListError::Full { .. }) => Code::BlockListFull,
        WireError::BlockList(BlockListError::Kernel(_)) | WireError::Kernel(_) => Code::SystemRefused,
    };
    Problem::new(code, detail)
}
