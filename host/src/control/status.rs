//! What runs at present, for whoever asks.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use sandbar_abi::manifest::Kind;
use serde::{Serialize, Serializer};

use super::versions::Quarantined;
use super::world::World;
use crate::config::{ConnectorSettings, Definition, InitialState};
use crate::task::{Progress, Snapshot};

/// All connectors, by name, and the plugin files that none of them can use.
#[derive(Clone, Default, Serialize)]
pub struct Status {
    /// Whether the folder has been seen whole, and everything in it that can start was started.
    pub ready: bool,
    /// Whether all plugins and definitions in the folder are known at this moment, and what operators want: none is being
    /// loaded.
    #[serde(skip)]
    pub knows_all: bool,
    /// Whether it runs what it is dealt: it has joined its worker group, where there is one.
    #[serde(skip)]
    pub joined: bool,
    /// Why it is not known what operators want, where that is so: nothing runs then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage: Option<String>,
    /// Its place among the workers of its group, where there may be others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker: Option<WorkerShare>,
    /// The connectors.
    pub connectors: Vec<ConnectorStatus>,
    /// The plugin files that are not used.
    pub refused: Vec<RefusedPlugin>,
    /// The plugins that are there, and what the worker group agrees on.
    #[serde(skip)]
    pub world: Arc<World>,
}

impl Status {
    /// The connectors that are defined; those that only end their tasks are left out.
    pub fn defined(&self) -> impl Iterator<Item = &ConnectorStatus> {
        self.connectors.iter().filter(|connector| !connector.leaving)
    }
}

/// A worker's place in its group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct WorkerShare {
    /// The worker group.
    pub group: String,
    /// What the worker is called there.
    pub id: String,
    /// How many slots it holds. It runs the tasks that belong to them.
    pub slots: usize,
    /// How many there are.
    pub of: usize,
    /// Why it is in no group, where that is so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A plugin file that is not used, or not as it is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RefusedPlugin {
    /// The file.
    pub file: PathBuf,
    /// Why, and what to do about it.
    pub reason: String,
}

/// A connector.
#[derive(Clone, Debug, Serialize)]
pub struct ConnectorStatus {
    /// Its name.
    pub name: String,
    /// As what its plugin runs, or would if it were not paused or stopped, once that is known.
    #[serde(rename = "type", serialize_with = "kind_name")]
    pub kind: Option<Kind>,
    /// Its plugin and the version that runs, or would.
    pub plugin: Option<(String, String)>,
    /// The plugins and versions of the transforms that its records pass.
    pub transforms: Vec<(String, String)>,
    /// The file that defines it; nothing: it was defined over REST.
    pub file: Option<PathBuf>,
    /// What it shall do.
    #[serde(serialize_with = "target_name")]
    pub target: InitialState,
    /// Its definition, secrets that are written out among it.
    #[serde(skip)]
    pub definition: Arc<Definition>,
    /// What came of it, where its plugins are there.
    #[serde(skip)]
    pub settings: Option<Arc<ConnectorSettings>>,
    /// Its own state, whatever that of its tasks, and why: what Kafka Connect's clients see.
    #[serde(skip)]
    pub own: (ConnectorState, Option<String>),
    /// Its state: that of its tasks, where they agree.
    pub state: ConnectorState,
    /// Why it is in that state, where there is something to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Its tasks.
    pub tasks: Vec<TaskStatus>,
    /// Whether it is this worker that speaks for it in its group.
    #[serde(skip)]
    pub ours: bool,
    /// Whether its definition is gone: it goes too, once its tasks have ended.
    #[serde(skip)]
    pub leaving: bool,
    /// Versions of its plugins that failed when they took over, and are not tried again.
    pub quarantined: Vec<Quarantined>,
}

/// A task.
#[derive(Clone, Debug, Serialize)]
pub struct TaskStatus {
    /// Its number, from 0.
    pub id: u32,
    /// Its state.
    pub state: ConnectorState,
    /// Why it is in that state, where there is something to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
    /// Whether it is this worker's to run.
    #[serde(skip)]
    pub ours: bool,
    /// What it has done since the host started.
    #[serde(serialize_with = "counters")]
    pub progress: Arc<Progress>,
}

/// A state, in Kafka Connect's words where it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ConnectorState {
    /// It waits for something that is not there, such as its plugin.
    Unassigned,
    /// It runs: it gets on, or has nothing to do.
    Running,
    /// It runs and does not get on; the reason says what it waits for. Kafka Connect's clients see `RUNNING`.
    Stalled,
    /// It is finishing, to end or to start again.
    Restarting,
    /// It failed; where it starts again by itself, the reason says when.
    Failed,
    /// Its source has come to its end. Kafka Connect's clients see `RUNNING`.
    Completed,
    /// It was told to wait.
    Paused,
    /// It was told to stop.
    Stopped,
}

impl ConnectorState {
    /// All there are.
    pub const ALL: [Self; 8] = [
        Self::Unassigned,
        Self::Running,
        Self::Stalled,
        Self::Restarting,
        Self::Failed,
        Self::Completed,
        Self::Paused,
        Self::Stopped,
    ];

    /// Those of tasks, the one first that says most about a connector of which some are in it.
    pub const BY_SEVERITY: [Self; 8] = [
        Self::Failed,
        Self::Stalled,
        Self::Restarting,
        Self::Running,
        Self::Completed,
        Self::Stopped,
        Self::Paused,
        Self::Unassigned,
    ];

    /// As it is shown.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unassigned => "UNASSIGNED",
            Self::Running => "RUNNING",
            Self::Stalled => "STALLED",
            Self::Restarting => "RESTARTING",
            Self::Failed => "FAILED",
            Self::Completed => "COMPLETED",
            Self::Paused => "PAUSED",
            Self::Stopped => "STOPPED",
        }
    }
}

impl fmt::Display for ConnectorState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ready, storage, worker, connectors, refused, .. } = self;
        let all = (ready, storage, worker, refused, connectors);
        f.debug_tuple("Status").field(&all).finish()
    }
}

impl ConnectorStatus {
    /// A connector of which nothing is known but its definition.
    #[must_use]
    pub fn new(definition: Arc<Definition>) -> Self {
        Self {
            name: definition.name.clone(),
            kind: None,
            plugin: None,
            transforms: Vec::new(),
            file: None,
            target: definition.initial_state,
            definition,
            settings: None,
            own: (ConnectorState::Unassigned, None),
            state: ConnectorState::Unassigned,
            reason: None,
            tasks: Vec::new(),
            ours: true,
            leaving: false,
            quarantined: Vec::new(),
        }
    }

    /// The counters of all tasks together.
    #[must_use]
    pub fn totals(&self) -> Snapshot {
        let mut sum = Snapshot::default();
        for task in &self.tasks {
            sum.add(task.progress.snapshot());
        }
        sum
    }
}

// The signature is serde's.
#[allow(clippy::ref_option)]
fn kind_name<S: Serializer>(kind: &Option<Kind>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(kind.map_or("unknown", Kind::name))
}

fn target_name<S: Serializer>(target: &InitialState, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(target.name())
}

fn counters<S: Serializer>(progress: &Arc<Progress>, to: S) -> Result<S::Ok, S::Error> {
    progress.snapshot().serialize(to)
}
