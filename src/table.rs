//! What does an answer of the API look like to people?
//!
//! Lists become tables, whose columns are chosen here for those that are known; anything else becomes `key: value` lines, what is
//! inside being indented. Units follow from the names of fields, which end with them: sizes and times are written as people
//! read them. `--json` gives programs the answer as it came.
//!
//! Names of hosts, users and applications come from the wire: no character of theirs reaches the terminal as a command.

use serde_json::{Map, Value};
use std::fmt::Write;
use std::net::Ipv6Addr;

/// A list of an answer: the member that it is, and its columns.
struct Listing {
    member: &'static str,
    /// Heading, and the path of the field.
    columns: &'static [(&'static str, &'static str)],
    /// Rows in which this is zero are only counted.
    counted_by: Option<&'static str>,
}

const fn listing(member: &'static str, columns: &'static [(&'static str, &'static str)]) -> Listing {
    Listing { member, columns, counted_by: None }
}

/// Lists that are known. The others show every field that holds one value.
const LISTINGS: &[Listing] = &[
    listing(
        "users",
        &[
            ("USERNAME", "username"),
            ("ROLE", "role"),
            ("ENABLED", "enabled"),
            ("MUST CHANGE", "must_change_password"),
            ("CREATED", "created_s"),
            ("USER ID", "user_id"),
        ],
    ),
    listing(
        "flows",
        &[
            ("FLOW ID", "flow_id"),
            ("PROTO", "proto"),
            ("SOURCE", "src_ip"),
            ("PORT", "src_port"),
            ("DESTINATION", "dest_ip"),
            ("PORT", "dest_port"),
            ("STATE", "flow.state"),
            ("APPLICATION", "jarvis.app_name"),
            ("OUT", "flow.bytes_toserver"),
            ("BACK", "flow.bytes_toclient"),
            ("VERDICT", "jarvis.verdict"),
            ("POLICY", "jarvis.policy_id"),
        ],
    ),
    listing(
        "policies",
        &[
            ("PRIORITY", "priority"),
            ("POLICY ID", "policy_id"),
            ("ENABLED", "enabled"),
            ("ACTION", "action"),
            ("HITS", "hits"),
            ("LAST HIT", "last_hit_s"),
            ("PACKETS", "packets"),
            ("BYTES", "bytes"),
            ("NAME", "name"),
        ],
    ),
    listing(
        "by_policy",
        &[
            ("CHANGE", "change"),
            ("POLICY", "policy_id"),
            ("ACTION", "action"),
            ("REFUSED", "allowed_to_refused.flows"),
            ("BYTES", "allowed_to_refused.bytes"),
            ("ALLOWED", "refused_to_allowed.flows"),
            ("BYTES", "refused_to_allowed.bytes"),
            ("OTHER", "other.flows"),
            ("LIVE", "live.policy_id"),
            ("DOES", "live.action"),
            ("PROPOSED", "proposed.policy_id"),
            ("WOULD", "proposed.action"),
            ("FLOWS", "flows"),
            ("PACKETS", "packets"),
            ("BYTES", "bytes"),
        ],
    ),
    listing(
        "examples",
        &[
            ("CHANGE", "change"),
            ("PROTO", "proto"),
            ("SOURCE", "src"),
            ("DESTINATION", "dst"),
            ("APPLICATION", "application"),
            ("USER", "user_id"),
            ("BYTES", "bytes"),
            ("LIVE", "live.policy_id"),
            ("DOES", "live.action"),
            ("PROPOSED", "proposed.policy_id"),
            ("WOULD", "proposed.action"),
        ],
    ),
    listing(
        "versions",
        &[
            ("VERSION", "version"),
            ("CURRENT", "current"),
            ("SAVED", "saved_s"),
            ("BY", "by"),
            ("CHANGE", "change"),
            ("REASON", "reason"),
            ("POLICIES", "policies"),
            ("SIZE", "len_bytes"),
        ],
    ),
    listing(
        "jobs",
        &[
            ("JOB ID", "job_id"),
            ("KIND", "kind"),
            ("STATE", "state"),
            ("CREATED", "created_s"),
            ("ENDED", "ended_s"),
            ("USER ID", "user_id"),
            ("ERROR", "error"),
        ],
    ),
    listing(
        "sessions",
        &[
            ("SESSION ID", "session_id"),
            ("USER ID", "user_id"),
            ("PURPOSE", "purpose"),
            ("CLIENT", "client"),
            ("CREATED", "created_s"),
            ("USED", "used_s"),
            ("EXPIRES", "expires_s"),
        ],
    ),
    listing(
        "entries",
        &[
            ("ENTRY", "entry"),
            ("TIME", "time_ns"),
            ("ACTOR", "actor.username"),
            ("ADDRESS", "address"),
            ("ACTION", "action"),
            ("TARGET", "target"),
            ("OUTCOME", "outcome"),
            ("REPEATED", "repeated"),
        ],
    ),
    listing(
        "workers",
        &[
            ("WORKER", "worker"),
            ("SILENT", "silent_ms"),
            ("RECEIVED", "frames.received"),
            ("FORWARDED", "frames.forwarded"),
            ("DROPPED", "frames.dropped"),
            ("BYTES", "frames.received_bytes"),
            ("FLOWS", "flows.active"),
            ("POLICIES", "policy_version"),
            ("LAG", "policy_lag"),
        ],
    ),
    listing(
        "ports",
        &[
            ("PORT", "port"),
            ("RX", "total.rx_packets"),
            ("RX BYTES", "total.rx_bytes"),
            ("TX", "total.tx_packets"),
            ("TX BYTES", "total.tx_bytes"),
            ("RX DROPPED", "total.rx_dropped"),
            ("RING FULL", "total.rx_ring_full"),
            ("FILL EMPTY", "total.rx_fill_ring_empty_descs"),
        ],
    ),
    Listing {
        member: "reasons",
        columns: &[
            ("REASON", "reason"),
            ("CLASS", "class"),
            ("DROPS", "drops"),
            ("COUNT", "count"),
            ("MEANING", "help"),
        ],
        counted_by: Some("count"),
    },
    listing(
        "latencies",
        &[
            ("WORKER", "worker"),
            ("BATCHES", "batch.count"),
            ("P50", "batch.p50_ns"),
            ("P99", "batch.p99_ns"),
            ("MAX", "batch.max_ns"),
            ("RING TO RING P50", "ring_to_ring.p50_ns"),
            ("P99", "ring_to_ring.p99_ns"),
            ("P99.9", "ring_to_ring.p999_ns"),
            ("MAX", "ring_to_ring.max_ns"),
        ],
    ),
    listing(
        "applications",
        &[
            ("APPLICATION", "application"),
            ("NAME", "name"),
            ("CATEGORY", "category"),
            ("FLOWS", "flows"),
            ("TO SERVER", "bytes_to_server"),
            ("TO CLIENT", "bytes_to_client"),
        ],
    ),
    listing(
        "holds",
        &[
            ("NAME", "name"),
            ("OF", "kinds"),
            ("FROM", "from_s"),
            ("TO", "to_s"),
            ("KEEPS", "held_bytes"),
            ("BY", "by"),
            ("SINCE", "since_s"),
            ("REASON", "reason"),
        ],
    ),
    listing(
        "webhooks",
        &[
            ("WEBHOOK ID", "webhook_id"),
            ("URL", "url"),
            ("TOPICS", "topics"),
            ("ENABLED", "enabled"),
            ("DELIVERED", "deliveries.delivered"),
            ("FAILURES", "deliveries.failures"),
            ("LAST ERROR", "deliveries.last_error"),
        ],
    ),
    listing("roles", &[("ROLE", "role"), ("PERMISSIONS", "permissions")]),
    listing("permissions", &[("PERMISSION", "permission"), ("MEANING", "description")]),
];

/// An answer as text, without a line break at its end.
pub(crate) fn render(answer: &Value) -> String {
    let mut out = String::new();
    match answer {
        Value::Null => {}
        Value::Object(members) => top(members, &mut out),
        Value::Array(rows) if rows.iter().any(Value::is_object) => list("", rows, 0, &mut out),
        other => out.push_str(&value_text("", other)),
    }
    out.truncate(out.trim_end().len());
    if out.is_empty() {
        out.push_str("done");
    }
    out
}

/// Lists stand first, so that what reads line by line finds the table where it looks for it.
fn top(members: &Map<String, Value>, out: &mut String) {
    let (lists, rest): (Vec<_>, Vec<_>) = members.iter().partition(|(_, value)| is_list(value));
    let (one, rest): (Vec<_>, Vec<_>) =
        rest.into_iter().filter(|(_, value)| !value.is_null()).partition(|(_, value)| !is_nested(value));
    // An object with lists among other things is told member by member; one that is a list is that list.
    let is_listing = lists.iter().any(|(key, _)| known(key).is_some()) || one.is_empty() && rest.is_empty();
    if is_listing {
        let many = lists.len() > 1;
        for (key, value) in &lists {
            if many {
                let _ = writeln!(out, "{}:", clean(key));
            }
            list(key, value.as_array().map(Vec::as_slice).unwrap_or_default(), 0, out);
            out.push('\n');
        }
    }
    for (key, value) in one.iter().filter(|(key, _)| *key != "next_cursor") {
        member(key, value, 0, out);
    }
    for (key, value) in &rest {
        member(key, value, 0, out);
    }
    if !is_listing {
        for (key, value) in &lists {
            member(key, value, 0, out);
        }
    }
    if let Some(cursor) = members.get("next_cursor").and_then(Value::as_str) {
        let _ = writeln!(out, "there is more: cursor={}", clean(cursor));
    }
}

fn member(key: &str, value: &Value, depth: usize, out: &mut String) {
    let indent = "  ".repeat(depth);
    let key_text = clean(key);
    match value {
        Value::Object(members) if !members.is_empty() => {
            let _ = writeln!(out, "{indent}{key_text}:");
            for (key, value) in members {
                member(key, value, depth + 1, out);
            }
        }
        Value::Array(rows) if rows.iter().any(is_nested) => {
            let _ = writeln!(out, "{indent}{key_text}:");
            list(key, rows, depth + 1, out);
        }
        one => {
            let _ = writeln!(out, "{indent}{key_text}: {}", value_text(key, one));
        }
    }
}

/// A list as a table where its rows are flat or known, else entry by entry.
fn list(key: &str, rows: &[Value], depth: usize, out: &mut String) {
    let indent = "  ".repeat(depth);
    if rows.is_empty() {
        let _ = writeln!(out, "{indent}no {}", if key.is_empty() { "entries" } else { key });
        return;
    }
    if let Some(listing) = known(key)
        && rows.iter().all(Value::is_object)
    {
        let shown: Vec<&Value> = rows
            .iter()
            .filter(|row| listing.counted_by.is_none_or(|field| at(row, field).as_u64() != Some(0)))
            .collect();
        let left_out = rows.len() - shown.len();
        let columns =
            listing.columns.iter().map(|(heading, path)| ((*heading).to_owned(), (*path).to_owned()));
        if !shown.is_empty() {
            table(&columns.collect::<Vec<_>>(), &shown, &indent, out);
        }
        if left_out > 0 {
            let _ = writeln!(out, "{indent}{left_out} more that were never counted");
        }
        return;
    }
    let flat = rows.iter().all(|row| row.as_object().is_some_and(|row| !row.values().any(is_nested)));
    if flat {
        let mut columns: Vec<(String, String)> = Vec::new();
        for name in rows.iter().filter_map(Value::as_object).flat_map(Map::keys) {
            if !columns.iter().any(|(_, path)| path == name) {
                columns.push((name.to_uppercase().replace('_', " "), name.clone()));
            }
        }
        table(&columns, &rows.iter().collect::<Vec<_>>(), &indent, out);
        return;
    }
    for row in rows {
        match row {
            Value::Object(members) => {
                let mut entry = String::new();
                for (key, value) in members {
                    member(key, value, depth + 1, &mut entry);
                }
                // The entry's first line carries the mark.
                let _ = write!(out, "{indent}- {}", entry.trim_start());
            }
            other => {
                let _ = writeln!(out, "{indent}- {}", value_text(key, other));
            }
        }
    }
}

fn table(columns: &[(String, String)], rows: &[&Value], indent: &str, out: &mut String) {
    // Nobody has this in any row: jobs without progress, flows without a policy.
    let is_told = |path: &str| rows.iter().any(|row| !at(row, path).is_null());
    let columns: Vec<_> = columns.iter().filter(|(_, path)| is_told(path)).collect();
    let cells = |row: &&Value| -> Vec<String> {
        columns.iter().map(|(_, path)| value_text(last(path), at(row, path))).collect()
    };
    let rows_text: Vec<Vec<String>> = rows.iter().map(cells).collect();
    let is_right: Vec<bool> = columns
        .iter()
        .map(|(_, path)| rows.iter().all(|row| matches!(at(row, path), Value::Number(_) | Value::Null)))
        .collect();
    let widths: Vec<usize> = columns
        .iter()
        .enumerate()
        .map(|(index, (heading, _))| {
            let widest = rows_text.iter().map(|row| row[index].chars().count()).max();
            widest.unwrap_or_default().max(heading.chars().count())
        })
        .collect();
    let headings: Vec<String> = columns.iter().map(|(heading, _)| clean(heading)).collect();
    for row in std::iter::once(&headings).chain(&rows_text) {
        let mut line = String::new();
        for ((cell, &width), is_right) in row.iter().zip(&widths).zip(&is_right) {
            let _ =
                if *is_right { write!(line, "{cell:>width$}  ") } else { write!(line, "{cell:<width$}  ") };
        }
        let _ = writeln!(out, "{indent}{}", line.trim_end());
    }
}

fn known(member: &str) -> Option<&'static Listing> {
    LISTINGS.iter().find(|listing| listing.member == member)
}

/// The field at a path with dots.
fn at<'v>(row: &'v Value, path: &str) -> &'v Value {
    path.split('.').fold(row, |value, name| &value[name])
}

fn last(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}

fn is_nested(value: &Value) -> bool {
    match value {
        Value::Object(members) => !members.is_empty(),
        Value::Array(items) => items.iter().any(is_nested),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn is_list(value: &Value) -> bool {
    value.is_array()
}

/// One value on one line. Booleans and absence are words.
fn value_text(key: &str, value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Number(number) => {
            number.as_f64().and_then(|plain| with_unit(key, plain)).unwrap_or_else(|| {
                // Means come with digits that mean nothing.
                if number.is_f64() {
                    format!("{:.2}", number.as_f64().unwrap_or_default())
                } else {
                    number.to_string()
                }
            })
        }
        // The API writes IPv6 addresses in full, as EVE does; people read RFC 5952's form.
        Value::String(text) => {
            text.parse::<Ipv6Addr>().map_or_else(|_| clean(text), |address| address.to_string())
        }
        Value::Array(items) if items.is_empty() => "none".to_owned(),
        Value::Array(items) => items.iter().map(|item| value_text(key, item)).collect::<Vec<_>>().join(", "),
        Value::Object(members) if members.is_empty() => "none".to_owned(),
        // What an action does, in a cell: {"rate_limit": {...}} as a whole.
        Value::Object(_) => clean(&value.to_string()),
    }
}

/// A number whose field's name ends with its unit; `None` where it does not.
fn with_unit(key: &str, number: f64) -> Option<String> {
    let is = |unit: &str| key == unit.trim_start_matches('_') || key.ends_with(unit);
    // Seconds and nanoseconds are moments, since 1970, where they are as large as those of this century.
    if is("_bytes") || key.starts_with("bytes_to") {
        Some(size(number))
    } else if is("_bytes_per_s") {
        Some(format!("{}/s", size(number)))
    } else if key.ends_with("_per_s") {
        None
    } else if key.ends_with("_s") {
        Some(if number >= 946_684_800.0 { moment(number as u64) } else { span(number * 1e9) })
    } else if key.ends_with("_ms") {
        Some(span(number * 1e6))
    } else if key.ends_with("_us") {
        Some(span(number * 1e3))
    } else if key.ends_with("_ns") {
        Some(if number >= 946_684_800e9 { moment((number / 1e9) as u64) } else { span(number) })
    } else {
        None
    }
}

/// Bytes in the largest unit that leaves a number above one.
pub(crate) fn size(bytes: f64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let (mut left, mut unit) = (bytes, 0);
    while left >= 1024.0 && unit + 1 < units.len() {
        left /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{left:.0} B") } else { format!("{left:.1} {}", units[unit]) }
}

/// A length of time in its two largest units, or with three digits below a minute.
pub(crate) fn span(ns: f64) -> String {
    let seconds = ns / 1e9;
    if ns < 1e3 {
        return if ns == 0.0 { "0".to_owned() } else { format!("{ns:.0} ns") };
    }
    if ns < 1e6 {
        return format!("{:.1} us", ns / 1e3);
    }
    if seconds < 1.0 {
        return format!("{:.1} ms", ns / 1e6);
    }
    if seconds < 60.0 {
        return format!("{seconds:.1} s");
    }
    let seconds = seconds as u64;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours) {
        (0, 0) => format!("{minutes} min {} s", seconds % 60),
        (0, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

/// UTC as RFC 3339 writes it.
pub(crate) fn moment(since_1970_s: u64) -> String {
    let (days, rest) = (since_1970_s / 86_400, since_1970_s % 86_400);
    // Days to a date by counting from 1 March of year 0 (H. Hinnant, "chrono-compatible low-level date algorithms").
    let z = days + 719_468;
    let era = z / 146_097;
    let day_of_era = z % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3_600, rest / 60 % 60, rest % 60)
}

/// Without anything that a terminal would obey, and without what turns the direction of text around.
pub(crate) fn clean(text: &str) -> String {
    let is_hostile = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.contains(is_hostile) {
        return text.to_owned();
    }
    text.chars()
        .flat_map(|c| {
            let shown: Vec<char> = if is_hostile(c) { c.escape_unicode().collect() } else { vec![c] };
            shown
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_list_has_the_columns_of_its_kind_and_numbers_on_the_right() {
        let answer = json!({"next_cursor": null, "users": [
            {"username": "ada", "role": "analyst", "enabled": true, "must_change_password": false,
             "created_s": 1_795_785_950_u64, "user_id": "u-1", "version": 7},
            {"username": "bartholomew", "role": "admin", "enabled": false, "must_change_password": true,
             "created_s": 0, "user_id": "u-2", "version": 7}]});
        assert_eq!(
            render(&answer),
            "USERNAME     ROLE     ENABLED  MUST CHANGE               CREATED  USER ID\n\
             ada          analyst  yes      no           2026-11-27T13:25:50Z  u-1\n\
             bartholomew  admin    no       yes                             0  u-2"
        );
        assert_eq!(render(&json!({"users": [], "next_cursor": null})), "no users");
        let more = render(&json!({"users": [], "next_cursor": "abc"}));
        assert!(more.ends_with("there is more: cursor=abc"), "{more}");
    }

    #[test]
    fn what_stands_beside_a_list_follows_it() {
        let answer = json!({"policies": [{"policy_id": "p", "priority": 5, "enabled": true,
            "action": {"rate_limit": {"bytes_per_s": 9}}, "name": "P"}], "total": 1, "version": 3});
        assert_eq!(
            render(&answer),
            "PRIORITY  POLICY ID  ENABLED  ACTION                            NAME\n\
             \x20      5  p          yes      {\"rate_limit\":{\"bytes_per_s\":9}}  P\n\ntotal: 1\nversion: 3"
        );
    }

    #[test]
    fn objects_are_lines_with_what_is_inside_indented() {
        let answer = json!({"uptime_s": 90_061.5, "frames": {"received": 10, "received_bytes": 1_536},
            "degraded": [], "zones": ["inside", "outside"], "nothing": null});
        assert_eq!(
            render(&answer),
            "uptime_s: 1 d 1 h\nframes:\n  received: 10\n  received_bytes: 1.5 KiB\ndegraded: none\nzones: inside, outside"
        );
        assert_eq!((render(&json!({})), render(&Value::Null)), ("done".to_owned(), "done".to_owned()));
        assert_eq!(render(&json!({"prefixes": ["10.0.0.0/8"]})), "- 10.0.0.0/8");
    }

    #[test]
    fn lists_that_nobody_knows_are_shown_whole() {
        let flat = json!({"keys": [{"kid": "a", "use": "sig"}, {"kid": "b", "alg": "X"}]});
        assert_eq!(render(&flat), "KID  USE  ALG\na    sig  -\nb    -    X");
        let nested = json!({"version": 2, "added": [{"policy_id": "p", "conditions": {"dst_port": ["23"]}}]});
        assert_eq!(
            render(&nested),
            "version: 2\nadded:\n  - conditions:\n      dst_port: 23\n    policy_id: p"
        );
    }

    #[test]
    fn reasons_that_never_happened_are_counted_and_not_shown() {
        let answer = json!({"reasons": [
            {"reason": "a", "class": "x", "drops": true, "count": 0, "help": "A.", "workers": [0]},
            {"reason": "b", "class": "x", "drops": true, "count": 2, "help": "B.", "workers": [2]}]});
        let text = render(&answer);
        assert!(text.contains("\nb       x      yes        2  B.\n"), "{text}");
        assert!(text.ends_with("1 more that were never counted"), "{text}");
    }

    #[test]
    fn ipv6_addresses_are_short() {
        let rows = json!({ "src_ip": "fd77:0000:0000:0000:0000:0000:0000:0001", "mac": "02:00:00:00:00:01" });
        let text = render(&rows);
        assert!(text.contains("src_ip: fd77::1") && text.contains("mac: 02:00:00:00:00:01"), "{text}");
    }

    #[test]
    fn units_follow_from_names() {
        for (key, number, text) in [
            ("rx_bytes", 1023.0, "1023 B"),
            ("bytes_toserver", 5_368_709_120.0, "5.0 GiB"),
            ("memory_bytes", 1e30, "867361737988.4 EiB"),
            ("p99_ns", 31_487.0, "31.5 us"),
            ("silent_ms", 3.0, "3.0 ms"),
            ("wait_s", 3_725.0, "1 h 2 min"),
            ("saved_s", 1_795_785_946.0, "2026-11-27T13:25:46Z"),
            ("time_ns", 1_709_164_800e9, "2024-02-29T00:00:00Z"),
        ] {
            assert_eq!(with_unit(key, number).as_deref(), Some(text), "{key}");
        }
        for key in ["flow_id", "src_port", "reject_per_s", "count", "s"] {
            assert_eq!(with_unit(key, 2e9), None, "{key}");
        }
    }

    #[test]
    fn nothing_from_the_wire_commands_the_terminal() {
        let answer = json!({"flows": [{"flow_id": 1, "jarvis": {"app_name": "a\u{1b}]0;x\u{7}\n\u{202e}b"}}],
            "na\u{1b}me": "v\r"});
        let text = render(&answer);
        assert!(!text.contains(['\u{1b}', '\u{7}', '\r', '\u{202e}']), "{text:?}");
        assert!(text.contains("a\\u{1b}]0;x\\u{7}\\u{a}\\u{202e}b"), "{text}");
    }
}
