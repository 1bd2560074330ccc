//! Which applications are in this capture? `jarvis replay` of the same build reads it, in a process of its own: a capture that would
//! end a parser ends that process, not the one that carries traffic.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::job_board::Progress;
use crate::store::Upload;

/// How the other process is started.
#[derive(Debug, Clone)]
pub struct Reader {
    /// This program.
    pub program: PathBuf,
    /// Its configuration, for applications of the operator's own.
    pub config: Option<PathBuf>,
}

/// What the other process may take: address space in bytes, processor time in seconds. It runs at low priority.
const ADDRESS_SPACE_BYTES_MAX: u64 = 4 << 30;
const CPU_S_MAX: u64 = 600;

/// How often it is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Flows that are told one by one.
const FLOWS_TOLD_MAX: usize = 1_000;

/// Applications that are told.
const APPLICATIONS_TOLD_MAX: usize = 1_000;

/// Longest line of its output that is read, bytes.
pub(super) const LINE_BYTES_MAX: u64 = 1 << 20;

/// What is in a capture.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct ClassifiedView {
    /// Bytes of the file.
    pub file_bytes: u64,
    /// Packets in it.
    pub packets: u64,
    /// Flows in it.
    pub flows: u64,
    /// Most bytes first.
    pub applications: Vec<ApplicationSum>,
    /// Events of each type, `flow` included.
    #[schema(value_type = Object)]
    pub events: HashMap<String, u64>,
    /// The first 1,000 flows, in the order in which they ended.
    pub flow_list: Vec<FlowLine>,
    /// Flows that are not in `flow_list`.
    pub flows_left_out: u64,
    /// Why the file was not read to its end, where it was not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incomplete: Option<String>,
}

/// Flows of one application.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ApplicationSum {
    /// `unknown` where it was not recognised.
    pub application: String,
    /// Its category.
    pub category: String,
    /// Flows of it.
    pub flows: u64,
    /// Packets of them.
    pub packets: u64,
    /// Bytes of them.
    pub bytes: u64,
}

/// One flow.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct FlowLine {
    /// As in EVE.
    pub flow_id: u64,
    /// Of the initiator.
    pub src: String,
    /// Of the responder.
    pub dst: String,
    /// Layer 4.
    pub proto: String,
    /// Layer 7.
    pub protocol: String,
    /// Which application.
    pub application: String,
    /// Its category.
    pub category: String,
    /// 0 to 100.
    pub confidence: u64,
    /// Both ways.
    pub packets: u64,
    /// Both ways.
    pub bytes: u64,
}

/// Reads the capture and says what is in it.
///
/// # Errors
///
/// A sentence: it is no capture, the process cannot be started, it was ended.
pub(super) fn classify(
    reader: &Reader,
    upload: &Upload,
    progress: &Progress,
) -> Result<ClassifiedView, String> {
    let output = upload.path().with_extension("eve");
    let _gone = Removed::at(&output);
    let incomplete = read_capture(reader, upload, &output, &[], progress)?;
    let mut view = ClassifiedView { file_bytes: upload.len_bytes(), incomplete, ..ClassifiedView::default() };
    read_events(&output, &mut view)?;
    if let (Some(why), 0) = (&view.incomplete, view.packets) {
        return Err(format!("It cannot be read as a capture: {why}"));
    }
    progress.set(upload.len_bytes(), upload.len_bytes());
    Ok(view)
}

/// Reads a capture in the other process, which writes events to `output`; why it was not read to its end, where it was not.
///
/// # Errors
///
/// A sentence: the process cannot be started, it was ended.
pub(super) fn read_capture(
    reader: &Reader,
    upload: &Upload,
    output: &Path,
    words: &[&OsStr],
    progress: &Progress,
) -> Result<Option<String>, String> {
    let mut child = start(reader, upload.path(), output, words)?;
    let mut said = child.stderr.take();
    let status = loop {
        if let Some(status) = child.try_wait().map_err(|error| format!("The reader was lost: {error}."))? {
            break status;
        }
        if progress.is_cancelled() {
            let _ = child.kill();
            let _ = child.wait();
            return Err("It was ended by request.".to_owned());
        }
        if let Some(at) = position(&child, upload.path()) {
            progress.set(at.min(upload.len_bytes()), upload.len_bytes());
        }
        std::thread::sleep(LOOK_EVERY);
    };
    let mut words = String::new();
    if let Some(said) = said.as_mut() {
        // It says a line or two.
        let _ = said.take(64 * 1024).read_to_string(&mut words);
    }
    let mut incomplete = None;
    if !status.success() {
        let why = words.lines().find(|line| line.contains(".upload")).or(words.lines().last());
        // Where the file is, is nobody's business.
        let why = why.map_or_else(
            || status.to_string(),
            |line| line.rsplit(".upload: ").next().unwrap_or(line).to_owned(),
        );
        incomplete = Some(why);
    }
    Ok(incomplete)
}

fn start(reader: &Reader, capture: &Path, output: &Path, words: &[&OsStr]) -> Result<Child, String> {
    let mut command = Command::new("nice");
    command
        .args(["-n", "10", "prlimit"])
        .arg(format!("--as={ADDRESS_SPACE_BYTES_MAX}"))
        .arg(format!("--cpu={CPU_S_MAX}"))
        .arg("--core=0")
        .arg(&reader.program)
        .arg("replay")
        .arg(capture)
        .arg("--eve")
        .arg(output)
        .args(words);
    if let Some(config) = &reader.config {
        command.arg("--config").arg(config);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command.spawn().map_err(|error| format!("The reader of captures cannot be started: {error}."))
}

/// How far the process has read the file, bytes.
fn position(child: &Child, path: &Path) -> Option<u64> {
    let process = PathBuf::from(format!("/proc/{}", child.id()));
    for entry in std::fs::read_dir(process.join("fd")).ok()?.flatten() {
        if std::fs::read_link(entry.path()).is_ok_and(|target| target == path) {
            let info = std::fs::read_to_string(process.join("fdinfo").join(entry.file_name())).ok()?;
            return info.lines().find_map(|line| line.strip_prefix("pos:"))?.trim().parse().ok();
        }
    }
    None
}

fn read_events(output: &Path, view: &mut ClassifiedView) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("What was found cannot be read: {error}.");
    let file = match File::open(output) {
        Ok(file) => file,
        // A file that is no capture at all leaves none.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    let mut sums: HashMap<String, ApplicationSum> = HashMap::new();
    let mut lines = BufReader::new(file);
    let mut line = Vec::new();
    loop {
        line.clear();
        if lines.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line).map_err(failed)? == 0 {
            break;
        }
        let Ok(event) = serde_json::from_slice::<Value>(&line) else { continue };
        let Some(kind) = event["event_type"].as_str() else { continue };
        match kind {
            "flow" => add_flow(&event, &mut sums, view),
            "stats" => view.packets = event["stats"]["decoder"]["pkts"].as_u64().unwrap_or(view.packets),
            _ => {}
        }
        *view.events.entry(kind.to_owned()).or_default() += 1;
    }
    view.events.remove("stats");
    view.applications = sums.into_values().collect();
    view.applications
        .sort_by(|one, other| (other.bytes, &one.application).cmp(&(one.bytes, &other.application)));
    view.applications.truncate(APPLICATIONS_TOLD_MAX);
    Ok(())
}

fn add_flow(event: &Value, sums: &mut HashMap<String, ApplicationSum>, view: &mut ClassifiedView) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (flow, notes) = (&event["flow"], &event["jarvis"]);
    let number = |name: &str| flow[name].as_u64().unwrap_or_default();
    let packets = number("pkts_toserver") + number("pkts_toclient");
    let bytes = number("bytes_toserver") + number("bytes_toclient");
    let application = notes["app_name"].as_str().unwrap_or("unknown").to_owned();
    let sum = sums.entry(application.clone()).or_insert_with(|| ApplicationSum {
        application: application.clone(),
        category: text(&notes["category"]),
        ..ApplicationSum::default()
    });
    sum.flows += 1;
    sum.packets += packets;
    sum.bytes += bytes;
    view.flows += 1;
    if view.flow_list.len() == FLOWS_TOLD_MAX {
        view.flows_left_out += 1;
        return;
    }
    let end = |address: &Value, port: &Value| match (address.as_str(), port.as_u64()) {
        (Some(address), Some(port)) if address.contains(':') => format!("[{address}]:{port}"),
        (Some(address), Some(port)) => format!("{address}:{port}"),
        (Some(address), None) => address.to_owned(),
        (None, _) => String::new(),
    };
    view.flow_list.push(FlowLine {
        flow_id: event["flow_id"].as_u64().unwrap_or_default(),
        src: end(&event["src_ip"], &event["src_port"]),
        dst: end(&event["dest_ip"], &event["dest_port"]),
        proto: text(&event["proto"]),
        protocol: text(&notes["protocol"]),
        application,
        category: text(&notes["category"]),
        confidence: notes["confidence"].as_u64().unwrap_or_default(),
        packets,
        bytes,
    });
}

/// A file that goes with this.
pub(super) struct Removed(PathBuf);

impl Removed {
    pub(super) fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }
}

impl Drop for Removed {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
