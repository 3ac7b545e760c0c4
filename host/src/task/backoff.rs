//! How long to wait before the next try: exponential, with jitter, up to a bound.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

thread_local! {
    /// Where the jitter of this thread stands. A fresh `RandomState` is random enough to spread retries.
    static JITTER: Cell<u64> = Cell::new(RandomState::new().hash_one(0));
}

/// Makes the jitter of the pauses that are drawn on this thread repeatable: a simulation has one thread, and a seed.
pub fn seed_jitter(seed: u64) {
    JITTER.set(seed);
}

/// The next number of this thread: one step of SplitMix64.
fn jitter() -> u64 {
    let state = JITTER.get().wrapping_add(0x9E37_79B9_7F4A_7C15);
    JITTER.set(state);
    let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// The pauses between tries of one thing.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    max: Duration,
    tries: u32,
}

impl Backoff {
    /// Pauses from `first` on, doubling up to `max`.
    #[must_use]
    pub fn new(first: Duration, max: Duration) -> Self {
        Self { first: first.min(max), max, tries: 0 }
    }

    /// It went well: begin anew.
    pub fn reset(&mut self) {
        self.tries = 0;
    }

    /// How often it has failed in a row.
    #[must_use]
    pub fn tries(&self) -> u32 {
        self.tries
    }

    /// The next pause: between half of the full pause and all of it, so that many do not return at once.
    pub fn next_delay(&mut self) -> Duration {
        self.delay(u32::try_from(jitter() % 1000).unwrap_or(0))
    }

    fn delay(&mut self, random_per_mille: u32) -> Duration {
        let full = self.first.saturating_mul(2_u32.saturating_pow(self.tries)).min(self.max);
        self.tries = self.tries.saturating_add(1);
        full / 2 + full / 2 * random_per_mille / 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_bound_and_begin_anew() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        let full: Vec<_> = (0..6).map(|_| backoff.delay(1000).as_millis()).collect();
        assert_eq!(full, [100, 200, 400, 800, 1000, 1000]);
        backoff.reset();
        assert_eq!(backoff.delay(0).as_millis(), 50);
        for _ in 0..100 {
            assert!(backoff.next_delay() <= Duration::from_secs(1));
        }
    }

    #[test]
    fn pauses_differ_unless_chance_is_seeded() {
        let pauses = || {
            let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(1));
            (0..10).map(|_| backoff.next_delay()).collect::<Vec<_>>()
        };
        let seeded = |seed| {
            seed_jitter(seed);
            pauses()
        };
        assert_ne!(pauses(), pauses());
        assert_eq!(seeded(7), seeded(7));
        assert_ne!(seeded(7), seeded(8));
    }
}
