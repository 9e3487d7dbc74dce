//! Registrations that a form on an operator's own page posts. Anybody can post them.

use std::{collections::HashMap, sync::Arc};

use opentelemetry::{KeyValue, global, metrics::Counter};
use serde_json::Value;
use tagalong_attribution::{id::WebinarId, link::read_click_id};
use tagalong_proto::v1;
use uuid::Uuid;

use crate::{
    email::Email,
    error::{Error, Result},
    field,
    keys::DataKeys,
    store::{
        Store,
        attendees::Report,
        catalogue::{self, lines},
        entity::webinar,
    },
    writing::Writer,
};

/// The source of their registrations.
const SOURCE: &str = "form";

/// All forms.
pub(crate) struct Forms {
    store: Store,
    writer: Arc<Writer>,
    keys: DataKeys,
    posted: Counter<u64>,
}

/// A form that is open.
pub(crate) struct Form {
    webinar: String,
    key: String,
    origins: Vec<String>,
    thank_you_url: String,
    programme: String,
    keep_emails: bool,
}

/// What somebody filled in. Without `Debug`: it holds an address.
#[derive(Default)]
pub(crate) struct Fields(HashMap<String, String>);

/// Why a post is not taken. None of it depends on who is known.
#[derive(Debug)]
pub(crate) enum NotTaken {
    /// The form's key is not in it.
    WrongKey,
    /// There is no e-mail address in it.
    NoEmail,
    /// Not now, and our fault.
    Failed(Error),
}

impl Fields {
    /// Of several fields of one name the first counts.
    pub(crate) fn from_form(body: &[u8]) -> Self {
        let mut fields = HashMap::new();
        for (name, value) in form_urlencoded::parse(body) {
            fields.entry(name.into_owned()).or_insert_with(|| value.into_owned());
        }
        Self(fields)
    }

    /// None where it is no object.
    pub(crate) fn from_json(body: &[u8]) -> Option<Self> {
        let Value::Object(object) = serde_json::from_slice(body).ok()? else { return None };
        let text = |value| match value {
            Value::String(text) => Some(text),
            _ => None,
        };
        let fields = object.into_iter().filter_map(|(name, value)| Some((name, text(value)?)));
        Some(Self(fields.collect()))
    }

    fn get(&self, name: &str) -> &str {
        self.0.get(name).map(String::as_str).unwrap_or_default()
    }
}

impl Form {
    fn of(row: webinar::Model) -> Option<Self> {
        Some(Self {
            webinar: row.id,
            key: row.form_key?,
            origins: lines(&row.form_origins),
            thank_you_url: row.form_thank_you_url,
            programme: row.form_programme.unwrap_or_default(),
            keep_emails: row.form_keep_emails,
        })
    }

    /// Whether pages of an origin may post.
    pub(crate) fn allows(&self, origin: &str) -> bool {
        self.origins.iter().any(|allowed| allowed == origin)
    }

    /// Where somebody who posted is sent; none for a page of our own.
    pub(crate) fn thank_you_url(&self) -> Option<&str> {
        Some(self.thank_you_url.as_str()).filter(|url| !url.is_empty())
    }

    fn registration(&self, fields: &Fields) -> Option<v1::RegisterAttendeeRequest> {
        let email = fields.get("email");
        Email::parse(email).ok()?;
        let session = field::text("session", fields.get("session").trim(), field::FOREIGN_ID);
        let click = read_click_id(fields.get("click"));
        Some(v1::RegisterAttendeeRequest {
            webinar_id: self.webinar.clone(),
            email: email.to_owned(),
            keep_email: self.keep_emails,
            affiliate_id: fields.get("affiliate").to_owned(),
            programme_id: self.programme.clone(),
            // Drawn anew: who registers once more after having been erased is somebody new.
            key: Some(v1::RegistrationKey {
                source: SOURCE.to_owned(),
                external_webinar_id: String::new(),
                external_id: Uuid::now_v7().to_string(),
            }),
            session_id: session.unwrap_or_default(),
            click_id: click.map(|id| id.to_string()).unwrap_or_default(),
            unverified: true,
            ..v1::RegisterAttendeeRequest::default()
        })
    }
}

impl Forms {
    pub(crate) fn new(store: Store, writer: Arc<Writer>, keys: DataKeys) -> Self {
        let posted = global::meter("tagalong")
            .u64_counter("tagalong.forms")
            .with_description("Posts of registration forms, by what became of them")
            .build();
        Self { store, writer, keys, posted }
    }

    /// The form of a webinar, where it has one.
    pub(crate) async fn open(&self, webinar: &str) -> Result<Option<Form>> {
        let Ok(id) = webinar.parse::<WebinarId>() else { return Ok(None) };
        match catalogue::webinar(self.store.read(), id.as_str()).await {
            Ok(row) => Ok(Form::of(row)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Takes what somebody posted. Where this says so, it is on disk, or the person was known already.
    pub(crate) async fn post(&self, form: &Form, fields: &Fields) -> Result<(), NotTaken> {
        if fields.get("key") != form.key {
            return Err(NotTaken::WrongKey);
        }
        let registration = form.registration(fields).ok_or(NotTaken::NoEmail)?;
        let report = Report::read_form(registration, &self.keys).map_err(NotTaken::Failed)?;
        self.writer.register(report).await.map_err(NotTaken::Failed)?;
        Ok(())
    }

    /// Something was posted.
    pub(crate) fn count(&self, outcome: &'static str) {
        self.posted.add(1, &[KeyValue::new("outcome", outcome)]);
    }
}
