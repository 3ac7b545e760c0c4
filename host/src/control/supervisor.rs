//! The event loop: one thing after the other, each event looked at against the world as it is by then.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use sandbar_abi::status::CloseReason;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::connector::{Connector, Setup, Task};
use super::machine::{Action, Ending, TaskEvent, TaskState};
use super::status::{RefusedPlugin, Status};
use crate::broker::Broker;
use crate::config::{Definition, InitialState, WorkerConfig};
use crate::discovery::Changes;
use crate::http::Network;
use crate::plugins::{Load, LoadError, Plugin, Registry};
use crate::task::{self, Plan, TaskEnd};

/// Something that happened elsewhere.
pub(super) enum Event {
    /// A plugin was loaded, or could not be.
    Loaded { file: PathBuf, load: u64, started: Instant, result: Result<Arc<Plugin>, LoadError> },
    /// A connector was planned, or could not be.
    Planned { connector: String, planning: u64, setup: Box<Setup>, result: Result<Vec<Plan>, String> },
    /// A task ended.
    Ended { connector: String, task: u32, run: u64, ending: Ending },
}

/// See the module.
pub struct Supervisor {
    pub(super) worker: Arc<WorkerConfig>,
    pub(super) loader: Arc<dyn Load>,
    pub(super) broker: Arc<dyn Broker>,
    pub(super) network: Network,
    pub(super) registry: Registry,
    /// Definitions by file. The first file to name a connector defines it.
    pub(super) definitions: BTreeMap<PathBuf, Definition>,
    pub(super) connectors: BTreeMap<String, Connector>,
    /// The newest load of each plugin file, so that an outdated one is dropped.
    pub(super) loads: BTreeMap<PathBuf, u64>,
    pub(super) loading: usize,
    /// Plugin files that are not used, and why.
    pub(super) refused: BTreeMap<PathBuf, String>,
    /// Files that had changed when they were to be read: the folder has to tell them again.
    pub(super) outdated: Vec<PathBuf>,
    pub(super) counter: u64,
    pub(super) scanned: bool,
    pub(super) started: Instant,
    pub(super) stopping: bool,
    pub(super) events: mpsc::UnboundedSender<Event>,
    pub(super) inbox: mpsc::UnboundedReceiver<Event>,
    /// What runs elsewhere and ends with an event. It does not outlive the supervisor.
    pub(super) work: JoinSet<()>,
    pub(super) status: watch::Sender<Status>,
}

impl Supervisor {
    /// A supervisor that runs nothing yet.
    #[must_use]
    pub fn new(worker: Arc<WorkerConfig>, loader: impl Load, broker: Arc<dyn Broker>, network: Network) -> Self {
        // Events come from a bounded number of tasks, plannings and loads, each of which sends one.
        let (events, inbox) = mpsc::unbounded_channel();
        Self {
            worker,
            loader: Arc::new(loader),
            broker,
            network,
            registry: Registry::default(),
            definitions: BTreeMap::new(),
            connectors: BTreeMap::new(),
            loads: BTreeMap::new(),
            loading: 0,
            refused: BTreeMap::new(),
            outdated: Vec::new(),
            counter: 0,
            scanned: false,
            started: Instant::now(),
            stopping: false,
            events,
            inbox,
            work: JoinSet::new(),
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
    pub async fn run(mut self, mut folder: impl Changes, mut stop: watch::Receiver<bool>) -> bool {
        let mut give_up: Option<Instant> = None;
        loop {
            self.publish();
            while self.work.try_join_next().is_some() {}
            for file in self.outdated.drain(..) {
                folder.doubt(&file);
            }
            if self.stopping && self.connectors.values().all(Connector::is_idle) {
                return true;
            }
            let due = self.next_due().into_iter().chain(give_up).min();
            let timer = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                // In this order, so that what happens does not depend on chance.
                biased;
                changes = folder.next(), if !self.stopping => self.changed(changes),
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
        let refused =
            self.refused.iter().map(|(file, reason)| RefusedPlugin { file: file.clone(), reason: reason.clone() });
        self.status.send_replace(Status { ready: settled || was_ready, connectors, refused: refused.collect() });
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

    /// Goes on with a connector that nothing runs of: starts what waits to be started, or lets it go.
    pub(super) fn settle(&mut self, name: &str) {
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
            Ending::Failed(error) if connector.tasks.get(index).is_some_and(|t| !t.machine.is_wanted()) => {
                warn!(connector = %name, task = number, "failed as it ended, what it had not committed is undone: {error}");
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
    pub(super) fn act(&mut self, name: &str, index: usize, event: TaskEvent) {
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
                self.work.spawn(async move {
                    // By itself, so that a panic is noticed, and in a set, so that it ends with who waits for it.
                    let mut alone = JoinSet::new();
                    alone.spawn(ran);
                    let ending = match alone.join_next().await {
                        Some(Ok(end)) => ending(end),
                        // A defect of ours, not of the guest: it must not pass for a clean end.
                        Some(Err(panic)) => Ending::Failed(format!("internal error: {panic}")),
                        None => Ending::Failed("internal error: the task was never there".to_owned()),
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
