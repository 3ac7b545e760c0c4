//! The event loop: one thing after the other, each event looked at against the world as it is by then.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use sandbar_abi::status::CloseReason;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{info, warn};

use super::commands::Handle;
use super::connector::{Connector, Setup};
use super::forgotten::Forgotten;
use super::keeping::Keeping;
use super::kept_versions::KeptVersions;
use super::machine::{Ending, TaskEvent};
use super::placement::{Dealt, Placement, Slots, slot};
use super::running::Task;
use super::status::Status;
use super::versions::Versions;
use super::world::World;
use crate::broker::Broker;
use crate::config::{Definition, InitialState, WorkerConfig, keys};
use crate::discovery::Changes;
use crate::http::Network;
use crate::plugins::{Load, LoadError, Plugin, Registry};
use crate::storage::{ConfigStorage, Configs, Place};
use crate::task::Plan;
use crate::telemetry::Tracer;

/// Something that happened elsewhere.
pub(super) enum Event {
    /// A plugin was loaded, or could not be.
    Loaded { file: PathBuf, load: u64, started: Instant, result: Result<Arc<Plugin>, LoadError> },
    /// A connector was planned, or could not be.
    Planned { connector: String, planning: u64, setup: Box<Setup>, result: Result<Vec<Plan>, String> },
    /// A task ended.
    Ended { connector: String, task: u32, run: u64, ending: Ending },
    /// The worker group dealt its slots out.
    Dealt(Dealt),
}

/// See the module.
pub struct Supervisor {
    pub(super) worker: Arc<WorkerConfig>,
    pub(super) loader: Arc<dyn Load>,
    pub(super) broker: Arc<dyn Broker>,
    pub(super) network: Network,
    pub(super) tracer: Tracer,
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
    pub(super) kept: KeptVersions,
    pub(super) storage: ConfigStorage,
    /// What that says.
    pub(super) configs: Configs,
    /// Whether it has been read whole.
    pub(super) restored: bool,
    /// Why it has not.
    pub(super) without_storage: Option<String>,
    /// Connectors that were defined over REST.
    pub(super) stored: BTreeMap<String, Definition>,
    /// To be told once the status shows what they did.
    pub(super) waiting: Vec<oneshot::Sender<()>>,
    /// The plugins and what the group agrees on, as they are shown outside; nothing: they have changed.
    pub(super) world: Option<Arc<World>>,
    pub(super) forgotten: Forgotten,
    pub(super) placement: Placement,
    /// Whether it has begun to be a member of its worker group.
    pub(super) joined: bool,
    /// Whether it has the plugins that the group shares.
    pub(super) has_plugins: bool,
    /// Tells that it has.
    shares: Option<watch::Receiver<bool>>,
    pub(super) slots: Slots,
    pub(super) keeping: Keeping,
    /// Ends once nobody is waiting for an answer of this worker any more.
    answered: Option<oneshot::Receiver<()>>,
}

impl Supervisor {
    /// A supervisor that runs nothing yet. `placement` is how it comes by its tasks.
    #[must_use]
    pub fn new(
        worker: Arc<WorkerConfig>,
        loader: impl Load,
        broker: Arc<dyn Broker>,
        network: Network,
        placement: Placement,
    ) -> Self {
        // Events come from a bounded number of tasks, plannings and loads, each of which sends one.
        let (events, inbox) = mpsc::unbounded_channel();
        let place = Place {
            topic: worker.config_storage_topic.as_str().into(),
            key: keys::CONFIG_STORAGE_TOPIC.name,
            group: worker.group_id.clone(),
            replication_factor: worker.topic_defaults.replication_factor,
        };
        let storage = ConfigStorage::new(Arc::clone(&broker), place);
        Self {
            worker,
            loader: Arc::new(loader),
            broker,
            network,
            tracer: Tracer::default(),
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
            kept: KeptVersions::default(),
            storage,
            configs: Configs::default(),
            restored: false,
            without_storage: None,
            stored: BTreeMap::new(),
            waiting: Vec::new(),
            world: None,
            forgotten: Forgotten::default(),
            slots: Slots::new(&placement),
            keeping: Keeping::default(),
            placement,
            answered: None,
            joined: false,
            has_plugins: true,
            shares: None,
        }
    }

    /// Begins with what is known of versions, and keeps it over restarts of the host.
    #[must_use]
    pub fn keeping(mut self, kept: KeptVersions) -> Self {
        self.kept = kept;
        self
    }

    /// Waits for the plugins that the group shares, before it takes tasks.
    #[must_use]
    pub fn sharing(mut self, shares: watch::Receiver<bool>) -> Self {
        (self.has_plugins, self.shares) = (false, Some(shares));
        self
    }

    /// Has its tasks traced.
    #[must_use]
    pub fn tracing(mut self, tracer: Tracer) -> Self {
        self.tracer = tracer;
        self
    }

    /// Stays, when it is told to stop, until `answered` has come, or whoever would send it is gone: what is asked for
    /// meanwhile is taken in.
    #[must_use]
    pub fn answering(mut self, answered: oneshot::Receiver<()>) -> Self {
        self.answered = Some(answered);
        self
    }

    /// For whoever watches it, or tells it what to do.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle::new(self.storage.clone(), self.status.subscribe(), self.forgotten.clone())
    }

    /// Runs until told to stop, then until all tasks have ended and all requests were answered, or `shutdown.timeout.ms`
    /// is over. Returns whether all tasks ended by themselves.
    pub async fn run(mut self, mut folder: impl Changes, mut stop: watch::Receiver<bool>) -> bool {
        let (mut give_up, mut answered): (Option<Instant>, _) = (None, self.answered.take());
        let mut shares = self.shares.take();
        let (mut stored, follow) = self.storage.follow();
        self.work.spawn(follow);
        loop {
            self.join();
            self.let_slots_go();
            self.publish();
            for writer in self.waiting.drain(..) {
                // Whoever wrote may be gone.
                let _ = writer.send(());
            }
            while self.work.try_join_next().is_some() {}
            self.keep().await;
            for file in self.outdated.drain(..) {
                folder.doubt(&file);
            }
            let is_idle = self.connectors.values().all(Connector::is_idle);
            if self.stopping && is_idle && answered.is_none() {
                return true;
            }
            let due = self.next_due().into_iter().chain(give_up).min();
            let waited_for = async {
                match &mut answered {
                    Some(answered) => drop(answered.await),
                    None => std::future::pending().await,
                }
            };
            let shared = async {
                match &mut shares {
                    Some(shares) => drop(shares.wait_for(|has_plugins| *has_plugins).await),
                    None => std::future::pending().await,
                }
            };
            let timer = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                // In this order, so that what happens does not depend on chance.
                biased;
                // What it gives out must not be held.
                () = async { drop(stop.wait_for(|stop| *stop).await) }, if !self.stopping => {
                    info!("stopping: tasks finish what they have taken up");
                    self.stopping = true;
                    give_up = Some(Instant::now() + self.worker.shutdown_timeout);
                    for connector in self.connectors.values_mut() {
                        (connector.next, connector.replan_at) = (None, None);
                        connector.drain(CloseReason::Stop, Instant::now());
                    }
                }
                changes = folder.next(), if !self.stopping => self.changed(changes),
                Some(event) = self.inbox.recv() => self.take(event),
                Some(news) = stored.recv() => self.take_in(news),
                () = waited_for, if self.stopping => answered = None,
                () = shared, if !self.has_plugins => self.has_plugins = true,
                () = timer => {
                    if give_up.is_some_and(|at| at <= Instant::now()) {
                        self.say_what_hangs();
                        return is_idle;
                    }
                    self.tick();
                }
            }
        }
    }

    /// Whether plugins, definitions and what operators want are known, as far as they were there at the start.
    pub(super) fn knows_all(&self) -> bool {
        self.scanned && self.restored && self.loading == 0
    }

    fn next_due(&self) -> Option<Instant> {
        let (patience, now) = (self.worker.stall_timeout, Instant::now());
        let tasks = || self.connectors.values().flat_map(|c| &c.tasks);
        let restarts = tasks().filter_map(|t| t.machine.due());
        let stalls = tasks().filter_map(|t| t.recheck_at(patience, now));
        let plans = self.connectors.values().filter_map(|c| c.replan_at);
        restarts.chain(stalls).chain(plans).chain(self.keeping.at).min()
    }

    fn say_what_hangs(&self) {
        for (name, connector) in &self.connectors {
            for task in connector.tasks.iter().filter(|t| !t.machine.is_idle()) {
                warn!(connector = %name, task = task.plan.task, "did not finish in time, what it has not committed is undone");
            }
        }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Loaded { file, load, started, result } => {
                self.loaded(&file, load, started, result);
                self.reconcile_all();
            }
            Event::Planned { connector, planning, setup, result } => self.planned(&connector, planning, *setup, result),
            Event::Ended { connector, task, run, ending } => self.ended(&connector, task, run, ending),
            Event::Dealt(dealt) => self.dealt(dealt),
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
            self.kept.note(name, &Versions::default());
            return;
        }
        if connector.target() != InitialState::Running {
            connector.clear();
        }
        let Some(plans) = connector.next.take() else { return };
        let tasks = plans.into_iter().map(|plan| {
            let slot = slot(name, plan.task, plan.role);
            Task::new(plan, slot, self.slots.holds(slot))
        });
        connector.install(tasks.collect());
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
}
