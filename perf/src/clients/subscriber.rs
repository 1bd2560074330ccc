//! Connections that wait for events: opened, answered, and then silent.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, HOST, HeaderValue};
use tokio::task::JoinSet;

use super::{Work, reader};

/// All subscribers; dropping them closes their connections.
#[derive(Debug)]
pub(crate) struct Subscribed {
    _tasks: JoinSet<()>,
    alive: Arc<AtomicUsize>,
}

impl Subscribed {
    /// Those whose stream has not ended.
    pub(crate) fn alive(&self) -> usize {
        self.alive.load(Ordering::Relaxed)
    }
}

/// Opens all of them, one after another, and waits for each answer's head.
///
/// # Errors
///
/// Nobody at the address, or the answer is no 200.
pub(crate) async fn subscribe(work: &Work, authorization: &HeaderValue) -> Result<Subscribed, String> {
    let mut tasks = JoinSet::new();
    let alive = Arc::new(AtomicUsize::new(0));
    for _ in 0..work.subscribers {
        let mut sender = reader::open::<Empty<Bytes>>(work.address).await?;
        let mut request = Request::new(Empty::new());
        *request.uri_mut() =
            work.subscribe_path.parse().map_err(|error| format!("{}: {error}", work.subscribe_path))?;
        request.headers_mut().insert(HOST, HeaderValue::from_static("localhost"));
        request.headers_mut().insert(AUTHORIZATION, authorization.clone());
        let answer = sender.send_request(request).await.map_err(|error| error.to_string())?;
        if answer.status() != 200 {
            return Err(format!("{} answered {}", work.subscribe_path, answer.status()));
        }
        alive.fetch_add(1, Ordering::Relaxed);
        let alive = Arc::clone(&alive);
        tasks.spawn(async move {
            let mut body = answer.into_body();
            while let Some(Ok(_frame)) = body.frame().await {}
            drop(sender);
            alive.fetch_sub(1, Ordering::Relaxed);
        });
    }
    Ok(Subscribed { _tasks: tasks, alive })
}
