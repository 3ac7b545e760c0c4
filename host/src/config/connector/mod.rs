//! What a connector runs with, once its definition has met the manifests of its plugins.

mod http;
mod keys_of;
mod resolve;
mod sandbox;
mod stages;
mod topics;

use std::path::PathBuf;
use std::time::Duration;

use sandbar_abi::Manifest;
use sandbar_abi::manifest::{Access, Kind};
use sandbar_abi::pattern::Pattern;
use semver::VersionReq;

use super::definition::Definition;
use super::error::{ConfigError, Warning};
use super::plugin_config::PluginConfig;
use super::secrets::{Properties, SecretValue};
use super::worker::{Limits, WorkerConfig};
use crate::broker::{BatchLimits, Input, TopicSettings, Topics};
use crate::http::Policy;

/// Finds the manifests of plugins.
pub trait ManifestLookup {
    /// The manifest of the newest version of a plugin.
    fn manifest(&self, class: &str) -> Option<&Manifest>;

    /// The manifest of the newest version that will do.
    fn manifest_matching(&self, class: &str, version: &VersionReq) -> Option<&Manifest> {
        self.manifest(class).filter(|manifest| version.matches(&manifest.version))
    }
}

/// A connector's settings, complete and checked. They show no secret.
#[derive(Clone, Debug, PartialEq)]
pub struct ConnectorSettings {
    /// The connector's name.
    pub name: String,
    /// As what its plugin runs.
    pub kind: Kind,
    /// The most tasks.
    pub tasks_max: u32,
    /// The connector's own plugin.
    pub plugin: PluginSettings,
    /// The transforms that records pass, in order.
    pub transforms: Vec<TransformSettings>,
    /// The topics it reads; a source reads none.
    pub topics: Option<Topics>,
    /// The consumer group.
    pub group: String,
    /// Where records go that do not name a topic; a sink writes none.
    pub topic: Option<String>,
    /// What happens to failures.
    pub errors: ErrorSettings,
    /// How much goes into one transaction.
    pub commit: CommitSettings,
    /// The most records of one call.
    pub batch_max_records: usize,
    /// The most bytes of one call.
    pub batch_max_bytes: usize,
    /// The longest pause between two polls of a source that had nothing.
    pub poll_interval: Duration,
    /// How topics that do not exist are created.
    pub topic_settings: TopicSettings,
    /// Properties of the consumer.
    pub consumer_overrides: Properties,
    /// Properties of the producer.
    pub producer_overrides: Properties,
}

impl ConnectorSettings {
    /// Makes settings of a definition, or finds everything that is wrong with it. Where plugins are missing and nothing
    /// else is wrong ([`super::missing_plugins`]), the connector waits for them.
    pub fn resolve(
        definition: &Definition,
        manifests: &dyn ManifestLookup,
        worker: &WorkerConfig,
    ) -> Result<(Self, Vec<Warning>), Vec<ConfigError>> {
        resolve::resolve(definition, manifests, worker)
    }

    /// What its sessions consume.
    #[must_use]
    pub fn input(&self) -> Option<Input> {
        Some(Input { group: self.group.clone(), topics: self.topics.clone()? })
    }

    /// The bounds of one call.
    #[must_use]
    pub fn batch_limits(&self) -> BatchLimits {
        BatchLimits { records: self.batch_max_records, bytes: self.batch_max_bytes }
    }
}

/// A plugin of a connector.
#[derive(Clone, Debug, PartialEq)]
pub struct PluginSettings {
    /// Its name.
    pub class: String,
    /// Which versions will do; nothing: any.
    pub version: Option<VersionReq>,
    /// Its configuration.
    pub config: PluginConfig,
    /// What it may use.
    pub sandbox: SandboxSettings,
}

/// A transform in the chain.
#[derive(Clone, Debug, PartialEq)]
pub struct TransformSettings {
    /// Its alias.
    pub alias: String,
    /// Its plugin.
    pub plugin: PluginSettings,
}

/// What an instance of a plugin may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SandboxSettings {
    /// Memory, fuel and time.
    pub limits: Limits,
    /// The most state a task may keep, in bytes.
    pub state_max_bytes: u64,
    /// What it may reach outside.
    pub grants: Grants,
}

/// What a plugin may reach outside of its sandbox: what its manifest asks for and the definition grants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// Directories, and what may be done there.
    pub fs: Vec<(PathBuf, Access)>,
    /// Names of environment variables.
    pub env: Vec<String>,
    /// Servers outside.
    pub http: Option<HttpSettings>,
}

/// How a plugin may send requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpSettings {
    /// Whereto, how long and how much.
    pub policy: Policy,
    /// Headers that the host adds.
    pub inject: Vec<InjectSettings>,
}

/// A header that the host adds to requests, for the plugin not to know its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InjectSettings {
    /// Its name.
    pub header: String,
    /// Its value.
    pub value: SecretValue,
    /// Which hosts get it.
    pub hosts: Vec<Pattern>,
}

/// What happens to failures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorSettings {
    /// Whether records that fail are set aside.
    pub tolerance: Tolerance,
    /// How failed operations are tried again.
    pub retry: RetrySettings,
    /// Whether each failure is logged.
    pub log: bool,
    /// Whether the log says which record it was.
    pub log_messages: bool,
    /// Where records that failed go; nothing: nowhere.
    pub dead_letters: Option<DeadLetterSettings>,
}

/// Whether records that fail are set aside, or end the task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tolerance {
    /// They end the task.
    None,
    /// They are set aside.
    All,
}

/// How failed operations are tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetrySettings {
    /// For how long; nothing: forever.
    pub timeout: Option<Duration>,
    /// The longest pause between two tries.
    pub delay_max: Duration,
}

/// Where records that failed go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetterSettings {
    /// The topic.
    pub topic: String,
    /// How it is created.
    pub topic_settings: TopicSettings,
    /// Whether they get headers that say where and why.
    pub context_headers: bool,
}

/// How much goes into one transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitSettings {
    /// The longest it stays open while there is work.
    pub interval: Duration,
    /// The most records.
    pub max_records: usize,
    /// The most bytes of records.
    pub max_bytes: usize,
}
