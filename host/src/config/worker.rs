//! `sandbar.toml`: what a worker is told once, when it starts.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::{ConfigError, ErrorKind, Origin, Place, Warning};
use super::reader::Reader;
use super::rest::RestConfig;
use super::secrets::Properties;
use super::tracing::TracingConfig;
use super::worker_keys::{entries, read};
use super::{read_toml, tree};
use crate::broker::{OwnTopics, TopicSettings};
use crate::trust::Policy;

/// The largest `sandbar.toml`, in bytes.
const MAX_WORKER_FILE_BYTES: usize = 1 << 20;

/// A worker's configuration. Without a file every key has its default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerConfig {
    /// The folder of plugins and definitions.
    pub plugins: PathBuf,
    /// The folder of the worker's own data.
    pub data: PathBuf,
    /// The folder of compiled plugins.
    pub cache: PathBuf,
    /// How much that folder may hold, in bytes.
    pub cache_max_bytes: u64,
    /// Which plugins may be loaded.
    pub trust: Policy,
    /// The worker group.
    pub group_id: String,
    /// Which broker.
    pub broker: BrokerConfig,
    /// The topic of source offsets.
    pub offset_storage_topic: String,
    /// The topic of what the worker group agrees on.
    pub config_storage_topic: String,
    /// The topic in which the workers of a group say what they run.
    pub status_storage_topic: String,
    /// The topic by which the workers of a group share their plugins; nothing: they do not.
    pub plugin_storage_topic: Option<String>,
    /// How connectors create topics where they do not say it themselves.
    pub topic_defaults: TopicSettings,
    /// What an instance of a plugin may use at most, and does by default.
    pub limits: Limits,
    /// Certificates that are trusted besides those of the system.
    pub http_ca_file: Option<PathBuf>,
    /// The REST interface.
    pub rest: RestConfig,
    /// What is traced, and where that is sent.
    pub tracing: TracingConfig,
    /// What is logged, and how.
    pub log: LogConfig,
    /// How often the folder is looked through.
    pub scan_interval: Duration,
    /// How long tasks may take to finish when the worker stops.
    pub shutdown_timeout: Duration,
    /// How long a task may make no progress before it counts as stalled.
    pub stall_timeout: Duration,
}

impl WorkerConfig {
    /// The topics of the worker group, to which no plugin writes.
    #[must_use]
    pub fn own_topics(&self) -> OwnTopics {
        let named = [&self.offset_storage_topic, &self.config_storage_topic, &self.status_storage_topic];
        OwnTopics::new(named.into_iter().chain(&self.plugin_storage_topic).map(String::as_str))
    }

    /// Whether a topic is one of them.
    #[must_use]
    pub fn is_own_topic(&self, topic: &str) -> bool {
        self.own_topics().hold(topic)
    }
}

/// Which broker a worker uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BrokerConfig {
    /// Kafka, by properties of librdkafka.
    Kafka(Properties),
    /// The embedded one.
    Local(LocalConfig),
}

/// The embedded broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalConfig {
    /// What a commit survives.
    pub synchronous: Synchronous,
    /// How long records are kept; nothing is forever.
    pub log_retention: Option<Duration>,
    /// How often old records are removed.
    pub log_retention_check_interval: Duration,
    /// The largest record, in bytes.
    pub message_max_bytes: usize,
}

/// What a commit of the embedded broker survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Synchronous {
    /// A power failure.
    Full,
    /// The end of the process.
    Normal,
}

/// What an instance of a plugin may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Linear memory, in bytes.
    pub memory_max_bytes: u64,
    /// Fuel per call.
    pub fuel_per_call: u64,
    /// Wall-clock time per call.
    pub call_timeout: Duration,
}

/// What is logged, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// The least severe messages: `off`, `error`, `warn`, `info`, `debug` or `trace`.
    pub level: String,
    /// How.
    pub format: LogFormat,
}

/// How messages are logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Plain on a terminal, else JSON.
    Auto,
    /// For people.
    Plain,
    /// One JSON object a line.
    Json,
}

impl WorkerConfig {
    /// Reads a file.
    pub fn load(path: &Path) -> Result<(Self, Vec<Warning>), Vec<ConfigError>> {
        match bytes(path) {
            Ok(bytes) => Self::parse(path, &bytes),
            Err(error) => {
                let origin = Origin { file: path.to_owned(), ..Origin::default() };
                Err(vec![origin.error_at(ErrorKind::Unreadable, None, error.to_string())])
            }
        }
    }

    /// Where the keys of a file are, for faults that show only when it is put to use. Of a file that cannot be read none
    /// is known.
    #[must_use]
    pub fn places(path: &Path) -> BTreeMap<String, Place> {
        let bytes = bytes(path).unwrap_or_default();
        let text = tree::text(&Origin::default(), &bytes, MAX_WORKER_FILE_BYTES).unwrap_or_default();
        let fields = read_toml::parse(text).unwrap_or_default();
        tree::flatten(&fields).0.into_iter().map(|field| (field.key, field.at)).collect()
    }

    /// Reads the bytes of a file, and the files of public keys that it names. Relative paths in it start at the file's
    /// folder.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<(Self, Vec<Warning>), Vec<ConfigError>> {
        let mut origin = Origin { file: path.to_owned(), ..Origin::default() };
        let text = tree::text(&origin, bytes, MAX_WORKER_FILE_BYTES).map_err(|error| vec![error])?;
        let fields = read_toml::parse(text).map_err(|faults| tree::syntax(&origin, faults))?;
        let (flat, faults) = tree::flatten(&fields);
        let mut errors = tree::syntax(&origin, faults);
        let entries = entries(flat, &mut origin);
        let mut reader = Reader::new(&origin, &entries);
        let config = read(&mut reader);
        errors.append(&mut reader.errors);
        if errors.is_empty() { Ok((config, reader.warnings)) } else { Err(in_order(errors)) }
    }
}

fn bytes(path: &Path) -> std::io::Result<Vec<u8>> {
    let (mut bytes, limit) = (Vec::new(), MAX_WORKER_FILE_BYTES as u64 + 1);
    std::fs::File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Errors in the order of their places.
pub(super) fn in_order(mut errors: Vec<ConfigError>) -> Vec<ConfigError> {
    errors.sort_by_key(|error| (error.line.is_none(), error.line, error.column));
    errors
}

impl Default for WorkerConfig {
    /// What a worker without a file does, in the working directory.
    fn default() -> Self {
        let (origin, entries) = (Origin::default(), BTreeMap::new());
        read(&mut Reader::new(&origin, &entries))
    }
}

#[cfg(test)]
mod tests {
    //! What a worker makes of its file.

    use super::*;
    use crate::broker::CleanupPolicy;
    use crate::config::{SecretSource, SystemSecrets};

    fn parse(text: &str) -> Result<(WorkerConfig, Vec<Warning>), Vec<ConfigError>> {
        WorkerConfig::parse(Path::new("/etc/sandbar/sandbar.toml"), text.as_bytes())
    }

    #[track_caller]
    fn refused(text: &str, expected: &[&str]) {
        let errors: Vec<_> = parse(text).unwrap_err().iter().map(ToString::to_string).collect();
        let expected: Vec<_> = expected.iter().map(|line| format!("/etc/sandbar/sandbar.toml{line}")).collect();
        assert_eq!(errors, expected);
    }

    #[test]
    fn an_empty_file_is_all_defaults() {
        let (config, warnings) = parse("").unwrap();
        assert!(warnings.is_empty());
        assert_eq!(config.plugins, Path::new("/etc/sandbar/plugins"));
        assert_eq!(config.cache, Path::new("/etc/sandbar/data/cache"));
        assert_eq!(config.group_id, "sandbar");
        assert_eq!(config.limits.memory_max_bytes, 256 << 20);
        assert_eq!(config.limits.call_timeout, Duration::from_secs(10));
        let BrokerConfig::Local(local) = &config.broker else { panic!("{:?}", config.broker) };
        assert_eq!(local.log_retention, Some(Duration::from_secs(7 * 24 * 60 * 60)));
        assert_eq!(WorkerConfig::default().plugins, Path::new("plugins"));
    }

    #[test]
    fn what_the_file_says_wins() {
        let text = r#"
            plugins = "/srv/plugins"
            data = "../data"
            group.id = "west"
            [local]
            synchronous = "normal"
            log.retention.ms = -1
            [topic.defaults]
            partitions = 3
            cleanup.policy = "compact"
            [sandbox]
            fuel.per.call = 1_000
            [log]
            format = "json"
        "#;
        let (config, _) = parse(text).unwrap();
        assert_eq!(config.plugins, Path::new("/srv/plugins"));
        assert_eq!(config.cache, Path::new("/etc/sandbar/../data/cache"));
        assert_eq!(config.limits.fuel_per_call, 1000);
        assert_eq!(config.topic_defaults.partitions, 3);
        assert_eq!(config.topic_defaults.cleanup_policy, CleanupPolicy::Compact);
        assert_eq!((config.group_id.as_str(), config.log.format), ("west", LogFormat::Json));
        let BrokerConfig::Local(local) = config.broker else { panic!() };
        assert_eq!((local.synchronous, local.log_retention), (Synchronous::Normal, None));
    }

    #[test]
    fn kafka_takes_any_property_and_shows_no_secret() {
        let text = "[kafka]\nbootstrap.servers = \"a:9092\"\nlinger.ms = 5\nsasl.password = \"s3\"\n                    [local]\nsynchronous = \"full\"\n";
        let (config, warnings) = parse(text).unwrap();
        assert!(!format!("{config:?}").contains("s3"), "{config:?}");
        assert_eq!(warnings[0].key.as_deref(), Some("local.synchronous"));
        let BrokerConfig::Kafka(properties) = config.broker else { panic!() };
        let resolved = properties.resolve(&SystemSecrets as &dyn SecretSource).unwrap();
        assert_eq!(resolved["linger.ms"], "5");
        assert_eq!(resolved["sasl.password"], "s3");
    }

    #[test]
    fn every_fault_is_told_at_once_with_its_place() {
        let text = "pluggins = \"x\"\n[kafka]\nacks = 1\ntransactional.id = \"x\"\n[sandbox]\n  memory.max.bytes = 1\n                    [log]\nlevel = \"loud\"\n";
        refused(
            text,
            &[
                ":1:1: pluggins: is not known, did you mean \"plugins\"?",
                ":4:1: kafka.transactional.id: is set by the host: exactly-once delivery rests on it",
                ":6:3: sandbox.memory.max.bytes: must be a whole number of bytes from 65536 to 1073741824, not \"1\"",
                ":8:1: log.level: must be one of off, error, warn, info, debug, trace, not \"loud\"",
                ": kafka.bootstrap.servers: is required where [kafka] has properties",
            ],
        );
        assert_eq!(parse("a = \nb = ").unwrap_err().len(), 2);
    }
}
