//! Chance that can be repeated: a seed that is shown when a test fails, and a generator that is nobody's but ours.

use std::env;
use std::ops::Range;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};

/// Sets the seed, to repeat a run that failed.
pub const SEED_VARIABLE: &str = "SANDBAR_TEST_SEED";

/// A generator of the SplitMix64 family.
#[derive(Clone, Debug)]
pub struct Chance {
    seed: u64,
    state: u64,
}

impl Chance {
    /// One with the seed that was asked for, or with another one each time.
    pub fn new() -> Result<Self> {
        let seed = match env::var(SEED_VARIABLE) {
            Ok(seed) => seed.parse().with_context(|| format!("{SEED_VARIABLE}={seed}"))?,
            Err(_) => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                u64::from(now.subsec_nanos()) ^ (now.as_secs() << 30)
            }
        };
        Ok(Self::seeded(seed))
    }

    /// One that is the same every time.
    #[must_use]
    pub const fn seeded(seed: u64) -> Self {
        Self { seed, state: seed }
    }

    /// So many bytes.
    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes: Vec<u8> = (0..len.div_ceil(8)).flat_map(|_| self.draw().to_le_bytes()).collect();
        bytes.truncate(len);
        bytes
    }

    /// How to have the same again, for the message of an error.
    #[must_use]
    pub fn describe(&self) -> String {
        format!("to repeat it set {SEED_VARIABLE}={}", self.seed)
    }

    /// A number of a range.
    pub fn among(&mut self, range: Range<u64>) -> u64 {
        let width = range.end.saturating_sub(range.start).max(1);
        range.start + self.draw() % width
    }

    /// Any number.
    pub fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}
