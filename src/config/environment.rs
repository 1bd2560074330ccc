//! Which environment variables change the configuration?
//!
//! The names are those of the system that this one replaces, so that its environment file starts the
//! daemon unchanged: what has a meaning here overrides the file, the rest is accepted with one notice.
//! Values of secrets are never repeated in a message.

use super::meaning::{Config, KeySecrets, Level, Secret};
use super::problem::Problem;
use super::reading::RATE_PER_S;
use controlplane::api::Fingerprint;
use std::net::IpAddr;
use std::path::PathBuf;

/// Variables that are known but change nothing here.
const WITHOUT_MEANING: &[&str] = &["DATABASE_POOL_SIZE", "DATABASE_MAX_OVERFLOW", "UVICORN_RELOAD"];

/// What the environment asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Environment {
    listen_address: Option<IpAddr>,
    listen_port: Option<u16>,
    level: Option<Level>,
    json: Option<bool>,
    state_directory: Option<PathBuf>,
    secrets: KeySecrets,
    /// Client certificates of the API.
    pub mtls: Mtls,
    rate_enabled: Option<bool>,
    rate_per_s: Option<u32>,
    notices: Vec<String>,
    /// What is wrong with it.
    pub problems: Vec<Problem>,
}

/// What the environment asks of clients' certificates.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Mtls {
    /// `JARVIS_MTLS_REQUIRED`.
    pub required: Option<bool>,
    /// `JARVIS_MTLS_ALLOWED_FINGERPRINTS`.
    pub allowed_fingerprints: Option<Vec<Fingerprint>>,
}

impl Environment {
    /// The variables that are set and have a meaning.
    pub(crate) fn names(&self) -> Vec<&'static str> {
        let KeySecrets { pqc_secret, pqc_public, hmac } = &self.secrets;
        let all = [
            ("UVICORN_HOST", self.listen_address.is_some()),
            ("UVICORN_PORT", self.listen_port.is_some()),
            ("LOG_LEVEL", self.level.is_some()),
            ("LOG_FORMAT", self.json.is_some()),
            ("DATABASE_URL", self.state_directory.is_some()),
            ("RATE_LIMIT_ENABLED", self.rate_enabled.is_some()),
            ("RATE_LIMIT_PER_SECOND", self.rate_per_s.is_some()),
            ("JARVIS_MTLS_REQUIRED", self.mtls.required.is_some()),
            ("JARVIS_MTLS_ALLOWED_FINGERPRINTS", self.mtls.allowed_fingerprints.is_some()),
            ("PQC_SK_B64", pqc_secret.is_some()),
            ("PQC_PK_B64", pqc_public.is_some()),
            ("API_HMAC_KEY", hmac.is_some()),
        ];
        all.into_iter().filter(|(_, is_set)| *is_set).map(|(name, _)| name).collect()
    }

    /// Reads this process's environment.
    pub(crate) fn of_process() -> Self {
        Self::of(|name| std::env::var(name).ok())
    }

    /// Reads the variables that `get` knows; an empty value counts as unset. Quotes around a value are the file's, as python-dotenv
    /// takes them; `docker --env-file` leaves them there. Secrets are taken to the letter.
    pub(crate) fn of(get: impl Fn(&str) -> Option<String>) -> Self {
        let secret = |name: &str| get(name).filter(|value| !value.is_empty()).map(Secret::new);
        let get = |name: &str| get(name).map(|value| bare(&value)).filter(|value| !value.is_empty());
        let mut found = Self::default();
        if let Some(value) = get("UVICORN_HOST") {
            let address = if value == "localhost" { Ok(IpAddr::from([127, 0, 0, 1])) } else { value.parse() };
            found.listen_address =
                found.accept("UVICORN_HOST", &value, address.ok(), "an address such as 127.0.0.1");
        }
        if let Some(value) = get("UVICORN_PORT") {
            found.listen_port =
                found.accept("UVICORN_PORT", &value, value.parse().ok(), "a port such as 8000");
        }
        if let Some(value) = get("LOG_LEVEL") {
            let level = match value.to_ascii_lowercase().as_str() {
                "critical" | "fatal" | "error" => Some(Level::Error),
                "warning" | "warn" => Some(Level::Warn),
                "info" => Some(Level::Info),
                "debug" => Some(Level::Debug),
                "trace" | "notset" => Some(Level::Trace),
                _ => None,
            };
            found.level = found.accept(
                "LOG_LEVEL",
                &value,
                level,
                "one of critical, error, warning, info, debug, trace",
            );
        }
        if let Some(value) = get("LOG_FORMAT") {
            let json = match value.to_ascii_lowercase().as_str() {
                "json" => Some(true),
                "text" | "console" | "plain" => Some(false),
                // A pattern of Python's `logging`: lines have a form of their own here.
                pattern if pattern.contains("%(") => {
                    found
                        .notices
                        .push("LOG_FORMAT is a pattern of Python's logging: lines are text".to_owned());
                    Some(false)
                }
                _ => None,
            };
            found.json = found.accept("LOG_FORMAT", &value, json, "json or text");
        }
        if let Some(value) = get("DATABASE_URL") {
            found.database_url(&value);
        }
        if let Some(value) = get("RATE_LIMIT_ENABLED") {
            found.rate_enabled = found.accept("RATE_LIMIT_ENABLED", &value, truth(&value), "true or false");
        }
        if let Some(value) = get("RATE_LIMIT_PER_SECOND") {
            let rate = value.parse().ok().filter(|rate| (1..=1_000_000).contains(rate));
            found.rate_per_s = found.accept("RATE_LIMIT_PER_SECOND", &value, rate, "1 to 1000000");
        }
        if let Some(value) = get("JARVIS_MTLS_REQUIRED") {
            found.mtls.required =
                found.accept("JARVIS_MTLS_REQUIRED", &value, truth(&value), "true or false");
        }
        if let Some(value) = get("JARVIS_MTLS_ALLOWED_FINGERPRINTS") {
            found.fingerprints(&value);
        }
        found.secrets = KeySecrets {
            pqc_secret: secret("PQC_SK_B64"),
            pqc_public: secret("PQC_PK_B64"),
            hmac: secret("API_HMAC_KEY"),
        };
        if found.secrets.pqc_public.is_some() && found.secrets.pqc_secret.is_none() {
            found.notices.push("PQC_PK_B64 has no effect without PQC_SK_B64".to_owned());
        }
        if found.secrets.pqc_secret.is_some() && found.secrets.hmac.is_some() {
            found.notices.push("API_HMAC_KEY has no effect beside PQC_SK_B64, which signs".to_owned());
        }
        let idle: Vec<&str> = WITHOUT_MEANING.iter().copied().filter(|name| get(name).is_some()).collect();
        if !idle.is_empty() {
            found
                .notices
                .push(format!("set in the environment, without effect in this release: {}", idle.join(", ")));
        }
        found
    }

    /// The configuration with the environment's overrides and notices.
    pub(crate) fn apply(&self, mut config: Config) -> Config {
        if let Some(address) = self.listen_address {
            config.api.listen.set_ip(address);
        }
        if let Some(port) = self.listen_port {
            config.api.listen.set_port(port);
        }
        if let Some(level) = self.level {
            config.log.level = level;
        }
        if let Some(json) = self.json {
            config.log.json = json;
        }
        if let Some(directory) = &self.state_directory {
            config.state_directory.clone_from(directory);
        }
        match self.rate_enabled {
            Some(false) => config.api.rate_per_s = None,
            Some(true) => config.api.rate_per_s = config.api.rate_per_s.or(Some(RATE_PER_S)),
            None => {}
        }
        if let (Some(per_s), Some(limit)) = (self.rate_per_s, &mut config.api.rate_per_s) {
            *limit = per_s;
        }
        config.auth.secrets.clone_from(&self.secrets);
        config.notices.extend(self.notices.iter().cloned());
        config
    }

    fn accept<T>(&mut self, name: &str, value: &str, parsed: Option<T>, form: &str) -> Option<T> {
        if parsed.is_none() {
            self.problems.push(Problem::new("environment", format!("{name} is \"{value}\", must be {form}")));
        }
        parsed
    }

    /// Separated by commas; a list some of whose elements are wrong has no value.
    fn fingerprints(&mut self, list: &str) {
        const NAME: &str = "JARVIS_MTLS_ALLOWED_FINGERPRINTS";
        let mut all = Vec::new();
        for text in list.split(',').map(str::trim).filter(|text| !text.is_empty()) {
            match text.parse() {
                Ok(fingerprint) => all.push(fingerprint),
                Err(error) => self
                    .problems
                    .push(Problem::new("environment", format!("{NAME} holds \"{text}\", which is {error}"))),
            }
        }
        if !all.is_empty() {
            self.mtls.allowed_fingerprints = Some(all);
        }
    }

    /// `sqlite:///relative/file.db`, `sqlite:////absolute/file.db`, also `sqlite+aiosqlite:`; the
    /// directory of that file becomes ours. The URL of a server may hold a password and is not repeated.
    fn database_url(&mut self, url: &str) {
        let path = url
            .split_once(":///")
            .filter(|(scheme, _)| *scheme == "sqlite" || scheme.starts_with("sqlite+"))
            .map(|(_, path)| path.split('?').next().unwrap_or_default());
        match path {
            Some(path) if !path.is_empty() && path != ":memory:" => {
                let path = PathBuf::from(path);
                let directory = match path.parent() {
                    Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
                    Some(_) | None => PathBuf::from("."),
                };
                self.notices.push(format!("state directory is {}, from DATABASE_URL", directory.display()));
                self.state_directory = Some(directory);
            }
            Some(_) | None => self.notices.push(
                "DATABASE_URL names no sqlite file and has no effect: state is kept in files".to_owned(),
            ),
        }
    }
}

/// A value without the blanks and the pair of quotes around it.
fn bare(value: &str) -> String {
    let value = value.trim();
    let unquoted = |quote: char| value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    unquoted('"').or_else(|| unquoted('\'')).unwrap_or(value).trim().to_owned()
}

/// As pydantic, which read the former system's environment, understands it.
fn truth(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "t" | "yes" | "y" | "on" => Some(true),
        "0" | "false" | "f" | "no" | "n" | "off" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{PortFlags, Ports, understand};

    fn environment(pairs: &[(&str, &str)]) -> Environment {
        Environment::of(|name| {
            pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    }

    fn config(pairs: &[(&str, &str)], text: &str) -> Config {
        understand("t.toml", text, &environment(pairs), &PortFlags::default(), Ports::Optional).unwrap()
    }

    #[test]
    fn variables_override_the_file() {
        let config = config(
            &[
                ("UVICORN_HOST", "0.0.0.0"),
                ("UVICORN_PORT", "9000"),
                ("LOG_LEVEL", "WARNING"),
                ("LOG_FORMAT", "json"),
            ],
            "[api]\nlisten = \"127.0.0.1:8000\"\n[log]\nlevel = \"debug\"\n",
        );
        assert_eq!(config.api.listen.to_string(), "0.0.0.0:9000");
        assert_eq!(config.log.level, Level::Warn);
        assert!(config.log.json);
    }

    #[test]
    fn host_alone_keeps_the_port() {
        assert_eq!(config(&[("UVICORN_HOST", "localhost")], "").api.listen.to_string(), "127.0.0.1:8000");
    }

    #[test]
    fn sqlite_url_names_the_state_directory_and_says_so() {
        for (url, directory) in [
            ("sqlite:///./data/jarvis.db", "./data"),
            ("sqlite:////var/lib/old/jarvis.db", "/var/lib/old"),
            ("sqlite+aiosqlite:////srv/j.db?cache=shared", "/srv"),
            ("sqlite:///jarvis.db", "."),
        ] {
            let config = config(&[("DATABASE_URL", url)], "[state]\ndirectory = \"/elsewhere\"\n");
            assert_eq!(config.state_directory, PathBuf::from(directory), "{url}");
            assert_eq!(config.notices, [format!("state directory is {directory}, from DATABASE_URL")]);
        }
    }

    #[test]
    fn server_url_changes_nothing_and_its_password_is_not_repeated() {
        let config = config(&[("DATABASE_URL", "postgresql://u:secret@db/j")], "");
        assert_eq!(config.state_directory, PathBuf::from("/var/lib/jarvis"));
        assert_eq!(config.notices.len(), 1);
        assert!(!config.notices[0].contains("secret"));
    }

    #[test]
    fn what_has_no_meaning_is_accepted_with_one_notice_and_no_value() {
        let config = config(
            &[("UVICORN_RELOAD", "c2VjcmV0"), ("DATABASE_MAX_OVERFLOW", "7"), ("DATABASE_POOL_SIZE", "hush")],
            "",
        );
        assert_eq!(config.notices.len(), 1);
        for (needle, there) in
            [("UVICORN_RELOAD", true), ("DATABASE_MAX_OVERFLOW", true), ("hush", false), ("c2VjcmV0", false)]
        {
            assert_eq!(config.notices[0].contains(needle), there, "{needle}");
        }
    }

    #[test]
    fn quotes_are_the_files_and_a_secret_is_taken_to_the_letter() {
        let config = config(
            &[
                ("UVICORN_HOST", "\"0.0.0.0\""),
                ("UVICORN_PORT", " 9000 "),
                ("LOG_LEVEL", "'DEBUG'"),
                ("LOG_FORMAT", "\"%(asctime)s %(levelname)s %(message)s\""),
                ("DATABASE_POOL_SIZE", "\"\""),
                ("API_HMAC_KEY", "\"k\""),
            ],
            "[log]\nformat = \"json\"\n",
        );
        assert_eq!(config.api.listen.to_string(), "0.0.0.0:9000");
        assert_eq!((config.log.level, config.log.json), (Level::Debug, false));
        assert_eq!(config.auth.secrets.hmac.as_ref().map(Secret::text), Some("\"k\""));
        assert_eq!(config.notices, ["LOG_FORMAT is a pattern of Python's logging: lines are text"]);
    }

    #[test]
    fn rates_are_set_and_switched_off() {
        let rate = |pairs: &[(&str, &str)], text: &str| config(pairs, text).api.rate_per_s;
        assert_eq!(rate(&[], ""), Some(100));
        assert_eq!(rate(&[("RATE_LIMIT_PER_SECOND", "7")], ""), Some(7));
        assert_eq!(rate(&[("RATE_LIMIT_ENABLED", "False")], ""), None);
        let off = "[api.rate_limit]\nenabled = false\n";
        assert_eq!(rate(&[("RATE_LIMIT_PER_SECOND", "7")], off), None);
        assert_eq!(rate(&[("RATE_LIMIT_ENABLED", "1"), ("RATE_LIMIT_PER_SECOND", "7")], off), Some(7));
        assert_eq!(environment(&[("RATE_LIMIT_PER_SECOND", "0")]).problems.len(), 1);
    }

    #[test]
    fn keys_are_taken_and_shown_nowhere() {
        let config =
            config(&[("PQC_SK_B64", "c2VjcmV0"), ("PQC_PK_B64", "cHVibGlj"), ("API_HMAC_KEY", "hush")], "");
        let secrets = &config.auth.secrets;
        assert_eq!(secrets.pqc_secret.as_ref().map(Secret::text), Some("c2VjcmV0"));
        assert_eq!(secrets.hmac.as_ref().map(Secret::text), Some("hush"));
        assert_eq!(config.notices, ["API_HMAC_KEY has no effect beside PQC_SK_B64, which signs"]);
        let shown = format!("{config:?}");
        for secret in ["c2VjcmV0", "hush", "cHVibGlj"] {
            assert!(!shown.contains(secret));
        }
    }

    #[test]
    fn wrong_values_are_all_reported() {
        let found = environment(&[
            ("UVICORN_HOST", "example.org:80"),
            ("UVICORN_PORT", "70000"),
            ("LOG_LEVEL", "loud"),
            ("LOG_FORMAT", "xml"),
        ]);
        let names: Vec<&str> =
            found.problems.iter().map(|p| p.what.split(' ').next().unwrap_or_default()).collect();
        assert_eq!(names, ["UVICORN_HOST", "UVICORN_PORT", "LOG_LEVEL", "LOG_FORMAT"]);
    }
}
