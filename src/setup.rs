//! Which configuration and which policies does a command work with?
//!
//! Named on the command line, or named by the configuration, or embedded: in this order. Shared by every
//! command that reads them, so that `check` finds exactly what `run` would.

use crate::cli::ConfigFlag;
use crate::config::{
    Checksum, Config, DEFAULT_CONFIG, DEFAULT_POLICY, Environment, Mode, Port, PortFlags, Ports, understand,
};
use crate::failure::Failure;
use crate::{portal, serve, workers};
use controlplane::api::Tls;
use controlplane::services::{Applications, Policies, PolicySources};
use controlplane::store::PolicyHistory;
use dataplane::dpi::recogniser::Recogniser;
use dataplane::engine::Inspection;
use dataplane::policy::{PolicyFile, PolicySet, Supplied};
use std::sync::Arc;

/// What this build tells of a flow besides its headers. Policies on anything else are warned about.
pub(crate) fn supplied(config: &Config) -> Supplied {
    Supplied {
        application: config.inspect.enabled,
        identity: true,
        country: config.rules.geoip_database.is_some(),
    }
}

/// What payload is recognised by, where the configuration wants it to be, and the applications among that, to be read again.
///
/// # Errors
///
/// Everything that is wrong with the operator's file of applications.
pub(crate) fn inspection(config: &Config) -> Result<Option<(Inspection, Applications)>, Failure> {
    if !config.inspect.enabled {
        return Ok(None);
    }
    let applications = Applications::load(config.inspect.applications.as_deref())?;
    let inspection =
        Inspection { recogniser: Arc::new(Recogniser::new()), apps: Arc::clone(applications.table()) };
    Ok(Some((inspection, applications)))
}

/// The version of a policy set that no store has.
const FIRST_VERSION: u32 = 1;

/// Reads the configuration that `flag` names, or the embedded one.
///
/// # Errors
///
/// Everything that is wrong with it.
pub(crate) fn read_config(flag: &ConfigFlag, ports: &PortFlags, need: Ports) -> Result<Config, Failure> {
    let environment = Environment::of_process();
    match &flag.config {
        Some(path) => {
            let name = path.display().to_string();
            let text = std::fs::read_to_string(path)
                .map_err(|error| Failure::line(format!("cannot read the configuration {name}: {error}")))?;
            Ok(understand(&name, &text, &environment, ports, need)?)
        }
        None => Ok(understand("(embedded configuration)", DEFAULT_CONFIG, &environment, ports, need)?),
    }
}

/// Reads the certificates of the API, where it has TLS; with what deserves a second look.
///
/// # Errors
///
/// Everything that is wrong with the files.
pub(crate) fn tls(config: &Config) -> Result<(Option<Arc<Tls>>, Vec<String>), Failure> {
    let Some(files) = &config.api.tls.files else {
        return Ok((None, in_clear(config).into_iter().collect()));
    };
    let now_s = serve::now().wall.0 / 1_000_000_000;
    let (tls, warnings) = Tls::load(files.clone(), config.api.tls.clients.clone(), now_s)
        .map_err(|faults| Failure::lines(faults.iter().map(ToString::to_string).collect()))?;
    Ok((Some(Arc::new(tls)), warnings.iter().map(ToString::to_string).collect()))
}

/// A port that others than this machine reach, without TLS.
fn in_clear(config: &Config) -> Option<String> {
    let listen = config.api.listen;
    (!listen.ip().to_canonical().is_loopback()).then(|| {
        format!("the API listens on {listen} without TLS: passwords and tokens cross the network in clear, see [api.tls]")
    })
}

/// Compiles policies for this configuration and the applications that it recognises. Inline, a set without a default
/// action is refused.
pub(crate) fn policies(config: &Config, inspection: Option<&(Inspection, Applications)>) -> Policies {
    let applications = inspection.map(|(_, applications)| applications.clone()).unwrap_or_default();
    Policies::new(workers::policy_environment(config), config.mode == Mode::Inline, applications)
}

/// Where a running box has its policies from.
pub(crate) fn policy_sources(
    config: &Config,
    history: Result<PolicyHistory, String>,
) -> PolicySources<'static> {
    PolicySources { file: config.policy_file.clone(), embedded: DEFAULT_POLICY.as_bytes(), history }
}

/// Loads the configured policies, or the embedded ones.
///
/// # Errors
///
/// Everything that is wrong with them.
pub(crate) fn load_policies(policies: &mut Policies, config: &Config) -> Result<PolicySet, Failure> {
    Ok(match &config.policy_file {
        Some(path) => policies.load_file(path, FIRST_VERSION)?,
        None => policies.load_embedded(DEFAULT_POLICY.as_bytes(), FIRST_VERSION)?,
    })
}

/// What deserves a second look in the configured policies, although they are valid.
pub(crate) fn policy_warnings(config: &Config) -> Vec<String> {
    let (name, bytes) = match &config.policy_file {
        Some(path) => (path.display().to_string(), std::fs::read(path).unwrap_or_default()),
        None => ("(embedded)".to_owned(), DEFAULT_POLICY.as_bytes().to_vec()),
    };
    // Whoever asks has loaded them before and told every error.
    let Ok(file) = PolicyFile::parse(&name, &bytes) else { return Vec::new() };
    let mut warnings: Vec<String> = file.lint(supplied(config)).iter().map(ToString::to_string).collect();
    warnings.extend(portal::unused(config, &file));
    if config.mirror.is_none() {
        let idle = file.policies.iter().filter(|policy| policy.enabled && policy.mirror);
        warnings.extend(idle.map(|policy| {
            format!(
                "{name}:{}: policy {}: copies frames to the mirror port, but [mirror] names no interface",
                policy.line, policy.policy_id
            )
        }));
    }
    warnings
}

/// Gives a configuration without ports the two that a capture file is judged by.
pub(crate) fn assume_ports(config: &mut Config) {
    if config.ports.is_empty() {
        config.ports = ["inside", "outside"]
            .map(|zone| Port {
                interface: zone.to_owned(),
                zone: zone.to_owned(),
                checksum: Checksum::Verify,
                networks: Vec::new(),
            })
            .into();
    }
}
