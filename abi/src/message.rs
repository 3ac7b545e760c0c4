//! What the two sides tell each other besides records, as JSON: how a guest is opened, and which partitions it owns.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::manifest::Kind;

/// The argument of `sandbar_open`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Open {
    /// The plugin's part of the configuration, typed by its schema.
    pub config: serde_json::Value,
    /// As what the plugin is opened; it may be several things.
    pub kind: Kind,
    /// The connector's name.
    pub connector: String,
    /// The task's number, from 0.
    pub task: u32,
    /// How many tasks the connector has.
    pub tasks: u32,
    /// The host's minor version of the ABI.
    pub abi_minor: u16,
    /// What this host offers beyond the minor.
    #[serde(default)]
    pub features: Vec<String>,
}

/// A topic partition, with an offset where the message is about one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssignedPartition {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset to start from: in the answer of a sink that keeps its offsets beside its data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<i64>,
}

/// The argument of `sandbar_assigned` and `sandbar_revoked`, and the answer of the former.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partitions {
    /// The partitions.
    pub partitions: Vec<AssignedPartition>,
}
