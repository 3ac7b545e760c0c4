//! One connector as the supervisor sees it: what it was told to be, what runs of it, and what shall run next.

use std::path::PathBuf;
use std::sync::Arc;

use sandbar_abi::status::CloseReason;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{info, warn};

use super::machine::{Action, TaskEvent, TaskMachine, TaskState};
use super::planner::Plugins;
use super::status::{ConnectorState, ConnectorStatus, TaskStatus};
use crate::config::{ConnectorSettings, Definition, InitialState};
use crate::task::{Backoff, Plan, Progress};

/// See the module.
pub(super) struct Connector {
    pub(super) definition: Definition,
    pub(super) file: PathBuf,
    /// What runs, or is about to.
    pub(super) current: Option<Setup>,
    /// Why nothing runs, or why what was asked for last does not.
    pub(super) problem: Option<Problem>,
    /// The tasks; those of an older setup until they have ended.
    pub(super) tasks: Vec<Task>,
    /// The plans that replace the tasks once all of them have ended.
    pub(super) next: Option<Vec<Plan>>,
    /// Counts plannings, so that the result of an outdated one is known.
    pub(super) planning: u64,
    /// Planning failed; when it is tried again.
    pub(super) replan_at: Option<Instant>,
    pub(super) replans: Backoff,
    /// Its definition is gone: it goes too, once its tasks have ended.
    pub(super) leaving: bool,
}

/// What a connector runs with.
#[derive(Clone)]
pub(super) struct Setup {
    pub(super) settings: Arc<ConnectorSettings>,
    pub(super) plugins: Plugins,
}

/// Why a connector does not run as its definition says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Problem {
    /// Something it needs is not there yet.
    Waits(String),
    /// Its definition cannot be used.
    Invalid(String),
    /// It could not be started.
    Start(String),
}

/// One task.
pub(super) struct Task {
    pub(super) plan: Arc<Plan>,
    pub(super) machine: TaskMachine,
    pub(super) progress: Arc<Progress>,
    pub(super) stop: watch::Sender<Option<CloseReason>>,
    /// Counts runs, so that the end of an older one is known.
    pub(super) run: u64,
}

impl Connector {
    pub(super) fn new(definition: Definition, file: PathBuf) -> Self {
        Self {
            definition,
            file,
            current: None,
            problem: None,
            tasks: Vec::new(),
            next: None,
            planning: 0,
            replan_at: None,
            replans: Backoff::new(std::time::Duration::from_millis(500), std::time::Duration::from_secs(60)),
            leaving: false,
        }
    }

    /// Whether nothing of it runs.
    pub(super) fn is_idle(&self) -> bool {
        self.tasks.iter().all(|task| task.machine.is_idle())
    }

    /// Tells all tasks to finish.
    pub(super) fn drain(&mut self, reason: CloseReason, now: Instant) {
        for task in &mut self.tasks {
            if task.machine.on(TaskEvent::Stop, now) == Action::SignalStop {
                task.stop.send_replace(Some(reason));
            }
        }
    }

    /// Notes a problem, and says so once.
    pub(super) fn set_problem(&mut self, problem: Problem) {
        if self.problem.as_ref() == Some(&problem) {
            return;
        }
        let name = &self.definition.name;
        let runs = if self.is_idle() { "" } else { "; what runs keeps running" };
        match &problem {
            Problem::Waits(what) => info!(connector = %name, "waiting for {what}{runs}"),
            Problem::Invalid(error) => {
                warn!(connector = %name, file = %self.file.display(), "definition cannot be used: {error}{runs}");
            }
            Problem::Start(error) => warn!(connector = %name, "cannot start: {error}{runs}"),
        }
        self.problem = Some(problem);
    }

    pub(super) fn status(&self, now: Instant) -> ConnectorStatus {
        let tasks: Vec<_> = self.tasks.iter().map(|task| task.status(now)).collect();
        let (state, reason) = self.state(&tasks);
        ConnectorStatus {
            name: self.definition.name.clone(),
            kind: self.current.as_ref().map(|setup| setup.settings.kind),
            plugin: self.current.as_ref().map(|setup| {
                let manifest = setup.plugins.own.manifest();
                (manifest.name.clone(), manifest.version.to_string())
            }),
            file: self.file.clone(),
            state,
            reason,
            tasks,
        }
    }

    /// The state of the whole: the worst of its tasks, or why there are none.
    fn state(&self, tasks: &[TaskStatus]) -> (ConnectorState, Option<String>) {
        let problem = self.problem.as_ref();
        let text = problem.map(|p| match p {
            Problem::Waits(what) => format!("waiting for {what}"),
            Problem::Invalid(error) | Problem::Start(error) => error.clone(),
        });
        if tasks.is_empty() {
            return match (problem, self.definition.initial_state) {
                (Some(Problem::Invalid(_) | Problem::Start(_)), _) => (ConnectorState::Failed, text),
                (_, InitialState::Paused) => (ConnectorState::Paused, None),
                (_, InitialState::Stopped) => (ConnectorState::Stopped, None),
                _ => (ConnectorState::Unassigned, text),
            };
        }
        let order = [
            ConnectorState::Failed,
            ConnectorState::Restarting,
            ConnectorState::Running,
            ConnectorState::Completed,
            ConnectorState::Stopped,
        ];
        let worst = order.into_iter().find_map(|state| tasks.iter().find(|task| task.state == state));
        let state = worst.map_or(ConnectorState::Unassigned, |task| task.state);
        (state, text.or_else(|| worst.and_then(|task| task.trace.clone())))
    }
}

impl Task {
    pub(super) fn new(plan: Plan) -> Self {
        let (stop, _) = watch::channel(None);
        Self {
            plan: Arc::new(plan),
            machine: TaskMachine::default(),
            progress: Arc::new(Progress::default()),
            stop,
            run: 0,
        }
    }

    fn status(&self, now: Instant) -> TaskStatus {
        let (state, trace) = match self.machine.state() {
            TaskState::Stopped => (ConnectorState::Stopped, None),
            TaskState::Running => (ConnectorState::Running, self.progress.snapshot().waiting),
            TaskState::Draining => (ConnectorState::Restarting, None),
            TaskState::Completed => (ConnectorState::Completed, None),
            TaskState::Fenced { error } => (ConnectorState::Failed, Some(format!("fenced: {error}"))),
            TaskState::Failed { error, until } => {
                let seconds = until.saturating_duration_since(now).as_secs_f32();
                (ConnectorState::Failed, Some(format!("{error} (starts again in {seconds:.1} s)")))
            }
        };
        TaskStatus { id: self.plan.task, state, trace, progress: Arc::clone(&self.progress) }
    }
}
