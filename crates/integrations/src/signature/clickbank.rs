//! ClickBank's encrypted notification: AES-256-CBC without a MAC. It is authentic if it can be decrypted.
//!
//! * Whether the padding or what it pads is wrong cannot be told from outside.
//! * Nothing guards the initialisation vector, and who changes it changes the first 16 bytes of the text. They
//!   must therefore be what every notification begins with: the name of a member that ClickBank knows.

use std::borrow::Cow;

use aes::{
    Aes256,
    cipher::{BlockDecryptMut as _, KeyIvInit as _, block_padding::NoPadding},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use sha1::{Digest as _, Sha1};

use super::{Authentic, fitting};
use crate::{
    delivery::{Delivery, Refusal},
    mapping::document,
};

const BLOCK: usize = 16;

/// Members of a notification.
const MEMBERS: [&str; 21] = [
    "transactionTime",
    "receipt",
    "transactionType",
    "vendor",
    "affiliate",
    "role",
    "totalAccountAmount",
    "paymentMethod",
    "totalOrderAmount",
    "totalTaxAmount",
    "totalShippingAmount",
    "currency",
    "orderLanguage",
    "trackingCodes",
    "lineItems",
    "customer",
    "upsell",
    "hopfeed",
    "version",
    "attemptCount",
    "vendorVariables",
];

#[derive(Deserialize)]
struct Envelope {
    notification: String,
    iv: String,
}

pub(crate) fn verify<'a>(
    secrets: &[&str],
    delivery: &Delivery<'a>,
) -> Result<Authentic<'a>, Refusal> {
    let envelope: Envelope =
        serde_json::from_slice(delivery.body).map_err(|_| Refusal::Unsigned)?;
    let decode = |text: &str| STANDARD.decode(text).map_err(|_| Refusal::Forged);
    let text = decode(&envelope.notification)?;
    let iv: [u8; BLOCK] = decode(&envelope.iv)?.try_into().map_err(|_| Refusal::Forged)?;
    let secret = fitting(secrets, |secret| decrypt(secret, iv, &text).is_some())?;
    let body = decrypt(secrets[secret], iv, &text).ok_or(Refusal::Forged)?;
    Ok(Authentic { body: Cow::Owned(body), content_type: Some("application/json"), secret })
}

/// The key is a text: the first 32 hexadecimal digits of the secret's SHA-1.
fn decrypt(secret: &str, iv: [u8; BLOCK], text: &[u8]) -> Option<Vec<u8>> {
    let digits = hex::encode(Sha1::digest(secret.as_bytes()));
    let key: [u8; 32] = digits.as_bytes().get(..32)?.try_into().ok()?;
    let cipher = cbc::Decryptor::<Aes256>::new(&key.into(), &iv.into());
    let plain = cipher.decrypt_padded_vec_mut::<NoPadding>(text).ok()?;
    let padded = is_padded(&plain);
    let body = trim(&plain);
    // Both are looked at, whatever the first says.
    let readable = begins_as_it_should(body) & document::json(body).is_some();
    (padded & readable).then(|| body.to_vec())
}

/// PKCS #7.
fn is_padded(plain: &[u8]) -> bool {
    let Some(last) = plain.last().copied() else { return false };
    let count = usize::from(last);
    let padding = plain.iter().rev().take(count);
    (1..=BLOCK).contains(&count) && padding.filter(|b| **b == last).count() == count
}

/// Without spaces and control characters around it, among them the padding.
fn trim(plain: &[u8]) -> &[u8] {
    let is_text = |b: &u8| *b > b' ';
    let start = plain.iter().position(is_text).unwrap_or(0);
    let end = plain.iter().rposition(is_text).map_or(0, |at| at + 1);
    plain.get(start..end).unwrap_or_default()
}

/// `{"receipt"`, or the same with a line break and an indentation before the name.
fn begins_as_it_should(body: &[u8]) -> bool {
    let Some(mut rest) = body.strip_prefix(b"{") else { return false };
    if let Some(line) = rest.strip_prefix(b"\n").or_else(|| rest.strip_prefix(b"\r\n")) {
        let indent = line.iter().position(|b| *b != b' ').unwrap_or(0);
        rest = &line[indent..];
    }
    let name = rest.strip_prefix(b"\"").and_then(|rest| rest.split(|b| *b == b'"').next());
    name.is_some_and(|name| MEMBERS.iter().any(|member| member.as_bytes() == name))
}
