//! Sources, as operators configure them.

use tagalong_attribution::id::{ProgrammeId, SourceId, WebinarId};
use tagalong_chassis::config::Secret;
use tagalong_proto::v1;

use crate::{
    error::{Error, Result},
    field,
};

const MAX_WEBINARS: usize = 1000;
const MAX_SECRET: usize = 512;

/// How long the secrets before a new one stay valid, in seconds, where nobody says.
const KEEP_OLD_FOR: i64 = 24 * 60 * 60;

/// A source as an operator wants it.
pub(crate) struct Source {
    pub(crate) id: SourceId,
    pub(crate) preset: String,
    pub(crate) title: String,
    pub(crate) programme: Option<ProgrammeId>,
    /// The tool's own ID, empty for all others, and our webinar; each ID once.
    pub(crate) webinars: Vec<(String, WebinarId)>,
    pub(crate) keep_emails: bool,
    pub(crate) disabled: bool,
    pub(crate) registrant_links: bool,
    /// What the operator believes to be stored; 0 for whatever is.
    pub(crate) revision: i64,
}

impl Source {
    pub(crate) fn read(message: Option<v1::Source>) -> Result<Self> {
        let message = field::required("source", message)?;
        if message.webinars.len() > MAX_WEBINARS {
            return Err(Error::invalid(
                "source.webinars",
                format!("must be at most {MAX_WEBINARS}"),
            ));
        }
        let mut webinars: Vec<(String, WebinarId)> = Vec::new();
        for (n, entry) in message.webinars.iter().enumerate() {
            let name = |part: &str| format!("source.webinars[{n}].{part}");
            let external_id =
                field::text(&name("external_id"), entry.external_id.trim(), field::FOREIGN_ID)?;
            if webinars.iter().any(|(known, _)| *known == external_id) {
                return Err(Error::invalid(name("external_id"), "stands twice in the source"));
            }
            webinars.push((external_id, field::id(&name("webinar_id"), &entry.webinar_id)?));
        }
        Ok(Self {
            id: field::id("source.id", &message.id)?,
            preset: field::required_text("source.preset", &message.preset, field::FOREIGN_ID)?,
            title: field::text("source.title", &message.title, field::TITLE)?,
            programme: field::optional_id("source.programme_id", &message.programme_id)?,
            webinars,
            keep_emails: message.keep_emails,
            disabled: message.disabled,
            registrant_links: message.registrant_links,
            revision: message.revision,
        })
    }
}

/// Reads a secret, or none where the field is empty. The error does not repeat it.
pub(crate) fn secret(text: &str) -> Result<Option<Secret>> {
    if text.len() > MAX_SECRET {
        return Err(Error::invalid("secret", format!("must be at most {MAX_SECRET} bytes")));
    }
    if text.chars().any(char::is_control) {
        return Err(Error::invalid("secret", "must not hold control characters"));
    }
    Ok((!text.trim().is_empty()).then(|| text.trim().into()))
}

/// A secret that takes the place of those before it.
pub(crate) struct Rotation {
    pub(crate) source: SourceId,
    pub(crate) secret: Secret,
    pub(crate) keep_old_seconds: i64,
}

impl Rotation {
    pub(crate) fn read(message: &v1::RotateSourceSecretRequest) -> Result<Self> {
        Ok(Self {
            source: field::id("source_id", &message.source_id)?,
            secret: field::required("secret", secret(&message.secret)?)?,
            keep_old_seconds: field::seconds(
                "keep_old_for",
                message.keep_old_for.as_ref(),
                KEEP_OLD_FOR,
            )?,
        })
    }
}
