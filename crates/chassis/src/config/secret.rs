//! Text that must not be printed.
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

const REDACTED: &str = "[redacted]";

/// A setting that `Debug` and `Serialize` show as `[redacted]`. Read from `file:/path` it is the
/// content of that file, without the line end.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The secret itself: for use, never for printing.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl<S: Into<String>> From<S> for Secret {
    fn from(secret: S) -> Self {
        Self(secret.into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(REDACTED)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read(String::deserialize(deserializer)?).map(Self).map_err(D::Error::custom)
    }
}

/// A database URL; `Debug`, `Display` and `Serialize` hide its password. Read from `file:/path`
/// it is the content of that file, without the line end.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    /// The URL with its password: for connecting, never for printing.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl<S: Into<String>> From<S> for DatabaseUrl {
    fn from(url: S) -> Self {
        Self(url.into())
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&redact(&self.0))
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for DatabaseUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DatabaseUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read(String::deserialize(deserializer)?).map(Self).map_err(D::Error::custom)
    }
}

fn read(value: String) -> Result<String, String> {
    if value.contains(REDACTED) {
        return Err(format!("{REDACTED} is what --print-config shows, not a value"));
    }
    let Some(path) = value.strip_prefix("file:") else { return Ok(value) };
    match std::fs::read_to_string(path) {
        Ok(content) => Ok(content.trim_end_matches(['\r', '\n']).to_owned()),
        Err(error) => Err(format!("cannot read {path}: {error}")),
    }
}

/// Rather hides too much than too little: a password may hold any character, encoded or not.
fn redact(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let mut shown = format!("{scheme}://");
    let rest = match rest.rsplit_once('@') {
        Some((user, rest)) => {
            match user.split_once(':') {
                Some((user, _)) => shown.extend([user, ":", REDACTED]),
                None => shown.push_str(user),
            }
            shown.push('@');
            rest
        }
        None => rest,
    };
    let Some((place, query)) = rest.split_once('?') else {
        shown.push_str(rest);
        return shown;
    };
    shown.push_str(place);
    for (index, pair) in query.split('&').enumerate() {
        shown.push(if index == 0 { '?' } else { '&' });
        match pair.split_once('=') {
            Some((key, _)) if key.to_lowercase().contains("password") => {
                shown.extend([key, "=", REDACTED]);
            }
            _ => shown.push_str(pair),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_in_urls_are_hidden() {
        for (url, shown) in [
            ("sqlite:///var/lib/tagalong.db", "sqlite:///var/lib/tagalong.db"),
            ("postgres://db/tagalong", "postgres://db/tagalong"),
            ("postgres://me@db:5432/tagalong", "postgres://me@db:5432/tagalong"),
            ("postgres://me:s3cret@db/t", "postgres://me:[redacted]@db/t"),
            ("postgres://me:s3/c@r:e?t@db/t?a=b", "postgres://me:[redacted]@db/t?a=b"),
            ("postgres://db/t?user=me&password=x", "postgres://db/t?user=me&password=[redacted]"),
        ] {
            let url = DatabaseUrl::from(url);
            assert_eq!(url.to_string(), shown);
            assert_eq!(format!("{url:?}"), shown);
        }
    }
}
