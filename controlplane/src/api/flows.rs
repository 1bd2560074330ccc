//! `/dpi/flows`: which flows are there now?

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use dataplane::control::{PAGE_FLOWS_MAX, QueryError};
use dataplane::flow::{FlowFilter, FlowState};
use dataplane::parse::Addr;
use ipnet::IpNet;
use serde::Serialize;

use super::jobs::Jobs;
use super::problem::{Code, Problem};
use super::request::Parameters;
use super::trail::Told;
use crate::services::Services;
use crate::services::flows::{FlowCursor, FlowQuestion};
use crate::services::names::{inner_flow_id, outer_flow_id, protocol_number};

/// Flows in a page that does not say how many it wants.
const LIMIT_DEFAULT: usize = 100;

/// `GET /dpi/flows?ip=&port=&proto=&state=&flow_id=&limit=&cursor=`.
pub(super) async fn list(
    State(services): State<Arc<Services>>,
    State(jobs): State<Arc<Jobs>>,
    mut parameters: Parameters,
) -> Result<Response, Problem> {
    let question = FlowQuestion {
        filter: FlowFilter {
            prefix: parameters.take("ip", "an address or a prefix", prefix),
            port: parameters.take("port", "a port, 0 to 65535", |text| text.parse().ok()),
            protocol: parameters.take("proto", "an IP protocol's name or number", protocol_number),
            state: parameters.take("state", "new, established or closed", state),
            flow_id: parameters.take("flow_id", "a flow's number", flow_id),
            ..FlowFilter::default()
        },
        limit: parameters.take("limit", "a number from 1 to 1000", limit).unwrap_or(LIMIT_DEFAULT),
        cursor: parameters
            .take("cursor", "a cursor that this call gave", FlowCursor::read)
            .unwrap_or_default(),
    };
    parameters.finish()?;
    let body = jobs
        .read(move || {
            let answer = services.flows(&question).map_err(problem_of)?;
            let mut body = Vec::with_capacity(64 + answer.flows.len() * 768);
            body.extend_from_slice(b"{\"flows\":[");
            services.write_flows(&answer.flows, &mut body);
            body.extend_from_slice(b"],\"next_cursor\":");
            match answer.next {
                Some(cursor) => body.extend_from_slice(format!("\"{}\"}}", cursor.text()).as_bytes()),
                None => body.extend_from_slice(b"null}"),
            }
            Ok::<_, Problem>(body)
        })
        .await??;
    Ok(([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response())
}

#[derive(Serialize)]
pub(super) struct Ended {
    ended: u64,
}

/// `DELETE /dpi/flows/{id}`.
pub(super) async fn end(
    State(services): State<Arc<Services>>,
    State(jobs): State<Arc<Jobs>>,
    Path(text): Path<String>,
) -> Result<(Extension<Told>, Json<Ended>), Problem> {
    let absent = Problem::new(Code::NotFound, format!("There is no flow {text}."));
    let Some(flow_id) = flow_id(&text) else { return Err(absent) };
    let ended = jobs.change(move || services.end_flow(flow_id)).await?.map_err(problem_of)?;
    let ended = ended.map(|record| outer_flow_id(record.flow_id)).ok_or(absent)?;
    Ok((Extension(Told::about(format!("flow {ended}"))), Json(Ended { ended })))
}

fn problem_of(error: QueryError) -> Problem {
    match error {
        QueryError::TimedOut { .. } => Problem::new(Code::WorkerTimeout, error.to_string()),
        QueryError::NoSuchWorker { .. } => Problem::new(Code::Internal, error.to_string()),
    }
}

fn prefix(text: &str) -> Option<(Addr, u8)> {
    let net = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).ok()?;
    let len = net.prefix_len();
    Some((net.network().into(), if net.addr().is_ipv4() { len + 96 } else { len }))
}

fn state(text: &str) -> Option<FlowState> {
    [FlowState::New, FlowState::Established, FlowState::Closed]
        .into_iter()
        .find(|state| state.label() == text)
}

fn flow_id(text: &str) -> Option<u64> {
    inner_flow_id(text.parse().ok()?)
}

fn limit(text: &str) -> Option<usize> {
    text.parse().ok().filter(|limit| (1..=PAGE_FLOWS_MAX).contains(limit))
}
