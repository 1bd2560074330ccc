//! How is a policy set, or the context of a flow, written? For `/openapi.json` only: `dataplane::policy` reads both, knows
//! the line of every fault, and takes the former system's forms too.
#![expect(dead_code, reason = "described here, read by dataplane::policy")]

use std::collections::BTreeMap;

use serde::Deserialize;
use utoipa::ToSchema;

/// A policy set.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PolicySetDocument {
    /// Counted by whoever writes it.
    #[schema(required = false)]
    version: u32,
    /// What becomes of flows that no policy matches; inline there must be one.
    default_action: Option<DefaultAction>,
    /// What a flow may do while policies that may still match it disagree; `allow` where left out.
    deciding: Option<Deciding>,
    /// Whether segments outside of a connection's window are dropped.
    #[schema(required = false)]
    strict: bool,
    /// At most 100,000.
    #[schema(max_items = 100_000)]
    policies: Vec<PolicyDocument>,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum DefaultAction {
    Allow,
    Drop,
    Reject,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Deciding {
    Allow,
    Limit,
    Block,
}

/// One policy.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PolicyDocument {
    /// Its name for programs, once in a set.
    policy_id: String,
    /// Its name for people.
    #[schema(required = false)]
    name: String,
    #[schema(required = false)]
    description: String,
    /// `true` where left out.
    #[schema(required = false)]
    enabled: bool,
    /// Lower ones come first; equal ones by `policy_id`.
    #[schema(required = false)]
    priority: i32,
    conditions: Option<ConditionsDocument>,
    action: ActionDocument,
    /// Whether a match is told as an event.
    #[schema(required = false)]
    log: bool,
    /// Whether frames are copied to the mirror port.
    #[schema(required = false)]
    mirror: bool,
    /// Whether frames are captured.
    #[schema(required = false)]
    capture: bool,
    /// `false`: rules do not look at its flows.
    #[schema(required = false)]
    inspect: bool,
}

/// All of them must hold; of each any one value will do.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ConditionsDocument {
    /// Zone of the port that the flow began at.
    zone: Option<Words>,
    in_port: Option<Words>,
    vlan: Option<Numbers>,
    src_mac: Option<Words>,
    /// Addresses or prefixes.
    src_ip: Option<Words>,
    dst_ip: Option<Words>,
    /// Ports and ranges, such as `8000-8100`.
    src_port: Option<Numbers>,
    dst_port: Option<Numbers>,
    /// Of layer 4 or 7.
    protocol: Option<Words>,
    /// Names; `*` stands for any characters.
    application: Option<Words>,
    category: Option<Words>,
    /// 0 to 100.
    #[schema(maximum = 100)]
    min_confidence: Option<u8>,
    user_id: Option<Words>,
    user_role: Option<Words>,
    groups: Option<Words>,
    /// By name: a value, with `*` if need be; `true` for any value.
    #[schema(value_type = Option<Object>)]
    attributes: Option<BTreeMap<String, String>>,
    dst_user_id: Option<Words>,
    dst_user_role: Option<Words>,
    /// ISO 3166-1 alpha-2.
    country: Option<Words>,
    /// `days`, `hours`, `time_zone`.
    #[schema(value_type = Option<Object>)]
    schedule: Option<()>,
    /// The same once more: none of them may hold.
    #[schema(value_type = Option<Object>)]
    not: Option<()>,
}

#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
enum Words {
    One(String),
    Any(Vec<String>),
}

#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
enum Numbers {
    One(u16),
    Range(String),
    Any(Vec<NumberOrRange>),
}

#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
enum NumberOrRange {
    Number(u16),
    Range(String),
}

/// `"allow"`, `"drop"`, `"reject"`, or an object with one member.
#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
enum ActionDocument {
    Word(String),
    Object(ActionObject),
}

#[derive(Deserialize, ToSchema)]
struct ActionObject {
    /// The former system's form of the words.
    action: Option<String>,
    redirect: Option<RedirectDocument>,
    rate_limit: Option<RateLimitDocument>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RedirectDocument {
    /// `address:port`, or several.
    to: Words,
    /// MAC address.
    next_hop: Option<String>,
}

#[derive(Deserialize, ToSchema)]
struct RateLimitDocument {
    bytes_per_s: u64,
    /// One second's worth where left out.
    burst_bytes: Option<u64>,
    /// `flow`, `source`, `user` or `rule`.
    per: Option<String>,
}

/// A flow that might be. What is left out is unknown.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FlowContext {
    /// By name or index.
    zone: Option<NameOrNumber>,
    /// By name or index.
    in_port: Option<NameOrNumber>,
    #[schema(maximum = 4094)]
    vlan: Option<u16>,
    src_mac: Option<String>,
    src_ip: Option<String>,
    dst_ip: Option<String>,
    src_port: Option<u16>,
    dst_port: Option<u16>,
    /// Of layer 4 or 7, by name or number.
    protocol: Option<NameOrNumber>,
    application: Option<String>,
    /// As `application`.
    app_name: Option<String>,
    category: Option<String>,
    #[schema(maximum = 100)]
    confidence: Option<u8>,
    user_id: Option<String>,
    /// As `user_id`.
    username: Option<String>,
    user_role: Option<String>,
    groups: Option<Words>,
    /// As `groups`.
    user_groups: Option<Words>,
    #[schema(value_type = Option<Object>)]
    attributes: Option<BTreeMap<String, String>>,
    dst_user_id: Option<String>,
    dst_user_role: Option<String>,
    country: Option<String>,
    /// RFC 3339; now where left out.
    #[schema(format = DateTime)]
    time: Option<String>,
    /// Facts that will still become known: the interim answer is wanted.
    undecided: Option<Words>,
    /// The former system's place of the user.
    #[schema(value_type = Option<Object>)]
    iam_assertion: Option<()>,
    /// The former system's place of the application.
    #[schema(value_type = Option<Object>)]
    dpi_classification: Option<()>,
}

#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
enum NameOrNumber {
    Number(u8),
    Name(String),
}
