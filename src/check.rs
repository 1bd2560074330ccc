//! What is wrong with a configuration and its policies?
//!
//! Nothing is touched and the machine is not asked: a configuration can be checked wherever its files are. The errors of
//! the configuration, the API's certificates and the policies are told in one go where the configuration can be read at all.

use crate::cli::{self, ConfigFlag};
use crate::config::{PortFlags, Ports, Rules, Service};
use crate::failure::Failure;
use crate::{dhcp, oidc, portal, radius, rules, setup, syslog, trust};
use dataplane::rules::memory::Names;
use ipnet::{Ipv4Net, Ipv6Net};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

/// Runs `jarvis check`; what it says on success.
///
/// # Errors
///
/// Everything that is wrong, each with file and line.
pub(crate) fn run(typed: &cli::Check) -> Result<Vec<String>, Failure> {
    let rules = match typed.rules.is_empty() {
        true => Ok(Vec::new()),
        false => named_rules(typed),
    };
    match (configuration(typed), rules) {
        (Ok(mut lines), Ok(more)) => {
            lines.extend(more);
            Ok(lines)
        }
        (Err(wrong), Ok(_)) | (Ok(_), Err(wrong)) => Err(wrong),
        (Err(wrong), Err(more)) => Err(wrong.and(more)),
    }
}

/// The rules of the command line, under what the configuration says of rules: groups, lists, thresholds, classes.
fn named_rules(typed: &cli::Check) -> Result<Vec<String>, Failure> {
    // What is wrong with the configuration itself is told of it: rules are checked as they stand then.
    let config = setup::read_config(&typed.config, &typed.ports.flags(), Ports::Optional);
    let config = config.map_or_else(|_told| Rules::default(), |config| config.rules);
    let began = Instant::now();
    let loaded = rules::load(&typed.rules, &config, &Arc::default())?;
    rules::checked(&loaded, began.elapsed())
}

/// The configuration and the policies.
fn configuration(typed: &cli::Check) -> Result<Vec<String>, Failure> {
    // The embedded configuration names no ports and is fine as it is.
    let need = if typed.config.config.is_some() { Ports::Required } else { Ports::Optional };
    let read = setup::read_config(&typed.config, &typed.ports.flags(), need);
    let mut config = match (read, &typed.policy) {
        (Ok(config), _) => config,
        (Err(failure), None) => return Err(failure),
        // A policy file named beside a broken configuration can still be read by itself.
        (Err(failure), Some(path)) => {
            let alone = ConfigFlag { config: None };
            let mut config = setup::read_config(&alone, &PortFlags::default(), Ports::Optional)?;
            config.policy_file = Some(path.clone());
            setup::assume_ports(&mut config);
            // Nor can it tell whether there is a service address: that is no fault of the policies.
            config.service.get_or_insert(Service {
                interface: String::new(),
                ipv4: Some(Ipv4Net::default()),
                ipv6: Some(Ipv6Net::default()),
                vlan: 0,
            });
            let inspection = setup::inspection(&config)?;
            return match setup::load_policies(&mut setup::policies(&config, inspection.as_ref()), &config) {
                Ok(_set) => Err(failure),
                Err(more) => Err(failure.and(more)),
            };
        }
    };
    if let Some(path) = &typed.policy {
        config.policy_file = Some(path.clone());
    }
    let inspection = setup::inspection(&config)?;
    let rules = match typed.rules.is_empty() {
        true => rules::set(&config.rules, &mut Names::default()),
        // What is named on the command line is told by itself.
        false => Ok(rules::Outcome::default()),
    };
    let loaded = setup::load_policies(&mut setup::policies(&config, inspection.as_ref()), &config);
    let rules = rules.and_then(|rules| match rules.wrong.is_empty() {
        true => Ok(rules),
        false => Err(Failure::lines(rules.wrong)),
    });
    let sources = [
        trust::check(&config),
        radius::config(&config).map(drop),
        oidc::config(&config).map(drop),
        syslog::config(&config).map(drop),
        dhcp::config(&config).map(drop),
    ];
    let (portal, of_portal) = match portal::config(&config) {
        Ok(portal) => (Ok(()), portal.map_or_else(Vec::new, |(_, warnings)| warnings)),
        Err(wrong) => (Err(wrong), Vec::new()),
    };
    let sources = sources.into_iter().chain([portal]);
    let secrets = sources.filter_map(Result::err).reduce(Failure::and).map_or(Ok(()), Err);
    let keys = match (secrets, rules) {
        (Ok(()), Ok(rules)) => Ok(rules),
        (Err(wrong), Ok(_)) | (Ok(()), Err(wrong)) => Err(wrong),
        (Err(wrong), Err(more)) => Err(wrong.and(more)),
    };
    let (set, rules, told) = everything(loaded, keys, setup::tls(&config))?;
    let of_rules = rules.unsupported.into_iter().chain(rules.idle);
    let warnings = told.into_iter().chain(of_portal).chain(of_rules).chain(setup::policy_warnings(&config));
    let notices = config.notices.iter().map(|notice| format!("notice: {notice}"));
    let mut lines: Vec<String> =
        notices.chain(warnings.map(|warning| format!("warning: {warning}"))).collect();
    let named = |path: &Option<PathBuf>, what: &str| {
        path.as_ref().map_or_else(|| format!("the embedded {what}"), |path| path.display().to_string())
    };
    let signatures =
        rules.set.map_or_else(String::new, |rules| format!(", and {} rules", rules.signatures().len()));
    lines.push(format!(
        "valid: {}, and {} with {} policies{signatures}",
        named(&typed.config.config, "configuration"),
        named(&config.policy_file, "policy set"),
        set.len(),
    ));
    Ok(lines)
}

/// All three, or everything that is wrong with them.
fn everything<S, R, T>(
    policies: Result<S, Failure>,
    keys: Result<R, Failure>,
    tls: Result<(T, Vec<String>), Failure>,
) -> Result<(S, R, Vec<String>), Failure> {
    let mut wrong: Option<Failure> = None;
    let mut note = |failure: Failure| {
        wrong = Some(match wrong.take() {
            Some(before) => before.and(failure),
            None => failure,
        });
    };
    let told = tls.map_err(&mut note).ok().map(|(_, told)| told);
    let keys = keys.map_err(&mut note).ok();
    let set = policies.map_err(&mut note).ok();
    match (set, keys, told) {
        (Some(set), Some(keys), Some(told)) => Ok((set, keys, told)),
        _ => Err(wrong.unwrap_or_else(|| Failure::line("the configuration cannot be used"))),
    }
}
