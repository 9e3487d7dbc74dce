//! Settings: built-in defaults, then a TOML file, then the environment, then flags.
use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
};

use ::config::{Config, ConfigError, FileFormat, Format as _, Value};
use serde::{Serialize, de::DeserializeOwned};

pub use crate::telemetry::{LogConfig, LogFormat};

mod secret;

pub use secret::{DatabaseUrl, Secret};

/// What every binary's settings have.
pub trait Settings: DeserializeOwned + Serialize {
    /// How to log.
    fn log(&self) -> &LogConfig;
}

/// Why settings could not be read. Messages name the key and where its value came from.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A `--set` or an environment variable names no possible key.
    #[error("{origin} is not the name of a setting")]
    Key {
        /// The flag or variable.
        origin: String,
    },
    /// The file is not TOML.
    #[error("{} is not TOML: {reason}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        reason: String,
    },
    /// There is no such setting.
    #[error("there is no setting {key} (from {origin}): {reason}")]
    Unknown {
        /// The whole key, `redirect.htpp`.
        key: String,
        /// The file, flag or variable.
        origin: String,
        /// Which keys there are.
        reason: String,
    },
    /// A value of the wrong kind, or one that is missing.
    #[error("{0}")]
    Invalid(ConfigError),
    /// Settings that cannot be printed.
    #[error("cannot print the settings as TOML")]
    Print(#[from] toml::ser::Error),
}

const PREFIX: &str = "TAGALONG__";

/// Reads settings: `C`'s serde defaults < `file` < environment < `overrides` (dotted key, value).
///
/// `TAGALONG__REDIRECT__HTTP` sets `redirect.http`; an empty variable counts as not set. Values of
/// variables and overrides are text that becomes what the field needs; `[…]` is a TOML list.
/// `C` and the structs in it should `deny_unknown_fields`, so that a misspelt key is an error.
///
/// # Errors
/// An unreadable file, bad TOML, an unknown key, a value of the wrong kind.
pub fn load<C: DeserializeOwned>(
    file: Option<&Path>,
    overrides: &[(String, String)],
) -> Result<C, Error> {
    load_from(file, std::env::vars_os(), overrides)
}

fn load_from<C: DeserializeOwned>(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    overrides: &[(String, String)],
) -> Result<C, Error> {
    let mut builder = Config::builder();
    let mut file_name = String::new();
    if let Some(path) = file {
        let text = fs::read_to_string(path)
            .map_err(|source| Error::Read { path: path.to_owned(), source })?;
        file_name = path.display().to_string();
        let wrong = |reason: String| Error::Parse { path: path.to_owned(), reason };
        toml::from_str::<toml::Table>(&text).map_err(|error| wrong(describe(&error, &text)))?;
        let table = FileFormat::Toml
            .parse(Some(&file_name), &text)
            .map_err(|_| wrong("unreadable".to_owned()))?;
        for (key, value) in table {
            builder = builder
                .set_default(&key, value)
                .map_err(|_| Error::Key { origin: format!("{key} (from {file_name})") })?;
        }
    }
    let settings = flatten(environment, overrides);
    for (key, value, origin) in &settings {
        builder = builder
            .set_override(key, parse(value, origin))
            .map_err(|_| Error::Key { origin: origin.clone() })?;
    }
    let read = builder.build().and_then(Config::try_deserialize);
    read.map_err(|error| explain(error, &settings, &file_name))
}

/// Without the line itself, which toml would show: it may hold a secret.
fn describe(error: &toml::de::Error, text: &str) -> String {
    let before = error.span().and_then(|span| text.get(..span.start));
    let line = before.map_or(1, |before| before.matches('\n').count() + 1);
    format!("line {line}: {}", error.message())
}

/// Key, value and origin of what the environment and the flags say, the strongest last.
fn flatten(
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    overrides: &[(String, String)],
) -> Vec<(String, String, String)> {
    let mut settings = Vec::new();
    for (name, value) in environment {
        let (Ok(name), Ok(value)) = (name.into_string(), value.into_string()) else { continue };
        if let Some(key) = name.strip_prefix(PREFIX)
            && !value.is_empty()
        {
            settings.push((key.to_lowercase().replace("__", "."), value, name));
        }
    }
    for (key, value) in overrides {
        settings.push((key.clone(), value.clone(), format!("--set {key}")));
    }
    settings
}

/// `config` knows in which section a key is unknown, but not who wrote it there.
fn explain(error: ConfigError, settings: &[(String, String, String)], file: &str) -> Error {
    let (section, reason) = match &error {
        ConfigError::At { error, key, .. } => (key.clone(), error.to_string()),
        error => (None, error.to_string()),
    };
    let Some((name, reason)) =
        reason.strip_prefix("unknown field `").and_then(|rest| rest.split_once("`, "))
    else {
        return Error::Invalid(error);
    };
    let key = section.map_or_else(|| name.to_owned(), |section| format!("{section}.{name}"));
    let within = |other: &str| {
        other.strip_prefix(&key).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let origin = settings.iter().rfind(|(other, ..)| within(other)).map(|(.., origin)| origin);
    let origin = origin.map_or(file, String::as_str).to_owned();
    Error::Unknown { origin, reason: reason.to_owned(), key }
}

fn parse(value: &str, origin: &String) -> Value {
    let list = value.starts_with('[').then(|| toml::from_str::<Lists>(&format!("list={value}")));
    match list {
        Some(Ok(Lists { list })) => Value::new(Some(origin), list),
        _ => Value::new(Some(origin), value),
    }
}

#[derive(serde::Deserialize)]
struct Lists {
    list: Vec<String>,
}

/// The settings as TOML, secrets redacted: what `--print-config` shows.
///
/// # Errors
/// Settings that TOML cannot hold.
pub fn to_toml(settings: &impl Serialize) -> Result<String, Error> {
    Ok(toml::to_string(settings)?)
}

#[cfg(test)]
mod tests;
