//! When a task last got on, and what it does now: what tells a task that runs from one that only exists.

use std::fmt;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// What a task is busy with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Step {
    /// It opens its session and its plugins.
    Start,
    /// It waits for input.
    Consume,
    /// Its plugins work.
    Call,
    /// It hands records to the broker.
    Stage,
    /// It commits.
    Commit,
    /// Nothing: there was nothing to do, and it will look again.
    Idle,
}

impl Step {
    const ALL: [Self; 6] = [Self::Start, Self::Consume, Self::Call, Self::Stage, Self::Commit, Self::Idle];
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Start => "starting",
            Self::Consume => "reading its input",
            Self::Call => "calling its plugins",
            Self::Stage => "writing to the broker",
            Self::Commit => "committing",
            Self::Idle => "idle",
        })
    }
}

/// See the module. Times are kept in milliseconds since it was made.
#[derive(Debug)]
pub(super) struct Activity {
    origin: Instant,
    last: AtomicU64,
    step: AtomicU8,
}

impl Default for Activity {
    fn default() -> Self {
        Self { origin: Instant::now(), last: AtomicU64::new(0), step: AtomicU8::new(Step::Start as u8) }
    }
}

impl Activity {
    /// The task begins something.
    pub(super) fn begin(&self, step: Step) {
        self.step.store(step as u8, Ordering::Relaxed);
    }

    /// The task got on: it dealt with records, committed, or found that there is nothing to do.
    pub(super) fn beat(&self) {
        self.last.store(millis(Instant::now() - self.origin), Ordering::Relaxed);
    }

    /// When it last got on.
    pub(super) fn last(&self) -> Instant {
        self.origin + Duration::from_millis(self.last.load(Ordering::Relaxed))
    }

    /// What it does now.
    pub(super) fn step(&self) -> Step {
        let step = usize::from(self.step.load(Ordering::Relaxed));
        Step::ALL.get(step).copied().unwrap_or(Step::Start)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beat_is_remembered() {
        let activity = Activity { origin: Instant::now() - Duration::from_secs(60), ..Activity::default() };
        assert_eq!(activity.last(), activity.origin);
        activity.beat();
        assert!(Instant::now() - activity.last() < Duration::from_secs(60));
        assert!(activity.last() - activity.origin >= Duration::from_secs(60));
    }

    #[test]
    fn every_step_is_known_by_its_number() {
        let activity = Activity::default();
        for step in Step::ALL {
            activity.begin(step);
            assert_eq!(activity.step(), step);
        }
    }
}
