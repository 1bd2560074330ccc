//! How does one ask a running daemon? The `ctl` commands' side of the Unix socket.
//!
//! Blocking calls, one connection each: a command asks once or twice and ends. Paths and bodies are those of the
//! API's own table (README.md), so that whatever the API can do a command can ask for.

use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
pub use hyper::Method;
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde_json::Value;

/// A daemon reached over its Unix socket.
#[derive(Debug, Clone)]
pub struct Client {
    socket: PathBuf,
    timeout: Duration,
}

/// Largest answer that is read, bytes.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Why there is no answer; each is a sentence for the operator.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens there.
    #[error("no daemon answers on {}: {source}; is `jarvis run` running?", socket.display())]
    NotRunning {
        /// The socket.
        socket: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The socket is somebody else's.
    #[error("{} may not be opened by you: run this as the daemon's user (usually root)", socket.display())]
    NotPermitted {
        /// The socket.
        socket: PathBuf,
    },
    /// It took too long.
    #[error("the daemon did not answer within {waited_s} s")]
    TimedOut {
        /// How long was waited, seconds.
        waited_s: u64,
    },
    /// The daemon said no.
    #[error("{}", refusal(*status, document))]
    Refused {
        /// HTTP status.
        status: u16,
        /// Its problem document.
        document: Value,
    },
    /// What was asked for cannot be put where it belongs.
    #[error("cannot write what was asked for: {0}")]
    Output(io::Error),
    /// What came back is no answer of this API.
    #[error("what answered on {} is not this daemon: {detail}", socket.display())]
    Strange {
        /// The socket.
        socket: PathBuf,
        /// What was wrong.
        detail: String,
    },
}

impl Client {
    /// A client of the daemon at `socket`.
    #[must_use]
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self { socket: socket.into(), timeout: Duration::from_secs(30) }
    }

    /// The same with another time limit per call.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The socket.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The answer to `GET path_and_query`.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub fn get(&self, path_and_query: &str) -> Result<Value, ClientError> {
        self.call(&Method::GET, path_and_query, None)
    }

    /// The answer to `POST path_and_query` with a JSON body.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub fn post(&self, path_and_query: &str, body: &Value) -> Result<Value, ClientError> {
        self.call(&Method::POST, path_and_query, Some(body))
    }

    /// The answer to `DELETE path_and_query` with a JSON body.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub fn delete(&self, path_and_query: &str, body: &Value) -> Result<Value, ClientError> {
        self.call(&Method::DELETE, path_and_query, Some(body))
    }

    /// The answer to `PUT path_and_query` with a JSON body.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub fn put(&self, path_and_query: &str, body: &Value) -> Result<Value, ClientError> {
        self.call(&Method::PUT, path_and_query, Some(body))
    }

    /// The answer to `PATCH path_and_query` with a JSON body.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub fn patch(&self, path_and_query: &str, body: &Value) -> Result<Value, ClientError> {
        self.call(&Method::PATCH, path_and_query, Some(body))
    }

    /// The answer to a call with a body as it stands in a file.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub fn send(&self, method: &Method, path_and_query: &str, body: Vec<u8>) -> Result<Value, ClientError> {
        let answer = self.ask(method, path_and_query, body)?;
        self.json(&answer)
    }

    /// The answer to `POST path_and_query` with a form of files (RFC 7578), in this order.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub fn form(&self, path_and_query: &str, fields: &[(&str, Vec<u8>)]) -> Result<Value, ClientError> {
        let (boundary, body) = form(fields);
        let kind = format!("multipart/form-data; boundary={boundary}");
        let answer = self.ask_with(&Method::POST, path_and_query, &kind, body)?;
        self.json(&answer)
    }

    /// The answer to `GET path_and_query` byte by byte, for a file.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub fn download(&self, path_and_query: &str) -> Result<Vec<u8>, ClientError> {
        Ok(self.ask(&Method::GET, path_and_query, Vec::new())?.to_vec())
    }

    /// Writes the answer to `POST path_and_query` as it comes, however long it is, to `out`; its length.
    ///
    /// # Errors
    ///
    /// [`ClientError`]; also for an answer that breaks off, and for what `out` does not take.
    pub fn download_to(&self, path_and_query: &str, out: &mut dyn io::Write) -> Result<u64, ClientError> {
        let strange = |detail: String| ClientError::Strange { socket: self.socket.clone(), detail };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| strange(format!("no runtime: {error}")))?;
        runtime.block_on(async {
            let request = Request::builder().method(Method::POST).uri(path_and_query);
            let request = request
                .header(header::HOST, "localhost")
                .body(Full::new(Bytes::new()))
                .map_err(|error| strange(format!("`{path_and_query}` cannot be asked for: {error}")))?;
            let answer = self.connect(request).await?;
            let status = answer.status();
            let mut body = answer.into_body();
            if !status.is_success() {
                let bytes = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
                let bytes = bytes.map_err(|error| strange(error.to_string()))?.to_bytes();
                return Err(refused(status, self.json(&bytes)?));
            }
            let mut len = 0;
            loop {
                let frame = tokio::time::timeout(self.timeout, body.frame()).await;
                let frame = frame.map_err(|_| ClientError::TimedOut { waited_s: self.timeout.as_secs() })?;
                let Some(frame) = frame.transpose().map_err(|error| strange(error.to_string()))? else {
                    return Ok(len);
                };
                if let Some(data) = frame.data_ref() {
                    out.write_all(data).map_err(ClientError::Output)?;
                    len += data.len() as u64;
                }
            }
        })
    }

    /// Shows the data of each server-sent event of `GET path_and_query`, with its id, until `show` says that it is enough or
    /// the stream ends. `after` is where an earlier stream ended.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub fn events(
        &self,
        path_and_query: &str,
        after: Option<u64>,
        show: &mut dyn FnMut(&SentEvent<'_>) -> ControlFlow<()>,
    ) -> Result<(), ClientError> {
        let strange = |detail: String| ClientError::Strange { socket: self.socket.clone(), detail };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| strange(format!("no runtime: {error}")))?;
        runtime.block_on(async {
            let mut request = Request::builder()
                .uri(path_and_query)
                .header(header::HOST, "localhost")
                .header(header::ACCEPT, "text/event-stream");
            if let Some(after) = after {
                request = request.header("last-event-id", after);
            }
            let request = request
                .body(Full::new(Bytes::new()))
                .map_err(|error| strange(format!("`{path_and_query}` cannot be asked for: {error}")))?;
            let answer = self.connect(request).await?;
            if !answer.status().is_success() {
                let status = answer.status();
                let bytes = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
                let bytes = bytes.map_err(|error| strange(error.to_string()))?.to_bytes();
                let document = serde_json::from_slice(&bytes).map_err(|error| strange(error.to_string()))?;
                return Err(refused(status, document));
            }
            let (mut body, mut text) = (answer.into_body(), Vec::new());
            // A stream that breaks off has ended: the caller asks again from where it was.
            while let Some(Ok(frame)) = body.frame().await {
                text.extend_from_slice(frame.data_ref().map_or(&[], |data| &data[..]));
                if text.len() > ANSWER_BYTES_MAX {
                    return Err(strange("an event without end".to_owned()));
                }
                let mut begin = 0;
                while let Some(len) = text[begin..].windows(2).position(|window| window == b"\n\n") {
                    if let Some(event) = SentEvent::read(&text[begin..begin + len])
                        && show(&event).is_break()
                    {
                        return Ok(());
                    }
                    begin += len + 2;
                }
                text.drain(..begin);
            }
            Ok(())
        })
    }

    fn call(&self, method: &Method, path: &str, body: Option<&Value>) -> Result<Value, ClientError> {
        self.send(method, path, body.map(|body| body.to_string().into_bytes()).unwrap_or_default())
    }

    fn json(&self, answer: &[u8]) -> Result<Value, ClientError> {
        if answer.is_empty() {
            return Ok(Value::Null);
        }
        let strange = |error: serde_json::Error| ClientError::Strange {
            socket: self.socket.clone(),
            detail: error.to_string(),
        };
        serde_json::from_slice(answer).map_err(strange)
    }

    /// The body of a good answer; empty where there is none.
    fn ask(&self, method: &Method, path: &str, body: Vec<u8>) -> Result<Bytes, ClientError> {
        self.ask_with(method, path, "application/json", body)
    }

    fn ask_with(&self, method: &Method, path: &str, kind: &str, body: Vec<u8>) -> Result<Bytes, ClientError> {
        let strange = |detail: String| ClientError::Strange { socket: self.socket.clone(), detail };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| strange(format!("no runtime: {error}")))?;
        runtime
            .block_on(async {
                tokio::time::timeout(self.timeout, self.exchange(method, path, kind, body)).await
            })
            .unwrap_or(Err(ClientError::TimedOut { waited_s: self.timeout.as_secs() }))
    }

    async fn connect(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, ClientError> {
        let strange = |detail: String| ClientError::Strange { socket: self.socket.clone(), detail };
        let socket = self.socket.clone();
        let stream =
            tokio::net::UnixStream::connect(&socket).await.map_err(|source| match source.kind() {
                io::ErrorKind::PermissionDenied => ClientError::NotPermitted { socket: self.socket.clone() },
                _ => ClientError::NotRunning { socket: self.socket.clone(), source },
            })?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| strange(error.to_string()))?;
        tokio::spawn(connection);
        sender.send_request(request).await.map_err(|error| strange(error.to_string()))
    }

    async fn exchange(
        &self,
        method: &Method,
        path: &str,
        kind: &str,
        body: Vec<u8>,
    ) -> Result<Bytes, ClientError> {
        let strange = |detail: String| ClientError::Strange { socket: self.socket.clone(), detail };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "localhost")
            .header(header::CONTENT_TYPE, kind)
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| strange(format!("`{path}` cannot be asked for: {error}")))?;
        let answer = self.connect(request).await?;
        let status = answer.status();
        let bytes = Limited::new(answer.into_body(), ANSWER_BYTES_MAX)
            .collect()
            .await
            .map_err(|error| strange(error.to_string()))?
            .to_bytes();
        if status.is_success() { Ok(bytes) } else { Err(refused(status, self.json(&bytes)?)) }
    }
}

/// The boundary, which no field has in it, and the form.
fn form(fields: &[(&str, Vec<u8>)]) -> (String, Vec<u8>) {
    let has = |text: &str| {
        fields.iter().any(|(_, bytes)| bytes.windows(text.len()).any(|window| window == text.as_bytes()))
    };
    let mut boundary = "jarvis-form".to_owned();
    while has(&boundary) {
        boundary.push('-');
    }
    let mut body = Vec::with_capacity(fields.iter().map(|(_, bytes)| bytes.len() + 128).sum());
    for (name, bytes) in fields {
        let head = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"{name}\"\r\n\r\n"
        );
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(bytes);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    (boundary, body)
}

/// A server-sent event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SentEvent<'a> {
    /// Its name: a topic or a notice.
    pub name: &'a str,
    /// Where to go on after it.
    pub id: Option<u64>,
    /// JSON in one line.
    pub data: &'a str,
}

impl<'a> SentEvent<'a> {
    /// `None`: a comment, or fields without data.
    fn read(text: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
        let data = field("data: ")?;
        Some(Self { name: field("event: ")?, id: field("id: ").and_then(|id| id.parse().ok()), data })
    }
}

fn refused(status: StatusCode, document: Value) -> ClientError {
    ClientError::Refused { status: status.as_u16(), document }
}

/// A problem document as lines for a terminal: the detail, then each fault with its place.
fn refusal(status: u16, document: &Value) -> String {
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    let mut out = text(document, "detail").unwrap_or_else(|| format!("the daemon answered {status}"));
    for fault in document.get("errors").and_then(Value::as_array).into_iter().flatten() {
        let mut place = text(fault, "file").map(|file| file + ":").unwrap_or_default();
        if let Some(line) = fault.get("line").and_then(Value::as_u64) {
            place.push_str(&format!("{line}:"));
        }
        for key in ["parameter", "pointer"] {
            if let Some(name) = text(fault, key) {
                let gap = if place.is_empty() { "" } else { " " };
                place.push_str(&format!("{gap}{name}:"));
            }
        }
        out.push_str(&format!("\n  {place} "));
        out.push_str(&text(fault, "detail").unwrap_or_default());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absent_daemon_is_a_sentence() {
        let error = Client::new("/nonexistent/api.sock").get("/health").unwrap_err();
        assert!(matches!(error, ClientError::NotRunning { .. }));
        assert!(error.to_string().starts_with("no daemon answers on /nonexistent/api.sock"), "{error}");
    }

    #[test]
    fn a_refusal_lists_every_fault_with_its_place() {
        let document = serde_json::json!({"detail": "The policy set has errors.", "errors": [
            {"file": "p.json", "line": 3, "pointer": "/policies/0", "detail": "no action"},
            {"parameter": "limit", "detail": "`x` is not a number"}]});
        assert_eq!(
            refusal(422, &document),
            "The policy set has errors.\n  p.json:3: /policies/0: no action\n  limit: `x` is not a number"
        );
        assert_eq!(refusal(500, &Value::Null), "the daemon answered 500");
    }
}
