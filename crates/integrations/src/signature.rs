//! Whether a delivery comes from whom it claims to come from.
//!
//! Every scheme compares in constant time, against each of several secrets, so that one can be exchanged for another while
//! deliveries go on. What it does not sign is not handed on.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName};
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, de};
use subtle::ConstantTimeEq as _;

use crate::delivery::{Delivery, Refusal};

mod clickbank;
mod digistore24;
mod hmac;
mod livestorm;
mod own_secret;
mod secret_in_body;
mod standard_webhooks;

pub(crate) use self::hmac::hex_hmac;

/// `[signature]`: how a platform proves that a delivery is its own.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "scheme", rename_all = "snake_case")]
pub(crate) enum Signature {
    HmacSha256(hmac::Scheme),
    StandardWebhooks(standard_webhooks::Scheme),
    Livestorm(livestorm::Scheme),
    Digistore24(Bare),
    Clickbank(Bare),
    SecretInBody(secret_in_body::Scheme),
    OwnSecret(Bare),
}

/// A scheme with nothing to set.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Bare {}

/// What is known to be authentic.
#[derive(Debug)]
pub(crate) struct Authentic<'a> {
    /// The body, or what of it is signed.
    pub(crate) body: Cow<'a, [u8]>,
    /// The type of the body, where it is not as it came.
    pub(crate) content_type: Option<&'static str>,
    /// Which of the secrets fitted.
    pub(crate) secret: usize,
}

impl<'a> Authentic<'a> {
    fn whole(delivery: &Delivery<'a>, secret: usize) -> Self {
        Self { body: Cow::Borrowed(delivery.body), content_type: None, secret }
    }
}

impl Signature {
    /// Verifies a delivery.
    pub(crate) fn verify<'a>(
        &self,
        secrets: &[&str],
        delivery: &Delivery<'a>,
        now: Timestamp,
    ) -> Result<Authentic<'a>, Refusal> {
        match self {
            Self::HmacSha256(scheme) => scheme.verify(secrets, delivery, now),
            Self::StandardWebhooks(scheme) => scheme.verify(secrets, delivery, now),
            Self::Livestorm(scheme) => scheme.verify(secrets, delivery, now),
            Self::Digistore24(Bare {}) => digistore24::verify(secrets, delivery),
            Self::Clickbank(Bare {}) => clickbank::verify(secrets, delivery),
            Self::SecretInBody(scheme) => scheme.verify(secrets, delivery),
            Self::OwnSecret(Bare {}) => own_secret::verify(secrets, delivery),
        }
    }

    /// What is wrong with it, and where.
    pub(crate) fn gap(&self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::HmacSha256(scheme) => scheme.gap(),
            _ => None,
        }
    }
}

/// Which of the secrets fits: the first for which `fits` holds, all of them tried. One that is empty never fits.
fn fitting(secrets: &[&str], fits: impl Fn(&str) -> bool) -> Result<usize, Refusal> {
    let mut found = None;
    for (at, secret) in secrets.iter().enumerate() {
        let fits = !secret.is_empty() && fits(secret);
        found = found.or(fits.then_some(at));
    }
    found.ok_or(Refusal::Forged)
}

/// In time that depends on the lengths only.
fn same(given: &str, expected: &str) -> bool {
    given.as_bytes().ct_eq(expected.as_bytes()).into()
}

/// The header of this name, once: who sends it twice leaves open which one is meant.
fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<&'a str, Refusal> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().ok_or(Refusal::Unsigned)?;
    if values.next().is_some() {
        return Err(Refusal::Forged);
    }
    value.to_str().map_err(|_| Refusal::Forged)
}

/// A header's name in a preset.
#[derive(Debug, Clone)]
struct Header(HeaderName);

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        HeaderName::try_from(text.as_str())
            .map(Self)
            .map_err(|_| de::Error::custom(format!("{text:?} is not the name of a header")))
    }
}

/// How far the time of a signature may be from now, in seconds.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(transparent)]
struct Tolerance(u32);

impl Default for Tolerance {
    fn default() -> Self {
        Self(300)
    }
}

impl Tolerance {
    /// Whether a signed time, in seconds or milliseconds since 1970, is near enough. Only for a time whose signature is right.
    fn check(self, time: &str, now: Timestamp) -> Result<(), Refusal> {
        let number = signed_time(time).ok_or(Refusal::Forged)?;
        let milliseconds = if number < 100_000_000_000 { number * 1000 } else { number };
        let distance = now.as_millisecond().abs_diff(milliseconds);
        if distance > u64::from(self.0) * 1000 { Err(Refusal::Stale) } else { Ok(()) }
    }
}

fn signed_time(text: &str) -> Option<i64> {
    let digits = !text.is_empty() && text.len() <= 15 && text.bytes().all(|b| b.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}
