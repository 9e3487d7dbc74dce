//! Settings.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize, de::IgnoredAny};
use tagalong_chassis::config::{LogConfig, Settings as ReadSettings};

use crate::{click_log::Limits, error::Error};

const DAY: Duration = Duration::from_hours(24);
/// Browsers keep no cookie longer.
const LONGEST_COOKIE: u32 = 400;

/// The settings of the redirect on its own.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The redirect.
    pub redirect: Config,
    /// How to log.
    pub log: LogConfig,
    // One file or environment may serve all services: the sections of the others are theirs to read.
    #[serde(skip_serializing)]
    attendee_registry: IgnoredAny,
    #[serde(skip_serializing)]
    link_rendering: IgnoredAny,
}

impl ReadSettings for Settings {
    fn log(&self) -> &LogConfig {
        &self.log
    }
}

/// How the redirect works.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where visitors come in.
    pub http: String,
    /// Where `RedirectService` is served.
    pub grpc: String,
    /// Where health and metrics are served; not for the public.
    pub admin: String,
    /// Directory of the click log and the saved catalogue; used by one process at a time.
    pub data: PathBuf,
    /// File with the keys of attendee tokens; the same for every service.
    pub token_keys: PathBuf,
    /// The attendee registry.
    pub registry: String,
    /// The link rendering service.
    pub link_rendering: String,
    /// How long a purchase link waits for a fresh decision, in milliseconds; 1 to 5000.
    pub decision_deadline_ms: u64,
    /// How long a browser keeps the cookie, in days; 1 to 400.
    pub cookie_max_age_days: u32,
    /// Whether the cookie is for HTTPS only. Off is for trying things out on plain HTTP.
    pub cookie_secure: bool,
    /// When a visitor's answer may go out.
    pub click_durability: ClickDurability,
    /// How large the click log may become, in MiB; at least 1. When it is full of clicks that were not shipped, visitors are
    /// served and their clicks counted as dropped.
    pub click_log_limit_mb: u64,
    /// How long shipped clicks are kept, in days: as long as a restored backup of the registry may be old. A full
    /// log keeps them for less.
    pub click_retention_days: u32,
}

/// When a visitor's answer may go out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ClickDurability {
    /// When the click is on disk: an answered click survives a power cut.
    #[default]
    Strict,
    /// At once: what was answered in the last 50 ms may be lost when the process or the machine dies.
    Relaxed,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            http: "127.0.0.1:8080".to_owned(),
            grpc: "127.0.0.1:50051".to_owned(),
            admin: "127.0.0.1:9090".to_owned(),
            data: "tagalong-data/redirect".into(),
            token_keys: "tagalong-data/token-keys.toml".into(),
            registry: "http://127.0.0.1:50052".to_owned(),
            link_rendering: "http://127.0.0.1:50053".to_owned(),
            decision_deadline_ms: 150,
            cookie_max_age_days: 90,
            cookie_secure: true,
            click_durability: ClickDurability::default(),
            click_log_limit_mb: 4096,
            click_retention_days: 7,
        }
    }
}

impl Config {
    pub(crate) fn check(&self) -> Result<(), Error> {
        if !(1..=5000).contains(&self.decision_deadline_ms) {
            let problem = "must be 1 to 5000".to_owned();
            return Err(Error::Config { field: "decision_deadline_ms", problem });
        }
        if !(1..=LONGEST_COOKIE).contains(&self.cookie_max_age_days) {
            let problem = format!("must be 1 to {LONGEST_COOKIE}");
            return Err(Error::Config { field: "cookie_max_age_days", problem });
        }
        if self.click_log_limit_mb == 0 {
            let problem = "must be at least 1".to_owned();
            return Err(Error::Config { field: "click_log_limit_mb", problem });
        }
        Ok(())
    }

    pub(crate) fn click_limits(&self) -> Limits {
        Limits {
            durability: self.click_durability,
            size: self.click_log_limit_mb.saturating_mul(1 << 20),
            ..Limits::default()
        }
    }

    pub(crate) fn decision_deadline(&self) -> Duration {
        Duration::from_millis(self.decision_deadline_ms)
    }

    pub(crate) fn cookie_max_age(&self) -> Duration {
        DAY * self.cookie_max_age_days
    }

    pub(crate) fn click_retention(&self) -> Duration {
        DAY * self.click_retention_days
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        Config::default().check().unwrap();
        for (config, field) in [
            (Config { decision_deadline_ms: 0, ..Config::default() }, "decision_deadline_ms"),
            (Config { decision_deadline_ms: 5001, ..Config::default() }, "decision_deadline_ms"),
            (Config { cookie_max_age_days: 0, ..Config::default() }, "cookie_max_age_days"),
            (Config { cookie_max_age_days: 401, ..Config::default() }, "cookie_max_age_days"),
            (Config { click_log_limit_mb: 0, ..Config::default() }, "click_log_limit_mb"),
        ] {
            assert!(
                config.check().unwrap_err().to_string().starts_with(&format!("redirect.{field}: "))
            );
        }
    }
}
