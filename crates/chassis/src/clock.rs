//! Time as a dependency, so that tests decide what time it is.
use std::{fmt, sync::Arc};

use jiff::Timestamp;

/// Where a process takes the time of day from. Cheap to clone.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// The machine's own clock.
    #[must_use]
    pub fn system() -> Self {
        Self::new(Timestamp::now)
    }

    /// A clock that asks `read` each time.
    pub fn new(read: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    /// The time now, cut to microseconds: that is what both databases store, and a time must
    /// compare equal to itself after it was stored.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let read = (self.0)();
        Timestamp::from_microsecond(read.as_microsecond()).unwrap_or(read)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn now_is_cut_to_what_databases_store() {
        let read = Timestamp::from_nanosecond(1_234_567_891).unwrap();
        let now = Clock::new(move || read).now();
        assert_eq!(now.as_nanosecond(), 1_234_567_000);
    }
}
