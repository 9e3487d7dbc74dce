//! Registrations, as they are reported.

use tagalong_attribution::{
    id::{AffiliateId, ProgrammeId, SourceId, WebinarId},
    link::read_click_id,
    token::KeyRing,
};
use tagalong_proto::v1;
use uuid::Uuid;

use crate::{
    email::Email,
    error::{Error, Result, What},
    field, time,
};

/// One report that somebody registered.
pub(crate) struct Registration {
    pub(crate) webinar: WebinarId,
    pub(crate) email: Option<Email>,
    pub(crate) keep_email: bool,
    pub(crate) affiliate: Option<AffiliateId>,
    pub(crate) programme: Option<ProgrammeId>,
    pub(crate) key: v1::RegistrationKey,
    pub(crate) session: String,
    pub(crate) registered_at: Option<i64>,
    pub(crate) click: Option<Uuid>,
    pub(crate) verified: bool,
    pub(crate) test: bool,
}

impl Registration {
    pub(crate) fn read(message: v1::RegisterAttendeeRequest) -> Result<Self> {
        let key = match message.key {
            // `Report` names it by its content.
            Some(key) if key.external_id.is_empty() && !message.email.trim().is_empty() => {
                field::registration_source("key", &key)?
            }
            Some(key) => field::registration_key("key", &key)?,
            None if message.request_id.is_empty() => {
                return Err(Error::invalid("key", "is required where there is no request_id"));
            }
            None => v1::RegistrationKey {
                source: "grpc".to_owned(),
                external_webinar_id: String::new(),
                external_id: message.request_id,
            },
        };
        let email = (!message.email.trim().is_empty())
            .then(|| field::email("email", &message.email))
            .transpose()?;
        if message.keep_email && email.is_none() {
            return Err(Error::invalid("keep_email", "needs an email"));
        }
        Ok(Self {
            webinar: field::id("webinar_id", &message.webinar_id)?,
            email,
            keep_email: message.keep_email,
            // A tool passes on whatever stood in its field: what is no affiliate is none.
            affiliate: AffiliateId::read(&message.affiliate_id).ok(),
            programme: field::optional_id("programme_id", &message.programme_id)?,
            key,
            session: field::text("session_id", &message.session_id, field::FOREIGN_ID)?,
            registered_at: time::read("registered_at", message.registered_at.as_ref())?,
            click: click_id("click_id", &message.click_id)?,
            verified: !message.unverified,
            test: message.test,
        })
    }
}

/// A click's ID, or none where the field is empty.
fn click_id(field: &str, text: &str) -> Result<Option<Uuid>> {
    if text.is_empty() {
        return Ok(None);
    }
    read_click_id(text).map(Some).ok_or_else(|| Error::invalid(field, "must be a click's UUIDv7"))
}

/// A way to name an attendee.
pub(crate) enum Reference {
    Id(Uuid),
    Registration(v1::RegistrationKey),
    Email(WebinarId, Email),
    /// Source and the tool's own ID, as a public link names them.
    Registrant(SourceId, String),
}

impl Reference {
    /// Reads a reference; a token is verified here.
    pub(crate) fn read(
        field: &str,
        message: Option<v1::AttendeeReference>,
        tokens: &KeyRing,
    ) -> Result<Self> {
        use v1::attendee_reference::Reference as Message;
        let reference = message.and_then(|message| message.reference);
        match field::required(field, reference)? {
            Message::AttendeeId(id) => {
                Ok(Self::Id(field::uuid(&format!("{field}.attendee_id"), &id)?))
            }
            // Who holds a bad token learns only that it names nobody.
            Message::Token(token) => tokens
                .verify(&token)
                .map(Self::Id)
                .ok_or_else(|| Error::not_found(What::Attendee, "of this token")),
            Message::Registration(key) => {
                let field = format!("{field}.registration");
                Ok(Self::Registration(field::registration_key(&field, &key)?))
            }
            Message::Email(email) => Ok(Self::Email(
                field::id(&format!("{field}.email.webinar_id"), &email.webinar_id)?,
                field::email(&format!("{field}.email.email"), &email.email)?,
            )),
            Message::Registrant(registrant) => {
                let name = format!("{field}.registrant.external_id");
                let source = field::id(&format!("{field}.registrant.source"), &registrant.source)?;
                let id = field::required_text(&name, &registrant.external_id, field::FOREIGN_ID)?;
                Ok(Self::Registrant(source, id))
            }
        }
    }
}
