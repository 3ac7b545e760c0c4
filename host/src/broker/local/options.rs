//! What an operator may choose of the embedded broker, with the defaults of a Kafka broker where it has the same choice.

use std::time::Duration;

/// The file's name inside a data directory.
pub(super) const FILE_NAME: &str = "broker.db";

/// Choices for an embedded broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalOptions {
    /// What an acknowledged commit survives.
    pub durability: Durability,
    /// The largest record, key, value and headers together (`max.message.bytes`).
    pub max_message_bytes: usize,
    /// How long topics keep records that say nothing themselves (`log.retention.hours`); `None`: for ever.
    pub retention: Option<Duration>,
    /// How many bytes a partition keeps where its topic says nothing itself (`log.retention.bytes`); `None`: any number.
    pub retention_bytes: Option<u64>,
    /// How often old records are looked for (`log.retention.check.interval.ms`).
    pub maintenance_interval: Duration,
    /// How long a deletion stays readable in a compacted topic, at least (`delete.retention.ms`).
    pub tombstone_retention: Duration,
    /// The largest the file may grow, without its write-ahead log; `None`: as far as the disk goes.
    pub max_file_bytes: Option<u64>,
}

/// Where SQLite's blocking calls are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// On threads of their own.
    Threads,
    /// Where they are asked for.
    Inline,
}

/// What an acknowledged commit survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Loss of power: each commit is synced.
    #[default]
    Full,
    /// A crash of the process, but not always loss of power, which may cost the last commits; the file stays whole.
    Process,
}

impl Default for LocalOptions {
    fn default() -> Self {
        Self {
            durability: Durability::Full,
            max_message_bytes: 1_048_588,
            retention: Some(Duration::from_secs(7 * 24 * 60 * 60)),
            retention_bytes: None,
            maintenance_interval: Duration::from_secs(5 * 60),
            tombstone_retention: Duration::from_secs(24 * 60 * 60),
            max_file_bytes: None,
        }
    }
}
