//! Chance that can be had again, and how much of it.

use super::random;

/// Random numbers. `TAGALONG_TEST_SEED` gives the same ones again.
pub(crate) struct Dice(u64);

impl Dice {
    /// Says how to repeat what happens.
    pub(crate) fn cast() -> Self {
        let seed = setting("TAGALONG_TEST_SEED").unwrap_or_else(random);
        println!("TAGALONG_TEST_SEED={seed}");
        Self(seed)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        // SplitMix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}

/// A number in the environment: how long the long form of a test is.
pub(crate) fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}
