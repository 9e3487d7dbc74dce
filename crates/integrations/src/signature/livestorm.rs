//! Livestorm: SHA-256 over time, secret and body; signature and time in one header, in either order.

use jiff::Timestamp;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::{Authentic, Header, Tolerance, fitting, header, same, signed_time};
use crate::delivery::{Delivery, Refusal};

/// Hexadecimal digits of a SHA-256.
const DIGITS: usize = 64;

/// The scheme.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scheme {
    header: Header,
    #[serde(default)]
    tolerance_seconds: Tolerance,
}

impl Scheme {
    pub(crate) fn verify<'a>(
        &self,
        secrets: &[&str],
        delivery: &Delivery<'a>,
        now: Timestamp,
    ) -> Result<Authentic<'a>, Refusal> {
        let value = header(delivery.headers, &self.header.0)?;
        let (one, other) = value.split_once(',').ok_or(Refusal::Unsigned)?;
        let (one, other) = (one.trim(), other.trim());
        let (signature, time) = if one.len() == DIGITS { (one, other) } else { (other, one) };
        if signature.len() != DIGITS || signed_time(time).is_none() {
            return Err(Refusal::Forged);
        }
        let secret = fitting(secrets, |secret| {
            let hash = Sha256::new()
                .chain_update(time)
                .chain_update(secret)
                .chain_update(delivery.body)
                .finalize();
            same(signature, &hex::encode(hash))
        })?;
        self.tolerance_seconds.check(time, now)?;
        Ok(Authentic::whole(delivery, secret))
    }
}
