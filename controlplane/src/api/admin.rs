//! `/admin/config`, `/admin/reload`, `/admin/log-level`, `/admin/drain`: the process itself.

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::jobs::Jobs;
use super::problem::{Code, Fault, Problem};
use super::request::JsonBody;
use super::trail::Told;
use crate::services::Services;
use crate::services::levers::{
    ConfigView, LeverError, Levers, LogLevel, LogLevelView, ReloadOutcome, Reloaded,
};

fn levers(services: &Services) -> Result<Arc<dyn Levers>, Problem> {
    let absent = || Problem::new(Code::Unavailable, "There is no process here that this could be done to.");
    services.levers().map(Arc::clone).ok_or_else(absent)
}

fn problem_of(error: &LeverError) -> Problem {
    let code = match error {
        LeverError::Busy { .. } => Code::Busy,
        LeverError::System(_) => Code::SystemRefused,
    };
    Problem::new(code, format!("{error}."))
}

/// The configuration in force.
#[utoipa::path(
    get,
    path = "/admin/config",
    tag = "admin",
    responses((status = 200, description = "As it was understood, without secrets.", body = ConfigView)),
)]
pub(super) async fn config(State(services): State<Arc<Services>>) -> Result<Json<ConfigView>, Problem> {
    levers(&services).map(|levers| Json(levers.config()))
}

/// What became of all parts.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ReloadView {
    /// Whether no part failed.
    ok: bool,
    parts: Vec<Reloaded>,
}

/// Reads policies, applications and certificates again, and opens the event file anew, as SIGHUP does.
///
/// A part that has errors stays as it was, and says so.
#[utoipa::path(
    post,
    path = "/admin/reload",
    tag = "admin",
    responses((status = 200, description = "What became of each part.", body = ReloadView)),
)]
pub(super) async fn reload(
    State(services): State<Arc<Services>>,
    State(jobs): State<Arc<Jobs>>,
) -> Result<(Extension<Told>, Json<ReloadView>), Problem> {
    let levers = levers(&services)?;
    let parts = jobs.change(move || levers.reload()).await?.map_err(|error| problem_of(&error))?;
    let ok = parts.iter().all(|part| part.outcome != ReloadOutcome::Failed);
    let told = Told::about("files").after(&parts);
    Ok((Extension(told), Json(ReloadView { ok, parts })))
}

/// How much the log says.
#[utoipa::path(
    get,
    path = "/admin/log-level",
    tag = "admin",
    responses((status = 200, description = "Now, and as configured.", body = LogLevelView)),
)]
pub(super) async fn log_level(State(services): State<Arc<Services>>) -> Result<Json<LogLevelView>, Problem> {
    levers(&services).map(|levers| Json(levers.log_level()))
}

/// Longest time for which the log may be told to say more, seconds: a day.
const FOR_S_MAX: u64 = 86_400;

/// The body: `{"level": "debug", "for_s": 600}`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LogLevelChange {
    level: LogLevel,
    /// For so long, seconds; left out: until it is changed, or until a restart.
    #[schema(minimum = 1, maximum = 86400)]
    for_s: Option<u64>,
}

/// Lets the log say more or less, and return by itself.
#[utoipa::path(
    put,
    path = "/admin/log-level",
    tag = "admin",
    request_body = LogLevelChange,
    responses((status = 200, description = "As it is now.", body = LogLevelView)),
)]
pub(super) async fn set_log_level(
    State(services): State<Arc<Services>>,
    JsonBody(LogLevelChange { level, for_s }): JsonBody<LogLevelChange>,
) -> Result<(Extension<Told>, Json<LogLevelView>), Problem> {
    if let Some(for_s) = for_s.filter(|for_s| !(1..=FOR_S_MAX).contains(for_s)) {
        let fault = Fault {
            pointer: Some("/for_s".to_owned()),
            detail: format!("{for_s} is not within 1 and {FOR_S_MAX}"),
            ..Fault::default()
        };
        return Err(Problem::new(Code::InvalidBody, "The body is not the JSON that this call takes.")
            .with_faults(vec![fault]));
    }
    let levers = levers(&services)?;
    let before = levers.log_level();
    let after = levers.set_log_level(level, for_s).map_err(|error| problem_of(&error))?;
    let told = Told::about("log level").before(&before).after(&after);
    Ok((Extension(told), Json(after)))
}

/// A switch.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Drain {
    /// Whether the box is drained.
    on: bool,
}

/// Takes the box off the wire, so that the fail mode holds, or puts it back.
///
/// The control plane stays. What is in the rings is still judged and sent; flows stay and run into their timeouts.
#[utoipa::path(
    post,
    path = "/admin/drain",
    tag = "admin",
    request_body = Drain,
    responses((status = 200, description = "As it is now.", body = Drain)),
)]
pub(super) async fn drain(
    State(services): State<Arc<Services>>,
    State(jobs): State<Arc<Jobs>>,
    JsonBody(Drain { on }): JsonBody<Drain>,
) -> Result<(Extension<Told>, Json<Drain>), Problem> {
    let levers = levers(&services)?;
    let drained = jobs.change(move || {
        let was = levers.is_drained();
        levers.drain(on).map(|()| was)
    });
    let was = drained.await?.map_err(|error| problem_of(&error))?;
    let told = Told::about("drain").before(&Drain { on: was }).after(&Drain { on });
    Ok((Extension(told), Json(Drain { on })))
}
