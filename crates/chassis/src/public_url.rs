//! The base of our own links.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use url::Url;

/// Longest base, in bytes: with the longest path behind it, a link still fits into a QR code.
const MAX_LEN: usize = 512;

/// A text that is no base of links.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PublicUrlError {
    /// Not a URL.
    #[error("must be a URL such as https://go.example.com")]
    Malformed,
    /// Not `http` or `https`.
    #[error("must begin with https:// or http://")]
    Scheme,
    /// It names a user or a password.
    #[error("must not name a user")]
    User,
    /// It has a query or a fragment, which nothing can be appended to.
    #[error("must not have a query or a fragment")]
    Query,
    /// Longer than 512 bytes.
    #[error("must be at most 512 bytes")]
    TooLong,
}

/// Where a service is reached from outside: `http` or `https`, a host, perhaps a path that all its links share.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicUrl(String);

impl PublicUrl {
    /// A service on this machine.
    #[must_use]
    pub fn local(port: u16) -> Self {
        Self(format!("http://127.0.0.1:{port}"))
    }

    /// The URL of a path that begins with a slash.
    #[must_use]
    pub fn join(&self, path: &str) -> String {
        format!("{}{path}", self.0)
    }
}

impl FromStr for PublicUrl {
    type Err = PublicUrlError;

    fn from_str(text: &str) -> Result<Self, PublicUrlError> {
        let url = Url::parse(text).map_err(|_| PublicUrlError::Malformed)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(PublicUrlError::Scheme);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(PublicUrlError::User);
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(PublicUrlError::Query);
        }
        let base = String::from(url);
        let base = base.trim_end_matches('/');
        if base.len() > MAX_LEN {
            return Err(PublicUrlError::TooLong);
        }
        Ok(Self(base.to_owned()))
    }
}

impl TryFrom<String> for PublicUrl {
    type Error = PublicUrlError;

    fn try_from(text: String) -> Result<Self, PublicUrlError> {
        text.parse()
    }
}

impl From<PublicUrl> for String {
    fn from(url: PublicUrl) -> Self {
        url.0
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_links_can_be_built_on() {
        use PublicUrlError::{Malformed, Query, Scheme, TooLong, User};
        for (text, expected) in [
            ("https://go.example.com", Ok("https://go.example.com")),
            ("https://go.example.com/", Ok("https://go.example.com")),
            ("HTTP://127.0.0.1:8080", Ok("http://127.0.0.1:8080")),
            ("https://example.com/go//", Ok("https://example.com/go")),
            ("https://bücher.example/", Ok("https://xn--bcher-kva.example")),
            ("go.example.com", Err(Malformed)),
            ("", Err(Malformed)),
            ("javascript:alert(1)", Err(Scheme)),
            ("ftp://example.com", Err(Scheme)),
            ("https://max@example.com", Err(User)),
            ("https://:x@example.com", Err(User)),
            ("https://example.com/?a=b", Err(Query)),
            ("https://example.com/?", Err(Query)),
            ("https://example.com/#", Err(Query)),
        ] {
            let url = text.parse::<PublicUrl>().map(|url| url.to_string());
            assert_eq!(url, expected.map(str::to_owned), "{text}");
        }
        let long = format!("https://example.com/{}", "x".repeat(MAX_LEN));
        assert_eq!(long.parse::<PublicUrl>(), Err(TooLong));
    }
}
