//! A connection that asks at set times. What comes late counts from when it was due, so that a server that stands still is not
//! asked less for it ("coordinated omission").

use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{AUTHORIZATION, HOST, HeaderValue};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::{Answers, Work};

/// One connection.
#[derive(Debug)]
pub(crate) struct Reader {
    index: usize,
    sender: SendRequest<Empty<Bytes>>,
    authorization: HeaderValue,
}

/// Connections that are opened at once: the server's backlog is not what is measured.
const OPENING_MAX: usize = 128;

/// Opens all connections.
///
/// # Errors
///
/// Nobody at the address.
pub(crate) async fn connect(work: &Work, authorization: &HeaderValue) -> Result<Vec<Reader>, String> {
    let mut readers = Vec::with_capacity(work.readers);
    while readers.len() < work.readers {
        let more = OPENING_MAX.min(work.readers - readers.len());
        let mut opening = tokio::task::JoinSet::new();
        for _ in 0..more {
            opening.spawn(open(work.address));
        }
        while let Some(opened) = opening.join_next().await {
            let sender = opened.map_err(|error| error.to_string())??;
            readers.push(Reader::new(readers.len(), sender, authorization.clone()));
        }
    }
    Ok(readers)
}

/// One connection with a task that moves its bytes.
///
/// # Errors
///
/// Nobody at the address.
pub(crate) async fn open<B>(address: std::net::SocketAddr) -> Result<SendRequest<B>, String>
where
    B: hyper::body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let say = |error: &dyn std::fmt::Display| format!("{address}: {error}");
    let stream = TcpStream::connect(address).await.map_err(|error| say(&error))?;
    stream.set_nodelay(true).map_err(|error| say(&error))?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| say(&error))?;
    // A connection that breaks shows at the next request.
    tokio::spawn(async move { drop(connection.await) });
    Ok(sender)
}

impl Reader {
    /// Asks until `end`.
    pub(crate) async fn read(mut self, work: Arc<Work>, begin: Instant, end: Instant) -> Answers {
        let mut answers = Answers::new();
        let every = Duration::from_secs_f64(work.readers as f64 / work.rate);
        // All readers together ask evenly.
        let mut due = begin + Duration::from_secs_f64(self.index as f64 / work.rate);
        let mut turn = self.index;
        while due < end {
            tokio::time::sleep_until(due).await;
            let path = work.paths[turn % work.paths.len()].as_str();
            let (status, bytes) = self.ask(path).await.unwrap_or((0, 0));
            answers.add(status, due.elapsed(), bytes);
            if status == 0 {
                match open(work.address).await {
                    Ok(sender) => self.sender = sender,
                    Err(_gone) => break,
                }
            }
            due += every;
            turn += 1;
        }
        answers
    }

    /// One connection with a token.
    pub(super) const fn new(
        index: usize,
        sender: SendRequest<Empty<Bytes>>,
        authorization: HeaderValue,
    ) -> Self {
        Self { index, sender, authorization }
    }

    /// Its connection, for another token.
    pub(super) fn into_sender(self) -> SendRequest<Empty<Bytes>> {
        self.sender
    }

    /// The status of an answer, and how long its body is.
    pub(super) async fn ask(&mut self, path: &str) -> Result<(u16, usize), hyper::Error> {
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = path.parse().unwrap_or_default();
        request.headers_mut().insert(HOST, HeaderValue::from_static("localhost"));
        request.headers_mut().insert(AUTHORIZATION, self.authorization.clone());
        self.sender.ready().await?;
        let answer = self.sender.send_request(request).await?;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await?.to_bytes();
        Ok((status, body.len()))
    }
}
