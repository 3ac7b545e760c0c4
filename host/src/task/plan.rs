//! What a task is told to do: everything it needs, decided before it starts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sandbar_abi::manifest::Kind;

use crate::broker::{Input, OwnTopics, TopicSettings};
use crate::sandbox::{Compiled, Grants, Limits};
use crate::telemetry::Tracer;

/// What a task is told to do.
pub struct Plan {
    /// The worker group, the first part of the transactional id.
    pub worker_group: String,
    /// The connector.
    pub connector: String,
    /// The task's number, from 0.
    pub task: u32,
    /// How many tasks the connector has.
    pub tasks: u32,
    /// What the connector's own plugin is used as.
    pub role: Kind,
    /// What it consumes; a source consumes nothing.
    pub input: Option<Input>,
    /// Where records go that do not name a topic; a sink writes none.
    pub output_topic: Option<Arc<str>>,
    /// The connector's own plugin.
    pub plugin: StagePlan,
    /// The transforms between it and the broker, in the order records pass them.
    pub transforms: Vec<StagePlan>,
    /// When to poll and when to commit.
    pub pace: Pace,
    /// What to do about failures.
    pub errors: ErrorPolicy,
    /// The topics that it may not write to.
    pub own_topics: OwnTopics,
    /// How missing topics are created.
    pub topic_settings: TopicSettings,
    /// `consumer.override.*`
    pub consumer_overrides: BTreeMap<String, String>,
    /// `producer.override.*`
    pub producer_overrides: BTreeMap<String, String>,
    /// Makes its spans.
    pub tracer: Tracer,
}

/// Room for the commit itself, and for a machine that is busy.
const TRANSACTION_SLACK: Duration = Duration::from_secs(5);

impl Plan {
    /// The longest a transaction of this task may be open: it collects for an interval, and then one batch may still pass
    /// all plugins, each of them as slow as it may be.
    pub(super) fn transaction_timeout(&self) -> Duration {
        let calls = std::iter::once(&self.plugin).chain(&self.transforms).map(|s| s.limits.call_timeout);
        self.pace.commit_interval + calls.sum::<Duration>() + TRANSACTION_SLACK
    }
}

/// One plugin of a task.
#[derive(Clone)]
pub struct StagePlan {
    /// Empty for the connector's own plugin, else the alias in `transforms`.
    pub alias: Arc<str>,
    /// The plugin's name.
    pub plugin: String,
    /// The plugin's version.
    pub version: String,
    /// The code.
    pub compiled: Compiled,
    /// The plugin's configuration, typed, secrets resolved.
    pub config: serde_json::Value,
    /// Its budget.
    pub limits: Limits,
    /// Its grants.
    pub grants: Grants,
    /// Whether writing the same records twice is as writing them once.
    pub idempotent_write: bool,
}

/// When to poll and when to commit.
#[derive(Clone, Debug)]
pub struct Pace {
    /// Records a call.
    pub batch_records: usize,
    /// Bytes a call.
    pub batch_bytes: usize,
    /// The longest a transaction collects.
    pub commit_interval: Duration,
    /// The most records a transaction collects.
    pub commit_records: usize,
    /// The most bytes a transaction collects.
    pub commit_bytes: usize,
    /// The longest pause between polls of a source that has nothing.
    pub poll_interval: Duration,
}

/// What to do about failures.
#[derive(Clone, Debug)]
pub struct ErrorPolicy {
    /// `errors.tolerance = all`: records that fail are dead-lettered or dropped. Else the task fails.
    pub tolerate: bool,
    /// How long an operation is retried; `None`: for ever.
    pub retry_timeout: Option<Duration>,
    /// The longest pause between two tries.
    pub retry_delay_max: Duration,
    /// Where records go that fail; without it they are dropped, and counted.
    pub dead_letters: Option<DeadLetterPlan>,
    /// Whether failures of records are logged.
    pub log: bool,
    /// Whether such log lines tell where the record is.
    pub log_messages: bool,
}

/// The dead letter queue of a connector.
#[derive(Clone, Debug)]
pub struct DeadLetterPlan {
    /// The topic.
    pub topic: Arc<str>,
    /// How it is created when missing.
    pub settings: TopicSettings,
    /// Whether the headers `__connect.errors.*` are added.
    pub context_headers: bool,
}
