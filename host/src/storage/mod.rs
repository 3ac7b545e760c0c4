//! What the workers of a group agree on beside records: connectors that were defined over REST, what operators want of
//! connectors, which versions of plugins are promoted, how much loggers say. It lies in one compacted topic, by Kafka
//! Connect's format where that has one, on either broker. What its workers run lies in another, and their plugins in a third.
//!
//! Every worker reads the topic from its beginning and follows it. Any worker may write ([`Configs`] are
//! looked at, then changed): a write takes over one transactional id, so that of two that write at once one is fenced
//! and looks again. No worker leads.

mod asking;
mod configs;
mod entry;
mod follow;
mod plugin_entry;
mod plugin_topic;
mod status_entry;
mod statuses;
mod write;

use std::sync::Arc;

pub use asking::{AskError, Question};
pub use configs::Configs;
pub use entry::{Entry, Restart};
pub use follow::Stored;
pub use plugin_entry::{Content, PluginEntry, PluginKey, PluginPlace};
pub use plugin_topic::{FetchError, PluginTopic, SharedPlugins};
pub use status_entry::Said;
pub use statuses::{HEARTBEAT, Own, OwnKey, StatusTopic, Statuses};
pub use write::{ConfigStorage, StorageError};

use crate::broker::{BrokerError, CleanupPolicy, ReadFrom, ReadSpec, TopicSettings};

/// The only partition: entries have one order.
const PARTITION: i32 = 0;

/// Which topic, and whose.
#[derive(Clone, Debug)]
pub struct Place {
    /// The topic.
    pub topic: Arc<str>,
    /// The key of `sandbar.toml` that names it.
    pub key: &'static str,
    /// The worker group, the first part of the transactional id.
    pub group: String,
    /// How many replicas the topic gets where it is made.
    pub replication_factor: i32,
}

impl Place {
    fn settings(&self) -> TopicSettings {
        TopicSettings {
            partitions: 1,
            replication_factor: self.replication_factor,
            cleanup_policy: CleanupPolicy::Compact,
            retention_ms: None,
            retention_bytes: None,
        }
    }

    fn from(&self, from: ReadFrom) -> ReadSpec {
        ReadSpec { topic: self.topic.to_string(), partitions: Some(vec![PARTITION]), from }
    }

    /// An error that says which topic.
    fn unusable(&self, error: &BrokerError) -> String {
        format!("topic {}: {error}", self.topic)
    }
}
