//! The keys attendee tokens are signed with: one file, shared by all three services.
use std::{collections::BTreeMap, fmt, io, path::Path};

use anyhow::{Context as _, bail};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use tagalong_attribution::token::{KeyRing, RingError};

pub use crate::private::{read_private, replace_private, secret, write_private};

/// Token keys by ID, and which of them signs. The others are there to verify.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenKeys {
    signing: u8,
    keys: BTreeMap<u8, [u8; 32]>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    signing: u8,
    keys: BTreeMap<String, String>,
}

const HEAD: &str = "# Tagalong's token keys: whoever has them can make purchase links for anybody.
# Every service needs the same file. To change keys: add one everywhere, then sign with it, and
# keep the old one for as long as links made with it are to work.
";

impl TokenKeys {
    /// One new key, with ID 1.
    ///
    /// # Errors
    /// The system has no random source.
    pub fn generate() -> io::Result<Self> {
        Ok(Self { signing: 1, keys: BTreeMap::from([(1, secret()?)]) })
    }

    /// Reads a key file.
    ///
    /// # Errors
    /// A file that is missing, readable by others, or no key file.
    pub fn load(path: &Path) -> anyhow::Result<Self> {
        let bytes = read_private(path)?;
        Self::from_toml(&bytes).with_context(|| format!("{} is not a key file", path.display()))
    }

    /// Reads a key file, or makes one with a new key where there is none.
    ///
    /// # Errors
    /// As [`TokenKeys::load`], or the file cannot be written.
    pub fn load_or_generate(path: &Path) -> anyhow::Result<Self> {
        if !path.try_exists().with_context(|| format!("cannot read {}", path.display()))? {
            let keys = Self::generate().context("no random source")?;
            match write_private(path, keys.to_toml()?.as_bytes()) {
                Ok(()) => return Ok(keys),
                // Another process was faster: its keys are the keys.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => {
                    return Err(error).with_context(|| format!("cannot write {}", path.display()));
                }
            }
        }
        Self::load(path)
    }

    /// The ID of the key that signs.
    #[must_use]
    pub fn signing(&self) -> u8 {
        self.signing
    }

    /// Every key by its ID, in order.
    pub fn keys(&self) -> impl Iterator<Item = (u8, [u8; 32])> {
        self.keys.iter().map(|(id, key)| (*id, *key))
    }

    /// The keys in use.
    ///
    /// # Errors
    /// None that can be provoked: loading has checked the same.
    pub fn ring(&self) -> Result<KeyRing, RingError> {
        KeyRing::new(self.signing, self.keys())
    }

    /// The same with one more key, which verifies; its ID.
    ///
    /// # Errors
    /// All 256 IDs are taken, or the system has no random source.
    pub fn add(&mut self) -> anyhow::Result<u8> {
        let id = (1..=u8::MAX).chain([0]).find(|id| !self.keys.contains_key(id));
        let id = id.context("there is no ID left")?;
        self.keys.insert(id, secret().context("no random source")?);
        Ok(id)
    }

    /// Signs with another of the keys from now on.
    ///
    /// # Errors
    /// There is no such key.
    pub fn sign_with(&mut self, id: u8) -> anyhow::Result<()> {
        anyhow::ensure!(self.keys.contains_key(&id), "there is no key {id}");
        self.signing = id;
        Ok(())
    }

    /// Forgets a key: links made with it lose their attendee.
    ///
    /// # Errors
    /// There is no such key, or it is the one that signs.
    pub fn remove(&mut self, id: u8) -> anyhow::Result<()> {
        anyhow::ensure!(self.signing != id, "key {id} signs: sign with another first");
        anyhow::ensure!(self.keys.remove(&id).is_some(), "there is no key {id}");
        Ok(())
    }

    /// What a key file holds; for [`write_private`] and [`replace_private`].
    ///
    /// # Errors
    /// None that can be provoked.
    pub fn to_toml(&self) -> anyhow::Result<String> {
        let keys = self.keys.iter().map(|(id, key)| (id.to_string(), URL_SAFE_NO_PAD.encode(key)));
        let stored = Stored { signing: self.signing, keys: keys.collect() };
        Ok(HEAD.to_owned() + &toml::to_string(&stored)?)
    }

    /// Errors never show the content: toml's own would quote the line, and in it the key.
    fn from_toml(bytes: &[u8]) -> anyhow::Result<Self> {
        let text = std::str::from_utf8(bytes).context("not text")?;
        let stored: Stored =
            toml::from_str(text).map_err(|error| anyhow::anyhow!("{}", error.message()))?;
        let mut keys = BTreeMap::new();
        for (id, key) in stored.keys {
            let number: u8 = id.parse().with_context(|| format!("keys.{id}: not 0 to 255"))?;
            let key = URL_SAFE_NO_PAD.decode(key).ok().and_then(|key| key.try_into().ok());
            let Some(key) = key else { bail!("keys.{id}: not 32 bytes in base64url") };
            if keys.insert(number, key).is_some() {
                bail!("keys.{id}: there twice");
            }
        }
        if !keys.contains_key(&stored.signing) {
            bail!("signing: there is no key {}", stored.signing);
        }
        Ok(Self { signing: stored.signing, keys })
    }
}

impl fmt::Debug for TokenKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<_> = self.keys.keys().collect();
        f.debug_struct("TokenKeys").field("signing", &self.signing).field("ids", &ids).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_made_once_and_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token-keys.toml");
        assert!(TokenKeys::load(&path).is_err());
        let made = TokenKeys::load_or_generate(&path).unwrap();
        assert_eq!(TokenKeys::load_or_generate(&path).unwrap(), made);
        assert_eq!(TokenKeys::load(&path).unwrap(), made);
        made.ring().unwrap();
    }

    #[test]
    fn a_new_key_verifies_before_it_signs_and_an_old_one_after() {
        let mut keys = TokenKeys::generate().unwrap();
        let attendee = uuid::Uuid::from_u128(1);
        let old = keys.ring().unwrap().sign(attendee);
        assert_eq!(keys.add().unwrap(), 2);
        assert_eq!(keys.signing(), 1);
        assert!(keys.remove(1).is_err() && keys.sign_with(3).is_err());
        keys.sign_with(2).unwrap();
        let ring = keys.ring().unwrap();
        assert_ne!(ring.sign(attendee), old);
        assert_eq!(ring.verify(&old), Some(attendee));
        keys.remove(1).unwrap();
        assert_eq!(keys.ring().unwrap().verify(&old), None);
    }

    #[test]
    fn processes_that_start_together_agree() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token-keys.toml");
        let load = || TokenKeys::load_or_generate(&path).unwrap();
        let all: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(load)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(all.iter().all(|keys| *keys == all[0]));
    }

    #[test]
    fn what_is_wrong_is_said_without_showing_keys() {
        let key = URL_SAFE_NO_PAD.encode([7; 32]);
        for (text, expected) in [
            (format!("signing = 2\n[keys]\n1 = \"{key}\""), "there is no key 2"),
            (format!("signing = 1\n[keys]\n1 = \"{key}x\""), "keys.1: not 32 bytes"),
            (format!("signing = 1\n[keys]\n300 = \"{key}\""), "keys.300"),
            (format!("signing = 1\n[keys]\n1 = \"{key}"), ""),
        ] {
            let error = format!("{:#}", TokenKeys::from_toml(text.as_bytes()).unwrap_err());
            assert!(error.contains(expected), "{error}");
            assert!(!error.contains(&key), "{error}");
        }
        assert!(!format!("{:?}", TokenKeys::generate().unwrap()).contains("keys"));
    }
}
