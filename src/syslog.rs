//! Which log lines does the box take for logins? The configuration with its patterns compiled.

use crate::config::Config;
use crate::failure::Failure;
use controlplane::sources::syslog::{Pattern, SyslogConfig};

/// What the configuration says; `None`: nothing of syslog.
///
/// # Errors
///
/// A pattern that does not compile.
pub(crate) fn config(config: &Config) -> Result<Option<SyslogConfig>, Failure> {
    let Some(syslog) = &config.identity.syslog else { return Ok(None) };
    let compiled = syslog.patterns.iter().map(|line| {
        let pattern = Pattern::new(line.event, &line.regex);
        pattern.map(|pattern| pattern.of(line.app_name.clone(), line.hostname.clone()))
    });
    let patterns = compiled
        .collect::<Result<_, _>>()
        .map_err(|why| Failure::line(format!("identity.syslog.pattern.regex {why}")))?;
    Ok(Some(SyslogConfig {
        udp: syslog.listen,
        tcp: syslog.listen_tcp,
        networks: syslog.networks.clone(),
        patterns,
        expires_s: syslog.expires_s,
    }))
}
