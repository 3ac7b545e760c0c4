//! Connectors and tasks as Kafka Connect's clients know them.

use std::collections::BTreeMap;

use sandbar_abi::manifest::Kind;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use utoipa::openapi::schema::SchemaType;
use utoipa::openapi::{ObjectBuilder, RefOr, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::api::app::App;
use crate::control::{ConnectorState, ConnectorStatus, TaskStatus, World};
use crate::storage::Said;

/// A configuration: everything is text.
pub(in crate::api) type Config = BTreeMap<String, String>;

/// A value as it may be given: text; numbers and flags are taken for what they look like.
pub(in crate::api) enum Given {}

impl PartialSchema for Given {
    fn schema() -> RefOr<Schema> {
        let kinds: SchemaType = [Type::String, Type::Number, Type::Boolean].into_iter().collect();
        let what = "Text; numbers and flags are taken for what they look like";
        ObjectBuilder::new().schema_type(kinds).description(Some(what)).into()
    }
}

impl ToSchema for Given {}

/// A value as it may be changed: null takes its key out.
pub(in crate::api) enum Changed {}

impl PartialSchema for Changed {
    fn schema() -> RefOr<Schema> {
        let kinds: SchemaType = [Type::String, Type::Number, Type::Boolean, Type::Null].into_iter().collect();
        ObjectBuilder::new().schema_type(kinds).description(Some("As it is given; null takes the key out")).into()
    }
}

impl ToSchema for Changed {}

/// A connector: what it was told to be.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct ConnectorInfo {
    /// Its name.
    #[schema(example = "orders")]
    pub name: String,
    /// Its configuration; secrets that are written out in it are hidden.
    pub config: Config,
    /// Its tasks.
    pub tasks: Vec<TaskId>,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: ConnectorType,
}

/// A connector: what it is at present.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct ConnectorStateInfo {
    /// Its name.
    #[schema(example = "orders")]
    pub name: String,
    /// Its own state.
    pub connector: OwnState,
    /// Those of its tasks.
    pub tasks: Vec<TaskState>,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: ConnectorType,
}

/// The state of a connector, whatever that of its tasks.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct OwnState {
    /// The state.
    pub state: State,
    /// Which worker says so.
    #[schema(example = "127.0.0.1:8083")]
    pub worker_id: String,
    /// Why it is so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
    /// The version of its plugin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// The state of a task.
#[derive(Clone, Serialize, ToSchema)]
pub(in crate::api) struct TaskState {
    /// Its number.
    pub id: u32,
    /// The state.
    pub state: State,
    /// Which worker runs it.
    #[schema(example = "127.0.0.1:8083")]
    pub worker_id: String,
    /// Why it is so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
    /// The version of its plugin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// A task, by its connector and number.
#[derive(Serialize, Deserialize, ToSchema)]
pub(in crate::api) struct TaskId {
    /// The connector.
    #[schema(example = "orders")]
    pub connector: String,
    /// The number, from 0.
    pub task: u32,
}

/// A task and what it runs with.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct TaskInfo {
    /// Which one.
    pub id: TaskId,
    /// Its connector's configuration; secrets that are written out in it are hidden.
    pub config: Config,
}

/// A state, in Kafka Connect's words.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub(in crate::api) enum State {
    /// Nobody runs it.
    Unassigned,
    /// It runs.
    Running,
    /// It was told to wait.
    Paused,
    /// It failed, and says why.
    Failed,
    /// It is about to begin anew.
    Restarting,
    /// It was told to stop.
    Stopped,
}

/// What a connector is. A transform owns a consumer group as sinks do, and is one of them to Kafka Connect's clients.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::api) enum ConnectorType {
    /// It writes topics.
    Source,
    /// It reads topics.
    Sink,
    /// Its plugin is not there.
    Unknown,
}

impl ConnectorType {
    pub(in crate::api) fn of(kind: Option<Kind>) -> Self {
        match kind {
            Some(Kind::Source) => Self::Source,
            Some(Kind::Sink | Kind::Transform) => Self::Sink,
            None => Self::Unknown,
        }
    }
}

impl State {
    /// Reads what another worker wrote.
    fn named(name: &str) -> Self {
        match name {
            "RUNNING" => Self::Running,
            "PAUSED" => Self::Paused,
            "FAILED" => Self::Failed,
            "RESTARTING" => Self::Restarting,
            "STOPPED" => Self::Stopped,
            _ => Self::Unassigned,
        }
    }

    /// As it is written.
    pub(in crate::api) fn name(self) -> &'static str {
        match self {
            Self::Unassigned => "UNASSIGNED",
            Self::Running => "RUNNING",
            Self::Paused => "PAUSED",
            Self::Failed => "FAILED",
            Self::Restarting => "RESTARTING",
            Self::Stopped => "STOPPED",
        }
    }

    fn of(state: ConnectorState) -> Self {
        match state {
            ConnectorState::Unassigned => Self::Unassigned,
            ConnectorState::Running | ConnectorState::Stalled | ConnectorState::Completed => Self::Running,
            ConnectorState::Restarting => Self::Restarting,
            ConnectorState::Failed => Self::Failed,
            ConnectorState::Paused => Self::Paused,
            ConnectorState::Stopped => Self::Stopped,
        }
    }
}

impl ConnectorInfo {
    pub(in crate::api) fn of(connector: &ConnectorStatus, world: &World) -> Self {
        let id = |task: &TaskStatus| TaskId { connector: connector.name.clone(), task: task.id };
        Self {
            name: connector.name.clone(),
            config: connector.definition.shown(world),
            tasks: connector.tasks.iter().map(id).collect(),
            kind: ConnectorType::of(connector.kind),
        }
    }
}

impl ConnectorStateInfo {
    pub(in crate::api) fn of(connector: &ConnectorStatus, app: &App) -> Self {
        let (state, trace) = &connector.own;
        let own = OwnState {
            state: State::of(*state),
            worker_id: app.worker_id.clone(),
            trace: trace.clone().filter(|_| *state == ConnectorState::Failed),
            version: version(connector),
        };
        let own =
            if connector.ours { own } else { elsewhere(own, app.statuses.connector(&connector.name, Instant::now())) };
        Self {
            name: connector.name.clone(),
            connector: own,
            tasks: connector.tasks.iter().map(|task| TaskState::of(task, connector, app)).collect(),
            kind: ConnectorType::of(connector.kind),
        }
    }
}

impl TaskState {
    pub(in crate::api) fn of(task: &TaskStatus, connector: &ConnectorStatus, app: &App) -> Self {
        if !task.ours {
            let said = app.statuses.task(&connector.name, task.id, Instant::now());
            let (state, trace) = (State::Unassigned, None);
            let unknown = OwnState { state, worker_id: app.worker_id.clone(), trace, version: version(connector) };
            let OwnState { state, worker_id, trace, version } = elsewhere(unknown, said);
            return Self { id: task.id, state, worker_id, trace, version };
        }
        Self {
            id: task.id,
            state: State::of(task.state),
            worker_id: app.worker_id.clone(),
            // Of what runs Kafka Connect says nothing: a trace means a failure.
            trace: task.trace.clone().filter(|_| task.state == ConnectorState::Failed),
            version: version(connector),
        }
    }
}

/// What another worker says, if one does that lives; what nobody runs is unassigned.
fn elsewhere(here: OwnState, said: Option<Said>) -> OwnState {
    match said {
        Some(Said { state, trace, worker_id, version, .. }) => {
            OwnState { state: State::named(&state), worker_id, trace, version: version.or(here.version) }
        }
        None if here.state == State::Running => OwnState { state: State::Unassigned, ..here },
        None => here,
    }
}

fn version(connector: &ConnectorStatus) -> Option<String> {
    connector.plugin.as_ref().map(|(_, version)| version.clone())
}
