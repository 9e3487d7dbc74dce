//! Settings.

use std::path::PathBuf;

use serde::{Deserialize, Serialize, de::IgnoredAny};
use tagalong_chassis::{
    config::{self, LogConfig},
    public_url::PublicUrl,
};

/// The settings of `tagalong-link-rendering`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The service.
    pub link_rendering: Config,
    /// How to log.
    pub log: LogConfig,
    // One file or environment may serve all services: the sections of the others are theirs to read.
    #[serde(skip_serializing)]
    redirect: IgnoredAny,
    #[serde(skip_serializing)]
    attendee_registry: IgnoredAny,
}

impl config::Settings for Settings {
    fn log(&self) -> &LogConfig {
        &self.log
    }
}

/// How links are rendered by a process of its own.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where gRPC is served.
    pub grpc: String,
    /// Where health and metrics are served.
    pub admin: String,
    /// Where the attendee registry serves gRPC.
    pub registry: String,
    /// Where the redirect is reached from outside: the base of all links.
    pub public_url: PublicUrl,
    /// The file with the keys tokens are signed with, the same for every service.
    pub token_keys: PathBuf,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            grpc: "127.0.0.1:50053".to_owned(),
            admin: "127.0.0.1:9093".to_owned(),
            registry: "http://127.0.0.1:50052".to_owned(),
            public_url: PublicUrl::local(8080),
            token_keys: PathBuf::from("tagalong-data/token-keys.toml"),
        }
    }
}
