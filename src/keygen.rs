//! Where do the keys that sign tokens come from? `jarvis keygen`.

use crate::cli::Keygen;
use crate::failure::Failure;
use crate::trust;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use controlplane::services::auth::algorithm::Algorithm;
use controlplane::services::auth::key::SigningKey;
use controlplane::services::auth::key_ring::KeyRing;
use controlplane::store::KeyFile;

/// Runs `jarvis keygen`; what it tells.
///
/// # Errors
///
/// One sentence: a file that is there already, a disk that does not take it.
pub(crate) fn run(typed: &Keygen) -> Result<Vec<String>, Failure> {
    let Some(path) = &typed.out else { return environment(typed) };
    let file = KeyFile::at(path);
    let before = trust::read(&file)?;
    let ring = match (before, typed.rotate) {
        (Some(before), true) => {
            let algorithm = typed.algorithm.unwrap_or(before.signing().verifying().algorithm());
            before.rotated(generate(algorithm)?)
        }
        (None, _) => KeyRing::of(generate(typed.algorithm.unwrap_or(DEFAULT))?),
        (Some(_), false) => {
            return Err(Failure::line(format!(
                "{} has keys already: --rotate puts a new one before them, whose tokens stay good",
                path.display()
            )));
        }
    };
    trust::write(&file, &ring)?;
    let key = ring.signing().verifying();
    Ok(vec![format!("{} key {} signs, in {} (mode 0600)", key.algorithm(), key.kid(), path.display())])
}

/// What signs where nobody says.
const DEFAULT: Algorithm = Algorithm::ALL[0];

/// A key as lines of an environment file, in the names of the former system.
fn environment(typed: &Keygen) -> Result<Vec<String>, Failure> {
    let key = generate(typed.algorithm.unwrap_or(DEFAULT))?;
    let secret = BASE64.encode(&*key.secret());
    if !key.verifying().algorithm().is_asymmetric() {
        return Ok(vec![format!("API_HMAC_KEY={secret}")]);
    }
    let public = BASE64.encode(key.verifying().public());
    Ok(vec![format!("PQC_SK_B64={secret}"), format!("PQC_PK_B64={public}")])
}

fn generate(algorithm: Algorithm) -> Result<SigningKey, Failure> {
    SigningKey::generate(algorithm).map_err(|error| Failure::line(error.to_string()))
}
