//! How many records are due by the clock. It reads no clock: the time is an argument.

use std::time::Duration;

/// A pause, of the machine or of the host, is made good for this long at the most: there is no burst after a long one.
const CATCH_UP: Duration = Duration::from_secs(1);

/// Lets records through at a rate.
#[derive(Debug)]
pub(crate) struct Pacer {
    /// Records a second; 0 is no limit.
    rate: f64,
    /// When credit was last given, from the start.
    last: Duration,
    /// Records that may be made now. It starts with one, so that a slow source shows a sign of life.
    credit: f64,
}

impl Pacer {
    pub(crate) fn new(rate: f64) -> Result<Self, &'static str> {
        if !rate.is_finite() || rate < 0.0 {
            return Err("must be a number of records a second, 0 or more");
        }
        Ok(Self { rate, last: Duration::ZERO, credit: 1.0 })
    }

    /// How many records are due, `now` after the start.
    pub(crate) fn due(&mut self, now: Duration) -> u64 {
        if self.rate == 0.0 {
            return u64::MAX;
        }
        let passed = now.saturating_sub(self.last);
        self.last = self.last.max(now);
        let most = (CATCH_UP.as_secs_f64() * self.rate).max(1.0);
        self.credit = (self.credit + passed.as_secs_f64() * self.rate).min(most);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // the whole part of a number from 0
        let whole = self.credit as u64;
        whole
    }

    /// So many have been made.
    pub(crate) fn take(&mut self, records: u64) {
        #[allow(clippy::cast_precision_loss)] // at most the credit, which is a float
        let taken = records as f64;
        self.credit = (self.credit - taken).max(0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Polls every `step` for `total` and returns how many records came.
    fn run(pacer: &mut Pacer, from: Duration, total: Duration, step: Duration) -> u64 {
        let mut now = from;
        let mut made = 0;
        while now < from + total {
            now += step;
            let due = pacer.due(now);
            pacer.take(due);
            made += due;
        }
        made
    }

    #[test]
    fn the_rate_holds_however_often_it_is_asked() {
        for step in [1, 7, 100, 900] {
            let mut pacer = Pacer::new(1000.0).unwrap();
            let made = run(&mut pacer, Duration::ZERO, Duration::from_secs(9), Duration::from_millis(step));
            assert!((8_900..=9_101).contains(&made), "{made} with a step of {step} ms");
        }
    }

    #[test]
    fn a_rate_below_one_begins_with_one() {
        let mut pacer = Pacer::new(0.1).unwrap();
        assert_eq!(pacer.due(Duration::ZERO), 1);
        pacer.take(1);
        assert_eq!(run(&mut pacer, Duration::ZERO, Duration::from_secs(9), Duration::from_millis(100)), 0);
        assert_eq!(pacer.due(Duration::from_millis(10_100)), 1);
    }

    #[test]
    fn a_long_pause_makes_no_burst() {
        let mut pacer = Pacer::new(100.0).unwrap();
        pacer.take(1);
        assert_eq!(pacer.due(Duration::from_secs(3600)), 100);
    }

    #[test]
    fn what_was_not_made_stays_due() {
        let mut pacer = Pacer::new(100.0).unwrap();
        pacer.take(1);
        assert_eq!(pacer.due(Duration::from_millis(500)), 50);
        pacer.take(20);
        assert_eq!(pacer.due(Duration::from_millis(500)), 30);
    }

    #[test]
    fn zero_is_no_limit_and_nonsense_is_refused() {
        assert_eq!(Pacer::new(0.0).unwrap().due(Duration::ZERO), u64::MAX);
        for rate in [-1.0, f64::NAN, f64::INFINITY] {
            assert!(Pacer::new(rate).is_err());
        }
    }
}
