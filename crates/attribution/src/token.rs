//! The attendee token: who opened a purchase link.
//!
//! It says who, not whose, holds no personal data, and can be used any number of times. In bytes: version (1), key ID
//! (1), attendee UUID (16), tag (16); the tag is the first half of HMAC-SHA-256 under the key named by the key
//! ID, over a context string and everything before it. As text: base64url without padding, 46
//! characters, one path segment.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

/// Length of a token as text, in bytes.
pub const TOKEN_LEN: usize = 46;

const VERSION: u8 = 1;
const CONTEXT: &[u8] = b"tagalong attendee token";
const BODY_LEN: usize = 18;
const TAG_LEN: usize = 16;

/// A ring that cannot sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RingError {
    /// The signing key is not in the ring.
    #[error("the signing key {0} is not in the ring")]
    NoSigningKey(u8),
    /// Two keys have one ID.
    #[error("two keys have the ID {0}")]
    DuplicateKey(u8),
}

/// The keys that verify tokens, and the one that signs new ones.
///
/// A new key is verified everywhere before signing with it begins, and an old one is kept for the longest window,
/// or the links already mailed die.
#[derive(Clone)]
pub struct KeyRing {
    signing: (u8, Hmac<Sha256>),
    keys: Vec<(u8, Hmac<Sha256>)>,
}

impl KeyRing {
    /// A ring of `keys`, signing with the one whose ID is `signing`.
    ///
    /// # Errors
    /// If that key is missing, or an ID is there twice.
    pub fn new(
        signing: u8,
        keys: impl IntoIterator<Item = (u8, [u8; 32])>,
    ) -> Result<Self, RingError> {
        let mut ring: Vec<(u8, Hmac<Sha256>)> = Vec::new();
        for (id, key) in keys {
            if ring.iter().any(|(other, _)| *other == id) {
                return Err(RingError::DuplicateKey(id));
            }
            ring.push((id, keyed(&key)));
        }
        let signing = ring
            .iter()
            .find(|(id, _)| *id == signing)
            .cloned()
            .ok_or(RingError::NoSigningKey(signing))?;
        Ok(Self { signing, keys: ring })
    }

    /// The token of an attendee.
    #[must_use]
    pub fn sign(&self, attendee: Uuid) -> String {
        let (id, key) = &self.signing;
        let mut bytes = [0; BODY_LEN + TAG_LEN];
        bytes[0] = VERSION;
        bytes[1] = *id;
        bytes[2..BODY_LEN].copy_from_slice(attendee.as_bytes());
        let tag = tag(key, &bytes[..BODY_LEN]);
        bytes[BODY_LEN..].copy_from_slice(&tag);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The attendee a token names; none where it was not signed by a key of the ring.
    #[must_use]
    pub fn verify(&self, token: &str) -> Option<Uuid> {
        if token.len() != TOKEN_LEN {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (body, given) = bytes.split_at_checked(BODY_LEN)?;
        if body[0] != VERSION {
            return None;
        }
        let (_, key) = self.keys.iter().find(|(id, _)| *id == body[1])?;
        let genuine = bool::from(tag(key, body).as_slice().ct_eq(given));
        genuine.then(|| Uuid::from_slice(&body[2..]).ok()).flatten()
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<u8> = self.keys.iter().map(|(id, _)| *id).collect();
        f.debug_struct("KeyRing").field("signing", &self.signing.0).field("keys", &ids).finish()
    }
}

/// The state that every tag under a key begins with: half of the work of one.
fn keyed(key: &[u8; 32]) -> Hmac<Sha256> {
    // A key as long as the hash's block or shorter is used as it is; 32 bytes always are.
    let mut block = [0; 64];
    block[..32].copy_from_slice(key);
    let mut mac = Hmac::<Sha256>::new(&block.into());
    mac.update(CONTEXT);
    mac
}

fn tag(key: &Hmac<Sha256>, body: &[u8]) -> [u8; TAG_LEN] {
    let full = key.clone().chain_update(body).finalize().into_bytes();
    let mut tag = [0; TAG_LEN];
    tag.copy_from_slice(&full[..TAG_LEN]);
    tag
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ring(signing: u8, ids: &[u8]) -> KeyRing {
        KeyRing::new(signing, ids.iter().map(|id| (*id, [*id; 32]))).unwrap()
    }

    /// Computed independently: `hmac.new(bytes([7])*32, b"tagalong attendee token" + body, "sha256")` in Python.
    #[test]
    fn test_vector() {
        let attendee = Uuid::from_u128(0x0193_5a2b_7c8d_7e9f_8a1b_2c3d_4e5f_6071);
        let token = "AQcBk1orfI1-n4obLD1OX2BxjGnVjuS0QnAupqUEghiVUQ";
        assert_eq!(ring(7, &[7]).sign(attendee), token);
        assert_eq!(ring(7, &[7]).verify(token), Some(attendee));
    }

    #[test]
    fn keys_rotate_without_killing_mailed_links() {
        let attendee = Uuid::from_u128(1);
        let old = ring(1, &[1]).sign(attendee);
        assert_eq!(ring(2, &[1, 2]).verify(&old), Some(attendee));
        assert_eq!(ring(2, &[2]).verify(&old), None);
        assert_eq!(KeyRing::new(3, [(1, [0; 32])]).unwrap_err(), RingError::NoSigningKey(3));
        assert_eq!(
            KeyRing::new(1, [(1, [0; 32]), (1, [1; 32])]).unwrap_err(),
            RingError::DuplicateKey(1)
        );
    }

    proptest! {
        #[test]
        fn any_changed_character_is_refused(id in any::<u128>(), at in 0..TOKEN_LEN, to in "[A-Za-z0-9_-]") {
            let ring = ring(1, &[1]);
            let token = ring.sign(Uuid::from_u128(id));
            let mut forged = token.clone();
            forged.replace_range(at..=at, &to);
            prop_assert_eq!(ring.verify(&forged).is_some(), forged == token);
        }

        #[test]
        fn arbitrary_text_is_refused(text in any::<String>()) {
            prop_assert_eq!(ring(1, &[1]).verify(&text), None);
        }

        #[test]
        fn a_token_is_one_path_segment(id in any::<u128>()) {
            let token = ring(1, &[1]).sign(Uuid::from_u128(id));
            prop_assert_eq!(token.len(), TOKEN_LEN);
            prop_assert!(token.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
        }
    }
}
