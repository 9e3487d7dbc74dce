//! Presets: platforms, as data.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde::Deserialize;

use crate::{
    delivery::{Delivery, Payload, Refusal, Reply},
    links::AffiliateNames,
    reading::{Reading, Unmapped},
};

/// What a platform is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Sells, and credits affiliates.
    Checkout,
    /// Registers attendees.
    Webinar,
    /// Sends mails, whose links it personalises.
    Email,
}

/// A platform.
#[derive(Debug, Clone)]
pub struct Preset {
    name: String,
}

/// A file that is no preset.
#[derive(Debug, thiserror::Error)]
pub enum PresetError {
    /// The file or directory cannot be read.
    #[error("cannot read {path}: {error}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The file says something that cannot be used.
    #[error("preset {preset}: {problem}")]
    Invalid {
        /// The preset's name.
        preset: String,
        /// What is wrong, with the key.
        problem: String,
    },
}

impl Preset {
    /// Parses and checks a preset.
    ///
    /// # Errors
    /// [`PresetError::Invalid`], which names the key.
    pub fn parse(name: &str, toml: &str) -> Result<Self, PresetError> {
        let _ = toml;
        Ok(Self { name: name.to_owned() })
    }

    /// By what sources name it: the file's name without `.toml`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// For people.
    #[must_use]
    pub fn title(&self) -> &str {
        ""
    }

    /// What the platform is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        Kind::Checkout
    }

    /// What is missing before the preset can be used, where it is a draft: a source that uses it takes
    /// deliveries and keeps them, and maps none until the operator has a preset of that name that is no draft.
    #[must_use]
    pub fn draft(&self) -> Option<&str> {
        None
    }

    /// Whether all it says comes from the vendor, or from several receivers that agree.
    #[must_use]
    pub fn verified(&self) -> bool {
        false
    }

    /// How long after a click the platform credits the affiliate, in days; none where it is not known.
    #[must_use]
    pub fn window_days(&self) -> Option<u16> {
        None
    }

    /// How the platform compares affiliates' names.
    #[must_use]
    pub fn affiliate_names(&self) -> AffiliateNames {
        AffiliateNames::Exact
    }

    /// Whether deliveries are authenticated by a secret of the source's own, in the path, as a bearer token or as
    /// the query's `token`, because the platform signs nothing.
    #[must_use]
    pub fn needs_own_secret(&self) -> bool {
        false
    }

    /// Verifies a delivery against each of the source's secrets, in constant time, and says what of it is authentic.
    ///
    /// # Errors
    /// Says why it is refused.
    pub fn verify(
        &self,
        secrets: &[&str],
        delivery: &Delivery<'_>,
        now: Timestamp,
    ) -> Result<Payload, Refusal> {
        let _ = (secrets, now, Payload::of(delivery, &[]));
        Err(Refusal::Unsigned)
    }

    /// The answer to a payload that asks for proof that we know the secret (Zoom's URL validation); none where it is
    /// an ordinary one. Such a payload is not to be kept.
    #[must_use]
    pub fn challenge(&self, secrets: &[&str], payload: &Payload) -> Option<Reply> {
        let _ = (secrets, payload);
        None
    }

    /// Reads an authentic payload.
    ///
    /// # Errors
    /// Names the path that failed.
    pub fn read(&self, payload: &Payload) -> Result<Reading, Unmapped> {
        let _ = payload;
        Err(Unmapped::Body)
    }

    /// What the platform expects to hear, whether it delivers or only tries (GET, HEAD): anything else, and it sends
    /// again.
    #[must_use]
    pub fn reply(&self) -> Reply {
        Reply { status: http::StatusCode::OK, content_type: None, body: bytes::Bytes::new() }
    }
}

/// All presets, by name.
#[derive(Debug, Clone)]
pub struct Presets(BTreeMap<String, Preset>);

impl Presets {
    /// The built-in presets, and over them those of the operator's own directory: every file in it that ends in `.toml`.
    ///
    /// # Errors
    /// If a file cannot be read, or is no preset.
    pub fn load(directory: Option<&Path>) -> Result<Self, PresetError> {
        let _ = directory;
        Ok(Self(BTreeMap::new()))
    }

    /// The preset of a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Preset> {
        self.0.get(name)
    }

    /// All, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Preset> {
        self.0.values()
    }
}
