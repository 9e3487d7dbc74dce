//! Moments as messages carry them.

use jiff::Timestamp;

/// The moment a message names; none where it names no real one.
pub(crate) fn from_proto(moment: prost_types::Timestamp) -> Option<Timestamp> {
    (0..1_000_000_000)
        .contains(&moment.nanos)
        .then(|| Timestamp::new(moment.seconds, moment.nanos).ok())
        .flatten()
}

/// A moment for a message.
pub(crate) fn to_proto(moment: Timestamp) -> prost_types::Timestamp {
    let (seconds, nanos) = (moment.as_second(), moment.subsec_nanosecond());
    // Before 1970 jiff counts both backwards, messages count nanoseconds forwards.
    if nanos < 0 {
        prost_types::Timestamp { seconds: seconds - 1, nanos: nanos + 1_000_000_000 }
    } else {
        prost_types::Timestamp { seconds, nanos }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn moments_that_are_none() {
        for (seconds, nanos) in [(0, -1), (0, 1_000_000_000), (i64::MAX, 0), (i64::MIN, 0)] {
            assert_eq!(from_proto(prost_types::Timestamp { seconds, nanos }), None);
        }
    }

    proptest! {
        #[test]
        fn moments_survive(seconds in -60_000_000_000_i64..250_000_000_000, nanos in 0..1_000_000_000) {
            let moment = prost_types::Timestamp { seconds, nanos };
            prop_assert_eq!(to_proto(from_proto(moment).unwrap()), moment);
        }
    }
}
