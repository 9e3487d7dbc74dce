//! Standard Webhooks: `webhook-id`, `webhook-timestamp`, `webhook-signature`, or the same with `svix-`.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::HeaderName;
use jiff::Timestamp;
use serde::Deserialize;

use super::{Authentic, Tolerance, fitting, header, hmac::hmac, same};
use crate::delivery::{Delivery, Refusal};

/// How many signatures one header may hold.
const MAX_SIGNATURES: usize = 8;

macro_rules! names {
    ($prefix:literal) => {
        [
            HeaderName::from_static(concat!($prefix, "-id")),
            HeaderName::from_static(concat!($prefix, "-timestamp")),
            HeaderName::from_static(concat!($prefix, "-signature")),
        ]
    };
}

/// The scheme.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scheme {
    #[serde(default)]
    tolerance_seconds: Tolerance,
}

/// Of the ID, the time and the signatures.
const NAMES: [[HeaderName; 3]; 2] = [names!("webhook"), names!("svix")];

impl Scheme {
    pub(crate) fn verify<'a>(
        &self,
        secrets: &[&str],
        delivery: &Delivery<'a>,
        now: Timestamp,
    ) -> Result<Authentic<'a>, Refusal> {
        let names = NAMES.into_iter().find(|[.., name]| delivery.headers.contains_key(name));
        let [id, time, signature] = names.ok_or(Refusal::Unsigned)?;
        let id = header(delivery.headers, &id)?;
        let time = header(delivery.headers, &time)?;
        let signatures: Vec<_> = header(delivery.headers, &signature)?
            .split(' ')
            .filter_map(|signature| signature.strip_prefix("v1,"))
            .collect();
        if signatures.is_empty() {
            return Err(Refusal::Unsigned);
        }
        if signatures.len() > MAX_SIGNATURES {
            return Err(Refusal::Forged);
        }
        let secret = fitting(secrets, |secret| {
            let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap_or(secret));
            // Shorter keys than the standard asks for are in use.
            let Some(key) = key.ok().filter(|key| !key.is_empty()) else { return false };
            let parts = [id.as_bytes(), b".", time.as_bytes(), b".", delivery.body];
            let expected = STANDARD.encode(hmac(&key, &parts));
            signatures.iter().fold(false, |found, given| found | same(given, &expected))
        })?;
        self.tolerance_seconds.check(time, now)?;
        Ok(Authentic::whole(delivery, secret))
    }
}
