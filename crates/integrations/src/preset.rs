//! Presets: platforms, as data.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use http::StatusCode;
use jiff::Timestamp;
use serde::Deserialize;
use tagalong_attribution::id::is_id;

use crate::{
    delivery::{Delivery, Payload, Refusal, Reply},
    links::{Links, MergeTags, Templates},
    mapping::{
        Mapping, document,
        section::{
            EventFields, ItemFields, MoneyFields, OrderFields, PaymentFields, RegistrationFields,
            ReversalFields,
        },
    },
    reading::{Reading, Unmapped},
    signature::{Signature, hex_hmac},
};

mod built_in;

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

impl Kind {
    /// Its name, as presets spell it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Checkout => "checkout",
            Self::Webinar => "webinar",
            Self::Email => "email",
        }
    }
}

/// A platform.
#[derive(Debug, Clone)]
pub struct Preset {
    name: String,
    toml: String,
    file: File,
}

/// A preset's file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    title: String,
    kind: Kind,
    verified: bool,
    #[serde(default)]
    unverified: Vec<String>,
    draft: Option<String>,
    #[serde(default)]
    links: Links,
    merge_tags: Option<MergeTags>,
    signature: Option<Signature>,
    challenge: Option<Challenge>,
    #[serde(default)]
    reply: Answer,
    events: Option<EventFields>,
    registration: Option<RegistrationFields>,
    order: Option<OrderFields>,
    item: Option<ItemFields>,
    payment: Option<PaymentFields>,
    #[serde(default)]
    reversal: ReversalFields,
    money: Option<MoneyFields>,
}

/// Platforms that ask whether we know the secret.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Challenge {
    Zoom,
}

/// What a platform expects to hear.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    /// Any 2xx will do.
    #[default]
    Empty,
    /// The text `OK`, and nothing else.
    Ok,
}

/// A file that is no preset.
#[derive(Debug, thiserror::Error)]
pub enum PresetError {
    /// The file or directory cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The file says something that cannot be used.
    #[error("preset {preset}: {key}: {problem}")]
    Invalid {
        /// The preset's name.
        preset: String,
        /// Where in the file.
        key: String,
        /// What is wrong there.
        problem: String,
    },
}

impl Preset {
    /// Parses and checks a preset.
    ///
    /// # Errors
    /// [`PresetError::Invalid`], which names the key.
    pub fn parse(name: &str, toml: &str) -> Result<Self, PresetError> {
        let invalid = |key: &str, problem: String| PresetError::Invalid {
            preset: name.to_owned(),
            key: key.to_owned(),
            problem,
        };
        if !is_id(name) {
            return Err(invalid(
                "the file's name",
                "must be letters, digits and - . _ ~".to_owned(),
            ));
        }
        let deserializer =
            toml::Deserializer::parse(toml).map_err(|error| invalid("TOML", error.to_string()))?;
        let file: File = serde_path_to_error::deserialize(deserializer).map_err(|error| {
            invalid(&error.path().to_string(), error.inner().message().to_owned())
        })?;
        let preset = Self { name: name.to_owned(), toml: toml.to_owned(), file };
        match preset.fault() {
            Some((key, problem)) => Err(invalid(&key, problem)),
            None => Ok(preset),
        }
    }

    /// What contradicts or is missing, and where.
    fn fault(&self) -> Option<(String, String)> {
        let File { kind, verified, unverified, links, merge_tags, .. } = &self.file;
        let fault = |key: &str, problem: &str| Some((key.to_owned(), problem.to_owned()));
        if *verified != (unverified.is_empty() && self.file.draft.is_none()) {
            return fault(
                "verified",
                "must be true exactly where nothing is unverified and it is no draft",
            );
        }
        if let Some(tags) = merge_tags
            && tags.tag("aff").as_deref() != Some(tags.sample.as_str())
        {
            return fault("merge_tags.sample", "is not the tag of the field aff");
        }
        let templates = [
            ("links.affiliate", &links.affiliate),
            ("links.content", &links.content),
            ("links.purchase", &links.purchase),
            ("links.invitation", &links.invitation),
        ];
        let settings = links.settings.keys().map(|name| (name.clone(), "x".to_owned())).collect();
        for (key, templates) in templates {
            if let Some(Err(error)) = templates.as_ref().map(|t: &Templates| t.fill(&settings)) {
                return fault(key, &error.to_string());
            }
        }
        if let Some((key, problem)) = self.file.signature.as_ref().and_then(Signature::gap) {
            return fault(key, problem);
        }
        if self.file.draft.is_some() {
            return None;
        }
        let gap = match kind {
            Kind::Email => merge_tags.is_none().then_some(("merge_tags", "is required")),
            Kind::Checkout | Kind::Webinar if self.file.signature.is_none() => {
                Some(("signature", "is required"))
            }
            Kind::Checkout if links.purchase.is_none() => Some(("links.purchase", "is required")),
            Kind::Checkout | Kind::Webinar => self.mapping().gap(),
        };
        gap.and_then(|(key, problem)| fault(key, problem))
    }

    fn mapping(&self) -> Mapping<'_> {
        let File { events, registration, order, item, payment, reversal, money, .. } = &self.file;
        Mapping {
            events: events.as_ref(),
            registration: registration.as_ref(),
            order: order.as_ref(),
            item: item.as_ref(),
            payment: payment.as_ref(),
            reversal,
            money: money.as_ref(),
        }
    }

    /// By what sources name it: the file's name without `.toml`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file's text.
    #[must_use]
    pub fn toml(&self) -> &str {
        &self.toml
    }

    /// For people.
    #[must_use]
    pub fn title(&self) -> &str {
        &self.file.title
    }

    /// What the platform is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.file.kind
    }

    /// What is missing before the preset can be used, where it is a draft: nothing is read with it until the
    /// operator has a preset of that name that is no draft.
    #[must_use]
    pub fn draft(&self) -> Option<&str> {
        self.file.draft.as_deref()
    }

    /// The same, taken as finished: for trying it.
    #[must_use]
    pub fn finished(mut self) -> Self {
        self.file.draft = None;
        self
    }

    /// Whether all it says comes from the vendor, or from several receivers that agree.
    #[must_use]
    pub fn verified(&self) -> bool {
        self.file.verified
    }

    /// What of it is not verified, in words.
    #[must_use]
    pub fn unverified(&self) -> &[String] {
        &self.file.unverified
    }

    /// How the platform learns the affiliate.
    #[must_use]
    pub fn links(&self) -> &Links {
        &self.file.links
    }

    /// How the platform puts a person's field into a link, where it can.
    #[must_use]
    pub fn merge_tags(&self) -> Option<&MergeTags> {
        self.file.merge_tags.as_ref()
    }

    /// Whether the platform delivers anything to a hook.
    #[must_use]
    pub fn delivers(&self) -> bool {
        self.file.signature.is_some()
    }

    /// Whether deliveries are authenticated by a secret of the source's own, in the path, as a bearer token or as
    /// the query's `token`, because the platform signs nothing.
    #[must_use]
    pub fn needs_own_secret(&self) -> bool {
        matches!(self.file.signature, Some(Signature::OwnSecret(_)))
    }

    /// Verifies a delivery against each of the source's secrets, in constant time, and says what of it is authentic.
    ///
    /// # Errors
    /// Says why it is refused. Whatever comes for a preset that takes no deliveries is unsigned.
    pub fn verify(
        &self,
        secrets: &[&str],
        delivery: &Delivery<'_>,
        now: Timestamp,
    ) -> Result<Payload, Refusal> {
        let signature = self.file.signature.as_ref().ok_or(Refusal::Unsigned)?;
        let authentic = signature.verify(secrets, delivery, now)?;
        Ok(Payload::authentic(delivery, &self.mapping().headers(), authentic))
    }

    /// What would be kept of a delivery, whoever sent it: for trying a preset.
    #[must_use]
    pub fn unverified_payload(&self, delivery: &Delivery<'_>) -> Payload {
        Payload::of(delivery, &self.mapping().headers())
    }

    /// The answer to a verified payload that asks for proof that we know the secret (Zoom's URL validation); none where it
    /// is an ordinary one. Such a payload is not to be kept.
    #[must_use]
    pub fn challenge(&self, secrets: &[&str], payload: &Payload) -> Option<Reply> {
        let Challenge::Zoom = self.file.challenge?;
        let document = document::fold(payload).ok()?;
        if document.get("event")?.as_str()? != "endpoint.url_validation" {
            return None;
        }
        let token = document.get("payload")?.get("plainToken")?.as_str()?;
        let secret = secrets.get(payload.secret.unwrap_or(0))?;
        let answer = serde_json::json!({
            "plainToken": token,
            "encryptedToken": hex_hmac(secret, token),
        });
        Some(Reply {
            status: StatusCode::OK,
            content_type: Some("application/json"),
            body: Bytes::from(answer.to_string()),
        })
    }

    /// Reads an authentic payload.
    ///
    /// # Errors
    /// Names the path that failed. A draft reads nothing.
    pub fn read(&self, payload: &Payload) -> Result<Reading, Unmapped> {
        if self.draft().is_some() {
            return Err(Unmapped::Draft);
        }
        self.mapping().read(self.kind(), payload)
    }

    /// What the platform expects to hear, whether it delivers or only tries (GET, HEAD): anything else, and it sends
    /// again.
    #[must_use]
    pub fn reply(&self) -> Reply {
        let (content_type, body) = match self.file.reply {
            Answer::Empty => (None, ""),
            Answer::Ok => (Some("text/plain; charset=utf-8"), "OK"),
        };
        Reply { status: StatusCode::OK, content_type, body: Bytes::from_static(body.as_bytes()) }
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
        let mut presets = BTreeMap::new();
        for (name, toml) in built_in::FILES {
            presets.insert((*name).to_owned(), Preset::parse(name, toml)?);
        }
        for path in directory.map(files).transpose()?.unwrap_or_default() {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let toml =
                fs::read_to_string(&path).map_err(|error| PresetError::Io { path, error })?;
            presets.insert(name.clone(), Preset::parse(&name, &toml)?);
        }
        Ok(Self(presets))
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

/// The presets of a directory.
fn files(directory: &Path) -> Result<Vec<PathBuf>, PresetError> {
    let failed = |error| PresetError::Io { path: directory.to_owned(), error };
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            paths.push(path);
        }
    }
    Ok(paths)
}
