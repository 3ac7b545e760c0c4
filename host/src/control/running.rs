//! One task as the supervisor sees it: its plan, where it is in its life, and whether it gets on.

use std::sync::Arc;
use std::time::Duration;

use sandbar_abi::status::CloseReason;
use tokio::sync::watch;
use tokio::time::Instant;

use super::machine::{TaskMachine, TaskState};
use super::status::{ConnectorState, TaskStatus};
use crate::task::{Plan, Progress, StagePlan, Step};

/// How often a task that is stalled is looked at: whoever watches wants to see soon that it gets on again.
const RECHECK: Duration = Duration::from_secs(1);
/// The same of one that waits for its consumer group.
const RECHECK_JOINING: Duration = Duration::from_millis(200);
/// What is said of that one.
const JOINING: &str = "waiting for its consumer group to deal out partitions";

/// See the module.
pub(super) struct Task {
    pub(super) plan: Arc<Plan>,
    pub(super) machine: TaskMachine,
    pub(super) progress: Arc<Progress>,
    pub(super) stop: watch::Sender<Option<CloseReason>>,
    /// Counts runs, so that the end of an older one is known.
    pub(super) run: u64,
    /// Whether it was told that the task is stalled.
    pub(super) told_stalled: bool,
    /// The slot it belongs to.
    pub(super) slot: i32,
    /// Whether it is this worker's to run.
    pub(super) ours: bool,
}

impl Task {
    pub(super) fn new(plan: Plan, slot: i32, ours: bool) -> Self {
        let (stop, _) = watch::channel(None);
        Self {
            plan: Arc::new(plan),
            machine: TaskMachine::default(),
            progress: Arc::new(Progress::default()),
            stop,
            run: 0,
            told_stalled: false,
            slot,
            ours,
        }
    }

    /// Why it makes no progress although it runs, where that is so: it neither dealt with a record nor found that there
    /// is none. `patience` is the longest that may take; its plugins may always take their time-outs, twice.
    pub(super) fn stalled(&self, patience: Duration, now: Instant) -> Option<String> {
        if self.silent_at(patience)? > now {
            return None;
        }
        let (last, step) = self.progress.last_activity();
        let seconds = now.saturating_duration_since(last).as_secs();
        Some(match self.progress.waiting() {
            Some(why) => format!("no progress for {seconds} s: {why}"),
            None => format!("no progress for {seconds} s while {step}"),
        })
    }

    /// When whether it is stalled may change by itself.
    pub(super) fn recheck_at(&self, patience: Duration, now: Instant) -> Option<Instant> {
        if self.machine.state() == &TaskState::Running && self.progress.is_joining() {
            return Some(now + RECHECK_JOINING);
        }
        let silent_at = self.silent_at(patience)?;
        Some(if silent_at > now { silent_at } else { now + RECHECK })
    }

    /// When it counts as stalled if it does not get on until then.
    fn silent_at(&self, patience: Duration) -> Option<Instant> {
        if !matches!(self.machine.state(), TaskState::Running | TaskState::Draining) {
            return None;
        }
        let (last, step) = self.progress.last_activity();
        let call = |stage: &StagePlan| stage.limits.call_timeout;
        let once: Duration = self.plan.transforms.iter().chain([&self.plan.plugin]).map(call).sum();
        // A call that failed is made once more.
        (step != Step::Idle).then(|| last + patience.max(2 * once))
    }

    /// What is shown of it while its connector is paused.
    pub(super) fn paused(&self) -> TaskStatus {
        let (state, progress) = (ConnectorState::Paused, Arc::clone(&self.progress));
        TaskStatus { id: self.plan.task, state, trace: None, ours: self.ours, progress }
    }

    /// `elsewhere` says who runs it where this worker does not.
    pub(super) fn status(&self, patience: Duration, now: Instant, elsewhere: &str) -> TaskStatus {
        let stalled = || self.stalled(patience, now);
        let (state, trace) = match self.machine.state() {
            TaskState::Stopped if !self.ours => (ConnectorState::Unassigned, Some(elsewhere.to_owned())),
            TaskState::Stopped => (ConnectorState::Stopped, None),
            TaskState::Running => match stalled() {
                Some(why) => (ConnectorState::Stalled, Some(why)),
                None if self.progress.is_joining() => (ConnectorState::Unassigned, Some(JOINING.to_owned())),
                None => (ConnectorState::Running, self.progress.waiting()),
            },
            TaskState::Draining => (ConnectorState::Restarting, stalled()),
            TaskState::Completed => (ConnectorState::Completed, None),
            TaskState::Failed { error, until, loops } => {
                let seconds = until.saturating_duration_since(now).as_secs_f32();
                let loops =
                    loops.map_or_else(String::new, |times| format!("crash loop, failed {times} times in a row; "));
                (ConnectorState::Failed, Some(format!("{error} ({loops}starts again in {seconds:.1} s)")))
            }
        };
        let progress = Arc::clone(&self.progress);
        TaskStatus { id: self.plan.task, state, trace, ours: self.ours, progress }
    }
}
