//! The event loop: one thing after the other, each event looked at against the world as it is by then.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use sandbar_abi::status::CloseReason;
use tokio::sync::{mpsc, watch};
use tracing::{error, info, warn};

use super::connector::{Connector, Problem, Setup, Task};
use super::machine::{Action, Ending, TaskEvent, TaskState};
use super::planner::{self, Plugins};
use super::status::Status;
use crate::broker::Broker;
use crate::config::{ConnectorSettings, Definition, InitialState, WorkerConfig, missing_plugins};
use crate::discovery::{Change, Discovery, FileKind, FoundFile};
use crate::plugins::{LoadError, Plugin, Registry};
use crate::sandbox::{Engine, Origin};
use crate::task::{self, Plan, TaskEnd};
use crate::text::one_line;

/// Something that happened elsewhere.
enum Event {
    /// A plugin was loaded, or could not be.
    Loaded { file: PathBuf, load: u64, started: Instant, result: Result<Box<Plugin>, LoadError> },
    /// A connector was planned, or could not be.
    Planned { connector: String, planning: u64, setup: Box<Setup>, result: Result<Vec<Plan>, String> },
    /// A task ended.
    Ended { connector: String, task: u32, run: u64, ending: Ending },
}

/// See the module.
pub struct Supervisor {
    worker: Arc<WorkerConfig>,
    engine: Engine,
    broker: Arc<dyn Broker>,
    registry: Registry,
    /// Definitions by file. The first file to name a connector defines it.
    definitions: BTreeMap<PathBuf, Definition>,
    connectors: BTreeMap<String, Connector>,
    /// The newest load of each plugin file, so that an outdated one is dropped.
    loads: BTreeMap<PathBuf, u64>,
    loading: usize,
    counter: u64,
    scanned: bool,
    started: Instant,
    stopping: bool,
    events: mpsc::UnboundedSender<Event>,
    inbox: mpsc::UnboundedReceiver<Event>,
    status: watch::Sender<Status>,
}

impl Supervisor {
    /// A supervisor that runs nothing yet.
    #[must_use]
    pub fn new(worker: Arc<WorkerConfig>, engine: Engine, broker: Arc<dyn Broker>) -> Self {
        // Events come from a bounded number of tasks, plannings and loads, each of which sends one.
        let (events, inbox) = mpsc::unbounded_channel();
        Self {
            worker,
            engine,
            broker,
            registry: Registry::default(),
            definitions: BTreeMap::new(),
            connectors: BTreeMap::new(),
            loads: BTreeMap::new(),
            loading: 0,
            counter: 0,
            scanned: false,
            started: Instant::now(),
            stopping: false,
            events,
            inbox,
            status: watch::channel(Status::default()).0,
        }
    }

    /// What runs, as it changes.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// Runs until told to stop, then until all tasks have ended, or `shutdown.timeout.ms` is over. Returns whether all
    /// of them ended by themselves.
    pub async fn run(mut self, mut discovery: Discovery, mut stop: watch::Receiver<bool>) -> bool {
        let mut give_up: Option<Instant> = None;
        loop {
            self.publish();
            if self.stopping && self.connectors.values().all(Connector::is_idle) {
                return true;
            }
            let due = self.next_due().into_iter().chain(give_up).min();
            let timer = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changes = discovery.next(), if !self.stopping => self.changed(changes),
                Some(event) = self.inbox.recv() => self.handle(event),
                () = timer => {
                    if give_up.is_some_and(|at| at <= Instant::now()) {
                        self.say_what_hangs();
                        return false;
                    }
                    self.tick();
                }
                _ = stop.wait_for(|stop| *stop), if !self.stopping => {
                    info!("stopping: tasks finish what they have taken up");
                    self.stopping = true;
                    give_up = Some(Instant::now() + self.worker.shutdown_timeout);
                    for connector in self.connectors.values_mut() {
                        connector.next = None;
                        connector.drain(CloseReason::Stop, Instant::now());
                    }
                }
            }
        }
    }

    fn publish(&mut self) {
        let now = Instant::now();
        let settled = self.scanned && self.loading == 0 && self.connectors.values().all(|c| c.planning == 0);
        let was_ready = self.status.borrow().ready;
        if settled && !was_ready {
            info!(plugins = self.registry.iter().count(), connectors = self.connectors.len(), took = ?self.started.elapsed(), "ready");
        }
        let connectors = self.connectors.values().map(|c| c.status(now)).collect();
        self.status.send_replace(Status { ready: settled || was_ready, connectors });
    }

    fn next_due(&self) -> Option<Instant> {
        let tasks = self.connectors.values().flat_map(|c| &c.tasks).filter_map(|t| t.machine.due());
        let plans = self.connectors.values().filter_map(|c| c.replan_at);
        tasks.chain(plans).min()
    }

    fn say_what_hangs(&self) {
        for (name, connector) in &self.connectors {
            for task in connector.tasks.iter().filter(|t| !t.machine.is_idle()) {
                warn!(connector = %name, task = task.plan.task, "did not finish in time, what it has not committed is undone");
            }
        }
    }

    fn changed(&mut self, changes: Vec<Change>) {
        self.scanned = true;
        for change in changes {
            match change {
                Change::Appeared(file) | Change::Modified(file) => match file.kind {
                    FileKind::Plugin => self.load(file),
                    FileKind::Definition => self.define(&file),
                },
                Change::Removed { path, kind: FileKind::Plugin } => self.forget_plugin(&path),
                Change::Removed { path, kind: FileKind::Definition } => self.undefine(&path),
                Change::Problem { path, problem, .. } => {
                    warn!(file = %path.display(), "cannot be used: {problem}; what it held before stays in force");
                }
                Change::FolderLost(problem) => error!("{problem}; what runs keeps running"),
                Change::FolderFound => info!("the plugin folder can be read again"),
            }
        }
        self.reconcile_all();
    }

    fn load(&mut self, file: FoundFile) {
        self.counter += 1;
        let load = self.counter;
        self.loads.insert(file.path.clone(), load);
        self.loading += 1;
        let (engine, cache, events) = (self.engine.clone(), self.worker.cache.clone(), self.events.clone());
        let started = Instant::now();
        tokio::task::spawn_blocking(move || {
            let result = crate::plugins::load(&file, &engine, &cache).map(Box::new);
            // The supervisor is gone only when the host stops.
            let _ = events.send(Event::Loaded { file: file.path, load, started, result });
        });
    }

    fn loaded(&mut self, file: &Path, load: u64, started: Instant, result: Result<Box<Plugin>, LoadError>) {
        self.loading -= 1;
        if self.loads.get(file) != Some(&load) {
            return;
        }
        let shown = file.display();
        let plugin = match result {
            Ok(plugin) => Arc::new(*plugin),
            Err(error) => {
                let kept = if self.registry.iter().any(|(held, _)| held == file) {
                    "; the version loaded before stays in use"
                } else {
                    ""
                };
                warn!(file = %shown, "plugin refused: {error}{kept}");
                return;
            }
        };
        let manifest = plugin.manifest();
        let (name, version) = (manifest.name.clone(), manifest.version.to_string());
        let from_cache = plugin.compiled.origin == Origin::Cache;
        match self.registry.insert(file, plugin) {
            Ok(old) => {
                let replaces = old.map(|old| format!("{} {}", old.manifest().name, old.manifest().version));
                info!(file = %shown, plugin = %name, %version, replaces, from_cache, took = ?started.elapsed(), "plugin loaded");
            }
            Err(duplicate) => warn!(file = %shown, "plugin refused: {duplicate}"),
        }
    }

    fn forget_plugin(&mut self, file: &Path) {
        self.loads.remove(file);
        if let Some(plugin) = self.registry.remove(file) {
            let manifest = plugin.manifest();
            info!(file = %file.display(), plugin = %manifest.name, version = %manifest.version, "plugin file removed; connectors that run it keep running");
        }
    }

    fn define(&mut self, file: &FoundFile) {
        let path = &file.path;
        let parsed = match file.read() {
            Ok(bytes) => Definition::parse(path, &bytes),
            Err(problem) => {
                warn!(file = %path.display(), "definition cannot be read: {problem}");
                return;
            }
        };
        match parsed {
            Ok(definition) => {
                let before = self.definitions.insert(path.clone(), definition);
                let name = self.definitions.get(path).map(|d| d.name.clone()).unwrap_or_default();
                if let Some(before) = before.filter(|before| before.name != name) {
                    self.release(path, &before.name);
                }
                self.claim(path, &name);
            }
            Err(errors) => {
                let runs =
                    if self.definitions.contains_key(path) { "; what it defined before stays in force" } else { "" };
                for problem in &errors {
                    warn!("definition refused: {problem}{runs}");
                }
            }
        }
    }

    fn undefine(&mut self, file: &Path) {
        if let Some(definition) = self.definitions.remove(file) {
            info!(connector = %definition.name, file = %file.display(), "definition removed");
            self.release(file, &definition.name);
        }
    }

    /// Makes a file the definition of a connector, unless another file is.
    fn claim(&mut self, file: &Path, name: &str) {
        let Some(definition) = self.definitions.get(file).cloned() else { return };
        match self.connectors.get_mut(name) {
            Some(connector) if connector.file == file || connector.leaving => {
                connector.file = file.to_owned();
                connector.definition = definition;
                connector.leaving = false;
                info!(connector = %name, file = %file.display(), "definition changed");
            }
            Some(connector) => {
                warn!(connector = %name, file = %file.display(), "definition ignored: {} defines this connector already; give one of the two another name", connector.file.display());
            }
            None => {
                info!(connector = %name, file = %file.display(), "definition found");
                self.connectors.insert(name.to_owned(), Connector::new(definition, file.to_owned()));
            }
        }
    }

    /// Ends a connector whose file does not define it any more, unless another file does.
    fn release(&mut self, file: &Path, name: &str) {
        let Some(connector) = self.connectors.get_mut(name).filter(|c| c.file == file) else { return };
        connector.leaving = true;
        connector.next = None;
        connector.replan_at = None;
        connector.drain(CloseReason::Stop, Instant::now());
        let heir = self.definitions.iter().find(|(_, d)| d.name == name).map(|(file, _)| file.clone());
        if let Some(heir) = heir {
            self.claim(&heir, name);
        }
        self.settle(name);
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Loaded { file, load, started, result } => {
                self.loaded(&file, load, started, result);
                self.reconcile_all();
            }
            Event::Planned { connector, planning, setup, result } => self.planned(&connector, planning, *setup, result),
            Event::Ended { connector, task, run, ending } => self.ended(&connector, task, run, ending),
        }
    }

    fn reconcile_all(&mut self) {
        let names: Vec<_> = self.connectors.keys().cloned().collect();
        for name in names {
            self.reconcile(&name);
        }
    }

    /// Compares what a connector shall run with to what it runs with, and plans the difference.
    fn reconcile(&mut self, name: &str) {
        let loading = self.loading > 0;
        let Some(connector) = self.connectors.get_mut(name).filter(|c| !c.leaving) else { return };
        if self.stopping {
            return;
        }
        if connector.definition.initial_state != InitialState::Running {
            connector.current = None;
            connector.next = None;
            connector.drain(CloseReason::Stop, Instant::now());
            self.settle(name);
            return;
        }
        let resolved = ConnectorSettings::resolve(&connector.definition, &self.registry, &self.worker);
        let (settings, warnings) = match resolved {
            Ok(resolved) => resolved,
            Err(errors) => {
                match missing_plugins(&errors) {
                    // A plugin that is being loaded is no news.
                    Some(_) if loading => {}
                    Some(names) => connector.set_problem(Problem::Waits(format!("plugin {}", names.join(", ")))),
                    None => connector.set_problem(Problem::Invalid(one_line(&errors))),
                }
                return;
            }
        };
        let find = |plugin: &crate::config::PluginSettings| {
            self.registry.find(&plugin.class, plugin.version.as_ref()).cloned()
        };
        let own = find(&settings.plugin);
        let transforms: Option<Vec<_>> = settings.transforms.iter().map(|t| find(&t.plugin)).collect();
        let (Some(own), Some(transforms)) = (own, transforms) else { return };
        let setup = Setup { settings: Arc::new(settings), plugins: Plugins { own, transforms } };
        let same = |current: &Setup| current.settings == setup.settings && current.plugins.same(&setup.plugins);
        if connector.current.as_ref().is_some_and(same) && connector.replan_at.is_none() {
            if !matches!(connector.problem, Some(Problem::Start(_))) {
                connector.problem = None;
            }
            return;
        }
        for warning in &warnings {
            warn!(connector = %name, "{warning}");
        }
        self.counter += 1;
        connector.planning = self.counter;
        connector.replan_at = None;
        connector.current = Some(setup.clone());
        let (planning, connector, worker, events) =
            (self.counter, name.to_owned(), Arc::clone(&self.worker), self.events.clone());
        tokio::spawn(async move {
            let result = planner::plan(Arc::clone(&setup.settings), setup.plugins.clone(), worker).await;
            // The supervisor is gone only when the host stops.
            let _ = events.send(Event::Planned { connector, planning, setup: Box::new(setup), result });
        });
    }

    fn planned(&mut self, name: &str, planning: u64, setup: Setup, result: Result<Vec<Plan>, String>) {
        let Some(connector) = self.connectors.get_mut(name) else { return };
        if connector.planning != planning {
            return;
        }
        connector.planning = 0;
        if connector.leaving || self.stopping {
            return;
        }
        match result {
            Ok(plans) => {
                let own = setup.plugins.own.manifest();
                let what = if connector.tasks.is_empty() { "starting" } else { "replacing what runs" };
                info!(connector = %name, plugin = %own.name, version = %own.version, tasks = plans.len(), "{what}");
                connector.problem = None;
                connector.replans.reset();
                connector.next = Some(plans);
                connector.drain(CloseReason::Replace, Instant::now());
                self.settle(name);
            }
            Err(problem) => {
                connector.set_problem(Problem::Start(problem));
                connector.replan_at = Some(Instant::now() + connector.replans.next_delay());
            }
        }
    }

    /// Goes on with a connector that nothing runs of: starts what waits to be started, or lets it go.
    fn settle(&mut self, name: &str) {
        let Some(connector) = self.connectors.get_mut(name) else { return };
        if !connector.is_idle() {
            return;
        }
        if connector.leaving {
            info!(connector = %name, "connector stopped and gone");
            self.connectors.remove(name);
            return;
        }
        if connector.definition.initial_state != InitialState::Running {
            connector.tasks.clear();
        }
        let Some(plans) = connector.next.take() else { return };
        connector.tasks = plans.into_iter().map(Task::new).collect();
        for index in 0..connector.tasks.len() {
            self.act(name, index, TaskEvent::Start);
        }
    }

    fn tick(&mut self) {
        let now = Instant::now();
        let due: Vec<_> = self.connectors.iter().filter(|(_, c)| c.replan_at.is_some_and(|at| at <= now)).collect();
        let replan: Vec<String> = due.into_iter().map(|(name, _)| name.clone()).collect();
        for name in replan {
            self.reconcile(&name);
        }
        let names: Vec<String> = self.connectors.keys().cloned().collect();
        for name in names {
            let tasks = self.connectors.get(&name).map_or(0, |c| c.tasks.len());
            for index in 0..tasks {
                self.act(&name, index, TaskEvent::Tick);
            }
        }
    }

    fn ended(&mut self, name: &str, number: u32, run: u64, ending: Ending) {
        let Some(connector) = self.connectors.get_mut(name) else { return };
        let Some(index) = connector.tasks.iter().position(|t| t.plan.task == number && t.run == run) else { return };
        match &ending {
            Ending::Done | Ending::Reopen => {}
            Ending::Completed => info!(connector = %name, task = number, "completed: the source has come to its end"),
            Ending::Fenced(why) => {
                error!(connector = %name, task = number, "stopped: another worker runs this task: {why}");
            }
            Ending::Failed(_) => {}
        }
        self.act(name, index, TaskEvent::Ended(ending));
        let task = self.connectors.get(name).and_then(|c| c.tasks.get(index));
        if let Some(TaskState::Failed { error, until }) = task.map(|t| t.machine.state()) {
            let again_in = until.saturating_duration_since(Instant::now());
            error!(connector = %name, task = number, ?again_in, "failed: {error}");
        }
        self.settle(name);
    }

    /// Passes an event to a task, and does what it asks for.
    fn act(&mut self, name: &str, index: usize, event: TaskEvent) {
        let stopping = self.stopping;
        let Some(task) = self.connectors.get_mut(name).and_then(|c| c.tasks.get_mut(index)) else { return };
        if stopping && matches!(event, TaskEvent::Start | TaskEvent::Tick) {
            return;
        }
        match task.machine.on(event, Instant::now()) {
            Action::Nothing => {}
            Action::SignalStop => drop(task.stop.send_replace(Some(CloseReason::Stop))),
            Action::Spawn { careful } => {
                task.run += 1;
                task.stop.send_replace(None);
                let ran = task::run(
                    Arc::clone(&task.plan),
                    Arc::clone(&self.broker),
                    task.stop.subscribe(),
                    Arc::clone(&task.progress),
                    careful,
                );
                let (connector, number, run, events) = (name.to_owned(), task.plan.task, task.run, self.events.clone());
                tokio::spawn(async move {
                    let ending = match tokio::spawn(ran).await {
                        Ok(end) => ending(end),
                        // A defect of ours, not of the guest: it must not pass for a clean end.
                        Err(panic) => Ending::Failed(format!("internal error: {panic}")),
                    };
                    // The supervisor is gone only when the host stops.
                    let _ = events.send(Event::Ended { connector, task: number, run, ending });
                });
            }
        }
    }
}

fn ending(end: TaskEnd) -> Ending {
    match end {
        TaskEnd::Stopped | TaskEnd::Interrupted => Ending::Done,
        TaskEnd::Completed => Ending::Completed,
        TaskEnd::Reopen => Ending::Reopen,
        TaskEnd::Fenced(why) => Ending::Fenced(why),
        TaskEnd::Failed(error) => Ending::Failed(error.to_string()),
    }
}
