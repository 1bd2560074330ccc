//! From whom does the box take RADIUS accounting? The configuration with its secrets read.

use crate::config::{Config, RadiusClient};
use crate::failure::Failure;
use controlplane::sources::radius::{Client, RadiusConfig};
use zeroize::Zeroizing;

/// Shorter secrets are guessed from one packet (RFC 2865 3 asks for 16 at least).
const SECRET_BYTES_MIN: usize = 16;

/// What the configuration says; `None`: nothing of RADIUS.
///
/// # Errors
///
/// Every secret that cannot be read, or is too short.
pub(crate) fn config(config: &Config) -> Result<Option<RadiusConfig>, Failure> {
    let Some(radius) = &config.identity.radius else { return Ok(None) };
    let (mut clients, mut wrong) = (Vec::new(), Vec::new());
    for client in &radius.clients {
        match secret(client) {
            Ok(secret) => clients.push(Client {
                networks: client.networks.clone(),
                secret,
                needs_message_authenticator: client.message_authenticator,
            }),
            Err(why) => wrong.push(why),
        }
    }
    if !wrong.is_empty() {
        return Err(Failure::lines(wrong));
    }
    Ok(Some(RadiusConfig { listen: radius.listen, clients, mapping: radius.mapping }))
}

/// The first line of the file.
fn secret(client: &RadiusClient) -> Result<Zeroizing<Vec<u8>>, String> {
    let file = client.secret_file.display();
    let text = std::fs::read(&client.secret_file).map(Zeroizing::new);
    let text = text.map_err(|error| format!("cannot read the RADIUS secret {file}: {error}"))?;
    let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default().trim_ascii();
    if line.len() < SECRET_BYTES_MIN {
        let len = line.len();
        return Err(format!(
            "the RADIUS secret in {file} has {len} bytes, {SECRET_BYTES_MIN} at least are wanted; make one with `openssl rand -hex 16`"
        ));
    }
    Ok(Zeroizing::new(line.to_vec()))
}
