//! Two policy sets over the traffic of a capture: `jarvis replay` under the set in force, with the proposal as its shadow. Its flows say
//! how they would fare.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use dataplane::account::Change;
use serde_json::Value;

use super::{Comparing, WhatIfView};
use crate::services::classify::{LINE_BYTES_MAX, Reader, Removed, read_capture};
use crate::services::differences::{Actions, PolicySide};
use crate::services::job_board::Progress;
use crate::services::names::Names;
use crate::services::recorded_flow::RecordedFlow;
use crate::store::Upload;

/// Compares; a sentence where it came to nothing. `files` are the set in force and the proposal.
pub(super) fn compare(
    reader: &Reader,
    upload: &Upload,
    files: &[Upload; 2],
    actions: &Actions,
    progress: &Progress,
) -> Result<WhatIfView, String> {
    let output = upload.path().with_extension("eve");
    let _gone = Removed::at(&output);
    let [live, proposal] = files.each_ref().map(Upload::path);
    let words = ["--policy".as_ref(), live.as_os_str(), "--shadow".as_ref(), proposal.as_os_str()];
    let incomplete = read_capture(reader, upload, &output, &words, progress)?;
    let mut comparing = Comparing::default();
    let has_events = add_events(&output, actions, &mut comparing)?;
    if let (Some(why), false) = (&incomplete, has_events) {
        return Err(format!("It cannot be read as a capture: {why}"));
    }
    let Comparing { mut view, differences } = comparing;
    view.source = "capture";
    view.differences = differences.view();
    view.incomplete = incomplete;
    Ok(view)
}

/// Whether there was anything.
fn add_events(output: &Path, actions: &Actions, comparing: &mut Comparing) -> Result<bool, String> {
    let failed = |error: std::io::Error| format!("What was found cannot be read: {error}.");
    let file = match File::open(output) {
        Ok(file) => file,
        // A file that is no capture at all leaves none.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(failed(error)),
    };
    // Nobody is known beside the wire, and ports are assumed.
    let nobody = Names::new(Vec::new());
    let (mut lines, mut line, mut has_events) = (BufReader::new(file), Vec::new(), false);
    loop {
        line.clear();
        if lines.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line).map_err(failed)? == 0 {
            return Ok(has_events);
        }
        let Ok(event) = serde_json::from_slice::<Value>(&line) else { continue };
        has_events = true;
        if let Some(flow) = RecordedFlow::read(&event, &nobody) {
            add(&flow, &event["jarvis"], actions, comparing);
        }
    }
}

fn add(flow: &RecordedFlow, own: &Value, actions: &Actions, comparing: &mut Comparing) {
    let shadow = &own["shadow"];
    let change = match shadow["change"].as_str() {
        Some("same") => return comparing.same(flow.sum),
        told => told.and_then(Change::of_label),
    };
    let Some(change) = change else {
        // One of the sets waited for a fact when the flow ended.
        return comparing.unknown(flow.sum, ["payload"].into_iter());
    };
    let id = |value: &Value| value.as_str().map(Box::from);
    let live = actions.side(id(&own["policy_id"]));
    let action = ["allow", "drop", "reject", "redirect", "rate_limit"]
        .into_iter()
        .find(|action| shadow["action"].as_str() == Some(action));
    let proposed = PolicySide { policy_id: id(&shadow["policy_id"]), action };
    comparing.differs(flow, change, &live, &proposed);
}
