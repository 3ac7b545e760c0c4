//! How fast a stage may start instances: a plugin that dies as often as it is called must not keep the host busy with its
//! births.

use std::time::Duration;

use tokio::time::Instant;

/// Instances that may follow each other at once: enough to find the bad records of a batch of 500.
const BURST: u32 = 1_000;
/// Instances a second in the long run. Each costs the host about a third of a millisecond, with what it says of its
/// predecessor: this many are a few hundredths of a processor.
const PER_SECOND: u32 = 200;

/// A bucket of starts that refills with time.
#[derive(Debug)]
pub(super) struct Starts {
    /// When the bucket will be full again: each start moves it on.
    full_at: Instant,
}

impl Starts {
    /// One of which nothing is used.
    pub(super) fn new(now: Instant) -> Self {
        Self { full_at: now }
    }

    /// Takes a start, and returns how long to wait before it.
    pub(super) fn take(&mut self, now: Instant) -> Duration {
        let one = Duration::from_secs(1) / PER_SECOND;
        self.full_at = self.full_at.max(now) + one;
        self.full_at.saturating_duration_since(now).saturating_sub(one * BURST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_free_and_what_follows_is_paced() {
        let now = Instant::now();
        let mut starts = Starts::new(now);
        for _ in 0..BURST {
            assert_eq!(starts.take(now), Duration::ZERO);
        }
        let one = Duration::from_secs(1) / PER_SECOND;
        assert_eq!(starts.take(now), one);
        assert_eq!(starts.take(now), 2 * one);
        let later = now + Duration::from_secs(60);
        assert_eq!(starts.take(later), Duration::ZERO, "time fills it again");
    }
}
