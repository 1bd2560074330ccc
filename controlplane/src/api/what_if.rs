//! `/policy/what-if`: what would another set have done with the traffic of the last minutes, or with that of a capture?

use std::sync::Arc;

use axum::extract::multipart::Field;
use axum::extract::{FromRequest, Multipart, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde_json::json;
use utoipa::ToSchema;

use super::classify::{Receiving, UploadMax};
use super::guard::Caller;
use super::job_board;
use super::jobs::Jobs;
use super::policy::load_problem;
use super::policy_schema::PolicySetDocument;
use super::problem::{Code, Problem};
use super::request::Parameters;
use super::trail::Told;
use crate::services::Services;
use crate::services::job_board::JobView;
use crate::services::what_if::{MINUTES_MAX, WhatIfError};
use crate::store::Upload;

/// Minutes that are looked back where the request does not say.
const MINUTES_DEFAULT: u32 = 60;

/// Longest policy set, bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct SetMax(pub(super) usize);

/// A form with a proposal and a capture, in this order.
#[derive(ToSchema)]
#[expect(dead_code, reason = "for the description alone")]
pub(super) struct WhatIfForm {
    /// The policy set.
    #[schema(value_type = PolicySetDocument)]
    policies: String,
    /// The capture file (pcap or pcapng).
    #[schema(value_type = String, format = Binary)]
    capture: Vec<u8>,
}

/// Compares the set in force with a proposal, before anything changes: a policy set over the flows that ended in the last `minutes`, or a form
/// with `policies` and `capture` over the traffic of a capture file.
///
/// The answer is a job whose `result` is a `WhatIfView`. With `wait` it is answered once that is there, or after so many seconds.
#[utoipa::path(
    post,
    path = "/policy/what-if",
    tag = "policy",
    params(
        ("minutes" = Option<u32>, Query, maximum = 43200, description = "How far to look back, 1 to 43200; 60 where left out. Not with a capture."),
        ("wait" = Option<u64>, Query, maximum = 20, description = "Seconds to wait for the result, 0 to 20."),
    ),
    request_body(content((PolicySetDocument = "application/json"), (WhatIfForm = "multipart/form-data"))),
    responses(
        (status = 200, description = "The job has ended.", body = JobView),
        (status = 202, description = "The job waits or runs.", body = JobView, headers(("Location" = String, description = "Of the job."))),
    ),
)]
pub(super) async fn ask(
    State(services): State<Arc<Services>>,
    State(jobs): State<Arc<Jobs>>,
    Extension(capture_max): Extension<UploadMax>,
    Extension(set_max): Extension<SetMax>,
    caller: Caller,
    mut parameters: Parameters,
    request: Request,
) -> Result<(Extension<Told>, Response), Problem> {
    let wait_s = job_board::wait(&mut parameters);
    let bounds = format!("a number from 1 to {MINUTES_MAX}");
    let minutes = parameters.take("minutes", &bounds, |text| {
        text.parse().ok().filter(|minutes| (1..=MINUTES_MAX).contains(minutes))
    });
    parameters.finish()?;
    let owner = caller.0.account.id.clone();
    let kind = request.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let (job, what) = if kind.starts_with(b"multipart/form-data") {
        if minutes.is_some() {
            let detail = "`minutes` and a capture cannot be asked for together.";
            return Err(Problem::new(Code::InvalidParameter, detail));
        }
        let form = Multipart::from_request(request, &()).await;
        let form = form.map_err(|error| Problem::new(Code::InvalidBody, error.body_text()))?;
        let (proposal, upload) = read_form(&services, &jobs, form, capture_max, set_max).await?;
        let what = json!({ "capture_bytes": upload.len_bytes() });
        let asking = Arc::clone(&services);
        (jobs.read(move || asking.what_if_capture(&proposal, upload, &owner)).await?, what)
    } else {
        let proposal = axum::body::to_bytes(request.into_body(), set_max.0).await;
        let proposal = proposal.map_err(|_error| too_large(set_max))?;
        let minutes = minutes.unwrap_or(MINUTES_DEFAULT);
        let asking = Arc::clone(&services);
        let asked = jobs.read(move || asking.what_if_records(&proposal, minutes, &owner));
        (asked.await?, json!({ "minutes": minutes }))
    };
    let job = job.map_err(problem)?;
    let told = Told::about(&job.job_id).after(&what);
    let job = job_board::patiently(&services, &jobs, job, wait_s).await?;
    let place = HeaderValue::from_str(&format!("/jobs/{}", job.job_id));
    let status = if job.ended_s.is_some() { StatusCode::OK } else { StatusCode::ACCEPTED };
    let mut response = (status, Json(job)).into_response();
    if let Ok(place) = place {
        response.headers_mut().insert(header::LOCATION, place);
    }
    Ok((Extension(told), response))
}

async fn read_form(
    services: &Arc<Services>,
    jobs: &Jobs,
    mut form: Multipart,
    capture_max: UploadMax,
    set_max: SetMax,
) -> Result<(Vec<u8>, Upload), Problem> {
    let broken = |error: axum::extract::multipart::MultipartError| {
        Problem::new(Code::InvalidBody, format!("The form cannot be read: {}.", error.body_text()))
    };
    let policies = form.next_field().await.map_err(broken)?.filter(|field| field.name() == Some("policies"));
    let mut policies = policies.ok_or_else(|| missing("policies", "first"))?;
    let mut proposal = Vec::new();
    while let Some(chunk) = chunk(&mut policies).await? {
        proposal.extend_from_slice(&chunk);
        if proposal.len() > set_max.0 {
            return Err(too_large(set_max));
        }
    }
    drop(policies);
    let capture = form.next_field().await.map_err(broken)?.filter(|field| field.name() == Some("capture"));
    let mut capture = capture.ok_or_else(|| missing("capture", "second"))?;
    let mut receiving = Receiving::begin(services, jobs, capture_max).await?;
    while let Some(chunk) = chunk(&mut capture).await? {
        receiving = receiving.push(jobs, &chunk).await?;
    }
    Ok((proposal, receiving.finish(jobs).await?))
}

async fn chunk(field: &mut Field<'_>) -> Result<Option<axum::body::Bytes>, Problem> {
    field.chunk().await.map_err(|error| {
        Problem::new(Code::InvalidBody, format!("The form cannot be read: {}.", error.body_text()))
    })
}

fn missing(field: &str, place: &str) -> Problem {
    let detail = format!(
        "The form has `policies` (a policy set), then `capture` (a capture file); `{field}` is not its {place} field."
    );
    Problem::new(Code::InvalidBody, detail)
}

fn too_large(SetMax(max_bytes): SetMax) -> Problem {
    let detail =
        format!("The policy set broke off, or is larger than the {max_bytes} bytes that this call takes.");
    Problem::new(Code::BodyTooLarge, detail)
}

fn problem(error: WhatIfError) -> Problem {
    match error {
        WhatIfError::Proposal(error) => load_problem(error),
        WhatIfError::NoRecords | WhatIfError::NoCaptures => {
            Problem::new(Code::Unavailable, format!("It cannot be told: {error}."))
        }
        WhatIfError::Store(error) => {
            let detail = format!("It cannot be kept: {error}.");
            Problem::of_store(&error, detail)
        }
        WhatIfError::Job(error) => error.into(),
    }
}
