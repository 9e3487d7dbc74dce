//! A request to a hook, what of it is kept, and what is answered.

use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use crate::signature::Authentic;

/// A request to a hook, as it came in.
#[derive(Clone, Copy)]
pub struct Delivery<'a> {
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// Its query, without the `?`; empty where there is none.
    pub query: &'a str,
    /// The secret in its path, where there is one.
    pub path_secret: Option<&'a str>,
    /// Its body, byte for byte.
    pub body: &'a [u8],
}

/// Why a delivery is not taken. Never holds what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// It has no signature or secret where the preset's scheme wants one.
    #[error("not signed")]
    Unsigned,
    /// Its signature or secret fits none of the source's secrets.
    #[error("signed by somebody else, or changed on the way")]
    Forged,
    /// It was signed too long ago, or for a time still to come.
    #[error("signed at another time")]
    Stale,
}

impl Refusal {
    /// The reason in one word, for a metric's label.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Unsigned => "unsigned",
            Self::Forged => "forged",
            Self::Stale => "stale",
        }
    }
}

/// What is kept of an authentic delivery, and all that reading it needs: the body, decrypted where it came
/// encrypted, with its type and those headers that the preset reads. Holds personal data: does not print itself.
#[derive(Clone)]
pub struct Payload {
    /// Lower-case names.
    headers: Vec<(String, String)>,
    body: Bytes,
    /// Which of the secrets fitted; forgotten when it is kept.
    pub(crate) secret: Option<usize>,
}

impl PartialEq for Payload {
    fn eq(&self, other: &Self) -> bool {
        self.headers == other.headers && self.body == other.body
    }
}

impl Eq for Payload {}

impl Payload {
    /// A payload by hand: a file that an operator has.
    #[must_use]
    pub fn new(content_type: Option<&str>, body: impl Into<Bytes>) -> Self {
        let headers = content_type.map(|text| ("content-type".to_owned(), text.to_owned()));
        Self { headers: headers.into_iter().collect(), body: body.into(), secret: None }
    }

    /// Of a request: the body, and the headers of these names.
    pub(crate) fn of(delivery: &Delivery<'_>, names: &[String]) -> Self {
        let headers = ["content-type"]
            .into_iter()
            .chain(names.iter().map(String::as_str))
            .filter_map(|name| {
                let value = delivery.headers.get(name)?.to_str().ok()?;
                Some((name.to_owned(), value.to_owned()))
            })
            .collect();
        Self { headers, body: Bytes::copy_from_slice(delivery.body), secret: None }
    }

    /// Of a request, as far as it is authentic.
    pub(crate) fn authentic(
        delivery: &Delivery<'_>,
        names: &[String],
        authentic: Authentic<'_>,
    ) -> Self {
        let mut payload = Self::of(delivery, names);
        if let Some(content_type) = authentic.content_type {
            payload.headers.retain(|(name, _)| name != "content-type");
            payload.headers.push(("content-type".to_owned(), content_type.to_owned()));
        }
        payload.body = authentic.body.into_owned().into();
        payload.secret = Some(authentic.secret);
        payload
    }

    /// The body.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Its type, as the header said.
    #[must_use]
    pub fn content_type(&self) -> Option<&str> {
        self.header("content-type")
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// As bytes, for keeping: header lines, an empty line, the body.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.body.len() + 64);
        for (name, value) in &self.headers {
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value.as_bytes());
            bytes.push(b'\n');
        }
        bytes.push(b'\n');
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// What [`Payload::to_bytes`] made; none where it did not make it.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut headers = Vec::new();
        let mut rest = bytes;
        loop {
            let end = rest.iter().position(|b| *b == b'\n')?;
            let line = std::str::from_utf8(&rest[..end]).ok()?;
            rest = &rest[end + 1..];
            if line.is_empty() {
                return Some(Self { headers, body: Bytes::copy_from_slice(rest), secret: None });
            }
            let (name, value) = line.split_once(": ")?;
            headers.push((name.to_owned(), value.to_owned()));
        }
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[payload]")
    }
}

/// What a platform is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Always a 2xx.
    pub status: StatusCode,
    /// None where the body is empty.
    pub content_type: Option<&'static str>,
    /// The body.
    pub body: Bytes,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_kept_is_what_came(
            content_type in proptest::option::of("[ -~]{0,30}"),
            body in proptest::collection::vec(any::<u8>(), 0..100),
        ) {
            let payload = Payload::new(content_type.as_deref(), body.clone());
            let kept = Payload::from_bytes(&payload.to_bytes()).unwrap();
            prop_assert_eq!(&kept, &payload);
            prop_assert_eq!(kept.body(), &body[..]);
            prop_assert_eq!(kept.header("Content-Type"), content_type.as_deref());
        }

        #[test]
        fn any_bytes_are_a_payload_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = Payload::from_bytes(&bytes);
        }
    }

    #[test]
    fn never_printed() {
        let payload = Payload::new(None, "email=ada@example.org");
        assert_eq!(format!("{payload:?}"), "[payload]");
    }
}
