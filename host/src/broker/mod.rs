//! The port to Kafka, or to the embedded broker that stands in for it: all that a task may know of either.
//!
//! A task opens one [`Session`]: its cursor in the input and its open transaction. Everything a task produces between
//! two commits (records, dead letters, source offsets, state, consumed offsets) becomes visible together or not at all.

mod error;
pub mod kafka;
pub mod local;
mod own_topics;
pub mod partitioner;
mod types;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

pub use error::{BrokerError, BrokerErrorKind};
pub use own_topics::{OwnTopics, SLOTS_TOPIC, STATE_TOPIC_PREFIX};
pub use types::{
    BatchLimits, CleanupPolicy, Commit, Consumed, Created, Input, Output, PartitionBatch, ReadFrom, ReadSpec,
    SessionSpec, SourceOffset, StateChange, StatePlace, StateScope, TopicInfo, TopicPartition, TopicPartitionOffset,
    TopicSettings, Topics, whole_names,
};

/// A broker: where topics are, and where tasks open their sessions.
#[async_trait]
pub trait Broker: Send + Sync + 'static {
    /// For people: which broker this is.
    fn describe(&self) -> String;

    /// What can be looked up and set outside any task.
    fn administration(&self) -> &dyn Administration;

    /// Opens a task's session. The transactional id it stands for is taken over at once: a transaction that a killed
    /// predecessor left open is aborted, and a predecessor that still lives is fenced.
    async fn session(&self, spec: SessionSpec) -> Result<Box<dyn Session>, BrokerError>;

    /// Creates a topic, or finds that it exists; an existing topic is left as it is.
    async fn create_topic(&self, name: &str, settings: &TopicSettings) -> Result<Created, BrokerError>;

    /// All topics, internal ones of the broker left out, by name.
    async fn topics(&self) -> Result<Vec<TopicInfo>, BrokerError>;

    /// Opens a reader of committed records, outside any group.
    async fn reader(&self, spec: ReadSpec) -> Result<Box<dyn Reader>, BrokerError>;

    /// Appends records outside any task, durably: for tools. Missing topics are created with the settings.
    async fn write(&self, output: Output, settings: &TopicSettings) -> Result<(), BrokerError>;
}

/// What can be looked up and set outside any task: for operators.
#[async_trait]
pub trait Administration: Send + Sync {
    /// The committed source offsets of a connector, as [`Session::load_offsets`] returns them, outside any task.
    async fn source_offsets(&self, connector: &str) -> Result<Vec<(String, String)>, BrokerError>;

    /// The committed state of a scope that moves with an input partition, outside any task.
    async fn state(
        &self,
        worker_group: &str,
        connector: &str,
        scope: &StateScope,
    ) -> Result<Vec<(Bytes, Bytes)>, BrokerError>;

    /// For each partition of topics the first offset that is kept, and the one the next record gets. Topics that do not
    /// exist have no partitions.
    async fn ranges(&self, topics: &Topics) -> Result<Vec<(TopicPartition, (i64, i64))>, BrokerError>;

    /// Which cluster it is.
    async fn cluster_id(&self) -> Result<String, BrokerError>;

    /// Where a consumer group stands in topics: the next offset to read of each partition for which it has committed one.
    async fn group_offsets(&self, group: &str, topics: &Topics) -> Result<Vec<TopicPartitionOffset>, BrokerError>;

    /// Sets where a consumer group without members stands; `None`: it stands nowhere in that partition any more. A group
    /// that has members is refused.
    async fn set_group_offsets(
        &self,
        group: &str,
        topics: &Topics,
        offsets: Vec<(TopicPartition, Option<i64>)>,
    ) -> Result<(), BrokerError>;
}

/// A task's cursor and open transaction. Not used by two at once.
#[async_trait]
pub trait Session: Send {
    /// Waits up to `wait` for input, or for a change of the assignment. A session keeps its membership by itself while its
    /// task is busy, but only the task can let partitions go: one that waits for something else does it by
    /// [`Session::stand_by`].
    async fn consume(&mut self, limits: BatchLimits, wait: Duration) -> Result<Consumed, BrokerError>;

    /// Waits up to `wait` as a member of the group, for a task that can take no records now. Returns [`Consumed::Revoked`]
    /// or [`Consumed::Lost`] of partitions that go, else [`Consumed::Idle`]; what comes is told by the next
    /// [`Session::consume`].
    async fn stand_by(&mut self, wait: Duration) -> Result<Consumed, BrokerError>;

    /// Takes assigned partitions up, after [`Consumed::Assigned`]. Records flow from the given offset, or from the
    /// committed one where none is given.
    async fn accept(&mut self, partitions: Vec<(TopicPartition, Option<i64>)>) -> Result<(), BrokerError>;

    /// Lets revoked or lost partitions go, after [`Consumed::Revoked`] or [`Consumed::Lost`], once what was read from
    /// them is committed or given up.
    async fn release(&mut self, partitions: Vec<TopicPartition>) -> Result<(), BrokerError>;

    /// Adds records to the open transaction, opening one if there is none. May wait: that is the back-pressure.
    async fn stage(&mut self, output: Output) -> Result<(), BrokerError>;

    /// Commits everything staged, and what is given here, in one transaction.
    async fn commit(&mut self, commit: Commit) -> Result<(), BrokerError>;

    /// Drops everything staged since the last commit, and rewinds the input to the last commit.
    async fn abort(&mut self) -> Result<(), BrokerError>;

    /// The committed source offsets of the session's connector: canonical JSON of the source partition, and of the
    /// offset.
    async fn load_offsets(&mut self) -> Result<Vec<(String, String)>, BrokerError>;

    /// The committed state of a scope.
    async fn load_state(&mut self, scope: &StateScope) -> Result<Vec<(Bytes, Bytes)>, BrokerError>;

    /// Leaves the group and lets go of everything; an open transaction is aborted.
    async fn close(self: Box<Self>) -> Result<(), BrokerError>;
}

/// Reads committed records of a topic, partition by partition in order.
#[async_trait]
pub trait Reader: Send {
    /// The next records, waiting up to `wait` for some. An empty answer with `Reader::at_end` means that all that was
    /// committed when the reader was opened has been read.
    async fn next(&mut self, limits: BatchLimits, wait: Duration) -> Result<Vec<PartitionBatch>, BrokerError>;

    /// Whether everything that was committed when the reader was opened has been returned.
    fn at_end(&self) -> bool;
}
