//! How long to wait before trying again.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(10);

/// From half of to the whole of a wait that doubles with each failure, so that many processes
/// do not come back at the same moment.
pub(crate) fn delay(failures: u32) -> Duration {
    let whole = FIRST.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(LONGEST);
    let mut random = [0; 1];
    // Without a random source there is no jitter, and everything else still holds.
    let _ = getrandom::fill(&mut random);
    whole / 2 + whole.mul_f64(f64::from(random[0]) / 512.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_to_ten_seconds() {
        for (failures, whole) in
            [(0, 250), (1, 250), (2, 500), (3, 1000), (7, 10_000), (u32::MAX, 10_000)]
        {
            let whole = Duration::from_millis(whole);
            for _ in 0..20 {
                let delay = delay(failures);
                assert!(whole / 2 <= delay && delay <= whole, "{failures}: {delay:?}");
            }
        }
    }
}
