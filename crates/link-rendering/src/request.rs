//! What callers send, read once and refused by the name of the field.

use std::{fmt::Display, str::FromStr};

use jiff::Timestamp;
use tagalong_proto::v1::{AttendeeReference, RegistrationKey, attendee_reference::Reference};
use uuid::Uuid;

use crate::{
    error::{Error, Result},
    links::Buyer,
    time,
};

/// Longest part of a registration's key, in characters.
const MAX_KEY: usize = 128;

/// Longest e-mail address, in bytes.
const MAX_EMAIL: usize = 320;

/// An ID.
pub(crate) fn id<T: FromStr<Err: Display>>(field: &str, text: &str) -> Result<T> {
    text.parse().map_err(|error: T::Err| Error::invalid(field, error.to_string()))
}

/// A moment, where one is given.
pub(crate) fn at(moment: Option<prost_types::Timestamp>) -> Result<Option<Timestamp>> {
    let valid =
        |moment| time::from_proto(moment).ok_or_else(|| Error::invalid("at", "is no moment"));
    moment.map(valid).transpose()
}

/// Whom a link is for.
pub(crate) fn buyer(attendee: Option<AttendeeReference>) -> Result<Buyer> {
    let reference = attendee
        .and_then(|attendee| attendee.reference)
        .ok_or_else(|| Error::invalid("attendee", "must name an attendee"))?;
    match reference {
        Reference::AttendeeId(text) => match Uuid::try_parse(&text) {
            Ok(id) => Ok(Buyer::Attendee(id)),
            Err(_) => Err(Error::invalid("attendee.attendee_id", "must be a UUID")),
        },
        Reference::Token(token) if token.is_empty() => {
            Err(Error::invalid("attendee.token", "must not be empty"))
        }
        Reference::Token(token) => Ok(Buyer::Token(token)),
        Reference::Registration(key) => registration(key),
        Reference::Registrant(registrant) => {
            id::<tagalong_attribution::id::SourceId>(
                "attendee.registrant.source",
                &registrant.source,
            )?;
            if registrant.external_id.is_empty() || registrant.external_id.chars().count() > MAX_KEY
            {
                let problem = format!("must be 1 to {MAX_KEY} characters");
                return Err(Error::invalid("attendee.registrant.external_id", problem));
            }
            Ok(Buyer::Registrant(registrant))
        }
        Reference::Email(email) => {
            id::<tagalong_attribution::id::WebinarId>(
                "attendee.email.webinar_id",
                &email.webinar_id,
            )?;
            if email.email.is_empty() || email.email.len() > MAX_EMAIL {
                let problem = format!("must be an address of at most {MAX_EMAIL} bytes");
                return Err(Error::invalid("attendee.email.email", problem));
            }
            Ok(Buyer::Email(email))
        }
    }
}

fn registration(key: RegistrationKey) -> Result<Buyer> {
    let field = |part| format!("attendee.registration.{part}");
    for (part, text) in [("source", &key.source), ("external_id", &key.external_id)] {
        if text.is_empty() {
            return Err(Error::invalid(field(part), "must not be empty"));
        }
    }
    for (part, text) in [
        ("source", &key.source),
        ("external_webinar_id", &key.external_webinar_id),
        ("external_id", &key.external_id),
    ] {
        if text.chars().count() > MAX_KEY {
            let problem = format!("must be at most {MAX_KEY} characters");
            return Err(Error::invalid(field(part), problem));
        }
    }
    Ok(Buyer::Registration(key))
}
