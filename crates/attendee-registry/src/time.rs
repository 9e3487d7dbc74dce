//! Times: microseconds since 1970 in the store, `Timestamp` in messages, [`jiff::Timestamp`] in the rules.

use jiff::Timestamp;

use crate::error::{Error, Result};

/// As the rules have it.
pub(crate) fn from_micros(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(micros).unwrap_or(if micros < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    })
}

/// The UTC day, counted from 1970-01-01.
pub(crate) fn day(micros: i64) -> i64 {
    micros.div_euclid(24 * 60 * 60 * 1_000_000)
}

/// As messages have it.
pub(crate) fn to_proto(micros: i64) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: micros.div_euclid(1_000_000),
        nanos: i32::try_from(micros.rem_euclid(1_000_000) * 1000).unwrap_or(0),
    }
}

/// A moment of the rules as messages have it.
pub(crate) fn moment_to_proto(moment: Timestamp) -> prost_types::Timestamp {
    let nanoseconds = moment.as_nanosecond();
    prost_types::Timestamp {
        seconds: i64::try_from(nanoseconds.div_euclid(1_000_000_000)).unwrap_or(0),
        nanos: i32::try_from(nanoseconds.rem_euclid(1_000_000_000)).unwrap_or(0),
    }
}

/// Reads a message's time, where there is one.
///
/// # Errors
/// If it is out of range.
pub(crate) fn read(field: &str, time: Option<&prost_types::Timestamp>) -> Result<Option<i64>> {
    let Some(time) = time else { return Ok(None) };
    // The range of RFC 3339, as `google.protobuf.Timestamp` has it.
    let valid = (-62_135_596_800..=253_402_300_799).contains(&time.seconds)
        && (0..1_000_000_000).contains(&time.nanos);
    if !valid {
        return Err(Error::invalid(field, "is not a valid timestamp"));
    }
    Ok(Some(time.seconds * 1_000_000 + i64::from(time.nanos) / 1000))
}
