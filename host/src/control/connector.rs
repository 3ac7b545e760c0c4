//! One connector as the supervisor sees it: what it was told to be, what runs of it, and what shall run next.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sandbar_abi::manifest::Kind;
use sandbar_abi::status::CloseReason;
use tokio::time::Instant;
use tracing::{info, warn};

use super::machine::{Action, TaskEvent, TaskState};
use super::planner::Plugins;
use super::running::Task;
use super::status::{ConnectorState, ConnectorStatus, TaskStatus};
use super::versions::Versions;
use crate::config::{ConnectorSettings, Definition, InitialState, WorkerConfig};
use crate::plugins::{Plugin, Registry};
use crate::storage::Configs;
use crate::task::{Backoff, Plan};

/// See the module.
pub(super) struct Connector {
    pub(super) definition: Arc<Definition>,
    pub(super) owner: Owner,
    /// What runs, or is about to.
    pub(super) current: Option<Setup>,
    /// What it would run while it is told not to, for people.
    resting: Option<(Arc<ConnectorSettings>, Arc<Plugin>)>,
    /// Why nothing runs, or why what was asked for last does not.
    pub(super) problem: Option<Problem>,
    /// The tasks; those of an older setup until they have ended.
    pub(super) tasks: Vec<Task>,
    /// The tasks as they were when it was paused.
    paused: Vec<TaskStatus>,
    /// The plans that replace the tasks once all of them have ended.
    pub(super) next: Option<Vec<Plan>>,
    /// The plugins that the tasks run, or the plans that replace them.
    pub(super) running: Option<Plugins>,
    pub(super) versions: Versions,
    /// Transactions of tasks that ran those plugins and were replaced.
    committed: u64,
    /// Whether the tasks are still those of the plugins before.
    is_taking_over: bool,
    /// What an operator wants, whatever the definition began with.
    pub(super) target: Option<InitialState>,
    /// Counts plannings, so that the result of an outdated one is known.
    pub(super) planning: u64,
    /// Planning failed; when it is tried again.
    pub(super) replan_at: Option<Instant>,
    pub(super) replans: Backoff,
    /// Its definition is gone: it goes too, once its tasks have ended.
    pub(super) leaving: bool,
}

/// Where a connector is defined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// In a file of the folder.
    File(PathBuf),
    /// In the topic of configurations: it came over REST.
    Rest,
}

impl Owner {
    /// The file, where it is one.
    fn file(&self) -> Option<&PathBuf> {
        match self {
            Self::File(file) => Some(file),
            Self::Rest => None,
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file) => write!(f, "{}", file.display()),
            Self::Rest => f.write_str("REST"),
        }
    }
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

impl Connector {
    pub(super) fn new(definition: Definition, owner: Owner) -> Self {
        Self {
            definition: Arc::new(definition),
            owner,
            current: None,
            resting: None,
            problem: None,
            tasks: Vec::new(),
            paused: Vec::new(),
            next: None,
            running: None,
            versions: Versions::default(),
            committed: 0,
            is_taking_over: false,
            target: None,
            planning: 0,
            replan_at: None,
            replans: Backoff::new(Duration::from_millis(500), Duration::from_secs(60)),
            leaving: false,
        }
    }

    /// Whether nothing of it runs.
    pub(super) fn is_idle(&self) -> bool {
        self.tasks.iter().all(|task| task.machine.is_idle())
    }

    /// What it shall do: what an operator said last, else what its definition begins with.
    pub(super) fn target(&self) -> InitialState {
        self.target.unwrap_or(self.definition.initial_state)
    }

    /// Takes note of the plugins that are about to run.
    pub(super) fn take_over(&mut self, plugins: Plugins, now: Instant) {
        self.is_on_probation(now);
        // Of what does not run nobody knows whether it would.
        let ran_well = self.tasks.iter().any(|task| task.run > 0)
            && self.tasks.iter().all(|task| !matches!(task.machine.state(), TaskState::Failed { .. }));
        match self.running.replace(plugins.clone()) {
            Some(before) if before.same(&plugins) => {}
            Some(before) => {
                self.versions.take_over(&plugins, before, ran_well, now);
                self.is_taking_over = true;
            }
            None => self.versions.begin(&plugins, now),
        }
    }

    /// Replaces the tasks, none of which runs any more.
    pub(super) fn install(&mut self, tasks: Vec<Task>) {
        self.committed = if std::mem::take(&mut self.is_taking_over) { 0 } else { self.commits() };
        self.tasks = tasks;
        self.paused.clear();
    }

    /// Forgets the tasks, none of which runs any more.
    pub(super) fn clear(&mut self) {
        self.committed = self.commits();
        if self.target() == InitialState::Paused {
            self.paused.extend(self.tasks.iter().map(Task::paused));
        } else {
            self.paused.clear();
        }
        self.tasks.clear();
    }

    /// Whether its plugins have yet to show that they work.
    pub(super) fn is_on_probation(&mut self, now: Instant) -> bool {
        let commits = self.commits();
        self.versions.on_probation(commits, now)
    }

    /// Transactions that were committed with the plugins that run.
    fn commits(&self) -> u64 {
        if self.is_taking_over {
            return 0;
        }
        self.committed + self.tasks.iter().map(|task| task.progress.commits()).sum::<u64>()
    }

    /// Takes note of what it would run by its definition and the plugins that are there.
    pub(super) fn rest(&mut self, registry: &Registry, configs: &Configs, worker: &WorkerConfig) {
        let allowed = self.versions.allowed(registry, configs);
        let resolved = ConnectorSettings::resolve(&self.definition, &allowed, worker).ok();
        self.resting = resolved.and_then(|(settings, _)| {
            let own = allowed.find(&settings.plugin.class, settings.plugin.version.as_ref())?;
            let own = Arc::clone(own);
            Some((Arc::new(settings), own))
        });
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
                warn!(connector = %name, owner = %self.owner, "definition cannot be used: {error}{runs}");
            }
            Problem::Start(error) => warn!(connector = %name, "cannot start: {error}{runs}"),
        }
        self.problem = Some(problem);
    }

    /// `elsewhere` says who runs what this worker does not.
    pub(super) fn status(&self, patience: Duration, now: Instant, elsewhere: &str) -> ConnectorStatus {
        let tasks: Vec<_> = self.tasks.iter().map(|task| task.status(patience, now, elsewhere)).collect();
        let (state, reason) = self.state(&tasks);
        let reason =
            reason.or_else(|| self.leaving.then(|| "deleted; it is gone once its tasks have ended".to_owned()));
        let is_paused = tasks.is_empty() && self.target() == InitialState::Paused;
        let tasks = if is_paused { self.paused.clone() } else { tasks };
        ConnectorStatus {
            kind: self.kind(),
            plugin: self.plugin(),
            transforms: self.transforms(),
            file: self.owner.file().cloned(),
            target: self.target(),
            settings: self.settings().cloned(),
            own: self.own_state(),
            state,
            reason,
            tasks,
            leaving: self.leaving,
            quarantined: self.versions.quarantined().cloned().collect(),
            ..ConnectorStatus::new(Arc::clone(&self.definition))
        }
    }

    /// What it would run, where it is told not to.
    fn resting(&self) -> Option<&(Arc<ConnectorSettings>, Arc<Plugin>)> {
        self.resting.as_ref().filter(|_| self.target() != InitialState::Running)
    }

    /// As what its plugin runs, or would.
    fn kind(&self) -> Option<Kind> {
        self.settings().map(|settings| settings.kind)
    }

    /// What it runs with, or would.
    fn settings(&self) -> Option<&Arc<ConnectorSettings>> {
        self.current.as_ref().map(|setup| &setup.settings).or(self.resting().map(|(settings, _)| settings))
    }

    /// The plugin and the version that its tasks run, or are about to, or would.
    fn plugin(&self) -> Option<(String, String)> {
        if let Some(task) = self.tasks.first() {
            return Some((task.plan.plugin.plugin.clone(), task.plan.plugin.version.clone()));
        }
        let current = self.current.as_ref().map(|setup| &setup.plugins.own);
        let manifest = current.or(self.resting().map(|(_, own)| own))?.manifest();
        Some((manifest.name.clone(), manifest.version.to_string()))
    }

    /// The plugins of its transforms and their versions.
    fn transforms(&self) -> Vec<(String, String)> {
        let stages = self.tasks.first().map(|task| task.plan.transforms.as_slice()).unwrap_or_default();
        stages.iter().map(|stage| (stage.plugin.clone(), stage.version.clone())).collect()
    }

    /// What is in quarantine, for people.
    fn quarantine(&self) -> Option<String> {
        let all: Vec<_> = self.versions.quarantined().map(ToString::to_string).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }

    /// The state of the connector alone: whether its definition is in force.
    pub(super) fn own_state(&self) -> (ConnectorState, Option<String>) {
        match (self.target(), &self.problem) {
            (InitialState::Paused, _) => (ConnectorState::Paused, None),
            (InitialState::Stopped, _) => (ConnectorState::Stopped, None),
            (_, Some(Problem::Invalid(why) | Problem::Start(why))) => (ConnectorState::Failed, Some(why.clone())),
            (_, Some(Problem::Waits(what))) if self.tasks.is_empty() => {
                (ConnectorState::Unassigned, Some(format!("waiting for {what}")))
            }
            (_, None) if self.tasks.is_empty() && self.next.is_none() => (ConnectorState::Unassigned, None),
            _ => (ConnectorState::Running, None),
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
            return match (problem, self.target()) {
                (Some(Problem::Invalid(_) | Problem::Start(_)), _) => (ConnectorState::Failed, text),
                (_, InitialState::Paused) => (ConnectorState::Paused, None),
                (_, InitialState::Stopped) => (ConnectorState::Stopped, None),
                _ => (ConnectorState::Unassigned, text),
            };
        }
        let worst =
            ConnectorState::BY_SEVERITY.into_iter().find_map(|state| tasks.iter().find(|task| task.state == state));
        let state = worst.map_or(ConnectorState::Unassigned, |task| task.state);
        (state, text.or_else(|| worst.and_then(|task| task.trace.clone())).or_else(|| self.quarantine()))
    }
}
