//! `/admin/backup`: all that the box keeps, in one file.

use std::convert::Infallible;
use std::io::Read;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use bytes::Bytes;
use futures_util::stream;

use super::guard::Caller;
use super::jobs::Jobs;
use super::problem::{Code, Problem};
use super::request::JsonBody;
use super::router::HasSecrets;
use super::trail::Told;
use crate::services::Services;
use crate::services::backup::{BackupOrder, Backups};
use crate::services::job_board::JobView;

/// How much is read at once, bytes.
const CHUNK_BYTES: usize = 256 * 1024;

/// Makes a backup while everything goes on. The answer is a job whose `result` is a `BackupView`.
#[utoipa::path(
    post,
    path = "/admin/backup",
    tag = "admin",
    request_body = BackupOrder,
    responses(
        (status = 202, description = "The job waits or runs.", body = JobView, headers(("Location" = String, description = "Of the job."))),
    ),
)]
pub(super) async fn make(
    State(services): State<Arc<Services>>,
    caller: Caller,
    JsonBody(order): JsonBody<BackupOrder>,
) -> Result<(Extension<Told>, Response), Problem> {
    let backups = backups(&services)?;
    let begun = services.begin_backup(order, &backups, &caller.0.account.id);
    let job = begun.map_err(|detail| Problem::new(Code::InvalidBody, detail))??;
    let told = Told::about(&job.job_id);
    let place = HeaderValue::from_str(&format!("/jobs/{}", job.job_id));
    let mut response = (StatusCode::ACCEPTED, Json(job)).into_response();
    if let Ok(place) = place {
        response.headers_mut().insert(header::LOCATION, place);
    }
    Ok((Extension(told), response))
}

/// A backup as a tar file; the last one that was made, until the next.
///
/// A `POST`, because it is told in the audit who has a copy of everything.
#[utoipa::path(
    post,
    path = "/admin/backup/{backup_id}/fetch",
    tag = "admin",
    params(
        ("backup_id" = String, Path, description = "As the job's `result` has it."),
    ),
    responses((status = 200, description = "The file.", body = Vec<u8>, content_type = "application/x-tar")),
)]
pub(super) async fn fetch(
    State(services): State<Arc<Services>>,
    State(jobs): State<Arc<Jobs>>,
    Path(backup_id): Path<String>,
) -> Result<(Extension<Told>, Response), Problem> {
    let backups = backups(&services)?;
    let wanted = backup_id.clone();
    let found = jobs.read(move || backups.open(&wanted)).await?;
    let found =
        found.map_err(|error| Problem::of_store(&error, format!("The backup cannot be read: {error}.")))?;
    let (file, len) = found.ok_or_else(|| {
        Problem::new(
            Code::NotFound,
            format!("There is no backup `{backup_id}`, or a newer one took its place."),
        )
    })?;
    let parts = stream::unfold((file, jobs), |(mut file, jobs)| async move {
        let read = jobs.read(move || {
            let mut chunk = vec![0; CHUNK_BYTES];
            let len = file.read(&mut chunk).ok()?;
            chunk.truncate(len);
            (len > 0).then_some((Bytes::from(chunk), file))
        });
        // Where it fails the body is shorter than announced, which its reader finds out.
        let (chunk, file) = read.await.ok().flatten()?;
        Some((Ok::<_, Infallible>(chunk), (file, jobs)))
    });
    let headers = [
        (header::CONTENT_TYPE, "application/x-tar".to_owned()),
        (header::CONTENT_LENGTH, len.to_string()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{backup_id}.tar\"")),
    ];
    // Compressing it again would cost a core and gain little.
    let told = Told::about(&backup_id).after(&serde_json::json!({ "bytes": len }));
    Ok((Extension(told), (Extension(HasSecrets), headers, Body::from_stream(parts)).into_response()))
}

fn backups(services: &Services) -> Result<Arc<Backups>, Problem> {
    services.backups().cloned().ok_or_else(|| {
        Problem::new(
            Code::Unavailable,
            "The box runs without a state directory: it has no place for backups.",
        )
    })
}
