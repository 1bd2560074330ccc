//! `/jobs`: how far is it, and what came of it?

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::Serialize;
use utoipa::ToSchema;

use super::guard::Caller;
use super::jobs::Jobs;
use super::problem::{Code, Problem};
use super::request::Parameters;
use super::trail::Told;
use crate::services::Services;
use crate::services::auth::role::Permission;
use crate::services::job_board::{JobError, JobView};

/// Longest time that an answer waits for a job, seconds.
const WAIT_S_MAX: u64 = 20;

#[derive(Serialize, ToSchema)]
pub(super) struct JobsView {
    /// Oldest first, without their results.
    jobs: Vec<JobView>,
}

/// Jobs of the account; of all accounts for who may read those.
#[utoipa::path(
    get,
    path = "/jobs",
    tag = "jobs",
    responses((status = 200, description = "For an hour after their end.", body = JobsView)),
)]
pub(super) async fn list(State(services): State<Arc<Services>>, caller: Caller) -> Json<JobsView> {
    Json(JobsView { jobs: services.jobs().list(whose(&caller), services.now_s()) })
}

/// One job, with its result once there is one.
#[utoipa::path(
    get,
    path = "/jobs/{job_id}",
    tag = "jobs",
    params(
        ("job_id" = String, Path, description = "Which."),
        ("wait" = Option<u64>, Query, maximum = 20, description = "Seconds to wait for its end, 0 to 20."),
    ),
    responses((status = 200, description = "The job.", body = JobView)),
)]
pub(super) async fn show(
    State(services): State<Arc<Services>>,
    State(jobs): State<Arc<Jobs>>,
    caller: Caller,
    Path(job_id): Path<String>,
    mut parameters: Parameters,
) -> Result<Json<JobView>, Problem> {
    let wait_s = wait(&mut parameters);
    parameters.finish()?;
    let job =
        services.jobs().get(&job_id, whose(&caller), services.now_s()).ok_or_else(|| absent(&job_id))?;
    patiently(&services, &jobs, job, wait_s).await.map(Json)
}

/// Ends a job that waits or runs; forgets one that has ended.
#[utoipa::path(
    delete,
    path = "/jobs/{job_id}",
    tag = "jobs",
    params(("job_id" = String, Path, description = "Which.")),
    responses((status = 204, description = "It will end, or is forgotten.")),
)]
pub(super) async fn end(
    State(services): State<Arc<Services>>,
    caller: Caller,
    Path(job_id): Path<String>,
) -> Result<(StatusCode, Extension<Told>), Problem> {
    let before =
        services.jobs().end(&job_id, whose(&caller), services.now_s()).ok_or_else(|| absent(&job_id))?;
    let before = serde_json::json!({ "kind": before.kind, "state": before.state });
    Ok((StatusCode::NO_CONTENT, Extension(Told::about(job_id).before(&before))))
}

/// Whose jobs the caller may see: `None` is everybody's.
fn whose(caller: &Caller) -> Option<&str> {
    let all = caller.0.may(Permission::AccountsRead).is_ok();
    (!all).then_some(caller.0.account.id.as_str())
}

fn absent(job_id: &str) -> Problem {
    Problem::new(
        Code::NotFound,
        format!("There is no job {job_id}; an hour after their end, and at a restart, they are forgotten."),
    )
}

/// Takes `wait`.
pub(super) fn wait(parameters: &mut Parameters) -> u64 {
    let seconds = |text: &str| text.parse().ok().filter(|seconds| *seconds <= WAIT_S_MAX);
    parameters.take("wait", "a number of seconds from 0 to 20", seconds).unwrap_or(0)
}

/// The job as it is when it has ended, or after `wait_s`.
pub(super) async fn patiently(
    services: &Arc<Services>,
    jobs: &Jobs,
    job: JobView,
    wait_s: u64,
) -> Result<JobView, Problem> {
    if wait_s == 0 || job.ended_s.is_some() {
        return Ok(job);
    }
    let (services, job_id) = (Arc::clone(services), job.job_id.clone());
    let waited = jobs.read(move || services.jobs().wait(&job_id, Duration::from_secs(wait_s))).await?;
    Ok(waited.unwrap_or(job))
}

impl From<JobError> for Problem {
    fn from(error: JobError) -> Self {
        match error {
            JobError::TooMany => Self::new(Code::RateLimited, format!("{error}.")).retry_after(5),
            JobError::Busy => Self::new(Code::Busy, format!("{error}.")).retry_after(5),
            JobError::Name(_) => Self::new(Code::Internal, error.to_string()),
        }
    }
}
