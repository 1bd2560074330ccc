//! `/dpi/classify`: which applications are in this capture?

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, extract::Request};
use http_body_util::BodyExt;

use super::guard::Caller;
use super::job_board;
use super::jobs::Jobs;
use super::problem::{Code, Problem};
use super::request::Parameters;
use super::trail::Told;
use crate::services::Services;
use crate::services::job_board::JobView;
use crate::store::{StoreError, Upload};

/// Longest capture, bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct UploadMax(pub(super) u64);

/// Which applications are in a capture file (pcap or pcapng).
///
/// The answer is a job whose `result` is a `ClassifiedView`. With `wait` it is answered once that is there, or after so many seconds.
#[utoipa::path(
    post,
    path = "/dpi/classify",
    tag = "dpi",
    params(("wait" = Option<u64>, Query, maximum = 20, description = "Seconds to wait for the result, 0 to 20.")),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses(
        (status = 200, description = "The job has ended.", body = JobView),
        (status = 202, description = "The job waits or runs.", body = JobView, headers(("Location" = String, description = "Of the job."))),
    ),
)]
pub(super) async fn classify(
    State(services): State<Arc<Services>>,
    State(jobs): State<Arc<Jobs>>,
    Extension(max): Extension<UploadMax>,
    caller: Caller,
    mut parameters: Parameters,
    request: Request,
) -> Result<(Extension<Told>, Response), Problem> {
    let wait_s = job_board::wait(&mut parameters);
    parameters.finish()?;
    let upload = receive(&services, &jobs, request.into_body(), max).await?;
    let (len_bytes, owner) = (upload.len_bytes(), caller.0.account.id.clone());
    let job = services.classify(upload, &owner)?;
    let told = Told::about(&job.job_id).after(&serde_json::json!({ "capture_bytes": len_bytes }));
    let job = job_board::patiently(&services, &jobs, job, wait_s).await?;
    let place = HeaderValue::from_str(&format!("/jobs/{}", job.job_id));
    let status = if job.ended_s.is_some() { StatusCode::OK } else { StatusCode::ACCEPTED };
    let mut response = (status, Json(job)).into_response();
    if let Ok(place) = place {
        response.headers_mut().insert(header::LOCATION, place);
    }
    Ok((Extension(told), response))
}

/// A body under way to a file. Its chunks are small: they are gathered before a thread writes them.
pub(super) struct Receiving {
    upload: Upload,
    gathered: Vec<u8>,
    max_bytes: u64,
}

impl Receiving {
    /// An empty one.
    pub(super) async fn begin(
        services: &Arc<Services>,
        jobs: &Jobs,
        UploadMax(max_bytes): UploadMax,
    ) -> Result<Self, Problem> {
        let begun = Arc::clone(services);
        let upload = jobs.change(move || begun.begin_upload()).await?.map_err(|error| unkept(&error))?;
        let upload = upload.ok_or_else(|| {
            Problem::new(
                Code::Unavailable,
                "The box runs without a state directory: it has no place for captures.",
            )
        })?;
        Ok(Self { upload, gathered: Vec::with_capacity(WRITTEN_BYTES), max_bytes })
    }

    /// Takes what came.
    pub(super) async fn push(mut self, jobs: &Jobs, data: &[u8]) -> Result<Self, Problem> {
        self.gathered.extend_from_slice(data);
        let max_bytes = self.max_bytes;
        if self.upload.len_bytes() + self.gathered.len() as u64 > max_bytes {
            let detail = format!("The capture is larger than the {max_bytes} bytes that this call takes.");
            return Err(Problem::new(Code::BodyTooLarge, detail));
        }
        if self.gathered.len() >= WRITTEN_BYTES { self.write(jobs).await } else { Ok(self) }
    }

    /// All has come.
    pub(super) async fn finish(self, jobs: &Jobs) -> Result<Upload, Problem> {
        let Self { upload, .. } = self.write(jobs).await?;
        if upload.len_bytes() == 0 {
            return Err(Problem::new(
                Code::InvalidBody,
                "The body is empty; a capture file (pcap, pcapng) is expected.",
            ));
        }
        Ok(upload)
    }

    async fn write(mut self, jobs: &Jobs) -> Result<Self, Problem> {
        let (this, written) = jobs
            .change(move || {
                let written = self.upload.write(&self.gathered);
                self.gathered.clear();
                (self, written)
            })
            .await?;
        written.map_err(|error| unkept(&error))?;
        Ok(this)
    }
}

/// Writes the body to a file, chunk by chunk.
async fn receive(
    services: &Arc<Services>,
    jobs: &Jobs,
    mut body: Body,
    max: UploadMax,
) -> Result<Upload, Problem> {
    let mut receiving = Receiving::begin(services, jobs, max).await?;
    let ended = || Problem::new(Code::InvalidBody, "The body ended before its announced length.");
    while let Some(frame) = body.frame().await.transpose().map_err(|_error| ended())? {
        if let Some(data) = frame.data_ref() {
            receiving = receiving.push(jobs, data).await?;
        }
    }
    receiving.finish(jobs).await
}

/// How much is written at once, bytes.
const WRITTEN_BYTES: usize = 256 * 1024;

fn unkept(error: &StoreError) -> Problem {
    Problem::of_store(error, format!("The capture cannot be kept: {error}."))
}
