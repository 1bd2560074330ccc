//! What a token costs the first time it comes: its signature is verified then, and remembered by digest.

use std::time::Instant;

use hyper::header::HeaderValue;

use super::Work;
use super::reader::{Reader, open};

/// For each token the first answer and the one after it, microseconds, one after the other on one connection.
///
/// # Errors
///
/// Nobody at the address, or no 200.
pub(super) async fn measure(work: &Work) -> Result<Vec<(u64, u64)>, String> {
    let mut measured = Vec::new();
    if work.fresh_tokens.is_empty() {
        return Ok(measured);
    }
    let mut sender = Some(open(work.address).await?);
    for token in &work.fresh_tokens {
        let header = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|error| error.to_string())?;
        let mut reader = Reader::new(0, sender.take().ok_or("the connection is gone")?, header);
        let mut times = [0; 2];
        for time in &mut times {
            let asked = Instant::now();
            let (status, _bytes) = reader.ask(&work.paths[0]).await.map_err(|error| error.to_string())?;
            *time = asked.elapsed().as_micros() as u64;
            if status != 200 {
                return Err(format!("{} answered {status}", work.paths[0]));
            }
        }
        measured.push((times[0], times[1]));
        sender = Some(reader.into_sender());
    }
    Ok(measured)
}
