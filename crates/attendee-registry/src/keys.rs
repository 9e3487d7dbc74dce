//! The keys of personal data: what hashes e-mail addresses, and what seals them, secrets and what was posted to sources.

use std::path::Path;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chacha20poly1305::{
    Key, KeyInit as _, XChaCha20Poly1305, XNonce,
    aead::{Aead as _, Payload},
};
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use tagalong_attribution::decide::EmailHash;
use tagalong_chassis::keys::{TokenKeys, read_private, secret, write_private};
use uuid::Uuid;

use crate::{
    email::Email,
    error::{Error, Result},
    store::Store,
};

const EMAIL_CONTEXT: &[u8] = b"tagalong email v1";
const REQUEST_CONTEXT: &[u8] = b"tagalong request v1";
const NONCE_LEN: usize = 24;

/// The keys of personal data. Without them no attendee is ever recognised by e-mail again: back them up.
#[derive(Clone)]
pub struct DataKeys {
    /// The current version first.
    peppers: Vec<(u8, [u8; 32])>,
    /// The current version first.
    seals: Vec<(u8, [u8; 32])>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// Hashes e-mail addresses; the current version first.
    pepper: Vec<FileKey>,
    /// Seals e-mail addresses and what was posted to sources; the first is used for new ones.
    seal: Vec<FileKey>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileKey {
    version: u8,
    secret: String,
}

/// Reads both key files. They are made where they are missing and the database is empty: where it has records, new keys
/// would make every mailed link and every address unrecognisable.
///
/// # Errors
/// If a file is missing though there are records, cannot be read or written, or is malformed.
pub async fn open(
    store: &Store,
    data_keys: &Path,
    token_keys: &Path,
) -> anyhow::Result<(DataKeys, TokenKeys)> {
    if !store.is_empty().await? {
        for path in [data_keys, token_keys] {
            anyhow::ensure!(
                path.exists(),
                "{} is missing, and the database has records that need its keys: restore it from a backup",
                path.display()
            );
        }
    }
    Ok((DataKeys::load_or_generate(data_keys)?, TokenKeys::load_or_generate(token_keys)?))
}

impl DataKeys {
    /// Keys made of the given secrets, one version each.
    #[must_use]
    pub fn new(pepper: [u8; 32], seal: [u8; 32]) -> Self {
        Self { peppers: vec![(1, pepper)], seals: vec![(1, seal)] }
    }

    /// Reads the keys from a file only its owner can read.
    ///
    /// # Errors
    /// If the file is missing, readable by others or malformed.
    pub fn load(path: &Path) -> anyhow::Result<Self> {
        let bytes = read_private(path)?;
        let malformed = |problem: &str| anyhow::anyhow!("{}: {problem}", path.display());
        let text = str::from_utf8(&bytes).map_err(|_| malformed("is not text"))?;
        // The parser's own message would quote the file.
        let file: File = toml::from_str(text)
            .map_err(|_| malformed("must hold [[pepper]] and [[seal]] with version and secret"))?;
        let keys = |keys: Vec<FileKey>, name: &str| -> anyhow::Result<Vec<(u8, [u8; 32])>> {
            anyhow::ensure!(!keys.is_empty(), malformed(&format!("has no {name}")));
            keys.into_iter()
                .map(|key| {
                    let secret = STANDARD.decode(&key.secret).ok().and_then(|s| s.try_into().ok());
                    let secret = secret.ok_or_else(|| {
                        malformed(&format!("{name} {} is not 32 bytes of base64", key.version))
                    })?;
                    Ok((key.version, secret))
                })
                .collect()
        };
        Ok(Self { peppers: keys(file.pepper, "pepper")?, seals: keys(file.seal, "seal")? })
    }

    /// Reads the keys, or makes them where there is no file.
    ///
    /// # Errors
    /// As [`load`](Self::load), or if the file cannot be written.
    pub fn load_or_generate(path: &Path) -> anyhow::Result<Self> {
        if !path.exists() {
            let fresh = || -> anyhow::Result<Vec<FileKey>> {
                Ok(vec![FileKey { version: 1, secret: STANDARD.encode(secret()?) }])
            };
            let file = File { pepper: fresh()?, seal: fresh()? };
            write_private(path, toml::to_string(&file)?.as_bytes())?;
        }
        Self::load(path)
    }

    /// The hashes of an address under all versions, the current one first. All are stored and all are looked up, so
    /// that records from before and after a rotation still meet.
    pub(crate) fn email_hashes(&self, email: &Email) -> Vec<EmailHash> {
        self.peppers.iter().map(|(version, key)| hash(*version, key, email)).collect()
    }

    /// Tells whether two requests have the same content. Keyed, because a request can hold an address.
    pub(crate) fn fingerprint(&self, method: &str, request: &[u8]) -> Vec<u8> {
        // The oldest pepper, so that a rotation does not make yesterday's retries new.
        let key = self.peppers.iter().min_by_key(|(version, _)| *version);
        let key = key.map_or([0; 32], |(_, key)| *key);
        mac(&key, &[REQUEST_CONTEXT, method.as_bytes(), &[0], request]).to_vec()
    }

    /// Seals an address for one attendee.
    pub(crate) fn seal(&self, attendee: Uuid, email: &Email) -> Result<Vec<u8>> {
        self.encrypt(attendee.as_bytes(), email.expose().as_bytes())
    }

    /// Opens what [`seal`](Self::seal) made.
    pub(crate) fn open(&self, attendee: Uuid, sealed: &[u8]) -> Result<String> {
        String::from_utf8(self.decrypt(attendee.as_bytes(), sealed)?).map_err(|_| damaged())
    }

    /// Seals a message for one record of a table.
    pub(crate) fn seal_for(&self, table: &str, id: Uuid, message: &[u8]) -> Result<Vec<u8>> {
        self.encrypt(&record(table, id), message)
    }

    /// Opens what [`seal_for`](Self::seal_for) made.
    pub(crate) fn open_for(&self, table: &str, id: Uuid, sealed: &[u8]) -> Result<Vec<u8>> {
        self.decrypt(&record(table, id), sealed)
    }

    fn encrypt(&self, context: &[u8], message: &[u8]) -> Result<Vec<u8>> {
        let (version, key) =
            self.seals.first().ok_or_else(|| Error::internal("there is no sealing key"))?;
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).map_err(Error::internal)?;
        let message = Payload { msg: message, aad: context };
        let sealed = XChaCha20Poly1305::new(Key::from_slice(key))
            .encrypt(XNonce::from_slice(&nonce), message)
            .map_err(|_| Error::internal("a record could not be sealed"))?;
        Ok([&[*version][..], &nonce, &sealed].concat())
    }

    fn decrypt(&self, context: &[u8], sealed: &[u8]) -> Result<Vec<u8>> {
        let (version, rest) = sealed.split_first().ok_or_else(damaged)?;
        let (nonce, message) = rest.split_at_checked(NONCE_LEN).ok_or_else(damaged)?;
        let (_, key) = self.seals.iter().find(|(v, _)| v == version).ok_or_else(damaged)?;
        XChaCha20Poly1305::new(Key::from_slice(key))
            .decrypt(XNonce::from_slice(nonce), Payload { msg: message, aad: context })
            .map_err(|_| damaged())
    }
}

fn damaged() -> Error {
    Error::internal("a sealed record cannot be opened")
}

/// Longer than an attendee's UUID alone, so that nothing sealed for the one opens for the other.
fn record(table: &str, id: Uuid) -> Vec<u8> {
    [table.as_bytes(), &[0], id.as_bytes()].concat()
}

impl std::fmt::Debug for DataKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DataKeys")
    }
}

/// Different versions of one secret give different hashes, so that a version can be retired by itself.
fn hash(version: u8, key: &[u8; 32], email: &Email) -> EmailHash {
    mac(key, &[EMAIL_CONTEXT, &[version], email.expose().as_bytes()])
}

fn mac(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    // A key no longer than the hash's block is padded with zeros.
    let mut block = [0; 64];
    block[..32].copy_from_slice(key);
    let mut mac = <Hmac<Sha256> as Mac>::new(&block.into());
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_once_and_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data-keys.toml");
        let email = Email::parse("jane@example.com").unwrap();
        let first = DataKeys::load_or_generate(&path).unwrap();
        let again = DataKeys::load_or_generate(&path).unwrap();
        assert_eq!(first.email_hashes(&email), again.email_hashes(&email));
        std::fs::write(&path, "secret nonsense").unwrap();
        let error = DataKeys::load(&path).unwrap_err().to_string();
        assert!(!error.contains("nonsense"), "{error}");
    }

    #[tokio::test]
    async fn a_database_with_records_gets_no_new_keys() {
        let dir = tempfile::tempdir().unwrap();
        let (data, token) = (dir.path().join("data-keys.toml"), dir.path().join("token-keys.toml"));
        let url = format!("sqlite://{}", dir.path().join("registry.sqlite").display());
        let store = Store::connect(&url).await.unwrap();
        open(&store, &data, &token).await.unwrap();
        std::fs::remove_file(&data).unwrap();
        open(&store, &data, &token).await.unwrap();

        let programme = crate::catalogue::Programme {
            id: "demo".parse().unwrap(),
            platform: String::new(),
            title: String::new(),
            never_names_affiliates: false,
            ignore_affiliate_case: false,
            test: false,
            revision: 0,
        };
        let transaction = store.begin().await.unwrap();
        let write = crate::store::catalogue::Write::Create;
        crate::store::catalogue::put_programme(&transaction, write, &programme, 1).await.unwrap();
        store.commit(transaction).await.unwrap();
        open(&store, &data, &token).await.unwrap();
        for lost in [&data, &token] {
            let kept = std::fs::read(lost).unwrap();
            std::fs::remove_file(lost).unwrap();
            let refused = open(&store, &data, &token).await.unwrap_err().to_string();
            assert!(refused.contains("is missing") && !lost.exists(), "{refused}");
            write_private(lost, &kept).unwrap();
        }
    }

    #[test]
    fn a_new_pepper_still_finds_old_records() {
        let email = Email::parse("jane@example.com").unwrap();
        let old = DataKeys::new([1; 32], [1; 32]);
        let mut rotated = DataKeys::new([2; 32], [1; 32]);
        rotated.peppers[0].0 = 2;
        rotated.peppers.push((1, [1; 32]));
        assert_ne!(rotated.email_hashes(&email)[0], old.email_hashes(&email)[0]);
        assert_eq!(rotated.email_hashes(&email)[1], old.email_hashes(&email)[0]);
        assert_eq!(rotated.fingerprint("M", b"x"), old.fingerprint("M", b"x"));
    }

    #[test]
    fn a_sealed_address_opens_for_its_attendee_only() {
        let keys = DataKeys::new([1; 32], [2; 32]);
        let email = Email::parse("jane@example.com").unwrap();
        let (jane, bob) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let sealed = keys.seal(jane, &email).unwrap();
        assert_eq!(keys.open(jane, &sealed).unwrap(), "jane@example.com");
        assert!(keys.open(bob, &sealed).is_err());
        assert!(keys.open(jane, &sealed[..20]).is_err());
        assert!(!sealed.windows(4).any(|w| w == b"jane"));
    }

    #[test]
    fn a_sealed_record_opens_as_itself_only() {
        let keys = DataKeys::new([1; 32], [2; 32]);
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let sealed = keys.seal_for("delivery", one, b"jane").unwrap();
        assert_eq!(keys.open_for("delivery", one, &sealed).unwrap(), b"jane");
        assert!(keys.open_for("delivery", other, &sealed).is_err());
        assert!(keys.open_for("source_key", one, &sealed).is_err());
        assert!(keys.open(one, &sealed).is_err());
    }
}
