//! Connections that wait for events over a WebSocket: opened, subscribed, and then silent.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::Work;

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

/// Longest answer to the handshake and the subscription, bytes.
const GREETING_BYTES_MAX: usize = 64 * 1024;

/// Opens all of them, one after another, and waits until each is told that it has subscribed.
///
/// # Errors
///
/// Nobody at the address, or no WebSocket.
pub(crate) async fn subscribe(work: &Work) -> Result<Subscribed, String> {
    let mut tasks = JoinSet::new();
    let alive = Arc::new(AtomicUsize::new(0));
    for number in 0..work.subscribers {
        let token = &work.subscriber_tokens[number % work.subscriber_tokens.len()];
        let mut stream = open(work, token).await.map_err(|error| format!("subscriber {number}: {error}"))?;
        alive.fetch_add(1, Ordering::Relaxed);
        let alive = Arc::clone(&alive);
        tasks.spawn(async move {
            // What comes now are pings, which a client answers within half a minute or so: the run is shorter.
            let mut bytes = [0; 256];
            while stream.read(&mut bytes).await.is_ok_and(|len| len > 0) {}
            alive.fetch_sub(1, Ordering::Relaxed);
        });
    }
    Ok(Subscribed { _tasks: tasks, alive })
}

async fn open(work: &Work, token: &str) -> Result<TcpStream, String> {
    let mut stream = TcpStream::connect(work.address).await.map_err(|error| error.to_string())?;
    let head = format!(
        "GET /ws HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         authorization: Bearer {token}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.map_err(|error| error.to_string())?;
    // RFC 6455 5.2: a text frame, masked with zeros as a client's must be.
    let text = br#"{"type":"subscribe","topics":["policy"]}"#;
    let mut frame = vec![0x81, 0x80 | text.len() as u8, 0, 0, 0, 0];
    frame.extend_from_slice(text);
    stream.write_all(&frame).await.map_err(|error| error.to_string())?;
    let mut got = Vec::new();
    while !got.windows(12).any(|window| window == b"\"subscribed\"") {
        let len = stream.read_buf(&mut got).await.map_err(|error| error.to_string())?;
        if len == 0 || got.len() > GREETING_BYTES_MAX {
            return Err(String::from_utf8_lossy(&got).lines().next().unwrap_or("closed").to_owned());
        }
    }
    Ok(stream)
}
