//! Reading the fields of messages: each either gives a value that can be used as it is, or names the field.

use std::str::FromStr;

use tagalong_attribution::id::IdError;
use tagalong_proto::v1;
use uuid::Uuid;

use crate::{
    email::Email,
    error::{Error, Result},
};

/// Longest foreign ID, in characters.
pub(crate) const FOREIGN_ID: usize = 128;
/// Longest title, in characters.
pub(crate) const TITLE: usize = 200;
/// Longest reason, in characters.
pub(crate) const REASON: usize = 500;
/// Largest amount, in minor units: sums of a million of them stay within 64 bits.
pub(crate) const MAX_MINOR_UNITS: i64 = 1_000_000_000_000_000;

/// A message that must be there.
pub(crate) fn required<T>(field: &str, value: Option<T>) -> Result<T> {
    value.ok_or_else(|| Error::invalid(field, "is required"))
}

/// One of our own IDs.
pub(crate) fn id<T: FromStr<Err = IdError>>(field: &str, text: &str) -> Result<T> {
    text.parse().map_err(|error: IdError| Error::invalid(field, error.to_string()))
}

/// One of our own IDs, or none where the field is empty.
pub(crate) fn optional_id<T: FromStr<Err = IdError>>(field: &str, text: &str) -> Result<Option<T>> {
    if text.is_empty() { Ok(None) } else { id(field, text).map(Some) }
}

/// A text of at most `max` characters, none of them control characters; may be empty.
pub(crate) fn text(field: &str, text: &str, max: usize) -> Result<String> {
    if text.chars().count() > max {
        return Err(Error::invalid(field, format!("must be at most {max} characters")));
    }
    if text.chars().any(char::is_control) {
        return Err(Error::invalid(field, "must not hold control characters"));
    }
    Ok(text.to_owned())
}

/// The same, not empty.
pub(crate) fn required_text(field: &str, value: &str, max: usize) -> Result<String> {
    if value.trim().is_empty() {
        return Err(Error::invalid(field, "is required"));
    }
    text(field, value, max)
}

/// The same, or none where it is empty.
pub(crate) fn optional_text(field: &str, value: &str, max: usize) -> Result<Option<String>> {
    Ok(Some(text(field, value, max)?).filter(|text| !text.is_empty()))
}

/// A UUID.
pub(crate) fn uuid(field: &str, text: &str) -> Result<Uuid> {
    Uuid::try_parse(text).map_err(|_| Error::invalid(field, "must be a UUID"))
}

/// An enum's value, as a number known to this version.
pub(crate) fn enumeration<E: TryFrom<i32>>(field: &str, value: i32) -> Result<E> {
    E::try_from(value).map_err(|_| Error::invalid(field, format!("has no value {value}")))
}

/// An e-mail address; the error does not repeat it.
pub(crate) fn email(field: &str, text: &str) -> Result<Email> {
    Email::parse(text).map_err(|error| Error::invalid(field, error.to_string()))
}

/// An amount and its currency.
pub(crate) fn money(field: &str, money: &v1::Money) -> Result<(i64, String)> {
    if !(0..=MAX_MINOR_UNITS).contains(&money.minor_units) {
        return Err(Error::invalid(
            format!("{field}.minor_units"),
            "must be from 0 to 1000000000000000",
        ));
    }
    if iso_currency::Currency::from_code(&money.currency).is_none() {
        return Err(Error::invalid(
            format!("{field}.currency"),
            "must be an ISO 4217 code, such as EUR",
        ));
    }
    Ok((money.minor_units, money.currency.clone()))
}

/// How a tool names a registration.
pub(crate) fn registration_key(
    field: &str,
    key: &v1::RegistrationKey,
) -> Result<v1::RegistrationKey> {
    let external_id = required_text(&format!("{field}.external_id"), &key.external_id, FOREIGN_ID)?;
    Ok(v1::RegistrationKey { external_id, ..registration_source(field, key)? })
}

/// Where a registration comes from, of a tool that does not name it.
pub(crate) fn registration_source(
    field: &str,
    key: &v1::RegistrationKey,
) -> Result<v1::RegistrationKey> {
    Ok(v1::RegistrationKey {
        source: required_text(&format!("{field}.source"), &key.source, FOREIGN_ID)?,
        external_webinar_id: text(
            &format!("{field}.external_webinar_id"),
            &key.external_webinar_id,
            FOREIGN_ID,
        )?,
        external_id: String::new(),
    })
}

/// A whole number of seconds from 0 to ten years; `default` where absent.
pub(crate) fn seconds(
    field: &str,
    duration: Option<&prost_types::Duration>,
    default: i64,
) -> Result<i64> {
    const TEN_YEARS: i64 = 10 * 366 * 24 * 3600;
    match duration {
        None => Ok(default),
        Some(duration) if duration.nanos == 0 && (0..=TEN_YEARS).contains(&duration.seconds) => {
            Ok(duration.seconds)
        }
        Some(_) => Err(Error::invalid(field, "must be whole seconds, from 0 to 10 years")),
    }
}
