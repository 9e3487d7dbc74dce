//! HMAC-SHA-256 in a header, over the body or over a text with the body in it.

use ::hmac::{Hmac, Mac as _};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, de};
use sha2::Sha256;

use super::{Authentic, Header, Tolerance, fitting, header, same};
use crate::delivery::{Delivery, Refusal};

/// How many signatures one header may hold: more than any rotation needs.
const MAX_SIGNATURES: usize = 8;

/// The scheme, as a platform varies it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scheme {
    header: Header,
    encoding: Encoding,
    #[serde(default)]
    signs: Signs,
    /// What stands before the signature.
    #[serde(default)]
    prefix: String,
    /// Names of the parts of a header that has several.
    parts: Option<Parts>,
    timestamp_header: Option<Header>,
    #[serde(default)]
    tolerance_seconds: Tolerance,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Encoding {
    Hex,
    Base64,
}

/// `t=1492774577,v1=…,v1=…`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Parts {
    separator: char,
    timestamp: String,
    signature: String,
}

/// What is signed: what stands before the body, with the time's place.
#[derive(Debug, Clone, Default)]
struct Signs {
    before: String,
}

const TIMESTAMP: &str = "{timestamp}";

impl<'de> Deserialize<'de> for Signs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let before = text.strip_suffix("{body}").map(str::to_owned);
        before
            .filter(|before| !before.replacen(TIMESTAMP, "", 1).contains(['{', '}']))
            .map(|before| Self { before })
            .ok_or_else(|| {
                de::Error::custom(format!(
                    "{text:?} must end with {{body}} and may hold {{timestamp}} before it"
                ))
            })
    }
}

impl Scheme {
    pub(crate) fn gap(&self) -> Option<(&'static str, &'static str)> {
        let timed = self.signs.before.contains(TIMESTAMP);
        let time = self.timestamp_header.is_some() || self.parts.is_some();
        match (timed, time) {
            (true, false) => {
                Some(("signature.timestamp_header", "is required where signs holds {timestamp}"))
            }
            (false, true) => Some(("signature.signs", "must hold {timestamp} where there is one")),
            _ => None,
        }
    }

    pub(crate) fn verify<'a>(
        &self,
        secrets: &[&str],
        delivery: &Delivery<'a>,
        now: Timestamp,
    ) -> Result<Authentic<'a>, Refusal> {
        let value = header(delivery.headers, &self.header.0)?;
        let (signatures, mut time) = match &self.parts {
            None => (vec![value], None),
            Some(parts) => parts.split(value)?,
        };
        if let Some(name) = &self.timestamp_header {
            time = Some(header(delivery.headers, &name.0)?);
        }
        let signatures = signatures
            .into_iter()
            .map(|text| text.strip_prefix(self.prefix.as_str()).ok_or(Refusal::Forged))
            .collect::<Result<Vec<_>, _>>()?;
        let before = self.signs.before.replacen(TIMESTAMP, time.unwrap_or_default(), 1);
        let secret = fitting(secrets, |secret| {
            let expected =
                self.encoding.hmac(secret.as_bytes(), &[before.as_bytes(), delivery.body]);
            signatures.iter().fold(false, |found, given| found | same(given, &expected))
        })?;
        if let Some(time) = time {
            self.tolerance_seconds.check(time, now)?;
        }
        Ok(Authentic::whole(delivery, secret))
    }
}

impl Parts {
    /// The signatures and the time; the time must stand there once.
    fn split<'a>(&self, value: &'a str) -> Result<(Vec<&'a str>, Option<&'a str>), Refusal> {
        let (mut signatures, mut time) = (Vec::new(), None);
        for part in value.split(self.separator) {
            let Some((name, text)) = part.split_once('=') else { continue };
            if name == self.signature {
                signatures.push(text);
            } else if name == self.timestamp && time.replace(text).is_some() {
                return Err(Refusal::Forged);
            }
        }
        if signatures.is_empty() || time.is_none() {
            return Err(Refusal::Unsigned);
        }
        if signatures.len() > MAX_SIGNATURES {
            return Err(Refusal::Forged);
        }
        Ok((signatures, time))
    }
}

impl Encoding {
    fn hmac(self, key: &[u8], parts: &[&[u8]]) -> String {
        let mac = hmac(key, parts);
        match self {
            Self::Hex => hex::encode(mac),
            Self::Base64 => STANDARD.encode(mac),
        }
    }
}

/// HMAC-SHA-256 over the parts, one after the other.
pub(super) fn hmac(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    // HMAC takes keys of any length: there is no error to have.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return Vec::new() };
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().to_vec()
}

/// The same over one text, in hexadecimal digits.
pub(crate) fn hex_hmac(key: &str, text: &str) -> String {
    hex::encode(hmac(key.as_bytes(), &[text.as_bytes()]))
}
