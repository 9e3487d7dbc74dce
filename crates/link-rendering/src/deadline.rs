//! How long a call may take, passed on to the registry.

use std::time::Duration;

use tokio::time::Instant;
use tonic::{Request, metadata::MetadataMap};

use crate::error::{Error, Result};

/// For callers that set none.
const DEFAULT: Duration = Duration::from_secs(10);

/// Longest, whatever the caller asks for.
const MAX: Duration = Duration::from_mins(1);

/// The moment a call must be answered by, or its stream begun.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    /// The deadline of a call that has just arrived.
    pub(crate) fn of(metadata: &MetadataMap) -> Self {
        let timeout = metadata.get("grpc-timeout").and_then(|text| read(text.to_str().ok()?));
        Self(Instant::now() + timeout.unwrap_or(DEFAULT).min(MAX))
    }

    /// A request that has what is left of the time.
    ///
    /// # Errors
    /// Nothing is left.
    pub(crate) fn request<T>(self, message: T) -> Result<Request<T>> {
        let left = self.0.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Error::TooLate);
        }
        let mut request = Request::new(message);
        request.set_timeout(left);
        Ok(request)
    }
}

/// At most eight digits and a unit.
fn read(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let amount = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_hours(amount),
        "M" => Duration::from_mins(amount),
        "S" => Duration::from_secs(amount),
        "m" => Duration::from_millis(amount),
        "u" => Duration::from_micros(amount),
        "n" => Duration::from_nanos(amount),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_as_grpc_writes_them() {
        for (text, expected) in [
            ("5S", Some(Duration::from_secs(5))),
            ("150m", Some(Duration::from_millis(150))),
            ("99999999n", Some(Duration::from_nanos(99_999_999))),
            ("99999999H", Some(Duration::from_hours(99_999_999))),
            ("0u", Some(Duration::ZERO)),
            ("123456789S", None),
            ("S", None),
            ("-1S", None),
            ("5", None),
            ("5ü", None),
            ("", None),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }

    #[test]
    fn no_time_left_asks_nobody() {
        let mut metadata = MetadataMap::new();
        metadata.insert("grpc-timeout", "0n".parse().unwrap());
        assert!(matches!(Deadline::of(&metadata).request(()), Err(Error::TooLate)));
    }
}
