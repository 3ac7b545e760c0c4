//! The life of one task as a pure machine: what has happened, and now what time it is, gives what to do next.

use std::time::Duration;

use tokio::time::Instant;

use crate::task::Backoff;

/// The first pause before a failed task starts again.
const FIRST_RESTART: Duration = Duration::from_millis(200);
/// The longest pause before a failed task starts again.
const MAX_RESTART: Duration = Duration::from_secs(60);
/// A task that ran this long before it failed is as good as new: its pauses begin anew.
const HEALTHY: Duration = Duration::from_secs(60);
/// Failures in a row of the plugin's making, none of them after health, that make a crash loop. With the pauses between
/// them that is about a minute.
const CRASH_LOOP: u32 = 10;
/// The pause between two tries of a task in a crash loop: what it works with may be mended by then, and where it is not,
/// a try costs little.
const CRASH_LOOP_PAUSE: Duration = Duration::from_secs(600);
/// The pause before a task whose place another one took starts again, if it is still this worker's to run: by then the
/// worker group has found out who is to run it.
const FENCED_PAUSE: Duration = Duration::from_secs(15);
/// So many times in a row another one took its place: that one does not go by the worker group, and is left alone.
const RIVALRY: u32 = 3;

/// Where a task is in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskState {
    /// It has not been started, or was stopped.
    Stopped,
    /// It runs.
    Running,
    /// It was told to end, and finishes what it has taken up.
    Draining,
    /// It failed, and starts again by itself at that time.
    Failed {
        /// Why.
        error: String,
        /// When it starts again.
        until: Instant,
        /// How often it failed in a row, where that is a crash loop.
        loops: Option<u32>,
    },
    /// Its source has come to its end.
    Completed,
}

/// What happens to a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskEvent {
    /// It shall run.
    Start,
    /// It shall not run.
    Stop,
    /// It shall begin anew, whatever became of it before.
    Restart,
    /// It ended.
    Ended(Ending),
    /// Time has passed.
    Tick,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// As it was told, or ready to be started again at once.
    Done,
    /// At the end of its source.
    Completed,
    /// It wants to begin again at the last commit.
    Reopen,
    /// It failed.
    Failed {
        /// Why.
        error: String,
        /// Whose doing it was.
        blame: Blame,
    },
}

/// Whose doing a failure was, and so whether it is likely to come again by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The plugin's, or that of what it was given: the same is likely to happen again.
    Plugin,
    /// The broker's: it passes when the broker is back.
    Broker,
    /// Nobody's: the task was silent for so long that another worker may have taken its place.
    Silence,
    /// That of another worker, which took the task's place.
    Rival,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing.
    Nothing,
    /// Run it. After a failure carefully, with a commit after every batch.
    Spawn {
        /// Whether it failed before.
        careful: bool,
    },
    /// Tell it to end.
    SignalStop,
}

/// One task.
#[derive(Clone, Debug)]
pub struct TaskMachine {
    state: TaskState,
    wanted: bool,
    started: Option<Instant>,
    restarts: Backoff,
    /// Failures of the plugin's making since it was last in health.
    failures: u32,
    /// How often another one took its place since then.
    fenced: u32,
}

impl Default for TaskMachine {
    fn default() -> Self {
        Self {
            state: TaskState::Stopped,
            wanted: false,
            started: None,
            restarts: Backoff::new(FIRST_RESTART, MAX_RESTART),
            failures: 0,
            fenced: 0,
        }
    }
}

impl TaskMachine {
    /// Where it is.
    #[must_use]
    pub fn state(&self) -> &TaskState {
        &self.state
    }

    /// Whether nothing of it runs.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        !matches!(self.state, TaskState::Running | TaskState::Draining)
    }

    /// Whether it shall run.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.wanted
    }

    /// When it wants a tick.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        match self.state {
            TaskState::Failed { until, .. } if self.wanted => Some(until),
            _ => None,
        }
    }

    /// Takes an event in.
    pub fn on(&mut self, event: TaskEvent, now: Instant) -> Action {
        match event {
            TaskEvent::Start => {
                self.wanted = true;
                if self.is_idle() { self.spawn(now) } else { Action::Nothing }
            }
            TaskEvent::Stop => {
                self.wanted = false;
                match self.state {
                    TaskState::Running => {
                        self.state = TaskState::Draining;
                        Action::SignalStop
                    }
                    TaskState::Failed { .. } => {
                        self.state = TaskState::Stopped;
                        Action::Nothing
                    }
                    _ => Action::Nothing,
                }
            }
            TaskEvent::Restart => {
                self.wanted = true;
                self.forgive();
                match self.state {
                    TaskState::Running => {
                        self.state = TaskState::Draining;
                        Action::SignalStop
                    }
                    // It starts again once it has ended.
                    TaskState::Draining => Action::Nothing,
                    _ => self.spawn(now),
                }
            }
            TaskEvent::Ended(ending) => self.ended(ending, now),
            TaskEvent::Tick => match self.due() {
                Some(until) if until <= now => self.spawn(now),
                _ => Action::Nothing,
            },
        }
    }

    fn spawn(&mut self, now: Instant) -> Action {
        self.state = TaskState::Running;
        self.started = Some(now);
        Action::Spawn { careful: self.restarts.tries() > 0 }
    }

    fn forgive(&mut self) {
        self.restarts.reset();
        (self.failures, self.fenced) = (0, 0);
    }

    fn ended(&mut self, ending: Ending, now: Instant) -> Action {
        let ran = self.started.map_or(Duration::ZERO, |started| now.saturating_duration_since(started));
        if ran >= HEALTHY {
            self.forgive();
        }
        match ending {
            Ending::Failed { error, blame } if self.wanted => {
                self.failures += u32::from(blame == Blame::Plugin);
                self.fenced += u32::from(blame == Blame::Rival);
                let loops = (blame == Blame::Plugin && self.failures >= CRASH_LOOP).then_some(self.failures);
                let pause = match blame {
                    Blame::Silence => FENCED_PAUSE,
                    Blame::Rival if self.fenced < RIVALRY => FENCED_PAUSE,
                    Blame::Rival => CRASH_LOOP_PAUSE,
                    Blame::Plugin if loops.is_some() => CRASH_LOOP_PAUSE,
                    Blame::Plugin | Blame::Broker => self.restarts.next_delay(),
                };
                self.state = TaskState::Failed { error, until: now + pause, loops };
                Action::Nothing
            }
            Ending::Completed => {
                self.state = TaskState::Completed;
                Action::Nothing
            }
            _ if self.wanted => self.spawn(now),
            _ => {
                self.state = TaskState::Stopped;
                Action::Nothing
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(state: TaskState, wanted: bool) -> TaskMachine {
        TaskMachine { state, wanted, ..TaskMachine::default() }
    }

    #[track_caller]
    fn check(mut machine: TaskMachine, event: TaskEvent, to: &TaskState, action: Action) -> TaskMachine {
        let found = machine.on(event, Instant::now());
        assert_eq!((machine.state(), found), (to, action));
        machine
    }

    fn failed(until: Instant) -> TaskState {
        TaskState::Failed { error: "x".into(), until, loops: None }
    }

    fn fails(blame: Blame) -> TaskEvent {
        TaskEvent::Ended(Ending::Failed { error: "x".into(), blame })
    }

    #[test]
    fn from_event_to() {
        use TaskEvent::{Ended, Restart, Start, Stop};
        use TaskState::{Completed, Draining, Running, Stopped};
        let spawn = Action::Spawn { careful: false };
        check(at(Stopped, false), Start, &Running, spawn.clone());
        check(at(Running, true), Start, &Running, Action::Nothing);
        check(at(Running, true), Stop, &Draining, Action::SignalStop);
        check(at(Draining, false), Stop, &Draining, Action::Nothing);
        check(at(Draining, false), Start, &Draining, Action::Nothing);
        check(at(Draining, true), Ended(Ending::Done), &Running, spawn.clone());
        check(at(Draining, false), Ended(Ending::Done), &Stopped, Action::Nothing);
        check(at(Draining, false), fails(Blame::Plugin), &Stopped, Action::Nothing);
        check(at(Running, true), Ended(Ending::Completed), &Completed, Action::Nothing);
        check(at(Running, true), Ended(Ending::Reopen), &Running, spawn.clone());
        check(at(Completed, true), Start, &Running, spawn.clone());
        check(at(failed(Instant::now()), true), Stop, &Stopped, Action::Nothing);
        check(at(failed(Instant::now()), true), Restart, &Running, spawn.clone());
        check(at(Draining, false), Restart, &Draining, Action::Nothing);
        let restarting = check(at(Running, true), Restart, &Draining, Action::SignalStop);
        check(restarting, Ended(Ending::Done), &Running, spawn);
    }

    #[test]
    fn a_failed_task_starts_again_by_itself_and_carefully() {
        let now = Instant::now();
        let mut machine = TaskMachine::default();
        assert_eq!(machine.on(TaskEvent::Start, now), Action::Spawn { careful: false });
        assert_eq!(machine.on(fails(Blame::Broker), now), Action::Nothing);
        assert_eq!(machine.on(TaskEvent::Tick, now), Action::Nothing);
        let due = machine.due().unwrap();
        assert!(due > now && due <= now + FIRST_RESTART);
        assert_eq!(machine.on(TaskEvent::Tick, due), Action::Spawn { careful: true });
    }

    #[test]
    fn pauses_grow_and_begin_anew_after_health() {
        let mut now = Instant::now();
        let mut machine = TaskMachine::default();
        machine.on(TaskEvent::Start, now);
        for _ in 0..20 {
            machine.on(fails(Blame::Broker), now);
            now = machine.due().unwrap();
            machine.on(TaskEvent::Tick, now);
        }
        machine.on(fails(Blame::Broker), now);
        assert!(machine.due().unwrap() >= now + MAX_RESTART / 2);
        now = machine.due().unwrap();
        machine.on(TaskEvent::Tick, now);
        now += HEALTHY;
        machine.on(fails(Blame::Broker), now);
        assert!(machine.due().unwrap() <= now + FIRST_RESTART);
    }

    #[test]
    fn a_task_that_is_no_longer_wanted_stays_down() {
        let now = Instant::now();
        let mut machine = TaskMachine::default();
        machine.on(TaskEvent::Start, now);
        machine.on(fails(Blame::Broker), now);
        machine.on(TaskEvent::Stop, now);
        assert_eq!(machine.due(), None);
        assert_eq!(machine.on(TaskEvent::Tick, now + MAX_RESTART), Action::Nothing);
        assert_eq!(machine.state(), &TaskState::Stopped);
    }

    /// Lets a task fail so often, each time as soon as it was started again, and returns its last pause.
    fn fail_often(machine: &mut TaskMachine, blame: Blame, times: u32) -> Duration {
        let (mut now, mut pause) = (Instant::now(), Duration::ZERO);
        machine.on(TaskEvent::Start, now);
        for _ in 0..times {
            machine.on(fails(blame), now);
            let due = machine.due().unwrap();
            pause = due - now;
            now = due;
            machine.on(TaskEvent::Tick, now);
        }
        pause
    }

    #[test]
    fn a_crash_loop_is_tried_again_seldom_until_somebody_restarts_it() {
        let mut machine = TaskMachine::default();
        assert!(fail_often(&mut machine, Blame::Plugin, CRASH_LOOP - 1) <= MAX_RESTART);
        assert_eq!(fail_often(&mut machine, Blame::Plugin, 1), CRASH_LOOP_PAUSE);
        let now = Instant::now() + CRASH_LOOP_PAUSE;
        machine.on(fails(Blame::Plugin), now);
        let TaskState::Failed { loops, .. } = machine.state() else { panic!() };
        assert_eq!(*loops, Some(CRASH_LOOP + 1));
        assert_eq!(machine.on(TaskEvent::Restart, now), Action::Spawn { careful: false });
        machine.on(fails(Blame::Plugin), now);
        assert!(machine.due().unwrap() <= now + FIRST_RESTART);
    }

    #[test]
    fn a_task_whose_place_was_taken_leaves_a_rival_alone_in_the_end() {
        let mut machine = TaskMachine::default();
        assert_eq!(fail_often(&mut machine, Blame::Rival, RIVALRY - 1), FENCED_PAUSE);
        assert_eq!(fail_often(&mut machine, Blame::Rival, 1), CRASH_LOOP_PAUSE);
        let now = Instant::now();
        assert_eq!(machine.on(TaskEvent::Restart, now), Action::SignalStop);
        machine.on(TaskEvent::Ended(Ending::Done), now);
        machine.on(fails(Blame::Rival), now);
        assert_eq!(machine.due(), Some(now + FENCED_PAUSE), "an operator knows better");
        assert_eq!(fail_often(&mut TaskMachine::default(), Blame::Silence, 10), FENCED_PAUSE);
    }

    #[test]
    fn a_broker_that_is_down_makes_no_crash_loop() {
        assert!(fail_often(&mut TaskMachine::default(), Blame::Broker, 10 * CRASH_LOOP) <= MAX_RESTART);
    }
}
