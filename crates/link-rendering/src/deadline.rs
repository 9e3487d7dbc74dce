//! How long a call may take, passed on to the registry.

use std::time::Duration;

use tagalong_chassis::transport;
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
        let timeout =
            metadata.get("grpc-timeout").and_then(|text| transport::timeout(text.to_str().ok()?));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_time_left_asks_nobody() {
        let mut metadata = MetadataMap::new();
        metadata.insert("grpc-timeout", "0n".parse().unwrap());
        assert!(matches!(Deadline::of(&metadata).request(()), Err(Error::TooLate)));
    }
}
