//! Which librdkafka properties a client gets: Sandbar's defaults, the worker's, the connector's overrides, and on top
//! the few that exactly once depends on, which nobody may change.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

use super::errors::broker_error;
use super::tables::{
    ALIASES, ASSIGNMENT_STRATEGY, CONSUMER_DEFAULTS, CONSUMER_FIXED, GROUP_INSTANCE_ID, GROUP_PROTOCOL, HEARTBEAT,
    MAX_IDLE, MAX_IDLE_MS, OURS, PRODUCER_DEFAULTS, PRODUCER_FIXED, READER_FETCH_WAIT_MS, SESSION_TIMEOUT,
    SESSION_TIMEOUT_MS, TRANSACTION_TIMEOUT, Table, WORKERS,
};
use crate::broker::{BrokerError, TopicSettings};

/// How to reach Kafka, and where Sandbar keeps its own records there.
#[derive(Clone)]
pub struct KafkaOptions {
    /// librdkafka properties of every client: `bootstrap.servers`, `security.*`, `sasl.*`, `ssl.*`...
    pub properties: BTreeMap<String, String>,
    /// The topic of source offsets. Kafka Connect's own may be given: the format is the same.
    pub offset_storage_topic: String,
    /// Replicas of the topics that Sandbar creates for itself; [`TopicSettings::BY_CLUSTER`]: as many as the cluster says.
    pub internal_replication_factor: i32,
}

impl KafkaOptions {
    /// The default of `offset_storage_topic`.
    pub const OFFSET_STORAGE_TOPIC: &'static str = "sandbar-offsets";

    /// Options for a cluster without authentication.
    pub fn new(bootstrap_servers: impl Into<String>) -> Self {
        Self {
            properties: BTreeMap::from([("bootstrap.servers".to_owned(), bootstrap_servers.into())]),
            offset_storage_topic: Self::OFFSET_STORAGE_TOPIC.to_owned(),
            internal_replication_factor: TopicSettings::BY_CLUSTER,
        }
    }
}

impl fmt::Debug for KafkaOptions {
    /// Property values may be secrets: only the names are shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaOptions")
            .field("properties", &self.properties.keys().collect::<Vec<_>>())
            .field("offset_storage_topic", &self.offset_storage_topic)
            .field("internal_replication_factor", &self.internal_replication_factor)
            .finish()
    }
}

/// The properties of one client.
#[derive(Clone, Default)]
pub(super) struct Properties(BTreeMap<String, String>);

impl Properties {
    /// What every client gets, without any table: metadata and administration.
    pub fn worker(options: &KafkaOptions) -> Self {
        let mut properties = Self::default();
        properties.layer(&options.properties);
        properties
    }

    /// A member of a consumer group: the one of the task with this number.
    pub fn consumer(options: &KafkaOptions, overrides: &BTreeMap<String, String>, group: &str, task: u32) -> Self {
        let mut properties = Self::layered(CONSUMER_DEFAULTS, options, overrides, CONSUMER_FIXED);
        properties.set("group.id", group);
        // No two members of a group may have the same.
        if let Some(id) = properties.0.get_mut(GROUP_INSTANCE_ID).filter(|id| !id.is_empty()) {
            *id = format!("{id}-{task}");
        }
        // There the brokers decide who gets what; they hand partitions over one by one, too.
        if properties.0.get(GROUP_PROTOCOL).is_some_and(|protocol| protocol.eq_ignore_ascii_case("consumer")) {
            properties.0.remove(ASSIGNMENT_STRATEGY);
        } else {
            properties.0.entry(SESSION_TIMEOUT.to_owned()).or_insert(SESSION_TIMEOUT_MS.to_owned());
            properties.0.entry(HEARTBEAT.0.to_owned()).or_insert(HEARTBEAT.1.to_owned());
        }
        properties
    }

    /// A task's producer. Its transactions may be open as long as the task says, unless the operator says otherwise.
    pub fn producer(
        options: &KafkaOptions,
        overrides: &BTreeMap<String, String>,
        transactional_id: &str,
        transaction_timeout: Duration,
    ) -> Self {
        let mut properties = Self::layered(PRODUCER_DEFAULTS, options, overrides, PRODUCER_FIXED);
        properties.set("transactional.id", transactional_id);
        let timeout = transaction_timeout.as_millis().to_string();
        properties.0.entry(TRANSACTION_TIMEOUT.to_owned()).or_insert(timeout);
        properties
    }

    /// The same, of a task whose transactions hold consumed offsets.
    pub fn producer_for_group(
        options: &KafkaOptions,
        overrides: &BTreeMap<String, String>,
        transactional_id: &str,
        transaction_timeout: Duration,
    ) -> Self {
        let mut properties = Self::producer(options, overrides, transactional_id, transaction_timeout);
        properties.0.entry(MAX_IDLE.to_owned()).or_insert(MAX_IDLE_MS.to_owned());
        properties
    }

    /// The producer of tools: the same without a transaction.
    pub fn writer(options: &KafkaOptions) -> Self {
        let mut properties = Self::layered(PRODUCER_DEFAULTS, options, &BTreeMap::new(), PRODUCER_FIXED);
        properties.0.remove(TRANSACTION_TIMEOUT);
        properties
    }

    /// A reader outside any group. librdkafka wants a group's name before it assigns anything; nobody ever joins it.
    pub fn reader(options: &KafkaOptions) -> Self {
        let mut properties = Self::layered(CONSUMER_DEFAULTS, options, &BTreeMap::new(), CONSUMER_FIXED);
        // It is in no group.
        properties.0.remove(GROUP_PROTOCOL);
        properties.0.remove(GROUP_INSTANCE_ID);
        properties.set("group.id", "sandbar-reader");
        properties.set("fetch.wait.max.ms", READER_FETCH_WAIT_MS);
        properties.set("enable.partition.eof", "true");
        properties
    }

    /// Whether a member of a group is handed what it had when it comes back, by a group that its members deal out.
    pub fn is_static(&self) -> bool {
        self.0.get(GROUP_INSTANCE_ID).is_some_and(|id| !id.is_empty()) && self.is_classic()
    }

    /// Whether a group's members deal its partitions out, and not the brokers.
    pub fn is_classic(&self) -> bool {
        self.0.contains_key(ASSIGNMENT_STRATEGY)
    }

    /// Sets one property.
    pub fn set(&mut self, key: &str, value: &str) {
        self.0.insert(canonical(key).to_owned(), value.to_owned());
    }

    /// A property that is a number, or what librdkafka has without it.
    pub fn number(&self, key: &str, default: u64) -> u64 {
        self.0.get(key).and_then(|value| value.parse().ok()).unwrap_or(default)
    }

    /// The client's configuration; its log lines are as chatty as somebody listens.
    pub fn build(&self) -> ClientConfig {
        let mut config: ClientConfig = self.0.clone().into_iter().collect();
        config.set_log_level(if tracing::enabled!(target: "librdkafka", tracing::Level::DEBUG) {
            RDKafkaLogLevel::Debug
        } else if tracing::enabled!(target: "librdkafka", tracing::Level::INFO) {
            RDKafkaLogLevel::Info
        } else {
            RDKafkaLogLevel::Warning
        });
        config
    }

    fn layered(defaults: Table, options: &KafkaOptions, overrides: &BTreeMap<String, String>, fixed: Table) -> Self {
        let mut properties = Self::default();
        for (key, value) in defaults {
            properties.set(key, value);
        }
        properties.layer(&options.properties);
        properties.layer(overrides);
        for (key, value) in fixed {
            properties.set(key, value);
        }
        properties
    }

    fn layer(&mut self, from: &BTreeMap<String, String>) {
        for (key, value) in from {
            self.set(key, value);
        }
    }
}

/// Refuses worker properties that librdkafka does not know, or that belong to Sandbar.
pub(super) fn check_worker(options: &KafkaOptions) -> Result<(), BrokerError> {
    let operation = "read the Kafka properties";
    if !options.properties.keys().any(|key| is_servers(key)) {
        return Err(BrokerError::fatal(operation, "bootstrap.servers is missing"));
    }
    check(operation, "", &options.properties, &[OURS])
}

/// Refuses overrides of a connector, in the same way. `prefix` is how its definition spells them.
pub(super) fn check_overrides(prefix: &str, overrides: &BTreeMap<String, String>) -> Result<(), BrokerError> {
    check(&format!("read {prefix}*"), prefix, overrides, &[OURS, WORKERS])
}

fn check(
    operation: &str,
    prefix: &str,
    properties: &BTreeMap<String, String>,
    refused: &[Table],
) -> Result<(), BrokerError> {
    for key in properties.keys() {
        let ours = refused.iter().flat_map(|table| table.iter()).find(|(name, _)| *name == canonical(key));
        if let Some((_, why)) = ours {
            return Err(BrokerError::fatal(operation, format!("{prefix}{key} cannot be set: {why}")));
        }
    }
    let config: ClientConfig = properties.clone().into_iter().collect();
    config.create_native_config().map(drop).map_err(|error| broker_error(operation, &error))
}

/// Whether a property says where the cluster is.
pub(super) fn is_servers(key: &str) -> bool {
    canonical(key) == "bootstrap.servers"
}

fn canonical(key: &str) -> &str {
    ALIASES.iter().find(|(alias, _)| *alias == key).map_or(key, |(_, name)| name)
}

#[cfg(test)]
mod tests {
    //! What wins over what, what is refused, and what this build of librdkafka can do.

    use super::*;
    use crate::broker::BrokerErrorKind;

    fn map(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
        entries.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    fn get(properties: &Properties, key: &str) -> String {
        properties.build().get(key).unwrap_or_default().to_owned()
    }

    #[test]
    fn librdkafka_has_what_the_guide_promises() {
        let features = ClientConfig::new().create_native_config().unwrap().get("builtin.features").unwrap();
        let features: Vec<&str> = features.split(',').collect();
        for feature in ["ssl", "sasl_plain", "sasl_scram", "sasl_oauthbearer", "zstd", "lz4", "gzip", "snappy"] {
            assert!(features.contains(&feature), "{feature} is not in {features:?}");
        }
    }

    #[test]
    fn overrides_win_over_the_worker_and_the_guarantees_over_both() {
        let mut options = KafkaOptions::new("here:9092");
        options.properties.extend(map(&[("linger.ms", "1"), ("compression.type", "zstd")]));
        let producer =
            Properties::producer(&options, &map(&[("queue.buffering.max.ms", "9")]), "id", Duration::from_secs(10));
        assert_eq!(get(&producer, "linger.ms"), "9");
        assert_eq!(get(&producer, "compression.codec"), "zstd");
        assert_eq!(get(&producer, "acks"), "all");
        assert_eq!(get(&producer, "transactional.id"), "id");
        assert_eq!(producer.number("transaction.timeout.ms", 60_000), 10_000);
        assert_eq!(producer.number(MAX_IDLE, 0), 0, "a source commits for no group");
        let for_group =
            |overrides: &_| Properties::producer_for_group(&options, overrides, "id", Duration::from_secs(10));
        assert_eq!(get(&for_group(&map(&[])), MAX_IDLE), MAX_IDLE_MS);
        assert_eq!(get(&for_group(&map(&[(MAX_IDLE, "7000")])), MAX_IDLE), "7000");
        let consumer = Properties::consumer(&options, &map(&[("auto.offset.reset", "latest")]), "group", 0);
        assert_eq!(get(&consumer, "auto.offset.reset"), "latest");
        assert_eq!(get(&consumer, "isolation.level"), "read_committed");
    }

    #[test]
    fn every_table_is_known_to_librdkafka() {
        let options = KafkaOptions::new("here:9092");
        let mut with_protocol = options.clone();
        with_protocol.properties.extend(map(&[("group.protocol", "consumer")]));
        let none = BTreeMap::new();
        for properties in [
            Properties::consumer(&options, &none, "g", 0),
            Properties::consumer(&options, &map(&[("group.protocol", "consumer")]), "g", 0),
            Properties::producer_for_group(&options, &none, "id", Duration::from_secs(10)),
            Properties::writer(&options),
            Properties::reader(&options),
            Properties::reader(&with_protocol),
        ] {
            properties.build().create_native_config().unwrap();
        }
    }

    #[test]
    fn each_task_is_a_static_member_of_its_own() {
        let options = KafkaOptions::new("here:9092");
        let id =
            |overrides, task| get(&Properties::consumer(&options, &map(overrides), "g", task), "group.instance.id");
        assert_eq!(id(&[("group.instance.id", "rack-7")], 2), "rack-7-2");
        assert_eq!(id(&[], 2), "");
    }

    #[test]
    fn a_member_that_was_killed_is_missed_when_its_worker_is() {
        let options = KafkaOptions::new("here:9092");
        let timeout = |overrides| get(&Properties::consumer(&options, &map(overrides), "g", 0), SESSION_TIMEOUT);
        assert_eq!(timeout(&[]), SESSION_TIMEOUT_MS);
        assert_eq!(timeout(&[(SESSION_TIMEOUT, "30000")]), "30000");
        assert_eq!(timeout(&[(GROUP_PROTOCOL, "consumer")]), "", "there the brokers decide");
    }

    #[track_caller]
    fn refused(outcome: Result<(), BrokerError>, named: &str) {
        let error = outcome.unwrap_err();
        assert_eq!(error.kind, BrokerErrorKind::Fatal);
        assert!(error.message.contains(named), "{error}");
    }

    #[test]
    fn what_would_break_the_guarantees_is_refused() {
        for key in ["enable.auto.commit", "isolation.level", "request.required.acks", "bootstrap.servers"] {
            refused(check_overrides("consumer.override.", &map(&[(key, "x")])), &format!("consumer.override.{key}"));
        }
        let mut options = KafkaOptions::new("here:9092");
        options.properties.extend(map(&[("transactional.id", "x")]));
        refused(check_worker(&options), "transactional.id");
    }

    #[test]
    fn an_unknown_property_is_named() {
        refused(check_overrides("producer.override.", &map(&[("max.request.size", "1")])), "max.request.size");
        let mut options = KafkaOptions::new("here:9092");
        options.properties.extend(map(&[("bootstrap.server", "x")]));
        refused(check_worker(&options), "bootstrap.server");
        options.properties.clear();
        refused(check_worker(&options), "bootstrap.servers is missing");
    }
}
