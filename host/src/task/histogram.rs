//! How often something was how large: counts by upper bounds, as monitoring systems add them up.

use std::sync::atomic::{AtomicU64, Ordering};

/// Upper bounds of the time a commit takes, in seconds.
pub const COMMIT_SECONDS: [f64; 9] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0];
/// Upper bounds of the records of a batch.
pub const BATCH_RECORDS: [f64; 6] = [1.0, 10.0, 100.0, 500.0, 1_000.0, 10_000.0];

/// What was seen. The last count is of what exceeds every bound.
#[derive(Debug)]
pub(super) struct Histogram {
    bounds: &'static [f64],
    counts: Box<[AtomicU64]>,
    /// In millionths, so that seconds add up.
    sum: AtomicU64,
}

/// What was seen up to a moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Distribution {
    /// Upper bounds, and how often something was between each and the one before.
    pub buckets: Vec<(f64, u64)>,
    /// All of it together.
    pub sum: f64,
}

impl Histogram {
    pub(super) fn new(bounds: &'static [f64]) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds, counts, sum: AtomicU64::new(0) }
    }

    pub(super) fn observe(&self, value: f64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.counts.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        // What is negative or too large for it is no time and no number of records.
        self.sum.fetch_add((value * 1e6) as u64, Ordering::Relaxed);
    }

    pub(super) fn distribution(&self) -> Distribution {
        let bounds = self.bounds.iter().copied().chain([f64::MAX]);
        let buckets = bounds.zip(&self.counts).map(|(bound, count)| (bound, count.load(Ordering::Relaxed)));
        Distribution { buckets: buckets.collect(), sum: self.sum.load(Ordering::Relaxed) as f64 / 1e6 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_as_large_as_a_bound_is_within_it() {
        let histogram = Histogram::new(&BATCH_RECORDS);
        for value in [1.0, 1.5, 500.0, 20_000.0] {
            histogram.observe(value);
        }
        let Distribution { buckets, sum } = histogram.distribution();
        let counts: Vec<_> = buckets.iter().map(|(_, count)| *count).collect();
        assert_eq!(counts, [1, 1, 0, 1, 0, 0, 1]);
        assert!((sum - 20_502.5).abs() < 1e-6);
    }
}
