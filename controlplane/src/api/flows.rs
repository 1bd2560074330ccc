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
use utoipa::ToSchema;

use super::jobs::Jobs;
use super::problem::{Code, Problem};
use super::request::{Page, Parameters};
use super::trail::Told;
use crate::services::Services;
use crate::services::flows::{FlowCursor, FlowQuestion};
use crate::services::names::{inner_flow_id, outer_flow_id, protocol_number};

/// What [`list`] writes.
#[derive(ToSchema)]
#[expect(dead_code, reason = "a page is written without being built")]
struct FlowsPage {
    /// EVE `flow` events of flows that are there.
    #[schema(value_type = Vec<Object>)]
    flows: Vec<serde_json::Value>,
    /// Of the next page.
    next_cursor: Option<String>,
}

/// Live flows.
#[utoipa::path(
    get,
    path = "/dpi/flows",
    tag = "dpi",
    params(
        ("ip" = Option<String>, Query, description = "An address or a prefix."),
        ("port" = Option<u16>, Query, description = "A port, either side."),
        ("proto" = Option<String>, Query, description = "An IP protocol's name or number."),
        ("state" = Option<String>, Query, description = "new, established or closed."),
        ("flow_id" = Option<u64>, Query, description = "One flow."),
        ("limit" = Option<u32>, Query, description = "Entries wanted, 1 to 1000; 100 where left out."),
        ("cursor" = Option<String>, Query, description = "The `next_cursor` of the page before."),
    ),
    responses(
        (status = 200, description = "A page; it may be shorter than `limit` and yet not the last.", body = FlowsPage),
    ),
)]
pub(super) async fn list(
    State(services): State<Arc<Services>>,
    State(jobs): State<Arc<Jobs>>,
    mut parameters: Parameters,
) -> Result<Response, Problem> {
    let page = Page::take(&mut parameters, FlowCursor::read);
    let question = FlowQuestion {
        filter: FlowFilter {
            prefix: parameters.take("ip", "an address or a prefix", prefix),
            port: parameters.take("port", "a port, 0 to 65535", |text| text.parse().ok()),
            protocol: parameters.take("proto", "an IP protocol's name or number", protocol_number),
            state: parameters.take("state", "new, established or closed", state),
            flow_id: parameters.take("flow_id", "a flow's number", flow_id),
            ..FlowFilter::default()
        },
        limit: page.limit.min(PAGE_FLOWS_MAX),
        cursor: page.cursor.unwrap_or_default(),
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

#[derive(Serialize, ToSchema)]
pub(super) struct Ended {
    ended: u64,
}

/// Ends a flow.
#[utoipa::path(
    delete,
    path = "/dpi/flows/{flow_id}",
    tag = "dpi",
    params(
        ("flow_id" = u64, Path, description = "Its number."),
    ),
    responses((status = 200, description = "It has ended.", body = Ended)),
)]
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

pub(super) fn problem_of(error: QueryError) -> Problem {
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
