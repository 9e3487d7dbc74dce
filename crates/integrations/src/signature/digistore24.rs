//! Digistore24's `sha_sign`: SHA-512 over the parameters of a form, each followed by the passphrase.
//!
//! Empty parameters are not signed, so none is handed on: whoever adds one has changed nothing.

use std::{borrow::Cow, collections::BTreeMap};

use sha2::{Digest as _, Sha512};

use super::{Authentic, fitting, same};
use crate::delivery::{Delivery, Refusal};

/// By their names, in the order of their bytes. Of a name that stands twice the last counts, as in PHP.
type Parameters = BTreeMap<String, String>;

pub(crate) fn verify<'a>(
    secrets: &[&str],
    delivery: &Delivery<'a>,
) -> Result<Authentic<'a>, Refusal> {
    let mut plain: Parameters = form_urlencoded::parse(delivery.body).into_owned().collect();
    let sign = plain.remove("sha_sign");
    let sign = plain.remove("SHASIGN").or(sign).unwrap_or_default().to_ascii_uppercase();
    if sign.is_empty() {
        return Err(Refusal::Unsigned);
    }
    plain.retain(|_, value| !value.is_empty());
    let fits = |parameters: &Parameters| {
        fitting(secrets, |secret| same(&sign, &sha_sign(parameters, secret)))
    };
    // The vendor's older sample code signs what the entities of HTML stand for.
    let (parameters, secret) = if let Ok(secret) = fits(&plain) {
        (plain, secret)
    } else {
        let decoded = decode_entities(&plain);
        let secret = fits(&decoded)?;
        (decoded, secret)
    };
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(&parameters).finish();
    let body = Cow::Owned(body.into_bytes());
    Ok(Authentic { body, content_type: Some("application/x-www-form-urlencoded"), secret })
}

fn decode_entities(parameters: &Parameters) -> Parameters {
    let decode = |value: &String| html_escape::decode_html_entities(value).into_owned();
    parameters.iter().map(|(name, value)| (name.clone(), decode(value))).collect()
}

fn sha_sign(parameters: &Parameters, passphrase: &str) -> String {
    let mut hash = Sha512::new();
    for (name, value) in parameters {
        hash.update(name);
        hash.update("=");
        hash.update(value);
        hash.update(passphrase);
    }
    hex::encode_upper(hash.finalize())
}
