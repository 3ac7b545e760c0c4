//! The values that pass through the broker port.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use regex::Regex;

use crate::batch::Batch;

/// A topic and one of its partitions.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition, from 0.
    pub partition: i32,
}

impl TopicPartition {
    /// A topic and one of its partitions.
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> Self {
        Self { topic: topic.into(), partition }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// A place in a partition: the *next* offset to read, as Kafka counts committed offsets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPartitionOffset {
    /// Where.
    pub partition: TopicPartition,
    /// The next offset to read.
    pub offset: i64,
}

/// Who a session belongs to, and what it reads. It has no `Debug`: the overrides may hold secrets.
#[derive(Clone)]
pub struct SessionSpec {
    /// The worker group, the first part of the transactional id `<group>-<connector>-<task>`.
    pub worker_group: String,
    /// The connector.
    pub connector: String,
    /// The task's number, from 0.
    pub task: u32,
    /// What it consumes; a source consumes nothing.
    pub input: Option<Input>,
    /// How topics that do not exist are created when it writes to them, or subscribes to them.
    pub topic_settings: TopicSettings,
    /// `consumer.override.*`: properties of the consumer. Only Kafka knows them.
    pub consumer_overrides: BTreeMap<String, String>,
    /// `producer.override.*`: properties of the producer. Only Kafka knows them.
    pub producer_overrides: BTreeMap<String, String>,
    /// The longest a transaction may be open: a broker that hears nothing for so long gives it up.
    pub transaction_timeout: Duration,
}

/// What a session consumes.
#[derive(Clone, Debug)]
pub struct Input {
    /// The consumer group.
    pub group: String,
    /// The topics.
    pub topics: Topics,
}

/// Topics, by name or by pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Topics {
    /// These topics.
    Names(Vec<String>),
    /// Every topic whose whole name matches this regular expression, those created later too.
    Pattern(String),
}

/// A pattern of topics as every broker has it: whole names match, whichever looks for them.
pub fn whole_names(pattern: &str) -> Result<Regex, regex::Error> {
    Regex::new(&format!("^(?:{pattern})$"))
}

/// How a missing topic is created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSettings {
    /// How many partitions; at least 1.
    pub partitions: i32,
    /// How many replicas; [`TopicSettings::BY_CLUSTER`]: as many as the cluster gives a topic by itself. The embedded broker
    /// has one of everything.
    pub replication_factor: i32,
    /// What happens to old records.
    pub cleanup_policy: CleanupPolicy,
    /// How long records are kept at least, in milliseconds; `None`: the broker's default.
    pub retention_ms: Option<i64>,
    /// How many bytes a partition keeps at least; `None`: the broker's default.
    pub retention_bytes: Option<i64>,
}

impl TopicSettings {
    /// The number of replicas that the cluster's `default.replication.factor` says.
    pub const BY_CLUSTER: i32 = -1;
}

impl Default for TopicSettings {
    fn default() -> Self {
        Self {
            partitions: 1,
            replication_factor: Self::BY_CLUSTER,
            cleanup_policy: CleanupPolicy::Delete,
            retention_ms: None,
            retention_bytes: None,
        }
    }
}

/// What happens to old records of a topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CleanupPolicy {
    /// They are deleted by age and size.
    #[default]
    Delete,
    /// The newest of each key stays.
    Compact,
    /// Both.
    CompactDelete,
}

impl CleanupPolicy {
    /// As Kafka's topic configuration spells it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Delete => "delete",
            Self::Compact => "compact",
            Self::CompactDelete => "compact,delete",
        }
    }

    /// Reads Kafka's spelling.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "delete" => Some(Self::Delete),
            "compact" => Some(Self::Compact),
            "compact,delete" | "delete,compact" => Some(Self::CompactDelete),
            _ => None,
        }
    }
}

/// Whether [`super::Broker::create_topic`] made the topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    /// It is new.
    New,
    /// It was there already.
    Existed,
}

/// A topic that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicInfo {
    /// Its name.
    pub name: String,
    /// For each partition, in order: the first offset that is kept, and the one the next record gets.
    pub partitions: Vec<(i64, i64)>,
    /// What happens to old records, where the broker tells.
    pub cleanup_policy: Option<CleanupPolicy>,
}

/// Bounds of one answer of a consumer. At least one record is returned even where it is larger than `bytes`.
#[derive(Clone, Copy, Debug)]
pub struct BatchLimits {
    /// Records.
    pub records: usize,
    /// Bytes of keys, values and headers.
    pub bytes: usize,
}

/// What a consumer has to say.
#[derive(Debug)]
pub enum Consumed {
    /// Records: one batch for each partition that had some.
    Batches(Vec<PartitionBatch>),
    /// Nothing came in time.
    Idle,
    /// Nothing came in time, and the group has not answered this member since it joined: it may still wait for others.
    Joining,
    /// These partitions are now this session's; answer with [`super::Session::accept`].
    Assigned(Vec<TopicPartition>),
    /// These partitions go elsewhere: finish, commit, then [`super::Session::release`].
    Revoked(Vec<TopicPartition>),
    /// These partitions went elsewhere already: abort, then [`super::Session::release`].
    Lost(Vec<TopicPartition>),
}

/// Consecutive records of one partition.
#[derive(Clone, Debug)]
pub struct PartitionBatch {
    /// Where they come from. The frame says the same of each record.
    pub partition: TopicPartition,
    /// The records, by rising offset; offsets may have gaps.
    pub batch: Batch,
    /// The next offset to read once all of these are dealt with.
    pub next_offset: i64,
}

/// Records to write.
#[derive(Clone, Debug)]
pub struct Output {
    /// Where records go that do not name a topic.
    pub topic: Arc<str>,
    /// The records. Without a timestamp they get the present one; without a partition the partitioner places them: by
    /// the key's murmur2 hash as Kafka's clients do, without a key anywhere.
    pub batch: Batch,
}

/// What a commit makes durable besides the staged records.
#[derive(Clone, Debug, Default)]
pub struct Commit {
    /// Consumed offsets, the next to read.
    pub consumed: Vec<TopicPartitionOffset>,
    /// Source offsets.
    pub source_offsets: Vec<SourceOffset>,
    /// Changes of state, in order.
    pub state: Vec<StateChange>,
}

/// Where a source stands in one of its partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceOffset {
    /// The source partition, canonical JSON.
    pub partition: String,
    /// The offset, canonical JSON; `None` forgets it.
    pub offset: Option<String>,
}

/// Whose state it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StateScope {
    /// The stage: empty for the connector's own plugin, else the alias of the transform in the chain.
    pub stage: Arc<str>,
    /// What it moves with.
    pub place: StatePlace,
}

/// What a piece of state moves with.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StatePlace {
    /// The session's task.
    Task,
    /// An input partition.
    Partition(TopicPartition),
}

/// A change of one key of state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateChange {
    /// Whose.
    pub scope: StateScope,
    /// The key.
    pub key: Bytes,
    /// The new value; `None` deletes the key.
    pub value: Option<Bytes>,
}

/// What a reader reads.
#[derive(Clone, Debug)]
pub struct ReadSpec {
    /// The topic.
    pub topic: String,
    /// These partitions; `None`: all.
    pub partitions: Option<Vec<i32>>,
    /// From where.
    pub from: ReadFrom,
}

/// Where a reader starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadFrom {
    /// The first record that is kept.
    Beginning,
    /// Only what comes from now on.
    End,
    /// This offset, in every partition.
    Offset(i64),
    /// The first record at or after this time, milliseconds since the epoch.
    Timestamp(i64),
}
