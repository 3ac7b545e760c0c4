//! `sandbar.toml`, connector definitions and secrets: read whole, with every error of a file at once.
//!
//! The way through: bytes become a tree that knows the place of every key; a tree becomes a [`WorkerConfig`] or a
//! [`Definition`]; a definition meets the manifests of its plugins and becomes [`ConnectorSettings`]. Secrets stay
//! references until a task starts. Nothing here runs a task, a guest or a broker.

mod connector;
mod definition;
mod error;
pub mod keys;
mod plugin_config;
mod properties;
mod property;
mod read_json;
mod read_toml;
mod reader;
mod rest;
mod schema;
pub mod secrets;
mod shown;
mod suggest;
#[cfg(test)]
mod tests;
mod tracing;
mod tracing_env;
mod tree;
mod trust;
mod worker;
mod worker_keys;

pub use connector::{
    CommitSettings, ConnectorSettings, DeadLetterSettings, ErrorSettings, Grants, HttpSettings, InjectSettings,
    ManifestLookup, PluginSettings, RetrySettings, SandboxSettings, Tolerance, TransformSettings,
};
pub use definition::{Definition, InitialState, MAX_DEFINITION_BYTES, MAX_DEFINITION_KEYS};
pub use error::{ConfigError, ErrorKind, Place, Warning, missing_plugins};
pub use plugin_config::PluginConfig;
pub use property::{PropertyInfo, properties_of};
pub use rest::{CredentialConfig, NOWHERE, ProofConfig, RestConfig, TlsConfig};
pub use secrets::{Properties, Secret, SecretSource, SecretValue, SystemSecrets};
pub use shown::reveal;
pub use tracing::{Endpoint, Ratio, TracingConfig};
pub use tracing_env::TracingOptions;
pub use trust::public_key;
pub use worker::{BrokerConfig, Limits, LocalConfig, LogConfig, LogFormat, Synchronous, WorkerConfig};
